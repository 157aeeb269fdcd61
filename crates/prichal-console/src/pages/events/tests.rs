use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    Language, Role,
    testing::{Fake, HOSTILE, check_hostile, snapshot},
};

const PAGE: &str = "/console/acme/events";
const LIST: &str = "GET /api/v1/acme/log";
const ONE: &str = "GET /api/v1/acme/log/7";
const CALLS: &str = "GET /api/v1/acme/deliveries";

const SOURCES: &str = "GET /api/v1/acme/webhooks?limit=1000";
const AUTHOR: &str = "01a21db0-c72b-774f-a9f8-513e18788f99";
const USER: &str = "GET /api/v1/acme/users/01a21db0-c72b-774f-a9f8-513e18788f99";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("an answer")
}

fn events() -> Value {
    json(include_str!("../../../tests/answers/events.json"))
}

/// The sources of all calls.
fn sources() -> Value {
    let calls = json(include_str!("../../../tests/answers/deliveries.json"));
    let calls = calls["items"].as_array().expect("calls").iter();
    let ids: BTreeSet<&str> = calls
        .map(|call| call["webHookId"].as_str().expect("an id"))
        .collect();
    let items: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
    json!({"count": items.len(), "items": items})
}

/// A log with events of all kinds. The event `7` is a change of an instance.
fn fake(role: Role) -> Fake {
    let names =
        json!({"items": [{"id": "01a21db0-c728-7217-8adf-b134cd7a1e37", "name": "demo.listener"}]});
    let change = events()["items"][3].clone();
    assert_eq!(change["changeData"]["type"], "patch");
    let fake = Fake::new(role)
        .answer(LIST, events())
        .answer(ONE, change)
        .answer(
            CALLS,
            json(include_str!("../../../tests/answers/deliveries.json")),
        )
        .answer("GET /api/v1/acme/integrations", names)
        .answer("POST /api/v1/acme/resends", json!({"id": "1"}))
        .answer(SOURCES, sources())
        .answer(
            USER,
            json!({"id": AUTHOR, "name": "Мария Ким", "login": "masha"}),
        );
    match role {
        Role::Integrator => fake.forbid(USER),
        Role::Employee => fake.forbid(CALLS),
        _ => fake,
    }
}

#[tokio::test]
async fn pages_are_as_they_were() {
    snapshot("events", PAGE, fake).await;
    snapshot("event", "/console/acme/events/7?done=resend", fake).await;
    let empty = |role| fake(role).answer(LIST, json!({"count": 0, "items": []}));
    snapshot("events-empty", PAGE, empty).await;
}

#[tokio::test]
async fn an_event_that_was_removed_is_told_in_a_sentence() {
    let refused = json!({ "status": "eventsRemoved", "message": "The event was removed." });
    let gone = move |role| fake(role).answer_with(ONE, 409, refused.clone());
    snapshot("event-gone", "/console/acme/events/7", gone).await;
}

#[tokio::test]
async fn the_address_is_the_filter() {
    let site = fake(Role::Admin).open();
    let path = format!("{PAGE}?entityType=deal&from=2026-11-27T10:00&before=9&unknown=1");
    let page = site.get(Language::En, &path).await;
    assert_eq!(
        site.sent()[0].line,
        "GET /api/v1/acme/log?entityType=deal&from=2026-11-27T05%3A00%3A00.000Z&limit=50&before=9"
    );
    let address = "/console/acme/events?entityType=deal&#38;from=2026-11-27T05%3A00%3A00.000Z&#38;";
    for link in ["before", "after"] {
        assert!(
            page.text.contains(&format!("{address}{link}=00000000-")),
            "{link}"
        );
    }
    assert!(
        !page.text.contains("<live-list"),
        "the past does not change"
    );
}

#[tokio::test]
async fn a_refused_filter_is_said_in_the_page() {
    let refused = json!({"title": "Bad Request", "detail": "The value 'x' is wrong."});
    let site = fake(Role::Admin).answer_with(LIST, 400, refused).open();
    let page = site
        .get(Language::En, "/console/acme/events?entityId=x")
        .await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("The value &#39;x&#39; is wrong."));
    assert!(page.text.contains(r#"name="entityId" value="x""#));
}

#[tokio::test]
async fn an_event_is_sent_again_to_one_or_all() {
    let site = fake(Role::Admin).open();
    let path = "/console/acme/events/7/resend";
    let page = site.post(Language::En, path, &[]).await;
    assert_eq!(page.location(), "/console/acme/events/7?done=resend");
    let id = events()["items"][3]["id"].clone();
    assert_eq!(site.last_change().body, json!({ "eventId": id }));
    let one = [("integrationId", ""), ("webHookId", "5")];
    site.post(Language::En, path, &one).await;
    assert_eq!(
        site.last_change().body,
        json!({ "eventId": id, "webHookId": "5" })
    );
}

#[tokio::test]
async fn authors_are_shown_by_their_names() {
    for (role, text) in [
        (Role::Admin, ">Мария Ким</a>".to_owned()),
        (Role::Employee, "Мария Ким".to_owned()),
        (Role::Integrator, format!("user {AUTHOR}")),
    ] {
        let mut one = events()["items"][3].clone();
        one["createInfo"]["createdByUserId"] = AUTHOR.into();
        let site = fake(role).answer(ONE, one).open();
        for path in [PAGE, "/console/acme/events/7"] {
            let page = site.get(Language::En, path).await;
            assert!(page.text.contains(&text), "{role:?} {path}");
        }
        let asked = site.sent();
        let asked = asked.iter().filter(|one| one.line == USER);
        assert_eq!(asked.count(), 2, "once for each page");
    }
    // One that was deleted is told by the id.
    let site = fake(Role::Admin)
        .answer_with(
            USER,
            409,
            json!({"status": "notFound", "message": "User not found"}),
        )
        .open();
    let page = site.get(Language::En, PAGE).await;
    assert!(page.text.contains(&format!("user {AUTHOR}")));
}

#[tokio::test]
async fn who_looks_only_sends_nothing() {
    for (role, count) in [(Role::Admin, 3), (Role::Viewer, 0), (Role::Employee, 0)] {
        let page = fake(role)
            .open()
            .get(Language::En, "/console/acme/events/7")
            .await;
        assert_eq!(
            page.text
                .matches("/events/00000000-0000-0002-a8b2-265e1c4cb741/resend")
                .count(),
            count,
            "{role:?}"
        );
    }
}

#[tokio::test]
async fn a_receiver_that_was_removed_gets_nothing_again() {
    let none = json!({"count": 0, "items": []});
    let site = fake(Role::Admin).answer(SOURCES, none).open();
    let page = site.get(Language::En, "/console/acme/events/7").await;
    assert!(page.text.contains("The receiver is gone: it was removed."));
    assert!(!page.text.contains(r#"name="webHookId""#));
}

#[tokio::test]
async fn texts_from_outside_stay_texts() {
    let mut list = events();
    list["items"][0]["eventType"] = HOSTILE.into();
    list["items"][0]["entity"] = HOSTILE.into();
    list["items"][1]["createInfo"]["createdWith"] = HOSTILE.into();
    let mut one = events()["items"][3].clone();
    one["changeData"]["old"] = json!({ HOSTILE: HOSTILE });
    one["entityIds"] = json!({ HOSTILE: HOSTILE });
    let site = fake(Role::Admin).answer(LIST, list).answer(ONE, one).open();
    for path in [PAGE, "/console/acme/events/7"] {
        check_hostile(&site.get(Language::En, path).await.text);
    }
}
