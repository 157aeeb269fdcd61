//! The public page `/check`: files that are compared by their hash, and uploads.

use std::time::Duration;

use prichal::platform::vault::hex;
use prichal_sign::testing::Draft;
use reqwest::Method;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::harness::{
    document_exchange::{Company, DocumentExchange, PDF, Side, V3},
    hub::{Answer, Caller},
    receiver::{Receiver, Reply},
};

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The members of a form, by name.
type Members<'a> = &'a [(&'a str, &'a [u8])];

/// Uploads the members of a form, of which `file` and `content` are files.
async fn upload(visitor: &Caller, members: Members<'_>) -> Answer {
    let mut body = Vec::new();
    for (name, bytes) in members {
        let file = match *name {
            "file" | "content" => "; filename=\"<img src=x>.cms\"",
            _ => "",
        };
        let head =
            format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--edge--\r\n");
    let visitor = visitor
        .clone()
        .header("content-type", "multipart/form-data; boundary=edge");
    visitor
        .send(Method::POST, "/check?lang=en", Some(body))
        .await
}

/// A document that both have signed, with the signed content and our signature.
async fn signed(us: &Company, them: &Company) -> (String, Vec<u8>, Vec<u8>) {
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let content = us.download(&generated).await;
    let signature = us.sign(&content, false);
    let blob = us.signature(&signature).await;
    let ticket = generated.str("idempotencyTicket");
    us.save(Side::Outbox, &document, &blob, &ticket).await.ok();
    them.quick_sign(Side::Inbox, &document).await.ok();
    (document, content, signature)
}

#[tokio::test]
async fn a_file_is_compared_by_its_hash() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let visitor = exchange.hub.anonymous();
    let (document, content, signature) = signed(&us, &them).await;
    let path = format!("/check/{document}?lang=en");
    for (hash, words) in [
        (sha256(PDF), "Original No. 1 of this document"),
        (sha256(PDF).to_uppercase(), "Original No. 1"),
        (
            format!("SHA2-256(a.pdf)%3D+{}", sha256(PDF)),
            "Original No. 1",
        ),
        (sha256(&content), "The signed content of this document"),
        (sha256(&signature), "Signature No. 1 as it was submitted"),
        (sha256(b"another"), "No original and no signature"),
        ("%3Cb%3E".to_owned(), "A SHA-256 is 64 digits"),
    ] {
        let page = visitor.get(&format!("{path}&sha256={hash}")).await.ok();
        assert!(page.text.contains(words), "{hash}: {}", page.text);
        assert!(!page.text.contains("<b>"), "{}", page.text);
    }
    let two = format!("{path}&sha256={}&sha256={}", sha256(PDF), sha256(&content));
    let page = visitor.get(&two).await.ok();
    assert_eq!(
        page.text.matches("data-sha256=").count(),
        2,
        "{}",
        page.text
    );

    // A page without a document leads to the one that a link names, and no further than that.
    let hash = sha256(PDF);
    for named in [
        document.clone(),
        format!("https%3A%2F%2Fhub.example%2Fcheck%2F{document}%3Flang%3Dkk"),
    ] {
        let path = format!("/check?document={named}&sha256={hash}&lang=kk");
        let to = visitor.get(&path).await;
        let location = format!("/check/{document}?lang=kk&sha256={hash}");
        assert_eq!((to.status, to.header("location")), (303, Some(&*location)));
    }
    let nowhere = visitor.get("/check?document=%2F%2Fevil.example").await;
    assert_eq!(nowhere.status, 404, "{}", nowhere.text);
    let page = visitor.get("/check").await.ok();
    assert!(
        page.text.contains("<main") && page.text.contains("openssl dgst -sha256"),
        "{}",
        page.text
    );

    let draft = us.draft().await;
    let hidden = visitor.get(&format!("/check/{draft}?sha256={hash}")).await;
    assert_eq!(hidden.status, 404);
    assert!(!hidden.text.contains("data-sha256="), "{}", hidden.text);
}

