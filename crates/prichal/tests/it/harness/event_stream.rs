//! A stream of server-sent events, as a client reads it.

use serde_json::Value;

use crate::harness::{
    hub::{Caller, WAIT_TIMEOUT},
    messages,
};

pub(crate) struct EventStream {
    answer: reqwest::Response,
    text: String,
}

/// An event of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) name: String,
    /// Empty if there is none.
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl EventStream {
    /// Opens a stream and waits for its first comment.
    pub(crate) async fn open(caller: &Caller, path: &str) -> Self {
        let answer = caller.stream(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let kind = &answer.headers()["content-type"];
        assert_eq!(kind, "text/event-stream");
        Self {
            answer,
            text: String::new(),
        }
    }

    /// The next event, which is as the AsyncAPI description says.
    pub(crate) async fn next(&mut self) -> Message {
        let message = self.next_unchecked().await;
        messages::check_event(&message.name, &message.id, &message.data);
        message
    }

    /// The next event with data.
    pub(crate) async fn next_unchecked(&mut self) -> Message {
        self.next_or_end().await.expect("the stream goes on")
    }

    /// The next event with data, or `None` at the end.
    pub(crate) async fn next_or_end(&mut self) -> Option<Message> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                let mut lines = block.lines();
                lines
                    .find_map(|line| line.strip_prefix(name))
                    .map(|text| text.trim().to_owned())
            };
            if let (Some(name), Some(data)) = (field("event:"), field("data:")) {
                let data = serde_json::from_str(&data).expect("JSON");
                let id = field("id:").unwrap_or_default();
                return Some(Message { name, id, data });
            }
        }
    }

    /// The next block, or `None` at the end.
    pub(crate) async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let chunk = tokio::time::timeout(WAIT_TIMEOUT, self.answer.chunk()).await;
            let chunk = chunk.expect("something comes").expect("a clean end")?;
            self.text += std::str::from_utf8(&chunk).expect("text");
        }
    }

    /// Reads up to the end.
    pub(crate) async fn end(&mut self) {
        while self.block().await.is_some() {}
    }
}
