//! Sheets of paper: the current position, and drawing.

use crate::font::{Fonts, Weight};
use pdf_writer::{Content, Name, Str};

/// A4, in points.
pub(crate) const PAPER: (f32, f32) = (595.28, 841.89);
pub(crate) const LEFT: f32 = 57.0;
pub(crate) const RIGHT: f32 = PAPER.0 - 42.0;
/// The width of the printed area.
pub(crate) const WIDTH: f32 = RIGHT - LEFT;
pub(crate) const TOP: f32 = 45.0;
/// The lower end of the printed area, above the footer.
pub(crate) const BOTTOM: f32 = PAPER.1 - 64.0;

/// A colour: red, green and blue from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ink(pub(crate) f32, pub(crate) f32, pub(crate) f32);

impl Ink {
    pub(crate) const BLACK: Self = Self(0.08, 0.08, 0.10);
    pub(crate) const GREY: Self = Self(0.40, 0.41, 0.44);
    pub(crate) const RULE: Self = Self(0.78, 0.79, 0.82);
    pub(crate) const SHADE: Self = Self(0.945, 0.95, 0.96);
    pub(crate) const BLUE: Self = Self(0.09, 0.24, 0.56);
    pub(crate) const AMBER: Self = Self(0.60, 0.38, 0.02);
    pub(crate) const RED: Self = Self(0.68, 0.10, 0.12);
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) weight: Weight,
    /// In points.
    pub(crate) size: f32,
    pub(crate) ink: Ink,
}

impl Style {
    pub(crate) const fn regular(size: f32, ink: Ink) -> Self {
        Self {
            weight: Weight::Regular,
            size,
            ink,
        }
    }

    pub(crate) const fn bold(size: f32, ink: Ink) -> Self {
        Self {
            weight: Weight::Bold,
            size,
            ink,
        }
    }

    /// The distance of lines, in points.
    pub(crate) fn leading(self) -> f32 {
        self.size * 1.32
    }
}

/// A rectangle. `y` grows downwards from the top of the paper.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) width: f32,
    pub(crate) height: f32,
}

/// All sheets of a form. Items are placed one below the other, and heights grow downwards from the top.
pub(crate) struct Sheets {
    pub(crate) fonts: Fonts,
    pub(crate) pages: Vec<Content>,
    /// The position of the next item.
    pub(crate) y: f32,
    /// The link to the check page, on the first sheet.
    pub(crate) link: Option<Area>,
    at: usize,
}

impl Sheets {
    pub(crate) fn new(fonts: Fonts) -> Self {
        Self {
            fonts,
            pages: vec![Content::new()],
            y: TOP,
            link: None,
            at: 0,
        }
    }

    /// Starts a new sheet.
    pub(crate) fn new_sheet(&mut self) {
        self.pages.push(Content::new());
        self.at = self.pages.len() - 1;
        self.y = TOP;
    }

    /// Starts a new sheet if less than `height` is left on this one. Returns true if it did.
    pub(crate) fn ensure_room(&mut self, height: f32) -> bool {
        let turned = self.y + height > BOTTOM && self.y > TOP;
        if turned {
            self.new_sheet();
        }
        turned
    }

    /// Continues drawing on an earlier sheet.
    pub(crate) fn go_to(&mut self, page: usize) {
        self.at = page.min(self.pages.len() - 1);
    }

    /// Draws one line of text from its top left corner.
    pub(crate) fn text(&mut self, x: f32, y: f32, style: Style, text: &str) {
        if text.is_empty() {
            return;
        }
        let codes = self.fonts.get_mut(style.weight).encode(text);
        let font = match style.weight {
            Weight::Regular => Name(b"R"),
            Weight::Bold => Name(b"B"),
        };
        let page = self.page();
        page.set_fill_rgb(style.ink.0, style.ink.1, style.ink.2);
        page.begin_text();
        page.set_font(font, style.size);
        page.next_line(round(x), up(y + style.size));
        page.show(Str(&codes));
        page.end_text();
    }

    /// Draws one line of text that ends at `x`.
    pub(crate) fn text_before(&mut self, x: f32, y: f32, style: Style, text: &str) {
        let width = self.fonts.get(style.weight).width(text, style.size);
        self.text(x - width, y, style, text);
    }

    /// Draws a horizontal line.
    pub(crate) fn rule(&mut self, x: f32, y: f32, width: f32, ink: Ink) {
        let page = self.page();
        page.set_stroke_rgb(ink.0, ink.1, ink.2).set_line_width(0.5);
        page.move_to(round(x), up(y));
        page.line_to(round(x + width), up(y));
        page.stroke();
    }

    /// Draws filled rectangles as one shape.
    pub(crate) fn fill(&mut self, areas: impl IntoIterator<Item = Area>, ink: Ink) {
        let page = self.page();
        page.set_fill_rgb(ink.0, ink.1, ink.2);
        for Area {
            x,
            y,
            width,
            height,
        } in areas
        {
            page.rect(round(x), up(y + height), round(width), round(height));
        }
        page.fill_nonzero();
    }

    /// Draws the outline of a rectangle with rounded corners.
    pub(crate) fn frame(&mut self, area: Area, radius: f32, line: f32, ink: Ink) {
        let (left, right) = (area.x, area.x + area.width);
        let (top, bottom) = (PAPER.1 - area.y, PAPER.1 - area.y - area.height);
        // The distance of the Bézier handles of a quarter circle from its ends.
        let handle = radius * 0.448;
        let page = self.page();
        page.set_stroke_rgb(ink.0, ink.1, ink.2)
            .set_line_width(line);
        page.move_to(left + radius, top);
        let corners = [
            ((right, top), (-1.0, 0.0), (0.0, -1.0)),
            ((right, bottom), (0.0, 1.0), (-1.0, 0.0)),
            ((left, bottom), (1.0, 0.0), (0.0, 1.0)),
            ((left, top), (0.0, -1.0), (1.0, 0.0)),
        ];
        for ((x, y), from, to) in corners {
            let near = |side: (f32, f32), by: f32| (round(x + side.0 * by), round(y + side.1 * by));
            let (start, end) = (near(from, radius), near(to, radius));
            let (one, two) = (near(from, handle), near(to, handle));
            page.line_to(start.0, start.1);
            page.cubic_to(one.0, one.1, two.0, two.1, end.0, end.1);
        }
        page.close_and_stroke();
    }

    fn page(&mut self) -> &mut Content {
        &mut self.pages[self.at]
    }
}

/// Converts a height from the top to PDF's height from the bottom.
fn up(y: f32) -> f32 {
    round(PAPER.1 - y)
}

/// Rounds to a thousandth of a point, which is finer than any printer; more digits only add bytes.
fn round(value: f32) -> f32 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_sheet_starts_only_when_one_is_full() {
        let mut sheets = Sheets::new(Fonts::new().unwrap());
        assert!(!sheets.ensure_room(10_000.0));
        sheets.y = BOTTOM - 10.0;
        assert!(!sheets.ensure_room(9.0));
        assert!(sheets.ensure_room(11.0));
        assert_eq!((sheets.pages.len(), sheets.y), (2, TOP));
    }
}
