//! A spool in front of PostgreSQL: what a killed process leaves is written once, what is refused is kept, and another database is refused.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use forebay::{Config, Error, ErrorKind, WriteBuffer};
use forebay_postgres::{PostgresOptions, PostgresSink};
use postgres::{Client, NoTls};
use support::{Cluster, Database, Postgres, Session, eventually};
use tempfile::TempDir;

/// No key: a row that is written twice is there twice.
const TABLE: &str = "CREATE TABLE t(id BIGINT NOT NULL CHECK (id % 10 <> 7), v TEXT)";

/// A database, and the folder of a spool.
struct Place {
    database: Postgres,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { database: Postgres::new(TABLE), folder: tempfile::tempdir().unwrap() }
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// Has a process push rows while the table is locked, and kills it.
    fn left(&self, from: i64, to: i64) {
        let mut lock = self.database.session();
        lock.lock("t");
        self.killed(from, to, || ());
        lock.unlock();
    }

    /// Has a process push rows, and kills it when `ready` returns.
    fn killed(&self, from: i64, to: i64, ready: impl FnOnce()) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fault-child"))
            .args(["keep", &self.database.url()])
            .arg(self.spool())
            .args([from.to_string(), to.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
        assert_eq!(said, "pushed");
        ready();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// How many sessions wait for a lock.
    fn waiting(&self) -> i64 {
        self.database.value(
            "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted \
             AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())",
        )
    }

    /// Opens the spool, waits until all is decided, and closes it. How many rows were replayed.
    fn drain(&self) -> u64 {
        let buffer = open(&self.database.url(), &self.spool()).unwrap();
        buffer.flush().unwrap();
        buffer.close().unwrap();
        buffer.stats().replayed
    }

    fn ids(&self) -> Vec<i64> {
        self.database.column("SELECT id FROM t ORDER BY id")
    }
}

fn open(url: &str, spool: &Path) -> Result<WriteBuffer, Error> {
    let config = Config { spool: Some(spool.to_owned()), ..Config::default() };
    WriteBuffer::with_sink(PostgresSink::connect(url)?, config)
}

fn good(ids: impl Iterator<Item = i64>) -> Vec<i64> {
    ids.filter(|id| id % 10 != 7).collect()
}

#[test]
fn rows_that_a_killed_process_left_are_written_once_and_refused_ones_are_kept() {
    let place = Place::new();
    place.left(0, 100);
    place.drain();
    assert_eq!(place.ids(), good(0..100));
    let kept = place.database.column::<i64>("SELECT seq FROM _forebay_rejected ORDER BY seq");
    assert_eq!(kept, (0..100).filter(|seq| seq % 10 == 7).collect::<Vec<_>>());
    for letter in place.database.column::<String>("SELECT letter FROM _forebay_rejected") {
        let letter: serde_json::Value = serde_json::from_str(&letter).unwrap();
        assert_eq!((&letter["table"], &letter["kind"]), (&"t".into(), &"rejected".into()));
        assert_eq!(letter["fields"]["id"].as_i64().unwrap() % 10, 7, "{letter}");
    }
    assert_eq!(place.drain(), 0, "nothing is left");
    place.left(100, 150);
    place.drain();
    assert_eq!(place.ids(), good(0..150));
}

#[test]
fn a_transaction_of_the_killed_process_that_commits_late_is_not_written_again() {
    let schema = "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION hold();";
    let place = Place::new();
    place.database.run(schema);
    let mut gate: Client = place.database.session();
    gate.run("SELECT pg_advisory_lock(1)");
    place.killed(0, 6, || eventually("its COMMIT waits", || place.waiting() == 1));
    let (url, spool) = (place.database.url(), place.spool());
    let replay = std::thread::spawn(move || open(&url, &spool)?.close().map(drop));
    eventually("the replay waits behind it", || place.waiting() == 2);
    gate.run("SELECT pg_advisory_unlock(1)");
    replay.join().unwrap().unwrap();
    assert_eq!(place.ids(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_spool_with_rows_of_another_database_is_refused_and_none_is_lost() {
    let (place, other) = (Place::new(), Postgres::new(TABLE));
    let mut lock = place.database.session();
    lock.lock("t");
    place.killed(0, 7, || ());
    let error = open(&other.url(), &place.spool()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spool, "{error:#}");
    assert!(format!("{error:#}").contains("of another database"), "{error:#}");
    assert_eq!(other.value::<i64>("SELECT count(*) FROM t"), 0);
    lock.unlock();
    place.drain();
    assert_eq!(place.ids(), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_spool_is_refused_without_books() {
    let place = Place::new();
    let options = PostgresOptions { bookkeeping: false, ..PostgresOptions::default() };
    let config = Config { spool: Some(place.spool()), ..Config::default() };
    let sink = options.connect(&place.database.url()).unwrap();
    let error = WriteBuffer::with_sink(sink, config).map(drop).unwrap_err();
    assert_eq!(
        (error.kind(), error.field()),
        (ErrorKind::Config, Some("bookkeeping")),
        "{error:#}"
    );
}

#[test]
fn a_refused_row_with_a_character_that_the_database_lacks_is_kept_and_the_next_ones_are_written() {
    let place = Place::new();
    let name = format!("latin_{}", std::process::id());
    let c = "TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'";
    place.database.run(&format!("CREATE DATABASE {name} {c}"));
    let cluster = Cluster::shared();
    let url = cluster.url(&name);
    PostgresSink::create_books(&url).unwrap();
    let mut client = cluster.config(&name).connect(NoTls).unwrap();
    client.batch_execute(TABLE).unwrap();
    let buffer = open(&url, &place.spool()).unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    for (id, text) in [(1, "café"), (2, "日 𝄞 \"quoted\""), (3, "tea")] {
        t.push(&(id, text)).unwrap();
    }
    buffer.flush().unwrap();
    buffer.close().unwrap();
    assert_eq!((buffer.stats().committed, buffer.stats().rejected), (2, 1));
    let kept: String =
        client.query_one("SELECT letter FROM _forebay_rejected", &[]).unwrap().get(0);
    assert!(kept.is_ascii(), "{kept}");
    let letter: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(letter["fields"]["v"], "日 𝄞 \"quoted\"");
    drop(client);
    place.database.run(&format!("DROP DATABASE {name} WITH (FORCE)"));
}

#[test]
fn a_statement_that_a_replay_runs_behind_its_entry_and_that_is_refused_is_kept() {
    let place = Place::new();
    let mut lock = place.database.session();
    lock.lock("t");
    let buffer = open(&place.database.url(), &place.spool()).unwrap();
    buffer.table("t").insert().producer().unwrap().push(&(1, "a")).unwrap();
    let other = buffer.clone();
    let ran = std::thread::spawn(move || other.execute("VACUUM nowhere"));
    eventually("it waits behind the row", || buffer.stats().accepted == 2);
    buffer.close_within(Duration::from_millis(50)).unwrap();
    assert_eq!(ran.join().unwrap().unwrap_err().kind(), ErrorKind::Spooled);
    drop(buffer);
    lock.unlock();
    assert_eq!(place.drain(), 2);
    assert_eq!(place.ids(), [1]);
    let kept = place.database.column::<String>("SELECT letter FROM _forebay_rejected");
    assert!(kept.len() == 1 && kept[0].contains("VACUUM nowhere"), "{kept:?}");
}
