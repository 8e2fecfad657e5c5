//! The SQLite database that tables are copied from: left as it is, and read as it was at one moment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay::rusqlite::{self, Connection};
use forebay_bench::Stop;
use forebay_bench::untouched::{Unreadable, Untouched};

use crate::failure::{Failure, Result};
use crate::unreadable;
use crate::words::listed;

/// How long a lock of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A database that is read in one transaction.
pub(super) struct Source {
    database: Untouched,
    name: PathBuf,
    /// Its path in full, by which a copy that goes on knows it again.
    pub(super) identity: String,
}

/// A table, or what looks like one.
pub(super) struct Listed {
    pub(super) name: String,
    /// `table`, `virtual`, `view` or `shadow`.
    pub(super) kind: String,
    pub(super) is_without_rowid: bool,
}

impl Source {
    /// Opens it. Blocks while another process has it locked, for 5 seconds at the most.
    pub(super) fn open(name: &Path, stop: &Stop) -> Result<Self> {
        let failed = |why| unread(name, why);
        let mut database = Untouched::open(name, PATIENCE, stop).map_err(failed)?;
        database.bound(None, stop).map_err(|error| failed(error.into()))?;
        let identity = name.canonicalize().unwrap_or_else(|_| name.to_owned());
        let identity = identity.to_string_lossy().into_owned();
        Ok(Self { database, name: name.to_owned(), identity })
    }

    pub(super) fn connection(&self) -> &Connection {
        self.database.connection()
    }

    /// Why it could not be read.
    pub(super) fn failed(&self, error: rusqlite::Error) -> Failure {
        unread(&self.name, error.into())
    }

    /// All that may be copied, and what only looks so; not what SQLite and forebay keep for themselves.
    pub(super) fn tables(&self) -> Result<Vec<Listed>> {
        let sql = "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE \
                   'sqlite\\_%' ESCAPE '\\' AND name NOT IN ('_forebay', '_forebay_rejected') ORDER BY name";
        let listed = self.connection().prepare(sql).and_then(|mut statement| {
            let tables = statement.query_map([], |row| {
                let (name, kind, is_without_rowid) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(Listed { name, kind, is_without_rowid })
            })?;
            tables.collect()
        });
        listed.map_err(|error| self.failed(error))
    }

    /// The table of this name, without regard to ASCII case.
    pub(super) fn find<'t>(&self, tables: &'t [Listed], name: &str) -> Result<&'t Listed> {
        let (file, what) = (self.name.display(), |why: &str| format!("cannot copy {name}: {why}"));
        let found = tables.iter().find(|table| table.name.eq_ignore_ascii_case(name));
        match found.map(|table| (table, table.kind.as_str())) {
            Some((table, "table")) => Ok(table),
            Some((_, "view")) => Err(Failure::new(what("it is a view"))
                .hint("copy the tables that it reads, and make the view in PostgreSQL by hand")),
            Some((_, kind)) => Err(Failure::new(what(&format!(
                "it is a {kind} table, which belongs to a module of SQLite's"
            )))),
            None => {
                let tables: Vec<_> = tables.iter().filter(|table| table.kind == "table").collect();
                let names = listed(tables.iter().map(|table| table.name.as_str()));
                let failure = Failure::new(format!("{file} has no table {name}"));
                Err(if names.is_empty() {
                    failure.hint("it has no table at all: check the path")
                } else {
                    failure.hint(format!("its tables are {names}"))
                })
            }
        }
    }

    /// Closes it, and says whether what was read is what was there.
    pub(super) fn close(self) -> Result<()> {
        self.database.close().map_err(|why| unread(&self.name, why))
    }
}

fn unread(name: &Path, why: Unreadable) -> Failure {
    let cannot = format!("cannot read the database {}", name.display());
    unreadable::failure(&cannot, name, why, "check the path")
}
