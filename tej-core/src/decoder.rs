//! Bytes in, events out.

use core::borrow::Borrow;
use core::fmt;

use crate::{DecodeError, DecodeErrorKind, Event, FRAME_HEAD_LEN, FrameHeader, Limits, Status, VERSION};

/// The receiving half of TEJ v1: consumes bytes, yields [`Event`]s.
///
/// The caller owns the bytes. The decoder never copies payload; it stores only what a read may cut in two, the
/// fixed fields and a file name. It reads no clock, no socket and no file, never allocates and never panics.
///
/// # Storage and limits
///
/// `N` is the name storage: an array, a `&'static mut [u8]`, a `Vec<u8>`. Its length is the limit for file names,
/// whether a name was cut by a read or not. `L` holds the [`Limits`]: a reference, an `Arc`, or the value itself.
///
/// # Calling it
///
/// [`decode`](Self::decode) in a loop until it returns `Ok(None)`, then again with more input:
///
/// ```
/// use tej_core::{Decoder, Event, Limits};
///
/// let mut decoder = Decoder::new([0; 64], &Limits::DEFAULT);
/// let mut input: &[u8] = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05Hello";
/// let mut message = Vec::new();
/// while let Some(event) = decoder.decode(&mut input)? {
///     if let Event::MessageData(chunk) = event {
///         message.extend_from_slice(chunk);
///     }
/// }
/// decoder.finish()?;
/// assert_eq!(message, b"Hello");
/// # Ok::<(), tej_core::DecodeError>(())
/// ```
///
/// Code that must refill its buffer between two calls, above all async code, calls [`step`](Self::step), which
/// borrows nothing, and [`resolve`](Self::resolve) once it has an event.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Decoder<N = [u8; 255], L = &'static Limits> {
    /// Bytes of the stream consumed so far.
    offset: u64,
    /// Bytes of the current frame announced so far: its fields up to here and the payload they announced. Kept
    /// apart from `offset`, which may wrap. After a fault, the fault's offset.
    frame_len: u64,
    /// Files of the current frame that have not ended.
    files_left: u64,
    /// By state: the bytes of a field so far, the payload still to come, or the fault's value.
    value: u64,
    limits: L,
    name_len: u16,
    /// Bytes of the current field or name that have arrived.
    filled: u16,
    state: State,
    status: Status,
    version: u8,
    any_version: bool,
    name: N,
}

impl<N: AsRef<[u8]> + AsMut<[u8]>, L: Borrow<Limits>> Decoder<N, L> {
    /// A decoder at the start of a stream. The length of `name` is the limit for file names, up to 65,535.
    pub const fn new(name: N, limits: L) -> Self {
        Self {
            offset: 0,
            frame_len: 0,
            files_left: 0,
            value: 0,
            limits,
            name_len: 0,
            filled: 0,
            state: State::Status,
            status: Status::ZERO,
            version: 0,
            any_version: false,
            name,
        }
    }

    /// Accepts frames of any version and reads them as version 1, as the Python original does.
    #[must_use]
    pub fn accept_any_version(mut self) -> Self {
        self.any_version = true;
        self
    }

