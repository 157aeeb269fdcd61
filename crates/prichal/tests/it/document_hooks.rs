//! Status webhooks of e-documents, their log, and the history (`reference/edo.md` §3).

use std::{sync::Arc, time::Duration};

use hmac::{Hmac, KeyInit as _, Mac as _};
use prichal::error::Error;
use prichal_core::{
    document::{
        Document, Group, Kind, Party, Status,
        event::{By, snapshot},
    },
    event::{Author, EntityKind, NewEvent, Origin},
    id::{EventId, UserId, WorkspaceId, generate},
};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{
    exchange::{Exchange, RECALL, Side},
    hub::{Answer, Caller, Ground, Hub, eventually},
    receiver::{Call, Receiver, Reply},
};

const SUBSCRIPTION: &str = "/subscription/document-status-changed-event";
const BIN: &str = "971240001315";
const OTHER_BIN: &str = "100740005482";
const DAY: Duration = Duration::from_hours(24);

/// A company, and somebody who acts for it under `/api/1/webhooks/document-events`.
struct Company {
    id: WorkspaceId,
    name: String,
    caller: Caller,
}

async fn company(hub: &Hub, name: &str, bin: &str) -> Company {
    let body = json!({ "name": name, "bin": bin, "companyName": name });
    let made = hub.admin().post("/admin/v1/workspaces", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let caller = hub.token(name, "admin").await;
    Company {
        id: WorkspaceId::parse(&made.str("id")).expect("an id"),
        name: name.to_owned(),
        caller: caller
            .at("/api/1/webhooks/document-events")
            .header("accept-language", "en"),
    }
}

impl Company {
    /// The same company at this server.
    fn at(&self, hub: &Hub) -> Self {
        Self {
            id: self.id,
            name: self.name.clone(),
            caller: hub.adopt(&self.caller),
        }
    }

    async fn subscribe(&self, url: &str) -> Answer {
        let body = json!({ "subscriptionUrl": url });
        self.caller.post(SUBSCRIPTION, body).await
    }

    async fn subscription(&self) -> Answer {
        self.caller.get(SUBSCRIPTION).await.ok()
    }

    /// What the calls came to, newest first, as soon as there are `count` of them.
    async fn attempts(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} attempts"), || async {
            let listed = self
                .caller
                .get(&format!("{SUBSCRIPTION}/deliveries?limit=1000"))
                .await
                .ok();
            let items = listed["items"].as_array().expect("items").clone();
            assert_eq!(listed["count"], items.len());
            (items.len() >= count).then_some(items)
        })
        .await
    }

    /// A document of the company, so far without a word of it in its log.
    fn document(&self, hub: &Hub, number: &str) -> Document {
        Document {
            id: generate(hub.ground.clock.now()),
            kind: Kind::External,
            sender: Party {
                company: self.id,
                bin: BIN.to_owned(),
            },
            name: "Договор".to_owned(),
            number: number.to_owned(),
            date: 1,
            group: Group::Legal,
            author: UserId(Uuid::from_u128(3)),
            created_on: 2,
            contents: Vec::new(),
            route: None,
            fate: None,
        }
    }

    /// Has the log say what the company now sees of a document.
    async fn says(&self, hub: &Hub, document: &Document, previous: Option<Status>, now: Status) {
        let by = By {
            bin: BIN.to_owned(),
            employee: Uuid::from_u128(3),
        };
        let origin = Origin {
            workspace: self.id,
            author: Author::system(),
            at: hub.ground.clock.now(),
        };
        let (viewer, document) = (self.id, document.clone());
        let write = move |tx: &mut prichal_store::Tx<'_>| {
            let new = snapshot(&document, viewer, now, Some(&by), None);
            let old = previous.map(|status| snapshot(&document, viewer, status, None, None));
            let (id, entity) = (
                EventId::generate(origin.at),
                (EntityKind::Document, document.id),
            );
            tx.append(match old {
                None => NewEvent::create(id, &origin, entity, new),
                Some(old) => NewEvent::patch(id, &origin, entity, old, new),
            });
            Ok::<_, Error>(())
        };
        hub.app.db.write(viewer, write).await.expect("written");
    }

    /// A new draft.
    async fn draft(&self, hub: &Hub, number: &str) -> Document {
        let document = self.document(hub, number);
        self.says(hub, &document, None, Status::Draft).await;
        document
    }

    /// The draft is sent.
    async fn send(&self, hub: &Hub, document: &Document) {
        self.says(hub, document, Some(Status::Draft), Status::SentBySender)
            .await;
    }
}

/// A server with one company that wants to be told, and its secret.
async fn subscribed(receiver: &Receiver) -> (Hub, Company, String) {
    let hub = Hub::start().await;
    let company = company(&hub, "acme", BIN).await;
    let made = company.subscribe(&receiver.url).await.ok();
    let secret = made.str("secret");
    (hub, company, secret)
}

fn signature(secret: &str, call: &Call) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    let at = call.header("x-idocs-timestamp").expect("a time");
    mac.update(format!("{at}.{}", call.body).as_bytes());
    let digest = mac.finalize().into_bytes();
    let hex: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={}", hex.concat())
}

/// Which document a call is about, and in which status.
fn told(call: &Call) -> (String, String) {
    let body = call.json();
    let text = |member: &str| body[member].as_str().expect("text").to_owned();
    (text("documentNumber"), text("documentStatus"))
}

fn pair(number: &str, status: &str) -> (String, String) {
    (number.to_owned(), status.to_owned())
}

