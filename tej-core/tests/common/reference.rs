//! A second reading of TEJ v1: the oracle of the tests.
//!
//! Written from the wire description in docs/protocol.md alone, for being obviously right and for nothing else. It
//! wants the whole stream in one slice, copies every payload, and counts in 128 bits so that no sum can wrap. It
//! shares no code with the crates it judges, so that any test can include this file.

#![allow(dead_code, reason = "each test that includes this file uses its own part of it")]

/// What a decoder has to report, with all payload that is adjacent merged into one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    FrameStart { status: u8, version: u8, files: u64 },
    FileStart { name: Vec<u8>, size: u64 },
    FileData(Vec<u8>),
    FileEnd,
    MessageStart { size: u64 },
    MessageData(Vec<u8>),
    FrameEnd,
}

/// Where a stream goes wrong, in the words of the `tej` command's `error` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: &'static str,
    /// The byte or number at fault; 0 for `truncated`.
    pub(crate) value: u64,
    pub(crate) offset: u64,
}

/// What the receiver puts up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) any_version: bool,
    pub(crate) files: u64,
    pub(crate) name: u64,
    pub(crate) file: u64,
    pub(crate) message: u64,
    pub(crate) frame: u64,
}

impl Limits {
    /// Everything the fields can express, of version 1, but for the number of files, which docs/protocol.md leaves
    /// to the receiver and the crates cap.
    pub(crate) const WIDEST: Self = Self {
        any_version: false,
        files: u32::MAX as u64,
        name: u16::MAX as u64,
        file: u64::MAX,
        message: u64::MAX,
        frame: u64::MAX,
    };
}

/// All events of `stream`, which is the whole of it, up to its end or its first fault.
pub(crate) fn decode(stream: &[u8], limits: &Limits) -> (Vec<Event>, Option<Fault>) {
    let mut reader = Reader { stream, position: 0, events: Vec::new() };
    let mut fault = None;
    while fault.is_none() && reader.position < stream.len() {
        fault = reader.frame(limits).err();
    }
    (reader.events, fault)
}

/// The length of the frame at the start of `stream`, if it is there whole and within the limits.
pub(crate) fn whole_frame_len(stream: &[u8], limits: &Limits) -> Option<usize> {
    let mut reader = Reader { stream, position: 0, events: Vec::new() };
    reader.frame(limits).ok().map(|()| reader.position)
}

/// A frame in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// 0 to 127.
    pub(crate) status: u8,
    /// Names and contents.
    pub(crate) files: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) message: Vec<u8>,
}

impl Frame {
    /// The frame as it travels.
    pub(crate) fn wire(&self) -> Vec<u8> {
        let mut wire = vec![128 + self.status, 1];
        wire.extend((self.files.len() as u64).to_be_bytes());
        for (name, data) in &self.files {
            wire.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
            wire.extend(name);
            wire.extend((data.len() as u64).to_be_bytes());
            wire.extend(data);
        }
        wire.extend((self.message.len() as u64).to_be_bytes());
        wire.extend(&self.message);
        wire
    }

    /// What a decoder has to report for it.
    pub(crate) fn events(&self) -> Vec<Event> {
        let files = self.files.len() as u64;
        let mut events = vec![Event::FrameStart { status: self.status, version: 1, files }];
        for (name, data) in &self.files {
            events.push(Event::FileStart { name: name.clone(), size: data.len() as u64 });
            if !data.is_empty() {
                events.push(Event::FileData(data.clone()));
            }
            events.push(Event::FileEnd);
        }
        events.push(Event::MessageStart { size: self.message.len() as u64 });
        if !self.message.is_empty() {
            events.push(Event::MessageData(self.message.clone()));
        }
        events.push(Event::FrameEnd);
        events
    }
}

struct Reader<'a> {
    stream: &'a [u8],
    position: usize,
    events: Vec<Event>,
}

impl Reader<'_> {
    fn frame(&mut self, limits: &Limits) -> Result<(), Fault> {
        let frame_start = self.position;

        let status = self.number(1)?;
        if status.value < 0x80 {
            return Err(status.fault("bad_start_bit"));
        }
        let version = self.number(1)?;
        if version.value != 1 && !limits.any_version {
            return Err(version.fault("unsupported_version"));
        }
        let files = self.number(8)?;
        if files.value > limits.files {
            return Err(files.fault("too_many_files"));
        }
        self.events.push(Event::FrameStart {
            status: u8::try_from(status.value - 0x80).unwrap(),
            version: u8::try_from(version.value).unwrap(),
            files: files.value,
        });

        for _ in 0..files.value {
            let name_len = self.number(2)?;
            if name_len.value > limits.name {
                return Err(name_len.fault("name_too_long"));
            }
            let name = self.take(usize::try_from(name_len.value).unwrap())?.to_vec();
            let size = self.number(8)?;
            if size.value > limits.file {
                return Err(size.fault("file_too_long"));
            }
            self.check_frame(frame_start, size, limits)?;
            self.events.push(Event::FileStart { name, size: size.value });
            self.payload(size.value, Event::FileData)?;
            self.events.push(Event::FileEnd);
        }

        let size = self.number(8)?;
        if size.value > limits.message {
            return Err(size.fault("message_too_long"));
        }
        self.check_frame(frame_start, size, limits)?;
        self.events.push(Event::MessageStart { size: size.value });
        self.payload(size.value, Event::MessageData)?;
        self.events.push(Event::FrameEnd);
        Ok(())
    }

    /// The frame up to and with a length field that has just been read, and what that field announces.
    fn check_frame(&self, frame_start: usize, size: Number, limits: &Limits) -> Result<(), Fault> {
        let so_far = (self.position - frame_start) as u128;
        if so_far + u128::from(size.value) > u128::from(limits.frame) {
            return Err(size.fault("frame_too_long"));
        }
        Ok(())
    }

    fn number(&mut self, width: usize) -> Result<Number, Fault> {
        let offset = self.position as u64;
        let mut value = 0;
        for &byte in self.take(width)? {
            value = value * 256 + u64::from(byte);
        }
        Ok(Number { value, offset })
    }

    fn payload(&mut self, size: u64, event: fn(Vec<u8>) -> Event) -> Result<(), Fault> {
        let here = (self.stream.len() - self.position) as u128;
        let n = usize::try_from(here.min(u128::from(size))).unwrap();
        if n > 0 {
            let data = self.take(n)?.to_vec();
            self.events.push(event(data));
        }
        if here < u128::from(size) {
            return Err(self.truncated());
        }
        Ok(())
    }

    fn take(&mut self, n: usize) -> Result<&[u8], Fault> {
        if self.stream.len() - self.position < n {
            return Err(self.truncated());
        }
        let start = self.position;
        self.position += n;
        Ok(&self.stream[start..self.position])
    }

    fn truncated(&self) -> Fault {
        Fault { kind: "truncated", value: 0, offset: self.stream.len() as u64 }
    }
}

/// A field and where it begins.
#[derive(Clone, Copy)]
struct Number {
    value: u64,
    offset: u64,
}

impl Number {
    fn fault(self, kind: &'static str) -> Fault {
        Fault { kind, value: self.value, offset: self.offset }
    }
}
