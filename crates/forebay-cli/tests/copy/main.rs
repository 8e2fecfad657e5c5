//! What a user of `forebay copy` can rely on, tested by running the command on SQLite files and a PostgreSQL server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

#[path = "../load/support.rs"]
#[expect(dead_code, reason = "a load is also fed")]
mod support;

mod going_on;
mod passwords;
mod rejects;
mod rights;
mod snapshots;
mod whole;

use ::support::{Database, Postgres};
use forebay::Value;
use support::{Folder, Ran};

/// A database to be copied, and one to copy it to.
struct Move {
    folder: Folder,
    to: Postgres,
}

impl Move {
    /// Databases that these have been run on.
    fn with(sqlite: &str, postgres: &str) -> Self {
        Self { folder: Folder::with(sqlite), to: Postgres::new(postgres) }
    }

    /// The command line that copies, with these options.
    fn line(&self, options: &str) -> String {
        format!("forebay copy app.db {} {options}", self.to.url())
    }

    /// Copies.
    fn copy(&self, options: &str) -> Ran {
        self.folder.run(&self.line(options))
    }

    /// The same with the summary as JSON, which must say that both are equal.
    #[track_caller]
    fn equal(&self, options: &str, code: i32) -> serde_json::Value {
        let summary = self.copy(&format!("{options} --json")).exits(code).summary();
        for table in summary["tables"].as_array().unwrap() {
            assert_eq!(table["is_whole"], true, "{summary}");
            assert_eq!(table["compared"]["is_equal"], true, "{summary}");
        }
        summary
    }

    /// What a query gives of the copy.
    fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        self.to.rows(sql)
    }

    /// The same for a count.
    fn count(&self, table: &str) -> i64 {
        match self.rows(&format!("SELECT count(*) FROM {table}"))[..] {
            [ref row] => match row[..] {
                [Value::Integer(count)] => count,
                _ => panic!("{row:?} is no count"),
            },
            ref rows => panic!("{rows:?} is no count"),
        }
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// As many numbers, from 1 on, for SQLite's FROM.
fn series(count: i64) -> String {
    format!(
        "(WITH RECURSIVE numbers(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM numbers WHERE value < {count}) \
         SELECT value FROM numbers)"
    )
}
