//! The decoder against the vectors, the reference decoder, and everything a stranger may send.
//!
//! What strangers and bad luck do to the codec, and the tests that show what happens then (the last test here sees that
//! they are there):
//!
//! | case | test |
//! |---|---|
//! | the first bit is 0 | `all_statuses_pass_and_a_first_bit_of_0_does_not` |
//! | another version | `another_version_is_refused_unless_any_is_accepted`, `another_version_is_taken_only_where_any_is_accepted`, `another_version_is_kept_as_it_was_sent` |
//! | every split in two and three, single bytes | `every_split_in_two_and_every_byte_alone_is_the_same_as_one_piece`, `every_split_in_three_is_the_same_as_one_piece`, `the_reader_does_not_care_how_its_reads_are_cut`, `a_frame_is_put_together_from_every_split` |
//! | empty input | `empty_input_changes_nothing_anywhere` |
//! | the end at each byte | `the_end_of_input_is_clean_between_frames_and_an_error_everywhere_else`, `the_reader_reports_an_end_inside_a_frame`, `a_frame_that_is_not_here_whole_is_left_where_it_lies` |
//! | counts and lengths of 2^64 - 1 | `numbers_of_64_bits_meet_their_limit_before_any_data`, `four_billion_files_are_one_too_many`, `lengths_beyond_32_bits_are_not_cut`, `numbers_of_64_bits_are_no_whole_frame`, `lengths_of_64_bits_are_too_large` |
//! | sums of sizes | `sums_of_sizes_never_wrap`, `a_frame_nobody_could_count_is_refused`, `a_frame_of_one_message_is_refused_inside_another_and_where_nobody_could_count_it` |
//! | a million empty files | `a_million_empty_files_meet_the_frame_limit` |
//! | one less and one more than a limit | `every_limit_holds_exactly`, `the_frame_limit_counts_everything_in_the_frame_and_starts_anew_with_the_next`, `every_limit_is_that_of_the_events`, `the_capacity_holds_exactly` |
//! | names of 0, 1, 255, 256, 65,535 bytes | `names_of_every_length_arrive_whole_however_they_are_cut`, `all_statuses_and_names_of_every_length_encode`, `vectors_and_names_of_every_length_encode_in_one_call` |
//! | a character cut in two by a read | `a_character_cut_in_two_and_a_name_that_is_not_utf_8_arrive_as_they_were_sent` |
//! | a name that is not UTF-8 | `a_character_cut_in_two_and_a_name_that_is_not_utf_8_arrive_as_they_were_sent` |
//! | a ping with files and a message | `a_ping_may_carry_files_and_a_message` |
//! | all 128 statuses | `all_statuses_pass_and_a_first_bit_of_0_does_not`, `a_status_is_checked_where_it_is_made`, `all_statuses_and_names_of_every_length_encode` |
//! | frames back to back | `frames_back_to_back_are_all_found`, `a_frame_taken_whole_leaves_the_place_that_events_would_leave` |
//! | garbage after a good frame | `a_fault_comes_after_the_events_before_it` |
//! | use after an error | `a_decoder_that_failed_gives_the_same_error_for_ever`, `a_peers_fault_stays` |
//! | too much or too little payload | `payload_must_be_what_was_announced` |
//! | heads out of order | `heads_out_of_order_are_refused` |
//! | a status over 127 | `a_status_is_checked_where_it_is_made` |
//! | a name over 65,535 bytes | `a_name_over_65_535_bytes_is_refused`, `a_name_that_no_length_field_can_announce_is_not_encoded` |
//! | an output buffer of one byte | `a_buffer_that_is_too_small_is_told_how_long_it_must_be`, `the_writer_yields_the_vectors_through_any_stage_and_transport`, `a_vector_is_encoded_into_if_it_fits` |

mod common;

use std::collections::HashSet;
use std::fmt::{self, Write};
use std::rc::Rc;
use std::sync::Arc;

use common::reference::{self, Event, Fault, Frame};
use common::{
    assert_sticky, by_decode, by_frames, by_step, decoder, frame, splits_in_three, splits_in_two, vectors,
};
use tej_core::{
    DecodeError, DecodeErrorKind, Decoder, DefaultLimits, FRAME_HEAD_LEN, FrameHeader, Limits, MAX_NAME_LEN,
    MIN_FRAME_LEN, PayloadOverrun, Status, VERSION,
};

#[test]
fn vectors_decode_to_what_they_are_said_to_be() {
    for vector in vectors() {
        assert_eq!(vector.wire, vector.frame.wire(), "{}", vector.what);
        let expected = (vector.frame.events(), None);
        assert_eq!(reference::decode(&vector.wire, &reference::Limits::WIDEST), expected, "{}", vector.what);
        let decoder = || decoder(&reference::Limits::WIDEST);
        assert_eq!(by_decode(decoder(), [&vector.wire[..]]), expected, "{}", vector.what);
        assert_eq!(by_step(decoder(), [&vector.wire[..]]), expected, "{}", vector.what);
        assert_eq!(by_frames(&reference::Limits::WIDEST, [&vector.wire[..]]), expected, "{}", vector.what);
    }
}

#[test]
fn the_protocol_description_shows_every_vector() {
    let strip = |text: &str| text.replace(|c: char| c.is_whitespace() || c == '`', "");
    let description = strip(include_str!("../../docs/protocol.md"));
    for vector in vectors() {
        let hex: String = vector.wire.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(description.contains(&format!("|{hex}|{}|", strip(vector.what))), "{}", vector.what);
    }
}

