//! Messages of exchanges about calls, in any order (`docs/contracts/kontur.md §6, §15` checks 3 to 9).

use std::{sync::Arc, time::Duration};

use prichal::cli::pbx::{
    plan::{self, Chaos},
    play::{self, Player},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    hub::eventually,
    integration::Integration,
    receiver::Receiver,
    telephony_exchange::{
        CLIENT, NIL_ID, TelephonyExchange, UNKNOWN_ID, at, event, finished, item, items, register,
        started,
    },
};

#[tokio::test]
async fn one_record_however_the_id_is_written_and_how_often_it_comes() {
    let pbx = TelephonyExchange::new().await;
    let first = pbx.started("333/434").await.ok();
    assert_eq!(first["externalId"], "Megafon/333/434");
    assert_eq!(first.header("x-prichal-effect"), Some("created"));
    for form in ["Megafon/333/434", "megafon/333/434", "333/434"] {
        let again = pbx.started(form).await.ok();
        assert_eq!(again["id"], first["id"], "{form}");
        assert_eq!(again.header("x-prichal-effect"), Some("unchanged"));
    }
    assert_eq!(pbx.feed().await, ["change/create communicationId"]);
    let other = Integration::install(&pbx.space, "Beeline", "https://beeline.ru").await;
    let line = pbx.space.access_key(&other.access_key().await);
    let elsewhere = line
        .post(
            "/communications/callbacks/telephony/call-started",
            started("333/434"),
        )
        .await
        .ok();
    assert_ne!(elsewhere["id"], first["id"], "another integration's call");
    assert_eq!(elsewhere["externalId"], "Beeline/333/434");
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in permutations(n - 1) {
        for place in 0..n {
            let mut order = shorter.clone();
            order.insert(place, n - 1);
            all.push(order);
        }
    }
    all
}

#[tokio::test]
async fn events_in_any_order_give_the_same_legs() {
    let pbx = TelephonyExchange::new().await;
    let story = [
        ("1", "appeared", 1),
        ("2", "appeared", 1),
        ("1", "connected", 4),
        ("2", "disconnected", 5),
        ("1", "disconnected", 30),
    ];
    for (n, order) in permutations(story.len()).into_iter().enumerate() {
        let id = format!("call-{n}");
        let call = pbx.started(&id).await.ok().str("id");
        for place in order {
            let (leg, kind, second) = story[place];
            pbx.event(&id, leg, kind, second).await.ok();
        }
        let expected = json!([
            { "id": "1", "from": { "type": "client" }, "to": { "type": "user" }, "recordings": [], "startedAt": at(4), "finishedAt": at(30) },
            { "id": "2", "from": { "type": "client" }, "to": { "type": "user" }, "recordings": [], "finishedAt": at(5) },
        ]);
        assert_eq!(*items(&pbx.call(&call).await), expected);
    }
}

#[tokio::test]
async fn a_call_tells_in_which_order_its_events_arrived() {
    let pbx = TelephonyExchange::new().await;
    let id = pbx.started("7").await.ok().str("id");
    for (kind, second) in [("disconnected", 30), ("appeared", 1), ("connected", 4)] {
        pbx.event("7", "1", kind, second).await.ok();
        pbx.hub.advance(Duration::from_secs(1));
        // A repetition is no other arrival.
        pbx.event("7", "1", kind, second).await.ok();
    }
    let path = format!("/communications/{id}");
    let call = pbx.space.get(&format!("{path}?include=facts")).await.ok();
    let arrivals = call["facts"]["arrivals"].as_array().expect("arrivals");
    let places: Vec<&Value> = arrivals.iter().map(|one| &one["event"]).collect();
    assert_eq!(places, [2, 0, 1]);
    assert!(arrivals.iter().all(|one| one["at"].is_string()));
    // They are no part of the vendor's model, nor of lists.
    assert!(!pbx.space.get(&path).await.ok().text.contains("arrivals"));
    let list = pbx.space.get("/communications?include=facts").await.ok();
    assert!(!list.text.contains("arrivals"));
}

