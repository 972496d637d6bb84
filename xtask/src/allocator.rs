//! What shows that an allocator is linked.

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSymbol};
use rustc_demangle::demangle;

/// Fails where a program, which has its symbols, has an allocator, or code that needs one.
pub(crate) fn refuse(elf: &[u8]) -> Result<()> {
    let program = object::File::parse(elf).context("no ELF file")?;
    ensure!(
        program.symbols().next().is_some(),
        "its symbols are stripped, and without them an allocator is not seen"
    );
    let traces = traces(program.symbols().filter_map(|symbol| symbol.name().ok()));
    ensure!(traces.is_empty(), "an allocator is linked: {}", traces.join(", "));
    Ok(())
}

/// The symbols, as Rust calls them, of an allocator's functions and of the crate `alloc`, some of which the optimiser leaves
/// whatever else it takes away: those that end a program for which there is no memory.
fn traces<'n>(symbols: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let names = symbols.into_iter().map(|symbol| format!("{:#}", demangle(symbol)));
    names.filter(|name| is_allocators(name) || is_in_alloc(name)).collect()
}

/// `__rust_alloc`, in whatever module the compiler has put it, or `malloc`.
fn is_allocators(name: &str) -> bool {
    let function = name.rsplit("::").next().unwrap_or_default();
    let of_rust = FUNCTIONS_OF_RUST.iter().any(|begin| function.starts_with(begin));
    of_rust || FUNCTIONS_OF_C.contains(&name)
}

/// `alloc::vec::Vec<u8>`, not `core::alloc::Layout`.
fn is_in_alloc(name: &str) -> bool {
    name.match_indices("alloc::").any(|(at, _)| {
        let before = name[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':'))
    })
}

/// What the compiler calls: the program's allocator, the default one or the attribute's, and what deals with its errors.
const FUNCTIONS_OF_RUST: [&str; 6] =
    ["__rdl_", "__rg_", "__rust_alloc", "__rust_dealloc", "__rust_no_alloc_shim", "__rust_realloc"];
const FUNCTIONS_OF_C: [&str; 7] =
    ["malloc", "calloc", "realloc", "free", "aligned_alloc", "memalign", "posix_memalign"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocator_is_found_by_what_the_optimiser_leaves_of_it() {
        // Of firmware in which one box is made, with all of the allocator inlined.
        let linked = [
            "_RNvCsfgHYwM92fyn_7___rustc17rust_begin_unwind",
            "_RNvCsfgHYwM92fyn_7___rustc26___rust_alloc_error_handler",
            "_RNvNtCshSlRNScTjV3_5alloc5alloc18handle_alloc_error",
        ];
        assert_eq!(
            traces(linked),
            ["__rustc::__rust_alloc_error_handler", "alloc::alloc::handle_alloc_error"]
        );
        for symbol in [
            "malloc",
            "free",
            "__rust_alloc",
            "__rg_dealloc",
            "_RNvCsfgHYwM92fyn_7___rustc12___rust_alloc",
            "_RNvCsfgHYwM92fyn_7___rustc35___rust_no_alloc_shim_is_unstable_v2",
            "_ZN5alloc7raw_vec12handle_error17h0123456789abcdefE",
            "_ZN64_$LT$alloc..string..String$u20$as$u20$core..fmt..Display$GT$3fmt17h0123456789abcdefE",
        ] {
            assert_eq!(traces([symbol]).len(), 1, "{symbol}");
        }
    }

    #[test]
    fn what_only_sounds_like_one_is_none() {
        let others = [
            "_RNvMs1_NtNtCsh1uZtU5rPcZ_7smoltcp7storage11ring_bufferINtB5_10RingBufferhE17dequeue_allocatedB9_",
            "_RNvXsa_NtCs3AOk32PyBsE_4virt10virtio_netNtB5_6MemoryNtNtCs9GYyYtYBYDY_14virtio_drivers3hal3Hal9dma_alloc",
            "_ZN4core5alloc6layout6Layout19is_size_align_valid17h0123456789abcdefE",
            "_ZN8my_alloc4free17h0123456789abcdefE",
            "__rust_begin_unwind",
            "memcpy",
        ];
        assert_eq!(traces(others), [""; 0]);
    }

    #[test]
    fn a_program_that_cannot_be_looked_into_is_refused() {
        assert!(refuse(b"#!/bin/sh\n").is_err());
        // The head of an ELF file for an Arm processor, and nothing behind it.
        let mut stripped = [0; 52];
        stripped[..7].copy_from_slice(b"\x7fELF\x01\x01\x01");
        (stripped[16], stripped[18], stripped[20], stripped[40]) = (2, 40, 1, 52);
        assert!(refuse(&stripped).unwrap_err().to_string().starts_with("its symbols are stripped"));
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(refuse(&this).unwrap_err().to_string().starts_with("an allocator is linked: "));
    }
}
