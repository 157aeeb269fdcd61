//! `/admin/v1/quarantine`: durable work that is held back because the server died each time while it ran.

use axum::{Json as Answer, extract::State, http::StatusCode};
use prichal_core::{
    id::{IntegrationId, WebhookId, WorkspaceId},
    names,
    schema::{Field, Type, Words},
};
use prichal_store::{
    Conn, Tx,
    quarantine::{self, Filter, Item, Kind, Suspect},
    webhook::{self, Key},
};
use serde::Serialize;
use utoipa::{ToSchema, openapi::Object};
use uuid::Uuid;

use super::{caller::Administrator, workspaces::find};
use crate::{
    app::App,
    dialect::openapi::schema::{parameters, words},
    domain::{document::bulk::FAILED, journal::held},
    error::{Code, Error, Result},
    http::{
        extract::Path,
        page::{LIMIT, Query},
    },
    platform::security::{self, Event},
};

/// A piece of work in quarantine.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Quarantined {
    /// The id, with which it is released or given up.
    #[schema(format = "uuid")]
    id: String,
    #[schema(schema_with = kind_words)]
    kind: &'static str,
    /// Null for work that belongs to no workspace.
    #[schema(required = true, format = "uuid")]
    workspace_id: Option<String>,
    /// The id of the run, webhook, element, signature or call.
    #[schema(format = "uuid")]
    item_id: String,
    /// The integration of a webhook; null for other kinds.
    #[schema(required = true, format = "uuid")]
    integration_id: Option<String>,
    /// The number of a delivery's event in its log; the step of retention; null for other kinds.
    #[schema(required = true)]
    number: Option<i64>,
    /// The number of times that the server died while the work ran.
    deaths: i64,
    /// The time of the first death.
    #[schema(format = DateTime)]
    first_died_at: String,
    /// The time of the last death.
    #[schema(format = DateTime)]
    last_died_at: String,
    /// The time since which it is held.
    #[schema(required = true, format = DateTime)]
    held_at: Option<String>,
}

static KINDS: Words = Words {
    name: "kind",
    words: &names!(Kind),
};

fn kind_words() -> Object {
    words(KINDS.words, "The kind of work.")
}

impl From<&Suspect> for Quarantined {
    fn from(suspect: &Suspect) -> Self {
        let item = suspect.item;
        let text = |id: Uuid| (!id.is_nil()).then(|| id.to_string());
        Self {
            id: suspect.id.to_string(),
            kind: item.kind.name(),
            workspace_id: text(item.workspace.0),
            item_id: item.id.to_string(),
            integration_id: text(item.parent),
            number: (item.seq != 0).then_some(item.seq),
            deaths: suspect.deaths,
            first_died_at: suspect.first_at.to_string(),
            last_died_at: suspect.last_at.to_string(),
            held_at: suspect.held_at.map(|at| at.to_string()),
        }
    }
}

/// A page of quarantined work.
#[derive(Serialize, ToSchema)]
pub(super) struct Quarantine {
    /// The work, newest first.
    items: Vec<Quarantined>,
}

parameters! {
    /// A page of quarantined work.
    QuarantineQuery = &[
        Field::new("workspace", Type::Text).doc("The name or the id of a workspace, to list only its work."),
        Field::new("kind", Type::Enum(&KINDS)).doc("The kind of work to list.").example("run"),
        Field::new("before", Type::Guid).doc("The id of the last item of the page before."),
        LIMIT,
    ];
}

/// List quarantined work, newest first.
#[utoipa::path(get, path = "/admin/v1/quarantine", tag = "administration",
    params(QuarantineQuery),
    responses((status = 200, body = Quarantine)))]
pub(super) async fn list_quarantine(
    State(app): State<App>,
    _: Administrator,
    query: Query,
) -> Result<Answer<Quarantine>> {
    let workspace: Option<WorkspaceId> = match query.text("workspace") {
        Some(ws) => Some(find(&app, ws).await?.id),
        None => None,
    };
    let filter = Filter {
        workspace,
        kind: query.read("kind", &KINDS.words.join(", "), Kind::from_name)?,
        before: query.read("before", "an id", |text| Uuid::try_parse(text).ok())?,
    };
    let limit = query.limit()?;
    let read = move |conn: &mut Conn| quarantine::list(conn, filter, limit);
    let found = app.db.read(read).await?;
    let items = found.iter().map(Into::into).collect();
    Ok(Answer(Quarantine { items }))
}

