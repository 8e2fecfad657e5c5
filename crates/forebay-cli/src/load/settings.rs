//! The settings of the write buffer that a load has.

use std::fs;
use std::path::Path;
use std::time::Duration;

use forebay::Config;

use crate::args;
use crate::failure::{Failure, Result, because};
use crate::server;

/// Memory for rows on their way, unless the settings say otherwise: one producer needs no more.
const BUFFER_BYTES: usize = 16 * 1024 * 1024;

/// Settings of SQLite's, which say nothing to a server.
const OF_SQLITE: [&str; 3] = ["max_wal_bytes", "max_cache_bytes", "max_readers"];

/// What the arguments say of settings.
pub(crate) struct Settings<'a> {
    pub(crate) batching: &'a args::Batching,
    pub(crate) linger: Option<Duration>,
    /// Whether the database is a server, and no file.
    pub(crate) is_server: bool,
}

/// The settings of a load: the file's, and the options on top of them.
pub(super) fn config(args: &args::Load) -> Result<Config> {
    let usual = Config { max_buffer_bytes: BUFFER_BYTES, ..Config::default() };
    let is_server = server::is_url(&args.into);
    Settings { batching: &args.batching, linger: args.linger, is_server }.config(usual)
}

impl Settings<'_> {
    /// The settings: the file's, and the options on top of them. What neither says is as usual, unless the file says how
    /// large the buffer is: then the other sizes are those that the library has.
    pub(crate) fn config(&self, usual: Config) -> Result<Config> {
        let mut config = match &self.batching.config {
            None => usual,
            Some(path) => self.read(path, &usual)?,
        };
        config.durability = self.batching.durability.map_or(config.durability, Into::into);
        config.check()?;
        self.add_options(&mut config)?;
        Ok(config)
    }

    fn read(&self, path: &Path, usual: &Config) -> Result<Config> {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::new(format!("cannot read the settings in {name}: {}", because(&error)))
        })?;
        let unusable = |error: toml::de::Error| {
            let error = error.to_string();
            Failure::new(format!("the settings in {name} are not usable: {}", error.trim_end()))
        };
        let table: toml::Table = text.parse().map_err(unusable)?;
        let of_sqlite = OF_SQLITE.into_iter().find(|setting| table.contains_key(*setting));
        if let Some(setting) = of_sqlite.filter(|_| self.is_server) {
            return Err(Failure::new(format!(
                "the settings in {name} have {setting}, which is of SQLite, and the rows go to PostgreSQL"
            ))
            .hint("leave it out"));
        }
        let mut config: Config = toml::from_str(&text).map_err(unusable)?;
        if !table.contains_key("max_buffer_bytes") {
            let Config { max_row_bytes, max_batch_bytes, max_transaction_rows, .. } = *usual;
            config.max_buffer_bytes = usual.max_buffer_bytes;
            for (setting, value, usual) in [
                ("max_row_bytes", &mut config.max_row_bytes, max_row_bytes),
                ("max_batch_bytes", &mut config.max_batch_bytes, max_batch_bytes),
                ("max_transaction_rows", &mut config.max_transaction_rows, max_transaction_rows),
            ] {
                if !table.contains_key(setting) {
                    *value = usual;
                }
            }
        }
        Ok(config)
    }

    fn add_options(&self, config: &mut Config) -> Result<()> {
        if let Some(linger) = self.linger {
            config.linger = linger;
            config.check().map_err(|error| {
                Failure::of_arguments(format!("--linger is not usable: {error}"))
            })?;
        }
        if let Some(rows) = self.batching.batch_size {
            config.batch_size = rows;
            config.max_transaction_rows = config.max_transaction_rows.max(rows);
            config.check().map_err(|error| {
                Failure::of_arguments(format!("--batch-size {rows} is not usable: {error}"))
            })?;
        }
        Ok(())
    }
}
