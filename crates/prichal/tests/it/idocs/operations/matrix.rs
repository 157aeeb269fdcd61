//! Every operation of the documents' API with each kind of credentials, and the permission that it needs.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::harness::{
    document_exchange::{BINS, PDF},
    integration::Integration,
};

const MAY_CREATE: &str = "DOCUMENT_CREATE";
const MAY_SIGN: &str = "DOCUMENT_SIGN";
const MAY_VIEW: &str = "DOCUMENT_VIEW";
const MAY_DOWNLOAD: &str = "DOCUMENT_DOWNLOAD";
const MAY_SUBSCRIBE: &str = "WEBHOOK_MANAGE";
const PERMISSIONS: [&str; 9] = [
    MAY_CREATE,
    MAY_VIEW,
    "ROUTE_CREATE",
    MAY_SIGN,
    "DOCUMENT_APPROVE",
    "DOCUMENT_REJECT",
    MAY_DOWNLOAD,
    "EMPLOYEE_VIEW",
    MAY_SUBSCRIBE,
];

const EVENTS: &str = "/api/v3/sync/external/events";
const HOOKS: &str = "/api/1/webhooks/document-events";
const SUBSCRIPTION: &str =
    "/api/1/webhooks/document-events/subscription/document-status-changed-event";

/// An operation and its request.
struct Row {
    method: Method,
    /// The path as in the OpenAPI document.
    template: String,
    path: String,
    body: Vec<u8>,
    kind: &'static str,
    /// The permission that an employee needs; `None` if any token of the company suffices.
    permission: Option<&'static str>,
}

const JSON: &str = "application/json";

impl Row {
    fn get(template: &str, id: &str, permission: Option<&'static str>) -> Self {
        let name = template.find('{').map_or(template.len(), |at| at);
        Self {
            method: Method::GET,
            template: template.to_owned(),
            path: format!("{}{id}", &template[..name]),
            body: Vec::new(),
            kind: JSON,
            permission,
        }
    }

    fn post(path: &str, body: &Value, permission: Option<&'static str>) -> Self {
        Self {
            method: Method::POST,
            body: body.to_string().into_bytes(),
            ..Self::get(path, "", permission)
        }
    }

    fn upload(path: &str, part: &str, file: &str, bytes: &[u8], permission: &'static str) -> Self {
        let head = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{file}\"\r\n\r\n"
        );
        Self {
            body: [head.as_bytes(), bytes, b"\r\n--edge--\r\n"].concat(),
            kind: "multipart/form-data; boundary=edge",
            ..Self::post(path, &Value::Null, Some(permission))
        }
    }

    async fn ask(&self, caller: &Caller) -> Answer {
        let caller = caller.clone().header("content-type", self.kind);
        let body = (self.method != Method::GET).then(|| self.body.clone());
        caller.send(self.method.clone(), &self.path, body).await
    }
}

/// The objects that the rows name.
struct Things {
    clerk: String,
    document: String,
    blob: String,
    /// A bulk element and an archive of ours.
    element: String,
    archive: String,
    signature: Vec<u8>,
}

fn rows(things: &Things) -> Vec<Row> {
    let Things {
        clerk,
        document,
        blob,
        element,
        archive,
        signature,
    } = things;
    let mut rows = vec![
        Row::upload(CONTENT, "documentContent", "a.pdf", PDF, MAY_CREATE),
        Row::upload(SIGNATURE, "signatureContent", "a.cms", signature, MAY_SIGN),
        Row::post(TOKEN, &json!({}), None),
        Row::get(EVENTS, "", Some(MAY_VIEW)),
        Row::get(
            "/api/v3/sync/sign-content/download/{id}",
            archive,
            Some(MAY_DOWNLOAD),
        ),
        Row::post(
            SUBSCRIPTION,
            &json!({ "subscriptionUrl": "http://127.0.0.1:9/" }),
            Some(MAY_SUBSCRIBE),
        ),
        Row::get(SUBSCRIPTION, "", Some(MAY_SUBSCRIBE)),
        Row::get(
            &format!("{SUBSCRIPTION}/deliveries"),
            "",
            Some(MAY_SUBSCRIBE),
        ),
        Row::post(
            &format!("{SUBSCRIPTION}/rotate-secret"),
            &json!({}),
            Some(MAY_SUBSCRIBE),
        ),
        Row::post(
            &format!("{SUBSCRIPTION}/replay"),
            &json!({ "dateFrom": 0, "dateTo": 1 }),
            Some(MAY_SUBSCRIBE),
        ),
        Row {
            method: Method::DELETE,
            ..Row::get(SUBSCRIPTION, "", Some(MAY_SUBSCRIBE))
        },
        Row::get(&format!("{HOOKS}/{{documentId}}"), document, Some(MAY_VIEW)),
        Row::get(HOOKS, "", Some(MAY_VIEW)),
        Row {
            method: Method::DELETE,
            ..Row::get(&format!("{DRAFT}{{id}}"), UNUSED_ID, Some(MAY_CREATE))
        },
        Row::get(
            &format!("{PERMISSION}{{employeeId}}"),
            clerk,
            Some("EMPLOYEE_VIEW"),
        ),
    ];
    for (path, permission) in [
        (ONE_OUTBOX, MAY_VIEW),
        (ONE_INBOX, MAY_VIEW),
        (STATUS, MAY_VIEW),
        (SIGNATURES, MAY_VIEW),
        (PRINT_FORM, MAY_DOWNLOAD),
        (ARCHIVE, MAY_DOWNLOAD),
    ] {
        rows.push(Row::get(
            &format!("{path}{{id}}"),
            document,
            Some(permission),
        ));
    }
    for path in ENUM_MEMBERS {
        rows.push(Row {
            path: path.to_owned(),
            ..Row::get("/api/v3/sync/references/{name}", "", None)
        });
    }
    let act = |action: &str, permission| {
        let body = json!({
            "documentId": UNUSED_ID, "employeeId": clerk, "action": action, "signature": { "blobId": UNUSED_ID },
        });
        Row::post(ACTION, &body, Some(permission))
    };
    rows.extend([act("REJECT", "DOCUMENT_REJECT"), act("SIGN", MAY_SIGN)]);
    for mut json_operation in json_operations(clerk, BINS[1], UNUSED_ID, blob) {
        if json_operation.path.ends_with("bulk-download/status") {
            *at(&mut json_operation.body, "operations[0].operationId") = json!(element);
        }
        rows.push(Row::post(
            &json_operation.path,
            &json_operation.body,
            json_operation.permission,
        ));
    }
    rows
}

