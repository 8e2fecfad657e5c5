//! `--fix`: what is safe to do, each told whether it was done.

use std::fs;

use forebay::SqliteSink;
use forebay::rusqlite::{self, Connection, ErrorCode, MAIN_DB, OpenFlags};
use forebay_bench::Stop;
use forebay_bench::untouched::{beside, bound};

use super::file::Database;
use super::finding::{Finding, Level};
use super::{PATIENCE, log, place};
use crate::words::count;

const MAY_NOT_WRITE: &str =
    "this user may not write to it, or not to its folder or the files beside it";

/// Does what is safe with a database that was looked at, and says what that was.
pub(super) fn fix(database: &Database, findings: &[Finding], stop: &Stop) -> Vec<String> {
    let is_wrong = |check: &str| {
        findings.iter().any(|finding| finding.check == check && finding.level == Level::Error)
    };
    if is_wrong("integrity") || is_wrong("contents") {
        return vec![
            "nothing was done: a database that is damaged, or cannot be read, is left as it is"
                .to_owned(),
        ];
    }
    if SqliteSink::network_filesystem(database.folder()).is_some() {
        return vec!["nothing was done: on a network filesystem WAL cannot work".to_owned()];
    }
    // SQLite would open it for reading only, make -wal and -shm nevertheless, and leave them, as files of this user.
    if let Some(path) = place::unwritable(database) {
        return vec![format!("nothing was done: this user may not write to {}", path.display())];
    }
    let had_log = beside(&database.real, "-wal").exists();
    let connection = match open(database, stop) {
        Ok(connection) => connection,
        Err(error) => return vec![format!("nothing was done: {}", because(&error))],
    };
    if connection.is_readonly(MAIN_DB).unwrap_or(true) {
        return vec![format!("nothing was done: {MAY_NOT_WRITE}")];
    }
    let mut changes = Vec::new();
    if findings.iter().any(|finding| finding.check == "journal") {
        changes.push("rolled back the transaction that a process had left in -journal".to_owned());
    }
    let left = |finding: &Finding| finding.check == "wal" && finding.level > Level::Ok;
    if had_log && findings.iter().any(left) {
        changes.push("opened the log that a process had left, which puts it in order".to_owned());
    }
    if !database.is_in_wal_mode() && place::may_be_shared(database.folder()) {
        let why = "its filesystem may be shared with another machine, where WAL cannot work";
        changes.push(format!("left WAL off: {why}"));
    } else if !database.is_in_wal_mode() {
        changes.push(told("turn WAL on", "turned WAL on", turn_wal_on(&connection)));
    }
    let size = fs::metadata(beside(&database.real, "-wal")).map_or(0, |file| file.len());
    if log::is_large(size) {
        changes.push(told("cut the log", "copied the log back and cut it", cut(&connection)));
    }
    // Of tables that this connection has not used, too, and with a limit to the rows that are read of each, for nobody else
    // can write meanwhile.
    let optimized = connection.execute_batch("PRAGMA optimize=0x10012").map(|()| None);
    changes.push(told(
        "run PRAGMA optimize",
        "ran PRAGMA optimize, which keeps statistics for queries in sqlite_stat1",
        optimized,
    ));
    if let Err((_, error)) = connection.close() {
        changes.push(format!("could not close the database: {}", because(&error)));
    }
    changes
}

/// Opens it, which has SQLite put in order what was left.
fn open(database: &Database, stop: &Stop) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&database.real, flags)?;
    connection.busy_timeout(PATIENCE)?;
    bound(&mut connection, None, stop)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// What became of one thing; `Ok(Some(why not))` where SQLite refused without an error.
fn told(what: &str, done: &str, became: rusqlite::Result<Option<String>>) -> String {
    match became {
        Ok(None) => done.to_owned(),
        Ok(Some(why)) => format!("could not {what}: {why}"),
        Err(error) => format!("could not {what}: {}", because(&error)),
    }
}

fn turn_wal_on(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    Ok((mode != "wal").then(|| format!("the journal mode is {mode}")))
}

fn cut(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let (blocked, pages, copied): (bool, i64, i64) =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let left = u64::try_from(pages - copied).unwrap_or(0);
    Ok(blocked.then(|| {
        format!("somebody reads or writes; {} of it are not copied back", count(left, "page"))
    }))
}

fn because(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("another process has it locked, for longer than {} s", PATIENCE.as_secs())
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => MAY_NOT_WRITE.to_owned(),
        Some(ErrorCode::OperationInterrupted) => "told to stop".to_owned(),
        _ => error.to_string(),
    }
}