#[test]
fn constants_are_those_of_the_wire() {
    let smallest = frame(0, &[], b"").wire();
    assert_eq!(smallest.len(), MIN_FRAME_LEN);
    assert_eq!(smallest.len() - FRAME_HEAD_LEN, size_of::<u64>());
    assert_eq!(smallest[1], VERSION);
    assert_eq!(MAX_NAME_LEN, 65_535);
}

#[test]
fn every_split_in_two_and_every_byte_alone_is_the_same_as_one_piece() {
    for (stream, limits) in good_and_faulty_streams() {
        let expected = reference::decode(&stream, &limits);
        for pieces in splits_in_two(&stream) {
            assert_eq!(by_decode(decoder(&limits), pieces), expected, "{pieces:02x?}");
            assert_eq!(by_step(decoder(&limits), pieces), expected, "{pieces:02x?}");
            assert_eq!(by_frames(&limits, pieces), expected, "{pieces:02x?}");
        }
        assert_eq!(by_decode(decoder(&limits), stream.chunks(1)), expected, "{stream:02x?}");
        assert_eq!(by_step(decoder(&limits), stream.chunks(1)), expected, "{stream:02x?}");
        assert_eq!(by_frames(&limits, stream.chunks(1)), expected, "{stream:02x?}");
    }
}

#[test]
fn every_split_in_three_is_the_same_as_one_piece() {
    let mut longest = 0;
    for (stream, limits) in good_and_faulty_streams() {
        if stream.len() > 64 {
            continue;
        }
        longest = longest.max(stream.len());
        let expected = reference::decode(&stream, &limits);
        for pieces in splits_in_three(&stream) {
            assert_eq!(by_decode(decoder(&limits), pieces), expected, "{pieces:02x?}");
            assert_eq!(by_step(decoder(&limits), pieces), expected, "{pieces:02x?}");
            assert_eq!(by_frames(&limits, pieces), expected, "{pieces:02x?}");
        }
    }
    assert_eq!(longest, 64);
}

#[test]
fn empty_input_changes_nothing_anywhere() {
    let stream = every_vector();
    let expected = reference::decode(&stream, &reference::Limits::WIDEST);
    let with_pauses = || stream.chunks(1).flat_map(|byte| [b"", b"", byte, b""]);
    assert_eq!(by_decode(decoder(&reference::Limits::WIDEST), with_pauses()), expected);
    assert_eq!(by_step(decoder(&reference::Limits::WIDEST), with_pauses()), expected);
    assert_eq!(by_frames(&reference::Limits::WIDEST, with_pauses()), expected);

    let mut untouched = decoder(&reference::Limits::WIDEST);
    assert_eq!(untouched.decode(&mut &[][..]), Ok(None));
    assert_eq!(untouched.decode_frame(&mut &[][..]), None);
    assert_eq!((untouched.offset(), untouched.is_between_frames(), untouched.finish()), (0, true, Ok(())));
}

#[test]
fn the_end_of_input_is_clean_between_frames_and_an_error_everywhere_else() {
    let last = b"\x80\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01x";
    let stream = [every_vector(), last.to_vec()].concat();
    let mut ends = vec![0];
    for vector in vectors() {
        ends.push(ends[ends.len() - 1] + vector.wire.len());
    }
    ends.push(stream.len());
    for end in 0..=stream.len() {
        let truncated = Fault { kind: "truncated", value: 0, offset: end as u64 };
        let expected = if ends.contains(&end) { None } else { Some(truncated) };
        let prefix = &stream[..end];
        assert_eq!(reference::decode(prefix, &reference::Limits::WIDEST).1, expected);
        let outcome = by_decode(decoder(&reference::Limits::WIDEST), [prefix]);
        assert_eq!(outcome, reference::decode(prefix, &reference::Limits::WIDEST));
        assert_eq!(by_step(decoder(&reference::Limits::WIDEST), prefix.chunks(1)), outcome);
        assert_eq!(by_frames(&reference::Limits::WIDEST, [prefix]), outcome);
    }
}

#[test]
fn a_frame_whose_end_was_not_asked_for_is_complete_but_not_over() {
    let mut decoder = decoder(&reference::Limits::WIDEST);
    let mut input = &frame(0, &[], b"").wire()[..];
    assert!(decoder.is_between_frames());
    assert!(decoder.decode(&mut input).unwrap().is_some());
    assert!(!decoder.is_between_frames());
    assert_eq!(decoder.decode(&mut input), Ok(Some(tej_core::Event::MessageStart { size: 0 })));
    assert_eq!(decoder.finish(), Ok(()));
    assert!(!decoder.is_between_frames());
    assert_eq!(decoder.decode(&mut input), Ok(Some(tej_core::Event::FrameEnd)));
    assert!(decoder.is_between_frames());
}

#[test]
fn needing_more_after_the_end_of_input_is_not_sticky() {
    let wire = frame(0, &[], b"x").wire();
    let mut decoder = decoder(&reference::Limits::WIDEST);
    let (mut first, mut second) = wire.split_at(3);
    assert_eq!(decoder.decode(&mut first), Ok(None));
    assert_eq!(decoder.finish().unwrap_err().offset, 3);
    assert!(matches!(decoder.decode(&mut second), Ok(Some(tej_core::Event::FrameStart(_)))));
}

