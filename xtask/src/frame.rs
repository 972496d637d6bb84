//! Where each part of one TEJ frame lies in the stream, counted by hand from the protocol's table.

use std::ops::Range;

/// The positions of a frame's payloads, in bytes from the frame's first byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FrameLayout {
    /// The data of each file, in the frame's order.
    pub(crate) files: Vec<Range<u64>>,
    /// The message's data.
    pub(crate) message: Range<u64>,
}

impl FrameLayout {
    /// The layout of a frame with these files (name and size in bytes) and a message of `message` bytes.
    pub(crate) fn new<'a>(files: impl IntoIterator<Item = (&'a str, u64)>, message: u64) -> Self {
        let mut position = STATUS + VERSION + FILE_COUNT;
        let mut layout = Self { files: Vec::new(), message: 0..0 };
        for (name, size) in files {
            let start = position + NAME_LENGTH + name.len() as u64 + FILE_LENGTH;
            position = start + size;
            layout.files.push(start..position);
        }
        let start = position + MESSAGE_LENGTH;
        layout.message = start..start + message;
        layout
    }

    /// The whole frame's size: what `tej` reports as `bytes` of a frame sent.
    pub(crate) fn size(&self) -> u64 {
        self.message.end
    }

    /// The position of a byte in the middle of the largest file. `None` if there is no byte in any file.
    pub(crate) fn middle_of_largest_file(&self) -> Option<(usize, u64)> {
        let (index, file) = self.files.iter().enumerate().max_by_key(|(_, file)| file.end - file.start)?;
        (!file.is_empty()).then(|| (index, file.start + (file.end - file.start) / 2))
    }
}

const STATUS: u64 = 1;
const VERSION: u64 = 1;
const FILE_COUNT: u64 = 8;
const NAME_LENGTH: u64 = 2;
const FILE_LENGTH: u64 = 8;
const MESSAGE_LENGTH: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one file has one range")]
    fn the_protocols_vectors_have_their_sizes() {
        assert_eq!(FrameLayout::new([], 0).size(), 18);
        assert_eq!(FrameLayout::new([], 5), FrameLayout { files: vec![], message: 18..23 });
        // 94 01 | 8 | 0005 a.txt | 8 | hi | 8
        let one_file = FrameLayout::new([("a.txt", 2)], 0);
        assert_eq!(one_file, FrameLayout { files: vec![25..27], message: 35..35 });
        assert_eq!(one_file.size(), 35);
        // A name counts in bytes, not in characters.
        assert_eq!(FrameLayout::new([("é", 1)], 0).files, [22..23]);
    }

    #[test]
    fn files_follow_each_other() {
        let layout = FrameLayout::new([("a", 3), ("", 0), ("bc", 1 << 40)], 7);
        assert_eq!(layout.files[0], 21..24);
        assert_eq!(layout.files[1], 34..34);
        assert_eq!(layout.files[2], 46..46 + (1 << 40));
        assert_eq!(layout.message, (1 << 40) + 54..(1 << 40) + 61);
    }

    #[test]
    fn the_middle_is_inside_the_largest_file() {
        let layout = FrameLayout::new([("a", 3), ("b", 9), ("c", 1)], 100);
        let (index, position) = layout.middle_of_largest_file().unwrap();
        assert_eq!(index, 1);
        assert_eq!(position, layout.files[1].start + 4);
        let one_byte = FrameLayout::new([("a", 1)], 0);
        assert_eq!(one_byte.middle_of_largest_file(), Some((0, one_byte.files[0].start)));
    }

    #[test]
    fn nothing_is_in_the_middle_of_empty_files() {
        assert_eq!(FrameLayout::new([("a", 0), ("b", 0)], 100).middle_of_largest_file(), None);
        assert_eq!(FrameLayout::new([], 100).middle_of_largest_file(), None);
    }
}
