//! The QR code with the address of the check page.

use crate::error::PrintError;
use crate::sheet::{Area, Ink, Sheets};
use qrcode::{Color, EcLevel, QrCode};

/// The largest length of a check page's address in bytes. The QR code of a longer one is too fine for paper.
pub const MAX_ADDRESS: usize = 512;

pub(crate) struct Qr {
    dark: Vec<bool>,
    side: u16,
}

impl Qr {
    pub(crate) fn new(address: &str) -> Result<Self, PrintError> {
        let long = || PrintError::Address(address.len());
        if address.len() > MAX_ADDRESS {
            return Err(long());
        }
        let code = QrCode::with_error_correction_level(address, EcLevel::M).map_err(|_| long())?;
        let side = u16::try_from(code.width()).map_err(|_| long())?;
        let dark = code.into_colors().into_iter();
        let dark = dark.map(|color| color == Color::Dark).collect();
        Ok(Self { dark, side })
    }

    /// Draws the code as a square of this size. The caller leaves the white margin.
    pub(crate) fn draw(&self, sheets: &mut Sheets, x: f32, y: f32, size: f32) {
        let unit = size / f32::from(self.side);
        let areas = self.runs().map(|(column, row, length)| Area {
            x: x + f32::from(column) * unit,
            y: y + f32::from(row) * unit,
            width: f32::from(length) * unit,
            // Slightly higher than the row, because viewers otherwise show white lines between rows.
            height: unit * 1.02,
        });
        sheets.fill(areas.collect::<Vec<_>>(), Ink(0.0, 0.0, 0.0));
    }

    /// The dark runs of every row: column, row, length.
    fn runs(&self) -> impl Iterator<Item = (u16, u16, u16)> {
        let rows = self.dark.chunks(usize::from(self.side)).zip(0u16..);
        rows.flat_map(|(modules, row)| {
            let mut column = 0u16;
            modules
                .chunk_by(|one, two| one == two)
                .filter_map(move |run| {
                    let length = u16::try_from(run.len()).unwrap_or_default();
                    let from = column;
                    column += length;
                    run[0].then_some((from, row, length))
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_are_the_dark_modules() {
        let qr = Qr::new("https://example.kz/check/1").unwrap();
        let sum: usize = qr.runs().map(|run| usize::from(run.2)).sum();
        assert_eq!(sum, qr.dark.iter().filter(|&&dark| dark).count());
    }

    #[test]
    fn a_long_address_is_refused() {
        assert!(Qr::new(&"x".repeat(MAX_ADDRESS)).is_ok());
        let error = Qr::new(&"x".repeat(513)).err();
        assert_eq!(error, Some(PrintError::Address(513)));
    }
}