#[tokio::test]
async fn a_subscription_is_made_changed_and_ended() {
    let hub = Hub::with(|config| config.allow_private_targets = false).await;
    let acme = company(&hub, "acme", BIN).await;
    let stranger = company(&hub, "other", OTHER_BIN).await;
    let missing = acme.caller.get(SUBSCRIPTION).await;
    assert_eq!(
        (missing.status, &missing["errors"][0]["errorCode"]),
        (404, &json!("RESOURCE_NOT_FOUND"))
    );
    for (method, path) in [
        (Method::DELETE, SUBSCRIPTION.to_owned()),
        (Method::GET, format!("{SUBSCRIPTION}/deliveries")),
        (Method::POST, format!("{SUBSCRIPTION}/rotate-secret")),
    ] {
        let answer = acme.caller.send(method, &path, None).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
    }
    let replay = json!({ "dateFrom": 0, "dateTo": 9 });
    let path = format!("{SUBSCRIPTION}/replay");
    assert_eq!(acme.caller.post(&path, replay).await.status, 404);

    let made = acme.subscribe("https://a.example/hook").await.ok();
    let expected = json!({
        "subscriptionId": made["subscriptionId"], "subscriptionUrl": "https://a.example/hook",
        "createdOn": 1_767_225_600, "updatedOn": 1_767_225_600, "status": "active", "pausedOn": null,
        "secret": made["secret"],
    });
    assert_eq!(made.json, expected);
    assert!(made.str("secret").len() >= 32);

    hub.advance(Duration::from_mins(1));
    // The vendor's server knows no case and no double slashes.
    let loose = acme.caller.at("/API/1//Webhooks/document-events/");
    let body = json!({ "SubscriptionUrl": "HTTPS://b.example/hook" });
    let changed = loose.post(SUBSCRIPTION, body).await.ok();
    assert_eq!(changed["subscriptionId"], made["subscriptionId"]);
    assert_eq!(changed["subscriptionUrl"], "HTTPS://b.example/hook");
    assert_eq!(
        (&changed["createdOn"], &changed["updatedOn"]),
        (&json!(1_767_225_600), &json!(1_767_225_660))
    );
    assert_eq!(changed.get("secret"), None);
    assert_eq!(acme.subscription().await.json, changed.json);
    assert_eq!(stranger.caller.get(SUBSCRIPTION).await.status, 404);

    let ended = acme.caller.delete(SUBSCRIPTION).await;
    assert_eq!((ended.status, ended.text.as_str()), (204, ""));
    assert_eq!(acme.caller.delete(SUBSCRIPTION).await.status, 404);
    let again = acme.subscribe("https://a.example/hook").await.ok();
    assert_ne!(again["subscriptionId"], made["subscriptionId"]);
    assert_ne!(again["secret"], made["secret"]);
}

#[tokio::test]
async fn urls_that_cannot_be_called_are_refused_by_name() {
    let hub = Hub::with(|config| config.allow_private_targets = false).await;
    let acme = company(&hub, "acme", BIN).await;
    let long = format!("https://a.example/{}", "x".repeat(2000));
    for url in [
        json!("http://a.example"),
        json!("ftp://a.example"),
        json!("https://"),
        json!("https://name:word@a.example"),
        json!("/relative"),
        json!(""),
        json!(long),
        json!(7),
        Value::Null,
    ] {
        let answer = acme
            .caller
            .post(SUBSCRIPTION, json!({ "subscriptionUrl": url }))
            .await;
        assert_eq!(answer.status, 400, "{url}");
        let error = &answer["errors"][0];
        assert_eq!(error["errorCode"], "VALIDATION_ERROR", "{url}");
        let text = error["errorDescription"].as_str().expect("text");
        assert!(text.contains("subscriptionUrl"), "{url}: {text}");
    }
    let allowing = Hub::start().await;
    let acme = company(&allowing, "acme", BIN).await;
    acme.subscribe("http://a.example").await.ok();
}

#[tokio::test]
async fn who_may_what() {
    let hub = Hub::start().await;
    let acme = company(&hub, "acme", BIN).await;
    let space = hub.token("acme", "admin").await;
    let user = async |name: &str, permissions: Value| {
        let body = json!({ "name": name, "login": name, "permissions": permissions });
        let id = space.post("/users", body).await.ok().str("id");
        let token = hub.user_token("acme", &id).await;
        token.at("/api/1/webhooks/document-events")
    };
    let viewer = user("Анна", json!(["DOCUMENT_VIEW"])).await;
    let keeper = user("Борис", json!(["WEBHOOK_MANAGE"])).await;
    let subscription = json!({ "subscriptionUrl": "https://a.example" });
    let refused = viewer.post(SUBSCRIPTION, subscription.clone()).await;
    assert_eq!(
        (refused.status, &refused["errors"][0]["errorCode"]),
        (400, &json!("PERMISSION_ERROR"))
    );
    keeper.post(SUBSCRIPTION, subscription).await.ok();
    let feed = "/api/v3/sync/external/events";
    for (path, of) in [
        ("", &viewer),
        (SUBSCRIPTION, &keeper),
        (&format!("{SUBSCRIPTION}/deliveries"), &keeper),
    ] {
        of.get(path).await.ok();
        let other = if std::ptr::eq(of, &raw const viewer) {
            &keeper
        } else {
            &viewer
        };
        let refused = other.get(path).await;
        assert_eq!(
            (refused.status, &refused["errors"][0]["errorCode"]),
            (400, &json!("PERMISSION_ERROR")),
            "{path}"
        );
    }
    viewer.at(feed).get("").await.ok();
    assert_eq!(keeper.at(feed).get("").await.status, 400);
    for path in ["/rotate-secret", "/replay"] {
        let path = format!("{SUBSCRIPTION}{path}");
        let refused = viewer.post(&path, json!({})).await;
        assert_eq!(refused["errors"][0]["errorCode"], "PERMISSION_ERROR");
    }
    assert_eq!(viewer.delete(SUBSCRIPTION).await.status, 400);
    let nobody = hub.anybody().at("/api/1/webhooks/document-events");
    assert_eq!(nobody.get(SUBSCRIPTION).await.status, 401);
    acme.subscription().await;
}

