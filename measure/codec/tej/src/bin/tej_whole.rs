//! Frames borrowed whole, where a read has them whole.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_tej::whole)
}
