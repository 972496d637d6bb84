//! A stranger's file name on one line of text.

/// Hands `name` to `put` piece by piece, as characters that show: what does not, or is no UTF-8, becomes `\xNN`, two
/// lower-case digits for each of its bytes. So does the backslash itself, so that the bytes can be had back.
pub(crate) fn escape(name: &[u8], mut put: impl FnMut(&[u8])) {
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut utf8 = [0; 4];
            let utf8 = character.encode_utf8(&mut utf8).as_bytes();
            if shows(character) { put(utf8) } else { put_escaped(utf8, &mut put) }
        }
        put_escaped(chunk.invalid(), &mut put);
    }
}

/// As [`escape`], at most `limit` bytes, which must be 4 at least: a longer name is cut between two pieces and ends in
/// [`CUT`], which no whole name contains.
pub(crate) fn escape_within(limit: usize, name: &[u8], mut put: impl FnMut(&[u8])) {
    if escaped_len(name) <= limit {
        return escape(name, put);
    }
    let mut left = limit.saturating_sub(CUT.len());
    escape(name, |piece| {
        // Once a piece does not fit, no later one may take its place.
        left = left.checked_sub(piece.len()).inspect(|_| put(piece)).unwrap_or(0);
    });
    put(CUT);
}

/// Bytes of `name` after [`escape`].
pub(crate) fn escaped_len(name: &[u8]) -> usize {
    let mut len = 0;
    escape(name, |piece| len += piece.len());
    len
}

fn put_escaped(bytes: &[u8], put: &mut impl FnMut(&[u8])) {
    for byte in bytes {
        let mut piece = *b"\\x00";
        for (place, digit) in piece[2..].iter_mut().zip(crate::hex::digits(&[*byte])) {
            *place = digit;
        }
        put(&piece);
    }
}

/// Whether a character takes its place on a line and changes nothing else there: no control character, no line or
/// paragraph separator, nothing that turns the direction of text or is invisible.
fn shows(character: char) -> bool {
    !(character.is_control()
        || matches!(
            character,
            '\\' | '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        ))
}

/// What a name that was cut ends in.
pub(crate) const CUT: &[u8] = b"\\...";

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;
    use std::vec::Vec;

    use super::*;

    fn escaped(name: &[u8]) -> String {
        let mut text = Vec::new();
        escape(name, |piece| text.extend_from_slice(piece));
        assert_eq!(escaped_len(name), text.len());
        String::from_utf8(text).unwrap()
    }

    fn cut(limit: usize, name: &[u8]) -> String {
        let mut text = Vec::new();
        escape_within(limit, name, |piece| text.extend_from_slice(piece));
        assert!(text.len() <= limit);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_shows_is_left_alone() {
        for name in ["", "a.txt", "photos/été 2024.jpg", "..", "файл", "名前", "🦀", "~!\"#$%&'()*"]
        {
            assert_eq!(escaped(name.as_bytes()), name);
        }
    }

    #[test]
    fn what_does_not_show_is_escaped() {
        assert_eq!(escaped(b"two\nlines\r\0\x1b[31m\x7f"), r"two\x0alines\x0d\x00\x1b[31m\x7f");
        assert_eq!(
            escaped("\u{85}\u{2028}\u{202e}gpj.exe".as_bytes()),
            r"\xc2\x85\xe2\x80\xa8\xe2\x80\xaegpj.exe"
        );
        assert_eq!(
            escaped("\u{feff}a\u{200b}b\u{e0041}".as_bytes()),
            r"\xef\xbb\xbfa\xe2\x80\x8bb\xf3\xa0\x81\x81"
        );
    }

    #[test]
    fn what_is_no_utf8_is_escaped() {
        assert_eq!(escaped(b"\xff\xfea\xc3"), r"\xff\xfea\xc3");
        assert_eq!(escaped(b"caf\xe9.txt"), r"caf\xe9.txt");
    }

    #[test]
    fn a_backslash_is_escaped_so_that_nothing_is_ambiguous() {
        assert_eq!(escaped(br"C:\x41"), r"C:\x5cx41");
    }

    #[test]
    fn a_name_is_cut_between_pieces_and_marked() {
        assert_eq!(cut(8, b"12345678"), "12345678");
        assert_eq!(cut(8, b"123456789"), r"1234\...");
        assert_eq!(cut(8, b"123\n\n\n\n456"), r"123\...");
        assert_eq!(cut(8, "12é34567".as_bytes()), r"12é\...");
        assert_eq!(cut(4, b"12345"), r"\...");
    }

    #[test]
    fn nothing_follows_a_piece_that_did_not_fit() {
        assert_eq!(cut(9, b"12\nabcdefgh"), r"12\...");
    }
}
