use serde_json::{Value, json};

use crate::{
    Language, Role,
    testing::{Fake, HOSTILE, check_hostile, snapshot},
};

const LIST: &str = "GET /api/v1/acme/integrations";
const INSTANCE: &str = "GET /api/v1/acme/integrations/instances/i1";
const PATCH: &str = "PATCH /api/v1/acme/integrations/instances/i1";
const ONE: &str = "/console/acme/integrations/i1";

fn list() -> Value {
    json!({ "count": 2, "items": [
        { "id": "i1", "name": "demo.listener", "version": "1.0", "baseUrl": "http://127.0.0.1:9000",
          "kind": "private", "installed": true, "status": "active" },
        { "id": "i2", "name": "their.pbx", "title": "АТС", "version": "2.1", "kind": "public", "installed": false },
    ] })
}

fn instance() -> Value {
    json!({
        "id": "i1", "baseUrl": "http://127.0.0.1:9000", "status": "active",
        "features": { "call": true, "hangup": true, "sendSms": false },
        "settings": [{ "id": "host", "value": "pbx.example" }],
        "secrets": [{ "id": "webhook.signingSecret", "value": "whsec_c2VjcmV0", "values": ["whsec_c2VjcmV0"] }],
        "webHooks": [
            { "id": "h1", "relativeUrl": "/callbacks", "triggerType": "entityEvent",
              "filter": { "items": [{ "entityType": "deal" }] }, "schedule": {}, "disabled": false },
            { "id": "h2", "relativeUrl": "/tick", "triggerType": "schedule", "filter": {},
              "schedule": { "period": "00:05:00" }, "disabled": true },
        ],
    })
}

fn fake(role: Role) -> Fake {
    Fake::new(role)
        .answer(LIST, list())
        .answer(INSTANCE, instance())
        .answer(PATCH, json!({}))
        .answer(
            "POST /api/v1/acme/webhooks/match",
            json!({ "tried": 1000, "matched": 7 }),
        )
}

#[tokio::test]
async fn pages_are_as_they_were() {
    snapshot("integrations", "/console/acme/integrations", fake).await;
    snapshot("integration", ONE, fake).await;
    snapshot(
        "integration-not-installed",
        "/console/acme/integrations/i2",
        fake,
    )
    .await;
    let empty = |role| fake(role).answer(LIST, json!({ "count": 0, "items": [] }));
    snapshot("integrations-empty", "/console/acme/integrations", empty).await;
    snapshot("integration-missing", "/console/acme/integrations/i3", fake).await;
}

#[tokio::test]
async fn secrets_are_shown_on_demand_only() {
    let site = fake(Role::Admin).open();
    let page = site.get(Language::En, ONE).await;
    assert!(!page.text.contains("whsec_"), "{}", page.text);
    let shown = site
        .post(Language::En, &format!("{ONE}/secrets"), &[])
        .await;
    assert!(shown.text.contains("whsec_c2VjcmV0"));
}

#[tokio::test]
async fn an_api_key_is_shown_once() {
    let site = fake(Role::Admin)
        .answer(
            "POST /api/v1/acme/integrations/i1/api-key",
            json!({ "apiKey": "key-1" }),
        )
        .open();
    let page = site
        .post(Language::En, &format!("{ONE}/api-key"), &[])
        .await;
    assert!(page.text.contains("key-1"));
    assert!(!site.get(Language::En, ONE).await.text.contains("key-1"));
}

#[tokio::test]
async fn a_webhook_is_added_and_changed() {
    let site = fake(Role::Admin).open();
    let hooks = format!("{ONE}/webhooks");
    let form = [
        ("relativeUrl", "/in"),
        ("entityType", "deal"),
        ("success", "2xx"),
    ];
    let page = site.post(Language::En, &hooks, &form).await;
    assert_eq!(
        page.location(),
        "/console/acme/integrations/i1?done=webhook"
    );
    let sent = site.last_change();
    assert_eq!(sent.line, PATCH);
    assert_eq!(
        sent.body["operations"][0],
        json!({ "op": "add", "path": "/webHooks", "value": {
            "relativeUrl": "/in", "triggerType": "entityEvent",
            "filter": { "items": [{ "entityType": "deal" }] }, "settings": { "success": "2xx" } } })
    );
    for (act, operation) in [
        (
            "off",
            json!({ "op": "replace", "path": "/webHooks/h1/disabled", "value": true }),
        ),
        (
            "on",
            json!({ "op": "replace", "path": "/webHooks/h1/disabled", "value": false }),
        ),
        ("remove", json!({ "op": "remove", "path": "/webHooks/h1" })),
    ] {
        site.post(Language::En, &format!("{hooks}/h1"), &[("act", act)])
            .await;
        assert_eq!(site.last_change().body["operations"][0], operation);
    }
}

