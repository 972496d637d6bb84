//! What a terminal shows while files are under way.
#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use common::Tej;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Sends three files to a peer that takes its time; what it shows on a terminal meanwhile.
fn shown(arguments: &[&str]) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let ours = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let size = rustix::termios::Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&ours, size).unwrap();

    let scratch = tempfile::tempdir().unwrap();
    let files: Vec<_> = ["one.bin", "two.bin", "three.bin"]
        .map(|name| {
            let path = scratch.path().join(name);
            fs::write(&path, vec![1; 5 << 20]).unwrap();
            path.into_os_string().into_string().unwrap()
        })
        .to_vec();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = vec![0; 1 << 20];
        while stream.read(&mut buffer).unwrap() > 0 {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let mut command = Tej::command(&["send", &addr]);
    command.args(&files).args(arguments).env("TERM", "xterm").stdout(Stdio::null()).stderr(ours);
    let mut child = command.spawn().unwrap();
    drop(command);
    let reader = thread::spawn(move || {
        let (mut screen, mut terminal) = (Vec::new(), File::from(terminal));
        // It fails once nobody has the other end any more.
        let _ = terminal.read_to_end(&mut screen);
        String::from_utf8_lossy(&screen).into_owned()
    });
    assert!(child.wait().unwrap().success());
    peer.join().unwrap();
    reader.join().unwrap()
}

#[test]
fn each_large_file_and_the_total_have_a_line() {
    let screen = shown(&[]);
    for text in ["one.bin", "two.bin", "three.bin", "5.00 MiB", "MiB/s", "1 done", "2 done", "in all"] {
        assert!(screen.contains(text), "{text}: {screen:?}");
    }
    // The total ends with what is left of the time.
    let total = screen.split("/ 15.00 MiB   in all").nth(1).unwrap_or_else(|| panic!("{screen:?}"));
    let left = total.split("iB/s").nth(1).unwrap().trim_start();
    let seconds = left.trim_start_matches(|c: char| c.is_ascii_digit());
    assert!(seconds.len() < left.len() && seconds.starts_with('s'), "{total:?}");
}

#[test]
fn nothing_is_shown_where_nobody_wants_it() {
    assert_eq!(shown(&["--progress", "never"]), "");
    assert_eq!(shown(&["--json"]), "");
}
