//! The workloads: which table, which rows, who reads meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay::rusqlite::{self, Connection};
use forebay_trial::{Rows, Target, Topics};

use crate::contender::RowSize;
use crate::error::{Error, Result};
use crate::results::WorkloadFacts;
use crate::tune::{TableCopy, Writing};

/// Rows of the table of `wide`.
const WIDE: u64 = 1_000_000;
/// Topics of `hot` and `mixed`.
const HOT: u64 = 400;
/// Who queries in `mixed`.
const READERS: u32 = 8;
/// Length of the text in a fat row.
const FAT: usize = 1_024;
/// Rows that are added in a second at the most, and the bytes that they take.
const APPENDED: (u64, u64) = (1_000_000, 256 << 20);
/// The `progress` of a row that nobody has written yet.
pub(crate) const UNTOUCHED: i64 = -1;
/// The table of all workloads.
pub(crate) const TABLE: &str = "topic_status";

/// What is written, and into what.
#[derive(Debug, Clone)]
pub enum Workload {
    /// 400 topics, updated over and over.
    Hot,
    /// Updates all over a table of a million rows.
    Wide,
    /// Rows are added, with one index beside the key.
    Append,
    /// As hot, while others query.
    Mixed,
    /// Rows of a table of the user's own.
    Table(Arc<TableCopy>),
}

/// The rows that are in a table before a trial: topics from 0 on, with [`UNTOUCHED`] for their progress, and 0 for the
/// time of their update.
pub(crate) struct Filling {
    pub(crate) topics: u64,
    pub(crate) status: String,
}

/// How large a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// Four columns, one of which is a short word.
    Thin,
    /// The word is a text of 1 KiB.
    Fat,
}

impl RowKind {
    /// Length of its text; zero for a word.
    pub(crate) fn status_bytes(self) -> usize {
        match self {
            Self::Thin => 0,
            Self::Fat => FAT,
        }
    }

    /// What it takes in a buffer, more or less.
    pub fn size(self) -> RowSize {
        RowSize(64 + self.status_bytes())
    }
}

impl Workload {
    /// Those that need no table.
    pub const ALL: [Self; 4] = [Self::Hot, Self::Wide, Self::Append, Self::Mixed];

