//! Alerts, and when there are any.

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
    facts,
    form::{Action, Fields},
    moment::Moment,
    page::Layout,
    visit::Visit,
    words,
};

#[derive(Deserialize)]
struct List {
    items: Vec<Alert>,
}

/// An alert (`GET /api/v1/{ws}/alerts`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    id: String,
    #[serde(flatten)]
    about: facts::Alert,
    begun_at: String,
    #[serde(default)]
    over_at: Option<String>,
    #[serde(default)]
    acknowledged_at: Option<String>,
}

/// The settings (`GET /api/v1/{ws}/alert-settings`), as far as the form has them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AlertSettings {
    silence_minutes: i64,
    recovery_minutes: i64,
    #[serde(default)]
    mail: Mail,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Mail {
    recipients: Vec<String>,
}

#[derive(Template)]
#[template(path = "settings-alerts.html")]
struct AlertsPage {
    layout: Layout,
    tabs: Tabs,
    open: Vec<Row>,
    past: Vec<Row>,
    /// The fields of the form; `None` if the session may not see them.
    form: Option<Form>,
    error: Option<String>,
    here: String,
    may_change: bool,
}

struct Row {
    id: String,
    message: String,
    begun: Option<Moment>,
    over: Option<Moment>,
    is_acknowledged: bool,
}

struct Form {
    recipients: String,
    silence: String,
    recovery: String,
}

impl Row {
    fn new(alert: Alert, visit: &Visit) -> Self {
        let time = |text: &str| Moment::parse(text, &visit.workspace.zone);
        Self {
            message: alert.about.text(visit.language),
            begun: time(&alert.begun_at),
            over: alert.over_at.as_deref().and_then(time),
            is_acknowledged: alert.acknowledged_at.is_some(),
            id: alert.id,
        }
    }
}

/// The alerts of the workspace and their settings.
pub(crate) async fn alerts(visit: Visit, RawQuery(raw): RawQuery) -> Result<Response, Fault> {
    let fields = Fields::parse(raw.unwrap_or_default().as_bytes());
    show(&visit, &fields, None).await
}

async fn show(
    visit: &Visit,
    fields: &Fields,
    refused: Option<(Form, String)>,
) -> Result<Response, Fault> {
    let open: List = visit.get(&visit.api("alerts?state=open&limit=100")).await?;
    let past: List = visit.get(&visit.api("alerts?state=over&limit=50")).await?;
    let stored: AlertSettings = visit.get(&visit.api("alert-settings")).await?;
    let (form, error) = match refused {
        Some((form, error)) => (form, Some(error)),
        None => (Form::of(&stored), None),
    };
    let row = |alert| Row::new(alert, visit);
    let (layout, tabs) = frame(visit, Tab::Alerts, fields);
    Ok(page(&AlertsPage {
        layout,
        tabs,
        open: open.items.into_iter().map(row).collect(),
        past: past.items.into_iter().map(row).collect(),
        form: visit.may_administer().then_some(form),
        error,
        here: visit.page(Tab::Alerts.path()),
        may_change: visit.may_administer(),
    }))
}

impl Form {
    fn of(stored: &AlertSettings) -> Self {
        Self {
            recipients: stored.mail.recipients.join("\n"),
            silence: stored.silence_minutes.to_string(),
            recovery: stored.recovery_minutes.to_string(),
        }
    }
}

/// Changes the settings of alerts.
pub(crate) async fn save_alerts(action: Action) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    // A number that cannot be read goes to the API as a text, which says what is wrong.
    let number = |name: &str| match fields.text(name).parse::<i64>() {
        Ok(number) => Value::from(number),
        Err(_) => Value::from(fields.text(name)),
    };
    let recipients: Vec<&str> = fields.raw("recipients").split_whitespace().collect();
    let body = json!({
        "silenceMinutes": number("silence"),
        "recoveryMinutes": number("recovery"),
        "mail": { "recipients": recipients },
    });
    let path = visit.api("alert-settings");
    match visit.send::<Value>(Method::PATCH, &path, &body).await {
        Ok(_) => Ok(redirect(&format!(
            "{}?done=saved",
            visit.page(Tab::Alerts.path())
        ))),
        Err(error) if error.is_refusal() => {
            let typed = Form {
                recipients: fields.raw("recipients").to_owned(),
                silence: fields.text("silence").to_owned(),
                recovery: fields.text("recovery").to_owned(),
            };
            let w = words::Settings::of(visit.language);
            let labels = [
                ("silenceMinutes", w.silence),
                ("recoveryMinutes", w.recovery),
                ("mail.recipients", w.recipients),
            ];
            let error = facts::labelled(&error.message, &labels, visit.language);
            show(&visit, &fields, Some((typed, error))).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Notes that somebody takes care of an alert.
pub(crate) async fn acknowledge(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, .. } = action;
    let path = visit.api(&format!("alerts/{}/acknowledge", segment(&id)));
    let _: Value = visit.send(Method::POST, &path, &json!({})).await?;
    Ok(redirect(&format!(
        "{}?done=acknowledged",
        visit.page(Tab::Alerts.path())
    )))
}
