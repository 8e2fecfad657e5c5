//! From arguments to a plan.

use std::env;
use std::fs;
use std::time::Duration;

use forebay_bench::tune::{TableChoice, Writing};
use forebay_bench::{Contender, Mode, Plan, Program, RowKind, RowSize, Stop, Workload};

use super::args::Bench;
use crate::failure::{Failure, Result};
use crate::screen::Screen;
use crate::tune;

/// Rounds and seconds of a run.
const USUAL: (u32, f64) = (5, 0.15);
/// The same of a look.
const QUICK: (u32, f64) = (3, 0.1);
/// Rows of a table that are written.
const KEYS: u32 = 400;
/// The name of the buffer whose settings are in a file.
const CONFIGURED: &str = "configured";

/// The program of the contenders that come with the command: the command itself.
pub(crate) fn own_program() -> Result<Program> {
    let command = env::current_exe()
        .map_err(|error| Failure::new(format!("cannot find the program that this is: {error}")))?;
    Ok(Program { command, arguments: vec!["trial".into()] })
}

/// What the arguments ask for.
pub(super) fn plan(args: &Bench, own: &Program, screen: &Screen, stop: &Stop) -> Result<Plan> {
    let (rounds, seconds) = if args.quick { QUICK } else { USUAL };
    let seconds = args.seconds.unwrap_or(seconds);
    let time = Duration::try_from_secs_f64(seconds)
        .map_err(|error| Failure::of_arguments(format!("--seconds {seconds}: {error}")))?;
    let row = if args.fat { RowKind::Fat } else { RowKind::Thin };
    let workload = workload(args, screen, stop)?;
    let contenders = contenders(args, own, workload.row_size(row))?;
    let folder = match &workload {
        Workload::Table(copy) => copy.folder().to_owned(),
        _ => args.dir.clone().unwrap_or_else(|| ".".into()),
    };
    let plan = Plan {
        workload,
        row,
        modes: args.mode.map_or_else(|| vec![Mode::Push, Mode::Await], |mode| vec![mode.into()]),
        workers: args.workers,
        kind: args.kind.into(),
        synchronous: args.durability.into(),
        rate: args.rate,
        rounds: args.rounds.unwrap_or(rounds),
        time,
        warm_up: (time / 5).min(Duration::from_millis(200)),
        contenders,
        folder,
        seed: args.seed,
    };
    plan.check()?;
    Ok(plan)
}

/// What is written: rows of a table, which is copied for that, or of the bench's own.
fn workload(args: &Bench, screen: &Screen, stop: &Stop) -> Result<Workload> {
    let Some((database, table)) = args.db.clone().zip(args.table.clone()) else {
        return Ok(args.workload.parse()?);
    };
    let choice = TableChoice {
        database,
        table,
        writing: if args.insert { Writing::Insert } else { Writing::Upsert },
        keys: args.keys.unwrap_or(KEYS),
        folder: args.dir.clone(),
    };
    Ok(Workload::Table(tune::copy(&choice, screen, stop)?))
}

fn contenders(args: &Bench, own: &Program, row: RowSize) -> Result<Vec<Contender>> {
    let named = |name: &String| Contender::named(name, own, row);
    let mut contenders = if args.contender.is_empty() {
        Contender::usual(own, row)
    } else {
        args.contender.iter().map(named).collect::<Result<_, _>>()?
    };
    for rival in &args.rival {
        let parts = rival.split_once('=').filter(|(_, program)| !program.is_empty());
        let (name, program) = parts.ok_or_else(|| {
            Failure::of_arguments(format!("--rival {rival}: it must be NAME=PROGRAM"))
        })?;
        let program = Program { command: program.into(), arguments: Vec::new() };
        contenders.push(Contender::rival(name, program)?);
    }
    if let Some(file) = &args.config {
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display())))?;
        let config = toml::from_str(&text)
            .map_err(|error| Failure::of_arguments(format!("{}: {error}", file.display())))?;
        contenders.push(Contender::configured(CONFIGURED, &config, own));
    }
    Ok(contenders)
}
