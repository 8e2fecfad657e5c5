//! A table that is not as the rows need it for a while.

use std::time::Duration;

use forebay::{Config, ErrorKind, Health, Retry, WriteBuffer};
use support::{Scratch, Seen, Trial};

use crate::load::{LONG, Load, eventually};

/// The table dropped with what is in it kept elsewhere, and a column gone; and how each comes back.
const AWAY_AND_BACK: [(&str, &str, &str); 2] = [
    (
        "BEGIN IMMEDIATE; INSERT INTO kept SELECT id FROM landed; DROP TABLE landed; COMMIT",
        Seen::SCHEMA,
        "no such table",
    ),
    (
        "ALTER TABLE landed RENAME COLUMN id TO number",
        "ALTER TABLE landed RENAME COLUMN number TO id",
        "no column named id",
    ),
];

#[test]
fn a_table_that_is_gone_for_a_while_is_waited_for() {
    Trial::of(
        9,
        "the table is dropped, a column is gone",
        "another connection drops the table and creates it again, renames the column and names it back, 5 times each",
    )
    .rounds(3, 20)
    .run(|_| {
        let scratch = Scratch::new(&format!("{}; CREATE TABLE kept(id)", Seen::SCHEMA));
        let retry = Retry { pause: Duration::from_millis(5), ..Retry::default() };
        let config = Config { retry, ..Config::default() };
        let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
        let other = scratch.connection();
        other.busy_timeout(LONG).unwrap();
        let done = Load::run(&buffer, |load| {
            for (away, back, said) in AWAY_AND_BACK.into_iter().cycle().take(10) {
                other.execute_batch(away).unwrap();
                let cause = load.paused();
                assert_eq!(
                    (cause.kind(), cause.table()),
                    (ErrorKind::Unavailable, Some("landed")),
                    "{cause:?}"
                );
                assert!(format!("{cause:#}").contains(said), "{cause:#}");
                other.execute_batch(back).unwrap();
                let runs = || matches!(buffer.health(), Health::Running);
                eventually("the buffer runs again", runs);
                load.goes_on();
            }
        });
        assert_eq!(buffer.stats().pauses, 10);
        buffer.flush().unwrap();
        other.execute_batch("INSERT INTO landed SELECT id FROM kept").unwrap();
        done.all_landed(&buffer, &scratch.path())
    });
}
