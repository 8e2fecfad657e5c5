//! A PostgreSQL database named by a URL: what messages call it, and where its password comes from.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use forebay::{ErrorKind, WriteBuffer};
use forebay_postgres::tokio_postgres::config::Host;
use forebay_postgres::tokio_postgres::{self, Client, Row};
use forebay_postgres::{PostgresOptions, PostgresSink};
use tokio::runtime::{Builder, Runtime};

use crate::failure::{Failure, Result};
use crate::load::columns::Takes;
use crate::sql::quoted;

/// How long an answer may take beside waiting for locks.
const ANSWERS: Duration = Duration::from_secs(30);

/// What a URL of PostgreSQL's begins with.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// The columns of a table, with the category and the name of their types.
const TYPES: &str = "SELECT a.attname::text, t.typcategory::text, t.typname::text FROM pg_catalog.pg_attribute a \
     JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
     WHERE a.attrelid = coalesce(to_regclass($1), to_regclass($2)) AND a.attnum > 0 AND NOT a.attisdropped";

/// A database in a server. It has no `Debug`, because it may hold a password.
#[derive(Clone)]
pub(crate) struct Server {
    /// With the password, for whoever connects.
    pub(crate) url: String,
    /// For people: `app on db.example:5432`, as the sink calls it, too.
    pub(crate) name: String,
}

/// Whether a place is a database in a server rather than a file.
pub(crate) fn is_url(place: &Path) -> bool {
    let text = place.to_string_lossy();
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

impl Server {
    /// Reads a URL. A password that is not in it comes from the variable PGPASSWORD, or else from the file that PGPASSFILE
    /// names, which is `~/.pgpass` otherwise. One that cannot be read is left to whoever connects, who says what is wrong.
    pub(crate) fn of(place: &Path) -> Self {
        let url = place.to_string_lossy().into_owned();
        let Ok(config) = tokio_postgres::Config::from_str(&readable(&url)) else {
            return Self { url, name: "PostgreSQL".to_owned() };
        };
        let login = Login::of(&config);
        let found = config.get_password().is_none().then(|| login.password()).flatten();
        Self {
            name: name(&config),
            url: found.map_or(url.clone(), |found| with_password(&url, &found)),
        }
    }

    /// A connection for everything that is not writing rows.
    pub(crate) async fn client(&self) -> Result<Client> {
        PostgresOptions::default().client(&self.url).await.map_err(failed)
    }

    /// What the columns of a table take that are of a type with other rules than numbers have. Blocks for the answer.
    pub(crate) fn takes(&self, table: &str) -> Result<HashMap<String, Takes>> {
        let runtime = runtime()?;
        let (schema, name) = table.split_once('.').unwrap_or(("", table));
        // A name without a schema may have a dot, too.
        let (whole, parts) = (quoted(table), format!("{}.{}", quoted(schema), quoted(name)));
        let parts = Some(parts).filter(|_| !schema.is_empty());
        runtime.block_on(async {
            let answer = self.client().await?.query(TYPES, &[&whole, &parts]).await;
            let rows = answer.map_err(|error| {
                Failure::new(format!("cannot look at the table {table} in {}: {error}", self.name))
            })?;
            let takes = |row: &Row| match (row.get::<_, &str>(1), row.get::<_, &str>(2)) {
                (_, "json" | "jsonb") => Some(Takes::Json),
                ("N", _) => None,
                ("S", _) => Some(Takes::Text),
                _ => Some(Takes::Read),
            };
            Ok(rows.iter().filter_map(|row| Some((row.get(0), takes(row)?))).collect())
        })
    }

    /// Makes the tables of the books, where they are missing.
    pub(crate) fn create_books(&self) -> Result<()> {
        PostgresSink::create_books(&self.url).map_err(failed)
    }

    /// A buffer in front of it. `makes_books` says that tables are made here anyhow, so that nobody need make those before.
    pub(crate) fn buffer(&self, config: forebay::Config, makes_books: bool) -> Result<WriteBuffer> {
        let options = PostgresOptions {
            durability: config.durability,
            lock_timeout: config.busy_timeout,
            reply_timeout: config.busy_timeout + ANSWERS,
            ..PostgresOptions::default()
        };
        let mut sink = options.connect(&self.url);
        if sink.is_err() && makes_books {
            let made = self.create_books();
            sink = options.connect(&self.url);
            if sink.is_err() {
                // Two that make them at once may fail, and have them.
                made?;
            }
        }
        Ok(WriteBuffer::with_sink(sink.map_err(failed)?, config)?)
    }
}

/// A runtime for one connection.
pub(crate) fn runtime() -> Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(format!("cannot start a runtime: {error}")))
}

fn failed(error: forebay::Error) -> Failure {
    match error.kind() {
        ErrorKind::Config => Failure::of_arguments(format!("{error:#}")),
        _ => Failure::from(error),
    }
}

/// A URL without what is for the sink alone.
fn readable(url: &str) -> String {
    let Some((place, query)) = url.split_once('?') else { return url.to_owned() };
    let of_sink = |part: &&str| part.starts_with("sslrootcert=") || part.starts_with("sslmode=");
    let kept: Vec<_> = query.split('&').filter(|part| !of_sink(part)).collect();
    if kept.is_empty() { place.to_owned() } else { format!("{place}?{}", kept.join("&")) }
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

/// What the sink of this connection is called.
fn name(config: &tokio_postgres::Config) -> String {
    let ports = config.get_ports();
    let at = |(index, place): (usize, String)| {
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        format!("{place}:{port}")
    };
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(host) => host.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    });
    let mut places: Vec<_> = hosts.enumerate().map(at).collect();
    if places.is_empty() {
        let addresses = config.get_hostaddrs().iter().map(ToString::to_string);
        places = addresses.enumerate().map(at).collect();
    }
    let database = config.get_dbname().or(config.get_user()).unwrap_or("the default database");
    format!("{database} on {}", places.join(","))
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
    fn of(config: &tokio_postgres::Config) -> Self {
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

    /// The password that is in a file.
    fn password(&self) -> Option<String> {
        if env::var_os("PGPASSWORD").is_some() {
            // Whoever connects takes it.
            return None;
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
        Login::of(&tokio_postgres::Config::from_str(&readable(url)).unwrap())
    }

    #[test]
    fn a_name_for_people_has_no_password() {
        for (url, name) in [
            (
                "postgres://me:secret@db.example/app?sslmode=verify-full&sslrootcert=/x",
                "app on db.example:5432",
            ),
            ("postgresql://db.example:6432/app?password=secret", "app on db.example:6432"),
            ("postgres://me@%2Frun%2Fpg/app", "app on /run/pg:5432"),
            ("postgres://me@one,two:6432/app", "app on one:5432,two:6432"),
            ("postgres:///app?hostaddr=127.0.0.1", "app on 127.0.0.1:5432"),
            ("postgres://me@db.example", "me on db.example:5432"),
        ] {
            assert_eq!(Server::of(Path::new(url)).name, name);
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
            let config = tokio_postgres::Config::from_str(&with_password(url, password)).unwrap();
            assert_eq!(config.get_password(), Some(password.as_bytes()));
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
