//! Real trouble with the database: locks, missing tables, lost files, full disks. No row is lost in silence.

use std::error::Error as _;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay::{Config, Error, ErrorKind, Health, Receipt, Result, Retry, Value, WriteBuffer};
use parking_lot::Mutex;
use rusqlite::Connection;
use support::{Mount, Scratch};

/// Something that happens to a database's files behind the buffer's back.
type Damage = fn(&Path);

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v)";

/// Longer than anything here takes that does not hang.
const LONG: Duration = Duration::from_secs(20);

/// Fails unless something becomes true before long.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not after {LONG:?}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Blocks until the buffer is paused, and says why it is.
fn paused(buffer: &WriteBuffer) -> Error {
    let mut cause = None;
    eventually("the buffer is paused", || match buffer.health() {
        Health::Paused(error) => {
            cause = Some(error);
            true
        }
        Health::Running => false,
        other => panic!("the buffer is {other:?}"),
    });
    cause.unwrap()
}

fn is_running(buffer: &WriteBuffer) -> bool {
    matches!(buffer.health(), Health::Running)
}

/// Tries at once, and again a moment later.
fn impatient() -> Config {
    let moment = Duration::from_millis(1);
    Config {
        linger: Duration::ZERO,
        busy_timeout: Duration::from_millis(10),
        retry: Retry { delay: moment, pause: moment, ..Retry::default() },
        ..Config::default()
    }
}

fn open(scratch: &Scratch) -> WriteBuffer {
    WriteBuffer::builder(scratch.path()).config(impatient()).open().unwrap()
}

/// The answer to a receipt, which does come.
fn answer(mut receipt: Receipt) -> Result<()> {
    let answer = receipt.wait_timeout(LONG);
    assert_ne!(answer.as_ref().err().map(Error::kind), Some(ErrorKind::TimedOut));
    answer
}

/// Whether an error or one of its causes is of a kind.
fn is_because(error: &Error, kind: ErrorKind) -> bool {
    error.kind() == kind
        || error
            .source()
            .and_then(|cause| cause.downcast_ref::<Error>())
            .is_some_and(|cause| is_because(cause, kind))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[test]
fn a_thread_that_commits_its_own_row_is_not_told_of_the_lock() {
    let scratch = Scratch::new(TABLE);
    let config = Config { linger: LONG, ..impatient() };
    let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    eventually("a caller commits its own row", || {
        t.write(&(1, "on the caller")).unwrap();
        buffer.stats().commits_on_caller > 0
    });
    let other = scratch.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let write = scope.spawn(|| t.write(&(2, "by the writer in the end")));
        let execute = scope.spawn(|| buffer.execute("UPDATE t SET v = 'executed' WHERE id = 1"));
        paused(&buffer);
        other.execute_batch("COMMIT").unwrap();
        write.join().unwrap().unwrap();
        execute.join().unwrap().unwrap();
    });
    let rows = scratch.column::<String>("SELECT v FROM t ORDER BY id");
    assert_eq!(rows, ["executed", "by the writer in the end"]);
    eventually("it runs again", || is_running(&buffer));
}

#[test]
fn rows_that_nobody_waits_for_are_written_after_a_commit_on_the_caller() {
    for _ in 0..20 {
        let scratch = Scratch::new(TABLE);
        let buffer = open(&scratch);
        // The writer is about to sleep after its look at the table when the caller takes the sink.
        let t = buffer.table("t").insert().producer().unwrap();
        t.write(&(1, "on the caller")).unwrap();
        t.push(&(2, "lingers for no time at all")).unwrap();
        eventually("the row is written", || buffer.stats().committed == 2);
    }
}

