//! The fuzz target of [`tej_fuzz::decode`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: tej_fuzz::decode::Input<'_>| input.check());
