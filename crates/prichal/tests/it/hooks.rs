//! Hooks and the scripts behind them (`reference/era.md` §7, §10, §13).

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    dock::{Dock, POINTS, RUNS, SCRIPTS},
    hub::{Ground, Hub, eventually},
    receiver::{Receiver, Reply},
};

#[tokio::test]
async fn a_hook_is_answered_by_its_script() {
    let dock = Dock::new().await;
    let source = "
        respond(201, {'X-Seen': request.method}, {
            entity: request.entity.code, url: request.url, query: request.query, body: request.body,
            mine: request.headers['x-mine'], auth: request.headers.authorization ?? null, ip: request.ip,
            params: [1, 2, 3, 4, 6, 7].map((n) => startparam(n).code ?? startparam(n)),
        })";
    let channel = dock.sync("bot", source).await;
    let holder = dock.holder(&channel).header("x-mine", "yes");
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

    // The token may stand in the path, any method will do, and what is no JSON is text.
    let anybody = dock.hub.anybody();
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
    let run = dock.run("bot", "finished").await;
    assert_eq!(run["result"]["status"], 201);
    assert_eq!(
        (&run["kind"], &run["type"], &run["domain"]),
        (&json!("hook"), &json!("svc"), &json!("acme"))
    );
}

#[tokio::test]
async fn a_hook_that_does_not_wait_is_run_all_the_same() {
    let dock = Dock::new().await;
    let channel = dock
        .queued(
            "later",
            "console.log('got', request.body.n); request.body.n + 1",
        )
        .await;
    let answer = dock.hook(&channel, json!({ "n": 41 })).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    let run = dock.run("later", "finished").await;
    assert_eq!(
        (&run["log"], &run["result"], &run["error"]),
        (&json!(["got 41"]), &json!(42), &Value::Null)
    );
    assert_eq!(
        (&run["attempts"], &run["integrationPointId"]),
        (&json!(1), &json!(channel.id))
    );
    let again = dock
        .rest
        .get(&format!("{RUNS}/{}", run["id"].as_str().expect("an id")))
        .await
        .ok();
    assert_eq!(again.json, run);
}

#[tokio::test]
async fn who_may_not_call_is_told_so() {
    let dock = Dock::new().await;
    let channel = dock.sync("bot", "respond(200)").await;
    let anybody = dock.hub.anybody();
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
        dock.rest.get("/exec").await.status,
        401,
        "a workspace's token is no channel's"
    );
    let path = format!("{POINTS}/{}", channel.id);
    dock.change(&path, json!({ "opts": { "ip_mask": ["10.0.0.0/8"] } }))
        .await
        .ok();
    assert_eq!(dock.hook(&channel, json!({})).await["error_code"], 1403);
    let forwarded = dock.holder(&channel).header("x-forwarded-for", "10.1.1.1");
    assert_eq!(
        forwarded.get("/exec").await.status,
        403,
        "nobody is trusted to say so"
    );
    dock.change(&path, json!({ "opts": { "ip_mask": ["127.0.0.0/8"] } }))
        .await
        .ok();
    assert_eq!(dock.hook(&channel, json!({})).await.status, 200);
    dock.change(&path, json!({ "recv_svcscriptcode": "missing" }))
        .await
        .ok();
    assert_eq!(dock.hook(&channel, json!({})).await["error_code"], 1404);
    dock.change(&path, json!({ "recv_svcscriptcode": "" }))
        .await
        .ok();
    assert_eq!(dock.hook(&channel, json!({})).await["error_code"], 1404);
    let large = vec![b'x'; (1 << 20) + 1];
    dock.change(&path, json!({ "recv_svcscriptcode": "bot" }))
        .await
        .ok();
    let answer = dock
        .holder(&channel)
        .send(Method::POST, "/exec", Some(large))
        .await;
    assert_eq!(answer["error_code"], 1413);
    dock.rest.delete(&path).await;
    assert_eq!(dock.hook(&channel, json!({})).await.status, 401, "at once");
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
    let dock = Dock::at(Hub::with(trust).await).await;
    let channel = dock.sync("ip", "respond(200, {}, request.ip)").await;
    for (forwarded, sender) in [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.7", "203.0.113.9"),
        ("10.0.0.8", "10.0.0.8"),
        ("2001:db8::1", "2001:db8::1"),
    ] {
        let caller = dock.holder(&channel).header("x-forwarded-for", forwarded);
        assert_eq!(caller.get("/exec").await.ok().text, sender, "{forwarded}");
    }
    let nobody = dock.holder(&channel).header("x-forwarded-for", "unknown");
    assert_eq!(nobody.get("/exec").await.status, 403);
}

