//! Runs: started by hand, in turn, kept for thirty days.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS, RUNS},
    hub::{Installation, eventually},
};

#[tokio::test]
async fn a_script_is_started_by_hand() {
    let era = ChannelWorkspace::new().await;
    era.script("job", "console.log(startparam(1), startparam(2), startparam(9)); variables.x = 1; startparam(2) * 2").await;
    let body = json!({ "code": "job", "startparam1": "a", "startparam2": 21 });
    let started = era.rest.post(RUNS, body).await.ok();
    let id = started.str("id");
    let node = started.str("node");
    let expected = json!({ "id": id, "site": "main", "node": node, "domain": "acme", "type": "svc", "code": "job" });
    assert_eq!(started.json, expected);
    let run = era.run("job", "finished").await;
    assert_eq!(
        (&run["log"], &run["result"], &run["id"]),
        (&json!(["a 21 undefined"]), &json!(42), &json!(id))
    );
    for (body, code, name) in [
        (json!({}), 1400, "code"),
        (json!({ "code": 7 }), 1400, "code"),
        (json!({ "code": "none" }), 1404, "none"),
        (
            json!({ "code": "job", "startparam10": 1 }),
            1400,
            "startparam10",
        ),
        (json!({ "code": "job", "colour": 1 }), 1400, "colour"),
        (json!([]), 1400, "object"),
    ] {
        let refused = era.rest.post(RUNS, body.clone()).await;
        assert_eq!(refused["error_code"], code, "{body}");
        assert!(
            refused.str("error_message").to_lowercase().contains(name),
            "{body}: {}",
            refused.text
        );
    }
    for (query, code) in [
        ("filter=%7B%22code%22%3A%22none%22%7D", 1404),
        ("filter=%7B%22colour%22%3A%22x%22%7D", 1400),
        ("filter=%7B%22status%22%3A%22x%22%7D", 1400),
        ("filter=%7B%22code%22%3A7%7D", 1400),
        ("filter=x", 1400),
        ("limit=1001", 1400),
        ("offset=-1", 1400),
        ("mask=id,colour", 1400),
        ("flat=maybe", 1400),
        ("order=%5B%22id%22%5D", 1400),
    ] {
        assert_eq!(
            era.rest.get(&format!("{RUNS}?{query}")).await["error_code"],
            code,
            "{query}"
        );
    }
    for path in [
        format!("{RUNS}?limit=1&mask=id,status"),
        format!("{RUNS}/{id}?mask=id,status"),
    ] {
        let masked = era.rest.get(&path).await.ok();
        let shown = masked.as_array().map_or(&masked.json, |list| &list[0]);
        assert_eq!(*shown, json!({ "id": id, "status": "finished" }));
    }
    // The caller may wait for a run started by hand. Its failure is not retried.
    era.script("once", "throw new Error('no')").await;
    era.rest.post(RUNS, json!({ "code": "once" })).await.ok();
    let failed = era.run("once", "failed").await;
    assert_eq!(failed["attempts"], 1);
    let keyed = era.rest.clone().header("idempotency-key", "k");
    let first = keyed
        .post(RUNS, json!({ "code": "job" }))
        .await
        .ok()
        .str("id");
    assert_eq!(
        keyed
            .post(RUNS, json!({ "code": "job" }))
            .await
            .ok()
            .str("id"),
        first
    );
    let member = era.hub.token("acme", "member").await.at("");
    assert_eq!(member.get(RUNS).await["error_code"], 1403);
}

#[tokio::test]
async fn runs_are_kept_thirty_days() {
    let era = ChannelWorkspace::new().await;
    let channel = era
        .queued_channel("old", "if (request.body.bad) throw 1")
        .await;
    era.hook(&channel, json!({})).await.ok();
    era.run("old", "finished").await;
    era.hub.advance(Duration::from_hours(24));
    era.hook(&channel, json!({ "bad": true })).await.ok();
    era.run("old", "deferred").await;
    for _ in 0..=29 * 24 {
        era.hub.advance(Duration::from_hours(1));
    }
    let left = eventually("the old run is gone", || async {
        let runs = era.runs("old").await;
        (runs.len() == 1).then(|| runs[0].clone())
    })
    .await;
    assert_ne!(left["status"], "finished", "what is not over stays");
}

