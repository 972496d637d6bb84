//! Arrivals and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure::arrival::calibration)
}
