//! Calls every public function of tej-core that is not async, with arguments and in states that the optimiser knows
//! nothing about.
//!
//! The panic handler calls a function that does not exist, so this links only if no panic is left in what it calls.
//! Formatting is not called: `core::fmt` itself has panics that are never reached. Nor are derived traits, which copy and
//! compare. `cargo xtask test --only no-panic` builds it, and holds the calls against the functions in the sources.

#![no_std]
#![no_main]

use core::{borrow::Borrow, error::Error};

use embedded_io::{Error as _, ErrorKind, ErrorType, Read, ReadReady, Write};
use footprint::{
    buffer,
    opaque::{any, bytes, hidden, planted, seen},
};
use tej_core::{
    DecodeErrorKind, Decoder, DefaultLimits, EncodeError, Encoder, Event, File, Files, Frame, KeepAlive,
    KeepAliveConfig, Limits, OwnedFrame, Status,
    io::{DecodeBuffer, EncodeBuffer, IdleGap, Interrupted, ReadError, WriteError, blocking},
};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    status();
    limits();
    keep_alive();
    encoder();
    decoder(Decoder::new(any(&mut buffer!(64)[..]), any(&Limits::UNLIMITED)));
    decoder(Decoder::new(any([0; 255]), any(Limits::DEFAULT)));
    decoder(Decoder::new(any([0; 8]), DefaultLimits));
    encode();
    owned_frame();
    decode_buffer();
    encode_buffer();
    reader();
    idle_gap();
    writer();
    errors();
    planted();
    footprint::stop()
}

fn status() {
    let status = any(Status::new(any(0)));
    seen(Status::try_from(any(0)));
    let status = any(status.unwrap_or(Status::ZERO));
    seen(Status::value(status));
    seen(Status::is_ping(status));
    seen(u8::from(status));
}

fn limits() {
    seen(Limits::default());
    seen::<&Limits>(DefaultLimits::borrow(&DefaultLimits));
}

fn keep_alive() {
    let config = KeepAliveConfig { ping_interval: any(Some(0)), idle_timeout: any(Some(0)) };
    let mut keep_alive = KeepAlive::new(config, any(0));
    KeepAlive::received(hidden(&mut keep_alive), any(0));
    KeepAlive::sent(hidden(&mut keep_alive), any(0));
    seen(KeepAlive::poll(hidden(&mut keep_alive), any(0)));
}

fn encoder() {
    let mut encoder = Encoder::new();
    let encoder = &mut encoder;
    seen(Encoder::start_frame(hidden(encoder), any(Status::ZERO), any(0)));
    seen(Encoder::start_file(hidden(encoder), bytes(), any(0)));
    seen(Encoder::start_message(hidden(encoder), any(0)));
    seen(Encoder::message_frame(hidden(encoder), any(Status::ZERO), any(0), any(&mut [0; 18])));
    seen(Encoder::payload(hidden(encoder), any(0)));
    seen(Encoder::payload_remaining(hidden(encoder)));
    seen(Encoder::frame_len(hidden(encoder)));
    seen(Encoder::is_idle(hidden(encoder)));
    Encoder::abort(hidden(encoder));
}

fn decoder<N: AsRef<[u8]> + AsMut<[u8]>, L: Borrow<Limits>>(mut decoder: Decoder<N, L>) {
    let decoder = &mut decoder;
    let mut input = bytes();
    seen(Decoder::decode(hidden(decoder), hidden(&mut input)));
    if let Ok(step) = any(Decoder::step(hidden(decoder), bytes()))
        && let Some(span) = step.event
    {
        seen(Decoder::resolve(hidden(decoder), span, bytes()));
    }
    if let Some(frame) = any(Decoder::decode_frame(hidden(decoder), hidden(&mut input))) {
        whole_frame(frame);
    }
    seen(Decoder::finish(hidden(decoder)));
    seen(Decoder::is_between_frames(hidden(decoder)));
    seen(Decoder::payload_remaining(hidden(decoder)));
    seen(Decoder::advance_payload(hidden(decoder), any(0)));
    seen(Decoder::offset(hidden(decoder)));
    seen(Decoder::limits(hidden(decoder)));
}

