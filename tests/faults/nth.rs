//! The Nth call of the operating system's fails, for N = 1, 2, 3 until there is no Nth call: once, and from then on; from
//! the opening of the database to its end. libfiu's wrappers fail it, `nth.c` counts.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Answer, Kind, Scratch, Seen, Told, Trial, is_full};
use tempfile::TempDir;

use crate::witness::{Story, Unknown, Victim};

/// Where Debian's fiu-utils, and libfiu's own `make install`, have the wrappers.
const WRAPPERS: [&str; 2] =
    ["/usr/lib/fiu/fiu_posix_preload.so", "/usr/local/lib/fiu/fiu_posix_preload.so"];

/// What Linux answers.
const EIO: u8 = 5;
const EMFILE: u8 = 24;
const ENOSPC: u8 = 28;
const ETIMEDOUT: u8 = 110;

/// Answers that must be heard after the failure, before the process is killed.
const ENOUGH: usize = 60;

/// A kind of call, and what it fails with.
#[derive(Clone, Copy)]
struct Call {
    /// As libfiu calls it.
    point: &'static str,
    errno: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Often {
    Once,
    FromThenOn,
}

/// What is loaded into the process: it counts, and libfiu fails.
struct Preloaded {
    folder: TempDir,
}

impl Preloaded {
    fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/nth.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([&Self::counter(&folder), &source])
            .status();
        assert!(compiled.is_ok_and(|status| status.success()), "this test needs a C compiler, cc");
        Self { folder }
    }

    fn counter(folder: &TempDir) -> PathBuf {
        folder.path().join("nth.so")
    }

    fn both(&self) -> OsString {
        let wrappers = WRAPPERS.into_iter().find(|path| Path::new(path).exists());
        let wrappers = wrappers.expect(
            "this test needs libfiu: run `benches/install fiu-run:fiu-utils` as root, as tests/run does",
        );
        let mut both = Self::counter(&self.folder).into_os_string();
        both.push(" ");
        both.push(wrappers);
        both
    }

    /// Starts a process in which the `nth` call fails. The `mark` is made when it does.
    fn start(
        &self,
        database: &Path,
        length: &str,
        call: Call,
        nth: usize,
        often: Often,
        mark: &Path,
    ) -> Victim {
        let (nth, errno) =
            (OsString::from(nth.to_string()), OsString::from(call.errno.to_string()));
        let both = self.both();
        let mut environment = vec![
            ("LD_PRELOAD", both.as_os_str()),
            ("NTH_POINT", OsStr::new(call.point)),
            ("NTH_CALL", &nth),
            ("NTH_ERRNO", &errno),
            ("NTH_MARK", mark.as_os_str()),
        ];
        if often == Often::FromThenOn {
            environment.push(("NTH_ALWAYS", OsStr::new("1")));
        }
        Victim::start(database, &[length.to_owned()], environment)
    }
}

/// The number of the call that a round fails. The short form leaves some out, later on.
fn nth(round: usize) -> usize {
    if is_full() || round < 10 { round + 1 } else { 10 + 2 * (round - 9) }
}

