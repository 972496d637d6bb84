//! The two programs talk to each other.

mod common;

use std::process::Command;

use common::Running;

#[test]
fn client_and_server_greet_each_other() {
    let mut server = Running::start(Command::new(env!("CARGO_BIN_EXE_hello-server")).arg("127.0.0.1:0"));
    let listening = server.line();
    let addr = listening.strip_prefix("listening on ").unwrap();
    let client = Command::new(env!("CARGO_BIN_EXE_hello-client"))
        .args([addr, file!()])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(client.status.success(), "{client:?}");
    assert_eq!(String::from_utf8_lossy(&client.stdout), "the peer says \"Hello\"\n");

    let seen = [server.line(), server.line(), server.line()];
    let size = std::fs::metadata(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hello.rs")).unwrap().len();
    assert!(seen[0].ends_with(&format!("sends \"hello.rs\", {size} bytes")), "{seen:?}");
    assert!(seen[1].ends_with("says \"Sending from client\""), "{seen:?}");
    assert!(seen[2].ends_with("is done"), "{seen:?}");
}

#[test]
fn a_port_in_use_is_said_to_be() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_hello-server")).arg(&addr).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.starts_with(&format!("cannot listen on {addr}: ")), "{complaint}");
}

/// `file!()` is relative to the workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
