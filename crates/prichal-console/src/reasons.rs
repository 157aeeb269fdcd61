//! The reasons of reports on signatures in the reader's language. The API has them in English; the table is
//! `words/reasons.rs`.

use std::fmt::Write as _;

use crate::{
    language::Language,
    words::{REASONS, Reason},
};

/// The maximum depth of reasons within reasons.
const MAX_DEPTH: usize = 4;
/// The number of letters from which a text is known inside of another one. A shorter one may be a part of a name.
const MIN_INNER_LETTERS: usize = 7;

/// The reason that has any other one inside, and is looked for first.
const OUTERMOST: &str = "skipped {}";

/// The reason in the reader's language. Names, numbers and what the table does not have stay as they are.
pub(crate) fn translate(reason: &str, language: Language) -> String {
    if language == Language::En {
        return reason.to_owned();
    }
    let parts = reason.split("; ");
    let parts: Vec<_> = parts
        .map(|part| known(part, language, 0, 0).unwrap_or_else(|| part.to_owned()))
        .collect();
    parts.join("; ")
}

/// The words for a text of the table with at least so many letters. Of several, the one with most letters of its own
/// decides.
fn known(text: &str, language: Language, min_letters: usize, depth: usize) -> Option<String> {
    if depth > MAX_DEPTH {
        return None;
    }
    let matches = REASONS.iter().filter_map(|reason| {
        let letters = letters(reason[0]);
        let args = (letters >= min_letters).then(|| args(reason[0], text))??;
        // A name stands before what is said of it, so what is said does not begin with a name.
        let has_name = reason[0].starts_with("{}") && args[0].contains(": ");
        (!has_name).then_some((letters, reason, args))
    });
    let inner = |text: &str| {
        known(text, language, MIN_INNER_LETTERS, depth + 1).unwrap_or_else(|| text.to_owned())
    };
    let rank =
        |(letters, [english, ..], _): &(usize, &Reason, _)| (*english == OUTERMOST, *letters);
    let Some((_, reason, args)) = matches.max_by_key(rank) else {
        // The name of a thing, and what is said of it.
        let (name, said) = text.split_once(": ")?;
        let said = known(said, language, MIN_INNER_LETTERS, depth + 1)?;
        return Some(format!("{}: {said}", inner(name)));
    };
    let args: Vec<String> = args.into_iter().map(inner).collect();
    Some(filled(words(reason, language), &args))
}

const fn words(reason: &Reason, language: Language) -> &'static str {
    match language {
        Language::En => reason[0],
        Language::Ru => reason[1],
        Language::Kk => reason[2],
    }
}

fn letters(template: &str) -> usize {
    template.chars().filter(|c| c.is_alphabetic()).count()
}

/// The texts in the places of `{}`, each as short as possible. `None` if the text is not made of this template.
fn args<'a>(template: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let Some((first, rest)) = template.split_once("{}") else {
        return (template == text).then(Vec::new);
    };
    let mut text = text.strip_prefix(first)?;
    let mut pieces = rest.split("{}").peekable();
    let mut args = Vec::new();
    while let Some(piece) = pieces.next() {
        let end = if pieces.peek().is_none() {
            text.strip_suffix(piece)?.len()
        } else {
            text.find(piece)?
        };
        args.push(text.get(..end).filter(|arg| !arg.is_empty())?);
        text = &text[end + piece.len()..];
    }
    Some(args)
}

/// A text with its arguments in the places of `{0}`, and the right forms of the words in the places of `{0|…|…|…}`.
fn filled(template: &str, args: &[String]) -> String {
    let mut pieces = template.split('{');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (place, rest) = piece.split_once('}').unwrap_or((piece, ""));
        let mut parts = place.split('|');
        let number = parts.next().and_then(|number| number.parse::<usize>().ok());
        let arg = number.and_then(|number| args.get(number));
        let arg = arg.map_or("", |arg| arg.as_str());
        let forms: Vec<&str> = parts.collect();
        let shown = match forms[..] {
            [one, few, many] => [one, few, many][plural(arg)],
            _ => arg,
        };
        let _ = write!(text, "{shown}{rest}");
    }
    text
}

