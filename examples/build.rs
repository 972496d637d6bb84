//! The build script of every board: puts the linker scripts where the linker looks for them.

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
}
