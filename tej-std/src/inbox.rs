//! The one door by which a peer's bytes reach the disk.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions};

/// A directory that receives files from strangers.
///
/// - Nothing is ever written outside of it, whatever a name says and whatever symbolic links lie in it: it is held as
///   a capability, not as a path.
/// - A file appears under its name only when it is complete. Until then its bytes are in a temporary file in the
///   directory, which is removed when the file is abandoned. (So a directory below, if it is another file system,
///   cannot receive.)
/// - Nothing is replaced: a name that is taken becomes `name (1).ext`.
///
/// Names that begin with a dot are stored like others: do not open a home directory as an inbox. Files are not
/// forced to the disk before they are named; a power failure may cost the last ones.
///
/// Its calls block on the disk.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let directory = directory.path();
/// use tej_std::inbox::Inbox;
///
/// let inbox = Inbox::open(directory)?;
/// let mut file = inbox.begin(b"photos/a.jpg")?;
/// file.write(b"...")?;
/// assert_eq!(file.commit()?, directory.join("photos/a.jpg"));
/// assert!(inbox.begin(b"../a.jpg").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Inbox {
    dir: Dir,
    root: PathBuf,
}

impl Inbox {
    /// Opens the directory `root`, creating it (and its parents) where it is missing.
    ///
    /// # Errors
    ///
    /// It cannot be created or opened, or is not a directory.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        std::fs::create_dir_all(&root)?;
        let dir = Dir::open_ambient_dir(&root, ambient_authority())?;
        Ok(Self { dir, root })
    }

    /// Begins a file that a peer calls `name`: UTF-8, parts separated by `/`.
    ///
    /// # Errors
    ///
    /// The name cannot be stored here, or the temporary file cannot be created.
    pub fn begin(&self, name: &[u8]) -> Result<IncomingFile, Refusal> {
        let name = check_name(name)?;
        let dir = self.dir.try_clone()?;
        loop {
            let unique = NEXT_TEMPORARY.fetch_add(1, Ordering::Relaxed);
            let temporary = format!("{PREFIX}{}-{unique}{SUFFIX}", std::process::id());
            match dir.open_with(&temporary, OpenOptions::new().write(true).create_new(true)) {
                Ok(file) => {
                    let name = name.to_owned();
                    return Ok(IncomingFile {
                        file,
                        temporary: Some(temporary),
                        name,
                        dir,
                        root: self.root.clone(),
                    });
                }
                // Left behind by a process of the same number that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A file that is being received. Dropped before [`commit`](Self::commit), it leaves nothing behind.
#[derive(Debug)]
pub struct IncomingFile {
    file: File,
    /// The name it has until it is complete; `None` once that is its own.
    temporary: Option<String>,
    name: String,
    dir: Dir,
    root: PathBuf,
}

impl IncomingFile {
    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// The disk is full or failing. Drop the file; the connection it came by may go on.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Gives the file its name, in directories that are created as needed, and returns its path. If the name is taken
    /// the file becomes `name (1).ext`, `name (2).ext` and so on.
    ///
    /// # Errors
    ///
    /// The name cannot be stored here after all (too long for the file system, a file where a directory should be, a
    /// link that leads outside): nothing is left behind.
    pub fn commit(mut self) -> Result<PathBuf, Refusal> {
        let Some(temporary) = self.temporary.take() else { unreachable!("commit consumes the file") };
        let stored = self.store(&temporary);
        if stored.is_err() {
            self.temporary = Some(temporary);
        }
        Ok(self.root.join(stored?))
    }

    fn store(&self, temporary: &str) -> io::Result<PathBuf> {
        let wanted = Path::new(&self.name);
        let created = self.create_parents(wanted)?;
        let stored = self.rename(Path::new(temporary), wanted);
        if stored.is_err() {
            for dir in created.iter().rev() {
                // Another file may have moved in meanwhile: then it stays.
                let _ = self.dir.remove_dir(dir);
            }
        }
        stored
    }

    /// Creates the directories of `wanted` that are missing and returns them, the outermost first.
    fn create_parents(&self, wanted: &Path) -> io::Result<Vec<PathBuf>> {
        let Some(parent) = wanted.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
            return Ok(Vec::new());
        };
        let mut missing: Vec<PathBuf> = parent
            .ancestors()
            .take_while(|dir| !dir.as_os_str().is_empty() && !self.dir.exists(dir))
            .map(Path::to_path_buf)
            .collect();
        missing.reverse();
        self.dir.create_dir_all(parent)?;
        Ok(missing)
    }

    fn rename(&self, temporary: &Path, wanted: &Path) -> io::Result<PathBuf> {
        let taken = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
        match rename_new(&self.dir, temporary, wanted) {
            Err(error) if taken(&error) => {}
            result => return result.map(|()| wanted.to_path_buf()),
        }
        // Somebody else may take a number between the look and the rename; hardly a hundred times.
        let first = self.first_free_number(wanted);
        for n in first..first.saturating_add(MAX_RACES) {
            let candidate = numbered(wanted, n);
            match rename_new(&self.dir, temporary, &candidate) {
                Err(error) if taken(&error) => {}
                result => return result.map(|()| candidate),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many files of this name"))
    }

    /// The first number that `wanted` can have, if the ones below are taken without a gap. Looked for by doubling and
    /// halving, because a stranger may send the same name ten thousand times.
    fn first_free_number(&self, wanted: &Path) -> u32 {
        let taken = |n: u32| self.dir.symlink_metadata(numbered(wanted, n)).is_ok();
        let mut high: u32 = 1;
        while taken(high) && high < u32::MAX / 2 {
            high *= 2;
        }
        let mut low = high / 2;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if taken(middle) { low = middle } else { high = middle }
        }
        high
    }
}

impl Drop for IncomingFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nobody is left to tell; the directory may have been removed.
            let _ = self.dir.remove_file(temporary);
        }
    }
}

