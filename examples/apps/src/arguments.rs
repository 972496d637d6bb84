//! The words of the firmware's command line, or of a request on a line.

use core::net::SocketAddrV4;
use core::str::FromStr;

#[cfg(feature = "tls")]
use crate::Fingerprint;

/// What the command line asked for; `None` where it did not say.
///
/// It is a list of `key=value` words behind a first word that is the program's name, each key at most once:
///
/// ```
/// use tej_apps::Arguments;
///
/// let arguments = Arguments::parse("tej peer=10.0.2.2:7078 size=16777216").unwrap();
/// assert_eq!(arguments.peer, Some("10.0.2.2:7078".parse().unwrap()));
/// assert_eq!(arguments.size, Some(16 << 20));
/// assert_eq!(arguments.seed, None);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Arguments {
    /// `peer=IP:PORT`: whom to dial.
    pub peer: Option<SocketAddrV4>,
    /// `size=BYTES`: how large a file to generate.
    pub size: Option<u64>,
    /// `seed=N`: what to generate it from.
    pub seed: Option<u64>,
    /// `server=FINGERPRINT`: who the peer has to be.
    #[cfg(feature = "tls")]
    pub server: Option<Fingerprint>,
}

impl Arguments {
    /// Parses a whole command line. The first word, whatever it is, is skipped.
    pub fn parse(line: &str) -> Result<Self, ArgumentError<'_>> {
        let mut arguments = Self::default();
        for word in line.split_ascii_whitespace().skip(1) {
            let fail = |problem| ArgumentError { word, problem };
            let (key, value) = word.split_once('=').ok_or(fail(Problem::NoValue))?;
            match key {
                "peer" => set(&mut arguments.peer, value, Problem::NotAnAddress),
                "size" => set(&mut arguments.size, value, Problem::NotANumber),
                "seed" => set(&mut arguments.seed, value, Problem::NotANumber),
                #[cfg(feature = "tls")]
                "server" => set(&mut arguments.server, value, Problem::NotAFingerprint),
                _ => Err(Problem::UnknownKey),
            }
            .map_err(fail)?;
        }
        Ok(arguments)
    }
}

/// A word that is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ArgumentError<'a> {
    /// The word.
    pub word: &'a str,
    /// What is wrong with it.
    pub problem: Problem,
}

impl core::fmt::Display for ArgumentError<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let problem = match self.problem {
            Problem::NoValue => "is not of the form key=value",
            #[cfg(not(feature = "tls"))]
            Problem::UnknownKey => "has an unknown key (known: peer, size, seed)",
            #[cfg(feature = "tls")]
            Problem::UnknownKey => "has an unknown key (known: peer, size, seed, server)",
            Problem::Repeated => "has a key that was there before",
            Problem::NotAnAddress => "does not have an IPv4 address and a port, as in 10.0.2.2:7078",
            #[cfg(feature = "tls")]
            Problem::NotAFingerprint => "does not have the 64 hexadecimal digits of a fingerprint",
            Problem::NotANumber => "does not have a decimal number below 2^64",
        };
        write!(f, "argument `{}` {problem}", self.word)
    }
}

impl core::error::Error for ArgumentError<'_> {}

/// What can be wrong with a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Problem {
    /// There is no `=` in it.
    NoValue,
    /// Nothing has that key.
    UnknownKey,
    /// The key was there before.
    Repeated,
    /// The value is not an IPv4 address and a port.
    NotAnAddress,
    /// The value is not a decimal number, or is above 2^64 - 1.
    NotANumber,
    /// The value is not a fingerprint.
    #[cfg(feature = "tls")]
    NotAFingerprint,
}

fn set<T: FromStr>(field: &mut Option<T>, value: &str, problem: Problem) -> Result<(), Problem> {
    let value = value.parse().map_err(|_| problem)?;
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(Problem::Repeated),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn nothing_is_asked_for_by_an_empty_line_or_a_name_alone() {
        for line in ["", "  ", "tej", "/some/path=to/firmware"] {
            assert_eq!(Arguments::parse(line), Ok(Arguments::default()), "{line:?}");
        }
    }

    #[test]
    fn keys_come_in_any_order_and_spacing() {
        let expected = Arguments {
            peer: Some("10.0.2.2:7078".parse().unwrap()),
            size: Some(u64::MAX),
            seed: Some(0),
            ..Arguments::default()
        };
        for line in [
            "tej peer=10.0.2.2:7078 size=18446744073709551615 seed=0",
            "tej  seed=0\tpeer=10.0.2.2:7078   size=18446744073709551615 ",
        ] {
            assert_eq!(Arguments::parse(line), Ok(expected), "{line:?}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_server_is_named_by_its_fingerprint() {
        let arguments = Arguments::parse(
            "tej server=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 size=1",
        );
        assert_eq!(arguments.unwrap().server, Some(Fingerprint::of(b"")));
        let (word, problem) = ("server=e3b0", Problem::NotAFingerprint);
        assert_eq!(Arguments::parse("tej server=e3b0"), Err(ArgumentError { word, problem }));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, word, problem) in [
            ("tej size", "size", Problem::NoValue),
            ("tej =", "=", Problem::UnknownKey),
            ("tej Size=1", "Size=1", Problem::UnknownKey),
            ("tej size=1 peers=x", "peers=x", Problem::UnknownKey),
            ("tej size=1 seed=2 size=1", "size=1", Problem::Repeated),
            ("tej peer=10.0.2.2", "peer=10.0.2.2", Problem::NotAnAddress),
            ("tej peer=10.0.2.2:65536", "peer=10.0.2.2:65536", Problem::NotAnAddress),
            ("tej peer=[::1]:80", "peer=[::1]:80", Problem::NotAnAddress),
            ("tej peer=localhost:80", "peer=localhost:80", Problem::NotAnAddress),
            ("tej size=", "size=", Problem::NotANumber),
            ("tej size=-1", "size=-1", Problem::NotANumber),
            ("tej size=0x10", "size=0x10", Problem::NotANumber),
            ("tej seed=18446744073709551616", "seed=18446744073709551616", Problem::NotANumber),
        ] {
            assert_eq!(Arguments::parse(line), Err(ArgumentError { word, problem }), "{line:?}");
        }
    }
}
