//! The readers and the writers over transports that read and write as awkwardly as transports may: the async and the
//! blocking loops in step.

#[path = "common/arbitrary.rs"]
mod arbitrary;
mod common;

use std::borrow::{Borrow, BorrowMut};
use std::error::Error;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use arbitrary::{config, cuts, frames, limits, streams};
use common::reference::{self, Fault, Frame};
use common::{Log, Outcome, cut, decoder, fault, frame, splits_in_three, splits_in_two, vectors};
use embedded_io::{Error as _, ErrorKind, ErrorType};
use futures_lite::future::block_on;
use proptest::collection::vec;
use proptest::prelude::*;
use tej_core::io::{self, DecodeBuffer, EncodeBuffer, Interrupted, ReadError, Staged, WriteError, blocking};
use tej_core::{
    DecodeErrorKind, Decoder, EncodeError, Encoder, Event, Limits, MIN_FRAME_LEN, PayloadOverrun, Status,
};

#[test]
fn the_reader_yields_the_vectors_through_any_buffer() {
    for vector in vectors() {
        for len in BUFFERS {
            for piece in [1, 2, 7, usize::MAX] {
                let source = Source::new(vector.wire.chunks(piece.min(vector.wire.len())));
                let reader = FrameReader::new(source, vec![0; len], decoder(&reference::Limits::WIDEST));
                assert_eq!(read_all(reader), (vector.frame.events(), None), "{} by {len}", vector.what);
            }
        }
    }
}

#[test]
fn the_reader_does_not_care_how_its_reads_are_cut() {
    let stream = frame(1, &[(b"abcdef", b"12345"), (b"", b"xyz")], b"message!0123").wire();
    assert_eq!(stream.len(), 64);
    let tight = reference::Limits { message: 11, ..reference::Limits::WIDEST };
    for limits in [reference::Limits::WIDEST, tight] {
        let expected = reference::decode(&stream, &limits);
        let read = |source, len: usize| read_all(FrameReader::new(source, vec![0; len], decoder(&limits)));
        for len in BUFFERS {
            for pieces in splits_in_two(&stream) {
                assert_eq!(read(Source::new(pieces), len), expected, "{pieces:02x?} by {len}");
            }
        }
        for pieces in splits_in_three(&stream) {
            assert_eq!(read(Source::new(pieces), 64), expected, "{pieces:02x?}");
        }
    }
}

#[test]
fn a_buffer_lends_the_frames_that_it_has_whole() {
    let stream = [frame(0, &[], b"one"), frame(5, &[(b"n", b"d")], b"two"), frame(0, &[], b"three")];
    let wire = stream.each_ref().map(Frame::wire).concat();
    for cut in 0..=wire.len() {
        let mut buffer = DecodeBuffer::new(vec![0; wire.len()], decoder(&reference::Limits::WIDEST));
        let (mut messages, mut whole, mut message) = (Vec::new(), 0, Vec::new());
        for piece in [&wire[..cut], &wire[cut..]] {
            buffer.space()[..piece.len()].copy_from_slice(piece);
            buffer.filled(piece.len());
            loop {
                while let Some(frame) = buffer.frame() {
                    messages.push(frame.message().to_vec());
                    whole += 1;
                }
                let Some(span) = buffer.poll().unwrap() else { break };
                match buffer.resolve(span) {
                    Event::MessageData(bytes) => message.extend_from_slice(bytes),
                    Event::FrameEnd => messages.push(std::mem::take(&mut message)),
                    _ => {}
                }
            }
        }
        assert_eq!(messages, [&b"one"[..], b"two", b"three"], "cut at {cut}");
        // All but the one that is cut.
        let ends = [0, stream[0].wire().len(), wire.len() - stream[2].wire().len(), wire.len()];
        assert_eq!(whole, if ends.contains(&cut) { 3 } else { 2 }, "cut at {cut}");
        assert_eq!(buffer.decoder().offset(), wire.len() as u64);
    }
}

#[test]
fn fed_messages_leave_together() {
    let frames: Vec<_> = [&b"one"[..], b"", b"three"].map(|message| frame(3, &[], message).wire()).into();
    for len in [0, 1, 20, 21, 22, 61, 62, 63, 64, 200] {
        let mut writer = FrameWriter::new(Sink::default(), vec![0; len]);
        for message in [&b"one"[..], b"", b"three"] {
            block_on(writer.feed_message(Status::new(3).unwrap(), message)).unwrap();
        }
        assert!(len <= 62 || writer.sink().calls == 0, "{len}");
        assert!(len <= 62 || writer.stage_free() == len - 62, "{len}");
        block_on(writer.push()).unwrap();
        assert_eq!(writer.stage_free(), len);
        assert_eq!(writer.sink().bytes(), frames.concat(), "{len}");
    }
}

#[test]
fn a_message_is_staged_only_if_it_leaves_room() {
    for (len, fits) in [(0, false), (17, false), (18, false), (23, false), (24, true), (25, true)] {
        let mut writer = FrameWriter::new(Sink::default(), vec![0; len]);
        assert_eq!(
            writer.stage_message(Status::ZERO, b"fiver"),
            Ok(if fits { Staged::Yes } else { Staged::No }),
            "{len}"
        );
        assert_eq!(writer.stage_message(Status::ZERO, b"fiver"), Ok(Staged::No), "{len}");
        block_on(writer.push()).unwrap();
        let sent = if fits { frame(0, &[], b"fiver").wire() } else { Vec::new() };
        assert_eq!(writer.sink().bytes(), sent, "{len}");
    }
}

#[test]
fn no_message_is_staged_inside_a_frame_or_after_a_failure() {
    let mut writer = FrameWriter::new(Sink::default(), vec![0; 100]);
    block_on(writer.start_frame(Status::ZERO, 1)).unwrap();
    assert_eq!(writer.stage_message(Status::ZERO, b"m"), Err(EncodeError::OutOfOrder));
    let free = writer.stage_free();
    assert_eq!(
        block_on(writer.feed_message(Status::ZERO, b"m")),
        Err(WriteError::Encode(EncodeError::OutOfOrder))
    );
    assert_eq!(writer.stage_free(), free);
    let mut writer = FrameWriter::new(
        Sink { bad: Some((0, Err(ErrorKind::BrokenPipe))), ..Sink::default() },
        vec![0; 100],
    );
    assert_eq!(writer.stage_message(Status::ZERO, b"m"), Ok(Staged::Yes));
    block_on(writer.push()).unwrap_err();
    assert_eq!(writer.stage_message(Status::ZERO, b"m"), Err(EncodeError::Aborted));
    assert_eq!(block_on(writer.feed_message(Status::ZERO, b"m")), Err(WriteError::Interrupted));
}

#[test]
fn a_stage_can_grow_at_any_time_and_be_given_back_once_it_is_empty() {
    let mut writer = FrameWriter::new(Sink::default(), vec![0; 20]);
    block_on(writer.start_frame(Status::ZERO, 0)).unwrap();
    writer.change_stage(|stage| stage.resize(100, 0));
    assert_eq!(writer.stage_free(), 90);
    block_on(writer.start_message(70)).unwrap();
    block_on(writer.write_payload(&[7; 70])).unwrap();
    assert_eq!(writer.sink().calls, 0);
    block_on(writer.push()).unwrap();
    writer.change_stage(|stage| *stage = vec![0; 5]);
    block_on(writer.send_ping()).unwrap();
    assert_eq!(writer.sink().bytes(), [frame(0, &[], &[7; 70]).wire(), frame(2, &[], b"").wire()].concat());
}

#[test]
fn the_reader_reports_an_end_inside_a_frame() {
    let stream = frame(0, &[(b"n", b"d")], b"m").wire();
    let stream = [&stream[..], &stream].concat();
    for end in 0..=stream.len() {
        let expected = reference::decode(&stream[..end], &reference::Limits::WIDEST);
        for len in [1, 5, 4096] {
            let source = Source::new([&stream[..end]]);
            let mut reader = FrameReader::new(source, vec![0; len], decoder(&reference::Limits::WIDEST));
            assert_eq!(read_all(&mut reader), expected);
            // And again: an end does not go away by itself.
            assert_eq!(read_all(&mut reader), (vec![], expected.1));
            assert_eq!(reader.offset(), end as u64);
            assert_eq!(reader.is_between_frames(), expected.1.is_none());
        }
    }
}

