//! The arguments, and which targets they name.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use forebay_cli::failure::{Failure, Result};

use crate::catalog::TARGETS;
use crate::target::Target;

/// Measure the table of speed targets: for each the figure, its spread over the rounds, and whether it was met.
#[derive(Debug, Parser)]
#[command(name = "targets", after_help = HELP)]
pub(crate) struct Args {
    /// Measure these targets only, with commas between them: 1 is all of 1a to 1d, 10b is one
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    /// Rounds, from which median and quartiles come
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// Seconds of each trial; wide has three times as many, 9b and 9c ten times
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub(crate) seconds: Duration,

    /// Keep it all as JSON, with every round; - prints that, and the table goes to standard error
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<PathBuf>,

    /// Keep the table as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,

    /// A rival, as rivals/build prints it; can be given several times
    #[arg(long, value_name = "NAME=PATH", value_parser = rival)]
    pub(crate) rival: Vec<Rival>,

    /// The command forebay
    #[arg(long, value_name = "PATH", default_value = "target/release/forebay")]
    pub(crate) forebay: PathBuf,

    /// Where the databases are made, and removed: on the disk that is measured
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(crate) dir: PathBuf,

    /// A measurement that needs a process of its own, as JSON.
    #[arg(long, hide = true)]
    pub(crate) part: Option<String>,
}

/// A program that `forebay bench` has take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rival {
    /// Its name.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) path: String,
}

const HELP: &str = "\
Exit codes:
  0         every target that was measured was met
  1         one was missed
  2         wrong arguments
  3         none was missed, and one could not be measured; or it failed
  130, 143  ended by Ctrl-C or SIGTERM; what was measured until then is printed";

impl Args {
    /// The targets that are to be measured, in the table's order.
    ///
    /// # Errors
    ///
    /// When one is named that there is not.
    pub(crate) fn targets(&self) -> Result<Vec<&'static Target>> {
        let unknown = |name: &&String| !TARGETS.iter().any(|target| is_named(target.id, name));
        if let Some(name) = self.only.iter().find(unknown) {
            let ids: Vec<_> = TARGETS.iter().map(|target| target.id).collect();
            return Err(Failure::of_arguments(format!(
                "--only {name}: there is no such target, only {}",
                ids.join(", ")
            )));
        }
        let is_asked = |target: &&Target| {
            self.only.is_empty() || self.only.iter().any(|name| is_named(target.id, name))
        };
        Ok(TARGETS.iter().filter(is_asked).collect())
    }
}

/// Whether a name is this id, or the number before its letter.
fn is_named(id: &str, name: &str) -> bool {
    id == name || id.trim_end_matches(char::is_alphabetic) == name
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.01..=360.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "it must be 0.01 to 360".to_owned())
}

fn rival(text: &str) -> Result<Rival, String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok(Rival { name: name.to_owned(), path: path.to_owned() })
        }
        _ => Err("it must be NAME=PATH".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(only: &str) -> Result<Vec<&'static str>> {
        let args = Args::parse_from(["targets", "--only", only]);
        Ok(args.targets()?.iter().map(|target| target.id).collect())
    }

    #[test]
    fn a_number_names_all_of_its_checks_and_an_id_one() {
        assert_eq!(ids("1,10b").unwrap(), ["1a", "1b", "1c", "1d", "10b"]);
        assert_eq!(ids("10,2").unwrap(), ["2", "10a", "10b", "10c"]);
        let all = Args::parse_from(["targets"]).targets().unwrap();
        assert_eq!(all.len(), TARGETS.len());
    }

    #[test]
    fn a_target_that_there_is_not_is_told_which_there_are() {
        let failure = ids("1,14").unwrap_err();
        assert!(failure.message().starts_with("--only 14: there is no such target, only 1a, 1b"));
        assert_eq!(failure.exit(), forebay_cli::failure::Exit::Arguments);
    }

    #[test]
    fn what_no_trial_can_be_is_refused() {
        for wrong in [["--seconds", "0"], ["--seconds", "x"], ["--rounds", "0"], ["--rival", "x="]]
        {
            let refused = Args::try_parse_from(["targets"].iter().chain(&wrong));
            assert_eq!(refused.unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
