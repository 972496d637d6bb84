//! What is done with received events, the same for every command that receives.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tej_std::inbox::{Delivery, IncomingFile, Refusal};
use tej_std::{Event, FrameHeader, ReceiveError, Receiver, Splice};
use tokio::io::AsyncRead;
use tokio::task::block_in_place;

use crate::args::ReceiveArgs;
use crate::report::{Fate, FileReport, Progress, Reporter, hex};
use crate::text::os_error;

/// Follows the events of one connection: hashes, stores and reports.
#[derive(Debug)]
pub(crate) struct Intake<'a> {
    conn: u64,
    reporter: &'a Reporter,
    delivery: Option<Delivery>,
    digest: bool,
    /// Where the delivery stores files.
    dir: Option<&'a Path>,
    header: Option<FrameHeader>,
    file: Option<File>,
    message: Message,
    /// What files and messages that nobody looks at pass through.
    splice: Splice,
    disk: Disk,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(
        conn: u64,
        reporter: &'a Reporter,
        delivery: Option<Delivery>,
        args: &'a ReceiveArgs,
    ) -> Self {
        Self { delivery, digest: args.digest, dir: args.dir.as_deref(), ..Self::all(conn, reporter) }
    }

    /// One that tells all, and stores nothing.
    pub(crate) fn all(conn: u64, reporter: &'a Reporter) -> Self {
        Self {
            conn,
            reporter,
            delivery: None,
            digest: true,
            dir: None,
            header: None,
            file: None,
            message: Message::default(),
            splice: Splice::new(),
            disk: Disk::default(),
        }
    }

    /// Stores or discards the next bytes of a file or message past our memory. False when the next event is due
    /// instead.
    ///
    /// A dropped future loses nothing.
    pub(crate) async fn bypass<R: AsyncRead + Unpin>(
        &mut self,
        receiver: &mut Receiver<R>,
    ) -> Result<bool, ReceiveError> {
        let n = match &mut self.file {
            Some(File { hasher: None, sink: sink @ Sink::Store(_), bar, .. }) => {
                let n = receiver.splice_payload(&mut self.splice).await?;
                if n > 0
                    && let Sink::Store(incoming) = sink
                    && let Err(error) = self.disk.call(|| incoming.write_spliced(&mut self.splice))
                {
                    // The rest of the file is drained, and the connection goes on.
                    *sink = Sink::Refused(error);
                }
                bar.inc(n);
                n
            }
            Some(File { hasher: None, bar, .. }) => {
                let n = receiver.discard_payload(&mut self.splice).await?;
                bar.inc(n);
                n
            }
            None if self.message.is_not_looked_at() => receiver.discard_payload(&mut self.splice).await?,
            _ => 0,
        };
        Ok(n > 0)
    }

    /// Takes the next event. At the end of a frame it returns the frame's head, and `frame_end` is not reported
    /// yet: that is for the caller, who counts.
    ///
    /// It waits while the reader of our output is slow. A dropped future has reported the event or not.
    pub(crate) async fn take(&mut self, event: Event<'_>) -> Option<FrameHeader> {
        match event {
            Event::FrameStart(header) => {
                self.reporter.frame_start(self.conn, header).await;
                self.header = Some(header);
            }
            Event::FileStart { name, size } => self.file = Some(self.begin_file(name, size)),
            Event::FileData(bytes) => {
                if let Some(file) = &mut self.file {
                    file.write(bytes, &mut self.disk);
                }
            }
            Event::FileEnd => {
                if let Some(file) = self.file.take() {
                    self.end_file(file).await;
                }
            }
            Event::MessageStart { size } => self.message = Message::new(size, self.digest),
            Event::MessageData(bytes) => self.message.write(bytes),
            Event::FrameEnd => {
                if let Some(delivery) = &mut self.delivery {
                    delivery.end_frame();
                }
                let message = std::mem::take(&mut self.message);
                // A connection that waits keeps no pipe.
                self.splice = Splice::new();
                let text = message.text.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
                self.reporter.message(self.conn, message.size, text, finish(message.hasher).as_deref()).await;
                return self.header.take();
            }
            // Events of a later version of the codec; this one knows of none.
            _ => {}
        }
        None
    }

    /// Whether a frame has begun and not ended.
    pub(crate) fn in_frame(&self) -> bool {
        self.header.is_some()
    }

    fn begin_file(&mut self, name: &[u8], size: u64) -> File {
        let sink = match &mut self.delivery {
            None => Sink::Discard,
            Some(delivery) => match self.disk.call(|| delivery.begin(name, size)) {
                Ok(incoming) => Sink::Store(incoming),
                Err(refusal) => Sink::Refused(refusal),
            },
        };
        File {
            name: name.to_vec(),
            size,
            hasher: self.digest.then(Sha256::new),
            sink,
            bar: self.reporter.unexpected(&String::from_utf8_lossy(name), size),
        }
    }

    /// What there is in the directory that a file of this name cannot be stored because of, if that is why.
    fn in_the_way(&self, name: &[u8], refusal: &Refusal) -> Option<String> {
        let (dir, name) = (self.dir?, Path::new(str::from_utf8(name).ok()?));
        let Refusal::Io(error) = refusal else { return None };
        let mut parents: Vec<_> = name.ancestors().skip(1).collect();
        parents.reverse();
        parents.into_iter().filter(|parent| !parent.as_os_str().is_empty()).find_map(|parent| {
            let (path, shown) = (dir.join(parent), parent.display());
            match error.kind() {
                io::ErrorKind::NotADirectory if path.exists() && !path.is_dir() => {
                    Some(format!("{shown} is a file here, so that nothing can be stored below it"))
                }
                io::ErrorKind::AlreadyExists if path.is_symlink() && !path.exists() => {
                    Some(format!("{shown} is a symbolic link to nothing"))
                }
                // So says the door of the directory of what leads out of it.
                io::ErrorKind::PermissionDenied if path.is_symlink() => {
                    let is_inside = path.canonicalize().ok()?.starts_with(dir.canonicalize().ok()?);
                    (!is_inside)
                        .then(|| format!("{shown} is a symbolic link that leads out of {}", dir.display()))
                }
                _ => None,
            }
        })
    }

    async fn end_file(&mut self, file: File) {
        let stored = match file.sink {
            Sink::Discard => Ok(None),
            Sink::Store(incoming) => self.disk.call(|| incoming.commit()).map(Some),
            Sink::Refused(refusal) => Err(refusal),
        };
        let fate = match &stored {
            Ok(None) => Fate::Discarded,
            Ok(Some(path)) => Fate::Stored(path),
            Err(refusal) => Fate::Refused(match self.in_the_way(&file.name, refusal) {
                Some(why) => why,
                None => match refusal {
                    Refusal::Io(error) => os_error(error),
                    _ => format!("{refusal}{}", remedy(refusal)),
                },
            }),
        };
        let report = FileReport { name: &file.name, size: file.size, sha256: finish(file.hasher), fate };
        self.reporter.file(self.conn, &report).await;
    }
}

