//! What errors are said in: Russian, as the vendor's are; Kazakh or English when the client asks for it
//! (`docs/contracts/idocs.md §8`).

use axum::http::{HeaderMap, header};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    #[default]
    Ru,
    Kk,
    En,
}

impl Language {
    /// The language that the client likes best of those that are known.
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

/// A sentence in the three languages. `{}` stands for what is known only when it is said.
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

    /// The sentence with its gaps filled in, in their order.
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
            // What comes from outside is not repeated at any length.
            text.extend(args.next().unwrap_or(&"").chars().take(200));
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
    fn the_best_liked_of_the_known_ones() {
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
    fn gaps_are_filled_in_order() {
        let said = Localized::new("а {} б {}", "ә {}{}", "no gap");
        assert_eq!(said.text(Language::Ru, &["1", "{}"]), "а 1 б {}");
        assert_eq!(said.text(Language::Kk, &["1"]), "ә 1");
        assert_eq!(said.text(Language::En, &["1"]), "no gap");
    }
}
