//! The first sheets: the document, its parties, its route, signatures and files.

use crate::error::PrintError;
use crate::facts::{Facts, Look};
use crate::form::{OriginalFile, PrintForm, Step};
use crate::paragraph::Paragraph;
use crate::qr::Qr;
use crate::section::{NOTE, line, note, section};
use crate::sheet::{Area, Ink, LEFT, RIGHT, Sheets, Style, WIDTH};
use crate::stamp::Stamp;
use crate::table::{BODY, SMALL, STRONG, Table};
use crate::time::Zone;
use crate::words::{Language, Word};

const KICKER: Style = Style::bold(7.0, Ink::GREY);
const TITLE: Style = Style::bold(16.0, Ink::BLACK);
const SUBTITLE: Style = Style::regular(11.0, Ink::BLACK);
const CAPTION: Style = Style::regular(6.5, Ink::GREY);

/// The side of the QR code, in points.
const QR_CODE_SIZE: f32 = 92.0;
/// The largest number of rows or stamps of a list. A line below tells how many are left out.
pub const MAX_ROWS: usize = 2_000;

const FACTS: Look = Look {
    label: Style::regular(8.5, Ink::GREY),
    value: Style::regular(9.0, Ink::BLACK),
    indent: 128.0,
    width: WIDTH - 128.0,
    gap: 3.0,
    lines: 6,
};

pub(crate) struct Cover<'a> {
    form: &'a PrintForm<'a>,
    language: Language,
    zone: Zone,
}

impl<'a> Cover<'a> {
    pub(crate) fn new(form: &'a PrintForm<'a>) -> Self {
        Self {
            form,
            language: form.language,
            zone: Zone::new(form.utc_offset),
        }
    }

    pub(crate) fn print(&self, sheets: &mut Sheets) -> Result<(), PrintError> {
        self.title(sheets)?;
        self.facts(sheets);
        self.parties(sheets);
        self.route(sheets);
        self.signatures(sheets);
        self.files(sheets);
        self.check(sheets);
        Ok(())
    }

    /// Draws the heading with the QR code beside it.
    fn title(&self, sheets: &mut Sheets) -> Result<(), PrintError> {
        let code = !self.form.check_url.is_empty();
        let width = if code {
            WIDTH - QR_CODE_SIZE - 28.0
        } else {
            WIDTH
        };
        let top = sheets.y;
        sheets.text(LEFT, top, KICKER, self.word(Word::Title));
        let name = Paragraph::new(&sheets.fonts, TITLE, self.form.document.name, width, 6);
        let y = name.draw(sheets, LEFT, top + 18.0) + 5.0;
        let date = self.zone.date(self.form.document.date);
        let number = self.language.numbered(self.form.document.number, &date);
        let number = Paragraph::new(&sheets.fonts, SUBTITLE, &number, width, 3);
        let mut y = number.draw(sheets, LEFT, y) + 10.0;
        if code {
            self.code(sheets)?;
            y = y.max(top + QR_CODE_SIZE + 16.0);
        }
        sheets.rule(LEFT, y, WIDTH, Ink::BLACK);
        sheets.y = y + 11.0;
        Ok(())
    }

    fn code(&self, sheets: &mut Sheets) -> Result<(), PrintError> {
        let area = Area {
            x: RIGHT - QR_CODE_SIZE,
            y: sheets.y,
            width: QR_CODE_SIZE,
            height: QR_CODE_SIZE,
        };
        Qr::new(self.form.check_url)?.draw(sheets, area.x, area.y, QR_CODE_SIZE);
        sheets.link = Some(area);
        let caption = self.word(Word::CheckCaption);
        let width = sheets.fonts.regular.width(caption, CAPTION.size);
        let x = area.x + (QR_CODE_SIZE - width) / 2.0;
        sheets.text(x, area.y + QR_CODE_SIZE + 3.5, CAPTION, caption);
        Ok(())
    }

    fn facts(&self, sheets: &mut Sheets) {
        let document = &self.form.document;
        let mut facts = Facts::new(FACTS);
        for (word, value) in [
            (Word::Group, document.group.word(self.language)),
            (Word::Status, document.status.word(self.language)),
            (Word::Created, &self.zone.moment(document.created)),
            (Word::Made, &self.zone.moment(self.form.made)),
            (Word::Id, document.id),
        ] {
            facts.add(&sheets.fonts, self.word(word), value);
        }
        facts.flow(sheets, LEFT);
    }