/// Release a piece of work: it runs again as if it had never been in quarantine.
#[utoipa::path(post, path = "/admin/v1/quarantine/{id}/release", tag = "administration", params(("id" = String, Path, description = "The id of the piece of work")),
    responses((status = 204)))]
pub(super) async fn release_quarantined(
    State(app): State<App>,
    _: Administrator,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    let wanted = read_id(&id)?;
    let write = move |tx: &mut Tx<'_>| {
        let released = quarantine::release(tx, wanted)?;
        if let Some(released) = &released {
            held::clear(tx, &released.item)?;
        }
        Ok::<_, Error>(released)
    };
    let released = app.db.write(WorkspaceId(Uuid::nil()), write).await?;
    let released = released.ok_or_else(|| unknown(&id))?;
    app.journal.forget_held(&released.item);
    note(Event::QuarantineReleased, &released);
    wake(&app, &released);
    Ok(StatusCode::NO_CONTENT)
}

/// Give a piece of work up: it never runs again. A step of retention cannot be given up, nor an event that its webhook has
/// not come to.
#[utoipa::path(delete, path = "/admin/v1/quarantine/{id}", tag = "administration", params(("id" = String, Path, description = "The id of the piece of work")),
    responses((status = 204)))]
pub(super) async fn drop_quarantined(
    State(app): State<App>,
    _: Administrator,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    let (wanted, now) = (read_id(&id)?, app.clock.now());
    let errors = held::errors("The server's administrator has given it up.");
    let write = move |tx: &mut Tx<'_>| {
        let Some(gone) = quarantine::release(tx, wanted)? else {
            return Ok(None);
        };
        if gone.item.kind == Kind::Retention {
            return Err(Error::refused(
                Code::Conflict,
                "A step of retention cannot be given up, only released",
            ));
        }
        if !is_passed(tx.conn()?, &gone.item)? {
            return Err(Error::refused(
                Code::Conflict,
                "The webhook has not come to this event yet, and would deliver it; a paused subscription has to be resumed first",
            ));
        }
        held::clear(tx, &gone.item)?;
        quarantine::give_up(tx, gone.item, now, FAILED, &errors)?;
        Ok(Some(gone))
    };
    let gone = app.db.write(WorkspaceId(Uuid::nil()), write).await?;
    let gone = gone.ok_or_else(|| unknown(&id))?;
    app.journal.forget_held(&gone.item);
    note(Event::QuarantineDropped, &gone);
    Ok(StatusCode::NO_CONTENT)
}

/// False for an event that its webhook has not read, so that nothing could keep it from being delivered.
fn is_passed(conn: &mut Conn, item: &Item) -> Result<bool> {
    let key = Key {
        workspace: item.workspace,
        integration: IntegrationId(item.parent),
        id: WebhookId(item.id),
    };
    Ok(item.kind != Kind::Delivery || webhook::has_passed(conn, key, item.seq)?)
}

fn note(event: Event, suspect: &Suspect) {
    let Item {
        kind,
        workspace,
        id,
        ..
    } = suspect.item;
    let workspace = Some(workspace).filter(|workspace| !workspace.0.is_nil());
    security::record(event, workspace, &format!("{}:{id}", kind.name()));
}

fn read_id(id: &str) -> Result<Uuid> {
    Uuid::try_parse(id).map_err(|_| unknown(id))
}

fn unknown(id: &str) -> Error {
    Error::NotFound(format!("Item {id} in quarantine"))
}

/// Wakes the task of this node that takes the released work up. Other nodes find it when they poll.
fn wake(app: &App, released: &Suspect) {
    match released.item.kind {
        Kind::Run => app.channels.queue.request_poll(),
        Kind::Delivery => app.dispatch.check_side_queues(),
        Kind::Tick => app.dispatch.ticks_changed(),
        Kind::Bulk => app.bulk.notify_one(),
        Kind::Call => app.telephony.deadline.set(app.clock.now()),
        // Both tasks poll often enough.
        Kind::Recheck | Kind::Retention => {}
    }
}
