//! The stamp of one signature: a box as is usual on Kazakh e-documents.

use crate::facts::{Facts, Look};
use crate::font::Fonts;
use crate::form::Signature;
use crate::sheet::{Area, Ink, LEFT, Sheets, Style, WIDTH};
use crate::time::Zone;
use crate::words::{Language, Verdict, Word};

/// The space inside the frame.
const PAD: f32 = 10.0;
/// The height of the line with the verdict, including the rule below it.
const HEAD: f32 = 22.0;
/// The gap between the columns.
const GUTTER: f32 = 14.0;
/// The gap after a stamp.
const GAP: f32 = 9.0;
/// The width of the left column. The right column is wide enough for a serial number.
const COLUMN: f32 = 213.0;
const INDENT: f32 = 62.0;
const WIDE: f32 = WIDTH - 2.0 * PAD - GUTTER - COLUMN;

const LOOK: Look = Look {
    label: Style::regular(7.0, Ink::GREY),
    value: Style::regular(7.5, Ink::BLACK),
    indent: INDENT,
    width: COLUMN - INDENT,
    gap: 1.5,
    lines: 6,
};
const WIDE_LOOK: Look = Look {
    width: WIDE - INDENT,
    ..LOOK
};

pub(crate) struct Stamp<'a> {
    signature: &'a Signature<'a>,
    language: Language,
    /// The signer.
    left: Facts,
    /// The certificate.
    right: Facts,
}

impl<'a> Stamp<'a> {
    pub(crate) fn new(
        fonts: &Fonts,
        language: Language,
        zone: Zone,
        signature: &'a Signature<'a>,
    ) -> Self {
        Self {
            signature,
            language,
            left: person(fonts, language, zone, signature),
            right: certificate(fonts, language, zone, signature),
        }
    }

    /// The height of the stamp with the gap after it.
    pub(crate) fn height(&self) -> f32 {
        self.left.height().max(self.right.height()) + HEAD + 2.0 * PAD + GAP - 4.0
    }

    /// Draws the stamp at the current position. `number` counts the document's signatures from 1.
    pub(crate) fn draw(&self, sheets: &mut Sheets, number: usize) {
        sheets.ensure_room(self.height());
        let ink = ink(self.signature.verdict);
        let top = sheets.y;
        self.frame(sheets, ink);
        self.head(sheets, number, ink);
        let y = top + PAD + HEAD - 4.0;
        self.left.draw(sheets, LEFT + PAD, y);
        let right = LEFT + PAD + COLUMN + GUTTER;
        self.right.draw(sheets, right, y);
        sheets.y = top + self.height();
    }

    fn frame(&self, sheets: &mut Sheets, ink: Ink) {
        let area = Area {
            x: LEFT + 0.6,
            y: sheets.y,
            width: WIDTH - 1.2,
            height: self.height() - GAP,
        };
        sheets.frame(area, 6.0, 1.2, ink);
        let inner = Area {
            x: area.x + 2.4,
            y: area.y + 2.4,
            width: area.width - 4.8,
            height: area.height - 4.8,
        };
        sheets.frame(inner, 4.0, 0.4, ink);
    }

    fn head(&self, sheets: &mut Sheets, number: usize, ink: Ink) {
        let style = Style::bold(8.0, ink);
        let title = match self.signature.verdict {
            Verdict::Passed => Word::Signed,
            Verdict::Indeterminate | Verdict::Failed => Word::Signature,
        };
        let title = format!("{number}.  {}", title.word(self.language));
        let y = sheets.y + PAD - 2.0;
        sheets.text(LEFT + PAD, y, style, &title);
        let verdict = self.signature.verdict.word(self.language);
        sheets.text_before(LEFT + WIDTH - PAD, y, style, verdict);
        sheets.rule(LEFT + PAD, y + 13.0, WIDTH - 2.0 * PAD, ink);
    }
}

fn ink(verdict: Verdict) -> Ink {
    match verdict {
        Verdict::Passed => Ink::BLUE,
        Verdict::Indeterminate => Ink::AMBER,
        Verdict::Failed => Ink::RED,
    }
}

