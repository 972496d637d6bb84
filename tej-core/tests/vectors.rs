//! docs/vectors.json: what its streams are said to be is what the crate and the reference read in them, and what
//! docs/vectors.txt and the tables of docs/protocol.md show.

mod common;

use std::collections::BTreeSet;

use common::{by_decode, by_step, core_limits, decoder, from_hex, reference, vectors};
use serde::Deserialize;
use tej_core::{DecodeErrorKind, Decoder, File, MAX_NAME_LEN, Status};

#[test]
fn frames_are_what_the_file_says() {
    for vector in Vectors::read().frames {
        let what = &vector.what;
        let wire = from_hex(&vector.hex);
        let frame = vector.frame.in_memory();
        assert_eq!(vector.frame.version, 1, "{what}");
        assert_eq!(frame.wire(), wire, "{what}");
        let limits = reference::Limits::WIDEST;
        let expected = (frame.events(), None);
        assert_eq!(reference::decode(&wire, &limits), expected, "{what}");
        for piece in [1, 7, wire.len()] {
            assert_eq!(by_decode(decoder(&limits), wire.chunks(piece)), expected, "{what}");
            assert_eq!(by_step(decoder(&limits), wire.chunks(piece)), expected, "{what}");
        }

        let files: Vec<_> = frame.files.iter().map(|(name, data)| File { name, data }).collect();
        let mut input = &wire[..];
        let mut whole = Decoder::new([0; MAX_NAME_LEN], core_limits(&limits));
        let read = whole.decode_frame(&mut input).expect(what);
        assert_eq!((read.header().status.value(), read.header().version), (frame.status, 1), "{what}");
        assert_eq!(read.files().collect::<Vec<_>>(), files, "{what}");
        assert_eq!(read.message(), frame.message, "{what}");
        assert!(input.is_empty(), "{what}");

        let mut buffer = vec![0; wire.len()];
        let status = Status::new(frame.status).expect("the status of a frame");
        assert_eq!(tej_core::encode(status, &files, &frame.message, &mut buffer), Ok(wire.len()), "{what}");
        assert_eq!(buffer, wire, "{what}");
    }
}

#[test]
fn faults_are_where_the_file_says() {
    for FaultVector { what, hex, limits, fault } in Vectors::read().faults {
        let stream = from_hex(&hex);
        let limits = limits.in_full();
        let expected = reference::decode(&stream, &limits);
        let found = expected.1.unwrap_or_else(|| panic!("the reference finds no fault: {what}"));
        let value: u64 = fault.value.parse().expect(&what);
        assert_eq!((found.kind, found.value, found.offset), (&fault.kind[..], value, fault.offset), "{what}");
        for piece in [1, 7, stream.len()] {
            assert_eq!(by_decode(decoder(&limits), stream.chunks(piece)), expected, "{what}");
            assert_eq!(by_step(decoder(&limits), stream.chunks(piece)), expected, "{what}");
        }
    }
}

#[test]
fn every_kind_of_fault_has_a_vector() {
    let vectors = Vectors::read();
    let there: BTreeSet<_> = vectors.faults.iter().map(|vector| &vector.fault.kind[..]).collect();
    assert_eq!(there, DecodeErrorKind::ALL.iter().map(|kind| kind.name()).collect());
}

#[test]
fn the_plain_file_has_the_same_frames() {
    let plain: Vec<_> = vectors().into_iter().map(|vector| (vector.what.to_owned(), vector.wire)).collect();
    let frames = Vectors::read().frames.into_iter();
    assert_eq!(plain, frames.map(|vector| (vector.what, from_hex(&vector.hex))).collect::<Vec<_>>());
}

#[test]
fn the_tables_of_the_protocol_have_the_same_streams() {
    let Vectors { frames, faults, .. } = Vectors::read();
    let frames = frames.into_iter().map(|FrameVector { what, hex, .. }| vec![hex, what]);
    let faults = faults.into_iter().map(|FaultVector { what, hex, limits, fault }| {
        vec![hex, what, limits.in_words(), format!("`{}`, {}, {}", fault.kind, fault.value, fault.offset)]
    });
    let (_, section) =
        include_str!("../../docs/protocol.md").split_once("\n## 7. Vectors\n").expect("the section");
    let rows: Vec<_> = section.lines().filter_map(row).collect();
    assert_eq!(rows, frames.chain(faults).collect::<Vec<_>>());
}

/// The cells of a row that begins with bytes, which lose what makes them readable.
fn row(line: &str) -> Option<Vec<String>> {
    let (bytes, others) = line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | ")?;
    Some([bytes.replace(' ', "")].into_iter().chain(others.split(" | ").map(str::to_owned)).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "about")]
    _about: String,
    frames: Vec<FrameVector>,
    faults: Vec<FaultVector>,
}

impl Vectors {
    fn read() -> Self {
        serde_json::from_str(include_str!("../../docs/vectors.json")).expect("vectors")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrameVector {
    what: String,
    hex: String,
    frame: Frame,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    status: u8,
    version: u8,
    files: Vec<NamedData>,
    message_hex: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedData {
    name_hex: String,
    data_hex: String,
}

impl Frame {
    fn in_memory(&self) -> reference::Frame {
        let file = |file: &NamedData| (from_hex(&file.name_hex), from_hex(&file.data_hex));
        reference::Frame {
            status: self.status,
            files: self.files.iter().map(file).collect(),
            message: from_hex(&self.message_hex),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultVector {
    what: String,
    hex: String,
    #[serde(default)]
    limits: Limits,
    fault: Fault,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    kind: String,
    value: String,
    offset: u64,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    files: Option<u64>,
    name: Option<u64>,
    file: Option<u64>,
    message: Option<u64>,
    frame: Option<u64>,
}

impl Limits {
    fn in_full(&self) -> reference::Limits {
        let widest = reference::Limits::WIDEST;
        reference::Limits {
            any_version: widest.any_version,
            files: self.files.unwrap_or(widest.files),
            name: self.name.unwrap_or(widest.name),
            file: self.file.unwrap_or(widest.file),
            message: self.message.unwrap_or(widest.message),
            frame: self.frame.unwrap_or(widest.frame),
        }
    }

    fn in_words(&self) -> String {
        let Self { files, name, file, message, frame } = self;
        let named =
            [("files", files), ("name", name), ("file", file), ("message", message), ("frame", frame)];
        let set: Vec<_> =
            named.into_iter().filter_map(|(limit, most)| Some(format!("{limit} {}", (*most)?))).collect();
        if set.is_empty() { "none".to_owned() } else { set.join(", ") }
    }
}
