//! A file that is made while it is sent.

use core::fmt::Write as _;

use heapless::String;
use sha2::{Digest, Sha256};
use tej_core::{Status, io::WriteError};

use crate::Pattern;
use crate::fmt::info;
use crate::hex::Hex;

/// The first `size` bytes of [`Pattern`] from `seed`.
///
/// It is sent in a frame of status 0 with the file `device.bin` and the message
/// `seed=<n> size=<n> sha256=<64 lower-case hex digits>`. It is made in the writer's staging buffer, which must have a
/// length, and is nowhere whole, so it may be far larger than the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GeneratedFile {
    /// The seed of its bytes.
    pub seed: u64,
    /// How many there are.
    pub size: u64,
}

impl GeneratedFile {
    /// Sends it, and hands all of it to the transport.
    ///
    /// # Errors
    ///
    /// Those of the transport, or the writer is inside another frame.
    #[cfg(feature = "async")]
    pub async fn send<W, S>(
        &self,
        writer: &mut tej_core::io::FrameWriter<W, S>,
    ) -> Result<(), WriteError<W::Error>>
    where
        W: embedded_io_async::Write,
        S: AsRef<[u8]> + AsMut<[u8]>,
    {
        let mut content = Content::of(self);
        writer.start_frame(Status::ZERO, 1).await?;
        writer.start_file(NAME, self.size).await?;
        while writer.encoder().payload_remaining() > 0 {
            let n = content.fill(writer.payload_space().await?);
            writer.commit_payload(n)?;
        }
        let message = self.message(content);
        writer.start_message(message.len() as u64).await?;
        writer.write_payload(message.as_bytes()).await?;
        writer.push().await?;
        info!("sent device.bin: {} bytes", self.size);
        Ok(())
    }

    /// [`send`](Self::send) over a transport that blocks.
    ///
    /// # Errors
    ///
    /// Those of the transport, or the writer is inside another frame.
    #[cfg(feature = "blocking")]
    pub fn send_blocking<W, S>(
        &self,
        writer: &mut tej_core::io::blocking::FrameWriter<W, S>,
    ) -> Result<(), WriteError<W::Error>>
    where
        W: embedded_io::Write,
        S: AsRef<[u8]> + AsMut<[u8]>,
    {
        let mut content = Content::of(self);
        writer.start_frame(Status::ZERO, 1)?;
        writer.start_file(NAME, self.size)?;
        while writer.encoder().payload_remaining() > 0 {
            let n = content.fill(writer.payload_space()?);
            writer.commit_payload(n)?;
        }
        let message = self.message(content);
        writer.start_message(message.len() as u64)?;
        writer.write_payload(message.as_bytes())?;
        writer.push()?;
        info!("sent device.bin: {} bytes", self.size);
        Ok(())
    }

    fn message(&self, content: Content) -> String<MESSAGE> {
        let mut message = String::new();
        let Self { seed, size } = self;
        let digest = content.hash.finalize();
        let fits = write!(message, "seed={seed} size={size} sha256={}", Hex(&digest)).is_ok();
        debug_assert!(fits, "MESSAGE is too small");
        message
    }
}

/// The bytes as they are made, and their digest.
struct Content {
    pattern: Pattern,
    hash: Sha256,
}

impl Content {
    fn of(file: &GeneratedFile) -> Self {
        Self { pattern: Pattern::new(file.seed), hash: Sha256::new() }
    }

    /// Makes as many as there is space for, and gives their number.
    fn fill(&mut self, space: &mut [u8]) -> usize {
        self.pattern.fill(space);
        self.hash.update(&*space);
        space.len()
    }
}

const NAME: &[u8] = b"device.bin";
/// Bytes of the longest message: its words, two numbers of 20 digits and a digest of 64.
const MESSAGE: usize = "seed= size= sha256=".len() + 20 + 20 + 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_message_fits() {
        let longest = GeneratedFile { seed: u64::MAX, size: u64::MAX };
        let message = longest.message(Content { pattern: Pattern::new(0), hash: Sha256::new() });
        assert_eq!(
            message,
            "seed=18446744073709551615 size=18446744073709551615 \
             sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(message.len(), MESSAGE);
    }
}
