//! Settings of a buffer from a file, which must not differ from the run's where those are equal for all contenders.

use std::fs;
use std::path::{Path, PathBuf};

use forebay::Config;
use forebay_bench::Plan;

use crate::failure::{Failure, Result, because};

/// What is equal for all contenders.
const EQUAL: [&str; 4] = ["durability", "busy_timeout", "max_wal_bytes", "max_cache_bytes"];

/// What was read.
pub(super) struct File {
    path: PathBuf,
    /// The names and values that are in it.
    named: toml::Table,
    pub(super) config: Config,
}

/// Reads settings.
pub(super) fn read(path: &Path) -> Result<File> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::new(format!("cannot read {}: {}", path.display(), because(&error)))
    })?;
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::of_arguments(format!("{}: {error}", path.display()))
    };
    let config: Config = toml::from_str(&text).map_err(|error| wrong(&error))?;
    config.check().map_err(|error| wrong(&error))?;
    let named = toml::from_str(&text).map_err(|error| wrong(&error))?;
    Ok(File { path: path.to_owned(), named, config })
}

impl File {
    /// Checks that what it names is what the run has.
    pub(super) fn check(&self, plan: &Plan) -> Result<()> {
        let table = |config: &Config| toml::Table::try_from(config).unwrap_or_default();
        let (own, run) = (table(&self.config), table(&plan.equalized(self.config.clone())));
        let differs =
            |name: &&&str| self.named.contains_key(**name) && own.get(**name) != run.get(**name);
        let Some(name) = EQUAL.iter().find(differs) else { return Ok(()) };
        let value = |of: &toml::Table| of.get(*name).map(ToString::to_string).unwrap_or_default();
        let failure = Failure::of_arguments(format!(
            "{}: {name} is {}, and all contenders of this run have {}",
            self.path.display(),
            value(&own),
            value(&run)
        ));
        Err(match *name {
            "durability" => {
                failure.hint(format!("say --durability {}", value(&own).trim_matches('"')))
            }
            _ => failure
                .hint("take it out of the file for the bench: it is equal for all contenders"),
        })
    }
}
