//! Messages of exchanges: each is assigned to its call and changes it (`docs/contracts/kontur.md §6.3, §6.4`).

use std::time::Duration;

use prichal_core::{
    call::{
        Call, Direction, History, Identity, LegRecording, Message, Notice, Recording, Refs,
        Refusal, ReportedRecording, choose_call, snapshot,
    },
    event::{EntityKind, NewEvent, Origin},
    id::{EntityId, EventId, FileId},
    phone,
};
use prichal_store::{
    Tx,
    communication::{self, Communication, FoundBy},
    file,
};

use super::{
    not_found, phones,
    record::{
        AddError, CallRecord, Effect, Exchange, add, change, create, find_for_update, found_by,
        new, rewrite, set_phone,
    },
};
use crate::{
    domain::Domain,
    error::{Error, Result},
};

/// The longest age of a call that a user has asked for, to be taken for one that an exchange reports without naming it
/// (`docs/contracts/kontur.md §6.4` rule 11).
const MAX_ADOPTION_AGE: Duration = Duration::from_mins(1);
/// The maximum number of suffixes that are tried for a reused id.
const MAX_KEY_SUFFIXES: i64 = 10;
/// The maximum number of merges that are followed from one record to the next.
const MAX_MERGES: usize = 8;

/// A report of an integration.
#[derive(Clone, Debug)]
pub enum Report {
    Started(Notice),
    /// A message that needs nothing from the store.
    Plain(Message),
    Recording(ReportedRecording),
    Registered(History, Vec<ReportedRecording>),
}

impl Report {
    /// True if the report creates an unknown call. Other messages are repeated by the exchange until the call exists.
    fn creates(&self) -> bool {
        matches!(self, Self::Started(_) | Self::Registered(..))
    }

    /// The traits by which the call is identified.
    fn identity(&self) -> Identity {
        match self {
            Self::Started(notice) => Identity::of_start(notice),
            Self::Plain(Message::Event(event)) => Identity::of_event(event),
            Self::Plain(Message::Finished(notice)) => Identity::of_end(notice),
            Self::Plain(Message::Failed(failure)) => Identity::of_failure(failure),
            Self::Plain(_) => Identity::default(),
            Self::Recording(told) => {
                Identity::of_recording(&told.external_call_item_id, &told.realtime_call_item_id)
            }
            Self::Registered(history, _) => Identity::of_history(history),
        }
    }
}

/// An id of the exchange, with the calls that have it.
struct Named<'a> {
    id: &'a str,
    /// The call that the report is about.
    found: Option<CallRecord>,
    /// The calls that have the id, the newest first, when the report contradicts them all.
    others: Vec<CallRecord>,
}

impl<'a> Named<'a> {
    fn find(
        tx: &mut Tx<'_>,
        origin: &Origin,
        exchange: &Exchange,
        id: &'a str,
        report: &Report,
    ) -> Result<Self> {
        let workspace = origin.workspace;
        let rows =
            communication::list_external_for_update(tx, workspace, exchange.integration, id)?;
        let mut others = rows
            .into_iter()
            .map(CallRecord::of)
            .collect::<Result<Vec<CallRecord>>>()?;
        let mut identity = report.identity();
        identity.phone = key_among(tx, origin, &identity.client_phone, &others)?;
        let calls: Vec<(&Call, Option<&str>)> = others
            .iter()
            .map(|other| (&other.call, other.row.found_by.phone.as_deref()))
            .collect();
        let chosen = choose_call(&identity, &calls);
        let found = chosen.map(|at| others.swap_remove(at));
        if found.is_some() {
            others.clear();
        }
        Ok(Self { id, found, others })
    }

    /// Gives the id to a call. If the exchange has used it before, the call gets the id with a number as suffix, and
    /// a note.
    fn give(&self, tx: &mut Tx<'_>, found: &mut CallRecord) -> Result<()> {
        let (Some(newest), Some(first)) = (self.others.first(), self.others.last()) else {
            found.row.external_id = Some(self.id.to_owned());
            return Ok(());
        };
        let key = self.free_key(tx, &found.row, first.row.reuses + 2)?;
        let row = &mut found.row;
        communication::count_reuse(tx, row.workspace, first.row.id)?;
        row.external_id = Some(key);
        row.external_base = Some(self.id.to_owned());
        found.call.note = Some(format!(
            "The exchange has used the id {} before: communication {}.",
            self.id, newest.row.id
        ));
        tracing::warn!(workspace = %row.workspace, communication.id = %row.id, other.id = %newest.row.id, "an exchange uses the id of call {} again for call {}", newest.row.id, row.id);
        Ok(())
    }
}

