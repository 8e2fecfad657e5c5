//! A buffer that fails leaves in its spool what it has not written, and the next one finds out what it has.

use std::fs;

use forebay::{
    Applied, Batch, DeadLetter, ErrorKind, Health, Sink, SinkError, SqliteSink, WriteBuffer,
};
use support::{Around, Surrounded, adds_up};

use super::{Place, Row, all, eventually, rows_of};

/// A sink that panics at one of its commits: before it, or after it.
struct Panicking {
    commits: usize,
    after: bool,
}

impl Around for Panicking {
    fn apply(&mut self, sink: &mut SqliteSink, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        self.commits += 1;
        assert!(self.after || self.commits != 3, "a test has it panic");
        let applied = sink.apply(batch);
        assert!(self.commits != 3, "a test has it panic");
        applied
    }
}

fn panicking(place: &Place, after: bool) -> WriteBuffer {
    let sink = SqliteSink::open(place.path(), &place.config()).unwrap();
    let sink = Surrounded::new(sink, Panicking { commits: 0, after });
    let no_letter = |letter: &DeadLetter| panic!("what is in the spool is not lost: {letter:?}");
    let builder = WriteBuffer::builder_with_sink(sink).config(place.config());
    builder.on_reject(no_letter).open().unwrap()
}

#[test]
fn a_writer_that_panics_leaves_its_rows_in_the_spool_whatever_became_of_its_commit() {
    for after in [false, true] {
        let place = Place::new();
        let buffer = panicking(&place, after);
        let rows = rows_of(&buffer);
        let mut next = 0;
        let mut told = Vec::new();
        eventually("the writer panics", || {
            match rows.submit(&Row { id: next }) {
                Ok(receipt) => told.push((next, receipt)),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Failed, "{error:#}");
                    return true;
                }
            }
            next += 1;
            false
        });
        let error = buffer.close().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed, "{error:#}");
        let stats = buffer.stats();
        assert!(adds_up(&stats), "{stats:?}");
        assert_eq!((stats.unknown, stats.unwritten), (0, 0), "{stats:?}");
        assert!(stats.spooled > 0, "{stats:?}");
        for (id, receipt) in told {
            match receipt.wait() {
                Ok(()) => assert!(place.ids().contains(&id)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Spooled, "{error:#}"),
            }
        }
        let replayed = place.drain().replayed;
        assert_eq!(replayed < stats.spooled, after, "{replayed} of {stats:?}");
        assert_eq!(place.ids(), all(0..next));
    }
}

#[test]
fn a_database_that_is_moved_away_and_back_gets_every_row_once() {
    let place = Place::new();
    let buffer = place.open();
    let rows = rows_of(&buffer);
    rows.write(&Row { id: 0 }).unwrap();
    let away = place.path().with_file_name("away.db");
    fs::rename(place.path(), &away).unwrap();
    let mut next = 1;
    eventually("the buffer fails", || {
        let pushed = rows.push(&Row { id: next });
        next += i64::from(pushed.is_ok());
        pushed.is_err_and(|error| error.kind() == ErrorKind::Failed)
    });
    assert!(matches!(buffer.health(), Health::Failed(_)));
    let error = buffer.close().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    let stats = buffer.stats();
    assert!(adds_up(&stats) && stats.spooled > 0, "{stats:?}");
    drop((buffer, rows));
    fs::rename(&away, place.path()).unwrap();
    place.drain();
    assert_eq!(place.ids(), all(0..next));
}
