//! Does the database hold what was acknowledged?

use std::iter::Peekable;
use std::path::Path;

use forebay::rusqlite::types::ValueRef;
use forebay::rusqlite::{self, Connection, OpenFlags};
use forebay_trial::{Row, Topics};

use crate::error::{Error, Result};
use crate::tune;
use crate::workload::{Filling, TABLE, UNTOUCHED};

/// Looks whether the table holds what it was filled with and what the workers had acknowledged, so many rows each: every
/// row, every column, and no other row. Returns why the trial is void, if it is.
///
/// # Errors
///
/// When the database cannot be read.
pub(crate) fn verify(
    database: &Path,
    topics: &Topics,
    filling: &Filling,
    acknowledged: &[u64],
) -> Result<Option<String>> {
    let failed = |error: rusqlite::Error| Error::of_file("verify", database, &error);
    let (connection, damage) = open(database)?;
    if damage.is_some() {
        return Ok(damage);
    }
    let columns = Topics::COLUMNS.join(",");
    let mut statement = connection
        .prepare(&format!("SELECT {columns} FROM {TABLE} ORDER BY topic_id"))
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut comparison = Comparison::new(topics, filling, acknowledged);
    while let Some(found) = rows.next().map_err(failed)? {
        let key = found.get(0).map_err(failed)?;
        let value = |column| found.get_ref(column).map_err(failed);
        comparison.see(key, [value(1)?, value(2)?, value(3)?]);
    }
    Ok(comparison.verdict())
}

/// The rows that are there beside those that must be.
pub(crate) struct Comparison<'a> {
    expected: Peekable<Box<dyn Iterator<Item = Row<'a>> + 'a>>,
    wrong: Wrong,
}

impl<'a> Comparison<'a> {
    /// With what a table was filled with, and what the workers had acknowledged.
    pub(crate) fn new(topics: &'a Topics, filling: &'a Filling, acknowledged: &'a [u64]) -> Self {
        let expected = expected(topics, filling, acknowledged).peekable();
        Self { expected, wrong: Wrong::default() }
    }

    /// Looks at a row that is there, its key and its other values: they come in the order of their keys.
    pub(crate) fn see(&mut self, key: i64, values: [ValueRef<'_>; 3]) {
        while let Some(missing) = self.expected.next_if(|row| row.topic_id < key) {
            self.wrong.add(is_missing(&missing));
        }
        match self.expected.next_if(|row| row.topic_id == key) {
            Some(row) => self.wrong.extend(difference(values, &row)),
            None => self.wrong.add(format!("topic {key} is there, and was never acknowledged")),
        }
    }

    /// What is wrong, if anything is, when all rows that are there were looked at.
    pub(crate) fn verdict(mut self) -> Option<String> {
        self.wrong.extend(self.expected.map(|row| is_missing(&row)));
        self.wrong.verdict()
    }
}

/// The rows that must be there, in the order of their keys.
fn expected<'a>(
    topics: &'a Topics,
    filling: &'a Filling,
    acknowledged: &'a [u64],
) -> Box<dyn Iterator<Item = Row<'a>> + 'a> {
    if filling.topics == 0 {
        return Box::new(added(topics, acknowledged));
    }
    Box::new(newest(topics, filling, acknowledged).into_iter().flatten())
}

/// Those of workers that only add rows: each has a range of keys, above that of the worker before.
fn added<'a>(topics: &'a Topics, acknowledged: &'a [u64]) -> impl Iterator<Item = Row<'a>> {
    (0..).zip(acknowledged).flat_map(|(worker, &acknowledged)| {
        let mut cursor = topics.cursor(worker);
        (0..acknowledged).map(move |number| cursor.row(number))
    })
}

/// Those of workers that update topics, by key: the last of each, and untouched ones.
fn newest<'a>(
    topics: &'a Topics,
    filling: &'a Filling,
    acknowledged: &[u64],
) -> Vec<Option<Row<'a>>> {
    let untouched =
        |topic_id| Row { topic_id, status: &filling.status, progress: UNTOUCHED, updated_at: 0 };
    let mut rows: Vec<_> = (0..filling.topics as i64).map(|key| Some(untouched(key))).collect();
    // A worker beyond the topics has one of its own.
    rows.resize(rows.len().max(acknowledged.len()), None);
    for (worker, &acknowledged) in (0..).zip(acknowledged) {
        let mut cursor = topics.cursor(worker);
        for number in 0..acknowledged {
            let row = cursor.row(number);
            // No worker has more topics than there are.
            if acknowledged - number <= filling.topics {
                rows[row.topic_id as usize] = Some(row);
            }
        }
    }
    rows
}

