//! The contract of the `tej` command, on the real binary.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};
use std::thread;
use std::time::Duration;

use common::{Tej, json_lines, sha256};
use serde_json::{Value, json};

// ---- encode and decode

#[test]
fn encode_writes_the_vectors() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("a.txt"), "hi").unwrap();
    fs::write(scratch.path().join("é"), "!").unwrap();
    let a = scratch.path().join("a.txt").into_os_string().into_string().unwrap();
    let e = scratch.path().join("é").into_os_string().into_string().unwrap();
    let cases: [(&[&str], &str); 5] = [
        (&[], "800100000000000000000000000000000000"),
        (&["--status", "2"], "820100000000000000000000000000000000"),
        (&["-m", "Hello"], "80010000000000000000000000000000000548656c6c6f"),
        (&[&a, "--status", "20"], "940100000000000000010005612e747874000000000000000268690000000000000000"),
        (&[&e], "800100000000000000010002c3a90000000000000001210000000000000000"),
    ];
    for (arguments, hex) in cases {
        let output = Tej::run(&[&["encode"], arguments].concat());
        assert!(output.status.success());
        assert_eq!(common::hex(&output.stdout), hex, "{arguments:?}");
    }
}

#[test]
fn encode_to_a_file_is_all_or_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).into_os_string().into_string().unwrap();
    fs::write(path("out"), "old").unwrap();
    let failed = Tej::run(&["encode", &path("missing"), "-o", &path("out")]);
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(fs::read(path("out")).unwrap(), b"old");
    assert!(Tej::run(&["encode", "-m", "x", "-o", &path("out")]).status.success());
    assert_eq!(fs::read(path("out")).unwrap().len(), 19);
    assert_eq!(entries(scratch.path()), ["out"]);
}

#[cfg(unix)]
#[test]
fn encode_does_not_replace_what_it_reads() {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(scratch.path().join("d")).unwrap();
    for file in ["a", "d/b"] {
        fs::write(scratch.path().join(file), "precious").unwrap();
    }
    std::os::unix::fs::symlink("a", scratch.path().join("link")).unwrap();
    fs::hard_link(scratch.path().join("a"), scratch.path().join("hard")).unwrap();
    for arguments in
        ["a -o a", "a -o d/../a", "a -o link", "link -o a", "a -o hard", "d -o d/b", "--message-file a -o a"]
    {
        let mut command = Tej::command(&["encode"]);
        let output = command.args(arguments.split(' ')).current_dir(scratch.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {output:?}");
        let written = arguments.rsplit(' ').next().unwrap();
        let complaint = format!("tej: {written} is both input and output; give another -o\n");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), complaint);
        for file in ["a", "d/b"] {
            assert_eq!(fs::read(scratch.path().join(file)).unwrap(), b"precious", "{arguments}");
        }
    }
}

#[test]
fn decode_reports_every_event() {
    let mut stream = hex("94010000000000000001 0005 612e747874 0000000000000002 6869 0000000000000000");
    stream.extend(hex("80010000000000000001 0002 ff1b 0000000000000000 0000000000000003 61ff62"));
    let (events, code) = decode(&stream);
    let empty = sha256(b"");
    let expected = json!([
        {"event":"frame_start","conn":1,"status":20,"version":1,"files":1},
        {"event":"file","conn":1,"name":"a.txt","size":2,"sha256":sha256(b"hi")},
        {"event":"message","conn":1,"size":0,"text":"","sha256":empty},
        {"event":"frame_end","conn":1},
        {"event":"frame_start","conn":1,"status":0,"version":1,"files":1},
        {"event":"file","conn":1,"name_hex":"ff1b","size":0,"sha256":empty},
        {"event":"message","conn":1,"size":3,"sha256":sha256(b"a\xffb")},
        {"event":"frame_end","conn":1},
    ]);
    assert_eq!(Value::Array(events), expected);
    assert_eq!(code, 0);
}

#[test]
fn decode_names_kind_and_offset() {
    let head = "80010000000000000001";
    let cases = [
        ("00", "bad_start_bit", 0, 0),
        ("8002", "unsupported_version", 1, 0),
        ("80010000000000000000 0000000000000000 7f", "bad_start_bit", 18, 3),
        ("80", "truncated", 1, 0),
        (&format!("{head} 0001"), "truncated", 12, 1),
        (&format!("{head} 0001 61 ffffffffffffffff 00"), "frame_too_long", 13, 1),
        (&format!("{head} 0001 61 ffffffffffffffea 00"), "truncated", 22, 1),
        (&format!("{head} 0001 61 ffffffffffffffeb 00"), "frame_too_long", 13, 1),
        // As many files as a decoder counts, and one more.
        ("800100000000ffffffff", "truncated", 10, 1),
        ("80010000000100000000", "too_many_files", 2, 0),
        ("8001ffffffffffffffff", "too_many_files", 2, 0),
        ("80010000000000000000 ffffffffffffffed", "truncated", 18, 1),
        ("80010000000000000000 ffffffffffffffee", "frame_too_long", 10, 1),
        ("80010000000000000000 0000000000000002 61", "truncated", 19, 1),
    ];
    for (stream, kind, offset, before) in cases {
        let (events, code) = decode(&hex(stream));
        let error = events.last().unwrap();
        assert_eq!(
            (error["kind"].as_str(), error["offset"].as_u64()),
            (Some(kind), Some(offset)),
            "{stream}"
        );
        assert_eq!(events.len(), before + 1, "{stream}: {events:?}");
        assert_eq!(code, 1);
    }
    assert_eq!(decode(b""), (vec![], 0));
}