fn whole_frame(mut frame: Frame<'_>) {
    seen(Frame::header(hidden(&mut frame)));
    seen(Frame::message(hidden(&mut frame)));
    seen(Frame::len(hidden(&mut frame)));
    let mut files = Frame::files(hidden(&mut frame));
    seen(Files::next(hidden(&mut files)));
    seen(Files::size_hint(hidden(&mut files)));
}

fn encode() {
    let files = [File { name: bytes(), data: bytes() }];
    let files = any(&files[..]);
    seen(tej_core::encode(any(Status::ZERO), files, bytes(), any(&mut buffer!(64)[..])));
    seen(tej_core::encoded_len(files, bytes()));
    seen(tej_core::encode_to_vec::<64>(any(Status::ZERO), files, bytes()));
}

fn owned_frame() {
    let mut owned = OwnedFrame::<64>::new();
    seen(OwnedFrame::push(hidden(&mut owned), any(Event::FileEnd)));
    if let Some(frame) = any(OwnedFrame::frame(hidden(&mut owned))) {
        whole_frame(frame);
    }
    seen(OwnedFrame::as_bytes(hidden(&mut owned)));
    OwnedFrame::clear(hidden(&mut owned));
    seen(OwnedFrame::<64>::default());
}

fn decode_buffer() {
    let decoder = Decoder::new(any(&mut buffer!(64)[..]), any(&Limits::UNLIMITED));
    let mut owned = DecodeBuffer::new(any(&mut buffer!(64)[..]), decoder);
    let buffer = &mut owned;
    if let Ok(Some(span)) = any(DecodeBuffer::poll(hidden(buffer))) {
        seen(DecodeBuffer::resolve(hidden(buffer), span));
    }
    seen(DecodeBuffer::poll_lent(hidden(buffer), bytes(), |event| seen(event)));
    seen(DecodeBuffer::space(hidden(buffer)));
    DecodeBuffer::filled(hidden(buffer), any(0));
    seen(DecodeBuffer::discard(hidden(buffer)));
    seen(DecodeBuffer::frame(hidden(buffer)));
    seen(DecodeBuffer::payload_unread(hidden(buffer)));
    seen(DecodeBuffer::file_name(hidden(buffer)));
    seen(DecodeBuffer::advance_payload(hidden(buffer), any(0)));
    seen(DecodeBuffer::bytes_mut(hidden(buffer)));
    seen(DecodeBuffer::decoder(hidden(buffer)));
    seen(DecodeBuffer::into_bytes(owned));
}

fn encode_buffer() {
    let mut owned = EncodeBuffer::new(any(&mut buffer!(64)[..]));
    let buffer = &mut owned;
    let mut piece = bytes();
    seen(EncodeBuffer::encoder(hidden(buffer)));
    seen(EncodeBuffer::encoder_mut(hidden(buffer)));
    seen(EncodeBuffer::begin(hidden(buffer)));
    EncodeBuffer::end(hidden(buffer));
    seen(EncodeBuffer::stage(hidden(buffer), hidden(&mut piece)));
    seen(EncodeBuffer::pending(hidden(buffer), bytes()));
    EncodeBuffer::advance(hidden(buffer), any(0), hidden(&mut piece));
    seen(EncodeBuffer::stage_message(hidden(buffer), any(Status::ZERO), bytes()));
    seen(EncodeBuffer::free(hidden(buffer)));
    seen(EncodeBuffer::stage_mut(hidden(buffer)));
    seen(EncodeBuffer::is_full(hidden(buffer)));
    seen(EncodeBuffer::space(hidden(buffer)));
    seen(EncodeBuffer::commit(hidden(buffer), any(0)));
    seen(EncodeBuffer::pass_payload(hidden(buffer), any(0)));
    seen(EncodeBuffer::is_interrupted(hidden(buffer)));
    seen(EncodeBuffer::into_stage(owned));
}