fn person(fonts: &Fonts, language: Language, zone: Zone, signature: &Signature<'_>) -> Facts {
    let mut facts = Facts::new(LOOK);
    let bold = Style::bold(LOOK.value.size, LOOK.value.ink);
    let name = Word::Signer.word(language);
    facts.add_styled(fonts, name, signature.signer, bold);
    let signed = signature.signed.map(|at| zone.moment(at));
    for (word, value) in [
        (Word::Iin, signature.iin),
        (Word::Organisation, signature.organisation),
        (Word::Bin, signature.bin),
        (Word::SignerRole, signature.role),
        (Word::SignedAt, signed.as_deref().unwrap_or_default()),
    ] {
        facts.add(fonts, word.word(language), value);
    }
    facts
}

fn certificate(fonts: &Fonts, language: Language, zone: Zone, signature: &Signature<'_>) -> Facts {
    let mut facts = Facts::new(WIDE_LOOK);
    let stamped = signature.time_stamped.map(|at| zone.moment(at));
    for (word, value) in [
        (Word::Certificate, signature.serial),
        (Word::Issuer, signature.issuer),
        (Word::Validity, &validity(zone, signature)),
        (Word::Algorithm, signature.algorithm),
        (Word::TimeStamp, stamped.as_deref().unwrap_or_default()),
        (Word::Verdict, &verdict(signature)),
        (Word::NotChecked, &unchecked(language, signature)),
    ] {
        facts.add(fonts, word.word(language), value);
    }
    facts
}

fn validity(zone: Zone, signature: &Signature<'_>) -> String {
    let date = |at: Option<i64>| at.map_or_else(|| "…".to_owned(), |at| zone.date(at));
    match (signature.valid_from, signature.valid_until) {
        (None, None) => String::new(),
        (from, until) => format!("{} – {}", date(from), date(until)),
    }
}

fn verdict(signature: &Signature<'_>) -> String {
    let code = signature.verdict.code();
    match signature.sub_indication {
        "" => code.to_owned(),
        reason => format!("{code} / {reason}"),
    }
}

/// The checks that the verdict does not cover.
fn unchecked(language: Language, signature: &Signature<'_>) -> String {
    let words = [
        (signature.identity_unchecked, Word::Identity),
        (signature.revocation_unchecked, Word::Revocation),
    ];
    let said = words.into_iter().filter(|(missing, _)| *missing);
    let said: Vec<&str> = said.map(|(_, word)| word.word(language)).collect();
    said.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::{BOTTOM, TOP};

    fn stamp_height(text: &str) -> f32 {
        let fonts = Fonts::new().unwrap();
        let signature = Signature {
            signer: text,
            iin: text,
            organisation: text,
            bin: text,
            role: text,
            serial: text,
            issuer: text,
            valid_from: Some(i64::MIN),
            valid_until: Some(i64::MAX),
            algorithm: text,
            signed: Some(i64::MAX),
            time_stamped: Some(i64::MIN),
            verdict: Verdict::Failed,
            sub_indication: text,
            identity_unchecked: true,
            revocation_unchecked: true,
        };
        Stamp::new(&fonts, Language::Kazakh, Zone::new(0), &signature).height()
    }

    #[test]
    fn no_stamp_is_higher_than_a_sheet() {
        for text in ["", "x", &"Щ".repeat(9_999), &"Щ ".repeat(9_999)] {
            assert!(stamp_height(text) < BOTTOM - TOP - 40.0);
        }
    }

    #[test]
    fn only_known_facts_are_shown() {
        let none = Signature::default();
        assert_eq!(validity(Zone::new(0), &none), "");
        assert_eq!(verdict(&none), "INDETERMINATE");
        let until = Signature {
            valid_until: Some(0),
            sub_indication: "REVOKED",
            verdict: Verdict::Failed,
            ..none
        };
        assert_eq!(validity(Zone::new(0), &until), "… – 01.01.1970");
        assert_eq!(verdict(&until), "TOTAL-FAILED / REVOKED");
    }
}
