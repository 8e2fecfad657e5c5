//! Which kind of database is written.

/// Which kind of database is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sink {
    /// A SQLite file.
    #[default]
    Sqlite,
    /// A table on a PostgreSQL server.
    Postgres,
}
