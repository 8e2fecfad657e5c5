//! Opening sets the database up for writing or says what is in the way; closing leaves one file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay::{Config, Durability, Error, ErrorKind, WriteBuffer};
use rusqlite::Connection;
use support::{Log, Mount, Scratch};

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v)";

/// What a setting of the buffer's own connection is.
fn setting(buffer: &WriteBuffer, path: &Path, name: &str) -> i64 {
    buffer.execute("CREATE TABLE IF NOT EXISTS settings(value)").unwrap();
    buffer.execute("DELETE FROM settings").unwrap();
    buffer.execute(&format!("INSERT INTO settings SELECT * FROM pragma_{name}")).unwrap();
    let connection = Connection::open(path).unwrap();
    connection.query_row("SELECT value FROM settings", [], |row| row.get(0)).unwrap()
}

fn journal_mode(path: &Path) -> String {
    let connection = Connection::open(path).unwrap();
    connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap()
}

/// The error that a database is refused with; it names the path.
fn refused(path: &Path, kind: ErrorKind) -> Error {
    let error = WriteBuffer::open(path).unwrap_err();
    assert_eq!(error.kind(), kind, "{error:#}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    error
}

/// The names of the files in a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

fn impatient() -> Config {
    Config { busy_timeout: Duration::from_millis(10), ..Config::default() }
}

#[test]
fn a_file_that_is_not_there_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    let buffer = WriteBuffer::open(&path).unwrap();
    buffer.execute(TABLE).unwrap();
    buffer.table("t").insert().producer().unwrap().write(&(1, 2)).unwrap();
    buffer.close().unwrap();
    assert_eq!(files(folder.path()), ["new.db"]);

    let again = WriteBuffer::open(&path).unwrap();
    again.table("t").insert().producer().unwrap().write(&(2, 3)).unwrap();
    again.close().unwrap();
    let connection = Connection::open(&path).unwrap();
    let rows: i64 = connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 2);
}

#[test]
fn a_file_that_is_made_is_its_owners_whatever_the_umask() {
    // Of the whole process, but everything else that the tests look at has a mode of its own.
    rustix::process::umask(rustix::fs::Mode::empty());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let buffer = WriteBuffer::open(&link).unwrap();
    buffer.execute(TABLE).unwrap();
    for file in ["new.db", "new.db-wal", "new.db-shm"] {
        assert_eq!(mode(&folder.path().join(file)), 0o600, "{file}");
    }
    buffer.close().unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_file_that_is_there_keeps_its_permissions() {
    let folder = tempfile::tempdir().unwrap();
    for (name, schema) in [("empty.db", ""), ("full.db", TABLE)] {
        let path = folder.path().join(name);
        fs::write(&path, "").unwrap();
        Connection::open(&path).unwrap().execute_batch(schema).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let buffer = WriteBuffer::open(&path).unwrap();
        buffer.execute("CREATE TABLE another(id)").unwrap();
        for file in [path.clone(), beside(&path, "-wal"), beside(&path, "-shm")] {
            assert_eq!(mode(&file), 0o640, "{}", file.display());
        }
        buffer.close().unwrap();
    }
}

#[test]
fn an_empty_file_is_an_empty_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.db");
    fs::write(&path, "").unwrap();
    WriteBuffer::open(&path).unwrap().execute(TABLE).unwrap();
    assert_eq!(journal_mode(&path), "wal");
}

#[test]
fn a_new_database_need_not_be_written_first() {
    for sql in ["SELECT 1", "PRAGMA user_version", "SELECT * FROM sqlite_schema", "ANALYZE"] {
        let folder = tempfile::tempdir().unwrap();
        let buffer = WriteBuffer::open(folder.path().join("app.db")).unwrap();
        buffer.execute(sql).unwrap();
        buffer.execute(TABLE).unwrap();
        buffer.table("t").insert().producer().unwrap().write(&(1, 2)).unwrap();
        buffer.close().unwrap();
    }
}

#[test]
fn the_database_is_in_wal_mode_from_then_on() {
    for mode in ["DELETE", "TRUNCATE", "PERSIST", "WAL"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", mode).unwrap();
        connection.execute_batch(TABLE).unwrap();
        drop(connection);
        assert_eq!(journal_mode(&path) == "wal", mode == "WAL");
        let buffer = WriteBuffer::open(&path).unwrap();
        assert_eq!(journal_mode(&path), "wal", "{mode}");
        buffer.close().unwrap();
        assert_eq!(journal_mode(&path), "wal", "{mode}");
    }
}

