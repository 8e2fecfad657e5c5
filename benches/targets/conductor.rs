//! What every measurement needs: rounds, folders, and children that are this program again.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use forebay_bench::Stop;
use forebay_cli::failure::{Failure, Result, because};
use forebay_cli::screen::Screen;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::args::Args;
use crate::child::{Child, stopped};
use crate::parts::Part;
use crate::rounds::Round;

/// Runs measurements one after the other.
pub(crate) struct Conductor<'a> {
    /// What was asked for.
    pub(crate) args: &'a Args,
    /// Says that it must end.
    pub(crate) stop: Stop,
    screen: &'a Screen,
    /// This program.
    own: PathBuf,
}

impl<'a> Conductor<'a> {
    /// One for these arguments.
    pub(crate) fn new(args: &'a Args, screen: &'a Screen, stop: Stop) -> Result<Self> {
        let own = env::current_exe()
            .map_err(|error| Failure::new(format!("cannot find this program: {error}")))?;
        Ok(Self { args, stop, screen, own })
    }

    /// Runs all rounds of a measurement. Blocks until they are over; nothing is begun once a signal has come.
    pub(crate) fn rounds(
        &self,
        name: &str,
        mut round: impl FnMut(u32) -> Result<Round>,
    ) -> Result<Vec<Round>> {
        let one = |number: u32| {
            if self.stop.is_stopped() {
                return Err(stopped());
            }
            let of = self.args.rounds;
            self.screen.step(number - 1, of, format!("{name}: round {number} of {of}"));
            round(number)
        };
        self.begin(name);
        (1..=self.args.rounds).map(one).collect()
    }

    /// Says what is measured now.
    pub(crate) fn begin(&self, name: &str) {
        self.screen.end_progress();
        self.screen.line(format_args!("measuring: {name}"));
    }

    /// A folder for a database, which goes with what is returned.
    pub(crate) fn folder(&self) -> Result<TempDir> {
        let parent = &self.args.dir;
        let folder = tempfile::Builder::new().prefix(".forebay-targets-").tempdir_in(parent);
        folder.map_err(|error| {
            let why = because(&error);
            Failure::new(format!("cannot make a folder in {}: {why}", parent.display()))
                .hint("name another one with --dir")
        })
    }

    /// So many times the time of a trial.
    pub(crate) fn time(&self, times: u32) -> Duration {
        self.args.seconds * times
    }

    /// This program again, for a part of a measurement.
    pub(crate) fn command(&self, part: &Part) -> Result<Command> {
        let mut command = Command::new(&self.own);
        command.args(self.arguments(part)?);
        Ok(command)
    }

    /// The same, run by another program.
    pub(crate) fn command_under(
        &self,
        program: &Path,
        arguments: &[&str],
        part: &Part,
    ) -> Result<Command> {
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.own).args(self.arguments(part)?);
        Ok(command)
    }

    fn arguments(&self, part: &Part) -> Result<[String; 2]> {
        let part = serde_json::to_string(part)
            .map_err(|error| Failure::new(format!("cannot make JSON: {error}")))?;
        Ok(["--part".to_owned(), part])
    }

    /// Has a child do a part, and gives its answer.
    pub(crate) fn ask<T: DeserializeOwned>(&self, name: &str, part: &Part) -> Result<T> {
        Child::start(name, self.command(part)?, &self.stop)?.answer()
    }
}
