//! Processes that only push, into a buffer with a spool, and are killed with SIGKILL: everything that was accepted is in the
//! database once the spool has been opened again, and nothing twice.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use support::{Accepted, LeftOver, Log, Phase, Pushed, Seen, Spooled, Trial, is_full};

use crate::victim::Victim;
use crate::{number, rounds};

/// Rounds between two fresh databases, by turns.
const LIVES: [usize; 3] = [1, 1, 10];

/// Processes that are tried until one leaves what a torn tail needs.
const TRIES: usize = 50;

/// What is done to a process.
#[derive(Debug, Clone, Copy)]
enum Kill {
    /// It pushes, and is killed so much later than it began to open.
    Pushing(Duration),
    /// It only opens, flushes and closes.
    Replaying(Duration),
}

/// What the kills of a course have hit.
#[derive(Debug, Default)]
struct Hits {
    kills: u64,
    opening: u64,
    closing: u64,
    /// Before there was a spool.
    nothing: u64,
    /// What was left had rows that were to be written by whoever opens it next.
    replays: u64,
    /// These rows, counted anew each time.
    undecided: u64,
    /// A row was being appended.
    torn: u64,
}

/// A database, and how often its processes were killed.
struct Database {
    spooled: Spooled,
    children: i64,
    rounds_left: usize,
}

/// What lasts from round to round.
struct Course {
    random: Rng,
    database: Option<Database>,
    begun: usize,
    hits: Hits,
}

impl Course {
    fn new() -> Self {
        let seed = number("CRASH_SEED").unwrap_or_else(|| fastrand::u64(..));
        let _ = writeln!(io::stderr(), "CRASH_SEED={seed}");
        Self { random: Rng::with_seed(seed), database: None, begun: 0, hits: Hits::default() }
    }

    /// One round: so much happens to a database, then it is opened by us, and everything is there.
    fn round(&mut self, happens: fn(&mut Self, &mut Database)) -> Seen {
        let mut database = self.database.take().unwrap_or_else(|| {
            let rounds_left = LIVES[self.begun % LIVES.len()];
            self.begun += 1;
            Database { spooled: Spooled::new(), children: 0, rounds_left }
        });
        let life = database.children + 1;
        happens(self, &mut database);
        database.spooled.reopen();
        let seen = database.spooled.look(life);
        database.rounds_left -= 1;
        self.database = (database.rounds_left > 0).then_some(database);
        seen
    }

    fn kill(&mut self, database: &mut Database, kill: Kill) -> LeftOver {
        let path = database.spooled.path();
        database.children += 1;
        let (victim, moment) = match kill {
            Kill::Pushing(moment) => {
                (Victim::push(&path, database.children, self.random.u64(..)), moment)
            }
            Kill::Replaying(moment) => (Victim::replay(&path), moment),
        };
        victim.killed_after(moment);
        let left = database.spooled.left_over();
        let phase = Accepted::last_phase(&path);
        self.hits.kills += 1;
        self.hits.opening += u64::from(phase == Phase::Opening);
        self.hits.closing += u64::from(phase == Phase::Closing);
        self.hits.nothing += u64::from(!left.is_spool);
        self.hits.replays += u64::from(left.undecided > 0);
        self.hits.undecided += left.undecided;
        self.hits.torn += u64::from(left.is_torn);
        left
    }

    /// At some time up to then, early more often.
    fn moment(&mut self, longest: Duration) -> Duration {
        Duration::from_millis(1) + longest.mul_f64(self.random.f64().powi(2))
    }
}

/// Runs a course, and returns what its kills hit.
fn run(trial: Trial, happens: fn(&mut Course, &mut Database)) -> Hits {
    let course = Arc::new(Mutex::new(Course::new()));
    let rounds = Arc::clone(&course);
    trial.run(move |_| rounds.lock().unwrap().round(happens));
    let hits = std::mem::take(&mut course.lock().unwrap().hits);
    let _ = writeln!(io::stderr(), "{hits:?}");
    hits
}

