//! Messages between the client and the scripts of its channel.

use std::time::Duration;

use serde_json::{Value, json};

use super::error;
use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS},
    hub::eventually,
    websocket_client::WebsocketClient,
};

#[tokio::test]
async fn messages_go_to_the_receiving_script_and_back() {
    let era = ChannelWorkspace::new().await;
    let source = "
        const [method, params] = request.body;
        if (method === 'fail') throw new Error('inside');
        if (method === 'ask') respond(200, {}, {n: params.n + 1});
        if (method === 'push') console.log(channel.websocket.send('pushed', {n: params.n}).sent);";
    era.script("hear", source).await;
    let channel = era
        .channel("sock", json!({ "recv_svcscriptcode_ws": "hear" }))
        .await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["msg"]).await;
    let mut neighbour = WebsocketClient::with(&era.hub, &channel, &["msg"]).await;
    assert_eq!(
        client.ask("ask", json!({ "qid": 1, "n": 1 })).await,
        json!({ "qid": 1, "result": "ok", "data": { "n": 2 } })
    );
    assert_eq!(
        client.ask("fail", json!({ "qid": 2 })).await,
        error(json!(2), 1500, "The script failed")
    );
    client.send(json!(["push", { "n": 3 }]).to_string()).await;
    assert_eq!(client.next().await, json!(["pushed", { "n": 3 }]));
    // The answer came over the sender's connection only. Messages from elsewhere come over all connections.
    let bell = "channel.websocket.send('bell', [request.body])";
    era.script("ring", bell).await;
    let path = format!("{POINTS}/{}", channel.id);
    let both = json!({ "recv_svcscriptcode": "ring", "send_svcscriptcode_ws": "ring", "opts": { "issync": true } });
    era.change(&path, both).await.ok();
    era.hook(&channel, json!("hook")).await.ok();
    for socket in [&mut client, &mut neighbour] {
        assert_eq!(socket.next().await, json!(["bell", ["hook"]]));
    }
    era.rest
        .post(&format!("{path}/send"), json!("message"))
        .await
        .ok();
    for socket in [&mut client, &mut neighbour] {
        assert_eq!(socket.next().await, json!(["bell", ["message"]]));
    }
    eventually("both are on record", || async {
        let runs = era.runs("ring").await;
        let kinds: Vec<&Value> = runs.iter().map(|run| &run["kind"]).collect();
        (kinds == ["send", "hook"]).then_some(())
    })
    .await;
    // Many at once are taken in their order.
    for n in 0..30 {
        client
            .send(json!(["ask", { "qid": n, "n": n }]).to_string())
            .await;
    }
    for n in 0..30 {
        assert_eq!(client.next().await[1]["data"], json!({ "n": n + 1 }));
    }
    let silent = era.channel("silent", json!({})).await;
    let mut client = WebsocketClient::with(&era.hub, &silent, &["msg"]).await;
    assert_eq!(
        client.ask("ask", json!({ "qid": 1 })).await,
        error(
            json!(1),
            1404,
            "There is no method ask, and the channel has no `recv_svcscriptcode_ws`"
        )
    );
}

#[tokio::test]
async fn a_websocket_is_used_where_one_is_open() {
    let era = ChannelWorkspace::new().await;
    era.script("http", "'by http'").await;
    era.script("over", "'by websocket'").await;
    let members = json!({ "send_svcscriptcode": "http", "send_svcscriptcode_ws": "over" });
    let channel = era.channel("sock", members).await;
    let path = format!("{POINTS}/{}/send", channel.id);
    era.rest.post(&path, json!(1)).await.ok();
    era.run("http", "finished").await;
    let client = WebsocketClient::with(&era.hub, &channel, &["msg"]).await;
    era.rest.post(&path, json!(2)).await.ok();
    eventually("the script for websockets has run", || async {
        let all = era
            .rest
            .get("/rest/v1/service/svcscript_runtimes")
            .await
            .ok();
        all.text.contains("by websocket").then_some(())
    })
    .await;
    drop(client);
    let count = era.runs("http").await.len();
    eventually("the websocket is forgotten", || async {
        era.rest.post(&path, json!(3)).await.ok();
        (era.runs("http").await.len() > count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_channel_may_get_a_script_while_it_is_connected() {
    let era = ChannelWorkspace::new().await;
    era.script("hear", "respond(200, {}, 'heard')").await;
    let channel = era.channel("sock", json!({})).await;
    let path = format!("{POINTS}/{}", channel.id);
    let mut client = WebsocketClient::with(&era.hub, &channel, &["msg"]).await;
    let unknown = error(
        json!(1),
        1404,
        "There is no method hello, and the channel has no `recv_svcscriptcode_ws`",
    );
    assert_eq!(client.ask("hello", json!({ "qid": 1 })).await, unknown);
    era.change(&path, json!({ "recv_svcscriptcode_ws": "hear" }))
        .await
        .ok();
    assert_eq!(
        client.ask("hello", json!({ "qid": 1 })).await["data"],
        "heard"
    );
    era.change(&path, json!({ "recv_svcscriptcode_ws": "" }))
        .await
        .ok();
    assert_eq!(client.ask("hello", json!({ "qid": 1 })).await, unknown);
}

#[tokio::test]
async fn messages_require_the_capability() {
    let era = ChannelWorkspace::new().await;
    let source = "channel.websocket.send('told', request.body)";
    let narrow = era.sync_channel("narrow", source).await;
    let only = json!({ "opts": { "filter_capabilities": ["test"] } });
    era.change(&format!("{POINTS}/{}", narrow.id), only)
        .await
        .ok();
    let mut client = WebsocketClient::with(&era.hub, &narrow, &["test"]).await;
    era.hook(&narrow, json!(1)).await.ok();
    assert_eq!(client.ask("test", json!({ "qid": 1 })).await["qid"], 1);
    // A client that may have messages gets them, even before its set-up.
    let members = json!({ "recv_svcscriptcode": "narrow", "opts": { "issync": true } });
    let wide = era.channel("wide", members).await;
    let mut client = WebsocketClient::open(&era.hub, &wide).await;
    client.ask("connection_info", json!({})).await;
    era.hook(&wide, json!(2)).await.ok();
    assert_eq!(client.next().await, json!(["told", 2]));
}

#[tokio::test]
async fn a_message_waits_for_a_websocket_where_that_is_the_only_way() {
    let era = ChannelWorkspace::new().await;
    era.script("over", "channel.websocket.send('out', request.body)")
        .await;
    let channel = era
        .channel("sock", json!({ "send_svcscriptcode_ws": "over" }))
        .await;
    let path = format!("{POINTS}/{}", channel.id);
    era.rest
        .post(&format!("{path}/send"), json!({ "n": 1 }))
        .await
        .ok();
    let attempt = |status: &'static str| {
        let (rest, path) = (era.rest.clone(), format!("{path}/deliveries"));
        eventually("an attempt", move || {
            let (rest, path) = (rest.clone(), path.clone());
            async move {
                let list = rest.get(&path).await.ok();
                (list["items"][0]["status"] == status).then(|| list["items"][0].clone())
            }
        })
    };
    let failed = attempt("deferred").await;
    assert_eq!(failed["error"], "no websocket of the channel is open");
    let mut client = WebsocketClient::with(&era.hub, &channel, &["msg"]).await;
    era.hub.advance(Duration::from_secs(30));
    assert_eq!(client.next().await, json!(["out", { "n": 1 }]));
    attempt("delivered").await;
}
