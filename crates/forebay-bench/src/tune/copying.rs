//! A table on its way into a database of its own, with all that a write to it needs.

use std::path::Path;

use forebay::rusqlite::limits::Limit;
use forebay::rusqlite::types::{ToSqlOutput, Value, ValueRef};
use forebay::rusqlite::{self, Connection};
use forebay_trial::{listed, quoted};

use super::schema::{self, Object, Table};
use super::source::Source;
use crate::error::{Error, Result};
use crate::program::Stop;
use crate::report::units::{counted, named};
use crate::untouched;

/// Rows that are copied of the table at the most; of all others together as many again.
const MAX_ROWS: u64 = 1_000_000;
/// The same in bytes.
pub(super) const MAX_BYTES: u64 = 256 << 20;
/// Rows between two looks at whether to stop.
const LOOK: u64 = 1_000;

/// What may be copied, or has been.
#[derive(Clone, Copy)]
struct Amount {
    rows: u64,
    bytes: u64,
}

/// A copy under way.
pub(super) struct Copying<'a> {
    to: Connection,
    table: &'a Table,
    stop: &'a Stop,
    notes: Vec<String>,
}

impl<'a> Copying<'a> {
    /// Makes the database.
    pub(super) fn begin(path: &Path, table: &'a Table, stop: &'a Stop) -> Result<Self> {
        let to = Connection::open(path).map_err(|error| Error::of_file("make", path, &error))?;
        Ok(Self { to, table, stop, notes: Vec::new() })
    }

    /// Copies tables and rows. Returns what is to be made of them, for which the source is not needed.
    pub(super) fn fill(&mut self, from: &Source, tables: &[Table]) -> Result<Vec<Object>> {
        let unread = |error: rusqlite::Error| from.failed(error);
        let mut objects = schema::objects(from.connection()).map_err(unread)?;
        let related = schema::related(from.connection(), &objects, &self.table.name, tables)
            .map_err(unread)?;
        self.prepare(from).map_err(|error| self.unwritten(&error))?;
        let is_shadow = |object: &Object| {
            tables.iter().any(|table| table.kind == "shadow" && table.name == object.name)
        };
        objects.retain(|object| !is_shadow(object));
        let (made_first, made_last): (Vec<_>, Vec<_>) =
            objects.into_iter().partition(|object| object.kind == "table");
        let missing = self.make(&made_first)?;
        self.fill_table(from)?;
        self.fill_related(from, related.iter().filter(|table| !missing.contains(&table.name)))?;
        Ok(made_last)
    }

    /// Makes indexes, views and triggers. Returns the copy, and what to know of it.
    pub(super) fn finish(mut self, objects: &[Object]) -> Result<(Connection, Vec<String>)> {
        for kind in ["index", "view", "trigger"] {
            self.make(objects.iter().filter(|object| object.kind == kind))?;
        }
        self.to
            .execute_batch("COMMIT; PRAGMA journal_mode=WAL")
            .map_err(|error| self.unwritten(&error))?;
        Ok((self.to, self.notes))
    }

    /// Has the copy be laid out as its source is, and made without a thought of crashes.
    fn prepare(&mut self, from: &Source) -> rusqlite::Result<()> {
        untouched::bound(&mut self.to, None, self.stop)?;
        // What a schema says is run as it is: it may do nothing to other files.
        self.to.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        for name in ["page_size", "auto_vacuum", "encoding"] {
            let value: Value =
                from.connection().pragma_query_value(None, name, |row| row.get(0))?;
            self.to.pragma_update(None, name, value)?;
        }
        self.to.execute_batch(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA foreign_keys=OFF; BEGIN",
        )
    }