#[test]
fn a_transport_that_lends_its_bytes_is_read_the_same_without_a_buffer() {
    let stream = frame(1, &[(b"abcdef", b"12345"), (b"", b"xyz")], b"message!0123").wire();
    let tight = reference::Limits { message: 11, ..reference::Limits::WIDEST };
    for limits in [reference::Limits::WIDEST, tight] {
        for end in 0..=stream.len() {
            let expected = reference::decode(&stream[..end], &limits);
            for piece in [1, 2, 7, 64] {
                let source = Source { waits: true, ..Source::new(stream[..end].chunks(piece)) };
                let mut reader = io::FrameReader::new(source, [], decoder(&limits));
                assert_eq!(read_all_lent(&mut reader, |_| true), expected, "{end} by {piece}");
                assert_eq!(read_all_lent(&mut reader, |_| true), (vec![], expected.1));
            }
        }
    }
}

#[test]
fn what_was_read_ahead_comes_before_what_is_lent() {
    let stream = frame(1, &[(b"abcdef", b"12345"), (b"", b"xyz")], b"message!0123").wire();
    let expected = reference::decode(&stream, &reference::Limits::WIDEST);
    for len in [1, 5, 30] {
        for period in 2..6 {
            let source = Source::new(stream.chunks(9));
            let mut reader = io::FrameReader::new(source, vec![0; len], decoder(&reference::Limits::WIDEST));
            assert_eq!(read_all_lent(&mut reader, |n| n % period == 0), expected, "{len}, {period}");
        }
    }
}

#[test]
fn a_lending_transport_that_fails_can_be_read_again() {
    let stream = frame(0, &[], b"once more").wire();
    let source = Source { fail_at: Some(1), ..Source::new(stream.chunks(10)) };
    let mut reader = io::FrameReader::new(source, [], decoder(&reference::Limits::WIDEST));
    let mut events = 0;
    let mut next = || block_on(reader.next_with(|_| events += 1));
    assert_eq!(next(), Ok(Some(())));
    assert_eq!(next(), Err(ReadError::Io(ErrorKind::Other)));
    while next() == Ok(Some(())) {}
    // The message in two pieces.
    assert_eq!(events, 5);
}

#[test]
fn a_peers_fault_stays() {
    let stream = [frame(0, &[], b"").wire(), b"GET / HTTP/1.1\r\n\r\n".to_vec()].concat();
    let source = Source::new(stream.chunks(20));
    let mut reader = FrameReader::new(source, [0; 64], decoder(&reference::Limits::WIDEST));
    let fault = Some(Fault { kind: "bad_start_bit", value: b'G'.into(), offset: 18 });
    assert_eq!(read_all(&mut reader), (frame(0, &[], b"").events(), fault));
    for _ in 0..3 {
        assert_eq!(read_all(&mut reader), (vec![], fault));
    }
    // Nothing more is read from such a peer.
    assert_eq!(reader.source().unread(), stream.len() - 20);
}

#[test]
fn a_failed_read_can_be_tried_again() {
    let frame = frame(3, &[(b"name", b"data")], b"message");
    let wire = frame.wire();
    for good in 0..wire.len() {
        let mut source = Source::new(wire.chunks(1));
        source.fail_at = Some(good);
        let mut reader = FrameReader::new(source, [0; 8], decoder(&reference::Limits::WIDEST));
        let mut log = Log::default();
        let error = loop {
            match block_on(reader.next()) {
                Ok(event) => log.push(event.expect("the end came before the failure")),
                Err(error) => break error,
            }
        };
        assert_eq!(error, ReadError::Io(ErrorKind::Other));
        assert_eq!(reader.offset(), good as u64);
        let (rest, fault) = read_all(&mut reader);
        // A chunk of payload on either side of the failure is two events.
        for event in rest {
            match (log.0.last_mut(), event) {
                (Some(reference::Event::FileData(data)), reference::Event::FileData(more))
                | (Some(reference::Event::MessageData(data)), reference::Event::MessageData(more)) => {
                    data.extend(more);
                }
                (_, event) => log.0.push(event),
            }
        }
        assert_eq!((log.0, fault), (frame.events(), None), "failed after {good} bytes");
    }
}

#[test]
fn dropping_the_readers_future_at_every_await_loses_nothing() {
    let stream: Vec<_> = vectors().into_iter().flat_map(|vector| vector.wire).collect();
    let expected = reference::decode(&stream, &reference::Limits::WIDEST);
    for len in BUFFERS {
        for piece in [1, 3, 100] {
            let mut source = Source::new(stream.chunks(piece));
            source.waits = true;
            let mut reader = FrameReader::new(source, vec![0; len], decoder(&reference::Limits::WIDEST));
            let mut log = Log::default();
            let mut dropped = 0;
            loop {
                // Polled once, then dropped: the next round starts a new future.
                match poll_once(reader.next()) {
                    Some(Ok(Some(event))) => log.push(event),
                    Some(end) => {
                        assert_eq!(end, Ok(None));
                        break;
                    }
                    None => {
                        dropped += 1;
                        assert!(dropped <= stream.len() + 1, "no progress");
                    }
                }
            }
            let reads = reader.source().reads;
            assert_eq!((log.0, None), expected);
            assert!(dropped >= reads && reads > 0, "{dropped} of {reads} reads were dropped");
        }
    }
}

#[test]
fn the_reader_answers_for_its_place_and_gives_its_parts_back() {
    let stream = [frame(0, &[], b"m").wire(), frame(2, &[], b"").wire()].concat();
    let source = Source::new([&stream[..]]);
    let mut reader = FrameReader::new(source, [0; 64], decoder(&reference::Limits::WIDEST));
    assert_eq!((reader.offset(), reader.is_between_frames()), (0, true));
    assert!(block_on(reader.next()).unwrap().is_some());
    assert_eq!((reader.offset(), reader.is_between_frames()), (10, false));
    assert!(block_on(reader.next()).unwrap().is_some());
    assert_eq!(reader.payload_remaining(), 1);
    for _ in 0..2 {
        assert!(block_on(reader.next()).unwrap().is_some());
    }
    assert_eq!(reader.payload_remaining(), 0);
    // The second frame has been read ahead, and is not decoded before it is asked for.
    assert_eq!((reader.offset(), reader.is_between_frames()), (19, true));
    assert_eq!(reader.source().unread(), 0);
    let (source, buffer) = reader.into_parts();
    assert_eq!((source.unread(), &buffer[..stream.len()]), (0, &stream[..]));
}

#[test]
fn a_reader_without_a_buffer_reports_a_clean_end() {
    let source = Source::new([&frame(0, &[], b"").wire()[..]]);
    let reader = FrameReader::new(source, [], decoder(&reference::Limits::WIDEST));
    assert_eq!(read_all(reader), (vec![], None));
}

#[test]
fn a_file_has_a_name_from_its_start_to_its_end() {
    for vector in vectors() {
        for len in BUFFERS {
            let source = Source::new([&vector.wire[..]]);
            let mut reader = FrameReader::new(source, vec![0; len], decoder(&reference::Limits::WIDEST));
            let mut current = None;
            loop {
                assert_eq!(reader.file_name(), current.as_deref(), "{} by {len}", vector.what);
                match block_on(reader.next()).unwrap() {
                    Some(Event::FileStart { name, .. }) => current = Some(name.to_vec()),
                    Some(Event::FileEnd) => current = None,
                    Some(_) => {}
                    None => break,
                }
            }
        }
    }
}

#[test]
fn payload_may_go_past_the_reader() {
    for vector in vectors() {
        for len in BUFFERS {
            let source = Source::new([&vector.wire[..]]);
            let mut reader = FrameReader::new(source, vec![0; len], decoder(&reference::Limits::WIDEST));
            let mut log = Log::default();
            let mut most = 1;
            loop {
                let unread = reader.payload_unread();
                let refused = Err(PayloadOverrun { moved: unread + 1, remaining: unread });
                assert_eq!(reader.advance_payload(unread + 1), refused);
                if unread > 0 {
                    // Some of it, so that some of it comes through the buffer as well.
                    let n = usize::try_from(unread).unwrap().min(most);
                    most += 1;
                    log.push_moved(&reader.take(n));
                    reader.advance_payload(n as u64).unwrap();
                }
                match block_on(reader.next()).unwrap() {
                    Some(event) => log.push(event),
                    None => break,
                }
            }
            assert_eq!(log.0, vector.frame.events(), "{} by {len}", vector.what);
        }
    }
}

