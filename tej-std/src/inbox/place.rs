//! Giving a complete file its name.

use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;

use super::name::numbered;
use super::{OnConflict, Refusal};

/// Refuses a name of which it can be told beforehand that [`place`] would.
pub(super) fn look(dir: &Dir, wanted: &Path, on_conflict: OnConflict) -> Result<(), Refusal> {
    match dir.symlink_metadata(wanted) {
        Ok(taken) => match on_conflict {
            OnConflict::Refuse => Err(Refusal::Exists),
            OnConflict::Overwrite if taken.is_dir() => Err(Refusal::Directory),
            OnConflict::Overwrite | OnConflict::Rename => Ok(()),
        },
        // Below a directory that is missing, nothing was said of the parts yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let too_long = |part| match dir.symlink_metadata(part) {
                Err(error) if error.kind() == io::ErrorKind::InvalidFilename => Err(error.into()),
                _ => Ok(()),
            };
            wanted.iter().try_for_each(too_long)
        }
        // Too long, below a file, outside.
        Err(error) => Err(error.into()),
    }
}

/// Renames `from` to `wanted` within `dir`, in directories that are created as needed, or to what `on_conflict` makes of
/// a name that is taken. Returns the name; after an error nothing has changed.
pub(super) fn place(
    dir: &Dir,
    from: &Path,
    wanted: &Path,
    on_conflict: OnConflict,
) -> Result<PathBuf, Refusal> {
    let mut races = 0;
    loop {
        let created = create_parents(dir, wanted)?;
        let placed = rename(dir, from, wanted, on_conflict);
        if placed.is_err() {
            remove_parents(dir, &created);
        }
        match placed {
            // A file that was refused at the same moment has taken a directory along that was empty yet.
            Err(Refusal::Io(error))
                if error.kind() == io::ErrorKind::NotFound
                    && parent(wanted).is_some()
                    && races < MAX_RACES =>
            {
                races += 1;
            }
            placed => return placed,
        }
    }
}

/// Forces the directories that lead to `name` to the disk, the innermost first.
pub(super) fn sync_parents(dir: &Dir, name: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be forced to the disk.
    if cfg!(unix) {
        for parent in name.ancestors().skip(1) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            dir.open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

/// Creates the directories of `wanted` that are missing and returns them, the outermost first. After an error none is
/// left.
fn create_parents(dir: &Dir, wanted: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(parent) = parent(wanted) else { return Ok(Vec::new()) };
    let missing = missing_parents(dir, wanted);
    let created = dir.create_dir_all(parent);
    if created.is_err() {
        remove_parents(dir, &missing);
    }
    created.map(|()| missing)
}

/// The directories of `wanted` that there are not, the outermost first.
pub(super) fn missing_parents(dir: &Dir, wanted: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> = wanted
        .ancestors()
        .skip(1)
        .take_while(|path| !path.as_os_str().is_empty() && !dir.exists(path))
        .map(Path::to_path_buf)
        .collect();
    missing.reverse();
    missing
}

fn remove_parents(dir: &Dir, created: &[PathBuf]) {
    for path in created.iter().rev() {
        // Another file may have moved in meanwhile: then it stays.
        let _ = dir.remove_dir(path);
    }
}

fn rename(dir: &Dir, from: &Path, wanted: &Path, on_conflict: OnConflict) -> Result<PathBuf, Refusal> {
    let renamed = match on_conflict {
        OnConflict::Rename => return Ok(rename_numbered(dir, from, wanted)?),
        OnConflict::Refuse => rename_new(dir, from, wanted),
        OnConflict::Overwrite => dir.rename(from, dir, wanted),
    };
    match renamed {
        Ok(()) => Ok(wanted.to_path_buf()),
        Err(error) if is_taken(&error) => Err(Refusal::Exists),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Err(Refusal::Directory),
        Err(error) => Err(error.into()),
    }
}

fn rename_numbered(dir: &Dir, from: &Path, wanted: &Path) -> io::Result<PathBuf> {
    match rename_new(dir, from, wanted) {
        Err(error) if is_taken(&error) => {}
        result => return result.map(|()| wanted.to_path_buf()),
    }
    // Somebody else may take the number between the look and the rename; hardly a hundred times.
    for _ in 0..MAX_RACES {
        let candidate = numbered(wanted, free_number(dir, wanted));
        match rename_new(dir, from, &candidate) {
            Err(error) if is_taken(&error) => {}
            result => return result.map(|()| candidate),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many files of this name"))
}

/// A number that `wanted` can have: the first, if the ones below are taken without a gap. Looked for by doubling and
/// halving, because a stranger may send the same name ten thousand times.
fn free_number(dir: &Dir, wanted: &Path) -> u32 {
    let taken = |n: u32| dir.symlink_metadata(numbered(wanted, n)).is_ok();
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

/// Renames within `dir` in one step, but never onto something that exists.
fn rename_new(dir: &Dir, from: &Path, to: &Path) -> io::Result<()> {
    // The kernel follows links in `to` that the sandbox would not: resolve the parent inside the sandbox first.
    let opened = parent(to).map(|parent| dir.open_dir(parent)).transpose()?;
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

/// The directory of a name; `None` for the inbox itself.
fn parent(name: &Path) -> Option<&Path> {
    name.parent().filter(|parent| !parent.as_os_str().is_empty())
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}

/// How often somebody else may come first at the last moment.
const MAX_RACES: u32 = 100;
