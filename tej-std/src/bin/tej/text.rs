//! Showing strangers' text without letting it do anything.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use serde_json::ser::Formatter;

/// `text` with every character escaped that would move the cursor, hide or reorder what is shown.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// As [`printable`], for bytes that should be UTF-8: what is not is escaped as `\xNN`.
pub(crate) fn printable_bytes(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// As [`printable`] for text that may have many lines: tabs stay, and each line after the first begins with `margin`, so
/// that no text can pass for a line of ours.
pub(crate) fn printable_lines(text: &str, margin: &str) -> String {
    let lines = text.lines().map(|line| line.split('\t').map(printable).collect::<Vec<_>>().join("\t"));
    lines.collect::<Vec<_>>().join(&format!("\n{margin}"))
}

/// What the system says of an error, without its number.
pub(crate) fn os_error(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((what, _)) => what.to_owned(),
        None => text,
    }
}

/// `bytes` in three or four digits, and a unit.
pub(crate) fn size(bytes: u64) -> String {
    let mut unit = 1_u64;
    let mut name = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if bytes / unit < 1024 {
            break;
        }
        (unit, name) = (unit << 10, larger);
    }
    let (whole, tenth) = (bytes / unit, bytes % unit * 10 / unit);
    if whole < 10 && tenth > 0 { format!("{whole}.{tenth} {name}") } else { format!("{whole} {name}") }
}

/// Writes JSON in which such characters are `\uXXXX`, so that a line of it is safe to show and stays one line.
pub(crate) struct SafeJson;

impl Formatter for SafeJson {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| is_unsafe(c)) {
            let (safe, tail) = rest.split_at(at);
            writer.write_all(safe.as_bytes())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = tail.strip_prefix(c).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Control characters, the separators of lines and paragraphs, and characters that are invisible or change the
/// direction of what follows: all that Unicode calls default-ignorable or bidirectional controls, but for the selectors
/// of U+FE00 to U+FE0F, which honest pictographs have.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[test]
    fn sizes_have_few_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (10 * 1024 + 512, "10 KiB"),
            (511 << 20, "511 MiB"),
            (20 << 30, "20 GiB"),
            (u64::MAX, "16383 PiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn text_is_shown_escaped() {
        assert_eq!(printable("photo é.jpg"), "photo é.jpg");
        assert_eq!(printable("a\u{1b}[2Jb\n\u{202e}c"), "a\\u{1b}[2Jb\\u{a}\\u{202e}c");
        assert_eq!(printable_bytes(b"a\xff\x07\xc3\xa9"), "a\\xff\\u{7}é");
        assert_eq!(printable_lines("a\tb\r\n\x1bc", "| "), "a\tb\n| \\u{1b}c");
    }

    // case 45
    #[test]
    fn what_moves_hides_or_reorders_is_escaped() {
        let controls = (0..0x20).chain(0x7f..0xa0);
        let bidi = [0x61c, 0x200e, 0x200f].into_iter().chain(0x202a..0x202f).chain(0x2066..0x206a);
        let invisible = [0xad, 0x200b, 0x200d, 0x2028, 0x2029, 0x2060, 0x3164, 0xfeff, 0xe0020, 0xe0100];
        for code in controls.chain(bidi).chain(invisible) {
            let c = char::from_u32(code).unwrap();
            assert_eq!(printable(&format!("a{c}b")), format!("a\\u{{{code:x}}}b"));
        }
        for honest in ["größe.txt", "日本語", "שלום", "مرحبا", "नमस्ते", "❤\u{fe0f}", "e\u{301}"]
        {
            assert_eq!(printable(honest), honest);
        }
    }

    #[test]
    fn json_is_escaped_and_exact() {
        let name = "a\u{7f}\u{85}\u{2028}\u{202e}\"\\\n\u{e0041}é";
        let mut out = Vec::new();
        name.serialize(&mut serde_json::Serializer::with_formatter(&mut out, SafeJson)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, r#""a\u007f\u0085\u2028\u202e\"\\\n\udb40\udc41é""#);
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), name);
    }
}
