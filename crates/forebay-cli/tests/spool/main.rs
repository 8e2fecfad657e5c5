//! What a user of `forebay spool` can rely on, tested by running the command on spools in every state it tells of.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

#[path = "../load/support.rs"]
#[expect(dead_code, reason = "a load is also fed")]
mod support;

mod help;
mod inspect;
mod refusals;
mod replay;
mod salvage;
mod sample;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use support::{Folder, Ran};

/// What a command said, as a reader at a terminal would see it, without what depends on where and when it was run.
fn said(folder: &Folder, line: &str) -> String {
    let Ran { code, out, errors } = folder.run(line);
    let mut text = format!("$ {line}\nexit {}\n", code.expect("an end of its own"));
    for (name, said) in [("stdout", out), ("stderr", errors)] {
        assert!(!said.contains(sample::SECRET), "values are nobody's business: {said}");
        if !said.is_empty() {
            let _ = write!(text, "-- {name}\n{said}");
        }
    }
    let here = fs::canonicalize(folder.path("")).unwrap();
    text.replace(&*here.to_string_lossy(), "[here]")
}

/// All files below the folder, with what is in them.
fn files(folder: &Folder) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.path("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.to_string_lossy().into_owned(), fs::read(path).unwrap());
            }
        }
    }
    found
}
