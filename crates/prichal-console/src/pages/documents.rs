//! Documents: those that wait for somebody, the received and the sent ones; one document with its route, its signatures
//! and its history; and what can be done with it.

mod actions;
mod create;
mod detail;
mod files;
mod model;
mod route;
mod signature;

#[cfg(test)]
mod tests;

use askama::Template;
use axum::{
    Router,
    extract::RawQuery,
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;

use self::model::{DocumentList, Employees, Row, STATUSES, acting, state};
use crate::{
    answer::{Fault, page},
    api::{ApiError, query},
    backend::Role,
    form::Fields,
    moment,
    page::{Layout, Section},
    parts::{Choice, choices},
    state::Console,
    visit::Visit,
    words,
};

/// The number of documents on a page.
const PAGE: &str = "50";

/// The pages of documents.
pub(super) fn router() -> Router<Console> {
    Router::new()
        .route("/console/{ws}/documents", get(list))
        .route(
            "/console/{ws}/documents/new",
            get(create::form).post(create::create),
        )
        .route("/console/{ws}/documents/{id}", get(detail::detail))
        .route("/console/{ws}/documents/{id}/do/{step}", post(actions::act))
        .route("/console/{ws}/documents/{id}/route", post(actions::route))
        .route(
            "/console/{ws}/documents/{id}/content",
            post(actions::prepare),
        )
        .route(
            "/console/{ws}/documents/{id}/content/{link}",
            get(files::content),
        )
        .route("/console/{ws}/documents/{id}/sign", post(actions::sign))
        .route(
            "/console/{ws}/documents/{id}/files/{file}",
            get(files::original),
        )
        .route("/console/{ws}/documents/{id}/archive", get(files::archive))
        .route(
            "/console/{ws}/documents/{id}/print-form",
            get(files::print_form),
        )
}

/// The criteria of a list, as the address has them.
struct Criteria {
    fields: Fields,
    /// The period in seconds since 1970.
    from: String,
    to: String,
}

impl Criteria {
    fn read(query: Option<String>) -> Self {
        let fields = Fields::parse(query.unwrap_or_default().as_bytes());
        // A date that cannot be read goes to the API as it is, which says what is wrong.
        let time = |name, end| {
            let text = fields.text(name);
            seconds(text, end).map_or_else(|| text.to_owned(), |at| at.to_string())
        };
        let (from, to) = (time("from", "T00:00:00"), time("to", "T23:59:59"));
        Self { fields, from, to }
    }

    /// The criteria as the API takes them.
    fn pairs<'a>(&'a self, employee: &'a str) -> [(&'a str, &'a str); 7] {
        let text = |name| self.fields.text(name);
        [
            ("folder", text("folder")),
            ("status", text("status")),
            ("text", text("text")),
            ("counterpartyBin", text("counterpartyBin")),
            ("documentDateFrom", &self.from),
            ("documentDateTo", &self.to),
            ("employeeId", employee),
        ]
    }

    /// The address of the list in a folder with these criteria.
    fn address(&self, visit: &Visit, folder: &str, more: &[(&str, &str)]) -> String {
        let kept = [
            "status",
            "text",
            "counterpartyBin",
            "from",
            "to",
            "employee",
        ];
        let kept = kept.iter().map(|name| (*name, self.fields.text(name)));
        let pairs = [("folder", folder)].into_iter().chain(kept);
        format!(
            "{}{}",
            visit.page("documents"),
            query(pairs.chain(more.iter().copied()))
        )
    }

    /// The number of criteria besides the folder.
    fn count(&self) -> usize {
        let all = ["status", "text", "counterpartyBin", "from", "to"];
        let set = all.iter().filter(|name| !self.fields.text(name).is_empty());
        set.count()
    }
}

/// The seconds since 1970 of a day at a time of the day. Dates of documents are days in UTC.
fn seconds(day: &str, time: &str) -> Option<i64> {
    let text = moment::from_input(&format!("{day}{time}"), &jiff::tz::TimeZone::UTC)?;
    prichal_core::time::Timestamp::parse(&text).map(prichal_core::time::Timestamp::secs)
}

#[derive(Template)]
#[template(path = "documents.html")]
struct ListPage {
    layout: Layout,
    w: &'static words::Documents,
    folders: Vec<Folder>,
    statuses: Vec<Choice>,
    employees: Vec<Choice>,
    folder: String,
    text: String,
    bin: String,
    from: String,
    to: String,
    rows: Vec<Row>,
    /// The address of the next page.
    older: Option<String>,
    /// The address of the first page, if this is another one.
    newest: Option<String>,
    /// The address of this list, for live updates; empty for pages of the past.
    live: String,
    /// The address without criteria.
    reset: String,
    create: String,
    /// The number of criteria.
    filters: usize,
    has_company: bool,
    error: Option<String>,
    may_change: bool,
}

/// A folder in the row of folders.
struct Folder {
    href: String,
    word: &'static str,
    is_current: bool,
}

