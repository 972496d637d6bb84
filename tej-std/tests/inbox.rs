//! What strangers and bad luck do to an inbox, and what must happen.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use tej_std::inbox::{Client, Delivery, Inbox, OnConflict, Policy, Refusal};

// ---- names

#[test]
fn honest_names_are_kept() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("new/inbox");
    let inbox = Inbox::open(&root).unwrap();
    for name in ["a.txt", "a b.txt", "é/ü.tar.gz", "x/y/z", "a..", "12:30.txt", "con.txt"] {
        let path = store(&inbox, name, name.as_bytes()).unwrap();
        assert_eq!(path, root.join(name));
        assert_eq!(fs::read(path).unwrap(), name.as_bytes());
    }
}

// case 39
#[test]
fn names_that_lead_elsewhere_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("inbox");
    // Allowed to begin with a dot, so that it is not for the dots that they are refused.
    let inbox = open(&root, Policy { dot_files: true, ..Policy::default() });
    for name in [
        "",
        "/",
        "/etc/x",
        ".",
        "..",
        "../x",
        "a/../../x",
        "a/..",
        "a//b",
        "a/",
        "./a",
        "a/.",
        "//a",
        "a\0b",
        "\0",
    ] {
        assert!(store(&inbox, name, b"x").is_err(), "{name:?} was stored");
    }
    assert!(matches!(inbox.delivery().begin(b"\xff", 0), Err(Refusal::NotUtf8)));
    // What temporary files are called, also where the file system does not tell cases apart.
    for name in [".tej-1.part", ".TEJ-1.PART", ".Tej-4711-3.part"] {
        assert!(matches!(store(&inbox, name, b"x"), Err(Refusal::Reserved)), "{name}");
    }
    assert_eq!(tree(scratch.path()), ["inbox/"]);
    for (parts, kept) in [(31, true), (32, true), (33, false)] {
        assert_eq!(store(&inbox, &vec!["d"; parts].join("/"), b"x").is_ok(), kept && parts == 31, "{parts}");
        fs::remove_dir_all(root.join("d")).unwrap();
        assert_eq!(store(&inbox, &vec!["d"; parts].join("/"), b"x").is_ok(), kept, "{parts}");
    }
}

// cases 39 and 40
#[test]
fn ten_thousand_hostile_names_write_nothing_outside() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("outer/inbox");
    let inbox = open(&root, Policy { dot_files: true, ..Policy::default() });
    fs::write(scratch.path().join("outer/precious"), "kept").unwrap();
    let mut delivery = inbox.delivery();
    let (mut stored, mut refused) = (0, 0);
    generated(10_000, &hostile_name(), |name| {
        match deliver(&mut delivery, &name, b"x") {
            Ok(path) => {
                stored += 1;
                let below = path.strip_prefix(&root).unwrap();
                assert!(
                    below.components().all(|part| matches!(part, std::path::Component::Normal(_))),
                    "{name:?} became {path:?}"
                );
                assert_eq!(fs::read(&path).unwrap(), b"x");
                // Room for the next one, which may want a directory here.
                let top = below.components().next().unwrap();
                let top = root.join(top);
                if top.is_dir() { fs::remove_dir_all(top).unwrap() } else { fs::remove_file(top).unwrap() }
            }
            Err(_) => refused += 1,
        }
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "{name:?} left something behind");
    });
    assert_eq!(tree(scratch.path()), ["outer/", "outer/inbox/", "outer/precious"]);
    assert_eq!(fs::read(scratch.path().join("outer/precious")).unwrap(), b"kept");
    // They are worth little unless they get to the disk as well as to each refusal.
    assert!(stored > 500 && refused > 5_000, "{stored} stored, {refused} refused");
}

#[test]
fn generated_honest_names_are_all_kept() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(scratch.path()).unwrap();
    let mut delivery = inbox.delivery();
    let mut count = 0_usize;
    let part = "[a-zA-Z0-9äöüßéñ日本語Ωж_-][a-zA-Z0-9 .,()äöüßéñ日本語Ωж_+-]{0,10}[a-zA-Z0-9é語]";
    let name = prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"));
    generated(2000, &name, |name| {
        // Below a directory of its own: honest names may be equal, or one's directory another's file.
        let name = format!("{count}/{name}");
        let path = deliver(&mut delivery, name.as_bytes(), name.as_bytes()).unwrap();
        assert_eq!(path, scratch.path().join(&name));
        assert_eq!(fs::read(path).unwrap(), name.as_bytes());
        count += 1;
    });
    assert_eq!(count, 2000);
}

