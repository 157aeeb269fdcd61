//! The formats of originals: contents must be what the file's extension claims (`docs/contracts/idocs.md §1.5`).

use memchr::memmem;

/// A check of contents, piece by piece, against the format that the extension claims.
pub struct FormatCheck {
    format: FileFormat,
    head: Vec<u8>,
    /// The last bytes, in which the searched name may have begun.
    tail: Vec<u8>,
    found: bool,
    has_zero: bool,
    empty: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FileFormat {
    Pdf,
    /// A zip with the table of contents of Office Open XML.
    Package,
    /// The container of older Office files.
    Compound,
    Text,
}

const OFFICE: &[u8] = b"[Content_Types].xml";
const COMPOUND: &[u8] = &[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1];

impl FormatCheck {
    /// Begins a check. `extension` is in lower case and has its dot.
    pub fn new(extension: &str) -> Self {
        Self {
            format: match extension {
                ".pdf" => FileFormat::Pdf,
                ".docx" | ".xlsx" => FileFormat::Package,
                ".doc" | ".xls" => FileFormat::Compound,
                _ => FileFormat::Text,
            },
            head: Vec::new(),
            tail: Vec::new(),
            found: false,
            has_zero: false,
            empty: true,
        }
    }

    /// Takes in the next piece.
    pub fn observe(&mut self, chunk: &[u8]) {
        self.empty = false;
        let more = COMPOUND
            .len()
            .saturating_sub(self.head.len())
            .min(chunk.len());
        self.head.extend_from_slice(&chunk[..more]);
        match self.format {
            FileFormat::Package if !self.found => {
                self.tail.extend_from_slice(chunk);
                self.found = memmem::find(&self.tail, OFFICE).is_some();
                let keep = self.tail.len().saturating_sub(OFFICE.len() - 1);
                self.tail.drain(..keep);
            }
            // No encoding of text uses a zero byte.
            FileFormat::Text => self.has_zero |= memchr::memchr(0, chunk).is_some(),
            _ => {}
        }
    }

    /// True if all pieces together are of the format. An empty file is of none.
    pub fn matches(&self) -> bool {
        !self.empty
            && match self.format {
                FileFormat::Pdf => self.head.starts_with(b"%PDF-"),
                FileFormat::Package => self.head.starts_with(b"PK\x03\x04") && self.found,
                FileFormat::Compound => self.head == COMPOUND,
                FileFormat::Text => !self.has_zero,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(extension: &str, chunks: &[&[u8]]) -> bool {
        let mut check = FormatCheck::new(extension);
        chunks.iter().for_each(|chunk| check.observe(chunk));
        check.matches()
    }

    #[test]
    fn contents_must_match_the_extension() {
        assert!(taken(".pdf", &[b"%P", b"DF-1.7 ..."]));
        assert!(!taken(".pdf", &[b"PK\x03\x04"]));
        assert!(taken(
            ".docx",
            &[b"PK\x03\x04 ...[Content", b"_Types].xml..."]
        ));
        assert!(!taken(".docx", &[b"PK\x03\x04 ..."]));
        assert!(taken(".xls", &[COMPOUND]));
        assert!(!taken(".xls", &[&COMPOUND[..7]]));
        assert!(taken(".txt", &["привет".as_bytes(), &[0xEF, 0xF0]]));
        assert!(!taken(".txt", &[b"a\0b"]));
        assert!(!taken(".txt", &[]));
    }
}
