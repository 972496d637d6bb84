//! What a case is, and what is done with what a codec delivers.

use std::hint::black_box;

use crate::{check::Record, frame::Frame};

/// Takes the cases of a program one by one.
pub trait List {
    /// Into how many slices a large file is cut.
    fn slices(&self) -> usize;

    /// Adds a case: its `row` in the figures (`decode/msg/contiguous`), what its figure is `per`, how many `items` of
    /// those a pass has, and how to get it ready.
    fn add<C: Case + 'static>(
        &mut self,
        row: &'static str,
        per: &'static str,
        items: usize,
        prepare: impl Fn() -> C + 'static,
    );
}

/// Prepared work, which can be done again and again.
pub trait Case {
    /// All of it once, in the way that is measured.
    fn pass(&mut self);

    /// All of it once, and what came of it: the frames that were decoded, or those that the encoded bytes hold.
    fn frames(&mut self) -> Vec<Frame>;
}

/// A decoder over a prepared stream. The same code is measured and, with another consumer, checked.
pub trait Decode {
    /// Decodes all of the stream.
    fn decode<C: Consumer>(&mut self, consumer: &mut C);
}

impl<D: Decode> Case for D {
    fn pass(&mut self) {
        let mut fold = Fold(0);
        self.decode(&mut fold);
        black_box(fold.0);
    }

    fn frames(&mut self) -> Vec<Frame> {
        let mut record = Record::default();
        self.decode(&mut record);
        record.frames()
    }
}

/// What a program gets to know of the frames. Payload may come in pieces.
pub trait Consumer {
    /// A frame begins.
    fn frame_start(&mut self, status: u8);
    /// A file begins.
    fn file_start(&mut self, name: &[u8], size: u64);
    /// The next bytes of the file.
    fn file_data(&mut self, data: &[u8]);
    /// The message begins. Codecs that deliver messages whole do not call it.
    fn message_start(&mut self, size: u64);
    /// The next bytes of the message.
    fn message_data(&mut self, data: &[u8]);
    /// The frame is complete.
    fn frame_end(&mut self);
}

/// Looks at everything that it is told, as cheaply as that can be done: adds it up.
struct Fold(u64);

impl Fold {
    #[inline(always)]
    fn add(&mut self, number: u64) {
        self.0 = self.0.wrapping_add(number);
    }

    /// Where it lies and how long it is, which is what a program needs for moving it on.
    #[inline(always)]
    fn add_slice(&mut self, slice: &[u8]) {
        self.add(slice.as_ptr().addr() as u64);
        self.add(slice.len() as u64);
    }
}

impl Consumer for Fold {
    #[inline(always)]
    fn frame_start(&mut self, status: u8) {
        self.add(status.into());
    }

    #[inline(always)]
    fn file_start(&mut self, name: &[u8], size: u64) {
        self.add_slice(name);
        self.add(size);
    }

    #[inline(always)]
    fn file_data(&mut self, data: &[u8]) {
        self.add_slice(data);
    }

    #[inline(always)]
    fn message_start(&mut self, size: u64) {
        self.add(size);
    }

    #[inline(always)]
    fn message_data(&mut self, data: &[u8]) {
        self.add_slice(data);
    }

    #[inline(always)]
    fn frame_end(&mut self) {
        self.add(1);
    }
}
