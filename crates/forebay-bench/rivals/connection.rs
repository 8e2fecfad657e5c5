//! What the rivals over rusqlite share: the settings of a connection, one row, and what a lock error is.

use forebay_trial::{Result, Row, Settings};

use crate::rusqlite::types::Value;
use crate::rusqlite::{self, Connection, ErrorCode};

/// Sets a connection as the request says.
pub(crate) fn set(connection: &Connection, settings: &Settings) -> rusqlite::Result<()> {
    connection.busy_timeout(settings.busy_timeout)?;
    for (name, value) in settings.pragmas() {
        connection.pragma_update(None, name, value)?;
    }
    Ok(())
}

/// Reads the settings of a connection back.
pub(crate) fn check(connection: &Connection, settings: &Settings) -> Result<()> {
    for (name, expected) in settings.read_back() {
        let found = match connection.pragma_query_value(None, name, |row| row.get(0))? {
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => text,
            other => format!("{other:?}"),
        };
        if found != expected {
            return Err(format!("PRAGMA {name} is {found}, not {expected} as asked for").into());
        }
    }
    Ok(())
}

/// Writes a row, in a transaction of its own unless there is one.
pub(crate) fn write(connection: &Connection, sql: &str, row: Row<'_>) -> rusqlite::Result<()> {
    let values = (row.topic_id, row.status, row.progress, row.updated_at);
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

/// Closes a connection that a library holds, and leaves an empty one in its place. To close may copy the log back, which
/// belongs to the trial's CPU time and bytes.
#[allow(dead_code, reason = "other libraries close theirs when they are told to")]
pub(crate) fn close(connection: &mut Connection) -> rusqlite::Result<()> {
    std::mem::replace(connection, Connection::open_in_memory()?).close().map_err(|(_, error)| error)
}

/// Whether an error says that somebody else held the lock.
pub(crate) fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}
