//! Charts as SVG: pure functions of numbers. Each has a text for those who cannot see it, and no words of its own.
//!
//! A chart is stretched to the width of its place, so it has no text inside; labels are HTML around it.

use std::fmt::{self, Display, Formatter, Write as _};

use askama::filters::HtmlSafe;

/// A chart, ready for a template. What came from outside is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chart(String);

impl Display for Chart {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Chart {}

/// The successes and failures of a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) good: u64,
    pub(crate) bad: u64,
}

/// The width of a column with the gap behind it.
const STEP: u64 = 4;
/// The height of a sparkline above its base, and below it.
const ABOVE: f64 = 18.0;
const BELOW: f64 = 6.0;
/// The lowest column that can be seen.
const LOWEST: f64 = 1.0;

/// A sparkline: successes stand on the base, failures hang below it, so that they differ without colours.
///
/// `text` says the same in words.
pub(crate) fn sparkline(tallies: &[Tally], text: &str) -> Chart {
    let width = tallies.len() as u64 * STEP;
    let height = ABOVE + BELOW;
    let good = tallies.iter().map(|one| one.good).max().unwrap_or(0);
    let bad = tallies.iter().map(|one| one.bad).max().unwrap_or(0);
    let mut svg = open("spark", width, height, text);
    let _ = write!(svg, r#"<path class="base" d="M0 {ABOVE}H{width}"></path>"#);
    for (x, one) in (0..width).step_by(4).zip(tallies) {
        let up = share(one.good, good, ABOVE);
        rect(&mut svg, "", x, ABOVE - up, up);
        rect(&mut svg, "bad", x, ABOVE, share(one.bad, bad, BELOW));
    }
    svg.push_str("</svg>");
    Chart(svg)
}

/// A column of a chart: its label, and the number of each series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) label: String,
    pub(crate) parts: Vec<u64>,
}

/// The height of a chart of columns.
const HEIGHT: f64 = 100.0;
/// The maximum number of labels below a chart.
const MAX_LABELS: usize = 8;

/// Stacked columns, for instance of hours or days. `series` are the names of their parts, from the base upwards; their
/// colours are the classes `s0`, `s1`, …. `text` says the same in words.
pub(crate) fn columns(columns: &[Column], series: &[&str], text: &str) -> Chart {
    let sum = |column: &Column| column.parts.iter().sum::<u64>();
    let max = columns.iter().map(sum).max().unwrap_or(0);
    let width = columns.len() as u64 * STEP;
    let mut html = String::from("<figure class=\"chart\"><figcaption>");
    for (number, name) in series.iter().enumerate() {
        let _ = write!(
            html,
            r#"<span class="series s{number}">{}</span> "#,
            escape(name)
        );
    }
    let _ = write!(html, r#"<span class="most">{max}</span></figcaption>"#);
    html.push_str(&open("columns", width, HEIGHT, text));
    for (x, column) in (0..width).step_by(4).zip(columns) {
        let _ = write!(html, "<g><title>{}", escape(&column.label));
        for (name, value) in series.iter().zip(&column.parts) {
            let _ = write!(html, " · {}: {value}", escape(name));
        }
        html.push_str("</title>");
        let mut top = HEIGHT;
        for (number, value) in column.parts.iter().enumerate() {
            let up = share(*value, max, HEIGHT);
            top -= up;
            rect(&mut html, &format!("s{number}"), x, top.max(0.0), up);
        }
        html.push_str("</g>");
    }
    html.push_str("</svg>");
    labels(&mut html, columns);
    html.push_str("</figure>");
    Chart(html)
}

/// The labels below the columns: of every column, or of every second, third, ….
fn labels(html: &mut String, columns: &[Column]) {
    let step = columns.len().div_ceil(MAX_LABELS).max(1);
    // Groups of one size stand exactly below their columns.
    let step = (step..=columns.len())
        .find(|step| columns.len().is_multiple_of(*step))
        .unwrap_or(step);
    html.push_str(r#"<div class="axis" aria-hidden="true">"#);
    for group in columns.chunks(step) {
        if let Some(first) = group.first() {
            let _ = write!(html, "<span>{}</span>", escape(&first.label));
        }
    }
    html.push_str("</div>");
}

/// A line of [`bars`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: u64,
    /// The value as people read it.
    pub(crate) shown: String,
}

/// Horizontal bars with their labels and values: a table, so it needs no text beside it.
pub(crate) fn bars(bars: &[Bar], caption: &str) -> Chart {
    let max = bars.iter().map(|bar| bar.value).max().unwrap_or(0);
    let mut html = format!(
        "<table class=\"bars\"><caption>{}</caption>\n",
        escape(caption)
    );
    for bar in bars {
        let _ = writeln!(
            html,
            r#"<tr><th scope="row">{}</th><td><svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect width="{}" height="4"></rect></svg></td><td class="number">{}</td></tr>"#,
            escape(&bar.label),
            number(share(bar.value, max, 100.0)),
            escape(&bar.shown),
        );
    }
    html.push_str("</table>");
    Chart(html)
}

fn open(class: &str, width: u64, height: f64, text: &str) -> String {
    format!(
        r#"<svg class="{class}" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" aria-label="{}">"#,
        escape(text),
    )
}

fn rect(svg: &mut String, class: &str, x: u64, y: f64, height: f64) {
    if height <= 0.0 {
        return;
    }
    let class = if class.is_empty() {
        String::new()
    } else {
        format!(r#" class="{class}""#)
    };
    let _ = write!(
        svg,
        r#"<rect{class} x="{x}" y="{}" width="{}" height="{}"></rect>"#,
        number(y),
        STEP - 1,
        number(height),
    );
}

/// The height of a value, if the largest has the whole height. One that is not zero can be seen.
#[expect(
    clippy::cast_precision_loss,
    reason = "a pixel is far coarser than the loss"
)]
fn share(value: u64, max: u64, height: f64) -> f64 {
    if value == 0 || max == 0 {
        return 0.0;
    }
    (value as f64 / max as f64 * height).max(LOWEST)
}

