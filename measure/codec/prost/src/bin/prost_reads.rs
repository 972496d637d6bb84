//! Messages as reads come.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_prost::reads)
}
