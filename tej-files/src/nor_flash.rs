//! Files in NOR flash.

use core::ops::Range;

use embedded_storage_async::nor_flash::{NorFlash, ReadNorFlash};

use crate::{FileSink, FileSource, LendingSink, Refusal, StartError};

/// Keeps the last file that came whole in a region of NOR flash; longer ones than the region are refused.
///
/// Flash is written in whole pages, of the length of the buffer that is given: bytes collect in it, but those of pieces
/// that are as long go straight from where they lie. [`Store::receive`](crate::Store::receive) has them read into that
/// buffer. Each sector is erased ahead of the first byte that goes there, the
/// first one before the file begins, so that the connection never waits for more than one. The rest of the last unit of
/// writing is filled with 0xff, which in NOR flash is what nothing was written to.
///
/// Which file is in the flash is not written there: that is the application's, which may keep its size and digest where
/// it keeps its settings, after [`FileSink::finish`].
///
/// ```
/// use embedded_io_async::Read;
/// use embedded_storage_async::nor_flash::NorFlash;
/// use tej_core::io::{FrameReader, ReadError};
/// use tej_files::{NorSink, Outcome, Store};
///
/// /// Receives a firmware image into the second MiB; its size, once it is there.
/// async fn receive_image<F: NorFlash, R: Read>(
///     flash: &mut F,
///     reader: &mut FrameReader<R, [u8; 512]>,
/// ) -> Result<Option<u64>, ReadError<R::Error>> {
///     let mut page = [0; 256];
///     let mut store = Store::new(NorSink::new(flash, 0x10_0000..0x20_0000, &mut page));
///     while let Some(event) = reader.next().await? {
///         match store.take(event).await {
///             Some(Outcome::Stored { size }) => return Ok(Some(size)),
///             Some(_) => return Ok(None), // too long, or the flash is worn out
///             None => {}
///         }
///     }
///     Ok(None)
/// }
/// ```
#[derive(Debug)]
pub struct NorSink<'p, F> {
    flash: F,
    region: Range<u32>,
    page: &'p mut [u8],
    /// Bytes of the page that wait for the rest, or for the page to be written.
    filled: usize,
    /// Where the page goes.
    next: u32,
    /// The flash is empty from `next` to here.
    erased: u32,
    size: u64,
    is_whole: bool,
}

impl<'p, F: NorFlash> NorSink<'p, F> {
    /// A sink without a file.
    ///
    /// # Panics
    ///
    /// If `region` is empty, out of the flash, or not of whole sectors ([`NorFlash::ERASE_SIZE`]), or if `page` is empty
    /// or not of whole units of writing ([`NorFlash::WRITE_SIZE`]).
    pub fn new(flash: F, region: Range<u32>, page: &'p mut [u8]) -> Self {
        let sector = Self::SECTOR;
        assert!(region.start < region.end, "the region is empty");
        assert!(region.end as usize <= flash.capacity(), "the region is out of the flash");
        assert!(
            region.start.is_multiple_of(sector) && region.end.is_multiple_of(sector),
            "not whole sectors"
        );
        assert!(!page.is_empty() && page.len().is_multiple_of(F::WRITE_SIZE), "not whole units of writing");
        let start = region.start;
        Self { flash, region, page, filled: 0, next: start, erased: start, size: 0, is_whole: false }
    }

    /// The size of the file, unless there is none yet, or one is coming in its place.
    pub fn size(&self) -> Option<u64> {
        self.is_whole.then_some(self.size)
    }

    /// The file, unless there is none yet, or one is coming in its place.
    pub fn file(&mut self) -> Option<NorSource<&mut F>> {
        let size = self.size()?;
        Some(NorSource::new(&mut self.flash, self.region.start, size))
    }

    /// Gives the flash back.
    pub fn into_inner(self) -> F {
        self.flash
    }

    const SECTOR: u32 = {
        assert!(F::ERASE_SIZE > 0 && F::ERASE_SIZE <= u32::MAX as usize && F::WRITE_SIZE > 0);
        #[allow(clippy::cast_possible_truncation, reason = "looked at above")]
        let sector = F::ERASE_SIZE as u32;
        sector
    };

    /// Erases the next sector.
    async fn erase(&mut self) -> Result<(), F::Error> {
        let end = self.erased.saturating_add(Self::SECTOR);
        self.flash.erase(self.erased, end).await?;
        self.erased = end;
        Ok(())
    }

    /// Writes `bytes`, or else the page as far as it is filled; whole units, in either case.
    async fn program(&mut self, bytes: Option<&[u8]>) -> Result<(), F::Error> {
        let len = bytes.map_or(self.filled, <[u8]>::len);
        // Within the region, for the size of the file is.
        let end = self.next.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        while self.erased < end {
            self.erase().await?;
        }
        let bytes = bytes.unwrap_or(&self.page[..self.filled]);
        self.flash.write(self.next, bytes).await?;
        self.next = end;
        Ok(())
    }

    /// Writes the page if it is full.
    async fn make_room(&mut self) -> Result<(), F::Error> {
        if self.filled == self.page.len() {
            self.program(None).await?;
            self.filled = 0;
        }
        Ok(())
    }
}

