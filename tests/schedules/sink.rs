//! A sink that answers as the model says, and records the rows that it accepts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use forebay::{
    Applied, Batch, Builder, Config, DeadLetter, Error, ErrorKind, Producer, Rejection, Result,
    Sink, SinkError, StatementInfo, TableInfo, Value, ValueRef, WriteBuffer,
};

use crate::Bell;

/// What the sink does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Commits it, without the rows that are to be refused: those with a negative id, and their groups.
    Commit,
    /// Is busy.
    Busy,
    /// The same, once the model lets it go on.
    Held,
    /// Cannot be written to.
    Down,
    /// Refuses every row.
    Refuse,
    /// Rolls back, and cannot tell.
    Unknown,
    /// Commits, and cannot tell.
    UnknownCommitted,
    /// Can never be written to again.
    Fatal,
    /// Panics before it commits.
    Panic,
    /// Panics after it has committed.
    PanicCommitted,
}

/// The test's side of a sink. The checker does not see it, so looking at it adds nothing to the search.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Seen>>);

/// What the sink has seen, and is to do.
#[derive(Default)]
pub struct Seen {
    /// The rows that were committed, in order.
    pub ids: Vec<i64>,
    /// The rows that were refused.
    pub refused: Vec<i64>,
    /// Groups that were cut, by one of their rows.
    pub cut: Vec<i64>,
    /// The dead letters, each with its reason.
    pub letters: Vec<(i64, ErrorKind)>,
    /// What it does with the next batches; after that it commits all.
    pub answers: VecDeque<Answer>,
    /// Whether threads that wait may commit themselves.
    pub on_caller: bool,
    /// Whether the buffer has let go of it.
    pub dropped: bool,
    /// Rung at every batch that was written, and when the sink is [`Held`](Answer::Held).
    pub bell: Option<Arc<Bell>>,
    /// Lets a held sink go on.
    pub release: Option<Arc<Bell>>,
    /// Rung when it is dropped.
    pub farewell: Option<Arc<Bell>>,
    /// Takes its time, before and after a commit.
    pub dawdle: Option<fn()>,
}

impl Seen {
    /// Whether a row is committed, refused or a dead letter.
    pub fn has_decided(&self, id: i64) -> bool {
        let mut letters = self.letters.iter().map(|(id, _)| id);
        self.ids.contains(&id) || self.refused.contains(&id) || letters.any(|letter| *letter == id)
    }
}

/// The sink.
pub struct Recorder(Log);

impl Log {
    /// A buffer in front of a sink that gives these answers first and accepts everything afterwards.
    ///
    /// # Panics
    ///
    /// When the settings are wrong.
    pub fn buffer(
        &self,
        config: Config,
        answers: impl IntoIterator<Item = Answer>,
    ) -> (WriteBuffer, Producer) {
        self.with(|seen| seen.answers.extend(answers));
        let buffer = self.builder(config).open().expect("a buffer");
        let rows = buffer.table("rows").insert().producer().expect("a producer");
        (buffer, rows)
    }

    /// A builder of one.
    pub fn builder(&self, config: Config) -> Builder {
        let log = self.clone();
        WriteBuffer::builder_with_sink(Recorder(self.clone()))
            .config(config)
            .on_reject(move |letter| log.keep(letter))
    }

    /// Lets threads that wait commit themselves.
    #[must_use]
    pub fn commits_on_caller(self) -> Self {
        self.with(|seen| seen.on_caller = true);
        self
    }

