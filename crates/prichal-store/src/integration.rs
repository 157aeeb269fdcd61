//! Integrations (the contents of a manifest) and their instances in workspaces.

use prichal_core::{
    id::{IntegrationId, WorkspaceId},
    integration::{Kind, Status},
    time::Timestamp,
    update_info::UpdateInfo,
};

use crate::{Conn, Error, Result, Row, Tx, update_info, usage, value::params};

#[derive(Clone, Debug)]
pub struct Integration {
    pub id: IntegrationId,
    /// The workspace that created it.
    pub workspace: WorkspaceId,
    pub kind: Kind,
    pub name: String,
    pub version: String,
    pub base_url: String,
    pub title: Option<String>,
    pub update_info: UpdateInfo,
}

const COLUMNS: &str = "id, workspace, kind, name, version, base_url, title";

/// Adds an integration. Returns false if its name is taken. Names ignore case.
pub fn insert(tx: &mut Tx<'_>, integration: &Integration) -> Result<bool> {
    let sql = format!(
        "INSERT INTO integration ({COLUMNS}, {}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING",
        update_info::COLUMNS
    );
    let Integration {
        id,
        workspace,
        kind,
        name,
        version,
        base_url,
        title,
        update_info,
    } = integration;
    tx.note_object("integration", id.0);
    let mut values = params![
        *id,
        *workspace,
        kind.name(),
        name,
        version,
        base_url,
        title.as_deref()
    ]
    .to_vec();
    values.extend(update_info::values(update_info));
    let done = tx.execute(&sql, &values)? == 1;
    if done {
        let title = title.as_deref().unwrap_or_default();
        usage::add(tx, *workspace, &[name, version, base_url, title]);
    }
    Ok(done)
}

/// Updates an integration from a new manifest. The name does not change.
pub fn update(tx: &mut Tx<'_>, integration: &Integration) -> Result<()> {
    let Integration {
        id,
        version,
        base_url,
        title,
        update_info,
        ..
    } = integration;
    usage::change(tx, &usage::INTEGRATIONS, "id = $1", params![*id], |tx| {
        tx.run(
            "UPDATE integration SET version = $2, base_url = $3, title = $4, updated_at = $5, updated_by = $6, updated_with = $7 WHERE id = $1",
            params![*id, version, base_url, title.as_deref(), update_info.updated_at, update_info.updated.user, &update_info.updated.with],
        )
    })
}

/// Finds an integration that a workspace can see: its own, or a public one.
pub fn find(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: IntegrationId,
) -> Result<Option<Integration>> {
    let sql = format!(
        "SELECT {COLUMNS}, {} FROM integration WHERE id = $1 AND (workspace = $2 OR kind = 'public')",
        update_info::COLUMNS
    );
    conn.query_one(&sql, params![id, workspace], |row| read(row, 0))
}

/// Finds the integration of an API key, by the key's SHA-256 in hex.
pub fn find_by_api_key(conn: &mut Conn, hash: &str) -> Result<Option<Integration>> {
    let sql = format!(
        "SELECT {COLUMNS}, {} FROM integration WHERE api_key_hash = $1",
        update_info::COLUMNS
    );
    conn.query_one(&sql, params![hash], |row| read(row, 0))
}

/// Replaces the API key.
pub fn set_api_key(tx: &mut Tx<'_>, id: IntegrationId, hash: &str) -> Result<()> {
    tx.run(
        "UPDATE integration SET api_key_hash = $2 WHERE id = $1",
        params![id, hash],
    )?;
    Ok(())
}

/// An integration as a workspace sees it: the status of its instance, if it was ever installed, and true if it is
/// installed.
pub type Offered = (Integration, Option<Status>, bool);

/// The condition that a column with the id of an integration is among `own`; empty for all.
pub(crate) fn among(column: &str, own: Option<&[IntegrationId]>) -> String {
    let Some(own) = own else {
        return String::new();
    };
    // Ids need no quoting.
    let ids: Vec<String> = own.iter().map(|id| format!("'{id}'")).collect();
    match ids.as_slice() {
        [] => " AND 1 = 0".to_owned(),
        ids => format!(" AND {column} IN ({})", ids.join(", ")),
    }
}

/// Lists the integrations that a workspace can install, or those among `own`, in the order of creation, with their total
/// number.
pub fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    own: Option<&[IntegrationId]>,
    (offset, limit): (i64, i64),
) -> Result<(i64, Vec<Offered>)> {
    let own = among("i.id", own);
    let count = format!(
        "SELECT count(*) FROM integration i WHERE (i.workspace = $1 OR i.kind = 'public'){own}"
    );
    let count = conn.query_one(&count, params![workspace], |row| row.get(0))?;
    let sql = format!(
        "SELECT {}, {}, n.status, n.installed FROM integration i
         LEFT JOIN instance n ON n.workspace = $1 AND n.integration = i.id
         WHERE (i.workspace = $1 OR i.kind = 'public'){own} ORDER BY i.id LIMIT $2 OFFSET $3",
        of("i", COLUMNS),
        of("i", update_info::COLUMNS)
    );
    let found = conn.query(&sql, params![workspace, limit, offset], |row| {
        let status: Option<String> = row.get(13)?;
        let installed: Option<i64> = row.get(14)?;
        Ok((
            read(row, 0)?,
            status.as_deref().map(status_of).transpose()?,
            installed == Some(1),
        ))
    })?;
    Ok((count.unwrap_or(0), found))
}

