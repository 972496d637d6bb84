//! One decoder on its way through the input, and the record of it.

use tej_core::{DecodeError, Decoder, Event, FRAME_HEAD_LEN, File, Frame, FrameHeader, Limits, Step};

use crate::{
    memory::choose,
    record::{self, Entry, Mark, Record},
    task::{NAME, Request, Start},
};

/// A decoder that is given pieces of the stream.
///
/// Differences are collected, not branched on: so a solver has one question at the end, not one path for each.
pub(crate) struct Run<'t> {
    decoder: Decoder<[u8; NAME], &'t Limits>,
    request: &'t Request,
    record: &'t mut Record,
    /// The kind of entry for the payload that is not given to the decoder.
    payload: u64,
    /// The stream's offset at the first byte of its memory.
    base: u64,
    failed: bool,
    /// Whether the current frame was not taken whole, though it begins in the input.
    refused: bool,
    /// Not 0 once the decoder has broken its contract.
    broken: u64,
}

/// How a caller takes what there is.
#[derive(Clone, Copy)]
pub(crate) enum Path {
    /// `decode`.
    Events,
    /// `step`, and then `resolve`.
    Steps,
    /// `decode` but for payload, which is moved past the decoder.
    Moving,
    /// `decode_frame`, and `decode` where that takes nothing.
    Frames,
}

impl Path {
    pub(crate) const OTHERS: [Self; 3] = [Self::Steps, Self::Moving, Self::Frames];
}

impl<'t> Run<'t> {
    pub(crate) fn new(start: &Start<'t>, request: &'t Request, record: &'t mut Record) -> Self {
        record.clear();
        let decoder = start.decoder.clone();
        let base = decoder.offset().wrapping_sub(request.prefix_len() as u64);
        Self {
            decoder,
            payload: start.payload,
            request,
            record,
            base,
            failed: false,
            refused: false,
            broken: 0,
        }
    }

    /// Gives the decoder a piece of the stream and takes all that it says.
    pub(crate) fn feed(&mut self, path: Path, from: usize, to: usize) {
        let Some(mut input) = self.request.stream.get(from..to) else {
            self.broken |= 1;
            return;
        };
        while !self.failed {
            let Some(consumed) = self.advance(path, input) else { return };
            let Some((_, rest)) = input.split_at_checked(choose(consumed)) else {
                self.broken |= 1;
                return;
            };
            input = rest;
        }
    }

    /// Remembers in the record what the decoder says of itself, for [`compare`](Self::compare).
    pub(crate) fn mark(&mut self, place: usize) {
        let mark = self.say();
        self.record.set_mark(place, mark);
    }

    /// Not 0 if the decoder says something else of itself than the reference did at this place.
    pub(crate) fn compare(&mut self, reference: &Record, place: usize) -> u64 {
        let mark = self.say();
        reference.difference_from_mark(place, &mark)
    }

    /// Not 0 if the decoder has broken its contract.
    pub(crate) fn verdict(&self) -> u64 {
        self.broken
    }

