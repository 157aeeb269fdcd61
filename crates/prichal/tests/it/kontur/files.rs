//! Files (`docs/contracts/kontur.md §4.6`): streamed, temporary for a day, permanent when something binds
//! them.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::harness::hub::{Answer, Caller, Hub, eventually};

const LIMIT: usize = 104_857_600;
const UNKNOWN_ID: &str = "00000000-0000-0000-0000-000000000001";

async fn hub_and_space() -> (Hub, Caller) {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    (hub, space)
}

fn form(name: &str, content_type: &str, content: &[u8]) -> Vec<u8> {
    let mut body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {content_type}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    body
}

async fn upload(space: &Caller, name: &str, content_type: &str, content: &[u8]) -> Answer {
    let caller = space
        .clone()
        .header("content-type", "multipart/form-data; boundary=edge");
    caller
        .send(
            Method::POST,
            "/files",
            Some(form(name, content_type, content)),
        )
        .await
}

/// Declares a custom field of companies that takes files.
async fn declare(space: &Caller) {
    let field = json!({ "id": "papers", "name": "Papers", "type": "files" });
    space
        .patch(
            "/settings",
            json!([{ "op": "add", "path": "/customFields/company", "value": field }]),
        )
        .await
        .ok();
}

#[tokio::test]
async fn an_upload_comes_back_unchanged() {
    let (_hub, space) = hub_and_space().await;
    let content: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let made = upload(&space, "запись разговора.mp3", "audio/mpeg", &content)
        .await
        .ok();
    assert_eq!(
        (
            &made["fileName"],
            &made["contentType"],
            &made["contentLength"]
        ),
        (
            &json!("запись разговора.mp3"),
            &json!("audio/mpeg"),
            &json!(300_000)
        )
    );
    let path = format!("/files/{}", made.str("fileId"));
    let got = space.get(&path).await.ok();
    assert_eq!(
        (got.bytes == content, got.header("content-type")),
        (true, Some("audio/mpeg"))
    );
    assert!(
        got.header("content-disposition")
            .is_none_or(|text| !text.starts_with("attachment"))
    );
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    let meta = space.get(&format!("{path}/meta")).await.ok();
    assert_eq!(
        meta.json,
        json!({ "fileId": made["fileId"], "fileName": "запись разговора.mp3", "contentType": "audio/mpeg", "contentLength": "300000" })
    );
    let head = space.send(Method::HEAD, &path, None).await.ok();
    assert_eq!(
        (
            head.header("content-length"),
            head.header("content-type"),
            head.bytes.len()
        ),
        (Some("300000"), Some("audio/mpeg"), 0)
    );
    let saved = space.get(&format!("{path}?download=true")).await.ok();
    let disposition = saved.header("content-disposition").expect("a disposition");
    assert!(
        disposition.starts_with("attachment; filename=\""),
        "{disposition}"
    );
    assert!(
        disposition.contains("filename*=UTF-8''%D0%B7%D0%B0%D0%BF%D0%B8%D1%81%D1%8C%20"),
        "{disposition}"
    );
}

#[tokio::test]
async fn stretches_of_a_file() {
    let (_hub, space) = hub_and_space().await;
    let content: Vec<u8> = (0..100_u8).collect();
    let path = format!(
        "/files/{}",
        upload(&space, "a.bin", "application/octet-stream", &content)
            .await
            .ok()
            .str("fileId")
    );
    assert_eq!(
        space.get(&path).await.ok().header("accept-ranges"),
        Some("bytes")
    );
    for (range, from, to) in [
        ("bytes=0-9", 0, 10),
        ("bytes=90-", 90, 100),
        ("bytes=-5", 95, 100),
        ("bytes=50-1000", 50, 100),
        ("bytes=99-99", 99, 100),
    ] {
        let part = space.clone().header("range", range).get(&path).await;
        assert_eq!(
            (part.status, part.bytes.as_slice()),
            (206, &content[from..to]),
            "{range}"
        );
        assert_eq!(
            part.header("content-range"),
            Some(format!("bytes {from}-{}/100", to - 1).as_str())
        );
    }
    let beyond = space.clone().header("range", "bytes=100-").get(&path).await;
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some("bytes */100"))
    );
    for ignored in ["lines=1-2", "bytes=x", "bytes=5-1"] {
        let whole = space.clone().header("range", ignored).get(&path).await;
        assert_eq!((whole.status, whole.bytes.len()), (200, 100), "{ignored}");
    }
    let empty = upload(&space, "empty", "text/plain", b"").await.ok();
    assert_eq!(empty["contentLength"], 0);
    assert_eq!(
        space
            .get(&format!("/files/{}", empty.str("fileId")))
            .await
            .ok()
            .bytes
            .len(),
        0
    );
}

