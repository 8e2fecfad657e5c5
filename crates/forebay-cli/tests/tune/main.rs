//! What a user of `forebay tune` can rely on, tested by running the command.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

#[path = "../load/support.rs"]
#[expect(dead_code, reason = "a load is also fed, and run by scripts")]
mod support;

mod figures;
mod refusals;
mod signals;

use std::collections::BTreeMap;
use std::fs;

use support::Folder;

/// A table with a key, 300 rows, an index and a trigger; one without a key; a view.
const SCHEMA: &str = "CREATE TABLE topics(id INTEGER PRIMARY KEY, title TEXT NOT NULL, size REAL);
    CREATE INDEX by_title ON topics(title);
    CREATE TABLE log(at TEXT, what TEXT);
    CREATE TRIGGER noted AFTER UPDATE ON topics WHEN new.id = 1 BEGIN
        INSERT INTO log VALUES ('now', new.title); END;
    CREATE VIEW titles AS SELECT title FROM topics;
    CREATE TABLE strict_one(id INTEGER PRIMARY KEY, n INTEGER CHECK(n > 1000000));
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 300)
    INSERT INTO topics SELECT i, 'topic ' || i, i / 2.0 FROM c;
    INSERT INTO log VALUES ('then', 'that');";

/// Trials that are as short as can be.
const SHORT: &str = "--rounds 1 --seconds 0.01 --workers 4 --keys 40";

/// The files of the folder, with what is in them.
fn files(folder: &Folder) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder.path("")).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.path().is_file());
    files
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect()
}

/// Folders in the folder.
fn folders(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(folder.path("")).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().into_string().unwrap()).collect()
}
