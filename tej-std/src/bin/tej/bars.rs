//! The lines of what is under way, which fit the terminal.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

use crate::text::{printable, size};

/// The line of a file, which leaves out what there is no room for.
pub(crate) fn of_file(name: &str, len: u64) -> ProgressBar {
    let style = style(&format!("{{msg:{}!}} {{rest}}", name_columns(columns()))).with_key(
        "rest",
        |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&file_line(columns(), &Numbers::of(state)));
        },
    );
    ProgressBar::new(len).with_style(style).with_message(printable(name).into_owned())
}

/// How the total is shown; with its end, if that is known.
pub(crate) fn total_style(has_end: bool) -> ProgressStyle {
    style("{msg}   {rest}").with_key("rest", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = out.write_str(&total_line(columns(), &Numbers::of(state), has_end));
    })
}

/// What is known of something under way.
struct Numbers {
    done: u64,
    len: u64,
    per_second: u64,
    /// Empty while nobody can tell.
    left: String,
}

impl Numbers {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is not negative, and is rounded anyway"
    )]
    fn of(state: &ProgressState) -> Self {
        // The first bytes fill buffers, whose speed is not that of the peer.
        let is_known = state.elapsed() >= FIRST;
        Self {
            done: state.pos(),
            len: state.len().unwrap_or_default(),
            per_second: state.per_sec() as u64,
            left: if is_known { format!("{:#}", HumanDuration(state.eta())) } else { String::new() },
        }
    }
}

/// What follows the name.
fn file_line(columns: usize, numbers: &Numbers) -> String {
    let Numbers { done, len, per_second, left } = numbers;
    let mut text = format!("{:>8} / {:8}", size(*done), size(*len));
    if columns >= WITH_RATE {
        let _ = write!(text, " {:>10}", format!("{}/s", size(*per_second)));
    }
    let _ = write!(text, " {left:>4}");
    if columns >= WITH_BAR {
        let room = columns.saturating_sub(name_columns(columns) + 1 + text.len() + 1 + SPARE);
        let filled = u128::from(*done.min(len)) * room as u128 / u128::from(*len.max(&1));
        let filled = usize::try_from(filled).unwrap_or(room);
        text = format!("{}{} {text}", "█".repeat(filled), "░".repeat(room - filled));
    }
    text
}

/// What follows the number of files.
fn total_line(columns: usize, numbers: &Numbers, has_end: bool) -> String {
    let Numbers { done, len, per_second, left } = numbers;
    let mut text = size(*done);
    if has_end {
        let _ = write!(text, " / {}", size(*len));
    }
    if columns >= WITH_RATE {
        let _ = write!(text, "   {}/s", size(*per_second));
    }
    if has_end && !left.is_empty() {
        let _ = write!(text, "   {left}");
    }
    text
}

