//! The footer of every sheet.

use crate::clean;
use crate::form::PrintForm;
use crate::sheet::{Ink, LEFT, PAPER, RIGHT, Sheets, Style, WIDTH};
use crate::wrap::Wrap;

const SMALL: Style = Style::regular(6.5, Ink::GREY);
const NUMBER: Style = Style::regular(8.0, Ink::BLACK);
/// The height of the rule above the footer.
const RULE_Y: f32 = PAPER.1 - 54.0;

pub(crate) fn print(sheets: &mut Sheets, form: &PrintForm<'_>) {
    let pages = sheets.pages.len();
    let id = one_line(sheets, &clean::field(form.document.id));
    let address = one_line(sheets, &clean::address(form.check_url));
    for page in 0..pages {
        sheets.go_to(page);
        sheets.rule(LEFT, RULE_Y, WIDTH, Ink::RULE);
        sheets.text(LEFT, RULE_Y + 4.0, SMALL, &id);
        sheets.text(LEFT, RULE_Y + 13.0, SMALL, &address);
        let number = form.language.page_of(page + 1, pages);
        sheets.text_before(RIGHT, RULE_Y + 4.0, NUMBER, &number);
    }
}

fn one_line(sheets: &Sheets, text: &str) -> String {
    let width = WIDTH - 110.0;
    let wrap = Wrap::new(&sheets.fonts.regular, SMALL.size, width, text);
    wrap.at_most(1).pop().unwrap_or_default()
}
