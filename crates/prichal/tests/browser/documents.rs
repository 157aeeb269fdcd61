//! Documents: a file is uploaded, routed, signed by both companies with OpenSSL in the place of a signing program, and
//! checked by somebody without a session.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, UNIX_EPOCH},
};

use serde_json::json;

use crate::{
    browser::{Browser, pdf_text},
    harness::{
        document_exchange::{Company, DocumentExchange, PDF, Side},
        hub::START,
    },
    select::{button, field, heading, link, row},
    signing_program::{SigningProgram, signed},
};

/// Makes an authority, and for each employee (name, IIN, BIN) a certificate.
const CERTIFICATES: &str = "
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 30 -subj '/CN=Trial authority' \\
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
printf 'keyUsage=critical,digitalSignature,nonRepudiation\\n' > extensions
while [ $# -gt 0 ]; do
  openssl req -newkey rsa:2048 -nodes -keyout $1.key -subj \"/CN=$1/serialNumber=IIN$2/OU=BIN$3/C=KZ\" -out $1.csr
  openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 20 -extfile extensions -out $1.crt
  shift 3
done
";

/// Runs a script in a folder.
fn run(folder: &Path, script: &str, arguments: &[&str]) {
    let mut bash = Command::new("bash");
    bash.args(["-euc", script, "bash"]).args(arguments);
    let output = bash.current_dir(folder).output().expect("bash runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}");
}

/// Runs an exchange whose companies trust an authority of this folder, which has a key and a certificate for each of the
/// employees `us` and `them`.
async fn exchange(folder: &Path) -> (DocumentExchange, Company, Company) {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let people = ["us", &us.iin, &us.bin, "them", &them.iin, &them.bin];
    run(folder, CERTIFICATES, &people);
    // OpenSSL has made the certificates, and signs, at the system's time. The server is some minutes ahead.
    let since_epoch = UNIX_EPOCH.elapsed().expect("a time after 1970");
    let start = Duration::from_secs(START.secs().unsigned_abs());
    let ahead = since_epoch + Duration::from_mins(3);
    exchange.hub.advance(ahead.saturating_sub(start));
    let anchor = std::fs::read_to_string(folder.join("ca.crt")).expect("a certificate");
    for company in [&us, &them] {
        let rules = json!({ "policy": "test", "trustAnchors": [anchor] });
        exchange.trust(&company.name, rules).await;
    }
    (exchange, us, them)
}

/// Signs the document that is open with the command that its page shows.
async fn sign(browser: &Browser, folder: &Path, signer: &str) {
    browser.click(&button("1. Prepare the content")).await;
    browser.click(&link("1. Download the content")).await;
    let content = browser.downloaded("zip").await;
    // No signing program answers on this computer, which is said.
    browser.click(&button("Sign with NCALayer")).await;
    browser
        .wait_for_text("NCALayer does not answer. Start it and try again.")
        .await;
    browser.expect_errors("wss://127.0.0.1:13579").await;
    std::fs::rename(content, folder.join("content.zip")).expect("it is moved");
    let command = browser.find("//pre[@id='sign-command']").await;
    let command = command.text().await.expect("a command");
    let command = command.replace("my.", &format!("{signer}."));
    run(folder, &command, &[]);
    let signature = folder.join("signature.cms");
    let upload = field("3. Upload the signature (.cms)");
    browser.choose_file(&upload, &signature).await;
    browser.click(&button("Save the signature")).await;
    browser
        .wait_for_text("The signature is checked and saved.")
        .await;
}

async fn sign_in(company: &Company, exchange: &DocumentExchange) -> Browser {
    let browser = Browser::start().await;
    enter(&browser, company, exchange).await;
    browser
}

async fn enter(browser: &Browser, company: &Company, exchange: &DocumentExchange) {
    let page = format!("/console/{}/documents", company.name);
    let token = company.api.bearer_token();
    browser.sign_in(&exchange.hub.url, &token, &page).await;
}

#[tokio::test]
#[ignore = "needs Chromium and openssl; ./test has them"]
async fn a_document_is_uploaded_routed_signed_and_checked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let (exchange, us, them) = exchange(folder).await;
    let file = folder.join("contract.pdf");
    std::fs::write(&file, PDF).expect("a file");

    let sender = sign_in(&us, &exchange).await;
    sender.click(&link("New document")).await;
    sender.fill(&field("Name"), "Delivery contract").await;
    sender.fill(&field("Number"), "17/1").await;
    sender
        .fill("//textarea[@name='recipients']", &them.bin)
        .await;
    sender.choose_file("//input[@type='file']", &file).await;
    sender.inspect("document-new").await;
    sender.click(&button("Create the draft")).await;
    sender.wait_for_text("The draft is created.").await;
    sender.inspect("document-draft").await;
    sign(&sender, folder, "us").await;
    sender.inspect("document-sent").await;

    let recipient = sign_in(&them, &exchange).await;
    recipient
        .click(&format!("{}//a", row("Delivery contract")))
        .await;
    recipient.find(&heading("What can be done")).await;
    recipient.inspect("document-received").await;
    sign(&recipient, folder, "them").await;
    recipient.wait_for_text("Nothing: all is done.").await;
    // The policy does not check revocation, which is said beside each verdict.
    recipient
        .wait_for_text("Not checked: whether the certificate was revoked")
        .await;
    recipient.inspect("document-finished").await;
    recipient.click(&link("Archive with signatures")).await;
    let archive = recipient.downloaded("zip").await;
    let check = recipient.find(&link("Public page of the check")).await;
    let check = check
        .attr("href")
        .await
        .expect("an element")
        .expect("an address");
    let (_, id) = check.rsplit_once("/check/").expect("the public page");

    let stranger = Browser::start().await;
    stranger
        .open(&format!("{}/check/{id}", exchange.hub.url))
        .await;
    stranger.wait_for_text("The signature is valid").await;
    stranger
        .wait_for_text("Not checked: whether the certificate was revoked")
        .await;
    stranger.inspect("check").await;
    let drop = "//input[@id='drop-file']";
    stranger.choose_file(drop, &file).await;
    stranger
        .wait_for_text("Original No. 1 of this document")
        .await;
    stranger.choose_file(drop, &archive).await;
    stranger
        .wait_for_text("Signature No. 2 as it was submitted")
        .await;
    let other = folder.join("other.pdf");
    std::fs::write(&other, b"%PDF-1.7 another").expect("a file");
    stranger.choose_file(drop, &other).await;
    stranger
        .wait_for_text("No original and no signature of this document is this file")
        .await;
    stranger.inspect("check-compared").await;
    for browser in [sender, recipient, stranger] {
        browser.end().await;
    }
}

