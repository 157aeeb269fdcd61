//! Calls in the browser: lists, cards, one call, statistics, and what users ask the exchange for.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    Language, Role,
    testing::{self, Fake, HOSTILE, check_hostile, check_page, snapshot},
};

const IVAN: &str = "01a21db7-9195-70c8-b3c4-e6388de73f95";
const MASHA: &str = "01a21db7-91c2-74da-a846-b7ac489d9e0d";
const COMPANY: &str = "01a21db7-91fe-749b-94ae-b10d4048048a";
const DEAL: &str = "01a21db7-925f-7374-a9fb-330b1754cdc6";
const CALL: &str = "01a21db7-949e-7205-9cb2-7969f05fb8d8";
const LIVE: &str = "01a21db7-9426-7020-aa36-4555b049bd73";
const FILE: &str = "01a21db7-96a5-70fc-9022-9d767c02b655";

fn event(leg: &str, second: u32, kind: &str, user: &str) -> Value {
    json!({
        "externalCallItemId": leg, "realtimeCallItemId": leg, "timestamp": format!("2026-11-27T15:50:{second:02}Z"),
        "type": kind, "from": {"type": "client"}, "to": {"type": "user", "userId": user},
    })
}

/// A call that was passed on, put on hold and recorded, as the API tells it.
fn answered() -> Value {
    json!({
        "id": CALL,
        "externalId": "Megafon/T18820",
        "externalCreatedAt": "2026-11-27T15:50:00.126084+00:00",
        "type": "call", "direction": "inbound", "status": "sealed",
        "links": {"companyIds": [COMPANY], "contactIds": [], "dealIds": [DEAL]},
        "data": {"call": {
            "clientPhone": "79997775533", "externalVatsPhone": "79229929292",
            "items": [
                {"id": "T-1", "from": {"type": "client"}, "to": {"type": "user", "userId": IVAN}, "recordings": [],
                 "startedAt": "2026-11-27T15:50:10Z", "finishedAt": "2026-11-27T15:50:41Z"},
                {"id": "T-2", "from": {"type": "client"}, "to": {"type": "user", "userId": MASHA},
                 "recordings": [{"fileId": FILE, "fileName": HOSTILE, "contentType": "audio/wav", "contentLength": 48_044}],
                 "startedAt": "2026-11-27T15:50:40Z", "finishedAt": "2026-11-27T15:50:59Z"},
            ],
            "events": [
                event("T-1", 2, "appeared", IVAN), event("T-1", 10, "connected", IVAN), event("T-1", 20, "paused", IVAN),
                event("T-1", 25, "connected", IVAN), event("T-2", 30, "appeared", MASHA), event("T-2", 40, "connected", MASHA),
                event("T-1", 41, "disconnected", IVAN), event("T-2", 59, "disconnected", MASHA),
            ],
        }},
        "facts": {"state": "ended", "missed": false, "answered": true, "waitMs": 8000, "talkMs": 45_000, "holdMs": 5000,
            "responsibleUserId": MASHA,
            "arrivals": [
                {"event": 0, "at": "2026-11-27T15:50:02.5Z"}, {"event": 2, "at": "2026-11-27T15:50:20.1Z"},
                {"event": 1, "at": "2026-11-27T15:50:21Z"},
            ]},
    })
}

fn live() -> Value {
    json!({
        "id": LIVE, "externalId": "Megafon/L1", "externalCreatedAt": "2026-11-27T15:59:00+00:00",
        "direction": "inbound", "status": "active",
        "links": {"companyIds": [COMPANY], "contactIds": [], "dealIds": [DEAL]},
        "data": {"call": {"clientPhone": "79997775533", "externalVatsPhone": "79229929292",
            "items": [{"id": "L-1", "from": {"type": "client"}, "to": {"type": "user", "userId": IVAN}, "recordings": [],
                "startedAt": "2026-11-27T15:59:10Z"}],
            "events": [event("L-1", 2, "appeared", IVAN), event("L-1", 10, "connected", IVAN)]}},
        "facts": {"state": "talking", "missed": false, "answered": true, "waitMs": 8000, "talkMs": 0, "holdMs": 0,
            "responsibleUserId": IVAN},
    })
}

fn missed() -> Value {
    json!({
        "id": "01a21db7-0000-7205-9cb2-7969f05fb8d8", "externalId": "Megafon/M1",
        "externalCreatedAt": "2026-11-27T14:00:00+00:00", "direction": "inbound", "status": "sealed", "links": {},
        "data": {"call": {"clientPhone": "", "externalVatsPhone": "", "items": [], "events": []}},
        "facts": {"state": "ended", "missed": true, "answered": false, "waitMs": 30_000, "talkMs": 0, "holdMs": 0,
            "calledBack": false},
    })
}

