//! The users of a workspace and their permissions for documents.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Tab, Tabs, frame};
use crate::{
    answer::{Fault, page, redirect},
    api::{query, segment},
    form::{Action, Fields},
    page::Layout,
    parts::visible,
    visit::Visit,
    words::Settings,
};

/// The number of users on a page.
const PAGE: usize = 50;

/// The word for a permission.
type Word = fn(&Settings) -> &'static str;

/// The permissions for documents (`docs/documents.md`), with their words.
const PERMISSIONS: [(&str, Word); 9] = [
    ("DOCUMENT_CREATE", |w| w.p_create),
    ("DOCUMENT_VIEW", |w| w.p_view),
    ("ROUTE_CREATE", |w| w.p_route),
    ("DOCUMENT_SIGN", |w| w.p_sign),
    ("DOCUMENT_APPROVE", |w| w.p_approve),
    ("DOCUMENT_REJECT", |w| w.p_reject),
    ("DOCUMENT_DOWNLOAD", |w| w.p_download),
    ("EMPLOYEE_VIEW", |w| w.p_employees),
    ("WEBHOOK_MANAGE", |w| w.p_webhooks),
];

#[derive(Deserialize)]
struct List {
    count: usize,
    items: Vec<User>,
}

/// A user (`GET /api/v1/{ws}/users`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct User {
    id: String,
    name: String,
    login: String,
    email: String,
    position: String,
    status: String,
    is_admin: bool,
    permissions: Vec<String>,
}

#[derive(Template)]
#[template(path = "settings-people.html")]
struct PeoplePage {
    layout: Layout,
    tabs: Tabs,
    rows: Vec<Row>,
    older: Option<String>,
}

struct Row {
    href: String,
    name: String,
    login: String,
    email: String,
    position: String,
    rights: String,
    is_inactive: bool,
}

impl Row {
    fn new(user: &User, visit: &Visit, w: &Settings) -> Self {
        let admin = user.is_admin.then_some(w.administrator);
        let named = PERMISSIONS
            .iter()
            .filter(|(name, _)| user.permissions.iter().any(|one| one == name));
        let rights: Vec<&str> = admin
            .into_iter()
            .chain(named.map(|(_, word)| word(w)))
            .collect();
        let name = if user.name.is_empty() {
            &user.login
        } else {
            &user.name
        };
        Self {
            href: visit.page(&format!("settings/people/{}", segment(&user.id))),
            name: visible(name),
            login: visible(&user.login),
            email: visible(&user.email),
            position: visible(&user.position),
            rights: rights.join(", "),
            is_inactive: user.status == "inactive",
        }
    }
}

/// The users of the workspace.
pub(crate) async fn people(visit: Visit, RawQuery(raw): RawQuery) -> Result<Response, Fault> {
    let fields = Fields::parse(raw.unwrap_or_default().as_bytes());
    let offset: usize = fields.text("offset").parse().unwrap_or(0);
    let (from, limit) = (offset.to_string(), PAGE.to_string());
    let path = query([("offset", &*from), ("limit", &limit)]);
    let found: List = visit.get(&format!("{}{path}", visit.api("users"))).await?;
    let has_more = offset + found.items.len() < found.count;
    let older = format!(
        "{}?offset={}",
        visit.page(Tab::People.path()),
        offset + PAGE
    );
    let (layout, tabs) = frame(&visit, Tab::People, &fields);
    let w = tabs.w;
    Ok(page(&PeoplePage {
        layout,
        tabs,
        rows: found
            .items
            .iter()
            .map(|user| Row::new(user, &visit, w))
            .collect(),
        older: has_more.then_some(older),
    }))
}

#[derive(Template)]
#[template(path = "settings-person.html")]
struct PersonPage {
    layout: Layout,
    tabs: Tabs,
    row: Row,
    boxes: Vec<(&'static str, &'static str, bool)>,
    error: Option<String>,
    may_change: bool,
}

/// One user.
pub(crate) async fn person(
    visit: Visit,
    Path((_, id)): Path<(String, String)>,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    let fields = Fields::parse(raw.unwrap_or_default().as_bytes());
    show(&visit, &id, &fields, None).await
}

async fn show(
    visit: &Visit,
    id: &str,
    fields: &Fields,
    error: Option<String>,
) -> Result<Response, Fault> {
    let path = visit.api(&format!("users/{}", segment(id)));
    let user: User = visit.get(&path).await?;
    let (layout, tabs) = frame(visit, Tab::People, fields);
    let w = tabs.w;
    let has = |name: &str| user.permissions.iter().any(|one| one == name);
    let boxes = PERMISSIONS
        .iter()
        .map(|(name, word)| (*name, word(w), has(name)));
    Ok(page(&PersonPage {
        row: Row::new(&user, visit, w),
        boxes: boxes.collect(),
        layout,
        tabs,
        error,
        may_change: visit.may_administer(),
    }))
}

/// Sets the permissions of a user.
pub(crate) async fn save_person(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let known = PERMISSIONS.iter().map(|(name, _)| *name);
    let chosen: Vec<&str> = known
        .filter(|name| fields.all("permission").any(|one| one == *name))
        .collect();
    let operation = json!({ "op": "replace", "path": "/permissions", "value": chosen });
    let path = visit.api(&format!("users/{}", segment(&id)));
    let body = json!({ "operations": [operation] });
    match visit.send::<Value>(Method::PATCH, &path, &body).await {
        Ok(_) => {
            let here = visit.page(&format!("settings/people/{}", segment(&id)));
            Ok(redirect(&format!("{here}?done=saved")))
        }
        Err(error) if error.is_refusal() => show(&visit, &id, &fields, Some(error.message)).await,
        Err(error) => Err(error.into()),
    }
}
