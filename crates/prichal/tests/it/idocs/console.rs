//! A document on the pages of the console: uploaded, routed, signed and refused without a line of JSON
//! (`docs/console.md`).

use reqwest::Method;
use serde_json::json;

use crate::harness::{
    document_exchange::{Company, DocumentExchange, PDF},
    hub::{Answer, Caller},
};

/// A browser that is signed in with a company's token.
struct Browser {
    caller: Caller,
    home: String,
}

/// A form as browsers send one with a file.
const MULTIPART: &str = "multipart/form-data; boundary=of-a-form";

impl Browser {
    async fn sign_in(exchange: &DocumentExchange, company: &Company, token: &str) -> Self {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("credential", token)
            .finish();
        let anonymous = exchange.hub.anonymous();
        let sent = anonymous
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded");
        let path = "/console/sign-in";
        let answer = sent.send(Method::POST, path, Some(form.into())).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        let cookie = answer.header("set-cookie").expect("a cookie");
        let cookie = cookie.split(';').next().expect("a value");
        Self {
            caller: exchange
                .hub
                .anonymous()
                .header("cookie", &format!("{cookie}; prichal_language=en"))
                .header("sec-fetch-site", "same-origin"),
            home: format!("/console/{}/documents", company.name),
        }
    }

    async fn get(&self, below: &str) -> Answer {
        let path = format!("{}{below}", self.home);
        self.caller.get(&path).await
    }

    /// The value of a hidden field of a page.
    fn field(page: &Answer, name: &str) -> String {
        let begin = format!("name=\"{name}\" value=\"");
        let (_, rest) = page.text.split_once(&begin).expect("a field");
        rest.split('"').next().expect("a value").to_owned()
    }

    /// Sends a form of a page with its token.
    async fn post(&self, page: &Answer, below: &str, fields: &[(&str, &str)]) -> Answer {
        let token = Self::field(page, "_form");
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("_form", &token).extend_pairs(fields);
        let sent = self.caller.clone();
        let kind = "application/x-www-form-urlencoded";
        let sent = sent.header("content-type", kind);
        let path = format!("{}{below}", self.home);
        sent.send(Method::POST, &path, Some(form.finish().into()))
            .await
    }

    /// Sends a form with a file.
    async fn upload(
        &self,
        page: &Answer,
        below: &str,
        fields: &[(&str, &str)],
        (part, name, bytes): (&str, &str, &[u8]),
    ) -> Answer {
        let token = Self::field(page, "_form");
        let mut body = Vec::new();
        for (field, value) in [("_form", &*token)].iter().chain(fields) {
            let head = format!(
                "--of-a-form\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"
            );
            body.extend(head.into_bytes());
        }
        let head = format!(
            "--of-a-form\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{name}\"\r\n\r\n"
        );
        body.extend(head.into_bytes());
        body.extend(bytes);
        body.extend(b"\r\n--of-a-form--\r\n");
        let sent = self.caller.clone().header("content-type", MULTIPART);
        let path = format!("{}{below}", self.home);
        sent.send(Method::POST, &path, Some(body)).await
    }

    /// Prepares the content to sign, signs it, and uploads the signature.
    async fn sign(&self, company: &Company, id: &str, side: &str) -> Answer {
        let one = format!("/{id}");
        let page = self.get(&one).await.ok();
        let fields = [("employee", &*company.employee), ("side", side)];
        let to = self.post(&page, &format!("{one}/content"), &fields).await;
        let to = location(&to);
        let page = self.caller.get(to.trim_end_matches("#sign")).await.ok();
        let (_, rest) = page.text.split_once("/content/").expect("a link");
        let link = rest.split('"').next().expect("a link");
        let content = self.get(&format!("{one}/content/{link}")).await.ok();
        let ticket = Self::field(&page, "ticket");
        let fields = [
            ("employee", &*company.employee),
            ("side", side),
            ("ticket", &*ticket),
        ];
        let signature = company.sign(&content.bytes, false);
        let file = ("signatureContent", "signature.cms", &*signature);
        self.upload(&page, &format!("{one}/sign"), &fields, file)
            .await
    }
}

fn location(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text);
    answer.header("location").expect("a location").to_owned()
}

