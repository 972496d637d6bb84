//! What an inbox takes, and what becomes of a name that is taken.

/// Settings of an [`Inbox`](super::Inbox). The default replaces nothing, stores no dot files and knows no quota.
///
/// ```
/// use tej_std::inbox::{OnConflict, Policy};
///
/// let policy = Policy {
///     on_conflict: OnConflict::Refuse,
///     max_file: Some(64 << 20),
///     min_free: 1 << 30,
///     ..Policy::default()
/// };
/// # let _ = policy;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// What to do with a file whose name is taken.
    pub on_conflict: OnConflict,
    /// Stores names that have a part beginning with a dot. Programs take such files for settings, so a stranger who may
    /// send them can change what the programs of whoever owns the directory do.
    pub dot_files: bool,
    /// Forces each file to the disk before it gets its name, and its name before it is reported: no file that was reported
    /// is lost to a power failure. It costs the disk's latency for each file.
    pub sync: bool,
    /// The largest file, in bytes.
    pub max_file: Option<u64>,
    /// Bytes of all files of one frame.
    pub max_frame: Option<u64>,
    /// Bytes of all files of one client. Who that is, [`delivery`](super::Inbox::delivery) and
    /// [`delivery_from`](super::Inbox::delivery_from) say.
    pub max_client: Option<u64>,
    /// Files of one client, and directories that had to be created for them: an empty one takes room, too, and many a file
    /// system has a number of them that it can hold.
    pub max_entries: Option<u64>,
    /// Bytes of the file system that stay free. Looked at when a file is begun, with its announced size, and every
    /// 8 MiB of it: files that are written at once can go below it by so much each. With 0 only the first look is taken.
    pub min_free: u64,
}

/// What becomes of a file whose name is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// It becomes `name (1).ext`, `name (2).ext` and so on: nothing is lost.
    #[default]
    Rename,
    /// It is refused.
    Refuse,
    /// It replaces what has the name, in one step; a symbolic link is replaced itself, never what it leads to. A
    /// directory is not replaced: then the file is refused.
    Overwrite,
}
