//! Tables that go on over sheets, with their heads repeated.

use crate::font::Fonts;
use crate::paragraph::Paragraph;
use crate::section::section;
use crate::sheet::{Area, Ink, LEFT, Sheets, Style, WIDTH};

const HEAD: Style = Style::bold(7.5, Ink::GREY);
pub(crate) const BODY: Style = Style::regular(8.5, Ink::BLACK);
pub(crate) const STRONG: Style = Style::bold(8.5, Ink::BLACK);
pub(crate) const SMALL: Style = Style::regular(7.5, Ink::GREY);

/// Above and below the text of a cell.
const PAD: f32 = 3.5;
/// Left and right of the text of a cell.
const SIDE: f32 = 5.0;
/// A part of a cell has at most so many lines, so that no row is higher than a sheet.
const LINES: usize = 12;

/// One part of a cell: a style and what it says.
pub(crate) type Part<'a> = (Style, &'a str);

pub(crate) struct Table {
    title: &'static str,
    begun: bool,
    widths: Vec<f32>,
    head: Row,
}

impl Table {
    /// The heading over it; the titles and widths of the columns. A width of 0 is what the others
    /// leave.
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

    /// Adds a row, the first one under the heading and the head.
    pub(crate) fn row(&mut self, sheets: &mut Sheets, cells: &[&[Part<'_>]]) {
        let row = Row::new(&sheets.fonts, &self.widths, cells);
        if !self.begun {
            section(sheets, self.title, self.head.height + row.height);
        }
        if sheets.need(row.height) || !self.begun {
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
            let mut y = sheets.y + PAD + drop;
            for part in cell {
                y = part.draw(sheets, x + SIDE, y);
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
            Paragraph::new(fonts, style, text, width - 2.0 * SIDE, LINES)
        };
        let cells: Vec<Vec<Paragraph>> = cells
            .iter()
            .zip(widths)
            .map(|(parts, &width)| parts.iter().map(|&text| part(width, text)).collect())
            .collect();
        let heights = cells
            .iter()
            .map(|cell| cell.iter().map(Paragraph::height).sum());
        let height = heights.fold(0.0, f32::max) + 2.0 * PAD;
        Self { cells, height }
    }
}
