//! Signing: tickets and their lifetime, companies that are persons, companies that register late.

use std::time::Duration;

use prichal_sign::testing::{Draft, Key, name};
use serde_json::{Value, json};

use super::*;
use crate::harness::document_exchange::{BINS, IINS, Side, text};

async fn sign_by(company: &Company, employee: &str, document: &str) -> Answer {
    let body = json!({ "documentId": document, "signedByEmployeeId": employee });
    company.api.post(OUTBOX_CONTENT, body).await
}

fn saving(employee: &str, document: &str, blob: &str, ticket: Value) -> Value {
    json!({
        "documentId": document, "signedByEmployeeId": employee,
        "signatureBinaryContent": { "blobId": blob }, "idempotencyTicket": ticket,
    })
}

#[tokio::test]
async fn a_ticket_is_an_employees() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let user = json!({ "login": "deputy", "iin": us.iin, "permissions": ["DOCUMENT_SIGN"] });
    let deputy = scene.space().post("/users", user).await.ok().str("id");
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let heads = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&heads).await;
    let blob = us.signature(&us.sign(&zip, true)).await;
    let save = async |employee: &str, ticket: Value| {
        let body = saving(employee, &document, &blob, ticket);
        us.api.post(OUTBOX_SIGN, body).await
    };
    invalid(&save(&deputy, Value::Null).await, "idempotencyTicket");
    let ticket = heads["idempotencyTicket"].clone();
    invalid(&save(&deputy, ticket.clone()).await, "idempotencyTicket");

    // The deputy's ticket does not replace the head's. Both get the same bytes.
    let deputys = sign_by(us, &deputy, &document).await.ok();
    assert_eq!(us.download(&deputys).await, zip);
    invalid(
        &save(&us.employee, deputys["idempotencyTicket"].clone()).await,
        "idempotencyTicket",
    );

    // A permission that was removed meanwhile is missing.
    let operations = json!([{ "op": "replace", "path": "/permissions", "value": [] }]);
    let path = format!("/users/{deputy}");
    scene.space().patch(&path, operations).await.ok();
    let answer = save(&deputy, deputys["idempotencyTicket"].clone()).await;
    refused(&answer, 400, "PERMISSION_ERROR", "DOCUMENT_SIGN");
    assert_eq!(us.status(&document).await, "DRAFT");
    save(&us.employee, Value::Null).await.ok();
    assert_eq!(us.status(&document).await, "SENT_BY_SENDER");
    let late = save(&us.employee, json!(UNUSED_ID)).await;
    assert_eq!(late.status, 400, "{}", late.text);
}

/// The route names the signer of an internal document, as of an outgoing one.
#[tokio::test]
async fn an_internal_document_is_signed_like_others() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let user = json!({ "login": "other", "iin": us.iin, "permissions": ["DOCUMENT_SIGN"] });
    let other = scene.space().post("/users", user).await.ok().str("id");
    let blob = us.content("a.txt", "текст".as_bytes()).await;
    let document = us
        .api
        .post(INTERNAL, us.metadata(&[&blob]))
        .await
        .ok()
        .str("id");
    let nodes = json!([{ "order": 0, "employeeId": us.employee, "requiredAction": "SIGN" }]);
    us.act(INTERNAL_ROUTE, &document, json!({ "nodes": nodes }))
        .await
        .ok();
    invalid(&sign_by(us, &other, &document).await, "сотрудника");
    let approve = us
        .act(ACTION, &document, json!({ "action": "APPROVE" }))
        .await;
    invalid(&approve, "SIGN");
    us.quick_sign(Side::Outbox, &document).await.ok();
    assert_eq!(us.status(&document).await, "FINISHED_BY_COMPANY");
    let again = us.generate(Side::Outbox, &document).await;
    invalid(&again, "FINISHED_BY_COMPANY");
}

