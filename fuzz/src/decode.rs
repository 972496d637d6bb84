//! Any bytes, any limits, any pieces: the decoder reports what the oracle reports.

use arbitrary::Arbitrary;
use tej_core::{Decoder, Frame, FrameTooLarge, OwnedFrame, PayloadOverrun};

use crate::common::reference::{self, Event};
use crate::common::{Log, Outcome, by_decode, by_step, decoder, fault, frame, vectors};
use crate::pieces::Pieces;
use crate::seed::{self, Fields, Seed};

/// A stream, and who reads it how.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
pub struct Input<'a> {
    limits: Limits,
    pieces: Pieces,
    turns: Turns,
    stream: &'a [u8],
}

impl Input<'_> {
    /// Reads the stream through every way there is into the decoder, and through a mixture of them.
    ///
    /// # Panics
    /// Where an event, a fault, its value or its offset is not the oracle's, and where a promise of one of the ways is
    /// not kept.
    pub fn check(&self) {
        let limits = self.limits.in_terms_of_the_reference();
        let pieces = self.pieces.of(self.stream);
        let expected = reference::decode(self.stream, &limits);
        assert_eq!(by_decode(decoder(&limits), pieces.iter().copied()), expected, "through `decode`");
        assert_eq!(by_step(decoder(&limits), pieces.iter().copied()), expected, "through `step`");
        assert_eq!(by_turns(&limits, &pieces, self.turns), expected, "through all in turn");
        collect(&limits, &pieces, self.stream);
    }
}

/// Limits in few bytes, near the sizes of short streams or near the largest.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
struct Limits {
    any_version: bool,
    files: Limit,
    name: u16,
    file: Limit,
    message: Limit,
    frame: Limit,
}

impl Limits {
    /// But for names: a seed's storage is allocated again and again, for all the inputs that are made from it.
    const WIDE: Self = Self {
        any_version: false,
        files: Limit::MOST,
        name: 300,
        file: Limit::MOST,
        message: Limit::MOST,
        frame: Limit::MOST,
    };

    fn in_terms_of_the_reference(self) -> reference::Limits {
        reference::Limits {
            any_version: self.any_version,
            files: self.files.below(u32::MAX.into()),
            name: self.name.into(),
            file: self.file.below(u64::MAX),
            message: self.message.below(u64::MAX),
            frame: self.frame.below(u64::MAX),
        }
    }
}

/// The number itself, but the last 256 of them count down from the most that can be set.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
struct Limit(u16);

impl Limit {
    const MOST: Self = Self(u16::MAX);

    fn below(self, most: u64) -> u64 {
        let from_end = u16::MAX - self.0;
        if from_end < 256 { most - u64::from(from_end) } else { self.0.into() }
    }
}

/// Which way into the decoder is taken at each call, over and over.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
struct Turns([u8; 4]);

impl Turns {
    const MIXED: Self = Self([0, 1, 3, 2 + 4 * 5]);
}

/// Through `decode`, `step`, `advance_payload` and `decode_frame`, as `turns` says, with one decoder.
fn by_turns(limits: &reference::Limits, pieces: &[&[u8]], turns: Turns) -> Outcome {
    let mut decoder = decoder(limits);
    let mut log = Log::default();
    let mut offset = 0;
    let mut turns = turns.0.iter().copied().cycle();
    for &piece in pieces {
        let mut input = piece;
        loop {
            let before = input.len();
            let turn = turns.next().expect("it goes round");
            if turn % 4 == 3 && take_frame(&mut decoder, &mut input, &mut log) {
                offset += (before - input.len()) as u64;
                assert_eq!(decoder.offset(), offset);
                continue;
            }
            if turn % 4 == 2 {
                let in_file = matches!(log.0.last(), Some(Event::FileStart { .. } | Event::FileData(_)));
                match (move_payload(&mut decoder, &mut input, usize::from(turn / 4)), in_file) {
                    ([], _) => {}
                    (moved, true) => log.push(tej_core::Event::FileData(moved)),
                    (moved, false) => log.push(tej_core::Event::MessageData(moved)),
                }
            }
            let event = if turn % 4 == 1 {
                decoder.step(input).map(|step| {
                    let whole = input;
                    input = &input[step.consumed..];
                    step.event.map(|span| decoder.resolve(span, whole))
                })
            } else {
                decoder.decode(&mut input)
            };
            let more = match event {
                Ok(Some(event)) => {
                    log.push(event);
                    true
                }
                Ok(None) => false,
                Err(error) => return (log.0, Some(fault(error))),
            };
            offset += (before - input.len()) as u64;
            assert_eq!(decoder.offset(), offset);
            if decoder.is_between_frames() {
                assert!(matches!(log.0.last(), None | Some(Event::FrameEnd)), "{:?}", log.0.last());
                assert_eq!(decoder.finish(), Ok(()));
            }
            if !more {
                assert_eq!(input, b"", "more is wanted before this is used up");
                break;
            }
        }
    }
    (log.0, decoder.finish().err().map(fault))
}

