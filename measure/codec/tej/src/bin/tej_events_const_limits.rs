//! Event by event, with limits that the compiler knows.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_tej::events_const_limits)
}