#[tokio::test]
async fn a_filter_is_counted_before_it_is_added() {
    let site = fake(Role::Admin).open();
    let form = [
        ("entityType", "deal"),
        ("count", "1"),
        ("relativeUrl", "/typed"),
    ];
    let page = site
        .post(Language::En, &format!("{ONE}/webhooks"), &form)
        .await;
    assert!(
        page.text
            .contains("Of the newest events (1000) would match: 7.")
    );
    assert!(
        page.text.contains("value=\"/typed\""),
        "what was typed stays"
    );
    assert_eq!(site.last_change().line, "POST /api/v1/acme/webhooks/match");
}

#[tokio::test]
async fn refusals_keep_what_was_typed() {
    let refusal = json!({ "status": "invalidArgs", "message": "The name is taken" });
    let site = fake(Role::Admin)
        .answer_with(
            "POST /api/v1/acme/private-integrations",
            409,
            refusal.clone(),
        )
        .answer_with("POST /api/v1/acme/integrations/i1/setup", 409, refusal)
        .open();
    let form = [("name", "my.own"), ("version", "1.0")];
    let page = site
        .post(Language::En, "/console/acme/integrations", &form)
        .await;
    assert!(page.text.contains("The name is taken") && page.text.contains("value=\"my.own\""));
    let form = [("parameters", "host=pbx")];
    let page = site
        .post(Language::En, &format!("{ONE}/setup"), &form)
        .await;
    assert!(page.text.contains("The name is taken") && page.text.contains("host=pbx</textarea>"));
}

#[tokio::test]
async fn hostile_names_are_texts() {
    let mut list = list();
    list["items"][0]["name"] = HOSTILE.into();
    list["items"][0]["baseUrl"] = HOSTILE.into();
    let mut instance = instance();
    for pointer in [
        "/webHooks/0/relativeUrl",
        "/settings/0/id",
        "/settings/0/value",
        "/secrets/0/id",
    ] {
        *instance.pointer_mut(pointer).expect("a member") = HOSTILE.into();
    }
    let site = fake(Role::Admin)
        .answer(LIST, list)
        .answer(INSTANCE, instance)
        .open();
    for path in ["/console/acme/integrations", ONE] {
        check_hostile(&site.get(Language::Ru, path).await.text);
    }
}

#[tokio::test]
async fn events_of_a_time_are_sent_again_after_they_were_counted() {
    const REPLAY: &str = "POST /api/v1/acme/integrations/instances/i1/webHooks/h1/replay";
    const REPLAYS: &str = "GET /api/v1/acme/integrations/instances/i1/webHooks/h1/replays";
    let here = format!("{ONE}/webhooks/h1/replay");
    let with = |role| {
        fake(role)
            .answer(REPLAY, json!({ "count": 7, "id": "r1", "remaining": 40 }))
            .answer(
                REPLAYS,
                json!({ "count": 1, "items": [{ "id": "r1", "remaining": 30 }] }),
            )
    };
    let period = format!("{here}?from=2026-11-27T10:00&to=2026-11-27T11:30:05");
    snapshot("integration-replay", &period, with).await;
    let site = with(Role::Integrator).open();
    site.get(Language::En, &period).await;
    let sent = json!({ "from": "2026-11-27T05:00:00.000Z", "to": "2026-11-27T06:30:05.000Z", "preview": true });
    assert_eq!(site.last_change().body, sent);
    let fields = [("from", "2026-11-27T10:00:00"), ("to", "")];
    let page = site.post(Language::En, &here, &fields).await;
    assert_eq!(
        site.last_change().body,
        json!({ "from": "2026-11-27T05:00:00.000Z" })
    );
    let at = format!("{here}?replay=r1&of=40");
    assert_eq!(page.location(), at);
    let page = site.get(Language::En, &at).await;
    assert!(page.text.contains("passed in the log: 10 of 40"));
    assert!(page.text.contains(r#"<progress max="40" value="10""#));
    assert!(page.text.contains("<live-list") && !page.text.contains("data-over"));
    let done = with(Role::Admin).answer(REPLAYS, json!({ "count": 0, "items": [] }));
    let page = done.open().get(Language::En, &at).await;
    assert!(page.text.contains("everything was sent") && page.text.contains("data-over"));
    assert!(!page.text.contains("<live-list"));
    // A refusal is told above the form.
    let refused =
        json!({ "title": "Bad Request", "detail": "The to must not be before the beginning." });
    let site = with(Role::Admin).answer_with(REPLAY, 400, refused).open();
    let page = site.get(Language::En, &period).await;
    assert!(page.text.contains("must not be before the beginning"));
    let page = site.post(Language::En, &here, &fields).await;
    assert!(page.text.contains("must not be before the beginning"));
    assert!(page.text.contains(r#"value="2026-11-27T10:00:00""#));
}
