//! Exchanges that reuse ids: one id, several calls.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    hub::Answer,
    telephony_exchange::{TelephonyExchange, items},
};

const FIRST: &str = "79990000003";
const SECOND: &str = "77015550000";

/// A second of a day in January.
fn at(day: u32, second: u32) -> String {
    format!(
        "2026-01-{day:02}T10:{:02}:{:02}+00:00",
        second / 60,
        second % 60
    )
}

fn notice(day: u32, second: u32, phone: &str) -> Value {
    json!({ "timestamp": at(day, second), "externalId": "7", "externalVatsPhone": "79229929292",
        "clientPhone": phone, "direction": "inbound" })
}

fn leg(day: u32, second: u32, leg: &str, kind: &str) -> Value {
    json!({ "externalId": "7", "externalCallItemId": leg, "realtimeCallItemId": leg, "timestamp": at(day, second),
        "type": kind, "from": { "type": "client" }, "to": { "type": "user" } })
}

fn history(day: u32, phone: &str, legs: &[&str]) -> Value {
    let items: Vec<Value> = legs
        .iter()
        .map(|leg| {
            json!({ "id": leg, "from": { "type": "client" }, "to": { "type": "user" }, "recordings": [],
                "startedAt": at(day, 2), "finishedAt": at(day, 30) })
        })
        .collect();
    json!({ "externalId": "7", "clientPhone": phone, "direction": "inbound", "externalVatsPhone": "",
        "externalCreatedAt": at(day, 0), "items": items })
}

/// A call that begins and ends on a day; returns its id.
async fn missed(pbx: &TelephonyExchange, day: u32, phone: &str) -> String {
    let id = pbx
        .send("call-started", notice(day, 0, phone))
        .await
        .ok()
        .str("id");
    pbx.send("call-event", leg(day, 1, "1", "appeared"))
        .await
        .ok();
    pbx.send("call-finished", notice(day, 30, phone)).await.ok();
    id
}

fn effect(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (
        answer.header("x-prichal-effect"),
        answer.header("x-prichal-note"),
    )
}

