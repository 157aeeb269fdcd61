//! Settings of the user interface: for one user, one group, or the whole workspace.

use prichal_core::{id::WorkspaceId, update_info::UpdateInfo};
use uuid::Uuid;

use crate::{Conn, Result, Row, Tx, update_info, value::params};

#[derive(Clone, Debug)]
pub struct UiSetting {
    pub id: Uuid,
    pub key: String,
    /// The user or the group that the setting applies to. Without both it applies to the workspace.
    pub user: Option<Uuid>,
    pub group: Option<Uuid>,
    pub value: String,
    pub update_info: UpdateInfo,
}

const COLUMNS: &str = "id, key, user_id, group_id, value";

/// Sets a value. An existing setting keeps its id and creator.
pub fn put(tx: &mut Tx<'_>, workspace: WorkspaceId, setting: &UiSetting) -> Result<()> {
    let UiSetting {
        id,
        key,
        user,
        group,
        value,
        update_info,
    } = setting;
    let mut values = params![workspace, *id, key, text(*user), text(*group), value].to_vec();
    values.extend(update_info::values(update_info));
    tx.run(
        "INSERT INTO ui_setting (workspace, id, key, user_id, group_id, value, created_at, created_by, created_with, updated_at, updated_by, updated_with)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (workspace, key, user_id, group_id) DO UPDATE SET value = excluded.value,
           updated_at = excluded.updated_at, updated_by = excluded.updated_by, updated_with = excluded.updated_with",
        &values,
    )?;
    Ok(())
}

/// Lists every value of a key, beginning with the workspace's own.
pub fn list(conn: &mut Conn, workspace: WorkspaceId, key: &str) -> Result<Vec<UiSetting>> {
    let sql = format!(
        "SELECT {COLUMNS}, {} FROM ui_setting WHERE workspace = $1 AND key = $2 ORDER BY user_id, group_id LIMIT 10000",
        update_info::COLUMNS
    );
    conn.query(&sql, params![workspace, key], read)
}

/// Finds a setting by its own id.
pub fn find(conn: &mut Conn, workspace: WorkspaceId, id: Uuid) -> Result<Option<UiSetting>> {
    let sql = format!(
        "SELECT {COLUMNS}, {} FROM ui_setting WHERE workspace = $1 AND id = $2",
        update_info::COLUMNS
    );
    conn.query_one(&sql, params![workspace, id], read)
}

/// Stores an absent user or group as an empty text, because key columns cannot be null.
fn text(id: Option<Uuid>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn read(row: &Row<'_>) -> Result<UiSetting> {
    let (user, group): (String, String) = (row.get(2)?, row.get(3)?);
    Ok(UiSetting {
        id: row.uuid(0)?,
        key: row.get(1)?,
        user: Uuid::try_parse(&user).ok(),
        group: Uuid::try_parse(&group).ok(),
        value: row.get(4)?,
        update_info: update_info::read(row, 5)?,
    })
}
