//! `/api/v1/{ws}/communications`: the calls of a workspace, their statistics and their live stream.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt as _, stream};
use prichal_core::{
    call::{Direction, Status},
    custom_field::phone_region,
    event::EntityKind,
    id::{self, EntityId, UserId, WorkspaceId},
    phone,
    schema::{Field, Type, Words},
    time::Timestamp,
};
use prichal_dialect::kontur::{
    self,
    call::DIRECTIONS,
    communication::{COMMUNICATION, STATUSES},
};
use prichal_store::{
    Conn, Tx,
    communication::{self, Filter, GroupBy, Place, Totals},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, Type as JsonType},
};
use uuid::Uuid;

use super::{
    caller::Member,
    openapi::{Done, UpdateInfoModel, page_of, record},
    stream::ended,
    stream_tickets::Follower,
};
use crate::{
    dialect::openapi::schema::{described, example, parameters, takes},
    domain::{
        entity,
        telephony::{
            call_stream::{CardUpdate, Listener},
            own_calls,
            record::{self, CallRecord, ViewParts},
        },
    },
    error::{Error, Result},
    http::{
        answer::json_text,
        listing,
        page::{Page, Query},
    },
    platform::settings,
};

/// The maximum number of groups of a statistic.
const MAX_GROUPS: i64 = 10_000;

described! {
    /// A call with its legs and events, and its links.
    pub(super) Communication = record(COMMUNICATION).examples(example(include_str!("examples/communication.json"))), with UpdateInfoModel;
    /// A page of calls.
    CommunicationList = page_of::<Communication>("The number of all matching calls; with `cursor` that of the page.")
        .property("next", ObjectBuilder::new().schema_type(JsonType::String).description(Some("With `cursor`: the cursor of the next page. Absent at the end."))), with Communication;
}

/// The model of a call, with further parts.
pub(super) fn model(conn: &mut Conn, found: &CallRecord, parts: ViewParts) -> Result<String> {
    let view = found.view(conn, parts)?;
    Ok(kontur::communication::model(
        &found.call,
        &view.head,
        &view.links,
        &found.row.update_info,
        view.facts.as_deref(),
    ))
}

/// The text of a live card.
fn card(conn: &mut Conn, found: &CallRecord) -> Result<String> {
    model(conn, found, ViewParts::Facts)
}

/// The call whose id is in the path.
pub(super) struct InPath(EntityId);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        // `/api/v1/{ws}/communications/{id}…`
        let text = parts.uri.path().split('/').nth(5).unwrap_or_default();
        let shown: String = text.chars().take(64).collect();
        EntityId::parse_any(text)
            .map(Self)
            .ok_or_else(|| Error::invalid("id", format!("The value '{shown}' is not a valid id.")))
    }
}

const DIRECTION: Field =
    Field::new("direction", Type::Enum(&DIRECTIONS)).doc("Calls of this direction only.");
const STATUS: Field = Field::new("status", Type::Enum(&STATUSES)).doc("Calls in this state only.");
const MISSED: Field =
    Field::new("missed", Type::Bool).doc("Only calls that were missed, or that were not.");
const ANSWERED: Field = Field::new("answered", Type::Bool)
    .doc("Only calls in which a user talked with the other side, or in which none did.");
const CALLED_BACK: Field = Field::new("calledBack", Type::Bool)
    .doc("Only missed calls that were called back, or that were not.");
const LINE: Field = Field::new("line", Type::Text)
    .doc("Calls over this own number only, as the exchange wrote it.");
const CURSOR: Field = Field::new("cursor", Type::Text).doc(
    "Reads the list by pages of equal cost, without counting all: `start` for the first page, then the `next` of the page before. `offset` does not count.",
);
const PHONE: Field =
    Field::new("phone", Type::Text).doc("Calls with this number of a client only, in any form.");
const USER: Field =
    Field::new("userId", Type::Guid).doc("Calls in which this user takes part only.");
