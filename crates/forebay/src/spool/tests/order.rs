//! What belongs together, and what does not: segments among each other, a spool and its database.

use std::fs;

use super::sample::{APPLIED, FIRST, Sample, folder, read};
use crate::error::ErrorKind;
use crate::spool::identity::Identity;
use crate::spool::scan::{check, scan};

#[test]
fn a_database_that_the_spool_does_not_belong_to_is_refused_with_the_rows_concerned() {
    let folder = folder();
    let sample = Sample::write(folder.path());
    let end = sample.promised.last().expect("rows").0 + 1;
    let identity = Identity::read(folder.path()).expect("reads").expect("a spool");
    let scan = scan(folder.path(), &identity).expect("whole");
    for (applied, said) in [
        (None, "knows nothing of it"),
        (Some(FIRST - 5), "rows 35 to 39 are in neither"),
        (Some(end + 1), "the spool ends before row"),
    ] {
        let error =
            check(folder.path(), scan.rows.as_ref(), applied, "app.db").expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Spool);
        assert!(error.to_string().contains(said), "{error}");
    }
    for applied in [FIRST, APPLIED, end] {
        assert_eq!(
            check(folder.path(), scan.rows.as_ref(), Some(applied), "app.db").expect("goes on"),
            applied
        );
    }
}

#[test]
fn a_replay_never_begins_inside_a_group() {
    let folder = folder();
    Sample::write(folder.path());
    let error = read(folder.path(), FIRST + 2).expect_err("the second row of a group");
    assert!(error.to_string().contains("is inside a group"), "{error}");
}

#[test]
fn what_is_left_of_a_closed_spool_is_left_over_however_damaged_but_for_what_is_not_its_own() {
    let folder = folder();
    let sample = Sample::write(folder.path());
    let identity = Identity::read(folder.path()).expect("reads").expect("a spool");
    let closed = Identity { open: false, ..identity };
    closed.write(folder.path()).expect("writes");
    let is_left_over = |what: &str| {
        let left = scan(folder.path(), &closed).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(left.segments.is_empty() && left.rows.is_none(), "{what}");
        assert_eq!(left.leftovers.len() + left.others.len(), sample.files.len() - 1, "{what}");
    };
    for (path, good) in sample.files.iter().filter(|(path, _)| !path.ends_with("spool.json")) {
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(path, &bytes).expect("writes");
            is_left_over(&format!("byte {at} of {}", path.display()));
            fs::write(path, &good[..at]).expect("writes");
            is_left_over(&format!("{} cut to {at}", path.display()));
        }
        fs::write(path, good).expect("writes");
    }
    let last = &sample.homes[sample.homes.len() - 1];
    fs::copy(last, &sample.homes[0]).expect("copies");
    is_left_over("a segment under another's name");
    for (identity, said) in [
        (Identity { spool: 1, ..closed.clone() }, "which belongs to another spool"),
        (Identity { epoch: 5, ..closed.clone() }, "an epoch that spool.json does not know of"),
    ] {
        let error = scan(folder.path(), &identity).expect_err(said);
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn what_was_closed_needs_no_segments_and_has_none_to_replay() {
    let folder = folder();
    let sample = Sample::write(folder.path());
    let identity = Identity::read(folder.path()).expect("reads").expect("a spool");
    let closed = Identity { open: false, ..identity };
    closed.write(folder.path()).expect("writes");
    let left = scan(folder.path(), &closed).expect("reads");
    assert!(left.segments.is_empty() && left.rows.is_none());
    let all: Vec<_> = left.leftovers.into_iter().chain(left.others).collect();
    assert_eq!(all.len(), sample.files.len() - 1, "all but spool.json is left over");
    for path in all {
        fs::remove_file(path).expect("removes");
    }
    let empty = scan(folder.path(), &closed).expect("reads");
    assert_eq!(check(folder.path(), empty.rows.as_ref(), Some(99), "app.db").expect("goes on"), 99);
}
