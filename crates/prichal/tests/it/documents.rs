//! E-documents from the wire to the disk (`docs/contracts/idocs.md §1, §2`).

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use prichal::document::evidence::MOST;
use prichal_core::id::WorkspaceId;
use prichal_sign::{
    Time,
    testing::{Authority, Cms, CrlDraft, Draft, Identity, Key, Signer, TimeStamp, der, extension},
};
use prichal_store::{
    Conn, Tx,
    evidence::{self, Evidence},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    exchange::{
        ACTION, BINS, CREATE, Company, DECLINE, Exchange, IINS, INBOX_ROUTE, INTERNAL,
        INTERNAL_ROUTE, PDF, RECALL, REJECT, ROUTE, Side, V3, code, pem, said, text, unzip,
    },
    hub::{START, eventually, spawn},
    receiver::{Receiver, Reply},
};

#[tokio::test]
async fn two_companies_sign_a_document() {
    let exchange = Exchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let document = us.draft().await;
    assert_eq!(us.status(&document).await, "DRAFT");
    let routed = us.quick_route(&document, &[&them.bin]).await.ok();
    assert_eq!(routed.text, "");
    assert_eq!(
        (us.status(&document).await, them.status(&document).await),
        ("DRAFT".into(), "404".into())
    );

    let signed = us.quick_sign(Side::Outbox, &document).await.ok();
    assert_eq!(signed.text, "");
    assert_eq!(us.status(&document).await, "SENT_BY_SENDER");
    assert_eq!(them.status(&document).await, "IN_NEW");

    them.quick_sign(Side::Inbox, &document).await.ok();
    assert_eq!(us.status(&document).await, "FINISHED");
    assert_eq!(them.status(&document).await, "FINISHED");

    let path = format!("{V3}/sync/external/documents-query/single/inbox/{document}");
    let seen = them.api.get(&path).await.ok();
    let node = &seen["response"]["documentRoute"]["external"]["nodes"][0];
    assert_eq!(node["state"]["status"], "CompletedWithOk");
    assert_eq!(seen["response"]["documentDirection"], "Inbox");
    assert_eq!(seen["errors"], Value::Null);
    assert_eq!(us.api.get(&path).await.status, 404, "not in our inbox");

    let path = format!("{V3}/sync/single/document/signatures/{document}");
    let signatures = us.api.get(&path).await.ok();
    assert_eq!(signatures.as_array().map(Vec::len), Some(2));
    for (one, company) in signatures
        .as_array()
        .expect("a list")
        .iter()
        .zip([&us, &them])
    {
        assert_eq!(one["companyBin"], company.bin);
        assert_eq!(one["iin"], company.iin);
        assert_eq!(one["report"]["verdict"], "TOTAL_PASSED");
    }
}

#[tokio::test]
async fn the_archive_is_the_same_for_both_and_each_time() {
    let exchange = Exchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let (one, two) = (
        us.content("a.pdf", PDF).await,
        us.content("a.pdf", b"%PDF-2").await,
    );
    let notes = us.content("заметки.txt", "Привет, әлем".as_bytes()).await;
    let body = us.metadata(&[&one, &two, &notes]);
    let document = us.api.post(CREATE, body).await.ok().str("id");
    us.quick_route(&document, &[&them.bin]).await.ok();
    // One signature detached, one attached.
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    let again = us.generate(Side::Outbox, &document).await.ok();
    assert_eq!(
        us.download(&again).await,
        zip,
        "the same bytes for every ticket"
    );
    let names: Vec<String> = unzip(&zip).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a.pdf", "a (2).pdf", "заметки.txt"]);
    let blob = us.signature(&us.sign(&zip, false)).await;
    us.save(
        Side::Outbox,
        &document,
        &blob,
        &again.str("idempotencyTicket"),
    )
    .await
    .ok();
    them.quick_sign(Side::Inbox, &document).await.ok();

    let path = format!("{V3}/sync/single/document/GetDocumentArchiveByDocumentId/{document}");
    let ours = us.api.get(&path).await.ok();
    assert_eq!(us.api.get(&path).await.ok().bytes, ours.bytes);
    let theirs = unzip(&them.api.get(&path).await.ok().bytes);
    let ours = unzip(&ours.bytes);
    let names: Vec<&str> = ours.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "original/a.pdf",
        "original/a (2).pdf",
        "original/заметки.txt",
        "print-form/17_1.pdf",
        "signatures/1-971240001315.cms",
        "evidence/signed-content-1.zip",
        "evidence/report-1.json",
        "signatures/2-940140000385.cms",
        "evidence/report-2.json",
        "manifest.json",
    ];
    assert_eq!(names, expected);
    for ((name, own), (_, other)) in ours.iter().zip(&theirs) {
        if name.starts_with("original/") || name.starts_with("signatures/") {
            assert_eq!(own, other, "{name}");
        }
    }
    assert_eq!(ours[5].1, zip);
    assert!(ours[3].1.starts_with(b"%PDF-"));
    let manifest: Value = serde_json::from_slice(&ours[9].1).expect("JSON");
    assert_eq!(manifest["documentId"], document);
    assert_eq!(manifest["files"].as_array().map(Vec::len), Some(9));
    for (file, (name, contents)) in manifest["files"]
        .as_array()
        .expect("files")
        .iter()
        .zip(&ours)
    {
        assert_eq!(file["path"], *name);
        assert_eq!(file["size"], contents.len());
        assert_eq!(file["sha256"], sha256(contents));
    }
    let form = format!("{V3}/sync/single/document/GetDocumentPrintFormByDocumentId/{document}");
    let form = us.api.get(&form).await.ok();
    assert_eq!(form.header("content-type"), Some("application/pdf"));
    assert_eq!(form.bytes, ours[3].1);
}

fn sha256(bytes: &[u8]) -> String {
    prichal::vault::sha256_hex(bytes)
}

