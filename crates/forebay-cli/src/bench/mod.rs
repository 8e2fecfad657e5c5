//! `forebay bench`: makes a plan of the arguments, runs it, prints what it has shown, and says whether that was enough.

pub mod args;
mod configured;
mod outputs;
mod plan;

pub(crate) use plan::own_program;

use std::io;

use forebay_bench::results::Verdict;
use forebay_bench::{ErrorKind, Event, Results, Stop, Threshold, report};
use terminal_size::{Width, terminal_size_of};

use crate::failure::{Exit, Failure, Result};
use crate::kept;
use crate::screen::Screen;
use crate::signals;
use args::Bench;
use outputs::Outputs;
use plan::Draft;

/// Runs the bench.
///
/// # Errors
///
/// When it cannot be run, when a contender could not be, or when its results cannot be kept.
pub fn run(args: &Bench, screen: &Screen) -> Result<Exit> {
    let own = own_program()?;
    let stop = Stop::default();
    let stopper = stop.clone();
    let at_once =
        "a folder .forebay-… may be left in --dir (or beside --db), and files without results";
    let signalled = signals::watch(screen, at_once, "anything was run", move || {
        stopper.stop();
        true
    })?;
    let draft = Draft::of(args, &own)?;
    let thresholds = args.fail_below.iter().map(|text| Threshold::parse(text, &draft.plan));
    let thresholds = thresholds.collect::<forebay_bench::Result<Vec<_>>>()?;
    let outputs = Outputs::open(args)?;
    let plan = match draft.plan(screen, &stop) {
        Err(_) if stop.is_stopped() => {
            return Ok(signalled.signal_on_its_way().map_or(Exit::Failed, Exit::Interrupted));
        }
        plan => plan?,
    };
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
    let results = match (results, signalled.signal()) {
        (Err(error), Some(signal)) if error.kind() == ErrorKind::Stopped => {
            screen.line("stopped before the first round was over: there are no results");
            return Ok(Exit::Interrupted(signal));
        }
        (results, _) => results?,
    };
    print(&results, &outputs, screen)?;
    outputs.write(&results)?;
    if let Some(folder) = &args.output {
        screen.line(format!("the page with all of it: {}", folder.join("index.html").display()));
    }
    let shortfalls: Vec<_> =
        thresholds.iter().flat_map(|threshold| threshold.shortfalls(&results)).collect();
    for shortfall in &shortfalls {
        screen.line(shortfall);
    }
    match (failed(&results), signalled.signal()) {
        (Some(failure), _) => Err(failure),
        (None, Some(signal)) => Ok(Exit::Interrupted(signal)),
        (None, None) if shortfalls.is_empty() && !has_void(&results) => Ok(Exit::Success),
        (None, None) => Ok(Exit::Missed),
    }
}

/// Prints the table to standard output, or to standard error where results go to the former.
fn print(results: &Results, outputs: &Outputs, screen: &Screen) -> Result<()> {
    let is_apart = outputs.uses_standard_output();
    let size =
        if is_apart { terminal_size_of(io::stderr()) } else { terminal_size_of(io::stdout()) };
    let width = size.map_or(report::FULL_WIDTH, |(Width(width), _)| width.into());
    let table = report::table(results, width);
    if is_apart {
        screen.line(table.trim_end());
        Ok(())
    } else {
        kept::print(&table)
    }
}

fn has_void(results: &Results) -> bool {
    results.entries.iter().any(|entry| matches!(entry.verdict, Verdict::Void(_)))
}

/// The contenders that could not be run, each once.
fn failed(results: &Results) -> Option<Failure> {
    let mut failed: Vec<String> = Vec::new();
    for entry in &results.entries {
        if let Verdict::Failed(why) = &entry.verdict {
            let text = format!("{} failed: {why}", entry.contender);
            if !failed.contains(&text) {
                failed.push(text);
            }
        }
    }
    (!failed.is_empty()).then(|| Failure::new(failed.join("\n       ")))
}
