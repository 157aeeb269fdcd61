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
    include_str!("../migrations/0034_audit.sql"),
    include_str!("../migrations/0035_retention.sql"),
    include_str!("../migrations/0036_delivery_log_rows.sql"),
    include_str!("../migrations/0037_script_versions.sql"),
    include_str!("../migrations/0038_backups.sql"),
    include_str!("../migrations/0039_event_removal.sql"),
    include_str!("../migrations/0040_recordings.sql"),
    include_str!("../migrations/0041_sign_in_names.sql"),
    include_str!("../migrations/0042_named_events.sql"),
    include_str!("../migrations/0043_missed_calls.sql"),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A database as it was before the migration with a word in it.
    fn before(word: &str) -> Conn {
        let db = rusqlite::Connection::open_in_memory().expect("a database");
        let mut conn = Conn::sqlite(db);
        let mut run_sql = |sql: &str| conn.batch(sql).expect("it runs");
        let count = MIGRATIONS.iter().position(|sql| sql.contains(word));
        let count = count.expect("the migration");
        run_sql("CREATE TABLE migration (version BIGINT PRIMARY KEY)");
        for (version, sql) in (1..).zip(&MIGRATIONS[..count]) {
            run_sql(sql);
            run_sql(&format!("INSERT INTO migration VALUES ({version})"));
        }
        conn
    }

    #[test]
    fn users_from_before_are_found_by_their_names() {
        let mut conn = before("sign_in_name");
        for (id, kind, deleted_at, members) in [
            (
                "1",
                "user",
                "NULL",
                r#"{"login":"Ada","email":"Ada@Acme.example"}"#,
            ),
            ("2", "user", "NULL", r#"{"login":"bob","email":""}"#),
            ("3", "user", "NULL", r#"{"login":"a\u0000b","email":"c@d"}"#),
            ("4", "user", "9", r#"{"login":"gone","email":"gone@d"}"#),
            ("5", "user", "NULL", r#"{"name":"nobody"}"#),
            ("6", "contact", "NULL", r#"{"email":"contact@d"}"#),
        ] {
            let sql = format!(
                "INSERT INTO entity VALUES ('w', '{kind}', '{id}', '{members}', 1, NULL, 'x', 1, NULL, 'x', {deleted_at})"
            );
            conn.batch(&sql).expect("an entity");
        }
        run(&mut conn).expect("migrated");
        let sql =
            "SELECT name || ' ' || user_id FROM sign_in_name WHERE workspace = 'w' ORDER BY name";
        let found = conn.query(sql, &[], |row| row.get::<String>(0));
        let expected = ["email:ada@acme.example 1", "login:Ada 1", "login:bob 2"];
        assert_eq!(found.expect("the rows"), expected);
    }

    #[test]
    fn the_delivery_log_moves_into_a_rowid_table() {
        let mut conn = before("delivery_before");
        for id in 1..=3 {
            let sql = format!(
                "INSERT INTO delivery VALUES ('w', 'i{id}', '{id}', 'h', {id} / 3, 1, 2, 3, 4, 5, 6, 'heads {id}', 'details')"
            );
            conn.batch(&sql).expect("it runs");
        }
        run(&mut conn).expect("migrated");
        // Only rowid tables have this column.
        let sql = "SELECT heads || rowid FROM delivery WHERE workspace = 'w' ORDER BY id DESC";
        let found = conn.query(sql, &[], |row| row.get::<String>(0));
        let found = found.expect("the rows");
        assert_eq!(found, ["heads 33", "heads 22", "heads 11"]);
        let sql = "SELECT name FROM sqlite_master WHERE name LIKE '%delivery_before%' OR tbl_name = 'delivery' ORDER BY name";
        let names = conn.query(sql, &[], |row| row.get::<String>(0));
        let expected = [
            "delivery",
            "delivery_failed",
            "delivery_failed_of",
            "delivery_newest",
            "sqlite_autoindex_delivery_1",
        ];
        assert_eq!(names.expect("the names"), expected);
    }
}
