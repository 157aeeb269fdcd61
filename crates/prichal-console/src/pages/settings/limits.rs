//! The usage and the quotas of the workspace.

use askama::Template;
use axum::response::Response;
use serde::Deserialize;

use super::{Tab, Tabs, frame};
use crate::{
    answer::{Fault, page},
    api::segment,
    form::Fields,
    moment::bytes,
    page::Layout,
    visit::Visit,
    words::Settings,
};

/// The usage (`GET /admin/v1/workspaces/{ws}/usage`).
#[derive(Deserialize)]
struct Usage {
    entities: Used,
    files: Used,
    events: Used,
    runs: Used,
    records: Used,
}

#[derive(Deserialize)]
struct Used {
    used: f64,
    allowed: Option<f64>,
}

#[derive(Template)]
#[template(path = "settings-limits.html")]
struct LimitsPage {
    layout: Layout,
    tabs: Tabs,
    rows: Option<Vec<Row>>,
}

struct Row {
    name: &'static str,
    used: String,
    allowed: String,
    /// The used part in hundredths, if there is a quota.
    share: Option<f64>,
}

impl Row {
    fn new(name: &'static str, used: &Used, w: &Settings) -> Self {
        let allowed = used.allowed;
        Self {
            name,
            used: bytes(used.used),
            allowed: allowed.map_or_else(|| w.no_quota.to_owned(), bytes),
            share: allowed.map(|allowed| (used.used / allowed.max(1.0) * 100.0).min(100.0)),
        }
    }
}

/// The usage and the quotas.
pub(crate) async fn limits(visit: Visit) -> Result<Response, Fault> {
    let name = segment(&visit.workspace.name);
    let path = format!("/admin/v1/workspaces/{name}/usage");
    let found = match visit.hub_get::<Usage>(&path).await {
        Ok(found) => Some(found),
        Err(error) if error.is_forbidden() => None,
        Err(error) => return Err(error.into()),
    };
    let (layout, tabs) = frame(&visit, Tab::Limits, &Fields::default());
    let w = tabs.w;
    let rows = |usage: Usage| {
        vec![
            Row::new(w.u_entities, &usage.entities, w),
            Row::new(w.u_files, &usage.files, w),
            Row::new(w.u_events, &usage.events, w),
            Row::new(w.u_runs, &usage.runs, w),
            Row::new(w.u_records, &usage.records, w),
        ]
    };
    Ok(page(&LimitsPage {
        layout,
        tabs,
        rows: found.map(rows),
    }))
}
