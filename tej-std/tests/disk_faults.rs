//! A disk that is full, failing or lying, and a process that is killed at every step: the real `tej recv`, whose system
//! calls strace makes fail.
//!
//! Built only with the feature `disk-faults`; `cargo xtask test` sets strace up and turns it on.

#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use common::{Tej, frame};

/// A directory to receive into, and the faults that it has.
struct Disk {
    scratch: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let disk = Self { scratch: tempfile::tempdir().unwrap() };
        fs::create_dir(disk.inbox()).unwrap();
        disk
    }

    /// Without links in it, for strace compares text.
    fn inbox(&self) -> PathBuf {
        self.scratch.path().canonicalize().unwrap().join("in")
    }

    /// Starts `tej recv` in it. `faults` are of system calls that name the directory, its sub-directory `d` or the first
    /// temporary file, in strace's language.
    fn start(&self, faults: &[&str], options: &[&str]) -> Tej {
        let inbox = self.inbox();
        self.trace(&[inbox.join("d"), inbox], faults, options)
    }

    /// As [`start`](Self::start), but only the temporary file is at fault.
    fn start_temporary(&self, faults: &[&str], options: &[&str]) -> Tej {
        self.trace(&[], faults, options)
    }

    fn trace(&self, paths: &[PathBuf], faults: &[&str], options: &[&str]) -> Tej {
        let found = Command::new("strace").arg("--version").output();
        assert!(found.is_ok(), "these tests need strace: `cargo xtask setup` installs it");
        let mut command = Command::new("strace");
        // As a grandchild: the child is the process that is traced.
        command.args(["-D", "-f", "-qq", "-o"]).arg(self.scratch.path().join("trace"));
        // By the name that is opened in the directory, and by the path that its descriptor has.
        command.args(["-P", TEMPORARY, "-P"]).arg(self.inbox().join(TEMPORARY));
        for path in paths {
            command.arg("-P").arg(path);
        }
        for fault in faults {
            command.arg("-e").arg(format!("inject={fault}"));
        }
        command.arg(env!("CARGO_BIN_EXE_tej"));
        command.args(["recv", "--listen", "127.0.0.1:0", "--json", "--dir"]).arg(self.inbox()).args(options);
        Tej::spawn(&mut command)
    }

    /// Starts without faults, for what is cleaned then, and ends again.
    fn start_again(&self) {
        let inbox = self.inbox();
        let mut recv =
            Tej::start(&["recv", "--listen", "127.0.0.1:0", "--json", "--dir", inbox.to_str().unwrap()]);
        recv.listening();
    }

    /// Everything in it that is no directory, by its relative path.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for entry in walkdir::WalkDir::new(self.inbox()).sort_by_file_name() {
            let entry = entry.unwrap();
            if !entry.file_type().is_dir() {
                files.push(entry.path().strip_prefix(self.inbox()).unwrap().to_str().unwrap().to_owned());
            }
        }
        files
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.inbox().join(name)).unwrap()
    }
}

// cases 48, 52 and 53
#[test]
fn a_fault_refuses_the_file_alone_and_leaves_nothing() {
    for (fault, why) in [
        ("write:error=ENOSPC:when=1", "No space left"),
        ("write:error=ENOSPC:when=2", "No space left"),
        ("write:error=EDQUOT:when=2", "quota"),
        ("write:error=EIO:when=2", "Input/output error"),
        ("write:retval=0:when=2", "write zero"),
        // It says that it has a byte, and has not.
        ("write:retval=1:when=2", "299999 bytes came"),
        ("flock:error=ENOLCK:when=1", "No locks available"),
        ("fsync:error=EIO:when=1", "Input/output error"),
        ("fsync:error=ENOSPC:when=1", "No space left"),
        ("mkdirat:error=ENOSPC:when=1", "No space left"),
        ("mkdirat:error=EROFS:when=1", "Read-only"),
        ("renameat2:error=EIO:when=1", "Input/output error"),
        ("renameat2:error=ENOSPC:when=1", "No space left"),
        ("renameat2:error=EDQUOT:when=1", "quota"),
        ("renameat2:error=EXDEV:when=1", "cross-device"),
    ] {
        let disk = Disk::new();
        let recv = disk.start(&[fault], &["--sync", "--once", COPIED]);
        expect_refused_then_stored(&disk, recv, fault, why);
    }
    // What goes past our memory.
    for (fault, why) in [
        ("splice:error=ENOSPC:when=1", "No space left"),
        ("splice:error=EDQUOT:when=1", "quota"),
        ("splice:error=EIO:when=1", "Input/output error"),
        ("splice:retval=0:when=1", "write zero"),
    ] {
        let disk = Disk::new();
        let recv = disk.start(&[fault], &["--sync", "--once"]);
        expect_refused_then_stored(&disk, recv, fault, why);
    }
    // Out of inodes, a quota of them, read-only, out of file descriptors.
    for (fault, why) in [
        ("?openat2,openat:error=ENOSPC:when=1", "No space left"),
        ("?openat2,openat:error=EDQUOT:when=1", "quota"),
        ("?openat2,openat:error=EROFS:when=1", "Read-only"),
        ("?openat2,openat:error=EMFILE:when=1", "Too many open files"),
    ] {
        let disk = Disk::new();
        let recv = disk.start_temporary(&[fault], &["--sync", "--once"]);
        expect_refused_then_stored(&disk, recv, fault, why);
    }
}

