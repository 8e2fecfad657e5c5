//! The books: how far a buffer's batches are in the database, entered in the transaction of the rows themselves.
//!
//! `_forebay` has a row for each spool, and one for each buffer without a spool while it is open. `applied` is the number of its rows that
//! are decided, which is the sequence number of the next; `told`, of how many of them the dead letters have been delivered for
//! sure. `_forebay_rejected` has the refused rows of spools that nobody holds a receipt for.
//!
//! A batch moves `applied` from its start to its end, which is the first statement of its transaction. Where it does not stand at the
//! start, this very batch was committed by an attempt whose answer was lost, or somebody else writes. Should the server still be about
//! that attempt's `COMMIT`, the entry waits for its lock on the row.

use std::time::SystemTime;

use forebay::{Applied, Batch, Books, DeadLetter, Entry, Error, ErrorKind, Rejection, SinkError};
use tokio_postgres::{Client, Statement};

use crate::apply::{Work, answer};
use crate::encode::Hidden;
use crate::fault::{Failure, Fault, Verdict};

/// The SQL that makes the tables in which a sink keeps its books; it may be run again. Whoever writes rows needs SELECT, INSERT, UPDATE and
/// DELETE on both.
pub const BOOKS_SQL: &str = "\
CREATE TABLE IF NOT EXISTS _forebay (
    spool text PRIMARY KEY,
    applied bigint NOT NULL,
    told bigint NOT NULL,
    changed timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS _forebay_rejected (
    spool text NOT NULL,
    seq bigint NOT NULL,
    letter text NOT NULL,
    PRIMARY KEY (spool, seq)
);
";

pub(crate) const BOOKS: &str = "_forebay";
const LETTERS: &str = "_forebay_rejected";

const ARE_THERE: &str =
    "SELECT to_regclass('_forebay') IS NOT NULL AND to_regclass('_forebay_rejected') IS NOT NULL";
// Batches come one after the other: when one begins, the dead letters of those before it are delivered.
pub(crate) const ENTER: &str = "UPDATE _forebay SET told = applied, applied = $3, changed = now() WHERE spool = $1 AND applied = $2";
// Never backwards: over a connection that was given up it may come late, when batches have been entered over another.
const OPEN: &str = "INSERT INTO _forebay (spool, applied, told) VALUES ($1, $2, $2) \
    ON CONFLICT (spool) DO UPDATE SET applied = greatest(_forebay.applied, excluded.applied)";
const LOOK: &str = "SELECT applied, told FROM _forebay WHERE spool = $1";
// Of a process that was killed the server may be about the last COMMIT still: it is waited for.
const LOOK_BEHIND: &str = "SELECT applied, told FROM _forebay WHERE spool = $1 FOR UPDATE";
const UNTOLD: &str =
    "SELECT seq, letter FROM _forebay_rejected WHERE spool = $1 AND seq >= $2 ORDER BY seq";
const KEEP: &str = "INSERT INTO _forebay_rejected (spool, seq, letter) VALUES ($1, $2, $3) \
    ON CONFLICT (spool, seq) DO UPDATE SET letter = excluded.letter";
const CLOSE: &str = "DELETE FROM _forebay WHERE spool = $1";
// Of buffers whose process was killed. One that lives, however long it has had nothing to write, enters itself anew.
const SWEEP: &str =
    "DELETE FROM _forebay WHERE spool LIKE 'buffer-%' AND changed < now() - interval '7 days'";

/// Whether a table is the buffer's own.
pub(crate) fn is_own(table: &str) -> bool {
    [BOOKS, LETTERS].iter().any(|own| own.eq_ignore_ascii_case(table))
}

/// Whether both tables are there.
pub(crate) async fn are_there(client: &Client) -> Result<bool, tokio_postgres::Error> {
    Ok(client.query_one(ARE_THERE, &[]).await?.get(0))
}

/// What is known of a batch that is tried again.
pub(crate) struct Bookkeeping {
    /// Under which this buffer is entered where it has no spool.
    pub(crate) name: String,
    is_entered: bool,
    pending: Option<Pending>,
}

/// A batch whose COMMIT was asked for, and of which no answer came.
struct Pending {
    start: u64,
    end: u64,
    /// If it went through.
    decided: Applied,
}