/// Fails one call after the other, in a process each, until there is none left.
fn fail_each((number, fault): (u8, &'static str), how: &str, call: Call, often: Often) {
    let preloaded = Preloaded::build();
    let which = if is_full() { "" } else { ", every other N from 12 on" };
    let trial = Trial::of(number, fault, format!("{how}{which}"));
    trial.rounds(1_000, 1_000).run_while(move |round| {
        let scratch = Scratch::new(Kind::SCHEMA);
        let mark = preloaded.folder.path().join(format!("failed-{round}"));
        let path = scratch.path();
        let story = preloaded.start(&path, "brief", call, nth(round), often, &mark).hear_out();
        let seen = look(&story, &path);
        assert!(mark.exists() || round > 0, "{} was never called", call.point);
        mark.exists().then_some(seen)
    });
}

/// No panic, and what was promised is there.
fn look(story: &Story, database: &Path) -> Seen {
    let Some((trouble, stats, _)) = story.closed() else {
        panic!("it did not come to its end: {}", story.end);
    };
    assert!(!trouble.contains("panicked"), "{trouble}: {stats}");
    assert!(story.end.success(), "{}", story.end);
    story.hold_against(database, Unknown::Either)
}

/// After the failure rows are acknowledged again, and then the process is killed.
fn fail_then_kill(trial: Trial, call: Call) {
    let preloaded = Preloaded::build();
    trial.rounds(12, 100).run(move |round| {
        let scratch = Scratch::new(Kind::SCHEMA);
        let mark = preloaded.folder.path().join(format!("failed-{round}"));
        // Past those that open the database.
        let nth = 12 + 3 * round;
        let victim = preloaded.start(&scratch.path(), "endless", call, nth, Often::Once, &mark);
        let after = Cell::new(0);
        let story = victim.hear_until(|told| {
            let counts = matches!(told, Told::Answered(_, Answer::Ok)) && mark.exists();
            after.set(after.get() + usize::from(counts));
            after.get() == ENOUGH
        });
        assert_eq!(after.get(), ENOUGH, "it ended too soon: {}", story.end);
        story.hold_against(&scratch.path(), Unknown::Either)
    });
}

#[test]
fn a_write_that_fails_makes_no_receipt_lie() {
    let call = Call { point: "posix/io/rw/pwrite", errno: EIO };
    let how = "libfiu: the Nth `pwrite` answers EIO, N = 1, 2, … to the last";
    fail_each((15, "a write fails"), how, call, Often::Once);
}

#[test]
fn writes_that_fail_from_then_on_make_no_receipt_lie() {
    let call = Call { point: "posix/io/rw/pwrite", errno: EIO };
    let how = "libfiu: every `pwrite` from the Nth answers EIO, N = 1, 2, … to the last";
    fail_each((15, "all writes fail from then on"), how, call, Often::FromThenOn);
}

#[test]
fn a_write_that_finds_no_space_makes_no_receipt_lie() {
    let call = Call { point: "posix/io/rw/pwrite", errno: ENOSPC };
    let how = "libfiu: the Nth `pwrite` answers ENOSPC, N = 1, 2, … to the last";
    fail_each((11, "a write finds no space"), how, call, Often::Once);
}

#[test]
fn writes_that_find_no_space_from_then_on_make_no_receipt_lie() {
    let call = Call { point: "posix/io/rw/pwrite", errno: ENOSPC };
    let how = "libfiu: every `pwrite` from the Nth answers ENOSPC, N = 1, 2, … to the last";
    fail_each((11, "no write finds space from then on"), how, call, Often::FromThenOn);
}

#[test]
fn a_full_disk_is_the_reason_why_a_database_is_not_opened() {
    let preloaded = Preloaded::build();
    let mark = preloaded.folder.path().join("failed");
    let call = Call { point: "posix/io/rw/pwrite", errno: ENOSPC };
    // The second is not a database yet, and its first write is to the file itself.
    for has_been_opened in [true, false] {
        let scratch = Scratch::new(Kind::SCHEMA);
        if !has_been_opened {
            fs::write(scratch.path(), []).unwrap();
        }
        let victim = preloaded.start(&scratch.path(), "brief", call, 1, Often::FromThenOn, &mark);
        let story = victim.hear_out();
        let (trouble, ..) = story.closed().unwrap();
        assert!(
            trouble.contains("cannot open") && trouble.contains("its disk is full"),
            "{trouble}"
        );
    }
}

#[test]
fn a_flush_that_fails_makes_no_receipt_lie() {
    let call = Call { point: "posix/io/sync/fsync", errno: EIO };
    let how = "libfiu: the Nth `fsync` answers EIO, N = 1, 2, … to the last";
    fail_each((15, "an fsync fails"), how, call, Often::Once);
}

#[test]
fn flushes_that_fail_from_then_on_make_no_receipt_lie() {
    let call = Call { point: "posix/io/sync/fsync", errno: EIO };
    let how = "libfiu: every `fsync` from the Nth answers EIO, N = 1, 2, … to the last";
    fail_each((15, "all fsyncs fail from then on"), how, call, Often::FromThenOn);
}

#[test]
fn rows_acknowledged_after_a_failed_flush_survive_a_kill() {
    let call = Call { point: "posix/io/sync/fsync", errno: EIO };
    let how = "libfiu: the Nth `fsync` answers EIO; 60 acknowledged rows later SIGKILL";
    fail_then_kill(Trial::of(15, "an fsync fails, and then the process is killed", how), call);
}

#[test]
fn rows_acknowledged_after_a_failed_write_survive_a_kill() {
    let call = Call { point: "posix/io/rw/pwrite", errno: EIO };
    let how = "libfiu: the Nth `pwrite` answers EIO; 60 acknowledged rows later SIGKILL";
    fail_then_kill(Trial::of(15, "a write fails, and then the process is killed", how), call);
}

#[test]
fn a_read_that_fails_makes_no_receipt_lie() {
    // SQLite says of EIO that the database is damaged, of others that a read has failed.
    for (errno, often, fault, how) in [
        (EIO, Often::Once, "a read fails", "libfiu: the Nth `pread` answers EIO"),
        (
            EIO,
            Often::FromThenOn,
            "all reads fail from then on",
            "libfiu: the Nth `pread` and all after it answer EIO",
        ),
        (
            ETIMEDOUT,
            Often::Once,
            "a read takes too long",
            "libfiu: the Nth `pread` answers ETIMEDOUT",
        ),
    ] {
        let call = Call { point: "posix/io/rw/pread", errno };
        fail_each((15, fault), how, call, often);
    }
}

#[test]
fn a_file_that_cannot_be_opened_or_shortened_makes_no_receipt_lie() {
    for (point, errno, often, fault, how) in [
        (
            "posix/io/oc/open",
            EMFILE,
            Often::Once,
            "a file is not opened",
            "libfiu: the Nth `open` answers EMFILE",
        ),
        (
            "posix/io/oc/open",
            EMFILE,
            Often::FromThenOn,
            "no file is opened from then on",
            "libfiu: the Nth `open` and all after it answer EMFILE",
        ),
        (
            "posix/io/rw/ftruncate",
            EIO,
            Often::Once,
            "a file is not shortened",
            "libfiu: the Nth `ftruncate` answers EIO",
        ),
        (
            "posix/io/rw/ftruncate",
            EIO,
            Often::FromThenOn,
            "no file is shortened from then on",
            "libfiu: the Nth `ftruncate` and all after it answer EIO",
        ),
    ] {
        fail_each((15, fault), how, Call { point, errno }, often);
    }
}
