//! Rows that are held back and written many at a time: one statement, and on PostgreSQL one round
//! trip, for all the rows of a batch.

use std::{collections::HashMap, sync::Mutex};

use crate::{Conn, Result, value::Value};

/// Rows a statement carries at the most. Counts are rounded down to powers of two, so that few
/// different statements have to be prepared.
const MOST: usize = 64;

/// A table's name and the columns that are filled in, each table once.
pub(crate) struct Insert {
    pub(crate) table: &'static str,
    pub(crate) columns: &'static [&'static str],
    texts: Mutex<Option<HashMap<usize, &'static str>>>,
}

/// One row that waits.
pub(crate) struct Pending {
    pub(crate) insert: &'static Insert,
    pub(crate) values: Vec<Value<'static>>,
}

impl Insert {
    pub(crate) const fn new(table: &'static str, columns: &'static [&'static str]) -> Self {
        Self {
            table,
            columns,
            texts: Mutex::new(None),
        }
    }

    /// The statement for `rows` rows. At most seven are ever made for a table.
    fn text(&self, rows: usize) -> &'static str {
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
            "INSERT INTO {} ({}) VALUES {}",
            self.table,
            self.columns.join(", "),
            rows.join(", ")
        )
    }
}

/// Writes the rows, each table's in their order.
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
        let count = 1 << left.len().min(MOST).ilog2();
        let values: Vec<Value<'static>> = left.by_ref().take(count).flatten().collect();
        conn.run_owned(insert.text(count), values)?;
    }
    Ok(())
}