#[tokio::test]
async fn runs_take_turns_with_the_values_of_their_channel() {
    let era = ChannelWorkspace::new().await;
    let source = "const n = (kv.get('n') ?? 0) + 1; kv.set('n', n); respond(200, {}, String(n))";
    let counter = era.sync_channel("counter", source).await;
    let hooks = (0..60).map(|_| era.hook(&counter, json!({})));
    let mut seen: Vec<u32> = futures_util::future::join_all(hooks)
        .await
        .into_iter()
        .map(|answer| answer.ok().text.parse().expect("a number"))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=60).collect::<Vec<u32>>());
    let path = format!("{POINTS}/{}", counter.id);
    era.change(&path, json!({ "opts": { "issync": false } }))
        .await
        .ok();
    for answer in
        futures_util::future::join_all((0..40).map(|_| era.hook(&counter, json!({})))).await
    {
        assert_eq!(answer.status, 200);
    }
    era.wait_until_drained().await;
    era.change(&path, json!({ "opts": { "issync": true } }))
        .await
        .ok();
    assert_eq!(era.hook(&counter, json!({})).await.ok().text, "101");
}

#[tokio::test]
async fn nodes_do_not_overtake_each_other() {
    if !crate::harness::hub::on_postgres() {
        return;
    }
    let installation = Installation::new(|_| ());
    let (one, two) = (
        installation.start().await,
        installation.second_node().start().await,
    );
    let era = ChannelWorkspace::at(one).await;
    let source = "const n = (kv.get('n') ?? 0) + 1; kv.set('n', n); respond(200, {}, String(n))";
    let counter = era.sync_channel("counter", source).await;
    let there = two.anonymous().bearer(&counter.token);
    let mut seen = Vec::new();
    for _ in 0..20 {
        let (here, there) = tokio::join!(
            era.hook(&counter, json!({})),
            there.post("/exec", json!({}))
        );
        seen.extend([here, there].map(|answer| answer.ok().text.parse::<u32>().expect("a number")));
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=40).collect::<Vec<u32>>());
}

#[tokio::test]
async fn a_list_of_runs_ends_before_it_gets_long() {
    let era = ChannelWorkspace::new().await;
    let source = "console.log('x'.repeat(60000)); respond(200, {}, 'y'.repeat(1000000))";
    let channel = era.sync_channel("long", source).await;
    for _ in 0..12 {
        era.hook(&channel, json!({})).await.ok();
    }
    let page = |offset: usize| {
        let (rest, path) = (
            era.rest.clone(),
            format!("{RUNS}?limit=1000&offset={offset}"),
        );
        async move {
            rest.get(&path)
                .await
                .ok()
                .json
                .as_array()
                .expect("a list")
                .clone()
        }
    };
    eventually("all are on record", || async {
        (page(11).await.len() == 1).then_some(())
    })
    .await;
    let mut all = page(0).await;
    assert!((2..12).contains(&all.len()), "{}", all.len());
    all.extend(page(all.len()).await);
    let mut ids: Vec<&str> = all
        .iter()
        .map(|run| run["id"].as_str().expect("an id"))
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 12);
    assert!(ids.is_sorted_by(|a, b| a > b), "newest first");
}

#[tokio::test]
async fn a_text_that_was_cut_can_be_logged() {
    let era = ChannelWorkspace::new().await;
    let source = "console.log('got ' + request.body.text.slice(0, 5)); respond(200, {}, typeof request.body)";
    let channel = era.sync_channel("cut", source).await;
    era.hook(&channel, json!({ "text": "abcd😀" })).await.ok();
    // The run of a hook that was answered is on record by then.
    let run = &era.runs("cut").await[0];
    assert_eq!(
        (&run["status"], &run["log"]),
        (&json!("finished"), &json!(["got abcd\u{fffd}"]))
    );
}

/// Readers of a run do not see its channel's tokens. The sender gets the answer of the script unchanged.
#[tokio::test]
async fn run_records_contain_no_tokens() {
    let era = ChannelWorkspace::new().await;
    let source = "console.log(JSON.stringify(request)); console.log(request.entity.token_remote, request.url);
        if (request.body.fail) throw new Error(`no ${request.entity.token_remote} ${request.entity.token_local}`);
        respond(200, {}, request.entity)";
    era.script("telling", source).await;
    let remote = "quoted \"secret\" of theirs";
    for (code, is_sync) in [("sync", true), ("queued", false)] {
        let members = json!({ "token_remote": remote, "token_remote2": "short", "recv_svcscriptcode": "telling",
            "opts": { "issync": is_sync } });
        let channel = era.channel(code, members).await;
        let answer = era.hook(&channel, json!({})).await.ok();
        if is_sync {
            assert_eq!(answer.str("token_local"), channel.token);
            assert_eq!(answer.str("token_remote"), remote);
        }
        era.hook(&channel, json!({ "fail": true })).await;
        let path = format!("/hook/{}/x", channel.token);
        era.hub.anonymous().post(&path, json!({})).await.ok();
        era.wait_until_drained().await;
        let runs = json!(era.runs("telling").await).to_string();
        assert!(runs.contains("Error: no *** ***") || !is_sync, "{runs}");
        for token in [channel.token.as_str(), "secret", "short"] {
            assert!(!runs.contains(token), "{code}: {token} in {runs}");
        }
    }
}

