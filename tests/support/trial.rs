//! A fault, tried for real, round after round: what was lost, what was there twice, what hung, and the line of the table
//! in docs/durability.md that says so.

use std::collections::HashMap;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use std::{env, fs, thread};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// Rounds of one fault. With `FAULTS=full` in the environment there are as many as the table is made of; with
/// `FAULTS_TABLE=FOLDER` its line is put into that folder.
pub struct Trial {
    number: u8,
    fault: &'static str,
    how: String,
    rounds: usize,
    patience: Duration,
}

/// What one round has shown.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Rows that were accepted.
    pub rows: u64,
    /// Rows that were promised, by an `Ok` receipt or a clean `close`, and are not there.
    pub lost: u64,
    /// Rows that are there more than once.
    pub twice: u64,
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The row of the fault table.
    pub number: u8,
    /// What went wrong.
    pub fault: String,
    /// How it was made to.
    pub how: String,
    /// How often.
    pub rounds: usize,
    /// Rows accepted in all rounds.
    pub rows: u64,
    /// Rows promised and not there.
    pub lost: u64,
    /// Rows there more than once.
    pub twice: u64,
    /// Rounds that did not end.
    pub hung: u64,
    /// Rounds in which anything else was not as promised.
    pub failed: u64,
}

impl Trial {
    /// Fault `number` of the table, and how it is produced.
    pub fn of(number: u8, fault: &'static str, how: impl Into<String>) -> Self {
        Self { number, fault, how: how.into(), rounds: 1, patience: Duration::from_secs(60) }
    }

    /// So many rounds every time, and so many for the table.
    #[must_use]
    pub fn rounds(mut self, short: usize, full: usize) -> Self {
        self.rounds = if is_full() { full } else { short };
        self
    }

    /// How long a round may take before it counts as hung; a minute unless told.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs the rounds, counted from 0, until all are done or one is not as promised.
    ///
    /// # Panics
    ///
    /// When anything was lost, was there twice, hung or failed, after the line has been written.
    pub fn run(self, round: impl Fn(usize) -> Seen + Send + Sync + 'static) {
        let rounds = self.rounds;
        self.run_while(move |index| (index < rounds).then(|| round(index)));
    }

    /// The same until a round sees that there is nothing left to try, which is not counted, and for which there is one
    /// round more.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run), and when that round, too, found something to try.
    pub fn run_while(self, round: impl Fn(usize) -> Option<Seen> + Send + Sync + 'static) {
        let round = Arc::new(round);
        let mut line = self.line();
        for index in 0..=self.rounds {
            line.rounds += 1;
            let (told, seen) = channel();
            let round = Arc::clone(&round);
            // A round that hangs cannot be ended: its thread is left behind, and the process ends with the test.
            let thread = thread::spawn(move || told.send(round(index)));
            match seen.recv_timeout(self.patience) {
                Ok(Some(seen)) => {
                    line += seen;
                    line.failed += u64::from(index == self.rounds);
                }
                Ok(None) => {
                    line.rounds -= 1;
                    break;
                }
                Err(RecvTimeoutError::Timeout) => line.hung += 1,
                Err(RecvTimeoutError::Disconnected) => line.failed += 1,
            }
            if line.hung == 0 {
                let _ = thread.join();
            }
            if !line.is_as_promised() {
                break;
            }
        }
        line.keep();
        assert!(line.is_as_promised(), "in round {} of {}: {line:?}", line.rounds, self.rounds);
    }

    fn line(&self) -> Line {
        Line {
            number: self.number,
            fault: self.fault.to_owned(),
            how: self.how.clone(),
            rounds: 0,
            rows: 0,
            lost: 0,
            twice: 0,
            hung: 0,
            failed: 0,
        }
    }
}

/// Whether the rounds are those that the table is made of.
pub fn is_full() -> bool {
    env::var_os("FAULTS").is_some_and(|faults| faults == "full")
}

impl Line {
    /// Nothing lost, nothing twice, nothing that hung or failed.
    pub fn is_as_promised(&self) -> bool {
        (self.lost, self.twice, self.hung, self.failed) == (0, 0, 0, 0)
    }

    fn keep(&self) {
        let Some(folder) = env::var_os("FAULTS_TABLE").map(PathBuf::from) else { return };
        let name: String =
            self.fault.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let line = serde_json::to_vec(self).expect("a line has no keys but strings");
        fs::create_dir_all(&folder).expect("the folder of FAULTS_TABLE");
        fs::write(folder.join(format!("{:02}-{name}.json", self.number)), line)
            .expect("a file in the folder of FAULTS_TABLE");
    }
}

impl AddAssign<Seen> for Line {
    fn add_assign(&mut self, seen: Seen) {
        self.rows += seen.rows;
        self.lost += seen.lost;
        self.twice += seen.twice;
    }
}

impl AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.lost += other.lost;
        self.twice += other.twice;
    }
}

impl Seen {
    /// A table that would take the same row twice, for [`Seen::in_table`].
    pub const SCHEMA: &'static str = "CREATE TABLE landed(id INTEGER NOT NULL) STRICT";

    /// Looks into the table `landed` of a database that nobody writes to any more. `promised` are the ids that were
    /// acknowledged; `rows`, how many were accepted, is the caller's to fill in.
    ///
    /// # Panics
    ///
    /// When the database cannot be read, or `PRAGMA integrity_check` finds something.
    pub fn in_table(path: &Path, promised: impl IntoIterator<Item = i64>) -> Self {
        let database = Connection::open(path).expect("the database opens");
        let integrity: String = database
            .pragma_query_value(None, "integrity_check", |row| row.get(0))
            .expect("integrity_check runs");
        assert_eq!(integrity, "ok", "integrity_check of {}", path.display());
        let mut landed = database
            .prepare("SELECT id, count(*) FROM landed GROUP BY id")
            .expect("the table is there");
        let landed: HashMap<i64, i64> = landed
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect)
            .expect("the table can be read");
        Self {
            rows: 0,
            lost: promised.into_iter().filter(|id| !landed.contains_key(id)).count() as u64,
            twice: landed.values().filter(|&&count| count > 1).count() as u64,
        }
    }
}

/// Whether every accepted row has been decided and counted, as it must be once the buffer has ended; by the sum, and by
/// what the buffer itself has found.
///
/// # Panics
///
/// When these are not a buffer's counters: `forebay::Stats`, or the JSON of it.
pub fn adds_up(stats: &impl Serialize) -> bool {
    let stats = serde_json::to_value(stats).expect("counters have no keys but strings");
    let count = |name: &str| stats[name].as_u64().expect("a counter");
    let decided =
        ["committed", "superseded", "rejected", "unknown", "unwritten", "spooled"].map(count);
    count("accepted") == decided.iter().sum::<u64>()
        && [count("pending"), count("unaccounted")] == [0; 2]
}
