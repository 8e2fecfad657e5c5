//! Where a table goes: its name and columns in PostgreSQL.

use std::fmt;

use super::kind::Kind;
use super::table::Table;
use super::target::Found;
use crate::failure::{Failure, Result};
use crate::words::listed;

/// A table in PostgreSQL, with the columns that those of SQLite's go to, in their order.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    pub(super) name: String,
    pub(super) columns: Vec<TargetColumn>,
    /// The columns by which a row that is written again is known, by their places. None of them is ever NULL there.
    pub(super) key: Option<Vec<usize>>,
}

/// A column in PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetColumn {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) is_not_null: bool,
}

impl Destination {
    /// One that is to be made. Names are in lower case, as PostgreSQL reads any name that is not in quotes.
    pub(super) fn new(from: &Table, kinds: &[Kind]) -> Self {
        let columns =
            from.columns.iter().zip(kinds).enumerate().map(|(at, (column, kind))| TargetColumn {
                name: column.name.to_ascii_lowercase(),
                kind: *kind,
                is_not_null: column.is_not_null || from.primary.contains(&at),
            });
        Self::with(from, from.name.to_ascii_lowercase(), columns.collect())
    }

    /// One that is there, with columns of these names and types.
    ///
    /// # Errors
    ///
    /// When a column is missing.
    pub(super) fn of(from: &Table, there: Found) -> Result<Self> {
        let Found { name, columns } = there;
        let find = |wanted: &str| {
            let exactly = columns.iter().find(|column| column.name == wanted);
            let loosely = |column: &&TargetColumn| column.name.eq_ignore_ascii_case(wanted);
            exactly.or_else(|| columns.iter().find(loosely))
        };
        let mut found = Vec::with_capacity(from.columns.len());
        for column in &from.columns {
            let column = find(&column.name).ok_or_else(|| {
                let columns = listed(columns.iter().map(|column| column.name.as_str()));
                Failure::new(format!(
                    "the table {name} in PostgreSQL has no column {}; its columns are {columns}",
                    column.name
                ))
                .hint("add the column, or drop the table, which is then made again")
            })?;
            found.push(column.clone());
        }
        Ok(Self::with(from, name, found))
    }

    fn with(from: &Table, name: String, columns: Vec<TargetColumn>) -> Self {
        let key = from.key(|at| columns[at].is_not_null).map(<[_]>::to_vec);
        Self { name, columns, key }
    }

    /// The columns whose values both databases have in the same form, by their places.
    pub(super) fn compared(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|&at| self.columns[at].kind != Kind::Other).collect()
    }

    /// The names of the others.
    pub(super) fn not_compared(&self) -> Vec<String> {
        let other = self.columns.iter().filter(|column| column.kind == Kind::Other);
        other.map(|column| column.name.clone()).collect()
    }
}

/// As people would write it.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |column: &TargetColumn| format!("{} {}", column.name, column.kind.name());
        let columns: Vec<_> = self.columns.iter().map(told).collect();
        write!(f, "{} ({})", self.name, listed(columns.iter().map(String::as_str)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]
mod tests {
    use forebay::rusqlite::Connection;

    use super::*;
    use crate::copy::source::Listed;

    #[test]
    fn columns_are_found_by_name_and_one_that_is_missing_is_told() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t(\"Id\" INTEGER, title TEXT)").unwrap();
        let listed =
            Listed { name: "t".to_owned(), kind: "table".to_owned(), is_without_rowid: false };
        let table = Table::read(&connection, &listed).unwrap();
        let there = [("title", Kind::Other), ("seen", Kind::Int8), ("id", Kind::Int4)]
            .map(|(name, kind)| TargetColumn { name: name.to_owned(), kind, is_not_null: false });
        let found = |columns: &[TargetColumn]| {
            let there = Found { name: "t".to_owned(), columns: columns.to_vec() };
            Destination::of(&table, there)
        };
        let to = found(&there).unwrap();
        assert_eq!(to.columns, [there[2].clone(), there[0].clone()]);
        assert_eq!((to.compared(), to.not_compared()), (vec![0], vec!["title".to_owned()]));
        let failure = found(&there[..2]).unwrap_err();
        assert!(failure.message().contains("no column Id; its columns are title, seen"));
    }

    #[test]
    fn a_key_is_never_null_on_one_side_at_least() {
        let key = |schema: &str, is_not_null: bool| {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(schema).unwrap();
            let is_without_rowid = schema.contains("WITHOUT ROWID");
            let listed =
                Listed { name: "t".to_owned(), kind: "table".to_owned(), is_without_rowid };
            let table = Table::read(&connection, &listed).unwrap();
            let column =
                |name: &str| TargetColumn { name: name.to_owned(), kind: Kind::Other, is_not_null };
            let columns = ["a", "b"].map(column).to_vec();
            Destination::of(&table, Found { name: "t".to_owned(), columns }).unwrap().key
        };
        for (schema, here, with_there) in [
            ("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", true, true),
            ("CREATE TABLE t(a INT PRIMARY KEY, b)", false, true),
            // Unlike its like it is no rowid, and may be NULL.
            ("CREATE TABLE t(a INTEGER PRIMARY KEY DESC, b)", false, true),
            ("CREATE TABLE t(a TEXT PRIMARY KEY NOT NULL, b)", true, true),
            ("CREATE TABLE t(a TEXT PRIMARY KEY, b) WITHOUT ROWID", true, true),
            ("CREATE TABLE t(a TEXT NOT NULL, b TEXT, PRIMARY KEY(a, b))", false, true),
            ("CREATE TABLE t(a TEXT UNIQUE NOT NULL, b TEXT)", true, true),
            ("CREATE TABLE t(a TEXT UNIQUE, b TEXT)", false, true),
            ("CREATE TABLE t(a TEXT, b TEXT)", false, false),
        ] {
            assert_eq!(key(schema, false).is_some(), here, "{schema}");
            assert_eq!(key(schema, true).is_some(), with_there, "{schema}, NOT NULL there");
        }
    }
}