#[test]
fn all_statuses_pass_and_a_first_bit_of_0_does_not() {
    for status in 0..=127 {
        let wire = frame(status, &[], b"").wire();
        let Ok(Some(tej_core::Event::FrameStart(header))) =
            decoder(&reference::Limits::WIDEST).decode(&mut &wire[..])
        else {
            panic!("status {status} was refused");
        };
        assert_eq!(header, FrameHeader { status: Status::new(status).unwrap(), version: 1, files: 0 });
        assert_eq!(header.status.value(), status);
        assert_eq!(header.status.is_ping(), status == 2);

        let garbage = [&wire[..], &[status], &wire[..]].concat();
        let fault = Fault { kind: "bad_start_bit", value: status.into(), offset: 18 };
        let expected = (frame(status, &[], b"").events(), Some(fault));
        assert_eq!(by_decode(decoder(&reference::Limits::WIDEST), [&garbage[..]]), expected);
        assert_eq!(by_step(decoder(&reference::Limits::WIDEST), garbage.chunks(1)), expected);
        assert_eq!(by_frames(&reference::Limits::WIDEST, [&garbage[..]]), expected);
    }
}

#[test]
fn a_status_is_checked_where_it_is_made() {
    for value in 0..=127 {
        assert_eq!(Status::new(value).map(Status::value), Ok(value));
        assert_eq!(Status::try_from(value).map(u8::from), Ok(value));
        assert_eq!(Status::new(value).unwrap().to_string(), value.to_string());
    }
    for value in 128..=255 {
        let error = Status::new(value).unwrap_err();
        assert_eq!((error.0, Status::try_from(value)), (value, Err(error)));
        assert!(error.to_string().contains(&value.to_string()));
    }
    assert_eq!((Status::ZERO.value(), Status::PING.value(), Status::MAX.value()), (0, 2, 127));
    assert_eq!(Status::default(), Status::ZERO);
}

#[test]
fn another_version_is_refused_unless_any_is_accepted() {
    for version in (0..=255).filter(|&version| version != 1) {
        let mut wire = frame(5, &[(b"n", b"data")], b"m").wire();
        wire[1] = version;
        let refused = Fault { kind: "unsupported_version", value: version.into(), offset: 1 };
        assert_eq!(by_decode(decoder(&reference::Limits::WIDEST), [&wire[..]]), (vec![], Some(refused)));
        // The byte itself is enough: nothing is awaited that might never come.
        assert_eq!(by_step(decoder(&reference::Limits::WIDEST), [&wire[..2]]), (vec![], Some(refused)));

        let mut expected = frame(5, &[(b"n", b"data")], b"m").events();
        expected[0] = Event::FrameStart { status: 5, version, files: 1 };
        let tolerant = reference::Limits { any_version: true, ..reference::Limits::WIDEST };
        assert_eq!(by_frames(&reference::Limits::WIDEST, [&wire[..]]), (vec![], Some(refused)));
        assert_eq!(by_frames(&tolerant, [&wire[..]]), (expected.clone(), None));
        assert_eq!(by_decode(decoder(&tolerant), [&wire[..]]), (expected.clone(), None));
        assert_eq!(by_step(decoder(&tolerant), wire.chunks(1)), (expected, None));
    }
}

#[test]
fn frames_back_to_back_are_all_found() {
    let stream = every_vector();
    let expected: Vec<_> = vectors().iter().flat_map(|vector| vector.frame.events()).collect();
    assert_eq!(by_frames(&reference::Limits::WIDEST, [&stream[..]]), (expected.clone(), None));
    assert_eq!(by_decode(decoder(&reference::Limits::WIDEST), [&stream[..]]), (expected, None));
}

#[test]
fn a_fault_comes_after_the_events_before_it() {
    let good = frame(9, &[(b"n", b"data")], b"message");
    for garbage in [&b"\0"[..], b"GET / HTTP/1.1\r\n\r\n", b"\x80\x02", &[0; 100]] {
        let stream = [good.wire(), garbage.to_vec()].concat();
        let (events, fault) = by_decode(decoder(&reference::Limits::WIDEST), [&stream[..]]);
        assert_eq!(by_frames(&reference::Limits::WIDEST, [&stream[..]]), (events.clone(), fault));
        assert_eq!(events, good.events());
        let at = good.wire().len() as u64;
        let expected =
            if garbage[0] == 0x80 { ("unsupported_version", at + 1) } else { ("bad_start_bit", at) };
        assert_eq!(fault.map(|fault| (fault.kind, fault.offset)), Some(expected));
    }
}

