//! The test vectors, and ways to run a decoder that all end in the reference's own terms.

#![allow(dead_code, reason = "each test file uses its own part of it")]

pub(crate) mod reference;

use std::borrow::Borrow;

use tej_core::{DecodeError, DecodeErrorKind, Decoder, Encoder, Limits, Status};

use reference::{Event, Fault, Frame};

/// A line of docs/vectors.txt, and the frame it is said to be.
pub(crate) struct Vector {
    pub(crate) what: &'static str,
    pub(crate) wire: Vec<u8>,
    pub(crate) frame: Frame,
}

/// All of docs/vectors.txt, each beside the frame that the reference reads in it. What they are is said in
/// docs/vectors.json, to which tests/vectors.rs holds both.
pub(crate) fn vectors() -> Vec<Vector> {
    include_str!("../../../docs/vectors.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (hex, what) = line.split_once(' ').expect("hex, a space, and what it is");
            let wire = from_hex(hex);
            let frame = read_by_reference(&wire);
            Vector { what, wire, frame }
        })
        .collect()
}

fn read_by_reference(wire: &[u8]) -> Frame {
    let (events, fault) = reference::decode(wire, &reference::Limits::WIDEST);
    assert_eq!(fault, None);
    let mut frame = frame(0, &[], b"");
    for event in events {
        match event {
            Event::FrameStart { status, .. } => frame.status = status,
            Event::FileStart { name, .. } => frame.files.push((name, Vec::new())),
            Event::FileData(data) => frame.files.last_mut().expect("a file has begun").1 = data,
            Event::MessageData(data) => frame.message = data,
            Event::FileEnd | Event::MessageStart { .. } | Event::FrameEnd => {}
        }
    }
    frame
}

pub(crate) fn frame(status: u8, files: &[(&[u8], &[u8])], message: &[u8]) -> Frame {
    let files = files.iter().map(|(name, data)| (name.to_vec(), data.to_vec())).collect();
    Frame { status, files, message: message.to_vec() }
}

/// A decoder that puts up with what `limits` puts up with.
pub(crate) fn decoder(limits: &reference::Limits) -> Decoder<Vec<u8>, Limits> {
    Decoder::new(vec![0; usize::try_from(limits.name).unwrap()], core_limits(limits))
}

/// The same limits in the crate's terms.
pub(crate) fn core_limits(limits: &reference::Limits) -> Limits {
    let &reference::Limits { any_version, files, name: _, file, message, frame } = limits;
    Limits {
        any_version,
        files: u32::try_from(files).expect("a limit that can be set"),
        file,
        message,
        frame,
    }
}

pub(crate) type Outcome = (Vec<Event>, Option<Fault>);

/// Feeds `chunks` through `Decoder::decode`, then says that the input has ended.
///
/// Checks on the way what `decode` promises beside its events: that it leaves nothing of the input behind, that
/// an error does not move the input, and that an error stays.
pub(crate) fn by_decode<'i, N, L>(
    decoder: Decoder<N, L>,
    chunks: impl IntoIterator<Item = &'i [u8]>,
) -> Outcome
where
    N: AsRef<[u8]> + AsMut<[u8]>,
    L: Borrow<Limits>,
{
    run(decoder, chunks, |_, _, _| {})
}

/// As [`by_decode`], but takes by `Decoder::decode_frame` what can be taken so.
///
/// Checks that this is every frame that lies in a piece whole and is acceptable, that nothing moves otherwise, and what
/// the decoder says of its place.
pub(crate) fn by_frames<'i>(
    limits: &reference::Limits,
    chunks: impl IntoIterator<Item = &'i [u8]>,
) -> Outcome {
    run(decoder(limits), chunks, |decoder, input, log| {
        while let Some(frame) = take_frame(decoder, limits, input) {
            log.push_frame(&frame);
        }
    })
}

/// `Decoder::decode_frame`, held against the reference.
pub(crate) fn take_frame<'i>(
    decoder: &mut Decoder<Vec<u8>, Limits>,
    limits: &reference::Limits,
    input: &mut &'i [u8],
) -> Option<tej_core::Frame<'i>> {
    let place = |decoder: &Decoder<_, _>| {
        (decoder.is_between_frames(), decoder.offset(), decoder.payload_remaining(), decoder.finish())
    };
    let (before, place_before) = (*input, place(decoder));
    let expected =
        if decoder.is_between_frames() { reference::whole_frame_len(before, limits) } else { None };
    let frame = decoder.decode_frame(input);
    assert_eq!(frame.map(|frame| frame.len()), expected, "in {before:02x?}");
    let len = expected.unwrap_or_default();
    assert_eq!(*input, &before[len..]);
    let (between, offset, remaining, end) = place_before;
    assert_eq!(place(decoder), (between, offset.wrapping_add(len as u64), remaining, end));
    frame
}

