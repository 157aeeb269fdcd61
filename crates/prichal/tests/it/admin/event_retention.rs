//! The time for which events are kept, and what keeps an event longer.

use std::time::Duration;

use prichal_core::retry::Schedule;
use serde_json::{Value, json};

use crate::harness::{
    document_subscriber::{BIN, company as subscriber, status_event},
    event_stream::EventStream,
    hub::{Caller, Hub, eventually},
    integration::{Integration, company, entity_hook},
    receiver::{Receiver, Reply},
};

const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);
const ZERO: &str = "00000000-0000-0000-0000-000000000000";

async fn hub_with(event_ttl: Duration) -> Hub {
    Hub::with(move |config| config.event_ttl = Some(event_ttl)).await
}

/// A page of the feed.
async fn feed(space: &Caller, query: &str) -> Value {
    space
        .get(&format!("/events?limit=1000{query}"))
        .await
        .ok()
        .json
}

fn name_of(event: &Value) -> String {
    let name = &event["changeData"]["new"]["name"];
    name.as_str().unwrap_or_default().to_owned()
}

fn names(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(name_of).collect()
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().expect(member).to_owned()
}

/// Makes a company, and returns the offset of its event.
async fn event(space: &Caller, name: &str) -> String {
    company(space, name).await;
    text(&feed(space, "").await, "lastOffset")
}

/// Waits until the feed begins with the company of this name.
async fn begins_with(space: &Caller, name: &str) {
    eventually(&format!("the feed begins with {name}"), || async {
        let page = feed(space, "").await;
        (names(&page).first().map(String::as_str) == Some(name)).then_some(())
    })
    .await;
}

async fn expect_removed(space: &Caller, path: &str) -> String {
    let answer = space.get(path).await;
    assert_eq!(
        (answer.status, &answer["status"]),
        (409, &json!("eventsRemoved")),
        "{path}: {}",
        answer.text
    );
    answer.str("message")
}

async fn put(caller: &Caller, path: &str, body: Value) -> Value {
    caller.put(path, body).await.ok().json
}

#[tokio::test]
async fn old_events_go_and_readers_are_told() {
    let hub = hub_with(10 * DAY).await;
    let space = hub.workspace("acme").await;
    let first = event(&space, "a").await;
    let second = event(&space, "b").await;
    let usage = async || {
        let found = hub.admin().get("/admin/v1/workspaces/acme/usage").await;
        found.ok()["events"]["used"].as_i64().expect("bytes")
    };
    hub.advance(6 * DAY);
    let third = event(&space, "c").await;
    assert_eq!(names(&feed(&space, "").await), ["a", "b", "c"]);
    let before = usage().await;
    hub.advance(5 * DAY);
    begins_with(&space, "c").await;

    let bytes = usage().await;
    assert!(bytes > 0 && bytes < before / 2, "{bytes} of {before}");
    for query in ["", &format!("&offset={ZERO}"), &format!("&offset={second}")] {
        let page = feed(&space, query).await;
        assert_eq!(names(&page), ["c"], "{query}");
        let offsets = (text(&page, "firstOffset"), text(&page, "lastOffset"));
        assert_eq!(offsets, (third.clone(), third.clone()), "{query}");
    }
    // A reader that has not seen all that is gone is told from where it can go on.
    let why = expect_removed(&space, &format!("/events?offset={first}")).await;
    assert!(why.contains(&second) && why.contains(&first), "{why}");
    expect_removed(&space, &format!("/events?eventTypes=*&offset={first}")).await;

    for query in ["", "?from=2000-01-01T00:00:00Z", &format!("?after={first}")] {
        let page = space.get(&format!("/log{query}")).await.ok().json;
        assert_eq!(names(&page), ["c"], "{query}");
        assert!(page.get("next").is_none(), "{query}: {page}");
    }
    for offset in [&first, &second] {
        expect_removed(&space, &format!("/log/{offset}")).await;
    }
    assert_eq!(space.get(&format!("/log/{third}")).await.ok().status, 200);
    assert_eq!(
        space.get(&format!("/log/{ZERO}")).await["status"],
        "notFound"
    );

    let path = format!("/stream?topics=events&lastEventId={first}");
    let mut stream = EventStream::open(&space, &path).await;
    let missed = stream.next().await;
    let expected = json!({ "topic": "events", "count": 1 });
    assert_eq!((missed.name.as_str(), &missed.data), ("missed", &expected));
    assert_eq!(name_of(&stream.next().await.data), "c");
    drop(stream);

    // The numbers go on where they were, also after a restart.
    hub.advance(10 * DAY);
    eventually("nothing is left", || async {
        (feed(&space, "").await["count"] == 0).then_some(())
    })
    .await;
    let hub = hub.restart().await;
    let space = hub.adopt(&space);
    let page = feed(&space, &format!("&offset={third}")).await;
    assert_eq!(
        (&page["count"], &page["lastOffset"]),
        (&json!(0), &json!(third))
    );
    event(&space, "d").await;
    assert_eq!(names(&feed(&space, "").await), ["d"]);
    assert_eq!(
        names(&feed(&space, &format!("&offset={third}")).await),
        ["d"]
    );
    let page = space.get("/log").await.ok().json;
    assert_eq!(names(&page), ["d"]);
}

