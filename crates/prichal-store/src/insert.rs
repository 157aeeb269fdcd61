//! Deferred inserts. Rows of a table are collected and written many at a time: one statement, and on PostgreSQL one
//! round trip, for all the rows of a batch.

use std::{collections::HashMap, sync::Mutex};

use crate::{Conn, Result, value::Value};

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
    mut rows: Vec<Vec<Value<'static>>>,
) -> Result<()> {
    let mut left = rows.drain(..);
    while left.len() > 0 {
        let count = 1 << left.len().min(MAX_ROWS).ilog2();
        let values: Vec<Value<'static>> = left.by_ref().take(count).flatten().collect();
        conn.run_owned(insert.text(count), values)?;
    }
    Ok(())
}
