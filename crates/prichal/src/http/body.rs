//! Bodies of requests: received at a minimum pace, decoded, and read as JSON.

use std::{borrow::Cow, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    extract::{FromRequest, Request},
    http::header,
};
use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use http_body_util::BodyExt as _;
use prichal_core::schema::{Field, Type};
use serde_json::Value;

use crate::{
    error::{Error, Result},
    http::upload::declared_length,
    platform::{
        memory::{Pace, Payer, SMALL, Timed, Use},
        reading::{self, Coding, FORM, parse_json},
    },
};

/// The maximum size of a JSON body in bytes.
pub const JSON_LIMIT: usize = 1 << 20;

/// The pace of a JSON body.
const BODY: Pace = Pace {
    silence: Duration::from_secs(15),
    grace: Duration::from_mins(1),
    rate: u64::MAX,
};

/// The pace of a body that may be longer than a JSON body, and is held in memory as well.
const LONG_BODY: Pace = Pace {
    silence: Duration::from_secs(15),
    grace: Duration::from_secs(30),
    rate: 32 << 10,
};

/// The estimated memory of a list, an object or a member beside its text: each is an allocation.
const NODE_BYTES: usize = 200;

/// The estimated memory of each further element.
const ITEM_BYTES: usize = 80;

/// The time for which an oversized body is read and discarded.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// Discards a bounded part of an oversized body. A client that is still sending when the connection closes may never
/// see the answer.
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
    // A slower client loses the answer.
    let _ = tokio::time::timeout(LINGER_TIMEOUT, thrown_away).await;
}

/// The pace of a form, which may be an upload as well.
const FORM_PACE: Pace = Pace {
    silence: Duration::from_secs(15),
    grace: Duration::from_mins(1),
    rate: 16 << 10,
};

/// A body that has to keep a pace, and whose first [`JSON_LIMIT`] bytes are held in memory until the request is answered.
/// A reader of more does not keep it, and accounts for it.
pub fn metered(body: Body, payer: Payer) -> Body {
    let timed = Timed::new(Some(payer.clock().clone()), FORM_PACE);
    let next = |(payer, mut pieces, mut timed, held): (Payer, BodyDataStream, Timed, usize)| async move {
        let Some(piece) = timed.next(pieces.try_next()).await else {
            return Err(axum::Error::new(Error::Late));
        };
        let Some(piece) = piece? else {
            return Ok(None);
        };
        timed.count(piece.len());
        let more = piece.len().min(JSON_LIMIT - held);
        if more > 0 {
            payer.take(more).await.map_err(axum::Error::new)?;
        }
        Ok(Some((piece, (payer, pieces, timed, held + more))))
    };
    let first = (payer, body.into_data_stream(), timed, 0);
    Body::from_stream(stream::try_unfold(first, next))
}

/// A decoded body of at most [`JSON_LIMIT`] bytes, its text in UTF-8. A body that declares more is refused unread.
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

/// The estimated memory of parsed JSON beside its text.
pub fn weight(json: &[u8]) -> usize {
    let nodes = memchr::memchr3_iter(b':', b'[', b'{', json).count();
    nodes * NODE_BYTES + memchr::memchr_iter(b',', json).count() * ITEM_BYTES
}

/// The bytes of a body, at most `limit` of them after decoding.
pub async fn read_body(request: Request, limit: usize) -> Result<Bytes> {
    let payer = Payer::of(request.extensions());
    let codings = Coding::all(request.headers())?;
    let too_large = || Error::TooLarge {
        limit: limit as u64,
    };
    let declared = declared_length(request.headers());
    // A client that waits for 100 Continue is not asked for a body that would be discarded.
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

/// Receives a body. `None` if it is longer than `limit`.
async fn collect(body: &mut Body, limit: usize, payer: Option<&Payer>) -> Result<Option<Bytes>> {
    let pace = if limit > JSON_LIMIT { LONG_BODY } else { BODY };
    let mut timed = Timed::new(payer.map(|payer| payer.clock().clone()), pace);
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
        timed.count(data.len());
        let before = first.as_ref().map_or(0, Bytes::len).max(whole.len());
        if before + data.len() > limit {
            return Ok(None);
        }
        if let Some(payer) = payer {
            payer.take(data.len()).await?;
        }
        // Most bodies come in one piece, which is not copied.
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

/// Removes one coding from a body. Output is counted as it grows, which stops decompression bombs.
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

/// A JSON body of any content type: the vendors' clients send several.
pub struct Json(pub Value);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let Raw(bytes) = Raw::from_request(request, state).await?;
        parse_json(&bytes).map(Self)
    }
}

/// The maximum time in seconds for which a replaced token stays valid.
const MAX_OVERLAP_SECONDS: u64 = 30 * 24 * 3600;

/// The member that [`overlap`] reads.
pub const fn overlap_field(name: &'static str) -> Field {
    Field::new(name, Type::Int)
        .within(0, MAX_OVERLAP_SECONDS.cast_signed())
        .doc("The seconds for which the previous token stays valid, by default those of `--token-overlap`.")
        .example("3600")
}

/// The duration of a member in seconds, if the body has it.
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
        Some(value) => match value
            .as_u64()
            .filter(|seconds| *seconds <= MAX_OVERLAP_SECONDS)
        {
            Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
            None => Err(Error::invalid(
                member,
                format!(
                    "The {member} must be a whole number of seconds from 0 to {MAX_OVERLAP_SECONDS}."
                ),
            )),
        },
    }
}