// case 44
#[test]
fn dot_files_are_refused_unless_allowed() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(scratch.path()).unwrap();
    let names = [".profile", ".ssh/authorized_keys", "a/.git/config", "a/.b", "...", "..a", ".a."];
    for name in names {
        assert!(matches!(inbox.delivery().begin(name.as_bytes(), 0), Err(Refusal::DotFile)), "{name}");
    }
    assert_eq!(tree(scratch.path()), [""; 0]);
    let inbox = open(scratch.path(), Policy { dot_files: true, ..Policy::default() });
    for name in names {
        assert_eq!(store(&inbox, name, b"x").unwrap(), scratch.path().join(name));
    }
    // But never what a temporary file could be called.
    assert!(matches!(inbox.delivery().begin(b".tej-1.part", 0), Err(Refusal::Reserved)));
}

// case 46
#[test]
fn a_name_longer_than_the_file_system_takes_is_refused_at_once() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(scratch.path()).unwrap();
    for (len, kept) in [(254, true), (255, true), (256, false), (65_535, false)] {
        for name in ["n".repeat(len), format!("new/{}", "n".repeat(len)), format!("{}/new", "d".repeat(len))]
        {
            assert_eq!(inbox.delivery().begin(name.as_bytes(), 0).is_ok(), kept, "{len}");
        }
        assert_eq!(store(&inbox, &"n".repeat(len), b"x").is_ok(), kept, "{len}");
    }
    let deep = vec!["d".repeat(255); 32].join("/");
    let _ = store(&inbox, &deep, b"x");
    fs::remove_dir_all(scratch.path().join("d".repeat(255))).ok();
    assert_eq!(tree(scratch.path()), ["n".repeat(254), "n".repeat(255)]);
}

// ---- what is there already

// case 43
#[test]
fn with_rename_nothing_is_replaced() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(scratch.path()).unwrap();
    for bytes in ["first", "second", "third"] {
        store(&inbox, "a.tar.gz", bytes.as_bytes()).unwrap();
    }
    assert_eq!(tree(scratch.path()), ["a.tar (1).gz", "a.tar (2).gz", "a.tar.gz"]);
    assert_eq!(fs::read(scratch.path().join("a.tar.gz")).unwrap(), b"first");
    assert_eq!(fs::read(scratch.path().join("a.tar (2).gz")).unwrap(), b"third");
    // At the longest name there is, too.
    let long = "n".repeat(255);
    for _ in 0..3 {
        store(&inbox, &long, b"x").unwrap();
    }
    assert_eq!(tree(scratch.path()).iter().filter(|name| name.starts_with("nnn")).count(), 3);
}

// case 43
#[test]
fn with_refuse_what_is_there_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = open(scratch.path(), conflict(OnConflict::Refuse));
    store(&inbox, "a", b"first").unwrap();
    assert!(matches!(inbox.delivery().begin(b"a", 6), Err(Refusal::Exists)), "before a byte is read");
    // Taken while it was received.
    let mut delivery = inbox.delivery();
    let mut late = delivery.begin(b"b", 4).unwrap();
    late.write(b"late").unwrap();
    store(&inbox, "b", b"early").unwrap();
    assert!(matches!(late.commit(), Err(Refusal::Exists)));
    assert_eq!(tree(scratch.path()), ["a", "b"]);
    assert_eq!(fs::read(scratch.path().join("a")).unwrap(), b"first");
    assert_eq!(fs::read(scratch.path().join("b")).unwrap(), b"early");
}

