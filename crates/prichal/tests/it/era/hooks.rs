//! Hooks: callers, answers, and the run of every accepted one (`docs/contracts/era.md §7, §13`).

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS, RUNS, SCRIPTS},
    hub::{Hub, Installation, eventually},
    receiver::{Receiver, Reply},
};

#[tokio::test]
async fn a_hook_is_answered_by_its_script() {
    let era = ChannelWorkspace::new().await;
    let source = "
        respond(201, {'X-Seen': request.method}, {
            entity: request.entity.code, url: request.url, query: request.query, body: request.body,
            mine: request.headers['x-mine'], auth: request.headers.authorization ?? null, ip: request.ip,
            params: [1, 2, 3, 4, 6, 7].map((n) => startparam(n).code ?? startparam(n)),
        })";
    let channel = era.sync_channel("bot", source).await;
    let holder = era.token_holder(&channel).header("x-mine", "yes");
    let answer = holder.post("/exec?a=1&b=%D1%91", json!({ "n": 7 })).await;
    assert_eq!(
        (answer.status, answer.header("x-seen")),
        (201, Some("POST"))
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    assert_eq!(answer.header("content-security-policy"), Some("sandbox"));
    let url = "/exec?a=1&b=%D1%91";
    let expected = json!({
        "entity": "bot", "url": url, "query": { "a": "1", "b": "ё" }, "body": { "n": 7 }, "mine": "yes",
        "auth": null, "ip": "127.0.0.1", "params": ["bot", "POST", url, { "n": 7 }, "127.0.0.1", "http"],
    });
    assert_eq!(answer.json, expected);

    // The token may be in the path, any method is accepted, and a body that is not JSON is text.
    let anybody = era.hub.anonymous();
    for (method, path) in [
        (Method::GET, format!("/hook/{}", channel.token)),
        (Method::PUT, format!("/hook/{}/deep/er?x=1", channel.token)),
        (Method::DELETE, format!("/hook/{}/", channel.token)),
    ] {
        let body = (method == Method::PUT).then(|| b"plain".to_vec());
        let caller = anybody.clone().header("content-type", "text/plain");
        let answer = caller.send(method.clone(), &path, body.clone()).await;
        assert_eq!(
            (answer.status, answer.header("x-seen")),
            (201, Some(method.as_str()))
        );
        assert_eq!(answer["url"], path);
        let text = body.map_or_else(String::new, |body| String::from_utf8(body).expect("text"));
        assert_eq!(answer["body"], text);
    }
    let run = era.run("bot", "finished").await;
    assert_eq!(run["result"]["status"], 201);
    assert_eq!(
        (&run["kind"], &run["type"], &run["domain"]),
        (&json!("hook"), &json!("svc"), &json!("acme"))
    );
}

#[tokio::test]
async fn a_hook_that_does_not_wait_is_run_all_the_same() {
    let era = ChannelWorkspace::new().await;
    let channel = era
        .queued_channel(
            "later",
            "console.log('got', request.body.n); request.body.n + 1",
        )
        .await;
    let answer = era.hook(&channel, json!({ "n": 41 })).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    let run = era.run("later", "finished").await;
    assert_eq!(
        (&run["log"], &run["result"], &run["error"]),
        (&json!(["got 41"]), &json!(42), &Value::Null)
    );
    assert_eq!(
        (&run["attempts"], &run["integrationPointId"]),
        (&json!(1), &json!(channel.id))
    );
    let again = era
        .rest
        .get(&format!("{RUNS}/{}", run["id"].as_str().expect("an id")))
        .await
        .ok();
    assert_eq!(again.json, run);
}

#[tokio::test]
async fn callers_without_access_are_refused() {
    let era = ChannelWorkspace::new().await;
    let channel = era.sync_channel("bot", "respond(200)").await;
    let anybody = era.hub.anonymous();
    for (path, status) in [
        ("/exec", 401),
        ("/hook/82ddc7c68623726346a78371173e2f8d", 401),
        ("/hook/", 404),
    ] {
        let answer = anybody.get(path).await;
        assert_eq!(
            (answer.status, &answer["error_code"]),
            (status, &json!(1000 + status)),
            "{path}"
        );
    }
    assert_eq!(
        era.rest.get("/exec").await.status,
        401,
        "a workspace's token is no channel's"
    );
    let path = format!("{POINTS}/{}", channel.id);
    era.change(&path, json!({ "opts": { "ip_mask": ["10.0.0.0/8"] } }))
        .await
        .ok();
    assert_eq!(era.hook(&channel, json!({})).await["error_code"], 1403);
    let forwarded = era
        .token_holder(&channel)
        .header("x-forwarded-for", "10.1.1.1");
    assert_eq!(
        forwarded.get("/exec").await.status,
        403,
        "nobody is trusted to say so"
    );
    era.change(&path, json!({ "opts": { "ip_mask": ["127.0.0.0/8"] } }))
        .await
        .ok();
    assert_eq!(era.hook(&channel, json!({})).await.status, 200);
    era.change(&path, json!({ "recv_svcscriptcode": "missing" }))
        .await
        .ok();
    assert_eq!(era.hook(&channel, json!({})).await["error_code"], 1404);
    era.change(&path, json!({ "recv_svcscriptcode": "" }))
        .await
        .ok();
    assert_eq!(era.hook(&channel, json!({})).await["error_code"], 1404);
    let large = vec![b'x'; (1 << 20) + 1];
    era.change(&path, json!({ "recv_svcscriptcode": "bot" }))
        .await
        .ok();
    let answer = era
        .token_holder(&channel)
        .send(Method::POST, "/exec", Some(large))
        .await;
    assert_eq!(answer["error_code"], 1413);
    era.rest.delete(&path).await;
    assert_eq!(era.hook(&channel, json!({})).await.status, 401, "at once");
}

#[tokio::test]
async fn a_proxy_that_is_trusted_says_who_it_is() {
    let trust = |config: &mut prichal::config::Config| {
        let networks = ["127.0.0.0/8", "10.0.0.0/8"];
        config.trusted_proxies = networks
            .iter()
            .filter_map(|text| prichal_core::network::Network::parse(text))
            .collect();
    };
    let era = ChannelWorkspace::at(Hub::with(trust).await).await;
    let channel = era.sync_channel("ip", "respond(200, {}, request.ip)").await;
    for (forwarded, sender) in [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.7", "203.0.113.9"),
        ("10.0.0.8", "10.0.0.8"),
        ("2001:db8::1", "2001:db8::1"),
    ] {
        let caller = era
            .token_holder(&channel)
            .header("x-forwarded-for", forwarded);
        assert_eq!(caller.get("/exec").await.ok().text, sender, "{forwarded}");
    }
    let nobody = era
        .token_holder(&channel)
        .header("x-forwarded-for", "unknown");
    assert_eq!(nobody.get("/exec").await.status, 403);
}

#[tokio::test]
async fn a_script_that_fails_says_nothing_to_its_caller_and_all_to_its_owner() {
    let era = ChannelWorkspace::new().await;
    let channel = era
        .sync_channel(
            "bad",
            "console.log('before'); throw new Error('secret of the house')",
        )
        .await;
    let answer = era.hook(&channel, json!({})).await;
    assert_eq!(
        answer.json,
        json!({ "error_code": 1500, "error_message": "The script failed" })
    );
    let run = era.run("bad", "failed").await;
    assert_eq!(run["log"], json!(["before"]));
    assert_eq!(
        run["error"],
        "Error: secret of the house in line 1, column 34"
    );
    // It can be run again, with the script as it is by then.
    let found = era
        .rest
        .get(&format!("{SCRIPTS}?filter=%7B%22code%22%3A%22bad%22%7D"))
        .await
        .ok();
    let script = found[0]["id"].as_str().expect("an id").to_owned();
    let data = json!({ "scriptdata": { "source": "'well'" } });
    era.change(&format!("{SCRIPTS}/{script}"), data).await.ok();
    let id = run["id"].as_str().expect("an id");
    let again = era
        .rest
        .post(&format!("{RUNS}/{id}/retry"), json!({}))
        .await
        .ok();
    assert_eq!(again["status"], "queued");
    assert_eq!(era.run("bad", "finished").await["result"], "well");
    let twice = era
        .rest
        .post(&format!("{RUNS}/{id}/retry"), json!({}))
        .await;
    assert_eq!(twice["error_code"], 1409);
}

#[tokio::test]
async fn a_hook_whose_script_fails_is_tried_again_until_the_schedule_ends() {
    let era = ChannelWorkspace::new().await;
    let source = "const n = (kv.get('n') ?? 0) + 1; kv.set('n', n); if (request.body.ok !== true) throw new Error('no ' + n)";
    let channel = era.queued_channel("flaky", source).await;
    era.hook(&channel, json!({})).await;
    let waits = [30, 60, 300, 900, 3600, 3600, 3600];
    for (n, wait) in waits.into_iter().enumerate() {
        let attempts = n + 1;
        let run = eventually("another attempt", || async {
            let run = era.run("flaky", "deferred").await;
            (run["attempts"] == attempts).then_some(run)
        })
        .await;
        // The changes of a failed run are discarded.
        assert!(
            run["error"].as_str().expect("an error").contains("no 1"),
            "{run}"
        );
        era.hub.advance(Duration::from_secs(wait));
    }
    let run = era.run("flaky", "failed").await;
    assert_eq!((&run["attempts"], &run["dueAt"]), (&json!(8), &Value::Null));
    era.hub.advance(Duration::from_hours(48));
    era.hook(&channel, json!({ "ok": true })).await;
    era.run("flaky", "finished").await;
    let failed = era.runs("flaky").await;
    assert_eq!(
        (failed.len(), &failed[1]["attempts"]),
        (2, &json!(8)),
        "nothing more was tried"
    );
}

#[tokio::test]
async fn accepted_hooks_are_run_after_a_crash() {
    let era = ChannelWorkspace::new().await;
    let source = "entities.create('companies', {name: request.body.name})";
    let channel = era.queued_channel("crash", source).await;
    let names: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
    let hooks = names
        .iter()
        .map(|name| era.hook(&channel, json!({ "name": name })));
    for answer in futures_util::future::join_all(hooks).await {
        assert_eq!(answer.status, 200);
    }
    let ChannelWorkspace { hub, space, rest } = era;
    let installation = hub.installation.clone();
    hub.kill();
    let hub = installation.start().await;
    let era = ChannelWorkspace {
        space: hub.adopt(&space),
        rest: hub.adopt(&rest),
        hub,
    };
    let made = eventually("every hook was run", || async {
        // A run that the kill interrupted is retried after a while.
        era.hub.advance(Duration::from_secs(1));
        let list = era.space.get("/companies?limit=1000").await.ok();
        (list["count"].as_i64() >= Some(40)).then(|| list.json.clone())
    })
    .await;
    let mut found: Vec<&str> = made["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|one| one["name"].as_str().expect("a name"))
        .collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 40, "each at least once");
    assert_eq!(made["count"], 40, "and what a run changes only once");
}

#[tokio::test]
async fn many_hooks_wait_in_the_store() {
    let era = ChannelWorkspace::new().await;
    let channel = era
        .queued_channel("many", "kv.set('n' + request.body.n, 1)")
        .await;
    for batch in 0..6 {
        let hooks = (0..100).map(|n| era.hook(&channel, json!({ "n": batch * 100 + n })));
        for answer in futures_util::future::join_all(hooks).await {
            assert_eq!(answer.status, 200);
        }
    }
    era.wait_until_drained().await;
    let failed = era
        .rest
        .get(&format!(
            "{RUNS}?filter=%7B%22status%22%3A%22finished%22%7D&limit=1000"
        ))
        .await
        .ok();
    assert_eq!(failed.json.as_array().expect("a list").len(), 600);
}

#[tokio::test]
async fn hooks_are_run_by_the_nodes_that_are_alive() {
    if !crate::harness::hub::on_postgres() {
        return;
    }
    let installation = Installation::new(|_| ());
    let (one, two) = (
        installation.start().await,
        installation.second_node().start().await,
    );
    let era = ChannelWorkspace::at(one).await;
    let channel = era
        .queued_channel("nodes", "entities.create('companies', {name: 'x'})")
        .await;
    for _ in 0..10 {
        assert_eq!(era.hook(&channel, json!({})).await.status, 200);
    }
    let ChannelWorkspace { hub, space, .. } = era;
    let space = two.adopt(&space);
    hub.kill();
    eventually("the other node has run them", || async {
        two.advance(Duration::from_secs(1));
        let count = space.get("/companies").await.ok()["count"].as_i64();
        (count >= Some(10)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deferred_run_is_tried_at_once_when_it_is_asked_for() {
    let era = ChannelWorkspace::new().await;
    let channel = era
        .queued_channel(
            "wait",
            "if (kv.get('go') !== 1) { throw new Error('not yet') }",
        )
        .await;
    era.hook(&channel, json!({})).await.ok();
    let run = era.run("wait", "deferred").await;
    let path = format!("{RUNS}/{}/retry", run["id"].as_str().expect("an id"));
    let again = era.rest.post(&path, json!({})).await.ok();
    assert_eq!(again["status"], "queued");
    let run = eventually("another attempt", || async {
        let run = era.run("wait", "deferred").await;
        (run["attempts"] == 2).then_some(run)
    })
    .await;
    assert!(
        run["error"]
            .as_str()
            .is_some_and(|error| error.contains("not yet"))
    );
}

#[tokio::test]
async fn a_server_that_stops_leaves_its_runs_to_the_next() {
    let era = ChannelWorkspace::new().await;
    let channel = era.queued_channel("long", "for (;;) {}").await;
    era.hook(&channel, json!({})).await.ok();
    let run = era.run("long", "running").await;
    assert_ne!(run["startedAt"], Value::Null);
    let ChannelWorkspace { hub, space, rest } = era;
    let hub = hub.restart().await;
    let era = ChannelWorkspace {
        space: hub.adopt(&space),
        rest: hub.adopt(&rest),
        hub,
    };
    let again = era.run("long", "running").await;
    assert_eq!(
        (&again["id"], &again["attempts"]),
        (&run["id"], &json!(0)),
        "it was not its fault"
    );
}

#[tokio::test]
async fn a_form_may_hold_the_json() {
    let era = ChannelWorkspace::new().await;
    let form = era
        .rest
        .clone()
        .header("content-type", "application/x-www-form-urlencoded");
    let body = b"data=%7B%22code%22%3A%22formed%22%2C%22type%22%3A%22t%22%7D".to_vec();
    let made = form.send(Method::POST, POINTS, Some(body)).await.ok();
    assert_eq!(made["code"], "formed");
    let plain = form
        .send(
            Method::POST,
            POINTS,
            Some(br#"{"code":"plain","type":"t"}"#.to_vec()),
        )
        .await
        .ok();
    assert_eq!(plain["code"], "plain");
    for token in ["a\r\nb", "\u{7}"] {
        let body = json!({ "code": "x", "type": "t", "token_remote": token });
        let refused = era.rest.post(POINTS, body).await;
        assert_eq!(refused["error_code"], 1400);
        assert!(
            refused.str("error_message").contains("token_remote"),
            "{}",
            refused.text
        );
    }
    let unknown = era.rest.get("/exec/x").await;
    assert_eq!(unknown["error_code"], 1404);
}

#[tokio::test]
async fn a_sender_that_goes_away_leaves_no_run_behind() {
    use tokio::io::AsyncWriteExt as _;
    let era = ChannelWorkspace::new().await;
    let channel = era.queued_channel("gone", "1").await;
    let address = era.hub.url.trim_start_matches("http://").to_owned();
    let head = format!(
        "POST /hook/{} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        channel.token
    );
    for n in 0..400 {
        let mut stream = tokio::net::TcpStream::connect(&address)
            .await
            .expect("it listens");
        stream.write_all(head.as_bytes()).await.expect("it reads");
        // After different times, so that some leave while their run is written.
        for _ in 0..n % 40 {
            tokio::task::yield_now().await;
        }
    }
    era.hook(&channel, json!({})).await.ok();
    era.wait_until_drained().await;
}

#[tokio::test]
async fn a_script_that_says_nothing_answers_nothing() {
    let era = ChannelWorkspace::new().await;
    let source = "
        if (request.method === 'GET') console.log(JSON.stringify([2, 3, 4, 5, 6, 7, 8].map((n) => request.startparam(n) ?? null)));
        'a value is no answer'";
    let channel = era.sync_channel("quiet", source).await;
    let holder = era.token_holder(&channel);
    let answer = holder.post("/exec", json!({})).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    let asking = holder.header("x-mine", "yes").get("/exec").await;
    assert_eq!((asking.status, asking.text.as_str()), (200, ""));
    let run = era.run("quiet", "finished").await;
    let seen: Value = serde_json::from_str(run["log"][0].as_str().expect("a line")).expect("JSON");
    assert_eq!(
        [&seen[0], &seen[1], &seen[2], &seen[4], &seen[5], &seen[6]],
        [
            &json!("GET"),
            &json!("/exec"),
            &json!(""),
            &json!("127.0.0.1"),
            &json!("http"),
            &Value::Null
        ]
    );
    let headers = seen[3].as_array().expect("pairs");
    assert!(headers.contains(&json!(["x-mine", "yes"])), "{headers:?}");
    assert!(
        !run["log"].to_string().contains(&channel.token),
        "what let it in is not told"
    );
}

#[tokio::test]
async fn a_channel_without_a_script_says_so_whether_or_not_anybody_waits() {
    let era = ChannelWorkspace::new().await;
    for is_sync in [true, false] {
        for code in ["", "missing"] {
            let name = format!("c{is_sync}{code}");
            let members = json!({ "recv_svcscriptcode": code, "opts": { "issync": is_sync } });
            let channel = era.channel(&name, members).await;
            let refused = era.hook(&channel, json!({})).await;
            assert_eq!(
                (refused.status, &refused["error_code"]),
                (404, &json!(1404))
            );
        }
    }
    // The script may come later than the channel that names it.
    let channel = era
        .channel(
            "late",
            json!({ "recv_svcscriptcode": "late", "opts": { "issync": true } }),
        )
        .await;
    assert_eq!(era.hook(&channel, json!({})).await.status, 404);
    era.script("late", "respond(204)").await;
    assert_eq!(era.hook(&channel, json!({})).await.status, 204);
}

#[tokio::test]
async fn the_longest_body_is_a_setting() {
    let era =
        ChannelWorkspace::at(Hub::with(|config| config.hook_body_limit = 2 << 20).await).await;
    let channel = era
        .sync_channel("long", "respond(200, {}, String(request.body.length))")
        .await;
    let holder = era
        .token_holder(&channel)
        .header("content-type", "text/plain");
    let send = |length: usize| holder.send(Method::POST, "/exec", Some(vec![b'x'; length]));
    assert_eq!(send(2 << 20).await.ok().text, (2 << 20).to_string());
    let refused = send((2 << 20) + 1).await;
    assert_eq!(
        (refused.status, &refused["error_code"]),
        (413, &json!(1413))
    );
}

#[tokio::test]
async fn waiting_for_its_turn_is_no_attempt() {
    let era = ChannelWorkspace::new().await;
    let silent = Receiver::start(|_| Reply::Silence).await;
    let source = "await fetch(request.entity.url)";
    let channel = era.queued_channel("turns", source).await;
    let path = format!("{POINTS}/{}", channel.id);
    let members = json!({ "url": silent.url, "opts": { "recv_timeout": 5 } });
    era.change(&path, members).await.ok();
    // The speed of the script is unknown: one run is tried, and the other waits for it.
    for n in 0..2 {
        era.hook(&channel, json!(n)).await.ok();
    }
    era.wait_until_running(2).await;
    silent.next().await;
    era.hub.advance(Duration::from_secs(5));
    era.wait_until_running(1).await;
    silent.next().await;
    let runs = era.runs("turns").await;
    let states: Vec<&Value> = runs.iter().map(|run| &run["status"]).collect();
    assert!(states.contains(&&json!("running")), "{runs:?}");
}

#[tokio::test]
async fn a_run_in_progress_is_not_started_again() {
    let era = ChannelWorkspace::new().await;
    let held = Arc::new(Semaphore::new(0));
    let passes = held.clone();
    let receiver = Receiver::start(move |_| Reply::Held(held.clone())).await;
    let channel = era
        .queued_channel("again", "throw new Error('not yet')")
        .await;
    let path = format!("{POINTS}/{}", channel.id);
    era.change(&path, json!({ "url": receiver.url })).await.ok();
    era.hook(&channel, json!({})).await.ok();
    let run = era.run("again", "deferred").await;
    let list = era.rest.get(&format!("{SCRIPTS}?mask=id")).await.ok();
    let script = format!("{SCRIPTS}/{}", list[0]["id"].as_str().expect("an id"));
    let data = json!({ "scriptdata": { "source": "await fetch(request.entity.url)" } });
    era.change(&script, data).await.ok();
    era.hub.advance(Duration::from_secs(30));
    receiver.next().await;
    let retry = format!("{RUNS}/{}/retry", run["id"].as_str().expect("an id"));
    let refused = era.rest.post(&retry, json!({})).await;
    assert_eq!(refused["error_code"], 1409, "{}", refused.text);
    passes.add_permits(1);
    assert_eq!(era.run("again", "finished").await["attempts"], 2);
}
