//! Sends a file and a message over a blocking socket, and prints what the peer says: tej-core on `std` alone.
//!
//! `cargo run -p tej-desktop --bin blocking-client -- 127.0.0.1:8000 photo.jpg 'taken today'`, and `hello-server` or
//! `tej recv` beside it.
//!
//! Reading has a thread of its own: two peers that both write first and read later would wait for each other for ever.

use std::error::Error;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use embedded_io_adapters::std::FromStd;
use tej_core::io::blocking::{FrameReader, FrameWriter};
use tej_core::{Decoder, Event, Limits, Status};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag] = &arguments[..]
        && (flag == "--help" || flag == "-h")
    {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let (address, path, message) = match &arguments[..] {
        [address, path] => (address, path, ""),
        [address, path, message] => (address, path, &message[..]),
        _ => {
            eprintln!(
                "an ADDRESS and a FILE are needed, and nothing but a MESSAGE may follow them\n\n{USAGE}"
            );
            return ExitCode::from(2);
        }
    };
    match exchange(address, Path::new(path), message) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn exchange(address: &str, path: &Path, message: &str) -> Result<(), Failure> {
    let file = File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    let stream = TcpStream::connect(address).map_err(|error| {
        format!("cannot connect to {address}: {error}. Is a server there? Try: tej recv --listen {address}")
    })?;
    stream.set_nodelay(true)?; // The writer collects small pieces itself.
    // One direction that has failed ends the other: no answer comes to half a frame, and none is understood behind
    // a fault.
    let or_hang_up =
        |result: Result<(), Failure>| result.inspect_err(|_| drop(stream.shutdown(Shutdown::Both)));
    thread::scope(|scope| {
        let replies = scope.spawn(|| or_hang_up(receive(&stream)));
        let sent = or_hang_up(send(&stream, file, path, message));
        let received = replies.join().expect("a thread that does not panic");
        match (sent, received) {
            (Err(sent), Err(received)) => Err(format!("{sent}; {received}").into()),
            (sent, received) => sent.and(received),
        }
    })
}

/// Sends one frame and ends the stream.
fn send(stream: &TcpStream, mut file: File, path: &Path, message: &str) -> Result<(), Failure> {
    let size = file.metadata()?.len();
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let mut writer = FrameWriter::new(FromStd::new(stream), vec![0; BUFFER]);
    writer.start_frame(Status::ZERO, 1)?;
    writer.start_file(name, size)?;
    while writer.encoder().payload_remaining() > 0 {
        // From the disk into the writer's own buffer. A file that has become shorter cannot be made up for.
        let space = writer.payload_space()?;
        file.read_exact(space).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => "the file became shorter while it was sent".into(),
            _ => Failure::from(error),
        })?;
        let n = space.len();
        writer.commit_payload(n)?;
    }
    writer.start_message(message.len() as u64)?;
    writer.write_payload(message.as_bytes())?;
    writer.flush()?;
    stream.shutdown(Shutdown::Write)?;
    Ok(())
}

/// Prints the messages that come, until the peer ends its stream. Files are read and dropped.
fn receive(stream: &TcpStream) -> Result<(), Failure> {
    let decoder = Decoder::new([0; LONGEST_NAME], LIMITS);
    let mut reader = FrameReader::new(FromStd::new(stream), vec![0; BUFFER], decoder);
    let mut message = Vec::new();
    while let Some(event) = reader.next()? {
        match event {
            Event::MessageData(piece) => message.extend_from_slice(piece),
            Event::FrameEnd if !message.is_empty() => {
                println!("the peer says {:?}", String::from_utf8_lossy(&message));
                message.clear();
            }
            _ => {}
        }
    }
    Ok(())
}

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "\
Sends a file and a message, and prints what the peer says.

Usage: blocking-client ADDRESS FILE [MESSAGE]

  ADDRESS  of a TEJ server, such as 127.0.0.1:8000
  FILE     what to send, of any size
  MESSAGE  what to send with it [default: none]

Exit status: 0 all was sent and the peer ended its stream, 1 something failed, 2 usage";

/// A megabyte of message is kept, and no more.
const LIMITS: Limits = Limits { message: 1 << 20, ..Limits::DEFAULT };

const LONGEST_NAME: usize = 255;

const BUFFER: usize = 64 * 1024;
