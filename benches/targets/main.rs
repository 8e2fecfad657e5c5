//! `targets`: measures the table of speed targets, and says for each whether it was met.

mod alternation;
mod args;
mod bench;
mod catalog;
mod child;
mod conductor;
mod database;
mod fairness;
mod import;
mod ledger;
mod log;
mod memory;
mod number;
mod parts;
mod push;
mod report;
mod rounds;
mod target;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Parser;
use forebay_bench::Stop;
use forebay_cli::failure::{Exit, Failure, Result};
use forebay_cli::kept::{Kept, print};
use forebay_cli::screen::Screen;
use forebay_cli::signals;

use args::Args;
use catalog::Job;
use conductor::Conductor;
use report::Report;
use rounds::Measured;
use target::Target;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(part) = &args.part {
        return parts::run(part);
    }
    let screen = Screen::new();
    let exit = run(&args, &screen).unwrap_or_else(|failure| {
        screen.end_progress();
        screen.line(&failure);
        failure.exit()
    });
    exit.into()
}

fn run(args: &Args, screen: &Screen) -> Result<Exit> {
    let targets = args.targets()?;
    let stop = Stop::default();
    let stopper = stop.clone();
    let signalled = signals::heed(move || stopper.stop())?;
    let is_json_printed = args.json.as_ref().is_some_and(|path| path.as_os_str() == "-");
    let file = args.json.as_deref().filter(|_| !is_json_printed);
    let json = file.map(|path| Kept::open("--json", path)).transpose()?;
    let markdown = args.markdown.as_deref().map(|path| Kept::open("--markdown", path));
    let markdown = markdown.transpose()?;
    let conductor = Conductor::new(args, screen, stop)?;
    let mut report = Report::begin(args);
    measure(&conductor, &targets, &mut report);
    screen.end_progress();
    if is_json_printed {
        print(&report.json()?)?;
        screen.line(report.text().trim_end());
    } else {
        print(&report.text())?;
    }
    if let Some(signal) = signalled.signal() {
        return Ok(Exit::Interrupted(signal));
    }
    for (kept, text) in [(json, report.json()?), (markdown, report.markdown())] {
        if let Some(mut kept) = kept {
            kept.write(&text)?;
        }
    }
    Ok(report.exit())
}

/// Measures what these targets need, each job once, and puts a line for each of them into the report.
fn measure(conductor: &Conductor<'_>, targets: &[&'static Target], report: &mut Report) {
    let mut results: BTreeMap<Job, Result<BTreeMap<&str, Result<Measured>>>> = BTreeMap::new();
    for target in targets {
        let of_job = results.entry(target.job).or_insert_with(|| {
            let same = targets.iter().copied().filter(|other| other.job == target.job);
            target.job.measure(conductor, &same.collect::<Vec<_>>())
        });
        let measured = match of_job {
            Ok(measured) => measured.remove(target.id).unwrap_or_else(|| {
                Err(Failure::new("its measurement has shown nothing of it".to_owned()))
            }),
            Err(failure) => Err(failure.clone()),
        };
        report.add(target, measured);
    }
}
