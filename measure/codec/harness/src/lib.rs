//! What a frame costs in a codec: the cases, and running one for `cargo xtask bench core` to count its instructions or
//! to time it.
//!
//! A codec has a crate beside this one, and in that a program for each way in which it is used, because that is how it
//! meets the compiler in practice: a codec that is called at one place of a program is inlined there.
//!
//! ```text
//! PROGRAM list         a line for each case: its row, what its figure is per, how many of them a pass has
//! PROGRAM count ROW    passes of this case, for a profiler that counts in `measure::callgrind_measured`
//! PROGRAM time ROW     the nanoseconds of its fastest pass
//! ```

pub mod arrival;
mod case;
mod check;
pub mod frame;

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

pub use case::{Case, Consumer, Decode, List};
pub use check::Checked;

/// The whole of a program: does what its arguments say with the cases that `add` adds.
pub fn main(add: fn(&mut Measured)) -> ExitCode {
    let mut cases = Measured(Vec::new());
    add(&mut cases);
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["list"] => {
            for Entry { row, per, items, .. } in &cases.0 {
                println!("{row}\t{per}\t{items}");
            }
        }
        [verb @ ("count" | "time"), row] => {
            let Some(entry) = cases.0.iter().find(|entry| entry.row == *row) else {
                eprintln!("no case is called {row}: `list` names them");
                return ExitCode::FAILURE;
            };
            let mut case = (entry.prepare)();
            if *verb == "count" {
                // The last pass is the one that counts: by then, all that grows has grown.
                for _ in 0..PASSES {
                    callgrind_measured(case.as_mut());
                }
            } else {
                println!("{}", fastest(case.as_mut()).as_nanos());
            }
        }
        _ => {
            eprintln!("usage: list | count ROW | time ROW");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The cases of a program, to be measured.
pub struct Measured(Vec<Entry>);

struct Entry {
    row: &'static str,
    per: &'static str,
    items: usize,
    prepare: Box<dyn Fn() -> Box<dyn Pass>>,
}

impl List for Measured {
    fn slices(&self) -> usize {
        SLICES
    }

    fn add<C: Case + 'static>(
        &mut self,
        row: &'static str,
        per: &'static str,
        items: usize,
        prepare: impl Fn() -> C + 'static,
    ) {
        self.0.push(Entry { row, per, items, prepare: Box::new(move || Box::new(prepare())) });
    }
}

/// Only what is measured of a case: checking it would be a second place that calls the codec.
trait Pass {
    fn pass(&mut self);
}

impl<C: Case> Pass for C {
    fn pass(&mut self) {
        Case::pass(self);
    }
}

/// One pass. The profiler knows it by its name, counts from its beginning to its end, and tells one call from the next.
#[inline(never)]
fn callgrind_measured(case: &mut dyn Pass) {
    case.pass();
}

fn fastest(case: &mut dyn Pass) -> Duration {
    let end = Instant::now() + TIME_LIMIT;
    let mut fastest = Duration::MAX;
    for pass in 1.. {
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
const SLICES: usize = 16 << 10;
const PASSES: u32 = 3;
const TIME_LIMIT: Duration = Duration::from_millis(300);