async fn things(scene: &Scene) -> Things {
    let us = &scene.us;
    let (document, blob) = (us.draft().await, us.content("a.pdf", PDF).await);
    let body = json!({ "operations": [{ "data": { "documentId": document } }] });
    let started = us.api.post(BULK_DOWNLOAD, body).await.ok();
    let ended = us.ended(BULK_DOWNLOAD, &started).await;
    let link = crate::harness::document_exchange::text(&ended[0]["data"]["downloadLink"]);
    Things {
        clerk: scene.clerk("clerk", &[]).await,
        document,
        blob,
        element: crate::harness::document_exchange::text(&ended[0]["operationId"]),
        archive: link.rsplit('/').next().expect("an id").to_owned(),
        signature: us.sign(b"x", true),
    }
}

async fn grant(scene: &Scene, employee: &str, permissions: &[&str]) {
    let operations = json!([{ "op": "replace", "path": "/permissions", "value": permissions }]);
    let path = format!("/users/{employee}");
    scene.space().patch(&path, operations).await.ok();
}

fn is_refused(answer: &Answer) -> bool {
    answer.text.contains("\"PERMISSION_ERROR\"")
}

/// The named permission is necessary and sufficient.
#[tokio::test]
async fn each_operation_asks_for_its_permission() {
    for (strict, status) in [(false, 400), (true, 403)] {
        let scene = Scene::strict(strict).await;
        let things = things(&scene).await;
        let rows = rows(&things);
        let known: BTreeSet<String> = rows
            .iter()
            .map(|row| format!("{} {}", row.method, row.template))
            .collect();
        let prefixes = ["/api/v3/", "/api/1/"];
        let described = scene.exchange.hub.operations(&prefixes).await;
        assert_eq!(
            known, described,
            "each operation has a row, and each row an operation"
        );

        let by_clerk = scene.by(&things.clerk).await;
        for permission in PERMISSIONS {
            let others: Vec<&str> = PERMISSIONS
                .into_iter()
                .filter(|one| *one != permission)
                .collect();
            for (granted, may) in [(others.as_slice(), false), (&[permission], true)] {
                grant(&scene, &things.clerk, granted).await;
                for row in rows.iter().filter(|row| row.permission == Some(permission)) {
                    let answer = row.ask(&by_clerk).await;
                    let what = format!("{} {} {permission}: {}", row.method, row.path, answer.text);
                    assert_eq!(is_refused(&answer), !may, "{what}");
                    if !may {
                        refused(&answer, status, "PERMISSION_ERROR", permission);
                    }
                }
            }
        }
        grant(&scene, &things.clerk, &[]).await;
        for row in rows.iter().filter(|row| row.permission.is_none()) {
            row.ask(&by_clerk).await.ok();
        }
    }
}

