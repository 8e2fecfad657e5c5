//! How a connection is made: the URL, what may be set beside it, and whether it must be encrypted.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use forebay::{Durability, Error, ErrorKind, Result};
use percent_encoding::percent_decode_str;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::hosts;
use crate::sink::PostgresSink;

/// How a [`PostgresSink`] connects and waits; all fields have defaults.
///
/// ```no_run
/// use std::time::Duration;
///
/// use forebay_postgres::PostgresOptions;
///
/// let options = PostgresOptions { lock_timeout: Duration::from_secs(5), ..PostgresOptions::default() };
/// let sink = options.connect("postgres://app@db.example/app?sslrootcert=/etc/ssl/db.pem")?;
/// # Ok::<(), forebay::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// The name under which the server lists the connection, unless the URL has `application_name`. Default `forebay`.
    pub application_name: String,
    /// How long a connection to one address may take to be made, with all that is asked first, unless the URL has `connect_timeout`.
    /// Default 10 s.
    pub connect_timeout: Duration,
    /// How long one attempt waits for a lock that another transaction holds, before the transaction is rolled back and tried again
    /// as [`Retry`](forebay::Retry) says. Default 30 s.
    pub lock_timeout: Duration,
    /// How long an answer of the server's may take before the connection counts as lost. Longer than `lock_timeout`. Default 60 s.
    pub reply_timeout: Duration,
    /// What a receipt is to survive. Connecting warns where the server's `synchronous_commit` and `fsync` promise less; it changes
    /// neither. `Normal`, the default: an end of the server; `Full`: also a power cut.
    pub durability: Durability,
    /// Whether each batch is entered in the [books](crate::BOOKS_SQL), so that one whose `COMMIT` had no answer is found out.
    /// Without them its rows are [`Unknown`](forebay::ErrorKind::Unknown), and no spool can be used. Default true.
    pub bookkeeping: bool,
    /// A PEM file with the certificates to trust instead of the system's, unless the URL has `sslrootcert`.
    pub root_certificate: Option<PathBuf>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            application_name: "forebay".to_owned(),
            connect_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(30),
            reply_timeout: Duration::from_secs(60),
            durability: Durability::Normal,
            bookkeeping: true,
            root_certificate: None,
        }
    }
}

impl PostgresOptions {
    /// Connects. The URL is that of [`PostgresSink::connect`]. Blocks for `connect_timeout` for each address, of which two for each
    /// host have time, and once more for what is asked on the connection: with one host and the defaults 30 s at the most. May be called
    /// on a runtime's thread, which it blocks too.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) for a wrong option or URL, [`Open`](ErrorKind::Open) when no connection can be made, the server is
    /// too old or takes no writes, or there are no books; each says what to do, and none holds the password.
    pub fn connect(&self, url: &str) -> Result<PostgresSink> {
        PostgresSink::with(Address::parse(url, self)?, self.clone())
    }

    /// Whether the values can be used.
    pub(crate) fn check(&self) -> Result<()> {
        let times = [
            ("connect_timeout", self.connect_timeout),
            ("lock_timeout", self.lock_timeout),
            ("reply_timeout", self.reply_timeout),
        ];
        for (name, time) in times {
            // What the server keeps of it is a count of milliseconds.
            if time < Duration::from_millis(1) || time > Duration::from_secs(86_400) {
                return Err(wrong(format!("{name} is {time:?}: it must be from 1ms to one day"))
                    .with_field(name));
            }
        }
        if self.reply_timeout <= self.lock_timeout {
            let message = format!(
                "reply_timeout is {:?}: it must be longer than lock_timeout, {:?}, which is one of the things that an answer waits for",
                self.reply_timeout, self.lock_timeout
            );
            return Err(wrong(message).with_field("reply_timeout"));
        }
        Ok(())
    }
}

/// Where to connect to, and as whom. Its `Display` has no password.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) config: tokio_postgres::Config,
    pub(crate) root_certificate: Option<PathBuf>,
    name: String,
}

