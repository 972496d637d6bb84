//! Any calls in any order: the encoder refuses what it must and nothing else, and what it accepts can be read.

use arbitrary::Arbitrary;
use tej_core::{Decoder, EncodeError, Encoder, Event, Limits, MIN_FRAME_LEN, Status};

use crate::common::vectors;
use crate::number::Number;
use crate::seed::{self, Seed, variant};

/// Calls, in order.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
pub struct Input {
    calls: Vec<Call>,
}

impl Input {
    /// Makes the calls on an encoder and on a model of it, and reads what was accepted.
    ///
    /// # Panics
    /// Where the encoder answers differently from the model, changes although it refuses, or yields what a decoder does
    /// not read as it was meant.
    pub fn check(&self) {
        let mut trial = Trial {
            encoder: Encoder::new(),
            model: Model::default(),
            decoder: Decoder::new(vec![0; MAX_NAME], Limits::UNLIMITED),
        };
        for call in &self.calls {
            trial.make(call);
        }
    }
}

/// An encoder, what it should be, and what reads it.
struct Trial {
    encoder: Encoder,
    model: Model,
    decoder: Decoder<Vec<u8>, Limits>,
}

impl Trial {
    fn make(&mut self, call: &Call) {
        let before = format!("{:?}", self.encoder);
        let answer = match *call {
            Call::StartFrame { status, files } => self.start_frame(status, files),
            Call::StartFile { name, size } => self.start_file(&NAME[..name.value()], size.value(&self.model)),
            Call::StartMessage { size } => self.start_message(size.value(&self.model)),
            Call::MessageFrame { status, size } => self.message_frame(status, size.value(&self.model)),
            Call::Payload(n) => self.payload(n.value(&self.model)),
            Call::Abort => {
                self.encoder.abort();
                self.model.abort();
                Ok(())
            }
        };
        let Self { encoder, model, decoder } = self;
        if answer.is_err() {
            assert_eq!(format!("{encoder:?}"), before, "a refusal changed the encoder");
        }
        assert_eq!(encoder.payload_remaining(), model.due);
        assert_eq!(u128::from(encoder.frame_len()), model.frame_len);
        assert_eq!(encoder.is_idle(), model.place == Place::Between && !model.aborted);
        if !model.aborted {
            assert_eq!(decoder.payload_remaining(), model.due);
            assert_eq!(decoder.is_between_frames(), encoder.is_idle());
        }
    }

    fn start_frame(&mut self, status: u8, files: Number) -> Result<(), EncodeError> {
        let status = Status::new(status & 0x7f).expect("7 bits");
        let files = u32::try_from(files.value()).unwrap_or(u32::MAX);
        let answer = self.encoder.start_frame(status, files);
        assert_eq!(answer.err(), self.model.start_frame(files.into()).err());
        self.reads(&answer?, |event| {
            matches!(event, Event::FrameStart(header)
                if header.status == status && header.version == 1 && header.files == files)
        });
        Ok(())
    }

    fn start_file(&mut self, name: &[u8], size: u64) -> Result<(), EncodeError> {
        let answer = self.encoder.start_file(name, size);
        assert_eq!(answer.err(), self.model.start_file(name.len(), size).err());
        let head = answer?;
        let bytes = [&head.name_len[..], name, &head.size].concat();
        self.reads(&bytes, |event| *event == Event::FileStart { name, size });
        if size == 0 {
            self.reads(b"", |event| *event == Event::FileEnd);
        }
        Ok(())
    }

    fn start_message(&mut self, size: u64) -> Result<(), EncodeError> {
        let answer = self.encoder.start_message(size);
        assert_eq!(answer.err(), self.model.start_message(size).err());
        self.reads(&answer?, |event| *event == Event::MessageStart { size });
        if size == 0 {
            self.reads(b"", |event| *event == Event::FrameEnd);
        }
        Ok(())
    }

    fn message_frame(&mut self, status: u8, size: u64) -> Result<(), EncodeError> {
        let status = Status::new(status & 0x7f).expect("7 bits");
        let mut head = UNTOUCHED;
        let answer = self.encoder.message_frame(status, size, &mut head);
        assert_eq!(answer, self.model.message_frame(size));
        if answer.is_err() {
            assert_eq!(head, UNTOUCHED, "a refusal wrote a head");
            return answer;
        }
        let (start, size_field) = head.split_at(10);
        self.reads(start, |event| {
            matches!(event, Event::FrameStart(header)
                if header.status == status && header.version == 1 && header.files == 0)
        });
        self.reads(size_field, |event| *event == Event::MessageStart { size });
        // The message goes out in one piece behind its head.
        self.decoder.advance_payload(size).expect("as much as was announced");
        self.reads(b"", |event| *event == Event::FrameEnd);
        Ok(())
    }

