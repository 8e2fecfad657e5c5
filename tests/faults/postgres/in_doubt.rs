//! The connection is cut at COMMIT, before it reaches the server or before its answer comes back.

use std::collections::VecDeque;

use forebay::{ErrorKind, Producer, WriteBuffer};
use forebay_postgres::PostgresOptions;
use support::{Cluster, Database, Fate, Postgres, Proxy, Seen, Trial, is_full, lingering};

use super::{TABLE, impatient, in_table};

/// Rows of a batch.
const ROWS: i64 = 20;

/// What the table shows when every batch is one of so many rows, and a COMMIT in so many is cut, half of them after it was done.
struct Cut {
    batches: i64,
    one_in: u32,
    bookkeeping: bool,
}

/// What was found.
struct Found {
    seen: Seen,
    /// Commits that the server had done when the connection was cut.
    in_doubt: u64,
    /// Rows that the application was told nobody knows of, and wrote again.
    unknown: u64,
}

impl Cut {
    fn run(&self) -> Found {
        let database = Postgres::new(TABLE);
        let proxy = Proxy::before(Cluster::shared().address());
        let mut random = fastrand::Rng::with_seed(32);
        let one_in = self.one_in;
        proxy.at_commit(move || match random.u32(0..2 * one_in) {
            0 => Fate::Lost,
            1 => Fate::Unanswered,
            _ => Fate::Pass,
        });
        let options =
            PostgresOptions { bookkeeping: self.bookkeeping, ..PostgresOptions::default() };
        let sink = options.connect(&proxy.url(&database.tcp_url())).unwrap();
        let buffer = WriteBuffer::with_sink(sink, impatient(lingering())).unwrap();
        let landed = buffer.table("landed").insert().producer().unwrap();
        let unknown = (0..self.batches).map(|batch| write(&buffer, &landed, batch)).sum();
        buffer.close().unwrap();
        let stats = buffer.stats();
        assert_eq!((stats.rejected, stats.unwritten, stats.unknown), (0, 0, unknown), "{stats:?}");
        let rows = self.batches * ROWS;
        let seen = in_table(&mut database.connect(), rows as u64, 0..rows);
        Found { seen, in_doubt: proxy.unanswered(), unknown }
    }
}

/// Writes a batch until each of its rows is acknowledged. How many were unknown, and so written again.
fn write(buffer: &WriteBuffer, landed: &Producer, batch: i64) -> u64 {
    let mut unknown = 0;
    let mut todo: VecDeque<i64> = (batch * ROWS..(batch + 1) * ROWS).collect();
    while !todo.is_empty() {
        let submit = |id| (id, landed.submit(&(id,)).unwrap());
        let receipts: Vec<_> = todo.drain(..).map(submit).collect();
        buffer.flush().unwrap();
        for (id, receipt) in receipts {
            if let Err(error) = receipt.wait() {
                assert_eq!(error.kind(), ErrorKind::Unknown, "{error:#}");
                unknown += 1;
                todo.push_back(id);
            }
        }
    }
    unknown
}

#[test]
fn a_commit_whose_answer_is_lost_is_found_out_and_its_rows_are_there_once() {
    let how = "a proxy that cuts the connection between COMMIT and its answer at random, in 3,000 batches of 20 rows";
    let (batches, one_in) = if is_full() { (3_000, 20) } else { (150, 8) };
    let patience = std::time::Duration::from_secs(600);
    Trial::of(32, "PostgreSQL's answer to COMMIT is lost", how).patience(patience).run(move |_| {
        let found = Cut { batches, one_in, bookkeeping: true }.run();
        assert!(found.in_doubt > 0, "no commit was in doubt");
        assert_eq!(found.unknown, 0, "the books say what became of each");
        found.seen
    });
}

/// So that the test above could fail.
#[test]
fn without_books_rows_that_are_written_again_when_they_are_unknown_are_there_twice() {
    let found = Cut { batches: 150, one_in: 8, bookkeeping: false }.run();
    assert!(found.in_doubt > 0, "no commit was in doubt");
    assert!(found.unknown > 0, "nobody was told");
    assert!(found.seen.twice > 0, "{:?}", found.seen);
    assert_eq!(found.seen.lost, 0);
}
