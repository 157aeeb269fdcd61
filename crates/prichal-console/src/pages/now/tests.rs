use serde_json::{Value, json};

use crate::{
    Language, Role,
    testing::{Fake, HOSTILE, check_hostile, snapshot},
};

const PAGE: &str = "/console/acme/now";
const SOURCES: &str = "GET /api/v1/acme/webhooks?state=true&limit=100";
const ALERTS: &str = "GET /api/v1/acme/alerts?state=open&limit=20";
const LETTERS: &str = "GET /api/v1/acme/dead-letters?limit=100";
const MISSED: &str =
    "GET /api/v1/acme/communications?missed=true&calledBack=false&limit=100&cursor=start";
const RUNS: &str = "GET /rest/v1/service/svcscript_runtimes?filter=%7B%22status%22%3A%22failed%22%7D&mask=id&limit=100";
const PENDING: &str = "GET /documents/v1/documents?folder=pending&limit=100";
const WAITING: &str = "GET /documents/v1/documents?folder=waiting&limit=100";
const CALLS: &str = "GET /api/v1/acme/deliveries?limit=15";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("an answer")
}

/// A workspace in which something is wrong.
fn fake(role: Role) -> Fake {
    let names =
        json!({"items": [{"id": "01a21db0-c728-7217-8adf-b134cd7a1e37", "name": "demo.listener"}]});
    let fake = Fake::new(role)
        .answer(
            SOURCES,
            json(include_str!("../../../tests/answers/webhooks.json")),
        )
        .answer(
            ALERTS,
            json(include_str!("../../../tests/answers/alerts.json")),
        )
        .answer(
            LETTERS,
            json!({"items": vec![json!({"id": "1"}); 100], "next": "1"}),
        )
        .answer(MISSED, json!({"count": 3, "items": [{}, {}, {}]}))
        .answer(RUNS, json!([{"id": "1"}, {"id": "2"}]))
        .answer(PENDING, json!({"items": [{}, {}, {}, {}], "next": null}))
        .answer(
            CALLS,
            json(include_str!("../../../tests/answers/deliveries.json")),
        )
        .answer("GET /api/v1/acme/integrations", names);
    match role {
        Role::Integrator => fake.forbid(ALERTS),
        Role::Employee => [SOURCES, ALERTS, LETTERS, CALLS]
            .into_iter()
            .fold(fake, Fake::forbid),
        _ => fake,
    }
}

/// A new workspace.
fn new(role: Role) -> Fake {
    [SOURCES, ALERTS, LETTERS, MISSED, PENDING, CALLS]
        .into_iter()
        .fold(fake(role), |fake, line| {
            fake.answer(line, json!({"count": 0, "items": []}))
        })
        .answer(RUNS, json!([]))
}

#[tokio::test]
async fn the_page_is_as_it_was() {
    snapshot("now", PAGE, fake).await;
    snapshot("now-empty", PAGE, new).await;
}

#[tokio::test]
async fn receivers_that_fail_come_first() {
    let site = fake(Role::Admin).open();
    let page = site.get(Language::En, PAGE).await;
    let places = [
        "my.connector",
        "old.connector",
        "busy.connector",
        "demo.listener",
        "erp",
    ]
    .map(|name| page.text.find(&format!("data-row>{name}</a>")).expect(name));
    assert!(places.is_sorted(), "{places:?}");
    assert!(page.text.contains("fails"));
    assert!(
        page.text
            .contains("events to come: 2400, the oldest is 3:07 old")
    );
    assert!(
        page.text
            .contains("Events that were given up after all attempts: 100+.")
    );
    assert!(
        page.text
            .contains("A receiver is switched off and gets no events: old.connector.")
    );
}

#[tokio::test]
async fn lists_of_other_sections_are_not_asked_for() {
    let site = fake(Role::Integrator).open();
    let page = site.get(Language::En, PAGE).await;
    assert_eq!(page.status, 200);
    for list in ["communications", "svcscript_runtimes", "/documents/"] {
        let sent = site.sent();
        assert!(sent.iter().all(|one| !one.line.contains(list)), "{list}");
    }
}

#[tokio::test]
async fn documents_of_the_session_s_user_are_counted_apart() {
    let found =
        |count: usize, next: Option<&str>| json!({"items": vec![json!({}); count], "next": next});
    let site = fake(Role::Admin)
        .with_user()
        .answer(WAITING, found(2, Some("0.1")))
        .answer(PENDING, found(5, None))
        .open();
    let page = site.get(Language::En, PAGE).await;
    for text in [
        "Documents that wait for you: 2+.",
        "documents?folder=waiting",
        "Documents that wait for a signature or an approval in the company: 5.",
        "documents?folder=pending",
    ] {
        assert!(page.text.contains(text), "{text}");
    }
    // A search that has read all it may without finding anything tells nothing.
    let site = fake(Role::Admin)
        .with_user()
        .answer(WAITING, found(0, Some("0.1")))
        .open();
    let page = site.get(Language::En, PAGE).await;
    assert!(!page.text.contains("Documents that wait for you"));
}

#[tokio::test]
async fn a_failure_of_the_api_is_one_of_the_page() {
    let site = fake(Role::Admin)
        .answer_with(SOURCES, 503, json!({}))
        .open();
    assert_eq!(site.get(Language::En, PAGE).await.status, 503);
}

#[tokio::test]
async fn texts_from_outside_stay_texts() {
    let mut sources = json(include_str!("../../../tests/answers/webhooks.json"));
    let mut alerts = json(include_str!("../../../tests/answers/alerts.json"));
    for member in ["name", "url"] {
        sources["items"][1][member] = HOSTILE.into();
    }
    sources["items"][1]["state"]["lastError"] = HOSTILE.into();
    alerts["items"][0]["message"] = HOSTILE.into();
    let site = fake(Role::Admin)
        .answer(SOURCES, sources)
        .answer(ALERTS, alerts)
        .open();
    check_hostile(&site.get(Language::En, PAGE).await.text);
}
