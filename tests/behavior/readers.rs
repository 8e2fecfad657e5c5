//! A buffer's readers see what was committed, change nothing, and leave nothing behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use forebay::rusqlite::{Connection, ffi};
use forebay::{Config, ErrorKind, Reader, Readers, SqliteSink, WriteBuffer};
use futures::FutureExt;
use futures::task::noop_waker_ref;
use support::{Gate, Scratch};

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v)";

fn count(reader: &Connection) -> i64 {
    reader.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

fn setting(reader: &Connection, name: &str) -> i64 {
    reader.pragma_query_value(None, name, |row| row.get(0)).unwrap()
}

/// A buffer whose pool has `max_readers` connections and does not wait for one.
fn impatient(scratch: &Scratch, max_readers: usize) -> WriteBuffer {
    let config = Config { max_readers, busy_timeout: Duration::ZERO, ..Config::default() };
    WriteBuffer::builder(scratch.path()).config(config).open().unwrap()
}

fn is_exhausted(readers: &Readers) -> bool {
    readers.get().is_err_and(|error| error.kind() == ErrorKind::TimedOut)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn has_files_beside(path: &Path) -> bool {
    ["-wal", "-shm"].iter().any(|suffix| beside(path, suffix).exists())
}

/// Whether nobody holds the log: everything in it could be copied back, and it was cut to nothing.
fn can_reset_log(scratch: &Scratch) -> bool {
    let busy: i64 = scratch.value("PRAGMA wal_checkpoint(TRUNCATE)", []);
    busy == 0 && fs::metadata(beside(&scratch.path(), "-wal")).unwrap().len() == 0
}

#[test]
fn a_reader_sees_what_write_and_flush_have_committed() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let readers = buffer.readers().unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    let held = readers.get().unwrap();
    for id in 0..100 {
        t.write(&(3 * id, "written")).unwrap();
        assert_eq!((count(&held), count(&readers.get().unwrap())), (3 * id + 1, 3 * id + 1));
        t.push(&(3 * id + 1, "pushed")).unwrap();
        t.push(&(3 * id + 2, "pushed")).unwrap();
        buffer.flush().unwrap();
        assert_eq!((count(&held), count(&readers.get().unwrap())), (3 * id + 3, 3 * id + 3));
    }
}

#[test]
fn a_database_that_is_new_can_be_read_before_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = WriteBuffer::open(folder.path().join("new.db")).unwrap();
    let reader = buffer.readers().unwrap().get().unwrap();
    let tables = |reader: &Reader| {
        reader.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
    };
    assert_eq!(tables(&reader), Ok(0));
    buffer.execute(TABLE).unwrap();
    assert_eq!(tables(&reader), Ok(1));
}

#[test]
fn writing_through_a_reader_fails_as_read_only() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let reader = buffer.readers().unwrap().get().unwrap();
    let refused = |sql: &str| {
        let error = reader.execute_batch(sql).unwrap_err();
        let code = error.sqlite_error().map(|error| error.extended_code);
        assert_eq!(code, Some(ffi::SQLITE_READONLY), "{sql}: {error}");
    };
    let writes = ["INSERT INTO t VALUES (1, 1)", "DROP TABLE t", "PRAGMA user_version = 7"];
    writes.iter().for_each(|sql| refused(sql));
    refused("CREATE TEMP TABLE kept(id)");
    // The file itself is open for reading only.
    reader.execute_batch("PRAGMA query_only = OFF").unwrap();
    writes.iter().for_each(|sql| refused(sql));
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), 0);
}

#[test]
fn the_settings_of_a_reader_are_those_that_were_asked_for() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let reader = buffer.readers().unwrap().get().unwrap();
    for (name, value) in [("query_only", 1), ("trusted_schema", 0), ("cache_size", -2_048)] {
        assert_eq!(setting(&reader, name), value, "{name}");
    }
}

#[test]
fn eighty_threads_read_while_eight_write() {
    const WRITERS: i64 = 8;
    const ROWS_EACH: i64 = 250;
    let scratch = Scratch::new(TABLE);
    let config = Config { max_readers: 5, max_wal_bytes: 64 * 1_024, ..Config::default() };
    let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
    let t = &buffer.table("t").insert().producer().unwrap();
    let readers = &buffer.readers().unwrap();
    let seen = &AtomicI64::new(0);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for row in 0..ROWS_EACH {
                    t.write(&(writer * ROWS_EACH + row, "x")).unwrap();
                }
            });
        }
        for _ in 0..80 {
            scope.spawn(move || {
                let mut rows = 0;
                while rows < WRITERS * ROWS_EACH {
                    let before = seen.load(Ordering::SeqCst);
                    rows = count(&readers.get().unwrap());
                    assert!(rows >= before, "{rows} rows after {before} were seen");
                    seen.fetch_max(rows, Ordering::SeqCst);
                }
            });
        }
    });
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.retries), (2_000, 0));
}

