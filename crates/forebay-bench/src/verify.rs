//! Does the database hold what was acknowledged?

use std::collections::HashMap;
use std::path::Path;

use forebay::rusqlite::{self, Connection, OpenFlags};
use forebay_trial::Topics;

use crate::error::{Error, Result};
use crate::tune;
use crate::workload::TABLE;

/// Looks for what must be in the table when the workers had these numbers of rows acknowledged, beside the rows that
/// were there before and not written (their `progress` is -1). Returns why the trial is void, if it is.
///
/// # Errors
///
/// When the database cannot be read.
pub(crate) fn verify(
    database: &Path,
    topics: &Topics,
    acknowledged: &[u64],
) -> Result<Option<String>> {
    let failed = |error: rusqlite::Error| Error::of_file("verify", database, &error);
    let (connection, damage) = open(database)?;
    if damage.is_some() {
        return Ok(damage);
    }
    let mut expected: HashMap<i64, i64> = HashMap::new();
    for (worker, &acknowledged) in (0..).zip(acknowledged) {
        let newest = topics.cursor(worker).newest(acknowledged);
        expected.extend(newest.map(|(key, number)| (key as i64, number as i64)));
    }
    let mut statement = connection
        .prepare(&format!("SELECT topic_id, progress FROM {TABLE} WHERE progress >= 0"))
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut wrong = Wrong::default();
    while let Some(row) = rows.next().map_err(failed)? {
        let key: i64 = row.get(0).map_err(failed)?;
        let found: i64 = row.get(1).map_err(failed)?;
        match expected.remove(&key) {
            Some(number) if number == found => {}
            Some(number) => wrong.add(format!(
                "topic {key} holds update {found}, and {number} was acknowledged last"
            )),
            None => wrong.add(format!("topic {key} is there, and was never acknowledged")),
        }
    }
    let mut missing: Vec<_> = expected.into_iter().collect();
    missing.sort_unstable();
    for (key, number) in missing {
        wrong.add(format!("topic {key} is not there, and update {number} was acknowledged"));
    }
    Ok(wrong.verdict())
}

/// Looks whether a table of the user's own has this many rows. What is in them is not looked at: any of the values
/// that were written may be the newest.
///
/// # Errors
///
/// When the database cannot be read.
pub(crate) fn verify_count(database: &Path, table: &str, rows: u64) -> Result<Option<String>> {
    let (connection, damage) = open(database)?;
    if damage.is_some() {
        return Ok(damage);
    }
    let found = tune::count(&connection, table)
        .map_err(|error| Error::of_file("verify", database, &error))?;
    Ok((found != rows).then(|| format!("{table} has {found} rows, and it must have {rows}")))
}

/// Opens a database, and says what is damaged in it.
fn open(database: &Path) -> Result<(Connection, Option<String>)> {
    let failed = |error: rusqlite::Error| Error::of_file("verify", database, &error);
    let connection =
        Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    let sound: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    let damage = (sound != "ok").then(|| format!("the database is damaged: {sound}"));
    Ok((connection, damage))
}

/// Rows that are not as they should be.
#[derive(Default)]
struct Wrong {
    count: u64,
    first: Option<String>,
}

impl Wrong {
    fn add(&mut self, what: String) {
        self.count += 1;
        self.first.get_or_insert(what);
    }

    fn verdict(self) -> Option<String> {
        let first = self.first?;
        let topics = if self.count == 1 { "topic" } else { "topics" };
        Some(format!("{} {topics} not as acknowledged: {first}", self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with what 3 workers had acknowledged, and a change to it.
    fn verdict(change: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("trial.db");
        let connection = Connection::open(&database).unwrap();
        let (topics, acknowledged) = (Topics::new(3, Some(10), 0), [25, 0, 2]);
        connection
            .execute_batch(&format!(
                "CREATE TABLE {TABLE}(topic_id INTEGER PRIMARY KEY, progress INTEGER)"
            ))
            .unwrap();
        for worker in 0..3 {
            let mut cursor = topics.cursor(worker);
            for number in 0..acknowledged[worker as usize] {
                let row = cursor.row(number);
                let sql = format!("INSERT OR REPLACE INTO {TABLE} VALUES (?, ?)");
                connection.execute(&sql, [row.topic_id, row.progress]).unwrap();
            }
        }
        connection
            .execute_batch(&format!("INSERT INTO {TABLE} VALUES (1000, -1); {change}"))
            .unwrap();
        drop(connection);
        verify(&database, &topics, &acknowledged).unwrap()
    }

    #[test]
    fn what_was_acknowledged_and_is_there_is_valid() {
        assert_eq!(verdict(""), None);
    }

    #[test]
    fn a_lost_row_a_stale_row_and_a_row_too_many_are_void() {
        let lost = verdict("DELETE FROM topic_status WHERE progress = 24").unwrap();
        assert!(
            lost.starts_with("1 topic not as acknowledged") && lost.contains("is not there"),
            "{lost}"
        );
        let stale =
            verdict("UPDATE topic_status SET progress = progress - 1 WHERE progress > 20").unwrap();
        assert!(stale.contains("was acknowledged last"), "{stale}");
        let more = verdict("INSERT INTO topic_status VALUES (77, 5)").unwrap();
        assert!(more.contains("never acknowledged"), "{more}");
    }
}
