//! Batches whose COMMIT was answered by an I/O error, which had happened or not.

use rusqlite::ffi::{
    SQLITE_BUSY, SQLITE_CORRUPT, SQLITE_FULL, SQLITE_IOERR_FSYNC, SQLITE_IOERR_READ,
};

use super::*;
use crate::sink::SinkError;
use crate::sync::Mutex;
use crate::writer::THREAD;
use crate::{Failpoint, Failure, Holder};

/// Failpoints are those of the process: one test after the other has them.
static ONE: Mutex<()> = Mutex::new(());

/// Runs a test on a thread that has the writer's name, whose failpoints no other test here comes to.
fn as_writer(test: impl FnOnce() + Send) {
    let _one = ONE.lock();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(THREAD.to_owned());
        let done = thread.spawn_scoped(scope, test).unwrap().join();
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
}

fn fail(point: Failpoint, code: i32) {
    point.fail(Holder::Writer, Failure::Error { code, times: 1 });
}

fn fails(sink: &mut SqliteSink, batch: &Batch<'_>) -> SinkError {
    sink.apply(batch).unwrap_err()
}

/// Before COMMIT it did not happen; after it, it did.
const ENDS: [Failpoint; 2] = [Failpoint::BeforeCommit, Failpoint::AfterCommit];

#[test]
fn a_commit_in_doubt_is_found_out_and_its_rows_are_there_once() {
    as_writer(|| {
        for point in ENDS {
            let (database, mut sink) = Database::new();
            let rows = Rows::of_t(&mut sink, &[(1, "ok", 0), (2, "ok", 0)]);
            fail(point, SQLITE_IOERR_FSYNC);
            let error = fails(&mut sink, &rows.batch(0));
            assert_eq!(error.verdict, Verdict::Pause);
            assert!(error.error.to_string().contains("found out as soon as"), "{}", error.error);
            assert!(sink.connection.is_none(), "it is not trusted any more");
            let applied = sink.apply(&rows.batch(0)).unwrap();
            assert_eq!((refused(&applied), applied.transactions), (vec![], 1), "{point:?}");
            assert_eq!((database.rows(), database.applied()), (vec![1, 2], 2), "{point:?}");
            let rows = Rows::of_t(&mut sink, &[(3, "ok", 0)]);
            sink.apply(&rows.batch(2)).unwrap();
            assert_eq!((database.rows(), database.applied()), (vec![1, 2, 3], 3), "{point:?}");
        }
    });
}

#[test]
fn verdicts_that_were_reached_before_a_commit_in_doubt_are_those_that_count() {
    as_writer(|| {
        for fault in ["bad", "gone", "orphan"] {
            for point in ENDS {
                let (database, mut sink) = Database::new();
                let rows = [(1, "ok", 0), (2, fault, 0), (3, fault, RECEIPT), (4, "ok", 0)];
                let rows = Rows::of_t(&mut sink, &rows);
                fail(point, SQLITE_IOERR_FSYNC);
                assert_eq!(fails(&mut sink, &rows.batch(0)).verdict, Verdict::Pause);
                if point == Failpoint::AfterCommit && fault == "orphan" {
                    // It would pass by now, and is refused all the same.
                    database.look.execute("INSERT INTO parents VALUES (-1)", []).unwrap();
                }
                let applied = sink.apply(&rows.batch(0)).unwrap();
                assert_eq!(refused(&applied), [1, 2], "{fault} {point:?}");
                assert_eq!(applied.rejected[0].error.kind(), ErrorKind::Rejected);
                assert_eq!(database.rows(), [1, 4], "{fault} {point:?}");
                assert_eq!((database.applied(), database.letters()), (4, vec![1]));
            }
        }
    });
}

#[test]
fn what_is_in_doubt_outlasts_errors_on_the_way_to_finding_out() {
    as_writer(|| {
        let (database, mut sink) = Database::new();
        let rows = Rows::of_t(&mut sink, &[(1, "ok", 0), (2, "bad", 0)]);
        fail(Failpoint::AfterCommit, SQLITE_IOERR_FSYNC);
        assert_eq!(fails(&mut sink, &rows.batch(0)).verdict, Verdict::Pause);
        let steps = [
            (Failpoint::BeforeReopen, SQLITE_IOERR_READ, Verdict::Pause),
            (Failpoint::AfterReopen, SQLITE_IOERR_READ, Verdict::Pause),
            (Failpoint::BeforeBegin, SQLITE_BUSY, Verdict::Retry),
        ];
        for (point, code, verdict) in steps {
            fail(point, code);
            assert_eq!(fails(&mut sink, &rows.batch(0)).verdict, verdict, "{point:?}");
        }
        assert_eq!(refused(&sink.apply(&rows.batch(0)).unwrap()), [1]);
        assert_eq!((database.rows(), database.applied()), (vec![1], 2));
    });
}

#[test]
fn a_batch_in_doubt_is_fenced_off_where_the_books_say_something_else() {
    as_writer(|| {
        let (database, mut sink) = Database::new();
        let rows = Rows::of_t(&mut sink, &[(1, "ok", 0)]);
        fail(Failpoint::AfterCommit, SQLITE_IOERR_FSYNC);
        assert_eq!(fails(&mut sink, &rows.batch(0)).verdict, Verdict::Pause);
        database.look.execute("UPDATE _forebay SET applied = 9", []).unwrap();
        let error = fails(&mut sink, &rows.batch(0));
        assert_eq!((error.verdict, error.error.kind()), (Verdict::Fail, ErrorKind::Spool));
    });
}

