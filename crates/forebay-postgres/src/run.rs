//! Which rows of a batch are one statement, and their parameters.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use forebay::{Batch, Error, ErrorKind, Operation, Row, ValueRef};
use tokio_postgres::Statement;

use crate::apply::{Work, answer};
use crate::encode::{Param, arrays, scalars};
use crate::fault::{Failure, Fault, Verdict};
use crate::session::Prepared;

/// Whether a row may be left out because a newer one of its statement has its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    KeepNewest,
    /// After the database refused one of the rows: it might have accepted these.
    WriteAll,
}

/// A statement with its parameters.
pub(crate) struct Call {
    pub(crate) statement: Statement,
    pub(crate) params: Vec<Param>,
    /// How many rows it writes at the most.
    pub(crate) rows: u64,
    /// The first of them.
    pub(crate) first: usize,
}

/// What has to be sent for some rows of a batch, in their order.
pub(crate) async fn calls(
    work: &mut Work<'_>,
    batch: &Batch<'_>,
    rows: Range<usize>,
    repeats: Repeats,
) -> Result<Vec<Call>, Fault> {
    let mut calls = Vec::new();
    let mut next = rows.start;
    while next < rows.end {
        let id = batch.shape_id(next);
        let end = (next..rows.end).find(|&row| batch.shape_id(row) != id).unwrap_or(rows.end);
        let shape = batch.row(next).shape();
        let table = shape.target().table();
        let prepared = answer(work.options, work.signals, work.session.prepared(shape)).await;
        let prepared =
            prepared.map_err(|trouble| work.judge(&trouble, table))?.ok_or_else(|| gone(table))?;
        let made = if prepared.parameters.is_some() {
            one_by_one(batch, next..end, &prepared, &mut calls)
        } else {
            together(batch, next..end, &prepared, repeats, &mut calls)
        };
        made.map_err(Fault::Row)?;
        next = end;
    }
    Ok(calls)
}

fn gone(table: &str) -> Fault {
    let message = format!(
        "{table} cannot be written: the table, or a column of its rows, is not there any more"
    );
    let error = Error::new(ErrorKind::Unavailable, message).with_table(table);
    Fault::Batch(Failure::new(Verdict::Down, error))
}

fn one_by_one(
    batch: &Batch<'_>,
    rows: Range<usize>,
    prepared: &Prepared,
    calls: &mut Vec<Call>,
) -> Result<(), Error> {
    for row in rows {
        let params = scalars(batch, row, prepared)?;
        calls.push(Call { statement: prepared.statement.clone(), params, rows: 1, first: row });
    }
    Ok(())
}

/// Rows of one shape, in as few statements as their keys allow.
fn together(
    batch: &Batch<'_>,
    rows: Range<usize>,
    prepared: &Arc<Prepared>,
    repeats: Repeats,
    calls: &mut Vec<Call>,
) -> Result<(), Error> {
    let has_key = matches!(
        batch.row(rows.start).shape().target().operation(),
        Operation::Upsert { .. } | Operation::Update { .. } | Operation::Delete { .. }
    );
    let mut add = |rows: &[usize]| {
        let params = arrays(batch, rows, prepared)?;
        let (count, first) = (rows.len() as u64, rows[0]);
        calls.push(Call { statement: prepared.statement.clone(), params, rows: count, first });
        Ok(())
    };
    if !has_key {
        return add(&rows.collect::<Vec<_>>());
    }
    let may_leave_out = repeats == Repeats::KeepNewest && !prepared.has_triggers;
    let mut statement = Keyed::default();
    for row in rows {
        if !statement.take(batch, row, may_leave_out) {
            add(&statement.finish(prepared.has_triggers))?;
            statement = Keyed::default();
            statement.take(batch, row, may_leave_out);
        }
    }
    add(&statement.finish(prepared.has_triggers))
}

/// The rows of one statement, no two with the same key.
#[derive(Default)]
struct Keyed<'a> {
    rows: Vec<(Option<Cow<'a, [u8]>>, usize)>,
    places: HashMap<Cow<'a, [u8]>, usize>,
}

impl<'a> Keyed<'a> {
    /// Takes a row in, perhaps in the place of an older one with its key. False when it must be a later statement's.
    fn take(&mut self, batch: &Batch<'a>, row: usize, may_leave_out: bool) -> bool {
        let read = batch.row(row);
        let Some(key) = key(&read) else {
            self.rows.push((None, row));
            return true;
        };
        match self.places.get(&key) {
            None => {
                self.places.insert(key.clone(), self.rows.len());
                self.rows.push((Some(key), row));
                true
            }
            Some(&place) if may_leave_out && read.supersedes(|| batch.row(self.rows[place].1)) => {
                self.rows[place].1 = row;
                true
            }
            Some(_) => false,
        }
    }

    /// The rows in the order of their keys, so that all who write to a table lock its rows in one order; where triggers see
    /// them, in their own.
    fn finish(mut self, in_order: bool) -> Vec<usize> {
        if !in_order {
            self.rows.sort();
        }
        self.rows.into_iter().map(|(_, row)| row).collect()
    }
}

/// The key's bytes. `None` when a value of it is NULL, which is like no other.
fn key<'a>(row: &Row<'a>) -> Option<Cow<'a, [u8]>> {
    let values = row.values();
    let is_null =
        |&position: &usize| matches!(values.clone().nth(position), None | Some(ValueRef::Null));
    if row.shape().key().iter().any(is_null) {
        return None;
    }
    let mut parts = row.key();
    match (parts.next(), parts.next()) {
        (Some(only), None) => Some(Cow::Borrowed(only)),
        _ => Some(Cow::Owned(row.key().flatten().copied().collect())),
    }
}
