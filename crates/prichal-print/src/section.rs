//! Headings and full-width lines.

use crate::paragraph::Paragraph;
use crate::sheet::{Ink, LEFT, Sheets, Style, TOP, WIDTH};

const HEADING: Style = Style::bold(10.5, Ink::BLACK);
pub(crate) const NOTE: Style = Style::regular(8.5, Ink::GREY);

/// The space above a heading.
const SPACE_ABOVE: f32 = 17.0;
/// The space below a heading.
const SPACE_BELOW: f32 = 5.0;

/// Draws the heading of a section, on the same sheet as the first item below it, whose height is `first`.
pub(crate) fn section(sheets: &mut Sheets, title: &str, first: f32) {
    let title = Paragraph::new(&sheets.fonts, HEADING, title, WIDTH, 2);
    let height = title.height() + SPACE_BELOW;
    if !sheets.ensure_room(SPACE_ABOVE + height + first) && sheets.y > TOP {
        sheets.y += SPACE_ABOVE;
    }
    title.draw(sheets, LEFT, sheets.y);
    sheets.y += height;
}

pub(crate) fn note(sheets: &mut Sheets, text: &str) {
    line(sheets, NOTE, text);
}

/// Draws a string over the whole width.
pub(crate) fn line(sheets: &mut Sheets, style: Style, text: &str) {
    let lines = Paragraph::new(&sheets.fonts, style, text, WIDTH, 12);
    sheets.ensure_room(lines.height());
    sheets.y = lines.draw(sheets, LEFT, sheets.y);
}