#[tokio::test]
async fn sent_again_with_its_key_a_post_is_answered_as_before() {
    let hub = Hub::start().await;
    let acme = company(&hub, "acme", BIN).await;
    let once = |key: &str| acme.caller.clone().header("idempotency-key", key);
    let body = json!({ "subscriptionUrl": "https://a.example" });
    let first = once("1").post(SUBSCRIPTION, body.clone()).await.ok();
    let second = once("1").post(SUBSCRIPTION, body).await.ok();
    assert_eq!(first.json, second.json, "with the secret");
    let other = json!({ "subscriptionUrl": "https://b.example" });
    let other = once("1").post(SUBSCRIPTION, other).await;
    assert_eq!(other["errors"][0]["errorCode"], "VALIDATION_ERROR");
    let rotate = format!("{SUBSCRIPTION}/rotate-secret");
    let first = once("2").post(&rotate, json!({})).await.ok();
    let second = once("2").post(&rotate, json!({})).await.ok();
    assert_eq!(first.json, second.json);
    let third = acme.caller.send(Method::POST, &rotate, None).await.ok();
    assert_ne!(first.json, third.json);
}

#[tokio::test]
async fn a_status_reaches_the_company_signed() {
    let receiver = Receiver::start(|_| Reply::Status(204)).await;
    let (hub, acme, secret) = subscribed(&receiver).await;
    let stranger = company(&hub, "other", OTHER_BIN).await;
    stranger.draft(&hub, "not ours").await;
    let space = hub.token("acme", "admin").await;
    space
        .post("/companies", json!({ "name": "no document" }))
        .await
        .ok();
    let document = acme.draft(&hub, "7/1").await;
    let call = receiver.next().await;
    let body = call.json();
    let expected = json!({
        "eventId": body["eventId"], "eventType": "document-status-changed-event", "sequence": body["sequence"],
        "occurredOn": 1_767_225_600, "companyId": acme.id, "documentId": document.id,
        "documentNumber": "7/1", "documentName": "Договор", "documentDirection": "Outbox",
        "previousStatus": null, "documentStatus": "DRAFT",
        "actor": { "companyBin": BIN, "employeeId": Uuid::from_u128(3) },
        "rejectReason": null, "attempt": 1,
    });
    assert_eq!(body, expected);
    assert_eq!(
        call.header("x-idocs-event-id").map(Value::from).as_ref(),
        Some(&body["eventId"])
    );
    assert_eq!(call.header("x-idocs-timestamp"), Some("1767225600"));
    assert_eq!(
        call.header("x-idocs-signature"),
        Some(signature(&secret, &call).as_str())
    );
    assert!(
        call.header("content-type")
            .is_some_and(|kind| kind.starts_with("application/json"))
    );
    assert!(
        call.header("user-agent")
            .is_some_and(|name| name.starts_with("Prichal/"))
    );
    for foreign in [
        "x-xcom-accesskey",
        "x-xcom-integration-echo",
        "webhook-signature",
        "x-prichal-replay",
    ] {
        assert_eq!(call.header(foreign), None);
    }
    let attempts = acme.attempts(1).await;
    let subscription = acme.subscription().await;
    assert_eq!(
        attempts[0],
        json!({
            "id": attempts[0]["id"], "webHookId": subscription["subscriptionId"], "eventId": body["eventId"],
            "offset": attempts[0]["offset"], "attempt": 1, "status": "delivered", "httpStatus": 204,
            "durationMs": attempts[0]["durationMs"], "error": null, "answer": null, "startedAt": attempts[0]["startedAt"],
        })
    );
    acme.send(&hub, &document).await;
    let call = receiver.next().await;
    assert_eq!(
        (&call.json()["previousStatus"], told(&call)),
        (&json!("DRAFT"), pair("7/1", "SENT_BY_SENDER"))
    );
    acme.attempts(2).await;
    assert_eq!(receiver.waiting(), 0);
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_old_one_for_a_day() {
    let receiver = Receiver::good().await;
    let (hub, acme, old) = subscribed(&receiver).await;
    let rotate = format!("{SUBSCRIPTION}/rotate-secret");
    let rotated = acme.caller.post(&rotate, json!({})).await.ok();
    let new = rotated.str("secret");
    assert_ne!(old, new);
    acme.draft(&hub, "1").await;
    let call = receiver.next().await;
    let both = format!("{},{}", signature(&new, &call), signature(&old, &call));
    assert_eq!(call.header("x-idocs-signature"), Some(both.as_str()));
    acme.attempts(1).await;
    hub.advance(DAY);
    acme.draft(&hub, "2").await;
    let call = receiver.next().await;
    assert_eq!(
        call.header("x-idocs-signature"),
        Some(signature(&new, &call).as_str())
    );
}

#[tokio::test]
async fn what_fails_comes_again_on_the_documents_own_clock() {
    const WAITS: [u64; 10] = [
        10,
        60,
        5 * 60,
        30 * 60,
        2 * 3600,
        6 * 3600,
        12 * 3600,
        24 * 3600,
        24 * 3600,
        24 * 3600,
    ];
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let (hub, acme, secret) = subscribed(&receiver).await;
    acme.draft(&hub, "1").await;
    let first = receiver.next().await;
    let mut due = 1_767_225_600;
    for (wait, done) in WAITS.into_iter().zip(1..) {
        let attempts = acme.attempts(done).await;
        assert_eq!(attempts[0]["status"], "deferred");
        assert_eq!(attempts[0]["error"], "the answer was 503, not 2xx");
        assert_eq!(attempts[0]["answer"], "sorry");
        // Had it come before its time, its timestamp would say so.
        hub.advance(Duration::from_secs(wait - 1));
        acme.attempts(done).await;
        hub.advance(Duration::from_secs(1));
        due += wait;
        let call = receiver.next().await;
        assert_eq!(call.json()["attempt"], done + 1);
        let at = call.header("x-idocs-timestamp").expect("a time");
        assert_eq!(at, due.to_string());
        assert_eq!(call.json()["eventId"], first.json()["eventId"]);
        assert_eq!(
            call.header("x-idocs-signature"),
            Some(signature(&secret, &call).as_str()),
            "of the body as it is now"
        );
    }
    let attempts = acme.attempts(11).await;
    assert_eq!(
        (&attempts[0]["status"], &attempts[0]["attempt"]),
        (&json!("exhausted"), &json!(11))
    );
    assert_eq!(acme.subscription().await["status"], "active");
}

#[tokio::test]
async fn a_refusal_is_tried_again_three_times_and_a_redirect_is_not_followed() {
    let receiver = Receiver::start(|_| Reply::Status(404)).await;
    let (hub, acme, _) = subscribed(&receiver).await;
    acme.draft(&hub, "1").await;
    for done in 1..=4 {
        receiver.next().await;
        let attempts = acme.attempts(done).await;
        let status = if done < 4 { "deferred" } else { "exhausted" };
        assert_eq!(attempts[0]["status"], status, "{done}");
        hub.advance(Duration::from_mins(5));
    }
    let place = format!("{}/elsewhere", receiver.url);
    receiver.answer(move |_| Reply::Redirect(place.clone()));
    acme.draft(&hub, "2").await;
    assert_eq!(told(&receiver.next().await), pair("2", "DRAFT"));
    let attempts = acme.attempts(5).await;
    assert_eq!(
        (&attempts[0]["status"], &attempts[0]["httpStatus"]),
        (&json!("deferred"), &json!(301))
    );
    receiver.answer(|_| Reply::Status(429));
    for done in 6..=10 {
        hub.advance(DAY);
        receiver.next().await;
        assert_eq!(acme.attempts(done).await[0]["status"], "deferred");
    }

    let listed = acme
        .caller
        .get(&format!("{SUBSCRIPTION}/deliveries?status=exhausted"))
        .await
        .ok();
    assert_eq!(listed["count"], 1);
    let event = attempts[0]["eventId"].as_str().expect("an id");
    let path = format!("{SUBSCRIPTION}/deliveries?eventId={event}&limit=4");
    let page = acme.caller.get(&path).await.ok();
    assert_eq!(page["count"], 4);
    let last = page["items"][3]["id"].as_str().expect("an id");
    let rest = acme.caller.get(&format!("{path}&before={last}")).await.ok();
    assert_eq!(rest["count"], 2);
    assert_eq!(rest["items"][1]["attempt"], 1);
    for bad in ["status=gone", "eventId=7", "before=x", "limit=0", "limit=x"] {
        let path = format!("{SUBSCRIPTION}/deliveries?{bad}");
        let refused = acme.caller.get(&path).await;
        let text = refused["errors"][0]["errorDescription"].to_string();
        let name = bad.split('=').next().expect("a name");
        assert!(refused.status == 400 && text.contains(name), "{text}");
    }
}

/// The first event of a document waits for another try: the next ones wait with it, others do not.
#[tokio::test]
async fn a_documents_events_keep_their_order_whatever_fails() {
    let receiver = Receiver::start(|call| {
        let failing = told(call) == pair("1", "DRAFT");
        if failing {
            Reply::Status(500)
        } else {
            Reply::Good
        }
    })
    .await;
    let (hub, acme, _) = subscribed(&receiver).await;
    let one = acme.draft(&hub, "1").await;
    receiver.next().await;
    acme.attempts(1).await;
    acme.send(&hub, &one).await;
    let finished = (Some(Status::SentBySender), Status::Finished);
    acme.says(&hub, &one, finished.0, finished.1).await;
    let two = acme.draft(&hub, "2").await;
    acme.send(&hub, &two).await;
    let calls = receiver.take(2).await;
    assert_eq!(told(&calls[0]), pair("2", "DRAFT"));
    assert_eq!(told(&calls[1]), pair("2", "SENT_BY_SENDER"));
    acme.attempts(3).await;
    hub.advance(Duration::from_secs(10));
    assert_eq!(told(&receiver.next().await), pair("1", "DRAFT"));
    acme.attempts(4).await;
    let hub = hub.restart().await;
    let acme = acme.at(&hub);
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_mins(1));
    let calls = receiver.take(3).await;
    let told: Vec<_> = calls.iter().map(told).collect();
    let expected = ["DRAFT", "SENT_BY_SENDER", "FINISHED"].map(|status| pair("1", status));
    assert_eq!(told, expected);
    let attempts = acme.attempts(7).await;
    assert_eq!(attempts.len(), 7, "waiting is no attempt");
    assert_eq!(attempts[0]["attempt"], 1);
}