    fn payload(&mut self, n: u64) -> Result<(), EncodeError> {
        let (due, place) = (self.model.due, self.model.place);
        let answer = self.encoder.payload(n);
        assert_eq!(answer, self.model.payload(n));
        answer?;
        // Exabytes are not moved, only counted.
        self.decoder.advance_payload(n).expect("as much as was announced");
        if n > 0 && n == due {
            let end = if place == Place::Message { Event::FrameEnd } else { Event::FileEnd };
            self.reads(b"", |event| *event == end);
        }
        Ok(())
    }

    /// All of `bytes` make one event, which is the one that was meant.
    fn reads(&mut self, mut bytes: &[u8], meant: impl FnOnce(&Event<'_>) -> bool) {
        let event = self.decoder.decode(&mut bytes).expect("it was accepted").expect("it is complete");
        assert!(meant(&event), "it is read as {event:?}");
        assert_eq!(bytes, b"");
    }
}

/// One call.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum Call {
    StartFrame { status: u8, files: Number },
    StartFile { name: NameLen, size: Size },
    StartMessage { size: Size },
    Payload(Size),
    Abort,
    MessageFrame { status: u8, size: Size },
}

/// Mostly short ones, and those about the longest.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum NameLen {
    Short(u8),
    /// So many below two more than the longest.
    Longest(u8),
}

impl NameLen {
    fn value(self) -> usize {
        match self {
            Self::Short(n) => n.into(),
            Self::Longest(n) => MAX_NAME + 2 - usize::from(n),
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum Size {
    Number(Number),
    /// What is still due of a payload, and so many more.
    Due {
        more: u8,
    },
    /// What a frame has room for behind a file head of no name, less so many.
    Room {
        less: u8,
    },
}

impl Size {
    fn value(self, model: &Model) -> u64 {
        match self {
            Self::Number(number) => number.value(),
            Self::Due { more } => model.due.saturating_add(more.into()),
            Self::Room { less } => {
                let room = u128::from(u64::MAX) - model.frame_len;
                u64::try_from(room).expect("of 64 bits").saturating_sub(less.into())
            }
        }
    }
}

/// What the encoder is documented to be, in numbers that cannot wrap.
#[derive(Default)]
struct Model {
    aborted: bool,
    place: Place,
    files_left: u64,
    /// Bytes of payload still due.
    due: u64,
    frame_len: u128,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Place {
    #[default]
    Between,
    /// In a frame, and not in its message.
    Files,
    Message,
}

impl Model {
    fn start_frame(&mut self, files: u64) -> Result<(), EncodeError> {
        self.may_begin(self.place == Place::Between)?;
        (self.place, self.files_left, self.frame_len) = (Place::Files, files, 10);
        Ok(())
    }

    fn start_file(&mut self, name_len: usize, size: u64) -> Result<(), EncodeError> {
        self.may_begin(self.place == Place::Files && self.files_left > 0)?;
        if name_len > MAX_NAME {
            return Err(EncodeError::NameTooLong(name_len));
        }
        self.announce(2 + name_len as u128 + 8, size)?;
        self.files_left -= 1;
        Ok(())
    }

    fn start_message(&mut self, size: u64) -> Result<(), EncodeError> {
        self.may_begin(self.place == Place::Files && self.files_left == 0)?;
        self.announce(8, size)?;
        self.place = if size == 0 { Place::Between } else { Place::Message };
        Ok(())
    }

    fn message_frame(&mut self, size: u64) -> Result<(), EncodeError> {
        self.may_begin(self.place == Place::Between)?;
        let len = 18 + u128::from(size);
        if len > u128::from(u64::MAX) {
            return Err(EncodeError::FrameTooLong);
        }
        self.frame_len = len;
        Ok(())
    }

    fn payload(&mut self, n: u64) -> Result<(), EncodeError> {
        if self.aborted {
            return Err(EncodeError::Aborted);
        }
        if n > self.due {
            return Err(EncodeError::PayloadOverrun { offered: n, remaining: self.due });
        }
        self.due -= n;
        if self.due == 0 && self.place == Place::Message {
            self.place = Place::Between;
        }
        Ok(())
    }

    fn abort(&mut self) {
        (self.aborted, self.due) = (true, 0);
    }

    /// What is wrong with a head here, the gravest first.
    fn may_begin(&self, in_order: bool) -> Result<(), EncodeError> {
        if self.aborted {
            Err(EncodeError::Aborted)
        } else if self.due > 0 {
            Err(EncodeError::PayloadMissing(self.due))
        } else if !in_order {
            Err(EncodeError::OutOfOrder)
        } else {
            Ok(())
        }
    }

    fn announce(&mut self, head: u128, size: u64) -> Result<(), EncodeError> {
        let len = self.frame_len + head + u128::from(size);
        if len > u128::from(u64::MAX) {
            return Err(EncodeError::FrameTooLong);
        }
        (self.frame_len, self.due) = (len, size);
        Ok(())
    }
}

impl Seed for Input {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.calls.write(bytes);
    }
}

impl Seed for Call {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::StartFrame { status, files } => variant(0, 6, bytes).field(status).field(files),
            Self::StartFile { name, size } => variant(1, 6, bytes).field(name).field(size),
            Self::StartMessage { size } => variant(2, 6, bytes).field(size),
            Self::Payload(size) => variant(3, 6, bytes).field(size),
            Self::Abort => variant(4, 6, bytes),
            Self::MessageFrame { status, size } => variant(5, 6, bytes).field(status).field(size),
        };
    }
}

impl Seed for NameLen {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Short(n) => variant(0, 2, bytes).field(n),
            Self::Longest(n) => variant(1, 2, bytes).field(n),
        };
    }
}