fn expect_refused_then_stored(disk: &Disk, mut recv: Tej, fault: &str, why: &str) {
    let mut peer = TcpStream::connect(recv.listening()).unwrap();
    send(&mut peer, "d/a", &content());
    let refused = recv.wait_for_file().expect_err(fault);
    assert!(refused.to_lowercase().contains(&why.to_lowercase()), "{fault}: {refused}");
    assert_eq!(disk.files(), [""; 0], "{fault}");
    // The connection goes on, and the disk is well again.
    send(&mut peer, "d/a", &content());
    assert!(recv.wait_for_file().is_ok(), "{fault}");
    assert_eq!(disk.files(), ["d/a"], "{fault}");
    assert_eq!(disk.read("d/a"), content(), "{fault}");
    drop(peer);
    let (events, status) = recv.finish();
    assert_eq!(events.last().unwrap()["event"], "frame_end");
    assert_eq!(status.code(), Some(1), "{fault}");
}

// case 48
#[test]
fn an_interrupted_write_is_done_again() {
    let disk = Disk::new();
    let mut recv = disk.start(&["write:error=EINTR:when=2"], &[]);
    let mut peer = TcpStream::connect(recv.listening()).unwrap();
    send(&mut peer, "d/a", &content());
    assert!(recv.wait_for_file().is_ok());
    assert_eq!(disk.read("d/a"), content());
}

// case 48
#[test]
fn a_name_that_the_disk_does_not_promise_to_keep_is_no_success() {
    let disk = Disk::new();
    // The file is forced to the disk first, then its directory.
    let mut recv = disk.start(&["fsync:error=EIO:when=2"], &["--sync", "--once"]);
    let mut peer = TcpStream::connect(recv.listening()).unwrap();
    send(&mut peer, "d/a", &content());
    let refused = recv.wait_for_file().unwrap_err();
    assert!(refused.contains("power failure") && refused.contains("d/a"), "{refused}");
    assert_eq!(disk.files(), ["d/a"]);
    assert_eq!(disk.read("d/a"), content());
    drop(peer);
    assert_eq!(recv.finish().1.code(), Some(1));
}

// case 42
#[test]
fn without_an_exclusive_rename_nothing_is_replaced_either() {
    for error in ["EINVAL", "ENOSYS"] {
        let disk = Disk::new();
        fs::write(disk.inbox().join("a"), "old").unwrap();
        let mut recv = disk.start(&[&format!("renameat2:error={error}")], &[]);
        let mut peer = TcpStream::connect(recv.listening()).unwrap();
        for stored in ["a (1)", "a (2)"] {
            send(&mut peer, "a", stored.as_bytes());
            assert_eq!(Path::new(&recv.wait_for_file().unwrap()), disk.inbox().join(stored));
            assert_eq!(disk.read(stored), stored.as_bytes());
        }
        assert_eq!(disk.files(), ["a", "a (1)", "a (2)"]);
        assert_eq!(disk.read("a"), b"old");
    }
}

// case 48
#[test]
fn a_disk_without_locks_is_as_good() {
    let disk = Disk::new();
    let mut recv = disk.start(&["flock:error=EOPNOTSUPP"], &[]);
    let mut peer = TcpStream::connect(recv.listening()).unwrap();
    send(&mut peer, "a", b"x");
    assert!(recv.wait_for_file().is_ok());
    assert_eq!(disk.files(), ["a"]);
}

// cases 48 and 49
#[test]
fn a_temporary_file_that_cannot_be_removed_is_removed_at_the_next_start() {
    let disk = Disk::new();
    let mut recv = disk.start(&["write:error=ENOSPC:when=2", "unlinkat:error=EIO"], &[COPIED]);
    let mut peer = TcpStream::connect(recv.listening()).unwrap();
    send(&mut peer, "a", &content());
    assert!(recv.wait_for_file().is_err());
    assert_eq!(disk.files(), [TEMPORARY]);
    disk.start_again();
    assert_eq!(disk.files(), [""; 0]);
}

// case 49
#[test]
fn a_start_leaves_alone_what_another_process_is_writing() {
    let disk = Disk::new();
    let mut recv = disk.start(&[], &[]);
    let mut peer = TcpStream::connect(recv.listening()).unwrap();
    let whole = frame(&[(b"a", &content())]);
    let (half, rest) = whole.split_at(100_000);
    peer.write_all(half).unwrap();
    while disk.files().is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    disk.start_again();
    assert_eq!(disk.files(), [TEMPORARY]);
    peer.write_all(rest).unwrap();
    assert!(recv.wait_for_file().is_ok());
    assert_eq!(disk.read("a"), content());
}

