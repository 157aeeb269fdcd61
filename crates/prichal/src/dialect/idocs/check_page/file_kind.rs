//! The kind of a file that somebody has uploaded in the place of a signature.

use prichal_console::check::FileKind;
use prichal_sign::{Certificate, Limits, unarmor};

/// The bytes at the beginning of a file that tell what it is.
const HEAD_BYTES: usize = 4096;
/// The maximum number of bytes before the type of a CMS message: two headers of BER.
const MAX_BEFORE_TYPE: usize = 16;
/// The type `SignedData` (RFC 5652 §5.1), in DER.
const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";

/// The kind of a file that is no signature. `None` for a signature, also a damaged one.
pub(super) fn instead_of_signature(file: &[u8]) -> Option<FileKind> {
    let head = &file[..file.len().min(HEAD_BYTES)];
    let has = |part: &[u8]| head.windows(part.len()).any(|window| window == part);
    if is_signature(file) || has(b"-----BEGIN CMS") || has(b"-----BEGIN PKCS7") {
        return None;
    }
    // A PKCS #12 container begins with its version, 3 (RFC 7292 §4).
    let version = b"\x02\x01\x03\x30";
    let mut first = head[..head.len().min(12)].windows(version.len());
    let is_container = file.starts_with(b"\x30") && first.any(|window| window == version);
    if has(b"PRIVATE KEY-----") || is_container {
        return Some(FileKind::Key);
    }
    if Certificate::read_all(file).is_ok_and(|found| !found.is_empty()) {
        return Some(FileKind::Certificate);
    }
    let beginnings: [(&[u8], FileKind); 8] = [
        (b"%PDF-", FileKind::Pdf),
        (b"\x89PNG", FileKind::Image),
        (b"\xff\xd8\xff", FileKind::Image),
        (b"GIF8", FileKind::Image),
        (b"<?xml", FileKind::Xml),
        (b"\xef\xbb\xbf<?xml", FileKind::Xml),
        (b"PK\x03\x04", FileKind::Zip),
        (b"\xd0\xcf\x11\xe0", FileKind::Office),
    ];
    let found = beginnings.iter().find(|(magic, _)| file.starts_with(magic));
    Some(match found {
        Some((_, FileKind::Zip)) if has(b"[Content_Types].xml") || has(b"vnd.oasis") => {
            FileKind::Office
        }
        Some((_, kind)) => *kind,
        None if is_text(head) => FileKind::Text,
        None => FileKind::Other,
    })
}

/// True for `SignedData` in any form, whether it can be read to its end or not.
pub(super) fn is_signature(file: &[u8]) -> bool {
    let Ok(bytes) = unarmor(file, Limits::SIGNATURE.size) else {
        return false;
    };
    let head = &bytes[..bytes.len().min(MAX_BEFORE_TYPE + SIGNED_DATA.len())];
    head.starts_with(b"\x30")
        && head
            .windows(SIGNED_DATA.len())
            .any(|one| one == SIGNED_DATA)
}

fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end within a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let is_shown = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    text.chars().all(is_shown)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use prichal_sign::testing::{Authority, Cms, Key, NOW, Signer};

    use super::*;

    #[test]
    fn files_are_known_by_their_contents() {
        let authority = Authority::new(Key::p256);
        let signature = Cms::detached(&[&Signer::new(&authority.signer, b"a", NOW)]).encode();
        let certificate = authority.root.der.clone();
        let long = "ж".repeat(HEAD_BYTES);
        let text = STANDARD.encode(&signature);
        let cases: [(&[u8], Option<FileKind>); 17] = [
            (&signature, None),
            (&signature[..40], None),
            (text.as_bytes(), None),
            (b"-----BEGIN CMS-----\n???\n-----END CMS-----\n", None),
            (&certificate, Some(FileKind::Certificate)),
            (
                b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII=\n",
                Some(FileKind::Key),
            ),
            (b"\x30\x82\x09\x00\x02\x01\x03\x30\x82", Some(FileKind::Key)),
            (b"%PDF-1.4\n", Some(FileKind::Pdf)),
            (b"\x89PNG\r\n\x1a\n", Some(FileKind::Image)),
            (b"\xff\xd8\xff\xe0", Some(FileKind::Image)),
            (b"<?xml version=\"1.0\"?>", Some(FileKind::Xml)),
            (b"PK\x03\x04 a.txt", Some(FileKind::Zip)),
            (b"PK\x03\x04 [Content_Types].xml", Some(FileKind::Office)),
            ("Договор".as_bytes(), Some(FileKind::Text)),
            (&long.as_bytes()[..=HEAD_BYTES], Some(FileKind::Text)),
            (b"hello", Some(FileKind::Text)),
            (b"\x00\x01\x02", Some(FileKind::Other)),
        ];
        for (file, kind) in cases {
            assert_eq!(instead_of_signature(file), kind, "{file:02x?}");
        }
    }
}
