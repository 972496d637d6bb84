//! The fuzz target of [`tej_fuzz::round_trip`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: tej_fuzz::round_trip::Input| input.check());
