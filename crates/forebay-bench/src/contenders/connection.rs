//! Connections that write, all set the same way.

use std::collections::BTreeMap;
use std::time::Duration;

use forebay::rusqlite::{self, Connection, ErrorCode, OpenFlags};
use forebay_trial::{Request, Result};

/// Statements that a connection keeps prepared.
const CACHED_STATEMENTS: usize = 64;

/// Opens a connection that writes, with the request's settings, and reads them back.
pub(super) fn connect(request: &Request) -> Result<Connection> {
    connect_waiting(request, request.settings.busy_timeout)
}

/// The same, with another patience for locks.
pub(super) fn connect_waiting(request: &Request, busy_timeout: Duration) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&request.database, flags)?;
    connection.busy_timeout(request.settings.busy_timeout)?;
    for (name, value) in request.settings.pragmas() {
        connection.pragma_update(None, name, &value)?;
    }
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode != request.settings.journal_mode {
        return Err(
            format!("the journal mode is {mode}, not {}", request.settings.journal_mode).into()
        );
    }
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection.busy_timeout(busy_timeout)?;
    Ok(connection)
}

/// Whether an error says that somebody else held the lock.
pub(super) fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// SQLite's version, for an outcome.
pub(super) fn versions() -> BTreeMap<String, String> {
    BTreeMap::from([("sqlite".to_owned(), rusqlite::version().to_owned())])
}