impl Named<'_> {
    /// The id with the first free suffix, as the exchange may use such ids itself.
    fn free_key(&self, tx: &mut Tx<'_>, row: &Communication, first: i64) -> Result<String> {
        for number in first..first + MAX_KEY_SUFFIXES {
            let key = format!("{}~{number}", self.id);
            let (workspace, integration) = (row.workspace, row.integration);
            if !communication::is_external_taken(tx.conn()?, workspace, integration, &key)? {
                return Ok(key);
            }
        }
        Ok(format!("{}~{}", self.id, row.id))
    }
}

/// The key of a number in a report. It is taken from a call with the same number, if there is one.
fn key_among(
    tx: &mut Tx<'_>,
    origin: &Origin,
    number: &str,
    calls: &[CallRecord],
) -> Result<Option<String>> {
    if calls.is_empty() || number.is_empty() {
        return Ok(None);
    }
    if let Some(same) = calls
        .iter()
        .find(|other| other.call.client_phone() == number)
    {
        return Ok(same.phone());
    }
    let region = phones::region(tx.conn()?, origin.workspace)?;
    Ok(phone::key(number, region))
}

/// Applies a report of an integration. Returns the call and the effect on it.
pub fn apply(
    app: &Domain,
    tx: &mut Tx<'_>,
    origin: &Origin,
    exchange: &Exchange,
    refs: &Refs,
    report: Report,
) -> Result<(CallRecord, Effect)> {
    let external = refs.external.as_deref().map(|id| exchange.bare(id));
    let mut named = external
        .map(|id| Named::find(tx, origin, exchange, id, &report))
        .transpose()?;
    let by_external = named.as_mut().and_then(|named| named.found.take());
    let located = locate(tx, origin, exchange, refs, by_external, &report)?;
    let (found, is_named) = match located {
        Some(located) => located,
        None if report.creates() && refs.communication.is_none() => {
            let id = EntityId::generate(origin.at);
            let message = message(tx, origin, id, report)?;
            let mut start = new(origin, exchange, id);
            if let Some(named) = &named {
                named.give(tx, &mut start)?;
            }
            let Some(made) = create(app, tx, origin, start, message)? else {
                // Another node has created the call since the read above.
                return Err(Error::Busy);
            };
            return Ok((made, Effect::Created));
        }
        None => return Err(not_found(&refs.shown())),
    };
    if found.row.deleted_at.is_some() {
        // A user has deleted the call, and the exchange need not know that.
        return Ok((found, Effect::Unchanged));
    }
    let message = message(tx, origin, found.row.id, report)?;
    let mut after = found.clone();
    if let Some(named) = named.filter(|_| is_named && found.row.external_id.is_none()) {
        named.give(tx, &mut after)?;
    }
    after.call = add(tx, origin, &after.call, message).map_err(|error| match error {
        AddError::Refused(Refusal::NoSuchLeg) => not_found(&refs.shown()),
        AddError::Refused(refusal) => Error::invalid("", refusal.to_string()),
        AddError::Other(error) => error,
    })?;
    change(app, tx, origin, found, after)
}

trait Shown {
    fn shown(&self) -> String;
}

impl Shown for Refs {
    /// The id that was sent, as errors show it.
    fn shown(&self) -> String {
        match (&self.communication, &self.external) {
            (Some(id), _) => id.to_string(),
            (None, Some(id)) => id.clone(),
            (None, None) => String::new(),
        }
    }
}

/// The call that a report is about, locked until the end of the transaction, and true if the exchange's id in the
/// report belongs to that call.
fn locate(
    tx: &mut Tx<'_>,
    origin: &Origin,
    exchange: &Exchange,
    refs: &Refs,
    by_external: Option<CallRecord>,
    report: &Report,
) -> Result<Option<(CallRecord, bool)>> {
    let Some(id) = refs.communication else {
        let found = match (by_external, report) {
            (None, Report::Started(notice)) => adopt(tx, origin, exchange, notice)?,
            (found, _) => found,
        };
        return Ok(found.map(|found| (found, true)));
    };
    let named = follow(tx, origin, EntityId(id))?
        .filter(|found| found.row.integration == exchange.integration)
        .ok_or_else(|| not_found(&id.to_string()))?;
    match by_external {
        Some(other) if other.row.id != named.row.id => merge(tx, origin, named, other).map(Some),
        _ => Ok(Some((named, true))),
    }
}

