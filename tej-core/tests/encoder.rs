//! The encoder: the bytes it yields, and everything it refuses.

mod common;

use common::{by_encoder, frame, vectors};
use tej_core::{EncodeError, Encoder, FileHead, MIN_FRAME_LEN, Status};

#[test]
fn vectors_encode_to_their_bytes() {
    // One encoder for all of them: what is left of a frame must not leak into the next.
    let mut encoder = Encoder::new();
    for vector in vectors() {
        for piece in [1, 2, usize::MAX] {
            assert_eq!(by_encoder(&mut encoder, &vector.frame, piece), vector.wire, "{}", vector.what);
        }
    }
}

#[test]
fn all_statuses_and_names_of_every_length_encode() {
    let mut encoder = Encoder::default();
    for status in 0..=127 {
        let frame = frame(status, &[], b"");
        assert_eq!(by_encoder(&mut encoder, &frame, 1), frame.wire());
    }
    for len in [0, 1, 255, 256, 65_535] {
        let frame = frame(0, &[(&vec![b'n'; len], b"d")], b"");
        assert_eq!(by_encoder(&mut encoder, &frame, 1), frame.wire());
    }
}

#[test]
fn heads_are_big_endian_and_as_wide_as_their_fields() {
    let mut encoder = Encoder::new();
    let head = encoder.start_frame(Status::MAX, 0x0102_0304).unwrap();
    assert_eq!(head, [0xff, 1, 0, 0, 0, 0, 1, 2, 3, 4]);
    let head = encoder.start_file(&[b'n'; 0x0102], 0x1112_1314_1516_1718).unwrap();
    let expected = FileHead { name_len: [1, 2], size: [0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18] };
    assert_eq!(head, expected);

    encoder = Encoder::new();
    encoder.start_frame(Status::ZERO, 0).unwrap();
    assert_eq!(encoder.start_message(0x0102_0304_0506_0708), Ok([1, 2, 3, 4, 5, 6, 7, 8]));
}

#[test]
fn the_books_follow_the_frame() {
    let mut encoder = Encoder::new();
    assert_eq!((encoder.is_idle(), encoder.frame_len(), encoder.payload_remaining()), (true, 0, 0));
    encoder.start_frame(Status::ZERO, 1).unwrap();
    assert_eq!((encoder.is_idle(), encoder.frame_len(), encoder.payload_remaining()), (false, 10, 0));
    encoder.start_file(b"name", 3).unwrap();
    assert_eq!((encoder.is_idle(), encoder.frame_len(), encoder.payload_remaining()), (false, 27, 3));
    encoder.payload(2).unwrap();
    assert_eq!((encoder.is_idle(), encoder.frame_len(), encoder.payload_remaining()), (false, 27, 1));
    encoder.payload(1).unwrap();
    assert_eq!((encoder.is_idle(), encoder.frame_len(), encoder.payload_remaining()), (false, 27, 0));
    encoder.start_message(2).unwrap();
    assert_eq!((encoder.is_idle(), encoder.frame_len(), encoder.payload_remaining()), (false, 37, 2));
    encoder.payload(2).unwrap();
    assert_eq!((encoder.is_idle(), encoder.frame_len(), encoder.payload_remaining()), (true, 37, 0));
    encoder.start_frame(Status::ZERO, 0).unwrap();
    assert_eq!((encoder.is_idle(), encoder.frame_len(), encoder.payload_remaining()), (false, 10, 0));
}

#[test]
fn heads_out_of_order_are_refused() {
    let out_of_order = EncodeError::OutOfOrder;
    let mut encoder = Encoder::new();
    // Between frames.
    refuses(&mut encoder, |e| e.start_file(b"n", 1).map(drop), out_of_order);
    refuses(&mut encoder, |e| e.start_message(0).map(drop), out_of_order);
    // A file is due.
    encoder.start_frame(Status::ZERO, 2).unwrap();
    refuses(&mut encoder, |e| e.start_frame(Status::ZERO, 0).map(drop), out_of_order);
    refuses(&mut encoder, |e| e.start_message(0).map(drop), out_of_order);
    encoder.start_file(b"a", 0).unwrap();
    refuses(&mut encoder, |e| e.start_message(0).map(drop), out_of_order);
    encoder.start_file(b"b", 1).unwrap();
    encoder.payload(1).unwrap();
    // The message is due.
    refuses(&mut encoder, |e| e.start_file(b"c", 0).map(drop), out_of_order);
    refuses(&mut encoder, |e| e.start_frame(Status::ZERO, 0).map(drop), out_of_order);
    encoder.start_message(0).unwrap();
    // Over.
    refuses(&mut encoder, |e| e.start_message(0).map(drop), out_of_order);
    refuses(&mut encoder, |e| e.start_file(b"d", 0).map(drop), out_of_order);
    assert!(encoder.is_idle());
}

