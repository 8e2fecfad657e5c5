//! A database over several lives of a process, each of which is closed or killed, with faults of the sink between: what a
//! caller was told of a row is what the database holds.

use std::time::Duration;

use forebay::{Config, Retry};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use support::Scratch;

use crate::fates::{Account, Places};
use crate::process::Process;
use crate::protocol::{Fault, Request, Step, Unit};
use crate::settings;

const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/model/regressions/lives.txt");

pub(crate) const THREADS: usize = 3;

const SCHEMA: &str = "
    CREATE TABLE rows(place INTEGER PRIMARY KEY, id INTEGER NOT NULL, bad INTEGER NOT NULL CHECK (NOT bad));
";

/// One process, from opening the database to its end.
#[derive(Debug, Clone)]
struct Life {
    config: Config,
    acts: Vec<Act>,
    end: End,
}

#[derive(Debug, Clone)]
enum Act {
    Push { thread: usize, bad: bool },
    Submit { thread: usize, rows: i64, bad: bool },
    Write { thread: usize, rows: i64, bad: bool },
    Await { thread: usize },
    Drop { thread: usize },
    Flush { thread: usize },
    Inject(Fault),
}

#[derive(Debug, Clone)]
enum End {
    /// When all steps are done.
    Close,
    /// While they are done, waiting for so long.
    CloseMeanwhile(Duration),
    /// SIGKILL, after so many of the steps.
    Kill(Index),
}

proptest! {
    #![proptest_config(settings(150, REGRESSIONS))]

    #[test]
    fn what_was_told_of_a_row_is_what_the_database_holds_after_every_close_and_kill(
        lives in prop::collection::vec(life(), 1..4),
    ) {
        run(&lives);
    }
}

fn life() -> impl Strategy<Value = Life> {
    let end = prop_oneof![
        1 => Just(End::Close),
        1 => select(vec![Duration::ZERO, Duration::from_secs(30)]).prop_map(End::CloseMeanwhile),
        2 => any::<Index>().prop_map(End::Kill),
    ];
    (config(), prop::collection::vec(act(), 1..40), end).prop_map(|(config, acts, end)| Life {
        config,
        acts,
        end,
    })
}

fn config() -> impl Strategy<Value = Config> {
    let linger = select(vec![3_600_000, 0, 1]).prop_map(Duration::from_millis);
    let max_buffer_bytes = select(vec![64 * 1024 * 1024, 24_000_usize]);
    (1..8_usize, 0..5_usize, linger, max_buffer_bytes).prop_map(
        |(batch_size, more, linger, max_buffer_bytes)| Config {
            batch_size,
            max_transaction_rows: batch_size + more,
            linger,
            max_buffer_bytes,
            max_batch_bytes: max_buffer_bytes / 8,
            max_row_bytes: 1_024,
            retry: Retry {
                delay: Duration::from_millis(1),
                pause: Duration::from_millis(1),
                ..Retry::default()
            },
            ..Config::default()
        },
    )
}

fn act() -> impl Strategy<Value = Act> {
    let thread = || 0..THREADS;
    let bad = || prop::bool::weighted(0.1);
    let rows = || prop_oneof![2 => Just(1), 1 => 2..5_i64];
    let fault = prop_oneof![
        3 => select(vec![Fault::Busy, Fault::Down]),
        2 => select(vec![Fault::UnknownBefore, Fault::UnknownAfter]),
        1 => select(vec![Fault::PanicBefore, Fault::PanicAfter, Fault::Fatal]),
        1 => select(vec![Fault::AbortBefore, Fault::AbortAfter]),
    ];
    prop_oneof![
        8 => (thread(), bad()).prop_map(|(thread, bad)| Act::Push { thread, bad }),
        4 => (thread(), rows(), bad())
            .prop_map(|(thread, rows, bad)| Act::Submit { thread, rows, bad }),
        4 => (thread(), rows(), bad())
            .prop_map(|(thread, rows, bad)| Act::Write { thread, rows, bad }),
        2 => thread().prop_map(|thread| Act::Await { thread }),
        1 => thread().prop_map(|thread| Act::Drop { thread }),
        1 => thread().prop_map(|thread| Act::Flush { thread }),
        1 => fault.prop_map(Act::Inject),
    ]
}

impl Act {
    /// What the child is asked. A row's id says in which order those of a life were handed over.
    fn request(&self, last_id: &mut i64) -> Request {
        let mut unit = |rows, bad| {
            let ids: Vec<i64> = (1..=rows).map(|row| *last_id + row).collect();
            *last_id += rows;
            Unit { ids, bad }
        };
        let (thread, step) = match *self {
            Self::Push { thread, bad } => (thread, Step::Push(unit(1, bad))),
            Self::Submit { thread, rows, bad } => (thread, Step::Submit(unit(rows, bad))),
            Self::Write { thread, rows, bad } => (thread, Step::Write(unit(rows, bad))),
            Self::Await { thread } => (thread, Step::Await),
            Self::Drop { thread } => (thread, Step::Drop),
            Self::Flush { thread } => (thread, Step::Flush),
            Self::Inject(fault) => return Request::Inject(fault),
        };
        Request::Do { thread, step }
    }
}

fn run(lives: &[Life]) {
    let scratch = Scratch::new(SCHEMA);
    let mut last_id = 0;
    let mut before = Vec::new();
    for life in lives {
        let requests: Vec<_> = life.acts.iter().map(|act| act.request(&mut last_id)).collect();
        let account = live(&scratch, life, &requests);
        let mut places = places(&scratch);
        let own = places.split_off(before.len().min(places.len()));
        assert_eq!(places, before, "what was there stays there");
        account.check(&own);
        before.extend(own);
        let found: String = scratch.value("PRAGMA integrity_check", ());
        assert_eq!(found, "ok");
    }
}

/// Has a process do what it is asked, until its end.
fn live(scratch: &Scratch, life: &Life, requests: &[Request]) -> Account {
    let mut account = Account::new(requests);
    let mut process = Process::start(&scratch.path(), &life.config);
    requests.iter().for_each(|request| process.ask(request));
    let steps = requests.iter().filter(|request| matches!(request, Request::Do { .. })).count();
    match life.end {
        End::Close => {
            process.hear(&mut account, steps);
            process.close(&mut account, Duration::from_secs(30));
        }
        End::CloseMeanwhile(patience) => process.close(&mut account, patience),
        End::Kill(after) => {
            process.hear(&mut account, after.index(steps + 1));
            process.kill(&mut account);
        }
    }
    account
}

/// The ids, in the order in which the rows were written.
fn places(scratch: &Scratch) -> Places {
    scratch.column("SELECT id FROM rows ORDER BY place")
}
