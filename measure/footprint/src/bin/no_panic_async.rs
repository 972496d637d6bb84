//! Calls every async function of tej-core, and the others of the types that have some, as `no_panic` does.
//!
//! The compiler gives every future a panic of its own, for an executor that polls it after its end. An executor that does
//! is wrong and this one does not, but no optimiser can tell; so this links whatever is left, and `cargo xtask test --only
//! no-panic` follows the calls in the image: that panic is the only one that may be found.

#![no_std]
#![no_main]

use embedded_io_async::{BufRead, ErrorKind, ErrorType, Read, Write};
use footprint::{
    asynchronous::{ready, run},
    buffer,
    opaque::{any, bytes, hidden, planted, seen},
};
use tej_core::{Decoder, Limits, Status, io as asynchronous, io::ReadWith};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    run(reader());
    run(lender(&mut Liar));
    run(writer());
    footprint::stop()
}

async fn reader() {
    let decoder = Decoder::new(any(&mut buffer!(64)[..]), any(&Limits::UNLIMITED));
    let mut reader = asynchronous::FrameReader::new(Liar, any(&mut buffer!(64)[..]), decoder);
    seen(asynchronous::FrameReader::next(hidden(&mut reader)).await);
    seen(asynchronous::FrameReader::next_with(hidden(&mut reader), |event| seen(event)).await);
    seen(asynchronous::FrameReader::payload_unread(hidden(&mut reader)));
    seen(asynchronous::FrameReader::file_name(hidden(&mut reader)));
    seen(asynchronous::FrameReader::advance_payload(hidden(&mut reader), any(0)));
    seen(asynchronous::FrameReader::offset(hidden(&mut reader)));
    seen(asynchronous::FrameReader::decoder(hidden(&mut reader)));
    seen(asynchronous::FrameReader::is_between_frames(hidden(&mut reader)));
    seen(asynchronous::FrameReader::io_mut(hidden(&mut reader)));
    seen(asynchronous::FrameReader::into_parts(reader));
}

async fn lender<R: ReadWith>(io: &mut R) {
    seen(R::read_with(hidden(io), |lent| any((lent.len(), ()))).await);
}

async fn writer() {
    let mut owned = asynchronous::FrameWriter::new(Liar, any(&mut buffer!(64)[..]));
    let writer = &mut owned;
    seen(asynchronous::FrameWriter::start_frame(hidden(writer), any(Status::ZERO), any(0)).await);
    seen(asynchronous::FrameWriter::start_file(hidden(writer), bytes(), any(0)).await);
    seen(asynchronous::FrameWriter::start_message(hidden(writer), any(0)).await);
    seen(asynchronous::FrameWriter::write_payload(hidden(writer), bytes()).await);
    seen(asynchronous::FrameWriter::payload_space(hidden(writer)).await);
    seen(asynchronous::FrameWriter::commit_payload(hidden(writer), any(0)));
    seen(asynchronous::FrameWriter::payload_io(hidden(writer)).await);
    seen(asynchronous::FrameWriter::pass_payload(hidden(writer), any(0)));
    seen(asynchronous::FrameWriter::send_message(hidden(writer), any(Status::ZERO), bytes()).await);
    seen(asynchronous::FrameWriter::feed_message(hidden(writer), any(Status::ZERO), bytes()).await);
    seen(asynchronous::FrameWriter::stage_message(hidden(writer), any(Status::ZERO), bytes()));
    seen(asynchronous::FrameWriter::stage_free(hidden(writer)));
    seen(asynchronous::FrameWriter::stage_mut(hidden(writer)));
    seen(asynchronous::FrameWriter::send_ping(hidden(writer)).await);
    seen(asynchronous::FrameWriter::push(hidden(writer)).await);
    seen(asynchronous::FrameWriter::flush(hidden(writer)).await);
    planted();
    seen(asynchronous::FrameWriter::is_interrupted(hidden(writer)));
    seen(asynchronous::FrameWriter::encoder(hidden(writer)));
    seen(asynchronous::FrameWriter::io_mut(hidden(writer)));
    seen(asynchronous::FrameWriter::into_parts(owned));
}

/// A transport that may do anything, claiming to have moved more bytes than there are included.
struct Liar;

impl ErrorType for Liar {
    type Error = ErrorKind;
}

impl Read for Liar {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        seen(buffer);
        ready().await;
        any(Ok(0))
    }
}

impl BufRead for Liar {
    async fn fill_buf(&mut self) -> Result<&[u8], ErrorKind> {
        ready().await;
        any(Ok(bytes()))
    }

    fn consume(&mut self, n: usize) {
        seen(n);
    }
}

impl Write for Liar {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        seen(bytes);
        ready().await;
        any(Ok(0))
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        ready().await;
        any(Ok(()))
    }
}