/// A process is killed while it pushes, or before.
fn once_under_load(course: &mut Course, database: &mut Database) {
    let moment = if Pushed::has_long_rows(database.children + 1) {
        // While rows are appended: not before it is open, and not when they have filled the spool.
        Duration::from_micros(course.random.u64(5_000..60_000))
    } else {
        course.moment(Duration::from_millis(149))
    };
    course.kill(database, Kill::Pushing(moment));
}

/// Processes are killed soon after they began to open what is there: nothing, rows, or a spool that was closed.
fn again_and_again(course: &mut Course, database: &mut Database) {
    // A spool is made only once: every other one is killed while it is.
    let quarters = if database.children == 0 { 2 } else { 3 };
    if course.random.u8(..4) < quarters {
        let moment = Duration::from_micros(course.random.u64(10_000..60_000));
        course.kill(database, Kill::Pushing(moment));
    }
    for _ in 0..course.random.usize(1..=5) {
        let moment = Duration::from_micros(course.random.u64(0..8_000));
        let kill =
            if course.random.bool() { Kill::Pushing(moment) } else { Kill::Replaying(moment) };
        course.kill(database, kill);
    }
}

/// A process is killed, and then, as if it had been killed in the middle of an append, there is the beginning of a row.
fn with_a_torn_tail(course: &mut Course, database: &mut Database) {
    for _ in 0..TRIES {
        let moment = Duration::from_millis(course.random.u64(20..150));
        course.kill(database, Kill::Pushing(moment));
        let Some(torn) = database.spooled.tear(&mut course.random) else { continue };
        let log = Log::default();
        let opened =
            tracing::subscriber::with_default(log.subscriber(), || database.spooled.open());
        database.spooled.drain(opened);
        let (text, file) = (log.text(), torn.file_name().unwrap().to_string_lossy());
        let is_warning = |line: &str| line.contains("WARN") && line.contains(&*file);
        assert!(text.lines().any(is_warning), "of {file} the log says: {text}");
        return;
    }
    panic!("{TRIES} processes were killed, and none left an open segment with rows");
}

#[test]
fn whatever_was_pushed_into_a_spool_is_there_once_after_kill_9_at_any_moment() {
    let (short, full) = rounds(150, 1_000);
    let trial = Trial::of(
        14,
        "kill -9 with a spool",
        "SIGKILL 1 to 150 ms after the buffer began to open, 6 threads pushing rows and groups, the database locked at times",
    );
    let hits = run(trial.rounds(short, full), once_under_load);
    let rounds = hits.kills;
    if rounds >= 1_000 {
        assert!(hits.replays >= rounds / 10, "spools with rows to replay: {hits:?}");
        assert!(hits.torn > 0, "kills in the middle of an append: {hits:?}");
    } else if rounds >= 100 {
        assert!(hits.replays > 0, "spools with rows to replay: {hits:?}");
    }
}

#[test]
fn a_spool_that_is_killed_again_and_again_while_it_opens_loses_nothing() {
    let (short, full) = rounds(60, 500);
    let trial = Trial::of(
        14,
        "kill -9 again during open and replay of a spool",
        "1 to 5 processes, each killed 0 to 8 ms after it began to open what the last one left: nothing, rows, or all in order",
    );
    let hits = run(trial.rounds(short, full), again_and_again);
    let rounds = if is_full() { full } else { short };
    if rounds >= 60 {
        assert!(hits.opening > 0, "kills while the spool was opened: {hits:?}");
        assert!(hits.replays > 0, "spools with rows to replay: {hits:?}");
    }
    if rounds >= 500 {
        assert!(hits.nothing > 0, "kills before there was a spool: {hits:?}");
        assert!(hits.closing > 0, "kills while the spool was closed: {hits:?}");
    }
}

#[test]
fn a_torn_tail_is_cut_and_told_and_nothing_accepted_is_lost() {
    let (short, full) = rounds(15, 200);
    let trial = Trial::of(
        26,
        "spool: torn tail",
        "SIGKILL under load, then the beginning of a row and garbage behind the last one in the spool",
    );
    run(trial.rounds(short, full), with_a_torn_tail);
}
