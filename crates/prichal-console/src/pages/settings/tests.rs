use serde_json::{Value, json};

use crate::{
    Language, Role,
    testing::{Fake, HOSTILE, check_hostile, snapshot},
};

const TOKENS: &str = "GET /admin/v1/workspaces/acme/tokens";
const RETENTION: &str = "GET /api/v1/acme/retention";
const SETTINGS: &str = "/console/acme/settings";

fn user() -> Value {
    json!({ "id": "u1", "name": "Иванов Иван", "login": "ivanov", "email": "ivanov@acme.kz", "position": "директор",
        "status": "active", "isAdmin": true, "permissions": ["DOCUMENT_SIGN", "DOCUMENT_VIEW"] })
}

fn tokens() -> Value {
    json!({ "count": 2, "items": [
        { "id": "t1", "name": "crm", "role": "admin", "userId": null, "expiresAt": null,
          "lastUsedAt": "2026-11-27T15:00:00Z", "lastUsedFrom": "10.0.0.7" },
        { "id": "t2", "name": "phone", "role": "member", "userId": "u1", "expiresAt": "2027-01-01T00:00:00Z" },
    ] })
}

fn fake(role: Role) -> Fake {
    let used = |used: i64, allowed: Value| json!({ "used": used, "allowed": allowed });
    let alert = json!({ "id": "a1", "kind": "failing", "message": "The webhook demo.listener fails", "state": "open",
        "begunAt": "2026-11-27T15:00:00Z" });
    let fake = Fake::new(role)
        .answer("GET /api/v1/acme/users", json!({ "count": 1, "items": [user()] }))
        .answer("GET /api/v1/acme/users/u1", user())
        .answer("PATCH /api/v1/acme/users/u1", json!({}))
        .answer("GET /api/v1/acme/alerts?state=open&limit=100", json!({ "count": 1, "items": [alert] }))
        .answer("GET /api/v1/acme/alerts", json!({ "count": 0, "items": [] }))
        .answer(
            "GET /api/v1/acme/alert-settings",
            json!({ "silenceMinutes": 60, "recoveryMinutes": 5, "mail": { "recipients": ["ops@acme.kz"] } }),
        )
        .answer(
            "GET /api/v1/acme/audit",
            json!({ "count": 1, "next": "n2", "items": [
                { "id": "r1", "at": "2026-11-27T15:00:00Z", "actor": { "kind": "token", "id": "t1", "name": "crm" },
                  "action": "webhooks.patch_webhook", "object": { "kind": "webhook", "id": "h1" },
                  "address": "192.0.2.7", "result": "refused", "status": 403 }] }),
        )
        .answer(TOKENS, tokens())
        .answer(
            "GET /admin/v1/workspaces/acme/signature-policy",
            json!({ "policy": "test", "checkBin": true, "checkIin": null, "indeterminate": "accept", "trustAnchors": [] }),
        )
        .answer(
            "GET /admin/v1/workspaces/acme/usage",
            json!({ "entities": used(1000, Value::Null), "files": used(900, json!(1000)), "events": used(0, Value::Null),
                "runs": used(5_000_000, Value::Null), "records": used(1, json!(0)) }),
        );
    let kept = |days: Value, allowed: Value, own: Value| json!({ "days": days, "allowedDays": allowed, "ownDays": own });
    let usual = kept(json!(30.0), json!(30.0), Value::Null);
    let fake = fake.answer(
        RETENTION,
        json!({ "deliveries": usual, "runs": kept(json!(0.0416), json!(0.0416), Value::Null),
            "audit": kept(json!(365.0), json!(365.0), Value::Null), "events": kept(json!(90.0), Value::Null, json!(90)) }),
    );
    if role == Role::Operator {
        return fake;
    }
    let fake = if role == Role::Admin {
        fake
    } else {
        fake.forbid(RETENTION)
    };
    [
        TOKENS,
        "GET /admin/v1/workspaces/acme/signature-policy",
        "GET /admin/v1/workspaces/acme/usage",
    ]
    .into_iter()
    .fold(fake, Fake::forbid)
}

#[tokio::test]
async fn pages_are_as_they_were() {
    for part in [
        "people",
        "people/u1",
        "tokens",
        "signatures",
        "alerts",
        "limits",
        "audit",
    ] {
        let name = format!("settings-{}", part.replace('/', "-"));
        snapshot(&name, &format!("{SETTINGS}/{part}"), fake).await;
    }
}

