//! What is no database, or a part of one: each is told with what to do.

use std::fmt::Write as _;
use std::fs;

use insta::assert_snapshot;

use crate::support::Folder;
use crate::{ROWS, doctor, half_written, killed, without_wal};

#[test]
fn what_is_no_database_is_told_with_what_it_is() {
    let folder = without_wal(ROWS);
    folder.write("empty.db", "");
    folder.write("text.db", "id,title\n1,first\n");
    folder.write("dump.sql", "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n");
    folder.write("app.db.gz", b"\x1F\x8B\x08\0 and more");
    folder.write("random.db", b"\xA7\x01\xFF".repeat(1_000));
    folder.write("short.db", "SQLite format 3");
    folder.write("stray", b"\xD9\xD5\x05\xF9\x20\xA1\x63\xD7".repeat(100));
    folder.write("lone.db-wal", b"\x37\x7F\x06\x83".repeat(100));
    folder.write("app.db-wal", "");
    fs::create_dir(folder.path("folder")).unwrap();
    let names = [
        "missing.db",
        "missing/app.db",
        "app.db/x",
        "folder",
        "empty.db",
        "text.db",
        "dump.sql",
        "app.db.gz",
        "random.db",
        "short.db",
        "stray",
        "lone.db-wal",
        "app.db-wal",
        "/dev/null",
    ];
    let mut said = String::new();
    for name in names {
        let ran = folder.run(&format!("forebay doctor {name}"));
        assert_eq!(ran.errors, "");
        let _ = writeln!(said, "$ forebay doctor {name}\nexit {}\n{}", ran.code.unwrap(), ran.out);
    }
    assert_snapshot!(said);
}

#[test]
fn a_pipe_is_not_waited_for() {
    let folder = without_wal("");
    let made = std::process::Command::new("mkfifo").arg(folder.path("pipe")).status().unwrap();
    assert!(made.success());
    assert_eq!(doctor(&folder, "pipe").of("file"), "error: it is no file");
}

#[test]
fn a_link_is_followed_to_where_the_files_beside_the_database_are() {
    let folder = without_wal(ROWS);
    let other = folder.connection();
    half_written(&other);
    let left = killed(&folder);
    fs::create_dir(left.path("links")).unwrap();
    std::os::unix::fs::symlink(left.path("app.db"), left.path("links/app.db")).unwrap();
    let found = doctor(&left, "links/app.db");
    assert!(found.of("file").contains("; the path is a link to /"), "{found:#?}");
    assert!(found.of("journal").starts_with("warning: "), "{found:#?}");
}

/// Whatever a file is called, it is found, nothing of its name reaches the terminal as a command, and the fix can be
/// pasted.
#[test]
fn a_name_may_hold_anything() {
    for name in [
        "with space.db",
        "it's \"quoted\".db",
        "a\nb\u{1b}[31m.db",
        "?mode=memory&#%41.db",
        "$(id)`id`.db",
        "-rf.db",
    ] {
        let folder = without_wal("CREATE TABLE t(id INTEGER PRIMARY KEY)");
        fs::rename(folder.path("app.db"), folder.path(name)).unwrap();
        folder.write("name", format!("./{name}"));
        let look = folder.run_script("forebay doctor \"$(cat name)\" || test $? = 1");
        assert_eq!((look.code, look.errors.as_str()), (Some(0), ""), "{look:?}");
        assert!(!look.out.contains('\u{1b}'), "{look:?}");
        let fix = look
            .out
            .lines()
            .find_map(|line| line.trim().strip_prefix("fix: `forebay doctor --fix "));
        let word = fix.and_then(|fix| fix.strip_suffix('`')).unwrap_or_else(|| panic!("{look:?}"));
        folder.write("fix", format!("forebay doctor --fix {word}"));
        let pasted = folder.run_script("PATH=$PATH bash fix || test $? = 1");
        assert!(pasted.out.contains("turned WAL on"), "{pasted:?}");
        assert_eq!(fs::read(folder.path(name)).unwrap()[19], 2, "{name}");
    }
}

#[test]
fn a_file_with_two_names_and_a_link_to_nothing_are_told_of() {
    let folder = Folder::with(ROWS);
    fs::hard_link(folder.path("app.db"), folder.path("other.db")).unwrap();
    let found = doctor(&folder, "app.db");
    assert!(found.all("file")[1].starts_with("warning: it has 2 names"), "{found:#?}");
    std::os::unix::fs::symlink("nowhere", folder.path("link.db")).unwrap();
    let found = doctor(&folder, "link.db");
    assert_eq!(found.of("file"), "error: it is a link to nowhere, which is not there");
}
