//! Calls as the API tells them, and as a list shows them.

use std::collections::HashMap;

use serde::Deserialize;

use crate::{
    api::segment,
    facts,
    language::Language,
    moment::{self, Moment},
    parts::{State, Tone, visible},
    visit::Visit,
    words,
};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::pages) struct CallList {
    pub(in crate::pages) items: Vec<Call>,
    #[serde(default)]
    pub(in crate::pages) next: Option<String>,
    #[serde(default)]
    pub(in crate::pages) searched_to: Option<String>,
}

/// A call (`GET /api/v1/{ws}/deliveries`).
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::pages) struct Call {
    pub(in crate::pages) id: String,
    pub(in crate::pages) source: Source,
    #[serde(default)]
    pub(in crate::pages) integration_id: Option<String>,
    pub(in crate::pages) web_hook_id: String,
    pub(in crate::pages) event_id: String,
    #[serde(default)]
    pub(in crate::pages) event_type: Option<String>,
    #[serde(default)]
    pub(in crate::pages) custom_type: Option<String>,
    #[serde(default)]
    pub(in crate::pages) change_type: Option<String>,
    #[serde(default)]
    pub(in crate::pages) entities: Vec<Entity>,
    pub(in crate::pages) attempt: i64,
    pub(in crate::pages) status: Status,
    pub(in crate::pages) is_replay: bool,
    #[serde(default)]
    pub(in crate::pages) http_status: Option<i64>,
    pub(in crate::pages) duration_ms: i64,
    #[serde(default)]
    pub(in crate::pages) error: Option<String>,
    pub(in crate::pages) started_at: String,
}

#[derive(Clone, Deserialize)]
pub(in crate::pages) struct Entity {
    #[serde(rename = "type")]
    pub(in crate::pages) kind: String,
    pub(in crate::pages) id: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(in crate::pages) enum Source {
    Webhook,
    DocumentHook,
    Channel,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(in crate::pages) enum Status {
    Delivered,
    Deferred,
    Exhausted,
}

impl Status {
    pub(in crate::pages) fn state(self, w: &words::Deliveries) -> State {
        let (tone, word) = match self {
            Self::Delivered => (Tone::Good, w.delivered),
            Self::Deferred => (Tone::Waiting, w.deferred),
            Self::Exhausted => (Tone::Bad, w.exhausted),
        };
        State { tone, word }
    }
}

/// The names of integrations by their ids.
pub(in crate::pages) struct Names(pub(in crate::pages) HashMap<String, String>);

impl Names {
    /// The name of a call's source.
    pub(in crate::pages) fn of(&self, call: &Call) -> String {
        let id = call.integration_id.as_ref();
        let name = id
            .and_then(|id| self.0.get(id))
            .filter(|name| !name.is_empty());
        let id = id.unwrap_or(&call.web_hook_id);
        visible(name.unwrap_or(id))
    }
}

/// A line of a list of calls.
pub(in crate::pages) struct Row {
    pub(in crate::pages) href: String,
    pub(in crate::pages) state: State,
    pub(in crate::pages) at: Option<Moment>,
    pub(in crate::pages) source: &'static str,
    pub(in crate::pages) name: String,
    pub(in crate::pages) event: String,
    pub(in crate::pages) http_status: Option<i64>,
    pub(in crate::pages) error: String,
    pub(in crate::pages) attempt: i64,
    pub(in crate::pages) is_replay: bool,
    pub(in crate::pages) duration: String,
    /// The address of the page that asks before the event is sent again. Only the list of deliveries has it.
    pub(in crate::pages) resend: Option<String>,
}

impl Row {
    pub(in crate::pages) fn new(
        call: &Call,
        names: &Names,
        visit: &Visit,
        w: &words::Deliveries,
    ) -> Self {
        Self {
            href: visit.page(&format!("deliveries/{}", segment(&call.id))),
            state: call.status.state(w),
            at: Moment::parse(&call.started_at, &visit.workspace.zone),
            source: call.source.word(w),
            name: names.of(call),
            event: call.event(visit.language, w),
            http_status: call.http_status,
            error: facts::reason(call.error.as_deref().unwrap_or_default(), visit.language),
            attempt: call.attempt,
            is_replay: call.is_replay,
            duration: moment::span(call.duration_ms, visit.language),
            resend: None,
        }
    }
}

impl Call {
    /// True for a call with an event, which can be sent again by its id.
    pub(in crate::pages) fn is_of_hook(&self) -> bool {
        self.source != Source::Channel
    }

    /// True for a message of a channel that has arrived. It is not kept, so it cannot be sent again.
    pub(in crate::pages) fn is_over(&self) -> bool {
        self.source == Source::Channel && self.status == Status::Delivered
    }

    /// The kind of the event in a few words, such as `deal: changed` or `order.created`.
    pub(in crate::pages) fn event(&self, language: Language, w: &words::Deliveries) -> String {
        if let Some(custom) = &self.custom_type {
            return visible(custom);
        }
        let kind = self.change_type.as_ref().or(self.event_type.as_ref());
        match (self.entities.first(), kind) {
            (Some(entity), Some(kind)) => format!(
                "{}: {}",
                facts::entity(&entity.kind, language),
                facts::change(kind, language)
            ),
            (None, Some(kind)) => facts::change(kind, language),
            (_, None) => w.message.to_owned(),
        }
    }
}