fn folders(criteria: &Criteria, visit: &Visit, w: &words::Documents) -> Vec<Folder> {
    let chosen = criteria.fields.text("folder");
    let words = [
        ("waiting", w.waiting),
        ("pending", w.pending),
        ("received", w.received),
        ("sent", w.sent),
        ("drafts", w.drafts),
        ("finished", w.done),
        ("refused", w.refused),
        ("", w.all),
    ];
    let folder = |(name, word)| Folder {
        href: criteria.address(visit, name, &[]),
        word,
        is_current: name == chosen,
    };
    words.into_iter().map(folder).collect()
}

/// The documents that match the address, the latest date first.
async fn list(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let w = words::Documents::of(visit.language);
    let criteria = Criteria::read(query);
    let fields = &criteria.fields;
    let employee = acting(&visit, fields.text("employee"));
    let before = fields.text("before");
    let has_company = visit.workspace.has_documents;
    let (found, error, employees) = if has_company {
        let (found, error) = match documents(&visit, &criteria, &employee, before).await {
            Ok(found) => (found, None),
            Err(error) if error.is_refusal() => (DocumentList::default(), Some(error.message)),
            Err(error) => return Err(error.into()),
        };
        (found, error, employees(&visit).await?)
    } else {
        Default::default()
    };
    let folder = fields.text("folder");
    let first = criteria.address(&visit, folder, &[]);
    let text = |name| fields.text(name).to_owned();
    let pairs = [("", w.act_as_first)].into_iter().chain(employees.pairs());
    let may_choose = visit.session.user.is_none() && employees.pairs().next().is_some();
    let next = found.next.as_deref();
    Ok(page(&ListPage {
        layout: Layout::of(&visit, Section::Documents, w.title)
            .with_notice((text("done") == "deleted").then_some(w.done_deleted)),
        w,
        folders: folders(&criteria, &visit, w),
        statuses: choices(
            fields.text("status"),
            STATUSES.map(|one| (one, state(one, w).word)),
        ),
        employees: if may_choose {
            choices(&employee, pairs)
        } else {
            Vec::new()
        },
        folder: folder.to_owned(),
        text: text("text"),
        bin: text("counterpartyBin"),
        from: text("from"),
        to: text("to"),
        rows: found
            .items
            .iter()
            .map(|one| Row::new(one, fields.text("employee"), &visit, w))
            .collect(),
        older: next.map(|next| criteria.address(&visit, folder, &[("before", next)])),
        live: if before.is_empty() && has_company {
            first.clone()
        } else {
            String::new()
        },
        newest: (!before.is_empty()).then_some(first),
        reset: format!(
            "{}{}",
            visit.page("documents"),
            crate::api::query([("folder", folder)])
        ),
        create: visit.page("documents/new"),
        filters: criteria.count(),
        has_company,
        error,
        may_change: has_company && may_create(&visit).await?,
    }))
}

async fn documents(
    visit: &Visit,
    criteria: &Criteria,
    employee: &str,
    before: &str,
) -> Result<DocumentList, ApiError> {
    let pairs = criteria.pairs(employee).into_iter();
    let pairs = pairs.chain([("limit", PAGE), ("before", before)]);
    visit
        .get(&format!("/documents/v1/documents{}", query(pairs)))
        .await
}

/// The permissions of a user.
#[derive(Deserialize)]
struct Permitted {
    #[serde(default)]
    permissions: Vec<String>,
}

/// The permissions that bound the session: those of its user. `None` if no user bounds it.
async fn permissions(visit: &Visit) -> Result<Option<Vec<String>>, Fault> {
    match (visit.session.role, visit.session.user) {
        (Role::Employee, None) => Ok(Some(Vec::new())),
        (Role::Viewer | Role::Integrator, _) | (_, None) => Ok(None),
        (_, Some(user)) => {
            let path = visit.api(&format!("users/{user}"));
            let found: Permitted = visit.get(&path).await?;
            Ok(Some(found.permissions))
        }
    }
}

/// True if the permissions have one of these, or bound nothing.
fn has_one(permissions: Option<&[String]>, wanted: &[&str]) -> bool {
    permissions.is_none_or(|all| all.iter().any(|one| wanted.contains(&one.as_str())))
}

/// True if the session may add documents: an administrator for any employee, and an employee with the permission.
async fn may_create(visit: &Visit) -> Result<bool, Fault> {
    if !visit.may_administer() && visit.session.role != Role::Employee {
        return Ok(false);
    }
    let permissions = permissions(visit).await?;
    Ok(has_one(permissions.as_deref(), &["DOCUMENT_CREATE"]))
}

/// The employees among whom the session may choose. An employee's own session acts as itself.
async fn employees(visit: &Visit) -> Result<Employees, Fault> {
    if visit.session.user.is_some() {
        return Ok(Employees::default());
    }
    Employees::read(visit).await
}
