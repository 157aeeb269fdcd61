//! The audit log: who has done what, on what, from where, and with which result.
//!
//! A [`Rider`] adds the record of a request to the first of its writes that changes something, so both are committed
//! together.

use std::fmt::Write as _;

use prichal_core::{
    id::{UserId, WorkspaceId, generated_at},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Conn, Error, Result, Row, Tx,
    delivery::first_id,
    insert::Insert,
    retention::{Kind, none_of},
    value::{Value, params},
};

/// Defines an enum of words that are stored by their names.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $word:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$of])* $word,)+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$word),+];
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            pub const fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }

            fn parse(text: &str) -> Result<Self> {
                let found = Self::NAMES.iter().position(|name| *name == text);
                found.map(|n| Self::ALL[n]).ok_or_else(|| Error::corrupt("a word of an audit record is unknown"))
            }
        }
    };
}

words! {
    /// The kind of credentials behind an act.
    ActorKind {
        /// The holder of the admin token, also at the console.
        Operator = "operator",
        Token = "token",
        /// Somebody who has signed in at the console.
        Session = "session",
        Integration = "integration",
        Channel = "channel",
        /// A node of the server by itself.
        Node = "node",
    }
}

words! {
    /// The result of an act.
    Outcome {
        Done = "done",
        /// Refused, with a status of 400 to 499.
        Refused = "refused",
        /// Failed, with a status of 500 or more.
        Failed = "failed",
    }
}

/// The originator of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub kind: ActorKind,
    /// The id of the token, session, integration, channel or node. The operator has one at the console only.
    pub id: Option<Uuid>,
    pub name: Option<String>,
    pub user: Option<UserId>,
}

/// The object of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub kind: String,
    /// None if the act concerns all objects of the kind, or one whose id is not known.
    pub id: Option<String>,
}

/// A record of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The id, which tells the time.
    pub id: Uuid,
    /// None for an act on the server itself.
    pub workspace: Option<WorkspaceId>,
    pub actor: Actor,
    pub action: String,
    pub object: Option<Object>,
    pub address: Option<String>,
    pub agent: Option<String>,
    /// The id of the request.
    pub request: Option<Uuid>,
    pub outcome: Outcome,
    pub status: Option<i64>,
}

impl Record {
    /// The time of the act, in whole milliseconds.
    pub fn at(&self) -> Timestamp {
        generated_at(self.id).unwrap_or_default()
    }
}

/// The facts about a write that only its transaction knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// The first object that the write has named, or that its events are about.
    pub object: Option<(&'static str, Uuid)>,
    /// True if the write grants or takes rights.
    pub changes_rights: bool,
}

/// Adds a request's record to its first write that changes something.
pub trait Rider: Send + Sync {
    /// The record for a write of this workspace; the nil id stands for none. None if the write needs no record. Called
    /// again if the write runs again.
    fn record(&self, workspace: WorkspaceId, noted: Noted) -> Option<Record>;

    /// The record was committed.
    fn committed(&self);
}

static AUDIT: Insert = Insert::with_tail(
    "audit",
    &[
        "id",
        "workspace",
        "actor",
        "actor_id",
        "actor_name",
        "user_id",
        "action",
        "object",
        "object_id",
        "address",
        "agent",
        "request",
        "result",
        "status",
    ],
    // Two writes of one request may both carry its record.
    " ON CONFLICT (id) DO NOTHING",
);

/// Adds a record, unless it is there.
pub fn insert(tx: &mut Tx<'_>, record: Record) {
    let Record {
        id,
        workspace,
        actor,
        action,
        object,
        address,
        agent,
        request,
        outcome,
        status,
    } = record;
    let (object, object_id) = object.map_or((None, None), |object| (Some(object.kind), object.id));
    let values = vec![
        id.into(),
        workspace.into(),
        actor.kind.name().into(),
        actor.id.into(),
        actor.name.into(),
        actor.user.into(),
        action.into(),
        object.into(),
        object_id.into(),
        address.into(),
        agent.into(),
        request.into(),
        outcome.name().into(),
        status.into(),
    ];
    tx.insert(&AUDIT, values);
}

