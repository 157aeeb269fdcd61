//! A workspace with a telephony exchange, and the exchange's messages.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    hub::{Answer, Caller, Hub},
    integration::Integration,
};

pub(crate) const CLIENT: &str = "79997775533";
pub(crate) const UNKNOWN_ID: &str = "00000000-0000-0000-0000-000000000001";
pub(crate) const NIL_ID: &str = "00000000-0000-0000-0000-000000000000";

/// A workspace in which the integration of an exchange is installed.
pub(crate) struct TelephonyExchange {
    pub(crate) hub: Hub,
    pub(crate) space: Caller,
    pub(crate) integration: Integration,
    /// The integration's caller.
    pub(crate) api: Caller,
}

impl TelephonyExchange {
    pub(crate) async fn new() -> Self {
        Self::at("https://my-integration.ru").await
    }

    pub(crate) async fn at(base_url: &str) -> Self {
        Self::on(Hub::start().await, base_url).await
    }

    pub(crate) async fn on(hub: Hub, base_url: &str) -> Self {
        let space = hub.workspace("my-workspace").await;
        let integration = Integration::install(&space, "Megafon", base_url).await;
        let api = space.access_key(&integration.access_key().await);
        Self {
            hub,
            space,
            integration,
            api,
        }
    }

    /// Declares that the integration can call and hang up.
    pub(crate) async fn enable_calls(&self) {
        let features = json!({ "call": true, "hangup": true, "sendSms": false });
        self.integration
            .patch(json!([{ "op": "replace", "path": "/features", "value": features }]))
            .await
            .ok();
    }

    pub(crate) async fn send(&self, name: &str, body: Value) -> Answer {
        let path = format!("/communications/callbacks/telephony/{name}");
        self.api.post(&path, body).await
    }

    pub(crate) async fn started(&self, id: &str) -> Answer {
        self.send("call-started", started(id)).await
    }

    pub(crate) async fn event(&self, id: &str, leg: &str, kind: &str, second: u32) -> Answer {
        self.send("call-event", event(id, leg, kind, second)).await
    }

    pub(crate) async fn call(&self, id: &str) -> Value {
        self.space
            .get(&format!("/communications/{id}?include=facts"))
            .await
            .ok()
            .json
    }

    /// The feed's events about calls, as `type/changeType kinds`.
    pub(crate) async fn feed(&self) -> Vec<String> {
        let page = self.space.get("/events?limit=1000").await.ok();
        let items = page["items"].as_array().expect("items");
        items
            .iter()
            .map(|item| {
                let ids = item["entityIds"].as_object().expect("ids");
                let ids: Vec<&str> = ids.keys().map(String::as_str).collect();
                let change = item["changeData"]["type"].as_str().unwrap_or("-");
                let kind = item["type"].as_str().expect("a type");
                format!("{kind}/{change} {}", ids.join("+"))
            })
            .filter(|line| line.contains("communication"))
            .collect()
    }

    /// The number of events in the feed.
    pub(crate) async fn feed_length(&self) -> usize {
        let (mut offset, mut count) = (NIL_ID.to_owned(), 0);
        loop {
            let page = self
                .space
                .get(&format!("/events?limit=1000&offset={offset}"))
                .await
                .ok();
            count += page["items"].as_array().map_or(0, Vec::len);
            if page["hasMore"] != true {
                return count;
            }
            offset = page.str("lastOffset");
        }
    }

    pub(crate) async fn upload(&self, name: &str) -> String {
        let body = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: audio/mpeg\r\n\r\n0123456789\r\n--edge--\r\n"
        );
        let caller = self
            .api
            .clone()
            .header("content-type", "multipart/form-data; boundary=edge");
        caller
            .send(Method::POST, "/files", Some(body.into_bytes()))
            .await
            .ok()
            .str("fileId")
    }

    pub(crate) async fn make(&self, collection: &str, body: Value) -> String {
        let made = self.space.post(&format!("/{collection}"), body).await.ok();
        made.str("id")
    }

    pub(crate) async fn link(&self, body: Value) {
        self.space.post("/links", body).await.ok();
    }

    pub(crate) async fn user(&self, name: &str) -> String {
        let body = json!({ "login": name, "firstName": name, "status": "active" });
        self.make("users", body).await
    }
}

pub(crate) fn started(id: &str) -> Value {
    json!({
        "timestamp": "2022-03-22T10:38:35.6152798+00:00", "externalId": id,
        "externalVatsPhone": "79229929292", "clientPhone": CLIENT, "direction": "inbound",
    })
}

pub(crate) fn finished(id: &str, second: u32) -> Value {
    json!({ "timestamp": at(second), "externalId": id, "clientPhone": CLIENT, "direction": "inbound" })
}

pub(crate) fn event(id: &str, leg: &str, kind: &str, second: u32) -> Value {
    json!({
        "externalId": id, "externalCallItemId": leg, "realtimeCallItemId": leg,
        "timestamp": at(second), "type": kind, "from": { "type": "client" }, "to": { "type": "user" },
    })
}

pub(crate) fn at(second: u32) -> String {
    format!("2026-01-01T00:00:{second:02}+00:00")
}

pub(crate) fn item(leg: &str, from: Option<u32>, to: u32, files: &[&str]) -> Value {
    let recordings: Vec<Value> = files
        .iter()
        .map(|id| json!({ "fileId": id, "fileName": "x", "contentType": "audio/mpeg", "contentLength": "10" }))
        .collect();
    let mut item = json!({
        "id": leg, "from": { "type": "client" }, "to": { "type": "user" },
        "recordings": recordings, "finishedAt": at(to),
    });
    if let Some(from) = from {
        item["startedAt"] = at(from).into();
    }
    item
}

pub(crate) fn register(id: &str, items: Value) -> Value {
    json!({
        "externalVatsPhone": "79229929292", "clientPhone": CLIENT, "items": items,
        "externalCreatedAt": "2022-03-22T10:38:35.5+00:00", "externalId": id, "direction": "inbound",
    })
}

pub(crate) fn items(call: &Value) -> &Value {
    &call["data"]["call"]["items"]
}
