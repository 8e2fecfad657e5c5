//! Settings from environment variables.

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

impl Config {
    /// Reads the settings from environment variables: `FOREBAY_BATCH_SIZE=10`, `FOREBAY_LINGER=20ms`,
    /// `FOREBAY_RETRY_MAX_RETRIES=3`, `FOREBAY_REJECTS_FILE=dead-letters.ndjson` with the prefix `FOREBAY_`.
    /// What is not set keeps its default. Choose a prefix that nothing else uses: every variable with it must
    /// name a setting.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a variable with the prefix that names no setting, and for a value that
    /// does not fit.
    pub fn from_env(prefix: &str) -> Result<Self> {
        Self::from_vars(
            prefix,
            std::env::vars_os().map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            }),
        )
    }

    fn from_vars(prefix: &str, vars: impl Iterator<Item = (String, String)>) -> Result<Self> {
        let mut config = Self::default();
        for (variable, text) in vars {
            let Some(name) = variable.strip_prefix(prefix) else {
                continue;
            };
            config.set(&name.to_ascii_lowercase(), &text).map_err(|why| {
                Error::new(
                    ErrorKind::Config,
                    format!("the environment variable {variable} is not usable: {why} (durations are written like 50ms, sizes and counts as whole numbers)"),
                )
                .with_field(name.to_ascii_lowercase())
            })?;
        }
        config.check().map_err(|error| {
            let name = error.field().unwrap_or_default().replace('.', "_").to_ascii_uppercase();
            let message = format!("the environment's {prefix}{name} is not usable: {error}");
            error.retold(ErrorKind::Config, message)
        })?;
        Ok(config)
    }

    /// Sets one field by name, through serde, so that names and types are stated once.
    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let mut settings = serde_json::to_value(&*self).map_err(|error| error.to_string())?;
        let (table, name) = match name.split_once('_') {
            Some((table, name)) if settings[table].is_object() => (&mut settings[table], name),
            _ => (&mut settings, name),
        };
        // A number where the field is a number, a string (duration, name, path) everywhere else.
        let text = text.trim();
        table[name] = match text.parse::<u64>() {
            Ok(number) if table[name].is_number() => number.into(),
            _ => text.into(),
        };
        *self = serde_json::from_value(settings).map_err(|error| error.to_string())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Durability;

    fn from(vars: &[(&str, &str)]) -> Result<Config> {
        Config::from_vars("FOREBAY_", vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn the_environment_sets_numbers_durations_names_and_nested_fields() {
        let config = from(&[
            ("FOREBAY_BATCH_SIZE", "10"),
            ("FOREBAY_LINGER", "20ms"),
            ("FOREBAY_DURABILITY", "full"),
            ("FOREBAY_RETRY_GIVE_UP", "1m"),
            ("FOREBAY_RETRY_MAX_RETRIES", "3"),
            ("FOREBAY_REJECTS_FILE", "2026"),
            ("FOREBAY_REJECTS_MAX_BYTES", "65536"),
            ("PATH", "/bin"),
        ])
        .unwrap();
        assert_eq!(config.batch_size, 10);
        assert_eq!(config.linger, Duration::from_millis(20));
        assert_eq!(config.durability, Durability::Full);
        assert_eq!(config.retry.give_up, Some(Duration::from_secs(60)));
        assert_eq!(config.retry.max_retries, 3);
        assert_eq!(
            config.rejects.file,
            Some("2026".into()),
            "a path, though it looks like a number"
        );
        assert_eq!(config.rejects.max_bytes, 65_536);
    }

    #[test]
    fn a_wrong_variable_is_named() {
        for (name, value) in [
            ("FOREBAY_BATCHSIZE", "10"),
            ("FOREBAY_BATCH_SIZE", "ten"),
            ("FOREBAY_LINGER", "50"),
            ("FOREBAY_DURABILITY", "most"),
            ("FOREBAY_RETRY", "5"),
            ("FOREBAY_REJECTS", "dead-letters.ndjson"),
            ("FOREBAY_REJECTS_FILE", ""),
            ("FOREBAY_REJECTS_MAX_FILES", "many"),
            ("FOREBAY_REJECTS_MAX_FILES", "0"),
            ("FOREBAY_REJECTS_FILES", "9"),
        ] {
            let error = from(&[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
