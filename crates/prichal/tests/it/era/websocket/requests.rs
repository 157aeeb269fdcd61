//! Requests of the client: `rest`, `svcscript`, `test`.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::error;
use crate::harness::{
    channel_workspace::{ChannelWorkspace, SCRIPTS},
    hub::eventually,
    receiver::{Receiver, Reply},
    websocket_client::WebsocketClient,
};

#[tokio::test]
async fn rest_reaches_the_same_paths_as_http() {
    let era = ChannelWorkspace::new().await;
    let channel = era.open("sock", json!({}), &["rest"]).await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["rest"]).await;
    let data = json!({ "language": "javascript", "source": "1" });
    let content = json!({ "code": "made", "name": "Made", "scriptdata": data });
    let create = json!({ "qid": 1, "operation": "create", "classpath": "service/svcscripts", "content": content });
    let made = client.ask("rest", create).await;
    assert_eq!(
        (&made["result"], &made["qid"], &made["content"]["code"]),
        (&json!("ok"), &json!(1), &json!("made"))
    );
    let id = made["content"]["id"].clone();
    for (asked, check) in [
        (
            json!({ "operation": "read", "classpath": "/rest/v1/service/svcscripts", "mask": "code", "filter": { "code": "made" } }),
            json!([{ "code": "made" }]),
        ),
        (
            json!({ "operation": "lookup", "classpath": "service/svcscripts", "content": "made" }),
            json!([id]),
        ),
        (
            json!({ "operation": "read", "classpath": "service/svcscripts", "id": id, "mask": "name" }),
            json!({ "name": "Made" }),
        ),
        (
            json!({ "operation": "delete", "classpath": "service/svcscripts", "id": id }),
            Value::Null,
        ),
    ] {
        assert_eq!(
            client.ask("rest", asked.clone()).await["content"],
            check,
            "{asked}"
        );
    }
    for (asked, code) in [
        (
            json!({ "operation": "read", "classpath": "service/svcscripts", "id": id }),
            1404,
        ),
        (
            json!({ "operation": "replace", "classpath": "service/svcscripts" }),
            1405,
        ),
        (
            json!({ "operation": "clear", "classpath": "service/svcscripts" }),
            1405,
        ),
        (
            json!({ "operation": "create", "classpath": "service/svcscripts", "content": {} }),
            1400,
        ),
        (
            json!({ "operation": "read", "classpath": "service/svcscripts", "offset": -1 }),
            1400,
        ),
        (
            json!({ "operation": "read", "classpath": "../../admin/v1/workspaces" }),
            1400,
        ),
        (
            json!({ "operation": "read", "classpath": "service/nothing" }),
            1404,
        ),
        (
            json!({ "operation": "steal", "classpath": "service/svcscripts" }),
            1400,
        ),
        (json!({}), 1400),
    ] {
        let answer = client.ask("rest", asked.clone()).await;
        assert_eq!(
            (&answer["result"], &answer["errorcode"]),
            (&json!("error"), &json!(code)),
            "{asked}: {answer}"
        );
    }
    let feed = era.space.get("/events").await.ok();
    // After the role and the channel.
    let made = &feed["items"].as_array().expect("items")[2];
    assert_eq!(made["createInfo"]["createdWith"], "IntegrationPoint.sock");
}

#[tokio::test]
async fn roles_and_the_channels_filter_limit_the_capabilities() {
    let era = ChannelWorkspace::new().await;
    let routes = json!([
        { "methods": ["WEBSOCKET"], "url": "/ws#rest" },
        { "methods": ["GET"], "url": "/rest/v1/service/svcscripts" },
    ]);
    era.space
        .post("/roles", json!({ "name": "reader", "routes": routes }))
        .await
        .ok();
    let members = json!({ "opts": { "roles": ["reader", "unknown"] } });
    let channel = era.channel("sock", members).await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["rest"]).await;
    let denied = "Access denied by IAM (route not found)";
    let answer = client
        .ask("setup", json!({ "capabilities": [{ "key": "svcscript" }] }))
        .await;
    assert_eq!(
        answer["capabilities"][0],
        json!({ "key": "svcscript", "result": "error", "errormsg": denied })
    );
    let read = |classpath: &str| json!({ "qid": 1, "operation": "read", "classpath": classpath });
    assert_eq!(
        client.ask("rest", read("service/svcscripts")).await["result"],
        "ok"
    );
    let refused = client.ask("rest", read("service/integration_points")).await;
    assert_eq!(refused, error(json!(1), 1403, denied));
    let members = json!({ "opts": { "filter_capabilities": ["test"] } });
    let narrow = era.open("narrow", members, &["test", "rest"]).await;
    let mut client = WebsocketClient::with(&era.hub, &narrow, &["test"]).await;
    let answer = client
        .ask("setup", json!({ "capabilities": [{ "key": "rest" }] }))
        .await;
    assert_eq!(answer["capabilities"][0]["errormsg"], denied);
}

