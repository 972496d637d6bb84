//! `tej` against the Python original, both ways: `tej-protoc` 0.2.4, in the interpreter that `TEJ_PYTHON` names.
//!
//! Built only with the feature `interop`; `cargo xtask test` sets the interpreter up and turns it on.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};

use common::{Tej, json_lines, sha256};
use serde_json::Value;

#[test]
fn python_client_sends_messages() {
    let (events, ok) = receive_from("messages", &[]);
    let messages: Vec<_> = events.iter().filter(|e| e["event"] == "message").collect();
    let texts: Vec<_> = messages.iter().map(|m| m["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["Hello", "café", ""]);
    let statuses: Vec<_> = events.iter().filter_map(|e| e["status"].as_u64()).collect();
    assert_eq!(statuses, [0, 127, 5]);
    assert!(ok);
}

#[test]
fn python_client_sends_several_files() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("in");
    let (events, ok) = receive_from("files", &["--dir", dir.to_str().unwrap()]);
    let files: Vec<_> = events.iter().filter(|e| e["event"] == "file").collect();
    let names: Vec<_> = files.iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.txt", "empty", "b.bin"]);
    assert_eq!(fs::read(dir.join("a.txt")).unwrap(), b"hi");
    assert_eq!(fs::read(dir.join("empty")).unwrap(), b"");
    assert_eq!(fs::read(dir.join("b.bin")).unwrap(), pattern(100_000, 1));
    assert!(ok);
}

#[test]
fn python_client_sends_a_large_file() {
    let (events, ok) = receive_from("large", &[]);
    let file = events.iter().find(|e| e["event"] == "file").unwrap();
    assert_eq!(file["size"], 32 << 20);
    assert_eq!(file["sha256"], sha256(&pattern(32 << 20, 2)));
    assert!(ok);
}

#[test]
fn python_client_pings() {
    let (events, ok) = receive_from("pings", &[]);
    let statuses: Vec<_> = events.iter().filter_map(|e| e["status"].as_u64()).collect();
    assert!(statuses.len() >= 2, "{events:?}");
    assert!(statuses.iter().all(|&status| status == 2), "{events:?}");
    assert!(ok);
}

#[test]
fn python_server_receives_messages_and_answers() {
    let mut server = PythonServer::start();
    let sent = server.send(&["-m", "Hello", "--status", "9", "--replies", "1"]);
    let frame = server.next();
    assert_eq!((&frame["kind"], &frame["status"]), (&"received".into(), &9.into()));
    assert_eq!(frame["sha256"], sha256(b"Hello"));
    assert_eq!(server.next()["kind"], "disconnected");
    let answer = sent.iter().find(|e| e["event"] == "message").unwrap();
    assert_eq!(answer["text"], "got 0");
    assert_eq!(sent.iter().find(|e| e["event"] == "frame_start").unwrap()["status"], 7);
}

#[test]
fn python_server_receives_files_with_non_ascii_names() {
    let scratch = tempfile::tempdir().unwrap();
    let files = [("a.txt", b"hi".to_vec()), ("é ü.bin", pattern(70_000, 3)), ("日本語", vec![])];
    let mut arguments = vec!["-m", "three", "--replies", "1"];
    let paths: Vec<_> = files
        .iter()
        .map(|(name, data)| {
            let path = scratch.path().join(name);
            fs::write(&path, data).unwrap();
            path.into_os_string().into_string().unwrap()
        })
        .collect();
    arguments.extend(paths.iter().map(String::as_str));
    let mut server = PythonServer::start();
    server.send(&arguments);
    let frame = server.next();
    let received: Vec<_> = frame["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["name"].as_str().unwrap(), f["sha256"].as_str().unwrap().to_owned()))
        .collect();
    let expected: Vec<_> = files.iter().map(|(name, data)| (*name, sha256(data))).collect();
    assert_eq!(received, expected);
    assert_eq!(frame["sha256"], sha256(b"three"));
}

#[test]
fn python_server_receives_a_large_file() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("large.bin");
    let data = pattern(32 << 20, 4);
    fs::write(&path, &data).unwrap();
    let mut server = PythonServer::start();
    server.send(&[path.to_str().unwrap(), "--replies", "1"]);
    let frame = server.next();
    assert_eq!(frame["files"][0]["size"], 32 << 20);
    assert_eq!(frame["files"][0]["sha256"], sha256(&data));
}

#[test]
fn python_server_receives_pings() {
    let mut server = PythonServer::start();
    let target = server.target();
    let output = Tej::run(&["ping", &target, "--count", "3", "--interval", "0.05"]);
    assert!(output.status.success(), "{output:?}");
    for _ in 0..3 {
        assert_eq!(server.next()["kind"], "ping");
    }
    assert_eq!(server.next()["kind"], "disconnected");
}

/// The examples of the original's documentation, as they stand there. Both use port 8000.
#[test]
fn the_examples_of_its_documentation_run_unmodified() {
    if let Err(error) = TcpListener::bind("localhost:8000") {
        panic!("the examples need port 8000 of localhost, which another program has: {error}");
    }
    let examples = documented_examples();
    let find = |what: &str| examples.iter().find(|example| example.contains(what)).expect(what);
    let (server, client) = (find("TPServer("), find("TPClient("));
    let scratch = tempfile::tempdir().unwrap();
    let photo = scratch.path().join("photo.jpg");
    fs::write(&photo, "not a photo").unwrap();
    let photo = photo.to_str().unwrap();

    let mut child = example(server).stdout(Stdio::piped()).spawn().unwrap();
    let sent = until_it_listens(|| {
        Tej::run(&["send", "localhost:8000", photo, "-m", "from tej", "--replies", "1", "--json"])
    });
    let events = json_lines(&sent.stdout);
    assert_eq!(events.iter().find(|event| event["event"] == "message").unwrap()["text"], "Hello");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let printed: Vec<_> = lines.by_ref().take(3).collect();
    assert_eq!(printed, ["---- Received in server ----", "photo.jpg", "Message:  from tej"]);
    child.kill().unwrap();
    child.wait().unwrap();

    let arguments =
        ["send", "--listen", "127.0.0.1:8000", photo, "-m", "from tej", "--replies", "1", "--json"];
    let mut tej = Tej::start(&arguments);
    tej.listening();
    let output = example(client).output().unwrap();
    let (events, status) = tej.finish();
    assert!(status.success(), "{events:?}");
    let answer = events.iter().find(|event| event["event"] == "message").unwrap();
    assert_eq!(answer["text"], "Sending from client");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("Filename: photo.jpg\nMessage: from tej\n"), "{printed}");
}