#[tokio::test]
async fn each_workspace_has_its_own_time() {
    let hub = Hub::start().await;
    let path = |name: &str| format!("/admin/v1/workspaces/{name}/retention");
    let [usual, short, own] = [
        hub.workspace("usual").await,
        hub.workspace("short").await,
        hub.workspace("own").await,
    ];
    let shown = usual.get("/retention").await.ok();
    let for_ever = json!({ "days": null, "allowedDays": null, "ownDays": null });
    assert_eq!(shown["events"], for_ever);
    let shown = put(&hub.admin(), &path("short"), json!({ "eventsDays": 5 })).await;
    let expected = json!({ "days": 5.0, "allowedDays": 5.0, "ownDays": null });
    assert_eq!(shown["events"], expected);
    let shown = put(&own, "/retention", json!({ "eventsDays": 10 })).await;
    let expected = json!({ "days": 10.0, "allowedDays": null, "ownDays": 10 });
    assert_eq!(shown["events"], expected);
    let longer = json!({ "eventsDays": 6 });
    assert_eq!(short.put("/retention", longer).await.status, 400);

    for space in [&usual, &short, &own] {
        company(space, "old").await;
    }
    hub.advance(6 * DAY);
    for space in [&usual, &short, &own] {
        company(space, "new").await;
    }
    begins_with(&short, "new").await;
    begins_with(&own, "old").await;
    hub.advance(5 * DAY);
    begins_with(&own, "new").await;
    begins_with(&usual, "old").await;
    hub.advance(1000 * DAY);
    eventually("all others are gone", || async {
        let counts = (feed(&short, "").await, feed(&own, "").await);
        (counts.0["count"] == 0 && counts.1["count"] == 0).then_some(())
    })
    .await;
    assert_eq!(names(&feed(&usual, "").await), ["old", "new"]);
}

#[tokio::test]
async fn a_webhook_that_lags_keeps_its_events() {
    let receiver = Receiver::good().await;
    let hub = hub_with(DAY).await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let mut hook = entity_hook("/slow", json!([{ "entityType": "company" }]));
    hook["settings"] = json!({ "rateLimit": { "count": 1, "per": "minute" } });
    integration.add_hook(hook).await;
    // Its cursor passes what it does not want only now and then.
    let contacts = json!([{ "entityType": "contact" }]);
    integration.add_hook(entity_hook("/idle", contacts)).await;
    let all = ["a", "b", "c", "d", "e"];
    for name in all {
        company(&space, name).await;
    }
    let first = receiver.next().await;
    assert_eq!(first.new_member("name"), "a");
    integration.attempts(1).await;
    hub.advance(3 * DAY);
    begins_with_more_than(&space, &integration, 1).await;
    let hub = hub.restart().await;
    let space = hub.adopt(&space);
    let rest = hub.advance_until(HOUR, receiver.take(4)).await;
    let mut called: Vec<_> = rest.iter().map(|call| call.new_member("name")).collect();
    called.sort_by_key(ToString::to_string);
    assert_eq!(called, all[1..]);
    let gone = eventually("all have gone", || async {
        (feed(&space, "").await["count"] == 0).then_some(())
    });
    hub.advance_until(HOUR, gone).await;
}

