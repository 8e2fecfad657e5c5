//! A table, copied beside its database with all that it needs, so that it can be written to.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use forebay::rusqlite::{self, Connection};
use forebay_trial::{Target, quoted};
use tempfile::TempDir;

use super::copying::{Copying, MAX_BYTES};
use super::sample::{self, Sampled};
use super::schema::{self, Table};
use super::source::Source;
use crate::contender::RowSize;
use crate::error::{Error, Result};
use crate::program::Stop;
use crate::report::units::{counted, grouped, listed, named};
use crate::scratch;

/// What the copies of a trial's database and its log may take beside the copy.
const ROOM: u64 = 256 << 20;

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
    /// Rows of the user's table that were copied.
    rows: u64,
    /// Rows in the copy, with those that were written to see that they can be.
    pub(crate) filled: u64,
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
    /// Makes it. Blocks until it is on the disk. A database that is not in WAL mode cannot be written by others while its
    /// rows are read.
    ///
    /// This process must not have the database open: its header is read without SQLite, and to close a file drops all
    /// locks that the process has on it.
    ///
    /// # Errors
    ///
    /// When the table cannot be copied, or no row of it can be written; nothing is left behind then.
    pub fn make(choice: &TableChoice, stop: &Stop) -> Result<Self> {
        // Where a statement was broken off, what it failed of is no news.
        Self::copy(choice, stop)
            .map_err(|error| if stop.is_stopped() { Error::stopped() } else { error })
    }

    fn copy(choice: &TableChoice, stop: &Stop) -> Result<Self> {
        let name = &choice.database;
        let source = Source::open(name, stop)?;
        let read = |error: rusqlite::Error| source.failed(error);
        let tables = schema::tables(source.connection()).map_err(read)?;
        let table = find(&tables, &choice.table)?;
        let parent = place(choice)?;
        let folder = folder(&parent, name, choice.folder.is_some())?;
        let database = folder.path().join("table.db");
        let mut copying = Copying::begin(&database, &table, stop)?;
        let objects = copying.fill(&source, &tables)?;
        // Indexes may take longer than all rows, and whoever writes to the source must not wait for them.
        source.close()?;
        let (to, mut notes) = copying.finish(&objects)?;
        let Sampled { target, copied, keys, row_bytes, largest, notes: of_sample } =
            sample::take(&to, &table, choice, &folder.path().join("sample.db"), stop)?;
        notes.extend(of_sample);
        notes.extend(elsewhere(name, folder.path()));
        let failed = |error: &dyn std::fmt::Display| Error::of_file("finish", &database, error);
        let filled = count(&to, &table.name).map_err(|error| failed(&error))?;
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
            rows: copied,
            filled,
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

    /// Rows of the table that were copied.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What a user must know of it, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What is written, in words.
    pub fn description(&self) -> String {
        let keys = grouped(self.keys as f64);
        let rows = match self.rows {
            0 => counted(self.keys, "made-up row"),
            1 => "the only copied row".to_owned(),
            copied => format!("{keys} of the {} copied rows", grouped(copied as f64)),
        };
        let rows_of = format!("{rows} of {}", named(self.table()));
        match self.writing {
            Writing::Upsert => {
                let key = self.target.key.iter().map(|name| named(name)).collect::<Vec<_>>();
                format!("{rows_of}, written back by {} over and over", listed(&key))
            }
            Writing::Insert => format!("{rows_of}, inserted over and over"),
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
            Writing::Upsert => self.filled,
            Writing::Insert => self.filled + acknowledged,
        }
    }

    /// Makes a database with the table for a trial.
    pub(crate) fn copy_to(&self, path: &Path, journal_mode: &str) -> Result<()> {
        scratch::copy(&self.database, path)?;
        let failed = |error: rusqlite::Error| Error::of_file("make", path, &error);
        let connection = Connection::open(path).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", journal_mode).map_err(failed)?;
        connection.close().map_err(|(_, error)| failed(error))
    }
}

/// How many rows a table has.
pub(crate) fn count(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM {}", quoted(table));
    connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

/// The table with this name, regardless of case.
fn find(tables: &[Table], name: &str) -> Result<Table> {
    let found = tables.iter().find(|table| table.name.eq_ignore_ascii_case(name));
    match found {
        Some(view) if view.kind == "view" => Err(Error::new(format!(
            "{} is a view, and only a table can be written to",
            named(&view.name)
        ))
        .with_hint("name the table that its rows come from")),
        Some(table) => Ok(table.clone()),
        None => {
            let names: Vec<_> = tables
                .iter()
                .filter(|table| table.kind == "table")
                .map(|table| named(&table.name))
                .collect();
            let there = match names.as_slice() {
                [] => "the database has none".to_owned(),
                [only] => format!("the only one is {only}"),
                names => format!("the tables are {}", names.join(", ")),
            };
            Err(Error::new(format!("there is no table {}: {there}", named(name))))
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