// case 43
#[test]
fn with_overwrite_it_is_replaced_once_the_new_one_is_complete() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = open(scratch.path(), conflict(OnConflict::Overwrite));
    store(&inbox, "d/a", b"old").unwrap();
    let mut delivery = inbox.delivery();
    let mut file = delivery.begin(b"d/a", 3).unwrap();
    file.write(b"ne").unwrap();
    assert_eq!(fs::read(scratch.path().join("d/a")).unwrap(), b"old");
    file.write(b"w").unwrap();
    assert_eq!(file.commit().unwrap(), scratch.path().join("d/a"));
    assert_eq!(fs::read(scratch.path().join("d/a")).unwrap(), b"new");
    let mut abandoned = delivery.begin(b"d/a", 9).unwrap();
    abandoned.write(b"half").unwrap();
    assert!(abandoned.commit().is_err());
    assert_eq!(fs::read(scratch.path().join("d/a")).unwrap(), b"new");
    assert_eq!(tree(scratch.path()), ["d/", "d/a"]);
}

// case 42
#[test]
fn the_same_name_many_times_is_kept_apart() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(scratch.path()).unwrap();
    let mut delivery = inbox.delivery();
    for n in 0..300 {
        let path = deliver(&mut delivery, b"a", n.to_string().as_bytes()).unwrap();
        let name = if n == 0 { "a".to_owned() } else { format!("a ({n})") };
        assert_eq!(path, scratch.path().join(name));
    }
    assert_eq!(tree(scratch.path()).len(), 300);
}

// case 42
#[test]
fn the_same_name_from_many_clients_at_once_is_kept_apart() {
    for on_conflict in [OnConflict::Rename, OnConflict::Refuse, OnConflict::Overwrite] {
        let scratch = tempfile::tempdir().unwrap();
        let inbox = open(scratch.path(), conflict(on_conflict));
        let start = Barrier::new(8);
        let stored: Vec<_> = std::thread::scope(|scope| {
            let clients = (0..8).map(|client| {
                let (inbox, start) = (&inbox, &start);
                scope.spawn(move || {
                    let mut delivery = inbox.delivery();
                    start.wait();
                    let rounds = (0..50).map(|round| {
                        let bytes = format!("{client} {round}");
                        (deliver(&mut delivery, b"d/same.txt", bytes.as_bytes()), bytes)
                    });
                    rounds.collect::<Vec<_>>()
                })
            });
            let clients: Vec<_> = clients.collect();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        let files = tree(&scratch.path().join("d")).len();
        let kept = stored.iter().filter(|(result, _)| result.is_ok()).count();
        match on_conflict {
            OnConflict::Rename => {
                let refused: Vec<_> = stored.iter().filter_map(|(result, _)| result.as_ref().err()).collect();
                assert_eq!((kept, files), (400, 400), "{refused:?}");
            }
            OnConflict::Refuse => assert_eq!((kept, files), (1, 1)),
            OnConflict::Overwrite => assert_eq!((kept, files), (400, 1)),
        }
        if on_conflict != OnConflict::Overwrite {
            for (path, bytes) in stored.iter().filter_map(|(path, bytes)| Some((path.as_ref().ok()?, bytes)))
            {
                assert_eq!(fs::read_to_string(path).unwrap(), *bytes);
            }
        }
    }
}

// case 42
#[test]
fn names_that_differ_in_case_or_unicode_form_lose_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(scratch.path()).unwrap();
    let names = ["Readme", "README", "readme", "caf\u{e9}", "cafe\u{301}", "CAF\u{c9}"];
    let paths: Vec<_> = names.iter().map(|name| store(&inbox, name, name.as_bytes()).unwrap()).collect();
    // Whether the file system tells them apart or not: each has a file of its own.
    assert_eq!(tree(scratch.path()).len(), names.len());
    for (path, name) in paths.iter().zip(names) {
        assert_eq!(fs::read_to_string(path).unwrap(), name);
    }
}

#[cfg(unix)]
// case 41
#[test]
fn planted_links_lead_nowhere() {
    use std::os::unix::fs::symlink;
    for on_conflict in [OnConflict::Rename, OnConflict::Refuse, OnConflict::Overwrite] {
        let scratch = tempfile::tempdir().unwrap();
        let (root, outside) = (scratch.path().join("inbox"), scratch.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "kept").unwrap();
        let inbox = open(&root, conflict(on_conflict));
        symlink(&outside, root.join("dir")).unwrap();
        symlink("../outside", root.join("relative")).unwrap();
        symlink(outside.join("precious"), root.join("file")).unwrap();
        symlink(outside.join("planted"), root.join("dangling")).unwrap();
        for name in ["dir/x", "relative/x", "relative/new/x", "dir/precious", "file/x", "dangling/x"] {
            assert!(store(&inbox, name, b"evil").is_err(), "{name}");
        }
        for name in ["file", "dangling"] {
            // A link in the place of the file is a name that is taken.
            match (on_conflict, store(&inbox, name, b"x")) {
                (OnConflict::Rename, Ok(path)) => assert_eq!(path, root.join(format!("{name} (1)"))),
                (OnConflict::Refuse, Err(Refusal::Exists)) => {}
                (OnConflict::Overwrite, Ok(path)) => {
                    assert!(fs::symlink_metadata(&path).unwrap().is_file(), "the link was followed");
                    assert_eq!(fs::read(path).unwrap(), b"x");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(tree(&outside), ["precious"]);
        assert_eq!(fs::read(outside.join("precious")).unwrap(), b"kept");
    }
}

#[cfg(target_os = "linux")]
// case 41
#[test]
fn links_swapped_in_meanwhile_lead_nowhere() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use std::os::unix::fs::symlink;
    for on_conflict in [OnConflict::Rename, OnConflict::Overwrite] {
        let scratch = tempfile::tempdir().unwrap();
        let (root, outside) = (scratch.path().join("inbox"), scratch.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        let inbox = open(&root, conflict(on_conflict));
        fs::create_dir(root.join("dir")).unwrap();
        symlink(&outside, root.join("link")).unwrap();
        let done = AtomicBool::new(false);
        let (stored, refused) = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let (dir, link) = (root.join("dir"), root.join("link"));
                    renameat_with(CWD, dir, CWD, link, RenameFlags::EXCHANGE).unwrap();
                }
            });
            let _end = EndOfTest(&done);
            let mut delivery = inbox.delivery();
            let (mut stored, mut refused) = (0, 0);
            for n in 0..20_000 {
                match deliver(&mut delivery, format!("dir/{}", n % 10).as_bytes(), b"x") {
                    Ok(_) => stored += 1,
                    Err(_) => refused += 1,
                }
                if n % 1000 == 0 {
                    assert_eq!(tree(&outside), [""; 0]);
                }
            }
            (stored, refused)
        });
        assert_eq!(tree(&outside), [""; 0], "{stored} stored, {refused} refused");
        assert!(stored > 0 && refused > 0, "{stored} stored, {refused} refused: nothing was swapped");
    }
}