#[test]
fn a_decoder_that_failed_gives_the_same_error_for_ever() {
    let mut kinds = HashSet::new();
    for (stream, limits) in good_and_faulty_streams() {
        let mut decoder = decoder(&limits);
        let mut input = &stream[..];
        let error = loop {
            match decoder.decode(&mut input) {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = error {
            kinds.insert(error.kind);
            assert_sticky(&mut decoder, error);
            assert_eq!(decoder.advance_payload(0), Ok(()));
            assert_eq!(decoder.advance_payload(1), Err(PayloadOverrun { moved: 1, remaining: 0 }));
            assert_sticky(&mut decoder, error);
        }
    }
    // All but the one that is not.
    assert_eq!(kinds.len(), DecodeErrorKind::ALL.len() - 1);
    assert!(!kinds.contains(&DecodeErrorKind::Truncated));
}

#[test]
fn a_ping_may_carry_files_and_a_message() {
    let ping = frame(2, &[(b"a", b"1"), (b"b", b"22")], b"pong?");
    let outcome = by_decode(decoder(&reference::Limits::WIDEST), [&ping.wire()[..]]);
    assert_eq!(outcome, (ping.events(), None));
    assert_eq!(by_frames(&reference::Limits::WIDEST, [&ping.wire()[..]]), outcome);
}

#[test]
fn names_of_every_length_arrive_whole_however_they_are_cut() {
    for len in [0, 1, 2, 254, 255, 256, 257, 65_534, 65_535] {
        let name: Vec<u8> = (0..len).map(|i: u32| (i % 251) as u8).collect();
        let frame =
            Frame { status: 0, files: vec![(name.clone(), b"d".to_vec()), (name, vec![])], message: vec![] };
        let wire = frame.wire();
        let expected = (frame.events(), None);
        // A storage of exactly the name's length has to do.
        let limits = reference::Limits { name: len.into(), ..reference::Limits::WIDEST };
        for size in [1, 2, 7, 255, 256, 65_536, wire.len()] {
            assert_eq!(by_decode(decoder(&limits), wire.chunks(size)), expected, "{len} by {size}");
            assert_eq!(by_step(decoder(&limits), wire.chunks(size)), expected, "{len} by {size}");
            assert_eq!(by_frames(&limits, wire.chunks(size)), expected, "{len} by {size}");
        }
        // Cuts around the fields on both sides of the name, where it is lent or stored.
        let name_end = FRAME_HEAD_LEN + 2 + len as usize;
        for at in (FRAME_HEAD_LEN..FRAME_HEAD_LEN + 5).chain(name_end - 1..name_end + 10) {
            let at = at.min(wire.len());
            assert_eq!(by_decode(decoder(&limits), [&wire[..at], &wire[at..]]), expected, "{len} at {at}");
        }
    }
}

#[test]
fn a_name_that_lies_in_the_input_is_lent_and_not_copied() {
    let wire = frame(0, &[(b"name", b"")], b"").wire();
    let mut storage = [b'-'; 4];
    let mut decoder = Decoder::new(&mut storage[..], Limits::UNLIMITED);
    let mut input = &wire[..];
    assert!(decoder.decode(&mut input).unwrap().is_some());
    let Ok(Some(tej_core::Event::FileStart { name, .. })) = decoder.decode(&mut input) else {
        panic!("no file");
    };
    assert_eq!(name.as_ptr(), wire[FRAME_HEAD_LEN + 2..].as_ptr());
    assert_eq!(&storage, b"----");
}

#[test]
fn a_character_cut_in_two_and_a_name_that_is_not_utf_8_arrive_as_they_were_sent() {
    for name in
        ["é", "日本語.txt", "🦀"].map(str::as_bytes).into_iter().chain([&b"\xff"[..], b"a\0b", b"\xc3"])
    {
        let frame = frame(0, &[(name, b"x")], b"");
        for pieces in splits_in_two(&frame.wire()) {
            let outcome = by_decode(decoder(&reference::Limits::WIDEST), pieces);
            assert_eq!(outcome, (frame.events(), None), "{pieces:02x?}");
        }
    }
}

#[test]
fn every_limit_holds_exactly() {
    type Set = fn(&mut reference::Limits, u64);
    type Wire = fn(u64) -> Vec<u8>;
    struct Case {
        kind: &'static str,
        set: Set,
        limit: u64,
        /// A stream with the number at the limit that is asked for.
        wire: Wire,
        /// Where its field is, and how long.
        offset: usize,
        width: usize,
        /// What the field says beside the number that the limit is about.
        less: u64,
    }
    let cases = [
        Case {
            kind: "too_many_files",
            set: |limits, n| limits.files = n,
            limit: 3,
            wire: |n| Frame { status: 0, files: vec![(vec![], vec![]); repeat(n)], message: vec![] }.wire(),
            offset: 2,
            width: 8,
            less: 0,
        },
        Case {
            kind: "name_too_long",
            set: |limits, n| limits.name = n,
            limit: 255,
            wire: |n| frame(0, &[(&vec![b'n'; repeat(n)], b"d")], b"m").wire(),
            offset: 10,
            width: 2,
            less: 0,
        },
        Case {
            kind: "file_too_long",
            set: |limits, n| limits.file = n,
            limit: 1000,
            wire: |n| frame(0, &[(b"n", &vec![b'd'; repeat(n)])], b"m").wire(),
            offset: 13,
            width: 8,
            less: 0,
        },
        Case {
            kind: "message_too_long",
            set: |limits, n| limits.message = n,
            limit: 1000,
            wire: |n| frame(0, &[(b"n", b"d")], &vec![b'm'; repeat(n)]).wire(),
            offset: 22,
            width: 8,
            less: 0,
        },
        // The frame's limit, met at the message: 18 bytes are the head and the length field itself.
        Case {
            kind: "frame_too_long",
            set: |limits, n| limits.frame = n,
            limit: 100,
            wire: |n| frame(0, &[], &vec![b'm'; repeat(n - 18)]).wire(),
            offset: 10,
            width: 8,
            less: 18,
        },
        // The frame's limit, met at the second file: 10 + 12 + 11 bytes come before its data.
        Case {
            kind: "frame_too_long",
            set: |limits, n| limits.frame = n,
            limit: 100,
            wire: |n| {
                let second = vec![b'd'; repeat(n - 33)];
                let wire = frame(0, &[(b"a", b"1"), (b"b", &second)], b"").wire();
                // The message would be over the limit, too: leave it out.
                wire[..wire.len() - 8].to_vec()
            },
            offset: 25,
            width: 8,
            less: 33,
        },
    ];
    for case in cases {
        let mut limits = reference::Limits::WIDEST;
        (case.set)(&mut limits, case.limit);
        for n in [case.limit - 1, case.limit] {
            let wire = (case.wire)(n);
            let (events, fault) = by_decode(decoder(&limits), [&wire[..]]);
            assert!(fault.is_none_or(|fault| fault.kind == "truncated"), "{}: {fault:?}", case.kind);
            assert_eq!(by_frames(&limits, [&wire[..]]), (events.clone(), fault), "{}", case.kind);
            assert_eq!((events, fault), reference::decode(&wire, &limits));
        }
        let n = case.limit + 1;
        let wire = (case.wire)(n);
        let offset = case.offset as u64;
        let expected = Fault { kind: case.kind, value: n - case.less, offset };
        for chunk in [1, 3, wire.len()] {
            let (events, fault) = by_step(decoder(&limits), wire.chunks(chunk));
            assert_eq!(fault, Some(expected), "{} by {chunk}", case.kind);
            assert_eq!(by_frames(&limits, wire.chunks(chunk)).1, fault, "{} by {chunk}", case.kind);
            assert_eq!((events, fault), reference::decode(&wire, &limits));
        }
        // The field's last byte is what it takes, and nothing behind it.
        let (before, field) = wire[..case.offset + case.width].split_at(case.offset + case.width - 1);
        assert_eq!(by_decode(decoder(&limits), [before]).1.unwrap().kind, "truncated");
        assert_eq!(by_decode(decoder(&limits), [before, field]).1, Some(expected));
    }
}

#[test]
fn the_frame_limit_counts_everything_in_the_frame_and_starts_anew_with_the_next() {
    let all = frame(0, &[(b"name", b"data"), (b"", b"")], b"message");
    let len = all.wire().len() as u64;
    let twice = [all.wire(), all.wire()].concat();
    let exact = reference::Limits { frame: len, ..reference::Limits::WIDEST };
    assert_eq!(by_decode(decoder(&exact), [&twice[..]]), ([all.events(), all.events()].concat(), None));
    assert_eq!(by_frames(&exact, [&twice[..]]), ([all.events(), all.events()].concat(), None));
    let short = reference::Limits { frame: len - 1, ..reference::Limits::WIDEST };
    let expected = Fault { kind: "frame_too_long", value: 7, offset: len - 7 - 8 };
    assert_eq!(by_decode(decoder(&short), [&twice[..]]).1, Some(expected));
    assert_eq!(by_frames(&short, [&twice[..]]).1, Some(expected));

    // Not even the smallest frame.
    let none = reference::Limits { frame: 17, ..reference::Limits::WIDEST };
    let expected = Fault { kind: "frame_too_long", value: 0, offset: 10 };
    assert_eq!(by_decode(decoder(&none), [&frame(0, &[], b"").wire()[..]]).1, Some(expected));
}

#[test]
fn a_million_empty_files_meet_the_frame_limit() {
    const FILES: u64 = 1_000_000;
    // Each is ten bytes: two lengths, no name, no data.
    let limits = reference::Limits { frame: 10 + 10 * FILES, ..reference::Limits::WIDEST };
    let mut decoder = decoder(&limits);
    let head = [&b"\x80\x01"[..], &u64::from(u32::MAX).to_be_bytes()].concat();
    assert!(matches!(decoder.decode(&mut &head[..]), Ok(Some(tej_core::Event::FrameStart(_)))));
    let batch = [0; 10 * 1000];
    let (mut started, mut ended) = (0, 0);
    let error = 'stream: loop {
        let mut input = &batch[..];
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(tej_core::Event::FileStart { name: [], size: 0 })) => started += 1,
                Ok(Some(event)) => {
                    assert_eq!(event, tej_core::Event::FileEnd);
                    ended += 1;
                    assert_eq!(ended, started);
                }
                Ok(None) => break assert!(input.is_empty(), "no progress"),
                Err(error) => break 'stream error,
            }
        }
        assert!(started <= FILES, "the limit was missed");
    };
    assert_eq!((started, ended), (FILES, FILES));
    assert_eq!((error.kind, error.value), (DecodeErrorKind::FrameTooLong, 0));
    assert_eq!(error.offset, 10 + 10 * FILES + 2);
}