impl Seed for Size {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Number(number) => variant(0, 3, bytes).field(number),
            Self::Due { more } => variant(1, 3, bytes).field(more),
            Self::Room { less } => variant(2, 3, bytes).field(less),
        };
    }
}

/// The calls that make the vectors, the same with a mistake before each, and frames at the end of what can be counted.
pub fn seeds() -> Vec<Vec<u8>> {
    let small = |n: usize| Number::Small(u8::try_from(n).expect("vectors are short"));
    let size = |n: usize| Size::Number(small(n));
    let mut inputs = Vec::new();
    for vector in vectors() {
        let frame = vector.frame;
        let mut calls = vec![Call::StartFrame { status: frame.status, files: small(frame.files.len()) }];
        for (name, data) in &frame.files {
            let name = NameLen::Short(u8::try_from(name.len()).expect("vectors are short"));
            calls.push(Call::StartFile { name, size: size(data.len()) });
            calls.push(Call::Payload(size(data.len())));
        }
        calls.push(Call::StartMessage { size: size(frame.message.len()) });
        calls.push(Call::Payload(Size::Due { more: 0 }));
        inputs.push(Input { calls: calls.clone() });
        if frame.files.is_empty() {
            let whole = Call::MessageFrame { status: frame.status, size: size(frame.message.len()) };
            inputs.push(Input { calls: vec![whole, Call::Payload(size(0)), whole] });
        }
        let mistakes = [
            Call::Payload(Size::Due { more: 1 }),
            Call::StartMessage { size: size(1) },
            Call::StartFile { name: NameLen::Longest(1), size: size(1) },
            Call::StartFrame { status: 0, files: small(1) },
            Call::MessageFrame { status: 0, size: size(1) },
        ];
        let spoilt = mistakes.into_iter().cycle().zip(calls).flat_map(|(mistake, call)| [mistake, call]);
        inputs.push(Input { calls: spoilt.chain([Call::Abort, Call::Payload(size(0))]).collect() });
    }
    for less in 0..32 {
        let all = Call::Payload(Size::Due { more: 0 });
        inputs.push(Input {
            calls: vec![
                Call::StartFrame { status: 0, files: small(1) },
                Call::StartFile { name: NameLen::Longest(2), size: Size::Room { less: 255 } },
                Call::StartFile { name: NameLen::Short(0), size: Size::Room { less } },
                all,
                Call::StartMessage { size: Size::Room { less } },
                all,
            ],
        });
        inputs.push(Input { calls: vec![Call::MessageFrame { status: 0, size: Size::Room { less } }] });
    }
    let mut bytes = Vec::new();
    seed::seeds(&inputs, &mut bytes);
    bytes
}

const MAX_NAME: usize = 65_535;
/// What a head holds before anything is written there.
const UNTOUCHED: [u8; MIN_FRAME_LEN] = [0xa5; MIN_FRAME_LEN];
const NAME: &[u8] = &[b'n'; MAX_NAME + 2];
