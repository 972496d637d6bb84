//! A whole frame in one slice: borrowed from the input, or written into a buffer.

use crate::wire::START_BIT;
use crate::{EncodeError, FRAME_HEAD_LEN, FrameHeader, Limits, MIN_FRAME_LEN, Status, VERSION};

/// A whole frame that lies in a slice of the caller's, taken by [`Decoder::decode_frame`](crate::Decoder::decode_frame).
///
/// Every part of it is borrowed from there.
///
/// ```
/// use tej_core::{Decoder, DefaultLimits, File};
///
/// let mut input: &[u8] = b"\x94\x01\0\0\0\0\0\0\0\x01\0\x05a.txt\0\0\0\0\0\0\0\x02hi\0\0\0\0\0\0\0\0";
/// let mut decoder = Decoder::new([0; 16], DefaultLimits);
/// let frame = decoder.decode_frame(&mut input).expect("it is here whole");
/// assert_eq!(frame.header().status.value(), 20);
/// assert!(frame.files().eq([File { name: b"a.txt", data: b"hi" }]));
/// assert!(frame.message().is_empty());
/// assert_eq!(frame.len(), 35);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Frame<'a> {
    header: FrameHeader,
    files: &'a [u8],
    message: &'a [u8],
    len: usize,
}

impl<'a> Frame<'a> {
    /// Status, version and the number of files.
    #[inline]
    pub const fn header(&self) -> FrameHeader {
        self.header
    }

    /// The files, in the order they were sent.
    #[inline]
    pub const fn files(&self) -> Files<'a> {
        Files { records: self.files, left: self.header.files }
    }

    /// The message; empty where there is none.
    #[inline]
    pub const fn message(&self) -> &'a [u8] {
        self.message
    }

    /// Bytes of the frame on the wire.
    #[inline]
    #[allow(clippy::len_without_is_empty, reason = "no frame is empty")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The frame at the start of `input` and what follows it; `None` where it is not there whole or not acceptable.
    ///
    /// The limits are tested on what is there, so that no sum of announced lengths is ever formed.
    #[inline]
    pub(crate) fn split_from(
        input: &'a [u8],
        limits: &Limits,
        name_limit: usize,
    ) -> Option<(Self, &'a [u8])> {
        // The shortest frame's bytes; where there are files, the last eight of them are theirs.
        let (&[status, version, ref fields @ ..], behind) = input.split_first_chunk::<MIN_FRAME_LEN>()?;
        if status & START_BIT == 0 || (version != VERSION && !limits.any_version) {
            return None;
        }
        let status = Status::from_wire(status);
        let (count, size) = fields.split_first_chunk::<8>()?;
        let files = u64::from_be_bytes(*count);
        if files == 0 {
            let size = u64::from_be_bytes(*size.first_chunk::<8>()?);
            let header = FrameHeader { status, version, files: 0 };
            return Self::split_message(header, &[], size, behind, limits);
        }
        let files = u32::try_from(files).ok().filter(|files| *files <= limits.files)?;
        let header = FrameHeader { status, version, files };
        Self::split_with_files(header, input.get(FRAME_HEAD_LEN..)?, limits, name_limit)
    }

    /// Kept out of the way of frames that are messages only.
    #[inline(never)]
    fn split_with_files(
        header: FrameHeader,
        body: &'a [u8],
        limits: &Limits,
        name_limit: usize,
    ) -> Option<(Self, &'a [u8])> {
        let mut rest = body;
        for _ in 0..header.files {
            let (file, behind) = File::split_from(rest, limits.file)?;
            if file.name.len() > name_limit {
                return None;
            }
            rest = behind;
        }
        let files = body.get(..body.len().wrapping_sub(rest.len()))?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        Self::split_message(header, files, u64::from_be_bytes(*size), rest, limits)
    }

    #[inline]
    fn split_message(
        header: FrameHeader,
        files: &'a [u8],
        size: u64,
        rest: &'a [u8],
        limits: &Limits,
    ) -> Option<(Self, &'a [u8])> {
        let (message, rest) = split_checked(rest, size, limits.message)?;
        // They lie side by side in one slice, so that the sum is no longer than a slice can be.
        let len = MIN_FRAME_LEN.wrapping_add(files.len()).wrapping_add(message.len());
        (len as u64 <= limits.frame).then_some((Self { header, files, message, len }, rest))
    }
}

/// The files of a [`Frame`], one after the other.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Files<'a> {
    /// What is left of the file records, which were found whole.
    records: &'a [u8],
    /// How many they are.
    left: u32,
}

impl<'a> Iterator for Files<'a> {
    type Item = File<'a>;