/// Not with what is in the page, nor the flash.
#[cfg(feature = "defmt")]
impl<F> defmt::Format for NorSink<'_, F> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "NorSink {{ region: {}, page: {=usize} of {=usize}, next: {=u32:#x}, erased: {=u32:#x}, size: {=u64}, is_whole: {=bool} }}",
            self.region,
            self.filled,
            self.page.len(),
            self.next,
            self.erased,
            self.size,
            self.is_whole
        );
    }
}

impl<F: NorFlash> FileSink for NorSink<'_, F> {
    type Error = F::Error;

    async fn start(&mut self, _name: &[u8], size: u64) -> Result<(), StartError<F::Error>> {
        if size > u64::from(self.region.end - self.region.start) {
            return Err(StartError::Refused(Refusal::Size));
        }
        self.is_whole = false;
        self.size = size;
        self.filled = 0;
        self.next = self.region.start;
        self.erased = self.region.start;
        if size > 0 {
            self.erase().await.map_err(StartError::Failed)?;
        }
        Ok(())
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), F::Error> {
        while !bytes.is_empty() {
            let page = self.page.len();
            if self.filled == 0 && bytes.len() >= page {
                let (now, later) = bytes.split_at(bytes.len() - bytes.len() % page);
                self.program(Some(now)).await?;
                bytes = later;
                continue;
            }
            // None, if `commit` has filled the page.
            let n = (page - self.filled).min(bytes.len());
            let (now, later) = bytes.split_at(n);
            self.page[self.filled..self.filled + n].copy_from_slice(now);
            self.filled += n;
            bytes = later;
            self.make_room().await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), F::Error> {
        if self.filled > 0 {
            let whole = self.filled.next_multiple_of(F::WRITE_SIZE);
            self.page[self.filled..whole].fill(0xff);
            self.filled = whole;
            self.program(None).await?;
            self.filled = 0;
        }
        self.is_whole = true;
        Ok(())
    }

    async fn abandon(&mut self) {
        self.is_whole = false;
    }
}

impl<F: NorFlash> LendingSink for NorSink<'_, F> {
    async fn space(&mut self) -> Result<&mut [u8], F::Error> {
        self.make_room().await?;
        Ok(&mut self.page[self.filled..])
    }

    fn commit(&mut self, n: usize) -> &[u8] {
        let before = self.filled;
        self.filled = before.saturating_add(n).min(self.page.len());
        &self.page[before..self.filled]
    }
}

/// A file in NOR flash.
#[derive(Debug)]
pub struct NorSource<F> {
    flash: F,
    start: u32,
    size: u64,
}

impl<F: ReadNorFlash> NorSource<F> {
    /// The `size` bytes from `start` on.
    ///
    /// # Panics
    ///
    /// If they are not within the flash, or `start` is not at a unit of reading ([`ReadNorFlash::READ_SIZE`]). Flash whose
    /// unit is longer than 32 bytes does not compile.
    pub fn new(flash: F, start: u32, size: u64) -> Self {
        const { assert!(F::READ_SIZE > 0 && F::READ_SIZE <= MAX_READ_SIZE, "units of reading are too long") };
        assert!(
            u64::from(start).saturating_add(size) <= flash.capacity() as u64,
            "the file is out of the flash"
        );
        assert!((start as usize).is_multiple_of(F::READ_SIZE), "not at a unit of reading");
        Self { flash, start, size }
    }
}

/// Without the flash.
#[cfg(feature = "defmt")]
impl<F> defmt::Format for NorSource<F> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "NorSource {{ start: {=u32:#x}, size: {=u64} }}", self.start, self.size);
    }
}

impl<F: ReadNorFlash> FileSource for NorSource<F> {
    type Error = F::Error;

    async fn size(&mut self) -> Result<u64, F::Error> {
        Ok(self.size)
    }

    async fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, F::Error> {
        let unit = F::READ_SIZE;
        let len = self.size.saturating_sub(offset).min(buffer.len() as u64);
        let (Ok(len), Ok(offset)) = (usize::try_from(len), u32::try_from(offset)) else { return Ok(0) };
        if len == 0 {
            return Ok(0);
        }
        let into_unit = offset as usize % unit;
        if into_unit == 0 && len >= unit {
            let whole = len - len % unit;
            self.flash.read(self.start + offset, &mut buffer[..whole]).await?;
            return Ok(whole);
        }
        // A piece of a unit, at the file's end or in a short buffer.
        let mut around = [0; MAX_READ_SIZE];
        let around = &mut around[..unit];
        #[allow(clippy::cast_possible_truncation, reason = "less than 32")]
        self.flash.read(self.start + (offset - into_unit as u32), around).await?;
        let n = len.min(unit - into_unit);
        buffer[..n].copy_from_slice(&around[into_unit..into_unit + n]);
        Ok(n)
    }
}

/// Longer than that of any flash that embedded HALs know: most read single bytes, some words.
const MAX_READ_SIZE: usize = 32;
