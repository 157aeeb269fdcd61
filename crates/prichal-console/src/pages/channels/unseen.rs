//! The hidden characters of a script, which can make its code look different from what runs («Trojan Source»).

use std::fmt::Write as _;

use prichal_core::hidden::{self, HIDDEN, code_point};

use crate::words::{self, fill};

/// The maximum number of lines that the warning names, and of characters in each.
const MAX_LINES: usize = 20;
const MAX_POINTS: usize = 10;

/// The warning of a script, which the browser keeps up to date while somebody types.
pub(super) struct Unseen {
    /// Such as «Line 3: U+202E, U+2066».
    pub(super) lines: Vec<String>,
    /// The hidden characters as a class of a regular expression.
    pub(super) class: String,
    pub(super) max_lines: usize,
    pub(super) max_points: usize,
}

impl Unseen {
    pub(super) fn of(source: &str, w: &words::Channels) -> Self {
        let mut found = hidden::by_line(source);
        let first = found.by_ref().take(MAX_LINES);
        let mut lines: Vec<String> = first
            .map(|(number, chars)| fill(w.unseen_line, &[&number, &points(&chars)]))
            .collect();
        let more = found.count();
        if more > 0 {
            lines.push(fill(w.unseen_more, &[&more]));
        }
        Self {
            lines,
            class: class(),
            max_lines: MAX_LINES,
            max_points: MAX_POINTS,
        }
    }
}

fn points(chars: &[char]) -> String {
    let some = chars.iter().take(MAX_POINTS).map(|c| code_point(*c));
    let mut points = some.collect::<Vec<_>>().join(", ");
    if chars.len() > MAX_POINTS {
        points.push_str(", …");
    }
    points
}

fn class() -> String {
    HIDDEN
        .iter()
        .fold(String::new(), |mut class, (first, last)| {
            let (first, last) = (u32::from(*first), u32::from(*last));
            let _ = write!(class, "\\u{{{first:x}}}-\\u{{{last:x}}}");
            class
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Language;

    #[test]
    fn lines_are_named_within_bounds() {
        let w = words::Channels::of(Language::En);
        assert!(
            Unseen::of("log('ok ❤\u{fe0f}');\r\n\treturn 1;\n", w)
                .lines
                .is_empty()
        );
        let swapped = "if (role !== 'user\u{202e} \u{2066}') {\n}\nlet a\u{200b} = 1;";
        let lines = Unseen::of(swapped, w).lines;
        assert_eq!(lines, ["Line 1: U+202E, U+2066", "Line 3: U+200B"]);
        let long = format!("{}\n", "\u{3164}".repeat(11)).repeat(25);
        let lines = Unseen::of(&long, w).lines;
        assert_eq!(lines.len(), 21);
        assert!(lines[0].ends_with("U+3164, …"), "{}", lines[0]);
        assert_eq!(lines[0].matches("U+3164").count(), 10);
        assert_eq!(lines[20], "More lines: 5");
    }

    #[test]
    fn a_class_names_each_range() {
        assert!(
            class().starts_with(r"\u{0}-\u{8}\u{b}-\u{c}"),
            "{}",
            class()
        );
        assert!(class().ends_with(r"\u{e0000}-\u{e007f}"), "{}", class());
    }
}
