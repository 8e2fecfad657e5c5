//! Deciding rows: from a sink's answer to receipts, dead letters and counters.
//!
//! Every row is decided once and counted once. The order matters to whoever looks: dead letters first,
//! then, under the queue's lock, the counters and the outcome, then the wake-ups. So after `flush` the
//! dead letters have been delivered and the counters add up.

use std::ops::Range;
use std::sync::Arc;

use crate::batch::{Batch, Row, RowRef, read_row};
use crate::error::{Error, ErrorKind};
use crate::queue::Shared;
use crate::receipt::{Dropped, Trouble};
use crate::reject::DeadLetter;
use crate::segment::{Cursor, Segment};
use crate::shape::Shape;
use crate::sink::Applied;
use crate::state::{InFlight, State};
use crate::stats::count_of_rows;
use crate::wait::Woken;

/// What is known of a stretch of rows when they are decided.
#[derive(Default)]
pub(crate) struct Ledger {
    committed: u64,
    superseded: u64,
    unchanged: u64,
    transactions: u64,
    rejected: u64,
    unknown: u64,
    unwritten: u64,
    spooled: u64,
    troubles: Vec<Trouble>,
}

impl Ledger {
    /// What a sink did with a batch. A group is refused whole.
    pub(crate) fn of_batch(
        segment: &Segment,
        batch: &Batch<'_>,
        rows: &[RowRef],
        superseded: usize,
        applied: Applied,
    ) -> Self {
        let mut ledger = Self {
            superseded: superseded as u64,
            unchanged: applied.unchanged,
            transactions: applied.transactions,
            ..Self::default()
        };
        let mut refused = 0;
        let mut rejections = applied.rejected.into_iter().peekable();
        if rejections.peek().is_some() {
            for unit in batch.units() {
                let mut error = None;
                while let Some(rejection) = rejections.next_if(|rejection| rejection.row < unit.end)
                {
                    error.get_or_insert(rejection.error);
                }
                let Some(error) = error else { continue };
                for &row in &rows[unit] {
                    let seq = segment.seq(row.ordinal as usize);
                    ledger.trouble(seq..seq + 1, error.clone());
                    refused += 1;
                }
            }
        }
        ledger.committed = rows.len() as u64 - refused;
        // Rows may have been sorted: whoever looks a row up wants them in the log's order.
        ledger.troubles.sort_unstable_by_key(|trouble| trouble.rows.start);
        ledger
    }

    /// Rows that all met the same trouble.
    pub(crate) fn of_trouble(rows: Range<u64>, error: Error) -> Self {
        let mut ledger = Self::default();
        ledger.trouble(rows, error);
        ledger
    }

    /// Enters rows that are not in the database, or not known to be.
    fn trouble(&mut self, rows: Range<u64>, error: Error) {
        let count = rows.end - rows.start;
        *match error.kind() {
            ErrorKind::Rejected => &mut self.rejected,
            ErrorKind::Unknown => &mut self.unknown,
            ErrorKind::Spooled => &mut self.spooled,
            _ => &mut self.unwritten,
        } += count;
        self.troubles.push(Trouble { rows, error });
    }

    fn log(&self, table: &str) {
        let mut rejected =
            self.troubles.iter().filter(|trouble| trouble.error.kind() == ErrorKind::Rejected);
        if let Some(Trouble { error, .. }) = rejected.next() {
            tracing::warn!(
                table = error.table().unwrap_or(table),
                rows = self.rejected,
                code = error.code(),
                sqlstate = error.sqlstate(),
                constraint = error.constraint(),
                "{} of a batch rejected; the first: {error:#}",
                count_of_rows(self.rejected),
            );
        }
    }
}

/// Decides a batch, for the holder of the sink. False when it has been decided without him.
///
/// The sink's answer is put down before anybody is told: if `close` runs out of time while the dead letters
/// are delivered, the rows are decided by it all the same.
pub(crate) fn decide_batch(
    shared: &Shared,
    log: Log<'_>,
    rows: Range<Cursor>,
    ledger: Ledger,
    deliver: &mut dyn FnMut(DeadLetter),
) -> bool {
    let segment = log.segment;
    if ledger.troubles.is_empty() {
        return decide_now(shared, segment, rows.end, Some(ledger), &[]);
    }
    let first = read_row(segment.bytes(), rows.start.offset, log.shapes);
    ledger.log(first.shape().target().table());
    let troubles = ledger.troubles.clone();
    match &mut shared.lock().in_flight {
        Some(in_flight) => in_flight.answered = Some(ledger),
        None => return false,
    }
    let told = log.write_letters(rows.start, &troubles, deliver);
    failpoint!(AfterDeadLetters);
    if !decide_now(shared, segment, rows.end, None, &told.held) {
        return false;
    }
    log.write_late_letters(rows.start, &troubles, &told, deliver);
    true
}

/// Without a ledger, by the answer that was put down: it is taken in the same breath, for whoever finds it gone decides the
/// rows anew.
fn decide_now(
    shared: &Shared,
    segment: &Segment,
    end: Cursor,
    ledger: Option<Ledger>,
    held: &[Trouble],
) -> bool {
    let mut state = shared.lock();
    let Some(in_flight) = &mut state.in_flight else { return false };
    let Some(ledger) = ledger.or_else(|| in_flight.answered.take()) else { return false };
    in_flight.decided = end;
    let woken = state.decide(segment, end, &ledger, held);
    drop(state);
    woken.wake();
    true
}

