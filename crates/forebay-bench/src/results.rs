//! What a run has shown: the versioned JSON, of which tables and charts are made.
//!
//! # The format
//!
//! [`Results`] is one JSON object; its fields are those of the types here, by the same names. `format` is
//! `forebay-bench`, and `version` changes with every field that goes or changes its meaning; fields may be added.
//!
//! * Names of modes, workers and durability are in lower case: `push`, `await`; `threads`, `tasks`, `processes`; `normal`,
//!   `full`.
//! * Times are in seconds, sizes in bytes, unless the name says otherwise. What could not be measured is null.
//! * A number that every round has is a [`Spread`]: `median`, `lower` and `upper` quartile, and `rounds`, in the order in
//!   which they were run. Round 3 of one contender ran shortly before or after round 3 of another, so the ratio of two
//!   contenders is one for each round: that is what `versus_direct` and `versus_limit` are spreads of, and
//!   [`Results::ratio`] makes it of any two.
//! * `verdict` is `{"is":"valid"}`, `{"is":"void","why":"…"}` or `{"is":"failed","why":"…"}`. Only a valid entry has
//!   `figures`; those of the others are null, also when some rounds went well.
//! * A contender that returns after its commit in both modes has the same trials under both.
//!
//! The same as CSV is described in [`report::csv`](crate::report::csv).

use std::collections::BTreeMap;

use forebay_trial::{Latencies, Mode, Settings, WorkerKind};
use serde::{Deserialize, Serialize};

use crate::spread::Spread;

/// The name of the format.
pub const FORMAT: &str = "forebay-bench";
/// Its version: a field that changes its meaning, or goes, makes a new one.
pub const VERSION: u32 = 1;
/// What stands for what is not known.
const UNKNOWN: &str = "unknown";
/// Calls that a p99.9 needs at the least.
pub const SAMPLES_FOR_P999: u64 = 10_000;

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// When it began, in UTC.
    pub begun_at: String,
    /// The version of forebay.
    pub forebay: String,
    /// The machine.
    pub host: Host,
    /// Where the databases lay.
    pub disk: Disk,
    /// What all connections that write were set to, where they wrote SQLite files; null for a PostgreSQL server.
    /// `rollback` alone has `journal_mode` `delete`.
    pub settings: Option<Settings>,
    /// The PostgreSQL server that was written to; null for SQLite files.
    #[serde(default)]
    pub server: Option<ServerFacts>,
    /// What was written.
    pub workload: WorkloadFacts,
    /// How many workers.
    pub workers: u32,
    /// What they were; a contender that can only be another says so in its figures.
    pub worker_kind: WorkerKind,
    /// In how many processes those of one contender were.
    pub processes: u32,
    /// Rows in each second that all workers meant to write (an open loop); null where each went on as soon as it
    /// could (a closed loop).
    pub rate: Option<f64>,
    /// Rounds that were finished: in each, every contender had its turn.
    pub rounds: u32,
    /// Rounds that were meant to be.
    pub rounds_planned: u32,
    /// Seconds of each trial that were measured.
    pub seconds: f64,
    /// Seconds before them.
    pub warm_up_seconds: f64,
    /// Of which the order of the contenders in each round was made.
    pub seed: u64,
    /// What a reader of the figures must know.
    pub warnings: Vec<String>,
    /// One for each contender in each mode, in the order in which they were asked for.
    pub entries: Vec<Entry>,
}

/// The machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Host {
    /// Operating system and its release.
    pub system: String,
    /// The processor's name.
    pub processor: String,
    /// Threads that run at once.
    pub cores: usize,
    /// Main memory.
    pub memory_bytes: Option<u64>,
}

/// Where the databases lay.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Disk {
    /// The filesystem, such as `ext4`; `unknown` for a server that was there already.
    pub filesystem: String,
    /// Seconds for writing 4 KiB to a file and flushing it.
    pub flush_seconds: Option<Spread>,
}

/// A PostgreSQL server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerFacts {
    /// Its version.
    pub version: String,
    /// Where it was.
    pub place: String,
    /// Whether it was started for this run alone.
    pub is_own: bool,
    /// How contenders spoke to it: `unix socket` or `TCP`.
    pub transport: String,
    /// What it says of some of its settings, by their names: `synchronous_commit`, `fsync` and others.
    pub settings: BTreeMap<String, String>,
}

/// What was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkloadFacts {
    /// Its name.
    pub name: String,
    /// The same in words.
    pub description: String,
    /// Keys that are updated over and over; null where every row has a new one.
    pub keys: Option<u64>,
    /// Length of the text in each row; zero for a short word.
    pub status_bytes: usize,
    /// Those who query meanwhile.
    pub readers: u32,
}

/// One contender in one mode.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// Whether the workers waited for their commits.
    pub mode: Mode,
    /// Its name.
    pub contender: String,
    /// The same in words.
    pub description: String,
    /// Rows in each transaction at the most, where that is fixed.
    pub batch: Option<usize>,
    /// Whether its figures mean anything.
    pub verdict: Verdict,
    /// The figures; none unless the verdict is `valid`.
    pub figures: Option<Figures>,
}

