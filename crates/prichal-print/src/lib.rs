//! The sheet of paper is a pure function of what it shows.
//!
//! [`print_form`] makes the PDF print form of an e-document: its data, parties and route, a stamp
//! for every signature, the list of its original files, a QR code with the address of the public
//! check page, and the text of `.txt` originals. It does no I/O and reads no clock: equal input
//! gives equal bytes, on every machine.
//!
//! ```
//! use prichal_print::{Document, Language, Party, PrintForm, print_form};
//!
//! let form = PrintForm {
//!     language: Language::Kazakh,
//!     utc_offset: 300,
//!     check_url: "https://hub.example.kz/check/0193f6d2-7c1a-7b3e-9f00-5d2c8a41e6b7",
//!     document: Document { name: "Көрсетілген қызметтер актісі", number: "17", ..Document::default() },
//!     sender: Party { name: "«Өрлеу» ЖШС", bin: "990140000385" },
//!     ..PrintForm::default()
//! };
//! let pdf = print_form(&form).unwrap();
//! assert!(pdf.starts_with(b"%PDF-"));
//! assert_eq!(pdf, print_form(&form).unwrap());
//! ```
//!
//! # Strings from outside
//!
//! Nothing a document says is a reason to fail. Control characters, also those that turn the
//! direction of text, are shown as the replacement character; a character that the font lacks is a
//! box, yet can be copied; a long word is broken; what no sheet could hold ends with an ellipsis.
//! Lists show [`MAX_ROWS`] rows, texts [`MAX_TEXT_PAGES`] sheets, and then say how much is left
//! out.
//!
//! # Known limits
//!
//! Text from right to left is printed in the order of its characters and unjoined. Originals other
//! than text are listed, not shown.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")
)]

mod clean;
mod cover;
mod error;
mod facts;
mod font;
mod footer;
mod form;
mod listing;
mod paragraph;
mod pdf;
mod qr;
mod section;
mod sheet;
mod stamp;
mod table;
mod time;
mod words;
mod wrap;

pub use cover::MAX_ROWS;
pub use error::PrintError;
pub use form::{Document, OriginalFile, Party, PrintForm, Signature, Step};
pub use listing::MAX_TEXT_PAGES;
pub use qr::MAX_ADDRESS;
pub use words::{Action, Group, Language, Status, StepState, Verdict};

/// The print form as the bytes of a PDF file.
pub fn print_form(form: &PrintForm<'_>) -> Result<Vec<u8>, PrintError> {
    let mut sheets = sheet::Sheets::new(font::Fonts::new()?);
    cover::Cover::new(form).print(&mut sheets)?;
    listing::print(&mut sheets, form);
    footer::print(&mut sheets, form);
    pdf::write(sheets, form)
}
