//! The public page `/check`: files that are compared by their hash, and uploads.

use std::{io::Write as _, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prichal::platform::vault::hex;
use prichal_sign::testing::Draft;
use reqwest::Method;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::harness::{
    document_exchange::{Company, DocumentExchange, PDF, Side, V3, pem, unzip},
    hub::{Answer, Caller},
    receiver::{Receiver, Reply},
    server_process::PROGRAM,
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
    let cases: [(Members<'_>, &str); 5] = [
        (&[("file", &content)], "The archive has no signatures"),
        (
            &[("file", b"no signature")],
            "This is not a signature, but a text.",
        ),
        (
            &[("file", PDF)],
            "This is not a signature, but a PDF document.",
        ),
        (
            &[("file", &content), ("content", &signature)],
            "the signature is in the other field",
        ),
        (
            &[("file", PDF), ("content", &signature)],
            "the signature is in the other field",
        ),
    ];
    for (members, words) in cases {
        // A visitor may check a few files a minute.
        exchange.hub.advance(Duration::from_mins(1));
        let page = upload(&visitor, members).await;
        assert_eq!(page.status, 400, "{}", page.text);
        for words in [words, "Choose a signature (.cms, .p7s, .sig)"] {
            assert!(page.text.contains(words), "{words}: {}", page.text);
        }
    }
    let broken = &signature[..signature.len() / 2];
    let page = upload(&visitor, &[("file", broken)]).await.ok();
    let words = "The signature is not valid: the file of the signature is damaged";
    assert!(page.text.contains(words), "{}", page.text);
    // A file of an archive that is no signature is told of beside the others.
    let files = [("signatures/1-1.cms".to_owned(), b"no signature".to_vec())];
    let page = upload(&visitor, &[("file", &zip(&files))]).await.ok();
    let words = "This is not a signature, but a text.";
    assert!(page.text.contains(words), "{}", page.text);
}

/// The archive of a document of the server.
async fn archive_of(company: &Company, document: &str) -> Vec<u8> {
    let path = format!("{V3}/sync/single/document/GetDocumentArchiveByDocumentId/{document}");
    company.api.get(&path).await.ok().bytes
}

/// A zip with these files.
fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, contents) in files {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(name, options).expect("a file");
        writer.write_all(contents).expect("written");
    }
    writer.finish().expect("a zip").into_inner()
}

#[tokio::test]
async fn an_archive_is_checked_by_the_rules_of_its_document() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    exchange.trust(&us.name, json!({ "policy": "test" })).await;
    let visitor = exchange.hub.anonymous();
    let (document, ..) = signed(&us, &them).await;
    let archive = archive_of(&us, &document).await;
    let page = upload(&visitor, &[("file", &archive), ("policy", b"ru")]).await;
    let text = page.ok().text;
    assert!(
        text.contains("Checked by the rules of this document&#39;s sender (trial"),
        "{text}"
    );
    assert!(
        text.contains(&format!("/check/{document}?lang=en")),
        "{text}"
    );
    assert!(
        text.contains("All signatures (2) are valid by the rules"),
        "{text}"
    );

    // A manifest is text that anybody can write. Without the document's content it opens nobody's rules.
    let other = us.sign(b"other content", true);
    let mut files = unzip(&archive);
    files.retain(|(name, _)| name == "manifest.json");
    files.push(("signatures/1-1.cms".to_owned(), other.clone()));
    let forged = zip(&files);
    let text = upload(&visitor, &[("file", &forged)]).await.ok().text;
    for words in [
        "other content is signed in it",
        "Checked by the rules that were chosen on this page: Kazakhstan",
        "is not established yet",
        &format!("/check/{document}?lang=en"),
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("17/1"), "{text}");
    // One that signs the document's content beside one that does not is no archive of the document either.
    let mut files = unzip(&archive);
    files.push(("signatures/3-1.cms".to_owned(), other.clone()));
    let text = upload(&visitor, &[("file", &zip(&files))]).await.ok().text;
    assert!(text.contains("other content is signed in it"), "{text}");
    // On the page of a document its sender's rules are applied to anything, which is told.
    let files = [("file", &other[..]), ("document", document.as_bytes())];
    let text = upload(&visitor, &files).await.ok().text;
    assert!(text.contains("no signature of this document"), "{text}");

    // A draft, which is nobody's business, is like a document that is not there.
    let draft = us.draft().await;
    let unused = "0193f6d2-7c1a-7b3e-9f00-5d2c8a41e6b7".to_owned();
    for nobody in [draft, unused] {
        let manifest = json!({ "documentId": nobody }).to_string().into_bytes();
        let files = [
            ("signatures/1-1.cms".to_owned(), other.clone()),
            ("manifest.json".to_owned(), manifest),
        ];
        let text = upload(&visitor, &[("file", &zip(&files))]).await.ok().text;
        assert!(
            text.contains("rules that were chosen") && !text.contains(&nobody),
            "{text}"
        );
    }
}

