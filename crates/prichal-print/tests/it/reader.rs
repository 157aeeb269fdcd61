//! Reads a print form back: the text and its position on each sheet.

use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Document, Object, ObjectId};
use std::collections::HashMap;

/// A4 with a form's margins excluded, in points.
const PAPER: (f32, f32) = (595.28, 841.89);
const MARGIN: f32 = 28.0;

pub(crate) struct Sheet(Vec<Piece>);

struct Piece {
    /// The left end of the base line, measured from the lower left corner.
    x: f32,
    y: f32,
    width: f32,
    size: f32,
    text: String,
}

struct Font {
    /// Widths in thousandths, by code.
    widths: Vec<f32>,
    chars: HashMap<u16, char>,
}

/// Reads the sheets of a PDF and asserts that it has all parts of a print form.
pub(crate) fn read(pdf: &[u8]) -> Vec<Sheet> {
    let document = Document::load_mem(pdf).expect("a PDF");
    let pages = document.get_pages();
    let first = *pages.values().next().expect("a page");
    let fonts = document.get_page_fonts(first).expect("fonts");
    let fonts = fonts.into_iter();
    let fonts = fonts.map(|(name, font)| (name, Font::read(&document, font)));
    let fonts: HashMap<Vec<u8>, Font> = fonts.collect();
    let sheet = |&id: &ObjectId| Sheet::read(&document.get_page_content(id), &fonts);
    pages.values().map(sheet).collect()
}

/// The addresses of the form's link annotations.
pub(crate) fn links(pdf: &[u8]) -> Vec<String> {
    let document = Document::load_mem(pdf).expect("a PDF");
    let objects = document
        .objects
        .values()
        .filter_map(|object| object.as_dict().ok());
    let actions = objects.filter_map(|object| object.get(b"A").ok()?.as_dict().ok());
    let addresses = actions.map(|action| action.get(b"URI").expect("an address"));
    let text = |address: &Object| address.as_str().expect("a string").to_vec();
    addresses
        .map(|address| String::from_utf8(text(address)).expect("ASCII"))
        .collect()
}

impl Font {
    fn read(document: &Document, font: &Dictionary) -> Self {
        let get =
            |font: &Dictionary, key: &[u8]| font.get_deref(key, document).expect("a key").clone();
        let simple = get(font, b"DescendantFonts").as_array().expect("an array")[0].clone();
        let (_, simple) = document.dereference(&simple).expect("a font");
        let widths = get(simple.as_dict().expect("a dictionary"), b"W");
        let widths = widths.as_array().expect("widths")[1]
            .as_array()
            .expect("widths");
        let map = get(font, b"ToUnicode");
        let map = map.as_stream().expect("a map").decompressed_content();
        let map = String::from_utf8(map.expect("a map")).expect("a map");
        Self {
            widths: widths.iter().map(number).collect(),
            chars: map.lines().filter_map(pair).collect(),
        }
    }
}

/// Reads `<0001> <0430>`: a code and its character in UTF-16.
fn pair(line: &str) -> Option<(u16, char)> {
    let (code, char) = line
        .strip_prefix('<')?
        .strip_suffix('>')?
        .split_once("> <")?;
    let units = char.as_bytes().chunks(4);
    let units = units.map(|unit| std::str::from_utf8(unit).ok());
    let units: Option<Vec<u16>> = units
        .map(|unit| u16::from_str_radix(unit?, 16).ok())
        .collect();
    let char = char::decode_utf16(units?).next()?.ok()?;
    Some((u16::from_str_radix(code, 16).ok()?, char))
}

fn number(object: &Object) -> f32 {
    object.as_float().expect("a number")
}

impl Sheet {
    fn read(content: &[u8], fonts: &HashMap<Vec<u8>, Font>) -> Self {
        let content = Content::decode(content).expect("content");
        let mut pieces = Vec::new();
        let (mut font, mut size, mut at) = (None, 0.0, (0.0, 0.0));
        for Operation { operator, operands } in content.operations {
            match operator.as_str() {
                "Tf" => {
                    font = fonts.get(operands[0].as_name().expect("a name"));
                    size = number(&operands[1]);
                }
                "Td" => at = (number(&operands[0]), number(&operands[1])),
                "Tj" => {
                    let codes = operands[0].as_str().expect("a string");
                    pieces.push(Piece::new(font.expect("a font"), size, at, codes));
                }
                "re" => assert_inside(&operands),
                _ => {}
            }
        }
        Self(pieces)
    }

    /// Every piece of text on a separate line.
    pub(crate) fn text(&self) -> String {
        let texts = self.0.iter().map(|piece| piece.text.as_str());
        texts.flat_map(|text| [text, "\n"]).collect()
    }

    /// Asserts that nothing exceeds the sheet and that no texts overlap.
    pub(crate) fn assert_tidy(&self) {
        for (at, piece) in self.0.iter().enumerate() {
            assert!(piece.is_inside(), "{:?} leaves the sheet", piece.text);
            for other in &self.0[at + 1..] {
                let (one, two) = (&piece.text, &other.text);
                assert!(!piece.meets(other), "{one:?} lies on {two:?}");
            }
        }
    }
}

impl Piece {
    fn new(font: &Font, size: f32, (x, y): (f32, f32), codes: &[u8]) -> Self {
        let codes = codes
            .chunks(2)
            .map(|code| u16::from_be_bytes([code[0], code[1]]));
        let width = |code: u16| font.widths[usize::from(code)] * size / 1000.0;
        Self {
            x,
            y,
            size,
            width: codes.clone().map(width).sum(),
            text: codes.map(|code| font.chars[&code]).collect(),
        }
    }

    fn is_inside(&self) -> bool {
        let right = self.x + self.width;
        let across = self.x >= MARGIN && right <= PAPER.0 - MARGIN;
        across && self.y >= MARGIN && self.y + self.size <= PAPER.1 - MARGIN
    }

    fn meets(&self, other: &Self) -> bool {
        let apart = |one: &Self, two: &Self| {
            one.x + one.width <= two.x + 0.05 || one.y + one.size * 0.75 <= two.y - two.size * 0.22
        };
        !apart(self, other) && !apart(other, self)
    }
}

fn assert_inside(area: &[Object]) {
    let [x, y, width, height] = [0, 1, 2, 3].map(|at| number(&area[at]));
    assert!(x >= MARGIN && x + width <= PAPER.0 - MARGIN);
    assert!(y >= MARGIN && y + height <= PAPER.1 - MARGIN);
}
