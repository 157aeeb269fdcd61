//! The status event of a document, as outside systems receive it (`docs/contracts/idocs.md §3.3`).

use prichal_core::{id::WorkspaceId, time::Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{
    ToSchema,
    openapi::{Object, schema::Type},
};
use uuid::Uuid;

use super::words::{DocumentDirectionEnum, ExternalNodeStatus};

/// The only event that can be subscribed to.
pub const STATUS_CHANGED: &str = "document-status-changed-event";

/// A change of a document's status, read back from the log.
#[derive(Clone, Debug)]
pub struct StatusChange {
    occurred_on: i64,
    event: LoggedEvent,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoggedEvent {
    id: Uuid,
    create_info: CreateInfo,
    change_data: ChangeData,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateInfo {
    created_at: String,
}

#[derive(Clone, Debug, Deserialize)]
struct ChangeData {
    old: Option<Previous>,
    new: Snapshot,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Previous {
    document_status: Option<String>,
}

/// The newer snapshot.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot {
    id: Uuid,
    document_number: String,
    document_name: String,
    document_direction: String,
    document_status: String,
    actor: Option<ChangeActor>,
    reject_reason: Option<String>,
}

fn event_type() -> Object {
    Object::builder()
        .schema_type(Type::String)
        .enum_values(Some([STATUS_CHANGED]))
        .description(Some("The kind of the event."))
        .build()
}

/// A change of a document's status, as it is sent and listed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DocumentStatusChangedEvent)]
pub struct StatusEvent {
    /// The id of the event. A repeated call has the same one.
    event_id: Uuid,
    #[schema(schema_with = event_type)]
    event_type: &'static str,
    /// The number of the event among all of the company. Numbers grow, and some are left out.
    sequence: i64,
    /// The time of the change, in seconds since 1970.
    #[schema(examples(1_767_225_600))]
    occurred_on: i64,
    /// The company whose status of the document has changed.
    company_id: Uuid,
    /// The document.
    document_id: Uuid,
    /// The number of the document.
    document_number: String,
    /// The name of the document.
    document_name: String,
    /// The side of the company.
    #[schema(value_type = DocumentDirectionEnum)]
    document_direction: String,
    /// The status before. `null` for a new document.
    #[schema(required, value_type = Option<ExternalNodeStatus>)]
    previous_status: Option<String>,
    /// The status now.
    #[schema(value_type = ExternalNodeStatus)]
    document_status: String,
    /// The author of the change, if it was made by an employee.
    #[schema(required)]
    actor: Option<ChangeActor>,
    /// The reason of a refusal or a recall, if one was given.
    #[schema(required)]
    reject_reason: Option<String>,
    /// The number of the call, from 1. Lists leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    attempt: Option<u32>,
}

/// The author of a change.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DocumentChangeActor)]
struct ChangeActor {
    /// The BIN of the company.
    #[schema(examples("971240001315"))]
    company_bin: String,
    /// The employee.
    employee_id: Uuid,
}

impl StatusChange {
    /// Reads the text of an event of the log. `None` for an event that carries no document status.
    pub fn read(event: &str) -> Option<Self> {
        let event: LoggedEvent = serde_json::from_str(event).ok()?;
        let at = Timestamp::parse(&event.create_info.created_at)?;
        Some(Self {
            occurred_on: at.secs(),
            event,
        })
    }

    /// The body of the event: number `sequence` of the company's log, in call number `attempt`. Without an
    /// attempt it is a row of the history or of the feed.
    pub fn body(self, company: WorkspaceId, sequence: i64, attempt: Option<u32>) -> StatusEvent {
        let ChangeData { old, new } = self.event.change_data;
        StatusEvent {
            event_id: self.event.id,
            event_type: STATUS_CHANGED,
            sequence,
            occurred_on: self.occurred_on,
            company_id: company.0,
            document_id: new.id,
            document_number: new.document_number,
            document_name: new.document_name,
            document_direction: new.document_direction,
            previous_status: old.and_then(|old| old.document_status),
            document_status: new.document_status,
            actor: new.actor,
            reject_reason: new.reject_reason,
            attempt,
        }
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
    use serde_json::json;

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
        let body = told.body(company, 5, Some(1));
        assert_eq!(json!(body).to_string(), expected.to_string());
        assert!(StatusChange::read("{}").is_none());
    }
}
