//! Lists of the audit log: of one workspace, and of the server with all workspaces.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::{
    api::{ApiError, query},
    form::Fields,
    language::Language,
    moment::{self, Moment},
    parts::{Choice, State, Tone, choices, visible},
    words::Settings,
};

/// The number of records on a page.
const PAGE: &str = "50";
/// The criteria that the API takes as they are, without `workspace`.
const CRITERIA: [&str; 8] = [
    "action",
    "actorKind",
    "actorId",
    "userId",
    "objectKind",
    "objectId",
    "result",
    "address",
];
/// Those that only links set.
const OF_LINKS: [&str; 4] = ["actorId", "userId", "objectKind", "address"];
const WORKSPACE: &str = "workspace";
const CURSOR: &str = "cursor";

/// A page of records as the API answers it.
#[derive(Default, Deserialize)]
pub(super) struct Records {
    items: Vec<Record>,
    #[serde(default)]
    next: Option<String>,
}

/// A record (`GET /api/v1/{ws}/audit`, `GET /admin/v1/audit`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    at: String,
    #[serde(default)]
    workspace_id: Option<String>,
    actor: Actor,
    action: String,
    #[serde(default)]
    object: Option<Object>,
    #[serde(default)]
    address: Option<String>,
    result: String,
    #[serde(default)]
    status: Option<i64>,
}

#[derive(Deserialize)]
struct Actor {
    kind: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Object {
    kind: String,
    #[serde(default)]
    id: Option<String>,
}

/// The log that a page shows.
pub(super) enum Scope {
    Workspace,
    /// The whole server; the names of workspaces by their ids.
    Server(HashMap<String, String>),
}

/// The criteria of a list, as the address has them.
pub(super) struct Criteria {
    fields: Fields,
    /// The period as the API takes it.
    from: String,
    to: String,
}

impl Criteria {
    pub(super) fn of(fields: Fields, zone: &TimeZone) -> Self {
        // A time that cannot be read goes to the API as it is, which says what is wrong.
        let time = |name| {
            let text = fields.text(name);
            moment::from_input(text, zone).unwrap_or_else(|| text.to_owned())
        };
        let (from, to) = (time("from"), time("to"));
        Self { fields, from, to }
    }

    /// The query with these criteria and further pairs.
    pub(super) fn query(&self, more: &[(&str, &str)]) -> String {
        query(self.pairs().chain(more.iter().copied()))
    }

    /// The criteria with a value, as the API takes them.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = [WORKSPACE].into_iter().chain(CRITERIA);
        let pairs = names.map(|name| (name, self.fields.text(name)));
        let period = [("from", &*self.from), ("to", &*self.to)];
        pairs.chain(period).filter(|(_, value)| !value.is_empty())
    }

    /// The query of the page that the address asks for.
    pub(super) fn of_page(&self) -> String {
        self.query(&[(CURSOR, self.fields.text(CURSOR)), ("limit", PAGE)])
    }
}

