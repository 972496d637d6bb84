//! Messages, without and with files, out of a buffer.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_prost::messages)
}