    /// Takes one event and answers how many bytes it consumed; `None` once there is no more to be had of the input.
    fn advance(&mut self, path: Path, input: &[u8]) -> Option<usize> {
        let here = self.request.place(input);
        let outcome = match path {
            Path::Moving if self.decoder.payload_remaining() > 0 && !input.is_empty() => {
                return Some(self.move_payload(input));
            }
            Path::Steps => self.decoder.step(input).map(|Step { consumed, event }| {
                (consumed, event.map(|span| self.decoder.resolve(span, input)))
            }),
            Path::Events | Path::Moving | Path::Frames => {
                let mut rest = input;
                if matches!(path, Path::Frames) && self.decoder.is_between_frames() {
                    if let Some(frame) = self.decoder.decode_frame(&mut rest) {
                        return Some(self.take_frame(frame, input, rest));
                    }
                    self.broken |=
                        (self.request.place(rest) ^ here) as u64 | (rest.len() ^ input.len()) as u64;
                    self.refused = true;
                }
                let outcome = decode(&mut self.decoder, &mut rest);
                let consumed = choose(input.len().wrapping_sub(rest.len()));
                // An empty slice may lie anywhere.
                if consumed != input.len() {
                    self.broken |= (self.request.place(rest) ^ here.wrapping_add(consumed)) as u64;
                }
                // At a fault the input stays where it is.
                self.broken |= if outcome.is_err() { consumed as u64 } else { 0 };
                outcome.map(|event| (consumed, event))
            }
        };
        let (consumed, event) = match outcome {
            Ok((consumed, Some(event))) => (consumed, event),
            Ok((consumed, None)) => {
                // More is only asked for when all was taken.
                self.broken |= (consumed ^ input.len()) as u64;
                return None;
            }
            Err(error) => {
                self.fail(error, input);
                return None;
            }
        };
        let consumed = choose(consumed);
        let (kind, first, second) = match event {
            Event::FrameStart(FrameHeader { status, version, files }) => {
                (record::FRAME_START, u64::from(status.value()) << 8 | u64::from(version), files.into())
            }
            Event::FileStart { name, size } => {
                let sent = name_before(&self.request.stream, here.wrapping_add(consumed), choose(name.len()));
                self.broken |= (sent.len() ^ name.len()) as u64;
                self.broken |=
                    name.iter().zip(sent).fold(0, |all, (one, other)| all | u64::from(one ^ other));
                (record::FILE_START, name.len() as u64, size)
            }
            Event::FileData(data) | Event::MessageData(data) => {
                let kind = if matches!(event, Event::FileData(_)) {
                    record::FILE_DATA
                } else {
                    record::MESSAGE_DATA
                };
                // Payload is what was consumed, where it lies, and at least a byte.
                self.broken |= (self.request.place(data) ^ here) as u64 | (data.len() ^ consumed) as u64;
                self.broken |= u64::from(consumed == 0);
                self.broken |= self.record.push_payload(kind, here, here.wrapping_add(consumed));
                return Some(consumed);
            }
            Event::FileEnd => (record::FILE_END, 0, 0),
            Event::MessageStart { size } => (record::MESSAGE_START, size, 0),
            Event::FrameEnd => {
                // It was acceptable, after all.
                self.broken |= u64::from(self.refused);
                (record::FRAME_END, 0, 0)
            }
            _ => (record::UNKNOWN, 0, 0),
        };
        self.payload = if kind == record::MESSAGE_START { record::MESSAGE_DATA } else { record::FILE_DATA };
        let at = self.decoder.offset();
        self.broken |= at ^ self.base.wrapping_add(here.wrapping_add(consumed) as u64);
        self.broken |= self.record.push(Entry { kind, at, first, second });
        Some(consumed)
    }

    /// Records a frame that was taken whole as the events that it would have been.
    fn take_frame(&mut self, frame: Frame<'_>, input: &[u8], rest: &[u8]) -> usize {
        let FrameHeader { status, version, files } = frame.header();
        let start = self.request.place(input);
        let mut place = start + FRAME_HEAD_LEN;
        let numbers = u64::from(status.value()) << 8 | u64::from(version);
        self.record_event(place, record::FRAME_START, numbers, files.into());
        for File { name, data } in frame.files() {
            self.broken |= (self.request.place(name) ^ place.wrapping_add(NAME_LEN_WIDTH)) as u64;
            place = place.wrapping_add(NAME_LEN_WIDTH + choose(name.len()) + FILE_LEN_WIDTH);
            self.record_event(place, record::FILE_START, name.len() as u64, data.len() as u64);
            place = self.record_payload(place, record::FILE_DATA, data);
            self.record_event(place, record::FILE_END, 0, 0);
        }
        let message = frame.message();
        place += MESSAGE_LEN_WIDTH;
        self.record_event(place, record::MESSAGE_START, message.len() as u64, 0);
        place = self.record_payload(place, record::MESSAGE_DATA, message);
        self.record_event(place, record::FRAME_END, 0, 0);
        let consumed = place.wrapping_sub(start);
        self.broken |= (frame.len() ^ consumed) as u64;
        self.broken |= (self.request.place(rest) ^ place) as u64
            | (rest.len() ^ input.len().wrapping_sub(consumed)) as u64;
        self.broken |= self.decoder.offset() ^ self.base.wrapping_add(place as u64);
        consumed
    }

