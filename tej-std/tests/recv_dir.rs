//! What `tej recv --dir` makes of what strangers send, on the real binary.

mod common;

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use common::{Tej, frame, json_lines};

/// A `tej recv` into a directory, and one client of it.
struct Receiver {
    tej: Tej,
    addr: String,
    client: TcpStream,
}

impl Receiver {
    fn start(dir: &Path, options: &[&str]) -> Self {
        let mut tej = Tej::start(&[&command(dir), options].concat());
        let addr = tej.listening();
        let client = TcpStream::connect(&addr).unwrap();
        Self { tej, addr, client }
    }

    /// Sends a frame of one file.
    fn send(&mut self, name: &str, bytes: &[u8]) -> Result<String, String> {
        self.client.write_all(&frame(&[(name.as_bytes(), bytes)])).unwrap();
        self.tej.wait_for_file()
    }

    /// From here on as another client.
    fn reconnect(&mut self) {
        self.client = TcpStream::connect(&self.addr).unwrap();
    }
}

// cases 39, 40, 44 and 53
#[test]
fn a_refused_file_is_drained_and_reported_and_the_connection_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start(&scratch.path().join("in"), &[]);
    let large = vec![b'x'; 1 << 20];
    for (name, why) in [
        ("../x", "'..'"),
        ("/etc/x", "absolute"),
        ("", "empty"),
        ("a\0b", "'\\0'"),
        ("a\\b", "'\\\\'"),
        (".ssh/authorized_keys", "--allow-dotfiles"),
    ] {
        let refused = receiver.send(name, &large).unwrap_err();
        assert!(refused.contains(why), "{name:?}: {refused}");
    }
    let good = receiver.send("good", &large).unwrap();
    assert_eq!(fs::read(good).unwrap(), large);
    assert_eq!(entries(&scratch.path().join("in")), ["good"]);
    assert_eq!(entries(scratch.path()), ["in"]);
}

// case 53
#[test]
fn a_refused_file_makes_the_exit_status_1() {
    for (name, code) in [("good", 0), (".bad", 1)] {
        let scratch = tempfile::tempdir().unwrap();
        let mut recv = Tej::start(&[&command(scratch.path())[..], &["--once"]].concat());
        let mut peer = TcpStream::connect(recv.listening()).unwrap();
        peer.write_all(&frame(&[(name.as_bytes(), b"x")])).unwrap();
        drop(peer);
        let (events, status) = recv.finish();
        assert_eq!(events.last().unwrap()["event"], "frame_end");
        assert_eq!(status.code(), Some(code), "{name}");
    }
}

// case 44
#[test]
fn dot_files_are_stored_where_they_are_allowed() {
    let scratch = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start(scratch.path(), &["--allow-dotfiles"]);
    assert_eq!(receiver.send(".profile", b"x").unwrap(), scratch.path().join(".profile").to_str().unwrap());
    assert!(receiver.send("a/.git/config", b"x").is_ok());
    assert!(receiver.send(".tej-0.part", b"x").unwrap_err().contains("reserved"));
    assert_eq!(entries(scratch.path()), [".profile", "a"]);
}

// case 43
#[test]
fn what_becomes_of_a_name_that_is_taken_is_for_the_receiver_to_say() {
    for (policy, stored, content) in
        [("rename", Some("a (1).txt"), "old"), ("refuse", None, "old"), ("overwrite", Some("a.txt"), "new")]
    {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("a.txt"), "old").unwrap();
        let mut receiver = Receiver::start(scratch.path(), &["--on-conflict", policy]);
        match (receiver.send("a.txt", b"new"), stored) {
            (Ok(path), Some(name)) => {
                assert_eq!(Path::new(&path), scratch.path().join(name));
                assert_eq!(fs::read(path).unwrap(), b"new");
            }
            (Err(why), None) => assert!(why.contains("--on-conflict"), "{why}"),
            (other, _) => panic!("{policy}: {other:?}"),
        }
        assert_eq!(fs::read_to_string(scratch.path().join("a.txt")).unwrap(), content);
        assert!(receiver.send("b.txt", b"x").is_ok());
    }
}