/// Takes a whole frame, if there is one that is acceptable. Both ways accept the same frames.
fn take_frame(decoder: &mut Decoder<Vec<u8>, tej_core::Limits>, input: &mut &[u8], log: &mut Log) -> bool {
    let before = *input;
    let mut other = decoder.clone();
    let Some(frame) = decoder.decode_frame(input) else {
        assert_eq!(*input, before, "no frame, and something was consumed");
        assert!(
            !other.is_between_frames() || !ends_a_frame(&mut other, before),
            "a whole frame was not seen"
        );
        return false;
    };
    assert_eq!(frame.len(), before.len() - input.len());
    assert!(decoder.is_between_frames());
    report(&frame, |event| log.push(event));
    true
}

/// Whether there is an acceptable frame at the start of `input`, as the events tell.
fn ends_a_frame(decoder: &mut Decoder<Vec<u8>, tej_core::Limits>, mut input: &[u8]) -> bool {
    loop {
        match decoder.decode(&mut input) {
            Ok(Some(tej_core::Event::FrameEnd)) => return true,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return false,
        }
    }
}

/// A whole frame as the events that it would have been.
fn report<'a>(frame: &Frame<'a>, mut event: impl FnMut(tej_core::Event<'a>)) {
    event(tej_core::Event::FrameStart(frame.header()));
    for file in frame.files() {
        event(tej_core::Event::FileStart { name: file.name, size: file.data.len() as u64 });
        if !file.data.is_empty() {
            event(tej_core::Event::FileData(file.data));
        }
        event(tej_core::Event::FileEnd);
    }
    event(tej_core::Event::MessageStart { size: frame.message().len() as u64 });
    if !frame.message().is_empty() {
        event(tej_core::Event::MessageData(frame.message()));
    }
    event(tej_core::Event::FrameEnd);
}

/// Collects the frames that are short enough, and compares each with its bytes in the stream.
fn collect(limits: &reference::Limits, pieces: &[&[u8]], stream: &[u8]) {
    let mut decoder = decoder(limits);
    let mut owned = OwnedFrame::<CAPACITY>::new();
    let (mut start, mut refused) = (0, false);
    for &piece in pieces {
        let mut input = piece;
        while let Ok(Some(event)) = decoder.decode(&mut input) {
            let complete = match owned.push(event) {
                Ok(complete) => complete,
                Err(error) => {
                    assert_eq!(error, FrameTooLarge { capacity: CAPACITY });
                    assert!(!refused, "that it does not fit was said before");
                    refused = true;
                    false
                }
            };
            if event != tej_core::Event::FrameEnd {
                assert!(!complete && owned.frame().is_none(), "{event:?} completes nothing");
                continue;
            }
            let end = usize::try_from(decoder.offset()).expect("in memory");
            assert_eq!(complete, end - start <= CAPACITY, "a frame of {} bytes", end - start);
            assert_ne!(complete, refused);
            if complete {
                assert_eq!(owned.as_bytes(), &stream[start..end]);
                let (mut whole, mut alone) = (Log::default(), Log::default());
                report(&owned.frame().expect("it is complete"), |event| whole.push(event));
                let mut frame = &stream[start..end];
                let any = reference::Limits { any_version: true, ..*limits };
                let mut decoder = crate::common::decoder(&any);
                while let Ok(Some(event)) = decoder.decode(&mut frame) {
                    alone.push(event);
                }
                assert_eq!(whole.0, alone.0);
            }
            (start, refused) = (end, false);
        }
    }
}

