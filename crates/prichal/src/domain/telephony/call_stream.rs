//! Live cards: the calls on a user's line, followed on any node (`docs/contracts/kontur.md §11`).
//!
//! A listener follows the log. After each commit about calls, on this node or another, it reads these calls and
//! compares them with those that its user has seen. It reads everything from the store, so all tabs of a user show the
//! same, and a missed wake-up loses nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use prichal_core::{
    call::State,
    event::EntityKind,
    id::{EntityId, UserId, WorkspaceId},
    offset,
    time::Timestamp,
};
use prichal_store::{
    Conn, LoggedEvent, communication,
    event::{self, removal},
};
use tokio::sync::watch;
use uuid::Uuid;

use super::record::{self, CallRecord};
use crate::{domain::Domain, error::Result};

/// The maximum age of a call's last message for which a card pops up.
const MAX_POPUP_AGE: Duration = Duration::from_mins(1);
/// The wait of a listener before it reads, so that many changes take one read.
const DEBOUNCE: Duration = Duration::from_millis(30);
/// The maximum number of events of a read.
const EVENT_BATCH: i64 = 1000;
/// The maximum number of events that a resuming listener may have missed.
const MAX_MISSED_EVENTS: i64 = 10_000;
/// The maximum number of active calls that are shown to a new listener.
const MAX_ACTIVE_CALLS: i64 = 1000;

/// The names of changes: a card pops up, shows another state, and disappears.
pub const OPENED: &str = "opened";
pub const STATE: &str = "state";
pub const CLOSED: &str = "closed";

/// A change of a card, as it is sent to a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardUpdate {
    /// [`OPENED`], [`STATE`] or [`CLOSED`].
    pub name: &'static str,
    /// The communication with its facts.
    pub data: String,
    /// The offset to resume from after this update.
    pub offset: Uuid,
}

/// True if an event is about a call.
pub fn is_call(event: &LoggedEvent) -> bool {
    event.entities()[0].0 == EntityKind::Communication
}

/// The text of a call with its facts, in the words of a dialect.
pub type Render = fn(&mut Conn, &CallRecord) -> Result<String>;

/// Follows the calls of one user.
pub struct Listener {
    app: Domain,
    workspace: WorkspaceId,
    user: UserId,
    render: Render,
    changes: watch::Receiver<u64>,
    /// The number of the last event that was read.
    seen: i64,
    /// The open cards, with the last text of each.
    open: BTreeMap<Uuid, String>,
}

/// The calls of one read, with their texts. `None` for a deleted call.
struct Snapshot {
    last: i64,
    calls: Vec<(Uuid, Option<(CallRecord, String)>)>,
}

impl Listener {
    /// Begins to listen: with the active calls, or where an earlier listener has stopped.
    pub async fn start(
        app: Domain,
        workspace: WorkspaceId,
        user: UserId,
        render: Render,
        resume: Option<Uuid>,
    ) -> Result<(Self, Vec<CardUpdate>)> {
        let changes = app.telephony.call_streams.listen(workspace);
        let mut listener = Self {
            app,
            workspace,
            user,
            render,
            changes,
            seen: 0,
            open: BTreeMap::new(),
        };
        let (look, removed) = listener
            .app
            .db
            .read(move |conn| {
                let last = event::last(conn, workspace)?;
                let active = record::all_of(communication::list_active(
                    conn,
                    workspace,
                    MAX_ACTIVE_CALLS,
                )?)?;
                let calls = active.into_iter().map(|found| shown(conn, found, render));
                let calls = calls.collect::<Result<Vec<_>>>()?;
                let removed = removal::removed(conn, workspace)?;
                Ok::<_, crate::error::Error>((Snapshot { last, calls }, removed))
            })
            .await?;
        // A client that was away for long starts anew: events may be gone, and it would be wasteful to read the whole log.
        let resume = resume.filter(|offset| {
            let seq = offset::seq_at(workspace, *offset);
            seq >= removed && look.last - seq <= MAX_MISSED_EVENTS
        });
        let Some(resume) = resume else {
            listener.seen = look.last;
            let told = listener.compare(look, true);
            return Ok((listener, told));
        };
        // The cards of calls that have not changed since are still on the screen.
        listener.seen = offset::seq_at(workspace, resume).min(look.last);
        let touched = listener.touched(listener.seen).await?.1;
        let untouched = look
            .calls
            .into_iter()
            .filter(|(id, _)| !touched.contains(id));
        let untouched = Snapshot {
            last: listener.seen,
            calls: untouched.collect(),
        };
        listener.compare(untouched, true);
        let told = listener.look(true).await?;
        Ok((listener, told))
    }