/// A list with its filter. `templates/audit-list.html` shows it.
pub(super) struct AuditList {
    pub(super) w: &'static Settings,
    /// The address without criteria.
    pub(super) here: String,
    /// True if the records are of all workspaces.
    pub(super) is_of_server: bool,
    pub(super) rows: Vec<Row>,
    pub(super) older: Option<String>,
    pub(super) error: Option<String>,
    pub(super) results: Vec<Choice>,
    pub(super) actors: Vec<Choice>,
    pub(super) workspace: String,
    pub(super) action: String,
    pub(super) object: String,
    pub(super) from: String,
    pub(super) to: String,
    /// The number of criteria.
    pub(super) filters: usize,
    /// Further criteria, which links set.
    pub(super) others: Vec<(&'static str, String)>,
}

pub(super) struct Row {
    pub(super) at: Option<Moment>,
    /// The workspace's name, and the address of its records.
    pub(super) workspace: Option<(String, String)>,
    pub(super) actor: String,
    /// The address of the actor's records.
    pub(super) of_actor: Option<String>,
    pub(super) kind: &'static str,
    pub(super) action: String,
    pub(super) object: String,
    pub(super) address: String,
    pub(super) state: State,
    pub(super) status: Option<i64>,
}

impl AuditList {
    /// The list of an answer. A refusal is shown above an empty list.
    pub(super) fn new(
        answer: Result<Records, ApiError>,
        criteria: &Criteria,
        scope: &Scope,
        here: String,
        zone: &TimeZone,
        language: Language,
    ) -> Result<Self, ApiError> {
        let w = Settings::of(language);
        let (found, error) = match answer {
            Ok(found) => (found, None),
            Err(error) if error.is_refusal() => (Records::default(), Some(error.message)),
            Err(error) => return Err(error),
        };
        let text = |name: &str| criteria.fields.text(name).to_owned();
        let next = found.next.as_deref();
        let results = ["done", "refused", "failed"].map(|one| (one, result(one, w).1));
        let kinds = [
            "operator",
            "token",
            "session",
            "integration",
            "channel",
            "node",
        ];
        let others = OF_LINKS.into_iter().map(|name| (name, text(name)));
        Ok(Self {
            w,
            is_of_server: matches!(scope, Scope::Server(_)),
            older: next.map(|next| format!("{here}{}", criteria.query(&[(CURSOR, next)]))),
            results: choices(criteria.fields.text("result"), results),
            actors: choices(
                criteria.fields.text("actorKind"),
                kinds.map(|kind| (kind, actor(kind, w))),
            ),
            workspace: text(WORKSPACE),
            action: text("action"),
            object: text("objectId"),
            from: moment::to_input(criteria.fields.text("from"), zone),
            to: moment::to_input(criteria.fields.text("to"), zone),
            filters: criteria.pairs().count(),
            others: others.filter(|(_, value)| !value.is_empty()).collect(),
            rows: found
                .items
                .into_iter()
                .map(|one| Row::new(one, scope, &here, zone, w))
                .collect(),
            error,
            here,
        })
    }
}

impl Row {
    fn new(
        record: Record,
        scope: &Scope,
        here: &str,
        zone: &TimeZone,
        w: &'static Settings,
    ) -> Self {
        let (tone, word) = result(&record.result, w);
        let object = record.object.map(|object| {
            let id = object.id.unwrap_or_default();
            format!("{} {id}", object.kind)
        });
        let (workspace, of_actor) = match scope {
            Scope::Workspace => (None, None),
            Scope::Server(names) => {
                let link = |name: &str, value: &str| format!("{here}{}", query([(name, value)]));
                let workspace = record.workspace_id.map(|id| {
                    let name = names.get(&id).unwrap_or(&id);
                    (visible(name), link(WORKSPACE, name))
                });
                let of_actor = record.actor.id.as_deref().map(|id| link("actorId", id));
                (workspace, of_actor)
            }
        };
        Self {
            at: Moment::parse(&record.at, zone),
            workspace,
            actor: visible(&record.actor.name.unwrap_or_default()),
            of_actor,
            kind: actor(&record.actor.kind, w),
            action: visible(&record.action),
            object: visible(object.unwrap_or_default().trim()),
            address: visible(&record.address.unwrap_or_default()),
            state: State { tone, word },
            status: record.status,
        }
    }
}

fn result(word: &str, w: &Settings) -> (Tone, &'static str) {
    match word {
        "done" => (Tone::Good, w.result_done),
        "refused" => (Tone::Waiting, w.result_refused),
        _ => (Tone::Bad, w.result_failed),
    }
}

fn actor(kind: &str, w: &Settings) -> &'static str {
    match kind {
        "operator" => w.actor_operator,
        "token" => w.actor_token,
        "session" => w.actor_session,
        "integration" => w.actor_integration,
        "channel" => w.actor_channel,
        _ => w.actor_node,
    }
}
