//! Entities of the ten collections, their counts, and the links between them.

use std::collections::BTreeMap;

use prichal_core::{
    event::EntityKind,
    id::{EntityId, WorkspaceId},
    time::Timestamp,
    update_info::UpdateInfo,
};
use uuid::Uuid;

use crate::{
    Conn, Error, Result, Row, Tx, insert::Insert, sign_in_name, update_info, usage, value::params,
};

#[derive(Clone, Debug)]
pub struct Entity {
    pub workspace: WorkspaceId,
    pub kind: EntityKind,
    pub id: EntityId,
    /// The model without id, update info and links, as a JSON object.
    pub members: String,
    pub update_info: UpdateInfo,
    pub deleted_at: Option<Timestamp>,
}

static ENTITY: Insert = Insert::new(
    "entity",
    &[
        "workspace",
        "kind",
        "id",
        "members",
        "created_at",
        "created_by",
        "created_with",
        "updated_at",
        "updated_by",
        "updated_with",
    ],
);
static LINK: Insert = Insert::new(
    "link",
    &["workspace", "kind", "id", "other_kind", "other_id"],
);

/// Adds an entity under a new id.
pub fn insert(tx: &mut Tx<'_>, entity: &Entity) {
    let Entity {
        workspace,
        kind,
        id,
        members,
        update_info,
        ..
    } = entity;
    let mut values = params![*workspace, kind.name(), *id, members.clone()].to_vec();
    values.extend(update_info::values(update_info));
    tx.insert(&ENTITY, values);
    if *kind == EntityKind::User {
        sign_in_name::insert(tx, entity);
    }
    tx.count(*workspace, *kind, 1);
    tx.use_bytes(*workspace, usage::Kind::Entities, usage::length(members));
}

/// Finds an entity, deleted or not.
pub fn find(
    conn: &mut Conn,
    workspace: WorkspaceId,
    kind: EntityKind,
    id: EntityId,
) -> Result<Option<Entity>> {
    find_with(conn, workspace, kind, id, "")
}

/// Finds an entity and locks it until the end of the transaction.
pub fn find_for_update(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: EntityKind,
    id: EntityId,
) -> Result<Option<Entity>> {
    find_with(tx.conn()?, workspace, kind, id, "/*postgres FOR UPDATE*/")
}

fn find_with(
    conn: &mut Conn,
    workspace: WorkspaceId,
    kind: EntityKind,
    id: EntityId,
    lock: &str,
) -> Result<Option<Entity>> {
    let sql = format!(
        "SELECT id, members, {}, deleted_at FROM entity WHERE workspace = $1 AND kind = $2 AND id = $3 {lock}",
        update_info::COLUMNS
    );
    conn.query_one(&sql, params![workspace, kind.name(), id], |row| {
        read(workspace, kind, row)
    })
}

/// Updates the members, the update info and the deletion mark of an entity that [`find_for_update`] returned in the
/// same transaction. `before` is the earlier length of the members in bytes.
pub fn update(tx: &mut Tx<'_>, entity: &Entity, before: usize) -> Result<()> {
    let Entity {
        workspace,
        kind,
        id,
        members,
        update_info,
        deleted_at,
    } = entity;
    tx.run(
        "UPDATE entity SET members = $4, updated_at = $5, updated_by = $6, updated_with = $7, deleted_at = $8
         WHERE workspace = $1 AND kind = $2 AND id = $3",
        params![*workspace, kind.name(), *id, members, update_info.updated_at, update_info.updated.user, &update_info.updated.with, *deleted_at],
    )?;
    if *kind == EntityKind::User {
        sign_in_name::put(tx, entity)?;
    }
    let before = i64::try_from(before).unwrap_or(i64::MAX);
    let grown = usage::length(members) - before;
    tx.use_bytes(*workspace, usage::Kind::Entities, grown);
    Ok(())
}

/// Sets or clears the deletion mark of an entity, and updates the count.
pub fn set_deleted(tx: &mut Tx<'_>, entity: &Entity) -> Result<()> {
    update(tx, entity, entity.members.len())?;
    tx.count(
        entity.workspace,
        entity.kind,
        if entity.deleted_at.is_some() { -1 } else { 1 },
    );
    Ok(())
}

/// The size at which a page ends early, so that big entities cannot exhaust the memory.
const MAX_PAGE_BYTES: usize = 1 << 20;

/// Lists a page of entities that are not deleted, in the order of creation, with their total number. The page has
/// fewer than `limit` entities if it would exceed [`MAX_PAGE_BYTES`].
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    kind: EntityKind,
    offset: i64,
    limit: i64,
) -> Result<(i64, Vec<Entity>)> {
    let count = conn.query_one(
        "SELECT n FROM entity_count WHERE workspace = $1 AND kind = $2",
        params![workspace, kind.name()],
        |row| row.get(0),
    )?;
    let sql = format!(
        "SELECT id, members, {}, deleted_at FROM entity WHERE workspace = $1 AND kind = $2 AND deleted_at IS NULL
         ORDER BY id LIMIT $3 OFFSET $4",
        update_info::COLUMNS
    );
    let found = conn.query_within(
        &sql,
        params![workspace, kind.name(), limit, offset],
        MAX_PAGE_BYTES,
        |entity: &Entity| entity.members.len(),
        |row| read(workspace, kind, row),
    )?;
    Ok((count.unwrap_or(0), found))
}