/// Prefixes each column with the name of its table.
fn of(table: &str, columns: &str) -> String {
    columns
        .split(", ")
        .map(|column| format!("{table}.{column}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn read(row: &Row<'_>, first: usize) -> Result<Integration> {
    let kind: String = row.get(first + 2)?;
    Ok(Integration {
        id: IntegrationId(row.uuid(first)?),
        workspace: WorkspaceId(row.uuid(first + 1)?),
        kind: Kind::from_name(&kind)
            .ok_or_else(|| Error::corrupt("an integration's kind is invalid"))?,
        name: row.get(first + 3)?,
        version: row.get(first + 4)?,
        base_url: row.get(first + 5)?,
        title: row.get(first + 6)?,
        update_info: update_info::read(row, first + 7)?,
    })
}

fn status_of(text: &str) -> Result<Status> {
    Status::from_name(text).ok_or_else(|| Error::corrupt("an instance's status is invalid"))
}

/// The instance of an integration in a workspace.
#[derive(Clone, Debug)]
pub struct Instance {
    pub workspace: WorkspaceId,
    pub integration: Integration,
    pub installed: bool,
    /// The number of the installation, from 1. It separates the access keys of one installation from those of the
    /// next.
    pub round: i64,
    pub status: Status,
    /// A JSON object.
    pub features: String,
    /// A JSON array.
    pub settings: String,
    /// A JSON array, sealed with the master key.
    pub secrets: Option<Vec<u8>>,
    pub update_info: UpdateInfo,
}

fn instance_sql(tail: &str) -> String {
    format!(
        "SELECT {}, {}, n.installed, n.round, n.status, n.features, n.settings, n.secrets, {}, n.workspace FROM instance n
         JOIN integration i ON i.id = n.integration {tail}",
        of("i", COLUMNS),
        of("i", update_info::COLUMNS),
        of("n", update_info::COLUMNS)
    )
}

pub fn find_instance(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: IntegrationId,
) -> Result<Option<Instance>> {
    let sql = instance_sql("WHERE n.workspace = $1 AND n.integration = $2");
    conn.query_one(&sql, params![workspace, id], read_instance)
}

/// Finds an instance and locks it until the end of the transaction.
pub fn find_instance_for_update(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: IntegrationId,
) -> Result<Option<Instance>> {
    let sql =
        instance_sql("WHERE n.workspace = $1 AND n.integration = $2 /*postgres FOR UPDATE OF n*/");
    tx.conn()?
        .query_one(&sql, params![workspace, id], read_instance)
}

/// The size at which a page ends early, so that big settings cannot exhaust the memory.
const MAX_PAGE_BYTES: usize = 1 << 20;

/// Lists the instances of a workspace, or those among `own`, in the order of their ids, with their total number.
pub fn list_instances(
    conn: &mut Conn,
    workspace: WorkspaceId,
    own: Option<&[IntegrationId]>,
    (offset, limit): (i64, i64),
) -> Result<(i64, Vec<Instance>)> {
    let own = among("n.integration", own);
    let count = format!("SELECT count(*) FROM instance n WHERE n.workspace = $1{own}");
    let count = conn.query_one(&count, params![workspace], |row| row.get(0))?;
    let sql = instance_sql(&format!(
        "WHERE n.workspace = $1{own} ORDER BY n.integration LIMIT $2 OFFSET $3"
    ));
    let size = |one: &Instance| {
        let secrets = one.secrets.as_ref().map_or(0, Vec::len);
        one.features.len() + one.settings.len() + secrets
    };
    let found = conn.query_within(
        &sql,
        params![workspace, limit, offset],
        MAX_PAGE_BYTES,
        size,
        read_instance,
    )?;
    Ok((count.unwrap_or(0), found))
}

/// Lists the workspaces after one in which an integration is installed, in the order of their ids.
pub fn list_installed(
    conn: &mut Conn,
    id: IntegrationId,
    after: &str,
    limit: i64,
) -> Result<Vec<WorkspaceId>> {
    let sql =
        "SELECT workspace FROM instance WHERE integration = $1 AND installed = 1 AND workspace > $2
         ORDER BY workspace LIMIT $3";
    conn.query(sql, params![id, after, limit], |row| {
        Ok(WorkspaceId(row.uuid(0)?))
    })
}

/// Adds an instance, or overwrites all of it except its creator.
pub fn put_instance(tx: &mut Tx<'_>, instance: &Instance) -> Result<()> {
    let Instance {
        workspace,
        integration,
        installed,
        round,
        status,
        features,
        settings,
        secrets,
        update_info,
    } = instance;
    let mut values = params![
        *workspace,
        integration.id,
        *installed,
        *round,
        status.name(),
        features,
        settings,
        secrets.as_deref()
    ]
    .to_vec();
    values.extend(update_info::values(update_info));
    let row = params![*workspace, integration.id];
    let one = "workspace = $1 AND integration = $2";
    usage::change(tx, &usage::INSTANCES, one, row, |tx| {
        tx.run(
        "INSERT INTO instance (workspace, integration, installed, round, status, features, settings, secrets,
           created_at, created_by, created_with, updated_at, updated_by, updated_with)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (workspace, integration) DO UPDATE SET installed = excluded.installed, round = excluded.round,
           status = excluded.status, features = excluded.features, settings = excluded.settings, secrets = excluded.secrets,
           updated_at = excluded.updated_at, updated_by = excluded.updated_by, updated_with = excluded.updated_with",
        &values,
    )
    })
}

fn read_instance(row: &Row<'_>) -> Result<Instance> {
    let status: String = row.get(15)?;
    Ok(Instance {
        integration: read(row, 0)?,
        installed: row.get::<i64>(13)? == 1,
        round: row.get(14)?,
        status: status_of(&status)?,
        features: row.get(16)?,
        settings: row.get(17)?,
        secrets: row.get(18)?,
        update_info: update_info::read(row, 19)?,
        workspace: WorkspaceId(row.uuid(25)?),
    })
}

/// Replaces the keyed hashes of a public integration's secrets, by which the workspace is found. Returns the name of
/// a secret whose value another workspace uses already, if any.
pub fn put_secret_hashes(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: IntegrationId,
    hashes: &[(String, String)],
) -> Result<Option<String>> {
    tx.run(
        "DELETE FROM instance_secret WHERE integration = $1 AND workspace = $2",
        params![id, workspace],
    )?;
    for (name, hash) in hashes {
        let done = tx.execute(
            "INSERT INTO instance_secret (integration, name, hash, workspace) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            params![id, name, hash, workspace],
        )?;
        if done == 0 {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

/// Finds the workspace of a public integration's secret.
pub fn find_by_secret(
    conn: &mut Conn,
    id: IntegrationId,
    name: &str,
    hash: &str,
) -> Result<Option<WorkspaceId>> {
    let sql =
        "SELECT workspace FROM instance_secret WHERE integration = $1 AND name = $2 AND hash = $3";
    conn.query_one(sql, params![id, name, hash], |row| {
        Ok(WorkspaceId(row.uuid(0)?))
    })
}

/// An installation whose access keys are revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revocation {
    pub workspace: WorkspaceId,
    pub integration: IntegrationId,
    pub round: i64,
}

pub fn revoke(tx: &mut Tx<'_>, revocation: Revocation, now: Timestamp) -> Result<()> {
    let Revocation {
        workspace,
        integration,
        round,
    } = revocation;
    tx.run(
        "INSERT INTO revocation (workspace, integration, round, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        params![workspace, integration, round, now],
    )?;
    Ok(())
}

/// Revokes all access keys of a workspace. Returns the installations that had them.
pub fn revoke_all(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    now: Timestamp,
) -> Result<Vec<Revocation>> {
    tx.run(
        "INSERT INTO revocation (workspace, integration, round, at)
         SELECT workspace, integration, round, $2 FROM instance WHERE workspace = $1 ON CONFLICT DO NOTHING",
        params![workspace, now],
    )?;
    let sql = "SELECT integration, round FROM instance WHERE workspace = $1";
    tx.conn()?.query(sql, params![workspace], |row| {
        Ok(Revocation {
            workspace,
            integration: IntegrationId(row.uuid(0)?),
            round: row.get(1)?,
        })
    })
}

/// Lists the revocations at or after `since`.
pub fn list_revoked(conn: &mut Conn, since: Timestamp) -> Result<Vec<Revocation>> {
    conn.query(
        "SELECT workspace, integration, round FROM revocation WHERE at >= $1",
        params![since],
        |row| {
            Ok(Revocation {
                workspace: WorkspaceId(row.uuid(0)?),
                integration: IntegrationId(row.uuid(1)?),
                round: row.get(2)?,
            })
        },
    )
}

/// Deletes revocations of keys that have expired since, at most `limit`.
pub fn forget_revoked(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM revocation WHERE (workspace, integration, round) IN
           (SELECT workspace, integration, round FROM revocation WHERE at < $1 LIMIT $2)",
        params![before, limit],
    )
}
