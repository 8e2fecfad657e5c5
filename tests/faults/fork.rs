//! A process that forks while its threads push and wait: the child finds out at once, and the parent loses nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use forebay::{Config, Error, ErrorKind, Producer, Receipt, WriteBuffer};
use fork::{Fork, fork, waitpid_nohang};
use futures::executor::block_on;
use support::{Scratch, Seen, Trial, adds_up};

/// Forks in one round.
const FORKS: usize = 12;
/// Nothing takes a child so long that does not hang.
const LONG: Duration = Duration::from_secs(10);

/// What a child of the process that opened the buffer tries, each on its own.
const TRIES: [(&str, Try); 5] = [
    ("wait", |mine| was_decided(&mine.receipt) || is_forked(mine.receipt.wait())),
    ("await", |mine| was_decided(&mine.receipt) || is_forked(block_on(mine.receipt))),
    ("flush", |mine| is_forked(mine.buffer.flush())),
    ("close", |mine| is_forked(mine.buffer.close())),
    ("drop", |mine| {
        drop(mine);
        true
    }),
];

/// Every other time: a push asks whose process it is in only where it has to wait, so it takes luck to meet a lock that is held.
const PUSH: (&str, Try) = ("push", |mine| {
    // Until there is no room left, or it is found out.
    is_forked(std::iter::repeat_with(|| mine.landed.push(&(-1,))).find(Result::is_err).unwrap())
});

type Try = fn(Mine) -> bool;

/// What the child has of its parent.
struct Mine {
    buffer: WriteBuffer,
    landed: Producer,
    receipt: Receipt,
}

fn is_forked(result: Result<(), Error>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::Forked)
}

/// Whether the writer was faster than the fork: a child may be told what its parent was. None decides a row there.
fn was_decided(receipt: &Receipt) -> bool {
    receipt.decided().is_some_and(|told| told.is_ok() || is_forked(told))
}

/// Forks, and has the child try something.
fn try_in_a_child(mine: Mine, (name, what): (&str, Try)) {
    let mut mine = Some(mine);
    match fork().unwrap() {
        Fork::Child => {
            let tried = catch_unwind(AssertUnwindSafe(|| mine.take().is_some_and(what)));
            std::process::exit(i32::from(!tried.unwrap_or(false)));
        }
        Fork::Parent(child) => {
            let deadline = Instant::now() + LONG;
            let status = loop {
                if let Some(status) = waitpid_nohang(child).unwrap() {
                    break status;
                }
                if Instant::now() > deadline {
                    let child = rustix::process::Pid::from_raw(child).unwrap();
                    rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
                }
                thread::park_timeout(Duration::from_micros(200));
            };
            assert_eq!(status, 0, "{name}: the child hung, or was not told that it is one");
        }
    }
}

/// Ends the threads when it goes, however the round ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn round(index: usize) -> Seen {
    let scratch = Scratch::new(Seen::SCHEMA);
    let config = Config {
        max_buffer_bytes: 512 * 1024,
        max_transaction_rows: 400,
        max_batch_bytes: 64 * 1024,
        max_row_bytes: 8 * 1024,
        ..Config::default()
    };
    let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
    let landed = buffer.table("landed").insert().producer().unwrap();
    let stop = AtomicBool::new(false);
    let promised = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for thread in 0..8 {
            let (landed, stop, promised) = (&landed, &stop, &promised);
            scope.spawn(move || {
                for id in (1_000_000 * thread..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                    if thread % 2 == 0 {
                        landed.write(&(id,)).unwrap();
                    } else {
                        landed.push(&(id,)).unwrap();
                    }
                    promised.lock().unwrap().push(id);
                }
            });
        }
        let _end = Stop(&stop);
        for turn in 0..FORKS {
            let id = -1 - turn as i64;
            let receipt = landed.submit(&(id,)).unwrap();
            let mine = Mine { buffer: buffer.clone(), landed: landed.clone(), receipt };
            let others = (index + turn / 2) % TRIES.len();
            try_in_a_child(mine, if turn % 2 == 0 { PUSH } else { TRIES[others] });
        }
    });
    buffer.close().unwrap();
    let stats = buffer.stats();
    let promised = promised.into_inner().unwrap();
    assert!(adds_up(&stats), "{stats:?}");
    assert_eq!(stats.committed, (promised.len() + FORKS) as u64);
    Seen { rows: stats.accepted, ..Seen::in_table(&scratch.path(), promised) }
}

#[test]
fn a_child_forked_under_load_is_told_at_once_and_the_parent_loses_nothing() {
    let how = "12 forks while 8 threads push and wait; the child tries wait, await, flush, close, push and drop";
    Trial::of(17, "fork after open", how).rounds(10, 100).run(round);
}
