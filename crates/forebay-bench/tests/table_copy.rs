//! A table is copied with all that it needs, and its database stays as it is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use forebay::rusqlite::{Connection, OpenFlags};
use forebay_bench::tune::{TableChoice, TableCopy, Writing};
use forebay_bench::{Result, Stop};

/// A database in a folder of its own.
struct Database {
    folder: tempfile::TempDir,
}

impl Database {
    fn with(journal_mode: &str, schema: &str) -> Self {
        let database = Self { folder: tempfile::tempdir().unwrap() };
        let connection = database.connection();
        connection.pragma_update(None, "journal_mode", journal_mode).unwrap();
        connection.execute_batch(schema).unwrap();
        database
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    fn connection(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn copy_of(&self, table: &str, writing: Writing) -> Result<TableCopy> {
        let choice = TableChoice {
            database: self.path(),
            table: table.to_owned(),
            writing,
            keys: 400,
            folder: None,
        };
        TableCopy::make(&choice, &Stop::default())
    }

    fn copy(&self, table: &str) -> TableCopy {
        self.copy_of(table, Writing::Upsert)
            .unwrap_or_else(|error| panic!("{error} ({:?})", error.hint()))
    }

    fn refusal(&self, table: &str, writing: Writing) -> String {
        let error = self.copy_of(table, writing).unwrap_err();
        format!("{error}; {}", error.hint().unwrap_or("no hint"))
    }

    /// The files beside the database and the bytes of each, but for the shared memory of those who have it open.
    fn files(&self) -> BTreeMap<String, Option<Vec<u8>>> {
        let file = |entry: std::io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let bytes = (!name.ends_with("-shm")).then(|| fs::read(entry.path()).unwrap());
            (name, bytes)
        };
        fs::read_dir(self.folder.path()).unwrap().map(file).collect()
    }
}

/// The copy, to look into.
fn open(copy: &TableCopy) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    Connection::open_with_flags(copy.folder().join("table.db"), flags).unwrap()
}

fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn number(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

const TOPICS: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, n INTEGER);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000)
    INSERT INTO t SELECT i, 'value ' || i, i * 7 FROM c;";

fn leaves_alone(database: &Database) {
    let before = database.files();
    let copy = database.copy("t");
    assert_eq!(copy.rows(), 1_000);
    let folder = copy.folder().to_owned();
    assert_eq!(
        folder.parent().unwrap(),
        fs::canonicalize(database.folder.path()).unwrap(),
        "the same disk"
    );
    drop(copy);
    assert!(!folder.exists());
    assert_eq!(database.files(), before);
    database.refusal("no_such_table", Writing::Upsert);
    drop(database.copy_of("t", Writing::Insert).unwrap());
    assert_eq!(database.files(), before);
}

#[test]
fn a_database_with_a_rollback_journal_and_its_folder_stay_as_they_are() {
    leaves_alone(&Database::with("DELETE", TOPICS));
    leaves_alone(&Database::with("PERSIST", TOPICS));
}

#[test]
fn a_database_in_wal_mode_that_nobody_has_open_and_its_folder_stay_as_they_are() {
    let database = Database::with("WAL", TOPICS);
    assert_eq!(database.files().len(), 1, "the log goes with the last connection");
    leaves_alone(&database);
}

#[test]
fn a_database_in_wal_mode_that_others_have_open_and_its_log_stay_as_they_are() {
    let database = Database::with("WAL", TOPICS);
    let other = database.connection();
    other.execute_batch("UPDATE t SET n = n + 1").unwrap();
    assert_eq!(database.files().len(), 3);
    leaves_alone(&database);
    // Also while a transaction is being written, of which nothing is copied.
    other.execute_batch("BEGIN IMMEDIATE; DELETE FROM t WHERE id > 10").unwrap();
    leaves_alone(&database);
    other.execute_batch("ROLLBACK").unwrap();
}

