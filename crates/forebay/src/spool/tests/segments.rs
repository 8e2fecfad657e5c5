//! A segment's file: what is appended to it is what is read, whatever it held before.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::sample::folder;
use crate::row::{Frame, MORE, RECEIPT, put_blob};
use crate::spool::check_of;
use crate::spool::file::SegmentFile;
use crate::spool::files;
use crate::spool::format::{ENVELOPE, HEADER, Header, read_unit, unit_bytes};
use crate::spool::image::{State, is_torn, units};

const CAPACITY: u32 = 4096;

fn make(folder: &Path) -> SegmentFile {
    let header = Header { number: 7, spool: 1 << 100, first_seq: 0, epoch: 3, capacity: CAPACITY };
    SegmentFile::create(folder, header).expect("a file")
}

/// A row of a blob of this length.
fn row(length: usize, byte: u8, flags: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    let start = Frame::begin(&mut frame);
    put_blob(&mut frame, &vec![byte; length]);
    Frame::finish(&mut frame, start, 9, flags);
    frame
}

fn append(file: &mut SegmentFile, frames: &[u8], seq: u64) {
    file.append(frames, check_of(frames), seq);
}

/// The units that another process finds: their first rows, and their frames.
fn found(file: &SegmentFile) -> Vec<(u64, Vec<u8>)> {
    let bytes = fs::read(file.path()).expect("bytes");
    let State::Used { header, end, .. } = State::read(&bytes).expect("whole") else {
        panic!("it is free")
    };
    let mut seq = header.first_seq;
    let mut found = Vec::new();
    for unit in units(&bytes, header, end) {
        let unit = unit.expect("whole");
        assert!(bytes[unit.frames.end..unit.end].iter().all(|&byte| byte == 0), "padding");
        seq = unit.seq + unit.rows;
        found.push((unit.seq, bytes[unit.frames].to_vec()));
    }
    assert!(!is_torn(&bytes, header, end, seq), "nothing follows");
    found
}

fn state(file: &SegmentFile) -> State {
    State::read(&fs::read(file.path()).expect("bytes")).expect("whole")
}

#[test]
fn what_is_appended_is_what_is_read() {
    let folder = folder();
    let mut file = make(folder.path());
    assert_eq!((state(&file), file.len()), (State::Free, CAPACITY as usize));
    file.restart(40);
    assert_eq!((found(&file), file.used()), (Vec::new(), 0));
    assert!(file.bytes().is_empty());
    let (mut seq, mut kept) = (40, Vec::new());
    for length in 0..24 {
        let unit = match length % 3 {
            0 => row(length, 1, RECEIPT),
            1 => [row(length, 2, MORE), row(3, 3, RECEIPT)].concat(),
            _ => [row(1, 4, MORE), row(length, 5, MORE), row(0, 6, 0)].concat(),
        };
        append(&mut file, &unit, seq);
        kept.push((seq, unit));
        seq += 1 + length as u64 % 3;
        assert_eq!(found(&file), kept);
    }
    // As the engine goes through them.
    let (bytes, mut at) = (file.bytes(), 0);
    for (_, unit) in &kept {
        assert_eq!(bytes[at..at + unit.len()], unit[..]);
        at = (at + unit.len()).next_multiple_of(8) + ENVELOPE;
    }
    assert_eq!(at, bytes.len() + ENVELOPE, "it ends with the last unit");
    let used: usize = kept.iter().map(|(_, unit)| unit_bytes(unit.len())).sum();
    assert_eq!(file.used(), used);
}

#[test]
fn a_file_is_full_at_its_last_byte_and_not_before() {
    let folder = folder();
    let mut file = make(folder.path());
    file.restart(0);
    let room = CAPACITY as usize - HEADER - ENVELOPE;
    assert!(file.has_room(room) && !file.has_room(room + 1));
    let one = row(100, 1, 0);
    append(&mut file, &one, 0);
    let room = CAPACITY as usize - HEADER - unit_bytes(one.len()) - ENVELOPE;
    assert!(file.has_room(room) && !file.has_room(room + 1));
    let rest = row(room - row(0, 2, 0).len(), 2, 0);
    assert_eq!(rest.len(), room);
    append(&mut file, &rest, 1);
    assert!(!file.has_room(0));
    assert_eq!(found(&file), [(0, one), (1, rest)]);
    assert_eq!(file.used() + HEADER, file.len());
}

#[test]
fn what_a_segment_held_before_never_passes() {
    let folder = folder();
    let mut file = make(folder.path());
    for length in 0..40 {
        file.restart(1_000);
        let mut seq = 1_000;
        while file.has_room(row(13, 0xFF, 0).len()) {
            append(&mut file, &row(13, 0xFF, 0), seq);
            seq += 1;
        }
        file.seal();
        file.free();
        assert_eq!((state(&file), file.used(), file.bytes().len()), (State::Free, 0, 0));
        file.restart(seq);
        assert_eq!(found(&file), Vec::new());
        append(&mut file, &row(length, 1, 0), seq);
        assert_eq!(found(&file), [(seq, row(length, 1, 0))]);
        file.free();
    }
}

#[test]
fn a_unit_that_is_not_published_is_not_there() {
    let folder = folder();
    let mut file = make(folder.path());
    file.restart(5);
    append(&mut file, &row(3, 1, 0), 5);
    let published = fs::read(file.path()).expect("bytes");
    append(&mut file, &row(30, 2, 0), 6);
    let mut bytes = fs::read(file.path()).expect("bytes");
    bytes[..HEADER].copy_from_slice(&published[..HEADER]);
    let State::Used { header, end, .. } = State::read(&bytes).expect("whole") else {
        panic!("it is free")
    };
    assert_eq!(units(&bytes, header, end).count(), 1);
    assert!(is_torn(&bytes, header, end, 6), "the beginning of a row is seen as such");
    assert!(read_unit(&bytes, end).is_some(), "though it is whole");
}

#[test]
fn a_segment_is_sealed_until_it_is_used_again() {
    let folder = folder();
    let mut file = make(folder.path());
    let is_sealed = |file: &SegmentFile| match state(file) {
        State::Used { sealed, .. } => sealed,
        State::Free => panic!("it is free"),
    };
    file.restart(5);
    append(&mut file, &row(3, 1, 0), 5);
    assert!(!is_sealed(&file));
    file.seal();
    assert!(is_sealed(&file));
    assert_eq!(found(&file).len(), 1);
    file.restart(6);
    assert!(!is_sealed(&file));
    assert_eq!(found(&file), Vec::new());
}

#[test]
fn a_file_is_its_owners_alone_and_gone_when_it_is_deleted() {
    let folder = folder();
    let file = make(folder.path());
    let path = file.path().to_owned();
    assert_eq!(path, files::segment(folder.path(), 7));
    let metadata = fs::metadata(&path).expect("a file");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(metadata.len(), u64::from(CAPACITY));
    file.delete();
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn a_file_that_is_gone_already_is_no_reason_to_fail() {
    let folder = folder();
    let file = make(folder.path());
    fs::remove_file(file.path()).expect("removes");
    file.delete();
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn what_cannot_be_made_leaves_no_file() {
    let folder = folder();
    // In the place of the segment.
    let taken = files::segment(folder.path(), 7);
    fs::create_dir(&taken).expect("a folder");
    let header = Header { number: 7, spool: 1, first_seq: 0, epoch: 3, capacity: CAPACITY };
    let error = SegmentFile::create(folder.path(), header).expect_err("its name is taken");
    assert!(error.to_string().starts_with(&format!("cannot write {}", taken.display())), "{error}");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
