//! Whether a codec does the work: a benchmark of one that does not would be worthless.

use crate::{
    Case, Consumer, List,
    frame::{self, Frame},
};

/// The cases of a program, each of which must deliver the frames that its row is about.
#[derive(Default)]
pub struct Checked(Vec<&'static str>);

impl Checked {
    /// The rows that were checked.
    pub fn rows(self) -> Vec<&'static str> {
        self.0
    }
}

impl List for Checked {
    fn slices(&self) -> usize {
        3
    }

    /// # Panics
    /// When other frames are delivered, or another number of items than the row claims.
    fn add<C: Case + 'static>(
        &mut self,
        row: &'static str,
        per: &'static str,
        items: usize,
        prepare: impl Fn() -> C + 'static,
    ) {
        let mut expected = match row.rsplit('/').find(|part| ["files8", "64k"].contains(part)) {
            Some("files8") => frame::with_files(),
            Some(_) => vec![large_file(self.slices())],
            None => frame::messages(),
        };
        if row == BODY {
            expected = expected.into_iter().map(without_names).collect();
        }
        let mut case = prepare();
        // Passes follow one another: the state after the first must be good for a second.
        for pass in 1..=2 {
            let frames = case.frames();
            // Not by assert_eq, which would print them all.
            assert!(frames == expected, "{row}, pass {pass}: other frames than were sent");
        }
        case.pass();
        assert_eq!(items, if per == "slice" { self.slices() } else { expected.len() }, "{row}: items");
        assert!(!self.0.contains(&row), "{row} is there twice");
        self.0.push(row);
    }
}

/// Puts the frames together again.
#[derive(Default)]
pub(crate) struct Record {
    frames: Vec<Frame>,
    open: Option<Frame>,
}

impl Record {
    pub(crate) fn frames(self) -> Vec<Frame> {
        assert!(self.open.is_none(), "the last frame has no end");
        self.frames
    }

    fn open(&mut self) -> &mut Frame {
        self.open.as_mut().expect("inside a frame")
    }
}

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

fn large_file(slices: usize) -> Frame {
    let mut frame = frame::large(slices);
    frame.files[0].1 = frame.files[0].1.repeat(slices);
    frame
}

/// What a response of HTTP/1 with a body holds: it has neither a name nor anything behind the body.
fn without_names(mut frame: Frame) -> Frame {
    for (name, _) in &mut frame.files {
        name.clear();
    }
    Frame { message: Vec::new(), ..frame }
}

/// The body of a response, whose bytes are the file.
const BODY: &str = "peer/httparse/decode/file/64k";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decode;

    /// Delivers what it holds.
    struct Replay(Vec<Frame>);

    impl Decode for Replay {
        fn decode<C: Consumer>(&mut self, consumer: &mut C) {
            for Frame { status, message, .. } in &self.0 {
                consumer.frame_start(*status);
                consumer.message_data(message);
                consumer.frame_end();
            }
        }
    }

    #[test]
    fn what_delivers_everything_passes() {
        let mut checked = Checked::default();
        checked.add("decode/msg", "frame", frame::FRAMES, || Replay(frame::messages()));
        assert_eq!(checked.rows(), ["decode/msg"]);
    }

    #[test]
    #[should_panic(expected = "decode/msg, pass 1: other frames than were sent")]
    fn one_byte_too_few_is_noticed() {
        let mut frames = frame::messages();
        frames[7].message.pop();
        Checked::default().add("decode/msg", "frame", frame::FRAMES, move || Replay(frames.clone()));
    }
}
