//! What another program costs.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::Result;

/// Runs a program to its end, or asks it to end once our standard input has ended, and writes to `report` the
/// microseconds of processor time that it has used, its largest memory in KiB, and the code that it ended with, -1 for a
/// signal.
pub(crate) fn run(report: &str, program: &str, arguments: &[&str]) -> Result<()> {
    let mut child = Command::new(program).args(arguments).stdin(Stdio::null()).spawn()?;
    let id = Pid::from_child(&child);
    thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut byte = [0];
        while matches!(input.read(&mut byte), Ok(1..)) {}
        // It may have ended by itself; then we end, too, before anybody gets its number.
        let _ = kill_process(id, Signal::TERM);
    });
    let status = child.wait()?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = usage.user_time() + usage.system_time();
    let text = format!("{} {} {}\n", time.num_microseconds(), usage.max_rss(), status.code().unwrap_or(-1));
    std::fs::write(report, text)?;
    Ok(())
}
