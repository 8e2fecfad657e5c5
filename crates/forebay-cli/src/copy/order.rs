//! The order in which a table is read, and a place in it that can be kept and gone on from.

use std::fmt::Write as _;

use forebay::rusqlite::types::ValueRef;
use forebay::rusqlite::{self, Connection, Row};

use crate::sql::{named, quoted};

/// What rows are read in the order of.
///
/// Rowids wherever there are some: to read in their order is to read the file from front to back, and no row has NULL
/// there. `VACUUM` may number the rows of a table anew that has no INTEGER PRIMARY KEY; [`rows_up_to`](Order::rows_up_to) shows whether a
/// kept place still is what it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// By the rowid, under a name that no column has.
    Rowid(&'static str),
    /// By the primary key's columns, in a table without rowids.
    Key(Vec<String>),
}

impl Order {
    /// How many columns of a query a place takes.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Rowid(_) => 1,
            Self::Key(names) => names.len(),
        }
    }

    /// These columns.
    fn columns(&self) -> String {
        match self {
            Self::Rowid(name) => (*name).to_owned(),
            Self::Key(names) => named(names),
        }
    }

    /// A query of a place and these columns of the rows that come after one, or of all.
    pub(super) fn query(&self, table: &str, columns: &str, after: Option<&str>) -> String {
        let (order, table) = (self.columns(), quoted(table));
        let after = after.map_or_else(String::new, |place| format!(" WHERE ({order}) > ({place})"));
        format!("SELECT {order}, {columns} FROM main.{table}{after} ORDER BY {order}")
    }

    /// A query of the row at a place.
    pub(super) fn query_one(&self, table: &str, columns: &str, place: &str) -> String {
        let (order, table) = (self.columns(), quoted(table));
        format!("SELECT {columns} FROM main.{table} WHERE ({order}) = ({place})")
    }

    /// The place of a row of such a query, as SQL would have it. No byte of a text is lost on the way, and none ends it.
    pub(super) fn place(&self, row: &Row<'_>) -> rusqlite::Result<String> {
        let mut place = String::new();
        for at in 0..self.width() {
            if at > 0 {
                place.push_str(", ");
            }
            literal(&mut place, row.get_ref(at)?);
        }
        Ok(place)
    }

    /// How many rows there are up to a place.
    pub(super) fn rows_up_to(
        &self,
        connection: &Connection,
        table: &str,
        place: &str,
    ) -> rusqlite::Result<u64> {
        let (order, table) = (self.columns(), quoted(table));
        let sql = format!("SELECT count(*) FROM main.{table} WHERE ({order}) <= ({place})");
        connection.query_row(&sql, [], |row| row.get(0).map(i64::unsigned_abs))
    }

    /// What a row's number in messages counts.
    pub(super) fn told(&self, row: u64, place: &str) -> String {
        match self {
            Self::Rowid(_) => format!("rowid {place}"),
            Self::Key(names) => format!("row {row} by {}", names.join(", ")),
        }
    }
}

fn literal(place: &mut String, value: ValueRef<'_>) {
    let hex = |place: &mut String, bytes: &[u8]| {
        place.push_str("x'");
        for byte in bytes {
            let _ = write!(place, "{byte:02x}");
        }
        place.push('\'');
    };
    match value {
        ValueRef::Null => place.push_str("NULL"),
        ValueRef::Integer(number) => {
            let _ = write!(place, "{number}");
        }
        // As many digits as it takes to read the same number back.
        ValueRef::Real(number) if number.is_finite() => {
            let _ = write!(place, "{number:e}");
        }
        ValueRef::Real(number) => place.push_str(if number > 0.0 { "9e999" } else { "-9e999" }),
        ValueRef::Text(text) => {
            place.push_str("CAST(");
            hex(place, text);
            place.push_str(" AS TEXT)");
        }
        ValueRef::Blob(bytes) => hex(place, bytes),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]
mod tests {
    use super::*;

    /// Reads a table in pieces of one row, going on from the place of each.
    fn walked(schema: &str, order: &Order) -> Vec<String> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(schema).unwrap();
        let mut places: Vec<String> = Vec::new();
        loop {
            let sql = order.query("t", "v", places.last().map(String::as_str));
            let mut statement = connection.prepare(&sql).unwrap();
            let mut rows = statement.query([]).unwrap();
            let Some(row) = rows.next().unwrap() else { return places };
            let place = order.place(row).unwrap();
            let one = order.query_one("t", "v", &place);
            let again: i64 = connection.query_row(&one, [], |row| row.get(0)).unwrap();
            assert_eq!(again, row.get::<_, i64>(order.width()).unwrap(), "{place}");
            places.push(place);
            let so_far = order.rows_up_to(&connection, "t", places.last().unwrap()).unwrap();
            assert_eq!(so_far, places.len() as u64);
        }
    }

    #[test]
    fn every_row_comes_once_whatever_the_keys_are() {
        let schema = "CREATE TABLE t(a, b TEXT COLLATE NOCASE, v, PRIMARY KEY(a, b)) WITHOUT ROWID;
            INSERT INTO t VALUES (1, 'x', 1), (1, 'Y', 2), (0.1, 'it''s', 3), ('1', '', 4), (x'00ff', 'z', 5),
            (9e999, 'i', 6), (-9e999, 'i', 7), (0.30000000000000004, 'r', 8), (CAST(x'610062' AS TEXT), 'nul', 9),
            (CAST(x'ff' AS TEXT), 'not UTF-8', 10), (-9223372036854775808, 'least', 11)";
        let order = Order::Key(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(walked(schema, &order).len(), 11);
    }

    #[test]
    fn rowids_are_an_order_of_any_table_that_has_them() {
        let schema = "CREATE TABLE t(rowid TEXT, v); INSERT INTO t(_rowid_, rowid, v) VALUES (-5, 'a', 1), (7, NULL, 2),
            (9223372036854775807, 'b', 3)";
        assert_eq!(walked(schema, &Order::Rowid("_rowid_")), ["-5", "7", "9223372036854775807"]);
    }
}
