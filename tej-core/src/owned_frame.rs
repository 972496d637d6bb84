//! Small frames that are kept, in fixed capacity.

use core::fmt;

use heapless::Vec;

use crate::{
    EncodeError, Event, File, Frame, Limits, MAX_NAME_LEN, Status, encode, encoded_len, frame::frame_head,
};

/// A whole frame of up to `N` bytes on the wire, put together from events: for programs that exchange small messages and
/// would rather have each in one piece.
///
/// It holds the frame as it is on the wire ([`as_bytes`](Self::as_bytes) can be sent on), and
/// [`frame`](Self::frame) reads it. A frame that is longer than `N` is dropped as soon as it says so, and the next one
/// is collected as usual: memory is never sized from a peer's number, and a connection outlives a large frame.
///
/// ```
/// use tej_core::{Decoder, DefaultLimits, OwnedFrame};
///
/// let mut decoder = Decoder::new([0; 16], DefaultLimits);
/// let mut owned = OwnedFrame::<64>::new();
/// for read in [&b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"[..], b"\x05Hel", b"lo"] {
///     let mut input = read;
///     while let Some(event) = decoder.decode(&mut input)? {
///         if owned.push(event)? {
///             assert_eq!(owned.frame().expect("just completed").message(), b"Hello");
///         }
///     }
/// }
/// assert_eq!(owned.as_bytes().len(), 23);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OwnedFrame<const N: usize> {
    bytes: Vec<u8, N>,
    state: State,
}

impl<const N: usize> OwnedFrame<N> {
    /// Without a frame.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), state: State::Empty }
    }

    /// Takes the next event; true when the frame is complete with it. A frame's start drops the frame before.
    ///
    /// # Errors
    ///
    /// The frame does not fit. That is said once; its other events are ignored, with `false`, up to the start of the
    /// next frame.
    pub fn push(&mut self, event: Event<'_>) -> Result<bool, FrameTooLarge> {
        if let Event::FrameStart(header) = event {
            self.clear();
            self.state = State::Collecting;
            let [_, _, count @ ..] = frame_head(header.status, header.files);
            let first = [header.status.to_wire(), header.version];
            self.put(&first, 0)?;
            // Each file has ten bytes at least.
            self.put(&count, MESSAGE_LEN + 10 * u64::from(header.files))?;
            return Ok(false);
        }
        if self.state != State::Collecting {
            return Ok(false);
        }
        match event {
            Event::FileStart { name, size } => {
                // A decoder's names are never longer.
                let name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
                let name = name.get(..MAX_NAME_LEN).unwrap_or(name);
                self.put(&name_len.to_be_bytes(), 0)?;
                self.put(name, 0)?;
                self.put(&size.to_be_bytes(), size.saturating_add(MESSAGE_LEN))?;
            }
            Event::MessageStart { size } => self.put(&size.to_be_bytes(), size)?,
            Event::FileData(data) | Event::MessageData(data) => self.put(data, 0)?,
            Event::FrameEnd => {
                self.state = State::Complete;
                return Ok(true);
            }
            Event::FileEnd | Event::FrameStart(_) => {}
        }
        Ok(false)
    }

    /// The frame, if it is complete.
    pub fn frame(&self) -> Option<Frame<'_>> {
        if self.state != State::Complete {
            return None;
        }
        let limits = Limits { any_version: true, ..Limits::UNLIMITED };
        Frame::split_from(&self.bytes, &limits, MAX_NAME_LEN).map(|(frame, _)| frame)
    }

    /// The bytes of the frame on the wire, as many of them as there are: all of them, ready to be sent on, once
    /// [`frame`](Self::frame) is there.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Drops what is there.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.state = State::Empty;
    }

    /// Appends `bytes`, if there is room for them and at least `due` more.
    fn put(&mut self, bytes: &[u8], due: u64) -> Result<(), FrameTooLarge> {
        let room = N.saturating_sub(self.bytes.len()).checked_sub(bytes.len());
        if room.is_some_and(|room| room as u64 >= due) && self.bytes.extend_from_slice(bytes).is_ok() {
            return Ok(());
        }
        self.clear();
        Err(FrameTooLarge { capacity: N })
    }
}

impl<const N: usize> Default for OwnedFrame<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// As [`encode`], into a new vector of fixed capacity.
///
/// ```
/// use tej_core::{Status, encode_to_vec};
///
/// let frame = encode_to_vec::<32>(Status::PING, &[], b"")?;
/// assert_eq!(frame.len(), 18);
/// # Ok::<(), tej_core::EncodeError>(())
/// ```
///
/// # Errors
///
/// As for [`encode`].
pub fn encode_to_vec<const N: usize>(
    status: Status,
    files: &[File<'_>],
    message: &[u8],
) -> Result<Vec<u8, N>, EncodeError> {
    let mut frame = Vec::new();
    // Where it does not fit, `encode` says why.
    let _ = frame.resize(encoded_len(files, message).min(N), 0);
    encode(status, files, message, &mut frame)?;
    Ok(frame)
}

/// A frame that is longer than what it should be kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FrameTooLarge {
    /// Bytes on the wire that would have fitted.
    pub capacity: usize,
}

impl fmt::Display for FrameTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the frame does not fit into {} bytes", self.capacity)
    }
}

impl core::error::Error for FrameTooLarge {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    /// No frame, or one that did not fit.
    Empty,
    Collecting,
    Complete,
}

/// The message length that ends every frame's fields.
const MESSAGE_LEN: u64 = 8;