/// The commands that a page shows, one text for each block.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("<pre class=\"text commands\" tabindex=\"0\">");
    let unescape = |text: &str| {
        let texts = [
            ("&#60;", "<"),
            ("&#62;", ">"),
            ("&#39;", "'"),
            ("&#34;", "\""),
            ("&#38;", "&"),
        ];
        let plain = |text: String, (from, to)| text.replace(from, to);
        texts.into_iter().fold(text.to_owned(), plain)
    };
    let ends = blocks.skip(1).map(|rest| rest.split("</pre>").next());
    ends.map(|block| unescape(block.expect("a block")))
        .collect()
}

/// Runs commands as a visitor would who pastes them into a shell, and returns all that they print.
fn run(folder: &Path, commands: &str) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = std::process::Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{commands}")])
        .current_dir(folder.join("archive"))
        .env("PATH", format!("{}:{path}", folder.display()))
        .output()
        .expect("a shell");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
#[ignore = "needs openssl and unzip; ./test has them"]
async fn the_commands_of_the_page_work_as_printed() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    for company in [&us, &them] {
        let rules = json!({ "policy": "test" });
        exchange.trust(&company.name, rules).await;
    }
    let visitor = exchange.hub.anonymous();
    // One signature is detached and in DER, the other one contains the content and is text.
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    for (company, side, is_attached) in [(&us, Side::Outbox, false), (&them, Side::Inbox, true)] {
        let generated = company.generate(side, &document).await.ok();
        let content = company.download(&generated).await;
        let mut signature = company.sign(&content, is_attached);
        if is_attached {
            signature = STANDARD.encode(signature).into_bytes();
        }
        let blob = company.signature(&signature).await;
        let ticket = generated.str("idempotencyTicket");
        company.save(side, &document, &blob, &ticket).await.ok();
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("archive");
    for (name, contents) in unzip(&archive_of(&us, &document).await) {
        let file = archive.join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        std::fs::write(file, contents).expect("written");
    }
    let root = pem(&exchange.authority.root.der);
    std::fs::write(archive.join("root.pem"), root).expect("written");
    std::os::unix::fs::symlink(PROGRAM, folder.path().join("prichal")).expect("a link");

    for (path, is_its_own) in [
        (format!("/check/{document}?lang=en"), true),
        ("/check?lang=en".to_owned(), false),
    ] {
        let page = visitor.get(&path).await.ok().text;
        let [alone, with_root] = &commands(&page)[..] else {
            panic!("{page}");
        };
        let printed = run(folder.path(), alone);
        let count = |text: &str, of: &str| text.matches(of).count();
        assert_eq!(count(&printed, "Verification successful"), 2, "{printed}");
        assert_eq!(count(&printed, "subject="), 2, "{printed}");
        assert_eq!(printed.contains("same\n"), is_its_own, "{printed}");
        let printed = run(folder.path(), with_root);
        assert_eq!(count(&printed, "Verification successful"), 2, "{printed}");
        // The commands for any archive have the rules of Kazakhstan, whose evidence is from another year here.
        let verdict = if is_its_own {
            "VALID: "
        } else {
            "NOT PROVEN: "
        };
        assert_eq!(count(&printed, verdict), 2, "{printed}");
        assert!(page.contains("<code>openssl dgst -sha256 original/*</code>"));
    }
    let line = run(folder.path(), "openssl dgst -sha256 original/*");
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("sha256", line.trim())
        .finish();
    let path = format!("/check/{document}?lang=en&{query}");
    let page = visitor.get(&path).await.ok().text;
    assert!(page.contains("Original No. 1"), "{line}: {page}");
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
        let page = upload(&visitor, &[("file", b"x")]).await;
        assert_eq!(page.status, 400, "{}", page.text);
    }
    let page = upload(&visitor, &[("file", b"x")]).await;
    assert_eq!((page.status, page.header("retry-after")), (429, Some("60")));
    assert!(page.text.contains("Too many checks"), "{}", page.text);
    exchange.hub.advance(Duration::from_secs(61));
    let page = upload(&visitor, &[("file", b"x")]).await;
    assert_eq!(page.status, 400, "{}", page.text);
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
