//! Connections that write, all set the same way.

use std::collections::BTreeMap;
use std::time::Duration;

use forebay::rusqlite::types::Value;
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
    for (name, expected) in request.settings.read_back() {
        let found = match connection.pragma_query_value(None, name, |row| row.get(0))? {
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => text,
            other => format!("{other:?}"),
        };
        if found != expected {
            return Err(format!("PRAGMA {name} is {found}, not {expected} as asked for").into());
        }
    }
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection.busy_timeout(busy_timeout)?;
    Ok(connection)
}

/// Closes a connection, which may copy the log back: before the trial's CPU time and bytes are counted.
pub(super) fn close(connection: Option<Connection>) -> Result<()> {
    connection.map_or(Ok(()), |open| open.close().map_err(|(_, error)| error.into()))
}

/// Whether an error says that somebody else held the lock.
pub(super) fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// SQLite's version, for an outcome.
pub(super) fn versions() -> BTreeMap<String, String> {
    BTreeMap::from([("sqlite".to_owned(), rusqlite::version().to_owned())])
}
