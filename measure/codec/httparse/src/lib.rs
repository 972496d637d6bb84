//! httparse: the head of an HTTP/1.1 response, whose code carries the status, and whose body is the message.
//!
//! It parses heads and nothing else. The body's length is read from its field here, and the body passes it by, so that
//! for pieces of a body what counts is this file's own counter. It takes whole heads: input in pieces is collected
//! until one is complete. It does not encode.

use std::{hint::black_box, mem::MaybeUninit};

use bytes::{Buf, BytesMut};
use httparse::{ParserConfig, Response, Status};
use measure::{
    Consumer, Decode, List,
    arrival::{Buffer, arrive},
    frame::{self, FRAMES, Frame, SLICE},
};

/// Whole responses out of a buffer.
pub fn messages(list: &mut impl List) {
    list.add("peer/httparse/decode/msg", "frame", FRAMES, || Whole::new(&frame::messages()));
}

/// Responses as reads come.
pub fn reads(list: &mut impl List) {
    for (row, read) in [
        ("peer/httparse/decode/msg/1460byte", 1460),
        ("peer/httparse/decode/msg/7byte", 7),
        ("peer/httparse/decode/msg/1byte", 1),
    ] {
        list.add(row, "frame", FRAMES, move || Reads::new(&frame::messages(), read));
    }
}

/// A large file, slice by slice.
pub fn slices(list: &mut impl List) {
    let slices = list.slices();
    list.add("peer/httparse/decode/file/64k", "slice", slices, move || Body::new(slices));
}

/// What is read from a head.
struct Head {
    status: u8,
    /// Bytes of the head itself.
    len: usize,
    /// Bytes that follow.
    body: u64,
}

/// Parses the head that `input` begins with; `None` if it is not complete.
fn head(input: &[u8]) -> Option<Head> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut response = Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut response, input, &mut fields);
    let Status::Complete(len) = parsed.expect("valid heads") else { return None };
    let body = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let body = std::str::from_utf8(body.expect("a length").value).expect("a number").parse();
    let status = response.code.and_then(|code| code.checked_sub(FIRST_CODE)?.try_into().ok());
    Some(Head { status: status.expect("a status"), len, body: body.expect("a number") })
}

fn wire(status: u8, size: usize) -> Vec<u8> {
    let code = FIRST_CODE + u16::from(status);
    format!("HTTP/1.1 {code} OK\r\nContent-Length: {size}\r\n\r\n").into_bytes()
}

fn stream(frames: &[Frame]) -> Vec<u8> {
    let response = |frame: &Frame| [wire(frame.status, frame.message.len()), frame.message.clone()].concat();
    frames.iter().flat_map(response).collect()
}

/// Responses back to back in one buffer.
struct Whole {
    stream: Vec<u8>,
}

impl Whole {
    fn new(frames: &[Frame]) -> Self {
        Self { stream: stream(frames) }
    }
}

impl Decode for Whole {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        let mut stream = black_box(self.stream.as_slice());
        while !stream.is_empty() {
            let head = head(stream).expect("whole heads");
            let body = usize::try_from(head.body).expect("a small body");
            let (message, rest) = stream[head.len..].split_at(body);
            consumer.frame_start(head.status);
            consumer.message_data(message);
            consumer.frame_end();
            stream = rest;
        }
    }
}

/// A stream of responses in reads of one size.
struct Reads {
    buffer: Buffer,
    stream: Vec<u8>,
    read: usize,
}

impl Reads {
    fn new(frames: &[Frame], read: usize) -> Self {
        Self { buffer: Buffer::default(), stream: stream(frames), read }
    }
}

impl Decode for Reads {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        let buffer = self.buffer.begin();
        let stream = black_box(self.stream.as_slice());
        let mut body = 0;
        // Bytes in the buffer that were found to be no whole head.
        let mut seen = 0;
        for read in stream.chunks(black_box(self.read)) {
            arrive(buffer, read);
            loop {
                if body > 0 {
                    body -= take_body(buffer, body, consumer);
                    if body > 0 {
                        break;
                    }
                    consumer.frame_end();
                }
                // As servers do: a head that drips is not parsed again before its end has come.
                if seen > 0 && !ends(buffer, seen) {
                    seen = buffer.len();
                    break;
                }
                let Some(head) = head(buffer) else {
                    seen = buffer.len();
                    break;
                };
                consumer.frame_start(head.status);
                buffer.advance(head.len);
                (body, seen) = (head.body, 0);
            }
        }
        assert_eq!(body, 0, "whole responses");
    }
}

/// Hands on what is there of the body, of which `body` bytes are due.
fn take_body(buffer: &mut BytesMut, body: u64, consumer: &mut impl Consumer) -> u64 {
    let len = usize::try_from(body).unwrap_or(usize::MAX).min(buffer.len());
    if len > 0 {
        consumer.message_data(&buffer[..len]);
        buffer.advance(len);
    }
    len as u64
}

/// Whether the end of a head lies in `buffer`, of which the first `seen` bytes have none.
fn ends(buffer: &[u8], seen: usize) -> bool {
    buffer[seen.saturating_sub(3)..].windows(4).any(|bytes| bytes == b"\r\n\r\n")
}

/// One response whose body is a file, in slices.
struct Body {
    head: Vec<u8>,
    slice: Vec<u8>,
    slices: usize,
}

impl Body {
    fn new(slices: usize) -> Self {
        let Frame { status, files, .. } = frame::large(slices);
        Self { head: wire(status, slices * SLICE), slice: files[0].1.clone(), slices }
    }
}

impl Decode for Body {
    fn decode<C: Consumer>(&mut self, consumer: &mut C) {
        let head = head(black_box(&self.head)).expect("a whole head");
        consumer.frame_start(head.status);
        consumer.file_start(&[], head.body);
        let mut body = head.body;
        for _ in 0..black_box(self.slices) {
            let read = black_box(self.slice.as_slice());
            let data = &read[..usize::try_from(body).unwrap_or(usize::MAX).min(read.len())];
            consumer.file_data(data);
            body -= data.len() as u64;
        }
        assert_eq!(body, 0, "a whole body");
        consumer.frame_end();
    }
}

/// The status 0 as a code of three digits.
const FIRST_CODE: u16 = 100;
const FIELDS: usize = 16;

#[cfg(test)]
mod tests {
    use measure::Checked;

    use super::*;

    #[test]
    fn every_case_delivers_what_was_sent() {
        let mut checked = Checked::default();
        messages(&mut checked);
        reads(&mut checked);
        slices(&mut checked);
        assert_eq!(checked.rows().len(), 5);
    }
}
