//! The subscription to documents' status changes, its deliveries, and the history of the changes
//! (`docs/contracts/idocs.md §3`).

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use prichal_core::{
    id::{EventId, WebhookId, WorkspaceId, generate, parse},
    time::Timestamp,
};
use prichal_dialect::idocs::event::STATUS_CHANGED;
use prichal_store::{
    Conn, Tx,
    delivery::{self, AttemptFilter, Replay, STATUSES},
    document,
    document_hook::{self, DocumentHook, INTEGRATION},
    job::{Items, Kind as JobKind},
    webhook,
};
use serde_json::{Value, json};

use super::{
    answer::{bare, page},
    caller::Company,
    events::status_model,
    language::Localized,
    read::{Fields, NOT_ALLOWED, Parameters},
};
use crate::{
    app::App,
    delivery::{
        attempt::{self, AttemptList, ReplayAnswer},
        job,
    },
    domain::document_hook::{Secrets, webhook as webhook_of},
    error::{Error, Result},
    http::{
        body::Raw,
        extract::Path,
        idempotency::{IdempotencyKey, JsonAnswer, write_once_and},
    },
    platform::{
        outgoing::target::Target,
        reading::parse_json,
        security::{self, Event},
    },
};

/// The permission for the subscription and its deliveries.
const MANAGE: &str = "WEBHOOK_MANAGE";
/// The permission for the history.
const VIEW: &str = "DOCUMENT_VIEW";
/// The maximum length of a URL, in characters.
const MAX_URL: usize = 2000;
/// The default number of attempts of a page.
const DEFAULT_ATTEMPTS: i64 = 50;
/// The maximum number of events in the history of a document.
const MAX_EVENTS: i64 = 1000;

fn model(hook: &DocumentHook, secret: Option<&str>) -> Value {
    let mut model = json!({
        "subscriptionId": hook.id,
        "subscriptionUrl": hook.url,
        "createdOn": hook.created_at.secs(),
        "updatedOn": hook.updated_at.secs(),
        "status": if hook.paused_at.is_some() { "paused" } else { "active" },
        "pausedOn": hook.paused_at.map(Timestamp::secs),
    });
    if let (Some(secret), Some(members)) = (secret, model.as_object_mut()) {
        members.insert("secret".to_owned(), secret.into());
    }
    model
}

fn no_subscription() -> Error {
    Error::NotFound(STATUS_CHANGED.to_owned())
}

async fn find(company: &Company) -> Result<DocumentHook> {
    let workspace = company.id();
    let read = move |conn: &mut Conn| document_hook::find(conn, workspace);
    company.app.db.read(read).await?.ok_or_else(no_subscription)
}

/// Subscribe a URL to documents' status changes. A company has one subscription: the first call creates it and
/// shows its secret, later calls change its URL and resume it if it is paused.
#[utoipa::path(post, path = "/api/1/webhooks/document-events/subscription/document-status-changed-event", tag = "documents",
    request_body = Value, responses((status = 200, body = Value)))]
pub(super) async fn put_subscription(
    company: Company,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    company.may(MANAGE).await?;
    let parsed = parse_json(&body)?;
    let url = url(&company.app, &Fields::of(&parsed, company.language())?)?;
    let (app, workspace, now) = (company.app.clone(), company.id(), company.now);
    let work = move |tx: &mut Tx<'_>| {
        let found = document_hook::find_for_update(tx, workspace)?;
        let is_other = found.as_ref().is_none_or(|hook| hook.url != url);
        let (hook, secret) = match found {
            Some(hook) => (change(tx, hook, &url, now)?, None),
            None => create(&app, tx, workspace, &url, now)?,
        };
        let answer = model(&hook, secret.as_deref()).to_string();
        Ok((JsonAnswer::ok(answer), is_other))
    };
    let (answer, is_other) = write_once_and(&company, key, &body, work).await?;
    company.app.dispatch.hook_changed(workspace, INTEGRATION);
    if is_other == Some(true) {
        security::record(Event::HookChanged, Some(workspace), "document_hook");
    }
    finish(&company, JobKind::MakeDeferredDue).await?;
    Ok(answer)
}

/// Carries the work on the deferred events of the hook to its end.
async fn finish(company: &Company, kind: JobKind) -> Result<()> {
    let items = Items::Of(INTEGRATION);
    job::finish(&company.app, company.id(), kind, items).await
}

/// Reads a URL: `https`, or `http` as well with `--allow-private-targets`.
fn url(app: &App, fields: &Fields<'_>) -> Result<String> {
    const NAME: &str = "subscriptionUrl";
    let url = fields.need_text(NAME, MAX_URL)?.trim();
    Target::parse(url).map_err(|_| fields.fault(NAME, &NO_URL, &[]))?;
    let secure = url
        .get(..6)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    if !secure && !app.config.allow_private_targets {
        return Err(fields.fault(NAME, &NOT_HTTPS, &[]));
    }
    Ok(url.to_owned())
}

