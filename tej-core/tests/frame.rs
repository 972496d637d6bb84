//! Frames in one slice: taken whole from the input, and encoded in one call.

#[path = "common/arbitrary.rs"]
mod arbitrary;
mod common;

use arbitrary::{config, frames};
use common::reference::{self, Frame};
use common::{Log, by_encoder, decoder, fault, frame, take_frame, vectors};
use proptest::prelude::*;
use tej_core::{Decoder, DefaultLimits, EncodeError, Encoder, File, Limits, Status, encode, encoded_len};

#[test]
fn a_whole_frame_is_the_vector_it_came_from() {
    for vector in vectors() {
        let Frame { status, files, message } = &vector.frame;
        let stream = [&vector.wire[..], b"what follows"].concat();
        let mut decoder = decoder(&reference::Limits::WIDEST);
        let mut input = &stream[..];
        let taken = decoder.decode_frame(&mut input).expect("it is here whole");
        assert_eq!(input, b"what follows", "{}", vector.what);
        let header = taken.header();
        assert_eq!((header.status.value(), header.version), (*status, 1), "{}", vector.what);
        assert_eq!(header.files as usize, files.len(), "{}", vector.what);
        let contents: Vec<_> =
            taken.files().map(|File { name, data }| (name.to_vec(), data.to_vec())).collect();
        assert_eq!(&contents, files, "{}", vector.what);
        assert_eq!(taken.message(), message, "{}", vector.what);
        assert_eq!(taken.len(), vector.wire.len(), "{}", vector.what);
        assert_eq!(decoder.offset(), vector.wire.len() as u64);
        assert_eq!((decoder.is_between_frames(), decoder.finish()), (true, Ok(())));
    }
}

#[test]
fn a_whole_frame_is_borrowed_from_the_input() {
    let wire = frame(0, &[(b"name", b"data")], b"message").wire();
    let taken = Decoder::new([0; 4], DefaultLimits).decode_frame(&mut &wire[..]).unwrap();
    let file = taken.files().next().unwrap();
    assert_eq!(file.name.as_ptr(), wire[12..].as_ptr());
    assert_eq!(file.data.as_ptr(), wire[24..].as_ptr());
    assert_eq!(taken.message().as_ptr(), wire[36..].as_ptr());
}

#[test]
fn the_iterator_of_files_ends_once_and_for_all_and_can_begin_again() {
    let files: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"", b""), (b"c", b"333")];
    let wire = frame(0, &files, b"not a file").wire();
    let taken = decoder(&reference::Limits::WIDEST).decode_frame(&mut &wire[..]).unwrap();
    let expected = files.map(|(name, data)| File { name, data });
    let mut iterator = taken.files();
    assert_eq!(iterator.len(), 3);
    assert_eq!(iterator.next(), Some(expected[0]));
    assert_eq!((iterator.len(), iterator.size_hint()), (2, (2, Some(2))));
    assert_eq!(iterator.clone().collect::<Vec<_>>(), expected[1..]);
    assert_eq!(iterator.by_ref().count(), 2);
    for _ in 0..3 {
        assert_eq!((iterator.len(), iterator.next()), (0, None));
    }
    assert_eq!(taken.files().collect::<Vec<_>>(), expected);

    let empty = frame(0, &[], b"\0\x01n\0\0\0\0\0\0\0\x01d").wire();
    let taken = decoder(&reference::Limits::WIDEST).decode_frame(&mut &empty[..]).unwrap();
    assert_eq!(taken.files().next(), None);
}

#[test]
fn a_frame_that_is_not_here_whole_is_left_where_it_lies() {
    let mut frames: Vec<_> = vectors().into_iter().map(|vector| vector.frame).collect();
    frames.push(frame(1, &[(b"name", b"data"), (b"", b"")], b"message"));
    for frame in frames {
        let wire = frame.wire();
        for end in 0..wire.len() {
            let mut decoder = decoder(&reference::Limits::WIDEST);
            let (before, mut rest) = wire.split_at(end);
            let mut input = before;
            assert_eq!(decoder.decode_frame(&mut input), None, "{before:02x?}");
            assert_eq!((input, decoder.offset(), decoder.is_between_frames()), (before, 0, true));
            // The other way goes on from there, and nothing is lost.
            let mut log = Log::default();
            while let Some(event) = decoder.decode(&mut input).unwrap() {
                log.push(event);
            }
            while let Some(event) = decoder.decode(&mut rest).unwrap() {
                log.push(event);
            }
            assert_eq!(log.0, frame.events());
        }
    }
}

