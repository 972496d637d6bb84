//! What `both` does, with `FrameReader` and `FrameWriter` over an async transport.

#![no_std]
#![no_main]

use core::{convert::Infallible, hint::black_box};

use footprint::{asynchronous, buffer, decoding, device, opaque::any, port::Port};
use tej_core::{
    Decoder, DefaultLimits, Event, Status,
    io::{FrameReader, FrameWriter, WriteError},
};

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let (name, data, message) = (buffer!(64), buffer!(64), buffer!(64));
    let mut reader = FrameReader::new(Port, buffer!(64), Decoder::new(buffer!(64), DefaultLimits));
    let mut writer = FrameWriter::new(Port, buffer!(64));
    asynchronous::run(async {
        loop {
            match reader.next().await {
                Ok(Some(event)) => {
                    decoding::handle(event);
                    if event == Event::FrameEnd {
                        let name = device::receive(name);
                        let data = device::receive(data);
                        let message = device::receive(message);
                        if let Err(error) =
                            send_frame(&mut writer, any(Status::ZERO), name, data, message).await
                        {
                            fail(&error);
                        }
                    }
                }
                Ok(None) => {}
                Err(error) => fail(&error),
            }
        }
    })
}

async fn send_frame<B: AsRef<[u8]> + AsMut<[u8]>>(
    writer: &mut FrameWriter<Port, B>,
    status: Status,
    name: &[u8],
    data: &[u8],
    message: &[u8],
) -> Result<(), WriteError<Infallible>> {
    writer.start_frame(status, 1).await?;
    writer.start_file(name, data.len() as u64).await?;
    writer.write_payload(data).await?;
    writer.start_message(message.len() as u64).await?;
    writer.write_payload(message).await?;
    writer.flush().await
}

#[cold]
fn fail<E>(error: &E) {
    black_box(error);
    device::report(0, 0);
}
