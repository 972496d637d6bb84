//! What strangers do to the device's listener, and the proof that it names the fault and serves the next one.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::{
    log::Line,
    payload,
    qemu::{self, Device},
    relay,
};

/// A stranger's stream.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    bytes: &'static [u8],
    ending: Ending,
    /// What the device's log must name: one of these.
    errors: &'static [&'static str],
}

enum Ending {
    /// Wait for the device to close.
    Wait,
    Close,
    /// Break the connection off, one that the device has already answered a frame on.
    Reset,
}

impl Attack {
    /// Carries it out and waits for the device to log the typed error and to close the connection.
    pub(crate) fn run(&self, device: &mut Device) -> Result<()> {
        let before = device.log().len();
        let outcome = self.send(device).and_then(|(port, stream)| {
            let what = format!("{} after {}", self.errors.join(" or "), self.name);
            device.log().wait_for(before, LIMIT, &what, |text| self.is_named_in(text, port))?;
            if let Some(stream) = stream {
                await_close(stream).with_context(|| format!("after {}", self.name))?;
            }
            device.await_closed(port, before)
        });
        outcome.and_then(|_| device.check()).map_err(|error| device.explain(&error))
    }

    /// Puts it on a device's UART, and waits for the device to log the typed error. Whoever comes next has to wait until the
    /// device begins afresh: see [`expect_fresh`].
    pub(crate) fn run_on_line(&self, device: &mut Device) -> Result<()> {
        let before = device.log().len();
        let outcome = TcpStream::connect_timeout(&device.address(), LIMIT)
            .and_then(|mut line| line.write_all(self.bytes))
            .with_context(|| format!("cannot send {}", self.name))
            .and_then(|()| {
                let what = format!("{} after {}", self.errors.join(" or "), self.name);
                let is_named = |text: &str| {
                    text.starts_with("line: peer error")
                        && self.errors.iter().any(|error| text.contains(error))
                };
                device.log().wait_for(before, LIMIT, &what, is_named)
            });
        outcome.and_then(|_| device.check()).map_err(|error| device.explain(&error))
    }

    fn is_named_in(&self, text: &str, port: u16) -> bool {
        text.strip_prefix(&qemu::connection_from(port)).is_some_and(|text| {
            text.starts_with(':') && self.errors.iter().any(|&error| text.contains(error))
        })
    }

    /// Gives the port it came from, and the connection if it is to be closed by the device.
    fn send(&self, device: &Device) -> Result<(u16, Option<TcpStream>)> {
        let mut stream =
            TcpStream::connect_timeout(&device.address(), LIMIT).context("cannot connect to the device")?;
        stream.set_nodelay(true)?;
        let port = stream.local_addr()?.port();
        stream.set_read_timeout(Some(LIMIT))?;
        if let Ending::Reset = self.ending {
            // Otherwise the reset could come before the device knows of the connection.
            exchange_greetings(&mut stream).context("the frame before the attack")?;
        }
        stream.write_all(self.bytes).with_context(|| format!("cannot send {}", self.name))?;
        match self.ending {
            Ending::Wait => return Ok((port, Some(stream))),
            Ending::Close => stream.shutdown(Shutdown::Write)?,
            Ending::Reset => relay::break_off(&stream),
        }
        Ok((port, None))
    }
}

/// One of each kind.
pub(crate) const ATTACKS: [Attack; 5] = [
    Attack { name: "eighteen zero bytes", bytes: &[0; 18], ending: Ending::Wait, errors: &["BadStartBit"] },
    Attack {
        name: "an unknown version",
        bytes: &[0x80, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ending: Ending::Wait,
        errors: &["UnsupportedVersion"],
    },
    Attack {
        name: "a frame that ends inside a file's name",
        bytes: &[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 5, b'a', b'.', b't'],
        ending: Ending::Close,
        errors: &["Truncated"],
    },
    Attack {
        name: "a head that announces a message of 2^63 bytes",
        bytes: &[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ending: Ending::Wait,
        errors: &["MessageTooLong"],
    },
    // The device has no limit for files: it is still reading when the reset comes. QEMU's user network may have read the
    // data before it meets the reset, and then ends the stream instead.
    Attack {
        name: "a reset at the start of a file of 2^63 bytes",
        bytes: &[
            0x80, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b'a', 0x80, 0, 0, 0, 0, 0, 0, 0, b'd', b'a', b't', b'a',
        ],
        ending: Ending::Reset,
        errors: &["ConnectionReset", "Truncated"],
    },
];

/// What is on a UART when something went wrong.
pub(crate) const GARBAGE: [&Attack; 2] = [&ATTACKS[0], &ATTACKS[2]];

/// Sees that a device on a line has said that it began afresh, and answered somebody after that, since its log had `from`
/// lines.
pub(crate) fn expect_fresh(device: &Device, from: usize) -> Result<()> {
    if is_fresh(&device.log().since(from)) {
        return Ok(());
    }
    Err(device.explain(&anyhow!("the device answered, and had not logged that it begins afresh")))
}

/// Whether the first answer came after the gap.
fn is_fresh(lines: &[Line]) -> bool {
    let first = |begin: &str| lines.iter().position(|line| line.text.starts_with(begin));
    first(FRESH).zip(first(ANSWERED)).is_some_and(|(fresh, answered)| fresh < answered)
}

/// Sends a frame with the message "hi" and checks the answer.
pub(crate) fn exchange_greetings(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(&[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, b'h', b'i'])?;
    let text = format!("message {} 2\n", payload::digest(b"hi"));
    let mut expected = vec![0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    expected.extend((text.len() as u64).to_be_bytes());
    expected.extend(text.as_bytes());
    let mut reply = vec![0; expected.len()];
    stream.read_exact(&mut reply)?;
    ensure!(reply == expected, "the device answers {:?}, not {text:?}", String::from_utf8_lossy(&reply));
    Ok(())
}

fn await_close(mut stream: TcpStream) -> Result<()> {
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("the device did not close the connection within {} s", LIMIT.as_secs())
            }
            Err(error) => return Err(error.into()),
        }
    }
}

const LIMIT: Duration = Duration::from_secs(20);
/// What a device on a line logs once the line was silent after a fault.
const FRESH: &str = "line: silent, so the stream begins afresh";
const ANSWERED: &str = "answered a frame";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_about_the_strangers_connection_count() {
        let [zeros, .., reset] = &ATTACKS;
        assert!(zeros.is_named_in("connection 10.0.2.2:549: peer error: BadStartBit { offset: 0 }", 549));
        assert!(!zeros.is_named_in("connection 10.0.2.2:549: peer error: UnsupportedVersion", 549));
        assert!(!zeros.is_named_in("connection 10.0.2.2:5496: peer error: BadStartBit { offset: 0 }", 549));
        assert!(reset.is_named_in("connection 10.0.2.2:549: Read(Io(ConnectionReset))", 549));
        assert!(!reset.is_named_in("connection lost: Read(Io(ConnectionReset))", 549));
    }

    #[test]
    fn an_answer_before_the_gap_is_not_fresh() {
        let is_fresh = |texts: &[&str]| {
            let line = |text: &&str| Line { at: Duration::ZERO, level: "INFO", text: (*text).to_owned() };
            is_fresh(&texts.iter().map(line).collect::<Vec<_>>())
        };
        let fault = "line: peer error: Truncated";
        assert!(is_fresh(&[fault, FRESH, ANSWERED]));
        assert!(!is_fresh(&[fault, ANSWERED]));
        assert!(!is_fresh(&[fault, ANSWERED, FRESH]));
        assert!(!is_fresh(&[fault, FRESH]));
    }
}
