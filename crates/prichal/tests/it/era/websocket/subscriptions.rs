//! Subscriptions to events.

use std::time::Duration;

use serde_json::json;

use crate::harness::{channel_workspace::ChannelWorkspace, websocket_client::WebsocketClient};

#[tokio::test]
async fn subscriptions_report_changes() {
    let era = ChannelWorkspace::new().await;
    let user = era
        .space
        .post("/users", json!({ "login": "ivan", "name": "Ivan" }))
        .await
        .ok()
        .str("id");
    let none = era.open("none", json!({}), &["subscr"]).await;
    let mut stranger = WebsocketClient::with(&era.hub, &none, &["subscr"]).await;
    let refused = stranger
        .ask("subscribe", json!({ "qid": 1, "id": "s" }))
        .await;
    assert_eq!(refused["errorcode"], 1403, "nobody's rights");
    let members = json!({ "opts": { "userid": user } });
    let channel = era.open("sock", members, &["subscr", "test"]).await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["subscr"]).await;
    let events = json!(["modelevents.data_changed"]);
    let subscribe =
        json!({ "qid": 1, "id": "c", "expires": 300, "events": events, "classpath": "contacts" });
    assert_eq!(
        client.ask("subscribe", subscribe.clone()).await,
        json!({ "qid": 1, "result": "ok" })
    );
    era.space
        .post("/companies", json!({ "name": "Acme" }))
        .await
        .ok();
    let contact = era
        .space
        .post("/contacts", json!({ "name": "Ivan" }))
        .await
        .ok()
        .str("id");
    let told = client.next().await;
    assert_eq!(told[0], "notify");
    assert_eq!(
        (&told[1]["class"], &told[1]["type"], &told[1]["id"]),
        (&json!("modelevents"), &json!("data_changed"), &json!("c"))
    );
    let feed = era.space.get("/events").await.ok();
    let items = feed["items"].as_array().expect("items");
    assert_eq!(
        told[1]["data"],
        items[items.len() - 1],
        "as the feed has it"
    );
    // One frame for each subscription that matches.
    let object = json!({ "qid": 2, "id": "o", "objects": [contact] });
    client.ask("subscribe", object).await;
    era.space
        .patch(
            &format!("/contacts/{contact}"),
            json!([{ "op": "replace", "path": "/name", "value": "Pyotr" }]),
        )
        .await
        .ok();
    let both = [
        client.next().await[1]["id"].clone(),
        client.next().await[1]["id"].clone(),
    ];
    assert_eq!(both, [json!("c"), json!("o")]);
    client
        .ask("subscribe", json!({ "qid": 3, "id": "o", "expires": 0 }))
        .await;
    era.hub.advance(Duration::from_secs(301));
    era.space
        .post("/contacts", json!({ "name": "late" }))
        .await
        .ok();
    client
        .ask(
            "subscribe",
            json!({ "qid": 4, "id": "n", "classpath": "companies" }),
        )
        .await;
    era.space
        .post("/companies", json!({ "name": "Bravo" }))
        .await
        .ok();
    assert_eq!(
        client.next().await[1]["data"]["changeData"]["new"]["name"],
        "Bravo",
        "what has ended is silent"
    );
    for (asked, name) in [
        (json!({ "qid": 1 }), "id"),
        (json!({ "id": 1, "expires": -1 }), "expires"),
        (json!({ "id": 1, "expires": 100_000 }), "expires"),
        (json!({ "id": 1, "events": ["other"] }), "events"),
        (json!({ "id": 1, "classpath": "unicorns" }), "classpath"),
        (json!({ "id": 1, "objects": ["x"] }), "objects"),
    ] {
        let refused = client.ask("subscribe", asked.clone()).await;
        assert_eq!(refused["errorcode"], 1400, "{asked}");
        assert!(
            refused["errormsg"]
                .as_str()
                .is_some_and(|text| text.contains(name)),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_subscription_is_renewed_by_its_id() {
    let era = ChannelWorkspace::new().await;
    let user = era
        .space
        .post("/users", json!({ "login": "ivan" }))
        .await
        .ok()
        .str("id");
    let members = json!({ "opts": { "userid": user } });
    let channel = era.open("sock", members, &["subscr", "test"]).await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["subscr", "test"]).await;
    let subscribe = json!({ "qid": 1, "id": "c", "expires": 300, "classpath": "companies" });
    for _ in 0..3 {
        assert_eq!(
            client.ask("subscribe", subscribe.clone()).await["result"],
            "ok"
        );
        era.hub.advance(Duration::from_mins(4));
        // Any message of the client counts as a sign of life, even after unanswered pings.
        client.ask("test", json!({})).await;
    }
    era.space
        .post("/companies", json!({ "name": "Acme" }))
        .await
        .ok();
    let told = client.next().await;
    assert_eq!((&told[0], &told[1]["id"]), (&json!("notify"), &json!("c")));
    assert_eq!(told[1]["eventts"], 1_767_225_600_000_i64 + 720_000);
    era.hub.advance(Duration::from_secs(61));
    era.space
        .post("/companies", json!({ "name": "late" }))
        .await
        .ok();
    let next = client.ask("test", json!({ "qid": 2 })).await;
    assert_eq!(next["qid"], 2, "one is told of once, and not after its end");
}

#[tokio::test]
async fn with_its_user_a_channel_loses_its_subscriptions() {
    let era = ChannelWorkspace::new().await;
    let user = era
        .space
        .post("/users", json!({ "login": "ivan" }))
        .await
        .ok();
    let user = user.str("id");
    let members = json!({ "opts": { "userid": user } });
    let channel = era.open("sock", members, &["subscr", "test"]).await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["subscr", "test"]).await;
    client
        .ask(
            "subscribe",
            json!({ "qid": 1, "id": "c", "classpath": "companies" }),
        )
        .await;
    era.space.delete(&format!("/users/{user}")).await;
    era.space
        .post("/companies", json!({ "name": "Acme" }))
        .await
        .ok();
    let again = client
        .ask("subscribe", json!({ "qid": 2, "id": "c" }))
        .await;
    assert_eq!(
        (&again["qid"], &again["errorcode"]),
        (&json!(2), &json!(1403))
    );
    assert_eq!(client.ask("test", json!({ "qid": 3 })).await["qid"], 3);
}