/// Why a file was not stored.
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
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Io(error) = self { Some(error) } else { None }
    }
}

fn check_name(name: &[u8]) -> Result<&str, Refusal> {
    let name = std::str::from_utf8(name).map_err(|_| Refusal::NotUtf8)?;
    if name.is_empty() {
        return Err(Refusal::Empty);
    }
    if name.starts_with('/') {
        return Err(Refusal::Absolute);
    }
    if let Some(c) = name.chars().find(|&c| forbidden(c)) {
        return Err(Refusal::Character(c));
    }
    if name.split('/').count() > MAX_DEPTH {
        return Err(Refusal::TooDeep);
    }
    if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
        return Err(Refusal::Reserved);
    }
    for part in name.split('/') {
        if matches!(part, "" | "." | "..") {
            return Err(Refusal::Traversal);
        }
        if cfg!(windows) && reserved(part) {
            return Err(Refusal::Reserved);
        }
    }
    Ok(name)
}

fn forbidden(c: char) -> bool {
    // A backslash is a separator to one peer and a letter to another.
    let everywhere = matches!(c, '\0' | '\\');
    let on_windows = matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*') || c.is_control();
    everywhere || (cfg!(windows) && on_windows)
}

/// Names Windows gives to devices, with or without an extension, and endings it strips.
fn reserved(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_ascii_uppercase();
    let device = match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" => true,
        _ => stem
            .strip_prefix("COM")
            .or_else(|| stem.strip_prefix("LPT"))
            .is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'9'])),
    };
    device || part.ends_with(['.', ' '])
}

/// `photos/a.jpg` with 2 is `photos/a (2).jpg`.
fn numbered(name: &Path, n: u32) -> PathBuf {
    let stem = name.file_stem().unwrap_or_default().to_string_lossy();
    let extension = name.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    name.with_file_name(format!("{stem} ({n}){extension}"))
}

