//! The audit log of the server and of all workspaces, and its export.

use std::collections::HashMap;

use askama::Template;
use axum::{body::Body, extract::RawQuery, response::Response};
use http::{HeaderValue, Method, header};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::{List, Tabs, require_operator};
use crate::{
    answer::{Fault, page},
    api::{collect, json_request},
    form::Fields,
    page::Layout,
    pages::audit::{AuditList, Criteria, Records, Scope},
    visit::Visitor,
    words,
};

/// The page's own address.
const HERE: &str = "/console/server/audit";
/// The log in the API.
const LOG: &str = "/admin/v1/audit";
/// The workspaces whose names are known: the first thousand. Others are shown by their ids.
const WORKSPACES: &str = "/admin/v1/workspaces?limit=1000";
/// The media type of an export.
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

#[derive(Template)]
#[template(path = "server-audit.html")]
struct AuditPage {
    layout: Layout,
    tabs: Tabs,
    list: AuditList,
    /// The address of everything that matches, as a file.
    export: String,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    name: String,
}

/// The audit log. Times of the server belong to no workspace, so they are in UTC.
pub(in crate::pages) async fn audit(
    visitor: Visitor,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    require_operator(&visitor)?;
    let w = words::Server::of(visitor.language);
    let criteria = read(raw);
    let workspaces: List<Named> = visitor.hub_get(WORKSPACES).await?;
    let names = workspaces.items.into_iter().map(|one| (one.id, one.name));
    let scope = Scope::Server(names.collect::<HashMap<_, _>>());
    let path = format!("{LOG}{}", criteria.of_page());
    let found = visitor.hub_get::<Records>(&path).await;
    let here = HERE.to_owned();
    let language = visitor.language;
    Ok(page(&AuditPage {
        layout: Layout::of_hub(&visitor, w.audit),
        tabs: Tabs { w, is_audit: true },
        list: AuditList::new(found, &criteria, &scope, here, &TimeZone::UTC, language)?,
        export: format!("{HERE}/export{}", criteria.query(&[])),
    }))
}

/// Everything that matches, a line of JSON each.
pub(in crate::pages) async fn export(
    visitor: Visitor,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    require_operator(&visitor)?;
    let path = format!("{LOG}{}", read(raw).query(&[]));
    let mut request = json_request(Method::GET, &path, None);
    request.headers_mut().insert(header::ACCEPT, NDJSON);
    let answer: http::Response<Body> = visitor.call(None, request).await;
    if !answer.status().is_success() {
        return match collect(answer).await {
            Ok(_) => Err(Fault::NotFound),
            Err(error) => Err(error.into()),
        };
    }
    let mut response = Response::new(answer.into_body());
    let file = HeaderValue::from_static("attachment; filename=\"audit.ndjson\"");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, NDJSON);
    headers.insert(header::CONTENT_DISPOSITION, file);
    Ok(response)
}

fn read(raw: Option<String>) -> Criteria {
    let fields = Fields::parse(raw.unwrap_or_default().as_bytes());
    Criteria::of(fields, &TimeZone::UTC)
}
