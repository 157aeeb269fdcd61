//! One document: its file beside its companies and its route, its signatures, its history, and what can be done.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use futures_util::future::try_join4;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    files::is_shown,
    has_one,
    model::{Document, Employees, acting, day, groups, moment, state},
    permissions,
    route::{Drawing, Route, Sender, Stop, draw, missing, stops},
    signature::{self, Signature},
};
use crate::{
    answer::{Fault, connecting_to, page},
    api::{query, segment},
    form::Fields,
    moment::Moment,
    page::{Layout, Section},
    parts::{Choice, State, choices, visible},
    visit::Visit,
    words::{self, fill},
};

/// The address at which NCALayer answers on the reader's own computer (`assets/ncalayer.js`).
const NCALAYER: &str = "wss://127.0.0.1:13579";

/// A document (`GET /documents/v1/documents/{id}`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(flatten)]
    document: Document,
    document_route: Route,
    route_order_type: String,
    is_quick_route: bool,
    is_sign_required_by_sender: bool,
    is_signed_by_sender: bool,
    reject_reason: Option<String>,
    files: Vec<File>,
    employee_id: Option<String>,
    steps: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    id: String,
    file_name: String,
    size: i64,
    sha256: String,
}

/// A change of status (`GET /api/1/webhooks/document-events/{id}`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    occurred_on: i64,
    document_status: String,
    actor: Option<Actor>,
    reject_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Actor {
    company_bin: String,
    employee_id: String,
}

#[derive(Template)]
#[template(path = "document.html")]
struct DetailPage {
    layout: Layout,
    w: &'static words::Documents,
    title: String,
    state: State,
    day: String,
    group: &'static str,
    created: Moment,
    author: Option<String>,
    sender: String,
    recipients: Vec<String>,
    reason: Option<String>,
    files: Vec<ShownFile>,
    viewer: Option<Viewer>,
    stops: Vec<Stop>,
    drawing: Drawing,
    missing: Vec<String>,
    /// A sentence about a document that lacks nothing, or can get nothing more.
    settled: Option<&'static str>,
    signatures: Vec<signature::Shown>,
    history: Vec<Line>,
    actions: Actions,
    employees: Vec<Choice>,
    /// The employees who may be asked to approve.
    approvers: Vec<Choice>,
    /// The employee as whom the session acts; empty if there is none.
    employee: String,
    /// The side of the company in paths of the API.
    side: &'static str,
    /// The reader's input of a refused form.
    given: Fields,
    here: String,
    check: Option<String>,
    /// True if the session may have the archive and the print form, and true if it may have the files.
    may_download: bool,
    may_open: bool,
    error: Option<String>,
}

/// A file in the list of files.
struct ShownFile {
    name: String,
    size: String,
    sha256: String,
    download: String,
    /// The address of this page with the file shown.
    shown: String,
}

/// The file beside the facts.
struct Viewer {
    name: String,
    /// The address in the frame; `None` for a kind that browsers do not show.
    address: Option<String>,
    /// True for a PDF, for which not every browser has a viewer.
    is_pdf: bool,
}

/// A line of the history.
struct Line {
    at: Moment,
    state: State,
    who: String,
    reason: String,
}

/// The actions that the employee may take now.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an action by itself")]
pub(super) struct Actions {
    sign: bool,
    approve: bool,
    /// The step by which the employee refuses, if any: of a node, of the recipient, of the sender.
    refuse: Option<&'static str>,
    recall: bool,
    route: bool,
    is_internal: bool,
    inbox_route: bool,
    delete: bool,
    /// The prepared content to sign.
    ticket: Option<Ticket>,
}

/// The content to sign and its ticket.
struct Ticket {
    id: String,
    content: String,
}

impl Actions {
    fn of(detail: &Detail, fields: &Fields, here: &str) -> Self {
        let has = |step: &str| detail.steps.iter().any(|one| one == step);
        let refusals = [
            ("REFUSE", "refuse"),
            ("REJECT", "reject"),
            ("DECLINE", "decline"),
        ];
        let refuse = refusals.into_iter().find(|(step, _)| has(step));
        let ticket = fields.get("ticket").zip(fields.get("link"));
        Self {
            sign: has("SIGN"),
            approve: has("APPROVE"),
            refuse: refuse.map(|(_, path)| path),
            recall: has("RECALL"),
            route: has("ROUTE"),
            is_internal: detail.document.is_internal,
            inbox_route: has("INBOX_ROUTE"),
            delete: has("DELETE"),
            ticket: ticket.map(|(id, link)| Ticket {
                id: id.to_owned(),
                content: format!("{here}/content/{}", segment(link)),
            }),
        }
    }

