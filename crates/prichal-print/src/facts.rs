//! Lists of labels with values.

use crate::font::Fonts;
use crate::paragraph::Paragraph;
use crate::sheet::{Sheets, Style};

/// The layout of a list of facts.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    pub(crate) label: Style,
    pub(crate) value: Style,
    /// The width of the labels with the gap after them.
    pub(crate) indent: f32,
    /// The width of the values.
    pub(crate) width: f32,
    /// The gap between two facts.
    pub(crate) gap: f32,
    /// The largest number of lines of a value.
    pub(crate) lines: usize,
}

pub(crate) struct Facts {
    look: Look,
    rows: Vec<(Paragraph, Paragraph)>,
}

impl Facts {
    pub(crate) fn new(look: Look) -> Self {
        Self {
            look,
            rows: Vec::new(),
        }
    }

    /// Adds a fact, unless its value is empty.
    pub(crate) fn add(&mut self, fonts: &Fonts, label: &str, value: &str) {
        self.add_styled(fonts, label, value, self.look.value);
    }

    pub(crate) fn add_styled(&mut self, fonts: &Fonts, label: &str, value: &str, style: Style) {
        let look = self.look;
        let value = Paragraph::new(fonts, style, value, look.width, look.lines);
        if value.height() > 0.0 {
            let label = Paragraph::new(fonts, look.label, label, look.indent - 4.0, 2);
            self.rows.push((label, value));
        }
    }

    pub(crate) fn height(&self) -> f32 {
        let rows = self.rows.iter();
        let sum: f32 = rows.map(|row| height(row) + self.look.gap).sum();
        (sum - self.look.gap).max(0.0)
    }

    /// Draws all facts in one place, from the top left corner.
    pub(crate) fn draw(&self, sheets: &mut Sheets, x: f32, y: f32) {
        let mut y = y;
        for row in &self.rows {
            self.draw_row(sheets, row, x, y);
            y += height(row) + self.look.gap;
        }
    }

    /// Draws the facts one below the other, across sheets if needed.
    pub(crate) fn flow(&self, sheets: &mut Sheets, x: f32) {
        for row in &self.rows {
            sheets.ensure_room(height(row));
            self.draw_row(sheets, row, x, sheets.y);
            sheets.y += height(row) + self.look.gap;
        }
    }

    fn draw_row(&self, sheets: &mut Sheets, row: &(Paragraph, Paragraph), x: f32, y: f32) {
        // Label and value share a base line although their sizes differ.
        let drop = row.0.drop(self.look.value);
        row.0.draw(sheets, x, y + drop);
        row.1.draw(sheets, x + self.look.indent, y);
    }
}

fn height(row: &(Paragraph, Paragraph)) -> f32 {
    row.0.height().max(row.1.height())
}
