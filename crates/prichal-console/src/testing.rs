//! A server for tests of pages: a [`Backend`] with canned answers, and checks of what pages show.
//!
//! ```text
//! let fake = Fake::new(Role::Admin).answer("GET /api/v1/acme/deliveries", json!({"items": []}));
//! let site = fake.open();
//! let page = site.get(Language::En, "/console/acme/deliveries").await;
//! ```
//!
//! [`snapshot`] compares a page with a file of `tests/snapshots/`, in each language and for each role.
//! `PRICHAL_WRITE_SNAPSHOTS=1` writes the files.

mod html;
mod offers;

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body};
use futures_util::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use http::{Extensions, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use jiff::tz::TimeZone;
use prichal_core::time::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

pub(crate) use self::html::{check_hostile, check_page, check_part};
use self::offers::check_offers;
use crate::{
    AtProvider, Backend, Beat, Client, Counters, Language, Refusal, Role, Session, SignIn,
    SignedIn, Unavailable, Workspace, form, router,
};

/// The value of the session's cookie.
const SECRET: &str = "the-secret-of-a-session";
/// The credential that signs in.
pub(crate) const CREDENTIAL: &str = "the-token";
/// The time of the server.
pub(crate) const NOW: &str = "2026-11-27T16:00:00Z";
/// A text that must be shown as it is.
pub(crate) const HOSTILE: &str =
    "\"'><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7*7 }}";

/// A server with one session, a workspace `acme`, and the answers that a test gives it.
pub(crate) struct Fake {
    role: Role,
    has_oidc: bool,
    user: Option<Uuid>,
    beats: Vec<Beat>,
    answers: Vec<(String, StatusCode, Value)>,
    requests: Mutex<Vec<Sent>>,
    missing: Mutex<Vec<String>>,
}

/// A request that a page has sent to the API.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    /// Such as `POST /api/v1/acme/resends?limit=5`.
    pub(crate) line: String,
    pub(crate) body: Value,
}

impl Fake {
    pub(crate) fn new(role: Role) -> Self {
        Self {
            role,
            has_oidc: false,
            user: None,
            beats: Vec::new(),
            answers: Vec::new(),
            requests: Mutex::default(),
            missing: Mutex::default(),
        }
    }

    /// Answers a request with 200. `line` is such as `GET /api/v1/acme/deliveries`; one without a query answers every
    /// query. A later answer to the same line wins.
    pub(crate) fn answer(self, line: &str, body: Value) -> Self {
        self.answer_with(line, 200, body)
    }

    /// Answers a request with a status. A text is sent as it is, anything else as JSON.
    pub(crate) fn answer_with(mut self, line: &str, status: u16, body: Value) -> Self {
        let status = StatusCode::from_u16(status).expect("a status");
        self.answers.push((line.to_owned(), status, body));
        self
    }

    /// Refuses a request as the API does to a session without the right.
    pub(crate) fn forbid(self, line: &str) -> Self {
        self.answer_with(
            line,
            403,
            json!({"title": "Forbidden", "detail": "The caller may not do this."}),
        )
    }

    pub(crate) fn with_oidc(mut self) -> Self {
        self.has_oidc = true;
        self
    }

    /// Puts hidden characters into every text for people among the answers.
    pub(crate) fn poisoned(mut self) -> Self {
        for (_, _, body) in &mut self.answers {
            poison("", body);
        }
        self
    }

    /// Bounds the session by the rights of a user.
    pub(crate) fn with_user(mut self) -> Self {
        self.user = Some(Uuid::from_u128(3));
        self
    }

    /// The changes that a stream tells before it ends.
    pub(crate) fn with_beats(mut self, beats: &[Beat]) -> Self {
        self.beats = beats.to_vec();
        self
    }

    pub(crate) fn open(self) -> Site {
        let fake = Arc::new(self);
        let router = router(fake.clone());
        Site { fake, router }
    }

    fn find(&self, line: &str) -> Option<(StatusCode, Value)> {
        let path = line.split('?').next().unwrap_or(line);
        let found = |wanted: &str| {
            let mut answers = self.answers.iter().rev();
            answers.find(|(line, ..)| line == wanted)
        };
        let (_, status, body) = found(line).or_else(|| found(path))?;
        Some((*status, body.clone()))
    }