    fn is_empty(&self) -> bool {
        let any = self.sign || self.approve || self.recall || self.route;
        !any && !self.inbox_route && !self.delete && self.refuse.is_none()
    }
}

/// A document by its id.
pub(super) async fn detail(
    visit: Visit,
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    show(&visit, &id, &fields, None).await
}

/// The page of a document, after a refused action with its reason.
#[expect(clippy::too_many_lines, reason = "one view model with many members")]
pub(super) async fn show(
    visit: &Visit,
    id: &str,
    fields: &Fields,
    error: Option<String>,
) -> Result<Response, Fault> {
    let w = words::Documents::of(visit.language);
    let id = segment(id);
    let employee = acting(visit, fields.text("employee"));
    let asked = query([("employeeId", &*employee)]);
    let one = format!("/documents/v1/documents/{id}{asked}");
    let signatures = format!("/api/v3/sync/single/document/signatures/{id}");
    let history = format!("/api/1/webhooks/document-events/{id}");
    let (detail, signatures, changes, employees) = try_join4(
        read::<Detail>(visit, &one),
        read::<Vec<Signature>>(visit, &signatures),
        read::<Vec<Change>>(visit, &history),
        Employees::read(visit),
    )
    .await?;
    let document = &detail.document;
    let parties = || document.recipients.iter().chain([&document.sender]);
    let company = |bin: &str| {
        let found = parties().find(|one| one.bin == bin);
        found.map_or_else(|| bin.to_owned(), super::model::Party::full)
    };
    let here = visit.page(&format!("documents/{id}"));
    let is_draft = document.document_status == "DRAFT";
    let sender = Sender {
        party: &document.sender,
        is_quick: detail.is_quick_route,
        is_sent: !matches!(
            &*document.document_status,
            "DRAFT" | "IN_PROCESS_BY_SENDER" | "REJECTED_BY_SENDER_EMPLOYEE"
        ),
        is_turn: is_draft && detail.is_quick_route
            || document.document_status == "WAITING_FOR_SENDER",
        must_sign: detail.is_sign_required_by_sender,
        has_signed: detail.is_signed_by_sender,
        is_viewer: document.document_direction != "Inbox",
    };
    let route = &detail.document_route;
    let stops = stops(
        route,
        &detail.route_order_type,
        &sender,
        &document.recipients,
        &employees,
        w,
    );
    let missing = missing(route, &sender, &document.recipients, &employees, w);
    let chosen = fields.text("employee");
    let may_choose = visit.session.user.is_none() && employees.pairs().next().is_some();
    let acting_as = detail.employee_id.clone().unwrap_or_default();
    let state = state(&document.document_status, w);
    let settled = settled(&detail, &stops, &missing, w);
    let notice = done(fields, w);
    let actions = if visit.may_change() {
        Actions::of(&detail, fields, &here)
    } else {
        Actions::default()
    };
    let connects = actions.ticket.is_some() && actions.sign;
    let number = visible(&document.document_number);
    let title = fill(w.heading, &[&visible(&document.document_name), &number]);
    // The employees of another company are not known here.
    let author_id = &document.document_author_employee_id;
    let author = employees
        .find(author_id)
        .or_else(|| sender.is_viewer.then(|| visible(author_id)));
    let has_check = !is_draft && !document.is_internal;
    let group = groups(w)
        .into_iter()
        .find(|(name, _)| *name == document.document_group);
    let permissions = permissions(visit).await?;
    let bound = permissions.as_deref();
    let may_open = has_one(bound, &["DOCUMENT_DOWNLOAD", "DOCUMENT_SIGN"]);
    let layout = Layout::of(visit, Section::Documents, &title);
    let answer = page(&DetailPage {
        layout: layout.with_notice(notice),
        w,
        title,
        state,
        day: day(document.document_date),
        group: group.map_or("", |(_, word)| word),
        created: moment(document.created_on, visit),
        author,
        sender: document.sender.full(),
        recipients: document
            .recipients
            .iter()
            .map(super::model::Party::full)
            .collect(),
        reason: detail.reject_reason.as_deref().map(visible),
        files: files(&detail.files, &here, chosen),
        viewer: viewer(&detail.files, fields, &here).filter(|_| may_open),
        drawing: draw(&stops),
        stops,
        missing: if settled.is_some() {
            Vec::new()
        } else {
            missing
        },
        settled,
        signatures: signatures
            .iter()
            .map(|one| one.show(&company(&one.company_bin), visit, w))
            .collect(),
        history: changes
            .iter()
            .map(|one| one.line(&company, &employees, visit, w))
            .collect(),
        actions,
        employees: if may_choose {
            choices(&acting_as, employees.pairs())
        } else {
            Vec::new()
        },
        approvers: choices("", employees.pairs()),
        employee: acting_as,
        side: if document.document_direction == "Inbox" {
            "inbox"
        } else {
            "outbox"
        },
        given: fields.clone(),
        check: has_check.then(|| format!("/check/{id}?lang={}", visit.language.code())),
        may_download: has_one(bound, &["DOCUMENT_DOWNLOAD"]),
        may_open,
        here,
        error,
    });
    Ok(if connects {
        connecting_to(answer, NCALAYER)
    } else {
        answer
    })
}

