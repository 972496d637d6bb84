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
/// direction of what follows.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[test]
    fn text_is_shown_escaped() {
        assert_eq!(printable("photo é.jpg"), "photo é.jpg");
        assert_eq!(printable("a\u{1b}[2Jb\n\u{202e}c"), "a\\u{1b}[2Jb\\u{a}\\u{202e}c");
        assert_eq!(printable_bytes(b"a\xff\x07\xc3\xa9"), "a\\xff\\u{7}é");
        assert_eq!(printable_lines("a\tb\r\n\x1bc", "| "), "a\tb\n| \\u{1b}c");
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
