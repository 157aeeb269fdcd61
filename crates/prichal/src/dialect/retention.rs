//! The times for which the history of a workspace is kept: its own and those that the operator allows. Both APIs show them in
//! the same form.

use std::time::Duration;

use axum::{http::StatusCode, response::Response};
use prichal_core::{
    id::WorkspaceId,
    schema::{self, Field, Type},
};
use prichal_store::{
    Conn, Tx,
    retention::{self, AllDays, Days, KINDS, Kind},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    app::App,
    dialect::openapi::schema::{body, described, example},
    error::{Error, Result},
    http::answer::json_text,
};

const DAY: Duration = Duration::from_hours(24);
/// The maximum number of days, a hundred years.
const MAX_DAYS: i64 = 36_500;

const DELIVERIES: Field = days(
    "deliveriesDays",
    "The delivery log, dead letters and resends.",
);
const RUNS: Field = days("runsDays", "The runs of scripts.");
const AUDIT: Field = days("auditDays", "The audit log.");
const EVENTS: Field = days(
    "eventsDays",
    "The events of the log, except for those that are still needed, and the status changes of documents.",
);
/// The members of the operator's body, in the order of [`Kind::ALL`].
const ALLOWED: [Field; KINDS] = [DELIVERIES, RUNS, AUDIT, EVENTS];
/// The members of a workspace's body. Its administrators must not shorten the log of their own acts.
const OWN: [Field; 3] = [DELIVERIES, RUNS, EVENTS];

const fn days(name: &'static str, doc: &'static str) -> Field {
    Field::new(name, Type::Int).within(1, MAX_DAYS).doc(doc)
}

described! {
    /// The days for which a workspace may keep its history. The server's setting holds for a number that is null or left out.
    pub AllowedRetention = body(&ALLOWED).examples(example(r#"{"deliveriesDays": 90, "auditDays": 1825, "eventsDays": 365}"#));
    /// The days for which the workspace keeps its history, at most those that the operator allows. Null, or a number that is
    /// left out, stands for all of them.
    pub OwnRetention = body(&OWN).examples(example(r#"{"deliveriesDays": 14, "eventsDays": 90}"#));
}

/// The time for which a kind of history is kept.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeptDays)]
struct KeptDays {
    /// The days that hold: the smaller one of the two below. A time of the server's settings may be a part of a day. Null
    /// stands for ever.
    #[schema(required = true)]
    days: Option<f64>,
    /// The days that the operator allows. Null stands for ever.
    #[schema(required = true)]
    allowed_days: Option<f64>,
    /// The workspace's own number; null if it has none.
    #[schema(required = true)]
    own_days: Option<i64>,
}

/// The times for which the history of a workspace is kept.
#[derive(Serialize, ToSchema)]
pub struct Retention {
    /// The delivery log, dead letters and resends.
    deliveries: KeptDays,
    /// The runs of scripts.
    runs: KeptDays,
    /// The audit log.
    audit: KeptDays,
    /// The events of the log, except for those that are still needed, and the status changes of documents.
    events: KeptDays,
}

/// The side that sets times.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Operator,
    Workspace,
}

/// Answers the times of a workspace.
pub async fn show(app: &App, workspace: WorkspaceId) -> Result<Response> {
    let find = move |conn: &mut Conn| retention::find(conn, workspace);
    let all = app.db.read(find).await?;
    answer(app, &all)
}

/// Replaces one side's times, and answers all.
pub async fn put(app: &App, workspace: WorkspaceId, side: Side, body: &Value) -> Result<Response> {
    let given = read(side, body)?;
    let at = app.clone();
    let write = move |tx: &mut Tx<'_>| {
        let mut all = retention::find_for_update(tx, workspace)?;
        for (kind, days) in Kind::ALL.into_iter().zip(&mut all) {
            let number = given[kind as usize];
            match side {
                Side::Operator => days.allowed = number,
                Side::Workspace => {
                    check(&at, kind, *days, number)?;
                    days.own = number;
                }
            }
        }
        retention::set(tx, workspace, all)?;
        Ok::<_, Error>(all)
    };
    let all = app.db.write(workspace, write).await?;
    answer(app, &all)
}

/// Refuses a time of a workspace beyond the one that is allowed.
fn check(app: &App, kind: Kind, days: Days, own: Option<i64>) -> Result<()> {
    let allowed = seconds(app, kind, Days { own: None, ..days });
    let own = own.unwrap_or(0);
    if own.saturating_mul(day()) <= allowed {
        return Ok(());
    }
    let name = ALLOWED[kind as usize].name;
    let most = allowed / day();
    let why = format!(
        "The {name} must be at most {most}, which the operator of the server allows, not {own}."
    );
    Err(Error::invalid(name, why))
}

fn read(side: Side, body: &Value) -> Result<[Option<i64>; KINDS]> {
    let body = body
        .as_object()
        .ok_or_else(|| Error::invalid("", "The request body must be a JSON object."))?;
    let fields: &[Field] = match side {
        Side::Operator => &ALLOWED,
        Side::Workspace => &OWN,
    };
    let mut names = fields.iter().map(|field| field.name);
    let is_known = |name: &String| fields.iter().any(|field| field.name == name);
    if let Some(name) = body.keys().find(|name| !is_known(name)) {
        let shown: String = name.chars().take(64).collect();
        let known = names.by_ref().collect::<Vec<_>>().join(", ");
        return Err(Error::invalid(
            &shown,
            format!("There is no member `{shown}`: {known}."),
        ));
    }
    // No field makes an id.
    let read = schema::read_strictly(fields, body, &mut uuid::Uuid::nil)?;
    Ok(ALLOWED.map(|field| read.get(field.name).and_then(Value::as_i64)))
}

const fn day() -> i64 {
    DAY.as_secs().cast_signed()
}

/// The time of the server's settings. `None` stands for ever.
fn of_server(app: &App, kind: Kind) -> Option<Duration> {
    match kind {
        Kind::Deliveries => Some(app.config.delivery_log_ttl),
        Kind::Runs => Some(app.config.run_ttl),
        Kind::Audit => Some(app.config.audit_log_ttl),
        Kind::Events => app.config.event_ttl,
    }
}

const FOR_EVER: i64 = i64::MAX;

/// The seconds that hold, or [`FOR_EVER`].
fn seconds(app: &App, kind: Kind, days: Days) -> i64 {
    let server = of_server(app, kind).and_then(|ttl| i64::try_from(ttl.as_secs()).ok());
    days.effective(server.unwrap_or(FOR_EVER), day())
}

fn answer(app: &App, all: &AllDays) -> Result<Response> {
    #[expect(clippy::cast_precision_loss, reason = "a number of days for people")]
    let in_days = |seconds: i64| (seconds != FOR_EVER).then(|| seconds as f64 / day() as f64);
    let kept = |kind: Kind| {
        let days = all[kind as usize];
        KeptDays {
            days: in_days(seconds(app, kind, days)),
            allowed_days: in_days(seconds(app, kind, Days { own: None, ..days })),
            own_days: days.own,
        }
    };
    let model = Retention {
        deliveries: kept(Kind::Deliveries),
        runs: kept(Kind::Runs),
        audit: kept(Kind::Audit),
        events: kept(Kind::Events),
    };
    let text = serde_json::to_string(&model).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}
