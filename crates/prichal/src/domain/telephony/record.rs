//! The record of a call: reading, changing and writing it.

use prichal_core::{
    call::{Call, Head, Links, Message, Moment, Refusal, created_at, snapshot},
    event::{Author, Entity, EntityKind, NewEvent, Origin},
    id::{EntityId, EventId, IntegrationId, WorkspaceId},
    time::Timestamp,
    update_info::UpdateInfo,
};
use prichal_store::{
    Conn, Tx,
    communication::{self, Communication, FoundBy},
    entity,
};

use super::{group_of, living, phones};
use crate::{
    domain::Domain,
    error::{Error, Result},
};

/// A stored call.
#[derive(Clone, Debug)]
pub struct CallRecord {
    pub row: Communication,
    pub call: Call,
}

/// The members of a call's model besides its evidence.
#[derive(Clone, Debug)]
pub struct CallView {
    pub head: Head,
    pub links: Links,
    /// JSON.
    pub facts: Option<String>,
}

/// The parts of a call's model besides its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewParts {
    /// No other.
    Evidence,
    Facts,
    /// The facts, with the order in which the events arrived.
    Arrivals,
}

/// The outcome of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Created,
    Updated,
    Unchanged,
}

impl Effect {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

/// The exchange that a call belongs to.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub integration: IntegrationId,
    /// The integration's name as its manifest has it.
    pub name: String,
}

impl Exchange {
    /// The exchange's own id of a call. Connectors send it with and without the integration's name
    /// (`docs/contracts/kontur.md §6.4` rule 2).
    pub fn bare<'a>(&self, external_id: &'a str) -> &'a str {
        let (name, rest) = external_id.split_once('/').unwrap_or(("", external_id));
        if name.to_lowercase() == self.name.to_lowercase() && !rest.is_empty() {
            rest
        } else {
            external_id
        }
    }
}

impl CallRecord {
    pub(super) fn of(row: Communication) -> Result<Self> {
        let call = serde_json::from_str(&row.call).map_err(Error::internal)?;
        Ok(Self { row, call })
    }

    pub(super) fn head(&self) -> Head {
        let row = &self.row;
        Head {
            id: row.id.0,
            integration: row.integration.0,
            external_id: row
                .external_id
                .as_ref()
                .map(|id| format!("{}/{id}", row.integration_name)),
            first_seen: Moment::from(row.first_seen),
            group: row.group,
        }
    }

    pub(super) fn end(&self) -> Entity {
        (EntityKind::Communication, self.row.id.0)
    }

    /// The time at which the call began.
    pub fn begun_at(&self) -> Timestamp {
        created_at(&self.call, &self.head()).timestamp()
    }

    /// The key of the client's number, as it was when the number became known.
    pub fn phone(&self) -> Option<String> {
        self.row.found_by.phone.clone()
    }

    /// The members of the call's model that are not evidence.
    pub fn view(&self, conn: &mut Conn, parts: ViewParts) -> Result<CallView> {
        let facts = match parts {
            ViewParts::Evidence => None,
            ViewParts::Facts | ViewParts::Arrivals => {
                Some(self.facts(conn, parts == ViewParts::Arrivals)?.to_string())
            }
        };
        Ok(CallView {
            facts,
            links: self.links(conn)?,
            head: self.head(),
        })
    }

    /// The facts as JSON: those of the call itself, if a missed one was called back, and the order of arrival.
    fn facts(&self, conn: &mut Conn, with_arrivals: bool) -> Result<serde_json::Value> {
        let facts = self.call.facts();
        let mut value = serde_json::to_value(&facts).map_err(Error::internal)?;
        if facts.missed {
            let after = self.begun_at();
            let called_back = match self.phone() {
                Some(phone) => {
                    communication::was_called_back(conn, self.row.workspace, &phone, after)?
                }
                None => false,
            };
            value["calledBack"] = called_back.into();
        }
        if with_arrivals {
            let arrivals = self.call.arrivals.in_order().into_iter();
            let arrivals = arrivals
                .map(|(event, at)| serde_json::json!({ "event": event, "at": at.to_string() }));
            value["arrivals"] = arrivals.collect();
        }
        Ok(value)
    }

    fn links(&self, conn: &mut Conn) -> Result<Links> {
        let mut links = Links::default();
        for (kind, id) in entity::links(conn, self.row.workspace, self.end())? {
            match kind {
                EntityKind::Company => links.company_ids.push(id),
                EntityKind::Contact => links.contact_ids.push(id),
                EntityKind::Deal => links.deal_ids.push(id),
                _ => {}
            }
        }
        Ok(links)
    }
}

