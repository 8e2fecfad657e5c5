//! A connection made and set up, or why it could not be.

use std::future::poll_fn;

use forebay::{Durability, Error, ErrorKind, Signals};
use tokio_postgres::{Client, Row};

use crate::books;
use crate::driver::within;
use crate::fault::{Failure, Trouble, Verdict, with_cause};
use crate::hosts::{self, Link};
use crate::options::{Address, PostgresOptions};
use crate::session::Session;
use crate::tls;

/// The oldest server that is connected to: the catalog of those before it tells less.
const OLDEST: u32 = 12;

/// Connects, sets the session up and reads back what matters.
pub(crate) async fn connect(
    address: &Address,
    options: &PostgresOptions,
    signals: &Signals,
) -> Result<Session, Failure> {
    match within(address.patience(options), signals, open(address, options)).await {
        Ok(made) => made,
        Err(given_up) => Err(not_connected(address, &Trouble::GivenUp(given_up))),
    }
}

async fn open(address: &Address, options: &PostgresOptions) -> Result<Session, Failure> {
    let failed = |error| not_connected(address, &Trouble::Server(error));
    let tls = tls::connector(address.root_certificate.as_deref(), address.uses_tls())
        .map_err(|error| Failure::new(Verdict::Down, error))?;
    let (client, connection) =
        hosts::first(&address.config, &tls).await.map_err(|tried| no_host(address, &tried))?;
    let version = connection.parameter("server_version").unwrap_or("").to_owned();
    let session = Session::new(client, tokio::spawn(drive(connection)), tls);
    check_version(address, &version)?;
    session.client().batch_execute(&settings(options)).await.map_err(failed)?;
    check_facts(address, options, session.client()).await?;
    tracing::debug!(server = %address, version, tls = address.uses_tls(), "connected");
    Ok(session)
}

/// Does what the connection's client asks, until one of them ends. What the server says unasked is not passed on, as the driver would to the
/// log: a trigger's notice may hold a row's values.
async fn drive(mut connection: Link) {
    // Whoever waits for an answer is told of an error.
    while let Some(Ok(_)) = poll_fn(|context| connection.poll_message(context)).await {}
}

/// A transaction of a process that is cut off must not keep its locks.
fn settings(options: &PostgresOptions) -> String {
    format!(
        "SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}",
        options.lock_timeout.as_millis(),
        options.reply_timeout.as_millis()
    )
}

fn check_version(address: &Address, version: &str) -> Result<(), Failure> {
    let major = version
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major >= OLDEST => Ok(()),
        Some(_) => refuse(format!(
            "{address} is PostgreSQL {version}, which is too old: it must be {OLDEST} or newer"
        )),
        None => refuse(format!("{address} does not say which version of PostgreSQL it is")),
    }
}

async fn check_facts(
    address: &Address,
    options: &PostgresOptions,
    client: &Client,
) -> Result<(), Failure> {
    let ask = "SELECT current_setting('transaction_read_only'), current_setting('synchronous_commit', true), \
               current_setting('fsync', true)";
    let facts = client
        .query_one(ask, &[])
        .await
        .map_err(|error| not_connected(address, &Trouble::Server(error)))?;
    if setting(&facts, 0) == "on" {
        let message = format!(
            "{address} takes no writes: it is a standby, or default_transaction_read_only is on"
        );
        return Err(Failure::new(Verdict::Down, Error::new(ErrorKind::Open, message)));
    }
    warn_of_promises(address, options, &setting(&facts, 1), &setting(&facts, 2));
    if !options.bookkeeping {
        return Ok(());
    }
    match books::are_there(client).await {
        Ok(true) => Ok(()),
        Ok(false) => refuse(format!(
            "{address} has no books, the tables _forebay and _forebay_rejected, by which a batch whose COMMIT had no answer is found out: make them once with \
             PostgresSink::create_books, `forebay books URL` or the SQL in forebay_postgres::BOOKS_SQL; or do without \
             (bookkeeping: false), which leaves such rows Unknown"
        )),
        Err(error) => Err(not_connected(address, &Trouble::Server(error))),
    }
}

