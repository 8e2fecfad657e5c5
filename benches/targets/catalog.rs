//! The table: every target, and the job that measures it.

use std::collections::BTreeMap;

use forebay_cli::failure::Result;

use crate::bench::{self, Run};
use crate::conductor::Conductor;
use crate::number::{Number, Over, Quantile, Who};
use crate::rounds::Measured;
use crate::target::{Bound, DecidedBy, Target, Unit};
use crate::{alternation, fairness, import, log, memory, push};

/// What is measured at once, for one target or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    /// `forebay bench`.
    Bench(Run),
    /// The write-ahead log's size.
    Log,
    /// A push's time.
    PushTime,
    /// Its allocations.
    PushAllocations,
    /// Its instructions.
    PushInstructions,
    /// What each of several processes gets.
    Fairness,
    /// Memory of a full buffer.
    Memory,
    /// Two tables by turns.
    Alternation,
    /// `benches/import`.
    Import,
    /// The instructions of a push with a spool.
    SpoolInstructions,
}

impl Job {
    /// Measures it for these targets. Blocks until all rounds are over.
    pub(crate) fn measure(
        self,
        conductor: &Conductor<'_>,
        targets: &[&'static Target],
    ) -> Result<BTreeMap<&'static str, Result<Measured>>> {
        match self {
            Self::Bench(run) => bench::measure(run, conductor, targets),
            Self::Log => log::measure(conductor),
            Self::PushTime => push::time(conductor),
            Self::PushAllocations => push::allocations(conductor),
            Self::PushInstructions => push::instructions(conductor),
            Self::Fairness => fairness::measure(conductor),
            Self::Memory => memory::measure(conductor),
            Self::Alternation => alternation::measure(conductor),
            Self::Import => import::measure(conductor),
            Self::SpoolInstructions => push::instructions_with_a_spool(conductor),
        }
    }
}