#[tokio::test]
async fn a_ticket_is_for_one_signature() {
    let exchange = Exchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let (one, other) = (us.draft().await, us.draft().await);
    for document in [&one, &other] {
        us.quick_route(document, &[&them.bin]).await.ok();
    }
    let first = us.generate(Side::Outbox, &one).await.ok();
    let zip = us.download(&first).await;
    let blob = us.signature(&us.sign(&zip, true)).await;
    let second = us.generate(Side::Outbox, &one).await.ok();
    let (first, second) = (
        first.str("idempotencyTicket"),
        second.str("idempotencyTicket"),
    );
    let save = async |document: &str, blob: &str, ticket: &str| {
        us.save(Side::Outbox, document, blob, ticket).await
    };

    let refused = save(&one, &blob, &first).await;
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (400, "VALIDATION_ERROR"),
        "replaced"
    );
    let refused = save(&other, &blob, &second).await;
    assert!(
        said(&refused).contains("idempotencyTicket"),
        "{}",
        refused.text
    );
    let unknown = save(&one, &blob, "0193f6d2-7c1a-7b3e-9f00-5d2c8a41e6b7").await;
    assert_eq!(unknown.status, 400);
    let pdf = us.content("b.pdf", PDF).await;
    assert!(
        said(&save(&one, &pdf, &second).await).contains(&pdf),
        "no signature"
    );

    save(&one, &blob, &second).await.ok();
    assert_eq!(us.status(&one).await, "SENT_BY_SENDER");
    save(&one, &blob, &second).await.ok();
    let equal = us.signature(&us.sign(&zip, true)).await;
    let detached = us.signature(&us.sign(&zip, false)).await;
    assert_eq!(
        save(&one, &detached, &second).await.status,
        400,
        "another signature"
    );
    save(&one, &equal, &second).await.ok();

    // Without a ticket the one that is good will do; after its time none is.
    let zip = us
        .download(&us.generate(Side::Outbox, &other).await.ok())
        .await;
    let blob = us.signature(&us.sign(&zip, true)).await;
    let body = json!({ "documentId": other, "signedByEmployeeId": us.employee, "signatureBinaryContent": { "blobId": blob } });
    let path = format!("{V3}/sync/external/outbox/signature/quick-sign/save");
    us.api.post(&path, body.clone()).await.ok();

    let late = us.draft().await;
    us.quick_route(&late, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &late).await.ok();
    let link = generated.str("downloadLink");
    let link = &link[link.find("/api").expect("a path")..];
    let first = us.api.get(link).await.ok();
    let tag = first.header("etag").expect("a tag");
    let again = us.api.clone().header("if-none-match", tag).get(link).await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    exchange.hub.advance(Duration::from_mins(61));
    let over = us.api.get(link).await;
    assert_eq!(
        (over.status, code(&over).as_str()),
        (410, "RESOURCE_NOT_FOUND")
    );
    let refused = save(&late, &blob, &generated.str("idempotencyTicket")).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
}

#[tokio::test]
async fn a_signature_is_really_checked() {
    let exchange = Exchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    let ticket = generated.str("idempotencyTicket");
    let foreign = exchange.signer(BINS[2], &us.iin);
    let person = exchange.signer(&us.bin, "200140000513");
    for (signature, word) in [
        (us.sign(b"something else", false), "HASH_FAILURE"),
        (us.sign(b"something else", true), "HASH_FAILURE"),
        (us.sign_as(&foreign, &zip, true), "SIG_CONSTRAINTS_FAILURE"),
        (us.sign_as(&person, &zip, true), "SIG_CONSTRAINTS_FAILURE"),
    ] {
        let blob = us.signature(&signature).await;
        let refused = us.save(Side::Outbox, &document, &blob, &ticket).await;
        assert_eq!(
            (refused.status, code(&refused).as_str()),
            (400, "VALIDATION_ERROR")
        );
        assert!(said(&refused).starts_with(word), "{word}: {}", refused.text);
    }
    assert_eq!(us.status(&document).await, "DRAFT");

    // The switches.
    exchange.trust(&us.name, json!({ "checkBin": false })).await;
    let blob = us.signature(&us.sign_as(&foreign, &zip, true)).await;
    us.save(Side::Outbox, &document, &blob, &ticket).await.ok();
    assert_eq!(us.status(&document).await, "SENT_BY_SENDER");
}

#[tokio::test]
async fn what_cannot_be_checked_yet_is_checked_again() {
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    us.forget_lists();
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    exchange
        .trust(&us.name, json!({ "indeterminate": "refuse" }))
        .await;
    let refused = us.quick_sign(Side::Outbox, &document).await;
    assert!(said(&refused).starts_with("TRY_LATER"), "{}", refused.text);
    exchange.trust(&us.name, json!({})).await;
    us.quick_sign(Side::Outbox, &document).await.ok();
    assert_eq!(us.status(&document).await, "SENT_BY_SENDER");
    let path = format!("{V3}/sync/single/document/signatures/{document}");
    let verdict = async || {
        let found = us.api.get(&path).await.ok();
        (
            text(&found[0]["report"]["verdict"]),
            found[0]["report"]["subIndication"].clone(),
        )
    };
    assert_eq!(
        verdict().await,
        ("INDETERMINATE".to_owned(), json!("TRY_LATER"))
    );
    // A policy that needs no lists decides when it is checked again.
    exchange.trust(&us.name, json!({ "policy": "test" })).await;
    exchange.hub.advance(Duration::from_secs(61));
    eventually("it is checked again", || async {
        (verdict().await.0 == "TOTAL_PASSED").then_some(())
    })
    .await;
    let feed = us
        .api
        .at(&format!("/api/v1/{}", us.name))
        .get("/events?limit=1000")
        .await
        .ok();
    let told = feed["items"].as_array().expect("events").iter();
    let told =
        told.filter(|event| event["changeData"]["new"]["signature"]["verdict"] == "TOTAL_PASSED");
    assert_eq!(told.count(), 1, "{}", feed.text);
}

/// From now on a company's signatures bring no lists: its certificates name a place to fetch them from.
/// Gives the new issuer.
fn name_lists(exchange: &Exchange, company: &mut Company, place: &str) -> Identity {
    company.forget_lists();
    let authority = &exchange.authority;
    let url = |name: &str| Some(format!("{place}/{name}.crl"));
    let issuer = Draft {
        crl_url: url("root"),
        ..Draft::authority("Issuer", authority.issuer.key.clone())
    }
    .issued_by(&authority.root);
    company.signer = Draft {
        crl_url: url("issuer"),
        ..Exchange::signer_draft(&company.bin, &company.iin)
    }
    .issued_by(&issuer);
    company.set_issuer(&issuer);
    issuer
}

/// Two lists are missing and their server hangs: that costs the time of one.
#[tokio::test]
async fn who_signs_waits_five_seconds_at_most() {
    let lists = Receiver::start(|_| Reply::Silence).await;
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    name_lists(&exchange, &mut us, &lists.url);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let signing = spawn({
        let (us, document) = (us.clone(), document.clone());
        async move { us.quick_sign(Side::Outbox, &document).await }
    });
    lists.next().await;
    exchange.hub.advance(Duration::from_secs(5));
    signing.await.expect("no panic").ok();
    assert_eq!(us.status(&document).await, "SENT_BY_SENDER");
}

