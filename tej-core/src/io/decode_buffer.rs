//! Reading without a transport.

use core::borrow::Borrow;

use crate::{DecodeError, Decoder, Event, EventSpan, Frame, Limits, PayloadOverrun};

/// A [`Decoder`] and the bytes it has not consumed, without the reading: the part of a frame reader that is the
/// same whether the transport is async, blocking or somebody else's.
///
/// ```
/// use std::io::Read;
/// use tej_core::{Decoder, Event, Limits, io::DecodeBuffer};
///
/// let mut transport: &[u8] = b"\x82\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// let mut buffer = DecodeBuffer::new([0; 7], Decoder::new([0; 64], &Limits::DEFAULT));
/// let mut events = 0;
/// loop {
///     while let Some(span) = buffer.poll()? {
///         if let Event::FrameStart(header) = buffer.resolve(span) {
///             assert!(header.status.is_ping());
///         }
///         events += 1;
///     }
///     let n = transport.read(buffer.space())?;
///     if n == 0 {
///         buffer.decoder().finish()?;
///         break;
///     }
///     buffer.filled(n);
/// }
/// assert_eq!(events, 3);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DecodeBuffer<B, N = [u8; 255], L = &'static Limits> {
    bytes: B,
    /// Where the event that was found last begins, then what is not decoded yet, then the free space.
    event_at: usize,
    start: usize,
    end: usize,
    decoder: Decoder<N, L>,
}

impl<B, N, L> DecodeBuffer<B, N, L>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    N: AsRef<[u8]> + AsMut<[u8]>,
    L: Borrow<Limits>,
{
    /// An empty buffer before `decoder`.
    pub const fn new(bytes: B, decoder: Decoder<N, L>) -> Self {
        Self { bytes, event_at: 0, start: 0, end: 0, decoder }
    }

    /// The next event in the bytes that are here; `None` when all of them are decoded and more are needed.
    ///
    /// # Errors
    ///
    /// A fault of the peer; sticky.
    pub fn poll(&mut self) -> Result<Option<EventSpan>, DecodeError> {
        let input = self.bytes.as_ref().get(self.start..self.end).unwrap_or_default();
        let step = self.decoder.step(input)?;
        self.event_at = self.start;
        self.start = self.start.saturating_add(step.consumed);
        Ok(step.event)
    }

    /// Borrows the event that the last [`poll`](Self::poll) found.
    pub fn resolve(&self, span: EventSpan) -> Event<'_> {
        let input = self.bytes.as_ref().get(self.event_at..self.end).unwrap_or_default();
        self.decoder.resolve(span, input)
    }

    /// Takes a whole frame that lies next in the bytes that are here, the short way of [`Decoder::decode_frame`]. `None`
    /// says only that this way is closed: go on with [`poll`](Self::poll).
    pub fn frame(&mut self) -> Option<Frame<'_>> {
        let mut rest = self.bytes.as_ref().get(self.start..self.end)?;
        let frame = self.decoder.decode_frame(&mut rest)?;
        self.start = self.end.saturating_sub(rest.len());
        Some(frame)
    }

    /// Decodes bytes where they lie, in the ring of a transport, say, instead of having them read into
    /// [`space`](Self::space): how many of `lent` are done with, and what `take` made of the event, or `None` when more
    /// bytes are needed. Call it when [`poll`](Self::poll) returned `None`; bytes not decoded yet are dropped otherwise.
    ///
    /// # Errors
    ///
    /// A fault of the peer; sticky.
    pub fn poll_lent<T>(
        &mut self,
        lent: &[u8],
        take: impl FnOnce(Event<'_>) -> T,
    ) -> Result<(usize, Option<T>), DecodeError> {
        self.start = self.end;
        let step = self.decoder.step(lent)?;
        Ok((step.consumed, step.event.map(|span| take(self.decoder.resolve(span, lent)))))
    }

    /// The buffer to read into, whole. Call it when [`poll`](Self::poll) returned `None`; bytes not decoded
    /// yet are dropped otherwise.
    pub fn space(&mut self) -> &mut [u8] {
        self.start = 0;
        self.end = 0;
        self.bytes.as_mut()
    }

    /// Says that `n` bytes were read into [`space`](Self::space).
    pub fn filled(&mut self, n: usize) {
        self.end = n.min(self.bytes.as_ref().len());
    }

    /// Throws away what was read and not decoded, and returns how many bytes that were. They are not counted as decoded.
    ///
    /// For a line that has no connections, where what was read may belong to nobody; between two frames, or what comes next
    /// is taken for what was thrown away.
    pub fn discard(&mut self) -> usize {
        let discarded = self.end.saturating_sub(self.start);
        self.start = self.end;
        discarded
    }

    /// The name of the current file, from the event of its start until the event of its end was found; for a caller that
    /// could not keep the first.
    ///
    /// A decoder that was inside a file when it was given to [`new`](Self::new) may not know that one's name.
    pub fn file_name(&self) -> Option<&[u8]> {
        self.decoder.file_name()
    }

    /// Bytes of the current payload that are to be read next, for a caller that moves them itself (splice, DMA, a read
    /// straight into flash) and then calls [`advance_payload`](Self::advance_payload).
    ///
    /// 0 outside payload, and while bytes that were read ahead are not decoded: [`poll`](Self::poll) comes first.
    pub fn payload_unread(&self) -> u64 {
        if self.start < self.end { 0 } else { self.decoder.payload_remaining() }
    }

    /// Says that the caller moved the next `n` bytes of payload from the transport itself. Go on with
    /// [`poll`](Self::poll), which finds the end of the file or frame when it is due.
    ///
    /// # Errors
    ///
    /// `n` is more than [`payload_unread`](Self::payload_unread); nothing is changed.
    pub fn advance_payload(&mut self, n: u64) -> Result<(), PayloadOverrun> {
        let remaining = self.payload_unread();
        if n > remaining {
            return Err(PayloadOverrun { moved: n, remaining });
        }
        self.decoder.advance_payload(n)
    }

    /// The buffer itself, for one that can grow. What was read and not decoded lies at its start, or after what was
    /// decoded: a longer buffer must keep all its bytes where they are.
    pub fn bytes_mut(&mut self) -> &mut B {
        &mut self.bytes
    }

    /// The decoder, for [`Decoder::finish`] and its other questions.
    pub fn decoder(&self) -> &Decoder<N, L> {
        &self.decoder
    }

    /// Gives the buffer back; bytes that were read and not decoded are lost.
    pub fn into_bytes(self) -> B {
        self.bytes
    }
}