#[test]
fn numbers_of_64_bits_meet_their_limit_before_any_data() {
    let count = [&b"\x80\x01"[..], &u64::MAX.to_be_bytes()].concat();
    let file = [&b"\x80\x01\0\0\0\0\0\0\0\x01\0\x01n"[..], &u64::MAX.to_be_bytes()].concat();
    let message = [&b"\x80\x01\0\0\0\0\0\0\0\0"[..], &u64::MAX.to_be_bytes()].concat();
    let below = |set: fn(&mut reference::Limits)| {
        let mut limits = reference::Limits::WIDEST;
        set(&mut limits);
        limits
    };
    let cases = [
        (&count, reference::Limits::WIDEST, "too_many_files", 2),
        (&file, below(|limits| limits.file -= 1), "file_too_long", 13),
        (&file, reference::Limits::WIDEST, "frame_too_long", 13),
        (&message, below(|limits| limits.message -= 1), "message_too_long", 10),
        (&message, reference::Limits::WIDEST, "frame_too_long", 10),
    ];
    for (stream, limits, kind, offset) in cases {
        let expected = Some(Fault { kind, value: u64::MAX, offset });
        assert_eq!(reference::decode(stream, &limits).1, expected);
        assert_eq!(by_decode(decoder(&limits), [&stream[..]]).1, expected);
        assert_eq!(by_step(decoder(&limits), stream.chunks(1)).1, expected);
        assert_eq!(by_frames(&limits, [&stream[..]]).1, expected);
    }
}