#[test]
fn no_frame_is_taken_inside_another() {
    // Payload that is itself a frame, and a name: whatever is left of the outer frame looks acceptable.
    let inner = frame(7, &[], b"").wire();
    let outer = frame(1, &[(&inner, &inner), (b"", b"")], &inner);
    let stream = [outer.wire(), inner.clone()].concat();
    let frame_end = outer.wire().len();
    for fed in 1..frame_end {
        let mut decoder = decoder(&reference::Limits::WIDEST);
        let mut log = Log::default();
        let mut input = &stream[..fed];
        while let Some(event) = decoder.decode(&mut input).unwrap() {
            log.push(event);
            assert!(!decoder.is_between_frames());
            assert_eq!(decoder.decode_frame(&mut &inner[..]), None, "after {:?}", log.0);
        }
        let mut input = &stream[fed..];
        loop {
            match take_frame(&mut decoder, &reference::Limits::WIDEST, &mut input) {
                Some(taken) => log.push_frame(&taken),
                None => match decoder.decode(&mut input).unwrap() {
                    Some(event) => log.push(event),
                    None => break,
                },
            }
        }
        assert_eq!(log.0, [outer.events(), frame(7, &[], b"").events()].concat(), "{fed} fed");
    }
}

#[test]
fn the_pending_end_of_a_frame_comes_before_the_next_frame() {
    let wire = frame(0, &[], b"").wire();
    let stream = [&wire[..], &wire].concat();
    let mut decoder = decoder(&reference::Limits::WIDEST);
    let mut input = &stream[..];
    assert!(decoder.decode(&mut input).unwrap().is_some());
    assert_eq!(decoder.decode(&mut input), Ok(Some(tej_core::Event::MessageStart { size: 0 })));
    assert_eq!(decoder.decode_frame(&mut input), None);
    assert_eq!(input, wire);
    assert_eq!(decoder.decode(&mut input), Ok(Some(tej_core::Event::FrameEnd)));
    assert!(decoder.decode_frame(&mut input).is_some());
    assert_eq!((input.len(), decoder.offset()), (0, stream.len() as u64));
}

#[test]
fn every_limit_is_that_of_the_events() {
    type Set = fn(&mut reference::Limits, u64);
    let all = frame(1, &[(b"abc", b"12345"), (b"", b"1234")], b"message");
    let wire = all.wire();
    let cases: [(&str, u64, Set); 5] = [
        ("too_many_files", 2, |limits, n| limits.files = n),
        ("name_too_long", 3, |limits, n| limits.name = n),
        ("file_too_long", 5, |limits, n| limits.file = n),
        ("message_too_long", 7, |limits, n| limits.message = n),
        ("frame_too_long", wire.len() as u64, |limits, n| limits.frame = n),
    ];
    for (kind, size, set) in cases {
        for limit in [0, size - 1, size, size + 1] {
            let mut limits = reference::Limits::WIDEST;
            set(&mut limits, limit);
            let mut decoder = decoder(&limits);
            let mut input = &wire[..];
            let taken = decoder.decode_frame(&mut input);
            assert_eq!(taken.is_some(), limit >= size, "{kind} at {limit}");
            if taken.is_none() {
                assert_eq!(input, wire);
                let error = loop {
                    match decoder.decode(&mut input) {
                        Ok(event) => assert!(event.is_some(), "{kind} at {limit} was missed"),
                        Err(error) => break fault(error),
                    }
                };
                assert_eq!(error.kind, kind);
                assert_eq!(Some(error), reference::decode(&wire, &limits).1);
            }
        }
    }
}