fn setting(facts: &Row, index: usize) -> String {
    facts.get::<_, Option<String>>(index).unwrap_or_default()
}

/// The server's settings are its administrator's: they are told of, not changed.
fn warn_of_promises(address: &Address, options: &PostgresOptions, commit: &str, fsync: &str) {
    if commit == "off" {
        tracing::warn!(
            server = %address,
            "synchronous_commit is off: a receipt does not survive an end of the server; ALTER ROLE {} SET synchronous_commit = on",
            address.user()
        );
    }
    if fsync == "off" && options.durability == Durability::Full {
        tracing::warn!(server = %address, "fsync is off: a receipt does not survive a power cut, nor may the database");
    }
}

fn refuse(message: String) -> Result<(), Failure> {
    Err(Failure::new(Verdict::Down, Error::new(ErrorKind::Open, message)))
}

/// Why none of the hosts was connected to: each may have had a reason of its own.
fn no_host(address: &Address, tried: &[(String, Trouble)]) -> Failure {
    match tried {
        [] => unreachable!("a URL without a host is refused"),
        [(_, trouble)] => not_connected(address, trouble),
        [before @ .., (last, trouble)] => {
            let mut why = String::new();
            for (place, trouble) in before {
                why += &format!("{place}: {} ({}); ", reason(address, trouble), trouble.cause());
            }
            why += &format!("{last}: {}", reason(address, trouble));
            not_connected_because(address, &why, trouble)
        }
    }
}

/// Why a connection was not made, to the person who can change that.
fn not_connected(address: &Address, trouble: &Trouble) -> Failure {
    not_connected_because(address, &reason(address, trouble), trouble)
}

fn not_connected_because(address: &Address, why: &str, trouble: &Trouble) -> Failure {
    let error = Error::new(ErrorKind::Open, format!("cannot connect to {address}: {why}"));
    let code = trouble.sqlstate();
    let passes = code.is_empty() || ["53", "57", "08"].iter().any(|class| code.starts_with(class));
    let verdict = if passes { Verdict::Busy } else { Verdict::Down };
    Failure::new(verdict, with_cause(error, trouble))
}

fn reason(address: &Address, trouble: &Trouble) -> String {
    let code = trouble.sqlstate();
    match code {
        "28P01" => format!("the password of {} is refused, or none was given: it goes into the URL or PGPASSWORD", address.user()),
        "28000" => format!("{} may not connect: see pg_hba.conf on the server, and whether TLS is asked for", address.user()),
        "3D000" => format!("there is no database {}: CREATE DATABASE makes one", address.database()),
        "42501" => format!("{} lacks a right: GRANT it", address.user()),
        _ if code.starts_with("53") => "the server has no connection left: see max_connections, or wait".to_owned(),
        _ if code.starts_with("57") => "the server is starting up or shutting down: try again".to_owned(),
        _ if !code.is_empty() => "the server refuses the connection".to_owned(),
        _ if matches!(trouble, Trouble::GivenUp(_)) => "it does not answer: check host, port and firewall".to_owned(),
        _ => match trouble.cause().to_string() {
            // The driver has no other way to say these.
            cause if cause.contains("password missing") => {
                format!("the server asks {} for a password: it goes into the URL or PGPASSWORD", address.user())
            }
            cause if cause.contains("does not allow writes") => {
                "it takes no writes: it is a standby, or read-only".to_owned()
            }
            cause if cause.contains("TLS") => {
                "no encrypted connection could be made: does the server have ssl = on, and a certificate for this host \
                 that is trusted here (sslrootcert=FILE)?"
                    .to_owned()
            }
            _ => "check host and port, and that the server runs".to_owned(),
        },
    }
}