/// A call that is not deleted.
pub fn find(conn: &mut Conn, workspace: WorkspaceId, id: EntityId) -> Result<Option<CallRecord>> {
    let row = communication::find(conn, workspace, id)?;
    row.filter(|row| row.deleted_at.is_none())
        .map(CallRecord::of)
        .transpose()
}

pub fn find_for_update(
    tx: &mut Tx<'_>,
    origin: &Origin,
    id: EntityId,
) -> Result<Option<CallRecord>> {
    let row = communication::find_for_update(tx, origin.workspace, id)?;
    row.map(CallRecord::of).transpose()
}

pub fn all_of(rows: Vec<Communication>) -> Result<Vec<CallRecord>> {
    rows.into_iter().map(CallRecord::of).collect()
}

pub(super) enum AddError {
    Refused(Refusal),
    Other(Error),
}

/// Adds a message to a call, and marks the users in it that the workspace does not know.
pub(super) fn add(
    tx: &mut Tx<'_>,
    origin: &Origin,
    call: &Call,
    message: Message,
) -> Result<Call, AddError> {
    let mut strangers = Vec::new();
    for user in Call::users(&message) {
        let known = tx
            .conn()
            .map_err(Error::from)
            .and_then(|conn| living(conn, origin.workspace, EntityKind::User, user))
            .map_err(AddError::Other)?;
        if known.is_none() {
            strangers.push(user);
        }
    }
    let added = call.with_arrived(message, Some(origin.at));
    let mut call = added.map_err(AddError::Refused)?;
    call.strangers.extend(strangers);
    Ok(call)
}

/// An empty record.
pub fn new(origin: &Origin, exchange: &Exchange, id: EntityId) -> CallRecord {
    CallRecord {
        row: Communication {
            workspace: origin.workspace,
            id,
            integration: exchange.integration,
            integration_name: exchange.name.clone(),
            external_id: None,
            external_base: None,
            reuses: 0,
            call: String::new(),
            first_seen: origin.at,
            group: None,
            auto_links: String::new(),
            cut_links: String::new(),
            found_by: FoundBy::default(),
            merged_into: None,
            update_info: UpdateInfo::created(origin),
            deleted_at: None,
        },
        call: Call::default(),
    }
}

/// Writes a new record with its first message. `None` if its id or the exchange's id is taken.
pub fn create(
    app: &Domain,
    tx: &mut Tx<'_>,
    origin: &Origin,
    start: CallRecord,
    message: Message,
) -> Result<Option<CallRecord>> {
    let call = add(tx, origin, &start.call, message).map_err(|error| match error {
        AddError::Refused(refusal) => Error::invalid("items", refusal.to_string()),
        AddError::Other(error) => error,
    })?;
    let mut made = CallRecord { call, ..start };
    let keys = set_phone(tx, &mut made)?;
    update_columns(tx, origin, &mut made)?;
    let links = wanted_links(tx, &made, &keys)?;
    made.row.auto_links = links_text(&links);
    if !communication::insert(tx, &made.row)? {
        return Ok(None);
    }
    communication::add_users(tx, origin.workspace, made.row.id, &made.call.participants())?;
    tx.append(NewEvent::create(
        EventId::generate(origin.at),
        origin,
        made.end(),
        snapshot(&made.call, &made.head()),
    ));
    for end in links {
        entity::insert_first_link(tx, origin.workspace, made.end(), end);
        let id = EventId::generate(origin.at);
        tx.append(NewEvent::link(id, origin, made.end(), end));
    }
    note_due(app, tx, &made);
    Ok(Some(made))
}

/// Writes a call, if it has changed.
pub fn change(
    app: &Domain,
    tx: &mut Tx<'_>,
    origin: &Origin,
    before: CallRecord,
    mut after: CallRecord,
) -> Result<(CallRecord, Effect)> {
    if before.call == after.call && before.row.external_id == after.row.external_id {
        return Ok((before, Effect::Unchanged));
    }
    after.row.update_info = after.row.update_info.changed(origin);
    let number = |call: &Call| (call.client_phone().to_owned(), call.direction());
    if number(&before.call) != number(&after.call) {
        let keys = set_phone(tx, &mut after)?;
        relink(tx, origin, &mut after, &keys)?;
    }
    update_columns(tx, origin, &mut after)?;
    communication::update(tx, &after.row)?;
    communication::add_users(
        tx,
        origin.workspace,
        after.row.id,
        &after.call.participants(),
    )?;
    let old = snapshot(&before.call, &before.head());
    let new = snapshot(&after.call, &after.head());
    if old == new {
        return Ok((after, Effect::Unchanged));
    }
    tx.append(NewEvent::patch(
        EventId::generate(origin.at),
        origin,
        after.end(),
        old,
        new,
    ));
    note_due(app, tx, &after);
    Ok((after, Effect::Updated))
}

