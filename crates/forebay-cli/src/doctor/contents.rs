//! What is in the database: pages, tables, keys, foreign keys, and whether it is whole.

use std::time::{Duration, Instant};

use forebay::rusqlite::{self, Connection, ErrorCode};
use forebay_bench::Stop;
use forebay_bench::report::units::bytes;
use forebay_bench::untouched::{Unreadable, Untouched};
use rustix::fs::statvfs;

use super::file::Database;
use super::finding::Finding;
use super::place::command_to_fix;
use crate::words::{count, grouped, listed};

/// How long a check of all rows may take that was not asked for.
const TIME: Duration = Duration::from_secs(2);
/// Problems that are told.
const PROBLEMS: usize = 3;
/// The page size that SQLite advises, and that most filesystems have.
const PAGE: u64 = 4_096;

/// Whether checks may take as long as they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    Quick,
    Full,
}

/// A check, and its name.
type Check = (&'static str, fn(&Connection, &Database, Depth) -> rusqlite::Result<Option<Finding>>);

const CHECKS: [Check; 6] = [
    ("integrity", integrity),
    ("page_size", page_size),
    ("free_pages", free_pages),
    ("foreign_keys", foreign_keys),
    ("tables", tables),
    ("triggers", triggers),
];

/// Makes all checks. The connection has begun a transaction. With a rollback journal it is ended first: whoever commits
/// then waits for one check at a time.
pub(super) fn check(
    untouched: &mut Untouched,
    database: &Database,
    depth: Depth,
    stop: &Stop,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, check) in CHECKS {
        let until = (depth == Depth::Quick).then(|| Instant::now() + TIME);
        let found = untouched
            .bound(until, stop)
            .and_then(|()| let_others_commit(untouched.connection(), database))
            .and_then(|()| check(untouched.connection(), database, depth));
        match found {
            Ok(finding) => findings.extend(finding),
            Err(error) => {
                findings.push(unread(name, database, &error.into()));
            }
        }
    }
    findings
}

fn let_others_commit(connection: &Connection, database: &Database) -> rusqlite::Result<()> {
    if database.is_in_wal_mode() || connection.is_autocommit() {
        return Ok(());
    }
    connection.execute_batch("ROLLBACK")
}

/// What is said where the database, or a part of it, could not be read.
pub(super) fn unread(check: &'static str, database: &Database, why: &Unreadable) -> Finding {
    let word = database.word();
    match why {
        Unreadable::Locked => Finding::note(
            check,
            "could not be looked at: another process has the database locked",
            "when the lock is gone, run this again",
        ),
        Unreadable::BrokenOff => Finding::note(
            check,
            "could not be looked at before the transaction in -journal is rolled back, which writes",
            command_to_fix(database),
        ),
        Unreadable::LogAlone => Finding::note(
            check,
            "could not be looked at before -wal is put in order, which writes",
            format!("{} when nobody has it open", command_to_fix(database)),
        ),
        Unreadable::Changed => Finding::warning(
            check,
            "the database was written to while it was read without a lock: what is said of its pages and tables may be wrong",
            "run this again",
        ),
        Unreadable::Sqlite(error) => match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => Finding::note(
                check,
                format!(
                    "not looked at to the end, which would take longer than {} s",
                    TIME.as_secs()
                ),
                format!("`forebay doctor --full {word}`"),
            ),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                damaged(check, "SQLite finds it damaged", database)
            }
            _ => Finding::error(
                check,
                format!("could not be looked at: {error}"),
                "see the findings above; else open it with its application",
            ),
        },
        Unreadable::Missing | Unreadable::Folder | Unreadable::NoFile | Unreadable::Refused(_) => {
            Finding::error(
                check,
                "could not be looked at: this user may not read all of its files, or they have just gone",
                format!("`ls -l {word}*`"),
            )
        }
    }
}

fn damaged(check: &'static str, seen: &str, database: &Database) -> Finding {
    let fix = format!(
        "stop all that writes, copy the file and those beside it, and restore a backup; else save what can be read with a sqlite3 shell of 3.51 or newer, for older ones may save nothing and not say so, and look at the rows before you trust them: `sqlite3 {} .recover | sqlite3 recovered.db`",
        database.word()
    );
    Finding::error(check, seen, fix)
}

fn integrity(
    connection: &Connection,
    database: &Database,
    depth: Depth,
) -> rusqlite::Result<Option<Finding>> {
    let pragma = if depth == Depth::Full { "integrity_check" } else { "quick_check" };
    let problems = texts(connection, &format!("PRAGMA {pragma}({PROBLEMS})"))?;
    Ok(Some(if problems == ["ok"] {
        Finding::ok("integrity", format!("{pragma} found nothing wrong"))
    } else {
        let problems = problems.join("; ").replace('\n', " ");
        damaged("integrity", &format!("damaged, {pragma} says: {problems}"), database)
    }))
}

fn page_size(
    connection: &Connection,
    database: &Database,
    _: Depth,
) -> rusqlite::Result<Option<Finding>> {
    let page = number(connection, "PRAGMA page_size")?;
    let block = statvfs(database.folder()).map_or(PAGE, |disk| disk.f_bsize);
    let seen = format!("{page} bytes, on a filesystem with blocks of {block}");
    Ok(Some(if page >= PAGE.min(block) {
        Finding::ok("page_size", seen)
    } else {
        let fix = format!(
            "when nobody has it open: `sqlite3 {} 'PRAGMA journal_mode=DELETE; PRAGMA page_size={PAGE}; VACUUM; PRAGMA journal_mode=WAL'`",
            database.word()
        );
        Finding::note(
            "page_size",
            format!("{seen}: each write of a page is a read and a write"),
            fix,
        )
    }))
}