/// A call that hangs gets a row of its own after a second, and is still its document's turn.
#[tokio::test]
async fn a_call_that_hangs_holds_its_document_back_and_nothing_else() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let receiver = Receiver::start(move |call| {
        if told(call) == pair("1", "DRAFT") {
            Reply::Held(held.clone())
        } else {
            Reply::Good
        }
    })
    .await;
    let (hub, acme, _) = subscribed(&receiver).await;
    let one = acme.draft(&hub, "1").await;
    receiver.next().await;
    acme.send(&hub, &one).await;
    acme.draft(&hub, "2").await;
    assert_eq!(told(&receiver.next().await), pair("2", "DRAFT"));
    acme.attempts(1).await;
    hub.advance(Duration::from_secs(2));
    acme.draft(&hub, "3").await;
    assert_eq!(told(&receiver.next().await), pair("3", "DRAFT"));
    acme.attempts(2).await;
    assert_eq!(receiver.waiting(), 0);
    gate.add_permits(1);
    assert_eq!(told(&receiver.next().await), pair("1", "SENT_BY_SENDER"));
    let attempts = acme.attempts(4).await;
    assert_eq!(attempts.len(), 4, "each was told once");
}

#[tokio::test]
async fn a_hook_that_failed_for_five_days_waits_and_goes_on_without_a_loss() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (hub, acme, _) = subscribed(&receiver).await;
    for day in 0..=4 {
        acme.draft(&hub, &day.to_string()).await;
        receiver.next().await;
        let so_far = acme.attempts(1).await.len();
        assert_eq!(acme.subscription().await["status"], "active", "{day}");
        hub.advance(DAY);
        acme.attempts(so_far + 1).await;
    }
    // By now every further failure pauses it.
    let paused = eventually("the pause", || async {
        acme.draft(&hub, "more").await;
        let shown = acme.subscription().await;
        (shown["status"] == "paused").then_some(shown)
    })
    .await;
    let on = paused["pausedOn"].as_i64().expect("a time");
    assert!(on >= 1_767_225_600 + 5 * 86_400, "{on}");
    let documents = acme.draft(&hub, "while paused").await;
    hub.advance(DAY * 30);
    acme.send(&hub, &documents).await;
    let hub = hub.restart().await;
    let acme = acme.at(&hub);
    assert_eq!(acme.subscription().await["status"], "paused");
    while receiver.waiting() > 0 {
        receiver.next().await;
    }

    receiver.answer(|_| Reply::Good);
    let again = acme.subscribe(&receiver.url).await.ok();
    assert_eq!(
        (&again["status"], &again["pausedOn"], again.get("secret")),
        (&json!("active"), &Value::Null, None)
    );
    // Each event that the log has was told or given up, as the log of attempts says.
    let history = acme.caller.get("?top=100").await.ok();
    let events = history["pageItems"].as_array().expect("items").clone();
    eventually("all is told", || async {
        let attempts = acme.attempts(0).await;
        let settled = |event: &Value| {
            attempts.iter().any(|attempt| {
                attempt["eventId"] == event["eventId"] && attempt["status"] != "deferred"
            })
        };
        events.iter().all(settled).then_some(())
    })
    .await;
    let mut last = None;
    while receiver.waiting() > 0 {
        let call = receiver.next().await;
        if told(&call).0 == "while paused" {
            last = Some(told(&call).1);
        }
    }
    assert_eq!(last.as_deref(), Some("SENT_BY_SENDER"));
    assert_eq!(acme.subscription().await["status"], "active");
}

