//! Faces: each owns one foreign contract, its wire types, its routes and the wording of its errors.
//! It owns no rule and no SQL, and knows no other face.
//!
//! A handler answers with [`Error`], which only rides on an empty response; the layer of the face it
//! leaves through gives it status and body ([`worded`]). Refusals by extractors and unknown routes
//! travel the same way.

pub mod admin;
pub mod crm;
pub mod edo;
pub mod era;
pub mod once;

use std::{error::Error as StdError, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{Extensions, HeaderMap, StatusCode, header, request::Parts},
    middleware::map_response,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use prichal_core::json;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    app::App,
    error::{Error, Result},
    guess,
};

/// A JSON body may be this long.
pub const JSON_LIMIT: usize = 1 << 20;
/// How long a JSON body may take to come.
const BODY: Duration = Duration::from_mins(1);
/// How long a body that is too long is read on.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Unworded(Arc<Error>);

impl IntoResponse for Error {
    /// Only carries the error out. The face gives it a status and a body.
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Unworded(Arc::new(self)));
        response
    }
}

/// Words every error that leaves this router, and logs those that are our own fault. `Guard` lets in
/// who may know what there is.
pub fn worded<Guard>(
    router: Router<App>,
    face: &'static str,
    words: fn(&Error) -> Response,
) -> Router<App>
where
    Guard: FromRequestParts<App, Rejection = Error> + Send + 'static,
{
    worded_for::<Guard>(router, face, move |error, _| words(error))
}

/// The same for words that depend on who hears them: the layers below have left that with the response.
pub fn worded_for<Guard>(
    router: Router<App>,
    face: &'static str,
    words: impl Fn(&Error, &Extensions) -> Response + Clone + Send + Sync + 'static,
) -> Router<App>
where
    Guard: FromRequestParts<App, Rejection = Error> + Send + 'static,
{
    let router = router.method_not_allowed_fallback(wrong_method::<Guard>);
    router.layer(map_response(move |mut response: Response| {
        let words = words.clone();
        async move {
            match response.extensions_mut().remove::<Unworded>() {
                None => response,
                Some(Unworded(error)) => {
                    let error = guess::judged(error);
                    if let Error::Busy | Error::Unavailable(_) | Error::Internal(_) = *error {
                        tracing::error!(face, error = &*error as &dyn StdError, "request failed");
                        metrics::counter!("prichal_request_faults_total", "face" => face)
                            .increment(1);
                    } else {
                        metrics::counter!("prichal_request_refusals_total", "face" => face)
                            .increment(1);
                    }
                    let mut worded = words(&error, response.extensions());
                    // What the layers below have said of the request holds for its error as well.
                    let mut lines = std::mem::take(response.headers_mut());
                    lines.extend(std::mem::take(worded.headers_mut()));
                    *worded.headers_mut() = lines;
                    worded
                }
            }
        }
    }))
}

async fn wrong_method<Guard>(_: Guard) -> Error {
    Error::WrongMethod
}

/// The answer to a request for what is not there, in the words of the face that its prefix belongs to.
pub async fn no_route(State(app): State<App>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let refused = match prefix(parts.uri.path()) {
        (Some("api"), Some("v1")) => crm::routes::Guard::from_request_parts(&mut parts, &app)
            .await
            .err(),
        (Some("api"), Some("v3" | "1")) => edo::routes::Guard::from_request_parts(&mut parts, &app)
            .await
            .err(),
        (Some("admin"), _) => admin::routes::Administrator::from_request_parts(&mut parts, &app)
            .await
            .err(),
        (Some("rest"), Some("v1")) => era::routes::Guard::from_request_parts(&mut parts, &app)
            .await
            .err(),
        _ => None,
    };
    let refused = guess::judged(Arc::new(refused.unwrap_or(Error::NoRoute)));
    words_at(&app, parts.uri.path(), &parts.headers, &refused)
}

/// The first two segments of a path.
fn prefix(path: &str) -> (Option<&str>, Option<&str>) {
    let mut segments = path.split('/').skip(1);
    (segments.next(), segments.next())
}

/// An error in the words of the face that a path belongs to.
pub fn words_at(app: &App, path: &str, headers: &HeaderMap, error: &Error) -> Response {
    match prefix(path) {
        (Some("api"), Some("v1")) => crm::routes::words(error),
        (Some("api"), Some("v3" | "1")) => edo::routes::words(app, error, headers),
        (Some("rest"), Some("v1")) | (Some("exec" | "hook" | "ws"), _) => era::routes::words(error),
        _ => admin::routes::words(error),
    }
}

/// Sets `Retry-After` where trying again is the right thing to do.
pub fn retry_after(error: &Error, mut response: Response) -> Response {
    let after = match error {
        Error::Busy | Error::Unavailable(_) => header::HeaderValue::from(1),
        Error::Throttled { after } => (*after).into(),
        Error::TooMany { seconds } => (*seconds).into(),
        _ => return response,
    };
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, after);
    response
}

/// Throws away a bounded part of a body that is too long: a client that is still sending when the
/// connection is closed may never see the answer.
async fn linger(body: &mut Body) {
    let thrown_away = async {
        let mut left = 8 * JSON_LIMIT;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whoever is slower than this has lost the answer.
    let _ = tokio::time::timeout(LINGER, thrown_away).await;
}

/// The bytes of a body, at most [`JSON_LIMIT`] of them. A body that declares more is refused unread.
pub struct Raw(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        read_body(request, JSON_LIMIT).await.map(Self)
    }
}