// case 45
#[test]
fn hostile_names_are_escaped_and_exact() {
    let name = "a\u{1b}[2J\n\u{202e}\u{2028}\u{85}é";
    let mut stream = hex("80010000000000000001");
    stream.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
    stream.extend(name.as_bytes());
    stream.extend([0; 16]);
    let json = run_with_input(&["decode", "--json"], &stream);
    let text = String::from_utf8(json.stdout).unwrap();
    assert!(
        text.chars().all(|c| c == '\n' || !(c.is_control() || "\u{202e}\u{2028}".contains(c))),
        "{text:?}"
    );
    assert!(text.contains(r"a\u001b[2J\n\u202e\u2028\u0085é"), "{text}");
    assert_eq!(json_lines(text.as_bytes())[1]["name"], name);
    let plain = run_with_input(&["decode"], &stream);
    let text = String::from_utf8(plain.stdout).unwrap();
    assert!(text.contains(r"a\u{1b}[2J\u{a}\u{202e}\u{2028}\u{85}é"), "{text}");
}

#[test]
fn a_slow_reader_gets_every_line() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("pings");
    fs::write(&path, hex(PING).repeat(3000)).unwrap();
    let decode = Tej::start(&["decode", path.to_str().unwrap(), "--json"]);
    // Long after the pipe is full and everything was decoded.
    thread::sleep(Duration::from_secs(3));
    let (events, status) = decode.finish();
    assert_eq!(events.len(), 3 * 3000);
    assert!(status.success());
}

#[test]
fn message_text_is_shown_up_to_64_kib() {
    for (size, shown) in [(65_535, true), (65_536, true), (65_537, false)] {
        let mut stream = hex("80010000000000000000");
        stream.extend(u64::try_from(size).unwrap().to_be_bytes());
        stream.resize(18 + size, b'x');
        let (events, _) = decode(&stream);
        assert_eq!(events[1].get("text").is_some(), shown, "{size}");
        assert_eq!(events[1]["sha256"], sha256(&vec![b'x'; size]));
    }
}

// ---- send and recv

#[test]
fn files_and_directories_arrive() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).into_os_string().into_string().unwrap();
    fs::create_dir_all(path("photos/deep")).unwrap();
    fs::write(path("photos/a b.jpg"), "jpg").unwrap();
    fs::write(path("photos/deep/é"), "e").unwrap();
    std::os::unix::fs::symlink("a b.jpg", path("photos/link")).unwrap();
    fs::write(path("empty"), "").unwrap();
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    fs::write(path("big"), &big).unwrap();

    let inbox = path("in");
    let mut recv =
        Tej::start(&["recv", "--listen", "127.0.0.1:0", "--once", "--dir", &inbox, "--digest", "--json"]);
    let addr = recv.listening();
    let sent =
        Tej::run(&["send", &addr, &path("empty"), &path("photos"), &path("big"), "-m", "hey", "--json"]);
    let (events, status) = recv.finish();
    assert!(sent.status.success() && status.success(), "{sent:?}");
    let warning = String::from_utf8_lossy(&sent.stderr).into_owned();
    assert!(warning.contains("link"), "{warning}");

    let files: Vec<_> = events.iter().filter(|e| e["event"] == "file").collect();
    let names: Vec<_> = files.iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["empty", "photos/a b.jpg", "photos/deep/é", "big"]);
    for file in &files {
        let stored = fs::read(file["path"].as_str().unwrap()).unwrap();
        assert_eq!(file["sha256"], sha256(&stored));
        assert_eq!(file["size"], stored.len());
    }
    assert_eq!(fs::read(Path::new(&inbox).join("big")).unwrap(), big);

    let names: usize = names.iter().map(|name| name.len()).sum();
    let bytes = 18 + 4 * 10 + names + 3 + 1 + big.len() + 3;
    assert_eq!(json_lines(&sent.stdout), [json!({"event":"sent","conn":1,"files":4,"bytes":bytes})]);
}