#[test]
fn another_version_is_taken_only_where_any_is_accepted() {
    let mut wire = frame(5, &[(b"n", b"d")], b"m").wire();
    for version in 0..=255 {
        wire[1] = version;
        let strict = Limits::UNLIMITED;
        let any = Limits { any_version: true, ..strict };
        let mut input = &wire[..];
        assert_eq!(Decoder::new([0; 1], &strict).decode_frame(&mut input).is_some(), version == 1);
        let taken = Decoder::new([0; 1], &any).decode_frame(&mut &wire[..]).unwrap();
        assert_eq!(taken.header().version, version);
    }
}

#[test]
fn what_does_not_start_a_frame_is_no_whole_frame() {
    for status in 0..=0x7f {
        let mut wire = frame(status, &[(b"n", b"data")], b"m").wire();
        let mut decoder = decoder(&reference::Limits::WIDEST);
        assert!(decoder.decode_frame(&mut &wire[..]).is_some());
        wire[0] = status;
        let mut input = &wire[..];
        assert_eq!(decoder.decode_frame(&mut input), None, "{status}");
        assert_eq!(input, wire);
        assert_eq!(decoder.decode(&mut input).unwrap_err().kind, tej_core::DecodeErrorKind::BadStartBit);
    }
}

#[test]
fn numbers_of_64_bits_are_no_whole_frame() {
    let huge = u64::MAX.to_be_bytes();
    let tail = [0; 64];
    let streams = [
        [&b"\x80\x01"[..], &huge, &tail].concat(),
        [&b"\x80\x01"[..], &(1_u64 << 32).to_be_bytes(), &tail].concat(),
        // A count that would be 0 if it were cut to 32 bits, and one that asks for more files than there are bytes.
        [&b"\x80\x01"[..], &u64::from(u32::MAX).to_be_bytes(), &tail].concat(),
        [&b"\x80\x01\0\0\0\0\0\0\0\x01\0\0"[..], &huge, &tail].concat(),
        [&b"\x80\x01\0\0\0\0\0\0\0\x01\0\0"[..], &(1_u64 << 32).to_be_bytes(), &tail].concat(),
        [&b"\x80\x01\0\0\0\0\0\0\0\0"[..], &huge, &tail].concat(),
        [&b"\x80\x01\0\0\0\0\0\0\0\0"[..], &(1_u64 << 32).to_be_bytes(), &tail].concat(),
        [&b"\x80\x01\0\0\0\0\0\0\0\x01\xff\xff"[..], &tail].concat(),
    ];
    for stream in streams {
        let mut decoder = decoder(&reference::Limits::WIDEST);
        let mut input = &stream[..];
        assert_eq!(decoder.decode_frame(&mut input), None, "{stream:02x?}");
        assert_eq!((input, decoder.offset()), (&stream[..], 0));
    }
}

#[test]
fn a_frame_taken_whole_leaves_the_place_that_events_would_leave() {
    let good = frame(1, &[(b"n", b"data")], b"m");
    let len = good.wire().len() as u64;
    // The frame limit counts from the frame that was taken, and a fault is where it is in the stream.
    let limits = reference::Limits { frame: len, ..reference::Limits::WIDEST };
    let long = frame(1, &[(b"n", b"data")], b"m+").wire();
    let stream = [good.wire(), good.wire(), long].concat();
    let mut decoder = decoder(&limits);
    let mut input = &stream[..];
    assert!(decoder.decode_frame(&mut input).is_some());
    assert_eq!(decoder.offset(), len);
    let mut log = Log::default();
    while log.0.len() < good.events().len() {
        log.push(decoder.decode(&mut input).unwrap().unwrap());
    }
    assert_eq!((log.0, decoder.offset()), (good.events(), 2 * len));
    assert_eq!(decoder.decode_frame(&mut input), None);
    let error = loop {
        if let Err(error) = decoder.decode(&mut input) {
            break error;
        }
    };
    assert_eq!(fault(error), reference::decode(&stream, &limits).1.unwrap());
    assert_eq!((error.value, error.offset), (2, 3 * len - 9));
}

