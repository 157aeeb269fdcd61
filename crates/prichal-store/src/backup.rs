//! Backups of the server, as they were reported: the server makes none itself.

use prichal_core::time::Timestamp;
use uuid::Uuid;

use crate::{Conn, Result, Tx, value::params};

/// The number of reports that are kept, the newest backups first.
pub const MAX_KEPT: i64 = 20;

/// A reported backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    pub id: Uuid,
    /// The time of the state that the backup has.
    pub made_at: Timestamp,
    pub reported_at: Timestamp,
    pub bytes: Option<i64>,
    pub note: Option<String>,
}

/// Notes a backup, and forgets the oldest beyond [`MAX_KEPT`].
pub fn insert(tx: &mut Tx<'_>, backup: &Backup) -> Result<()> {
    let Backup {
        id,
        made_at,
        reported_at,
        bytes,
        note,
    } = backup;
    tx.note_object("backup", *id);
    tx.run(
        "INSERT INTO backup (id, made_at, reported_at, bytes, note) VALUES ($1, $2, $3, $4, $5)",
        params![*id, *made_at, *reported_at, *bytes, note.as_deref()],
    )?;
    tx.run(
        "DELETE FROM backup WHERE id NOT IN (SELECT id FROM backup ORDER BY made_at DESC, id DESC LIMIT $1)",
        params![MAX_KEPT],
    )?;
    Ok(())
}

/// Lists the backups, the newest first.
pub fn list(conn: &mut Conn) -> Result<Vec<Backup>> {
    conn.query(
        "SELECT id, made_at, reported_at, bytes, note FROM backup ORDER BY made_at DESC, id DESC LIMIT $1",
        params![MAX_KEPT],
        |row| {
            Ok(Backup {
                id: row.uuid(0)?,
                made_at: row.time(1)?,
                reported_at: row.time(2)?,
                bytes: row.get(3)?,
                note: row.get(4)?,
            })
        },
    )
}

/// Finds the time of the newest backup.
pub fn last(conn: &mut Conn) -> Result<Option<Timestamp>> {
    let sql = "SELECT max(made_at) FROM backup";
    let found = conn.query_one(sql, &[], |row| row.get::<Option<i64>>(0))?;
    Ok(found.flatten().map(Timestamp::from_micros))
}
