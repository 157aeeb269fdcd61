//! Parameters of statements and columns of rows. Columns are `TEXT`, `BIGINT` and `BYTEA` on both engines, so a value
//! is one of three kinds or null.

use std::borrow::Cow;

use tokio_postgres::types::{IsNull, ToSql, Type, private::BytesMut};
use uuid::Uuid;

use crate::{Error, Result};

/// One parameter of a statement.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Text(Cow<'a, str>),
    Blob(Cow<'a, [u8]>),
}

impl Value<'_> {
    /// The size in bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Value::Null => 0,
            Value::Int(_) => 8,
            Value::Text(text) => text.len() as u64,
            Value::Blob(blob) => blob.len() as u64,
        }
    }

    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Int(value) => Value::Int(value),
            Value::Text(value) => Value::Text(Cow::Owned(value.into_owned())),
            Value::Blob(value) => Value::Blob(Cow::Owned(value.into_owned())),
        }
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Int(i64::from(value))
    }
}

impl From<prichal_core::time::Timestamp> for Value<'_> {
    fn from(value: prichal_core::time::Timestamp) -> Self {
        Value::Int(value.micros())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Text(Cow::Borrowed(value))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Value::Text(Cow::Borrowed(value))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Value::Text(Cow::Owned(value))
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Value::Blob(Cow::Borrowed(value))
    }
}

impl From<Uuid> for Value<'_> {
    fn from(value: Uuid) -> Self {
        Value::Text(Cow::Owned(value.hyphenated().to_string()))
    }
}

macro_rules! from_ids {
    ($($id:ident)*) => {$(
        impl From<prichal_core::id::$id> for Value<'_> {
            fn from(value: prichal_core::id::$id) -> Self {
                value.0.into()
            }
        }
    )*};
}

from_ids!(WorkspaceId UserId TokenId IntegrationId WebhookId EventId EntityId FileId RunId);

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// Builds the parameters of a statement, in the order of `$1`, `$2`, …
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::value::Value::from($value)),*] };
}
pub(crate) use params;

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(value) if *ty == Type::INT4 => i32::try_from(*value)?.to_sql(ty, out),
            Value::Int(value) => value.to_sql(ty, out),
            Value::Text(value) => value.to_sql(ty, out),
            Value::Blob(value) => value.as_ref().to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::INT4 | Type::INT8 | Type::TEXT | Type::VARCHAR | Type::BYTEA
        )
    }

    tokio_postgres::types::to_sql_checked!();
}

/// One row of an answer. Columns are numbered from 0.
pub enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl Row<'_> {
    pub fn get<T: Column>(&self, column: usize) -> Result<T> {
        match self {
            Row::Sqlite(row) => row.get(column).map_err(Error::from),
            Row::Postgres(row) => row.try_get(column).map_err(Error::from),
        }
    }

    /// Reads a UUID stored as text.
    pub fn uuid(&self, column: usize) -> Result<Uuid> {
        let text: String = self.get(column)?;
        Uuid::try_parse(&text).map_err(Error::corrupt)
    }

    /// Reads a UUID stored as text, or null.
    pub fn maybe_uuid(&self, column: usize) -> Result<Option<Uuid>> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| Uuid::try_parse(&text).map_err(Error::corrupt))
            .transpose()
    }

    /// Reads a time stored as microseconds.
    pub fn time(&self, column: usize) -> Result<prichal_core::time::Timestamp> {
        self.get(column)
            .map(prichal_core::time::Timestamp::from_micros)
    }
}

/// The types that a column can be read as.
pub trait Column: rusqlite::types::FromSql + for<'a> tokio_postgres::types::FromSql<'a> {}
impl<T: rusqlite::types::FromSql + for<'a> tokio_postgres::types::FromSql<'a>> Column for T {}
