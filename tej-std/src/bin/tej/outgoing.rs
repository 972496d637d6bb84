//! What goes into a frame: files, directories, standard input and a message.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tej_std::{
    NotRegular, SendError, Sender, Status,
    core::{EncodeError, MAX_NAME_LEN},
};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::task::block_in_place;
use walkdir::WalkDir;

use crate::args::{FrameArgs, StdinFile};
use crate::report::{Failure, Progress, Reporter};
use crate::text::os_error;

/// A frame that is ready to be sent: everything was found and could be opened.
#[derive(Debug)]
pub(crate) struct Outgoing {
    status: Status,
    files: Vec<Source>,
    message: Message,
    /// Bytes of them all, as far as is known before they are sent.
    size: u64,
}

impl Outgoing {
    /// Finds the files before anything is connected to or written.
    pub(crate) async fn gather(
        frame: FrameArgs,
        operands: Vec<OsString>,
        stdin: Option<StdinFile>,
        reporter: &Reporter,
    ) -> Result<Self, Refused> {
        let stdin_message = frame.message_file.as_deref().is_some_and(is_standard);
        if stdin_message && stdin.is_some() {
            return Err(Refused::usage("standard input cannot be both --stdin and --message-file -"));
        }
        // A thread of its own: a walk may be long, and must not keep a signal waiting.
        let found = tokio::task::spawn_blocking(move || {
            let mut found = Found { dotfiles: frame.dotfiles, ..Found::default() };
            let walked = operands.iter().try_for_each(|operand| found.add(Path::new(operand)));
            walked.map(|()| found)
        });
        let Found { mut files, mut size, warnings, .. } =
            found.await.map_err(|error| Failure::source(format!("internal error: {error}")))??;
        for warning in warnings {
            reporter.warn(&warning).await;
        }
        if let Some(StdinFile { name, size: of_stdin }) = stdin {
            size = size.saturating_add(of_stdin);
            files.push(Source { name, content: Content::Stdin(of_stdin) });
        }
        let mut names = HashSet::new();
        for Source { name, .. } in &files {
            if name.len() > MAX_NAME_LEN {
                return Err(Refused::usage(format!("the name {name:?} is longer than {MAX_NAME_LEN} bytes")));
            }
            if !names.insert(name) {
                return Err(Refused::usage(format!(
                    "two files would arrive as {name:?}; rename one, or send them in two frames"
                )));
            }
        }
        let message = match (frame.message, frame.message_file) {
            (Some(text), _) => Message::Bytes(text.into_bytes()),
            (None, Some(path)) if is_standard(&path) => {
                let mut bytes = Vec::new();
                let read = tokio::io::stdin().read_to_end(&mut bytes).await;
                read.map_err(|error| Failure::io("standard input", &error))?;
                Message::Bytes(bytes)
            }
            (None, Some(path)) => {
                let (_, metadata) = open_regular(&path, STDIN_MESSAGE)?;
                size = size.saturating_add(metadata.len());
                Message::File(path)
            }
            (None, None) => Message::Bytes(Vec::new()),
        };
        Ok(Self { status: frame.status, files, message, size })
    }

    /// Whether nothing was asked for that a peer could learn of.
    pub(crate) fn is_empty(&self) -> bool {
        let has_message = !matches!(&self.message, Message::Bytes(bytes) if bytes.is_empty());
        self.files.is_empty() && !has_message && self.status == Status::ZERO
    }

    pub(crate) fn files(&self) -> u64 {
        self.files.len() as u64
    }

    /// Whether what is at `path`, by this name or another, goes into the frame.
    pub(crate) fn takes(&self, path: &Path) -> bool {
        let Ok(path) = FileId::of(path) else { return false };
        let files = self.files.iter().filter_map(|source| match &source.content {
            Content::File(path) => Some(path),
            Content::Stdin(_) => None,
        });
        let message = match &self.message {
            Message::File(path) => Some(path),
            Message::Bytes(_) => None,
        };
        files.chain(message).any(|input| FileId::of(input).is_ok_and(|input| input == path))
    }

    /// Sends the frame and returns its length on the wire. Memory does not grow with what is sent.
    pub(crate) async fn send<W: AsyncWrite + Unpin>(
        &self,
        sender: &mut Sender<W>,
        reporter: &Reporter,
    ) -> Result<u64, NotSent> {
        let files = u32::try_from(self.files()).map_err(|_| EncodeError::TooManyFiles(self.files()));
        reporter.expect(self.files(), self.size);
        sender.start_frame(self.status, files.map_err(SendError::from)?).await?;
        for (index, source) in self.files.iter().enumerate() {
            match &source.content {
                Content::File(path) => {
                    let source_file = SourceFile::open(path, STDIN)?;
                    let bar = reporter.progress(&source.name, source_file.size);
                    sender.start_file(&source.name, source_file.size).await?;
                    source_file.copy(sender, &bar).await?;
                }
                Content::Stdin(size) => {
                    if index > 0 {
                        // The first byte of standard input may be long in coming: let the peer have what there is.
                        sender.push().await?;
                    }
                    let bar = reporter.progress(&source.name, *size);
                    sender.start_file(&source.name, *size).await?;
                    copy_stdin(sender, &bar).await?;
                }
            }
        }
        match &self.message {
            Message::Bytes(bytes) => sender.finish_frame(bytes).await?,
            Message::File(path) => {
                let source_file = SourceFile::open(path, STDIN_MESSAGE)?;
                sender.start_message(source_file.size).await?;
                let bar = reporter.progress("message", source_file.size);
                source_file.copy(sender, &bar).await?;
                sender.push().await?;
            }
        }
        Ok(sender.frame_len())
    }
}

