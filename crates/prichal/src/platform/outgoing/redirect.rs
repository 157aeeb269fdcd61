//! The destination of a redirect, as a log may show it.

use url::Url;

use super::Answer;
use super::target::Target;

/// The maximum number of characters of a destination that are shown.
const MAX_SHOWN: usize = 200;
/// The length from which a path segment with digits may be a secret.
const SECRET_LENGTH: usize = 16;

impl Answer {
    /// The destination of a redirect of `target`, without its query and other possible secrets.
    pub fn redirect(&self, target: &Target) -> Option<String> {
        if !matches!(self.status, 300..=303 | 305..=399) {
            return None;
        }
        let place = self.headers.get(hyper::header::LOCATION)?;
        let place = String::from_utf8_lossy(place.as_bytes());
        let base = Url::parse(&target.url()).ok()?;
        Some(match base.join(place.trim()) {
            Ok(place) => shown(place),
            Err(_) => "what is no URL".to_owned(),
        })
    }
}

fn shown(mut place: Url) -> String {
    place.set_query(None);
    place.set_fragment(None);
    // URLs without a host have neither, and are shown by their scheme alone.
    let is_bare = place
        .set_username("")
        .and(place.set_password(None))
        .is_err();
    if is_bare || place.cannot_be_a_base() {
        return format!("{}:…", place.scheme());
    }
    let path: Vec<&str> = place
        .path()
        .split('/')
        .map(|part| if is_secret(part) { "…" } else { part })
        .collect();
    let text = format!("{}{}", &place[..url::Position::BeforePath], path.join("/"));
    text.chars().take(MAX_SHOWN).collect()
}

fn is_secret(part: &str) -> bool {
    part.len() >= SECRET_LENGTH && part.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::HeaderMap;

    use super::*;

    fn place(status: u16, location: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert("location", location.parse().expect("a value"));
        let answer = Answer {
            status,
            headers,
            body: Bytes::new(),
            truncated: false,
            broken: None,
        };
        let target = Target::parse("https://a.example:8443/hooks/one?key=secret");
        answer.redirect(&target.expect("a target"))
    }

    #[test]
    fn a_redirect_is_named_without_its_secrets() {
        for (location, expected) in [
            (
                "https://b.example/login?token=secret#x",
                "https://b.example/login",
            ),
            (
                "/hooks/one/?key=secret",
                "https://a.example:8443/hooks/one/",
            ),
            ("two", "https://a.example:8443/hooks/two"),
            ("//c.example", "https://c.example/"),
            ("http://user:secret@d.example/", "http://d.example/"),
            (
                "https://b.example/t/0123456789abcdef/x",
                "https://b.example/t/…/x",
            ),
            ("mailto:secret@b.example", "mailto:…"),
            ("http://[", "what is no URL"),
        ] {
            assert_eq!(
                place(302, location).as_deref(),
                Some(expected),
                "{location}"
            );
        }
        assert_eq!(place(304, "/x"), None);
        assert_eq!(place(200, "/x"), None);
        let long = place(308, &format!("/{}", "x/".repeat(1000))).expect("a place");
        assert_eq!(long.chars().count(), MAX_SHOWN);
    }
}
