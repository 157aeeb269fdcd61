//! Calls in a workspace: their links, their responsible users and their lists (`docs/contracts/kontur.md §6, §7`).

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::telephony_exchange::{
    TelephonyExchange, UNKNOWN_ID, event, item, register, started,
};

#[tokio::test]
async fn calls_are_linked_by_their_number() {
    let pbx = TelephonyExchange::new().await;
    let contact =
        json!({ "name": "Иван", "phones": [{ "type": "work", "value": "8 (999) 777-55-33" }] });
    let first = pbx.make("contacts", contact.clone()).await;
    let company =
        json!({ "name": "ООО", "phones": [{ "type": "work", "value": "+7 999 777 55 33" }] });
    let company = pbx.make("companies", company).await;
    let (open, lost) = (
        pbx.make("deals", json!({ "name": "open", "stageId": 3 }))
            .await,
        pbx.make("deals", json!({ "name": "lost", "stageId": -2 }))
            .await,
    );
    pbx.link(json!({ "contactId": first, "dealId": open }))
        .await;
    pbx.link(json!({ "contactId": first, "dealId": lost }))
        .await;

    let call = pbx.started("1").await.ok();
    let id = call.str("id");
    assert_eq!(
        call["links"],
        json!({ "companyIds": [company], "contactIds": [first], "dealIds": [open] })
    );
    assert_eq!(
        pbx.feed().await,
        [
            "change/create communicationId",
            "link/- communicationId+companyId",
            "link/- communicationId+contactId",
            "link/- communicationId+dealId",
        ]
    );
    // The history does not restore links that a user removed.
    let cut = json!({ "communicationId": id, "companyId": company });
    let cut = pbx
        .space
        .send(Method::DELETE, "/links", Some(cut.to_string().into_bytes()));
    cut.await.ok();
    pbx.send(
        "register-call",
        register("1", json!([item("1", None, 9, &[])])),
    )
    .await
    .ok();
    assert_eq!(pbx.call(&id).await["links"]["companyIds"], json!([]));
    // Another number changes the links, but not those that a user made.
    let own = pbx.make("companies", json!({ "name": "by hand" })).await;
    pbx.link(json!({ "communicationId": id, "companyId": own }))
        .await;
    let mut other = register("1", json!([item("1", None, 9, &[])]));
    other["clientPhone"] = "79990000000".into();
    pbx.send("register-call", other).await.ok();
    assert_eq!(
        pbx.call(&id).await["links"],
        json!({ "companyIds": [own], "contactIds": [], "dealIds": [] })
    );
    // Calls of an unknown number are linked when it becomes a contact's.
    let later = json!({ "name": "later", "phones": [{ "type": "work", "value": "9990000001" }] });
    let mut unknown = started("2");
    unknown["clientPhone"] = "+7 999 000-00-01".into();
    let unknown = pbx.send("call-started", unknown).await.ok().str("id");
    let contact = pbx.make("contacts", later).await;
    let found = pbx.call(&unknown).await;
    assert_eq!(found["links"]["contactIds"], json!([contact]));
    let feed = pbx.space.get("/events?limit=1000").await.ok();
    let link = feed["items"]
        .as_array()
        .expect("items")
        .last()
        .cloned()
        .expect("an event");
    assert_eq!(
        (&link["type"], &link["createInfo"]["createdWith"]),
        (&json!("link"), &json!("xcom"))
    );
    for bad in [
        json!({ "communicationId": id, "taskId": UNKNOWN_ID }),
        json!({ "communicationId": id }),
    ] {
        assert_eq!(pbx.space.post("/links", bad).await.status, 400);
    }
}