/// A signature whose file is lost: others are checked again all the same, and it is itself once it can be.
#[tokio::test]
async fn a_signature_that_cannot_be_read_holds_up_no_other() {
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    us.forget_lists();
    let mut documents = Vec::new();
    let mut signatures = Vec::new();
    for word in ["first", "second"] {
        let original = format!("%PDF-1.7\n% {word}\n%%EOF\n");
        let blob = us.content("a.pdf", original.as_bytes()).await;
        let body = us.metadata(&[&blob]);
        let document = us.api.post(CREATE, body).await.ok().str("id");
        us.quick_route(&document, &[&them.bin]).await.ok();
        let generated = us.generate(Side::Outbox, &document).await.ok();
        let signature = us.sign(&us.download(&generated).await, true);
        let (blob, ticket) = (
            us.signature(&signature).await,
            generated.str("idempotencyTicket"),
        );
        us.save(Side::Outbox, &document, &blob, &ticket).await.ok();
        documents.push(document);
        signatures.push(signature);
        // They are due in this order.
        exchange.hub.advance(Duration::from_secs(1));
    }
    let verdict = async |document: &str| {
        let path = format!("{V3}/sync/single/document/signatures/{document}");
        let found = us.api.get(&path).await.ok();
        text(&found[0]["report"]["verdict"])
    };
    let file = blob_with(&exchange.hub.ground.data_dir(), &signatures[0]);
    std::fs::remove_file(&file).expect("removed");
    // A policy that needs no lists decides when they are checked again.
    exchange.trust(&us.name, json!({ "policy": "test" })).await;
    exchange.hub.advance(Duration::from_secs(61));
    eventually("the second is checked again", || async {
        (verdict(&documents[1]).await == "TOTAL_PASSED").then_some(())
    })
    .await;
    assert_eq!(verdict(&documents[0]).await, "INDETERMINATE");
    std::fs::write(&file, &signatures[0]).expect("written");
    exchange.hub.advance(Duration::from_mins(5));
    eventually("so is the first", || async {
        (verdict(&documents[0]).await == "TOTAL_PASSED").then_some(())
    })
    .await;
}

/// The file that a blob with these contents is kept in.
fn blob_with(data_dir: &Path, contents: &[u8]) -> PathBuf {
    let files = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("readable").path())
    };
    let found = files(data_dir.join("blobs"))
        .filter(|folder| folder.is_dir())
        .flat_map(files)
        .find(|file| std::fs::read(file).is_ok_and(|bytes| bytes == contents));
    found.expect("there is such a blob")
}

/// Lists that no signature brings with it are fetched from where the certificates say, once.
#[tokio::test]
async fn revocation_lists_are_fetched_and_kept() {
    let lists = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    let issuer = name_lists(&exchange, &mut us, &lists.url);
    let authority = &exchange.authority;
    let serial = u64::from_str_radix(&us.signer.certificate().serial_hex(), 16).expect("short");
    let list = move |revoked: bool, at: i64| {
        let mut list = CrlDraft::new(Time::from_unix(at));
        if revoked {
            list.entries = vec![(serial, Time::from_unix(at - 60), Some(1))];
        }
        list
    };
    let root = list(false, START.secs() - 60).signed_by(&authority.root);
    let serve = |revoked: bool, at: i64| {
        let (root, issuer) = (root.clone(), list(revoked, at).signed_by(&issuer));
        lists.answer(move |call| {
            Reply::Body(if call.path == "/root.crl" {
                root.clone()
            } else {
                issuer.clone()
            })
        });
    };

    // Out of reach: it is accepted, and checked again.
    let document = us.sent(&[&them.bin]).await;
    let path = format!("{V3}/sync/single/document/signatures/{document}");
    let report = us.api.get(&path).await.ok()[0]["report"].clone();
    assert_eq!(report["subIndication"], "TRY_LATER");
    let asked: std::collections::BTreeSet<String> = lists
        .take(2)
        .await
        .into_iter()
        .map(|call| call.path)
        .collect();
    assert_eq!(
        asked.into_iter().collect::<Vec<_>>(),
        ["/issuer.crl", "/root.crl"]
    );

    // Revoked after it was here: the signature is good all the same.
    serve(true, START.secs() + 120);
    exchange.hub.advance(Duration::from_mins(3));
    eventually("it is checked again", || async {
        let report = us.api.get(&path).await.ok()[0]["report"].clone();
        (report["verdict"] == "TOTAL_PASSED").then_some(())
    })
    .await;
    lists.take(2).await;

    // What has been fetched is kept: a further signature with that certificate is refused at once.
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let refused = us.quick_sign(Side::Outbox, &document).await;
    assert!(said(&refused).starts_with("REVOKED"), "{}", refused.text);
    assert_eq!(lists.waiting(), 0);
}

/// What has been fetched is not kept without a bound: the oldest makes room.
#[tokio::test]
async fn the_oldest_lists_make_room() {
    let lists = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    let issuer = name_lists(&exchange, &mut us, &lists.url);
    let [root, own] = [&exchange.authority.root, &issuer]
        .map(|by| CrlDraft::new(Time::from_unix(START.secs() - 60)).signed_by(by));
    lists.answer(move |call| {
        Reply::Body(if call.path == "/root.crl" {
            root.clone()
        } else {
            own.clone()
        })
    });
    let db = &exchange.hub.app.db;
    let fill = move |tx: &mut Tx<'_>| {
        for n in 1..=u64::try_from(MOST).expect("positive") {
            let old = Evidence {
                url: n.to_string(),
                kind: "crl".to_owned(),
                body: Vec::new(),
                fetched_at: START - Duration::from_secs(n),
                expires_at: START + Duration::from_hours(1),
            };
            evidence::put(tx, &old)?;
        }
        Ok::<_, prichal_store::Error>(())
    };
    db.write(WorkspaceId(Uuid::nil()), fill)
        .await
        .expect("written");
    let document = us.sent(&[&them.bin]).await;
    let path = format!("{V3}/sync/single/document/signatures/{document}");
    let report = us.api.get(&path).await.ok()[0]["report"].clone();
    assert_eq!(report["verdict"], "TOTAL_PASSED", "{report}");
    for (url, stays) in [
        (format!("{}/root.crl", lists.url), true),
        (format!("{}/issuer.crl", lists.url), true),
        ((MOST - 2).to_string(), true),
        ((MOST - 1).to_string(), false),
        (MOST.to_string(), false),
    ] {
        let wanted = url.clone();
        let find = move |conn: &mut Conn| evidence::find(conn, &wanted, START);
        let found = db.read(find).await.expect("read");
        assert_eq!(found.is_some(), stays, "{url}");
    }
}

