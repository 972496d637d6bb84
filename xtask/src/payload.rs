//! The files that the desktop sends: the user's, or generated ones.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs::{self, File},
    io::{BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::pattern::Pattern;

/// A file to send, and what the desktop knows about it.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) path: PathBuf,
    /// The name it has on the wire: its base name.
    pub(crate) name: String,
    pub(crate) size: u64,
    /// In hex.
    pub(crate) sha256: String,
}

/// Sizes of the generated files, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) picture: u64,
    pub(crate) large: u64,
}

impl Payload {
    /// Reads and hashes the user's files.
    ///
    /// # Errors
    /// Also for what is no file, for equal names, and for names that are not UTF-8.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Self>> {
        let mut names = HashSet::new();
        paths
            .iter()
            .map(|path| {
                let shown = path.display();
                // Absolute, so that no name can be taken for an option.
                let path = fs::canonicalize(path).with_context(|| format!("cannot open {shown}"))?;
                ensure!(path.is_file(), "{shown} is not a file");
                let name = path.file_name().and_then(|name| name.to_str()).with_context(|| {
                    format!("{shown}: the device answers in UTF-8 text, and this name is not UTF-8")
                })?;
                ensure!(names.insert(name.to_owned()), "two of the files are called {name}");
                let (size, sha256) = digest_of(&path)?;
                Ok(Self { name: name.to_owned(), path, size, sha256 })
            })
            .collect()
    }

    /// Writes the default files into `folder`, the same ones every time: a text and two binaries of these sizes.
    pub(crate) fn generate(folder: &Path, sizes: Sizes) -> Result<Vec<Self>> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let text = folder.join("letter.txt");
        fs::write(&text, letter()).with_context(|| format!("cannot write {}", text.display()))?;
        let picture = folder.join("picture.bin");
        write_pattern(&picture, sizes.picture, 1)?;
        let large = folder.join("large.bin");
        write_pattern(&large, sizes.large, 2)?;
        Self::read(&[text, picture, large])
    }
}

/// Size and SHA-256, in hex, of a file.
pub(crate) fn digest_of(path: &Path) -> Result<(u64, String)> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; BLOCK];
    let mut size = 0;
    loop {
        match file.read(&mut block).with_context(|| format!("cannot read {}", path.display()))? {
            0 => break,
            count => {
                hasher.update(&block[..count]);
                size += count as u64;
            }
        }
    }
    Ok((size, hex(&hasher.finalize())))
}

/// The SHA-256, in hex, of bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The SHA-256, in hex, of the file that the device generates.
pub(crate) fn digest_of_pattern(seed: u64, size: u64) -> Result<String> {
    struct Sink(Sha256);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink(Sha256::new());
    Pattern::new(seed).write_to(size, &mut sink)?;
    Ok(hex(&sink.0.finalize()))
}

/// The names of all that is in a folder, sub-folders included, sorted.
pub(crate) fn listing(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        for entry in current.read_dir().with_context(|| format!("cannot list {}", current.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(name) = path.strip_prefix(folder) {
                names.push(name.to_string_lossy().into_owned());
            } else {
                bail!("{} is not below {}", path.display(), folder.display());
            }
        }
    }
    names.sort();
    Ok(names)
}

fn write_pattern(path: &Path, size: u64, seed: u64) -> Result<()> {
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        Pattern::new(seed).write_to(size, &mut file)?;
        file.flush()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// A few KiB that a person can read.
fn letter() -> String {
    let mut text = String::from(
        "Dear device,\n\nthis letter is the first of the files of a frame that is many times larger than all your \
         memory.\nPlease do not try to keep it. Hash it as it passes, and tell us what you saw.\n\n",
    );
    for line in 1..=64_u64 {
        let _ = writeln!(text, "{line:>2} × {line:<2} = {:>4}    grüße · 問候 · привет · שלום", line * line);
    }
    text.push_str("\nYours, the desktop\n");
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

const BLOCK: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder below the build's own, for one test.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("tej-xtask-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn digests_are_the_published_ones() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(b"abc"), abc);
        let folder = folder("digests");
        fs::write(folder.join("abc"), "abc").unwrap();
        assert_eq!(digest_of(&folder.join("abc")).unwrap(), (3, abc.to_owned()));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_pattern_in_a_file_has_the_digest_of_the_pattern() {
        let folder = folder("pattern");
        let path = folder.join("p");
        write_pattern(&path, 100_001, 9).unwrap();
        assert_eq!(digest_of(&path).unwrap(), (100_001, digest_of_pattern(9, 100_001).unwrap()));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_files_with_names_of_their_own_are_taken() {
        let folder = folder("refused");
        fs::create_dir(folder.join("sub")).unwrap();
        for name in ["a", "sub/a", "b\nc"] {
            fs::write(folder.join(name), name).unwrap();
        }
        let error = |names: &[&str]| {
            let paths: Vec<_> = names.iter().map(|name| folder.join(name)).collect();
            Payload::read(&paths).map(|_| ()).unwrap_err().to_string()
        };
        assert!(error(&["a", "sub/a"]).contains("two of the files are called a"));
        assert!(error(&["sub"]).contains("is not a file"));
        assert!(error(&["nothing"]).contains("cannot open"));
        let good = Payload::read(&[folder.join("sub/a"), folder.join("b\nc")]).unwrap();
        assert_eq!((good[0].name.as_str(), good[0].size), ("a", 5));
        assert_eq!((good[1].name.as_str(), good[1].size), ("b\nc", 3));
        assert_eq!(listing(&folder).unwrap(), ["a", "b\nc", "sub/a"]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_letter_is_a_few_kib_of_text() {
        assert!((2048..8192).contains(&letter().len()));
    }
}
