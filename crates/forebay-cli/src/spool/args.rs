//! The arguments of `forebay spool`, and its help.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `forebay spool`.
#[derive(Debug, Args)]
#[command(after_help = SPOOL_HELP)]
pub struct Spool {
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
}

/// What is done with a spool.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Tell what is in a spool, and what of it the database has
    ///
    /// Nothing is changed: not the spool, not the database, nor the files beside it. A spool that a process has open can be
    /// looked at. No row's values are shown.
    Inspect(Inspect),
    /// Write the rows of a spool to its database, without the application
    ///
    /// They are written as the application would write them when it opens its buffer the next time: once, in order, to
    /// the tables that they are for. Afterwards the spool is empty.
    Replay(Replay),
    /// Set a damaged spool aside, and keep what can be read of it
    ///
    /// The folder is kept as it is under another name. One takes its place that has all rows that can be read and are not in
    /// the database; it is replayed as any other.
    Salvage(Salvage),
}

/// `forebay spool inspect`.
#[derive(Debug, Args)]
#[command(
    after_help = "Use --help for the fields of --json, and the exit codes.",
    after_long_help = INSPECT_HELP
)]
pub struct Inspect {
    /// The folder of the setting `spool`
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// The SQLite database, which is only read; by default the one that the spool names, where there is such a file
    #[arg(long, value_name = "DATABASE")]
    pub database: Option<PathBuf>,

    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// `forebay spool replay`.
#[derive(Debug, Args)]
#[command(
    after_help = "Use --help for what becomes of refused rows, and the exit codes.",
    after_long_help = REPLAY_HELP
)]
pub struct Replay {
    /// The folder of the setting `spool`
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// The SQLite database that the spool was used with; by default the one that it names, where there is such a file
    #[arg(long, value_name = "DATABASE")]
    pub database: Option<PathBuf>,

    /// Take a database that knows nothing of this spool for the one that it was used with
    ///
    /// As after a backup was restored from before the spool was first used. All rows of the spool are written to it, also those
    /// that it should have already.
    #[arg(long)]
    pub adopt: bool,
}

/// `forebay spool salvage`.
#[derive(Debug, Args)]
#[command(
    after_help = "Use --help for what is kept, and the exit codes.",
    after_long_help = SALVAGE_HELP
)]
pub struct Salvage {
    /// The folder of the setting `spool`
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// The SQLite database that the spool was used with, which says what it has of it; by default the one that the spool
    /// names, where there is such a file
    #[arg(long, value_name = "DATABASE")]
    pub database: Option<PathBuf>,

    /// Ask no database, and keep every row that can be read, under its number
    #[arg(long, conflicts_with_all = ["database", "replay"])]
    pub without_database: bool,

    /// Write the rows that are kept to the database at once
    #[arg(long)]
    pub replay: bool,
}

const SPOOL_HELP: &str = "\
Examples:
  What has a killed process left?
    forebay spool inspect app.spool --database app.db

  Write it now, before the application is there again:
    forebay spool replay app.spool --database app.db

  The application says that the spool is damaged:
    forebay spool salvage app.spool --database app.db --replay";

const INSPECT_HELP: &str = "\
Examples:
  What is left of a process that was killed?
    forebay spool inspect app.spool --database app.db

  Is anything left to write, for a script:
    forebay spool inspect app.spool --database app.db --json | jq .books.left

Rows are numbered from 0 in the order in which they were accepted, over the whole
life of the spool.

The fields of --json:
  folder         the path as it was given
  id             which spool it is; the database keeps its books under it
  database       the one that it names: as the application opened it
  epoch          how often it was opened
  in_use         whether a process has it open
  is_closed      whether it was closed with all its rows written
  rows, bytes    of all segments, as far as they can be read
  tables         table, rows, bytes; rows of a statement go by its text
  segments       file, state (open, sealed, free or damaged), first_row, rows,
                 bytes, capacity, age_seconds, damage (null where there is none)
  has_torn_tail  whether there is the beginning of a row that was never accepted
  books          null where no database was asked; else database, applied (how
                 many rows of the spool it has decided), decided and left (how
                 many of those here it has, and has not), problem
  refusal        why a buffer would not open the spool, or null

Exit codes:
  0         all is well; there may be rows to replay
  2         wrong arguments
  3         it is damaged, or does not go with the database; or there is no spool,
            or the database that --database names cannot be read
  129, 130, 143  ended by a signal";

const REPLAY_HELP: &str = "\
Examples:
  forebay spool replay app.spool --database app.db

Rows that the database refuses are kept in its table _forebay_rejected, each as a
line of JSON with the reason and its values:
    sqlite3 app.db 'SELECT letter FROM _forebay_rejected'

The application is not told of them, nor of those refused in its last batch before
it ended, which it may not have been told of either: the report has these as untold.

The database is put into WAL mode and stays in it. It is never made anew, nor is a
spool. A spool that a process has open is left to it.

Waiting:
  While another process holds the database's lock, the disk is full, or a table is
  not as the rows need it, the replay waits and says so, until it is ended.

Signals:
  Ctrl-C and SIGTERM end the replay in good order: what is not written stays in the
  spool, and the next replay, or the application, goes on there. A second one stops
  it at once; nothing is lost then either.

Exit codes:
  0         all rows are written, and the spool is empty
  1         so they are, but for rows that the database refused
  2         wrong arguments
  3         failed; the message says why, and what is not written is in the spool
  4         stopped at once by a second signal
  129, 130, 143  ended by a signal, in good order";

const SALVAGE_HELP: &str = "\
Examples:
  forebay spool salvage app.spool --database app.db
  forebay spool replay app.spool --database app.db

What is kept:
  Every row that can be read and that the database has not decided. Rows behind one
  that is lost move up. The damaged folder is kept as FOLDER.damaged-1, or the next
  free number, with all its bytes.

  Without a database (--without-database) it is not known what it has: every
  readable row is kept, which is refused where one in between is lost. A replay
  leaves out those that the database has.

Exit codes:
  0         salvaged, and every part could be read
  1         salvaged, and parts could not be read, which the report names; with
            --replay also where the database refused rows
  2         wrong arguments
  3         failed, and nothing was changed; with --replay also where the replay
            failed, which the message says
  4, 129, 130, 143  ended by a signal, after the salvage";
