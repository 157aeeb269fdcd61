//! Revoked credentials and rights: work that began with them ends as well (`docs/access.md`).

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::websocket_client::WebsocketClient,
    harness::{
        channel_workspace::{ChannelWorkspace, CreatedChannel, POINTS},
        document_exchange::{Company, DocumentExchange, PDF, code},
        hub::{Caller, Hub},
        integration::Integration,
    },
};

/// A workspace with one credential of each kind.
struct CredentialSet {
    hub_admin: Caller,
    name: String,
    space: Caller,
    user: String,
    of_user: Caller,
    member: Caller,
    private: Integration,
    public: Integration,
    /// The name of each credential, with a request that succeeds while it is valid.
    keys: Vec<(&'static str, Probe)>,
    channel: CreatedChannel,
}

enum Probe {
    Get(Caller, String),
    Post(Caller, String),
}

impl Probe {
    async fn status(&self) -> u16 {
        match self {
            // Some answers are streams.
            Self::Get(caller, path) => caller.stream(path).await.status().as_u16(),
            Self::Post(caller, path) => caller.post(path, json!({})).await.status,
        }
    }
}

async fn api_key(space: &Caller, id: &str) -> String {
    let path = format!("/integrations/{id}/api-key");
    space.post(&path, json!({})).await.ok().str("apiKey")
}

impl CredentialSet {
    async fn new(hub: &Hub, n: usize) -> Self {
        let name = format!("w{n}");
        let space = hub.workspace(&name).await;
        let user = space.post("/users", json!({ "login": "clerk" })).await.ok();
        let user = user.str("id");
        let of_user = hub.user_token(&name, &user).await;
        let member = hub.token(&name, "member").await;
        let private = Integration::install(&space, "Private", "https://p.example").await;
        let access_key = private.access_key().await;
        let private_key = api_key(&space, &private.id).await;

        let manifest = json!({ "name": format!("Public.n{n}"), "version": "1.0", "baseUrl": "https://p.example" });
        let id = space.post("/integrations", manifest).await.ok().str("id");
        let public = Integration {
            space: space.clone(),
            id,
        };
        let install = format!("/integrations/{}/install", public.id);
        space.post(&install, json!({})).await.ok();
        let public_key = api_key(&space, &public.id).await;
        let pin = json!({ "id": "pin", "value": format!("pin-of-{name}") });
        let pin = json!([{ "op": "add", "path": "/secrets", "value": pin }]);
        public.patch(pin).await.ok();

        let rest = space.at("");
        let data = json!({ "language": "javascript", "source": "respond(200)" });
        let script = json!({ "code": "s", "name": "s", "scriptdata": data });
        rest.post(crate::harness::channel_workspace::SCRIPTS, script)
            .await
            .ok();
        let channel = json!({ "code": "c", "type": "public", "recv_svcscriptcode": "s", "opts": { "issync": true } });
        let made = rest.post(POINTS, channel).await.ok();
        let channel = CreatedChannel {
            id: made.str("id"),
            token: made.str("token_local"),
        };

        let ticket = of_user.post("/communications/live/ticket", json!({})).await;
        let ticket = ticket.ok().str("ticket");
        let live = format!("/communications/live?ticket={ticket}");
        let anybody = hub.anonymous().at(&format!("/api/v1/{name}"));
        let signing_in = hub.anonymous();
        let by_secret = signing_in
            .clone()
            .header("x-xcom-integration-apikey", &public_key)
            .header("x-xcom-integration-secret", &format!("pin=pin-of-{name}"));
        let by_key = signing_in.header("x-xcom-integration-apikey", &private_key);
        let get = |caller: &Caller| Probe::Get(caller.clone(), "/settings".to_owned());
        let sign_in = |caller: Caller, path: &str| {
            Probe::Post(caller, format!("/api/v1/authorization/{path}"))
        };
        let keys = vec![
            ("administrator", get(&space)),
            ("member", get(&member)),
            ("user", get(&of_user)),
            ("ticket", Probe::Get(anybody, live)),
            ("access key", get(&space.access_key(&access_key))),
            ("API key", sign_in(by_key, "authorize-private-integration")),
            ("secret", sign_in(by_secret, "authorize-integration")),
            (
                "channel",
                Probe::Post(hub.anonymous().bearer(&channel.token), "/exec".to_owned()),
            ),
        ];
        Self {
            hub_admin: hub.admin(),
            name,
            space,
            user,
            of_user,
            member,
            private,
            public,
            keys,
            channel,
        }
    }

