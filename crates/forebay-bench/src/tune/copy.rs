//! A table, copied beside its database with all that it needs, so that it can be written to.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use forebay::rusqlite::types::{ToSqlOutput, ValueRef};
use forebay::rusqlite::{self, Connection};
use forebay_trial::Target;
use tempfile::TempDir;

use super::sample::{self, Sampled};
use super::schema::{self, Column, Object, Table};
use super::source::{self, Source};
use crate::contender::RowSize;
use crate::error::{Error, Result};
use crate::program::Stop;
use crate::scratch;

/// Rows that are copied of the table at the most; of all others together as many again.
const MAX_ROWS: u64 = 1_000_000;
/// The same in bytes.
const MAX_BYTES: u64 = 256 << 20;
/// What the copies of a trial's database and its log may take beside the copy.
const ROOM: u64 = 256 << 20;
/// Rows between two looks at whether to stop.
const LOOK: u64 = 1_000;

/// Whether the rows of a table are updates or new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// Rows of the table are written back by their key.
    Upsert,
    /// They are inserted once more.
    Insert,
}

/// What to copy.
#[derive(Debug, Clone)]
pub struct TableChoice {
    /// The database; it is only read.
    pub database: PathBuf,
    /// The table.
    pub table: String,
    /// Whether its rows are written back or inserted.
    pub writing: Writing,
    /// Rows that are written over and over.
    pub keys: u32,
    /// Where the copy is made; `None` for the folder that the database is in.
    pub folder: Option<PathBuf>,
}

/// A table in a database of its own, and rows to write into it. Its folder is removed when it is dropped.
#[derive(Debug)]
pub struct TableCopy {
    folder: TempDir,
    pub(crate) database: PathBuf,
    pub(crate) sample: PathBuf,
    pub(crate) target: Target,
    pub(crate) writing: Writing,
    /// Rows in the copy.
    pub(crate) rows: u64,
    /// Rows that are written.
    pub(crate) keys: u64,
    /// What one of them takes, on average.
    pub(crate) row_bytes: usize,
    /// What the largest of them takes.
    largest: usize,
    /// Bytes of the copy.
    pub(crate) bytes: u64,
    notes: Vec<String>,
}

impl TableCopy {
    /// Makes it. Blocks until it is on the disk; a database that is not in WAL mode cannot be written by others
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// When the table cannot be copied, or no row of it can be written; nothing is left behind then.
    pub fn make(choice: &TableChoice, stop: &Stop) -> Result<Self> {
        let name = &choice.database;
        let source = Source::open(name, stop)?;
        let read = |error: rusqlite::Error| source.failed(&error, stop);
        let tables = schema::tables(&source.connection).map_err(read)?;
        let table = find(&tables, &choice.table)?;
        let parent = place(choice)?;
        let folder = folder(&parent, name, choice.folder.is_some())?;
        let database = folder.path().join("table.db");
        let mut copy = Copying {
            from: &source,
            to: Connection::open(&database)
                .map_err(|error| Error::of_file("make", &database, &error))?,
            stop,
            table: &table,
            tables: &tables,
            notes: Vec::new(),
        };
        copy.run()?;
        let Copying { to, mut notes, .. } = copy;
        source.close()?;
        let Sampled { target, keys, row_bytes, largest, notes: of_sample } =
            sample::take(&to, &table, choice, &folder.path().join("sample.db"), stop)?;
        notes.extend(of_sample);
        notes.extend(elsewhere(name, folder.path()));
        let failed = |error: &dyn std::fmt::Display| Error::of_file("finish", &database, error);
        let rows = count(&to, &table.name).map_err(|error| failed(&error))?;
        to.close().map_err(|(_, error)| failed(&error))?;
        // What is written back to the disk later would be in the way of the first trials.
        let file = File::open(&database).and_then(|file| file.sync_all().map(|()| file));
        let bytes = file.and_then(|file| file.metadata()).map_err(|error| failed(&error))?.len();
        Ok(Self {
            sample: folder.path().join("sample.db"),
            folder,
            database,
            target,
            writing: choice.writing,
            rows,
            keys,
            row_bytes,
            largest,
            bytes,
            notes,
        })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.target.table
    }

    /// Rows in the copy.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What a user must know of it, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What is written, in words.
    pub fn description(&self) -> String {
        let (keys, table, rows) = (self.keys, self.table(), self.rows);
        match self.writing {
            Writing::Upsert => {
                let key = self.target.key.join(", ");
                format!(
                    "{keys} rows of {table}, which has {rows}, written back by {key} over and over"
                )
            }
            Writing::Insert => {
                format!("{keys} rows of {table}, which has {rows}, inserted over and over")
            }
        }
    }

