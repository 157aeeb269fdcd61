//! The actions on a document: routes, signatures, approvals, refusals.

use axum::{extract::Path, response::Response};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{detail::show, files::send_file, signature};
use crate::{
    answer::{Fault, redirect},
    api::{ApiError, query, segment},
    form::{Action, Fields},
    upload::Upload,
    visit::Visit,
};

/// An answer with the vendor's envelope.
#[derive(Deserialize)]
pub(super) struct Answer<T> {
    pub(super) response: T,
}

/// An uploaded file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob {
    pub(super) blob_id: String,
}

/// The content to sign.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    download_link: String,
    idempotency_ticket: String,
}

/// Leads back to the document, or shows it with the reason of a refusal and with the reader's input.
async fn back<T>(
    visit: &Visit,
    id: &str,
    fields: &Fields,
    sent: Result<T, ApiError>,
    done: &str,
) -> Result<Response, Fault> {
    match sent {
        Ok(_) => {
            let more = query([("employee", fields.text("employee")), ("done", done)]);
            let page = visit.page(&format!("documents/{}", segment(id)));
            Ok(redirect(&format!("{page}{more}")))
        }
        Err(error) => refused(visit, id, fields, error).await,
    }
}

/// Shows the document with the reason of a refusal.
pub(super) async fn refused(
    visit: &Visit,
    id: &str,
    fields: &Fields,
    error: ApiError,
) -> Result<Response, Fault> {
    if !is_told(&error) {
        return Err(error.into());
    }
    let status = status_of(&error);
    let told = signature::refusal(&error.message, visit.language);
    let message = told.unwrap_or(error.message);
    let mut page = show(visit, id, fields, Some(message)).await?;
    *page.status_mut() = status;
    Ok(page)
}

/// The status of a page with a refusal. The API of documents sends 400 for a missing permission.
pub(super) fn status_of(error: &ApiError) -> StatusCode {
    if error.is_forbidden() {
        StatusCode::FORBIDDEN
    } else {
        error.status
    }
}

/// True for an error whose reason the reader is to see: a refusal, a missing permission, or an issuer of certificates
/// that does not answer now.
pub(super) fn is_told(error: &ApiError) -> bool {
    let is_away = error.status == StatusCode::SERVICE_UNAVAILABLE && !error.message.is_empty();
    error.is_refusal() || error.is_forbidden() || is_away
}

