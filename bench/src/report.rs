//! The figures of a run: a Markdown table for people, and JSON with all raw values.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use crate::{clock, stats};

/// A row of the table.
pub struct Figure {
    pub what: String,
    pub engine: String,
    pub value: String,
    /// The target; empty if there is none.
    pub wanted: String,
    pub holds: Option<bool>,
}

#[derive(Default)]
pub struct Report {
    figures: Vec<Figure>,
    notes: Vec<String>,
    raw: Map<String, Value>,
}

impl Report {
    pub fn figure(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Adds a note that the reader of the figures must know.
    pub fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Stores raw values under the names of the drill and the engine.
    pub fn raw(&mut self, drill: &str, engine: &str, value: Value) {
        let drill = self.raw.entry(drill).or_insert_with(|| json!({}));
        drill[engine] = value;
    }

    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| what | engine | measured | wanted | holds |\n| --- | --- | --- | --- | --- |\n",
        );
        for figure in &self.figures {
            let holds = match figure.holds {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "",
            };
            let Figure {
                what,
                engine,
                value,
                wanted,
                ..
            } = figure;
            writeln!(text, "| {what} | {engine} | {value} | {wanted} | {holds} |")
                .expect("writing to a string succeeds");
        }
        for note in &self.notes {
            write!(text, "\n* {note}").expect("writing to a string succeeds");
        }
        text
    }

    /// Writes everything to a new file in `folder`.
    pub fn save(&self, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder)
            .with_context(|| format!("creating the folder {}", folder.display()))?;
        let path = folder.join(format!("figures-{}.json", clock::unix_seconds()));
        let figures = self.figures.iter().map(|figure| {
            json!({
                "what": figure.what, "engine": figure.engine, "measured": figure.value,
                "wanted": figure.wanted, "holds": figure.holds,
            })
        });
        let all = json!({
            "figures": figures.collect::<Vec<_>>(), "notes": self.notes, "raw": self.raw,
        });
        fs::write(&path, format!("{all:#}\n"))
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// Rounds `1234.5` to `1 230`. Such a measurement has three significant digits.
pub fn per_second(rate: f64) -> String {
    let mut text = format!("{:.0}", rounded(rate));
    for at in (1..text.len())
        .rev()
        .filter(|at| (text.len() - at).is_multiple_of(3))
        .collect::<Vec<_>>()
    {
        text.insert(at, ' ');
    }
    format!("{text}/s")
}

pub fn ms(millis: f64) -> String {
    match millis {
        ..1.0 => format!("{millis:.3} ms"),
        1.0..100.0 => format!("{millis:.2} ms"),
        _ => format!("{millis:.0} ms"),
    }
}

pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", stats::float(bytes) / 1e6)
}

/// Formats the median with the lowest and the highest value, as `0.171 (0.168 to 0.175)`.
pub fn spread(values: &[f64], digits: usize) -> String {
    let middle = stats::median(values);
    if values.len() < 2 {
        return format!("{middle:.digits$}");
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{middle:.digits$} ({low:.digits$} to {high:.digits$})")
}

fn rounded(value: f64) -> f64 {
    if value < 1000.0 {
        return value.round();
    }
    let unit = 10_f64.powf(value.log10().floor() - 2.0);
    (value / unit).round() * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_formatted_for_people() {
        for (rate, wanted) in [
            (0.0, "0/s"),
            (999.4, "999/s"),
            (1_234.5, "1 230/s"),
            (81_385.3, "81 400/s"),
            (1e6, "1 000 000/s"),
        ] {
            assert_eq!(per_second(rate), wanted);
        }
        for (millis, wanted) in [
            (0.0984, "0.098 ms"),
            (9.996, "10.00 ms"),
            (31_999.7, "32000 ms"),
        ] {
            assert_eq!(ms(millis), wanted);
        }
        assert_eq!(spread(&[0.2, 0.1, 0.3], 2), "0.20 (0.10 to 0.30)");
        assert_eq!(spread(&[0.2], 2), "0.20");
    }

    #[test]
    fn the_table_has_a_row_for_each_figure() {
        let mut report = Report::default();
        for holds in [Some(false), None] {
            report.figure(Figure {
                what: "w".into(),
                engine: "SQLite".into(),
                value: "1".into(),
                wanted: String::new(),
                holds,
            });
        }
        report.note("said once".into());
        report.note("said once".into());
        let text = report.markdown();
        assert!(
            text.contains("| w | SQLite | 1 |  | **no** |\n| w | SQLite | 1 |  |  |\n"),
            "{text}"
        );
        assert_eq!(text.matches("said once").count(), 1);
    }
}
