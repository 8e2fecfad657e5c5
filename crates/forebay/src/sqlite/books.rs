//! The books: how many rows of a spool the database has decided, entered in the transaction of the rows themselves.
//!
//! Two tables, made when a spool is first used with a database:
//!
//! * `_forebay` has a row for each spool. `applied` is the number of its rows that are decided, which is the sequence number
//!   of the next; `told`, of how many of them the dead letters have been delivered for sure: all before the last batch.
//! * `_forebay_rejected` has the refused rows that nobody holds a receipt for. `letter` is the line that a file for dead
//!   letters would have.
//!
//! A batch moves `applied` from its start to its end, which is the first statement of its transaction: so it is in the database
//! with its rows, or with none of them. Where it does not stand at the start, this very batch was committed by an attempt
//! whose answer was lost, or somebody else writes.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, params};

use super::apply::{begin, commit, control, roll_back};
use super::fault::{Fault, Stage, judge};
use crate::batch::{Batch, Entry};
use crate::error::{Error, ErrorKind, Result};
use crate::reject::DeadLetter;
use crate::sink::{Applied, Books, Rejection, SinkError, Verdict};

const BOOKS: &str = "_forebay";
const LETTERS: &str = "_forebay_rejected";

const MAKE_BOOKS: &str = "CREATE TABLE IF NOT EXISTS main._forebay(\
    spool TEXT PRIMARY KEY, applied INTEGER NOT NULL, told INTEGER NOT NULL) STRICT, WITHOUT ROWID";
const MAKE_LETTERS: &str = "CREATE TABLE IF NOT EXISTS main._forebay_rejected(\
    spool TEXT NOT NULL, seq INTEGER NOT NULL, letter TEXT NOT NULL, PRIMARY KEY(spool, seq)) STRICT, WITHOUT ROWID";
const OPEN: &str = "INSERT INTO main._forebay(spool, applied, told) VALUES (?1, ?2, ?2) \
    ON CONFLICT(spool) DO UPDATE SET applied = excluded.applied, told = min(told, excluded.applied)";
// Batches come one after the other: when one begins, the dead letters of those before it are delivered.
const ENTER: &str =
    "UPDATE main._forebay SET told = applied, applied = ?3 WHERE spool = ?1 AND applied = ?2";
const APPLIED: &str = "SELECT applied FROM main._forebay WHERE spool = ?1";
const KEEP: &str =
    "INSERT OR REPLACE INTO main._forebay_rejected(spool, seq, letter) VALUES (?1, ?2, ?3)";
const UNTOLD: &str =
    "SELECT seq, letter FROM main._forebay_rejected WHERE spool = ?1 AND seq >= ?2 ORDER BY seq";

/// Whether a table is the buffer's own.
pub(super) fn is_own(table: &str) -> bool {
    [BOOKS, LETTERS].iter().any(|own| own.eq_ignore_ascii_case(table))
}

/// What is known of a batch that is tried again.
#[derive(Default)]
pub(super) struct Bookkeeping {
    pending: Option<Pending>,
}

/// A batch that the books have, or may have, and that is not decided.
struct Pending {
    start: u64,
    end: u64,
    known: Known,
}

enum Known {
    /// COMMIT was asked for and its answer was lost: what was decided, if it went through.
    InDoubt(Applied),
    /// It is entered. The statement that the batch is cannot run in the transaction of its entry.
    Entered,
}

impl Bookkeeping {
    /// Enters a batch, as the first statement of its transaction. `Some` when it was committed before: then the
    /// transaction is over, and this is the answer.
    pub(super) fn enter(
        &mut self,
        connection: &Connection,
        batch: &Batch<'_>,
    ) -> Result<Option<Applied>, Fault> {
        let Some(entry) = batch.entry() else { return Ok(None) };
        let places = params![entry.spool, entry.start.cast_signed(), entry.end.cast_signed()];
        let changed = connection
            .prepare_cached(ENTER)
            .and_then(|mut enter| enter.execute(places))
            .map_err(|error| unentered(connection, &error, BOOKS, ENTER))?;
        if changed == 1 {
            self.pending = None;
            return Ok(None);
        }
        let applied = applied(connection, entry.spool)
            .map_err(|error| unentered(connection, &error, BOOKS, APPLIED))?;
        roll_back(connection).map_err(Fault::Batch)?;
        match self.pending.take() {
            Some(Pending { start, end, known })
                if (start, end) == (entry.start, entry.end) && applied == Some(end) =>
            {
                Ok(Some(match known {
                    Known::InDoubt(decided) => decided,
                    Known::Entered => Applied::default(),
                }))
            }
            _ => Err(Fault::Batch(SinkError::fatal(fenced_off(&entry, applied)))),
        }
    }

    /// Enters a batch whose statement is to run after the entry is committed, outside a transaction: at most once, then.
    pub(super) fn enter_alone(
        &mut self,
        connection: &Connection,
        batch: &Batch<'_>,
    ) -> Result<(), Fault> {
        begin(connection, batch.row(0).shape().target().table())?;
        if self.enter(connection, batch)?.is_none() {
            self.commit(connection, batch, Applied::default())?;
        }
        self.remember(batch, Known::Entered);
        Ok(())
    }

