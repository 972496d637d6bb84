//! A loopback TCP relay: it counts what passes, notes when, and can flip one bit on the way.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// Stands between whoever connects to [`address`](Self::address) and a target. Each connection gets one of its own
/// to the target; ends of stream are passed on per direction, and a broken connection is broken on the other side
/// too.
///
/// Dropping it closes the port and breaks all connections.
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// What to look for in the bytes of the first connection, by position in its stream.
#[derive(Default)]
pub(crate) struct Watch {
    /// Positions whose passing is timed in what the connecting side sends.
    pub(crate) marks: Vec<u64>,
    /// The same in what the target sends.
    pub(crate) returned_marks: Vec<u64>,
    /// The byte whose lowest bit is flipped.
    pub(crate) flip: Option<u64>,
}

impl Relay {
    /// Opens a port on the loopback interface.
    pub(crate) fn start(target: SocketAddr, watch: Watch) -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no loopback port for the relay")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            sent: AtomicU64::new(0),
            returned: AtomicU64::new(0),
            flip: watch.flip,
            marks: Marks::new(watch.marks),
            returned_marks: Marks::new(watch.returned_marks),
            port: Mutex::default(),
            open: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// Where to connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port that the first connection to the target comes from.
    pub(crate) fn port_to_target(&self) -> Option<u16> {
        *lock(&self.shared.port)
    }

    /// Bytes from the connecting side to the target so far, over all connections.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.load(Relaxed)
    }

    /// Bytes from the target to the connecting side so far, over all connections.
    pub(crate) fn returned(&self) -> u64 {
        self.shared.returned.load(Relaxed)
    }

    /// When all bytes before each of [`Watch::marks`] had been handed to the target.
    pub(crate) fn passed(&self) -> Vec<Option<Instant>> {
        self.shared.marks.passed()
    }

    /// The same for [`Watch::returned_marks`].
    pub(crate) fn returned_passed(&self) -> Vec<Option<Instant>> {
        self.shared.returned_marks.passed()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Relaxed);
        // `accept` has no other way to be woken. A failure to connect means that it returned already.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for stream in lock(&self.shared.open).drain(..).filter_map(|stream| stream.upgrade()) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

struct Shared {
    target: SocketAddr,
    sent: AtomicU64,
    returned: AtomicU64,
    flip: Option<u64>,
    marks: Marks,
    returned_marks: Marks,
    port: Mutex<Option<u16>>,
    open: Mutex<Vec<Weak<TcpStream>>>,
    stopped: AtomicBool,
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut first = true;
    while let Ok((near, _)) = listener.accept() {
        if shared.stopped.load(Relaxed) {
            return;
        }
        let Ok(far) = TcpStream::connect_timeout(&shared.target, CONNECT_LIMIT) else {
            // What a target that refuses looks like from the other side.
            break_off(&near);
            continue;
        };
        // What is under way in the sender's buffer has passed here and not arrived: little, for the clock's sake.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&far, BUFFER);
        let (near, far) = (Arc::new(near), Arc::new(far));
        for stream in [&near, &far] {
            let _ = stream.set_nodelay(true);
            lock(&shared.open).push(Arc::downgrade(stream));
        }
        let watched = std::mem::take(&mut first);
        if watched {
            *lock(&shared.port) = far.local_addr().ok().map(|address| address.port());
        }
        thread::spawn({
            let (near, far, shared) = (Arc::clone(&near), Arc::clone(&far), Arc::clone(shared));
            move || {
                let before = |position, bytes: &mut [u8]| {
                    // Counted first, so that whatever an answer is an answer to has been counted.
                    shared.sent.fetch_add(bytes.len() as u64, Relaxed);
                    shared.flip(watched, position, bytes);
                };
                pump(&near, &far, before, |position| shared.marks.note(watched, position));
            }
        });
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let before = |_, bytes: &mut [u8]| {
                shared.returned.fetch_add(bytes.len() as u64, Relaxed);
            };
            pump(&far, &near, before, |position| shared.returned_marks.note(watched, position));
        });
    }
}

impl Shared {
    /// `bytes` begin at `position` and are about to be handed on.
    fn flip(&self, watched: bool, position: u64, bytes: &mut [u8]) {
        let Some(index) = self.flip.filter(|_| watched).and_then(|flip| flip.checked_sub(position)) else {
            return;
        };
        if let Some(byte) = usize::try_from(index).ok().and_then(|index| bytes.get_mut(index)) {
            *byte ^= 1;
        }
    }
}

/// Positions, and when they were passed.
struct Marks(Mutex<Vec<(u64, Option<Instant>)>>);

impl Marks {
    fn new(positions: Vec<u64>) -> Self {
        Self(Mutex::new(positions.into_iter().map(|position| (position, None)).collect()))
    }

    /// All bytes before `position` have been handed on.
    fn note(&self, watched: bool, position: u64) {
        if watched {
            let now = Instant::now();
            for (mark, when) in lock(&self.0).iter_mut() {
                if *mark <= position && when.is_none() {
                    *when = Some(now);
                }
            }
        }
    }