// case 49
#[test]
fn a_file_that_a_start_removes_before_it_is_locked_is_begun_anew() {
    let disk = Disk::new();
    // Microseconds between creating the file and locking it.
    let mut recv = disk.start(&["flock:delay_enter=3000000:when=1"], &[]);
    let mut peer = TcpStream::connect(recv.listening()).unwrap();
    send(&mut peer, "a", &content());
    while disk.files().is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    disk.start_again();
    assert_eq!(disk.files(), [""; 0], "nobody had locked it");
    assert!(recv.wait_for_file().is_ok());
    assert_eq!(disk.read("a"), content());
    assert_eq!(disk.files(), ["a"]);
}

// case 49
#[test]
fn killed_at_any_write_no_part_of_a_file_has_its_name() {
    kill_at_each(&["write"], &[COPIED], None);
}

// case 49
#[test]
fn killed_at_any_splice_no_part_of_a_file_has_its_name() {
    kill_at_each(&["write", "splice"], &[], None);
}

// case 49
#[test]
fn killed_at_any_step_no_part_of_a_file_has_its_name() {
    kill_at_each(&STEPS, &[COPIED], None);
}

// case 49
#[test]
fn killed_at_any_step_what_is_replaced_is_the_old_or_the_new() {
    kill_at_each(&STEPS, &["--on-conflict", "overwrite"], Some(b"old"));
}

/// Kills the process at its first call of each of those, at its second and so on, until one is not killed any more.
fn kill_at_each(calls: &[&str], options: &[&str], old: Option<&[u8]>) {
    let (mut stale, mut complete) = (0, 0);
    // One after the other: strace counts each by itself, and the one that is made most often would hide the others.
    for call in calls {
        let (more_stale, more_complete) = kill_at_each_call(call, options, old);
        stale += more_stale;
        complete += more_complete;
    }
    // It is worth little unless it was killed with a file half written, and after that one had its name.
    assert!(stale > 1, "{calls:?}: {stale} times with a temporary file");
    assert!(complete > 0 || !calls.contains(&"fsync"), "{calls:?}: {complete} times with the file complete");
}

/// How often it was killed with a temporary file, and how often with the complete one.
fn kill_at_each_call(calls: &str, options: &[&str], old: Option<&[u8]>) -> (i32, i32) {
    let (mut stale, mut complete) = (0, 0);
    for call in 1.. {
        let disk = Disk::new();
        if let Some(old) = old {
            fs::create_dir(disk.inbox().join("d")).unwrap();
            fs::write(disk.inbox().join("d/a"), old).unwrap();
        }
        let fault = format!("{calls}:signal=KILL:when={call}");
        let mut recv = disk.start(&[&fault], &[&["--sync", "--once"], options].concat());
        // It may be killed before it listens, and while we send.
        if let Some(event) = recv.next("listening")
            && let Ok(mut peer) = TcpStream::connect(event["addr"].as_str().unwrap())
        {
            let _ = peer.write_all(&frame(&[(b"d/a", &content())]));
        }
        let (events, status) = recv.finish();
        let found = fs::read(disk.inbox().join("d/a")).ok();
        let is_new = found.as_deref() == Some(&content());
        assert!(is_new || found.as_deref() == old, "{calls}, {call}: {} bytes", found.unwrap().len());
        let reported = events.iter().any(|event| event["path"].is_string());
        assert!(is_new || !reported, "{calls}, {call}: {events:?}");
        if status.success() {
            assert!(is_new && reported, "{calls}, {call}: {events:?}");
            break;
        }
        assert_eq!(status.signal(), Some(9), "{calls}, {call}");
        complete += i32::from(is_new);
        stale += i32::from(disk.files().contains(&TEMPORARY.to_owned()));
        disk.start_again();
        assert!(disk.files().iter().all(|name| name == "d/a"), "{calls}, {call}: {:?}", disk.files());
        assert_eq!(disk.files().len(), usize::from(found.is_some()), "{calls}, {call}");
    }
    (stale, complete)
}

/// Large enough that it comes in several pieces.
fn content() -> Vec<u8> {
    (0..300_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect()
}

/// Sends a frame of this one file, and keeps the connection.
fn send(peer: &mut TcpStream, name: &str, bytes: &[u8]) {
    peer.write_all(&frame(&[(name.as_bytes(), bytes)])).unwrap();
}

/// The calls that change the disk, or after which something else holds.
const STEPS: [&str; 9] = [
    "write",
    "splice",
    "?openat2,openat",
    "flock",
    "fsync",
    "mkdirat",
    "?renameat,renameat2",
    "unlinkat",
    "close",
];

/// Has the bytes written from memory, because they are looked at there.
const COPIED: &str = "--digest";

/// What the first file is called until it is complete.
const TEMPORARY: &str = ".tej-0.part";