/// Whether figures mean anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is", content = "why")]
pub enum Verdict {
    /// After every trial the database held what had been acknowledged.
    Valid,
    /// After a trial it did not, or what the contender counted cannot be.
    Void(String),
    /// A trial could not be run.
    Failed(String),
}

/// What was measured of a contender, over all rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// What its workers were.
    pub worker_kind: WorkerKind,
    /// Rows committed in each second.
    pub rows_per_second: Spread,
    /// That over the one of `direct` in the same round.
    pub versus_direct: Option<Spread>,
    /// That over the one of `limit` in the same round.
    pub versus_limit: Option<Spread>,
    /// Which limit: with transactions of the same size, of 400 rows for contenders without batches; none if theirs
    /// were larger.
    pub limit: Option<String>,
    /// Rows in each transaction, on average.
    pub rows_per_transaction: Option<Spread>,
    /// How long calls took, of all rounds together.
    pub latency: Quantiles,
    /// Of a worker's calls, every so manyth was timed; 1 where all were.
    #[serde(default = "all")]
    pub timed_every: u64,
    /// CPU time of the contender's processes.
    pub cpu_seconds_per_million_rows: Spread,
    /// The most memory that they had.
    pub peak_memory_bytes: Option<Spread>,
    /// Bytes that they gave to write calls.
    pub written_bytes_per_row: Option<Spread>,
    /// Attempts that ended because the database was locked, in all rounds.
    pub lock_errors: u64,
    /// Attempts made again for that reason, in all rounds.
    pub retries: u64,
    /// Rows given up for that reason, in all rounds: updates that an application would have lost.
    pub given_up: u64,
    /// Workers that had not one row acknowledged in a round; the most of all rounds.
    pub starved_workers: u64,
    /// Rows acknowledged and found in the database, in all rounds.
    pub rows: u64,
    /// What those who queried meanwhile saw.
    pub reads: Option<Reads>,
    /// Versions of the libraries that did the work.
    pub versions: BTreeMap<String, String>,
    /// What the contender told of its last round beside that.
    pub details: serde_json::Value,
}

/// Queries beside the writers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reads {
    /// Queries answered in each second.
    pub per_second: Spread,
    /// How long they took.
    pub latency: Quantiles,
}

/// Latencies in seconds, to a hundredth of their value.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// Calls that were timed.
    pub samples: u64,
    /// Half of the calls took longer.
    pub p50: Option<f64>,
    /// One of a hundred took longer.
    pub p99: Option<f64>,
    /// One of a thousand took longer; null below [`SAMPLES_FOR_P999`] samples.
    pub p999: Option<f64>,
    /// None took longer; null where not all were timed.
    pub max: Option<f64>,
}

fn all() -> u64 {
    1
}

impl Disk {
    /// One of which nothing is known.
    pub(crate) fn unknown() -> Self {
        Self { filesystem: UNKNOWN.to_owned(), flush_seconds: None }
    }

    /// Whether anything is known of it.
    pub(crate) fn is_known(&self) -> bool {
        self.filesystem != UNKNOWN
    }
}

impl ServerFacts {
    /// The value of a setting.
    pub(crate) fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or(UNKNOWN, String::as_str)
    }

    /// What a reader of the figures must know.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let commit = self.setting("synchronous_commit");
        let of_commit = (commit == "off").then(|| {
            "the server had synchronous_commit off: a crash may take the newest commits".to_owned()
        });
        let of_flushes = (self.setting("fsync") == "off").then(|| {
            "the server had fsync off: a power cut may take all, and flushes cost nothing"
                .to_owned()
        });
        of_commit.into_iter().chain(of_flushes).collect()
    }
}

impl Quantiles {
    /// Those of these calls.
    pub fn of(latencies: &Latencies) -> Self {
        let samples = latencies.count();
        let at = |part| latencies.quantile(part).map(|latency| latency.as_secs_f64());
        let p999 = if samples < SAMPLES_FOR_P999 { None } else { at(0.999) };
        Self { samples, p50: at(0.5), p99: at(0.99), p999, max: at(1.0) }
    }

    /// Those of calls of which every so manyth was timed: the longest of all is known only where that is each.
    pub fn of_every(timed_every: u64, latencies: &Latencies) -> Self {
        let all = Self::of(latencies);
        Self { max: all.max.filter(|_| timed_every == 1), ..all }
    }
}

impl Results {
    /// The entry of a contender in a mode.
    pub fn entry(&self, mode: Mode, contender: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.mode == mode && entry.contender == contender)
    }

    /// The rate of a contender over that of another in the same round, without rounds in which the
    /// other committed nothing; `None` if one of them has no figures.
    pub fn ratio(&self, mode: Mode, contender: &str, reference: &str) -> Option<Spread> {
        let rates = |name| Some(&self.entry(mode, name)?.figures.as_ref()?.rows_per_second.rounds);
        let pairs = rates(contender)?.iter().zip(rates(reference)?);
        Spread::of(pairs.map(|(ours, theirs)| ours / theirs).filter(|ratio| ratio.is_finite()))
    }

    /// Whether a signal ended the run before all rounds were finished.
    pub fn is_partial(&self) -> bool {
        self.rounds < self.rounds_planned
    }
}
