//! A large file, part by part.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_postcard::parts)
}