/// The decoder counts files in 32 bits, and cuts no number to them.
#[test]
fn four_billion_files_are_one_too_many() {
    for files in [(1 << 32) - 2, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, 1 << 63] {
        let head = [&b"\x80\x01"[..], &u64::to_be_bytes(files)].concat();
        let refused = Fault { kind: "too_many_files", value: files, offset: 2 };
        let expected = if files < 1 << 32 {
            let start = Event::FrameStart { status: 0, version: 1, files };
            (vec![start], Some(Fault { kind: "truncated", value: 0, offset: 10 }))
        } else {
            (vec![], Some(refused))
        };
        assert_eq!(reference::decode(&head, &reference::Limits::WIDEST), expected);
        assert_eq!(by_decode(decoder(&reference::Limits::WIDEST), [&head[..]]), expected);
        assert_eq!(by_step(decoder(&reference::Limits::WIDEST), head.chunks(1)), expected);
        assert_eq!(by_frames(&reference::Limits::WIDEST, [&head[..]]), expected);
    }
}

#[test]
fn lengths_beyond_32_bits_are_not_cut() {
    let size = (1 << 32) + 3;
    let mut decoder = decoder(&reference::Limits::WIDEST);
    let head = file_head(1, b"big", size);
    let mut input = &head[..];
    assert!(decoder.decode(&mut input).unwrap().is_some());
    assert_eq!(decoder.decode(&mut input), Ok(Some(tej_core::Event::FileStart { name: b"big", size })));
    assert_eq!(decoder.payload_remaining(), size);
    assert_eq!(decoder.decode(&mut &b"1234"[..]), Ok(Some(tej_core::Event::FileData(b"1234"))));
    assert_eq!(decoder.payload_remaining(), size - 4);
    decoder.advance_payload(size - 5).unwrap();
    assert_eq!(decoder.payload_remaining(), 1);
    assert_eq!(decoder.finish().unwrap_err().offset, 23 + size - 1);
}

#[test]
fn sums_of_sizes_never_wrap() {
    // Two files of 2^63 bytes: the second takes the frame over 2^64 - 1.
    let half = 1 << 63;
    let mut decoder = after_file(2, half);
    let error = next_error(&mut decoder, &[&[0, 0][..], &half.to_be_bytes()].concat());
    let expected = (DecodeErrorKind::FrameTooLong, half, 20 + half + 2);
    assert_eq!((error.kind, error.value, error.offset), expected);

    // A file that leaves room for the message length and not a byte more: a whole frame of 2^64 - 1 bytes.
    let mut decoder = after_file(1, u64::MAX - 28);
    let mut input = &[0; 8][..];
    assert_eq!(decoder.decode(&mut input), Ok(Some(tej_core::Event::MessageStart { size: 0 })));
    assert_eq!(decoder.decode(&mut input), Ok(Some(tej_core::Event::FrameEnd)));
    assert_eq!(decoder.offset(), u64::MAX);
    // The stream's offset starts again from 0, the next frame is as good as any other.
    let next = frame(7, &[(b"n", b"d")], b"m");
    let mut whole = decoder.clone();
    assert_eq!(by_decode(decoder, [&next.wire()[..]]), (next.events(), None));
    let wire = next.wire();
    assert_eq!(whole.decode_frame(&mut &wire[..]).map(|frame| frame.len()), Some(wire.len()));
    assert_eq!(whole.offset(), wire.len() as u64 - 1);

    // A message of one byte is one too many.
    let mut decoder = after_file(1, u64::MAX - 28);
    let error = next_error(&mut decoder, &1_u64.to_be_bytes());
    let expected = (DecodeErrorKind::FrameTooLong, 1, u64::MAX - 8);
    assert_eq!((error.kind, error.value, error.offset), expected);

    // A file that leaves too little room for the message length.
    for short in 1..=8 {
        let mut decoder = after_file(1, u64::MAX - 28 + short);
        let error = next_error(&mut decoder, &0_u64.to_be_bytes());
        let expected = (DecodeErrorKind::FrameTooLong, 0, u64::MAX - 8 + short);
        assert_eq!((error.kind, error.value, error.offset), expected, "{short} too few");
    }
}

