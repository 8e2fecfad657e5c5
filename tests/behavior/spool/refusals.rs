//! What a buffer says that cannot open its spool, and that it leaves everything as it is.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use forebay::{Config, ErrorKind, Retry, WriteBuffer};
use support::{Gate, Scratch};

use super::{Place, Row, all, contents, copy, names, rows_of};

#[test]
fn a_path_that_is_a_file_or_has_no_parent_is_named_with_what_to_do() {
    let place = Place::new();
    File::create(place.folder()).unwrap();
    let text = place.refusal(ErrorKind::Spool);
    let wanted = format!(
        "cannot keep a spool in {}: it is a file: name a folder for the setting `spool`",
        place.folder().display()
    );
    assert_eq!(text, wanted);
    fs::remove_file(place.folder()).unwrap();

    let parent = place.path().with_file_name("missing");
    let config = Config { spool: Some(parent.join("spool")), ..place.config() };
    let error = WriteBuffer::builder(place.path()).config(config).open().unwrap_err();
    let text = format!("{error:#}");
    assert_eq!(error.kind(), ErrorKind::Spool);
    assert!(text.contains(&format!("{} is no folder: make it one", parent.display())));
    assert!(!parent.exists(), "{text}");
}

#[test]
fn other_files_in_the_folder_are_left_alone() {
    let place = Place::new();
    fs::create_dir(place.folder()).unwrap();
    let others = ["notes.txt", "app.conf.new", "segment-list", "shapes.json", "segment-1.bak"];
    for name in others {
        fs::write(place.folder().join(name), name).unwrap();
    }
    fs::create_dir(place.folder().join("folder")).unwrap();
    place.leave(0..10);
    let buffer = place.open();
    buffer.flush().unwrap();
    buffer.close().unwrap();
    assert_eq!(place.ids(), all(0..10));
    for name in others {
        assert_eq!(fs::read_to_string(place.folder().join(name)).unwrap(), name);
    }
    assert!(place.folder().join("folder").is_dir());
}

#[test]
fn a_folder_is_made_for_its_owner_alone_and_so_are_its_files() {
    let place = Place::new();
    place.leave(0..10);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.folder()), 0o700);
    for name in names(&place.folder()) {
        assert_eq!(mode(place.folder().join(&name)), 0o600, "{name}");
    }
    place.drain();
}

#[test]
fn the_spool_of_another_database_is_refused_while_it_has_rows() {
    let place = Place::new();
    place.leave(0..10);
    let other = Scratch::new("CREATE TABLE t(id)");
    let before = contents(&place.folder());
    let open = || WriteBuffer::builder(other.path()).config(place.config()).open();
    let error = open().map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spool);
    let text = error.to_string();
    for said in [
        &*place.folder().to_string_lossy(),
        "holds rows 0 to 9 of another database",
        &*other.path().to_string_lossy(),
        "nothing was changed; open the database that it was used with, or another folder",
    ] {
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(contents(&place.folder()), before);
    place.drain();
    assert_eq!(place.ids(), all(0..10));
    // An empty one may change its database.
    let buffer = open().unwrap();
    rows_of(&buffer).write(&Row { id: 1 }).unwrap();
    buffer.close().unwrap();
    assert_eq!(other.column::<i64>("SELECT id FROM t"), [1]);
}

