//! A workspace with channels and scripts.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::hub::{Answer, Caller, Hub, eventually};

pub(crate) const POINTS: &str = "/rest/v1/service/integration_points";
pub(crate) const TYPES: &str = "/rest/v1/service/integration_point_types";
pub(crate) const SCRIPTS: &str = "/rest/v1/service/svcscripts";
pub(crate) const RUNS: &str = "/rest/v1/service/svcscript_runtimes";

pub(crate) struct ChannelWorkspace {
    pub(crate) hub: Hub,
    /// An administrator of the workspace, at its entities.
    pub(crate) space: Caller,
    /// The same administrator at the API of channels.
    pub(crate) rest: Caller,
}

/// The id and token of a new channel.
pub(crate) struct CreatedChannel {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl ChannelWorkspace {
    pub(crate) async fn new() -> Self {
        Self::at(Hub::start().await).await
    }

    pub(crate) async fn at(hub: Hub) -> Self {
        let space = hub.workspace("acme").await;
        let rest = space.at("");
        Self { hub, space, rest }
    }

    /// Makes a script.
    pub(crate) async fn script(&self, code: &str, source: &str) -> String {
        let data = json!({ "language": "javascript", "source": source });
        let body = json!({ "code": code, "name": code, "scriptdata": data });
        self.rest.post(SCRIPTS, body).await.ok().str("id")
    }

    /// Makes a channel with these members besides its code.
    pub(crate) async fn channel(&self, code: &str, members: Value) -> CreatedChannel {
        let mut body = json!({ "code": code, "type": "public" });
        for (name, value) in members.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let made = self.rest.post(POINTS, body).await.ok();
        CreatedChannel {
            id: made.str("id"),
            token: made.str("token_local"),
        }
    }

    /// A channel whose role opens these capabilities and, for `rest`, all paths.
    pub(crate) async fn open(
        &self,
        code: &str,
        mut members: Value,
        capabilities: &[&str],
    ) -> CreatedChannel {
        let opens = |one: &&str| json!({ "methods": ["WEBSOCKET"], "url": format!("/ws#{one}") });
        let mut routes: Vec<Value> = capabilities.iter().map(opens).collect();
        if capabilities.contains(&"rest") {
            routes.push(json!({ "methods": ["*"], "url": "/rest/v1/*" }));
        }
        let role = json!({ "name": code, "routes": routes });
        self.space.post("/roles", role).await.ok();
        members["opts"]["roles"] = json!([code]);
        self.channel(code, members).await
    }

    /// A channel with one script, that its hooks wait for.
    pub(crate) async fn sync_channel(&self, code: &str, source: &str) -> CreatedChannel {
        self.script(code, source).await;
        let opts = json!({ "issync": true });
        let members = json!({ "recv_svcscriptcode": code, "opts": opts });
        self.channel(code, members).await
    }

    /// A channel with one script, that its hooks do not wait for.
    pub(crate) async fn queued_channel(&self, code: &str, source: &str) -> CreatedChannel {
        self.script(code, source).await;
        let members = json!({ "recv_svcscriptcode": code });
        self.channel(code, members).await
    }

    pub(crate) async fn change(&self, path: &str, body: Value) -> Answer {
        let body = Some(body.to_string().into_bytes());
        self.rest.send(Method::PATCH, path, body).await
    }

    /// The verb LOOKUP at a collection.
    pub(crate) async fn look_up(&self, collection: &str, key: Value) -> Answer {
        let verb = Method::from_bytes(b"LOOKUP").expect("a verb");
        let body = Some(key.to_string().into_bytes());
        self.rest.send(verb, collection, body).await
    }

    /// A caller with the channel's token.
    pub(crate) fn token_holder(&self, channel: &CreatedChannel) -> Caller {
        self.hub.anonymous().bearer(&channel.token)
    }

    /// A hook with a JSON body.
    pub(crate) async fn hook(&self, channel: &CreatedChannel, body: Value) -> Answer {
        self.token_holder(channel).post("/exec", body).await
    }

    /// The runs of a script, newest first.
    pub(crate) async fn runs(&self, code: &str) -> Vec<Value> {
        let filter = json!({ "code": code }).to_string();
        let filter: String = form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        let found = self.rest.get(&format!("{RUNS}?filter={filter}")).await.ok();
        found.json.as_array().expect("a list").clone()
    }

    /// Waits until this many scripts run or wait for a permit, so that their time limit counts.
    pub(crate) async fn wait_until_running(&self, count: usize) {
        eventually(&format!("{count} scripts at work"), || async {
            (self.hub.app.scripts.running() == count).then_some(())
        })
        .await;
    }

    /// Waits until no run waits for its first attempt.
    pub(crate) async fn wait_until_drained(&self) {
        eventually("every run has begun and ended", || async {
            let queued = format!("{RUNS}?filter=%7B%22status%22%3A%22queued%22%7D");
            let waiting = self.rest.get(&queued).await.ok();
            (waiting.text == "[]").then_some(())
        })
        .await;
    }

    /// The newest run of a script, once it has this status.
    pub(crate) async fn run(&self, code: &str, status: &str) -> Value {
        eventually(&format!("a run of {code} that is {status}"), || async {
            let runs = self.runs(code).await;
            runs.into_iter()
                .next()
                .filter(|run| run["status"] == status)
        })
        .await
    }
}
