//! Entities of the service collections other than channels: scripts and channel types.

use prichal_core::{
    id::{EntityId, WorkspaceId},
    time::Timestamp,
};

use crate::{Conn, Result, Row, Tx, usage, value::params};

/// The collection of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Script,
    ChannelType,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::ChannelType => "channel_type",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Resource {
    pub workspace: WorkspaceId,
    pub kind: Kind,
    pub id: EntityId,
    /// The code by which other entities refer to it.
    pub code: String,
    /// The entity without its id and its times, as JSON.
    pub members: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, code, members, created_at, updated_at, deleted_at";

/// Adds an entity. Returns false if its id or its code is taken. The id of a deleted entity can be used again.
pub fn insert(tx: &mut Tx<'_>, resource: &Resource) -> Result<bool> {
    usage::remove(
        tx,
        &usage::RESOURCES,
        "workspace = $1 AND kind = $2 AND id = $3 AND deleted_at IS NOT NULL",
        params![resource.workspace, resource.kind.name(), resource.id],
    )?;
    let sql = format!(
        "INSERT INTO resource (workspace, kind, {COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"
    );
    let done = tx.execute(
        &sql,
        params![
            resource.workspace,
            resource.kind.name(),
            resource.id,
            &resource.code,
            &resource.members,
            resource.created_at,
            resource.updated_at,
            resource.deleted_at
        ],
    )?;
    if done == 1 {
        usage::add(tx, resource.workspace, &[&resource.members]);
    }
    Ok(done == 1)
}

/// Updates an entity that [`find_for_update`] returned in the same transaction.
pub fn update(tx: &mut Tx<'_>, resource: &Resource) -> Result<()> {
    let one = "workspace = $1 AND kind = $2 AND id = $3";
    let row = params![resource.workspace, resource.kind.name(), resource.id];
    usage::change(tx, &usage::RESOURCES, one, row, |tx| {
        tx.run(
            "UPDATE resource SET code = $4, members = $5, updated_at = $6 WHERE workspace = $1 AND kind = $2 AND id = $3",
            params![
                resource.workspace,
                resource.kind.name(),
                resource.id,
                &resource.code,
                &resource.members,
                resource.updated_at
            ],
        )
    })
}

/// Deletes an entity. Its row stays until [`forget`], without its members.
pub fn delete(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: Kind,
    id: EntityId,
    at: Timestamp,
) -> Result<()> {
    let one = "workspace = $1 AND kind = $2 AND id = $3";
    let row = params![workspace, kind.name(), id];
    usage::change(tx, &usage::RESOURCES, one, row, |tx| {
        tx.run(
            "UPDATE resource SET members = '{}', updated_at = $4, deleted_at = $4 WHERE workspace = $1 AND kind = $2 AND id = $3",
            params![workspace, kind.name(), id, at],
        )
    })
}

/// Forgets entities that were deleted before `before`, at most `limit`. Returns their number.
pub fn forget(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    usage::remove(
        tx,
        &usage::RESOURCES,
        "(workspace, kind, id) IN (SELECT workspace, kind, id FROM resource WHERE deleted_at < $1 LIMIT $2)",
        params![before, limit],
    )
}

/// Finds an entity, deleted or not.
pub fn find(
    conn: &mut Conn,
    workspace: WorkspaceId,
    kind: Kind,
    id: EntityId,
) -> Result<Option<Resource>> {
    let sql =
        format!("SELECT {COLUMNS} FROM resource WHERE workspace = $1 AND kind = $2 AND id = $3");
    conn.query_one(&sql, params![workspace, kind.name(), id], |row| {
        read(workspace, kind, row)
    })
}

/// Finds an entity and locks it until the end of the transaction.
pub fn find_for_update(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: Kind,
    id: EntityId,
) -> Result<Option<Resource>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM resource WHERE workspace = $1 AND kind = $2 AND id = $3 /*postgres FOR UPDATE*/"
    );
    tx.conn()?
        .query_one(&sql, params![workspace, kind.name(), id], |row| {
            read(workspace, kind, row)
        })
}

/// Finds the entity with this code that is not deleted.
pub fn find_by_code(
    conn: &mut Conn,
    workspace: WorkspaceId,
    kind: Kind,
    code: &str,
) -> Result<Option<Resource>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM resource WHERE workspace = $1 AND kind = $2 AND code = $3 AND deleted_at IS NULL"
    );
    conn.query_one(&sql, params![workspace, kind.name(), code], |row| {
        read(workspace, kind, row)
    })
}

/// Lists entities that are not deleted from an offset on, in the order of their creation.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    kind: Kind,
    offset: i64,
    limit: i64,
) -> Result<Vec<Resource>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM resource WHERE workspace = $1 AND kind = $2 AND deleted_at IS NULL ORDER BY created_at, id LIMIT $4 OFFSET $3"
    );
    let values = params![workspace, kind.name(), offset, limit];
    conn.query(&sql, values, |row| read(workspace, kind, row))
}

/// Returns the number of entities that are not deleted and the size of their members in bytes.
pub fn extent(conn: &mut Conn, workspace: WorkspaceId, kind: Kind) -> Result<(i64, i64)> {
    let sql = "SELECT count(*), coalesce(sum(octet_length(members)), 0) FROM resource WHERE workspace = $1 AND kind = $2 AND deleted_at IS NULL";
    let found = conn.query_one(sql, params![workspace, kind.name()], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(found.unwrap_or_default())
}

fn read(workspace: WorkspaceId, kind: Kind, row: &Row<'_>) -> Result<Resource> {
    Ok(Resource {
        workspace,
        kind,
        id: EntityId(row.uuid(0)?),
        code: row.get(1)?,
        members: row.get(2)?,
        created_at: row.time(3)?,
        updated_at: row.time(4)?,
        deleted_at: row.get::<Option<i64>>(5)?.map(Timestamp::from_micros),
    })
}
