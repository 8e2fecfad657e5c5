//! Starts a process that writes rows while something in it fails, hears what it tells, and holds that against its database.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use forebay::WriteBuffer;
use rusqlite::Connection;
use support::{Answer, Kind, Seen, Told, adds_up};

/// The longest that the process may say nothing: its receipts take no longer than 10 s, and each is said.
const SILENCE: Duration = Duration::from_secs(15);

/// The process. It is killed when this is dropped.
pub(crate) struct Victim {
    child: Child,
    lines: Receiver<Told>,
    told: Vec<Told>,
}

/// What it told, and how it ended.
pub(crate) struct Story {
    pub(crate) told: Vec<Told>,
    pub(crate) end: ExitStatus,
}

/// What may be there of the rows of which nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// There must be no such row.
    Never,
    /// None of them.
    Absent,
    /// All that the database takes.
    Present,
    Either,
}

impl Victim {
    /// `environment` is added to that of the test.
    pub(crate) fn start<'e>(
        database: &Path,
        arguments: &[String],
        environment: impl IntoIterator<Item = (&'e str, &'e OsStr)>,
    ) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_faults-victim"))
            .arg(database)
            .args(arguments)
            // To name the place of a panic takes longer than all the rest.
            .env("RUST_BACKTRACE", "0")
            .envs(environment)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the process starts");
        let output = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let (tell, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let Ok(told) = serde_json::from_str(&line) else { break };
                if tell.send(told).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, told: Vec::new() }
    }

    /// Listens until it ends.
    pub(crate) fn hear_out(self) -> Story {
        self.hear_until(|_| false)
    }

    /// Listens until it ends, or `enough` has been heard: then it is killed at once.
    pub(crate) fn hear_until(mut self, mut enough: impl FnMut(&Told) -> bool) -> Story {
        loop {
            match self.lines.recv_timeout(SILENCE) {
                Ok(told) => {
                    let enough = enough(&told);
                    self.told.push(told);
                    if enough {
                        self.child.kill().expect("it is killed");
                        self.told.extend(self.lines.iter());
                        break;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("hung: silent for {SILENCE:?}"),
            }
        }
        let end = self.child.wait().expect("it has ended");
        Story { told: std::mem::take(&mut self.told), end }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Story {
    /// Its trouble, its counters and the failures of its failpoint, when it came to its end.
    pub(crate) fn closed(&self) -> Option<(&str, &serde_json::Value, u64)> {
        match self.told.last() {
            Some(Told::Closed { trouble, stats, failures }) => Some((trouble, stats, *failures)),
            _ => None,
        }
    }

    /// Holds it against the database, where a buffer must be able to go on.
    pub(crate) fn hold_against(&self, database: &Path, unknown: Unknown) -> Seen {
        let after = Kind::Plain.id(1_000_000);
        write_one(database, after);
        let promised = self.answered(Answer::Ok).chain([after]);
        let mut seen = Seen::in_table(database, promised);
        let there = There::look(database);
        there.check_whole();
        for told in &self.told {
            self.check(told, &there, unknown);
        }
        seen.rows = self.told.len() as u64;
        if let Some((_, stats, _)) = self.closed()
            && !stats.is_null()
        {
            assert!(adds_up(stats), "{stats}");
            seen.rows = stats["accepted"].as_u64().expect("a counter");
            seen.lost += self.pushed_and_gone(&there);
        }
        seen
    }

    fn answered(&self, answer: Answer) -> impl Iterator<Item = i64> {
        self.told.iter().filter_map(move |told| match told {
            Told::Answered(id, said) if *said == answer => Some(*id),
            _ => None,
        })
    }

    fn check(&self, told: &Told, there: &There, unknown: Unknown) {
        let (id, answer) = match told {
            Told::Answered(id, answer) | Told::Letter(id, answer) => (*id, *answer),
            // Not accepted, so not there.
            Told::Refused(id, Answer::Failed) => (*id, Answer::Unwritten),
            Told::Refused(..) => panic!("{told:?}"),
            Told::Pushed(_) | Told::Closed { .. } => return,
        };
        let kind = Kind::of(id);
        let is_there = there.has(id);
        match answer {
            Answer::Ok => assert!(kind.is_good(), "{told:?} of a row that the database refuses"),
            Answer::Rejected => assert!(!kind.is_good() && !is_there, "{told:?}: {is_there}"),
            // An execute that comes after the failure has no receipt of its own to fail.
            Answer::Unwritten | Answer::Failed => assert!(!is_there, "{told:?}, and there"),
            Answer::Unknown => match unknown {
                Unknown::Never => panic!("{told:?}, where everybody could know"),
                Unknown::Absent => assert!(!is_there, "{told:?}, and there"),
                Unknown::Present => assert!(is_there || !kind.is_good(), "{told:?}, and not there"),
                Unknown::Either => {}
            },
            Answer::TimedOut | Answer::Other => panic!("{told:?}"),
        }
    }

    /// Rows that were pushed, did not come back, and are not there. Not groups: the receipt that was dropped may have had
    /// the answer in that moment.
    fn pushed_and_gone(&self, there: &There) -> u64 {
        let mut back = HashSet::new();
        for told in &self.told {
            if let Told::Letter(id, _) = told {
                assert!(back.insert(*id) || Kind::of(*id) == Kind::Group, "{id} came back twice");
            }
        }
        let gone = self.told.iter().filter(|told| match told {
            Told::Pushed(id) => {
                Kind::of(*id) != Kind::Group && !back.contains(id) && !there.has(*id)
            }
            _ => false,
        });
        gone.count() as u64
    }
}

/// A later row, by a buffer that finds the database as it was left.
fn write_one(database: &Path, id: i64) {
    let buffer = WriteBuffer::open(database).expect("the database opens again");
    let landed = buffer.table("landed").insert().producer().expect("its table is there");
    landed.write(&(id, ())).expect("a later row is written");
    buffer.close().expect("it closes");
}

/// What is in the database: how often each id is in each table.
struct There {
    landed: HashMap<i64, i64>,
    also: HashMap<i64, i64>,
}

impl There {
    fn look(database: &Path) -> Self {
        let database = Connection::open(database).expect("the database opens");
        let ids = |table: &str| {
            let sql = format!("SELECT id, count(*) FROM {table} GROUP BY id");
            let mut rows = database.prepare(&sql).expect("the table is there");
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
            rows.and_then(Iterator::collect).expect("the table can be read")
        };
        Self { landed: ids("landed"), also: ids("also") }
    }

    fn has(&self, id: i64) -> bool {
        self.landed.contains_key(&id)
    }

    /// A group is there with all of its rows or with none, and no row is that the database refuses.
    fn check_whole(&self) {
        let ids = self.landed.keys().chain(self.also.keys());
        for id in ids {
            let (landed, also) = (self.landed.get(id), self.also.get(id));
            let (landed, also) = (landed.copied().unwrap_or(0), also.copied().unwrap_or(0));
            let expected = if Kind::of(*id) == Kind::Group { 2 * landed } else { 0 };
            assert_eq!(also, expected, "{id} is not there as a whole: {landed}, {also}");
            assert!(Kind::of(*id).is_good(), "{id} is there, which the database refuses");
        }
    }
}
