//! Whole responses out of a buffer.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_httparse::messages)
}
