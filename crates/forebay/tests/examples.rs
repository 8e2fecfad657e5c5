//! The examples are true: what they print at the end they have compared.

#[allow(dead_code, unreachable_pub)]
#[path = "../examples/axum_handler.rs"]
mod axum_handler;
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/back_pressure.rs"]
mod back_pressure;
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/dead_letters.rs"]
mod dead_letters;
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/graceful_shutdown.rs"]
mod graceful_shutdown;
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/groups.rs"]
mod groups;
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/package_states.rs"]
mod package_states;
#[cfg(feature = "metrics")]
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/prometheus.rs"]
mod prometheus;
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/settings.rs"]
mod settings;
#[cfg(feature = "spool")]
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/spool.rs"]
mod spool;
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/topic_status.rs"]
mod topic_status;

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use forebay::ErrorKind;
use forebay::rusqlite::Connection;
use signal_hook::consts::SIGTERM;

#[test]
fn every_package_has_the_state_of_its_last_line_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/dpkg.log"));
    let mut out = Vec::new();
    let report = package_states::run(log, &folder.path().join("packages.db"), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("equal: every one of the 649 packages"), "{text}");
    assert_eq!((report.packages, report.status_lines, report.differing), (649, 3_748, 0));
    assert_eq!(report.stats.committed, 3_748);
}

#[test]
fn every_topic_ends_as_its_worker_left_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut out = Vec::new();
    let report = topic_status::run(&folder.path().join("topics.db"), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("equal: every one of the 32000 topics"), "{text}");
    assert_eq!((report.differing, report.errors), (0, 0));
    assert_eq!(report.stats.committed, 160_000);
}

/// Sends a request and gives the status and the body of the answer.
fn answer(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{body}")?;
    let response = io::read_to_string(stream)?;
    let status = response.split(' ').nth(1).unwrap_or_default();
    let body = response.split("\r\n\r\n").nth(1).unwrap_or_default();
    Ok(format!("{status} {body}"))
}

#[tokio::test]
async fn a_handler_answers_when_the_row_is_committed_and_reads_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("topics.db");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let client = tokio::task::spawn_blocking(move || {
        for (method, path, body, expected) in [
            ("GET", "/ready", "", "200 ready"),
            ("POST", "/topics/7", "running", "200 committed"),
            ("GET", "/topics/7", "", "200 running"),
            (
                "POST",
                "/topics/7",
                "dancing",
                "422 topic_status refused a row: it violates CHECK known",
            ),
            ("GET", "/topics/7", "", "200 running"),
            ("GET", "/topics/8", "", "404 no such topic"),
        ] {
            assert_eq!(
                answer(address, method, path, body).unwrap(),
                expected,
                "{method} {path} {body}"
            );
        }
        let gone = Connection::open(database).unwrap().execute_batch("DROP TABLE topic_status");
        gone.unwrap();
        let fixed = "500 failed; the service's log says why";
        assert_eq!(
            answer(address, "GET", "/topics/7", "").unwrap(),
            fixed,
            "and nothing of the database"
        );
        drop(stop);
    });
    let end = async { drop(stopped.await) };
    let database = folder.path().join("topics.db");
    axum_handler::run(&database, listener, end, &mut Vec::new()).await.unwrap();
    client.await.unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "closed, with one file left");
}

#[test]
fn a_group_with_one_bad_row_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let mut out = Vec::new();
    let tables = groups::run(&folder.path().join("app.db"), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("refused whole: audit refused a row: it violates CHECK"), "{text}");
    assert!(text.contains("equal: every topic is as its last audit line says"), "{text}");
    assert_eq!(tables.topics, [(7, "done".to_owned()), (8, "queued".to_owned())]);
    assert_eq!(tables.audit.len(), 3);
}

