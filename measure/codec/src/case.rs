//! What a case is, and what is done with what a codec delivers.

use std::hint::black_box;

#[cfg(test)]
use crate::frame::Frame;

/// A case by its name, and how to get it ready.
pub(crate) struct Entry {
    /// As in the figures: `decode/msg/contiguous`.
    pub(crate) row: String,
    /// What its figure is per.
    pub(crate) per: &'static str,
    /// How many of those one pass has.
    pub(crate) items: u64,
    pub(crate) prepare: Box<dyn Fn() -> Box<dyn Case>>,
}

impl Entry {
    pub(crate) fn new<C: Case + 'static>(
        row: impl Into<String>,
        per: &'static str,
        items: usize,
        prepare: impl Fn() -> C + 'static,
    ) -> Self {
        let items = items as u64;
        Self { row: row.into(), per, items, prepare: Box::new(move || Box::new(prepare())) }
    }
}

/// Prepared work, which can be done again and again.
pub(crate) trait Case {
    /// All of it once, in the way that is measured.
    fn pass(&mut self);

    /// All of it once, and what came of it: the frames that were decoded, or those that the encoded bytes hold.
    #[cfg(test)]
    fn frames(&mut self) -> Vec<Frame>;
}

/// A decoder over a prepared stream. The same code is measured and, with another consumer, checked.
pub(crate) trait Decode {
    fn decode<C: Consumer>(&mut self, consumer: &mut C);
}

impl<D: Decode> Case for D {
    fn pass(&mut self) {
        let mut fold = Fold::default();
        self.decode(&mut fold);
        black_box(fold.0);
    }

    #[cfg(test)]
    fn frames(&mut self) -> Vec<Frame> {
        let mut record = Record::default();
        self.decode(&mut record);
        assert!(record.open.is_none(), "a frame has no end");
        record.frames
    }
}

/// What a program gets to know of the frames. Payload may come in pieces.
pub(crate) trait Consumer {
    fn frame_start(&mut self, status: u8);
    fn file_start(&mut self, name: &[u8], size: u64);
    fn file_data(&mut self, data: &[u8]);
    fn message_start(&mut self, size: u64);
    fn message_data(&mut self, data: &[u8]);
    fn frame_end(&mut self);
}

/// Looks at everything that it is told, as cheaply as that can be done: adds it up.
#[derive(Default)]
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

/// Puts the frames together again.
#[cfg(test)]
#[derive(Default)]
struct Record {
    frames: Vec<Frame>,
    open: Option<Frame>,
}

#[cfg(test)]
impl Record {
    fn open(&mut self) -> &mut Frame {
        self.open.as_mut().expect("inside a frame")
    }
}

#[cfg(test)]
impl Consumer for Record {
    fn frame_start(&mut self, status: u8) {
        assert!(self.open.is_none(), "a frame within a frame");
        self.open = Some(Frame { status, files: Vec::new(), message: Vec::new() });
    }

    fn file_start(&mut self, name: &[u8], _: u64) {
        self.open().files.push((name.into(), Vec::new()));
    }

    fn file_data(&mut self, data: &[u8]) {
        self.open().files.last_mut().expect("inside a file").1.extend(data);
    }

    fn message_start(&mut self, _: u64) {}

    fn message_data(&mut self, data: &[u8]) {
        self.open().message.extend(data);
    }

    fn frame_end(&mut self) {
        let frame = self.open.take().expect("inside a frame");
        self.frames.push(frame);
    }
}
