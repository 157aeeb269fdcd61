//! The audit log: which requests it records, in whose name, and when.
//!
//! A request to an operation that the log knows carries an [`Act`]. The first of its writes that changes something takes
//! the record along, so a crash keeps both or neither. All other records are queued after the answer and written in
//! batches: refusals, views, acts that write nothing, and results that differ from what the write promised.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    http::{HeaderValue, Uri},
    response::Response,
};
use foldhash::HashMap;
use prichal_core::{
    id::{self, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Tx,
    audit::{self, Actor as Who, ActorKind, Noted, Object, Outcome, Record, Rider},
    tenant,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    platform::{
        Platform,
        access::{self, Caller},
        security::{Actor, REQUEST, Request},
        session,
    },
};

/// The maximum number of characters of a client's name.
const MAX_AGENT: usize = 200;
/// The maximum number of characters of an object's id that is no GUID.
const MAX_OBJECT: usize = 128;
/// The maximum number of records that wait to be written. Beyond it they are dropped and counted.
const MAX_WAITING: usize = 2048;
/// The maximum number of records of refusals of one actor in a minute. Beyond it they are dropped and counted.
const MAX_REFUSALS: u32 = 60;
/// The maximum number of actors whose refusals are counted.
const MAX_ACTORS: usize = 10_000;
const REFUSAL_PERIOD: Duration = Duration::from_mins(1);
/// The delay before records are written again after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The actors whose acts the log records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Anybody.
    Always,
    /// The operator, or somebody signed in at the console; and anybody who changes rights by it. Other changes of this
    /// kind are found in the feed, in the log of runs or in the log of deliveries.
    People,
    /// Anybody who changes rights by it.
    Rights,
}

/// The object that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInPath {
    pub kind: String,
    /// The position of the id among the path's segments; None for the workspace, whose id is known otherwise.
    pub segment: Option<usize>,
}

/// An operation that the log records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name in the log, such as `webhooks.patch_webhook`.
    pub action: String,
    pub rule: Rule,
    /// The status of its success.
    pub status: u16,
    pub object: Option<ObjectInPath>,
}

/// A request to an operation that the log records.
#[derive(Debug)]
pub struct Act {
    operation: &'static Operation,
    uri: Uri,
    agent: Option<HeaderValue>,
    request: Option<Uuid>,
    /// The id of the record, from the first time that one was made.
    id: OnceLock<Uuid>,
    /// The object, where no path and no write names it.
    named: OnceLock<(&'static str, Uuid)>,
    is_committed: AtomicBool,
    is_refused: AtomicBool,
    /// True if the request turned out to read only.
    is_reading: AtomicBool,
}

impl Act {
    /// The act of a request.
    pub fn of_request(
        operation: &'static Operation,
        uri: &Uri,
        agent: Option<&HeaderValue>,
        request: Option<Uuid>,
    ) -> Self {
        Self {
            uri: uri.clone(),
            agent: agent.cloned(),
            request,
            ..Self::new(operation)
        }
    }

    /// An act that is no request of its own.
    pub fn new(operation: &'static Operation) -> Self {
        Self {
            operation,
            uri: Uri::default(),
            agent: None,
            request: None,
            id: OnceLock::new(),
            named: OnceLock::new(),
            is_committed: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
            is_reading: AtomicBool::new(false),
        }
    }

    /// True if the log records the act of such an actor.
    fn is_recorded(&self, actor: ActorKind, changes_rights: bool) -> bool {
        match self.operation.rule {
            Rule::Always => true,
            Rule::People => changes_rights || is_person(actor),
            Rule::Rights => changes_rights,
        }
    }

    /// The originator of the act. None for a request whose sender is not known. Work without an actor is the node's own.
    fn actor(&self, app: &Platform, actor: Option<&Actor>) -> Option<Who> {
        let own = self.request.is_none().then(|| node(app));
        actor.map(who).or(own)
    }