#[test]
fn every_bad_row_comes_back_once_and_every_good_one_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut out = Vec::new();
    let report = dead_letters::run(folder.path(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(report.receipt.unwrap_err().constraint(), Some("CHECK some"));
    let called: Vec<_> = report.called.iter().map(|error| error.constraint()).collect();
    assert_eq!(called, [Some("UNIQUE orders.email"), Some("CHECK some")]);
    let [unique, check] = report.lines.as_slice() else { panic!("{text}") };
    let fields = [
        r#""fields":{"order_id":2,"email":"ada@example.org","quantity":1.0,"digest":{"hex":"00ff"}}}"#,
        r#""fields":{"order_id":3,"email":null,"quantity":0.0,"digest":{"hex":"00ff"}}}"#,
    ];
    assert!(unique.ends_with(fields[0]) && check.ends_with(fields[1]), "{text}");
    assert!(text.contains("6 accepted = 3 committed + 3 rejected"), "{text}");
    assert_eq!((report.stats.committed, report.stats.rejected), (3, 3));
}

#[test]
fn a_full_buffer_refuses_or_holds_rows_and_writes_those_it_took() {
    let folder = tempfile::tempdir().unwrap();
    let mut out = Vec::new();
    let report = back_pressure::run(&folder.path().join("app.db"), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(report.refused, [ErrorKind::Full, ErrorKind::TimedOut]);
    assert!(text.contains("push          waits") && text.contains("push_async    waits"), "{text}");
    assert_eq!(report.written, report.taken);
    assert_eq!(
        report.stats.accepted,
        u64::from(report.taken) + 1,
        "the CREATE TABLE counts as one"
    );
    assert_eq!(report.stats.committed, report.stats.accepted);
}

/// What an example says, and something to be done as soon as it has said a certain thing.
struct Watched<F> {
    text: String,
    until: &'static str,
    then: Option<F>,
}

impl<F: FnOnce()> Watched<F> {
    fn new(until: &'static str, then: F) -> Self {
        Self { text: String::new(), until, then: Some(then) }
    }
}

impl<F: FnOnce()> Write for Watched<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.push_str(&String::from_utf8_lossy(bytes));
        if self.text.contains(self.until)
            && let Some(then) = self.then.take()
        {
            then();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_signal_stops_the_workers_and_the_rest_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("jobs.db");
    let signals = graceful_shutdown::signals().unwrap();
    let mut out = Watched::new("Ctrl-C ends them", || {
        signal_hook::low_level::raise(SIGTERM).unwrap();
    });
    let granted = Duration::from_secs(60);
    let report = graceful_shutdown::run(&database, &signals, granted, &mut out).unwrap();
    assert!(out.text.contains("the workers have stopped"), "{}", out.text);
    report.closed.unwrap();
    assert!(report.stats.accepted > 16 && report.stats.committed == report.stats.accepted);
    let done = "SELECT count(*) = 0 FROM jobs WHERE status <> 'done'";
    let connection = Connection::open(&database).unwrap();
    assert!(connection.query_row(done, (), |row| row.get::<_, bool>(0)).unwrap());
}

#[test]
fn rows_that_a_shutdown_has_no_time_for_are_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("jobs.db");
    let other = Connection::open(&database).unwrap();
    let (signal, signals) = std::sync::mpsc::channel();
    let mut out = Watched::new("Ctrl-C ends them", || {
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        signal.send(SIGTERM).unwrap();
    });
    let granted = Duration::from_millis(50);
    let report = graceful_shutdown::run(&database, &signals, granted, &mut out).unwrap();
    let left = report.stats.accepted - report.stats.committed;
    assert!(left >= 16, "{}", out.text);
    assert_eq!(report.closed.unwrap_err().kind(), ErrorKind::Unwritten);
    let file = database.with_extension("dead.ndjson");
    let said = format!("left {left} rows not written ({left} of them kept in {})", file.display());
    assert!(out.text.contains(&said), "{}", out.text);
    let kept = fs::read_to_string(file).unwrap();
    assert_eq!(kept.lines().count() as u64, left);
    assert!(kept.lines().all(|line| line.contains("\"fields\":{\"id\":")), "{kept}");
}

#[test]
fn workers_that_can_all_not_go_on_end_the_program_without_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("jobs.db");
    let (_sender, signals) = std::sync::mpsc::channel();
    let mut out = Watched::new("Ctrl-C ends them", || fs::remove_file(&database).unwrap());
    let granted = Duration::from_secs(60);
    let report = graceful_shutdown::run(&database, &signals, granted, &mut out).unwrap();
    assert_eq!(report.closed.unwrap_err().kind(), ErrorKind::Failed);
    assert_eq!(out.text.matches("a worker could not").count(), 8, "{}", out.text);
}

#[test]
fn settings_come_from_the_file_and_wrong_ones_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forebay.toml");
    fs::write(&file, "batch_size = 123\nretry = { max_retries = 7 }").unwrap();
    let mut out = Vec::new();
    settings::run(&file, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for said in [
        "batch_size = 123\n",
        "max_retries = 7\n",
        "linger = \"50ms\"\n",
        "# batch_size = 0\nbatch_size is 0: it must be at least 1 row\n",
        "expected a duration\n",
        "unknown field `batchsize`, expected one of `batch_size`",
        "one for each 768 bytes of max_buffer_bytes, which is 1000000\n",
    ] {
        assert!(text.contains(said), "{said} is not in:\n{text}");
    }
}

#[cfg(feature = "metrics")]
#[tokio::test]
async fn a_scrape_shows_what_the_buffer_did_and_that_it_is_ready() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let client = tokio::task::spawn_blocking(move || {
        assert_eq!(answer(address, "GET", "/ready", "").unwrap(), "200 ready");
        let text = answer(address, "GET", "/metrics", "").unwrap();
        for said in [
            "outcome=\"committed\"} 1001\n",
            "outcome=\"rejected\"} 0\n",
            "state=\"running\"} 1\n",
            "state=\"paused\"} 0\n",
        ] {
            assert!(text.contains(said), "{said} is not in:\n{text}");
        }
        drop(stop);
    });
    let end = async { drop(stopped.await) };
    prometheus::run(listener, end, &mut Vec::new()).await.unwrap();
    client.await.unwrap();
}

/// The worker is this test in a process of its own.
#[cfg(feature = "spool")]
#[test]
fn rows_of_a_worker_that_was_killed_are_written_by_the_next_run() {
    const WORKER: &str = "SPOOL_WORKER_OF";
    if let Some(database) = std::env::var_os(WORKER) {
        let ended = spool::work(Path::new(&database), &mut io::stdout());
        panic!("the worker was not killed: {ended:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("events.db");
    let mut worker = std::process::Command::new(std::env::current_exe().unwrap());
    let name = "rows_of_a_worker_that_was_killed_are_written_by_the_next_run";
    worker.args(["--exact", name, "--nocapture"]).env(WORKER, &database);
    let mut out = Vec::new();
    let report = spool::run(&database, worker, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("signal: 9 (SIGKILL)"), "{text}");
    assert!(text.contains("equal: every row that was pushed is there once"), "{text}");
    assert!(report.pushed >= 20_000 && report.rows.len() as u64 >= report.pushed, "{text}");
    assert!(report.replayed > 0, "{text}");
}
