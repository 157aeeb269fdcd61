//! Documents: bounds, lists, and the removal of drafts.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::harness::document_exchange::{PDF, Side, text};

#[tokio::test]
async fn documents_have_bounds() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let blob = us.content("a.pdf", PDF).await;
    let made = async |member: &str, value: Value| {
        let mut body = us.metadata(&[&blob]);
        body["documentMetadata"][member] = value;
        us.api.post(CREATE, body).await
    };
    for member in ["documentName", "documentNumber"] {
        made(member, json!("ә".repeat(256))).await.ok();
        made(member, json!("\u{1F600} <b>&\"'")).await.ok();
        for bad in [
            json!("ә".repeat(257)),
            json!(""),
            json!("  \n"),
            json!("a\u{0}b"),
        ] {
            invalid(
                &made(member, bad).await,
                &format!("documentMetadata.{member}"),
            );
        }
    }
    for good in [json!(0), json!(4_133_980_799_i64), json!("1767225600")] {
        made("documentDate", good).await.ok();
    }
    for bad in [json!(-1), json!(4_133_980_800_i64), json!(i64::MIN)] {
        invalid(
            &made("documentDate", bad).await,
            "documentMetadata.documentDate",
        );
    }
    for bad in [
        json!(NOW * 1000),
        json!(100_000_000_001_i64),
        json!(i64::MAX),
    ] {
        let answer = made("documentDate", bad).await;
        invalid(&answer, "documentMetadata.documentDate");
        assert!(reason(&answer).contains("миллисекунды"), "{}", answer.text);
    }
    let groups = "Accounting Financial Legal Constitutive HR Paperwork Purchase Warehouse Organizational General";
    for (n, group) in (1..).zip(groups.split(' ')) {
        for written in [
            json!(group),
            json!(group.to_lowercase()),
            json!(n),
            json!(n.to_string()),
        ] {
            let answer = made("documentGroup", written).await.ok();
            assert_eq!(answer["documentGroup"], group);
        }
    }
    for bad in [json!(0), json!(11), json!("Legal ")] {
        invalid(
            &made("documentGroup", bad).await,
            "documentMetadata.documentGroup",
        );
    }
    // Two documents may have the same number. A file may be in both, and twice in one.
    let first = made("documentNumber", json!("1")).await.ok().str("id");
    assert_ne!(
        made("documentNumber", json!("1")).await.ok().str("id"),
        first
    );
    us.api.post(CREATE, us.metadata(&[&blob, &blob])).await.ok();
}

#[tokio::test]
async fn documents_have_a_maximum_number_of_files() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let blob = us.content("a.pdf", PDF).await;
    let with = async |blobs: &[&str]| us.api.post(CREATE, us.metadata(blobs)).await;
    with(&[blob.as_str(); 20]).await.ok();
    invalid(&with(&[blob.as_str(); 21]).await, "documentBinaryContents");
    invalid(&with(&[]).await, "documentBinaryContents");
    let signature = us.signature(&us.sign(b"x", true)).await;
    invalid(&with(&[&blob, &signature]).await, &signature);

    let large = large_pdf(15 << 20);
    let large = us.content("large.pdf", &large).await;
    let four = [large.as_str(); 4];
    with(&four).await.ok();
    let answer = with(&[&large, &large, &large, &large, &blob]).await;
    invalid(&answer, "60");
}

pub(super) fn large_pdf(length: usize) -> Vec<u8> {
    let mut bytes = b"%PDF-1.7\n".to_vec();
    bytes.resize(length, b'x');
    bytes
}

/// A file that another document has is not deleted with a draft.
#[tokio::test]
async fn drafts_are_deleted() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let blob = us.content("a.pdf", PDF).await;
    let make = async |path: &str| {
        us.api
            .post(path, us.metadata(&[&blob]))
            .await
            .ok()
            .str("id")
    };
    let (one, other) = (make(CREATE).await, make(CREATE).await);
    us.quick_route(&one, &[&them.bin]).await.ok();
    exactly(&us.api.delete(&format!("{DRAFT}{one}")).await, json!({}));
    let again = us.api.delete(&format!("{DRAFT}{one}")).await;
    refused(&again, 404, "RESOURCE_NOT_FOUND", &one);
    let list = us.api.post(OUTBOX, json!({})).await.ok();
    assert_eq!(list["response"]["totalSize"], 1);
    // The other document still has its file after unused ones are removed.
    scene.exchange.hub.advance(Duration::from_hours(24 * 8));
    prichal::retention::sweep(&scene.exchange.hub.app)
        .await
        .expect("swept");
    let archive = us.api.get(&format!("{ARCHIVE}{other}")).await.ok();
    assert_eq!(
        crate::harness::document_exchange::unzip(&archive.bytes)[0].1,
        PDF
    );

    let sent = us.sent(&[&them.bin]).await;
    let answer = us.api.delete(&format!("{DRAFT}{sent}")).await;
    invalid(&answer, "SENT_BY_SENDER");
    let answer = them.api.delete(&format!("{DRAFT}{sent}")).await;
    refused(&answer, 404, "RESOURCE_NOT_FOUND", &sent);
    assert_eq!(us.status(&sent).await, "SENT_BY_SENDER");
}

