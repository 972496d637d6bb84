//! Digests on the way.

use digest::{Digest, Output};

use crate::{FileSink, LendingSink, StartError};

/// A sink that also computes the digest of each file while it is stored, so that nothing has to be read back for it.
#[derive(Debug)]
pub struct Digested<S, D: Digest> {
    sink: S,
    hash: D,
    digest: Option<Output<D>>,
}

impl<S, D: Digest> Digested<S, D> {
    /// A sink before its first file.
    pub fn new(sink: S) -> Self {
        Self { sink, hash: D::new(), digest: None }
    }

    /// The digest of the last file, if the sink has all of it.
    pub fn digest(&self) -> Option<&Output<D>> {
        self.digest.as_ref()
    }

    /// The sink beneath.
    pub fn inner(&self) -> &S {
        &self.sink
    }

    /// Gives the sink beneath back.
    pub fn into_inner(self) -> S {
        self.sink
    }
}

#[cfg(feature = "defmt")]
impl<S: defmt::Format, D: Digest> defmt::Format for Digested<S, D> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Digested {{ sink: {}, digest: ", self.sink);
        match &self.digest {
            Some(digest) => defmt::write!(f, "{=[u8]:02x} }}", digest),
            None => defmt::write!(f, "None }}"),
        }
    }
}

impl<S: FileSink, D: Digest> FileSink for Digested<S, D> {
    type Error = S::Error;

    async fn start(&mut self, name: &[u8], size: u64) -> Result<(), StartError<S::Error>> {
        self.sink.start(name, size).await?;
        self.hash = D::new();
        self.digest = None;
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), S::Error> {
        self.hash.update(bytes);
        self.sink.write(bytes).await
    }

    async fn finish(&mut self) -> Result<(), S::Error> {
        self.sink.finish().await?;
        self.digest = Some(core::mem::replace(&mut self.hash, D::new()).finalize());
        Ok(())
    }

    async fn abandon(&mut self) {
        self.digest = None;
        self.sink.abandon().await;
    }
}

impl<S: LendingSink, D: Digest> LendingSink for Digested<S, D> {
    async fn space(&mut self) -> Result<&mut [u8], S::Error> {
        self.sink.space().await
    }

    fn commit(&mut self, n: usize) -> &[u8] {
        let bytes = self.sink.commit(n);
        self.hash.update(bytes);
        bytes
    }
}
