//! `tej decode --explain`, on the real binary.

mod common;

use std::io::Write;
use std::process::Stdio;
#[cfg(target_os = "linux")]
use std::{thread, time::Duration};

use common::{Tej, frame_with};

const PING: &[u8] = b"\x82\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// What it prints, and its exit status.
fn explain(stream: &[u8]) -> (String, Option<i32>) {
    let mut command = Tej::command(&["decode", "--explain"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // It may have seen enough before it has read all.
    let _ = child.stdin.take().unwrap().write_all(stream);
    let output = child.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

/// A frame with a file whose name is announced as `name_len` bytes.
fn frame(name_len: u16, name: &str, content: &[u8], message: &[u8]) -> Vec<u8> {
    let mut frame = frame_with(20, &[(name.as_bytes(), content)], message);
    frame[10..12].copy_from_slice(&name_len.to_be_bytes());
    frame
}

#[test]
fn every_field_has_its_offset_its_bytes_and_its_meaning() {
    let stream = [&frame(5, "a.txt", b"hi", "é\u{1b}".as_bytes())[..], PING].concat();
    let (text, code) = explain(&stream);
    let expected = "\
offset (hex)  bytes                      field
00000000      94                         start bit 1, status 20
00000001      01                         version 1
00000002      00 00 00 00 00 00 00 01    number of files: 1
0000000a      00 05                      length of the file's name: 5
0000000c      61 2e 74 78 74             name: a.txt
00000011      00 00 00 00 00 00 00 02    length of the file: 2
00000019      68 69                      file data, 2 bytes: hi
0000001b      00 00 00 00 00 00 00 03    length of the message: 3
00000023      c3 a9 1b                   message, 3 bytes: é\\u{1b}
                                         end of the frame: 38 bytes
00000026      82                         start bit 1, status 2, a ping
00000027      01                         version 1
00000028      00 00 00 00 00 00 00 00    number of files: 0
00000030      00 00 00 00 00 00 00 00    length of the message: 0
                                         end of the frame: 18 bytes
";
    assert_eq!(text, expected);
    assert_eq!(code, Some(0));
}

#[test]
fn a_field_that_is_cut_off_is_named_and_so_are_those_before_it() {
    let stream = frame(5, "a.txt", b"hi", b"m");
    let version = b"\x85\x02";
    for (stream, lines) in [
        (&stream[..1], &["00      94                         start bit 1, status 20"][..]),
        (&stream[..5], &["02      00 00 00                   number of files, cut off after 3 of 8 bytes"]),
        (
            &stream[..11],
            &["0a      00                         length of the file's name, cut off after 1 of 2 bytes"],
        ),
        (
            &stream[..14],
            &[
                "0a      00 05                      length of the file's name: 5",
                "0c      61 2e                      name, cut off after 2 of 5 bytes",
            ],
        ),
        (
            &stream[..20],
            &[
                "0c      61 2e 74 78 74             name: a.txt",
                "11      00 00 00                   length of the file, cut off after 3 of 8 bytes",
            ],
        ),
        (
            &stream[..30],
            &["1b      00 00 00                   length of the message, cut off after 3 of 8 bytes"],
        ),
        (
            version,
            &[
                "00      85                         start bit 1, status 5",
                "01      02                         FAULT",
            ],
        ),
    ] {
        let (text, _) = explain(stream);
        for line in lines {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}

#[test]
fn payload_of_any_size_takes_a_line() {
    let (text, code) = explain(&frame(1, "n", &vec![0xab; 300_000], b""));
    assert!(text.contains("ab ab ab ab ab ab ab ab …  file data, 300000 bytes\n"), "{text}");
    assert_eq!((text.lines().count(), code), (10, Some(0)));
}

#[test]
fn the_likely_cause_of_a_fault_is_told() {
    let characters = "counts name characters instead of bytes";
    // Such a name swallows the first bytes of the file's length, so that it is huge or, with many zeros, short.
    for name in ["é", "éa", "日本語", "naïve café.txt"] {
        let count = u16::try_from(name.chars().count()).unwrap();
        for content in [&b""[..], b"x", &[7; 1000]] {
            assert_likely(&frame(count, name, content, b"m"), characters);
        }
    }
    let good = frame(2, "é", b"data", b"m");
    assert_likely(&[&good[..], b"\0"].concat(), "a length in the frame that ends here is too small");
    assert_likely(b"GET / HTTP/1.1\r\n", "an HTTP request");
    assert_likely(b"\x16\x03\x01\x02\0\x01", "TLS");
    assert_likely(b"\0", "does not speak TEJ");
    assert_likely(b"\x80\x02", "a version that this program does not know");
    assert_likely(b"\x80\x01\x05\0\0\0\0\0\0\0", "lowest byte first (5 would make sense)");
    assert_likely(b"\x80\x01\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", "lost its place");
    for cut in 1..good.len() {
        let (text, code) = explain(&good[..cut]);
        let likely = text.lines().last().unwrap();
        let last = match cut {
            ..12 => "",
            12 => ": the last, at 10 (0xa), announced 2 bytes and 0 came",
            14..22 => ": the last, at 10 (0xa), announced 2 bytes and all of them came",
            22..26 => &format!(": the last, at 14 (0xe), announced 4 bytes and {} came", cut - 22),
            26..34 => ": the last, at 14 (0xe), announced 4 bytes and all of them came",
            34 => ": the last, at 26 (0x1a), announced 1 bytes and 0 came",
            // In the middle of a letter it is something else.
            _ => continue,
        };
        let wrong = if last.is_empty() { "" } else { ", or a length before is wrong" };
        assert_eq!(likely, format!("likely: the stream was cut here{wrong}{last}"), "{cut}: {text}");
        assert_eq!(code, Some(1));
    }
}

#[test]
fn a_wrong_length_is_pointed_at() {
    let last = "the stream was cut here, or a length before is wrong: the last, at";
    let name = frame(0xffff, "a.txt", b"hi", &[b'm'; 25]);
    assert_likely(&name, &format!("{last} 10 (0xa), announced 65535 bytes and 48 came"));
    // The length of the second name begins with the last byte of the first file.
    let mut file = frame_with(20, &[(b"a", b"hi"), (b"b", b"x")], b"m");
    file[20] = 1;
    assert_likely(&file, &format!("{last} 22 (0x16), announced 26880 bytes and 20 came"));
    let (text, _) = explain(&name);
    assert!(
        text.contains("FAULT: the input ended inside a frame (at byte 60 = 0x3c of the stream)"),
        "{text}"
    );
}

#[test]
fn an_empty_input_is_said_to_be_empty() {
    assert_eq!(explain(b""), ("no frame: the input is empty\n".to_owned(), Some(0)));
}

fn assert_likely(stream: &[u8], cause: &str) {
    let (text, code) = explain(stream);
    let likely = text.lines().find(|line| line.starts_with("likely: ")).unwrap_or_else(|| panic!("{text}"));
    assert!(likely.contains(cause), "{stream:02x?}: {text}");
    assert!(text.contains("FAULT: "), "{text}");
    assert_eq!(code, Some(1));
}

#[test]
fn what_nobody_reads_is_no_success() {
    for stream in [&b"\x80\x02"[..], PING] {
        let mut command = Tej::command(&["decode", "--explain"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        drop(child.stdout.take());
        child.stdin.take().unwrap().write_all(stream).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{stream:02x?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_it_while_its_reader_waits() {
    use rustix::process::{Pid, Signal, kill_process};
    let mut command = Tej::command(&["decode", "--explain"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writing = thread::spawn(move || {
        // Its lines are many times as long, and more than a pipe holds. It ends before it has read all.
        let _ = stdin.write_all(&PING.repeat(100_000));
    });
    let stdout = child.stdout.take().unwrap();
    until(|| (rustix::io::ioctl_fionread(&stdout).unwrap() > 0).then_some(()));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = until(|| child.try_wait().unwrap());
    let _ = child.kill();
    writing.join().unwrap();
    assert_eq!(ended.expect("it goes on").code(), Some(1));
}

/// What comes of asking again and again for a minute.
#[cfg(target_os = "linux")]
fn until<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    (0..6000).find_map(|_| {
        let answer = ask();
        if answer.is_none() {
            thread::sleep(Duration::from_millis(10));
        }
        answer
    })
}
