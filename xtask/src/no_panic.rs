//! The proof that tej-core cannot panic, and that it needs no allocator.
//!
//! Two programs in `measure/footprint` call every public function with arguments that the optimiser knows nothing about.
//! Their panic handler calls a function that does not exist. So `no_panic` links only if no call can end in a panic, and
//! where it does not, the calls in the image tell which one can. `no_panic_async` links in any case, because the compiler
//! gives each future one panic of its own, and the calls in the image tell that it is the only one. Both checks must find
//! a panic that is planted.
//!
//! Formatting is left out, for `core::fmt` has panics of its own that are never reached, and so are derived traits, which
//! copy and compare.
//!
//! Both programs link without a global allocator, and rustc refuses that where `alloc` is anywhere among the crates. With
//! Debian's sources, `core` is all the library there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    calls::Calls,
    cargo::{self, BareMetal},
    process,
    screen::{Screen, Work},
    size,
    workspace::Workspace,
};

/// Holds the programs against the sources, and runs the checks for `target`s.
pub(crate) fn check(
    workspace: &Workspace,
    bare_metal: &BareMetal,
    targets: &[&str],
    screen: &Screen,
) -> Result<()> {
    let functions = functions(&workspace.root().join("tej-core").join("src"))?;
    let calls = calls(workspace)?;
    let uncalled: Vec<_> = functions.iter().filter(|function| !calls.contains(*function)).collect();
    ensure!(
        uncalled.is_empty(),
        "public functions of tej-core that {SYNC} and {ASYNC} in measure/footprint/src/bin do not call: {uncalled:?}"
    );
    screen.note("checked", &format!("all {} public functions are called", functions.len()));
    expect_safe_and_alone(workspace)?;
    screen.note("checked", "tej-core forbids unsafe code and depends on nothing");
    for target in targets {
        let proof = Proof { workspace, bare_metal, target, screen };
        proof.links().with_context(|| format!("for {target}"))?;
        proof.links_async().with_context(|| format!("for {target}"))?;
    }
    Ok(())
}

/// The checks on one target.
struct Proof<'a> {
    workspace: &'a Workspace,
    bare_metal: &'a BareMetal,
    target: &'a str,
    screen: &'a Screen,
}

impl Proof<'_> {
    /// The program without futures.
    fn links(&self) -> Result<()> {
        let work = self.screen.work("link", &format!("{SYNC} for {} (`core` comes first)", self.target));
        if let Some(failure) = cargo::failure(self.command(SYNC, &[STRICT]), &self.log(), &work) {
            // An error of another kind has nothing to do with panics, and shows again.
            let calls = self.calls(SYNC, STRICT, &work)?;
            let path = calls.path(START, HANDLER, "")?.with_context(|| failure)?;
            bail!("a panic is left: {}", path.join(" -> "));
        }
        let planted = cargo::failure(self.command(SYNC, &[PLANTED]), &self.log(), &work);
        let planted = planted.context("a planted panic was not found: it links")?;
        ensure!(
            planted.contains(&format!("undefined symbol: {HANDLER}")),
            "the planted panic failed for another reason:\n{planted}"
        );
        work.done(&format!("{SYNC} for {}: no panic is left, and a planted one is found", self.target));
        Ok(())
    }

    /// The program with futures.
    fn links_async(&self) -> Result<()> {
        let work = self.screen.work("link", &format!("{ASYNC} for {}", self.target));
        if let Some(path) = self.calls(ASYNC, STRICT, &work)?.path(START, HANDLER, POLLED_AFTER_END)? {
            bail!("a panic is left: {}", path.join(" -> "));
        }
        let planted = self.calls(ASYNC, PLANTED, &work)?;
        ensure!(
            planted.path(START, HANDLER, POLLED_AFTER_END)?.is_some(),
            "a planted panic was not found in the calls"
        );
        work.done(&format!("{ASYNC} for {}: only the futures' own, and a planted one is found", self.target));
        Ok(())
    }

    /// The calls in a program, which is linked whatever is missing.
    fn calls(&self, program: &str, feature: &str, work: &Work) -> Result<Calls> {
        let command = self.command(program, &[feature, FOLLOWED]);
        let built = cargo::build(command, &self.log(), work)?;
        let elf = built.program().context(program.to_owned())?;
        Calls::read(&fs::read(elf)?).with_context(|| format!("in {}", elf.display()))
    }

    fn log(&self) -> PathBuf {
        self.workspace.target().join("no-panic.log")
    }

    fn command(&self, program: &str, features: &[&str]) -> Command {
        let folder = size::folder(self.workspace);
        let mut command = self.bare_metal.cargo(self.workspace, &folder, "build", self.target);
        command.args(["--release", "--locked", "--bin", program, "--features", &features.join(",")]);
        command
    }
}

