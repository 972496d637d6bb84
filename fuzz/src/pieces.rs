//! Ways to cut a stream.

use arbitrary::Arbitrary;

use crate::common::cut;
use crate::seed::Seed;

/// Lengths of pieces, taken in turn until the stream is used up. Zeros are pieces, too. What is left after very many
/// pieces, and after one round of nothing but zeros, is one piece.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pieces([u8; 6]);

impl Pieces {
    pub(crate) const WHOLE: Self = Self([0; 6]);
    pub(crate) const BYTES: Self = Self([1; 6]);
    pub(crate) const UNEVEN: Self = Self([7, 0, 3, 1, 16, 2]);

    pub(crate) fn of<'a>(&self, stream: &'a [u8]) -> Vec<&'a [u8]> {
        let lens: Vec<usize> = self.0.iter().copied().map(usize::from).collect();
        let round: usize = lens.iter().sum();
        let rounds = stream.len().checked_div(round).map_or(1, |rounds| rounds + 1);
        cut(stream, &lens.repeat(rounds.min(MOST_ROUNDS)))
    }
}

impl Seed for Pieces {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
    }
}

/// Six hundred pieces: more only take time.
const MOST_ROUNDS: usize = 100;