impl Address {
    pub(crate) fn parse(url: &str, options: &PostgresOptions) -> Result<Self> {
        options.check()?;
        check_hosts(url)?;
        let (url, ssl) = take_ssl(url)?;
        let mut config = tokio_postgres::Config::from_str(&url).map_err(|error| {
            let message = "the URL for PostgreSQL cannot be read: it is postgres://USER@HOST:PORT/DATABASE, with characters \
                           such as @, /, # and % in names and password written as %40, %2F, %23 and %25";
            wrong(message).because(error)
        })?;
        if ssl.verifies {
            config.ssl_mode(SslMode::Require);
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong(
                "the URL for PostgreSQL names no host: postgres://USER@HOST/DATABASE, or for a socket postgres:///DATABASE?host=/var/run/postgresql",
            ));
        }
        if config.get_application_name().is_none() {
            config.application_name(&options.application_name);
        }
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        require_tls(&mut config)?;
        if hosts::count(&config) > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(options.connect_timeout);
        }
        // The URL's own go first.
        if !url.contains("keepalives") {
            config.keepalives_idle(Duration::from_secs(30));
            config.keepalives_interval(Duration::from_secs(10));
            config.keepalives_retries(3);
        }
        let root_certificate = ssl.root.or_else(|| options.root_certificate.clone());
        Ok(Self { name: name(&config), config, root_certificate })
    }

    /// As whom.
    pub(crate) fn user(&self) -> &str {
        self.config.get_user().unwrap_or("the system's user")
    }

    pub(crate) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_else(|| self.user())
    }

    /// How long all its hosts together may take.
    pub(crate) fn patience(&self, options: &PostgresOptions) -> Duration {
        let each = self.config.get_connect_timeout().copied().unwrap_or(options.connect_timeout);
        // What is asked on the connection that is made comes on top.
        let addresses = u32::try_from(hosts::count(&self.config)).unwrap_or(u32::MAX);
        each.saturating_mul(addresses.saturating_mul(hosts::ADDRESSES)) + options.connect_timeout
    }

    pub(crate) fn uses_tls(&self) -> bool {
        self.config.get_ssl_mode() != SslMode::Disable
    }
}

/// `app on db.example:5432`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn name(config: &tokio_postgres::Config) -> String {
    let database = config.get_dbname().or(config.get_user()).unwrap_or("the default database");
    format!("{database} on {}", hosts::places(config))
}

/// What a URL says of TLS that the driver does not know: it always verifies.
#[derive(Default)]
struct Ssl {
    verifies: bool,
    root: Option<PathBuf>,
}

fn take_ssl(url: &str) -> Result<(String, Ssl)> {
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(wrong("the URL for PostgreSQL must begin with postgres:// or postgresql://"));
    }
    let mut ssl = Ssl::default();
    let Some((place, query)) = url.split_once('?') else { return Ok((url.to_owned(), ssl)) };
    let kept = query.split('&').filter(|part| match part.split_once('=') {
        Some(("sslmode", "verify-ca" | "verify-full")) => {
            ssl.verifies = true;
            false
        }
        Some(("sslrootcert", path)) => {
            ssl.root = Some(PathBuf::from(&*percent_decode_str(path).decode_utf8_lossy()));
            false
        }
        _ => !part.is_empty(),
    });
    let kept: Vec<String> = kept.map(one_by_one).collect();
    let url =
        if kept.is_empty() { place.to_owned() } else { format!("{place}?{}", kept.join("&")) };
    Ok((url, ssl))
}

/// The driver takes several hosts there only if each is an option of its own.
fn one_by_one(part: &str) -> String {
    match part.strip_prefix("host=") {
        Some(hosts) => format!("host={}", hosts.replace("%2C", ",").replace(',', "&host=")),
        None => part.to_owned(),
    }
}

