//! Results that a command keeps in the repository: sections of a Markdown file, each replaced as a whole.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

/// Replaces the section `name` of the file at `path` by `body`, or appends it. The rest of the file stays as it is.
///
/// The file must exist: its introduction is written by hand. A section lies between two comments, which do not show.
pub(crate) fn store(path: &Path, name: &str, body: &str) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = replaced(&text, name, body).with_context(|| format!("in {}", path.display()))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What the section `name` of a file's text holds.
pub(crate) fn section<'t>(text: &'t str, name: &str) -> Result<&'t str> {
    let (begin, end) = marks(name);
    let (_, rest) = text.split_once(&begin).with_context(|| format!("there is no section {name}"))?;
    let (section, _) = rest.split_once(&end).with_context(|| format!("section {name} has no end"))?;
    Ok(section)
}

fn replaced(text: &str, name: &str, body: &str) -> Result<String> {
    let (begin, end) = marks(name);
    let section = format!("{begin}{}\n{end}", body.trim_end());
    let Some((before, rest)) = text.split_once(&begin) else {
        ensure!(!text.contains(&end), "section {name} has an end and no beginning");
        return Ok(format!("{}\n\n{section}", text.trim_end()));
    };
    let (_, after) = rest.split_once(&end).with_context(|| format!("section {name} has no end"))?;
    Ok(format!("{before}{section}{after}"))
}

fn marks(name: &str) -> (String, String) {
    (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_appended_and_then_replaced_in_place() {
        let one = replaced("# Title\n", "a", "first\n").unwrap();
        assert_eq!(one, "# Title\n\n<!-- begin a -->\nfirst\n<!-- end a -->\n");
        let two = replaced(&one, "b", "second").unwrap();
        assert_eq!(section(&two, "a").unwrap(), "first\n");
        assert_eq!(section(&two, "b").unwrap(), "second\n");
        assert!(section(&two, "c").is_err());
        assert_eq!(
            replaced(&two, "a", "new").unwrap(),
            "# Title\n\n<!-- begin a -->\nnew\n<!-- end a -->\n\n<!-- begin b -->\nsecond\n<!-- end b -->\n"
        );
    }

    #[test]
    fn a_section_without_an_end_is_left_alone() {
        assert!(replaced("<!-- begin a -->\n", "a", "x").is_err());
        assert!(section("<!-- begin a -->\n", "a").is_err());
        assert!(replaced("<!-- end a -->\n", "a", "x").is_err());
    }
}
