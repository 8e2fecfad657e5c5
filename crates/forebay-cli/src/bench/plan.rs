//! From arguments to a plan.

use std::env;
use std::fs;
use std::time::Duration;

use forebay_bench::{Contender, Mode, Plan, Program, RowKind, Synchronous};

use super::args::Bench;
use crate::args::Durability;
use crate::failure::{Failure, Result};

/// Rounds and seconds of a run.
const USUAL: (u32, f64) = (5, 0.25);
/// The same of a look.
const QUICK: (u32, f64) = (3, 0.1);
/// The name of the buffer whose settings are in a file.
const CONFIGURED: &str = "configured";

/// The program of the contenders that come with the command: the command itself.
pub(super) fn own_program() -> Result<Program> {
    let command = env::current_exe()
        .map_err(|error| Failure::new(format!("cannot find the program that this is: {error}")))?;
    Ok(Program { command, arguments: vec!["trial".into()] })
}

/// What the arguments ask for.
pub(super) fn plan(args: &Bench, own: &Program) -> Result<Plan> {
    let (rounds, seconds) = if args.quick { QUICK } else { USUAL };
    let seconds = args.seconds.unwrap_or(seconds);
    let time = Duration::try_from_secs_f64(seconds)
        .map_err(|error| Failure::of_arguments(format!("--seconds {seconds}: {error}")))?;
    let row = if args.fat { RowKind::Fat } else { RowKind::Thin };
    let plan = Plan {
        workload: args.workload.parse()?,
        row,
        modes: args.mode.map_or_else(|| vec![Mode::Push, Mode::Await], |mode| vec![mode.into()]),
        workers: args.workers,
        kind: args.kind.into(),
        synchronous: match args.durability {
            Durability::Normal => Synchronous::Normal,
            Durability::Full => Synchronous::Full,
        },
        rate: args.rate,
        rounds: args.rounds.unwrap_or(rounds),
        time,
        warm_up: (time / 5).min(Duration::from_millis(200)),
        contenders: contenders(args, own, row)?,
        folder: args.dir.clone(),
        seed: args.seed,
    };
    plan.check()?;
    Ok(plan)
}

fn contenders(args: &Bench, own: &Program, row: RowKind) -> Result<Vec<Contender>> {
    let named = |name: &String| Contender::named(name, own, row.size());
    let mut contenders = if args.contender.is_empty() {
        Contender::usual(own, row.size())
    } else {
        args.contender.iter().map(named).collect::<Result<_, _>>()?
    };
    for rival in &args.rival {
        let (name, program) = rival.split_once('=').ok_or_else(|| {
            Failure::of_arguments(format!("--rival {rival}: it must be NAME=PROGRAM"))
        })?;
        contenders.push(Contender::rival(
            name,
            Program { command: program.into(), arguments: Vec::new() },
        ));
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
