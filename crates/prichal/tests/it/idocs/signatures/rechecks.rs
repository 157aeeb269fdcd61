//! Repeated checks of signatures, their summaries, and stored revocation lists.

use std::time::Duration;

use prichal_core::id::WorkspaceId;
use prichal_sign::{
    Material, Policy, Request, Time, Verdict,
    testing::{CrlDraft, Draft},
    validate,
};
use prichal_store::{
    Tx,
    evidence::{self, Evidence},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{
    document_exchange::{Company, DocumentExchange, Side, V3, reason, text, unzip},
    hub::{START, eventually},
    receiver::{Receiver, Reply},
};

async fn verdict(company: &Company, document: &str) -> String {
    let path = format!("{V3}/sync/single/document/signatures/{document}");
    let found = company.api.get(&path).await.ok();
    text(&found[0]["report"]["verdict"])
}

/// A signature that was given up under one policy is checked again under another.
#[tokio::test]
async fn another_policy_has_given_up_signatures_checked_again() {
    let exchange = DocumentExchange::new().await;
    let (mut us, mut them) = (exchange.company(0).await, exchange.company(1).await);
    us.forget_lists();
    them.forget_lists();
    let ours = us.sent(&[&them.bin]).await;
    let theirs = them.sent(&[&us.bin]).await;
    let hub = &exchange.hub;
    hub.installation
        .execute("UPDATE document_signature SET due_at = NULL, checks = 120");
    // The same policy repeats no check.
    hub.advance(Duration::from_hours(7));
    assert_eq!(verdict(&us, &ours).await, "INDETERMINATE");
    exchange.trust(&us.name, json!({ "policy": "test" })).await;
    hub.advance(Duration::from_secs(31));
    eventually("it is checked again", || async {
        (verdict(&us, &ours).await == "TOTAL_PASSED").then_some(())
    })
    .await;
    assert_eq!(verdict(&them, &theirs).await, "INDETERMINATE", "another's");

    // The same holds for anchors that were missing.
    exchange
        .trust(&them.name, json!({ "policy": "test", "trustAnchors": [] }))
        .await;
    hub.advance(Duration::from_secs(31));
    let reason = || async {
        let path = format!("{V3}/sync/single/document/signatures/{theirs}");
        let found = them.api.get(&path).await.ok();
        let sub = &found[0]["report"]["subIndication"];
        (sub == "NO_CERTIFICATE_CHAIN_FOUND").then_some(())
    };
    eventually("nobody vouches for the signer", reason).await;
    exchange
        .trust(&them.name, json!({ "policy": "test" }))
        .await;
    hub.advance(Duration::from_secs(31));
    eventually("the anchors are back", || async {
        (verdict(&them, &theirs).await == "TOTAL_PASSED").then_some(())
    })
    .await;
}

/// The public page reads the stored summary, or the report of a signature that is older than summaries.
#[tokio::test]
async fn the_check_page_reads_no_reports() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let document = us.sent(&[&them.bin]).await;
    let page = || async {
        let page = exchange
            .hub
            .anonymous()
            .get(&format!("/check/{document}"))
            .await;
        assert_eq!(page.status, 200);
        page.text
    };
    let first = page().await;
    assert!(
        first.contains("ИВАНОВ ИВАН")
            && first.contains("state good")
            && first.contains("CN=Issuer"),
        "{first}"
    );
    let installation = &exchange.hub.installation;
    installation.execute("ALTER TABLE document_signature ADD COLUMN aside TEXT");
    installation.execute("UPDATE document_signature SET aside = report, report = 'unread'");
    assert_eq!(page().await, first);
    installation.execute("UPDATE document_signature SET report = aside, brief = NULL");
    assert_eq!(page().await, first);
}