#[cfg(unix)]
// case 47
#[test]
fn directories_pipes_and_devices_are_never_opened() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    for on_conflict in [OnConflict::Rename, OnConflict::Refuse, OnConflict::Overwrite] {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        let inbox = open(root, conflict(on_conflict));
        fs::create_dir(root.join("directory")).unwrap();
        fs::write(root.join("directory/inside"), "kept").unwrap();
        let fifo = std::process::Command::new("mkfifo").arg(root.join("fifo")).status().unwrap();
        assert!(fifo.success());
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        symlink("/dev/full", root.join("device")).unwrap();
        for name in ["directory", "fifo", "socket", "device"] {
            // Opening the FIFO would wait for ever, writing to the device fail.
            match (on_conflict, store(&inbox, name, b"x")) {
                (OnConflict::Rename, Ok(path)) => assert_eq!(path, root.join(format!("{name} (1)"))),
                (OnConflict::Refuse, Err(Refusal::Exists)) => {}
                (OnConflict::Overwrite, Err(Refusal::Directory)) => assert_eq!(name, "directory"),
                (OnConflict::Overwrite, Ok(path)) => {
                    assert_ne!(name, "directory");
                    assert!(fs::symlink_metadata(path).unwrap().is_file());
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        assert_eq!(fs::read(root.join("directory/inside")).unwrap(), b"kept");
        assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device());
    }
}

// case 47
#[test]
fn a_directory_that_comes_meanwhile_is_not_replaced() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = open(scratch.path(), conflict(OnConflict::Overwrite));
    let file = inbox.delivery().begin(b"a", 0).unwrap();
    fs::create_dir(scratch.path().join("a")).unwrap();
    assert!(matches!(file.commit(), Err(Refusal::Directory)));
    assert_eq!(tree(scratch.path()), ["a/"]);
}