    async fn answer_to(&self, request: Request<Body>) -> Response<Body> {
        let line = format!("{} {}", request.method(), request.uri());
        let body = request.into_body().collect().await.expect("a body");
        let body = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        self.requests.lock().expect("requests").push(Sent {
            line: line.clone(),
            body,
        });
        let (status, body) = self.find(&line).unwrap_or_else(|| {
            self.missing.lock().expect("requests").push(line);
            (StatusCode::NOT_IMPLEMENTED, Value::Null)
        });
        let text = match body {
            Value::String(text) => text,
            body => body.to_string(),
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        response
    }

    fn session(&self) -> Session {
        Session {
            id: Uuid::from_u128(1),
            role: self.role,
            name: "Ана".to_owned(),
            user: self.user,
            workspaces: if self.role == Role::Operator {
                Vec::new()
            } else {
                vec![Self::workspace()]
            },
            grant: Arc::new(()),
        }
    }

    fn workspace() -> Workspace {
        Workspace {
            id: Uuid::from_u128(2),
            name: "acme".to_owned(),
            title: "Рога и копыта".to_owned(),
            zone: TimeZone::get("Asia/Almaty").expect("a zone"),
            has_documents: true,
        }
    }
}

impl Backend for Fake {
    fn find_session<'a>(
        &'a self,
        secret: &'a str,
        _: &'a Client,
    ) -> BoxFuture<'a, Result<Option<Session>, Unavailable>> {
        Box::pin(async move { Ok(Some(self.session()).filter(|_| secret == SECRET)) })
    }

    fn sign_in<'a>(
        &'a self,
        by: SignIn<'a>,
        _: &'a Client,
    ) -> BoxFuture<'a, Result<SignedIn, Refusal>> {
        let (SignIn::Link(sent) | SignIn::Token(sent) | SignIn::Provider { code: sent, .. }) = by;
        Box::pin(async move {
            if sent != CREDENTIAL {
                return Err(Refusal::Invalid);
            }
            Ok(SignedIn {
                secret: SECRET.to_owned(),
                session: self.session(),
            })
        })
    }

    fn sign_out<'a>(&'a self, session: &'a Session) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.requests.lock().expect("requests").push(Sent {
            line: format!("END {}", session.id),
            body: Value::Null,
        });
        Box::pin(async { Ok(()) })
    }

    fn find_workspace<'a>(
        &'a self,
        _: &'a Session,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Workspace>, Unavailable>> {
        Box::pin(async move { Ok(Some(Self::workspace()).filter(|one| one.name == name)) })
    }

    fn call<'a>(
        &'a self,
        _: &'a Session,
        _: Option<&'a Workspace>,
        _: &'a Extensions,
        request: Request<Body>,
    ) -> BoxFuture<'a, Response<Body>> {
        Box::pin(self.answer_to(request))
    }

    fn pulse<'a>(
        &'a self,
        _: &'a Session,
        _: &'a Workspace,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Beat>, Unavailable>> {
        let beats = stream::iter(self.beats.clone()).boxed();
        Box::pin(async { Ok(beats) })
    }

    fn counters<'a>(
        &'a self,
        _: &'a Session,
        _: &'a Workspace,
    ) -> BoxFuture<'a, Result<Option<Counters>, Unavailable>> {
        Box::pin(async { Ok(None) })
    }

    fn client(&self, _: &http::request::Parts) -> Client {
        Client::default()
    }

    fn public_url(&self) -> String {
        "http://127.0.0.1:8080".to_owned()
    }

    fn has_oidc(&self) -> bool {
        self.has_oidc
    }

    fn begin_at_provider(&self) -> BoxFuture<'_, Result<Option<AtProvider>, Unavailable>> {
        let begun = self.has_oidc.then(|| AtProvider {
            url: "https://sso.example/auth?state=s".to_owned(),
            pending: "cGVuZGluZw".to_owned(),
        });
        Box::pin(async { Ok(begun) })
    }

    fn now(&self) -> Timestamp {
        Timestamp::parse(NOW).expect("a time")
    }
}

/// Characters that no page may show as they are: they turn the direction, end it, or have no width.
const POISON: &str = "\u{202e}\u{61c}\u{ad}\u{2028}\u{e0041}\u{7}";

