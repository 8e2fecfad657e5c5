//! `forebay tune`: copies a table, tries settings on it, and prints those that suit it.

pub mod args;
mod outputs;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use forebay_bench::tune::{TableChoice, TableCopy, TuneEvent, TunePlan, Tuning, Writing, tune};
use forebay_bench::{Mode, Stop};

use crate::bench;
use crate::failure::{Exit, Failure, Result};
use crate::kept::print;
use crate::screen::Screen;
use crate::signals::{self, Signalled};
use crate::words::grouped;
use args::Tune;
use outputs::Outputs;

/// Rounds and seconds of the sweep.
const USUAL: (u32, f64) = (5, 0.15);
/// The same of a look.
const QUICK: (u32, f64) = (3, 0.05);
/// What 99 of 100 rows stay within, where nobody waits and nothing else is said.
const PUSH_BUDGET: Duration = Duration::from_millis(100);

/// Finds settings for a table.
///
/// # Errors
///
/// When the table cannot be copied or written to, or the settings cannot be printed.
pub fn run(args: &Tune, screen: &Screen) -> Result<Exit> {
    let stop = Stop::default();
    let stopper = stop.clone();
    let signalled = signals::heed(move || stopper.stop())?;
    let ended = found(args, screen, &stop);
    screen.end_progress();
    // A signal at a terminal also ends the programs of trials, whose failure is none then.
    match (ended, signal(&stop, &signalled)) {
        (Err(_), Some(signal)) => {
            screen.line("stopped: the copy is removed, and there are no settings");
            Ok(Exit::Interrupted(signal))
        }
        (ended, _) => ended,
    }
}

fn signal(stop: &Stop, signalled: &Signalled) -> Option<i32> {
    if stop.is_stopped() { signalled.signal_on_its_way() } else { signalled.signal() }
}

fn found(args: &Tune, screen: &Screen, stop: &Stop) -> Result<Exit> {
    let (rounds, seconds) = if args.quick { QUICK } else { USUAL };
    let seconds = args.seconds.unwrap_or(seconds);
    let time = Duration::try_from_secs_f64(seconds)
        .map_err(|error| Failure::of_arguments(format!("--seconds {seconds}: {error}")))?;
    let mode = if args.r#await { Mode::Await } else { Mode::Push };
    let plan = TunePlan {
        mode,
        workers: args.workers,
        synchronous: args.durability.into(),
        budget: args.p99.or((mode == Mode::Push).then_some(PUSH_BUDGET)),
        rate: args.rate,
        rounds: args.rounds.unwrap_or(rounds),
        time,
        seed: args.seed,
    };
    plan.check()?;
    let own = bench::own_program()?;
    let outputs = args.output.as_deref().map(Outputs::open).transpose()?;
    let choice = TableChoice {
        database: args.db.clone(),
        table: args.table.clone(),
        writing: if args.insert { Writing::Insert } else { Writing::Upsert },
        keys: args.keys,
        folder: args.dir.clone(),
    };
    let copy = copy(&choice, screen, stop)?;
    let tuning = tune(&plan, &copy, &own, stop, &mut |event| tell(screen, event))?;
    drop(copy);
    screen.end_progress();
    show(&tuning, screen);
    let toml = settings::toml(&tuning, &settings::repeat(args, &tuning));
    print(&toml)?;
    if let Some(outputs) = outputs {
        outputs.write(&tuning, &toml)?;
    }
    Ok(if tuning.advice.unmet.is_some() { Exit::Missed } else { Exit::Success })
}

/// Copies a table, and says so.
pub(crate) fn copy(choice: &TableChoice, screen: &Screen, stop: &Stop) -> Result<Arc<TableCopy>> {
    let copy = TableCopy::make(choice, stop)?;
    for note in copy.notes() {
        screen.line(format!("note: {note}"));
    }
    screen.line(format!(
        "copied `{}` with {} {}; its database is only read",
        copy.table(),
        grouped(copy.rows()),
        if copy.rows() == 1 { "row" } else { "rows" }
    ));
    Ok(Arc::new(copy))
}

fn tell(screen: &Screen, event: TuneEvent) {
    match event {
        TuneEvent::Begins { what, settings, estimate } => {
            screen.line(format!(
                "trying {settings} {what}, about {:.0} s",
                estimate.as_secs_f64().ceil()
            ));
        }
        TuneEvent::Trial { done, of, name } => screen.step(done, of, name),
    }
}

/// The figures and what follows from them, for people.
fn show(tuning: &Tuning, screen: &Screen) {
    let heading = tuning.heading().join("\n");
    screen.line(format!("\n{heading}\n\n{}", tuning.batch_table()));
    if let Some(table) = tuning.linger_table() {
        screen.line(table);
    }
    screen.line(tuning.charts());
    for sentence in tuning.sentences() {
        screen.line(format!("{sentence}\n"));
    }
}
