//! The settings of the write buffer that a load has.

use std::fs;

use forebay::Config;

use crate::args;
use crate::failure::{Failure, Result, because};

/// Memory for rows on their way, unless the settings say otherwise: one producer needs no more.
const BUFFER_BYTES: usize = 16 * 1024 * 1024;

/// The settings: the file's, and the options on top of them.
pub(super) fn config(args: &args::Load) -> Result<Config> {
    let mut config = match &args.config {
        None => Config { max_buffer_bytes: BUFFER_BYTES, ..Config::default() },
        Some(path) => {
            let name = path.display();
            let text = fs::read_to_string(path).map_err(|error| {
                Failure::new(format!("cannot read the settings in {name}: {}", because(&error)))
            })?;
            parsed(&text).map_err(|error| {
                let error = error.to_string();
                Failure::new(format!("the settings in {name} are not usable: {}", error.trim_end()))
            })?
        }
    };
    config.durability = args.durability.map_or(config.durability, Into::into);
    config.check()?;
    if let Some(linger) = args.linger {
        config.linger = linger;
        config
            .check()
            .map_err(|error| Failure::of_arguments(format!("--linger is not usable: {error}")))?;
    }
    if let Some(rows) = args.batch_size {
        config.batch_size = rows;
        config.max_transaction_rows = config.max_transaction_rows.max(rows);
        config.check().map_err(|error| {
            Failure::of_arguments(format!("--batch-size {rows} is not usable: {error}"))
        })?;
    }
    Ok(config)
}

fn parsed(text: &str) -> Result<Config, toml::de::Error> {
    let says_how_much = text.parse::<toml::Table>()?.contains_key("max_buffer_bytes");
    let mut config: Config = toml::from_str(text)?;
    if !says_how_much {
        config.max_buffer_bytes = BUFFER_BYTES;
    }
    Ok(config)
}
