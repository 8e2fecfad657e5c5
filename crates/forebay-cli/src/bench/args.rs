//! The arguments of `forebay bench`, and its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

use crate::args::Durability;

/// `forebay bench`.
#[derive(Debug, Args)]
#[command(
    after_help = "Use --help for examples, what the columns mean, and the exit codes.",
    after_long_help = HELP
)]
pub struct Bench {
    /// Which kind of database is written
    ///
    /// postgres: a throw-away server is made of the programs that are installed, as another user where this one is root, and
    /// removed with all that it has, unless --url names a server that runs.
    #[arg(long, value_name = "KIND", default_value = "sqlite")]
    pub sink: Sink,

    /// A database on a PostgreSQL server of this machine: all happens in a schema of the run's own there, which is removed
    #[arg(long, value_name = "postgres://…")]
    pub url: Option<String>,

    /// What is written: hot, wide, append or mixed
    ///
    /// hot: 400 topics, updated over and over. wide: updates all over a table of a million rows. append: rows are
    /// added, with one index beside the key. mixed: as hot, while 8 readers query.
    #[arg(long, value_name = "NAME", default_value = "hot")]
    pub workload: String,

    /// Write rows of a table of this database, in a copy, instead of a workload; with --table
    #[arg(long, value_name = "DATABASE", requires = "table", conflicts_with_all = ["workload", "fat"])]
    pub db: Option<PathBuf>,

    /// The table of --db whose rows are written back by their key
    #[arg(long, value_name = "TABLE", requires = "db", value_parser = NonEmptyStringValueParser::new())]
    pub table: Option<String>,

    /// Insert the table's rows once more instead
    #[arg(long, requires = "db")]
    pub insert: bool,

    /// Rows of the table that are written over and over [default: 400]
    #[arg(long, value_name = "N", requires = "db", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub keys: Option<u32>,

    /// Whether workers wait for their commits [default: both, by turns]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<Mode>,

    /// How many write
    #[arg(long, value_name = "N", default_value_t = 80)]
    pub workers: u32,

    /// What the workers are
    #[arg(long = "as", value_name = "KIND", default_value = "threads")]
    pub kind: Kind,

    /// Spread the workers over so many processes, as threads of each
    #[arg(long, value_name = "N", conflicts_with = "kind")]
    pub processes: Option<u32>,

    /// Rows with a text of 1 KiB instead of a word
    #[arg(long)]
    pub fat: bool,

    /// What a commit survives [default: normal; of a server, what it is set to]
    #[arg(long, value_name = "LEVEL")]
    pub durability: Option<Durability>,

    /// Rows in each second that all workers together mean to write [default: as many as they can]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub rate: Option<f64>,

    /// Who takes part, with commas between the names [default: all that come with forebay]
    ///
    /// rollback, direct, retry, mutex, channel, limit@ROWS, forebay@ROWS or forebay. limit also with +default-checkpoint: the
    /// log is copied back at 1,000 pages, as SQLite does by default. forebay also with +coalesce and +unordered, as its producers,
    /// and with +spool: rows are in files beside the database until they are committed, and survive the process. With --sink
    /// postgres: direct, pipelined, limit@ROWS, forebay@ROWS or forebay, the last two also with +coalesce.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub contender: Vec<String>,

    /// A program that takes part too; can be given several times
    #[arg(long, value_name = "NAME=PROGRAM")]
    pub rival: Vec<String>,

    /// Settings of a buffer that takes part too, as forebay tune prints them
    #[arg(long, value_name = "TOML")]
    pub config: Option<PathBuf>,

    /// Rounds, in each of which all have their turn [default: 4]
    // The last counts, for scripts with a default of their own.
    #[arg(long, value_name = "N", overrides_with = "rounds")]
    pub rounds: Option<u32>,

