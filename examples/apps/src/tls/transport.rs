//! What is below TLS: the two directions of a transport, and a look at the records that come.

use core::cell::RefCell;

use embedded_io_async::{Error, ErrorKind, ErrorType, Read, Write};

/// The two directions of a stream that TLS is to run over. They may be references.
pub struct Transport<R, W> {
    read: RefCell<Records<R>>,
    write: RefCell<W>,
}

impl<R: Read, W: Write> Transport<R, W> {
    /// Of a stream on which nothing has been read or written yet.
    pub fn new(read: R, write: W) -> Self {
        Self { read: RefCell::new(Records::new(read)), write: RefCell::new(write) }
    }

    pub(super) fn ends(&self) -> Ends<'_, R, W> {
        Ends(self)
    }
}

/// A handle to it, of which each half of a connection has one. Each direction has one user at a time, because a reader is
/// never asked to write nor a writer to read.
pub(super) struct Ends<'a, R, W>(&'a Transport<R, W>);

impl<R, W> Clone for Ends<'_, R, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, W> Copy for Ends<'_, R, W> {}

/// All that embedded-tls keeps of an error.
impl<R, W> ErrorType for Ends<'_, R, W> {
    type Error = ErrorKind;
}

#[expect(clippy::await_holding_refcell_ref, reason = "the direction's one user waits")]
impl<R: Read, W> Read for Ends<'_, R, W> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read.borrow_mut().read(buf).await
    }
}

#[expect(clippy::await_holding_refcell_ref, reason = "the direction's one user waits")]
impl<R, W: Write> Write for Ends<'_, R, W> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write.borrow_mut().write(buf).await.map_err(|error| error.kind())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        self.0.write.borrow_mut().flush().await.map_err(|error| error.kind())
    }
}

/// Refuses records that may not come, before embedded-tls, which takes them, has seen the whole of their head.
struct Records<R> {
    inner: R,
    /// The head that is being read, and how much of it was.
    head: [u8; HEAD],
    filled: usize,
    /// What is left of the record behind it.
    left: usize,
    /// The server has said hello: it has keys, and uses them.
    keyed: bool,
}

impl<R: Read> Records<R> {
    fn new(inner: R) -> Self {
        Self { inner, head: [0; HEAD], filled: 0, left: 0, keyed: false }
    }

    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        let room = if self.left > 0 { self.left } else { HEAD - self.filled };
        let room = room.min(buf.len());
        let n = self.inner.read(&mut buf[..room]).await.map_err(|error| error.kind())?;
        if self.left > 0 {
            self.left -= n;
            return Ok(n);
        }
        self.head[self.filled..][..n].copy_from_slice(&buf[..n]);
        self.filled += n;
        if self.filled == HEAD {
            self.filled = 0;
            self.left = self.judge().ok_or(ErrorKind::InvalidData)?;
        }
        Ok(n)
    }

    /// The length of the record whose head is there; `None` for one that may not come.
    fn judge(&mut self) -> Option<usize> {
        let [kind, _, _, high, low] = self.head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let allowed = match kind {
            // Of which nobody takes notice during the handshake, and TLS itself complains of one after it.
            CHANGE_CIPHER_SPEC => true,
            ALERT => !self.keyed,
            HANDSHAKE => !core::mem::replace(&mut self.keyed, true),
            APPLICATION_DATA => self.keyed && length > TAG,
            _ => false,
        };
        allowed.then_some(length)
    }
}

const HEAD: usize = 5;
/// Bytes that authenticate a record; it is encrypted, and has at least a byte that says what it is.
const TAG: usize = 16;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use embassy_futures::block_on;

    use super::*;

    /// Reads all, at most `step` bytes at a time.
    fn read(mut bytes: &[u8], step: usize) -> Result<Vec<u8>, ErrorKind> {
        let (mut records, mut read) = (Records::new(&mut bytes), Vec::new());
        loop {
            let mut buf = std::vec![0; step];
            match block_on(records.read(&mut buf))? {
                0 => return Ok(read),
                n => read.extend_from_slice(&buf[..n]),
            }
        }
    }

    fn record(kind: u8, length: u8) -> Vec<u8> {
        [&[kind, 3, 3, 0, length][..], &std::vec![kind; length.into()]].concat()
    }

    #[test]
    fn records_pass_unchanged_however_they_are_read() {
        let stream =
            [record(22, 90), record(20, 1), record(23, 17), record(23, 255), record(20, 0), record(23, 40)]
                .concat();
        for step in 1..stream.len() {
            assert_eq!(read(&stream, step), Ok(stream.clone()), "{step}");
        }
        // A server that refuses the hello has no keys to say it with.
        assert!(read(&record(21, 2), 5).is_ok());
    }

    #[test]
    fn what_embedded_tls_should_not_see_is_refused() {
        let hello = record(22, 90);
        for bad in
            [record(21, 2), record(22, 4), record(23, 16), record(23, 0), record(24, 20), record(0, 20)]
        {
            for step in 1..9 {
                let stream = [hello.clone(), bad.clone()].concat();
                assert_eq!(read(&stream, step), Err(ErrorKind::InvalidData), "{bad:?} by {step}");
            }
        }
        assert_eq!(read(&record(23, 40), 5), Err(ErrorKind::InvalidData));
    }
}
