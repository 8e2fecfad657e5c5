//! The sink itself: its connection, made again when it is lost, and what the engine asks of it.

use std::sync::Arc;

use forebay::{
    Applied, Batch, Books, Error, ErrorKind, Operation, Result, Signals, Sink, SinkError,
    StatementInfo, TableInfo,
};

use crate::apply::{self, Ended, Over, Work};
use crate::books::{self, BOOKS_SQL, Bookkeeping};
use crate::connect::connect;
use crate::driver::{Driver, within};
use crate::fault::{Failure, Trouble, with_cause};
use crate::options::{Address, PostgresOptions};
use crate::session::{GOOD_BYE, Session};
use crate::{describe, execute};

/// Writes batches to a PostgreSQL database over one connection.
pub struct PostgresSink {
    driver: Driver,
    address: Address,
    options: PostgresOptions,
    signals: Arc<Signals>,
    /// `None` after it was lost, until the next call connects again.
    session: Option<Session>,
    books: Bookkeeping,
}

impl PostgresSink {
    /// Connects with the default [options](PostgresOptions).
    ///
    /// The URL is `postgres://USER:PASSWORD@HOST:PORT/DATABASE?option=value`, and for a socket
    /// `postgres:///DATABASE?host=/var/run/postgresql`. Its options are those of
    /// [tokio-postgres](https://docs.rs/tokio-postgres/latest/tokio_postgres/config/struct.Config.html), and `sslrootcert`. A password that is not there is
    /// taken from `PGPASSWORD`. Over a network the connection is encrypted and the server's certificate verified, whatever `sslmode` says short
    /// of `disable`, which is refused; over a socket or loopback only with `sslmode=require`. Several hosts, as in
    /// `postgres://app@one,two/app`, are tried in their order for one that takes writes.
    ///
    /// # Errors
    ///
    /// As [`PostgresOptions::connect`].
    pub fn connect(url: &str) -> Result<Self> {
        PostgresOptions::default().connect(url)
    }

    /// Makes the tables of the books, as [`BOOKS_SQL`] does, in the first schema of the user's `search_path`. Does nothing where
    /// they are there. Blocks as [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and [`Open`](ErrorKind::Open) when the user may not create tables.
    pub fn create_books(url: &str) -> Result<()> {
        let options = PostgresOptions { bookkeeping: false, ..PostgresOptions::default() };
        let mut sink = options.connect(url)?;
        let made = match sink.ask(Question::Run(BOOKS_SQL)) {
            // Somebody else makes them at this moment: the second of two that do is told of a key of the catalog's, a table or its type.
            Err(Untold::Trouble(trouble))
                if matches!(trouble.sqlstate(), "23505" | "42P07" | "42710") =>
            {
                sink.ask(Question::Run(BOOKS_SQL))
            }
            made => made,
        };
        made.map(drop).map_err(|trouble| {
            let message = format!(
                "cannot make the tables of the books in {}: GRANT CREATE ON SCHEMA to this user, or have another one run \
                 forebay_postgres::BOOKS_SQL",
                sink.address
            );
            trouble.explain(Error::new(ErrorKind::Open, message))
        })
    }

    pub(crate) fn with(address: Address, options: PostgresOptions) -> Result<Self> {
        let mut sink = Self {
            driver: Driver::new()?,
            address,
            options,
            signals: Arc::default(),
            session: None,
            books: Bookkeeping::new(),
        };
        sink.connected().map_err(|failure| failure.error)?;
        Ok(sink)
    }

    /// Sees to it that there is a connection.
    fn connected(&mut self) -> Result<(), Failure> {
        let Self { driver, address, options, signals, session, .. } = self;
        driver.run(async {
            if let Some(known) = session {
                if !known.is_over().await {
                    return Ok(());
                }
                tracing::info!(server = %address, "the server has ended the connection: another one is made");
                *session = None;
            }
            *session = Some(connect(address, options, signals).await?);
            Ok(())
        })
    }

    /// Asks the server something outside of batches.
    fn ask(&mut self, question: Question<'_>) -> Result<Told, Untold> {
        self.connected().map_err(|failure| Untold::NotConnected(failure.error))?;
        let Self { driver, options, signals, session, .. } = self;
        driver.run(async {
            let open = session.as_mut().expect("there is a connection");
            let answer = match within(options.reply_timeout, signals, question.put(open)).await {
                Ok(answer) => answer,
                Err(given_up) => Err(Untold::Trouble(Trouble::GivenUp(given_up))),
            };
            if let Err(Untold::Trouble(trouble)) = &answer
                && trouble.ends_session()
                && let Some(over) = session.take()
            {
                over.end(trouble.is_given_up()).await;
            }
            answer
        })
    }

    fn unavailable(&self, what: &str, untold: Untold) -> Error {
        let message = format!("cannot {what} of {}", self.address);
        untold.explain(Error::new(ErrorKind::Unavailable, message))
    }
}

