//! Messages with files out of a buffer.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_postcard::files)
}
