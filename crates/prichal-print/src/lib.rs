//! Print forms of e-documents as PDF files.
//!
//! [`print_form`] makes the form: the document's data, parties and route, a stamp for every signature, the list of
//! original files, a QR code with the address of the public check page, and the text of `.txt` originals. It is a
//! pure function without I/O and clock: equal input gives equal bytes on every machine.
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
//! No string of a document causes an error. Control characters, including those that change the direction of text,
//! are shown as the replacement character. A character that the font lacks is shown as a box and can still be copied.
//! Long words are broken, and text that exceeds a sheet ends with an ellipsis. Lists show at most [`MAX_ROWS`] rows
//! and texts at most [`MAX_TEXT_PAGES`] sheets, followed by the number of omitted rows or characters.
//!
//! # Known limits
//!
//! Right-to-left text is printed in the order of its characters and without joining. Originals other than text are
//! listed, not shown.

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

/// Makes the print form. Returns the bytes of a PDF file.
pub fn print_form(form: &PrintForm<'_>) -> Result<Vec<u8>, PrintError> {
    let mut sheets = sheet::Sheets::new(font::Fonts::new()?);
    cover::Cover::new(form).print(&mut sheets)?;
    listing::print(&mut sheets, form);
    footer::print(&mut sheets, form);
    pdf::write(sheets, form)
}