#[test]
fn a_transaction_sees_one_state_of_the_database() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    let reader = buffer.readers().unwrap().get().unwrap();
    let transaction = reader.unchecked_transaction().unwrap();
    assert_eq!(count(&transaction), 0);
    t.write(&(1, 1)).unwrap();
    assert_eq!(count(&transaction), 0);
    drop(transaction);
    assert_eq!(count(&reader), 1);
}

#[test]
fn a_connection_given_back_inside_a_transaction_lets_the_log_be_reset() {
    let scratch = Scratch::new(TABLE);
    let buffer = impatient(&scratch, 1);
    let readers = buffer.readers().unwrap();
    let reader = readers.get().unwrap();
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count(&reader), 0);
    buffer.table("t").insert().producer().unwrap().write(&(1, 1)).unwrap();
    assert!(!can_reset_log(&scratch), "the transaction holds the log");
    reader.pragma_update(None, "cache_size", -100).unwrap();
    drop(reader);
    assert!(can_reset_log(&scratch));
    let again = readers.get().unwrap();
    assert_eq!(count(&again), 1);
    assert_eq!(setting(&again, "cache_size"), -100, "it is the same connection");
}

#[test]
fn a_connection_that_a_panic_went_past_is_closed() {
    let scratch = Scratch::new(TABLE);
    let readers = impatient(&scratch, 1).readers().unwrap();
    let reader = readers.get().unwrap();
    reader.pragma_update(None, "cache_size", -100).unwrap();
    let thread = std::thread::spawn(move || {
        reader.execute_batch("BEGIN; SELECT * FROM t").unwrap();
        panic!("on purpose");
    });
    thread.join().unwrap_err();
    assert_eq!(setting(&readers.get().unwrap(), "cache_size"), -2_048);
}

#[test]
fn when_all_connections_are_in_use_the_error_says_how_many_and_what_to_do() {
    let scratch = Scratch::new(TABLE);
    let buffer = impatient(&scratch, 2);
    let readers = buffer.readers().unwrap();
    let held = [readers.get().unwrap(), readers.get().unwrap()];
    let error = readers.get().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    for part in ["all 2 are in use", "max_readers", "for a query", "app.db"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    drop(held);
    assert_eq!(count(&readers.get().unwrap()), 0);
}

#[test]
fn a_thread_waits_for_a_connection_until_one_comes_free() {
    let scratch = Scratch::new(TABLE);
    let config = Config { max_readers: 1, ..Config::default() };
    let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
    let readers = buffer.readers().unwrap();
    let held = readers.get().unwrap();
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let readers = readers.clone();
            std::thread::spawn(move || count(&readers.get().unwrap()))
        })
        .collect();
    std::thread::yield_now();
    drop(held);
    for thread in waiting {
        assert_eq!(thread.join().unwrap(), 0);
    }
}

#[test]
fn a_task_waits_for_a_connection_without_a_thread() {
    let scratch = Scratch::new(TABLE);
    let readers = impatient(&scratch, 1).readers().unwrap();
    let held = readers.get().unwrap();
    let mut context = Context::from_waker(noop_waker_ref());
    let mut waiting = pin!(readers.get_async());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    {
        let mut impatient = pin!(readers.get_async());
        assert!(impatient.as_mut().poll(&mut context).is_pending());
    }
    drop(held);
    assert!(is_exhausted(&readers), "who waits comes first");
    let Poll::Ready(Ok(reader)) = waiting.poll(&mut context) else {
        panic!("the connection is free, and who waited behind has left");
    };
    assert_eq!(count(&reader), 0);
}

#[test]
fn a_task_may_take_connections_in_a_loop_without_yielding() {
    let scratch = Scratch::new(TABLE);
    let readers = scratch.buffer().readers().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let counts = runtime.block_on(async move {
        let looping =
            async move { (0..1_000).map(|_| count(&readers.get().unwrap())).sum::<i64>() };
        tokio::spawn(looping).await.unwrap()
    });
    assert_eq!(counts, 0);
}

#[test]
fn all_clones_of_a_buffer_share_one_pool() {
    fn is_shared<T: Clone + Send + Sync>(_: &T) {}
    let scratch = Scratch::new(TABLE);
    let buffer = impatient(&scratch, 1);
    let readers = buffer.readers().unwrap();
    is_shared(&readers);
    let held = buffer.clone().readers().unwrap().get().unwrap();
    assert!(is_exhausted(&readers) && is_exhausted(&readers.clone()));
    drop(held);
    assert!(!is_exhausted(&readers));
}

#[test]
fn the_readers_of_a_sink_are_its_own_to_give_and_a_buffer_around_it_says_so() {
    let scratch = Scratch::new(TABLE);
    let sink = SqliteSink::open(scratch.path(), &Config::default()).unwrap();
    let readers = sink.readers();
    let buffer = WriteBuffer::with_sink(sink, Config::default()).unwrap();
    assert_eq!(count(&readers.get().unwrap()), 0);
    assert_eq!(buffer.readers().unwrap_err().kind(), ErrorKind::Open);

    let buffer = WriteBuffer::with_sink(Gate::open().sink(), Config::default()).unwrap();
    let error = buffer.readers().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Open);
    assert!(error.to_string().contains("take SqliteSink::readers() before"), "{error}");
}

