//! Heads out, messages past, with the calls that any frame can be made of.

use std::process::ExitCode;

fn main() -> ExitCode {
    measure::main(measure_tej::heads_by_parts)
}
