//! Permissions of employees, and the status of refusals.

use serde_json::{Value, json};

use super::*;
use crate::harness::document_exchange::{BINS, PDF};

#[tokio::test]
async fn employees_of_others_and_those_who_have_left() {
    for (strict, status) in [(false, 400), (true, 403)] {
        let scene = Scene::strict(strict).await;
        let (us, them) = (&scene.us, &scene.them);
        let left = scene.clerk("left", &["DOCUMENT_CREATE"]).await;
        scene.space().delete(&format!("/users/{left}")).await;
        let (document, blob) = (us.draft().await, us.content("a.pdf", PDF).await);
        for stranger in [them.employee.as_str(), &left, UNUSED_ID] {
            for json_operation in json_operations(stranger, &them.bin, &document, &blob) {
                let names = json_operation.body.to_string().contains(stranger);
                if json_operation.permission.is_none()
                    || !names
                    || json_operation.path.contains("query")
                    || json_operation.path.ends_with("/status")
                {
                    continue;
                }
                let answer = us.api.post(&json_operation.path, json_operation.body).await;
                refused(&answer, status, "PERMISSION_ERROR", stranger);
            }
            // In a route.
            let mut body = us.to(&document, &[&them.bin]);
            body["route"]["internal"] =
                json!({ "nodes": [{ "employeeId": stranger, "requiredAction": "SIGN" }] });
            let answer = us.api.post(ROUTE, body).await;
            refused(&answer, status, "PERMISSION_ERROR", stranger);
            let answer = us.api.get(&format!("{PERMISSION}{stranger}")).await;
            invalid(&answer, stranger);
        }
        assert_eq!(us.status(&document).await, "DRAFT");
        let list = us.api.post(EMPLOYEES, json!({})).await.ok();
        assert_eq!(
            list["response"]["totalSize"], 1,
            "who has left is not listed"
        );
    }
}

/// The author is the named employee, else the token's user, else the first head.
#[tokio::test]
async fn the_author_of_a_document() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let clerk = scene.clerk("clerk", &["DOCUMENT_CREATE"]).await;
    let by_clerk = scene.by(&clerk).await;
    let blob = us.content("a.pdf", PDF).await;
    let zeros = json!("00000000-0000-0000-0000-000000000000");
    for (caller, named, author) in [
        (&us.api, Value::Null, &us.employee),
        (&us.api, zeros.clone(), &us.employee),
        (&us.api, json!(clerk), &clerk),
        (&by_clerk, zeros, &clerk),
    ] {
        let mut body = us.metadata(&[&blob]);
        body["documentMetadata"]["documentAuthorEmployeeId"] = named;
        let made = caller.post(CREATE, body).await.ok();
        assert_eq!(made["documentAuthorEmployeeId"], json!(author));
    }
}

/// A member's token without a user has no permission, even if the body names an employee.
#[tokio::test]
async fn a_members_token_without_a_user() {
    let scene = Scene::new().await;
    let (us, hub) = (&scene.us, &scene.exchange.hub);
    let member = hub.token(&us.name, "member").await.at("");
    let blob = us.content("a.pdf", PDF).await;
    for author in [json!(us.employee), Value::Null] {
        let mut body = us.metadata(&[&blob]);
        body["documentMetadata"]["documentAuthorEmployeeId"] = author;
        let answer = member.post(CREATE, body).await;
        refused(&answer, 400, "PERMISSION_ERROR", "сотруднику");
    }
    let answer = member.post(OUTBOX, json!({})).await;
    refused(&answer, 400, "PERMISSION_ERROR", "DOCUMENT_VIEW");
    member.post(TOKEN, json!({})).await.ok();
    let admin = hub.token(&us.name, "admin").await.at("");
    admin.post(OUTBOX, json!({})).await.ok();
}

