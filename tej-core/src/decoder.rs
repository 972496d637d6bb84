//! Bytes in, events out.

use core::borrow::Borrow;
use core::fmt;

use crate::wire::START_BIT;
use crate::{
    DecodeError, DecodeErrorKind, DefaultLimits, Event, FRAME_HEAD_LEN, Frame, FrameHeader, Limits, Status,
    VERSION,
};

/// The receiving half of TEJ v1: consumes bytes, yields [`Event`]s.
///
/// The caller owns the bytes. The decoder never copies payload; it stores only what a read may cut in two, the
/// fixed fields and a file name. It reads no clock, no socket and no file, never allocates and never panics.
///
/// # Storage and limits
///
/// `N` is the name storage: an array, a `&'static mut [u8]`, a `Vec<u8>`. Its length is the limit for file names,
/// whether a name was cut by a read or not. `L` holds the [`Limits`]: a reference, an `Arc`, the value itself, or a
/// type of size 0 that stands for a constant, such as [`DefaultLimits`]. Beside these two a decoder is 32 bytes.
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
/// borrows nothing, and [`resolve`](Self::resolve) once it has an event. Code that gets many small frames in one
/// read asks [`decode_frame`](Self::decode_frame) first.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Decoder<N = [u8; 255], L = &'static Limits> {
    /// Bytes of the stream consumed so far.
    offset: u64,
    /// Inside a frame, the offset at which it began. After a fault, the fault's offset.
    frame_at: u64,
    /// By state: the bytes of a field so far, the bytes of a name that have arrived, the payload still to come, or
    /// the fault's value.
    value: u64,
    /// Files of the current frame that have not begun.
    files_left: u32,
    /// The length of the current name. Before the first name of a frame: its first two bytes.
    short: [u8; 2],
    /// Bytes of the current field that are in `value`. After a fault, its kind.
    filled: u8,
    state: State,
    limits: L,
    name: N,
}