/// The bytes of a body, at most `limit` of them.
pub async fn read_body(request: Request, limit: usize) -> Result<Bytes> {
    let too_large = Error::TooLarge {
        limit: limit as u64,
    };
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // Who waits for a word before it sends is not told to send what is thrown away.
    let waits = request.headers().contains_key(header::EXPECT);
    let mut body = request.into_body();
    if declared.is_some_and(|length| length > limit as u64) {
        if !waits {
            linger(&mut body).await;
        }
        return Err(too_large);
    }
    let read = Limited::new(&mut body, limit).collect();
    match tokio::time::timeout(BODY, read).await {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            linger(&mut body).await;
            Err(too_large)
        }
        Ok(Err(_)) => Err(Error::invalid("", "The request body could not be read.")),
        Err(_) => Err(Error::invalid("", "The request body did not come in time.")),
    }
}

/// What stands in a path, by the route's names. What cannot be read is refused in the face's own words.
pub struct Path<T>(pub T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let read = axum::extract::Path::from_request_parts(parts, state).await;
        let axum::extract::Path(read) =
            read.map_err(|rejection| Error::invalid("", rejection.body_text()))?;
        Ok(Self(read))
    }
}

/// A JSON body, under whatever content type: the vendors' clients send several.
pub struct Json(pub Value);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let Raw(bytes) = Raw::from_request(request, state).await?;
        parse_json(&bytes).map(Self)
    }
}

/// Reads JSON; what is wrong is said with its line and column. A comma before a closing bracket is no
/// fault, as it is none to the vendor's reader: the documents' own examples have some.
pub fn parse_json(bytes: &[u8]) -> Result<Value> {
    // The mark that some clients put before UTF-8.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.is_empty() {
        return Err(Error::invalid("", "A non-empty request body is required."));
    }
    let value = serde_json::from_slice(bytes).or_else(|error| {
        let mended = without_trailing_commas(bytes);
        let mended = mended.and_then(|mended| serde_json::from_slice(&mended).ok());
        mended.ok_or_else(|| {
            Error::invalid("", format!("The request body is not valid JSON: {error}."))
        })
    })?;
    check_numbers(&value)?;
    Ok(value)
}

/// Refuses numbers that are longer than they are kept.
pub fn check_numbers(value: &Value) -> Result<()> {
    let Some(path) = json::long_number(value) else {
        return Ok(());
    };
    let path: String = path.trim_start_matches('.').chars().take(200).collect();
    let message = format!(
        "The {path} field is invalid: a number of more than {} characters.",
        json::MAX_NUMBER
    );
    Err(Error::invalid(path, message))
}

/// The same text with a blank for each comma that a closing bracket follows. Nothing when there is none.
fn without_trailing_commas(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut mended, mut found) = (bytes.to_vec(), false);
    let (mut comma, mut value, mut in_text, mut escaped) = (None, false, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        if in_text {
            in_text = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b',' => comma = value.then_some(at),
            b'}' | b']' => {
                if let Some(at) = comma.take() {
                    mended[at] = b' ';
                    found = true;
                }
            }
            byte if byte.is_ascii_whitespace() => continue,
            _ => {
                comma = None;
                in_text = *byte == b'"';
            }
        }
        // A comma stands for one that is too many only behind a value.
        value = !matches!(byte, b',' | b'{' | b'[' | b':');
    }
    found.then_some(mended)
}

/// The longest time that a token is good beside the one that takes its place, in seconds.
const MOST_OVERLAP: u64 = 30 * 24 * 3600;

/// The time that a body gives in seconds, if it does.
pub fn overlap(body: &[u8], member: &'static str) -> Result<Option<Duration>> {
    if body.is_empty() {
        return Ok(None);
    }
    let body = parse_json(body)?;
    let body = body
        .as_object()
        .ok_or_else(|| Error::invalid("", "The request body must be a JSON object."))?;
    match body.get(member) {
        None => Ok(None),
        Some(value) => match value.as_u64().filter(|seconds| *seconds <= MOST_OVERLAP) {
            Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
            None => Err(Error::invalid(
                member,
                format!("The {member} must be a whole number of seconds from 0 to {MOST_OVERLAP}."),
            )),
        },
    }
}

/// The token of an `Authorization: Bearer` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A JSON answer from text that is JSON already.
pub fn json_text(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_comma_too_many_is_no_fault() {
        for (text, expected) in [
            (r#"{"a": 1,}"#, Some(json!({ "a": 1 }))),
            (
                "{\"a\": [1, {\"b\": \"x\",\n } , ], }",
                Some(json!({ "a": [1, { "b": "x" }] })),
            ),
            (
                r#"{"a": ",}", "b": "\",]",}"#,
                Some(json!({ "a": ",}", "b": "\",]" })),
            ),
            ("{,}", None),
            ("[,]", None),
            ("[1,,]", None),
            (r#"{"a":,}"#, None),
            ("[1,", None),
        ] {
            assert_eq!(parse_json(text.as_bytes()).ok(), expected, "{text}");
        }
    }
}