fn create(
    app: &App,
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    url: &str,
    now: Timestamp,
) -> Result<(DocumentHook, Option<String>)> {
    let secrets = Secrets::generate();
    let hook = DocumentHook {
        workspace,
        id: WebhookId::generate(now),
        url: url.to_owned(),
        secrets: secrets.seal(&app.vault, workspace)?,
        created_at: now,
        updated_at: now,
        paused_at: None,
    };
    if !document_hook::insert(tx, &hook)? {
        // Another node has just created it; the repeated request will find it.
        return Err(Error::Busy);
    }
    webhook::insert(tx, &webhook_of(hook.key()))?;
    Ok((hook, Some(secrets.value)))
}

/// Changes the hook's URL. Its cursor in the log stays, so that no event is lost. Deferred events become due at once
/// if the URL is new or the hook was paused.
fn change(tx: &mut Tx<'_>, hook: DocumentHook, url: &str, now: Timestamp) -> Result<DocumentHook> {
    let begins_anew = hook.url != url || hook.paused_at.is_some();
    let hook = DocumentHook {
        url: url.to_owned(),
        updated_at: now,
        paused_at: None,
        ..hook
    };
    document_hook::update(tx, &hook)?;
    if begins_anew {
        webhook::resume(tx, hook.key())?;
        delivery::make_due(tx, hook.key(), now)?;
    }
    Ok(hook)
}

/// Read the subscription. It is paused after five days in which every delivery failed.
#[utoipa::path(get, path = "/api/1/webhooks/document-events/subscription/document-status-changed-event", tag = "documents",
    responses((status = 200, body = Value), (status = 404)))]
pub(super) async fn get_subscription(company: Company) -> Result<JsonAnswer> {
    company.may(MANAGE).await?;
    let hook = find(&company).await?;
    Ok(bare(&model(&hook, None)))
}

/// Delete the subscription. Events that are not delivered yet are dropped.
#[utoipa::path(delete, path = "/api/1/webhooks/document-events/subscription/document-status-changed-event", tag = "documents",
    responses((status = 204), (status = 404)))]
pub(super) async fn delete_subscription(company: Company) -> Result<Response> {
    company.may(MANAGE).await?;
    let workspace = company.id();
    let work = move |tx: &mut Tx<'_>| {
        let hook = document_hook::find_for_update(tx, workspace)?.ok_or_else(no_subscription)?;
        document_hook::delete(tx, workspace)?;
        webhook::delete(tx, hook.key())?;
        Ok::<_, Error>(())
    };
    company.app.db.write(workspace, work).await?;
    company.app.dispatch.hook_changed(workspace, INTEGRATION);
    security::record(Event::HookChanged, Some(workspace), "document_hook");
    finish(&company, JobKind::RemoveDeferred).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Create a new secret. Deliveries are signed with the previous one as well for 24 hours.
#[utoipa::path(post, path = "/api/1/webhooks/document-events/subscription/document-status-changed-event/rotate-secret",
    tag = "documents", responses((status = 200, body = Value), (status = 404)))]
pub(super) async fn rotate_secret(
    company: Company,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    company.may(MANAGE).await?;
    let (app, workspace, now) = (company.app.clone(), company.id(), company.now);
    let work = move |tx: &mut Tx<'_>| {
        let hook = document_hook::find_for_update(tx, workspace)?.ok_or_else(no_subscription)?;
        let mut secrets = Secrets::open(&app.vault, workspace, &hook.secrets)?;
        secrets.rotate(now);
        let hook = DocumentHook {
            secrets: secrets.seal(&app.vault, workspace)?,
            updated_at: now,
            ..hook
        };
        document_hook::update(tx, &hook)?;
        let answer = json!({ "secret": secrets.value }).to_string();
        Ok((JsonAnswer::ok(answer), ()))
    };
    let (answer, done) = write_once_and(&company, key, &body, work).await?;
    if done.is_some() {
        security::record(Event::HookSecretRotated, Some(workspace), "");
    }
    Ok(answer)
}

/// List the delivery attempts of the subscription, newest first.
///
/// For the next page, give the last attempt's id as `before`. Attempts are kept 30 days.
#[utoipa::path(get, path = "/api/1/webhooks/document-events/subscription/document-status-changed-event/deliveries", operation_id = "list_document_deliveries",
    tag = "documents",
    params(("eventId" = Option<String>, Query), ("status" = Option<String>, Query), ("before" = Option<String>, Query),
        ("limit" = Option<i64>, Query)),
    responses((status = 200, body = AttemptList), (status = 404)))]
pub(super) async fn list_deliveries(
    company: Company,
    parameters: Parameters,
) -> Result<JsonAnswer> {
    company.may(MANAGE).await?;
    let fields = parameters.fields(company.language())?;
    let limit = fields.limit(DEFAULT_ATTEMPTS)?;
    let filter = AttemptFilter {
        webhook: None,
        event: fields.id("eventId")?.map(EventId),
        status: status(&fields)?,
        before: fields.id("before")?,
    };
    let hook = find(&company).await?;
    let filter = AttemptFilter {
        webhook: Some(hook.id),
        ..filter
    };
    let (workspace, of) = (hook.workspace, INTEGRATION);
    let read = move |conn: &mut Conn| delivery::list_attempts(conn, workspace, of, &filter, limit);
    let found = company.app.db.read(read).await?;
    let items = found.iter();
    let found = attempt::list(items.map(|one| attempt::model(workspace, one)));
    Ok(bare(&found))
}

