//! Heads out, payload past.

use crate::frame::frame_head;
use crate::{EncodeError, FRAME_HEAD_LEN, MAX_NAME_LEN, MIN_FRAME_LEN, Status};

/// The sending half of TEJ v1: yields the small fixed heads of a frame and keeps the books.
///
/// Payload never passes through it. The caller writes a head, writes the payload from wherever it lies
/// (`sendfile`, DMA, a slice) and tells [`payload`](Self::payload) how much that was. What is refused is refused
/// before a byte is on the wire: a head out of order, more or less payload than announced.
///
/// ```
/// use tej_core::{Encoder, Status};
///
/// let mut encoder = Encoder::new();
/// let mut wire = Vec::new();
/// wire.extend(encoder.start_frame(Status::ZERO, 1)?);
/// let head = encoder.start_file(b"a.txt", 2)?;
/// wire.extend(head.name_len);
/// wire.extend(b"a.txt");
/// wire.extend(head.size);
/// encoder.payload(2)?;
/// wire.extend(b"hi");
/// wire.extend(encoder.start_message(0)?);
/// assert!(encoder.is_idle());
/// assert_eq!(wire, b"\x80\x01\0\0\0\0\0\0\0\x01\0\x05a.txt\0\0\0\0\0\0\0\x02hi\0\0\0\0\0\0\0\0");
/// # Ok::<(), tej_core::EncodeError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Encoder {
    /// Bytes of the current frame that have been announced: what is written plus the payload still due.
    frame_len: u64,
    files_left: u32,
    remaining: u64,
    state: State,
}

impl Encoder {
    /// An encoder between two frames.
    pub const fn new() -> Self {
        Self { frame_len: 0, files_left: 0, remaining: 0, state: State::Idle }
    }

    /// Begins a frame of `files` files. Write the bytes, then call [`start_file`](Self::start_file) that many
    /// times and [`start_message`](Self::start_message) once.
    ///
    /// # Errors
    ///
    /// [`EncodeError::OutOfOrder`] or [`EncodeError::PayloadMissing`] while another frame is unfinished.
    #[inline]
    pub fn start_frame(&mut self, status: Status, files: u32) -> Result<[u8; FRAME_HEAD_LEN], EncodeError> {
        self.expect(State::Idle)?;
        self.state = State::Head;
        self.files_left = files;
        self.frame_len = FRAME_HEAD_LEN as u64;
        Ok(frame_head(status, files))
    }

    /// Begins the next file. Write [`FileHead::name_len`], the name, [`FileHead::size`], then `size` bytes of data.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NameTooLong`] over 65,535 bytes; [`EncodeError::FrameTooLong`] when the frame could not be
    /// counted in 64 bits; [`EncodeError::OutOfOrder`] when all announced files have been sent or no frame was
    /// begun; [`EncodeError::PayloadMissing`] when the file before is unfinished.
    #[inline]
    pub fn start_file(&mut self, name: &[u8], size: u64) -> Result<FileHead, EncodeError> {
        self.expect(State::Head)?;
        let files_left = self.files_left.checked_sub(1).ok_or(EncodeError::OutOfOrder)?;
        let Ok(name_len) = u16::try_from(name.len()) else {
            return Err(EncodeError::NameTooLong(name.len()));
        };
        self.announce(2 + 8 + u64::from(name_len), size)?;
        self.files_left = files_left;
        self.remaining = size;
        self.state = if size == 0 { State::Head } else { State::FileData };
        Ok(FileHead { name_len: name_len.to_be_bytes(), size: size.to_be_bytes() })
    }

    /// Begins the message, which ends the frame. Every frame has one; `size` 0 is "no message".
    ///
    /// # Errors
    ///
    /// As for [`start_file`](Self::start_file); [`EncodeError::OutOfOrder`] also while files are still to come.
    #[inline]
    pub fn start_message(&mut self, size: u64) -> Result<[u8; 8], EncodeError> {
        self.expect(State::Head)?;
        if self.files_left > 0 {
            return Err(EncodeError::OutOfOrder);
        }
        self.announce(8, size)?;
        self.remaining = size;
        self.state = if size == 0 { State::Idle } else { State::MessageData };
        Ok(size.to_be_bytes())
    }