#[test]
fn dot_files_of_a_directory_are_sent_on_request_and_never_lost_silently() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).into_os_string().into_string().unwrap();
    for directory in [".album/.git/objects", ".album/deep"] {
        fs::create_dir_all(path(directory)).unwrap();
    }
    for file in [".album/a", ".album/.git/config", ".album/.git/objects/x", ".album/deep/.b", ".named"] {
        fs::write(path(file), "").unwrap();
    }
    let (album, named) = (path(".album"), path(".named"));
    let encoded = |options: &[&str]| {
        let output = Tej::run(&[&["encode", &album, &named, "-o", "-"], options].concat());
        let decoded = run_with_input(&["decode", "--json"], &output.stdout);
        let names: Vec<_> = json_lines(&decoded.stdout)
            .iter()
            .filter_map(|event| Some(event["name"].as_str()?.to_owned()))
            .collect();
        (names, String::from_utf8(output.stderr).unwrap())
    };
    let (names, warning) = encoded(&[]);
    assert_eq!(names, [".album/a", ".named"]);
    assert_eq!(warning.lines().count(), 3, "{warning}");
    // What is named is sent, and may be refused as well.
    for named in [".album", ".named"] {
        assert!(warning.contains(&format!("/{named} begins with a dot")), "{warning}");
    }
    assert!(warning.contains("skipped 2") && warning.contains("--dotfiles"), "{warning}");

    let (names, warning) = encoded(&["--dotfiles"]);
    assert_eq!(
        names,
        [".album/.git/config", ".album/.git/objects/x", ".album/a", ".album/deep/.b", ".named"]
    );
    assert_eq!(warning, "");
}

// cases 39 and 53
#[test]
fn a_name_that_cannot_be_stored_refuses_the_file_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = scratch.path().join("deep/in");
    let mut recv = Tej::start(&[
        "recv",
        "--listen",
        "127.0.0.1:0",
        "--once",
        "--dir",
        inbox.to_str().unwrap(),
        "--digest",
        "--json",
    ]);
    let mut peer = TcpStream::connect(recv.listening()).unwrap();
    let names: [&[u8]; 5] = [b"../x", b"/abs", b"", b"\xff", b"good"];
    let mut frame = hex("8001");
    frame.extend(5_u64.to_be_bytes());
    for name in names {
        frame.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
        frame.extend(name);
        frame.extend(hex("0000000000000002 6869"));
    }
    frame.extend([0; 8]);
    peer.write_all(&frame).unwrap();
    drop(peer);
    let (events, status) = recv.finish();
    assert_eq!(status.code(), Some(1));
    let files: Vec<_> = events.iter().filter(|e| e["event"] == "file").collect();
    assert_eq!(files.len(), 5);
    for file in &files[..4] {
        assert!(file["refused"].is_string() && file.get("path").is_none(), "{file}");
        assert_eq!(file["sha256"], sha256(b"hi"));
    }
    assert_eq!(files[3]["name_hex"], "ff");
    assert!(files[4].get("refused").is_none());
    assert_eq!(events.last().unwrap()["event"], "frame_end");
    assert_eq!(entries(&inbox), ["good"]);
    assert_eq!(entries(scratch.path()), ["deep"]);
}

#[test]
fn a_bad_peer_ends_its_own_connection_alone() {
    let mut recv = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--frames", "2", "--json"]);
    let addr = recv.listening();
    let mut bad = TcpStream::connect(&addr).unwrap();
    bad.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let error = recv.wait_for("error");
    assert_eq!(
        (&error["conn"], &error["kind"], &error["offset"]),
        (&json!(1), &json!("bad_start_bit"), &json!(0))
    );
    assert_eq!(bad.read(&mut [0; 8]).unwrap_or(0), 0);
    for n in 0..2 {
        assert!(Tej::run(&["send", &addr, "-m", &format!("{n}")]).status.success());
    }
    let (events, status) = recv.finish();
    let texts: Vec<_> = events.iter().filter_map(|e| e["text"].as_str()).collect();
    assert_eq!(texts, ["0", "1"]);
    assert_eq!(status.code(), Some(1), "a connection failed");
}

#[test]
fn frames_are_counted_over_all_connections_with_pings() {
    let mut recv = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--frames", "3", "--json"]);
    let addr = recv.listening();
    let ping = Tej::run(&["ping", &addr, "--count", "2", "--interval", "0.01"]);
    assert!(ping.status.success(), "{ping:?}");
    assert!(Tej::run(&["send", &addr]).status.success());
    let (events, status) = recv.finish();
    let statuses: Vec<_> = events.iter().filter_map(|e| e["status"].as_u64()).collect();
    assert_eq!(statuses, [2, 2, 0]);
    let conns: Vec<_> =
        events.iter().filter(|e| e["event"] == "frame_end").map(|e| e["conn"].as_u64().unwrap()).collect();
    assert_eq!(conns, [1, 1, 2]);
    assert!(status.success());
}

#[test]
fn frames_beyond_the_count_are_left_alone() {
    let mut recv = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--frames", "1", "--json"]);
    let mut peer = TcpStream::connect(recv.listening()).unwrap();
    let ping = hex("820100000000000000000000000000000000");
    peer.write_all(&[ping.clone(), ping.clone(), ping].concat()).unwrap();
    let (events, status) = recv.finish();
    assert_eq!(events.iter().filter(|e| e["event"] == "frame_start").count(), 1);
    assert!(status.success());
}

