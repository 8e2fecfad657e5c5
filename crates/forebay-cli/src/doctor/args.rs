//! The arguments of `forebay doctor`, and its help.

use std::path::PathBuf;

use clap::Args;

/// `forebay doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Use --help for what is looked at, the fields of --json, and the exit codes.",
    after_long_help = DOCTOR_HELP
)]
pub struct Doctor {
    /// The SQLite database; it is only read, unless --fix is given
    #[arg(value_name = "DATABASE")]
    pub database: PathBuf,

    /// Do what is safe: turn WAL on, put in order what a killed process left, cut a large log, PRAGMA optimize
    #[arg(long)]
    pub fix: bool,

    /// Check all of it, indexes too, however long that takes [default: what can be checked in 2 seconds]
    #[arg(long)]
    pub full: bool,

    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

const DOCTOR_HELP: &str = "\
Examples:
  Is WAL on? Who has it locked?
    forebay doctor app.db

  What is wrong, for a script:
    forebay doctor app.db --json |
      jq -r '.findings[] | select(.level != \"ok\") | .check + \": \" + .seen'

What is looked at:
  file           is it a SQLite database
  lock           is somebody writing, and who; a lock is looked at for a second
  open           who has the database open
  wal            is WAL on, and can it be used
  wal_size       how large the log is, and who reads
  journal        has a process died in the middle of a transaction
  busy_timeout   what cannot be seen from outside, and what to set
  filesystem     can WAL work there; is it read-only, or nearly full
  permissions    of the database, the files beside it, and their folder
  sqlite         which SQLite wrote it last; is that one with a known bug
  contents       only told where the checks below cannot be made
  integrity      PRAGMA quick_check; with --full PRAGMA integrity_check
  page_size, free_pages, foreign_keys, tables, triggers

What is left alone:
  Without --fix no byte of the database changes, nor of the files beside it. No
  lock is tried: who holds one is asked of the system. In WAL mode, where nobody
  has the database open, SQLite makes two files beside it and removes them again;
  where others have it open, they have one more reader. With a rollback journal,
  whoever commits waits while a check reads, for 2 seconds at the most, with
  --full longer, or gets `database is locked` if its busy_timeout is shorter.
  --fix never runs VACUUM, and never changes permissions.

With --fix:
  What was done is told, then all is looked at once more; the exit code is that
  of the second look. A damaged database is not touched, nor one that this user
  may not write to. WAL is left off where another machine may share the files.

The fields of --json:
  database                the path as it was given
  sqlite_version          of the SQLite that wrote the file last, or null
  command_sqlite_version  of the one in this command
  changes                 what --fix did or could not do, in sentences
  findings                check, level, seen, and fix (null where all is well); a
                          check may have several, or none
  worst                   the worst level: ok, note, warning or error

Exit codes:
  0         all is well; there may be notes
  1         there are warnings
  2         wrong arguments
  3         there are errors, such as a lock that stays, or no database at all
  129, 130, 143  ended by a signal";