#[tokio::test]
async fn links_have_an_address_and_a_time() {
    let exchange = DocumentExchange::with(|config| {
        config.sign_ticket_ttl = Duration::from_mins(5);
        config.public_url = Some("https://docs.example.kz".into());
    })
    .await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    assert_eq!(generated["disposeOn"], NOW + 300);
    let body = json!({ "operations": [{ "data": { "documentId": document } }] });
    let started = us.api.post(BULK_DOWNLOAD, body).await.ok();
    let archive = us.ended(BULK_DOWNLOAD, &started).await;
    assert_eq!(archive[0]["data"]["disposeOn"], NOW + 300);
    let links = [
        generated.str("downloadLink"),
        text(&archive[0]["data"]["downloadLink"]),
    ];
    let paths = links.map(|link| {
        let path = link.strip_prefix("https://docs.example.kz");
        path.expect("our address").to_owned()
    });
    exchange.hub.advance(Duration::from_secs(299));
    for path in &paths {
        us.api.get(path).await.ok();
    }
    exchange.hub.advance(Duration::from_secs(1));
    for path in &paths {
        refused(&us.api.get(path).await, 410, "RESOURCE_NOT_FOUND", "Срок");
        let foreign = them.api.get(path).await;
        refused(&foreign, 404, "RESOURCE_NOT_FOUND", "ссылка");
    }
    // The next ticket is for the same bytes.
    let again = us.generate(Side::Outbox, &document).await.ok();
    assert_ne!(again["downloadLink"], generated["downloadLink"]);
    us.quick_sign(Side::Outbox, &document).await.ok();
}

/// A person's certificate has no BIN. The IIN takes its place.
#[tokio::test]
async fn a_person_signs() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let admin = scene.exchange.hub.admin();
    let made = json!({ "name": "person", "bin": IINS[2], "companyName": "Иванов И." });
    assert_eq!(admin.post("/admin/v1/workspaces", made).await.status, 201);
    scene.exchange.trust("person", json!({})).await;
    let space = scene.exchange.hub.token("person", "admin").await;
    let user = json!({ "login": "self", "isAdmin": true, "iin": IINS[2] });
    let mut person = scene.them.clone();
    person.employee = space.post("/users", user).await.ok().str("id");
    person.api = space.at("");
    let iin = format!("IIN{}", IINS[2]);
    let subject = name(&[("CN", "ИВАНОВ ИВАН"), ("serialNumber", &iin), ("C", "KZ")]);
    let mut draft = Draft::signer("ИВАНОВ ИВАН", Key::p256(&iin));
    draft.subject = subject;
    draft.purposes = vec!["1.3.6.1.5.5.7.3.4", "1.2.398.3.3.4.1.1"];
    person.signer = draft.issued_by(&scene.exchange.authority.issuer);

    let document = us.draft().await;
    let mut body = us.to(&document, &[IINS[2]]);
    body["route"]["external"]["nodes"][0]["isIndividual"] = json!(true);
    us.api.post(QUICK, body).await.ok();
    us.quick_sign(Side::Outbox, &document).await.ok();
    let seen = us.api.get(&format!("{ONE_OUTBOX}{document}")).await.ok();
    let node = &seen["response"]["documentRoute"]["external"]["nodes"][0];
    assert_eq!(node["isIndividual"], true);
    assert_eq!(node["counterpartyCompanyBin"], IINS[2]);
    person.quick_sign(Side::Inbox, &document).await.ok();
    assert_eq!(us.status(&document).await, "FINISHED");
}

/// A company that registers after the route was made, but before its turn, gets the document.
#[tokio::test]
async fn a_company_comes_while_a_document_is_on_its_way() {
    let exchange = DocumentExchange::new().await;
    let us = exchange.company(0).await;
    let route = |document: &str, bins: &[&str]| {
        let mut body = us.to(document, bins);
        body["route"]["external"]["routeOrderType"] = json!("SEQUENTIAL");
        for (n, node) in body["route"]["external"]["nodes"]
            .as_array_mut()
            .expect("nodes")
            .iter_mut()
            .enumerate()
        {
            node["order"] = json!(n);
            node["counterpartyEmails"] = json!(["a@example.kz"]);
        }
        body
    };
    // With a quick route it leaves only when it is signed.
    let quick = us.draft().await;
    us.api.post(QUICK, route(&quick, &[BINS[1]])).await.ok();
    let them = exchange.company(1).await;
    us.quick_sign(Side::Outbox, &quick).await.ok();
    assert_eq!(them.status(&quick).await, "IN_NEW");
    them.quick_sign(Side::Inbox, &quick).await.ok();

    // The second in the order has to wait for the first.
    let full = us.draft().await;
    us.api
        .post(ROUTE, route(&full, &[BINS[1], BINS[2]]))
        .await
        .ok();
    let third = exchange.company(2).await;
    assert_eq!(third.status(&full).await, "404");
    them.quick_sign(Side::Inbox, &full).await.ok();
    assert_eq!(third.status(&full).await, "IN_NEW");
    third.quick_sign(Side::Inbox, &full).await.ok();
    assert_eq!(us.status(&full).await, "FINISHED");
    let seen = us.api.get(&format!("{ONE_OUTBOX}{full}")).await.ok();
    let path = format!("/admin/v1/workspaces/{}", third.name);
    let id = exchange.hub.admin().get(&path).await.ok().str("id");
    let nodes = &seen["response"]["documentRoute"]["external"]["nodes"];
    assert_eq!(nodes[1]["counterpartyCompanyId"], id);
}