#[tokio::test]
async fn a_script_that_fails_says_nothing_to_its_caller_and_all_to_its_owner() {
    let dock = Dock::new().await;
    let channel = dock
        .sync(
            "bad",
            "console.log('before'); throw new Error('secret of the house')",
        )
        .await;
    let answer = dock.hook(&channel, json!({})).await;
    assert_eq!(
        answer.json,
        json!({ "error_code": 1500, "error_message": "The script failed" })
    );
    let run = dock.run("bad", "failed").await;
    assert_eq!(run["log"], json!(["before"]));
    assert_eq!(
        run["error"],
        "Error: secret of the house in line 1, column 34"
    );
    // It can be run again, with the script as it is by then.
    let found = dock
        .rest
        .get(&format!("{SCRIPTS}?filter=%7B%22code%22%3A%22bad%22%7D"))
        .await
        .ok();
    let script = found[0]["id"].as_str().expect("an id").to_owned();
    let data = json!({ "scriptdata": { "source": "'well'" } });
    dock.change(&format!("{SCRIPTS}/{script}"), data).await.ok();
    let id = run["id"].as_str().expect("an id");
    let again = dock
        .rest
        .post(&format!("{RUNS}/{id}/retry"), json!({}))
        .await
        .ok();
    assert_eq!(again["status"], "queued");
    assert_eq!(dock.run("bad", "finished").await["result"], "well");
    let twice = dock
        .rest
        .post(&format!("{RUNS}/{id}/retry"), json!({}))
        .await;
    assert_eq!(twice["error_code"], 1409);
}

#[tokio::test]
async fn a_hook_whose_script_fails_is_tried_again_until_the_schedule_ends() {
    let dock = Dock::new().await;
    let source = "const n = (kv.get('n') ?? 0) + 1; kv.set('n', n); if (request.body.ok !== true) throw new Error('no ' + n)";
    let channel = dock.queued("flaky", source).await;
    dock.hook(&channel, json!({})).await;
    let waits = [30, 60, 300, 900, 3600, 3600, 3600];
    for (n, wait) in waits.into_iter().enumerate() {
        let attempts = n + 1;
        let run = eventually("another attempt", || async {
            let run = dock.run("flaky", "deferred").await;
            (run["attempts"] == attempts).then_some(run)
        })
        .await;
        // What a failed run has changed is as if it had never been.
        assert!(
            run["error"].as_str().expect("an error").contains("no 1"),
            "{run}"
        );
        dock.hub.advance(Duration::from_secs(wait));
    }
    let run = dock.run("flaky", "failed").await;
    assert_eq!((&run["attempts"], &run["dueAt"]), (&json!(8), &Value::Null));
    dock.hub.advance(Duration::from_hours(48));
    dock.hook(&channel, json!({ "ok": true })).await;
    dock.run("flaky", "finished").await;
    let failed = dock.runs("flaky").await;
    assert_eq!(
        (failed.len(), &failed[1]["attempts"]),
        (2, &json!(8)),
        "nothing more was tried"
    );
}

#[tokio::test]
async fn a_script_has_its_time_and_no_more() {
    let dock = Dock::new().await;
    let channel = dock.sync("loop", "for (;;) {}").await;
    let path = format!("{POINTS}/{}", channel.id);
    for (given, seconds) in [(0, 10), (1, 1), (60, 60)] {
        dock.change(&path, json!({ "opts": { "recv_timeout": given } }))
            .await
            .ok();
        let count = dock.runs("loop").await.len();
        let waiting = dock.hook(&channel, json!({}));
        let clock = async {
            // Until the script works there is no time to be over.
            tokio::time::sleep(Duration::from_millis(150)).await;
            dock.hub.advance(Duration::from_secs(seconds));
        };
        let (answer, ()) = tokio::join!(waiting, clock);
        assert_eq!(
            answer.json,
            json!({ "error_code": 1504, "error_message": "The script did not end in time" })
        );
        let run = eventually("the run", || async {
            let runs = dock.runs("loop").await;
            (runs.len() > count).then(|| runs[0].clone())
        })
        .await;
        assert_eq!(run["durationMs"], seconds * 1000);
    }
}

