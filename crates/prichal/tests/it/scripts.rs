//! What scripts can do, and what they cannot (`docs/contracts/era.md §10, §13`, `docs/contracts/prichal.md §12`).

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    dock::{Dock, POINTS, RUNS, SCRIPTS},
    hub::{Ground, Hub, eventually},
    receiver::{Receiver, Reply},
};

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
            dock.working(1).await;
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

/// A script that fills what is not in the engine's memory ends with an error that says so, or at least with its
/// time; the process that ran it is nobody's loss.
#[tokio::test]
async fn what_a_script_begins_is_bounded() {
    let dock = Dock::new().await;
    let healthy = dock.sync("healthy", "respond(200, {}, 'well')").await;
    for (code, source, why) in [
        (
            "reject",
            "for (;;) Promise.reject('x'.repeat(990))",
            "rejected promises have no handler",
        ),
        (
            "begin",
            "const all = []; for (let n = 0; n < 100; n++) all.push(fetch('https://127.0.0.1:1/' + 'x'.repeat(1e5))); \
             await Promise.all(all)",
            "at most",
        ),
        (
            "hand",
            "entities.get('companies', 'x'.repeat(5e6))",
            "longer than",
        ),
        (
            "hoard",
            "const a = []; for (;;) a.push('x'.repeat(1000) + a.length)",
            "memory",
        ),
        (
            "deep",
            "const c = entities.create('companies', {name: 'x'}); \
             entities.patch('companies', c.id, [{op: 'add', path: '/customFields' + '/a'.repeat(20000), value: 1}])",
            "A path has at most 40 parts",
        ),
    ] {
        let channel = dock.sync(code, source).await;
        assert_eq!(
            dock.hook(&channel, json!({})).await["error_code"],
            1500,
            "{code}"
        );
        let run = dock.run(code, "failed").await;
        assert!(
            run["error"].to_string().contains(why),
            "{code}: {}",
            run["error"]
        );
        assert_eq!(
            dock.hook(&healthy, json!({})).await.ok().text,
            "well",
            "{code}"
        );
    }
}

/// Bytes go in and out as they are: bodies of hooks, what is fetched, keys and signatures.
#[tokio::test]
async fn scripts_work_with_bytes() {
    let dock = Dock::new().await;
    let hash = "crypto.sha('sha256', request.bytes)";
    let source = format!("respond(200, {{}}, [request.bytes.length, {hash}, request.text.length])");
    let channel = dock.sync("bytes", &source).await;
    for body in [&b"{\"a\":1}"[..], b"\xff\x00\xfe", "привет".as_bytes(), b""] {
        let sender = dock.holder(&channel);
        let sent = sender.send(Method::POST, "/exec", Some(body.to_vec()));
        let answer = sent.await.ok();
        assert_eq!(answer[0], body.len());
        assert_eq!(answer[1], hex(&Sha256::digest(body)), "{body:?}");
    }
    let channel = dock.sync("back", "respond(200, {}, request.bytes)").await;
    let sender = dock.holder(&channel);
    let sent = sender.send(Method::POST, "/exec", Some(b"{}".to_vec()));
    let answer = sent.await.ok();
    assert_eq!(
        (answer.header("content-type"), answer.text.as_str()),
        (Some("application/octet-stream"), "{}")
    );
    let receiver = Receiver::start(|_| Reply::Good).await;
    let source = "
        const form = await fetch(request.entity.url, {method: 'POST', body: new URLSearchParams({a: 'ё 1'})});
        await fetch(request.entity.url, {method: 'POST', body: new TextEncoder().encode('ё')});
        respond(200, {}, [form.status, (await form.bytes()) instanceof Uint8Array])";
    let channel = dock.sync("send", source).await;
    let path = format!("{POINTS}/{}", channel.id);
    dock.change(&path, json!({ "url": receiver.url }))
        .await
        .ok();
    assert_eq!(dock.hook(&channel, json!({})).await.ok().text, "[200,true]");
    let form = receiver.next().await;
    let kind = form.header("content-type").unwrap_or_default();
    assert!(
        kind.starts_with("application/x-www-form-urlencoded"),
        "{kind}"
    );
    assert_eq!(form.body, "a=%D1%91+1");
    assert_eq!(receiver.next().await.body, "ё");
}

