//! Sending of calls to a server, as a persistent connector does it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::plan::{Call, Chaos, Message};

/// The maximum number of retries of a message.
const MAX_RETRIES: u32 = 400;
/// The maximum number of complaints that are kept.
const MAX_COMPLAINTS: usize = 20;

/// The server's address and the caller's credentials.
#[derive(Clone)]
pub struct Server {
    pub client: Client,
    /// Without a slash at the end.
    pub url: String,
    pub workspace: String,
    pub api_key: String,
}

/// The results of a simulation.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub calls: u64,
    /// Accepted messages, and those repeated after a refusal or without an answer.
    pub taken: u64,
    pub again: u64,
    pub statuses: BTreeMap<u16, u64>,
    /// The first failures.
    pub complaints: Vec<String>,
}

/// A running connector.
pub struct Player {
    server: Server,
    chaos: Chaos,
    /// The wait before a retry.
    pause: Duration,
    key: tokio::sync::RwLock<String>,
    tally: Mutex<Tally>,
}

impl Player {
    /// Creates a connector and gets its access key.
    pub async fn new(server: Server, chaos: Chaos, pause: Duration) -> Result<Self> {
        let key = authorize(&server).await?;
        Ok(Self {
            server,
            chaos,
            pause,
            key: tokio::sync::RwLock::new(key),
            tally: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tally(&self) -> Tally {
        self.lock().clone()
    }

    /// Sends all calls, at most `concurrency` at a time.
    pub async fn tell_all(self: &Arc<Self>, calls: Vec<Call>, concurrency: usize, seed: u64) {
        let mut running = JoinSet::new();
        for (n, call) in (0_u64..).zip(calls) {
            if running.len() >= concurrency.max(1) {
                running.join_next().await;
            }
            let player = self.clone();
            running.spawn(async move {
                let mut rng = StdRng::seed_from_u64(seed.wrapping_add(n));
                player.tell(&call, &mut rng).await;
            });
        }
        while running.join_next().await.is_some() {}
    }

    /// Sends one call. Messages refused because the server does not know the call yet are repeated after the others.
    pub async fn tell(&self, call: &Call, rng: &mut StdRng) {
        let mut left = call.untidy(&self.chaos, rng);
        for round in 0..MAX_RETRIES {
            let mut refused = Vec::new();
            for message in left {
                if !self.chaos.delay.is_zero() {
                    let most = u64::try_from(self.chaos.delay.as_millis()).unwrap_or(0);
                    tokio::time::sleep(Duration::from_millis(rng.random_range(0..=most))).await;
                }
                match self.send(&message).await {
                    Sent::Taken => self.lock().taken += 1,
                    Sent::Again => refused.push(message),
                    Sent::Never(why) => {
                        let mut tally = self.lock();
                        if tally.complaints.len() < MAX_COMPLAINTS {
                            tally
                                .complaints
                                .push(format!("{}: {why}", call.external_id));
                        }
                    }
                }
            }
            if refused.is_empty() {
                self.lock().calls += 1;
                return;
            }
            self.lock().again += refused.len() as u64;
            left = refused;
            if round > 0 {
                tokio::time::sleep(self.pause).await;
            }
        }
        let mut tally = self.lock();
        tally.complaints.push(format!(
            "{}: {} messages were never taken",
            call.external_id,
            left.len()
        ));
    }

    /// Sends a message once.
    pub async fn send(&self, message: &Message) -> Sent {
        let Server {
            client,
            url,
            workspace,
            ..
        } = &self.server;
        let path = format!(
            "{url}/api/v1/{workspace}/communications/callbacks/telephony/{}",
            message.name
        );
        let key = self.key.read().await.clone();
        let request = client
            .request(Method::POST, path)
            .header("x-xcom-accesskey", &key)
            .header("content-type", "application/json")
            .body(message.body.to_string());
        let Ok(answer) = request.send().await else {
            return Sent::Again;
        };
        let status = answer.status();
        *self.lock().statuses.entry(status.as_u16()).or_default() += 1;
        let Ok(text) = answer.text().await else {
            return Sent::Again;
        };
        if status.is_success() {
            return Sent::Taken;
        }
        if status == StatusCode::UNAUTHORIZED {
            self.renew(&key).await;
            return Sent::Again;
        }
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let is_unknown =
            status == StatusCode::CONFLICT && body["status"] == "communicationNotFound";
        if is_unknown || status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            Sent::Again
        } else {
            let shown: String = text.chars().take(300).collect();
            Sent::Never(format!("{} was answered {status}: {shown}", message.name))
        }
    }

    /// Gets a new access key, unless another task has replaced `old` already.
    async fn renew(&self, old: &str) {
        let mut key = self.key.write().await;
        if *key == old
            && let Ok(fresh) = authorize(&self.server).await
        {
            *key = fresh;
        }
    }
}

/// The result of sending a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    Taken,
    /// To be retried.
    Again,
    Never(String),
}

async fn authorize(server: &Server) -> Result<String> {
    let url = format!(
        "{}/api/v1/authorization/authorize-private-integration",
        server.url
    );
    let request = server
        .client
        .post(url)
        .header("x-xcom-integration-apikey", &server.api_key)
        .header("content-type", "application/json")
        .body("{}");
    let answer = ask(request).await.context("cannot get an access key")?;
    let key = answer["accessKey"].as_str();
    key.map(str::to_owned)
        .context("the answer has no access key")
}

/// Sends a request that must succeed.
pub async fn ask(request: reqwest::RequestBuilder) -> Result<Value> {
    let answer = request.send().await.map_err(reqwest::Error::without_url)?;
    let status = answer.status();
    let text = answer.text().await?;
    if !status.is_success() {
        let shown: String = text.chars().take(300).collect();
        bail!("{status}: {shown}");
    }
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

/// Reads all calls of the workspace and returns the differences from these. Calls of other integrations are ignored.
pub async fn verify(
    server: &Server,
    token: &str,
    integration: &str,
    calls: &[Call],
) -> Result<Vec<String>> {
    const PAGE: usize = 500;
    let mut known: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut offset = 0;
    loop {
        let url = format!(
            "{}/api/v1/{}/communications?offset={offset}&limit={PAGE}",
            server.url, server.workspace
        );
        let page = ask(server.client.get(url).bearer_auth(token)).await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        offset += items.len();
        let is_last = items.len() < PAGE;
        for item in items {
            let id = item["externalId"].as_str().unwrap_or_default();
            if let Some((name, id)) = id.split_once('/')
                && name == integration
            {
                let id = id.to_owned();
                known.entry(id).or_default().push(item);
            }
        }
        if is_last {
            break;
        }
    }
    let mut wrong = Vec::new();
    for call in calls {
        match known.get(&call.external_id).map(Vec::as_slice) {
            None | Some([]) => wrong.push(format!("{}: there is no record", call.external_id)),
            Some([one]) => {
                let (told, expected) = (Call::comparable(one), call.expected());
                if told != expected {
                    wrong.push(format!(
                        "{} ({:?}): {told} instead of {expected}",
                        call.external_id, call.story
                    ));
                }
            }
            Some(many) => wrong.push(format!("{}: {} records", call.external_id, many.len())),
        }
    }
    Ok(wrong)
}

/// Creates an integration for the connector whose server is at `base_url`, and returns its API key.
pub async fn install(server: &Server, token: &str, name: &str, base_url: &str) -> Result<String> {
    let space = format!("{}/api/v1/{}", server.url, server.workspace);
    let post = |path: String, body: Value| {
        let request = server.client.post(format!("{space}{path}"));
        let request = request
            .bearer_auth(token)
            .header("content-type", "application/json");
        ask(request.body(body.to_string()))
    };
    let manifest = json!({ "name": name, "version": "1.0", "baseUrl": base_url });
    let made = post("/private-integrations".into(), manifest).await?;
    let id = made["id"].as_str().context("the integration has no id")?;
    post(format!("/integrations/{id}/install"), json!({})).await?;
    let features = json!({ "call": true, "hangup": true, "sendSms": false });
    let operations =
        json!({ "operations": [{ "op": "replace", "path": "/features", "value": features }] });
    let request = server
        .client
        .patch(format!("{space}/integrations/instances/{id}"))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(operations.to_string());
    ask(request).await?;
    let key = post(format!("/integrations/{id}/api-key"), json!({})).await?;
    let key = key["apiKey"]
        .as_str()
        .context("the answer has no API key")?;
    Ok(key.to_owned())
}
