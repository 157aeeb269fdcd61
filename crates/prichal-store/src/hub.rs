//! Values of the server itself, by name.

use crate::{Conn, Result, Tx, value::params};

pub fn find(conn: &mut Conn, name: &str) -> Result<Option<String>> {
    conn.query_one(
        "SELECT value FROM hub WHERE name = $1",
        params![name],
        |row| row.get(0),
    )
}

/// Sets a value unless there is one. Returns the stored value.
pub fn find_or_put(tx: &mut Tx<'_>, name: &str, value: &str) -> Result<Option<String>> {
    tx.run(
        "INSERT INTO hub (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        params![name, value],
    )?;
    find(tx.conn()?, name)
}

/// Replaces a value if it equals `before`. Returns false if it does not.
pub fn replace(tx: &mut Tx<'_>, name: &str, before: &str, value: &str) -> Result<bool> {
    let done = tx.execute(
        "UPDATE hub SET value = $3 WHERE name = $1 AND value = $2",
        params![name, before, value],
    )?;
    Ok(done == 1)
}

/// Sets a value.
pub fn put(tx: &mut Tx<'_>, name: &str, value: &str) -> Result<()> {
    tx.run(
        "INSERT INTO hub (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name, value],
    )
}
