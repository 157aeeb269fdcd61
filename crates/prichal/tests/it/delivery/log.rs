//! The delivery log of a workspace: the calls of all sources with what was sent and what came back.

use std::time::Duration;

use serde_json::{Value, json};

use super::{hub_with_hook, signing_secrets};
use crate::harness::{
    hub::Caller,
    integration::{company, entity_hook},
    receiver::{Receiver, Reply},
};

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items").iter();
    items
        .map(|item| item["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// The ids of all calls that match, collected page by page.
async fn collect(space: &Caller, query: &str, limit: usize) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = format!("/deliveries?limit={limit}{cursor}&{query}");
        let page = space.get(&page).await.ok();
        let found = ids(&page.json);
        assert!(found.len() <= limit);
        all.extend(found);
        let Some(next) = page["next"].as_str() else {
            return all;
        };
        cursor = format!("&before={next}");
    }
}

#[tokio::test]
async fn calls_are_found_by_every_filter_and_paged() {
    let receiver = Receiver::start(|call| {
        if call.new_member("name") == "bad" {
            Reply::Status(503)
        } else {
            Reply::Good
        }
    })
    .await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    let deals = entity_hook("/deals", json!([{ "entityType": "deal" }]));
    let other = integration.add_hook(deals).await;
    let mut companies = Vec::new();
    for name in ["a", "b", "bad", "c", "d", "e"] {
        companies.push(company(&space, name).await);
    }
    let deal = space.post("/deals", json!({ "name": "d" })).await.ok();
    let all = integration.attempts(7).await;
    let bad = all
        .iter()
        .find(|attempt| attempt["status"] == "deferred")
        .expect("the failed one");
    let event = bad["eventId"].as_str().expect("an id");
    let listed = collect(&space, "", 1000).await;
    let expected: Vec<&str> = all
        .iter()
        .map(|item| item["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(listed, expected, "the lists agree");
    for limit in 1..=4 {
        assert_eq!(collect(&space, "", limit).await, listed, "pages of {limit}");
    }
    for (query, count) in [
        ("source=webhook".to_owned(), 7),
        ("source=documentHook".to_owned(), 0),
        ("source=channel".to_owned(), 0),
        (format!("integrationId={}", integration.id), 7),
        (format!("webHookId={hook}"), 6),
        (
            format!("webHookId={other}&integrationId={}", integration.id),
            1,
        ),
        ("status=deferred".to_owned(), 1),
        ("status=delivered".to_owned(), 6),
        ("status=exhausted".to_owned(), 0),
        (format!("eventId={event}"), 1),
        ("eventType=change".to_owned(), 7),
        ("eventType=link".to_owned(), 0),
        ("changeType=create".to_owned(), 7),
        ("changeType=delete".to_owned(), 0),
        ("entityType=deal".to_owned(), 1),
        ("entityType=company".to_owned(), 6),
        (format!("entityId={}", companies[1]), 1),
        (format!("entityId={}", deal.str("id")), 1),
        (format!("entityType=deal&entityId={}", companies[1]), 0),
        ("httpStatus=503".to_owned(), 1),
        ("httpStatus=5xx".to_owned(), 1),
        ("httpStatus=2xx".to_owned(), 6),
        ("httpStatus=none".to_owned(), 0),
        ("from=2020-01-01T00:00:00Z".to_owned(), 7),
        ("to=2020-01-01T00:00:00Z".to_owned(), 0),
        ("from=2100-01-01T00:00:00Z".to_owned(), 0),
        ("before=00000000-0000-0000-0000-000000000000".to_owned(), 0),
        ("before=ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned(), 7),
    ] {
        let found = collect(&space, &query, 2).await;
        assert_eq!(found.len(), count, "{query}");
        let as_listed: Vec<&String> = listed.iter().filter(|id| found.contains(id)).collect();
        assert_eq!(
            found.iter().collect::<Vec<_>>(),
            as_listed,
            "{query}: newest first"
        );
    }
    for field in [
        "source",
        "integrationId",
        "webHookId",
        "status",
        "eventId",
        "eventType",
        "changeType",
        "entityType",
        "entityId",
        "httpStatus",
        "from",
        "to",
        "before",
        "limit",
    ] {
        for value in ["x", "%00", "'%20OR%201=1--", "1e9"] {
            let refused = space.get(&format!("/deliveries?{field}={value}")).await;
            assert_eq!(refused.status, 400, "{field}={value}: {}", refused.text);
            let errors = refused["errors"].as_object();
            assert!(
                errors.is_some_and(|errors| errors.contains_key(field)),
                "{}",
                refused.text
            );
        }
    }
    // The log is the same after a restart.
    let hub = hub.restart().await;
    assert_eq!(collect(&hub.adopt(&space), "", 2).await, listed);
}

#[tokio::test]
async fn calls_are_found_by_a_text() {
    let receiver = Receiver::start(|call| match call.new_member("name").as_str() {
        Some("Ошибка") => Reply::Status(503),
        Some("wordy") => Reply::Body(b"Thank YOU, queued as order-17".to_vec()),
        _ => Reply::Good,
    })
    .await;
    let (_hub, space, integration, hook) = hub_with_hook(&receiver).await;
    for name in ["Рога и Копыта", "Ошибка", "wordy", "plain"] {
        company(&space, name).await;
    }
    integration.attempts(4).await;
    for (text, more, count) in [
        ("рога и копыта", String::new(), 1),
        ("  ОШИБКА ", String::new(), 1),
        ("ошибка", "status=delivered".to_owned(), 0),
        ("ошибка", "status=deferred&httpStatus=5xx".to_owned(), 1),
        ("thank you", String::new(), 1),
        (
            "ORDER-17",
            format!("webHookId={hook}&entityType=company"),
            1,
        ),
        ("order-17", "entityType=deal".to_owned(), 0),
        ("order-17", "to=2020-01-01T00:00:00Z".to_owned(), 0),
        ("sorry", String::new(), 1),
        ("503", "status=deferred".to_owned(), 1),
        ("\"changeType\":", String::new(), 0),
        ("\"entityIds\":", String::new(), 4),
        ("webhook-signature", String::new(), 0),
        ("%", String::new(), 0),
        ("nothing like this", String::new(), 0),
    ] {
        let text: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let query = format!("text={text}&{more}");
        for limit in [1, 50] {
            let found = collect(&space, &query, limit).await;
            assert_eq!(found.len(), count, "{query}");
        }
    }
    let page = space.get("/deliveries?limit=1").await.ok();
    assert!(page["searchedTo"].is_string(), "{}", page.text);
    let end = space.get("/deliveries?text=plain").await.ok();
    assert_eq!(end["count"], 1);
    assert!(end["searchedTo"].is_null(), "{}", end.text);

    let long = "я".repeat(200);
    space.get(&format!("/deliveries?text={long}")).await.ok();
    for text in ["%20%20", &format!("{long}x")] {
        let refused = space.get(&format!("/deliveries?text={text}")).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        let why = refused["errors"]["text"].to_string();
        assert!(why.contains("1 to 200 characters"), "{}", refused.text);
    }
    let refused = space.get("/dead-letters?text=sorry").await;
    assert_eq!(refused.status, 400, "{}", refused.text);
}

#[tokio::test]
async fn a_call_shows_what_was_sent_and_what_came_back() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let (hub, space, integration, hook) = hub_with_hook(&receiver).await;
    company(&space, "one").await;
    let call = receiver.next().await;
    integration.attempts(1).await;
    let listed = space.get("/deliveries").await.ok();
    assert!(
        listed["next"].is_null() && listed["count"] == 1,
        "{}",
        listed.text
    );
    let first = listed["items"][0]["id"].as_str().expect("an id").to_owned();
    let failed = space.get(&format!("/deliveries/{first}")).await.ok();
    assert_eq!(failed["webHookId"], hook.as_str());
    assert_eq!(
        (&failed["status"], &failed["httpStatus"]),
        (&json!("deferred"), &json!(500))
    );
    assert!(
        failed["error"]
            .as_str()
            .is_some_and(|error| error.contains("500")),
        "{}",
        failed.text
    );
    assert!(failed["nextAttemptAt"].is_string(), "{}", failed.text);
    assert_eq!(failed["sent"]["body"], call.body.as_str());
    let (id, at) = (call.header("webhook-id"), call.header("webhook-timestamp"));
    let signed = format!(
        "{}.{}.{}",
        id.expect("an id"),
        at.expect("a time"),
        call.body
    );
    assert_eq!(failed["sent"]["signedText"], signed.as_str());
    let sent = failed["sent"]["headers"].as_array().expect("headers");
    let header = |name: &str| {
        let found = sent.iter().find(|line| line["name"] == name);
        found
            .and_then(|line| line["value"].as_str())
            .map(str::to_owned)
    };
    assert_eq!(
        header("webhook-signature").as_deref(),
        call.header("webhook-signature")
    );
    let key = call.header("x-xcom-accesskey").expect("an access key");
    assert_eq!(header("x-xcom-accesskey").as_deref(), Some("***"));
    for secret in signing_secrets(&integration)
        .await
        .iter()
        .map(String::as_str)
        .chain([key])
    {
        assert!(!failed.text.contains(secret), "{}", failed.text);
    }
    let timings = &failed["timings"];
    for part in ["resolveMs", "connectMs", "firstByteMs"] {
        assert!(timings[part].is_number(), "{part}: {}", failed.text);
    }
    assert!(timings["tlsMs"].is_null());
    assert!(
        failed["received"]["headers"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    );

    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_secs(30));
    receiver.next().await;
    integration.attempts(2).await;
    let listed = space.get("/deliveries?status=delivered").await.ok();
    let second = listed["items"][0]["id"].as_str().expect("an id").to_owned();
    let delivered = space.get(&format!("/deliveries/{second}")).await.ok();
    assert_eq!(
        (&delivered["attempt"], &delivered["httpStatus"]),
        (&json!(2), &json!(200))
    );
    assert_eq!(delivered["sent"]["body"], call.body.as_str());
    assert!(delivered["nextAttemptAt"].is_null(), "{}", delivered.text);
    let failed = space.get(&format!("/deliveries/{first}")).await.ok();
    assert!(
        failed["nextAttemptAt"].is_null(),
        "it is settled: {}",
        failed.text
    );
}

#[tokio::test]
async fn only_administrators_and_the_integration_see_its_calls() {
    let receiver = Receiver::good().await;
    let (hub, space, integration, _) = hub_with_hook(&receiver).await;
    company(&space, "one").await;
    let all = integration.attempts(1).await;
    let id = all[0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/deliveries/{id}");

    let foreign = hub.workspace("other").await;
    assert_eq!(foreign.get(&path).await.status, 409);
    assert_eq!(foreign.get("/deliveries").await.ok()["count"], 0);
    let member = hub.token("acme", "member").await;
    for path in [&path, "/deliveries"] {
        assert_eq!(member.get(path).await.status, 403);
    }
    let key = integration.access_key().await;
    let own = space.access_key(&key);
    own.get(&path).await.ok();
    assert_eq!(own.get("/deliveries").await.ok()["count"], 1);
    let second =
        crate::harness::integration::Integration::install(&space, "second", &receiver.url).await;
    let key = second.access_key().await;
    let second = space.access_key(&key);
    assert_eq!(second.get(&path).await.status, 409);
    assert_eq!(second.get("/deliveries").await.ok()["count"], 0);
    let of = format!("/deliveries?integrationId={}", integration.id);
    assert_eq!(second.get(&of).await.status, 403);

    for id in ["x", "00000000-0000-0000-0000-00000000000g"] {
        assert_eq!(
            space.get(&format!("/deliveries/{id}")).await.status,
            400,
            "{id}"
        );
    }
    for id in [
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ] {
        assert_eq!(
            space.get(&format!("/deliveries/{id}")).await.status,
            409,
            "{id}"
        );
    }
}