    /// Makes objects, and names those that cannot be made here.
    fn make<'o>(&mut self, objects: impl IntoIterator<Item = &'o Object>) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        for object in objects {
            let Err(error) = self.to.execute_batch(&object.sql) else { continue };
            let (kind, name) = (&object.kind, &object.name);
            if self.stop.is_stopped() {
                return Err(Error::stopped());
            }
            if object.kind == "table" && object.name == self.table.name {
                return Err(Error::new(format!("cannot copy {}: {error}", named(name))).with_hint(
                    "functions and modules that only its application has are not known here",
                ));
            }
            self.notes.push(format!("the {kind} {} is left out: {error}", named(name)));
            missing.push(object.name.clone());
        }
        Ok(missing)
    }

    fn fill_table(&mut self, from: &Source) -> Result<()> {
        let most = Amount { rows: MAX_ROWS, bytes: MAX_BYTES };
        let (Amount { rows, bytes }, whole) = self.rows(from, self.table, most)?;
        if !whole {
            self.notes.push(format!(
                "the copy has the first {} of {} ({} MiB): more would take long, and change little",
                counted(rows, "row"),
                named(&self.table.name),
                bytes >> 20
            ));
        }
        Ok(())
    }

    fn fill_related<'t>(
        &mut self,
        from: &Source,
        tables: impl Iterator<Item = &'t Table>,
    ) -> Result<()> {
        let mut left = Amount { rows: MAX_ROWS, bytes: MAX_BYTES };
        for other in tables {
            match self.rows(from, other, left) {
                Ok((Amount { rows, bytes }, whole)) => {
                    left.rows -= rows;
                    left.bytes = left.bytes.saturating_sub(bytes);
                    if !whole {
                        self.notes.push(format!(
                            "{}, which {} needs, is copied in part ({})",
                            named(&other.name),
                            named(&self.table.name),
                            counted(rows, "row")
                        ));
                    }
                }
                Err(error) if self.stop.is_stopped() => return Err(error),
                Err(error) => {
                    self.notes
                        .push(format!("the rows of {} are left out: {error}", named(&other.name)));
                }
            }
        }
        Ok(())
    }

    /// Copies rows up to this amount. Returns how many, and whether those were all.
    fn rows(&self, from: &Source, table: &Table, most: Amount) -> Result<(Amount, bool)> {
        let unread = |error: rusqlite::Error| from.failed(error);
        let unwritten = |error: rusqlite::Error| self.unwritten(&error);
        let mut copied = Amount { rows: 0, bytes: 0 };
        let columns = schema::columns(from.connection(), &table.name).map_err(unread)?;
        if columns.is_empty() {
            return Ok((copied, true));
        }
        let rowid = schema::rowid(table, &columns).into_iter();
        let names: Vec<_> =
            rowid.chain(columns.iter().map(|column| column.name.as_str())).collect();
        let (name, list, marks) = (quoted(&table.name), listed(&names), vec!["?"; names.len()]);
        let select = format!("SELECT {list} FROM {name}");
        let insert = format!("INSERT INTO {name}({list}) VALUES ({})", marks.join(","));
        let mut select = from.connection().prepare(&select).map_err(unread)?;
        let mut insert = self.to.prepare(&insert).map_err(unwritten)?;
        let mut found = select.query([]).map_err(unread)?;
        while let Some(row) = found.next().map_err(unread)? {
            if copied.rows >= most.rows || copied.bytes >= most.bytes {
                return Ok((copied, false));
            }
            for index in 0..names.len() {
                let value = row.get_ref(index).map_err(unread)?;
                copied.bytes += size(value) as u64;
                insert
                    .raw_bind_parameter(index + 1, ToSqlOutput::Borrowed(value))
                    .map_err(unwritten)?;
            }
            insert.raw_execute().map_err(unwritten)?;
            copied.rows += 1;
            if copied.rows.is_multiple_of(LOOK) && self.stop.is_stopped() {
                return Err(Error::stopped());
            }
        }
        Ok((copied, true))
    }

    fn unwritten(&self, error: &rusqlite::Error) -> Error {
        Error::new(format!("cannot copy {}: {error}", named(&self.table.name)))
    }
}

/// What a value takes.
pub(super) fn size(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 8,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
    }
}