/// A password with an `@` in it is cut there, and its rest would be told as the name of a host, the database or an option.
fn check_hosts(url: &str) -> Result<()> {
    let (before, rest) = url.split_once('@').unwrap_or(("", ""));
    let (places, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_cut = |part: &str| part.split('=').next().is_some_and(|key| key.contains('@'));
    // The driver takes all before the first for a user and a password, also where it is in an option's value.
    let is_option = before.split_once('?').is_some_and(|(_, option)| option.contains('='));
    if is_option || places.contains('@') || query.split('&').any(is_cut) {
        return Err(wrong(
            "the URL for PostgreSQL has an @ that is not the one before the host: write it as %40, in a user's name, a password, a database's name or an option",
        ));
    }
    Ok(())
}

/// What goes over a network is encrypted, and the server proves who it is. Over a socket or loopback that is only done on demand.
fn require_tls(config: &mut tokio_postgres::Config) -> Result<()> {
    let is_local = if config.get_hostaddrs().is_empty() {
        config.get_hosts().iter().all(is_local)
    } else {
        config.get_hostaddrs().iter().all(IpAddr::is_loopback)
    };
    match (config.get_ssl_mode(), is_local) {
        (SslMode::Disable, false) => Err(wrong(format!(
            "sslmode=disable is for a socket or loopback only, and {} is neither: leave it out, or tunnel to it",
            name(config)
        ))),
        (SslMode::Prefer, true) => {
            config.ssl_mode(SslMode::Disable);
            Ok(())
        }
        (SslMode::Prefer, false) => {
            config.ssl_mode(SslMode::Require);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address> {
        Address::parse(url, &PostgresOptions::default())
    }

    fn mode(url: &str) -> SslMode {
        parse(url).unwrap().config.get_ssl_mode()
    }

    #[test]
    fn what_goes_over_a_network_is_encrypted_and_what_does_not_need_not_be() {
        assert_eq!(mode("postgres://app@db.example/app"), SslMode::Require);
        assert_eq!(mode("postgres://app@db.example/app?sslmode=prefer"), SslMode::Require);
        assert_eq!(mode("postgres://app@127.0.0.1/app"), SslMode::Disable);
        assert_eq!(mode("postgres://app@localhost/app"), SslMode::Disable);
        assert_eq!(mode("postgres://app@[::1]/app"), SslMode::Disable);
        assert_eq!(mode("postgres://app@localhost/app?sslmode=verify-full"), SslMode::Require);
        assert_eq!(mode("postgres:///app?host=/var/run/postgresql"), SslMode::Disable);
        assert_eq!(mode("postgres://app@localhost,db.example/app"), SslMode::Require);
    }

    #[test]
    fn a_network_without_encryption_is_refused() {
        let error =
            parse("postgres://app:secret@db.example/app?sslmode=disable").map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(
            error.to_string(),
            "sslmode=disable is for a socket or loopback only, and app on db.example:5432 is neither: leave it out, or tunnel to it"
        );
    }

    #[test]
    fn several_hosts_may_be_listed_in_one_option() {
        for url in
            ["postgres:///app?host=one,two&port=1,2", "postgres:///app?host=one%2Ctwo&port=1,2"]
        {
            assert_eq!(parse(url).unwrap().to_string(), "app on one:1,two:2");
        }
        let folders = parse("postgres:///app?host=%2Fa,%2Fb").unwrap();
        assert_eq!(folders.to_string(), "app on /a:5432,/b:5432");
    }

    #[test]
    fn a_certificate_of_the_url_is_taken_out_of_it() {
        let address =
            parse("postgres://app@db.example/app?sslrootcert=/etc/db%20one.pem&connect_timeout=3")
                .unwrap();
        assert_eq!(address.root_certificate, Some(PathBuf::from("/etc/db one.pem")));
        assert_eq!(address.to_string(), "app on db.example:5432");
    }

    #[test]
    fn no_part_of_a_password_is_in_an_error_or_a_name() {
        for url in [
            "postgres://app:se@cret@db.example/app",
            "postgres://app:se/c@cret@db.example/app",
            "postgres://app:se@cret/x@db.example/app",
            "postgres://app:se@b?cret@db.example/app",
            "postgres://app:se@b?c&cret@db.example/app",
            "postgres://db.example/app?user=app&password=se@cret",
            "postgres://app:secret@/app",
            "postgres://app:secret@db.example/app?colour=red",
            "postgres://app:secret@db.example:port/app",
            "mysql://app:secret@db.example/app",
        ] {
            let error = parse(url).map(drop).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            let told = format!("{error:#} {error:?}");
            assert!(!told.contains("secret") && !told.contains("cret@"), "{told}");
        }
        let address =
            parse("postgres://app:secret@db.example:6000/orders?application_name=a@b").unwrap();
        assert_eq!(address.to_string(), "orders on db.example:6000");
    }

    #[test]
    fn a_wrong_option_is_refused_with_its_name() {
        let options = PostgresOptions {
            reply_timeout: Duration::from_secs(30),
            ..PostgresOptions::default()
        };
        let error = Address::parse("postgres://app@localhost/app", &options).map(drop).unwrap_err();
        assert_eq!(error.field(), Some("reply_timeout"));
    }
}