#[test]
fn a_process_that_only_reads_opens_readers_of_its_own() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let readers = Readers::open(scratch.path(), &Config::default()).unwrap();
    buffer.table("t").insert().producer().unwrap().write(&(1, 1)).unwrap();
    assert_eq!(count(&readers.get().unwrap()), 1);
}

#[test]
fn a_file_that_cannot_be_read_as_it_must_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, kind, remedy: &str| {
        let error = Readers::open(folder.path().join(name), &Config::default()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error:#}");
        assert!(error.to_string().contains(remedy), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    };
    refused("missing.db", ErrorKind::Open, "its writer makes it");
    refused("", ErrorKind::Open, "is a directory");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");

    let rollback = Connection::open(folder.path().join("rollback.db")).unwrap();
    rollback.execute_batch(TABLE).unwrap();
    refused("rollback.db", ErrorKind::Open, "WriteBuffer::open puts it into WAL mode");
    fs::write(folder.path().join("notes.txt"), "# text\n".repeat(1_000)).unwrap();
    refused("notes.txt", ErrorKind::Corrupt, "is not a SQLite database");
    let config = Config { max_readers: 0, ..Config::default() };
    let error = Readers::open(folder.path().join("rollback.db"), &config).unwrap_err();
    assert_eq!(error.field(), Some("max_readers"));
}

#[test]
fn a_file_that_was_moved_or_replaced_is_opened_anew() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    buffer.table("t").insert().producer().unwrap().write(&(1, 1)).unwrap();
    buffer.close().unwrap();
    let readers = Readers::open(scratch.path(), &Config::default()).unwrap();
    assert_eq!(count(&readers.get().unwrap()), 1);

    let aside = beside(&scratch.path(), "-aside");
    fs::rename(scratch.path(), &aside).unwrap();
    let error = readers.get().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Open, "{error:#}");
    fs::rename(&aside, scratch.path()).unwrap();
    assert_eq!(count(&readers.get().unwrap()), 1);

    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(beside(&scratch.path(), suffix)).unwrap();
    }
    let other = scratch.connection();
    other.execute_batch("CREATE TABLE t(id); INSERT INTO t VALUES (1), (2), (3)").unwrap();
    assert_eq!(count(&readers.get().unwrap()), 3);
}

#[test]
fn a_log_that_was_replaced_is_opened_anew() {
    let scratch = Scratch::new(TABLE);
    let copy = scratch.path().with_extension("copy");
    fs::copy(scratch.path(), &copy).unwrap();
    let readers = Readers::open(scratch.path(), &Config::default()).unwrap();
    let writer = scratch.connection();
    writer.execute_batch("INSERT INTO t VALUES (1, 1), (2, 2)").unwrap();
    assert_eq!(count(&readers.get().unwrap()), 2);
    // A backup is restored into the file, and the log is thrown away.
    drop(writer);
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(beside(&scratch.path(), suffix)).unwrap();
    }
    fs::write(scratch.path(), fs::read(&copy).unwrap()).unwrap();
    assert_eq!(count(&readers.get().unwrap()), 0);
}

#[test]
fn closing_closes_the_readers_that_are_not_in_use() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let readers = buffer.readers().unwrap();
    let held = [readers.get().unwrap(), readers.get().unwrap()];
    buffer.table("t").insert().producer().unwrap().write(&(1, 1)).unwrap();
    drop(held);
    buffer.close().unwrap();
    assert!(!has_files_beside(&scratch.path()), "one file is left, with everything in it");
    assert_eq!(count(&Connection::open(scratch.path()).unwrap()), 1);
}

#[test]
fn readers_outlive_their_buffer_and_the_next_one_tidies_up() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let readers = buffer.readers().unwrap();
    let held = readers.get().unwrap();
    buffer.table("t").insert().producer().unwrap().write(&(1, 1)).unwrap();
    buffer.close().unwrap();
    drop(buffer);
    assert_eq!((count(&held), count(&readers.get().unwrap())), (1, 1));
    drop((held, readers));
    assert!(has_files_beside(&scratch.path()), "who only reads cannot delete them");

    let next = scratch.buffer();
    assert_eq!(count(&next.readers().unwrap().get().unwrap()), 1);
    next.close().unwrap();
    assert!(!has_files_beside(&scratch.path()));
}

#[test]
fn a_path_that_is_relative_or_a_link_leads_to_the_file() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    buffer.table("t").insert().producer().unwrap().write(&(1, 1)).unwrap();
    let link = scratch.path().with_extension("link");
    std::os::unix::fs::symlink(scratch.path(), &link).unwrap();
    for path in [link, scratch.path().parent().unwrap().join(".").join("app.db")] {
        let readers = Readers::open(path, &Config::default()).unwrap();
        assert_eq!(count(&readers.get_async().now_or_never().unwrap().unwrap()), 1);
    }
}
