//! No value of a row is in an error, in a `Debug` form or in the log, unless the application asks for the database's own text.

use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use forebay::{
    Applied, Batch, Config, DeadLetter, Error, ErrorKind, Health, Producer, Rejection, Rejects,
    Retry, Sink, SinkError, SqliteSink, StatementInfo, TableInfo, WriteBuffer,
};
use parking_lot::Mutex;
use serde::Serialize;
use serde_bytes::Bytes;
use support::{Gate, Log, Scratch, smallest};

const TEXT: &str = "CANARY of the text";
const INTEGER: i64 = 7_331_918_273_645;
const REAL: f64 = 0.733_191_827_3;
const BLOB: &[u8] = b"CANARY of the bytes";

/// What any of them looks like: plain, as a list of bytes, in hex.
const CANARIES: [&str; 6] =
    ["CANARY", "7331918273645", "0.7331918273", "67, 65, 78, 65", "43414e4152", "43414E4152"];

#[derive(Serialize, Clone)]
struct Row {
    id: i64,
    text: &'static str,
    integer: i64,
    real: f64,
    blob: &'static Bytes,
}

fn row(id: i64) -> Row {
    Row { id, text: TEXT, integer: INTEGER, real: REAL, blob: Bytes::new(BLOB) }
}

/// Everything that was said, and by what.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<(String, String)>>>);

impl Said {
    fn text(&self, by: &str, text: impl Display) {
        self.0.lock().push((by.to_owned(), text.to_string()));
    }

    fn value(&self, by: &str, value: &impl Debug) {
        self.text(by, format_args!("{value:?} {value:#?}"));
    }

    fn error(&self, by: &str, error: &Error) {
        if error.database_message().is_some_and(|text| text.contains(TEXT)) {
            self.text("the accessor", "a text with a value");
        }
        self.text(by, format_args!("{error} {error:#}"));
        self.value(by, error);
        let names = (error.table(), error.field(), error.constraint());
        self.value(by, &names);
        let mut cause = error.source();
        while let Some(error) = cause {
            self.text(by, format_args!("{error} {error:#} {error:?} {error:#?}"));
            cause = error.source();
        }
    }

    fn letter(&self, by: &str, letter: &DeadLetter) {
        self.value(by, letter);
        self.error(by, &letter.error);
    }

    /// Every text but for those that hold none of the canaries.
    fn leaks(&self) -> Vec<(String, String)> {
        let is_leak = |text: &str| CANARIES.iter().any(|canary| text.contains(canary));
        self.0.lock().iter().filter(|(_, text)| is_leak(text)).cloned().collect()
    }
}

/// A sink that says what a sink can see of its batches, rows and errors.
struct Watched<S> {
    inner: S,
    said: Said,
}

impl<S: Sink> Sink for Watched<S> {
    fn describe(&mut self, table: &str) -> Result<TableInfo, Error> {
        self.inner.describe(table)
    }

    fn prepare(&mut self, sql: &str) -> Result<StatementInfo, Error> {
        self.inner.prepare(sql)
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        self.said.value("a batch", batch);
        batch.rows().for_each(|row| self.said.value("a row and its shape", &(row, row.shape())));
        let applied = self.inner.apply(batch);
        self.said.value("the sink's answer", &applied);
        applied
    }
}

/// Every kind of refusal that a schema can be made to give.
const SCHEMA: &str = r#"
    CREATE TABLE parent(id INTEGER PRIMARY KEY);
    CREATE TABLE uniq(id, text UNIQUE, integer, real, blob);
    CREATE TABLE keyed(id, text, integer PRIMARY KEY, real, blob) WITHOUT ROWID;
    CREATE TABLE not_null(id, text, integer, real, blob, needed NOT NULL);
    CREATE TABLE checked(id, text CHECK (length(text) < 3), integer, real, blob);
    CREATE TABLE typed(id INTEGER, text INTEGER, integer INTEGER, real REAL, blob BLOB) STRICT;
    CREATE TABLE mismatched(id, text INTEGER PRIMARY KEY, integer, real, blob);
    CREATE TABLE child(id, text, integer REFERENCES parent(id), real, blob);
    CREATE TABLE late(id, text, integer REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED, real, blob);
    CREATE TABLE generated(id, text, integer, real, blob, part AS (json_extract('{}', text)) STORED);
    CREATE TABLE indexed(id, text, integer, real, blob);
    CREATE INDEX by_json ON indexed(json_extract(text, '$.a'));
    CREATE TABLE aborts(id, text, integer, real, blob);
    CREATE TRIGGER t1 BEFORE INSERT ON aborts BEGIN SELECT RAISE(ABORT, 'no: ' || NEW.text); END;
    CREATE TABLE fails(id, text, integer, real, blob);
    CREATE TRIGGER t2 BEFORE INSERT ON fails BEGIN SELECT RAISE(FAIL, 'no: ' || NEW.integer); END;
    CREATE TABLE rolls_back(id, text, integer, real, blob);
    CREATE TRIGGER t3 BEFORE INSERT ON rolls_back BEGIN SELECT RAISE(ROLLBACK, 'no: ' || NEW.real); END;
    CREATE TABLE computes(id, text, integer, real, blob);
    CREATE TRIGGER t4 AFTER INSERT ON computes BEGIN INSERT INTO parent VALUES (json_extract('{}', NEW.text)); END;
    CREATE TABLE copies(id, text, integer, real, blob);
    CREATE TRIGGER t5 AFTER INSERT ON copies BEGIN INSERT INTO checked(text) VALUES (NEW.text); END;