#[tokio::test]
async fn permissions_are_set_as_a_whole() {
    let site = fake(Role::Admin).open();
    let form = [("permission", "DOCUMENT_SIGN"), ("permission", "ROOT")];
    let page = site
        .post(Language::En, &format!("{SETTINGS}/people/u1"), &form)
        .await;
    assert_eq!(
        page.location(),
        "/console/acme/settings/people/u1?done=saved"
    );
    assert_eq!(
        site.last_change().body["operations"][0],
        json!({ "op": "replace", "path": "/permissions", "value": ["DOCUMENT_SIGN"] })
    );
}

#[tokio::test]
async fn a_token_is_shown_once() {
    let made = "POST /admin/v1/workspaces/acme/tokens";
    let site = fake(Role::Operator)
        .answer_with(made, 201, json!({ "id": "t3", "token": "secret-token" }))
        .open();
    let path = format!("{SETTINGS}/tokens");
    let form = [("name", "new"), ("role", "viewer"), ("userId", "")];
    let page = site.post(Language::En, &path, &form).await;
    assert!(page.text.contains("secret-token"));
    assert_eq!(
        site.last_change().body,
        json!({ "name": "new", "role": "viewer" })
    );
    assert!(
        !site
            .get(Language::En, &path)
            .await
            .text
            .contains("secret-token")
    );
}

#[tokio::test]
async fn times_of_history_are_set_as_a_whole() {
    let put = "PUT /api/v1/acme/retention";
    let path = format!("{SETTINGS}/limits");
    let site = fake(Role::Admin).answer(put, json!({})).open();
    let form = [
        ("deliveriesDays", "14"),
        ("runsDays", ""),
        ("eventsDays", "90"),
    ];
    let page = site.post(Language::En, &path, &form).await;
    assert_eq!(page.location(), "/console/acme/settings/limits?done=saved");
    assert_eq!(
        site.last_change().body,
        json!({ "deliveriesDays": 14, "runsDays": null, "eventsDays": 90 })
    );
    // A refusal is told beside what was typed.
    let why = json!({ "errors": { "eventsDays": ["The eventsDays must be an integer."] }, "title": "Bad", "status": 400 });
    let site = fake(Role::Admin).answer_with(put, 400, why).open();
    let form = [
        ("deliveriesDays", "7"),
        ("runsDays", "x"),
        ("eventsDays", HOSTILE),
    ];
    let page = site.post(Language::En, &path, &form).await;
    assert_eq!(page.status, 200);
    assert_eq!(site.last_change().body["eventsDays"], HOSTILE);
    assert!(page.text.contains("role=\"alert\""), "{}", page.text);
    assert!(
        page.text
            .contains("name=\"runsDays\" inputmode=\"numeric\" value=\"x\"")
    );
    check_hostile(&page.text);
}

#[tokio::test]
async fn alerts_are_acknowledged_and_set() {
    let patched = "PATCH /api/v1/acme/alert-settings";
    let site = fake(Role::Admin)
        .answer("POST /api/v1/acme/alerts/a1/acknowledge", json!({}))
        .answer(patched, json!({}))
        .open();
    let path = format!("{SETTINGS}/alerts");
    let page = site
        .post(Language::En, &format!("{path}/a1/acknowledge"), &[])
        .await;
    assert_eq!(
        page.location(),
        "/console/acme/settings/alerts?done=acknowledged"
    );
    let form = [
        ("recipients", "a@b.kz\r\n c@d.kz"),
        ("silence", "30"),
        ("recovery", "x"),
    ];
    site.post(Language::En, &path, &form).await;
    assert_eq!(
        site.last_change().body,
        json!({ "silenceMinutes": 30, "recoveryMinutes": "x", "mail": { "recipients": ["a@b.kz", "c@d.kz"] } })
    );
    let refused = fake(Role::Admin)
        .answer_with(patched, 400, json!({ "detail": "Too long" }))
        .open();
    let page = refused.post(Language::En, &path, &form).await;
    assert!(page.text.contains("Too long") && page.text.contains("value=\"x\""));
}

#[tokio::test]
async fn hostile_names_are_texts() {
    let mut tokens = tokens();
    tokens["items"][0]["name"] = HOSTILE.into();
    tokens["items"][0]["lastUsedFrom"] = HOSTILE.into();
    let mut user = user();
    user["name"] = HOSTILE.into();
    user["position"] = HOSTILE.into();
    let site = fake(Role::Operator)
        .answer(TOKENS, tokens)
        .answer(
            "GET /api/v1/acme/users",
            json!({ "count": 1, "items": [user] }),
        )
        .open();
    for part in ["tokens", "people"] {
        check_hostile(
            &site
                .get(Language::En, &format!("{SETTINGS}/{part}"))
                .await
                .text,
        );
    }
}
