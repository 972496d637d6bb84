//! How bytes get into the buffers of codecs that keep one.

use bytes::BytesMut;

use crate::{Consumer, Decode, List, frame::SLICE};

/// Arrivals and nothing else: what shows whether the profiler charges for them. Not among the results.
pub fn calibration(list: &mut impl List) {
    list.add("calibration", "arrival", ARRIVALS, || Arrivals {
        buffer: Buffer::default(),
        slice: vec![1; SLICE],
    });
}

/// A buffer with so much room that it need not grow, at the beginning of each pass in the same state.
pub struct Buffer(BytesMut);

impl Default for Buffer {
    fn default() -> Self {
        Self(BytesMut::with_capacity(CAPACITY))
    }
}

impl Buffer {
    /// The buffer, empty and with all of its room.
    ///
    /// # Panics
    /// When something of the pass before is left, or was delivered and is still alive.
    pub fn begin(&mut self) -> &mut BytesMut {
        assert!(self.0.is_empty() && self.0.try_reclaim(CAPACITY), "all that was delivered has been dropped");
        &mut self.0
    }
}

/// One read from a transport: `read` is appended to `buffer`.
///
/// Making room counts as the codec's work, as it is with tokio's `Framed`. The bytes themselves come from the
/// transport's copy, which tej-core's callers get into a buffer of theirs as well and nobody is charged for.
pub fn arrive(buffer: &mut BytesMut, read: &[u8]) {
    buffer.reserve(read.len());
    callgrind_paused(buffer, read);
}

/// The profiler knows it by its name, and does not count.
#[inline(never)]
fn callgrind_paused(buffer: &mut BytesMut, read: &[u8]) {
    buffer.extend_from_slice(read);
}

struct Arrivals {
    buffer: Buffer,
    slice: Vec<u8>,
}

impl Decode for Arrivals {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        let buffer = self.buffer.begin();
        for _ in 0..ARRIVALS {
            arrive(buffer, &self.slice);
            consumer.file_data(buffer);
            buffer.clear();
        }
    }
}

const ARRIVALS: usize = 16;
/// What programs give that care: some slices of a file, hundreds of messages.
const CAPACITY: usize = 256 << 10;