#[tokio::test]
async fn live_and_history_are_one_call() {
    let pbx = TelephonyExchange::new().await;
    let id = pbx.started("7").await.ok().str("id");
    pbx.event("7", "leg", "appeared", 1).await.ok();
    pbx.event("7", "leg", "connected", 3).await.ok();
    pbx.event("7", "leg", "disconnected", 20).await.ok();
    pbx.send("call-finished", finished("7", 21)).await.ok();
    let file = pbx.upload("talk.mp3").await;
    let history = register("Megafon/7", json!([item("leg", Some(4), 20, &[&file])]));
    pbx.send("register-call", history.clone()).await.ok();

    let call = pbx.call(&id).await;
    let leg = &items(&call)[0];
    assert_eq!(
        (&leg["startedAt"], &leg["finishedAt"]),
        (&json!(at(4)), &json!(at(20)))
    );
    assert_eq!(
        call["data"]["call"]["events"].as_array().map(Vec::len),
        Some(3)
    );
    assert_eq!(call["status"], "sealed");
    assert_eq!(call["externalCreatedAt"], "2022-03-22T10:38:35.5+00:00");
    let recording = &leg["recordings"][0];
    assert_eq!(
        (&recording["fileName"], &recording["contentLength"]),
        (&json!("talk.mp3"), &json!(10))
    );
    let permanent = recording["fileId"].as_str().expect("a file");
    assert_ne!(permanent, file);
    let range = pbx.space.clone().header("range", "bytes=2-4");
    let part = range.get(&format!("/files/{permanent}")).await;
    assert_eq!((part.status, part.text.as_str()), (206, "234"));

    let before = pbx.feed().await;
    let again = pbx.send("register-call", history).await.ok();
    assert_eq!(again.header("x-prichal-effect"), Some("unchanged"));
    let live = json!({ "externalId": "7", "externalCallItemId": "leg", "recordingFileId": file });
    pbx.send("call-recording", live).await.ok();
    assert_eq!(pbx.feed().await, before);
    assert_eq!(pbx.call(&id).await, call);
}

#[tokio::test]
async fn history_alone_makes_a_call() {
    let pbx = TelephonyExchange::new().await;
    let history = register("9", json!([item("a", None, 20, &[UNKNOWN_ID])]));
    pbx.send("register-call", history).await.ok();
    let list = pbx.space.get("/communications?include=facts").await.ok();
    assert_eq!(list["count"], 1);
    let call = &list["items"][0];
    assert_eq!(
        (&call["status"], &call["facts"]["missed"]),
        (&json!("sealed"), &json!(true))
    );
    assert_eq!(
        items(call)[0]["recordings"],
        json!([]),
        "a file that is not there is left out"
    );
    // Late live messages do not change the legs of the history.
    pbx.started("9").await.ok();
    let late = pbx.call(call["id"].as_str().expect("an id")).await;
    assert_eq!(
        (&late["status"], items(&late)),
        (&json!("sealed"), items(call))
    );
}

#[tokio::test]
async fn two_calls_with_one_number_stay_two() {
    let pbx = TelephonyExchange::new().await;
    let (one, two) = (pbx.started("1").await.ok(), pbx.started("2").await.ok());
    assert_ne!(one["id"], two["id"]);
    pbx.event("1", "a", "connected", 1).await.ok();
    pbx.send("call-finished", finished("1", 9)).await.ok();
    assert_eq!(pbx.call(&two.str("id")).await["status"], "active");
    assert_eq!(*items(&pbx.call(&two.str("id")).await), json!([]));
}

