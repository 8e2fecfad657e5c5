//! `salvage`: what is kept, what is told, and when it is refused.

use std::fs;

use insta::assert_snapshot;

use crate::sample::{self, ID};
use crate::{files, said};

const SALVAGE: &str = "forebay spool salvage app.spool --database app.db";

#[test]
fn what_can_be_read_is_kept_and_what_cannot_is_named() {
    let folder = sample::folder(40, &[9, 5, 4], 43);
    let spool = folder.path("app.spool");
    sample::damage(&spool, 2);
    let damaged = fs::read(sample::segment(&spool, 2)).unwrap();
    assert_snapshot!(said(&folder, SALVAGE));
    let aside = folder.path("app.spool.damaged-1");
    assert_eq!(fs::read(sample::segment(&aside, 2)).unwrap(), damaged);
    let seen = folder.run("forebay spool inspect app.spool --json").exits(0).summary();
    // One row of eighteen is lost, three are in the database.
    let books = &seen["books"];
    assert_eq!((seen["rows"].as_u64(), books["left"].as_u64()), (Some(14), Some(14)));
    assert_eq!(seen["id"], ID);
}

#[test]
fn where_nothing_is_lost_it_says_so() {
    let folder = sample::folder(0, &[4], 4);
    let ran = folder.run(SALVAGE).exits(0);
    assert!(ran.out.contains("nothing: every part could be read"), "{ran:?}");
    assert!(ran.out.contains("no row is left to write"), "{ran:?}");
}

#[test]
fn a_lost_identity_is_made_anew_from_the_segments() {
    let folder = sample::folder(0, &[4], 1);
    fs::remove_file(folder.path("app.spool/spool.json")).unwrap();
    let ran = folder.run("forebay spool salvage app.spool").exits(3);
    assert!(ran.errors.contains("does not say any more which database"), "{ran:?}");
    assert_snapshot!(said(&folder, SALVAGE));
    let seen = folder.run("forebay spool inspect app.spool --database app.db --json").exits(0);
    assert_eq!(seen.summary()["books"]["left"], 3);
}

#[test]
fn without_its_database_every_readable_row_is_kept_unless_one_in_between_is_lost() {
    let folder = sample::folder(40, &[9, 5], 43);
    fs::remove_file(folder.path("app.spool/shapes-00000003")).unwrap();
    let line = "forebay spool salvage app.spool --without-database";
    assert_snapshot!(said(&folder, line));
    let seen = folder.run("forebay spool inspect app.spool --json --database app.db").exits(0);
    let books = &seen.summary()["books"];
    assert_eq!((books["decided"].as_u64(), books["left"].as_u64()), (Some(3), Some(11)));

    let other = sample::folder(40, &[9, 5], 43);
    sample::damage(&other.path("app.spool"), 2);
    let before = files(&other);
    let ran = other.run(line).exits(3);
    assert!(ran.errors.contains("cannot be salvaged without its database"), "{ran:?}");
    assert!(ran.errors.contains(" --database DATABASE` does"), "{ran:?}");
    let mut after = files(&other);
    after.retain(|name, _| !name.ends_with("/lock"));
    assert_eq!(after, before);
}

#[test]
fn a_folder_in_which_nothing_says_which_spool_it_is_is_kept() {
    let folder = sample::folder(0, &[4], 1);
    let spool = folder.path("app.spool");
    fs::write(spool.join("spool.json"), "{}").unwrap();
    fs::write(sample::segment(&spool, 1), [7; 4_096]).unwrap();
    let before = files(&folder);
    sample::age(&folder);
    let mut told = said(&folder, "forebay spool inspect app.spool --database app.db");
    told += &said(&folder, SALVAGE);
    assert_eq!(files(&folder), before);
    assert_snapshot!(told);
}

#[test]
fn a_database_that_cannot_be_asked_or_knows_nothing_of_it_stops_it_before_anything_is_changed() {
    let folder = sample::folder(40, &[9], 43);
    folder.connection().execute_batch("DELETE FROM _forebay").unwrap();
    let before = files(&folder);
    let mut told = said(&folder, SALVAGE);
    told += &said(&folder, "forebay spool salvage app.spool --database none.db");
    fs::write(
        folder.path("text.db"),
        "these are words, and many of them, in a file of some length",
    )
    .unwrap();
    told += &said(&folder, "forebay spool salvage app.spool --database text.db");
    fs::remove_file(folder.path("text.db")).unwrap();
    let mut after = files(&folder);
    after.retain(|name, _| !name.ends_with("/lock"));
    assert_eq!(after, before);
    assert_snapshot!(told);
}
