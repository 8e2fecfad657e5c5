//! The arguments of `forebay tune`, and its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};

use crate::args::Durability;

/// `forebay tune`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("mode").args(["push", "await"]),
    after_help = "Use --help for examples, what is recommended and why, and the exit codes.",
    after_long_help = TUNE_HELP
)]
pub struct Tune {
    /// The SQLite database; it is only read
    #[arg(long, value_name = "DATABASE")]
    pub db: PathBuf,

    /// The table that is written to, in a copy
    #[arg(long, value_name = "TABLE", value_parser = NonEmptyStringValueParser::new())]
    pub table: String,

    /// How many write
    #[arg(long, value_name = "N", default_value_t = 80, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub workers: u32,

    /// Nobody waits for commits; so it is without --await
    #[arg(long)]
    pub push: bool,

    /// Each worker waits for its own commit
    #[arg(long)]
    pub r#await: bool,

    /// What 99 of 100 rows must stay within, from being handed over to being committed, such as 20ms [default: 100ms,
    /// with --await none]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = budget)]
    pub p99: Option<Duration>,

    /// Insert new rows instead of writing rows back by their key
    #[arg(long)]
    pub insert: bool,

    /// Rows that are written over and over, from all over the table
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub keys: u32,

    /// What a commit survives
    #[arg(long, value_name = "LEVEL", default_value = "normal")]
    pub durability: Durability,

    /// Rows in each second that come while lingers are compared [default: a tenth of the best rate]
    #[arg(long, value_name = "N", conflicts_with = "await", value_parser = positive)]
    pub rate: Option<f64>,

    /// Rounds, in each of which all settings have their turn [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: Option<u32>,

    /// How long each trial is measured [default: 0.15]
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    pub seconds: Option<f64>,

    /// A look: 3 rounds of 0.05 seconds
    #[arg(long)]
    pub quick: bool,

    /// Where the copy is made, and removed [default: the folder of the database]
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,

    /// Keep the figures as JSON, charts (SVG) and one page (HTML)
    #[arg(short, long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,

    /// Of which the order in each round is made
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

fn budget(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(budget) if budget.is_zero() => Err("it must be more than 0".to_owned()),
        Ok(budget) => Ok(budget),
        Err(error) => Err(error.to_string()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && number <= 1e9 => Ok(number),
        _ => Err("it must be a number above 0".to_owned()),
    }
}

const TUNE_HELP: &str = "\
Examples:
  Settings for 80 workers that push, and whether they hold:
    forebay tune --db app.db --table topics > forebay.toml
    forebay bench --db app.db --table topics --config forebay.toml \\
        --contender direct,limit@400
    The file has the whole command in it, with what the settings were found with.

  For workers that wait for their commits, 99 of 100 for 20 ms at the most:
    forebay tune --db app.db --table topics --await --p99 20ms

  A log, to which rows are added:
    forebay tune --db app.db --table log --insert

What is done:
  The table is copied into a folder beside the database (.forebay-tune-...),
  with all that it needs: up to a million rows or 256 MiB of it, its indexes and
  triggers, the tables that its foreign keys and triggers name. The database is
  only read; the folder is removed at the end. Rows of the copy are written back
  by their key, every second time with the values of their neighbours, for SQLite
  spares itself what does not change.

What is recommended:
  batch_size            the smallest that comes to nine tenths of the best rate,
  max_transaction_rows  with --push of those whose two transactions, of the slower
                        quarter, fit into --p99, with --await of those with which
                        99 of 100 calls do
  linger                with --push the largest with which 99 of 100 rows are
                        committed within --p99 while rows come at the pace of
                        --rate; with more than can be written, rows get as old as
                        the buffer is large
  max_buffer_bytes      room for a few batches; the file says how long it bridges
  A rate counts as the median of itself and those of the sizes beside it. The
  settings are then tried as they are, at full speed, beside the fastest batches
  that keep --p99; when they come to less than nine tenths of those, larger ones
  are tried, twice at the most. Lingers are compared with the size that is left.
  The figures go to standard error, the settings to standard output, as TOML.

When nothing keeps --p99:
  Where no batch size does, the smallest near the best rate is recommended; where
  a batch size does and no linger, the linger that comes nearest. The message says
  which of them failed.

Exit codes:
  0         the settings keep --p99, with --push at the pace of --rate
  1         no settings do; those that are printed come as near as said above
  2         wrong arguments
  3         failed; the message says why
  129, 130, 143  ended by a signal; the copy is removed";
