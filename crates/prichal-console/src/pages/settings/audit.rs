//! The audit log of the workspace.

use askama::Template;
use axum::{extract::RawQuery, response::Response};

use super::{Tab, Tabs, frame};
use crate::{
    answer::{Fault, page},
    form::Fields,
    page::Layout,
    pages::audit::{AuditList, Criteria, Records, Scope},
    visit::Visit,
};

#[derive(Template)]
#[template(path = "settings-audit.html")]
struct AuditPage {
    layout: Layout,
    tabs: Tabs,
    list: AuditList,
}

/// The audit log of the workspace.
pub(crate) async fn audit(visit: Visit, RawQuery(raw): RawQuery) -> Result<Response, Fault> {
    let fields = Fields::parse(raw.unwrap_or_default().as_bytes());
    let (layout, tabs) = frame(&visit, Tab::Audit, &fields);
    let zone = &visit.workspace.zone;
    let criteria = Criteria::of(fields, zone);
    let path = format!("{}{}", visit.api("audit"), criteria.of_page());
    let found = visit.get::<Records>(&path).await;
    let here = visit.page(Tab::Audit.path());
    let scope = Scope::Workspace;
    let list = AuditList::new(found, &criteria, &scope, here, zone, visit.language)?;
    Ok(page(&AuditPage { layout, tabs, list }))
}
