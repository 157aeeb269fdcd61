//! Sealed values of any table: found by their prefix, and replaced.

use prichal_core::id::WorkspaceId;
use uuid::Uuid;

use crate::{Conn, Error, Result, Tx, value::Value};

/// A column that holds sealed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    InstanceSecrets,
    ChannelTokens,
    DocumentHookSecrets,
    RunRequest,
    /// A text column: the sealed bytes in base64.
    FirstAnswer,
    WebhookSecrets,
}

impl Column {
    pub const ALL: [Self; 6] = [
        Self::InstanceSecrets,
        Self::ChannelTokens,
        Self::DocumentHookSecrets,
        Self::RunRequest,
        Self::FirstAnswer,
        Self::WebhookSecrets,
    ];

    /// The names of the table and the column, which a sealed value is bound to.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InstanceSecrets => "instance.secrets",
            Self::ChannelTokens => "channel.tokens",
            Self::DocumentHookSecrets => "document_hook.secrets",
            Self::RunRequest => "run.request",
            Self::FirstAnswer => "idempotency.answer",
            Self::WebhookSecrets => "webhook.secrets",
        }
    }

    /// True for a text column.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::FirstAnswer)
    }

    /// The columns of the primary key, beginning with the workspace.
    const fn key(self) -> &'static [&'static str] {
        match self {
            Self::InstanceSecrets => &["workspace", "integration"],
            Self::ChannelTokens | Self::RunRequest => &["workspace", "id"],
            Self::DocumentHookSecrets => &["workspace"],
            Self::FirstAnswer => &["workspace", "path", "key"],
            Self::WebhookSecrets => &["workspace", "integration", "id"],
        }
    }

    fn parts(self) -> (&'static str, &'static str) {
        self.name().split_once('.').unwrap_or_default()
    }

    fn value(self, bytes: &[u8]) -> Result<Value<'_>> {
        Ok(if self.is_text() {
            std::str::from_utf8(bytes).map_err(Error::corrupt)?.into()
        } else {
            bytes.into()
        })
    }
}

/// A sealed value and the key of its row.
#[derive(Clone, Debug)]
pub struct Sealed {
    pub row: Vec<String>,
    pub value: Vec<u8>,
}

impl Sealed {
    pub fn workspace(&self) -> Result<WorkspaceId> {
        let id = self.row.first().and_then(|id| Uuid::try_parse(id).ok());
        id.map(WorkspaceId)
            .ok_or_else(|| Error::corrupt("a row has no workspace"))
    }
}

/// A batch of a table's rows.
#[derive(Debug, Default)]
pub struct Batch {
    /// The values without the wanted prefix.
    pub stale: Vec<Sealed>,
    /// The key of the last row; None at the end of the table.
    pub last: Option<Vec<String>>,
}

/// The size of values at which a batch ends early.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// Reads the next rows of a table in the order of their keys, at most `limit`, and returns the values without
/// `prefix`.
pub fn list(
    conn: &mut Conn,
    column: Column,
    prefix: &[u8],
    after: Option<&[String]>,
    limit: i64,
) -> Result<Batch> {
    let (table, name) = column.parts();
    let key = column.key();
    let mut values = vec![column.value(prefix)?, limit.into()];
    let numbers: Vec<String> = (3..).take(key.len()).map(|n| format!("${n}")).collect();
    let (key, numbers) = (key.join(", "), numbers.join(", "));
    let condition = match after {
        Some(after) => {
            values.extend(after.iter().map(Value::from));
            format!("WHERE ({key}) > ({numbers})")
        }
        None => String::new(),
    };
    let sql = format!(
        "SELECT CASE WHEN substr({name}, 1, {}) = $1 THEN NULL ELSE {name} END, {key}
         FROM {table} {condition} ORDER BY {key} LIMIT $2",
        prefix.len()
    );
    let mut stretch = Batch::default();
    let (mut bytes, mut rows) = (0, 0);
    conn.scan(&sql, &values, &mut |found| {
        let row = (1..=column.key().len()).map(|column| found.get(column));
        let row = row.collect::<Result<Vec<String>>>()?;
        rows += 1;
        stretch.last = Some(row.clone());
        let value = if column.is_text() {
            found.get::<Option<String>>(0)?.map(String::into_bytes)
        } else {
            found.get::<Option<Vec<u8>>>(0)?
        };
        if let Some(value) = value {
            bytes += value.len();
            stretch.stale.push(Sealed { row, value });
        }
        Ok(bytes < MAX_BATCH_BYTES)
    })?;
    if bytes < MAX_BATCH_BYTES && rows < limit {
        stretch.last = None;
    }
    Ok(stretch)
}

/// Replaces a sealed value. Returns false if the row has changed meanwhile.
pub fn replace(tx: &mut Tx<'_>, column: Column, old: &Sealed, new: &[u8]) -> Result<bool> {
    let (table, name) = column.parts();
    let conditions: Vec<String> = (3..)
        .zip(column.key())
        .map(|(n, key)| format!("{key} = ${n}"))
        .collect();
    let sql = format!(
        "UPDATE {table} SET {name} = $1 WHERE {name} = $2 AND {}",
        conditions.join(" AND ")
    );
    let mut values = vec![column.value(new)?, column.value(&old.value)?];
    values.extend(old.row.iter().map(Value::from));
    Ok(tx.execute(&sql, &values)? == 1)
}
