//! Subscriptions of companies, and the events that they receive (`docs/contracts/idocs.md §3`).

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{
    document_exchange::{DocumentExchange, RECALL, Side},
    document_subscriber::{
        BIN, DAY, OTHER_BIN, SUBSCRIPTION, company, pair, signature, status_event, subscribed,
    },
    hub::{Hub, Installation, eventually},
    receiver::{Call, Receiver, Reply},
};

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
async fn permissions_of_each_operation() {
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
    let nobody = hub.anonymous().at("/api/1/webhooks/document-events");
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
        (&call.json()["previousStatus"], status_event(&call)),
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
async fn changes_on_one_node_apply_on_the_other_from_the_next_call() {
    let (one, other) = (Receiver::good().await, Receiver::good().await);
    let installation = Installation::new(|_| ());
    let first = installation.start().await;
    let acme = company(&first, "acme", BIN).await;
    acme.subscribe(&one.url).await.ok();
    acme.draft(&first, "before").await;
    assert_eq!(
        status_event(&one.next().await).0,
        "before",
        "the first node has the hook"
    );
    acme.attempts(1).await;
    let second = installation.second_node().start().await;
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
        status_event(&receiver.next().await).0
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

/// The events of both companies about a document that goes from one to the other.
#[tokio::test]
async fn both_sides_get_the_statuses_that_they_see() {
    let exchange = DocumentExchange::new().await;
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

#[tokio::test]
async fn a_2xx_whose_body_breaks_off_counts() {
    let receiver = Receiver::start(|_| Reply::Raw {
        bytes: "HTTP/1.1 202\nSet-Cookie: \x01\nTransfer-Encoding: gzip, chunked\n\nzz",
        close: true,
    })
    .await;
    let (hub, acme, _) = subscribed(&receiver).await;
    acme.draft(&hub, "7/1").await;
    receiver.next().await;
    let attempts = acme.attempts(1).await;
    assert_eq!(
        (&attempts[0]["status"], &attempts[0]["httpStatus"]),
        (&json!("delivered"), &json!(202))
    );
}