    /// Yields the next event and moves `input` past the bytes that were consumed for it.
    ///
    /// `Ok(None)` means that all of `input` was consumed and more is needed. Some events consume nothing
    /// ([`Event::FileEnd`], [`Event::FrameEnd`]), so go on until `None` even when `input` is empty. An empty
    /// input is not the end of the stream: [`finish`](Self::finish) is.
    ///
    /// # Errors
    ///
    /// A fault of the peer. It is sticky, and `input` is not moved.
    pub fn decode<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<Event<'s>>, DecodeError> {
        let whole = *input;
        let Step { consumed, event } = self.step(whole)?;
        *input = whole.get(consumed..).unwrap_or_default();
        Ok(event.map(|span| self.resolve(span, whole)))
    }

    /// As [`decode`](Self::decode), but borrows nothing: it says how many bytes were consumed and where in `input`
    /// the event lies.
    ///
    /// Without an event, `consumed` is always the whole of `input`.
    ///
    /// # Errors
    ///
    /// As for [`decode`](Self::decode).
    pub fn step(&mut self, input: &[u8]) -> Result<Step, DecodeError> {
        let mut rest = input;
        let event = loop {
            match self.state {
                State::Status => {
                    let Some(byte) = self.take_byte(&mut rest) else { break None };
                    let Some(status) = Status::from_wire(byte) else {
                        return Err(self.fail(DecodeErrorKind::BadStartBit, u64::from(byte), 1));
                    };
                    self.status = status;
                    self.state = State::Version;
                }
                State::Version => {
                    let Some(version) = self.take_byte(&mut rest) else { break None };
                    if version != VERSION && !self.any_version {
                        return Err(self.fail(DecodeErrorKind::UnsupportedVersion, u64::from(version), 1));
                    }
                    self.version = version;
                    self.state = State::FileCount;
                }
                State::FileCount => {
                    let Some(files) = self.take_field::<8>(&mut rest) else { break None };
                    if files > self.limits.borrow().files {
                        return Err(self.fail(DecodeErrorKind::TooManyFiles, files, 8));
                    }
                    self.frame_len = FRAME_HEAD_LEN as u64;
                    self.files_left = files;
                    self.state = self.after_file();
                    let header = FrameHeader { status: self.status, version: self.version, files };
                    break Some(Span::FrameStart(header));
                }
                State::NameLen => {
                    let Some(len) = self.take_field::<2>(&mut rest) else { break None };
                    // A two-byte field always fits; the fallback only spares a panic path.
                    self.name_len = u16::try_from(len).unwrap_or(u16::MAX);
                    if usize::from(self.name_len) > self.name.as_ref().len() {
                        return Err(self.fail(DecodeErrorKind::NameTooLong, len, 2));
                    }
                    let name_at = input.len().wrapping_sub(rest.len());
                    if let Some(size) = self.take_name_in_place(&mut rest) {
                        self.begin_file(size)?;
                        break Some(Span::FileStart { name: NameSpan::Input { start: name_at }, size });
                    }
                    self.state = State::Name;
                }
                State::Name => {
                    if !self.store_name(&mut rest) {
                        break None;
                    }
                    self.filled = 0;
                    self.state = State::FileLen;
                }
                State::FileLen => {
                    let Some(size) = self.take_field::<8>(&mut rest) else { break None };
                    self.begin_file(size)?;
                    break Some(Span::FileStart { name: NameSpan::Stored, size });
                }
                State::FileData => {
                    let Some((start, end)) = self.take_payload(input, &mut rest) else { break None };
                    break Some(Span::FileData { start, end });
                }
                State::FileEnd => {
                    self.files_left = self.files_left.saturating_sub(1);
                    self.state = self.after_file();
                    break Some(Span::FileEnd);
                }
                State::MessageLen => {
                    let Some(size) = self.take_field::<8>(&mut rest) else { break None };
                    self.announce(8, size, self.limits.borrow().message, DecodeErrorKind::MessageTooLong)?;
                    self.value = size;
                    self.state = if size == 0 { State::FrameEnd } else { State::MessageData };
                    break Some(Span::MessageStart { size });
                }
                State::MessageData => {
                    let Some((start, end)) = self.take_payload(input, &mut rest) else { break None };
                    break Some(Span::MessageData { start, end });
                }
                State::FrameEnd => {
                    self.state = State::Status;
                    break Some(Span::FrameEnd);
                }
                State::Failed(kind) => return Err(self.fault(kind)),
            }
        };
        Ok(Step { consumed: input.len().wrapping_sub(rest.len()), event: event.map(EventSpan) })
    }

    /// Borrows the event that [`step`](Self::step) found in `input`.
    ///
    /// `input` must be the slice that was given to that `step`, and no other `step` may have come between;
    /// otherwise the event's bytes are some other bytes, or none.
    pub fn resolve<'s>(&'s self, span: EventSpan, input: &'s [u8]) -> Event<'s> {
        match span.0 {
            Span::FrameStart(header) => Event::FrameStart(header),
            Span::FileStart { name, size } => {
                let (source, start) = match name {
                    NameSpan::Input { start } => (input, start),
                    NameSpan::Stored => (self.name.as_ref(), 0),
                };
                let end = start.saturating_add(usize::from(self.name_len));
                Event::FileStart { name: source.get(start..end).unwrap_or_default(), size }
            }
            Span::FileData { start, end } => Event::FileData(input.get(start..end).unwrap_or_default()),
            Span::FileEnd => Event::FileEnd,
            Span::MessageStart { size } => Event::MessageStart { size },
            Span::MessageData { start, end } => Event::MessageData(input.get(start..end).unwrap_or_default()),
            Span::FrameEnd => Event::FrameEnd,
        }
    }

    /// Says that the input has ended. Call it when the transport reports its end.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Truncated`] inside a frame, and the fault of a decoder that has failed already.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.state {
            State::Status | State::FrameEnd => Ok(()),
            State::Failed(kind) => Err(self.fault(kind)),
            _ => Err(DecodeError { kind: DecodeErrorKind::Truncated, value: 0, offset: self.offset }),
        }
    }

    /// Whether the next byte starts a frame and no event is pending.
    pub fn is_between_frames(&self) -> bool {
        self.state == State::Status
    }

    /// Bytes of the current file or message that are still to come; 0 outside payload.
    pub fn payload_remaining(&self) -> u64 {
        match self.state {
            State::FileData | State::MessageData => self.value,
            _ => 0,
        }
    }

    /// Says that the caller moved the next `n` payload bytes itself, past the decoder (splice, DMA, a read straight
    /// into flash). Go on with [`decode`](Self::decode), which yields the end of the file or frame when it is due.
    ///
    /// # Errors
    ///
    /// `n` is more than [`payload_remaining`](Self::payload_remaining); the decoder is unchanged.
    pub fn advance_payload(&mut self, n: u64) -> Result<(), PayloadOverrun> {
        let remaining = self.payload_remaining();
        if n > remaining {
            return Err(PayloadOverrun { moved: n, remaining });
        }
        if n > 0 {
            self.consume_payload(n);
        }
        Ok(())
    }

    /// Bytes of the stream consumed so far, payload that was advanced over included.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The limits this decoder checks.
    pub fn limits(&self) -> &Limits {
        self.limits.borrow()
    }

    fn take_byte(&mut self, rest: &mut &[u8]) -> Option<u8> {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        self.offset = self.offset.wrapping_add(1);
        Some(byte)
    }

    /// A big-endian field of `W` bytes, at once where the input holds it whole, else byte by byte.
    fn take_field<const W: usize>(&mut self, rest: &mut &[u8]) -> Option<u64> {
        if self.filled == 0 {
            self.value = 0;
            if let Some((bytes, tail)) = rest.split_first_chunk::<W>() {
                *rest = tail;
                self.offset = self.offset.wrapping_add(W as u64);
                return Some(big_endian(bytes));
            }
        }
        while usize::from(self.filled) < W {
            let byte = self.take_byte(rest)?;
            self.value = self.value << 8 | u64::from(byte);
            self.filled += 1;
        }
        self.filled = 0;
        Some(self.value)
    }

    /// The name and the file length behind it, if the input holds both whole: then nothing has to be stored.
    fn take_name_in_place(&mut self, rest: &mut &[u8]) -> Option<u64> {
        let (_, after_name) = rest.split_at_checked(usize::from(self.name_len))?;
        let (size, tail) = after_name.split_first_chunk::<8>()?;
        *rest = tail;
        self.offset = self.offset.wrapping_add(u64::from(self.name_len)).wrapping_add(8);
        Some(u64::from_be_bytes(*size))
    }

    /// Copies what has arrived of the name; true once it is whole.
    fn store_name(&mut self, rest: &mut &[u8]) -> bool {
        let missing = self.name_len.saturating_sub(self.filled);
        let available = u16::try_from(rest.len()).unwrap_or(u16::MAX);
        let n = missing.min(available);
        let filled = usize::from(self.filled);
        let Some((bytes, tail)) = rest.split_at_checked(usize::from(n)) else { return false };
        if let Some(space) = self.name.as_mut().get_mut(filled..filled + bytes.len()) {
            space.copy_from_slice(bytes);
        }
        *rest = tail;
        self.offset = self.offset.wrapping_add(u64::from(n));
        self.filled += n;
        self.filled == self.name_len
    }

    fn begin_file(&mut self, size: u64) -> Result<(), DecodeError> {
        let head = 2 + 8 + u64::from(self.name_len);
        self.announce(head, size, self.limits.borrow().file, DecodeErrorKind::FileTooLong)?;
        self.value = size;
        self.state = if size == 0 { State::FileEnd } else { State::FileData };
        Ok(())
    }

    /// Adds `head` bytes of fields, the last of which has just been consumed and announces `size` bytes more.
    fn announce(
        &mut self,
        head: u64,
        size: u64,
        limit: u64,
        kind: DecodeErrorKind,
    ) -> Result<(), DecodeError> {
        if size > limit {
            return Err(self.fail(kind, size, 8));
        }
        match self.frame_len.checked_add(head).and_then(|len| len.checked_add(size)) {
            Some(len) if len <= self.limits.borrow().frame => {
                self.frame_len = len;
                Ok(())
            }
            _ => Err(self.fail(DecodeErrorKind::FrameTooLong, size, 8)),
        }
    }

    /// Where in `input` the payload lies that `rest` holds; `None` if it holds none.
    fn take_payload(&mut self, input: &[u8], rest: &mut &[u8]) -> Option<(usize, usize)> {
        let n = usize::try_from(self.value).unwrap_or(usize::MAX).min(rest.len());
        if n == 0 {
            return None;
        }
        let start = input.len().wrapping_sub(rest.len());
        *rest = rest.get(n..).unwrap_or_default();
        self.consume_payload(n as u64);
        Some((start, start.wrapping_add(n)))
    }

    /// `n` is at least 1 and at most the payload that is still to come.
    fn consume_payload(&mut self, n: u64) {
        self.offset = self.offset.wrapping_add(n);
        self.value = self.value.wrapping_sub(n);
        if self.value == 0 {
            self.state = if self.state == State::FileData { State::FileEnd } else { State::FrameEnd };
        }
    }

    fn after_file(&self) -> State {
        if self.files_left == 0 { State::MessageLen } else { State::NameLen }
    }

    /// Fails for good at a field of `width` bytes that has just been consumed.
    fn fail(&mut self, kind: DecodeErrorKind, value: u64, width: u64) -> DecodeError {
        self.state = State::Failed(kind);
        self.value = value;
        self.frame_len = self.offset.wrapping_sub(width);
        self.fault(kind)
    }

    fn fault(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { kind, value: self.value, offset: self.frame_len }
    }
}

