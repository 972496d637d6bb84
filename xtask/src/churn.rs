//! Thousands of visitors to the device's listener, one after the other, and the proof that they leave nothing behind.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::{
    hostile,
    log::{EMULATOR, Line},
    qemu::{self, CLIENTS, Device},
    relay,
    table::thousands,
};

/// What became of the visitors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) served: usize,
    /// How often one came when no socket listened, and came again.
    pub(crate) refused: usize,
    /// Lines of the device's log that warn of a visitor, as they should.
    warnings: usize,
    /// The most bytes of stack that the device has ever used.
    pub(crate) peak: u64,
}

/// Has the device visited by as many as [`VISITS`], of all kinds in turn and by as many at a time as it has sockets. Each has
/// to be accounted for in the device's log, with the warning that it deserves and no other. Then the device must serve with
/// all its sockets at the same time, and its stack must not have grown since the first hundred of each kind.
pub(crate) fn run(device: &mut Device) -> Result<Tally> {
    let outcome = visit_all(device);
    outcome.and_then(|tally| device.check().map(|()| tally)).map_err(|error| device.explain(&error))
}

fn visit_all(device: &Device) -> Result<Tally> {
    let begun = device.log().len();
    let early = take_turns(device, 0..EARLY)?;
    let late = take_turns(device, EARLY..VISITS)?;
    let warned = device.log().since(begun).iter().filter(|line| is_warning(line)).count();
    let tally = early.and(late);
    ensure!(
        warned == tally.warnings,
        "{warned} lines of the log are warnings, and the visitors account for {}",
        tally.warnings
    );
    serve_all_at_once(device)?;
    ensure!(
        late.peak <= early.peak + INTERRUPT,
        "the stack's peak was {} bytes after {} visitors, and {} after {}",
        thousands(early.peak),
        thousands(EARLY as u64),
        thousands(late.peak),
        thousands(VISITS as u64)
    );
    Ok(tally)
}

impl Tally {
    /// Both together.
    fn and(self, other: Self) -> Self {
        Self {
            served: self.served + other.served,
            refused: self.refused + other.refused,
            warnings: self.warnings + other.warnings,
            peak: self.peak.max(other.peak),
        }
    }
}

/// Carries out the visits of these numbers.
fn take_turns(device: &Device, visits: Range<usize>) -> Result<Tally> {
    let next = AtomicUsize::new(visits.start);
    let take_turn = || -> Result<Tally> {
        let mut tally = Tally::default();
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= visits.end {
                return Ok(tally);
            }
            let visitor = &VISITORS[number % VISITORS.len()];
            let visit = visitor.visit(device, &mut tally);
            visit.with_context(|| format!("visit {number}: {}", visitor.name)).inspect_err(|_| {
                // The others need not go on.
                next.store(visits.end, Relaxed);
            })?;
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(take_turn)).collect();
        clients.into_iter().try_fold(Tally::default(), |tally, client| {
            let more = client.join().map_err(|_| anyhow!("a client panicked"))??;
            Ok(tally.and(more))
        })
    })
}

/// How one visitor behaves.
struct Visitor {
    name: &'static str,
    bytes: &'static [u8],
    ending: Ending,
    /// What the device's log must warn of: one of these.
    warnings: &'static [&'static str],
}

enum Ending {
    Close,
    /// End the sending direction, and wait for the device to end the other one.
    EndSending,
    /// Read the answer to a greeting before closing.
    Answer,
    /// Wait for the device to close.
    Wait,
    Reset,
}

impl Visitor {
    /// Comes, again if it is refused, and counts itself.
    fn visit(&self, device: &Device, tally: &mut Tally) -> Result<()> {
        loop {
            let before = device.log().len();
            let stream = connect(device)?;
            let port = stream.local_addr()?.port();
            let behaved = self.behave(stream);
            let Ok(stack) = device.await_closed(port, before) else {
                // QEMU accepts in the device's place, and can only break off what that refuses. A visitor of whom the device
                // says nothing has not come to it.
                tally.refused += 1;
                ensure!(
                    tally.refused <= REFUSED,
                    "the device has not accounted for {} of the last {} visitors",
                    tally.refused,
                    tally.refused + tally.served
                );
                continue;
            };
            behaved?;
            tally.warnings += self.check_warnings(&device.log().since(before), port)?;
            tally.served += 1;
            tally.peak = tally.peak.max(stack.peak);
            return Ok(());
        }
    }

    fn behave(&self, mut stream: TcpStream) -> Result<()> {
        stream.write_all(self.bytes)?;
        match self.ending {
            Ending::Close => {}
            Ending::EndSending => {
                stream.shutdown(Shutdown::Write)?;
                await_end(&mut stream)?;
            }
            Ending::Answer => hostile::exchange_greetings(&mut stream)?,
            Ending::Wait => await_end(&mut stream)?,
            Ending::Reset => relay::break_off(&stream),
        }
        Ok(())
    }

    /// Counts the warnings about the connection from `port`.
    fn check_warnings(&self, lines: &[Line], port: u16) -> Result<usize> {
        let connection = format!("{}:", qemu::connection_from(port));
        let warnings: Vec<_> = lines
            .iter()
            .filter(|line| is_warning(line))
            .filter_map(|line| line.text.strip_prefix(&connection))
            .collect();
        let is_named = |text: &&str| self.warnings.iter().any(|warning| text.contains(warning));
        let is_expected = match warnings.as_slice() {
            [] => self.warnings.is_empty(),
            [first] => is_named(first),
            [first, second] => {
                matches!(self.ending, Ending::Reset)
                    && is_named(first)
                    && second.contains("not closed in order")
            }
            _ => false,
        };
        ensure!(is_expected, "the device warns of {warnings:?}");
        Ok(warnings.len())
    }
}