    /// The object: the one in the path, or the one that the write or the request has named. An id that is no GUID was chosen by the
    /// client, and is recorded only with a change of that object: a token in its place changes nothing.
    fn object(
        &self,
        workspace: Option<WorkspaceId>,
        noted: Noted,
        is_changed: bool,
    ) -> Option<Object> {
        let in_path = self.operation.object.as_ref().map(|object| {
            let id = match object.segment {
                None => workspace.map(|workspace| workspace.to_string()),
                Some(n) => self.uri.path().split('/').nth(n).and_then(|text| {
                    let id = id::parse_any(text).map(|id| id.to_string());
                    let is_name = is_changed && text.len() <= MAX_OBJECT;
                    id.or_else(|| is_name.then(|| decoded(text)))
                }),
            };
            (
                object.segment.is_some(),
                Object {
                    kind: object.kind.clone(),
                    id,
                },
            )
        });
        let named = noted.object.or_else(|| self.named.get().copied());
        let noted = named.map(|(kind, id)| Object {
            kind: kind.to_owned(),
            id: Some(id.to_string()),
        });
        match (in_path, noted) {
            (Some((true, object)), _) | (Some((false, object)), None) => Some(object),
            (_, noted) => noted,
        }
    }

    fn record(
        &self,
        request: &Request,
        workspace: Option<WorkspaceId>,
        noted: Option<Noted>,
        actor: Who,
        (outcome, status): (Outcome, Option<u16>),
    ) -> Record {
        let now = request.app.clock.now();
        let is_changed = noted.is_some() && outcome == Outcome::Done;
        Record {
            id: *self.id.get_or_init(|| id::generate(now)),
            workspace,
            actor,
            action: self.operation.action.clone(),
            object: self.object(workspace, noted.unwrap_or_default(), is_changed),
            address: request.address.map(|address| address.to_string()),
            agent: self.agent.as_ref().map(shown),
            request: self.request,
            outcome,
            status: status.map(i64::from),
        }
    }
}

/// The originator of an act, as the log names it.
fn who(actor: &Actor) -> Who {
    let of = |kind, id, name| Who {
        kind,
        id,
        name,
        user: actor.user(),
    };
    match actor {
        Actor::Caller(Caller::Admin) => of(ActorKind::Operator, None, None),
        // An element of a bulk call that a session has begun.
        Actor::Caller(Caller::Token(token)) if session::is_of_operator(token) => {
            of(ActorKind::Operator, token.session, None)
        }
        Actor::Caller(Caller::Token(token)) if token.session.is_some() => {
            of(ActorKind::Session, token.session, Some(token.name.clone()))
        }
        Actor::Caller(Caller::Token(token)) => {
            of(ActorKind::Token, Some(token.id.0), Some(token.name.clone()))
        }
        Actor::Caller(Caller::Integration(key)) => of(
            ActorKind::Integration,
            Some(key.integration.0),
            Some(key.name.clone()),
        ),
        Actor::Caller(Caller::Channel(handle)) => of(
            ActorKind::Channel,
            Some(handle.channel.id),
            Some(handle.channel.code().to_owned()),
        ),
        Actor::Person(person) => match &person.caller {
            Caller::Token(token) if !session::is_of_operator(token) => {
                let name = Some(token.name.clone());
                of(ActorKind::Session, Some(person.session), name)
            }
            _ => of(ActorKind::Operator, Some(person.session), None),
        },
        Actor::Token { id, .. } => of(ActorKind::Token, Some(id.0), None),
        Actor::SigningIn(person) => of(person.kind, None, person.name.clone()),
    }
}

fn node(app: &Platform) -> Who {
    Who {
        kind: ActorKind::Node,
        id: Some(app.node),
        name: None,
        user: None,
    }
}

/// True if everything that such an actor does is recorded.
const fn is_person(kind: ActorKind) -> bool {
    matches!(kind, ActorKind::Operator | ActorKind::Session)
}

/// The name of a client, cut to a bound and without control characters.
fn shown(agent: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(agent.as_bytes());
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(MAX_AGENT).collect()
}

fn decoded(segment: &str) -> String {
    let text = percent_encoding::percent_decode_str(segment).decode_utf8_lossy();
    text.chars().filter(|c| !c.is_control()).collect()
}

impl Rider for Request {
    fn record(&self, workspace: WorkspaceId, noted: Noted) -> Option<Record> {
        let (act, actor) = (self.act.as_ref()?, self.actor());
        let who = act.actor(&self.app, actor.as_ref())?;
        if act.is_committed.load(Relaxed) || !act.is_recorded(who.kind, noted.changes_rights) {
            return None;
        }
        let written = Some(workspace).filter(|workspace| !workspace.0.is_nil());
        let workspace = match actor.and_then(|actor| actor.workspace()) {
            // Such a write is shared by all workspaces, so it is not the act itself.
            Some(_) if written.is_none() => return None,
            // The write may be of another company: the one that sent a document, or receives it.
            Some(own) => Some(own),
            None => match noted.object {
                Some(("workspace", id)) => Some(WorkspaceId(id)),
                _ => written,
            },
        };
        let result = if act.is_refused.load(Relaxed) {
            (Outcome::Refused, None)
        } else {
            (Outcome::Done, Some(act.operation.status))
        };
        Some(act.record(self, workspace, Some(noted), who, result))
    }