#[tokio::test]
async fn a_hundred_megabytes_and_not_a_byte_more() {
    let (_hub, space) = hub_and_space().await;
    let content = vec![7; LIMIT + 1];
    let made = upload(&space, "big", "application/octet-stream", &content[..LIMIT])
        .await
        .ok();
    assert_eq!(made["contentLength"], LIMIT);
    let got = space
        .get(&format!("/files/{}", made.str("fileId")))
        .await
        .ok();
    assert_eq!(got.bytes.len(), LIMIT);
    let refused = upload(&space, "bigger", "application/octet-stream", &content).await;
    assert_eq!(
        (refused.status, &refused["status"]),
        (409, &json!("fileTooLarge")),
        "{}",
        refused.text
    );
    let limit = format!("The file has more than {LIMIT} bytes.");
    assert_eq!(refused["invalidConstraints"]["file"], limit);
}

#[tokio::test]
async fn a_temporary_file_ends_after_a_day_and_leaves_nothing() {
    let (hub, space) = hub_and_space().await;
    let id = upload(&space, "a", "text/plain", b"temporary")
        .await
        .ok()
        .str("fileId");
    let blobs = hub.installation.data_dir().join("blobs");
    assert_eq!(files_in(&blobs), 1);
    hub.advance(Duration::from_hours(24) - Duration::from_secs(1));
    space.get(&format!("/files/{id}")).await.ok();
    hub.advance(Duration::from_secs(1));
    let gone = space.get(&format!("/files/{id}")).await;
    assert_eq!(
        (gone.status, &gone["status"], &gone["message"]),
        (
            409,
            &json!("notFound"),
            &json!(format!("File {id} not found"))
        )
    );
    assert_eq!(space.get(&format!("/files/{id}/meta")).await.status, 409);
    hub.advance(Duration::from_mins(1));
    eventually("the blob is removed", || async {
        (files_in(&blobs) == 0).then_some(())
    })
    .await;
}

fn files_in(folder: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| {
            if entry.path().is_dir() {
                files_in(&entry.path())
            } else {
                1
            }
        })
        .sum()
}

#[tokio::test]
async fn binding_gives_a_permanent_id_that_stays() {
    let (hub, space) = hub_and_space().await;
    declare(&space).await;
    let temporary = upload(&space, "договор.pdf", "application/pdf", b"%PDF-1.7")
        .await
        .ok()
        .str("fileId");
    let made = space
        .post(
            "/companies",
            json!({ "name": "c", "customFields": { "papers": [temporary] } }),
        )
        .await
        .ok();
    let permanent = made["customFields"]["papers"][0]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_ne!(permanent, temporary);
    for id in [&permanent, &temporary] {
        assert_eq!(
            space.get(&format!("/files/{id}")).await.ok().text,
            "%PDF-1.7"
        );
    }
    let again = space
        .post(
            "/companies",
            json!({ "name": "d", "customFields": { "papers": [temporary] } }),
        )
        .await
        .ok();
    assert_eq!(
        again["customFields"]["papers"][0],
        permanent.as_str(),
        "the same temporary id is the same file"
    );
    hub.advance(Duration::from_hours(25));
    space
        .post("/deals", json!({ "name": "time has passed" }))
        .await
        .ok();
    assert_eq!(space.get(&format!("/files/{temporary}")).await.status, 409);
    assert_eq!(
        space.get(&format!("/files/{permanent}")).await.ok().text,
        "%PDF-1.7"
    );
    let expired = upload(&space, "b", "text/plain", b"b")
        .await
        .ok()
        .str("fileId");
    hub.advance(Duration::from_hours(25));
    for id in [expired.as_str(), "00000000-0000-0000-0000-000000000007"] {
        let refused = space
            .post("/companies", json!({ "customFields": { "papers": [id] } }))
            .await;
        assert_eq!(
            (refused.status, &refused["message"]),
            (409, &json!(format!("File {id} not found"))),
            "{}",
            refused.text
        );
    }
    let wrong = space
        .post("/companies", json!({ "customFields": { "papers": "x" } }))
        .await;
    assert_eq!(wrong.status, 400, "{}", wrong.text);
}

#[tokio::test]
async fn another_workspaces_file_is_not_there() {
    let (hub, space) = hub_and_space().await;
    let other = hub.workspace("other").await;
    let id = upload(&space, "a", "text/plain", b"secret")
        .await
        .ok()
        .str("fileId");
    for path in [format!("/files/{id}"), format!("/files/{id}/meta")] {
        let refused = other.get(&path).await;
        assert_eq!(
            (refused.status, &refused["message"]),
            (409, &json!(format!("File {id} not found")))
        );
    }
    declare(&other).await;
    let bound = other
        .post("/companies", json!({ "customFields": { "papers": [id] } }))
        .await;
    assert_eq!(bound.status, 409);
}