#[tokio::test]
async fn another_url_gets_what_the_first_one_did_not() {
    let bad = Receiver::start(|_| Reply::Status(500)).await;
    let good = Receiver::good().await;
    let (hub, acme, secret) = subscribed(&bad).await;
    acme.draft(&hub, "1").await;
    bad.next().await;
    acme.attempts(1).await;
    acme.subscribe(&good.url).await.ok();
    let call = good.next().await;
    assert_eq!(told(&call), pair("1", "DRAFT"));
    assert_eq!(call.json()["attempt"], 2);
    assert_eq!(
        call.header("x-idocs-signature"),
        Some(signature(&secret, &call).as_str()),
        "the secret stays"
    );
    acme.draft(&hub, "2").await;
    assert_eq!(told(&good.next().await), pair("2", "DRAFT"));
    acme.attempts(3).await;

    assert_eq!(acme.caller.delete(SUBSCRIPTION).await.status, 204);
    acme.draft(&hub, "3").await;
    acme.subscribe(&good.url).await.ok();
    acme.draft(&hub, "4").await;
    assert_eq!(
        told(&good.next().await),
        pair("4", "DRAFT"),
        "a new subscription begins at the end of the log"
    );
    assert_eq!(bad.waiting(), 0);
}

#[tokio::test]
async fn a_stretch_is_told_again() {
    let receiver = Receiver::good().await;
    let (hub, acme, _) = subscribed(&receiver).await;
    let start = 1_767_225_600;
    let space = hub.token("acme", "admin").await;
    for n in 0..4 {
        acme.draft(&hub, &n.to_string()).await;
        let noise = json!({ "name": n.to_string() });
        space.post("/companies", noise).await.ok();
        receiver.next().await;
        acme.attempts(n + 1).await;
        hub.advance(Duration::from_secs(10));
    }
    let replay = format!("{SUBSCRIPTION}/replay");
    let stretch = json!({ "dateFrom": start + 10, "dateTo": start + 30 });
    let answer = acme.caller.post(&replay, stretch).await;
    assert_eq!((answer.status, answer.json), (202, json!({ "count": 2 })));
    let mut calls = receiver.take(2).await;
    calls.sort_by_key(|call| call.json()["sequence"].as_i64());
    assert_eq!(
        calls.iter().map(told).collect::<Vec<_>>(),
        [pair("1", "DRAFT"), pair("2", "DRAFT")]
    );
    for call in &calls {
        assert_eq!(call.header("x-prichal-replay"), Some("true"));
        assert_eq!(call.json()["attempt"], 1);
    }
    acme.attempts(6).await;
    let nothing = json!({ "dateFrom": start + 100, "dateTo": start + 200 });
    let answer = acme.caller.post(&replay, nothing).await;
    assert_eq!((answer.status, answer.json), (202, json!({ "count": 0 })));
    for (body, name) in [
        (json!({ "dateTo": 1 }), "dateFrom"),
        (json!({ "dateFrom": 1, "dateTo": "x" }), "dateTo"),
        (json!({ "dateFrom": 2, "dateTo": 1 }), "dateTo"),
    ] {
        let refused = acme.caller.post(&replay, body).await;
        let text = refused["errors"][0]["errorDescription"].to_string();
        assert!(refused.status == 400 && text.contains(name), "{text}");
    }
    assert_eq!(receiver.waiting(), 0);
}

