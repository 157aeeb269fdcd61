//! HTTP rules for all requests and answers of all dialects: a valid `Host`, a challenge with 401, 304 for an
//! unchanged resource, no body where none is allowed, and headers against sniffing, framing and caching by browsers.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, uri::Authority,
    },
    middleware::Next,
    response::Response,
};

use bytes::Bytes;
use hyper::body::{self as http_body, Frame};

use crate::{
    error::Error,
    http::{Dialects, cors},
    platform::Platform,
};

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Answers are personal, and many carry tokens.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Bearer realm="prichal""#);
const REFUSED: HeaderValue = HeaderValue::from_static(
    r#"Bearer realm="prichal", error_description="The token or key is unknown, expired or revoked", error="invalid_token""#,
);
/// The pages of the API's description load only their own scripts and styles.
const PAGE: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// Headers that describe a body, removed from an answer without one.
const OF_CONTENTS: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_ENCODING,
    header::CONTENT_DISPOSITION,
    header::TRANSFER_ENCODING,
];

/// An absent body. An empty one would have a length.
struct NoBody;

impl http_body::Body for NoBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

/// The facts of a request that its answer depends on.
struct Asked {
    reads: bool,
    known: Option<HeaderValue>,
    credentials: bool,
    page: bool,
}

/// Refuses invalid requests before any dialect sees them, and completes answers.
pub async fn apply(
    State((app, dialects)): State<(Platform, Dialects)>,
    request: Request,
    next: Next,
) -> Response {
    let asked = Asked::of(dialects, &request);
    let is_open = (dialects.is_open_to_pages)(request.uri().path());
    let open = cors::Open::of(&app, &request, is_open);
    let mut response = match host(&app, &request) {
        Err(error) => (dialects.refuse)(&app, request.uri().path(), request.headers(), &error),
        Ok(()) => match open.preflight(&request) {
            Some(answer) => answer,
            None => next.run(request).await,
        },
    };
    open.mark(response.headers_mut());
    asked.finish(&mut response);
    response
}

/// Refuses a request without exactly one `Host`, or with one that this server does not answer for.
fn host(app: &Platform, request: &Request) -> Result<(), Error> {
    let bad = |why: &str| Err(Error::invalid("Host", why));
    let mut given = request.headers().get_all(header::HOST).iter();
    let named = match (given.next(), given.next()) {
        (Some(_), Some(_)) => return bad("The request has more than one Host header."),
        (Some(one), None) => match authority(one) {
            Some(authority) => Some(authority),
            None => return bad("The Host header names no host."),
        },
        (None, _) if request.version() >= Version::HTTP_11 => {
            return bad("The request has no Host header.");
        }
        (None, _) => None,
    };
    // Probes use any address that they were given.
    let is_probe = matches!(request.uri().path(), "/healthz" | "/readyz");
    let allowed = &app.config.allowed_hosts;
    if allowed.is_empty() || is_probe {
        return Ok(());
    }
    let named = request.uri().authority().cloned().or(named);
    let is_allowed = named.is_some_and(|named| {
        let host = named.host();
        allowed.iter().any(|one| one.eq_ignore_ascii_case(host))
    });
    if is_allowed {
        Ok(())
    } else {
        bad(
            "The Host header names a host that this server does not answer for: `allowed-hosts` has no such name.",
        )
    }
}

fn authority(value: &HeaderValue) -> Option<Authority> {
    let authority = Authority::try_from(value.as_bytes()).ok()?;
    let is_bare = !authority.as_str().contains('@') && !authority.host().is_empty();
    is_bare.then_some(authority)
}

impl Asked {
    fn of(dialects: Dialects, request: &Request) -> Self {
        let (path, headers) = (request.uri().path(), request.headers());
        Self {
            reads: matches!(*request.method(), Method::GET | Method::HEAD),
            known: headers.get(header::IF_NONE_MATCH).cloned(),
            credentials: headers.contains_key(header::AUTHORIZATION)
                || (dialects.has_credential_header)(headers),
            page: is_page(path),
        }
    }

    fn finish(&self, response: &mut Response) {
        if self.is_cached(response) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let status = response.status();
        if is_empty(status) {
            *response.body_mut() = Body::new(NoBody);
            for name in OF_CONTENTS {
                response.headers_mut().remove(name);
            }
        }
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = if self.credentials { REFUSED } else { CHALLENGE };
            put(headers, header::WWW_AUTHENTICATE, challenge);
        }
        put(headers, header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        put(headers, header::CACHE_CONTROL, NO_STORE);
        if self.page {
            put(headers, header::CONTENT_SECURITY_POLICY, PAGE);
            put(
                headers,
                header::X_FRAME_OPTIONS,
                HeaderValue::from_static("DENY"),
            );
        }
    }

    /// True if the client's cached copy is current.
    fn is_cached(&self, response: &Response) -> bool {
        let is_given = matches!(
            response.status(),
            StatusCode::OK | StatusCode::PARTIAL_CONTENT
        );
        let tag = response.headers().get(header::ETAG);
        match (&self.known, tag) {
            (Some(known), Some(tag)) if self.reads && is_given => is_among(tag, known),
            _ => false,
        }
    }
}

/// The pages of the API's description.
fn is_page(path: &str) -> bool {
    ["/docs", "/swagger"].into_iter().any(|page| {
        let rest = path.strip_prefix(page);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// True if answers of this status never have a body.
fn is_empty(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

/// True if a tag is listed in an `If-None-Match`. Weak tags count like strong ones.
fn is_among(tag: &HeaderValue, known: &HeaderValue) -> bool {
    let (Ok(tag), Ok(known)) = (tag.to_str(), known.to_str()) else {
        return false;
    };
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.trim() == "*" || known.split(',').any(|one| bare(one) == bare(tag))
}

/// Adds a header unless the answer has it already.
fn put(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    headers.entry(name).or_insert(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> HeaderValue {
        HeaderValue::from_str(text).expect("a value")
    }

    #[test]
    fn tags_are_found_in_lists() {
        for (known, found) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("\"b\",W/\"a\" ", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(is_among(&value("\"a\""), &value(known)), found, "{known}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for good in [
            "a",
            "a.example:8080",
            "127.0.0.1",
            "[::1]:80",
            "A_b.example",
        ] {
            assert!(authority(&value(good)).is_some(), "{good}");
        }
        for bad in ["", "a b", "user@a", "a/b", ":80", "[::1", "a,b c"] {
            assert!(authority(&value(bad)).is_none(), "{bad}");
        }
    }

    #[test]
    fn pages_are_known_by_their_paths() {
        for (path, page) in [
            ("/docs", true),
            ("/docs/x.js", true),
            ("/swagger/", true),
            ("/docsx", false),
            ("/api/v1", false),
        ] {
            assert_eq!(is_page(path), page, "{path}");
        }
    }
}
