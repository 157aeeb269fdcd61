//! Downloaded revocation lists, OCSP responses and certificates, shared by all workspaces.

use prichal_core::time::Timestamp;

use crate::{
    Conn, Result, Tx,
    value::{Value, params},
};

/// A downloaded item.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The address of the item. For an OCSP response, the address together with the hash of the request.
    pub url: String,
    /// `crl`, `ocsp` or `issuer`.
    pub kind: String,
    pub body: Vec<u8>,
    pub fetched_at: Timestamp,
    /// The time from which the item is useless.
    pub expires_at: Timestamp,
}

pub fn put(tx: &mut Tx<'_>, evidence: &Evidence) -> Result<()> {
    tx.run(
        "INSERT INTO evidence (url, kind, body, fetched_at, expires_at, size) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (url) DO UPDATE SET kind = excluded.kind, body = excluded.body,
           fetched_at = excluded.fetched_at, expires_at = excluded.expires_at, size = excluded.size",
        &[
            Value::from(&evidence.url),
            Value::from(&evidence.kind),
            Value::from(evidence.body.as_slice()),
            evidence.fetched_at.into(),
            evidence.expires_at.into(),
            i64::try_from(evidence.body.len()).unwrap_or(i64::MAX).into(),
        ],
    )?;
    Ok(())
}

/// Finds the item downloaded from an address, unless it has expired.
pub fn find(conn: &mut Conn, url: &str, now: Timestamp) -> Result<Option<Evidence>> {
    conn.query_one(
        "SELECT url, kind, body, fetched_at, expires_at FROM evidence WHERE url = $1 AND expires_at > $2",
        params![url, now],
        |row| {
            Ok(Evidence {
                url: row.get(0)?,
                kind: row.get(1)?,
                body: row.get(2)?,
                fetched_at: row.time(3)?,
                expires_at: row.time(4)?,
            })
        },
    )
}

/// Deletes the oldest items until at most `max_items` are left, with at most `max_bytes` together.
pub fn shrink(tx: &mut Tx<'_>, max_items: i64, max_bytes: i64) -> Result<u64> {
    // PostgreSQL returns a wider type for a sum of BIGINT.
    tx.execute(
        "DELETE FROM evidence WHERE url IN (SELECT url FROM (
           SELECT url, row_number() OVER (ORDER BY fetched_at DESC, url DESC) AS n,
             CAST(sum(size) OVER (ORDER BY fetched_at DESC, url DESC) AS BIGINT) AS bytes FROM evidence) aged
           WHERE n > $1 OR bytes > $2)",
        params![max_items, max_bytes],
    )
}

/// Deletes expired items, at most `limit`.
pub fn forget(tx: &mut Tx<'_>, now: Timestamp, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM evidence WHERE url IN (SELECT url FROM evidence WHERE expires_at <= $1 LIMIT $2)",
        params![now, limit],
    )
}
