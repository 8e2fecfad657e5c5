//! From arguments to a plan.

use std::env;
use std::time::Duration;

use forebay::Config;
use forebay_bench::tune::{TableChoice, Writing};
use forebay_bench::{
    Contender, Mode, Plan, Program, RowKind, RowSize, Stop, Synchronous, WorkerKind, Workload,
};

use super::args::{Bench, Sink};
use super::configured;
use crate::failure::{Failure, Result};
use crate::screen::Screen;
use crate::tune;

/// Rounds and seconds of a run.
const USUAL: (u32, f64) = (4, 0.15);
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

/// What the arguments ask for, checked, before any table is copied.
pub(super) struct Draft<'a> {
    args: &'a Bench,
    own: &'a Program,
    /// Of the buffer whose settings are in a file.
    config: Option<Config>,
    /// The plan; in the place of a table it has a workload of the bench's own.
    pub(super) plan: Plan,
}

impl<'a> Draft<'a> {
    /// Of these arguments.
    pub(super) fn of(args: &'a Bench, own: &'a Program) -> Result<Self> {
        refuse_for_sink(args)?;
        let (rounds, seconds) = if args.quick { QUICK } else { USUAL };
        let seconds = args.seconds.unwrap_or(seconds);
        let time = Duration::try_from_secs_f64(seconds)
            .map_err(|error| Failure::of_arguments(format!("--seconds {seconds}: {error}")))?;
        let row = if args.fat { RowKind::Fat } else { RowKind::Thin };
        let workload: Workload = args.workload.parse()?;
        let file = args.config.as_deref().map(configured::read).transpose()?;
        let config = file.as_ref().map(|file| file.config.clone());
        let modes = [Mode::Push, Mode::Await];
        let plan = Plan {
            sink: args.sink.into(),
            url: args.url.clone(),
            contenders: contenders(args, own, workload.row_size(row), config.as_ref())?,
            workload,
            row,
            modes: args.mode.map_or_else(|| modes.to_vec(), |mode| vec![mode.into()]),
            workers: args.workers,
            kind: args.processes.map_or_else(|| args.kind.into(), |_| WorkerKind::Processes),
            processes: args.processes,
            synchronous: args.durability.map_or(Synchronous::Normal, Into::into),
            rate: args.rate,
            rounds: args.rounds.unwrap_or(rounds),
            time,
            warm_up: (time / 5).min(Duration::from_millis(200)),
            folder: args.dir.clone().unwrap_or_else(|| ".".into()),
            seed: args.seed,
        };
        plan.check()?;
        if let Some(file) = file {
            file.check(&plan)?;
        }
        Ok(Self { args, own, config, plan })
    }

    /// The plan; a table is copied for it. Blocks until it is.
    pub(super) fn plan(self, screen: &Screen, stop: &Stop) -> Result<Plan> {
        let Self { args, own, config, plan } = self;
        let Some((database, table)) = args.db.clone().zip(args.table.clone()) else {
            return Ok(plan);
        };
        let choice = TableChoice {
            database,
            table,
            writing: if args.insert { Writing::Insert } else { Writing::Upsert },
            keys: args.keys.unwrap_or(KEYS),
            folder: args.dir.clone(),
        };
        let copy = tune::copy(&choice, screen, stop)?;
        let folder = copy.folder().to_owned();
        let workload = Workload::Table(copy);
        let contenders = contenders(args, own, workload.row_size(plan.row), config.as_ref())?;
        Ok(Plan { workload, contenders, folder, ..plan })
    }
}

/// Refuses what there is no such thing of with the sink that is asked for.
fn refuse_for_sink(args: &Bench) -> Result<()> {
    let wrong = |text: &str| Err(Failure::of_arguments(text.to_owned()));
    if args.sink == Sink::Sqlite {
        return match args.url {
            Some(_) => wrong("--url names a PostgreSQL server: say --sink postgres with it"),
            None => Ok(()),
        };
    }
    let refused = [
        (
            args.durability.is_some(),
            "--durability is of SQLite: a PostgreSQL server's synchronous_commit says what a commit survives, such as \
             --url 'postgres://localhost/test?options=-c%20synchronous_commit%3Doff'",
        ),
        (args.db.is_some(), "--db names a SQLite database: with --sink postgres name a --workload"),
        (
            args.processes.is_some(),
            "--processes is of SQLite: with --sink postgres all workers are in one process",
        ),
        (
            !args.rival.is_empty(),
            "--rival takes part with SQLite alone: its protocol knows no PostgreSQL server",
        ),
        (
            args.config.is_some(),
            "--config has settings for SQLite: with --sink postgres name forebay@ROWS",
        ),
        (
            args.dir.is_some() && args.url.is_some(),
            "--dir is where a throw-away server is made: the one that --url names has its files elsewhere",
        ),
    ];
    refused.into_iter().find(|(is_given, _)| *is_given).map_or(Ok(()), |(_, text)| wrong(text))
}

fn contenders(
    args: &Bench,
    own: &Program,
    row: RowSize,
    config: Option<&Config>,
) -> Result<Vec<Contender>> {
    let sink = args.sink.into();
    let named = |name: &String| Contender::named(sink, name, own, row);
    let mut contenders = if args.contender.is_empty() {
        Contender::usual(sink, own, row)
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
    contenders.extend(config.map(|config| Contender::configured(CONFIGURED, config, own)));
    Ok(contenders)
}
