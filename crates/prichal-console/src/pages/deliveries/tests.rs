use serde_json::{Value, json};

use crate::{
    Language, Role,
    testing::{Fake, HOSTILE, check_hostile, snapshot},
};

const LIST: &str = "GET /api/v1/acme/deliveries";
const ONE: &str = "GET /api/v1/acme/deliveries/1";
const PAGE: &str = "/console/acme/deliveries";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("an answer")
}

const RESEND: &str = "GET /api/v1/acme/resends/9";

fn resend(state: &str, selected: i64, waiting: i64) -> Value {
    json!({"id": "9", "state": state, "rate": 50, "selected": selected, "waiting": waiting,
        "createdAt": "2026-11-27T15:50:00+00:00"})
}

/// The answer to a preview and to the begin of a resend.
fn resend_with_count() -> Value {
    let mut answer = resend("selecting", 0, 0);
    answer["count"] = json!(16);
    answer["isComplete"] = json!(true);
    answer
}

/// The API of a workspace with calls of every kind.
fn fake(role: Role) -> Fake {
    let names =
        json!({"items": [{"id": "01a21db0-c728-7217-8adf-b134cd7a1e37", "name": "demo.listener"}]});
    let fake = Fake::new(role)
        .answer(
            LIST,
            json(include_str!("../../../tests/answers/deliveries.json")),
        )
        .answer(
            ONE,
            json(include_str!("../../../tests/answers/delivery.json")),
        )
        .answer("GET /api/v1/acme/integrations", names)
        .answer(
            "GET /api/v1/acme/webhooks/01a21db0-c72a-7725-a1dc-7040a5168d7c",
            json!({"url": "http://127.0.0.1:33807/callbacks"}),
        )
        .answer("POST /api/v1/acme/resends", resend_with_count())
        .answer(
            "POST /api/v1/acme/deliveries/1/resend",
            json!({"selected": 1}),
        );
    match role {
        Role::Employee => fake
            .forbid(LIST)
            .forbid(ONE)
            .forbid("POST /api/v1/acme/resends"),
        Role::Integrator => fake.forbid("GET /api/v1/acme/integrations"),
        _ => fake,
    }
}

#[tokio::test]
async fn pages_are_as_they_were() {
    snapshot("deliveries", PAGE, fake).await;
    let filtered =
        "/console/acme/deliveries?status=deferred&eventId=5&from=2026-11-27T10:00&before=9";
    snapshot("deliveries-filtered", filtered, fake).await;
    let searched = |role| {
        let mut part = json(include_str!("../../../tests/answers/deliveries.json"));
        part["next"] = "01a21db0-c72a-7725-a1dc-7040a5168d00".into();
        part["searchedTo"] = "2026-11-27T09:30:00Z".into();
        fake(role).answer(LIST, part)
    };
    let path = "/console/acme/deliveries?text=timed+out&status=exhausted";
    snapshot("deliveries-searched", path, searched).await;
    let empty = |role| fake(role).answer(LIST, json!({"items": []}));
    snapshot("deliveries-empty", PAGE, empty).await;
    snapshot("delivery", "/console/acme/deliveries/1?done=resend", fake).await;
    snapshot(
        "deliveries-resend",
        "/console/acme/deliveries/resend?status=exhausted",
        fake,
    )
    .await;
}

#[tokio::test]
async fn the_address_is_the_filter() {
    let site = fake(Role::Admin).open();
    let path = "/console/acme/deliveries?text=%D0%BD%D0%B5%D1%82+1&httpStatus=5xx&from=2026-11-27T10:00&unknown=1&before=9";
    site.get(Language::En, path).await;
    assert_eq!(
        site.sent()[0].line,
        "GET /api/v1/acme/deliveries?httpStatus=5xx&text=%D0%BD%D0%B5%D1%82+1&from=2026-11-27T05%3A00%3A00.000Z&limit=50&before=9"
    );
}

