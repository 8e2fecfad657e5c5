//! The rows of one table on their way: read in order, handed to the buffer, and told of when they are refused.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use forebay::rusqlite::{Row, Rows};
use forebay::{ErrorKind, Producer, Receipt, WriteBuffer};
use forebay_bench::Stop;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::destination::Destination;
use super::line;
use super::plan::Plan;
use super::progress::{self, Progress};
use super::source::Source;
use super::target::Target;
use super::value::{RowHash, Value};
use crate::failure::{Failure, Result};
use crate::load::rejects::Rejects;
use crate::sql::named;

/// Rows between two steps of the progress: what is written again after a `kill -9`, at the most. All of them are decided
/// before the step, so that fewer cost time.
pub(super) const PAGE: u64 = 10_000;

/// Bytes that end such a page, too.
const PAGE_BYTES: usize = 16 * 1024 * 1024;

/// What all tables of a copy are read from and written to.
pub(super) struct Ends<'e> {
    pub(super) source: &'e Source,
    pub(super) target: &'e Target,
    pub(super) buffer: &'e WriteBuffer,
    pub(super) stop: &'e Stop,
    /// Rows read so far, of all tables.
    pub(super) read: &'e AtomicU64,
}

/// The rows of one table.
pub(super) struct Writing<'e> {
    pub(super) ends: &'e Ends<'e>,
    pub(super) plan: &'e Plan,
    pub(super) to: &'e Destination,
    names: Vec<String>,
    pub(super) rows: Producer,
    pub(super) steps: Producer,
    rejects: &'e mut Rejects,
    undecided: VecDeque<Undecided>,
    /// How far it has come, as the next step has it.
    pub(super) progress: Progress,
    /// Rows that were passed and not written, because a stop came.
    pub(super) unwritten: u64,
}

/// Something that the database has not decided yet.
struct Undecided {
    receipt: Receipt,
    /// The row's number and place; `None` for a step of the progress.
    row: Option<(u64, String)>,
}

/// Why a row does not fit.
pub(super) struct Misfit {
    column: String,
    why: String,
}

impl Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "column {}: {}", self.column, self.why)
    }
}

/// A row for the buffer.
pub(super) struct Cells<'r> {
    names: &'r [String],
    values: &'r [Value<'r>],
}

