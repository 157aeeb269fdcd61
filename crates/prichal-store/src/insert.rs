//! Deferred inserts. Rows of a table are collected and written many at a time: one statement, and on PostgreSQL one
//! round trip, for all the rows of a batch.

use std::{collections::HashMap, sync::Mutex};

use crate::{Conn, Result, Tx, value::Value};

/// The largest number of rows of a statement. Row counts are rounded down to powers of two, to keep the number of
/// prepared statements low.
const MAX_ROWS: usize = 64;

/// The name of a table and the columns that are filled in. Each table has one.
pub(crate) struct Insert {
    pub(crate) table: &'static str,
    pub(crate) columns: &'static [&'static str],
    /// The end of each statement.
    tail: &'static str,
    texts: Mutex<Option<HashMap<usize, &'static str>>>,
}

/// A row that is not written yet.
pub(crate) struct Pending {
    pub(crate) insert: &'static Insert,
    pub(crate) values: Vec<Value<'static>>,
}

impl Insert {
    pub(crate) const fn new(table: &'static str, columns: &'static [&'static str]) -> Self {
        Self::with_tail(table, columns, "")
    }

    /// An insert with words after its rows.
    pub(crate) const fn with_tail(
        table: &'static str,
        columns: &'static [&'static str],
        tail: &'static str,
    ) -> Self {
        Self {
            table,
            columns,
            tail,
            texts: Mutex::new(None),
        }
    }

    /// Returns the statement for `rows` rows. A table has a statement for each power of two.
    pub(crate) fn text(&self, rows: usize) -> &'static str {
        let mut texts = self
            .texts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        texts
            .get_or_insert_default()
            .entry(rows)
            .or_insert_with(|| Box::leak(self.make(rows).into_boxed_str()))
    }

    fn make(&self, rows: usize) -> String {
        let width = self.columns.len();
        let row = |r: usize| {
            let marks: Vec<String> = (1..=width).map(|c| format!("${}", r * width + c)).collect();
            format!("({})", marks.join(", "))
        };
        let rows: Vec<String> = (0..rows).map(row).collect();
        format!(
            "INSERT INTO {} ({}) VALUES {}{}",
            self.table,
            self.columns.join(", "),
            rows.join(", "),
            self.tail
        )
    }
}

/// Writes the rows. The rows of a table keep their order.
pub(crate) fn write(conn: &mut Conn, pending: Vec<Pending>) -> Result<()> {
    let mut tables: Vec<(&'static Insert, Vec<Vec<Value<'static>>>)> = Vec::new();
    for Pending { insert, values } in pending {
        match tables
            .iter_mut()
            .find(|(known, _)| std::ptr::eq(*known, insert))
        {
            Some((_, rows)) => rows.push(values),
            None => tables.push((insert, vec![values])),
        }
    }
    for (insert, rows) in tables {
        write_rows(conn, insert, rows)?;
    }
    Ok(())
}

/// Writes rows of one table.
pub(crate) fn write_rows(
    conn: &mut Conn,
    insert: &Insert,
    rows: Vec<Vec<Value<'static>>>,
) -> Result<()> {
    for (text, values) in statements(insert, rows) {
        conn.run_owned(text, values)?;
    }
    Ok(())
}

/// Writes the rows of a table that are new, if the statement ends with `ON CONFLICT DO NOTHING`. Returns their number.
pub(crate) fn write_new_rows(
    tx: &mut Tx<'_>,
    insert: &Insert,
    rows: Vec<Vec<Value<'static>>>,
) -> Result<u64> {
    let mut written = 0;
    for (text, values) in statements(insert, rows) {
        written += tx.execute(text, &values)?;
    }
    Ok(written)
}

/// The statements that write rows of one table, with their values.
fn statements(
    insert: &Insert,
    rows: Vec<Vec<Value<'static>>>,
) -> impl Iterator<Item = (&'static str, Vec<Value<'static>>)> {
    let mut left = rows.into_iter();
    std::iter::from_fn(move || {
        let count = 1 << left.len().min(MAX_ROWS).checked_ilog2()?;
        let values = left.by_ref().take(count).flatten().collect();
        Some((insert.text(count), values))
    })
}
