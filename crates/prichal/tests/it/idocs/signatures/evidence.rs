//! Evidence that the checks of signatures fetch: revocation lists, and certificates of issuers.

use std::time::Duration;

use prichal::domain::document::evidence::MAX_KEPT;
use prichal_core::id::WorkspaceId;
use prichal_sign::{
    Time,
    testing::{Authority, CrlDraft, Draft, Identity, Key, der, extension},
};
use prichal_store::{
    Conn, Tx,
    evidence::{self, Evidence},
};
use uuid::Uuid;

use super::{list, serve};
use crate::{
    harness::{
        document_exchange::{BINS, DocumentExchange, Side, V3, code, reason, unzip},
        hub::{START, eventually, spawn},
        receiver::{Receiver, Reply},
    },
    idocs::signatures::{name_lists, stamped},
};

/// Missing revocation lists are fetched once from the addresses in the certificates.
#[tokio::test]
async fn revocation_lists_are_fetched_and_kept() {
    let lists = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = DocumentExchange::new().await;
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

    // The list is out of reach: the signature is accepted and checked again.
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

    // Revoked after the signature arrived, which stays valid.
    serve(true, START.secs() + 120);
    exchange.hub.advance(Duration::from_mins(3));
    eventually("it is checked again", || async {
        let report = us.api.get(&path).await.ok()[0]["report"].clone();
        (report["verdict"] == "TOTAL_PASSED").then_some(())
    })
    .await;
    lists.take(2).await;

    // Fetched lists are stored: a further signature with that certificate is refused at once.
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let refused = us.quick_sign(Side::Outbox, &document).await;
    assert!(reason(&refused).starts_with("REVOKED"), "{}", refused.text);
    assert_eq!(lists.waiting(), 0);
}

/// The store of fetched evidence is bounded: the oldest is removed first.
#[tokio::test]
async fn the_oldest_lists_make_room() {
    let lists = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = DocumentExchange::new().await;
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
        for n in 1..=u64::try_from(MAX_KEPT).expect("positive") {
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
        ((MAX_KEPT - 2).to_string(), true),
        ((MAX_KEPT - 1).to_string(), false),
        (MAX_KEPT.to_string(), false),
    ] {
        let wanted = url.clone();
        let find = move |conn: &mut Conn| evidence::find(conn, &wanted, START);
        let found = db.read(find).await.expect("read");
        assert_eq!(found.is_some(), stays, "{url}");
    }
}

/// The extension that names the address of the issuer's certificate.
fn issuer_at(url: &str) -> Vec<u8> {
    let place = [
        der::oid("1.3.6.1.5.5.7.48.2"),
        der::element(0x86, url.as_bytes()),
    ];
    let access = der::sequence(&[&der::sequence(&[&place[0], &place[1]])]);
    extension("1.3.6.1.5.5.7.1.1", false, &access)
}

