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
    pub(super) columns: Vec<(String, Kind)>,
}

impl Destination {
    /// One that is to be made. Names are in lower case, as PostgreSQL reads any name that is not in quotes.
    pub(super) fn new(from: &Table, kinds: &[Kind]) -> Self {
        let columns = from.columns.iter().zip(kinds);
        let columns = columns.map(|(column, kind)| (column.name.to_ascii_lowercase(), *kind));
        Self { name: from.name.to_ascii_lowercase(), columns: columns.collect() }
    }

    /// One that is there, with columns of these names and types.
    ///
    /// # Errors
    ///
    /// When a column is missing.
    pub(super) fn of(from: &Table, there: Found) -> Result<Self> {
        let Found { name, columns } = there;
        let find = |wanted: &str| {
            let exactly = columns.iter().find(|(name, _)| name == wanted);
            exactly.or_else(|| columns.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)))
        };
        let mut found = Vec::with_capacity(from.columns.len());
        for column in &from.columns {
            let column = find(&column.name).ok_or_else(|| {
                let columns = listed(columns.iter().map(|(name, _)| name.as_str()));
                Failure::new(format!(
                    "the table {name} in PostgreSQL has no column {}; its columns are {columns}",
                    column.name
                ))
                .hint("add the column, or drop the table, which is then made again")
            })?;
            found.push(column.clone());
        }
        Ok(Self { name, columns: found })
    }

    /// The columns whose values both databases have in the same form, by their places.
    pub(super) fn compared(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|&at| self.columns[at].1 != Kind::Other).collect()
    }

    /// The names of the others.
    pub(super) fn not_compared(&self) -> Vec<String> {
        let other = self.columns.iter().filter(|(_, kind)| *kind == Kind::Other);
        other.map(|(name, _)| name.clone()).collect()
    }
}

/// As people would write it.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns.iter().map(|(name, kind)| format!("{name} {}", kind.name()));
        let columns: Vec<_> = columns.collect();
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
        let there = [
            ("title".to_owned(), Kind::Other),
            ("seen".to_owned(), Kind::Int8),
            ("id".to_owned(), Kind::Int4),
        ];
        let found = |columns: &[(String, Kind)]| {
            let there = Found { name: "t".to_owned(), columns: columns.to_vec() };
            Destination::of(&table, there)
        };
        let to = found(&there).unwrap();
        assert_eq!(to.columns, [there[2].clone(), there[0].clone()]);
        assert_eq!((to.compared(), to.not_compared()), (vec![0], vec!["title".to_owned()]));
        let failure = found(&there[..2]).unwrap_err();
        assert!(failure.message().contains("no column Id; its columns are title, seen"));
    }
}