/// Calls `first` before each `Decoder::decode`.
fn run<'i, N, L>(
    mut decoder: Decoder<N, L>,
    chunks: impl IntoIterator<Item = &'i [u8]>,
    mut first: impl FnMut(&mut Decoder<N, L>, &mut &'i [u8], &mut Log),
) -> Outcome
where
    N: AsRef<[u8]> + AsMut<[u8]>,
    L: Borrow<Limits>,
{
    let mut log = Log::default();
    for mut input in chunks {
        loop {
            first(&mut decoder, &mut input, &mut log);
            let before = input;
            match decoder.decode(&mut input) {
                Ok(Some(event)) => log.push(event),
                Ok(None) => {
                    assert!(input.is_empty(), "{} bytes were left", input.len());
                    break;
                }
                Err(error) => {
                    assert_eq!(input, before, "an error moved the input");
                    assert_sticky(&mut decoder, error);
                    return (log.0, Some(fault(error)));
                }
            }
        }
    }
    (log.0, decoder.finish().err().map(fault))
}

/// As [`by_decode`], through `Decoder::step` and `Decoder::resolve`; checks the offset and the sizes, too.
pub(crate) fn by_step<'i, N, L>(
    mut decoder: Decoder<N, L>,
    chunks: impl IntoIterator<Item = &'i [u8]>,
) -> Outcome
where
    N: AsRef<[u8]> + AsMut<[u8]>,
    L: Borrow<Limits>,
{
    let mut log = Log::default();
    let mut offset = 0;
    for mut input in chunks {
        loop {
            let step = match decoder.step(input) {
                Ok(step) => step,
                Err(error) => {
                    assert_sticky(&mut decoder, error);
                    return (log.0, Some(fault(error)));
                }
            };
            offset += step.consumed as u64;
            assert_eq!(decoder.offset(), offset);
            let Some(span) = step.event else {
                assert_eq!(step.consumed, input.len(), "bytes were left");
                break;
            };
            let event = decoder.resolve(span, input);
            match event {
                tej_core::Event::FileStart { size, .. } | tej_core::Event::MessageStart { size } => {
                    assert_eq!(decoder.payload_remaining(), size);
                }
                tej_core::Event::FileData(_) | tej_core::Event::MessageData(_) => {}
                _ => assert_eq!(decoder.payload_remaining(), 0),
            }
            log.push(event);
            input = &input[step.consumed..];
        }
    }
    (log.0, decoder.finish().err().map(fault))
}

/// A decoder's events in the reference's terms, adjacent payload merged.
#[derive(Default)]
pub(crate) struct Log(pub(crate) Vec<Event>);

impl Log {
    pub(crate) fn push(&mut self, event: tej_core::Event<'_>) {
        let event = match event {
            tej_core::Event::FrameStart(header) => Event::FrameStart {
                status: header.status.value(),
                version: header.version,
                files: header.files.into(),
            },
            tej_core::Event::FileStart { name, size } => Event::FileStart { name: name.to_vec(), size },
            tej_core::Event::FileData(chunk) => {
                assert!(!chunk.is_empty());
                if let Some(Event::FileData(data)) = self.0.last_mut() {
                    return data.extend(chunk);
                }
                Event::FileData(chunk.to_vec())
            }
            tej_core::Event::FileEnd => Event::FileEnd,
            tej_core::Event::MessageStart { size } => Event::MessageStart { size },
            tej_core::Event::MessageData(chunk) => {
                assert!(!chunk.is_empty());
                if let Some(Event::MessageData(data)) = self.0.last_mut() {
                    return data.extend(chunk);
                }
                Event::MessageData(chunk.to_vec())
            }
            tej_core::Event::FrameEnd => Event::FrameEnd,
            unknown => panic!("the reference knows no {unknown:?}"),
        };
        assert!(self.0.len() < MOST_EVENTS, "the decoder yields events for ever: {event:?}");
        self.0.push(event);
    }

    /// Payload that went past the decoder, of what the last event says.
    pub(crate) fn push_moved(&mut self, moved: &[u8]) {
        match self.0.last() {
            _ if moved.is_empty() => {}
            Some(Event::FileStart { .. } | Event::FileData(_)) => self.push(tej_core::Event::FileData(moved)),
            _ => self.push(tej_core::Event::MessageData(moved)),
        }
    }

