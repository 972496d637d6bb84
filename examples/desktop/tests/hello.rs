//! The two programs talk to each other.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

#[test]
fn client_and_server_greet_each_other() {
    let mut server = Server(
        Command::new(env!("CARGO_BIN_EXE_hello-server"))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let listening = lines.next().unwrap();
    let addr = listening.strip_prefix("listening on ").unwrap();
    let client = Command::new(env!("CARGO_BIN_EXE_hello-client"))
        .args([addr, file!()])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(client.status.success(), "{client:?}");
    assert_eq!(String::from_utf8_lossy(&client.stdout), "the peer says \"Hello\"\n");

    let seen: Vec<_> = lines.by_ref().take(3).collect();
    let size = std::fs::metadata(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hello.rs")).unwrap().len();
    assert!(seen[0].ends_with(&format!("sends \"hello.rs\", {size} bytes")), "{seen:?}");
    assert!(seen[1].ends_with("says \"Sending from client\""), "{seen:?}");
    assert!(seen[2].ends_with("is done"), "{seen:?}");
}

/// Ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `file!()` is relative to the workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
