//! Uploads: file types, sizes, deduplication and retention (`docs/contracts/idocs.md §1.5`).

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{documents::large_pdf, *};
use crate::harness::document_exchange::{PDF, Side, text, unzip};

const OLE: &[u8] = &[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1, 0, 0];
const OFFICE: &[u8] = b"PK\x03\x04....[Content_Types].xml....";

#[tokio::test]
async fn uploaded_files_must_match_their_extension() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let office = "application/vnd.openxmlformats-officedocument";
    for (name, bytes, kind) in [
        ("a.pdf", PDF, "application/pdf".to_owned()),
        ("a.doc", OLE, "application/msword".to_owned()),
        ("a.xls", OLE, "application/vnd.ms-excel".to_owned()),
        (
            "a.docx",
            OFFICE,
            format!("{office}.wordprocessingml.document"),
        ),
        ("a.xlsx", OFFICE, format!("{office}.spreadsheetml.sheet")),
        ("a.txt", "әлем".as_bytes(), "text/plain".to_owned()),
        (
            "cp1251.TXT",
            b"\xEF\xF0\xE8\xE2\xE5\xF2",
            "text/plain".to_owned(),
        ),
        ("a.b.PDF", PDF, "application/pdf".to_owned()),
    ] {
        let answer = us
            .upload(CONTENT, "documentContent", name, bytes)
            .await
            .ok();
        let extension = &name[name.rfind('.').expect("a dot")..].to_lowercase();
        let response = &answer["response"];
        assert_eq!(response["fileName"], name);
        assert_eq!(response["extension"], json!(extension));
        assert_eq!(response["mimeType"], json!(kind));
        assert_eq!(response["fileLength"], 1);
    }
    for (name, bytes) in [
        ("a.pdf", OLE),
        ("a.pdf", b"%PDF".as_slice()),
        ("a.pdf", b""),
        ("a.doc", PDF),
        ("a.xls", OFFICE),
        ("a.docx", b"PK\x03\x04 another zip"),
        ("a.xlsx", OLE),
        ("a.txt", b"a\0b"),
        ("a.txt", b""),
    ] {
        let answer = us.upload(CONTENT, "documentContent", name, bytes).await;
        let extension = &name[1..];
        refused(
            &answer,
            400,
            "UPLOADED_FILE_CONTENT_PARSING_ERROR",
            extension,
        );
    }
    for name in ["a.exe", "a.cms", "a", "pdf", ".", "a.pdf.zip", "a.pdf ~"] {
        let answer = us.upload(CONTENT, "documentContent", name, PDF).await;
        refused(&answer, 400, "UPLOADED_FILE_EXTENSION_ERROR", name);
        assert!(reason(&answer).contains(".xlsx"), "{}", answer.text);
    }
    let cms = us.sign(b"abc", true);
    for name in ["a.pdf", "a.p7s", "a.sig", "a"] {
        let answer = us.upload(SIGNATURE, "signatureContent", name, &cms).await;
        refused(&answer, 400, "UPLOADED_FILE_EXTENSION_ERROR", name);
    }
    let mut trailing = cms.clone();
    trailing.push(1);
    let bad: [&[u8]; 6] = [b"", b"text", PDF, &cms[..cms.len() - 1], &trailing, b"MIIB"];
    for bytes in bad {
        let answer = us
            .upload(SIGNATURE, "signatureContent", "a.cms", bytes)
            .await;
        refused(&answer, 400, "UPLOADED_FILE_CONTENT_PARSING_ERROR", ".cms");
    }
}

#[tokio::test]
async fn forms_that_are_none() {
    let scene = Scene::new().await;
    let us = &scene.us;
    for (path, part) in [
        (CONTENT, "documentContent"),
        (SIGNATURE, "signatureContent"),
    ] {
        let other = us.upload(path, "file", "a.pdf", PDF).await;
        invalid(&other, part);
        let other = us.upload(path, &part.to_uppercase(), "a.exe", PDF).await;
        assert_eq!(other.status, 400, "{}", other.text);
        let json = sent(&us.api, path, "{}").await;
        invalid(&json, "multipart/form-data");
        let form = |kind: &str| us.api.clone().header("content-type", kind);
        let bare = sent(&form("multipart/form-data"), path, "").await;
        invalid(&bare, "multipart/form-data");
        let good = form("multipart/form-data; boundary=b");
        for body in ["", "nothing", "--b--\r\n", "--b\r\n\r\n--b--\r\n"] {
            invalid(&sent(&good, path, body).await, part);
        }
        let extension = if part == "documentContent" {
            "txt"
        } else {
            "cms"
        };
        let head = format!(
            "--b\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"a.{extension}\"\r\n\r\nabc"
        );
        invalid(&sent(&good, path, &head).await, part);
        let twice = format!("{head}\r\n{head}\r\n--b--\r\n");
        invalid(&sent(&good, path, &twice).await, part);
    }
    // Other parts before and after are ignored.
    let form = us
        .api
        .clone()
        .header("content-type", "multipart/form-data; boundary=b");
    let body = "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n\
        --b\r\nContent-Disposition: form-data; name=\"documentContent\"; filename=\"a.txt\"\r\n\r\nabc\r\n\
        --b\r\nContent-Disposition: form-data; name=\"y\"\r\n\r\n2\r\n--b--\r\n";
    let answer = sent(&form, CONTENT, body).await.ok();
    assert_eq!(answer["response"]["fileName"], "a.txt");
}