#[tokio::test]
async fn malformed_uploads_are_refused() {
    let (_hub, space) = hub_and_space().await;
    let multipart = |content_type: &str| space.clone().header("content-type", content_type);
    let cases: Vec<(Caller, Vec<u8>)> = vec![
        (multipart("application/json"), b"{}".to_vec()),
        (multipart("multipart/form-data"), form("a", "text/plain", b"x")),
        (multipart("multipart/form-data; boundary=other"), form("a", "text/plain", b"x")),
        (multipart("multipart/form-data; boundary=edge"), b"--edge\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nx\r\n--edge--\r\n".to_vec()),
        (multipart("multipart/form-data; boundary=edge"), b"--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nnever ends".to_vec()),
        (multipart("multipart/form-data; boundary=edge"), Vec::new()),
    ];
    for (caller, body) in cases {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let refused = caller.send(Method::POST, "/files", Some(body)).await;
        assert_eq!(refused.status, 400, "{shown}: {}", refused.text);
    }
    for path in [
        "/files/x",
        "/files/00000000-0000-0000-0000-000000000007",
        "/files/x/meta",
    ] {
        let refused = space.get(path).await;
        assert!(
            refused.status == 409 || refused.status == 400,
            "{path}: {}",
            refused.status
        );
    }
    let evil = upload(
        &space,
        "..\\..\\evil\".html",
        "text/html",
        b"<script>alert(1)</script>",
    )
    .await
    .ok();
    let shown = space
        .get(&format!("/files/{}", evil.str("fileId")))
        .await
        .ok();
    assert!(
        shown
            .header("content-security-policy")
            .is_some_and(|policy| policy.contains("sandbox")),
        "what others uploaded runs nothing here"
    );
}

#[tokio::test]
async fn files_survive_a_restart() {
    let (hub, space) = hub_and_space().await;
    let id = upload(&space, "a", "text/plain", b"kept")
        .await
        .ok()
        .str("fileId");
    let hub = hub.restart().await;
    assert_eq!(
        hub.adopt(&space)
            .get(&format!("/files/{id}"))
            .await
            .ok()
            .text,
        "kept"
    );
}

#[tokio::test]
async fn values_older_than_their_declaration_hinder_no_change_of_something_else() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    for value in [json!("see the folder"), json!([UNKNOWN_ID])] {
        let body = json!({ "name": "c", "customFields": { "papers": value } });
        let path = format!(
            "/companies/{}",
            space.post("/companies", body).await.ok().str("id")
        );
        declare(&space).await;
        let renamed = json!([{ "op": "replace", "path": "/name", "value": "d" }]);
        let changed = space.patch(&path, renamed).await.ok();
        assert_eq!(
            (&changed["name"], &changed["customFields"]["papers"]),
            (&json!("d"), &value)
        );
        let refused = space
            .patch(
                &path,
                json!([{ "op": "replace", "path": "/customFields/papers", "value": "x" }]),
            )
            .await;
        assert_eq!(refused.status, 409, "{}", refused.text);
        assert_eq!(
            refused["errorInfo"]["invalidValueTypes"]
                .as_array()
                .map(Vec::len),
            Some(1),
            "a new value is checked"
        );
        let removed = json!([{ "op": "replace", "path": "/customFields/papers", "value": [] }]);
        space.patch(&path, removed).await.ok();
        let undeclared = json!([{ "op": "remove", "path": "/customFields/company/papers" }]);
        space.patch("/settings", undeclared).await.ok();
    }
}

#[tokio::test]
async fn a_file_mentioned_again_after_the_declaration_is_bound() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let temporary = upload(&space, "a.txt", "text/plain", b"a")
        .await
        .ok()
        .str("fileId");
    let body = json!({ "customFields": { "papers": [temporary] } });
    let path = format!(
        "/companies/{}",
        space.post("/companies", body).await.ok().str("id")
    );
    declare(&space).await;
    let again = json!([{ "op": "replace", "path": "/CustomFields/papers", "value": [temporary] }]);
    let changed = space.patch(&path, again).await.ok();
    let permanent = changed["customFields"]["papers"][0]
        .as_str()
        .expect("an id");
    assert_ne!(permanent, temporary);
    hub.advance(Duration::from_hours(25));
    space.get(&format!("/files/{permanent}")).await.ok();
}
