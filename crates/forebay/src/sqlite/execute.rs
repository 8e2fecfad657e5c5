//! A statement that is a batch of its own: alone, and where the books can be kept so, outside a transaction.

use rusqlite::Connection;

use super::SqliteSink;
use super::apply::{begin, roll_back};
use super::books::Bookkeeping;
use super::fault::{Fault, Stage, judge, with_cause};
use crate::batch::Batch;
use crate::error::{Error, ErrorKind};
use crate::row::ValueRef;
use crate::sink::{Applied, Rejection, SinkError};
use crate::sql::{first_word, shortened};

/// Statements that begin or end a transaction.
const CONTROL: [&str; 6] = ["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"];

/// Statements that SQLite refuses in a transaction, or that do nothing there.
const OUTSIDE: [&str; 4] = ["ATTACH", "DETACH", "PRAGMA", "VACUUM"];

impl SqliteSink {
    /// Runs the one statement that is the batch: outside a transaction, but in one with its entry in the books, if it has
    /// one and the statement can be.
    pub(super) fn execute(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        let connection = self.connection.as_mut().expect("apply has opened it");
        let books = &mut self.books;
        let text = match batch.row(0).values().next() {
            Some(ValueRef::Text(sql)) => String::from_utf8_lossy(sql),
            _ => "".into(),
        };
        let word = first_word(&text);
        let is_outside = OUTSIDE.contains(&word.as_str());
        let done = if CONTROL.contains(&word.as_str()) {
            let why = "transactions are the writer's; use group() for rows that belong together";
            refuse(connection, batch, books, failed(&text, why))
        } else if batch.entry().is_none() {
            alone(connection, &text)
        } else if is_outside {
            after_entry(connection, batch, books, &text)
        } else {
            with_entry(connection, batch, books, &text)
        };
        roll_back(connection)?;
        let applied = done?;
        if word == "PRAGMA" && applied.rejected.is_empty() {
            // Whatever it changed about the connection, the buffer needs it as it was.
            self.connection = None;
            self.connection()?;
        }
        Ok(applied)
    }
}

fn failed(sql: &str, why: &str) -> Error {
    Error::new(ErrorKind::Rejected, format!("`{}` failed: {why}", shortened(sql)))
}

fn alone(connection: &Connection, sql: &str) -> Result<Applied, Fault> {
    match run(connection, sql, Stage::Alone) {
        Ok(()) => Ok(Applied { transactions: 1, ..Applied::default() }),
        Err(Fault::Row(error)) => Ok(refused(error)),
        Err(fault) => Err(fault),
    }
}

/// The statement and the entry in one transaction.
fn with_entry(
    connection: &Connection,
    batch: &Batch<'_>,
    books: &mut Bookkeeping,
    sql: &str,
) -> Result<Applied, Fault> {
    begin(connection, batch.row(0).shape().target().table())?;
    if let Some(applied) = books.enter(connection, batch)? {
        return Ok(applied);
    }
    let ran = run(connection, sql, Stage::Inside).and_then(|()| {
        let applied = Applied { transactions: 1, ..Applied::default() };
        books.commit(connection, batch, applied)
    });
    match ran {
        Err(Fault::Row(error)) => {
            roll_back(connection).map_err(Fault::Batch)?;
            refuse(connection, batch, books, error)
        }
        Err(Fault::Deferred(error)) => {
            roll_back(connection).map_err(Fault::Batch)?;
            let error = failed(sql, "SQLite refused to commit it").because(error);
            refuse(connection, batch, books, error)
        }
        ran => ran,
    }
}

/// The entry first, then the statement.
fn after_entry(
    connection: &Connection,
    batch: &Batch<'_>,
    books: &mut Bookkeeping,
    sql: &str,
) -> Result<Applied, Fault> {
    books.enter_alone(connection, batch)?;
    let applied = alone(connection, sql)?;
    if !applied.rejected.is_empty() {
        begin(connection, batch.row(0).shape().target().table())?;
        Bookkeeping::keep(connection, batch, &applied.rejected)?;
        super::apply::commit(connection, batch.row(0).shape().target().table())?;
    }
    Ok(applied)
}

/// A refusal is a decision too, and is entered as one.
fn refuse(
    connection: &Connection,
    batch: &Batch<'_>,
    books: &mut Bookkeeping,
    error: Error,
) -> Result<Applied, Fault> {
    let applied = refused(error);
    if batch.entry().is_none() {
        return Ok(applied);
    }
    begin(connection, batch.row(0).shape().target().table())?;
    if let Some(applied) = books.enter(connection, batch)? {
        return Ok(applied);
    }
    Bookkeeping::keep(connection, batch, &applied.rejected)?;
    books.commit(connection, batch, applied)
}

fn refused(error: Error) -> Applied {
    Applied { rejected: vec![Rejection { row: 0, error }], ..Applied::default() }
}

/// Runs a statement. What it is refused for is a fault of the row.
fn run(connection: &Connection, sql: &str, stage: Stage) -> Result<(), Fault> {
    run_to_end(connection, sql).map_err(|error| match error {
        rusqlite::Error::MultipleStatement => {
            Fault::Row(failed(sql, "it is several statements; call execute() for each"))
        }
        error => match judge(connection, &error, stage, "execute", sql) {
            Fault::Batch(error) => Fault::Batch(error),
            Fault::Row(_) | Fault::Deferred(_) => {
                Fault::Row(with_cause(failed(sql, "SQLite refused it"), &error))
            }
        },
    })
}

fn run_to_end(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    failpoint!(BeforeExecute, |error| error);
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    failpoint!(AfterExecute, |error| error);
    Ok(())
}