/// Waits until events were removed up to the cursor of a webhook that has made `calls` calls.
async fn begins_with_more_than(space: &Caller, integration: &Integration, calls: usize) {
    eventually("the feed begins after what was delivered", || async {
        let delivered = integration.attempts(calls).await.len();
        let page = feed(space, "").await;
        let left = names(&page);
        assert!(left.len() + delivered >= 5, "{left:?} after {delivered}");
        let companies = left.iter().all(|name| name.len() == 1);
        (companies && left.len() + delivered <= 6).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_webhook_that_is_off_keeps_what_it_has_deferred_alone() {
    let receiver = Receiver::start(|_| Reply::Status(503)).await;
    let hub = Hub::with(|config| {
        config.event_ttl = Some(DAY);
        config.retry_schedule = Schedule(vec![9 * DAY]);
    })
    .await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    let deferred = event(&space, "deferred").await;
    receiver.next().await;
    integration.attempts(1).await;
    let off =
        json!([{ "op": "replace", "path": format!("/webHooks/{hook}/disabled"), "value": true }]);
    integration.patch(off).await.ok();
    let missed = event(&space, "missed").await;
    hub.advance(2 * DAY);
    event(&space, "new").await;
    begins_with(&space, "new").await;
    expect_removed(&space, &format!("/log/{missed}")).await;
    let kept = space.get(&format!("/log/{deferred}")).await.ok().json;
    assert_eq!(name_of(&kept), "deferred");
    // The feed has a gap there, so it does not begin with it.
    assert_eq!(names(&feed(&space, "").await), ["new"]);

    let on =
        json!([{ "op": "replace", "path": format!("/webHooks/{hook}/disabled"), "value": false }]);
    integration.patch(on).await.ok();
    receiver.answer(|_| Reply::Good);
    let call = hub.advance_until(DAY, receiver.next()).await;
    assert_eq!(call.new_member("name"), "deferred");
    let gone = eventually("the event has gone", || async {
        let answer = space.get(&format!("/log/{deferred}")).await;
        (answer.status == 409).then_some(())
    });
    hub.advance_until(HOUR, gone).await;
    expect_removed(&space, &format!("/log/{deferred}")).await;
}

#[tokio::test]
async fn dead_letters_keep_their_events_and_other_calls_do_not() {
    let receiver = Receiver::start(|call| match call.new_member("name").as_str() {
        Some("dead") => Reply::Status(503),
        _ => Reply::Good,
    })
    .await;
    let hub = Hub::with(|config| {
        config.event_ttl = Some(DAY);
        config.retry_schedule = Schedule(Vec::new());
    })
    .await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    let told = event(&space, "told").await;
    let dead = event(&space, "dead").await;
    receiver.take(2).await;
    integration.attempts(2).await;
    hub.advance(2 * DAY);
    event(&space, "new").await;
    begins_with(&space, "new").await;
    receiver.next().await;
    integration.attempts(3).await;
    expect_removed(&space, &format!("/log/{told}")).await;
    assert_eq!(space.get(&format!("/log/{dead}")).await.ok().status, 200);

    // The call stays in the delivery log, without the text of its event, and cannot be repeated.
    let calls = space.get("/deliveries?status=delivered").await.ok().json;
    let calls = calls["items"].as_array().expect("items").iter();
    let mut call = calls.filter(|call| call["offset"] == told.as_str());
    let id = text(call.next().expect("the call"), "id");
    let detail = space.get(&format!("/deliveries/{id}")).await.ok();
    assert_eq!(detail["sent"].get("body"), None, "{}", detail.text);
    let again = space.post("/resends", json!({ "deliveryIds": [id] })).await;
    assert_eq!(again.status, 400, "{}", again.text);
    assert!(again.text.contains("was removed"), "{}", again.text);
    let preview = json!({ "to": "2100-01-01T00:00:00Z", "webHookId": hook, "preview": true });
    assert_eq!(space.post("/resends", preview).await.ok()["count"], 2);
    let path = format!("{}/webHooks/{hook}/replay", integration.instance());
    let range = |from: &str| json!({ "fromOffset": from });
    let refused = space.post(&path, range(&told)).await;
    assert_eq!(refused["status"], "eventsRemoved", "{}", refused.text);
    let begun = space.post(&path, range(ZERO)).await;
    assert_eq!(
        (begun.status, &begun["count"]),
        (202, &json!(1)),
        "{}",
        begun.text
    );

    let again = receiver.next().await;
    assert_eq!(again.new_member("name"), "new");
    integration.attempts(4).await;

    receiver.answer(|_| Reply::Good);
    let letters =
        json!({ "deadLetters": true, "integrationId": integration.id, "webHookId": hook });
    assert_eq!(space.post("/resends", letters).await.status, 202);
    let call = hub
        .advance_until(Duration::from_secs(1), receiver.next())
        .await;
    assert_eq!(call.new_member("name"), "dead");
    let gone = eventually("the event has gone", || async {
        let letters = space.get("/dead-letters").await.ok();
        let answer = space.get(&format!("/log/{dead}")).await;
        (letters["count"] == 0 && answer.status == 409).then_some(())
    });
    hub.advance_until(HOUR, gone).await;
}

#[tokio::test]
async fn ids_of_published_events_are_remembered_as_long_as_the_events() {
    let hub = hub_with(10 * DAY).await;
    let space = hub.workspace("acme").await;
    let versions = json!([{ "version": 1, "schema": { "type": "object" } }]);
    let kind = json!({ "name": "order.created", "versions": versions });
    space.post("/event-types", kind).await.ok();
    let event = json!({ "id": "0190a6a5-0d4c-7c61-9c55-0a2b3c4d5e6f", "type": "order.created", "data": { "n": 1 } });
    let count = async || feed(&space, "&eventTypes=*").await["count"].as_i64();
    for _ in 0..2 {
        space.post("/events", event.clone()).await.ok();
        assert_eq!(count().await, Some(1));
    }
    hub.advance(9 * DAY);
    let other = json!({ "id": event["id"], "type": "order.created", "data": { "n": 2 } });
    assert_eq!(space.post("/events", other.clone()).await.status, 409);
    hub.advance(2 * DAY);
    eventually("the event has gone", || async {
        (count().await == Some(0)).then_some(())
    })
    .await;
    space.post("/events", other).await.ok();
    assert_eq!(count().await, Some(1));
}

#[tokio::test]
async fn the_history_of_a_document_stays_and_its_webhook_misses_nothing() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let hub = Hub::with(|config| {
        config.event_ttl = Some(DAY);
        // The first failure is the last.
        config.document_retry_schedule = Schedule(Vec::new());
    })
    .await;
    let acme = subscriber(&hub, "acme", BIN).await;
    let space = acme.caller.at("/api/v1/acme");
    acme.subscribe(&receiver.url).await.ok();
    for day in 0..5 {
        acme.draft(&hub, "failed").await;
        receiver.next().await;
        acme.attempts(day + 1).await;
        hub.advance(DAY);
    }
    eventually("the pause", || async {
        acme.draft(&hub, "failed").await;
        (acme.subscription().await["status"] == "paused").then_some(())
    })
    .await;
    let document = acme.draft(&hub, "while paused").await;
    for name in ["a", "b", "c"] {
        company(&space, name).await;
    }
    acme.send(&hub, &document).await;
    company(&space, "d").await;
    hub.advance(3 * DAY);
    event(&space, "new").await;
    begins_with(&space, "new").await;
    let hub = hub.restart().await;
    let (acme, space) = (acme.at(&hub), hub.adopt(&space));
    let history = acme.caller.get(&format!("/{}", document.id)).await.ok();
    assert_eq!(history.json.as_array().expect("a list").len(), 2);
    let page = acme
        .caller
        .at("/api/v3/sync/external/events?after=")
        .get("")
        .await
        .ok();
    let found = page["items"].as_array().expect("items");
    let of_document = found
        .iter()
        .filter(|one| one["documentId"] == document.id.to_string());
    assert_eq!(of_document.count(), 2);

    while receiver.waiting() > 0 {
        receiver.next().await;
    }
    receiver.answer(|_| Reply::Good);
    acme.subscribe(&receiver.url).await.ok();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let (number, status) = status_event(&receiver.next().await);
        if number == "while paused" {
            seen.push(status);
        }
    }
    assert_eq!(seen, ["DRAFT", "SENT_BY_SENDER"]);
    // The end of the log is reached behind the gap.
    let document = acme.draft(&hub, "afterwards").await;
    loop {
        let (number, _) = status_event(&receiver.next().await);
        if number == "afterwards" {
            break;
        }
    }
    acme.send(&hub, &document).await;
    receiver.next().await;
    assert_eq!(
        names(&feed(&space, "").await).first().map(String::as_str),
        Some("new")
    );
}

#[tokio::test]
async fn a_removal_goes_on_after_a_kill() {
    let receiver = Receiver::good().await;
    let hub = hub_with(DAY).await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let deals = json!([{ "entityType": "deal" }]);
    integration.add_hook(entity_hook("/idle", deals)).await;
    for page in 0..15 {
        let item = |n: i32| json!({ "name": format!("{:04}", page * 100 + n) });
        let items: Vec<_> = (0..100).map(item).collect();
        space
            .post("/companies/create", json!({ "items": items }))
            .await
            .ok();
    }
    hub.advance(2 * DAY);
    let (mut hub, mut space, mut kills) = (hub, space, 0);
    let mut last = 0;
    loop {
        let page = feed(&space, "").await;
        let found = names(&page);
        let numbers: Vec<i64> = found.iter().filter_map(|name| name.parse().ok()).collect();
        // The kept events have no gap, and none comes back.
        let first = numbers.first().copied().unwrap_or(1500);
        assert!(first >= last, "{first} after {last}");
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{numbers:?}"
        );
        if first > last && kills < 3 {
            let installation = hub.installation.clone();
            hub.kill();
            hub = installation.start().await;
            space = hub.adopt(&space);
            kills += 1;
        }
        last = first;
        if page["count"] == 0 {
            break;
        }
    }
    // Events that the server still needs are removed after the others.
    eventually("all events are removed", || async {
        let admin = hub.admin();
        let used = admin.get("/admin/v1/workspaces/acme/usage").await.ok();
        (used["events"]["used"] == 0).then_some(())
    })
    .await;
    // The webhook, whose stored cursor was far behind, is where it was.
    space.post("/deals", json!({ "name": "deal" })).await.ok();
    assert_eq!(receiver.next().await.new_member("name"), "deal");
}
