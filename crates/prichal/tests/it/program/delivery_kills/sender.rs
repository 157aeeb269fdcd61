//! The clients of the drill, which make changes and publish events until the server is killed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::hub::Caller;

/// The number of changes that a sender makes in a round to each of its companies.
const CHANGES: u64 = 5;

/// A sequence of numbers that a seed determines (`SplitMix64`).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.next() % bound).expect("a small number")
    }
}

/// The requests of the senders.
#[derive(Default)]
pub(super) struct Sent {
    /// The names of the changes that were answered.
    pub(super) changes: Vec<String>,
    /// The published events, those that were not answered included.
    pub(super) published: Vec<Value>,
}

/// One of the clients that make changes and publish events.
pub(super) struct Sender {
    pub(super) space: Caller,
    pub(super) answered: Arc<AtomicUsize>,
    pub(super) finished: Arc<AtomicUsize>,
    pub(super) name: String,
    pub(super) ids: Random,
}

impl Sender {
    pub(super) async fn run(mut self) -> Sent {
        let mut sent = Sent::default();
        if self.send(&mut sent).await.is_some() {
            self.finished.fetch_add(1, Ordering::SeqCst);
        }
        sent
    }

    /// `None` once the server is gone.
    async fn send(&mut self, sent: &mut Sent) -> Option<()> {
        for n in 0..2 {
            let name = format!("{}-{n}-deal", self.name);
            self.change(sent, Method::POST, "/deals", &name).await?;
            let name = format!("{}-{n}-0", self.name);
            let company = self.change(sent, Method::POST, "/companies", &name).await?;
            for turn in 1..CHANGES {
                let name = format!("{}-{n}-{turn}", self.name);
                let path = format!("/companies/{company}");
                self.change(sent, Method::PATCH, &path, &name).await?;
                self.publish(sent, "order.created", &[json!({ "turn": turn })])
                    .await?;
            }
            // Three that are given up in a row would switch the webhook off.
            let dead = [false, true, false].map(|refused| json!({ "refused": refused }));
            self.publish(sent, "dead", &dead).await?;
        }
        Some(())
    }

    /// Makes an entity with this name, or renames one. Returns its id.
    async fn change(
        &self,
        sent: &mut Sent,
        method: Method,
        path: &str,
        name: &str,
    ) -> Option<String> {
        let body = if method == Method::POST {
            json!({ "name": name })
        } else {
            json!({ "operations": [{ "op": "replace", "path": "/name", "value": name }] })
        };
        let body = Some(body.to_string().into_bytes());
        let answer = self.space.try_send(method, path, body).await.ok()?.ok();
        self.answered.fetch_add(1, Ordering::SeqCst);
        sent.changes.push(name.to_owned());
        let id = answer["id"].as_str().unwrap_or_default();
        Some(id.to_owned())
    }

    /// Publishes events of a type together.
    async fn publish(&mut self, sent: &mut Sent, kind: &str, data: &[Value]) -> Option<()> {
        let event = |data: &Value| {
            let id = Uuid::from_u64_pair(self.ids.next(), self.ids.next());
            json!({ "id": id, "type": kind, "entity": self.name, "data": data })
        };
        let items: Vec<Value> = data.iter().map(event).collect();
        sent.published.extend_from_slice(&items);
        let body = json!({ "items": items });
        self.space.try_post("/events", body).await?.ok();
        self.answered.fetch_add(1, Ordering::SeqCst);
        Some(())
    }
}