#[test]
fn payload_that_was_read_ahead_is_decoded_before_more_is_moved() {
    let wire = frame(0, &[(b"n", b"data")], b"").wire();
    let (head, rest) = wire.split_at(wire.len() - 10);
    let mut buffer = DecodeBuffer::new([0; 64], decoder(&reference::Limits::WIDEST));
    buffer.space()[..head.len()].copy_from_slice(head);
    buffer.filled(head.len());
    assert!(buffer.poll().unwrap().is_some());
    assert!(buffer.poll().unwrap().is_some());
    // Two of the four bytes are here.
    assert_eq!((buffer.decoder().payload_remaining(), buffer.payload_unread()), (4, 0));
    assert_eq!(buffer.advance_payload(1), Err(PayloadOverrun { moved: 1, remaining: 0 }));
    assert_eq!(buffer.advance_payload(0), Ok(()));
    let span = buffer.poll().unwrap().unwrap();
    assert_eq!(buffer.resolve(span), Event::FileData(b"da"));
    assert_eq!(buffer.payload_unread(), 2);
    buffer.advance_payload(1).unwrap();
    assert_eq!(buffer.payload_unread(), 1);
    buffer.advance_payload(1).unwrap();
    assert_eq!((buffer.payload_unread(), buffer.decoder().offset()), (0, wire.len() as u64 - 8));
    let span = buffer.poll().unwrap().unwrap();
    assert_eq!(buffer.resolve(span), Event::FileEnd);
    let message = &rest[2..];
    buffer.space()[..message.len()].copy_from_slice(message);
    buffer.filled(message.len());
    assert!(buffer.poll().unwrap().is_some());
    let span = buffer.poll().unwrap().unwrap();
    assert_eq!(buffer.resolve(span), Event::FrameEnd);
}

#[test]
fn a_decode_buffer_serves_a_transport_of_any_kind() {
    let stream: Vec<_> = vectors().into_iter().flat_map(|vector| vector.wire).collect();
    let expected = reference::decode(&stream, &reference::Limits::WIDEST);
    for len in BUFFERS {
        let mut transport = &stream[..];
        let mut buffer = DecodeBuffer::new(vec![0; len], decoder(&reference::Limits::WIDEST));
        let mut log = Log::default();
        loop {
            while let Some(span) = buffer.poll().unwrap() {
                log.push(buffer.resolve(span));
            }
            let n = std::io::Read::read(&mut transport, buffer.space()).unwrap();
            if n == 0 {
                break;
            }
            buffer.filled(n);
        }
        assert_eq!(buffer.decoder().finish(), Ok(()));
        assert_eq!(buffer.decoder().offset(), stream.len() as u64);
        assert_eq!((log.0, None), expected);
    }
}

#[test]
fn a_decode_buffer_is_never_fuller_than_it_is_long() {
    let wire = frame(0, &[], b"").wire();
    let mut buffer = DecodeBuffer::new([0; 18], Decoder::new([0; 0], &Limits::DEFAULT));
    buffer.space().copy_from_slice(&wire);
    buffer.filled(usize::MAX);
    let mut events = 0;
    while buffer.poll().unwrap().is_some() {
        events += 1;
    }
    assert_eq!((events, buffer.decoder().offset()), (3, 18));
    // Room for new bytes is room without the old ones.
    buffer.space();
    assert_eq!(buffer.poll(), Ok(None));
    buffer.filled(0);
    assert_eq!(buffer.poll(), Ok(None));
}

#[test]
fn what_a_decode_buffer_discards_is_not_decoded() {
    let wire = frame(0, &[], b"").wire();
    let mut buffer = DecodeBuffer::new([0; 27], Decoder::new([0; 0], &Limits::DEFAULT));
    buffer.space()[..18].copy_from_slice(&wire);
    buffer.space()[18..].copy_from_slice(b"left over");
    buffer.filled(27);
    let mut last = None;
    while !buffer.decoder().is_between_frames() || last.is_none() {
        last = buffer.poll().unwrap();
    }
    assert_eq!((buffer.discard(), buffer.discard()), (9, 0));
    assert_eq!((buffer.poll(), buffer.decoder().offset()), (Ok(None), 18));
    // The next frame is understood.
    buffer.space()[..18].copy_from_slice(&wire);
    buffer.filled(18);
    let span = buffer.poll().unwrap().unwrap();
    assert!(matches!(buffer.resolve(span), Event::FrameStart(_)));
}

#[test]
fn a_decode_buffer_can_grow_and_gives_its_bytes_back() {
    let wire = frame(0, &[(b"name", b"data")], b"message").wire();
    let mut buffer = DecodeBuffer::new(vec![0; 4], decoder(&reference::Limits::WIDEST));
    let mut log = Log::default();
    let (mut rest, mut len) = (&wire[..], 4);
    while !rest.is_empty() {
        let space = buffer.space();
        assert_eq!(space.len(), len);
        let (now, later) = rest.split_at(len.min(rest.len()));
        space[..now.len()].copy_from_slice(now);
        buffer.filled(now.len());
        rest = later;
        // Before it is decoded, which must not matter.
        len += 3;
        buffer.bytes_mut().resize(len, 0);
        while let Some(span) = buffer.poll().unwrap() {
            log.push(buffer.resolve(span));
        }
    }
    assert_eq!((log.0, None), reference::decode(&wire, &reference::Limits::WIDEST));
    assert_eq!(buffer.into_bytes().len(), len);
}

#[test]
fn an_encode_buffer_serves_a_transport_of_any_kind() {
    for vector in vectors() {
        for stage in STAGES {
            for accepts in [1, 3, usize::MAX] {
                for piece in [1, 4, usize::MAX] {
                    let mut buffer = EncodeBuffer::new(vec![0; stage]);
                    let mut transport = Vec::new();
                    for mut piece in vector.wire.chunks(piece.min(vector.wire.len())) {
                        buffer.begin().unwrap();
                        while buffer.stage(&mut piece) {
                            let pending = buffer.pending(piece);
                            assert!(!pending.is_empty(), "nothing to write, and still not done");
                            let n = pending.len().min(accepts);
                            transport.extend(&pending[..n]);
                            buffer.advance(n, &mut piece);
                        }
                        assert!(piece.is_empty());
                        buffer.end();
                    }
                    assert!(vector.wire.starts_with(&transport));
                    transport.extend(buffer.pending(b""));
                    assert_eq!(transport, vector.wire, "{} staged in {stage}", vector.what);
                }
            }
        }
    }
}

#[test]
fn an_encode_buffer_hands_out_what_it_staged_before_it_takes_more() {
    let mut buffer = EncodeBuffer::new([0; 4]);
    let mut piece = &b"abc"[..];
    assert!(!buffer.stage(&mut piece));
    assert_eq!((piece, buffer.is_full()), (&b""[..], false));
    let mut piece = &b"defgh"[..];
    assert!(buffer.stage(&mut piece));
    assert_eq!((piece, buffer.pending(piece), buffer.is_full()), (&b"efgh"[..], &b"abcd"[..], true));
    buffer.advance(3, &mut piece);
    assert!(buffer.stage(&mut piece));
    assert_eq!((piece, buffer.pending(piece)), (&b"efgh"[..], &b"d"[..]));
    // No transport takes more than it was given: this one is believed to have taken all of it.
    buffer.advance(9, &mut piece);
    assert_eq!((buffer.pending(b""), buffer.is_full()), (&b""[..], false));
    // As long as the stage: handed out where it lies.
    assert!(buffer.stage(&mut piece));
    assert_eq!(buffer.pending(piece).as_ptr(), piece.as_ptr());
    buffer.advance(1, &mut piece);
    // Shorter than the stage, and begun: it goes to its end as it began.
    assert!(buffer.stage(&mut piece));
    assert_eq!((piece, buffer.pending(piece)), (&b"fgh"[..], &b"fgh"[..]));
    buffer.advance(3, &mut piece);
    assert!(!buffer.stage(&mut piece));
    // The next one is another piece.
    let mut piece = &b"ijk"[..];
    assert!(!buffer.stage(&mut piece));
    assert_eq!((piece, buffer.pending(b"other")), (&b""[..], &b"ijk"[..]));
    assert_eq!(buffer.into_stage(), *b"ijkd");
    // Not even into free space, while it is being emptied.
    let mut buffer = EncodeBuffer::new([0; 4]);
    assert!(!buffer.stage(&mut &b"abc"[..]));
    let mut piece = &b"d"[..];
    buffer.advance(1, &mut &b""[..]);
    assert!(buffer.stage(&mut piece));
    assert_eq!((piece, buffer.pending(piece)), (&b"d"[..], &b"bc"[..]));
    buffer.advance(2, &mut piece);
    assert!(!buffer.stage(&mut piece));
    assert_eq!((piece, buffer.pending(piece)), (&b""[..], &b"d"[..]));
    let mut piece = &b"i"[..];
    EncodeBuffer::new([0; 0]).advance(9, &mut piece);
    assert_eq!(piece, b"");
}

