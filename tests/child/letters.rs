//! The child that replays rows of which some are refused, and notes whom it has told.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use forebay::{Config, Failpoint, Failure, Holder, Value, WriteBuffer};
use support::spooling;

/// Replays what is in the spool, in small batches. Aborts at a step as soon as so many dead letters have been delivered, by all
/// children of this database together.
pub(crate) fn replay(database: &Path, point: &str, after: usize) {
    let named = |candidate: &&Failpoint| format!("{candidate:?}") == point;
    let point = Failpoint::ALL.iter().find(named).expect("a step of this name");
    let path = database.with_extension("letters");
    let mut letters = OpenOptions::new();
    let letters = letters.create(true).append(true).open(&path).unwrap();
    let told = std::fs::read_to_string(&path).unwrap().lines().count();
    let arm = move |told: usize| {
        if told == after {
            point.fail(Holder::Writer, Failure::Abort);
        }
    };
    arm(told);
    let told = AtomicUsize::new(told + 1);
    let config = Config { batch_size: 5, ..spooling(database, 96 * 1024, 4) };
    let builder = WriteBuffer::builder(database).config(config).on_reject(move |letter| {
        let Value::Integer(id) = letter.fields[0].1 else { panic!("a row without an id") };
        // In one piece, and there when this process is not any more.
        (&letters).write_all(format!("{id}\n").as_bytes()).unwrap();
        arm(told.fetch_add(1, Ordering::Relaxed));
    });
    let buffer = builder.open().unwrap();
    buffer.flush().unwrap();
    buffer.close().unwrap();
}