#[test]
fn a_log_that_a_killed_process_has_left_is_read_and_kept() {
    let database = Database::with("WAL", TOPICS);
    let other = database.connection();
    other.execute_batch("UPDATE t SET v = 'newest'").unwrap();
    let left = Database { folder: tempfile::tempdir().unwrap() };
    for ending in ["", "-wal", "-shm"] {
        let name = format!("app.db{ending}");
        fs::copy(database.folder.path().join(&name), left.folder.path().join(&name)).unwrap();
    }
    leaves_alone(&left);
    let copy = left.copy("t");
    assert_eq!(texts(&open(&copy), "SELECT DISTINCT v FROM t"), ["newest"]);
    drop(copy);
    fs::remove_file(left.folder.path().join("app.db-shm")).unwrap();
    let before = left.files();
    assert!(left.refusal("t", Writing::Upsert).contains("open it once with its application"));
    assert_eq!(left.files(), before);
}

#[test]
fn a_writer_at_work_meanwhile_is_not_disturbed() {
    let database = Database::with("WAL", TOPICS);
    let path = database.path();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let connection = Connection::open(path).unwrap();
        let mut written = 0;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            connection.execute("UPDATE t SET n = n + 1 WHERE id = 1", []).unwrap();
            written += 1;
        }
        written
    });
    for _ in 0..5 {
        let copy = database.copy("t");
        assert_eq!(texts(&open(&copy), "PRAGMA integrity_check"), ["ok"]);
        assert_eq!(copy.rows(), 1_000);
    }
    drop(stop);
    let written: i64 = writer.join().unwrap();
    assert_eq!(number(&database.connection(), "SELECT n FROM t WHERE id = 1"), 7 + written);
    assert_eq!(database.files().len(), 1);
}

#[test]
fn the_whole_schema_is_there_and_values_are_what_they_were() {
    let database = Database::with(
        "WAL",
        "PRAGMA page_size=8192; VACUUM;
         CREATE VIEW names AS SELECT name FROM t;
         CREATE TABLE t(a TEXT, b BLOB, name TEXT, twice INTEGER GENERATED ALWAYS AS (length(name) * 2) STORED,
             PRIMARY KEY(a, b)) WITHOUT ROWID;
         CREATE INDEX by_name ON t(name) WHERE name IS NOT NULL;
         CREATE TABLE audit(id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT);
         CREATE TRIGGER noted AFTER UPDATE ON t BEGIN INSERT INTO audit(what) VALUES (new.name); END;
         INSERT INTO t(a, b, name) VALUES ('x', x'00ff', 'one'), ('x', x'01', NULL), ('ä''\"', x'', 'three');",
    );
    let copy = database.copy("T");
    let copied = open(&copy);
    assert_eq!(copy.table(), "t");
    let names = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY name";
    assert_eq!(texts(&copied, names), texts(&database.connection(), names));
    // The writer's trial has moved names to their neighbours, so keys and generated columns are compared.
    let keys = "SELECT quote(a) || quote(b) FROM t ORDER BY 1";
    assert_eq!(texts(&copied, keys), texts(&database.connection(), keys));
    assert_eq!(number(&copied, "SELECT count(*) FROM t WHERE twice IS NOT length(name) * 2"), 0);
    assert_eq!(
        number(&copied, "PRAGMA page_size"),
        number(&database.connection(), "PRAGMA page_size")
    );
    assert!(number(&copied, "SELECT count(*) FROM audit") > 0, "triggers run");
    let sample = Connection::open(copy.folder().join("sample.db")).unwrap();
    assert_eq!(texts(&sample, "SELECT name FROM pragma_table_info('sample')"), ["a", "b", "name"]);
}

#[test]
fn the_second_half_of_the_sample_changes_every_row_but_its_keys() {
    let database = Database::with("WAL", &format!("{TOPICS} CREATE UNIQUE INDEX one_n ON t(n);"));
    let copy = database.copy("t");
    let sample = Connection::open(copy.folder().join("sample.db")).unwrap();
    assert_eq!(number(&sample, "SELECT count(*) FROM sample"), 800);
    assert_eq!(number(&sample, "SELECT count(DISTINCT id) FROM sample"), 400);
    assert_eq!(number(&sample, "SELECT count(DISTINCT n) FROM sample"), 400);
    assert_eq!(number(&sample, "SELECT count(*) FROM (SELECT DISTINCT id, v FROM sample)"), 800);
    assert!(number(&sample, "SELECT max(id) FROM sample") > 990, "from all over the table");
}