#[tokio::test]
async fn numbers_without_a_check_digit() {
    let exchange = DocumentExchange::with(|config| {
        config.identifier_check = prichal_core::identifier::Check::Format;
    })
    .await;
    let us = exchange.company(0).await;
    let document = us.draft().await;
    let mut body = us.to(&document, &["123456789012"]);
    body["route"]["external"]["nodes"][0]["counterpartyEmails"] = json!(["a@example.kz"]);
    us.api.post(QUICK, body).await.ok();
    let answer = us.quick_route(&document, &["12345678901"]).await;
    invalid(&answer, "route.external.nodes[0].counterpartyBin");
    let bins = json!({ "bins": ["123456789012", "12345678901"] });
    invalid(&us.api.post(COUNTERPARTIES, bins).await, "bins[1]");
    let known = us
        .api
        .post(COUNTERPARTIES, json!({ "bins": ["123456789012"] }))
        .await;
    exactly(
        &known,
        json!([{ "bin": "123456789012", "isRegistered": false, "companyName": null }]),
    );
    exactly(&us.api.post(COUNTERPARTIES, json!({})).await, json!([]));
    let many = vec!["123456789012"; 101];
    invalid(
        &us.api.post(COUNTERPARTIES, json!({ "bins": many })).await,
        "bins",
    );
}

/// A company that left and registers again is a new one. It has the documents that were sent since it left.
#[tokio::test]
async fn a_company_comes_again() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let before = us.sent(&[&them.bin]).await;
    let admin = exchange.hub.admin();
    let path = format!("/admin/v1/workspaces/{}", them.name);
    assert!(admin.delete(&path).await.status < 300);
    let document = us.draft().await;
    let mut body = us.to(&document, &[&them.bin]);
    invalid(&us.api.post(QUICK, body.clone()).await, "counterpartyBin");
    body["route"]["external"]["nodes"][0]["counterpartyEmails"] = json!(["a@example.kz"]);
    us.api.post(QUICK, body).await.ok();
    us.quick_sign(Side::Outbox, &document).await.ok();
    assert_eq!(us.status(&document).await, "SENT_BY_SENDER");

    let made = json!({ "name": "again", "bin": them.bin });
    let made = admin.post("/admin/v1/workspaces", made).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let mut again = them.clone();
    again.api = exchange.hub.token("again", "admin").await.at("");
    assert_eq!(again.status(&document).await, "IN_NEW");
    assert_eq!(again.status(&before).await, "404");
    assert_eq!(them.api.get(&format!("{STATUS}{before}")).await.status, 401);
}

/// A signature that was not submitted for a week is removed.
#[tokio::test]
async fn a_signature_is_not_kept_for_ever() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    let old = us.signature(&us.sign(&zip, true)).await;
    scene.exchange.hub.advance(Duration::from_hours(24 * 7));
    let generated = us.generate(Side::Outbox, &document).await.ok();
    assert_eq!(us.download(&generated).await, zip);
    let ticket = generated.str("idempotencyTicket");
    let saved = us.save(Side::Outbox, &document, &old, &ticket).await;
    refused(&saved, 404, "RESOURCE_NOT_FOUND", &old);
    assert_eq!(us.status(&document).await, "DRAFT");
}
