//! Characters that a reader does not see, or that change the order in which others are shown (Unicode Technical Reports
//! 36 and 55). Whoever writes them into a name, a body or a script makes it look like another one.

use std::fmt::Write as _;

/// The hidden characters, as ranges in order. Tabs and line breaks are none, nor are the variation selectors of emoji.
pub const HIDDEN: &[(char, char)] = &[
    // Controls.
    ('\0', '\u{8}'),
    ('\u{b}', '\u{c}'),
    ('\u{e}', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
    // The soft hyphen, the grapheme joiner, and the Arabic letter mark.
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    // Fillers, which are letters: a name of JavaScript may consist of them.
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180e}', '\u{180e}'),
    // Spaces and joiners without width, and directional marks.
    ('\u{200b}', '\u{200f}'),
    // Separators of lines and paragraphs, embeddings and overrides of the direction.
    ('\u{2028}', '\u{202e}'),
    // Invisible operators, isolates, and deprecated format characters.
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    // The mark of byte order.
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    // Interlinear annotations.
    ('\u{fff9}', '\u{fffb}'),
    // Tags.
    ('\u{e0000}', '\u{e007f}'),
];

/// True for a hidden character.
pub fn is_hidden(c: char) -> bool {
    // Most texts have none of the later ones.
    if c.is_ascii() {
        return c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r');
    }
    let at = HIDDEN.partition_point(|(_, last)| *last < c);
    HIDDEN.get(at).is_some_and(|(first, _)| *first <= c)
}

/// The name of a character, such as `U+202E`.
pub fn code_point(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

/// A text in which hidden characters are written as their code points, such as `<U+202E>`.
pub fn visible(text: &str) -> String {
    if !text.contains(is_hidden) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) {
            let _ = write!(shown, "<{}>", code_point(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The lines of a text, from 1, with the hidden characters of each.
pub fn by_line(text: &str) -> impl Iterator<Item = (usize, Vec<char>)> {
    let lines = text.split('\n').zip(1..);
    lines.filter_map(|(line, number)| {
        let found: Vec<char> = line.chars().filter(|c| is_hidden(*c)).collect();
        (!found.is_empty()).then_some((number, found))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_tells_what_is_hidden() {
        for (one, next) in HIDDEN.iter().zip(&HIDDEN[1..]) {
            assert!(one.0 <= one.1 && one.1 < next.0, "{one:?} {next:?}");
        }
        let is_listed = |c: char| {
            HIDDEN
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&c))
        };
        for c in '\0'..=char::MAX {
            assert_eq!(is_hidden(c), is_listed(c), "{}", code_point(c));
        }
        for range in [
            '\u{80}'..='\u{9f}',
            '\u{200b}'..='\u{200f}',
            '\u{202a}'..='\u{202e}',
            '\u{2060}'..='\u{2069}',
            '\u{fff9}'..='\u{fffb}',
            '\u{e0000}'..='\u{e007f}',
        ] {
            assert!(range.clone().all(is_hidden), "{range:?}");
        }
        for c in [
            '\0', '\u{1b}', '\u{7f}', '\u{ad}', '\u{61c}', '\u{2028}', '\u{2029}', '\u{feff}',
        ] {
            assert!(is_hidden(c), "{}", code_point(c));
        }
        for c in "a я қ \t\r\n\u{a0}\u{301}\u{fe0f}\u{e0100}😀".chars() {
            assert!(!is_hidden(c), "{}", code_point(c));
        }
    }

    #[test]
    fn hidden_characters_are_written_as_code_points() {
        for (text, shown) in [
            ("a\u{202e}b\u{0}c\nd", "a<U+202E>b<U+0000>c\nd"),
            ("\u{e0041}\u{ad}", "<U+E0041><U+00AD>"),
            ("❤\u{fe0f} ок", "❤\u{fe0f} ок"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn lines_with_hidden_characters_are_found() {
        let text = "a\u{200b}\r\nb\n\u{202e}\u{2066}";
        let found: Vec<_> = by_line(text).collect();
        assert_eq!(
            found,
            [(1, vec!['\u{200b}']), (3, vec!['\u{202e}', '\u{2066}'])]
        );
    }
}
