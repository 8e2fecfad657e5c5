//! The texts of statements.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::shape::{Operation, Shape};
use crate::sql::quoted;

/// Rows in one statement: a few fixed sizes, so that the cache of prepared statements holds them all.
pub(super) const SIZES: [usize; 3] = [50, 10, 1];

/// Statement texts by shape and number of rows.
#[derive(Default)]
pub(super) struct Texts(HashMap<(u16, usize), Arc<str>>);

impl Texts {
    pub(super) fn of(&mut self, shape: &Shape, rows: usize) -> Arc<str> {
        let text = self.0.entry((shape.id(), rows)).or_insert_with(|| text(shape, rows).into());
        Arc::clone(text)
    }
}

/// How many of `rows` rows of a shape the next statement takes.
pub(super) fn size(shape: &Shape, rows: usize, max_parameters: usize) -> usize {
    let many = matches!(
        shape.target().operation(),
        Operation::Insert | Operation::InsertNew | Operation::Upsert { .. }
    );
    let fits = |size: &usize| *size <= rows && *size * shape.columns().len() <= max_parameters;
    if many { SIZES.into_iter().find(fits).unwrap_or(1) } else { 1 }
}

fn text(shape: &Shape, rows: usize) -> String {
    let table = quoted(shape.target().table());
    let columns: Vec<String> = shape.columns().iter().map(|column| quoted(column)).collect();
    let is_key = |position: usize| shape.key().contains(&position);
    let equals = |positions: &mut dyn Iterator<Item = usize>, between: &str| {
        let parts: Vec<_> =
            positions.map(|position| format!("{}=?{}", columns[position], position + 1)).collect();
        parts.join(between)
    };
    match shape.target().operation() {
        Operation::Insert => values(&table, &columns, rows),
        Operation::InsertNew => values(&table, &columns, rows) + " ON CONFLICT DO NOTHING",
        Operation::Upsert { newest_by, .. } => {
            let mut sql = values(&table, &columns, rows);
            let key: Vec<_> =
                shape.key().iter().map(|&position| columns[position].as_str()).collect();
            let _ = write!(sql, " ON CONFLICT({}) DO ", key.join(","));
            let set: Vec<_> = (0..columns.len())
                .filter(|&position| !is_key(position))
                .map(|position| format!("{0}=excluded.{0}", columns[position]))
                .collect();
            if set.is_empty() {
                sql.push_str("NOTHING");
                return sql;
            }
            let _ = write!(sql, "UPDATE SET {}", set.join(","));
            if let Some(newest) = newest_by {
                let newest = quoted(newest);
                let _ = write!(
                    sql,
                    " WHERE {table}.{newest} IS NULL OR excluded.{newest}>={table}.{newest}"
                );
            }
            sql
        }
        Operation::Update { .. } => {
            let set = equals(&mut (0..columns.len()).filter(|&position| !is_key(position)), ",");
            let key = equals(&mut shape.key().iter().copied(), " AND ");
            format!("UPDATE {table} SET {set} WHERE {key}")
        }
        Operation::Delete { .. } => {
            format!(
                "DELETE FROM {table} WHERE {}",
                equals(&mut shape.key().iter().copied(), " AND ")
            )
        }
        Operation::Statement { sql } => sql.clone(),
        Operation::Execute => String::new(),
    }
}

fn values(table: &str, columns: &[String], rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns.len()].join(","));
    format!("INSERT INTO {table}({}) VALUES {}", columns.join(","), vec![row; rows].join(","))
}
