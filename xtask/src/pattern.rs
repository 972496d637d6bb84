//! Generated files: bytes that look random, have a seed, and are the same everywhere.
//!
//! The firmware generates its file with the same published generator but with code of its own. This copy is written
//! separately on purpose: it is the oracle that the device's bytes are held against.

use std::io::{Result, Write};

/// SplitMix64 as a stream of bytes: each output's eight bytes, lowest first. The initial state is the seed.
pub(crate) struct Pattern {
    state: u64,
}

impl Pattern {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Writes the first `size` bytes.
    pub(crate) fn write_to(mut self, mut size: u64, sink: &mut dyn Write) -> Result<()> {
        let mut block = vec![0; BLOCK];
        while size > 0 {
            let length = usize::try_from(size).map_or(BLOCK, |size| size.min(BLOCK));
            for word in block[..length.next_multiple_of(8)].chunks_exact_mut(8) {
                word.copy_from_slice(&self.next().to_le_bytes());
            }
            sink.write_all(&block[..length])?;
            size -= length as u64;
        }
        Ok(())
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Bytes generated at a time; a multiple of the generator's eight.
const BLOCK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(seed: u64, size: u64) -> Vec<u8> {
        let mut out = Vec::new();
        Pattern::new(seed).write_to(size, &mut out).unwrap();
        out
    }

    #[test]
    fn the_published_outputs_come_lowest_byte_first() {
        // The reference implementation's first outputs for seed 1234567.
        let expected: Vec<u8> =
            [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect();
        assert_eq!(bytes(1_234_567, 24), expected);
    }

    #[test]
    fn a_shorter_size_is_a_prefix() {
        let whole = bytes(7, BLOCK as u64 + 20);
        assert_eq!(whole.len(), BLOCK + 20);
        for size in [0, 1, 7, 8, 9, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK + 19] {
            assert_eq!(bytes(7, size as u64), whole[..size], "{size}");
        }
    }
}
