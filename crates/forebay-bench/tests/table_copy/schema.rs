//! What the copy is made of: the schema, and the rows that a write needs.

use std::path::Path;

use forebay::rusqlite::Connection;
use forebay_bench::Stop;
use forebay_bench::tune::{TableChoice, TableCopy, Writing};

use crate::{Database, TOPICS, number, open, texts};

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
fn rows_behind_a_view_that_a_trigger_looks_into_are_copied() {
    let database = Database::with(
        "WAL",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT);
         CREATE TABLE \"all words\"(body TEXT);
         CREATE VIEW known AS SELECT * FROM \"all words\";
         CREATE VIEW allowed AS SELECT * FROM known;
         CREATE TRIGGER checked BEFORE UPDATE ON t BEGIN
             SELECT RAISE(ABORT, 'not allowed') WHERE NOT EXISTS (SELECT 1 FROM allowed WHERE body = new.body); END;
         INSERT INTO t VALUES (1, 'red'), (2, 'green'), (3, 'blue');
         INSERT INTO \"all words\" SELECT body FROM t;",
    );
    let copy = database.copy("t");
    assert_eq!(copy.notes(), [""; 0]);
    assert_eq!(number(&open(&copy), "SELECT count(*) FROM allowed"), 3);
}

#[test]
fn a_schema_cannot_reach_other_files() {
    let elsewhere = tempfile::tempdir().unwrap();
    let reached = elsewhere.path().join("reached.db");
    let sql = format!(
        "{TOPICS} CREATE TABLE crafted(a); PRAGMA writable_schema=ON;
         UPDATE sqlite_schema SET sql = sql || '; COMMIT; ATTACH ''{}'' AS other; CREATE TABLE other.t(a)'
         WHERE name = 'crafted'",
        reached.display()
    );
    // Whether it is copied without that table, or refused by SQLite.
    let _ = Database::with("WAL", &sql).copy_of("t", Writing::Upsert);
    assert!(!reached.exists());
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
    assert_eq!(copy.notes(), ["the table `far` is left out: no such module: elsewhere"]);
    assert!(
        database
            .refusal("far", Writing::Insert)
            .starts_with("cannot copy `far`: no such module: elsewhere")
    );
}

#[test]
fn a_copy_goes_where_it_is_told_to() {
    let database = Database::with("WAL", TOPICS);
    let elsewhere = tempfile::tempdir().unwrap();
    let choice = |folder: &Path| TableChoice {
        folder: Some(folder.to_owned()),
        ..database.choice("t", Writing::Upsert)
    };
    let copy = TableCopy::make(&choice(elsewhere.path()), &Stop::default()).unwrap();
    assert_eq!(copy.folder().parent().unwrap(), elsewhere.path());
    let missing =
        TableCopy::make(&choice(Path::new("/no/such/folder")), &Stop::default()).unwrap_err();
    assert_eq!(missing.hint(), Some("name another one with --dir"));
}
