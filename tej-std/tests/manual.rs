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
    let page = fs::read_to_string(dir.join("tej.1")).unwrap();
    assert!(page.contains(".SH EXAMPLES") && !page.contains(".SH EXTRA"), "{page}");
    let printed = Tej::command(&["man"]).current_dir(scratch.path()).output().unwrap();
    assert!(printed.status.success());
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), page);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "it wrote files that nobody asked for");
    let page = fs::read_to_string(dir.join("tej-recv.1")).unwrap();
    assert!(page.contains(r"\-\-max\-connections"), "{page}");

    let taken = scratch.path().join("file");
    fs::write(&taken, "").unwrap();
    let output = Tej::run(&["man", "--dir", taken.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("file"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_completions_while_their_reader_waits() {
    use std::process::Stdio;
    use std::thread;
    use std::time::Duration;

    use rustix::process::{Pid, Signal, kill_process};

    // The reader is a pipe that holds less than they are.
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let mut command = Tej::command(&["completions", "bash"]);
    let mut child = command.stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    let waits = || {
        for _ in 0..1000 {
            if rustix::io::ioctl_fionread(&reader).unwrap() >= 4096 {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    };
    assert!(waits());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    for _ in 0..1000 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let ended = child.try_wait().unwrap();
    let _ = child.kill();
    assert_eq!(ended.expect("it goes on").code(), Some(1));
}
