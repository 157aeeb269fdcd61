//! The tokens of a workspace, with their last use.

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
    api::segment,
    form::{Action, Fields},
    moment::Moment,
    page::Layout,
    parts::{Choice, choices, visible},
    visit::Visit,
    words::Settings,
};

#[derive(Deserialize)]
struct List {
    items: Vec<Token>,
}

/// A token (`GET /admin/v1/workspaces/{ws}/tokens`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    id: String,
    name: String,
    role: String,
    user_id: Option<String>,
    expires_at: Option<String>,
    #[serde(default)]
    last_used_at: Option<String>,
    #[serde(default)]
    last_used_from: Option<String>,
}

#[derive(Deserialize)]
struct Made {
    token: String,
}

#[derive(Template)]
#[template(path = "settings-tokens.html")]
struct TokensPage {
    layout: Layout,
    tabs: Tabs,
    rows: Vec<Row>,
    roles: Vec<Choice>,
    /// A new token.
    made: Option<String>,
    error: Option<String>,
    /// False if the session may not see the tokens.
    is_open: bool,
    here: String,
}

struct Row {
    id: String,
    name: String,
    role: &'static str,
    user: String,
    expires: Option<Moment>,
    last_used: Option<Moment>,
    last_used_from: String,
}

impl Row {
    fn new(token: Token, visit: &Visit, w: &Settings) -> Self {
        let zone = &visit.workspace.zone;
        let time = |text: Option<String>| text.and_then(|text| Moment::parse(&text, zone));
        Self {
            name: visible(&token.name),
            role: role(&token.role, w),
            user: visible(&token.user_id.unwrap_or_default()),
            expires: time(token.expires_at),
            last_used: time(token.last_used_at),
            last_used_from: visible(&token.last_used_from.unwrap_or_default()),
            id: token.id,
        }
    }
}

fn role(name: &str, w: &Settings) -> &'static str {
    match name {
        "admin" => w.role_admin,
        "viewer" => w.role_viewer,
        "integrator" => w.role_integrator,
        "session" => w.role_session,
        _ => w.role_member,
    }
}

/// The tokens of the workspace.
pub(crate) async fn tokens(visit: Visit, RawQuery(raw): RawQuery) -> Result<Response, Fault> {
    let fields = Fields::parse(raw.unwrap_or_default().as_bytes());
    show(&visit, &fields, None, None).await
}

/// The path of the tokens.
fn path(visit: &Visit) -> String {
    format!(
        "/admin/v1/workspaces/{}/tokens",
        segment(&visit.workspace.name)
    )
}

async fn show(
    visit: &Visit,
    fields: &Fields,
    made: Option<String>,
    error: Option<String>,
) -> Result<Response, Fault> {
    let found = visit
        .hub_get::<List>(&format!("{}?limit=1000", path(visit)))
        .await;
    let (items, is_open) = match found {
        Ok(found) => (found.items, true),
        Err(error) if error.is_forbidden() => (Vec::new(), false),
        Err(error) => return Err(error.into()),
    };
    let (layout, tabs) = frame(visit, Tab::Tokens, fields);
    let w = tabs.w;
    let roles = [
        ("member", w.role_member),
        ("admin", w.role_admin),
        ("viewer", w.role_viewer),
    ];
    Ok(page(&TokensPage {
        layout,
        tabs,
        rows: items
            .into_iter()
            .map(|one| Row::new(one, visit, w))
            .collect(),
        roles: choices(fields.text("role"), roles),
        made,
        error,
        is_open,
        here: visit.page(Tab::Tokens.path()),
    }))
}

/// Creates a token and shows it this once.
pub(crate) async fn create_token(action: Action) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let mut new = json!({ "name": fields.text("name"), "role": fields.text("role") });
    if let Some(user) = fields.get("userId") {
        new["userId"] = user.into();
    }
    match visit
        .hub_send::<Made>(Method::POST, &path(&visit), &new)
        .await
    {
        Ok(made) => show(&visit, &Fields::default(), Some(made.token), None).await,
        Err(error) if error.is_refusal() => show(&visit, &fields, None, Some(error.message)).await,
        Err(error) => Err(error.into()),
    }
}

/// Revokes a token.
pub(crate) async fn revoke_token(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, .. } = action;
    let path = format!("{}/{}", path(&visit), segment(&id));
    let _: Value = visit.hub_send(Method::DELETE, &path, &json!({})).await?;
    Ok(redirect(&format!(
        "{}?done=revoked",
        visit.page(Tab::Tokens.path())
    )))
}