#[tokio::test]
#[ignore = "needs openssl; ./test has it"]
async fn the_archive_verifies_outside_of_prichal() {
    let exchange = Exchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    let blob = us.signature(&us.sign(&zip, false)).await;
    us.save(
        Side::Outbox,
        &document,
        &blob,
        &generated.str("idempotencyTicket"),
    )
    .await
    .ok();
    them.quick_sign(Side::Inbox, &document).await.ok();
    let path = format!("{V3}/sync/single/document/GetDocumentArchiveByDocumentId/{document}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, contents) in unzip(&us.api.get(&path).await.ok().bytes) {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        std::fs::write(file, contents).expect("written");
    }
    std::fs::write(
        folder.path().join("root.pem"),
        pem(&exchange.authority.root.der),
    )
    .expect("written");
    let verify = |signature: &str, content: &[&str]| {
        let at = START.secs().to_string();
        let output = std::process::Command::new("openssl")
            .current_dir(folder.path())
            .args([
                "cms", "-verify", "-binary", "-inform", "DER", "-in", signature, "-CAfile",
                "root.pem",
            ])
            .args(["-purpose", "any", "-attime", &at, "-out", "signed.zip"])
            .args(content)
            .output()
            .expect("openssl runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        std::fs::read(folder.path().join("signed.zip")).expect("there")
    };
    let content = ["-content", "evidence/signed-content-1.zip"];
    assert_eq!(
        verify(&format!("signatures/1-{}.cms", us.bin), &content),
        zip
    );
    assert_eq!(verify(&format!("signatures/2-{}.cms", them.bin), &[]), zip);
}

#[tokio::test]
async fn recalls_and_refusals() {
    let exchange = Exchange::new().await;
    let (us, them, third) = (
        exchange.company(0).await,
        exchange.company(1).await,
        exchange.company(2).await,
    );
    let document = us.sent(&[&them.bin, &third.bin]).await;
    let refused = them.act(RECALL, &document, json!({})).await;
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (404, "RESOURCE_NOT_FOUND")
    );
    us.act(RECALL, &document, json!({ "reason": "ошибка" }))
        .await
        .ok();
    for company in [&us, &them, &third] {
        assert_eq!(company.status(&document).await, "RECALLED_BY_SENDER");
    }
    let again = us.act(RECALL, &document, json!({})).await;
    assert_eq!(
        (again.status, code(&again).as_str()),
        (400, "VALIDATION_ERROR")
    );

    let document = us.sent(&[&them.bin, &third.bin]).await;
    them.quick_sign(Side::Inbox, &document).await.ok();
    assert_eq!(them.status(&document).await, "FINISHED_BY_COMPANY");
    assert_eq!(
        us.act(RECALL, &document, json!({})).await.status,
        400,
        "somebody has signed"
    );
    third
        .act(REJECT, &document, json!({ "reason": "не та сумма" }))
        .await
        .ok();
    assert_eq!(us.status(&document).await, "REJECTED_BY_RECIPIENT");
    assert_eq!(third.status(&document).await, "REJECTED_BY_RECIPIENT");
    assert_eq!(them.status(&document).await, "REJECTED_BY_COMPANY");
    let path = format!("{V3}/sync/external/documents-query/single/outbox/{document}");
    let seen = us.api.get(&path).await.ok();
    let nodes = &seen["response"]["documentRoute"]["external"]["nodes"];
    assert_eq!(
        nodes[1]["state"]["rejectMetadata"]["rejectReason"],
        "не та сумма"
    );

    // A full route that leaves without the sender's signature.
    let document = us.draft().await;
    let mut body = us.to(&document, &[&them.bin]);
    body["route"]["external"]["isSignRequiredBySender"] = json!(true);
    assert_eq!(us.api.post(ROUTE, body.clone()).await.ok().json, json!({}));
    them.quick_sign(Side::Inbox, &document).await.ok();
    assert_eq!(us.status(&document).await, "WAITING_FOR_SENDER");
    us.act(DECLINE, &document, json!({})).await.ok();
    assert_eq!(them.status(&document).await, "REJECTED_BY_SENDER");
}

#[tokio::test]
async fn employees_act_on_internal_routes() {
    let exchange = Exchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let space = us.api.at(&format!("/api/v1/{}", us.name));
    let clerk = json!({ "login": "clerk", "permissions": ["DOCUMENT_APPROVE", "DOCUMENT_REJECT"] });
    let clerk = space.post("/users", clerk).await.ok().str("id");
    let node = |order: i32, employee: &str, action: &str| json!({ "order": order, "employeeId": employee, "requiredAction": action });

    // An internal document, signed by one and approved by another.
    let blob = us
        .content("приказ.docx", b"PK\x03\x04[Content_Types].xml")
        .await;
    let document = us
        .api
        .post(INTERNAL, us.metadata(&[&blob]))
        .await
        .ok()
        .str("id");
    let nodes = json!([node(0, &us.employee, "SIGN"), node(1, &clerk, "APPROVE")]);
    let route = json!({ "routeActionOrderingType": "SEQUENTIAL", "nodes": nodes });
    assert_eq!(
        us.act(INTERNAL_ROUTE, &document, route).await.ok().json,
        json!({})
    );
    assert_eq!(us.status(&document).await, "IN_PROCESS");
    let approve = json!({ "documentId": document, "employeeId": clerk, "action": "APPROVE" });
    assert_eq!(
        us.api.post(ACTION, approve.clone()).await.status,
        400,
        "not his turn"
    );
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    let signature = us.signature(&us.sign(&zip, true)).await;
    let sign = json!({
        "action": "SIGN", "signature": { "blobId": signature }, "idempotencyTicket": generated.str("idempotencyTicket"),
    });
    us.act(ACTION, &document, sign).await.ok();
    assert_eq!(us.api.post(ACTION, approve).await.ok().json, json!({}));
    assert_eq!(us.status(&document).await, "FINISHED_BY_COMPANY");

    // A recipient whose clerk refuses.
    let document = them.sent(&[&us.bin]).await;
    let route = json!({ "route": { "internal": { "nodes": [node(0, &clerk, "APPROVE")] } } });
    us.act(INBOX_ROUTE, &document, route).await.ok();
    assert_eq!(us.status(&document).await, "IN_PROCESS_BY_RECIPIENT");
    let early = us.generate(Side::Inbox, &document).await;
    assert_eq!(
        (early.status, code(&early).as_str()),
        (400, "VALIDATION_ERROR")
    );
    let refuse =
        json!({ "documentId": document, "employeeId": clerk, "action": "REJECT", "reason": "нет" });
    us.api.post(ACTION, refuse).await.ok();
    assert_eq!(us.status(&document).await, "REJECTED_BY_RECIPIENT_EMPLOYEE");
    assert_eq!(them.status(&document).await, "SENT_BY_SENDER");
    us.act(REJECT, &document, json!({})).await.ok();
    assert_eq!(them.status(&document).await, "REJECTED_BY_RECIPIENT");
}