impl Bookkeeping {
    pub(crate) fn new() -> Self {
        let name = format!("buffer-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        Self { name, is_entered: false, pending: None }
    }

    /// The statement that enters a batch, if it has an entry.
    pub(crate) async fn entry(
        work: &mut Work<'_>,
        batch: &Batch<'_>,
    ) -> Result<Option<Statement>, Fault> {
        let Some(entry) = batch.entry() else { return Ok(None) };
        if entry.spool == work.books.name && !work.books.is_entered {
            let client = work.session.client();
            let enter = async {
                client.execute(SWEEP, &[]).await?;
                open(client, entry.spool, entry.start).await
            };
            let entered = work.answer(enter).await;
            entered.map_err(|trouble| unentered(work.judge(&trouble, BOOKS)))?;
            work.books.is_entered = true;
        }
        let prepared = answer(work.options, work.signals, work.session.books(ENTER)).await;
        prepared.map(Some).map_err(|trouble| unentered(work.judge(&trouble, BOOKS)))
    }

    /// The entry of a batch is made in the transaction at hand.
    pub(crate) fn entered(&mut self) {
        self.pending = None;
    }

    /// What became of a batch in doubt, if the books say already that it was committed. If not, the server may be about it still,
    /// for which the entry of the next attempt waits.
    pub(crate) async fn found_out(
        work: &mut Work<'_>,
        batch: &Batch<'_>,
    ) -> Result<Option<Applied>, Failure> {
        let Some(entry) = batch.entry().filter(|entry| work.books.is_in_doubt(entry)) else {
            return Ok(None);
        };
        match Self::applied(work, &entry).await {
            Ok(Some(applied)) if applied == entry.end => {
                Ok(Some(Self::settle(work, &entry).await?))
            }
            Ok(_) => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    async fn applied(work: &mut Work<'_>, entry: &Entry<'_>) -> Result<Option<u64>, Fault> {
        let row = work.answer(work.session.client().query_opt(LOOK, &[&entry.spool])).await;
        let row = row.map_err(|trouble| unentered(work.judge(&trouble, BOOKS)))?;
        Ok(row.map(|row| row.get::<_, i64>(0).cast_unsigned()))
    }

    /// The entry could not be made: the books do not stand at the batch's start. The answer, when it was committed before.
    pub(crate) async fn settle(work: &mut Work<'_>, entry: &Entry<'_>) -> Result<Applied, Fault> {
        let applied = Self::applied(work, entry).await?;
        let books = &mut *work.books;
        let is_own = entry.spool == books.name;
        if books.is_in_doubt(entry) {
            match applied {
                Some(applied) if applied == entry.end => {
                    return Ok(books
                        .pending
                        .take()
                        .map(|pending| pending.decided)
                        .unwrap_or_default());
                }
                // A standby has taken over that had not come so far: this batch cannot be there either.
                Some(applied) if is_own && applied < entry.start => return Err(books.begin_anew()),
                None if is_own => {
                    let gone = "the row of _forebay that tells whether a transaction was committed is gone";
                    books.pending = None;
                    return Err(Failure::new(Verdict::Unknown, trouble_with_books(gone)).into());
                }
                _ => {}
            }
        } else if is_own && applied.is_none_or(|applied| applied < entry.start) {
            // Somebody has tidied the table up, or the batch before this one was given up.
            return Err(books.begin_anew());
        }
        Err(Failure::new(Verdict::Fatal, fenced_off(entry, applied)).into())
    }

    /// Keeps the refused rows of a spool that nobody holds a receipt for, in the transaction at hand.
    pub(crate) async fn keep(
        work: &mut Work<'_>,
        batch: &Batch<'_>,
        rejected: &[Rejection],
    ) -> Result<(), Fault> {
        let Some(entry) = batch.entry().filter(|entry| entry.spool != work.books.name) else {
            return Ok(());
        };
        let time = SystemTime::now();
        for (seq, letter) in batch.letters(rejected) {
            let letter =
                letter.to_json(time).map_err(|error| Failure::new(Verdict::Down, error))?;
            let letter = in_ascii(&letter);
            let (client, seq, letter) = (work.session.client(), seq.cast_signed(), Hidden(&letter));
            let kept = work
                .answer(async { client.execute(KEEP, &[&entry.spool, &seq, &letter]).await })
                .await;
            kept.map_err(|trouble| unentered(work.judge(&trouble, LETTERS)))?;
        }
        Ok(())
    }

    /// The next attempt enters this buffer where its batch begins.
    fn begin_anew(&mut self) -> Fault {
        self.pending = None;
        self.is_entered = false;
        let anew = "the buffer's row in _forebay is not where it was left, and is made again";
        Failure::new(Verdict::Busy, trouble_with_books(anew)).into()
    }

    /// The answer to COMMIT was lost.
    pub(crate) fn in_doubt(&mut self, batch: &Batch<'_>, decided: Applied) {
        let pending = |entry: Entry<'_>| Pending { start: entry.start, end: entry.end, decided };
        self.pending = batch.entry().map(pending);
    }

    fn is_in_doubt(&self, entry: &Entry<'_>) -> bool {
        let range = self.pending.as_ref().map(|pending| (pending.start, pending.end));
        range == Some((entry.start, entry.end))
    }

    /// What is not known now is in the books: the batch is given again, and looked up.
    pub(crate) fn soften(&self, batch: &Batch<'_>, failure: Failure) -> SinkError {
        let is_in_doubt = batch.entry().is_some_and(|entry| self.is_in_doubt(&entry));
        match failure.verdict {
            _ if !is_in_doubt => failure.into(),
            Verdict::Fatal => SinkError::lost(failure.error),
            Verdict::Busy | Verdict::Down | Verdict::Unknown => SinkError::in_doubt(failure.error),
        }
    }
}

/// The same JSON in ASCII, which databases of every encoding hold: the row may have been refused for a character that this one does not.
fn in_ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        if char.is_ascii() {
            text.push(char);
        } else {
            let escaped = |unit: &u16| format!("\\u{unit:04x}");
            text.extend(char.encode_utf16(&mut [0; 2]).iter().map(escaped));
        }
    }
    text
}

fn trouble_with_books(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, message).with_table(BOOKS)
}