    fn committed(&self) {
        if let Some(act) = &self.act {
            act.is_committed.store(true, Relaxed);
        }
    }
}

/// Marks this task's request as one that only reads, although its operation may change something.
pub fn set_reading() {
    with_act(|act| act.is_reading.store(true, Relaxed));
}

/// Names the object of this task's request, for a record that no write takes along.
pub fn set_object(kind: &'static str, id: Uuid) {
    with_act(|act| {
        // The first name stays.
        act.named.set((kind, id)).ok();
    });
}

/// Marks the following writes of this task as the records of a refusal.
pub fn set_refused() {
    with_act(|act| act.is_refused.store(true, Relaxed));
}

fn with_act(work: impl FnOnce(&Act)) {
    let _ = REQUEST.try_with(|request| request.act.as_ref().map(work));
}

/// Performs a part of this task's work, such as a frame of a connection, as a request of its own.
pub async fn performing(act: Option<Act>, work: impl Future<Output = Response>) -> Response {
    let (Some(act), Ok(outer)) = (act, REQUEST.try_with(Arc::clone)) else {
        return work.await;
    };
    let inner = Arc::new(outer.part(act));
    let response = REQUEST.scope(inner.clone(), work).await;
    answered(&inner, response.status().as_u16(), tenant::current()).await;
    response
}

/// Follows the answer to a request: records what no write has recorded.
pub async fn answered(request: &Request, status: u16, workspace: Option<WorkspaceId>) {
    let Some(act) = &request.act else { return };
    let expected = act.operation.status;
    let outcome = match status {
        400..500 => Outcome::Refused,
        500.. => Outcome::Failed,
        _ => Outcome::Done,
    };
    if act.is_committed.load(Relaxed) {
        if let Some(id) = act.id.get().filter(|_| status != expected) {
            let result = Waiting::Result(*id, outcome, status.into());
            request.app.audit.add(result);
        }
        return;
    }
    let Some(actor) = request.actor() else {
        return;
    };
    let who = who(&actor);
    if !act.is_recorded(who.kind, false) || act.is_reading.load(Relaxed) {
        return;
    }
    let app = &request.app;
    let now = app.clock.now();
    if outcome == Outcome::Refused && !app.audit.admits(actor.name(), now) {
        return app.audit.drop_one();
    }
    let own = actor.workspace();
    let of = match own.or(workspace) {
        Some(workspace) => Some(workspace),
        None => workspace_in_path(app, &act.uri).await,
    };
    let record = act.record(request, of, None, who, (outcome, Some(status)));
    app.audit.add(Waiting::New(Box::new(record)));
}

/// The workspace that a path of the administration names.
async fn workspace_in_path(app: &Platform, uri: &Uri) -> Option<WorkspaceId> {
    let rest = uri.path().strip_prefix("/admin/v1/workspaces/")?;
    let name = rest.split('/').next()?;
    let found = access::find_workspace(app, name).await.ok().flatten();
    found.map(|workspace| workspace.id)
}

/// Records an act of this node by itself.
pub fn note(app: &Platform, action: &str, workspace: Option<WorkspaceId>, object: Option<Object>) {
    let record = Record {
        id: id::generate(app.clock.now()),
        workspace,
        actor: node(app),
        action: action.to_owned(),
        object,
        address: None,
        agent: None,
        request: None,
        outcome: Outcome::Done,
        status: None,
    };
    app.audit.add(Waiting::New(Box::new(record)));
}

/// A record, or the new result of one, that is not written yet.
#[derive(Clone)]
enum Waiting {
    New(Box<Record>),
    Result(Uuid, Outcome, i64),
}

/// The records that wait to be written.
#[derive(Default)]
pub struct Queue {
    waiting: Mutex<VecDeque<Waiting>>,
    refusals: Mutex<Refusals>,
    wake: Notify,
    /// Held while records are written, so that a reader can wait for them.
    writing: tokio::sync::Mutex<()>,
}

/// The refusals of each actor, by the name of its credentials, in the present minute.
#[derive(Default)]
struct Refusals {
    since: Timestamp,
    of: HashMap<String, u32>,
}

impl Queue {
    fn add(&self, waiting: Waiting) {
        let mut all = self.lock();
        if all.len() >= MAX_WAITING {
            drop(all);
            return self.drop_one();
        }
        all.push_back(waiting);
        drop(all);
        self.wake.notify_one();
    }