/// What is asked outside of batches.
enum Question<'q> {
    Run(&'static str),
    Table(&'q str),
    Statement(&'q str),
    Books(&'q str),
    OpenBooks(&'q str, u64),
}

/// What is answered.
enum Told {
    Nothing,
    Table(TableInfo),
    Statement(StatementInfo),
    Books(Option<Books>),
}

/// Why there is no answer.
pub(crate) enum Untold {
    NotConnected(Error),
    Trouble(Trouble),
    /// There is one, and it is no.
    Refused(Error),
}

impl Untold {
    /// The error that the caller is told, if it is not one already.
    fn explain(self, error: Error) -> Error {
        match self {
            Self::Trouble(trouble) => with_cause(error, &trouble),
            Self::NotConnected(error) | Self::Refused(error) => error,
        }
    }
}

impl From<tokio_postgres::Error> for Untold {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Trouble(error.into())
    }
}

impl Question<'_> {
    async fn put(self, session: &mut Session) -> Result<Told, Untold> {
        Ok(match self {
            Self::Run(sql) => {
                session.client().batch_execute(sql).await?;
                Told::Nothing
            }
            Self::Table(name) => match session.look(name).await.map_err(Untold::Trouble)? {
                Some(table) => Told::Table(table.info.clone()),
                None => {
                    return Err(Untold::Refused(describe::missing(session.client(), name).await));
                }
            },
            Self::Statement(sql) => {
                Told::Statement(describe::statement(session.client(), sql).await?)
            }
            Self::Books(spool) => Told::Books(books::look(session.client(), spool).await?),
            Self::OpenBooks(spool, applied) => {
                books::open(session.client(), spool, applied).await?;
                Told::Nothing
            }
        })
    }
}

impl Sink for PostgresSink {
    fn describe(&mut self, table: &str) -> Result<TableInfo> {
        describe::refuse_own(table)?;
        match self.ask(Question::Table(table)) {
            Ok(Told::Table(info)) => Ok(info),
            Ok(_) => Err(self.no_answer()),
            Err(untold) => {
                let passes = matches!(&untold, Untold::Trouble(trouble) if trouble.passes());
                let kind = if passes { ErrorKind::Unavailable } else { ErrorKind::Schema };
                let error = Error::new(kind, format!("cannot look at table {table}"));
                Err(untold.explain(error.with_table(table)))
            }
        }
    }

    fn prepare(&mut self, sql: &str) -> Result<StatementInfo> {
        match self.ask(Question::Statement(sql)) {
            Ok(Told::Statement(info)) => Ok(info),
            Ok(_) => Err(self.no_answer()),
            Err(untold) => Err(self.unavailable("check a statement", untold)),
        }
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        self.connected().map_err(|failure| self.books.soften(batch, failure))?;
        let Self { driver, options, signals, session, books, .. } = self;
        let ended = driver.run(async {
            let open = session.as_mut().expect("there is a connection");
            let mut work = Work { session: open, books, signals, options, over: None };
            let is_execute =
                matches!(batch.row(0).shape().target().operation(), Operation::Execute);
            let (ended, leave) = if is_execute {
                match execute::execute(&mut work, batch).await {
                    Ok((applied, leave)) => (Ok(applied), leave),
                    Err(failure) => (Err(Ended::Failed(failure)), false),
                }
            } else {
                (apply::write(&mut work, batch).await, false)
            };
            let over = work.over.or(leave.then_some(Over::Lost));
            if let Some(over) = over
                && let Some(session) = session.take()
            {
                session.end(over == Over::GivenUp).await;
            }
            ended
        });
        ended.map_err(|ended| match ended {
            Ended::Failed(failure) => self.books.soften(batch, failure),
            Ended::Unmerge(error) => SinkError::unmerge(error),
        })
    }

    fn books(&mut self, spool: &str) -> Result<Option<Books>> {
        if !self.options.bookkeeping {
            let message = "a spool needs books, without which rows could be written twice: leave bookkeeping on";
            return Err(Error::new(ErrorKind::Config, message).with_field("bookkeeping"));
        }
        match self.ask(Question::Books(spool)) {
            Ok(Told::Books(books)) => Ok(books),
            Ok(_) => Err(self.no_answer()),
            Err(untold) => Err(self.unavailable("read the books", untold)),
        }
    }

    fn open_books(&mut self, spool: &str, applied: u64) -> Result<()> {
        let opened = self.ask(Question::OpenBooks(spool, applied));
        opened.map(drop).map_err(|untold| self.unavailable("open the books", untold))
    }

    fn books_name(&self) -> Option<String> {
        self.options.bookkeeping.then(|| self.books.name.clone())
    }

    fn takes_nul(&self) -> bool {
        false
    }

    fn attach(&mut self, signals: Arc<Signals>) {
        self.signals = signals;
    }

    fn name(&self) -> String {
        self.address.to_string()
    }
}

impl PostgresSink {
    fn no_answer(&self) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!("the connection to {} was lost: try again", self.address),
        )
    }
}

impl Drop for PostgresSink {
    fn drop(&mut self) {
        let Self { driver, session, books, signals, .. } = self;
        let Some(session) = session.take() else { return };
        driver.run(async {
            // Where it cannot be done in time, another buffer sweeps the books in a week.
            let _ = within(GOOD_BYE, signals, books::close(session.client(), books)).await;
            session.end(false).await;
        });
    }
}

impl std::fmt::Debug for PostgresSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresSink")
            .field("database", &self.address.to_string())
            .finish_non_exhaustive()
    }
}
