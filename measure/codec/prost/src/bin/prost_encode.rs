//! Messages into a buffer.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_prost::encode)
}