/// Readers of a run see what has started it, until it succeeds, without secrets.
#[tokio::test]
async fn the_request_of_a_failed_run_is_shown() {
    let era = ChannelWorkspace::new().await;
    let source = "if (kv.get('ok') || request.body.ok) { 1 } else { throw 1 }";
    let channel = era.queued_channel("hear", source).await;
    let partner = era
        .hub
        .anonymous()
        .header("x-api-key", "their-secret-key")
        .header("x-note", &format!("for {}", channel.token));
    let path = format!("/hook/{}/updates?a=1&access_token=7", channel.token);
    let body = json!({ "order": 1, "echo": channel.token });
    partner.post(&path, body).await.ok();
    let run = era.run("hear", "deferred").await;
    let path = format!("{RUNS}/{}/request", run["id"].as_str().expect("an id"));
    let shown = era.rest.get(&path).await.ok();
    assert_eq!(shown["method"], "POST");
    assert_eq!(shown["url"], "/hook/***/updates?a=1&access_token=***");
    let body: Value = serde_json::from_str(&shown.str("body")).expect("JSON");
    assert_eq!(body, json!({ "order": 1, "echo": "***" }));
    assert_eq!(
        (&shown["isCut"], &shown["isText"], &shown["params"]),
        (&json!(false), &json!(true), &json!([]))
    );
    assert_eq!(shown["ip"], "127.0.0.1");
    let headers = shown["headers"].as_array().expect("headers");
    for pair in [
        json!(["x-api-key", "***"]),
        json!(["x-note", "for ***"]),
        json!(["content-type", "application/json"]),
    ] {
        assert!(headers.contains(&pair), "{pair}: {}", shown.text);
    }
    for secret in [&channel.token, "their-secret-key"] {
        assert!(!shown.text.contains(secret), "{}", shown.text);
    }

    // The bounds of a body.
    let (mib, id) = (1 << 20, channel.id.as_str());
    let long = format!("{{\"a\":\"{}\"}}", "é".repeat(mib / 2 - 8));
    let short = era.token_holder(&channel);
    short
        .send(Method::POST, "/exec", Some(long.clone().into_bytes()))
        .await
        .ok();
    let query =
        form_urlencoded::byte_serialize(format!(r#"{{"integrationPointId":"{id}"}}"#).as_bytes())
            .collect::<String>();
    let newest = format!("{RUNS}?mask=id,error&limit=1&filter={query}");
    let newest = era.rest.get(&newest).await.ok();
    let members = newest[0].as_object().expect("a run");
    assert!(
        members.len() == 2 && members.contains_key("error"),
        "{members:?}"
    );
    let of_long = format!(
        "{RUNS}/{}/request",
        newest[0]["id"].as_str().expect("an id")
    );
    let shown = era.rest.get(&of_long).await.ok();
    assert_eq!(
        (&shown["body"], &shown["isCut"]),
        (&json!(long), &json!(false))
    );
    let wrong = era.rest.get(&format!("{path}?whole=maybe")).await;
    assert_eq!(wrong["error_code"], 1400);

    // Those who may not read runs read no requests, and a run that has succeeded has none.
    let viewer = era.hub.token("acme", "viewer").await.at("");
    viewer.get(&path).await.ok();
    let member = era.hub.token("acme", "member").await.at("");
    assert_eq!(member.get(&path).await["error_code"], 1403);
    let other = era.hub.workspace("other").await.at("");
    assert_eq!(other.get(&path).await["error_code"], 1404);
    era.hook(&channel, json!({ "ok": true })).await.ok();
    let done = era.run("hear", "finished").await;
    let of_done = format!("{RUNS}/{}/request", done["id"].as_str().expect("an id"));
    let refused = era.rest.get(&of_done).await;
    assert_eq!(
        (refused.status, &refused["error_code"]),
        (409, &json!(1409))
    );

    // Parameters of a start.
    era.script("once", "throw 1").await;
    let body = json!({ "code": "once", "startparam1": { "dry": true } });
    let id = era.rest.post(RUNS, body).await.ok().str("id");
    let shown = era.rest.get(&format!("{RUNS}/{id}/request")).await.ok();
    assert_eq!(
        (&shown["method"], &shown["params"]),
        (&json!("START"), &json!([{ "dry": true }]))
    );
}
