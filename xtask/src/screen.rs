//! What a person sees while a task works: progress bars on a terminal, plain lines elsewhere.

use std::{
    cell::Cell,
    io::IsTerminal,
    time::{Duration, Instant},
};

use console::style;
use indicatif::{ProgressBar, ProgressStyle};

/// The console of one task.
pub(crate) struct Screen {
    live: bool,
    verbose: bool,
    lines: Lines,
}

/// A piece of work in progress. Finish it with [`done`](Self::done); dropping it unfinished leaves no trace on a
/// terminal.
pub(crate) struct Work {
    label: &'static str,
    bar: Option<ProgressBar>,
    lines: Lines,
    begun: Instant,
    /// When something was last said, where nothing can be redrawn.
    said: Cell<Instant>,
}

impl Screen {
    pub(crate) fn new(verbose: bool) -> Self {
        Self { live: std::io::stderr().is_terminal(), verbose, lines: Lines::Output }
    }

    /// A console that leaves standard output to the results, which a program reads.
    pub(crate) fn beside_results() -> Self {
        Self { lines: Lines::Errors, ..Self::new(false) }
    }

    /// Whether the user asked to see everything.
    pub(crate) fn verbose(&self) -> bool {
        self.verbose
    }

    pub(crate) fn headline(&self, text: &str) {
        self.lines.print(&format!("\n{}\n", style(text).bold()));
    }

    /// Text as it stands, its line feeds included.
    pub(crate) fn say(&self, text: &str) {
        self.lines.print(text);
    }

    /// Whether what is said can be seen.
    pub(crate) fn is_terminal(&self) -> bool {
        match self.lines {
            Lines::Output => std::io::stdout().is_terminal(),
            Lines::Errors => std::io::stderr().is_terminal(),
        }
    }

    /// A step that needs no progress.
    pub(crate) fn note(&self, label: &str, text: &str) {
        self.lines.print(&entry(label, text));
    }

    /// Begins a step of unknown size.
    pub(crate) fn work(&self, label: &'static str, text: &str) -> Work {
        let bar = self.bar(|| {
            let bar = ProgressBar::no_length()
                .with_style(template("  {prefix:9.cyan}  {spinner} {wide_msg} {elapsed}"));
            bar.enable_steady_tick(TICK);
            bar
        });
        Work::begin(label, bar, self.lines, text)
    }

    /// Begins moving `total` bytes.
    pub(crate) fn transfer(&self, label: &'static str, text: &str, total: u64) -> Work {
        let bar = self.bar(|| {
            ProgressBar::new(total).with_style(template(
                "  {prefix:9.cyan}  {msg:16!} {bar:28} {bytes:>10} of {total_bytes:10} {bytes_per_sec}",
            ))
        });
        Work::begin(label, bar, self.lines, text)
    }

    /// The last word of a task that failed.
    pub(crate) fn failure(error: &anyhow::Error) {
        eprintln!("\n{} {error:#}", style("error:").for_stderr().red().bold());
    }

    fn bar(&self, new: impl FnOnce() -> ProgressBar) -> Option<ProgressBar> {
        (self.live && !self.verbose).then(new)
    }
}

impl Work {
    /// Says what is going on right now.
    pub(crate) fn detail(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None if self.due() => self.lines.print(&entry(self.label, &format!("… {text}"))),
            None => {}
        }
    }

    /// `bytes` have been moved so far.
    pub(crate) fn moved(&self, bytes: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(bytes),
            None if self.due() => {
                self.lines.print(&entry(self.label, &format!("… {:.1} MiB", mebibytes(bytes))));
            }
            None => {}
        }
    }

    /// Ends it with one line that stays.
    pub(crate) fn done(self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.lines.print(&entry(self.label, &format!("{text} ({})", seconds(self.begun.elapsed()))));
    }

    fn begin(label: &'static str, bar: Option<ProgressBar>, lines: Lines, text: &str) -> Self {
        match &bar {
            Some(bar) => {
                bar.set_prefix(label);
                bar.set_message(text.to_owned());
            }
            None => lines.print(&entry(label, &format!("{text} …"))),
        }
        let now = Instant::now();
        Self { label, bar, lines, begun: now, said: Cell::new(now) }
    }

    fn due(&self) -> bool {
        let due = self.said.get().elapsed() >= PLAIN_INTERVAL;
        if due {
            self.said.set(Instant::now());
        }
        due
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A duration as people read it.
pub(crate) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 60.0 {
        let whole = time.as_secs();
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{seconds:.1} s")
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people, who read two digits")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Where lines go that stay.
#[derive(Clone, Copy)]
enum Lines {
    Output,
    Errors,
}

impl Lines {
    fn print(self, text: &str) {
        match self {
            Self::Output => print!("{text}"),
            Self::Errors => eprint!("{text}"),
        }
    }
}

fn entry(label: &str, text: &str) -> String {
    format!("  {}  {text}\n", style(format!("{label:9}")).cyan())
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text)
        .expect("the templates of this file are well-formed")
        .progress_chars("━╸─")
}

const TICK: Duration = Duration::from_millis(100);
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(40)), "0.0 s");
        assert_eq!(seconds(Duration::from_millis(59_900)), "59.9 s");
        assert_eq!(seconds(Duration::from_millis(125_900)), "2 min 05 s");
    }
}
