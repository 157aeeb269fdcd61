//! Calls as the API tells them, and as a list shows them.

use std::collections::HashMap;

use serde::Deserialize;

use crate::{
    api::segment,
    moment::{self, Moment},
    parts::{State, Tone, visible},
    visit::Visit,
    words,
};

#[derive(Default, Deserialize)]
pub(super) struct CallList {
    pub(super) items: Vec<Call>,
    #[serde(default)]
    pub(super) next: Option<String>,
}

/// A call (`GET /api/v1/{ws}/deliveries`).
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) source: Source,
    #[serde(default)]
    pub(super) integration_id: Option<String>,
    pub(super) web_hook_id: String,
    pub(super) event_id: String,
    #[serde(default)]
    pub(super) event_type: Option<String>,
    #[serde(default)]
    pub(super) custom_type: Option<String>,
    #[serde(default)]
    pub(super) change_type: Option<String>,
    #[serde(default)]
    pub(super) entities: Vec<Entity>,
    pub(super) attempt: i64,
    pub(super) status: Status,
    pub(super) is_replay: bool,
    #[serde(default)]
    pub(super) http_status: Option<i64>,
    pub(super) duration_ms: i64,
    #[serde(default)]
    pub(super) error: Option<String>,
    pub(super) started_at: String,
}

#[derive(Clone, Deserialize)]
pub(super) struct Entity {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) id: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) enum Source {
    Webhook,
    DocumentHook,
    Channel,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) enum Status {
    Delivered,
    Deferred,
    Exhausted,
}

impl Status {
    pub(super) fn state(self, w: &words::Deliveries) -> State {
        let (tone, word) = match self {
            Self::Delivered => (Tone::Good, w.delivered),
            Self::Deferred => (Tone::Waiting, w.deferred),
            Self::Exhausted => (Tone::Bad, w.exhausted),
        };
        State { tone, word }
    }
}

/// The names of integrations by their ids.
pub(super) struct Names(pub(super) HashMap<String, String>);

impl Names {
    /// The name of a call's source.
    pub(super) fn of(&self, call: &Call) -> String {
        let id = call.integration_id.as_ref();
        let name = id
            .and_then(|id| self.0.get(id))
            .filter(|name| !name.is_empty());
        let id = id.unwrap_or(&call.web_hook_id);
        visible(name.unwrap_or(id))
    }
}

/// A line of a list of calls.
pub(super) struct Row {
    pub(super) href: String,
    pub(super) state: State,
    pub(super) at: Option<Moment>,
    pub(super) source: &'static str,
    pub(super) name: String,
    pub(super) event: String,
    pub(super) http_status: Option<i64>,
    pub(super) error: String,
    pub(super) attempt: i64,
    pub(super) is_replay: bool,
    pub(super) duration: String,
}

impl Row {
    pub(super) fn new(call: &Call, names: &Names, visit: &Visit, w: &words::Deliveries) -> Self {
        Self {
            href: visit.page(&format!("deliveries/{}", segment(&call.id))),
            state: call.status.state(w),
            at: Moment::parse(&call.started_at, &visit.workspace.zone),
            source: call.source.word(w),
            name: names.of(call),
            event: call.event(w),
            http_status: call.http_status,
            error: visible(call.error.as_deref().unwrap_or_default()),
            attempt: call.attempt,
            is_replay: call.is_replay,
            duration: moment::span(call.duration_ms),
        }
    }
}

impl Call {
    /// The kind of the event in a few words, such as `deal: patch` or `order.created`.
    pub(super) fn event(&self, w: &words::Deliveries) -> String {
        if let Some(custom) = &self.custom_type {
            return visible(custom);
        }
        let kind = self.change_type.as_ref().or(self.event_type.as_ref());
        match (self.entities.first(), kind) {
            (Some(entity), Some(kind)) => format!("{}: {kind}", entity.kind),
            (None, Some(kind)) => kind.clone(),
            (_, None) => w.message.to_owned(),
        }
    }
}
