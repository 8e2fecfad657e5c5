//! What a user of `forebay doctor` can rely on, tested by running the command on databases in every state it tells of.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

#[path = "../load/support.rs"]
#[expect(dead_code, reason = "a load is also fed, and run by scripts")]
mod support;

mod contents;
mod files;
mod fix;
mod locks;
mod log;
mod place;
mod says;
mod unchanged;

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;
use support::Folder;

/// What the command has found in a database.
#[derive(Debug)]
struct Found(Value);

/// Runs it, and looks that its exit code is that of the worst finding.
#[track_caller]
fn doctor(folder: &Folder, arguments: &str) -> Found {
    let ran = folder.run(&format!("forebay doctor --json {arguments}"));
    let found = Found(ran.summary());
    let code = match found.text("worst") {
        "ok" | "note" => 0,
        "warning" => 1,
        _ => 3,
    };
    assert_eq!((ran.code, ran.errors.as_str()), (Some(code), ""), "{found:?}");
    found
}

impl Found {
    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_else(|| panic!("no {field} in {self:?}"))
    }

    fn findings(&self) -> &[Value] {
        self.0["findings"].as_array().unwrap()
    }

    /// The findings of a check, each as `level: what was seen`.
    fn all(&self, check: &str) -> Vec<String> {
        let of_check = self.findings().iter().filter(|finding| finding["check"] == check);
        let told = |finding: &Value| {
            format!("{}: {}", finding["level"].as_str().unwrap(), finding["seen"].as_str().unwrap())
        };
        of_check.map(told).collect()
    }

    /// The only one.
    #[track_caller]
    fn of(&self, check: &str) -> String {
        let mut all = self.all(check);
        assert_eq!(all.len(), 1, "{check} in {self:#?}");
        all.remove(0)
    }

    /// What to do about the first finding of a check.
    #[track_caller]
    fn fix(&self, check: &str) -> &str {
        let finding = self.findings().iter().find(|finding| finding["check"] == check);
        finding.and_then(|finding| finding["fix"].as_str()).unwrap_or_else(|| panic!("{self:#?}"))
    }

    fn changes(&self) -> Vec<&str> {
        self.0["changes"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
    }
}

/// A folder with a database in a rollback journal's mode.
fn without_wal(schema: &str) -> Folder {
    Folder::with(&format!("PRAGMA journal_mode=DELETE; {schema}"))
}

/// A copy of a folder's database and what is beside it, as a process leaves them that is killed. The folder's own connections
/// have no locks afterwards.
fn killed(folder: &Folder) -> Folder {
    let left = Folder::with("");
    for entry in fs::read_dir(folder.path("")).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), left.path(entry.file_name().to_str().unwrap())).unwrap();
    }
    left
}

/// Begins a transaction that has written to the database file, and does not end.
fn half_written(connection: &Connection) {
    let change = "PRAGMA cache_size=1; BEGIN; UPDATE t SET v = printf('%.*c', 5000, 'x')";
    connection.execute_batch(change).unwrap();
}

/// Rows for it.
const ROWS: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100) INSERT INTO t SELECT i, 'v' FROM c;";

/// Has only the owner read the file, as the folder does already.
fn make_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
