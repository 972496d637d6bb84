//! Payload that moves between a socket and a file past the program's memory, where the system can do that: on Linux, over
//! plain TCP. Everything else copies.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use tej_core::io::ReadError;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;

use crate::connection::{Excuse, Waiting};
use crate::{ReceiveError, Receiver, SendError, Sender};

impl<W: AsyncWrite + Unpin> Sender<W> {
    /// Sends the next file: exactly the first `size` bytes of `file`, wherever its position is, which stays. On Linux
    /// and over TCP ([`Connection::from_tcp`](crate::Connection::from_tcp)) they go from the disk's cache to the network
    /// without a copy (`sendfile`).
    ///
    /// Reading blocks on the disk.
    ///
    /// # Errors
    ///
    /// As for [`send_file`](Self::send_file).
    pub async fn send_std_file(&mut self, name: &str, size: u64, file: &File) -> Result<(), SendError> {
        let excuse = Excuse::new(&self.activity);
        self.start_file(name, size).await?;
        let mut sent = 0;
        loop {
            match self.send_payload_from(file, sent).await? {
                0 => break,
                n => sent += n,
            }
        }
        excuse.stands();
        Ok(())
    }

    /// Sends the next bytes of the current file or message: what `file` has from `offset` on. Returns how many were
    /// sent, as soon as it is some; 0 once the file or message is complete.
    ///
    /// [`send_std_file`](Self::send_std_file) does this for all of a file; do it yourself to see how far it is.
    ///
    /// # Errors
    ///
    /// As for [`send_file`](Self::send_file).
    pub async fn send_payload_from(&mut self, file: &File, offset: u64) -> Result<u64, SendError> {
        let excuse = Excuse::new(&self.activity);
        let due = self.writer.encoder().payload_remaining();
        let sent = match self.socket {
            Some(socket) if due >= WORTH_BYPASSING && bypass::IS_THERE => {
                self.sendfile(socket, file, offset, due).await?
            }
            _ => None,
        };
        let sent = match sent {
            Some(sent) => sent,
            None => self.copy_from(file, offset).await?,
        };
        excuse.stands();
        Ok(sent)
    }

    /// `None` when it cannot be done so.
    async fn sendfile(
        &mut self,
        socket: Socket<W>,
        file: &File,
        offset: u64,
        due: u64,
    ) -> Result<Option<u64>, SendError> {
        let most = usize::try_from(due).unwrap_or(usize::MAX).min(STEP);
        let write = self.writer.payload_io().await?.inner_mut();
        let sent = poll_fn(|cx| {
            write.poll_send(cx, |write, cx| {
                let stream = socket(write);
                poll_io(stream, Interest::WRITABLE, cx, || bypass::sendfile(stream, file, offset, most))
            })
        });
        match sent.await {
            Ok(0) => Err(ended()),
            Ok(sent) => {
                let sent = sent as u64;
                self.writer.pass_payload(sent)?;
                Ok(Some(sent))
            }
            Err(error) if is_of_transport(&error) => Err(SendError::from_transport(error)),
            // The file system cannot do it, or cannot read: copying works, or tells what is wrong with the file.
            Err(_) => Ok(None),
        }
    }

    async fn copy_from(&mut self, file: &File, offset: u64) -> Result<u64, SendError> {
        let space = self.payload_space().await?;
        if space.is_empty() {
            return Ok(0);
        }
        loop {
            match read_at(file, space, offset) {
                Ok(0) => return Err(ended()),
                Ok(n) => {
                    self.commit_payload(n)?;
                    return Ok(n as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SendError::Source(error)),
            }
        }
    }
}

impl<R: AsyncRead + Unpin> Receiver<R> {
    /// Moves the next bytes of the current file or message into `splice`, if they can go past the program's memory, and
    /// returns how many it holds then, for [`Splice::write_to`]. If it holds any already, no others are moved.
    ///
    /// 0 means that [`next`](Self::next) is due, which finds the end of the file or what was read ahead of it, and reads
    /// whatever is not worth it or cannot be moved so: on other systems than Linux and over other transports than TCP
    /// (of [`Connection::from_tcp`](crate::Connection::from_tcp)),
    /// everything.
    ///
    /// ```no_run
    /// # async fn receive(mut receiver: tej_std::Receiver, mut file: std::fs::File) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::io::Write;
    /// use tej_std::{Event, Splice};
    ///
    /// let mut splice = Splice::new();
    /// loop {
    ///     if receiver.splice_payload(&mut splice).await? > 0 {
    ///         splice.write_to(&file)?;
    ///         continue;
    ///     }
    ///     match receiver.next().await? {
    ///         Some(Event::FileData(bytes)) => file.write_all(bytes)?,
    ///         Some(Event::FileEnd) | None => break,
    ///         Some(_) => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next).
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses nothing: what was moved is in `splice`.
    pub async fn splice_payload(&mut self, splice: &mut Splice) -> Result<u64, ReceiveError> {
        if splice.held > 0 {
            return Ok(splice.held);
        }
        let Some((socket, most)) = self.worth_bypassing() else { return Ok(0) };
        let Some(pipe) = splice.pipe() else { return Ok(0) };
        let moved = self.bypass(socket, |stream| pipe.fill(stream, most)).await?;
        splice.held = moved;
        Ok(moved)
    }

