//! The child that shares its database with others: counts what it writes, in counters that all of them add to.

use std::io::{Read, stdin};
use std::path::Path;
use std::thread;

use forebay::{ErrorKind, Producer, Receipt, WriteBuffer};
use support::{Entry, Ledger};

/// Threads that wait for each of their groups, and as many that only push.
const THREADS: i64 = 2;

struct Count {
    process: i64,
    buffer: WriteBuffer,
    landed: Producer,
    total: Producer,
    by_process: Producer,
    ledger: Ledger,
}

/// Counts until standard input ends, and then says how many groups were accepted, all of which are written by then.
pub(crate) fn run(database: &Path, process: i64) {
    let buffer = WriteBuffer::builder(database).config(crate::small()).open().unwrap();
    let by_process =
        "INSERT INTO by_process VALUES (?, 1) ON CONFLICT(process) DO UPDATE SET n = n + 1";
    let count = Count {
        process,
        landed: buffer.table("landed").insert().producer().unwrap(),
        total: buffer.statement("UPDATE total SET n = n + ?").unwrap(),
        by_process: buffer.statement(by_process).unwrap(),
        ledger: Ledger::append(database).unwrap(),
        buffer,
    };
    crate::say("counting");
    let groups: i64 = thread::scope(|scope| {
        let count = &count;
        let threads: Vec<_> =
            (0..2 * THREADS).map(|thread| scope.spawn(move || count.up(thread))).collect();
        stdin().read_to_end(&mut Vec::new()).unwrap();
        count.buffer.close().unwrap();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    crate::say(&groups.to_string());
}

/// Has the lock for as long as it lives: the table `held` has a trigger that does not end.
pub(crate) fn hold(database: &Path) {
    let buffer = WriteBuffer::open(database).unwrap();
    let held = buffer.table("held").insert().producer().unwrap();
    crate::say("holding");
    held.write(&(1,)).unwrap();
}

impl Count {
    /// Adds to all counters until the buffer is closed, and returns how often.
    fn up(&self, thread: i64) -> i64 {
        for n in 0.. {
            let entry = Entry::new(self.process, thread, n);
            match self.add(entry) {
                Ok(receipt) if thread < THREADS => {
                    receipt.wait().unwrap();
                    self.ledger.acknowledge(entry).unwrap();
                }
                Ok(receipt) => drop(receipt),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Closed, "{error:#}");
                    return n;
                }
            }
        }
        unreachable!("nobody counts that far")
    }

    fn add(&self, entry: Entry) -> forebay::Result<Receipt> {
        self.buffer.group(|group| {
            group.add(&self.landed, &(entry.0,))?;
            group.add(&self.total, &(1,))?;
            group.add(&self.by_process, &(self.process,))
        })
    }
}