/// An original is removed like any upload once the last draft with it is gone.
#[tokio::test]
async fn originals_of_deleted_drafts_go_after_a_week() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let hub = &scene.exchange.hub;
    let blobs = hub.installation.data_dir().join("blobs");
    let pass = async |days: u64| {
        hub.advance(Duration::from_hours(24 * days));
        prichal::retention::sweep(&hub.app).await.expect("swept");
        uploads::files_in(&blobs)
    };
    let blob = us.content("a.pdf", b"%PDF-1.7 a").await;
    let make = async |blobs: &[&str]| {
        let made = us.api.post(CREATE, us.metadata(blobs)).await;
        made.ok().str("id")
    };
    let delete = async |document: &str| {
        us.api.delete(&format!("{DRAFT}{document}")).await.ok();
    };
    let (one, other) = (make(&[&blob]).await, make(&[&blob, &blob]).await);
    delete(&other).await;
    assert_eq!(pass(8).await, 1, "one has it");
    delete(&one).await;
    assert_eq!(pass(6).await, 1, "it may be used again");
    let again = make(&[&blob]).await;
    assert_eq!(pass(8).await, 1, "as it is");
    delete(&again).await;
    assert_eq!(pass(8).await, 0);
    let late = us.api.post(CREATE, us.metadata(&[&blob])).await;
    refused(&late, 404, "RESOURCE_NOT_FOUND", &blob);

    // Originals of sent documents stay, even if a draft had the same bytes. So do those used before references were
    // counted.
    let draft = us.draft().await;
    let sent = us.sent(&[&them.bin]).await;
    delete(&draft).await;
    let old = us.content("a.pdf", b"%PDF-1.7 old").await;
    let (one, _other) = (make(&[&old]).await, make(&[&old]).await);
    hub.installation
        .execute("UPDATE document_blob SET uses = NULL WHERE expires_at IS NULL");
    delete(&one).await;
    let before = uploads::files_in(&blobs);
    assert_eq!(pass(30).await, before);
    for company in [us, them] {
        let archive = company.api.get(&format!("{ARCHIVE}{sent}")).await.ok();
        assert_eq!(
            crate::harness::document_exchange::unzip(&archive.bytes)[0].1,
            PDF
        );
    }
}

fn ids(page: &Answer) -> Vec<String> {
    let items = page["response"]["pageItems"].as_array().expect("items");
    items.iter().map(|one| text(&one["id"])).collect()
}

