//! House rules, as tests.

mod dependencies;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Where what users run is.
const SOURCES: [&str; 5] = [
    "crates/forebay/src",
    "crates/forebay-postgres/src",
    "crates/forebay-cli/src",
    "crates/forebay-bench/src",
    "crates/forebay-bench/trial/src",
];

/// All files below the workspace with one of these endings, but for what is built.
fn files(endings: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !["target", ".git"].contains(&name.as_str()) {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let text = fs::read_to_string(&path).expect("text");
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "nothing ends in {endings:?}");
    found
}

#[test]
fn every_file_says_first_what_it_is_for() {
    for (path, text) in files(&[".rs"]) {
        let first = text.lines().find(|line| !line.starts_with("#![")).unwrap_or_default();
        assert!(first.starts_with("//! "), "{} begins with {first:?}", path.display());
    }
}

#[test]
fn no_placeholder_is_left() {
    // What a merge leaves where it could not decide is among them.
    let words = [["TO", "DO"], ["FIX", "ME"], ["X", "XX"], ["<<<<", "<<< "], [">>>>", ">>> "]];
    let words = words.map(|halves| halves.concat());
    for (path, text) in files(&[".rs", ".md", ".toml", "run"]) {
        for word in &words {
            assert!(!text.contains(word.as_str()), "{} holds a {word}", path.display());
        }
    }
}

#[test]
fn one_folder_names_the_mutex_the_condvar_and_the_thread() {
    let source = root().join("crates/forebay/src");
    for (path, text) in files(&[".rs"]) {
        if path.starts_with(&source) && !path.starts_with(source.join("sync")) {
            for name in [
                "parking_lot",
                "std::sync::Mutex",
                "std::sync::Condvar",
                "std::thread::spawn",
                "loom",
                "shuttle",
            ] {
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let named =
                    code.filter(|line| line.contains(name)).find(|line| !line.contains("cfg"));
                assert!(named.is_none(), "{} names {name}: {named:?}", path.display());
            }
        }
    }
}

#[test]
fn no_code_but_the_map_of_a_file_is_unsafe() {
    let words = [["un", "safe"], ["un", "safe_code"]].map(|halves| halves.concat());
    let map = root().join("crates/forebay/src/spool/map.rs");
    for (path, text) in files(&[".rs"]) {
        if path == map {
            continue;
        }
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let mut named = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            let is_so = named.any(|name| words.iter().any(|word| word == name));
            assert!(!is_so, "{}: {line}", path.display());
        }
    }
    for (path, text) in files(&["Cargo.toml"]) {
        // What has a lock file of its own has lints of its own.
        let is_alone = text.contains("[workspace]");
        let is_linted = text.contains("[lints]\nworkspace = true\n");
        assert!(is_alone || is_linted, "{} does not have the workspace's lints", path.display());
    }
    let lint = format!("{} = \"deny\"", words[1]);
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    assert!(workspace.contains(&lint), "the workspace's lints do not have {lint}");
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    for (path, text) in files(&[".rs"]) {
        let source = SOURCES.iter().any(|source| path.starts_with(root().join(source)));
        let lines = text.lines().count();
        assert!(!source || lines <= 600, "{} has {lines} lines", path.display());
    }
}

#[test]
fn the_map_names_every_file() {
    let map = fs::read_to_string(root().join("docs/architecture.md")).expect("the map");
    for source in SOURCES {
        for (path, _) in files(&[".rs"]) {
            let Ok(inside) = path.strip_prefix(root().join(source)) else { continue };
            let inside = inside.display().to_string();
            // The sink's files have a table of their own.
            let name = inside.strip_prefix("sqlite/").unwrap_or(&inside);
            assert!(map.contains(&format!("`{name}`")), "{source}/{inside} is not on the map");
        }
    }
}

#[test]
fn every_test_that_proves_a_promise_is_there() {
    let promises = fs::read_to_string(root().join("docs/durability.md")).expect("the promises");
    let tests = files(&[".rs"]).into_iter().map(|(_, text)| text).collect::<String>();
    let is_test =
        |name: &&str| name.matches('_').count() > 3 && !name.contains(['=', '/', '.', ' ']);
    let named: Vec<&str> = promises.split('`').filter(is_test).collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        let is_there = [format!("fn {name}("), format!("fn {name}<")];
        let is_there = is_there.iter().any(|function| tests.contains(function));
        assert!(is_there, "docs/durability.md names {name}");
    }
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    for (path, text) in files(&[".md"]) {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                let there = path.parent().expect("a folder").join(target);
                assert!(there.exists(), "{} links to {link}", path.display());
            }
        }
    }
}

#[test]
fn every_break_of_the_mutation_check_still_applies_and_names_a_test() {
    let tests = files(&[".rs"]);
    for (path, text) in files(&[".patch"]) {
        let path = path.display();
        let named = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        assert!(named("Breaks: ").is_some(), "{path} says what it breaks");
        let test = named("Caught by: ").and_then(|test| test.rsplit([':', ' ']).next());
        let function = format!("fn {}", test.unwrap_or_default());
        let forms = [format!("{function}()"), format!("{function}<D: Database>()")];
        let is_there = |text: &str| forms.iter().any(|form| text.contains(form));
        assert!(tests.iter().any(|(_, text)| is_there(text)), "{path}: {function}");
        let mut git = Command::new("git");
        git.args(["apply", "--check"]).arg(path.to_string()).current_dir(root());
        let checked = git.output().expect("git");
        let why = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{why}: make the break again, where that code is now");
    }
}
