//! The arguments of the command, and its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::bench::args::Bench;
use crate::copy::args::Copy;
use crate::doctor::args::Doctor;
use crate::load::records::Format;
use crate::spool::args::Spool;
use crate::tune::args::Tune;

/// A batching write buffer for databases: the command.
#[derive(Debug, Parser)]
#[command(name = "forebay", version, about, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the command does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load a file of records into a table
    ///
    /// The rows go to a database, SQLite or PostgreSQL, in few, large transactions. Other processes may write to it
    /// meanwhile: their locks are only a delay. A record that does not fit is rejected with its line number and the reason; all
    /// others are committed.
    Load(Box<Load>),
    /// Move tables of a SQLite database over to PostgreSQL
    ///
    /// The tables are made where they are missing, filled, and compared. SQLite is only read. A copy that was broken off,
    /// also by kill -9, goes on when it is started again.
    Copy(Box<Copy>),
    /// Make the tables that a write buffer keeps its books in, in PostgreSQL
    ///
    /// By them a batch is found out whose COMMIT had no answer, so that no row is there twice or missing. Run it once for each
    /// database, as a user who may create tables; it does nothing where they are there. In SQLite they are made as needed.
    #[command(after_help = BOOKS_HELP)]
    Books {
        /// The PostgreSQL database, such as postgres://user@host/database
        #[arg(value_name = "URL", required_unless_present = "sql", conflicts_with = "sql")]
        url: Option<PathBuf>,
        /// Print the SQL instead, to be run by hand
        #[arg(long)]
        sql: bool,
    },
    /// Compare single writes with batched ones, on your own disk
    ///
    /// Everybody writes the same rows for a moment, by turns and in several rounds: a connection for each worker, one
    /// thread behind a channel, hand-written batches, forebay with batches of several sizes. Afterwards each
    /// database must hold what was acknowledged.
    Bench(Box<Bench>),
    /// Find batch size and linger for a table, its disk and its writers
    ///
    /// The table is copied beside its database, which is only read. Workers write rows of the copy with one batch
    /// size after the other; then the settings that suit them are printed as TOML.
    Tune(Box<Tune>),
    /// Look at a database: is it locked, is WAL on, what is wrong and what to do
    ///
    /// Every finding comes with its fix. Nothing is written unless --fix is given.
    Doctor(Doctor),
    /// Look into a spool, write its rows without the application, mend a damaged one
    Spool(Spool),
    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print a manual page
    #[command(after_help = MAN_HELP)]
    Man {
        /// The subcommand to print the page of; without it the page of forebay itself
        #[arg(value_parser = PAGES)]
        command: Option<String>,
    },
    /// Run one trial of the bench, as the program of a contender
    #[command(hide = true)]
    Trial,
}

/// `forebay load`.
#[derive(Debug, Args)]
#[command(
    after_help = "Use --help for examples, the rules for values, and the exit codes.",
    after_long_help = LOAD_HELP
)]
pub struct Load {
    /// The file to load, or - for standard input; gzip and zstd are read as what they hold
    #[arg(value_name = "FILE|-")]
    pub input: PathBuf,

    /// The database: a SQLite file, which is put into WAL mode and stays in it, or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "DATABASE|URL")]
    pub into: PathBuf,

    /// The table that the records go to
    #[arg(long, value_name = "TABLE", value_parser = NonEmptyStringValueParser::new())]
    pub table: String,

    /// What the input is made of; by default what the file's name says
    #[arg(long)]
    pub format: Option<Format>,

    /// The columns that the fields go to, for csv and tsv without a header line; for ndjson the fields to take
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub columns: Option<Vec<String>>,

    /// What the fields of csv have between them, one character [default: ,]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<u8>,

    /// Make the table if it is not there (and the database), with types by the input's first thousand records, or those
    /// that come without a break of a second
    #[arg(long)]
    pub create: bool,

    /// Update the row that has the same key, where there is one, instead of inserting
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    pub upsert: Option<Vec<String>>,

    /// Leave out records whose key, or another unique value, is in the table already
    #[arg(long, conflicts_with = "upsert")]
    pub ignore_duplicates: bool,

    /// Never overwrite a row that has a larger value in this column
    #[arg(long, value_name = "COLUMN", requires = "upsert")]
    pub newest_by: Option<String>,

    /// Of the rows with one key that wait in the buffer write the newest only
    #[arg(long, requires = "upsert")]
    pub coalesce: bool,

    /// How long the first row of a batch waits for company, such as 50ms or 2s [default: 50ms]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub linger: Option<Duration>,

    /// How rows are batched.
    #[command(flatten)]
    pub batching: Batching,

    /// Where rejected lines go, each below its reason; mend them and load this file
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,

    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
}

/// The options of what writes rows through a buffer.
#[derive(Debug, Args)]
pub struct Batching {
    /// Rows that make a batch due [default: 400]
    #[arg(long, value_name = "ROWS")]
    pub batch_size: Option<usize>,

    /// What a commit survives [default: normal]
    #[arg(long)]
    pub durability: Option<Durability>,

