//! What all uploads have in common: clients that fall silent, and those that are refused while they send.

use std::time::Duration;

use axum::{
    body::BodyDataStream,
    http::{HeaderMap, header},
};
use futures_util::StreamExt as _;

use crate::{app::App, multipart::MultipartError};

/// How long a client may send nothing in the middle of an upload.
pub const SILENCE: Duration = Duration::from_mins(1);
/// How much of a refused upload is still taken in, and for how long: a client that is writing does not
/// read the answer before the connection lets it finish.
const DRAINED: usize = 256 << 20;
const DRAINING: Duration = Duration::from_secs(5);

/// Waits for a client that may fall silent.
pub async fn in_time<T>(
    app: &App,
    read: impl Future<Output = Result<T, MultipartError>>,
) -> Result<T, MultipartError> {
    tokio::select! {
        biased;
        done = read => done,
        () = app.clock.sleep(SILENCE) => Err(MultipartError::Interrupted("nothing came for too long".into())),
    }
}

/// What the client says the length of its body is.
pub fn declared_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Takes what is still coming of a refused upload, while the answer goes out. Closed at once, the
/// connection would take the answer with it.
pub fn drain(app: &App, headers: &HeaderMap, mut body: BodyDataStream) {
    if headers.contains_key(header::EXPECT) {
        // The client sends nothing before it is told to.
        return;
    }
    let clock = app.clock.clone();
    app.background.spawn(async move {
        let rest = async {
            let mut left = DRAINED;
            while let Some(Ok(chunk)) = body.next().await
                && left > 0
            {
                left = left.saturating_sub(chunk.len());
            }
        };
        tokio::select! {
            () = rest => {}
            () = clock.sleep(DRAINING) => {}
        }
    });
}