/// Lists the ids and members of the entities after one that are not deleted, and locks them until the end of the
/// transaction. The list has fewer than `limit` entities if these would have too many bytes.
pub fn list_after_for_update(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: EntityKind,
    after: Uuid,
    limit: i64,
) -> Result<Vec<(Uuid, String)>> {
    let sql = "SELECT id, members FROM entity WHERE workspace = $1 AND kind = $2 AND id > $3 AND deleted_at IS NULL
         ORDER BY id LIMIT $4 /*postgres FOR UPDATE*/";
    let values = params![workspace, kind.name(), after, limit];
    tx.conn()?.query_within(
        sql,
        values,
        MAX_PAGE_BYTES,
        |(_, members): &(Uuid, String)| members.len(),
        |row| Ok((row.uuid(0)?, row.get(1)?)),
    )
}

fn read(workspace: WorkspaceId, kind: EntityKind, row: &Row<'_>) -> Result<Entity> {
    Ok(Entity {
        workspace,
        kind,
        id: EntityId(row.uuid(0)?),
        members: row.get(1)?,
        update_info: update_info::read(row, 2)?,
        deleted_at: row.get::<Option<i64>>(8)?.map(Timestamp::from_micros),
    })
}

pub(crate) fn write_counts(
    conn: &mut Conn,
    counts: &BTreeMap<(WorkspaceId, EntityKind), i64>,
) -> Result<()> {
    for ((workspace, kind), change) in counts {
        conn.run(
            "INSERT INTO entity_count (workspace, kind, n) VALUES ($1, $2, $3)
             ON CONFLICT (workspace, kind) DO UPDATE SET n = entity_count.n + excluded.n",
            params![*workspace, kind.name(), *change],
        )?;
    }
    Ok(())
}

/// One end of a link.
pub type End = (EntityKind, Uuid);

/// Links two entities. Returns false if they were linked already.
pub fn insert_link(tx: &mut Tx<'_>, workspace: WorkspaceId, one: End, other: End) -> Result<bool> {
    let sql = "INSERT INTO link (workspace, kind, id, other_kind, other_id) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    let mut fresh = false;
    for (from, to) in [(one, other), (other, one)] {
        fresh |= tx.execute(
            sql,
            params![workspace, from.0.name(), from.1, to.0.name(), to.1],
        )? == 1;
    }
    if fresh {
        usage::add_bare(tx, workspace, 2);
    }
    Ok(fresh)
}

/// Links an entity that was inserted in this transaction, so no such link can exist.
pub fn insert_first_link(tx: &mut Tx<'_>, workspace: WorkspaceId, one: End, other: End) {
    usage::add_bare(tx, workspace, 2);
    for (from, to) in [(one, other), (other, one)] {
        tx.insert(
            &LINK,
            params![workspace, from.0.name(), from.1, to.0.name(), to.1].to_vec(),
        );
    }
}

/// Removes a link. Returns false if there was none.
pub fn delete_link(tx: &mut Tx<'_>, workspace: WorkspaceId, one: End, other: End) -> Result<bool> {
    let sql = "DELETE FROM link WHERE workspace = $1 AND kind = $2 AND id = $3 AND other_kind = $4 AND other_id = $5";
    let mut gone = false;
    for (from, to) in [(one, other), (other, one)] {
        gone |= tx.execute(
            sql,
            params![workspace, from.0.name(), from.1, to.0.name(), to.1],
        )? == 1;
    }
    if gone {
        usage::add_bare(tx, workspace, -2);
    }
    Ok(gone)
}

/// Lists the entities that an entity is linked to, oldest link first.
pub fn links(conn: &mut Conn, workspace: WorkspaceId, end: End) -> Result<Vec<End>> {
    conn.query(
        "SELECT other_kind, other_id FROM link WHERE workspace = $1 AND kind = $2 AND id = $3 ORDER BY other_kind, other_id LIMIT 10000",
        params![workspace, end.0.name(), end.1],
        |row| end_of(row, 0),
    )
}

/// Lists the links of all entities of a kind from id `first` to id `last`, as pairs of an id and the other end.
pub fn links_between(
    conn: &mut Conn,
    workspace: WorkspaceId,
    kind: EntityKind,
    first: EntityId,
    last: EntityId,
) -> Result<Vec<(Uuid, End)>> {
    conn.query(
        "SELECT id, other_kind, other_id FROM link WHERE workspace = $1 AND kind = $2 AND id >= $3 AND id <= $4
         ORDER BY id, other_kind, other_id LIMIT 100000",
        params![workspace, kind.name(), first, last],
        |row| Ok((row.uuid(0)?, end_of(row, 1)?)),
    )
}

pub(crate) fn end_of(row: &Row<'_>, first: usize) -> Result<End> {
    let kind: String = row.get(first)?;
    let kind =
        EntityKind::from_name(&kind).ok_or_else(|| Error::corrupt("a link's kind is invalid"))?;
    Ok((kind, row.uuid(first + 1)?))
}
