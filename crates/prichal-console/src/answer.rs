//! Answers of the console: pages, redirects and faults, with the headers that keep a browser safe.

use askama::Template;
use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};

use crate::{
    api::ApiError,
    backend::Unavailable,
    form,
    language::Language,
    page::Bare,
    seen::seen,
    state::Console,
    visit::is_part,
    words::{self, fill},
};

/// The sources of everything that a page may load (CSP level 3). Nothing is inline, so names and payloads that got
/// into a page could not run.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     media-src 'self'; connect-src 'self'; frame-src 'self'; object-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'";

/// Lets a page connect to one source more.
pub(crate) fn connecting_to(mut page: Response, source: &str) -> Response {
    let own = "connect-src 'self'";
    let policy = CONTENT_POLICY.replace(own, &format!("{own} {source}"));
    if let Ok(policy) = policy.parse() {
        let headers = page.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    page
}

/// A page that cannot be shown.
#[derive(Debug)]
pub(crate) enum Fault {
    /// There is no session; `here` is the page that was asked for.
    SignedOut {
        here: String,
    },
    /// There is no such page, thing or workspace for this session.
    NotFound,
    /// A form of another site, or of a session that has ended.
    ForeignForm,
    /// The store is out of reach.
    Unavailable,
    Api(ApiError),
    /// A form that is larger than any of ours.
    TooLarge,
}

impl From<Unavailable> for Fault {
    fn from(Unavailable: Unavailable) -> Self {
        Self::Unavailable
    }
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        if error.is_not_found() {
            Self::NotFound
        } else if error.is_store_away() {
            Self::Unavailable
        } else {
            Self::Api(error)
        }
    }
}

/// The fault of a response until [`render`] shows it.
#[derive(Clone)]
struct Pending(std::sync::Arc<Fault>);

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        let pending = Pending(std::sync::Arc::new(self));
        response.extensions_mut().insert(pending);
        response
    }
}

/// Refuses changes that no page of the console has sent, shows faults in the reader's language, and adds the headers
/// of [`secure`].
pub(crate) async fn guard(
    State(console): State<Console>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let language = Language::of(&parts.headers);
    let is_part = is_part(&parts);
    let again = parts.method.is_safe().then(|| parts.uri.to_string());
    let is_foreign =
        form::is_change(&parts.method) && !form::is_own(&parts.headers, &console.public_url());
    let mut response = if is_foreign {
        Fault::ForeignForm.into_response()
    } else {
        next.run(Request::from_parts(parts, body)).await
    };
    if let Some(Pending(fault)) = response.extensions_mut().remove() {
        response = render(&fault, language, is_part, again.as_deref());
    }
    secure(&mut response);
    response
}

/// Answers a path below `/console` that no page has. A slash too many at its end leads to the page without it.
pub fn missing(request: &Parts) -> Response {
    let path = request.uri.path();
    let shorter = path.trim_end_matches('/');
    let mut response = if shorter.len() < path.len() {
        let query = request.uri.query();
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        moved(&format!("{shorter}{query}"))
    } else {
        let language = Language::of(&request.headers);
        render(&Fault::NotFound, language, is_part(request), None)
    };
    secure(&mut response);
    response
}

/// Adds the headers of every answer. Assets keep their own caching.
fn secure(response: &mut Response) {
    let headers = response.headers_mut();
    let caching = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(caching);
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    let opener = header::HeaderName::from_static("cross-origin-opener-policy");
    headers.insert(opener, HeaderValue::from_static("same-origin"));
}

