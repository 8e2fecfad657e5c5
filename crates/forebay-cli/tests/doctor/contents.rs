//! What is in the database: damage, page size, free pages, foreign keys, tables without a key, triggers.

use std::fs;

use crate::support::Folder;
use crate::{ROWS, doctor, without_wal};

#[test]
fn a_database_in_which_all_is_well() {
    let folder = Folder::with(ROWS);
    crate::make_private(&folder.path("app.db"));
    let found = doctor(&folder, "--full app.db");
    assert_eq!(found.of("integrity"), "ok: integrity_check found nothing wrong");
    assert_eq!(found.of("tables"), "ok: 1 table, and every one has a key");
    assert_eq!(found.of("foreign_keys"), "ok: there are none");
    assert!(found.of("page_size").starts_with("ok: 4096 bytes"), "{found:#?}");
    assert_eq!(found.of("busy_timeout").split(':').next(), Some("note"));
    assert_eq!(found.text("worst"), "note");
}

#[test]
fn a_damaged_database_is_an_error_and_how_to_save_it_is_told() {
    let folder = without_wal(&format!("{ROWS} CREATE INDEX by_v ON t(v);"));
    let mut bytes = fs::read(folder.path("app.db")).unwrap();
    let page = bytes.len() - 4_096;
    bytes[page..].fill(0xFF);
    folder.write("app.db", bytes);
    let found = doctor(&folder, "app.db");
    assert!(found.of("integrity").starts_with("error: damaged, quick_check says: "), "{found:#?}");
    assert!(found.fix("integrity").contains("`sqlite3 app.db .recover"), "{found:#?}");
    // Half a file.
    let bytes = fs::read(folder.path("app.db")).unwrap();
    folder.write("app.db", &bytes[..4_096 + 100]);
    let found = doctor(&folder, "app.db");
    assert_eq!(found.of("contents"), "error: SQLite finds it damaged");
}

#[test]
fn rows_without_an_entry_in_an_index_are_found_by_a_full_check_alone() {
    let folder = without_wal(&format!("{ROWS} CREATE INDEX by_v ON t(v);"));
    folder
        .connection()
        .execute_batch(
            "PRAGMA writable_schema=ON;
             UPDATE sqlite_schema SET sql = 'CREATE INDEX by_v ON t(id, v)' WHERE name = 'by_v';",
        )
        .unwrap();
    assert_eq!(doctor(&folder, "app.db").of("integrity").split(':').next(), Some("ok"));
    let found = doctor(&folder, "app.db --full");
    assert!(found.of("integrity").contains("integrity_check says: "), "{found:#?}");
}

#[test]
fn small_pages_are_told_with_how_to_make_them_larger() {
    let folder = without_wal("");
    fs::remove_file(folder.path("app.db")).unwrap();
    folder.connection().execute_batch(&format!("PRAGMA page_size=1024; {ROWS}")).unwrap();
    let found = doctor(&folder, "app.db");
    assert!(found.of("page_size").starts_with("note: 1024 bytes"), "{found:#?}");
    assert!(found.fix("page_size").contains("PRAGMA page_size=4096; VACUUM"), "{found:#?}");
}

#[test]
fn free_pages_are_told_with_how_to_be_rid_of_them() {
    for (mode, command) in [("NONE", "VACUUM"), ("INCREMENTAL", "PRAGMA incremental_vacuum")] {
        let folder = without_wal("");
        fs::remove_file(folder.path("app.db")).unwrap();
        let sql = format!(
            "PRAGMA auto_vacuum={mode}; {ROWS} CREATE TABLE b(b); INSERT INTO b VALUES(zeroblob(2000000)); DROP TABLE b;"
        );
        folder.connection().execute_batch(&sql).unwrap();
        let found = doctor(&folder, "app.db");
        let free = found.of("free_pages");
        let mode = mode.to_lowercase();
        assert!(
            free.starts_with("note: ") && free.ends_with(&format!("auto_vacuum is {mode}")),
            "{free}"
        );
        assert!(found.fix("free_pages").contains(command), "{found:#?}");
    }
}