async fn read<T: DeserializeOwned>(visit: &Visit, path: &str) -> Result<T, Fault> {
    Ok(visit.get(path).await?)
}

/// The sentence about a document for which nothing is missing, or which has ended.
fn settled(
    detail: &Detail,
    stops: &[Stop],
    missing: &[String],
    w: &words::Documents,
) -> Option<&'static str> {
    let status = &*detail.document.document_status;
    if status.starts_with("REJECTED") || status == "RECALLED_BY_SENDER" {
        return Some(w.ended);
    }
    if status == "DRAFT" && stops.is_empty() {
        return Some(w.missing_route);
    }
    missing.is_empty().then_some(w.missing_nothing)
}

impl Change {
    fn line(
        &self,
        company: &impl Fn(&str) -> String,
        employees: &Employees,
        visit: &Visit,
        w: &'static words::Documents,
    ) -> Line {
        let who = self.actor.as_ref().map(|one| {
            let company = company(&one.company_bin);
            match employees.find(&one.employee_id) {
                Some(name) => format!("{company}, {name}"),
                None => company,
            }
        });
        Line {
            at: moment(self.occurred_on, visit),
            state: state(&self.document_status, w),
            who: who.unwrap_or_default(),
            reason: visible(self.reject_reason.as_deref().unwrap_or_default()),
        }
    }
}

fn address(here: &str, file: &File) -> String {
    format!("{here}/files/{}", segment(&file.id))
}

fn files(files: &[File], here: &str, employee: &str) -> Vec<ShownFile> {
    let shown = |file: &File| ShownFile {
        name: visible(&file.file_name),
        size: size(file.size),
        sha256: file.sha256.clone(),
        download: address(here, file),
        shown: format!(
            "{here}{}",
            query([("file", &*file.id), ("employee", employee)])
        ),
    };
    files.iter().map(shown).collect()
}

/// The file that the address names, else the first.
fn viewer(files: &[File], fields: &Fields, here: &str) -> Option<Viewer> {
    let named = files.iter().find(|file| file.id == fields.text("file"));
    let file = named.or_else(|| files.first())?;
    let name = visible(&file.file_name);
    let kind = file.file_name.rsplit_once('.').map_or("", |(_, kind)| kind);
    let kind = format!("x.{}", kind.to_ascii_lowercase());
    // The viewer of PDFs needs its room for the page.
    let is_pdf = kind == "x.pdf";
    let part = if is_pdf { "#navpanes=0" } else { "" };
    let shown = || format!("{}{}{part}", address(here, file), query([("as", &*kind)]));
    let shown = is_shown(&kind).then(shown);
    Some(Viewer {
        name,
        address: shown,
        is_pdf,
    })
}

/// A size in the unit that fits.
#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn size(bytes: i64) -> String {
    match bytes {
        ..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// The sentence about what was just done, by the address.
fn done(fields: &Fields, w: &words::Documents) -> Option<&'static str> {
    match fields.text("done") {
        "created" => Some(w.done_created),
        "routed" => Some(w.done_routed),
        "signed" => Some(w.done_signed),
        "approved" => Some(w.done_approved),
        "refused" => Some(w.done_refused),
        "recalled" => Some(w.done_recalled),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [(17, "17 B"), (4097, "4 KiB"), (1_572_864, "1.5 MiB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
