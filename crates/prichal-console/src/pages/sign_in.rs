//! Signing in and out, and the language.

use askama::Template;
use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::Response,
};
use http::{Request, StatusCode, header, request::Parts};

use crate::{
    answer::{Fault, own_path, page, redirect},
    backend::{Refusal, SignIn},
    form::{Fields, HubAction, TOKEN_FIELD, collect, cookie, is_foreign_link, verify},
    language::{self, Language},
    page::{Bare, role_word},
    parts::visible,
    state::Console,
    visit::Visitor,
    words::{self, fill},
};

/// The lifetime of the cookie of a session: the session itself ends earlier.
const SESSION_SECONDS: u64 = 7 * 24 * 3600;
/// The cookie of a sign-in that goes on at the company's provider: the pending value, a dot, and the page to show after
/// it, form-encoded.
const PENDING_COOKIE: &str = "prichal_oidc";
/// The time that a person has at the provider.
const PENDING_SECONDS: u64 = 600;
/// The maximum length of the page in that cookie; browsers keep about 4 KB of a cookie.
const MAX_NEXT: usize = 2048;
/// The lifetime of the cookie of a language.
const LANGUAGE_SECONDS: u64 = 365 * 24 * 3600;

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignInPage<'a> {
    bare: Bare,
    w: &'static words::SignIn,
    next: &'a str,
    error: Option<&'static str>,
    /// The session that the browser has. It is replaced by the button alone, never by a link of another site.
    present: Option<Present>,
    /// The address at which a sign-in with the company's provider begins, if there is one.
    oidc: Option<String>,
}

/// The session that a browser has, as the form shows it.
struct Present {
    /// A sentence with the name of the person, and the effect of a new sign-in.
    text: String,
    form_token: String,
}

impl Present {
    fn new(visitor: &Visitor) -> Self {
        let w = words::SignIn::of(visitor.language);
        let common = words::Common::of(visitor.language);
        let role = role_word(visitor.session.role, common);
        Self {
            text: fill(w.present, &[&visible(&visitor.session.name), &role]),
            form_token: visitor.form_token.clone(),
        }
    }
}

