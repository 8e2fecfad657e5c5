//! A salvage that is killed, refused, or made twice.

use std::fs;
use std::path::{Path, PathBuf};

use super::sample::{APPLIED, Sample, folder, read, snapshot};
use crate::error::ErrorKind;
use crate::spool::format::HEADER;
use crate::spool::identity::Identity;
use crate::spool::lock::Lock;
use crate::spool::salvage::{Salvage, salvage};

fn spool(root: &Path) -> (PathBuf, Sample) {
    let folder = root.join("spool");
    fs::create_dir(&folder).expect("a folder");
    let sample = Sample::write(&folder);
    (fs::canonicalize(folder).expect("a path"), sample)
}

#[test]
fn a_salvaged_spool_is_sound_and_the_old_one_is_kept_as_it_was() {
    let root = folder();
    let (folder, sample) = spool(root.path());
    let salvaged = salvage(&folder, Some(APPLIED)).expect("salvaged");
    assert_eq!(salvaged.set_aside, root.path().join("spool.damaged-1"));
    assert_eq!((salvaged.kept, salvaged.applied), (sample.promised.len() as u64, 3));
    assert!(salvaged.unread.is_empty(), "{salvaged:?}");
    for (path, bytes) in &sample.files {
        let kept = salvaged.set_aside.join(path.file_name().expect("a name"));
        assert_eq!(&fs::read(kept).expect("there"), bytes);
    }
    assert_eq!(read(&folder, APPLIED).expect("sound").1, sample.promised);
    let again = salvage(&folder, Some(APPLIED)).expect("salvaged again");
    assert_eq!(again.set_aside, root.path().join("spool.damaged-2"));
    assert_eq!(again.kept, salvaged.kept);
    assert_eq!(read(&folder, APPLIED).expect("sound").1, sample.promised);
}

#[test]
fn what_a_killed_salvage_left_is_cleared_away_and_no_old_spool_is_deleted() {
    let root = folder();
    let (folder, sample) = spool(root.path());
    let unfinished = root.path().join("spool.forebay-salvage");
    fs::create_dir(&unfinished).expect("a folder");
    fs::write(unfinished.join("segment-00000001"), b"half").expect("writes");
    salvage(&folder, Some(APPLIED)).expect("over the half of a new one");
    assert!(!unfinished.exists());
    // Killed when they had changed places, before the old one had its name.
    fs::rename(root.path().join("spool.damaged-1"), &unfinished).expect("renames");
    let salvaged = salvage(&folder, Some(APPLIED)).expect("once more");
    assert_eq!(salvaged.set_aside, root.path().join("spool.damaged-2"));
    let old = root.path().join("spool.damaged-1");
    assert_eq!(snapshot(&old).len(), sample.files.len() + 1, "all that it had, and its lock");
    assert_eq!(read(&folder, APPLIED).expect("sound").1, sample.promised);
}

#[test]
fn what_is_in_the_way_of_a_salvage_and_not_of_one_is_left_as_it_is() {
    let root = folder();
    let (folder, _) = spool(root.path());
    let in_the_way = root.path().join("spool.forebay-salvage");
    fs::create_dir(&in_the_way).expect("a folder");
    let notes = in_the_way.join("notes.txt");
    fs::write(&notes, b"mine").expect("writes");
    let refused = || salvage(&folder, Some(APPLIED)).expect_err("it is in the way").to_string();
    assert!(refused().contains("is in the way"), "{}", refused());
    fs::remove_file(&notes).expect("removes");
    let other = Identity { spool: 9, epoch: 1, open: true, database: String::new(), boot: None };
    other.write(&in_the_way).expect("writes");
    assert!(refused().contains("is in the way"), "{}", refused());
    let identity = Identity::read(&folder).expect("reads").expect("a spool");
    identity.write(&in_the_way).expect("writes");
    let lock = Lock::take(&in_the_way).expect("free");
    assert!(refused().contains("in use"), "{}", refused());
    drop(lock);
    assert!(in_the_way.exists());
    salvage(&folder, Some(APPLIED)).expect("salvaged");
}

#[test]
fn a_spool_in_use_and_a_folder_that_is_none_are_left_as_they_are() {
    let root = folder();
    let (folder, sample) = spool(root.path());
    let lock = Lock::take(&folder).expect("free");
    let error = salvage(&folder, Some(APPLIED)).expect_err("in use");
    assert!(error.to_string().contains("in use"), "{error}");
    drop(lock);
    assert_eq!(snapshot(&folder).len(), sample.files.len() + 1);
    let other = root.path().join("other");
    fs::create_dir(&other).expect("a folder");
    let error = salvage(&other, Some(APPLIED)).expect_err("no spool");
    assert!(error.to_string().contains("there is no spool"), "{error}");
    assert_eq!(snapshot(&other).len(), 0);
}

#[test]
fn a_salvage_keeps_others_from_the_spool_while_the_database_is_asked() {
    let root = folder();
    let (folder, sample) = spool(root.path());
    let salvage = Salvage::begin(&folder).expect("a spool");
    assert_eq!(salvage.id(), Identity::read(&folder).expect("reads").expect("a spool").key());
    let error = Lock::take(&folder).map(drop).expect_err("in use");
    assert!(error.to_string().contains("in use"), "{error}");
    let salvaged = salvage.finish(Some(APPLIED)).expect("salvaged");
    assert_eq!(salvaged.kept, sample.promised.len() as u64);
    drop(Lock::take(&folder).expect("free"));
    drop(Lock::take(&salvaged.set_aside).expect("free"));
}

/// What a refused salvage says; it must have changed nothing.
fn refusal(folder: &Path, applied: Option<u64>) -> String {
    let files = |folder: &Path| -> Vec<_> {
        snapshot(folder).into_iter().filter(|(path, _)| !path.ends_with("lock")).collect()
    };
    let before = files(folder);
    let error = salvage(folder, applied).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Spool);
    assert_eq!(files(folder), before);
    error.to_string()
}

#[test]
fn a_spool_of_which_no_row_can_be_read_is_not_given_a_number_that_nobody_knows() {
    let root = folder();
    let (folder, sample) = spool(root.path());
    let homes = sample.homes.iter().collect::<std::collections::BTreeSet<_>>();
    for path in homes {
        let mut bytes = fs::read(path).expect("bytes");
        bytes[HEADER..].fill(0xA5);
        fs::write(path, bytes).expect("writes");
    }
    let text = refusal(&folder, None);
    assert!(text.contains("cannot be salvaged without its database: no row of it"), "{text}");
    assert!(text.contains("--database DATABASE"), "{text}");
    assert_eq!(salvage(&folder, Some(APPLIED)).expect("salvaged").kept, 0);
    assert_eq!(read(&folder, APPLIED).expect("sound").1, []);
}

#[test]
fn a_spool_that_was_closed_and_can_be_opened_has_nothing_to_salvage() {
    let root = folder();
    let (folder, sample) = spool(root.path());
    let identity = Identity::read(&folder).expect("reads").expect("a spool");
    let closed = Identity { open: false, ..identity };
    closed.write(&folder).expect("writes");
    for applied in [None, Some(APPLIED), Some(sample.torn.0)] {
        let text = refusal(&folder, applied);
        assert!(text.contains("was closed with all its rows written"), "{text}");
    }
    // Of what it does not know it is no judge.
    Identity { epoch: 5, ..closed }.write(&folder).expect("writes");
    assert_eq!(
        salvage(&folder, Some(APPLIED)).expect("salvaged").kept,
        sample.promised.len() as u64
    );
}
