//! A new document: its file, its facts and, if they are named, its recipients.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    actions::{Answer, Blob, is_told, refused, send_route, status_of},
    employees,
    files::send_file,
    may_create,
    model::{acting, groups},
    seconds,
};
use crate::{
    answer::{Fault, page, redirect},
    api::{query, segment},
    form::Fields,
    page::{Layout, Section},
    parts::{Choice, choices},
    upload::Upload,
    visit::Visit,
    words,
};

#[derive(Template)]
#[template(path = "document-new.html")]
struct NewPage {
    layout: Layout,
    w: &'static words::Documents,
    given: Fields,
    groups: Vec<Choice>,
    employees: Vec<Choice>,
    date: String,
    sender_signs: bool,
    action: String,
    error: Option<String>,
    may_create: bool,
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

/// The form of a new document.
pub(super) async fn form(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    show(&visit, fields, None, true).await
}

async fn show(
    visit: &Visit,
    given: Fields,
    error: Option<String>,
    is_new: bool,
) -> Result<Response, Fault> {
    let w = words::Documents::of(visit.language);
    let employees = employees(visit).await?;
    let chosen = acting(visit, given.text("employee")).into_owned();
    let pairs = [("", w.act_as_first)].into_iter().chain(employees.pairs());
    let may_choose = employees.pairs().next().is_some();
    let today = crate::moment::Moment::new(visit.console.now(), &visit.workspace.zone).machine;
    let today = today.get(..10).unwrap_or_default();
    let group = given.get("group").unwrap_or("Legal");
    Ok(page(&NewPage {
        layout: Layout::of(visit, Section::Documents, w.create),
        w,
        groups: choices(group, groups(w)),
        employees: if may_choose {
            choices(&chosen, pairs)
        } else {
            Vec::new()
        },
        date: given.get("date").unwrap_or(today).to_owned(),
        sender_signs: is_new || given.has("senderSigns"),
        given,
        action: visit.page("documents/new"),
        error,
        may_create: may_create(visit).await?,
    }))
}

/// Uploads the file, creates a draft, and sets its route.
pub(super) async fn create(Path(_): Path<String>, upload: Upload) -> Result<Response, Fault> {
    let Upload {
        visit,
        fields,
        file,
    } = upload;
    let w = words::Documents::of(visit.language);
    let Some(file) = file else {
        return bad(
            &visit,
            fields,
            w.no_file.to_owned(),
            StatusCode::BAD_REQUEST,
        )
        .await;
    };
    let path = "/api/v3/sync/blobs/document-content";
    let blob: Answer<Blob> = match send_file(&visit, path, file).await {
        Ok(blob) => blob,
        Err(error) if is_told(&error) => {
            let status = status_of(&error);
            return bad(&visit, fields, error.message, status).await;
        }
        Err(error) => return Err(error.into()),
    };
    let Some(date) = seconds(fields.text("date"), "T00:00:00") else {
        return bad(
            &visit,
            fields,
            w.bad_date.to_owned(),
            StatusCode::BAD_REQUEST,
        )
        .await;
    };
    let employee = acting(&visit, fields.text("employee")).into_owned();
    let author = Some(&*employee).filter(|one| !one.is_empty());
    let body = json!({
        "documentMetadata": {
            "documentName": fields.text("name"),
            "documentNumber": fields.text("number"),
            "documentDate": date,
            "documentGroup": fields.text("group"),
            "documentAuthorEmployeeId": author,
        },
        "documentBinaryContents": [{ "blobId": blob.response.blob_id }],
    });
    let side = if fields.has("isInternal") {
        "internal"
    } else {
        "external/outbox"
    };
    let path = format!("/api/v3/sync/{side}/document/create");
    let made: Made = match visit.send(Method::POST, &path, &body).await {
        Ok(made) => made,
        Err(error) if is_told(&error) => {
            let status = status_of(&error);
            return bad(&visit, fields, error.message, status).await;
        }
        Err(error) => return Err(error.into()),
    };
    let is_routed = !fields.text("recipients").is_empty() && !fields.has("isInternal");
    if is_routed && let Err(error) = set_route(&visit, &made.id, &fields, &employee).await {
        // The draft is there; its page says why the route is not.
        return refused(&visit, &made.id, &fields, error).await;
    }
    let to = visit.page(&format!("documents/{}", segment(&made.id)));
    let more = query([("employee", &*employee), ("done", "created")]);
    Ok(redirect(&format!("{to}{more}")))
}

/// The employee of a document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    employee_id: Option<String>,
}

/// Sets the route as the employee of the form, or as the one whom the API takes for the company.
async fn set_route(
    visit: &Visit,
    id: &str,
    fields: &Fields,
    employee: &str,
) -> Result<Value, crate::api::ApiError> {
    if !employee.is_empty() {
        return send_route(visit, id, &fields.with("employee", employee)).await;
    }
    let path = format!("/documents/v1/documents/{}", segment(id));
    let detail: Detail = visit.get(&path).await?;
    let employee = detail.employee_id.unwrap_or_default();
    send_route(visit, id, &fields.with("employee", &employee)).await
}

/// The form again, with the reason of the refusal and the reader's input.
async fn bad(
    visit: &Visit,
    fields: Fields,
    error: String,
    status: StatusCode,
) -> Result<Response, Fault> {
    let mut page = show(visit, fields, Some(error), false).await?;
    *page.status_mut() = status;
    Ok(page)
}
