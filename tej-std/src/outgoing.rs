//! Frames to send, as a whole.

use std::borrow::Cow;
use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{SendError, Sender, Status};

/// A frame to send with [`Sender::send_frame`]: files from paths, from readers of known size and from bytes, and a
/// message.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tej_std::{Config, OutgoingFrame, Status, connect};
///
/// let (_receiver, mut sender) = connect("127.0.0.1:7077", &Config::default()).await?.split();
/// let frame = OutgoingFrame::new(Status::ZERO)
///     .bytes("note.txt", "small and in memory")
///     .path("photo.jpg", "/home/me/photo.jpg").await?
///     .reader("zeros", 1 << 20, tokio::io::repeat(0))
///     .message("taken today");
/// sender.send_frame(frame).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OutgoingFrame<'a> {
    status: Status,
    files: Vec<OutgoingFile<'a>>,
    message: Cow<'a, [u8]>,
}

impl<'a> OutgoingFrame<'a> {
    /// An empty frame.
    pub const fn new(status: Status) -> Self {
        Self { status, files: Vec::new(), message: Cow::Borrowed(&[]) }
    }

    /// Adds a file that is in memory.
    #[must_use]
    pub fn bytes(self, name: impl Into<Cow<'a, str>>, content: impl IntoBytes<'a>) -> Self {
        let content = content.into_bytes();
        let size = content.len() as u64;
        self.file(name.into(), size, Source::Bytes(content))
    }

    /// Adds the first `size` bytes that `reader` yields as a file.
    #[must_use]
    pub fn reader(
        self,
        name: impl Into<Cow<'a, str>>,
        size: u64,
        reader: impl AsyncRead + Send + Unpin + 'a,
    ) -> Self {
        self.file(name.into(), size, Source::Reader(Box::new(reader)))
    }

    /// Adds the file at `path` under `name`, with the size that it has now. It is opened to see that it can be, and again
    /// when it is sent, so that a frame that waits holds no file descriptor. If it has grown until then, its beginning is
    /// sent; if it has shrunk, is gone, or something else has its name, sending fails with [`SendError::Source`].
    ///
    /// # Errors
    ///
    /// As for [`open_regular`].
    pub async fn path(self, name: impl Into<Cow<'a, str>>, path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().to_path_buf();
        let added = tokio::task::spawn_blocking(move || AddedFile::look(path)).await;
        let (added, size) = added.map_err(io::Error::other)??;
        Ok(self.file(name.into(), size, Source::File(added)))
    }

    /// Sets the message; an empty one is "no message".
    #[must_use]
    pub fn message(mut self, message: impl IntoBytes<'a>) -> Self {
        self.message = message.into_bytes();
        self
    }

    /// Cuts the frame into several of the same status: as many files in each as stay within `most` bytes of content, at
    /// least one, and the message in the last. To the peer they are frames like others.
    ///
    /// What others queue for the same peer meanwhile ([`Peer::send`](crate::service::Peer::send)), a ping or a message,
    /// waits for one of these frames instead of all: for `most` bytes at the speed of the line, or for the largest file; and
    /// for what the operating system has taken and not sent yet, on Linux up to 4 MiB (`tcp_wmem`). At 100 Mbit/s, that is
    /// 1.7 seconds with 16 MiB.
    ///
    /// ```
    /// use tej_std::{OutgoingFrame, Status};
    ///
    /// let files = OutgoingFrame::new(Status::ZERO).bytes("a", "12345").bytes("b", "123").bytes("c", "12");
    /// let frames = files.message("all three").into_frames_of(5);
    /// assert_eq!(frames.iter().map(OutgoingFrame::files).collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn into_frames_of(self, most: u64) -> Vec<Self> {
        let mut frames = vec![Self::new(self.status)];
        let mut bytes: u64 = 0;
        for file in self.files {
            bytes = bytes.saturating_add(file.size);
            if bytes > most && frames.last().is_some_and(|frame| !frame.files.is_empty()) {
                frames.push(Self::new(self.status));
                bytes = file.size;
            }
            if let Some(frame) = frames.last_mut() {
                frame.files.push(file);
            }
        }
        if let Some(frame) = frames.last_mut() {
            frame.message = self.message;
        }
        frames
    }

    /// The number of files.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// The status of the frame.
    pub fn status(&self) -> Status {
        self.status
    }

    fn file(mut self, name: Cow<'a, str>, size: u64, source: Source<'a>) -> Self {
        self.files.push(OutgoingFile { name, size, source });
        self
    }
}

impl<W: AsyncWrite + Unpin> Sender<W> {
    /// Sends a whole frame. Files from paths go past memory where they can, as by [`send_std_file`](Self::send_std_file),
    /// and block on the disk, to open them and for at most 1 MiB at a time.
    ///
    /// # Errors
    ///
    /// As for [`start_frame`](Self::start_frame) and [`send_file`](Self::send_file). A name over 65,535 bytes, or more
    /// than 2³² − 1 files, is found before anything is written.
    pub async fn send_frame(&mut self, frame: OutgoingFrame<'_>) -> Result<(), SendError> {
        let files = u32::try_from(frame.files.len())
            .map_err(|_| tej_core::EncodeError::TooManyFiles(frame.files.len() as u64))?;
        if let Some(file) = frame.files.iter().find(|file| file.name.len() > tej_core::MAX_NAME_LEN) {
            return Err(tej_core::EncodeError::NameTooLong(file.name.len()).into());
        }
        self.start_frame(frame.status, files).await?;
        for OutgoingFile { name, size, source } in frame.files {
            match source {
                Source::Bytes(content) => self.send_file(&name, size, &mut &content[..]).await?,
                Source::File(added) => {
                    let file = added.open(size).map_err(SendError::Source)?;
                    let sent = self.send_std_file(&name, size, &file).await;
                    sent.map_err(|error| added.blame(error))?;
                }
                Source::Reader(mut reader) => {
                    let patience = self.activity.write_timeout();
                    self.send_file_of(&name, size, &mut reader, patience).await?;
                }
            }
        }
        self.finish_frame(&frame.message).await
    }
}