    /// Looks at what the sink has seen.
    ///
    /// # Panics
    ///
    /// When a look before has.
    pub fn with<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.0.lock().expect("no look panics"))
    }

    /// Has every batch that was written ring.
    pub fn bell(&self) -> Arc<Bell> {
        let bell = Bell::new();
        self.with(|seen| seen.bell = Some(Arc::clone(&bell)));
        bell
    }

    /// The rows that the sink has accepted, in order.
    pub fn ids(&self) -> Vec<i64> {
        self.with(|seen| seen.ids.clone())
    }

    /// The same, sorted.
    pub fn sorted_ids(&self) -> Vec<i64> {
        let mut ids = self.ids();
        ids.sort_unstable();
        ids
    }

    /// The dead letters.
    pub fn letters(&self) -> Vec<i64> {
        self.with(|seen| seen.letters.iter().map(|(id, _)| *id).collect())
    }

    /// Adds a dead letter.
    pub fn keep(&self, letter: &DeadLetter) {
        self.with(|seen| seen.letters.push((id_of(letter), letter.error.kind())));
    }

    fn dawdle(&self) {
        if let Some(dawdle) = self.with(|seen| seen.dawdle) {
            dawdle();
        }
    }

    fn commit(&self, batch: &Batch<'_>, answer: Answer) -> Applied {
        let ids: Vec<i64> = batch.rows().map(|row| first(row.values().next())).collect();
        let last = batch.row(batch.len() - 1);
        let mut applied = Applied { transactions: 1, ..Applied::default() };
        self.with(|seen| {
            if last.is_joined_to_next() {
                seen.cut.extend(ids.last());
            }
            for unit in batch.units() {
                let bad = unit.clone().find(|&row| ids[row] < 0 || answer == Answer::Refuse);
                if let Some(row) = bad {
                    applied.rejected.push(Rejection { row, error: error(ErrorKind::Rejected) });
                }
                let rows = if bad.is_some() { &mut seen.refused } else { &mut seen.ids };
                rows.extend_from_slice(&ids[unit]);
            }
        });
        applied
    }
}

fn id_of(letter: &DeadLetter) -> i64 {
    match letter.fields[0].1 {
        Value::Integer(id) => id,
        ref other => panic!("the first value is {other:?}"),
    }
}

fn first(value: Option<ValueRef<'_>>) -> i64 {
    match value {
        Some(ValueRef::Integer(id)) => id,
        other => panic!("the first value is {other:?}"),
    }
}

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "as the model says")
}

/// Past the panic hook, which would print a report in every interleaving.
fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("as the model says"))
}

impl Sink for Recorder {
    fn describe(&mut self, table: &str) -> Result<TableInfo> {
        Ok(TableInfo::new(table).column("id").column("text").unique(["id"]))
    }

    fn prepare(&mut self, _sql: &str) -> Result<StatementInfo> {
        Ok(StatementInfo::default())
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        self.0.dawdle();
        let answer = self.0.with(|seen| seen.answers.pop_front()).unwrap_or(Answer::Commit);
        match answer {
            Answer::Held => {
                let (bell, release) = self.0.with(|seen| (seen.bell.clone(), seen.release.clone()));
                bell.expect("a bell").ring();
                release.expect("a release").wait();
                return Err(SinkError::busy(error(ErrorKind::Busy)));
            }
            Answer::Busy => return Err(SinkError::busy(error(ErrorKind::Busy))),
            Answer::Down => return Err(SinkError::down(error(ErrorKind::Unavailable))),
            Answer::Unknown => return Err(SinkError::unknown(error(ErrorKind::Unavailable))),
            Answer::Fatal => return Err(SinkError::fatal(error(ErrorKind::Corrupt))),
            Answer::Panic => panic_quietly(),
            Answer::Refuse | Answer::Commit | Answer::UnknownCommitted | Answer::PanicCommitted => {
            }
        }
        let applied = self.0.commit(batch, answer);
        if let Some(bell) = self.0.with(|seen| seen.bell.clone()) {
            bell.ring();
        }
        self.0.dawdle();
        match answer {
            Answer::UnknownCommitted => Err(SinkError::unknown(error(ErrorKind::Unavailable))),
            Answer::PanicCommitted => panic_quietly(),
            _ => Ok(applied),
        }
    }

    fn commits_on_caller(&self) -> bool {
        self.0.with(|seen| seen.on_caller)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let farewell = self.0.with(|seen| {
            seen.dropped = true;
            seen.farewell.clone()
        });
        if let Some(farewell) = farewell {
            farewell.ring();
        }
    }
}
