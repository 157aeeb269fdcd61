//! Line breaking.

use crate::font::Font;

/// The largest number of characters of a line. It bounds lines of characters without a width.
const MAX_LINE_CHARS: usize = 400;

/// The lines of a text, each not wider than `width`. A line ends at a space if possible, else anywhere.
pub(crate) struct Wrap<'a> {
    pub(crate) rest: &'a str,
    font: &'a Font,
    size: f32,
    width: f32,
}

impl<'a> Wrap<'a> {
    pub(crate) fn new(font: &'a Font, size: f32, width: f32, text: &'a str) -> Self {
        Self {
            rest: text,
            font,
            size,
            width,
        }
    }

    /// Returns at most `count` lines. If the text is longer, the last line ends with an ellipsis.
    pub(crate) fn at_most(mut self, count: usize) -> Vec<String> {
        let mut lines: Vec<String> = self.by_ref().take(count).map(str::to_owned).collect();
        if let (false, Some(last)) = (self.rest.is_empty(), lines.last_mut()) {
            self.shorten(last);
        }
        lines
    }

    fn shorten(&self, line: &mut String) {
        line.push('…');
        while self.font.width(line, self.size) > self.width && line.chars().count() > 1 {
            line.truncate(line.len() - '…'.len_utf8());
            line.pop();
            line.push('…');
        }
    }

    /// The end of the next line.
    fn end(&self) -> usize {
        let (mut width, mut space) = (0.0, None);
        for ((at, char), count) in self.rest.char_indices().zip(0..) {
            width += self.font.advance(char) * self.size;
            if char == ' ' {
                space = Some(at + 1);
            } else if at > 0 && (width > self.width || count >= MAX_LINE_CHARS) {
                return space.unwrap_or(at);
            }
        }
        self.rest.len()
    }
}

impl<'a> Iterator for Wrap<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_at(self.end());
        self.rest = rest.trim_start_matches(' ');
        Some(line.trim_end_matches(' '))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::font::Fonts;

    fn lines(text: &str, width: f32, count: usize) -> Vec<String> {
        let fonts = Fonts::new().unwrap();
        let lines = Wrap::new(&fonts.regular, 10.0, width, text).at_most(count);
        for line in &lines {
            assert!(fonts.regular.width(line, 10.0) <= width, "{line}");
        }
        lines
    }

    #[test]
    fn lines_end_at_spaces() {
        assert_eq!(lines("акт сверки", 40.0, 9), ["акт", "сверки"]);
        assert_eq!(lines("акт сверки", 90.0, 9), ["акт сверки"]);
        assert_eq!(lines("", 40.0, 9), [""; 0]);
    }

    #[test]
    fn a_long_word_is_broken() {
        let lines = lines(&"ж".repeat(10_000), 100.0, 20_000);
        assert_eq!(lines.concat(), "ж".repeat(10_000));
    }

    #[test]
    fn lines_of_zero_width_marks_are_broken() {
        let lines = lines(&"\u{301}".repeat(1_000), 100.0, 9);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn text_that_does_not_fit_is_cut() {
        let lines = lines("один два три четыре пять", 40.0, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with('…'));
    }
}
