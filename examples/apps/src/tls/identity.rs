//! Who the device is.

use core::fmt;

use p256::ecdsa::SigningKey;
use p256::pkcs8::DecodePrivateKey;

/// A certificate and its key.
///
/// Here the key is in memory. A product that has a secure element keeps it there, and has the element sign: `signer` of
/// embedded-tls' `CryptoProvider` is the place.
pub struct Identity<'a> {
    pub(super) certificate: &'a [u8],
    pub(super) key: SigningKey,
}

impl<'a> Identity<'a> {
    /// Reads it from the page of flash, say, that it was put in when the device was made: the certificate, then the key in
    /// PKCS #8 for ECDSA with P-256, both in DER, which says where each ends. Those are the parts of a file of
    /// `tej identity`, in its order. What follows is not looked at.
    ///
    /// # Errors
    ///
    /// It is something else, or erased. Whether the two belong together shows when they are used.
    pub fn from_der(bytes: &'a [u8]) -> Result<Self, NotAnIdentity> {
        let (certificate, rest) = sequence(bytes).ok_or(NotAnIdentity::Certificate)?;
        let (key, _) = sequence(rest).ok_or(NotAnIdentity::Key)?;
        let key = SigningKey::from_pkcs8_der(key).map_err(|_| NotAnIdentity::Key)?;
        Ok(Self { certificate, key })
    }

    /// By what servers know the device.
    #[must_use]
    pub fn fingerprint(&self) -> crate::Fingerprint {
        crate::Fingerprint::of(self.certificate)
    }
}

/// Without the key.
impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// What was to be an identity is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotAnIdentity {
    /// It does not begin with a certificate in DER.
    Certificate,
    /// No key of ECDSA with P-256 follows the certificate, as PKCS #8 in DER.
    Key,
}

impl fmt::Display for NotAnIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "there is no certificate in DER",
            Self::Key => "there is no key of ECDSA with P-256, in PKCS #8 and DER, behind the certificate",
        })
    }
}

impl core::error::Error for NotAnIdentity {}

/// Cuts `bytes` behind the SEQUENCE of DER that they begin with.
fn sequence(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, length) = match *bytes {
        [SEQUENCE, length @ 0..=0x7f, ..] => (2, length.into()),
        [SEQUENCE, 0x81, length, ..] => (3, length.into()),
        [SEQUENCE, 0x82, high, low, ..] => (4, u16::from_be_bytes([high, low]).into()),
        _ => return None,
    };
    bytes.split_at_checked(usize::checked_add(head, length)?)
}

const SEQUENCE: u8 = 0x30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_says_where_it_ends() {
        for (head, length) in [
            (&[0x30, 0][..], 0),
            (&[0x30, 0x7f], 0x7f),
            (&[0x30, 0x81, 0x80], 0x80),
            (&[0x30, 0x82, 1, 0], 0x100),
        ] {
            let mut bytes = [7; 300];
            bytes[..head.len()].copy_from_slice(head);
            let end = head.len() + length;
            assert_eq!(sequence(&bytes), Some(bytes.split_at(end)));
            assert_eq!(sequence(&bytes[..end]), Some((&bytes[..end], &[][..])));
            for short in 0..end {
                assert_eq!(sequence(&bytes[..short]), None, "{head:?}, {short}");
            }
        }
    }

    #[test]
    fn an_erased_page_is_no_identity() {
        for erased in [0, 0xff] {
            assert_eq!(Identity::from_der(&[erased; 64]).unwrap_err(), NotAnIdentity::Certificate);
        }
        assert_eq!(Identity::from_der(&[]).unwrap_err(), NotAnIdentity::Certificate);
        assert_eq!(Identity::from_der(&[0x30, 0, 0xff, 0xff]).unwrap_err(), NotAnIdentity::Key);
        assert_eq!(Identity::from_der(&[0x30, 0, 0x30, 0]).unwrap_err(), NotAnIdentity::Key);
    }
}
