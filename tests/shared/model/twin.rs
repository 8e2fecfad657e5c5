//! The plain model: a database of its own, one transaction for each row or group, SQL by hand.

use forebay::Value;
use support::{Database, Session};

use super::operation::{SCHEMA, Write};

pub(crate) struct Twin<D: Database> {
    database: D,
    session: D::Session,
    /// Rows refused, groups by each of their rows.
    pub(crate) rejected: u64,
    /// Rows accepted that changed nothing.
    pub(crate) unchanged: u64,
}

impl<D: Database> Twin<D> {
    pub(crate) fn new() -> Self {
        let database = D::new(SCHEMA);
        let session = database.session();
        Self { database, session, rejected: 0, unchanged: 0 }
    }

    /// Applies rows that belong together; whether the database takes them.
    pub(crate) fn apply(&mut self, writes: &[Write]) -> bool {
        let statements: Vec<_> = writes.iter().map(Write::sql).collect();
        let Some(changes) = self.session.unit(&statements) else {
            self.rejected += writes.len() as u64;
            return false;
        };
        self.unchanged += changes.into_iter().filter(|&rows| rows == 0).count() as u64;
        true
    }

    /// Runs a statement alone.
    pub(crate) fn execute(&mut self, sql: &str) -> bool {
        let taken = self.session.unit(&[sql.to_owned()]).is_some();
        self.rejected += u64::from(!taken);
        taken
    }

    pub(crate) fn tables(&self) -> Tables {
        tables(&self.database)
    }
}

/// Everything that is in the three tables.
pub(crate) type Tables = [Vec<Vec<Value>>; 3];

pub(crate) fn tables(database: &impl Database) -> Tables {
    // The notes' numbers are the database's own, and may leave some out: what they say is their order.
    [
        "SELECT id, a, b, at FROM items ORDER BY id",
        "SELECT id, name FROM names ORDER BY id",
        "SELECT what FROM notes ORDER BY n",
    ]
    .map(|sql| database.rows(sql))
}