#[tokio::test]
async fn scripts_are_started_and_stopped() {
    let era = ChannelWorkspace::new().await;
    let channel = era.open("sock", json!({}), &["svcscript"]).await;
    let id = era
        .script(
            "calc",
            "variables.sum = startparam(1) + startparam(20); variables.at = request.method",
        )
        .await;
    let variables = json!({ "opts": { "variables": { "from": "preset" } } });
    era.change(&format!("{SCRIPTS}/{id}"), variables).await.ok();
    let mut client = WebsocketClient::with(&era.hub, &channel, &["svcscript"]).await;
    let start = json!({ "qid": "a", "code": "calc", "startparam1": 1, "startparam20": 2 });
    let answer = client.ask("start_svcscript", start).await;
    let variables = json!({ "from": "preset", "sum": 3, "at": "START" });
    assert_eq!(
        answer,
        json!({ "qid": "a", "result": "ok", "data": { "variables": variables } })
    );
    for (asked, code) in [
        (json!({ "qid": 1 }), 1400),
        (json!({ "qid": 1, "code": "none" }), 1404),
        (json!({ "qid": 1, "code": "calc", "timeout": 0 }), 1400),
        (json!({ "qid": 1, "code": "calc", "timeout": "x" }), 1400),
        (json!({ "qid": 1, "code": "calc", "startparam21": 1 }), 1400),
    ] {
        assert_eq!(
            client.ask("start_svcscript", asked.clone()).await["errorcode"],
            code,
            "{asked}"
        );
    }
    era.script("bad", "throw new Error('no')").await;
    let answer = client
        .ask("start_svcscript", json!({ "qid": 2, "code": "bad" }))
        .await;
    assert_eq!(
        (
            &answer["errorcode"],
            answer["errormsg"]
                .as_str()
                .is_some_and(|text| text.contains("no"))
        ),
        (&json!(1500), true)
    );
    era.script("loop", "for (;;) {}").await;
    client
        .send(json!(["start_svcscript", { "qid": "l", "code": "loop" }]).to_string())
        .await;
    let again = client
        .ask("start_svcscript", json!({ "qid": "l", "code": "loop" }))
        .await;
    assert_eq!(again["errorcode"], 1409, "one script a qid");
    assert_eq!(
        client.ask("abort_svcscript", json!({ "qid": "l" })).await,
        json!({ "qid": "l", "result": "ok" })
    );
    let stopped = era.run("loop", "failed").await;
    assert!(
        stopped["error"]
            .as_str()
            .is_some_and(|error| error.contains("stopped"))
    );
    assert_eq!(
        client.ask("abort_svcscript", json!({ "qid": "l" })).await["errorcode"],
        1404
    );
    client
        .send(
            json!(["start_svcscript", { "qid": "t", "code": "loop", "timeout": 500 }]).to_string(),
        )
        .await;
    era.wait_until_running(1).await;
    era.hub.advance(Duration::from_millis(500));
    let late = client.next().await;
    assert_eq!(
        (&late[1]["qid"], &late[1]["errorcode"]),
        (&json!("t"), &json!(1504))
    );
}

#[tokio::test]
async fn a_script_has_ten_seconds_by_default() {
    let era = ChannelWorkspace::new().await;
    let capabilities = ["svcscript", "test"];
    let channel = era.open("sock", json!({}), &capabilities).await;
    era.script("loop", "for (;;) {}").await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["svcscript", "test"]).await;
    client
        .send(json!(["start_svcscript", { "qid": 1, "code": "loop" }]).to_string())
        .await;
    era.wait_until_running(1).await;
    era.hub.advance(Duration::from_millis(9_999));
    assert_eq!(
        client.ask("test", json!({ "qid": 2 })).await["qid"],
        2,
        "it goes on"
    );
    era.hub.advance(Duration::from_millis(1));
    let late = client.next().await;
    assert_eq!(
        (&late[0], &late[1]["qid"], &late[1]["errorcode"]),
        (&json!("start_svcscript_result"), &json!(1), &json!(1504))
    );
    // The client that stops a script gets only that answer, and may use the qid again.
    client
        .send(json!(["start_svcscript", { "qid": 3, "code": "loop" }]).to_string())
        .await;
    assert_eq!(
        client.ask("abort_svcscript", json!({ "qid": 3 })).await["result"],
        "ok"
    );
    client
        .send(json!(["start_svcscript", { "qid": 3, "code": "loop" }]).to_string())
        .await;
    eventually("the first has ended", || async {
        let runs = era.runs("loop").await;
        (runs.len() == 2).then_some(())
    })
    .await;
    era.wait_until_running(1).await;
    assert_eq!(
        client.ask("abort_svcscript", json!({ "qid": 3 })).await["result"],
        "ok",
        "the qid is that of the second"
    );
}