#[tokio::test]
async fn callers_are_sent_to_who_is_responsible() {
    let pbx = TelephonyExchange::new().await;
    let (masha, dima, idle) = (pbx.user("masha").await, pbx.user("dima").await, {
        let body = json!({ "login": "idle", "firstName": "idle" });
        pbx.make("users", body).await
    });
    let contact = json!({ "name": "Иван", "phones": [{ "type": "work", "value": "89997775533" }] });
    let contact = pbx.make("contacts", contact).await;
    let deal =
        |user: &str, stage: i32| json!({ "name": "d", "stageId": stage, "assignedToUserId": user });
    let mut deals = Vec::new();
    for (user, stage) in [(&masha, 1), (&idle, 1), (&dima, 0), (&masha, 2)] {
        let id = pbx.make("deals", deal(user, stage)).await;
        pbx.link(json!({ "contactId": contact, "dealId": id }))
            .await;
        deals.push(id);
    }
    let redirect = |query: String| {
        let line = pbx.api.clone();
        async move {
            line.get(&format!(
                "/communications/callbacks/telephony/call-redirect?{query}"
            ))
            .await
        }
    };
    let by_phone = redirect("phoneNumber=%2B79997775533".into()).await.ok();
    assert_eq!(by_phone.text, format!("{{\"userIds\":[\"{masha}\"]}}"));
    // The deal that changed last comes first.
    pbx.hub.advance(Duration::from_secs(1));
    pbx.space
        .patch(
            &format!("/deals/{}", deals[2]),
            json!([{ "op": "replace", "path": "/stageId", "value": 5 }]),
        )
        .await
        .ok();
    let by_phone = redirect("phoneNumber=9997775533".into()).await.ok();
    assert_eq!(by_phone["userIds"], json!([dima, masha]));

    pbx.started("16").await.ok();
    let by_call = redirect("externalId=16".into()).await.ok();
    assert_eq!(by_call["userIds"], json!([dima, masha]));
    let nobody = redirect("phoneNumber=70000000000".into()).await.ok();
    assert_eq!(nobody["userIds"], json!([]));
    let unknown = redirect("externalId=17".into()).await;
    let expected = json!({
        "status": "notFound",
        "message": "Communication Xcom.Api.Models.Communications.CallRedirectRequest not found"
    });
    assert_eq!((unknown.status, unknown.json), (409, expected));
    assert_eq!(redirect(String::new()).await.status, 400);
}

#[tokio::test]
async fn a_deleted_call_stays_deleted() {
    let pbx = TelephonyExchange::new().await;
    let id = pbx.started("1").await.ok().str("id");
    let path = format!("/communications/{id}");
    pbx.space.delete(&path).await.ok();
    assert_eq!(pbx.space.get(&path).await["status"], "notFound");
    assert_eq!(pbx.space.get("/communications").await.ok()["count"], 0);
    let feed = pbx.feed().await;
    for (name, body) in [
        ("call-event", event("1", "1", "appeared", 1)),
        ("call-started", started("1")),
        ("register-call", register("1", json!([]))),
    ] {
        let answer = pbx.send(name, body).await.ok();
        assert_eq!(
            answer.header("x-prichal-effect"),
            Some("unchanged"),
            "{name}"
        );
    }
    pbx.space.delete(&path).await.ok();
    assert_eq!(pbx.feed().await, feed);
    let restored = pbx
        .space
        .post(&format!("{path}/restore"), json!({}))
        .await
        .ok();
    assert_eq!(restored["id"], id.as_str());
    pbx.event("1", "1", "appeared", 1).await.ok();
    assert_eq!(
        pbx.feed().await,
        [
            "change/create communicationId",
            "change/delete communicationId",
            "change/restore communicationId",
            "change/patch communicationId"
        ]
    );
    assert_eq!(
        pbx.space
            .delete(&format!("/communications/{UNKNOWN_ID}"))
            .await
            .status,
        409
    );
    let foreign = pbx.hub.workspace("other").await;
    assert_eq!(
        foreign.get(&path).await.status,
        409,
        "it does not exist there"
    );
}

