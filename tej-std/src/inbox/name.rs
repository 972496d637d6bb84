//! Which names are stored.

use std::path::{Path, PathBuf};

use super::Refusal;
use super::temporary;

/// Whose rules a name must keep beside those that hold everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    Windows,
    Other,
}

impl System {
    /// The one we run on.
    pub(super) const THIS: Self = if cfg!(windows) { Self::Windows } else { Self::Other };
}

/// The name as text, if it can be stored.
pub(super) fn check(name: &[u8], dot_files: bool, system: System) -> Result<&str, Refusal> {
    let name = std::str::from_utf8(name).map_err(|_| Refusal::NotUtf8)?;
    if name.is_empty() {
        return Err(Refusal::Empty);
    }
    if name.starts_with('/') {
        return Err(Refusal::Absolute);
    }
    if let Some(c) = name.chars().find(|&c| is_forbidden(c, system)) {
        return Err(Refusal::Character(c));
    }
    if name.split('/').count() > MAX_DEPTH {
        return Err(Refusal::TooDeep);
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Refusal::Traversal);
    }
    if !dot_files && name.split('/').any(|part| part.starts_with('.')) {
        return Err(Refusal::DotFile);
    }
    let reserved = system == System::Windows && name.split('/').any(is_reserved_on_windows);
    if reserved || temporary::is_like_name(name) {
        return Err(Refusal::Reserved);
    }
    Ok(name)
}

/// `photos/a.jpg` with 2 is `photos/a (2).jpg`. What comes before the number is cut where the name would get too long
/// for common file systems, so that a name at their limit can be kept apart, too.
pub(super) fn numbered(name: &Path, n: u32) -> PathBuf {
    let stem = name.file_stem().unwrap_or_default().to_string_lossy();
    let extension = name.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    let end = format!(" ({n}){extension}");
    let room = stem.floor_char_boundary(MAX_PART.saturating_sub(end.len()));
    name.with_file_name(format!("{}{end}", &stem[..room]))
}

fn is_forbidden(c: char, system: System) -> bool {
    // A backslash is a separator to one peer and a letter to another.
    let everywhere = matches!(c, '\0' | '\\');
    // A colon begins a stream of a file, or ends the name of a drive.
    let on_windows = matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*') || c.is_control();
    everywhere || (system == System::Windows && on_windows)
}

/// Names Windows gives to devices, with or without an extension, and endings it strips.
fn is_reserved_on_windows(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_ascii_uppercase();
    let device = match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$" => true,
        _ => stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT")).is_some_and(|number| {
            matches!(number, "¹" | "²" | "³") || matches!(number.as_bytes(), [b'0'..=b'9'])
        }),
    };
    device || part.ends_with(['.', ' '])
}

/// Parts of a name; deep enough for any honest tree, shallow enough for every tool that will walk it.
pub(super) const MAX_DEPTH: usize = 32;

/// Bytes of a part of a name on nearly every file system.
const MAX_PART: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    // case 40
    #[test]
    fn windows_keeps_its_devices_drives_and_streams() {
        let on = |system, name: &str| check(name.as_bytes(), true, system).is_ok();
        for name in [
            "CON",
            "con.txt",
            "Lpt1",
            "COM9.tar.gz",
            "com¹",
            "nul ",
            "nul .txt",
            "aux.",
            "conin$",
            "a.",
            "a ",
            "x/PRN/y",
            "C:",
            "c:x",
            "a.txt:stream",
            "a.txt::$DATA",
            "a?",
            "a*b",
            "<a>",
            "a|b",
            "\"a\"",
            "a\u{1}b",
        ] {
            assert!(!on(System::Windows, name), "{name:?} was allowed");
            assert!(on(System::Other, name), "{name:?} means nothing elsewhere");
        }
        for name in ["console", "COM", "COM10", "aux-in", "a.b", "x/y z", "é"] {
            assert!(on(System::Windows, name), "{name:?} was refused");
        }
        for system in [System::Windows, System::Other] {
            for name in ["a\\b", "\\\\server\\share", "..\\x", "C:\\x"] {
                assert!(!on(system, name), "{name:?} was allowed");
            }
        }
    }

    // case 39
    #[test]
    fn the_depth_of_a_name_is_limited() {
        for (parts, allowed) in [(MAX_DEPTH - 1, true), (MAX_DEPTH, true), (MAX_DEPTH + 1, false)] {
            let name = vec!["d"; parts].join("/");
            assert_eq!(check(name.as_bytes(), false, System::Other).is_ok(), allowed, "{parts}");
        }
    }

    // case 43
    #[test]
    fn numbered_names_stay_within_the_limit_of_a_part() {
        let number = |name: &str, n| numbered(Path::new(name), n).into_os_string().into_string().unwrap();
        assert_eq!(number("photos/a.tar.gz", 2), "photos/a.tar (2).gz");
        assert_eq!(number(".profile", 1), ".profile (1)");
        for (len, numbered) in [(250, 254), (251, 255), (252, 255), (255, 255)] {
            let name = number(&format!("{}.txt", "n".repeat(len - 4)), 1);
            assert_eq!(name.len(), numbered, "{len}");
            assert!(name.ends_with("n (1).txt"), "{name}");
        }
        // Never inside a character.
        assert_eq!(number(&"é".repeat(127), 1).len(), 254);
    }
}
