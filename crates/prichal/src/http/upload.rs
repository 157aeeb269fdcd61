//! Common code of uploads: clients that fall silent, and clients that are refused while they send.

use std::time::Duration;

use axum::{
    body::BodyDataStream,
    http::{HeaderMap, header},
};
use futures_util::StreamExt as _;

use crate::{
    error::Result,
    http::multipart::MultipartError,
    platform::{
        Platform,
        memory::{Pace, Payer, Timed},
    },
};

/// The maximum pause of a client in the middle of an upload.
pub const MAX_PAUSE: Duration = Duration::from_mins(1);
/// The pace of an upload.
const PACE: Pace = Pace {
    silence: MAX_PAUSE,
    grace: Duration::from_mins(2),
    rate: 1 << 10,
};
/// The maximum bytes and time for which a refused upload is still read. A client that is writing does not read the
/// answer before its writes are accepted.
const MAX_DRAINED_BYTES: usize = 256 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// An upload in progress: its pace, and the memory it holds until it is written.
pub struct Incoming {
    timed: Timed,
    payer: Option<Payer>,
    /// The bytes of it that may still be kept in memory.
    room: usize,
}

impl Incoming {
    /// An upload that is written to the store as it is received.
    pub fn new(app: &Platform, payer: Option<Payer>) -> Self {
        Self {
            timed: Timed::new(Some(app.clock.clone()), PACE),
            payer,
            room: app.blobs.buffer(),
        }
    }

    /// Keeps the whole upload in memory until it is complete, and once more while it is parsed.
    pub fn keep(&mut self) {
        self.room = usize::MAX;
    }

    /// Waits for the next piece, with a limit on pauses and slowness.
    pub async fn next<T>(
        &mut self,
        read: impl Future<Output = Result<T, MultipartError>>,
    ) -> Result<T, MultipartError> {
        let read = self.timed.next(read).await;
        read.ok_or(MultipartError::Late)?
    }

    /// Counts received bytes.
    pub async fn count(&mut self, bytes: usize) -> Result<()> {
        self.timed.count(bytes);
        let more = (2 * bytes).min(self.room);
        self.room -= more;
        match &self.payer {
            Some(payer) if more > 0 => payer.take(more).await,
            _ => Ok(()),
        }
    }
}

/// The length of the body that the client declares.
pub fn declared_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Reads the rest of a refused upload while the answer is sent. An immediate close would discard the answer.
pub fn drain(app: &Platform, headers: &HeaderMap, mut body: BodyDataStream) {
    if headers.contains_key(header::EXPECT) {
        // A client that waits for 100 Continue sends no body.
        return;
    }
    let clock = app.clock.clone();
    app.background.spawn(async move {
        let rest = async {
            let mut left = MAX_DRAINED_BYTES;
            while let Some(Ok(chunk)) = body.next().await
                && left > 0
            {
                left = left.saturating_sub(chunk.len());
            }
        };
        tokio::select! {
            () = rest => {}
            () = clock.sleep(DRAIN_TIMEOUT) => {}
        }
    });
}