/// Opens a file to send it. It does not wait, where a FIFO would wait for whoever writes it; but it blocks on the disk.
///
/// # Errors
///
/// It cannot be opened; or [`NotRegular`], within the error, where it is something else than a file: of that it is not
/// known how long it is.
pub fn open_regular(path: impl AsRef<Path>) -> io::Result<(File, Metadata)> {
    let path = path.as_ref();
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let opened = options.open(path).and_then(|file| {
        let metadata = file.metadata()?;
        Ok((file, metadata))
    });
    // What was opened is asked, not what has the name; but not everything can be opened.
    let regular = match &opened {
        Ok((_, metadata)) => metadata.is_file(),
        Err(_) => std::fs::metadata(path).map_or(true, |metadata| metadata.is_file()),
    };
    if regular { opened } else { Err(io::Error::new(io::ErrorKind::InvalidInput, NotRegular)) }
}

/// What a path leads to is not a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotRegular;

impl fmt::Display for NotRegular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only regular files can be sent: the length goes first")
    }
}

impl std::error::Error for NotRegular {}

/// A file that was added and is not open.
#[derive(Debug)]
struct AddedFile {
    path: PathBuf,
    identity: Identity,
}

impl AddedFile {
    /// Looks at the file at `path`, and how large it is.
    fn look(path: PathBuf) -> io::Result<(Self, u64)> {
        let (_, metadata) = open_regular(&path)?;
        Ok((Self { path, identity: identity(&metadata) }, metadata.len()))
    }

    /// Opens it to send the first `size` bytes.
    fn open(&self, size: u64) -> io::Result<File> {
        let (file, metadata) = open_regular(&self.path).map_err(|error| self.error(error.kind(), &error))?;
        if identity(&metadata) != self.identity {
            return Err(self.error(io::ErrorKind::Other, &"another file has its name since it was added"));
        }
        match metadata.len() {
            len if len < size => {
                let detail = format!("it has {len} bytes, and had {size} when it was added");
                Err(self.error(io::ErrorKind::UnexpectedEof, &detail))
            }
            _ => Ok(file),
        }
    }

    /// Says of an error of its own that it is.
    fn blame(&self, error: SendError) -> SendError {
        match error {
            SendError::Source(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                SendError::Source(self.error(error.kind(), &"it shrank while it was sent"))
            }
            SendError::Source(error) => SendError::Source(self.error(error.kind(), &error)),
            error => error,
        }
    }

    fn error(&self, kind: io::ErrorKind, detail: &dyn fmt::Display) -> io::Error {
        io::Error::new(kind, format!("{}: {detail}", self.path.display()))
    }
}

/// What tells a file from another of the same name: its device and number, which may be given to the next file when it
/// is removed, and when it was created, which some file systems do not know.
type Identity = ((u64, u64), Option<SystemTime>);

fn identity(metadata: &Metadata) -> Identity {
    #[cfg(unix)]
    let number = {
        use std::os::unix::fs::MetadataExt;
        (metadata.dev(), metadata.ino())
    };
    #[cfg(not(unix))]
    let number = (0, 0);
    (number, metadata.created().ok())
}

#[derive(Debug)]
struct OutgoingFile<'a> {
    name: Cow<'a, str>,
    size: u64,
    source: Source<'a>,
}

enum Source<'a> {
    Bytes(Cow<'a, [u8]>),
    File(AddedFile),
    Reader(Box<dyn AsyncRead + Send + Unpin + 'a>),
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes(_) => "Bytes",
            Self::File(_) => "File",
            Self::Reader(_) => "Reader",
        })
    }
}

/// What a message or a small file can be made of: bytes or text, borrowed or owned.
pub trait IntoBytes<'a> {
    /// The bytes.
    fn into_bytes(self) -> Cow<'a, [u8]>;
}

impl<'a> IntoBytes<'a> for &'a [u8] {
    fn into_bytes(self) -> Cow<'a, [u8]> {
        Cow::Borrowed(self)
    }
}

impl<'a, const N: usize> IntoBytes<'a> for &'a [u8; N] {
    fn into_bytes(self) -> Cow<'a, [u8]> {
        Cow::Borrowed(self)
    }
}

impl<'a> IntoBytes<'a> for Vec<u8> {
    fn into_bytes(self) -> Cow<'a, [u8]> {
        Cow::Owned(self)
    }
}

impl<'a> IntoBytes<'a> for &'a str {
    fn into_bytes(self) -> Cow<'a, [u8]> {
        Cow::Borrowed(self.as_bytes())
    }
}

impl<'a> IntoBytes<'a> for String {
    fn into_bytes(self) -> Cow<'a, [u8]> {
        Cow::Owned(Self::into_bytes(self))
    }
}