    /// Settings of the write buffer, as TOML; the options above override them
    #[arg(long, value_name = "TOML")]
    pub config: Option<PathBuf>,
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// A crash of the process; a power cut may take the newest commits
    Normal,
    /// Also a power cut, at the price of one flush for each transaction
    Full,
}

impl From<Durability> for forebay::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Normal => Self::Normal,
            Durability::Full => Self::Full,
        }
    }
}

impl From<Durability> for forebay_bench::Synchronous {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Normal => Self::Normal,
            Durability::Full => Self::Full,
        }
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" | b"\t" => Err("for tabs say --format tsv".to_owned()),
        [byte] if byte.is_ascii_graphic() && *byte != b'"' => Ok(*byte),
        _ => Err("it must be one character of ASCII, and not a quote".to_owned()),
    }
}

const LOAD_HELP: &str = "\
Examples:
  The states of all packages, from Debian's own log:
    awk '$3 == \"status\" {print $5 \"\\t\" $4 \"\\t\" $6 \"\\t\" $1 \" \" $2}' \\
        /var/log/dpkg.log |
      forebay load - --format tsv --columns package,state,version,at \\
        --into packages.db --table packages --create --upsert package

  A large export, compressed, with what does not fit set aside, then mended:
    forebay load topics.csv.gz --into app.db --table topics --upsert id \\
        --rejects bad.csv
    forebay load bad.csv --into app.db --table topics --upsert id

  From a program that prints JSON lines:
    program | forebay load - --format ndjson --into app.db --table events \\
        --create --json

  Into PostgreSQL:
    forebay load topics.csv --into postgres://app@db.example/app \\
        --table topics --create --upsert id

Values:
  csv, tsv  The first line names the columns, unless --columns does. Types follow
            the table's columns: in one of INTEGER or REAL type an empty field is
            NULL, and what is no number is rejected; in one of TEXT type, or of
            none, a field is the text that it is, also when it is empty; in all
            others (dates, decimals, booleans) an empty field is NULL, and SQLite
            makes numbers of what looks like them.
  tsv       Tabs end fields, line ends end records. Quotes and backslashes are
            plain characters.
  ndjson    Values have their JSON types. true and false are 1 and 0, or words
            in a column of texts; nested values are stored as JSON text; null is
            NULL. A column that a line does not mention keeps its value, or in a
            new row has its default.
  all       Text is UTF-8 without NUL characters. Blank lines are skipped. Names
            of columns are compared without regard to case. A row has at most
            max_row_bytes, which is 1 MiB (--config).

PostgreSQL:
  --table may name a schema, as in app.topics. An empty field is NULL in every
  column that is not of a text type. What a date, a boolean, a numeric, a uuid or
  JSON is, PostgreSQL says, and what it cannot read is rejected. --create makes
  columns of bigint, double precision or text, whose names are in lower case, and
  the tables of the books, which `forebay books` makes otherwise. Of the settings
  (--config) busy_timeout is how long a lock is waited for, and max_wal_bytes,
  max_cache_bytes and max_readers are refused: they are of SQLite. The password is
  taken from the URL, else from PGPASSWORD, else from ~/.pgpass (or the file that
  PGPASSFILE names). It is never shown.

Rejected lines:
  The first ten are told on standard error. --rejects keeps all of them as they
  were, each below a line that begins with #forebay: and tells its line number
  and the reason. Such a file can be loaded like any other.

Signals:
  Ctrl-C and SIGTERM end the load in good order: what was read is committed and
  reported, and up to which line that is. A second one stops it at once; what
  was committed by then stays.

Waiting:
  While another process holds the database's lock, or the disk is full, the load
  waits and says so; retry.give_up in the settings (--config) ends that.

Exit codes:
  0         no record was rejected
  1         some records were rejected, and only those
  2         wrong arguments
  3         failed; the message says why, the summary what was committed
  4         stopped at once by a second signal
  129, 130, 143  ended by a signal, in good order";

/// What there are manual pages of.
const PAGES: [&str; 12] = [
    "load",
    "copy",
    "books",
    "bench",
    "tune",
    "doctor",
    "spool",
    "spool-inspect",
    "spool-replay",
    "spool-salvage",
    "completions",
    "man",
];

const BOOKS_HELP: &str = "\
Examples:
  forebay books postgres://owner@db.example/app
  forebay books --sql | psql postgres://owner@db.example/app
Whoever writes rows needs SELECT, INSERT, UPDATE and DELETE on _forebay and
_forebay_rejected:
  GRANT SELECT, INSERT, UPDATE, DELETE ON _forebay, _forebay_rejected TO app;
The password is taken from the URL, else from PGPASSWORD, else from ~/.pgpass.";

const COMPLETIONS_HELP: &str = "\
Examples:
  forebay completions bash > ~/.local/share/bash-completion/completions/forebay
  forebay completions zsh > ~/.zfunc/_forebay
  forebay completions fish > ~/.config/fish/completions/forebay.fish";

const MAN_HELP: &str = "\
Examples:
  forebay man load | man -l -
  forebay man load > ~/.local/share/man/man1/forebay-load.1";