#[test]
fn a_database_that_was_restored_from_a_backup_is_not_gone_on_with() {
    let place = Place::new();
    let buffer = place.open();
    let rows = rows_of(&buffer);
    rows.write(&Row { id: 0 }).unwrap();
    let backup = place.path().with_file_name("backup.db");
    place.scratch.connection().execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    // Enough for the first segment to be gone.
    (1..10_000).for_each(|id| rows.push(&Row { id }).unwrap());
    place.left_by(&buffer, || rows.push(&Row { id: 10_000 }).unwrap());
    drop((buffer, rows));
    let newer = place.path().with_file_name("newer.db");
    fs::rename(place.path(), &newer).unwrap();
    for suffix in ["db-wal", "db-shm"] {
        let _ = fs::remove_file(place.path().with_extension(suffix));
    }
    fs::rename(&backup, place.path()).unwrap();
    let before = contents(&place.folder());
    let text = place.refusal(ErrorKind::Spool);
    for said in [
        "has an earlier state than the spool",
        "after a backup was restored",
        "rows 1 to ",
        "nothing was changed",
    ] {
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(contents(&place.folder()), before);
    fs::rename(&newer, place.path()).unwrap();
    for suffix in ["db-wal", "db-shm"] {
        let _ = fs::remove_file(place.path().with_extension(suffix));
    }
    place.drain();
    assert_eq!(place.ids(), all(0..=10_000));
}

#[test]
fn rows_for_a_restored_database_are_not_taken_for_those_that_the_newer_one_has() {
    let place = Place::new();
    let [backup, newer] = ["backup.db", "newer.db"].map(|name| place.path().with_file_name(name));
    let exchange = |away: &Path, back: &Path| {
        fs::rename(place.path(), away).unwrap();
        for suffix in ["db-wal", "db-shm"] {
            let _ = fs::remove_file(place.path().with_extension(suffix));
        }
        fs::rename(back, place.path()).unwrap();
    };
    let buffer = place.open();
    let rows = rows_of(&buffer);
    rows.write(&Row { id: 0 }).unwrap();
    place.scratch.connection().execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    (1..10).for_each(|id| rows.write(&Row { id }).unwrap());
    buffer.close().unwrap();
    place.is_empty();
    exchange(&newer, &backup);
    place.leave(100..104);
    // Of its ten rows these would be the second to the fifth.
    exchange(&backup, &newer);
    let refusal = place.refusal(ErrorKind::Spool);
    assert!(refusal.contains("of another database"), "{refusal}");
    exchange(&newer, &backup);
    place.drain();
    assert_eq!(place.ids(), [0, 100, 101, 102, 103]);
}

#[test]
fn an_older_copy_of_the_spool_is_not_gone_on_with() {
    let place = Place::new();
    place.leave(0..10);
    let kept = place.path().with_file_name("kept");
    copy(&place.folder(), &kept);
    place.leave(20..30);
    place.drain();
    let newest = place.path().with_file_name("newest");
    fs::rename(place.folder(), &newest).unwrap();
    copy(&kept, &place.folder());
    let before = contents(&place.folder());
    let text = place.refusal(ErrorKind::Spool);
    for said in [
        "is older than",
        "which has 20 of its rows",
        "ends before row 10",
        "nothing was changed; bring back the newer spool, or open another folder",
    ] {
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(contents(&place.folder()), before);
    fs::remove_dir_all(place.folder()).unwrap();
    fs::rename(&newest, place.folder()).unwrap();
    place.leave(30..40);
    place.drain();
    assert_eq!(place.ids(), all((0..10).chain(20..40)));
}

#[test]
fn a_newer_format_is_refused_with_both_numbers() {
    let place = Place::new();
    place.leave(0..10);
    let path = place.folder().join("spool.json");
    let ours = fs::read(&path).unwrap();
    fs::write(&path, r#"{"format":2,"of":"a later version"}"#).unwrap();
    let before = contents(&place.folder());
    let text = place.refusal(ErrorKind::Spool);
    assert!(text.contains("was written by a newer forebay"), "{text}");
    assert!(text.contains("has format 2, this version reads format 1; nothing was changed; open it with that version"), "{text}");
    assert_eq!(contents(&place.folder()), before);
    fs::write(&path, ours).unwrap();
    place.drain();
    assert_eq!(place.ids(), all(0..10));
}

#[test]
fn a_sink_without_books_and_a_limit_to_retrying_are_wrong_settings() {
    let place = Place::new();
    let error = WriteBuffer::with_sink(Gate::open().sink(), place.config()).map(drop).unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some("spool")));
    assert!(error.to_string().contains("gate keeps no books"), "{error}");
    assert!(error.to_string().contains("leave the setting `spool` out"), "{error}");

    let limit = Some(std::time::Duration::from_secs(1));
    let retry = Retry { give_up: limit, ..Retry::default() };
    let config = Config { retry, ..place.config() };
    let error = WriteBuffer::builder(place.path()).config(config).open().map(drop).unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some("retry.give_up")));
    assert!(error.to_string().contains("left out where there is a spool"), "{error}");

    let config = Config { max_spool_bytes: 1_000, ..place.config() };
    let error = WriteBuffer::builder(place.path()).config(config).open().map(drop).unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::Config, Some("max_spool_bytes")));
}

#[test]
fn a_folder_that_a_wrong_setting_names_is_not_touched() {
    let place = Place::new();
    let _ = WriteBuffer::with_sink(Gate::open().sink(), place.config()).map(drop).unwrap_err();
    let left = fs::read_dir(place.folder()).map(Iterator::count);
    // The lock's file is no spool: the folder can still become one.
    assert!(left.unwrap_or_default() <= 1);
    place.leave(0..10);
    place.drain();
}

#[test]
fn the_books_are_the_buffers_own() {
    let place = Place::new();
    let buffer = place.open();
    let error = buffer.table("_forebay").insert().producer().map(drop).unwrap_err();
    assert!(error.to_string().contains("the buffer's own"), "{error}");
    buffer.close().unwrap();
}