#[tokio::test]
async fn a_document_is_made_signed_and_refused_on_pages() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let ours = Browser::sign_in(&exchange, &us, &us.api.bearer_token()).await;
    let theirs = Browser::sign_in(&exchange, &them, &them.api.bearer_token()).await;
    let page = ours.get("/new").await.ok();
    let mut made = Vec::new();
    for number in ["17/1", "17/2"] {
        let fields = [
            ("name", "<i>Договор</i>"),
            ("number", number),
            ("date", "2026-01-01"),
            ("group", "Legal"),
            ("recipients", &*them.bin),
            ("senderSigns", "on"),
        ];
        let file = ("documentContent", "договор.pdf", PDF);
        let to = location(&ours.upload(&page, "/new", &fields, file).await);
        let id = to.rsplit('/').next().expect("an id");
        made.push(id.split('?').next().expect("an id").to_owned());
    }
    for id in &made {
        let signed = ours.sign(&us, id, "outbox").await;
        assert!(location(&signed).ends_with("done=signed"));
    }
    let list = theirs.get("?folder=waiting").await.ok();
    for number in ["17/1", "17/2"] {
        assert!(list.text.contains(number), "{}", list.text);
    }
    assert!(list.text.contains("&lt;i&gt;Договор&lt;/i&gt;") || list.text.contains("&#60;i&#62;"));

    // A wrong signature is refused with its reason, and the next one is taken with the same ticket.
    let one = format!("/{}", made[0]);
    let page = theirs.get(&one).await.ok();
    let fields = [("employee", &*them.employee), ("side", "inbox")];
    let file = ("signatureContent", "a.cms", &b"no signature"[..]);
    let refused = theirs
        .upload(&page, &format!("{one}/sign"), &fields, file)
        .await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("role=\"alert\""));
    let signed = theirs.sign(&them, &made[0], "inbox").await;
    assert!(location(&signed).ends_with("done=signed"));
    assert_eq!(us.status(&made[0]).await, "FINISHED");

    let other = format!("/{}", made[1]);
    let page = theirs.get(&other).await.ok();
    let fields = [
        ("employee", &*them.employee),
        ("reason", "The amount is wrong"),
    ];
    let to = theirs
        .post(&page, &format!("{other}/do/reject"), &fields)
        .await;
    assert!(location(&to).ends_with("done=refused"));
    let seen = ours.get(&other).await.ok();
    assert!(seen.text.contains("The amount is wrong"));

    // The file is shown as what it is, downloads are whole, and nothing of it is there for another workspace.
    let seen = ours.get(&one).await.ok();
    let (_, rest) = seen.text.split_once("<object data=\"").expect("a viewer");
    let frame = rest.split('"').next().expect("an address");
    let frame = frame.split('#').next().expect("an address");
    let file = ours.caller.get(frame).await.ok();
    assert_eq!(file.header("content-type"), Some("application/pdf"));
    assert_eq!(file.bytes, PDF);
    for path in ["archive", "print-form"] {
        let loaded = ours.get(&format!("{one}/{path}")).await.ok();
        assert!(loaded.bytes.len() > 1000, "{path}");
        assert_eq!(
            loaded.header("content-type"),
            Some("application/octet-stream")
        );
    }
    let stranger = exchange.company(2).await;
    let stranger = Browser::sign_in(&exchange, &stranger, &stranger.api.bearer_token()).await;
    assert_eq!(stranger.get(&one).await.status, 404);
    let foreign = stranger.caller.get(&format!("{}{one}", ours.home)).await;
    assert_eq!(foreign.status, 404);
}

/// A viewer reads everything and is offered nothing that changes; an employee without permissions sees nothing.
#[tokio::test]
async fn roles_see_what_the_api_tells_them() {
    let exchange = DocumentExchange::new().await;
    let us = exchange.company(0).await;
    let document = us.draft().await;
    let space = exchange.hub.token(&us.name, "admin").await;
    let clerk = json!({ "login": "clerk", "permissions": [] });
    let clerk = space.post("/users", clerk).await.ok().str("id");
    let viewer = exchange.hub.token(&us.name, "viewer").await.bearer_token();
    let clerk = exchange
        .hub
        .user_token(&us.name, &clerk)
        .await
        .bearer_token();
    for (token, status, may_change) in [
        (us.api.bearer_token(), 200, true),
        (viewer, 200, false),
        (clerk, 403, false),
    ] {
        let browser = Browser::sign_in(&exchange, &us, &token).await;
        for path in ["", "?folder=drafts", &format!("/{document}")] {
            let page = browser.get(path).await;
            assert_eq!(page.status, status, "{path}: {}", page.text);
            let has_forms =
                page.text.contains("/documents/new\"") || page.text.contains("/do/delete");
            assert_eq!(has_forms, may_change, "{path}");
        }
    }
}
