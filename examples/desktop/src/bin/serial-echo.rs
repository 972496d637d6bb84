//! Answers each frame on a serial line with the same frame: tej-core's blocking reader and writer over a UART.
//!
//! `cargo run -p tej-desktop --bin serial-echo -- /dev/ttyUSB0 115200`, with a device on the other end.
//!
//! Nothing is ever whole in memory: what a read brought of a file goes out again before the next read. So a peer that
//! sends more than the line holds must read while it writes. A ping is a sign of life and is not answered.

use std::convert::Infallible;
use std::error::Error;
use std::fs::File;
use std::io;
use std::process::ExitCode;

use embedded_io_adapters::std::FromStd;
use tej_core::io::ReadError;
use tej_core::io::blocking::{FrameReader, FrameWriter};
use tej_core::{Decoder, DefaultLimits, Event};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag] = &arguments[..]
        && (flag == "--help" || flag == "-h")
    {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let (device, baud) = match &arguments[..] {
        [device] => (device, Ok(BAUD)),
        [device, baud] => (device, baud.parse()),
        _ => return refused("a DEVICE is needed, and nothing but a BAUD rate may follow it"),
    };
    let Ok(baud) = baud else { return refused("BAUD must be a number, such as 115200") };
    let line = match open(device, baud) {
        Ok(line) => line,
        Err(error) => {
            eprintln!(
                "cannot use {device}: {error}. Is it a serial device, and may you open it? \
                 On Debian, members of the group `dialout` may: sudo adduser $USER dialout"
            );
            return ExitCode::FAILURE;
        }
    };
    println!("listening on {device} at {baud} baud");
    let Err(error) = echo(&line);
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// Goes on for as long as the line does.
fn echo(line: &File) -> Result<Infallible, Box<dyn Error>> {
    let mut reader =
        FrameReader::new(FromStd::new(line), [0; BUFFER], Decoder::new([0; LONGEST_NAME], DefaultLimits));
    let mut writer = FrameWriter::new(FromStd::new(line), [0; BUFFER]);
    let mut answered = false;
    loop {
        let event = match reader.next() {
            Ok(Some(event)) => event,
            Ok(None) => return Err("the line was hung up".into()),
            Err(ReadError::Decode(fault)) => {
                return Err(format!("{fault}. The stream is lost: start both ends again").into());
            }
            // A terminal's way to say the same, most of the time.
            Err(ReadError::Io(error)) => return Err(format!("the line was hung up: {error}").into()),
        };
        if let Event::FrameStart(header) = event {
            answered = !header.status.is_ping();
        }
        if !answered {
            continue;
        }
        match event {
            Event::FrameStart(header) => writer.start_frame(header.status, header.files)?,
            Event::FileStart { name, size } => writer.start_file(name, size)?,
            Event::MessageStart { size } => writer.start_message(size)?,
            Event::FileData(piece) | Event::MessageData(piece) => writer.write_payload(piece)?,
            Event::FrameEnd => {
                writer.flush()?;
                println!("answered a frame of {} bytes", writer.encoder().frame_len());
            }
            _ => {}
        }
    }
}

/// The line with every byte as it is: no echo, no line ends, no control characters.
#[cfg(unix)]
fn open(device: &str, baud: u32) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open};
    use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};

    // Opening waits for a carrier that three wires do not have, unless it is told not to.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let line = open(device, flags, Mode::empty())?;
    let mut settings = tcgetattr(&line)?;
    settings.make_raw();
    settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
    settings.set_speed(baud)?;
    tcsetattr(&line, OptionalActions::Flush, &settings)?;
    fcntl_setfl(&line, fcntl_getfl(&line)? - OFlags::NONBLOCK)?;
    Ok(line.into())
}

/// The line as the system has set it up.
#[cfg(not(unix))]
fn open(device: &str, _baud: u32) -> io::Result<File> {
    File::options().read(true).write(true).open(device)
}

fn refused(reason: &str) -> ExitCode {
    eprintln!("{reason}\n\n{USAGE}");
    ExitCode::from(2)
}

const USAGE: &str = "\
Answers each frame on a serial line with the same frame, but not a ping.

Usage: serial-echo DEVICE [BAUD]

  DEVICE  a serial line, such as /dev/ttyUSB0
  BAUD    its speed [default: 115200]

It goes on until the line is hung up. Exit status: 1 that happened, or something failed; 2 usage";

const BAUD: u32 = 115_200;

/// What the system hands over in one read of a terminal.
const BUFFER: usize = 4096;

const LONGEST_NAME: usize = 255;