"#;

const TABLES: [&str; 15] = [
    "uniq",
    "keyed",
    "not_null",
    "checked",
    "typed",
    "mismatched",
    "child",
    "late",
    "generated",
    "indexed",
    "aborts",
    "fails",
    "rolls_back",
    "computes",
    "copies",
];

#[test]
fn a_rejected_row_is_in_no_error_and_in_no_line_of_the_log() {
    let (log, said) = (Log::default(), Said::default());
    tracing::subscriber::set_global_default(log.everything()).unwrap();
    let scratch = Scratch::new(SCHEMA);
    let config = Config { linger: Duration::from_secs(3_600), ..Config::default() };
    let inner = SqliteSink::open(scratch.path(), &config).unwrap();
    let letters = said.clone();
    let buffer = WriteBuffer::builder_with_sink(Watched { inner, said: said.clone() })
        .config(Config {
            rejects: Rejects {
                file: Some(scratch.path().with_extension("letters")),
                ..Rejects::default()
            },
            ..config
        })
        .on_reject(move |letter| letters.letter("a dead letter", letter))
        .open()
        .unwrap();
    for table in TABLES {
        let rows = buffer.table(table).insert().producer().unwrap();
        let sql = format!("INSERT INTO {table}(id, text, integer) VALUES (?1, ?2, ?3)");
        let statement = buffer.statement(&sql).unwrap();
        let before = buffer.stats().rejected;
        // Twice, for what is unique; alone, among others, in a group.
        for id in 0..2 {
            for told in [rows.write(&row(id)), statement.write(&(id, TEXT, INTEGER))] {
                told.into_iter().for_each(drop);
            }
            if let Err(error) = rows.write(&row(id)) {
                said.error(table, &error);
            }
        }
        (0..120).for_each(|id| rows.push(&row(id)).unwrap());
        let group = buffer.group(|group| (0..2).try_for_each(|id| group.add(&rows, &row(id))));
        let receipt = group.unwrap();
        said.value(table, &(&rows, &receipt));
        if let Err(error) = receipt.wait() {
            said.error(table, &error);
        }
        buffer.flush().unwrap();
        assert!(buffer.stats().rejected > before, "{table} takes everything");
    }
    let merging = buffer.table("keyed").upsert(["integer"]).coalesce().producer().unwrap();
    (0..10).for_each(|id| merging.push(&row(id)).unwrap());
    said.value("a buffer", &(&buffer, buffer.stats(), buffer.health(), buffer.config()));
    said.value("the end", &buffer.close_within(Duration::from_secs(30)));
    let asked = said.0.lock().iter().filter(|(by, _)| by == "the accessor").count();
    assert!(asked > 100, "the database's own text is there for whoever asks: {asked}");
    look(&log, &said);
}

#[test]
fn a_row_that_is_refused_before_it_is_accepted_is_in_no_error() {
    #[derive(Serialize)]
    struct Unfit {
        id: u64,
        text: &'static str,
    }

    let (log, said) = (Log::default(), Said::default());
    tracing::subscriber::set_global_default(log.everything()).unwrap();
    let scratch = Scratch::new(SCHEMA);
    let path = scratch.path();
    let buffer = WriteBuffer::builder(&path)
        .config(Config { max_row_bytes: 1_024, ..Config::default() })
        .open()
        .unwrap();
    let rows = buffer.table("uniq").insert().producer().unwrap();
    let newest = buffer.table("keyed").upsert(["integer"]).newest_by("integer").producer();
    said.error("newest_by a key", &newest.map(drop).unwrap_err());
    let newest = buffer.table("typed").insert().producer().unwrap();
    let refused = |by: &str, told: Result<(), Error>| said.error(by, &told.unwrap_err());
    let unsigned = INTEGER as u64 | 1 << 63;
    refused("an integer that is too large", rows.push(&Unfit { id: unsigned, text: TEXT }));
    refused("another", rows.push(&Unfit { id: u64::MAX - INTEGER as u64, text: TEXT }));
    refused("NaN", newest.push(&(1, TEXT, INTEGER, f64::NAN, Bytes::new(BLOB))));
    refused("a row that is too large", rows.push(&(TEXT.repeat(100), TEXT, 1, 2, 3)));
    refused("values without columns", rows.push(&(TEXT, TEXT, INTEGER, REAL, TEXT, TEXT, TEXT)));
    refused("a field without a column", rows.push(&serde_json::json!({"nothing": TEXT})));
    refused("no row", rows.push(TEXT));
    refused("no row", rows.push(&INTEGER));
    refused("no row", rows.push(&[TEXT, TEXT][..]));
    refused("bytes", rows.push(Bytes::new(BLOB)));
    refused(
        "keys that are no texts",
        rows.push(&(1, std::collections::HashMap::from([(BLOB, 1)]), 2, 3, 4)),
    );
    let group = buffer.group(|group| (0..99).try_for_each(|id| group.add(&rows, &row(id))));
    said.error("a group that is too large", &group.map(drop).unwrap_err());
    buffer.close().unwrap();
    refused("a closed buffer", rows.push(&row(1)));
    look(&log, &said);
}

