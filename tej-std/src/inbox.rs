//! The one door by which a peer's bytes reach the disk.

mod account;
mod name;
mod place;
mod policy;
mod refusal;
mod space;
mod temporary;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

pub use account::Client;
pub use policy::{OnConflict, Policy};
pub use refusal::Refusal;

use account::{Account, Accounts, Used};
use name::System;
use space::Space;
use temporary::Temporary;

use crate::Splice;

/// A directory that receives files from strangers.
///
/// - Nothing is ever written outside of it, whatever a name says and whatever symbolic links lie in it: it is held as
///   a capability, not as a path.
/// - A file appears under its name only when it is complete. Until then its bytes are in a temporary file in the
///   directory, which is removed when the file is abandoned. (So a directory below, if it is another file system,
///   cannot receive.) What a killed process left behind is removed when the directory is opened the next time.
/// - Unless the [`Policy`] says otherwise, nothing is replaced: a name that is taken becomes `name (1).ext`. And names
///   that begin with a dot are refused.
///
/// Unless [`Policy::sync`] is on, files are not forced to the disk before they are named; a power failure may cost the
/// last ones.
///
/// Its calls block on the disk. A clone is the same inbox.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let directory = directory.path();
/// use tej_std::inbox::Inbox;
///
/// let inbox = Inbox::open(directory)?;
/// let mut delivery = inbox.delivery(); // one for each connection
/// let mut file = delivery.begin(b"photos/a.jpg", 3)?;
/// file.write(b"...")?;
/// assert_eq!(file.commit()?, directory.join("photos/a.jpg"));
/// assert!(delivery.begin(b"../a.jpg", 3).is_err());
/// delivery.end_frame();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: Arc<Dir>,
    root: PathBuf,
    policy: Policy,
    space: Space,
    accounts: Accounts,
}

impl Inbox {
    /// Opens the directory `root` with the default [`Policy`].
    ///
    /// # Errors
    ///
    /// As for [`with_policy`](Self::with_policy).
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        Self::with_policy(root, Policy::default())
    }

    /// Opens the directory `root`, creating it (and its parents) where it is missing, and removes the temporary files in
    /// it that nobody is writing. Several inboxes, in several processes, may share a directory.
    ///
    /// # Errors
    ///
    /// It cannot be created or opened, or is not a directory.
    pub fn with_policy(root: impl Into<PathBuf>, policy: Policy) -> io::Result<Self> {
        let root = root.into();
        std::fs::create_dir_all(&root)?;
        let dir = Dir::open_ambient_dir(&root, ambient_authority())?;
        // A directory that can be written and not listed is as good for all else.
        let _ = temporary::remove_stale(&dir);
        let space = Space::new(policy.min_free);
        let shared = Shared { dir: Arc::new(dir), root, policy, space, accounts: Accounts::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What comes over one connection, whose peer is taken for a client that was never here before.
    pub fn delivery(&self) -> Delivery {
        self.delivery_on(Account::Own(Used::default()))
    }

    /// What comes over one connection of `client`: an address, or a key where that is known. All of its connections are
    /// counted together, now and later, for as long as this inbox is open.
    ///
    /// So that memory stays bounded, 65,536 clients are told apart that began a file which counts against a quota; all
    /// further ones share the quotas of one client. Connections that only come and go, and files that are refused, take
    /// up no place. But whoever has so many addresses and has a file begun from each, as from a /48 network of IPv6, can
    /// use up what is left for others: against that only a firewall helps, or to know clients by their
    /// keys.
    pub fn delivery_from(&self, client: impl Into<Client>) -> Delivery {
        self.delivery_on(Account::of(client.into()))
    }

    fn delivery_on(&self, account: Account) -> Delivery {
        Delivery { shared: Arc::clone(&self.shared), frame: 0, account }
    }
}

/// The files of one connection, counted against the quotas of its client.
#[derive(Debug)]
pub struct Delivery {
    shared: Arc<Shared>,
    /// Bytes of the files that were begun in the current frame.
    frame: u64,
    account: Account,
}

impl Delivery {
    /// Begins a file of `size` bytes that the client calls `name`: UTF-8, parts separated by `/`. From here on it counts
    /// against the quotas, whatever becomes of it; one that is refused counts only while this call looks at the disk.
    ///
    /// # Errors
    ///
    /// The name cannot be stored here, the file is too large, or the temporary file cannot be created.
    pub fn begin(&mut self, name: &[u8], size: u64) -> Result<IncomingFile, Refusal> {
        let Shared { dir, policy, space, accounts, .. } = &*self.shared;
        let name = Path::new(name::check(name, policy.dot_files, System::THIS)?);
        if let Some(limit) = policy.max_file.filter(|&limit| size > limit) {
            return Err(Refusal::FileTooLarge { size, limit });
        }
        let frame = policy.max_frame.map_or(u64::MAX, |quota| quota.saturating_sub(self.frame));
        if size > frame {
            return Err(Refusal::FrameQuota { size, left: frame });
        }
        let mut charge = self.account.charge(accounts);
        charge.bytes(size, policy.max_client).map_err(|left| Refusal::ClientQuota { size, left })?;
        place::look(dir, name, policy.on_conflict)?;
        // Looking for directories costs calls of the system.
        let entries = policy.max_entries.map_or(0, |_| 1 + place::missing_parents(dir, name).len() as u64);
        charge.entries(entries, policy.max_entries).map_err(|left| Refusal::EntryQuota { entries, left })?;
        space.check(dir, size)?;
        // The one error that the directory itself is missing for.
        let temporary = Temporary::create(dir).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Refusal::Removed,
            _ => Refusal::Io(error),
        })?;
        charge.keep();
        self.frame = self.frame.saturating_add(size);
        let shared = Arc::clone(&self.shared);
        Ok(IncomingFile { shared, temporary, name: name.into(), size, written: 0, granted: 0, broken: false })
    }

    /// The current frame has ended: the next one has a quota of its own.
    pub fn end_frame(&mut self) {
        self.frame = 0;
    }
}