    /// As it is called in arguments and results.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Wide => "wide",
            Self::Append => "append",
            Self::Mixed => "mixed",
            Self::Table(_) => "table",
        }
    }

    pub(crate) fn facts(&self, row: RowKind, workers: u32) -> WorkloadFacts {
        // Each worker has a topic of its own at least.
        let keys = match self {
            Self::Table(_) => self.keys(),
            _ => self.keys().map(|keys| keys.max(workers.into())),
        };
        let topics = keys.unwrap_or_default();
        let description = match self {
            Self::Hot => format!("{topics} topics, updated over and over"),
            Self::Wide => "updates all over a table of 1,000,000 rows".to_owned(),
            Self::Append => "rows are added, with one index beside the key".to_owned(),
            Self::Mixed => {
                format!("{topics} topics, updated over and over, while {READERS} readers query")
            }
            Self::Table(copy) => copy.description(),
        };
        let status_bytes = row.status_bytes();
        let readers = self.readers();
        WorkloadFacts { name: self.name().to_owned(), description, keys, status_bytes, readers }
    }

    pub(crate) fn readers(&self) -> u32 {
        if matches!(self, Self::Mixed) { READERS } else { 0 }
    }

    pub(crate) fn keys(&self) -> Option<u64> {
        match self {
            Self::Hot | Self::Mixed => Some(HOT),
            Self::Wide => Some(WIDE),
            Self::Append => None,
            Self::Table(copy) => (copy.writing == Writing::Upsert).then_some(copy.keys),
        }
    }

    /// What a row takes in a buffer, more or less.
    pub fn row_size(&self, row: RowKind) -> RowSize {
        match self {
            Self::Table(copy) => copy.row_size(),
            _ => row.size(),
        }
    }

    pub(crate) fn rows(&self, row: RowKind) -> Rows {
        if let Self::Table(copy) = self {
            return Rows::Sample { database: copy.sample.clone() };
        }
        Rows::Topics { keys: self.keys(), status_bytes: row.status_bytes() }
    }

    pub(crate) fn target(&self) -> Target {
        let key: &[&str] = match self {
            Self::Table(copy) => return copy.target.clone(),
            Self::Append => &[],
            _ => &["topic_id"],
        };
        Target::new(TABLE, &Topics::COLUMNS, key)
    }

    /// Bytes that its databases may take on the disk, with their logs, when rows are written for so long.
    pub(crate) fn space(&self, row: RowKind, time: Duration) -> u64 {
        let all = |rows: u64| rows * (row.size().0 as u64);
        match self {
            Self::Table(copy) => 2 * copy.bytes + (256 << 20),
            Self::Hot | Self::Mixed => 128 << 20,
            // There is one to copy from.
            Self::Wide => 2 * all(WIDE) + (512 << 20),
            Self::Append => {
                let bytes = all(APPENDED.0).min(APPENDED.1);
                (bytes as f64 * time.as_secs_f64()) as u64 + (256 << 20)
            }
        }
    }

    /// What is in the table before a trial.
    pub(crate) fn filling(&self, row: RowKind) -> Filling {
        let topics = match self {
            Self::Hot | Self::Mixed => HOT,
            Self::Wide => WIDE,
            Self::Append | Self::Table(_) => 0,
        };
        Filling { topics, status: format!("{:.<1$}", "running", row.status_bytes()) }
    }

    /// Makes the database as it is before a trial.
    pub(crate) fn make(&self, row: RowKind, path: &Path, journal_mode: &str) -> Result<()> {
        if let Self::Table(copy) = self {
            return copy.copy_to(path, journal_mode);
        }
        let failed = |error: rusqlite::Error| Error::of_file("make", path, &error);
        let connection = Connection::open(path).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", journal_mode).map_err(failed)?;
        connection
            .execute_batch(&format!(
                "CREATE TABLE {TABLE}(topic_id INTEGER PRIMARY KEY, status TEXT NOT NULL, progress INTEGER NOT NULL, \
                 updated_at INTEGER NOT NULL)"
            ))
            .map_err(failed)?;
        if matches!(self, Self::Append) {
            let index = format!("CREATE INDEX {TABLE}_updated_at ON {TABLE}(updated_at)");
            connection.execute_batch(&index).map_err(failed)?;
        }
        let Filling { topics, status } = self.filling(row);
        let fill = format!(
            "WITH RECURSIVE topic(id) AS (SELECT 0 WHERE ?1 > 0 UNION ALL SELECT id + 1 FROM topic WHERE id + 1 < ?1)
             INSERT INTO {TABLE} SELECT id, ?2, {UNTOUCHED}, 0 FROM topic"
        );
        connection.execute(&fill, (topics as i64, status)).map_err(failed)?;
        connection.close().map_err(|(_, error)| failed(error))
    }
}

impl std::str::FromStr for Workload {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|workload| workload.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(Workload::name).collect();
            Error::of_arguments(format!(
                "there is no workload {name:?}: it must be one of {}",
                names.join(", ")
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_run_that_adds_rows_asks_for_more_room() {
        let space = |seconds| Workload::Append.space(RowKind::Thin, Duration::from_secs(seconds));
        assert!(space(0) < 1 << 30 && space(60) > 3 << 30, "{} {}", space(0), space(60));
    }

    #[test]
    fn more_workers_than_topics_have_a_topic_each() {
        for (workers, topics) in [(80, 400), (500, 500)] {
            let facts = Workload::Hot.facts(RowKind::Thin, workers);
            assert_eq!(facts.keys, Some(topics));
            assert!(facts.description.starts_with(&format!("{topics} topics")), "{facts:?}");
        }
    }
}
