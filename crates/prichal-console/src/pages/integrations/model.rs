//! Integrations, instances and webhooks as the API tells them.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    parts::{State, Tone, visible},
    words::{self, fill},
};

#[derive(Deserialize)]
pub(super) struct List<T> {
    pub(super) count: usize,
    pub(super) items: Vec<T>,
}

/// An integration (`GET /api/v1/{ws}/integrations`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) title: Option<String>,
    #[serde(default)]
    pub(super) version: String,
    #[serde(default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) base_url: Option<String>,
    #[serde(default)]
    pub(super) installed: bool,
    #[serde(default)]
    pub(super) status: Option<String>,
}

impl Item {
    pub(super) fn state(&self, w: &'static words::Integrations) -> State {
        if !self.installed {
            return State {
                tone: Tone::Off,
                word: w.not_installed,
            };
        }
        let (tone, word) = match self.status.as_deref() {
            Some("active") => (Tone::Good, w.active),
            Some("paused") => (Tone::Waiting, w.paused),
            Some("hasErrors") => (Tone::Bad, w.has_errors),
            Some("failed") => (Tone::Bad, w.failed),
            _ => (Tone::Waiting, w.not_configured),
        };
        State { tone, word }
    }
}

/// An installed integration (`GET /api/v1/{ws}/integrations/instances/{id}`).
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Instance {
    #[serde(default)]
    pub(super) features: Features,
    #[serde(default)]
    pub(super) settings: Vec<Setting>,
    #[serde(default)]
    pub(super) secrets: Vec<Setting>,
    #[serde(default)]
    pub(super) web_hooks: Vec<Webhook>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Features {
    call: bool,
    hangup: bool,
    send_sms: bool,
}

impl Features {
    /// The features in words, with commas between.
    pub(super) fn words(&self, w: &words::Integrations) -> String {
        let all = [
            (self.call, w.feature_call),
            (self.hangup, w.feature_hangup),
            (self.send_sms, w.feature_sms),
        ];
        let known = all
            .into_iter()
            .filter_map(|(has, word)| has.then_some(word));
        known.collect::<Vec<_>>().join(", ")
    }
}

#[derive(Deserialize)]
pub(super) struct Setting {
    pub(super) id: String,
    #[serde(default)]
    pub(super) value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Webhook {
    pub(super) id: String,
    #[serde(default)]
    pub(super) relative_url: String,
    #[serde(default)]
    pub(super) trigger_type: String,
    #[serde(default)]
    pub(super) filter: Value,
    #[serde(default)]
    pub(super) schedule: Value,
    #[serde(default)]
    pub(super) disabled: bool,
}

impl Webhook {
    /// The events or the schedule of the webhook, in words.
    pub(super) fn wants(&self, w: &words::Integrations) -> String {
        if self.trigger_type == "schedule" {
            let period = self.schedule["period"].as_str().unwrap_or_default();
            return visible(&fill(w.schedule, &[&period]));
        }
        let items = self.filter["items"].as_array();
        let items: Vec<String> = items
            .into_iter()
            .flatten()
            .map(|item| wanted(item, w))
            .collect();
        if items.is_empty() {
            w.no_events.to_owned()
        } else {
            visible(&items.join("; "))
        }
    }
}

/// An item of a filter in words, such as `deal: create`.
fn wanted(item: &Value, w: &words::Integrations) -> String {
    let list = |member: &str| {
        let texts = item[member].as_array();
        let texts = texts.into_iter().flatten().filter_map(Value::as_str);
        texts.collect::<Vec<_>>().join(", ")
    };
    let own = [list("eventTypes"), list("entities")];
    let given = ["entityType", "eventType", "changeType"];
    let given = given.into_iter().filter_map(|member| item[member].as_str());
    let parts: Vec<&str> = own
        .iter()
        .map(String::as_str)
        .filter(|text| !text.is_empty())
        .chain(given)
        .collect();
    if parts.is_empty() {
        w.all_events.to_owned()
    } else {
        parts.join(": ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::language::Language;

    #[test]
    fn filters_are_told_in_words() {
        let w = words::Integrations::of(Language::En);
        for (filter, text) in [
            (json!({ "items": [] }), w.no_events),
            (json!({ "items": [{}] }), w.all_events),
            (
                json!({ "items": [{ "entityType": "deal", "changeType": "create" },
                    { "eventTypes": ["order.*", "x"], "entities": ["vip:*"] }] }),
                "deal: create; order.*, x: vip:*",
            ),
        ] {
            let hook = Webhook {
                id: String::new(),
                relative_url: String::new(),
                trigger_type: "entityEvent".to_owned(),
                filter,
                schedule: Value::Null,
                disabled: false,
            };
            assert_eq!(hook.wants(w), text);
        }
    }
}
