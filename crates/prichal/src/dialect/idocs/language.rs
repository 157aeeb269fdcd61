//! The language of errors: Russian, as the vendor's; Kazakh or English if the client prefers it
//! (`docs/contracts/idocs.md §8`).

use axum::http::{HeaderMap, header};
use serde::{Deserialize, Serialize};

/// The maximum number of characters of an argument of a sentence: one may come from outside. The longest of ours lists
/// the statuses of a document.
const MAX_ARGUMENT: usize = 500;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    #[default]
    Ru,
    Kk,
    En,
}

impl Language {
    /// The supported language that the client prefers (`Accept-Language`).
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let Some(wanted) = headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|value| value.to_str().ok())
        else {
            return Self::default();
        };
        let mut best = (0.0, Self::default());
        for one in wanted.split(',').take(16) {
            let mut parts = one.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let quality = parts
                .find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok())
                .unwrap_or(1.0);
            let language = match tag.split('-').next() {
                Some(tag) if tag.eq_ignore_ascii_case("ru") => Self::Ru,
                Some(tag) if tag.eq_ignore_ascii_case("kk") => Self::Kk,
                Some(tag) if tag.eq_ignore_ascii_case("en") => Self::En,
                _ => continue,
            };
            if quality > best.0 {
                best = (quality, language);
            }
        }
        best.1
    }
}

/// A sentence in three languages, with `{}` for each argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Localized {
    ru: &'static str,
    kk: &'static str,
    en: &'static str,
}

impl Localized {
    pub(super) const fn new(ru: &'static str, kk: &'static str, en: &'static str) -> Self {
        Self { ru, kk, en }
    }

    /// The sentence with its arguments, in their order.
    pub(super) fn text(&self, language: Language, args: &[&str]) -> String {
        let sentence = match language {
            Language::Ru => self.ru,
            Language::Kk => self.kk,
            Language::En => self.en,
        };
        let mut args = args.iter();
        let mut pieces = sentence.split("{}");
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            text.extend(args.next().unwrap_or(&"").chars().take(MAX_ARGUMENT));
            text.push_str(piece);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_preferred_supported_language_is_chosen() {
        for (wanted, language) in [
            ("", Language::Ru),
            ("de", Language::Ru),
            ("en-US,en;q=0.9", Language::En),
            ("kk-KZ", Language::Kk),
            ("en;q=0.5, kk;q=0.8, *;q=0.1", Language::Kk),
            ("fr, ru;q=0.2, en;q=0.1", Language::Ru),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(wanted));
            assert_eq!(Language::of(&headers), language, "{wanted}");
        }
        assert_eq!(Language::of(&HeaderMap::new()), Language::Ru);
    }

    #[test]
    fn arguments_are_inserted_in_order() {
        let sentence = Localized::new("а {} б {}", "ә {}{}", "no argument");
        assert_eq!(sentence.text(Language::Ru, &["1", "{}"]), "а 1 б {}");
        assert_eq!(sentence.text(Language::Kk, &["1"]), "ә 1");
        assert_eq!(sentence.text(Language::En, &["1"]), "no argument");
    }
}
