//! The plain model: a database of its own, one transaction for each row or group, SQL by hand.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::operation::{SCHEMA, Write};

pub(crate) struct Twin {
    connection: Connection,
    /// Rows refused, groups by each of their rows.
    pub(crate) rejected: u64,
    /// Rows accepted that changed nothing.
    pub(crate) unchanged: u64,
}

impl Twin {
    pub(crate) fn new() -> Self {
        let connection = Connection::open_in_memory().expect("a twin");
        connection.execute_batch(SCHEMA).expect("the schema");
        Self { connection, rejected: 0, unchanged: 0 }
    }

    /// Applies rows that belong together; whether the database takes them.
    pub(crate) fn apply(&mut self, writes: &[Write]) -> bool {
        let transaction = self.connection.transaction().expect("a transaction");
        let changes = writes
            .iter()
            .map(|write| transaction.execute(write.sql(), params_from_iter(write.parameters())));
        let Ok(changes) = changes.collect::<Result<Vec<_>, _>>() else {
            drop(transaction);
            self.rejected += writes.len() as u64;
            return false;
        };
        transaction.commit().expect("nothing is deferred");
        self.unchanged += changes.into_iter().filter(|&rows| rows == 0).count() as u64;
        true
    }

    /// Runs a statement alone.
    pub(crate) fn execute(&mut self, sql: &str) -> bool {
        let taken = self.connection.execute(sql, ()).is_ok();
        self.rejected += u64::from(!taken);
        taken
    }

    pub(crate) fn tables(&self) -> Tables {
        tables(&self.connection)
    }
}

/// Everything that is in the three tables.
pub(crate) type Tables = Vec<Vec<Vec<Value>>>;

pub(crate) fn tables(connection: &Connection) -> Tables {
    let rows = |table: &str| {
        let sql = format!("SELECT * FROM {table} ORDER BY 1");
        let mut statement = connection.prepare(&sql).expect("a query");
        let columns = statement.column_count();
        let rows = statement
            .query_map((), |row| (0..columns).map(|column| row.get(column)).collect())
            .expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    };
    ["items", "names", "notes"].map(rows).into()
}