/// Senders of Standard Webhooks are verified by the clock of the host.
#[tokio::test]
async fn a_script_verifies_webhooks() {
    let dock = Dock::new().await;
    let key: Vec<u8> = (200..232).collect();
    let secret = format!("whsec_{}", STANDARD.encode(&key));
    let source = format!(
        "const now = Date.parse(entities.create('companies', {{name: 'x'}}).updateInfo.createdAt) / 1000;
        respond(200, {{}}, [crypto.verifyWebhook(request.headers, request.bytes, ['whsec_AAAA', '{secret}']), now])"
    );
    let channel = dock.sync("verify", &source).await;
    let now = dock.hook(&channel, json!({})).await.ok()[1]
        .as_f64()
        .expect("a time");
    let signed = |id: &str, time: &str, body: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
        mac.update(format!("{id}.{time}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    let body = "{\"type\":\"ё\"}";
    for (late, sent, is_right) in [
        (0.0, body, true),
        (290.0, body, true),
        (310.0, body, false),
        (0.0, "{}", false),
    ] {
        let time = format!("{:.0}", now - late);
        let caller = dock
            .holder(&channel)
            .header("webhook-id", "msg_1")
            .header("webhook-timestamp", &time)
            .header(
                "webhook-signature",
                &format!("v1,AAAA {}", signed("msg_1", &time, body)),
            );
        let answer = caller
            .send(Method::POST, "/exec", Some(sent.into()))
            .await
            .ok();
        assert_eq!(answer[0], is_right, "{late} {sent}: {}", answer.text);
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
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
        ("kv.set('', 1)", "A key must have 1 to 256 characters"),
        ("kv.set('k', 'x'.repeat(70000))", "longer than 64 KiB"),
        ("events.publish('')", "An event must have a name"),
        (
            "for (let i = 0; i < 200; i++) kv.set('k' + i, 'x'.repeat(60000))",
            "at most 8 MiB",
        ),
        (
            "for (let i = 0; i < 50; i++) entities.create('contacts', {customFields: {a: 'x'.repeat(200000)}})",
            "at most 8 MiB",
        ),
        (
            "for (let i = 0; i < 200; i++) events.publish('e', 'x'.repeat(60000))",
            "at most 8 MiB",
        ),
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
        (json!({ "code": "job", "colour": 1 }), 1400, "colour"),
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
        ("mask=id,colour", 1400),
        ("flat=maybe", 1400),
        ("order=%5B%22id%22%5D", 1400),
    ] {
        assert_eq!(
            dock.rest.get(&format!("{RUNS}?{query}")).await["error_code"],
            code,
            "{query}"
        );
    }
    for path in [
        format!("{RUNS}?limit=1&mask=id,status"),
        format!("{RUNS}/{id}?mask=id,status"),
    ] {
        let masked = dock.rest.get(&path).await.ok();
        let shown = masked.as_array().map_or(&masked.json, |list| &list[0]);
        assert_eq!(*shown, json!({ "id": id, "status": "finished" }));
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
    dock.drained().await;
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
async fn scripts_have_the_six_verbs() {
    let dock = Dock::new().await;
    let data = json!({ "language": "javascript", "source": "respond(200)" });
    let body = json!({ "code": "ws_hook", "name": "Hook", "scriptdata": data, "opts": { "variables": { "a": 1 } } });
    let made = dock.rest.post(SCRIPTS, body.clone()).await.ok();
    let id = made.str("id");
    let path = format!("{SCRIPTS}/{id}");
    let expected = format!(
        concat!(
            r#"{{"id":"{}","code":"ws_hook","name":"Hook","scriptdata":{{"language":"javascript","source":"respond(200)"}},"#,
            r#""projectid":"","lwt":"2026-01-01T00:00:00.00Z","opts":{{"title":"","comment":"","loglevel":0,"variables":{{"a":1}}}},"#,
            r#""ext":{{"ct":"2026-01-01T00:00:00.00Z","lwt":"2026-01-01T00:00:00.00Z"}}}}"#
        ),
        id
    );
    assert_eq!(made.text, expected);
    assert_eq!(dock.rest.get(&path).await.ok().text, expected);
    dock.change(&path, made.json.clone()).await.ok();
    let list = dock.rest.get(SCRIPTS).await.ok();
    assert_eq!(
        (&list[0]["code"], &list[0]["scriptdata"]),
        (&json!("ws_hook"), &Value::Null),
        "lists leave sources out"
    );
    let masked = dock
        .rest
        .get(&format!("{SCRIPTS}?mask=code,scriptdata.source&flat=true"))
        .await
        .ok();
    assert_eq!(
        masked.text,
        r#"[{"code":"ws_hook","scriptdata.source":"respond(200)"}]"#
    );
    let verb = Method::from_bytes(b"LOOKUP").expect("a verb");
    for key in [id.as_str(), "ws_hook"] {
        let key = json!(key).to_string().into_bytes();
        assert_eq!(
            dock.rest
                .send(verb.clone(), SCRIPTS, Some(key))
                .await
                .ok()
                .json,
            json!([id])
        );
    }
    assert_eq!(dock.rest.post(SCRIPTS, body).await["error_code"], 1409);
    for (source, place) in [("let x = ;", "line 1"), ("\n\n foo(", "line 3")] {
        let data = json!({ "scriptdata": { "source": source } });
        let refused = dock.change(&path, data).await;
        assert_eq!(refused["error_code"], 1400);
        let message = refused.str("error_message");
        assert!(
            message.contains("scriptdata.source") && message.contains(place),
            "{message}"
        );
    }
    assert_eq!(
        dock.rest.get(&path).await.ok().text,
        expected,
        "nothing has changed"
    );
    assert_eq!(dock.rest.delete(&path).await.status, 204);
    assert_eq!(dock.rest.delete(&path).await.status, 204);
    assert_eq!(dock.rest.get(&path).await["error_code"], 1404);
    let feed = dock.space.get("/events").await.ok();
    let items = feed["items"].as_array().expect("items");
    assert_eq!(items[0]["entityIds"], json!({ "svcscriptId": id }));
    assert!(
        !feed.text.contains("respond(200)"),
        "the feed has no sources"
    );
    let other = dock.hub.workspace("other").await.at("");
    assert_eq!(other.get(&path).await["error_code"], 1404);
    let member = dock.hub.token("acme", "member").await.at("");
    assert_eq!(member.get(SCRIPTS).await["error_code"], 1403);
}

#[tokio::test]
async fn a_list_of_runs_ends_before_it_gets_long() {
    let dock = Dock::new().await;
    let source = "console.log('x'.repeat(60000)); respond(200, {}, 'y'.repeat(1000000))";
    let channel = dock.sync("long", source).await;
    for _ in 0..12 {
        dock.hook(&channel, json!({})).await.ok();
    }
    let page = |offset: usize| {
        let (rest, path) = (
            dock.rest.clone(),
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
async fn what_a_script_publishes_has_no_tokens_of_its_channel() {
    let dock = Dock::new().await;
    let source = "events.publish('hook ' + request.entity.token_local, {request, [request.entity.token_remote]: request.entity.token_remote2})";
    dock.script("tell", source).await;
    let members = json!({ "recv_svcscriptcode": "tell", "token_remote": "far secret", "token_remote2": "pin", "opts": { "issync": true } });
    let channel = dock.channel("tell", members).await;
    let path = format!("/hook/{}/x", channel.token);
    let body = json!({ "pin": "pint" });
    dock.hub.anybody().post(&path, body).await.ok();
    let feed = dock.space.get("/events").await.ok();
    let items = feed["items"].as_array().expect("items");
    let event = &items[items.len() - 1]["changeData"]["new"]["event"];
    assert_eq!(event["name"], "hook ***");
    assert_eq!(event["data"]["***"], "***");
    assert_eq!(event["data"]["request"]["url"], "/hook/***/x");
    assert_eq!(
        event["data"]["request"]["text"], r#"{"***":"pint"}"#,
        "a short token is masked where it is a whole text, not by chance inside of one"
    );
    assert!(!feed.text.contains(&channel.token) && !feed.text.contains("far secret"));
}

#[tokio::test]
async fn scripts_that_wait_hold_up_no_others_of_their_workspace() {
    let dock = Dock::new().await;
    let silent = Receiver::start(|_| Reply::Silence).await;
    let healthy = dock.sync("healthy", "respond(200, {}, 'well')").await;
    let source = "for (;;) await fetch(request.entity.url).catch(() => 0)";
    dock.script("wait", source).await;
    let mut channels = Vec::new();
    for n in 0..8 {
        let members = json!({ "url": silent.url, "recv_svcscriptcode": "wait", "opts": { "recv_timeout": 60 } });
        channels.push(dock.channel(&format!("w{n}"), members).await);
    }
    for channel in &channels {
        for _ in 0..8 {
            dock.hook(channel, json!({})).await.ok();
        }
    }
    dock.working(64).await;
    // Neither those that are known to end at once nor those of which nothing is known wait for them.
    for _ in 0..20 {
        assert_eq!(dock.hook(&healthy, json!({})).await.ok().text, "well");
    }
    let new = dock.sync("new", "respond(200, {}, 'new')").await;
    assert_eq!(dock.hook(&new, json!({})).await.ok().text, "new");
}

#[tokio::test]
async fn a_text_that_was_cut_can_be_logged() {
    let dock = Dock::new().await;
    let source = "console.log('got ' + request.body.text.slice(0, 5)); respond(200, {}, typeof request.body)";
    let channel = dock.sync("cut", source).await;
    dock.hook(&channel, json!({ "text": "abcd😀" })).await.ok();
    // The run of a hook that was answered is on record by then.
    let run = &dock.runs("cut").await[0];
    assert_eq!(
        (&run["status"], &run["log"]),
        (&json!("finished"), &json!(["got abcd\u{fffd}"]))
    );
}

/// Whoever reads of a run does not learn its channel's tokens; the sender is answered what the script says.
#[tokio::test]
async fn what_is_kept_of_a_run_has_no_tokens() {
    let dock = Dock::new().await;
    let source = "console.log(JSON.stringify(request)); console.log(request.entity.token_remote, request.url);
        if (request.body.fail) throw new Error(`no ${request.entity.token_remote} ${request.entity.token_local}`);
        respond(200, {}, request.entity)";
    dock.script("telling", source).await;
    let remote = "quoted \"secret\" of theirs";
    for (code, is_sync) in [("sync", true), ("queued", false)] {
        let members = json!({ "token_remote": remote, "token_remote2": "short", "recv_svcscriptcode": "telling",
            "opts": { "issync": is_sync } });
        let channel = dock.channel(code, members).await;
        let answer = dock.hook(&channel, json!({})).await.ok();
        if is_sync {
            assert_eq!(answer.str("token_local"), channel.token);
            assert_eq!(answer.str("token_remote"), remote);
        }
        dock.hook(&channel, json!({ "fail": true })).await;
        let path = format!("/hook/{}/x", channel.token);
        dock.hub.anybody().post(&path, json!({})).await.ok();
        dock.drained().await;
        let runs = json!(dock.runs("telling").await).to_string();
        assert!(runs.contains("Error: no *** ***") || !is_sync, "{runs}");
        for token in [channel.token.as_str(), "secret", "short"] {
            assert!(!runs.contains(token), "{code}: {token} in {runs}");
        }
    }
}
