//! `tej decode --explain`: every field of a stream, byte by byte, and what is probably wrong with a faulty one.

use std::fmt::Write as _;

use tej_std::core::{DecodeError, DecodeErrorKind, Decoder, Event, Limits};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::report::{Failure, Reporter};
use crate::text::{printable, printable_bytes};

/// Prints the fields of `input`, which is called `shown`, to its end or first fault.
pub(crate) async fn run(
    mut input: impl AsyncRead + Unpin,
    shown: &str,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let mut explainer = Explainer::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let n = tokio::select! {
            n = input.read(&mut chunk) => n.map_err(|error| Failure::io(shown, &error))?,
            () = reporter.shutdown().requested() => return Err(interrupted()),
        };
        let outcome = if n == 0 { explainer.finish() } else { explainer.feed(&chunk[..n]) };
        let is_printed = reporter.text(std::mem::take(&mut explainer.text).into_bytes()).await;
        outcome?;
        if !is_printed {
            return Err(interrupted());
        }
        if n == 0 {
            return Ok(());
        }
    }
}

fn interrupted() -> Failure {
    Failure::closed("interrupted")
}

/// A stream as far as it was read.
struct Explainer {
    decoder: Decoder<Vec<u8>, Limits>,
    /// The bytes of the current head so far, and where they begin.
    head: Vec<u8>,
    head_at: u64,
    /// What of the current payload is shown, and its length so far.
    shown: Vec<u8>,
    payload: u64,
    frame_at: u64,
    /// Files of the current frame that have not begun; `None` between two frames.
    files_left: Option<u32>,
    /// The last file's name as it was read, and the bytes that came after it: where a name is cut, they tell.
    name: Option<Vec<u8>>,
    after_name: Vec<u8>,
    /// The last length that was read.
    length: Option<Length>,
    /// What is to be printed.
    text: String,
}

impl Explainer {
    fn new() -> Self {
        Self {
            decoder: Decoder::new(vec![0; tej_std::core::MAX_NAME_LEN], Limits::UNLIMITED),
            head: Vec::new(),
            head_at: 0,
            shown: Vec::new(),
            payload: 0,
            frame_at: 0,
            files_left: None,
            name: None,
            after_name: Vec::new(),
            length: None,
            text: String::new(),
        }
    }

    fn feed(&mut self, mut input: &[u8]) -> Result<(), Failure> {
        if self.decoder.offset() == 0 && self.head.is_empty() {
            let _ = writeln!(self.text, "{:<14}{:<WIDTH$}field", "offset (hex)", "bytes");
        }
        loop {
            let before = input;
            // The event borrows the decoder: what is needed of it is taken out at once.
            let found = match self.decoder.decode(&mut input) {
                Ok(Some(event)) => Some(Found::from(&event)),
                Ok(None) => None,
                Err(error) => return Err(self.fault(&error, before)),
            };
            let taken = &before[..before.len() - input.len()];
            self.remember(taken);
            match found {
                Some(Found::Data) => {
                    self.payload += taken.len() as u64;
                    self.shown.extend(taken.iter().take(SHOWN - self.shown.len().min(SHOWN)));
                }
                found => {
                    self.head.extend_from_slice(taken);
                    match found {
                        Some(found) => self.head_ended(&found),
                        None => return Ok(()),
                    }
                }
            }
        }
    }

    /// Keeps the first bytes that follow a name.
    fn remember(&mut self, taken: &[u8]) {
        if self.name.is_some() {
            self.after_name.extend(taken.iter().take(LOOK_AHEAD - self.after_name.len().min(LOOK_AHEAD)));
        }
    }

    fn head_ended(&mut self, found: &Found) {
        let head = std::mem::take(&mut self.head);
        match found {
            Found::FrameStart { files } => {
                self.frame_at = self.head_at;
                self.name = None;
                self.fields(&head);
                self.files_left = Some(*files);
            }
            Found::FileStart { name } => {
                self.fields(&head);
                self.files_left = self.files_left.map(|left| left.saturating_sub(1));
                self.after_name = head[2 + name.len()..].to_vec();
                self.name = Some(name.clone());
            }
            Found::MessageStart => self.fields(&head),
            Found::FileEnd => self.payload_ended("file data"),
            Found::FrameEnd => {
                self.payload_ended("message");
                self.files_left = None;
                let len = self.decoder.offset() - self.frame_at;
                let _ = writeln!(self.text, "{:<14}{:<WIDTH$}end of the frame: {len} bytes", "", "");
            }
            Found::Data => {}
        }
        self.head_at = self.decoder.offset();
    }

    fn payload_ended(&mut self, what: &str) {
        let (shown, len) = (std::mem::take(&mut self.shown), std::mem::take(&mut self.payload));
        if len == 0 {
            return;
        }
        let text = match str::from_utf8(&shown) {
            Ok(text) if len == shown.len() as u64 => format!(": {}", printable(text)),
            _ => String::new(),
        };
        let at = self.decoder.offset() - len;
        self.line(at, &shown, len, &format!("{what}, {len} bytes{text}"));
        self.head_at = self.decoder.offset();
    }