const FROM: Field =
    Field::new("from", Type::Moment).doc("Only calls that began at this time or later.");
const TO: Field = Field::new("to", Type::Moment).doc("Only calls that began before this time.");
const INCLUDE: Field =
    Field::new("include", Type::Enum(&PARTS)).doc("`facts` adds what follows from the legs.");
static PARTS: Words = Words {
    name: "communicationPart",
    words: &["facts"],
};
const GROUP_BY: Field = Field::new("groupBy", Type::Enum(&GROUPS)).doc(
    "The groups: calls by responsible user, by day, by hour or by own number. `day` unless given.",
);
static GROUPS: Words = Words {
    name: "callGroup",
    words: &["user", "day", "hour", "line"],
};
const LAST_EVENT_ID: Field =
    Field::new("Last-Event-ID", Type::Guid).doc("The id of the last event that was received.");
const LAST_EVENT_ID_IN_QUERY: Field =
    Field::new("lastEventId", Type::Guid).doc("The same as the header `Last-Event-ID`.");

parameters! {
    /// The calls to list.
    CallFilter = &[DIRECTION, STATUS, MISSED, ANSWERED, CALLED_BACK, PHONE, LINE, USER, FROM, TO];
    /// The place of a page.
    CallCursor = &[CURSOR];
    /// The parts of a call.
    CallParts = &[INCLUDE];
    /// The groups of statistics.
    CallGroups = &[GROUP_BY];
}

takes! {
    InPath: Path &[Field::new("id", Type::Guid).required().doc("The id of the call.")];
    LastEvent: Header &[LAST_EVENT_ID], Query &[LAST_EVENT_ID_IN_QUERY];
}

async fn filter(member: &Member, query: &Query) -> Result<Filter> {
    let moment = |field: Field| query.read(field.name, "an ISO-8601 time", Timestamp::parse);
    let (from, to) = (moment(FROM)?, moment(TO)?);
    if from.zip(to).is_some_and(|(from, to)| to < from) {
        return Err(Error::invalid(
            "to",
            "The value of 'to' must be at or after that of 'from'.",
        ));
    }
    let settings = settings::of(&member.app, member.workspace_id()).await?;
    let phone = query.text(PHONE.name).map(|text| {
        // A text that is not a number finds no call.
        phone::key(text, phone_region(&settings)).unwrap_or_default()
    });
    Ok(Filter {
        direction: query
            .read(
                DIRECTION.name,
                "inbound, outbound or internal",
                Direction::from_name,
            )?
            .map(Direction::name),
        status: query
            .read(STATUS.name, "active or sealed", Status::from_name)?
            .map(Status::name),
        missed: truth(query, MISSED)?,
        answered: truth(query, ANSWERED)?,
        called_back: truth(query, CALLED_BACK)?,
        phone,
        line: query.text(LINE.name).map(str::to_owned),
        user: query.read(USER.name, "a GUID", id::parse_any)?,
        own: member.caller.own_calls(),
        from,
        to,
    })
}

fn truth(query: &Query, field: Field) -> Result<Option<bool>> {
    query.read(field.name, "true or false", |text| {
        text.to_ascii_lowercase().parse().ok()
    })
}

/// The place from which a list is read.
#[derive(Clone, Copy)]
enum Cursor {
    Start,
    After(Place),
}

impl Cursor {
    fn read(text: &str) -> Option<Self> {
        if text == "start" {
            return Some(Self::Start);
        }
        let (begun_at, id) = text.split_once('_')?;
        Some(Self::After(Place {
            begun_at: Timestamp::from_micros(begun_at.parse().ok()?),
            id: EntityId::parse_any(id)?,
        }))
    }

    fn place(self) -> Option<Place> {
        match self {
            Self::Start => None,
            Self::After(place) => Some(place),
        }
    }
}

/// A page of calls, with the cursor of the next one.
#[derive(Serialize)]
struct CursorPage<'a> {
    count: usize,
    items: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