#[test]
fn rows_that_point_to_nothing_are_told_by_table() {
    let folder = Folder::with(
        "PRAGMA foreign_keys=OFF; CREATE TABLE parent(id INTEGER PRIMARY KEY);
         CREATE TABLE child(id INTEGER PRIMARY KEY, parent REFERENCES parent);
         INSERT INTO child VALUES (1, 7), (2, 8)",
    );
    let found = doctor(&folder, "app.db");
    assert!(found.of("foreign_keys").starts_with("warning: "), "{found:#?}");
    assert!(found.of("foreign_keys").contains("in child (2)"), "{found:#?}");
    folder.connection().execute_batch("INSERT INTO parent VALUES (7), (8)").unwrap();
    assert!(doctor(&folder, "app.db").of("foreign_keys").starts_with("ok: 1, and every row"));
    folder
        .connection()
        .execute_batch("CREATE TABLE lost(a INTEGER PRIMARY KEY, b REFERENCES child(parent))")
        .unwrap();
    let found = doctor(&folder, "app.db");
    assert!(found.of("foreign_keys").starts_with("error: one cannot be enforced: "), "{found:#?}");
}

#[test]
fn tables_without_a_key_are_named() {
    let folder = Folder::with(
        "CREATE TABLE plain(a, b); CREATE TABLE partly(a); CREATE UNIQUE INDEX some ON partly(a) WHERE a > 0;
         CREATE TABLE keyed(a PRIMARY KEY) WITHOUT ROWID; CREATE TABLE made_unique(a UNIQUE);
         CREATE TABLE \"odd \"\" `name\x1b[2J\"(a); CREATE VIEW seen AS SELECT 1; CREATE VIRTUAL TABLE words USING fts5(a);",
    );
    let found = doctor(&folder, "app.db");
    let tables = found.of("tables");
    assert!(tables.ends_with(": odd \" `name\x1b[2J, partly, plain"), "{tables}");
    let text = folder.run("forebay doctor app.db").out;
    assert!(text.contains("odd \" `name\\u{1b}[2J, partly, plain"), "{text}");
}

#[test]
fn triggers_are_told_where_there_are_some() {
    assert_eq!(doctor(&Folder::with(ROWS), "app.db").all("triggers"), [""; 0]);
    let folder = Folder::with(&format!(
        "{ROWS} CREATE TRIGGER noted AFTER UPDATE ON t BEGIN SELECT 1; END;"
    ));
    let found = doctor(&folder, "app.db");
    assert!(found.of("triggers").starts_with("note: on t: "), "{found:#?}");
}

#[test]
fn the_version_that_wrote_the_database_is_read_off_its_header() {
    let folder = Folder::with(ROWS);
    let version = |number: i32| {
        let mut bytes = fs::read(folder.path("app.db")).unwrap();
        bytes[96..100].copy_from_slice(&number.to_be_bytes());
        folder.write("app.db", bytes);
        let found = doctor(&folder, "app.db");
        (
            found.0["sqlite_version"].clone(),
            found.of("sqlite").split(':').next().unwrap().to_owned(),
        )
    };
    assert_eq!(version(3_040_001), ("3.40.1".into(), "warning".to_owned()));
    assert_eq!(version(3_050_007), ("3.50.7".into(), "ok".to_owned()));
    assert_eq!(version(3_051_003), ("3.51.3".into(), "ok".to_owned()));
    assert_eq!(version(0), (serde_json::Value::Null, "note".to_owned()));
}

#[test]
fn a_check_that_takes_long_is_broken_off_and_told() {
    let folder = Folder::with(
        "PRAGMA ignore_check_constraints=ON;
         CREATE TABLE slow(id INTEGER PRIMARY KEY CHECK(length(hex(zeroblob(1000000 + id))) > 0));
         WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100000)
         INSERT INTO slow SELECT i FROM c;",
    );
    let found = doctor(&folder, "app.db");
    assert_eq!(
        found.of("integrity"),
        "note: not looked at to the end, which would take longer than 2 s"
    );
    assert_eq!(found.fix("integrity"), "`forebay doctor --full app.db`");
    assert_eq!(found.of("tables"), "ok: 1 table, and every one has a key");
}
