//! A thread of the application's: it hands over rows in every way there is, and notes what it is told of them.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use forebay::{Error, ErrorKind, Producer, Receipt, Result, WriteBuffer};
use forebay_schedules::{Log, block_on};

use crate::account::{Entry, Told};
use crate::{End, draw, one_of};

/// So little that it may be over at any moment.
const SOON: Duration = Duration::from_millis(10);

pub(crate) struct Actor {
    end: End,
    log: Log,
    buffer: WriteBuffer,
    rows: Producer,
    last_id: i64,
    entries: Vec<Entry>,
    /// Receipts of entries.
    held: Vec<(usize, Receipt)>,
}

type Row = (i64, String);

impl Actor {
    pub(crate) fn new(
        number: i64,
        end: End,
        log: Log,
        buffer: WriteBuffer,
        rows: Producer,
    ) -> Self {
        let (entries, held) = (Vec::new(), Vec::new());
        Self { end, log, buffer, rows, last_id: 1_000 * number, entries, held }
    }

    /// Does so many things, lets go of the buffer, and then waits for what it holds receipts of.
    pub(crate) fn act(mut self, steps: usize) -> Vec<Entry> {
        (0..steps).for_each(|_| self.step());
        let Self { log, buffer, rows, mut entries, held, .. } = self;
        drop((rows, buffer));
        for (entry, receipt) in held {
            let told = if draw(2) == 0 { receipt.wait() } else { block_on(receipt) };
            entries[entry].tell(told, &log);
        }
        entries
    }

    fn step(&mut self) {
        match draw(16) {
            0..=2 => self.push(Producer::push),
            3 => self.push(Producer::try_push),
            4 => self.push(|rows, row| rows.push_timeout(row, one_of(&[Duration::ZERO, SOON]))),
            5 => self.push(|rows, row| block_on(rows.push_async(row))),
            6 => self.push_or_give_up(),
            7..=9 => {
                let row = self.row();
                let receipt = self.rows.submit(&row);
                self.note(vec![row.0], receipt);
            }
            10 => {
                let row = self.row();
                let receipt = block_on(self.rows.submit_async(&row));
                self.note(vec![row.0], receipt);
            }
            11 | 12 => {
                let rows: Vec<Row> = (0..draw(4)).map(|_| (self.id(), String::new())).collect();
                let ids = rows.iter().map(|row| row.0).collect();
                let receipt = self
                    .buffer
                    .group(|group| rows.iter().try_for_each(|row| group.add(&self.rows, row)));
                self.note(ids, receipt);
            }
            13 => self.flush(),
            14 => drop(self.buffer.table("others").insert().producer().map_err(expected)),
            _ => {
                let stats = self.buffer.stats();
                assert!(stats.pending <= stats.accepted, "{stats:?}");
            }
        }
    }

    /// Every eighth row is refused, wherever it comes.
    fn id(&mut self) -> i64 {
        self.last_id += 1;
        if draw(8) == 0 { -self.last_id } else { self.last_id }
    }

    fn row(&mut self) -> Row {
        (self.id(), "x".repeat(one_of(&[0, 0, 840, 960])))
    }

    fn push(&mut self, push: fn(&Producer, &Row) -> Result<()>) {
        let row = self.row();
        match push(&self.rows, &row) {
            Ok(()) => self.entries.push(Entry::new(vec![row.0], Told::Nothing)),
            Err(refused) => expected(refused),
        }
    }

    fn push_or_give_up(&mut self) {
        let row = self.row();
        let mut push = pin!(self.rows.push_async(&row));
        match push.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => self.entries.push(Entry::new(vec![row.0], Told::Nothing)),
            Poll::Ready(Err(refused)) => expected(refused),
            Poll::Pending => {}
        }
    }

    /// Notes rows that were accepted, and does something with their receipt.
    fn note(&mut self, ids: Vec<i64>, receipt: Result<Receipt>) {
        let mut receipt = match receipt {
            Ok(receipt) => receipt,
            Err(refused) => return expected(refused),
        };
        let mut entry = Entry::new(ids, Told::Dropped);
        match draw(6) {
            0 | 1 => entry.tell(receipt.wait(), &self.log),
            2 => entry.tell(block_on(receipt), &self.log),
            3 => {
                drop(receipt);
                // Rows are decided in order: if one before it is not, it was not when the receipt was dropped.
                if self.held.iter().any(|(_, earlier)| earlier.decided().is_none()) {
                    entry.told = Told::Nothing;
                }
            }
            4 => self.held.push((self.entries.len(), receipt)),
            _ => match receipt.wait_timeout(SOON) {
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    self.held.push((self.entries.len(), receipt));
                }
                told => entry.tell(told, &self.log),
            },
        }
        self.entries.push(entry);
    }

    fn flush(&mut self) {
        let flushed =
            if draw(2) == 0 { self.buffer.flush() } else { block_on(self.buffer.flush_async()) };
        if let Err(failed) = flushed {
            return expected(failed);
        }
        assert!(self.held.iter().all(|(_, receipt)| receipt.decided().is_some()));
        if self.end == End::Impatiently {
            // The rows may be among those that the close hands back.
            return;
        }
        let mut pushed = self.entries.iter().filter(|entry| entry.told == Told::Nothing);
        self.log.with(|seen| {
            let is_decided = |entry: &Entry| entry.ids.iter().all(|id| seen.has_decided(*id));
            assert!(pushed.all(is_decided), "flushed and not decided");
        });
    }
}

/// Why a call may be refused.
fn expected(error: Error) {
    use ErrorKind::{Closed, Failed, Full, TimedOut};
    assert!(matches!(error.kind(), Closed | Failed | Full | TimedOut), "{error:#}");
}
