//! A listener of a workspace's stream.

use std::{collections::VecDeque, sync::atomic::Ordering::Relaxed};

use bytes::Bytes;
use prichal_core::{id::WorkspaceId, offset, time::Timestamp};
use prichal_store::{
    Conn,
    event::{self, removal},
};
use tokio::sync::{
    broadcast::{self, error::TryRecvError},
    watch,
};
use uuid::Uuid;

use super::{
    ASK_INTERVAL, Bounds, Seat,
    newest::{Frame, MAX_TAKEN_BYTES, Next, wants},
    topic::{MISSED, Sight, TOLD, Topic, Topics},
};
use crate::{
    domain::{Domain, telephony::own_calls},
    error::Result,
};

/// The maximum number of events that are looked at in one read, and of those that are read whole.
const MAX_HEADS: i64 = 512;
const MAX_READ_EVENTS: usize = 16;
/// The maximum number of events of other nodes that are read at once.
const MAX_FETCHED_EVENTS: i64 = 16;

/// Follows the topics of a workspace.
pub struct Listener {
    app: Domain,
    seat: Seat,
    topics: Topics,
    /// The number up to which the log was read.
    position: i64,
    /// A number that the log has reached.
    end: i64,
    told: Vec<(Topic, broadcast::Receiver<Bytes>)>,
    changes: watch::Receiver<()>,
    pending: VecDeque<Bytes>,
    /// The events that the listener may see. It may change at any time.
    pub sight: Sight,
}

impl Listener {
    /// Begins to listen: at the end of the log, or where an earlier stream has stopped.
    pub async fn start(
        app: Domain,
        workspace: WorkspaceId,
        topics: Topics,
        sight: Sight,
        resume: Option<Uuid>,
    ) -> Result<Self> {
        let bounds = Bounds {
            server: app.config.stream_listeners,
            workspace: app.config.stream_listeners_per_workspace,
        };
        // The seat is taken before the read, so that no commit after the read is missed.
        let seat = app.streams.take_seat(workspace, bounds)?;
        let changes = seat.space.changes.subscribe();
        let told = TOLD.into_iter().zip(&seat.space.told);
        let told = told
            .filter(|(topic, _)| topics.has(*topic))
            .map(|(topic, sender)| (topic, sender.subscribe()))
            .collect();
        let read = move |conn: &mut Conn| event::last(conn, workspace);
        let end = app.db.read(read).await?;
        let position = resume.map_or(end, |at| offset::seq_at(workspace, at).min(end));
        let listener = Self {
            app,
            seat,
            topics,
            position,
            end,
            told,
            changes,
            pending: VecDeque::new(),
            sight,
        };
        listener.ask_other_nodes();
        Ok(listener)
    }

    /// Asks the other nodes for the messages that they tell, unless they were asked a moment ago.
    pub fn ask_other_nodes(&self) {
        if self.told.is_empty() {
            return;
        }
        let (now, asked_at) = (self.app.clock.now(), &self.seat.space.asked_at);
        let before = asked_at.load(Relaxed);
        let is_due = now.since(Timestamp::from_micros(before)) >= ASK_INTERVAL;
        let is_first = || {
            let swapped = asked_at.compare_exchange(before, now.micros(), Relaxed, Relaxed);
            swapped.is_ok()
        };
        if is_due && is_first() {
            self.app.bus.ask_for(self.seat.workspace);
        }
    }

    /// A comment with the offset from which a later stream resumes.
    pub fn mark(&self) -> Bytes {
        // A pending event would be skipped.
        if !self.pending.is_empty() {
            return Bytes::from_static(b":\n\n");
        }
        let at = offset::of(self.seat.workspace, self.position);
        format!(":\nid: {at}\n\n").into()
    }

    /// Waits for the next message. It may be dropped and called again.
    pub async fn next(&mut self) -> Result<Bytes> {
        loop {
            if let Some(text) = self.pending.pop_front() {
                return Ok(text);
            }
            self.changes.mark_unchanged();
            if let Some(text) = self.next_told() {
                return Ok(text);
            }
            if self.topics.follow_log() && self.advance().await? {
                continue;
            }
            // The seat holds the sender.
            let _ = self.changes.changed().await;
        }
    }