/// Decides what is left of a segment that nobody will write any more: the batch that the sink has been
/// given by its answer, or with the first error if it has not answered, what comes after it with the second.
pub(crate) fn decide_rest(
    shared: &Shared,
    rest: InFlight,
    shapes: &[Arc<Shape>],
    applying: &Error,
    after: &Error,
    deliver: &mut dyn FnMut(DeadLetter),
) {
    let segment = &*rest.segment;
    let log = Log { segment, shapes };
    let seq = |place: Cursor| segment.seq(place.ordinal);
    let mut held = Vec::new();
    let mut from = rest.decided;
    let mut ledger = Ledger::default();
    if let Some(answered) = rest.answered {
        // Whoever had the answer delivers its dead letters.
        held = log.write_letters(from, &answered.troubles, &mut drop).held;
        from = rest.applying;
        ledger = answered;
    }
    let answered = ledger.troubles.len();
    for (rows, error) in
        [(seq(from)..seq(rest.applying), applying), (seq(rest.applying)..segment.end_seq(), after)]
    {
        if !rows.is_empty() {
            ledger.trouble(rows, error.clone());
        }
    }
    let troubles = &ledger.troubles[answered..];
    let told = log.write_letters(from, troubles, deliver);
    held.extend_from_slice(&told.held);
    let woken = shared.lock().decide(segment, segment.end(), &ledger, &held);
    woken.wake();
    log.write_late_letters(from, troubles, &told, deliver);
}

impl State {
    /// Counts rows and lets their receipts see what became of them.
    /// `held` are the troubles of rows whose receipts are held: the others need not be kept.
    fn decide(
        &mut self,
        segment: &Segment,
        end: Cursor,
        ledger: &Ledger,
        held: &[Trouble],
    ) -> Woken {
        let stats = &mut self.stats;
        stats.committed += ledger.committed;
        stats.superseded += ledger.superseded;
        stats.rejected += ledger.rejected;
        stats.unknown += ledger.unknown;
        stats.unwritten += ledger.unwritten;
        stats.spooled += ledger.spooled;
        stats.unchanged += ledger.unchanged;
        stats.transactions += ledger.transactions;
        self.kept.undecided = 0;
        self.decided = segment.seq(end.ordinal);
        debug_assert_eq!(
            self.first_seq + stats.decided(),
            self.decided,
            "every row is decided once"
        );
        let woken = segment.outcome().decide(self.decided, held);
        self.absent += woken.len();
        woken
    }
}

/// A segment with what it takes to read its rows.
#[derive(Clone, Copy)]
pub(crate) struct Log<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) shapes: &'a [Arc<Shape>],
}

/// Who was told of rows in trouble, and how.
#[derive(Default)]
struct Told {
    /// The troubles of rows whose receipts are held, and which these will tell.
    held: Vec<Trouble>,
    /// The receipts that had been dropped.
    dropped: Dropped,
}

impl Log<'_> {
    /// Makes dead letters of the rows in trouble, which are in the log's order, from a place of the segment on,
    /// but for those whose receipts are held, and for those that are in the spool: these are not lost.
    fn write_letters(
        &self,
        from: Cursor,
        troubles: &[Trouble],
        deliver: &mut dyn FnMut(DeadLetter),
    ) -> Told {
        let mut told = Told { held: Vec::new(), dropped: self.segment.outcome().dropped() };
        self.each(from, troubles, |seq, row, trouble| {
            if !row.has_receipt() || told.dropped.contains(seq) {
                if trouble.error.kind() == ErrorKind::Spooled {
                    return;
                }
                deliver(DeadLetter::new(&row, trouble.error.clone()));
            } else if told.held.last().is_none_or(|last| last.rows != trouble.rows) {
                told.held.push(trouble.clone());
            }
        });
        told
    }

    /// After the rows are decided: the same for receipts that were dropped in between.
    fn write_late_letters(
        &self,
        from: Cursor,
        troubles: &[Trouble],
        told: &Told,
        deliver: &mut dyn FnMut(DeadLetter),
    ) {
        if told.held.is_empty() {
            return;
        }
        let dropped = self.segment.outcome().dropped();
        self.each(from, troubles, |seq, row, trouble| {
            let is_lost = trouble.error.kind() != ErrorKind::Spooled;
            if is_lost && row.has_receipt() && dropped.contains(seq) && !told.dropped.contains(seq)
            {
                deliver(DeadLetter::new(&row, trouble.error.clone()));
            }
        });
    }

    fn each(
        &self,
        from: Cursor,
        troubles: &[Trouble],
        mut see: impl FnMut(u64, Row<'_>, &Trouble),
    ) {
        let mut troubles = troubles.iter().peekable();
        if troubles.peek().is_none() {
            return;
        }
        let seqs = self.segment.seq(from.ordinal)..;
        for (seq, (offset, _)) in seqs.zip(self.segment.frames_from(from.offset)) {
            while troubles.next_if(|trouble| trouble.rows.end <= seq).is_some() {}
            match troubles.peek() {
                None => return,
                Some(trouble) if trouble.rows.contains(&seq) => {
                    see(seq, read_row(self.segment.bytes(), offset, self.shapes), trouble);
                }
                Some(_) => {}
            }
        }
    }
}
