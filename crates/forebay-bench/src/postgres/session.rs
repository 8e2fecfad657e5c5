//! A connection to a PostgreSQL server whose calls block.

use std::env;
use std::error::Error as _;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, RowStream};

use crate::error::{Error, Result};

/// How long it may take to connect.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that works while one of its calls blocks.
pub(crate) struct Session {
    client: Client,
    runtime: Runtime,
}

impl Session {
    /// Connects.
    pub(crate) fn open(url: &str) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(format!("cannot wait for a PostgreSQL server: {error}")))?;
        let client = runtime.block_on(connect(url)).map_err(Error::new)?;
        Ok(Self { client, runtime })
    }

    /// Runs statements that return nothing; `what` they are for is said when they fail.
    pub(crate) fn run(&self, what: &str, sql: &str) -> Result<()> {
        let done = self.runtime.block_on(self.client.batch_execute(sql));
        done.map_err(|error| failed(what, &error))
    }

    /// The value of a setting.
    pub(crate) fn setting(&self, name: &str) -> Result<String> {
        self.text("SELECT current_setting($1)", &[name])
    }

    /// The one text that a query gives.
    pub(crate) fn text(&self, sql: &str, parameters: &[&str]) -> Result<String> {
        let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|one| one as _).collect();
        let ask = async { self.client.query_one(sql, &parameters).await?.try_get(0) };
        self.runtime.block_on(ask).map_err(|error| failed("ask", &error))
    }

    /// Gives `see` the rows of a query, one after the other.
    pub(crate) fn rows(
        &self,
        sql: &str,
        mut see: impl FnMut(&tokio_postgres::Row) -> Result<(), tokio_postgres::Error>,
    ) -> Result<()> {
        let seen = self.runtime.block_on(async {
            let none: [i64; 0] = [];
            let mut rows = std::pin::pin!(self.client.query_raw(sql, none).await?);
            while let Some(row) = next(rows.as_mut()).await {
                see(&row?)?;
            }
            Ok(())
        });
        seen.map_err(|error: tokio_postgres::Error| failed("read the rows", &error))
    }
}

/// The next row of a query.
async fn next(
    mut rows: std::pin::Pin<&mut RowStream>,
) -> Option<Result<tokio_postgres::Row, tokio_postgres::Error>> {
    std::future::poll_fn(|context| futures::Stream::poll_next(rows.as_mut(), context)).await
}

/// Connects, for as long as the runtime that this is called on works.
pub(crate) async fn connect(url: &str) -> Result<Client, String> {
    let mut config: Config =
        url.parse().map_err(|error| format!("the URL cannot be read: {error}"))?;
    // As forebay's sink does.
    if let (None, Ok(password)) = (config.get_password(), env::var("PGPASSWORD")) {
        config.password(password);
    }
    let connected = timeout(PATIENCE, config.connect(NoTls)).await;
    let (client, connection) = match connected {
        Ok(connected) => {
            connected.map_err(|error| format!("cannot connect to PostgreSQL: {}", told(&error)))?
        }
        Err(_) => {
            return Err(format!(
                "cannot connect to PostgreSQL: it did not answer for {PATIENCE:?}"
            ));
        }
    };
    tokio::spawn(connection);
    Ok(client)
}

fn failed(what: &str, error: &tokio_postgres::Error) -> Error {
    Error::new(format!("cannot {what} on the PostgreSQL server: {}", told(error)))
}

/// What the server, or the way to it, says is wrong; without the values of rows that it may have beside that.
pub(crate) fn told(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(error), _) => format!("{} (SQLSTATE {})", error.message(), error.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