    /// Keeps the refused rows that nobody holds a receipt for, in the transaction at hand. A group is refused whole.
    pub(super) fn keep(
        connection: &Connection,
        batch: &Batch<'_>,
        rejected: &[Rejection],
    ) -> Result<(), Fault> {
        let Some(entry) = batch.entry().filter(|_| !rejected.is_empty()) else { return Ok(()) };
        let time = SystemTime::now();
        for (seq, letter) in batch.letters(rejected) {
            let letter =
                letter.to_json(time).map_err(|error| Fault::Batch(SinkError::down(error)))?;
            connection
                .prepare_cached(KEEP)
                .and_then(|mut keep| keep.execute(params![entry.spool, seq.cast_signed(), letter]))
                .map_err(|error| unentered(connection, &error, LETTERS, KEEP))?;
        }
        Ok(())
    }

    /// Commits a batch of which this was decided.
    pub(super) fn commit(
        &mut self,
        connection: &Connection,
        batch: &Batch<'_>,
        decided: Applied,
    ) -> Result<Applied, Fault> {
        match commit(connection, batch.row(0).shape().target().table()) {
            Ok(()) => Ok(decided),
            Err(fault) => {
                if matches!(&fault, Fault::Batch(error) if error.verdict == Verdict::Unknown) {
                    self.remember(batch, Known::InDoubt(decided));
                }
                Err(fault)
            }
        }
    }

    fn remember(&mut self, batch: &Batch<'_>, known: Known) {
        self.pending = batch.entry().map(|Entry { start, end, .. }| Pending { start, end, known });
    }

    /// What is not known now is in the books: the batch is given again, and looked up.
    pub(super) fn soften(&self, batch: &Batch<'_>, error: SinkError) -> SinkError {
        let is_told = !matches!(&self.pending, Some(Pending { known: Known::Entered, .. }));
        if error.verdict != Verdict::Unknown || batch.entry().is_none() || !is_told {
            return error;
        }
        let message = "whether a transaction was committed is found out as soon as the database can be read again";
        SinkError::down(error.error.retold(ErrorKind::Unavailable, message))
    }
}

/// What the database says of a spool.
pub(super) fn look(connection: &Connection, spool: &str) -> Result<Option<Books>> {
    read(connection, spool).map_err(|error| failed(connection, &error))
}

fn read(connection: &Connection, spool: &str) -> rusqlite::Result<Option<Books>> {
    let exists = |table: &str| -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?1";
        connection.prepare(sql)?.exists([table])
    };
    if !exists(BOOKS)? {
        return Ok(None);
    }
    let sql = "SELECT applied, told FROM main._forebay WHERE spool = ?1";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let Some((applied, told)) = connection.query_row(sql, [spool], row).optional()? else {
        return Ok(None);
    };
    let mut books = Books::new(applied.cast_unsigned());
    if exists(LETTERS)? {
        let mut letters = connection.prepare(UNTOLD)?;
        let mut rows = letters.query(params![spool, told])?;
        while let Some(row) = rows.next()? {
            match DeadLetter::from_json(row.get_ref(1)?.as_str()?) {
                Ok(letter) => books.untold.push(letter),
                // What is wrong with it is not told: it may hold values.
                Err(_) => tracing::error!(
                    spool,
                    seq = row.get::<_, i64>(0)?,
                    "a row of {LETTERS} was changed and is no dead letter any more: it is left there and told to nobody"
                ),
            }
        }
    }
    Ok(Some(books))
}

/// Makes the tables where they are missing, and enters a spool.
pub(super) fn open(connection: &Connection, spool: &str, applied: u64) -> Result<(), SinkError> {
    let opened = begin(connection, BOOKS).and_then(|()| {
        control(connection, MAKE_BOOKS, Stage::Prepare, BOOKS)?;
        control(connection, MAKE_LETTERS, Stage::Prepare, LETTERS)?;
        connection
            .execute(OPEN, params![spool, applied.cast_signed()])
            .map_err(|error| unentered(connection, &error, BOOKS, OPEN))?;
        commit(connection, BOOKS)
    });
    if opened.is_err() {
        roll_back(connection)?;
    }
    Ok(opened?)
}

fn applied(connection: &Connection, spool: &str) -> rusqlite::Result<Option<u64>> {
    let mut look = connection.prepare_cached(APPLIED)?;
    look.query_row([spool], |row| row.get(0).map(i64::cast_unsigned)).optional()
}

fn failed(connection: &Connection, error: &rusqlite::Error) -> Error {
    SinkError::from(judge(connection, error, Stage::Prepare, BOOKS, "")).error
}

/// No row of the batch is to blame for what happens to the books.
fn unentered(connection: &Connection, error: &rusqlite::Error, table: &str, sql: &str) -> Fault {
    Fault::Batch(match judge(connection, error, Stage::Step, table, sql) {
        Fault::Batch(error) => error,
        Fault::Row(error) | Fault::Deferred(error) => SinkError::down(error),
    })
}

fn fenced_off(entry: &Entry<'_>, applied: Option<u64>) -> Error {
    let has = match applied {
        Some(rows) => format!("{rows} rows"),
        None => "nothing".to_owned(),
    };
    let message = format!(
        "the database has {has} of the spool {} where this process has written {}: another process writes with a copy of \
         the spool, or the database was replaced by a backup while it was open; stop all that write, see that there is \
         one spool and the database that goes with it, and open them again",
        entry.spool, entry.start
    );
    Error::new(ErrorKind::Spool, message).with_table(BOOKS)
}

#[cfg(test)]
mod tests;