#[test]
fn an_encode_buffer_makes_room_for_no_more_than_the_payload_that_is_due() {
    let mut buffer = EncodeBuffer::new([0; 24]);
    assert_eq!(buffer.space(), []);
    let mut head = [0; MIN_FRAME_LEN];
    head[..10].copy_from_slice(&buffer.encoder_mut().unwrap().start_frame(Status::ZERO, 0).unwrap());
    head[10..].copy_from_slice(&buffer.encoder_mut().unwrap().start_message(7).unwrap());
    assert_eq!(buffer.space().len(), 7);
    assert!(!buffer.stage(&mut &head[..]));
    assert_eq!(buffer.space().len(), 6);
    // More than there is room for, though not more than is due.
    let overrun = EncodeError::PayloadOverrun { offered: 7, remaining: 6 };
    assert_eq!(buffer.commit(7), Err(overrun));
    assert_eq!((buffer.encoder().payload_remaining(), buffer.space().len()), (7, 6));
    buffer.space()[..4].copy_from_slice(b"mess");
    buffer.commit(4).unwrap();
    assert_eq!((buffer.space().len(), buffer.is_full()), (2, false));
    buffer.space().copy_from_slice(b"ag");
    buffer.commit(2).unwrap();
    assert_eq!((buffer.space().len(), buffer.is_full()), (0, true));
    assert_eq!(buffer.pending(b""), [&head[..], b"messag"].concat());
    buffer.advance(24, &mut &b""[..]);
    assert_eq!((buffer.space().len(), buffer.is_full()), (1, false));
    // Room for it, but not due.
    assert_eq!(buffer.commit(2), Err(EncodeError::PayloadOverrun { offered: 2, remaining: 1 }));
    buffer.space()[0] = b'e';
    buffer.commit(1).unwrap();
    assert_eq!((buffer.pending(b""), buffer.encoder().is_idle()), (&b"e"[..], true));
}

#[test]
fn an_encode_buffer_whose_write_did_not_end_says_so() {
    let mut buffer = EncodeBuffer::new([0; 24]);
    buffer.encoder_mut().unwrap().start_frame(Status::ZERO, 0).unwrap();
    buffer.encoder_mut().unwrap().start_message(1).unwrap();
    buffer.begin().unwrap();
    for _ in 0..2 {
        assert_eq!(buffer.begin(), Err(Interrupted));
        assert_eq!(buffer.encoder_mut().map(drop), Err(Interrupted));
        assert_eq!(buffer.commit(1), Err(EncodeError::Aborted));
        assert_eq!(buffer.commit(0), Err(EncodeError::Aborted));
    }
    assert_eq!(buffer.pass_payload(1), Err(EncodeError::Aborted));
    assert!(buffer.is_interrupted());
    assert_eq!(buffer.encoder().payload_remaining(), 1);
    buffer.end();
    assert!(!buffer.is_interrupted());
    buffer.commit(1).unwrap();
    assert!(buffer.encoder_mut().unwrap().is_idle());
    assert_eq!(WriteError::<ErrorKind>::from(Interrupted), WriteError::Interrupted);
    assert_eq!(Interrupted.to_string(), WriteError::<ErrorKind>::Interrupted.to_string());
}

#[test]
fn the_writer_yields_the_vectors_through_any_stage_and_transport() {
    for vector in vectors() {
        for stage in STAGES {
            for accepts in [1, 2, 5, usize::MAX] {
                for piece in [1, 3, usize::MAX] {
                    let sink = Sink { accepts, ..Sink::default() };
                    let mut writer = FrameWriter::new(sink, vec![0; stage]);
                    block_on(send(&mut writer, &vector.frame, piece)).unwrap();
                    assert!(writer.encoder().is_idle());
                    block_on(writer.flush()).unwrap();
                    let sink = writer.into_parts().0;
                    assert_eq!(sink.bytes(), vector.wire, "{} staged in {stage}", vector.what);
                    assert_eq!(sink.flushes, 1);
                }
            }
        }
    }
}

#[test]
fn nothing_leaves_before_it_must_and_a_head_travels_with_its_payload() {
    let data = vec![b'd'; 1000];
    let mut writer = FrameWriter::new(Sink::default(), [0; 64]);
    block_on(writer.start_frame(Status::ZERO, 1)).unwrap();
    block_on(writer.start_file(b"name", 1000)).unwrap();
    assert!(writer.sink().writes.is_empty());
    block_on(writer.write_payload(&data)).unwrap();
    block_on(writer.start_message(3)).unwrap();
    block_on(writer.write_payload(b"end")).unwrap();
    // The stage full of head and data, the data as it lies, and the rest when it is asked for.
    let wire = frame(0, &[(b"name", &data)], b"end").wire();
    assert_eq!(writer.sink().writes, [&wire[..64], &wire[64..1024]]);
    block_on(writer.push()).unwrap();
    assert_eq!(writer.sink().writes, [&wire[..64], &wire[64..1024], &wire[1024..]]);
    assert_eq!(writer.sink().flushes, 0);

    // Many small frames share one write.
    let mut writer = FrameWriter::new(Sink::default(), [0; 64]);
    for status in [1, 2, 3] {
        let status = Status::new(status).unwrap();
        block_on(writer.start_frame(status, 0)).unwrap();
        block_on(writer.start_message(0)).unwrap();
    }
    block_on(writer.push()).unwrap();
    let wire = [1, 2, 3].map(|status| frame(status, &[], b"").wire()).concat();
    assert_eq!(writer.sink().writes, [&wire[..]]);

    // What fills the stage exactly leaves at once, and there is nothing to push.
    let mut writer = FrameWriter::new(Sink::default(), [0; 18]);
    block_on(writer.start_frame(Status::ZERO, 0)).unwrap();
    block_on(writer.start_message(0)).unwrap();
    block_on(writer.push()).unwrap();
    assert_eq!(writer.sink().writes, [&frame(0, &[], b"").wire()[..]]);
}

#[test]
fn payload_that_fills_the_stage_is_not_copied_there() {
    let data = [b'd'; 100];
    let range = data.as_ptr_range();
    let range = range.start.addr()..range.end.addr();
    // 18 bytes of heads are in the stage, unless they were pushed before.
    let cases =
        [(0, true, 100), (1, true, 100), (100, true, 100), (101, true, 0), (50, false, 68), (64, false, 0)];
    for (stage, pushed, direct) in cases {
        let mut writer = FrameWriter::new(Sink::default(), vec![0; stage]);
        block_on(writer.start_frame(Status::ZERO, 0)).unwrap();
        block_on(writer.start_message(100)).unwrap();
        if pushed {
            block_on(writer.push()).unwrap();
        }
        block_on(writer.write_payload(&data)).unwrap();
        block_on(writer.push()).unwrap();
        for sink in writer.into_sinks() {
            assert_eq!(sink.bytes(), frame(0, &[], &data).wire());
            let in_place = sink.places.iter().filter(|(at, _)| range.contains(at));
            assert_eq!(in_place.map(|(_, len)| len).sum::<usize>(), direct, "staged in {stage}");
        }
    }
}

#[test]
fn whole_messages_and_pings_leave_at_once() {
    let mut writer = FrameWriter::new(Sink::default(), [0; 64]);
    block_on(writer.send_message(Status::MAX, b"Hello")).unwrap();
    block_on(writer.send_ping()).unwrap();
    let wires = [frame(127, &[], b"Hello").wire(), frame(2, &[], b"").wire()];
    assert_eq!(writer.sink().writes, wires);
    block_on(writer.start_frame(Status::ZERO, 1)).unwrap();
    assert_eq!(block_on(writer.send_ping()), Err(WriteError::Encode(EncodeError::OutOfOrder)));
}

