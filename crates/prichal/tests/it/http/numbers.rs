//! Numbers keep the digits that they came with, on every way through the server.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS},
    hub::{Caller, Hub},
};

const ACCOUNT: &str = "40702810900000012345";
const FREE: &str = r#"{"account":40702810900000012345,"share":0.1234567890123456789,"price":1.10,"huge":1e+400,"deep":[{"n":-40702810900000012345}]}"#;

fn raw(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

async fn account_in_feed(space: &Caller) -> bool {
    let feed = space.get("/events?limit=1000").await.ok().text;
    feed.contains(FREE)
}

#[tokio::test]
async fn free_json_keeps_every_digit() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let made = space
        .post(
            "/companies",
            json!({ "name": "A", "customFields": raw(FREE) }),
        )
        .await
        .ok();
    assert!(made.text.contains(FREE), "{}", made.text);
    let path = format!("/companies/{}", made.str("id"));
    assert!(space.get(&path).await.ok().text.contains(FREE));
    assert!(account_in_feed(&space).await);
    // A change of something beside it, and one of the last digit.
    let beside = json!([{ "op": "replace", "path": "/customFields/color", "value": "red" }]);
    let changed = space.patch(&path, beside).await.ok();
    assert!(
        changed.text.contains(&FREE[..FREE.len() - 1]),
        "{}",
        changed.text
    );
    let before = space.get("/events?limit=1000").await.ok()["items"]
        .as_array()
        .expect("items")
        .len();
    let digit = json!([{ "op": "replace", "path": "/customFields/account", "value": raw("40702810900000012346") }]);
    assert!(
        space
            .patch(&path, digit)
            .await
            .ok()
            .text
            .contains("40702810900000012346")
    );
    // A number of equal value is no change, and keeps its digits.
    let same = json!([{ "op": "replace", "path": "/customFields/price", "value": raw("11e-1") }]);
    assert!(
        space
            .patch(&path, same)
            .await
            .ok()
            .text
            .contains("\"price\":1.10")
    );
    let after = space.get("/events?limit=1000").await.ok()["items"]
        .as_array()
        .expect("items")
        .len();
    assert_eq!(after, before + 1);
}

#[tokio::test]
async fn numbers_that_do_not_fit_are_refused_by_name() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let long = "1".repeat(1001);
    let body = format!(r#"{{"name":"A","customFields":{{"a":[1,{long}]}}}}"#);
    let refused = space
        .send(Method::POST, "/companies", Some(body.into_bytes()))
        .await;
    assert_eq!(refused.status, 400);
    assert!(
        refused["errors"]["customFields.a[1]"].is_array(),
        "{}",
        refused.text
    );
    let stage = json!({ "name": "d", "stageId": raw(ACCOUNT) });
    let refused = space.post("/deals", stage).await;
    assert_eq!(refused.status, 400);
    assert!(refused["errors"]["stageId"].is_array(), "{}", refused.text);
}

#[tokio::test]
async fn the_same_key_with_another_last_digit_is_another_request() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let keyed = space.clone().header("idempotency-key", "k");
    let body = |account| json!({ "name": "A", "customFields": { "a": raw(account) } });
    let first = keyed.post("/companies", body(ACCOUNT)).await.ok();
    let again = keyed.post("/companies", body(ACCOUNT)).await.ok();
    assert_eq!(first.text, again.text);
    let other = keyed.post("/companies", body("40702810900000012346")).await;
    assert_eq!(other.status, 409, "{}", other.text);
}

#[tokio::test]
async fn scripts_pass_numbers_on_as_they_came() {
    let era = ChannelWorkspace::new().await;
    let source = "
        const made = entities.create('companies', {name: 'A', customFields: request.body});
        const found = entities.get('companies', made.id);
        entities.patch('companies', made.id, [{op: 'replace', path: '/customFields/copy', value: found.customFields.account}]);
        kv.set('k', request.body);
        events.publish('seen', request.body);
        console.log(request.body.account);
        respond(200, {}, {made: made.id, kept: kv.get('k'), found: found.customFields, next: request.body.account + 1n})";
    let channel = era.sync_channel("numbers", source).await;
    let answer = era.hook(&channel, raw(FREE)).await.ok();
    // A double holds 1.1 as well.
    let shown = FREE.replace("1.10", "1.1");
    assert_eq!(answer.text.matches(&shown).count(), 2, "{}", answer.text);
    assert!(
        answer.text.contains("\"next\":40702810900000012346"),
        "{}",
        answer.text
    );
    let company = era
        .space
        .get(&format!("/companies/{}", answer.str("made")))
        .await
        .ok();
    assert!(
        company.text.contains(&format!("\"copy\":{ACCOUNT}")),
        "{}",
        company.text
    );
    let feed = era.space.get("/events?limit=1000").await.ok().text;
    assert!(feed.contains(&format!("\"data\":{shown}")), "{feed}");
    let run = era.run("numbers", "finished").await;
    assert_eq!(run["log"], json!([ACCOUNT]));
}

#[tokio::test]
async fn settings_of_channels_and_integrations_keep_digits() {
    let era = ChannelWorkspace::new().await;
    let made = era
        .channel("opts", json!({ "ext": { "account": raw(ACCOUNT) } }))
        .await;
    let path = format!("{POINTS}/{}", made.id);
    let found = era.rest.get(&path).await.ok();
    assert!(
        found.text.contains(&format!("\"account\":{ACCOUNT}")),
        "{}",
        found.text
    );
    era.change(&path, json!({ "opts": { "comment": "other" } }))
        .await
        .ok();
    let found = era.rest.get(&path).await.ok();
    assert!(
        found.text.contains(&format!("\"account\":{ACCOUNT}")),
        "{}",
        found.text
    );
}
