//! Calls every public function of tej-core that is not async, with arguments and in states that the optimiser knows
//! nothing about.
//!
//! The panic handler calls a function that does not exist, so this links only if no panic is left in what it calls.
//! Formatting is not called: `core::fmt` itself has panics that are never reached. Nor are derived traits, which copy and
//! compare. `cargo xtask test --only no-panic` builds it, and holds the calls against the functions in the sources.

#![no_std]
#![no_main]

use core::{borrow::Borrow, error::Error};

use embedded_io_async::ErrorKind;
use footprint::{
    buffer,
    opaque::{any, hidden, planted, seen},
};
use tej_core::{
    DecodeErrorKind, Decoder, EncodeError, Encoder, KeepAlive, KeepAliveConfig, Limits, Status,
    io::{DecodeBuffer, ReadError, WriteError},
};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    status();
    limits();
    keep_alive();
    encoder();
    decoder(Decoder::new(any(&mut buffer!(64)[..]), any(&Limits::UNLIMITED)));
    decoder(Decoder::accept_any_version(Decoder::new(any([0; 255]), any(Limits::DEFAULT))));
    decode_buffer();
    errors();
    planted();
    footprint::stop()
}

fn status() {
    let status = any(Status::new(any(0)));
    seen(Status::try_from(any(0)).is_ok());
    let status = any(status.unwrap_or(Status::ZERO));
    seen(Status::value(status));
    seen(Status::is_ping(status));
    seen(u8::from(status));
}

fn limits() {
    seen(Limits::default());
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
    seen(Encoder::start_frame(hidden(encoder), any(Status::ZERO), any(0)).is_ok());
    seen(Encoder::start_file(hidden(encoder), any(b""), any(0)).is_ok());
    seen(Encoder::start_message(hidden(encoder), any(0)).is_ok());
    seen(Encoder::payload(hidden(encoder), any(0)).is_ok());
    seen(Encoder::payload_remaining(hidden(encoder)));
    seen(Encoder::frame_len(hidden(encoder)));
    seen(Encoder::is_idle(hidden(encoder)));
    Encoder::abort(hidden(encoder));
}

fn decoder<N: AsRef<[u8]> + AsMut<[u8]>, L: Borrow<Limits>>(mut decoder: Decoder<N, L>) {
    let decoder = &mut decoder;
    let mut input = any(&b""[..]);
    seen(Decoder::decode(hidden(decoder), hidden(&mut input)));
    if let Ok(step) = any(Decoder::step(hidden(decoder), any(b"")))
        && let Some(span) = step.event
    {
        seen(Decoder::resolve(hidden(decoder), span, any(b"")));
    }
    seen(Decoder::finish(hidden(decoder)));
    seen(Decoder::is_between_frames(hidden(decoder)));
    seen(Decoder::payload_remaining(hidden(decoder)));
    seen(Decoder::advance_payload(hidden(decoder), any(0)));
    seen(Decoder::offset(hidden(decoder)));
    seen(Decoder::limits(hidden(decoder)));
}

fn decode_buffer() {
    let decoder = Decoder::new(any(&mut buffer!(64)[..]), any(&Limits::UNLIMITED));
    let mut buffer = DecodeBuffer::new(any(&mut buffer!(64)[..]), decoder);
    let buffer = &mut buffer;
    if let Ok(Some(span)) = any(DecodeBuffer::poll(hidden(buffer))) {
        seen(DecodeBuffer::resolve(hidden(buffer), span));
    }
    seen(DecodeBuffer::space(hidden(buffer)));
    DecodeBuffer::filled(hidden(buffer), any(0));
    seen(DecodeBuffer::bytes_mut(hidden(buffer)));
    seen(DecodeBuffer::decoder(hidden(buffer)));
}

fn errors() {
    seen(DecodeErrorKind::name(any(DecodeErrorKind::Truncated)));
    let Err(decode) = Decoder::new(any([0; 8]), any(Limits::DEFAULT)).finish() else { return };
    // What is under an error is there to be formatted, so only whether there is something.
    let error: ReadError<ErrorKind> = ReadError::from(any(decode));
    seen(ReadError::source(&any(error)).is_some());
    let error: WriteError<ErrorKind> = WriteError::from(any(EncodeError::Aborted));
    seen(WriteError::source(&any(error)).is_some());
}
