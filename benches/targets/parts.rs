//! The measurements that need a process of their own: this program, started again, is one of them.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread::ScopedJoinHandle;

use serde::{Deserialize, Serialize};

use crate::{alternation, fairness, log, memory, push};

/// What a part can fail of; it goes to standard error as text.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What a child is asked for. Its answer is a line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// The write-ahead log's size.
    Log(log::Ask),
    /// Pushes, whose allocations are counted.
    Allocations,
    /// Pushes, whose instructions somebody else counts.
    Instructions(push::Ask),
    /// One of several processes.
    Process(fairness::Ask),
    /// A full buffer.
    Memory(memory::Ask),
    /// Two tables by turns.
    Alternation(alternation::Ask),
}

/// Does what a line of JSON asks for.
pub(crate) fn run(part: &str) -> ExitCode {
    match answer(part).and_then(|answer| print(&answer)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed nobody can be told.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(part: &str) -> Result<String> {
    Ok(match serde_json::from_str(part)? {
        Part::Log(ask) => serde_json::to_string(&log::watch(&ask)?)?,
        Part::Allocations => serde_json::to_string(&push::count_allocations()?)?,
        Part::Instructions(ask) => serde_json::to_string(&push::push_many(&ask)?)?,
        Part::Process(ask) => serde_json::to_string(&fairness::write(&ask)?)?,
        Part::Memory(ask) => serde_json::to_string(&memory::fill(&ask)?)?,
        Part::Alternation(ask) => serde_json::to_string(&alternation::write(&ask)?)?,
    })
}

/// What threads have returned, once all of them have ended.
pub(crate) fn join<T>(threads: Vec<ScopedJoinHandle<'_, forebay::Result<T>>>) -> Result<Vec<T>> {
    let joined: Vec<_> = threads.into_iter().map(ScopedJoinHandle::join).collect();
    let one = |result: std::thread::Result<forebay::Result<T>>| {
        Ok(result.map_err(|_| "a thread has panicked")??)
    };
    joined.into_iter().map(one).collect()
}

/// Prints a line, at once.
pub(crate) fn print(line: &str) -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