/// What the database says of a spool, when nobody is about to change it.
pub(crate) async fn look(
    client: &Client,
    spool: &str,
) -> Result<Option<Books>, tokio_postgres::Error> {
    let Some(row) = client.query_opt(LOOK_BEHIND, &[&spool]).await? else { return Ok(None) };
    let (applied, told): (i64, i64) = (row.get(0), row.get(1));
    let mut books = Books::new(applied.cast_unsigned());
    for row in client.query(UNTOLD, &[&spool, &told]).await? {
        match DeadLetter::from_json(row.get(1)) {
            Ok(letter) => books.untold.push(letter),
            // What is wrong with it is not told: it may hold values.
            Err(_) => tracing::error!(
                spool,
                seq = row.get::<_, i64>(0),
                "a row of {LETTERS} was changed and is no dead letter any more: it is left there and told to nobody"
            ),
        }
    }
    Ok(Some(books))
}

/// Enters a spool of which the database is said to have `applied` rows.
pub(crate) async fn open(
    client: &Client,
    spool: &str,
    applied: u64,
) -> Result<(), tokio_postgres::Error> {
    client.execute(OPEN, &[&spool, &applied.cast_signed()]).await.map(drop)
}

/// The buffer ends, and nothing of it is in doubt.
pub(crate) async fn close(client: &Client, books: &Bookkeeping) {
    if books.is_entered && books.pending.is_none() {
        // Where it cannot be done, another buffer sweeps it up in a week.
        let _ = client.execute(CLOSE, &[&books.name]).await;
    }
}

/// No row of the batch is to blame for what happens to the books.
pub(crate) fn unentered(fault: Fault) -> Fault {
    Fault::Batch(match fault {
        Fault::Batch(failure) => failure,
        Fault::Row(error) | Fault::Deferred(error) => Failure::new(Verdict::Down, error),
    })
}

fn fenced_off(entry: &Entry<'_>, applied: Option<u64>) -> Error {
    let has = match applied {
        Some(rows) => format!("{rows} rows"),
        None => "nothing".to_owned(),
    };
    let message = format!(
        "the database has {has} of {} where this process has written {}: another process writes under the same name, as with a copy of \
         the spool, or the database was replaced by a backup while it was open; stop all that write, see that there is one \
         spool and the database that goes with it, and open them again",
        entry.spool, entry.start
    );
    Error::new(ErrorKind::Spool, message).with_table(BOOKS)
}