/// NCALayer answers: one button signs. Both signatures come from it, so the document ends signed.
#[tokio::test]
#[ignore = "needs Chromium and openssl; ./test has them"]
async fn a_document_is_signed_with_ncalayer() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().to_owned();
    let (exchange, us, them) = exchange(&path).await;
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    for (company, name) in [(&us, "us"), (&them, "them")] {
        let (path, has_refused) = (path.clone(), AtomicBool::new(false));
        let mut program = SigningProgram::start(move |request| {
            // The user closes the program's window at first.
            if has_refused.swap(true, Ordering::Relaxed) {
                signed(&path, name, request)
            } else {
                json!({ "code": "500", "message": "action.canceled" })
            }
        })
        .await;
        let browser = Browser::with_signing_program(program.port).await;
        enter(&browser, company, &exchange).await;
        let page = format!("/console/{}/documents/{document}", company.name);
        browser.open(&format!("{}{page}", exchange.hub.url)).await;
        browser.click(&button("1. Prepare the content")).await;
        browser.click(&button("Sign with NCALayer")).await;
        browser
            .wait_for_text("NCALayer did not sign: action.canceled")
            .await;
        browser.click(&button("Sign with NCALayer")).await;
        browser
            .wait_for_text("The signature is checked and saved.")
            .await;
        // The request of NCALayer's documentation: the key store, the kind of key, the content, and that the signature
        // does not contain it.
        let first = program.request().await;
        assert_eq!(first, program.request().await);
        assert_eq!(
            (&first["module"], &first["method"]),
            (
                &json!("kz.gov.pki.knca.commonUtils"),
                &json!("createCAdESFromBase64")
            )
        );
        let arguments = first["args"].as_array().expect("arguments");
        assert_eq!(
            (&arguments[..2], &arguments[3..]),
            (
                &[json!("PKCS12"), json!("SIGNATURE")][..],
                &[json!(false)][..]
            )
        );
        browser.end().await;
    }
    for company in [&us, &them] {
        assert_eq!(company.status(&document).await, "FINISHED");
    }
}

/// The print form, and the pages of a document and of its check on paper, tell who has signed and what was not checked.
#[tokio::test]
#[ignore = "needs Chromium and openssl; ./test has them"]
async fn a_signed_document_is_printed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (exchange, us, them) = exchange(folder.path()).await;
    for company in [&us, &them] {
        exchange
            .trust(&company.name, json!({ "policy": "test" }))
            .await;
    }
    // The certificates of these companies are of the time of the exchange.
    let document = us.sent(&[&them.bin]).await;
    them.quick_sign(Side::Inbox, &document).await.ok();

    let browser = sign_in(&us, &exchange).await;
    let page = format!("/console/{}/documents/{document}", us.name);
    browser.open(&format!("{}{page}", exchange.hub.url)).await;
    browser.click(&link("Print form")).await;
    let form = browser.downloaded("pdf").await;
    let form = pdf_text(&std::fs::read(form).expect("a file"));
    let paper = browser.printed().await;
    let check = format!("{}/check/{document}?lang=en", exchange.hub.url);
    browser.open(&check).await;
    browser
        .wait_for_text("All signatures (2) are valid by the rules")
        .await;
    let check = browser.printed().await;
    for (text, sentences) in [
        (&form, &["17/1", "ИВАНОВ ИВАН"][..]),
        (
            &paper,
            &[
                "the signature is valid",
                "Not checked: whether the certificate was revoked",
            ],
        ),
        (
            &check,
            &[
                "All signatures (2) are valid by the rules “trial: without revocation, authority and identity”.",
                "Not checked: whether the certificate was revoked",
                "openssl cms -verify",
            ],
        ),
    ] {
        // Chromium prints the letters as one sign.
        let text = text.replace('\u{fb01}', "fi");
        for sentence in sentences {
            let words: String = sentence.split_whitespace().collect();
            assert!(text.contains(&words), "{sentence}: {text}");
        }
    }
    browser.end().await;
}
