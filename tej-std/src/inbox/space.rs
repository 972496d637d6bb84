//! Room on the disk.

use std::io;

use cap_std::fs::Dir;

use super::Refusal;

/// Looks at the free space, and keeps some of it free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    /// Bytes that stay free.
    pub(super) floor: u64,
    /// Bytes that are free, or `None` where the file system does not tell.
    pub(super) free: fn(&Dir) -> io::Result<Option<u64>>,
}

impl Space {
    pub(super) fn new(floor: u64) -> Self {
        Self { floor, free }
    }

    /// Refuses a file of `size` bytes for which there is no room now. Nothing is set aside for those that are being
    /// written: a stranger could announce much and send nothing.
    pub(super) fn check(self, dir: &Dir, size: u64) -> Result<(), Refusal> {
        match self.look(dir)? {
            Some(free) if free < self.floor.saturating_add(size) => Err(self.refusal(free, size)),
            _ => Ok(()),
        }
    }

    /// Bytes that may be written before the next look, at least 1, when `needed` are still to come.
    pub(super) fn grant(self, dir: &Dir, needed: u64) -> Result<u64, Refusal> {
        if self.floor == 0 {
            // The disk says when it is full.
            return Ok(u64::MAX);
        }
        match self.look(dir)? {
            Some(free) if free <= self.floor => Err(self.refusal(free, needed)),
            Some(free) => Ok((free - self.floor).min(LOOK_EVERY)),
            None => Ok(u64::MAX),
        }
    }

    fn look(self, dir: &Dir) -> io::Result<Option<u64>> {
        match (self.free)(dir) {
            Ok(None) if self.floor > 0 => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this file system does not tell how much of it is free, so none can be kept free",
            )),
            // Asked for nothing, it is not to blame.
            Err(_) if self.floor == 0 => Ok(None),
            free => free,
        }
    }

    fn refusal(self, free: u64, needed: u64) -> Refusal {
        Refusal::NoSpace { needed, free, floor: self.floor }
    }
}

/// What unprivileged processes can have.
#[cfg(unix)]
fn free(dir: &Dir) -> io::Result<Option<u64>> {
    let space = rustix::fs::fstatvfs(dir)?;
    // Some that are no disks have no size.
    Ok((space.f_blocks > 0).then(|| space.f_bavail.saturating_mul(space.f_frsize)))
}

#[cfg(not(unix))]
fn free(_: &Dir) -> io::Result<Option<u64>> {
    Ok(None)
}

/// Bytes of a file between two looks: rare enough to cost nothing, often enough that a floor means something.
const LOOK_EVERY: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;

    fn dir() -> (tempfile::TempDir, Dir) {
        let scratch = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(scratch.path(), ambient_authority()).unwrap();
        (scratch, dir)
    }

    // case 51
    #[test]
    fn an_announcement_must_leave_the_floor() {
        let (_scratch, dir) = dir();
        for floor in [0, 1, 400] {
            let space = Space { floor, free: |_| Ok(Some(1000)) };
            let room = 1000 - floor;
            for (size, fits) in
                [(0, true), (room - 1, true), (room, true), (room + 1, false), (u64::MAX, false)]
            {
                assert_eq!(space.check(&dir, size).is_ok(), fits, "{size} above {floor}");
            }
        }
        let below = Space { floor: 1001, free: |_| Ok(Some(1000)) };
        assert!(matches!(below.check(&dir, 0), Err(Refusal::NoSpace { needed: 0, free: 1000, floor: 1001 })));
    }

    // case 51
    #[test]
    fn no_more_is_granted_than_leaves_the_floor() {
        let (_scratch, dir) = dir();
        let granted = |floor| Space { floor, free: |_| Ok(Some(100 << 20)) }.grant(&dir, 5).ok();
        assert_eq!(granted(0), Some(u64::MAX));
        assert_eq!(granted(1), Some(LOOK_EVERY));
        assert_eq!(granted((100 << 20) - LOOK_EVERY - 1), Some(LOOK_EVERY));
        assert_eq!(granted((100 << 20) - LOOK_EVERY), Some(LOOK_EVERY));
        assert_eq!(granted((100 << 20) - LOOK_EVERY + 1), Some(LOOK_EVERY - 1));
        assert_eq!(granted((100 << 20) - 1), Some(1));
        assert_eq!(granted(100 << 20), None);
        assert_eq!(granted((100 << 20) + 1), None);
    }

    // case 51
    #[test]
    fn a_floor_that_cannot_be_watched_is_an_error() {
        let (_scratch, dir) = dir();
        for free in [(|_| Ok(None)) as fn(&Dir) -> _, |_| Err(io::ErrorKind::Other.into())] {
            assert!(Space { floor: 0, free }.check(&dir, u64::MAX).is_ok());
            assert!(Space { floor: 1, free }.check(&dir, 0).is_err());
            assert!(Space { floor: 1, free }.grant(&dir, 1).is_err());
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_file_system_tells_what_is_free() {
        let (_scratch, dir) = dir();
        assert!(free(&dir).unwrap().is_some_and(|free| free > 0 && free < 1 << 60));
    }
}