fn status(fields: &Fields<'_>) -> Result<Option<String>> {
    let Some(text) = fields.text("status")? else {
        return Ok(None);
    };
    let known = attempt::status(text);
    let known =
        known.ok_or_else(|| fields.fault("status", &NOT_ALLOWED, &[text, &STATUSES.join(", ")]));
    known.map(Some)
}

/// Deliver a period's events again, in addition to new ones: from `dateFrom` to before `dateTo`, in seconds since 1970.
/// The deliveries have the header `X-Prichal-Replay: true`.
#[utoipa::path(post, path = "/api/1/webhooks/document-events/subscription/document-status-changed-event/replay", operation_id = "replay_document_events",
    tag = "documents", request_body = Value, responses((status = 202, body = ReplayAnswer), (status = 404)))]
pub(super) async fn replay_events(
    company: Company,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    company.may(MANAGE).await?;
    let parsed = parse_json(&body)?;
    let fields = Fields::of(&parsed, company.language())?;
    let (from, to) = (fields.need_int("dateFrom")?, fields.need_int("dateTo")?);
    fields.period("dateFrom", "dateTo", from, to)?;
    let (workspace, id) = (company.id(), generate(company.now));
    let work = move |tx: &mut Tx<'_>| {
        let hook = document_hook::find_for_update(tx, workspace)?.ok_or_else(no_subscription)?;
        let stretch = document::events_between(tx.conn()?, workspace, from, to)?;
        let count = match stretch {
            None => 0,
            Some((first, last)) => {
                let replay = Replay {
                    id,
                    cursor: first - 1,
                    last,
                };
                if !delivery::insert_replay(tx, hook.key(), &replay)? {
                    return Err(attempt::too_many_replays());
                }
                document::count_events(tx.conn()?, workspace, first, last)?
            }
        };
        let answer = json!({ "count": count }).to_string();
        Ok((JsonAnswer::new(StatusCode::ACCEPTED, answer), hook.key()))
    };
    let (answer, key) = write_once_and(&company, key, &body, work).await?;
    if let Some(key) = key {
        company.app.dispatch.wake_side_queue(key);
    }
    Ok(answer)
}

/// Read the status changes of one document that the company saw, oldest first.
#[utoipa::path(get, path = "/api/1/webhooks/document-events/{documentId}", tag = "documents",
    params(("documentId" = String, Path)), responses((status = 200, body = Value), (status = 404)))]
pub(super) async fn get_history(company: Company, Path(id): Path<String>) -> Result<JsonAnswer> {
    company.may(VIEW).await?;
    let unknown = || Error::NotFound(id.chars().take(64).collect());
    let document = parse(&id).ok_or_else(unknown)?;
    let viewer = company.id();
    let read = move |conn: &mut Conn| document::history(conn, viewer, document, MAX_EVENTS);
    let found = company.app.db.read(read).await?;
    // A visible document has at least one status change.
    if found.is_empty() {
        return Err(unknown());
    }
    Ok(bare(&found.iter().filter_map(status_model).collect()))
}

/// List the status changes of a period, oldest first: from `dateFrom` to before `dateTo`, in seconds
/// since 1970.
#[utoipa::path(get, path = "/api/1/webhooks/document-events", tag = "documents",
    params(("dateFrom" = Option<i64>, Query), ("dateTo" = Option<i64>, Query), ("skip" = Option<i64>, Query),
        ("top" = Option<i64>, Query)),
    responses((status = 200, body = Value)))]
pub(super) async fn list_history(company: Company, parameters: Parameters) -> Result<JsonAnswer> {
    company.may(VIEW).await?;
    let fields = parameters.fields(company.language())?;
    let from = fields.int("dateFrom")?;
    let to = fields.int("dateTo")?;
    if let (Some(from), Some(to)) = (from, to) {
        fields.period("dateFrom", "dateTo", from, to)?;
    }
    let (from, to) = (from.unwrap_or(0), to.unwrap_or(i64::MAX));
    let (skip, top) = fields.page()?;
    let viewer = company.id();
    let read = move |conn: &mut Conn| document::history_between(conn, viewer, from, to, skip, top);
    let (total, found) = company.app.db.read(read).await?;
    let items: Vec<Value> = found.iter().filter_map(status_model).collect();
    Ok(bare(&page(&items, skip, top, total)))
}

const NO_URL: Localized = Localized::new(
    "Поле {} должно быть адресом URL без имени пользователя и пароля.",
    "{} өрісі пайдаланушы аты мен құпиясөзі жоқ URL мекенжайы болуы керек.",
    "The field {} must be a URL without a user name and a password.",
);
const NOT_HTTPS: Localized = Localized::new(
    "Поле {} должно быть адресом https.",
    "{} өрісі https мекенжайы болуы керек.",
    "The field {} must be an https URL.",
);