/// No `unsafe`, and nothing that could have some.
fn expect_safe_and_alone(workspace: &Workspace) -> Result<()> {
    let library = workspace.root().join("tej-core").join("src").join("lib.rs");
    let text = fs::read_to_string(&library).with_context(|| format!("cannot read {}", library.display()))?;
    for line in ["#![no_std]", "#![forbid(unsafe_code)]"] {
        ensure!(text.lines().any(|has| has == line), "{} lacks {line}", library.display());
    }
    let mut command = workspace.cargo();
    command.args(["tree", "--locked", "-p", "tej-core", "--edges", "normal,build", "--prefix", "none"]);
    let tree = process::answer(&mut command).context("cargo tree failed")?;
    ensure!(tree.lines().count() == 1, "tej-core depends on something with no feature on:\n{tree}");
    Ok(())
}

/// The public functions in the sources under `folder`, as the programs call them: `Type::function`, with the module
/// before it where more modules have such a type, and `tej_core::function`.
fn functions(folder: &Path) -> Result<BTreeSet<String>> {
    let mut sources = Vec::new();
    read_sources(folder, &mut sources)?;
    Ok(public_functions(&sources))
}

/// The sources under `folder`, with the names of their modules.
fn read_sources(folder: &Path, sources: &mut Vec<(String, String)>) -> Result<()> {
    for entry in folder.read_dir().with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            read_sources(&path, sources)?;
            continue;
        }
        let module = path.file_stem().and_then(|name| name.to_str()).context("a source without a name")?;
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        sources.push((module.to_owned(), text));
    }
    Ok(())
}

/// By lines, as rustfmt leaves them. Formatting is left out.
fn public_functions(sources: &[(String, String)]) -> BTreeSet<String> {
    let mut declared = BTreeMap::<&str, Vec<(&str, bool)>>::new();
    for (module, text) in sources {
        for line in text.lines() {
            let public = line.strip_prefix("pub ");
            let declaration = public.unwrap_or(line);
            let name = ["struct ", "enum "].iter().find_map(|kind| declaration.strip_prefix(kind));
            if let Some(name) = name {
                declared.entry(identifier(name)).or_default().push((module.as_str(), public.is_some()));
            }
        }
    }
    let mut functions = BTreeSet::new();
    for (module, text) in sources {
        let mut block = None;
        for line in text.lines() {
            if let Some(header) = line.strip_prefix("impl") {
                block = Block::parse(header);
            } else if !line.starts_with([' ', '{', '}']) && !line.starts_with("where") && !line.is_empty() {
                block = None;
            }
            let Some((qualifiers, rest)) = line.trim_start().split_once("fn ") else { continue };
            let name = identifier(rest);
            let is_public = qualifiers.starts_with("pub ");
            match &block {
                None if is_public && !line.starts_with(' ') => {
                    functions.insert(format!("tej_core::{name}"));
                }
                Some(block) if line.starts_with("    ") && !line.starts_with("     ") => {
                    let here = declared.get(block.of).map(Vec::as_slice).unwrap_or_default();
                    let of_public = here.is_empty() || here.iter().any(|(_, public)| *public);
                    let callable = qualifiers.chars().all(|c| c.is_ascii_lowercase() || c == ' ');
                    if callable && of_public && !block.formats && (is_public || block.of_trait) {
                        let ambiguous = here.len() > 1;
                        let module = if ambiguous { format!("{module}::") } else { String::new() };
                        functions.insert(format!("{module}{}::{name}", block.of));
                    }
                }
                _ => {}
            }
        }
    }
    functions
}

/// The head of an `impl`.
struct Block<'a> {
    of: &'a str,
    of_trait: bool,
    formats: bool,
}