/// The record with this id, or the one that it was merged into.
fn follow(tx: &mut Tx<'_>, origin: &Origin, id: EntityId) -> Result<Option<CallRecord>> {
    let mut id = id;
    for _ in 0..MAX_MERGES {
        let Some(found) = find_for_update(tx, origin, id)? else {
            return Ok(None);
        };
        match found.row.merged_into {
            Some(survivor) => id = EntityId(survivor),
            None => return Ok(Some(found)),
        }
    }
    Ok(None)
}

/// The call that a user has asked for, if an exchange reports it without naming it.
fn adopt(
    tx: &mut Tx<'_>,
    origin: &Origin,
    exchange: &Exchange,
    notice: &Notice,
) -> Result<Option<CallRecord>> {
    if notice.direction != Some(Direction::Outbound) {
        return Ok(None);
    }
    let region = phones::region(tx.conn()?, origin.workspace)?;
    let Some(phone) = phone::key(&notice.client_phone, region) else {
        return Ok(None);
    };
    let since = origin.at - MAX_ADOPTION_AGE;
    let pending = communication::find_pending_for_update(
        tx,
        origin.workspace,
        exchange.integration,
        &phone,
        since,
    )?;
    pending.map(CallRecord::of).transpose()
}

/// Merges two records of one call: a user's request, and the exchange's reports since. If their phones differ, the id
/// that this server has given counts (`docs/contracts/kontur.md §6.4` rule 13).
fn merge(
    tx: &mut Tx<'_>,
    origin: &Origin,
    named: CallRecord,
    other: CallRecord,
) -> Result<(CallRecord, bool)> {
    let is_user_request = named.row.external_id.is_none()
        && named.call.legs().is_empty()
        && named.call.history.is_none();
    let agree = match (named.phone(), other.phone()) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    if !is_user_request || !agree || other.row.deleted_at.is_some() {
        tracing::warn!(workspace = %origin.workspace, communication.id = %named.row.id, other.id = %other.row.id, "a message names the calls {} and {}; its `communicationId` counts", named.row.id, other.row.id);
        return Ok((named, false));
    }
    let mut survivor = other;
    // No event is written here: the survivor is written together with the message.
    survivor.call.dial = survivor.call.dial.or(named.call.dial.clone());
    let text = serde_json::to_string(&survivor.call).map_err(Error::internal)?;
    if text != survivor.row.call {
        survivor.row.call = text;
        set_phone(tx, &mut survivor)?;
        // The timer is written, too, as the message itself may change nothing.
        rewrite(tx, survivor.clone())?;
        let users = survivor.call.participants();
        communication::add_users(tx, origin.workspace, survivor.row.id, &users)?;
    }
    let id = named.row.id;
    let old = snapshot(&named.call, &named.head());
    let gone = Communication {
        merged_into: Some(survivor.row.id.0),
        deleted_at: Some(origin.at),
        update_info: named.row.update_info.clone().changed(origin),
        found_by: FoundBy {
            due_at: None,
            ..found_by(&named)
        },
        ..named.row
    };
    communication::update(tx, &gone)?;
    let entity = (EntityKind::Communication, id.0);
    tx.append(NewEvent::delete(
        EventId::generate(origin.at),
        origin,
        entity,
        old,
    ));
    Ok((survivor, true))
}

/// The message of a report about a call. Its files become permanent.
fn message(tx: &mut Tx<'_>, origin: &Origin, call: EntityId, report: Report) -> Result<Message> {
    Ok(match report {
        Report::Started(notice) => Message::Started(notice),
        Report::Plain(message) => message,
        Report::Recording(reported) => {
            let file = reported.file;
            let bound = bind(tx, origin, call, reported, false)?;
            Message::Recorded(bound.ok_or_else(|| Error::NotFound(format!("File {file}")))?)
        }
        Report::Registered(history, reported) => {
            let mut recordings = Vec::new();
            for reported in reported {
                // The next import of the history may name a file that still exists.
                recordings.extend(bind(tx, origin, call, reported, true)?);
            }
            Message::History(history, recordings)
        }
    })
}

fn bind(
    tx: &mut Tx<'_>,
    origin: &Origin,
    call: EntityId,
    reported: ReportedRecording,
    is_history: bool,
) -> Result<Option<LegRecording>> {
    let file = FileId(reported.file);
    let bound = file::bind(tx, origin.workspace, file, Some(call), origin.at)?;
    Ok(bound.map(|file| LegRecording {
        is_history,
        external_call_item_id: reported.external_call_item_id,
        realtime_call_item_id: reported.realtime_call_item_id,
        recording: Recording {
            file_id: file.id.0,
            // The stored file's own properties count, not those in the report.
            file_name: file.name,
            content_type: file.content_type,
            content_length: file.size,
        },
    }))
}