/// A coordinate with two decimals at most.
fn number(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A text for HTML, also inside a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn tally(good: u64, bad: u64) -> Tally {
        Tally { good, bad }
    }

    fn column(label: &str, parts: &[u64]) -> Column {
        Column {
            label: label.to_owned(),
            parts: parts.to_vec(),
        }
    }

    #[test]
    fn a_sparkline_has_failures_below_its_base() {
        let chart = sparkline(&[tally(10, 0), tally(0, 0), tally(5, 1)], "16").0;
        assert_eq!(
            chart,
            "<svg class=\"spark\" viewBox=\"0 0 12 24\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"16\">\
             <path class=\"base\" d=\"M0 18H12\"></path>\
             <rect x=\"0\" y=\"0\" width=\"3\" height=\"18\"></rect>\
             <rect x=\"8\" y=\"9\" width=\"3\" height=\"9\"></rect>\
             <rect class=\"bad\" x=\"8\" y=\"18\" width=\"3\" height=\"6\"></rect></svg>"
        );
    }

    #[test]
    fn a_small_value_beside_a_large_one_is_seen() {
        let heights = [(1, 1_000_000), (0, 1_000_000), (u64::MAX, u64::MAX)]
            .map(|(value, max)| share(value, max, 18.0).to_string());
        assert_eq!(heights, ["1", "0", "18"]);
    }

    #[test]
    fn columns_are_stacked_and_labelled() {
        let hours: Vec<_> = (0..24)
            .map(|hour| column(&format!("{hour}:00"), &[hour, 23 - hour]))
            .collect();
        let chart = columns(&hours, &["answered", "missed"], "a day").0;
        testing::check_part(&chart);
        assert_eq!(chart.matches("<g><title>").count(), 24);
        assert!(chart.contains("<title>3:00 · answered: 3 · missed: 20</title>"));
        assert!(chart.contains(
            "<span>0:00</span><span>3:00</span><span>6:00</span><span>9:00</span><span>12:00</span>"
        ));
        assert_eq!(chart.matches("<span>").count(), 8);
    }

    #[test]
    fn nothing_is_a_chart_as_well() {
        for chart in [
            sparkline(&[], "none"),
            sparkline(&[Tally::default(); 24], "none"),
            columns(&[], &["a"], "none"),
            bars(&[], "none"),
        ] {
            testing::check_part(&chart.0);
            assert!(
                !chart.0.contains("NaN") && !chart.0.contains("<rect"),
                "{}",
                chart.0
            );
        }
    }

    #[test]
    fn texts_from_outside_stay_texts() {
        let hostile = testing::HOSTILE;
        let bar = Bar {
            label: hostile.to_owned(),
            value: 1,
            shown: hostile.to_owned(),
        };
        for chart in [
            sparkline(&[tally(1, 1)], hostile),
            columns(&[column(hostile, &[1])], &[hostile], hostile),
            bars(&[bar], hostile),
        ] {
            testing::check_part(&chart.0);
            testing::check_hostile(&chart.0);
        }
    }
}
