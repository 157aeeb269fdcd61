//! Schema migrations. A migration only adds: a new table, a new column, a new index.

use crate::{Conn, Engine, Error, Result, value::params};

const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_hub.sql"),
    include_str!("../migrations/0002_telephony.sql"),
    include_str!("../migrations/0003_channels.sql"),
    include_str!("../migrations/0004_scripts.sql"),
    include_str!("../migrations/0005_documents.sql"),
    include_str!("../migrations/0006_document_uses.sql"),
    include_str!("../migrations/0007_evidence_size.sql"),
    include_str!("../migrations/0008_quarantine.sql"),
    include_str!("../migrations/0009_live_ticket.sql"),
    include_str!("../migrations/0010_calls.sql"),
    include_str!("../migrations/0011_signature_proof.sql"),
    include_str!("../migrations/0012_rotation.sql"),
    include_str!("../migrations/0013_usage.sql"),
    include_str!("../migrations/0016_walks.sql"),
    include_str!("../migrations/0017_records.sql"),
    include_str!("../migrations/0018_tokens_of_deleted_users.sql"),
    include_str!("../migrations/0019_signature_brief.sql"),
    include_str!("../migrations/0020_deleted.sql"),
    include_str!("../migrations/0021_webhook_secrets.sql"),
    include_str!("../migrations/0022_event_types.sql"),
    include_str!("../migrations/0023_published_events.sql"),
    include_str!("../migrations/0024_stream_ticket.sql"),
    include_str!("../migrations/0025_delivery_stats.sql"),
    include_str!("../migrations/0026_delivery_log.sql"),
    include_str!("../migrations/0027_resend.sql"),
    include_str!("../migrations/0028_alerts.sql"),
    include_str!("../migrations/0029_mail.sql"),
    include_str!("../migrations/0030_certificates.sql"),
    include_str!("../migrations/0031_lookups.sql"),
    include_str!("../migrations/0032_sessions.sql"),
    include_str!("../migrations/0033_node.sql"),
    include_str!("../migrations/0038_script_versions.sql"),
];

/// Fails if a newer Prichal has migrated the tables. Changes nothing.
pub(crate) fn check(conn: &mut Conn) -> Result<()> {
    let is_there = conn.query_one(
        match conn.engine() {
            Engine::Sqlite => "SELECT 1 FROM sqlite_master WHERE name = 'migration'",
            Engine::Postgres => "SELECT 1 WHERE to_regclass('migration') IS NOT NULL",
        },
        &[],
        |row| row.get::<i64>(0),
    )?;
    if is_there.is_some() {
        version(conn)?;
    }
    Ok(())
}

/// Reads the version of the tables. Fails if it is newer than this Prichal.
fn version(conn: &mut Conn) -> Result<i64> {
    let sql = "SELECT coalesce(max(version), 0) FROM migration";
    let found = conn.query_one(sql, &[], |row| row.get(0))?.unwrap_or(0);
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(Error::Newer { found, known });
    }
    Ok(found)
}

pub(crate) fn run(conn: &mut Conn) -> Result<()> {
    conn.batch(match conn.engine() {
        Engine::Sqlite => "BEGIN IMMEDIATE",
        // An advisory lock, because nodes may start at the same time.
        Engine::Postgres => "BEGIN; SELECT pg_advisory_xact_lock(8114712230175)",
    })?;
    conn.batch("CREATE TABLE IF NOT EXISTS migration (version BIGINT PRIMARY KEY)")?;
    let found = match version(conn) {
        Ok(found) => found,
        Err(error) => {
            conn.batch("ROLLBACK")?;
            return Err(error);
        }
    };
    for (version, sql) in (1i64..).zip(MIGRATIONS) {
        if version > found {
            conn.batch(sql)?;
            conn.execute(
                "INSERT INTO migration (version) VALUES ($1)",
                params![version],
            )?;
        }
    }
    conn.batch("COMMIT")
}
