//! Which functions of a linked image can call which, by the relocations that the linker left in it (`--emit-relocs`).
//!
//! More rather than fewer: a function is taken to call whatever its address refers to, and all the constants are one
//! thing that refers to whatever any of them does. So what cannot be reached here, cannot be reached.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result, ensure};
use object::{
    File, Object, ObjectSection, ObjectSymbol, Relocation, RelocationFlags, RelocationTarget, SectionIndex,
    SymbolKind, elf,
};

/// The calls of an image.
pub(crate) struct Calls {
    /// By caller.
    edges: BTreeMap<Node, BTreeSet<Node>>,
}

/// A function by its name as people write it, or all the data of a section by the section's.
type Node = String;

impl Calls {
    /// Reads them off an ELF file.
    pub(crate) fn read(elf: &[u8]) -> Result<Self> {
        let file = File::parse(elf).context("no ELF file")?;
        let nodes = Nodes::read(&file);
        let mut edges = BTreeMap::<Node, BTreeSet<Node>>::new();
        for section in file.sections() {
            for (offset, relocation) in section.relocations() {
                // In an image, the offset is an address.
                let caller =
                    nodes.at(section.index(), offset).context("a relocation outside of its section")?;
                // The others mark places and refer to nothing.
                let RelocationTarget::Symbol(target) = relocation.target() else { continue };
                let target = file.symbol_by_index(target).context("a relocation to no symbol")?;
                let callee = match target.section_index() {
                    None => readable(target.name()?),
                    Some(callee_section) => {
                        let at = if target.kind() == SymbolKind::Section {
                            place(&section, offset, &relocation, target.address())?
                        } else {
                            target.address()
                        };
                        nodes.at(callee_section, at).context("a symbol outside of its section")?
                    }
                };
                edges.entry(caller).or_default().insert(callee);
            }
        }
        ensure!(!edges.is_empty(), "the image has no relocations: it was not linked with --emit-relocs");
        Ok(Self { edges })
    }

    /// The shortest chain of calls from one function to another, both included, that does not go through `around`.
    /// `None` when there is no such chain.
    pub(crate) fn path(&self, from: &str, to: &str, around: &str) -> Result<Option<Vec<&str>>> {
        let (from, _) = self.edges.get_key_value(from).with_context(|| format!("{from} calls nothing"))?;
        let from = from.as_str();
        let mut callers = BTreeMap::from([(from, None)]);
        let mut queue = VecDeque::from([from]);
        while let Some(function) = queue.pop_front() {
            if function == to {
                let chain = std::iter::successors(Some(function), |function| callers[function]);
                let mut chain: Vec<_> = chain.collect();
                chain.reverse();
                return Ok(Some(chain));
            }
            for callee in self.edges.get(function).into_iter().flatten().map(String::as_str) {
                if callee != around && !callers.contains_key(callee) {
                    callers.insert(callee, Some(function));
                    queue.push_back(callee);
                }
            }
        }
        Ok(None)
    }
}

/// What lies where.
struct Nodes {
    /// The functions by section and address, with their ends.
    functions: BTreeMap<(usize, u64), (u64, Node)>,
    /// The sections that may have something outside of functions.
    sections: BTreeMap<usize, Section>,
}

struct Section {
    name: Node,
    begin: u64,
    end: u64,
}

impl Nodes {
    fn read(file: &File<'_>) -> Self {
        let functions = file.symbols().filter_map(|symbol| {
            let section = symbol.section_index().filter(|_| symbol.kind() == SymbolKind::Text)?;
            let name = readable(symbol.name().ok()?);
            let begin = address(symbol.address());
            (symbol.size() > 0).then(|| ((section.0, begin), (begin + symbol.size(), name)))
        });
        let sections = file.sections().map(|section| {
            let name = section.name().unwrap_or_default().to_owned();
            let begin = section.address();
            (section.index().0, Section { name, begin, end: begin + section.size() })
        });
        Self { functions: functions.collect(), sections: sections.collect() }
    }

    fn at(&self, section: SectionIndex, at: u64) -> Option<Node> {
        let before = self.functions.range(..=(section.0, at)).next_back();
        if let Some(((in_section, _), (end, name))) = before
            && *in_section == section.0
            && at < *end
        {
            return Some(name.clone());
        }
        let section = self.sections.get(&section.0)?;
        (section.begin..=section.end).contains(&at).then(|| section.name.clone())
    }
}

/// What is referred to by its distance from `origin`, the start of a section.
fn place(
    section: &object::Section<'_, '_>,
    offset: u64,
    relocation: &Relocation,
    origin: u64,
) -> Result<u64> {
    if !relocation.has_implicit_addend() {
        return Ok(origin.wrapping_add_signed(relocation.addend()));
    }
    // It is written where the reference is; in an image, as the address that has been found. Compilers name functions
    // when they call them: such a reference is an entry of a table.
    ensure!(
        relocation.flags() == RelocationFlags::Elf { r_type: elf::R_ARM_ABS32 },
        "a reference to somewhere in a section, of a kind that is not known here: {relocation:?}"
    );
    let word = section.data_range(offset, 4)?.context("a relocation outside of its section")?;
    Ok(u64::from(u32::from_le_bytes(word.try_into()?)))
}

/// Where a function begins: the lowest bit says that its instructions are Thumb's.
fn address(symbol: u64) -> u64 {
    symbol & !1
}

/// A function's name without the hash of its crate.
pub(crate) fn readable(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_chain_is_found() {
        let calls = [("start", "a"), ("a", "b"), ("b", "panic"), ("start", "c"), ("c", "c"), ("c", "panic")];
        let mut edges = BTreeMap::<Node, BTreeSet<Node>>::new();
        for (caller, callee) in calls {
            edges.entry(caller.to_owned()).or_default().insert(callee.to_owned());
        }
        let calls = Calls { edges };
        assert_eq!(calls.path("start", "panic", "").unwrap().unwrap(), ["start", "c", "panic"]);
        assert_eq!(calls.path("start", "panic", "c").unwrap().unwrap(), ["start", "a", "b", "panic"]);
        assert_eq!(calls.path("c", "b", "").unwrap(), None);
        assert!(calls.path("nobody", "panic", "").is_err());
    }

    #[test]
    fn names_are_readable() {
        assert_eq!(readable("_RNvNtCs7aE1f_4core9panicking9panic_fmt"), "core::panicking::panic_fmt");
        assert_eq!(readable("start"), "start");
    }
}
