//! The calls that each role sees (`docs/access.md`), in every place that tells of calls.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::console::{Person, link};
use crate::harness::{
    event_stream::EventStream,
    hub::{Answer, Caller},
    telephony_exchange::{
        NIL_ID, TelephonyExchange, UNKNOWN_ID, event, finished, item, register, started,
    },
};

type Names = BTreeSet<&'static str>;

fn names<const N: usize>(names: [&'static str; N]) -> Names {
    names.into()
}

/// A call by its name in this test.
struct Known {
    name: &'static str,
    id: String,
    /// The temporary and the permanent id of its recording.
    files: Vec<String>,
}

/// Calls of two users, and calls of nobody.
struct Calls {
    pbx: TelephonyExchange,
    anna: String,
    boris: String,
    known: Vec<Known>,
}

const ALL: [&str; 6] = ["anna", "boris", "both", "lost", "new", "rung"];

impl Calls {
    async fn new() -> Self {
        let pbx = TelephonyExchange::new().await;
        let (anna, boris) = (pbx.user("anna").await, pbx.user("boris").await);
        let mut calls = Self {
            pbx,
            anna,
            boris,
            known: Vec::new(),
        };
        for (name, user) in [("anna", calls.anna.clone()), ("boris", calls.boris.clone())] {
            calls.talk(name, &user).await;
        }
        // Both were rung, and Boris has answered.
        calls.begin("both").await;
        let (anna, boris) = (calls.anna.clone(), calls.boris.clone());
        calls.leg("both", "a", "appeared", &anna).await;
        calls.leg("both", "b", "appeared", &boris).await;
        calls.leg("both", "b", "connected", &boris).await;
        // Nobody was rung. The client gave up, or still waits.
        calls.begin("lost").await;
        calls.end("lost").await;
        calls.begin("new").await;
        // Boris was rung, and did not answer.
        calls.begin("rung").await;
        calls.leg("rung", "b", "appeared", &boris).await;
        calls.leg("rung", "b", "disconnected", &boris).await;
        calls.end("rung").await;
        calls
    }

    /// A recorded call from the exchange's history.
    async fn talk(&mut self, name: &'static str, user: &str) {
        let file = self.pbx.upload("talk.mp3").await;
        let mut legs = json!([item("1", Some(1), 9, &[&file])]);
        legs[0]["to"]["userId"] = user.into();
        let mut body = register(name, legs);
        body["externalCreatedAt"] = "2026-01-01T00:00:00+00:00".into();
        self.pbx.send("register-call", body).await.ok();
        let list = self.pbx.space.get("/communications").await.ok();
        let full = json!(format!("Megafon/{name}"));
        let mut items = list["items"].as_array().expect("calls").iter();
        let call = items.find(|call| call["externalId"] == full);
        let call = call.expect("the call");
        let bound = &call["data"]["call"]["items"][0]["recordings"][0]["fileId"];
        self.known.push(Known {
            name,
            id: call["id"].as_str().expect("an id").to_owned(),
            files: vec![file, bound.as_str().expect("a file").to_owned()],
        });
    }

    async fn begin(&mut self, name: &'static str) {
        let mut body = started(name);
        body["timestamp"] = "2026-01-01T00:00:00+00:00".into();
        let id = self.pbx.send("call-started", body).await.ok().str("id");
        let files = Vec::new();
        self.known.push(Known { name, id, files });
    }

    async fn leg(&self, call: &str, leg: &str, kind: &str, user: &str) {
        let mut body = event(call, &format!("{call}-{leg}"), kind, 2);
        body["to"]["userId"] = user.into();
        self.pbx.send("call-event", body).await.ok();
    }

    async fn end(&self, call: &str) {
        let ended = finished(call, 9);
        self.pbx.send("call-finished", ended).await.ok();
    }

    fn id(&self, name: &str) -> &str {
        let known = self.known.iter().find(|known| known.name == name);
        &known.expect("a call").id
    }

    /// The name of the call with an id in an answer.
    fn name(&self, id: &Value) -> Option<&'static str> {
        let known = self.known.iter().find(|known| id == known.id.as_str());
        known.map(|known| known.name)
    }

    fn in_list(&self, list: &Answer) -> Names {
        let items = list["items"].as_array().expect("items").iter();
        items
            .map(|call| self.name(&call["id"]).expect("a known call"))
            .collect()
    }

    fn in_events(&self, page: &Answer) -> Names {
        let items = page["items"].as_array().expect("items").iter();
        items
            .filter_map(|event| self.name(&event["entityIds"]["communicationId"]))
            .collect()
    }

    /// Each kind of caller, with the calls that it sees.
    async fn callers(&self) -> Vec<(&'static str, Caller, Names)> {
        let (hub, space) = (&self.pbx.hub, &self.pbx.space);
        let ws = "my-workspace";
        let integrator =
            json!({ "name": "i", "role": "integrator", "integrations": [self.pbx.integration.id] });
        let of_user = |role: &str| json!({ "name": role, "role": role, "userId": self.anna });
        let all = || names(ALL);
        vec![
            (
                "the operator",
                hub.admin().at("/api/v1/my-workspace"),
                all(),
            ),
            ("an administrator", space.clone(), all()),
            (
                "an administrator who is a user",
                hub.token_with(ws, of_user("admin")).await,
                all(),
            ),
            ("a viewer", hub.token(ws, "viewer").await, all()),
            (
                "a viewer who is a user",
                hub.token_with(ws, of_user("viewer")).await,
                all(),
            ),
            ("a program", hub.token(ws, "member").await, all()),
            ("an integrator", hub.token_with(ws, integrator).await, all()),
            ("the connector", self.pbx.api.clone(), all()),
            (
                "Anna",
                hub.user_token(ws, &self.anna).await,
                names(["anna", "both", "lost"]),
            ),
            (
                "Boris",
                hub.user_token(ws, &self.boris).await,
                names(["boris", "both", "lost", "rung"]),
            ),
        ]
    }
}

