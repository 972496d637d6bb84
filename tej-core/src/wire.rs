//! The constants of the wire format and the status byte.

use core::fmt;

/// The protocol version this crate speaks: the second byte of every frame.
pub const VERSION: u8 = 1;

/// Bytes of a frame before its first file: status, version and number of files.
pub const FRAME_HEAD_LEN: usize = 1 + 1 + 8;

/// Bytes of the smallest frame: a head and a message length of zero.
pub const MIN_FRAME_LEN: usize = FRAME_HEAD_LEN + 8;

/// The longest file name the 16-bit length field can announce, in bytes.
pub const MAX_NAME_LEN: usize = u16::MAX as usize;

/// The custom status of a frame: 0 to 127.
///
/// The constructor is the validity check, so a `Status` can always be sent.
///
/// ```
/// use tej_core::Status;
///
/// assert_eq!(Status::new(20).unwrap().value(), 20);
/// assert!(Status::new(128).is_err());
/// assert!(Status::PING.is_ping());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Status(u8);

impl Status {
    /// Status 0, which frames carry when nothing else is said.
    pub const ZERO: Self = Self(0);
    /// Status 2: a keep-alive by convention. A ping is never answered with a ping.
    pub const PING: Self = Self(2);
    /// The largest status: 127.
    pub const MAX: Self = Self(0x7f);

    /// Checks that `value` fits the seven bits of the wire.
    pub const fn new(value: u8) -> Result<Self, StatusOutOfRange> {
        if value > Self::MAX.0 { Err(StatusOutOfRange(value)) } else { Ok(Self(value)) }
    }

    /// The number, 0 to 127.
    pub const fn value(self) -> u8 {
        self.0
    }

    /// Whether this is the status of a keep-alive frame.
    pub const fn is_ping(self) -> bool {
        self.0 == Self::PING.0
    }

    /// The first byte of a frame: the status under a start bit of 1.
    #[inline]
    pub(crate) const fn to_wire(self) -> u8 {
        START_BIT | self.0
    }

    /// Reads the first byte of a frame, whose start bit was checked.
    #[inline]
    pub(crate) const fn from_wire(byte: u8) -> Self {
        Self(byte & !START_BIT)
    }
}

impl From<Status> for u8 {
    fn from(status: Status) -> Self {
        status.0
    }
}

impl TryFrom<u8> for Status {
    type Error = StatusOutOfRange;

    fn try_from(value: u8) -> Result<Self, StatusOutOfRange> {
        Self::new(value)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A status over 127, which the wire cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StatusOutOfRange(pub u8);

impl fmt::Display for StatusOutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {} is over 127", self.0)
    }
}

impl core::error::Error for StatusOutOfRange {}

/// The first bit of every frame.
pub(crate) const START_BIT: u8 = 0x80;