    /// Waits for updates.
    pub async fn next(&mut self) -> Result<Vec<CardUpdate>> {
        loop {
            if self.changes.changed().await.is_err() {
                return Ok(Vec::new());
            }
            tokio::time::sleep(DEBOUNCE).await;
            self.changes.mark_unchanged();
            let told = self.look(false).await?;
            if !told.is_empty() {
                return Ok(told);
            }
        }
    }

    /// The offset from which a later listener can resume.
    pub fn offset(&self) -> Uuid {
        offset::of(self.workspace, self.seen)
    }

    /// The calls of all events after number `after`, and the last number.
    async fn touched(&self, after: i64) -> Result<(i64, BTreeSet<Uuid>)> {
        let workspace = self.workspace;
        let read = move |conn: &mut Conn| {
            let last = event::last(conn, workspace)?;
            let (mut at, mut touched) = (after, BTreeSet::new());
            while at < last {
                let heads = event::heads(conn, workspace, at, last, EVENT_BATCH)?;
                let Some((newest, _)) = heads.last() else {
                    break;
                };
                at = *newest;
                for (_, head) in heads {
                    let calls = head.entities.iter();
                    let calls = calls.filter(|(kind, _)| *kind == EntityKind::Communication);
                    touched.extend(calls.map(|(_, id)| *id));
                }
            }
            Ok((last, touched))
        };
        self.app.db.read(read).await
    }

    /// Reads the changes since the last read.
    async fn look(&mut self, resumed: bool) -> Result<Vec<CardUpdate>> {
        let (last, touched) = self.touched(self.seen).await?;
        let (workspace, render) = (self.workspace, self.render);
        let read = move |conn: &mut Conn| {
            let mut calls = Vec::new();
            for id in touched {
                calls.push(match record::find(conn, workspace, EntityId(id))? {
                    Some(found) => shown(conn, found, render)?,
                    None => (id, None),
                });
            }
            Ok::<_, crate::error::Error>(Snapshot { last, calls })
        };
        let look = self.app.db.read(read).await?;
        self.seen = last;
        Ok(self.compare(look, resumed))
    }

    /// Compares the calls with the user's open cards, and returns the updates. `begins` is true if the cards on the
    /// screen are not known.
    fn compare(&mut self, look: Snapshot, begins: bool) -> Vec<CardUpdate> {
        let now = self.app.clock.now();
        let offset = offset::of(self.workspace, look.last);
        let mut told = Vec::new();
        for (id, call) in look.calls {
            let is_mine = call
                .as_ref()
                .is_some_and(|(found, _)| found.call.users_on_line().contains(&self.user.0));
            let data = call.as_ref().map(|(_, text)| text.clone());
            let (name, data) = match (self.open.remove(&id), data) {
                (Some(_), Some(data)) if !is_mine => (CLOSED, data),
                (Some(_), None) => (CLOSED, format!("{{\"id\":\"{id}\"}}")),
                (Some(before), Some(data)) => {
                    self.open.insert(id, data.clone());
                    if before == data {
                        continue;
                    }
                    (STATE, data)
                }
                (None, Some(data)) if is_mine => {
                    self.open.insert(id, data.clone());
                    let pops_up = call.is_some_and(|(found, _)| is_fresh(&found, now));
                    (if pops_up { OPENED } else { STATE }, data)
                }
                // The tab may still show the card from before it lost the connection.
                (None, Some(data)) if begins && self.took_part(call.as_ref()) => (CLOSED, data),
                (None, _) => continue,
            };
            told.push(CardUpdate { name, data, offset });
        }
        told
    }

    fn took_part(&self, call: Option<&(CallRecord, String)>) -> bool {
        call.is_some_and(|(found, _)| {
            found.call.state() == State::Ended && found.call.participants().contains(&self.user.0)
        })
    }
}

/// True if a card may pop up: the last message is recent, both by this server's clock and by the exchange's.
fn is_fresh(found: &CallRecord, now: Timestamp) -> bool {
    let said = found.call.last_reported_at();
    now.since(found.row.update_info.updated_at) <= MAX_POPUP_AGE
        && said.is_none_or(|said| now.since(said.timestamp()) <= MAX_POPUP_AGE)
}

fn shown(
    conn: &mut Conn,
    found: CallRecord,
    render: Render,
) -> Result<(Uuid, Option<(CallRecord, String)>)> {
    let text = render(conn, &found)?;
    Ok((found.row.id.0, Some((found, text))))
}
