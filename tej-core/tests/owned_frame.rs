//! Frames that are kept, in fixed capacity.

#[path = "common/arbitrary.rs"]
mod arbitrary;
mod common;

use arbitrary::{config, cuts, frames};
use common::reference::{self, Frame};
use common::{Log, cut, decoder, frame, splits_in_two, vectors};
use proptest::collection::vec;
use proptest::prelude::*;
use tej_core::{
    EncodeError, Event, File, FrameHeader, FrameTooLarge, OwnedFrame, Status, encode_to_vec, encoded_len,
};

#[test]
fn a_frame_is_put_together_from_every_split() {
    for vector in vectors() {
        for pieces in splits_in_two(&vector.wire) {
            let mut owned = OwnedFrame::<64>::new();
            let results = push_all(&mut owned, &reference::Limits::WIDEST, pieces);
            assert_eq!(results.iter().filter(|result| **result == Ok(true)).count(), 1, "{pieces:02x?}");
            assert_eq!(results.last(), Some(&Ok(true)), "{pieces:02x?}");
            assert_eq!(owned.as_bytes(), vector.wire, "{pieces:02x?}");
            assert_is(&owned, &vector.frame);
        }
    }
}

#[test]
fn the_capacity_holds_exactly() {
    fn into<const N: usize>(wire: &[u8], chunk: usize) -> (OwnedFrame<N>, Vec<Result<bool, FrameTooLarge>>) {
        let mut owned = OwnedFrame::<N>::default();
        let results = push_all(&mut owned, &reference::Limits::WIDEST, wire.chunks(chunk));
        (owned, results)
    }
    // And the event that says that it does not fit: not the last, if an earlier one knows.
    let frames = [
        (frame(1, &[], &[b'm'; 46]), 1),
        (frame(1, &[(b"name", &[b'd'; 32])], b""), 1),
        (frame(1, &[(&[b'n'; 36], b"")], b""), 1),
        (frame(1, &[(b"a", b"1"), (b"b", b"2")], &[b'm'; 22]), 7),
    ];
    for (frame, refused_at) in frames {
        let wire = frame.wire();
        assert_eq!(wire.len(), 64);
        for chunk in [1, 3, 64] {
            let (owned, results) = into::<63>(&wire, chunk);
            let refusals: Vec<_> = results.iter().filter_map(|result| result.err()).collect();
            assert_eq!(refusals, [FrameTooLarge { capacity: 63 }], "{frame:?} by {chunk}");
            assert!(!results.contains(&Ok(true)));
            if chunk == 64 {
                assert!(results[refused_at].is_err(), "{frame:?}: {results:?}");
            }
            assert_eq!((owned.frame(), owned.as_bytes()), (None, &b""[..]));
            let (owned, results) = into::<64>(&wire, chunk);
            assert!(results.iter().all(Result::is_ok));
            assert_is(&owned, &frame);
            let (owned, results) = into::<65>(&wire, chunk);
            assert!(results.iter().all(Result::is_ok));
            assert_is(&owned, &frame);
        }
    }
    // Not even the smallest.
    let smallest = frame(0, &[], b"");
    assert_eq!(into::<17>(&smallest.wire(), 1).1[0], Err(FrameTooLarge { capacity: 17 }));
    assert_eq!(into::<1>(&smallest.wire(), 1).1[0], Err(FrameTooLarge { capacity: 1 }));
    assert_eq!(into::<0>(&smallest.wire(), 1).1[0], Err(FrameTooLarge { capacity: 0 }));
    assert_is(&into::<18>(&smallest.wire(), 1).0, &smallest);
}

#[test]
fn a_frame_that_is_too_large_is_refused_where_it_says_so_and_the_next_one_is_kept() {
    let large: [(Frame, usize); 4] = [
        // At its message's length, its file's length, its file's name, its second file.
        (frame(1, &[], &[b'm'; 100]), 1),
        (frame(1, &[(b"n", &[b'd'; 100])], b"m"), 1),
        (frame(1, &[(&[b'n'; 100], b"d")], b"m"), 1),
        (frame(1, &[(b"a", b"1"), (b"b", &[b'd'; 100])], b"m"), 4),
    ];
    let small = frame(2, &[(b"n", b"d")], b"m");
    for (large, refused_at) in large {
        let mut owned = OwnedFrame::<64>::new();
        let before = push_all(&mut owned, &reference::Limits::WIDEST, [&small.wire()[..]]);
        assert!(before.iter().all(Result::is_ok));
        let results = push_all(&mut owned, &reference::Limits::WIDEST, [&large.wire()[..]]);
        for (at, result) in results.into_iter().enumerate() {
            let expected = if at == refused_at { Err(FrameTooLarge { capacity: 64 }) } else { Ok(false) };
            assert_eq!(result, expected, "event {at} of {large:?}");
        }
        assert_eq!((owned.frame(), owned.as_bytes()), (None, &b""[..]));
        push_all(&mut owned, &reference::Limits::WIDEST, [&small.wire()[..]]);
        assert_is(&owned, &small);
    }
    assert_eq!(FrameTooLarge { capacity: 64 }.to_string(), "the frame does not fit into 64 bytes");
}