#[test]
fn the_largest_row_that_is_written_is_known() {
    let database = Database::with("WAL", TOPICS);
    assert!(database.copy("t").largest_row_bytes() < 100);
    let one = "UPDATE t SET v = printf('%.*c', 100000, 'x') WHERE id = 501";
    database.connection().execute_batch(one).unwrap();
    let bytes = database.copy("t").largest_row_bytes();
    assert!((100_000..100_100).contains(&bytes), "{bytes}");
}

#[test]
fn parents_of_foreign_keys_and_their_parents_are_copied() {
    let database = Database::with(
        "WAL",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, team INTEGER NOT NULL REFERENCES team, boss INTEGER REFERENCES t(id));
         CREATE TABLE team(id INTEGER PRIMARY KEY, firm TEXT REFERENCES firm(name) DEFERRABLE INITIALLY DEFERRED);
         CREATE TABLE firm(name TEXT PRIMARY KEY);
         CREATE TABLE other(id INTEGER);
         INSERT INTO firm VALUES ('f'); INSERT INTO team VALUES (5, 'f'), (6, 'f'); INSERT INTO other VALUES (1);
         INSERT INTO t VALUES (1, 5, NULL), (2, 6, 1), (3, 5, 2);",
    );
    let copy = database.copy("t");
    let copied = open(&copy);
    assert!(texts(&copied, "SELECT \"table\" FROM pragma_foreign_key_check").is_empty());
    assert_eq!(
        number(&copied, "SELECT (SELECT count(*) FROM team) * 10 + (SELECT count(*) FROM firm)"),
        21
    );
    assert_eq!(number(&copied, "SELECT count(*) FROM other"), 0, "nothing needs its rows");
}

#[test]
fn rows_that_triggers_look_for_are_copied_and_full_text_stays_sound() {
    let database = Database::with(
        "WAL",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT);
         CREATE TABLE allowed(body TEXT);
         CREATE VIRTUAL TABLE words USING fts5(body, content='t', content_rowid='id');
         CREATE TRIGGER checked BEFORE UPDATE ON t BEGIN
             SELECT RAISE(ABORT, 'not allowed') WHERE NOT EXISTS (SELECT 1 FROM allowed WHERE body = new.body); END;
         CREATE TRIGGER found AFTER UPDATE ON t BEGIN
             INSERT INTO words(words, rowid, body) VALUES ('delete', old.id, old.body);
             INSERT INTO words(rowid, body) VALUES (new.id, new.body); END;
         INSERT INTO t VALUES (1, 'red'), (2, 'green'), (3, 'blue'); INSERT INTO allowed SELECT body FROM t;
         INSERT INTO words(words) VALUES ('rebuild');",
    );
    let copy = database.copy("t");
    assert_eq!(copy.notes(), [""; 0]);
    let copied = Connection::open(copy.folder().join("table.db")).unwrap();
    copied.execute_batch("INSERT INTO words(words) VALUES ('integrity-check')").unwrap();
    assert_eq!(
        number(&copied, "SELECT count(*) FROM words WHERE words MATCH 'red OR green OR blue'"),
        3
    );
}

#[test]
fn what_cannot_be_made_here_is_left_out_and_named() {
    let database = Database::with(
        "WAL",
        &format!(
            "{TOPICS} PRAGMA writable_schema=ON;
             INSERT INTO sqlite_schema VALUES ('table', 'far', 'far', 0, 'CREATE VIRTUAL TABLE far USING elsewhere(x)');"
        ),
    );
    let copy = database.copy("t");
    assert_eq!(copy.notes(), ["the table far is left out: no such module: elsewhere"]);
    assert!(
        database
            .refusal("far", Writing::Insert)
            .starts_with("cannot copy far: no such module: elsewhere")
    );
}

