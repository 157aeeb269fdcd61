//! Integrations: installing and setting them up, their keys and webhooks.

mod model;
mod one;
mod replay;
#[cfg(test)]
mod tests;
mod webhook;

use askama::Template;
use axum::{extract::RawQuery, response::Response};
use http::Method;
use serde_json::{Value, json};

pub(super) use one::{act, api_key, detail, reveal, setup};
pub(super) use replay::{begin_replay, replay};
pub(super) use webhook::{add_webhook, change_webhook, test_webhook};

use self::model::{Item, List};
use crate::{
    answer::{Fault, page, redirect},
    api::{query, segment},
    form::{Action, Fields},
    page::{Layout, Section},
    parts::{State, visible},
    visit::Visit,
    words,
};

/// The number of integrations on a page.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "integrations.html")]
struct ListPage {
    layout: Layout,
    w: &'static words::Integrations,
    rows: Vec<Row>,
    older: Option<String>,
    /// The form for a new integration, with what was typed.
    form: New,
    action: String,
    error: Option<String>,
    may_change: bool,
}

struct Row {
    href: String,
    name: String,
    title: String,
    version: String,
    kind: &'static str,
    state: State,
}

/// The fields of the form for a new integration.
#[derive(Default)]
struct New {
    name: String,
    title: String,
    version: String,
    base_url: String,
}

impl New {
    fn of(fields: &Fields) -> Self {
        let text = |name| fields.text(name).to_owned();
        Self {
            name: text("name"),
            title: text("title"),
            version: text("version"),
            base_url: text("baseUrl"),
        }
    }
}

/// The integrations that the workspace can see.
pub(crate) async fn list(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    show(&visit, &fields, New::default(), None).await
}

async fn show(
    visit: &Visit,
    fields: &Fields,
    form: New,
    error: Option<String>,
) -> Result<Response, Fault> {
    let w = words::Integrations::of(visit.language);
    let offset: usize = fields.text("offset").parse().unwrap_or(0);
    let (from, limit) = (offset.to_string(), PAGE.to_string());
    let pairs = [("offset", &*from), ("limit", &*limit)];
    let path = format!("{}{}", visit.api("integrations"), query(pairs));
    let found: List<Item> = visit.get(&path).await?;
    let has_more = offset + found.items.len() < found.count;
    let next = format!("{}?offset={}", visit.page("integrations"), offset + PAGE);
    Ok(page(&ListPage {
        layout: Layout::of(visit, Section::Integrations, w.title),
        w,
        rows: found
            .items
            .iter()
            .map(|one| Row::new(one, visit, w))
            .collect(),
        older: has_more.then_some(next),
        form,
        action: visit.page("integrations"),
        error,
        may_change: visit.may_administer(),
    }))
}

impl Row {
    fn new(item: &Item, visit: &Visit, w: &'static words::Integrations) -> Self {
        Self {
            href: visit.page(&format!("integrations/{}", segment(&item.id))),
            name: visible(&item.name),
            title: visible(item.title.as_deref().unwrap_or_default()),
            version: visible(&item.version),
            kind: if item.kind == "public" {
                w.public
            } else {
                w.private
            },
            state: item.state(w),
        }
    }
}

/// Adds an integration of this workspace.
pub(crate) async fn add(action: Action) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let new = New::of(&fields);
    let mut manifest = json!({ "name": new.name, "version": new.version });
    for (member, value) in [("title", &new.title), ("baseUrl", &new.base_url)] {
        if !value.is_empty() {
            manifest[member] = Value::from(value.as_str());
        }
    }
    let path = visit.api("private-integrations");
    match visit.send::<Item>(Method::POST, &path, &manifest).await {
        Ok(made) => {
            let id = segment(&made.id);
            Ok(redirect(
                &visit.page(&format!("integrations/{id}?done=added")),
            ))
        }
        Err(error) if error.is_refusal() => {
            show(&visit, &Fields::default(), new, Some(error.message)).await
        }
        Err(error) => Err(error.into()),
    }
}