    #[inline]
    fn next(&mut self) -> Option<File<'a>> {
        let (file, rest) = File::split_from(self.records, u64::MAX)?;
        self.records = rest;
        self.left = self.left.wrapping_sub(1);
        Some(file)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        // A record takes ten bytes of a slice, so that a `usize` counts them all.
        let left = self.left as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Files<'_> {}
impl core::iter::FusedIterator for Files<'_> {}

/// A file in memory: one of a [`Frame`], or one to [`encode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct File<'a> {
    /// The name: UTF-8 by convention, and where it was received a stranger's: never a path to open as it stands.
    pub name: &'a [u8],
    /// The content.
    pub data: &'a [u8],
}

impl<'a> File<'a> {
    #[inline]
    fn split_from(record: &'a [u8], limit: u64) -> Option<(Self, &'a [u8])> {
        let (len, rest) = record.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let (data, rest) = split_checked(rest, u64::from_be_bytes(*size), limit)?;
        Some((Self { name, data }, rest))
    }
}

/// Writes a whole small frame into `buffer` and returns its length on the wire.
///
/// For frames that are in memory anyway. What is large, or is to be streamed, goes past an
/// [`Encoder`](crate::Encoder), which copies nothing.
///
/// ```
/// use tej_core::{File, Status, encode};
///
/// let mut buffer = [0; 64];
/// let len = encode(Status::ZERO, &[File { name: b"a.txt", data: b"hi" }], b"", &mut buffer)?;
/// assert_eq!(
///     &buffer[..len],
///     b"\x80\x01\0\0\0\0\0\0\0\x01\0\x05a.txt\0\0\0\0\0\0\0\x02hi\0\0\0\0\0\0\0\0"
/// );
/// # Ok::<(), tej_core::EncodeError>(())
/// ```
///
/// # Errors
///
/// [`EncodeError::BufferTooSmall`] says how long the buffer must be, [`EncodeError::NameTooLong`] that a name is over
/// 65,535 bytes, [`EncodeError::TooManyFiles`] that there are more than 2³² − 1. Nothing of use is in `buffer` then.
#[inline]
pub fn encode(
    status: Status,
    files: &[File<'_>],
    message: &[u8],
    buffer: &mut [u8],
) -> Result<usize, EncodeError> {
    let count = u32::try_from(files.len()).map_err(|_| EncodeError::TooManyFiles(files.len() as u64))?;
    let available = buffer.len();
    let written = (|| {
        let (head, mut space) = buffer.split_first_chunk_mut()?;
        *head = frame_head(status, count);
        for file in files {
            // A name that is too long is found below; here it only must not be cut.
            let name_len = u16::try_from(file.name.len()).ok()?;
            space = put(space, &name_len.to_be_bytes())?;
            space = put(space, file.name)?;
            space = put(space, &(file.data.len() as u64).to_be_bytes())?;
            space = put(space, file.data)?;
        }
        space = put(space, &(message.len() as u64).to_be_bytes())?;
        space = put(space, message)?;
        Some(available.wrapping_sub(space.len()))
    })();
    written.ok_or_else(|| why_not(files, message, available))
}

/// Bytes on the wire of the frame that [`encode`] would write; `usize::MAX` if they are more than can be counted.
///
/// ```
/// use tej_core::{File, MIN_FRAME_LEN, encoded_len};
///
/// assert_eq!(encoded_len(&[], b""), MIN_FRAME_LEN);
/// assert_eq!(encoded_len(&[File { name: b"a.txt", data: b"hi" }], b""), 35);
/// ```
pub fn encoded_len(files: &[File<'_>], message: &[u8]) -> usize {
    let record =
        |file: &File<'_>| (2 + 8_usize).saturating_add(file.name.len()).saturating_add(file.data.len());
    files.iter().map(record).fold(MIN_FRAME_LEN.saturating_add(message.len()), usize::saturating_add)
}

/// The first bytes of every frame.
#[inline]
pub(crate) const fn frame_head(status: Status, files: u32) -> [u8; FRAME_HEAD_LEN] {
    let [e, f, g, h] = files.to_be_bytes();
    [status.to_wire(), VERSION, 0, 0, 0, 0, e, f, g, h]
}

#[cold]
fn why_not(files: &[File<'_>], message: &[u8], available: usize) -> EncodeError {
    match files.iter().find(|file| file.name.len() > crate::MAX_NAME_LEN) {
        Some(file) => EncodeError::NameTooLong(file.name.len()),
        None => EncodeError::BufferTooSmall { needed: encoded_len(files, message), available },
    }
}

/// Copies `bytes` to the start of `space` and returns the rest of it.
#[inline]
fn put<'b>(space: &'b mut [u8], bytes: &[u8]) -> Option<&'b mut [u8]> {
    let (now, later) = space.split_at_mut_checked(bytes.len())?;
    now.copy_from_slice(bytes);
    Some(later)
}

/// The `size` bytes that a length has announced, if they are there and no more than `limit`, and what follows them.
#[inline]
fn split_checked(input: &[u8], size: u64, limit: u64) -> Option<(&[u8], &[u8])> {
    if size > limit {
        return None;
    }
    input.split_at_checked(usize::try_from(size).ok()?)
}
