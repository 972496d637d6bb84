//! Tables for people: columns that line up, whatever the names in them, within 100 columns.

use std::fmt::Write as _;

use console::{Alignment, Style, measure_text_width, pad_str, style};

/// A table. Its widths are computed when it is [rendered](Self::render).
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// A column's head and how its cells are set.
pub(crate) struct Column {
    head: &'static str,
    alignment: Alignment,
    elastic: bool,
}

/// One cell: its text and, on a terminal, its colour.
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Table {
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row, which has a cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<_> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// The table as lines that end in a line feed.
    pub(crate) fn render(&self) -> String {
        let widths = self.widths();
        let rule = |left: &str, cross: &str, right: &str| {
            let spans: Vec<_> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
            format!("{}\n", style(format!("{left}{}{right}", spans.join(cross))).dim())
        };
        let line = |cells: Vec<String>| {
            let edge = style("│").dim().to_string();
            format!("{edge} {} {edge}\n", cells.join(&format!(" {edge} ")))
        };
        let mut text = rule("╭", "┬", "╮");
        text += &line(
            self.columns
                .iter()
                .zip(&widths)
                .map(|(column, &width)| {
                    style(pad_str(column.head, width, column.alignment, None)).bold().to_string()
                })
                .collect(),
        );
        text += &rule("├", "┼", "┤");
        for row in &self.rows {
            text += &line(
                row.iter()
                    .zip(self.columns.iter().zip(&widths))
                    .map(|(cell, (column, &width))| {
                        let text = shortened(&cell.text, width);
                        cell.style.apply_to(pad_str(&text, width, column.alignment, None)).to_string()
                    })
                    .collect(),
            );
        }
        text += &rule("╰", "┴", "╯");
        text
    }

    /// As wide as the widest cell; elastic columns share what is left of [`WIDTH`].
    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<_> = (0..self.columns.len())
            .map(|index| {
                let cells = self.rows.iter().map(|row| measure_text_width(&row[index].text));
                cells.chain([measure_text_width(self.columns[index].head)]).max().unwrap_or(0)
            })
            .collect();
        let frame = 3 * widths.len() + 1;
        let mut excess = (frame + widths.iter().sum::<usize>()).saturating_sub(WIDTH);
        for (width, column) in widths.iter_mut().zip(&self.columns) {
            if column.elastic {
                let cut = excess.min(width.saturating_sub(NARROWEST));
                *width -= cut;
                excess -= cut;
            }
        }
        widths
    }
}

impl Column {
    pub(crate) fn left(head: &'static str) -> Self {
        Self { head, alignment: Alignment::Left, elastic: false }
    }

    pub(crate) fn right(head: &'static str) -> Self {
        Self { head, alignment: Alignment::Right, elastic: false }
    }

    /// A column whose cells are shortened when the table would get too wide.
    pub(crate) fn elastic(head: &'static str) -> Self {
        Self { head, alignment: Alignment::Left, elastic: true }
    }
}

impl Cell {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::new() }
    }

    pub(crate) fn good(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::new().green() }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::new().red().bold() }
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A name as it can be shown, and as the device reports it: what does not show, changes how other text shows, or is a
/// backslash is written as `\xNN` for each of its bytes.
pub(crate) fn printable(name: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c,
                '\\' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if hidden(c) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(text, "\\x{byte:02x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// At most `width` columns: the middle goes, since a name's end tells its kind.
fn shortened(text: &str, width: usize) -> String {
    if measure_text_width(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let head = take(text.chars(), room - room / 2);
    let tail: String = take(text.chars().rev(), room / 2).chars().rev().collect();
    format!("{head}…{tail}")
}

/// As many characters as fit into `width` columns.
fn take(text: impl Iterator<Item = char>, width: usize) -> String {
    let mut taken = String::new();
    for c in text {
        taken.push(c);
        if measure_text_width(&taken) > width {
            taken.pop();
            break;
        }
    }
    taken
}

/// Columns of the narrowest terminal that tables are made for.
pub(crate) const WIDTH: usize = 100;
const NARROWEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(table: &Table) -> Vec<String> {
        console::set_colors_enabled(false);
        table.render().lines().map(str::to_owned).collect()
    }

    #[test]
    fn cells_line_up() {
        let mut table = Table::new([Column::left("What"), Column::right("Bytes")]);
        table.row([Cell::plain("a"), Cell::plain(thousands(1_234))]);
        table.row([Cell::good("größer.txt"), Cell::bad("0")]);
        assert_eq!(
            lines(&table),
            [
                "╭────────────┬───────╮",
                "│ What       │ Bytes │",
                "├────────────┼───────┤",
                "│ a          │ 1,234 │",
                "│ größer.txt │     0 │",
                "╰────────────┴───────╯",
            ]
        );
    }

    #[test]
    fn long_names_are_shortened_to_fit() {
        let mut table = Table::new([Column::elastic("What"), Column::right("Bytes")]);
        table.row([Cell::plain("x".repeat(300) + ".tar.gz"), Cell::plain(thousands(u64::MAX))]);
        table.row([Cell::plain("写".repeat(90) + ".jpg"), Cell::plain("1")]);
        for line in lines(&table) {
            assert_eq!(measure_text_width(&line), WIDTH, "{line}");
        }
        let [plain, wide] = [&lines(&table)[3], &lines(&table)[4]];
        assert!(
            plain.starts_with("│ xxx") && plain.contains("x…x") && plain.contains("x.tar.gz │"),
            "{plain}"
        );
        assert!(wide.starts_with("│ 写写") && wide.contains("写…写") && wide.contains("写.jpg"), "{wide}");
    }

    #[test]
    fn thousands_are_separated() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (67_108_864, "67,108,864")] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn names_cannot_play_with_the_terminal() {
        assert_eq!(printable("é 写.txt"), "é 写.txt");
        assert_eq!(printable("a\u{1b}[2J\n"), r"a\x1b[2J\x0a");
        assert_eq!(printable("gpj\u{202e}.exe"), r"gpj\xe2\x80\xae.exe");
        assert_eq!(printable(r"a\b"), r"a\x5cb");
    }
}