#[tokio::test]
async fn a_refused_filter_is_said_in_the_page() {
    let refused = json!({"title": "Bad Request", "detail": "Invalid httpStatus value 7."});
    let site = fake(Role::Admin).answer_with(LIST, 400, refused).open();
    let page = site
        .get(Language::En, "/console/acme/deliveries?httpStatus=7")
        .await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("Invalid httpStatus value 7."));
    assert!(page.text.contains(r#"name="httpStatus" value="7""#));
}

#[tokio::test]
async fn a_call_is_sent_again() {
    let site = fake(Role::Admin).open();
    let page = site
        .post(Language::En, "/console/acme/deliveries/1/resend", &[])
        .await;
    assert_eq!(page.status, 303);
    assert_eq!(page.location(), "/console/acme/deliveries/1?done=resend");
    assert_eq!(
        site.last_change().line,
        "POST /api/v1/acme/deliveries/1/resend"
    );
    let fields = [("status", "exhausted"), ("entityType", "")];
    let page = site
        .post(Language::En, "/console/acme/deliveries/resend", &fields)
        .await;
    assert_eq!(
        page.location(),
        "/console/acme/deliveries/resends/9?status=exhausted&done=resend"
    );
    assert_eq!(site.last_change().body, json!({"status": "exhausted"}));
}

#[tokio::test]
async fn the_progress_of_a_resend_is_shown_until_it_is_over() {
    let here = format!("{PAGE}/resends/9?status=exhausted");
    snapshot("deliveries-progress", &here, |role| {
        fake(role).answer(RESEND, resend("sending", 16, 4))
    })
    .await;
    for (state, waiting, word) in [
        ("selecting", 3, "events are being selected"),
        ("done", 0, "everything was sent"),
        ("cancelled", 4, "cancelled"),
    ] {
        let site = fake(Role::Admin).answer(RESEND, resend(state, 16, waiting));
        let page = site.open().get(Language::En, &here).await;
        let is_over = state != "selecting";
        assert!(page.text.contains(word), "{state}");
        assert_eq!(page.text.contains("data-over"), is_over, "{state}");
        assert_eq!(page.text.contains("Cancel the resend"), !is_over, "{state}");
        assert_eq!(page.text.contains("<live-list"), !is_over, "{state}");
    }
    let site = fake(Role::Admin)
        .answer(
            "POST /api/v1/acme/resends/9/cancel",
            resend("cancelled", 16, 4),
        )
        .open();
    let page = site.post(Language::En, &here, &[]).await;
    assert_eq!(
        site.last_change().line,
        "POST /api/v1/acme/resends/9/cancel"
    );
    assert_eq!(page.location(), format!("{here}&done=cancel"));
}

#[tokio::test]
async fn a_call_of_the_list_asks_before_it_is_sent_again() {
    let site = fake(Role::Admin).open();
    let list = site
        .get(Language::En, &format!("{PAGE}?status=exhausted"))
        .await;
    let one =
        json(include_str!("../../../tests/answers/deliveries.json"))["items"][0]["id"].clone();
    let one = one.as_str().expect("an id");
    let asks = format!("{PAGE}/{one}/resend?status=exhausted");
    assert!(
        list.text.contains(&format!(r#"data-resend="{asks}""#)),
        "{asks}"
    );
    let page = site
        .get(Language::En, &format!("{PAGE}/1/resend?status=exhausted"))
        .await;
    let sent = site.last_change();
    let id = json(include_str!("../../../tests/answers/delivery.json"))["id"].clone();
    assert_eq!(sent.body, json!({ "deliveryIds": [id], "preview": true }));
    for text in [
        format!(r#"action="{PAGE}/1/resend""#),
        "Events to be sent again: 16.".to_owned(),
        format!(r#"href="{PAGE}?status=exhausted""#),
    ] {
        assert!(page.text.contains(&text), "{text}: {}", page.main());
    }
    for role in [Role::Viewer, Role::Employee] {
        let site = fake(role).open();
        let page = site.get(Language::En, &format!("{PAGE}/1/resend")).await;
        assert_eq!(page.status, 404, "{role:?}");
        let list = site.get(Language::En, PAGE).await;
        assert!(!list.text.contains("data-resend"), "{role:?}");
    }
}

#[tokio::test]
async fn a_call_that_cannot_be_repeated_says_why() {
    let hook = "GET /api/v1/acme/webhooks/01a21db0-c72a-7725-a1dc-7040a5168d7c";
    let gone = json!({"status": "notFound", "message": "WebHook not found"});
    let mut message = json(include_str!("../../../tests/answers/delivery.json"));
    let mut removed = message.clone();
    message["source"] = "channel".into();
    message["status"] = "delivered".into();
    removed["sent"]["body"] = Value::Null;
    for (site, reason) in [
        (
            fake(Role::Admin).answer_with(hook, 409, gone),
            "The receiver is gone: it was removed.",
        ),
        (
            fake(Role::Admin).answer(ONE, message),
            "The message has arrived and is kept no more",
        ),
        (
            fake(Role::Admin).answer(ONE, removed),
            "The log has the event no more.",
        ),
    ] {
        let site = site.open();
        let page = site.get(Language::En, &format!("{PAGE}/1")).await;
        assert!(page.text.contains("<button disabled"), "{reason}");
        assert!(page.text.contains(reason), "{reason}");
        let page = site.get(Language::En, &format!("{PAGE}/1/resend")).await;
        assert!(page.text.contains(reason), "{reason}");
        assert!(!page.main().contains("<button"), "{reason}");
    }
}

#[tokio::test]
async fn a_failure_is_shown_above_a_part() {
    let site = fake(Role::Employee).open();
    let part = site.part(Language::Ru, PAGE).await;
    assert_eq!(part.status, 403);
    assert_eq!(part.headers["hx-retarget"], "#notices");
    assert!(!part.text.contains("<html"), "{}", part.text);
}

#[tokio::test]
async fn texts_from_outside_stay_texts() {
    let mut list = json(include_str!("../../../tests/answers/deliveries.json"));
    list["items"][0]["error"] = HOSTILE.into();
    list["items"][0]["customType"] = HOSTILE.into();
    let mut one = json(include_str!("../../../tests/answers/delivery.json"));
    one["received"]["body"] = HOSTILE.into();
    one["received"]["headers"][0]["value"] = HOSTILE.into();
    one["sent"]["body"] = json!({ HOSTILE: HOSTILE }).to_string().into();
    one["error"] = HOSTILE.into();
    one["entities"][0]["id"] = HOSTILE.into();
    let site = fake(Role::Admin).answer(LIST, list).answer(ONE, one).open();
    let path = format!(
        "{PAGE}{}",
        crate::api::query([("eventId", HOSTILE), ("httpStatus", HOSTILE)])
    );
    for path in [&*path, "/console/acme/deliveries/1"] {
        let page = site.get(Language::En, path).await;
        assert_eq!(page.status, 200);
        check_hostile(&page.text);
    }
}
