//! The models of a document, as one company sees it (`docs/contracts/idocs.md §1.3`).
//!
//! Their members equal those of the log's snapshot.

use prichal_core::{
    document::{
        Action, ActionNode, Direction, Document, Group, NodeState, NodeStatus, Ordering, Recipient,
        Status,
    },
    id::WorkspaceId,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::words::{
    DocumentDirectionEnum, DocumentGroupType, ExternalNodeStatus, NodeActionStatus,
    RouteActionEnum, RouteOrderType,
};

/// A document, as the company sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DocumentBaseVM)]
pub struct DocumentBase {
    pub id: Uuid,
    document_name: String,
    document_number: String,
    /// The date of the document, in seconds since 1970, in UTC.
    #[schema(example = 1_767_225_600)]
    document_date: i64,
    #[schema(value_type = DocumentGroupType)]
    document_group: Group,
    /// The employee of the sender who has made the document.
    document_author_employee_id: Uuid,
    /// Seconds since 1970.
    #[schema(example = 1_767_225_600)]
    created_on: i64,
    #[schema(value_type = ExternalNodeStatus)]
    document_status: Status,
    #[schema(value_type = DocumentDirectionEnum)]
    document_direction: &'static str,
}

impl DocumentBase {
    pub fn of(document: &Document, viewer: WorkspaceId, status: Status) -> Self {
        let direction = document.direction(viewer).unwrap_or(Direction::Inbox);
        Self {
            id: document.id,
            document_name: document.name.clone(),
            document_number: document.number.clone(),
            document_date: document.date,
            document_group: document.group,
            document_author_employee_id: document.author.0,
            created_on: document.created_on,
            document_status: status,
            document_direction: direction.name(),
        }
    }
}

/// A document with its route, as the company sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DocumentExtendedVM)]
pub struct DocumentExtended {
    #[serde(flatten)]
    base: DocumentBase,
    document_route: Route,
}

impl DocumentExtended {
    /// `None` if the company does not see the document.
    pub fn of(document: &Document, viewer: WorkspaceId) -> Option<Self> {
        Some(Self {
            base: DocumentBase::of(document, viewer, document.status(viewer)?),
            document_route: Route::of(document, viewer),
        })
    }
}

/// The route, with all companies and the company's own employees.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DocumentRouteVM)]
struct Route {
    external: ExternalRoute,
    internal: InternalRoute,
}

impl Route {
    fn of(document: &Document, viewer: WorkspaceId) -> Self {
        let is_sender = viewer == document.sender.company;
        let companies = document.recipients().iter();
        let internal = document.internal(viewer);
        let employees = internal.map_or(&[][..], |internal| &internal.nodes);
        Self {
            external: ExternalRoute {
                nodes: companies
                    .map(|one| ExternalNode::of(one, is_sender || one.party.company == viewer))
                    .collect(),
            },
            internal: InternalRoute {
                route_action_ordering_type: internal
                    .map_or(Ordering::None, |internal| internal.ordering),
                nodes: employees.iter().map(InternalNode::of).collect(),
            },
        }
    }
}

/// The companies that receive the document.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ExternalRouteVM)]
struct ExternalRoute {
    nodes: Vec<ExternalNode>,
}

/// The employees of the company who act on the document.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InternalRouteVM)]
struct InternalRoute {
    #[schema(value_type = RouteOrderType)]
    route_action_ordering_type: Ordering,
    nodes: Vec<InternalNode>,
}

/// A company that receives the document.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExternalNodeVM)]
struct ExternalNode {
    order: i32,
    #[schema(example = "971240001315")]
    counterparty_company_bin: String,
    counterparty_company_id: Uuid,
    /// Shown to the sender and to the company itself.
    #[schema(required)]
    comment: Option<String>,
    /// True for a person, whose IIN stands in the place of the BIN.
    is_individual: bool,
    /// Shown to the sender and to the company itself.
    #[schema(required)]
    counterparty_company_emails: Option<Vec<String>>,
    is_sign_required: bool,
    state: State,
}

impl ExternalNode {
    /// Only the company itself and the sender (`own`) see its comment, e-mails and reason.
    fn of(node: &Recipient, own: bool) -> Self {
        Self {
            order: node.order,
            counterparty_company_bin: node.party.bin.clone(),
            counterparty_company_id: node.party.company.0,
            comment: node.comment.clone().filter(|_| own),
            is_individual: node.individual,
            counterparty_company_emails: own.then(|| node.emails.clone()),
            is_sign_required: node.sign_required,
            state: State::of(&node.state, own),
        }
    }
}

/// An employee who acts on the document.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InternalNodeVM)]
struct InternalNode {
    order: i32,
    employee_id: Uuid,
    #[schema(value_type = RouteActionEnum)]
    required_action: Action,
    state: State,
}

impl InternalNode {
    fn of(node: &ActionNode) -> Self {
        Self {
            order: node.order,
            employee_id: node.employee.0,
            required_action: node.action,
            state: State::of(&node.state, true),
        }
    }
}

/// The progress of a node.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NodeStateVM)]
struct State {
    #[schema(value_type = NodeActionStatus)]
    status: NodeStatus,
    /// Seconds since 1970.
    #[schema(required, example = 1_767_225_600)]
    completed_on: Option<i64>,
    reject_metadata: Rejection,
}

/// A refusal.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RejectMetadataVM)]
struct Rejection {
    /// The reason of a refusal, if one was given.
    #[schema(required)]
    reject_reason: Option<String>,
}

impl State {
    fn of(state: &NodeState, own: bool) -> Self {
        Self {
            status: state.status,
            completed_on: state.completed_on,
            reject_metadata: Rejection {
                reject_reason: state.reason.clone().filter(|_| own),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use prichal_core::{
        document::{Internal, Kind, Party, Route, snapshot},
        id::UserId,
    };
    use serde_json::json;

    use super::*;

    /// A sent document with a recipient and an employee.
    fn document() -> Document {
        let party = |id: u128, bin: &str| Party {
            company: WorkspaceId(Uuid::from_u128(id)),
            bin: bin.to_owned(),
        };
        let state = NodeState {
            status: NodeStatus::Done,
            completed_on: Some(3),
            reason: Some("late".to_owned()),
        };
        Document {
            id: Uuid::from_u128(7),
            kind: Kind::External,
            sender: party(1, "971240001315"),
            name: "Договор".to_owned(),
            number: "7/1".to_owned(),
            date: 1,
            group: Group::Legal,
            author: UserId(Uuid::from_u128(3)),
            created_on: 2,
            contents: Vec::new(),
            route: Some(Route {
                quick: false,
                ordering: Ordering::None,
                sign_by_sender: false,
                signed_by_sender: false,
                sent: true,
                recipients: vec![Recipient {
                    order: 0,
                    party: party(2, "940140000385"),
                    comment: Some("for you".to_owned()),
                    individual: false,
                    emails: vec!["a@example.kz".to_owned()],
                    sign_required: true,
                    org_unit: None,
                    signed: true,
                    state: state.clone(),
                    internal: None,
                }],
                internal: Some(Internal {
                    ordering: Ordering::Parallel,
                    nodes: vec![ActionNode {
                        order: 1,
                        employee: UserId(Uuid::from_u128(4)),
                        action: Action::Approve,
                        state,
                    }],
                }),
            }),
            fate: None,
        }
    }

    #[test]
    fn models_have_the_members_of_the_snapshot() {
        let document = document();
        for viewer in [1, 2].map(|id| WorkspaceId(Uuid::from_u128(id))) {
            let mut expected = snapshot::members(&document, viewer, Status::Finished);
            let base = DocumentBase::of(&document, viewer, Status::Finished);
            assert_eq!(json!(base).to_string(), expected.to_string());
            expected["documentRoute"] = snapshot::route(&document, viewer);
            let extended = DocumentExtended::of(&document, viewer);
            assert_eq!(json!(extended).to_string(), expected.to_string());
        }
    }
}