async fn list_by_cursor(
    member: &Member,
    filter: Filter,
    parts: ViewParts,
    after: Option<Place>,
    limit: i64,
) -> Result<Response> {
    let workspace = member.workspace_id();
    let read = move |conn: &mut Conn| {
        let (rows, has_more) = communication::list_after(conn, workspace, &filter, after, limit)?;
        let found = record::all_of(rows)?;
        let last = found.last().filter(|_| has_more);
        let next = last.map(|last| format!("{}_{}", last.begun_at().micros(), last.row.id));
        let models = found.iter().map(|found| model(conn, found, parts));
        Ok::<_, Error>((models.collect::<Result<Vec<_>>>()?, next))
    };
    let (models, next) = member.app.db.read(read).await?;
    let items = models.iter().map(|text| serde_json::from_str(text));
    let items: Vec<&RawValue> = items.collect::<Result<_, _>>().map_err(Error::internal)?;
    let count = items.len();
    let text = serde_json::to_string(&CursorPage { count, items, next });
    Ok(json_text(StatusCode::OK, text.map_err(Error::internal)?))
}

/// List calls, the newest first, without deleted ones.
///
/// The token of a user with the role `member` sees the user's own calls: those that the user takes or took part in, and
/// missed ones that no user has. So it is in all calls of this API.
#[utoipa::path(get, path = "/api/v1/{ws}/communications", tag = "telephony",
    params(Member, CallFilter, CallParts, CallCursor, Page),
    responses((status = 200, body = CommunicationList)))]
pub(super) async fn list_communications(
    member: Member,
    page: Page,
    query: Query,
) -> Result<Response> {
    let (workspace, parts) = (member.workspace_id(), parts(&query, ViewParts::Facts)?);
    let filter = filter(&member, &query).await?;
    let cursor = query.read(CURSOR.name, "a cursor of this list", Cursor::read)?;
    if let Some(cursor) = cursor {
        return list_by_cursor(&member, filter, parts, cursor.place(), page.limit).await;
    }
    let read = move |conn: &mut Conn, offset, limit| {
        let (count, rows) = communication::list(conn, workspace, &filter, offset, limit)?;
        let found = record::all_of(rows)?;
        let models = found.iter().map(|found| model(conn, found, parts));
        Ok::<_, Error>((count, models.collect::<Result<Vec<_>>>()?))
    };
    listing::list(&member.app, page, read).await
}

/// The parts that a query asks for: `facts` if it includes them.
fn parts(query: &Query, facts: ViewParts) -> Result<ViewParts> {
    match query.text(INCLUDE.name) {
        None => Ok(ViewParts::Evidence),
        Some(text) if text.eq_ignore_ascii_case("facts") => Ok(facts),
        Some(other) => {
            let shown: String = other.chars().take(64).collect();
            let why = format!("The value '{shown}' of 'include' is not facts.");
            Err(Error::invalid("include", why))
        }
    }
}

/// Refuses a call that the caller does not see like one that does not exist.
pub(super) fn require(
    conn: &mut Conn,
    workspace: WorkspaceId,
    own: Option<UserId>,
    id: EntityId,
) -> Result<()> {
    if own_calls::shows(conn, workspace, own, id)? {
        Ok(())
    } else {
        Err(missing(id))
    }
}

fn missing(id: EntityId) -> Error {
    entity::missing(EntityKind::Communication, id.0)
}

/// Read a call.
#[utoipa::path(get, path = "/api/v1/{ws}/communications/{id}", tag = "telephony",
    params(Member, InPath, CallParts),
    responses((status = 200, body = Communication)))]
pub(super) async fn get_communication(
    member: Member,
    InPath(id): InPath,
    query: Query,
) -> Result<Response> {
    let (workspace, parts) = (member.workspace_id(), parts(&query, ViewParts::Arrivals)?);
    let own = member.caller.own_calls();
    let read = move |conn: &mut Conn| {
        require(conn, workspace, own, id)?;
        let found = record::find(conn, workspace, id)?.ok_or_else(|| missing(id))?;
        model(conn, &found, parts)
    };
    Ok(json_text(StatusCode::OK, member.app.db.read(read).await?))
}