/// Sets the key of the client's number in the row. Returns all keys, of which there may be several.
pub(super) fn set_phone(tx: &mut Tx<'_>, found: &mut CallRecord) -> Result<Vec<String>> {
    let region = phones::region(tx.conn()?, found.row.workspace)?;
    let keys = phones::of_call(&found.call, region);
    found.row.found_by.phone = keys.first().cloned();
    Ok(keys)
}

/// Sets the columns that follow from the evidence.
fn update_columns(tx: &mut Tx<'_>, origin: &Origin, found: &mut CallRecord) -> Result<()> {
    found.row.call = serde_json::to_string(&found.call).map_err(Error::internal)?;
    let by = found_by(found);
    found.row.group = match by.responsible {
        Some(user) => living(tx.conn()?, origin.workspace, EntityKind::User, user)?
            .and_then(|(members, _)| group_of(&members)),
        None => None,
    };
    let due_at = found.call.give_up_after().map(|wait| origin.at + wait);
    found.row.found_by = FoundBy { due_at, ..by };
    Ok(())
}

pub(super) fn found_by(found: &CallRecord) -> FoundBy {
    let facts = found.call.facts();
    FoundBy {
        begun_at: found.begun_at(),
        direction: found.call.direction().name(),
        status: found.call.status().name(),
        phone: found.phone(),
        line: found.call.external_vats_phone().to_owned(),
        answered: facts.answered,
        missed: facts.missed,
        wait_ms: facts.wait_ms,
        talk_ms: facts.talk_ms,
        hold_ms: facts.hold_ms,
        responsible: facts.responsible_user_id,
        due_at: None,
    }
}

/// The entities of the call's numbers, without those that a user has unlinked.
fn wanted_links(tx: &mut Tx<'_>, found: &CallRecord, keys: &[String]) -> Result<Vec<Entity>> {
    let cut = parse_links(&found.row.cut_links);
    let mut wanted = phones::matches(tx.conn()?, found.row.workspace, keys)?;
    wanted.retain(|end| !cut.contains(end));
    Ok(wanted)
}

/// Links a call with the entities of its numbers, and removes the links of earlier numbers.
fn relink(tx: &mut Tx<'_>, origin: &Origin, found: &mut CallRecord, keys: &[String]) -> Result<()> {
    let wanted = wanted_links(tx, found, keys)?;
    let me = found.end();
    for end in parse_links(&found.row.auto_links) {
        if !wanted.contains(&end) && entity::delete_link(tx, origin.workspace, me, end)? {
            let id = EventId::generate(origin.at);
            tx.append(NewEvent::unlink(id, origin, me, end));
        }
    }
    for end in &wanted {
        if entity::insert_link(tx, origin.workspace, me, *end)? {
            let id = EventId::generate(origin.at);
            tx.append(NewEvent::link(id, origin, me, *end));
        }
    }
    found.row.auto_links = links_text(&wanted);
    Ok(())
}

/// Links a call with the owner of its number, and with the owner's active deals.
pub fn link_owner(tx: &mut Tx<'_>, origin: &Origin, id: EntityId, owner: Entity) -> Result<()> {
    let Some(mut found) = find_for_update(tx, origin, id)? else {
        return Ok(());
    };
    let cut = parse_links(&found.row.cut_links);
    let deals = phones::active_deals(tx.conn()?, origin.workspace, &[owner])?;
    let deals = deals.iter().map(|deal| (EntityKind::Deal, deal.id.0));
    let mut auto = parse_links(&found.row.auto_links);
    for end in std::iter::once(owner).chain(deals) {
        if !cut.contains(&end) && entity::insert_link(tx, origin.workspace, found.end(), end)? {
            let event = EventId::generate(origin.at);
            tx.append(NewEvent::link(event, origin, found.end(), end));
            auto.push(end);
        }
    }
    found.row.auto_links = links_text(&auto);
    rewrite(tx, found)?;
    Ok(())
}