#[tokio::test]
async fn unknown_ids_are_refused_as_documented() {
    let pbx = TelephonyExchange::new().await;
    for (name, body) in [
        ("call-event", event("x", "1", "appeared", 1)),
        ("call-finished", finished("x", 1)),
        ("call-failed", json!({ "externalId": "x" })),
        (
            "call-recording",
            json!({ "externalId": "x", "externalCallItemId": "1", "recordingFileId": UNKNOWN_ID }),
        ),
    ] {
        let by_external = pbx.send(name, body.clone()).await;
        let expected = json!({ "status": "communicationNotFound", "message": "Communication not found. Id: x" });
        assert_eq!(
            (by_external.status, &by_external.json),
            (409, &expected),
            "{name}"
        );
        let mut body = body;
        body["communicationId"] = UNKNOWN_ID.into();
        let by_id = pbx.send(name, body).await;
        let message = format!("Communication not found. Id: {UNKNOWN_ID}");
        let expected = json!({ "status": "communicationNotFound", "message": message });
        assert_eq!((by_id.status, &by_id.json), (409, &expected), "{name}");
    }
    for name in ["call-started", "register-call"] {
        let mut body = if name == "call-started" {
            started("y")
        } else {
            register("y", json!([]))
        };
        body["communicationId"] = UNKNOWN_ID.into();
        let refused = pbx.send(name, body).await;
        assert_eq!(
            (refused.status, &refused["status"]),
            (409, &json!("communicationNotFound"))
        );
    }
    assert_eq!(pbx.feed().await, [] as [&str; 0], "nothing was made");
    let missing = pbx
        .space
        .get(&format!("/communications/{UNKNOWN_ID}"))
        .await;
    assert_eq!(
        (missing.status, &missing["status"]),
        (409, &json!("notFound"))
    );
    // A leg that is not there yet, and a file that is not there.
    let id = pbx.started("z").await.ok().str("id");
    let recording =
        json!({ "communicationId": id, "externalCallItemId": "1", "recordingFileId": UNKNOWN_ID });
    let no_file = pbx.send("call-recording", recording).await;
    let message = format!("File {UNKNOWN_ID} not found");
    assert_eq!(
        no_file.json,
        json!({ "status": "notFound", "message": message })
    );
    let file = pbx.upload("a.mp3").await;
    let recording =
        json!({ "communicationId": id, "externalCallItemId": "1", "recordingFileId": file });
    let no_leg = pbx.send("call-recording", recording.clone()).await;
    assert_eq!(
        (no_leg.status, &no_leg["status"]),
        (409, &json!("communicationNotFound"))
    );
    pbx.event("z", "1", "appeared", 1).await.ok();
    pbx.send("call-recording", recording).await.ok();
    assert_eq!(
        items(&pbx.call(&id).await)[0]["recordings"][0]["fileName"],
        "a.mp3"
    );
}

#[tokio::test]
async fn bad_messages_are_named() {
    let pbx = TelephonyExchange::new().await;
    let body = concat!(
        "{\n",
        "    \"timestamp\": \"2022-03-22T10:38:35.6152798+00:00\",\n",
        "    \"communicationId\": null,\n",
        "    \"externalId\": \"333\",\n",
        "    \"externalVatsPhone\": \"79229929292\",\n",
        "    \"clientPhone\": \"79997775533\",\n",
        "    \"direction\": \"in2bound\"\n",
        "}"
    );
    let path = "/communications/callbacks/telephony/call-started";
    let answer = pbx.api.send(Method::POST, path, Some(body.into())).await;
    assert_eq!(answer.status, 400);
    let expected = json!({
        "direction": ["Error converting value \"in2bound\" to type 'Xcom.Api.Models.Communications.CommunicationDirection'. Path 'direction', line 7, position 27."],
        "callStartedInfo": ["The callStartedInfo field is required."],
    });
    assert_eq!(answer["errors"], expected);
    let members: Vec<&String> = answer.json.as_object().expect("an object").keys().collect();
    let expected = ["errors", "type", "title", "status", "detail", "traceId"];
    assert_eq!(members, expected, "ours is `detail`");
    assert_eq!(
        answer["detail"],
        "`direction` `in2bound` is unknown: inbound, outbound, internal."
    );
    for (name, change, member) in [
        ("call-started", json!({ "externalId": null }), "externalId"),
        (
            "call-started",
            json!({ "timestamp": "yesterday" }),
            "timestamp",
        ),
        (
            "call-started",
            json!({ "externalId": "x".repeat(300) }),
            "externalId",
        ),
        ("call-event", json!({ "type": "exploded" }), "type"),
        ("call-event", json!({ "from": {} }), "from.type"),
        (
            "call-event",
            json!({ "to": { "type": "robot" } }),
            "to.type",
        ),
        (
            "call-event",
            json!({ "externalCallItemId": null, "realtimeCallItemId": null }),
            "externalCallItemId",
        ),
        ("register-call", json!({ "items": "many" }), "items"),
        (
            "register-call",
            json!({ "items": [{ "id": "1" }] }),
            "items[0].from",
        ),
    ] {
        let mut body = match name {
            "call-started" => started("1"),
            "call-event" => event("1", "1", "appeared", 1),
            _ => register("1", json!([])),
        };
        for (key, value) in change.as_object().expect("an object") {
            body[key] = value.clone();
        }
        let answer = pbx.send(name, body).await;
        assert_eq!(answer.status, 400, "{name} {change}: {}", answer.text);
        assert!(
            answer["errors"][member].is_array(),
            "{name} {member}: {}",
            answer.text
        );
    }
    let by_user = pbx.space.post(path, started("1")).await;
    assert_eq!(by_user.status, 403, "only integrations report calls");
}

