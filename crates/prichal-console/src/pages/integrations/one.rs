//! One integration.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    model::{Instance, Item, List, Setting},
    webhook::{Draft, Hook},
};
use crate::{
    answer::{Fault, page, redirect},
    api::{ApiError, query, segment},
    form::{Action, Fields},
    page::{Layout, Section},
    parts::{State, visible},
    visit::Visit,
    words,
};

#[derive(Template)]
#[template(path = "integration.html")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question that the template asks"
)]
pub(super) struct OnePage {
    layout: Layout,
    w: &'static words::Integrations,
    name: String,
    version: String,
    kind: &'static str,
    base_url: String,
    state: State,
    is_installed: bool,
    is_paused: bool,
    features: String,
    settings: Vec<(String, String)>,
    secrets: Vec<(String, String)>,
    hooks: Vec<Hook>,
    draft: Draft,
    said: Said,
    here: String,
    /// The address of its deliveries, for roles that have their section.
    deliveries: Option<String>,
    may_change: bool,
    is_admin: bool,
}

/// The outcome of a form of the page.
#[derive(Default)]
pub(super) struct Said {
    pub(super) error: Option<String>,
    /// A sentence about a test call or a filter.
    pub(super) result: Option<String>,
    /// A new API key.
    pub(super) key: Option<String>,
    /// True to show secrets as they are.
    pub(super) secrets: bool,
    /// The parameters of a refused setup. Secrets are typed again.
    pub(super) setup: String,
}

impl Said {
    pub(super) fn error(error: ApiError) -> Result<Self, Fault> {
        if !error.is_refusal() {
            return Err(error.into());
        }
        Ok(Self {
            error: Some(error.message),
            ..Self::default()
        })
    }
}

/// An integration by its id.
pub(crate) async fn detail(
    visit: Visit,
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    show(&visit, &id, &fields, Draft::default(), Said::default()).await
}

pub(super) async fn show(
    visit: &Visit,
    id: &str,
    fields: &Fields,
    draft: Draft,
    said: Said,
) -> Result<Response, Fault> {
    let w = words::Integrations::of(visit.language);
    let item = find(visit, id).await?;
    let instance = if item.installed {
        let path = visit.api(&format!("integrations/instances/{}", segment(id)));
        visit.get(&path).await?
    } else {
        Instance::default()
    };
    let here = visit.page(&format!("integrations/{}", segment(id)));
    let layout = Layout::of(visit, Section::Integrations, &visible(&item.name));
    let is_public = item.kind == "public";
    Ok(page(&OnePage {
        layout: layout.with_notice(done(fields, w)),
        w,
        name: visible(item.title.as_ref().unwrap_or(&item.name)),
        version: visible(&item.version),
        kind: if is_public { w.public } else { w.private },
        base_url: visible(item.base_url.as_deref().unwrap_or_default()),
        state: item.state(w),
        is_installed: item.installed,
        is_paused: item.status.as_deref() == Some("paused"),
        features: instance.features.words(w),
        settings: shown(&instance.settings, true),
        secrets: shown(&instance.secrets, said.secrets),
        hooks: instance
            .web_hooks
            .iter()
            .map(|hook| Hook::new(hook, id, visit, w))
            .collect(),
        draft,
        said,
        here,
        deliveries: visit
            .has(Section::Deliveries)
            .then(|| visit.page("deliveries") + &query([("integrationId", id)])),
        may_change: visit.may_integrate(),
        is_admin: visit.may_administer(),
    }))
}

/// The integration among those of the workspace: the API has no path for one alone.
async fn find(visit: &Visit, id: &str) -> Result<Item, Fault> {
    let mut offset = 0;
    loop {
        let path = visit.api(&format!("integrations?limit=1000&offset={offset}"));
        let page: List<Item> = visit.get(&path).await?;
        offset += page.items.len();
        let is_last = page.items.is_empty() || offset >= page.count;
        if let Some(item) = page.items.into_iter().find(|item| item.id == id) {
            return Ok(item);
        }
        if is_last {
            return Err(Fault::NotFound);
        }
    }
}

