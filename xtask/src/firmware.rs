//! Building a board's firmware and reading off it what it occupies.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, elf};

use crate::{
    allocator,
    board::Board,
    cargo,
    screen::Screen,
    setup::{CORTEX_M0, CORTEX_M7, Tools},
    workspace::Workspace,
};

/// The firmware of a board, built.
pub(crate) struct Firmware {
    pub(crate) board: &'static Board,
    pub(crate) elf: PathBuf,
    pub(crate) footprint: Footprint,
    /// Warnings in our own code during the build.
    pub(crate) warnings: usize,
}

/// What a firmware occupies, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// Code, constants and the initial values of variables.
    pub(crate) flash: u64,
    /// Variables, with and without initial values.
    pub(crate) static_ram: u64,
    /// All the RAM that the firmware's memory map grants, stack included.
    pub(crate) ram: u64,
}

/// Builds it in the shared bare-metal target directory.
pub(crate) fn build(
    workspace: &Workspace,
    board: &'static Board,
    tools: &Tools,
    screen: &Screen,
) -> Result<Firmware> {
    let Image { elf, footprint, warnings } =
        compile(workspace, board.package, Program::Main, board.target, tools, screen)?;
    Ok(Firmware { board, elf, footprint, warnings })
}

/// Builds the program that speaks TLS instead.
pub(crate) fn build_tls(
    workspace: &Workspace,
    board: &'static Board,
    tools: &Tools,
    screen: &Screen,
) -> Result<Firmware> {
    let name = board.tls.with_context(|| format!("no program for {} speaks TLS", board.name))?;
    let program = Program::Other { name, feature: "tls" };
    let Image { elf, footprint, warnings } =
        compile(workspace, board.package, program, board.target, tools, screen)?;
    Ok(Firmware { board, elf, footprint, warnings })
}

/// Firmware of any board, built.
pub(crate) struct Image {
    pub(crate) elf: PathBuf,
    pub(crate) footprint: Footprint,
    /// Warnings in our own code during the build.
    pub(crate) warnings: usize,
}

/// One of a package's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program<'a> {
    /// The board's firmware.
    Main,
    /// Another one, which needs a feature.
    Other { name: &'a str, feature: &'a str },
    /// One of the package's examples.
    Example(&'a str),
}

/// Builds a program of the package in the folder `package` under `examples/`. With an allocator it is an error.
pub(crate) fn compile(
    workspace: &Workspace,
    package: &str,
    program: Program<'_>,
    target: &str,
    tools: &Tools,
    screen: &Screen,
) -> Result<Image> {
    let folder = workspace.root().join("examples").join(package);
    let mut command = tools.bare_metal()?.cargo(workspace, &folder, "build", target);
    command.args(["--release", "--locked"]);
    let name = match program {
        Program::Main => "firmware",
        Program::Other { name, feature } => {
            command.args(["--bin", name, "--features", feature]);
            name
        }
        Program::Example(name) => {
            command.args(["--example", name]);
            name
        }
    };
    let work = screen.work("build", "firmware (`core` comes first: a minute or two on a fresh machine)");
    let built = cargo::build(command, &workspace.demo().join("build-firmware.log"), &work)?;
    let elf = built.program().context("the firmware")?.to_path_buf();
    let bytes = fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let footprint = Footprint::read(&bytes)?;
    allocator::refuse(&bytes).with_context(|| format!("in the firmware for {package}"))?;
    work.done(&format!("{name} for {package}"));
    Ok(Image { elf, footprint, warnings: built.warnings })
}

impl Footprint {
    /// Reads it off an ELF file.
    pub(crate) fn read(elf: &[u8]) -> Result<Self> {
        let file = object::File::parse(elf).context("the firmware is no ELF file")?;
        let stack = file
            .symbols()
            .find(|symbol| symbol.name() == Ok("_stack_start"))
            .context("the firmware has no symbol _stack_start")?
            .address();
        Self::of(sections(&file), stack)
    }

    /// `stack` is the address that the stack grows down from.
    fn of(sections: impl IntoIterator<Item = Section>, stack: u64) -> Result<Self> {
        let mut footprint = Self { flash: 0, static_ram: 0, ram: 0 };
        let mut variables = u64::MAX;
        // The tables of debuggers and of defmt are in the file, but neither loaded nor reserved.
        for section in sections.into_iter().filter(|section| section.allocated && section.size > 0) {
            // `.data` counts twice: its initial values lie in flash.
            if section.is_in_flash() {
                footprint.flash += section.size;
            }
            if section.writable {
                footprint.static_ram += section.size;
                variables = variables.min(section.address);
            }
        }
        // Variables begin where RAM does, and the stack where it ends. Should the linker script leave a gap on either
        // side, less than all the RAM can be used, and less is what counts.
        ensure!(variables < stack, "the firmware's variables lie above its stack");
        footprint.ram = stack - variables;
        Ok(footprint)
    }
}

/// The bytes of flash that a program occupies: code, constants and the initial values of variables.
pub(crate) fn flash(program: &object::File<'_>) -> u64 {
    sections(program).filter(Section::is_in_flash).map(|section| section.size).sum()
}