#[tokio::test]
async fn a_company_finds_what_was_sent_before_it_came() {
    let exchange = Exchange::new().await;
    let us = exchange.company(0).await;
    let document = us.draft().await;
    let mut body = us.to(&document, &[BINS[1]]);
    let unknown = us.api.post(crate::exchange::QUICK, body.clone()).await;
    assert_eq!(
        (unknown.status, code(&unknown).as_str()),
        (400, "VALIDATION_ERROR")
    );
    body["route"]["external"]["nodes"][0]["counterpartyEmails"] = json!(["a@example.kz"]);
    us.api.post(crate::exchange::QUICK, body).await.ok();
    us.quick_sign(Side::Outbox, &document).await.ok();
    let them = exchange.company(1).await;
    assert_eq!(them.status(&document).await, "IN_NEW");
    let list = format!("{V3}/sync/external/documents-query/inbox");
    let found = them.api.post(&list, json!({})).await.ok();
    assert_eq!(found["response"]["totalSize"], 1);
    them.quick_sign(Side::Inbox, &document).await.ok();
    assert_eq!(us.status(&document).await, "FINISHED");
}

#[tokio::test]
async fn only_one_of_two_wins() {
    let exchange = Exchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    for _ in 0..3 {
        let document = us.sent(&[&them.bin]).await;
        let generated = them.generate(Side::Inbox, &document).await.ok();
        let zip = them.download(&generated).await;
        let blob = them.signature(&them.sign(&zip, true)).await;
        let ticket = generated.str("idempotencyTicket");
        let (signed, rejected, recalled) = tokio::join!(
            them.save(Side::Inbox, &document, &blob, &ticket),
            them.act(REJECT, &document, json!({})),
            us.act(RECALL, &document, json!({})),
        );
        let all = [&signed, &rejected, &recalled];
        let won = all.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(won, 1, "{:?}", all.map(|answer| &answer.text));
        for lost in all.iter().filter(|answer| answer.status != 200) {
            assert_eq!(
                (lost.status, code(lost).as_str()),
                (400, "VALIDATION_ERROR")
            );
        }
    }
}

#[tokio::test]
async fn every_signer_of_a_signature_counts() {
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    us.forget_lists();
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    // Ours could not be checked to the end yet, which would be taken; the other one is not ours.
    let at = Time::from_unix(START.secs());
    let (ours, theirs) = (
        Signer::new(&us.signer, &zip, at),
        Signer::new(&them.signer, &zip, at),
    );
    let mut cms = Cms::attached(&zip, &[&ours, &theirs]);
    cms.certificates.push(exchange.authority.issuer.der.clone());
    let blob = us.signature(&cms.encode()).await;
    let ticket = generated.str("idempotencyTicket");
    let refused = us.save(Side::Outbox, &document, &blob, &ticket).await;
    assert!(
        said(&refused).starts_with("SIG_CONSTRAINTS_FAILURE"),
        "{}",
        refused.text
    );
    assert_eq!(us.status(&document).await, "DRAFT");
}

#[tokio::test]
async fn a_person_signs_with_no_companys_certificate() {
    let exchange = Exchange::new().await;
    let us = exchange.company(0).await;
    let mut person = exchange.company(1).await;
    let iin = person.bin.clone();
    let sent = async |us: &Company| {
        let document = us.draft().await;
        let mut route = us.to(&document, &[&iin]);
        route["route"]["external"]["nodes"][0]["isIndividual"] = json!(true);
        us.api.post(crate::exchange::QUICK, route).await.ok();
        us.quick_sign(Side::Outbox, &document).await.ok();
        document
    };
    let document = sent(&us).await;
    // The IIN is the person's, and so is the certificate's; but it is a company's.
    person.signer = exchange.signer(BINS[2], &iin);
    let refused = person.quick_sign(Side::Inbox, &document).await;
    assert!(
        said(&refused).starts_with("SIG_CONSTRAINTS_FAILURE"),
        "{}",
        refused.text
    );
    person.signer = exchange.individual(&iin);
    person.quick_sign(Side::Inbox, &document).await.ok();
    assert_eq!(us.status(&document).await, "FINISHED");
}

#[tokio::test]
async fn the_same_signature_at_once_is_one_signature() {
    let exchange = Exchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    for _ in 0..3 {
        let document = us.draft().await;
        us.quick_route(&document, &[&them.bin]).await.ok();
        let generated = us.generate(Side::Outbox, &document).await.ok();
        let zip = us.download(&generated).await;
        let blob = us.signature(&us.sign(&zip, true)).await;
        let ticket = generated.str("idempotencyTicket");
        let save = || us.save(Side::Outbox, &document, &blob, &ticket);
        let (one, two, three, four) = tokio::join!(save(), save(), save(), save());
        for answer in [one, two, three, four] {
            answer.ok();
        }
        let path = format!("{V3}/sync/single/document/signatures/{document}");
        let signatures = us.api.get(&path).await.ok();
        assert_eq!(signatures.as_array().map(Vec::len), Some(1));
    }
}

/// A token that belongs to one employee is his alone, and gives nobody rights.
#[tokio::test]
async fn employees_have_the_rights_that_they_were_given() {
    let exchange = Exchange::new().await;
    let us = exchange.company(0).await;
    let space = us.api.at(&format!("/api/v1/{}", us.name));
    let clerk = json!({ "login": "clerk", "permissions": ["DOCUMENT_CREATE"] });
    let clerk = space.post("/users", clerk).await.ok().str("id");
    let his = exchange.hub.user_token(&us.name, &clerk).await;
    let api = his.at("");
    let blob = us.content("a.pdf", PDF).await;

    let mut body = us.metadata(&[&blob]);
    let refused = api.post(CREATE, body.clone()).await;
    assert_eq!(code(&refused), "PERMISSION_ERROR", "in another's name");
    body["documentMetadata"]["documentAuthorEmployeeId"] = json!(clerk);
    api.post(CREATE, body.clone()).await.ok();
    body["documentMetadata"]["documentAuthorEmployeeId"] = Value::Null;
    let made = api.post(CREATE, body).await.ok();
    assert_eq!(made["documentAuthorEmployeeId"], clerk);
    let list = format!("{V3}/sync/external/documents-query/outbox");
    assert_eq!(code(&api.post(&list, json!({})).await), "PERMISSION_ERROR");

    let mine = format!("/users/{clerk}");
    for (path, value) in [
        ("/permissions", json!(["DOCUMENT_VIEW"])),
        ("/Permissions/0", json!("DOCUMENT_VIEW")),
        ("/isAdmin", json!(true)),
        ("/iin", json!(us.iin)),
    ] {
        let operation = json!([{ "op": "replace", "path": path, "value": value }]);
        assert_eq!(his.patch(&mine, operation).await.status, 403, "{path}");
    }
    for user in [
        json!({ "login": "x", "isAdmin": true }),
        json!({ "login": "x", "permissions": ["DOCUMENT_VIEW"] }),
        json!({ "login": "x", "iin": us.iin }),
    ] {
        assert_eq!(his.post("/users", user.clone()).await.status, 403, "{user}");
        let batch = json!({ "items": [user] });
        assert_eq!(his.post("/users/create", batch).await.status, 403);
    }
    his.post("/users", json!({ "login": "y", "isAdmin": false }))
        .await
        .ok();
    let name = json!([{ "op": "replace", "path": "/firstName", "value": "Болат" }]);
    his.patch(&mine, name).await.ok();
    assert_eq!(
        code(&api.post(&list, json!({})).await),
        "PERMISSION_ERROR",
        "nothing has changed"
    );

    // Nobody is put on a route who may not act there.
    let document = us.draft().await;
    let mut route = us.to(&document, &[BINS[1]]);
    route["route"]["external"]["nodes"][0]["counterpartyEmails"] = json!(["a@example.kz"]);
    route["route"]["internal"] =
        json!({ "nodes": [{ "order": 0, "employeeId": clerk, "requiredAction": "APPROVE" }] });
    let refused = us.api.post(ROUTE, route).await;
    assert_eq!(code(&refused), "PERMISSION_ERROR");
    assert!(
        said(&refused).contains("DOCUMENT_APPROVE"),
        "{}",
        refused.text
    );
}