/// Takes at most `most` bytes of payload past the decoder; to take more than there is, it refuses.
fn move_payload<'a>(
    decoder: &mut Decoder<Vec<u8>, tej_core::Limits>,
    input: &mut &'a [u8],
    most: usize,
) -> &'a [u8] {
    let remaining = decoder.payload_remaining();
    if let Some(moved) = remaining.checked_add(1) {
        assert_eq!(decoder.advance_payload(moved), Err(PayloadOverrun { moved, remaining }));
        assert_eq!(decoder.payload_remaining(), remaining, "a refusal changed the decoder");
    }
    let n = input.len().min(most);
    let n = n.min(usize::try_from(remaining).unwrap_or(n));
    decoder.advance_payload(n as u64).expect("not more than there is");
    let (moved, rest) = input.split_at(n);
    *input = rest;
    moved
}

impl Seed for Input<'_> {
    fn write(&self, bytes: &mut Vec<u8>) {
        Fields(bytes).field(&self.limits).field(&self.pieces).field(&self.turns.0);
        // A slice that comes last takes all there is.
        bytes.extend(self.stream);
    }
}

impl Seed for Limits {
    fn write(&self, bytes: &mut Vec<u8>) {
        let Self { any_version, files, name, file, message, frame } = self;
        Fields(bytes)
            .field(any_version)
            .field(&files.0)
            .field(name)
            .field(&file.0)
            .field(&message.0)
            .field(&frame.0);
    }
}

/// The vectors, streams that lie, and both sides of every limit.
pub fn seeds() -> Vec<Vec<u8>> {
    let vectors = vectors();
    let all: Vec<u8> = vectors.iter().flat_map(|vector| vector.wire.clone()).collect();
    let rich = frame(1, &[(b"abcdef", b"12345"), (b"", b""), (b"c", b"6")], b"message").wire();
    let long_name = frame(0, &[(&[b'n'; 300], b"d")], b"").wire();
    let many_files = frame(0, &[(&b""[..], &b""[..]); 40], b"").wire();
    let good_then_bad = [&rich[..], b"\x7f"].concat();
    let streams: Vec<&[u8]> = vectors
        .iter()
        .map(|vector| &vector.wire[..])
        .chain([
            &all,
            &rich,
            &long_name,
            &many_files,
            &good_then_bad,
            &rich[..rich.len() - 1],
            b"",
            b"\x80",
            b"\x00\x01",
            b"\x80\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\x80\x01\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x80\x01\0\0\0\0\0\0\0\x01\xff\xff",
            b"\x80\x01\0\0\0\0\0\0\0\x01\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
            // Just as much as can be counted, and one more.
            b"\x80\x01\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xed",
            b"\x80\x01\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xee",
        ])
        .collect();
    let input = |stream, limits, pieces| Input { limits, pieces, turns: Turns::MIXED, stream };
    let mut inputs = Vec::new();
    for (index, &stream) in streams.iter().enumerate() {
        let pieces = [Pieces::WHOLE, Pieces::BYTES, Pieces::UNEVEN][index % 3];
        inputs.push(input(stream, Limits::WIDE, pieces));
    }
    let wide = Limits::WIDE;
    for limits in [
        Limits { any_version: true, ..wide },
        Limits { name: u16::MAX, ..wide },
        Limits { files: Limit(3), ..wide },
        Limits { files: Limit(2), ..wide },
        Limits { name: 6, ..wide },
        Limits { name: 5, ..wide },
        Limits { file: Limit(5), ..wide },
        Limits { file: Limit(4), ..wide },
        Limits { message: Limit(7), ..wide },
        Limits { message: Limit(6), ..wide },
        Limits { frame: Limit(68), ..wide },
        Limits { frame: Limit(67), ..wide },
    ] {
        inputs.push(input(&rich, limits, Pieces::UNEVEN));
    }
    let mut bytes = Vec::new();
    seed::seeds(&inputs, &mut bytes);
    bytes
}

/// What a frame may have to be collected: some, and not all, of those in the seeds.
const CAPACITY: usize = 64;
