//! TLS with the `tej` command.

#[path = "common/authority.rs"]
mod authority;
mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use authority::Authority;
use common::{Tej, json_lines, sha256};
use rcgen::{CertificateParams, date_time_ymd};
use tempfile::TempDir;

/// A directory with the identities of two people, and a third's.
struct People {
    dir: TempDir,
}

impl People {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// The file of somebody's identity, and its fingerprint.
    fn identity(&self, name: &str) -> (String, String) {
        let path = self.path(name);
        let output = Tej::run(&["identity", &path]);
        assert!(output.status.success(), "{output:?}");
        (path, String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A listener that prints JSON, with its standard error to read later.
fn listen(arguments: &[&str]) -> (Tej, String) {
    let all = [&["recv", "--listen", "127.0.0.1:0", "--json"], arguments].concat();
    let mut tej = Tej::spawn(Tej::command(&all).stderr(Stdio::piped()));
    let addr = tej.listening();
    (tej, addr)
}

/// Ends a process and returns what it wrote to standard error.
fn last_words(mut tej: Tej) -> String {
    tej.child().kill().unwrap();
    let mut text = String::new();
    tej.child().stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn an_identity_is_made_once_and_read_by_its_owner_alone() {
    let people = People::new();
    let path = people.path("identity.pem");
    let output = Tej::run(&["identity", &path]);
    let fingerprint = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(fingerprint.len(), 65, "{fingerprint}");
    assert!(stderr(&output).contains(&path), "{output:?}");
    let content = fs::read(&path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let again = Tej::run(&["identity", &path, "--json"]);
    let [event] = json_lines(&again.stdout).try_into().unwrap();
    assert_eq!(event["event"], "identity");
    assert_eq!(event["fingerprint"], fingerprint.trim_end());
    assert_eq!((&event["path"], &event["created"]), (&path.as_str().into(), &false.into()));
    assert!(again.stderr.is_empty(), "{again:?}");
    assert_eq!(fs::read(&path).unwrap(), content);
    // What is no identity is not replaced by one.
    fs::write(&path, "a letter").unwrap();
    let output = Tej::run(&["identity", &path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no certificate"), "{output:?}");
    assert_eq!(fs::read(&path).unwrap(), b"a letter");
}

#[cfg(target_os = "linux")]
#[test]
fn an_identity_has_a_usual_place() {
    let people = People::new();
    let output =
        Tej::command(&["identity", "--json"]).env("XDG_CONFIG_HOME", people.dir.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let path = people.path("tej/identity.pem");
    let [event] = json_lines(&output.stdout).try_into().unwrap();
    assert_eq!((&event["path"], &event["created"]), (&path.as_str().into(), &true.into()));
    assert!(Path::new(&path).exists());
}

#[test]
fn how_to_use_the_usual_identity_is_told() {
    let people = People::new();
    for made in [true, false] {
        let mut command = Tej::command(&["identity"]);
        let output = command.env("XDG_CONFIG_HOME", people.dir.path()).output().unwrap();
        let told = format!("tej: use it with --identity {}\n", people.path("tej/identity.pem"));
        assert!(stderr(&output).ends_with(&told), "{output:?}");
        assert_eq!(stderr(&output).contains("made"), made);
    }
}

#[cfg(unix)]
#[test]
fn an_identity_that_others_can_read_is_told_of() {
    use std::os::unix::fs::PermissionsExt;

    let people = People::new();
    let (path, fingerprint) = people.identity("b.pem");
    let options = ["--identity", &path, "--peer", &fingerprint];
    for (mode, is_open) in [(0o600, false), (0o640, true), (0o604, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let told = format!("tej: others can read {path}, and pass for you: chmod 600 {path}\n");
        for arguments in [
            &["identity", &path][..],
            &[&["send", "127.0.0.1:1"], &options[..]].concat(),
            &[&["ping", "127.0.0.1:1"], &options[..]].concat(),
            &[&["recv", "--connect", "127.0.0.1:1"], &options[..]].concat(),
        ] {
            let output = Tej::run(arguments);
            assert_eq!(stderr(&output).contains(&told), is_open, "{mode:o}: {output:?}");
        }
    }
}

#[test]
fn a_file_goes_between_two_people_who_pinned_each_other() {
    let people = People::new();
    let (ours, our_fingerprint) = people.identity("ours");
    let (theirs, their_fingerprint) = people.identity("theirs");
    let content: Vec<_> = (0..5_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let file = people.path("big.bin");
    fs::write(&file, &content).unwrap();
    let inbox = people.path("inbox");
    let arguments =
        ["--identity", &theirs, "--peer", &our_fingerprint, "--digest", "--once", "--dir", &inbox];
    let (tej, addr) = listen(&arguments);
    let output =
        Tej::run(&["send", &addr, &file, "-m", "hi", "--identity", &ours, "--peer", &their_fingerprint]);
    assert!(output.status.success(), "{output:?}");
    let (events, status) = tej.finish();
    assert!(status.success(), "{events:?}");
    let received = events.iter().find(|event| event["event"] == "file").unwrap();
    assert_eq!(received["sha256"], sha256(&content));
    assert_eq!(sha256(&fs::read(Path::new(&inbox).join("big.bin")).unwrap()), sha256(&content));
}

#[test]
fn the_sender_may_listen_and_the_receiver_connect() {
    let people = People::new();
    let (ours, our_fingerprint) = people.identity("ours");
    let (theirs, their_fingerprint) = people.identity("theirs");
    let arguments = [
        "send",
        "--listen",
        "127.0.0.1:0",
        "--json",
        "-m",
        "hi",
        "--identity",
        &theirs,
        "--peer",
        &our_fingerprint,
    ];
    let mut tej = Tej::spawn(Tej::command(&arguments).stderr(Stdio::null()));
    let addr = tej.listening();
    // Whoever is not expected does not take the place of the one who is.
    let stranger = Tej::run(&["recv", "--connect", &addr, "--peer", &their_fingerprint]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(stderr(&stranger).contains("give --identity"), "{stranger:?}");
    let output = Tej::run(&[
        "recv",
        "--connect",
        &addr,
        "--json",
        "--identity",
        &ours,
        "--peer",
        &their_fingerprint.to_uppercase(),
    ]);
    assert!(output.status.success(), "{output:?}");
    assert!(json_lines(&output.stdout).iter().any(|event| event["text"] == "hi"));
    let (events, status) = tej.finish();
    assert!(status.success(), "{events:?}");
}

#[test]
fn pings_go_over_tls() {
    let people = People::new();
    let (theirs, fingerprint) = people.identity("theirs");
    let (tej, addr) = listen(&["--identity", &theirs, "--frames", "2"]);
    let output = Tej::run(&["ping", &addr, "--count", "2", "--interval", "0", "--peer", &fingerprint]);
    assert!(output.status.success(), "{output:?}");
    let (events, status) = tej.finish();
    assert!(status.success(), "{events:?}");
}

#[test]
fn a_client_says_whom_it_met_instead_and_what_to_do() {
    let people = People::new();
    let (theirs, their_fingerprint) = people.identity("theirs");
    let (_, other) = people.identity("other");
    let (_tej, addr) = listen(&["--identity", &theirs]);
    for arguments in [vec!["send", &addr, "-m", "x"], vec!["ping", &addr], vec!["recv", "--connect", &addr]] {
        let output = Tej::run(&[&arguments[..], &["--peer", &other]].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = stderr(&output);
        for part in [&their_fingerprint, &other, "--peer"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[test]
fn a_listener_says_whom_it_met_instead_and_the_client_that_it_was_refused() {
    let people = People::new();
    let (ours, our_fingerprint) = people.identity("ours");
    let (theirs, their_fingerprint) = people.identity("theirs");
    let (_, other) = people.identity("other");
    let (mut tej, addr) = listen(&["--identity", &theirs, "--peer", &other]);
    // More than goes at once: what the listener says of it must still arrive.
    let file = people.path("big.bin");
    fs::write(&file, vec![0; 8 << 20]).unwrap();
    for arguments in [vec!["send", &addr, "-m", "x"], vec!["send", &addr, &file], vec!["ping", &addr]] {
        let all = [&arguments[..], &["--identity", &ours, "--peer", &their_fingerprint]].concat();
        let output = Tej::run(&all);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = stderr(&output);
        assert!(text.contains("does not accept our certificate") && text.contains("tej identity"), "{text}");
        let error = tej.wait_for("error");
        assert_eq!(error["kind"], "tls");
        let detail = error["detail"].as_str().unwrap();
        for part in [&our_fingerprint, &other, "--peer"] {
            assert!(detail.contains(part), "{part}: {detail}");
        }
    }
    let output = Tej::run(&["ping", &addr, "--peer", &their_fingerprint]);
    assert!(stderr(&output).contains("--identity"), "{output:?}");
    let error = tej.wait_for("error");
    assert!(error["detail"].as_str().unwrap().contains("no certificate"), "{error}");
}

/// The options for who has a certificate of `authority` for `name`.
fn options(authority: &Authority, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Vec<String> {
    let [certificate, key] = authority.sign(name, change);
    let paths = [("--tls-cert", certificate), ("--tls-key", key), ("--tls-ca", authority.certificate())];
    paths
        .into_iter()
        .flat_map(|(option, path)| [option.to_owned(), path.to_str().unwrap().to_owned()])
        .collect()
}

fn refs(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

#[test]
fn people_with_an_authority_know_each_other_by_it() {
    let authority = Authority::new();
    let (server, client) = (options(&authority, "localhost", |_| {}), options(&authority, "client", |_| {}));
    let (mut tej, addr) = listen(&refs(&server));
    let port = addr.rsplit_once(':').unwrap().1;
    let named = format!("localhost:{port}");
    let send = |addr: &str, options: &[String]| {
        Tej::run(&[&["send", addr, "-m", "hi"], &refs(options)[..]].concat())
    };
    let output = send(&named, &client);
    assert!(output.status.success(), "{output:?}");
    tej.wait_for("frame_end");
    // A certificate for a name is none for an address.
    let output = send(&addr, &client);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("not valid for name \"127.0.0.1\"") && text.contains("localhost"), "{text}");
    // Who shows no certificate, or an old one, is refused.
    let nobody = [client[4].clone(), client[5].clone()];
    let output = send(&named, &nobody);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("wants a certificate"), "{output:?}");
    let old = options(&authority, "old", |parameters| parameters.not_after = date_time_ymd(2001, 1, 1));
    let output = send(&named, &old);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("CertificateExpired"), "{output:?}");
}

#[test]
fn an_expired_server_is_refused() {
    let authority = Authority::new();
    let old = options(&authority, "localhost", |parameters| parameters.not_after = date_time_ymd(2001, 1, 1));
    let (_tej, addr) = listen(&refs(&old)[..4]);
    let named = format!("localhost:{}", addr.rsplit_once(':').unwrap().1);
    let output = Tej::run(&["ping", &named, "--tls-ca", &old[5]]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("expired"), "{output:?}");
}

// case 37
#[test]
fn plaintext_to_a_tls_port_says_so_on_both_sides() {
    let people = People::new();
    let (theirs, _) = people.identity("theirs");
    let (mut tej, addr) = listen(&["--identity", &theirs]);
    let file = people.path("big.bin");
    fs::write(&file, vec![0; 8 << 20]).unwrap();
    for content in [["-m", "x"], ["--", &file]] {
        let output = Tej::run(&[&["send", &addr], &content[..]].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains("the peer speaks TLS: give --peer"), "{output:?}");
        let error = tej.wait_for("error");
        assert_eq!(error["kind"], "tls");
        assert!(error["detail"].as_str().unwrap().contains("is not TLS"), "{error}");
    }
}

#[test]
fn tls_to_a_plaintext_port_says_so_on_both_sides() {
    let people = People::new();
    let (_, fingerprint) = people.identity("theirs");
    let (mut tej, addr) = listen(&[]);
    let output = Tej::run(&["send", &addr, "-m", "x", "--peer", &fingerprint]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("does it speak TLS"), "{output:?}");
    let error = tej.wait_for("error");
    assert_eq!((&error["kind"], &error["offset"]), (&"bad_start_bit".into(), &0.into()));
    assert!(error["detail"].as_str().unwrap().contains("speaks TLS: give --identity"), "{error}");
}

// case 37
#[test]
fn a_handshake_that_stalls_ends_and_others_are_served_meanwhile() {
    let people = People::new();
    let (theirs, fingerprint) = people.identity("theirs");
    let (mut tej, addr) = listen(&["--identity", &theirs, "--timeout", "3"]);
    let start = Instant::now();
    let mut stalled = TcpStream::connect(&addr).unwrap();
    stalled.write_all(b"\x16\x03\x01\x01\x00\x01").unwrap();
    let output = Tej::run(&["send", &addr, "-m", "good", "--peer", &fingerprint]);
    assert!(output.status.success(), "{output:?}");
    tej.wait_for("frame_end");
    assert!(start.elapsed() < Duration::from_secs(3));
    let error = tej.wait_for("error");
    assert!(start.elapsed() >= Duration::from_secs(3));
    assert_eq!((&error["conn"], &error["kind"]), (&1.into(), &"tls".into()));
    assert!(error["detail"].as_str().unwrap().contains("too long over the TLS handshake"), "{error}");
    stalled.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(stalled.read(&mut [0]).unwrap(), 0);
}

/// Passes one connection on to `addr`, but of what the client sends only what `keep` makes of the whole.
fn proxy(addr: String, keep: impl FnOnce(Vec<u8>) -> Vec<u8> + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxied = listener.local_addr().unwrap().to_string();
    let passing = thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        let mut server = TcpStream::connect(addr).unwrap();
        let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
        // Its hello, without which the server says nothing.
        let mut hello = vec![0; 4096];
        let n = client.read(&mut hello).unwrap();
        server.write_all(&hello[..n]).unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        server.write_all(&keep(rest)).unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        let _ = server.read_to_end(&mut Vec::new());
    });
    (proxied, passing)
}

/// Where each record of TLS begins, and the end.
fn records(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    let mut at = 0;
    while let Some(&[high, low]) = bytes.get(at + 3..at + 5) {
        at += 5 + usize::from(u16::from_be_bytes([high, low]));
        starts.push(at);
    }
    starts
}

// case 37
#[test]
fn a_connection_that_is_cut_off_is_no_success() {
    let people = People::new();
    let (theirs, fingerprint) = people.identity("theirs");
    for (cut, kind) in [(0, None), (1, Some("closed")), (2, Some("truncated"))] {
        let (tej, addr) = listen(&["--identity", &theirs, "--once"]);
        let file = people.path("file");
        fs::write(&file, vec![0; 100_000]).unwrap();
        // The last record is the close_notify, the one before it the last of the frame.
        let (proxied, passing) = proxy(addr, move |mut bytes| {
            let records = records(&bytes);
            assert_eq!(records.last(), Some(&bytes.len()));
            bytes.truncate(records[records.len() - 1 - cut]);
            bytes
        });
        let _ = Tej::run(&["send", &proxied, &file, "--peer", &fingerprint]);
        let (events, status) = tej.finish();
        passing.join().unwrap();
        let error = events.iter().find(|event| event["event"] == "error");
        assert_eq!(error.map(|error| error["kind"].as_str().unwrap()), kind, "{events:?}");
        assert_eq!(status.success(), kind.is_none());
        assert_eq!(events.iter().any(|event| event["event"] == "frame_end"), cut < 2, "{events:?}");
        if kind == Some("closed") {
            assert!(error.unwrap()["detail"].as_str().unwrap().contains("close_notify"), "{events:?}");
        }
    }
}

#[test]
fn a_listener_warns_once_of_what_it_leaves_open() {
    let people = People::new();
    let (theirs, fingerprint) = people.identity("theirs");
    let warnings = |addr: &str, options: &[&str]| {
        let arguments = [&["recv", "--json", "--listen", addr], options].concat();
        let mut tej = Tej::spawn(Tej::command(&arguments).stderr(Stdio::piped()));
        let addr = tej.listening().replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]");
        // By then it has said what it has to say.
        drop(TcpStream::connect(addr).unwrap());
        thread::sleep(Duration::from_millis(300));
        last_words(tej).lines().filter(|line| !line.contains('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(warnings("127.0.0.1:0", &[]), [""; 0]);
    let open = warnings("0.0.0.0:0", &[]);
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(open[0].contains("no encryption") && open[0].contains("--identity"), "{open:?}");
    let anyone = warnings("0.0.0.0:0", &["--identity", &theirs]);
    assert_eq!(anyone.len(), 1, "{anyone:?}");
    assert!(anyone[0].contains("any client") && anyone[0].contains("--peer"), "{anyone:?}");
    assert_eq!(warnings("0.0.0.0:0", &["--identity", &theirs, "--peer", &fingerprint]), [""; 0]);
}

#[test]
fn contradictions_are_usage_errors_that_teach() {
    let people = People::new();
    let (ours, fingerprint) = people.identity("ours");
    let missing = people.path("missing");
    let (listen, connect) = (["recv", "--listen", "127.0.0.1:0"], ["recv", "--connect", "127.0.0.1:9"]);
    let cases: &[(&[&str], &[&str], &str)] = &[
        (&connect, &["--identity", &ours], "whom do you expect? Give --peer FINGERPRINT"),
        (&["send", "127.0.0.1:9"], &["--identity", &ours], "whom do you expect?"),
        (&["ping", "127.0.0.1:9"], &["--identity", &ours], "whom do you expect?"),
        (&listen, &["--peer", &fingerprint], "must say who it is: give --identity"),
        (&["send", "--listen", "127.0.0.1:0"], &["--peer", &fingerprint], "must say who it is"),
        (&listen, &["--tls-ca", &ours], "must say who it is"),
        (&listen, &["--identity", &missing], "tej identity"),
        (&listen, &["--identity", &ours, "--tls-cert", &ours], "give --identity, or --tls-cert"),
        (&listen, &["--tls-cert", &ours], "give both"),
        (&listen, &["--tls-key", &ours], "give both"),
        (&connect, &["--peer", &fingerprint, "--tls-ca", &ours], "give one of them"),
        (&connect, &["--tls-ca", &missing], "--tls-ca: cannot read"),
        (&connect, &["--peer", &fingerprint[1..]], "64 hexadecimal digits"),
    ];
    for (command, options, teaching) in cases {
        let output = Tej::run(&[*command, options].concat());
        assert_eq!(output.status.code(), Some(2), "{options:?}: {output:?}");
        assert!(stderr(&output).contains(teaching), "{options:?}: {output:?}");
    }
}
