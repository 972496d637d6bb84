//! Heads out, messages past, with one call for a frame.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_tej::heads)
}