fn name_columns(columns: usize) -> usize {
    if columns >= WITH_BAR {
        (columns * 3 / 10).min(30)
    } else {
        columns.saturating_sub(NUMBERS + 1 + SPARE).max(1)
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The width of the terminal, which may change at any time.
fn columns() -> usize {
    dimensions().0.into()
}

/// Columns and rows of the terminal.
fn dimensions() -> (u16, u16) {
    #[cfg(unix)]
    if let Ok(size) = rustix::termios::tcgetwinsize(io::stderr())
        && size.ws_col > 0
        && size.ws_row > 0
    {
        return (size.ws_col, size.ws_row);
    }
    (80, 24)
}

/// Where bars are drawn.
pub(crate) fn target() -> ProgressDrawTarget {
    if cfg!(unix) {
        ProgressDrawTarget::term_like_with_hz(Box::new(Terminal::default()), PER_SECOND)
    } else {
        ProgressDrawTarget::stderr()
    }
}

/// The terminal, on which lines are ended, where indicatif fills them with blanks: from the last column, the `^C` that a
/// terminal shows would go to a line of its own, and the first bar could not be cleared any more.
#[derive(Debug, Default)]
struct Terminal {
    drawn: Mutex<Drawn>,
}

/// What is drawn in one go.
#[derive(Debug, Default)]
struct Drawn {
    text: String,
    /// A line was written, and the blanks behind it come next.
    is_filled_next: bool,
    /// The line has ended, and another may follow.
    is_ended: bool,
}

impl Terminal {
    fn draw(&self, draw: impl FnOnce(&mut Drawn)) -> io::Result<()> {
        draw(&mut self.drawn.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    fn move_cursor(&self, n: usize, direction: char) -> io::Result<()> {
        self.draw(|drawn| {
            if n > 0 {
                let _ = write!(drawn.text, "\x1b[{n}{direction}");
            }
        })
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        dimensions().0
    }

    fn height(&self) -> u16 {
        dimensions().1
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D')
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.draw(|drawn| {
            drawn.text.push_str(line);
            drawn.text.push('\n');
        })
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.draw(|drawn| {
            if text == "\r" {
                drawn.text.push_str(text);
            } else if std::mem::take(&mut drawn.is_filled_next) {
                drawn.text.push_str("\x1b[K");
                drawn.is_ended = true;
            } else {
                if std::mem::take(&mut drawn.is_ended) {
                    drawn.text.push('\n');
                }
                drawn.text.push_str(text.trim_end());
                drawn.is_filled_next = true;
            }
        })
    }

    fn clear_line(&self) -> io::Result<()> {
        self.draw(|drawn| drawn.text.push_str("\r\x1b[2K"))
    }

    fn flush(&self) -> io::Result<()> {
        let Drawn { text, .. } =
            std::mem::take(&mut *self.drawn.lock().unwrap_or_else(PoisonError::into_inner));
        io::stderr().write_all(text.as_bytes())
    }
}

/// How often bars are drawn.
const PER_SECOND: u8 = 20;
/// For so long nobody can tell how long the rest takes.
const FIRST: Duration = Duration::from_secs(1);
/// Columns from which on the rate is shown.
const WITH_RATE: usize = 70;
/// Columns from which on there is a bar.
const WITH_BAR: usize = 55;
/// Columns of the sizes and the time of a file.
const NUMBERS: usize = 8 + 3 + 8 + 5;
/// Columns that stay free: a terminal shows `^C` there, and a line that it made wrap could not be cleared.
const SPARE: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(done: u64, len: u64, left: &str) -> Numbers {
        Numbers { done, len, per_second: 1023 << 20, left: left.into() }
    }

    #[test]
    fn the_line_of_a_file_fits_every_terminal() {
        for columns in 30..300 {
            let longest = numbers(1023 << 30, 1023 << 40, "59m");
            let line = name_columns(columns) + 1 + file_line(columns, &longest).chars().count();
            assert!(line <= columns - SPARE, "{columns}: {line}");
        }
        let half = numbers(511 << 20, 1022 << 20, "");
        assert_eq!(file_line(60, &half), "██████░░░░░░░  511 MiB / 1022 MiB     ");
        assert!(file_line(70, &half).contains("1023 MiB/s"));
        assert!(!file_line(54, &half).contains('█'));
    }

    #[test]
    fn the_total_tells_what_is_known() {
        let part = numbers(511 << 20, 20 << 30, "5s");
        assert_eq!(total_line(80, &part, true), "511 MiB / 20 GiB   1023 MiB/s   5s");
        assert_eq!(total_line(60, &part, true), "511 MiB / 20 GiB   5s");
        assert_eq!(total_line(80, &part, false), "511 MiB   1023 MiB/s");
        assert_eq!(total_line(60, &numbers(1, 5, ""), true), "1 B / 5 B");
    }

    // case 45
    #[test]
    fn the_name_on_a_progress_bar_is_escaped() {
        let bar = of_file("a\u{1b}[2J\n\u{202e}.jpg", 1);
        assert_eq!(bar.message(), "a\\u{1b}[2J\\u{a}\\u{202e}.jpg");
    }
}