#[test]
fn payload_can_be_made_in_the_stage() {
    let data: Vec<u8> = (0..=255).collect();
    for stage in STAGES.into_iter().filter(|&stage| stage > 0) {
        for step in [1, 5, usize::MAX] {
            let mut writer = FrameWriter::new(Sink::default(), vec![0; stage]);
            assert_eq!(block_on(writer.payload_space()).unwrap(), []);
            block_on(writer.start_frame(Status::ZERO, 1)).unwrap();
            block_on(writer.start_file(b"n", data.len() as u64)).unwrap();
            let mut left = &data[..];
            while !left.is_empty() {
                let space = block_on(writer.payload_space()).unwrap();
                let most = space.len();
                assert!(most > 0 && most <= left.len().min(stage));
                let (now, later) = left.split_at(most.min(step));
                space[..now.len()].copy_from_slice(now);
                let overrun = writer.commit_payload(most + 1).unwrap_err();
                assert!(matches!(overrun, EncodeError::PayloadOverrun { .. }));
                writer.commit_payload(now.len()).unwrap();
                left = later;
                assert_eq!(writer.encoder().payload_remaining(), left.len() as u64);
            }
            assert_eq!(block_on(writer.payload_space()).unwrap(), []);
            assert!(writer.commit_payload(1).is_err());
            block_on(writer.start_message(0)).unwrap();
            block_on(writer.push()).unwrap();
            assert_eq!(writer.into_parts().0.bytes(), frame(0, &[(b"n", &data)], b"").wire());
        }
    }
    let mut writer = FrameWriter::new(Sink::default(), []);
    block_on(writer.start_frame(Status::ZERO, 0)).unwrap();
    block_on(writer.start_message(1)).unwrap();
    assert_eq!(block_on(writer.payload_space()).unwrap(), []);
    let overrun = EncodeError::PayloadOverrun { offered: 1, remaining: 0 };
    assert_eq!(writer.commit_payload(1), Err(overrun));
}

#[test]
fn payload_may_go_past_the_writer() {
    for vector in vectors() {
        for stage in STAGES {
            let mut writer = FrameWriter::new(Sink::default(), vec![0; stage]);
            let frame = &vector.frame;
            let files = u32::try_from(frame.files.len()).unwrap();
            block_on(writer.start_frame(Status::new(frame.status).unwrap(), files)).unwrap();
            for (name, data) in &frame.files {
                block_on(writer.start_file(name, data.len() as u64)).unwrap();
                block_on(writer.write_past(data)).unwrap();
            }
            block_on(writer.start_message(frame.message.len() as u64)).unwrap();
            block_on(writer.write_past(&frame.message)).unwrap();
            assert_eq!(writer.sink().bytes(), vector.wire, "{} staged in {stage}", vector.what);
            assert!(!writer.is_interrupted());
            assert_eq!(writer.pass_payload(0), Ok(()));
            let overrun = EncodeError::PayloadOverrun { offered: 1, remaining: 0 };
            assert_eq!(writer.pass_payload(1), Err(overrun));
        }
    }
}

#[test]
fn payload_does_not_go_past_what_is_staged() {
    let mut writer = FrameWriter::new(Sink::default(), [0; 64]);
    block_on(writer.start_frame(Status::ZERO, 0)).unwrap();
    block_on(writer.start_message(2)).unwrap();
    for n in 0..3 {
        assert_eq!(writer.pass_payload(n), Err(EncodeError::OutOfOrder));
    }
    assert_eq!(writer.encoder().payload_remaining(), 2);
    block_on(writer.write_past(b"m")).unwrap();
    let overrun = EncodeError::PayloadOverrun { offered: 2, remaining: 1 };
    assert_eq!(writer.pass_payload(2), Err(overrun));
    block_on(writer.write_payload(b"m")).unwrap();
    block_on(writer.push()).unwrap();
    assert_eq!(writer.sink().bytes(), frame(0, &[], b"mm").wire());
}

#[test]
fn a_mistake_writes_nothing_and_can_be_mended() {
    for stage in STAGES {
        let mut writer = FrameWriter::new(Sink::default(), vec![0; stage]);
        let out_of_order = Err(WriteError::Encode(EncodeError::OutOfOrder));
        assert_eq!(block_on(writer.start_file(b"n", 1)), out_of_order);
        assert_eq!(block_on(writer.start_message(1)), out_of_order);
        block_on(writer.start_frame(Status::ZERO, 1)).unwrap();
        assert_eq!(block_on(writer.start_frame(Status::ZERO, 1)), out_of_order);
        let long = vec![b'n'; 65_536];
        assert_eq!(
            block_on(writer.start_file(&long, 1)),
            Err(WriteError::Encode(EncodeError::NameTooLong(65_536)))
        );
        block_on(writer.start_file(b"n", 3)).unwrap();
        let overrun = EncodeError::PayloadOverrun { offered: 4, remaining: 3 };
        assert_eq!(block_on(writer.write_payload(b"1234")), Err(WriteError::Encode(overrun)));
        block_on(writer.write_payload(b"1")).unwrap();
        let missing = Err(WriteError::Encode(EncodeError::PayloadMissing(2)));
        assert_eq!(block_on(writer.start_message(0)), missing);
        block_on(writer.write_payload(b"23")).unwrap();
        block_on(writer.start_message(0)).unwrap();
        block_on(writer.push()).unwrap();
        assert_eq!(writer.into_parts().0.bytes(), frame(0, &[(b"n", b"123")], b"").wire());
    }
}

#[test]
fn a_failed_write_interrupts_the_writer_for_good() {
    let frame = frame(1, &[(b"name", &[b'd'; 100])], b"message");
    let wire = frame.wire();
    for stage in STAGES {
        for (answer, error) in
            [(Err(ErrorKind::BrokenPipe), WriteError::Io(ErrorKind::BrokenPipe)), (Ok(0), WriteError::Closed)]
        {
            let mut failures = 0;
            for good in 0.. {
                let sink = Sink { accepts: 7, bad: Some((good, answer)), ..Sink::default() };
                let mut writer = FrameWriter::new(sink, vec![0; stage]);
                let result = block_on(async {
                    send(&mut writer, &frame, 20).await?;
                    writer.push().await
                });
                if writer.sink().calls <= good {
                    assert_eq!(result, Ok(()));
                    break;
                }
                failures += 1;
                assert_eq!(result, Err(error), "write {good}");
                assert_interrupted(&mut writer);
                assert!(wire.starts_with(&writer.into_parts().0.bytes()));
            }
            assert!(failures >= wire.len() / 7, "staged in {stage}: {failures}");
        }
    }
}

#[test]
fn a_failed_flush_interrupts_the_writer() {
    let sink = Sink { flush_fails: true, ..Sink::default() };
    let mut writer = FrameWriter::new(sink, [0; 64]);
    block_on(writer.start_frame(Status::ZERO, 0)).unwrap();
    assert_eq!(block_on(writer.flush()), Err(WriteError::Io(ErrorKind::TimedOut)));
    assert_eq!(writer.sink().bytes().len(), 10);
    assert_interrupted(&mut writer);
}

#[test]
fn dropping_the_writers_future_at_every_await_interrupts_it() {
    let frame = frame(1, &[(b"name", &[b'd'; 100]), (b"", b"")], b"message");
    let wire = frame.wire();
    for stage in STAGES {
        let mut drops = 0;
        for survived in 0.. {
            let sink = Sink { accepts: 7, waits: true, ..Sink::default() };
            let mut writer = FrameWriter::asynchronous(sink, vec![0; stage]);
            let done = {
                let mut work = pin!(async {
                    send(&mut writer, &frame, 20).await?;
                    writer.flush().await
                });
                let poll = |_| poll(work.as_mut());
                (0..=survived).map(poll).find(Poll::is_ready)
            };
            if let Some(result) = done {
                assert_eq!(result, Poll::Ready(Ok(())));
                let sink = writer.into_parts().0;
                assert_eq!((sink.bytes(), sink.flushes), (wire.clone(), 1));
                break;
            }
            drops += 1;
            assert_interrupted(&mut writer);
            assert!(wire.starts_with(&writer.into_parts().0.bytes()));
        }
        // One for each write, one for the flush.
        assert!(drops > frame.wire().len() / 7, "staged in {stage}: {drops}");
    }
}

