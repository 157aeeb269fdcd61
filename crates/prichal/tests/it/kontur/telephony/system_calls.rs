//! System calls: users call and hang up through the exchange (`docs/contracts/kontur.md §11`).

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::{
    hub::Answer,
    integration::Integration,
    receiver::{Call, Receiver, Reply},
    telephony_exchange::{CLIENT, TelephonyExchange, UNKNOWN_ID, at, event, items, started},
};

#[tokio::test]
async fn a_user_calls_and_hangs_up() {
    let receiver = Receiver::good().await;
    let pbx = TelephonyExchange::at(&receiver.url).await;
    let user = pbx.user("masha").await;
    let wish = json!({ "fromUserId": user, "clientPhone": CLIENT });
    let refused = pbx.space.post("/communications/call", wish.clone()).await;
    assert_eq!(refused.status, 409);
    let expected = json!({
        "invalidDatas": [], "invalidConstraints": {}, "status": "notSupported",
        "message": "Feature Call is not supported by any integration",
    });
    assert_eq!(refused.json, expected);
    assert_eq!(pbx.space.get("/communications").await.ok()["count"], 0);

    pbx.enable_calls().await;
    let answer = pbx.space.post("/communications/call", wish).await.ok();
    assert_eq!(answer.text, "\"OK\"");
    let id = answer
        .header("x-xcom-communicationid")
        .expect("the id")
        .to_owned();
    let call = receiver.next().await;
    assert_eq!(
        (call.method.as_str(), call.path.as_str()),
        ("POST", "/api/v1/my-workspace/communications/call")
    );
    assert_eq!(
        call.json(),
        json!({ "communicationId": id, "fromUserId": user, "clientPhone": CLIENT })
    );
    assert!(call.header("x-xcom-accesskey").is_some());
    let record = pbx.call(&id).await;
    assert_eq!(
        (
            &record["direction"],
            &record["status"],
            &record["facts"]["state"]
        ),
        (&json!("outbound"), &json!("active"), &json!("dialing"))
    );
    assert_eq!(record["updateInfo"]["createdWith"], "WebApp");

    // The exchange's messages find it by our id, and hang-up finds the leg.
    let mut begun = started("77");
    begun["communicationId"] = id.as_str().into();
    begun["direction"] = "outbound".into();
    assert_eq!(pbx.send("call-started", begun).await.ok().str("id"), id);
    pbx.event("77", "leg-1", "connected", 5).await.ok();
    let wish = json!({ "realtimeCallItemId": "leg-1", "userId": user });
    for path in [
        format!("/communications/{id}/hangup"),
        "/communications/hangup".into(),
    ] {
        let answer = pbx.space.post(&path, wish.clone()).await.ok();
        assert_eq!(answer.text, "\"OK\"");
        let call = receiver.next().await;
        assert_eq!(
            call.path,
            format!("/api/v1/my-workspace/communications/{id}/hangup")
        );
        assert_eq!(call.json(), wish);
    }
    for (path, named) in [
        (format!("/communications/{id}/hangup"), id.as_str()),
        (format!("/communications/{UNKNOWN_ID}/hangup"), UNKNOWN_ID),
        ("/communications/hangup".into(), "leg-2"),
    ] {
        let answer = pbx
            .space
            .post(&path, json!({ "realtimeCallItemId": "leg-2" }))
            .await;
        let message = format!("Communication not found. Id: {named}");
        let expected = json!({ "status": "communicationNotFound", "message": message });
        assert_eq!((answer.status, answer.json), (409, expected), "{path}");
    }
    let no_hangup = json!({ "call": true, "hangup": false, "sendSms": false });
    pbx.integration
        .patch(json!([{ "op": "replace", "path": "/features", "value": no_hangup }]))
        .await
        .ok();
    let answer = pbx
        .space
        .post(&format!("/communications/{id}/hangup"), wish)
        .await;
    let members: Vec<&String> = answer.json.as_object().expect("an object").keys().collect();
    assert_eq!(answer.status, 409);
    assert_eq!(members, ["status", "message"]);
}

