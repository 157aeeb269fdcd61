//! `/api/v1/{ws}/alerts` and `/api/v1/{ws}/alert-settings` (`docs/contracts/prichal.md §6.5`).

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};
use prichal_core::{
    alert::{
        ALERT, Alert, KINDS, Kind, STATES, State,
        settings::{ALERT_SETTINGS, Kept},
    },
    id,
    schema::{Field, Object, Type, object},
    time::Timestamp,
};
use prichal_store::{
    Conn, Tx,
    alert::{self, Filter},
    usage,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{caller::Admin, delivery_log::id_in_path, openapi::page_of};
use crate::{
    dialect::openapi::schema::{body, described, example, model, parameters, takes, uuid},
    domain::{
        self,
        mail::{digest, is_address},
    },
    error::{Error, Result},
    http::{
        answer::json_text,
        body::Json,
        page::{LIMIT, Query},
    },
    platform::{
        quota,
        security::{self, Event},
    },
};

const STATE: Field = Field::new("state", Type::Enum(&STATES)).doc("The alerts in this state only.");
const KIND: Field = Field::new("kind", Type::Enum(&KINDS)).doc("The alerts of this kind only.");
const SOURCE: Field = Field::new("sourceId", Type::Guid)
    .doc("The alerts about the webhook, channel, script or other thing with this id only.");
const FROM: Field =
    Field::new("from", Type::Moment).doc("The alerts that began at this time or later.");
const TO: Field = Field::new("to", Type::Moment).doc("The alerts that began before this time.");
const BEFORE: Field = Field::new("before", Type::Guid).doc("The `next` of the page before.");

parameters! {
    /// The alerts to list.
    AlertQuery = &[STATE, KIND, SOURCE, FROM, TO, BEFORE, LIMIT];
}

described! {
    /// An alert.
    pub(super) AlertModel as "Alert" = model(ALERT).examples(example(include_str!("examples/alert.json")));
    /// A page of alerts, the last ones first.
    AlertList = page_of::<AlertModel>("The number of alerts on the page.")
        .property("next", uuid().description(Some("The value of `before` for the next page. Absent on the last one."))), with AlertModel;
    /// A change of the settings: null restores a default, and members that are not given stay.
    AlertSettingsChange = body(ALERT_SETTINGS).examples(example(include_str!("examples/alert-settings.json")));
    /// The settings of alerts.
    AlertSettingsModel as "AlertSettings" = model(ALERT_SETTINGS);
}

takes! {
    AlertInPath: Path &[ALERT_ID];
}

const ALERT_ID: Field = Field::new("alertId", Type::Guid)
    .required()
    .doc("The id of the alert.");

/// The alert whose id is in the path.
pub(super) struct AlertInPath(Uuid);

impl<S: Send + Sync> FromRequestParts<S> for AlertInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        id_in_path(parts, state, ALERT_ID.name).await.map(Self)
    }
}

/// List the alerts of the workspace, those that began last first.
#[utoipa::path(get, path = "/api/v1/{ws}/alerts", tag = "alerts", params(Admin, AlertQuery),
    responses((status = 200, body = AlertList)))]
pub(super) async fn list_alerts(Admin(member): Admin, query: Query) -> Result<Response> {
    let (filter, limit) = (read_filter(&query)?, query.limit()?);
    let workspace = member.workspace_id();
    let read = move |conn: &mut Conn| alert::list(conn, workspace, &filter, limit);
    let found = member.app.db.read(read).await?;
    let items: Vec<Value> = found.iter().map(Alert::model).collect();
    let mut page = json!({ "count": items.len(), "items": items });
    let is_full = i64::try_from(found.len()).is_ok_and(|count| count == limit);
    if let Some(last) = found.last().filter(|_| is_full) {
        page["next"] = last.id.to_string().into();
    }
    Ok(json_text(StatusCode::OK, page.to_string()))
}