/// Puts hidden characters behind texts for people: those with a space, in other letters, or in a member for them.
fn poison(member: &str, value: &mut Value) {
    const FOR_PEOPLE: [&str; 10] = [
        "name", "title", "fileName", "login", "note", "message", "error", "value", "version",
        "reason",
    ];
    match value {
        Value::String(text) => {
            let is_time = Timestamp::parse(text).is_some();
            let is_sentence = text.contains(' ') || !text.is_ascii();
            if !is_time && (is_sentence || FOR_PEOPLE.contains(&member)) {
                text.push_str(POISON);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|one| poison(member, one)),
        Value::Object(members) => {
            for (name, one) in members {
                poison(name, one);
            }
        }
        _ => {}
    }
}

/// The console of a [`Fake`], and a browser that is signed in.
pub(crate) struct Site {
    fake: Arc<Fake>,
    router: Router,
}

impl Site {
    /// Opens a page.
    pub(crate) async fn get(&self, language: Language, path: &str) -> Page {
        self.send(request(Method::GET, language, path)).await
    }

    /// Reads a part of a page, as htmx and lists that follow changes do.
    pub(crate) async fn part(&self, language: Language, path: &str) -> Page {
        let mut request = request(Method::GET, language, path);
        request
            .headers_mut()
            .insert("hx-request", "true".parse().expect("a header"));
        self.send(request).await
    }

    /// Sends a form of one of the session's own pages.
    pub(crate) async fn post(
        &self,
        language: Language,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Page {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair(form::TOKEN_FIELD, &form::token(SECRET));
        form.extend_pairs(fields);
        let (mut parts, ()) = request(Method::POST, language, path)
            .map(|_| ())
            .into_parts();
        let kind = "application/x-www-form-urlencoded";
        for (name, value) in [("sec-fetch-site", "same-origin"), ("content-type", kind)] {
            parts.headers.insert(name, value.parse().expect("a header"));
        }
        self.send(Request::from_parts(parts, Body::from(form.finish())))
            .await
    }

    /// Sends any request. The test fails if it makes a page ask for what has no canned answer.
    pub(crate) async fn send(&self, request: Request<Body>) -> Page {
        let line = format!("{} {}", request.method(), request.uri());
        let response = self.router.clone().oneshot(request).await;
        let (head, body) = response.expect("an answer").into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let missing = self.fake.missing.lock().expect("requests").clone();
        assert!(missing.is_empty(), "{line} calls {missing:#?}");
        let page = Page {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8(bytes.to_vec()).expect("a text"),
        };
        if page.text.starts_with("<!doctype html>") {
            check_page(&page.text);
        }
        page
    }

    /// The requests of pages to the API so far.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.fake.requests.lock().expect("requests").clone()
    }

    /// The last request that was no reading.
    pub(crate) fn last_change(&self) -> Sent {
        let mut sent = self.sent();
        sent.retain(|one| !one.line.starts_with("GET "));
        sent.pop().expect("a change")
    }
}

/// A request of a signed-in browser.
pub(crate) fn request(method: Method, language: Language, path: &str) -> Request<Body> {
    let cookies = format!(
        "prichal_session={SECRET}; prichal_language={}",
        language.code()
    );
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::COOKIE, cookies)
        .body(Body::empty())
        .expect("a request")
}

/// An answer of the console.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Page {
    /// The content of a page without its frame; the whole answer if it has no frame.
    pub(crate) fn main(&self) -> &str {
        let inside = || {
            let (_, text) = self.text.split_once("<main")?;
            let (_, text) = text.split_once('>')?;
            Some(text.split_once("</main>")?.0)
        };
        inside().unwrap_or(&self.text)
    }

    /// The address to which the answer leads.
    pub(crate) fn location(&self) -> &str {
        let value = self.headers.get(header::LOCATION).expect("a location");
        value.to_str().expect("a location")
    }
}

/// Compares the content of a page with `tests/snapshots/{name}.html`, in each language and for each role. Roles that see
/// the same share a section of the file.
pub(crate) async fn snapshot(name: &str, path: &str, fake: impl Fn(Role) -> Fake) {
    let mut sections: Vec<(String, String)> = Vec::new();
    for role in Role::ALL {
        // The page is checked as it is sent.
        let status = fake(role).open().get(Language::En, path).await.status;
        let poisoned = fake(role).poisoned().open();
        let page = poisoned.get(Language::En, path).await;
        assert_eq!(page.status, status, "{name} with hidden characters");
    }
    for language in Language::ALL {
        let mut same: Vec<(Vec<Role>, String)> = Vec::new();
        for role in Role::ALL {
            let page = fake(role).open().get(language, path).await;
            check_offers(role, path, &page.text);
            let text = format!("{}\n{}", page.status.as_u16(), tidy(page.main()));
            match same.iter_mut().find(|(_, seen)| *seen == text) {
                Some((roles, _)) => roles.push(role),
                None => same.push((vec![role], text)),
            }
        }
        for (roles, text) in same {
            sections.push((format!("{} {roles:?}", language.code()), text));
        }
    }
    compare(name, &sections);
}

