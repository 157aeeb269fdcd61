//! Settings of the user interface: for one user, one group, or the whole workspace.

use prichal_core::{id::WorkspaceId, update_info::UpdateInfo};
use uuid::Uuid;

use crate::{Conn, Result, Row, Tx, update_info, usage, value::params};

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
    let row = params![workspace, key, text(*user), text(*group)];
    let write = |tx: &mut Tx<'_>| {
        tx.run(
        "INSERT INTO ui_setting (workspace, id, key, user_id, group_id, value, created_at, created_by, created_with, updated_at, updated_by, updated_with)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (workspace, key, user_id, group_id) DO UPDATE SET value = excluded.value,
           updated_at = excluded.updated_at, updated_by = excluded.updated_by, updated_with = excluded.updated_with",
        &values,
    )
    };
    usage::change(tx, &usage::UI_SETTINGS, PLACE, row, write)
}

const PLACE: &str = "workspace = $1 AND key = $2 AND user_id = $3 AND group_id = $4";

/// The value of a key for one user, for one group or, without either, for the workspace.
pub fn find_at(
    conn: &mut Conn,
    workspace: WorkspaceId,
    key: &str,
    user: Option<Uuid>,
    group: Option<Uuid>,
) -> Result<Option<UiSetting>> {
    let sql = format!(
        "SELECT {COLUMNS}, {} FROM ui_setting WHERE {PLACE}",
        update_info::COLUMNS
    );
    conn.query_one(&sql, params![workspace, key, text(user), text(group)], read)
}

/// Lists the values of a key that may apply to a user of a group: the user's own, the group's and the workspace's.
pub fn list_for(
    conn: &mut Conn,
    workspace: WorkspaceId,
    key: &str,
    user: Option<Uuid>,
    group: Option<Uuid>,
) -> Result<Vec<UiSetting>> {
    let own = user.map(|user| (Some(user), None));
    let shared = group.map(|group| (None, Some(group)));
    let places = own.into_iter().chain(shared).chain([(None, None)]);
    let found = places.map(|(user, group)| find_at(conn, workspace, key, user, group));
    found.filter_map(Result::transpose).collect()
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