impl<'a> Block<'a> {
    /// `header` is what follows `impl`.
    fn parse(header: &'a str) -> Option<Self> {
        let header = without_generics(header).trim_start();
        let (of_trait, of) = match header.split_once(" for ") {
            Some((of_trait, of)) => (Some(of_trait), of),
            None => (None, header),
        };
        let formats = of_trait.is_some_and(|name| name.ends_with("Display") || name.ends_with("Debug"));
        let of = identifier(of);
        (!of.is_empty()).then_some(Self { of, of_trait: of_trait.is_some(), formats })
    }
}

/// `<'a, T: X<Y>> Z` without what is in the first brackets.
fn without_generics(text: &str) -> &str {
    let mut depth = 0_usize;
    for (index, c) in text.char_indices() {
        match c {
            // The arrow of a function's type.
            '>' if text[..index].ends_with('-') => continue,
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return if c == '>' { &text[index + 1..] } else { text };
        }
    }
    ""
}

/// The identifier at the start of a text.
fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// What the programs call, by path.
fn calls(workspace: &Workspace) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for program in [SYNC, ASYNC] {
        let path = size::folder(workspace).join("src").join("bin").join(program).with_extension("rs");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        found.extend(called(&text));
    }
    Ok(found)
}

/// The paths that are called in a source, each also without its first parts.
fn called(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    for line in code {
        let line = without_turbofish(line);
        for (end, _) in line.match_indices('(') {
            let before = &line[..end];
            let begin = before.rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
            let mut path = &before[begin.map_or(0, |index| index + 1)..];
            while !path.is_empty() {
                found.insert(path.to_owned());
                path = path.split_once("::").map_or("", |(_, rest)| rest);
            }
        }
    }
    found
}

/// `Vec::<u8>::new()` without `::<u8>`.
fn without_turbofish(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, generics)) = rest.split_once("::<") {
        text.push_str(before);
        rest = generics.split_once('>').map_or("", |(_, after)| after);
    }
    text + rest
}

/// The programs.
const SYNC: &str = "no_panic";
const ASYNC: &str = "no_panic_async";
/// Their features.
const STRICT: &str = "no-panic";
const PLANTED: &str = "planted-panic";
const FOLLOWED: &str = "followed";
/// Where the programs begin, and the function that is missing.
const START: &str = "start";
const HANDLER: &str = "a_panic_is_left";
/// The panic that the compiler gives to every future.
const POLLED_AFTER_END: &str = "core::panicking::panic_const::panic_const_async_fn_resumed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_functions_are_listed() {
        let decoder = "pub struct Decoder<N> {\n    pub offset: u64,\n}\n\n\
            impl<N: AsRef<[u8]>, L: Fn() -> Limits> Decoder<N, L> {\n    pub const fn new(name: N) -> Self {\n        fn inner() {}\n    }\n\n\
            \n    /// pub fn not_me()\n    pub(crate) fn secret(&self) {}\n\n    fn private(&self) {}\n}\n\n\
            impl fmt::Display for Decoder {\n    fn fmt(&self) {}\n}\n\n\
            impl<N> Iterator for Decoder<N>\nwhere\n    N: X,\n{\n    type Item = u8;\n\n    fn next(&mut self) {}\n}\n\n\
            impl From<Decoder> for u8 {\n    fn from(decoder: Decoder) -> Self {}\n}\n\n\
            pub fn encode(\n    x: u8,\n) {\n}\n\nfn helper() {}\n\nstruct Inner;\n\nimpl Inner {\n    pub fn new() {}\n}\n";
        let io = "pub struct Reader;\n\nimpl Reader {\n    pub async fn next(&mut self) {}\n}\n";
        let sources = [("decoder", decoder), ("io", io), ("blocking", io)];
        let sources = sources.map(|(module, text)| (module.to_owned(), text.to_owned()));
        assert_eq!(
            public_functions(&sources).into_iter().collect::<Vec<_>>(),
            [
                "Decoder::new",
                "Decoder::next",
                "blocking::Reader::next",
                "io::Reader::next",
                "tej_core::encode",
                "u8::from"
            ]
        );
    }

    #[test]
    fn calls_are_listed() {
        let text = "    // Decoder::new()\n    any(io::Reader::next(hidden(&mut reader)).await);\n    Frame::files;\n    Owned::<64>::new();\n";
        let expected = ["Owned::new", "Reader::next", "any", "hidden", "io::Reader::next", "new", "next"];
        assert_eq!(called(text).into_iter().collect::<Vec<_>>(), expected);
    }
}