/// Delete a call. Further reports of its exchange are accepted and change nothing.
#[utoipa::path(delete, path = "/api/v1/{ws}/communications/{id}", tag = "telephony",
    params(Member, InPath), responses((status = 200, body = Done)))]
pub(super) async fn delete_communication(member: Member, InPath(id): InPath) -> Result<Response> {
    set_deleted(&member, id, true).await?;
    Ok(json_text(StatusCode::OK, "\"OK\""))
}

/// Bring a deleted call back.
#[utoipa::path(post, path = "/api/v1/{ws}/communications/{id}/restore", tag = "telephony",
    params(Member, InPath), responses((status = 200, body = Communication)))]
pub(super) async fn restore_communication(member: Member, InPath(id): InPath) -> Result<Response> {
    let text = set_deleted(&member, id, false).await?;
    Ok(json_text(StatusCode::OK, text))
}

async fn set_deleted(member: &Member, id: EntityId, is_deleted: bool) -> Result<String> {
    let (app, origin) = (member.app.clone(), member.origin());
    let own = member.caller.own_calls();
    let write = move |tx: &mut Tx<'_>| {
        require(tx.conn()?, origin.workspace, own, id)?;
        let found = record::set_deleted(&app, tx, &origin, id, is_deleted)?;
        model(tx.conn()?, &found, ViewParts::Evidence)
    };
    member.app.db.write(member.workspace_id(), write).await
}

/// The totals of a group of calls. Times are in milliseconds.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CallTotals {
    /// The responsible user of the group; calls without one are a group without this member.
    #[schema(format = "uuid", nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// The own number of the group.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<String>,
    /// The day of the group, such as `2026-11-24`, UTC.
    #[schema(format = "date", nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    /// The beginning of the hour of the group, UTC.
    #[schema(format = "date-time", nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    hour: Option<String>,
    /// The number of calls that are over. All other members but `active` are about these.
    count: i64,
    /// The number of calls in progress.
    active: i64,
    /// The number of inbound calls.
    inbound: i64,
    /// The number of outbound calls.
    outbound: i64,
    /// The number of calls between users.
    internal: i64,
    /// The number of calls in which a user talked with the other side.
    answered: i64,
    /// The number of inbound calls that ended without an answer.
    missed: i64,
    /// The time of talk, without hold.
    talk_ms: i64,
    /// The time on hold.
    hold_ms: i64,
    /// The mean wait of the calls whose wait is known.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    average_wait_ms: Option<i64>,
}

/// Totals by group.
#[derive(Serialize, ToSchema)]
struct CallStatistics {
    /// The number of groups.
    count: usize,
    /// The groups.
    items: Vec<CallTotals>,
}

/// Add calls up: by responsible user, by day, by hour or by own number.
#[utoipa::path(get, path = "/api/v1/{ws}/communications/statistics", tag = "telephony",
    params(Member, CallFilter, CallGroups),
    responses((status = 200, body = CallStatistics)))]
pub(super) async fn get_statistics(member: Member, query: Query) -> Result<Response> {
    let by = query.read(GROUP_BY.name, "user, day, hour or line", |text| {
        let words = [
            ("user", GroupBy::User),
            ("day", GroupBy::Day),
            ("hour", GroupBy::Hour),
            ("line", GroupBy::Line),
        ];
        let found = words
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text));
        found.map(|(_, by)| *by)
    })?;
    let by = by.unwrap_or(GroupBy::Day);
    let (workspace, filter) = (member.workspace_id(), filter(&member, &query).await?);
    let read = move |conn: &mut Conn| {
        Ok::<_, Error>(communication::totals(
            conn, workspace, &filter, by, MAX_GROUPS,
        )?)
    };
    let totals = member.app.db.read(read).await?;
    let items: Vec<CallTotals> = totals.iter().map(|totals| total(by, totals)).collect();
    let count = items.len();
    let text = serde_json::to_string(&CallStatistics { count, items });
    Ok(json_text(StatusCode::OK, text.map_err(Error::internal)?))
}

