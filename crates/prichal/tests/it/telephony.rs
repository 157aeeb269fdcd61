//! Telephony (`reference/kontur.md` §6, §7, §15 checks 3 to 9): what exchanges report and what users
//! ask for.

use std::{sync::Arc, time::Duration};

use prichal::pbx::{
    plan::{self, Chaos},
    play::{self, Player},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    hub::{Answer, Caller, Ground, Hub, eventually},
    partner::Partner,
    receiver::{Call, Receiver, Reply},
};

const CLIENT: &str = "79997775533";
const NOBODY: &str = "00000000-0000-0000-0000-000000000001";
const ZERO: &str = "00000000-0000-0000-0000-000000000000";

/// An exchange's integration, in a workspace of its own.
struct Exchange {
    hub: Hub,
    space: Caller,
    partner: Partner,
    /// The integration itself.
    line: Caller,
}

impl Exchange {
    async fn new() -> Self {
        Self::at("https://my-integration.ru").await
    }

    async fn at(base_url: &str) -> Self {
        Self::on(Hub::start().await, base_url).await
    }

    async fn on(hub: Hub, base_url: &str) -> Self {
        let space = hub.workspace("my-workspace").await;
        let partner = Partner::install(&space, "Megafon", base_url).await;
        let line = space.access_key(&partner.access_key().await);
        Self {
            hub,
            space,
            partner,
            line,
        }
    }

    /// Has the integration say that it can call and hang up.
    async fn enable_calls(&self) {
        let features = json!({ "call": true, "hangup": true, "sendSms": false });
        self.partner
            .patch(json!([{ "op": "replace", "path": "/features", "value": features }]))
            .await
            .ok();
    }

    async fn send(&self, name: &str, body: Value) -> Answer {
        let path = format!("/communications/callbacks/telephony/{name}");
        self.line.post(&path, body).await
    }

    async fn started(&self, id: &str) -> Answer {
        self.send("call-started", started(id)).await
    }

    async fn event(&self, id: &str, leg: &str, kind: &str, second: u32) -> Answer {
        self.send("call-event", event(id, leg, kind, second)).await
    }

    async fn call(&self, id: &str) -> Value {
        self.space
            .get(&format!("/communications/{id}?include=facts"))
            .await
            .ok()
            .json
    }

