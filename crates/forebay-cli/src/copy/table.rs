//! A table of SQLite's as it is to be copied: its columns, what tells its rows apart, and what stays behind.

use forebay::rusqlite::{self, Connection};

use super::affinity::Affinity;
use super::order::Order;
use super::source::Listed;
use crate::failure::{Failure, Result};

/// A column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) affinity: Affinity,
    pub(super) is_not_null: bool,
    /// Its place in the primary key, from 1; 0 outside.
    place: i64,
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    pub(super) order: Order,
    /// The columns of the primary key.
    pub(super) primary: Vec<usize>,
    /// Columns that no two rows share beside those.
    pub(super) unique: Vec<Vec<usize>>,
    /// What the table in PostgreSQL does not get, a name or a sentence each.
    pub(super) left_out: Vec<String>,
}

/// An index, as SQLite lists it.
struct Index {
    name: String,
    is_unique: bool,
    /// `c` for one that was created, `u` and `pk` for those of constraints.
    origin: String,
    is_partial: bool,
}

impl Table {
    /// Reads what a table is made of.
    pub(super) fn read(connection: &Connection, listed: &Listed) -> rusqlite::Result<Self> {
        let mut left_out = Vec::new();
        let columns = columns(connection, &listed.name, &mut left_out)?;
        let mut primary: Vec<_> = (0..columns.len()).filter(|&at| columns[at].place > 0).collect();
        primary.sort_by_key(|&at| columns[at].place);
        let is_free =
            |name: &&str| columns.iter().all(|column| !column.name.eq_ignore_ascii_case(name));
        let order = match ["rowid", "_rowid_", "oid"].into_iter().find(is_free) {
            Some(rowid) if !listed.is_without_rowid => Order::Rowid(rowid),
            // The key of a table without rowids holds no NULL; where all three names are taken, see `check`.
            _ => Order::Key(primary.iter().map(|&at| columns[at].name.clone()).collect()),
        };
        let mut table = Self {
            name: listed.name.clone(),
            columns,
            order,
            primary,
            unique: Vec::new(),
            left_out,
        };
        table.read_indexes(connection)?;
        table.read_references(connection)?;
        Ok(table)
    }

    fn read_indexes(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let sql =
            "SELECT name, \"unique\", origin, partial FROM pragma_index_list(?) ORDER BY seq DESC";
        let mut statement = connection.prepare(sql)?;
        let indexes = statement.query_map([&self.name], |row| {
            Ok(Index {
                name: row.get(0)?,
                is_unique: row.get(1)?,
                origin: row.get(2)?,
                is_partial: row.get(3)?,
            })
        })?;
        let indexes = indexes.collect::<rusqlite::Result<Vec<_>>>()?;
        if let [alone] = self.primary[..]
            && !indexes.iter().any(|index| index.origin == "pk")
        {
            // It is the rowid.
            self.columns[alone].is_not_null = true;
        }
        for index in indexes {
            // A column of NULL stands for an expression.
            let columns: Vec<Option<String>> = strings(
                connection,
                "SELECT name FROM pragma_index_info(?) ORDER BY seqno",
                &index.name,
            )?;
            let places: Option<Vec<_>> = columns
                .iter()
                .map(|name| name.as_deref().and_then(|name| self.place(name)))
                .collect();
            match places {
                _ if index.origin == "pk" => {}
                Some(places) if index.is_unique && !index.is_partial => self.unique.push(places),
                _ => self.left_out.push(index.told(&columns)),
            }
        }
        Ok(())
    }

    fn read_references(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list(?) ORDER BY id";
        for parent in strings(connection, sql, &self.name)?.into_iter().flatten() {
            self.left_out.push(format!("foreign key to {parent}"));
        }
        let sql =
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE";
        for trigger in strings(connection, sql, &self.name)?.into_iter().flatten() {
            self.left_out.push(format!("trigger {trigger}"));
        }
        Ok(())
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// The columns by which a row that is written again is known: those of the primary key, or others that are unique. None of
    /// them may be NULL, which is unlike itself: neither here, where SQLite lets a primary key be, nor `there`.
    pub(super) fn key(&self, is_never_null_there: impl Fn(usize) -> bool) -> Option<&[usize]> {
        let never_null = |at: &usize| self.columns[*at].is_not_null || is_never_null_there(*at);
        let keys = [&self.primary].into_iter().chain(&self.unique);
        let mut keys = keys.filter(|key| !key.is_empty() && key.iter().all(never_null));
        keys.next().map(Vec::as_slice)
    }

    /// Whether it can be read in an order.
    pub(super) fn check(&self) -> Result<()> {
        let no_order = matches!(&self.order, Order::Key(names) if names.is_empty());
        if no_order {
            return Err(Failure::new(format!(
                "cannot copy {}: it has columns named rowid, _rowid_ and oid, so that its rows cannot be told apart",
                self.name
            ))
            .hint("rename one of them first: ALTER TABLE … RENAME COLUMN …"));
        }
        Ok(())
    }
}

impl Index {
    /// What it is, for one that is left out.
    fn told(&self, columns: &[Option<String>]) -> String {
        let unique = if self.is_unique { "unique " } else { "" };
        let columns: Vec<_> =
            columns.iter().map(|name| name.as_deref().unwrap_or("an expression")).collect();
        let partial = if self.is_partial { " where a condition holds" } else { "" };
        format!("{unique}index {} ({}){partial}", self.name, columns.join(", "))
    }
}

/// The columns, also those that SQLite computes: as they are read they are values like others.
fn columns(
    connection: &Connection,
    table: &str,
    left_out: &mut Vec<String>,
) -> rusqlite::Result<Vec<Column>> {
    let sql = "SELECT name, type, \"notnull\", pk, dflt_value, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1 \
               ORDER BY cid";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([table])?;
    let mut columns = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, declared): (String, String) = (row.get(0)?, row.get(1)?);
        if row.get::<_, Option<String>>(4)?.is_some() {
            left_out.push(format!("default of {name}"));
        }
        if row.get::<_, i64>(5)? > 1 {
            left_out.push(format!("how {name} is computed (its values are copied)"));
        }
        let affinity = Affinity::of(&declared);
        columns.push(Column { name, affinity, is_not_null: row.get(2)?, place: row.get(3)? });
    }
    Ok(columns)
}

/// The first column of a query about something of this name.
fn strings(
    connection: &Connection,
    sql: &str,
    name: &str,
) -> rusqlite::Result<Vec<Option<String>>> {
    let mut statement = connection.prepare(sql)?;
    let names = statement.query_map([name], |row| row.get(0))?;
    names.collect()
}
