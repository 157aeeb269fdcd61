//! A workspace in which every page of the console has something to show.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    channel_workspace::{POINTS, RUNS, SCRIPTS},
    document_exchange::{CREATE, Company, DocumentExchange, PDF, Side},
    hub::{Caller, eventually},
    integration::{Integration, company},
    receiver::{Receiver, Reply},
    telephony_exchange::{CLIENT, event, finished, item, register, started},
};

/// The texts that people and programs give to the server.
pub(crate) struct Texts {
    pub(crate) company: String,
    pub(crate) script: String,
    pub(crate) log_line: String,
    pub(crate) answer: String,
    pub(crate) file: String,
    pub(crate) document: String,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            company: "Horns and Hooves".to_owned(),
            script: "Orders of the shop".to_owned(),
            log_line: "an order has come".to_owned(),
            answer: "out of order".to_owned(),
            file: "contract.pdf".to_owned(),
            document: "Delivery contract".to_owned(),
        }
    }
}

pub(crate) struct Seeded {
    pub(crate) exchange: DocumentExchange,
    pub(crate) us: Company,
    pub(crate) them: Company,
    /// Its administrator, at its entities.
    pub(crate) space: Caller,
    receivers: [Receiver; 2],
}

impl Seeded {
    pub(crate) async fn new(texts: &Texts) -> Self {
        let exchange = DocumentExchange::new().await;
        let (us, them) = (exchange.company(0).await, exchange.company(1).await);
        let space = us.api.at(&format!("/api/v1/{}", us.name));
        let answer = texts.answer.clone();
        let bad = Receiver::start(move |_| Reply::Raw {
            bytes: failure(&answer).leak(),
            close: true,
        })
        .await;
        let seeded = Self {
            receivers: [Receiver::good().await, bad],
            exchange,
            us,
            them,
            space,
        };
        seeded.integrate(texts).await;
        seeded.call(texts).await;
        seeded.run_script(texts).await;
        seeded.exchange_documents(texts).await;
        seeded
    }

    /// The path of a page of the workspace.
    pub(crate) fn page(&self, below: &str) -> String {
        format!("/console/{}/{below}", self.us.name)
    }

    /// One integration whose receiver works and one whose receiver fails.
    async fn integrate(&self, texts: &Texts) {
        let space = &self.space;
        let [good, bad] = &self.receivers;
        let names = [("warehouse", good), ("crm", bad)];
        for (name, receiver) in names {
            let integration = Integration::install(space, name, &receiver.url).await;
            integration.subscribe().await;
        }
        let id = company(space, &texts.company).await;
        let change = json!([{ "op": "replace", "path": "/name", "value": format!("{} Ltd", texts.company) }]);
        space.patch(&format!("/companies/{id}"), change).await.ok();
        eventually("four calls", || async {
            let calls = space.get("/deliveries").await.ok();
            (calls["items"].as_array().map_or(0, Vec::len) >= 4).then_some(())
        })
        .await;
    }

    /// A call that was answered and recorded, one that was missed, and one that goes on.
    async fn call(&self, texts: &Texts) {
        let space = &self.space;
        let contact =
            json!({ "name": texts.company, "phones": [{ "type": "work", "value": CLIENT }] });
        space.post("/contacts", contact).await.ok();
        let exchange = Integration::install(space, "Megafon", "https://my-integration.ru").await;
        let api = space.access_key(&exchange.access_key().await);
        let recording = upload(&api, &texts.file).await;
        let send = async |name: &str, mut body: Value| {
            body["to"]["userId"] = json!(self.us.employee);
            let path = format!("/communications/callbacks/telephony/{name}");
            api.post(&path, body).await.ok();
        };
        let now = self.exchange.hub.app.clock.now().to_string();
        for id in ["answered", "missed", "going on"] {
            let mut body = started(id);
            body["timestamp"] = json!(now);
            send("call-started", body).await;
            send("call-event", event(id, "1", "appeared", 1)).await;
        }
        for id in ["answered", "going on"] {
            send("call-event", event(id, "1", "connected", 5)).await;
        }
        send("call-finished", finished("answered", 20)).await;
        let talk = json!([item("1", Some(5), 20, &[&recording])]);
        send("register-call", register("answered", talk)).await;
        send("call-finished", finished("missed", 12)).await;
        let missed = json!([item("1", None, 12, &[])]);
        send("register-call", register("missed", missed)).await;
    }

    /// A channel with a script that has run once well and once badly.
    async fn run_script(&self, texts: &Texts) {
        let rest = self.us.api.at("");
        let line = json!(texts.log_line);
        let source = format!(
            "console.log({line}); if (request.body.fails) throw new Error({line}); ({{ ok: {line} }})"
        );
        let data = json!({ "language": "javascript", "source": source });
        let script = json!({ "code": "orders", "name": texts.script, "scriptdata": data });
        rest.post(SCRIPTS, script).await.ok();
        let point = json!({ "code": "shop", "type": "public", "recv_svcscriptcode": "orders" });
        let token = rest.post(POINTS, point).await.ok().str("token_local");
        let hook = rest.clone().bearer(&token);
        for body in [json!({ "order": 7 }), json!({ "fails": true })] {
            hook.post("/exec", body).await.ok();
        }
        eventually("two runs", || async {
            let runs = rest.get(RUNS).await.ok();
            (runs.as_array().map_or(0, Vec::len) >= 2).then_some(())
        })
        .await;
    }

    /// A draft, a document that waits for the other company, one that waits for us, and one that both have signed.
    async fn exchange_documents(&self, texts: &Texts) {
        let draft = self.us.content(&texts.file, PDF).await;
        let mut body = self.us.metadata(&[&draft]);
        body["documentMetadata"]["documentName"] = json!(texts.document);
        self.us.api.post(CREATE, body).await.ok();
        self.us.sent(&[&self.them.bin]).await;
        self.them.sent(&[&self.us.bin]).await;
        let both = self.us.sent(&[&self.them.bin]).await;
        self.them.quick_sign(Side::Inbox, &both).await.ok();
    }
}

/// Uploads a second of silence as a recording, and returns the file's id.
async fn upload(api: &Caller, name: &str) -> String {
    let mut body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: audio/wav\r\n\r\n"
    )
    .into_bytes();
    // PCM, one channel, 8000 samples a second, 8 bits each.
    body.extend_from_slice(b"RIFF\x64\x1f\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0");
    body.extend_from_slice(b"\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x40\x1f\0\0");
    body.extend_from_slice(&[0x80; 8000]);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    let form = "multipart/form-data; boundary=edge";
    let caller = api.clone().header("content-type", form);
    let made = caller.send(Method::POST, "/files", Some(body)).await.ok();
    made.str("fileId")
}

/// An answer with status 503 and this body.
fn failure(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 503 X\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n\r\n{body}")
}
