//! Writing without a transport.

use core::fmt;

use crate::{EncodeError, Encoder, MIN_FRAME_LEN, Status};

/// An [`Encoder`] and the bytes that have not gone to the transport, without the writing: the part of a frame writer
/// that is the same whether the transport is async, blocking or somebody else's.
///
/// Heads and small pieces of payload collect in the staging buffer `B`, so that a head travels with the first bytes of
/// its payload and small frames share a segment. A piece that fits joins what is staged. Otherwise the stage is filled
/// and written; what is left goes out from where it lies if it is at least as long as the stage, and is staged if not. A
/// piece that has begun to go out from where it lies goes so to its end: a transport that takes a part of it has no room,
/// and the copy of the rest would gain nothing. With a buffer of length 0 every piece goes out by itself.
///
/// To write a piece, go on while [`stage`](Self::stage) says so; to push what is staged, go on while anything is
/// [`pending`](Self::pending). Payload that is streamed is announced to the encoder first
/// ([`Encoder::payload`](crate::Encoder::payload)).
///
/// ```
/// use std::io::{Error, ErrorKind, Result, Write};
/// use tej_core::{MIN_FRAME_LEN, Status, io::EncodeBuffer};
///
/// struct Writer {
///     transport: Vec<u8>,
///     buffer: EncodeBuffer<[u8; 64]>,
/// }
///
/// impl Writer {
///     fn put(&mut self, mut piece: &[u8]) -> Result<()> {
///         self.buffer.begin().map_err(Error::other)?;
///         while self.buffer.stage(&mut piece) {
///             self.write_some(&mut piece)?;
///         }
///         self.buffer.end();
///         Ok(())
///     }
///
///     fn push(&mut self) -> Result<()> {
///         self.buffer.begin().map_err(Error::other)?;
///         while !self.buffer.pending(b"").is_empty() {
///             self.write_some(&mut &b""[..])?;
///         }
///         self.buffer.end();
///         Ok(())
///     }
///
///     fn write_some(&mut self, piece: &mut &[u8]) -> Result<()> {
///         match self.transport.write(self.buffer.pending(piece))? {
///             0 => Err(ErrorKind::WriteZero.into()),
///             n => Ok(self.buffer.advance(n, piece)),
///         }
///     }
/// }
///
/// let mut writer = Writer { transport: Vec::new(), buffer: EncodeBuffer::new([0; 64]) };
/// let mut head = [0; MIN_FRAME_LEN];
/// writer.buffer.encoder_mut()?.message_frame(Status::ZERO, 5, &mut head)?;
/// writer.put(&head)?;
/// writer.put(b"Hello")?;
/// assert!(writer.transport.is_empty());
/// writer.push()?;
/// assert_eq!(writer.transport, b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05Hello");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EncodeBuffer<B> {
    stage: B,
    /// Staged bytes, and how many of them the transport has taken: more than 0 only while the stage is being emptied.
    staged: usize,
    taken: usize,
    encoder: Encoder,
    /// The transport has taken a part of the piece from where it lies: the rest goes the same way.
    is_piece_begun: bool,
    interrupted: bool,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> EncodeBuffer<B> {
    /// Empty, between two frames.
    pub const fn new(stage: B) -> Self {
        Self {
            stage,
            staged: 0,
            taken: 0,
            encoder: Encoder::new(),
            is_piece_begun: false,
            interrupted: false,
        }
    }

    /// The books: what was announced. Whether its bytes have left is another matter.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The encoder, whose heads and payload are then to be written.
    ///
    /// # Errors
    ///
    /// An earlier write did not [`end`](Self::end).
    pub fn encoder_mut(&mut self) -> Result<&mut Encoder, Interrupted> {
        if self.interrupted { Err(Interrupted) } else { Ok(&mut self.encoder) }
    }

    /// Before a piece is written: until [`end`](Self::end), everything else fails, because nobody knows how much of the
    /// piece the peer has.
    ///
    /// # Errors
    ///
    /// An earlier write did not end.
    pub fn begin(&mut self) -> Result<(), Interrupted> {
        self.encoder_mut()?;
        self.interrupted = true;
        Ok(())
    }

    /// The piece, or the flush of the transport, is done.
    pub fn end(&mut self) {
        self.interrupted = false;
    }

    /// Stages what fits of `piece`, and moves it past that. While this is true, give [`pending`](Self::pending) to the
    /// transport, tell [`advance`](Self::advance), and ask again.
    pub fn stage(&mut self, piece: &mut &[u8]) -> bool {
        if self.taken > 0 {
            return true;
        }
        let capacity = self.stage.as_ref().len();
        if self.staged == 0 && (piece.len() >= capacity || self.is_piece_begun) {
            return !piece.is_empty();
        }
        let space = self.stage.as_mut().get_mut(self.staged..).unwrap_or_default();
        let n = space.len().min(piece.len());
        if let (Some(space), Some((now, later))) = (space.get_mut(..n), piece.split_at_checked(n)) {
            space.copy_from_slice(now);
            *piece = later;
        }
        self.staged = self.staged.saturating_add(n);
        self.staged >= capacity
    }

    /// [`stage`](Self::stage) for several pieces, one after the other, and `then`: whether something is to be written.
    #[cfg(feature = "embedded-io")]
    pub(super) fn stage_all<'a>(
        &mut self,
        piece: &mut &'a [u8],
        pieces: &mut core::slice::Iter<'_, &'a [u8]>,
        then: Then,
    ) -> bool {
        loop {
            if self.stage(piece) {
                return true;
            }
            match pieces.next() {
                Some(next) => *piece = next,
                None => return then == Then::Push && self.staged > 0,
            }
        }
    }

    /// Stages a whole frame without files if it leaves room in the stage: the short way for many small ones.
    ///
    /// # Errors
    ///
    /// Those of [`Encoder::message_frame`]; [`EncodeError::Aborted`] after an interrupted write. Nothing is staged.
    #[inline]
    pub fn stage_message(&mut self, status: Status, message: &[u8]) -> Result<Staged, EncodeError> {
        if self.interrupted {
            return Err(EncodeError::Aborted);
        }
        let space = self.stage.as_mut().get_mut(self.staged..).unwrap_or_default();
        let Some((head, space)) = space.split_first_chunk_mut::<MIN_FRAME_LEN>() else {
            return Ok(Staged::No);
        };
        if message.len() >= space.len() {
            return Ok(Staged::No);
        }
        let space = space.get_mut(..message.len()).unwrap_or_default();
        self.encoder.message_frame(status, message.len() as u64, head)?;
        space.copy_from_slice(message);
        self.staged = self.staged.saturating_add(MIN_FRAME_LEN).saturating_add(message.len());
        Ok(Staged::Yes)
    }

    /// What is to be written next: the staged bytes, if there are any, else `piece`. Empty when all is written.
    pub fn pending<'a>(&'a self, piece: &'a [u8]) -> &'a [u8] {
        if self.staged > 0 {
            self.stage.as_ref().get(self.taken..self.staged).unwrap_or_default()
        } else {
            piece
        }
    }

    /// Says that the transport took the first `n` bytes of [`pending`](Self::pending).
    pub fn advance(&mut self, n: usize, piece: &mut &[u8]) {
        if self.staged == 0 {
            *piece = piece.get(n..).unwrap_or_default();
            self.is_piece_begun = !piece.is_empty();
            return;
        }
        self.taken = self.taken.saturating_add(n);
        if self.taken >= self.staged {
            self.taken = 0;
            self.staged = 0;
        }
    }

    /// Whether [`space`](Self::space) would be empty for want of room.
    pub fn is_full(&self) -> bool {
        self.staged >= self.stage.as_ref().len()
    }

    /// Bytes of room in the staging buffer, whatever is due.
    pub fn free(&self) -> usize {
        self.stage.as_ref().len().saturating_sub(self.staged)
    }

    /// Free space of the staging buffer, to produce payload in place; at most the rest of the current payload.
    pub fn space(&mut self) -> &mut [u8] {
        let remaining = usize::try_from(self.encoder.payload_remaining()).unwrap_or(usize::MAX);
        let space = self.stage.as_mut().get_mut(self.staged..).unwrap_or_default();
        let len = space.len().min(remaining);
        space.get_mut(..len).unwrap_or_default()
    }

    /// Takes the first `n` bytes of [`space`](Self::space) as the next payload.
    ///
    /// # Errors
    ///
    /// [`EncodeError::PayloadOverrun`] when `n` is more than that space; nothing is taken.
    /// [`EncodeError::Aborted`] after an interrupted write.
    pub fn commit(&mut self, n: usize) -> Result<(), EncodeError> {
        let free = self.free();
        let Ok(encoder) = self.encoder_mut() else { return Err(EncodeError::Aborted) };
        if n > free {
            return Err(EncodeError::PayloadOverrun { offered: n as u64, remaining: free as u64 });
        }
        encoder.payload(n as u64)?;
        self.staged = self.staged.saturating_add(n);
        Ok(())
    }

    /// Says that the caller wrote the next `n` bytes of payload to the transport itself (sendfile, DMA), where they go
    /// behind all that was staged before.
    ///
    /// # Errors
    ///
    /// [`EncodeError::OutOfOrder`] when something is staged, which should have gone first;
    /// [`EncodeError::PayloadOverrun`] when `n` is more than is due; [`EncodeError::Aborted`] after an interrupted
    /// write. Nothing is changed.
    pub fn pass_payload(&mut self, n: u64) -> Result<(), EncodeError> {
        let staged = self.staged;
        let Ok(encoder) = self.encoder_mut() else { return Err(EncodeError::Aborted) };
        if staged > 0 {
            return Err(EncodeError::OutOfOrder);
        }
        encoder.payload(n)
    }

    /// Whether a write did not [`end`](Self::end): the connection can only be closed.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// The staging buffer itself, for one that can grow. A longer buffer must keep all its bytes where they are; a shorter
    /// one, or another, may take its place only while nothing is staged.
    pub fn stage_mut(&mut self) -> &mut B {
        &mut self.stage
    }

    /// Gives the staging buffer back; bytes that were staged are lost.
    pub fn into_stage(self) -> B {
        self.stage
    }
}

/// What becomes of bytes that are staged.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg(feature = "embedded-io")]
pub(super) enum Then {
    /// They stay, for others to join them.
    Stage,
    /// They go to the transport.
    Push,
}

/// Whether a message was staged; if not, nothing was done for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a message that was not staged has to be fed or sent"]
pub enum Staged {
    /// It was.
    Yes,
    /// There was no room.
    No,
}

/// An earlier write failed or was dropped before it was done: the connection can only be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an earlier write did not finish")
    }
}

impl core::error::Error for Interrupted {}