/// The form of a Russian word after a number: that of 1, of 2, or of 5 (Unicode CLDR, plural rules).
fn plural(number: &str) -> usize {
    let number: u64 = number.parse().unwrap_or(0);
    match (number % 10, number % 100) {
        (1, last) if last != 11 => 0,
        (2..=4, last) if !(12..=14).contains(&last) => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// The literals after these words in a source, without its tests.
    fn literals(source: &str, found: &mut BTreeSet<String>) {
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        for (begin, count) in [("reason!(", 1), ("#[error(", 1), ("plural!(", 2)] {
            for rest in source.split(begin).skip(1) {
                let mut quoted = rest.split('"').skip(1).step_by(2);
                for literal in quoted.by_ref().take(count) {
                    found.insert(literal.to_owned());
                }
            }
        }
    }

    /// A literal of `format!` with `{}` for each argument.
    fn template(literal: &str) -> String {
        let mut pieces = literal.split('{');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (_, rest) = piece.split_once('}').expect("an argument");
            let _ = write!(text, "{{}}{rest}");
        }
        text
    }

    fn sources(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                literals(&fs::read_to_string(path).expect("a source"), found);
            }
        }
    }

    #[test]
    fn every_reason_has_words_in_each_language() {
        let mut found = BTreeSet::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        sources(&root.join("../prichal-sign/src"), &mut found);
        let found: BTreeSet<String> = found.iter().map(|literal| template(literal)).collect();
        // Those that only join others.
        let found: BTreeSet<_> = found.iter().filter(|one| letters(one) > 0).collect();
        let table: BTreeSet<String> = REASONS.iter().map(|one| one[0].to_owned()).collect();
        assert_eq!(table.len(), REASONS.len(), "twice in the table");
        let missing: Vec<_> = found.iter().filter(|one| !table.contains(**one)).collect();
        let unused: Vec<_> = table.iter().filter(|one| !found.contains(one)).collect();
        assert!(
            missing.is_empty() && unused.is_empty(),
            "{missing:#?} {unused:#?}"
        );
        assert!(found.len() > 150, "{}", found.len());
    }

    #[test]
    fn words_have_the_arguments_of_their_reason() {
        for reason in REASONS {
            let count = reason[0].matches("{}").count();
            for words in &reason[1..] {
                assert!(!words.is_empty() && words.trim() == *words, "{reason:?}");
                for piece in words.split('{').skip(1) {
                    let (place, _) = piece.split_once('}').expect("an end");
                    let mut parts = place.split('|');
                    let number: usize =
                        parts.next().and_then(|n| n.parse().ok()).expect("a number");
                    assert!(
                        number < count && [0, 3].contains(&parts.count()),
                        "{reason:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn reasons_are_told_in_the_readers_language() {
        for (reason, russian) in [
            ("SignedData with 1 signer", "SignedData с 1 подписавшим"),
            ("SignedData with 22 signers", "SignedData с 22 подписавшими"),
            ("SHA-256 of 13 bytes", "SHA-256 от 13 байт"),
            ("SHA-256 of 21 bytes", "SHA-256 от 21 байта"),
            ("4 signed attributes", "4 подписанных атрибута"),
            (
                "CN=Ivan: CRL of CN=Trial authority of 2026-11-27T15:04:05Z",
                "CN=Ivan: список отзыва CN=Trial authority от 2026-11-27T15:04:05Z",
            ),
            (
                "no usable revocation data for CN=Ivan; no usable revocation data for CN=CA",
                "нет пригодных сведений об отзыве: CN=Ivan; нет пригодных сведений об отзыве: CN=CA",
            ),
            (
                "skipped a certificate: the version of a certificate is malformed",
                "пропущено: a certificate: составлено неправильно: the version of a certificate",
            ),
            (
                "time-stamp of 2026-11-27T15:04:05Z does not count: its message imprint does not match",
                "метка времени 2026-11-27T15:04:05Z не учитывается: её отпечаток не сходится",
            ),
            (
                "there are no signed attributes (ignored)",
                "подписанных атрибутов нет (не учитывается)",
            ),
            (
                "CN=Ivan <- CN=Trial authority",
                "CN=Ivan <- CN=Trial authority",
            ),
            ("something new", "something new"),
            ("", ""),
        ] {
            assert_eq!(translate(reason, Language::Ru), russian);
            assert_eq!(translate(reason, Language::En), reason);
        }
        assert_eq!(
            translate("SignedData with 2 signers", Language::Kk),
            "2 қол қоюшысы бар SignedData"
        );
    }

    #[test]
    fn hostile_texts_take_little_time() {
        let long = "skipped skipped: the is not; ".repeat(20);
        assert!(translate(&long, Language::Ru).len() < 10 * long.len());
        let deep = "skipped ".repeat(60);
        assert!(translate(&deep, Language::Ru).contains("skipped"));
    }
}