/// A signature by `who` with a time-stamp by `authority`, whose revocation cannot be asked.
fn stamped(who: &Identity, issuer: &Identity, authority: &Identity, content: &[u8]) -> Vec<u8> {
    let at = Time::from_unix(START.secs());
    let mut signer = Signer::new(who, content, at);
    let stamp = TimeStamp::new(authority, &signer.signature(), at.plus(-30));
    signer.unsigned.push(stamp.attribute());
    let mut cms = Cms::attached(content, &[&signer]);
    cms.certificates.push(issuer.der.clone());
    cms.encode()
}

/// Whatever must wait, what is wrong for good is refused at once.
#[tokio::test]
async fn a_time_stamp_that_waits_hides_no_stranger() {
    let exchange = Exchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let evil = Authority::new(|word| Key::p256(&format!("evil {word}")));
    let forged = Exchange::signer_draft(&us.bin, &us.iin).issued_by(&evil.issuer);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    let ticket = generated.str("idempotencyTicket");
    let trusted = &exchange.authority;
    for (who, issuer, word) in [
        (&forged, &evil.issuer, "NO_CERTIFICATE_CHAIN_FOUND"),
        (&them.signer, &trusted.issuer, "SIG_CONSTRAINTS_FAILURE"),
    ] {
        let signature = stamped(who, issuer, &trusted.time_stamper, &zip);
        let blob = us.signature(&signature).await;
        let refused = us.save(Side::Outbox, &document, &blob, &ticket).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(said(&refused).starts_with(word), "{}", refused.text);
        assert_eq!(us.status(&document).await, "DRAFT");
    }
}

/// A place that a certificate names for its issuer's.
fn issuer_at(url: &str) -> Vec<u8> {
    let place = [
        der::oid("1.3.6.1.5.5.7.48.2"),
        der::element(0x86, url.as_bytes()),
    ];
    let access = der::sequence(&[&der::sequence(&[&place[0], &place[1]])]);
    extension("1.3.6.1.5.5.7.1.1", false, &access)
}

/// Nobody vouches for a signer whose issuer is out of reach: the signature is neither taken nor refused for good.
#[tokio::test]
async fn an_issuer_that_is_away_is_asked_again() {
    let issuers = Receiver::start(|_| Reply::Status(503)).await;
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    us.forget_issuers();
    let draft = Draft {
        extensions: vec![issuer_at(&format!("{}/ca.cer", issuers.url))],
        ..Exchange::signer_draft(&us.bin, &us.iin)
    };
    us.signer = draft.issued_by(&exchange.authority.issuer);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    let ticket = generated.str("idempotencyTicket");
    let blob = us.signature(&us.sign(&zip, true)).await;
    let away = us.save(Side::Outbox, &document, &blob, &ticket).await;
    assert_eq!(
        (away.status, code(&away).as_str()),
        (503, "INTERNAL_SERVER_ERROR")
    );
    assert!(said(&away).contains("TRY_LATER"), "{}", away.text);
    assert_eq!(away.header("retry-after"), Some("60"));
    assert_eq!(us.status(&document).await, "DRAFT");

    // A stranger's that names the same place is nobody's for as long as it is away, and a stranger's after.
    let evil = Authority::new(|word| Key::p256(&format!("evil {word}")));
    let draft = Draft {
        extensions: vec![issuer_at(&format!("{}/ca.cer", issuers.url))],
        ..Exchange::signer_draft(&us.bin, &us.iin)
    };
    let forged = us
        .signature(&us.sign_as(&draft.issued_by(&evil.issuer), &zip, true))
        .await;
    let answer = us.save(Side::Outbox, &document, &forged, &ticket).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    // What is wrong besides is said at once.
    let other = Draft {
        extensions: vec![issuer_at(&format!("{}/ca.cer", issuers.url))],
        ..Exchange::signer_draft(BINS[2], &us.iin)
    };
    let other = other.issued_by(&exchange.authority.issuer);
    let wrong = us.signature(&us.sign_as(&other, &zip, true)).await;
    let answer = us.save(Side::Outbox, &document, &wrong, &ticket).await;
    assert!(
        said(&answer).starts_with("SIG_CONSTRAINTS_FAILURE"),
        "{}",
        answer.text
    );

    let issuer = exchange.authority.issuer.der.clone();
    issuers.answer(move |_| Reply::Body(issuer.clone()));
    let answer = us.save(Side::Outbox, &document, &forged, &ticket).await;
    assert!(
        said(&answer).starts_with("NO_CERTIFICATE_CHAIN_FOUND"),
        "{}",
        answer.text
    );
    us.save(Side::Outbox, &document, &blob, &ticket).await.ok();
    assert_eq!(us.status(&document).await, "SENT_BY_SENDER");
}

/// Another certificate at an issuer's address, for a moment, is asked for anew.
#[tokio::test]
async fn a_wrong_issuer_at_an_address_is_not_kept() {
    let issuers = Receiver::start(|_| Reply::Status(503)).await;
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    us.forget_issuers();
    let draft = Draft {
        extensions: vec![issuer_at(&format!("{}/ca.cer", issuers.url))],
        ..Exchange::signer_draft(&us.bin, &us.iin)
    };
    us.signer = draft.issued_by(&exchange.authority.issuer);
    let evil = Authority::new(|word| Key::p256(&format!("evil {word}")));
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    serve(&issuers, vec![("/ca.cer", evil.issuer.der)]);
    let refused = us.quick_sign(Side::Outbox, &document).await;
    assert!(!said(&refused).is_empty(), "{}", refused.text);
    let issuer = exchange.authority.issuer.der.clone();
    serve(&issuers, vec![("/ca.cer", issuer)]);
    us.quick_sign(Side::Outbox, &document).await.ok();
    // That one is kept: it is asked for no more.
    issuers.take(2).await;
    serve(&issuers, Vec::new());
    us.sent(&[&them.bin]).await;
    assert_eq!(issuers.waiting(), 0);
}