/// What is wrong with a row, whose values beside its key these are, if anything is.
fn difference(values: [ValueRef<'_>; 3], row: &Row<'_>) -> Option<String> {
    let Row { topic_id, status, progress, updated_at } = *row;
    let [found_status, update, found_updated_at] = values;
    let last = || match progress {
        UNTOUCHED => "none was acknowledged".to_owned(),
        number => format!("{number} was acknowledged last"),
    };
    if update != ValueRef::Integer(progress) {
        let update = match update {
            ValueRef::Integer(number) => number.to_string(),
            other => format!("of type {}", other.data_type()),
        };
        return Some(format!("topic {topic_id} holds update {update}, and {}", last()));
    }
    let others = [
        ("status", found_status, ValueRef::Text(status.as_bytes())),
        ("updated_at", found_updated_at, ValueRef::Integer(updated_at)),
    ];
    let (column, ..) = others.into_iter().find(|(_, found, expected)| found != expected)?;
    Some(format!("topic {topic_id} has another {column} than its update {progress}"))
}

fn is_missing(row: &Row<'_>) -> String {
    let why = match row.progress {
        UNTOUCHED => "was before the trial".to_owned(),
        number => format!("update {number} was acknowledged"),
    };
    format!("topic {} is not there, and {why}", row.topic_id)
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

impl Extend<String> for Wrong {
    fn extend<I: IntoIterator<Item = String>>(&mut self, all: I) {
        all.into_iter().for_each(|what| self.add(what));
    }
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
    use crate::workload::{RowKind, Workload};

    /// What is said of a database after three workers had this acknowledged, each row of which was written, and a change.
    fn verdict(workload: &Workload, acknowledged: [u64; 3], change: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("trial.db");
        workload.make(RowKind::Fat, &database, "wal").unwrap();
        let topics = Topics::new(3, workload.keys(), RowKind::Fat.status_bytes());
        let connection = Connection::open(&database).unwrap();
        connection.execute_batch("BEGIN").unwrap();
        for (worker, acknowledged) in (0..).zip(acknowledged) {
            let mut cursor = topics.cursor(worker);
            for number in 0..acknowledged {
                let row = cursor.row(number);
                let values = (row.topic_id, row.status, row.progress, row.updated_at);
                let sql = format!("INSERT OR REPLACE INTO {TABLE} VALUES (?, ?, ?, ?)");
                connection.execute(&sql, values).unwrap();
            }
        }
        connection.execute_batch(&format!("COMMIT; {change}")).unwrap();
        drop(connection);
        verify(&database, &topics, &workload.filling(RowKind::Fat), &acknowledged).unwrap()
    }

    fn hot(change: &str) -> String {
        verdict(&Workload::Hot, [250, 0, 2], change).unwrap()
    }

    #[test]
    fn what_was_acknowledged_and_is_there_is_valid() {
        for acknowledged in [[250, 0, 2], [0, 0, 0], [1, 134, 1_000]] {
            assert_eq!(verdict(&Workload::Hot, acknowledged, ""), None);
            assert_eq!(verdict(&Workload::Append, acknowledged, ""), None);
        }
    }

    #[test]
    fn a_lost_row_a_stale_row_and_a_row_too_many_are_void() {
        let lost = hot("DELETE FROM topic_status WHERE progress = 249");
        assert!(lost.starts_with("1 topic not as acknowledged"), "{lost}");
        assert!(lost.ends_with("is not there, and update 249 was acknowledged"), "{lost}");
        let stale = hot("UPDATE topic_status SET progress = 248 WHERE progress = 249");
        assert!(stale.ends_with("holds update 248, and 249 was acknowledged last"), "{stale}");
        let more = hot("INSERT INTO topic_status VALUES (777, '', 5, 0)");
        assert!(more.ends_with("topic 777 is there, and was never acknowledged"), "{more}");
    }

    #[test]
    fn a_row_that_was_there_before_and_is_gone_or_changed_is_void() {
        let gone = hot("DELETE FROM topic_status WHERE topic_id = 1");
        assert!(gone.ends_with("topic 1 is not there, and was before the trial"), "{gone}");
        let changed = hot("UPDATE topic_status SET progress = 0 WHERE topic_id = 1");
        assert!(
            changed.ends_with("topic 1 holds update 0, and none was acknowledged"),
            "{changed}"
        );
    }

    #[test]
    fn a_column_that_is_not_as_it_was_acknowledged_is_void() {
        for (change, column) in [
            ("status = 'done'", "status"),
            ("status = CAST(status AS BLOB)", "status"),
            ("updated_at = 0", "updated_at"),
        ] {
            let change = format!("UPDATE topic_status SET {change} WHERE progress = 1");
            let other = hot(&change);
            assert!(other.starts_with("1 topic not as acknowledged"), "{other}");
            assert!(other.ends_with(&format!("has another {column} than its update 1")), "{other}");
        }
    }

    #[test]
    fn rows_that_were_added_are_looked_for_one_by_one() {
        let append = |change| verdict(&Workload::Append, [5, 0, 7], change).unwrap();
        let lost = append("DELETE FROM topic_status WHERE topic_id IN (2, 8589934598)");
        assert!(lost.starts_with("2 topics not as acknowledged: topic 2 is not there"), "{lost}");
        let invented = append("INSERT INTO topic_status VALUES (5, '', 0, 0)");
        assert!(invented.ends_with("topic 5 is there, and was never acknowledged"), "{invented}");
    }
}