// ---- files that are not completed

// case 50
#[test]
fn an_abandoned_file_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(scratch.path()).unwrap();
    let mut file = inbox.delivery().begin(b"sub/a.txt", 8).unwrap();
    file.write(b"half").unwrap();
    assert_eq!(tree(scratch.path()).len(), 1);
    drop(file);
    assert_eq!(tree(scratch.path()), [""; 0]);

    fs::write(scratch.path().join("taken"), "").unwrap();
    assert!(store(&inbox, "taken/below", b"x").is_err());
    assert_eq!(tree(scratch.path()), ["taken"]);
}

#[test]
fn only_what_was_announced_is_committed() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(scratch.path()).unwrap();
    for (written, kept) in [(7, false), (8, true)] {
        let mut file = inbox.delivery().begin(b"a", 8).unwrap();
        file.write(&[b'x'; 8][..written]).unwrap();
        assert_eq!(file.remaining(), 8 - written as u64);
        let committed = file.commit();
        assert_eq!(committed.is_ok(), kept, "{committed:?}");
    }
    let mut file = inbox.delivery().begin(b"b", 8).unwrap();
    assert!(matches!(file.write(&[b'x'; 9]), Err(Refusal::WrongSize { size: 8, written: 9 })));
    assert!(matches!(file.write(&[b'x'; 8]), Err(Refusal::Broken)));
    assert!(matches!(file.commit(), Err(Refusal::Broken)));
    assert_eq!(tree(scratch.path()), ["a"]);
}

#[test]
fn bytes_appended_by_other_means_are_counted() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(scratch.path()).unwrap();
    let begin = || inbox.delivery().begin(b"a", 6).unwrap();

    let mut file = begin();
    let appended = file.append_with(4, |mut file, granted| {
        assert_eq!(granted, 4);
        Ok(file.write(b"abc")? as u64)
    });
    assert_eq!(appended.unwrap(), 3);
    assert_eq!(file.append_with(0, |_, _| unreachable!()).unwrap(), 0);
    for kind in [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted] {
        assert!(
            matches!(file.append_with(3, |_, _| Err(kind.into())), Err(Refusal::Io(error)) if error.kind() == kind)
        );
    }
    file.write(b"def").unwrap();
    assert_eq!(fs::read(file.commit().unwrap()).unwrap(), b"abcdef");

    // What is not so is found out, at the latest when it is to get its name.
    let mut more = begin();
    assert!(matches!(more.append_with(3, |_, _| Ok(4)), Err(Refusal::WrongSize { .. })));
    assert!(more.commit().is_err());
    let mut too_many = begin();
    assert!(too_many.append_with(6, |_, _| Ok(7)).is_err());
    assert_eq!(too_many.remaining(), 0);
    drop(too_many);
    let mut wanted = begin();
    assert!(wanted.append_with(7, |_, _| unreachable!()).is_err());
    assert!(wanted.commit().is_err());
    let mut none = begin();
    none.append_with(6, |_, _| Ok(6)).unwrap();
    assert!(matches!(none.commit(), Err(Refusal::WrongSize { size: 6, written: 0 })));
    let mut full = begin();
    assert!(full.append_with(6, |_, _| Err(io::ErrorKind::StorageFull.into())).is_err());
    assert!(matches!(full.write(b"x"), Err(Refusal::Broken)));
    drop(full);
    assert_eq!(tree(scratch.path()), ["a"]);
}