/// A buffer in front of a gated sink, with rows that hold canaries.
fn gated(gate: &Gate, said: &Said, config: Config) -> (WriteBuffer, Producer) {
    gate.set_table(
        ["text", "integer", "real", "blob"]
            .into_iter()
            .fold(TableInfo::new("t").column("id"), TableInfo::column),
    );
    let (sink, letters) = (Watched { inner: gate.sink(), said: said.clone() }, said.clone());
    let buffer = WriteBuffer::builder_with_sink(sink)
        .config(config)
        .on_reject(move |letter| letters.letter("a dead letter", letter))
        .open()
        .unwrap();
    let rows = buffer.table("t").insert().producer().unwrap();
    (buffer, rows)
}

#[test]
fn a_row_of_which_the_fate_is_unknown_or_that_is_given_up_is_in_no_error_and_in_no_line_of_the_log()
{
    let (log, said) = (Log::default(), Said::default());
    tracing::subscriber::set_global_default(log.everything()).unwrap();
    let error = || Error::new(ErrorKind::Unavailable, "the disk is full");
    let refusal = || Error::new(ErrorKind::Rejected, "no").with_database_message(TEXT);
    for answer in [
        SinkError::busy(error()),
        SinkError::down(error()),
        SinkError::unknown(error()),
        SinkError::lost(error()),
        SinkError::fatal(error()),
        SinkError::unmerge(refusal()),
    ] {
        let gate = Gate::open();
        let give_up = Some(Duration::ZERO);
        let retry = Retry {
            delay: Duration::ZERO,
            pause: Duration::from_millis(1),
            give_up,
            ..Retry::default()
        };
        let (buffer, rows) = gated(&gate, &said, Config { retry, ..Config::default() });
        gate.fail(7, &answer);
        rows.push(&row(1)).unwrap();
        let receipt = rows.submit(&row(2)).unwrap();
        if let Err(error) = receipt.wait() {
            said.error("a receipt", &error);
        }
        if let Health::Failed(error) | Health::Paused(error) = buffer.health() {
            said.error("health", &error);
        }
        if let Err(error) = buffer.ready(Duration::ZERO) {
            said.error("readiness", &error);
        }
        if let Err(error) = rows.push(&row(3)) {
            said.error("a push", &error);
        }
        said.value("a buffer", &(&buffer, buffer.health()));
        if let Err(error) = buffer.close() {
            said.error("close", &error);
        }
    }
    look(&log, &said);
}

#[test]
fn a_row_that_is_left_is_in_no_error_and_in_no_line_of_the_log() {
    let (log, said) = (Log::default(), Said::default());
    tracing::subscriber::set_global_default(log.everything()).unwrap();
    let gate = Gate::closed();
    let close_timeout = Duration::from_millis(1);
    let (buffer, rows) = gated(&gate, &said, Config { close_timeout, ..smallest() });
    gate.answer(|batch| {
        let error = Error::new(ErrorKind::Rejected, "no").with_database_message(TEXT);
        assert!(!batch.is_empty());
        Ok(Applied { rejected: vec![Rejection { row: 0, error }], ..Applied::default() })
    });
    rows.push(&row(1)).unwrap();
    gate.pass(1);
    gate.await_calls(1);
    rows.push(&row(2)).unwrap();
    gate.await_arrival();
    while rows.try_push(&row(2)).is_ok() {}
    said.error("a full buffer", &rows.try_push(&row(3)).unwrap_err());
    said.error("a full buffer", &rows.push_timeout(&row(3), Duration::ZERO).unwrap_err());
    let report = buffer.close_within(Duration::ZERO).unwrap();
    assert!(!report.leftovers.is_empty());
    said.value("a report", &report);
    report.leftovers.iter().for_each(|letter| said.letter("a leftover", letter));
    drop((buffer, rows));
    gate.open_up();
    gate.await_drop();
    look(&log, &said);
}

fn look(log: &Log, said: &Said) {
    said.0.lock().extend(log.text().lines().map(|line| ("the log".to_owned(), line.to_owned())));
    assert!(said.0.lock().len() > 10, "hardly anything was said");
    let leaks = said.leaks();
    assert!(leaks.is_empty(), "{} texts, such as {:#?}", leaks.len(), &leaks[..leaks.len().min(3)]);
}
