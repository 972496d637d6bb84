//! A large file, slice by slice.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_httparse::slices)
}
