//! Where a stream begins on a line that has no connections.

use embedded_io::{ErrorType, Read, ReadReady};

/// A line without connections, such as a UART, cut into streams where it falls silent.
///
/// Such a line does not say where the peer begins, ends or is gone. After noise, a lost byte or half a frame nothing on
/// it says where the next frame begins, so the two ends agree on a time: whoever is silent in mid-frame for so long has given
/// the frame up, and whoever has reason to think that the other one is lost stays silent for longer before it begins
/// again. A second is long enough for a desktop that is busy, and short enough for a person.
///
/// So this reads like a connection that ends whenever the line was silent for the gap: [`read`](Read::read) gives what
/// comes, and `Ok(0)` once the gap has passed with nothing since the last byte. Before the first byte, and after each gap, it
/// waits for as long as it takes. Between two frames a gap means nothing: `FrameReader::next` gives `Ok(None)`. Inside one it
/// gives the error `Truncated`, and a new reader starts afresh. After another fault of the stream [`skip`](Self::skip) first
/// what is left of it.
///
/// ```no_run
/// use tej_core::io::{IdleGap, ReadError, blocking::FrameReader};
/// use tej_core::{Decoder, DefaultLimits};
/// # fn now() -> u64 { 0 }
/// # fn serve(uart: impl embedded_io::Read<Error = core::convert::Infallible> + embedded_io::ReadReady) {
///
/// let mut line = IdleGap::new(uart, 1_000_000, || now()); // a clock in microseconds
/// loop {
///     let mut reader = FrameReader::new(&mut line, [0; 64], Decoder::new([0; 64], DefaultLimits));
///     let fault = loop {
///         match reader.next() {
///             Ok(Some(event)) => { /* use it */ }
///             Ok(None) => break None, // the peer is silent between two frames
///             Err(error) => break Some(error),
///         }
///     };
///     if fault.is_some() {
///         let Ok(()) = line.skip();
///     }
/// }
/// # }
/// ```
///
/// With an async transport a timeout does the same: give `FrameReader::next` the gap as its deadline, and start afresh when
/// it is missed inside a frame.
///
/// The time counts from when a read finds nothing, so a caller that was busy with the last bytes does not miss those that
/// wait, and it is the line's silence only while the caller reads.
///
/// The line is looked at and the clock is asked in turn, for as long as there is nothing to read. So the clock is where the
/// processor may sleep, until the line has something or the time has moved on enough to be worth a look.
#[derive(Debug)]
pub struct IdleGap<R, C> {
    line: R,
    gap: u64,
    clock: C,
    /// Something came since the last gap.
    is_open: bool,
}

impl<R: Read + ReadReady, C: FnMut() -> u64> IdleGap<R, C> {
    /// `gap` is in the unit of `clock`, which counts up and may wrap at 2⁶⁴; one that counts in fewer bits is to be widened.
    pub const fn new(line: R, gap: u64, clock: C) -> Self {
        Self { line, gap, clock, is_open: false }
    }

    /// Discards what comes up to the next gap; nothing when nothing came since the last one.
    ///
    /// # Errors
    ///
    /// Those of the line. A later call goes on.
    pub fn skip(&mut self) -> Result<(), R::Error> {
        while self.is_open {
            self.read(&mut [0; 16])?;
        }
        Ok(())
    }

    /// The line, to configure it.
    pub fn line_mut(&mut self) -> &mut R {
        &mut self.line
    }

    /// Waits for something to read. `false`: there is nothing for the gap, and a stream to end.
    fn wait(&mut self) -> Result<bool, R::Error> {
        let since = (self.clock)();
        while !self.line.read_ready()? {
            if (self.clock)().wrapping_sub(since) >= self.gap && self.is_open {
                // A last look: the program may have been kept from looking for all the while.
                return self.line.read_ready();
            }
        }
        Ok(true)
    }
}

impl<R: ErrorType, C> ErrorType for IdleGap<R, C> {
    type Error = R::Error;
}

impl<R: Read + ReadReady, C: FnMut() -> u64> Read for IdleGap<R, C> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, R::Error> {
        if !self.wait()? {
            self.is_open = false;
            return Ok(0);
        }
        let n = self.line.read(buffer)?;
        // A line that ends for good ends this stream, too.
        self.is_open = n > 0;
        Ok(n)
    }
}