    /// Accounts for a whole frame without files whose message goes out in one piece: writes everything before the
    /// message into `head`, which is often the start of the caller's own buffer. Write `head`, then all `size` bytes
    /// of the message; the encoder is between two frames again, and no [`payload`](Self::payload) is due.
    ///
    /// ```
    /// use tej_core::{Encoder, MIN_FRAME_LEN, Status};
    ///
    /// let mut encoder = Encoder::new();
    /// let mut head = [0; MIN_FRAME_LEN];
    /// encoder.message_frame(Status::ZERO, 5, &mut head)?;
    /// assert!(encoder.is_idle());
    /// assert_eq!([&head[..], b"Hello"].concat(), b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05Hello");
    /// # Ok::<(), tej_core::EncodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`start_frame`](Self::start_frame), and [`EncodeError::FrameTooLong`]; `head` is untouched.
    #[inline]
    pub fn message_frame(
        &mut self,
        status: Status,
        size: u64,
        head: &mut [u8; MIN_FRAME_LEN],
    ) -> Result<(), EncodeError> {
        self.expect(State::Idle)?;
        self.frame_len = size.checked_add(MIN_FRAME_LEN as u64).ok_or(EncodeError::FrameTooLong)?;
        let [start @ .., a, b, c, d, e, f, g, h] = head;
        *start = frame_head(status, 0);
        [*a, *b, *c, *d, *e, *f, *g, *h] = size.to_be_bytes();
        Ok(())
    }

    /// Says that the next `n` bytes of the current file or message are being written. The last of them ends it.
    ///
    /// # Errors
    ///
    /// [`EncodeError::PayloadOverrun`] when that is more than was announced: write none of it.
    #[inline]
    pub fn payload(&mut self, n: u64) -> Result<(), EncodeError> {
        let remaining = self.remaining;
        if self.state == State::Aborted {
            return Err(EncodeError::Aborted);
        }
        if n > remaining {
            return Err(EncodeError::PayloadOverrun { offered: n, remaining });
        }
        self.remaining = remaining.wrapping_sub(n);
        if self.remaining == 0 {
            self.state = match self.state {
                State::FileData => State::Head,
                State::MessageData => State::Idle,
                other => other,
            };
        }
        Ok(())
    }

    /// Bytes of the current file or message that are still to be written.
    #[inline]
    pub fn payload_remaining(&self) -> u64 {
        self.remaining
    }

    /// Bytes of the current frame that have been announced so far, or of the last one once it is complete: its
    /// heads, names and payload.
    #[inline]
    pub fn frame_len(&self) -> u64 {
        self.frame_len
    }

    /// Whether no frame is begun: the stream may be ended here, or another frame begun.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Gives the stream up: every later call returns [`EncodeError::Aborted`]. For a write that failed in the
    /// middle, after which nobody knows what the peer has, or for a source that ends before its announced size.
    ///
    /// ```
    /// use tej_core::{EncodeError, Encoder, Status};
    ///
    /// let mut encoder = Encoder::new();
    /// encoder.start_frame(Status::ZERO, 0)?;
    /// encoder.start_message(5)?;
    /// encoder.payload(2)?; // and then the sensor fails
    /// encoder.abort();
    /// assert_eq!(encoder.payload(3), Err(EncodeError::Aborted));
    /// assert!(!encoder.is_idle()); // close the connection: the peer sees a truncated frame
    /// # Ok::<(), EncodeError>(())
    /// ```
    #[inline]
    pub fn abort(&mut self) {
        self.state = State::Aborted;
        self.remaining = 0;
    }

    #[inline]
    fn expect(&self, state: State) -> Result<(), EncodeError> {
        match self.state {
            current if current == state => Ok(()),
            State::Aborted => Err(EncodeError::Aborted),
            State::FileData | State::MessageData => Err(EncodeError::PayloadMissing(self.remaining)),
            State::Idle | State::Head => Err(EncodeError::OutOfOrder),
        }
    }

    #[inline]
    fn announce(&mut self, head: u64, size: u64) -> Result<(), EncodeError> {
        self.frame_len = self
            .frame_len
            .checked_add(head)
            .and_then(|len| len.checked_add(size))
            .ok_or(EncodeError::FrameTooLong)?;
        Ok(())
    }
}

/// The fixed fields around a file name, ready for the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FileHead {
    /// Goes before the name.
    pub name_len: [u8; 2],
    /// Goes after the name, before the data.
    pub size: [u8; 8],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    #[default]
    Idle,
    /// Inside a frame, where a file or the message may begin.
    Head,
    FileData,
    MessageData,
    Aborted,
}

const _: () = assert!(MAX_NAME_LEN == u16::MAX as usize);