#[tokio::test]
async fn lists_statistics_and_single_reads_show_what_the_caller_sees() {
    let calls = Calls::new().await;
    let both = |a: &Names, b: &Names| a.intersection(b).copied().collect::<Names>();
    for (who, caller, seen) in calls.callers().await {
        let of_boris = names(["boris", "both", "rung"]);
        for (query, matching) in [
            ("", names(ALL)),
            ("?cursor=start", names(ALL)),
            ("?missed=true", names(["lost", "rung"])),
            ("?calledBack=false&cursor=start", names(["lost", "rung"])),
            ("?status=active", names(["both", "new"])),
            ("?phone=79997775533", names(ALL)),
            (&format!("?userId={}", calls.boris), of_boris),
        ] {
            let list = caller.get(&format!("/communications{query}")).await.ok();
            let expected = both(&seen, &matching);
            assert_eq!(calls.in_list(&list), expected, "{who} {query}");
            assert_eq!(list["count"], expected.len(), "{who} {query}");
        }
        let mut paged = Names::new();
        let mut cursor = "start".to_owned();
        loop {
            let page = format!("/communications?limit=1&cursor={cursor}");
            let page = caller.get(&page).await.ok();
            paged.extend(calls.in_list(&page));
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(paged, seen, "{who}, page by page");
        for group in ["user", "day", "hour", "line"] {
            let path = format!("/communications/statistics?groupBy={group}");
            let totals = caller.get(&path).await.ok();
            let groups = totals["items"].as_array().expect("groups").iter();
            let count: i64 = groups
                .flat_map(|one| [&one["count"], &one["active"]])
                .map(|number| number.as_i64().expect("a number"))
                .sum();
            assert_eq!(usize::try_from(count), Ok(seen.len()), "{who} {group}");
        }
        for known in &calls.known {
            let what = format!("{who} {}", known.name);
            let is_seen = seen.contains(known.name);
            let path = format!("/communications/{}", known.id);
            let expected = if is_seen { 200 } else { 409 };
            let one = caller.get(&path).await;
            assert_eq!(one.status, expected, "{what}: {}", one.text);
            if !is_seen {
                let unknown = caller.get(&format!("/communications/{UNKNOWN_ID}")).await;
                let text = unknown.text.replace(UNKNOWN_ID, &known.id);
                assert_eq!(one.text, text, "{what} does not exist");
            }
            for file in &known.files {
                let path = format!("/files/{file}");
                for path in [path.clone(), format!("{path}/meta")] {
                    let answer = caller.get(&path).await;
                    assert_eq!(answer.status, expected, "{what} {path}: {}", answer.text);
                }
                let head = caller.send(Method::HEAD, &path, None).await;
                assert_eq!(head.status, expected, "{what} {path}");
                let part = caller.clone().header("range", "bytes=0-3").get(&path).await;
                let expected = if is_seen { 206 } else { 409 };
                assert_eq!(part.status, expected, "{what} {path}");
            }
        }
    }
}

#[tokio::test]
async fn events_tell_of_the_calls_that_the_caller_sees() {
    let calls = Calls::new().await;
    let contact = json!({ "name": "Rosa" });
    let contact = calls.pbx.make("contacts", contact).await;
    for known in &calls.known {
        let link = json!({ "contactId": contact, "communicationId": known.id });
        calls.pbx.link(link).await;
    }
    calls.pbx.make("companies", json!({ "name": "last" })).await;
    let all = calls.pbx.space.get("/log?limit=1000").await.ok();
    let all = all["items"].as_array().expect("items").clone();
    for (who, caller, seen) in calls.callers().await {
        let feed = caller.get("/events?limit=1000").await.ok();
        assert_eq!(calls.in_events(&feed), seen, "{who}: the feed");
        let end = calls.pbx.space.get("/events?limit=1000").await.ok();
        assert_eq!(feed["lastOffset"], end["lastOffset"], "{who}: offsets stay");
        for query in ["", "&entityType=communication", "&changeType=create"] {
            let log = caller.get(&format!("/log?limit=1000{query}")).await.ok();
            assert_eq!(calls.in_events(&log), seen, "{who}: the log {query}");
        }
        for name in ALL {
            let path = format!("/log?limit=1000&entityId={}", calls.id(name));
            let log = caller.get(&path).await.ok();
            let expected = seen.get(name).copied().into_iter().collect::<Names>();
            assert_eq!(calls.in_events(&log), expected, "{who}: the log of {name}");
        }
        for event in &all {
            let call = calls.name(&event["entityIds"]["communicationId"]);
            let is_seen = call.is_none_or(|call| seen.contains(call));
            let path = format!("/log/{}", event["offset"].as_str().expect("an offset"));
            let answer = caller.get(&path).await;
            let expected = if is_seen { 200 } else { 409 };
            assert_eq!(answer.status, expected, "{who} {call:?}: {}", answer.text);
        }
        if ["an integrator", "the connector"].contains(&who) {
            continue;
        }
        // From the store, since the newest events in memory do not go back so far.
        let resumed = caller.clone().header("last-event-id", NIL_ID);
        for topics in ["events", "calls,events"] {
            let path = format!("/stream?topics={topics}");
            let mut stream = EventStream::open(&resumed, &path).await;
            let mut told = Names::new();
            loop {
                let message = stream.next().await;
                told.extend(calls.name(&message.data["entityIds"]["communicationId"]));
                if message.data.to_string().contains("\"last\"") {
                    break;
                }
            }
            assert_eq!(told, seen, "{who}: the stream of {topics}");
        }
    }
}

/// The calls of a page are looked up in several steps.
#[tokio::test]
async fn a_long_page_shows_all_own_calls() {
    let pbx = TelephonyExchange::new().await;
    let (anna, boris) = (pbx.user("anna").await, pbx.user("boris").await);
    for n in 0..150 {
        let mut legs = json!([item("1", None, 9, &[])]);
        legs[0]["to"]["userId"] = if n % 10 == 3 { &boris } else { &anna }.as_str().into();
        let id = format!("call-{n}");
        pbx.send("register-call", register(&id, legs)).await.ok();
    }
    for (user, count) in [(anna, 135), (boris, 15)] {
        let caller = pbx.hub.user_token("my-workspace", &user).await;
        let feed = caller.get("/events?limit=1000").await.ok();
        let items = feed["items"].as_array().expect("items").iter();
        let ids = items.filter_map(|event| event["entityIds"]["communicationId"].as_str());
        assert_eq!(ids.collect::<BTreeSet<_>>().len(), count);
    }
}

/// An event is shown by what its call is when it is told: before anybody is rung a call is nobody's.
#[tokio::test]
async fn a_stream_tells_of_a_call_from_its_first_ring() {
    let mut calls = Calls::new().await;
    let hub = &calls.pbx.hub;
    let anna = hub.user_token("my-workspace", &calls.anna).await;
    let ticket = anna.post("/stream/ticket?topics=calls", json!({})).await;
    let ticket = ticket.ok().str("ticket");
    let page = hub.anonymous().at("/api/v1/my-workspace");
    let mut streams = [
        EventStream::open(&anna, "/stream?topics=calls").await,
        EventStream::open(&page, &format!("/stream?ticket={ticket}")).await,
    ];
    let (of_anna, of_boris) = (calls.anna.clone(), calls.boris.clone());
    calls.begin("hers").await;
    calls.begin("his").await;
    calls.leg("his", "b", "appeared", &of_boris).await;
    calls.leg("hers", "a", "appeared", &of_anna).await;
    calls.leg("his", "b", "connected", &of_boris).await;
    calls.leg("hers", "a", "disconnected", &of_anna).await;
    calls.end("hers").await;
    calls.begin("end").await;
    calls.end("end").await;
    for stream in &mut streams {
        let mut told = Vec::new();
        while told.last() != Some(&"end") {
            let message = stream.next().await;
            let id = &message.data["entityIds"]["communicationId"];
            told.push(calls.name(id).expect("a known call"));
        }
        assert!(told.contains(&"hers"), "{told:?}");
        assert!(!told.contains(&"his"), "{told:?}");
    }
    // Passed on to Anna, it is hers as well.
    calls.leg("his", "a", "appeared", &of_anna).await;
    for stream in &mut streams {
        let message = stream.next().await;
        let id = &message.data["entityIds"]["communicationId"];
        assert_eq!(calls.name(id), Some("his"));
    }
    anna.get(&format!("/communications/{}", calls.id("his")))
        .await
        .ok();
}

#[tokio::test]
async fn a_call_that_the_caller_does_not_see_cannot_be_changed() {
    let calls = Calls::new().await;
    calls.pbx.enable_calls().await;
    let contact = calls.pbx.make("contacts", json!({ "name": "Rosa" })).await;
    let before = calls.pbx.space.get("/log?limit=1000").await.ok().text;
    let anna = calls.pbx.hub.user_token("my-workspace", &calls.anna).await;
    for name in ["boris", "new", "rung"] {
        let call = format!("/communications/{}", calls.id(name));
        let link = json!({ "contactId": contact, "communicationId": calls.id(name) });
        let link = link.to_string().into_bytes();
        let leg = json!({ "realtimeCallItemId": format!("{name}-b"), "userId": calls.boris });
        for (answer, code) in [
            (anna.delete(&call).await, "notFound"),
            (
                anna.post(&format!("{call}/restore"), json!({})).await,
                "notFound",
            ),
            (
                anna.send(Method::POST, "/links", Some(link.clone())).await,
                "notFound",
            ),
            (
                anna.send(Method::DELETE, "/links", Some(link)).await,
                "notFound",
            ),
            (
                anna.post(&format!("{call}/hangup"), leg.clone()).await,
                "communicationNotFound",
            ),
            (
                anna.post("/communications/hangup", leg).await,
                "communicationNotFound",
            ),
        ] {
            assert_eq!(answer.status, 409, "{name}: {}", answer.text);
            assert_eq!(answer["status"], code, "{name}: {}", answer.text);
        }
    }
    let after = calls.pbx.space.get("/log?limit=1000").await.ok().text;
    assert_eq!(before, after, "nothing was changed");
    // Own calls can be.
    let own = calls.id("both");
    let link = json!({ "contactId": contact, "communicationId": own });
    anna.post("/links", link).await.ok();
    let leg = json!({ "realtimeCallItemId": "both-b", "userId": calls.boris });
    for path in [
        "/communications/hangup",
        &format!("/communications/{own}/hangup"),
    ] {
        let hung_up = anna.post(path, leg.clone()).await;
        assert_eq!(
            hung_up["status"], "integrationError",
            "{path}: {}",
            hung_up.text
        );
    }
    let path = format!("/communications/{own}");
    anna.delete(&path).await.ok();
    anna.post(&format!("{path}/restore"), json!({})).await.ok();
}

#[tokio::test]
async fn the_console_shows_the_calls_that_the_person_sees() {
    let calls = Calls::new().await;
    let hub = &calls.pbx.hub;
    let of = |mut body: Value| {
        body["workspace"] = "my-workspace".into();
        link(hub, body)
    };
    for (who, url, seen) in [
        ("the operator", link(hub, json!({})).await, names(ALL)),
        (
            "a viewer",
            of(json!({ "role": "viewer" })).await,
            names(ALL),
        ),
        (
            "Anna",
            of(json!({ "userId": calls.anna, "role": "member" })).await,
            names(["anna", "both", "lost"]),
        ),
        // Without a user nothing is the own.
        (
            "an employee",
            of(json!({ "role": "member" })).await,
            names(["lost"]),
        ),
    ] {
        let person = Person::sign_in(hub, &url).await;
        let list = person.browser.get("/console/my-workspace/calls").await.ok();
        for known in &calls.known {
            let (what, is_seen) = (format!("{who} {}", known.name), seen.contains(known.name));
            assert_eq!(list.text.contains(&known.id), is_seen, "{what}");
            let status = if is_seen { 200 } else { 404 };
            let page = format!("/console/my-workspace/calls/{}", known.id);
            let shown = person.browser.get(&page).await;
            assert_eq!(shown.status, status, "{what}: {}", shown.text);
            if let Some(file) = known.files.last() {
                let path = format!("{page}/recording/{file}");
                assert_eq!(person.browser.get(&path).await.status, status, "{what}");
            }
        }
    }
}
