//! The table in PostgreSQL that a table of SQLite's calls for.

use std::fmt::Write as _;

use super::destination::Destination;
use super::table::Table;
use crate::failure::{Failure, Result};
use crate::sql::{named, quoted};

/// Bytes of a name that PostgreSQL keeps; it cuts off the others.
const MAX_NAME: usize = 63;

/// The statement that makes the table, with its primary key, what must not be NULL, and what must be unique.
///
/// # Errors
///
/// When a name is longer than PostgreSQL keeps them.
pub(super) fn statement(from: &Table, to: &Destination) -> Result<String> {
    let names = to.columns.iter().map(|column| &column.name);
    if let Some(name) = names.chain([&to.name]).find(|name| name.len() > MAX_NAME) {
        let table = &from.name;
        return Err(Failure::new(format!(
            "cannot make the table {table} in PostgreSQL: the name {name} is longer than {MAX_NAME} bytes"
        ))
        .hint("make the table by hand, or rename it first: ALTER TABLE … RENAME"));
    }
    let mut sql = format!("CREATE TABLE {} (", quoted(&to.name));
    for (at, column) in to.columns.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let not_null = if column.is_not_null { " NOT NULL" } else { "" };
        let _ = write!(sql, "{comma}{} {}{not_null}", quoted(&column.name), column.kind.name());
    }
    let listed = |places: &[usize]| {
        named(&places.iter().map(|&at| &to.columns[at].name).collect::<Vec<_>>())
    };
    if !from.primary.is_empty() {
        let _ = write!(sql, ", PRIMARY KEY ({})", listed(&from.primary));
    }
    for places in &from.unique {
        let _ = write!(sql, ", UNIQUE ({})", listed(places));
    }
    sql.push(')');
    Ok(sql)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]
mod tests {
    use forebay::rusqlite::Connection;

    use super::*;
    use crate::copy::kinds;
    use crate::copy::source::Listed;

    fn made(schema: &str, table: &str) -> (String, Table, Destination) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(schema).unwrap();
        let is_without_rowid = schema.contains("WITHOUT ROWID");
        let listed = Listed { name: table.to_owned(), kind: "table".to_owned(), is_without_rowid };
        let table = Table::read(&connection, &listed).unwrap();
        let kinds = kinds::choose(&connection, &table).unwrap();
        let to = Destination::new(&table, &kinds);
        (statement(&table, &to).unwrap(), table, to)
    }

    #[test]
    fn keys_not_null_and_unique_are_kept_and_the_rest_is_told() {
        let (sql, table, to) = made(
            "CREATE TABLE kinds(id INTEGER PRIMARY KEY);
             CREATE TABLE \"Topics\"(id INTEGER PRIMARY KEY, \"Full Title\" TEXT NOT NULL DEFAULT 'none', size REAL,
                 kind REFERENCES kinds, at DATETIME, twice AS (size * 2), UNIQUE(kind, at));
             CREATE UNIQUE INDEX by_title ON topics(\"full title\");
             CREATE UNIQUE INDEX lower_title ON topics(lower(\"Full Title\"));
             CREATE UNIQUE INDEX new_kinds ON topics(kind) WHERE at IS NULL;
             CREATE INDEX sizes ON topics(size, id);
             CREATE TRIGGER noted AFTER INSERT ON topics BEGIN SELECT 1; END;",
            "Topics",
        );
        assert_eq!(
            sql,
            "CREATE TABLE \"topics\" (\"id\" bigint NOT NULL, \"full title\" text NOT NULL, \"size\" double precision, \
             \"kind\" text, \"at\" text, \"twice\" text, PRIMARY KEY (\"id\"), UNIQUE (\"kind\", \"at\"), \
             UNIQUE (\"full title\"))"
        );
        assert_eq!(
            table.left_out,
            [
                "default of Full Title",
                "how twice is computed (its values are copied)",
                "unique index lower_title (an expression)",
                "unique index new_kinds (kind) where a condition holds",
                "index sizes (size, id)",
                "foreign key to kinds",
                "trigger noted",
            ]
        );
        assert_eq!(to.key, Some(vec![0]));
    }

    #[test]
    fn a_key_of_several_columns_keeps_its_order() {
        let (sql, _, to) =
            made("CREATE TABLE t(a TEXT, b INT, PRIMARY KEY(b, a)) WITHOUT ROWID", "t");
        assert_eq!(
            sql,
            "CREATE TABLE \"t\" (\"a\" text NOT NULL, \"b\" bigint NOT NULL, PRIMARY KEY (\"b\", \"a\"))"
        );
        assert_eq!(to.key, Some(vec![1, 0]));
    }

    #[test]
    fn without_a_primary_key_unique_columns_that_are_never_null_tell_rows_apart() {
        let (_, _, to) = made("CREATE TABLE t(a UNIQUE, b NOT NULL UNIQUE)", "t");
        assert_eq!(to.key, Some(vec![1]));
        let (_, _, to) = made("CREATE TABLE t(a UNIQUE, b)", "t");
        assert_eq!(to.key, None);
    }

    #[test]
    fn a_name_that_would_be_cut_off_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        let long = "x".repeat(64);
        connection.execute_batch(&format!("CREATE TABLE t({long})")).unwrap();
        let listed =
            Listed { name: "t".to_owned(), kind: "table".to_owned(), is_without_rowid: false };
        let table = Table::read(&connection, &listed).unwrap();
        let kinds = kinds::choose(&connection, &table).unwrap();
        let failure = statement(&table, &Destination::new(&table, &kinds)).unwrap_err();
        assert!(failure.message().contains(&long));
    }
}
