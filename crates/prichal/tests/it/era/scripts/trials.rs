//! Trials without effect, and earlier versions of scripts.

use serde_json::{Value, json};

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS, RUNS, SCRIPTS},
    hub::eventually,
    websocket_client::WebsocketClient,
};

const COUNTING: &str = "const n = (kv.get('n') ?? 0) + 1; kv.set('n', n); console.log(request.body.order, n); \
     entities.create('contacts', { name: 'Ana' }); respond(201, {}, n)";

/// The path of the script with this code.
async fn path(era: &ChannelWorkspace, code: &str) -> String {
    let filter = format!("{SCRIPTS}?filter=%7B%22code%22%3A%22{code}%22%7D");
    let found = era.rest.get(&filter).await.ok();
    format!("{SCRIPTS}/{}", found[0]["id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_trial_has_no_effect() {
    let era = ChannelWorkspace::new().await;
    let channel = era.sync_channel("count", COUNTING).await;
    let script = path(&era, "count").await;
    let body = json!({
        "integrationPointId": channel.id,
        "request": {"method": "PUT", "url": "/hook?a=1", "headers": [["Content-Type", "application/json"]], "body": "{\"order\":7}"},
    });
    for _ in 0..2 {
        let tried = era
            .rest
            .post(&format!("{script}/try"), body.clone())
            .await
            .ok();
        assert_eq!(
            (
                &tried["status"],
                &tried["log"],
                &tried["result"]["status"],
                &tried["error"]
            ),
            (
                &json!("finished"),
                &json!(["7 1"]),
                &json!(201),
                &Value::Null
            )
        );
        let names: Vec<&Value> = tried["effects"]
            .as_array()
            .expect("effects")
            .iter()
            .map(|one| &one["name"])
            .collect();
        assert_eq!(names, ["kv.set", "entities.create"]);
        assert_eq!(
            tried["effects"][0]["argument"],
            json!({"key": "n", "value": 1})
        );
    }
    let runs = era.rest.get(RUNS).await.ok();
    assert_eq!(runs.json, json!([]), "a trial is no run");
    let contacts = era.space.get("/contacts").await.ok();
    assert_eq!(contacts["count"], 0);
}

#[tokio::test]
async fn a_changed_source_is_tried_on_a_past_request() {
    let era = ChannelWorkspace::new().await;
    let channel = era
        .sync_channel("strict", "throw new Error(request.body.order)")
        .await;
    era.hook(&channel, json!({ "order": 5 })).await;
    let run = era.run("strict", "failed").await;
    let script = path(&era, "strict").await;
    let change = json!({ "runtimeId": run["id"], "source": "await fetch('https://example.com').catch(String)" });
    let tried = era.rest.post(&format!("{script}/try"), change).await.ok();
    assert!(
        tried
            .str("result")
            .contains("fetch is not called in a trial"),
        "{}",
        tried.text
    );
    let change = json!({ "runtimeId": run["id"], "source": "request.body.order + 1" });
    let tried = era.rest.post(&format!("{script}/try"), change).await.ok();
    assert_eq!(tried["result"], 6);
    let same = json!({ "runtimeId": run["id"] });
    let tried = era.rest.post(&format!("{script}/try"), same).await.ok();
    assert_eq!(tried["status"], "failed");
    // The token of the channel is masked.
    let leak =
        json!({ "runtimeId": run["id"], "source": "console.log(request.entity.token_local)" });
    let tried = era.rest.post(&format!("{script}/try"), leak).await.ok();
    assert_eq!(tried["log"], json!(["***"]));
    for (body, code) in [
        (json!({ "source": "(" }), 1400),
        (json!({ "colour": 1 }), 1400),
        (json!({ "request": { "headers": [["a"]] } }), 1400),
        (
            json!({ "runtimeId": "01a21dcc-fc40-7562-86d0-358951338245" }),
            1404,
        ),
        (
            json!({ "integrationPointId": "01a21dcc-fc40-7562-86d0-358951338245" }),
            1404,
        ),
    ] {
        let refused = era.rest.post(&format!("{script}/try"), body.clone()).await;
        assert_eq!(refused["error_code"], code, "{body}: {}", refused.text);
    }
    let unknown = format!("{SCRIPTS}/01a21dcc-fc40-7562-86d0-358951338245/try");
    assert_eq!(era.rest.post(&unknown, json!({})).await.status, 404);
}

#[tokio::test]
async fn a_request_that_has_succeeded_is_not_kept() {
    let era = ChannelWorkspace::new().await;
    let channel = era.queued_channel("well", "1").await;
    era.hook(&channel, json!({})).await;
    let run = era.run("well", "finished").await;
    let script = path(&era, "well").await;
    let body = json!({ "runtimeId": run["id"] });
    let refused = era.rest.post(&format!("{script}/try"), body).await;
    assert_eq!(refused["error_code"], 1409, "{}", refused.text);
}

#[tokio::test]
async fn earlier_versions_are_kept() {
    let era = ChannelWorkspace::new().await;
    era.script("job", "0").await;
    let script = path(&era, "job").await;
    let versions = format!("{script}/versions");
    assert_eq!(era.rest.get(&versions).await.ok().json, json!([]));
    for n in 1..=22 {
        let data = json!({ "name": format!("v{n}"), "scriptdata": { "source": n.to_string() } });
        era.change(&script, data).await.ok();
    }
    // A change that leaves the source alone adds no version.
    era.change(&script, json!({ "name": "new" })).await.ok();
    let found = era.rest.get(&versions).await.ok();
    let numbers: Vec<i64> = found
        .json
        .as_array()
        .expect("versions")
        .iter()
        .map(|one| one["number"].as_i64().expect("a number"))
        .collect();
    assert_eq!(numbers, (3..=22).rev().collect::<Vec<_>>());
    assert_eq!(found[0]["size"], 2);
    assert!(found[0].get("source").is_none());
    let one = era.rest.get(&format!("{versions}/22")).await.ok();
    assert_eq!(one["source"], "21");
    for missing in ["1", "23", "x"] {
        let answer = era.rest.get(&format!("{versions}/{missing}")).await;
        assert_eq!(answer.status, 404, "{missing}");
    }
    era.rest.delete(&script).await;
    assert_eq!(era.rest.get(&versions).await.status, 404);
}

#[tokio::test]
async fn open_websockets_are_listed() {
    let era = ChannelWorkspace::new().await;
    let channel = era.queued_channel("quiet", "1").await;
    let path = format!("{POINTS}/{}/sockets", channel.id);
    assert_eq!(era.rest.get(&path).await.ok().json, json!([]));
    let client = WebsocketClient::with(&era.hub, &channel, &["msg"]).await;
    let found = eventually("the websocket is known", || async {
        let found = era.rest.get(&path).await.ok();
        (found.text != "[]").then_some(found)
    })
    .await;
    assert_eq!(found[0]["node"], era.hub.app.node.to_string());
    assert!(found[0]["connectedAt"].is_string(), "{}", found.text);
    drop(client);
    eventually("the websocket is forgotten", || async {
        let found = era.rest.get(&path).await.ok();
        (found.text == "[]").then_some(())
    })
    .await;
    let unknown = format!("{POINTS}/01a21dcc-fc40-7562-86d0-358951338245/sockets");
    assert_eq!(era.rest.get(&unknown).await.status, 404);
}
