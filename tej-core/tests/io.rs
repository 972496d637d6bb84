//! The reader and the writer over transports that read and write as awkwardly as transports may.

#![cfg(feature = "embedded-io-async")]

#[path = "common/arbitrary.rs"]
mod arbitrary;
mod common;

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use arbitrary::{config, cuts, frames, limits, streams};
use common::reference::{self, Fault, Frame};
use common::{Log, Outcome, cut, decoder, fault, frame, splits_in_three, splits_in_two, vectors};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use futures_lite::future::block_on;
use proptest::collection::vec;
use proptest::prelude::*;
use tej_core::io::{DecodeBuffer, FrameReader, FrameWriter, ReadError, WriteError};
use tej_core::{DecodeErrorKind, Decoder, EncodeError, Limits, Status};

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
    assert_eq!(reader.io_mut().unread(), stream.len() - 20);
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
            let (mut dropped, mut reads) = (0, 0);
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
                reads = reader.io_mut().reads;
            }
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
    for _ in 0..3 {
        assert!(block_on(reader.next()).unwrap().is_some());
    }
    // The second frame has been read ahead, and is not decoded before it is asked for.
    assert_eq!((reader.offset(), reader.is_between_frames()), (19, true));
    assert_eq!(reader.io_mut().unread(), 0);
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
    assert!(writer.io_mut().writes.is_empty());
    block_on(writer.write_payload(&data)).unwrap();
    block_on(writer.start_message(3)).unwrap();
    block_on(writer.write_payload(b"end")).unwrap();
    // The stage full of head and data, the data as it lies, and the rest when it is asked for.
    let wire = frame(0, &[(b"name", &data)], b"end").wire();
    assert_eq!(writer.io_mut().writes, [&wire[..64], &wire[64..1024]]);
    block_on(writer.push()).unwrap();
    assert_eq!(writer.io_mut().writes, [&wire[..64], &wire[64..1024], &wire[1024..]]);
    assert_eq!(writer.io_mut().flushes, 0);

    // Many small frames share one write.
    let mut writer = FrameWriter::new(Sink::default(), [0; 64]);
    for status in [1, 2, 3] {
        let status = Status::new(status).unwrap();
        block_on(writer.start_frame(status, 0)).unwrap();
        block_on(writer.start_message(0)).unwrap();
    }
    block_on(writer.push()).unwrap();
    let wire = [1, 2, 3].map(|status| frame(status, &[], b"").wire()).concat();
    assert_eq!(writer.io_mut().writes, [&wire[..]]);

    // What fills the stage exactly leaves at once, and there is nothing to push.
    let mut writer = FrameWriter::new(Sink::default(), [0; 18]);
    block_on(writer.start_frame(Status::ZERO, 0)).unwrap();
    block_on(writer.start_message(0)).unwrap();
    block_on(writer.push()).unwrap();
    assert_eq!(writer.io_mut().writes, [&frame(0, &[], b"").wire()[..]]);
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
        let sink = writer.into_parts().0;
        assert_eq!(sink.bytes(), frame(0, &[], &data).wire());
        let in_place = sink.places.iter().filter(|(at, _)| range.contains(at));
        assert_eq!(in_place.map(|(_, len)| len).sum::<usize>(), direct, "staged in {stage}");
    }
}

#[test]
fn whole_messages_and_pings_leave_at_once() {
    let mut writer = FrameWriter::new(Sink::default(), [0; 64]);
    block_on(writer.send_message(Status::MAX, b"Hello")).unwrap();
    block_on(writer.send_ping()).unwrap();
    let wires = [frame(127, &[], b"Hello").wire(), frame(2, &[], b"").wire()];
    assert_eq!(writer.io_mut().writes, wires);
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
                if writer.io_mut().calls <= good {
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
    assert_eq!(writer.io_mut().bytes().len(), 10);
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
            let mut writer = FrameWriter::new(sink, vec![0; stage]);
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
fn making_payload_in_the_stage_waits_for_the_stage_to_empty() {
    let mut writer = FrameWriter::new(Sink { waits: true, ..Sink::default() }, [0; 20]);
    assert!(poll_once(writer.start_frame(Status::ZERO, 0)).is_some());
    assert!(poll_once(writer.start_message(9)).is_some());
    writer.commit_payload(2).unwrap();
    assert!(poll_once(writer.payload_space()).is_none());
    assert_interrupted(&mut writer);
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

/// Everything a reader yields up to an end or an error.
fn read_all<B, N, L>(mut reader: impl core::borrow::BorrowMut<FrameReader<Source, B, N, L>>) -> Outcome
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    N: AsRef<[u8]> + AsMut<[u8]>,
    L: core::borrow::Borrow<Limits>,
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

/// Writes `frame`, its payload in pieces of up to `piece` bytes.
async fn send<W: Write, B: AsRef<[u8]> + AsMut<[u8]>>(
    writer: &mut FrameWriter<W, B>,
    frame: &Frame,
    piece: usize,
) -> Result<(), WriteError<W::Error>> {
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
fn assert_interrupted<B: AsRef<[u8]> + AsMut<[u8]>>(writer: &mut FrameWriter<Sink, B>) {
    let interrupted = Some(Err(WriteError::Interrupted));
    let calls = writer.io_mut().calls;
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
    }
    assert_eq!(writer.io_mut().calls, calls, "an interrupted writer wrote");
}

/// What a future yields when it is polled once and dropped.
fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match poll(pin!(future)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn poll<F: Future>(future: core::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A transport that yields given pieces, never more than one per read.
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

impl Read for Source {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        every_other(self.waits, &mut self.waited).await;
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

/// A transport that remembers what was written to it, write by write.
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
}

impl ErrorType for Sink {
    type Error = ErrorKind;
}

impl Write for Sink {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        every_other(self.waits, &mut self.waited).await;
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

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        every_other(self.waits, &mut self.waited).await;
        if self.flush_fails {
            return Err(ErrorKind::TimedOut);
        }
        self.flushes += 1;
        Ok(())
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