#[tokio::test]
async fn a_restart_loses_nothing() {
    let receiver = Receiver::start(|call| {
        if told(call).0 == "bad" {
            Reply::Status(500)
        } else {
            Reply::Good
        }
    })
    .await;
    let (hub, acme, _) = subscribed(&receiver).await;
    acme.draft(&hub, "good").await;
    acme.draft(&hub, "bad").await;
    receiver.take(2).await;
    acme.attempts(2).await;
    let hub = hub.restart().await;
    let acme = acme.at(&hub);
    acme.draft(&hub, "after").await;
    assert_eq!(told(&receiver.next().await), pair("after", "DRAFT"));
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_secs(10));
    let call = receiver.next().await;
    assert_eq!(
        (told(&call), &call.json()["attempt"]),
        (pair("bad", "DRAFT"), &json!(2))
    );
    acme.attempts(4).await;
    assert_eq!(receiver.waiting(), 0);
}

/// A call that is open when the server is killed comes again.
#[tokio::test]
async fn a_killed_server_repeats_what_was_in_flight() {
    let receiver = Receiver::start(|_| Reply::Silence).await;
    let (hub, acme, _) = subscribed(&receiver).await;
    let document = acme.draft(&hub, "1").await;
    acme.send(&hub, &document).await;
    receiver.next().await;
    let ground = hub.ground.clone();
    hub.die();
    receiver.answer(|_| Reply::Good);
    ground.clock.advance(Duration::from_secs(10));
    let hub = ground.start().await;
    let acme = acme.at(&hub);
    // The store may have to be looked at first.
    eventually("both calls", || async {
        hub.advance(Duration::from_millis(250));
        (receiver.waiting() == 2).then_some(())
    })
    .await;
    let calls: Vec<_> = receiver.take(2).await.iter().map(told).collect();
    assert_eq!(calls, [pair("1", "DRAFT"), pair("1", "SENT_BY_SENDER")]);
    acme.attempts(2).await;
}

#[tokio::test]
async fn the_history_of_a_document_and_of_a_period() {
    let hub = Hub::start().await;
    let acme = company(&hub, "acme", BIN).await;
    let stranger = company(&hub, "other", OTHER_BIN).await;
    let one = acme.draft(&hub, "1").await;
    hub.advance(Duration::from_secs(10));
    let two = acme.draft(&hub, "2").await;
    hub.advance(Duration::from_secs(10));
    acme.send(&hub, &one).await;
    stranger.says(&hub, &one, None, Status::InNew).await;

    let history = acme.caller.get(&format!("/{}", one.id)).await.ok();
    let statuses = |items: &Value| -> Vec<(Value, Value)> {
        let items = items.as_array().expect("an array").iter();
        items
            .map(|item| {
                (
                    item["documentNumber"].clone(),
                    item["documentStatus"].clone(),
                )
            })
            .collect()
    };
    let is = |number: &str, status: &str| (json!(number), json!(status));
    assert_eq!(
        statuses(&history.json),
        [is("1", "DRAFT"), is("1", "SENT_BY_SENDER")]
    );
    let row = &history[1];
    let expected = json!({
        "eventId": row["eventId"], "eventType": "document-status-changed-event", "sequence": row["sequence"],
        "occurredOn": 1_767_225_620, "companyId": acme.id, "documentId": one.id,
        "documentNumber": "1", "documentName": "Договор", "documentDirection": "Outbox",
        "previousStatus": "DRAFT", "documentStatus": "SENT_BY_SENDER",
        "actor": { "companyBin": BIN, "employeeId": Uuid::from_u128(3) }, "rejectReason": null,
    });
    assert_eq!(row, &expected);
    let theirs = stranger.caller.get(&format!("/{}", one.id)).await.ok();
    assert_eq!(statuses(&theirs.json), [is("1", "IN_NEW")]);
    for unknown in [&two.id.to_string(), &Uuid::from_u128(1).to_string(), "x"] {
        let answer = stranger.caller.get(&format!("/{unknown}")).await;
        assert_eq!(
            (answer.status, &answer["errors"][0]["errorCode"]),
            (404, &json!("RESOURCE_NOT_FOUND"))
        );
    }

    let all = acme.caller.get("").await.ok();
    assert_eq!(
        statuses(&all["pageItems"]),
        [
            is("1", "DRAFT"),
            is("2", "DRAFT"),
            is("1", "SENT_BY_SENDER")
        ]
    );
    assert_eq!(
        (&all["skip"], &all["top"], &all["totalSize"]),
        (&json!(0), &json!(10), &json!(3))
    );
    let (first, last) = (1_767_225_600, 1_767_225_620);
    let period = acme
        .caller
        .get(&format!("?dateFrom={first}&dateTo={last}&skip=1&top=1"))
        .await
        .ok();
    assert_eq!(statuses(&period["pageItems"]), [is("2", "DRAFT")]);
    assert_eq!(period["totalSize"], 2, "the end does not belong to it");
    for bad in [
        "dateFrom=x",
        "dateTo=1.5",
        "dateTo=1&dateFrom=2",
        "skip=-1",
        "top=0",
        "top=x",
    ] {
        let refused = acme.caller.get(&format!("?{bad}")).await;
        let error = &refused["errors"][0];
        let name = bad.split('=').next().expect("a name");
        let text = error["errorDescription"].as_str().expect("text");
        assert!(text.contains(name), "{text}");
        assert_eq!(
            (refused.status, &error["errorCode"]),
            (400, &json!("VALIDATION_ERROR"))
        );
    }
}

