//! `Idempotency-Key`: a POST that is sent again gets its first answer again.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use prichal_core::time::Timestamp;
use prichal_store::{
    Tx,
    idempotency::{self, FirstAnswer},
};
use std::time::Duration;

use super::caller::Member;
use crate::{
    error::{Error, Result},
    face::json_text,
    vault::sha256_hex,
};

/// How long a first answer is remembered.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// The key of a request, if it has one, and the path it counts for.
#[derive(Clone, Debug)]
pub(super) struct IdempotencyKey {
    path: String,
    key: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let key = parts
            .headers
            .get("idempotency-key")
            .map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
        Ok(Self {
            path: parts.uri.path().to_owned(),
            key,
        })
    }
}

/// An answer in JSON, made now or long ago.
pub(super) struct JsonAnswer {
    status: StatusCode,
    text: String,
}

impl IntoResponse for JsonAnswer {
    fn into_response(self) -> Response {
        json_text(self.status, self.text)
    }
}

/// Runs `work` in a write and answers 200 with the JSON text it returns; or answers what the first
/// request with the same key was answered. The answer is kept in the same transaction as the change.
pub(super) async fn write_once(
    member: &Member,
    key: IdempotencyKey,
    body: &[u8],
    mut work: impl FnMut(&mut Tx<'_>) -> Result<String> + Send + 'static,
) -> Result<JsonAnswer> {
    let workspace = member.workspace_id();
    let Some(header) = key.key else {
        let text = member.app.db.write(workspace, work).await?;
        return Ok(JsonAnswer {
            status: StatusCode::OK,
            text,
        });
    };
    if header.is_empty() || header.len() > 255 {
        return Err(Error::invalid(
            "Idempotency-Key",
            "The Idempotency-Key must be 1 to 255 characters.",
        ));
    }
    let (path, now, hash) = (key.path, member.now, sha256_hex(body));
    let since = Timestamp::from_micros(0).max(now - REMEMBERED);
    let answer = move |tx: &mut Tx<'_>| {
        if let Some(first) = idempotency::find_answer(tx.conn()?, workspace, &path, &header, since)?
        {
            return same_request(first, &hash);
        }
        let text = work(tx)?;
        let first = FirstAnswer {
            request_hash: hash.clone(),
            status: 200,
            answer: text,
        };
        if !idempotency::keep_answer(tx, workspace, &path, &header, &first, now, since)? {
            // Another node took the key between the two statements; sent again, this meets its answer.
            return Err(Error::Busy);
        }
        Ok(first)
    };
    let first = member.app.db.write(workspace, answer).await?;
    let status = u16::try_from(first.status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::OK);
    Ok(JsonAnswer {
        status,
        text: first.answer,
    })
}

fn same_request(first: FirstAnswer, hash: &str) -> Result<FirstAnswer> {
    if first.request_hash == hash {
        return Ok(first);
    }
    Err(Error::refused(
        "idempotencyConflict",
        "The Idempotency-Key was used with another body",
    ))
}
