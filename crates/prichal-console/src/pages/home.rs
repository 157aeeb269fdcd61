//! The start: the workspaces of a session, or the first section of the only one.

use askama::Template;
use axum::response::Response;
use serde::Deserialize;

use crate::{
    answer::{Fault, page, redirect},
    api::segment,
    backend::{RESERVED, Role},
    page::{Layout, Section},
    visit::{Visit, Visitor},
};

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    layout: Layout,
    workspaces: Vec<Named>,
}

struct Named {
    href: String,
    name: String,
    title: String,
}

#[derive(Deserialize)]
struct WorkspaceList {
    items: Vec<WorkspaceItem>,
}

#[derive(Deserialize)]
struct WorkspaceItem {
    id: String,
    name: String,
    title: Option<String>,
}

/// The workspaces of the session.
pub(super) async fn home(visitor: Visitor) -> Result<Response, Fault> {
    let session = &visitor.session;
    let mut workspaces: Vec<Named> = session
        .workspaces
        .iter()
        .map(|one| named(&one.id.to_string(), &one.name, &one.title))
        .collect();
    if session.role == Role::Operator {
        let list: WorkspaceList = visitor.hub_get("/admin/v1/workspaces").await?;
        workspaces = list
            .items
            .iter()
            .map(|one| named(&one.id, &one.name, one.title.as_deref().unwrap_or_default()))
            .collect();
    }
    if let [only] = &workspaces[..] {
        return Ok(redirect(&only.href));
    }
    let title = crate::words::Common::of(visitor.language).workspaces;
    Ok(page(&HomePage {
        layout: Layout::of_hub(&visitor, title),
        workspaces,
    }))
}

fn named(id: &str, name: &str, title: &str) -> Named {
    let in_path = if RESERVED.contains(&name) { id } else { name };
    Named {
        href: format!("/console/{}", segment(in_path)),
        name: name.to_owned(),
        title: title.to_owned(),
    }
}

/// The first section of a workspace.
pub(super) async fn workspace(visit: Visit) -> Response {
    let first = Section::first_of(visit.session.role);
    redirect(&visit.page(first.path()))
}
