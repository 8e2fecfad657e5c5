//! `inspect`: what it tells, and that it changes nothing.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::sample::{self, ID};
use crate::support::Folder;
use crate::{files, said};

fn json(folder: &Folder, arguments: &str, code: i32) -> Value {
    let line = format!("forebay spool inspect app.spool --json {arguments}");
    let ran = folder.run(&line).exits(code);
    assert!(!ran.out.contains(sample::SECRET), "{ran:?}");
    ran.summary()
}

#[test]
fn what_a_killed_process_has_left_is_told_with_what_the_database_has() {
    let folder = sample::folder(40, &[9, 5, 0], 43);
    sample::age(&folder);
    assert_snapshot!(said(&folder, "forebay spool inspect app.spool"));
}

#[test]
fn json_has_the_same_with_numbers_that_programs_can_read() {
    let folder = sample::folder(40, &[9, 5], 43);
    sample::age(&folder);
    let seen = json(&folder, "--database app.db", 0);
    let fields: Vec<_> = seen.as_object().unwrap().keys().map(String::as_str).collect();
    let all = [
        "books",
        "bytes",
        "database",
        "epoch",
        "folder",
        "has_torn_tail",
        "id",
        "in_use",
        "is_closed",
        "refusal",
        "rows",
        "segments",
        "tables",
    ];
    assert_eq!(fields, all);
    let books =
        json!({"database": "app.db", "applied": 43, "decided": 3, "left": 11, "problem": null});
    assert_eq!((&seen["books"], &seen["id"]), (&books, &json!(ID)));
    assert_eq!((&seen["rows"], &seen["refusal"]), (&json!(14), &Value::Null));
    let first = &seen["segments"][0];
    assert_eq!((&first["state"], &first["first_row"]), (&json!("sealed"), &json!(40)));
    assert!(first["age_seconds"].as_u64().unwrap() >= 190, "{first}");
    let tables: Vec<_> =
        seen["tables"].as_array().unwrap().iter().map(|one| &one["rows"]).collect();
    assert_eq!(tables, [&json!(4), &json!(10)]);
}

#[test]
fn nothing_changes_whatever_state_the_database_is_in() {
    let folder = sample::folder(0, &[4, 2], 3);
    let before = files(&folder);
    folder.run("forebay spool inspect app.spool --database app.db").exits(0);
    assert_eq!(files(&folder), before);
    folder.connection().pragma_update(None, "journal_mode", "DELETE").unwrap();
    let before = files(&folder);
    folder.run("forebay spool inspect app.spool --database app.db").exits(0);
    assert_eq!(files(&folder), before);
}

#[test]
fn rows_that_are_left_are_counted_also_where_the_database_cannot_be_asked() {
    let folder = sample::folder(0, &[4], 4);
    assert_eq!(json(&folder, "", 0)["books"]["left"], 0);
    sample::identity(&folder.path("app.spool"), "elsewhere/app.db", true);
    let seen = json(&folder, "", 0);
    assert_eq!((&seen["books"], &seen["rows"]), (&Value::Null, &json!(4)));
    let text = folder.run("forebay spool inspect app.spool").exits(0).out;
    assert!(text.contains("elsewhere/app.db is not there, as seen from here"), "{text}");
    let found = json(&folder, "--database app.db", 0);
    assert_eq!(found["books"]["decided"], 4);
}

#[test]
fn a_spool_that_was_closed_has_nothing_left() {
    let folder = sample::folder(0, &[4], 4);
    let spool = folder.path("app.spool");
    sample::identity(&spool, "app.db", false);
    fs::remove_file(sample::segment(&spool, 1)).unwrap();
    let text = folder.run("forebay spool inspect app.spool").exits(0).out;
    assert!(text.contains("closed with all its rows written"), "{text}");
    assert!(text.ends_with("\nall is well; nothing is left to write\n"), "{text}");
}

#[test]
fn a_torn_tail_is_told_and_does_no_harm() {
    let folder = sample::folder(0, &[4], 0);
    let path = sample::segment(&folder.path("app.spool"), 1);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap().next_multiple_of(8);
    bytes[end + 4..end + 8].copy_from_slice(&3_u32.to_le_bytes());
    bytes[end + 8..end + 16].copy_from_slice(&4_u64.to_le_bytes());
    fs::write(path, bytes).unwrap();
    assert_eq!(json(&folder, "", 0)["has_torn_tail"], true);
    let text = folder.run("forebay spool inspect app.spool").exits(0).out;
    assert!(text.contains("the beginning of a row that was never accepted"), "{text}");
}

#[test]
fn a_spool_in_use_is_told_with_who_has_it() {
    let folder = sample::folder(0, &[4], 0);
    let lock = fs::File::create(folder.path("app.spool/lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(json(&folder, "", 0)["in_use"], true);
    let text = folder.run("forebay spool inspect app.spool").exits(0).out;
    let own = format!("(pid {})", std::process::id());
    assert!(text.contains("in use by ") && text.contains(&own), "{text}");
    assert!(text.ends_with("\nall is well\n"), "{text}");
}

#[test]
fn a_damaged_spool_is_told_with_where_and_why() {
    let folder = sample::folder(40, &[9, 5], 43);
    sample::damage(&folder.path("app.spool"), 2);
    sample::age(&folder);
    assert_snapshot!(said(&folder, "forebay spool inspect app.spool"));
    let seen = json(&folder, "", 3);
    assert!(seen["refusal"].as_str().unwrap().contains("segment-00000002"), "{seen}");
    assert_eq!(seen["segments"][1]["state"], "damaged");
}

#[test]
fn a_database_that_does_not_go_with_it_is_told() {
    let folder = sample::folder(40, &[9, 5], 30);
    let problem = |folder: &Folder, arguments: &str| {
        let seen = json(folder, arguments, 3);
        seen["books"]["problem"].as_str().unwrap().to_owned()
    };
    let mut told = problem(&folder, "") + "\n";
    sample::enter(&folder, 60);
    told += &(problem(&folder, "") + "\n");
    folder.connection().execute_batch("DELETE FROM _forebay").unwrap();
    told += &(problem(&folder, "--database app.db") + "\n");
    folder.connection().execute_batch("DROP TABLE _forebay").unwrap();
    told += &(problem(&folder, "--database app.db") + "\n");
    assert_snapshot!(told);
}

#[test]
fn a_spool_whose_identity_is_lost_is_looked_up_by_its_segments() {
    let folder = sample::folder(0, &[4], 3);
    fs::write(folder.path("app.spool/spool.json"), "{}").unwrap();
    let seen = json(&folder, "--database app.db", 3);
    assert_eq!((&seen["id"], &seen["books"]["applied"]), (&json!(ID), &json!(3)));
    assert!(Path::new(seen["segments"][0]["file"].as_str().unwrap()).ends_with("segment-00000001"));
}
