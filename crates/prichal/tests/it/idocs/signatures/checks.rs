//! Checks of signatures at signing, and their repetition later.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use prichal_sign::{
    Time,
    testing::{Authority, Cms, Key, Signer},
};
use serde_json::json;

use super::{name_lists, stamped};
use crate::{
    harness::{
        document_exchange::{
            BINS, CREATE, Company, DocumentExchange, IINS, Side, V3, code, reason, text,
        },
        hub::{START, eventually, spawn},
        receiver::{Receiver, Reply},
    },
    idocs::signatures::{list, serve},
};

#[tokio::test]
async fn a_signature_is_really_checked() {
    let exchange = DocumentExchange::new().await;
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
        assert!(
            reason(&refused).starts_with(word),
            "{word}: {}",
            refused.text
        );
    }
    assert_eq!(us.status(&document).await, "DRAFT");

    // The workspace switches the check of the BIN off.
    exchange.trust(&us.name, json!({ "checkBin": false })).await;
    let blob = us.signature(&us.sign_as(&foreign, &zip, true)).await;
    us.save(Side::Outbox, &document, &blob, &ticket).await.ok();
    assert_eq!(us.status(&document).await, "SENT_BY_SENDER");
}

#[tokio::test]
async fn unfinished_checks_are_repeated() {
    let exchange = DocumentExchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    us.forget_lists();
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    exchange
        .trust(&us.name, json!({ "indeterminate": "refuse" }))
        .await;
    let refused = us.quick_sign(Side::Outbox, &document).await;
    assert!(
        reason(&refused).starts_with("TRY_LATER"),
        "{}",
        refused.text
    );
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

/// Two lists on a server that hangs cost the time of one.
#[tokio::test]
async fn a_signer_waits_five_seconds_at_most() {
    let lists = Receiver::start(|_| Reply::Silence).await;
    let exchange = DocumentExchange::new().await;
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

/// A signature whose file is lost does not hold up the checks of others, and is checked itself when the file is back.
#[tokio::test]
async fn a_signature_that_cannot_be_read_holds_up_no_other() {
    let exchange = DocumentExchange::new().await;
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
    let file = blob_with(&exchange.hub.installation.data_dir(), &signatures[0]);
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

#[tokio::test]
async fn every_signer_of_a_signature_counts() {
    let exchange = DocumentExchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    us.forget_lists();
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    // Our signature alone would be accepted unfinished. The other signer is not of our company.
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
        reason(&refused).starts_with("SIG_CONSTRAINTS_FAILURE"),
        "{}",
        refused.text
    );
    assert_eq!(us.status(&document).await, "DRAFT");
}

#[tokio::test]
async fn a_person_signs_with_no_companys_certificate() {
    let exchange = DocumentExchange::new().await;
    let us = exchange.company(0).await;
    let mut person = exchange.company(1).await;
    let iin = person.bin.clone();
    let sent = async |us: &Company| {
        let document = us.draft().await;
        let mut route = us.to(&document, &[&iin]);
        route["route"]["external"]["nodes"][0]["isIndividual"] = json!(true);
        us.api
            .post(crate::harness::document_exchange::QUICK, route)
            .await
            .ok();
        us.quick_sign(Side::Outbox, &document).await.ok();
        document
    };
    let document = sent(&us).await;
    // The IIN is right, but the certificate is a company's.
    person.signer = exchange.signer(BINS[2], &iin);
    let refused = person.quick_sign(Side::Inbox, &document).await;
    assert!(
        reason(&refused).starts_with("SIG_CONSTRAINTS_FAILURE"),
        "{}",
        refused.text
    );
    person.signer = exchange.individual(&iin);
    person.quick_sign(Side::Inbox, &document).await.ok();
    assert_eq!(us.status(&document).await, "FINISHED");
}

/// A signature with a final fault is refused at once, although another of its checks has to wait.
#[tokio::test]
async fn a_time_stamp_that_waits_hides_no_stranger() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let evil = Authority::new(|word| Key::p256(&format!("evil {word}")));
    let forged = DocumentExchange::signer_draft(&us.bin, &us.iin).issued_by(&evil.issuer);
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
        assert!(reason(&refused).starts_with(word), "{}", refused.text);
        assert_eq!(us.status(&document).await, "DRAFT");
    }
}

/// The number of signers is bounded, and so is the report.
#[tokio::test]
async fn a_crowd_of_signers_is_refused() {
    let exchange = DocumentExchange::new().await;
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
    assert!(
        reason(&refused).contains("more than 16"),
        "{}",
        refused.text
    );
}

/// A policy that refuses unfinished signatures does not end the checks of those accepted before it.
#[tokio::test]
async fn a_stricter_policy_ends_no_recheck() {
    let lists = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = DocumentExchange::new().await;
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

/// Every check expects the number of the employee, not the one in the certificate.
#[tokio::test]
async fn a_recheck_expects_the_number_of_the_employee() {
    let lists = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = DocumentExchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    let issuer = name_lists(&exchange, &mut us, &lists.url);
    let mut draft = DocumentExchange::signer_draft(&us.bin, IINS[1]);
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

/// A switch that an administrator has set applies under any policy. The report names the checks that were left out.
#[tokio::test]
async fn a_trial_policy_names_the_checks_that_it_leaves_out() {
    let exchange = DocumentExchange::new().await;
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
        reason(&refused).starts_with("SIG_CONSTRAINTS_FAILURE"),
        "{}",
        refused.text
    );
    exchange.trust(&us.name, json!({ "policy": "test" })).await;
    us.quick_sign(Side::Outbox, &document).await.ok();
    let page = exchange
        .hub
        .anonymous()
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
