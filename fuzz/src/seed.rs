//! The way back from an input to bytes: what `arbitrary` reads, written.

use std::fmt::Debug;

use arbitrary::{Arbitrary, Unstructured};

/// A value that can say which bytes `arbitrary` makes it from.
pub(crate) trait Seed {
    fn write(&self, bytes: &mut Vec<u8>);
}

/// The bytes of each input.
///
/// # Panics
/// When an input would not be read back from its bytes as it is: then the two ways no longer fit together, and the seed
/// would be noise.
pub(crate) fn seeds<'a, I>(inputs: &[I], bytes: &'a mut Vec<Vec<u8>>)
where
    I: Seed + Arbitrary<'a> + PartialEq + Debug,
{
    bytes.extend(inputs.iter().map(|input| {
        let mut bytes = Vec::new();
        input.write(&mut bytes);
        bytes
    }));
    for (input, bytes) in inputs.iter().zip(&*bytes) {
        assert_eq!(&I::arbitrary_take_rest(Unstructured::new(bytes)).expect("enough bytes"), input);
    }
}

/// Begins a variant of an enum: `index` of `count`.
pub(crate) fn variant(index: u64, count: u64, bytes: &mut Vec<u8>) -> Fields<'_> {
    // The derive multiplies 32 bits by the number of variants and keeps what is above them.
    let least = (index << 32).div_ceil(count);
    bytes.extend(u32::try_from(least).expect("index < count").to_le_bytes());
    Fields(bytes)
}

/// Writes the fields of a struct or a variant, in their order.
pub(crate) struct Fields<'a>(pub(crate) &'a mut Vec<u8>);

impl Fields<'_> {
    pub(crate) fn field(self, field: &impl Seed) -> Self {
        field.write(self.0);
        self
    }
}

macro_rules! integers {
    ($($integer:ty)*) => {$(
        impl Seed for $integer {
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }
        }
    )*};
}
integers!(u8 u16 u64);

impl Seed for bool {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(*self));
    }
}

impl<const N: usize> Seed for [u8; N] {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self);
    }
}

impl<T: Seed> Seed for Option<T> {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.is_some().write(bytes);
        if let Some(value) = self {
            value.write(bytes);
        }
    }
}

impl<T: Seed> Seed for Vec<T> {
    fn write(&self, bytes: &mut Vec<u8>) {
        for value in self {
            true.write(bytes);
            value.write(bytes);
        }
        false.write(bytes);
    }
}
