//! `Idempotency-Key`: requests that count as a repetition of an earlier one.

use serde_json::{Value, json};

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS},
    document_exchange::{DocumentExchange, QUICK},
    hub::{Caller, Hub},
    integration::Integration,
};

fn keyed(caller: &Caller) -> Caller {
    caller.clone().header("idempotency-key", "k")
}

/// Posts to each of these spellings of one path, and checks that all get the first answer.
async fn are_one(caller: &Caller, paths: &[String], body: &Value) -> String {
    let mut first: Option<String> = None;
    for path in paths {
        let answer = caller.post(path, body.clone()).await.ok().text;
        let first = first.get_or_insert_with(|| answer.clone());
        assert_eq!(&answer, first, "{path}");
    }
    first.expect("an answer")
}

fn bare(id: &str) -> String {
    id.replace('-', "")
}

/// The first letter as `%xx`.
fn escaped(name: &str) -> String {
    format!("%{:02x}{}", name.as_bytes()[0], &name[1..])
}

#[tokio::test]
async fn every_spelling_of_a_path_is_the_same_request() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let acme = hub.admin().get("/admin/v1/workspaces/acme").await.ok();
    let id = acme.str("id");
    let everywhere = keyed(&space.at(""));

    let names = [id.clone(), id.to_uppercase(), "acme".into()];
    let mut paths: Vec<String> = names
        .iter()
        .map(|ws| format!("/api/v1/{ws}/companies"))
        .collect();
    paths.extend(
        [
            "/api/v1/acme/Companies",
            "/API/V1/acme/companies/",
            "//api/v1//acme/companies",
            "/api/v1/acme/companies?x=1",
            "/api/v1/acme/comp%61nies",
        ]
        .map(str::to_owned),
    );
    are_one(&everywhere, &paths, &json!({ "name": "once" })).await;
    assert_eq!(space.get("/companies").await.ok()["count"], 1);
    let other = everywhere
        .post("/api/v1/acme/Companies/", json!({ "name": "other" }))
        .await;
    assert_eq!(other.status, 409, "{}", other.text);
    // Another operation, another collection, another caller.
    let deal = json!({ "name": "once" });
    keyed(&space).post("/deals", deal.clone()).await.ok();
    let second = keyed(&hub.token("acme", "admin").await);
    second.post("/companies", deal).await.ok();
    assert_eq!(space.get("/companies").await.ok()["count"], 2);

    let integration = Integration::install(&space, "Partner", "https://p.example").await;
    let at = |id: &str| format!("/api/v1/acme/integrations/{id}/api-key");
    let spellings = [
        at(&integration.id),
        at(&integration.id.to_uppercase()),
        at(&bare(&integration.id)),
        at(&format!("%7B{}%7D", integration.id)),
        at(&escaped(&integration.id)),
    ];
    are_one(&everywhere, &spellings, &json!({})).await;
    let next = Integration::install(&space, "Another", "https://p.example").await;
    let one = everywhere.post(&at(&integration.id), json!({})).await.ok();
    let two = everywhere.post(&at(&next.id), json!({})).await.ok();
    assert_ne!(one.text, two.text, "two integrations");

    let admin = keyed(&hub.admin());
    let names = names.into_iter().chain(["%61cme".to_owned()]);
    let spellings = names.map(|ws| format!("/admin/v1/workspaces/{ws}/tokens"));
    let spellings = spellings.map(|path| (path, json!({ "name": "once", "role": "member" })));
    let mut tokens = Vec::new();
    for (path, body) in spellings {
        let made = admin.post(&path, body).await;
        assert_eq!(made.status, 201, "{path}: {}", made.text);
        tokens.push(made.str("token"));
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
}

#[tokio::test]
async fn every_spelling_of_a_channels_path_is_the_same_request() {
    let era = ChannelWorkspace::new().await;
    let channel = era.channel("one", json!({})).await;
    let at = |id: &str| format!("{POINTS}/{id}/rotate_token");
    let paths = [
        at(&channel.id),
        at(&channel.id.to_uppercase()),
        at(&escaped(&channel.id)),
    ];
    are_one(&keyed(&era.rest), &paths, &json!({})).await;
}

#[tokio::test]
async fn every_spelling_of_a_documents_path_is_the_same_request() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let document = us.draft().await;
    let paths = [QUICK.to_owned(), QUICK.to_uppercase(), format!("{QUICK}/")];
    let body = us.to(&document, &[&them.bin]);
    are_one(&keyed(&us.api), &paths, &body).await;
}
