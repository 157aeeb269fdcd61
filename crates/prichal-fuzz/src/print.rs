//! The print form, with any text in any field.

use prichal_print::{Document, OriginalFile, Party, PrintForm, Signature, Step, print_form};

/// Fills the form with the pieces between zero bytes, repeating them as needed.
pub(crate) fn form(input: &[u8]) {
    // A print form of megabytes takes seconds. 8 KiB reach every branch.
    let text = String::from_utf8_lossy(&input[..input.len().min(8192)]);
    let pieces: Vec<&str> = text.split('\0').take(200).collect();
    let piece = |n: usize| pieces[n % pieces.len()];
    let party = |n| Party {
        name: piece(n),
        bin: piece(n + 1),
    };
    let print = PrintForm {
        check_url: piece(0),
        notice: piece(1),
        document: Document {
            id: piece(2),
            name: piece(3),
            number: piece(4),
            date: i64::from(input.first().copied().unwrap_or(0)) << 40,
            ..Document::default()
        },
        sender: party(5),
        recipients: (7..7 + pieces.len().min(20)).map(party).collect(),
        route: vec![Step {
            participant: piece(8),
            detail: piece(9),
            comment: piece(10),
            ..Step::default()
        }],
        signatures: vec![Signature {
            signer: piece(11),
            organisation: piece(12),
            serial: piece(13),
            issuer: piece(14),
            ..Signature::default()
        }],
        files: vec![OriginalFile {
            name: piece(15),
            sha256: piece(16),
            text: Some(&text),
            ..OriginalFile::default()
        }],
        ..PrintForm::default()
    };
    if let Ok(pdf) = print_form(&print) {
        assert!(pdf.starts_with(b"%PDF-"));
    }
}