#[test]
fn lengths_of_64_bits_are_too_large() {
    let start = |files| Event::FrameStart(FrameHeader { status: Status::ZERO, version: 1, files });
    for size in [u64::MAX, u64::MAX - 8, 1 << 32] {
        let mut owned = OwnedFrame::<64>::new();
        assert_eq!(owned.push(start(1)), Ok(false));
        let refused = Err(FrameTooLarge { capacity: 64 });
        assert_eq!(owned.push(Event::FileStart { name: b"n", size }), refused);
        assert_eq!(owned.push(start(0)), Ok(false));
        assert_eq!(owned.push(Event::MessageStart { size }), refused);
    }
}

#[test]
fn nothing_is_kept_before_a_start_or_after_clearing() {
    let whole = frame(0, &[(b"n", b"d")], b"m");
    let mut owned = OwnedFrame::<64>::new();
    assert_eq!((owned.frame(), owned.as_bytes()), (None, &b""[..]));
    for event in [
        Event::FileStart { name: b"n", size: 1 },
        Event::FileData(b"d"),
        Event::FileEnd,
        Event::MessageStart { size: 1 },
        Event::MessageData(b"m"),
        Event::FrameEnd,
    ] {
        assert_eq!(owned.push(event), Ok(false));
        assert_eq!((owned.frame(), owned.as_bytes()), (None, &b""[..]));
    }
    push_all(&mut owned, &reference::Limits::WIDEST, [&whole.wire()[..]]);
    assert_is(&owned, &whole);
    // What follows a frame and is not the start of another does not touch it.
    assert_eq!(owned.push(Event::MessageData(b"more")), Ok(false));
    assert_is(&owned, &whole);
    owned.clear();
    assert_eq!((owned.frame(), owned.as_bytes()), (None, &b""[..]));
    assert_eq!(owned.push(Event::FrameEnd), Ok(false));
    push_all(&mut owned, &reference::Limits::WIDEST, [&whole.wire()[..]]);
    assert_is(&owned, &whole);

    // Cleared in the middle: the rest of that frame is not mistaken for one.
    owned.clear();
    let wire = whole.wire();
    let (first, second) = wire.split_at(wire.len() / 2);
    let mut decoder = decoder(&reference::Limits::WIDEST);
    let mut input = first;
    while let Some(event) = decoder.decode(&mut input).unwrap() {
        owned.push(event).unwrap();
    }
    owned.clear();
    let mut input = second;
    while let Some(event) = decoder.decode(&mut input).unwrap() {
        assert_eq!(owned.push(event), Ok(false));
    }
    assert_eq!((owned.frame(), owned.as_bytes()), (None, &b""[..]));
}

#[test]
fn another_version_is_kept_as_it_was_sent() {
    let mut wire = frame(5, &[(b"n", b"d")], b"m").wire();
    wire[1] = 9;
    let limits = reference::Limits { any_version: true, ..reference::Limits::WIDEST };
    let mut owned = OwnedFrame::<64>::new();
    push_all(&mut owned, &limits, wire.chunks(5));
    assert_eq!(owned.as_bytes(), wire);
    let header = owned.frame().unwrap().header();
    assert_eq!(header, FrameHeader { status: Status::new(5).unwrap(), version: 9, files: 1 });
}