/// Replaces the result of a record, whose request was answered otherwise than its write promised.
pub fn set_result(tx: &mut Tx<'_>, id: Uuid, outcome: Outcome, status: Option<i64>) -> Result<()> {
    tx.run(
        "UPDATE audit SET result = $2, status = $3 WHERE id = $1",
        params![id, outcome.name(), status],
    )
}

/// Criteria of a list of records.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The records of one workspace only.
    pub workspace: Option<WorkspaceId>,
    pub actor_kind: Option<ActorKind>,
    pub actor: Option<Uuid>,
    pub user: Option<UserId>,
    /// An action, or the beginning of actions with `*` behind.
    pub action: Option<String>,
    pub object_kind: Option<String>,
    pub object: Option<String>,
    pub outcome: Option<Outcome>,
    pub address: Option<String>,
    /// Records made at or after this time.
    pub from: Option<Timestamp>,
    /// Records made before this time.
    pub to: Option<Timestamp>,
    /// Only records behind this one, in the order of the list.
    pub after: Option<Uuid>,
    /// True for the oldest first.
    pub is_ascending: bool,
}

/// A page of records.
#[derive(Debug, Default)]
pub struct Page {
    pub items: Vec<Record>,
    /// The value of [`Filter::after`] for the next page. None at the end of the log.
    pub next: Option<Uuid>,
}

/// The maximum number of rows that are read at once to look for matches. A list begins with as many as it wants.
const MAX_WINDOW: i64 = 1024;

const COLUMNS: &str = "id, workspace, actor, actor_id, actor_name, user_id, action, object, object_id, address, agent, request, result, status";

/// Lists at most `limit` records. It looks at about `max_rows` rows, so the page may have fewer records, or none,
/// although there is a next one.
pub fn list(conn: &mut Conn, filter: &Filter, limit: i64, max_rows: i64) -> Result<Page> {
    let most = usize::try_from(limit).unwrap_or(0);
    let (mut items, mut after, mut seen) = (Vec::new(), filter.after, 0);
    let mut window = limit.min(MAX_WINDOW);
    loop {
        let (rows, last) = read_window(conn, filter, after, window)?;
        let is_end = rows < window;
        for record in last.matching {
            items.push(record);
            if items.len() == most {
                let next = items.last().map(|last| last.id);
                return Ok(Page { items, next });
            }
        }
        seen += rows;
        after = last.id.or(after);
        if is_end {
            return Ok(Page { items, next: None });
        }
        if seen >= max_rows {
            return Ok(Page { items, next: after });
        }
        window = (window * 2).min(MAX_WINDOW);
    }
}

/// The records of a window that match, and the id of its last row.
#[derive(Default)]
struct Window {
    matching: Vec<Record>,
    id: Option<Uuid>,
}

/// Reads at most `limit` rows, and returns their number.
fn read_window(
    conn: &mut Conn,
    filter: &Filter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<(i64, Window)> {
    let mut values = params![limit].to_vec();
    let mut conditions = String::new();
    // A condition is written only when it is asked for, so that the engine can use its indexes.
    let mut only = |condition: &str, value: Value<'static>| {
        values.push(value);
        let _ = write!(conditions, " AND {condition} ${}", values.len());
    };
    // Each of these has an index that ends with the id. The most selective one is named, and the others are checked
    // for each row.
    let index = if let Some(object) = &filter.object {
        only("object_id =", object.clone().into());
        "audit_by_object"
    } else if let Some(actor) = filter.actor {
        only("actor_id =", actor.into());
        "audit_by_actor"
    } else if let Some(user) = filter.user {
        only("user_id =", user.into());
        "audit_by_user"
    } else if let Some(workspace) = filter.workspace {
        only("workspace =", workspace.into());
        "audit_of"
    } else {
        ""
    };
    let index = match index {
        "" => String::new(),
        name => format!("/*sqlite INDEXED BY {name}*/"),
    };
    let (from, to) = (filter.from.map(first_id), filter.to.map(first_id));
    if let Some(from) = from {
        only("id >=", from.into());
    }
    if let Some(to) = to {
        only("id <", to.into());
    }
    let order = if filter.is_ascending { "ASC" } else { "DESC" };
    if let Some(after) = after {
        let is_behind = if filter.is_ascending { "id >" } else { "id <" };
        only(is_behind, after.into());
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM audit {index} WHERE 1 = 1{conditions} ORDER BY id {order} LIMIT $1"
    );
    let (mut rows, mut window) = (0, Window::default());
    conn.scan(&sql, &values, &mut |row| {
        let record = read(row)?;
        rows += 1;
        window.id = Some(record.id);
        if filter.matches(&record) {
            window.matching.push(record);
        }
        Ok(true)
    })?;
    Ok((rows, window))
}