    /// What the frame would have been as events.
    pub(crate) fn push_frame(&mut self, frame: &tej_core::Frame<'_>) {
        self.push(tej_core::Event::FrameStart(frame.header()));
        for tej_core::File { name, data } in frame.files() {
            self.push(tej_core::Event::FileStart { name, size: data.len() as u64 });
            if !data.is_empty() {
                self.push(tej_core::Event::FileData(data));
            }
            self.push(tej_core::Event::FileEnd);
        }
        let message = frame.message();
        self.push(tej_core::Event::MessageStart { size: message.len() as u64 });
        if !message.is_empty() {
            self.push(tej_core::Event::MessageData(message));
        }
        self.push(tej_core::Event::FrameEnd);
    }
}

/// An error in the reference's terms. The names are the contract of the `tej` command, spelt out here once more.
pub(crate) fn fault(error: DecodeError) -> Fault {
    let kind = match error.kind {
        DecodeErrorKind::BadStartBit => "bad_start_bit",
        DecodeErrorKind::UnsupportedVersion => "unsupported_version",
        DecodeErrorKind::TooManyFiles => "too_many_files",
        DecodeErrorKind::NameTooLong => "name_too_long",
        DecodeErrorKind::FileTooLong => "file_too_long",
        DecodeErrorKind::MessageTooLong => "message_too_long",
        DecodeErrorKind::FrameTooLong => "frame_too_long",
        DecodeErrorKind::Truncated => "truncated",
        unknown => panic!("the reference knows no {unknown:?}"),
    };
    assert_eq!(error.kind.name(), kind);
    Fault { kind, value: error.value, offset: error.offset }
}

/// The bytes of `frame` as an encoder yields them, its payload announced in pieces of up to `piece` bytes.
pub(crate) fn by_encoder(encoder: &mut Encoder, frame: &Frame, piece: usize) -> Vec<u8> {
    fn payload(encoder: &mut Encoder, wire: &mut Vec<u8>, bytes: &[u8], piece: usize) {
        for bytes in bytes.chunks(piece) {
            encoder.payload(bytes.len() as u64).unwrap();
            wire.extend(bytes);
        }
    }
    let status = Status::new(frame.status).unwrap();
    let mut wire = encoder.start_frame(status, u32::try_from(frame.files.len()).unwrap()).unwrap().to_vec();
    for (name, data) in &frame.files {
        let head = encoder.start_file(name, data.len() as u64).unwrap();
        wire.extend(head.name_len);
        wire.extend(name);
        wire.extend(head.size);
        payload(encoder, &mut wire, data, piece);
    }
    wire.extend(encoder.start_message(frame.message.len() as u64).unwrap());
    payload(encoder, &mut wire, &frame.message, piece);
    assert_eq!((encoder.is_idle(), encoder.frame_len()), (true, wire.len() as u64));
    wire
}

/// `stream` in pieces of the lengths of `cuts`, and its rest in one.
pub(crate) fn cut<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = stream;
    let mut pieces = Vec::new();
    for &len in cuts {
        let (piece, tail) = rest.split_at(len.min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    pieces
}

/// Every way to cut `bytes` in two, empty pieces included.
pub(crate) fn splits_in_two(bytes: &[u8]) -> impl Iterator<Item = [&[u8]; 2]> {
    (0..=bytes.len()).map(|at| [&bytes[..at], &bytes[at..]])
}

/// Every way to cut `bytes` in three, empty pieces included.
pub(crate) fn splits_in_three(bytes: &[u8]) -> impl Iterator<Item = [&[u8]; 3]> {
    splits_in_two(bytes).flat_map(|[first, rest]| splits_in_two(rest).map(move |[a, b]| [first, a, b]))
}

/// Whatever is asked of it, `decoder` has failed with `error`.
pub(crate) fn assert_sticky<N, L>(decoder: &mut Decoder<N, L>, error: DecodeError)
where
    N: AsRef<[u8]> + AsMut<[u8]>,
    L: Borrow<Limits>,
{
    let good_frame = frame(0, &[], b"").wire();
    for input in [&good_frame[..], b"", b"\0"] {
        assert_eq!(decoder.step(input), Err(error));
        assert_eq!(decoder.decode(&mut &input[..]), Err(error));
        assert_eq!(decoder.decode_frame(&mut &input[..]), None);
        assert_eq!(decoder.finish(), Err(error));
        assert_eq!(decoder.payload_remaining(), 0);
        assert!(!decoder.is_between_frames());
    }
}

pub(crate) fn from_hex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "half a byte in {hex}");
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// More than any stream of these tests has.
const MOST_EVENTS: usize = 10_000;