    /// Counts a record that is not written.
    #[expect(clippy::unused_self, reason = "belongs to the queue")]
    fn drop_one(&self) {
        metrics::counter!("prichal_audit_dropped_total").increment(1);
    }

    /// Counts a refusal. Returns false if the actor has had too many.
    fn admits(&self, actor: String, now: Timestamp) -> bool {
        let mut all = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= all.since + REFUSAL_PERIOD || all.of.len() >= MAX_ACTORS {
            all.of.clear();
            all.since = now;
        }
        let count = all.of.entry(actor).or_default();
        *count += 1;
        *count <= MAX_REFUSALS
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workspace whose writer writes records of all workspaces.
const ANY: WorkspaceId = WorkspaceId(Uuid::nil());

/// Writes the records that wait. A reader of the log calls it first, to see what happened before.
pub async fn flush(app: &Platform) -> Result<()> {
    let _turn = app.audit.writing.lock().await;
    loop {
        let some: Vec<Waiting> = app.audit.lock().iter().take(256).cloned().collect();
        if some.is_empty() {
            return Ok(());
        }
        let count = some.len();
        let write = move |tx: &mut Tx<'_>| {
            for one in &some {
                match one.clone() {
                    Waiting::New(record) => audit::insert(tx, *record),
                    Waiting::Result(id, outcome, status) => {
                        audit::set_result(tx, id, outcome, Some(status))?;
                    }
                }
            }
            Ok::<_, Error>(())
        };
        app.db.write(ANY, write).await?;
        app.audit.lock().drain(..count);
    }
}

/// Writes records until `stop`, and those that wait then.
pub async fn run(app: Platform, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let is_over = tokio::select! {
            () = app.audit.wake.notified() => false,
            () = stop.cancelled() => true,
        };
        if let Err(error) = flush(&app).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot write records of the audit log"
            );
            app.audit.wake.notify_one();
            let again = app.clock.sleep(RETRY_DELAY);
            stop.run_until_cancelled(again).await;
        }
        if is_over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_has_so_many_refusals_a_minute() {
        let queue = Queue::default();
        let at = |secs: i64| Timestamp::from_micros(secs * 1_000_000);
        let admits = |actor: &str, secs| queue.admits(actor.to_owned(), at(secs));
        for _ in 0..MAX_REFUSALS {
            assert!(admits("loginLink:1", 100));
        }
        assert!(!admits("loginLink:1", 159));
        assert!(admits("admin", 159));
        assert!(admits("loginLink:1", 160));
    }

    #[test]
    fn a_client_is_named_within_bounds() {
        let long = HeaderValue::from_bytes(&[b'a'; 1000]).unwrap_or(HeaderValue::from_static(""));
        assert_eq!(shown(&long).len(), MAX_AGENT);
        assert_eq!(shown(&HeaderValue::from_static("a\tb")), "ab");
    }
}
