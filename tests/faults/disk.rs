//! Disks that are full, or may only be read for a while. All of these mount filesystems, and fail where they may not.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use forebay::{Config, Durability, ErrorKind, Health, Value, WriteBuffer};
use rusqlite::Connection;
use support::{FailingDisk, Mount, Scratch, Seen, Trial, adds_up, is_full};

use crate::load::{LONG, Load, eventually};

/// A small disk with a database on it.
struct Disk {
    mount: Mount,
}

impl Disk {
    fn new() -> Self {
        let disk = Self { mount: Mount::tmpfs(16 << 20) };
        Connection::open(disk.path()).unwrap().execute_batch(Seen::SCHEMA).unwrap();
        disk
    }

    fn path(&self) -> PathBuf {
        self.mount.path().join("app.db")
    }

    fn ballast(&self) -> PathBuf {
        self.mount.path().join("ballast")
    }

    /// Writes until there is no room for another byte.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        while ballast.write_all(&[0; 4_096]).is_ok() {}
    }

    /// Leaves room for some pages of 4 KiB.
    fn fill_but_for(&self, pages: u64) {
        self.fill();
        let ballast = File::options().write(true).open(self.ballast()).unwrap();
        ballast.set_len(ballast.metadata().unwrap().len() - 4_096 * pages).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

fn runs(buffer: &WriteBuffer) -> bool {
    matches!(buffer.health(), Health::Running)
}

/// Fills the disk again and again in the life of one buffer.
fn fills(config: &Config) -> Seen {
    let disk = Disk::new();
    let buffer = WriteBuffer::builder(disk.path()).config(config.clone()).open().unwrap();
    let done = Load::run(&buffer, |load| {
        for time in 1..=if is_full() { 20 } else { 5 } {
            disk.fill_but_for(time % 8);
            let cause = load.paused();
            assert_eq!(cause.kind(), ErrorKind::Unavailable, "{cause:?}");
            assert!(cause.to_string().contains("the disk is full"), "{cause:#}");
            disk.make_room();
            let since = Instant::now();
            eventually("the buffer runs again", || runs(&buffer));
            load.goes_on();
            assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
            assert_eq!(buffer.stats().pauses, time);
        }
    });
    done.all_landed(&buffer, &disk.path())
}

mod needs_root {
    use super::*;

    #[test]
    fn a_full_disk_is_waited_for_again_and_again() {
        Trial::of(
            11,
            "the disk is full",
            "a tmpfs of 16 MiB filled 20 times in one buffer's life, under load, to the last byte or the last pages",
        )
        .rounds(1, 2)
        .run(|_| fills(&Config::default()));
    }

    #[test]
    fn a_disk_that_is_full_when_the_log_is_copied_back_is_waited_for() {
        Trial::of(
            11,
            "the disk is full at a checkpoint",
            "a tmpfs of 16 MiB filled 20 times under load, with the smallest log, 64 KiB: the database has no room to grow where the log has",
        )
        .rounds(1, 2)
        .run(|_| fills(&Config { max_wal_bytes: 64 * 1024, ..Config::default() }));
    }

    #[test]
    fn a_full_disk_is_named_by_whoever_opens_a_database_on_it() {
        Trial::of(
            11,
            "the disk is full at open",
            "a database that is there, and one that is not, on a tmpfs filled to the last byte",
        )
        .rounds(2, 40)
        .run(|_| {
            let disk = Disk::new();
            disk.fill();
            for path in [disk.path(), disk.mount.path().join("new.db")] {
                let error = WriteBuffer::open(&path).unwrap_err();
                let said = format!("{error:#}");
                assert_eq!(error.kind(), ErrorKind::Open, "{said}");
                assert!(said.contains(&path.display().to_string()), "{said}");
                assert!(said.contains("disk is full"), "{said}");
            }
            disk.make_room();
            let buffer = WriteBuffer::open(disk.path()).unwrap();
            Load::run(&buffer, |_| {}).all_landed(&buffer, &disk.path())
        });
    }

    #[test]
    fn a_disk_that_turns_read_only_is_waited_for_until_it_is_repaired() {
        Trial::of(
            12,
            "the filesystem turns read-only",
            "an ext4 image whose filesystem fails under load (`errors=remount-ro`), between two commits, and is unmounted, repaired and mounted \
             again while the buffer is open; `durability = \"full\"`. The batch whose COMMIT meets the failure is `Unknown`",
        )
        .rounds(2, 12)
        .run(|round| {
            let disk = FailingDisk::new(32 << 20);
            let path = disk.path().join("app.db");
            Connection::open(&path).unwrap().execute_batch(Seen::SCHEMA).unwrap();
            let unknown = Arc::new(Mutex::new(Vec::new()));
            let config = Config { durability: Durability::Full, ..Config::default() };
            let builder = WriteBuffer::builder(&path).config(config);
            let letters = Arc::clone(&unknown);
            let builder = builder.on_reject(move |letter| {
                assert_eq!(letter.error.kind(), ErrorKind::Unknown, "{:?}", letter.error);
                letters.lock().unwrap().push(letter.fields[0].1.clone());
            });
            let buffer = builder.open().unwrap();
            let done = Load::run(&buffer, |load| {
                // An fdatasync in the very moment may say Ok of what is not on the disk: ext4 on Linux 6.18 does.
                let between_commits = Connection::open(&path).unwrap();
                between_commits.busy_timeout(LONG).unwrap();
                between_commits.execute_batch("BEGIN IMMEDIATE").unwrap();
                // While it is there SQLite opens the database by the descriptor that it has, and the `-wal` read-only.
                let beside = (round % 2 == 0).then(|| Connection::open(&path).unwrap());
                if let Some(beside) = &beside {
                    beside.query_row("SELECT 1 FROM landed", [], |_| Ok(())).unwrap();
                }
                disk.fail();
                drop(between_commits);
                let cause = load.paused();
                let said = format!("{cause:#}");
                assert!(said.contains("may only be read"), "{said}");
                drop(beside);
                disk.repair();
                eventually("the buffer runs again", || runs(&buffer));
                load.goes_on();
            });
            buffer.close().unwrap();
            let stats = buffer.stats();
            assert!(adds_up(&stats), "{stats:?}");
            assert_eq!(stats.committed + stats.unknown, stats.accepted, "{stats:?}");
            for error in &done.errors {
                assert_eq!(error.kind(), ErrorKind::Unknown, "{error:?}");
            }
            let unknown = unknown.lock().unwrap();
            let told = done.pushed.iter().filter(|id| !unknown.contains(&Value::Integer(**id)));
            let promised = done.acknowledged.iter().chain(told).copied();
            Seen { rows: stats.accepted, ..Seen::in_table(&path, promised) }
        });
    }

    #[test]
    fn a_folder_that_may_only_be_read_is_named_by_whoever_opens_a_database_in_it() {
        Trial::of(
            12,
            "the filesystem is read-only, or the folder, at open",
            "a filesystem mounted read-only; a folder that a user who is not root may not write to",
        )
        .rounds(2, 20)
        .run(|_| {
            let scratch = Scratch::new(Seen::SCHEMA);
            let folder = scratch.path().parent().unwrap().to_owned();
            let read_only = Mount::read_only(&folder);
            let error = WriteBuffer::open(scratch.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Open);
            says_why(&folder, &format!("{error:#}"));
            drop(read_only);

            fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
            fs::set_permissions(scratch.path(), Permissions::from_mode(0o666)).unwrap();
            says_why(&folder, &as_nobody(&scratch.path()));
            let buffer = WriteBuffer::open(scratch.path()).unwrap();
            Load::run(&buffer, |_| {}).all_landed(&buffer, &scratch.path())
        });
    }

    fn says_why(folder: &Path, said: &str) {
        let why = format!(
            "the folder {} cannot be written, where WAL mode keeps two files",
            folder.display()
        );
        assert!(said.contains(&why), "{said}");
    }

    /// What is said to a user who is nobody.
    fn as_nobody(path: &Path) -> String {
        // Where this was built may be closed to others.
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let program = folder.path().join("fault-other");
        fs::copy(env!("CARGO_BIN_EXE_fault-other"), &program).unwrap();
        let output =
            Command::new(&program).arg("open").arg(path).uid(65_534).gid(65_534).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}
