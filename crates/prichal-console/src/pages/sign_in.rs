//! Signing in and out, and the language.

use askama::Template;
use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::Response,
};
use http::{HeaderMap, Request, StatusCode, header};

use crate::{
    answer::{Fault, own_path, page, redirect},
    backend::{Refusal, SignIn},
    form::{Fields, HubAction, collect},
    language::{self, Language},
    page::Bare,
    state::Console,
    words,
};

/// The lifetime of the cookie of a session: the session itself ends earlier.
const SESSION_SECONDS: u64 = 7 * 24 * 3600;
/// The lifetime of the cookie of a language.
const LANGUAGE_SECONDS: u64 = 365 * 24 * 3600;

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignInPage<'a> {
    bare: Bare,
    w: &'static words::SignIn,
    next: &'a str,
    error: Option<&'static str>,
    has_oidc: bool,
}

/// The form for links and tokens. A one-time link opens it with its secret in the fragment, which no server sees.
pub(super) async fn form(
    State(console): State<Console>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    sign_in_page(&console, Language::of(&headers), fields.raw("next"), None)
}

fn sign_in_page(
    console: &Console,
    language: Language,
    next: &str,
    error: Option<&'static str>,
) -> Response {
    let w = words::SignIn::of(language);
    page(&SignInPage {
        bare: Bare::new(language, w.title),
        w,
        next: own_path(next),
        error,
        has_oidc: console.has_oidc(),
    })
}

/// Exchanges a link or a token for a session.
pub(super) async fn submit(
    State(console): State<Console>,
    request: Request<Body>,
) -> Result<Response, Fault> {
    let (parts, body) = request.into_parts();
    let client = console.client(&parts);
    let fields = Fields::parse(&collect(body).await?);
    let by = credential(fields.text("credential"));
    let language = Language::of(&parts.headers);
    let w = words::SignIn::of(language);
    let refusal = match console.sign_in(by, &client).await {
        Ok(signed_in) => {
            let cookie = console.cookie(console.cookie_name(), &signed_in.secret, SESSION_SECONDS);
            let to = redirect(own_path(fields.raw("next")));
            return Ok(with_cookie(to, &cookie));
        }
        Err(refusal) => refusal,
    };
    let (status, error) = match refusal {
        Refusal::Invalid => (StatusCode::UNAUTHORIZED, w.invalid),
        Refusal::Wait => (StatusCode::TOO_MANY_REQUESTS, w.wait),
        Refusal::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, w.unavailable),
    };
    let mut response = sign_in_page(&console, language, fields.raw("next"), Some(error));
    *response.status_mut() = status;
    Ok(response)
}

/// The secret behind the `#` of a link, or a token.
fn credential(text: &str) -> SignIn<'_> {
    match text.split_once('#') {
        Some((_, secret)) => SignIn::Link(secret.trim()),
        None => SignIn::Token(text),
    }
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = cookie.parse() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Ends the session.
pub(super) async fn sign_out(action: HubAction) -> Result<Response, Fault> {
    let HubAction { visitor, .. } = action;
    visitor.console.sign_out(&visitor.session).await?;
    let console = &visitor.console;
    let cookie = console.cookie(console.cookie_name(), "", 0);
    Ok(with_cookie(redirect("/console/sign-in"), &cookie))
}

/// Chooses the language, also before a sign-in.
pub(super) async fn choose_language(
    State(console): State<Console>,
    body: Body,
) -> Result<Response, Fault> {
    let fields = Fields::parse(&collect(body).await?);
    let language = Language::parse(fields.text("language")).ok_or(Fault::NotFound)?;
    let cookie = console.cookie(language::COOKIE, language.code(), LANGUAGE_SECONDS);
    let to = redirect(own_path(fields.raw("next")));
    Ok(with_cookie(to, &cookie))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_known_by_its_fragment() {
        for (text, secret) in [
            ("https://hub.example/console/sign-in#abc", Some("abc")),
            ("#abc ", Some("abc")),
            ("abc", None),
        ] {
            match (credential(text), secret) {
                (SignIn::Link(found), Some(secret)) => assert_eq!(found, secret),
                (SignIn::Token(found), None) => assert_eq!(found, text),
                _ => panic!("{text}"),
            }
        }
    }
}