#[test]
fn payload_must_be_what_was_announced() {
    let mut encoder = Encoder::new();
    let overrun = |offered, remaining| EncodeError::PayloadOverrun { offered, remaining };
    refuses(&mut encoder, |e| e.payload(1), overrun(1, 0));
    encoder.start_frame(Status::ZERO, 1).unwrap();
    refuses(&mut encoder, |e| e.payload(1), overrun(1, 0));
    encoder.start_file(b"n", 3).unwrap();
    refuses(&mut encoder, |e| e.payload(4), overrun(4, 3));
    refuses(&mut encoder, |e| e.payload(u64::MAX), overrun(u64::MAX, 3));
    encoder.payload(1).unwrap();
    refuses(&mut encoder, |e| e.payload(3), overrun(3, 2));
    let missing = EncodeError::PayloadMissing(2);
    refuses(&mut encoder, |e| e.start_file(b"n", 0).map(drop), missing);
    refuses(&mut encoder, |e| e.start_message(0).map(drop), missing);
    refuses(&mut encoder, |e| e.start_frame(Status::ZERO, 0).map(drop), missing);
    encoder.payload(0).unwrap();
    encoder.payload(2).unwrap();
    refuses(&mut encoder, |e| e.payload(1), overrun(1, 0));
    encoder.start_message(1).unwrap();
    refuses(&mut encoder, |e| e.start_frame(Status::ZERO, 0).map(drop), EncodeError::PayloadMissing(1));
    encoder.payload(1).unwrap();
    encoder.payload(0).unwrap();
    assert!(encoder.is_idle());
}

#[test]
fn a_name_over_65_535_bytes_is_refused() {
    for len in [65_536, 65_537, 1 << 17] {
        let mut encoder = Encoder::new();
        encoder.start_frame(Status::ZERO, 1).unwrap();
        let name = vec![b'n'; len];
        refuses(&mut encoder, |e| e.start_file(&name, 0).map(drop), EncodeError::NameTooLong(len));
        encoder.start_file(&name[..65_535], 0).unwrap();
    }
}

#[test]
fn a_frame_nobody_could_count_is_refused() {
    let too_long = EncodeError::FrameTooLong;
    let mut encoder = Encoder::new();
    encoder.start_frame(Status::ZERO, 2).unwrap();
    // 10 bytes of frame head, 11 of file head.
    refuses(&mut encoder, |e| e.start_file(b"n", u64::MAX - 20).map(drop), too_long);
    refuses(&mut encoder, |e| e.start_file(b"n", u64::MAX).map(drop), too_long);
    let most = u64::MAX - 21 - 10 - 9;
    encoder.start_file(b"n", most).unwrap();
    encoder.payload(most).unwrap();
    refuses(&mut encoder, |e| e.start_file(b"", 10).map(drop), too_long);
    encoder.start_file(b"", 0).unwrap();
    refuses(&mut encoder, |e| e.start_message(2).map(drop), too_long);
    encoder.start_message(1).unwrap();
    encoder.payload(1).unwrap();
    assert_eq!((encoder.frame_len(), encoder.is_idle()), (u64::MAX, true));
}

#[test]
fn a_frame_of_one_message_is_what_its_parts_would_be() {
    let mut encoder = Encoder::new();
    for status in [0, 2, 127] {
        for len in [0, 1, 5, 255, 256, 70_000] {
            let frame = frame(status, &[], &vec![b'm'; len]);
            let mut head = [0xaa; MIN_FRAME_LEN];
            encoder.message_frame(Status::new(status).unwrap(), len as u64, &mut head).unwrap();
            // No payload is due: the next frame can begin.
            assert!(encoder.is_idle());
            assert_eq!((encoder.payload_remaining(), encoder.frame_len()), (0, 18 + len as u64));
            let wire = [&head[..], &frame.message].concat();
            assert_eq!(wire, frame.wire());
            assert_eq!(wire, by_encoder(&mut encoder, &frame, usize::MAX));
        }
    }
    let mut head = [0; MIN_FRAME_LEN];
    encoder.message_frame(Status::MAX, 0x0102_0304_0506_0708, &mut head).unwrap();
    assert_eq!(head, *b"\xff\x01\0\0\0\0\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08");
}