#[test]
fn a_commit_that_is_known_to_have_failed_is_simply_tried_again() {
    as_writer(|| {
        for fault in ["ok", "bad"] {
            let (database, mut sink) = Database::new();
            let rows = Rows::of_t(&mut sink, &[(1, "ok", 0), (2, fault, 0)]);
            fail(Failpoint::BeforeCommit, SQLITE_FULL);
            assert_eq!(fails(&mut sink, &rows.batch(0)).verdict, Verdict::Pause);
            assert_eq!((database.applied(), database.letters()), (0, vec![]));
            sink.apply(&rows.batch(0)).unwrap();
            assert_eq!(database.applied(), 2);
        }
    });
}

#[test]
fn without_an_entry_a_commit_in_doubt_stays_unknown() {
    as_writer(|| {
        let (_database, mut sink) = Database::new();
        let rows = Rows::of_t(&mut sink, &[(1, "ok", 0)]);
        fail(Failpoint::AfterCommit, SQLITE_IOERR_FSYNC);
        assert_eq!(fails(&mut sink, &rows.unentered()).verdict, Verdict::Unknown);
    });
}

#[test]
fn a_statement_whose_commit_is_in_doubt_has_run_once() {
    as_writer(|| {
        for point in ENDS {
            for sql in ["INSERT INTO t VALUES (1, 'ok', NULL)", "INSERT INTO nowhere VALUES (1)"] {
                let (database, mut sink) = Database::new();
                let rows = Rows::of_execute(sql, 0);
                fail(point, SQLITE_IOERR_FSYNC);
                assert_eq!(fails(&mut sink, &rows.batch(0)).verdict, Verdict::Pause);
                let applied = sink.apply(&rows.batch(0)).unwrap();
                assert_eq!(database.applied(), 1);
                assert_eq!(database.rows().len() + refused(&applied).len(), 1, "{sql}");
                assert_eq!(database.letters().len(), refused(&applied).len(), "{sql}");
            }
        }
    });
}

#[test]
fn a_statement_that_runs_after_its_entry_runs_though_the_entry_was_in_doubt_or_the_lock_taken() {
    as_writer(|| {
        let cases = [
            (Failpoint::BeforeBegin, SQLITE_BUSY, Verdict::Retry),
            (Failpoint::BeforeCommit, SQLITE_IOERR_FSYNC, Verdict::Pause),
            (Failpoint::AfterCommit, SQLITE_IOERR_FSYNC, Verdict::Pause),
        ];
        for (point, code, verdict) in cases {
            let (database, mut sink) = Database::new();
            let rows = Rows::of_execute("PRAGMA user_version = 7", 0);
            fail(point, code);
            assert_eq!(fails(&mut sink, &rows.batch(0)).verdict, verdict, "{point:?}");
            assert_eq!(database.numbers("PRAGMA user_version"), [0]);
            sink.apply(&rows.batch(0)).unwrap();
            assert_eq!(database.numbers("PRAGMA user_version"), [7], "{point:?}");
            assert_eq!(database.applied(), 1);
        }
    });
}

#[test]
fn a_statement_that_fails_after_its_entry_is_unknown_whatever_the_error_for_it_is_not_given_again()
{
    as_writer(|| {
        let cases = [
            // Whether it ran is not known, and the books do not tell.
            (Failpoint::AfterExecute, SQLITE_IOERR_FSYNC, 7),
            (Failpoint::BeforeExecute, SQLITE_BUSY, 0),
            (Failpoint::BeforeExecute, SQLITE_FULL, 0),
            (Failpoint::BeforeExecute, SQLITE_CORRUPT, 0),
        ];
        for (point, code, version) in cases {
            let (database, mut sink) = Database::new();
            let rows = Rows::of_execute("PRAGMA user_version = 7", 0);
            fail(point, code);
            let error = fails(&mut sink, &rows.batch(0));
            assert_eq!(error.verdict, Verdict::Unknown, "{code}: {}", error.error);
            assert_eq!(
                (database.applied(), database.numbers("PRAGMA user_version")),
                (1, vec![version])
            );
            // What comes after it is tried as ever.
            fail(Failpoint::BeforeBegin, SQLITE_BUSY);
            let next = Rows::of_t(&mut sink, &[(1, "ok", 0)]);
            assert_eq!(fails(&mut sink, &next.batch(1)).verdict, Verdict::Retry, "{code}");
            sink.apply(&next.batch(1)).unwrap();
            assert_eq!(database.applied(), 2);
        }
    });
}

#[test]
fn a_pragma_that_has_run_is_done_though_the_connection_cannot_be_opened_again() {
    as_writer(|| {
        let (database, mut sink) = Database::new();
        let rows = Rows::of_execute("PRAGMA user_version = 7", 0);
        let next = Rows::of_t(&mut sink, &[(1, "ok", 0)]);
        fail(Failpoint::BeforeReopen, SQLITE_IOERR_READ);
        assert!(sink.apply(&rows.unentered()).unwrap().rejected.is_empty());
        assert_eq!(fails(&mut sink, &next.batch(0)).verdict, Verdict::Pause);
        sink.apply(&next.batch(0)).unwrap();
        assert_eq!(database.numbers("PRAGMA user_version"), [7]);
        assert_eq!((database.rows(), database.applied()), (vec![1], 1));
    });
}