/// A file that is being received. Dropped before [`commit`](Self::commit), it leaves nothing behind.
#[derive(Debug)]
pub struct IncomingFile {
    shared: Arc<Shared>,
    temporary: Temporary,
    name: PathBuf,
    /// Bytes that were announced.
    size: u64,
    written: u64,
    /// Bytes that may be written before the free space is looked at again.
    granted: u64,
    /// A write failed: nobody knows how much of it was done.
    broken: bool,
}

impl IncomingFile {
    /// Bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        // An `append` may have written more, and then nothing does any more.
        self.size.saturating_sub(self.written)
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// The disk is full or failing, or `bytes` are more than [`remaining`](Self::remaining). Nothing can be made of the
    /// file then: drop it. The connection it came by may go on.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            let written = self.append_with(bytes.len() as u64, |mut file, granted| {
                let granted = usize::try_from(granted).unwrap_or(bytes.len());
                Ok(file.write(&bytes[..granted])? as u64)
            });
            match written {
                Ok(0) => {
                    self.broken = true;
                    return Err(Refusal::Io(io::ErrorKind::WriteZero.into()));
                }
                Ok(written) => bytes = &bytes[usize::try_from(written).unwrap_or(bytes.len())..],
                Err(Refusal::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(())
    }

    /// Has `append` write the next bytes itself, at the position of the file that it is lent: by `splice`, say, without a
    /// copy through memory. It is called once, unless 0 are `wanted`; is told how many it may write, at least 1 and at most
    /// `wanted`, but fewer where the free space must be looked at again after them; and returns how many it did, which this
    /// returns, too.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), and what `append` fails with. Of that, [`WouldBlock`](io::ErrorKind::WouldBlock)
    /// and [`Interrupted`](io::ErrorKind::Interrupted) mean that it wrote nothing: then it may be tried again.
    pub fn append_with(
        &mut self,
        wanted: u64,
        append: impl FnOnce(&File, u64) -> io::Result<u64>,
    ) -> Result<u64, Refusal> {
        if self.broken {
            return Err(Refusal::Broken);
        }
        // Until it has gone well.
        self.broken = true;
        if wanted > self.remaining() {
            return Err(Refusal::WrongSize { size: self.size, written: self.written.saturating_add(wanted) });
        }
        if self.granted == 0 {
            self.granted = self.shared.space.grant(&self.shared.dir, self.remaining())?;
        }
        let granted = self.granted.min(wanted);
        if granted == 0 {
            self.broken = false;
            return Ok(0);
        }
        let appended = match append(self.temporary.file(), granted) {
            Ok(appended) => appended,
            Err(error) => {
                self.broken = !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
                return Err(error.into());
            }
        };
        self.written = self.written.saturating_add(appended);
        if appended > granted {
            return Err(Refusal::WrongSize { size: self.size, written: self.written });
        }
        self.granted -= appended;
        self.broken = false;
        Ok(appended)
    }

    /// Appends what `splice` holds, which is empty then, whatever happens.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub fn write_spliced(&mut self, splice: &mut Splice) -> Result<(), Refusal> {
        while splice.held() > 0 {
            let appended =
                self.append_with(splice.held(), |file, granted| splice.write_some_to(file, granted));
            if let Err(refusal) = appended {
                splice.clear();
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// Gives the file its name, in directories that are created as needed, and returns its path. What becomes of it if
    /// the name is taken, [`Policy::on_conflict`] says.
    ///
    /// # Errors
    ///
    /// The file is not complete, or the name cannot be stored here after all (a file where a directory should be, a link
    /// that leads outside): nothing is left behind. After [`Refusal::NotSynced`] alone the file is there.
    pub fn commit(mut self) -> Result<PathBuf, Refusal> {
        let Shared { dir, root, policy, .. } = &*self.shared;
        if self.broken {
            return Err(Refusal::Broken);
        }
        // What the disk has counts, not what we believe to have written.
        let on_disk = self.temporary.file().metadata()?.len();
        for written in [self.written, on_disk] {
            if written != self.size {
                return Err(Refusal::WrongSize { size: self.size, written });
            }
        }
        if policy.sync {
            self.temporary.file().sync_all()?;
        }
        let stored = place::place(dir, self.temporary.name(), &self.name, policy.on_conflict)?;
        self.temporary.named();
        let path = root.join(&stored);
        if policy.sync
            && let Err(error) = place::sync_parents(dir, &stored)
        {
            return Err(Refusal::NotSynced { path, error });
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use std::panic::{self, AssertUnwindSafe};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Barrier, mpsc};
    use std::time::Duration;

    // case 51
    #[test]
    fn a_disk_that_fills_up_meanwhile_refuses_the_rest() {
        static FREE: AtomicU64 = AtomicU64::new(0);
        let scratch = tempfile::tempdir().unwrap();
        let inbox =
            Inbox::with_policy(scratch.path(), Policy { min_free: 100, ..Policy::default() }).unwrap();
        let mut shared = Arc::into_inner(inbox.shared).unwrap();
        shared.space.free = |_| Ok(Some(FREE.load(Ordering::Relaxed)));
        let inbox = Inbox { shared: Arc::new(shared) };
        let mut delivery = inbox.delivery();

        FREE.store(109, Ordering::Relaxed);
        assert!(matches!(
            delivery.begin(b"a", 10),
            Err(Refusal::NoSpace { needed: 10, free: 109, floor: 100 })
        ));
        FREE.store(110, Ordering::Relaxed);
        let mut file = delivery.begin(b"a", 10).unwrap();
        // Others take what was left.
        FREE.store(104, Ordering::Relaxed);
        let mut grants = Vec::new();
        while file.remaining() > 6 {
            file.append_with(file.remaining(), |mut file, granted| {
                grants.push(granted);
                Ok(file.write(b"x")? as u64)
            })
            .unwrap();
        }
        assert_eq!(grants, [4, 3, 2, 1]);
        FREE.store(100, Ordering::Relaxed);
        assert!(matches!(file.write(b"x"), Err(Refusal::NoSpace { needed: 6, free: 100, floor: 100 })));
        // And it stays so, whatever becomes free.
        FREE.store(1000, Ordering::Relaxed);
        assert!(matches!(file.write(b"x"), Err(Refusal::Broken)));
        assert!(matches!(file.commit(), Err(Refusal::Broken)));
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
    /// An inbox of quotas, on a disk of which `free` tells the room.
    fn on_a_disk(free: fn(&Dir) -> io::Result<Option<u64>>) -> (tempfile::TempDir, Inbox) {
        let scratch = tempfile::tempdir().unwrap();
        let policy = Policy { max_client: Some(100), max_entries: Some(2), ..Policy::default() };
        let inbox = Inbox::with_policy(scratch.path(), policy).unwrap();
        let mut shared = Arc::into_inner(inbox.shared).unwrap();
        shared.space.free = free;
        (scratch, Inbox { shared: Arc::new(shared) })
    }

    // case 51
    #[test]
    fn no_connection_of_a_client_waits_for_the_disk_of_another() {
        // Both must be at the disk for either to go on.
        static BOTH: Barrier = Barrier::new(2);
        let (_scratch, inbox) = on_a_disk(|_| {
            BOTH.wait();
            Ok(Some(u64::MAX))
        });
        let (begun, all) = mpsc::channel();
        for name in [b"a", b"b"] {
            let (mut delivery, begun) = (inbox.delivery_from(IpAddr::from([192, 0, 2, 1])), begun.clone());
            std::thread::spawn(move || begun.send(delivery.begin(name, 50).map(drop)));
        }
        for _ in 0..2 {
            all.recv_timeout(Duration::from_secs(60)).expect("one waits for the other").unwrap();
        }
        let mut delivery = inbox.delivery_from(IpAddr::from([192, 0, 2, 1]));
        assert!(matches!(delivery.begin(b"c", 1), Err(Refusal::ClientQuota { left: 0, .. })));
    }

    // case 51
    #[test]
    fn what_the_disk_refuses_costs_the_client_nothing() {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let (_scratch, inbox) = on_a_disk(|_| match CALLS.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(Some(99)),
            1 => panic!("as it was told to"),
            _ => Ok(Some(100)),
        });
        let from = || inbox.delivery_from(IpAddr::from([192, 0, 2, 1]));
        assert!(matches!(from().begin(b"d/a", 100), Err(Refusal::NoSpace { free: 99, .. })));
        let begun = panic::catch_unwind(AssertUnwindSafe(|| from().begin(b"d/a", 100)));
        assert!(begun.is_err());
        let refused = from().begin(b"d/e/a", 100);
        assert!(matches!(refused, Err(Refusal::EntryQuota { entries: 3, left: 2 })), "{refused:?}");
        drop(from().begin(b"d/a", 100).unwrap());
        assert!(matches!(from().begin(b"b", 1), Err(Refusal::ClientQuota { left: 0, .. })));
        assert!(matches!(from().begin(b"b", 0), Err(Refusal::EntryQuota { entries: 1, left: 0 })));
    }
}
