//! Reports of a run: tables, CSV, Markdown, charts, one page.

pub mod chart;
mod plots;
mod units;

pub use plots::{FILES as PLOT_FILES, Plot, plots};

use forebay_trial::Mode;

use crate::results::{Entry, Results};

/// What a mode means, in the middle of a sentence.
fn meaning(mode: Mode) -> &'static str {
    match mode {
        Mode::Push => "where a row is handed over and nobody waits for its commit",
        Mode::Await => "where each worker waits for the commit of its row before it goes on",
    }
}

/// The entries that are shown of a mode. In await those of `limit` are left out if push has them: nobody waits there,
/// and it is the same trial.
fn entries(results: &Results, mode: Mode) -> Vec<&Entry> {
    let hidden = |entry: &Entry| {
        mode == Mode::Await
            && entry.contender.starts_with("limit@")
            && results.entry(Mode::Push, &entry.contender).is_some()
    };
    results.entries.iter().filter(|entry| entry.mode == mode && !hidden(entry)).collect()
}
