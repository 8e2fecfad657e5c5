//! Ctrl-C, SIGTERM and a terminal that goes: the copy is removed, and nothing is printed that could be taken for
//! settings.

use crate::support::Folder;
use crate::{SCHEMA, files, folders};

fn is_cleaned_up(name: &str, code: i32) {
    let folder = Folder::with(SCHEMA);
    let before = files(&folder);
    // Trials of a minute each, so that it ends by the signal.
    let mut tune = folder.start("forebay tune --db app.db --table topics --seconds 60 --workers 2");
    tune.wait_for("trying 12 batch sizes");
    assert!(folders(&folder)[0].starts_with(".forebay-tune-"));
    tune.signal(name);
    tune.signal(name);
    let ran = tune.finish().exits(code);
    assert_eq!(ran.out, "");
    assert!(ran.errors.contains("stopped: the copy is removed"), "{}", ran.errors);
    assert_eq!((files(&folder), folders(&folder)), (before, vec![]));
}

#[test]
fn ctrl_c_removes_the_copy() {
    is_cleaned_up("INT", 130);
}

#[test]
fn sigterm_removes_the_copy() {
    is_cleaned_up("TERM", 143);
}

#[test]
fn a_terminal_that_goes_removes_the_copy() {
    is_cleaned_up("HUP", 129);
}