#[test]
fn a_frame_of_one_message_is_refused_inside_another_and_where_nobody_could_count_it() {
    fn refuses_message_frame(encoder: &mut Encoder, size: u64, error: EncodeError) {
        let mut head = [0xaa; MIN_FRAME_LEN];
        let before = format!("{encoder:?}");
        assert_eq!(encoder.message_frame(Status::ZERO, size, &mut head), Err(error));
        assert_eq!(format!("{encoder:?}"), before, "a refusal changed the encoder");
        assert_eq!(head, [0xaa; MIN_FRAME_LEN], "a refusal wrote");
    }
    let mut encoder = Encoder::new();
    for size in [u64::MAX - 17, u64::MAX - 1, u64::MAX] {
        refuses_message_frame(&mut encoder, size, EncodeError::FrameTooLong);
    }
    let mut head = [0; MIN_FRAME_LEN];
    encoder.message_frame(Status::ZERO, u64::MAX - 18, &mut head).unwrap();
    assert_eq!((encoder.is_idle(), encoder.frame_len()), (true, u64::MAX));
    refuses_message_frame(&mut encoder, u64::MAX, EncodeError::FrameTooLong);

    encoder.start_frame(Status::ZERO, 1).unwrap();
    refuses_message_frame(&mut encoder, 0, EncodeError::OutOfOrder);
    refuses_message_frame(&mut encoder, u64::MAX, EncodeError::OutOfOrder);
    encoder.start_file(b"n", 2).unwrap();
    refuses_message_frame(&mut encoder, 0, EncodeError::PayloadMissing(2));
    encoder.payload(2).unwrap();
    refuses_message_frame(&mut encoder, 0, EncodeError::OutOfOrder);
    encoder.start_message(1).unwrap();
    refuses_message_frame(&mut encoder, 0, EncodeError::PayloadMissing(1));
    encoder.payload(1).unwrap();
    encoder.message_frame(Status::ZERO, 0, &mut head).unwrap();
    encoder.abort();
    refuses_message_frame(&mut encoder, 0, EncodeError::Aborted);
}

#[test]
fn an_aborted_stream_stays_so() {
    let begin: [fn(&mut Encoder); 4] = [
        |_| {},
        |e| assert!(e.start_frame(Status::ZERO, 1).is_ok()),
        |e| {
            e.start_frame(Status::ZERO, 1).unwrap();
            e.start_file(b"n", 5).unwrap();
            e.payload(2).unwrap();
        },
        |e| {
            e.start_frame(Status::ZERO, 0).unwrap();
            e.start_message(5).unwrap();
        },
    ];
    for begin in begin {
        let mut encoder = Encoder::new();
        begin(&mut encoder);
        encoder.abort();
        assert_eq!(encoder.payload_remaining(), 0);
        for _ in 0..2 {
            refuses(&mut encoder, |e| e.start_frame(Status::ZERO, 0).map(drop), EncodeError::Aborted);
            refuses(&mut encoder, |e| e.start_file(b"n", 0).map(drop), EncodeError::Aborted);
            refuses(&mut encoder, |e| e.start_message(0).map(drop), EncodeError::Aborted);
            refuses(&mut encoder, |e| e.payload(0), EncodeError::Aborted);
            refuses(&mut encoder, |e| e.payload(3), EncodeError::Aborted);
            assert!(!encoder.is_idle());
        }
    }
}

#[test]
fn a_refusal_says_what_is_wrong() {
    let cases = [
        (EncodeError::OutOfOrder, "this part of a frame does not belong here"),
        (EncodeError::NameTooLong(70_000), "a file name of 70000 bytes is over 65535"),
        (EncodeError::PayloadMissing(3), "3 bytes of the announced payload are missing"),
        (
            EncodeError::PayloadOverrun { offered: 5, remaining: 4 },
            "5 bytes of payload offered where 4 were announced",
        ),
        (EncodeError::TooManyFiles(1 << 32), "4294967296 files in one frame are over 4294967295"),
        (
            EncodeError::BufferTooSmall { needed: 23, available: 22 },
            "a frame of 23 bytes does not fit into a buffer of 22",
        ),
        (EncodeError::FrameTooLong, "the frame would be longer than 2^64 - 1 bytes"),
        (EncodeError::Aborted, "the stream was given up in the middle of a frame"),
    ];
    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
    }
}

/// A refusal is the named one and leaves the books as they were.
fn refuses(
    encoder: &mut Encoder,
    call: impl Fn(&mut Encoder) -> Result<(), EncodeError>,
    error: EncodeError,
) {
    let before = format!("{encoder:?}");
    assert_eq!(call(encoder), Err(error));
    assert_eq!(format!("{encoder:?}"), before, "a refusal changed the encoder");
}
