//! The language of pages: chosen by the reader, else the one that the browser prefers.

use http::{HeaderMap, header};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    #[default]
    Ru,
    Kk,
    En,
}

/// The cookie of a chosen language.
pub(crate) const COOKIE: &str = "prichal_language";
/// The maximum number of languages of `Accept-Language` that are read.
const MAX_TAGS: usize = 16;

impl Language {
    pub const ALL: [Self; 3] = [Self::Ru, Self::Kk, Self::En];

    /// The code of the language (BCP 47).
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ru => "ru",
            Self::Kk => "kk",
            Self::En => "en",
        }
    }

    /// The name of the language in itself.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ru => "Русский",
            Self::Kk => "Қазақша",
            Self::En => "English",
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        let found = |one: &Self| one.code().eq_ignore_ascii_case(code);
        Self::ALL.into_iter().find(found)
    }

    /// The language of a request: of its cookie, else of its `Accept-Language`, else Russian.
    pub fn of(headers: &HeaderMap) -> Self {
        crate::form::cookie(headers, COOKIE)
            .and_then(Self::parse)
            .or_else(|| Self::preferred(headers))
            .unwrap_or_default()
    }

    /// The known language with the highest weight (RFC 9110 §12.5.4).
    fn preferred(headers: &HeaderMap) -> Option<Self> {
        let wanted = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
        let mut best = None;
        for one in wanted.split(',').take(MAX_TAGS) {
            let mut parts = one.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.parse().ok());
            let weight: f32 = weight.unwrap_or(1.0);
            let Some(language) = tag.split('-').next().and_then(Self::parse) else {
                continue;
            };
            if weight > best.map_or(0.0, |(weight, _)| weight) {
                best = Some((weight, language));
            }
        }
        best.map(|(_, language)| language)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_chosen_language_wins_over_the_browsers() {
        for (cookie, accepted, language) in [
            ("", "", Language::Ru),
            ("", "de", Language::Ru),
            ("", "en-US,en;q=0.9", Language::En),
            ("", "kk-KZ, en", Language::Kk),
            ("", "en;q=0.5, kk;q=0.8, *;q=0.1", Language::Kk),
            ("", "en;q=0", Language::Ru),
            ("prichal_language=en", "kk", Language::En),
            ("a=b; prichal_language=kk", "en", Language::Kk),
            ("prichal_language=xx", "en", Language::En),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(accepted));
            headers.insert(header::COOKIE, HeaderValue::from_static(cookie));
            assert_eq!(Language::of(&headers), language, "{cookie} {accepted}");
        }
    }
}
