//! What is generated from the command line's definition.

mod common;

use std::fs;

use common::Tej;

const COMMANDS: [&str; 5] = ["send", "recv", "ping", "encode", "decode"];

#[test]
fn completions_know_every_command_and_option() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = Tej::run(&["completions", shell]);
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        for word in COMMANDS.into_iter().chain(["max-per-address", "explain"]) {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let output = Tej::run(&["completions", "abacus"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn there_is_a_page_for_every_command() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("man/man1");
    assert!(Tej::run(&["man", "--dir", dir.to_str().unwrap()]).status.success());
    for command in COMMANDS {
        let page = fs::read_to_string(dir.join(format!("tej-{command}.1"))).unwrap();
        assert!(page.contains(".SH OPTIONS") && page.contains(".SH NAME"), "{page}");
    }
    let page = fs::read_to_string(dir.join("tej-recv.1")).unwrap();
    assert!(page.contains(r"\-\-max\-connections"), "{page}");

    let taken = scratch.path().join("file");
    fs::write(&taken, "").unwrap();
    let output = Tej::run(&["man", "--dir", taken.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("file"));
}
