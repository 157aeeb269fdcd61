//! Cookies and forms, and the checks by which a form of another site is refused.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, Method, header};
use http_body_util::{BodyExt as _, Limited};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    answer::Fault,
    state::Console,
    visit::{Visit, Visitor},
};

/// The field of a form that holds [`token`].
pub(crate) const TOKEN_FIELD: &str = "_form";
/// The header by which scripts send [`token`].
pub(crate) const TOKEN_HEADER: &str = "x-form-token";
/// The maximum size of a form. Scripts of a channel may have 256 KiB, which percent-encoding can triple.
const MAX_FORM: usize = 1 << 20;

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(found, value)| (found == name).then_some(value))
}

/// The token that the forms of a session carry. Other sites cannot know it, since they cannot read the cookie.
pub(crate) fn token(secret: &str) -> String {
    let hash = Sha256::new()
        .chain_update("prichal console form\n")
        .chain_update(secret)
        .finalize();
    crate::assets::hex(&hash)
}

/// True for a request that a page of this server has sent, as far as the browser tells (Fetch Metadata; RFC 6454 §7).
/// Browsers send at least one of the two headers with each form.
pub(crate) fn is_own(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = text(header::ORIGIN.as_str()) else {
        return false;
    };
    let host = text(header::HOST.as_str()).unwrap_or_default();
    let is_host = |scheme: &str| origin.strip_prefix(scheme) == Some(host);
    origin == public_url.trim_end_matches('/') || is_host("http://") || is_host("https://")
}

/// True for a link that another site has followed, as far as the browser tells.
pub(crate) fn is_foreign_link(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site == "cross-site" || site == "same-site")
}

/// True for a request that may change something.
pub(crate) fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The fields of a form, in the order of the page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    pub(crate) fn of(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The same fields with one more, which comes before others of its name.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let first = (name.to_owned(), value.to_owned());
        Self([first].into_iter().chain(self.0.iter().cloned()).collect())
    }

    /// The value of a field, without spaces around it; empty if the form lacks it.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The value of a field as it was sent.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    /// The value of a field that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// True for a box that was ticked.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The values of all fields with a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(found, _)| found == name);
        named.map(|(_, value)| value.as_str())
    }
}

/// A form of one of the session's own pages, in a workspace. A handler that takes it is safe from forms of others.
pub(crate) struct Action {
    pub(crate) visit: Visit,
    pub(crate) fields: Fields,
}

impl FromRequest<Console> for Action {
    type Rejection = Fault;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Fault> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::of(&mut parts, console).await?;
        let fields = read(&visit, &parts.headers, body).await?;
        Ok(Self { visit, fields })
    }
}

/// The same outside of workspaces.
pub(crate) struct HubAction {
    pub(crate) visitor: Visitor,
    pub(crate) fields: Fields,
}

impl FromRequest<Console> for HubAction {
    type Rejection = Fault;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Fault> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::of(&mut parts, console).await?;
        let fields = read(&visitor, &parts.headers, body).await?;
        Ok(Self { visitor, fields })
    }
}

async fn read(
    visitor: &Visitor,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<Fields, Fault> {
    let fields = Fields::parse(&collect(body).await?);
    let header = headers
        .get(TOKEN_HEADER)
        .and_then(|value| value.to_str().ok());
    let sent = header.unwrap_or_else(|| fields.raw(TOKEN_FIELD));
    verify(visitor, sent)?;
    Ok(fields)
}

/// Refuses a form without the session's token.
pub(crate) fn verify(visitor: &Visitor, sent: &str) -> Result<(), Fault> {
    let is_right = sent.as_bytes().ct_eq(visitor.form_token.as_bytes());
    if is_right.into() {
        Ok(())
    } else {
        Err(Fault::ForeignForm)
    }
}

/// The whole body of a form.
pub(crate) async fn collect(body: axum::body::Body) -> Result<Bytes, Fault> {
    let collected = Limited::new(body, MAX_FORM).collect().await;
    let collected = collected.map_err(|_| Fault::TooLarge)?;
    Ok(collected.to_bytes())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn forms_of_other_sites_are_found() {
        let own = "https://hub.example.kz";
        for (site, origin, is_right) in [
            (Some("same-origin"), None, true),
            (Some("same-site"), Some(own), false),
            (Some("cross-site"), Some(own), false),
            (Some("none"), None, false),
            (None, Some(own), true),
            (None, Some("http://127.0.0.1:8080"), true),
            (None, Some("https://127.0.0.1:8080"), true),
            (None, Some("http://127.0.0.1:8081"), false),
            (None, Some("null"), false),
            (None, Some("https://hub.example.kz.evil.example"), false),
            (None, None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8080"));
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(
                is_own(&headers, "https://hub.example.kz/"),
                is_right,
                "{site:?} {origin:?}"
            );
        }
    }

    #[test]
    fn fields_are_read() {
        let fields = Fields::parse(b"a=1&b=+x%20y+&a=2&c=");
        assert_eq!(fields.text("b"), "x y");
        assert_eq!(fields.raw("b"), " x y ");
        assert_eq!(fields.get("c"), None);
        assert!(fields.has("c") && !fields.has("d"));
        assert_eq!(fields.all("a").collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn the_token_of_a_form_is_not_the_secret() {
        let token = token("secret");
        assert_eq!(token.len(), 64);
        assert!(!token.contains("secret"));
        assert_ne!(token, super::token("secret2"));
    }
}