    fn parties(&self, sheets: &mut Sheets) {
        let columns = [
            (self.word(Word::Role), 110.0),
            (self.word(Word::Name), 0.0),
            (self.word(Word::BinOrIin), 110.0),
        ];
        let mut table = Table::new(&sheets.fonts, self.word(Word::Parties), &columns);
        let sender = (Word::Sender, &self.form.sender);
        let recipients = self.form.recipients.iter();
        let recipients = recipients.map(|party| (Word::Recipient, party));
        for (role, party) in std::iter::once(sender).chain(recipients).take(MAX_ROWS + 1) {
            let role = [(BODY, self.word(role))];
            table.row(
                sheets,
                &[&role, &[(STRONG, party.name)], &[(BODY, party.bin)]],
            );
        }
        self.more(sheets, self.form.recipients.len());
    }

    fn route(&self, sheets: &mut Sheets) {
        let steps = &self.form.route;
        let columns = [
            (self.word(Word::Order), 30.0),
            (self.word(Word::Participant), 0.0),
            (self.word(Word::Action), 88.0),
            (self.word(Word::State), 82.0),
            (self.word(Word::When), 126.0),
        ];
        let mut table = Table::new(&sheets.fonts, self.word(Word::Route), &columns);
        if steps.is_empty() {
            return self.none(sheets, Word::Route, Word::RouteEmpty);
        }
        for step in steps.iter().take(MAX_ROWS) {
            self.step(sheets, &mut table, step);
        }
        self.more(sheets, steps.len());
    }

    fn step(&self, sheets: &mut Sheets, table: &mut Table, step: &Step<'_>) {
        let when = step.completed.map(|at| self.zone.moment(at));
        let participant = [
            (BODY, step.participant),
            (SMALL, step.detail),
            (SMALL, step.comment),
        ];
        table.row(
            sheets,
            &[
                &[(BODY, &step.order.to_string())],
                &participant,
                &[(BODY, step.action.word(self.language))],
                &[(BODY, step.state.word(self.language))],
                &[(BODY, when.as_deref().unwrap_or("—"))],
            ],
        );
    }

    fn signatures(&self, sheets: &mut Sheets) {
        let signatures = &self.form.signatures;
        if signatures.is_empty() {
            self.none(sheets, Word::Signatures, Word::SignaturesEmpty);
        }
        for (signature, number) in signatures.iter().take(MAX_ROWS).zip(1..) {
            let stamp = Stamp::new(&sheets.fonts, self.language, self.zone, signature);
            if number == 1 {
                section(sheets, self.word(Word::Signatures), stamp.height());
            }
            stamp.draw(sheets, number);
        }
        self.more(sheets, signatures.len());
        note(sheets, self.form.notice);
    }

    fn files(&self, sheets: &mut Sheets) {
        let files = &self.form.files;
        let columns = [
            (self.word(Word::Order), 30.0),
            (self.word(Word::FileName), 0.0),
            (self.word(Word::Size), 74.0),
            ("SHA-256", 252.0),
        ];
        let mut table = Table::new(&sheets.fonts, self.word(Word::Files), &columns);
        if files.is_empty() {
            return self.none(sheets, Word::Files, Word::FilesEmpty);
        }
        for (file, number) in files.iter().take(MAX_ROWS).zip(1..) {
            file_row(sheets, &mut table, file, number);
        }
        self.more(sheets, files.len());
    }

    fn check(&self, sheets: &mut Sheets) {
        if self.form.check_url.is_empty() {
            return;
        }
        section(sheets, self.word(Word::Check), 3.0 * NOTE.leading());
        note(sheets, self.word(Word::CheckText));
        let address = Style::regular(8.5, Ink::BLUE);
        line(sheets, address, self.form.check_url);
    }

    /// Draws a section without rows.
    fn none(&self, sheets: &mut Sheets, title: Word, text: Word) {
        section(sheets, self.word(title), NOTE.leading());
        note(sheets, self.word(text));
    }

    /// Draws the number of rows that are left out.
    fn more(&self, sheets: &mut Sheets, rows: usize) {
        let left = rows.saturating_sub(MAX_ROWS);
        if left > 0 {
            sheets.y += 4.0;
            note(sheets, &format!("{} {left}", self.word(Word::More)));
        }
    }

    fn word(&self, word: Word) -> &'static str {
        word.word(self.language)
    }
}

fn file_row(sheets: &mut Sheets, table: &mut Table, file: &OriginalFile<'_>, number: usize) {
    let hash = Style::regular(6.5, Ink::BLACK);
    table.row(
        sheets,
        &[
            &[(BODY, &number.to_string())],
            &[(BODY, file.name)],
            &[(BODY, &grouped(file.size))],
            &[(hash, file.sha256)],
        ],
    );
}

/// Formats a number as `12 345 678`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(grouped(123_456), "123 456");
    }
}
