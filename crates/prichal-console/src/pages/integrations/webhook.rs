//! The webhooks of an integration: adding one with a filter, trying it, switching it.

use axum::{extract::Path, response::Response};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    model::Webhook,
    one::{Said, finish, show},
};
use crate::{
    answer::Fault,
    api::{query, segment},
    form::{Action, Fields},
    language::Language,
    moment,
    pages::ENTITY_TYPES,
    parts::{Choice, State, Tone, choices, visible},
    visit::Visit,
    words::{self, fill},
};

/// A webhook on the page of its integration.
pub(super) struct Hook {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) wants: String,
    pub(super) state: State,
    pub(super) is_disabled: bool,
    /// True unless a schedule calls it.
    pub(super) has_events: bool,
    /// The addresses of its calls, and of the form that changes it.
    pub(super) deliveries: String,
}

impl Hook {
    pub(super) fn new(
        hook: &Webhook,
        integration: &str,
        visit: &Visit,
        w: &'static words::Integrations,
    ) -> Self {
        let (tone, word) = if hook.disabled {
            (Tone::Off, w.off)
        } else {
            (Tone::Good, w.on)
        };
        let pairs = [("integrationId", integration), ("webHookId", &hook.id)];
        Self {
            id: hook.id.clone(),
            address: visible(&hook.relative_url),
            wants: hook.wants(w),
            state: State { tone, word },
            is_disabled: hook.disabled,
            has_events: hook.trigger_type != "schedule",
            deliveries: format!("{}{}", visit.page("deliveries"), query(pairs)),
        }
    }
}

/// The form for a new webhook, with what was typed.
pub(super) struct Draft {
    pub(super) address: String,
    pub(super) entities: Vec<Choice>,
    pub(super) changes: Vec<Choice>,
    pub(super) own_types: String,
    pub(super) is_2xx: bool,
}

impl Default for Draft {
    fn default() -> Self {
        Self::of(&Fields::default())
    }
}

impl Draft {
    fn of(fields: &Fields) -> Self {
        let changes = ["create", "patch", "delete", "restore"];
        Self {
            address: fields.text("relativeUrl").to_owned(),
            entities: choices(
                fields.text("entityType"),
                ENTITY_TYPES.map(|one| (one, one)),
            ),
            changes: choices(fields.text("changeType"), changes.map(|one| (one, one))),
            own_types: fields.text("eventTypes").to_owned(),
            is_2xx: fields.text("success") == "2xx",
        }
    }
}

/// The filter of the form: own types and changes are items of their own, since a receiver that asks for the one kind
/// need not know the other.
fn filter(fields: &Fields) -> Value {
    let mut items = Vec::new();
    let own: Vec<&str> = fields
        .text("eventTypes")
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .collect();
    let mut item = Map::new();
    for name in ["entityType", "changeType"] {
        if let Some(value) = fields.get(name) {
            item.insert(name.to_owned(), value.into());
        }
    }
    if !item.is_empty() || own.is_empty() {
        items.push(Value::Object(item));
    }
    if !own.is_empty() {
        items.push(json!({ "eventTypes": own }));
    }
    json!({ "items": items })
}

#[derive(Deserialize)]
struct Matches {
    tried: u64,
    matched: u64,
}

/// Adds a webhook, or counts the recent events that its filter would let through.
pub(crate) async fn add_webhook(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let w = words::Integrations::of(visit.language);
    if fields.has("count") {
        let path = visit.api("webhooks/match");
        let said = match visit
            .send::<Matches>(Method::POST, &path, &filter(&fields))
            .await
        {
            Ok(found) => Said {
                result: Some(fill(w.counted, &[&found.tried, &found.matched])),
                ..Said::default()
            },
            Err(error) => Said::error(error)?,
        };
        return show(&visit, &id, &fields, Draft::of(&fields), said).await;
    }
    let mut hook = json!({
        "relativeUrl": fields.text("relativeUrl"),
        "triggerType": "entityEvent",
        "filter": filter(&fields),
    });
    if fields.text("success") == "2xx" {
        hook["settings"] = json!({ "success": "2xx" });
    }
    let operation = json!({ "op": "add", "path": "/webHooks", "value": hook });
    match patch(&visit, &id, operation).await {
        Err(error) if error.is_refusal() => {
            let said = Said::error(error)?;
            show(&visit, &id, &fields, Draft::of(&fields), said).await
        }
        sent => finish(&visit, &id, &fields, "webhook", sent).await,
    }
}

async fn patch(
    visit: &Visit,
    integration: &str,
    operation: Value,
) -> Result<Value, crate::api::ApiError> {
    let path = format!("integrations/instances/{}", segment(integration));
    let body = json!({ "operations": [operation] });
    visit.send(Method::PATCH, &visit.api(&path), &body).await
}

/// Switches a webhook on or off, or removes it.
pub(crate) async fn change_webhook(
    Path((_, id, hook)): Path<(String, String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    // An id with a slash would name another member.
    let hook = segment(&hook);
    let operation = match fields.text("act") {
        "on" => {
            json!({ "op": "replace", "path": format!("/webHooks/{hook}/disabled"), "value": false })
        }
        "off" => {
            json!({ "op": "replace", "path": format!("/webHooks/{hook}/disabled"), "value": true })
        }
        "remove" => json!({ "op": "remove", "path": format!("/webHooks/{hook}") }),
        _ => return Err(Fault::NotFound),
    };
    let sent = patch(&visit, &id, operation).await;
    finish(&visit, &id, &fields, "webhook", sent).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tested {
    status: String,
    #[serde(default)]
    http_status: Option<i64>,
    #[serde(default)]
    error: Option<String>,
    duration_ms: i64,
}

/// Sends one made-up event now, and tells what came of it.
pub(crate) async fn test_webhook(
    Path((_, id, hook)): Path<(String, String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let w = words::Integrations::of(visit.language);
    let (one, hook) = (segment(&id), segment(&hook));
    let path = visit.api(&format!(
        "integrations/instances/{one}/webHooks/{hook}/test"
    ));
    let said = match visit.send::<Tested>(Method::POST, &path, &json!({})).await {
        Ok(tested) => Said {
            result: Some(outcome(&tested, w, visit.language)),
            ..Said::default()
        },
        Err(error) => Said::error(error)?,
    };
    show(&visit, &id, &fields, Draft::default(), said).await
}

fn outcome(tested: &Tested, w: &words::Integrations, language: Language) -> String {
    let status = tested.http_status.map(|status| status.to_string());
    if tested.status == "delivered" {
        let took = moment::span(tested.duration_ms, language);
        return fill(w.tested_ok, &[&status.unwrap_or_default(), &took]);
    }
    let reasons = status.into_iter().chain(tested.error.clone());
    let reason = reasons.collect::<Vec<_>>().join(", ");
    fill(w.tested_bad, &[&visible(&reason)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_makes_a_filter() {
        for (form, items) in [
            ("", json!([{}])),
            (
                "entityType=deal&changeType=",
                json!([{ "entityType": "deal" }]),
            ),
            (
                "eventTypes=order.*,+x",
                json!([{ "eventTypes": ["order.*", "x"] }]),
            ),
            (
                "entityType=deal&eventTypes=x",
                json!([{ "entityType": "deal" }, { "eventTypes": ["x"] }]),
            ),
        ] {
            assert_eq!(
                filter(&Fields::parse(form.as_bytes()))["items"],
                items,
                "{form}"
            );
        }
    }
}