#[tokio::test]
async fn hostile_scripts_harm_nobody_else() {
    let dock = Dock::new().await;
    let healthy = dock.sync("healthy", "respond(200, {}, 'well')").await;
    let hostile = [
        ("loop", "for (;;) {}"),
        ("recurse", "const f = () => f() + 1; f()"),
        (
            "hoard",
            "const a = []; for (;;) a.push('x'.repeat(1000) + a.length)",
        ),
        (
            "search",
            "'a'.repeat(4000000).lastIndexOf('a'.repeat(1000000) + 'b')",
        ),
        ("throw", "throw Symbol('x')"),
        ("cycle", "const a = {}; a.a = a; respond(200, {}, a)"),
        ("print", "for (;;) console.log('x'.repeat(1000))"),
        ("status", "respond(99)"),
        ("header", "respond(200, {'a\\r\\nb': 'c'}, '')"),
        ("pend", "await new Promise(() => {})"),
        ("file", "await import('/etc/passwd')"),
        ("net", "await fetch('http://127.0.0.1:1/')"),
        ("proc", "process.exit(1)"),
    ];
    let mut channels = Vec::new();
    for (code, source) in hostile {
        channels.push(dock.sync(code, source).await);
    }
    let attack = async {
        let calls = channels
            .iter()
            .flat_map(|channel| [channel, channel, channel, channel, channel]);
        let calls = calls.map(|channel| dock.hook(channel, json!({})));
        futures_util::future::join_all(calls).await
    };
    let others = async {
        for _ in 0..20 {
            assert_eq!(dock.hook(&healthy, json!({})).await.ok().text, "well");
        }
        // All that never ends by itself is at work by now, or waits for that.
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            dock.hub.advance(Duration::from_secs(10));
        }
    };
    let (answers, ()) = tokio::join!(attack, others);
    for (n, answer) in answers.iter().enumerate() {
        let (code, _) = hostile[n / 5];
        assert!(
            [1500, 1504]
                .map(|code| json!(code))
                .contains(&answer["error_code"]),
            "{code}: {}",
            answer.text
        );
    }
    for (code, _) in hostile {
        let run = dock.run(code, "failed").await;
        assert!(
            !run["error"].as_str().expect("an error").is_empty(),
            "{code}"
        );
    }
    assert_eq!(dock.hook(&healthy, json!({})).await.ok().text, "well");
}

