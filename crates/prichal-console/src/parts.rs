//! View models of parts that many pages have; `templates/parts.html` shows them.

pub(crate) use prichal_core::hidden::visible;

use crate::words::{Common, fill};

/// A state in a word and a shape, never by colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) tone: Tone,
    pub(crate) word: &'static str,
}

/// The weight of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Waiting,
    Bad,
    Off,
}

impl Tone {
    /// The name of its style.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Waiting => "waiting",
            Self::Bad => "bad",
            Self::Off => "off",
        }
    }

    /// The shape beside the word.
    pub(crate) const fn shape(self) -> &'static str {
        match self {
            Self::Good => "●",
            Self::Waiting => "◆",
            Self::Bad => "▲",
            Self::Off => "■",
        }
    }
}

/// A choice of a `<select>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) value: String,
    pub(crate) word: String,
    pub(crate) is_chosen: bool,
}

/// The choices of a `<select>`, with the chosen value marked.
pub(crate) fn choices<'a>(
    chosen: &str,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<Choice> {
    let choice = |(value, word): (&str, &str)| Choice {
        value: value.to_owned(),
        word: word.to_owned(),
        is_chosen: value == chosen,
    };
    pairs.into_iter().map(choice).collect()
}

/// The maximum number of bytes of a text that is shown without being asked for.
const MAX_TEXT: usize = 64 << 10;

/// A text from outside: a body, an answer, a log. JSON is indented; a long one is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) shown: String,
    /// The size of the whole in bytes.
    pub(crate) size: usize,
    pub(crate) is_cut: bool,
}

impl Text {
    /// The beginning of a text, or all of it.
    pub(crate) fn new(text: &str, is_whole: bool) -> Self {
        Self::within(text, if is_whole { usize::MAX } else { MAX_TEXT })
    }

    /// The beginning of a text, at most `limit` bytes of it.
    pub(crate) fn within(text: &str, limit: usize) -> Self {
        let size = text.len();
        let mut shown = indented(text);
        let is_cut = shown.len() > limit;
        if is_cut {
            let end = (0..=limit).rev().find(|end| shown.is_char_boundary(*end));
            shown.truncate(end.unwrap_or(0));
        }
        Self {
            shown: visible(&shown),
            size,
            is_cut,
        }
    }
}

impl Text {
    /// The shown part of a cut text, in a sentence.
    pub(crate) fn cut_sentence(&self, c: &Common) -> String {
        fill(c.cut, &[&self.shown.len(), &self.size])
    }
}

/// JSON with indents; any other text as it is. Numbers and the order of members stay.
fn indented(text: &str) -> String {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
        return text.to_owned();
    };
    if !(value.is_object() || value.is_array()) {
        return text.to_owned();
    }
    serde_json::to_string_pretty(&value).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_numbers_stay() {
        let text = Text::new(r#"{"b":1.50,"a":[]}"#, false);
        assert_eq!(text.shown, "{\n  \"b\": 1.50,\n  \"a\": []\n}");
        assert_eq!(text.size, 17);
        assert_eq!(Text::new("not json", false).shown, "not json");
        assert_eq!(Text::new("17", false).shown, "17");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "é".repeat(MAX_TEXT);
        let cut = Text::new(&long, false);
        assert!(cut.is_cut && cut.shown.len() <= MAX_TEXT && cut.size == 2 * MAX_TEXT);
        assert!(!Text::new(&long, true).is_cut);
    }
}
