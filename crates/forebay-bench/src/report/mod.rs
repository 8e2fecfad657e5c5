//! Reports of a run: a table for the terminal, CSV, Markdown, charts, and one page with all of it.

pub mod chart;
mod columns;
pub mod csv;
pub(crate) mod heading;
pub(crate) mod html;
mod markdown;
mod notes;
mod page;
mod plots;
mod table;
mod takeaways;
mod timing;
pub mod units;

use forebay_trial::Mode;

use crate::results::{Entry, Results};

pub use heading::machine;
pub use markdown::markdown;
pub use page::page;
pub use plots::{FILES as PLOT_FILES, Plot, plots};
pub use table::{FULL_WIDTH, table};
pub use takeaways::takeaways;

/// What a mode means, in the middle of a sentence.
fn meaning(mode: Mode) -> &'static str {
    match mode {
        Mode::Push => "where a row is handed over and nobody waits for its commit",
        Mode::Await => "where each worker waits for the commit of its row before it goes on",
    }
}

/// The entries that are shown, mode by mode.
fn shown(results: &Results) -> impl Iterator<Item = &Entry> {
    [Mode::Push, Mode::Await].into_iter().flat_map(|mode| entries(results, mode))
}

/// Whether it is one thread alone, which hands nothing over and waits for nobody.
fn is_limit(entry: &Entry) -> bool {
    entry.contender.starts_with("limit@")
}

/// The entries that are shown of a mode. In await those of `limit` are left out if push has them: nobody waits there,
/// and it is the same trial.
fn entries(results: &Results, mode: Mode) -> Vec<&Entry> {
    let hidden = |entry: &Entry| {
        mode == Mode::Await
            && is_limit(entry)
            && results.entry(Mode::Push, &entry.contender).is_some()
    };
    results.entries.iter().filter(|entry| entry.mode == mode && !hidden(entry)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use forebay_trial::{Synchronous, WorkerKind};

    use super::*;
    use crate::results::ServerFacts;
    use crate::{Contender, Plan, Program, RowKind, Sink, Workload};

    pub(crate) fn results() -> Results {
        serde_json::from_str(include_str!("sample.json")).unwrap()
    }

    /// Results of a run on a server.
    pub(crate) fn results_of_server() -> Results {
        let mut results = results();
        let settings = [
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("max_wal_size", "1GB"),
            ("shared_buffers", "128MB"),
            ("synchronous_commit", "on"),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        results.settings = None;
        results.server = Some(ServerFacts {
            version: "15.14".to_owned(),
            place: "a throw-away server".to_owned(),
            is_own: true,
            transport: "unix socket".to_owned(),
            settings: settings.map(owned).into(),
        });
        for figures in results.entries.iter_mut().filter_map(|entry| entry.figures.as_mut()) {
            figures.written_bytes_per_row = None;
        }
        results
    }

    /// A plan of which those could be the results.
    pub(crate) fn plan() -> Plan {
        let own = Program { command: "forebay".into(), arguments: Vec::new() };
        let mut contenders = Contender::usual(Sink::Sqlite, &own, RowKind::Thin.size());
        let results = results();
        contenders.retain(|contender| results.entry(Mode::Push, contender.name()).is_some());
        let rivals = ["other", "broken"].map(|name| Contender::rival(name, own.clone()).unwrap());
        contenders.extend(rivals);
        Plan {
            sink: Sink::Sqlite,
            url: None,
            workload: Workload::Hot,
            row: RowKind::Thin,
            modes: vec![Mode::Push, Mode::Await],
            workers: 80,
            kind: WorkerKind::Threads,
            processes: None,
            synchronous: Synchronous::Normal,
            rate: None,
            rounds: 3,
            time: Duration::from_millis(100),
            warm_up: Duration::from_millis(20),
            contenders,
            folder: ".".into(),
            seed: 1,
        }
    }
}