#[tokio::test]
async fn an_upload_is_checked_and_explained() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let visitor = exchange.hub.anonymous();
    let (document, content, signature) = signed(&us, &them).await;
    let of_document = ("document", document.as_bytes());

    let files = [
        ("file", &signature[..]),
        ("content", &content[..]),
        of_document,
    ];
    let page = upload(&visitor, &files).await.ok();
    for words in [
        "The signature is valid",
        "Steps of the check: 21",
        "ИВАНОВ ИВАН",
        "CN=Issuer",
        "Kazakhstan: NCA RK",
        "Not checked: whether the signature is this company",
        "2026-01-01 00:00:00 UTC",
        &sha256(&signature),
    ] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    let other = [("file", &signature[..]), ("content", b"other"), of_document];
    let page = upload(&visitor, &other).await.ok();
    assert!(
        page.text.contains("The signature is not valid"),
        "{}",
        page.text
    );

    let path = format!("{V3}/sync/single/document/GetDocumentArchiveByDocumentId/{document}");
    let archive = us.api.get(&path).await.ok().bytes;
    let page = upload(&visitor, &[("file", &archive), of_document])
        .await
        .ok();
    let found = page.text.matches("Steps of the check: 21").count();
    assert_eq!(found, 2, "{}", page.text);
    assert!(page.text.contains("signatures/2-"), "{}", page.text);

    // Without a document the authority is not trusted, and the policy without duties is not for visitors.
    for policy in ["kz", "test", "<script>"] {
        let files = [
            ("file", &signature[..]),
            ("content", &content[..]),
            ("policy", policy.as_bytes()),
        ];
        let page = upload(&visitor, &files).await.ok();
        let undecided = "The validity of the signature is not established yet";
        assert!(page.text.contains(undecided), "{policy}: {}", page.text);
        assert!(page.text.contains("Kazakhstan: NCA RK"), "{}", page.text);
        assert!(!page.text.contains("<script>"), "{}", page.text);
    }
    let page = upload(&visitor, &[("file", b"no signature")]).await.ok();
    assert!(
        page.text.contains("The signature is not valid"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn uploads_have_bounds() {
    let exchange = DocumentExchange::new().await;
    let visitor = exchange.hub.anonymous();
    let long = vec![b'x'; 17 << 20];
    let cases: [(Members<'_>, u16, &str); 4] = [
        (&[], 400, "No file was chosen"),
        (
            &[("file", b""), ("content", b"x")],
            400,
            "No file was chosen",
        ),
        (&[("file", b"PK\x03\x04")], 400, "The file cannot be read"),
        (&[("file", &long)], 413, "larger than what can be checked"),
    ];
    for (members, status, words) in cases {
        let page = upload(&visitor, members).await;
        assert_eq!(page.status, status, "{}", page.text);
        assert!(page.text.contains(words), "{}", page.text);
    }
    let plain = visitor
        .clone()
        .header("content-type", "text/plain")
        .send(Method::POST, "/check", Some(b"file".to_vec()))
        .await;
    assert_eq!(plain.status, 400, "{}", plain.text);
    for _ in 0..5 {
        upload(&visitor, &[("file", b"x")]).await.ok();
    }
    let page = upload(&visitor, &[("file", b"x")]).await;
    assert_eq!((page.status, page.header("retry-after")), (429, Some("60")));
    assert!(page.text.contains("Too many checks"), "{}", page.text);
    exchange.hub.advance(Duration::from_secs(61));
    upload(&visitor, &[("file", b"x")]).await.ok();
}

/// With private targets allowed, companies' own signatures lead to private addresses. Those of visitors never do.
#[tokio::test]
async fn an_upload_leads_to_no_address_of_its_own() {
    let lists = Receiver::start(|_| Reply::Status(404)).await;
    let exchange = DocumentExchange::new().await;
    let (mut us, them) = (exchange.company(0).await, exchange.company(1).await);
    exchange
        .trust(&us.name, json!({ "policy": "eu-baseline" }))
        .await;
    let document = us.sent(&[&them.bin]).await;
    us.signer = Draft {
        crl_url: Some(format!("{}/issuer.crl", lists.url)),
        issuer_url: Some(format!("{}/issuer.cer", lists.url)),
        ..DocumentExchange::signer_draft(&us.bin, &us.iin)
    }
    .issued_by(&exchange.authority.issuer);
    us.forget_lists();
    us.forget_issuers();
    let signature = us.sign(b"content", true);
    let visitor = exchange.hub.anonymous();
    let files = [("file", &signature[..]), ("document", document.as_bytes())];
    let page = upload(&visitor, &files).await.ok();
    assert!(
        page.text.contains("To decide, this is missing"),
        "{}",
        page.text
    );
    assert_eq!(lists.waiting(), 0);
}
