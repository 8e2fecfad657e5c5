//! Where the database lies: permissions, and filesystems that are full or read-only.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::support::Folder;
use crate::{ROWS, doctor, make_private};

fn chmod(folder: &Folder, name: &str, mode: u32) {
    fs::set_permissions(folder.path(name), Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_every_user_may_write_to_is_a_warning() {
    let folder = Folder::with(ROWS);
    make_private(&folder.path("app.db"));
    let found = doctor(&folder, "app.db");
    assert!(
        found.of("permissions").starts_with("ok: this user may read and write it (mode 600"),
        "{found:#?}"
    );
    chmod(&folder, "app.db", 0o666);
    let found = doctor(&folder, "app.db");
    assert!(
        found.of("permissions").starts_with("warning: every user may write to app.db (mode 666")
    );
    assert_eq!(found.fix("permissions"), "`chmod o-w app.db`");
    make_private(&folder.path("app.db"));
    chmod(&folder, "", 0o777);
    let found = doctor(&folder, "app.db");
    assert!(
        found.of("permissions").starts_with("warning: every user may remove or replace files"),
        "{found:#?}"
    );
}

#[test]
fn what_every_user_may_read_is_worth_a_note_where_they_get_to_it() {
    let folder = Folder::with(ROWS);
    chmod(&folder, "", 0o700);
    chmod(&folder, "app.db", 0o644);
    assert!(
        doctor(&folder, "app.db").of("permissions").starts_with("ok: "),
        "the folder is private"
    );
    chmod(&folder, "", 0o755);
    let found = doctor(&folder, "app.db");
    assert!(found.of("permissions").starts_with("note: every user may read app.db"), "{found:#?}");
}

mod needs_root {
    use std::os::unix::fs::chown;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use assert_cmd::cargo::cargo_bin;

    use super::*;
    use crate::support::{Mount, Ran};
    use crate::{Found, without_wal};

    /// A user that owns nothing.
    const NOBODY: u32 = 65_534;
    const WHY: &str = "this test needs root (TESTS_WITHOUT_ROOT=1 leaves it out)";

    /// A database in a filesystem of its own in memory, in the folder `disk`.
    fn on_disk(size: &str) -> (Folder, Mount) {
        let folder = Folder::with(ROWS);
        fs::create_dir(folder.path("disk")).unwrap();
        let size = format!("size={size}");
        let mount = Mount::at(folder.path("disk"), &["-t", "tmpfs", "-o", &size, "forebay"]);
        fs::copy(folder.path("app.db"), folder.path("disk/app.db")).unwrap();
        (folder, mount)
    }

    /// Runs it as a user who is not root, on the folder's database.
    fn doctor_as_nobody(folder: &Folder) -> Found {
        run_as_nobody(folder, &["app.db"])
    }

    fn run_as_nobody(folder: &Folder, arguments: &[&str]) -> Found {
        // The command may lie where that user cannot go.
        let own = tempfile::tempdir().unwrap();
        fs::set_permissions(own.path(), Permissions::from_mode(0o755)).unwrap();
        let program = own.path().join("forebay");
        // By another process: one that a test starts meanwhile would have the file open for writing, and it could not be run.
        let copied = Command::new("cp").arg(cargo_bin!("forebay")).arg(&program).status();
        assert!(copied.unwrap().success());
        let mut command = Command::new(&program);
        command.args(["doctor", "--json"]).args(arguments).current_dir(folder.path(""));
        let output = command.uid(NOBODY).gid(NOBODY).output();
        Found(Ran::from(output.unwrap_or_else(|error| panic!("{WHY}: {error}"))).summary())
    }

    #[test]
    fn a_nearly_full_disk_is_a_warning() {
        let (folder, _mount) = on_disk("200M");
        let found = doctor(&folder, "disk/app.db");
        assert!(found.of("filesystem").starts_with("note: tmpfs, which is memory"), "{found:#?}");
        let (folder, _mount) = on_disk("8M");
        let found = doctor(&folder, "disk/app.db");
        assert!(found.of("filesystem").starts_with("warning: tmpfs, nearly full: 8"), "{found:#?}");
    }

    #[test]
    fn a_read_only_filesystem_is_an_error_and_the_database_is_read_nevertheless() {
        let (folder, mount) = on_disk("200M");
        mount.mount(&["-o", "remount,ro"]);
        let found = doctor(&folder, "disk/app.db");
        let filesystem = found.all("filesystem");
        assert_eq!(filesystem[0], "error: tmpfs, mounted read-only: nothing can be written");
        assert!(
            found.of("wal").starts_with("error: on, but this user cannot make -wal and -shm"),
            "{found:#?}"
        );
        assert_eq!(found.of("integrity"), "ok: quick_check found nothing wrong");
        let found = doctor(&folder, "disk/app.db --fix");
        assert!(found.changes()[0].contains("this user may not write"), "{found:#?}");
    }

    #[test]
    fn a_file_alone_that_is_mounted_read_only_is_found_too() {
        let folder = without_wal(ROWS);
        let path = folder.path("app.db");
        let mount = Mount::at(path.clone(), &["--bind", path.to_str().unwrap()]);
        mount.mount(&["-o", "remount,bind,ro"]);
        let found = doctor(&folder, "app.db");
        assert!(found.all("filesystem")[0].ends_with("mounted read-only: nothing can be written"));
        assert!(
            found.all("permissions")[0].starts_with("error: this user may not write to app.db"),
            "{found:#?}"
        );
    }

    #[test]
    fn files_of_another_user_beside_the_database_are_a_warning() {
        let folder = Folder::with(ROWS);
        let other = folder.connection();
        other.execute_batch("UPDATE t SET v = 'w'").unwrap();
        chown(folder.path("app.db-wal"), Some(NOBODY), None).expect(WHY);
        let found = doctor(&folder, "app.db");
        let told = found.all("permissions");
        let told: Vec<_> = told.iter().filter(|told| told.contains("another user")).collect();
        assert!(
            told.len() == 1 && told[0].starts_with("warning: app.db-wal belongs to"),
            "{found:#?}"
        );
    }

    #[test]
    fn a_user_who_may_not_write_is_told_what_is_missing_and_sees_who_holds_the_lock() {
        let folder = Folder::with(ROWS);
        chmod(&folder, "", 0o755);
        chmod(&folder, "app.db", 0o644);
        let _lock = folder.lock();
        let found = doctor_as_nobody(&folder);
        let permissions = found.all("permissions");
        assert!(
            permissions[0].starts_with("error: this user may not write to app.db"),
            "{found:#?}"
        );
        assert!(
            permissions.iter().any(|told| told.contains("may not make files in")),
            "{found:#?}"
        );
        // The kernel tells who holds a lock, and not what the files are that other users have open.
        assert!(found.of("lock").contains(&format!("(pid {})", std::process::id())), "{found:#?}");
        assert!(
            found.of("open").ends_with("those of other users do not show theirs"),
            "{found:#?}"
        );
    }

    #[test]
    fn a_user_who_may_not_write_leaves_no_file_of_their_own_beside_the_database() {
        for folder in [Folder::with(ROWS), without_wal(ROWS)] {
            chmod(&folder, "", 0o777);
            chmod(&folder, "app.db", 0o644);
            let found = run_as_nobody(&folder, &["app.db", "--fix"]);
            let told = found.changes();
            assert_eq!(told, ["nothing was done: this user may not write to app.db"]);
            let left = fs::read_dir(folder.path("")).unwrap().map(|file| file.unwrap().file_name());
            assert_eq!(left.collect::<Vec<_>>(), ["app.db"]);
        }
    }

    #[test]
    fn a_log_that_this_user_may_not_write_to_is_not_said_to_be_put_in_order() {
        let folder = Folder::with(ROWS);
        let other = folder.connection();
        other.execute_batch("UPDATE t SET v = 'w'").unwrap();
        let left = crate::killed(&folder);
        chmod(&left, "", 0o777);
        chmod(&left, "app.db", 0o666);
        chmod(&left, "app.db-wal", 0o644);
        chmod(&left, "app.db-shm", 0o644);
        let found = run_as_nobody(&left, &["app.db", "--fix"]);
        assert_eq!(found.changes(), ["nothing was done: this user may not write to app.db-wal"]);
        assert!(found.fix("wal").contains("sudo -u '#0' forebay doctor --fix app.db"));
    }

    #[test]
    fn what_cannot_be_seen_is_not_said_to_be_well() {
        let folder = Folder::with(ROWS);
        chmod(&folder, "", 0o755);
        chmod(&folder, "app.db", 0o644);
        let _lock = folder.lock();
        make_private(&folder.path("app.db-shm"));
        let found = doctor_as_nobody(&folder);
        let unseen = "note: who holds a lock cannot be seen: this user may not do that";
        assert_eq!(found.of("lock"), unseen);
        assert!(found.of("wal_size").ends_with("; who reads cannot be seen"), "{found:#?}");
        assert!(found.of("contents").starts_with("error: could not be looked at"), "{found:#?}");
    }

    #[test]
    fn a_database_that_this_user_may_not_read_is_told_of() {
        let folder = Folder::with(ROWS);
        chmod(&folder, "", 0o755);
        make_private(&folder.path("app.db"));
        let found = doctor_as_nobody(&folder);
        assert_eq!(
            found.of("file"),
            format!("error: this user ({NOBODY}) may not read it (mode 600, user 0)")
        );
        assert!(found.fix("file").starts_with("run this as the user that owns it"), "{found:#?}");
    }
}