#[test]
fn every_public_name_of_the_package_is_in_our_table() {
    let names = "
import importlib, inspect, pkgutil, tej_protoc
for module in pkgutil.iter_modules(tej_protoc.__path__):
    module = importlib.import_module('tej_protoc.' + module.name)
    for name, value in vars(module).items():
        of_it = inspect.isclass(value) or inspect.isfunction(value)
        if name.startswith('_') or not of_it or value.__module__ != module.__name__:
            continue
        print(name)
        if inspect.isclass(value):
            print(*[name for name in vars(value) if not name.startswith('_')], sep='\\n')
";
    let output = interpreter().args(["-c", names]).output().unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/from-python.md")).unwrap();
    // The first column, and no more of the page: many of the names are words, and many are ours, too.
    let column: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| ")?.split('|').next()).collect();
    let known: Vec<_> = column
        .iter()
        .flat_map(|cell| cell.split(|c: char| !(c.is_alphanumeric() || c == '_')))
        .filter(|word| !word.is_empty())
        .collect();
    let names: Vec<_> = names.split_whitespace().collect();
    assert!(names.len() > 40, "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !known.contains(name)).collect();
    assert!(missing.is_empty(), "not in the first column of docs/from-python.md: {missing:?}");
}

/// The Python programs in the package's own description.
fn documented_examples() -> Vec<String> {
    let description = "import importlib.metadata as m; print(m.metadata('tej-protoc').get_payload())";
    let output = interpreter().args(["-c", description]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let blocks = text.split("```python").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

fn example(program: &str) -> Command {
    let mut command = interpreter();
    command.args(["-u", "-c", program]);
    command
}

/// Tries until somebody listens.
fn until_it_listens(attempt: impl Fn() -> std::process::Output) -> std::process::Output {
    for _ in 0..100 {
        let output = attempt();
        if output.status.success() {
            return output;
        }
        assert!(String::from_utf8_lossy(&output.stdout).contains("refused"), "{output:?}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("nobody listens on port 8000");
}

/// Lets the Python client send `scenario` to `tej recv --once`; what it reported, and whether both ended well.
fn receive_from(scenario: &str, arguments: &[&str]) -> (Vec<Value>, bool) {
    let mut all = vec!["recv", "--listen", "127.0.0.1:0", "--once", "--digest", "--json"];
    all.extend(arguments);
    let mut tej = Tej::start(&all);
    let addr = tej.listening();
    let port = addr.rsplit_once(':').unwrap().1;
    let client = python(&["client", port, scenario]).status().unwrap();
    let (events, status) = tej.finish();
    (events, client.success() && status.success())
}

/// The original's server, ended with the test.
struct PythonServer {
    child: Child,
    lines: BufReader<ChildStdout>,
    port: u64,
}

impl PythonServer {
    fn start() -> Self {
        let mut child = python(&["server"]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, lines, port: 0 };
        server.port = server.next()["port"].as_u64().unwrap();
        server
    }

    fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Sends with `tej send`, which must succeed, and returns its events.
    fn send(&self, arguments: &[&str]) -> Vec<Value> {
        let target = self.target();
        let mut all = vec!["send", &target, "--json"];
        all.extend(arguments);
        let output = Tej::run(&all);
        assert!(output.status.success(), "{output:?}");
        json_lines(&output.stdout)
    }

    /// What the server reports next.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn interpreter() -> Command {
    let interpreter = std::env::var_os("TEJ_PYTHON")
        .expect("TEJ_PYTHON names an interpreter with tej-protoc 0.2.4; `cargo xtask test` sets it up");
    Command::new(interpreter)
}

fn python(arguments: &[&str]) -> Command {
    let mut command = interpreter();
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/peer.py")).args(arguments);
    command
}

/// As `pattern` of `peer.py`.
fn pattern(size: usize, seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 32);
    for n in 0.. {
        if bytes.len() >= size {
            break;
        }
        bytes.extend(common::sha256_bytes(format!("{seed}:{n}").as_bytes()));
    }
    bytes.truncate(size);
    bytes
}
