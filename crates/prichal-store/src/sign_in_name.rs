//! The names by which a sign-in finds a user of a workspace. They are written with the user.

use prichal_core::{
    entity::sign_in_names,
    id::{UserId, WorkspaceId},
};

use crate::{Conn, Result, Tx, entity::Entity, insert::Insert, value::params};

static NAME: Insert = Insert::new("sign_in_name", &["workspace", "name", "user_id"]);

/// Adds the names of a user who was inserted in this transaction.
pub(crate) fn insert(tx: &mut Tx<'_>, user: &Entity) {
    for name in sign_in_names(&user.members) {
        tx.insert(&NAME, params![user.workspace, name, user.id].to_vec());
    }
}

/// Sets the names of a user who has changed. A deleted one has none.
pub(crate) fn put(tx: &mut Tx<'_>, user: &Entity) -> Result<()> {
    let names = match user.deleted_at {
        None => sign_in_names(&user.members),
        Some(_) => Vec::new(),
    };
    let (workspace, id) = (user.workspace, user.id);
    let sql = "SELECT name FROM sign_in_name WHERE workspace = $1 AND user_id = $2";
    let known: Vec<String> = tx
        .conn()?
        .query(sql, params![workspace, id], |row| row.get(0))?;
    for gone in known.iter().filter(|name| !names.contains(name)) {
        tx.run(
            "DELETE FROM sign_in_name WHERE workspace = $1 AND name = $2 AND user_id = $3",
            params![workspace, gone, id],
        )?;
    }
    for name in names.iter().filter(|name| !known.contains(name)) {
        tx.run(
            "INSERT INTO sign_in_name (workspace, name, user_id) VALUES ($1, $2, $3)",
            params![workspace, name, id],
        )?;
    }
    Ok(())
}

/// Finds the user with one of these names, of several the one who was created first.
pub fn find(conn: &mut Conn, workspace: WorkspaceId, names: &[String]) -> Result<Option<UserId>> {
    let sql = "SELECT user_id FROM sign_in_name WHERE workspace = $1 AND name = $2 ORDER BY user_id LIMIT 1";
    let mut first = None;
    for name in names {
        let found = conn.query_one(sql, params![workspace, name], |row| row.uuid(0))?;
        first = match (first, found) {
            (Some(one), Some(other)) => Some(std::cmp::min(one, other)),
            (one, other) => one.or(other),
        };
    }
    Ok(first.map(UserId))
}
