//! The `tej` command and a device on a line without connections, to which a TCP port leads.

mod common;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Output;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Tej, frame_with, json_lines};
use embedded_io::ReadReady;
use serde_json::Value;
use tej_std::core::io::{IdleGap, blocking::FrameReader};
use tej_std::core::{Decoder, DefaultLimits, Event};

#[test]
fn what_comes_too_soon_is_part_of_what_a_device_was_left_in() {
    // Neither without the option, nor with a tenth of the gap.
    for arguments in [&["--timeout", "2"][..], &["--timeout", "2", "--line-gap", "0.5"]] {
        // `tej` has to start within the gap, however busy the machine is.
        let device = Device::start_with(Duration::from_secs(5), |_| {}, answer());
        device.leave_in_mid_frame();
        let output = device.send(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(json_lines(&output.stdout).iter().any(|event| event["event"] == "sent"), "{output:?}");
        assert_eq!(failure(&output)["kind"], "timeout");
        // Who has asked for a gap knows of it.
        let advice = "allows more; if HOST:PORT leads to a UART, --line-gap 1.5 may help";
        let is_advised = failure(&output)["detail"].as_str().unwrap().ends_with(advice);
        assert_eq!(is_advised, !arguments.contains(&"--line-gap"), "{output:?}");
    }
}

#[test]
fn a_device_that_was_left_in_mid_frame_is_waited_out() {
    let device = Device::start(|_| {}, answer());
    for _ in 0..2 {
        device.leave_in_mid_frame();
        let output = device.send(&["--line-gap", "2.5"]);
        assert!(output.status.success(), "{output:?}");
        let texts: Vec<_> =
            json_lines(&output.stdout).into_iter().map(|event| event["text"].clone()).collect();
        assert!(texts.contains(&Value::from("ok")), "{texts:?}");
    }
}

#[test]
fn a_ping_waits_too() {
    let device = Device::start(|_| {}, answer());
    let begun = Instant::now();
    let output = Tej::run(&["ping", &device.address, "--line-gap", "0.7"]);
    assert!(output.status.success(), "{output:?}");
    assert!(begun.elapsed() >= Duration::from_millis(700));
}

#[test]
fn what_was_left_on_the_line_is_thrown_away() {
    // The start bit is missing.
    let leftover = |peer: &mut TcpStream| peer.write_all(b"left over").unwrap();
    let leftovers = move |mut peer: TcpStream| {
        leftover(&mut peer);
        thread::spawn(move || {
            for _ in 0..2 {
                thread::sleep(Duration::from_millis(200));
                leftover(&mut peer);
            }
        });
    };
    let device = Device::start(leftovers, answer());
    let output = device.send(&["--line-gap", "1.5"]);
    assert!(output.status.success(), "{output:?}");
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(warning.contains("27 bytes came from the line before it was silent"), "{warning}");
    // The same without the option.
    let output = device.send(&["--timeout", "5"]);
    assert_eq!(failure(&output)["kind"], "bad_start_bit");
    assert!(!failure(&output)["detail"].as_str().unwrap().contains("run the command again"));
}

#[test]
fn a_line_that_is_never_silent_is_given_up() {
    let chatter = |mut peer: TcpStream| {
        thread::spawn(move || {
            while peer.write_all(b".").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
    };
    let device = Device::start(chatter, answer());
    let output = device.send(&["--line-gap", "2", "--timeout", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let failure = failure(&output);
    assert_eq!(failure["kind"], "timeout");
    let detail = failure["detail"].as_str().unwrap();
    assert!(detail.starts_with("the line was never silent for 2 s (--line-gap) within 1 s"), "{detail}");
}

#[test]
fn a_line_that_is_hung_up_meanwhile_is_said_to_be() {
    let device = Device::start(|peer| peer.shutdown(Shutdown::Both).unwrap(), answer());
    let output = device.send(&["--line-gap", "5"]);
    let failure = failure(&output);
    assert_eq!(failure["kind"], "closed");
    let detail = failure["detail"].as_str().unwrap();
    assert!(detail.starts_with("the peer closed the connection before the line was silent"), "{detail}");
}

#[test]
fn an_answer_that_the_line_has_broken_says_what_to_do() {
    // It has lost its first byte.
    let device = Device::start(|_| {}, answer()[1..].to_vec());
    let output = device.send(&["--line-gap", "0.7"]);
    assert_eq!(output.status.code(), Some(1));
    let failure = failure(&output);
    assert_eq!(failure["kind"], "bad_start_bit");
    let detail = failure["detail"].as_str().unwrap();
    let advice = "; if the line has lost or added something, run the command again: it waits until both sides begin afresh";
    assert!(detail.ends_with(advice), "{detail}");
}

#[test]
fn a_gap_is_a_time_and_tls_has_no_place_on_such_a_line() {
    for arguments in [&["--line-gap", "0"][..], &["--line-gap", "1", "--identity", "me.pem"]] {
        let output = Tej::run(&[&["send", "127.0.0.1:1", "-m", "hi"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn who_is_waited_for_at_a_listener_is_on_no_line() {
    // An address of nobody's, at which a command that is not refused would not wait.
    let output = Tej::run(&["send", "--listen", "192.0.2.1:7077", "-m", "hi", "--line-gap", "1.5"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("cannot be used with"), "{message}");
}

#[test]
fn a_serial_device_is_no_address_and_what_leads_to_one_is_said() {
    for device in ["/dev/ttyUSB0", "COM3", "com12"] {
        for arguments in [&["send", device, "-m", "hi"][..], &["ping", device]] {
            let output = Tej::run(arguments);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}");
            let message = String::from_utf8(output.stderr).unwrap();
            assert!(message.contains("serial devices are not opened"), "{message}");
        }
    }
    for host in ["company", "com", "cöm3"] {
        let message = String::from_utf8(Tej::run(&["ping", host]).stderr).unwrap();
        assert!(message.contains("is not HOST:PORT"), "{message}");
    }
}

/// A device that answers each frame, but no ping, and forgets half a frame after a gap. Whoever connects is at the other end
/// of its line.
struct Device {
    address: String,
}

impl Device {
    /// One with a gap that is over soon; for senders that wait much longer.
    fn start(on_connect: impl Fn(TcpStream) + Send + 'static, answer: Vec<u8>) -> Self {
        Self::start_with(Duration::from_millis(500), on_connect, answer)
    }

    /// `on_connect` comes when somebody has connected, before anything is read.
    fn start_with(gap: Duration, on_connect: impl Fn(TcpStream) + Send + 'static, answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // It goes on until the tests have ended.
        thread::spawn(move || {
            listener.set_nonblocking(true).unwrap();
            let peer = Rc::new(RefCell::new(None::<TcpStream>));
            let begun = Instant::now();
            let clock = || {
                thread::sleep(Duration::from_millis(1));
                u64::try_from(begun.elapsed().as_millis()).unwrap()
            };
            let gap = u64::try_from(gap.as_millis()).unwrap();
            let mut line = IdleGap::new(Line { listener, peer: Rc::clone(&peer), on_connect }, gap, clock);
            loop {
                let mut reader = FrameReader::new(&mut line, [0; 64], Decoder::new([0; 64], DefaultLimits));
                let mut is_ping = false;
                let ended = loop {
                    match reader.next() {
                        Ok(Some(Event::FrameStart(header))) => is_ping = header.status.is_ping(),
                        Ok(Some(Event::FrameEnd)) if !is_ping => {
                            if let Some(peer) = &mut *peer.borrow_mut() {
                                let _ = peer.write_all(&answer);
                            }
                        }
                        Ok(Some(_)) => {}
                        Ok(None) => break true,
                        Err(_) => break false,
                    }
                };
                if !ended {
                    let Ok(()) = line.skip();
                }
            }
        });
        Self { address }
    }

    /// Half a frame, from somebody who then goes.
    fn leave_in_mid_frame(&self) {
        let whole = frame_with(0, &[(b"f", &[7; 1000])], b"");
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(&whole[..500]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // The device hangs up when it has read all.
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }

    fn send(&self, arguments: &[&str]) -> Output {
        let common = ["send", &self.address, "-m", "hi", "--replies", "1", "--json"];
        Tej::run(&[&common, arguments].concat())
    }
}

/// A line, of which a connection has the other end at times.
struct Line<F> {
    listener: TcpListener,
    peer: Rc<RefCell<Option<TcpStream>>>,
    on_connect: F,
}

impl<F> embedded_io::ErrorType for Line<F> {
    type Error = Infallible;
}

impl<F: Fn(TcpStream)> ReadReady for Line<F> {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        let mut peer = self.peer.borrow_mut();
        let Some(stream) = &*peer else {
            if let Ok((stream, _)) = self.listener.accept() {
                stream.set_nonblocking(true).unwrap();
                (self.on_connect)(stream.try_clone().unwrap());
                *peer = Some(stream);
            }
            return Ok(false);
        };
        match stream.peek(&mut [0]) {
            Ok(1..) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // It is gone, which nobody notices on such a line.
            Ok(0) | Err(_) => {
                let _ = stream.shutdown(Shutdown::Both);
                *peer = None;
            }
        }
        Ok(false)
    }
}

impl<F: Fn(TcpStream)> embedded_io::Read for Line<F> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        while !self.read_ready()? {
            thread::sleep(Duration::from_millis(1));
        }
        let mut peer = self.peer.borrow_mut();
        Ok(peer.as_mut().expect("it is ready").read(buffer).expect("it is ready"))
    }
}

/// What the device answers.
fn answer() -> Vec<u8> {
    frame_with(0, &[], b"ok")
}

fn failure(output: &Output) -> Value {
    let events = json_lines(&output.stdout);
    let error = events.iter().find(|event| event["event"] == "error");
    error.unwrap_or_else(|| panic!("no error in {output:?}")).clone()
}
