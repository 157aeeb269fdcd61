//! Workspaces.

use prichal_core::{id::WorkspaceId, time::Timestamp};

use uuid::Uuid;

use crate::{Conn, Result, Row, Tx, value::params};

#[derive(Clone, Debug)]
pub struct Workspace {
    pub id: WorkspaceId,
    pub name: String,
    pub title: Option<String>,
    /// The company's business identification number, 12 digits.
    pub bin: Option<String>,
    pub company_name: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "id, name, title, bin, company_name, created_at, updated_at";

/// Adds a workspace. Returns false if its name or its BIN is taken.
pub fn insert(tx: &mut Tx<'_>, workspace: &Workspace) -> Result<bool> {
    let sql = format!(
        "INSERT INTO workspace ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"
    );
    let Workspace {
        id,
        name,
        title,
        bin,
        company_name,
        created_at,
        updated_at,
    } = workspace;
    tx.note_object("workspace", id.0);
    let (title, bin, company_name) = (title.as_deref(), bin.as_deref(), company_name.as_deref());
    Ok(tx.execute(
        &sql,
        params![
            *id,
            name,
            title,
            bin,
            company_name,
            *created_at,
            *updated_at
        ],
    )? == 1)
}

/// Finds a workspace by name or id, unless it is deleted.
pub fn find(conn: &mut Conn, name_or_id: &str) -> Result<Option<Workspace>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM workspace WHERE (name = $1 OR id = $1) AND deleted_at IS NULL"
    );
    conn.query_one(&sql, params![name_or_id], read)
}

/// Finds the company with this BIN.
pub fn find_by_bin(conn: &mut Conn, bin: &str) -> Result<Option<Workspace>> {
    let sql = format!("SELECT {COLUMNS} FROM workspace WHERE bin = $1 AND deleted_at IS NULL");
    conn.query_one(&sql, params![bin], read)
}

/// Returns the id reserved for a company that has no workspace yet. Documents and their routes use this id, and the
/// company's workspace receives it on creation. The id of a deleted workspace is not used again.
pub fn awaited_id(conn: &mut Conn, bin: &str) -> Result<WorkspaceId> {
    // A UUID of version 8, which has free contents: the BIN, and the number of earlier workspaces with it.
    const FRAME: u128 = 0x7072_6963_6861_8000_8000_0000_0000_0000;
    let number = bin.parse::<u64>().unwrap_or(0);
    let mut earlier: u128 = 0;
    loop {
        let id = WorkspaceId(Uuid::from_u128(
            FRAME | earlier << 40 | u128::from(number) & 0xff_ffff_ffff,
        ));
        let sql = "SELECT 1 FROM workspace WHERE id = $1";
        let taken = conn.query_one(sql, params![id], |row| row.get::<i32>(0))?;
        if taken.is_none() {
            return Ok(id);
        }
        earlier += 1;
    }
}

/// Tells if a workspace with this name or id was deleted.
pub fn was_deleted(conn: &mut Conn, name_or_id: &str) -> Result<bool> {
    let sql =
        "SELECT 1 FROM workspace WHERE (name = $1 OR id = $1) AND deleted_at IS NOT NULL LIMIT 1";
    Ok(conn
        .query_one(sql, params![name_or_id], |row| row.get::<i32>(0))?
        .is_some())
}

/// Lists a page of workspaces in the order of creation, with their total number.
pub fn list(conn: &mut Conn, offset: i64, limit: i64) -> Result<(i64, Vec<Workspace>)> {
    let count = conn.query_one(
        "SELECT count(*) FROM workspace WHERE deleted_at IS NULL",
        &[],
        |row| row.get(0),
    )?;
    let sql = format!(
        "SELECT {COLUMNS} FROM workspace WHERE deleted_at IS NULL ORDER BY id LIMIT $1 OFFSET $2"
    );
    Ok((
        count.unwrap_or(0),
        conn.query(&sql, params![limit, offset], read)?,
    ))
}

/// Deletes a workspace: its tokens become invalid and its hooks stop. [`clear`] removes the rest of its rows. Returns
/// false if there is no such workspace.
pub fn delete(tx: &mut Tx<'_>, id: WorkspaceId, now: Timestamp) -> Result<bool> {
    let gone = tx.execute(
        "UPDATE workspace SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL",
        params![id, now],
    )?;
    for table in [
        "token",
        "login_link",
        "webhook",
        "document_hook",
        "signature_policy",
    ] {
        let sql = format!("DELETE FROM {table} WHERE workspace = $1");
        tx.run(&sql, params![id])?;
    }
    Ok(gone == 1)
}

/// The tables whose rows are removed with a workspace, and the columns that identify a row. Tables whose rows cause
/// work come first. Documents stay, because other companies share them. Retention removes blobs without a row.
const OWN: [(&str, &str); 25] = [
    ("run", "id"),
    ("mail_notice", "id"),
    ("mail_digest", "workspace"),
    ("mail", "id"),
    ("resource", "kind, id"),
    ("script_version", "script, number"),
    ("channel", "id"),
    ("socket", "channel, id"),
    ("bulk", "id"),
    ("deferred", "integration, webhook, lane, seq"),
    ("replay", "integration, webhook, id"),
    ("document_link", "id"),
    ("kv", "channel, key"),
    ("attempt", "integration, id"),
    ("delivery_quarter", "integration, webhook, quarter"),
    ("delivery_last", "integration, webhook"),
    ("delivery", "integration, id"),
    ("dead_letter", "integration, webhook, seq"),
    ("resend_event", "resend, integration, webhook, seq"),
    ("resend", "id"),
    ("alert", "id"),
    ("alert_setting", "workspace"),
    ("certificate", "holder"),
    ("instance_secret", "integration, name, hash"),
    ("file", "id"),
];

/// Removes at most `limit` rows of a deleted workspace. Returns false if none are left.
pub fn clear(tx: &mut Tx<'_>, id: WorkspaceId, limit: i64) -> Result<bool> {
    for (table, key) in OWN {
        let sql = format!(
            "DELETE FROM {table} WHERE workspace = $1 AND ({key}) IN (SELECT {key} FROM {table} WHERE workspace = $1 LIMIT $2)"
        );
        if tx.execute(&sql, params![id, limit])? > 0 {
            return Ok(true);
        }
    }
    // The quarantine has few rows of a workspace, so all are deleted at once.
    let sql = "DELETE FROM quarantine WHERE workspace = $1";
    Ok(tx.execute(sql, params![id])? > 0)
}

fn read(row: &Row<'_>) -> Result<Workspace> {
    Ok(Workspace {
        id: WorkspaceId(row.uuid(0)?),
        name: row.get(1)?,
        title: row.get(2)?,
        bin: row.get(3)?,
        company_name: row.get(4)?,
        created_at: row.time(5)?,
        updated_at: row.time(6)?,
    })
}