#[tokio::test]
async fn uploads_have_a_maximum_size() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let mut content = large_pdf((15 << 20) + 1);
    let answer = us
        .upload(CONTENT, "documentContent", "a.pdf", &content)
        .await;
    refused(&answer, 400, "UPLOADED_FILE_SIZE_ERROR", "15");
    content.pop();
    let answer = us
        .upload(CONTENT, "documentContent", "a.pdf", &content)
        .await
        .ok();
    assert_eq!(answer["response"]["fileLength"], 15 * 1024);
    for (length, kilobytes) in [(1024, 1), (1025, 2)] {
        let answer = us
            .upload(CONTENT, "documentContent", "a.pdf", &content[..length])
            .await
            .ok();
        assert_eq!(answer["response"]["fileLength"], kilobytes);
    }
    // A form over the maximum is refused by its declared length. Its file name is checked first.
    content.resize(18 << 20, b'x');
    let answer = us
        .upload(CONTENT, "documentContent", "a.pdf", &content)
        .await;
    refused(&answer, 400, "UPLOADED_FILE_SIZE_ERROR", "15");
    let answer = us
        .upload(CONTENT, "documentContent", "a.exe", &content)
        .await;
    refused(&answer, 400, "UPLOADED_FILE_EXTENSION_ERROR", "a.exe");

    // A signature may contain a document of the maximum size.
    let cms = us.sign(&content, true);
    for sent in [cms.clone(), STANDARD.encode(&cms).into_bytes()] {
        let answer = us.upload(SIGNATURE, "signatureContent", "a.cms", &sent);
        let answer = answer.await.ok();
        assert_eq!(answer["response"]["fileLength"], cms.len().div_ceil(1024));
    }
    // Beside its content a signature may be as large as one without content.
    let with = |inside: &[u8], attached: bool, more: usize| {
        let filler = prichal_sign::testing::der::element(0x83, &vec![0; more]);
        let more = prichal_sign::Additions {
            certificates: vec![filler],
            ..prichal_sign::Additions::default()
        };
        prichal_sign::with_evidence(&us.sign(inside, attached), &more).expect("readable")
    };
    for (sent, most) in [
        (with(b"x", false, 9 << 20), None),
        (with(b"x", false, 10 << 20), Some("10")),
        (with(&content, true, (1 << 20) - 4096), None),
        (with(&content, true, 1 << 20), Some("19")),
    ] {
        let answer = us.upload(SIGNATURE, "signatureContent", "a.cms", &sent);
        let answer = answer.await;
        match most {
            None => assert_eq!(answer.status, 200, "{}", answer.text),
            Some(most) => refused(&answer, 400, "UPLOADED_FILE_SIZE_ERROR", most),
        }
    }
}

/// The stored bytes are the same for every armour.
#[tokio::test]
async fn signatures_in_armour() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let der = us.sign(&us.download(&generated).await, true);
    let base64 = STANDARD.encode(&der);
    let lines: Vec<&str> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("base64"))
        .collect();
    let lines = lines.join("\r\n");
    let ticket = generated.str("idempotencyTicket");
    for armoured in [
        base64.clone(),
        format!("{lines}\r\n"),
        format!("-----BEGIN CMS-----\r\n{lines}\r\n-----END CMS-----\r\n"),
        format!("-----BEGIN PKCS7-----\n{lines}\n-----END PKCS7-----\n"),
    ] {
        let answer = us
            .upload(SIGNATURE, "signatureContent", "a.cms", armoured.as_bytes())
            .await
            .ok();
        assert_eq!(answer["response"]["fileLength"], der.len().div_ceil(1024));
        let blob = text(&answer["response"]["blobId"]);
        // The first upload signs. The others are repetitions.
        us.save(Side::Outbox, &document, &blob, &ticket).await.ok();
    }
    let archive = us.api.get(&format!("{ARCHIVE}{document}")).await.ok();
    let files = unzip(&archive.bytes);
    let kept: Vec<_> = files
        .iter()
        .filter(|(name, _)| name.starts_with("signatures/"))
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].1, der);
}

pub(super) fn files_in(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() { files_in(&path) } else { 1 }
        })
        .sum()
}