// case 49
#[test]
fn stale_temporary_files_are_removed_and_live_ones_are_not() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    let inbox = Inbox::open(root).unwrap();
    let mut live = inbox.delivery().begin(b"live", 4).unwrap();
    live.write(b"li").unwrap();
    let during = tree(root);
    assert_eq!(during.len(), 1);
    for stale in [".tej-9999999.part", ".tej-4711-3.part"] {
        fs::write(root.join(stale), "left behind by a killed process").unwrap();
    }
    // These only look alike.
    for other in [".tej-x.part", "tej-1.part", "a"] {
        fs::write(root.join(other), "kept").unwrap();
    }
    fs::create_dir(root.join(".tej-7.part")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("a", root.join(".tej-8.part")).unwrap();

    let second = Inbox::open(root).unwrap();
    let mut expected: Vec<_> = during
        .into_iter()
        .chain([".tej-7.part/", ".tej-8.part", ".tej-x.part", "a", "tej-1.part"].map(String::from))
        .collect();
    expected.sort();
    assert_eq!(tree(root), expected);
    live.write(b"ve").unwrap();
    assert_eq!(fs::read(live.commit().unwrap()).unwrap(), b"live");
    store(&second, "b", b"x").unwrap();
}

// ---- quotas

// case 51
#[test]
fn quotas_hold_to_the_byte() {
    let scratch = tempfile::tempdir().unwrap();
    let limited = |max_file, max_frame, max_client| {
        open(scratch.path(), Policy { max_file, max_frame, max_client, ..Policy::default() })
    };
    let file = limited(Some(100), None, None);
    for (size, fits) in [(99, true), (100, true), (101, false), (u64::MAX, false)] {
        let begun = file.delivery().begin(b"a", size);
        assert_eq!(begun.is_ok(), fits, "{size}");
        assert!(fits || matches!(begun, Err(Refusal::FileTooLarge { limit: 100, .. })));
    }
    for (second, fits) in [(39, true), (40, true), (41, false), (u64::MAX, false)] {
        let frame = limited(None, Some(100), None);
        let mut delivery = frame.delivery();
        drop(delivery.begin(b"a", 60).unwrap());
        let begun = delivery.begin(b"b", second);
        assert_eq!(begun.is_ok(), fits, "{second}");
        assert!(fits || matches!(begun, Err(Refusal::FrameQuota { left: 40, .. })));
        delivery.end_frame();
        assert!(delivery.begin(b"c", 100).is_ok(), "a quota for each frame");

        let client = limited(None, None, Some(100));
        let mut delivery = client.delivery();
        drop(delivery.begin(b"a", 60).unwrap());
        delivery.end_frame();
        let begun = delivery.begin(b"b", second);
        assert_eq!(begun.is_ok(), fits, "{second}");
        assert!(fits || matches!(begun, Err(Refusal::ClientQuota { left: 40, .. })));
        assert!(client.delivery().begin(b"c", 100).is_ok(), "a quota for each client");
    }
    // What was refused costs nothing.
    let mut delivery = limited(None, Some(100), Some(100)).delivery();
    assert!(delivery.begin(b"a", 101).is_err() && delivery.begin(b"../a", 50).is_err());
    assert!(delivery.begin(b"a", 100).is_ok());
    assert!(delivery.begin(b"empty", 0).is_ok());
    assert!(matches!(delivery.begin(b"b", 1), Err(Refusal::FrameQuota { size: 1, left: 0 })));
    assert_eq!(tree(scratch.path()), [""; 0]);
}

// case 51
#[test]
fn a_quota_for_files_counts_directories_and_not_bytes() {
    let limited = |root: &Path| open(root, Policy { max_entries: Some(5), ..Policy::default() });
    for (second, fits) in [("d/e/f", true), ("d/e/f/g", true), ("d/e/f/g/h", false)] {
        let scratch = tempfile::tempdir().unwrap();
        let mut delivery = limited(scratch.path()).delivery();
        deliver(&mut delivery, b"a", b"").unwrap();
        delivery.end_frame();
        let stored = deliver(&mut delivery, second.as_bytes(), &[0; 100]);
        assert_eq!(stored.is_ok(), fits, "{second}");
        assert!(fits || matches!(stored, Err(Refusal::EntryQuota { entries: 5, left: 4 })));
    }

    let scratch = tempfile::tempdir().unwrap();
    let inbox = limited(scratch.path());
    let mut delivery = inbox.delivery();
    deliver(&mut delivery, b"d/a", b"").unwrap();
    // The directory is there now; what is refused costs nothing.
    deliver(&mut delivery, b"d/b", b"").unwrap();
    assert!(matches!(
        deliver(&mut delivery, b"e/f/c", b""),
        Err(Refusal::EntryQuota { entries: 3, left: 2 })
    ));
    assert!(deliver(&mut delivery, b"../c", b"").is_err());
    deliver(&mut delivery, b"c", b"").unwrap();
    drop(delivery.begin(b"abandoned", 0).unwrap());
    assert!(matches!(deliver(&mut delivery, b"d", b""), Err(Refusal::EntryQuota { entries: 1, left: 0 })));
    deliver(&mut inbox.delivery(), b"of another", b"").unwrap();
    assert_eq!(tree(scratch.path()), ["c", "d/", "d/a", "d/b", "of another"]);
}

