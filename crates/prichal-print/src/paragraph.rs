//! A few lines in one style.

use crate::clean;
use crate::font::Fonts;
use crate::sheet::{Sheets, Style};
use crate::wrap::Wrap;

pub(crate) struct Paragraph {
    style: Style,
    lines: Vec<String>,
}

impl Paragraph {
    /// A string from outside, cleaned, in at most so many lines of the width.
    pub(crate) fn new(fonts: &Fonts, style: Style, text: &str, width: f32, at_most: usize) -> Self {
        let text = clean::field(text);
        let font = fonts.get(style.weight);
        Self {
            style,
            lines: Wrap::new(font, style.size, width, &text).at_most(at_most),
        }
    }

    pub(crate) fn height(&self) -> f32 {
        self.lines.iter().map(|_| self.style.leading()).sum()
    }

    /// How much lower it must be to stand on one line with a text in a larger style.
    pub(crate) fn drop(&self, beside: Style) -> f32 {
        (beside.size - self.style.size).max(0.0)
    }

    /// Draws it and says where it ends.
    pub(crate) fn draw(&self, sheets: &mut Sheets, x: f32, y: f32) -> f32 {
        let mut y = y;
        for line in &self.lines {
            sheets.text(x, y, self.style, line);
            y += self.style.leading();
        }
        y
    }
}