fn sections(program: &object::File<'_>) -> impl Iterator<Item = Section> {
    program.sections().filter_map(|section| {
        // What riscv-rt calls sections are the places that are left to them.
        if section.name().is_ok_and(|name| [".heap", ".stack"].contains(&name)) {
            return None;
        }
        let SectionFlags::Elf { sh_flags } = section.flags() else { return None };
        Some(Section {
            allocated: sh_flags & u64::from(elf::SHF_ALLOC) != 0,
            writable: sh_flags & u64::from(elf::SHF_WRITE) != 0,
            loaded: section.kind() != SectionKind::UninitializedData,
            address: section.address(),
            size: section.size(),
        })
    })
}

/// What counts of an ELF section.
struct Section {
    /// Takes part in the running program.
    allocated: bool,
    writable: bool,
    /// Its content is in the file.
    loaded: bool,
    address: u64,
    size: u64,
}

impl Section {
    fn is_in_flash(&self) -> bool {
        self.allocated && self.loaded
    }
}

/// The folders under `examples/` of firmware for boards that no emulator has, with their targets: it is built and never run.
pub(crate) const HARDWARE: [(&str, &str); 2] = [("rp2040-w5500", CORTEX_M0), ("stm32h7-nucleo", CORTEX_M7)];

/// The board and the example of it that a guide is about.
pub(crate) const FIRST_FILE: (&str, &str) = ("rp2040-w5500", "first_file");

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// What of a manifest makes a dependency.
    #[derive(Debug, serde::Deserialize)]
    struct Manifest {
        dependencies: BTreeMap<String, toml::Value>,
        #[serde(default, rename = "dev-dependencies")]
        dev_dependencies: BTreeMap<String, toml::Value>,
    }

    #[test]
    fn the_guides_show_what_is_built_and_tested() {
        let first_file = include_str!("../../docs/guides/first-file.md");
        let transports = include_str!("../../docs/guides/transports.md");
        let code = |text: &str| -> Vec<String> {
            let is_shown = |line: &&str| !["//!", "#[path"].iter().any(|begin| line.starts_with(begin));
            text.lines().filter(is_shown).map(str::to_owned).skip_while(String::is_empty).collect()
        };
        for (guide, file) in [
            (first_file, include_str!("../../examples/rp2040-w5500/examples/first_file/main.rs")),
            (first_file, include_str!("../../examples/rp2040-w5500/examples/first_file/receive.rs")),
            (first_file, include_str!("../../examples/desktop/tests/guides/store.rs")),
            (transports, include_str!("../../examples/desktop/tests/guides/serve_line.rs")),
        ] {
            let blocks = guide.split("\n```").skip(1).step_by(2);
            let shown = blocks.filter_map(|block| block.split_once('\n').map(|(_, text)| code(text)));
            assert_eq!(shown.filter(|lines| *lines == code(file)).count(), 1, "not in the guide:\n{file}");
        }
    }

    #[test]
    fn the_guide_to_a_first_file_has_the_versions_and_features_that_are_built() {
        let guide = include_str!("../../docs/guides/first-file.md");
        let (_, block) = guide.split_once("\n```toml\n").unwrap();
        let shown: Manifest = toml::from_str(block.split_once("\n```").unwrap().0).unwrap();
        let mut built: Manifest =
            toml::from_str(include_str!("../../examples/rp2040-w5500/Cargo.toml")).unwrap();
        built.dependencies.append(&mut built.dev_dependencies);
        // Where the crates lie is the reader's affair.
        let placed = |mut manifest: Manifest| {
            for dependency in manifest.dependencies.values_mut() {
                if let Some(path) = dependency.get_mut("path") {
                    *path = toml::Value::Boolean(true);
                }
            }
            manifest.dependencies
        };
        assert_eq!(placed(shown), placed(built));
    }

    const RAM: u64 = 0x2000_0000;

    fn section(flags: &str, address: u64, size: u64) -> Section {
        let has = |flag| flags.contains(flag);
        Section { allocated: has('a'), writable: has('w'), loaded: has('l'), address, size }
    }

    #[test]
    fn only_what_the_device_holds_counts() {
        let sections = [
            section("al", 0, 0x200),           // .vector_table
            section("al", 0x200, 0x3000),      // .text
            section("al", 0x3200, 0x500),      // .rodata
            section("awl", RAM, 0x10),         // .data
            section("aw", RAM + 0x10, 0x4000), // .bss
            section("aw", RAM + 0x4010, 0x20), // .uninit
            section("awl", 0x9000_0000, 0),    // an empty section, wherever it is
            section("l", 0, 0x7000),           // .defmt
            section("l", 0, 0x0010_0000),      // .debug_info
        ];
        let footprint = Footprint::of(sections, RAM + 0x2_0000).unwrap();
        assert_eq!(footprint, Footprint { flash: 0x3710, static_ram: 0x4030, ram: 0x2_0000 });
    }

    #[test]
    fn variables_above_the_stack_are_refused() {
        assert!(Footprint::of([section("aw", RAM, 4)], RAM).is_err());
        assert!(Footprint::of([], RAM).is_err());
    }

    #[test]
    fn what_is_no_elf_is_refused() {
        assert!(Footprint::read(b"#!/bin/sh\n").is_err());
    }
}