/// What one [`Decoder::step`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Step {
    /// Bytes of the input that are done with, once the event (if any) has been looked at.
    pub consumed: usize,
    /// Where the event lies; `None` when more input is needed.
    pub event: Option<EventSpan>,
}

/// An event by its place in the input rather than by reference: `Copy`, and borrows nothing.
/// [`Decoder::resolve`] turns it into an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EventSpan(Span);

/// The caller claims to have moved more payload than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PayloadOverrun {
    /// Bytes the caller says it moved.
    pub moved: u64,
    /// Bytes that were to come.
    pub remaining: u64,
}

impl fmt::Display for PayloadOverrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of payload moved where {} were to come", self.moved, self.remaining)
    }
}

impl core::error::Error for PayloadOverrun {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Span {
    FrameStart(FrameHeader),
    FileStart { name: NameSpan, size: u64 },
    FileData { start: usize, end: usize },
    FileEnd,
    MessageStart { size: u64 },
    MessageData { start: usize, end: usize },
    FrameEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum NameSpan {
    Input { start: usize },
    Stored,
}

/// What the next byte is, or which event is due before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    Status,
    Version,
    FileCount,
    NameLen,
    Name,
    FileLen,
    FileData,
    FileEnd,
    MessageLen,
    MessageData,
    FrameEnd,
    Failed(DecodeErrorKind),
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

// A device pays for this in RAM once per connection, beside its name storage.
const _: () = assert!(size_of::<Decoder<[u8; 0]>>() <= 40 + 2 * size_of::<usize>());