// case 42
#[test]
fn the_same_name_twice_in_a_frame_is_kept_twice() {
    let scratch = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start(scratch.path(), &[]);
    receiver.client.write_all(&frame(&[(b"a", b"1"), (b"a", b"2"), (b"A", b"3")])).unwrap();
    let contents: Vec<_> =
        (0..3).map(|_| fs::read_to_string(receiver.tej.wait_for_file().unwrap()).unwrap()).collect();
    assert_eq!(contents, ["1", "2", "3"]);
    assert_eq!(entries(scratch.path()).len(), 3);
}

// case 51
#[test]
fn quotas_for_a_file_a_frame_and_a_client_hold() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = |name| scratch.path().join(name);
    let mut receiver = Receiver::start(&inbox("file"), &["--max-file", "1K"]);
    for (size, fits) in [(1023, true), (1024, true), (1025, false), (100_000, false), (1, true)] {
        let sent = receiver.send("a", &vec![b'x'; size]);
        assert_eq!(sent.is_ok(), fits, "{size}: {sent:?}");
        assert!(fits || sent.unwrap_err().contains("--max-file"));
    }
    assert_eq!(entries(&inbox("file")).len(), 3);

    let mut receiver = Receiver::start(&inbox("frame"), &["--quota-frame", "0.5K"]);
    for (second, fits) in [(511, true), (512, true), (513, false)] {
        receiver.client.write_all(&frame(&[(b"a", &[]), (b"b", &vec![b'x'; second]), (b"c", b"")])).unwrap();
        assert!(receiver.tej.wait_for_file().is_ok());
        let sent = receiver.tej.wait_for_file();
        assert_eq!(sent.is_ok(), fits, "{second}: {sent:?}");
        assert!(fits || sent.unwrap_err().contains("--quota-frame"));
        assert!(receiver.tej.wait_for_file().is_ok(), "an empty file fits always");
    }

    for last in [39, 40, 41] {
        let mut receiver = Receiver::start(&inbox("client"), &["--quota-client", "100"]);
        assert!(receiver.send("a", &[b'x'; 60]).is_ok());
        // Nobody gets more by connecting again.
        receiver.reconnect();
        let sent = receiver.send("b", &vec![b'x'; last]);
        assert_eq!(sent.is_ok(), last <= 40, "{last}: {sent:?}");
        assert!(last <= 40 || sent.unwrap_err().contains("--quota-client"));
    }

    for directories in [1, 2, 3] {
        let dir = scratch.path().join(format!("entries {directories}"));
        let mut receiver = Receiver::start(&dir, &["--quota-entries", "4"]);
        assert!(receiver.send("a", b"").is_ok());
        receiver.reconnect();
        let sent = receiver.send(&format!("{}b", "d/".repeat(directories)), b"");
        assert_eq!(sent.is_ok(), directories <= 2, "{directories}: {sent:?}");
        assert!(directories <= 2 || sent.unwrap_err().contains("--quota-entries"));
    }

    let mut receiver = Receiver::start(&inbox("floor"), &["--min-free", "16777215T"]);
    let why = receiver.send("a", b"x").unwrap_err();
    assert!(why.contains("--min-free"), "{why}");
    assert_eq!(entries(&inbox("floor")), [""; 0]);
}

#[test]
fn a_quota_of_entries_says_what_a_file_would_take() {
    let scratch = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start(scratch.path(), &["--quota-entries", "1"]);
    let why = receiver.send("d/e/a", b"").unwrap_err();
    assert!(
        why.starts_with("its client may have 1 more files and directories, and this is 3: the file"),
        "{why}"
    );
    assert!(receiver.send("a", b"").is_ok());
    let why = receiver.send("b", b"").unwrap_err();
    assert!(why.starts_with("its client may have 0 more files and directories, and this is 1;"), "{why}");
}