    /// How long each trial is measured [default: 0.15]
    #[arg(
        long,
        value_name = "SECONDS",
        overrides_with = "seconds",
        allow_negative_numbers = true,
        value_parser = seconds
    )]
    pub seconds: Option<f64>,

    /// A first look: 3 rounds of 0.1 seconds
    #[arg(long)]
    pub quick: bool,

    /// Where the databases are made, and removed: on the disk that is measured [default: this folder, or that of --db]
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,

    /// Keep the results as JSON, with every round
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,

    /// Keep them as CSV, a line for each contender in each mode
    #[arg(long, value_name = "FILE|-")]
    pub csv: Option<PathBuf>,

    /// Keep them as Markdown
    #[arg(long, value_name = "FILE|-")]
    pub markdown: Option<PathBuf>,

    /// Keep all of that in a folder, which is made, with charts (SVG) and a page, index.html, that needs no other file
    #[arg(short, long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,

    /// End with code 1 when a median ratio is lower, such as forebay@400=25; can be given several times
    ///
    /// In full it is MODE:CONTENDER/REFERENCE=RATIO, such as push:forebay@400/limit@400=0.9. Without a mode it is for
    /// each that is run, without a reference against direct. Ratios are made within each round.
    #[arg(long, value_name = "CONTENDER=RATIO")]
    pub fail_below: Vec<String>,

    /// Where the order of the contenders in each round comes from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// Which kind of database is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sink {
    /// A SQLite file
    Sqlite,
    /// A table on a PostgreSQL server
    Postgres,
}

impl From<Sink> for forebay_bench::Sink {
    fn from(sink: Sink) -> Self {
        match sink {
            Sink::Sqlite => Self::Sqlite,
            Sink::Postgres => Self::Postgres,
        }
    }
}

/// Whether workers wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Nobody waits
    Push,
    /// Each worker waits for its own commit
    Await,
}

impl From<Mode> for forebay_bench::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Push => Self::Push,
            Mode::Await => Self::Await,
        }
    }
}

/// What the workers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Threads of one process
    Threads,
    /// Tokio tasks of one process
    Tasks,
    /// A process each
    Processes,
}

impl From<Kind> for forebay_bench::WorkerKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Threads => Self::Threads,
            Kind::Tasks => Self::Tasks,
            Kind::Processes => Self::Processes,
        }
    }
}

/// What no duration can be is refused here; how long it may be, by the plan.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(_) => Ok(seconds),
        Err(_) => Err("it must be more than 0 and at most 3600".to_owned()),
    }
}

const HELP: &str = "\
Examples:
  What batching is worth on this disk, in half a minute:
    forebay bench --quick

  With a flush for each transaction, on another disk, kept as a page:
    forebay bench --durability full --dir /mnt/data -o report

  Three contenders, 16 workers that wait, as CSV for a program:
    forebay bench --contender direct,limit@400,forebay@400 --workers 16 \\
        --mode await --csv - > bench.csv

  On PostgreSQL: on a server of its own, and on one that runs:
    forebay bench --sink postgres --dir /mnt/data
    forebay bench --sink postgres --url postgres://me@localhost/test

  In a pipeline: batches must be worth it, and not far from what one thread
  reaches that has nobody to take rows from:
    forebay bench --contender direct,limit@400,forebay@400 \\
        --fail-below push:forebay@400=10 \\
        --fail-below push:forebay@400/limit@400=0.5

Columns:
  rows/s        rows committed in each second, the median of the rounds
  quartiles     between which half of the rounds were
  × direct      the rate over that of direct in the same round, the median
  of limit      the same over limit: one thread without a queue that writes
                batches of the same size by hand, or of 400
  rows/tx       rows in each transaction, on average
  p50 .. max    how long calls took, of all rounds: in push until a row is
                handed over, in await until it is committed; there is no max
                where not every call was timed, which a note says
  CPU s/M rows  CPU time of the contender's processes for a million rows,
                without that of a server
  memory        the most that they had
  bytes/row     what they gave to write calls
  void          a contender whose database did not hold afterwards what had
                been acknowledged, or whose own count cannot be; its figures
                are not shown

  A figure that there is none of is –. Columns that do not fit the terminal are
  left out from the right. The table goes to standard error when - has taken
  standard output.

Signals:
  Ctrl-C and SIGTERM end the run; the rounds that were finished are reported. A
  second one stops it at once.

Exit codes:
  0         all were measured, and no ratio is below --fail-below
  1         a ratio is below, or a contender is void
  2         wrong arguments
  3         failed, or a contender did; the message says why
  4         stopped at once by a second signal
  129, 130, 143  ended by a signal, in good order";