fn free_pages(
    connection: &Connection,
    database: &Database,
    _: Depth,
) -> rusqlite::Result<Option<Finding>> {
    let page = number(connection, "PRAGMA page_size")?;
    let (free, all) =
        (number(connection, "PRAGMA freelist_count")?, number(connection, "PRAGMA page_count")?);
    let (mode, shrink) = match number(connection, "PRAGMA auto_vacuum")? {
        0 => ("none", "VACUUM"),
        1 => ("full", "VACUUM"),
        _ => ("incremental", "'PRAGMA incremental_vacuum'"),
    };
    let size = bytes((free * page) as f64);
    let percent = 100 * free / all.max(1);
    let seen = format!(
        "{} of {} ({percent} %, {size}); auto_vacuum is {mode}",
        grouped(free),
        grouped(all)
    );
    Ok(Some(if percent < 25 || free * page < 1 << 20 {
        Finding::ok("free_pages", seen)
    } else {
        let fix = format!(
            "new rows use them; to shrink the file, when nobody writes: `sqlite3 {} {shrink}`",
            database.word()
        );
        Finding::note("free_pages", seen, fix)
    }))
}

fn foreign_keys(
    connection: &Connection,
    database: &Database,
    _: Depth,
) -> rusqlite::Result<Option<Finding>> {
    const CHECK: &str = "foreign_keys";
    let declared = number(
        connection,
        "SELECT count(DISTINCT t.name || '/' || k.id) FROM pragma_table_list AS t, pragma_foreign_key_list(t.name) AS k \
         WHERE t.schema = 'main'",
    )?;
    if declared == 0 {
        return Ok(Some(Finding::ok(CHECK, "there are none")));
    }
    let command = format!("`sqlite3 {} 'PRAGMA foreign_key_check'`", database.word());
    let violations = texts(
        connection,
        "SELECT \"table\" || ' (' || count(*) || ')' FROM pragma_foreign_key_check GROUP BY \"table\"",
    );
    let violations = match violations {
        // A key that points to what is no key: every write to its table fails.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => {
            let seen = format!("one cannot be enforced: {error}");
            return Ok(Some(Finding::error(
                CHECK,
                seen,
                "make the columns that it names a key of their table",
            )));
        }
        violations => violations?,
    };
    Ok(Some(if violations.is_empty() {
        let seen = format!(
            "{declared}, and every row keeps them; each connection enforces them only if told, which forebay does"
        );
        Finding::ok(CHECK, seen)
    } else {
        let tables = listed(violations.iter().map(String::as_str));
        let seen = format!(
            "rows point to rows that are not there, in {tables}; forebay enforces foreign keys, and would reject such rows"
        );
        Finding::warning(CHECK, seen, format!("mend or delete those that this names: {command}"))
    }))
}

fn tables(connection: &Connection, _: &Database, _: Depth) -> rusqlite::Result<Option<Finding>> {
    const CHECK: &str = "tables";
    let of_users = "FROM pragma_table_list AS t WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE \
                    'sqlite\\_%' ESCAPE '\\' AND t.name NOT IN ('_forebay', '_forebay_rejected')";
    let all = number(connection, &format!("SELECT count(*) {of_users}"))?;
    let keyless = texts(
        connection,
        &format!(
            "SELECT t.name {of_users} AND NOT EXISTS (SELECT 1 FROM pragma_table_info(t.name) WHERE pk > 0) \
             AND NOT EXISTS (SELECT 1 FROM pragma_index_list(t.name) WHERE \"unique\" AND NOT partial) ORDER BY t.name"
        ),
    )?;
    Ok(Some(match (all, keyless.as_slice()) {
        (0, _) => Finding::ok(CHECK, "there are none"),
        (all, []) => {
            Finding::ok(CHECK, format!("{}, and every one has a key", count(all, "table")))
        }
        (_, [first, ..]) => {
            let names = listed(keyless.iter().map(String::as_str));
            let seen =
                format!("without a key, so that rows can be inserted and not upserted: {names}");
            let name = first.replace('"', "\"\"");
            let fix = format!(
                "if rows of it are updated, in SQL, with the columns that tell one row from another: `CREATE UNIQUE INDEX \"key of {name}\" ON \"{name}\"(COLUMN)`"
            );
            Finding::note(CHECK, seen, fix)
        }
    }))
}

fn triggers(connection: &Connection, _: &Database, _: Depth) -> rusqlite::Result<Option<Finding>> {
    let sql = "SELECT DISTINCT tbl_name FROM sqlite_schema WHERE type = 'trigger' ORDER BY 1";
    let tables = texts(connection, sql)?;
    if tables.is_empty() {
        return Ok(None);
    }
    let names = listed(tables.iter().map(String::as_str));
    let seen =
        format!("on {names}: they see only the rows that are written, and in the order of writing");
    let fix = "for these tables leave coalesce() out if a trigger has to see every change; unordered() is refused";
    Ok(Some(Finding::note("triggers", seen, fix)))
}

fn number(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    let number: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(u64::try_from(number).unwrap_or(0))
}

fn texts(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}