#[test]
fn replies_are_printed_and_pings_are_not_replies() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&hex("820100000000000000000000000000000000")).unwrap();
        stream.write_all(&hex("80010000000000000000 0000000000000001 61")).unwrap();
        thread::sleep(Duration::from_millis(300));
        stream
            .write_all(&hex("80010000000000000001 0001 66 0000000000000001 21 0000000000000001 62"))
            .unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        // Half-closed, not closed: it still hears this.
        stream.write_all(&hex("80010000000000000000 0000000000000001 63")).unwrap();
        received
    });
    let scratch = tempfile::tempdir().unwrap();
    let sent = Tej::run(&[
        "send",
        &addr,
        "-m",
        "x",
        "--replies",
        "2",
        "--dir",
        scratch.path().to_str().unwrap(),
        "--json",
    ]);
    assert!(sent.status.success(), "{sent:?}");
    let events = json_lines(&sent.stdout);
    let texts: Vec<_> = events.iter().filter_map(|e| e["text"].as_str()).collect();
    assert_eq!(texts, ["", "a", "b", "c"]);
    assert!(events.iter().all(|e| e.get("sha256").is_none()));
    assert_eq!(peer.join().unwrap(), hex("80010000000000000000 0000000000000001 78"));
    assert_eq!(fs::read(scratch.path().join("f")).unwrap(), b"!");
}

#[test]
fn missing_replies_are_an_error() {
    let mut recv = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--frames", "1", "--json"]);
    let addr = recv.listening();
    let sent = Tej::run(&["send", &addr, "-m", "x", "--replies", "1", "--json"]);
    assert_eq!(sent.status.code(), Some(1));
    assert_eq!(json_lines(&sent.stdout).last().unwrap()["kind"], "closed");
}

#[test]
fn a_head_travels_with_its_first_payload() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("f.bin");
    fs::write(&file, vec![7; 1 << 20]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        thread::sleep(Duration::from_millis(200));
        let mut first = vec![0; 1 << 20];
        let n = stream.read(&mut first).unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
        n
    });
    assert!(Tej::run(&["send", &addr, file.to_str().unwrap()]).status.success());
    assert!(peer.join().unwrap() > 10 + 2 + 5 + 8 + 1000);
}

#[test]
fn two_peers_that_both_push_do_not_deadlock() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("large");
    fs::write(&file, vec![1; 64 << 20]).unwrap();
    let file = file.to_str().unwrap();
    let push = ["--replies", "1", "--digest", "--json"];
    let mut a = Tej::start(&[&["send", "--listen", "[::1]:0", file][..], &push].concat());
    let addr = a.listening();
    let b = Tej::run(&[&["send", &addr, file][..], &push].concat());
    let (events, status) = a.finish();
    assert!(b.status.success() && status.success());
    let digest = sha256(&vec![1; 64 << 20]);
    for events in [json_lines(&b.stdout), events] {
        assert_eq!(events.iter().find(|e| e["event"] == "file").unwrap()["sha256"], digest);
        assert!(events.iter().any(|e| e["event"] == "sent"));
    }
}

#[test]
fn standard_input_is_sent_as_a_file() {
    let mut recv = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--frames", "1", "--digest", "--json"]);
    let addr = recv.listening();
    let sent = run_with_input(&["send", &addr, "--stdin", "a:b:5", "-m", "m"], b"hello, and more");
    assert!(sent.status.success(), "{sent:?}");
    let (events, _) = recv.finish();
    assert_eq!(events[2]["name"], "a:b");
    assert_eq!(events[2]["sha256"], sha256(b"hello"));
}

#[test]
fn a_source_that_ends_early_ends_the_connection() {
    let mut recv = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--once", "--json"]);
    let addr = recv.listening();
    let sent = run_with_input(&["send", &addr, "--stdin", "a:10", "--json"], b"short");
    assert_eq!(sent.status.code(), Some(1));
    let events = json_lines(&sent.stdout);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["kind"], "source");
    let (events, status) = recv.finish();
    assert_eq!(events.last().unwrap()["kind"], "truncated");
    assert_eq!(events.last().unwrap()["offset"], 10 + 2 + 1 + 8 + 5);
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    for grow in [true, false] {
        let path = scratch.path().join("file");
        let size: u64 = 64 << 20;
        fs::write(&path, vec![0; usize::try_from(size).unwrap()]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let send = Tej::start(&["send", &addr, path.to_str().unwrap(), "--json"]);
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 64]).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_len(if grow { size + 1 } else { size / 2 }).unwrap();
        let received = std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
        assert!(received + 64 < 10 + 2 + 4 + 8 + size + 8, "the frame was completed");
        drop(stream);
        let (events, status) = send.finish();
        let error = events.last().unwrap();
        assert_eq!((&error["kind"], &error["conn"]), (&json!("source"), &json!(1)), "{events:?}");
        let detail = error["detail"].as_str().unwrap();
        assert!(grow || detail.ends_with(&format!(", it had {size} at the start")), "{detail}");
        assert_eq!(status.code(), Some(1));
    }
}

// ---- time