#[tokio::test]
async fn the_feed_is_read_page_by_page_without_a_gap() {
    let hub = Hub::start().await;
    let acme = company(&hub, "acme", BIN).await;
    let feed = acme.caller.at("/api/v3/sync/external/events");
    let empty = feed.get("").await.ok();
    assert_eq!(
        empty.json,
        json!({ "items": [], "lastCursor": "0", "hasMore": false })
    );
    let space = hub.token("acme", "admin").await;
    let mut documents = Vec::new();
    for n in 0..7 {
        documents.push(acme.draft(&hub, &n.to_string()).await);
        let noise = json!({ "name": n.to_string() });
        space.post("/companies", noise).await.ok();
    }
    let (mut cursor, mut seen, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let page = feed.get(&format!("?after={cursor}&limit=2")).await.ok();
        pages += 1;
        for item in page["items"].as_array().expect("items") {
            assert_eq!(item.get("attempt"), None);
            seen.push(item["documentNumber"].as_str().expect("text").to_owned());
        }
        cursor = page.str("lastCursor");
        let sequence = &page["items"].as_array().and_then(|items| items.last());
        let sequence = sequence.map(|item| item["sequence"].to_string());
        assert_eq!(sequence.as_ref(), Some(&cursor));
        if page["hasMore"] == false {
            break;
        }
    }
    assert_eq!((pages, seen.join(" ").as_str()), (4, "0 1 2 3 4 5 6"));
    let end = feed.get(&format!("?after={cursor}")).await.ok();
    assert_eq!(
        end.json,
        json!({ "items": [], "lastCursor": cursor, "hasMore": false })
    );
    acme.send(&hub, &documents[0]).await;
    let next = feed.get(&format!("?after={cursor}")).await.ok();
    assert_eq!(next["items"][0]["documentStatus"], "SENT_BY_SENDER");
    for bad in ["after=x", "after=-1", "limit=0", "limit=x"] {
        let refused = feed.get(&format!("?{bad}")).await;
        let text = refused["errors"][0]["errorDescription"].to_string();
        let name = bad.split('=').next().expect("a name");
        assert!(refused.status == 400 && text.contains(name), "{text}");
    }
}

#[tokio::test]
async fn attempts_end_after_thirty_days_and_the_hook_with_its_workspace() {
    let receiver = Receiver::good().await;
    let (hub, acme, _) = subscribed(&receiver).await;
    acme.draft(&hub, "1").await;
    acme.attempts(1).await;
    hub.advance(DAY * 31);
    prichal::retention::sweep(&hub.app).await.expect("swept");
    assert_eq!(acme.attempts(0).await.len(), 0);

    let path = format!("/admin/v1/workspaces/{}", acme.name);
    assert_eq!(hub.admin().delete(&path).await.status, 204);
    let workspace = acme.id;
    let left = hub
        .app
        .db
        .read(move |conn| prichal_store::document_hook::find(conn, workspace))
        .await;
    assert!(left.expect("readable").is_none());
    receiver.next().await;
    acme.draft(&hub, "2").await;
    assert_eq!(receiver.waiting(), 0);
}