#[test]
fn what_is_in_the_way_of_a_name_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("in");
    fs::create_dir_all(dir.join("d")).unwrap();
    let mut receiver = Receiver::start(&dir, &[]);
    assert!(receiver.send("d/photo.jpg", b"x").is_ok());
    for name in ["d/photo.jpg/a.jpg", "d/photo.jpg/e/a.jpg"] {
        let why = receiver.send(name, b"x").unwrap_err();
        assert_eq!(why, "d/photo.jpg is a file here, so that nothing can be stored below it");
    }
    #[cfg(unix)]
    for (link, target, what) in [
        ("away", scratch.path(), format!("that leads out of {}", dir.display())),
        ("nowhere", Path::new("missing"), "to nothing".to_owned()),
    ] {
        std::os::unix::fs::symlink(target, dir.join("d").join(link)).unwrap();
        let why = receiver.send(&format!("d/{link}/a"), b"x").unwrap_err();
        assert_eq!(why, format!("d/{link} is a symbolic link {what}"));
    }
}

#[test]
fn a_directory_that_is_none_is_noticed_at_the_start() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("photo.jpg");
    fs::write(&file, "x").unwrap();
    for dir in [file.clone(), file.join("below")] {
        let output = Tej::run(&command(&dir));
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let events = json_lines(&output.stdout);
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0]["detail"], format!("{} is a file, not a directory", file.display()));
        assert!(events[0].get("conn").is_none(), "{events:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_directory_that_cannot_be_written_is_noticed_at_the_start() {
    use std::os::unix::fs::PermissionsExt;

    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("in");
    fs::create_dir(&dir).unwrap();
    for path in [scratch.path(), &dir] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o555)).unwrap();
    }
    let output = as_nobody(scratch.path(), &command(&dir)).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let why = json_lines(&output.stdout)[0]["detail"].to_string();
    assert!(why.contains("cannot store files in") && why.contains("in: Permission denied"), "{why}");
}

#[cfg(unix)]
#[test]
fn a_directory_that_cannot_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;

    let scratch = tempfile::tempdir().unwrap();
    let unreadable = scratch.path().join("d/noacc");
    fs::create_dir_all(&unreadable).unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o000)).unwrap();
    let d = scratch.path().join("d");
    let output = as_nobody(scratch.path(), &["send", "127.0.0.1:1", d.to_str().unwrap()]).output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(complaint, format!("tej: {}: Permission denied\n", unreadable.display()));
}

// case 50
#[test]
fn a_client_that_goes_in_mid_file_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start(scratch.path(), &[]);
    let whole = frame(&[(b"a", &[b'x'; 10_000])]);
    receiver.client.write_all(&whole[..5_000]).unwrap();
    receiver.tej.wait_for("frame_start");
    while entries(scratch.path()).is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    receiver.reconnect();
    assert_eq!(receiver.tej.wait_for("error")["kind"], "truncated");
    assert_eq!(entries(scratch.path()), [""; 0]);
    assert!(receiver.send("a", b"x").is_ok());
    assert_eq!(entries(scratch.path()), ["a"]);
}

// case 52
#[test]
fn a_directory_that_is_removed_refuses_every_file_and_the_server_lives() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = scratch.path().join("in");
    let mut receiver = Receiver::start(&inbox, &[]);
    assert!(receiver.send("a", b"x").is_ok());
    fs::remove_dir_all(&inbox).unwrap();
    for name in ["a", "b/c"] {
        let why = receiver.send(name, b"x").unwrap_err();
        assert!(why.contains("removed"), "{why}");
        receiver.reconnect();
    }
    assert_eq!(entries(scratch.path()), [""; 0]);
}