#[tokio::test]
async fn a_call_that_does_not_reach_the_exchange_has_failed() {
    let receiver = Receiver::good().await;
    let pbx = TelephonyExchange::at(&receiver.url).await;
    pbx.enable_calls().await;
    let scripts: [fn(&Call) -> Reply; 4] = [
        |_| Reply::NoEcho,
        |_| Reply::WrongEcho,
        |_| Reply::Echoed(500),
        |_| Reply::Close,
    ];
    for script in scripts {
        receiver.answer(script);
        let answer = pbx
            .space
            .post("/communications/call", json!({ "clientPhone": CLIENT }))
            .await;
        assert_eq!(
            (answer.status, &answer["status"]),
            (409, &json!("integrationError"))
        );
        let id = answer
            .header("x-xcom-communicationid")
            .expect("the id")
            .to_owned();
        let record = pbx.call(&id).await;
        assert_eq!(
            (&record["status"], &record["data"]["call"]["failed"]),
            (&json!("sealed"), &json!(true))
        );
    }
    receiver.answer(|_| Reply::Good);
    let answer = pbx
        .space
        .post("/communications/call", json!({ "clientPhone": CLIENT }))
        .await
        .ok();
    let id = answer
        .header("x-xcom-communicationid")
        .expect("the id")
        .to_owned();
    pbx.send("call-failed", json!({ "communicationId": id }))
        .await
        .ok();
    assert_eq!(pbx.call(&id).await["data"]["call"]["failed"], true);
    let bad = pbx.space.post("/communications/call", json!({})).await;
    assert_eq!(bad.status, 400);
}

/// A repeated request under the same key does not dial again, whether the first succeeded or failed.
#[tokio::test]
async fn a_repeated_call_request_dials_once() {
    let gate = Arc::new(Semaphore::new(0));
    let receiver = Receiver::good().await;
    let pbx = TelephonyExchange::at(&receiver.url).await;
    let id_of = |answer: &Answer| {
        let id = answer.header("x-xcom-communicationid");
        id.expect("the id").to_owned()
    };
    let call = async |key: &str, phone: &str| {
        let caller = pbx.space.clone().header("idempotency-key", key);
        let wish = json!({ "clientPhone": phone });
        caller.post("/communications/call", wish).await
    };
    // A refusal without a record does not use up the key.
    assert_eq!(call("1", CLIENT).await["status"], "notSupported");
    pbx.enable_calls().await;

    let held = gate.clone();
    receiver.answer(move |_| Reply::Held(held.clone()));
    let (first, meanwhile) = tokio::join!(call("1", CLIENT), async {
        receiver.next().await;
        let meanwhile = call("1", CLIENT).await;
        gate.add_permits(1);
        meanwhile
    });
    let first = first.ok();
    assert_eq!(
        (meanwhile.status, &meanwhile["status"]),
        (409, &json!("notAnswered"))
    );
    assert_eq!(id_of(&meanwhile), id_of(&first));
    let again = call("1", CLIENT).await.ok();
    assert_eq!(again.text, first.text);
    assert_eq!(id_of(&again), id_of(&first));
    let other = call("1", "79990000000").await;
    assert_eq!(
        (other.status, &other["status"]),
        (409, &json!("idempotencyConflict"))
    );

    receiver.answer(|_| Reply::NoEcho);
    let failed = call("2", CLIENT).await;
    receiver.next().await;
    assert_eq!(failed["status"], "integrationError");
    receiver.answer(|_| Reply::Good);
    let again = call("2", CLIENT).await;
    assert_eq!((again.status, &again.text), (409, &failed.text));
    assert_eq!(id_of(&again), id_of(&failed));

    assert_eq!(receiver.waiting(), 0, "each was dialled once");
    assert_eq!(pbx.space.get("/communications").await.ok()["count"], 2);
    assert_eq!(call("", CLIENT).await.status, 400);
    // After a day the key counts as new.
    pbx.hub.advance(Duration::from_hours(25));
    let new = call("1", CLIENT).await.ok();
    receiver.next().await;
    assert_ne!(id_of(&new), id_of(&first));
}

