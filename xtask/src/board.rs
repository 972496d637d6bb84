//! The boards that the firmware runs on: what it takes to build it for each, and to boot it in QEMU.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::{
    payload::Sizes,
    setup::{CORTEX_M0, CORTEX_M3, CORTEX_M33, Need, RISCV32},
};

/// A board that QEMU emulates.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Board {
    /// What `--board` takes.
    pub(crate) name: &'static str,
    /// The folder under `examples/`, which is also the program's name.
    pub(crate) package: &'static str,
    /// The package's program that speaks TLS, where there is one, which its feature `tls` brings.
    pub(crate) tls: Option<&'static str>,
    pub(crate) processor: &'static str,
    pub(crate) target: &'static str,
    pub(crate) emulator: &'static Emulator,
    /// QEMU's name of it, and options that it needs.
    pub(crate) machine: &'static [&'static str],
    pub(crate) link: Link,
    /// The RAM that the firmware is granted, in bytes.
    pub(crate) ram: u64,
    /// What its stack may grow to, in bytes. A buffer for packets that lands there, or a future that is moved over it, exceeds
    /// this; another compiler, which lays it out differently, does not.
    pub(crate) stack: u64,
    /// What the demo moves.
    pub(crate) demo: Load,
    /// What the tests move.
    pub(crate) check: Load,
}

/// How the desktop reaches a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Over TCP, in both roles.
    Network {
        /// The controller, as QEMU's options have it.
        controller: [&'static str; 2],
    },
    /// Over its UART, at whose other end QEMU has a TCP port. The device's file has to be asked for.
    Serial {
        /// Bytes of the longest frame that the device answers with. QEMU drops the others as soon as `tej`, which has its
        /// reply, ends its side.
        answer: usize,
    },
}

/// How much crosses in an exchange, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Of the generated files that the desktop sends.
    pub(crate) files: Sizes,
    /// Of the file that the device generates.
    pub(crate) device: u64,
}

/// A program of QEMU's.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Emulator {
    pub(crate) program: &'static str,
    /// Debian's package with it.
    pub(crate) package: &'static str,
    /// What it is needed for.
    pub(crate) reason: &'static str,
}

impl Board {
    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        BOARDS.iter().copied().find(|board| board.name == name)
    }

    /// Takes its name from a command line.
    pub(crate) fn parser() -> impl TypedValueParser<Value = &'static Self> {
        let values = BOARDS.map(|board| PossibleValue::new(board.name).help(board.processor));
        PossibleValuesParser::new(values).map(|name| Self::named(&name).expect("clap takes no other names"))
    }

    /// What building and booting takes.
    pub(crate) fn needs(&self) -> [Need; 2] {
        [Need::Target(self.target), Need::Qemu(self.emulator)]
    }
}

/// All of them.
pub(crate) const BOARDS: [&Board; 4] = [&AN385, &AN505, &RISCV32_VIRT, &MICROBIT];

/// The one that the demo takes when it is not told.
pub(crate) static AN385: Board = Board {
    name: "an385",
    package: "qemu-mps2-an385",
    tls: Some("qemu-mps2-an385-tls"),
    processor: "Cortex-M3",
    target: CORTEX_M3,
    emulator: &ARM,
    machine: &["mps2-an385"],
    link: Link::Network { controller: LAN9118 },
    ram: 128 * 1024,
    stack: 4 * 1024,
    demo: LARGE,
    check: LARGE,
};

pub(crate) static AN505: Board = Board {
    name: "an505",
    package: "qemu-mps2-an505",
    tls: None,
    processor: "Cortex-M33",
    target: CORTEX_M33,
    emulator: &ARM,
    machine: &["mps2-an505"],
    link: Link::Network { controller: LAN9118 },
    ram: 128 * 1024,
    stack: 4 * 1024,
    demo: LARGE,
    check: SMALL,
};

pub(crate) static RISCV32_VIRT: Board = Board {
    name: "riscv32",
    package: "qemu-riscv32-virt",
    tls: None,
    processor: "32-bit RISC-V",
    target: RISCV32,
    emulator: &RISCV,
    machine: &["virt", "-bios", "none"],
    link: Link::Network { controller: ["-device", "virtio-net-device,netdev=n0,bus=virtio-mmio-bus.0"] },
    ram: 128 * 1024,
    stack: 6 * 1024,
    demo: LARGE,
    check: SMALL,
};

pub(crate) static MICROBIT: Board = Board {
    name: "microbit",
    package: "qemu-microbit",
    tls: None,
    processor: "Cortex-M0",
    target: CORTEX_M0,
    emulator: &ARM,
    machine: &["microbit"],
    link: Link::Serial { answer: 1024 },
    ram: 16 * 1024,
    stack: 4 * 1024,
    demo: SERIAL,
    check: SERIAL,
};

pub(crate) static RISCV: Emulator = Emulator {
    program: "qemu-system-riscv32",
    package: "qemu-system-misc",
    reason: "the emulated board with a RISC-V processor",
};

pub(crate) static ARM: Emulator = Emulator {
    program: "qemu-system-arm",
    package: "qemu-system-arm",
    reason: "the emulated boards with Arm processors, which the firmware boots on",
};

/// Hundreds of times a device's RAM.
const LARGE: Load = Load {
    files: Sizes { picture: 3 * 1024 * 1024 + 4321, large: 64 * 1024 * 1024 },
    device: 16 * 1024 * 1024,
};
/// A few times that, where another board has shown that more is no different.
const SMALL: Load =
    Load { files: Sizes { picture: 64 * 1024 + 321, large: 1024 * 1024 }, device: 1024 * 1024 };
/// What takes a UART some seconds.
const SERIAL: Load =
    Load { files: Sizes { picture: 16 * 1024 + 321, large: 256 * 1024 }, device: 256 * 1024 };
const LAN9118: [&str; 2] = ["-net", "nic,netdev=n0,model=lan9118"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boards_have_names_of_their_own() {
        for board in BOARDS {
            assert_eq!(Board::named(board.name), Some(board));
        }
        assert_eq!(Board::named("an386"), None);
    }
}
