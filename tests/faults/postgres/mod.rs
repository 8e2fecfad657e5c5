//! A PostgreSQL server that is cut off, goes away and comes back.

mod given_up;
mod in_doubt;
mod restarts;
mod stalls;

use std::collections::HashMap;
use std::time::Duration;

use forebay::{Config, Retry};
use postgres::Client;
use support::Seen;

/// A table that would take the same row twice.
const TABLE: &str = "CREATE TABLE landed(id BIGINT NOT NULL)";

/// Tries again soon.
fn impatient(config: Config) -> Config {
    let (delay, pause) = (Duration::from_millis(1), Duration::from_millis(20));
    Config { retry: Retry { delay, pause, ..Retry::default() }, ..config }
}

/// Looks into the table, of which so many rows were accepted, and these promised.
fn in_table(client: &mut Client, rows: u64, promised: impl IntoIterator<Item = i64>) -> Seen {
    let landed = client.query("SELECT id, count(*) FROM landed GROUP BY id", &[]).unwrap();
    let landed: HashMap<i64, i64> = landed.iter().map(|row| (row.get(0), row.get(1))).collect();
    Seen {
        rows,
        lost: promised.into_iter().filter(|id| !landed.contains_key(id)).count() as u64,
        twice: landed.values().filter(|&&count| count > 1).count() as u64,
    }
}