#[test]
fn each_call_waits_where_it_writes_and_is_interrupted_there() {
    use Call::{Commit, Flush, PayloadSpace, Push, SendMessage, SendPing};
    use Call::{StartFile, StartFrame, StartMessage, WritePayload};
    // The calls before, the one that is dropped, the length of the stage, and how often that call has to wait.
    let cases: [(&[Call], Call, usize, usize); 16] = [
        (&[], StartFrame(1), 0, 1),
        (&[], StartFrame(1), 64, 0),
        // The length of the name, the name, the length of the file.
        (&[StartFrame(1)], StartFile(b"name", 1), 0, 3),
        (&[StartFrame(1)], StartFile(b"", 1), 0, 2),
        (&[StartFrame(0)], StartMessage(1), 0, 1),
        (&[StartFrame(0), StartMessage(2)], WritePayload(b"12"), 0, 1),
        (&[StartFrame(0), StartMessage(2)], WritePayload(b"1"), 19, 1),
        // What is staged, and what does not fit beside it.
        (&[StartFrame(0), StartMessage(40)], WritePayload(&[7; 40]), 20, 2),
        (&[], SendMessage(b"m"), 0, 2),
        (&[], SendMessage(b"m"), 64, 1),
        (&[], SendPing, 0, 1),
        (&[StartFrame(0)], Push, 64, 1),
        // The staged bytes, and the transport's own flush.
        (&[], Flush, 64, 1),
        (&[StartFrame(0)], Flush, 64, 2),
        (&[StartFrame(0), StartMessage(9), Commit(1)], PayloadSpace, 20, 0),
        (&[StartFrame(0), StartMessage(9), Commit(2)], PayloadSpace, 20, 1),
    ];
    for (before, call, stage, waits) in cases {
        for polls in 0..=waits {
            let sink = Sink { waits: true, ..Sink::default() };
            let mut writer = FrameWriter::asynchronous(sink, vec![0; stage]);
            for before in before {
                block_on(before.make(&mut writer)).unwrap();
            }
            let polled = {
                let mut work = pin!(call.make(&mut writer));
                (0..=polls).map(|_| poll(work.as_mut())).last().unwrap()
            };
            if polls == waits {
                assert_eq!(polled, Poll::Ready(Ok(())), "{call:?} staged in {stage}");
                assert_eq!(writer.commit_payload(0), Ok(()));
            } else {
                assert_eq!(polled, Poll::Pending, "{call:?} staged in {stage}");
                assert_interrupted(&mut writer);
            }
        }
    }
}

#[test]
fn a_future_that_was_never_polled_did_nothing() {
    let mut writer = FrameWriter::new(Sink::default(), []);
    drop(writer.start_frame(Status::ZERO, 1));
    drop(writer.push());
    drop(writer.flush());
    block_on(writer.send_ping()).unwrap();
    assert_eq!(writer.into_parts().0.bytes(), frame(2, &[], b"").wire());
}

#[test]
fn what_was_written_can_be_read() {
    let frame = frame(5, &[("日本.txt".as_bytes(), &[7; 3000]), (b"", b"")], &[8; 300]);
    let mut writer = FrameWriter::new(Sink::default(), [0; 100]);
    block_on(send(&mut writer, &frame, 64)).unwrap();
    block_on(writer.flush()).unwrap();
    let sink = writer.into_parts().0;
    let source = Source::new(sink.writes.iter().map(Vec::as_slice));
    let reader = FrameReader::new(source, [0; 100], decoder(&reference::Limits::WIDEST));
    assert_eq!(read_all(reader), (frame.events(), None));
}

#[test]
fn errors_say_whose_fault_it_is() {
    let error = Decoder::<_, &Limits>::new([], &Limits::DEFAULT).decode(&mut &[7][..]).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::BadStartBit);
    assert_eq!(ReadError::<ErrorKind>::from(error).to_string(), error.to_string());
    assert_eq!(ReadError::Io(ErrorKind::BrokenPipe).to_string(), "the transport failed: BrokenPipe");
    assert_eq!(WriteError::Io(ErrorKind::BrokenPipe).to_string(), "the transport failed: BrokenPipe");
    let aborted = EncodeError::Aborted;
    assert_eq!(WriteError::<ErrorKind>::from(aborted).to_string(), aborted.to_string());
    assert_eq!(WriteError::<ErrorKind>::Closed.to_string(), "the transport accepts no more bytes");
    assert_eq!(WriteError::<ErrorKind>::Interrupted.to_string(), "an earlier write did not finish");

    let source = |error: &dyn Error| error.source().map(ToString::to_string);
    assert_eq!(source(&ReadError::<ErrorKind>::Decode(error)), Some(error.to_string()));
    assert_eq!(source(&WriteError::<ErrorKind>::Encode(aborted)), Some(aborted.to_string()));
    assert_eq!(source(&ReadError::Io(ErrorKind::BrokenPipe)), None);
    for error in [WriteError::Io(ErrorKind::BrokenPipe), WriteError::Closed, WriteError::Interrupted] {
        assert_eq!(source(&error), None);
    }

    assert_eq!(ReadError::Io(ErrorKind::TimedOut).kind(), ErrorKind::TimedOut);
    assert_eq!(ReadError::<ErrorKind>::Decode(error).kind(), ErrorKind::InvalidData);
    assert_eq!(WriteError::Io(ErrorKind::TimedOut).kind(), ErrorKind::TimedOut);
    assert_eq!(WriteError::<ErrorKind>::Closed.kind(), ErrorKind::WriteZero);
    assert_eq!(WriteError::<ErrorKind>::Encode(aborted).kind(), ErrorKind::InvalidInput);
    assert_eq!(WriteError::<ErrorKind>::Interrupted.kind(), ErrorKind::BrokenPipe);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_stream_is_read_as_the_reference_reads_it(
        stream in streams(),
        limits in limits(),
        cuts in cuts(),
        len in 1..40_usize,
        waits in any::<bool>(),
    ) {
        let mut source = Source::new(cut(&stream, &cuts));
        source.waits = waits;
        let reader = FrameReader::new(source, vec![0; len], decoder(&limits));
        prop_assert_eq!(read_all(reader), reference::decode(&stream, &limits));
    }

    #[test]
    fn any_frame_is_written_whole(
        frames in vec(frames(), 1..4),
        piece in 1..30_usize,
        stage in 0..40_usize,
        accepts in prop_oneof![1..10_usize, Just(usize::MAX)],
        waits in any::<bool>(),
    ) {
        let sink = Sink { accepts, waits, ..Sink::default() };
        let mut writer = FrameWriter::new(sink, vec![0; stage]);
        for frame in &frames {
            block_on(send(&mut writer, frame, piece)).unwrap();
        }
        block_on(writer.push()).unwrap();
        let wire: Vec<_> = frames.iter().flat_map(Frame::wire).collect();
        prop_assert_eq!(writer.into_parts().0.bytes(), wire);
    }
}

/// The async and the blocking reader over the same bytes: what one answers, the other answers, too.
struct FrameReader<B, N, L> {
    asynchronous: io::FrameReader<Source, B, N, L>,
    blocking: blocking::FrameReader<Source, B, N, L>,
}

impl<B, N, L> FrameReader<B, N, L>
where
    B: AsRef<[u8]> + AsMut<[u8]> + Clone,
    N: AsRef<[u8]> + AsMut<[u8]> + Clone,
    L: Borrow<Limits> + Clone,
{
    fn new(source: Source, buffer: B, decoder: Decoder<N, L>) -> Self {
        Self {
            asynchronous: io::FrameReader::new(source.clone(), buffer.clone(), decoder.clone()),
            blocking: blocking::FrameReader::new(source, buffer, decoder),
        }
    }

    async fn next(&mut self) -> Result<Option<Event<'_>>, ReadError<ErrorKind>> {
        let event = self.asynchronous.next().await;
        assert_eq!(self.blocking.next(), event);
        event
    }

    fn offset(&self) -> u64 {
        same(self.asynchronous.offset(), self.blocking.offset())
    }

    fn is_between_frames(&self) -> bool {
        same(self.asynchronous.is_between_frames(), self.blocking.is_between_frames())
    }

    fn payload_remaining(&self) -> u64 {
        same(self.asynchronous.decoder().payload_remaining(), self.blocking.decoder().payload_remaining())
    }

    fn payload_unread(&self) -> u64 {
        same(self.asynchronous.payload_unread(), self.blocking.payload_unread())
    }

    fn file_name(&self) -> Option<&[u8]> {
        same(self.asynchronous.file_name(), self.blocking.file_name())
    }

    fn advance_payload(&mut self, n: u64) -> Result<(), PayloadOverrun> {
        same(self.asynchronous.advance_payload(n), self.blocking.advance_payload(n))
    }

    /// The next `n` bytes of the transport, past the readers.
    fn take(&mut self, n: usize) -> Vec<u8> {
        let [asynchronous, blocking] = [self.asynchronous.io_mut(), self.blocking.io_mut()];
        let mut bytes = vec![0; n];
        block_on(embedded_io_async::Read::read_exact(asynchronous, &mut bytes)).unwrap();
        let mut others = vec![0; n];
        embedded_io::Read::read_exact(blocking, &mut others).unwrap();
        assert_eq!(bytes, others);
        bytes
    }

    fn source(&mut self) -> &Source {
        let [asynchronous, blocking] = [self.asynchronous.io_mut(), self.blocking.io_mut()];
        assert_eq!((asynchronous.unread(), asynchronous.reads), (blocking.unread(), blocking.reads));
        asynchronous
    }

    fn into_parts(mut self) -> (Source, B) {
        self.source();
        let (blocking, (source, buffer)) = (self.blocking.into_parts(), self.asynchronous.into_parts());
        assert_eq!((blocking.0.unread(), blocking.1.as_ref()), (source.unread(), buffer.as_ref()));
        (source, buffer)
    }
}

