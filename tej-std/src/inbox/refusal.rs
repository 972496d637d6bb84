//! Why a file was not stored.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::name::MAX_DEPTH;

/// Why a file was not stored. The connection it came by may go on: read the rest of the file and drop it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// The name is not UTF-8.
    NotUtf8,
    /// The name is empty.
    Empty,
    /// The name is an absolute path.
    Absolute,
    /// The name has an empty part, or a part that is `.` or `..`.
    Traversal,
    /// The name contains a character that cannot be stored or means something else elsewhere: NUL, a backslash, and
    /// on Windows `<>:"|?*` and control characters.
    Character(char),
    /// The name, or a part of it, means a device on Windows, or is one that temporary files have here.
    Reserved,
    /// The name has more than 32 parts.
    TooDeep,
    /// The name has a part that begins with a dot, and [`Policy::dot_files`](super::Policy::dot_files) is off.
    DotFile,
    /// The name is taken, and [`Policy::on_conflict`](super::Policy::on_conflict) says to refuse.
    Exists,
    /// A directory has the name, and directories are not replaced.
    Directory,
    /// The file is larger than [`Policy::max_file`](super::Policy::max_file).
    FileTooLarge {
        /// Bytes that were announced.
        size: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// The files of the frame are larger than [`Policy::max_frame`](super::Policy::max_frame).
    FrameQuota {
        /// Bytes that were announced for this file.
        size: u64,
        /// Bytes that the frame's files may still have.
        left: u64,
    },
    /// The files of the client are larger than [`Policy::max_client`](super::Policy::max_client).
    ClientQuota {
        /// Bytes that were announced for this file.
        size: u64,
        /// Bytes that the client's files may still have.
        left: u64,
    },
    /// The files of the client are more than [`Policy::max_entries`](super::Policy::max_entries).
    EntryQuota {
        /// The file, and the directories that it needs.
        entries: u64,
        /// Files and directories that the client may still have.
        left: u64,
    },
    /// The file system has no room for the file above [`Policy::min_free`](super::Policy::min_free).
    NoSpace {
        /// Bytes that are still to be written.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// Bytes that stay free.
        floor: u64,
    },
    /// Fewer or more bytes came than were announced.
    WrongSize {
        /// Bytes that were announced.
        size: u64,
        /// Bytes that came.
        written: u64,
    },
    /// An earlier write of this file failed.
    Broken,
    /// The directory of the inbox was removed.
    Removed,
    /// The file has its name, and all of its bytes, but the disk does not promise to keep the name: a power failure may
    /// undo it. Only with [`Policy::sync`](super::Policy::sync).
    NotSynced {
        /// Where the file is.
        path: PathBuf,
        /// What the disk said.
        error: io::Error,
    },
    /// The disk or the file system refused.
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => write!(f, "the name is not UTF-8"),
            Self::Empty => write!(f, "the name is empty"),
            Self::Absolute => write!(f, "the name is an absolute path"),
            Self::Traversal => write!(f, "the name has a part that is empty, '.' or '..'"),
            Self::Character(c) => write!(f, "the name contains the character {c:?}"),
            Self::Reserved => write!(f, "the name is reserved"),
            Self::TooDeep => write!(f, "the name has more than {MAX_DEPTH} parts"),
            Self::DotFile => write!(f, "names beginning with a dot are refused"),
            Self::Exists => write!(f, "the name is taken, and nothing is replaced"),
            Self::Directory => write!(f, "a directory has the name; remove it, or have the file renamed"),
            Self::FileTooLarge { size, limit } => {
                write!(f, "the file has {size} bytes, more than the {limit} that are allowed")
            }
            Self::FrameQuota { size, left } => {
                write!(f, "the file has {size} bytes, and the quota of its frame has {left} left")
            }
            Self::ClientQuota { size, left } => {
                write!(f, "the file has {size} bytes, and the quota of its client has {left} left")
            }
            Self::EntryQuota { entries: 1, left } => {
                write!(f, "its client may have {left} more files and directories, and this is 1")
            }
            Self::EntryQuota { entries, left } => write!(
                f,
                "its client may have {left} more files and directories, and this is {entries}: the file and what has to \
                 be created for it"
            ),
            Self::NoSpace { needed, free, floor } => write!(
                f,
                "no room: {} needed, {} free, and {} to stay free; delete something",
                Bytes(*needed),
                Bytes(*free),
                Bytes(*floor)
            ),
            Self::WrongSize { size, written } => {
                write!(f, "{written} bytes came of a file that was announced with {size}")
            }
            Self::Broken => write!(f, "an earlier write of this file failed"),
            Self::Removed => write!(f, "the directory of the inbox was removed; create and open it again"),
            Self::NotSynced { path, error } => write!(
                f,
                "complete as {path:?}, but a power failure may undo it, for the directory cannot be forced to the \
                 disk: {error}"
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// A number of bytes in three or four digits.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
        let power = (self.0.checked_ilog2().unwrap_or(0) / 10).min(5);
        let unit = units[power as usize];
        let (whole, rest) = (self.0 >> (10 * power), self.0 & ((1 << (10 * power)) - 1));
        let tenth = (u128::from(rest) * 10) >> (10 * power);
        if whole < 10 && tenth > 0 {
            write!(f, "{whole}.{tenth} {unit}")
        } else {
            write!(f, "{whole} {unit}")
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) | Self::NotSynced { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_few_digits() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (20 << 30, "20 GiB"),
            ((10 << 40) - 1, "9.9 TiB"),
            (u64::MAX, "16383 PiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
