//! The contenders that need no other libraries: one program that is each of them, asked by name.

mod buffered;
mod channel;
mod connection;
mod direct;
mod limit;
mod mutex;
mod on_tasks;
mod postgres;
mod readers;
pub(crate) mod watch;

pub(crate) use buffered::equalized;

use std::process::ExitCode;

use forebay_trial::{
    Contender, Outcome, Request, Result, Rows, Start, WorkerKind, run_tasks, run_threads, serve,
};

use crate::rows::{Sample, Source};

/// The contender that reads beside the others, in the workload `mixed`.
pub(crate) const READERS: &str = "readers";

/// Runs one trial as a program of its own: reads a [`Request`] from standard input, and answers on standard
/// output.
pub fn main() -> ExitCode {
    serve(run)
}

fn run(request: &Request, start: Start) -> Result<Outcome> {
    if let Some(server) = &request.server {
        return postgres::run(request, start, server);
    }
    match &request.rows {
        Rows::Topics { .. } => run_with(request, start, kept(request.topics()?)),
        Rows::Sample { .. } => run_with(request, start, kept(Sample::read(request)?)),
    }
}

/// Keeps something for as long as the program runs, which is one trial.
fn kept<T>(source: T) -> &'static T {
    Box::leak(Box::new(source))
}

fn run_with(request: &Request, start: Start, source: &'static impl Source) -> Result<Outcome> {
    match request.contender.as_str() {
        "rollback" | "direct" => blocking(request, start, direct::Direct::new(request, source)),
        "retry" => blocking(request, start, direct::Direct::with_retries(request, source)),
        "mutex" => blocking(request, start, mutex::Shared::new(request, source)?),
        "channel" => blocking(request, start, channel::Channel::new(request, source)?),
        "limit" => batches(request, start, source),
        "forebay" if request.workers.kind == WorkerKind::Tasks => {
            run_tasks(request, start, async { buffered::Buffered::open(request, source) })
        }
        "forebay" => run_threads(request, start, &buffered::Buffered::open(request, source)?),
        READERS => run_threads(request, start, &readers::Reading::new(request)),
        name => Err(format!("there is no contender {name:?} in this program").into()),
    }
}

/// Runs the limit, whose calls are batches, so that fewer make a pace in rows.
fn batches(request: &Request, start: Start, source: &'static impl Source) -> Result<Outcome> {
    let limit = limit::Limit::new(request, source)?;
    let rate = request.rate.map(|rows| rows / limit.rows_per_call() as f64);
    run_threads(&Request { rate, ..request.clone() }, start, &limit)
}

/// Runs a contender whose calls block, also where the workers are tasks.
fn blocking<C: Contender + Send + 'static>(
    request: &Request,
    start: Start,
    contender: C,
) -> Result<Outcome> {
    if request.workers.kind == WorkerKind::Tasks {
        run_tasks(request, start, async { Ok(on_tasks::OnTasks(kept(contender))) })
    } else {
        run_threads(request, start, &contender)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use forebay::rusqlite::Connection;
    use forebay_trial::{
        Mode, PROTOCOL, Request, Rows, Settings, Synchronous, Target, Topics, WorkerKind, Workers,
    };

    use super::kept;

    /// For a table that takes whatever comes.
    pub(super) const ANY_ROWS: &str = "";
    /// For a table that takes three rows.
    pub(super) const THREE_ROWS: &str = "CREATE TRIGGER full BEFORE INSERT ON topic_status \
        WHEN (SELECT count(*) FROM topic_status) = 3 BEGIN SELECT raise(ABORT, 'no room'); END";

    /// A database with its table and `more`, and a request to add the rows of three workers to it.
    pub(super) fn request(folder: &Path, more: &str) -> Request {
        let database = folder.join("trial.db");
        let create = "PRAGMA journal_mode=WAL; CREATE TABLE topic_status(topic_id INTEGER PRIMARY KEY, \
                      status TEXT NOT NULL, progress INTEGER NOT NULL, updated_at INTEGER NOT NULL);";
        Connection::open(&database).unwrap().execute_batch(&format!("{create} {more}")).unwrap();
        Request {
            protocol: PROTOCOL,
            contender: String::new(),
            options: serde_json::Value::Null,
            database,
            server: None,
            settings: Settings {
                journal_mode: "wal".to_owned(),
                synchronous: Synchronous::Normal,
                busy_timeout: Duration::from_secs(30),
                cache_kib: 2_048,
                checkpoint_pages: 1_000,
            },
            target: Target::new("topic_status", &Topics::COLUMNS, &[]),
            rows: Rows::Topics { keys: None, status_bytes: 0 },
            mode: Mode::Await,
            workers: Workers { total: 3, first: 0, count: 3, kind: WorkerKind::Threads },
            rate: None,
            warm_up: Duration::ZERO,
            time: Duration::from_millis(10),
        }
    }

    /// The rows that it asks for.
    pub(super) fn topics(request: &Request) -> &'static Topics {
        kept(request.topics().unwrap())
    }
}
