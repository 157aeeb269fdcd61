//! Wake-ups between nodes. The bus may lose messages: a node that misses one finds the same news in the store a
//! second later at most.

use std::sync::Arc;

use anyhow::Context as _;
use async_nats::connection::State;
use bytes::Bytes;
use futures_util::StreamExt as _;
use prichal_core::id::{EntityId, WorkspaceId};
use prichal_store::run::Lane;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::platform::Platform;

/// «Workspace W has news up to number N of its log.»
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    pub workspace: WorkspaceId,
    pub last: i64,
}

/// «Send this over the websockets of a channel», or over one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub lane: Lane,
    pub connection: Option<Uuid>,
    pub text: String,
}

/// «Tell this to those who follow the stream of a workspace.»
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub workspace: WorkspaceId,
    /// The number of the topic.
    pub topic: u8,
    pub text: Bytes,
}

/// The question which topics of a workspace have changed, or the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    pub workspace: WorkspaceId,
    /// The topics that have changed, as bits; zero in a question.
    pub topics: u8,
}

/// The actions of a node upon messages of the others.
pub struct Handlers<News, Queues, Frames, Messages, Listeners, Pulses> {
    pub on_news: News,
    /// Deferred events have become due on request, or events are sent again.
    pub on_queues: Queues,
    pub on_frame: Frames,
    pub on_told: Messages,
    /// Some listener of another node follows a workspace.
    pub on_listener: Listeners,
    /// A console of another node asks what has changed, or another node answers.
    pub on_pulse: Pulses,
}

/// A message of one node to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Message {
    News(News),
    Queues,
    Frame(Frame),
    Told(Told),
    Listener(WorkspaceId),
    Pulse(Pulse),
}

/// The maximum number of messages that wait to be sent. More are lost, which only delays.
const MAX_QUEUED: usize = 1024;
const NEWS: &str = "prichal.news";
const QUEUES: &str = "prichal.queues";
const FRAMES: &str = "prichal.frames";
const TOLD: &str = "prichal.told";
const LISTENERS: &str = "prichal.listeners";
const PULSES: &str = "prichal.pulses";

#[derive(Clone)]
pub struct Bus(Option<Arc<Nats>>);

struct Nats {
    client: async_nats::Client,
    outgoing: mpsc::Sender<Message>,
    waiting: std::sync::Mutex<Option<mpsc::Receiver<Message>>>,
}

impl Bus {
    /// Connects to the NATS server at `url`; without a URL there are no other nodes to wake. A server that is down is
    /// waited for in the background.
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
        let (outgoing, waiting) = mpsc::channel(MAX_QUEUED);
        Ok(Self(Some(Arc::new(Nats {
            client,
            outgoing,
            waiting: std::sync::Mutex::new(Some(waiting)),
        }))))
    }

    /// Fails if the NATS server at `url` does not answer.
    pub async fn check(url: &str) -> anyhow::Result<()> {
        let connected = async_nats::ConnectOptions::new().connect(url).await;
        connected.context("cannot connect to the bus")?;
        Ok(())
    }

    /// Tells the other nodes. Never waits.
    pub fn tell(&self, news: News) {
        self.send(Message::News(news));
    }

    /// Asks the other nodes to look for deferred events that are due, and for replays. Never waits.
    pub fn tell_queues(&self) {
        self.send(Message::Queues);
    }

    /// Asks the other nodes to send a frame over their websockets. Never waits.
    pub fn pass_on(&self, frame: Frame) {
        self.send(Message::Frame(frame));
    }

    /// Tells the listeners of the other nodes. Never waits.
    pub fn tell_listeners(&self, told: Told) {
        self.send(Message::Told(told));
    }

    /// Asks the other nodes to tell this one what happens in a workspace. Never waits.
    pub fn ask_for(&self, workspace: WorkspaceId) {
        self.send(Message::Listener(workspace));
    }

    /// Asks the other nodes what has changed in a workspace, or answers them. Never waits.
    pub fn tell_pulse(&self, pulse: Pulse) {
        self.send(Message::Pulse(pulse));
    }

    fn send(&self, message: Message) {
        if let Some(nats) = &self.0 {
            let _ = nats.outgoing.try_send(message);
        }
    }

    /// True if the bus is connected.
    pub fn is_ready(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|nats| nats.client.connection_state() == State::Connected)
    }
}

