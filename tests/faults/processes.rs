//! Several processes that write to one database, each through a buffer of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use forebay::WriteBuffer;
use rusqlite::Connection;
use support::{Ledger, Scratch, Seen, Trial};

const SCHEMA: &str = "
    CREATE TABLE total(n INTEGER NOT NULL) STRICT;
    INSERT INTO total VALUES (0);
    CREATE TABLE by_process(process INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT";

/// A row in `held` takes longer than any test.
const HELD: &str = "
    CREATE TABLE held(id INTEGER NOT NULL);
    CREATE TRIGGER hold AFTER INSERT ON held BEGIN
        SELECT count(*) FROM (WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers)
                              SELECT n FROM numbers);
    END";

/// Groups that each process has to get into the database while the others write, too.
const PROGRESS: i64 = 300;

struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a child and waits until it has said that it begins.
    fn start(task: &str, scratch: &Scratch, process: i64, begins: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fault-child"))
            .arg(task)
            .arg(scratch.path())
            .args((task == "count").then(|| process.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut process = Self { child, said };
        assert_eq!(process.line(), begins);
        process
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Lets it close its buffer, and returns how many groups that had accepted.
    fn end(mut self) -> i64 {
        drop(self.child.stdin.take());
        let accepted = self.line().parse().unwrap();
        assert!(self.child.wait().unwrap().success());
        accepted
    }
}

impl Drop for Process {
    /// Kills it, if it has not ended.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn scratch() -> Scratch {
    Scratch::new(&format!("{};{SCHEMA};{HELD}", Seen::SCHEMA))
}

/// Blocks until a query gives at least so much.
fn reached(database: &Connection, sql: &str, least: i64) {
    while database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() < least {
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Blocks until each process has brought so many more groups into the database than there were.
fn each_goes_on(scratch: &Scratch, processes: &[i64]) {
    let database = scratch.connection();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    for process in processes {
        let sql = format!("SELECT coalesce(max(n), 0) FROM by_process WHERE process = {process}");
        let before: i64 = database.query_row(&sql, [], |row| row.get(0)).unwrap();
        reached(&database, &sql, before + PROGRESS);
    }
}

/// What is in the table, and the counters, each of which must be exact. Acknowledged are the rows of the ledger.
fn look(scratch: &Scratch) -> Seen {
    let promised = Ledger::acknowledged(&scratch.path());
    let seen = Seen::in_table(&scratch.path(), promised.iter().map(|entry| entry.0));
    let landed: i64 = scratch.value("SELECT count(*) FROM landed", []);
    assert_eq!(scratch.value::<i64>("SELECT n FROM total", []), landed);
    assert_eq!(scratch.value::<i64>("SELECT sum(n) FROM by_process", []), landed);
    let wrong = "SELECT count(*) FROM by_process WHERE n <> (SELECT count(*) FROM landed WHERE id >> 40 = process)";
    assert_eq!(scratch.value::<i64>(wrong, []), 0);
    Seen { rows: landed as u64, ..seen }
}

/// So many processes count until each has come far enough while the others did, too; the sums are exact.
fn round(processes: i64) -> Seen {
    let scratch = scratch();
    let numbers: Vec<i64> = (1..=processes).collect();
    let start = |&process: &i64| Process::start("count", &scratch, process, "counting");
    let children: Vec<Process> = numbers.iter().map(start).collect();
    each_goes_on(&scratch, &numbers);
    let accepted: i64 = children.into_iter().map(Process::end).sum();
    let mut seen = look(&scratch);
    // Each has closed cleanly: what was only pushed is promised, too.
    seen.lost += accepted as u64 - seen.rows;
    seen
}

#[test]
fn two_processes_on_one_database_both_go_on_and_their_sums_are_exact() {
    let how = "2 processes that add to the same counters, until each has committed 300 groups beside the other";
    Trial::of(24, "two processes, one database", how).rounds(3, 50).run(|_| round(2));
}

#[test]
fn four_processes_on_one_database_all_go_on_and_their_sums_are_exact() {
    let how = "4 processes, each with 4 threads, that add to the same counters";
    Trial::of(24, "four processes, one database", how).rounds(2, 25).run(|_| round(4));
}

#[test]
fn a_process_killed_under_load_stops_no_other() {
    let how = "SIGKILL of one of two processes under load; the other has to commit 300 more groups";
    Trial::of(24, "one of two processes is killed", how).rounds(5, 100).run(|_| {
        let scratch = scratch();
        let start = |process| Process::start("count", &scratch, process, "counting");
        let (killed, other) = (start(1), start(2));
        each_goes_on(&scratch, &[1, 2]);
        drop(killed);
        each_goes_on(&scratch, &[2]);
        other.end();
        look(&scratch)
    });
}

#[test]
fn a_process_killed_while_it_holds_the_lock_stops_no_other() {
    let how = "SIGKILL of a process in the middle of a transaction, while 8 threads of another wait for their rows";
    Trial::of(24, "a process is killed while it holds the lock", how).rounds(5, 100).run(|_| {
        let scratch = scratch();
        let buffer = WriteBuffer::open(scratch.path()).unwrap();
        let landed = buffer.table("landed").insert().producer().unwrap();
        let holder = Process::start("hold", &scratch, 0, "holding");
        let is_held = || scratch.connection().execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err();
        while !is_held() {
            thread::park_timeout(Duration::from_millis(1));
        }
        let receipts: Vec<_> = (0..8).map(|id| landed.submit(&(id,)).unwrap()).collect();
        thread::scope(|scope| {
            for receipt in receipts {
                scope.spawn(|| receipt.wait().unwrap());
            }
            while buffer.stats().busy_waits == 0 {
                thread::park_timeout(Duration::from_millis(1));
            }
            drop(holder);
        });
        buffer.close().unwrap();
        let held: i64 = scratch.value("SELECT count(*) FROM held", []);
        assert_eq!(held, 0, "what was not committed is not there");
        Seen { rows: 8, ..Seen::in_table(&scratch.path(), 0..8) }
    });
}