/// Has a frame answered by each socket while all others have a client too, and one client more refused.
fn serve_all_at_once(device: &Device) -> Result<()> {
    let before = device.log().len();
    let mut streams = Vec::new();
    for number in 1..=CLIENTS {
        let stream = greet(device).with_context(|| format!("client {number} of {CLIENTS} at a time"))?;
        streams.push(stream);
    }
    let mut one_more = connect(device)?;
    // Broken off, and not left without an answer.
    let refused = hostile::exchange_greetings(&mut one_more).err().and_then(|error| error.downcast().ok());
    let refused = refused.is_some_and(|error: std::io::Error| !TIMED_OUT.contains(&error.kind()));
    ensure!(refused, "with {CLIENTS} clients at a time, one more is served or left waiting");
    for mut stream in streams {
        hostile::exchange_greetings(&mut stream)?;
        let port = stream.local_addr()?.port();
        drop(stream);
        device.await_closed(port, before)?;
    }
    Ok(())
}

/// Of a read that was waited for in vain.
const TIMED_OUT: [ErrorKind; 2] = [ErrorKind::WouldBlock, ErrorKind::TimedOut];

/// A connection on which a frame was answered. The last visitor's socket may take a moment to listen again.
fn greet(device: &Device) -> Result<TcpStream> {
    let mut attempts = 0;
    loop {
        let mut stream = connect(device)?;
        match hostile::exchange_greetings(&mut stream) {
            Ok(()) => return Ok(stream),
            Err(error) if attempts == ATTEMPTS => return Err(error),
            Err(_) => thread::sleep(PAUSE),
        }
        attempts += 1;
    }
}

fn connect(device: &Device) -> Result<TcpStream> {
    let stream =
        TcpStream::connect_timeout(&device.address(), LIMIT).context("cannot connect to the device")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

fn await_end(stream: &mut TcpStream) -> Result<()> {
    match stream.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => bail!("the device answers"),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_warning(line: &Line) -> bool {
    line.level != EMULATOR && line.level != "INFO"
}

/// One of each kind.
const VISITORS: [Visitor; 6] = [
    Visitor { name: "closes at once", bytes: &[], ending: Ending::Close, warnings: &[] },
    Visitor {
        name: "ends the stream in the middle of a frame",
        bytes: HALF_A_FRAME,
        ending: Ending::EndSending,
        warnings: &["Truncated"],
    },
    // QEMU's user network may have read the data before it meets the reset, and then ends the stream instead.
    Visitor {
        name: "resets the connection in the middle of a frame",
        bytes: HALF_A_FRAME,
        ending: Ending::Reset,
        warnings: &["ConnectionReset", "Truncated"],
    },
    Visitor {
        name: "sends what is no frame",
        bytes: &[0; 18],
        ending: Ending::Wait,
        warnings: &["BadStartBit"],
    },
    Visitor { name: "has a frame answered", bytes: &[], ending: Ending::Answer, warnings: &[] },
    Visitor { name: "ends its direction alone", bytes: &[], ending: Ending::EndSending, warnings: &[] },
];

const VISITS: usize = 10_000;
/// The first hundred of each kind.
const EARLY: usize = 100 * VISITORS.len();
/// How often each client may be refused: a socket listens within microseconds after the device has accounted for its last
/// visitor, and sockets that are lost refuse everybody.
const REFUSED: usize = 10;
/// Bytes of stack that an interrupt takes, the processor's and its handler's, with some to spare. Where the stack is deepest,
/// one comes so rarely that the first visitors may not see it.
const INTERRUPT: u64 = 256;
/// The file's size is cut off.
const HALF_A_FRAME: &[u8] = &[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b'a', 0, 0, 0];
const ATTEMPTS: usize = 10;
const PAUSE: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: &'static str, text: &str) -> Line {
        Line { at: Duration::ZERO, level, text: text.to_owned() }
    }

    #[test]
    fn each_visitor_is_warned_of_as_it_deserves() {
        let truncated = line("WARN", "connection 10.0.2.2:549: peer error: Truncated");
        let unclosed = line("WARN", "connection 10.0.2.2:549: not closed in order: ConnectionReset");
        let others = [
            line("WARN", "connection 10.0.2.2:5491: peer error: BadStartBit"),
            line("INFO", "connection 10.0.2.2:549 closed: 0 frames"),
        ];
        let warnings = |visitor: &Visitor, lines: &[&Line]| {
            let lines: Vec<_> = lines.iter().copied().chain(&others).cloned().collect();
            visitor.check_warnings(&lines, 549).ok()
        };
        let [closes, ends, resets, ..] = &VISITORS;
        assert_eq!(warnings(closes, &[]), Some(0));
        assert_eq!(warnings(closes, &[&truncated]), None);
        assert_eq!(warnings(ends, &[]), None);
        assert_eq!(warnings(ends, &[&truncated]), Some(1));
        assert_eq!(warnings(ends, &[&unclosed]), None);
        assert_eq!(warnings(ends, &[&truncated, &unclosed]), None);
        assert_eq!(warnings(resets, &[&truncated, &unclosed]), Some(2));
        assert_eq!(warnings(resets, &[&truncated, &truncated]), None);
        assert_eq!(warnings(resets, &[&truncated, &unclosed, &unclosed]), None);
    }
}
