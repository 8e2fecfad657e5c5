//! A reader that keeps the log from being reset.

use std::fs;
use std::path::PathBuf;

use forebay::{Config, WriteBuffer};
use support::{Log, Scratch, Seen, Trial};

use crate::load::{Load, eventually};
use crate::process::Other;

const LIMIT: u64 = 256 * 1024;

fn wal_bytes(scratch: &Scratch) -> u64 {
    let mut wal = scratch.path().into_os_string();
    wal.push("-wal");
    fs::metadata(PathBuf::from(wal)).unwrap().len()
}

#[test]
fn a_reader_that_holds_the_log_stalls_no_commit_and_the_log_shrinks_when_it_goes() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    Trial::of(
        25,
        "a reader holds the log",
        "a process with a read transaction, until the log is 16 times as large as `max_wal_bytes`, 256 KiB",
    )
    .rounds(2, 12)
    .run(move |round| {
        let scratch = Scratch::new(Seen::SCHEMA);
        let config = Config { max_wal_bytes: LIMIT as usize, ..Config::default() };
        let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
        let done = Load::run(&buffer, |load| {
            let reader = Other::start(&["read".as_ref(), scratch.path().as_os_str()]);
            eventually("the log has grown", || buffer.stats().log_bytes > 16 * LIMIT);
            let said = || log.text().matches("elsewhere a read transaction stays open").count();
            assert!(said() > round, "each time: {}", log.text());
            assert!(wal_bytes(&scratch) > 16 * LIMIT);
            load.goes_on();

            reader.end();
            let reset = || log.text().matches("was reset after").count() > round;
            eventually("the log is reset", || {
                load.goes_on();
                reset() && buffer.stats().log_bytes <= LIMIT
            });
            // One commit may go beyond the limit before it is seen to have.
            eventually("the file shrinks", || wal_bytes(&scratch) <= 2 * LIMIT);
        });
        assert_eq!((buffer.stats().pauses, buffer.stats().retries), (0, 0));
        done.all_landed(&buffer, &scratch.path())
    });
}
