//! Wake-ups between nodes. The bus may lose a message, never the truth: who misses one finds the same
//! in the store at the next look, a second later at the most.

use std::sync::Arc;

use anyhow::Context as _;
use async_nats::connection::State;
use bytes::Bytes;
use futures_util::StreamExt as _;
use prichal_core::id::WorkspaceId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;

/// «Workspace W has news up to number N of its log.»
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    pub workspace: WorkspaceId,
    pub last: i64,
}

/// How many messages may wait to be sent. More are lost, which only delays.
const QUEUE: usize = 1024;
const SUBJECT: &str = "prichal.news";

#[derive(Clone)]
pub struct Bus(Option<Arc<Nats>>);

struct Nats {
    client: async_nats::Client,
    outgoing: mpsc::Sender<News>,
    waiting: std::sync::Mutex<Option<mpsc::Receiver<News>>>,
}

impl Bus {
    /// In-process without a URL: then there is nobody else to wake. A NATS server that is away at the
    /// start is waited for in the background.
    pub async fn connect(url: Option<&str>) -> anyhow::Result<Self> {
        let Some(url) = url else {
            return Ok(Self(None));
        };
        let options = async_nats::ConnectOptions::new()
            .name("prichal")
            .retry_on_initial_connect();
        let client = options
            .connect(url)
            .await
            .context("cannot connect to the bus")?;
        let (outgoing, waiting) = mpsc::channel(QUEUE);
        Ok(Self(Some(Arc::new(Nats {
            client,
            outgoing,
            waiting: std::sync::Mutex::new(Some(waiting)),
        }))))
    }

    /// Tells the other nodes. Never waits.
    pub fn tell(&self, news: News) {
        if let Some(nats) = &self.0 {
            let _ = nats.outgoing.try_send(news);
        }
    }

    /// Whether the bus answers.
    pub fn is_ready(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|nats| nats.client.connection_state() == State::Connected)
    }
}

/// Sends what this node has to tell and passes on what others say, until `stop`.
pub async fn run(app: App, stop: CancellationToken) -> anyhow::Result<()> {
    let Some(nats) = &app.bus.0 else {
        stop.cancelled().await;
        return Ok(());
    };
    let waiting = nats
        .waiting
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
    let mut waiting = waiting.context("the bus runs already")?;
    let mut incoming = nats
        .client
        .subscribe(SUBJECT)
        .await
        .context("cannot subscribe to the bus")?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(news) = waiting.recv() => {
                if let Err(error) = nats.client.publish(SUBJECT, encode(app.node, news)).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "could not tell the other nodes");
                }
            }
            message = incoming.next() => {
                let message = message.context("the bus has ended its subscription")?;
                if let Some((node, news)) = decode(&message.payload)
                    && node != app.node
                {
                    app.dispatch.heard(news);
                    app.telephony.live.heard(news.workspace);
                }
            }
        }
    }
}

fn encode(node: Uuid, news: News) -> Bytes {
    format!("{node} {} {}", news.workspace, news.last).into()
}

/// Whatever else is sent on the subject is not ours to judge: it is nothing.
fn decode(bytes: &[u8]) -> Option<(Uuid, News)> {
    let mut words = std::str::from_utf8(bytes).ok()?.split(' ');
    let node = Uuid::try_parse(words.next()?).ok()?;
    let workspace = WorkspaceId::parse(words.next()?)?;
    let last = words.next()?.parse().ok()?;
    words
        .next()
        .is_none()
        .then_some((node, News { workspace, last }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_is_read_back_and_noise_is_not() {
        let news = News {
            workspace: WorkspaceId(Uuid::from_u128(1)),
            last: 7,
        };
        let node = Uuid::from_u128(2);
        assert_eq!(decode(&encode(node, news)), Some((node, news)));
        for noise in [
            "",
            "a b c",
            "\u{0}",
            "00000000-0000-0000-0000-000000000002 x 7",
        ] {
            assert_eq!(decode(noise.as_bytes()), None, "{noise}");
        }
    }
}