#[tokio::test]
async fn lists_are_filtered() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let clerk = scene.clerk("clerk", &["DOCUMENT_CREATE"]).await;
    let blob = us.content("a.pdf", PDF).await;
    let make = async |date: i64, author: &str| {
        let mut body = us.metadata(&[&blob]);
        body["documentMetadata"]["documentDate"] = json!(date);
        body["documentMetadata"]["documentAuthorEmployeeId"] = json!(author);
        us.api.post(CREATE, body).await.ok().str("id")
    };
    let (early, late) = (make(1000, &us.employee).await, make(2000, &clerk).await);
    let sent = make(3000, &us.employee).await;
    us.quick_route(&sent, &[&them.bin]).await.ok();
    us.quick_sign(Side::Outbox, &sent).await.ok();

    for (query, expected) in [
        (json!({}), vec![&sent, &late, &early]),
        (
            json!({ "documentDateFrom": 1000, "documentDateTo": 3000 }),
            vec![&sent, &late, &early],
        ),
        (
            json!({ "documentDateFrom": 1001, "documentDateTo": 2999 }),
            vec![&late],
        ),
        (
            json!({ "documentDateFrom": 2000, "documentDateTo": 0 }),
            vec![&sent, &late],
        ),
        (
            json!({ "documentDateFrom": 0, "documentDateTo": 2000 }),
            vec![&late, &early],
        ),
        (
            json!({ "documentDateFrom": null, "documentDateTo": "1000" }),
            vec![&early],
        ),
        (
            json!({ "documentDateFrom": 2500, "documentDateTo": 2500 }),
            vec![],
        ),
        (
            json!({ "documentDateFrom": i64::MIN, "documentDateTo": i64::MAX }),
            vec![&sent, &late, &early],
        ),
        (
            json!({ "documentStatuses": [] }),
            vec![&sent, &late, &early],
        ),
        (
            json!({ "documentStatuses": null }),
            vec![&sent, &late, &early],
        ),
        (
            json!({ "documentStatuses": ["DRAFT"] }),
            vec![&late, &early],
        ),
        (
            json!({ "documentStatuses": [1, "draft", "1"] }),
            vec![&late, &early],
        ),
        (
            json!({ "documentStatuses": [5, "DRAFT"] }),
            vec![&sent, &late, &early],
        ),
        (json!({ "documentStatuses": ["FINISHED", "NONE"] }), vec![]),
        (json!({ "documentAuthorId": clerk }), vec![&late]),
        (json!({ "documentAuthorId": them.employee }), vec![]),
        (
            json!({ "documentAuthorId": "00000000-0000-0000-0000-000000000000" }),
            vec![&sent, &late, &early],
        ),
        (
            json!({ "documentAuthorId": us.employee, "documentStatuses": ["DRAFT"], "documentDateFrom": 1000 }),
            vec![&early],
        ),
    ] {
        let page = us.api.post(OUTBOX, query.clone()).await;
        assert_eq!(page.status, 200, "{query}: {}", page.text);
        let expected: Vec<String> = expected.into_iter().cloned().collect();
        assert_eq!(ids(&page), expected, "{query}");
        assert_eq!(page["response"]["totalSize"], expected.len(), "{query}");
    }
    for (query, expected) in [
        (json!({}), 1),
        (json!({ "documentStatuses": ["IN_NEW"] }), 1),
        (
            json!({ "documentStatuses": ["SENT_BY_SENDER", "DRAFT"] }),
            0,
        ),
        (json!({ "documentAuthorId": us.employee }), 1),
        (json!({ "documentDateTo": 2999 }), 0),
    ] {
        let page = them.api.post(INBOX, query.clone()).await.ok();
        assert_eq!(page["response"]["totalSize"], expected, "{query}");
    }
    let backwards = json!({ "documentDateFrom": 3000, "documentDateTo": 1000 });
    for list in [OUTBOX, INBOX] {
        let refused = us.api.post(list, backwards.clone()).await;
        assert_eq!(
            (refused.status, code(&refused).as_str()),
            (400, "VALIDATION_ERROR")
        );
        assert!(
            reason(&refused).contains("documentDateTo"),
            "{}",
            refused.text
        );
    }
    assert_eq!(ids(&them.api.post(OUTBOX, json!({})).await.ok()).len(), 0);
    assert_eq!(ids(&us.api.post(INBOX, json!({})).await.ok()).len(), 0);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let blob = us.content("a.pdf", PDF).await;
    let mut all = BTreeSet::new();
    for _ in 0..13 {
        all.insert(
            us.api
                .post(CREATE, us.metadata(&[&blob]))
                .await
                .ok()
                .str("id"),
        );
    }
    // All of one date: the order is the same on each page.
    let mut seen = Vec::new();
    for skip in [0, 5, 10] {
        let page = us
            .api
            .post(OUTBOX, json!({ "skip": skip, "top": 5 }))
            .await
            .ok();
        assert_eq!(page["response"]["skip"], skip);
        assert_eq!(page["response"]["top"], 5);
        assert_eq!(page["response"]["totalSize"], 13);
        seen.extend(ids(&page));
    }
    assert_eq!(seen.len(), 13);
    assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), all);

    for n in 0..11 {
        scene.clerk(&format!("clerk-{n}"), &[]).await;
    }
    for path in [OUTBOX, EMPLOYEES, OPERATIONS, INBOX] {
        let ask = async |query: Value| us.api.post(path, query).await;
        let page = ask(json!({})).await.ok();
        assert_eq!(
            (&page["response"]["skip"], &page["response"]["top"]),
            (&json!(0), &json!(10))
        );
        let total = page["response"]["totalSize"].as_u64().expect("a number");
        let shown = page["response"]["pageItems"].as_array().map_or(0, Vec::len);
        assert_eq!(shown as u64, total.min(10), "{path}");
        let page = ask(json!({ "top": 1000 })).await.ok();
        assert_eq!(page["response"]["top"], 100, "{path}");
        let page = ask(json!({ "top": "7", "skip": "2" })).await.ok();
        assert_eq!(
            (&page["response"]["skip"], &page["response"]["top"]),
            (&json!(2), &json!(7))
        );
        let page = ask(json!({ "skip": i64::MAX, "top": i64::MAX })).await.ok();
        assert_eq!(page["response"]["pageItems"], json!([]));
        assert_eq!(page["response"]["totalSize"], total, "{path}");
        invalid(&ask(json!({ "skip": -1 })).await, "skip");
        invalid(&ask(json!({ "top": 0 })).await, "top");
        invalid(&ask(json!({ "top": -5 })).await, "top");
    }
}