/// Renames within `dir` in one step, but never onto something that exists.
fn rename_new(dir: &Dir, from: &Path, to: &Path) -> io::Result<()> {
    // The kernel follows links in `to` that the sandbox would not: resolve the parent inside the sandbox first.
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let opened = parent.map(|parent| dir.open_dir(parent)).transpose()?;
    let target_dir = opened.as_ref().unwrap_or(dir);
    let Some(leaf) = to.file_name().map(Path::new) else { return Err(io::ErrorKind::InvalidInput.into()) };
    match exclusive_rename(dir, from, target_dir, leaf) {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            // This file system has no exclusive rename. A hard link is as exclusive.
            dir.hard_link(from, target_dir, leaf)?;
            // It has its name; a second one that cannot be removed does not make that untrue.
            let _ = dir.remove_file(from);
            Ok(())
        }
        result => result,
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn exclusive_rename(dir: &Dir, from: &Path, target_dir: &Dir, leaf: &Path) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    Ok(renameat_with(dir, from, target_dir, leaf, RenameFlags::NOREPLACE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn exclusive_rename(_: &Dir, _: &Path, _: &Dir, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Parts of a name; deep enough for any honest tree, shallow enough for every tool that will walk it.
const MAX_DEPTH: usize = 32;

/// How often the number of a file may be taken by somebody else at the last moment.
const MAX_RACES: u32 = 100;

/// How the names of temporary files begin and end.
const PREFIX: &str = ".tej-";
const SUFFIX: &str = ".part";

/// Tells apart the temporary files of one process.
static NEXT_TEMPORARY: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    fn store(inbox: &Inbox, name: &str, bytes: &[u8]) -> Result<PathBuf, Refusal> {
        let mut file = inbox.begin(name.as_bytes())?;
        file.write(bytes)?;
        file.commit()
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn honest_names_are_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let inbox = Inbox::open(scratch.path().join("new/inbox")).unwrap();
        let root = scratch.path().join("new/inbox");
        for name in ["a.txt", "a b.txt", "é/ü.tar.gz", "x/y/z", "...", "..a", "a..", "12:30.txt", "con.txt"]
        {
            let path = store(&inbox, name, name.as_bytes()).unwrap();
            assert_eq!(path, root.join(name));
            assert_eq!(std::fs::read(path).unwrap(), name.as_bytes());
        }
    }

    #[test]
    fn nothing_is_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        let inbox = Inbox::open(scratch.path()).unwrap();
        for bytes in ["first", "second", "third"] {
            store(&inbox, "a.tar.gz", bytes.as_bytes()).unwrap();
        }
        assert_eq!(names(scratch.path()), ["a.tar (1).gz", "a.tar (2).gz", "a.tar.gz"]);
        assert_eq!(std::fs::read(scratch.path().join("a.tar.gz")).unwrap(), b"first");
        assert_eq!(std::fs::read(scratch.path().join("a.tar (2).gz")).unwrap(), b"third");
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("inbox");
        let inbox = Inbox::open(&root).unwrap();
        let deep = vec!["d"; MAX_DEPTH + 1].join("/");
        let long = "n".repeat(5000);
        for name in [
            "",
            "/",
            "/etc/x",
            ".",
            "..",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "./a",
            "a\0b",
            "a\\b",
            &deep,
            &long,
        ] {
            assert!(store(&inbox, name, b"x").is_err(), "{name:?} was stored");
        }
        assert!(matches!(inbox.begin(b"\xff"), Err(Refusal::NotUtf8)));
        assert_eq!(names(&root), [""; 0]);
        assert_eq!(names(scratch.path()), ["inbox"]);
        let deepest = vec!["d"; MAX_DEPTH].join("/");
        assert!(store(&inbox, &deepest, b"x").is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn planted_links_lead_nowhere() {
        use std::os::unix::fs::symlink;
        let scratch = tempfile::tempdir().unwrap();
        let (root, outside) = (scratch.path().join("inbox"), scratch.path().join("outside"));
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("precious"), "kept").unwrap();
        let inbox = Inbox::open(&root).unwrap();
        symlink(&outside, root.join("dir")).unwrap();
        symlink(outside.join("precious"), root.join("file")).unwrap();
        symlink(outside.join("planted"), root.join("dangling")).unwrap();
        assert!(store(&inbox, "dir/x", b"evil").is_err());
        // A link in the place of the file is a name that is taken.
        assert_eq!(store(&inbox, "file", b"x").unwrap(), root.join("file (1)"));
        assert_eq!(store(&inbox, "dangling", b"x").unwrap(), root.join("dangling (1)"));
        assert_eq!(names(&outside), ["precious"]);
        assert_eq!(std::fs::read(outside.join("precious")).unwrap(), b"kept");
    }

    #[test]
    fn an_abandoned_file_leaves_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let inbox = Inbox::open(scratch.path()).unwrap();
        let mut file = inbox.begin(b"sub/a.txt").unwrap();
        file.write(b"half").unwrap();
        assert_eq!(names(scratch.path()).len(), 1);
        drop(file);
        assert_eq!(names(scratch.path()), [""; 0]);

        std::fs::write(scratch.path().join("taken"), "").unwrap();
        assert!(store(&inbox, "taken/below", b"x").is_err());
        assert_eq!(names(scratch.path()), ["taken"]);
    }

    #[test]
    fn the_same_name_many_times_is_kept_apart() {
        let scratch = tempfile::tempdir().unwrap();
        let inbox = Inbox::open(scratch.path()).unwrap();
        for n in 0..300 {
            let path = store(&inbox, "a", n.to_string().as_bytes()).unwrap();
            let name = if n == 0 { "a".to_owned() } else { format!("a ({n})") };
            assert_eq!(path, scratch.path().join(name));
        }
        assert_eq!(names(scratch.path()).len(), 300);
    }

    #[test]
    fn windows_devices_are_known() {
        for name in ["CON", "con.txt", "Lpt1", "COM9.tar.gz", "nul ", "a.", "a "] {
            assert!(reserved(name), "{name}");
        }
        for name in ["console", "COM", "COM10", "aux-in", "a.b"] {
            assert!(!reserved(name), "{name}");
        }
    }
}