#[tokio::test]
async fn an_id_that_comes_again_is_another_call() {
    let pbx = TelephonyExchange::new().await;
    let first = missed(&pbx, 1, FIRST).await;
    // Messages of the second call that come before its start do not get into the first.
    let early = pbx.send("call-event", leg(2, 1, "1", "appeared")).await;
    assert_eq!(
        (early.status, early.str("status")),
        (409, "communicationNotFound".to_owned())
    );
    let started = pbx.send("call-started", notice(2, 0, SECOND)).await.ok();
    let second = started.str("id");
    assert_ne!(first, second);
    assert_eq!(
        effect(&started),
        (Some("created"), Some("external-id-reused"))
    );
    let name = pbx.call(&first).await["externalId"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(started["externalId"], format!("{name}~2"));
    let note = started["data"]["call"]["note"].as_str().expect("a note");
    assert!(note.contains(&first), "{note}");
    assert_eq!(pbx.call(&first).await["data"]["call"].get("note"), None);

    // Later messages find their own call, late ones of the first call included.
    pbx.send("call-event", leg(2, 1, "1", "connected"))
        .await
        .ok();
    pbx.send("call-event", leg(1, 25, "1", "disconnected"))
        .await
        .ok();
    pbx.send("call-finished", notice(2, 40, SECOND)).await.ok();
    let repeated = pbx.send("call-started", notice(2, 0, SECOND)).await.ok();
    assert_eq!(
        (repeated.str("id"), effect(&repeated).0),
        (second.clone(), Some("unchanged"))
    );
    let repeated = pbx.send("call-started", notice(1, 0, FIRST)).await.ok();
    assert_eq!(
        (repeated.str("id"), effect(&repeated)),
        (first.clone(), (Some("unchanged"), None))
    );
    let seen = [pbx.call(&first).await, pbx.call(&second).await];
    assert_eq!(
        [&seen[0]["facts"]["missed"], &seen[1]["facts"]["answered"]],
        [true, true]
    );
    assert_eq!(items(&seen[0])[0]["finishedAt"], at(1, 25));
    assert_eq!(items(&seen[1])[0]["startedAt"], at(2, 1));

    // The history finds its call by its times, in any order.
    pbx.send("register-call", history(2, SECOND, &["1"]))
        .await
        .ok();
    pbx.send("register-call", history(1, FIRST, &["1", "2"]))
        .await
        .ok();
    let seen = [pbx.call(&first).await, pbx.call(&second).await];
    assert_eq!(items(&seen[0]).as_array().map(Vec::len), Some(2));
    assert_eq!(items(&seen[1]).as_array().map(Vec::len), Some(1));
    for (phone, id) in [(FIRST, &first), (SECOND, &second)] {
        let found = pbx
            .space
            .get(&format!("/communications?phone={phone}"))
            .await
            .ok();
        assert_eq!(
            (&found["count"], &found["items"][0]["id"]),
            (&json!(1), &json!(id))
        );
    }

    // A third call. A message with the external id that the second one was given finds the second.
    let third = pbx.send("call-started", notice(3, 0, SECOND)).await.ok();
    assert_eq!(third["externalId"], format!("{name}~3"));
    let mut by_key = leg(2, 3, "9", "appeared");
    by_key["externalId"] = started["externalId"].clone();
    pbx.send("call-event", by_key).await.ok();
    assert_eq!(items(&pbx.call(&third.str("id")).await), &json!([]));
    // A message without a time goes to the newest call.
    let lists = pbx
        .api
        .get("/communications/callbacks/telephony/call-redirect?externalId=7")
        .await;
    assert_eq!(lists.ok()["userIds"], json!([]));
}

#[tokio::test]
async fn calls_known_from_history_alone_are_distinguished() {
    let pbx = TelephonyExchange::new().await;
    let register = async |day, phone| {
        let answer = pbx
            .send("register-call", history(day, phone, &["1"]))
            .await
            .ok();
        effect(&answer).0.map(str::to_owned)
    };
    // The same client calls again the next day.
    assert_eq!(register(1, FIRST).await.as_deref(), Some("created"));
    assert_eq!(register(2, FIRST).await.as_deref(), Some("created"));
    assert_eq!(register(1, FIRST).await.as_deref(), Some("unchanged"));
    // A corrected number does not make another call.
    assert_eq!(register(1, SECOND).await.as_deref(), Some("updated"));
    assert_eq!(pbx.space.get("/communications").await.ok()["count"], 2);
}

#[tokio::test]
async fn a_call_that_was_given_up_is_over_as_well() {
    let pbx = TelephonyExchange::new().await;
    let first = pbx
        .send("call-started", notice(1, 0, FIRST))
        .await
        .ok()
        .str("id");
    pbx.hub.advance(Duration::from_mins(4));
    crate::harness::hub::eventually("it is given up", || async {
        (pbx.call(&first).await["status"] == "sealed").then_some(())
    })
    .await;
    let second = pbx.send("call-started", notice(1, 900, SECOND)).await.ok();
    assert_ne!(second.str("id"), first);
}

#[tokio::test]
async fn an_open_call_keeps_its_id_whatever_its_number_becomes() {
    let pbx = TelephonyExchange::new().await;
    let first = pbx
        .send("call-started", notice(1, 0, FIRST))
        .await
        .ok()
        .str("id");
    let again = pbx.send("call-started", notice(1, 40, SECOND)).await.ok();
    assert_eq!((again.str("id"), effect(&again).1), (first, None));
}

#[tokio::test]
async fn a_recording_goes_to_the_call_that_has_its_leg() {
    let pbx = TelephonyExchange::new().await;
    let first = missed(&pbx, 1, FIRST).await;
    let second = pbx
        .send("call-started", notice(2, 0, SECOND))
        .await
        .ok()
        .str("id");
    let file = pbx.upload("talk.mp3").await;
    let recording =
        json!({ "externalId": "7", "externalCallItemId": "1", "recordingFileId": file });
    // The newest call may still get a leg of this id.
    assert_eq!(
        pbx.send("call-recording", recording.clone()).await.status,
        409
    );
    pbx.send("call-event", leg(2, 1, "1", "connected"))
        .await
        .ok();
    pbx.send("call-recording", recording).await.ok();
    assert_eq!(items(&pbx.call(&first).await)[0]["recordings"], json!([]));
    assert_eq!(
        items(&pbx.call(&second).await)[0]["recordings"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn a_call_that_a_user_asked_for_does_not_become_yesterdays() {
    let pbx = TelephonyExchange::at("http://127.0.0.1:9").await;
    pbx.enable_calls().await;
    let first = missed(&pbx, 1, FIRST).await;
    for (n, named) in [(2, true), (3, false)] {
        // The integration's address does not answer: the call fails, and is recorded.
        let wish = pbx
            .space
            .post("/communications/call", json!({ "clientPhone": FIRST }))
            .await;
        let id = wish
            .header("x-xcom-communicationid")
            .expect("an id")
            .to_owned();
        let mut start = notice(n, 0, FIRST);
        start["direction"] = "outbound".into();
        if named {
            start["communicationId"] = id.clone().into();
        }
        let answer = pbx.send("call-started", start).await.ok();
        assert_ne!(answer.str("id"), first);
        assert_eq!(answer.str("id") == id, named);
        assert!(
            answer.str("externalId").ends_with(&format!("7~{n}")),
            "{}",
            answer.text
        );
        assert_eq!(effect(&answer).1, Some("external-id-reused"));
    }
    // Yesterday's call has not changed.
    assert_eq!(pbx.call(&first).await["facts"]["missed"], true);
    // Our id takes precedence over the exchange's.
    let mut late = leg(3, 5, "1", "connected");
    late["communicationId"] = first.clone().into();
    pbx.send("call-event", late).await.ok();
    assert_eq!(pbx.call(&first).await["facts"]["answered"], true);
}

#[tokio::test]
async fn a_deleted_call_does_not_swallow_the_next_one() {
    let pbx = TelephonyExchange::new().await;
    let first = missed(&pbx, 1, FIRST).await;
    pbx.space
        .send(Method::DELETE, &format!("/communications/{first}"), None)
        .await
        .ok();
    let second = pbx.send("call-started", notice(2, 0, FIRST)).await.ok();
    assert_eq!(effect(&second).0, Some("created"));
    let late = pbx
        .send("call-event", leg(1, 9, "1", "connected"))
        .await
        .ok();
    assert_eq!(effect(&late).0, Some("unchanged"));
}
