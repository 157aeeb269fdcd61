//! Live cards: what a user sees of the calls on his line, on whatever node he asks
//! (`docs/contracts/kontur.md §11`).
//!
//! A listener follows the log: each time something about a call was committed, here or elsewhere, it
//! reads which calls that were and compares them with what its user has seen. The store is the truth,
//! so every tab of a user is told the same, and nothing that is missed is lost.

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
use prichal_store::{Conn, LoggedEvent, communication, event};
use tokio::sync::watch;
use uuid::Uuid;

use super::record::{self, Found};
use crate::{domain::Domain, error::Result};

/// A card does not pop up for anything older than this.
const FRESH: Duration = Duration::from_mins(1);
/// How long a listener gathers what happens before it looks: many changes are one look.
const GATHER: Duration = Duration::from_millis(30);
/// How many events are looked at once.
const HEADS: i64 = 1000;
/// How many events a listener that begins again may have missed.
const RESUME: i64 = 10_000;
/// How many calls that go on are shown to somebody who begins to listen.
const ACTIVE: i64 = 1000;

/// What a listener is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// `opened`, `state` or `closed`.
    pub name: &'static str,
    /// The communication with its facts.
    pub data: String,
    /// Where to go on after this.
    pub offset: Uuid,
}

/// Whether an event is about a call.
pub fn is_call(event: &LoggedEvent) -> bool {
    event.entities()[0].0 == EntityKind::Communication
}

/// The text of a call with its facts, in the words of a dialect.
pub type Render = fn(&mut Conn, &Found) -> Result<String>;

/// Follows the calls of one user.
pub struct Listener {
    app: Domain,
    workspace: WorkspaceId,
    user: UserId,
    render: Render,
    changes: watch::Receiver<u64>,
    /// Everything up to this number of the log has been looked at.
    seen: i64,
    /// The cards that are open, and what was said of each last.
    open: BTreeMap<Uuid, String>,
}

/// A call as it is now, if it is there.
struct Look {
    last: i64,
    calls: Vec<(Uuid, Option<(Found, String)>)>,
}

impl Listener {
    /// Begins to listen: at the calls that go on, or where a listener has stopped before.
    pub async fn start(
        app: Domain,
        workspace: WorkspaceId,
        user: UserId,
        render: Render,
        resume: Option<Uuid>,
    ) -> Result<(Self, Vec<Told>)> {
        let changes = app.telephony.live.listen(workspace);
        let mut listener = Self {
            app,
            workspace,
            user,
            render,
            changes,
            seen: 0,
            open: BTreeMap::new(),
        };
        let look = listener
            .app
            .db
            .read(move |conn| {
                let last = event::last(conn, workspace)?;
                let active = record::all_of(communication::list_active(conn, workspace, ACTIVE)?)?;
                let calls = active.into_iter().map(|found| shown(conn, found, render));
                let calls = calls.collect::<Result<Vec<_>>>()?;
                Ok::<_, crate::error::Error>(Look { last, calls })
            })
            .await?;
        // Whoever was away for long begins anew: looking through the whole log helps nobody.
        let resume =
            resume.filter(|offset| look.last - offset::seq_at(workspace, *offset) <= RESUME);
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
        let untouched = Look {
            last: listener.seen,
            calls: untouched.collect(),
        };
        listener.compare(untouched, true);
        let told = listener.look(true).await?;
        Ok((listener, told))
    }

    /// Waits for something to tell.
    pub async fn next(&mut self) -> Result<Vec<Told>> {
        loop {
            if self.changes.changed().await.is_err() {
                return Ok(Vec::new());
            }
            tokio::time::sleep(GATHER).await;
            self.changes.mark_unchanged();
            let told = self.look(false).await?;
            if !told.is_empty() {
                return Ok(told);
            }
        }
    }

    /// Where a listener that begins again goes on.
    pub fn offset(&self) -> Uuid {
        offset::of(self.workspace, self.seen)
    }

    /// The calls that something was committed about after number `after`, and the last number.
    async fn touched(&self, after: i64) -> Result<(i64, BTreeSet<Uuid>)> {
        let workspace = self.workspace;
        let read = move |conn: &mut Conn| {
            let last = event::last(conn, workspace)?;
            let (mut at, mut touched) = (after, BTreeSet::new());
            while at < last {
                let heads = event::heads(conn, workspace, at, last, HEADS)?;
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

    /// Looks at what has happened since the last look.
    async fn look(&mut self, resumed: bool) -> Result<Vec<Told>> {
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
            Ok::<_, crate::error::Error>(Look { last, calls })
        };
        let look = self.app.db.read(read).await?;
        self.seen = last;
        Ok(self.compare(look, resumed))
    }

    /// What is new to the user in what was found. `begins`: nothing was on the screen before, or it is
    /// not known what.
    fn compare(&mut self, look: Look, begins: bool) -> Vec<Told> {
        let now = self.app.clock.now();
        let offset = offset::of(self.workspace, look.last);
        let mut told = Vec::new();
        for (id, call) in look.calls {
            let is_mine = call
                .as_ref()
                .is_some_and(|(found, _)| found.call.users_on_line().contains(&self.user.0));
            let data = call.as_ref().map(|(_, text)| text.clone());
            let (name, data) = match (self.open.remove(&id), data) {
                (Some(_), Some(data)) if !is_mine => ("closed", data),
                (Some(_), None) => ("closed", format!("{{\"id\":\"{id}\"}}")),
                (Some(before), Some(data)) => {
                    self.open.insert(id, data.clone());
                    if before == data {
                        continue;
                    }
                    ("state", data)
                }
                (None, Some(data)) if is_mine => {
                    self.open.insert(id, data.clone());
                    let pops_up = call.is_some_and(|(found, _)| is_fresh(&found, now));
                    (if pops_up { "opened" } else { "state" }, data)
                }
                // A card that the tab may still show from before it lost us.
                (None, Some(data)) if begins && self.had_part(call.as_ref()) => ("closed", data),
                (None, _) => continue,
            };
            told.push(Told { name, data, offset });
        }
        told
    }

    fn had_part(&self, call: Option<&(Found, String)>) -> bool {
        call.is_some_and(|(found, _)| {
            found.call.state() == State::Ended && found.call.participants().contains(&self.user.0)
        })
    }
}

/// Whether a card may pop up: what was said last is new, here and by the exchange's own clock.
fn is_fresh(found: &Found, now: Timestamp) -> bool {
    let said = found.call.last_reported_at();
    now.since(found.row.update_info.updated_at) <= FRESH
        && said.is_none_or(|said| now.since(said.timestamp()) <= FRESH)
}

fn shown(conn: &mut Conn, found: Found, render: Render) -> Result<(Uuid, Option<(Found, String)>)> {
    let text = render(conn, &found)?;
    Ok((found.row.id.0, Some((found, text))))
}