#[tokio::test]
#[ignore = "needs PostgreSQL and NATS; ./test has them"]
async fn what_changes_on_one_node_counts_on_the_other_from_the_next_call_on() {
    let (one, other) = (Receiver::good().await, Receiver::good().await);
    let ground = Ground::new(|_| ());
    let first = ground.start().await;
    let acme = company(&first, "acme", BIN).await;
    acme.subscribe(&one.url).await.ok();
    acme.draft(&first, "before").await;
    assert_eq!(
        told(&one.next().await).0,
        "before",
        "the first node has the hook"
    );
    acme.attempts(1).await;
    let second = ground.neighbour().start().await;
    let elsewhere = acme.at(&second);
    let rotated = elsewhere
        .caller
        .post(&format!("{SUBSCRIPTION}/rotate-secret"), json!({}))
        .await
        .ok();
    acme.draft(&first, "rotated").await;
    let call = one.next().await;
    let signed = call.header("x-idocs-signature").expect("a signature");
    assert!(signed.starts_with(&signature(&rotated.str("secret"), &call)));
    acme.attempts(2).await;

    elsewhere.subscribe(&other.url).await.ok();
    acme.draft(&first, "moved").await;
    let passing = async |receiver: &Receiver| {
        eventually("a call", || async {
            first.advance(Duration::from_millis(250));
            (receiver.waiting() > 0).then_some(())
        })
        .await;
        told(&receiver.next().await).0
    };
    assert_eq!(passing(&other).await, "moved");
    assert_eq!(one.waiting(), 0);
    acme.attempts(3).await;

    assert_eq!(elsewhere.caller.delete(SUBSCRIPTION).await.status, 204);
    acme.draft(&first, "gone").await;
    elsewhere.subscribe(&one.url).await.ok();
    acme.draft(&first, "new").await;
    assert_eq!(passing(&one).await, "new");
    assert_eq!(other.waiting(), 0);
}

/// What two companies hear of a document that goes from one to the other.
#[tokio::test]
async fn both_sides_hear_what_they_see() {
    let exchange = Exchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let (ours, theirs) = (Receiver::good().await, Receiver::good().await);
    for (company, receiver) in [(&us, &ours), (&them, &theirs)] {
        let events = company.api.at("/api/1/webhooks/document-events");
        let body = json!({ "subscriptionUrl": receiver.url });
        events.post(SUBSCRIPTION, body).await.ok();
    }
    let document = us.sent(&[&them.bin]).await;
    them.quick_sign(Side::Inbox, &document).await.ok();
    let recalled = us.sent(&[&them.bin]).await;
    let reason = json!({ "reason": "ошибка в сумме" });
    us.act(RECALL, &recalled, reason).await.ok();
    let heard = |calls: &[Call], of: &str| {
        let bodies = calls.iter().map(Call::json);
        bodies
            .filter(|body| body["documentId"] == of)
            .map(|body| {
                json!([
                    body["previousStatus"],
                    body["documentStatus"],
                    body["documentDirection"],
                    body["actor"]["companyBin"],
                    body["rejectReason"]
                ])
            })
            .collect::<Vec<_>>()
    };
    let (ours, theirs) = (ours.take(6).await, theirs.take(4).await);
    assert_eq!(
        heard(&ours, &document),
        [
            json!([null, "DRAFT", "Outbox", us.bin, null]),
            json!(["DRAFT", "SENT_BY_SENDER", "Outbox", us.bin, null]),
            json!(["SENT_BY_SENDER", "FINISHED", "Outbox", them.bin, null]),
        ]
    );
    assert_eq!(
        heard(&theirs, &document),
        [
            json!([null, "IN_NEW", "Inbox", us.bin, null]),
            json!(["IN_NEW", "FINISHED", "Inbox", them.bin, null]),
        ]
    );
    let recall = ["IN_NEW", "RECALLED_BY_SENDER", "Inbox", &us.bin];
    assert_eq!(
        heard(&theirs, &recalled)[1],
        json!([recall[0], recall[1], recall[2], recall[3], "ошибка в сумме"])
    );
    let path = format!("/api/1/webhooks/document-events/{document}");
    let history = them.api.get(&path).await.ok();
    assert_eq!(history.as_array().map(Vec::len), Some(2));
    assert_eq!(history[0]["documentStatus"], "IN_NEW");
}

/// A receiver that takes some events at the first try, some at the second or third: each document's
/// statuses come in their order, and none is left out.
#[tokio::test]
async fn an_unsteady_receiver_hears_everything_in_order() {
    let receiver = Receiver::start(|call| {
        let body = call.json();
        if body["attempt"].as_i64() <= body["sequence"].as_i64().map(|n| n % 3) {
            Reply::Status(500)
        } else {
            Reply::Good
        }
    })
    .await;
    let (hub, acme, _) = subscribed(&receiver).await;
    let mut documents = Vec::new();
    for n in 0..20 {
        documents.push(acme.draft(&hub, &n.to_string()).await);
    }
    for document in &documents {
        acme.send(&hub, document).await;
    }
    for document in &documents {
        let (before, now) = (Some(Status::SentBySender), Status::Finished);
        acme.says(&hub, document, before, now).await;
    }
    let delivered = eventually("60 deliveries", || async {
        hub.advance(Duration::from_secs(2));
        let path = format!("{SUBSCRIPTION}/deliveries?status=delivered&limit=1000");
        let listed = acme.caller.get(&path).await.ok();
        (listed["count"] == 60).then(|| listed["items"].as_array().expect("items").clone())
    })
    .await;
    assert_eq!(delivered.len(), 60);
    let feed = acme.caller.at("/api/v3/sync/external/events");
    let feed = feed.get("?limit=1000").await.ok();
    let items = feed["items"].as_array().expect("items");
    // The log of attempts is newest first.
    let order: Vec<&Value> = delivered
        .iter()
        .rev()
        .map(|attempt| &attempt["eventId"])
        .collect();
    for document in &documents {
        let of = |item: &&Value| item["documentId"] == json!(document.id);
        let events: Vec<usize> = items
            .iter()
            .filter(of)
            .map(|item| {
                let at = order.iter().position(|event| **event == item["eventId"]);
                at.expect("it was delivered")
            })
            .collect();
        assert_eq!(events.len(), 3);
        assert!(events.is_sorted(), "{events:?}");
    }
}