#[test]
fn silence_is_a_timeout() {
    let mut recv = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--once", "--timeout", "0.3", "--json"]);
    let silent = TcpStream::connect(recv.listening()).unwrap();
    let (events, status) = recv.finish();
    assert_eq!(events.last().unwrap()["kind"], "timeout");
    assert!(events.last().unwrap()["detail"].as_str().unwrap().contains("--idle-timeout"), "{events:?}");
    assert_eq!(status.code(), Some(1));
    drop(silent);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let send = Tej::start(&["send", &addr, "-m", "x", "--timeout", "0.3", "--json"]);
    let (_never_closed, _) = listener.accept().unwrap();
    let (events, status) = send.finish();
    let kinds: Vec<_> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["sent", "error"]);
    assert_eq!(events[1]["kind"], "timeout");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_peer_that_stops_reading_is_a_timeout() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("large");
    fs::write(&file, vec![1; 64 << 20]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let send = Tej::start(&["send", &addr, file.to_str().unwrap(), "--timeout", "0.5", "--json"]);
    let (_stalled, _) = listener.accept().unwrap();
    let (events, _) = send.finish();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["kind"], "timeout");
    let detail = events[0]["detail"].as_str().unwrap();
    assert!(detail.contains("took nothing") && detail.contains("--timeout"), "{detail}");
}

#[test]
fn any_byte_is_life() {
    let mut recv = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--once", "--timeout", "2", "--json"]);
    let mut peer = TcpStream::connect(recv.listening()).unwrap();
    for byte in hex("8001000000000000000000") {
        thread::sleep(Duration::from_millis(300));
        peer.write_all(&[byte]).unwrap();
    }
    peer.write_all(&[0; 7]).unwrap();
    drop(peer);
    let (events, status) = recv.finish();
    assert_eq!(events.last().unwrap()["event"], "frame_end");
    assert!(status.success());
}

#[test]
fn a_slow_source_is_not_a_silent_peer() {
    let mut recv = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--once", "--json"]);
    let addr = recv.listening();
    let mut command = Tej::command(&["send", &addr, "--stdin", "slow:2", "--timeout", "1", "--json"]);
    let mut send = Tej::spawn(command.stdin(Stdio::piped()));
    let mut input = send.child().stdin.take().unwrap();
    input.write_all(b"a").unwrap();
    thread::sleep(Duration::from_millis(2500));
    input.write_all(b"b").unwrap();
    let (events, status) = send.finish();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(status.success());
    assert!(recv.finish().1.success());
}

#[cfg(unix)]
// case 50
#[test]
fn sigterm_leaves_nothing_half_written() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = scratch.path().join("in");
    let mut recv =
        Tej::start(&["recv", "--listen", "127.0.0.1:0", "--dir", inbox.to_str().unwrap(), "--json"]);
    let mut peer = TcpStream::connect(recv.listening()).unwrap();
    peer.write_all(&hex("80010000000000000001 0004 68616c66 0000000000000100 6869")).unwrap();
    recv.wait_for("frame_start");
    while entries(&inbox).is_empty() {
        thread::sleep(Duration::from_millis(10));
    }
    terminate(recv.child().id());
    let (events, status) = recv.finish();
    assert_eq!(events.last().unwrap()["kind"], "closed");
    assert_eq!(status.code(), Some(1));
    assert_eq!(entries(&inbox), [""; 0]);

    let mut idle = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--json"]);
    idle.listening();
    terminate(idle.child().id());
    let (events, status) = idle.finish();
    assert_eq!(events.len(), 1);
    assert!(status.success(), "nothing failed");
}

#[cfg(unix)]
#[test]
fn reaching_the_frame_count_leaves_nothing_half_written() {
    for _ in 0..5 {
        let scratch = tempfile::tempdir().unwrap();
        let inbox = scratch.path().join("in");
        let mut recv = Tej::start(&[
            "recv",
            "--listen",
            "127.0.0.1:0",
            "--frames",
            "1",
            "--dir",
            inbox.to_str().unwrap(),
            "--json",
        ]);
        let addr = recv.listening();
        let half = hex("80010000000000000001 0004 68616c66 0000000000000100 6869");
        let peers: Vec<_> = (0..10)
            .map(|_| {
                let mut peer = TcpStream::connect(&addr).unwrap();
                peer.write_all(&half).unwrap();
                peer
            })
            .collect();
        while entries(&inbox).len() < peers.len() {
            thread::sleep(Duration::from_millis(5));
        }
        let mut last = TcpStream::connect(&addr).unwrap();
        last.write_all(&hex(PING)).unwrap();
        let (events, status) = recv.finish();
        assert!(status.success(), "{events:?}");
        assert_eq!(events.iter().filter(|e| e["event"] == "frame_end").count(), 1);
        assert_eq!(entries(&inbox), [""; 0]);
    }
}

#[test]
fn no_more_and_no_fewer_frames_are_counted_under_load() {
    for _ in 0..10 {
        let mut recv = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--frames", "8", "--json"]);
        let addr = recv.listening();
        let peers: Vec<_> = (0..4)
            .map(|_| {
                let addr = addr.clone();
                thread::spawn(move || {
                    // The listener may be gone by then.
                    if let Ok(mut peer) = TcpStream::connect(addr) {
                        let _ = peer.write_all(&hex(PING).repeat(4));
                    }
                })
            })
            .collect();
        let (events, status) = recv.finish();
        assert!(status.success());
        assert_eq!(events.iter().filter(|e| e["event"] == "frame_end").count(), 8, "{events:?}");
        peers.into_iter().for_each(|peer| peer.join().unwrap());
    }
}

