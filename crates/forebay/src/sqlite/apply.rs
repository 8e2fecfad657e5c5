//! One batch, one transaction.

use std::ops::Range;

use rusqlite::types::{ToSqlOutput, ValueRef as SqlValue};
use rusqlite::{CachedStatement, Connection, ToSql};

use super::books::Bookkeeping;
use super::fault::{Fault, Stage, judge, text};
use super::open::max_parameters;
use super::sql::{self, Texts};
use super::{SqliteSink, describe, isolate};
use crate::batch::{Batch, Row};
use crate::error::{Error, ErrorKind};
use crate::row::ValueRef;
use crate::shape::Shape;
use crate::sink::{Applied, SinkError};

impl SqliteSink {
    /// Writes a batch: all at once first, then, after any refusal, with a savepoint around every statement.
    pub(super) fn write(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        let connection = self.connection.as_mut().expect("apply has opened it");
        match write_all(connection, batch, &mut self.texts, &mut self.books) {
            Ok(applied) => Ok(applied),
            Err(fault) => {
                roll_back(connection)?;
                match fault {
                    Fault::Batch(error) => {
                        describe::refresh_schema(connection);
                        Err(error)
                    }
                    Fault::Row(error) | Fault::Deferred(error) if batch.is_merged() => {
                        Err(SinkError::unmerge(error))
                    }
                    Fault::Row(_) | Fault::Deferred(_) => {
                        failpoint!(BeforeIsolation);
                        let Self { texts, books, signals, .. } = self;
                        isolate::write(connection, batch, texts, books, signals)
                    }
                }
            }
        }
    }
}

/// The whole batch in one transaction, with nothing that only a refused row needs.
fn write_all(
    connection: &Connection,
    batch: &Batch<'_>,
    texts: &mut Texts,
    books: &mut Bookkeeping,
) -> Result<Applied, Fault> {
    let table = batch.row(0).shape().target().table();
    begin(connection, table)?;
    if let Some(applied) = books.enter(connection, batch)? {
        return Ok(applied);
    }
    let mut statements = Statements::new(connection, texts);
    let mut unchanged = 0;
    let mut next = 0;
    while next < batch.len() {
        let run = run_length(batch, next..batch.len());
        let size = statements.size(batch.row(next).shape(), run);
        unchanged += statements.run(batch, next..next + size)?;
        failpoint!(MidBatch, connection, Stage::Step, table);
        next += size;
    }
    drop(statements);
    books.commit(connection, batch, Applied { rejected: Vec::new(), unchanged, transactions: 1 })
}

/// How many rows from the start of `rows` have the same shape, as far as it matters to a statement's size.
pub(super) fn run_length(batch: &Batch<'_>, rows: Range<usize>) -> usize {
    let shape = batch.shape_id(rows.start);
    rows.take(sql::SIZES[0]).take_while(|&row| batch.shape_id(row) == shape).count()
}

/// Always IMMEDIATE: a deferred transaction that meets another writer's commit half-way is refused at
/// once, whatever the busy timeout.
pub(super) fn begin(connection: &Connection, table: &str) -> Result<(), Fault> {
    failpoint!(BeforeBegin, connection, Stage::Begin, table);
    control(connection, "BEGIN IMMEDIATE", Stage::Begin, table)?;
    failpoint!(AfterBegin, connection, Stage::Step, table);
    Ok(())
}

pub(super) fn commit(connection: &Connection, table: &str) -> Result<(), Fault> {
    failpoint!(BeforeCommit, connection, Stage::Commit, table);
    control(connection, "COMMIT", Stage::Commit, table)?;
    failpoint!(AfterCommit, connection, Stage::Commit, table);
    Ok(())
}

pub(super) fn control(
    connection: &Connection,
    sql: &str,
    stage: Stage,
    table: &str,
) -> Result<(), Fault> {
    let run = connection.prepare_cached(sql).and_then(|mut statement| statement.raw_execute());
    run.map(drop).map_err(|error| judge(connection, &error, stage, table, sql))
}

/// After an error the transaction may or may not be gone.
pub(super) fn roll_back(connection: &Connection) -> Result<(), SinkError> {
    if connection.is_autocommit() {
        return Ok(());
    }
    failpoint!(BeforeRollback, |error| not_rolled_back(&error));
    connection.execute_batch("ROLLBACK").map_err(|error| not_rolled_back(&error))?;
    failpoint!(AfterRollback);
    Ok(())
}

fn not_rolled_back(error: &rusqlite::Error) -> SinkError {
    let message = format!("ROLLBACK failed: {}", text(error));
    SinkError::lost(Error::new(ErrorKind::Unavailable, message))
}

/// Prepared statements, taken from the connection's cache once for a whole batch: producers that alternate
/// would otherwise look them up for each row.
pub(super) struct Statements<'c, 't> {
    connection: &'c Connection,
    texts: &'t mut Texts,
    max_parameters: usize,
    taken: Vec<(u16, usize, CachedStatement<'c>)>,
}

impl<'c, 't> Statements<'c, 't> {
    pub(super) fn new(connection: &'c Connection, texts: &'t mut Texts) -> Self {
        Self { connection, texts, max_parameters: max_parameters(connection), taken: Vec::new() }
    }

    pub(super) fn size(&self, shape: &Shape, rows: usize) -> usize {
        sql::size(shape, rows, self.max_parameters)
    }

    /// Runs one statement for `rows`, which all have one shape. Returns how many of them changed nothing.
    pub(super) fn run(&mut self, batch: &Batch<'_>, rows: Range<usize>) -> Result<u64, Fault> {
        let shape = batch.row(rows.start).shape();
        let count = rows.len();
        let connection = self.connection;
        let index =
            match self.taken.iter().position(|(id, size, _)| (*id, *size) == (shape.id(), count)) {
                Some(index) => index,
                None => {
                    let text = self.texts.of(shape, count);
                    let statement = connection.prepare_cached(&text).map_err(|error| {
                        judge(connection, &error, Stage::Prepare, shape.target().table(), &text)
                    })?;
                    self.taken.push((shape.id(), count, statement));
                    self.taken.len() - 1
                }
            };
        let statement = &mut self.taken[index].2;
        let changed = bind(statement, batch, rows).and_then(|()| statement.raw_execute());
        match changed {
            Ok(changed) => Ok((count as u64).saturating_sub(changed as u64)),
            Err(error) => {
                let text = self.texts.of(shape, count);
                Err(judge(connection, &error, Stage::Step, shape.target().table(), &text))
            }
        }
    }
}

fn bind(
    statement: &mut CachedStatement<'_>,
    batch: &Batch<'_>,
    rows: Range<usize>,
) -> rusqlite::Result<()> {
    let mut next = 1;
    for row in rows {
        let row: Row<'_> = batch.row(row);
        let parameters = row.shape().parameters();
        for (position, value) in row.values().enumerate() {
            let parameter = parameters.get(position).copied().unwrap_or(next);
            statement.raw_bind_parameter(parameter, Bound(value))?;
            next += 1;
        }
    }
    Ok(())
}

/// A value on its way into a statement.
struct Bound<'a>(ValueRef<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            ValueRef::Null => SqlValue::Null,
            ValueRef::Integer(number) => SqlValue::Integer(number),
            ValueRef::Real(number) => SqlValue::Real(number),
            ValueRef::Text(text) => SqlValue::Text(text),
            ValueRef::Blob(bytes) => SqlValue::Blob(bytes),
        }))
    }
}
