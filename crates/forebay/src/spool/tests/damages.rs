//! Every byte flipped, every length cut to, every block zeroed, every segment dropped, doubled and swapped.

use std::fs;
use std::path::Path;

use super::sample::{APPLIED, Plain, Sample, folder, read};
use crate::error::ErrorKind;
use crate::spool::format::HEADER;
use crate::spool::salvage::{Unread, salvage};

/// How the damages of a test went.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    read: usize,
    kept: usize,
    lost: usize,
}

/// A spool in a folder of its own, damaged again and again.
struct Trial {
    root: tempfile::TempDir,
    sample: Sample,
    tally: Tally,
}

impl Trial {
    fn new() -> Self {
        let root = folder();
        let path = root.path().join("spool");
        fs::create_dir(&path).expect("a folder");
        let sample = Sample::write(&path);
        Self { root, sample, tally: Tally::default() }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.root.path().join("spool")
    }

    /// The damaged spool is refused, or read with exactly the accepted rows.
    fn open(&mut self, what: &str) {
        match read(&self.folder(), APPLIED) {
            Ok((_, rows)) => {
                assert_eq!(rows, self.sample.promised, "{what}");
                self.tally.read += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Spool, "{what}");
                let said = error.to_string();
                assert!(said.contains(&*self.folder().to_string_lossy()), "{what}: {said}");
                self.tally.refused += 1;
            }
        }
    }

    /// Every accepted row is kept by a salvage, in order and as it was, or it is in the report.
    fn salvage(&mut self, what: &str, applied: Option<u64>) {
        let folder = self.folder();
        let salvaged = match salvage(&folder, applied) {
            Ok(salvaged) => salvaged,
            Err(error) => {
                assert!(applied.is_none(), "{what}: {error:#}");
                assert_eq!(error.kind(), ErrorKind::Spool, "{what}: {error}");
                return;
            }
        };
        let (_, rows) = read(&folder, applied.unwrap_or(APPLIED))
            .unwrap_or_else(|error| panic!("{what}: the new spool is sound: {error:#}"));
        let mut rows = rows.into_iter().map(|(_, table, values)| (table, values)).peekable();
        for ((seq, table, values), home) in self.sample.promised.iter().zip(&self.sample.homes) {
            if rows.peek().is_some_and(|row| (&row.0, &row.1) == (table, values)) {
                rows.next();
                self.tally.kept += 1;
            } else {
                let is_told = salvaged.unread.iter().any(|unread| tells(unread, *seq, home));
                assert!(is_told, "{what}: row {seq} is not told of: {salvaged:#?}");
                self.tally.lost += 1;
            }
        }
        let (_, table, values) = &self.sample.torn;
        let rest: Vec<_> = rows.filter(|row| (&row.0, &row.1) != (table, values)).collect();
        assert!(rest.is_empty(), "{what}: rows that nobody pushed: {rest:?}");
        fs::remove_dir_all(&folder).expect("removes the new one");
        fs::rename(&salvaged.set_aside, &folder).expect("brings back the old one");
    }

    /// Damages a file and has the spool opened and salvaged.
    fn damage(&mut self, what: &str, path: &Path, bytes: &[u8]) {
        fs::write(path, bytes).expect("writes");
        self.open(what);
        self.salvage(what, Some(APPLIED));
        let (_, good) = self.sample.files.iter().find(|(known, _)| known == path).expect("a file");
        fs::write(path, good).expect("writes");
    }

    fn both(&mut self, what: &str) {
        self.open(what);
        self.salvage(what, Some(APPLIED));
        self.sample.restore(&self.folder());
    }

    fn end(&self) {
        let Tally { refused, read, kept, lost } = self.tally;
        assert!(refused > 0 && read > 0 && kept > lost && lost > 0, "{:?}", self.tally);
    }
}

/// Whether a report tells of this row.
fn tells(unread: &Unread, seq: u64, home: &Path) -> bool {
    match (unread.first_row, unread.last_row) {
        (None, _) => unread.file.file_name() == home.file_name(),
        (Some(first), last) => first <= seq && last.is_none_or(|last| seq <= last),
    }
}