impl Filter {
    fn matches(&self, record: &Record) -> bool {
        let Self {
            workspace,
            actor_kind,
            actor,
            user,
            action,
            object_kind,
            object,
            outcome,
            address,
            from: _,
            to: _,
            after: _,
            is_ascending: _,
        } = self;
        let of = record.object.as_ref();
        workspace.is_none_or(|one| record.workspace == Some(one))
            && actor_kind.is_none_or(|kind| record.actor.kind == kind)
            && actor.is_none_or(|actor| record.actor.id == Some(actor))
            && user.is_none_or(|user| record.actor.user == Some(user))
            && action
                .as_ref()
                .is_none_or(|action| match action.strip_suffix('*') {
                    Some(start) => record.action.starts_with(start),
                    None => record.action == *action,
                })
            && object_kind
                .as_ref()
                .is_none_or(|kind| of.is_some_and(|of| of.kind == *kind))
            && object
                .as_ref()
                .is_none_or(|id| of.and_then(|of| of.id.as_ref()) == Some(id))
            && outcome.is_none_or(|outcome| record.outcome == outcome)
            && address
                .as_ref()
                .is_none_or(|address| record.address.as_ref() == Some(address))
    }
}

fn read(row: &Row<'_>) -> Result<Record> {
    let kind: String = row.get(2)?;
    let object: Option<String> = row.get(7)?;
    let outcome: String = row.get(12)?;
    let id = row.get(8)?;
    Ok(Record {
        id: row.uuid(0)?,
        workspace: row.maybe_uuid(1)?.map(WorkspaceId),
        actor: Actor {
            kind: ActorKind::parse(&kind)?,
            id: row.maybe_uuid(3)?,
            name: row.get(4)?,
            user: row.maybe_uuid(5)?.map(UserId),
        },
        action: row.get(6)?,
        object: object.map(|kind| Object { kind, id }),
        address: row.get(9)?,
        agent: row.get(10)?,
        request: row.maybe_uuid(11)?,
        outcome: Outcome::parse(&outcome)?,
        status: row.get(13)?,
    })
}

/// Lists the workspaces with records from before `before`, at most `limit`; not those that have a time of their own.
pub fn with_records_before(
    conn: &mut Conn,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<WorkspaceId>> {
    // Each step finds the next workspace in the index.
    let sql = format!(
        "WITH RECURSIVE w(workspace) AS (
           SELECT min(workspace) FROM audit
           UNION ALL SELECT (SELECT min(workspace) FROM audit a WHERE a.workspace > w.workspace) FROM w WHERE workspace IS NOT NULL)
         SELECT workspace FROM w WHERE workspace IS NOT NULL AND {}
           AND EXISTS (SELECT 1 FROM audit a WHERE a.workspace = w.workspace AND a.id < $1) LIMIT $2",
        none_of(Kind::Audit, "w.workspace")
    );
    conn.query(&sql, params![first_id(before), limit], |row| {
        Ok(WorkspaceId(row.uuid(0)?))
    })
}

/// Deletes records of a workspace, or of none, made before `before`: the oldest first, at most `limit`. Returns their
/// number.
pub fn forget(
    tx: &mut Tx<'_>,
    workspace: Option<WorkspaceId>,
    before: Timestamp,
    limit: i64,
) -> Result<u64> {
    let mut values = params![first_id(before), limit].to_vec();
    let of = match workspace {
        Some(workspace) => {
            values.push(workspace.into());
            "workspace = $3"
        }
        None => "workspace IS NULL",
    };
    let sql = format!(
        "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE {of} AND id < $1 ORDER BY id LIMIT $2)"
    );
    tx.execute(&sql, &values)
}
