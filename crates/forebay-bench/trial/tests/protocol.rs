//! The example contender, asked over the protocol, as whoever runs a trial asks it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use forebay_trial::{
    Answer, Mode, Outcome, PROTOCOL, Request, Rows, Settings, Synchronous, Target, Topics,
    WorkerKind, Workers,
};
use rusqlite::{Connection, Row};

const WORKERS: u32 = 3;

/// A contender that was started.
struct Started {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Started {
    fn new(arguments: &[&str]) -> Self {
        Self::of(Command::new(example()).args(arguments))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_ref().unwrap(), "{line}").unwrap();
    }

    fn answer(&mut self) -> Answer {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }

    /// Runs the whole of a trial.
    fn outcome(mut self, request: &Request) -> Outcome {
        self.say(&serde_json::to_string(request).unwrap());
        let ready = self.answer();
        assert!(matches!(ready, Answer::Ready(_)), "{ready:?}");
        self.say("go");
        let Answer::Outcome(outcome) = self.answer() else { panic!("no outcome") };
        assert!(self.child.wait().unwrap().success());
        *outcome
    }

    /// Closes standard input, and says what the program says to that.
    fn failure(mut self) -> String {
        drop(self.child.stdin.take());
        let Answer::Failed(failed) = self.answer() else { panic!("it did not fail") };
        assert_eq!(self.child.wait().unwrap().code(), Some(1));
        failed.message
    }
}

/// The program, which cargo builds beside the tests.
fn example() -> PathBuf {
    let tests = env::current_exe().unwrap();
    let built = tests.ancestors().nth(2).unwrap().join("examples/contender");
    let program = built.with_extension(env::consts::EXE_EXTENSION);
    assert!(program.exists(), "build it: cargo build -p forebay-trial --example contender");
    program
}

/// A database with its table, and a request to write into it.
fn request(folder: &Path, keys: Option<u64>) -> Request {
    let database = folder.join("topics.db");
    let create = "PRAGMA journal_mode=WAL; CREATE TABLE topic_status (topic_id INTEGER PRIMARY KEY, \
                  status TEXT NOT NULL, progress INTEGER NOT NULL, updated_at INTEGER NOT NULL)";
    Connection::open(&database).unwrap().execute_batch(create).unwrap();
    Request {
        protocol: PROTOCOL,
        contender: "contender".to_owned(),
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
        target: Target::new("topic_status", &Topics::COLUMNS, &["topic_id"]),
        rows: Rows::Topics { keys, status_bytes: 0 },
        mode: Mode::Await,
        workers: Workers { total: WORKERS, first: 0, count: WORKERS, kind: WorkerKind::Threads },
        rate: None,
        warm_up: Duration::from_millis(10),
        time: Duration::from_millis(300),
    }
}

/// The newest number of each key in the table.
fn in_table(request: &Request) -> BTreeMap<u64, u64> {
    let connection = Connection::open(&request.database).unwrap();
    let mut statement = connection.prepare("SELECT topic_id, progress FROM topic_status").unwrap();
    let number = |row: &Row<'_>, column| row.get(column).map(i64::cast_unsigned);
    let pairs = statement.query_map([], |row| Ok((number(row, 0)?, number(row, 1)?))).unwrap();
    pairs.map(Result::unwrap).collect()
}

/// What must be there.
fn acknowledged(request: &Request, outcome: &Outcome) -> BTreeMap<u64, u64> {
    let topics = request.topics().unwrap();
    (0..).zip(&outcome.acknowledged).flat_map(|(w, &n)| topics.cursor(w).newest(n)).collect()
}

#[test]
fn what_a_contender_acknowledged_is_in_the_table() {
    for keys in [Some(40), None] {
        let folder = tempfile::tempdir().unwrap();
        let request = request(folder.path(), keys);
        let outcome = Started::new(&[]).outcome(&request);
        let written: u64 = outcome.acknowledged.iter().sum();
        assert_eq!(outcome.workers, WorkerKind::Threads);
        assert_eq!(outcome.acknowledged.len(), WORKERS as usize);
        assert!(0 < outcome.rows && outcome.rows <= written, "{outcome:?}");
        assert!(outcome.seconds >= request.time.as_secs_f64(), "{outcome:?}");
        assert!(outcome.latency.count() > 0 && outcome.timed_every == 1, "{outcome:?}");
        assert_eq!((outcome.report.transactions, outcome.report.given_up), (Some(written), 0));
        assert_eq!(outcome.versions["sqlite"], rusqlite::version());
        assert_eq!(in_table(&request), acknowledged(&request, &outcome));
    }
}