#[test]
fn a_spool_that_is_whole_is_read_whole_and_its_torn_tail_is_seen_and_cut() {
    let mut trial = Trial::new();
    let (scan, rows) = read(&trial.folder(), APPLIED).expect("whole");
    assert_eq!(rows, trial.sample.promised);
    assert!(scan.torn.is_some());
    assert_eq!((scan.segments.len(), scan.last_number, scan.leftovers.len()), (3, 14, 1));
    trial.salvage("whole", Some(APPLIED));
    assert_eq!((trial.tally.lost, trial.tally.kept), (0, rows.len()));
}

#[test]
fn every_flipped_byte_is_refused_or_does_no_harm() {
    let mut trial = Trial::new();
    for (path, good) in trial.sample.files.clone() {
        for at in 0..good.len() {
            // One bit of each byte, and of a header every one.
            for bit in (0..8).filter(|bit| at < HEADER || *bit == at % 8) {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                fs::write(&path, &bytes).expect("writes");
                let what = format!("bit {bit} of byte {at} of {}", path.display());
                trial.open(&what);
                if bit == at % 8 {
                    trial.salvage(&what, Some(APPLIED));
                }
            }
            fs::write(&path, &good).expect("writes");
        }
    }
    trial.end();
}

#[test]
fn every_length_that_a_file_is_cut_to_is_refused_or_does_no_harm() {
    let mut trial = Trial::new();
    for (path, good) in trial.sample.files.clone() {
        for length in 0..good.len() {
            let what = format!("{} cut to {length}", path.display());
            trial.damage(&what, &path, &good[..length]);
        }
        trial.damage("longer", &path, &[&good[..], &[0; 100]].concat());
    }
    trial.end();
}

#[test]
fn every_zeroed_block_is_refused_or_does_no_harm() {
    let mut trial = Trial::new();
    for (path, good) in trial.sample.files.clone() {
        for size in [64, 512] {
            for start in (0..good.len()).step_by(size) {
                let mut bytes = good.clone();
                let end = (start + size).min(good.len());
                bytes[start..end].fill(0);
                let what = format!("{} zero from {start} to {end}", path.display());
                trial.damage(&what, &path, &bytes);
            }
        }
    }
    trial.end();
}

#[test]
fn a_file_that_is_missing_doubled_or_swapped_is_refused_or_does_no_harm() {
    let mut trial = Trial::new();
    let files = trial.sample.files.clone();
    for (path, bytes) in &files {
        fs::remove_file(path).expect("removes");
        trial.both(&format!("without {}", path.display()));
        for (other, others) in &files {
            trial.damage(&format!("{} as {}", other.display(), path.display()), path, others);
            fs::write(path, others).expect("writes");
            fs::write(other, bytes).expect("writes");
            trial.both(&format!("{} and {}", other.display(), path.display()));
        }
        let beside = trial.folder().join("segment-00000020");
        fs::write(beside, bytes).expect("writes");
        trial.both(&format!("{} twice", path.display()));
    }
    trial.end();
}

#[test]
fn two_files_that_are_damaged_lose_no_row_that_is_whole() {
    let mut trial = Trial::new();
    let files = trial.sample.files.clone();
    for (one, other) in files.iter().zip(files.iter().skip(1)) {
        for at in (0..one.1.len().min(other.1.len())).step_by(7) {
            for (path, good) in [one, other] {
                let mut bytes = good.clone();
                bytes[at] = !bytes[at];
                fs::write(path, &bytes).expect("writes");
            }
            trial.both(&format!("byte {at} of {} and the next", one.0.display()));
        }
    }
    trial.end();
}

#[test]
fn a_salvage_without_the_database_keeps_the_numbers_or_is_refused() {
    let mut trial = Trial::new();
    let files = trial.sample.files.clone();
    trial.salvage("whole", None);
    assert_eq!(trial.tally.lost, 0);
    trial.sample.restore(&trial.folder());
    for (path, good) in &files {
        for at in (0..good.len()).step_by(3) {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            fs::write(path, &bytes).expect("writes");
            trial.salvage(&format!("byte {at} of {}", path.display()), None);
            trial.sample.restore(&trial.folder());
        }
    }
}

/// Rows of a test are never equal, or a row in another's place would pass.
#[test]
fn the_rows_of_the_sample_are_all_different() {
    let trial = Trial::new();
    let rows: Vec<&Plain> = trial.sample.promised.iter().collect();
    for (position, one) in rows.iter().enumerate() {
        assert!(rows[position + 1..].iter().all(|other| (&one.1, &one.2) != (&other.1, &other.2)));
    }
}