    /// The fields of the head that begins at `head_at`, which moves behind them; the last may be cut off.
    fn fields(&mut self, head: &[u8]) {
        let mut rest = head;
        for (field, len) in self.layout(head) {
            let (bytes, after) = rest.split_at(len.min(rest.len()));
            rest = after;
            if bytes.is_empty() {
                continue;
            }
            let what = if bytes.len() == len {
                if let Field::NameLen | Field::FileLen | Field::MessageLen = field {
                    let (at, end) = (self.head_at, self.head_at + len as u64);
                    self.length = Some(Length { at, end, announced: number(bytes) });
                }
                field.says(bytes)
            } else {
                format!("{}, cut off after {} of {len} bytes", field.name(), bytes.len())
            };
            self.line(self.head_at, bytes, bytes.len() as u64, &what);
            self.head_at += bytes.len() as u64;
        }
    }

    /// The fields that belong where the stream is, and their lengths; `head` are their first bytes.
    fn layout(&self, head: &[u8]) -> Vec<(Field, usize)> {
        match self.files_left {
            None => vec![(Field::Status, 1), (Field::Version, 1), (Field::Files, 8)],
            Some(0) => vec![(Field::MessageLen, 8)],
            Some(_) => {
                let name = head.first_chunk().map_or(0, |len| usize::from(u16::from_be_bytes(*len)));
                vec![(Field::NameLen, 2), (Field::Name, name), (Field::FileLen, 8)]
            }
        }
    }

    /// `bytes` are the first of `len`.
    fn line(&mut self, at: u64, bytes: &[u8], len: u64, what: &str) {
        let mut hex = String::new();
        for byte in bytes.iter().take(ON_A_LINE) {
            let _ = write!(hex, "{byte:02x} ");
        }
        if len > ON_A_LINE as u64 {
            hex += "…";
        }
        let _ = writeln!(self.text, "{at:08x}      {hex:<WIDTH$}{what}");
    }

    /// The fault that `rest`, which was not taken, has led to: what was read of the field, and the likely cause.
    fn fault(&mut self, error: &DecodeError, rest: &[u8]) -> Failure {
        let head = std::mem::take(&mut self.head);
        let begun: Vec<_> = head.iter().chain(rest).copied().collect();
        if self.payload > 0 {
            let what = "payload, not all of it";
            let (shown, len) = (std::mem::take(&mut self.shown), self.payload);
            self.line(self.decoder.offset() - len, &shown, len, what);
        }
        let what = said(error);
        let skip = usize::try_from(error.offset.saturating_sub(self.head_at)).unwrap_or(usize::MAX);
        self.fields(&begun[..skip.min(begun.len())]);
        let field = begun.get(skip..).unwrap_or_default();
        self.line(error.offset, field, field.len() as u64, &format!("FAULT: {what}"));
        let cause = self.cause(error, &begun, skip);
        let _ = writeln!(self.text, "\nlikely: {cause}");
        let mut failure = Failure::from(*error);
        failure.detail = what;
        failure
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if self.text.is_empty() && self.decoder.offset() == 0 && self.head.is_empty() {
            self.text = "no frame: the input is empty\n".into();
        }
        match self.decoder.finish() {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fault(&error, &[])),
        }
    }

    /// What is probably wrong with a peer that wrote this: `begun` are the bytes from `head_at` on, in which the field at
    /// fault begins at `skip`.
    fn cause(&self, error: &DecodeError, begun: &[u8], skip: usize) -> String {
        if error.kind == DecodeErrorKind::BadStartBit && error.offset == 0 {
            let other = OTHER_PROTOCOLS.iter().find(|(start, _)| begun.starts_with(start));
            return match other {
                Some((_, protocol)) => format!("this is {protocol}, not TEJ"),
                None => "the peer does not speak TEJ, or this is not the start of the stream".to_owned(),
            };
        }
        if let Some(announced) = self.name_counted_in_characters(begun) {
            return format!(
                "the peer counts name characters instead of bytes ({announced}): tej-protoc <= 0.2.4 does. Until it is \
                 mended, give it names in ASCII"
            );
        }
        let is_number =
            !matches!(error.kind, DecodeErrorKind::BadStartBit | DecodeErrorKind::UnsupportedVersion);
        if let Some(value) =
            begun.get(skip..).and_then(|field| field.first_chunk()).map(|b| u64::from_le_bytes(*b))
            && is_number
            && value < 1 << 32
        {
            return format!(
                "the peer writes numbers with the lowest byte first ({value} would make sense); TEJ has the highest byte \
                 first"
            );
        }
        match error.kind {
            DecodeErrorKind::BadStartBit => {
                "the peer sent more than it announced: a length in the frame that ends here is too small"
                    .into()
            }
            DecodeErrorKind::UnsupportedVersion => {
                "the peer speaks a version that this program does not know".into()
            }
            DecodeErrorKind::Truncated => match self.length {
                None => "the stream was cut here".into(),
                Some(Length { at, end, announced }) => {
                    let came = error.offset.saturating_sub(end);
                    let came = if came < announced { came.to_string() } else { "all of them".into() };
                    format!(
                        "the stream was cut here, or a length before is wrong: the last, at {at} ({at:#x}), announced \
                         {announced} bytes and {came} came"
                    )
                }
            },
            _ => "the stream has lost its place: a length before this field is wrong".into(),
        }
    }

    /// The last name and its announced length, if more bytes belong to the name than were announced: those that follow
    /// complete a text of as many characters.
    fn name_counted_in_characters(&self, begun: &[u8]) -> Option<String> {
        let after = [&self.after_name, begun].concat();
        self.name.as_ref().and_then(|name| completed(name, &after)).or_else(|| {
            // The fault is in the length of the file, right behind the name.
            let (len, rest) = begun.split_first_chunk::<2>()?;
            let (name, after) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            completed(name, after)
        })
    }
}