/// Shows a fault. `again` is the address of the page that could not be shown, if it can be asked for again.
fn render(fault: &Fault, language: Language, is_part: bool, again: Option<&str>) -> Response {
    let w = words::Faults::of(language);
    let (status, title, text) = match fault {
        Fault::SignedOut { here } => return to_sign_in(here, is_part),
        Fault::NotFound => (StatusCode::NOT_FOUND, w.not_found, w.not_found_text.into()),
        Fault::ForeignForm => (StatusCode::FORBIDDEN, w.foreign, w.foreign_text.into()),
        Fault::Api(error) if error.is_forbidden() => {
            (StatusCode::FORBIDDEN, w.forbidden, error.message.clone())
        }
        Fault::Api(error) if error.is_refusal() => (error.status, w.refused, error.message.clone()),
        Fault::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, w.refused, w.too_large.into()),
        Fault::Unavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            w.store_away,
            w.store_away_text.into(),
        ),
        Fault::Api(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            w.unavailable,
            w.unavailable_text.into(),
        ),
    };
    let mut response = if is_part {
        // Shown above the page, which stays as it is.
        let text = fill(w.notice, &[&title, &text as &dyn std::fmt::Display]);
        let mut part = page(&Notice { text: &text });
        let headers = part.headers_mut();
        headers.insert("hx-retarget", HeaderValue::from_static("#notices"));
        headers.insert("hx-reswap", HeaderValue::from_static("innerHTML"));
        headers.insert("hx-reselect", HeaderValue::from_static(".notice"));
        part
    } else {
        page(&FaultPage {
            bare: Bare::new(language, title),
            w,
            text: &text,
            again: again.filter(|_| status == StatusCode::SERVICE_UNAVAILABLE),
        })
    };
    *response.status_mut() = status;
    response
}

#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage<'a> {
    bare: Bare,
    w: &'static words::Faults,
    text: &'a str,
    /// The address to ask for again.
    again: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "notice.html")]
struct Notice<'a> {
    text: &'a str,
}

fn to_sign_in(here: &str, is_part: bool) -> Response {
    let next = crate::api::query([("next", here)]);
    let to = format!("/console/sign-in{next}");
    if is_part {
        let mut response = StatusCode::NO_CONTENT.into_response();
        if let Ok(to) = to.parse() {
            response.headers_mut().insert("hx-redirect", to);
        }
        return response;
    }
    redirect(&to)
}

/// A page, or a part of one.
pub(crate) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => {
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            ([(header::CONTENT_TYPE, html)], Body::from(seen(text))).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page of the console cannot be rendered");
            Fault::Unavailable.into_response()
        }
    }
}

/// Leads the browser to a path of ours by GET (RFC 9110 §15.4.4).
pub(crate) fn redirect(to: &str) -> Response {
    let Ok(to) = to.parse::<HeaderValue>() else {
        return Fault::NotFound.into_response();
    };
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// Leads the browser to the same page at another path, with the same method (RFC 9110 §15.4.9).
fn moved(to: &str) -> Response {
    let Ok(to) = to.parse::<HeaderValue>() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response()
}

/// A path of the console to return to, from outside; the start page unless it is one.
pub(crate) fn own_path(path: &str) -> &str {
    let is_own =
        path == "/console" || path.starts_with("/console/") || path.starts_with("/console?");
    let is_plain = path
        .bytes()
        .all(|byte| (0x21..0x7f).contains(&byte) && byte != b'\\');
    let segments = path.split(['?', '#']).next().unwrap_or_default().split('/');
    if is_own && is_plain && !segments.into_iter().any(is_dots) {
        path
    } else {
        "/console"
    }
}

/// True for a segment that leads browsers up the path or nowhere (URL Standard, single-dot and double-dot segments).
fn is_dots(segment: &str) -> bool {
    let dots = segment.to_ascii_lowercase().replace("%2e", ".");
    dots == "." || dots == ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_paths_are_returned_to() {
        for (path, own) in [
            ("/console/acme/deliveries?status=deferred", true),
            ("/console", true),
            ("//evil.example", false),
            ("https://evil.example/console/", false),
            ("/consoles", false),
            ("/console/\\evil", false),
            ("/console/../hook/token", false),
            ("/console/a/%2e%2E/../hook/token", false),
            ("/console/.%2e/hook/token", false),
            ("/console/./acme", false),
            ("/console/%2E/acme", false),
            ("/console/..#x", false),
            ("/console/acme/v1..2/%2e%2e%2e?from=/../x", true),
            ("/console/\r\nx: y", false),
            ("", false),
        ] {
            assert_eq!(own_path(path) == path, own, "{path}");
        }
    }
}