    /// What a row takes in a buffer, more or less.
    pub(crate) fn row_size(&self) -> RowSize {
        RowSize(32 + 2 * self.target.columns.len() + self.row_bytes)
    }

    /// What the largest row that is written takes in a buffer, in bytes and at the most.
    pub fn largest_row_bytes(&self) -> usize {
        8 + 5 * self.target.columns.len() + self.largest
    }

    /// Rows that must be in the table when so many have been acknowledged.
    pub(crate) fn rows_after(&self, acknowledged: u64) -> u64 {
        match self.writing {
            Writing::Upsert => self.rows,
            Writing::Insert => self.rows + acknowledged,
        }
    }

    /// Makes a database with the table for a trial.
    pub(crate) fn copy_to(&self, path: &Path, journal_mode: &str) -> Result<()> {
        fs::copy(&self.database, path)
            .map_err(|error| Error::of_file("copy the table to", path, &error))?;
        let failed = |error: rusqlite::Error| Error::of_file("make", path, &error);
        let connection = Connection::open(path).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", journal_mode).map_err(failed)?;
        connection.close().map_err(|(_, error)| failed(error))
    }
}

/// How many rows a table has.
pub(crate) fn count(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM {}", schema::quoted(table));
    connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

/// The table with this name, regardless of case.
fn find(tables: &[Table], name: &str) -> Result<Table> {
    let found = tables.iter().find(|table| table.name.eq_ignore_ascii_case(name));
    match found {
        Some(view) if view.kind == "view" => {
            Err(Error::new(format!("{} is a view, and only a table can be written to", view.name))
                .with_hint("name the table that its rows come from"))
        }
        Some(table) => Ok(table.clone()),
        None => {
            let names: Vec<_> = tables
                .iter()
                .filter(|table| table.kind == "table")
                .map(|table| table.name.as_str())
                .collect();
            let there = match names.as_slice() {
                [] => "the database has none".to_owned(),
                [only] => format!("the only one is {only}"),
                names => format!("the tables are {}", names.join(", ")),
            };
            Err(Error::new(format!("there is no table {name}: {there}")))
        }
    }
}

/// The folder that the copy is made in.
fn place(choice: &TableChoice) -> Result<PathBuf> {
    if let Some(folder) = &choice.folder {
        return Ok(folder.clone());
    }
    let real = fs::canonicalize(&choice.database)
        .map_err(|error| Error::of_file("find", &choice.database, &error))?;
    Ok(real.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned))
}

/// What to know of a copy that is on another filesystem.
fn elsewhere(database: &Path, folder: &Path) -> Option<String> {
    let device = |path: &Path| fs::metadata(path).map(|file| file.dev()).ok();
    (device(database) != device(folder)).then(|| {
        "the copy is on another filesystem than its database, whose disk may be faster or slower".to_owned()
    })
}

/// Makes the folder, if there is room in it.
fn folder(parent: &Path, database: &Path, chosen: bool) -> Result<TempDir> {
    let size = fs::metadata(database).map_or(0, |file| file.len());
    // The copy, the one that trials begin with, and the one of a trial; indexes may double what is counted.
    let space = 3 * size.min(4 * MAX_BYTES) + ROOM;
    let what = if chosen {
        parent.display().to_string()
    } else {
        format!("the folder of {}", database.display())
    };
    scratch::folder(parent, ".forebay-tune-", &what, space)
}

/// A copy under way.
struct Copying<'a> {
    from: &'a Source,
    to: Connection,
    stop: &'a Stop,
    table: &'a Table,
    tables: &'a [Table],
    notes: Vec<String>,
}