#[tokio::test]
async fn what_a_script_changes_is_there_when_it_ends() {
    let dock = Dock::new().await;
    let source = "
        const company = entities.create('companies', {name: request.body.name});
        const contact = entities.create('contacts', {name: 'Ivan', phones: [{value: '+77010000001'}]});
        const changed = entities.patch('contacts', contact.id, [{op: 'replace', path: '/name', value: 'Pyotr'}]);
        entities.link({companyId: company.id, contactId: contact.id});
        kv.set('last', {id: company.id});
        events.publish('met', {who: changed.name});
        respond(200, {}, {company: company.id, contact: contact.id, name: changed.name,
            seen: entities.get('contacts', contact.id).name, kept: kv.get('last'), none: entities.get('contacts', company.id)})";
    let channel = dock.sync("crm", source).await;
    let answer = dock.hook(&channel, json!({ "name": "Acme" })).await.ok();
    let (company, contact) = (answer.str("company"), answer.str("contact"));
    let expected = json!({ "company": company, "contact": contact, "name": "Pyotr", "seen": "Pyotr",
        "kept": { "id": company }, "none": null });
    assert_eq!(answer.json, expected);
    let found = dock.space.get(&format!("/contacts/{contact}")).await.ok();
    assert_eq!(
        (&found["name"], &found["updateInfo"]["createdWith"]),
        (&json!("Pyotr"), &json!("IntegrationPoint.crm"))
    );
    assert_eq!(
        dock.space.get(&format!("/companies/{company}")).await.ok()["name"],
        "Acme"
    );
    let feed = dock.space.get("/events").await.ok();
    let items = feed["items"].as_array().expect("items");
    let about = |item: &Value| {
        let kind = item["entityIds"]
            .as_object()
            .expect("ids")
            .keys()
            .next()
            .expect("one")
            .clone();
        format!(
            "{kind} {}",
            item["changeData"]["type"].as_str().unwrap_or("link")
        )
    };
    let told: Vec<String> = items.iter().map(about).skip(2).collect();
    assert_eq!(
        told,
        [
            "companyId create",
            "contactId create",
            "contactId patch",
            "companyId link",
            "integrationPointId patch"
        ]
    );
    let published = &items[items.len() - 1]["changeData"]["new"];
    assert_eq!(
        published["event"],
        json!({ "name": "met", "data": { "who": "Pyotr" } })
    );

    // One that fails at its end has changed nothing.
    let failing = dock
        .sync(
            "half",
            "entities.create('companies', {name: 'Ghost'}); kv.set('x', 1); throw 1",
        )
        .await;
    assert_eq!(dock.hook(&failing, json!({})).await.status, 500);
    let companies = dock.space.get("/companies").await.ok();
    assert_eq!(companies["count"], 1);
    for (source, said) in [
        (
            "entities.create('unicorns', {})",
            "There is no collection unicorns.",
        ),
        (
            "entities.create('contacts', {name: 7, phones: 'x'})",
            "phones",
        ),
        (
            "entities.patch('contacts', 'x', [])",
            "'x' is not a valid id",
        ),
        ("entities.link({companyId: 'x'})", "companyId"),
        ("entities.get('contacts')", "arguments are wrong"),
        ("kv.set('', 1)", "A key has 1 to 256 characters"),
        ("kv.set('k', 'x'.repeat(70000))", "longer than 64 KiB"),
        ("events.publish('')", "An event has a name"),
        (
            "for (let i = 0; i < 2000; i++) kv.set('k' + i, i)",
            "at most 1000 things",
        ),
        ("channel.send({})", "neither a url nor a script"),
        (
            "entities.link({companyId: '00000000-0000-0000-0000-000000000001', contactId: '00000000-0000-0000-0000-000000000002'})",
            "not found",
        ),
    ] {
        let path = format!(
            "{SCRIPTS}/{}",
            dock.rest
                .get(&format!("{SCRIPTS}?filter=%7B%22code%22%3A%22half%22%7D"))
                .await
                .ok()[0]["id"]
                .as_str()
                .expect("an id")
        );
        dock.change(&path, json!({ "scriptdata": { "source": source } }))
            .await
            .ok();
        let count = dock.runs("half").await.len();
        assert_eq!(
            dock.hook(&failing, json!({})).await["error_code"],
            1500,
            "{source}"
        );
        let run = eventually("the run", || async {
            let runs = dock.runs("half").await;
            (runs.len() > count).then(|| runs[0].clone())
        })
        .await;
        assert!(
            run["error"].as_str().expect("an error").contains(said),
            "{source}: {run}"
        );
    }
}

#[tokio::test]
async fn channels_keep_their_own() {
    let dock = Dock::new().await;
    let source = "const n = (kv.get('n') ?? 0) + 1; kv.set('n', n); respond(200, {}, String(n))";
    let (one, two) = (
        dock.sync("one", source).await,
        dock.sync("two", source).await,
    );
    for expected in ["1", "2", "3"] {
        assert_eq!(dock.hook(&one, json!({})).await.ok().text, expected);
    }
    assert_eq!(dock.hook(&two, json!({})).await.ok().text, "1");
    let other = dock.hub.workspace("other").await.at("");
    let body = json!({ "code": "one", "name": "one", "scriptdata": { "language": "javascript", "source": "respond(200, {}, 'other')" } });
    other.post(SCRIPTS, body).await.ok();
    assert_eq!(other.get(RUNS).await.ok().text, "[]");
    let run = dock.run("one", "finished").await;
    let id = run["id"].as_str().expect("an id");
    assert_eq!(other.get(&format!("{RUNS}/{id}")).await["error_code"], 1404);
    assert_eq!(
        other.post(&format!("{RUNS}/{id}/retry"), json!({})).await["error_code"],
        1404
    );
    assert_eq!(
        dock.hook(&one, json!({})).await.ok().text,
        "4",
        "the script is of its own workspace"
    );
}