impl Serialize for Cells<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.names.len()))?;
        for (name, value) in self.names.iter().zip(self.values) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'e> Writing<'e> {
    /// Gets ready to write the rows that come after those of `progress`.
    pub(super) fn begin(
        ends: &'e Ends<'e>,
        plan: &'e Plan,
        to: &'e Destination,
        progress: Progress,
        rejects: &'e mut Rejects,
    ) -> Result<Self> {
        let names: Vec<_> = to.columns.iter().map(|column| column.name.clone()).collect();
        let table = ends.buffer.table(&to.name);
        let (rows, step) = match &to.key {
            Some(key) => {
                let key: Vec<_> = key.iter().map(|&at| names[at].clone()).collect();
                (table.upsert(key).producer()?, progress::MOVE)
            }
            None => (table.insert().producer()?, progress::MOVE_FROM),
        };
        let steps = ends.buffer.statement(step)?;
        Ok(Self {
            ends,
            plan,
            to,
            names,
            rows,
            steps,
            rejects,
            undecided: VecDeque::new(),
            progress,
            unwritten: 0,
        })
    }

    /// Writes them all, or those up to a stop. Blocks until all that it wrote are decided. Whether it came to the end.
    pub(super) fn run(&mut self) -> Result<bool> {
        let table = &self.plan.table;
        let columns: Vec<_> = table.columns.iter().map(|column| &column.name).collect();
        let after = Some(self.progress.last.clone()).filter(|place| !place.is_empty());
        let sql = table.order.query(&table.name, &named(&columns), after.as_deref());
        let source = self.ends.source;
        let mut statement =
            source.connection().prepare(&sql).map_err(|error| source.failed(error))?;
        let mut rows = statement.query([]).map_err(|error| source.failed(error))?;
        loop {
            let page =
                if self.is_keyed() { self.upserts(&mut rows) } else { self.group(&mut rows) };
            match page {
                _ if self.ends.stop.is_stopped() => return self.end_early().map(|()| false),
                Ok(true) => self.rejects.flush()?,
                Ok(false) => break,
                Err(failure) => return Err(failure),
            }
        }
        self.ends.buffer.flush()?;
        self.settle()?;
        Ok(true)
    }

    fn is_keyed(&self) -> bool {
        self.to.key.is_some()
    }

    /// Has what was handed over decided: whoever stops closes the buffer.
    fn end_early(&mut self) -> Result<()> {
        self.ends.buffer.close_within(self.ends.buffer.config().close_timeout)?;
        self.settle()
    }

    /// Writes a page of rows as upserts, and a step when all of them are decided; `false` at the end.
    fn upserts(&mut self, rows: &mut Rows<'_>) -> Result<bool> {
        let (begun, mut bytes) = (self.progress.passed, 0);
        let mut is_last = false;
        while self.progress.passed - begun < PAGE && bytes < PAGE_BYTES {
            let Some(row) = self.next(rows)? else {
                is_last = true;
                break;
            };
            let (number, place) = self.pass(row)?;
            match values(self.plan, self.to, row) {
                Err(misfit) => self.reject(number, &place, &misfit, false)?,
                Ok(values) => {
                    bytes += values.iter().map(Value::size).sum::<usize>();
                    self.submit(&values, number, place)?;
                }
            }
        }
        self.ends.buffer.flush()?;
        self.settle()?;
        if self.progress.passed > begun {
            let receipt = self.steps.submit(&self.progress.step(&self.to.name, None))?;
            self.undecided.push_back(Undecided { receipt, row: None });
        }
        Ok(!is_last)
    }

    fn submit(&mut self, values: &[Value<'_>], number: u64, place: String) -> Result<()> {
        match self.rows.submit(&cells(&self.names, values)) {
            Ok(receipt) => {
                self.undecided.push_back(Undecided { receipt, row: Some((number, place)) });
            }
            Err(error) if is_about_the_row(error.kind()) => {
                self.reject(number, &place, &format_args!("{error:#}"), true)?;
            }
            Err(error) => {
                self.unwritten += 1;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// The next row.
    pub(super) fn next<'r>(&self, rows: &'r mut Rows<'_>) -> Result<Option<&'r Row<'r>>> {
        rows.next().map_err(|error| self.ends.source.failed(error))
    }

    /// Counts a row, and gives its number and place.
    pub(super) fn pass(&mut self, row: &Row<'_>) -> Result<(u64, String)> {
        let place = self.plan.table.order.place(row);
        let place = place.map_err(|error| self.ends.source.failed(error))?;
        self.progress.passed += 1;
        self.progress.last.clone_from(&place);
        self.ends.read.fetch_add(1, Ordering::Relaxed);
        Ok((self.progress.passed, place))
    }

    pub(super) fn cells<'r>(&'r self, values: &'r [Value<'r>]) -> Cells<'r> {
        cells(&self.names, values)
    }

    /// Looks at what has been decided.
    fn settle(&mut self) -> Result<()> {
        while let Some(first) = self.undecided.front()
            && let Some(decided) = first.receipt.decided()
        {
            let row = self.undecided.pop_front().and_then(|first| first.row);
            match (decided, &row) {
                (Ok(()), _) => {}
                (Err(error), Some((number, place))) if error.kind() == ErrorKind::Rejected => {
                    self.reject(*number, place, &format_args!("{error:#}"), true)?;
                }
                (Err(error), _)
                    if error.kind() == ErrorKind::Unwritten && self.ends.stop.is_stopped() =>
                {
                    self.unwritten += u64::from(row.is_some());
                }
                (Err(error), _) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Tells of a row that is not written. It is read again, which the snapshot allows.
    pub(super) fn reject(
        &mut self,
        number: u64,
        place: &str,
        why: &dyn Display,
        was_sent: bool,
    ) -> Result<()> {
        self.progress.rejected += 1;
        let (table, source) = (&self.plan.table, self.ends.source);
        let names: Vec<_> = table.columns.iter().map(|column| &column.name).collect();
        let sql = table.order.query_one(&table.name, &named(&names), place);
        let mut raw = String::new();
        if was_sent || self.rejects.keeps_lines() {
            let read = source.connection().prepare_cached(&sql).and_then(|mut statement| {
                statement.query_row([], |row| {
                    raw = line::of(&names, row)?;
                    if let Ok(values) = values_from(self.plan, self.to, row, 0) {
                        self.progress.refused.add(&hash(self.to, &values));
                    }
                    Ok(())
                })
            });
            read.map_err(|error| source.failed(error))?;
        }
        let row = table.order.told(number, place);
        self.rejects.add(&format_args!("{} {row}", table.name), raw.as_bytes(), why);
        Ok(())
    }
}

/// What the columns that are compared add to a sum.
pub(super) fn hash(to: &Destination, values: &[Value<'_>]) -> RowHash {
    let mut hash = RowHash::default();
    to.compared().into_iter().for_each(|at| hash.add(&values[at]));
    hash
}

/// A row's values as the table in PostgreSQL has them.
pub(super) fn values<'r>(
    plan: &Plan,
    to: &Destination,
    row: &'r Row<'_>,
) -> Result<Vec<Value<'r>>, Misfit> {
    values_from(plan, to, row, plan.table.order.width())
}

/// The same of a row that has its first value at `first`.
pub(super) fn values_from<'r>(
    plan: &Plan,
    to: &Destination,
    row: &'r Row<'_>,
    first: usize,
) -> Result<Vec<Value<'r>>, Misfit> {
    let mut values = Vec::with_capacity(to.columns.len());
    for (at, (column, into)) in plan.table.columns.iter().zip(&to.columns).enumerate() {
        // The query has as many columns as the table.
        let value = row.get_ref(first + at).map_err(|error| error.to_string());
        let value = value.and_then(|value| into.kind.fit(value));
        let misfit = |why| Misfit { column: column.name.clone(), why };
        values.push(value.map_err(misfit)?);
    }
    Ok(values)
}

fn cells<'r>(names: &'r [String], values: &'r [Value<'r>]) -> Cells<'r> {
    Cells { names, values }
}

/// Whether the next row may fare better.
pub(super) fn is_about_the_row(kind: ErrorKind) -> bool {
    use ErrorKind::{Encode, Rejected, TooLarge};
    matches!(kind, Encode | Rejected | TooLarge)
}

/// What is said when another copy of the same table is under way.
pub(super) fn overtaken(table: &str) -> Failure {
    Failure::new(format!("another copy writes to the table {table} at this moment"))
        .hint("end it, or let it end; then the same command goes on from where it has come to")
}
