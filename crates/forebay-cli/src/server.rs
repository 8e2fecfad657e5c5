//! A PostgreSQL database named by a URL: what messages call it, and where its password comes from.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::failure::{Failure, Result};

/// What a URL of PostgreSQL's begins with.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// A database in a server. It has no `Debug`, because it may hold a password.
#[derive(Clone)]
pub(crate) struct Server {
    /// With the password, for whoever connects.
    pub(crate) url: String,
    /// For people: without password and parameters.
    pub(crate) name: String,
}

/// Whether a place is a database in a server rather than a file.
pub(crate) fn is_url(place: &Path) -> bool {
    let text = place.to_string_lossy();
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

impl Server {
    /// Reads a URL. A password that is not in it comes from the variable PGPASSWORD, or else from the file that PGPASSFILE
    /// names, which is `~/.pgpass` otherwise.
    ///
    /// # Errors
    ///
    /// When it is none, without repeating it.
    pub(crate) fn of(place: &Path) -> Result<Self> {
        let url = place.to_str().unwrap_or_default();
        let wrong = |why: &str| {
            Failure::of_arguments(format!("the URL of PostgreSQL is not usable: {why}"))
                .hint("postgres://USER@HOST:PORT/DATABASE; a % in it begins the code of a character, such as %2F for /")
        };
        let config = Config::from_str(url).map_err(|error| {
            // What the parser says holds the name of a parameter at the most.
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            wrong(&cause.unwrap_or_else(|| "it is not in the form of one".to_owned()))
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong("it names no host"));
        }
        let login = Login::of(&config);
        let name = login.name();
        let found = config.get_password().is_none().then(|| login.password()).flatten();
        let url = match found {
            Some(password) => with_password(url, &password),
            None => url.to_owned(),
        };
        Ok(Self { url, name })
    }
}

impl Server {
    /// A connection for everything that is not writing rows.
    #[expect(clippy::unused_async, reason = "it will connect")]
    pub(crate) async fn connect(&self) -> Result<tokio_postgres::Client> {
        Err(self.no_sink())
    }

    /// A buffer in front of it.
    pub(crate) fn buffer(&self, _: forebay::Config, _: bool) -> Result<forebay::WriteBuffer> {
        Err(self.no_sink())
    }

    fn no_sink(&self) -> Failure {
        let _ = &self.url;
        Failure::new(format!("cannot connect to {}: this build has no PostgreSQL sink", self.name))
    }
}

/// The same URL with one parameter more.
fn with_password(url: &str, password: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    let mut url = format!("{url}{separator}password=");
    for byte in password.bytes() {
        url.push_str(&format!("%{byte:02X}"));
    }
    url
}

/// What a password is looked up by.
struct Login {
    host: String,
    port: String,
    database: String,
    /// Nothing where the URL does not say, which means the user that this process runs as.
    user: Option<String>,
}

impl Login {
    fn of(config: &Config) -> Self {
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
        let user = config.get_user().map(ToOwned::to_owned);
        let database = config.get_dbname().map(ToOwned::to_owned);
        let database = database.or_else(|| user.clone()).unwrap_or_default();
        Self { host, port, database, user }
    }

    fn name(&self) -> String {
        let Self { host, port, database, user } = self;
        let user = user.as_deref().map_or_else(String::new, |user| format!("{user}@"));
        let port = if port == "5432" { String::new() } else { format!(":{port}") };
        format!("postgres://{user}{host}{port}/{database}")
    }

    fn password(&self) -> Option<String> {
        if let Some(password) = env::var("PGPASSWORD").ok().filter(|password| !password.is_empty())
        {
            return Some(password);
        }
        let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
        let path = env::var_os("PGPASSFILE").map(PathBuf::from).or_else(home)?;
        // As all programs of PostgreSQL's have it: a file that others can read does not count.
        let mode = fs::metadata(&path).ok()?.permissions().mode();
        let lines = fs::read_to_string(&path).ok().filter(|_| mode & 0o077 == 0)?;
        lines.lines().find_map(|line| self.password_in(line))
    }

    /// The password in a line of such a file: `host:port:database:user:password`, where `*` is anything.
    fn password_in(&self, line: &str) -> Option<String> {
        if line.starts_with('#') {
            return None;
        }
        let [host, port, database, user, password] = fields(line)?;
        let is = |field: &str, value: &str| field == "*" || field == value;
        let is_socket = self.host.starts_with('/');
        let fits = (is(&host, &self.host) || (is_socket && host == "localhost"))
            && is(&port, &self.port)
            && is(&database, &self.database)
            && is(&user, self.user.as_deref().unwrap_or_default());
        fits.then_some(password)
    }
}

/// The five fields of a line, in which a backslash takes its meaning from the next character.
fn fields(line: &str) -> Option<[String; 5]> {
    let mut fields: [String; 5] = Default::default();
    let mut at = 0;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => fields[at].extend(characters.next()),
            ':' if at < 4 => at += 1,
            _ => fields[at].push(character),
        }
    }
    (at == 4).then_some(fields)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]
mod tests {
    use super::*;

    fn login(url: &str) -> Login {
        Login::of(&Config::from_str(url).unwrap())
    }

    #[test]
    fn a_name_for_people_has_no_password() {
        for (url, name) in [
            ("postgres://me:secret@db.example/app?sslmode=require", "postgres://me@db.example/app"),
            ("postgresql://db.example:6432/app?password=secret", "postgres://db.example:6432/app"),
            ("postgres://me@%2Frun%2Fpg/app", "postgres://me@/run/pg/app"),
            ("postgres://me@db.example", "postgres://me@db.example/me"),
        ] {
            assert_eq!(login(url).name(), name);
            assert_eq!(Server::of(Path::new(url)).unwrap().name, name);
        }
    }

    #[test]
    fn a_line_of_a_password_file_is_for_whom_it_says() {
        let login = login("postgres://me@db.example/app");
        for (line, password) in [
            ("db.example:5432:app:me:secret", Some("secret")),
            ("*:*:*:*:sec:ret", Some("sec:ret")),
            (r"*:*:*:me:sec\:r\\et", Some(r"sec:r\et")),
            ("db.example:5432:app:you:secret", None),
            ("db.example:6432:app:me:secret", None),
            ("localhost:5432:app:me:secret", None),
            ("#*:*:*:*:secret", None),
            ("*:*:*:secret", None),
        ] {
            assert_eq!(login.password_in(line).as_deref(), password, "{line}");
        }
    }

    #[test]
    fn a_password_with_any_characters_is_the_same_behind_the_url() {
        let password = "a&b=c %?/ü";
        for url in
            ["postgres://me@db.example/app", "postgres://me@db.example/app?connect_timeout=3"]
        {
            let config = Config::from_str(&with_password(url, password)).unwrap();
            assert_eq!(config.get_password(), Some(password.as_bytes()));
        }
    }

    #[test]
    fn what_is_said_of_a_broken_url_does_not_repeat_it() {
        for url in [
            "postgres://me:secret@db.example/app?sslmod=x",
            "postgres://me:secret@h:port/app",
            "postgres:///app",
        ] {
            let failure = Server::of(Path::new(url)).err().unwrap().to_string();
            assert!(!failure.contains("secret"), "{failure}");
        }
    }

    #[test]
    fn only_two_schemes_are_postgresql() {
        for (place, is) in [
            ("postgres://h/d", true),
            ("postgresql://h/d", true),
            ("https://h/d", false),
            ("postgres.db", false),
        ] {
            assert_eq!(is_url(Path::new(place)), is, "{place}");
        }
    }
}
