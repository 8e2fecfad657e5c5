//! Folders that are no spool, or that must not be touched: each is told with what to do, and left as it is.

use std::fs;

use insta::assert_snapshot;

use crate::sample;
use crate::support::Folder;
use crate::{files, said};

const TASKS: [&str; 3] = ["inspect", "replay", "salvage"];

#[test]
fn what_is_no_spool_is_told_and_left_as_it_is() {
    let folder = Folder::with(sample::TABLES);
    fs::create_dir(folder.path("empty")).unwrap();
    fs::create_dir(folder.path("other")).unwrap();
    folder.write("other/notes.txt", "of something else");
    folder.write("file", "");
    let newer = sample::folder(0, &[1], 0);
    newer.write("app.spool/spool.json", r#"{"format":2,"what":"nobody knows"}"#);
    let before = (files(&folder), files(&newer));
    let mut told = String::new();
    for task in TASKS {
        for name in ["missing", "file", "empty", "other"] {
            told += &said(&folder, &format!("forebay spool {task} {name} --database app.db"));
        }
        told += &said(&newer, &format!("forebay spool {task} app.spool --database app.db"));
    }
    assert_eq!((files(&folder), files(&newer)), before);
    assert!(!folder.path("missing").exists());
    assert_snapshot!(told);
}

#[test]
fn a_spool_in_use_is_neither_replayed_nor_salvaged() {
    let folder = sample::folder(0, &[3], 0);
    let lock = fs::File::create(folder.path("app.spool/lock")).unwrap();
    lock.lock().unwrap();
    let before = files(&folder);
    for task in ["replay", "salvage"] {
        let ran = folder.run(&format!("forebay spool {task} app.spool --database app.db")).exits(3);
        assert!(ran.errors.starts_with("error: the spool app.spool is in use by "), "{ran:?}");
        assert!(ran.errors.contains(&format!("(pid {})", std::process::id())), "{ran:?}");
    }
    assert_eq!(files(&folder), before);
}

#[test]
fn databases_that_a_replay_must_not_touch_are_told() {
    let folder = sample::folder(40, &[3], 40);
    let spool = folder.path("app.spool");
    folder.write("empty.db", "");
    rusqlite::Connection::open(folder.path("other.db"))
        .unwrap()
        .execute_batch("CREATE TABLE states(id INTEGER PRIMARY KEY, state TEXT)")
        .unwrap();
    let before = files(&folder);
    let mut told = String::new();
    for name in ["none.db", "empty.db", "other.db", "app.spool", "file:app.db", "https://app.db"] {
        told += &said(&folder, &format!("forebay spool replay app.spool --database {name}"));
    }
    assert_eq!(files(&folder), before, "none was made, nor put into WAL mode");
    sample::identity(&spool, "elsewhere/app.db", true);
    told += &said(&folder, "forebay spool replay app.spool");
    sample::identity(&spool, "app.db", true);
    sample::enter(&folder, 30);
    told += &said(&folder, "forebay spool replay app.spool");
    sample::damage(&spool, 1);
    told += &said(&folder, "forebay spool replay app.spool");
    assert_snapshot!(told);
}

#[test]
fn a_spool_that_was_closed_needs_no_replay() {
    let folder = sample::folder(0, &[4], 4);
    let spool = folder.path("app.spool");
    sample::identity(&spool, "app.db", false);
    fs::remove_file(sample::segment(&spool, 1)).unwrap();
    let ran = folder.run("forebay spool replay app.spool").exits(0);
    assert_eq!(ran.out, "the spool app.spool is empty: nothing is left to write\n");
}
