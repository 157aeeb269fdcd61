//! Headings and the lines under them.

use crate::paragraph::Paragraph;
use crate::sheet::{Ink, LEFT, Sheets, Style, TOP, WIDTH};

const HEADING: Style = Style::bold(10.5, Ink::BLACK);
pub(crate) const NOTE: Style = Style::regular(8.5, Ink::GREY);

/// Over a heading.
const AIR: f32 = 17.0;
/// Under a heading.
const GAP: f32 = 5.0;

/// The heading of a section, on the same sheet as the first of what it heads.
pub(crate) fn section(sheets: &mut Sheets, title: &str, first: f32) {
    let title = Paragraph::new(&sheets.fonts, HEADING, title, WIDTH, 2);
    let height = title.height() + GAP;
    if !sheets.need(AIR + height + first) && sheets.y > TOP {
        sheets.y += AIR;
    }
    title.draw(sheets, LEFT, sheets.y);
    sheets.y += height;
}

pub(crate) fn note(sheets: &mut Sheets, text: &str) {
    line(sheets, NOTE, text);
}

/// A string over the whole width.
pub(crate) fn line(sheets: &mut Sheets, style: Style, text: &str) {
    let lines = Paragraph::new(&sheets.fonts, style, text, WIDTH, 12);
    sheets.need(lines.height());
    sheets.y = lines.draw(sheets, LEFT, sheets.y);
}