#[test]
fn nothing_is_acknowledged_after_the_files_are_gone() {
    let damages: [(&str, Damage); 5] = [
        ("the file is deleted", |path| fs::remove_file(path).unwrap()),
        ("the file is moved away", |path| fs::rename(path, beside(path, ".old")).unwrap()),
        ("the file is replaced", |path| {
            let copy = beside(path, ".copy");
            Connection::open(&copy).unwrap().execute_batch(TABLE).unwrap();
            fs::rename(copy, path).unwrap();
        }),
        ("the -wal is deleted", |path| fs::remove_file(beside(path, "-wal")).unwrap()),
        ("the -wal is replaced", |path| {
            fs::rename(beside(path, "-wal"), beside(path, ".old")).unwrap();
            fs::write(beside(path, "-wal"), "").unwrap();
        }),
    ];
    for (what, damage) in damages {
        let scratch = Scratch::new(TABLE);
        let buffer = open(&scratch);
        let t = buffer.table("t").insert().producer().unwrap();
        t.write(&(1, "before")).unwrap();
        damage(&scratch.path());

        let error = answer(t.submit(&(2, "after")).unwrap()).unwrap_err();
        assert!(is_because(&error, ErrorKind::DatabaseMoved), "{what}: {error:?}");
        assert_ne!(error.kind(), ErrorKind::Rejected, "{what}: the row is not to blame");
        eventually("the buffer has failed", || matches!(buffer.health(), Health::Failed(_)));
        for error in [t.push(&(3, "later")), t.write(&(4, "later")), buffer.flush(), buffer.close()]
        {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Failed, "{what}");
            assert!(is_because(&error, ErrorKind::DatabaseMoved), "{what}: {error:?}");
        }
        let stats = buffer.stats();
        assert_eq!((stats.accepted, stats.committed, stats.unknown + stats.unwritten), (2, 1, 1));
    }
}

#[test]
fn a_backup_that_is_put_in_place_with_its_log_is_left_whole() {
    let scratch = Scratch::new(TABLE);
    let backup = beside(&scratch.path(), ".backup");
    let original = Connection::open(beside(&scratch.path(), ".original")).unwrap();
    original.pragma_update(None, "journal_mode", "WAL").unwrap();
    original.execute_batch(TABLE).unwrap();
    let insert = |rows: i64| {
        let list = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
                            INSERT INTO t(v) SELECT hex(randomblob(500)) FROM n"
        );
        original.execute_batch(&list).unwrap();
    };
    insert(400);
    original.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    insert(5);
    let copy = |suffix: &str, to: PathBuf| {
        let from = beside(&scratch.path(), &format!(".original{suffix}"));
        assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
    };
    copy("-wal", backup.clone());

    let buffer = open(&scratch);
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(1, "before")).unwrap();
    copy("", scratch.path());
    fs::rename(&backup, beside(&scratch.path(), "-wal")).unwrap();
    let error = answer(t.submit(&(2, "after")).unwrap()).unwrap_err();
    assert!(is_because(&error, ErrorKind::DatabaseMoved), "{error:?}");
    buffer.close().unwrap_err();
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), 405);
}

#[test]
fn nothing_that_was_executed_is_acknowledged_after_the_file_is_gone() {
    let scratch = Scratch::new(TABLE);
    let buffer = open(&scratch);
    buffer.execute("INSERT INTO t VALUES (1, 'before')").unwrap();
    fs::remove_file(scratch.path()).unwrap();
    let error = buffer.execute("INSERT INTO t VALUES (2, 'after')").unwrap_err();
    assert!(is_because(&error, ErrorKind::DatabaseMoved), "{error:?}");
}

#[test]
fn a_file_that_was_deleted_before_the_first_row_is_noticed_with_it() {
    let scratch = Scratch::new(TABLE);
    let buffer = open(&scratch);
    let t = buffer.table("t").insert().producer().unwrap();
    fs::remove_file(scratch.path()).unwrap();
    let error = t.write(&(1, "nowhere")).unwrap_err();
    assert!(is_because(&error, ErrorKind::DatabaseMoved), "{error:?}");
    assert!(!scratch.path().exists(), "and no new one is made");
}

