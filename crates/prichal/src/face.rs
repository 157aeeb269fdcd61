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
pub mod listing;
pub mod once;
pub mod paths;

use std::{borrow::Cow, error::Error as StdError, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, BodyDataStream, HttpBody as _},
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{Extensions, HeaderMap, StatusCode, header, request::Parts},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _, stream};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    app::App,
    error::{Error, Result},
    guess,
    memory::{self, Hold, Pace, Payer, SMALL, Timed, Use},
    reading::{self, Coding},
    upload::declared_length,
};

pub use reading::{check_numbers, parse_json, parse_json_strictly};

/// A JSON body may be this long.
pub const JSON_LIMIT: usize = 1 << 20;
/// The pace of a JSON body.
const BODY: Pace = Pace {
    silence: Duration::from_secs(15),
    grace: Duration::from_mins(1),
    rate: u64::MAX,
};
/// The bytes that a list, an object or a member of one takes beside its text, about: each is an allocation.
const NODE: usize = 200;
/// The same of each further element.
const ITEM: usize = 80;
/// The number of times that an answer waits for memory.
const PATIENCE: usize = 60;
/// The media type of a form without files.
pub const FORM: &str = "application/x-www-form-urlencoded";
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
    router.layer(from_fn(move |request: Request, next: Next| {
        let (words, payer) = (words.clone(), Payer::of(request.extensions()));
        let is_safe = request.method().is_safe();
        async move {
            let answered = next.run(request).await;
            let worded = say(answered, face, &words, payer.as_ref());
            match hold(payer.clone(), worded, is_safe).await {
                Ok(held) => held,
                Err(busy) => say(busy.into_response(), face, &words, payer.as_ref()),
            }
        }
    }))
}

/// Words the error that rides on a response, if one does.
fn say(
    mut response: Response,
    face: &'static str,
    words: &impl Fn(&Error, &Extensions) -> Response,
    payer: Option<&Payer>,
) -> Response {
    let Some(Unworded(error)) = response.extensions_mut().remove::<Unworded>() else {
        return response;
    };
    let error = guess::judged(error);
    match *error {
        Error::Busy => {
            if let Some(requests) = payer.map_or(Some(1), Payer::turned_away) {
                tracing::warn!(
                    face,
                    requests,
                    "the server is busy and has turned requests away"
                );
            }
            metrics::counter!("prichal_request_faults_total", "face" => face).increment(1);
        }
        Error::Unavailable(_) | Error::Internal(_) => {
            tracing::error!(face, error = &*error as &dyn StdError, "request failed");
            metrics::counter!("prichal_request_faults_total", "face" => face).increment(1);
        }
        _ => {
            metrics::counter!("prichal_request_refusals_total", "face" => face).increment(1);
        }
    }
    let mut worded = words(&error, response.extensions());
    // What the layers below have said of the request holds for its error as well.
    let mut lines = std::mem::take(response.headers_mut());
    lines.extend(std::mem::take(worded.headers_mut()));
    *worded.headers_mut() = lines;
    worded
}

/// Holds memory for the body of an answer until it is written. What was asked for safely can be asked for
/// again; any other request is done, and its answer is not refused.
async fn hold(payer: Option<Payer>, response: Response, is_safe: bool) -> Result<Response> {
    let Some(payer) = payer else {
        return Ok(response);
    };
    payer.release().await;
    let (parts, body) = response.into_parts();
    let body = match body.size_hint().exact() {
        Some(length) if length <= SMALL as u64 => body,
        Some(length) => {
            let mut hold = payer.hold(Use::Answer);
            let length = usize::try_from(length).map_err(Error::internal)?;
            if is_safe {
                hold.grow(length).await?;
            } else {
                hold.force(length);
            }
            let whole = body.collect().await.map_err(Error::internal)?;
            Body::from(memory::tie(whole.to_bytes(), hold))
        }
        None => Body::from_stream(piecewise(payer, body.into_data_stream())),
    };
    Ok(Response::from_parts(parts, body))
}

/// The same for a body that comes in pieces: memory is there for each before it is made, as long as they
/// are all of about one size.
fn piecewise(
    payer: Payer,
    pieces: BodyDataStream,
) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    let next = |(payer, mut pieces, before): (Payer, BodyDataStream, usize)| async move {
        let mut hold = payer.hold(Use::Answer);
        patiently(&mut hold, before).await?;
        let Some(piece) = pieces.try_next().await? else {
            return Ok(None);
        };
        let size = piece.len();
        patiently(&mut hold, size.saturating_sub(before)).await?;
        hold.shrink_to(size);
        Ok(Some((memory::tie(piece, hold), (payer, pieces, size))))
    };
    stream::try_unfold((payer, pieces, 0), next)
}

