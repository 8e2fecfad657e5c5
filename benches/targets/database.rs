//! The databases of the measurements that are not those of `forebay bench`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use forebay_benches::TopicStatus;
use forebay_cli::failure::{Failure, Result};
use rusqlite::Connection;

/// Topics of a wide table.
pub(crate) const WIDE: u64 = 1_000_000;
/// Numbers of rows begin here, so that each takes as many bytes as what is there before.
const FIRST: i64 = 1_000_000;
/// A time of the same size, in milliseconds.
const TIME: i64 = 1_700_000_000_000;

/// Makes a database with so many topics and an empty table of audit rows.
pub(crate) fn make(folder: &Path, topics: u64) -> Result<PathBuf> {
    let path = folder.join("targets.db");
    fill(&path, topics).map_err(|error| {
        Failure::new(format!("cannot make the database {}: {error}", path.display()))
    })?;
    Ok(path)
}

fn fill(path: &Path, topics: u64) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "CREATE TABLE topic_status(topic_id INTEGER PRIMARY KEY, status TEXT NOT NULL, progress INTEGER NOT NULL, \
           updated_at INTEGER NOT NULL);
         CREATE TABLE audit(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, what TEXT NOT NULL, at INTEGER NOT NULL);",
    )?;
    connection.execute(
        "WITH RECURSIVE topic(id) AS (SELECT 0 WHERE ?1 > 0 UNION ALL SELECT id + 1 FROM topic WHERE id + 1 < ?1)
         INSERT INTO topic_status SELECT id, 'running', ?2, ?3 FROM topic",
        (topics as i64, FIRST, TIME),
    )?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.close().map_err(|(_, error)| error)
}

/// An update of one of so many topics, at random. It is as long as the row that it replaces: so it changes one page.
pub(crate) fn update(random: &mut fastrand::Rng, topics: u64, number: u64) -> TopicStatus<'static> {
    let topic_id = random.u64(0..topics) as i64;
    let number = (number % 1_000_000) as i64;
    TopicStatus { topic_id, status: "running", progress: FIRST + number, updated_at: TIME + number }
}

/// Blocks until this moment.
pub(crate) fn wait_until(moment: Instant) {
    while let Some(left) =
        moment.checked_duration_since(Instant::now()).filter(|left| *left > Duration::ZERO)
    {
        std::thread::park_timeout(left);
    }
}