/// Why a frame could not be put together.
#[derive(Debug)]
pub(crate) enum Refused {
    Usage(String),
    Failed(Failure),
}

impl Refused {
    fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Why a frame was not sent.
#[derive(Debug)]
pub(crate) enum NotSent {
    /// A local file is to blame; the stream ends inside the frame.
    Source(Failure),
    Connection(SendError),
}

impl From<Failure> for NotSent {
    fn from(failure: Failure) -> Self {
        Self::Source(failure)
    }
}

impl From<SendError> for NotSent {
    fn from(error: SendError) -> Self {
        Self::Connection(error)
    }
}

#[derive(Debug)]
struct Source {
    /// As the peer will see it.
    name: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File(PathBuf),
    /// So many bytes of standard input.
    Stdin(u64),
}

#[derive(Debug)]
enum Message {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// What tells whether two paths lead to one file.
#[derive(PartialEq, Eq)]
struct FileId {
    #[cfg(unix)]
    device_and_inode: (u64, u64),
    #[cfg(not(unix))]
    path: PathBuf,
}

impl FileId {
    #[cfg(unix)]
    fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path)?;
        Ok(Self { device_and_inode: (metadata.dev(), metadata.ino()) })
    }

    #[cfg(not(unix))]
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.canonicalize()? })
    }
}

/// A local file while it is sent. Its length goes out before its data, so it must not change meanwhile.
struct SourceFile<'a> {
    path: &'a Path,
    file: File,
    size: u64,
    before: Metadata,
}

impl<'a> SourceFile<'a> {
    fn open(path: &'a Path, instead: &str) -> Result<Self, Failure> {
        let (file, before) = open_regular(path, instead)?;
        Ok(Self { path, file, size: before.len(), before })
    }