#[test]
fn vectors_and_names_of_every_length_encode_in_one_call() {
    let mut frames: Vec<_> = vectors().into_iter().map(|vector| vector.frame).collect();
    frames.extend([0, 1, 255, 256, 65_535].map(|len| frame(127, &[(&vec![b'n'; len], b"d")], b"m")));
    for frame in frames {
        let wire = frame.wire();
        let mut buffer = vec![0; wire.len()];
        assert_eq!(encode_frame(&frame, &mut buffer), Ok(wire.len()));
        assert_eq!(buffer, wire);
        assert_eq!(buffer, by_encoder(&mut Encoder::new(), &frame, usize::MAX));
    }
}

#[test]
fn a_buffer_that_is_too_small_is_told_how_long_it_must_be() {
    let frame = frame(1, &[(b"name", b"data"), (b"", b"")], b"message");
    let needed = frame.wire().len();
    for available in 0..needed {
        let too_small = EncodeError::BufferTooSmall { needed, available };
        assert_eq!(encode_frame(&frame, &mut vec![0; available]), Err(too_small));
    }
    for more in [0, 1, 100] {
        let mut buffer = vec![0xaa; needed + more];
        assert_eq!(encode_frame(&frame, &mut buffer), Ok(needed));
        assert_eq!(buffer, [frame.wire(), vec![0xaa; more]].concat());
    }
}

#[test]
fn a_name_that_no_length_field_can_announce_is_not_encoded() {
    for len in [65_536, 65_537, 1 << 17] {
        let frame = frame(0, &[(b"short", b""), (&vec![b'n'; len], b"d")], b"m");
        // However long the buffer is: a longer one would not help.
        for available in [0, 1, 18, 100, 1 << 18] {
            let error = encode_frame_unchecked(&frame, &mut vec![0; available]);
            assert_eq!(error, Err(EncodeError::NameTooLong(len)), "into {available}");
        }
    }
    let frame = frame(0, &[(&vec![b'n'; 65_535], b"d")], b"m");
    let needed = frame.wire().len();
    let too_small = EncodeError::BufferTooSmall { needed, available: needed - 1 };
    assert_eq!(encode_frame(&frame, &mut vec![0; needed - 1]), Err(too_small));
    assert_eq!(encode_frame(&frame, &mut vec![0; needed]), Ok(needed));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_frame_is_taken_whole_and_no_part_of_it(frame in frames(), more in prop::collection::vec(any::<u8>(), 0..20)) {
        let limits = reference::Limits::WIDEST;
        let wire = frame.wire();
        for end in 0..wire.len() {
            prop_assert!(take_frame(&mut decoder(&limits), &limits, &mut &wire[..end]).is_none());
        }
        let stream = [&wire[..], &more].concat();
        let mut log = Log::default();
        log.push_frame(&take_frame(&mut decoder(&limits), &limits, &mut &stream[..]).unwrap());
        prop_assert_eq!(log.0, frame.events());
    }

    #[test]
    fn any_frame_is_encoded_in_one_call_as_by_its_parts(frame in frames(), piece in 1..30_usize, len in 0..200_usize) {
        let wire = by_encoder(&mut Encoder::new(), &frame, piece);
        let mut buffer = vec![0xaa; len];
        match encode_frame(&frame, &mut buffer) {
            Ok(n) => {
                prop_assert_eq!(&buffer[..n], &wire);
                prop_assert!(buffer[n..].iter().all(|&byte| byte == 0xaa));
            }
            Err(error) => {
                prop_assert!(len < wire.len());
                prop_assert_eq!(error, EncodeError::BufferTooSmall { needed: wire.len(), available: len });
            }
        }
    }
}

/// `encode`, whose length is also held against `encoded_len`.
fn encode_frame(frame: &Frame, buffer: &mut [u8]) -> Result<usize, EncodeError> {
    assert_eq!(encoded_len(&files(frame), &frame.message), frame.wire().len());
    encode_frame_unchecked(frame, buffer)
}

fn encode_frame_unchecked(frame: &Frame, buffer: &mut [u8]) -> Result<usize, EncodeError> {
    encode(Status::new(frame.status).unwrap(), &files(frame), &frame.message, buffer)
}

fn files(frame: &Frame) -> Vec<File<'_>> {
    frame.files.iter().map(|(name, data)| File { name, data }).collect()
}