    /// Passes over the next bytes of the current file or message without a look at them, and returns how many; 0 when
    /// [`next`](Self::next) is due, as for [`splice_payload`](Self::splice_payload).
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next).
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses nothing that was wanted; call it again.
    pub async fn discard_payload(&mut self, splice: &mut Splice) -> Result<u64, ReceiveError> {
        let Some((socket, most)) = self.worth_bypassing() else { return Ok(0) };
        let room = splice.room();
        self.bypass(socket, |stream| bypass::discard(stream, room, most)).await
    }

    /// Where payload can be moved from and how many bytes at most, if so many are next that it is worth it.
    fn worth_bypassing(&self) -> Option<(Socket<R>, usize)> {
        let due = self.buffer.payload_unread();
        let socket = self.socket.filter(|_| due >= WORTH_BYPASSING && bypass::IS_THERE)?;
        Some((socket, usize::try_from(due).unwrap_or(usize::MAX).min(STEP)))
    }

    /// Moves payload by `call` once there is some; 0 at the end of the stream.
    async fn bypass(
        &mut self,
        socket: Socket<R>,
        mut call: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Result<u64, ReceiveError> {
        self.read.inside_frame(true);
        let waiting = Waiting(self);
        let moved = poll_fn(|cx| {
            waiting.0.read.poll_receive(cx, |read, cx| {
                let stream = socket(read);
                poll_io(stream, Interest::READABLE, cx, || call(stream))
            })
        });
        let moved = moved.await.map_err(ReadError::Io)? as u64;
        drop(waiting);
        // No more were asked for than there are.
        self.buffer.advance_payload(moved).map_err(|error| ReceiveError::Io(io::Error::other(error)))?;
        Ok(moved)
    }
}

/// The TCP socket of a transport that is nothing else.
pub(crate) type Socket<T> = fn(&T) -> &TcpStream;

/// What payload passes through on its way from a socket to a file: a pipe of the system's, which exists from the first
/// [`Receiver::splice_payload`] on. Keep one for a file or for many, but not for a connection that only waits.
#[derive(Debug, Default)]
pub struct Splice {
    pipe: Option<bypass::Pipe>,
    /// Bytes in the pipe.
    held: u64,
    /// Where nothing is ever put, so that it takes no memory: what is discarded has to be asked for by a buffer.
    room: Vec<u8>,
}

impl Splice {
    /// An empty one, which has cost nothing yet.
    pub const fn new() -> Self {
        Self { pipe: None, held: 0, room: Vec::new() }
    }

    /// Writes all that it holds to `file`, at its position.
    ///
    /// Blocks on the disk.
    ///
    /// # Errors
    ///
    /// The disk is full or failing. What was held is lost; the connection it came by may go on.
    pub fn write_to(&mut self, file: &File) -> io::Result<()> {
        self.write_some_to(file, self.held).map(drop)
    }

    /// As [`write_to`](Self::write_to), up to `most` bytes; returns how many.
    pub(crate) fn write_some_to(&mut self, file: &File, most: u64) -> io::Result<u64> {
        let Some(pipe) = &self.pipe else { return Ok(0) };
        let some = self.held.min(most);
        match pipe.empty(file, some) {
            Ok(()) => {
                self.held -= some;
                Ok(some)
            }
            Err(error) => {
                self.clear();
                Err(error)
            }
        }
    }

    /// Bytes that it holds.
    #[cfg(feature = "inbox")]
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// Throws away what it holds.
    pub(crate) fn clear(&mut self) {
        self.pipe = None;
        self.held = 0;
    }

    /// The pipe, empty; `None` when the system has none to give.
    fn pipe(&mut self) -> Option<&bypass::Pipe> {
        if self.pipe.is_none() {
            self.pipe = bypass::Pipe::new().ok();
        }
        self.pipe.as_ref()
    }

