//! Where files go.

/// Takes files, one after the other, each in pieces: to RAM, flash, an SD card. It may be slow, for the connection waits
/// for it; it may fail; and it may refuse a file before it begins.
///
/// A [`Store`](crate::Store) calls it, in this order: [`start`](Self::start), any number of [`write`](Self::write), and
/// [`finish`](Self::finish). Wherever that order ends otherwise, by an error, by a future that is dropped or by a connection
/// that is lost, [`abandon`](Self::abandon) comes before the next `start`.
#[allow(async_fn_in_trait, reason = "as in embedded_io_async: executors of devices do not ask for `Send`")]
pub trait FileSink {
    /// Why a file could not be stored.
    type Error;

    /// A file of `size` bytes begins. Its name is a stranger's: any bytes, of any length that the decoder allows.
    ///
    /// # Errors
    ///
    /// [`StartError::Refused`]: the file is not wanted, and nothing has been changed for it. [`StartError::Failed`]: it
    /// cannot be stored.
    async fn start(&mut self, name: &[u8], size: u64) -> Result<(), StartError<Self::Error>>;

    /// The next bytes, all of which are taken; never none, and never more in all than `size`.
    ///
    /// # Errors
    ///
    /// The file cannot be stored.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// All bytes have come. `Ok` says that they are where they belong, as far as anybody can know.
    ///
    /// # Errors
    ///
    /// The file cannot be stored.
    async fn finish(&mut self) -> Result<(), Self::Error>;

    /// The file that was begun does not come to its end: nobody may take it for whole. It cannot fail, for there is nobody
    /// to be told.
    async fn abandon(&mut self);
}

/// A sink with memory of its own, such as a page of flash, that bytes can be read straight into.
///
/// A [`Store`](crate::Store) calls it in [`receive`](crate::Store::receive): for the bytes of a file, [`space`](Self::space)
/// and [`commit`](Self::commit) instead of [`write`](FileSink::write), or both in turn.
#[allow(async_fn_in_trait, reason = "as in embedded_io_async: executors of devices do not ask for `Send`")]
pub trait LendingSink: FileSink {
    /// Room for the next bytes of the file, where they are to lie: at least one byte, unless all have come, or the file ends as
    /// [`Interrupted`](crate::Outcome::Interrupted). More than are still to come is no harm.
    ///
    /// # Errors
    ///
    /// The file cannot be stored.
    async fn space(&mut self) -> Result<&mut [u8], Self::Error>;

    /// Takes the first `n` bytes of [`space`](Self::space) as the next bytes of the file, and lends them once more, for whoever
    /// wants to see them. An `n` that is more than the space is taken for that. If fewer than `n` come back, the others are lost,
    /// and the file ends as [`Interrupted`](crate::Outcome::Interrupted).
    fn commit(&mut self, n: usize) -> &[u8];
}

/// A sink that is lent.
impl<S: FileSink> FileSink for &mut S {
    type Error = S::Error;

    async fn start(&mut self, name: &[u8], size: u64) -> Result<(), StartError<Self::Error>> {
        S::start(self, name, size).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        S::write(self, bytes).await
    }

    async fn finish(&mut self) -> Result<(), Self::Error> {
        S::finish(self).await
    }

    async fn abandon(&mut self) {
        S::abandon(self).await;
    }
}

/// A sink that is lent.
impl<S: LendingSink> LendingSink for &mut S {
    async fn space(&mut self) -> Result<&mut [u8], Self::Error> {
        S::space(self).await
    }

    fn commit(&mut self, n: usize) -> &[u8] {
        S::commit(self, n)
    }
}

/// Why a file does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StartError<E> {
    /// It is not wanted.
    Refused(Refusal),
    /// It cannot be stored.
    Failed(E),
}

/// Why a file is not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refusal {
    /// There is no place for a file of this name.
    Name,
    /// There is no room for so many bytes.
    Size,
    /// Nothing is taken now.
    Unavailable,
}