fn list(items: &[Value]) -> Value {
    json!({"count": items.len(), "items": items})
}

/// A server with three calls, two users, a company and a deal.
fn fake(role: Role) -> Fake {
    let user = |id: &str, name: &str| json!({"id": id, "name": name, "login": "x"});
    let of = |criteria: &str| {
        format!("GET /api/v1/acme/communications?{criteria}&include=facts&limit=12&cursor=start")
    };
    let mut all = list(&[live(), answered(), missed()]);
    all["next"] = "1_2".into();
    Fake::new(role)
        .answer("GET /api/v1/acme/communications", all)
        .answer(&of("status=active"), list(&[live()]))
        .answer(&of("calledBack=false"), list(&[missed()]))
        .answer(
            "GET /api/v1/acme/users",
            list(&[user(IVAN, "Петров Иван"), user(MASHA, HOSTILE)]),
        )
        .answer(
            &format!("GET /api/v1/acme/users/{IVAN}"),
            user(IVAN, "Петров Иван"),
        )
        .answer(
            &format!("GET /api/v1/acme/users/{MASHA}"),
            user(MASHA, HOSTILE),
        )
        .answer(
            &format!("GET /api/v1/acme/companies/{COMPANY}"),
            json!({"id": COMPANY, "name": HOSTILE}),
        )
        .answer(
            &format!("GET /api/v1/acme/deals/{DEAL}"),
            json!({"id": DEAL, "name": "Поставка копыт", "stageId": 1}),
        )
        .answer(
            &format!("GET /api/v1/acme/communications/{CALL}"),
            answered(),
        )
        .answer(&format!("GET /api/v1/acme/communications/{LIVE}"), live())
        .answer("GET /api/v1/acme/communications/statistics", statistics())
}

fn statistics() -> Value {
    json!({"count": 2, "items": [
        {"hour": "2026-11-27T10:00:00+00:00", "userId": MASHA, "line": HOSTILE, "count": 5, "active": 2, "inbound": 3, "outbound": 1,
         "internal": 1, "answered": 3, "missed": 1, "talkMs": 180_000, "holdMs": 0, "averageWaitMs": 4000},
        {"hour": "2026-11-26T10:00:00+00:00", "line": "", "count": 1, "inbound": 1, "outbound": 0, "internal": 0,
         "answered": 0, "missed": 1, "talkMs": 0, "holdMs": 0},
    ]})
}

#[tokio::test]
async fn the_list_is_as_it_was() {
    snapshot("calls", "/console/acme/calls", fake).await;
    snapshot("calls-empty", "/console/acme/calls", |role| {
        let none = json!({"count": 0, "items": []});
        Fake::new(role)
            .answer("GET /api/v1/acme/communications", none.clone())
            .answer("GET /api/v1/acme/users", none)
    })
    .await;
}

#[tokio::test]
async fn one_call_is_as_it_was() {
    for (name, id) in [("call", CALL), ("call-live", LIVE)] {
        snapshot(name, &format!("/console/acme/calls/{id}"), fake).await;
    }
}

#[tokio::test]
async fn statistics_are_as_they_were() {
    snapshot("calls-statistics", "/console/acme/calls/statistics", fake).await;
}

#[tokio::test]
async fn texts_from_outside_stay_texts() {
    let site = fake(Role::Admin).open();
    for path in ["calls", &format!("calls/{CALL}"), "calls/statistics"] {
        let page = site
            .get(Language::En, &format!("/console/acme/{path}"))
            .await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        check_page(&page.text);
        check_hostile(&page.text);
    }
}

#[tokio::test]
async fn criteria_become_those_of_the_api() {
    let site = fake(Role::Admin).open();
    let path = "/console/acme/calls?outcome=unanswered&direction=outbound&phone=8+701&from=2026-11-27T10:00&cursor=5_6";
    site.get(Language::En, path).await;
    let sent = site.sent();
    let list = sent.iter().find(|one| one.line.contains("communications"));
    assert_eq!(
        list.expect("a list").line,
        "GET /api/v1/acme/communications?direction=outbound&phone=8+701&from=2026-11-27T05%3A00%3A00.000Z\
         &answered=false&missed=false&status=sealed&include=facts&limit=50&cursor=5_6"
    );
}

