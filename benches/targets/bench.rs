//! Rounds of `forebay bench`, each a process of its own, so that every number is paired within one round.

use std::collections::BTreeMap;
use std::process::Command;

use forebay_bench::Results;
use forebay_cli::failure::{Failure, Result};

use crate::args::Rival;
use crate::child::Child;
use crate::conductor::Conductor;
use crate::rounds::{Measured, Round, gathered};
use crate::target::Target;

/// Seconds of a trial of `wide`, in those of the others: its rates change while the first checkpoints run.
const WIDE: u32 = 3;

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Run {
    /// 80 threads push.
    Push,
    /// They wait.
    Await,
    /// 80 tasks wait.
    AwaitTasks,
    /// 80 threads wait, with a flush for each commit.
    AwaitFull,
    /// 1,000 tasks wait.
    ManyTasks,
    /// One thread waits.
    Alone,
    /// 80 threads push all over a large table.
    Wide,
    /// 8 processes of 10 threads wait.
    Processes,
    /// 80 threads push, with a spool and without.
    Spool,
    /// They push all over a large table.
    WideSpool,
    /// 80 threads push to a PostgreSQL server.
    Server,
    /// They wait.
    ServerAwait,
    /// They push all over a large table.
    ServerWide,
}

/// What `forebay bench` is told for it.
struct Settings {
    arguments: &'static str,
    contenders: &'static [&'static str],
    rivals: Rivals,
    /// In those of the other trials.
    seconds: u32,
}

/// Who takes part beside forebay's own.
enum Rivals {
    None,
    All,
    /// These, and it cannot be run without one of them.
    Named(&'static [&'static str]),
}

impl Run {
    fn settings(self) -> Settings {
        let (arguments, contenders, rivals): (_, &[&str], _) = match self {
            Self::Push => (
                "--mode push",
                &["direct", "limit@400", "forebay@400", "forebay@400+coalesce"],
                Rivals::All,
            ),
            Self::Await => ("--mode await", &["direct", "forebay@400"], Rivals::All),
            Self::AwaitTasks => ("--mode await --as tasks", &["forebay@400"], Rivals::All),
            Self::AwaitFull => {
                ("--mode await --durability full", &["direct", "forebay@400"], Rivals::None)
            }
            Self::ManyTasks => (
                "--mode await --as tasks --workers 1000",
                &["forebay@400"],
                Rivals::Named(&["sqlx", "tokio-rusqlite", "deadpool-sqlite"]),
            ),
            Self::Alone => ("--mode await --workers 1", &["direct", "forebay@400"], Rivals::None),
            Self::Wide => (
                "--mode push --workload wide",
                &[
                    "limit@400",
                    "limit@400+default-checkpoint",
                    "forebay@400",
                    "forebay@20000+unordered",
                ],
                Rivals::None,
            ),
            Self::Processes => (
                "--mode await --workers 80 --processes 8",
                &["direct", "forebay@400"],
                Rivals::None,
            ),
            Self::Spool => ("--mode push", &["forebay@400", "forebay@400+spool"], Rivals::None),
            Self::WideSpool => {
                ("--mode push --workload wide", &["forebay@400", "forebay@400+spool"], Rivals::None)
            }
            Self::Server => {
                ("--sink postgres --mode push", &["direct", "forebay@400"], Rivals::None)
            }
            Self::ServerAwait => {
                ("--sink postgres --mode await", &["direct", "forebay@400"], Rivals::None)
            }
            Self::ServerWide => (
                "--sink postgres --mode push --workload wide",
                &["limit@400", "forebay@400"],
                Rivals::None,
            ),
        };
        let is_wide = matches!(self, Self::Wide | Self::WideSpool | Self::ServerWide);
        let seconds = if is_wide { WIDE } else { 1 };
        Settings { arguments, contenders, rivals, seconds }
    }
}

impl Settings {
    /// Those of the rivals that are there which take part.
    fn rivals<'a>(&self, there: &'a [Rival]) -> Result<Vec<&'a Rival>> {
        let named = match self.rivals {
            Rivals::None => &[],
            Rivals::All => return Ok(there.iter().collect()),
            Rivals::Named(named) => named,
        };
        let find = |name: &&str| {
            let rival = there.iter().find(|rival| rival.name == *name);
            rival.ok_or_else(|| {
                Failure::new(format!("{name} is not there: name it with --rival {name}=PATH"))
            })
        };
        named.iter().map(find).collect()
    }
}

/// Runs all rounds of it, and gives these targets' numbers.
pub(crate) fn measure(
    run: Run,
    conductor: &Conductor<'_>,
    targets: &[&'static Target],
) -> Result<BTreeMap<&'static str, Result<Measured>>> {
    let settings = run.settings();
    let rivals = settings.rivals(&conductor.args.rival)?;
    let name = format!("forebay bench {}", settings.arguments);
    let rounds = conductor.rounds(&name, |round| {
        let results = results(&settings, &rivals, conductor, round)?;
        let numbers = targets.iter().filter_map(|target| {
            Some((target.id, target.number?.of(&results, settings.contenders)))
        });
        Ok(numbers.collect::<Round>())
    })?;
    Ok(gathered(rounds))
}

/// Runs a round.
fn results(
    settings: &Settings,
    rivals: &[&Rival],
    conductor: &Conductor<'_>,
    round: u32,
) -> Result<Results> {
    let seconds = conductor.args.seconds * settings.seconds;
    let mut command = Command::new(&conductor.args.forebay);
    command.args(["bench", "--rounds", "1", "--json", "-", "--seed", &round.to_string()]);
    command.args(["--seconds", &seconds.as_secs_f64().to_string(), "--dir"]);
    command.arg(&conductor.args.dir).args(settings.arguments.split(' '));
    command.args(["--contender", &settings.contenders.join(",")]);
    for Rival { name, path } in rivals {
        command.arg("--rival").arg(format!("{name}={path}"));
    }
    let ended = Child::start("forebay bench", command, &conductor.stop)?.end()?;
    // It ends with a code when a contender is void or failed, and has results all the same.
    serde_json::from_str(&ended.output).map_err(|_| ended.failure("forebay bench"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rival(name: &str) -> Rival {
        Rival { name: name.to_owned(), path: "rival".to_owned() }
    }

    #[test]
    fn who_must_take_part_and_is_not_there_is_asked_for() {
        let there = [rival("sqlx"), rival("deadpool-sqlite")];
        let why = Run::ManyTasks.settings().rivals(&there).unwrap_err();
        assert!(why.message().contains("--rival tokio-rusqlite=PATH"), "{why}");
        assert_eq!(Run::Push.settings().rivals(&there).unwrap().len(), 2);
        assert!(Run::Wide.settings().rivals(&there).unwrap().is_empty());
    }
}
