//! A salvage that is killed, refused, or made twice.

use std::fs;
use std::path::{Path, PathBuf};

use super::sample::{APPLIED, Sample, folder, read, snapshot};
use crate::spool::lock::Lock;
use crate::spool::salvage::salvage;

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
    let unfinished = root.path().join("spool.new");
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