/// Sends the messages of this node and passes on those of other nodes, until `stop`.
pub async fn run(
    app: Platform,
    on: Handlers<
        impl Fn(News),
        impl Fn(),
        impl Fn(Frame),
        impl Fn(Told),
        impl Fn(WorkspaceId),
        impl Fn(Pulse),
    >,
    stop: CancellationToken,
) -> anyhow::Result<()> {
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
    let subscribe = async |subject: &'static str| {
        let incoming = nats.client.subscribe(subject).await;
        incoming.context("cannot subscribe to the bus")
    };
    let mut news = subscribe(NEWS).await?;
    let mut queues = subscribe(QUEUES).await?;
    let mut frames = subscribe(FRAMES).await?;
    let mut told = subscribe(TOLD).await?;
    let mut listeners = subscribe(LISTENERS).await?;
    let mut pulses = subscribe(PULSES).await?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(message) = waiting.recv() => {
                let (subject, payload) = match message {
                    Message::News(news) => (NEWS, encode(app.node, news)),
                    Message::Queues => (QUEUES, app.node.to_string().into()),
                    Message::Frame(frame) => (FRAMES, encode_frame(app.node, &frame)),
                    Message::Told(told) => (TOLD, encode_told(app.node, &told)),
                    Message::Listener(workspace) => {
                        (LISTENERS, format!("{} {workspace}", app.node).into())
                    }
                    Message::Pulse(pulse) => (PULSES, encode_pulse(app.node, pulse)),
                };
                if let Err(error) = nats.client.publish(subject, payload).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot send a wake-up to the other nodes");
                }
            }
            message = news.next() => {
                let message = message.context("the bus has ended its subscription")?;
                if let Some((node, news)) = decode(&message.payload)
                    && node != app.node
                {
                    (on.on_news)(news);
                }
            }
            message = queues.next() => {
                let message = message.context("the bus has ended its subscription")?;
                if Uuid::try_parse_ascii(&message.payload).is_ok_and(|node| node != app.node) {
                    (on.on_queues)();
                }
            }
            message = frames.next() => {
                let message = message.context("the bus has ended its subscription")?;
                if let Some((node, frame)) = decode_frame(&message.payload)
                    && node != app.node
                {
                    (on.on_frame)(frame);
                }
            }
            message = told.next() => {
                let message = message.context("the bus has ended its subscription")?;
                if let Some((node, told)) = decode_told(&message.payload)
                    && node != app.node
                {
                    (on.on_told)(told);
                }
            }
            message = listeners.next() => {
                let message = message.context("the bus has ended its subscription")?;
                if let Some((node, workspace)) = decode_listener(&message.payload)
                    && node != app.node
                {
                    (on.on_listener)(workspace);
                }
            }
            message = pulses.next() => {
                let message = message.context("the bus has ended its subscription")?;
                if let Some((node, pulse)) = decode_pulse(&message.payload)
                    && node != app.node
                {
                    (on.on_pulse)(pulse);
                }
            }
        }
    }
}

fn encode(node: Uuid, news: News) -> Bytes {
    format!("{node} {} {}", news.workspace, news.last).into()
}

fn encode_frame(node: Uuid, frame: &Frame) -> Bytes {
    let Frame {
        lane,
        connection,
        text,
    } = frame;
    let connection = connection.unwrap_or_default();
    format!("{node} {} {} {connection} {text}", lane.workspace, lane.id).into()
}

fn encode_told(node: Uuid, told: &Told) -> Bytes {
    let Told {
        workspace,
        topic,
        text,
    } = told;
    let mut message = format!("{node} {workspace} {topic} ").into_bytes();
    message.extend_from_slice(text);
    message.into()
}

fn decode_told(bytes: &Bytes) -> Option<(Uuid, Told)> {
    let mut words = bytes.splitn(4, |byte| *byte == b' ');
    let mut word = || std::str::from_utf8(words.next()?).ok();
    let node = Uuid::try_parse(word()?).ok()?;
    let workspace = WorkspaceId::parse(word()?)?;
    let topic = word()?.parse().ok()?;
    let told = Told {
        workspace,
        topic,
        text: bytes.slice_ref(words.next()?),
    };
    Some((node, told))
}

fn encode_pulse(node: Uuid, pulse: Pulse) -> Bytes {
    format!("{node} {} {}", pulse.workspace, pulse.topics).into()
}

fn decode_pulse(bytes: &[u8]) -> Option<(Uuid, Pulse)> {
    let mut words = std::str::from_utf8(bytes).ok()?.splitn(3, ' ');
    let node = Uuid::try_parse(words.next()?).ok()?;
    let pulse = Pulse {
        workspace: WorkspaceId::parse(words.next()?)?,
        topics: words.next()?.parse().ok()?,
    };
    Some((node, pulse))
}

fn decode_listener(bytes: &[u8]) -> Option<(Uuid, WorkspaceId)> {
    let (node, workspace) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
    Some((Uuid::try_parse(node).ok()?, WorkspaceId::parse(workspace)?))
}

/// Decodes news; `None` for any other message on the subject.
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

fn decode_frame(bytes: &[u8]) -> Option<(Uuid, Frame)> {
    let mut words = std::str::from_utf8(bytes).ok()?.splitn(5, ' ');
    let node = Uuid::try_parse(words.next()?).ok()?;
    let lane = Lane {
        workspace: WorkspaceId::parse(words.next()?)?,
        id: EntityId::parse(words.next()?)?,
    };
    let connection = Uuid::try_parse(words.next()?).ok()?;
    let frame = Frame {
        lane,
        connection: (!connection.is_nil()).then_some(connection),
        text: words.next()?.to_owned(),
    };
    Some((node, frame))
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
        let frame = Frame {
            lane: Lane {
                workspace: WorkspaceId(Uuid::from_u128(1)),
                id: EntityId(Uuid::from_u128(3)),
            },
            connection: None,
            text: "[\"a b\", 1]".to_owned(),
        };
        let read = decode_frame(&encode_frame(node, &frame));
        assert_eq!(read, Some((node, frame)));
        assert_eq!(decode(&encode(node, news)), Some((node, news)));
        let told = Told {
            workspace: WorkspaceId(Uuid::from_u128(1)),
            topic: 3,
            text: "event: run\ndata: {\"a b\": 1}\n\n".into(),
        };
        let read = decode_told(&encode_told(node, &told));
        assert_eq!(read, Some((node, told)));
        let pulse = Pulse {
            workspace: WorkspaceId(Uuid::from_u128(1)),
            topics: 40,
        };
        let read = decode_pulse(&encode_pulse(node, pulse));
        assert_eq!(read, Some((node, pulse)));
        for noise in [
            "",
            "a b c",
            "\u{0}",
            "00000000-0000-0000-0000-000000000002 x 7",
        ] {
            assert_eq!(decode(noise.as_bytes()), None, "{noise}");
            assert_eq!(decode_told(&noise.into()), None, "{noise}");
            assert_eq!(decode_listener(noise.as_bytes()), None, "{noise}");
            assert_eq!(decode_pulse(noise.as_bytes()), None, "{noise}");
        }
    }
}
