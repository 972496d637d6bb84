//! Heads out, messages past.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_tej::encode)
}
