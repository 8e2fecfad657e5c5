//! URLs of PostgreSQL databases: what can be measured, and where it is.

use std::net::IpAddr;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::error::{Error, Result};

/// A URL that was looked at.
#[derive(Debug)]
pub(crate) struct Url {
    text: String,
    config: Config,
}

impl Url {
    /// Reads one. What is wrong is told without the URL, which may have a password in it.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong = |why: String| {
            Err(Error::of_arguments(format!("--url: {why}"))
                .with_hint("a URL is such as postgres://USER@localhost:5432/DATABASE"))
        };
        if !["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return wrong("it must begin with postgres://".to_owned());
        }
        let config: Config = match text.parse() {
            Ok(config) => config,
            Err(error) => return wrong(format!("it cannot be read: {error}")),
        };
        match config.get_hosts() {
            [] => return wrong("it names no host".to_owned()),
            [host] if is_here(host) && config.get_hostaddrs().iter().all(IpAddr::is_loopback) => {}
            [_] => {
                return wrong(
                    "the bench speaks to a server on this machine, over a socket or loopback, without TLS".to_owned(),
                );
            }
            _ => {
                return wrong(
                    "it names several hosts, and the bench measures one server".to_owned(),
                );
            }
        }
        Ok(Self { text: text.to_owned(), config })
    }

    /// The same with a search path that has this schema alone.
    pub(crate) fn with_schema(&self, schema: &str) -> String {
        let others =
            self.config.get_options().map_or_else(String::new, |options| format!("{options} "));
        let options = encoded(&format!("{others}-c search_path={schema}"));
        let separator = if self.text.contains('?') { '&' } else { '?' };
        format!("{}{separator}options={options}", self.text)
    }

    /// Where it leads: host, port, database.
    pub(crate) fn place(&self) -> String {
        let port = self.config.get_ports().first().map_or(5_432, |port| *port);
        let host = match self.config.get_hosts() {
            [Host::Tcp(host)] => format!("{host}:{port}"),
            [Host::Unix(folder)] => format!("{}/.s.PGSQL.{port}", folder.display()),
            _ => String::new(),
        };
        match self.config.get_dbname() {
            Some(database) => format!("database {database} at {host}"),
            None => host,
        }
    }

    /// By what way one gets there.
    pub(crate) fn transport(&self) -> &'static str {
        match self.config.get_hosts() {
            [Host::Unix(_)] => "unix socket",
            _ => "TCP",
        }
    }
}

/// Whether a host is this machine, as its name tells.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    }
}

/// A text as it may stand anywhere in a URL.
pub(super) fn encoded(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                safe.push(char::from(byte));
            }
            other => safe.push_str(&format!("%{other:02X}")),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_bench_cannot_measure_is_told_without_the_password() {
        for (text, why) in [
            ("host=localhost user=me password=secret", "it must begin with postgres://"),
            ("mysql://me:secret@localhost/db", "it must begin with postgres://"),
            ("postgres://me:secret@/db", "it names no host"),
            ("postgres://me:secret@localhost:secret/db", "it cannot be read"),
            ("postgres://me:secret@localhost,127.0.0.1/db", "it names several hosts"),
            (
                "postgres://me:secret@db.example.org/db",
                "the bench speaks to a server on this machine",
            ),
            ("postgres://me:secret@192.0.2.1/db", "the bench speaks to a server on this machine"),
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(error.to_string().starts_with(&format!("--url: {why}")), "{text}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn a_schema_goes_beside_the_options_that_are_there() {
        for (text, options) in [
            ("postgres://me@localhost/db", "-c search_path=here"),
            ("postgresql://%2Ftmp/db?connect_timeout=3", "-c search_path=here"),
            (
                "postgres://[::1]/db?options=-c%20synchronous_commit%3Doff",
                "-c synchronous_commit=off -c search_path=here",
            ),
        ] {
            let config: Config = Url::parse(text).unwrap().with_schema("here").parse().unwrap();
            assert_eq!(config.get_options(), Some(options), "{text}");
        }
    }

    #[test]
    fn a_place_says_where_and_by_what_way() {
        let told = |text: &str| {
            let url = Url::parse(text).unwrap();
            format!("{}, {}", url.place(), url.transport())
        };
        assert_eq!(told("postgres://me:x@127.0.0.1:6000/db"), "database db at 127.0.0.1:6000, TCP");
        assert_eq!(
            told("postgres://%2Frun%2Fpg/db"),
            "database db at /run/pg/.s.PGSQL.5432, unix socket"
        );
    }
}