fn read_filter(query: &Query) -> Result<Filter> {
    let guid = |field: &Field| query.read(field.name, "a GUID", id::parse_any);
    let moment = |field: &Field| query.read(field.name, "an ISO-8601 time", Timestamp::parse);
    let one_of = |words: &[&str]| format!("one of {}", words.join(", "));
    Ok(Filter {
        state: query.read(STATE.name, &one_of(State::WORDS), State::from_name)?,
        kind: query.read(KIND.name, &one_of(Kind::WORDS), Kind::from_name)?,
        source: guid(&SOURCE)?,
        from: moment(&FROM)?,
        to: moment(&TO)?,
        before: guid(&BEFORE)?,
    })
}

/// Read an alert.
#[utoipa::path(get, path = "/api/v1/{ws}/alerts/{alertId}", tag = "alerts", params(Admin, AlertInPath),
    responses((status = 200, body = AlertModel)))]
pub(super) async fn get_alert(
    Admin(member): Admin,
    AlertInPath(id): AlertInPath,
) -> Result<Response> {
    let workspace = member.workspace_id();
    let read = move |conn: &mut Conn| alert::find(conn, workspace, id);
    answer(id, member.app.db.read(read).await?)
}

/// Tell the others that somebody takes care of an alert. The first time counts.
#[utoipa::path(post, path = "/api/v1/{ws}/alerts/{alertId}/acknowledge", tag = "alerts", params(Admin, AlertInPath),
    responses((status = 200, body = AlertModel)))]
pub(super) async fn acknowledge_alert(
    Admin(member): Admin,
    AlertInPath(id): AlertInPath,
) -> Result<Response> {
    let (workspace, user, now) = (member.workspace_id(), member.caller.user(), member.now);
    let write = move |tx: &mut Tx<'_>| {
        alert::acknowledge(tx, workspace, id, user, now)?;
        alert::find(tx.conn()?, workspace, id)
    };
    answer(id, member.app.db.write(workspace, write).await?)
}

fn answer(id: Uuid, found: Option<Alert>) -> Result<Response> {
    let found = found.ok_or_else(|| Error::NotFound(format!("Alert {id}")))?;
    Ok(json_text(StatusCode::OK, found.model().to_string()))
}

/// Read the settings of alerts, with the defaults of those that are not set.
#[utoipa::path(get, path = "/api/v1/{ws}/alert-settings", tag = "alerts", params(Admin),
    responses((status = 200, body = AlertSettingsModel)))]
pub(super) async fn get_alert_settings(Admin(member): Admin) -> Result<Response> {
    let workspace = member.workspace_id();
    let read = move |conn: &mut Conn| domain::alert::kept_settings(conn, workspace);
    Ok(shown(&member.app.db.read(read).await?))
}

/// Change the settings of alerts.
#[utoipa::path(patch, path = "/api/v1/{ws}/alert-settings", tag = "alerts", params(Admin),
    request_body = AlertSettingsChange, responses((status = 200, body = AlertSettingsModel)))]
pub(super) async fn patch_alert_settings(
    Admin(member): Admin,
    Json(body): Json,
) -> Result<Response> {
    let given: Object = object(&body)?.clone();
    let (workspace, now) = (member.workspace_id(), member.now);
    let write = move |tx: &mut Tx<'_>| {
        alert::lock_settings(tx, workspace)?;
        let kept = domain::alert::kept_settings(tx.conn()?, workspace)?;
        let changed = kept.changed(&given)?;
        let settings = changed.settings();
        for (n, address) in settings.mail.recipients.iter().enumerate() {
            if !is_address(address) {
                let path = format!("mail.recipients[{n}]");
                let why = format!("The {path} is not an address such as oncall@example.com.");
                return Err(Error::invalid(&path, why));
            }
        }
        if changed != kept {
            alert::put_settings(tx, workspace, &changed.to_text(), now)?;
            digest::plan(tx, workspace, &settings, now)?;
        }
        Ok::<_, Error>(changed)
    };
    let write = quota::growing(&member.app, workspace, &[usage::Kind::Records], write).await?;
    let changed = member.app.db.write(workspace, write).await?;
    security::record(Event::SettingsChanged, Some(workspace), "alerts");
    Ok(shown(&changed))
}

fn shown(kept: &Kept) -> Response {
    json_text(StatusCode::OK, Value::Object(kept.model()).to_string())
}