#[tokio::test]
async fn each_operation_with_each_kind_of_credentials() {
    let scene = Scene::new().await;
    let hub = &scene.exchange.hub;
    let things = things(&scene).await;
    grant(&scene, &things.clerk, &PERMISSIONS).await;
    let integration =
        Integration::install(&scene.space(), "Partner", "https://partner.example").await;
    let key = hub.anonymous().access_key(&integration.access_key().await);
    let nobody = scene.clerk("nobody", &[]).await;
    let nobodys = scene.by(&nobody).await;
    let left = scene.clerk("left", &PERMISSIONS).await;
    let by_left = scene.by(&left).await;
    scene.space().delete(&format!("/users/{left}")).await.ok();
    let member = hub.token(&scene.us.name, "member").await.at("");
    for row in rows(&things) {
        let what = |answer: &Answer| {
            format!(
                "{} {}: {} {}",
                row.method, row.path, answer.status, answer.text
            )
        };
        // Answers to other callers are not repeated, even under the same key.
        let keyed = |caller: &Caller| caller.clone().header("idempotency-key", "one");
        for caller in [&scene.us.api, &scene.us.api, &scene.by(&things.clerk).await] {
            let answer = row.ask(&keyed(caller)).await;
            assert!(
                !is_refused(&answer) && answer.status < 500,
                "{}",
                what(&answer)
            );
        }
        let nonsense = hub.anonymous().bearer("nonsense");
        // The token of a deleted user is invalid.
        for caller in [hub.anonymous(), key.clone(), nonsense, by_left.clone()] {
            let answer = row.ask(&keyed(&caller)).await;
            assert_eq!(answer.status, 401, "{}", what(&answer));
        }
        for caller in [&member, &nobodys] {
            let answer = row.ask(&keyed(caller)).await;
            assert_eq!(
                is_refused(&answer),
                row.permission.is_some(),
                "{}",
                what(&answer)
            );
        }
        // Another company can act for itself, and does not see our documents.
        let answer = row.ask(&keyed(&scene.them.api)).await;
        let text = answer
            .text
            .replace(&things.document, "")
            .replace(&things.clerk, "");
        for ours in [&scene.us.employee, &scene.us.bin, "17/1"] {
            let named = String::from_utf8_lossy(&row.body).contains(ours);
            assert!(named || !text.contains(ours), "{ours} {}", what(&answer));
        }
        assert!(
            !answer.bytes.starts_with(b"PK") && answer.status < 500,
            "{}",
            what(&answer)
        );
    }
}

/// A stored answer is repeated only to a caller who still has the permission.
#[tokio::test]
async fn stored_answers_require_the_permission() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let clerk = scene.clerk("clerk", &PERMISSIONS).await;
    let by_clerk = scene.by(&clerk).await;
    let blob = us.content("a.pdf", PDF).await;
    let mut new = us.metadata(&[&blob]);
    new["documentMetadata"]["documentAuthorEmployeeId"] = json!(clerk);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let asked = json!({ "documentId": document, "signedByEmployeeId": clerk });
    let elements = json!({ "operations": [{ "data": asked }] });
    let hook = json!({ "subscriptionUrl": "http://127.0.0.1:9/" });
    for (path, body) in [
        (CREATE, new),
        (OUTBOX_CONTENT, asked),
        (BULK[3].0, elements),
        (SUBSCRIPTION, hook),
        (&format!("{SUBSCRIPTION}/rotate-secret"), json!({})),
    ] {
        let keyed = by_clerk.clone().header("idempotency-key", path);
        let first = keyed.post(path, body.clone()).await.ok();
        assert_eq!(
            keyed.post(path, body.clone()).await.ok().text,
            first.text,
            "{path}"
        );
        // For another caller the key is new.
        let other = us.api.clone().header("idempotency-key", path);
        let others = other.post(path, body.clone()).await.ok();
        let is_the_hook = path == SUBSCRIPTION;
        assert!(is_the_hook || others.text != first.text, "{path}");
        grant(&scene, &clerk, &[]).await;
        let again = keyed.post(path, body.clone()).await;
        refused(&again, 400, "PERMISSION_ERROR", "clerk");
        let malformed = keyed.send(Method::POST, path, Some(b"{".to_vec())).await;
        refused(&malformed, 400, "PERMISSION_ERROR", "clerk");
        grant(&scene, &clerk, &PERMISSIONS).await;
        assert_eq!(keyed.post(path, body).await.ok().text, first.text, "{path}");
    }
}

/// An upload without the permission is refused unread.
#[tokio::test]
async fn uploads_are_refused_before_they_are_read() {
    let scene = Scene::new().await;
    let clerk = scene.clerk("clerk", &[]).await;
    let mut company = scene.us.clone();
    company.api = scene.by(&clerk).await;
    for (path, part, granted) in [
        (CONTENT, "documentContent", MAY_CREATE),
        (SIGNATURE, "signatureContent", MAY_SIGN),
    ] {
        grant(&scene, &clerk, &[]).await;
        // The form and the name are wrong as well, but the answer does not mention them.
        for file in ["a.exe", ""] {
            let answer = company.upload(path, part, file, b"x").await;
            refused(&answer, 400, "PERMISSION_ERROR", granted);
        }
        grant(&scene, &clerk, &[granted]).await;
        let answer = company.upload(path, part, "a.exe", b"x").await;
        assert!(!is_refused(&answer), "{}", answer.text);
    }
    // Originals of documents are not among the files of the workspace.
    let blob = scene.us.content("a.pdf", PDF).await;
    for path in [format!("/files/{blob}"), format!("/files/{blob}/meta")] {
        let answer = scene.space().get(&path).await;
        assert_eq!(
            (answer.status, &answer["status"]),
            (409, &json!("notFound"))
        );
    }
}
