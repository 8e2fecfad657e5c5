//! 10b: topics and audit rows by turns, by two producers, and by one thread that does the same by hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use forebay::{Config, Producer, WriteBuffer};
use forebay_benches::{Rows, TOPICS, TopicStatus, connect, topics, update};
use forebay_cli::failure::Result;
use rusqlite::{Connection, Statement};
use serde::{Deserialize, Serialize};

use crate::conductor::Conductor;
use crate::database;
use crate::parts::{self, Part};
use crate::rounds::{Ingredient, Measured, Plain, Round, Shown, gathered};

const THREADS: u64 = 80;
/// Rows in a transaction.
const BATCH: usize = 400;
/// The part of the time before anything is measured.
const WARM_UP: u32 = 5;

/// Who writes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Writer {
    Buffer,
    Hand,
}

/// What a child is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    database: PathBuf,
    writer: Writer,
    time: Duration,
}

/// An audit row.
#[derive(Serialize)]
struct Audit<'a> {
    topic_id: i64,
    what: &'a str,
    at: i64,
}

impl<'a> Audit<'a> {
    fn of(topic: &TopicStatus<'a>) -> Self {
        Self { topic_id: topic.topic_id, what: topic.status, at: topic.updated_at }
    }
}

/// Measures it; who comes first changes from round to round.
pub(crate) fn measure(
    conductor: &Conductor<'_>,
) -> Result<BTreeMap<&'static str, Result<Measured>>> {
    let name = "two tables by turns";
    let rate = |writer| -> Result<f64> {
        let folder = conductor.folder()?;
        let database = database::make(folder.path(), TOPICS.unsigned_abs())?;
        let ask = Ask { database, writer, time: conductor.time(1) };
        conductor.ask(name, &Part::Alternation(ask))
    };
    let rounds = conductor.rounds(name, |round| {
        let (ours, by_hand) = if round.is_multiple_of(2) {
            let by_hand = rate(Writer::Hand)?;
            (rate(Writer::Buffer)?, by_hand)
        } else {
            (rate(Writer::Buffer)?, rate(Writer::Hand)?)
        };
        let of = |name: &str, rate| Ingredient::new(name, rate, Plain::Rate);
        Ok(Round::from([("10b", Ok(Shown::ratio(of("forebay", ours), of("by hand", by_hand))))]))
    })?;
    Ok(gathered(rounds))
}

/// The child's part: rows committed in each second.
pub(crate) fn write(ask: &Ask) -> parts::Result<f64> {
    let (rate, audits) = match ask.writer {
        Writer::Buffer => through_a_buffer(ask)?,
        Writer::Hand => by_hand(ask)?,
    };
    let connection = Connection::open(&ask.database)?;
    let there: i64 = connection.query_row("SELECT count(*) FROM audit", [], |row| row.get(0))?;
    if there.cast_unsigned() != audits {
        return Err(format!("{there} of {audits} audit rows are in the database").into());
    }
    Ok(rate)
}

/// The rate, and how many audit rows were written.
fn through_a_buffer(ask: &Ask) -> parts::Result<(f64, u64)> {
    let config = Config { batch_size: BATCH, max_transaction_rows: BATCH, ..Config::default() };
    let buffer = WriteBuffer::builder(&ask.database).config(config).open()?;
    let (topics, audits) = (topics(&buffer, Rows::All), buffer.table("audit").insert().producer()?);
    let is_over = AtomicBool::new(false);
    let push = |thread: u64| push_by_turns(&topics, &audits, thread << 40, &is_over);
    let (rate, pushed) = thread::scope(|scope| {
        let push = &push;
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || push(thread))).collect();
        let rate = committed_rate(&buffer, ask.time);
        is_over.store(true, Ordering::Relaxed);
        parts::Result::Ok((rate, parts::join(threads)?))
    })?;
    buffer.close()?;
    Ok((rate, pushed.into_iter().sum()))
}

fn push_by_turns(
    topics: &Producer,
    audits: &Producer,
    first: u64,
    is_over: &AtomicBool,
) -> forebay::Result<u64> {
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        let topic = update(first + count);
        topics.push(&topic)?;
        audits.push(&Audit::of(&topic))?;
        count += 1;
    }
    Ok(count)
}

/// Rows that a buffer commits in each second, after the warm-up.
fn committed_rate(buffer: &WriteBuffer, time: Duration) -> f64 {
    let begun = Instant::now();
    let look = |at| {
        database::wait_until(at);
        (buffer.stats().committed, Instant::now())
    };
    let before = look(begun + time / WARM_UP);
    let after = look(before.1 + time);
    (after.0 - before.0) as f64 / (after.1 - before.1).as_secs_f64()
}

/// The same rows by one thread: one statement for each table, prepared once.
fn by_hand(ask: &Ask) -> parts::Result<(f64, u64)> {
    let connection = connect(Path::new(&ask.database));
    let mut hand = Hand {
        begin: connection.prepare("BEGIN IMMEDIATE")?,
        topic: connection.prepare(
            "INSERT INTO topic_status(topic_id, status, progress, updated_at) VALUES (?,?,?,?) ON CONFLICT(topic_id) DO \
             UPDATE SET status=excluded.status, progress=excluded.progress, updated_at=excluded.updated_at",
        )?,
        audit: connection.prepare("INSERT INTO audit(topic_id, what, at) VALUES (?,?,?)")?,
        commit: connection.prepare("COMMIT")?,
        written: 0,
    };
    let begun = Instant::now();
    hand.write_until(begun + ask.time / WARM_UP)?;
    let (before, start) = (hand.written, Instant::now());
    hand.write_until(start + ask.time)?;
    let rows = 2 * (hand.written - before);
    Ok((rows as f64 / start.elapsed().as_secs_f64(), hand.written))
}

/// One thread's statements.
struct Hand<'c> {
    begin: Statement<'c>,
    topic: Statement<'c>,
    audit: Statement<'c>,
    commit: Statement<'c>,
    /// Rows of each table.
    written: u64,
}

impl Hand<'_> {
    fn write_until(&mut self, moment: Instant) -> rusqlite::Result<()> {
        while Instant::now() < moment {
            self.begin.raw_execute()?;
            for _ in 0..BATCH / 2 {
                let row = update(self.written);
                self.topic.execute((row.topic_id, row.status, row.progress, row.updated_at))?;
                let audit = Audit::of(&row);
                self.audit.execute((audit.topic_id, audit.what, audit.at))?;
                self.written += 1;
            }
            self.commit.raw_execute()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_write_as_many_audit_rows_as_they_say() {
        for writer in [Writer::Buffer, Writer::Hand] {
            let folder = tempfile::tempdir().unwrap();
            let database = database::make(folder.path(), TOPICS.unsigned_abs()).unwrap();
            let ask = Ask { database, writer, time: Duration::from_millis(20) };
            assert!(write(&ask).unwrap().is_finite(), "{writer:?}");
        }
    }
}
