//! How it is told: the table, the JSON, the help.

use insta::assert_snapshot;

use crate::support::Folder;
use crate::{ROWS, make_private};

/// Without what depends on the machine and the user.
fn settled(text: &str) -> String {
    let mut settled = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let is_fix = |next: &&str| next.trim_start().starts_with("fix: ");
        let changing = ["filesystem", "open"]
            .into_iter()
            .find(|check| line.get(11..).is_some_and(|rest| rest.starts_with(check)));
        let line = if let Some(check) = changing {
            lines.next_if(is_fix);
            format!("  [level]  {check:<14}[seen]")
        } else if let Some((before, _)) = line.split_once(", user ") {
            format!("{before}, user [id])")
        } else if let Some((_, worse)) = line.split_once(" notes, ") {
            format!("[number] notes, {worse}")
        } else {
            line.replace(rusqlite::version(), "[version]")
        };
        settled.push_str(&line);
        settled.push('\n');
    }
    settled
}

#[test]
fn findings_are_a_table_and_the_worst_are_named_in_the_last_line() {
    let folder = Folder::with(&format!(
        "PRAGMA journal_mode=DELETE; PRAGMA foreign_keys=OFF; {ROWS} CREATE TABLE log(at, t REFERENCES t);
         INSERT INTO log VALUES (1, 1000);"
    ));
    make_private(&folder.path("app.db"));
    let ran = folder.run("forebay doctor app.db").exits(1);
    assert_eq!(ran.errors, "");
    assert_snapshot!(settled(&ran.out));
}

#[test]
fn json_has_the_same_findings() {
    let folder = Folder::with(ROWS);
    make_private(&folder.path("app.db"));
    let ran = folder.run("forebay doctor --json app.db").exits(0).summary();
    let fields: Vec<_> = ran.as_object().unwrap().keys().map(String::as_str).collect();
    let all =
        ["changes", "command_sqlite_version", "database", "findings", "sqlite_version", "worst"];
    assert_eq!(fields, all);
    assert_eq!((ran["database"].as_str(), ran["worst"].as_str()), (Some("app.db"), Some("note")));
    assert_eq!(ran["sqlite_version"], rusqlite::version());
    let text = folder.run("forebay doctor app.db").out;
    for finding in ran["findings"].as_array().unwrap() {
        let level = finding["level"].as_str().unwrap();
        let check = finding["check"].as_str().unwrap();
        let line = format!("  {level:<9}{check:<14}{}", finding["seen"].as_str().unwrap());
        // The filesystem's room changes while it is looked at.
        assert!(text.contains(&line) || check == "filesystem", "{line:?} is not in {text}");
        assert_eq!(finding["fix"].is_null(), level == "ok", "{finding}");
    }
}

#[test]
fn help_names_every_check_and_exit_code() {
    let folder = Folder::with("");
    let (short, long) = (folder.run("forebay doctor -h"), folder.run("forebay doctor --help"));
    assert_snapshot!(format!("{}\n---\n\n{}", short.exits(0).out, long.exits(0).out));
    let page = folder.run("forebay man doctor").exits(0).out.replace("\\-", "-");
    for word in ["--fix", "--full", "--json", "busy_timeout", "Exit codes:"] {
        assert!(page.contains(word), "{word} is not in {page}");
    }
    let script = folder.run("forebay completions bash").exits(0).out;
    assert!(script.contains("doctor"), "{script}");
}

#[test]
fn wrong_arguments_end_with_2() {
    let folder = Folder::with("");
    assert!(folder.run("forebay doctor").exits(2).errors.contains("<DATABASE>"));
    assert!(folder.run("forebay doctor app.db --repair").exits(2).errors.contains("--repair"));
}