    async fn copy<W: AsyncWrite + Unpin>(
        self,
        sender: &mut Sender<W>,
        bar: &Progress,
    ) -> Result<(), NotSent> {
        let mut copied = 0;
        loop {
            match sender.send_payload_from(&self.file, copied).await {
                Ok(0) => break,
                Ok(n) => {
                    copied += n;
                    bar.inc(n);
                }
                Err(SendError::Source(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    let detail =
                        format!("{} ended at byte {copied}, it had {} at the start", self.name(), self.size);
                    return Err(Failure::source(detail).into());
                }
                Err(SendError::Source(error)) => {
                    return Err(Failure::source(format!("{}: {error}", self.name())).into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.check_unchanged().map_err(|detail| Failure::source(format!("{}: {detail}", self.name())).into())
    }

    /// Everything announced was read: there must be no more of it, and nobody may have written meanwhile.
    fn check_unchanged(&self) -> Result<(), String> {
        let changed = || "changed while it was sent".to_owned();
        // Files in /proc say that they are empty, and are not.
        let beyond = |mut file: &File| {
            file.seek(SeekFrom::Start(self.size))?;
            file.read(&mut [0])
        };
        match block_in_place(|| beyond(&self.file)) {
            Ok(0) => {}
            Ok(_) if self.size == 0 => {
                return Err("has more than its size says; use --stdin NAME:SIZE".to_owned());
            }
            Ok(_) => return Err(changed()),
            Err(error) => return Err(error.to_string()),
        }
        let after = self.file.metadata().map_err(|error| error.to_string())?;
        if after.len() != self.size || after.modified().ok() != self.before.modified().ok() {
            return Err(changed());
        }
        Ok(())
    }

    fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}

async fn copy_stdin<W: AsyncWrite + Unpin>(sender: &mut Sender<W>, bar: &Progress) -> Result<(), NotSent> {
    let mut stdin = tokio::io::stdin();
    let mut copied: u64 = 0;
    loop {
        let space = sender.payload_space().await?;
        if space.is_empty() {
            return Ok(());
        }
        match stdin.read(space).await {
            Ok(0) => {
                let detail =
                    format!("standard input ended after {copied} bytes, before the size given to --stdin");
                return Err(Failure::source(detail).into());
            }
            Ok(n) => {
                sender.commit_payload(n)?;
                copied += n as u64;
                bar.inc(n as u64);
                // The next bytes may be long in coming: let the peer have these.
                sender.push().await?;
            }
            Err(error) => return Err(Failure::source(format!("standard input: {error}")).into()),
        }
    }
}

/// What the operands name.
#[derive(Default)]
struct Found {
    /// Takes names that begin with a dot out of directories, too.
    dotfiles: bool,
    files: Vec<Source>,
    /// Bytes of them all.
    size: u64,
    warnings: Vec<String>,
}

impl Found {
    /// Adds the file, or the files of the directory, that `path` names.
    fn add(&mut self, path: &Path) -> Result<(), Refused> {
        let metadata = match std::fs::metadata(path) {
            Err(error) if is_standard(path) && error.kind() == io::ErrorKind::NotFound => {
                return Err(Refused::usage(format!(
                    "there is no file called -; {STDIN} sends standard input (SIZE bytes of it)"
                )));
            }
            metadata => metadata.map_err(|error| cannot_open(path, &error))?,
        };
        let is_dotted = path.file_name().is_some_and(begins_with_a_dot);
        if is_dotted && !self.dotfiles {
            self.warnings.push(format!(
                "{} begins with a dot, and most receivers refuse such names (but see their --allow-dotfiles); it is sent",
                path.display()
            ));
        }
        if !metadata.is_dir() {
            let name = path.file_name().map(OsStr::to_os_string).unwrap_or_default();
            return self.push(Path::new(&name), path);
        }
        let base = match path.file_name() {
            Some(name) => name.to_os_string(),
            // `.` and `..` have a name, too, and `/` has none.
            None => {
                let real = path.canonicalize().map_err(|error| cannot_open(path, &error))?;
                real.file_name().map(OsStr::to_os_string).unwrap_or_default()
            }
        };
        let (mut dotted, mut empty) = (0, 0);
        let mut walk = WalkDir::new(path).sort_by_file_name().into_iter();
        while let Some(entry) = walk.next() {
            let entry = entry.map_err(|error| match (error.path(), error.io_error()) {
                (Some(path), Some(cause)) => cannot_open(path, cause),
                _ => Failure::source(error.to_string()),
            })?;
            let kind = entry.file_type();
            if entry.depth() == 0 {
                empty += u64::from(is_empty(entry.path()));
                continue;
            }
            if !self.dotfiles && begins_with_a_dot(entry.file_name()) {
                dotted += 1;
                if kind.is_dir() {
                    walk.skip_current_dir();
                }
                continue;
            }
            if kind.is_dir() {
                empty += u64::from(is_empty(entry.path()));
                continue;
            }
            if !kind.is_file() {
                let what = if kind.is_symlink() { "a symbolic link" } else { "not a regular file" };
                self.warnings.push(format!("skipped {}: {what}", entry.path().display()));
                continue;
            }
            let below = entry.path().strip_prefix(path).unwrap_or(entry.path());
            self.push(&Path::new(&base).join(below), entry.path())?;
        }
        if empty > 0 {
            let what = if empty == 1 { "1 empty directory" } else { &format!("{empty} empty directories") };
            self.warnings.push(format!("skipped {what} in {}: only files are sent", path.display()));
        }
        if dotted > 0 {
            let what = if dotted == 1 { "1 name that begins" } else { &format!("{dotted} names that begin") };
            self.warnings.push(format!(
                "skipped {what} with a dot in {}, for most receivers refuse such files; --dotfiles sends them",
                path.display()
            ));
        }
        Ok(())
    }

    /// Adds the file at `path`, if it can be opened and sent as `name`.
    fn push(&mut self, name: &Path, path: &Path) -> Result<(), Refused> {
        let (_, metadata) = open_regular(path, STDIN)?;
        self.size = self.size.saturating_add(metadata.len());
        self.files.push(Source { name: wire_name(name)?, content: Content::File(path.to_path_buf()) });
        Ok(())
    }
}

fn begins_with_a_dot(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn is_empty(dir: &Path) -> bool {
    // One that cannot be read is an error of the walk.
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

/// A relative path as it goes over the wire: UTF-8, parts separated by `/`.
fn wire_name(path: &Path) -> Result<String, Refused> {
    let parts: Option<Vec<&str>> = path.iter().map(OsStr::to_str).collect();
    match parts {
        Some(parts) => Ok(parts.join("/")),
        None => Err(Refused::usage(format!(
            "{path:?} cannot be sent: file names in TEJ are UTF-8; rename it, or send it as --stdin NAME:SIZE"
        ))),
    }
}

/// Opens a regular file; what is none can be sent `instead` as standard input.
fn open_regular(path: &Path, instead: &str) -> Result<(File, Metadata), Failure> {
    tej_std::open_regular(path).map_err(|error| {
        let mut failure = cannot_open(path, &error);
        if error.get_ref().is_some_and(|error| error.downcast_ref::<NotRegular>().is_some()) {
            failure.detail += &format!("; use {instead} for what is none");
        }
        failure
    })
}

fn cannot_open(path: &Path, error: &io::Error) -> Failure {
    Failure::source(format!("{}: {}", path.display(), os_error(error)))
}

/// Whether a path stands for standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// How a file that is not regular is sent.
const STDIN: &str = "--stdin NAME:SIZE";
/// And a message.
const STDIN_MESSAGE: &str = "--message-file -";
