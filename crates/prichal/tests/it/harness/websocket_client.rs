//! A websocket client of a channel, by a library that the server does not use.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, protocol::frame::coding::CloseCode},
};

use crate::harness::{
    channel_workspace::CreatedChannel,
    hub::{Hub, WAIT_TIMEOUT},
    messages,
};

/// A client that checks the frames against the AsyncAPI description: those that come, and those that it has sent if
/// the server accepts them.
pub(crate) struct WebsocketClient(
    pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>,
    Vec<Value>,
);

pub(crate) fn address(hub: &Hub, path: &str) -> String {
    format!("{}{path}", hub.url.replacen("http", "ws", 1))
}

impl WebsocketClient {
    pub(crate) async fn open(hub: &Hub, channel: &CreatedChannel) -> Self {
        let url = address(hub, &format!("/ws/token/v1/{}", channel.token));
        let (stream, _) = connect_async(url).await.expect("the channel is open");
        Self(stream, Vec::new())
    }

    /// Connects and sets up these capabilities.
    pub(crate) async fn with(hub: &Hub, channel: &CreatedChannel, capabilities: &[&str]) -> Self {
        let mut client = Self::open(hub, channel).await;
        let wanted: Vec<Value> = capabilities
            .iter()
            .map(|key| json!({ "key": key }))
            .collect();
        let answer = client
            .ask("setup", json!({ "qid": 0, "capabilities": wanted }))
            .await;
        for one in answer["capabilities"].as_array().expect("a list") {
            assert_eq!(one["result"], "ok", "{answer}");
        }
        client
    }

    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.1.extend(serde_json::from_str::<Value>(&text));
        self.0
            .send(Message::text(text))
            .await
            .expect("the server reads");
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Value {
        serde_json::from_str(&self.text().await).expect("JSON")
    }

    /// The same to the letter.
    pub(crate) async fn text(&mut self) -> String {
        let text = self.receive().await;
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        messages::check_frame(&frame);
        if let Some(request) = self.take_request(&frame) {
            messages::check_request(&request);
        }
        text
    }

    /// The request that a good answer is for.
    fn take_request(&mut self, answer: &Value) -> Option<Value> {
        let method = answer[0].as_str()?.strip_suffix("_result")?;
        let is_asked = |frame: &Value| {
            let is_frame = frame.as_array().is_some_and(|frame| frame.len() == 2);
            is_frame && frame[0] == method && frame[1]["qid"] == answer[1]["qid"]
        };
        let request = self.1.remove(self.1.iter().position(is_asked)?);
        (answer[1]["result"] != "error").then_some(request)
    }

    async fn receive(&mut self) -> String {
        let wait = async {
            loop {
                match self
                    .0
                    .next()
                    .await
                    .expect("the connection is open")
                    .expect("a frame")
                {
                    Message::Text(text) => return text.to_string(),
                    Message::Close(frame) => panic!("closed: {frame:?}"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(WAIT_TIMEOUT, wait)
            .await
            .expect("a frame comes")
    }

    /// Sends a message, and takes the next frame as its answer.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.send(json!([method, params]).to_string()).await;
        let frame = self.next().await;
        assert_eq!(frame[0], format!("{method}_result"), "{frame}");
        frame[1].clone()
    }

    /// Reads up to the server's next ping; false if the connection ends before.
    pub(crate) async fn is_pinged(&mut self) -> bool {
        let wait = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Ping(_))) => return true,
                    Some(Ok(_)) => {}
                    _ => return false,
                }
            }
        };
        tokio::time::timeout(WAIT_TIMEOUT, wait)
            .await
            .expect("a ping")
    }

    /// The code with which the server closes the connection.
    pub(crate) async fn closed(&mut self) -> Option<CloseCode> {
        let wait = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        tokio::time::timeout(WAIT_TIMEOUT, wait)
            .await
            .expect("it is closed")
    }
}
