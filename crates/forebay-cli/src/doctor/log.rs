//! The write-ahead log: is it on, does it work, how large is it, who reads; and the journals of those who have none.

use std::fs;
use std::fs::File;
use std::io::Read;

use forebay::Config;
use forebay_bench::report::units::bytes;
use forebay_bench::untouched::{Access, Unreadable, Untouched, beside};

use super::file::Database;
use super::finding::Finding;
use super::locks::Locks;
use super::place;
use super::process::{self, Process};
use super::shell::quoted;

/// Whether WAL is on and can be used, by how the database could be opened.
pub(super) fn wal(
    database: &Database,
    locks: &Locks,
    opened: Result<&Untouched, &Unreadable>,
) -> Finding {
    const CHECK: &str = "wal";
    let command = place::command_to_fix(database);
    if !database.is_in_wal_mode() {
        let seen = "off: with a rollback journal nobody can commit while somebody reads, and who reads waits for who commits";
        let fix = match place::may_be_shared(database.folder()) {
            true => format!("on a local disk: {command}"),
            false => command,
        };
        return Finding::warning(CHECK, seen, fix);
    }
    let put_in_order = format!("{command} opens it once, which puts it in order");
    match opened.map(Untouched::access) {
        Ok(Access::Write) => Finding::ok(
            CHECK,
            "on, and it works: -wal and -shm could be made, and are removed again",
        ),
        Ok(Access::Read) if locks.log_is_open == Some(true) => {
            Finding::ok(CHECK, "on, and in use: -wal and -shm are there, and open")
        }
        Ok(Access::Read) if locks.log_is_open.is_none() => {
            Finding::ok(CHECK, "on; -wal and -shm are there, and who has them open cannot be seen")
        }
        Ok(Access::Read) => {
            let seen = "on; nobody has the log open: whoever had was killed, or leaves it on purpose; what was committed is kept in it";
            Finding::note(CHECK, seen, put_in_order)
        }
        Ok(Access::Immutable) => {
            let folder = database.folder();
            let seen =
                format!("on, but this user cannot make -wal and -shm in {}", folder.display());
            let fix = format!(
                "let it write to the database and to its folder: `ls -ld {}`",
                quoted(folder)
            );
            Finding::error(CHECK, seen, fix)
        }
        Err(Unreadable::LogAlone) if locks.excluder.is_some() => {
            let seen =
                "on, without -shm: a process has the database for itself (locking_mode=EXCLUSIVE)";
            Finding::warning(
                CHECK,
                seen,
                "leave that pragma out, or end that process, if others are to use it too",
            )
        }
        Err(Unreadable::LogAlone) => {
            let seen = "on, but -wal has no -shm beside it: whoever had the database for itself was killed, or -shm \
                        was removed; what was committed is kept in -wal";
            Finding::warning(CHECK, seen, put_in_order)
        }
        Err(_) => Finding::ok(CHECK, "on; whether it works could not be tried, see below"),
    }
}

/// A journal that a process has left which died in the middle of a transaction.
pub(super) fn journal(database: &Database) -> Option<Finding> {
    const CHECK: &str = "journal";
    let journal = first_of_journal(database)?;
    // One of a transaction that is under way is in use, and gone or another one when that ends.
    let is_in_use = Locks::look(database).ok()?.writer.is_some();
    if is_in_use || first_of_journal(database) != Some(journal) {
        return None;
    }
    let seen = "a process has died in the middle of a transaction, and left its journal (-journal): whoever opens the \
                database next rolls that back";
    let fix =
        format!("{} opens it once; never remove the journal", place::command_to_fix(database));
    Some(Finding::warning(CHECK, seen, fix))
}

/// How the journal begins, with a number that is another one in each transaction. One that begins with a zero is done with.
fn first_of_journal(database: &Database) -> Option<[u8; 16]> {
    let mut first = [0; 16];
    let mut journal = File::open(beside(&database.real, "-journal")).ok()?;
    journal.read_exact(&mut first).ok()?;
    (first[0] != 0).then_some(first)
}

/// How large the log is, and who may keep it from being begun anew.
pub(super) fn size(database: &Database, locks: &Locks) -> Option<Finding> {
    const CHECK: &str = "wal_size";
    let readers: Vec<Process> =
        locks.readers.iter().copied().filter(|reader| Some(*reader) != locks.writer).collect();
    let reading = match readers.as_slice() {
        _ if locks.log_is_open.is_none() => "who reads cannot be seen".to_owned(),
        [] => "nobody is reading at this moment".to_owned(),
        readers => format!("reading at this moment: {}", process::listed(readers)),
    };
    if !database.is_in_wal_mode() {
        return None;
    }
    let log = fs::metadata(beside(&database.real, "-wal")).map_or(0, |file| file.len());
    let seen = format!("{}; {reading}", bytes(log as f64));
    if !is_large(log) {
        return Some(Finding::ok(CHECK, seen));
    }
    let cut = place::command_to_fix(database);
    let fix = match readers.is_empty() {
        true => format!("{cut} copies it back and cuts it; its file does not shrink by itself"),
        false => format!(
            "end that transaction, if it has been open for long, which cannot be seen from outside; then {cut}"
        ),
    };
    Some(Finding::warning(CHECK, format!("the log is large: {seen}"), fix))
}

/// Whether a log is larger than a write buffer would let it be: by one batch, or twice as large where reads overlap.
pub(super) fn is_large(log: u64) -> bool {
    log > 2 * Config::default().max_wal_bytes as u64
}

/// Who has the database open.
pub(super) fn open(database: &Database) -> Finding {
    const CHECK: &str = "open";
    let files = ["", "-wal", "-shm"].map(|ending| beside(&database.real, ending));
    let Some(users) = process::users(&files) else {
        let fix = format!("`lsof {}`", database.word());
        return Finding::note(CHECK, "this system does not tell who has a file open", fix);
    };
    let seen = match users.processes.as_slice() {
        [] => "no process that shows its files to this user has it open".to_owned(),
        processes => format!("open in {}", process::listed(processes)),
    };
    match users.some_are_hidden {
        false if users.processes.is_empty() => Finding::ok(CHECK, "no process has it open"),
        false => Finding::ok(CHECK, seen),
        true => {
            let seen = format!("{seen}; those of other users do not show theirs");
            Finding::note(
                CHECK,
                seen,
                format!("`sudo forebay doctor {}` sees all", database.word()),
            )
        }
    }
}

/// What nobody can see from outside.
pub(super) fn busy_timeout() -> Finding {
    Finding::note(
        "busy_timeout",
        "cannot be seen from outside, for each connection has its own; SQLite's default is 0, `database is locked` at once, Python's 5 s",
        "`PRAGMA busy_timeout=5000` after each open, and `BEGIN IMMEDIATE` where a transaction reads before it writes: one without it fails at once when somebody has written in between",
    )
}
