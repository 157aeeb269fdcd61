//! What users ask of telephony, and the calls they see (`docs/contracts/kontur.md §4.4, §11`).

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    hub::{Answer, Caller, Ground},
    line::{CLIENT, Exchange, NOBODY, at, event, finished, items, started},
    partner::Partner,
    receiver::{Call, Receiver, Reply},
};

#[tokio::test]
async fn a_user_calls_and_hangs_up() {
    let receiver = Receiver::good().await;
    let pbx = Exchange::at(&receiver.url).await;
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
        (format!("/communications/{NOBODY}/hangup"), NOBODY),
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
    pbx.partner
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
    let pbx = Exchange::at(&receiver.url).await;
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

/// Whatever came of it: the same wish under the same key calls nobody again.
#[tokio::test]
async fn a_wish_that_is_sent_again_dials_once() {
    let gate = Arc::new(Semaphore::new(0));
    let receiver = Receiver::good().await;
    let pbx = Exchange::at(&receiver.url).await;
    let id_of = |answer: &Answer| {
        let id = answer.header("x-xcom-communicationid");
        id.expect("the id").to_owned()
    };
    let call = async |key: &str, phone: &str| {
        let caller = pbx.space.clone().header("idempotency-key", key);
        let wish = json!({ "clientPhone": phone });
        caller.post("/communications/call", wish).await
    };
    // A refusal that made no record keeps nothing.
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
    // After a day the key is as good as new.
    pbx.hub.advance(Duration::from_hours(25));
    let new = call("1", CLIENT).await.ok();
    receiver.next().await;
    assert_ne!(id_of(&new), id_of(&first));
}

#[tokio::test]
async fn a_call_reported_without_our_id_is_adopted() {
    let receiver = Receiver::good().await;
    let pbx = Exchange::at(&receiver.url).await;
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
    // A message that names two calls, whose phones differ: the communicationId counts.
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
    // The exchange has made a record before it names ours: both are one.
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
async fn the_main_telephony_goes_first() {
    let receiver = Receiver::good().await;
    let pbx = Exchange::at(&receiver.url).await;
    pbx.enable_calls().await;
    let other = Receiver::good().await;
    pbx.hub.advance(Duration::from_secs(1));
    let beeline = Partner::install(&pbx.space, "Beeline", &other.url).await;
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

/// The cards of a user, as they come.
struct Cards {
    answer: reqwest::Response,
    text: String,
}

#[derive(Debug)]
struct Card {
    name: String,
    id: String,
    data: Value,
}

impl Cards {
    async fn of(caller: &Caller) -> Self {
        let answer = caller.stream("/communications/live").await;
        assert_eq!(answer.status(), 200);
        Self {
            answer,
            text: String::new(),
        }
    }

    /// The next block that has data.
    async fn next(&mut self) -> Card {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let mut lines = block.lines();
                    lines
                        .find_map(|line| line.strip_prefix(name))
                        .map(|text| text.trim().to_owned())
                };
                if let (Some(name), Some(id), Some(data)) =
                    (field("event:"), field("id:"), field("data:"))
                {
                    let data = serde_json::from_str(&data).expect("JSON");
                    return Card { name, id, data };
                }
            }
            let chunk = self
                .answer
                .chunk()
                .await
                .expect("it goes on")
                .expect("more");
            self.text += std::str::from_utf8(&chunk).expect("text");
        }
    }
}

fn ring(id: &str, leg: &str, kind: &str, user: &str, second: u32) -> Value {
    let mut body = event(id, leg, kind, second);
    body["to"]["userId"] = user.into();
    body
}