#[test]
fn a_buffer_that_gives_up_says_so_of_every_row_and_goes_on() {
    let scratch = Scratch::new(TABLE);
    let mut config = impatient();
    config.retry.give_up = Some(Duration::from_millis(5));
    let letters = Arc::new(Mutex::new(Vec::new()));
    let buffer = {
        let letters = Arc::clone(&letters);
        let builder = WriteBuffer::builder(scratch.path()).config(config);
        builder.on_reject(move |letter| letters.lock().push(letter.clone())).open().unwrap()
    };
    let t = buffer.table("t").insert().producer().unwrap();
    let other = scratch.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let pushed = 1..20;
    pushed.clone().for_each(|id| t.push(&(id, "pushed")).unwrap());
    let error = answer(t.submit(&(20, "submitted")).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unwritten, "{error:#}");
    assert!(is_because(&error, ErrorKind::Busy), "{error:?}");
    buffer.flush().unwrap();
    let letters = letters.lock();
    let ids: Vec<_> = letters.iter().map(|letter| letter.fields[0].1.clone()).collect();
    assert_eq!(ids, pushed.map(Value::Integer).collect::<Vec<_>>(), "in their order, each once");
    for letter in letters.iter() {
        assert_eq!((letter.table.as_str(), letter.error.kind()), ("t", ErrorKind::Unwritten));
        assert_eq!(letter.fields[0].0, "id");
        assert_eq!(letter.fields[1], ("v".to_owned(), Value::Text("pushed".to_owned())));
    }
    let stats = buffer.stats();
    assert_eq!((stats.unwritten, stats.committed), (20, 0));
    assert!(stats.pauses >= 1, "{stats:?}");

    other.execute_batch("COMMIT").unwrap();
    answer(t.submit(&(21, "after")).unwrap()).unwrap();
    assert!(is_running(&buffer));
    assert_eq!(scratch.column::<i64>("SELECT id FROM t"), [21]);
}

#[test]
fn a_batch_that_is_given_up_takes_no_row_of_another_table_with_it_later() {
    let scratch = Scratch::new(&format!("{TABLE}; CREATE TABLE gone(id)"));
    let mut config = impatient();
    config.retry.give_up = Some(Duration::ZERO);
    let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    let gone = buffer.table("gone").insert().producer().unwrap();
    scratch.connection().execute_batch("DROP TABLE gone").unwrap();
    let error = answer(gone.submit(&(1,)).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unwritten);
    assert!(format!("{error:#}").contains("no such table"), "{error:#}");
    answer(t.submit(&(1, "fine")).unwrap()).unwrap();
    assert!(is_running(&buffer));
}

/// These mount filesystems, and fail where they may not.
mod needs_root {
    use super::*;

    #[test]
    fn a_full_disk_pauses_the_buffer_until_there_is_room() {
        let mount = Mount::tmpfs(4 << 20);
        let path = mount.path().join("app.db");
        Connection::open(&path).unwrap().execute_batch(TABLE).unwrap();
        let buffer = WriteBuffer::builder(&path).config(impatient()).open().unwrap();
        let t = buffer.table("t").insert().producer().unwrap();
        t.write(&(0, "there is room")).unwrap();
        let ballast = mount.path().join("ballast");
        let mut filler = fs::File::create(&ballast).unwrap();
        while filler.write_all(&[0; 4_096]).is_ok() {}
        drop(filler);

        let large = "x".repeat(10_000);
        let receipts: Vec<_> = (1..=60).map(|id| t.submit(&(id, &large)).unwrap()).collect();
        let cause = paused(&buffer);
        assert_eq!(cause.kind(), ErrorKind::Unavailable, "{cause:#}");
        assert!(cause.to_string().contains("disk is full"), "{cause:#}");
        assert!(!receipts.iter().any(|receipt| matches!(receipt.decided(), Some(Err(_)))));
        assert!(receipts.last().unwrap().decided().is_none());
        let tries = buffer.stats().retries;
        eventually("it is tried again", || buffer.stats().retries > tries + 3);

        fs::remove_file(ballast).unwrap();
        receipts.into_iter().for_each(|receipt| answer(receipt).unwrap());
        assert!(is_running(&buffer));
        let stats = buffer.stats();
        assert_eq!((stats.committed, stats.unknown, stats.unwritten), (61, 0, 0));
        buffer.close().unwrap();
        let connection = Connection::open(&path).unwrap();
        let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(one("SELECT CAST(count(*) AS TEXT) FROM t"), "61");
        assert_eq!(one("PRAGMA integrity_check"), "ok");
    }
}
