//! `forebay bench`: makes a plan of the arguments, runs it, and prints what it has shown.

pub mod args;
mod plan;

use std::fs;
use std::io::{self, Write};

use forebay_bench::{Event, Stop};

use crate::failure::{Exit, Failure, Result};
use crate::screen::Screen;
use crate::signals;
use args::Bench;

/// Runs the bench.
///
/// # Errors
///
/// When it cannot be run, or its results cannot be kept.
pub fn run(args: &Bench, screen: &Screen) -> Result<Exit> {
    let own = plan::own_program()?;
    let plan = plan::plan(args, &own)?;
    let stop = Stop::default();
    let stopper = stop.clone();
    let at_once = "a folder .forebay-bench-… may be left in --dir";
    let signalled = signals::watch(screen, at_once, move || {
        stopper.stop();
        true
    })?;
    let mut tell = |event: Event| match event {
        Event::Begins { round, done, of, contender, mode } => {
            screen.step(
                done,
                of,
                format!("round {round} of {}: {contender}, {}", plan.rounds, mode.name()),
            );
        }
        Event::Out { contender, why } => screen.line(format!("{contender} is out: {why}")),
    };
    let results = forebay_bench::run(&plan, &own, &stop, &mut tell);
    screen.end_progress();
    let results = results?;
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&results)
            .map_err(|error| Failure::new(error.to_string()))?;
        fs::write(file, text)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
    }
    let _ = write!(io::stdout(), "{}", serde_json::to_string(&results).unwrap_or_default());
    match signalled.signal() {
        Some(signal) => Ok(Exit::Interrupted(signal)),
        None => Ok(Exit::Success),
    }
}