#[test]
fn payload_can_be_moved_past_the_decoder() {
    let frame = frame(3, &[(b"a", b"0123456789"), (b"b", b"xyz")], b"message");
    let wire = frame.wire();
    // At every payload, move the first `moved` bytes and let the decoder have the rest, by `fed` at a time.
    for moved in 0..=10 {
        for fed in [1, 2, 100] {
            let mut decoder = decoder(&reference::Limits::WIDEST);
            let mut log = common::Log::default();
            let mut at = 0;
            loop {
                let end = wire.len().min(at + fed);
                let mut input = &wire[at..end];
                let event = decoder.decode(&mut input).unwrap();
                let starts = matches!(
                    event,
                    Some(tej_core::Event::FileStart { .. } | tej_core::Event::MessageStart { .. })
                );
                at = end - input.len();
                match event {
                    Some(event) => log.push(event),
                    None if at == wire.len() => break,
                    None => assert!(input.is_empty(), "no progress"),
                }
                if starts {
                    let remaining = decoder.payload_remaining();
                    let overrun = PayloadOverrun { moved: remaining + 1, remaining };
                    assert_eq!(decoder.advance_payload(remaining + 1), Err(overrun));
                    assert_eq!(decoder.payload_remaining(), remaining);
                    let n = remaining.min(moved);
                    decoder.advance_payload(n).unwrap();
                    assert_eq!(decoder.payload_remaining(), remaining - n);
                    let bytes = &wire[at..at + usize::try_from(n).unwrap()];
                    if let (Some(Event::FileStart { .. }), false) = (log.0.last(), bytes.is_empty()) {
                        log.push(tej_core::Event::FileData(bytes));
                    } else if !bytes.is_empty() {
                        log.push(tej_core::Event::MessageData(bytes));
                    }
                    at += bytes.len();
                }
                assert_eq!(decoder.offset(), at as u64);
            }
            assert_eq!(log.0, frame.events(), "{moved} moved, then {fed} at a time");
        }
    }
}

#[test]
fn there_is_no_payload_to_move_outside_of_payload() {
    let wire = frame(0, &[(b"a", b"")], b"").wire();
    let mut decoder = decoder(&reference::Limits::WIDEST);
    for byte in wire.chunks(1) {
        let mut input = byte;
        loop {
            assert_eq!(decoder.advance_payload(0), Ok(()));
            let overrun = PayloadOverrun { moved: 1, remaining: 0 };
            assert_eq!(decoder.advance_payload(1), Err(overrun));
            assert_eq!(overrun.to_string(), "1 bytes of payload moved where 0 were to come");
            if decoder.decode(&mut input).unwrap().is_none() {
                break;
            }
        }
    }
    assert_eq!(decoder.offset(), wire.len() as u64);
}

#[test]
fn name_storage_and_limits_are_of_the_callers_kind() {
    let frame = frame(0, &[(b"name", b"data")], b"");
    let wire = frame.wire();
    let expected = (frame.events(), None);
    let limits = Limits::UNLIMITED;
    let mut bytes = [0; 4];
    assert_eq!(by_decode(Decoder::new(&mut bytes[..], &limits), wire.chunks(1)), expected);
    assert_eq!(&bytes, b"name");
    assert_eq!(by_decode(Decoder::new([0; 4], limits), wire.chunks(1)), expected);
    assert_eq!(by_decode(Decoder::new(vec![0; 4], Rc::new(limits)), wire.chunks(1)), expected);
    assert_eq!(
        by_decode(Decoder::new(vec![0; 4].into_boxed_slice(), Arc::new(limits)), wire.chunks(1)),
        expected
    );
    let default: Decoder = Decoder::new([0; 255], &Limits::DEFAULT);
    assert_eq!(default.limits(), &Limits::default());
    assert_eq!(by_decode(default, wire.chunks(1)), expected);

    // The length of the storage is the limit, whether the name would have to be stored or not.
    let too_long = Some(Fault { kind: "name_too_long", value: 4, offset: 10 });
    assert_eq!(by_decode(Decoder::new([0; 3], &limits), [&wire[..]]).1, too_long);
    assert_eq!(by_decode(Decoder::new([0; 3], &limits), wire.chunks(1)).1, too_long);
    assert_eq!(by_decode(Decoder::new([0; 0], &limits), [&wire[..]]).1, too_long);
}

#[test]
fn the_default_limits_bound_the_number_of_files_and_the_message() {
    let limits = Limits::DEFAULT;
    assert_eq!((limits.files, limits.message), (1_048_576, 16_777_216));
    assert_eq!((limits.file, limits.frame), (u64::MAX, u64::MAX));
    let unlimited = Limits::UNLIMITED;
    assert_eq!([unlimited.file, unlimited.message, unlimited.frame], [u64::MAX; 3]);
    assert_eq!((unlimited.files, unlimited.any_version), (u32::MAX, false));
    assert_eq!(Decoder::new([0; 1], DefaultLimits).limits(), &limits);
}

