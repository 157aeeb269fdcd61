//! File names in answers: `Content-Disposition` (RFC 6266, RFC 8187).

use std::fmt::Write;

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prichal_core::hidden::is_hidden;

/// The maximum bytes of a name: longer ones fit neither a file system nor a header.
const MAX_NAME_BYTES: usize = 255;

/// The characters to encode: all but `attr-char` of RFC 8187.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// `attachment` with the name for every browser: plain ASCII in `filename`, and the exact name in `filename*` if it
/// differs.
pub fn attachment(file_name: &str) -> HeaderValue {
    let name = saved_name(file_name);
    let fallback: String = name
        .chars()
        .map(|c| match c {
            // Browsers disagree about quoting and some decode percent signs, so neither occurs.
            '"' | '\\' | '%' => '_',
            ' '..='~' => c,
            _ => '_',
        })
        .collect();
    let mut header = format!("attachment; filename=\"{fallback}\"");
    if fallback != name {
        let _ = write!(
            header,
            "; filename*=UTF-8''{}",
            utf8_percent_encode(&name, ENCODED)
        );
    }
    HeaderValue::try_from(header).expect("is printable ASCII")
}

/// The name under which a browser should save the file, without any folder.
fn saved_name(file_name: &str) -> String {
    let name = clean(&file_name.replace(['/', '\\'], "_"));
    match name.trim_start_matches('.') {
        "" => "file".to_owned(),
        _ => name,
    }
}

/// The name without hidden characters, some of which make `gpj.exe` look like `exe.jpg`, without
/// surrounding space, and cut to the maximum length. May be empty.
pub fn clean(file_name: &str) -> String {
    let shown = |c: &char| !c.is_control() && !is_hidden(*c);
    let name: String = file_name.chars().filter(shown).collect();
    let name = name.trim();
    if name.chars().count() <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    // The extension tells the type of the file, so the cut is before it.
    let extension = match name.rfind('.') {
        Some(dot) if name[dot..].chars().count() <= 16 => &name[dot..],
        _ => "",
    };
    let room = MAX_NAME_BYTES - extension.chars().count();
    let kept: String = name.chars().take(room).collect();
    format!("{}{extension}", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &str) {
        assert_eq!(attachment(name), expected, "{name:?}");
    }

    #[test]
    fn plain_names_appear_once() {
        check("report.pdf", r#"attachment; filename="report.pdf""#);
        check(
            "my report (1); final.pdf",
            r#"attachment; filename="my report (1); final.pdf""#,
        );
        check(".profile", r#"attachment; filename=".profile""#);
    }

    #[test]
    fn cyrillic_names_appear_twice() {
        check(
            "Договор №5.pdf",
            "attachment; filename=\"_______ _5.pdf\"; \
             filename*=UTF-8''%D0%94%D0%BE%D0%B3%D0%BE%D0%B2%D0%BE%D1%80%20%E2%84%965.pdf",
        );
        check(
            "қаз😀.txt",
            "attachment; filename=\"____.txt\"; \
             filename*=UTF-8''%D2%9B%D0%B0%D0%B7%F0%9F%98%80.txt",
        );
    }

    #[test]
    fn quotes_and_percent_signs_do_not_break_out() {
        check(
            "a\"b%41.txt",
            "attachment; filename=\"a_b_41.txt\"; filename*=UTF-8''a%22b%2541.txt",
        );
        check("x'y*(z).txt", "attachment; filename=\"x'y*(z).txt\"");
        check(
            "ф'*().txt",
            "attachment; filename=\"_'*().txt\"; filename*=UTF-8''%D1%84%27%2A%28%29.txt",
        );
    }

    #[test]
    fn control_characters_are_dropped() {
        check(
            "a\r\nSet-Cookie: x\0.txt",
            r#"attachment; filename="aSet-Cookie: x.txt""#,
        );
        check(
            "photo\u{202e}gpj.exe",
            r#"attachment; filename="photogpj.exe""#,
        );
        check("\u{85}a\u{7f}.txt", r#"attachment; filename="a.txt""#);
    }

    #[test]
    fn names_stay_in_their_folder() {
        check(
            "../../etc/passwd",
            r#"attachment; filename=".._.._etc_passwd""#,
        );
        check(
            r"C:\dir\file.txt",
            r#"attachment; filename="C:_dir_file.txt""#,
        );
        for nothing in ["", " ", ".", "..", "\n", " . "] {
            check(nothing, r#"attachment; filename="file""#);
        }
    }

    #[test]
    fn long_names_keep_their_extension() {
        let long = clean(&format!("{}.pdf", "ф".repeat(1000)));
        assert_eq!(long.chars().count(), 255);
        assert!(long.ends_with("ф.pdf"));
        assert_eq!(clean(&"x.".repeat(400)).len(), 255);
        assert_eq!(clean(&"xx ".repeat(400)).len(), 254, "no space at the cut");
        assert_eq!(clean(&format!(".{}", "x".repeat(400))).len(), 255);
    }
}
