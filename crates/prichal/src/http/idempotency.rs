//! `Idempotency-Key`: a POST repeated by the same caller is answered like the first one. Permissions are checked
//! before, since they may have been revoked.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, MatchedPath, RawPathParams},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use prichal_core::{
    id::{WorkspaceId, parse_any},
    schema::{Field, Type},
    time::Timestamp,
};
use prichal_store::{
    Conn, Tx,
    idempotency::{self, FirstAnswer},
    sealed::Column,
    usage,
};
use std::time::Duration;

use crate::{
    error::{Code, Error, Result},
    http::answer::json_text,
    platform::{
        Platform, quota,
        vault::{CellRef, Vault, sha256_hex},
    },
};

/// The longest key, in bytes.
const MAX_KEY: usize = 255;

/// The header of [`IdempotencyKey`].
pub const IDEMPOTENCY_KEY: &[Field] = &[Field::new("Idempotency-Key", Type::Text)
    .chars(MAX_KEY)
    .doc(
        "The key of the request: a repetition with it is answered like the first one, for a day.",
    )];

/// The time for which a first answer is stored.
pub const KEY_LIFETIME: Duration = Duration::from_hours(24);

/// The caller, as stored answers are keyed by it.
pub trait Asking {
    fn app(&self) -> &Platform;
    /// The workspace in which the keys are unique.
    fn workspace_id(&self) -> WorkspaceId;
    /// The name of the credentials, which separates the keys of different callers.
    fn identity(&self) -> String;
    fn now(&self) -> Timestamp;
}

/// The key of a request, if it has one, and its operation.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    operation: String,
    key: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let key = parts
            .headers
            .get("idempotency-key")
            .map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
        let operation = match key {
            Some(_) => operation(parts).await,
            None => String::new(),
        };
        Ok(Self { operation, key })
    }
}

/// The operation of a request, however its path is spelled: the route with its parameters, except for the workspace,
/// which has an id as well.
async fn operation(parts: &mut Parts) -> String {
    let params = RawPathParams::from_request_parts(parts, &()).await;
    let route = parts.extensions.get::<MatchedPath>();
    let (Ok(params), Some(route)) = (params, route) else {
        return parts.uri.path().to_owned();
    };
    let route = route.as_str();
    let names = params.iter().filter(|(name, _)| *name != "ws");
    let names: Vec<String> = names.map(|(name, value)| spelled(name, value)).collect();
    if names.is_empty() && !route.contains('{') {
        return route.to_owned();
    }
    // Encoded as JSON, so that one name cannot be confused with two.
    format!("{route} {}", serde_json::json!(names))
}

/// The canonical spelling of a path parameter: ids and collections have several spellings.
fn spelled(name: &str, value: &str) -> String {
    match parse_any(value) {
        Some(id) => id.to_string(),
        None if name == "collection" => value.to_ascii_lowercase(),
        None => value.to_owned(),
    }
}

impl IdempotencyKey {
    /// True if the request has a key.
    pub fn is_given(&self) -> bool {
        self.key.is_some()
    }
}

/// A JSON answer, new or stored.
pub struct JsonAnswer {
    status: StatusCode,
    text: String,
}

impl JsonAnswer {
    pub fn ok(text: impl Into<String>) -> Self {
        Self::new(StatusCode::OK, text)
    }

    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    pub fn into_text(self) -> String {
        self.text
    }
}

impl IntoResponse for JsonAnswer {
    fn into_response(self) -> Response {
        json_text(self.status, self.text)
    }
}