    fn passed(&self) -> Vec<Option<Instant>> {
        lock(&self.0).iter().map(|(_, when)| *when).collect()
    }
}

/// Moves bytes one way until the end of the stream, which is passed on, or an error, which breaks both connections.
fn pump(mut from: &TcpStream, mut to: &TcpStream, before: impl Fn(u64, &mut [u8]), after: impl Fn(u64)) {
    let mut buffer = vec![0; BUFFER];
    let mut position = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        before(position, &mut buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        position += count as u64;
        after(position);
    }
    break_off(from);
    break_off(to);
}

/// Makes the connection end in a reset once its last owner lets go, and wakes whoever reads from it.
pub(crate) fn break_off(stream: &TcpStream) {
    // Without it the peer would see a clean end. Nothing can be done where this fails: the peer is gone.
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
    // Only this half: shutting the other one down would send the clean end that is to be avoided.
    let _ = stream.shutdown(Shutdown::Read);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const BUFFER: usize = 64 * 1024;
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    /// A relay in front of a target, and both ends of one connection through it.
    fn pair(watch: Watch) -> (Relay, TcpStream, TcpStream) {
        let target = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Relay::start(target.local_addr().unwrap(), watch).unwrap();
        let near = TcpStream::connect(relay.address()).unwrap();
        let (far, _) = target.accept().unwrap();
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        }
        (relay, near, far)
    }

    #[test]
    fn both_directions_pass_and_are_counted() {
        let (relay, mut near, mut far) = pair(Watch::default());
        let data: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let writer = thread::spawn({
            let (data, mut near) = (data.clone(), near.try_clone().unwrap());
            move || {
                near.write_all(&data).unwrap();
                near.shutdown(Shutdown::Write).unwrap();
            }
        });
        assert_eq!(relay.port_to_target(), Some(far.peer_addr().unwrap().port()));
        let mut received = Vec::new();
        far.read_to_end(&mut received).unwrap();
        writer.join().unwrap();
        assert!(received == data);
        // The other direction still works after the first one's end.
        far.write_all(b"reply").unwrap();
        drop(far);
        let mut reply = Vec::new();
        near.read_to_end(&mut reply).unwrap();
        assert_eq!(reply, b"reply");
        assert_eq!((relay.sent(), relay.returned()), (data.len() as u64, 5));
    }

    #[test]
    fn exactly_the_wanted_bit_is_flipped() {
        for flip in [0, 1, 199_999] {
            let (_relay, mut near, mut far) = pair(Watch { flip: Some(flip), ..Watch::default() });
            let reader = thread::spawn(move || {
                let mut received = Vec::new();
                far.read_to_end(&mut received).unwrap();
                received
            });
            // Two pieces: the position counts over reads.
            near.write_all(&[0; 7]).unwrap();
            thread::sleep(Duration::from_millis(20));
            near.write_all(&vec![0; 200_000 - 7]).unwrap();
            near.shutdown(Shutdown::Write).unwrap();
            let received = reader.join().unwrap();
            assert_eq!(received.len(), 200_000);
            let changed: Vec<_> = received.iter().enumerate().filter(|(_, byte)| **byte != 0).collect();
            assert_eq!(changed, [(usize::try_from(flip).unwrap(), &1)]);
        }
    }

    #[test]
    fn marks_are_timed_in_order_once_passed() {
        let (relay, mut near, mut far) =
            pair(Watch { marks: vec![4, 6, 9], returned_marks: vec![1, 2], flip: None });
        near.write_all(b"1234").unwrap();
        far.read_exact(&mut [0; 4]).unwrap();
        near.write_all(b"56").unwrap();
        far.read_exact(&mut [0; 2]).unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(far.read(&mut [0; 1]).unwrap(), 0);
        let passed = relay.passed();
        assert!(passed[0].unwrap() < passed[1].unwrap());
        assert_eq!(passed[2], None);
        far.write_all(b"1").unwrap();
        drop(far);
        let mut returned = Vec::new();
        near.read_to_end(&mut returned).unwrap();
        let passed = relay.returned_passed();
        assert!(passed[0].is_some() && passed[1].is_none());
    }

    #[test]
    fn a_reset_is_passed_on_as_a_reset() {
        let (_relay, mut near, mut far) = pair(Watch::default());
        near.write_all(b"x").unwrap();
        far.read_exact(&mut [0; 1]).unwrap();
        break_off(&near);
        drop(near);
        assert_eq!(far.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_target_that_refuses_is_seen_by_the_connecting_side() {
        let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let relay = Relay::start(gone, Watch::default()).unwrap();
        let mut near = TcpStream::connect(relay.address()).unwrap();
        near.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(near.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn dropping_it_ends_the_connections() {
        let (relay, mut near, _far) = pair(Watch::default());
        drop(relay);
        let ended = near.read(&mut [0; 1]).or_else(|error| match error.kind() {
            ErrorKind::ConnectionReset => Ok(0),
            _ => Err(error),
        });
        assert_eq!(ended.unwrap(), 0);
    }
}