#[tokio::test]
async fn users_that_are_not_there_are_dropped_from_legs() {
    let pbx = TelephonyExchange::new().await;
    let user = pbx.user("masha").await;
    let id = pbx.started("1").await.ok().str("id");
    for (leg, user) in [("1", user.as_str()), ("2", UNKNOWN_ID)] {
        let mut body = event("1", leg, "appeared", 1);
        body["to"]["userId"] = user.into();
        pbx.send("call-event", body).await.ok();
    }
    let call = pbx.call(&id).await;
    assert_eq!(items(&call)[0]["to"]["userId"], user.as_str());
    assert_eq!(items(&call)[1]["to"], json!({ "type": "user" }));
    assert_eq!(
        call["data"]["call"]["events"][1]["to"]["userId"],
        UNKNOWN_ID
    );
    assert_eq!(
        (&call["assignedToUserId"], &call["assignedToGroupId"]),
        (&json!(user), &json!(NIL_ID))
    );
    let by_user = pbx
        .space
        .get(&format!("/communications?userId={user}"))
        .await
        .ok();
    assert_eq!(by_user["count"], 1);
    let stranger = pbx
        .space
        .get(&format!("/communications?userId={UNKNOWN_ID}"))
        .await
        .ok();
    assert_eq!(stranger["count"], 0);
}

#[tokio::test]
async fn calls_that_nobody_ends_are_given_up() {
    let receiver = Receiver::good().await;
    let pbx = TelephonyExchange::at(&receiver.url).await;
    pbx.enable_calls().await;
    let dialled = pbx
        .space
        .post("/communications/call", json!({ "clientPhone": CLIENT }))
        .await
        .ok();
    let dialled = dialled
        .header("x-xcom-communicationid")
        .expect("the id")
        .to_owned();
    let ringing = pbx.started("1").await.ok().str("id");
    pbx.event("1", "a", "appeared", 1).await.ok();
    let talking = pbx.started("2").await.ok().str("id");
    pbx.event("2", "a", "connected", 1).await.ok();
    let ended = pbx.started("3").await.ok().str("id");
    pbx.event("3", "a", "connected", 1).await.ok();
    pbx.event("3", "a", "disconnected", 9).await.ok();
    let sealed = |id: &str| {
        let (space, path) = (pbx.space.clone(), format!("/communications/{id}"));
        async move {
            eventually("sealed", || async {
                let call = space.get(&path).await.ok();
                (call["status"] == "sealed").then_some(call.json)
            })
            .await
        }
    };
    let is_active = |id: &str| {
        let (space, path) = (pbx.space.clone(), format!("/communications/{id}"));
        async move { space.get(&path).await.ok()["status"] == "active" }
    };
    pbx.hub.advance(Duration::from_mins(1));
    assert_eq!(sealed(&dialled).await["data"]["call"]["failed"], true);
    assert!(is_active(&ended).await && is_active(&ringing).await);
    pbx.hub.advance(Duration::from_secs(90));
    let call = sealed(&ended).await;
    assert_eq!(items(&call)[0]["finishedAt"], at(9));
    assert_eq!(call["updateInfo"]["updatedWith"], "xcom");
    pbx.hub.advance(Duration::from_secs(30));
    sealed(&ringing).await;
    assert!(is_active(&talking).await);
    // The timers stand in the store: another process goes on with them.
    let (space, line) = (pbx.space.clone(), pbx.api.clone());
    let hub = pbx.hub.restart().await;
    let (space, line) = (hub.adopt(&space), hub.adopt(&line));
    hub.advance(Duration::from_hours(4));
    let path = format!("/communications/{talking}");
    eventually("sealed", || async {
        (space.get(&path).await.ok()["status"] == "sealed").then_some(())
    })
    .await;
    // A late message still corrects it. The access key has expired by now.
    drop(line);
}

/// The time of a call begins again when it is restored.
#[tokio::test]
async fn restored_calls_are_given_up_in_time() {
    let pbx = TelephonyExchange::new().await;
    let mut calls = Vec::new();
    for n in 0..20 {
        let id = pbx.started(&n.to_string()).await.ok().str("id");
        let path = format!("/communications/{id}");
        pbx.space.delete(&path).await.ok();
        calls.push(path);
    }
    let restores = calls.iter().map(|path| {
        let (space, path) = (pbx.space.clone(), format!("{path}/restore"));
        async move { space.post(&path, json!({})).await.ok() }
    });
    futures_util::future::join_all(restores).await;
    pbx.hub.advance(Duration::from_mins(10));
    for path in &calls {
        eventually("sealed", || async {
            (pbx.space.get(path).await.ok()["status"] == "sealed").then_some(())
        })
        .await;
    }
}

