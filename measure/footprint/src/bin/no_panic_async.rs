//! Calls every async function of tej-core, and the others of the types that have some, as `no_panic` does.
//!
//! The compiler gives every future a panic of its own, for an executor that polls it after its end. An executor that does
//! is wrong and this one does not, but no optimiser can tell; so this links whatever is left, and `cargo xtask test --only
//! no-panic` follows the calls in the image: that panic is the only one that may be found.

#![no_std]
#![no_main]

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use footprint::{
    asynchronous, buffer,
    opaque::{any, hidden, planted, seen},
};
use tej_core::{
    Decoder, Limits, Status,
    io::{FrameReader, FrameWriter},
};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    asynchronous::run(reader());
    asynchronous::run(writer());
    footprint::stop()
}

async fn reader() {
    let decoder = Decoder::new(any(&mut buffer!(64)[..]), any(&Limits::UNLIMITED));
    let mut reader = FrameReader::new(Liar, any(&mut buffer!(64)[..]), decoder);
    seen(FrameReader::next(hidden(&mut reader)).await);
    seen(FrameReader::offset(hidden(&mut reader)));
    seen(FrameReader::decoder(hidden(&mut reader)));
    seen(FrameReader::is_between_frames(hidden(&mut reader)));
    seen(FrameReader::io_mut(hidden(&mut reader)));
    seen(FrameReader::into_parts(reader));
}

async fn writer() {
    let mut owned = FrameWriter::new(Liar, any(&mut buffer!(64)[..]));
    let writer = &mut owned;
    seen(FrameWriter::start_frame(hidden(writer), any(Status::ZERO), any(0)).await);
    seen(FrameWriter::start_file(hidden(writer), any(b""), any(0)).await);
    seen(FrameWriter::start_message(hidden(writer), any(0)).await);
    seen(FrameWriter::write_payload(hidden(writer), any(b"")).await);
    seen(FrameWriter::payload_space(hidden(writer)).await);
    seen(FrameWriter::commit_payload(hidden(writer), any(0)));
    seen(FrameWriter::send_message(hidden(writer), any(Status::ZERO), any(b"")).await);
    seen(FrameWriter::send_ping(hidden(writer)).await);
    seen(FrameWriter::push(hidden(writer)).await);
    seen(FrameWriter::flush(hidden(writer)).await);
    planted();
    seen(FrameWriter::encoder(hidden(writer)));
    seen(FrameWriter::io_mut(hidden(writer)));
    seen(FrameWriter::into_parts(owned));
}

/// A transport that may do anything, claiming to have moved more bytes than there are included.
struct Liar;

impl ErrorType for Liar {
    type Error = ErrorKind;
}

impl Read for Liar {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        seen(buffer);
        asynchronous::ready().await;
        any(Ok(0))
    }
}

impl Write for Liar {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        seen(bytes);
        asynchronous::ready().await;
        any(Ok(0))
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        asynchronous::ready().await;
        any(Ok(()))
    }
}