/// The session of a browser, if it has one.
async fn present(console: &Console, parts: &mut Parts) -> Result<Option<Visitor>, Fault> {
    match Visitor::of(parts, console).await {
        Ok(visitor) => Ok(Some(visitor)),
        Err(Fault::SignedOut { .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Ends the earlier session of a browser that has begun another one. If the store is away, that session ends when it is
/// idle, and the server's log has the reason.
async fn end_earlier(console: &Console, earlier: Option<Visitor>) {
    if let Some(earlier) = earlier {
        console.sign_out(&earlier.session).await.ok();
    }
}

/// The form for links and tokens. A one-time link opens it with its secret in the fragment, which no server sees.
pub(super) async fn form(
    State(console): State<Console>,
    RawQuery(query): RawQuery,
    request: Request<Body>,
) -> Result<Response, Fault> {
    let (mut parts, _) = request.into_parts();
    let present = present(&console, &mut parts).await?;
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let language = Language::of(&parts.headers);
    Ok(sign_in_page(
        &console,
        language,
        fields.raw("next"),
        None,
        present.as_ref(),
    ))
}

fn sign_in_page(
    console: &Console,
    language: Language,
    next: &str,
    error: Option<&'static str>,
    present: Option<&Visitor>,
) -> Response {
    let w = words::SignIn::of(language);
    let next = own_path(next);
    let oidc = || format!("/console/oidc/start?next={}", encoded(next));
    page(&SignInPage {
        bare: Bare::new(language, w.title),
        w,
        next,
        error,
        present: present.map(Present::new),
        oidc: console.has_oidc().then(oidc),
    })
}

/// The form with the reason why nobody was signed in.
fn refused(
    console: &Console,
    language: Language,
    next: &str,
    refusal: (Refusal, &'static str),
    present: Option<&Visitor>,
) -> Response {
    let (refusal, error) = refusal;
    let mut response = sign_in_page(console, language, next, Some(error), present);
    *response.status_mut() = match refusal {
        Refusal::Invalid => StatusCode::UNAUTHORIZED,
        Refusal::Wait(_) => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    if let Refusal::Wait(seconds) = refusal {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Exchanges a link or a token for a session, which replaces that of the browser. A form that has not told of the
/// session is shown again.
pub(super) async fn submit(
    State(console): State<Console>,
    request: Request<Body>,
) -> Result<Response, Fault> {
    let (mut parts, body) = request.into_parts();
    let present = present(&console, &mut parts).await?;
    let client = console.client(&parts);
    let fields = Fields::parse(&collect(body).await?);
    let next = fields.raw("next");
    let language = Language::of(&parts.headers);
    let w = words::SignIn::of(language);
    if let Some(visitor) = &present
        && verify(visitor, fields.raw(TOKEN_FIELD)).is_err()
    {
        let mut response = sign_in_page(&console, language, next, None, Some(visitor));
        *response.status_mut() = StatusCode::CONFLICT;
        return Ok(response);
    }
    let by = credential(fields.text("credential"));
    let refusal = match console.sign_in(by, &client).await {
        Ok(signed_in) => {
            end_earlier(&console, present).await;
            let cookie = console.cookie(console.cookie_name(), &signed_in.secret, SESSION_SECONDS);
            return Ok(with_cookie(redirect(own_path(next)), &cookie));
        }
        Err(refusal) => refusal,
    };
    let error = match refusal {
        Refusal::Invalid => w.invalid,
        Refusal::Wait(_) => w.wait,
        Refusal::Unavailable => w.unavailable,
    };
    let refusal = (refusal, error);
    Ok(refused(&console, language, next, refusal, present.as_ref()))
}

/// Sends the browser to the company's provider. A link of another site cannot replace a session so.
pub(super) async fn begin_at_provider(
    State(console): State<Console>,
    RawQuery(query): RawQuery,
    request: Request<Body>,
) -> Result<Response, Fault> {
    let (mut parts, _) = request.into_parts();
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let next = own_path(fields.raw("next"));
    let language = Language::of(&parts.headers);
    let present = present(&console, &mut parts).await?;
    if console.has_oidc() && present.is_some() && is_foreign_link(&parts.headers) {
        return Ok(sign_in_page(
            &console,
            language,
            next,
            None,
            present.as_ref(),
        ));
    }
    let Ok(begun) = console.begin_at_provider().await else {
        let why = words::SignIn::of(language).provider_away;
        let refusal = (Refusal::Unavailable, why);
        return Ok(refused(&console, language, next, refusal, present.as_ref()));
    };
    let begun = begun.ok_or(Fault::NotFound)?;
    let next = Some(encoded(next)).filter(|next| next.len() <= MAX_NEXT);
    let kept = format!("{}.{}", begun.pending, next.unwrap_or_default());
    let cookie = console.cookie(PENDING_COOKIE, &kept, PENDING_SECONDS);
    Ok(with_cookie(redirect(&begun.url), &cookie))
}

/// Begins a session for the person whom the company's provider confirms.
pub(super) async fn return_from_provider(
    State(console): State<Console>,
    RawQuery(query): RawQuery,
    request: Request<Body>,
) -> Result<Response, Fault> {
    if !console.has_oidc() {
        return Err(Fault::NotFound);
    }
    let (mut parts, _) = request.into_parts();
    let present = present(&console, &mut parts).await?;
    let client = console.client(&parts);
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let kept = cookie(&parts.headers, PENDING_COOKIE).unwrap_or_default();
    let (pending, next) = kept.split_once('.').unwrap_or_default();
    let next = Fields::parse(format!("next={next}").as_bytes());
    let next = own_path(next.raw("next"));
    let by = SignIn::Provider {
        pending,
        state: fields.raw("state"),
        code: fields.raw("code"),
        workspace: next.split(['/', '?', '#']).nth(2).unwrap_or_default(),
    };
    let used = console.cookie(PENDING_COOKIE, "", 0);
    let language = Language::of(&parts.headers);
    let w = words::SignIn::of(language);
    let refusal = match console.sign_in(by, &client).await {
        Ok(signed_in) => {
            end_earlier(&console, present).await;
            let begun = console.cookie(console.cookie_name(), &signed_in.secret, SESSION_SECONDS);
            return Ok(with_cookie(with_cookie(redirect(next), &begun), &used));
        }
        Err(refusal) => refusal,
    };
    let error = match refusal {
        Refusal::Invalid => w.not_confirmed,
        Refusal::Wait(_) => w.wait,
        Refusal::Unavailable => w.provider_away,
    };
    let refused_with = (refusal, error);
    let mut response = refused(&console, language, next, refused_with, present.as_ref());
    if refusal == Refusal::Invalid {
        // The provider knows the person, who has no right here.
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
    Ok(with_cookie(response, &used))
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
    use http::Method;

    use super::*;
    use crate::{
        backend::Role,
        testing::{CREDENTIAL, Fake, request},
    };

    const NEXT: &str = "/console/acme/calls?answered=false&line=7";

    #[tokio::test]
    async fn a_person_returns_from_the_provider_to_the_page() {
        let site = Fake::new(Role::Viewer).with_oidc().open();
        let start = format!("/console/oidc/start?next={}", encoded(NEXT));
        let begun = site.get(Language::En, &start).await;
        assert_eq!(begun.location(), "https://sso.example/auth?state=s");
        let cookie = begun.headers[header::SET_COOKIE].to_str().expect("text");
        let (kept, rules) = cookie.split_once("; ").expect("rules");
        assert!(kept.starts_with("prichal_oidc=cGVuZGluZw."), "{kept}");
        assert_eq!(rules, "Path=/console; HttpOnly; SameSite=Lax; Max-Age=600");

        let cookies = format!("{kept}; prichal_language=en");
        for (code, status, leads_to) in [
            (CREDENTIAL, StatusCode::SEE_OTHER, Some(NEXT)),
            ("other", StatusCode::FORBIDDEN, None),
        ] {
            let path = format!("/console/oidc/callback?state=s&code={code}");
            let mut back = request(Method::GET, Language::En, &path);
            back.headers_mut()
                .insert(header::COOKIE, cookies.parse().expect("cookies"));
            let page = site.send(back).await;
            assert_eq!(page.status, status, "{code}");
            let cookies = page.headers.get_all(header::SET_COOKIE).iter();
            let cookies: Vec<_> = cookies.filter_map(|line| line.to_str().ok()).collect();
            assert!(
                cookies
                    .iter()
                    .any(|line| line.starts_with("prichal_oidc=; "))
            );
            let is_signed_in = cookies
                .iter()
                .any(|line| line.starts_with("prichal_session="));
            assert_eq!(is_signed_in, leads_to.is_some(), "{code}");
            match leads_to {
                Some(next) => assert_eq!(page.location(), next),
                None => assert!(page.text.contains("none of your groups")),
            }
        }
    }

    #[tokio::test]
    async fn without_a_provider_its_pages_do_not_exist() {
        let site = Fake::new(Role::Viewer).open();
        for path in [
            "/console/oidc/start",
            "/console/oidc/callback?state=s&code=c",
        ] {
            let page = site.get(Language::En, path).await;
            assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn a_session_is_replaced_by_a_form_that_tells_of_it() {
        let site = Fake::new(Role::Admin).open();
        let end = format!("END {}", uuid::Uuid::from_u128(1));
        let path = "/console/sign-in";
        let page = site.get(Language::En, path).await;
        assert!(page.text.contains("data-asks"), "the script waits");
        assert!(
            page.text
                .contains("You are signed in as Ана (administrator)")
        );

        let of_no_session = [("_form", "x"), ("credential", CREDENTIAL)];
        let mut stale = request(Method::POST, Language::En, path);
        let headers = stale.headers_mut();
        headers.insert("sec-fetch-site", "same-origin".parse().expect("a value"));
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(of_no_session);
        *stale.body_mut() = Body::from(form.finish());
        let page = site.send(stale).await;
        assert_eq!(page.status, StatusCode::CONFLICT);
        assert!(page.headers.get(header::SET_COOKIE).is_none());
        assert!(page.text.contains("data-asks"));

        let wrong = site.post(Language::En, path, &[("credential", "x")]).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
        assert!(site.sent().is_empty(), "the session lasts");
        let fields = [("credential", CREDENTIAL)];
        let page = site.post(Language::En, path, &fields).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER);
        assert_eq!(site.last_change().line, end);
    }

    #[tokio::test]
    async fn a_foreign_link_to_the_provider_asks_where_a_session_is() {
        let site = Fake::new(Role::Admin).with_oidc().open();
        for (from, status) in [
            ("cross-site", StatusCode::OK),
            ("same-site", StatusCode::OK),
            ("same-origin", StatusCode::SEE_OTHER),
            ("none", StatusCode::SEE_OTHER),
        ] {
            let mut start = request(Method::GET, Language::En, "/console/oidc/start");
            let headers = start.headers_mut();
            headers.insert("sec-fetch-site", from.parse().expect("a value"));
            assert_eq!(site.send(start).await.status, status, "{from}");
        }
    }

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