/// Notes that a user has removed a link of a call, or set it again.
pub fn note_link(
    tx: &mut Tx<'_>,
    origin: &Origin,
    id: EntityId,
    end: Entity,
    is_cut: bool,
) -> Result<()> {
    let Some(mut found) = find_for_update(tx, origin, id)? else {
        return Ok(());
    };
    let mut cut = parse_links(&found.row.cut_links);
    cut.retain(|known| *known != end);
    if is_cut {
        cut.push(end);
    }
    // A link that a user has set stays when the number changes.
    let mut auto = parse_links(&found.row.auto_links);
    auto.retain(|known| *known != end);
    found.row.cut_links = links_text(&cut);
    found.row.auto_links = links_text(&auto);
    rewrite(tx, found)?;
    Ok(())
}

/// Tells the timer when the call is due, once the write is committed: an earlier read of the timer's would not find it.
fn note_due(app: &Domain, tx: &mut Tx<'_>, found: &CallRecord) {
    if let Some(due) = found.row.found_by.due_at {
        let app = app.clone();
        tx.after_commit(move || app.telephony.deadline.set(due));
    }
}

/// Writes a row whose call has not changed.
pub(super) fn rewrite(tx: &mut Tx<'_>, mut found: CallRecord) -> Result<CallRecord> {
    let due_at = found.call.give_up_after();
    let due_at = due_at.map(|wait| found.row.update_info.updated_at + wait);
    found.row.found_by = FoundBy {
        due_at: due_at.filter(|_| found.row.deleted_at.is_none()),
        ..found_by(&found)
    };
    communication::update(tx, &found.row)?;
    Ok(found)
}

/// Deletes a call softly, or restores it. Repeating that changes nothing.
pub fn set_deleted(
    app: &Domain,
    tx: &mut Tx<'_>,
    origin: &Origin,
    id: EntityId,
    is_deleted: bool,
) -> Result<CallRecord> {
    let missing = || Error::NotFound(format!("Communication {id}"));
    let mut found = find_for_update(tx, origin, id)?.ok_or_else(missing)?;
    // A record that was merged into another cannot be restored.
    if found.row.merged_into.is_some() {
        return if is_deleted {
            Ok(found)
        } else {
            Err(missing())
        };
    }
    if found.row.deleted_at.is_some() == is_deleted {
        return Ok(found);
    }
    found.row.deleted_at = is_deleted.then_some(origin.at);
    found.row.update_info = found.row.update_info.clone().changed(origin);
    found = rewrite(tx, found)?;
    note_due(app, tx, &found);
    let (event, shown) = (
        EventId::generate(origin.at),
        snapshot(&found.call, &found.head()),
    );
    tx.append(if is_deleted {
        NewEvent::delete(event, origin, found.end(), shown)
    } else {
        NewEvent::restore(event, origin, found.end(), shown)
    });
    Ok(found)
}

/// Gives a call up if it is due.
pub fn time_out(
    app: &Domain,
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: EntityId,
    now: Timestamp,
) -> Result<()> {
    let origin = Origin {
        workspace,
        author: Author::system(),
        at: now,
    };
    let Some(found) = find_for_update(tx, &origin, id)? else {
        return Ok(());
    };
    let due = found
        .call
        .give_up_after()
        .map(|wait| found.row.update_info.updated_at + wait);
    let is_due = found.row.deleted_at.is_none() && due.is_some_and(|due| due <= now);
    if !is_due {
        // The call was given up already, or has changed since its time was read.
        rewrite(tx, found)?;
        return Ok(());
    }
    let call = found
        .call
        .with(Message::TimedOut(Moment::from(now)))
        .map_err(Error::internal)?;
    let after = CallRecord {
        call,
        row: found.row.clone(),
    };
    change(app, tx, &origin, found, after)?;
    Ok(())
}

/// Reads `contact:<id> deal:<id>`.
pub fn parse_links(text: &str) -> Vec<Entity> {
    let ends = text.split_whitespace().filter_map(|end| {
        let (kind, id) = end.split_once(':')?;
        Some((EntityKind::from_name(kind)?, prichal_core::id::parse(id)?))
    });
    ends.collect()
}

fn links_text(ends: &[Entity]) -> String {
    let mut ends: Vec<String> = ends
        .iter()
        .map(|(kind, id)| format!("{}:{id}", kind.name()))
        .collect();
    ends.sort_unstable();
    ends.join(" ")
}
