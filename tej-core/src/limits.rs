//! What a peer may announce.

use core::borrow::Borrow;

/// The most a peer may announce in one frame.
///
/// A number over its limit is refused as soon as its field is complete, before a byte of what it announces is
/// waited for. Nothing in this crate is ever sized from a peer's number, so generous limits cost no memory here;
/// they bound what *you* do with the events. File names have no entry: their limit is the length of the name
/// storage the [`Decoder`](crate::Decoder) was given.
///
/// A limit is the largest number that passes:
///
/// ```
/// use tej_core::{DecodeErrorKind, Decoder, Limits};
///
/// let limits = Limits { message: 4, ..Limits::DEFAULT };
/// let mut decoder = Decoder::new([0; 16], &limits);
/// let mut input: &[u8] = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05";
/// decoder.decode(&mut input)?; // the frame starts
/// let error = decoder.decode(&mut input).expect_err("refused before a byte of it has come");
/// assert_eq!((error.kind, error.value, error.offset), (DecodeErrorKind::MessageTooLong, 5, 10));
/// # Ok::<(), tej_core::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Limits {
    /// Accept frames of any version and read them as version 1, as the Python original does; `false` refuses them.
    pub any_version: bool,
    /// Files in one frame. More than 2³² − 1, whose heads alone are 40 GiB, are always refused: a decoder counts them
    /// in 32 bits.
    pub files: u32,
    /// Bytes of one file.
    pub file: u64,
    /// Bytes of the message.
    pub message: u64,
    /// Bytes of the whole frame: its fields, names, files and message. Checked at each file length and at the
    /// message length, against the bytes of the frame up to that field plus what the field announces.
    pub frame: u64,
}

impl Limits {
    /// Refuses only what cannot be counted (a frame of more than 2⁶⁴ − 1 bytes or 2³² − 1 files), and other versions.
    pub const UNLIMITED: Self =
        Self { any_version: false, files: u32::MAX, file: u64::MAX, message: u64::MAX, frame: u64::MAX };

    /// For programs that stream files and keep messages: up to 2²⁰ files of any size, and messages up to 16 MiB.
    pub const DEFAULT: Self = Self { files: 1 << 20, message: 16 << 20, ..Self::UNLIMITED };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// [`Limits::DEFAULT`] as a type of size 0: a decoder that holds it pays no RAM for its limits, and less code.
///
/// Limits of your own can be a constant in the same way:
///
/// ```
/// use std::borrow::Borrow;
/// use tej_core::{Decoder, Limits};
///
/// struct DeviceLimits;
///
/// impl Borrow<Limits> for DeviceLimits {
///     fn borrow(&self) -> &Limits {
///         &Limits { files: 16, file: 1 << 20, message: 512, ..Limits::UNLIMITED }
///     }
/// }
///
/// let decoder = Decoder::new([0; 32], DeviceLimits);
/// assert_eq!(decoder.limits().message, 512);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DefaultLimits;

impl Borrow<Limits> for DefaultLimits {
    #[inline]
    fn borrow(&self) -> &Limits {
        &Limits::DEFAULT
    }
}
