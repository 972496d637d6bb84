//! Files that have no name of their own yet.
//!
//! Whoever writes one holds a lock on it, which ends with the process however that ends: what is not locked is stale.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::fs::{Dir, OpenOptions};

/// A new, empty, locked file in a directory. Dropped, it is removed, unless it was [named](Self::named).
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    /// `None` once it has a name of its own.
    name: Option<String>,
    dir: Arc<Dir>,
}

impl Temporary {
    pub(super) fn create(dir: &Arc<Dir>) -> io::Result<Self> {
        loop {
            let unique = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{PREFIX}{unique}{SUFFIX}");
            let file = match dir.open_with(&name, OpenOptions::new().write(true).create_new(true)) {
                Ok(file) => file.into_std(),
                // Another process has one of this number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            let temporary = Self { file, name: Some(name), dir: Arc::clone(dir) };
            match temporary.file.try_lock() {
                // Before it was locked, a clean-up may have removed it.
                Ok(()) if temporary.is_there() => return Ok(temporary),
                // A clean-up has it, and removes it.
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                // Without locks there is no clean-up either.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(temporary);
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The name it has for now; empty once it has its own.
    pub(super) fn name(&self) -> &Path {
        Path::new(self.name.as_deref().unwrap_or_default())
    }

    /// It was renamed, and stays.
    pub(super) fn named(&mut self) {
        self.name = None;
    }

    /// Whether its name still means it.
    fn is_there(&self) -> bool {
        self.name.as_ref().is_some_and(|name| is_same(&self.dir, name, &self.file))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = self.name.as_ref().filter(|_| self.is_there()) {
            // Nobody is left to tell; the directory may have been removed.
            let _ = self.dir.remove_file(name);
        }
    }
}

/// Whether temporary files have names like this one, now or in earlier versions.
pub(super) fn is_name(name: &str) -> bool {
    let number = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
}

/// Whether `name` could be taken for a temporary file's on some file system: many do not tell cases apart.
pub(super) fn is_like_name(name: &str) -> bool {
    is_name(&name.to_ascii_lowercase())
}

/// Removes what killed processes left behind. Files that somebody writes stay, and so does what only has such a name.
pub(super) fn remove_stale(dir: &Dir) -> io::Result<()> {
    for entry in dir.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| is_name(name)) else { continue };
        if !entry.file_type()?.is_file() {
            continue;
        }
        // Somebody else's file may not be ours to open: then it is not ours to remove.
        let Ok(file) = open(dir, name) else { continue };
        // Locked first: nobody can begin to hold it now. Then looked at: it may have been named or removed meanwhile, and
        // its name given to another.
        if file.try_lock().is_ok() && is_same(dir, name, &file) {
            let _ = dir.remove_file(name);
        }
    }
    Ok(())
}

/// Opens an existing file, and nothing else that was put in its place meanwhile: no link is followed, no FIFO waited for.
fn open(dir: &Dir, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Network file systems lock only what is open for writing.
    options.write(true);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    Ok(dir.open_with(name, &options)?.into_std())
}

#[cfg(unix)]
fn is_same(dir: &Dir, name: &str, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(named), Ok(opened)) = (dir.symlink_metadata(name), file.metadata()) else { return false };
    let named = (cap_std::fs::MetadataExt::dev(&named), cap_std::fs::MetadataExt::ino(&named));
    named == (opened.dev(), opened.ino())
}

/// Elsewhere an open file keeps its name until it is closed.
#[cfg(not(unix))]
fn is_same(dir: &Dir, name: &str, _: &File) -> bool {
    dir.symlink_metadata(name).is_ok()
}

/// How the names of temporary files begin and end.
const PREFIX: &str = ".tej-";
const SUFFIX: &str = ".part";

/// Tells apart the temporary files of one process; those of others are met and passed by.
static NEXT: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;
    use std::sync::atomic::AtomicBool;

    /// Ends the other thread, also when this one panics.
    struct EndOfTest<'a>(&'a AtomicBool);

    impl Drop for EndOfTest<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn names_of_temporary_files_are_known() {
        for name in [".tej-0.part", ".tej-18446744073709551615.part", ".tej-4711-3.part"] {
            assert!(is_name(name) && is_like_name(name), "{name}");
        }
        for name in [".TEJ-0.PART", ".Tej-1.part", ".tej-4711-3.parT"] {
            assert!(!is_name(name) && is_like_name(name), "{name}");
        }
        for name in
            [".tej-.part", ".tej-a.part", ".tej-1.partial", "tej-1.part", "x/.tej-1.part", ".tej-1/.part"]
        {
            assert!(!is_name(name) && !is_like_name(name), "{name}");
        }
    }

    // case 49
    #[test]
    fn no_clean_up_removes_what_is_being_created() {
        let scratch = tempfile::tempdir().unwrap();
        let open = || Arc::new(Dir::open_ambient_dir(scratch.path(), ambient_authority()).unwrap());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let cleaner = scope.spawn(|| {
                let dir = open();
                let mut rounds = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    // An entry may vanish while it is looked at.
                    let _ = remove_stale(&dir);
                    rounds += 1;
                }
                rounds
            });
            let dir = open();
            let end = EndOfTest(&done);
            for _ in 0..2000 {
                let mut temporary = Temporary::create(&dir).unwrap();
                assert!(temporary.is_there(), "a live file was removed");
                dir.rename(temporary.name(), &dir, "final").unwrap();
                temporary.named();
            }
            drop(end);
            assert!(cleaner.join().unwrap() > 0);
        });
        assert!(scratch.path().join("final").exists());
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }
}