/// A step without a file: `approve`, `refuse`, `reject`, `decline`, `recall`, `delete`.
pub(super) async fn act(
    Path((_, id, step)): Path<(String, String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let (path, more, done) = match step.as_str() {
        "approve" => ("internal/route/action", Some("APPROVE"), "approved"),
        "refuse" => ("internal/route/action", Some("REJECT"), "refused"),
        "reject" => ("external/inbox/document/reject", None, "refused"),
        "decline" => ("external/outbox/document/reject", None, "refused"),
        "recall" => ("external/outbox/document/recall", None, "recalled"),
        "delete" => return delete(&visit, &id, &fields).await,
        _ => return Err(Fault::NotFound),
    };
    let mut body = json!({
        "documentId": id,
        "employeeId": fields.text("employee"),
        "reason": fields.get("reason"),
    });
    if let (Some(action), Some(body)) = (more, body.as_object_mut()) {
        body.insert("action".to_owned(), action.into());
    }
    let path = format!("/api/v3/sync/{path}");
    let sent = visit.send::<Value>(Method::POST, &path, &body).await;
    back(&visit, &id, &fields, sent, done).await
}

async fn delete(visit: &Visit, id: &str, fields: &Fields) -> Result<Response, Fault> {
    let path = format!("/api/v3/sync/external/outbox/document/{}", segment(id));
    match visit
        .send::<Value>(Method::DELETE, &path, &Value::Null)
        .await
    {
        Ok(_) => {
            let list = query([("folder", "drafts"), ("done", "deleted")]);
            Ok(redirect(&format!("{}{list}", visit.page("documents"))))
        }
        Err(error) => refused(visit, id, fields, error).await,
    }
}

/// Sets the route of a draft, or the internal one of a received document.
pub(super) async fn route(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let sent = match fields.text("kind") {
        "outbox" => send_route(&visit, &id, &fields).await,
        kind @ ("inbox" | "internal") => {
            let nodes = nodes(&fields);
            let employee = fields.text("employee");
            let (path, body) = if kind == "inbox" {
                let route = json!({ "internal": nodes });
                let body = json!({ "documentId": id, "employeeId": employee, "route": route });
                ("external/inbox/route/create", body)
            } else {
                let mut body = nodes;
                body["documentId"] = id.clone().into();
                body["employeeId"] = employee.into();
                ("internal/route/create", body)
            };
            let path = format!("/api/v3/sync/{path}");
            visit.send(Method::POST, &path, &body).await
        }
        _ => return Err(Fault::NotFound),
    };
    back(&visit, &id, &fields, sent, "routed").await
}

/// The chosen employees, who approve one after the other.
fn nodes(fields: &Fields) -> Value {
    let nodes = fields.all("approver").filter(|one| !one.is_empty());
    let nodes: Vec<Value> = nodes
        .enumerate()
        .map(|(n, id)| json!({ "order": n, "employeeId": id, "requiredAction": "APPROVE" }))
        .collect();
    json!({ "nodes": nodes, "routeActionOrderingType": "SEQUENTIAL" })
}

/// Sets the route of an outgoing document. With the sender's signature and without employees who approve, it is the
/// quick one: the document is sent when the sender signs it.
pub(super) async fn send_route(
    visit: &Visit,
    id: &str,
    fields: &Fields,
) -> Result<Value, ApiError> {
    let recipients = fields.raw("recipients").lines();
    let recipients = recipients.filter_map(|line| {
        let mut words = line.split_whitespace();
        let bin = words.next()?;
        Some((bin, words.collect::<Vec<_>>()))
    });
    let companies: Vec<Value> = recipients
        .enumerate()
        .map(|(n, (bin, emails))| {
            json!({
                "order": n,
                "counterpartyBin": bin,
                "counterpartyEmails": emails,
                "requiredActionType": "SIGN",
            })
        })
        .collect();
    let internal = nodes(fields);
    let has_approvers = internal["nodes"]
        .as_array()
        .is_some_and(|all| !all.is_empty());
    let sender_signs = fields.has("senderSigns");
    let is_quick = sender_signs && !has_approvers;
    let external = json!({ "nodes": companies, "isSignRequiredBySender": sender_signs });
    let mut route = json!({ "external": external });
    if has_approvers {
        route["internal"] = internal;
    }
    let path = if is_quick {
        "/api/v3/sync/external/outbox/route/quick-route/create"
    } else {
        "/api/v3/sync/external/outbox/route/create"
    };
    let employee = fields.text("employee");
    let body = json!({ "documentId": id, "employeeId": employee, "route": route });
    visit.send(Method::POST, path, &body).await
}

/// The side of the company in paths of the API.
fn side(fields: &Fields) -> &'static str {
    match fields.text("side") {
        "inbox" => "inbox",
        _ => "outbox",
    }
}

/// Prepares the content to sign, which the page then offers with its ticket.
pub(super) async fn prepare(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let employee = fields.text("employee");
    let path = format!(
        "/api/v3/sync/external/{}/signature/content-to-sign/generate",
        side(&fields)
    );
    let body = json!({ "documentId": id, "signedByEmployeeId": employee });
    let made = match visit.send::<Content>(Method::POST, &path, &body).await {
        Ok(made) => made,
        Err(error) => return refused(&visit, &id, &fields, error).await,
    };
    let link = made.download_link.rsplit('/').next().unwrap_or_default();
    let more = query([
        ("employee", employee),
        ("ticket", &*made.idempotency_ticket),
        ("link", link),
    ]);
    let page = visit.page(&format!("documents/{}", segment(&id)));
    Ok(redirect(&format!("{page}{more}#sign")))
}

/// Uploads a signature, and signs with it.
pub(super) async fn sign(
    Path((_, id)): Path<(String, String)>,
    upload: Upload,
) -> Result<Response, Fault> {
    let Upload {
        visit,
        fields,
        file,
    } = upload;
    let sent = match file {
        Some(file) => save(&visit, &id, &fields, file).await,
        None => return Err(Fault::NotFound),
    };
    back(&visit, &id, &fields, sent, "signed").await
}

async fn save(
    visit: &Visit,
    id: &str,
    fields: &Fields,
    file: crate::upload::File,
) -> Result<Value, ApiError> {
    let path = "/api/v3/sync/blobs/document-signature-content";
    let blob: Answer<Blob> = send_file(visit, path, file).await?;
    let path = format!(
        "/api/v3/sync/external/{}/signature/quick-sign/save",
        side(fields)
    );
    let body = json!({
        "documentId": id,
        "signedByEmployeeId": fields.text("employee"),
        "signatureBinaryContent": { "blobId": blob.response.blob_id },
        "idempotencyTicket": fields.get("ticket"),
    });
    visit.send(Method::POST, &path, &body).await
}