fn reader() {
    let decoder = Decoder::new(any(&mut buffer!(64)[..]), any(&Limits::UNLIMITED));
    let mut reader = blocking::FrameReader::new(Liar, any(&mut buffer!(64)[..]), decoder);
    seen(blocking::FrameReader::next(hidden(&mut reader)));
    seen(blocking::FrameReader::payload_unread(hidden(&mut reader)));
    seen(blocking::FrameReader::file_name(hidden(&mut reader)));
    seen(blocking::FrameReader::advance_payload(hidden(&mut reader), any(0)));
    seen(blocking::FrameReader::offset(hidden(&mut reader)));
    seen(blocking::FrameReader::decoder(hidden(&mut reader)));
    seen(blocking::FrameReader::is_between_frames(hidden(&mut reader)));
    seen(blocking::FrameReader::io_mut(hidden(&mut reader)));
    seen(blocking::FrameReader::into_parts(reader));
}

fn idle_gap() {
    let mut line = IdleGap::new(Liar, any(0), || any(0));
    seen(IdleGap::read(hidden(&mut line), any(&mut buffer!(64)[..])));
    seen(IdleGap::skip(hidden(&mut line)));
    seen(IdleGap::line_mut(hidden(&mut line)));
}

fn writer() {
    let mut owned = blocking::FrameWriter::new(Liar, any(&mut buffer!(64)[..]));
    let writer = &mut owned;
    seen(blocking::FrameWriter::start_frame(hidden(writer), any(Status::ZERO), any(0)));
    seen(blocking::FrameWriter::start_file(hidden(writer), bytes(), any(0)));
    seen(blocking::FrameWriter::start_message(hidden(writer), any(0)));
    seen(blocking::FrameWriter::write_payload(hidden(writer), bytes()));
    seen(blocking::FrameWriter::payload_space(hidden(writer)));
    seen(blocking::FrameWriter::commit_payload(hidden(writer), any(0)));
    seen(blocking::FrameWriter::payload_io(hidden(writer)));
    seen(blocking::FrameWriter::pass_payload(hidden(writer), any(0)));
    seen(blocking::FrameWriter::send_message(hidden(writer), any(Status::ZERO), bytes()));
    seen(blocking::FrameWriter::feed_message(hidden(writer), any(Status::ZERO), bytes()));
    seen(blocking::FrameWriter::stage_message(hidden(writer), any(Status::ZERO), bytes()));
    seen(blocking::FrameWriter::stage_free(hidden(writer)));
    seen(blocking::FrameWriter::stage_mut(hidden(writer)));
    seen(blocking::FrameWriter::send_ping(hidden(writer)));
    seen(blocking::FrameWriter::push(hidden(writer)));
    seen(blocking::FrameWriter::flush(hidden(writer)));
    seen(blocking::FrameWriter::is_interrupted(hidden(writer)));
    seen(blocking::FrameWriter::encoder(hidden(writer)));
    seen(blocking::FrameWriter::io_mut(hidden(writer)));
    seen(blocking::FrameWriter::into_parts(owned));
}

fn errors() {
    seen(DecodeErrorKind::name(any(DecodeErrorKind::Truncated)));
    let Err(decode) = Decoder::new(any([0; 8]), any(Limits::DEFAULT)).finish() else { return };
    // What is under an error is there to be formatted, so only whether there is something.
    let error: ReadError<ErrorKind> = ReadError::from(any(decode));
    seen(ReadError::source(&any(error)).is_some());
    seen(ReadError::kind(&any(error)));
    let error: WriteError<ErrorKind> = WriteError::from(any(EncodeError::Aborted));
    seen(WriteError::source(&any(error)).is_some());
    seen(WriteError::kind(&any(error)));
    seen(WriteError::<ErrorKind>::from(Interrupted));
}

/// A transport that may do anything, claiming to have moved more bytes than there are included.
struct Liar;

impl ErrorType for Liar {
    type Error = ErrorKind;
}

impl Read for Liar {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        seen(buffer);
        any(Ok(0))
    }
}

impl ReadReady for Liar {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        any(Ok(false))
    }
}

impl Write for Liar {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        seen(bytes);
        any(Ok(0))
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        any(Ok(()))
    }
}