/// Compares texts with `tests/snapshots/{name}.html`.
pub(crate) fn compare(name: &str, sections: &[(String, String)]) {
    let mut text = String::new();
    for (title, section) in sections {
        let _ = writeln!(text, "<!-- {title} -->\n{}", section.trim());
    }
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}.html"));
    if std::env::var_os("PRICHAL_WRITE_SNAPSHOTS").is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(&file, &text).expect("a snapshot");
        return;
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let lines = kept.lines().zip(text.lines()).enumerate();
    let differing = lines.into_iter().find(|(_, (kept, shown))| kept != shown);
    if let Some((number, (kept, shown))) = differing {
        panic!(
            "{} differs at line {}:\n- {kept}\n+ {shown}\nPRICHAL_WRITE_SNAPSHOTS=1 writes it anew.",
            file.display(),
            number + 1
        );
    }
    assert!(kept == text, "{} has another length", file.display());
}

/// A page without blank lines and spaces at the ends of lines, and with names of assets that do not change.
pub(crate) fn tidy(html: &str) -> String {
    let lines = html.lines().map(str::trim_end);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    let mut text = lines.join("\n");
    for (name, path) in crate::assets::paths() {
        text = text.replace(path, &format!("/console/assets/{name}"));
    }
    text.replace(&form::token(SECRET), "TOKEN")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frame is the same on each page, so it has a snapshot of its own.
    #[tokio::test]
    async fn the_frame_is_as_it_was() {
        let mut sections = Vec::new();
        for language in Language::ALL {
            for role in Role::ALL {
                let fake = Fake::new(role).answer(
                    "GET /admin/v1/workspaces",
                    json!({"items": [{"name": "acme", "title": null}, {"name": "beta"}]}),
                );
                let fake = fake
                    .answer("GET /api/v1/acme/deliveries", json!({"items": []}))
                    .answer("GET /api/v1/acme/integrations", json!({"items": []}));
                let page = fake.open().get(language, "/console/acme/deliveries").await;
                let frame = page.text.replace(page.main(), "");
                sections.push((format!("{} {role:?}", language.code()), tidy(&frame)));
            }
        }
        compare("frame", &sections);
    }

    #[tokio::test]
    async fn pages_without_a_workspace_are_as_they_were() {
        let list = json!({"items": [
            {"id": "019b76da-a800-7000-8000-000000000001", "name": "acme", "title": "Рога и копыта"},
            {"id": "019b76da-a800-7000-8000-000000000002", "name": "beta"},
        ]});
        snapshot("home", "/console", |role| {
            Fake::new(role).answer("GET /admin/v1/workspaces", list.clone())
        })
        .await;
        snapshot("sign-in-again", "/console/sign-in", |role| {
            Fake::new(role).with_oidc()
        })
        .await;
        let mut sections = Vec::new();
        for language in Language::ALL {
            let site = Fake::new(Role::Admin).with_oidc().open();
            let mut request = request(Method::GET, language, "/console/sign-in");
            let cookie = format!("prichal_language={}", language.code());
            let cookie = cookie.parse().expect("a cookie");
            request.headers_mut().insert(header::COOKIE, cookie);
            let page = site.send(request).await;
            sections.push((language.code().to_owned(), tidy(page.main())));
        }
        compare("sign-in", &sections);
        snapshot("not-found", "/console/other/deliveries", Fake::new).await;
        for (name, code) in [("store-away", "unavailable"), ("busy", "busy")] {
            let refusal = json!({"status": code, "message": "Try again"});
            snapshot(name, "/console/acme/deliveries?status=deferred", |role| {
                let list = "GET /api/v1/acme/deliveries";
                Fake::new(role).answer_with(list, 503, refusal.clone())
            })
            .await;
        }
    }
}
