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
use prichal_dialect::idocs::event::{STATUS_CHANGED, StatusEvent};
use prichal_store::{
    Conn, Tx,
    delivery::{self, AttemptFilter, Replay, STATUSES},
    document,
    document_hook::{self, DocumentHook, INTEGRATION},
    job::{Items, Kind as JobKind},
    webhook,
};
use serde::Serialize;
use serde_json::json;
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};
use uuid::Uuid;

use super::{
    answer::{Page, PageOf, bare},
    caller::Company,
    events::status_model,
    language::Localized,
    member::{Content, Count, Name, Skip, Top, bodies, text},
    read::{Fields, NOT_ALLOWED, Parameters},
};
use crate::{
    app::App,
    delivery::{
        attempt::{self, AttemptList, ReplayAnswer},
        job,
    },
    dialect::openapi::schema::one_of,
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
/// The maximum number of events in the history of a document.
const MAX_EVENTS: i64 = 1000;

bodies! {
    /// The subscription to the status changes of documents.
    struct NewSubscription as DocumentSubscription {
        /// The `https` URL that receives the changes.
        url: Url = "subscriptionUrl", "https://example.kz/idocs";
    }

    /// The deliveries to list.
    struct DeliveryQuery as DocumentDeliveryQuery {
        /// The maximum number of deliveries. A number over 1000 counts as 1000.
        limit: Count<1, 50, 1000> = "limit", 50;
        /// The event that was delivered.
        event: Option<Uuid> = "eventId";
        /// The outcome.
        status: Option<AttemptStatus> = "status", "exhausted";
        /// The id of a delivery: earlier ones are listed.
        before: Option<Uuid> = "before";
    }

    /// The events to deliver again.
    struct ReplayRequest as DocumentReplay {
        /// The beginning of the period, in seconds since 1970.
        from: i64 = "dateFrom", 1_767_225_600;
        /// The end of the period, in seconds since 1970. An event of this second is left out.
        to: i64 = "dateTo", 1_769_904_000;
    }

    /// The status changes to list.
    struct HistoryQuery as DocumentHistoryQuery {
        /// The beginning of the period, in seconds since 1970.
        from: Option<i64> = "dateFrom", 1_767_225_600;
        /// The end of the period, in seconds since 1970. A change of this second is left out.
        to: Option<i64> = "dateTo", 1_769_904_000;
        /// The number of changes before the page.
        skip: Skip = "skip", 0;
        /// The size of the page. A size over 100 counts as 100.
        top: Top = "top", 10;
    }
}

/// A URL that receives changes. [`check_url`] checks more of it than the pattern says.
struct Url(String);

impl Content for Url {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        let found = <Name<MAX_URL> as Content>::find(fields, name)?;
        Ok(found.map(|name| Self(name.0)))
    }

    fn schema() -> RefOr<Schema> {
        text()
            .min_length(Some(1))
            .max_length(Some(MAX_URL))
            .pattern(Some(r"^\s*[hH][tT][tT][pP][sS]?://\S"))
            .into()
    }
}

/// The outcome of an attempt.
struct AttemptStatus(String);

impl Content for AttemptStatus {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        let Some(text) = fields.text(name)? else {
            return Ok(None);
        };
        let known = attempt::status(text).map(Self).map(Some);
        known.ok_or_else(|| fields.fault(name, &NOT_ALLOWED, &[text, &STATUSES.join(", ")]))
    }

    fn schema() -> RefOr<Schema> {
        one_of(&STATUSES).into()
    }
}

/// The subscription of a company.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DocumentSubscriptionVM)]
struct SubscriptionModel {
    /// The id of the subscription.
    subscription_id: Uuid,
    /// The URL that receives the changes.
    #[schema(examples("https://example.kz/idocs"))]
    subscription_url: String,
    /// The time of the creation, in seconds since 1970.
    created_on: i64,
    /// The time of the latest change, in seconds since 1970.
    updated_on: i64,
    status: SubscriptionStatus,
    /// The time of the pause, in seconds since 1970.
    #[schema(required)]
    paused_on: Option<i64>,
    /// The key of the signatures. Only the call that creates the subscription shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    secret: Option<String>,
}

/// The state of a subscription.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DocumentSubscriptionStatus)]
enum SubscriptionStatus {
    Active,
    Paused,
}

impl SubscriptionModel {
    fn of(hook: &DocumentHook, secret: Option<String>) -> Self {
        Self {
            subscription_id: hook.id.0,
            subscription_url: hook.url.clone(),
            created_on: hook.created_at.secs(),
            updated_on: hook.updated_at.secs(),
            status: match hook.paused_at {
                Some(_) => SubscriptionStatus::Paused,
                None => SubscriptionStatus::Active,
            },
            paused_on: hook.paused_at.map(Timestamp::secs),
            secret,
        }
    }
}

/// A new secret of a subscription.
#[derive(Serialize, ToSchema)]
#[schema(as = DocumentSubscriptionSecret)]
struct NewSecret {
    /// The key of the signatures.
    secret: String,
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
    params(IdempotencyKey), request_body = NewSubscription, responses((status = 200, body = SubscriptionModel)))]