/// The async and the blocking writer: what one answers and writes, the other answers and writes, too.
struct FrameWriter<B> {
    asynchronous: io::FrameWriter<Sink, B>,
    /// `None` where futures are dropped, for which there is no like.
    blocking: Option<blocking::FrameWriter<Sink, B>>,
}

impl<B: AsRef<[u8]> + AsMut<[u8]> + Clone> FrameWriter<B> {
    fn new(sink: Sink, stage: B) -> Self {
        Self {
            blocking: Some(blocking::FrameWriter::new(sink.clone(), stage.clone())),
            ..Self::asynchronous(sink, stage)
        }
    }

    fn asynchronous(sink: Sink, stage: B) -> Self {
        Self { asynchronous: io::FrameWriter::new(sink, stage), blocking: None }
    }

    async fn start_frame(&mut self, status: Status, files: u32) -> Written {
        let result = self.asynchronous.start_frame(status, files).await;
        self.compare(result, |blocking| blocking.start_frame(status, files))
    }

    async fn start_file(&mut self, name: &[u8], size: u64) -> Written {
        let result = self.asynchronous.start_file(name, size).await;
        self.compare(result, |blocking| blocking.start_file(name, size))
    }

    async fn start_message(&mut self, size: u64) -> Written {
        let result = self.asynchronous.start_message(size).await;
        self.compare(result, |blocking| blocking.start_message(size))
    }

    async fn write_payload(&mut self, payload: &[u8]) -> Written {
        let result = self.asynchronous.write_payload(payload).await;
        self.compare(result, |blocking| blocking.write_payload(payload))
    }

    async fn payload_space(&mut self) -> Result<&mut [u8], WriteError<ErrorKind>> {
        let result = self.asynchronous.payload_space().await.map(|space| space.len());
        let len = self.compare(result, |blocking| blocking.payload_space().map(|space| space.len()))?;
        // It is there now, and asking for it again changes nothing.
        let space = poll_once(self.asynchronous.payload_space()).expect("space")?;
        assert_eq!(space.len(), len);
        Ok(space)
    }

    fn commit_payload(&mut self, n: usize) -> Result<(), EncodeError> {
        // What was made in the one stage must be in the other.
        if let Some(blocking) = &mut self.blocking
            && let Some(Ok(made)) = poll_once(self.asynchronous.payload_space())
        {
            blocking.payload_space().unwrap().copy_from_slice(made);
        }
        let result = self.asynchronous.commit_payload(n);
        self.compare(result, |blocking| blocking.commit_payload(n))
    }

    /// Writes payload past the writers.
    async fn write_past(&mut self, payload: &[u8]) -> Written {
        let io = self.asynchronous.payload_io().await;
        let result = match io {
            Ok(io) => {
                embedded_io_async::Write::write_all(io, payload).await.unwrap();
                Ok(())
            }
            Err(error) => Err(error),
        };
        self.compare(result, |blocking| {
            embedded_io::Write::write_all(blocking.payload_io()?, payload).unwrap();
            Ok(())
        })?;
        Ok(self.pass_payload(payload.len() as u64)?)
    }

    fn pass_payload(&mut self, n: u64) -> Result<(), EncodeError> {
        let result = self.asynchronous.pass_payload(n);
        self.compare(result, |blocking| blocking.pass_payload(n))
    }

    fn is_interrupted(&mut self) -> bool {
        let interrupted = self.asynchronous.is_interrupted();
        self.compare(interrupted, |blocking| blocking.is_interrupted())
    }

    async fn send_message(&mut self, status: Status, message: &[u8]) -> Written {
        let result = self.asynchronous.send_message(status, message).await;
        self.compare(result, |blocking| blocking.send_message(status, message))
    }

    fn stage_message(&mut self, status: Status, message: &[u8]) -> Result<Staged, EncodeError> {
        let staged = self.asynchronous.stage_message(status, message);
        self.compare(staged, |blocking| blocking.stage_message(status, message))
    }

    async fn feed_message(&mut self, status: Status, message: &[u8]) -> Written {
        let result = self.asynchronous.feed_message(status, message).await;
        self.compare(result, |blocking| blocking.feed_message(status, message))
    }

    fn stage_free(&mut self) -> usize {
        let free = self.asynchronous.stage_free();
        self.compare(free, |blocking| blocking.stage_free())
    }

    /// Changes both stages alike.
    fn change_stage(&mut self, change: impl Fn(&mut B)) {
        change(self.asynchronous.stage_mut());
        if let Some(blocking) = &mut self.blocking {
            change(blocking.stage_mut());
        }
    }

    async fn send_ping(&mut self) -> Written {
        let result = self.asynchronous.send_ping().await;
        self.compare(result, blocking::FrameWriter::send_ping)
    }

    async fn push(&mut self) -> Written {
        let result = self.asynchronous.push().await;
        self.compare(result, blocking::FrameWriter::push)
    }

    async fn flush(&mut self) -> Written {
        let result = self.asynchronous.flush().await;
        self.compare(result, blocking::FrameWriter::flush)
    }

    fn encoder(&self) -> &Encoder {
        let encoder = self.asynchronous.encoder();
        if let Some(blocking) = &self.blocking {
            assert_eq!(format!("{:?}", blocking.encoder()), format!("{encoder:?}"));
        }
        encoder
    }

    fn sink(&mut self) -> &Sink {
        self.asynchronous.io_mut()
    }

    fn into_parts(self) -> (Sink, B) {
        let (sink, stage) = self.asynchronous.into_parts();
        if let Some(blocking) = self.blocking {
            let (other, other_stage) = blocking.into_parts();
            other.assert_is_as(&sink);
            assert_eq!(other_stage.as_ref(), stage.as_ref());
        }
        (sink, stage)
    }

    fn into_sinks(self) -> [Sink; 2] {
        [self.asynchronous.into_parts().0, self.blocking.expect("both").into_parts().0]
    }

    fn compare<T: Copy + Debug + PartialEq>(
        &mut self,
        result: T,
        call: impl FnOnce(&mut blocking::FrameWriter<Sink, B>) -> T,
    ) -> T {
        if let Some(blocking) = &mut self.blocking {
            assert_eq!(call(blocking), result);
            blocking.io_mut().assert_is_as(self.asynchronous.io_mut());
        }
        result
    }
}

type Written = Result<(), WriteError<ErrorKind>>;

fn same<T: Copy + Debug + PartialEq>(asynchronous: T, blocking: T) -> T {
    assert_eq!(asynchronous, blocking);
    asynchronous
}

