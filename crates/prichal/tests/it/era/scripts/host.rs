//! The functions that a script can call, and the changes that it makes.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS, RUNS, SCRIPTS},
    hub::{Hub, eventually},
    receiver::{Receiver, Reply},
};

/// Bytes pass unchanged: bodies of hooks, fetched bodies, keys and signatures.
#[tokio::test]
async fn scripts_work_with_bytes() {
    let era = ChannelWorkspace::new().await;
    let hash = "crypto.sha('sha256', request.bytes)";
    let source = format!("respond(200, {{}}, [request.bytes.length, {hash}, request.text.length])");
    let channel = era.sync_channel("bytes", &source).await;
    for body in [&b"{\"a\":1}"[..], b"\xff\x00\xfe", "привет".as_bytes(), b""] {
        let sender = era.token_holder(&channel);
        let sent = sender.send(Method::POST, "/exec", Some(body.to_vec()));
        let answer = sent.await.ok();
        assert_eq!(answer[0], body.len());
        assert_eq!(answer[1], hex(&Sha256::digest(body)), "{body:?}");
    }
    let channel = era
        .sync_channel("back", "respond(200, {}, request.bytes)")
        .await;
    let sender = era.token_holder(&channel);
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
    let channel = era.sync_channel("send", source).await;
    let path = format!("{POINTS}/{}", channel.id);
    era.change(&path, json!({ "url": receiver.url })).await.ok();
    assert_eq!(era.hook(&channel, json!({})).await.ok().text, "[200,true]");
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
    let era = ChannelWorkspace::new().await;
    let key: Vec<u8> = (200..232).collect();
    let secret = format!("whsec_{}", STANDARD.encode(&key));
    let source = format!(
        "const now = Date.parse(entities.create('companies', {{name: 'x'}}).updateInfo.createdAt) / 1000;
        respond(200, {{}}, [crypto.verifyWebhook(request.headers, request.bytes, ['whsec_AAAA', '{secret}']), now])"
    );
    let channel = era.sync_channel("verify", &source).await;
    let now = era.hook(&channel, json!({})).await.ok()[1]
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
        let caller = era
            .token_holder(&channel)
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
async fn changes_of_a_script_are_committed_at_its_end() {
    let era = ChannelWorkspace::new().await;
    let source = "
        const company = entities.create('companies', {name: request.body.name});
        const contact = entities.create('contacts', {name: 'Ivan', phones: [{value: '+77010000001'}]});
        const changed = entities.patch('contacts', contact.id, [{op: 'replace', path: '/name', value: 'Pyotr'}]);
        entities.link({companyId: company.id, contactId: contact.id});
        kv.set('last', {id: company.id});
        events.publish('met', {who: changed.name});
        respond(200, {}, {company: company.id, contact: contact.id, name: changed.name,
            seen: entities.get('contacts', contact.id).name, kept: kv.get('last'), none: entities.get('contacts', company.id)})";
    let channel = era.sync_channel("crm", source).await;
    let answer = era.hook(&channel, json!({ "name": "Acme" })).await.ok();
    let (company, contact) = (answer.str("company"), answer.str("contact"));
    let expected = json!({ "company": company, "contact": contact, "name": "Pyotr", "seen": "Pyotr",
        "kept": { "id": company }, "none": null });
    assert_eq!(answer.json, expected);
    let found = era.space.get(&format!("/contacts/{contact}")).await.ok();
    assert_eq!(
        (&found["name"], &found["updateInfo"]["createdWith"]),
        (&json!("Pyotr"), &json!("IntegrationPoint.crm"))
    );
    assert_eq!(
        era.space.get(&format!("/companies/{company}")).await.ok()["name"],
        "Acme"
    );
    let feed = era.space.get("/events").await.ok();
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

    // A script that fails at its end has changed nothing.
    let failing = era
        .sync_channel(
            "half",
            "entities.create('companies', {name: 'Ghost'}); kv.set('x', 1); throw 1",
        )
        .await;
    assert_eq!(era.hook(&failing, json!({})).await.status, 500);
    let companies = era.space.get("/companies").await.ok();
    assert_eq!(companies["count"], 1);
    for (source, said) in [
        (
            "entities.create('unicorns', {})",
            "There is no collection `unicorns`: users,",
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
        ("entities.get('contacts')", "arguments are invalid"),
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
            "at most 1000 changes",
        ),
        ("channel.send({})", "neither a `url` nor a script"),
        (
            "entities.link({companyId: '00000000-0000-0000-0000-000000000001', contactId: '00000000-0000-0000-0000-000000000002'})",
            "not found",
        ),
    ] {
        let path = format!(
            "{SCRIPTS}/{}",
            era.rest
                .get(&format!("{SCRIPTS}?filter=%7B%22code%22%3A%22half%22%7D"))
                .await
                .ok()[0]["id"]
                .as_str()
                .expect("an id")
        );
        era.change(&path, json!({ "scriptdata": { "source": source } }))
            .await
            .ok();
        let count = era.runs("half").await.len();
        assert_eq!(
            era.hook(&failing, json!({})).await["error_code"],
            1500,
            "{source}"
        );
        let run = eventually("the run", || async {
            let runs = era.runs("half").await;
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
    let era = ChannelWorkspace::new().await;
    let source = "const n = (kv.get('n') ?? 0) + 1; kv.set('n', n); respond(200, {}, String(n))";
    let (one, two) = (
        era.sync_channel("one", source).await,
        era.sync_channel("two", source).await,
    );
    for expected in ["1", "2", "3"] {
        assert_eq!(era.hook(&one, json!({})).await.ok().text, expected);
    }
    assert_eq!(era.hook(&two, json!({})).await.ok().text, "1");
    let other = era.hub.workspace("other").await.at("");
    let body = json!({ "code": "one", "name": "one", "scriptdata": { "language": "javascript", "source": "respond(200, {}, 'other')" } });
    other.post(SCRIPTS, body).await.ok();
    assert_eq!(other.get(RUNS).await.ok().text, "[]");
    let run = era.run("one", "finished").await;
    let id = run["id"].as_str().expect("an id");
    assert_eq!(other.get(&format!("{RUNS}/{id}")).await["error_code"], 1404);
    assert_eq!(
        other.post(&format!("{RUNS}/{id}/retry"), json!({})).await["error_code"],
        1404
    );
    assert_eq!(
        era.hook(&one, json!({})).await.ok().text,
        "4",
        "the script is of its own workspace"
    );
}

#[tokio::test]
async fn fetch_reaches_permitted_addresses_only() {
    let era = ChannelWorkspace::new().await;
    let receiver = Receiver::start(|call| match call.path.as_str() {
        "/own" => Reply::Status(202),
        _ => Reply::Good,
    })
    .await;
    let source = "
        const answer = await fetch(request.entity.url, {method: 'POST', headers: {'X-A': 'b'}, body: {n: 1}});
        respond(200, {}, [answer.status, answer.ok])";
    let channel = era.sync_channel("fetch", source).await;
    let path = format!("{POINTS}/{}", channel.id);
    let url = format!("{}/own", receiver.url);
    era.change(&path, json!({ "url": url })).await.ok();
    assert_eq!(era.hook(&channel, json!({})).await.ok().text, "[202,true]");
    let call = receiver.next().await;
    assert_eq!(
        (call.method.as_str(), call.body.as_str(), call.header("x-a")),
        ("POST", r#"{"n":1}"#, Some("b"))
    );
    let other = era
        .sync_channel(
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
            "not a valid HTTP method",
        ),
        (
            "https://127.0.0.1:1/".to_owned(),
            json!({ "headers": { "host": "x" } }),
            "cannot be sent",
        ),
    ] {
        let count = era.runs("other").await.len();
        assert_eq!(
            era.hook(&other, json!({ "url": url, "options": options }))
                .await
                .status,
            500
        );
        let run = eventually("the run", || async {
            let runs = era.runs("other").await;
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
    let era = ChannelWorkspace::at(Hub::with(strict).await).await;
    let receiver = Receiver::good().await;
    let channel = era
        .sync_channel("inside", "await fetch(request.entity.url)")
        .await;
    era.change(
        &format!("{POINTS}/{}", channel.id),
        json!({ "url": receiver.url }),
    )
    .await
    .ok();
    assert_eq!(era.hook(&channel, json!({})).await.status, 500);
    let run = era.run("inside", "failed").await;
    assert!(
        run["error"]
            .as_str()
            .expect("an error")
            .contains("refused: loopback"),
        "{run}"
    );
}

#[tokio::test]
async fn scripts_have_the_six_verbs() {
    let era = ChannelWorkspace::new().await;
    let data = json!({ "language": "javascript", "source": "respond(200)" });
    let body = json!({ "code": "ws_hook", "name": "Hook", "scriptdata": data, "opts": { "variables": { "a": 1 } } });
    let made = era.rest.post(SCRIPTS, body.clone()).await.ok();
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
    assert_eq!(era.rest.get(&path).await.ok().text, expected);
    era.change(&path, made.json.clone()).await.ok();
    let list = era.rest.get(SCRIPTS).await.ok();
    assert_eq!(
        (&list[0]["code"], &list[0]["scriptdata"]),
        (&json!("ws_hook"), &Value::Null),
        "lists leave sources out"
    );
    let masked = era
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
            era.rest
                .send(verb.clone(), SCRIPTS, Some(key))
                .await
                .ok()
                .json,
            json!([id])
        );
    }
    assert_eq!(era.rest.post(SCRIPTS, body).await["error_code"], 1409);
    for (source, place) in [("let x = ;", "line 1"), ("\n\n foo(", "line 3")] {
        let data = json!({ "scriptdata": { "source": source } });
        let refused = era.change(&path, data).await;
        assert_eq!(refused["error_code"], 1400);
        let message = refused.str("error_message");
        assert!(
            message.contains("scriptdata.source") && message.contains(place),
            "{message}"
        );
    }
    assert_eq!(
        era.rest.get(&path).await.ok().text,
        expected,
        "nothing has changed"
    );
    assert_eq!(era.rest.delete(&path).await.status, 204);
    assert_eq!(era.rest.delete(&path).await.status, 204);
    assert_eq!(era.rest.get(&path).await["error_code"], 1404);
    let feed = era.space.get("/events").await.ok();
    let items = feed["items"].as_array().expect("items");
    assert_eq!(items[0]["entityIds"], json!({ "svcscriptId": id }));
    assert!(
        !feed.text.contains("respond(200)"),
        "the feed has no sources"
    );
    let other = era.hub.workspace("other").await.at("");
    assert_eq!(other.get(&path).await["error_code"], 1404);
    let member = era.hub.token("acme", "member").await.at("");
    assert_eq!(member.get(SCRIPTS).await["error_code"], 1403);
}

#[tokio::test]
async fn published_events_contain_no_channel_tokens() {
    let era = ChannelWorkspace::new().await;
    let source = "events.publish('hook ' + request.entity.token_local, {request, [request.entity.token_remote]: request.entity.token_remote2})";
    era.script("tell", source).await;
    let members = json!({ "recv_svcscriptcode": "tell", "token_remote": "far secret", "token_remote2": "pin", "opts": { "issync": true } });
    let channel = era.channel("tell", members).await;
    let path = format!("/hook/{}/x", channel.token);
    let body = json!({ "pin": "pint" });
    era.hub.anonymous().post(&path, body).await.ok();
    let feed = era.space.get("/events").await.ok();
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

/// The changes of a run whose channel was deleted meanwhile do not appear in a channel that has its id.
#[tokio::test]
async fn a_later_channel_with_the_same_id_inherits_nothing() {
    for is_there in [false, true] {
        let era = ChannelWorkspace::new().await;
        let gate = Arc::new(Semaphore::new(0));
        let held = Reply::Held(gate.clone());
        let receiver = Receiver::start(move |_| held.clone()).await;
        let source =
            "await fetch(request.entity.url); kv.set('k', 'old'); events.publish('e', 'old')";
        era.script("old", source).await;
        era.script("new", "respond(200, {}, { k: kv.get('k') })")
            .await;
        let members = json!({ "recv_svcscriptcode": "old", "url": receiver.url });
        let old = era.channel("old", members).await;
        era.hook(&old, json!({})).await.ok();
        receiver.next().await;
        let path = format!("{POINTS}/{}", old.id);
        assert_eq!(era.rest.delete(&path).await.status, 204);
        era.hub.advance(Duration::from_secs(1));
        let again =
            json!({ "id": old.id, "recv_svcscriptcode": "new", "opts": { "issync": true } });
        let made = if is_there {
            Some(era.channel("new", again.clone()).await)
        } else {
            None
        };
        gate.add_permits(1);
        era.run("old", "finished").await;
        let new = match made {
            Some(made) => made,
            None => era.channel("new", again).await,
        };
        let kept = era.hook(&new, json!({})).await.ok();
        assert_eq!(kept["k"], Value::Null, "{is_there}");
        let feed = era.space.get("/events?limit=1000").await.ok().text;
        assert!(!feed.contains("\"data\":\"old\""), "{feed}");
    }
}