const fn bench(
    id: &'static str,
    case: &'static str,
    (bound, of): (Bound, &'static str),
    decided_by: DecidedBy,
    run: Run,
    number: Number,
) -> Target {
    let unit = Unit::Times(of);
    Target { id, case, bound, unit, decided_by, job: Job::Bench(run), number: Some(number) }
}

const fn own(
    id: &'static str,
    case: &'static str,
    bound: Bound,
    unit: Unit,
    decided_by: DecidedBy,
    job: Job,
) -> Target {
    Target { id, case, bound, unit, decided_by, job, number: None }
}

const fn rate(of: &'static str, over: Over) -> Number {
    Number::Rate { of, over }
}

const MEDIAN: DecidedBy = DecidedBy::Median;
const QUARTILE: DecidedBy = DecidedBy::Quartile;
const WORST: DecidedBy = DecidedBy::Worst;
const BUFFER: &str = "forebay@400";
const DIRECT: Over = Over::Contender("direct");
const LIMIT: Over = Over::Contender("limit@400");
const USUAL_LIMIT: Over = Over::Contender("limit@400+default-checkpoint");

const fn least(bound: f64, of: &'static str) -> (Bound, &'static str) {
    (Bound::AtLeast(bound), of)
}

const fn most(bound: f64, of: &'static str) -> (Bound, &'static str) {
    (Bound::AtMost(bound), of)
}

/// All of them, in the table's order.
pub(crate) const TARGETS: &[Target] = &[
    bench(
        "1a",
        "push, 80 threads, hot, batches of 400",
        least(0.95, "limit@400"),
        MEDIAN,
        Run::Push,
        rate(BUFFER, LIMIT),
    ),
    bench(
        "1b",
        "push, 80 threads, hot, batches of 400",
        least(25.0, "direct"),
        QUARTILE,
        Run::Push,
        rate(BUFFER, DIRECT),
    ),
    bench(
        "1c",
        "push, 80 threads, hot, batches of 400",
        least(10.0, "the best rival"),
        MEDIAN,
        Run::Push,
        rate(BUFFER, Over::BestRival(Who::Any)),
    ),
    bench(
        "1d",
        "push, 80 threads, hot, batches of 400",
        least(10.0, "the best with 1 row/tx"),
        MEDIAN,
        Run::Push,
        rate(BUFFER, Over::BestRival(Who::OneRow)),
    ),
    bench(
        "2",
        "push, 80 threads, hot, coalesce()",
        least(1.0, "10M/s or 4 limit@400"),
        MEDIAN,
        Run::Push,
        Number::Merged { of: "forebay@400+coalesce", limit: "limit@400" },
    ),
    bench(
        "3a",
        "await, 80 threads, hot",
        least(3.0, "direct"),
        QUARTILE,
        Run::Await,
        rate(BUFFER, DIRECT),
    ),
    bench(
        "3b",
        "await, 80 threads, hot: p99.9",
        most(0.05, "direct's"),
        QUARTILE,
        Run::Await,
        Number::Latency { of: BUFFER, over: "direct", at: Quantile::P999 },
    ),
    bench(
        "3c",
        "await, 80 threads, hot",
        least(1.0, "the best rival"),
        MEDIAN,
        Run::Await,
        rate(BUFFER, Over::BestRival(Who::Any)),
    ),
    bench(
        "3d",
        "await, 80 tasks, hot",
        least(1.0, "the best rival of tasks"),
        MEDIAN,
        Run::AwaitTasks,
        rate(BUFFER, Over::BestRival(Who::Tasks)),
    ),
    bench(
        "4",
        "await, 80 threads, hot, durability full",
        least(25.0, "direct"),
        QUARTILE,
        Run::AwaitFull,
        rate(BUFFER, DIRECT),
    ),
    bench(
        "5",
        "await, 1,000 tasks",
        least(5.0, "the best of three"),
        MEDIAN,
        Run::ManyTasks,
        rate(BUFFER, Over::BestRival(Who::Any)),
    ),
    bench(
        "6",
        "await, 1 thread, nobody else: median call",
        most(1.5, "direct's"),
        QUARTILE,
        Run::Alone,
        Number::Latency { of: BUFFER, over: "direct", at: Quantile::P50 },
    ),
    bench(
        "7a",
        "push, 80 threads, wide, batches of 400",
        least(1.0, "limit@400"),
        MEDIAN,
        Run::Wide,
        rate(BUFFER, LIMIT),
    ),
    bench(
        "7b",
        "push, 80 threads, wide, batches of 400",
        least(1.6, "limit, 1,000 pages"),
        MEDIAN,
        Run::Wide,
        rate(BUFFER, USUAL_LIMIT),
    ),
    bench(
        "7c",
        "push, 80 threads, wide, unordered()",
        least(3.0, "limit, 1,000 pages"),
        MEDIAN,
        Run::Wide,
        rate("forebay@20000+unordered", USUAL_LIMIT),
    ),
    own(
        "7d",
        "push, wide: log beyond max_wal_bytes",
        Bound::AtMost(1.0),
        Unit::Times("a batch"),
        WORST,
        Job::Log,
    ),
    own(
        "8a",
        "a push of 4 columns, one producer",
        Bound::AtMost(80e-9),
        Unit::Seconds,
        MEDIAN,
        Job::PushTime,
    ),
    own(
        "8b",
        "10,000 pushes of 4 columns, one producer",
        Bound::AtMost(0.0),
        Unit::Count("allocations"),
        MEDIAN,
        Job::PushAllocations,
    ),
    own(
        "8c",
        "a push of 4 columns, one producer",
        Bound::AtMost(600.0),
        Unit::Count("instructions"),
        MEDIAN,
        Job::PushInstructions,
    ),
    bench(
        "9a",
        "await, 8 processes of 10 threads",
        least(3.0, "direct"),
        QUARTILE,
        Run::Processes,
        rate(BUFFER, DIRECT),
    ),
    own(
        "9b",
        "8 processes: rows of the slowest",
        Bound::AtLeast(0.5),
        Unit::Times("their mean"),
        WORST,
        Job::Fairness,
    ),
    own(
        "9c",
        "8 processes: longest without a commit",
        Bound::AtMost(1.0),
        Unit::Seconds,
        WORST,
        Job::Fairness,
    ),
    own(
        "10a",
        "full buffer: bytes allocated for rows",
        Bound::AtMost(1.0),
        Unit::Times("max_buffer_bytes"),
        WORST,
        Job::Memory,
    ),
    own(
        "10b",
        "push, 80 threads, two tables by turns",
        Bound::AtLeast(0.8),
        Unit::Times("one thread by hand"),
        MEDIAN,
        Job::Alternation,
    ),
    own(
        "10c",
        "full buffer: peak memory above idle",
        Bound::AtMost(1.0),
        Unit::Times("room, cache, 8 MiB"),
        WORST,
        Job::Memory,
    ),
    own(
        "11a",
        "forebay load, CSV of 1,000,000 rows",
        Bound::AtLeast(1.0),
        Unit::Times("sqlite3's .import"),
        MEDIAN,
        Job::Import,
    ),
    own(
        "11b",
        "forebay load, CSV of 1,000,000 rows",
        Bound::AtLeast(3.0),
        Unit::Times("commits of 400 rows"),
        MEDIAN,
        Job::Import,
    ),
    bench(
        "12a",
        "push, 80 threads, hot, with a spool",
        least(0.85, "without"),
        MEDIAN,
        Run::Spool,
        rate("forebay@400+spool", Over::Contender(BUFFER)),
    ),
    bench(
        "12b",
        "push, 80 threads, wide, with a spool",
        least(0.85, "without"),
        MEDIAN,
        Run::WideSpool,
        rate("forebay@400+spool", Over::Contender(BUFFER)),
    ),
    own(
        "12c",
        "instructions of a push, with a spool",
        Bound::AtMost(1.5),
        Unit::Times("without"),
        MEDIAN,
        Job::SpoolInstructions,
    ),
    bench(
        "13a",
        "PostgreSQL: await, 80 threads, hot",
        least(10.0, "direct"),
        QUARTILE,
        Run::ServerAwait,
        rate(BUFFER, DIRECT),
    ),
    bench(
        "13b",
        "PostgreSQL: push, 80 threads, wide",
        least(0.9, "limit@400"),
        MEDIAN,
        Run::ServerWide,
        rate(BUFFER, LIMIT),
    ),
    bench(
        "13c",
        "PostgreSQL: push, 80 threads, hot",
        least(20.0, "direct"),
        QUARTILE,
        Run::Server,
        rate(BUFFER, DIRECT),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_an_id_of_its_own_and_stands_in_their_order() {
        let ids: Vec<_> = TARGETS.iter().map(|target| target.id).collect();
        let number = |id: &str| {
            let digits = id.trim_end_matches(char::is_alphabetic);
            (digits.parse::<u32>().unwrap(), id[digits.len()..].to_owned())
        };
        assert!(ids.iter().map(|id| number(id)).is_sorted_by(|one, other| one < other), "{ids:?}");
    }
}
