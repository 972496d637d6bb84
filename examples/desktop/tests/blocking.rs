//! The programs over blocking transports, each with a peer on the other end.

mod common;

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;

use common::Running;
use embedded_io_adapters::std::FromStd;
use tej_core::io::blocking::{FrameReader, FrameWriter};
use tej_core::{Decoder, DefaultLimits, Event, Status};

#[test]
fn the_client_sends_a_file_and_prints_the_answer() {
    // Not a multiple of any buffer, and more than a socket holds.
    let content: Vec<u8> = (0..1_234_567_u32).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    let path = scratch("photo.bin");
    fs::write(&path, &content).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        collect(&stream, &stream)
    });
    let output = client(&[&address, path.to_str().unwrap(), "taken today"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "the peer says \"1234567 bytes\"\n");
    let frames = server.join().unwrap();
    let [Frame { status: 0, files, message }] = &frames[..] else { panic!("{} frames", frames.len()) };
    assert!(files == &[(b"photo.bin".to_vec(), content)], "the file has changed on the way");
    assert_eq!(message, b"taken today");
}

#[test]
fn the_client_understands_a_server_on_tokio() {
    let mut server = Running::start(Command::new(env!("CARGO_BIN_EXE_hello-server")).arg("127.0.0.1:0"));
    let listening = server.line();
    let address = listening.strip_prefix("listening on ").unwrap();
    let path = scratch("note.txt");
    fs::write(&path, "hi").unwrap();
    let output = client(&[address, path.to_str().unwrap(), "from std"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "the peer says \"Hello\"\n");
    assert!(server.line().ends_with("sends \"note.txt\", 2 bytes"));
    assert!(server.line().ends_with("says \"from std\""));
    assert!(server.line().ends_with("is done"));
}

#[test]
fn the_client_says_what_to_do() {
    for arguments in [&[][..], &["127.0.0.1:1"], &["127.0.0.1:1", "a", "b", "c"]] {
        let output = client(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(errors(&output).contains("Usage: blocking-client ADDRESS FILE [MESSAGE]"), "{output:?}");
    }
    let output = client(&["--help"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("Usage: blocking-client"), "{output:?}");

    let nowhere = scratch("there is no such file");
    let output = client(&["127.0.0.1:1", nowhere.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).starts_with("cannot open "), "{output:?}");

    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let path = scratch("alone.txt");
    fs::write(&path, "hi").unwrap();
    let output = client(&[&address, path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains(&format!("Try: tej recv --listen {address}")), "{output:?}");
}

#[test]
fn the_client_names_the_fault_of_its_peer() {
    use std::io::Write;

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    let path = scratch("unwanted.txt");
    fs::write(&path, "hi").unwrap();
    let output = client(&[&address, path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "a frame cannot start with byte 0x48: its first bit is 0 (at byte 0 of the stream)\n";
    assert!(errors(&output).ends_with(expected), "{output:?}");
    server.join().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_serial_line_echoes_every_byte() {
    // Every value of a byte, so that a terminal which is not raw would be found out, and more than a line holds.
    let content: Vec<u8> = (0..100_003_u32).map(|n| n.to_le_bytes()[(n % 2) as usize]).collect();
    let (line, device) = terminal();
    let mut echo = Running::start(Command::new(env!("CARGO_BIN_EXE_serial-echo")).arg(&device));
    assert_eq!(echo.line(), format!("listening on {device} at 115200 baud"));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = FrameWriter::new(FromStd::new(&line), [0; 512]);
            writer.send_ping().unwrap();
            writer.start_frame(Status::new(20).unwrap(), 2).unwrap();
            writer.start_file(b"log", content.len() as u64).unwrap();
            writer.write_payload(&content).unwrap();
            writer.start_file(b"", 0).unwrap();
            writer.start_message(2).unwrap();
            writer.write_payload(b"\x03\x04").unwrap(); // what ends a program, and a file, on a terminal that is not raw
            writer.push().unwrap();
            writer.send_message(Status::ZERO, b"bye").unwrap();
        });
        let mut reader =
            FrameReader::new(FromStd::new(&line), [0; 512], Decoder::new([0; 16], DefaultLimits));
        // The ping is not answered: the first frame that comes is the second that went.
        let first = next_frame(&mut reader).unwrap();
        assert_eq!(first.status, 20);
        assert!(first.files == [(b"log".to_vec(), content.clone()), (vec![], vec![])], "bytes have changed");
        assert_eq!(first.message, b"\x03\x04");
        let second = next_frame(&mut reader).unwrap();
        assert_eq!((second.status, &second.files[..], &second.message[..]), (0, &[][..], &b"bye"[..]));
    });
    let frame_len = 10 + (2 + 3 + 8 + content.len()) + (2 + 8) + (8 + 2);
    assert_eq!(echo.line(), format!("answered a frame of {frame_len} bytes"));
    assert_eq!(echo.line(), "answered a frame of 21 bytes");
    drop(line);
    let output = echo.wait();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).starts_with("the line was hung up"), "{output:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_serial_line_that_is_lost_ends_the_echo() {
    use std::io::Write;

    let (mut line, device) = terminal();
    let mut echo = Running::start(Command::new(env!("CARGO_BIN_EXE_serial-echo")).args([&device, "9600"]));
    assert_eq!(echo.line(), format!("listening on {device} at 9600 baud"));
    line.write_all(b"\x80\x01login:\r\n").unwrap();
    let output = echo.wait();
    assert_eq!(output.status.code(), Some(1));
    let expected = "files in one frame are over the limit (at byte 2 of the stream). The stream is lost: start both \
                    ends again\n";
    assert!(errors(&output).ends_with(expected), "{output:?}");
}

#[cfg(unix)]
#[test]
fn the_echo_says_what_to_do() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_serial-echo")).args(arguments).output().unwrap()
    };
    for arguments in [&[][..], &["/dev/null", "fast"], &["/dev/null", "9600", "8N1"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(errors(&output).contains("Usage: serial-echo DEVICE [BAUD]"), "{output:?}");
    }
    let output = run(&["--help"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("Usage: serial-echo"), "{output:?}");
    let output = run(&["/dev/null"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("Is it a serial device"), "{output:?}");
}

struct Frame {
    status: u8,
    files: Vec<(Vec<u8>, Vec<u8>)>,
    message: Vec<u8>,
}

/// All frames of `from`; each is answered with the number of bytes in its files.
fn collect(from: &TcpStream, to: &TcpStream) -> Vec<Frame> {
    let mut reader = FrameReader::new(FromStd::new(from), [0; 1460], Decoder::new([0; 64], DefaultLimits));
    let mut writer = FrameWriter::new(FromStd::new(to), [0; 64]);
    let mut frames = Vec::new();
    while let Some(frame) = next_frame(&mut reader) {
        let bytes: usize = frame.files.iter().map(|(_, data)| data.len()).sum();
        writer.send_message(Status::ZERO, format!("{bytes} bytes").as_bytes()).unwrap();
        frames.push(frame);
    }
    frames
}

fn next_frame<R: embedded_io::Read, const B: usize, const N: usize>(
    reader: &mut FrameReader<R, [u8; B], [u8; N], DefaultLimits>,
) -> Option<Frame> {
    let mut frame = Frame { status: 0, files: Vec::new(), message: Vec::new() };
    while let Some(event) = reader.next().unwrap() {
        match event {
            Event::FrameStart(header) => frame.status = header.status.value(),
            Event::FileStart { name, .. } => frame.files.push((name.to_vec(), Vec::new())),
            Event::FileData(piece) => frame.files.last_mut().unwrap().1.extend(piece),
            Event::MessageData(piece) => frame.message.extend(piece),
            Event::FrameEnd => return Some(frame),
            _ => {}
        }
    }
    None
}

/// One end of a line, and the name of the device at the other. No program inherits the end: the line is dead once the
/// test has closed it.
#[cfg(target_os = "linux")]
fn terminal() -> (fs::File, String) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let line = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&line).unwrap();
    unlockpt(&line).unwrap();
    let device = ptsname(&line, Vec::new()).unwrap().into_string().unwrap();
    (line.into(), device)
}

fn client(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_blocking-client")).args(arguments).output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}