#[test]
fn an_empty_table_gets_rows_made_up_that_fit_it() {
    let database = Database::with(
        "WAL",
        "CREATE TABLE p(id TEXT PRIMARY KEY); INSERT INTO p VALUES ('a'), ('b');
         CREATE TABLE t(id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p, at DATETIME CHECK(date(at) IS NOT NULL),
             n INT, r REAL CHECK(typeof(r) = 'real'), b BLOB, j JSON CHECK(json_valid(j)), ok BOOLEAN CHECK(ok IN (0, 1)));",
    );
    let copy = database.copy("t");
    assert_eq!(copy.rows(), 400);
    assert_eq!(copy.notes(), ["t is empty: 400 rows are made up from the types of its columns"]);
    let refused =
        Database::with("WAL", "CREATE TABLE t(id INTEGER PRIMARY KEY, n INT CHECK(n > 1000000))");
    let told = refused.refusal("t", Writing::Upsert);
    assert!(
        told.starts_with(
            "t is empty, and it refuses rows that are made up: CHECK constraint failed"
        ),
        "{told}"
    );
    assert_eq!(refused.files().len(), 1);
}

#[test]
fn a_key_is_a_primary_key_or_a_unique_index_that_all_rows_have() {
    let database = Database::with(
        "WAL",
        "CREATE TABLE t(a INTEGER, b TEXT, c TEXT);
         CREATE UNIQUE INDEX some ON t(a) WHERE a > 0; CREATE UNIQUE INDEX lower_c ON t(lower(c));
         CREATE UNIQUE INDEX holes ON t(b);
         INSERT INTO t VALUES (1, 'x', 'p'), (2, NULL, 'q');",
    );
    let told = database.refusal("t", Writing::Upsert);
    assert!(told.contains("no key that all rows have") && told.contains("--insert"), "{told}");
    database.connection().execute_batch("DELETE FROM t WHERE b IS NULL").unwrap();
    assert!(database.copy("t").description().contains("written back by b"));
    let told = database.refusal("t", Writing::Insert);
    assert!(told.contains("without --insert"), "{told}");
    let none = Database::with("DELETE", "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2)");
    assert!(none.refusal("t", Writing::Upsert).contains("no primary key and no unique index"));
}

#[test]
fn rows_are_inserted_without_the_key_that_sqlite_gives() {
    let database = Database::with("WAL", TOPICS);
    let copy = database.copy_of("t", Writing::Insert).unwrap();
    let sample = Connection::open(copy.folder().join("sample.db")).unwrap();
    assert_eq!(texts(&sample, "SELECT name FROM pragma_table_info('sample')"), ["v", "n"]);
    assert!(copy.rows() > 1_000, "rows were inserted to see that they can be");
}

#[test]
fn a_lock_is_waited_for_until_told_to_stop() {
    let database = Database::with("DELETE", TOPICS);
    let other = database.connection();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let before = database.files();
    let stop = Stop::default();
    stop.stop();
    let choice = TableChoice {
        database: database.path(),
        table: "t".to_owned(),
        writing: Writing::Upsert,
        keys: 1,
        folder: None,
    };
    let error = TableCopy::make(&choice, &stop).unwrap_err();
    assert_eq!(error.kind(), forebay_bench::ErrorKind::Stopped);
    let told = database.refusal("t", Writing::Upsert);
    assert!(told.contains("another process holds its lock") && told.contains("fuser"), "{told}");
    assert_eq!(database.files(), before);
}

#[test]
fn a_copy_goes_where_it_is_told_to() {
    let database = Database::with("WAL", TOPICS);
    let elsewhere = tempfile::tempdir().unwrap();
    let choice = |folder: &Path| TableChoice {
        database: database.path(),
        table: "t".to_owned(),
        writing: Writing::Upsert,
        keys: 10,
        folder: Some(folder.to_owned()),
    };
    let copy = TableCopy::make(&choice(elsewhere.path()), &Stop::default()).unwrap();
    assert_eq!(copy.folder().parent().unwrap(), elsewhere.path());
    let missing =
        TableCopy::make(&choice(Path::new("/no/such/folder")), &Stop::default()).unwrap_err();
    assert_eq!(missing.hint(), Some("name another one with --dir"));
}
