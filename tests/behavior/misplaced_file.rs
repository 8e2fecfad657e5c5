//! Where the file for dead letters is not, or is no more, nothing else is harmed and no line is lost for want of a name.

use std::fs::{self, OpenOptions};
use std::path::Path;

use forebay::{ErrorKind, Rejects};
use rustix::fs::{FlockOperation, fcntl_lock};
use support::Log;

use crate::dead_letter_file::{Beside, SCHEMA, id, lines, push_bad};
use crate::fork::in_a_child;

fn ids(file: &Path) -> Vec<i64> {
    lines(file).iter().map(id).collect()
}

/// Whether no process but the one that asks has a lock on a file.
fn is_unlocked(file: &Path) -> bool {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

#[test]
fn a_database_that_is_named_as_the_file_keeps_its_locks() {
    let beside = Beside::new(SCHEMA);
    let database = beside.scratch.path();
    let running = beside.open();
    in_a_child(|| !is_unlocked(&database));
    let mut other = Beside::new(SCHEMA);
    other.config.rejects.file = Some(database.clone());
    let error = other.builder().open().unwrap_err();
    assert!(
        format!("{error:#}").ends_with("there is a file that holds something else"),
        "{error:#}"
    );
    in_a_child(|| !is_unlocked(&database));
    running.close().unwrap();
    in_a_child(|| is_unlocked(&database));
}

#[test]
fn a_file_that_begins_with_an_empty_line_is_taken() {
    let beside = Beside::new(SCHEMA);
    fs::write(beside.file(), "\n").unwrap();
    push_bad(&beside.open(), [1]);
    assert_eq!(beside.ids(), [1]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_pipe_is_refused_for_nobody_may_read_it() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let beside = Beside::new(SCHEMA);
    mknodat(CWD, beside.file(), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let error = beside.builder().open().unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::Open, Some("rejects.file")));
    assert!(format!("{error:#}").ends_with("it is a pipe, which nobody may read"), "{error:#}");
}

#[test]
fn a_link_is_followed_and_the_file_that_it_leads_to_is_set_aside_there() {
    let mut beside = Beside::new(SCHEMA);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().canonicalize().unwrap().join("dead.ndjson");
    std::os::unix::fs::symlink(&file, beside.file()).unwrap();
    beside.config.rejects = Rejects { max_bytes: 4_096, ..beside.config.rejects };
    let buffer = beside.open();
    assert_eq!(buffer.config().rejects.file.as_ref(), Some(&file));
    push_bad(&buffer, 0..20);
    assert_eq!(ids(&folder.path().join("dead.ndjson.1"))[0], 0);
    assert!(beside.file().is_symlink());
    assert_eq!(beside.ids(), ids(&file));
    assert_eq!(beside.ids().last(), Some(&19));
}

#[test]
fn lines_go_on_to_the_file_that_was_moved_while_its_path_cannot_be_opened() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let beside = Beside::new(SCHEMA);
    let buffer = beside.open();
    push_bad(&buffer, [1]);
    let moved = beside.file().with_extension("old");
    fs::rename(beside.file(), &moved).unwrap();
    fs::create_dir(beside.file()).unwrap();
    push_bad(&buffer, [2, 3]);
    assert_eq!(ids(&moved), [1, 2, 3]);
    fs::remove_dir(beside.file()).unwrap();
    push_bad(&buffer, [4]);
    assert_eq!((ids(&moved), beside.ids()), (vec![1, 2, 3], vec![4]));
    let text = log.text();
    assert_eq!(text.matches("dead letters go on to the file that was there").count(), 1, "{text}");
    assert_eq!(buffer.stats().letters_unkept, 0);
}

#[test]
fn a_line_is_not_written_to_a_file_that_was_deleted() {
    let beside = Beside::new(SCHEMA);
    let buffer = beside.open();
    fs::remove_file(beside.file()).unwrap();
    fs::create_dir(beside.file()).unwrap();
    push_bad(&buffer, [1]);
    assert_eq!(buffer.stats().letters_unkept, 1);
    fs::remove_dir(beside.file()).unwrap();
    push_bad(&buffer, [2]);
    assert_eq!((beside.ids(), buffer.stats().letters_unkept), (vec![2], 1));
}

#[test]
#[cfg(target_os = "linux")]
fn something_else_in_the_files_place_is_left_alone_and_opened_once() {
    let open_files = || fs::read_dir("/proc/self/fd").unwrap().count();
    let beside = Beside::new(SCHEMA);
    let buffer = beside.open();
    push_bad(&buffer, [1]);
    let moved = beside.file().with_extension("old");
    fs::rename(beside.file(), &moved).unwrap();
    fs::write(beside.file(), "something else\n").unwrap();
    push_bad(&buffer, [2]);
    let before = open_files();
    push_bad(&buffer, 3..=9);
    assert_eq!(open_files(), before);
    assert!(ids(&moved).into_iter().eq(1..=9));
    assert_eq!(fs::read_to_string(beside.file()).unwrap(), "something else\n");
}
