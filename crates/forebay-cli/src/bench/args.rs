//! The arguments of `forebay bench`, and its help.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::args::Durability;

/// `forebay bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// What is written: hot, wide, append or mixed
    #[arg(long, value_name = "NAME", default_value = "hot")]
    pub workload: String,

    /// Whether workers wait for their commits; both without it
    #[arg(long, value_name = "MODE")]
    pub mode: Option<Mode>,

    /// How many write
    #[arg(long, value_name = "N", default_value_t = 80)]
    pub workers: u32,

    /// What the workers are
    #[arg(long = "as", value_name = "KIND", default_value = "threads")]
    pub kind: Kind,

    /// Rows with a text of 1 KiB instead of a word
    #[arg(long)]
    pub fat: bool,

    /// What a commit survives
    #[arg(long, value_name = "LEVEL", default_value = "normal")]
    pub durability: Durability,

    /// Rows in each second that all workers mean to write, instead of as many as they can
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,

    /// Who takes part, instead of all that come with forebay (several: with commas)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub contender: Vec<String>,

    /// A program that takes part too (several: again)
    #[arg(long, value_name = "NAME=PROGRAM")]
    pub rival: Vec<String>,

    /// Settings of a buffer that takes part too, as `forebay tune` prints them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Rounds, in each of which all have their turn [default: 5]
    #[arg(long, value_name = "N")]
    pub rounds: Option<u32>,

    /// How long each trial is measured [default: 0.25]
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<f64>,

    /// A look: 3 rounds of 0.1 seconds
    #[arg(long)]
    pub quick: bool,

    /// Where the databases are made, and removed
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub dir: PathBuf,

    /// Keep the results as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Keep them as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,

    /// Keep them as Markdown
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,

    /// Keep them as charts (SVG) and one page (HTML)
    #[arg(short, long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,

    /// End with code 1 when a median ratio is lower: forebay@400=25 is against direct, in each mode;
    /// push:forebay@400/limit@400=0.9 says all of it (several: again)
    #[arg(long, value_name = "CONTENDER=RATIO")]
    pub fail_below: Vec<String>,

    /// Of which the order in each round is made
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
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