    /// Records an event that a whole frame implies, as yielded at a place.
    fn record_event(&mut self, place: usize, kind: u64, first: u64, second: u64) {
        let at = self.base.wrapping_add(place as u64);
        self.broken |= self.record.push(Entry { kind, at, first, second });
    }

    /// Records payload of a whole frame, which must lie at `place`, and answers where it ends.
    fn record_payload(&mut self, place: usize, kind: u64, data: &[u8]) -> usize {
        self.broken |= (self.request.place(data) ^ place) as u64;
        let end = place.wrapping_add(choose(data.len()));
        if end != place {
            self.broken |= self.record.push_payload(kind, place, end);
        }
        end
    }

    /// Moves as much payload past the decoder as the input holds.
    fn move_payload(&mut self, input: &[u8]) -> usize {
        let here = self.request.place(input);
        let remaining = usize::try_from(self.decoder.payload_remaining()).unwrap_or(usize::MAX);
        let moved = choose(remaining.min(input.len()));
        self.broken |= u64::from(self.decoder.advance_payload(moved as u64).is_err());
        self.broken |= self.record.push_payload(self.payload, here, here.wrapping_add(moved));
        moved
    }

    /// Records a fault, and asks again: it must stay, whatever comes.
    fn fail(&mut self, error: DecodeError, input: &[u8]) {
        self.failed = true;
        let [kind, first, at] = record::fault(Err(error));
        self.broken |= self.record.push(Entry { kind, at, first, second: 0 });
        for input in [input, &[]] {
            let mut rest = input;
            self.broken |= match decode(&mut self.decoder, &mut rest) {
                Ok(_) => 1,
                Err(again) => {
                    let [again_kind, again_first, again_at] = record::fault(Err(again));
                    (rest.len() ^ input.len()) as u64
                        | kind ^ again_kind
                        | first ^ again_first
                        | at ^ again_at
                }
            };
        }
    }

    fn say(&mut self) -> Mark {
        Mark {
            len: self.record.len(),
            payload_end: self.record.payload_end(),
            offset: self.decoder.offset(),
            remaining: self.decoder.payload_remaining(),
            between_frames: u64::from(self.decoder.is_between_frames()),
            finish: record::fault(self.decoder.finish()),
        }
    }
}

/// The decoder's `decode`, compiled once: it would be inlined wherever it is called.
#[inline(never)]
pub(crate) fn decode<'s, 'i: 's>(
    decoder: &'s mut Decoder<[u8; NAME], &Limits>,
    input: &mut &'i [u8],
) -> Result<Option<Event<'s>>, DecodeError> {
    decoder.decode(input)
}

/// What two decoders say of themselves and, where payload has ended, yield next: not 0 if it is not the same.
pub(crate) fn difference_of(
    one: &mut Decoder<[u8; NAME], &Limits>,
    other: &mut Decoder<[u8; NAME], &Limits>,
) -> u64 {
    let say = |decoder: &mut Decoder<[u8; NAME], &Limits>| {
        let [finish, value, at] = record::fault(decoder.finish());
        let mut nothing: &[u8] = &[];
        let next = match decode(decoder, &mut nothing) {
            Ok(None) => 0,
            Ok(Some(Event::FileEnd)) => record::FILE_END,
            Ok(Some(Event::FrameEnd)) => record::FRAME_END,
            Ok(Some(_)) => record::UNKNOWN,
            Err(error) => record::fault(Err(error))[0],
        };
        [finish, value, at, next, decoder.offset(), decoder.payload_remaining()]
    };
    say(one).into_iter().zip(say(other)).fold(0, |all, (one, other)| all | one ^ other)
}

/// The name that the stream has in front of the file length that ends at `end`; nothing where there is no room for it.
fn name_before(stream: &[u8], end: usize, len: usize) -> &[u8] {
    let name_end = end.wrapping_sub(FILE_LEN_WIDTH);
    name_end.checked_sub(len).and_then(|start| stream.get(start..name_end)).unwrap_or_default()
}

const NAME_LEN_WIDTH: usize = 2;
const FILE_LEN_WIDTH: usize = 8;
const MESSAGE_LEN_WIDTH: usize = 8;
