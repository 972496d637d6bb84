//! The build script of every board: the linker's scripts and options. Not from `.cargo/config.toml`, so that RUSTFLAGS do not
//! replace them and `core` is compiled for the firmware as it is for other programs.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy("memory.x", out.join("memory.x")).unwrap_or_else(|error| panic!("copy memory.x: {error}"));
    println!("cargo::rerun-if-changed=memory.x");
    // cortex-m-rt includes this file for names of interrupt handlers, where a board brings a vector table. There are none to
    // give: the tables are filled in Rust.
    fs::write(out.join("device.x"), "").unwrap_or_else(|error| panic!("write device.x: {error}"));
    println!("cargo::rustc-link-search={}", out.display());

    let arguments: &[&str] = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        // riscv-rt's layout does not include memory.x, which has to come first.
        Ok("riscv32") => &["-Tmemory.x", "-Tlink.x"],
        // cortex-m-rt's does. FLASH need not begin on a page of the build machine.
        _ => &["-Tlink.x", "--nmagic"],
    };
    for argument in arguments {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    // Where defmt's strings go: into the ELF file, not into FLASH.
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
}
