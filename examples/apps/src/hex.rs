//! Bytes as lower-case hexadecimal digits.

use core::fmt::{self, Write};

/// Displays [`digits`].
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits(self.0).try_for_each(|digit| f.write_char(char::from(digit)))
    }
}

/// The two digits of each byte, in order.
pub(crate) fn digits(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)])
}

fn digit(nibble: u8) -> u8 {
    match nibble {
        0..10 => b'0' + nibble,
        _ => b'a' - 10 + nibble,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_are_lower_case_high_nibble_first() {
        assert!(super::digits(&[0x00, 0x9a, 0xf1]).eq(*b"009af1"));
    }
}