// case 51
#[test]
fn an_address_is_one_client_however_often_it_connects() {
    let scratch = tempfile::tempdir().unwrap();
    let policy = Policy { max_client: Some(100), max_entries: Some(3), ..Policy::default() };
    let inbox = open(scratch.path(), policy);
    let from = |address: &str| inbox.delivery_from(address.parse::<IpAddr>().unwrap());
    let mut both = (from("192.0.2.1"), from("::ffff:192.0.2.1"));
    deliver(&mut both.0, b"a", &[0; 60]).unwrap();
    assert!(matches!(deliver(&mut both.1, b"b", &[0; 41]), Err(Refusal::ClientQuota { left: 40, .. })));
    drop(both);
    deliver(&mut from("192.0.2.1"), b"c", &[0; 40]).unwrap();
    deliver(&mut from("192.0.2.1"), b"d", b"").unwrap();
    assert!(matches!(deliver(&mut from("192.0.2.1"), b"e", b""), Err(Refusal::EntryQuota { left: 0, .. })));
    deliver(&mut from("192.0.2.2"), b"f", &[0; 100]).unwrap();
    deliver(&mut from("2001:db8:1:2::1"), b"n", &[0; 60]).unwrap();
    let other = deliver(&mut from("2001:db8:1:2:3::"), b"n", &[0; 41]);
    assert!(matches!(other, Err(Refusal::ClientQuota { left: 40, .. })));
    deliver(&mut inbox.delivery(), b"g", &[0; 100]).unwrap();
}

// case 51
#[test]
fn a_key_is_one_client_wherever_it_connects_from() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = open(scratch.path(), Policy { max_client: Some(100), ..Policy::default() });
    let with = |key| inbox.delivery_from(Client::Key(key));
    deliver(&mut with([1; 32]), b"a", &[0; 60]).unwrap();
    let again = deliver(&mut with([1; 32]), b"b", &[0; 41]);
    assert!(matches!(again, Err(Refusal::ClientQuota { left: 40, .. })));
    deliver(&mut with([2; 32]), b"b", &[0; 100]).unwrap();
    // An address with the same bytes is somebody else.
    deliver(&mut inbox.delivery_from(IpAddr::from([1; 16])), b"c", &[0; 100]).unwrap();
}

// case 51
#[test]
fn addresses_that_store_nothing_leave_others_their_quotas() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = open(scratch.path(), Policy { max_entries: Some(1), ..Policy::default() });
    // All the networks of a /48, at once: they connect, and send what is refused.
    let mut strangers: Vec<_> = (0..=u16::MAX)
        .map(|network| inbox.delivery_from(IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, 1])))
        .collect();
    for stranger in &mut strangers {
        assert!(stranger.begin(b"d/a", 0).is_err());
    }
    for n in 1..=3 {
        deliver(&mut inbox.delivery_from(IpAddr::from([192, 0, 2, n])), b"a", b"").unwrap();
    }
}

#[cfg(unix)]
// case 51
#[test]
fn a_floor_of_free_space_holds_on_a_real_disk() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = open(scratch.path(), Policy { min_free: u64::MAX, ..Policy::default() });
    assert!(matches!(inbox.delivery().begin(b"a", 1), Err(Refusal::NoSpace { needed: 1, .. })));
    let inbox = open(scratch.path(), Policy { min_free: 1, ..Policy::default() });
    store(&inbox, "a", &vec![0; 9 << 20]).unwrap();
    // More than any disk has.
    assert!(matches!(
        Inbox::open(scratch.path()).unwrap().delivery().begin(b"b", 1 << 62),
        Err(Refusal::NoSpace { floor: 0, .. })
    ));
    assert_eq!(tree(scratch.path()), ["a"]);
}

