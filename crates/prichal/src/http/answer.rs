//! Answers: JSON texts, `Retry-After`, and the memory of their bodies until these are written.

use axum::{
    body::{Body, BodyDataStream, HttpBody as _},
    http::{StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _, stream};
use http_body_util::BodyExt as _;

use crate::{
    error::{Error, Result},
    platform::memory::{self, Hold, Payer, SMALL, Use},
};

/// The number of times that an answer waits for memory.
const PATIENCE: usize = 60;

/// Holds memory for the body of an answer until it is written. What was asked for safely can be asked for
/// again; any other request is done, and its answer is not refused.
pub async fn hold(payer: Option<Payer>, response: Response, is_safe: bool) -> Result<Response> {
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