#[tokio::test]
async fn equal_contents_are_stored_once_and_unused_ones_removed() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let hub = &scene.exchange.hub;
    let blobs = hub.installation.data_dir().join("blobs");
    let first = us.content("a.pdf", PDF).await;
    assert_eq!(files_in(&blobs), 1);
    let second = us.content("другое.pdf", PDF).await;
    assert_ne!(first, second);
    assert_eq!(files_in(&blobs), 1, "once in a company");
    let theirs = them.content("a.pdf", PDF).await;
    assert_eq!(files_in(&blobs), 2, "another company has its own");
    us.content("c.pdf", b"%PDF-2").await;
    assert_eq!(files_in(&blobs), 3);

    let used = us
        .api
        .post(CREATE, us.metadata(&[&second]))
        .await
        .ok()
        .str("id");
    hub.advance(Duration::from_hours(24 * 7) - Duration::from_secs(1));
    let refreshed = us.content("d.pdf", PDF).await;
    hub.advance(Duration::from_secs(1));
    for blob in [&first, &theirs] {
        let company = if blob == &theirs { them } else { us };
        let answer = company.api.post(CREATE, company.metadata(&[blob])).await;
        refused(&answer, 404, "RESOURCE_NOT_FOUND", blob);
    }
    prichal::retention::sweep(&hub.app).await.expect("swept");
    assert_eq!(files_in(&blobs), 1, "what a document has");
    us.api.post(CREATE, us.metadata(&[&refreshed])).await.ok();
    let archive = us.api.get(&format!("{ARCHIVE}{used}")).await.ok();
    let files = unzip(&archive.bytes);
    assert_eq!(files[0], ("original/другое.pdf".to_owned(), PDF.to_vec()));
    hub.advance(Duration::from_hours(24 * 30));
    prichal::retention::sweep(&hub.app).await.expect("swept");
    assert_eq!(
        us.api.get(&format!("{ARCHIVE}{used}")).await.ok().bytes,
        archive.bytes
    );
}

/// A client that is refused before its body is read still gets the reason.
#[tokio::test]
async fn uploads_without_permission_are_refused() {
    let scene = Scene::new().await;
    let content = large_pdf(15 << 20);
    for caller in [
        scene.exchange.hub.anonymous(),
        scene.us.api.clone().bearer("x"),
    ] {
        let mut stranger = scene.us.clone();
        stranger.api = caller;
        let answer = stranger
            .upload(CONTENT, "documentContent", "a.pdf", &content)
            .await;
        refused(&answer, 401, "PERMISSION_ERROR", "Authorization");
    }
    let over = DocumentExchange::with(|config| {
        config.rate_limit = prichal::config::Rate {
            most: 1,
            period: Duration::from_mins(1),
        };
    })
    .await;
    let us = over.company(0).await;
    us.upload(CONTENT, "documentContent", "a.pdf", PDF)
        .await
        .ok();
    let answer = us
        .upload(CONTENT, "documentContent", "a.pdf", &content)
        .await;
    refused(&answer, 429, "UNKNOWN", "запросов");
}

/// BER with indefinite lengths is accepted like DER and stored unchanged.
#[tokio::test]
async fn signatures_in_ber() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let der = us.sign(&us.download(&generated).await, true);
    assert_eq!(der[..2], [0x30, 0x82], "two octets of length");
    let ber = [&[0x30, 0x80], &der[4..], &[0, 0]].concat();
    let blob = us.signature(&ber).await;
    let ticket = generated.str("idempotencyTicket");
    us.save(Side::Outbox, &document, &blob, &ticket).await.ok();
    let archive = us.api.get(&format!("{ARCHIVE}{document}")).await.ok();
    let files = unzip(&archive.bytes);
    let kept = files
        .iter()
        .find(|(name, _)| name.starts_with("signatures/"));
    assert_eq!(kept.expect("a signature").1, ber);
}

/// A form that does not say how long it is.
#[tokio::test]
async fn uploads_in_chunks() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let scene = Scene::new().await;
    let us = &scene.us;
    let host = scene.exchange.hub.url.trim_start_matches("http://");
    for (megabytes, word) in [(1, "fileLength"), (17, "UPLOADED_FILE_SIZE_ERROR")] {
        let mut line = tokio::net::TcpStream::connect(host)
            .await
            .expect("it listens");
        let head = format!(
            "POST {CONTENT} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
             Content-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n",
            us.api.bearer_token()
        );
        line.write_all(head.as_bytes()).await.expect("sent");
        let mut chunks = vec![
            b"--b\r\nContent-Disposition: form-data; name=\"documentContent\"; filename=\"a.pdf\"\r\n\r\n%PDF-1.7"
                .to_vec(),
        ];
        chunks.extend(vec![vec![b'x'; 1 << 20]; megabytes]);
        chunks.push(b"\r\n--b--\r\n".to_vec());
        chunks.push(Vec::new());
        for chunk in chunks {
            let sent = [format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat();
            // The server may not read the rest of a refused upload.
            if line.write_all(&sent).await.is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        let _ = line.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains(word), "{megabytes}: {answer}");
    }
}
