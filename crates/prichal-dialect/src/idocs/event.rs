//! The status event of a document, as outside systems receive it (`docs/contracts/idocs.md §3.3`).

use prichal_core::{id::WorkspaceId, time::Timestamp};
use serde_json::{Value, json};

/// The only event that can be subscribed to.
pub const STATUS_CHANGED: &str = "document-status-changed-event";

/// A change of a document's status, read back from the log.
#[derive(Clone, Debug)]
pub struct StatusChange {
    id: Value,
    occurred_on: i64,
    previous: Value,
    /// The newer snapshot.
    new: Value,
}

impl StatusChange {
    /// Reads the text of an event of the log. `None` for an event that carries no document status.
    pub fn read(event: &str) -> Option<Self> {
        let mut event: Value = serde_json::from_str(event).ok()?;
        let at = event.pointer("/createInfo/createdAt")?.as_str()?;
        let occurred_on = Timestamp::parse(at)?.secs();
        let change = event.get_mut("changeData")?;
        let previous = change
            .pointer("/old/documentStatus")
            .cloned()
            .unwrap_or_default();
        let new = change.get_mut("new")?.take();
        new.get("documentStatus")?;
        Some(Self {
            id: event.get_mut("id")?.take(),
            occurred_on,
            previous,
            new,
        })
    }

    /// The body of the event: number `sequence` of the company's log, in call number `attempt`. Without an
    /// attempt it is a row of the history or of the feed.
    pub fn body(&self, company: WorkspaceId, sequence: i64, attempt: Option<u32>) -> Value {
        let member = |name: &str| self.new.get(name).cloned().unwrap_or_default();
        let mut body = json!({
            "eventId": self.id,
            "eventType": STATUS_CHANGED,
            "sequence": sequence,
            "occurredOn": self.occurred_on,
            "companyId": company,
            "documentId": member("id"),
            "documentNumber": member("documentNumber"),
            "documentName": member("documentName"),
            "documentDirection": member("documentDirection"),
            "previousStatus": self.previous,
            "documentStatus": member("documentStatus"),
            "actor": member("actor"),
            "rejectReason": member("rejectReason"),
        });
        if let (Some(attempt), Some(members)) = (attempt, body.as_object_mut()) {
            members.insert("attempt".to_owned(), attempt.into());
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use prichal_core::{
        document::{
            Document, Group, Kind, Party, Status,
            snapshot::{ChangeAuthor, snapshot},
        },
        event::{Author, EntityKind, NewEvent, Origin},
        id::{EventId, UserId},
    };
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_body_has_the_members_of_the_logs_event() {
        let company = WorkspaceId(Uuid::from_u128(1));
        let document = Document {
            id: Uuid::from_u128(7),
            kind: Kind::External,
            sender: Party {
                company,
                bin: "971240001315".to_owned(),
            },
            name: "Договор".to_owned(),
            number: "7/1".to_owned(),
            date: 1,
            group: Group::Legal,
            author: UserId(Uuid::from_u128(3)),
            created_on: 2,
            contents: Vec::new(),
            route: None,
            fate: None,
        };
        let by = ChangeAuthor {
            bin: "971240001315".to_owned(),
            employee: Uuid::from_u128(3),
        };
        let (old, new) = (
            snapshot(&document, company, Status::Draft, None, None),
            snapshot(&document, company, Status::SentBySender, Some(&by), None),
        );
        let origin = Origin {
            workspace: company,
            author: Author::system(),
            at: Timestamp::from_micros(1_767_225_600_000_000),
        };
        let entity = (EntityKind::Document, document.id);
        let event = NewEvent::patch(EventId(Uuid::from_u128(9)), &origin, entity, old, new);
        let told = StatusChange::read(&event.render(Uuid::nil())).unwrap();
        let expected = json!({
            "eventId": Uuid::from_u128(9), "eventType": "document-status-changed-event", "sequence": 5,
            "occurredOn": 1_767_225_600, "companyId": company, "documentId": document.id,
            "documentNumber": "7/1", "documentName": "Договор", "documentDirection": "Outbox",
            "previousStatus": "DRAFT", "documentStatus": "SENT_BY_SENDER",
            "actor": { "companyBin": "971240001315", "employeeId": Uuid::from_u128(3) },
            "rejectReason": null, "attempt": 1,
        });
        assert_eq!(told.body(company, 5, Some(1)), expected);
        assert!(StatusChange::read("{}").is_none());
    }
}
