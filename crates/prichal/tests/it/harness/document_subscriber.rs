//! Companies that subscribe to the statuses of their documents.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use prichal::error::Error;
use prichal_core::{
    document::{
        Document, Group, Kind, Party, Status,
        snapshot::{ChangeAuthor, snapshot},
    },
    event::{Author, EntityKind, NewEvent, Origin},
    id::{EventId, UserId, WorkspaceId, generate},
};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::harness::{
    hub::{Answer, Caller, Hub, eventually},
    receiver::{Call, Receiver},
};

pub(crate) const SUBSCRIPTION: &str = "/subscription/document-status-changed-event";
pub(crate) const BIN: &str = "971240001315";
pub(crate) const OTHER_BIN: &str = "100740005482";
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// A company, and its caller under `/api/1/webhooks/document-events`.
pub(crate) struct Subscriber {
    pub(crate) id: WorkspaceId,
    pub(crate) name: String,
    pub(crate) caller: Caller,
}

pub(crate) async fn company(hub: &Hub, name: &str, bin: &str) -> Subscriber {
    let body = json!({ "name": name, "bin": bin, "companyName": name });
    let made = hub.admin().post("/admin/v1/workspaces", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let caller = hub.token(name, "admin").await;
    Subscriber {
        id: WorkspaceId::parse(&made.str("id")).expect("an id"),
        name: name.to_owned(),
        caller: caller
            .at("/api/1/webhooks/document-events")
            .header("accept-language", "en"),
    }
}

impl Subscriber {
    /// The same company at this server.
    pub(crate) fn at(&self, hub: &Hub) -> Self {
        Self {
            id: self.id,
            name: self.name.clone(),
            caller: hub.adopt(&self.caller),
        }
    }

    pub(crate) async fn subscribe(&self, url: &str) -> Answer {
        let body = json!({ "subscriptionUrl": url });
        self.caller.post(SUBSCRIPTION, body).await
    }

    pub(crate) async fn subscription(&self) -> Answer {
        self.caller.get(SUBSCRIPTION).await.ok()
    }

    /// The attempts, newest first, as soon as there are `count` of them.
    pub(crate) async fn attempts(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} attempts"), || async {
            let listed = self
                .caller
                .get(&format!("{SUBSCRIPTION}/deliveries?limit=1000"))
                .await
                .ok();
            let items = listed["items"].as_array().expect("items").clone();
            assert_eq!(listed["count"], items.len());
            (items.len() >= count).then_some(items)
        })
        .await
    }

    /// A document of the company that is not in its log yet.
    pub(crate) fn document(&self, hub: &Hub, number: &str) -> Document {
        Document {
            id: generate(hub.installation.clock.now()),
            kind: Kind::External,
            sender: Party {
                company: self.id,
                bin: BIN.to_owned(),
            },
            name: "Договор".to_owned(),
            number: number.to_owned(),
            date: 1,
            group: Group::Legal,
            author: UserId(Uuid::from_u128(3)),
            created_on: 2,
            contents: Vec::new(),
            route: None,
            fate: None,
        }
    }

    /// Appends an event with the company's view of a document to its log.
    pub(crate) async fn append_event(
        &self,
        hub: &Hub,
        document: &Document,
        previous: Option<Status>,
        now: Status,
    ) {
        let by = ChangeAuthor {
            bin: BIN.to_owned(),
            employee: Uuid::from_u128(3),
        };
        let origin = Origin {
            workspace: self.id,
            author: Author::system(),
            at: hub.installation.clock.now(),
        };
        let (viewer, document) = (self.id, document.clone());
        let write = move |tx: &mut prichal_store::Tx<'_>| {
            let new = snapshot(&document, viewer, now, Some(&by), None);
            let old = previous.map(|status| snapshot(&document, viewer, status, None, None));
            let (id, entity) = (
                EventId::generate(origin.at),
                (EntityKind::Document, document.id),
            );
            tx.append(match old {
                None => NewEvent::create(id, &origin, entity, new),
                Some(old) => NewEvent::patch(id, &origin, entity, old, new),
            });
            Ok::<_, Error>(())
        };
        hub.app.db.write(viewer, write).await.expect("written");
    }

    /// A new draft.
    pub(crate) async fn draft(&self, hub: &Hub, number: &str) -> Document {
        let document = self.document(hub, number);
        self.append_event(hub, &document, None, Status::Draft).await;
        document
    }

    /// The draft is sent.
    pub(crate) async fn send(&self, hub: &Hub, document: &Document) {
        self.append_event(hub, document, Some(Status::Draft), Status::SentBySender)
            .await;
    }
}

/// A server with one subscribed company, and the secret of the subscription.
pub(crate) async fn subscribed(receiver: &Receiver) -> (Hub, Subscriber, String) {
    let hub = Hub::start().await;
    let company = company(&hub, "acme", BIN).await;
    let made = company.subscribe(&receiver.url).await.ok();
    let secret = made.str("secret");
    (hub, company, secret)
}

pub(crate) fn signature(secret: &str, call: &Call) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    let at = call.header("x-idocs-timestamp").expect("a time");
    mac.update(format!("{at}.{}", call.body).as_bytes());
    let digest = mac.finalize().into_bytes();
    let hex: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={}", hex.concat())
}

/// The number and status of the document in a call.
pub(crate) fn status_event(call: &Call) -> (String, String) {
    let body = call.json();
    let text = |member: &str| body[member].as_str().expect("text").to_owned();
    (text("documentNumber"), text("documentStatus"))
}

pub(crate) fn pair(number: &str, status: &str) -> (String, String) {
    (number.to_owned(), status.to_owned())
}