/// The signer brings a list of half an hour ago. The stored list is newer and is used without a request.
#[tokio::test]
async fn a_newer_list_that_is_kept_counts() {
    let lists = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = DocumentExchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    let authority = &exchange.authority;
    let url = format!("{}/issuer.crl", lists.url);
    us.signer = Draft {
        crl_url: Some(url.clone()),
        ..DocumentExchange::signer_draft(&us.bin, &us.iin)
    }
    .issued_by(&authority.issuer);
    let list = |ago: i64| CrlDraft::new(Time::from_unix(START.secs() - ago));
    us.bring_lists(vec![
        list(1800).signed_by(&authority.root),
        list(1800).signed_by(&authority.issuer),
    ]);
    let keep = async |list: CrlDraft| {
        let kept = Evidence {
            url: url.clone(),
            kind: "crl".to_owned(),
            body: list.signed_by(&authority.issuer),
            fetched_at: START,
            expires_at: START + Duration::from_hours(1),
        };
        let put = move |tx: &mut Tx<'_>| evidence::put(tx, &kept);
        let db = &exchange.hub.app.db;
        db.write(WorkspaceId(Uuid::nil()), put)
            .await
            .expect("written");
    };
    // Without a stored list, the signer's is new enough.
    us.sent(&[&them.bin]).await;
    keep(list(600)).await;
    us.sent(&[&them.bin]).await;
    let serial = u64::from_str_radix(&us.signer.certificate().serial_hex(), 16).expect("short");
    let mut revoking = list(300);
    revoking.entries = vec![(serial, Time::from_unix(START.secs() - 400), Some(1))];
    keep(revoking).await;
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let refused = us.quick_sign(Side::Outbox, &document).await;
    assert!(reason(&refused).starts_with("REVOKED"), "{}", refused.text);
    assert_eq!(lists.waiting(), 0);
}

/// The archive contains all evidence of a verdict: with the root alone, the signature validates to the same report.
#[tokio::test]
async fn an_archive_is_read_back() {
    let lists = Receiver::start(|_| Reply::Status(500)).await;
    let exchange = DocumentExchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    let authority = &exchange.authority;
    us.signer = Draft {
        crl_url: Some(format!("{}/issuer.crl", lists.url)),
        ..DocumentExchange::signer_draft(&us.bin, &us.iin)
    }
    .issued_by(&authority.issuer);
    let list = CrlDraft::new(Time::from_unix(START.secs() - 60));
    us.bring_lists(vec![list.signed_by(&authority.root)]);
    let fetched = list.signed_by(&authority.issuer);
    lists.answer(move |_| Reply::Body(fetched.clone()));

    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let signed = us.download(&generated).await;
    let blob = us.signature(&us.sign(&signed, false)).await;
    let ticket = generated.str("idempotencyTicket");
    us.save(Side::Outbox, &document, &blob, &ticket).await.ok();
    them.quick_sign(Side::Inbox, &document).await.ok();

    let path = format!("{V3}/sync/single/document/GetDocumentArchiveByDocumentId/{document}");
    let files = unzip(&us.api.get(&path).await.ok().bytes);
    let named = |name: &str| {
        let found = files.iter().find(|(known, _)| known == name);
        found.map(|(_, contents)| contents.as_slice())
    };
    let manifest: Value =
        serde_json::from_slice(named("manifest.json").expect("it")).expect("JSON");
    let listed = manifest["files"].as_array().expect("files");
    assert_eq!(listed.len() + 1, files.len());
    for file in listed {
        let contents = named(&text(&file["path"])).expect("what the manifest lists");
        assert_eq!(file["size"], contents.len());
        assert_eq!(
            file["sha256"],
            prichal::platform::vault::sha256_hex(contents)
        );
    }

    let policy = Policy::kz();
    let material = Material {
        anchors: vec![authority.root.certificate()],
        ..Material::default()
    };
    for (n, bin) in [(1, &us.bin), (2, &them.bin)] {
        let signature = named(&format!("signatures/{n}-{bin}.cms")).expect("a signature");
        let at = Time::from_unix(START.secs() + 60);
        let request = Request {
            content: named(&format!("evidence/signed-content-{n}.zip")),
            ..Request::new(signature, &policy, at)
        };
        let report = validate(&request, &material);
        let kept = named(&format!("evidence/report-{n}.json")).expect("a report");
        let kept: Value = serde_json::from_slice(kept).expect("JSON");
        assert_eq!(report.verdict, Verdict::TotalPassed, "{n}: {report:?}");
        assert_eq!(kept["verdict"], "TOTAL_PASSED");
        assert_eq!(
            kept["signers"][0]["evidence"],
            json!(report.signers[0].evidence)
        );
        assert_eq!(kept["signers"][0]["path"], json!(report.signers[0].path));
    }
}