#[cfg(unix)]
#[test]
fn a_signal_is_never_lost() {
    for _ in 0..10 {
        let mut recv = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--json"]);
        let addr = recv.listening();
        let peers = thread::spawn(move || (0..20).map(|_| TcpStream::connect(&addr)).collect::<Vec<_>>());
        terminate(recv.child().id());
        recv.must_end_soon();
        drop(peers.join().unwrap());
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_what_nobody_reads() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = scratch.path().join("in");
    let mut recv =
        Tej::start(&["recv", "--listen", "127.0.0.1:0", "--dir", inbox.to_str().unwrap(), "--json"]);
    let addr = recv.listening();
    let mut half = TcpStream::connect(&addr).unwrap();
    half.write_all(&hex("80010000000000000001 0004 68616c66 0000000000000100 6869")).unwrap();
    let mut flood = TcpStream::connect(&addr).unwrap();
    flood.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    // Until the pipe to us is full, then the queue behind it, then the socket.
    let pings = hex(PING).repeat(1000);
    while flood.write_all(&pings).is_ok() {}
    assert_eq!(entries(&inbox).len(), 1);
    terminate(recv.child().id());
    recv.must_end_soon();
    assert_eq!(entries(&inbox), [""; 0]);
}

#[cfg(unix)]
#[test]
fn losing_standard_output_leaves_nothing_half_written() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = scratch.path().join("in");
    let mut recv =
        Tej::start(&["recv", "--listen", "127.0.0.1:0", "--dir", inbox.to_str().unwrap(), "--json"]);
    let addr = recv.listening();
    let mut half = TcpStream::connect(&addr).unwrap();
    half.write_all(&hex("80010000000000000001 0004 68616c66 0000000000000100 6869")).unwrap();
    while entries(&inbox).is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    recv.close_output();
    let mut ping = TcpStream::connect(&addr).unwrap();
    ping.write_all(&hex(PING)).unwrap();
    assert_eq!(recv.must_end_soon().code(), Some(1));
    assert_eq!(entries(&inbox), [""; 0]);
}

#[cfg(unix)]
// cases 48 and 53
#[test]
fn a_file_size_limit_refuses_the_file_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let inbox = scratch.path().join("in");
    let mut command = std::process::Command::new("sh");
    // 8 blocks are 4 or 8 KiB.
    command.args(["-c", "ulimit -f 8; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_tej")]);
    command.args(["recv", "--listen", "127.0.0.1:0", "--once", "--json", "--dir", inbox.to_str().unwrap()]);
    let mut recv = Tej::spawn(&mut command);
    let addr = recv.listening();
    let sent = run_with_input(&["send", &addr, "--stdin", "big:100000"], &vec![0; 100_000]);
    assert!(sent.status.success(), "{sent:?}");
    let (events, status) = recv.finish();
    assert!(events.iter().any(|e| e["refused"].is_string()), "{events:?}");
    assert_eq!(events.last().unwrap()["event"], "frame_end");
    assert_eq!(status.code(), Some(1));
    assert_eq!(entries(&inbox), [""; 0]);
}

#[cfg(target_os = "linux")]
#[test]
fn announcements_cost_no_memory() {
    let mut recv = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--json", "--max-per-address", "500"]);
    let addr = recv.listening();
    // Warm: what a first few connections leave behind is not what one costs.
    for _ in 0..300 {
        let mut peer = TcpStream::connect(&addr).unwrap();
        peer.write_all(&hex(PING)).unwrap();
    }
    for _ in 0..300 {
        recv.wait_for("frame_end");
    }
    let before = resident(recv.child().id());
    let huge = hex("80010000000000000000 8000000000000000");
    let peers: Vec<_> = (0..200)
        .map(|_| {
            let mut peer = TcpStream::connect(&addr).unwrap();
            peer.write_all(&huge).unwrap();
            peer
        })
        .collect();
    for _ in &peers {
        recv.wait_for("frame_start");
    }
    let each = resident(recv.child().id()).saturating_sub(before) / peers.len() as u64;
    assert!(each < 32 * 1024, "{each} bytes for each connection");
}

#[test]
fn the_last_words_of_a_peer_are_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 1000]).unwrap();
        stream.write_all(&hex("80010000000000000000 0000000000000002 6e6f")).unwrap();
    });
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("f");
    fs::write(&file, vec![0; 16 << 20]).unwrap();
    let sent = Tej::run(&["send", &addr, file.to_str().unwrap(), "--json"]);
    peer.join().unwrap();
    let events = json_lines(&sent.stdout);
    assert_eq!(sent.status.code(), Some(1));
    assert!(events.iter().any(|e| e["text"] == "no"), "{events:?}");
    assert_eq!(events.last().unwrap()["kind"], "closed");
}