/// Either side may pay. Without a payer nothing is sent.
#[tokio::test]
async fn a_payer_is_required() {
    for (strict, status) in [(false, 400), (true, 402)] {
        let scene = Scene::strict(strict).await;
        let (us, them) = (&scene.us, &scene.them);
        for (path, sender, node, paid) in [
            (QUICK, Value::Null, Value::Null, true),
            (QUICK, json!(true), json!(false), true),
            (QUICK, json!(false), json!(true), true),
            (QUICK, json!(false), Value::Null, false),
            (QUICK, json!(false), json!(false), false),
            (ROUTE, json!(false), json!(false), false),
            (ROUTE, json!(false), json!(true), true),
        ] {
            let document = us.draft().await;
            let mut body = us.to(&document, &[&them.bin]);
            body["route"]["external"]["isSenderPayer"] = sender;
            body["route"]["external"]["nodes"][0]["isPayer"] = node;
            let answer = us.api.post(path, body).await;
            if paid {
                answer.ok();
            } else {
                refused(&answer, status, "BILLING_ERROR", "isSenderPayer");
                assert_eq!(us.status(&document).await, "DRAFT");
                let seen = us.api.get(&format!("{ONE_OUTBOX}{document}")).await.ok();
                let nodes = &seen["response"]["documentRoute"]["external"]["nodes"];
                assert_eq!(nodes, &json!([]));
            }
        }
    }
}

/// An administrator's token without a user may act where no employee is named, whatever the rights of the first
/// employee.
#[tokio::test]
async fn an_administrators_token_without_a_user() {
    let scene = Scene::new().await;
    let made = json!({ "name": "new", "bin": BINS[3] });
    let admin = scene.exchange.hub.admin();
    assert_eq!(admin.post("/admin/v1/workspaces", made).await.status, 201);
    let space = scene.exchange.hub.token("new", "admin").await;
    let clerk = space.post("/users", json!({ "login": "clerk" })).await.ok();
    let mut company = scene.us.clone();
    company.employee = "00000000-0000-0000-0000-000000000000".to_owned();
    company.api = space.at("");
    let blob = company.content("a.pdf", PDF).await;
    let made = company.api.post(CREATE, company.metadata(&[&blob])).await;
    let id = made.ok().str("id");
    let seen = company.api.get(&format!("{ONE_OUTBOX}{id}")).await.ok();
    assert_eq!(
        seen["response"]["documentAuthorEmployeeId"],
        clerk.str("id")
    );
    company.api.get(&format!("{PRINT_FORM}{id}")).await.ok();
    company.api.get(&format!("{ARCHIVE}{id}")).await.ok();
    let body = json!({ "operations": [{ "data": { "documentId": id } }] });
    let started = company.api.post(BULK_DOWNLOAD, body).await.ok();
    let ended = company.ended(BULK_DOWNLOAD, &started).await;
    assert_eq!(ended[0]["operationStatus"], "CompletedWithOk");
    company.api.delete(&format!("{DRAFT}{id}")).await.ok();

    // A member's token without a user.
    company.api = scene.exchange.hub.token("new", "member").await.at("");
    let answer = company.api.post(CREATE, company.metadata(&[&blob])).await;
    refused(&answer, 400, "PERMISSION_ERROR", "DOCUMENT_CREATE");
}