#[tokio::test]
async fn calls_are_listed_and_counted() {
    let pbx = TelephonyExchange::new().await;
    let user = pbx.user("masha").await;
    let history = |id: &str, day: u32, direction: &str, from: Option<u32>| {
        let mut body = register(id, json!([item("1", from, 40, &[])]));
        let leg = &mut body["items"][0];
        let parties = [
            json!({ "type": "user", "userId": user }),
            json!({ "type": "client" }),
        ];
        let [mine, client] = parties;
        (leg["from"], leg["to"]) = if direction == "inbound" {
            (client, mine)
        } else {
            (mine, client)
        };
        body["direction"] = direction.into();
        body["externalCreatedAt"] = format!("2022-03-{day:02}T23:30:00+00:00").into();
        body
    };
    for body in [
        history("1", 1, "inbound", None),
        history("2", 1, "inbound", Some(10)),
        history("3", 2, "outbound", Some(20)),
        history("4", 3, "inbound", None),
    ] {
        pbx.send("register-call", body).await.ok();
    }
    for (query, ids) in [
        ("", vec!["4", "3", "2", "1"]),
        ("direction=outbound", vec!["3"]),
        ("missed=true", vec!["4", "1"]),
        ("missed=false&direction=inbound", vec!["2"]),
        ("from=2022-03-02T00:00:00Z", vec!["4", "3"]),
        (
            "from=2022-03-01T23:30:00Z&to=2022-03-02T23:30:00Z",
            vec!["2", "1"],
        ),
        ("phone=8(999)7775533", vec!["4", "3", "2", "1"]),
        ("phone=nobody", vec![]),
        ("status=active", vec![]),
        ("offset=1&limit=2", vec!["3", "2"]),
        ("answered=true", vec!["3", "2"]),
        ("answered=false", vec!["4", "1"]),
        ("calledBack=false", vec!["4"]),
        ("calledBack=true", vec!["1"]),
        ("line=79229929292", vec!["4", "3", "2", "1"]),
        ("line=1", vec![]),
        ("cursor=start&missed=true", vec!["4", "1"]),
    ] {
        let list = pbx
            .space
            .get(&format!("/communications?{query}"))
            .await
            .ok();
        let found: Vec<&str> = list["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|call| {
                call["externalId"]
                    .as_str()
                    .expect("an id")
                    .trim_start_matches("Megafon/")
            })
            .collect();
        // Two begin at one time: the later id first.
        assert_eq!(found, ids, "{query}");
    }
    let mut pages = Vec::new();
    let mut next = Some("start".to_owned());
    while let Some(cursor) = next {
        let page = pbx
            .space
            .get(&format!("/communications?limit=3&cursor={cursor}"))
            .await
            .ok();
        pages.push(page["count"].as_i64().expect("a count"));
        next = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(pages, [3, 1]);
    let facts = pbx
        .space
        .get("/communications?missed=true&include=facts")
        .await
        .ok();
    let called_back: Vec<&Value> = facts["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|call| &call["facts"]["calledBack"])
        .collect();
    assert_eq!(called_back, [&json!(false), &json!(true)]);
    for bad in [
        "direction=up",
        "missed=maybe",
        "userId=1",
        "from=now",
        "include=all",
        "limit=0",
        "answered=1",
        "cursor=1",
    ] {
        let answer = pbx.space.get(&format!("/communications?{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
    for list in ["/communications", "/communications/statistics"] {
        let backwards = format!("{list}?from=2022-03-02T00:00:00Z&to=2022-03-01T00:00:00Z");
        let answer = pbx.space.get(&backwards).await;
        assert_eq!(answer.status, 400, "{list}");
        assert!(answer["errors"]["to"].is_array(), "{}", answer.text);
    }

    let by_day = pbx
        .space
        .get("/communications/statistics?groupBy=day")
        .await
        .ok();
    let days: Vec<(&Value, &Value, &Value)> = by_day["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|day| (&day["day"], &day["count"], &day["missed"]))
        .collect();
    assert_eq!(
        days,
        [
            (&json!("2022-03-01"), &json!(2), &json!(1)),
            (&json!("2022-03-02"), &json!(1), &json!(0)),
            (&json!("2022-03-03"), &json!(1), &json!(1)),
        ]
    );
    let by_user = pbx
        .space
        .get("/communications/statistics?groupBy=user")
        .await
        .ok();
    assert_eq!(
        by_user["items"],
        json!([{ "userId": user, "count": 4, "active": 0, "inbound": 3, "outbound": 1, "internal": 0, "answered": 2,
            "missed": 2, "talkMs": 50_000, "holdMs": 0 }])
    );
    let by_hour = pbx
        .space
        .get("/communications/statistics?groupBy=hour&to=2022-03-02T00:00:00Z")
        .await
        .ok();
    assert_eq!(by_hour["items"][0]["hour"], "2022-03-01T23:00:00+00:00");
    let by_line = pbx
        .space
        .get("/communications/statistics?groupBy=line")
        .await
        .ok();
    assert_eq!(by_line["items"][0]["line"], "79229929292");
    assert_eq!(
        pbx.space
            .get("/communications/statistics?groupBy=moon")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn a_call_in_progress_is_counted_apart() {
    let pbx = TelephonyExchange::new().await;
    let total = async || {
        let found = pbx.space.get("/communications/statistics?groupBy=line");
        let items = found.await.ok()["items"].clone();
        assert_eq!(items.as_array().map(Vec::len), Some(1), "{items}");
        let members = ["count", "active", "inbound", "answered", "missed", "talkMs"];
        members.map(|name| items[0][name].as_i64().expect("a number"))
    };
    pbx.started("1").await.ok();
    assert_eq!(total().await, [0, 1, 0, 0, 0, 0]);
    // It rings at nobody any more, and another user may still take it.
    pbx.event("1", "1", "appeared", 1).await.ok();
    pbx.event("1", "1", "disconnected", 9).await.ok();
    assert_eq!(total().await, [0, 1, 0, 0, 0, 0]);
    pbx.event("1", "2", "appeared", 10).await.ok();
    pbx.event("1", "2", "connected", 12).await.ok();
    assert_eq!(total().await, [0, 1, 0, 0, 0, 0]);
    let history = register("1", json!([item("2", Some(12), 40, &[])]));
    pbx.send("register-call", history).await.ok();
    assert_eq!(total().await, [1, 0, 1, 1, 0, 28_000]);
}
