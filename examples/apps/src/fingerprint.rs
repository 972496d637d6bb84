//! How a certificate is known.

use core::fmt;
use core::str::FromStr;

use sha2::{Digest, Sha256};

use crate::hex::Hex;

/// The SHA-256 of a certificate, by which a peer without an authority is known. In text, 64 hexadecimal digits, as
/// `tej identity` prints them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// That of a certificate in DER.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Fingerprint {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self));
    }
}

/// Takes digits of either case.
impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let (pairs, []) = text.as_bytes().as_chunks() else { return Err(NotAFingerprint) };
        if pairs.len() != 32 {
            return Err(NotAFingerprint);
        }
        let mut bytes = [0; 32];
        for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = nibble(high)? << 4 | nibble(low)?;
        }
        Ok(Self(bytes))
    }
}

/// A text is not the SHA-256 of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NotAFingerprint;

impl fmt::Display for NotAFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fingerprint is 64 hexadecimal digits")
    }
}

impl core::error::Error for NotAFingerprint {}

fn nibble(digit: u8) -> Result<u8, NotAFingerprint> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(NotAFingerprint),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn text_and_bytes_are_each_others() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let fingerprint = Fingerprint::of(b"");
        assert_eq!(fingerprint.to_string(), empty);
        assert_eq!(empty.parse(), Ok(fingerprint));
        assert_eq!(empty.to_uppercase().parse(), Ok(fingerprint));
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        let good = "0".repeat(64);
        assert!(good.parse::<Fingerprint>().is_ok());
        for bad in [
            "",
            &good[1..],
            &good[2..],
            &(good.clone() + "00"),
            &good.replacen('0', "g", 1),
            &good.replacen("00", "é", 1),
        ] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(NotAFingerprint), "{bad}");
        }
    }
}
