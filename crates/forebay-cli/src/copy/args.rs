//! The arguments of `forebay copy`, and its help.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, ValueEnum};

use crate::args::Batching;

/// `forebay copy`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("tables").args(["table", "all_tables"]).required(true),
    after_help = "Use --help for examples, types, what is left out, and the exit codes.",
    after_long_help = COPY_HELP
)]
pub struct Copy {
    /// The SQLite database; it is only read
    #[arg(value_name = "DATABASE")]
    pub from: PathBuf,

    /// The PostgreSQL database, such as postgres://user@host/database
    #[arg(value_name = "URL")]
    pub into: PathBuf,

    /// A table to copy; may be given several times
    #[arg(long, value_name = "TABLE", value_parser = NonEmptyStringValueParser::new())]
    pub table: Vec<String>,

    /// Copy all tables
    #[arg(long)]
    pub all_tables: bool,

    /// Write all rows again, also those that an earlier run has written
    #[arg(long)]
    pub from_start: bool,

    /// What is compared in the end
    #[arg(long, value_name = "WHAT", default_value = "checksum")]
    pub verify: Verify,

    /// How rows are batched.
    #[command(flatten)]
    pub batching: Batching,

    /// Where rejected rows go, as JSON lines, each below its reason
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,

    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
}

/// What is compared in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verify {
    /// How many rows there are, and a checksum over all of them: both tables are read
    Checksum,
    /// How many rows there are
    Count,
    /// Nothing
    None,
}

const COPY_HELP: &str = "\
Examples:
  Two tables, with what does not fit set aside:
    forebay copy app.db postgres://app@db.example/app --table topics \\
        --table events --rejects bad.ndjson

  All tables, into a schema of their own:
    forebay copy app.db --all-tables \\
        'postgres://app@db.example/app?options=-csearch_path%3Dimported'

The password:
  It is taken from the URL, else from PGPASSWORD, else from ~/.pgpass (or the
  file that PGPASSFILE names). It is never shown.

What is done:
  SQLite is read as it is at one moment, and not changed. In WAL mode others go
  on writing, and what they write then is not copied; in another mode they wait
  until the copy is done. A table that is missing in PostgreSQL is made; one that
  is there must be empty, with columns of the same names. Rows are written in
  batches, by the table's key where it has one that is never NULL, and in groups
  otherwise. In the end both tables are read and compared.

To go on:
  The table _forebay_copy in PostgreSQL says how far each copy has come. After
  Ctrl-C, kill -9 or a power cut the same command goes on from there, and no row
  is there twice or missing. It also copies what has been added since. Rows that
  were changed in SQLite after they were copied are found by the checksum, and
  --from-start writes all again. _forebay_copy may be dropped when the move is
  done; the tables of the books (forebay books) are made, too, and stay of use to
  an application that writes to PostgreSQL by forebay.

Types:
  INTEGER, and all with INT in it       bigint
  REAL, FLOAT, DOUBLE                   double precision
  TEXT, VARCHAR, CLOB                   text
  BLOB                                  bytea
  BOOLEAN, if all values are 0 and 1    boolean
  others (dates, decimals, none)        by their values: bigint, double precision,
                                        bytea, or text, also for dates
  Names are made lower case, as PostgreSQL reads them without quotes. To have
  other types, make the table before: dates go into a timestamptz, and what
  PostgreSQL cannot read is rejected.
  Integers go into columns of floats where they are exact, numbers into text as
  they are written, text into bytea as UTF-8; nothing else changes its type.

What is kept and left out:
  Primary keys, NOT NULL and unique indexes over columns are kept. Defaults, CHECK,
  collations, foreign keys, triggers, views and other indexes are not; those that
  can be named are printed, to be made by hand.

Rejected rows:
  A text that is not UTF-8 or holds a NUL character, a text in a column of
  numbers, and what the table refuses, are not copied. The first ten are told with
  their rowid (or their number in the order of the key) and the column; --rejects
  keeps them all.

Signals:
  Ctrl-C and SIGTERM end the copy in good order: rows on their way are committed.
  A second one stops it at once. Either way the same command goes on.

Waiting:
  While PostgreSQL cannot be reached, does not let rows be written or holds a
  lock, the copy waits and says so. Ctrl-C ends that. Rights that are missing
  from the start are told before anything is written.

Exit codes:
  0         all rows are copied, and what was compared is equal
  1         some rows were rejected, now or in an earlier run; the rest is equal
  2         wrong arguments
  3         failed, or not equal in the end; the message says what
  4         stopped at once by a second signal
  129, 130, 143  ended by a signal, in good order";