/// Names and numbers that would climb out of an archive, or break a header.
#[tokio::test]
async fn names_stay_in_their_folder() {
    let scene = Scene::new().await;
    let us = &scene.us;
    for (file, number) in [
        ("..\\..\\a.pdf", "../../etc/passwd"),
        ("con?<x>.pdf", "a; Set-Cookie: x=1; \"; b"),
        ("ә.pdf", "..."),
    ] {
        let blob = us.content(file, PDF).await;
        for number in [number, "я".repeat(256).as_str()] {
            let mut body = us.metadata(&[&blob, &blob]);
            body["documentMetadata"]["documentNumber"] = json!(number);
            let made = us.api.post(CREATE, body).await.ok();
            assert_eq!(made["documentNumber"], number);
            let id = made.str("id");
            for path in [ARCHIVE, PRINT_FORM] {
                let answer = us.api.get(&format!("{path}{id}")).await.ok();
                assert_eq!(answer.header("set-cookie"), None);
                let name = answer.header("content-disposition").expect("a name");
                assert!(!name.contains(['/', '\\']), "{name}");
            }
            let archive = us.api.get(&format!("{ARCHIVE}{id}")).await.ok();
            let files = crate::harness::document_exchange::unzip(&archive.bytes);
            assert_eq!(files.len(), 4);
            for (name, _) in files {
                let parts: Vec<&str> = name.split('/').collect();
                assert!(
                    parts.len() <= 2 && !name.contains(['\\', '\r', ':']),
                    "{name}"
                );
                assert!(parts.iter().all(|part| !part.starts_with('.')), "{name}");
            }
        }
    }
}

/// Requests at the same moment with one key are one request.
#[tokio::test]
async fn concurrent_requests_with_one_key_are_one_request() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let blob = us.content("a.pdf", PDF).await;
    let keyed = us.api.clone().header("idempotency-key", "one");
    let ask = || async {
        // A request that meets the other one in progress is asked to come again.
        loop {
            let answer = keyed.post(CREATE, us.metadata(&[&blob])).await;
            if answer.status != 503 {
                break answer.ok().str("id");
            }
        }
    };
    let all: BTreeSet<String> = futures_util::future::join_all((0..8).map(|_| ask()))
        .await
        .into_iter()
        .collect();
    assert_eq!(all.len(), 1);
    let list = us.api.post(OUTBOX, json!({})).await.ok();
    assert_eq!(list["response"]["totalSize"], 1);
}

/// A draft is deleted with its tickets and its content to sign.
#[tokio::test]
async fn a_draft_that_was_about_to_be_signed_is_deleted() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let hub = &scene.exchange.hub;
    let blobs = hub.installation.data_dir().join("blobs");
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    let signature = us.signature(&us.sign(&zip, true)).await;
    assert_eq!(uploads::files_in(&blobs), 3);
    us.api.delete(&format!("{DRAFT}{document}")).await.ok();
    let link = generated.str("downloadLink");
    let gone = us
        .api
        .get(&link[link.find("/api").expect("a path")..])
        .await;
    refused(&gone, 404, "RESOURCE_NOT_FOUND", "ссылка");
    let ticket = generated.str("idempotencyTicket");
    let saved = us.save(Side::Outbox, &document, &signature, &ticket).await;
    refused(&saved, 404, "RESOURCE_NOT_FOUND", &document);
    prichal::retention::sweep(&hub.app).await.expect("swept");
    assert_eq!(uploads::files_in(&blobs), 2);
    let list = us.api.post(OUTBOX, json!({})).await.ok();
    assert_eq!(list["response"]["totalSize"], 0);
}