    async fn revoke(&self, whose: Option<&str>) {
        let path = format!("/admin/v1/workspaces/{}/tokens", self.name);
        let tokens = self.hub_admin.get(&path).await.ok();
        let tokens = tokens["items"].as_array().expect("tokens").clone();
        let meant = |token: &&Value| token["role"] == "member" && token["userId"].as_str() == whose;
        let token = tokens.iter().find(meant).expect("a token");
        let path = format!("{path}/{}", token["id"].as_str().expect("an id"));
        assert_eq!(self.hub_admin.delete(&path).await.status, 204);
    }

    /// Ends the thing that the table names.
    async fn end(&self, hub: &Hub, what: &str) {
        let user = format!("/users/{}", self.user);
        let rest = self.space.at("");
        let channel = format!("{POINTS}/{}", self.channel.id);
        match what {
            "member's token revoked" => self.revoke(None).await,
            "user's token revoked" => self.revoke(Some(&self.user)).await,
            "user deleted" => drop(self.space.delete(&user).await.ok()),
            "user deleted and restored" => {
                self.space.delete(&user).await.ok();
                let restore = format!("{user}/restore");
                self.space.post(&restore, json!({})).await.ok();
            }
            "uninstalled" | "installed again" => {
                for integration in [&self.private, &self.public] {
                    let path = format!("/integrations/{}/uninstall", integration.id);
                    self.space.post(&path, json!({})).await.ok();
                    if what == "installed again" {
                        let path = format!("/integrations/{}/install", integration.id);
                        self.space.post(&path, json!({})).await.ok();
                    }
                }
            }
            "API keys exchanged" => {
                for integration in [&self.private, &self.public] {
                    api_key(&self.space, &integration.id).await;
                }
            }
            "channel deleted" => assert_eq!(rest.delete(&channel).await.status, 204),
            "channel's token exchanged" => {
                let body = json!({ "overlap_seconds": 0 });
                let path = format!("{channel}/rotate_token");
                rest.post(&path, body).await.ok();
            }
            "workspace deleted" => {
                let path = format!("/admin/v1/workspaces/{}", self.name);
                assert_eq!(self.hub_admin.delete(&path).await.status, 204);
            }
            "time over" => hub.advance(Duration::from_mins(21)),
            _ => panic!("{what}"),
        }
    }
}

#[tokio::test]
async fn a_credential_ends_with_its_owner() {
    let hub = Hub::start().await;
    let all: &[&str] = &[
        "administrator",
        "member",
        "user",
        "ticket",
        "access key",
        "API key",
        "secret",
        "channel",
    ];
    let table: &[(&str, &[&str])] = &[
        ("member's token revoked", &["member"]),
        ("user's token revoked", &["user", "ticket"]),
        ("user deleted", &["user", "ticket"]),
        ("user deleted and restored", &["user", "ticket"]),
        ("uninstalled", &["access key", "API key", "secret"]),
        ("installed again", &["access key"]),
        ("API keys exchanged", &["API key", "secret"]),
        ("channel deleted", &["channel"]),
        ("channel's token exchanged", &["channel"]),
        ("workspace deleted", all),
        ("time over", &["access key", "ticket"]),
    ];
    for (n, (what, dead)) in table.iter().enumerate() {
        let world = CredentialSet::new(&hub, n).await;
        for (name, probe) in world.keys.iter().filter(|(name, _)| *name != "ticket") {
            assert_eq!(probe.status().await, 200, "{name} at first");
        }
        world.end(&hub, what).await;
        for (name, probe) in &world.keys {
            let status = probe.status().await;
            let is_dead = matches!(status, 401 | 403 | 409);
            assert_eq!(is_dead, dead.contains(name), "{what}: {name}: {status}");
            assert!(is_dead || status == 200, "{what}: {name}: {status}");
        }
        drop((world.of_user, world.member));
    }
}

/// A restored user gets new tokens: the old token has ended, not the user.
#[tokio::test]
async fn a_restored_user_gets_new_tokens() {
    let hub = Hub::start().await;
    let world = CredentialSet::new(&hub, 0).await;
    world.end(&hub, "user deleted").await;
    let body = json!({ "name": "x", "role": "member", "userId": world.user });
    let path = format!("/admin/v1/workspaces/{}/tokens", world.name);
    assert_eq!(hub.admin().post(&path, body).await.status, 400);
    let restore = format!("/users/{}/restore", world.user);
    world.space.post(&restore, json!({})).await.ok();
    let fresh = hub.user_token(&world.name, &world.user).await;
    fresh.get("/settings").await.ok();
    assert_eq!(world.of_user.get("/settings").await.status, 401);
    let listed = hub.admin().get(&path).await.ok();
    let own = |token: &&Value| token["userId"] == world.user.as_str();
    let items = listed["items"].as_array().expect("items");
    assert_eq!(items.iter().filter(own).count(), 1);
}

const BULK: &str = "/api/v3/async/bulk/external/outbox/document/create";

/// An employee with one permission, and a token of his.
async fn employee(
    exchange: &DocumentExchange,
    us: &Company,
    space: &Caller,
    name: &str,
) -> (String, Caller) {
    let user = json!({ "login": name, "lastName": "И", "firstName": "И", "permissions": ["DOCUMENT_CREATE"] });
    let id = space.post("/users", user).await.ok().str("id");
    let token = exchange.hub.user_token(&us.name, &id).await;
    (id, token.at(""))
}

/// A queued element is done with the rights that its sender has at that moment.
#[tokio::test]
async fn an_element_that_waits_loses_the_rights_of_its_sender() {
    let exchange = DocumentExchange::new().await;
    let us = exchange.company(0).await;
    let space = us.api.at(&format!("/api/v1/{}", us.name));
    let tokens = format!("/admin/v1/workspaces/{}/tokens", us.name);
    for what in [
        "nothing",
        "token revoked",
        "token over",
        "user deleted",
        "permission taken",
    ] {
        let (id, clerk) = employee(&exchange, &us, &space, what).await;
        let blob = us.content("a.pdf", PDF).await;
        let mut data = us.metadata(&[&blob]);
        data["documentMetadata"]["documentAuthorEmployeeId"] = json!(id);
        let sender = match what {
            "token over" => {
                let until = "2026-01-01T00:10:00Z";
                let body =
                    json!({ "name": "x", "role": "member", "userId": id, "expiresAt": until });
                exchange.hub.token_with(&us.name, body).await.at("")
            }
            _ => clerk,
        };
        let body = json!({ "operations": [{ "data": data }] });
        let started = sender.post(BULK, body).await.ok();
        let ended = us.ended(BULK, &started).await;
        assert_eq!(ended[0]["operationStatus"], "CompletedWithOk", "{ended:?}");

        let user = format!("/users/{id}");
        match what {
            "token revoked" => {
                let listed = exchange.hub.admin().get(&tokens).await.ok();
                let items = listed["items"].as_array().expect("items").clone();
                let own = items.iter().find(|token| token["userId"] == id.as_str());
                let token = own.expect("a token")["id"].as_str().expect("an id");
                let path = format!("{tokens}/{token}");
                assert_eq!(exchange.hub.admin().delete(&path).await.status, 204);
            }
            "token over" => exchange.hub.advance(Duration::from_mins(11)),
            "user deleted" => drop(space.delete(&user).await.ok()),
            "permission taken" => {
                let none = json!([{ "op": "replace", "path": "/permissions", "value": [] }]);
                space.patch(&user, none).await.ok();
            }
            _ => {}
        }
        // The same element, put back into the queue.
        let element = started["operations"][0]["operationId"]
            .as_str()
            .expect("an id");
        exchange.hub.installation.execute(&format!(
            "UPDATE bulk SET status = 'Created', result = NULL, completed_on = NULL, tries = 0, owner = NULL WHERE id = '{element}'"
        ));
        exchange.hub.app.bulk.notify_one();
        let ended = us.ended(BULK, &started).await;
        if what == "nothing" {
            assert_eq!(ended[0]["operationStatus"], "CompletedWithOk", "{ended:?}");
            continue;
        }
        assert_eq!(
            ended[0]["operationStatus"], "CompletedWithProcessingError",
            "{what}"
        );
        let error = &ended[0]["operationErrors"][0];
        assert_eq!(error["errorCode"], "PERMISSION_ERROR", "{what}: {error}");
        assert_eq!(ended[0]["data"], json!({}), "{what}");
    }
    let list = json!({ "skip": 0, "top": 100 });
    let found = us
        .api
        .post("/api/v3/sync/external/documents-query/outbox", list)
        .await;
    assert_eq!(found.status, 200, "{} {}", code(&found), found.text);
    let total = found.json["response"]["totalSize"].as_i64();
    assert_eq!(total, Some(6), "{}", found.text);
}

async fn refused(client: &mut WebsocketClient, method: &str, params: Value, what: &str) {
    let answer = client.ask(method, params).await;
    assert_eq!(answer["errorcode"], 1403, "{what}: {method}: {answer}");
}

/// A websocket that is open has the rights that its channel has now.
#[tokio::test]
async fn a_websocket_that_is_open_loses_rights() {
    let era = ChannelWorkspace::new().await;
    let read = json!({ "operation": "read", "classpath": "service/svcscripts" });
    let start = json!({ "code": "other" });
    era.script("other", "respond(200)").await;
    let capabilities = ["rest", "svcscript", "subscr", "test"];
    for what in [
        "role narrowed",
        "role deleted",
        "filter narrowed",
        "role exchanged",
        "addresses narrowed",
    ] {
        let user = era
            .space
            .post("/users", json!({ "login": what }))
            .await
            .ok();
        let opts = json!({ "opts": { "userid": user.str("id") } });
        let code = what.replace(' ', "_");
        let channel = era.open(&code, opts, &capabilities).await;
        let mut client = WebsocketClient::with(&era.hub, &channel, &capabilities).await;
        assert_eq!(client.ask("rest", read.clone()).await["result"], "ok");
        let started = client.ask("start_svcscript", start.clone()).await;
        assert_eq!(started["result"], "ok", "{started}");
        let subscribed = client.ask("subscribe", json!({ "id": 1 })).await;
        assert_eq!(subscribed["result"], "ok", "{subscribed}");

        let point = format!("{POINTS}/{}", channel.id);
        let roles = era.space.get("/roles?limit=100").await.ok();
        let roles = roles["items"].as_array().expect("roles").clone();
        let role = roles.iter().find(|role| role["name"] == code.as_str());
        let role = role.expect("a role")["id"].as_str().expect("an id");
        let role = format!("/roles/{role}");
        let opts = match what {
            "role narrowed" => {
                let only = json!([{ "methods": ["WEBSOCKET"], "url": "/ws#test" }]);
                let patch = json!([{ "op": "replace", "path": "/routes", "value": only }]);
                era.space.patch(&role, patch).await.ok();
                None
            }
            "role deleted" => {
                era.space.delete(&role).await.ok();
                None
            }
            "filter narrowed" => Some(json!({ "filter_capabilities": ["test"] })),
            "role exchanged" => Some(json!({ "roles": ["unknown"] })),
            _ => Some(json!({ "ip_mask": ["192.0.2.0/24"] })),
        };
        if let Some(opts) = opts {
            let body = json!({ "opts": opts }).to_string().into_bytes();
            era.rest.send(Method::PATCH, &point, Some(body)).await.ok();
        }
        // The subscription gets none of these events.
        era.space
            .post("/companies", json!({ "name": what }))
            .await
            .ok();
        refused(&mut client, "rest", read.clone(), what).await;
        refused(&mut client, "start_svcscript", start.clone(), what).await;
        refused(&mut client, "subscribe", json!({ "id": 1 }), what).await;
        let again = json!({ "capabilities": [{ "key": "rest" }, { "key": "subscr" }] });
        let setup = client.ask("setup", again).await;
        assert_eq!(
            setup["capabilities"][0]["result"], "error",
            "{what}: {setup}"
        );
        assert_eq!(
            setup["capabilities"][1]["result"], "error",
            "{what}: {setup}"
        );
        let info = client.ask("connection_info", json!({})).await;
        let left = match what {
            "role narrowed" | "filter narrowed" => json!(["test"]),
            _ => json!([]),
        };
        assert_eq!(info["capabilities"], left, "{what}");
    }
}

/// A script that waits for its turn is looked at when the turn comes.
#[tokio::test]
async fn a_script_that_waits_does_not_run_after_its_right_is_lost() {
    let era = ChannelWorkspace::new().await;
    era.script("loop", "for (;;) {}").await;
    era.script("quick", "respond(200)").await;
    let channel = era.open("sock", json!({}), &["svcscript"]).await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["svcscript"]).await;
    let start = |qid: usize, code: &str, timeout: u64| {
        let params = json!({ "qid": qid, "code": code, "timeout": timeout });
        json!(["start_svcscript", params]).to_string()
    };
    for qid in 0..8 {
        client.send(start(qid, "loop", 500)).await;
    }
    client.send(start(8, "quick", 500)).await;
    era.wait_until_running(8).await;
    let point = format!("{POINTS}/{}", channel.id);
    let opts = json!({ "opts": { "filter_capabilities": ["test"] } });
    let body = opts.to_string().into_bytes();
    era.rest.send(Method::PATCH, &point, Some(body)).await.ok();
    era.hub.advance(Duration::from_millis(500));
    let mut codes = Vec::new();
    for _ in 0..9 {
        let frame = client.next().await;
        let qid = frame[1]["qid"].as_u64().expect("a number");
        codes.push((qid == 8, frame[1]["errorcode"].clone()));
    }
    codes.sort_by_key(|(is_last, _)| *is_last);
    assert_eq!(codes[0], (false, json!(1504)));
    assert_eq!(codes[8], (true, json!(1403)), "{codes:?}");
    assert!(era.runs("quick").await.is_empty(), "it has not run");
}

/// Rights added to a role apply to open connections as well.
#[tokio::test]
async fn a_websocket_that_is_open_gains_rights() {
    let era = ChannelWorkspace::new().await;
    let channel = era.open("later", json!({}), &["test"]).await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["test"]).await;
    let roles = era.space.get("/roles").await.ok();
    let role = roles["items"][0]["id"].as_str().expect("an id").to_owned();
    let all = json!([{ "methods": ["*"], "url": "*" }]);
    let patch = json!([{ "op": "replace", "path": "/routes", "value": all }]);
    era.space.patch(&format!("/roles/{role}"), patch).await.ok();
    let wanted = json!({ "capabilities": [{ "key": "rest" }] });
    let setup = client.ask("setup", wanted).await;
    assert_eq!(setup["capabilities"][0]["result"], "ok", "{setup}");
}