pub(super) async fn put_subscription(
    company: Company,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    company.may(MANAGE).await?;
    let parsed = parse_json(&body)?;
    let NewSubscription { url } = company.read(&parsed)?;
    let url = check_url(&company, &url.0)?;
    let (app, workspace, now) = (company.app.clone(), company.id(), company.now);
    let work = move |tx: &mut Tx<'_>| {
        let found = document_hook::find_for_update(tx, workspace)?;
        let is_other = found.as_ref().is_none_or(|hook| hook.url != url);
        let (hook, secret) = match found {
            Some(hook) => (change(tx, hook, &url, now)?, None),
            None => create(&app, tx, workspace, &url, now)?,
        };
        Ok((bare(&SubscriptionModel::of(&hook, secret))?, is_other))
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

/// Checks a URL: `https`, or `http` as well with `--allow-private-targets`.
fn check_url(company: &Company, url: &str) -> Result<String> {
    let refuse = |wording| company.reading().fault("subscriptionUrl", wording, &[]);
    let url = url.trim();
    Target::parse(url).map_err(|_| refuse(&NO_URL))?;
    let secure = url
        .get(..6)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    if !secure && !company.app.config.allow_private_targets {
        return Err(refuse(&NOT_HTTPS));
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
    responses((status = 200, body = SubscriptionModel)))]
pub(super) async fn get_subscription(company: Company) -> Result<JsonAnswer> {
    company.may(MANAGE).await?;
    let hook = find(&company).await?;
    bare(&SubscriptionModel::of(&hook, None))
}

/// Delete the subscription. Events that are not delivered yet are dropped.
#[utoipa::path(delete, path = "/api/1/webhooks/document-events/subscription/document-status-changed-event", tag = "documents",
    responses((status = 204)))]
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
    tag = "documents", operation_id = "rotate_subscription_secret", params(IdempotencyKey),
    responses((status = 200, body = NewSecret)))]
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
        let secret = secrets.value;
        Ok((bare(&NewSecret { secret })?, ()))
    };
    let (answer, done) = write_once_and(&company, key, &body, work).await?;
    if done.is_some() {
        security::record(Event::HookSecretRotated, Some(workspace), "");
    }
    Ok(answer)
}

/// List the delivery attempts of the subscription, newest first.
///
/// For the next page, give `next` as `before`, or else the last attempt's id. Attempts are kept 30 days.
#[utoipa::path(get, path = "/api/1/webhooks/document-events/subscription/document-status-changed-event/deliveries",
    tag = "documents",
    operation_id = "list_subscription_deliveries", params(DeliveryQuery),
    responses((status = 200, body = AttemptList)))]
pub(super) async fn list_deliveries(
    company: Company,
    parameters: Parameters,
) -> Result<JsonAnswer> {
    company.may(MANAGE).await?;
    let query: DeliveryQuery = parameters.read(company.reading())?;
    let hook = find(&company).await?;
    let Count(limit) = query.limit;
    let filter = AttemptFilter {
        webhook: Some(hook.id),
        event: query.event.map(EventId),
        status: query.status.map(|status| status.0),
        before: query.before,
        since: None,
    };
    let (workspace, of) = (hook.workspace, INTEGRATION);
    let read = move |conn: &mut Conn| delivery::list_attempts(conn, workspace, of, &filter, limit);
    let found = company.app.db.read(read).await?;
    let found = attempt::list(&found, |one| attempt::model(workspace, one));
    bare(&found)
}

/// Deliver a period's events again, in addition to new ones: from `dateFrom` to before `dateTo`, in seconds since 1970.
/// The deliveries have the header `X-Prichal-Replay: true`.
#[utoipa::path(post, path = "/api/1/webhooks/document-events/subscription/document-status-changed-event/replay",
    tag = "documents", operation_id = "replay_subscription_events", params(IdempotencyKey),
    request_body = ReplayRequest, responses((status = 202, body = ReplayAnswer)))]
pub(super) async fn replay_events(
    company: Company,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    company.may(MANAGE).await?;
    let parsed = parse_json(&body)?;
    let ReplayRequest { from, to } = company.read(&parsed)?;
    let reading = company.reading();
    reading.period(("dateFrom", from), ("dateTo", to))?;
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
                    rate: None,
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
    params(("documentId" = Uuid, Path, description = "The id of the document")),
    responses((status = 200, body = Vec<StatusEvent>)))]
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
    let changes: Vec<StatusEvent> = found.iter().filter_map(status_model).collect();
    bare(&changes)
}

type HistoryPage = PageOf<StatusEvent>;

/// List the status changes of a period, oldest first: from `dateFrom` to before `dateTo`, in seconds
/// since 1970.
#[utoipa::path(get, path = "/api/1/webhooks/document-events", tag = "documents",
    params(HistoryQuery), responses((status = 200, body = HistoryPage)))]
pub(super) async fn list_history(company: Company, parameters: Parameters) -> Result<JsonAnswer> {
    company.may(VIEW).await?;
    let query: HistoryQuery = parameters.read(company.reading())?;
    if let (Some(from), Some(to)) = (query.from, query.to) {
        let reading = company.reading();
        reading.period(("dateFrom", from), ("dateTo", to))?;
    }
    let (from, to) = (query.from.unwrap_or(0), query.to.unwrap_or(i64::MAX));
    let (skip, top) = (query.skip.0, query.top.0);
    let viewer = company.id();
    let read = move |conn: &mut Conn| document::history_between(conn, viewer, from, to, skip, top);
    let (total, found) = company.app.db.read(read).await?;
    bare(&Page {
        items: found.iter().filter_map(status_model).collect(),
        skip,
        top,
        total_size: total,
    })
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
