//! Cleaning of external strings for printing.

use std::borrow::Cow;

/// The replacement for a character that must not be printed.
const REPLACEMENT: char = '\u{FFFD}';

/// The largest length of a field in characters. Longer fields end with an ellipsis.
const MAX_FIELD_CHARS: usize = 2_000;

/// The distance of tab stops in columns.
const TAB_COLUMNS: usize = 8;

/// Cleans one line of a field: runs of blanks and line ends become single spaces.
pub(crate) fn field(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    for char in chars.by_ref().take(MAX_FIELD_CHARS) {
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

/// Cleans one line of a text: tabs become spaces, every other blank one space.
pub(crate) fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for char in text.chars() {
        let before = out.len();
        match char {
            '\t' => out.extend(std::iter::repeat_n(' ', TAB_COLUMNS - column % TAB_COLUMNS)),
            char if char.is_whitespace() => out.push(' '),
            char => push(&mut out, char),
        }
        column += out.get(before..).map_or(0, |new| new.chars().count());
    }
    out.truncate(out.trim_end().len());
    out
}

/// Cleans an address. Nearly always it is returned unchanged.
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

/// True for invisible characters that would break a search for the words around them.
fn invisible(char: char) -> bool {
    matches!(char, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}')
        || matches!(char, '\u{FE00}'..='\u{FE0F}' | '\u{E0000}'..='\u{E0FFF}')
}

/// True for controls and noncharacters. Those that change the direction of text are shown as replacement characters,
/// because they are used to deceive.
fn unprintable(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{206F}')
        || matches!(char, '\u{FDD0}'..='\u{FDEF}' | '\u{FFF9}'..='\u{FFFB}')
        || u32::from(char) & 0xFFFE == 0xFFFE
}

/// Composes a base letter and a combining mark. Some systems write file names decomposed: и and a breve for й.
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
    fn deceptive_characters_are_shown() {
        assert_eq!(field("счёт\u{202E}fdp.exe"), "счёт\u{FFFD}fdp.exe");
        assert_eq!(field("a\0b\u{7F}c\u{9B}"), "a\u{FFFD}b\u{FFFD}c\u{FFFD}");
        assert_eq!(field("\u{FFFF}\u{1FFFE}"), "\u{FFFD}\u{FFFD}");
    }

    #[test]
    fn decomposed_letters_are_composed() {
        assert_eq!(field("и\u{306}од е\u{308}ж"), "йод ёж");
    }

    #[test]
    fn a_long_field_is_cut() {
        let long = field(&"я".repeat(10_000));
        assert_eq!(long.chars().count(), MAX_FIELD_CHARS + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn a_line_keeps_its_columns() {
        assert_eq!(line("а\tб  в\r"), "а       б  в");
        assert_eq!(line("   "), "");
        assert_eq!(address("https://x/й"), "https://x/й");
    }
}