#[tokio::test]
async fn fetch_goes_where_it_may() {
    let dock = Dock::new().await;
    let receiver = Receiver::start(|call| match call.path.as_str() {
        "/own" => Reply::Status(202),
        _ => Reply::Good,
    })
    .await;
    let source = "
        const answer = await fetch(request.entity.url, {method: 'POST', headers: {'X-A': 'b'}, body: {n: 1}});
        respond(200, {}, [answer.status, answer.ok])";
    let channel = dock.sync("fetch", source).await;
    let path = format!("{POINTS}/{}", channel.id);
    let url = format!("{}/own", receiver.url);
    dock.change(&path, json!({ "url": url })).await.ok();
    assert_eq!(dock.hook(&channel, json!({})).await.ok().text, "[202,true]");
    let call = receiver.next().await;
    assert_eq!(
        (call.method.as_str(), call.body.as_str(), call.header("x-a")),
        ("POST", r#"{"n":1}"#, Some("b"))
    );
    let other = dock
        .sync(
            "other",
            "await fetch(request.body.url, request.body.options)",
        )
        .await;
    for (url, options, said) in [
        (
            format!("{}/elsewhere", receiver.url),
            json!({}),
            "Only https addresses",
        ),
        (
            "ftp://a.example/".to_owned(),
            json!({}),
            "Only https addresses",
        ),
        (
            "https://user:pass@a.example/".to_owned(),
            json!({}),
            "a user name or a password",
        ),
        (
            "https://127.0.0.1:1/".to_owned(),
            json!({}),
            "no connection",
        ),
        (
            "https://127.0.0.1:1/".to_owned(),
            json!({ "method": "CONNECT" }),
            "no method",
        ),
        (
            "https://127.0.0.1:1/".to_owned(),
            json!({ "headers": { "host": "x" } }),
            "cannot be sent",
        ),
    ] {
        let count = dock.runs("other").await.len();
        assert_eq!(
            dock.hook(&other, json!({ "url": url, "options": options }))
                .await
                .status,
            500
        );
        let run = eventually("the run", || async {
            let runs = dock.runs("other").await;
            (runs.len() > count).then(|| runs[0].clone())
        })
        .await;
        assert!(
            run["error"].as_str().expect("an error").contains(said),
            "{url}: {run}"
        );
    }
}

#[tokio::test]
async fn private_addresses_are_nothing_for_scripts() {
    let strict = |config: &mut prichal::config::Config| config.allow_private_targets = false;
    let dock = Dock::at(Hub::with(strict).await).await;
    let receiver = Receiver::good().await;
    let channel = dock.sync("inside", "await fetch(request.entity.url)").await;
    dock.change(
        &format!("{POINTS}/{}", channel.id),
        json!({ "url": receiver.url }),
    )
    .await
    .ok();
    assert_eq!(dock.hook(&channel, json!({})).await.status, 500);
    let run = dock.run("inside", "failed").await;
    assert!(
        run["error"]
            .as_str()
            .expect("an error")
            .contains("refused: loopback"),
        "{run}"
    );
}

#[tokio::test]
async fn a_script_is_started_by_hand() {
    let dock = Dock::new().await;
    dock.script("job", "console.log(startparam(1), startparam(2), startparam(9)); variables.x = 1; startparam(2) * 2").await;
    let body = json!({ "code": "job", "startparam1": "a", "startparam2": 21 });
    let started = dock.rest.post(RUNS, body).await.ok();
    let id = started.str("id");
    let node = started.str("node");
    let expected = json!({ "id": id, "site": "main", "node": node, "domain": "acme", "type": "svc", "code": "job" });
    assert_eq!(started.json, expected);
    let run = dock.run("job", "finished").await;
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
        (json!([]), 1400, "object"),
    ] {
        let refused = dock.rest.post(RUNS, body.clone()).await;
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
    ] {
        assert_eq!(
            dock.rest.get(&format!("{RUNS}?{query}")).await["error_code"],
            code,
            "{query}"
        );
    }
    // Whoever started it may wait for it, but a failure is not tried again.
    dock.script("once", "throw new Error('no')").await;
    dock.rest.post(RUNS, json!({ "code": "once" })).await.ok();
    let failed = dock.run("once", "failed").await;
    assert_eq!(failed["attempts"], 1);
    let keyed = dock.rest.clone().header("idempotency-key", "k");
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
    let member = dock.hub.token("acme", "member").await.at("");
    assert_eq!(member.get(RUNS).await["error_code"], 1403);
}

