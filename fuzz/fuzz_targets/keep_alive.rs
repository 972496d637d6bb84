//! The fuzz target of [`tej_fuzz::keep_alive`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: tej_fuzz::keep_alive::Input| input.check());
