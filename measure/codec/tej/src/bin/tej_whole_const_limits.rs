//! Frames borrowed whole, with limits that the compiler knows.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_tej::whole_const_limits)
}
