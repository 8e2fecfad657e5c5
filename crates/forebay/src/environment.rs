//! Settings from environment variables.

use std::ffi::OsString;

use serde_json::Value;

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
        Self::default().with_env(prefix)
    }

    /// Puts the environment's settings on top of these, named as for [`from_env`](Self::from_env): what is not
    /// set stays as it is. All of them are checked together.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("forebay.toml");
    /// # std::fs::write(&path, "batch_size = 10")?;
    /// use forebay::Config;
    ///
    /// let file: Config = toml::from_str(&std::fs::read_to_string(&path)?)?;
    /// let config = file.with_env("MYAPP_FOREBAY_")?;
    /// assert_eq!(config.batch_size, 10); // but MYAPP_FOREBAY_BATCH_SIZE would have won
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env), and as [`check`](Self::check).
    pub fn with_env(self, prefix: &str) -> Result<Self> {
        self.with_vars(prefix, std::env::vars_os())
    }

    fn with_vars(
        mut self,
        prefix: &str,
        vars: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self> {
        // A path need not be text, which all else is: paths stay out of this.
        let file = self.rejects.file.take();
        let spool = self.spool.take();
        let mut settings = serde_json::to_value(&self).map_err(|error| {
            Error::new(ErrorKind::Config, "the settings cannot be put into words").because(error)
        })?;
        let mut set = Vec::new();
        for (variable, text) in vars {
            let Some(variable) = variable.to_str() else { continue };
            let Some(name) = variable.strip_prefix(prefix) else { continue };
            let name = name.to_ascii_lowercase();
            let field = match name.split_once('_') {
                Some((table, field)) if settings[table].is_object() => format!("{table}.{field}"),
                _ => name,
            };
            let text = text.to_str().ok_or_else(|| "it is not UTF-8".to_owned());
            self = text.and_then(|text| put(&mut settings, &field, text)).map_err(|why| {
                Error::new(
                    ErrorKind::Config,
                    format!("the environment variable {variable} is not usable: {why} (durations are written like 50ms, sizes and counts as whole numbers)"),
                )
                .with_field(&field)
            })?;
            set.push(field);
        }
        self.rejects.file = self.rejects.file.take().or(file);
        self.spool = self.spool.take().or(spool);
        self.check().map_err(|error| {
            let field = error.field().unwrap_or_default().to_owned();
            if !set.contains(&field) {
                return error;
            }
            let variable = format!("{prefix}{}", field.replace('.', "_").to_ascii_uppercase());
            let message = format!("the environment's {variable} is not usable: {error}");
            Error::new(ErrorKind::Config, message).with_field(field)
        })?;
        Ok(self)
    }
}

/// Sets one field by its dotted name, through serde, so that names and types are stated once.
fn put(settings: &mut Value, field: &str, text: &str) -> Result<Config, String> {
    let (fields, name) = match field.split_once('.') {
        Some((table, name)) => (&mut settings[table], name),
        None => (&mut *settings, field),
    };
    // A number where the field is a number, a string (duration, name, path) everywhere else.
    let text = text.trim();
    fields[name] = match text.parse::<u64>() {
        Ok(number) if fields[name].is_number() => number.into(),
        _ => text.into(),
    };
    serde_json::from_value(settings.clone()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Durability, Retry};

    fn from(vars: &[(&str, &str)]) -> Result<Config> {
        on(Config::default(), vars)
    }

    fn on(config: Config, vars: &[(&str, &str)]) -> Result<Config> {
        config.with_vars("FOREBAY_", vars.iter().map(|(k, v)| ((*k).into(), (*v).into())))
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

    #[test]
    fn a_wrong_value_and_one_out_of_bounds_name_the_same_field() {
        for value in ["soon", "2h"] {
            let error = from(&[("FOREBAY_RETRY_DELAY", value)]).unwrap_err();
            assert_eq!(error.field(), Some("retry.delay"), "{error}");
        }
        assert_eq!(from(&[("FOREBAY_LINGER", "50")]).unwrap_err().field(), Some("linger"));
    }

    #[test]
    fn the_environment_wins_over_a_file_and_leaves_the_rest_of_it() {
        let file = "batch_size = 10\nlinger = \"20ms\"\n[retry]\nmax_retries = 3";
        let file: Config = toml::from_str(file).unwrap();
        let config = on(file, &[("FOREBAY_BATCH_SIZE", "7"), ("FOREBAY_RETRY_DELAY", "1s")]);
        let config = config.unwrap();
        assert_eq!((config.batch_size, config.linger), (7, Duration::from_millis(20)));
        let delay = Duration::from_secs(1);
        assert_eq!(config.retry, Retry { max_retries: 3, delay, ..Retry::default() });
    }

    #[test]
    fn a_wrong_setting_is_blamed_on_the_environment_only_if_it_is_set_there() {
        let wrong = Config { batch_size: 0, ..Config::default() };
        let error = on(wrong, &[("FOREBAY_LINGER", "20ms")]).unwrap_err();
        assert_eq!(error.to_string(), "batch_size is 0: it must be at least 1 row");

        let error = from(&[("FOREBAY_RETRY_MAX_RETRIES", "31")]).unwrap_err();
        let said = "the environment's FOREBAY_RETRY_MAX_RETRIES is not usable: retry.max_retries is 31: it \
                    must be at most 30 retries";
        assert_eq!((error.to_string().as_str(), error.field()), (said, Some("retry.max_retries")));
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_text_is_refused_and_not_altered() {
        use std::os::unix::ffi::OsStringExt;
        let value = OsString::from_vec(b"dead-\xFF.ndjson".to_vec());
        let vars = [("FOREBAY_REJECTS_FILE".into(), value)].into_iter();
        let error = Config::default().with_vars("FOREBAY_", vars).unwrap_err();
        assert!(
            error.to_string().contains("FOREBAY_REJECTS_FILE is not usable: it is not UTF-8"),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_text_is_kept_beside_the_environment() {
        use std::os::unix::ffi::OsStringExt;
        let mut config = Config::default();
        config.rejects.file = Some(OsString::from_vec(b"dead-\xFF.ndjson".to_vec()).into());
        let linger = [("FOREBAY_LINGER", "20ms")];
        let joined = on(config.clone(), &linger).unwrap();
        assert_eq!(
            (joined.rejects, joined.linger),
            (config.rejects.clone(), Duration::from_millis(20))
        );
        let replaced = on(config, &[("FOREBAY_REJECTS_FILE", "dead.ndjson")]).unwrap();
        assert_eq!(replaced.rejects.file, Some("dead.ndjson".into()));
    }
}
