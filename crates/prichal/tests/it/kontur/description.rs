//! The OpenAPI description of `/api/v1`: complete, and with examples that the server accepts.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{
        hub::{Caller, Hub},
        json_schema::faults,
        receiver::Receiver,
        smtp_receiver::SmtpReceiver,
    },
    mail::plain_at,
};

/// The operations under `/api/v1`, with their method and path.
fn operations(api: &Value) -> Vec<(String, &str, &Value)> {
    let paths = api["paths"].as_object().expect("paths").iter();
    let ours = paths.filter(|(path, _)| path.starts_with("/api/v1/"));
    ours.flat_map(|(path, item)| {
        let all = item.as_object().expect("operations").iter();
        all.map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
    })
    .collect()
}

fn resolved<'a>(api: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            &api[&reference["#/".len()..].split('/').next().expect("a part")]["schemas"]
                [reference.rsplit('/').next().expect("a name")]
        }
        None => schema,
    }
}

/// Collects the members without a description.
fn undescribed(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let is_reference = member["$ref"].is_string();
        if !is_reference && member["description"].as_str().is_none_or(str::is_empty) {
            found.insert(path.clone());
        }
        undescribed(member, &path, found);
        undescribed(&member["items"], &path, found);
    }
}

#[tokio::test]
async fn every_operation_is_described_in_full() {
    let hub = Hub::start().await;
    let api = hub.anonymous().get("/docs/openapi.json").await.ok();
    let (mut ids, mut found) = (BTreeSet::new(), BTreeSet::new());
    for (method, path, operation) in operations(&api) {
        let place = format!("{method} {path}");
        let id = operation["operationId"].as_str().expect("an id");
        assert!(ids.insert(id), "{id} is there twice");
        assert!(!path.contains("{collection}"), "{place}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let text = parameter["description"].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{place} {}", parameter["name"]);
        }
        let body = operation["requestBody"]["content"].as_object();
        let answers = operation["responses"].as_object().expect("responses");
        let of_answers = answers
            .iter()
            .filter_map(|(_, answer)| answer["content"].as_object());
        for content in body.into_iter().chain(of_answers).flatten() {
            let (kind, content) = content;
            let schema = resolved(&api, &content["schema"]);
            assert!(
                schema["type"].is_string()
                    || schema["oneOf"].is_array()
                    || schema["allOf"].is_array(),
                "{place} {kind}: {schema}"
            );
            let name = content["schema"]["$ref"].as_str();
            undescribed(schema, name.unwrap_or(&place), &mut found);
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(ids.contains("create_company") && ids.contains("list_catalog_items"));
}

#[tokio::test]
async fn every_example_is_as_described() {
    let hub = Hub::start().await;
    let api = hub.anonymous().get("/docs/openapi.json").await.ok();
    let schemas = api["components"]["schemas"].as_object().expect("schemas");
    let mut count = 0;
    for (name, schema) in schemas {
        for example in schema["examples"].as_array().into_iter().flatten() {
            assert_eq!(faults(&api, schema, example), [""; 0], "{name}");
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

/// Sends the examples of the description, as printed but for ids.
struct Examples {
    api: Value,
    space: Caller,
    sent: BTreeSet<String>,
}

impl Examples {
    /// Sends the example of an operation. `ids` are the parameters of the path, in their order.
    async fn send(
        &mut self,
        method: Method,
        path: &str,
        ids: &[&str],
        edits: &[(&str, &str)],
    ) -> Value {
        let template = format!("/api/v1/{{ws}}{path}");
        let operation = &self.api["paths"][&template][method.as_str().to_ascii_lowercase()];
        let content = &operation["requestBody"]["content"]["application/json"];
        let schema = resolved(&self.api, &content["schema"]);
        let example = match &content["example"] {
            Value::Null => &schema["examples"][0],
            example => example,
        };
        assert!(example.is_object(), "{method} {path} has an example");
        let mut text = example.to_string();
        for (from, to) in edits {
            assert!(text.contains(from), "{from} is in {text}");
            text = text.replace(from, to);
        }
        let mut ids = ids.iter();
        let parts = path.split('/').map(|part| {
            if part.starts_with('{') {
                *ids.next().expect("an id")
            } else {
                part
            }
        });
        let path = parts.collect::<Vec<_>>().join("/");
        let caller = self.space.clone();
        let answer = caller
            .send(method.clone(), &path, Some(text.into_bytes()))
            .await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.text);
        self.sent.insert(format!("{method} {template}"));
        answer.json
    }
}

fn id(model: &Value) -> String {
    model["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn every_example_is_accepted() {
    let receiver = Receiver::good().await;
    let mails = SmtpReceiver::plain().await;
    let smtp = mails.url.clone();
    let hub = Hub::with(move |config| plain_at(config, &smtp)).await;
    let space = hub.workspace("my-workspace").await;
    let api = hub.anonymous().get("/docs/openapi.json").await.ok().json;
    let mut all = Examples {
        api,
        space: space.clone(),
        sent: BTreeSet::new(),
    };
    let (post, put) = (Method::POST, Method::PUT);
    let (patch, delete) = (Method::PATCH, Method::DELETE);

    let host = ("https://my-integration.ru", receiver.url.as_str());
    let manifest = all
        .send(post.clone(), "/private-integrations", &[], &[host])
        .await;
    let integration = id(&manifest);
    let other = ("ws.myIntegration2020", "ws.other");
    all.send(post.clone(), "/integrations", &[], &[other]).await;
    all.send(
        put.clone(),
        "/integrations/{id}/manifest",
        &[&integration],
        &[host],
    )
    .await;
    space
        .post(&format!("/integrations/{integration}/install"), json!({}))
        .await
        .ok();
    all.send(
        post.clone(),
        "/integrations/{id}/setup",
        &[&integration],
        &[],
    )
    .await;
    all.send(put.clone(), "/retention", &[], &[]).await;
    let instance = "/integrations/instances/{id}";
    let patched = all
        .send(patch.clone(), instance, &[&integration], &[])
        .await;
    let hook = id(&patched["result"]["webHooks"][0]);
    all.send(patch.clone(), "/webhooks/{id}", &[&hook], &[])
        .await;
    all.send(post.clone(), "/webhooks/{id}/preview", &[&hook], &[])
        .await;
    let replay = "/integrations/instances/{id}/webHooks/{hookId}/replay";
    all.send(post.clone(), replay, &[&integration, &hook], &[])
        .await;

    for path in [
        "companies",
        "contacts",
        "deals",
        "groups",
        "roles",
        "tasks",
        "users",
        "notifications",
        "catalog-items",
    ] {
        let place = format!("/{path}");
        let made = all.send(post.clone(), &place, &[], &[]).await;
        all.send(
            patch.clone(),
            &format!("{place}/{{id}}"),
            &[&id(&made)],
            &[],
        )
        .await;
        let edits: &[_] = if path == "users" {
            &[("ivanov", "petrov")]
        } else {
            &[]
        };
        all.send(post.clone(), &format!("{place}/create"), &[], edits)
            .await;
    }
    let mut ends = Vec::new();
    for path in ["/companies", "/deals"] {
        let list = space.get(path).await.ok();
        ends.push(id(&list["items"][0]));
    }
    let ids = [
        ("6f9619ff-8b86-4011-b42d-00c04fc964ff", ends[0].as_str()),
        ("aeb7c557-8fe0-4d0a-9c1e-2f3a4b5c6d7e", ends[1].as_str()),
    ];
    all.send(post.clone(), "/links", &[], &ids).await;
    all.send(delete, "/links", &[], &ids).await;

    all.send(post.clone(), "/event-types", &[], &[]).await;
    all.send(put.clone(), "/event-types/{name}", &["order.created"], &[])
        .await;
    all.send(post.clone(), "/events", &[], &[]).await;
    all.send(post.clone(), "/resends", &[], &[]).await;
    all.send(post.clone(), "/login-links", &[], &[]).await;
    all.send(post.clone(), "/webhooks/match", &[], &[]).await;
    all.send(put.clone(), "/retention", &[], &[]).await;

    all.send(patch.clone(), "/settings", &[], &[]).await;
    all.send(patch.clone(), "/alert-settings", &[], &[]).await;
    all.send(post.clone(), "/mails/test", &[], &[]).await;
    let setting = all.send(put, "/ui-settings", &[], &[]).await;
    all.send(patch, "/ui-settings/{id}", &[&id(&setting)], &[])
        .await;

    let on = json!([{ "op": "replace", "path": "/features", "value": { "call": true, "hangup": true } }]);
    space
        .patch(&format!("/integrations/instances/{integration}"), on)
        .await
        .ok();
    all.send(post.clone(), "/communications/call", &[], &[])
        .await;
    let by_token = std::mem::replace(
        &mut all.space,
        space.access_key(&access_key(&space, &integration).await),
    );
    let reports = "/communications/callbacks/telephony";
    let name = ("Megafon", "ws.myIntegration2020");
    let call = all
        .send(post.clone(), &format!("{reports}/call-started"), &[], &[])
        .await;
    all.send(post.clone(), &format!("{reports}/call-event"), &[], &[name])
        .await;
    let by_key = std::mem::replace(&mut all.space, by_token);
    all.send(
        post.clone(),
        "/communications/{id}/hangup",
        &[&id(&call)],
        &[],
    )
    .await;
    all.send(post.clone(), "/communications/hangup", &[], &[])
        .await;
    all.space = by_key;
    all.send(
        post.clone(),
        &format!("{reports}/call-finished"),
        &[],
        &[name],
    )
    .await;
    let file = upload(&all.space).await;
    let file = ("a75de5a1-6cf8-4d5c-9f0b-2a8b6b1c4f3a", file.as_str());
    all.send(
        post.clone(),
        &format!("{reports}/call-recording"),
        &[],
        &[name, file],
    )
    .await;
    all.send(
        post.clone(),
        &format!("{reports}/call-failed"),
        &[],
        &[name],
    )
    .await;
    all.send(post, &format!("{reports}/register-call"), &[], &[])
        .await;

    let with_body = operations(&all.api).into_iter().filter(|(.., operation)| {
        operation["requestBody"]["content"]["application/json"].is_object()
    });
    for (method, path, _) in with_body {
        // The example is a made-up token, which no provider confirms.
        if path == "/api/v1/{ws}/oidc" {
            continue;
        }
        assert!(
            all.sent.contains(&format!("{method} {path}")),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_message_names_its_call_and_its_leg_by_either_id() {
    let hub = Hub::start().await;
    let api = hub.anonymous().get("/docs/openapi.json").await.ok();
    for (name, removed, is_fine) in [
        ("CallFinished", &["communicationId"][..], true),
        ("CallFinished", &["communicationId", "externalId"], false),
        ("CallFailed", &["communicationId", "externalId"], false),
        ("CallEvent", &["externalCallItemId"], true),
        (
            "CallEvent",
            &["externalCallItemId", "realtimeCallItemId"],
            false,
        ),
        ("CallRequest", &["clientPhone", "toUserId"], false),
    ] {
        let schema = &api["components"]["schemas"][name];
        let mut body = schema["examples"][0].clone();
        for (member, value) in [
            ("communicationId", "0190a6a5-0000-7000-8000-000000000000"),
            ("realtimeCallItemId", "1"),
        ] {
            if schema["properties"].get(member).is_some() {
                body[member] = value.into();
            }
        }
        assert_eq!(faults(&api, schema, &body).len(), 0, "{name} {body}");
        for member in removed {
            body.as_object_mut().expect("an object").remove(*member);
        }
        let found = faults(&api, schema, &body);
        assert_eq!(found.is_empty(), is_fine, "{name} {removed:?}: {found:?}");
    }
}

async fn access_key(space: &Caller, integration: &str) -> String {
    let path = format!("/integrations/{integration}/api-key");
    let api_key = space.post(&path, json!({})).await.ok().str("apiKey");
    let caller = space
        .at("/api/v1")
        .header("x-xcom-integration-apikey", &api_key);
    let answer = caller
        .post("/authorization/authorize-private-integration", json!({}))
        .await
        .ok();
    answer.str("accessKey")
}

async fn upload(space: &Caller) -> String {
    let form = "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\
        Content-Type: audio/mpeg\r\n\r\nsound\r\n--edge--\r\n";
    let caller = space
        .clone()
        .header("content-type", "multipart/form-data; boundary=edge");
    let answer = caller.send(Method::POST, "/files", Some(form.into())).await;
    answer.ok().str("fileId")
}