/// The API shows an employee the own calls. The fake session belongs to no user.
#[tokio::test]
async fn the_api_selects_the_calls_of_an_employee() {
    let site = fake(Role::Employee).open();
    let page = site.get(Language::En, "/console/acme/calls").await;
    assert!(page.text.contains("Your sign-in belongs to no user"));
    let lists = site.sent().into_iter();
    let mut lists = lists.filter(|one| one.line.contains("/communications?"));
    assert!(lists.all(|one| !one.line.contains("userId")));
    let none = json!({"status": "notFound", "message": "Communication not found"});
    let call = format!("GET /api/v1/acme/communications/{CALL}");
    let site = fake(Role::Employee).answer_with(&call, 409, none).open();
    for below in ["", "/recording/1"] {
        let path = format!("/console/acme/calls/{CALL}{below}");
        let page = site.get(Language::En, &path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{below}");
    }
}

#[tokio::test]
async fn a_user_calls_and_hangs_up() {
    let dial = "POST /api/v1/acme/communications/call";
    let site = fake(Role::Admin).answer(dial, "\"OK\"".into()).open();
    let fields = [("clientPhone", " +7 701 111 22 33 "), ("fromUserId", IVAN)];
    let page = site
        .post(Language::En, "/console/acme/calls", &fields)
        .await;
    assert_eq!(page.location(), "/console/acme/calls?done=dial");
    assert_eq!(
        site.last_change().body,
        json!({"clientPhone": "+7 701 111 22 33", "fromUserId": IVAN})
    );

    let hang_up = format!("POST /api/v1/acme/communications/{LIVE}/hangup");
    let site = fake(Role::Admin).answer(&hang_up, "\"OK\"".into()).open();
    let here = format!("/console/acme/calls/{LIVE}");
    let fields = [("leg", "L-1"), ("userId", IVAN)];
    let page = site.post(Language::En, &here, &fields).await;
    assert_eq!(page.location(), format!("{here}?done=hangup"));
    assert_eq!(
        site.last_change().body,
        json!({"realtimeCallItemId": "L-1", "userId": IVAN})
    );
}

#[tokio::test]
async fn without_an_exchange_that_can_the_reader_learns_why() {
    let dial = "POST /api/v1/acme/communications/call";
    let no = json!({"status": "notSupported", "message": "Feature Call is not supported by any integration"});
    let site = fake(Role::Admin).answer_with(dial, 409, no).open();
    let fields = [("clientPhone", "8 701")];
    for (language, why) in [
        (Language::Ru, "ни одна интеграция этого не умеет"),
        (Language::Kk, "ешбір интеграция мұны істей алмайды"),
        (Language::En, "no integration can do that"),
    ] {
        let page = site.post(language, "/console/acme/calls", &fields).await;
        assert!(page.text.contains(why) && !page.text.contains("Feature Call"));
    }
}

#[tokio::test]
async fn refusals_of_the_exchange_are_shown() {
    let refusal = json!({"status": "integrationError", "message": format!("The integration did not take the call: {HOSTILE}")});
    let hang_up = format!("POST /api/v1/acme/communications/{LIVE}/hangup");
    let site = fake(Role::Admin)
        .answer_with(
            "POST /api/v1/acme/communications/call",
            409,
            refusal.clone(),
        )
        .answer_with(&hang_up, 409, refusal)
        .open();
    let fields = [("clientPhone", "8 701")];
    let page = site
        .post(Language::En, "/console/acme/calls", &fields)
        .await;
    assert!(
        page.text
            .contains("The call was not taken: The integration did not")
    );
    // The number stays in the form.
    assert!(page.text.contains("value=\"8 701\""));
    check_hostile(&page.text);
    let here = format!("/console/acme/calls/{LIVE}");
    let page = site.post(Language::En, &here, &[("leg", "L-1")]).await;
    assert!(
        page.text
            .contains("The exchange has not hung up: The integration")
    );
    check_hostile(&page.text);
}

#[tokio::test]
async fn only_recordings_of_the_call_are_passed_on() {
    let site = fake(Role::Admin)
        .answer(&format!("GET /api/v1/acme/files/{FILE}"), "sound".into())
        .open();
    let here = format!("/console/acme/calls/{CALL}/recording");
    let request = testing::request(http::Method::GET, Language::En, &format!("{here}/{FILE}"));
    let page = site.send(request).await;
    assert_eq!((page.status, &*page.text), (StatusCode::OK, "sound"));
    let other = site.get(Language::En, &format!("{here}/{CALL}")).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
    site.get(Language::En, &format!("{here}/{FILE}?download=true"))
        .await;
    let last = site.sent().pop().expect("a request");
    assert_eq!(
        last.line,
        format!("GET /api/v1/acme/files/{FILE}?download=true")
    );
}
