//! Whatever arrives, however it is cut: the decoder reads what the reference reads, the encoder yields what it reads.

#[path = "common/arbitrary.rs"]
mod arbitrary;
mod common;

use arbitrary::{config, cuts, frames, limits, streams};
use common::reference::{self, Event};
use common::{Log, by_decode, by_encoder, by_frames, by_step, cut, decoder, fault, take_frame};
use proptest::collection::vec;
use proptest::prelude::*;
use tej_core::{Encoder, KeepAlive, KeepAliveAction, KeepAliveConfig, Status};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_stream_is_read_as_the_reference_reads_it(stream in streams(), limits in limits(), cuts in cuts()) {
        let expected = reference::decode(&stream, &limits);
        prop_assert_eq!(&by_decode(decoder(&limits), cut(&stream, &cuts)), &expected);
        prop_assert_eq!(&by_step(decoder(&limits), cut(&stream, &cuts)), &expected);
        prop_assert_eq!(&by_frames(&limits, cut(&stream, &cuts)), &expected);
    }

    /// Whichever way each next thing is taken, the whole is the same.
    #[test]
    fn all_ways_to_decode_mix(
        stream in streams(),
        limits in limits(),
        cuts in cuts(),
        ways in vec((0..4_u8, 0..10_usize), 1..20),
    ) {
        let mut decoder = decoder(&limits);
        // In every round one way that says when more input is needed.
        let mut ways = ways.iter().chain([&(0, 0)]).cycle();
        let mut log = Log::default();
        let mut error = None;
        let mut consumed = 0;
        'stream: for mut input in cut(&stream, &cuts) {
            loop {
                let before = input.len();
                let &(way, n) = ways.next().unwrap();
                // `None` if more input is needed, or if this way says nothing about that.
                let found = match way {
                    0 => decoder.decode(&mut input).map(|event| event.map(|event| log.push(event))),
                    1 => decoder.step(input).map(|step| {
                        let (now, later) = input.split_at(step.consumed);
                        input = later;
                        step.event.map(|span| log.push(decoder.resolve(span, now)))
                    }),
                    2 => Ok(take_frame(&mut decoder, &limits, &mut input).map(|frame| log.push_frame(&frame))),
                    _ => {
                        let n = usize::try_from(decoder.payload_remaining()).unwrap_or(n).min(n).min(input.len());
                        let (moved, later) = input.split_at(n);
                        decoder.advance_payload(n as u64).unwrap();
                        input = later;
                        Ok((n > 0).then(|| log.push_moved(moved)))
                    }
                };
                consumed += (before - input.len()) as u64;
                match found {
                    Ok(None) if way <= 1 => break,
                    Ok(_) => prop_assert_eq!(decoder.offset(), consumed),
                    Err(err) => {
                        error = Some(err);
                        break 'stream;
                    }
                }
            }
            if error.is_none() {
                prop_assert!(input.is_empty());
            }
        }
        let error = error.or(decoder.finish().err()).map(fault);
        prop_assert_eq!((log.0, error), reference::decode(&stream, &limits));
    }

    #[test]
    fn arbitrary_bytes_are_read_as_the_reference_reads_them(
        start in prop::sample::select(vec![&b""[..], b"\x80\x01", b"\x80\x01\0\0\0\0\0\0\0"]),
        noise in vec(prop_oneof![4 => Just(0), 1 => any::<u8>()], 0..100),
        limits in limits(),
        cuts in cuts(),
    ) {
        let stream = [start, &noise].concat();
        let expected = reference::decode(&stream, &limits);
        prop_assert_eq!(&by_decode(decoder(&limits), cut(&stream, &cuts)), &expected);
        prop_assert_eq!(by_frames(&limits, cut(&stream, &cuts)), expected);
    }

    #[test]
    fn payload_may_go_past_the_decoder_at_any_point(
        stream in streams(),
        limits in limits(),
        cuts in cuts(),
        moves in vec(0..10_usize, 1..20),
    ) {
        let mut decoder = decoder(&limits);
        let mut moves = moves.iter().cycle();
        let mut log = Log::default();
        let mut error = None;
        'stream: for mut input in cut(&stream, &cuts) {
            loop {
                let remaining = decoder.payload_remaining();
                if remaining > 0 {
                    let n = input.len().min(*moves.next().unwrap());
                    let n = n.min(usize::try_from(remaining).unwrap());
                    decoder.advance_payload(n as u64).unwrap();
                    let (moved, rest) = input.split_at(n);
                    log.push_moved(moved);
                    input = rest;
                }
                match decoder.decode(&mut input) {
                    Ok(Some(event)) => log.push(event),
                    Ok(None) => break,
                    Err(err) => {
                        error = Some(err);
                        break 'stream;
                    }
                }
            }
        }
        let error = error.or(decoder.finish().err()).map(fault);
        prop_assert_eq!((log.0, error), reference::decode(&stream, &limits));
    }

    #[test]
    fn what_is_encoded_is_what_is_read(
        frames in vec(frames(), 0..4),
        piece in 1..30_usize,
        cuts in cuts(),
    ) {
        let mut encoder = Encoder::new();
        let mut wire = Vec::new();
        for frame in &frames {
            wire.extend(by_encoder(&mut encoder, frame, piece));
        }
        let events = frames.iter().flat_map(reference::Frame::events).collect();
        let outcome = by_decode(decoder(&reference::Limits::WIDEST), cut(&wire, &cuts));
        prop_assert_eq!(outcome, (events, None));
    }

    /// Every sequence of calls is a prefix of a valid stream, once the calls that were refused are left out.
    #[test]
    fn whatever_the_encoder_accepts_can_be_read(calls in vec((0..5_u8, 0..4_usize), 0..60)) {
        let mut encoder = Encoder::new();
        let (mut wire, mut frames, mut files, mut messages) = (Vec::new(), 0, 0, 0);
        for (call, n) in calls {
            let zeros = vec![0; n];
            match call {
                0 => if let Ok(head) = encoder.start_frame(Status::ZERO, u32::try_from(n).unwrap()) {
                    wire.extend(head);
                    frames += 1;
                },
                1 => if let Ok(head) = encoder.start_file(&zeros, n as u64) {
                    wire.extend(head.name_len);
                    wire.extend(&zeros);
                    wire.extend(head.size);
                    files += 1;
                },
                2 => if let Ok(head) = encoder.start_message(n as u64) {
                    wire.extend(head);
                    messages += 1;
                },
                _ => if encoder.payload(n as u64).is_ok() {
                    wire.extend(&zeros);
                },
            }
            let (events, fault) = reference::decode(&wire, &reference::Limits::WIDEST);
            prop_assert!(fault.is_none_or(|fault| fault.kind == "truncated"), "{:?}", fault);
            prop_assert_eq!(encoder.is_idle(), fault.is_none());
            let count = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
            prop_assert_eq!(count(|event| matches!(event, Event::FrameStart { .. })), frames);
            prop_assert_eq!(count(|event| matches!(event, Event::FileStart { .. })), files);
            prop_assert_eq!(count(|event| matches!(event, Event::MessageStart { .. })), messages);
        }
    }

    #[test]
    fn the_keep_alive_is_due_exactly_at_the_deadline_it_names(
        ping_interval in prop::option::of(1..1000_u64),
        idle_timeout in prop::option::of(1..1000_u64),
        start in prop_oneof![0..10_000_u64, u64::MAX - 2000..=u64::MAX],
        ticks in vec((0..300_u64, any::<bool>(), any::<bool>()), 0..20),
    ) {
        let mut keep_alive = KeepAlive::new(KeepAliveConfig { ping_interval, idle_timeout }, start);
        let (mut now, mut sent, mut received) = (start, start, start);
        for (passed, sends, receives) in ticks {
            now = now.saturating_add(passed);
            if sends {
                keep_alive.sent(now);
                sent = now;
            }
            if receives {
                keep_alive.received(now);
                received = now;
            }
            let after = |since: u64, delay: Option<u64>| delay.map(|delay| u128::from(since) + u128::from(delay));
            let end = u128::from(u64::MAX);
            let (dead, ping) = (after(received, idle_timeout), after(sent, ping_interval));
            let is_due = |at: Option<u128>| at.is_some_and(|at| at.min(end) <= u128::from(now));
            let expected = if is_due(dead) {
                KeepAliveAction::PeerSilent
            } else if is_due(ping) {
                KeepAliveAction::SendPing
            } else {
                let until = dead.into_iter().chain(ping).min().map(|at| u64::try_from(at.min(end)).unwrap());
                KeepAliveAction::Wait { until }
            };
            prop_assert_eq!(keep_alive.poll(now), expected);
            if let KeepAliveAction::Wait { until: Some(until) } = expected {
                prop_assert!(until > now);
                prop_assert_eq!(keep_alive.poll(until - 1), expected);
                let still_waits = matches!(keep_alive.poll(until), KeepAliveAction::Wait { .. });
                prop_assert!(!still_waits);
            }
        }
    }
}