/// A thousand calls with shuffled, repeated and delayed messages: each is right in the end, and a repetition changes
/// nothing.
#[tokio::test]
async fn a_thousand_untidy_calls() {
    let pbx = TelephonyExchange::new().await;
    let users = vec![pbx.user("masha").await, pbx.user("dima").await];
    let api_key = pbx
        .space
        .post(
            &format!("/integrations/{}/api-key", pbx.integration.id),
            json!({}),
        )
        .await
        .ok()
        .str("apiKey");
    let server = play::Server {
        client: reqwest::Client::new(),
        url: pbx.hub.url.clone(),
        workspace: "my-workspace".into(),
        api_key,
    };
    let chaos = Chaos {
        shuffle: 0.7,
        duplicate: 0.3,
        drop: 0.2,
        delay: Duration::ZERO,
    };
    let begin = pbx.hub.app.clock.now();
    let calls: Vec<plan::Call> = (0..1000)
        .map(|n| plan::Call::random(42, n, begin, &users))
        .collect();
    let token = pbx.space.bearer_token();
    for round in 0..2 {
        let before = pbx.feed_length().await;
        let player = Player::new(server.clone(), chaos, Duration::from_millis(1)).await;
        let player = Arc::new(player.expect("an access key"));
        player.tell_all(calls.clone(), 16, 7 + round).await;
        let tally = player.tally();
        assert_eq!((tally.complaints.as_slice(), tally.calls), (&[][..], 1000));
        let wrong = play::verify(&server, &token, "Megafon", &calls)
            .await
            .expect("read");
        assert_eq!(wrong, [] as [&str; 0]);
        if round > 0 {
            assert_eq!(
                pbx.feed_length().await,
                before,
                "told again, nothing changes"
            );
        }
    }
}

#[tokio::test]
async fn history_that_names_fewer_legs_takes_none_away() {
    let pbx = TelephonyExchange::new().await;
    let file = pbx.upload("a.mp3").await;
    let both = json!([item("a", Some(1), 9, &[&file]), item("b", None, 9, &[])]);
    pbx.send("register-call", register("1", both)).await.ok();
    let id = pbx.space.get("/communications").await.ok()["items"][0]["id"].clone();
    let id = id.as_str().expect("an id");
    let before = pbx.call(id).await;
    let only_b = json!([item("b", None, 9, &[])]);
    let again = pbx.send("register-call", register("1", only_b)).await.ok();
    assert_eq!(again.header("x-prichal-effect"), Some("unchanged"));
    assert_eq!(items(&pbx.call(id).await), items(&before));
}

/// Two records merged by a message without other news: the call still times out.
#[tokio::test]
async fn a_merged_call_keeps_its_timer() {
    let receiver = Receiver::good().await;
    let pbx = TelephonyExchange::at(&receiver.url).await;
    pbx.enable_calls().await;
    let other = pbx.started("1").await.ok().str("id");
    let wish = json!({ "clientPhone": CLIENT });
    let dialled = pbx.space.post("/communications/call", wish).await.ok();
    let mut again = started("1");
    again["communicationId"] = dialled
        .header("x-xcom-communicationid")
        .expect("the id")
        .into();
    assert_eq!(pbx.send("call-started", again).await.ok().str("id"), other);
    pbx.hub.advance(Duration::from_mins(3));
    eventually("sealed", || async {
        (pbx.call(&other).await["status"] == "sealed").then_some(())
    })
    .await;
}

#[tokio::test]
async fn ids_of_exchanges_are_bounded_in_characters() {
    let pbx = TelephonyExchange::new().await;
    let call = pbx.started(&"я".repeat(200)).await.ok();
    let repeated = pbx.started(&"я".repeat(200)).await.ok();
    assert_eq!(call["id"], repeated["id"]);
    let refused = pbx.started(&"я".repeat(201)).await;
    assert_eq!(refused.status, 400);
    let text = &refused["errors"]["externalId"][0];
    assert_eq!(text, "The externalId is longer than 200 characters.");
    // Either id names a call, and a message without both says so.
    let refused = pbx.send("call-failed", json!({ "externalId": " " })).await;
    assert_eq!(refused.status, 400);
    let text = &refused["errors"]["externalId"][0];
    let expected = "The externalId or the communicationId field is required.";
    assert_eq!(text, expected);
}
