//! Hands the linker script to the linker, and nothing else does: the flags need not know the target.

use std::{env, path::Path};

fn main() {
    let folder = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = Path::new(&folder).join("link.x");
    println!("cargo::rerun-if-changed=link.x");
    println!("cargo::rustc-link-arg-bins=-T{}", script.display());
    // Flash need not begin on a page of the build machine.
    println!("cargo::rustc-link-arg-bins=--nmagic");
    if env::var_os("CARGO_FEATURE_FOLLOWED").is_some() {
        println!("cargo::rustc-link-arg-bins=--emit-relocs");
        println!("cargo::rustc-link-arg-bins=--unresolved-symbols=ignore-all");
    }
}