/// Pairs of names and values. A secret shows its end only.
fn shown(settings: &[Setting], as_they_are: bool) -> Vec<(String, String)> {
    let value = |setting: &Setting| {
        if as_they_are {
            return visible(&setting.value);
        }
        "•".repeat(12)
    };
    let pairs = settings.iter().map(|one| (visible(&one.id), value(one)));
    pairs.collect()
}

fn done(fields: &Fields, w: &words::Integrations) -> Option<&'static str> {
    Some(match fields.text("done") {
        "added" => w.done_added,
        "install" => w.done_installed,
        "uninstall" => w.done_uninstalled,
        "pause" => w.done_paused,
        "resume" => w.done_resumed,
        "setup" => w.done_setup,
        "webhook" => w.done_webhook,
        _ => return None,
    })
}

/// Installs, uninstalls, pauses or resumes.
pub(crate) async fn act(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let one = segment(&id);
    let verb = fields.text("act");
    let path = match verb {
        "install" | "uninstall" => format!("integrations/{one}/{verb}"),
        "pause" | "resume" => format!("integrations/instances/{one}/{verb}"),
        _ => return Err(Fault::NotFound),
    };
    let sent = visit
        .send::<Value>(Method::POST, &visit.api(&path), &json!({}))
        .await;
    finish(&visit, &id, &fields, verb, sent).await
}

/// Leads back to the integration, or shows why the API has refused.
pub(super) async fn finish(
    visit: &Visit,
    id: &str,
    fields: &Fields,
    what: &str,
    sent: Result<Value, ApiError>,
) -> Result<Response, Fault> {
    match sent {
        Ok(_) => {
            let here = visit.page(&format!("integrations/{}", segment(id)));
            Ok(redirect(&format!("{here}?done={what}")))
        }
        Err(error) => {
            let said = Said::error(error)?;
            show(visit, id, fields, Draft::default(), said).await
        }
    }
}

/// Sets the integration up with the parameters of the form.
pub(crate) async fn setup(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let text = fields.raw("parameters");
    let parameters = Value::Object(parameters(text));
    let path = visit.api(&format!("integrations/{}/setup", segment(&id)));
    match visit.send::<Value>(Method::POST, &path, &parameters).await {
        Ok(_) => {
            let here = visit.page(&format!("integrations/{}", segment(&id)));
            Ok(redirect(&format!("{here}?done=setup")))
        }
        Err(error) => {
            let mut said = Said::error(error)?;
            text.clone_into(&mut said.setup);
            show(&visit, &id, &fields, Draft::default(), said).await
        }
    }
}

/// Lines of `name=value`.
fn parameters(text: &str) -> Map<String, Value> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines
        .map(|(name, value)| (name.trim().to_owned(), value.trim().into()))
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    api_key: String,
}

/// Issues an API key and shows it this once.
pub(crate) async fn api_key(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let path = visit.api(&format!("integrations/{}/api-key", segment(&id)));
    let said = match visit.send::<Key>(Method::POST, &path, &json!({})).await {
        Ok(made) => Said {
            key: Some(made.api_key),
            ..Said::default()
        },
        Err(error) => Said::error(error)?,
    };
    show(&visit, &id, &fields, Draft::default(), said).await
}

/// Shows the secrets once, by a form, so that no address and no history has them. The server records it.
pub(crate) async fn reveal(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    if !visit.may_integrate() {
        return Err(Fault::NotFound);
    }
    let said = Said {
        secrets: true,
        ..Said::default()
    };
    show(&visit, &id, &fields, Draft::default(), said).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_lines() {
        let found = parameters("host = pbx.example\r\n\nkey=a=b\nnothing");
        assert_eq!(
            Value::Object(found),
            json!({ "host": "pbx.example", "key": "a=b" })
        );
    }

    #[test]
    fn secrets_are_masked_whole() {
        let secret = Setting {
            id: "key".to_owned(),
            value: "whsec_abc".to_owned(),
        };
        let masked = shown(&[secret], false);
        assert_eq!(masked, [("key".to_owned(), "•".repeat(12))]);
    }
}