#[tokio::test]
async fn accepted_hooks_are_run_after_a_crash() {
    let dock = Dock::new().await;
    let source = "entities.create('companies', {name: request.body.name})";
    let channel = dock.queued("crash", source).await;
    let names: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
    let hooks = names
        .iter()
        .map(|name| dock.hook(&channel, json!({ "name": name })));
    for answer in futures_util::future::join_all(hooks).await {
        assert_eq!(answer.status, 200);
    }
    let Dock { hub, space, rest } = dock;
    let ground = hub.ground.clone();
    hub.die();
    let hub = ground.start().await;
    let dock = Dock {
        space: hub.adopt(&space),
        rest: hub.adopt(&rest),
        hub,
    };
    let made = eventually("every hook was run", || async {
        // A run that the dying server has stopped in its middle is tried again after a while.
        dock.hub.advance(Duration::from_secs(1));
        let list = dock.space.get("/companies?limit=1000").await.ok();
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
    let dock = Dock::new().await;
    let channel = dock.queued("many", "kv.set('n' + request.body.n, 1)").await;
    for batch in 0..6 {
        let hooks = (0..100).map(|n| dock.hook(&channel, json!({ "n": batch * 100 + n })));
        for answer in futures_util::future::join_all(hooks).await {
            assert_eq!(answer.status, 200);
        }
    }
    eventually("all are through", || async {
        let waiting = dock
            .rest
            .get(&format!("{RUNS}?filter=%7B%22status%22%3A%22queued%22%7D"))
            .await
            .ok();
        (waiting.text == "[]").then_some(())
    })
    .await;
    let failed = dock
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
    if !crate::hub::on_postgres() {
        return;
    }
    let ground = Ground::new(|_| ());
    let (one, two) = (ground.start().await, ground.neighbour().start().await);
    let dock = Dock::at(one).await;
    let channel = dock
        .queued("nodes", "entities.create('companies', {name: 'x'})")
        .await;
    for _ in 0..10 {
        assert_eq!(dock.hook(&channel, json!({})).await.status, 200);
    }
    let Dock { hub, space, .. } = dock;
    let space = two.adopt(&space);
    hub.die();
    eventually("the other node has run them", || async {
        two.advance(Duration::from_secs(1));
        let count = space.get("/companies").await.ok()["count"].as_i64();
        (count >= Some(10)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn runs_are_kept_thirty_days() {
    let dock = Dock::new().await;
    let channel = dock.queued("old", "if (request.body.bad) throw 1").await;
    dock.hook(&channel, json!({})).await.ok();
    dock.run("old", "finished").await;
    dock.hub.advance(Duration::from_hours(24));
    dock.hook(&channel, json!({ "bad": true })).await.ok();
    dock.run("old", "deferred").await;
    for _ in 0..=29 * 24 {
        dock.hub.advance(Duration::from_hours(1));
    }
    let left = eventually("the old run is gone", || async {
        let runs = dock.runs("old").await;
        (runs.len() == 1).then(|| runs[0].clone())
    })
    .await;
    assert_ne!(left["status"], "finished", "what is not over stays");
}

#[tokio::test]
async fn runs_take_turns_with_what_their_channel_keeps() {
    let dock = Dock::new().await;
    let source = "const n = (kv.get('n') ?? 0) + 1; kv.set('n', n); respond(200, {}, String(n))";
    let counter = dock.sync("counter", source).await;
    let hooks = (0..60).map(|_| dock.hook(&counter, json!({})));
    let mut seen: Vec<u32> = futures_util::future::join_all(hooks)
        .await
        .into_iter()
        .map(|answer| answer.ok().text.parse().expect("a number"))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=60).collect::<Vec<u32>>());
    let path = format!("{POINTS}/{}", counter.id);
    dock.change(&path, json!({ "opts": { "issync": false } }))
        .await
        .ok();
    for answer in
        futures_util::future::join_all((0..40).map(|_| dock.hook(&counter, json!({})))).await
    {
        assert_eq!(answer.status, 200);
    }
    eventually("all are run", || async {
        let waiting = dock
            .rest
            .get(&format!("{RUNS}?filter=%7B%22status%22%3A%22queued%22%7D"))
            .await
            .ok();
        (waiting.text == "[]").then_some(())
    })
    .await;
    dock.change(&path, json!({ "opts": { "issync": true } }))
        .await
        .ok();
    assert_eq!(dock.hook(&counter, json!({})).await.ok().text, "101");
}

#[tokio::test]
async fn nodes_do_not_overtake_each_other() {
    if !crate::hub::on_postgres() {
        return;
    }
    let ground = Ground::new(|_| ());
    let (one, two) = (ground.start().await, ground.neighbour().start().await);
    let dock = Dock::at(one).await;
    let source = "const n = (kv.get('n') ?? 0) + 1; kv.set('n', n); respond(200, {}, String(n))";
    let counter = dock.sync("counter", source).await;
    let there = two.anybody().bearer(&counter.token);
    let mut seen = Vec::new();
    for _ in 0..20 {
        let (here, there) = tokio::join!(
            dock.hook(&counter, json!({})),
            there.post("/exec", json!({}))
        );
        seen.extend([here, there].map(|answer| answer.ok().text.parse::<u32>().expect("a number")));
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=40).collect::<Vec<u32>>());
}

#[tokio::test]
async fn a_deferred_run_is_tried_at_once_when_it_is_asked_for() {
    let dock = Dock::new().await;
    let channel = dock
        .queued(
            "wait",
            "if (kv.get('go') !== 1) { throw new Error('not yet') }",
        )
        .await;
    dock.hook(&channel, json!({})).await.ok();
    let run = dock.run("wait", "deferred").await;
    let path = format!("{RUNS}/{}/retry", run["id"].as_str().expect("an id"));
    let again = dock.rest.post(&path, json!({})).await.ok();
    assert_eq!(again["status"], "queued");
    let run = eventually("another attempt", || async {
        let run = dock.run("wait", "deferred").await;
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
    let dock = Dock::new().await;
    let channel = dock.queued("long", "for (;;) {}").await;
    dock.hook(&channel, json!({})).await.ok();
    let run = dock.run("long", "running").await;
    assert_ne!(run["startedAt"], Value::Null);
    let Dock { hub, space, rest } = dock;
    let hub = hub.restart().await;
    let dock = Dock {
        space: hub.adopt(&space),
        rest: hub.adopt(&rest),
        hub,
    };
    let again = dock.run("long", "running").await;
    assert_eq!(
        (&again["id"], &again["attempts"]),
        (&run["id"], &json!(0)),
        "it was not its fault"
    );
}

#[tokio::test]
async fn a_form_may_hold_the_json() {
    let dock = Dock::new().await;
    let form = dock
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
        let refused = dock.rest.post(POINTS, body).await;
        assert_eq!(refused["error_code"], 1400);
        assert!(
            refused.str("error_message").contains("token_remote"),
            "{}",
            refused.text
        );
    }
    let unknown = dock.rest.get("/exec/x").await;
    assert_eq!(unknown["error_code"], 1404);
}

#[tokio::test]
async fn a_sender_that_goes_away_leaves_no_run_behind() {
    use tokio::io::AsyncWriteExt as _;
    let dock = Dock::new().await;
    let channel = dock.queued("gone", "1").await;
    let address = dock.hub.url.trim_start_matches("http://").to_owned();
    let head = format!(
        "POST /hook/{} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        channel.token
    );
    for n in 0..400 {
        let mut stream = tokio::net::TcpStream::connect(&address)
            .await
            .expect("it listens");
        stream.write_all(head.as_bytes()).await.expect("it reads");
        // Sooner or later, so that some leave while their run is being written.
        for _ in 0..n % 40 {
            tokio::task::yield_now().await;
        }
    }
    dock.hook(&channel, json!({})).await.ok();
    eventually("nothing waits that nobody has", || async {
        let waiting = dock
            .rest
            .get(&format!("{RUNS}?filter=%7B%22status%22%3A%22queued%22%7D"))
            .await
            .ok();
        (waiting.text == "[]").then_some(())
    })
    .await;
}