#[test]
fn the_settings_of_the_connection_are_those_that_were_asked_for() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let defaults = [
        ("synchronous", 1),
        ("journal_size_limit", 40 << 20),
        ("cache_size", -16 * 1_024),
        ("trusted_schema", 0),
        ("foreign_keys", 1),
    ];
    for (name, value) in defaults {
        assert_eq!(setting(&buffer, &scratch.path(), name), value, "{name}");
    }
    buffer.close().unwrap();

    let config = Config {
        durability: Durability::Full,
        max_wal_bytes: 1 << 20,
        max_cache_bytes: 2 << 20,
        ..Config::default()
    };
    let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
    let set = [("synchronous", 2), ("journal_size_limit", 1 << 20), ("cache_size", -2 * 1_024)];
    for (name, value) in set {
        assert_eq!(setting(&buffer, &scratch.path(), name), value, "{name}");
    }
}

#[test]
fn foreign_keys_are_enforced() {
    let scratch = Scratch::new(
        "CREATE TABLE parents(id INTEGER PRIMARY KEY);
         CREATE TABLE children(id INTEGER PRIMARY KEY, parent REFERENCES parents)",
    );
    let buffer = scratch.buffer();
    let error = buffer.table("children").insert().producer().unwrap().write(&(1, 99)).unwrap_err();
    assert_eq!((error.kind(), error.constraint()), (ErrorKind::Rejected, Some("FOREIGN KEY")));
}

#[test]
fn a_wal_that_grew_is_cut_back_to_its_limit() {
    let scratch = Scratch::new(TABLE);
    let limit = 128 * 1_024;
    let config = Config { max_wal_bytes: limit, ..Config::default() };
    let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    for turn in 0..20 {
        // Another text each time: SQLite does not write a page again that stays as it is.
        t.write(&(1, format!("{turn:09}").repeat(100_000))).unwrap();
        t.write(&(2, turn)).unwrap();
    }
    let length = fs::metadata(beside(&scratch.path(), "-wal")).unwrap().len();
    assert!(length <= limit as u64, "20 large rows left a WAL of {length} bytes");
}

#[test]
fn a_directory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = refused(folder.path(), ErrorKind::Open);
    assert!(error.to_string().contains("is a directory"), "{error}");
}

#[test]
fn a_missing_folder_is_refused_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("not").join("there");
    let error = refused(&missing.join("app.db"), ErrorKind::Open);
    assert!(error.to_string().contains(&format!("the folder {}", missing.display())), "{error}");
    assert_eq!(files(folder.path()), [""; 0]);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    for bytes in [b"short".to_vec(), b"# a text file\n".repeat(1_000), vec![0xFF; 4_096]] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, &bytes).unwrap();
        let error = refused(&path, ErrorKind::Corrupt);
        assert!(error.to_string().contains("is not a SQLite database"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(files(folder.path()), ["notes.txt"]);
    }
}

#[test]
fn a_database_in_memory_is_refused_with_the_remedy() {
    let error = refused(Path::new(":memory:"), ErrorKind::Open);
    assert!(error.to_string().contains("file on a local disk"), "{error}");
    assert!(!Path::new(":memory:").exists());
    let error = refused(Path::new(""), ErrorKind::Open);
    assert!(error.to_string().contains("name a file"), "{error}");
}

#[test]
fn a_wrong_setting_is_refused_before_the_file_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { batch_size: 0, ..Config::default() };
    let path = folder.path().join("app.db");
    let error = WriteBuffer::builder(&path).config(config).open().unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some("batch_size")));
    assert_eq!(files(folder.path()), [""; 0]);
}

#[test]
fn a_database_that_stays_locked_is_refused_as_busy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch(TABLE).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = WriteBuffer::builder(&path).config(impatient()).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error:#}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    other.execute_batch("COMMIT").unwrap();
    WriteBuffer::builder(&path).config(impatient()).open().unwrap();
}

#[test]
fn opening_waits_for_a_lock_that_is_released_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch(TABLE).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| WriteBuffer::open(&path).map(drop));
        std::thread::yield_now();
        other.execute_batch("COMMIT").unwrap();
        opening.join().unwrap().unwrap();
    });
    assert_eq!(journal_mode(&path), "wal");
}