#[test]
fn pings_may_be_further_apart_than_the_timeout() {
    let mut recv = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--once", "--json"]);
    let addr = recv.listening();
    let ping = Tej::run(&["ping", &addr, "--count", "2", "--interval", "0.8", "--timeout", "0.3"]);
    assert!(ping.status.success(), "{ping:?}");
    assert!(recv.finish().1.success());
}

#[test]
fn a_timeout_may_be_as_good_as_never() {
    let mut recv =
        Tej::start(&["recv", "--listen", "127.0.0.1:0", "--frames", "1", "--timeout", "1e19", "--json"]);
    let addr = recv.listening();
    let sent = Tej::run(&["send", &addr, "-m", "x", "--timeout", "1e19"]);
    assert!(sent.status.success(), "{sent:?}");
    assert!(recv.finish().1.success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_says_it_is_empty_and_is_not_is_an_error() {
    let output = Tej::run(&["encode", "/proc/self/status"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--stdin"), "{output:?}");
}

#[cfg(unix)]
#[test]
fn a_closed_standard_error_changes_no_exit_status() {
    for (arguments, code) in [("encode nowhere", 1), ("send nowhere", 2)] {
        let shell = format!("exec \"$0\" {arguments} 2>&-");
        let status = std::process::Command::new("sh")
            .args(["-c", &shell, env!("CARGO_BIN_EXE_tej")])
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(code), "{arguments}");
    }
}

// ---- usage

#[test]
fn usage_errors_exit_with_2() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).into_os_string().into_string().unwrap();
    fs::create_dir(path("d")).unwrap();
    fs::write(path("d/a"), "").unwrap();
    fs::write(path("a"), "").unwrap();
    let (a, d) = (path("a"), path("d"));
    let cases: [&[&str]; 14] = [
        &[],
        &["send"],
        &["send", &a],
        &["send", "127.0.0.1:1", &a, &a],
        &["send", "127.0.0.1:1", &d, "--stdin", "d/a:1"],
        &["send", "127.0.0.1:1", "--status", "128"],
        &["send", "127.0.0.1:1", "--stdin", "a:1", "--message-file", "-"],
        &["send", "::1:80"],
        &["send", "[localhost]:80"],
        &["send", "localhost:+80"],
        &["recv"],
        &["recv", "--listen", "127.0.0.1:0", "--connect", "127.0.0.1:1"],
        &["recv", "--listen", "127.0.0.1:0", "--once", "--frames", "1"],
        &["recv", "--listen", "nowhere"],
    ];
    for arguments in cases {
        let output = Tej::run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_fifo_is_not_waited_for() {
    let scratch = tempfile::tempdir().unwrap();
    let fifo = scratch.path().join("fifo").into_os_string().into_string().unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for (arguments, instead) in [
        (&["send", "127.0.0.1:1", &fifo][..], "--stdin NAME:SIZE"),
        (&["send", "127.0.0.1:1", "--message-file", &fifo], "--message-file -"),
    ] {
        let mut tej = Tej::start(&[arguments, &["--json"]].concat());
        assert_eq!(tej.must_end_soon().code(), Some(1), "{arguments:?}");
        let detail = tej.wait_for("error")["detail"].to_string();
        assert!(detail.contains("only regular files") && detail.contains(instead), "{detail}");
    }
}

#[test]
fn every_size_is_written_as_people_write_it() {
    let mut recv = Tej::start(&[
        "recv",
        "--listen",
        "127.0.0.1:0",
        "--json",
        "--max-message",
        "1K",
        "--max-frame",
        "2k",
        "--max-name",
        "0.5K",
        "--min-rate",
        "0.1K",
    ]);
    let addr = recv.listening();
    for (size, fits) in [("1023", true), ("1K", true), ("1025", false)] {
        let bytes: usize = if size == "1K" { 1024 } else { size.parse().unwrap() };
        let message = "m".repeat(bytes);
        Tej::run(&["send", &addr, "-m", &message]);
        let ended = recv.wait_for(if fits { "frame_end" } else { "error" });
        assert!(fits || ended["kind"] == "message_too_long", "{size}: {ended}");
    }
    assert!(run_with_input(&["send", &addr, "--stdin", "a:1K"], &[0; 1024]).status.success());
    assert_eq!(recv.wait_for("file")["size"], 1024);
    for (option, value) in [("--max-name", "64K"), ("--max-message", "1X"), ("--min-rate", "-1")] {
        let output = Tej::run(&["recv", "--listen", "127.0.0.1:0", &format!("{option}={value}")]);
        assert_eq!(output.status.code(), Some(2), "{option} {value}: {output:?}");
    }
}

#[test]
fn what_is_not_sent_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir_all(scratch.path().join("d/empty/deeper")).unwrap();
    let warnings = |arguments: &[&str]| {
        let output = Tej::command(arguments).current_dir(scratch.path()).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(warnings(&["encode", "d"]), "tej: skipped 1 empty directory in d: only files are sent\n");
    fs::create_dir_all(scratch.path().join("d/other")).unwrap();
    assert_eq!(warnings(&["encode", "d"]), "tej: skipped 2 empty directories in d: only files are sent\n");

    let nothing = "tej: nothing to send but an empty frame\n";
    assert!(warnings(&["send", "127.0.0.1:1"]).starts_with(nothing));
    for arguments in [["-m", ""], ["--status", "2"], ["--stdin", "a:0"]] {
        let warnings = warnings(&[&["send", "127.0.0.1:1"], &arguments[..]].concat());
        assert!(!warnings.contains("nothing to send"), "{arguments:?}: {warnings}");
    }
}

#[test]
fn a_peer_that_brings_nothing_is_told_of() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let peer = thread::spawn(move || drop(listener.accept().unwrap()));
    let output = Tej::run(&["recv", "--connect", &addr]);
    peer.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "tej: the peer closed; no frame came\n");
}

#[test]
fn complaints_name_what_is_wrong() {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(scratch.path().join("d")).unwrap();
    for (arguments, code, complaint) in [
        ("decode d", 1, "d is a directory, not a file"),
        ("decode --explain d", 1, "d is a directory, not a file"),
        ("decode missing", 1, "missing: No such file or directory"),
        ("encode missing", 1, "missing: No such file or directory"),
        ("encode -o nodir/f", 1, "the directory nodir does not exist"),
        ("identity nodir/x.pem", 1, "the directory nodir does not exist"),
        ("send 127.0.0.1:1 missing", 1, "missing: No such file or directory"),
        ("send 127.0.0.1:1 -m x", 1, "cannot connect to 127.0.0.1:1: Connection refused"),
        ("ping 127.0.0.1:1", 1, "cannot connect to 127.0.0.1:1: Connection refused"),
        (
            "send 127.0.0.1:1 -",
            2,
            "there is no file called -; --stdin NAME:SIZE sends standard input (SIZE bytes of it)",
        ),
        ("ping 127.0.0.1:99999", 2, "\"127.0.0.1:99999\": a port is 0 to 65535"),
    ] {
        let mut command = Tej::command(&arguments.split(' ').collect::<Vec<_>>());
        let output = command.current_dir(scratch.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments}: {output:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("tej: {complaint}\n"), "{arguments}");
    }
}

#[test]
fn a_limit_that_is_exceeded_names_its_option() {
    for (option, arguments, complaint) in [
        (
            "--max-message=2",
            &["-m", "Hello"][..],
            "a message of 5 bytes is over the 2 that --max-message allows (at byte 10 of the stream)",
        ),
        (
            "--max-frame=30",
            &["-m", "more than twelve"],
            "a length of 16 bytes takes the frame over the 30 that --max-frame allows (at byte 10 of the stream)",
        ),
        (
            "--max-files=0",
            &["--stdin", "a:0"],
            "1 files in one frame are over the 0 that --max-files allows (at byte 2 of the stream)",
        ),
        (
            "--max-name=1",
            &["--stdin", "ab:0"],
            "a file name of 2 bytes is over the 1 that --max-name allows (at byte 10 of the stream)",
        ),
    ] {
        let mut recv = Tej::start(&["recv", "--listen", "127.0.0.1:0", "--once", "--json", option]);
        let addr = recv.listening();
        Tej::run(&[&["send", &addr], arguments].concat());
        assert_eq!(recv.wait_for("error")["detail"], complaint);
    }
}

#[test]
fn failures_exit_with_1_and_say_why() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let cases: [(&[&str], &str); 4] = [
        (&["send", "127.0.0.1:1", "--json"], "io"),
        (&["send", "127.0.0.1:1", "/nonexistent", "--json"], "source"),
        (&["recv", "--listen", &taken, "--json"], "io"),
        (&["decode", "/nonexistent", "--json"], "io"),
    ];
    for (arguments, kind) in cases {
        let output = Tej::run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        let events = json_lines(&output.stdout);
        assert_eq!(events.last().unwrap()["kind"], kind, "{arguments:?}");
        // There was no connection that it could be of.
        assert!(events.last().unwrap().get("conn").is_none(), "{events:?}");
    }
}

#[test]
fn recv_connects_to_a_peer_that_sends() {
    let mut send = Tej::start(&["send", "--listen", "localhost:0", "-m", "from the listener", "--json"]);
    let addr = send.listening();
    let output = Tej::run(&["recv", "--connect", &addr, "--frames", "1", "--json"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(json_lines(&output.stdout)[1]["text"], "from the listener");
    assert!(send.finish().1.success());
}

fn decode(stream: &[u8]) -> (Vec<Value>, i32) {
    let output = run_with_input(&["decode", "--json"], stream);
    (json_lines(&output.stdout), output.status.code().unwrap())
}

fn run_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Tej::command(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        // The command need not read all of it.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = match fs::read_dir(dir) {
        Ok(entries) => entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect(),
        Err(_) => Vec::new(),
    };
    names.sort();
    names
}

/// Bytes of memory that a process has resident.
fn resident(pid: u32) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// An empty frame of status 2.
const PING: &str = "820100000000000000000000000000000000";

fn terminate(pid: u32) {
    let status = std::process::Command::new("kill").arg(pid.to_string()).status().unwrap();
    assert!(status.success());
}