/// No signature has more signers than anybody needs, and none makes a longer report than is kept.
#[tokio::test]
async fn a_crowd_of_signers_is_refused() {
    let exchange = Exchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    let signer = Signer::new(&us.signer, &zip, Time::from_unix(START.secs()));
    let cms = Cms::attached(&zip, &[&signer; 17]);
    let blob = us.signature(&cms.encode()).await;
    let ticket = generated.str("idempotencyTicket");
    let refused = us.save(Side::Outbox, &document, &blob, &ticket).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(said(&refused).contains("more than 16"), "{}", refused.text);
}

/// An address that somebody has appended takes no time from what the signer needs.
#[tokio::test]
async fn a_slow_address_in_a_time_stamp_delays_the_signer_little() {
    let slow = Receiver::start(|_| Reply::Silence).await;
    let lists = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    let issuer = name_lists(&exchange, &mut us, &lists.url);
    let list = |by: &Identity| CrlDraft::new(Time::from_unix(START.secs() - 60)).signed_by(by);
    let (root, own) = (list(&exchange.authority.root), list(&issuer));
    lists.answer(move |call| {
        Reply::Body(if call.path == "/root.crl" {
            root.clone()
        } else {
            own.clone()
        })
    });
    let evil = Authority::new(|word| Key::p256(&format!("evil {word}")));
    let draft = Draft {
        extensions: vec![issuer_at(&format!("{}/evil.cer", slow.url))],
        ..Draft::time_stamper("Evil", Key::p256("evil time"))
    };
    let stamper = draft.issued_by(&evil.issuer);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    let blob = us
        .signature(&stamped(&us.signer, &issuer, &stamper, &zip))
        .await;
    let ticket = generated.str("idempotencyTicket");
    let saving = spawn({
        let (us, document) = (us.clone(), document.clone());
        async move { us.save(Side::Outbox, &document, &blob, &ticket).await }
    });
    // It is asked last, when all that the signer needs is there.
    slow.next().await;
    lists.take(2).await;
    exchange.hub.advance(Duration::from_secs(2));
    saving.await.expect("no panic").ok();
    let path = format!("{V3}/sync/single/document/signatures/{document}");
    let report = us.api.get(&path).await.ok()[0]["report"].clone();
    assert_eq!(report["verdict"], "TOTAL_PASSED", "{report}");

    // The archive has what the verdict rests on, and the signature in it is proven by itself.
    let path = format!("{V3}/sync/single/document/GetDocumentArchiveByDocumentId/{document}");
    let archive = us.api.get(&path).await.ok();
    assert_eq!(us.api.get(&path).await.ok().bytes, archive.bytes);
    let files = unzip(&archive.bytes);
    let found = files
        .iter()
        .filter(|(name, _)| name.starts_with("evidence/crl-"));
    assert_eq!(found.count(), 2);
    let signature = files
        .iter()
        .find(|(name, _)| name.starts_with("signatures/"));
    let policy = prichal_sign::Policy::kz();
    let at = Time::from_unix(START.secs());
    let request = prichal_sign::Request::new(&signature.expect("a signature").1, &policy, at);
    let material = prichal_sign::Material {
        anchors: vec![exchange.authority.root.certificate()],
        ..prichal_sign::Material::default()
    };
    let report = prichal_sign::validate(&request, &material);
    assert_eq!(report.verdict, prichal_sign::Verdict::TotalPassed);
    let received = files
        .iter()
        .find(|(name, _)| name == "evidence/signature-1-as-received.cms");
    assert!(received.is_some());
}

/// A place that a certificate names for its revocation list, several times.
fn lists_at(urls: &[String]) -> Vec<u8> {
    let urls: Vec<Vec<u8>> = urls
        .iter()
        .map(|url| der::element(0x86, url.as_bytes()))
        .collect();
    let name = der::element(0xa0, &der::element(0xa0, &urls.concat()));
    extension(
        "2.5.29.31",
        false,
        &der::sequence(&[&der::sequence(&[&name])]),
    )
}