#[test]
fn opening_waits_for_whoever_writes_to_a_database_that_is_not_in_wal_mode_yet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch(TABLE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let log = Log::default();
    let open = || WriteBuffer::open(&path).map(drop);
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| tracing::subscriber::with_default(log.subscriber(), open));
        while !log.text().contains("has waited 0.1s for the lock of") {
            std::thread::yield_now();
        }
        other.execute_batch("COMMIT").unwrap();
        opening.join().unwrap().unwrap();
    });
    assert_eq!(journal_mode(&path), "wal");
}

#[test]
fn a_writer_elsewhere_does_not_keep_a_wal_database_from_opening() {
    let scratch = Scratch::new(TABLE);
    let other = scratch.connection();
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1, 1)").unwrap();
    let buffer = WriteBuffer::builder(scratch.path()).config(impatient()).open().unwrap();
    buffer.table("t").insert().producer().unwrap();
    other.execute_batch("COMMIT").unwrap();
    buffer.table("t").insert().producer().unwrap().write(&(2, 2)).unwrap();
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), 2);
}

#[test]
fn closing_leaves_one_file_with_everything_in_it() {
    for dropped in [false, true] {
        let scratch = Scratch::new(TABLE);
        let folder = scratch.path().parent().unwrap().to_owned();
        let buffer = scratch.buffer();
        let t = buffer.table("t").insert().producer().unwrap();
        (0..1_000).for_each(|id| t.push(&(id, "x".repeat(100))).unwrap());
        t.write(&(1_000, "last")).unwrap();
        assert_eq!(files(&folder), ["app.db", "app.db-shm", "app.db-wal"]);
        if dropped {
            drop((buffer, t));
        } else {
            buffer.close().unwrap();
        }
        assert_eq!(files(&folder), ["app.db"]);
        let copy = folder.join("copy.db");
        fs::copy(scratch.path(), &copy).unwrap();
        let connection = Connection::open(copy).unwrap();
        let rows: i64 =
            connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1_001);
    }
}

#[test]
fn two_buffers_on_one_file_both_make_progress() {
    let scratch = Scratch::new(TABLE);
    let buffers = [scratch.buffer(), scratch.buffer()];
    std::thread::scope(|scope| {
        for (number, buffer) in buffers.iter().enumerate() {
            scope.spawn(move || {
                let t = buffer.table("t").insert().producer().unwrap();
                for id in 0..200 {
                    t.write(&(2 * id + number, number)).unwrap();
                }
            });
        }
    });
    let [one, other] = buffers.map(|buffer| {
        buffer.close().unwrap();
        buffer.stats()
    });
    assert_eq!((one.committed, other.committed), (200, 200));
    assert_eq!((one.rejected + other.rejected, one.pauses + other.pauses), (0, 0));
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), 400);
    assert_eq!(scratch.value::<String>("PRAGMA integrity_check", []), "ok");
}

#[test]
fn a_database_behind_a_symbolic_link_is_written() {
    let scratch = Scratch::new(TABLE);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.db");
    std::os::unix::fs::symlink(scratch.path(), &link).unwrap();
    let buffer = WriteBuffer::open(&link).unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(1, 2)).unwrap();
    t.write(&(2, 3)).unwrap();
    buffer.close().unwrap();
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), 2);
    assert_eq!(files(elsewhere.path()), ["link.db"]);
}

#[test]
fn a_path_is_a_path_whatever_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    for name in
        ["with space.db", "question?mode=memory", "hash#.db", "per%20cent", "naïve ☃.db", "-dash"]
    {
        let path = folder.path().join(name);
        let buffer = WriteBuffer::open(&path).unwrap();
        buffer.execute(TABLE).unwrap();
        buffer.table("t").insert().producer().unwrap().write(&(1, 2)).unwrap();
        buffer.close().unwrap();
        assert!(path.is_file(), "{name}");
    }
    assert_eq!(files(folder.path()).len(), 6);
}

/// These mount filesystems, and fail where they may not.
mod needs_root {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_written_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        Connection::open(&path).unwrap().execute_batch(TABLE).unwrap();
        let _mount = Mount::read_only(folder.path());
        let error = refused(&path, ErrorKind::Open);
        let message = error.to_string();
        assert!(message.contains(&format!("the folder {}", folder.path().display())), "{message}");
        assert!(message.contains("WAL"), "{message}");
    }

    #[test]
    fn a_file_that_can_only_be_read_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        Connection::open(&path).unwrap().execute_batch(TABLE).unwrap();
        let _mount = Mount::read_only(&path);
        let error = refused(&path, ErrorKind::Open);
        assert!(error.to_string().contains("only be read"), "{error}");
    }
}
