//! What cannot be tuned: the message, what to do, and nothing left behind.

use std::fmt::Write as _;

use insta::assert_snapshot;

use crate::support::Folder;
use crate::{SCHEMA, files, folders};

/// Runs command lines, none of which may leave anything behind, and gives what they said.
fn said(folder: &Folder, lines: &[&str]) -> String {
    let before = files(folder);
    let folders_before = folders(folder);
    let mut said = String::new();
    for line in lines {
        let ran = folder.run(line);
        assert_eq!((ran.out.as_str(), ran.code == Some(0)), ("", false), "{line}: {ran:?}");
        assert_eq!(
            (files(folder), folders(folder)),
            (before.clone(), folders_before.clone()),
            "{line}"
        );
        let _ = writeln!(said, "$ {line}\nexit {}\n{}", ran.code.unwrap(), ran.errors);
    }
    said
}

#[test]
fn databases_and_tables_that_cannot_be_tuned() {
    let folder = Folder::with(SCHEMA);
    folder.write("text.db", "this is no database, and long enough to be told from one".repeat(20));
    folder.write("empty.db", "");
    std::fs::create_dir(folder.path("folder")).unwrap();
    let said = said(
        &folder,
        &[
            "forebay tune --db missing.db --table topics",
            "forebay tune --db folder --table topics",
            "forebay tune --db text.db --table topics",
            "forebay tune --db empty.db --table topics",
            "forebay tune --db app.db --table topic",
            "forebay tune --db app.db --table titles",
            "forebay tune --db app.db --table log",
            "forebay tune --db app.db --table strict_one",
            "forebay tune --db app.db --table topics --dir missing",
            "forebay tune --db app.db --table topics --dir text.db",
        ],
    );
    assert_snapshot!(said);
}

#[test]
fn arguments_that_cannot_be() {
    let folder = Folder::with(SCHEMA);
    let said = said(
        &folder,
        &[
            "forebay tune --db app.db",
            "forebay tune --db app.db --table topics --workers 0",
            "forebay tune --db app.db --table topics --rounds 0",
            "forebay tune --db app.db --table topics --seconds 0",
            "forebay tune --db app.db --table topics --push --await",
            "forebay tune --db app.db --table topics --p99 0s",
            "forebay tune --db app.db --table topics --p99 20",
            "forebay tune --db missing.db --table topics --seconds 1e9",
            "forebay tune --db missing.db --table topics --seconds 1e-12",
            "forebay bench --table topics",
            "forebay bench --db app.db --table topics --workload hot",
        ],
    );
    assert_snapshot!(said);
}

#[test]
fn what_is_wrong_is_told_before_a_table_is_copied() {
    let folder = Folder::with(SCHEMA);
    folder.write("file", "kept");
    folder.write("full.toml", "batch_size = 10\ndurability = \"full\"\n");
    folder.write("patient.toml", "busy_timeout = \"1m\"\n");
    folder.write("wrong.toml", "batch_size = 0\n");
    let said = said(
        &folder,
        &[
            "forebay tune --db missing.db --table topics -o a/b",
            "forebay tune --db app.db --table topics -o file",
            "forebay bench --db missing.db --table topics --contender dircet",
            "forebay bench --db missing.db --table topics --config none.toml",
            "forebay bench --db missing.db --table topics --config wrong.toml",
            "forebay bench --db missing.db --table topics --config full.toml",
            "forebay bench --db missing.db --table topics --config patient.toml",
            "forebay bench --db missing.db --table topics --fail-below forebay=fast",
            "forebay bench --db missing.db --table topics -o file",
            "forebay bench --db missing.db --table topics --durability full --config full.toml -o a",
        ],
    );
    assert_snapshot!(said);
}

#[test]
fn a_locked_database_is_waited_for_and_told_of() {
    let folder =
        Folder::with("PRAGMA journal_mode=DELETE; CREATE TABLE t(id INTEGER PRIMARY KEY);");
    let other = folder.connection();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    // Nothing here opens the file meanwhile: to close it again would end the lock.
    let ran = folder.run("forebay tune --db app.db --table t").exits(3);
    assert_snapshot!(ran.errors);
    assert_eq!(folders(&folder), [""; 0]);
}

mod needs_root {

    use crate::support::{Folder, Mount};
    use crate::{SCHEMA, SHORT};

    /// A folder with a database in a folder of its own, `disk`.
    fn on_disk(schema: &str, arguments: &[&str]) -> (Folder, Mount) {
        let folder = Folder::with("");
        let at = folder.path("disk");
        std::fs::create_dir(&at).unwrap();
        let mount = Mount::at(at.clone(), arguments);
        let connection = rusqlite::Connection::open(at.join("app.db")).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute_batch(schema).unwrap();
        connection.close().unwrap();
        (folder, mount)
    }

    fn names(mount: &Mount) -> Vec<String> {
        let entries = std::fs::read_dir(&mount.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_database_in_a_read_only_folder_is_copied_elsewhere() {
        let (folder, mount) = on_disk(SCHEMA, &["-t", "tmpfs", "forebay"]);
        mount.mount(&["-o", "remount,ro"]);
        let line = format!("forebay tune --db disk/app.db --table topics --p99 1h {SHORT}");
        let refused = folder.run(&line).exits(3);
        assert_eq!(
            refused.errors,
            "error: cannot make a folder for the databases in the folder of disk/app.db: it is read-only\n\n\
             hint: name another one with --dir\n"
        );
        let ran = folder.run(&format!("{line} --dir .")).exits(0);
        assert!(ran.errors.contains("the copy is on another filesystem"), "{}", ran.errors);
        assert_eq!(names(&mount), ["app.db"]);
    }

    #[test]
    fn a_full_disk_is_told_of_before_anything_is_copied() {
        let (folder, mount) = on_disk(SCHEMA, &["-t", "tmpfs", "-o", "size=8M", "forebay"]);
        let ran = folder.run("forebay tune --db disk/app.db --table topics").exits(3);
        assert!(
            ran.errors
                .starts_with("error: there is no space: the folder of disk/app.db has 7 MiB left"),
            "{}",
            ran.errors
        );
        assert!(
            ran.errors.contains("hint: name a folder on another disk with --dir"),
            "{}",
            ran.errors
        );
        assert_eq!(names(&mount), ["app.db"]);
    }
}
