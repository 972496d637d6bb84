//! Measured figures: one list of them for people, for programs and for the repository.

use anyhow::Result;
use serde_json::{Value, json};

use crate::table::{Cell, Column, Table};

/// One measured number, and what it is held to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    /// Its name, which programs look it up by: `decode/msg/contiguous/instr`.
    pub(crate) row: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    better: Better,
    /// What it must not be worse than; `None` for a figure that stands beside ours for comparison.
    pub(crate) target: Option<f64>,
    /// What would be better still.
    pub(crate) aim: Option<f64>,
}

/// Which way a figure is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Better {
    Lower,
    Higher,
}

impl Figure {
    /// A figure without a target, of which less is better.
    pub(crate) fn lower(row: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { row: row.into(), value, unit, better: Better::Lower, target: None, aim: None }
    }

    /// A figure without a target, of which more is better.
    pub(crate) fn higher(row: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { better: Better::Higher, ..Self::lower(row, value, unit) }
    }

    /// Holds it to a target and an aim beyond that.
    pub(crate) fn held_to(mut self, target: f64, aim: f64) -> Self {
        (self.target, self.aim) = (Some(target), Some(aim));
        self
    }

    /// Whether the target is met; `None` where there is none.
    pub(crate) fn passes(&self) -> Option<bool> {
        self.target.map(|target| self.reaches(target))
    }

    fn reaches(&self, wanted: f64) -> bool {
        match self.better {
            Better::Lower => self.value <= wanted,
            Better::Higher => self.value >= wanted,
        }
    }

    fn json(&self) -> Value {
        json!({
            "row": self.row,
            "value": number(self.value),
            "unit": self.unit,
            "better": match self.better {
                Better::Lower => "lower",
                Better::Higher => "higher",
            },
            "target": self.target.map(number),
            "aim": self.aim.map(number),
            "pass": self.passes(),
        })
    }

    /// Target and aim, and in a word or two how the figure stands to them.
    fn verdict(&self) -> String {
        let (Some(target), Some(aim)) = (self.target, self.aim) else { return String::new() };
        if self.reaches(aim) {
            "aim reached".to_owned()
        } else if self.reaches(target) {
            format!("met, {} off the aim", shown((self.value - aim).abs()))
        } else {
            format!("MISSED by {}", shown((self.value - target).abs()))
        }
    }
}

/// One JSON object a line, for programs.
pub(crate) fn json_lines(figures: &[Figure]) -> String {
    figures.iter().map(|figure| format!("{}\n", figure.json())).collect()
}

/// A table for a terminal.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut table = Table::new([
        Column::elastic("Figure"),
        Column::right("Value"),
        Column::left("Unit"),
        Column::right("Target"),
        Column::right("Aim"),
        Column::left(""),
    ]);
    for figure in figures {
        let optional = |value: Option<f64>| Cell::plain(value.map(shown).unwrap_or_default());
        let verdict = figure.verdict();
        table.row([
            Cell::plain(figure.row.clone()),
            Cell::plain(shown(figure.value)),
            Cell::plain(figure.unit),
            optional(figure.target),
            optional(figure.aim),
            if figure.passes() == Some(false) { Cell::bad(verdict) } else { Cell::good(verdict) },
        ]);
    }
    table.render()
}

/// The same table in Markdown, for the repository.
pub(crate) fn markdown(figures: &[Figure]) -> String {
    let mut text = String::from("| figure | value | unit | target | aim | |\n|---|--:|---|--:|--:|---|\n");
    for figure in figures {
        let optional = |value: Option<f64>| value.map(shown).unwrap_or_default();
        text += &format!(
            "| `{}` | {} | {} | {} | {} | {} |\n",
            figure.row,
            shown(figure.value),
            figure.unit,
            optional(figure.target),
            optional(figure.aim),
            figure.verdict()
        );
    }
    text
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.as_slice() {
        [] => f64::NAN,
        values if values.len() % 2 == 1 => values[middle],
        values => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// As precise as it is shown, so that nobody misses a target by what they cannot see.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// With two decimal places, as far as they are none of zero.
fn shown(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn number(value: f64) -> Value {
    // As people see it, so that both tell the same.
    shown(value).parse().unwrap_or(Value::Null)
}

/// Prints the figures as `json` says, and nothing else on standard output.
pub(crate) fn print(figures: &[Figure], json: bool) -> Result<()> {
    use std::io::Write as _;
    let text = if json { json_lines(figures) } else { table(figures) };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_the_last_value_that_passes() {
        let figure = |value| Figure::lower("a/b", value, "B").held_to(10.0, 5.0);
        assert_eq!(figure(10.0).passes(), Some(true));
        assert_eq!(figure(10.1).passes(), Some(false));
        assert_eq!(figure(10.1).verdict(), "MISSED by 0.1");
        assert_eq!(figure(6.0).verdict(), "met, 1 off the aim");
        assert_eq!(figure(5.0).verdict(), "aim reached");
        assert_eq!(Figure::lower("a/b", 1.0, "B").passes(), None);
    }

    #[test]
    fn of_some_figures_more_is_better() {
        let figure = |value| Figure::higher("a/b", value, "x").held_to(0.95, 1.0);
        assert_eq!(figure(0.95).passes(), Some(true));
        assert_eq!(figure(0.94).passes(), Some(false));
        assert_eq!(figure(0.94).verdict(), "MISSED by 0.01");
        assert_eq!(figure(0.96).verdict(), "met, 0.04 off the aim");
        assert_eq!(figure(1.2).verdict(), "aim reached");
        assert_eq!(figure(1.2).json()["better"], "higher");
    }

    #[test]
    fn programs_get_one_object_a_line() {
        let figures = [Figure::lower("a", 3.0, "B").held_to(2.0, 1.5), Figure::lower("b", 0.25, "B")];
        assert_eq!(
            json_lines(&figures),
            "{\"aim\":1.5,\"better\":\"lower\",\"pass\":false,\"row\":\"a\",\"target\":2,\"unit\":\"B\",\"value\":3}\n\
             {\"aim\":null,\"better\":\"lower\",\"pass\":null,\"row\":\"b\",\"target\":null,\"unit\":\"B\",\"value\":0.25}\n"
        );
    }
}