/// An administrator's token with a user acts for the user if the body names nobody. A stored answer is not repeated
/// once the user has lost the permission.
#[tokio::test]
async fn an_administrators_token_with_a_user() {
    let scene = Scene::new().await;
    let (us, hub) = (&scene.us, &scene.exchange.hub);
    let clerk = scene.clerk("clerk", &["DOCUMENT_CREATE"]).await;
    let body = json!({ "name": "test", "role": "admin", "userId": clerk });
    let plain = hub.token_with(&us.name, body).await.at("");
    let api = plain.clone().header("idempotency-key", "one");
    let blob = us.content("a.pdf", PDF).await;
    let mut body = us.metadata(&[&blob]);
    body["documentMetadata"]["documentAuthorEmployeeId"] = Value::Null;
    let bulk_body = json!({ "operations": [{ "data": body }] });
    let (bulk, _) = BULK[0];
    api.post(CREATE, body.clone()).await.ok();
    api.post(bulk, bulk_body.clone()).await.ok();
    let none = json!([{ "op": "replace", "path": "/permissions", "value": [] }]);
    let path = format!("/users/{clerk}");
    scene.space().patch(&path, none).await.ok();
    for (path, body) in [(CREATE, body.clone()), (bulk, bulk_body)] {
        let answer = api.post(path, body).await;
        refused(&answer, 400, "PERMISSION_ERROR", "DOCUMENT_CREATE");
    }
    // A named employee acts with his own rights.
    body["documentMetadata"]["documentAuthorEmployeeId"] = json!(us.employee);
    plain.post(CREATE, body).await.ok();
}

/// The link to the content to sign requires the permission to sign, the link to an archive the permission to
/// download.
#[tokio::test]
async fn download_links_require_a_permission() {
    for (strict, status) in [(false, 400), (true, 403)] {
        let scene = Scene::strict(strict).await;
        let (us, them) = (&scene.us, &scene.them);
        let signer = scene.clerk("signer", &["DOCUMENT_SIGN"]).await;
        let loader = scene.clerk("loader", &["DOCUMENT_DOWNLOAD"]).await;
        let (by_signer, by_loader) = (scene.by(&signer).await, scene.by(&loader).await);
        let document = us.draft().await;
        us.quick_route(&document, &[&them.bin]).await.ok();
        let asked = json!({ "documentId": document, "signedByEmployeeId": signer });
        let generated = by_signer.post(OUTBOX_CONTENT, asked).await.ok();
        let body = json!({ "operations": [{ "data": { "documentId": document } }] });
        let started = by_loader.post(BULK_DOWNLOAD, body.clone()).await.ok();
        let ended = us.ended(BULK_DOWNLOAD, &started).await;
        let path = |link: &Value| {
            let link = link.as_str().expect("a link");
            link[link.find("/api").expect("a path")..].to_owned()
        };
        let content = path(&generated["downloadLink"]);
        let archive = path(&ended[0]["data"]["downloadLink"]);
        by_signer.get(&content).await.ok();
        by_loader.get(&archive).await.ok();
        let answer = by_signer.get(&archive).await;
        refused(&answer, status, "PERMISSION_ERROR", "DOCUMENT_DOWNLOAD");
        let answer = by_signer.post(BULK_DOWNLOAD, body).await;
        refused(&answer, status, "PERMISSION_ERROR", "DOCUMENT_DOWNLOAD");
        // The originals may be downloaded anyway, and so may the content to sign.
        by_loader.get(&content).await.ok();
        let viewer = scene.clerk("viewer", &["DOCUMENT_VIEW"]).await;
        let by_viewer = scene.by(&viewer).await;
        for link in [&content, &archive, &format!("{DOWNLOAD}{UNUSED_ID}")] {
            let answer = by_viewer.get(link).await;
            assert_eq!(answer.status, status, "{}", answer.text);
            refused(&answer, status, "PERMISSION_ERROR", "DOCUMENT_");
        }
        // The outcome of an element requires the permission to begin one.
        let asked = json!({ "operations": [{ "data": { "documentId": document, "signedByEmployeeId": us.employee } }] });
        let started = us.api.post(BULK[3].0, asked).await.ok();
        us.ended(BULK[3].0, &started).await;
        let told =
            json!({ "operations": [{ "operationId": started["operations"][0]["operationId"] }] });
        let path = format!("{}/status", BULK[3].0);
        let answer = by_viewer.post(&path, told.clone()).await;
        refused(&answer, status, "PERMISSION_ERROR", "DOCUMENT_SIGN");
        by_signer.post(&path, told).await.ok();
    }
}
