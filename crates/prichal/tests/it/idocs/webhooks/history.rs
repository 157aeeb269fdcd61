//! The history of status events: repeated, looked up, paged (`docs/contracts/idocs.md §3`).

use std::time::Duration;

use prichal_core::document::Status;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{
    document_subscriber::{BIN, OTHER_BIN, SUBSCRIPTION, company, pair, status_event, subscribed},
    hub::Hub,
    receiver::Receiver,
};

#[tokio::test]
async fn a_period_is_delivered_again() {
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
        calls.iter().map(status_event).collect::<Vec<_>>(),
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
async fn the_history_of_a_document_and_of_a_period() {
    let hub = Hub::start().await;
    let acme = company(&hub, "acme", BIN).await;
    let stranger = company(&hub, "other", OTHER_BIN).await;
    let one = acme.draft(&hub, "1").await;
    hub.advance(Duration::from_secs(10));
    let two = acme.draft(&hub, "2").await;
    hub.advance(Duration::from_secs(10));
    acme.send(&hub, &one).await;
    stranger.append_event(&hub, &one, None, Status::InNew).await;

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