impl Copying<'_> {
    fn run(&mut self) -> Result<()> {
        let objects =
            schema::objects(&self.from.connection).map_err(|error| self.unread(&error))?;
        let related = schema::related(&self.from.connection, &self.table.name, self.tables)
            .map_err(|error| self.unread(&error))?;
        self.prepare().map_err(|error| self.unwritten(&error))?;
        let is_shadow = |object: &Object| {
            self.tables.iter().any(|table| table.kind == "shadow" && table.name == object.name)
        };
        let (made_first, made_last): (Vec<_>, Vec<_>) = objects
            .into_iter()
            .filter(|object| !is_shadow(object))
            .partition(|object| object.kind == "table");
        let mut missing = self.make(&made_first)?;
        let (rows, bytes, whole) = self.rows(self.table, (MAX_ROWS, MAX_BYTES))?;
        if !whole {
            self.notes.push(format!(
                "the copy has the first {rows} rows of {} ({} MiB): more would take long, and change little",
                self.table.name,
                bytes >> 20
            ));
        }
        let mut left = (MAX_ROWS, MAX_BYTES);
        for other in &related {
            if missing.contains(&other.name) {
                continue;
            }
            match self.rows(other, left) {
                Ok((rows, bytes, whole)) => {
                    left = (left.0 - rows, left.1.saturating_sub(bytes));
                    if !whole {
                        self.notes.push(format!(
                            "{}, which {} needs, is copied in part ({rows} rows)",
                            other.name, self.table.name
                        ));
                    }
                }
                Err(error) if self.stop.is_stopped() => return Err(error),
                Err(error) => {
                    self.notes.push(format!("the rows of {} are left out: {error}", other.name));
                }
            }
        }
        for kind in ["index", "view", "trigger"] {
            let objects: Vec<_> =
                made_last.iter().filter(|object| object.kind == kind).cloned().collect();
            missing.extend(self.make(&objects)?);
        }
        self.to
            .execute_batch("COMMIT; PRAGMA journal_mode=WAL")
            .map_err(|error| self.unwritten(&error))
    }

    /// Has the copy be laid out as its source is, and made without a thought of crashes.
    fn prepare(&mut self) -> rusqlite::Result<()> {
        source::interrupt(&mut self.to, self.stop)?;
        for name in ["page_size", "auto_vacuum", "encoding"] {
            let value: rusqlite::types::Value =
                self.from.connection.pragma_query_value(None, name, |row| row.get(0))?;
            self.to.pragma_update(None, name, value)?;
        }
        self.to.execute_batch(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA foreign_keys=OFF; BEGIN",
        )
    }

    /// Makes objects, and names those that cannot be made here.
    fn make(&mut self, objects: &[Object]) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        for object in objects {
            let Err(error) = self.to.execute_batch(&object.sql) else { continue };
            let (kind, name) = (&object.kind, &object.name);
            if self.stop.is_stopped() {
                return Err(Error::stopped());
            }
            if object.kind == "table" && object.name == self.table.name {
                return Err(Error::new(format!("cannot copy {name}: {error}")).with_hint(
                    "functions and modules that only its application has are not known here",
                ));
            }
            self.notes.push(format!("the {kind} {name} is left out: {error}"));
            missing.push(object.name.clone());
        }
        Ok(missing)
    }

    /// Copies rows up to so many and so many bytes. Returns how many of both, and whether those were all.
    fn rows(&self, table: &Table, (max_rows, max_bytes): (u64, u64)) -> Result<(u64, u64, bool)> {
        let columns = schema::columns(&self.from.connection, &table.name)
            .map_err(|error| self.unread(&error))?;
        let rowid = schema::rowid(table, &columns);
        let list = list_of(rowid, &columns);
        let (name, width) =
            (schema::quoted(&table.name), columns.len() + usize::from(rowid.is_some()));
        if columns.is_empty() {
            return Ok((0, 0, true));
        }
        let marks = vec!["?"; width].join(",");
        let mut select = self
            .from
            .connection
            .prepare(&format!("SELECT {list} FROM {name}"))
            .map_err(|error| self.unread(&error))?;
        let mut insert = self
            .to
            .prepare(&format!("INSERT INTO {name}({list}) VALUES ({marks})"))
            .map_err(|error| self.unwritten(&error))?;
        let (mut rows, mut bytes) = (0, 0);
        let mut found = select.query([]).map_err(|error| self.unread(&error))?;
        while let Some(row) = found.next().map_err(|error| self.unread(&error))? {
            if rows >= max_rows || bytes >= max_bytes {
                return Ok((rows, bytes, false));
            }
            for index in 0..width {
                let value = row.get_ref(index).map_err(|error| self.unread(&error))?;
                bytes += size(value) as u64;
                insert
                    .raw_bind_parameter(index + 1, ToSqlOutput::Borrowed(value))
                    .map_err(|error| self.unwritten(&error))?;
            }
            insert.raw_execute().map_err(|error| self.unwritten(&error))?;
            rows += 1;
            if rows.is_multiple_of(LOOK) && self.stop.is_stopped() {
                return Err(Error::stopped());
            }
        }
        Ok((rows, bytes, true))
    }

    fn unread(&self, error: &rusqlite::Error) -> Error {
        self.from.failed(error, self.stop)
    }

    fn unwritten(&self, error: &rusqlite::Error) -> Error {
        if self.stop.is_stopped() {
            return Error::stopped();
        }
        Error::new(format!("cannot copy {}: {error}", self.table.name))
    }
}

fn list_of(rowid: Option<&str>, columns: &[Column]) -> String {
    let names = rowid.into_iter().chain(columns.iter().map(|column| column.name.as_str()));
    schema::listed(names)
}

/// What a value takes.
pub(super) fn size(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 8,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
    }
}