#[tokio::test]
async fn a_call_reported_without_our_id_is_adopted() {
    let receiver = Receiver::good().await;
    let pbx = TelephonyExchange::at(&receiver.url).await;
    pbx.enable_calls().await;
    let dial = || async {
        let answer = pbx
            .space
            .post(
                "/communications/call",
                json!({ "clientPhone": "+7 999 777-55-33" }),
            )
            .await
            .ok();
        answer
            .header("x-xcom-communicationid")
            .expect("the id")
            .to_owned()
    };
    let (first, second) = (dial().await, dial().await);
    let mut begun = started("1");
    assert_ne!(
        pbx.send("call-started", begun.clone()).await.ok().str("id"),
        first,
        "it came in"
    );
    begun["direction"] = "outbound".into();
    for (external, expected) in [("2", &first), ("3", &second)] {
        begun["externalId"] = external.into();
        assert_eq!(
            &pbx.send("call-started", begun.clone()).await.ok().str("id"),
            expected
        );
    }
    let third = dial().await;
    pbx.hub.advance(Duration::from_secs(61));
    begun["externalId"] = "4".into();
    assert_ne!(
        pbx.send("call-started", begun.clone()).await.ok().str("id"),
        third,
        "too old"
    );
    // A message that names two calls with different phones: the communicationId counts.
    pbx.hub.advance(Duration::from_mins(2));
    let mut foreign = started("9");
    foreign["clientPhone"] = "79990009999".into();
    let foreign = pbx.send("call-started", foreign).await.ok().str("id");
    let named = dial().await;
    let mut both = event("9", "leg", "appeared", 1);
    both["communicationId"] = named.as_str().into();
    for _ in 0..2 {
        pbx.send("call-event", both.clone()).await.ok();
    }
    let call = pbx.call(&named).await;
    assert_eq!(
        (&items(&call)[0]["id"], &call["externalId"]),
        (&json!("leg"), &Value::Null)
    );
    assert_eq!(*items(&pbx.call(&foreign).await), json!([]));
    // The exchange made a record before it names ours: the two are merged.
    let fourth = dial().await;
    begun["externalId"] = "5".into();
    begun["direction"] = "inbound".into();
    let other = pbx.send("call-started", begun.clone()).await.ok().str("id");
    begun["communicationId"] = fourth.as_str().into();
    assert_eq!(pbx.send("call-started", begun).await.ok().str("id"), other);
    assert_eq!(
        pbx.space
            .get(&format!("/communications/{fourth}"))
            .await
            .status,
        409
    );
    let by_old_id = json!({ "communicationId": fourth, "externalCallItemId": "1", "timestamp": at(1),
        "type": "connected", "from": { "type": "user" }, "to": { "type": "client" } });
    pbx.send("call-event", by_old_id).await.ok();
    assert_eq!(items(&pbx.call(&other).await)[0]["id"], "1");
}

#[tokio::test]
async fn the_main_telephony_takes_precedence() {
    let receiver = Receiver::good().await;
    let pbx = TelephonyExchange::at(&receiver.url).await;
    pbx.enable_calls().await;
    let other = Receiver::good().await;
    pbx.hub.advance(Duration::from_secs(1));
    let beeline = Integration::install(&pbx.space, "Beeline", &other.url).await;
    let features = json!({ "call": true, "hangup": true, "sendSms": false });
    beeline
        .patch(json!([{ "op": "replace", "path": "/features", "value": features }]))
        .await
        .ok();
    let user = pbx.user("masha").await;
    let wish = json!({ "fromUserId": user, "clientPhone": CLIENT });
    pbx.space
        .post("/communications/call", wish.clone())
        .await
        .ok();
    receiver.next().await;
    let main = json!({ "key": "@main-telephony-settings", "value": beeline.id, "userId": user });
    pbx.space.put("/ui-settings", main).await.ok();
    pbx.space.post("/communications/call", wish).await.ok();
    other.next().await;
    pbx.space
        .post("/communications/call", json!({ "clientPhone": CLIENT }))
        .await
        .ok();
    receiver.next().await;
}
