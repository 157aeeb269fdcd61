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
    /// Cleans and wraps an external string to `width`, with at most `at_most` lines.
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

    /// The vertical offset for sharing a base line with text in a larger style.
    pub(crate) fn drop(&self, beside: Style) -> f32 {
        (beside.size - self.style.size).max(0.0)
    }

    /// Draws the paragraph and returns its lower end.
    pub(crate) fn draw(&self, sheets: &mut Sheets, x: f32, y: f32) -> f32 {
        let mut y = y;
        for line in &self.lines {
            sheets.text(x, y, self.style, line);
            y += self.style.leading();
        }
        y
    }
}
