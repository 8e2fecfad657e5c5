//! A child process that was forked after the buffer was opened cannot use it, and finds out at once.

use std::time::Duration;

use forebay::{Config, ErrorKind, WriteBuffer};
use fork::{Fork, fork, waitpid};
use support::{Gate, Scratch, smallest};

/// Runs `check` in a forked child, which fails the test by its exit code.
pub(crate) fn in_a_child(check: impl FnOnce() -> bool) {
    match fork().unwrap() {
        Fork::Child => {
            let passed =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).unwrap_or(false);
            std::process::exit(if passed { 0 } else { 1 });
        }
        Fork::Parent(child) => {
            let status = waitpid(child).unwrap();
            assert_eq!(status, 0, "the child's checks failed");
        }
    }
}

#[test]
fn whatever_would_wait_for_the_writer_says_that_it_is_not_there() {
    let gate = Gate::closed();
    let config = Config { linger: Duration::ZERO, ..smallest() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    let mut receipt = Some(topics.submit(&(1, "x", 0)).unwrap());
    gate.await_arrival();
    let mut handles = Some((buffer, topics));
    in_a_child(|| {
        let (buffer, topics) = handles.take().unwrap();
        let forked = |result: Result<(), forebay::Error>| {
            result.is_err_and(|error| error.kind() == ErrorKind::Forked)
        };
        let told = [
            forked(receipt.take().unwrap().wait()),
            forked(buffer.flush()),
            forked(buffer.close()),
            forked(buffer.ready(Duration::MAX)),
            forked(buffer.execute("VACUUM")),
            {
                while topics.try_push(&(2, "x", 0)).is_ok() {}
                forked(topics.push(&(3, "x", 0)))
            },
        ];
        // To drop the last handles forgets the connection, and does not wait.
        drop((buffer, topics));
        told == [true; 6]
    });
    gate.open_up();
    receipt.take().unwrap().wait().unwrap();
    handles.take().unwrap().1.write(&(4, "x", 0)).unwrap();
    assert_eq!(gate.ids(), [[1], [4]], "the parent goes on as if nothing had been");
}

#[test]
fn readers_say_that_they_belong_to_the_parent() {
    let scratch = Scratch::new("CREATE TABLE t(id)");
    let buffer = scratch.buffer();
    let readers = buffer.readers().unwrap();
    let mut held = Some(readers.get().unwrap());
    drop(readers.get().unwrap());
    in_a_child(|| {
        let told = readers.get().is_err_and(|error| error.kind() == ErrorKind::Forked);
        drop(held.take());
        told && buffer.readers().is_err_and(|error| error.kind() == ErrorKind::Forked)
    });
    for reader in [held.take().unwrap(), readers.get().unwrap()] {
        assert_eq!(reader.query_row("SELECT count(*) FROM t", [], |row| row.get(0)), Ok(0));
    }
}
