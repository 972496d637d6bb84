//! Arbitrary frames, damaged streams, limits and ways to cut a stream.

#![allow(dead_code, reason = "each test that includes this file uses its own part of it")]

use proptest::collection::vec;
use proptest::prelude::*;

use super::common::reference::{Frame, Limits};

/// How often a property is tried: enough to have found every planted fault, few enough for every build; the variable
/// `PROPTEST_CASES` says otherwise. A case that fails is printed whole, so nothing is kept in files beside the tests.
pub(crate) fn config() -> ProptestConfig {
    let from_environment = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        from_environment
    } else {
        ProptestConfig { cases: 512, ..from_environment }
    }
}

pub(crate) fn frames() -> impl Strategy<Value = Frame> {
    let file = (bytes(12), bytes(24));
    let message = prop_oneof![Just(vec![]), bytes(40)];
    let status = prop_oneof![0..=127_u8, Just(2)];
    (status, vec(file, 0..4), message).prop_map(|(status, files, message)| Frame { status, files, message })
}

/// The bytes of a few frames, most of the time damaged in a few places.
pub(crate) fn streams() -> impl Strategy<Value = Vec<u8>> {
    (vec(frames(), 0..4), vec(damage(), 0..3)).prop_map(|(frames, damages)| {
        let mut stream: Vec<u8> = frames.iter().flat_map(Frame::wire).collect();
        for damage in damages {
            damage.apply(&mut stream);
        }
        stream
    })
}

/// Limits around the sizes of [`frames`], or none.
pub(crate) fn limits() -> impl Strategy<Value = Limits> {
    fn or_most(near: u64) -> impl Strategy<Value = u64> {
        prop_oneof![2 => Just(u64::MAX), 1 => Just(u64::MAX - 1), 2 => 0..near]
    }
    let files =
        prop_oneof![2 => Just(u64::from(u32::MAX)), 1 => Just(u64::from(u32::MAX) - 1), 2 => 0..5_u64];
    let name = prop_oneof![Just(65_535), 0..13_u64];
    let sizes = (files, name, or_most(25), or_most(41), or_most(200));
    (any::<bool>(), sizes).prop_map(|(any_version, (files, name, file, message, frame))| Limits {
        any_version,
        files,
        name,
        file,
        message,
        frame,
    })
}

/// Lengths of pieces; zeros are pieces, too.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![vec(0..4_usize, 0..200), vec(0..40_usize, 0..20)]
}

#[derive(Clone, Debug)]
enum Damage {
    Flip {
        at: prop::sample::Index,
        bit: u32,
    },
    Insert {
        at: prop::sample::Index,
        byte: u8,
    },
    Remove {
        at: prop::sample::Index,
    },
    Truncate {
        at: prop::sample::Index,
    },
    /// A length or a count that lies.
    Number {
        at: prop::sample::Index,
        value: u64,
    },
}

impl Damage {
    fn apply(self, stream: &mut Vec<u8>) {
        let len = stream.len();
        if len == 0 {
            return;
        }
        match self {
            Self::Flip { at, bit } => stream[at.index(len)] ^= 1 << bit,
            Self::Insert { at, byte } => stream.insert(at.index(len), byte),
            Self::Remove { at } => drop(stream.remove(at.index(len))),
            Self::Truncate { at } => stream.truncate(at.index(len)),
            Self::Number { at, value } => {
                let at = at.index(len);
                let space = &mut stream[at..];
                let n = space.len().min(8);
                space[..n].copy_from_slice(&value.to_be_bytes()[..n]);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let number =
        prop_oneof![Just(u64::MAX), (0..60_u64).prop_map(|n| u64::MAX - n), Just(1 << 32), 0..60_u64];
    prop_oneof![
        (any::<prop::sample::Index>(), 0..8_u32).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert { at, byte }),
        any::<prop::sample::Index>().prop_map(|at| Damage::Remove { at }),
        any::<prop::sample::Index>().prop_map(|at| Damage::Truncate { at }),
        (any::<prop::sample::Index>(), number).prop_map(|(at, value)| Damage::Number { at, value }),
    ]
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=max)
}
