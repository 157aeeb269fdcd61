//! Answers: JSON texts, `Retry-After`, and memory for bodies until they are written.

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

/// The maximum number of waits of an answer for memory.
const MAX_WAITS: usize = 60;

/// Holds memory for the body of an answer until it is written. A safe request can be refused and repeated. Any other
/// request has taken effect, so its answer is not refused.
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

/// Holds memory for a streamed body. Memory for each piece is taken before the piece is made, as long as all are of
/// about one size.
fn piecewise(
    payer: Payer,
    pieces: BodyDataStream,
) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    let next = |(payer, mut pieces, before): (Payer, BodyDataStream, usize)| async move {
        let mut hold = payer.hold(Use::Answer);
        take_with_retries(&mut hold, before).await?;
        let Some(piece) = pieces.try_next().await? else {
            return Ok(None);
        };
        let size = piece.len();
        take_with_retries(&mut hold, size.saturating_sub(before)).await?;
        hold.shrink_to(size);
        Ok(Some((memory::tie(piece, hold), (payer, pieces, size))))
    };
    stream::try_unfold((payer, pieces, 0), next)
}

/// Takes memory for an answer that has begun and could only be cut off.
async fn take_with_retries(hold: &mut Hold, more: usize) -> Result<(), axum::Error> {
    for _ in 0..MAX_WAITS {
        if hold.grow(more).await.is_ok() {
            return Ok(());
        }
    }
    Err(axum::Error::new(Error::Busy))
}

/// A JSON answer from serialized JSON.
pub fn json_text(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}

/// Sets `Retry-After` on errors for which a retry makes sense.
pub fn retry_after(error: &Error, mut response: Response) -> Response {
    let after = match error {
        Error::Busy | Error::Unavailable(_) => header::HeaderValue::from(1),
        Error::Throttled { after } => (*after).into(),
        Error::TooMany { seconds, .. } => (*seconds).into(),
        _ => return response,
    };
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, after);
    response
}