#[test]
fn a_contender_that_loses_rows_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(folder.path(), None);
    let outcome = Started::new(&["--lose"]).outcome(&request);
    let table = in_table(&request);
    let mut missing = acknowledged(&request, &outcome);
    missing.retain(|key, _| !table.contains_key(key));
    let lost = |number: &&u64| number.is_multiple_of(100);
    assert_eq!(missing.values().filter(lost).count(), missing.len(), "{missing:?}");
    let due: u64 = outcome.acknowledged.iter().map(|rows| rows.div_ceil(100)).sum();
    assert_eq!(missing.len() as u64, due);
}

#[test]
fn what_cannot_be_done_is_answered_by_a_sentence_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let good = request(folder.path(), Some(40));
    let line = |request: &Request| serde_json::to_string(request).unwrap();
    let other = Request { protocol: PROTOCOL + 1, ..good.clone() };
    let elsewhere = Request { database: folder.path().join("no/topics.db"), ..good.clone() };
    for (said, expected) in [
        (
            &*line(&other),
            "speaks version 2 of the protocol, and this program version 1: build them",
        ),
        ("{\"protocol\":1", "the request cannot be read, it must be one line of JSON: EOF"),
        ("{\"protocol\":1}", "the request cannot be read, it must be one line of JSON: missing"),
        (&*line(&elsewhere), "unable to open database file"),
    ] {
        let mut started = Started::new(&[]);
        started.say(said);
        let message = started.failure();
        assert!(message.contains(expected), "{said}\nis answered by {message:?}");
    }
    let ended = Started::new(&[]).failure();
    assert!(ended.contains("this program is started by `forebay bench`"), "{ended}");
}

/// Where the system refuses a thread whose stack has no room.
#[cfg(target_os = "linux")]
#[test]
fn a_trial_whose_threads_cannot_all_start_fails_and_does_not_go_on_without_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(folder.path(), None);
    request.time = Duration::from_secs(3_600);
    let gibibyte = (1_u64 << 30).to_string();
    let limited = ["-c", "ulimit -v 2621440; exec \"$0\""];
    let mut started = Started::of(
        Command::new("sh").args(limited).arg(example()).env("RUST_MIN_STACK", gibibyte),
    );
    started.say(&serde_json::to_string(&request).unwrap());
    assert!(matches!(started.answer(), Answer::Ready(_)));
    started.say("go");
    let message = started.failure();
    assert!(message.starts_with("cannot start thread 3 of 3: "), "{message}");
}

#[test]
fn another_word_than_go_does_not_begin_a_trial() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(folder.path(), Some(40));
    for (word, expected) in [(Some("stop"), "instead of `go` came \"stop\""), (None, "has ended")] {
        let mut started = Started::new(&[]);
        started.say(&serde_json::to_string(&request).unwrap());
        assert!(matches!(started.answer(), Answer::Ready(_)));
        if let Some(word) = word {
            started.say(word);
        }
        let message = started.failure();
        assert!(message.contains(expected), "{message}");
    }
    assert!(in_table(&request).is_empty());
}

#[test]
fn the_request_and_the_outcome_that_are_shown_to_authors_are_of_this_protocol() {
    let shown = include_str!("../../rivals/README.md").split("```json").skip(1);
    let mut shown = shown.map(|rest| rest.split("```").next().unwrap());
    let request: Request = serde_json::from_str(shown.next().unwrap()).unwrap();
    assert_eq!(request.protocol, PROTOCOL);
    assert_eq!(request.target.sql, request.target.statement(1));
    let answer: Answer = serde_json::from_str(shown.next().unwrap()).unwrap();
    let Answer::Outcome(outcome) = answer else { panic!("{answer:?}") };
    assert_eq!(outcome.report.transactions, Some(outcome.acknowledged.iter().sum()));
    assert!(shown.next().is_none());
}
