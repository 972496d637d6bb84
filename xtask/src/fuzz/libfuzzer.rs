//! One run of one fuzz target, and what libFuzzer says of it.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    process::{self, Guarded},
    workspace,
};

/// A target that is to run.
pub(super) struct Session {
    pub(super) target: &'static str,
    pub(super) program: PathBuf,
    /// Where inputs that reach something new are kept, and taken from the next time.
    pub(super) corpus: PathBuf,
    /// Further inputs to begin with, which stay as they are.
    pub(super) seeds: Vec<PathBuf>,
    /// Where an input that fails is put.
    pub(super) artifacts: PathBuf,
    pub(super) log: PathBuf,
    pub(super) time: Duration,
}

/// How a run ended.
pub(super) enum Outcome {
    /// When its time was over.
    Clean(Stats),
    /// With an input that fails.
    Failed { stats: Stats, input: PathBuf, said: String },
}

/// What libFuzzer counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stats {
    /// Executions of the target.
    pub(super) runs: u64,
    /// Edges of the control flow that were reached.
    pub(super) edges: u64,
    /// Edges, each counted again for how often it was taken, and comparisons.
    pub(super) features: u64,
    /// Inputs that together reach all of that.
    pub(super) corpus: u64,
    pub(super) time: Duration,
}

impl Outcome {
    pub(super) fn stats(&self) -> &Stats {
        match self {
            Self::Clean(stats) | Self::Failed { stats, .. } => stats,
        }
    }
}

impl Session {
    /// Runs to the end, and tells `progress` what was reached so far.
    pub(super) fn run(&self, mut progress: impl FnMut(&Stats)) -> Result<Outcome> {
        for folder in [&self.corpus, &self.artifacts].into_iter().chain(&self.seeds) {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let mut log = workspace::create(&self.log)?;
        let begun = Instant::now();
        let mut child = Guarded::spawn(&mut self.command())?;
        let (sender, lines) = mpsc::channel();
        let (stdout, stderr) = child.output()?;
        let errors = sender.clone();
        // The receiver outlives both threads' channels.
        let _ = process::each_line(stdout, move |line| drop(sender.send(line)));
        let _ = process::each_line(stderr, move |line| drop(errors.send(line)));
        let mut heard = Heard::default();
        for line in lines {
            writeln!(log, "{line}")?;
            if heard.line(&line) {
                heard.stats.time = begun.elapsed();
                progress(&heard.stats);
            }
        }
        let status = child.collect()?;
        let stats = Stats { time: begun.elapsed(), ..heard.stats };
        if let Some(input) = heard.input {
            return Ok(Outcome::Failed { stats, input, said: heard.said.join("\n  ") });
        }
        if !status.success() {
            bail!("{} ended with {status} (all of it: {})", self.target, self.log.display());
        }
        ensure!(
            stats.edges > 0 && stats.corpus > 0,
            "no code was seen to run (all of it: {})",
            self.log.display()
        );
        Ok(Outcome::Clean(stats))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(&self.corpus).args(&self.seeds);
        command.arg(format!("-artifact_prefix={}/", self.artifacts.display()));
        command.arg(format!("-max_total_time={}", self.time.as_secs().max(1)));
        command.args(["-print_final_stats=1", "-max_len=4096", "-timeout=20", "-rss_limit_mb=1024"]);
        // A backtrace says only where the target compares.
        command.env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// What has been said so far.
#[derive(Default)]
struct Heard {
    stats: Stats,
    /// The input that failed.
    input: Option<PathBuf>,
    /// The panic's own words, while there are not too many.
    said: Vec<String>,
    panics: bool,
}

impl Heard {
    /// Takes note of a line; true when it has numbers.
    fn line(&mut self, line: &str) -> bool {
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.input = Some(path.into());
        } else if line.contains("ERROR: libFuzzer: ") && self.said.is_empty() {
            // No panic: too slow, or too much memory.
            self.said.push(shortened(line));
        }
        if line.contains(" panicked at ") {
            self.panics = true;
        } else if line.starts_with("note: ") || line.starts_with("==") {
            self.panics = false;
        }
        if self.panics && self.said.len() < LINES {
            self.said.push(shortened(line));
        }
        self.numbers(line).is_some()
    }

    /// `#4096 NEW cov: 312 ft: 900 corp: 200/12Kb …`, or a final count.
    fn numbers(&mut self, line: &str) -> Option<()> {
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            self.stats.runs = count.trim().parse().ok()?;
            return Some(());
        }
        let runs = line.strip_prefix('#')?.split_whitespace().next()?.parse().ok()?;
        let number = |label: &str| {
            let (_, rest) = line.split_once(label)?;
            rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        let (edges, features, corpus) = (number(" cov:")?, number(" ft:")?, number(" corp:")?);
        self.stats = Stats { runs, edges, features, corpus, ..self.stats };
        Some(())
    }
}

/// The events of a long stream make a very long line.
fn shortened(line: &str) -> String {
    let mut chars = line.chars();
    let mut text: String = chars.by_ref().take(WIDTH).collect();
    if chars.next().is_some() {
        text.push('…');
    }
    text
}

const LINES: usize = 8;
const WIDTH: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        let mut heard = Heard::default();
        assert!(!heard.line("INFO: Running with entropic power schedule (0xFF, 100)."));
        assert!(!heard.line("#2\tINITED exec/s: 0 rss: 26Mb"));
        assert!(
            heard.line("#12653\tDONE   cov: 435 ft: 1795 corp: 146/11699b lim: 151 exec/s: 973 rss: 55Mb")
        );
        assert_eq!(
            heard.stats,
            Stats { runs: 12_653, edges: 435, features: 1_795, corpus: 146, time: Duration::ZERO }
        );
        assert!(heard.line("stat::number_of_executed_units: 12700"));
        assert_eq!(heard.stats.runs, 12_700);
        assert_eq!(heard.input, None);
    }

    #[test]
    fn a_failure_is_told_in_the_words_of_the_panic() {
        let mut heard = Heard::default();
        for line in [
            "#9\tNEW    cov: 4 ft: 5 corp: 6/7b lim: 4 exec/s: 0 rss: 26Mb L: 1/1 MS: 1 ChangeBit-",
            "",
            "thread '<unnamed>' (7) panicked at src/decode.rs:34:9:",
            "assertion failed: left == right",
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
            "==7== ERROR: libFuzzer: deadly signal",
            "artifact_prefix='target/fuzz/'; Test unit written to target/fuzz/crash-00ff",
        ] {
            heard.line(line);
        }
        assert_eq!(heard.said.len(), 2);
        assert!(heard.said[1].contains("left == right"));
        assert_eq!(heard.input, Some("target/fuzz/crash-00ff".into()));

        let mut heard = Heard::default();
        heard.line("==7== ERROR: libFuzzer: timeout after 20 seconds");
        assert_eq!(heard.said, ["==7== ERROR: libFuzzer: timeout after 20 seconds"]);
    }
}
