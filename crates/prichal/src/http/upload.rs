//! What all uploads have in common: clients that fall silent, and those that are refused while they send.

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

/// How long a client may send nothing in the middle of an upload.
pub const SILENCE: Duration = Duration::from_mins(1);
/// The pace of an upload.
const PACE: Pace = Pace {
    silence: SILENCE,
    grace: Duration::from_mins(2),
    rate: 1 << 10,
};
/// How much of a refused upload is still taken in, and for how long: a client that is writing does not
/// read the answer before the connection lets it finish.
const DRAINED: usize = 256 << 20;
const DRAINING: Duration = Duration::from_secs(5);

/// An upload that is coming: how fast it comes, and what it holds until it is written.
pub struct Incoming {
    timed: Timed,
    payer: Option<Payer>,
    /// The bytes that may still be kept of it in memory.
    room: usize,
}

impl Incoming {
    /// An upload that begins now and is written as it comes.
    pub fn new(app: &Platform, payer: Option<Payer>) -> Self {
        Self {
            timed: Timed::new(Some(app.clock.clone()), PACE),
            payer,
            room: app.blobs.buffer(),
        }
    }

    /// All of it is kept until it has come, and once more while it is read.
    pub fn keep(&mut self) {
        self.room = usize::MAX;
    }

    /// Waits for a client that may fall silent, or be too slow.
    pub async fn next<T>(
        &mut self,
        read: impl Future<Output = Result<T, MultipartError>>,
    ) -> Result<T, MultipartError> {
        let read = self.timed.next(read).await;
        read.ok_or(MultipartError::Late)?
    }

    /// So much has come.
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

/// What the client says the length of its body is.
pub fn declared_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Takes what is still coming of a refused upload, while the answer goes out. Closed at once, the
/// connection would take the answer with it.
pub fn drain(app: &Platform, headers: &HeaderMap, mut body: BodyDataStream) {
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