/// A call of a writer's, its arguments with it.
#[derive(Clone, Copy, Debug)]
enum Call {
    StartFrame(u32),
    StartFile(&'static [u8], u64),
    StartMessage(u64),
    WritePayload(&'static [u8]),
    PayloadSpace,
    Commit(usize),
    SendMessage(&'static [u8]),
    SendPing,
    Push,
    Flush,
}

impl Call {
    async fn make(self, writer: &mut FrameWriter<Vec<u8>>) -> Written {
        match self {
            Self::StartFrame(files) => writer.start_frame(Status::ZERO, files).await,
            Self::StartFile(name, size) => writer.start_file(name, size).await,
            Self::StartMessage(size) => writer.start_message(size).await,
            Self::WritePayload(payload) => writer.write_payload(payload).await,
            Self::PayloadSpace => writer.payload_space().await.map(|_| ()),
            Self::Commit(n) => writer.commit_payload(n).map_err(WriteError::Encode),
            Self::SendMessage(message) => writer.send_message(Status::ZERO, message).await,
            Self::SendPing => writer.send_ping().await,
            Self::Push => writer.push().await,
            Self::Flush => writer.flush().await,
        }
    }
}

/// Everything a reader yields up to an end or an error.
fn read_all<B, N, L>(mut reader: impl BorrowMut<FrameReader<B, N, L>>) -> Outcome
where
    B: AsRef<[u8]> + AsMut<[u8]> + Clone,
    N: AsRef<[u8]> + AsMut<[u8]> + Clone,
    L: Borrow<Limits> + Clone,
{
    let reader = reader.borrow_mut();
    let mut log = Log::default();
    loop {
        match block_on(reader.next()) {
            Ok(Some(event)) => log.push(event),
            Ok(None) => return (log.0, None),
            Err(ReadError::Decode(error)) => return (log.0, Some(fault(error))),
            Err(ReadError::Io(error)) => panic!("the transport failed: {error:?}"),
        }
    }
}

/// The same where the transport has the bytes, for each event by its number, that `is_lent`.
fn read_all_lent<B, N, L>(
    reader: &mut io::FrameReader<Source, B, N, L>,
    is_lent: impl Fn(usize) -> bool,
) -> Outcome
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    N: AsRef<[u8]> + AsMut<[u8]>,
    L: Borrow<Limits>,
{
    let mut log = Log::default();
    for n in 0.. {
        let next = if is_lent(n) {
            block_on(reader.next_with(|event| log.push(event)))
        } else {
            block_on(reader.next()).map(|event| event.map(|event| log.push(event)))
        };
        match next {
            Ok(Some(())) => {}
            Ok(None) => return (log.0, None),
            Err(ReadError::Decode(error)) => return (log.0, Some(fault(error))),
            Err(ReadError::Io(error)) => panic!("the transport failed: {error:?}"),
        }
    }
    unreachable!("a stream that never ends")
}

/// Writes `frame`, its payload in pieces of up to `piece` bytes.
async fn send<B: AsRef<[u8]> + AsMut<[u8]> + Clone>(
    writer: &mut FrameWriter<B>,
    frame: &Frame,
    piece: usize,
) -> Written {
    writer.start_frame(Status::new(frame.status).unwrap(), u32::try_from(frame.files.len()).unwrap()).await?;
    for (name, data) in &frame.files {
        writer.start_file(name, data.len() as u64).await?;
        for piece in data.chunks(piece) {
            writer.write_payload(piece).await?;
        }
    }
    writer.start_message(frame.message.len() as u64).await?;
    for piece in frame.message.chunks(piece) {
        writer.write_payload(piece).await?;
    }
    Ok(())
}

/// Every call says that the writer is interrupted, and none reaches the transport.
fn assert_interrupted<B: AsRef<[u8]> + AsMut<[u8]> + Clone>(writer: &mut FrameWriter<B>) {
    let interrupted = Some(Err(WriteError::Interrupted));
    let calls = writer.sink().calls;
    for _ in 0..2 {
        assert_eq!(poll_once(writer.start_frame(Status::ZERO, 0)), interrupted);
        assert_eq!(poll_once(writer.start_file(b"n", 1)), interrupted);
        assert_eq!(poll_once(writer.start_message(1)), interrupted);
        assert_eq!(poll_once(writer.write_payload(b"")), interrupted);
        assert_eq!(poll_once(writer.write_payload(b"p")), interrupted);
        assert_eq!(poll_once(writer.payload_space()), Some(Err(WriteError::Interrupted)));
        assert_eq!(writer.commit_payload(0), Err(EncodeError::Aborted));
        assert_eq!(poll_once(writer.send_message(Status::ZERO, b"m")), interrupted);
        assert_eq!(poll_once(writer.send_ping()), interrupted);
        assert_eq!(poll_once(writer.push()), interrupted);
        assert_eq!(poll_once(writer.flush()), interrupted);
        assert_eq!(poll_once(writer.write_past(b"")), interrupted);
        assert_eq!(writer.pass_payload(0), Err(EncodeError::Aborted));
        assert!(writer.is_interrupted());
    }
    assert_eq!(writer.sink().calls, calls, "an interrupted writer wrote");
}

/// What a future yields when it is polled once and dropped.
fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match poll(pin!(future)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A transport that yields given pieces, never more than one per read.
#[derive(Clone)]
struct Source {
    pieces: Vec<Vec<u8>>,
    /// Every other poll is pending.
    waits: bool,
    /// Fails the read of this number, once.
    fail_at: Option<usize>,
    waited: bool,
    reads: usize,
}

impl Source {
    fn new<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).map(<[u8]>::to_vec).collect();
        Self { pieces, waits: false, fail_at: None, waited: false, reads: 0 }
    }

    fn unread(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }
}

impl ErrorType for Source {
    type Error = ErrorKind;
}

impl embedded_io::Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        if self.fail_at == Some(self.reads) {
            self.fail_at = None;
            return Err(ErrorKind::Other);
        }
        self.reads += 1;
        let Some(piece) = self.pieces.first_mut() else { return Ok(0) };
        let n = piece.len().min(buffer.len());
        buffer[..n].copy_from_slice(&piece[..n]);
        piece.drain(..n);
        if piece.is_empty() {
            self.pieces.remove(0);
        }
        Ok(n)
    }
}

impl embedded_io_async::Read for Source {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        every_other(self.waits, &mut self.waited).await;
        embedded_io::Read::read(self, buffer)
    }
}

impl embedded_io_async::BufRead for Source {
    async fn fill_buf(&mut self) -> Result<&[u8], ErrorKind> {
        every_other(self.waits, &mut self.waited).await;
        // As a read of nothing, which counts and may fail.
        embedded_io::Read::read(self, &mut [])?;
        Ok(self.pieces.first().map_or(&[], Vec::as_slice))
    }

    fn consume(&mut self, n: usize) {
        if let Some(piece) = self.pieces.first_mut() {
            piece.drain(..n);
            if piece.is_empty() {
                self.pieces.remove(0);
            }
        }
    }
}

/// A transport that remembers what was written to it, write by write.
#[derive(Clone)]
struct Sink {
    writes: Vec<Vec<u8>>,
    /// Where the bytes of each write lay in memory, and how many they were.
    places: Vec<(usize, usize)>,
    /// The most bytes that one write takes.
    accepts: usize,
    /// Every other poll is pending.
    waits: bool,
    /// The number of a write, and what it answers.
    bad: Option<(usize, Result<usize, ErrorKind>)>,
    flush_fails: bool,
    waited: bool,
    calls: usize,
    flushes: usize,
}

impl Default for Sink {
    fn default() -> Self {
        Self {
            writes: Vec::new(),
            places: Vec::new(),
            accepts: usize::MAX,
            waits: false,
            bad: None,
            flush_fails: false,
            waited: false,
            calls: 0,
            flushes: 0,
        }
    }
}

impl Sink {
    fn bytes(&self) -> Vec<u8> {
        self.writes.concat()
    }

    /// The same bytes in the same writes, and as many calls.
    fn assert_is_as(&self, other: &Self) {
        assert_eq!((&self.writes, self.calls, self.flushes), (&other.writes, other.calls, other.flushes));
    }
}

impl ErrorType for Sink {
    type Error = ErrorKind;
}

impl embedded_io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        assert!(!bytes.is_empty(), "an empty write");
        self.calls += 1;
        if let Some((call, answer)) = self.bad
            && call == self.calls - 1
        {
            return answer;
        }
        assert!(self.calls < MOST_WRITES, "the writer writes for ever");
        let n = bytes.len().min(self.accepts);
        self.writes.push(bytes[..n].to_vec());
        self.places.push((bytes.as_ptr().addr(), n));
        Ok(n)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        if self.flush_fails {
            return Err(ErrorKind::TimedOut);
        }
        self.flushes += 1;
        Ok(())
    }
}

impl embedded_io_async::Write for Sink {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        every_other(self.waits, &mut self.waited).await;
        embedded_io::Write::write(self, bytes)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        every_other(self.waits, &mut self.waited).await;
        embedded_io::Write::flush(self)
    }
}

/// Pending at every other call if `waits`, and asks to be woken again at once. The turn outlives the future.
async fn every_other(waits: bool, waited: &mut bool) {
    poll_fn(|cx| {
        if waits {
            *waited = !*waited;
            if *waited {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    })
    .await;
}

const BUFFERS: [usize; 6] = [1, 2, 7, 18, 64, 4096];
const STAGES: [usize; 5] = [0, 1, 7, 64, 4096];
/// More than any test here has to make.
const MOST_WRITES: usize = 10_000;