/// Serves each of these by its path.
fn serve(at: &Receiver, files: Vec<(&'static str, Vec<u8>)>) {
    at.answer(move |call| {
        let found = files.iter().find(|(path, _)| *path == call.path);
        found.map_or(Reply::Status(404), |(_, body)| Reply::Body(body.clone()))
    });
}

/// The list of an issuer. It may revoke a certificate of yesterday.
fn list(by: &Identity, revoked: Option<&Identity>) -> Vec<u8> {
    let at = Time::from_unix(START.secs() - 60);
    let mut list = CrlDraft::new(at);
    let serial = |one: &Identity| u64::from_str_radix(&one.certificate().serial_hex(), 16);
    if let Some(revoked) = revoked {
        let serial = serial(revoked).expect("short");
        list.entries = vec![(serial, at.plus(-86_400), Some(1))];
    }
    list.signed_by(by)
}

/// What is found for something appended makes the signer's own needs known, and these are asked then.
#[tokio::test]
async fn an_issuer_out_of_something_appended_hides_no_revocation() {
    let place = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    let issuer = name_lists(&exchange, &mut us, &place.url);
    let files = vec![
        ("/ca.cer", issuer.der.clone()),
        ("/root.crl", list(&exchange.authority.root, None)),
        ("/issuer.crl", list(&issuer, Some(&us.signer))),
    ];
    serve(&place, files);
    let evil = Authority::new(|word| Key::p256(&format!("evil {word}")));
    let draft = Draft {
        extensions: vec![issuer_at(&format!("{}/ca.cer", place.url))],
        ..Draft::time_stamper("Evil", Key::p256("evil time"))
    };
    let stamper = draft.issued_by(&evil.issuer);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    // No issuer is in it.
    let signature = stamped(&us.signer, &us.signer, &stamper, &zip);
    let blob = us.signature(&signature).await;
    let ticket = generated.str("idempotencyTicket");
    let refused = us.save(Side::Outbox, &document, &blob, &ticket).await;
    assert!(said(&refused).starts_with("REVOKED"), "{}", refused.text);
    assert_eq!(us.status(&document).await, "DRAFT");
}

/// A list in a signature is the signer's choice: where its address has a newer one, that counts.
#[tokio::test]
async fn an_older_list_in_a_signature_hides_no_newer_one() {
    let place = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    let issuer = name_lists(&exchange, &mut us, &place.url);
    let old = CrlDraft::new(Time::from_unix(START.secs() - 7200));
    us.bring_lists(vec![
        list(&exchange.authority.root, None),
        old.signed_by(&issuer),
    ]);
    // Where there is none, it counts itself.
    us.sent(&[&them.bin]).await;
    assert_eq!(place.next().await.path, "/issuer.crl");
    serve(
        &place,
        vec![("/issuer.crl", list(&issuer, Some(&us.signer)))],
    );
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let refused = us.quick_sign(Side::Outbox, &document).await;
    assert!(said(&refused).starts_with("REVOKED"), "{}", refused.text);
    assert_eq!(us.status(&document).await, "DRAFT");
}

/// Issuers one above the other, each behind an address in the one below: revocation is asked in the end.
#[tokio::test]
async fn a_long_path_hides_no_revocation() {
    let place = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    let mut above = exchange.authority.root.clone();
    let mut files = vec![("/0.crl", list(&above, None))];
    let certificates = ["/0.cer", "/1.cer", "/2.cer", "/3.cer", "/4.cer"];
    let lists = ["/0.crl", "/1.crl", "/2.crl", "/3.crl", "/4.crl"];
    for depth in 1..5_usize {
        let key = Key::p256(&format!("level {depth}"));
        let mut draft = Draft::authority(&format!("Level {depth}"), key);
        draft.crl_url = Some(format!("{}{}", place.url, lists[depth - 1]));
        if depth > 1 {
            let url = format!("{}{}", place.url, certificates[depth - 1]);
            draft.extensions.push(issuer_at(&url));
        }
        above = draft.issued_by(&above);
        files.push((certificates[depth], above.der.clone()));
        if depth < 4 {
            files.push((lists[depth], list(&above, None)));
        }
    }
    let mut draft = Exchange::signer_draft(&us.bin, &us.iin);
    draft.crl_url = Some(format!("{}/4.crl", place.url));
    draft
        .extensions
        .push(issuer_at(&format!("{}/4.cer", place.url)));
    us.signer = draft.issued_by(&above);
    files.push(("/4.crl", list(&above, Some(&us.signer))));
    serve(&place, files);
    us.forget_issuers();
    us.forget_lists();
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let refused = us.quick_sign(Side::Outbox, &document).await;
    assert!(said(&refused).starts_with("REVOKED"), "{}", refused.text);
    assert_eq!(us.status(&document).await, "DRAFT");
}

/// More addresses than there is time for: those that were never asked are no reason to take a signature.
#[tokio::test]
async fn an_address_that_was_not_asked_is_none_that_was_asked_in_vain() {
    let slow = Receiver::start(|_| Reply::Silence).await;
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    us.forget_lists();
    let many = |name: &str| {
        let urls: Vec<String> = (0..6).map(|n| format!("{}/{name}/{n}", slow.url)).collect();
        lists_at(&urls)
    };
    let mut draft = Draft::authority("Issuer", exchange.authority.issuer.key.clone());
    draft.extensions.push(many("root"));
    let issuer = draft.issued_by(&exchange.authority.root);
    let mut draft = Exchange::signer_draft(&us.bin, &us.iin);
    draft.extensions.push(many("issuer"));
    us.signer = draft.issued_by(&issuer);
    us.set_issuer(&issuer);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let signing = spawn({
        let (us, document) = (us.clone(), document.clone());
        async move { us.quick_sign(Side::Outbox, &document).await }
    });
    for _ in 0..2 {
        slow.take(4).await;
        exchange.hub.advance(Duration::from_secs(5));
    }
    let away = signing.await.expect("no panic");
    assert_eq!(away.status, 503, "{}", away.text);
    assert_eq!(slow.waiting(), 0);
    assert_eq!(us.status(&document).await, "DRAFT");
}

/// A workspace that takes nothing new that waits goes on checking what it has taken.
#[tokio::test]
async fn a_stricter_policy_ends_no_recheck() {
    let lists = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    let issuer = name_lists(&exchange, &mut us, &lists.url);
    let document = us.sent(&[&them.bin]).await;
    lists.take(2).await;
    let path = format!("{V3}/sync/single/document/signatures/{document}");
    let at = us.api.get(&path).await.ok()[0]["report"]["at"].clone();
    exchange
        .trust(&us.name, json!({ "indeterminate": "refuse" }))
        .await;
    exchange.hub.advance(Duration::from_secs(61));
    lists.take(2).await;
    let sub_indication = async || {
        let found = us.api.get(&path).await.ok();
        found[0]["report"]["subIndication"].clone()
    };
    let files = vec![
        ("/root.crl", list(&exchange.authority.root, None)),
        ("/issuer.crl", list(&issuer, Some(&us.signer))),
    ];
    serve(&lists, files);
    eventually("it has been checked again", || async {
        let found = us.api.get(&path).await.ok();
        (found[0]["report"]["at"] != at).then_some(())
    })
    .await;
    exchange.hub.advance(Duration::from_mins(6));
    eventually("it is known to be revoked", || async {
        (sub_indication().await == "REVOKED").then_some(())
    })
    .await;
}

/// The employee's number is expected in every check, not what the certificate says of itself.
#[tokio::test]
async fn a_recheck_expects_the_number_of_the_employee() {
    let lists = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    let issuer = name_lists(&exchange, &mut us, &lists.url);
    let mut draft = Exchange::signer_draft(&us.bin, IINS[1]);
    draft.crl_url = Some(format!("{}/issuer.crl", lists.url));
    us.signer = draft.issued_by(&issuer);
    let lax = json!({ "checkIin": false });
    exchange.trust(&us.name, lax).await;
    let document = us.sent(&[&them.bin]).await;
    exchange.trust(&us.name, json!({})).await;
    exchange.hub.advance(Duration::from_secs(61));
    let path = format!("{V3}/sync/single/document/signatures/{document}");
    eventually("it is checked again", || async {
        let found = us.api.get(&path).await.ok();
        (found[0]["report"]["subIndication"] == "SIG_CONSTRAINTS_FAILURE").then_some(())
    })
    .await;
}

/// A switch that an administrator has set is a duty under any policy; what was not checked is said.
#[tokio::test]
async fn a_trial_policy_says_what_it_does_not_check() {
    let exchange = Exchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    us.forget_lists();
    us.signer = exchange.signer(BINS[2], &us.iin);
    exchange
        .trust(&us.name, json!({ "policy": "test", "checkBin": true }))
        .await;
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let refused = us.quick_sign(Side::Outbox, &document).await;
    assert!(
        said(&refused).starts_with("SIG_CONSTRAINTS_FAILURE"),
        "{}",
        refused.text
    );
    exchange.trust(&us.name, json!({ "policy": "test" })).await;
    us.quick_sign(Side::Outbox, &document).await.ok();
    let page = exchange
        .hub
        .anybody()
        .get(&format!("/check/{document}"))
        .await
        .ok();
    for words in [
        "Подпись действительна",
        "Не проверено: принадлежит",
        "Не проверено: не отозван",
    ] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    let path = format!("{V3}/sync/single/document/signatures/{document}");
    let report = us.api.get(&path).await.ok()[0]["report"].clone();
    assert_eq!(
        report["signers"][0]["unchecked"],
        json!(["identity", "revocation"])
    );
}