/// A signature whose issuer is out of reach is neither accepted nor refused for good.
#[tokio::test]
async fn an_issuer_that_is_away_is_asked_again() {
    let issuers = Receiver::start(|_| Reply::Status(503)).await;
    let exchange = DocumentExchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    us.forget_issuers();
    let draft = Draft {
        extensions: vec![issuer_at(&format!("{}/ca.cer", issuers.url))],
        ..DocumentExchange::signer_draft(&us.bin, &us.iin)
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
    assert!(reason(&away).contains("TRY_LATER"), "{}", away.text);
    assert_eq!(away.header("retry-after"), Some("60"));
    assert_eq!(us.status(&document).await, "DRAFT");

    // A stranger's certificate that names the same address waits as well, and is refused when the issuer is there.
    let evil = Authority::new(|word| Key::p256(&format!("evil {word}")));
    let draft = Draft {
        extensions: vec![issuer_at(&format!("{}/ca.cer", issuers.url))],
        ..DocumentExchange::signer_draft(&us.bin, &us.iin)
    };
    let forged = us
        .signature(&us.sign_as(&draft.issued_by(&evil.issuer), &zip, true))
        .await;
    let answer = us.save(Side::Outbox, &document, &forged, &ticket).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    // Other faults are reported at once.
    let other = Draft {
        extensions: vec![issuer_at(&format!("{}/ca.cer", issuers.url))],
        ..DocumentExchange::signer_draft(BINS[2], &us.iin)
    };
    let other = other.issued_by(&exchange.authority.issuer);
    let wrong = us.signature(&us.sign_as(&other, &zip, true)).await;
    let answer = us.save(Side::Outbox, &document, &wrong, &ticket).await;
    assert!(
        reason(&answer).starts_with("SIG_CONSTRAINTS_FAILURE"),
        "{}",
        answer.text
    );

    let issuer = exchange.authority.issuer.der.clone();
    issuers.answer(move |_| Reply::Body(issuer.clone()));
    let answer = us.save(Side::Outbox, &document, &forged, &ticket).await;
    assert!(
        reason(&answer).starts_with("NO_CERTIFICATE_CHAIN_FOUND"),
        "{}",
        answer.text
    );
    us.save(Side::Outbox, &document, &blob, &ticket).await.ok();
    assert_eq!(us.status(&document).await, "SENT_BY_SENDER");
}

/// A wrong certificate at an issuer's address is not stored: the address is asked again.
#[tokio::test]
async fn a_wrong_issuer_at_an_address_is_not_kept() {
    let issuers = Receiver::start(|_| Reply::Status(503)).await;
    let exchange = DocumentExchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    us.forget_issuers();
    let draft = Draft {
        extensions: vec![issuer_at(&format!("{}/ca.cer", issuers.url))],
        ..DocumentExchange::signer_draft(&us.bin, &us.iin)
    };
    us.signer = draft.issued_by(&exchange.authority.issuer);
    let evil = Authority::new(|word| Key::p256(&format!("evil {word}")));
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    serve(&issuers, vec![("/ca.cer", evil.issuer.der)]);
    let refused = us.quick_sign(Side::Outbox, &document).await;
    assert!(!reason(&refused).is_empty(), "{}", refused.text);
    let issuer = exchange.authority.issuer.der.clone();
    serve(&issuers, vec![("/ca.cer", issuer)]);
    us.quick_sign(Side::Outbox, &document).await.ok();
    // The right certificate is stored and not asked for again.
    issuers.take(2).await;
    serve(&issuers, Vec::new());
    us.sent(&[&them.bin]).await;
    assert_eq!(issuers.waiting(), 0);
}

/// The address in an appended time-stamp takes no time from the signer's own evidence.
#[tokio::test]
async fn a_slow_address_in_a_time_stamp_delays_the_signer_little() {
    let slow = Receiver::start(|_| Reply::Silence).await;
    let lists = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = DocumentExchange::new().await;
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
    // It is asked last, after the signer's own evidence.
    slow.next().await;
    lists.take(2).await;
    exchange.hub.advance(Duration::from_secs(2));
    saving.await.expect("no panic").ok();
    let path = format!("{V3}/sync/single/document/signatures/{document}");
    let report = us.api.get(&path).await.ok()[0]["report"].clone();
    assert_eq!(report["verdict"], "TOTAL_PASSED", "{report}");

    // The archive contains the evidence, and its signature validates without the network.
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

/// The extension that names several addresses of a revocation list.
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

/// An issuer found for an appended certificate leads to the addresses of the signer's own lists, which are asked
/// next.
#[tokio::test]
async fn an_issuer_out_of_something_appended_hides_no_revocation() {
    let place = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = DocumentExchange::new().await;
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
    assert!(reason(&refused).starts_with("REVOKED"), "{}", refused.text);
    assert_eq!(us.status(&document).await, "DRAFT");
}

/// The signer chooses the list in a signature. A newer one at its address counts instead.
#[tokio::test]
async fn an_older_list_in_a_signature_hides_no_newer_one() {
    let place = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = DocumentExchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    let issuer = name_lists(&exchange, &mut us, &place.url);
    let old = CrlDraft::new(Time::from_unix(START.secs() - 7200));
    us.bring_lists(vec![
        list(&exchange.authority.root, None),
        old.signed_by(&issuer),
    ]);
    // Without a newer one, the signer's counts.
    us.sent(&[&them.bin]).await;
    assert_eq!(place.next().await.path, "/issuer.crl");
    serve(
        &place,
        vec![("/issuer.crl", list(&issuer, Some(&us.signer)))],
    );
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let refused = us.quick_sign(Side::Outbox, &document).await;
    assert!(reason(&refused).starts_with("REVOKED"), "{}", refused.text);
    assert_eq!(us.status(&document).await, "DRAFT");
}

/// A chain of issuers, each at an address in the certificate below it. Revocation is still checked in the end.
#[tokio::test]
async fn a_long_path_hides_no_revocation() {
    let place = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = DocumentExchange::new().await;
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
    let mut draft = DocumentExchange::signer_draft(&us.bin, &us.iin);
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
    assert!(reason(&refused).starts_with("REVOKED"), "{}", refused.text);
    assert_eq!(us.status(&document).await, "DRAFT");
}

/// More addresses than there is time for. An address that was not asked is no reason to accept a signature.
#[tokio::test]
async fn an_unasked_address_does_not_count_as_unreachable() {
    let slow = Receiver::start(|_| Reply::Silence).await;
    let exchange = DocumentExchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    us.forget_lists();
    let many = |name: &str| {
        let urls: Vec<String> = (0..6).map(|n| format!("{}/{name}/{n}", slow.url)).collect();
        lists_at(&urls)
    };
    let mut draft = Draft::authority("Issuer", exchange.authority.issuer.key.clone());
    draft.extensions.push(many("root"));
    let issuer = draft.issued_by(&exchange.authority.root);
    let mut draft = DocumentExchange::signer_draft(&us.bin, &us.iin);
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
