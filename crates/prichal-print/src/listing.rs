//! The text of the `.txt` originals, on separate sheets.

use crate::clean;
use crate::form::{OriginalFile, PrintForm};
use crate::section::{note, section};
use crate::sheet::{BOTTOM, Ink, LEFT, Sheets, Style, WIDTH};
use crate::words::{Language, Word};
use crate::wrap::Wrap;

/// The largest number of sheets for the texts of one form.
pub const MAX_TEXT_PAGES: usize = 200;

const TEXT: Style = Style::regular(9.0, Ink::BLACK);
/// The width of a column in a text that is laid out with runs of spaces.
const COLUMN_WIDTH: f32 = TEXT.size * 0.58;
/// The largest length in bytes of a line that is laid out in columns.
const MAX_COLUMN_LINE_BYTES: usize = 1_000;
/// The lowest position of text, which leaves room for the note on omitted characters.
const TEXT_BOTTOM: f32 = BOTTOM - 20.0;

/// Prints the texts of all files that have one.
pub(crate) fn print(sheets: &mut Sheets, form: &PrintForm<'_>) {
    let mut listing = Listing {
        first: sheets.pages.len(),
        sheets,
        language: form.language,
        left_out: 0,
    };
    for file in &form.files {
        if let Some(text) = file.text {
            listing.file(file, text);
        }
    }
    listing.end();
}

struct Listing<'a> {
    sheets: &'a mut Sheets,
    language: Language,
    /// The number of sheets before the texts.
    first: usize,
    /// The number of omitted characters.
    left_out: usize,
}

impl Listing<'_> {
    fn file(&mut self, file: &OriginalFile<'_>, text: &str) {
        if !self.new_sheet() {
            self.left_out += text.chars().count();
            return;
        }
        let title = format!("{}: {}", Word::Text.word(self.language), file.name);
        section(self.sheets, &title, 0.0);
        if text.is_empty() {
            note(self.sheets, Word::TextEmpty.word(self.language));
        }
        self.text(text);
    }

    fn text(&mut self, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
            let left = self.line(&clean::line(line));
            if left > 0 {
                self.left_out += left + after.chars().count();
                return;
            }
            rest = after;
        }
    }

    /// Prints a line of the text. Returns the number of its characters that did not fit.
    fn line(&mut self, line: &str) -> usize {
        if let Some(pieces) = self.columns(line) {
            return if self.pieces(&pieces) {
                0
            } else {
                line.chars().count().max(1)
            };
        }
        let fonts = &self.sheets.fonts;
        // Only the lines that fit on the remaining sheets are wrapped.
        let wrap = Wrap::new(&fonts.regular, TEXT.size, WIDTH, line);
        let lines: Vec<String> = wrap.take(self.room()).map(str::to_owned).collect();
        let mut shown = 0;
        for line in &lines {
            if !self.pieces(&[(0.0, line)]) {
                break;
            }
            shown += line.chars().filter(|char| *char != ' ').count();
        }
        line.chars().filter(|char| *char != ' ').count() - shown
    }

    /// The largest number of lines that still fit.
    fn room(&self) -> usize {
        let sheets = MAX_TEXT_PAGES + 1 - self.used().min(MAX_TEXT_PAGES);
        // A sheet has fewer lines than that.
        sheets * 80
    }

    fn pieces(&mut self, pieces: &[(f32, &str)]) -> bool {
        if self.sheets.y + TEXT.leading() > TEXT_BOTTOM && !self.new_sheet() {
            return false;
        }
        for (x, text) in pieces {
            self.sheets.text(LEFT + x, self.sheets.y, TEXT, text);
        }
        self.sheets.y += TEXT.leading();
        true
    }

    /// Splits a line at runs of spaces into pieces with a position each, so that tables stay aligned in a
    /// proportional font. `None` if the line is too long.
    fn columns<'t>(&self, line: &'t str) -> Option<Vec<(f32, &'t str)>> {
        if line.len() > MAX_COLUMN_LINE_BYTES {
            return None;
        }
        let font = &self.sheets.fonts.regular;
        let (mut x, mut pieces) = (0.0, Vec::new());
        for (column, piece) in split(line) {
            let width = font.width(piece, TEXT.size);
            let from = f32::max(start(column, piece, width), x);
            x = from + width;
            if x > WIDTH {
                return None;
            }
            pieces.push((from, piece));
            x += font.advance(' ') * TEXT.size;
        }
        Some(pieces)
    }

    fn used(&self) -> usize {
        self.sheets.pages.len() - self.first
    }

    /// Starts a new sheet. Returns false if there are too many.
    fn new_sheet(&mut self) -> bool {
        let may = self.used() < MAX_TEXT_PAGES;
        if may {
            self.sheets.new_sheet();
        }
        may
    }

    fn end(&mut self) {
        if self.left_out > 0 {
            let text = Word::TextCut.word(self.language);
            note(self.sheets, &format!("{text} {}", self.left_out));
        }
    }
}

/// The position of a piece: text starts at its column, a number ends at its last column.
fn start(column: usize, piece: &str, width: f32) -> f32 {
    let cells = |count: usize| f32::from(u16::try_from(count).unwrap_or(u16::MAX)) * COLUMN_WIDTH;
    let mut chars = piece.chars();
    if column > 0 && chars.all(|char| char.is_ascii_digit() || " .,-+%".contains(char)) {
        cells(column + piece.len()) - width
    } else {
        cells(column)
    }
}

/// Splits a line at runs of two or more spaces. Returns each piece with its first column.
fn split(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let (mut rest, mut column) = (line, 0);
    std::iter::from_fn(move || {
        let text = rest.trim_start_matches(' ');
        if text.is_empty() {
            return None;
        }
        column += rest.len() - text.len();
        let (piece, after) = text.split_at(text.find("  ").unwrap_or(text.len()));
        let start = column;
        column += piece.chars().count();
        rest = after;
        Some((start, piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_spaces_separate_columns() {
        let pieces: Vec<_> = split("  имя и  сумма     12").collect();
        assert_eq!(pieces, [(2, "имя и"), (9, "сумма"), (19, "12")]);
        assert_eq!(split("").count(), 0);
    }
}
