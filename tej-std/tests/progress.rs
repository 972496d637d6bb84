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
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// What a command is about to be shown on, and to whom it sends.
struct Shown {
    columns: u16,
    /// It is interrupted after so long.
    interrupted: Option<Duration>,
}

const WIDE: Shown = Shown { columns: 120, interrupted: None };

impl Shown {
    /// Sends three files to a peer that takes its time; what it shows on a terminal meanwhile.
    fn by(&self, arguments: &[&str]) -> String {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        let ours = OpenOptions::new().read(true).write(true).open(name).unwrap();
        let size = rustix::termios::Winsize { ws_row: 40, ws_col: self.columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&ours, size).unwrap();

        let scratch = tempfile::tempdir().unwrap();
        let files: Vec<_> = [("one.bin", 4), ("two.bin", 10), ("three.bin", 10)]
            .map(|(name, size)| {
                let path = scratch.path().join(name);
                fs::write(&path, vec![1; size << 20]).unwrap();
                path.into_os_string().into_string().unwrap()
            })
            .to_vec();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let peer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = vec![0; 1 << 20];
            while stream.read(&mut buffer).is_ok_and(|n| n > 0) {
                thread::sleep(Duration::from_millis(100));
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
        if let Some(after) = self.interrupted {
            thread::sleep(after);
            kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        }
        assert_eq!(child.wait().unwrap().success(), self.interrupted.is_none());
        peer.join().unwrap();
        reader.join().unwrap()
    }
}

/// The lines that were drawn, without what moves the cursor.
fn lines(screen: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut rest = screen.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' | '\n' => lines.push(String::new()),
            '\u{1b}' => {
                // CSI, up to its letter.
                let end = rest.by_ref().skip(1).find(char::is_ascii_alphabetic);
                if end != Some('m') {
                    lines.push(String::new());
                }
            }
            c => lines.last_mut().unwrap().push(c),
        }
    }
    lines
}

#[test]
fn each_large_file_and_the_total_have_a_line() {
    let screen = WIDE.by(&[]);
    for text in ["one.bin", "two.bin", "three.bin", "10 MiB", "iB/s", "█", "1 of 3 files", "2 of 3 files"] {
        assert!(screen.contains(text), "{text}: {screen:?}");
    }
    // Lines end with what is left of the time, once that can be told.
    let seconds = |line: &str| {
        let left = line.split("B/s").nth(1)?.trim();
        left.strip_suffix('s').and_then(|seconds| seconds.parse::<u64>().ok())
    };
    let lines = lines(&screen);
    let first = lines.iter().find(|line| line.starts_with("one.bin")).unwrap();
    assert_eq!(seconds(first), None, "{first:?}");
    let totals: Vec<_> = lines.iter().filter(|line| line.contains(" of 3 files")).collect();
    assert!(totals.iter().all(|line| line.contains(" / 24 MiB")), "{totals:?}");
    assert!(totals.iter().any(|line| seconds(line).is_some()), "{totals:?}");
}

#[test]
fn every_line_fits_the_terminal_and_leaves_room_to_interrupt() {
    for (columns, rate, bar) in [(80, true, true), (60, false, true), (40, false, false)] {
        let shown = Shown { columns, interrupted: Some(Duration::from_millis(1500)) };
        let screen = shown.by(&[]);
        let (bars, last) = screen.split_once("tej: ").unwrap_or_else(|| panic!("{screen:?}"));
        assert_eq!(last.trim_end(), "#1 closed: interrupted");
        for line in lines(bars) {
            // A terminal shows ^C behind it.
            assert!(line.trim_end().chars().count() + 2 < columns.into(), "{columns}: {line:?}");
        }
        assert!(bars.contains("one.bin") && bars.contains("of 3 files"), "{columns}: {bars:?}");
        assert_eq!(bars.contains("iB/s"), rate, "{columns}: {bars:?}");
        assert_eq!(bars.contains('░'), bar, "{columns}: {bars:?}");
    }
}

#[test]
fn nothing_is_shown_where_nobody_wants_it() {
    assert_eq!(WIDE.by(&["--progress", "never"]), "");
    assert_eq!(WIDE.by(&["--json"]), "");
}