#[test]
fn events_that_no_decoder_yields_make_no_frame() {
    let start = |files| Event::FrameStart(FrameHeader { status: Status::ZERO, version: 1, files });
    // No message, a file that was never sent, a file that lacks its data.
    let short = [
        vec![start(0), Event::FrameEnd],
        vec![start(1), Event::MessageStart { size: 0 }, Event::FrameEnd],
        vec![
            start(1),
            Event::FileStart { name: b"n", size: 9 },
            Event::MessageStart { size: 0 },
            Event::FrameEnd,
        ],
    ];
    for events in short {
        let mut owned = OwnedFrame::<64>::new();
        for event in events {
            owned.push(event).unwrap();
        }
        assert_eq!(owned.frame(), None);
    }
    // More data than was announced meets the capacity.
    let mut owned = OwnedFrame::<64>::new();
    owned.push(start(0)).unwrap();
    owned.push(Event::MessageStart { size: 1 }).unwrap();
    assert_eq!(owned.push(Event::MessageData(&[0; 47])), Err(FrameTooLarge { capacity: 64 }));
    // A name no length field can announce is cut to what it can, and all of it must fit.
    let name = [b'n'; 65_537];
    let mut owned = OwnedFrame::<70_000>::new();
    for event in [
        start(1),
        Event::FileStart { name: &name, size: 0 },
        Event::FileEnd,
        Event::MessageStart { size: 0 },
        Event::FrameEnd,
    ] {
        owned.push(event).unwrap();
    }
    let file = owned.frame().unwrap().files().next().unwrap();
    assert_eq!(file, File { name: &name[..65_535], data: b"" });
}

#[test]
fn a_vector_is_encoded_into_if_it_fits() {
    let files = [File { name: b"a.txt", data: b"hi" }];
    let frame = frame(127, &[(b"a.txt", b"hi")], b"m").wire();
    assert_eq!((frame.len(), encoded_len(&files, b"m")), (36, 36));
    assert_eq!(encode_to_vec::<36>(Status::MAX, &files, b"m").unwrap(), frame[..]);
    assert_eq!(encode_to_vec::<37>(Status::MAX, &files, b"m").unwrap(), frame[..]);
    let too_small = |available| EncodeError::BufferTooSmall { needed: 36, available };
    assert_eq!(encode_to_vec::<35>(Status::MAX, &files, b"m"), Err(too_small(35)));
    assert_eq!(encode_to_vec::<1>(Status::MAX, &files, b"m"), Err(too_small(1)));
    assert_eq!(encode_to_vec::<0>(Status::MAX, &files, b"m"), Err(too_small(0)));
    let long = [File { name: &[b'n'; 65_536], data: b"" }];
    assert_eq!(encode_to_vec::<64>(Status::MAX, &long, b""), Err(EncodeError::NameTooLong(65_536)));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_frames_are_kept_or_refused_one_by_one(frames in vec(frames(), 1..4), cuts in cuts()) {
        let wires: Vec<_> = frames.iter().map(Frame::wire).collect();
        let stream = wires.concat();
        let mut decoder = decoder(&reference::Limits::WIDEST);
        let mut owned = OwnedFrame::<80>::new();
        let (mut kept, mut refused) = (Vec::new(), 0);
        for mut input in cut(&stream, &cuts) {
            while let Some(event) = decoder.decode(&mut input).unwrap() {
                match owned.push(event) {
                    Ok(true) => kept.push(owned.as_bytes().to_vec()),
                    Ok(false) => prop_assert_eq!(owned.frame(), None),
                    Err(error) => {
                        prop_assert_eq!(error, FrameTooLarge { capacity: 80 });
                        refused += 1;
                    }
                }
            }
        }
        let fits: Vec<_> = wires.iter().filter(|wire| wire.len() <= 80).cloned().collect();
        prop_assert_eq!(refused, wires.len() - fits.len());
        prop_assert_eq!(kept, fits);
    }
}

/// What `push` answers to each event of `pieces`.
fn push_all<'i, const N: usize>(
    owned: &mut OwnedFrame<N>,
    limits: &reference::Limits,
    pieces: impl IntoIterator<Item = &'i [u8]>,
) -> Vec<Result<bool, FrameTooLarge>> {
    let mut decoder = decoder(limits);
    let mut results = Vec::new();
    for mut input in pieces {
        while let Some(event) = decoder.decode(&mut input).unwrap() {
            let result = owned.push(event);
            assert_eq!(owned.frame().is_some(), result == Ok(true));
            results.push(result);
        }
    }
    assert_eq!(decoder.finish(), Ok(()));
    results
}

fn assert_is<const N: usize>(owned: &OwnedFrame<N>, frame: &Frame) {
    assert_eq!(owned.as_bytes(), frame.wire());
    let mut log = Log::default();
    log.push_frame(&owned.frame().expect("a complete frame"));
    assert_eq!(log.0, frame.events());
}