    /// What has happened, as `type/changeType kinds`.
    async fn feed(&self) -> Vec<String> {
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

    /// How many events there are.
    async fn feed_length(&self) -> usize {
        let (mut offset, mut count) = (ZERO.to_owned(), 0);
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

    async fn upload(&self, name: &str) -> String {
        let body = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: audio/mpeg\r\n\r\n0123456789\r\n--edge--\r\n"
        );
        let caller = self
            .line
            .clone()
            .header("content-type", "multipart/form-data; boundary=edge");
        caller
            .send(Method::POST, "/files", Some(body.into_bytes()))
            .await
            .ok()
            .str("fileId")
    }

    async fn make(&self, collection: &str, body: Value) -> String {
        let made = self.space.post(&format!("/{collection}"), body).await.ok();
        made.str("id")
    }

    async fn link(&self, body: Value) {
        self.space.post("/links", body).await.ok();
    }

    async fn user(&self, name: &str) -> String {
        let body = json!({ "login": name, "firstName": name, "status": "active" });
        self.make("users", body).await
    }
}

fn started(id: &str) -> Value {
    json!({
        "timestamp": "2022-03-22T10:38:35.6152798+00:00", "externalId": id,
        "externalVatsPhone": "79229929292", "clientPhone": CLIENT, "direction": "inbound",
    })
}

fn finished(id: &str, second: u32) -> Value {
    json!({ "timestamp": at(second), "externalId": id, "clientPhone": CLIENT, "direction": "inbound" })
}

fn event(id: &str, leg: &str, kind: &str, second: u32) -> Value {
    json!({
        "externalId": id, "externalCallItemId": leg, "realtimeCallItemId": leg,
        "timestamp": at(second), "type": kind, "from": { "type": "client" }, "to": { "type": "user" },
    })
}

fn at(second: u32) -> String {
    format!("2026-01-01T00:00:{second:02}+00:00")
}

fn item(leg: &str, from: Option<u32>, to: u32, files: &[&str]) -> Value {
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

fn register(id: &str, items: Value) -> Value {
    json!({
        "externalVatsPhone": "79229929292", "clientPhone": CLIENT, "items": items,
        "externalCreatedAt": "2022-03-22T10:38:35.5+00:00", "externalId": id, "direction": "inbound",
    })
}

fn items(call: &Value) -> &Value {
    &call["data"]["call"]["items"]
}

#[tokio::test]
async fn one_record_however_the_id_is_written_and_how_often_it_comes() {
    let pbx = Exchange::new().await;
    let first = pbx.started("333/434").await.ok();
    assert_eq!(first["externalId"], "Megafon/333/434");
    assert_eq!(first.header("x-prichal-effect"), Some("created"));
    for form in ["Megafon/333/434", "megafon/333/434", "333/434"] {
        let again = pbx.started(form).await.ok();
        assert_eq!(again["id"], first["id"], "{form}");
        assert_eq!(again.header("x-prichal-effect"), Some("unchanged"));
    }
    assert_eq!(pbx.feed().await, ["change/create communicationId"]);
    let other = Partner::install(&pbx.space, "Beeline", "https://beeline.ru").await;
    let line = pbx.space.access_key(&other.access_key().await);
    let elsewhere = line
        .post(
            "/communications/callbacks/telephony/call-started",
            started("333/434"),
        )
        .await
        .ok();
    assert_ne!(elsewhere["id"], first["id"], "another integration's call");
    assert_eq!(elsewhere["externalId"], "Beeline/333/434");
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in permutations(n - 1) {
        for place in 0..n {
            let mut order = shorter.clone();
            order.insert(place, n - 1);
            all.push(order);
        }
    }
    all
}

#[tokio::test]
async fn events_in_any_order_give_the_same_legs() {
    let pbx = Exchange::new().await;
    let story = [
        ("1", "appeared", 1),
        ("2", "appeared", 1),
        ("1", "connected", 4),
        ("2", "disconnected", 5),
        ("1", "disconnected", 30),
    ];
    for (n, order) in permutations(story.len()).into_iter().enumerate() {
        let id = format!("call-{n}");
        let call = pbx.started(&id).await.ok().str("id");
        for place in order {
            let (leg, kind, second) = story[place];
            pbx.event(&id, leg, kind, second).await.ok();
        }
        let expected = json!([
            { "id": "1", "from": { "type": "client" }, "to": { "type": "user" }, "recordings": [], "startedAt": at(4), "finishedAt": at(30) },
            { "id": "2", "from": { "type": "client" }, "to": { "type": "user" }, "recordings": [], "finishedAt": at(5) },
        ]);
        assert_eq!(*items(&pbx.call(&call).await), expected);
    }
}

#[tokio::test]
async fn live_and_history_are_one_call() {
    let pbx = Exchange::new().await;
    let id = pbx.started("7").await.ok().str("id");
    pbx.event("7", "leg", "appeared", 1).await.ok();
    pbx.event("7", "leg", "connected", 3).await.ok();
    pbx.event("7", "leg", "disconnected", 20).await.ok();
    pbx.send("call-finished", finished("7", 21)).await.ok();
    let file = pbx.upload("talk.mp3").await;
    let history = register("Megafon/7", json!([item("leg", Some(4), 20, &[&file])]));
    pbx.send("register-call", history.clone()).await.ok();

    let call = pbx.call(&id).await;
    let leg = &items(&call)[0];
    assert_eq!(
        (&leg["startedAt"], &leg["finishedAt"]),
        (&json!(at(4)), &json!(at(20)))
    );
    assert_eq!(
        call["data"]["call"]["events"].as_array().map(Vec::len),
        Some(3)
    );
    assert_eq!(call["status"], "sealed");
    assert_eq!(call["externalCreatedAt"], "2022-03-22T10:38:35.5+00:00");
    let recording = &leg["recordings"][0];
    assert_eq!(
        (&recording["fileName"], &recording["contentLength"]),
        (&json!("talk.mp3"), &json!(10))
    );
    let permanent = recording["fileId"].as_str().expect("a file");
    assert_ne!(permanent, file);
    let range = pbx.space.clone().header("range", "bytes=2-4");
    let part = range.get(&format!("/files/{permanent}")).await;
    assert_eq!((part.status, part.text.as_str()), (206, "234"));

    let before = pbx.feed().await;
    let again = pbx.send("register-call", history).await.ok();
    assert_eq!(again.header("x-prichal-effect"), Some("unchanged"));
    let live = json!({ "externalId": "7", "externalCallItemId": "leg", "recordingFileId": file });
    pbx.send("call-recording", live).await.ok();
    assert_eq!(pbx.feed().await, before);
    assert_eq!(pbx.call(&id).await, call);
}

#[tokio::test]
async fn history_alone_makes_a_call() {
    let pbx = Exchange::new().await;
    let history = register("9", json!([item("a", None, 20, &[NOBODY])]));
    pbx.send("register-call", history).await.ok();
    let list = pbx.space.get("/communications?include=facts").await.ok();
    assert_eq!(list["count"], 1);
    let call = &list["items"][0];
    assert_eq!(
        (&call["status"], &call["facts"]["missed"]),
        (&json!("sealed"), &json!(true))
    );
    assert_eq!(
        items(call)[0]["recordings"],
        json!([]),
        "a file that is not there is left out"
    );
    // The live messages that come late change nothing of what history says.
    pbx.started("9").await.ok();
    let late = pbx.call(call["id"].as_str().expect("an id")).await;
    assert_eq!(
        (&late["status"], items(&late)),
        (&json!("sealed"), items(call))
    );
}

#[tokio::test]
async fn two_calls_with_one_number_stay_two() {
    let pbx = Exchange::new().await;
    let (one, two) = (pbx.started("1").await.ok(), pbx.started("2").await.ok());
    assert_ne!(one["id"], two["id"]);
    pbx.event("1", "a", "connected", 1).await.ok();
    pbx.send("call-finished", finished("1", 9)).await.ok();
    assert_eq!(pbx.call(&two.str("id")).await["status"], "active");
    assert_eq!(*items(&pbx.call(&two.str("id")).await), json!([]));
}

#[tokio::test]
async fn what_is_not_there_is_refused_as_documented() {
    let pbx = Exchange::new().await;
    for (name, body) in [
        ("call-event", event("x", "1", "appeared", 1)),
        ("call-finished", finished("x", 1)),
        ("call-failed", json!({ "externalId": "x" })),
        (
            "call-recording",
            json!({ "externalId": "x", "externalCallItemId": "1", "recordingFileId": NOBODY }),
        ),
    ] {
        let by_external = pbx.send(name, body.clone()).await;
        let expected = json!({ "status": "communicationNotFound", "message": "Communication not found. Id: x" });
        assert_eq!(
            (by_external.status, &by_external.json),
            (409, &expected),
            "{name}"
        );
        let mut body = body;
        body["communicationId"] = NOBODY.into();
        let by_id = pbx.send(name, body).await;
        let message = format!("Communication not found. Id: {NOBODY}");
        let expected = json!({ "status": "communicationNotFound", "message": message });
        assert_eq!((by_id.status, &by_id.json), (409, &expected), "{name}");
    }
    for name in ["call-started", "register-call"] {
        let mut body = if name == "call-started" {
            started("y")
        } else {
            register("y", json!([]))
        };
        body["communicationId"] = NOBODY.into();
        let refused = pbx.send(name, body).await;
        assert_eq!(
            (refused.status, &refused["status"]),
            (409, &json!("communicationNotFound"))
        );
    }
    assert_eq!(pbx.feed().await, [] as [&str; 0], "nothing was made");
    let missing = pbx.space.get(&format!("/communications/{NOBODY}")).await;
    assert_eq!(
        (missing.status, &missing["status"]),
        (409, &json!("notFound"))
    );
    // A leg that is not there yet, and a file that is not there.
    let id = pbx.started("z").await.ok().str("id");
    let recording =
        json!({ "communicationId": id, "externalCallItemId": "1", "recordingFileId": NOBODY });
    let no_file = pbx.send("call-recording", recording).await;
    let message = format!("File {NOBODY} not found");
    assert_eq!(
        no_file.json,
        json!({ "status": "notFound", "message": message })
    );
    let file = pbx.upload("a.mp3").await;
    let recording =
        json!({ "communicationId": id, "externalCallItemId": "1", "recordingFileId": file });
    let no_leg = pbx.send("call-recording", recording.clone()).await;
    assert_eq!(
        (no_leg.status, &no_leg["status"]),
        (409, &json!("communicationNotFound"))
    );
    pbx.event("z", "1", "appeared", 1).await.ok();
    pbx.send("call-recording", recording).await.ok();
    assert_eq!(
        items(&pbx.call(&id).await)[0]["recordings"][0]["fileName"],
        "a.mp3"
    );
}

#[tokio::test]
async fn bad_messages_are_named() {
    let pbx = Exchange::new().await;
    let body = concat!(
        "{\n",
        "    \"timestamp\": \"2022-03-22T10:38:35.6152798+00:00\",\n",
        "    \"communicationId\": null,\n",
        "    \"externalId\": \"333\",\n",
        "    \"externalVatsPhone\": \"79229929292\",\n",
        "    \"clientPhone\": \"79997775533\",\n",
        "    \"direction\": \"in2bound\"\n",
        "}"
    );
    let path = "/communications/callbacks/telephony/call-started";
    let answer = pbx.line.send(Method::POST, path, Some(body.into())).await;
    assert_eq!(answer.status, 400);
    let expected = json!({
        "direction": ["Error converting value \"in2bound\" to type 'Xcom.Api.Models.Communications.CommunicationDirection'. Path 'direction', line 7, position 27."],
        "callStartedInfo": ["The callStartedInfo field is required."],
    });
    assert_eq!(answer["errors"], expected);
    let members: Vec<&String> = answer.json.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["errors", "type", "title", "status", "traceId"]);
    for (name, change, member) in [
        ("call-started", json!({ "externalId": null }), "externalId"),
        (
            "call-started",
            json!({ "timestamp": "yesterday" }),
            "timestamp",
        ),
        (
            "call-started",
            json!({ "externalId": "x".repeat(300) }),
            "externalId",
        ),
        ("call-event", json!({ "type": "exploded" }), "type"),
        ("call-event", json!({ "from": {} }), "from.type"),
        (
            "call-event",
            json!({ "to": { "type": "robot" } }),
            "to.type",
        ),
        (
            "call-event",
            json!({ "externalCallItemId": null, "realtimeCallItemId": null }),
            "externalCallItemId",
        ),
        ("register-call", json!({ "items": "many" }), "items"),
        (
            "register-call",
            json!({ "items": [{ "id": "1" }] }),
            "items[0].from",
        ),
    ] {
        let mut body = match name {
            "call-started" => started("1"),
            "call-event" => event("1", "1", "appeared", 1),
            _ => register("1", json!([])),
        };
        for (key, value) in change.as_object().expect("an object") {
            body[key] = value.clone();
        }
        let answer = pbx.send(name, body).await;
        assert_eq!(answer.status, 400, "{name} {change}: {}", answer.text);
        assert!(
            answer["errors"][member].is_array(),
            "{name} {member}: {}",
            answer.text
        );
    }
    let by_user = pbx.space.post(path, started("1")).await;
    assert_eq!(by_user.status, 403, "only integrations report calls");
}

#[tokio::test]
async fn calls_are_linked_by_their_number() {
    let pbx = Exchange::new().await;
    let contact =
        json!({ "name": "Иван", "phones": [{ "type": "work", "value": "8 (999) 777-55-33" }] });
    let first = pbx.make("contacts", contact.clone()).await;
    let company =
        json!({ "name": "ООО", "phones": [{ "type": "work", "value": "+7 999 777 55 33" }] });
    let company = pbx.make("companies", company).await;
    let (open, lost) = (
        pbx.make("deals", json!({ "name": "open", "stageId": 3 }))
            .await,
        pbx.make("deals", json!({ "name": "lost", "stageId": -2 }))
            .await,
    );
    pbx.link(json!({ "contactId": first, "dealId": open }))
        .await;
    pbx.link(json!({ "contactId": first, "dealId": lost }))
        .await;

    let call = pbx.started("1").await.ok();
    let id = call.str("id");
    assert_eq!(
        call["links"],
        json!({ "companyIds": [company], "contactIds": [first], "dealIds": [open] })
    );
    assert_eq!(
        pbx.feed().await,
        [
            "change/create communicationId",
            "link/- communicationId+companyId",
            "link/- communicationId+contactId",
            "link/- communicationId+dealId",
        ]
    );
    // What a user takes away, history does not bring back.
    let cut = json!({ "communicationId": id, "companyId": company });
    let cut = pbx
        .space
        .send(Method::DELETE, "/links", Some(cut.to_string().into_bytes()));
    cut.await.ok();
    pbx.send(
        "register-call",
        register("1", json!([item("1", None, 9, &[])])),
    )
    .await
    .ok();
    assert_eq!(pbx.call(&id).await["links"]["companyIds"], json!([]));
    // Another number, other links; and nothing of the user's own is taken away.
    let own = pbx.make("companies", json!({ "name": "by hand" })).await;
    pbx.link(json!({ "communicationId": id, "companyId": own }))
        .await;
    let mut other = register("1", json!([item("1", None, 9, &[])]));
    other["clientPhone"] = "79990000000".into();
    pbx.send("register-call", other).await.ok();
    assert_eq!(
        pbx.call(&id).await["links"],
        json!({ "companyIds": [own], "contactIds": [], "dealIds": [] })
    );
    // Calls that nobody was known for are linked when somebody is.
    let later = json!({ "name": "later", "phones": [{ "type": "work", "value": "9990000001" }] });
    let mut unknown = started("2");
    unknown["clientPhone"] = "+7 999 000-00-01".into();
    let unknown = pbx.send("call-started", unknown).await.ok().str("id");
    let contact = pbx.make("contacts", later).await;
    let found = pbx.call(&unknown).await;
    assert_eq!(found["links"]["contactIds"], json!([contact]));
    let feed = pbx.space.get("/events?limit=1000").await.ok();
    let link = feed["items"]
        .as_array()
        .expect("items")
        .last()
        .cloned()
        .expect("an event");
    assert_eq!(
        (&link["type"], &link["createInfo"]["createdWith"]),
        (&json!("link"), &json!("xcom"))
    );
    for bad in [
        json!({ "communicationId": id, "taskId": NOBODY }),
        json!({ "communicationId": id }),
    ] {
        assert_eq!(pbx.space.post("/links", bad).await.status, 400);
    }
}

#[tokio::test]
async fn callers_are_sent_to_who_is_responsible() {
    let pbx = Exchange::new().await;
    let (masha, dima, idle) = (pbx.user("masha").await, pbx.user("dima").await, {
        let body = json!({ "login": "idle", "firstName": "idle" });
        pbx.make("users", body).await
    });
    let contact = json!({ "name": "Иван", "phones": [{ "type": "work", "value": "89997775533" }] });
    let contact = pbx.make("contacts", contact).await;
    let deal =
        |user: &str, stage: i32| json!({ "name": "d", "stageId": stage, "assignedToUserId": user });
    let mut deals = Vec::new();
    for (user, stage) in [(&masha, 1), (&idle, 1), (&dima, 0), (&masha, 2)] {
        let id = pbx.make("deals", deal(user, stage)).await;
        pbx.link(json!({ "contactId": contact, "dealId": id }))
            .await;
        deals.push(id);
    }
    let redirect = |query: String| {
        let line = pbx.line.clone();
        async move {
            line.get(&format!(
                "/communications/callbacks/telephony/call-redirect?{query}"
            ))
            .await
        }
    };
    let by_phone = redirect("phoneNumber=%2B79997775533".into()).await.ok();
    assert_eq!(by_phone.text, format!("{{\"userIds\":[\"{masha}\"]}}"));
    // The deal that changed last comes first.
    pbx.hub.advance(Duration::from_secs(1));
    pbx.space
        .patch(
            &format!("/deals/{}", deals[2]),
            json!([{ "op": "replace", "path": "/stageId", "value": 5 }]),
        )
        .await
        .ok();
    let by_phone = redirect("phoneNumber=9997775533".into()).await.ok();
    assert_eq!(by_phone["userIds"], json!([dima, masha]));

    pbx.started("16").await.ok();
    let by_call = redirect("externalId=16".into()).await.ok();
    assert_eq!(by_call["userIds"], json!([dima, masha]));
    let nobody = redirect("phoneNumber=70000000000".into()).await.ok();
    assert_eq!(nobody["userIds"], json!([]));
    let unknown = redirect("externalId=17".into()).await;
    let expected = json!({
        "status": "notFound",
        "message": "Communication Xcom.Api.Models.Communications.CallRedirectRequest not found"
    });
    assert_eq!((unknown.status, unknown.json), (409, expected));
    assert_eq!(redirect(String::new()).await.status, 400);
}

#[tokio::test]
async fn a_user_calls_and_hangs_up() {
    let receiver = Receiver::good().await;
    let pbx = Exchange::at(&receiver.url).await;
    let user = pbx.user("masha").await;
    let wish = json!({ "fromUserId": user, "clientPhone": CLIENT });
    let refused = pbx.space.post("/communications/call", wish.clone()).await;
    assert_eq!(refused.status, 409);
    let expected = json!({
        "invalidDatas": [], "invalidConstraints": {}, "status": "notSupported",
        "message": "Feature Call is not supported by any integration",
    });
    assert_eq!(refused.json, expected);
    assert_eq!(pbx.space.get("/communications").await.ok()["count"], 0);

    pbx.enable_calls().await;
    let answer = pbx.space.post("/communications/call", wish).await.ok();
    assert_eq!(answer.text, "\"OK\"");
    let id = answer
        .header("x-xcom-communicationid")
        .expect("the id")
        .to_owned();
    let call = receiver.next().await;
    assert_eq!(
        (call.method.as_str(), call.path.as_str()),
        ("POST", "/api/v1/my-workspace/communications/call")
    );
    assert_eq!(
        call.json(),
        json!({ "communicationId": id, "fromUserId": user, "clientPhone": CLIENT })
    );
    assert!(call.header("x-xcom-accesskey").is_some());
    let record = pbx.call(&id).await;
    assert_eq!(
        (
            &record["direction"],
            &record["status"],
            &record["facts"]["state"]
        ),
        (&json!("outbound"), &json!("active"), &json!("dialing"))
    );
    assert_eq!(record["updateInfo"]["createdWith"], "WebApp");

    // The exchange's messages find it by our id, and hang-up finds the leg.
    let mut begun = started("77");
    begun["communicationId"] = id.as_str().into();
    begun["direction"] = "outbound".into();
    assert_eq!(pbx.send("call-started", begun).await.ok().str("id"), id);
    pbx.event("77", "leg-1", "connected", 5).await.ok();
    let wish = json!({ "realtimeCallItemId": "leg-1", "userId": user });
    for path in [
        format!("/communications/{id}/hangup"),
        "/communications/hangup".into(),
    ] {
        let answer = pbx.space.post(&path, wish.clone()).await.ok();
        assert_eq!(answer.text, "\"OK\"");
        let call = receiver.next().await;
        assert_eq!(
            call.path,
            format!("/api/v1/my-workspace/communications/{id}/hangup")
        );
        assert_eq!(call.json(), wish);
    }
    for (path, named) in [
        (format!("/communications/{id}/hangup"), id.as_str()),
        (format!("/communications/{NOBODY}/hangup"), NOBODY),
        ("/communications/hangup".into(), "leg-2"),
    ] {
        let answer = pbx
            .space
            .post(&path, json!({ "realtimeCallItemId": "leg-2" }))
            .await;
        let message = format!("Communication not found. Id: {named}");
        let expected = json!({ "status": "communicationNotFound", "message": message });
        assert_eq!((answer.status, answer.json), (409, expected), "{path}");
    }
    let no_hangup = json!({ "call": true, "hangup": false, "sendSms": false });
    pbx.partner
        .patch(json!([{ "op": "replace", "path": "/features", "value": no_hangup }]))
        .await
        .ok();
    let answer = pbx
        .space
        .post(&format!("/communications/{id}/hangup"), wish)
        .await;
    let members: Vec<&String> = answer.json.as_object().expect("an object").keys().collect();
    assert_eq!(answer.status, 409);
    assert_eq!(members, ["status", "message"]);
}

#[tokio::test]
async fn a_call_that_does_not_reach_the_exchange_has_failed() {
    let receiver = Receiver::good().await;
    let pbx = Exchange::at(&receiver.url).await;
    pbx.enable_calls().await;
    let scripts: [fn(&Call) -> Reply; 4] = [
        |_| Reply::NoEcho,
        |_| Reply::WrongEcho,
        |_| Reply::Echoed(500),
        |_| Reply::Close,
    ];
    for script in scripts {
        receiver.answer(script);
        let answer = pbx
            .space
            .post("/communications/call", json!({ "clientPhone": CLIENT }))
            .await;
        assert_eq!(
            (answer.status, &answer["status"]),
            (409, &json!("integrationError"))
        );
        let id = answer
            .header("x-xcom-communicationid")
            .expect("the id")
            .to_owned();
        let record = pbx.call(&id).await;
        assert_eq!(
            (&record["status"], &record["data"]["call"]["failed"]),
            (&json!("sealed"), &json!(true))
        );
    }
    receiver.answer(|_| Reply::Good);
    let answer = pbx
        .space
        .post("/communications/call", json!({ "clientPhone": CLIENT }))
        .await
        .ok();
    let id = answer
        .header("x-xcom-communicationid")
        .expect("the id")
        .to_owned();
    pbx.send("call-failed", json!({ "communicationId": id }))
        .await
        .ok();
    assert_eq!(pbx.call(&id).await["data"]["call"]["failed"], true);
    let bad = pbx.space.post("/communications/call", json!({})).await;
    assert_eq!(bad.status, 400);
}

/// Whatever came of it: the same wish under the same key calls nobody again.
#[tokio::test]
async fn a_wish_that_is_sent_again_dials_once() {
    let gate = Arc::new(Semaphore::new(0));
    let receiver = Receiver::good().await;
    let pbx = Exchange::at(&receiver.url).await;
    let id_of = |answer: &Answer| {
        let id = answer.header("x-xcom-communicationid");
        id.expect("the id").to_owned()
    };
    let call = async |key: &str, phone: &str| {
        let caller = pbx.space.clone().header("idempotency-key", key);
        let wish = json!({ "clientPhone": phone });
        caller.post("/communications/call", wish).await
    };
    // A refusal that made no record keeps nothing.
    assert_eq!(call("1", CLIENT).await["status"], "notSupported");
    pbx.enable_calls().await;

    let held = gate.clone();
    receiver.answer(move |_| Reply::Held(held.clone()));
    let (first, meanwhile) = tokio::join!(call("1", CLIENT), async {
        receiver.next().await;
        let meanwhile = call("1", CLIENT).await;
        gate.add_permits(1);
        meanwhile
    });
    let first = first.ok();
    assert_eq!(
        (meanwhile.status, &meanwhile["status"]),
        (409, &json!("notAnswered"))
    );
    assert_eq!(id_of(&meanwhile), id_of(&first));
    let again = call("1", CLIENT).await.ok();
    assert_eq!(again.text, first.text);
    assert_eq!(id_of(&again), id_of(&first));
    let other = call("1", "79990000000").await;
    assert_eq!(
        (other.status, &other["status"]),
        (409, &json!("idempotencyConflict"))
    );

    receiver.answer(|_| Reply::NoEcho);
    let failed = call("2", CLIENT).await;
    receiver.next().await;
    assert_eq!(failed["status"], "integrationError");
    receiver.answer(|_| Reply::Good);
    let again = call("2", CLIENT).await;
    assert_eq!((again.status, &again.text), (409, &failed.text));
    assert_eq!(id_of(&again), id_of(&failed));

    assert_eq!(receiver.waiting(), 0, "each was dialled once");
    assert_eq!(pbx.space.get("/communications").await.ok()["count"], 2);
    assert_eq!(call("", CLIENT).await.status, 400);
    // After a day the key is as good as new.
    pbx.hub.advance(Duration::from_hours(25));
    let new = call("1", CLIENT).await.ok();
    receiver.next().await;
    assert_ne!(id_of(&new), id_of(&first));
}

#[tokio::test]
async fn a_call_reported_without_our_id_is_adopted() {
    let receiver = Receiver::good().await;
    let pbx = Exchange::at(&receiver.url).await;
    pbx.enable_calls().await;
    let dial = || async {
        let answer = pbx
            .space
            .post(
                "/communications/call",
                json!({ "clientPhone": "+7 999 777-55-33" }),
            )
            .await
            .ok();
        answer
            .header("x-xcom-communicationid")
            .expect("the id")
            .to_owned()
    };
    let (first, second) = (dial().await, dial().await);
    let mut begun = started("1");
    assert_ne!(
        pbx.send("call-started", begun.clone()).await.ok().str("id"),
        first,
        "it came in"
    );
    begun["direction"] = "outbound".into();
    for (external, expected) in [("2", &first), ("3", &second)] {
        begun["externalId"] = external.into();
        assert_eq!(
            &pbx.send("call-started", begun.clone()).await.ok().str("id"),
            expected
        );
    }
    let third = dial().await;
    pbx.hub.advance(Duration::from_secs(61));
    begun["externalId"] = "4".into();
    assert_ne!(
        pbx.send("call-started", begun.clone()).await.ok().str("id"),
        third,
        "too old"
    );
    // A message that names two calls, whose phones differ: the communicationId counts.
    pbx.hub.advance(Duration::from_mins(2));
    let mut foreign = started("9");
    foreign["clientPhone"] = "79990009999".into();
    let foreign = pbx.send("call-started", foreign).await.ok().str("id");
    let named = dial().await;
    let mut both = event("9", "leg", "appeared", 1);
    both["communicationId"] = named.as_str().into();
    for _ in 0..2 {
        pbx.send("call-event", both.clone()).await.ok();
    }
    let call = pbx.call(&named).await;
    assert_eq!(
        (&items(&call)[0]["id"], &call["externalId"]),
        (&json!("leg"), &Value::Null)
    );
    assert_eq!(*items(&pbx.call(&foreign).await), json!([]));
    // The exchange has made a record before it names ours: both are one.
    let fourth = dial().await;
    begun["externalId"] = "5".into();
    begun["direction"] = "inbound".into();
    let other = pbx.send("call-started", begun.clone()).await.ok().str("id");
    begun["communicationId"] = fourth.as_str().into();
    assert_eq!(pbx.send("call-started", begun).await.ok().str("id"), other);
    assert_eq!(
        pbx.space
            .get(&format!("/communications/{fourth}"))
            .await
            .status,
        409
    );
    let by_old_id = json!({ "communicationId": fourth, "externalCallItemId": "1", "timestamp": at(1),
        "type": "connected", "from": { "type": "user" }, "to": { "type": "client" } });
    pbx.send("call-event", by_old_id).await.ok();
    assert_eq!(items(&pbx.call(&other).await)[0]["id"], "1");
}

#[tokio::test]
async fn the_main_telephony_goes_first() {
    let receiver = Receiver::good().await;
    let pbx = Exchange::at(&receiver.url).await;
    pbx.enable_calls().await;
    let other = Receiver::good().await;
    pbx.hub.advance(Duration::from_secs(1));
    let beeline = Partner::install(&pbx.space, "Beeline", &other.url).await;
    let features = json!({ "call": true, "hangup": true, "sendSms": false });
    beeline
        .patch(json!([{ "op": "replace", "path": "/features", "value": features }]))
        .await
        .ok();
    let user = pbx.user("masha").await;
    let wish = json!({ "fromUserId": user, "clientPhone": CLIENT });
    pbx.space
        .post("/communications/call", wish.clone())
        .await
        .ok();
    receiver.next().await;
    let main = json!({ "key": "@main-telephony-settings", "value": beeline.id, "userId": user });
    pbx.space.put("/ui-settings", main).await.ok();
    pbx.space.post("/communications/call", wish).await.ok();
    other.next().await;
    pbx.space
        .post("/communications/call", json!({ "clientPhone": CLIENT }))
        .await
        .ok();
    receiver.next().await;
}

#[tokio::test]
async fn users_that_are_not_there_are_dropped_from_legs() {
    let pbx = Exchange::new().await;
    let user = pbx.user("masha").await;
    let id = pbx.started("1").await.ok().str("id");
    for (leg, user) in [("1", user.as_str()), ("2", NOBODY)] {
        let mut body = event("1", leg, "appeared", 1);
        body["to"]["userId"] = user.into();
        pbx.send("call-event", body).await.ok();
    }
    let call = pbx.call(&id).await;
    assert_eq!(items(&call)[0]["to"]["userId"], user.as_str());
    assert_eq!(items(&call)[1]["to"], json!({ "type": "user" }));
    assert_eq!(call["data"]["call"]["events"][1]["to"]["userId"], NOBODY);
    assert_eq!(
        (&call["assignedToUserId"], &call["assignedToGroupId"]),
        (&json!(user), &json!(ZERO))
    );
    let by_user = pbx
        .space
        .get(&format!("/communications?userId={user}"))
        .await
        .ok();
    assert_eq!(by_user["count"], 1);
    let stranger = pbx
        .space
        .get(&format!("/communications?userId={NOBODY}"))
        .await
        .ok();
    assert_eq!(stranger["count"], 0);
}

#[tokio::test]
async fn calls_that_nobody_ends_are_given_up() {
    let receiver = Receiver::good().await;
    let pbx = Exchange::at(&receiver.url).await;
    pbx.enable_calls().await;
    let dialled = pbx
        .space
        .post("/communications/call", json!({ "clientPhone": CLIENT }))
        .await
        .ok();
    let dialled = dialled
        .header("x-xcom-communicationid")
        .expect("the id")
        .to_owned();
    let ringing = pbx.started("1").await.ok().str("id");
    pbx.event("1", "a", "appeared", 1).await.ok();
    let talking = pbx.started("2").await.ok().str("id");
    pbx.event("2", "a", "connected", 1).await.ok();
    let ended = pbx.started("3").await.ok().str("id");
    pbx.event("3", "a", "connected", 1).await.ok();
    pbx.event("3", "a", "disconnected", 9).await.ok();
    let sealed = |id: &str| {
        let (space, path) = (pbx.space.clone(), format!("/communications/{id}"));
        async move {
            eventually("sealed", || async {
                let call = space.get(&path).await.ok();
                (call["status"] == "sealed").then_some(call.json)
            })
            .await
        }
    };
    let is_active = |id: &str| {
        let (space, path) = (pbx.space.clone(), format!("/communications/{id}"));
        async move { space.get(&path).await.ok()["status"] == "active" }
    };
    pbx.hub.advance(Duration::from_mins(1));
    assert_eq!(sealed(&dialled).await["data"]["call"]["failed"], true);
    assert!(is_active(&ended).await && is_active(&ringing).await);
    pbx.hub.advance(Duration::from_secs(90));
    let call = sealed(&ended).await;
    assert_eq!(items(&call)[0]["finishedAt"], at(9));
    assert_eq!(call["updateInfo"]["updatedWith"], "xcom");
    pbx.hub.advance(Duration::from_secs(30));
    sealed(&ringing).await;
    assert!(is_active(&talking).await);
    // The timers stand in the store: another process goes on with them.
    let (space, line) = (pbx.space.clone(), pbx.line.clone());
    let hub = pbx.hub.restart().await;
    let (space, line) = (hub.adopt(&space), hub.adopt(&line));
    hub.advance(Duration::from_hours(4));
    let path = format!("/communications/{talking}");
    eventually("sealed", || async {
        (space.get(&path).await.ok()["status"] == "sealed").then_some(())
    })
    .await;
    // A late word of the exchange still corrects it. Its access key is over by now.
    drop(line);
}

#[tokio::test]
async fn what_is_deleted_stays_deleted() {
    let pbx = Exchange::new().await;
    let id = pbx.started("1").await.ok().str("id");
    let path = format!("/communications/{id}");
    pbx.space.delete(&path).await.ok();
    assert_eq!(pbx.space.get(&path).await["status"], "notFound");
    assert_eq!(pbx.space.get("/communications").await.ok()["count"], 0);
    let feed = pbx.feed().await;
    for (name, body) in [
        ("call-event", event("1", "1", "appeared", 1)),
        ("call-started", started("1")),
        ("register-call", register("1", json!([]))),
    ] {
        let answer = pbx.send(name, body).await.ok();
        assert_eq!(
            answer.header("x-prichal-effect"),
            Some("unchanged"),
            "{name}"
        );
    }
    pbx.space.delete(&path).await.ok();
    assert_eq!(pbx.feed().await, feed);
    let restored = pbx
        .space
        .post(&format!("{path}/restore"), json!({}))
        .await
        .ok();
    assert_eq!(restored["id"], id.as_str());
    pbx.event("1", "1", "appeared", 1).await.ok();
    assert_eq!(
        pbx.feed().await,
        [
            "change/create communicationId",
            "change/delete communicationId",
            "change/restore communicationId",
            "change/patch communicationId"
        ]
    );
    assert_eq!(
        pbx.space
            .delete(&format!("/communications/{NOBODY}"))
            .await
            .status,
        409
    );
    let foreign = pbx.hub.workspace("other").await;
    assert_eq!(
        foreign.get(&path).await.status,
        409,
        "it does not exist there"
    );
}

#[tokio::test]
async fn calls_are_listed_and_counted() {
    let pbx = Exchange::new().await;
    let user = pbx.user("masha").await;
    let history = |id: &str, day: u32, direction: &str, from: Option<u32>| {
        let mut body = register(id, json!([item("1", from, 40, &[])]));
        let leg = &mut body["items"][0];
        let parties = [
            json!({ "type": "user", "userId": user }),
            json!({ "type": "client" }),
        ];
        let [mine, client] = parties;
        (leg["from"], leg["to"]) = if direction == "inbound" {
            (client, mine)
        } else {
            (mine, client)
        };
        body["direction"] = direction.into();
        body["externalCreatedAt"] = format!("2022-03-{day:02}T23:30:00+00:00").into();
        body
    };
    for body in [
        history("1", 1, "inbound", None),
        history("2", 1, "inbound", Some(10)),
        history("3", 2, "outbound", Some(20)),
        history("4", 3, "inbound", None),
    ] {
        pbx.send("register-call", body).await.ok();
    }
    for (query, ids) in [
        ("", vec!["4", "3", "2", "1"]),
        ("direction=outbound", vec!["3"]),
        ("missed=true", vec!["4", "1"]),
        ("missed=false&direction=inbound", vec!["2"]),
        ("from=2022-03-02T00:00:00Z", vec!["4", "3"]),
        (
            "from=2022-03-01T23:30:00Z&to=2022-03-02T23:30:00Z",
            vec!["2", "1"],
        ),
        ("phone=8(999)7775533", vec!["4", "3", "2", "1"]),
        ("phone=nobody", vec![]),
        ("status=active", vec![]),
        ("offset=1&limit=2", vec!["3", "2"]),
    ] {
        let list = pbx
            .space
            .get(&format!("/communications?{query}"))
            .await
            .ok();
        let found: Vec<&str> = list["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|call| {
                call["externalId"]
                    .as_str()
                    .expect("an id")
                    .trim_start_matches("Megafon/")
            })
            .collect();
        // Two begin at one time: the later id first.
        assert_eq!(found, ids, "{query}");
    }
    let facts = pbx
        .space
        .get("/communications?missed=true&include=facts")
        .await
        .ok();
    let called_back: Vec<&Value> = facts["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|call| &call["facts"]["calledBack"])
        .collect();
    assert_eq!(called_back, [&json!(false), &json!(true)]);
    for bad in [
        "direction=up",
        "missed=maybe",
        "userId=1",
        "from=now",
        "include=all",
        "limit=0",
    ] {
        let answer = pbx.space.get(&format!("/communications?{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
    for list in ["/communications", "/communications/statistics"] {
        let backwards = format!("{list}?from=2022-03-02T00:00:00Z&to=2022-03-01T00:00:00Z");
        let answer = pbx.space.get(&backwards).await;
        assert_eq!(answer.status, 400, "{list}");
        assert!(answer["errors"]["to"].is_array(), "{}", answer.text);
    }

    let by_day = pbx
        .space
        .get("/communications/statistics?groupBy=day")
        .await
        .ok();
    let days: Vec<(&Value, &Value, &Value)> = by_day["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|day| (&day["day"], &day["count"], &day["missed"]))
        .collect();
    assert_eq!(
        days,
        [
            (&json!("2022-03-01"), &json!(2), &json!(1)),
            (&json!("2022-03-02"), &json!(1), &json!(0)),
            (&json!("2022-03-03"), &json!(1), &json!(1)),
        ]
    );
    let by_user = pbx
        .space
        .get("/communications/statistics?groupBy=user")
        .await
        .ok();
    assert_eq!(
        by_user["items"],
        json!([{ "userId": user, "count": 4, "inbound": 3, "outbound": 1, "internal": 0, "answered": 2,
            "missed": 2, "talkMs": 50_000, "holdMs": 0 }])
    );
    let by_hour = pbx
        .space
        .get("/communications/statistics?groupBy=hour&to=2022-03-02T00:00:00Z")
        .await
        .ok();
    assert_eq!(by_hour["items"][0]["hour"], "2022-03-01T23:00:00+00:00");
    let by_line = pbx
        .space
        .get("/communications/statistics?groupBy=line")
        .await
        .ok();
    assert_eq!(by_line["items"][0]["line"], "79229929292");
    assert_eq!(
        pbx.space
            .get("/communications/statistics?groupBy=moon")
            .await
            .status,
        400
    );
}

/// The cards of a user, as they come.
struct Cards {
    answer: reqwest::Response,
    text: String,
}

#[derive(Debug)]
struct Card {
    name: String,
    id: String,
    data: Value,
}

impl Cards {
    async fn of(caller: &Caller) -> Self {
        let answer = caller.stream("/communications/live").await;
        assert_eq!(answer.status(), 200);
        Self {
            answer,
            text: String::new(),
        }
    }

    /// The next block that has data.
    async fn next(&mut self) -> Card {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let mut lines = block.lines();
                    lines
                        .find_map(|line| line.strip_prefix(name))
                        .map(|text| text.trim().to_owned())
                };
                if let (Some(name), Some(id), Some(data)) =
                    (field("event:"), field("id:"), field("data:"))
                {
                    let data = serde_json::from_str(&data).expect("JSON");
                    return Card { name, id, data };
                }
            }
            let chunk = self
                .answer
                .chunk()
                .await
                .expect("it goes on")
                .expect("more");
            self.text += std::str::from_utf8(&chunk).expect("text");
        }
    }
}

fn ring(id: &str, leg: &str, kind: &str, user: &str, second: u32) -> Value {
    let mut body = event(id, leg, kind, second);
    body["to"]["userId"] = user.into();
    body
}

#[tokio::test]
async fn a_user_sees_the_calls_on_his_line() {
    let pbx = Exchange::new().await;
    let (masha, dima) = (pbx.user("masha").await, pbx.user("dima").await);
    let (of_masha, of_dima) = (
        pbx.hub.user_token("my-workspace", &masha).await,
        pbx.hub.user_token("my-workspace", &dima).await,
    );
    assert_eq!(
        pbx.space.get("/communications/live").await.status,
        403,
        "no user, no line"
    );
    let (mut first, mut second) = (Cards::of(&of_masha).await, Cards::of(&of_masha).await);
    let mut other = Cards::of(&of_dima).await;
    let id = pbx
        .send("call-started", now_started(&pbx, "1"))
        .await
        .ok()
        .str("id");
    // A ring group: both see the card, and who answers keeps it.
    pbx.send("call-event", ring("1", "m", "appeared", &masha, 1))
        .await
        .ok();
    pbx.send("call-event", ring("1", "d", "appeared", &dima, 1))
        .await
        .ok();
    for cards in [&mut first, &mut second, &mut other] {
        let card = cards.next().await;
        assert_eq!(
            (card.name.as_str(), &card.data["id"]),
            ("opened", &json!(id))
        );
        assert_eq!(card.data["facts"]["state"], "ringing");
    }
    pbx.send("call-event", ring("1", "m", "connected", &masha, 3))
        .await
        .ok();
    pbx.send("call-event", ring("1", "d", "disconnected", &dima, 3))
        .await
        .ok();
    let mut last = String::new();
    for cards in [&mut first, &mut second] {
        loop {
            let card = cards.next().await;
            assert_eq!(card.name, "state");
            last = card.id;
            if card.data["facts"]["state"] == "talking" {
                break;
            }
        }
    }
    loop {
        let card = other.next().await;
        if card.name == "closed" {
            break;
        }
        assert_eq!(card.name, "state");
    }
    // A tab that opens now shows the card too.
    let mut late = Cards::of(&of_masha).await;
    assert_eq!(late.next().await.data["id"], json!(id));
    pbx.send("call-finished", finished("1", 30)).await.ok();
    loop {
        let card = late.next().await;
        if card.name == "closed" {
            assert_eq!(card.data["status"], "sealed");
            break;
        }
    }
    // One that was away meanwhile learns of the end.
    let mut back = Cards::of(&of_masha.clone().header("last-event-id", &last)).await;
    assert_eq!(back.next().await.name, "closed");
    let bad = of_masha.header("last-event-id", "yesterday");
    assert_eq!(bad.get("/communications/live").await.status, 400);
}

/// A call that begins at the time of the test.
fn now_started(pbx: &Exchange, id: &str) -> Value {
    let mut body = started(id);
    body["timestamp"] = pbx.hub.app.clock.now().to_string().into();
    body
}

#[tokio::test]
async fn nothing_old_pops_up() {
    let pbx = Exchange::new().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    pbx.started("1").await.ok();
    pbx.send("call-event", ring("1", "m", "connected", &masha, 1))
        .await
        .ok();
    pbx.hub.advance(Duration::from_secs(61));
    let mut cards = Cards::of(&of_masha).await;
    assert_eq!(
        cards.next().await.name,
        "state",
        "it is shown, but does not pop up"
    );
}

#[tokio::test]
async fn streams_end_with_the_server() {
    let pbx = Exchange::new().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    let mut cards = Cards::of(&of_masha).await;
    pbx.hub.stop().await;
    while cards.answer.chunk().await.expect("a clean end").is_some() {}
}

/// A thousand calls, told as untidily as can be: each is right in the end, and told again they change
/// nothing.
#[tokio::test]
async fn a_thousand_untidy_calls() {
    let pbx = Exchange::new().await;
    let users = vec![pbx.user("masha").await, pbx.user("dima").await];
    let api_key = pbx
        .space
        .post(
            &format!("/integrations/{}/api-key", pbx.partner.id),
            json!({}),
        )
        .await
        .ok()
        .str("apiKey");
    let server = play::Server {
        client: reqwest::Client::new(),
        url: pbx.hub.url.clone(),
        workspace: "my-workspace".into(),
        api_key,
    };
    let chaos = Chaos {
        shuffle: 0.7,
        duplicate: 0.3,
        drop: 0.2,
        delay: Duration::ZERO,
    };
    let begin = pbx.hub.app.clock.now();
    let calls: Vec<plan::Call> = (0..1000)
        .map(|n| plan::Call::random(42, n, begin, &users))
        .collect();
    let token = pbx.space.bearer_token();
    for round in 0..2 {
        let before = pbx.feed_length().await;
        let player = Player::new(server.clone(), chaos, Duration::from_millis(1)).await;
        let player = Arc::new(player.expect("an access key"));
        player.tell_all(calls.clone(), 16, 7 + round).await;
        let tally = player.tally();
        assert_eq!((tally.complaints.as_slice(), tally.calls), (&[][..], 1000));
        let wrong = play::verify(&server, &token, "Megafon", &calls)
            .await
            .expect("read");
        assert_eq!(wrong, [] as [&str; 0]);
        if round > 0 {
            assert_eq!(
                pbx.feed_length().await,
                before,
                "told again, nothing changes"
            );
        }
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL and NATS; ./test has them"]
async fn cards_are_the_same_on_every_node() {
    let ground = Ground::new(|_| ());
    let pbx = Exchange::on(ground.start().await, "https://my-integration.ru").await;
    let second = ground.neighbour().start().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    let mut cards = Cards::of(&second.adopt(&of_masha)).await;
    let id = pbx
        .send("call-started", now_started(&pbx, "1"))
        .await
        .ok()
        .str("id");
    pbx.send("call-event", ring("1", "m", "appeared", &masha, 1))
        .await
        .ok();
    // Without a bus the other node looks once a second.
    let card = loop {
        tokio::select! {
            card = cards.next() => break card,
            () = tokio::time::sleep(Duration::from_millis(20)) => pbx.hub.advance(Duration::from_millis(250)),
        }
    };
    assert_eq!(
        (card.name.as_str(), &card.data["id"]),
        ("opened", &json!(id))
    );
}

#[tokio::test]
async fn what_waited_at_the_exchange_does_not_pop_up() {
    let pbx = Exchange::new().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    pbx.hub.advance(Duration::from_secs(90));
    let mut cards = Cards::of(&of_masha).await;
    pbx.started("1").await.ok();
    pbx.send("call-event", ring("1", "m", "appeared", &masha, 1))
        .await
        .ok();
    assert_eq!(cards.next().await.name, "state");
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let pbx = Exchange::new().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    let mut cards = Cards::of(&of_masha).await;
    let tokens = "/admin/v1/workspaces/my-workspace/tokens";
    let list = pbx.hub.admin().get(tokens).await.ok();
    let of_user = list["items"].as_array().expect("items").iter();
    let token = of_user
        .filter(|token| token["userId"] == masha.as_str())
        .find_map(|token| token["id"].as_str())
        .expect("a token");
    pbx.hub.admin().delete(&format!("{tokens}/{token}")).await;
    while cards.answer.chunk().await.expect("a clean end").is_some() {}
}

#[tokio::test]
async fn history_that_names_fewer_legs_takes_none_away() {
    let pbx = Exchange::new().await;
    let file = pbx.upload("a.mp3").await;
    let both = json!([item("a", Some(1), 9, &[&file]), item("b", None, 9, &[])]);
    pbx.send("register-call", register("1", both)).await.ok();
    let id = pbx.space.get("/communications").await.ok()["items"][0]["id"].clone();
    let id = id.as_str().expect("an id");
    let before = pbx.call(id).await;
    let only_b = json!([item("b", None, 9, &[])]);
    let again = pbx.send("register-call", register("1", only_b)).await.ok();
    assert_eq!(again.header("x-prichal-effect"), Some("unchanged"));
    assert_eq!(items(&pbx.call(id).await), items(&before));
}

/// Two records that become one by a message that is no news otherwise: the call is still given up.
#[tokio::test]
async fn a_merged_call_keeps_its_timer() {
    let receiver = Receiver::good().await;
    let pbx = Exchange::at(&receiver.url).await;
    pbx.enable_calls().await;
    let other = pbx.started("1").await.ok().str("id");
    let wish = json!({ "clientPhone": CLIENT });
    let dialled = pbx.space.post("/communications/call", wish).await.ok();
    let mut again = started("1");
    again["communicationId"] = dialled
        .header("x-xcom-communicationid")
        .expect("the id")
        .into();
    assert_eq!(pbx.send("call-started", again).await.ok().str("id"), other);
    pbx.hub.advance(Duration::from_mins(3));
    eventually("sealed", || async {
        (pbx.call(&other).await["status"] == "sealed").then_some(())
    })
    .await;
}