#[tokio::test]
async fn a_user_sees_the_calls_on_his_line() {
    let pbx = Exchange::new().await;
    let (masha, dima) = (pbx.user("masha").await, pbx.user("dima").await);
    let (of_masha, of_dima) = (
        pbx.hub.user_token("my-workspace", &masha).await,
        pbx.hub.user_token("my-workspace", &dima).await,
    );
    assert_eq!(
        pbx.space.get("/communications/live").await.status,
        403,
        "no user, no line"
    );
    let (mut first, mut second) = (Cards::of(&of_masha).await, Cards::of(&of_masha).await);
    let mut other = Cards::of(&of_dima).await;
    let id = pbx
        .send("call-started", now_started(&pbx, "1"))
        .await
        .ok()
        .str("id");
    // A ring group: both see the card, and who answers keeps it.
    pbx.send("call-event", ring("1", "m", "appeared", &masha, 1))
        .await
        .ok();
    pbx.send("call-event", ring("1", "d", "appeared", &dima, 1))
        .await
        .ok();
    for cards in [&mut first, &mut second, &mut other] {
        let card = cards.next().await;
        assert_eq!(
            (card.name.as_str(), &card.data["id"]),
            ("opened", &json!(id))
        );
        assert_eq!(card.data["facts"]["state"], "ringing");
    }
    pbx.send("call-event", ring("1", "m", "connected", &masha, 3))
        .await
        .ok();
    pbx.send("call-event", ring("1", "d", "disconnected", &dima, 3))
        .await
        .ok();
    let mut last = String::new();
    for cards in [&mut first, &mut second] {
        loop {
            let card = cards.next().await;
            assert_eq!(card.name, "state");
            last = card.id;
            if card.data["facts"]["state"] == "talking" {
                break;
            }
        }
    }
    loop {
        let card = other.next().await;
        if card.name == "closed" {
            break;
        }
        assert_eq!(card.name, "state");
    }
    // A tab that opens now shows the card too.
    let mut late = Cards::of(&of_masha).await;
    assert_eq!(late.next().await.data["id"], json!(id));
    pbx.send("call-finished", finished("1", 30)).await.ok();
    loop {
        let card = late.next().await;
        if card.name == "closed" {
            assert_eq!(card.data["status"], "sealed");
            break;
        }
    }
    // One that was away meanwhile learns of the end.
    let mut back = Cards::of(&of_masha.clone().header("last-event-id", &last)).await;
    assert_eq!(back.next().await.name, "closed");
    let bad = of_masha.header("last-event-id", "yesterday");
    assert_eq!(bad.get("/communications/live").await.status, 400);
}

/// A call that begins at the time of the test.
fn now_started(pbx: &Exchange, id: &str) -> Value {
    let mut body = started(id);
    body["timestamp"] = pbx.hub.app.clock.now().to_string().into();
    body
}

#[tokio::test]
async fn nothing_old_pops_up() {
    let pbx = Exchange::new().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    pbx.started("1").await.ok();
    pbx.send("call-event", ring("1", "m", "connected", &masha, 1))
        .await
        .ok();
    pbx.hub.advance(Duration::from_secs(61));
    let mut cards = Cards::of(&of_masha).await;
    assert_eq!(
        cards.next().await.name,
        "state",
        "it is shown, but does not pop up"
    );
}

#[tokio::test]
async fn streams_end_with_the_server() {
    let pbx = Exchange::new().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    let mut cards = Cards::of(&of_masha).await;
    pbx.hub.stop().await;
    while cards.answer.chunk().await.expect("a clean end").is_some() {}
}

#[tokio::test]
#[ignore = "needs PostgreSQL and NATS; ./test has them"]
async fn cards_are_the_same_on_every_node() {
    let ground = Ground::new(|_| ());
    let pbx = Exchange::on(ground.start().await, "https://my-integration.ru").await;
    let second = ground.neighbour().start().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    let mut cards = Cards::of(&second.adopt(&of_masha)).await;
    let id = pbx
        .send("call-started", now_started(&pbx, "1"))
        .await
        .ok()
        .str("id");
    pbx.send("call-event", ring("1", "m", "appeared", &masha, 1))
        .await
        .ok();
    // Without a bus the other node looks once a second.
    let card = loop {
        tokio::select! {
            card = cards.next() => break card,
            () = tokio::time::sleep(Duration::from_millis(20)) => pbx.hub.advance(Duration::from_millis(250)),
        }
    };
    assert_eq!(
        (card.name.as_str(), &card.data["id"]),
        ("opened", &json!(id))
    );
}

#[tokio::test]
async fn what_waited_at_the_exchange_does_not_pop_up() {
    let pbx = Exchange::new().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    pbx.hub.advance(Duration::from_secs(90));
    let mut cards = Cards::of(&of_masha).await;
    pbx.started("1").await.ok();
    pbx.send("call-event", ring("1", "m", "appeared", &masha, 1))
        .await
        .ok();
    assert_eq!(cards.next().await.name, "state");
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let pbx = Exchange::new().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    let mut cards = Cards::of(&of_masha).await;
    let tokens = "/admin/v1/workspaces/my-workspace/tokens";
    let list = pbx.hub.admin().get(tokens).await.ok();
    let of_user = list["items"].as_array().expect("items").iter();
    let token = of_user
        .filter(|token| token["userId"] == masha.as_str())
        .find_map(|token| token["id"].as_str())
        .expect("a token");
    pbx.hub.admin().delete(&format!("{tokens}/{token}")).await;
    while cards.answer.chunk().await.expect("a clean end").is_some() {}
}