fn total(by: GroupBy, totals: &Totals) -> CallTotals {
    let group = totals.group.as_deref();
    let begin = |seconds: i64| {
        let number: i64 = group.and_then(|group| group.parse().ok()).unwrap_or(0);
        Timestamp::from_micros(number.saturating_mul(seconds * 1_000_000)).to_string()
    };
    let named = || group.map(str::to_owned);
    CallTotals {
        user_id: matches!(by, GroupBy::User).then(named).flatten(),
        line: matches!(by, GroupBy::Line).then(named).flatten(),
        day: matches!(by, GroupBy::Day).then(|| begin(86_400).chars().take(10).collect()),
        hour: matches!(by, GroupBy::Hour).then(|| begin(3600)),
        count: totals.count,
        active: totals.active,
        inbound: totals.inbound,
        outbound: totals.outbound,
        internal: totals.internal,
        answered: totals.answered,
        missed: totals.missed,
        talk_ms: totals.talk_ms,
        hold_ms: totals.hold_ms,
        average_wait_ms: (totals.waits > 0).then(|| totals.wait_ms / totals.waits),
    }
}

/// Follow the calls on the line of the token's user, as server-sent events: `opened`, `state` and
/// `closed`, each with the call and its facts. `Last-Event-ID` resumes where a stream has ended.
#[utoipa::path(get, path = "/api/v1/{ws}/communications/live", tag = "telephony",
    security(("token" = [])), params(Follower, LastEvent),
    responses((status = 200, description = "The events `opened`, `state` and `closed`. The data of each is a call with its facts", content_type = "text/event-stream", body = String)))]
pub(super) async fn follow_calls(
    Follower {
        member,
        user,
        credential,
    }: Follower,
    LastEvent(resume): LastEvent,
) -> Result<Response> {
    let (app, workspace) = (member.app.clone(), member.workspace_id());
    let (listener, first) =
        Listener::start(app.domain.clone(), workspace, user, card, resume).await?;
    let opening = Event::default()
        .comment("listening")
        .id(listener.offset().to_string());
    let later = stream::unfold(listener, move |mut listener| async move {
        match listener.next().await {
            Ok(told) if told.is_empty() => None,
            Ok(told) => Some((told, listener)),
            // The client connects again and resumes where the stream ended.
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    %workspace,
                    user.id = %user,
                    "cannot follow the calls of a user"
                );
                None
            }
        }
    });
    let told = stream::iter(first).chain(later.flat_map(stream::iter));
    let events = stream::iter([opening]).chain(told.map(event));
    let events = events
        .map(Ok::<_, Infallible>)
        .take_until(ended(app, credential));
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)));
    Ok(sse.into_response())
}

fn event(told: CardUpdate) -> Event {
    Event::default()
        .event(told.name)
        .id(told.offset.to_string())
        .data(told.data)
}

/// `Last-Event-ID`, which browsers send when they reconnect.
pub(super) struct LastEvent(pub(super) Option<Uuid>);

impl<S: Send + Sync> FromRequestParts<S> for LastEvent {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let header = parts.headers.get("last-event-id");
        let given = header.map(|header| header.to_str().unwrap_or("?").to_owned());
        // A page that connects with a new ticket cannot send the header.
        let query = Query::of(parts);
        let given = given.filter(|text| !text.is_empty());
        let Some(text) = given
            .as_deref()
            .or_else(|| query.text(LAST_EVENT_ID_IN_QUERY.name))
        else {
            return Ok(Self(None));
        };
        let offset = id::parse_any(text).ok_or_else(|| {
            Error::invalid(
                "Last-Event-ID",
                "The value of 'Last-Event-ID' is not a GUID.",
            )
        })?;
        Ok(Self(Some(offset)))
    }
}