impl<N: AsRef<[u8]> + AsMut<[u8]>, L: Borrow<Limits>> Decoder<N, L> {
    /// A decoder at the start of a stream. The length of `name` is the limit for file names, up to 65,535.
    pub const fn new(name: N, limits: L) -> Self {
        Self {
            offset: 0,
            frame_at: 0,
            value: 0,
            files_left: 0,
            short: [0; 2],
            filled: 0,
            state: State::Status,
            limits,
            name,
        }
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
    // The caller's dispatch on events and the decoder's on its state become one only when they are compiled together.
    #[inline(always)]
    pub fn decode<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<Event<'s>>, DecodeError> {
        let found = 'found: {
            // The fast paths: all that an event needs lies in `input` and is as it should be.
            match self.state {
                State::Status => {
                    if let Some((&[status, version, ref count @ ..], rest)) =
                        input.split_first_chunk::<FRAME_HEAD_LEN>()
                        && status & START_BIT != 0
                        && version == VERSION
                        && let files = u64::from_be_bytes(*count)
                        && files <= u64::from(self.limits.borrow().files)
                    {
                        *input = rest;
                        self.short = [status, version];
                        self.frame_at = self.offset;
                        self.offset = self.offset.wrapping_add(FRAME_HEAD_LEN as u64);
                        self.begin_files(files);
                        break 'found Some(Kind::FrameStart);
                    }
                }
                State::NameLen if self.filled == 0 => {
                    if let Some((len, rest)) = input.split_first_chunk()
                        && let Some((name, rest)) =
                            rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
                        && name.len() <= self.name.as_ref().len()
                        && let Some((size, rest)) = rest.split_first_chunk()
                        && let size = u64::from_be_bytes(*size)
                        && size <= self.limits.borrow().file
                        && let head = 2 + 8 + name.len() as u64
                        && self.fits_frame(self.offset, head, size)
                    {
                        *input = rest;
                        self.offset = self.offset.wrapping_add(head);
                        self.begin_file(size);
                        return Ok(Some(Event::FileStart { name, size }));
                    }
                }
                State::MessageLen if self.filled == 0 => {
                    if let Some((size, rest)) = input.split_first_chunk()
                        && let size = u64::from_be_bytes(*size)
                        && size <= self.limits.borrow().message
                        && self.fits_frame(self.offset, 8, size)
                    {
                        *input = rest;
                        self.offset = self.offset.wrapping_add(8);
                        self.begin_message(size);
                        break 'found Some(Kind::MessageStart);
                    }
                }
                State::FileData => return Ok(self.take_payload(input, State::FileEnd).map(Event::FileData)),
                State::MessageData => {
                    return Ok(self.take_payload(input, State::FrameEnd).map(Event::MessageData));
                }
                State::FileEnd => {
                    self.end_file();
                    return Ok(Some(Event::FileEnd));
                }
                State::FrameEnd => {
                    self.state = State::Status;
                    return Ok(Some(Event::FrameEnd));
                }
                State::Failed => return Err(self.fault()),
                // All by name: a jump by state then needs no check of its range.
                State::Version
                | State::FileCount
                | State::NameLen
                | State::Name
                | State::FileLen
                | State::MessageLen => {}
            }
            let mut rest = *input;
            let found = loop {
                let Some((&byte, tail)) = rest.split_first() else { break None };
                rest = tail;
                match self.push(byte) {
                    Ok(None) => {}
                    Ok(found) => break found,
                    Err(Fault) => return Err(self.fault()),
                }
            };
            *input = rest;
            found
        };
        Ok(match found {
            Some(Kind::FrameStart) => Some(Event::FrameStart(self.header())),
            Some(Kind::FileStart) => Some(Event::FileStart { name: self.stored_name(), size: self.value }),
            Some(Kind::MessageStart) => Some(Event::MessageStart { size: self.value }),
            // No byte yields another.
            _ => None,
        })
    }

    /// As [`decode`](Self::decode), but borrows nothing: it says how many bytes were consumed and where in `input`
    /// the event lies.
    ///
    /// Without an event, `consumed` is always the whole of `input`. This way takes the least flash: it has no fast
    /// paths, and passes every name through the name storage.
    ///
    /// ```
    /// use tej_core::{Decoder, DefaultLimits, Event};
    ///
    /// let mut decoder = Decoder::new([0; 16], DefaultLimits);
    /// let read = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05Hel";
    /// let (mut at, mut pieces) = (0, 0);
    /// loop {
    ///     let input = &read[at..];
    ///     let step = decoder.step(input)?;
    ///     at += step.consumed;
    ///     let Some(span) = step.event else { break }; // all of `read` is consumed: await more
    ///     // Nothing is borrowed here. The event is looked at before its bytes are overwritten:
    ///     if let Event::MessageData(piece) = decoder.resolve(span, input) {
    ///         assert_eq!(piece, b"Hel");
    ///         pieces += 1;
    ///     }
    /// }
    /// assert_eq!((at, pieces, decoder.payload_remaining()), (read.len(), 1, 2));
    /// # Ok::<(), tej_core::DecodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`decode`](Self::decode).
    pub fn step(&mut self, input: &[u8]) -> Result<Step, DecodeError> {
        let (consumed, kind) = match self.state {
            State::FileData | State::MessageData => {
                let kind = if self.state == State::FileData { Kind::FileData } else { Kind::MessageData };
                let n = usize::try_from(self.value).unwrap_or(usize::MAX).min(input.len());
                if n == 0 {
                    (0, None)
                } else {
                    self.consume_payload(n as u64);
                    (n, Some(kind))
                }
            }
            State::FileEnd => {
                self.end_file();
                (0, Some(Kind::FileEnd))
            }
            State::FrameEnd => {
                self.state = State::Status;
                (0, Some(Kind::FrameEnd))
            }
            State::Failed => return Err(self.fault()),
            _ => {
                let mut rest = input.iter();
                let kind = loop {
                    let Some(&byte) = rest.next() else { break None };
                    match self.push(byte) {
                        Ok(None) => {}
                        Ok(kind) => break kind,
                        Err(Fault) => return Err(self.fault()),
                    }
                };
                (input.len().wrapping_sub(rest.len()), kind)
            }
        };
        Ok(Step { consumed, event: kind.map(|kind| EventSpan { kind, end: consumed }) })
    }

    /// Borrows the event that [`step`](Self::step) found in `input`. It may be asked more than once, and consumes
    /// nothing.
    ///
    /// `input` must be the slice that was given to that `step`, and nothing may have moved the decoder since;
    /// otherwise the event's bytes and numbers are some others, or none.
    #[inline]
    pub fn resolve<'s>(&'s self, span: EventSpan, input: &'s [u8]) -> Event<'s> {
        let data = || input.get(..span.end).unwrap_or_default();
        match span.kind {
            Kind::FrameStart => Event::FrameStart(self.header()),
            Kind::FileStart => Event::FileStart { name: self.stored_name(), size: self.value },
            Kind::FileData => Event::FileData(data()),
            Kind::FileEnd => Event::FileEnd,
            Kind::MessageStart => Event::MessageStart { size: self.value },
            Kind::MessageData => Event::MessageData(data()),
            Kind::FrameEnd => Event::FrameEnd,
        }
    }

    /// Takes a whole frame that lies at the start of `input`, and moves `input` past it.
    ///
    /// This is the short way for many small frames: no event, no state, nothing copied. `None` says nothing about
    /// the stream, only that this way is closed: the frame is not here whole, it is not acceptable, or the decoder
    /// is inside a frame that was begun otherwise. Nothing is consumed then: call [`decode`](Self::decode), which goes on
    /// with the same frame or says what is wrong with it. (Asking here again with more input reads the same bytes
    /// again.) Both ways accept the same frames.
    ///
    /// ```
    /// use tej_core::{Decoder, Limits};
    ///
    /// let mut decoder = Decoder::new([0; 64], &Limits::DEFAULT);
    /// let mut input: &[u8] = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05Hello\x80\x01\0\0\0";
    /// let frame = decoder.decode_frame(&mut input).expect("it is here whole");
    /// assert_eq!(frame.message(), b"Hello");
    /// assert!(decoder.decode_frame(&mut input).is_none());
    /// assert_eq!(decoder.decode(&mut input)?, None);
    /// assert_eq!(decoder.offset(), 28);
    /// # Ok::<(), tej_core::DecodeError>(())
    /// ```
    #[inline]
    pub fn decode_frame<'i>(&mut self, input: &mut &'i [u8]) -> Option<Frame<'i>> {
        if !self.is_between_frames() {
            return None;
        }
        let (frame, rest) = Frame::split_from(input, self.limits.borrow(), self.name.as_ref().len())?;
        *input = rest;
        self.offset = self.offset.wrapping_add(frame.len() as u64);
        Some(frame)
    }

    /// Says that the input has ended. Call it when the transport reports its end, and no event is due any more.
    ///
    /// ```
    /// use tej_core::{DecodeErrorKind, Decoder, DefaultLimits};
    ///
    /// let mut decoder = Decoder::new([0; 16], DefaultLimits);
    /// assert_eq!(decoder.finish(), Ok(())); // a stream may have no frame at all
    /// assert_eq!(decoder.decode(&mut &b"\x80\x01\0"[..])?, None);
    /// let error = decoder.finish().expect_err("the head is not whole");
    /// assert_eq!((error.kind, error.offset), (DecodeErrorKind::Truncated, 3));
    /// # Ok::<(), tej_core::DecodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Truncated`] inside a frame, and the fault of a decoder that has failed already.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.state {
            State::Status | State::FrameEnd => Ok(()),
            State::Failed => Err(self.fault()),
            _ => Err(DecodeError { kind: DecodeErrorKind::Truncated, value: 0, offset: self.offset }),
        }
    }

    /// Whether the next byte starts a frame and no event is pending. A connection that is closed here cuts nothing.
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

    /// The name of the current file, from the event of its start to that of its end, if [`step`](Self::step) found the first:
    /// [`decode`](Self::decode) lends names that lie in its input.
    pub(crate) fn file_name(&self) -> Option<&[u8]> {
        matches!(self.state, State::FileData | State::FileEnd).then(|| self.stored_name())
    }

    /// Says that the caller moved the next `n` payload bytes itself, past the decoder (splice, DMA, a read straight
    /// into flash). Go on with [`decode`](Self::decode), which yields the end of the file or frame when it is due.
    ///
    /// What of the payload lies in a buffer already must be decoded first: move only what `decode` has not seen.
    ///
    /// ```
    /// use std::io::Read;
    /// use tej_core::{Decoder, DefaultLimits, Event};
    ///
    /// let mut line: &[u8] = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05Hello";
    /// let mut decoder = Decoder::new([0; 16], DefaultLimits);
    /// let mut head = [0; 18];
    /// line.read_exact(&mut head)?;
    /// let mut input = &head[..];
    /// while decoder.decode(&mut input)?.is_some() {}
    ///
    /// let mut flash = [0; 5]; // as long as the message, which never passes the decoder
    /// assert_eq!(decoder.payload_remaining(), 5);
    /// line.read_exact(&mut flash)?;
    /// decoder.advance_payload(5)?;
    /// assert_eq!(decoder.decode(&mut line)?, Some(Event::FrameEnd));
    /// assert_eq!(&flash, b"Hello");
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
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

    /// Bytes of the stream consumed so far, payload that was advanced over included. Goes on from 0 after 2⁶⁴ − 1.
    ///
    /// After a fault it is of no use: [`DecodeError::offset`] says where that is.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The limits this decoder checks.
    pub fn limits(&self) -> &Limits {
        self.limits.borrow()
    }

    /// What `input` holds of the current payload, after which `end` is due; `None` if that is nothing.
    #[inline]
    fn take_payload<'i>(&mut self, input: &mut &'i [u8], end: State) -> Option<&'i [u8]> {
        let chunk = if self.value <= input.len() as u64 {
            let (chunk, rest) = input.split_at_checked(usize::try_from(self.value).ok()?)?;
            *input = rest;
            self.state = end;
            self.value = 0;
            chunk
        } else {
            if input.is_empty() {
                return None;
            }
            self.value = self.value.wrapping_sub(input.len() as u64);
            core::mem::take(input)
        };
        self.offset = self.offset.wrapping_add(chunk.len() as u64);
        Some(chunk)
    }

    /// Takes the next byte of a field or a name.
    #[cold]
    #[inline(never)]
    fn push(&mut self, byte: u8) -> Result<Option<Kind>, Fault> {
        self.offset = self.offset.wrapping_add(1);
        if self.state == State::Name {
            if let Some(place) =
                self.name.as_mut().get_mut(usize::from(u16::from_be_bytes(low_two(self.value))))
            {
                *place = byte;
            }
            self.value = self.value.wrapping_add(1);
            if self.value == u64::from(self.name_len()) {
                self.value = 0;
                self.state = State::FileLen;
            }
            return Ok(None);
        }
        self.value = self.value << 8 | u64::from(byte);
        self.filled = self.filled.wrapping_add(1);
        if self.filled < self.state.width() { Ok(None) } else { self.complete() }
    }

    /// The current field has its last byte: judges its number and goes on to the next state.
    #[cold]
    #[inline(never)]
    fn complete(&mut self) -> Result<Option<Kind>, Fault> {
        let number = core::mem::take(&mut self.value);
        let width = core::mem::take(&mut self.filled);
        let limits = self.limits.borrow();
        let (limit, kind) = match self.state {
            // Whether the start bit is there is whether the byte is below 0x80 without it.
            State::Status => (u64::from(!START_BIT), DecodeErrorKind::BadStartBit),
            State::Version if limits.any_version => (u64::MAX, DecodeErrorKind::UnsupportedVersion),
            State::Version => (0, DecodeErrorKind::UnsupportedVersion),
            State::FileCount => (limits.files.into(), DecodeErrorKind::TooManyFiles),
            State::NameLen => (self.name.as_ref().len() as u64, DecodeErrorKind::NameTooLong),
            State::FileLen => (limits.file, DecodeErrorKind::FileTooLong),
            _ => (limits.message, DecodeErrorKind::MessageTooLong),
        };
        let excess = match self.state {
            State::Status => number ^ u64::from(START_BIT),
            State::Version => number ^ u64::from(VERSION),
            _ => number,
        };
        if excess > limit {
            return Err(self.fail(kind, number, width));
        }
        match self.state {
            State::Status => {
                self.frame_at = self.offset.wrapping_sub(1);
                self.short = [low(number), 0];
                self.state = State::Version;
            }
            State::Version => {
                let [status, _] = self.short;
                self.short = [status, low(number)];
                self.state = State::FileCount;
            }
            State::FileCount => {
                self.begin_files(number);
                return Ok(Some(Kind::FrameStart));
            }
            State::NameLen => {
                self.short = low_two(number);
                self.state = if number == 0 { State::FileLen } else { State::Name };
            }
            _ => {
                let is_file = self.state == State::FileLen;
                let head = if is_file { 2 + 8 + u64::from(self.name_len()) } else { 8 };
                if !self.fits_frame(self.offset.wrapping_sub(head), head, number) {
                    return Err(self.fail(DecodeErrorKind::FrameTooLong, number, width));
                }
                if is_file {
                    self.begin_file(number);
                    return Ok(Some(Kind::FileStart));
                }
                self.begin_message(number);
                return Ok(Some(Kind::MessageStart));
            }
        }
        Ok(None)
    }

    #[inline]
    fn begin_files(&mut self, files: u64) {
        let [.., a, b, c, d] = files.to_be_bytes();
        self.files_left = u32::from_be_bytes([a, b, c, d]);
        self.await_file_or_message();
    }

    #[inline]
    fn begin_file(&mut self, size: u64) {
        self.files_left = self.files_left.wrapping_sub(1);
        self.value = size;
        self.state = if size == 0 { State::FileEnd } else { State::FileData };
    }

    // A call, since what it loads would be loaded before each of `decode`'s jumps by state if it were inlined there.
    #[inline(never)]
    fn end_file(&mut self) {
        self.await_file_or_message();
    }

    #[inline]
    fn await_file_or_message(&mut self) {
        self.state = if self.files_left == 0 { State::MessageLen } else { State::NameLen };
    }

    #[inline]
    fn begin_message(&mut self, size: u64) {
        self.value = size;
        self.state = if size == 0 { State::FrameEnd } else { State::MessageData };
    }

    /// Whether the frame may go on with `head` bytes of fields from `offset` on and the `size` bytes that they announce.
    #[inline]
    fn fits_frame(&self, offset: u64, head: u64, size: u64) -> bool {
        // The difference is exact though the offset may have wrapped: all that lies between was found to fit.
        let before = offset.wrapping_sub(self.frame_at);
        let len = before.checked_add(head).and_then(|len| len.checked_add(size));
        len.is_some_and(|len| len <= self.limits.borrow().frame)
    }

    /// `n` is at least 1 and at most the payload that is still to come.
    #[inline]
    fn consume_payload(&mut self, n: u64) {
        self.offset = self.offset.wrapping_add(n);
        self.value = self.value.wrapping_sub(n);
        if self.value == 0 {
            self.state = if self.state == State::FileData { State::FileEnd } else { State::FrameEnd };
        }
    }

    #[inline]
    fn header(&self) -> FrameHeader {
        let [status, version] = self.short;
        FrameHeader { status: Status::from_wire(status), version, files: self.files_left }
    }

    #[inline]
    fn stored_name(&self) -> &[u8] {
        self.name.as_ref().get(..usize::from(self.name_len())).unwrap_or_default()
    }

    #[inline]
    fn name_len(&self) -> u16 {
        u16::from_be_bytes(self.short)
    }

    /// Fails for good at the field of `width` bytes that has just been completed with `value`.
    #[cold]
    #[inline(never)]
    fn fail(&mut self, kind: DecodeErrorKind, value: u64, width: u8) -> Fault {
        self.frame_at = self.offset.wrapping_sub(u64::from(width));
        self.state = State::Failed;
        self.filled = kind as u8;
        self.value = value;
        Fault
    }

    #[cold]
    fn fault(&self) -> DecodeError {
        let kind = DecodeErrorKind::ALL.get(usize::from(self.filled)).copied();
        DecodeError {
            kind: kind.unwrap_or(DecodeErrorKind::Truncated),
            value: self.value,
            offset: self.frame_at,
        }
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
pub struct EventSpan {
    kind: Kind,
    /// Where in the input the event ends; it begins where the input does.
    end: usize,
}

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

/// What happened, where the rest of an event can be had from the decoder and the bytes it consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Kind {
    FrameStart,
    FileStart,
    /// All consumed bytes.
    FileData,
    FileEnd,
    MessageStart,
    /// All consumed bytes.
    MessageData,
    FrameEnd,
}

/// The field at fault is in the decoder.
struct Fault;

/// What the next byte is, or which event is due before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    Status,
    Version,
    FileCount,
    NameLen,
    Name,
    /// A fault was found. Neither the first nor the last, so that `decode` jumps by state without a check of its range.
    Failed,
    FileLen,
    FileData,
    FileEnd,
    MessageLen,
    MessageData,
    FrameEnd,
}

impl State {
    /// Bytes of the field that is waited for.
    const fn width(self) -> u8 {
        match self {
            Self::Status | Self::Version => 1,
            Self::NameLen => 2,
            _ => 8,
        }
    }
}

/// The last byte of a number that has no others.
const fn low(number: u64) -> u8 {
    let [.., byte] = number.to_be_bytes();
    byte
}

/// The last two bytes of a number that has no others.
const fn low_two(number: u64) -> [u8; 2] {
    let [.., high, low] = number.to_be_bytes();
    [high, low]
}

// A device pays for this in RAM once per connection, beside its name storage and its limits.
const _: () = assert!(size_of::<Decoder<[u8; 0], DefaultLimits>>() <= 32);
const _: () = assert!(size_of::<Decoder<[u8; 0]>>() <= 40);