/// The file that is being received.
#[derive(Debug)]
struct File {
    name: Vec<u8>,
    size: u64,
    hasher: Option<Sha256>,
    sink: Sink,
    bar: Progress,
}

impl File {
    fn write(&mut self, bytes: &[u8], disk: &mut Disk) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        if let Sink::Store(incoming) = &mut self.sink
            && let Err(refusal) = disk.call(|| incoming.write(bytes))
        {
            // The rest of the file is drained, and the connection goes on.
            self.sink = Sink::Refused(refusal);
        }
        self.bar.inc(bytes.len() as u64);
    }
}

#[derive(Debug)]
enum Sink {
    Discard,
    Store(IncomingFile),
    Refused(Refusal),
}

/// Calls of the file system, which may block. Most of them end in the system's memory, which takes less time than handing
/// the other tasks of a thread to another one; as long as the disk is what they wait for, those are handed over.
#[derive(Debug, Default)]
struct Disk {
    slow: bool,
}

impl Disk {
    fn call<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = if self.slow { block_in_place(call) } else { call() };
        self.slow = begun.elapsed() > SLOW;
        result
    }
}

/// The message that is being received; kept only up to what would be shown.
#[derive(Debug, Default)]
struct Message {
    size: u64,
    text: Option<Vec<u8>>,
    hasher: Option<Sha256>,
}

impl Message {
    fn new(size: u64, digest: bool) -> Self {
        let shown = size <= MAX_TEXT;
        Self { size, text: shown.then(Vec::new), hasher: digest.then(Sha256::new) }
    }

    /// Whether only the size of it is told.
    fn is_not_looked_at(&self) -> bool {
        self.text.is_none() && self.hasher.is_none()
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(text) = &mut self.text {
            text.extend_from_slice(bytes);
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
    }
}

/// How whoever runs the command can have such a file stored.
fn remedy(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::DotFile => "; --allow-dotfiles stores them",
        Refusal::Exists => "; --on-conflict rename keeps both",
        Refusal::FileTooLarge { .. } => "; --max-file allows more",
        Refusal::FrameQuota { .. } => "; --quota-frame allows more",
        Refusal::ClientQuota { .. } => "; --quota-client allows more",
        Refusal::EntryQuota { .. } => "; --quota-entries allows more",
        Refusal::NoSpace { floor: 1.., .. } => "; --min-free keeps less free",
        _ => "",
    }
}

fn finish(hasher: Option<Sha256>) -> Option<String> {
    hasher.map(|hasher| hex(&hasher.finalize()))
}

/// What takes longer did not end in memory: writes are of at most 1 MiB.
const SLOW: Duration = Duration::from_millis(50);

/// Messages up to this size are shown as text.
const MAX_TEXT: u64 = 64 * 1024;
