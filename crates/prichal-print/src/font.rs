//! The two fonts, and the characters that a form uses.

use crate::error::PrintError;
use read_fonts::{
    FontRef, ReadError, TableProvider as _,
    tables::{cmap::CmapSubtable, hmtx::Hmtx, os2::SelectionFlags},
    types::GlyphId,
};
use std::collections::HashMap;
use subsetter::GlyphRemapper;

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
    characters: CmapSubtable<'static>,
    widths: Hmtx<'static>,
    pub(crate) metrics: Metrics,
    codes: HashMap<char, u16>,
    pub(crate) used: Vec<Used>,
}

/// The measures of a whole font, in its units.
pub(crate) struct Metrics {
    units_per_em: u16,
    /// Left, low, right and high.
    pub(crate) bounds: [i16; 4],
    pub(crate) ascender: i16,
    pub(crate) descender: i16,
    pub(crate) cap_height: i16,
    pub(crate) is_bold: bool,
}

impl Metrics {
    fn read(font: &FontRef<'_>) -> Result<Self, ReadError> {
        let (head, heights, style) = (font.head()?, font.hhea()?, font.os2()?);
        let ascender = heights.ascender().to_i16();
        Ok(Self {
            units_per_em: head.units_per_em(),
            bounds: [head.x_min(), head.y_min(), head.x_max(), head.y_max()],
            ascender,
            descender: heights.descender().to_i16(),
            cap_height: style.s_cap_height().unwrap_or(ascender),
            is_bold: style.fs_selection().contains(SelectionFlags::BOLD),
        })
    }
}

impl Font {
    fn new(data: &'static [u8]) -> Result<Self, PrintError> {
        Self::read(data).map_err(|error| PrintError::Font(error.to_string()))
    }

    fn read(data: &'static [u8]) -> Result<Self, ReadError> {
        let font = FontRef::new(data)?;
        let (_, _, characters) = font.cmap()?.best_subtable().ok_or(ReadError::OutOfBounds)?;
        let mut font = Self {
            data,
            characters,
            widths: font.hmtx()?,
            metrics: Metrics::read(&font)?,
            codes: HashMap::new(),
            used: Vec::new(),
        };
        // Code 0 is for everything without a code.
        font.code(char::REPLACEMENT_CHARACTER);
        Ok(font)
    }

    /// The width of a character, relative to the font size.
    pub(crate) fn advance(&self, char: char) -> f32 {
        self.scale(self.widths.advance(self.glyph(char).into()).unwrap_or(0)) / 1000.0
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
        units.into() * 1000.0 / f32::from(self.metrics.units_per_em)
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
            glyph: self.glyph(char),
            width: self.advance(char) * 1000.0,
        };
        self.used.push(used);
        self.codes.insert(char, code);
        code
    }

    /// The glyph of a character; 0 if the font has none.
    fn glyph(&self, char: char) -> u16 {
        let glyph = self.characters.map_codepoint(char).map(GlyphId::to_u32);
        glyph
            .and_then(|glyph| glyph.try_into().ok())
            .unwrap_or_default()
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
            assert!(LETTERS.chars().all(|char| font.glyph(char) != 0));
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
