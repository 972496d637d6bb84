//! Whole frames into a buffer.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_tej::one_call)
}
