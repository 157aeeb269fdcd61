//! Strings from outside, made printable.

use std::borrow::Cow;

/// What stands for a character that must not be printed.
const REPLACEMENT: char = '\u{FFFD}';

/// No field of a form is longer; more is cut with an ellipsis.
const FIELD: usize = 2_000;

/// A tab reaches to the next multiple of so many columns.
const TAB: usize = 8;

/// One line of a field: blanks and line ends become single spaces.
pub(crate) fn field(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    for char in chars.by_ref().take(FIELD) {
        if char.is_whitespace() {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
        } else {
            push(&mut out, char);
        }
    }
    out.truncate(out.trim_end().len());
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

/// One line of a text: tabs become spaces, other blanks one space each.
pub(crate) fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for char in text.chars() {
        let before = out.len();
        match char {
            '\t' => out.extend(std::iter::repeat_n(' ', TAB - column % TAB)),
            char if char.is_whitespace() => out.push(' '),
            char => push(&mut out, char),
        }
        column += out.get(before..).map_or(0, |new| new.chars().count());
    }
    out.truncate(out.trim_end().len());
    out
}

/// An address without what could not be printed; nearly always the same string.
pub(crate) fn address(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(field(text))
    }
}

fn push(out: &mut String, char: char) {
    match char {
        char if invisible(char) => {}
        '\u{300}'..='\u{308}' => compose(out, char),
        char if unprintable(char) => out.push(REPLACEMENT),
        char => out.push(char),
    }
}

/// What would only break searching for the words around it.
fn invisible(char: char) -> bool {
    matches!(char, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}')
        || matches!(char, '\u{FE00}'..='\u{FE0F}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Controls and noncharacters; those that turn the direction of text are used to deceive, so they
/// are shown.
fn unprintable(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{206F}')
        || matches!(char, '\u{FDD0}'..='\u{FDEF}' | '\u{FFF9}'..='\u{FFFB}')
        || u32::from(char) & 0xFFFE == 0xFFFE
}

/// Some systems write the names of files with marks of their own: и and a breve for й.
fn compose(out: &mut String, mark: char) {
    let whole = match (out.chars().next_back(), mark) {
        (Some('и'), '\u{306}') => 'й',
        (Some('И'), '\u{306}') => 'Й',
        (Some('у'), '\u{306}') => 'ў',
        (Some('У'), '\u{306}') => 'Ў',
        (Some('е'), '\u{308}') => 'ё',
        (Some('Е'), '\u{308}') => 'Ё',
        (Some('і'), '\u{308}') => 'ї',
        (Some('І'), '\u{308}') => 'Ї',
        _ => return out.push(mark),
    };
    out.pop();
    out.push(whole);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_one_line() {
        assert_eq!(
            field("  Акт\r\n\tсверки \u{A0} №\u{2028}1 "),
            "Акт сверки № 1"
        );
        assert_eq!(field("\u{FEFF}сло\u{AD}во"), "слово");
        assert_eq!(field(""), "");
    }

    #[test]
    fn what_deceives_is_shown() {
        assert_eq!(field("счёт\u{202E}fdp.exe"), "счёт\u{FFFD}fdp.exe");
        assert_eq!(field("a\0b\u{7F}c\u{9B}"), "a\u{FFFD}b\u{FFFD}c\u{FFFD}");
        assert_eq!(field("\u{FFFF}\u{1FFFE}"), "\u{FFFD}\u{FFFD}");
    }

    #[test]
    fn letters_are_put_together() {
        assert_eq!(field("и\u{306}од е\u{308}ж"), "йод ёж");
    }

    #[test]
    fn a_long_field_is_cut() {
        let long = field(&"я".repeat(10_000));
        assert_eq!(long.chars().count(), FIELD + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn a_line_keeps_its_columns() {
        assert_eq!(line("а\tб  в\r"), "а       б  в");
        assert_eq!(line("   "), "");
        assert_eq!(address("https://x/й"), "https://x/й");
    }
}
