//! Tables that continue over sheets, with repeated heads.

use crate::font::Fonts;
use crate::paragraph::Paragraph;
use crate::section::section;
use crate::sheet::{Area, Ink, LEFT, Sheets, Style, WIDTH};

const HEAD: Style = Style::bold(7.5, Ink::GREY);
pub(crate) const BODY: Style = Style::regular(8.5, Ink::BLACK);
pub(crate) const STRONG: Style = Style::bold(8.5, Ink::BLACK);
pub(crate) const SMALL: Style = Style::regular(7.5, Ink::GREY);

/// The space above and below the text of a cell.
const PAD_Y: f32 = 3.5;
/// The space left and right of the text of a cell.
const PAD_X: f32 = 5.0;
/// The largest number of lines of a cell's part, so that no row is higher than a sheet.
const MAX_CELL_LINES: usize = 12;

/// A part of a cell: its style and its text.
pub(crate) type Part<'a> = (Style, &'a str);

pub(crate) struct Table {
    title: &'static str,
    begun: bool,
    widths: Vec<f32>,
    head: Row,
}

impl Table {
    /// Creates a table with a heading and the titles and widths of its columns. The column of width 0 gets the
    /// remaining width.
    pub(crate) fn new(fonts: &Fonts, title: &'static str, columns: &[(&str, f32)]) -> Self {
        let taken: f32 = columns.iter().map(|column| column.1).sum();
        let width = |&(_, width): &(&str, f32)| if width > 0.0 { width } else { WIDTH - taken };
        let widths: Vec<f32> = columns.iter().map(width).collect();
        let cells: Vec<[Part<'_>; 1]> = columns.iter().map(|column| [(HEAD, column.0)]).collect();
        let cells: Vec<&[Part<'_>]> = cells.iter().map(<[_; 1]>::as_slice).collect();
        let head = Row::new(fonts, &widths, &cells);
        Self {
            title,
            begun: false,
            widths,
            head,
        }
    }

    /// Adds a row. The first row draws the heading and the head of the table.
    pub(crate) fn row(&mut self, sheets: &mut Sheets, cells: &[&[Part<'_>]]) {
        let row = Row::new(&sheets.fonts, &self.widths, cells);
        if !self.begun {
            section(sheets, self.title, self.head.height + row.height);
        }
        if sheets.ensure_room(row.height) || !self.begun {
            self.draw_head(sheets);
        }
        self.begun = true;
        self.draw(sheets, &row);
    }

    fn draw_head(&self, sheets: &mut Sheets) {
        let head = Area {
            x: LEFT,
            y: sheets.y,
            width: WIDTH,
            height: self.head.height,
        };
        sheets.fill([head], Ink::SHADE);
        self.draw(sheets, &self.head);
    }

    fn draw(&self, sheets: &mut Sheets, row: &Row) {
        let mut x = LEFT;
        for (cell, width) in row.cells.iter().zip(&self.widths) {
            let drop = cell.first().map_or(0.0, |part| part.drop(BODY));
            let mut y = sheets.y + PAD_Y + drop;
            for part in cell {
                y = part.draw(sheets, x + PAD_X, y);
            }
            x += width;
        }
        sheets.y += row.height;
        sheets.rule(LEFT, sheets.y, WIDTH, Ink::RULE);
    }
}

struct Row {
    cells: Vec<Vec<Paragraph>>,
    height: f32,
}

impl Row {
    fn new(fonts: &Fonts, widths: &[f32], cells: &[&[Part<'_>]]) -> Self {
        let part = |width: f32, (style, text): Part<'_>| {
            Paragraph::new(fonts, style, text, width - 2.0 * PAD_X, MAX_CELL_LINES)
        };
        let cells: Vec<Vec<Paragraph>> = cells
            .iter()
            .zip(widths)
            .map(|(parts, &width)| parts.iter().map(|&text| part(width, text)).collect())
            .collect();
        let heights = cells
            .iter()
            .map(|cell| cell.iter().map(Paragraph::height).sum());
        let height = heights.fold(0.0, f32::max) + 2.0 * PAD_Y;
        Self { cells, height }
    }
}
