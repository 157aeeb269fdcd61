//! The two fonts, and the characters that a form uses.

use crate::error::PrintError;
use std::collections::HashMap;
use subsetter::GlyphRemapper;
use ttf_parser::{Face, GlyphId};

static REGULAR: &[u8] = include_bytes!("../fonts/DejaVuSansCondensed.ttf");
static BOLD: &[u8] = include_bytes!("../fonts/DejaVuSansCondensed-Bold.ttf");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    Bold,
}

pub(crate) struct Fonts {
    pub(crate) regular: Font,
    pub(crate) bold: Font,
}

impl Fonts {
    pub(crate) fn new() -> Result<Self, PrintError> {
        Ok(Self {
            regular: Font::new(REGULAR)?,
            bold: Font::new(BOLD)?,
        })
    }

    pub(crate) fn get(&self, weight: Weight) -> &Font {
        match weight {
            Weight::Regular => &self.regular,
            Weight::Bold => &self.bold,
        }
    }

    pub(crate) fn get_mut(&mut self, weight: Weight) -> &mut Font {
        match weight {
            Weight::Regular => &mut self.regular,
            Weight::Bold => &mut self.bold,
        }
    }
}

/// A character that the form uses. Its index in [`Font::used`] is its code in the PDF.
///
/// Characters without a glyph have codes of their own as well, so that text shown as boxes can still be copied.
pub(crate) struct Used {
    pub(crate) char: char,
    pub(crate) glyph: u16,
    /// In thousandths of the size.
    pub(crate) width: f32,
}

pub(crate) struct Font {
    data: &'static [u8],
    pub(crate) face: Face<'static>,
    codes: HashMap<char, u16>,
    pub(crate) used: Vec<Used>,
}

impl Font {
    fn new(data: &'static [u8]) -> Result<Self, PrintError> {
        let face = Face::parse(data, 0).map_err(|error| PrintError::Font(error.to_string()))?;
        let mut font = Self {
            data,
            face,
            codes: HashMap::new(),
            used: Vec::new(),
        };
        // Code 0 is for everything without a code.
        font.code(char::REPLACEMENT_CHARACTER);
        Ok(font)
    }

    /// The width of a character, relative to the font size.
    pub(crate) fn advance(&self, char: char) -> f32 {
        self.scale(self.face.glyph_hor_advance(self.glyph(char)).unwrap_or(0)) / 1000.0
    }

    /// The width of a text in points.
    pub(crate) fn width(&self, text: &str, size: f32) -> f32 {
        text.chars().map(|char| self.advance(char) * size).sum()
    }

    /// Encodes a text as PDF codes of two bytes each.
    pub(crate) fn encode(&mut self, text: &str) -> Vec<u8> {
        text.chars()
            .flat_map(|char| self.code(char).to_be_bytes())
            .collect()
    }

    /// Returns the font reduced to the used glyphs, and the new glyph number of each code.
    pub(crate) fn subset(&self) -> Result<(Vec<u8>, Vec<u16>), PrintError> {
        let mut mapper = GlyphRemapper::new();
        let glyphs = self
            .used
            .iter()
            .map(|used| mapper.remap(used.glyph))
            .collect();
        let font = subsetter::subset(self.data, 0, &mapper)
            .map_err(|error| PrintError::Font(error.to_string()))?;
        Ok((font, glyphs))
    }

    /// Converts font units to thousandths of the font size.
    pub(crate) fn scale(&self, units: impl Into<f32>) -> f32 {
        units.into() * 1000.0 / f32::from(self.face.units_per_em())
    }

    fn code(&mut self, char: char) -> u16 {
        if let Some(&code) = self.codes.get(&char) {
            return code;
        }
        let Ok(code) = u16::try_from(self.used.len()) else {
            return 0;
        };
        let used = Used {
            char,
            glyph: self.glyph(char).0,
            width: self.advance(char) * 1000.0,
        };
        self.used.push(used);
        self.codes.insert(char, code);
        code
    }

    fn glyph(&self, char: char) -> GlyphId {
        self.face.glyph_index(char).unwrap_or(GlyphId(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTERS: &str = "ЁЙЩЫъяӘәҒғҚқҢңӨөҰұҮүҺһІі№«»—…₸₽€QW0";

    #[test]
    fn the_fonts_have_the_needed_letters() {
        let fonts = Fonts::new().unwrap();
        for font in [&fonts.regular, &fonts.bold] {
            assert!(LETTERS.chars().all(|char| font.glyph(char) != GlyphId(0)));
        }
    }

    #[test]
    fn every_character_has_a_code() {
        let mut font = Fonts::new().unwrap().regular;
        assert_eq!(font.encode("аба華"), [0, 1, 0, 2, 0, 1, 0, 3]);
        assert_eq!(font.used[3].glyph, 0);
        for char in '\0'..=char::MAX {
            font.code(char);
        }
        assert_eq!(font.code(char::MAX), 0);
        assert!(font.subset().is_ok());
    }
}
