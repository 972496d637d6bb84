//! The fuzz target of [`tej_fuzz::encoder`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: tej_fuzz::encoder::Input| input.check());