// ---- the directory

#[cfg(unix)]
// case 52
#[test]
fn a_directory_that_is_removed_refuses_every_file() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("inbox");
    let inbox = Inbox::open(&root).unwrap();
    let mut delivery = inbox.delivery();
    let mut file = delivery.begin(b"a", 1).unwrap();
    fs::remove_dir_all(&root).unwrap();
    file.write(b"x").unwrap();
    assert!(file.commit().is_err());
    assert!(matches!(delivery.begin(b"b", 1), Err(Refusal::Removed)));
    // Another of its name is not the one that was opened.
    fs::create_dir(&root).unwrap();
    assert!(matches!(delivery.begin(b"b", 1), Err(Refusal::Removed)));
    assert_eq!(tree(&root), [""; 0]);
}

#[cfg(unix)]
#[test]
fn synced_files_are_stored_like_others() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = open(scratch.path(), Policy { sync: true, ..Policy::default() });
    for name in ["a", "x/y/z", "x/b"] {
        assert_eq!(store(&inbox, name, b"x").unwrap(), scratch.path().join(name));
    }
}

/// Ends the other thread, also when this one panics.
#[cfg(target_os = "linux")]
struct EndOfTest<'a>(&'a AtomicBool);

#[cfg(target_os = "linux")]
impl Drop for EndOfTest<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn open(root: impl Into<PathBuf>, policy: Policy) -> Inbox {
    Inbox::with_policy(root, policy).unwrap()
}

fn conflict(on_conflict: OnConflict) -> Policy {
    Policy { on_conflict, ..Policy::default() }
}

/// From a client that sends nothing else.
fn store(inbox: &Inbox, name: &str, bytes: &[u8]) -> Result<PathBuf, Refusal> {
    deliver(&mut inbox.delivery(), name.as_bytes(), bytes)
}

fn deliver(delivery: &mut Delivery, name: &[u8], bytes: &[u8]) -> Result<PathBuf, Refusal> {
    let mut file = delivery.begin(name, bytes.len() as u64)?;
    file.write(bytes)?;
    file.commit()
}

/// Everything below `dir` by its relative path, directories with a slash at the end, sorted.
fn tree(dir: &Path) -> Vec<String> {
    fn walk(dir: &Path, prefix: &str, names: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &format!("{name}/"), names);
                names.push(format!("{name}/"));
            } else {
                names.push(name);
            }
        }
    }
    let mut names = Vec::new();
    walk(dir, "", &mut names);
    names.sort();
    names
}

/// Runs `test` on so many values, the same on every run.
fn generated<T>(count: u32, strategy: &impl Strategy<Value = T>, mut test: impl FnMut(T)) {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    for _ in 0..count {
        test(strategy.new_tree(&mut runner).unwrap().current());
    }
}

/// Parts that lead up, to a root, to a device or to a temporary file, among honest ones, with bytes that are no text.
fn hostile_name() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => prop::sample::select(vec![
            "..", ".", "", "\0", "/", "\\", "..\\", "C:", "C:\\", "~", "-", "*", "a\0", ".. ", "...", " ..", "%2e%2e",
            "\u{2024}\u{2024}", "\u{ff0e}\u{ff0e}", "\u{2215}", "CON", "nul.txt", "a.txt:stream", ".tej-0.part",
            ".tej-1-1.part", "etc", "precious", "\u{202e}gpj.exe", "\n", "\u{1b}[2J", "..\u{200b}", "\u{7f}",
        ]).prop_map(|part| part.as_bytes().to_vec()),
        1 => "[ -~é\u{0}-\u{1f}]{0,8}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..6),
        1 => (250..260_usize).prop_map(|len| vec![b'n'; len]),
    ];
    let separator = prop::sample::select(vec!["/", "/", "/", "//", "\\", "/./", "/../"]);
    prop::collection::vec((part, separator), 1..6).prop_map(|parts| {
        let mut name = Vec::new();
        for (index, (part, separator)) in parts.iter().enumerate() {
            if index > 0 {
                name.extend(separator.as_bytes());
            }
            name.extend(part);
        }
        name
    })
}
