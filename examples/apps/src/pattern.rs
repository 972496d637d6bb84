//! Test data that both sides can compute.

/// A reproducible stream of bytes: SplitMix64 from a seed, each 64-bit output as 8 bytes, least significant first.
///
/// ```
/// use tej_apps::Pattern;
///
/// let mut whole = [0; 20];
/// Pattern::new(7).fill(&mut whole);
///
/// let mut pattern = Pattern::new(7);
/// let mut pieces = [0; 20];
/// let (first, second) = pieces.split_at_mut(3);
/// pattern.fill(first);
/// pattern.fill(second);
/// assert_eq!(pieces, whole);
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Pattern {
    state: u64,
    /// The last output, of which `used` bytes have been handed out.
    word: [u8; WORD],
    used: usize,
}

impl Pattern {
    /// The stream of `seed`, at its start.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed, word: [0; WORD], used: WORD }
    }

    /// Writes the next `bytes.len()` bytes of the stream. How it is cut into calls makes no difference.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        let begun = bytes.len().min(WORD - self.used);
        let (first, rest) = bytes.split_at_mut(begun);
        self.take(first);
        let (words, last) = rest.as_chunks_mut();
        for word in words {
            *word = self.next_word();
        }
        if !last.is_empty() {
            self.word = self.next_word();
            self.used = 0;
            self.take(last);
        }
    }

    fn take(&mut self, bytes: &mut [u8]) {
        let end = self.used + bytes.len();
        bytes.copy_from_slice(&self.word[self.used..end]);
        self.used = end;
    }

    fn next_word(&mut self) -> [u8; WORD] {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    }
}

const WORD: usize = size_of::<u64>();

#[cfg(test)]
mod tests {
    use super::*;

    /// The outputs that the generator's author published for this seed.
    const SEED: u64 = 1_234_567;
    const OUTPUTS: [u64; 5] = [
        6_457_827_717_110_365_317,
        3_203_168_211_198_807_973,
        9_817_491_932_198_370_423,
        4_593_380_528_125_082_431,
        16_408_922_859_458_223_821,
    ];

    fn expected() -> [u8; 40] {
        let mut bytes = [0; 40];
        for (word, output) in bytes.as_chunks_mut().0.iter_mut().zip(OUTPUTS) {
            *word = output.to_le_bytes();
        }
        bytes
    }

    #[test]
    fn is_splitmix64() {
        let mut bytes = [0; 40];
        Pattern::new(SEED).fill(&mut bytes);
        assert_eq!(bytes, expected());
    }

    #[test]
    fn does_not_depend_on_how_it_is_cut() {
        for first in 0..=20 {
            for second in 0..=20 {
                let mut pattern = Pattern::new(SEED);
                let mut bytes = [0; 40];
                let (a, rest) = bytes.split_at_mut(first);
                let (b, c) = rest.split_at_mut(second);
                pattern.fill(a);
                pattern.fill(b);
                pattern.fill(c);
                assert_eq!(bytes, expected(), "cut after {first} and {second} more");
            }
        }
    }

    #[test]
    fn single_bytes_make_the_same_stream() {
        let mut pattern = Pattern::new(SEED);
        let mut bytes = [0; 40];
        for byte in bytes.chunks_mut(1) {
            pattern.fill(byte);
        }
        assert_eq!(bytes, expected());
    }
}