/// Runs `work` in a write and answers 200 with the JSON text it returns. A repeated key is answered with the stored
/// first answer. The answer is stored in the same transaction as the change.
pub async fn write_once(
    asking: &impl Asking,
    key: IdempotencyKey,
    body: &[u8],
    mut work: impl FnMut(&mut Tx<'_>) -> Result<String> + Send + 'static,
) -> Result<JsonAnswer> {
    let work = move |tx: &mut Tx<'_>| Ok((JsonAnswer::ok(work(tx)?), ()));
    let (answer, _) = write_once_and(asking, key, body, work).await?;
    Ok(answer)
}

/// Like [`write_once`], for work that returns a value beside the answer. The value is present only if the work was
/// done just now.
pub async fn write_once_and<T: Send + 'static>(
    asking: &impl Asking,
    key: IdempotencyKey,
    body: &[u8],
    work: impl FnMut(&mut Tx<'_>) -> Result<(JsonAnswer, T)> + Send + 'static,
) -> Result<(JsonAnswer, Option<T>)> {
    let write = once(asking, key, body, work)?;
    asking.app().db.write(asking.workspace_id(), write).await
}

/// Like [`write_once_and`]. Refused if the work and the stored answer grow the records beyond their quota.
pub async fn write_once_growing<T: Send + 'static>(
    asking: &impl Asking,
    key: IdempotencyKey,
    body: &[u8],
    work: impl FnMut(&mut Tx<'_>) -> Result<(JsonAnswer, T)> + Send + 'static,
) -> Result<(JsonAnswer, Option<T>)> {
    let (app, workspace) = (asking.app(), asking.workspace_id());
    let write = once(asking, key, body, work)?;
    let write = quota::growing(app, workspace, &[usage::Kind::Records], write).await?;
    app.db.write(workspace, write).await
}

type Once<T> = Result<(JsonAnswer, Option<T>)>;

/// The write that does `work` unless the answer to this key is stored.
fn once<T>(
    asking: &impl Asking,
    key: IdempotencyKey,
    body: &[u8],
    mut work: impl FnMut(&mut Tx<'_>) -> Result<(JsonAnswer, T)> + Send + 'static,
) -> Result<impl FnMut(&mut Tx<'_>) -> Once<T> + Send + 'static> {
    let app = asking.app().clone();
    let slot = Slot::of(asking, key, body)?;
    Ok(move |tx: &mut Tx<'_>| {
        let Some(slot) = &slot else {
            let (answer, told) = work(tx)?;
            return Ok((answer, Some(told)));
        };
        if let Some(first) = slot.find(&app.vault, tx.conn()?)? {
            return Ok((first, None));
        }
        let (answer, told) = work(tx)?;
        slot.keep(&app.vault, tx, &answer)?;
        Ok((answer, Some(told)))
    })
}

/// The stored answer of the first request with this key, for work that must know it before its write.
pub async fn first_answer(
    asking: &impl Asking,
    key: &IdempotencyKey,
    body: &[u8],
) -> Result<Option<JsonAnswer>> {
    let app = asking.app().clone();
    match Slot::of(asking, key.clone(), body)? {
        Some(slot) => {
            let find = move |conn: &mut Conn| slot.find(&app.vault, conn);
            asking.app().db.read(find).await
        }
        None => Ok(None),
    }
}

/// The slot of the first answer to a request with a key. If the answer is not known when the change is written, the
/// change reserves the slot and the answer is filled in later.
#[derive(Clone)]
pub struct Slot {
    workspace: WorkspaceId,
    /// The caller and the operation, as one text.
    place: String,
    key: String,
    request_hash: String,
    now: Timestamp,
    /// The time before which answers are expired.
    since: Timestamp,
}

impl Slot {
    pub fn of(asking: &impl Asking, key: IdempotencyKey, body: &[u8]) -> Result<Option<Self>> {
        let IdempotencyKey { operation, key } = key;
        let Some(key) = key else { return Ok(None) };
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Error::invalid(
                "Idempotency-Key",
                format!("The Idempotency-Key must be 1 to {MAX_KEY} characters."),
            ));
        }
        Ok(Some(Self {
            workspace: asking.workspace_id(),
            place: format!("{} {operation}", asking.identity()),
            key,
            request_hash: sha256_hex(body),
            now: asking.now(),
            since: Timestamp::from_micros(0).max(asking.now() - KEY_LIFETIME),
        }))
    }

    pub fn find(&self, vault: &Vault, conn: &mut Conn) -> Result<Option<JsonAnswer>> {
        let found =
            idempotency::find_answer(conn, self.workspace, &self.place, &self.key, self.since)?;
        let Some(first) = found else { return Ok(None) };
        if first.request_hash != self.request_hash {
            return Err(Error::refused(
                Code::KeyReused,
                "The Idempotency-Key was used with another body",
            ));
        }
        let opened = STANDARD
            .decode(&first.answer)
            .ok()
            .and_then(|sealed| vault.open(&self.cell(), &sealed))
            .and_then(|text| String::from_utf8(text).ok())
            .ok_or_else(|| Error::internal("a first answer was sealed with another master key"))?;
        let status = u16::try_from(first.status)
            .ok()
            .and_then(|status| StatusCode::from_u16(status).ok());
        Ok(Some(JsonAnswer {
            status: status.unwrap_or(StatusCode::OK),
            text: opened,
        }))
    }

    fn cell(&self) -> CellRef {
        let row: [&dyn std::fmt::Display; 3] = [&self.workspace, &self.place, &self.key];
        CellRef::new(Column::FirstAnswer.name(), &row)
    }

    /// Stores the answer, sealed like a secret since it may contain some.
    pub fn keep(&self, vault: &Vault, tx: &mut Tx<'_>, answer: &JsonAnswer) -> Result<()> {
        let first = self.seal(vault, answer);
        let Self {
            workspace,
            place,
            key,
            now,
            since,
            ..
        } = self;
        if !idempotency::keep_answer(tx, *workspace, place, key, &first, *now, *since)? {
            // Another node took the key between the two statements. A retry gets its answer.
            return Err(Error::Busy);
        }
        Ok(())
    }

    /// Writes the answer into the reserved slot.
    pub fn fill(&self, vault: &Vault, tx: &mut Tx<'_>, answer: &JsonAnswer) -> Result<()> {
        let first = self.seal(vault, answer);
        idempotency::replace_answer(tx, self.workspace, &self.place, &self.key, &first)?;
        Ok(())
    }

    fn seal(&self, vault: &Vault, answer: &JsonAnswer) -> FirstAnswer {
        FirstAnswer {
            request_hash: self.request_hash.clone(),
            status: answer.status.as_u16().into(),
            answer: STANDARD.encode(vault.seal(&self.cell(), answer.text.as_bytes())),
        }
    }
}
