//! The snapshot of a document in the log, as one company sees it. It is our own format, rendered once at the commit
//! (`docs/contracts/idocs.md §1.3`).

use serde_json::{Value, json};
use uuid::Uuid;

use super::{ActionNode, Direction, Document, Internal, NodeState, Ordering, Recipient, Status};
use crate::id::WorkspaceId;

/// The members of each snapshot.
pub fn members(document: &Document, viewer: WorkspaceId, status: Status) -> Value {
    json!({
        "id": document.id,
        "documentName": document.name,
        "documentNumber": document.number,
        "documentDate": document.date,
        "documentGroup": document.group.name(),
        "documentAuthorEmployeeId": document.author.0,
        "createdOn": document.created_on,
        "documentStatus": status.name(),
        "documentDirection": document.direction(viewer).unwrap_or(Direction::Inbox).name(),
    })
}

/// The author of a change, as the other companies see it.
#[derive(Clone, Debug)]
pub struct ChangeAuthor {
    pub bin: String,
    pub employee: Uuid,
}

/// The snapshot of a document for a company. With `by`, it also has the author and the reason of the change.
pub fn snapshot(
    document: &Document,
    viewer: WorkspaceId,
    status: Status,
    by: Option<&ChangeAuthor>,
    reason: Option<&str>,
) -> String {
    let mut shown = members(document, viewer, status);
    if let (Some(by), Some(shown)) = (by, shown.as_object_mut()) {
        let actor = json!({ "companyBin": by.bin, "employeeId": by.employee });
        shown.insert("actor".to_owned(), actor);
        shown.insert("rejectReason".to_owned(), reason.into());
    }
    shown.to_string()
}

/// The route, with all companies and the viewer's own employees.
pub fn route(document: &Document, viewer: WorkspaceId) -> Value {
    let sender = viewer == document.sender.company;
    let companies = document.recipients().iter();
    let companies: Vec<Value> = companies
        .map(|one| company(one, sender || one.party.company == viewer))
        .collect();
    let internal = document.internal(viewer);
    let ordering = internal.map_or(Ordering::None, |internal| internal.ordering);
    json!({
        "external": { "nodes": companies },
        "internal": {
            "routeActionOrderingType": ordering.name(),
            "nodes": internal.map_or_else(Vec::new, employees),
        },
    })
}

/// A company's node. Only that company and the sender (`own`) see its comment, e-mails and reason.
fn company(node: &Recipient, own: bool) -> Value {
    json!({
        "order": node.order,
        "counterpartyCompanyBin": node.party.bin,
        "counterpartyCompanyId": node.party.company,
        "comment": node.comment.as_ref().filter(|_| own),
        "isIndividual": node.individual,
        "counterpartyCompanyEmails": own.then_some(&node.emails),
        "isSignRequired": node.sign_required,
        "state": state(&node.state, own),
    })
}

fn employees(internal: &Internal) -> Vec<Value> {
    let model = |node: &ActionNode| {
        json!({
            "order": node.order,
            "employeeId": node.employee,
            "requiredAction": node.action.name(),
            "state": state(&node.state, true),
        })
    };
    internal.nodes.iter().map(model).collect()
}

fn state(state: &NodeState, own: bool) -> Value {
    json!({
        "status": state.status.name(),
        "completedOn": state.completed_on,
        "rejectMetadata": { "rejectReason": state.reason.as_ref().filter(|_| own) },
    })
}
