//! Files in memory.

use core::convert::Infallible;

use crate::{FileSink, FileSource, LendingSink, Refusal, StartError};

/// Keeps the last file that came whole and fits into a buffer of the caller's; longer ones are refused.
#[derive(Debug)]
pub struct RamSink<'b> {
    buffer: &'b mut [u8],
    filled: usize,
    is_whole: bool,
}

impl<'b> RamSink<'b> {
    /// A sink without a file.
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, filled: 0, is_whole: false }
    }

    /// The file, unless there is none yet, or one is coming in its place.
    pub fn file(&self) -> Option<&[u8]> {
        if self.is_whole { self.buffer.get(..self.filled) } else { None }
    }
}

/// Not with what is in the buffer.
#[cfg(feature = "defmt")]
impl defmt::Format for RamSink<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "RamSink {{ filled: {=usize} of {=usize}, is_whole: {=bool} }}",
            self.filled,
            self.buffer.len(),
            self.is_whole
        );
    }
}

impl FileSink for RamSink<'_> {
    type Error = Infallible;

    async fn start(&mut self, _name: &[u8], size: u64) -> Result<(), StartError<Infallible>> {
        if size > self.buffer.len() as u64 {
            return Err(StartError::Refused(Refusal::Size));
        }
        self.filled = 0;
        self.is_whole = false;
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        // Never more than was announced, which fits.
        for (place, byte) in self.buffer.iter_mut().skip(self.filled).zip(bytes) {
            *place = *byte;
        }
        self.filled = self.filled.saturating_add(bytes.len());
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Infallible> {
        self.is_whole = true;
        Ok(())
    }

    async fn abandon(&mut self) {
        self.is_whole = false;
    }
}

impl LendingSink for RamSink<'_> {
    async fn space(&mut self) -> Result<&mut [u8], Infallible> {
        Ok(self.buffer.get_mut(self.filled..).unwrap_or_default())
    }

    fn commit(&mut self, n: usize) -> &[u8] {
        let before = self.filled.min(self.buffer.len());
        self.filled = before.saturating_add(n).min(self.buffer.len());
        &self.buffer[before..self.filled]
    }
}

/// A file in memory.
impl FileSource for &[u8] {
    type Error = Infallible;

    async fn size(&mut self) -> Result<u64, Infallible> {
        Ok(self.len() as u64)
    }

    async fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}