/// Takes memory for somebody who is being answered already, and can only be cut off.
async fn patiently(hold: &mut Hold, more: usize) -> Result<(), axum::Error> {
    for _ in 0..PATIENCE {
        if hold.grow(more).await.is_ok() {
            return Ok(());
        }
    }
    Err(axum::Error::new(Error::Busy))
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

/// The bytes of a body, at most [`JSON_LIMIT`] of them, decoded; a text in UTF-8. A body that declares more
/// is refused unread.
pub struct Raw(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let payer = Payer::of(request.extensions());
        let content_type = reading::content_type(request.headers()).to_owned();
        let bytes = read_body(request, JSON_LIMIT).await?;
        // Percent-encoded bytes are decoded first.
        let is_form = reading::media_type(&content_type) == FORM;
        let text = match reading::utf8(&content_type, &bytes) {
            Cow::Owned(text) if !is_form => Some(Bytes::from(text)),
            _ => None,
        };
        let bytes = text.unwrap_or(bytes);
        if let Some(payer) = payer {
            payer.take(weight(&bytes)).await?;
        }
        Ok(Self(bytes))
    }
}

/// The memory that JSON takes beside its text, once it is read.
pub fn weight(json: &[u8]) -> usize {
    let nodes = memchr::memchr3_iter(b':', b'[', b'{', json).count();
    nodes * NODE + memchr::memchr_iter(b',', json).count() * ITEM
}

/// The bytes of a body, at most `limit` of them once they are decoded.
pub async fn read_body(request: Request, limit: usize) -> Result<Bytes> {
    let payer = Payer::of(request.extensions());
    let codings = Coding::all(request.headers())?;
    let too_large = || Error::TooLarge {
        limit: limit as u64,
    };
    let declared = declared_length(request.headers());
    // A client that waits for a word before it sends is not told to send what is thrown away.
    let waits = request.headers().contains_key(header::EXPECT);
    let mut body = request.into_body();
    if declared.is_some_and(|length| length > limit as u64) {
        if !waits {
            linger(&mut body).await;
        }
        return Err(too_large());
    }
    let Some(mut read) = collect(&mut body, limit, payer.as_ref()).await? else {
        linger(&mut body).await;
        return Err(too_large());
    };
    for coding in codings {
        read = decode(coding, &read, limit, payer.as_ref()).await?;
    }
    Ok(read)
}

/// Takes a body in as it comes. Nothing when it is longer than `limit`.
async fn collect(body: &mut Body, limit: usize, payer: Option<&Payer>) -> Result<Option<Bytes>> {
    let mut timed = Timed::new(payer.map(|payer| payer.clock().clone()), BODY);
    let (mut first, mut whole) = (None, Vec::new());
    loop {
        let next = timed.next(body.frame()).await;
        let frame = match next.ok_or(Error::Late)? {
            None => break,
            Some(frame) => {
                frame.map_err(|_| Error::invalid("", "The request body could not be read."))?
            }
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let before = first.as_ref().map_or(0, Bytes::len).max(whole.len());
        if before + data.len() > limit {
            return Ok(None);
        }
        if let Some(payer) = payer {
            payer.take(data.len()).await?;
        }
        // Most bodies come in one piece, which need not be copied.
        match first.take() {
            None if whole.is_empty() => first = Some(data),
            None => whole.extend_from_slice(&data),
            Some(one) => {
                whole.extend_from_slice(&one);
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(Some(first.unwrap_or_else(|| whole.into())))
}

/// Takes one coding off a body. What comes out is counted as it comes, so that no bomb goes off.
async fn decode(
    coding: Coding,
    coded: &[u8],
    limit: usize,
    payer: Option<&Payer>,
) -> Result<Bytes> {
    if coded.is_empty() {
        return Ok(Bytes::new());
    }
    let mut window = payer.map(|payer| payer.hold(Use::Body));
    if let Some(window) = &mut window {
        window.grow(coding.window()).await?;
    }
    let (mut decoder, mut whole) = (coding.decoder(coded), Vec::new());
    let mut piece = vec![0; SMALL];
    loop {
        let length = decoder.read(&mut piece);
        let length = length.map_err(|_| reading::damaged())?;
        if length == 0 {
            return Ok(whole.into());
        }
        if whole.len() + length > limit {
            return Err(Error::TooLarge {
                limit: limit as u64,
            });
        }
        if let Some(payer) = payer {
            payer.take(length).await?;
        }
        whole.extend_from_slice(&piece[..length]);
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