/// `name` with as many of the bytes `after` it as make a text of as many characters as `name` has bytes.
fn completed(name: &[u8], after: &[u8]) -> Option<String> {
    if name.is_ascii() {
        return None;
    }
    let all = [name, after].concat();
    let valid = all.utf8_chunks().next()?.valid();
    let (last, c) = valid.char_indices().nth(name.len().checked_sub(1)?)?;
    let (text, _) = valid.split_at(last + c.len_utf8());
    // A length follows, which hardly ever takes more than six bytes.
    let zeros = all.get(text.len()..text.len() + 2)? == [0, 0];
    (zeros && !text.contains('\0')).then(|| format!("{} for {}", name.len(), printable(text)))
}

/// The fault, with its offset also as those of the lines are.
fn said(error: &DecodeError) -> String {
    let text = error.to_string();
    match text.strip_suffix(" of the stream)") {
        Some(start) => format!("{start} = {:#x} of the stream)", error.offset),
        None => text,
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A length in a stream: where it begins and ends, and what it says.
#[derive(Clone, Copy)]
struct Length {
    at: u64,
    end: u64,
    announced: u64,
}

/// A field of a head.
#[derive(Clone, Copy)]
enum Field {
    Status,
    Version,
    Files,
    NameLen,
    Name,
    FileLen,
    MessageLen,
}

impl Field {
    fn name(self) -> &'static str {
        match self {
            Self::Status => "start bit and status",
            Self::Version => "version",
            Self::Files => "number of files",
            Self::NameLen => "length of the file's name",
            Self::Name => "name",
            Self::FileLen => "length of the file",
            Self::MessageLen => "length of the message",
        }
    }

    /// The name and what the field says, of which all `bytes` have come.
    fn says(self, bytes: &[u8]) -> String {
        let number = || number(bytes);
        match self {
            Self::Status => {
                let status = number() & 0x7f;
                let ping = if status == 2 { ", a ping" } else { "" };
                format!("start bit 1, status {status}{ping}")
            }
            Self::Version => format!("version {}", number()),
            Self::Name => {
                let utf8 = if str::from_utf8(bytes).is_ok() { "" } else { ", which is not UTF-8" };
                format!("name: {}{utf8}", printable_bytes(bytes))
            }
            _ => format!("{}: {}", self.name(), number()),
        }
    }
}

/// What is needed of an event.
enum Found {
    FrameStart { files: u32 },
    FileStart { name: Vec<u8> },
    Data,
    FileEnd,
    MessageStart,
    FrameEnd,
}

impl From<&Event<'_>> for Found {
    fn from(event: &Event<'_>) -> Self {
        match event {
            Event::FrameStart(header) => Self::FrameStart { files: header.files },
            Event::FileStart { name, .. } => Self::FileStart { name: name.to_vec() },
            Event::MessageStart { .. } => Self::MessageStart,
            Event::FileEnd => Self::FileEnd,
            Event::FrameEnd => Self::FrameEnd,
            // What is neither a head nor an end.
            _ => Self::Data,
        }
    }
}

/// What is sent to a wrong port, by its first bytes.
const OTHER_PROTOCOLS: [(&[u8], &str); 8] = [
    (b"GET ", "an HTTP request"),
    (b"POST ", "an HTTP request"),
    (b"PUT ", "an HTTP request"),
    (b"HEAD ", "an HTTP request"),
    (b"HTTP/", "an answer of HTTP"),
    (b"SSH-", "SSH"),
    (b"\x16\x03", "TLS: the peer expects an encrypted connection"),
    (b"\x15\x03", "TLS: the peer expects an encrypted connection"),
];

const CHUNK: usize = 64 * 1024;
/// Bytes that stand on a line.
const ON_A_LINE: usize = 8;
/// Columns of the bytes.
const WIDTH: usize = 3 * ON_A_LINE + 3;
/// Bytes of a payload that are kept to be shown as text.
const SHOWN: usize = 64;
/// Bytes behind a name that may belong to it.
const LOOK_AHEAD: usize = 1024;