#[test]
fn an_error_says_what_is_wrong_and_where() {
    let head = frame(0, &[], b"").wire();
    let limits = reference::Limits { files: 1, name: 2, file: 3, message: 4, frame: 30, any_version: false };
    let long_file = [file_head(1, b"n", 4), vec![0; 4]].concat();
    let cases = [
        (vec![0x47], "a frame cannot start with byte 0x47: its first bit is 0 (at byte 0 of the stream)"),
        (vec![0x80, 9], "protocol version 9 is not supported (at byte 1 of the stream)"),
        (file_head(2, b"", 0), "2 files in one frame are over the limit (at byte 2 of the stream)"),
        (file_head(1, b"abc", 0), "a file name of 3 bytes is over the limit (at byte 10 of the stream)"),
        (long_file, "a file of 4 bytes is over the limit (at byte 13 of the stream)"),
        (frame(0, &[], b"abcde").wire(), "a message of 5 bytes is over the limit (at byte 10 of the stream)"),
        (
            frame(0, &[(b"n", b"d")], b"abcd").wire(),
            "a length of 4 bytes takes the frame over its limit (at byte 22 of the stream)",
        ),
        (head[..9].to_vec(), "the input ended inside a frame (at byte 9 of the stream)"),
    ];
    for (stream, text) in cases {
        let mut decoder = decoder(&limits);
        let mut input = &stream[..];
        let error = loop {
            match decoder.decode(&mut input) {
                Ok(Some(_)) => {}
                Ok(None) => break decoder.finish().unwrap_err(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn an_error_that_does_not_fit_where_it_is_written_is_not_cut_in_silence() {
    struct Room(usize);
    impl Write for Room {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let error = decoder(&reference::Limits::WIDEST).decode(&mut &b"\0"[..]).unwrap_err();
    let len = error.to_string().len();
    for room in 0..len {
        assert!(write!(Room(room), "{error}").is_err(), "in {room} of {len}");
    }
    assert!(write!(Room(len), "{error}").is_ok());
}

#[test]
fn the_tests_that_the_table_names_are_there() {
    let sources = [
        include_str!("decoder.rs"),
        include_str!("encoder.rs"),
        include_str!("frame.rs"),
        include_str!("io.rs"),
        include_str!("owned_frame.rs"),
    ];
    let source = sources.concat();
    let rows: Vec<_> = include_str!("decoder.rs").lines().filter(|line| line.starts_with("//! | ")).collect();
    assert!(rows.len() > 18);
    for row in &rows[1..] {
        let names: Vec<_> = row.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            assert!(source.contains(&format!("#[test]\nfn {name}() {{")), "no test {name}");
        }
    }
}

/// Every vector, all of them in a row, a frame of 64 bytes, and a stream for every kind of fault.
fn good_and_faulty_streams() -> Vec<(Vec<u8>, reference::Limits)> {
    let widest = reference::Limits::WIDEST;
    let tight = reference::Limits { any_version: false, files: 2, name: 4, file: 5, message: 6, frame: 50 };
    let full = frame(1, &[(b"abcd", b"12345"), (b"", b"xyz")], b"message!");
    assert_eq!(full.wire().len(), 58);
    let good = frame(1, &[(b"a", b"1")], b"m").wire();
    let mut streams: Vec<_> = vectors().into_iter().map(|vector| (vector.wire, widest)).collect();
    streams.extend([
        (every_vector(), widest),
        (frame(1, &[(b"abcdef", b"12345"), (b"", b"xyz")], b"message!0123").wire(), widest),
        (full.wire(), tight),
        ([&good[..], b"GET / HTTP/1.1"].concat(), widest),
        ([&good[..], b"\x81\x02"].concat(), widest),
        (
            [&good[..], b"\x81\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"].concat(),
            reference::Limits { any_version: true, ..widest },
        ),
        (frame(0, &[(b"", b""), (b"", b""), (b"", b"")], b"").wire(), tight),
        (frame(0, &[(b"abcde", b"")], b"").wire(), tight),
        (frame(0, &[(b"a", b""), (b"abcd", b"123456")], b"").wire(), tight),
        (frame(0, &[(b"a", b"")], b"1234567").wire(), tight),
        (frame(0, &[(b"abcd", b"12345"), (b"abcd", b"12345")], b"123456").wire(), tight),
        (file_head(1, b"ab", u64::MAX), widest),
        (good[..good.len() - 1].to_vec(), widest),
    ]);
    streams
}

fn every_vector() -> Vec<u8> {
    vectors().into_iter().flat_map(|vector| vector.wire).collect()
}

/// The bytes from the start of a frame of `files` files to the data of its first.
fn file_head(files: u64, name: &[u8], size: u64) -> Vec<u8> {
    let name_len = u16::try_from(name.len()).unwrap();
    [&b"\x80\x01"[..], &files.to_be_bytes(), &name_len.to_be_bytes(), name, &size.to_be_bytes()].concat()
}

/// A decoder behind the first of `files` files: one without a name, whose `size` bytes went past the decoder.
fn after_file(files: u64, size: u64) -> Decoder<Vec<u8>, Limits> {
    let mut decoder = decoder(&reference::Limits::WIDEST);
    let head = file_head(files, b"", size);
    let mut input = &head[..];
    assert!(decoder.decode(&mut input).unwrap().is_some());
    assert_eq!(decoder.decode(&mut input), Ok(Some(tej_core::Event::FileStart { name: b"", size })));
    decoder.advance_payload(size).unwrap();
    assert_eq!(decoder.decode(&mut input), Ok(Some(tej_core::Event::FileEnd)));
    decoder
}

fn next_error(decoder: &mut Decoder<Vec<u8>, Limits>, mut input: &[u8]) -> DecodeError {
    decoder.decode(&mut input).expect_err("the limit was missed")
}

fn repeat(n: u64) -> usize {
    usize::try_from(n).unwrap()
}