#[cfg(unix)]
// case 52
#[test]
fn a_directory_that_is_read_only_refuses_every_file_and_the_server_lives() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    let scratch = tempfile::tempdir().unwrap();
    let set_mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(scratch.path(), 0o755);
    let inbox = scratch.path().join("in");
    fs::create_dir(&inbox).unwrap();
    if fs::metadata(&inbox).unwrap().uid() == 0 {
        chown(&inbox, Some(NOBODY), None).unwrap();
    }
    let mut tej = Tej::spawn(as_nobody(scratch.path(), &command(&inbox)).stdin(Stdio::null()));
    let addr = tej.listening();
    let client = TcpStream::connect(&addr).unwrap();
    let mut receiver = Receiver { tej, addr, client };
    set_mode(&inbox, 0o555);
    for name in ["a", "b/c"] {
        let why = receiver.send(name, b"x").unwrap_err();
        assert!(why.contains("Permission denied"), "{why}");
        receiver.reconnect();
    }
    assert_eq!(entries(&inbox), [""; 0]);
    set_mode(&inbox, 0o755);
    assert!(receiver.send("a", b"x").is_ok());
}

// case 45
#[test]
fn names_are_escaped_in_every_line() {
    let hostile = "a\u{1b}]0;x\u{7}\r\n\u{202e}\u{2066}\u{9b}2Jb";
    let long = format!("{hostile}/{}", "n".repeat(300));
    let scratch = tempfile::tempdir().unwrap();
    for json in [true, false] {
        // Stored, refused for its name, and refused by the file system.
        let refused = format!(".{hostile}");
        let bytes = frame(&[hostile, &refused, &long].map(|name| (name.as_bytes(), &b"x"[..])));
        let file = scratch.path().join("frame");
        fs::write(&file, bytes).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let inbox = scratch.path().join("in");
        let mut arguments = vec!["recv", "--connect", &addr, "--once", "--dir", inbox.to_str().unwrap()];
        arguments.extend(json.then_some("--json"));
        let mut command = Tej::command(&arguments);
        let recv = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(&fs::read(&file).unwrap()).unwrap();
        drop(peer);
        let output = recv.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        let escape = if json { r"\u001b]0;x" } else { r"\u{1b}]0;x" };
        assert_eq!(text.matches(escape).count(), 5, "three names, a path and what is in the way: {text}");
        assert!(
            text.chars().all(|c| c == '\n' || !(c.is_control() || "\u{202e}\u{2066}".contains(c))),
            "{text:?}"
        );
    }
}

#[test]
fn synced_files_are_reported_like_others() {
    let scratch = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start(scratch.path(), &["--sync"]);
    assert!(receiver.send("new/directory/a", b"x").is_ok());
    assert!(receiver.send("b", b"x").is_ok());
}

#[test]
fn options_for_a_directory_want_one() {
    for option in [
        "--sync",
        "--allow-dotfiles",
        "--on-conflict=refuse",
        "--max-file=1",
        "--quota-frame=1",
        "--quota-client=1",
        "--quota-entries=1",
        "--min-free=1",
    ] {
        let output = Tej::run(&["recv", "--listen", "127.0.0.1:0", option]);
        assert_eq!(output.status.code(), Some(2), "{option}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--dir"), "{option}");
    }
    for option in ["--on-conflict=ask", "--max-file=1X", "--min-free=-1"] {
        let output = Tej::run(&["recv", "--listen", "127.0.0.1:0", "--dir", "nowhere", option]);
        assert_eq!(output.status.code(), Some(2), "{option}");
    }
}

fn command(dir: &Path) -> [&str; 6] {
    ["recv", "--listen", "127.0.0.1:0", "--json", "--dir", dir.to_str().unwrap()]
}

/// The command, which permissions mean something to: root becomes somebody else, and may have to take the program along.
#[cfg(unix)]
fn as_nobody(scratch: &Path, arguments: &[&str]) -> std::process::Command {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;

    let program = scratch.join("tej");
    fs::copy(env!("CARGO_BIN_EXE_tej"), &program).unwrap();
    let mut command = std::process::Command::new(program);
    command.args(arguments);
    if fs::metadata(scratch).unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
    }
    command
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Whom root becomes to have no rights.
#[cfg(unix)]
const NOBODY: u32 = 65_534;
