//! `tej decode --json` against an independent decoder, event for event and offset for offset, on arbitrary bytes.

mod common;
#[path = "../../tej-core/tests/common/reference.rs"]
mod reference;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;

use common::{Tej, hex, json_lines, sha256};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use reference::{Event, Fault, Frame, Limits};
use serde_json::{Value, json};

#[test]
fn decode_agrees_with_the_reference() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("stream");
    // A process for each case: few, but with every kind of damage.
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let kinds = RefCell::new(BTreeSet::new());
    TestRunner::new(config)
        .run(&stream(), |stream| {
            fs::write(&path, &stream).unwrap();
            let output = Tej::run(&["decode", path.to_str().unwrap(), "--json"]);
            let (events, fault) = reference::decode(&stream, &Limits::WIDEST);
            kinds.borrow_mut().insert(fault.map_or("fine", |fault| fault.kind));
            let mut found = json_lines(&output.stdout);
            if let Some(error) = found.last_mut().filter(|event| event["event"] == "error") {
                // The wording is free.
                let detail = error.as_object_mut().unwrap().remove("detail");
                prop_assert!(detail.is_some_and(|detail| detail.is_string()));
            }
            prop_assert_eq!(&found, &expected(&events, fault), "{}", hex(&stream));
            prop_assert_eq!(output.status.code(), Some(i32::from(fault.is_some())));
            Ok(())
        })
        .unwrap();
    // The cases are worth little unless they go wrong in every way there is.
    let expected =
        ["bad_start_bit", "fine", "frame_too_long", "too_many_files", "truncated", "unsupported_version"];
    assert_eq!(kinds.take().into_iter().collect::<Vec<_>>(), expected);
}

/// What the command's contract makes of the reference's events.
fn expected(events: &[Event], fault: Option<Fault>) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut payload = Vec::new();
    let mut name_and_size = (Vec::new(), 0);
    for event in events {
        match event {
            Event::FrameStart { status, version, files } => {
                lines.push(
                    json!({"event":"frame_start","conn":1,"status":status,"version":version,"files":files}),
                );
            }
            Event::FileStart { name, size } => {
                name_and_size = (name.clone(), *size);
                payload.clear();
            }
            Event::FileData(data) | Event::MessageData(data) => payload.clone_from(data),
            Event::FileEnd => {
                let (name, size) = &name_and_size;
                let (key, name) = match std::str::from_utf8(name) {
                    Ok(name) => ("name", name.to_owned()),
                    Err(_) => ("name_hex", hex(name)),
                };
                lines.push(json!({"event":"file","conn":1,key:name,"size":size,"sha256":sha256(&payload)}));
            }
            Event::MessageStart { .. } => payload.clear(),
            Event::FrameEnd => {
                let mut line =
                    json!({"event":"message","conn":1,"size":payload.len(),"sha256":sha256(&payload)});
                if let Ok(text) = std::str::from_utf8(&payload) {
                    line["text"] = text.into();
                }
                lines.push(line);
                lines.push(json!({"event":"frame_end","conn":1}));
            }
        }
    }
    if let Some(fault) = fault {
        lines.push(json!({"event":"error","conn":1,"offset":fault.offset,"kind":fault.kind}));
    }
    lines
}

/// Frames back to back, as they are, with a byte changed, a number replaced by an extreme one, cut off, or followed
/// by noise.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        "[a-z/.é\u{1b}\u{202e}\"\\\\]{0,12}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..6)
    ];
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let file = (name, bytes());
    let message = prop_oneof![bytes(), ".{0,10}".prop_map(String::into_bytes)];
    let frame = (0..128_u8, prop::collection::vec(file, 0..4), message)
        .prop_map(|(status, files, message)| Frame { status, files, message }.wire());
    let damage = prop_oneof![
        Just(Damage::None),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, low)| Damage::Number(at, low)),
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        bytes().prop_map(Damage::Noise),
        (0xe0..=0xff_u8).prop_map(Damage::Announcement),
    ];
    (prop::collection::vec(frame, 0..4), damage).prop_map(|(frames, damage)| {
        let mut stream = frames.concat();
        damage.apply(&mut stream);
        stream
    })
}

#[derive(Clone, Debug)]
enum Damage {
    None,
    Byte(prop::sample::Index, u8),
    Number(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Noise(Vec<u8>),
    /// A frame whose message is about as long as can be counted.
    Announcement(u8),
}

impl Damage {
    fn apply(self, stream: &mut Vec<u8>) {
        match self {
            Self::Noise(noise) => stream.extend(noise),
            Self::Announcement(low) => {
                stream.extend([0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
                stream.extend([0xff; 7]);
                stream.push(low);
            }
            _ if stream.is_empty() => {}
            Self::None => {}
            Self::Byte(at, byte) => *at.get_mut(stream) = byte,
            Self::Number(at, low) => {
                let at = at.index(stream.len());
                let end = stream.len().min(at + 8);
                stream[at..end].fill(0xff);
                stream[end - 1] = low;
            }
            Self::Cut(at) => stream.truncate(at.index(stream.len())),
        }
    }
}