    fn next_told(&mut self) -> Option<Bytes> {
        self.told
            .iter_mut()
            .find_map(|(topic, messages)| match messages.try_recv() {
                Ok(text) => Some(text),
                Err(TryRecvError::Lagged(count)) => Some(missed(*topic, count)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => None,
            })
    }

    /// Takes the next events of the log. Returns false at its end.
    async fn advance(&mut self) -> Result<bool> {
        let (wants, mut taken) = (wants(self.topics, self.sight), Vec::new());
        let newest = &self.seat.space;
        let next = newest
            .newest()
            .take(self.position, self.end, wants, &mut taken);
        match next {
            Next::Taken(position) => {
                let taken = self.visible(taken).await?;
                self.pending
                    .extend(taken.into_iter().map(|frame| frame.text));
                self.position = position;
            }
            Next::InStore => self.read_own().await?,
            Next::Elsewhere => self.read_for_all().await?,
            Next::End => return Ok(false),
        }
        Ok(true)
    }

    /// The events without those about calls that the listener does not see.
    async fn visible(&self, mut frames: Vec<Frame>) -> Result<Vec<Frame>> {
        let workspace = self.seat.workspace;
        let Some(user) = self.sight.own_calls else {
            return Ok(frames);
        };
        if frames.iter().all(|frame| frame.call.is_none()) {
            return Ok(frames);
        }
        let read = move |conn: &mut Conn| {
            own_calls::retain(conn, workspace, user, &mut frames, |frame| frame.call)?;
            Ok::<_, crate::error::Error>(frames)
        };
        self.app.db.read(read).await
    }

    /// Reads the events that other nodes have committed, for all listeners of the workspace.
    async fn read_for_all(&self) -> Result<()> {
        let space = &self.seat.space;
        let _turn = space.reading.lock().await;
        let (newest, announced) = {
            let newest = space.newest();
            if !newest.has_unread() {
                return Ok(());
            }
            newest.state()
        };
        let (workspace, mut after) = (self.seat.workspace, newest.unwrap_or(self.position));
        loop {
            let read =
                move |conn: &mut Conn| event::list(conn, workspace, after, MAX_FETCHED_EVENTS);
            let events = self.app.db.read(read).await?;
            let Some(last) = events.last() else {
                space.newest().note_read(announced);
                return Ok(());
            };
            after = last.seq;
            let mut newest = space.newest();
            events
                .iter()
                .for_each(|event| newest.push(Frame::of(event)));
        }
    }

    /// Reads events for this listener only.
    async fn read_own(&mut self) -> Result<()> {
        let _turn = self.app.streams.reads.acquire().await;
        let (workspace, after) = (self.seat.workspace, self.position);
        let (wants, own) = (wants(self.topics, self.sight), self.sight.own_calls);
        let read = move |conn: &mut Conn| {
            let heads = event::heads(conn, workspace, after, i64::MAX, MAX_HEADS)?;
            let (mut position, mut bytes, mut taken) = (after, 0, Vec::new());
            for (seq, head) in heads {
                if wants(Topic::of(&head)) {
                    if taken.len() == MAX_READ_EVENTS || bytes > MAX_TAKEN_BYTES {
                        break;
                    }
                    if let Some(event) = event::find(conn, workspace, seq)? {
                        let frame = Frame::of(&event);
                        bytes += frame.text.len();
                        taken.push(frame);
                    }
                }
                position = seq;
            }
            if let Some(user) = own {
                own_calls::retain(conn, workspace, user, &mut taken, |frame| frame.call)?;
            }
            // It is read last: an event that was removed before the read above is noticed.
            let removed = removal::removed(conn, workspace)?;
            Ok::<_, crate::error::Error>((position, taken, removed))
        };
        let (position, taken, removed) = self.app.db.read(read).await?;
        if removed > after {
            let count = (removed - after).unsigned_abs();
            let topics = Topic::ALL
                .into_iter()
                .filter(|topic| topic.told_index().is_none() && self.topics.has(*topic));
            self.pending
                .extend(topics.map(|topic| missed(topic, count)));
            self.position = removed;
            return Ok(());
        }
        if position == after {
            // The log ends here, whatever was known of it.
            self.end = after;
        }
        self.position = position;
        self.pending
            .extend(taken.into_iter().map(|frame| frame.text));
        Ok(())
    }
}

/// The message that a listener has missed messages of a topic.
fn missed(topic: Topic, count: u64) -> Bytes {
    let topic = topic.name();
    let data = format!("{{\"topic\":\"{topic}\",\"count\":{count}}}");
    format!("event: {MISSED}\ndata: {data}\n\n").into()
}
