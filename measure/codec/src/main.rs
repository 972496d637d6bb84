//! Runs one codec over prepared frames, for `cargo xtask bench core` to count its instructions or to time it.
//!
//! ```text
//! measure-codec list         a line for each case: its row, what its figure is per, how many of them a pass has
//! measure-codec count ROW    passes of this case, for a profiler that counts in `callgrind_measured`
//! measure-codec time ROW     the nanoseconds of its fastest pass
//! ```

mod case;
mod frame;
mod ours;

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::case::{Case, Entry};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let cases = cases(SLICES);
    let named = |row: &str| cases.iter().find(|entry| entry.row == row);
    match arguments.as_slice() {
        ["list"] => {
            for entry in &cases {
                println!("{}\t{}\t{}", entry.row, entry.per, entry.items);
            }
        }
        [verb @ ("count" | "time"), row] => {
            let Some(entry) = named(row) else {
                eprintln!("no case is called {row}: `measure-codec list` names them");
                return ExitCode::FAILURE;
            };
            let mut case = (entry.prepare)();
            if *verb == "count" {
                // The last pass is the one that counts: by then, buffers have grown as far as they will.
                for _ in 0..PASSES {
                    callgrind_measured(case.as_mut());
                }
            } else {
                println!("{}", fastest(case.as_mut()).as_nanos());
            }
        }
        _ => {
            eprintln!("usage: measure-codec list | count ROW | time ROW");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// All there is to measure; a file is sent in `slices`.
fn cases(slices: u64) -> Vec<Entry> {
    [ours::cases(slices)].into_iter().flatten().collect()
}

/// One pass. The profiler knows it by its name, counts from its beginning to its end, and starts again at each call.
#[inline(never)]
fn callgrind_measured(case: &mut dyn Case) {
    case.pass();
}

fn fastest(case: &mut dyn Case) -> Duration {
    let end = Instant::now() + TIME_LIMIT;
    let mut fastest = Duration::MAX;
    for pass in 0.. {
        let begun = Instant::now();
        callgrind_measured(case);
        fastest = fastest.min(begun.elapsed());
        if pass >= PASSES && Instant::now() >= end {
            break;
        }
    }
    fastest
}

/// A file of 1 GiB in slices of 64 KiB.
const SLICES: u64 = 16 << 10;
const PASSES: u32 = 3;
const TIME_LIMIT: Duration = Duration::from_millis(300);