    fn room(&mut self) -> &mut [u8] {
        if self.room.is_empty() {
            self.room = vec![0; STEP];
        }
        &mut self.room
    }
}

/// The system calls.
#[cfg(target_os = "linux")]
mod bypass {
    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::net::{RecvFlags, recv};
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
    use tokio::net::TcpStream;

    pub(super) const IS_THERE: bool = true;

    pub(super) fn sendfile(to: &TcpStream, from: &File, offset: u64, most: usize) -> io::Result<usize> {
        let mut offset = offset;
        Ok(rustix::fs::sendfile(to, from, Some(&mut offset), most)?)
    }

    /// TCP throws the bytes away that it is asked to truncate.
    pub(super) fn discard(from: &TcpStream, room: &mut [u8], most: usize) -> io::Result<usize> {
        let most = most.min(room.len());
        let (_, discarded) = recv(from, &mut room[..most], RecvFlags::TRUNC | RecvFlags::DONTWAIT)?;
        Ok(discarded)
    }

    #[derive(Debug)]
    pub(super) struct Pipe {
        read: OwnedFd,
        write: OwnedFd,
    }

    impl Pipe {
        pub(super) fn new() -> io::Result<Self> {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            // Who is not allowed so much has one that works, too.
            let _ = fcntl_setpipe_size(&write, super::STEP);
            Ok(Self { read, write })
        }

        /// Fills the empty pipe with what the socket has.
        pub(super) fn fill(&self, from: &TcpStream, most: usize) -> io::Result<usize> {
            match splice(from, None, &self.write, None, most, FLAGS | SpliceFlags::NONBLOCK) {
                // A system that cannot do it after all; a read can.
                Err(Errno::INVAL | Errno::NOSYS) => Ok(0),
                moved => Ok(moved?),
            }
        }

        /// Writes the next `held` bytes, which the pipe has, to the file.
        pub(super) fn empty(&self, to: &File, mut held: u64) -> io::Result<()> {
            while held > 0 {
                let most = usize::try_from(held).unwrap_or(usize::MAX);
                match splice(&self.read, None, to, None, most, FLAGS) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => held = held.saturating_sub(n as u64),
                    Err(Errno::INTR) => {}
                    // A file that is only appended to, or a file system that cannot do it.
                    Err(Errno::INVAL) => return self.copy(to, held),
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        }

        fn copy(&self, mut to: &File, held: u64) -> io::Result<()> {
            let from = File::from(self.read.try_clone()?);
            let copied = io::copy(&mut from.take(held), &mut to)?;
            to.flush()?;
            if copied < held { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
        }
    }

    /// The pages may be given away instead of copied, where that is possible.
    const FLAGS: SpliceFlags = SpliceFlags::MOVE;
}

/// No system calls: nothing of this is ever asked for.
#[cfg(not(target_os = "linux"))]
mod bypass {
    use std::fs::File;
    use std::io;

    use tokio::net::TcpStream;

    pub(super) const IS_THERE: bool = false;

    pub(super) fn sendfile(_: &TcpStream, _: &File, _: u64, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn discard(_: &TcpStream, _: &mut [u8], _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[derive(Debug)]
    pub(super) enum Pipe {}

    impl Pipe {
        pub(super) fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn fill(&self, _: &TcpStream, _: usize) -> io::Result<usize> {
            match *self {}
        }

        pub(super) fn empty(&self, _: &File, _: u64) -> io::Result<()> {
            match *self {}
        }
    }
}

/// Tries `call` whenever the stream is ready for it, until it does not have to wait.
fn poll_io(
    stream: &TcpStream,
    interest: Interest,
    cx: &mut Context<'_>,
    mut call: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        let ready =
            if interest.is_readable() { stream.poll_read_ready(cx) } else { stream.poll_write_ready(cx) };
        ready!(ready)?;
        match stream.try_io(interest, &mut call) {
            Err(error) if is_retried(&error) => {}
            result => return Poll::Ready(result),
        }
    }
}

/// Reads from `offset` on, wherever the file's own position is.
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, bytes, offset);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, bytes, offset);
}

fn is_retried(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Whether the socket is to blame, or a timeout, and not the file.
fn is_of_transport(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

fn ended() -> SendError {
    SendError::Source(io::ErrorKind::UnexpectedEof.into())
}

/// Bytes that are moved at once, and of the pipe where so much is allowed: system calls do not matter any more, and the
/// connection can still tell how far it is.
const STEP: usize = 1 << 20;

/// Fewer bytes of payload than this are copied, together with what comes before and after them.
const WORTH_BYPASSING: u64 = 32 * 1024;
