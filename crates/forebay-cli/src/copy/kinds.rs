//! Which types the columns of a new table get: what they are declared as, and where that says nothing, what is in them.

use std::fmt::Write as _;

use forebay::rusqlite::{self, Connection};

use super::affinity::Affinity;
use super::kind::Kind;
use super::table::{Column, Table};
use crate::sql::quoted;

/// What there is in a column.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    integers: bool,
    /// Integers other than 0 and 1.
    numbers: bool,
    reals: bool,
    texts: bool,
    blobs: bool,
}

/// The types of a table's columns. Reads the whole table where a declared type leaves it open.
pub(super) fn choose(connection: &Connection, table: &Table) -> rusqlite::Result<Vec<Kind>> {
    let open: Vec<_> = table.columns.iter().filter(|column| declared(column).is_none()).collect();
    let mut held = if open.is_empty() { Vec::new() } else { look(connection, &table.name, &open)? }
        .into_iter();
    let kind = |column| match declared(column) {
        Some(kind) => kind,
        None => held.next().unwrap_or_default().kind(column.affinity),
    };
    Ok(table.columns.iter().map(kind).collect())
}

/// What the declared type says, where it says enough.
fn declared(column: &Column) -> Option<Kind> {
    match column.affinity {
        Affinity::Integer => Some(Kind::Int8),
        Affinity::Real => Some(Kind::Float8),
        Affinity::Text => Some(Kind::Text),
        Affinity::Blob => Some(Kind::Bytea),
        Affinity::Boolean | Affinity::Any => None,
    }
}

fn look(connection: &Connection, table: &str, columns: &[&Column]) -> rusqlite::Result<Vec<Held>> {
    let mut sql = "SELECT ".to_owned();
    for (at, column) in columns.iter().enumerate() {
        let name = quoted(&column.name);
        let comma = if at == 0 { "" } else { ", " };
        let is = |kind: &str| format!("ifnull(max(typeof({name}) = '{kind}'), 0)");
        let _ = write!(
            sql,
            "{comma}{}, ifnull(max(typeof({name}) = 'integer' AND {name} NOT IN (0, 1)), 0), {}, {}, {}",
            is("integer"),
            is("real"),
            is("text"),
            is("blob")
        );
    }
    let _ = write!(sql, " FROM main.{}", quoted(table));
    connection.query_row(&sql, [], |row| {
        let held = (0..columns.len()).map(|at| {
            let has = |what: usize| row.get(at * 5 + what);
            Ok(Held {
                integers: has(0)?,
                numbers: has(1)?,
                reals: has(2)?,
                texts: has(3)?,
                blobs: has(4)?,
            })
        });
        held.collect()
    })
}

impl Held {
    /// The type that takes all of it, or as much as one type can.
    fn kind(self, affinity: Affinity) -> Kind {
        let has_numbers = self.integers || self.reals;
        let is_flag = affinity == Affinity::Boolean && !self.numbers && !self.reals;
        match self {
            _ if is_flag && !self.texts && !self.blobs => Kind::Boolean,
            Held { blobs: true, .. } if !has_numbers => Kind::Bytea,
            Held { texts: true, .. } | Held { blobs: true, .. } => Kind::Text,
            Held { reals: true, .. } => Kind::Float8,
            Held { integers: true, .. } => Kind::Int8,
            _ => Kind::Text,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]
mod tests {
    use super::*;
    use crate::copy::source::Listed;

    fn kind(declared: &str, values: &[&str]) -> &'static str {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&format!("CREATE TABLE t(v {declared})")).unwrap();
        for value in values {
            connection.execute(&format!("INSERT INTO t VALUES ({value})"), []).unwrap();
        }
        let listed =
            Listed { name: "t".to_owned(), kind: "table".to_owned(), is_without_rowid: false };
        let table = Table::read(&connection, &listed).unwrap();
        choose(&connection, &table).unwrap()[0].name()
    }

    #[test]
    fn the_declared_type_decides_where_it_says_something() {
        assert_eq!(kind("INTEGER", &["'no number'"]), "bigint");
        assert_eq!(kind("REAL", &["'no number'"]), "double precision");
        assert_eq!(kind("VARCHAR(3)", &["x'00'"]), "text");
        assert_eq!(kind("BLOB", &["1"]), "bytea");
    }

    #[test]
    fn the_values_decide_where_it_does_not() {
        for (declared, values, is) in [
            ("", &["1", "NULL"][..], "bigint"),
            ("", &["1", "0.5"], "double precision"),
            ("", &["1", "'a'"], "text"),
            ("", &["x'00'"], "bytea"),
            ("", &["x'00'", "'a'"], "bytea"),
            ("", &["x'00'", "1"], "text"),
            ("", &[], "text"),
            ("DATETIME", &["'2026-01-31 09:30:00'"], "text"),
            ("DATETIME", &["1769851800"], "bigint"),
            ("DECIMAL(10,2)", &["9.99", "10"], "double precision"),
            ("BOOLEAN", &["0", "1", "NULL"], "boolean"),
            ("BOOLEAN", &[], "boolean"),
            ("BOOLEAN", &["0", "2"], "bigint"),
            ("BOOLEAN", &["'true'"], "text"),
        ] {
            assert_eq!(kind(declared, values), is, "{declared} {values:?}");
        }
    }
}
