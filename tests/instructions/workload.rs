//! What is counted: a workload that goes on up to a certain point. `workload structs 40000 pushed` ends when the
//! last of 40,000 structs has been pushed.
//!
//! The difference between the counts of two runs that end at neighbouring points is what the part between them takes,
//! on all threads.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use forebay::{
    Applied, Batch, Books, Config, Error, Producer, Sink, SinkError, StatementInfo, TableInfo,
    WriteBuffer,
};
use serde::Serialize;
use tempfile::TempDir;

/// Rows in a batch.
const BATCH: i64 = 400;

/// Where a run ends.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    /// All memory has the size that it will need.
    Warm,
    /// The rows are in the buffer.
    Pushed,
    /// They are written.
    Written,
}

/// Which of the rows with one key are written.
enum Rows {
    All,
    Newest,
}

/// What the sink reads of a batch.
enum Reading {
    Nothing,
    Values,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [workload, count, until] = &arguments[..] else {
        panic!("the arguments are a workload, a number of rows and where to end, not {arguments:?}")
    };
    let count = count.parse().expect("a number of rows");
    let until = match until.as_str() {
        "warm" => Until::Warm,
        "pushed" => Until::Pushed,
        "written" => Until::Written,
        other => panic!("a run ends when it is warm, or all is pushed or written, not {other}"),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (memory, spool) = (Config::default(), in_a_spool(&folder));
    match workload.as_str() {
        "structs" => backlog(topic, Rows::All, Reading::Nothing, memory, count, until),
        "tuples" => backlog(tuple, Rows::All, Reading::Nothing, memory, count, until),
        "maps" => backlog(map, Rows::All, Reading::Nothing, memory, count, until),
        "coalesced" => backlog(topic, Rows::Newest, Reading::Nothing, memory, count, until),
        "read" => backlog(topic, Rows::All, Reading::Values, memory, count, until),
        "writes" => writes(memory, count, until),
        "spooled" => backlog(topic, Rows::All, Reading::Nothing, spool, count, until),
        "spooled-writes" => writes(spool, count, until),
        other => panic!("no workload is called {other}"),
    }
    folder.close().expect("the folder is removed");
    // Without dropping the buffer: that would write the rows that are left.
    std::process::exit(0);
}

/// The settings with a spool, which only a build with the feature `spool` has.
fn in_a_spool(folder: &TempDir) -> Config {
    Config { spool: Some(folder.path().join("spool")), ..Config::default() }
}

/// Pushes `count` rows while the writer is held by one before them, then has them written. The first round is the
/// warm-up.
fn backlog<R: Serialize>(
    row: impl Fn(i64) -> R,
    rows: Rows,
    reading: Reading,
    config: Config,
    count: usize,
    until: Until,
) {
    // The first row is due at once; what gathers behind it is cut into batches.
    let config = Config {
        batch_size: 1,
        max_transaction_rows: BATCH as usize,
        max_buffer_bytes: 1 << 25,
        ..config
    };
    let gate = Arc::new(Barrier::new(2));
    let (buffer, topics) = open(Nowhere { gate: Some(Arc::clone(&gate)), reading }, config, rows);
    let made: Vec<R> = (0..4 * BATCH).map(row).collect();
    let push = |row| topics.push(black_box(row)).expect("a push");
    for until in [Until::Written, until] {
        push(&made[0]);
        gate.wait();
        if until == Until::Warm {
            break;
        }
        made.iter().cycle().take(count).for_each(push);
        if until == Until::Pushed {
            break;
        }
        gate.wait();
        buffer.flush().expect("a flush");
    }
    std::mem::forget((buffer, topics));
}

/// Writes `count` rows one by one, each committed by the thread that waits for it. The first round is the warm-up.
fn writes(config: Config, count: usize, until: Until) {
    let config = Config { linger: Duration::from_secs(3_600), ..config };
    let sink = Nowhere { gate: None, reading: Reading::Nothing };
    let (buffer, topics) = open(sink, config, Rows::All);
    let row = topic(0);
    let write = || topics.write(black_box(&row)).expect("a commit");
    (0..count).for_each(|_| write());
    // The writer has the sink at first. Once a row was all there is, each is.
    while buffer.stats().commits_on_caller == 0 {
        write();
    }
    if until != Until::Warm {
        let warm = buffer.stats().commits_on_caller;
        (0..count).for_each(|_| write());
        let stats = buffer.stats();
        assert_eq!(stats.commits_on_caller - warm, count as u64, "{stats:?}");
    }
    std::mem::forget((buffer, topics));
}

fn open(sink: Nowhere, config: Config, rows: Rows) -> (WriteBuffer, Producer) {
    let buffer = WriteBuffer::with_sink(sink, config).expect("a buffer");
    let table = buffer.table("topic_status").upsert(["topic_id"]);
    let table = match rows {
        Rows::All => table,
        Rows::Newest => table.coalesce(),
    };
    let topics = table.producer().expect("a producer");
    (buffer, topics)
}

#[derive(Serialize)]
struct TopicStatus {
    topic_id: i64,
    status: &'static str,
    progress: i64,
    updated_at: i64,
}

/// The row with this number. Each key comes twice, with a batch of other keys in between: of rows that are coalesced
/// every other one is superseded, and batches are full all the same.
fn topic(number: i64) -> TopicStatus {
    let topic_id = number / (2 * BATCH) * BATCH + number % BATCH;
    TopicStatus { topic_id, status: "running", progress: number % 100, updated_at: number }
}

fn tuple(number: i64) -> (i64, &'static str, i64, i64) {
    let TopicStatus { topic_id, status, progress, updated_at } = topic(number);
    (topic_id, status, progress, updated_at)
}

fn map(number: i64) -> BTreeMap<&'static str, i64> {
    ["topic_id", "status", "progress", "updated_at"].into_iter().zip(number..).collect()
}

/// A sink that takes everything at once, but a lone row only when the gate lets it through.
struct Nowhere {
    /// Without a gate, a thread that waits for its row commits it.
    gate: Option<Arc<Barrier>>,
    reading: Reading,
}

impl Sink for Nowhere {
    fn describe(&mut self, table: &str) -> Result<TableInfo, Error> {
        let columns = ["topic_id", "status", "progress", "updated_at"];
        Ok(columns.into_iter().fold(TableInfo::new(table), TableInfo::column).unique(["topic_id"]))
    }

    fn prepare(&mut self, _: &str) -> Result<StatementInfo, Error> {
        Ok(StatementInfo::default())
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        if let Reading::Values = self.reading {
            for value in batch.rows().flat_map(|row| row.values()) {
                black_box(value);
            }
        }
        if let Some(gate) = &self.gate
            && batch.len() == 1
        {
            // The first time the writer has come, the second time it may go on.
            gate.wait();
            gate.wait();
        }
        Ok(Applied { transactions: 1, ..Applied::default() })
    }

    /// For a spool, whose rows it would take twice.
    fn books(&mut self, _: &str) -> Result<Option<Books>, Error> {
        Ok(None)
    }

    fn commits_on_caller(&self) -> bool {
        self.gate.is_none()
    }
}
