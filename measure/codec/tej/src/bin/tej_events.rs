//! Event by event, out of a buffer or as reads come.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_tej::events)
}