#[tokio::test]
async fn requests_beyond_eight_wait_for_their_turn() {
    let era = ChannelWorkspace::new().await;
    let capabilities = ["rest", "svcscript", "test"];
    let channel = era.open("sock", json!({}), &capabilities).await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &capabilities).await;
    let frame = |method: &str, qid: usize, more: Value| {
        let mut params = more;
        params["qid"] = qid.into();
        json!([method, params]).to_string()
    };
    let read = json!({ "operation": "read", "classpath": "service/svcscripts" });
    for qid in 0..60 {
        client.send(frame("rest", qid, read.clone())).await;
    }
    let mut seen = Vec::new();
    for _ in 0..60 {
        let answer = client.next().await;
        assert_eq!(answer[1]["result"], "ok", "{answer}");
        seen.push(answer[1]["qid"].as_u64().expect("a number"));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..60).collect::<Vec<u64>>());
    // Eight endless scripts hold up the further requests, not the connection. A waiting request can be stopped.
    era.script("loop", "for (;;) {}").await;
    let start = json!({ "code": "loop", "timeout": 60_000 });
    for qid in 0..73 {
        client
            .send(frame("start_svcscript", qid, start.clone()))
            .await;
    }
    let refused = client.next().await;
    assert_eq!(
        (&refused[1]["qid"], &refused[1]["errorcode"]),
        (&json!(72), &json!(1503))
    );
    era.wait_until_running(8).await;
    for qid in (0..72).rev() {
        let stopped = client.ask("abort_svcscript", json!({ "qid": qid })).await;
        assert_eq!(stopped, json!({ "qid": qid, "result": "ok" }));
    }
    era.wait_until_running(0).await;
    eventually("those that began are on record, and no others", || async {
        (era.runs("loop").await.len() == 8).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_qid_and_a_message_come_back_to_the_letter() {
    let era = ChannelWorkspace::new().await;
    let source = "respond(200, {}, {text: request.text})";
    era.script("hear", source).await;
    let channel = era
        .channel("sock", json!({ "recv_svcscriptcode_ws": "hear" }))
        .await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["msg", "test"]).await;
    for qid in [
        "123456789012345678901234567890",
        "1E2",
        "1.10",
        r#"{"b": [1.0, "ё"], "a":null}"#,
    ] {
        client
            .send(format!(r#"["test", {{"x": 1, "qid": {qid}}}]"#))
            .await;
        assert_eq!(
            client.text().await,
            format!(r#"["test_result",{{"qid":{qid},"result":"ok"}}]"#)
        );
    }
    let frame = r#"["sum", {"qid":1, "n":12345678901234567890123, "p": 1.10}]"#;
    client.send(frame).await;
    assert_eq!(client.next().await[1]["data"]["text"], frame);
}

#[tokio::test]
async fn accepted_requests_are_finished_before_the_server_stops() {
    let era = ChannelWorkspace::new().await;
    let held = Arc::new(Semaphore::new(0));
    let passes = held.clone();
    let receiver = Receiver::start(move |_| Reply::Held(held.clone())).await;
    let source = "await fetch(request.entity.url); kv.set('done', 1); respond(200, {}, 'done')";
    era.script("slow", source).await;
    let members = json!({ "url": receiver.url, "recv_svcscriptcode": "slow", "recv_svcscriptcode_ws": "slow" });
    let channel = era.open("sock", members, &["msg", "svcscript"]).await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["msg", "svcscript"]).await;
    client.send(json!(["ask", { "qid": 1 }]).to_string()).await;
    client
        .send(json!(["start_svcscript", { "qid": 2, "code": "slow" }]).to_string())
        .await;
    era.hook(&channel, json!({})).await.ok();
    for _ in 0..3 {
        receiver.next().await;
    }
    let ChannelWorkspace { hub, space, rest } = era;
    let stopping = hub.app.stopping.clone();
    let talk = async {
        stopping.cancelled().await;
        passes.add_permits(3);
        let both = [client.next().await, client.next().await];
        assert!(
            both.iter().all(|answer| answer[1]["result"] == "ok"),
            "{both:?}"
        );
        client.closed().await
    };
    let (code, installation) = tokio::join!(talk, hub.stop());
    assert_eq!(code, Some(CloseCode::Away));
    let hub = installation.start().await;
    let era = ChannelWorkspace {
        space: hub.adopt(&space),
        rest: hub.adopt(&rest),
        hub,
    };
    let runs = era.runs("slow").await;
    let states: Vec<&Value> = runs.iter().map(|run| &run["status"]).collect();
    assert_eq!(states, ["finished"; 3], "{runs:?}");
}
