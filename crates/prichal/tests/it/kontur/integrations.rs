//! Integrations and their instances (`docs/contracts/prichal.md §4`, `docs/contracts/kontur.md §3, §4.2`).

use std::io::Write as _;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    hub::{Caller, Hub},
    integration::{Integration, entity_hook},
    receiver::{Receiver, Reply},
};

async fn hub_and_space() -> (Hub, Caller) {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    (hub, space)
}

fn manifest(name: &str, version: &str) -> Value {
    json!({ "name": name, "version": version, "baseUrl": "https://my-integration.ru" })
}

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        archive
            .start_file(*name, zip::write::SimpleFileOptions::default())
            .expect("an entry");
        archive.write_all(content).expect("its content");
    }
    archive.finish().expect("an archive").into_inner()
}

#[tokio::test]
async fn from_manifest_to_instance_and_back() {
    let (_hub, space) = hub_and_space().await;
    let made = space
        .post(
            "/private-integrations",
            manifest("ws.myIntegration2020", "1.12-pre2020"),
        )
        .await
        .ok();
    assert_eq!(
        (&made["name"], &made["version"], &made["kind"]),
        (
            &json!("ws.myIntegration2020"),
            &json!("1.12-pre2020"),
            &json!("private")
        )
    );
    let id = made.str("id");
    let listed = space.get("/integrations").await.ok();
    assert_eq!(
        (
            &listed["count"],
            &listed["items"][0]["id"],
            &listed["items"][0]["installed"]
        ),
        (&json!(1), &json!(id), &json!(false))
    );
    let missing = space.get(&format!("/integrations/instances/{id}")).await;
    assert_eq!(
        (missing.status, &missing["message"]),
        (409, &json!(format!("IntegrationInstance {id} not found")))
    );

    let instance = space
        .post(&format!("/integrations/{id}/install"), json!({}))
        .await
        .ok();
    assert_eq!(
        (&instance["id"], &instance["status"], &instance["baseUrl"]),
        (
            &json!(id),
            &json!("active"),
            &json!("https://my-integration.ru")
        )
    );
    assert_eq!(
        instance["features"],
        json!({ "call": false, "hangup": false, "sendSms": false })
    );
    assert_eq!(
        (&instance["secrets"], &instance["webHooks"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(space.get("/integrations/instances").await.ok()["count"], 1);
    assert_eq!(
        space.get("/integrations").await.ok()["items"][0]["installed"],
        true
    );

    let taken = space
        .post(
            "/private-integrations",
            manifest("WS.myintegration2020", "1.0"),
        )
        .await;
    assert_eq!(taken.status, 409, "{}", taken.text);
    let replaced = space
        .put(
            &format!("/integrations/{id}/manifest"),
            manifest("ws.myIntegration2020", "2.0"),
        )
        .await
        .ok();
    assert_eq!(replaced["version"], "2.0");
    let renamed = space
        .put(
            &format!("/integrations/{id}/manifest"),
            manifest("other", "2.0"),
        )
        .await;
    assert_eq!(renamed.status, 409, "{}", renamed.text);

    assert_eq!(
        space
            .post(&format!("/integrations/{id}/uninstall"), json!({}))
            .await
            .ok()
            .json,
        json!("OK")
    );
    assert_eq!(
        space
            .get(&format!("/integrations/instances/{id}"))
            .await
            .ok()["status"],
        "notConfigured"
    );
    let unknown = space
        .post(
            "/integrations/00000000-0000-0000-0000-000000000003/setup",
            json!({}),
        )
        .await;
    assert_eq!(
        (unknown.status, &unknown["status"], &unknown["message"]),
        (
            409,
            &json!("IntegrationNotFound"),
            &json!("Integration not found")
        )
    );
}

#[tokio::test]
async fn manifests_that_make_no_sense() {
    let (_hub, space) = hub_and_space().await;
    for (member, value) in [
        ("name", json!("1abc")),
        ("name", json!("имя")),
        ("name", json!("")),
        ("name", json!(7)),
        ("name", json!("a".repeat(1000))),
        ("version", json!("one")),
        ("version", json!("1")),
        ("version", json!([1.0])),
        ("baseUrl", json!("ftp://x")),
        ("baseUrl", json!("my-integration.ru")),
        ("baseUrl", json!("javascript:alert(1)")),
    ] {
        let mut body = manifest("good", "1.0");
        body[member] = value.clone();
        let refused = space.post("/private-integrations", body).await;
        assert_eq!(refused.status, 400, "{member} {value}: {}", refused.text);
        assert!(
            refused["errors"]
                .as_object()
                .is_some_and(|errors| errors.contains_key(member)),
            "{}",
            refused.text
        );
    }
    assert_eq!(space.get("/integrations").await.ok()["count"], 0);
}

#[tokio::test]
async fn manifests_come_in_zips_and_hostile_ones_stay_out() {
    let (_hub, space) = hub_and_space().await;
    let caller = space.clone().header("content-type", "application/zip");
    let text = manifest("zipped", "1.0").to_string();
    let upload = |archive: Vec<u8>| {
        let caller = caller.clone();
        async move {
            caller
                .send(Method::POST, "/private-integrations", Some(archive))
                .await
        }
    };
    let bomb = vec![b' '; 200 << 20];
    let hostile: Vec<(&str, Vec<u8>)> = vec![
        ("no zip", b"PK\x03\x04 not really".to_vec()),
        ("empty", Vec::new()),
        ("no manifest", zip(&[("readme.txt", b"hello")])),
        (
            "in a folder only",
            zip(&[("folder/manifest.json", text.as_bytes())]),
        ),
        (
            "climbs out",
            zip(&[("manifest.json", text.as_bytes()), ("../evil", b"x")]),
        ),
        (
            "absolute",
            zip(&[("manifest.json", text.as_bytes()), ("/etc/evil", b"x")]),
        ),
        ("bomb", zip(&[("manifest.json", &bomb)])),
        ("no json", zip(&[("manifest.json", b"{")])),
        ("bad manifest", zip(&[("manifest.json", b"{\"name\": 7}")])),
        (
            "two manifests",
            zip(&[
                ("manifest.json", text.as_bytes()),
                ("Manifest.json", text.as_bytes()),
            ]),
        ),
    ];
    for (name, archive) in hostile {
        let refused = upload(archive).await;
        assert_eq!(refused.status, 400, "{name}: {}", refused.text);
    }
    assert_eq!(space.get("/integrations").await.ok()["count"], 0);
    let made = upload(zip(&[
        ("manifest.json", text.as_bytes()),
        ("logo.png", b"x"),
    ]))
    .await
    .ok();
    assert_eq!(made["name"], "zipped");
}

#[tokio::test]
async fn setup_is_relayed_and_activates() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let body = json!({ "name": "Megafon", "version": "1.0", "baseUrl": format!("{}/telephony/v1", receiver.url) });
    let id = space.post("/integrations", body).await.ok().str("id");
    space
        .post(&format!("/integrations/{id}/install"), json!({}))
        .await
        .ok();
    let arguments = json!({ "SecretKey": "s3cret", "autoRedirect": false, "autoAnswer": true, "empty": null, "line": 7 });
    assert_eq!(
        space
            .post(&format!("/integrations/{id}/setup"), arguments.clone())
            .await
            .ok()
            .json,
        json!("OK")
    );
    let call = receiver.next().await;
    assert_eq!(
        (call.path.as_str(), call.json()),
        ("/telephony/v1/setup", arguments)
    );
    assert!(
        call.header("x-xcom-accesskey").is_some()
            && call.header("x-xcom-integration-echo").is_some()
    );
    space
        .access_key(call.header("x-xcom-accesskey").expect("a key"))
        .get(&format!("/integrations/instances/{id}"))
        .await
        .ok();
    let instance = space
        .get(&format!("/integrations/instances/{id}"))
        .await
        .ok();
    assert_eq!(instance["status"], "active");
    let settings: Vec<_> = instance["settings"]
        .as_array()
        .expect("settings")
        .iter()
        .filter(|setting| setting["id"] != "version")
        .cloned()
        .collect();
    assert_eq!(
        json!(settings),
        json!([{ "id": "autoRedirect", "value": "False" }, { "id": "autoAnswer", "value": "True" }, { "id": "line", "value": "7" }])
    );
    assert_eq!(
        instance["secrets"],
        json!([{ "id": "SecretKey", "value": "s3cret", "values": ["s3cret"] }])
    );

    receiver.answer(|_| Reply::WrongEcho);
    let failed = space
        .post(&format!("/integrations/{id}/setup"), json!({}))
        .await;
    assert_eq!(
        (failed.status, &failed["status"]),
        (409, &json!("integrationError")),
        "{}",
        failed.text
    );
    assert!(
        failed["message"]
            .as_str()
            .is_some_and(|message| message.contains("echo")),
        "{}",
        failed.text
    );
    assert_eq!(
        space
            .get(&format!("/integrations/instances/{id}"))
            .await
            .ok()["status"],
        "failed"
    );
}

#[tokio::test]
async fn a_patch_of_an_instance_in_all_its_forms() {
    let (_hub, space) = hub_and_space().await;
    let integration = Integration::install(&space, "listener", "https://example.com").await;
    let zero = "00000000-0000-0000-0000-000000000000";
    let mut hook = entity_hook("/callbacks", json!([{ "entityType": "company" }]));
    hook["id"] = json!(zero);
    let answer = integration
        .patch(json!([{ "op": "Add", "path": "/IntegrationInstance", "value": hook }]))
        .await
        .ok();
    assert_eq!(
        (&answer["isSuccessful"], &answer["responseCode"]),
        (&json!(true), &json!("ok"))
    );
    let made = answer["result"]["webHooks"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_ne!(made, zero, "the zero id asks for one");

    // A connector that registers at each start: the same id, the same contents, no change.
    let events = || async { space.get("/events?limit=1000").await.ok()["count"].clone() };
    hook["id"] = json!(made);
    let before = events().await;
    integration
        .patch(json!([{ "op": "add", "path": "/webhooks", "value": hook }]))
        .await
        .ok();
    assert_eq!(events().await, before);
    hook["relativeUrl"] = json!("/other");
    let replaced = integration
        .patch(json!([{ "op": "add", "path": "/webHooks", "value": hook }]))
        .await
        .ok();
    assert_eq!(
        replaced["result"]["webHooks"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(replaced["result"]["webHooks"][0]["relativeUrl"], "/other");

    let bad = json!({ "op": "replace", "path": "/id", "value": zero });
    let good =
        json!({ "op": "replace", "path": "/features", "value": { "call": true, "hangup": true } });
    let refused = integration.patch(json!([good, bad])).await;
    let blamed = &refused["errorInfo"]["invalidPaths"][0];
    assert_eq!(
        (
            refused.status,
            &blamed["path"],
            blamed["reason"].is_string()
        ),
        (409, &bad["path"], true),
        "{}",
        refused.text
    );
    assert_eq!(
        space.get(&integration.instance()).await.ok()["features"]["call"],
        false,
        "all or nothing"
    );
    let done = integration.patch(json!([good])).await.ok();
    assert_eq!(
        done["result"]["features"],
        json!({ "call": true, "hangup": true, "sendSms": false })
    );
    for path in ["/status", "/baseUrl", "/updateInfo/updatedAt"] {
        let refused = integration
            .patch(json!([{ "op": "replace", "path": path, "value": "paused" }]))
            .await;
        assert_eq!(
            refused["errorInfo"]["invalidPaths"]
                .as_array()
                .map(Vec::len),
            Some(1),
            "{path}: {}",
            refused.text
        );
    }

    let path = format!("/webHooks/{made}");
    integration
        .patch(json!([{ "op": "replace", "path": format!("{path}/disabled"), "value": true }]))
        .await
        .ok();
    assert_eq!(
        space.get(&integration.instance()).await.ok()["webHooks"][0]["disabled"],
        true
    );
    integration
        .patch(json!([{ "op": "replace", "path": "/webHooks", "value": [] }]))
        .await
        .ok();
    assert_eq!(
        space.get(&integration.instance()).await.ok()["webHooks"],
        json!([])
    );
    let gone = integration
        .patch(json!([{ "op": "remove", "path": path }]))
        .await;
    assert_eq!(
        gone["errorInfo"]["invalidPaths"].as_array().map(Vec::len),
        Some(1),
        "{}",
        gone.text
    );
    let settings = json!([{ "op": "add", "path": "/settings", "value": { "id": "sendDay", "value": "Monday" } }]);
    integration.patch(settings).await.ok();
    let set = json!([{ "op": "replace", "path": "/settings/sendDay/value", "value": "Friday" }]);
    let done = integration.patch(set).await.ok();
    assert!(
        done["result"]["settings"]
            .as_array()
            .expect("settings")
            .contains(&json!({ "id": "sendDay", "value": "Friday" }))
    );
}

#[tokio::test]
async fn every_change_of_an_instance_is_in_the_feed() {
    let (_hub, space) = hub_and_space().await;
    let integration = Integration::install(&space, "listener", "https://example.com").await;
    integration.subscribe().await;
    space
        .post(&format!("{}/pause", integration.instance()), json!({}))
        .await
        .ok();
    space
        .post(&format!("{}/resume", integration.instance()), json!({}))
        .await
        .ok();
    space
        .post(
            &format!("/integrations/{}/uninstall", integration.id),
            json!({}),
        )
        .await
        .ok();
    let feed = space.get("/events?limit=1000").await.ok();
    let seen: Vec<(String, String)> = feed["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|event| {
            assert_eq!(
                event["entityIds"],
                json!({ "integrationId": integration.id })
            );
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            (
                text(&event["changeData"]["type"]),
                text(&event["changeData"]["new"]["status"]),
            )
        })
        .collect();
    let expected = [
        ("create", "active"),
        ("patch", "active"),
        ("patch", "paused"),
        ("patch", "active"),
        ("patch", "notConfigured"),
    ];
    assert_eq!(
        seen,
        expected.map(|(kind, status)| (kind.to_owned(), status.to_owned()))
    );
    assert!(!feed.text.contains("whsec_"), "secrets are masked");
}

#[tokio::test]
async fn the_main_telephony_is_a_setting_of_the_user_interface() {
    let (_hub, space) = hub_and_space().await;
    let integration = Integration::install(&space, "phone", "https://example.com").await;
    let key = "@main-telephony-settings";
    let put = space
        .put(
            "/ui-settings",
            json!({ "key": key, "value": integration.id }),
        )
        .await
        .ok();
    assert_eq!(
        (&put["key"], &put["value"]),
        (&json!(key), &json!(integration.id))
    );
    let found = space.get(&format!("/ui-settings?key={key}")).await.ok();
    assert!(found.text.contains(&integration.id), "{}", found.text);
    let unknown = "00000000-0000-0000-0000-000000000005";
    let refused = space
        .put("/ui-settings", json!({ "key": key, "value": unknown }))
        .await;
    assert_eq!(
        (refused.status, &refused["message"]),
        (409, &json!(format!("Telephony {unknown} not found"))),
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn a_setting_of_the_user_interface_is_patched_by_its_id() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let made = space
        .put("/ui-settings", json!({ "key": "theme", "value": "dark" }))
        .await
        .ok();
    let path = format!("/ui-settings/{}", made.str("id"));
    let change = |value: Value| json!([{ "op": "replace", "path": "/value", "value": value }]);
    let changed = space.patch(&path, change(json!("light"))).await.ok();
    assert_eq!(
        (&changed["value"], &changed["id"]),
        (&json!("light"), &made["id"])
    );
    assert_eq!(
        space.get("/ui-settings?key=theme").await.ok()["value"],
        "light"
    );
    assert_eq!(space.patch(&path, change(json!(7))).await.status, 409);
    let key = json!([{ "op": "replace", "path": "/key", "value": "x" }]);
    let refused = space.patch(&path, key).await;
    assert!(
        refused["errorInfo"]["invalidPaths"].is_array(),
        "{}",
        refused.text
    );
    let member = hub.token("acme", "member").await;
    assert_eq!(member.patch(&path, change(json!("x"))).await.status, 403);
}

/// Settings, secrets and webhooks of an instance have 1 MiB together, however many patches bring them.
#[tokio::test]
async fn an_instance_is_bounded() {
    let (_hub, space) = hub_and_space().await;
    let made = Integration::install(&space, "big", "https://big.example").await;
    let add = |path: &str, id: &str, length: usize| json!([{ "op": "add", "path": path, "value": { "id": id, "value": "x".repeat(length) } }]);
    made.patch(add("/settings", "a", 900_000)).await.ok();
    for (path, id) in [("/settings", "b"), ("/secrets", "c")] {
        let refused = made.patch(add(path, id, 900_000)).await;
        assert_eq!(
            (refused.status, &refused["status"]),
            (409, &json!("invalidArgs")),
            "{}",
            refused.text
        );
    }
    made.patch(add("/settings", "b", 1000)).await.ok();
    let removal = json!([{ "op": "remove", "path": "/settings/a" }]);
    made.patch(removal).await.ok();
    made.patch(add("/settings", "c", 900_000)).await.ok();
}

/// A manifest reaches instances whose settings fill several batches.
#[tokio::test]
async fn a_manifest_reaches_large_instances() {
    let hub = Hub::start().await;
    let owner = hub.workspace("owner").await;
    let made = owner.post("/integrations", manifest("Shared", "1.0")).await;
    let id = made.ok().str("id");
    let mut spaces = vec![owner.clone()];
    for n in 0..4 {
        spaces.push(hub.workspace(&format!("space{n}")).await);
    }
    for space in &spaces {
        let path = format!("/integrations/{id}/install");
        space.post(&path, json!({})).await.ok();
        let setting = json!({ "id": "s", "value": "x".repeat(900_000) });
        let settings = json!([{ "op": "add", "path": "/settings", "value": setting }]);
        let path = format!("/integrations/instances/{id}");
        space.patch(&path, settings).await.ok();
    }
    let path = format!("/integrations/{id}/manifest");
    let moved = json!({ "name": "Shared", "version": "2.0", "baseUrl": "https://new.example" });
    owner.put(&path, moved).await.ok();
    for space in &spaces {
        let feed = space.get("/events?limit=1000").await.ok().text;
        assert!(feed.contains("https://new.example"));
    }
}
