//! The PostgreSQL database that tables are copied to, as it is read and prepared; rows are written by the buffer.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use forebay_bench::Stop;
use forebay_postgres::tokio_postgres::error::SqlState;
use forebay_postgres::tokio_postgres::types::FromSql;
use forebay_postgres::tokio_postgres::{self, Client, Row};
use futures::TryStreamExt;
use tokio::runtime::Runtime;

use super::destination::{Destination, TargetColumn};
use super::kind::Kind;
use super::progress::{self, Progress};
use super::value::{RowHash, Sum, Value};
use super::writing::overtaken;
use crate::failure::{Failure, Result};
use crate::server::{self, Server};
use crate::sql::{named, quoted};

/// How soon a stop is noticed.
const LOOK: Duration = Duration::from_millis(100);

/// The columns of a table that is found as a name without a schema is.
const COLUMNS: &str = "SELECT a.attname::text, coalesce(b.typname, t.typname)::text, a.attnotnull FROM pg_attribute a \
     JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype \
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// Which of these rights on a table the user lacks, and who that is. A right on some columns counts as one.
const LACKING: &str = "SELECT array(SELECT r FROM unnest($2::text[]) AS r WHERE NOT CASE r \
     WHEN 'DELETE' THEN has_table_privilege(to_regclass($1), r) ELSE has_any_column_privilege(to_regclass($1), r) END), \
     current_user::text";

/// The rights that it takes to write a table.
pub(super) fn rights(table: &str) -> &'static [&'static str] {
    match table {
        // Of what a killed process has left in the books the next one rids them.
        "_forebay" => &["SELECT", "INSERT", "UPDATE", "DELETE"],
        _ => &["SELECT", "INSERT", "UPDATE"],
    }
}

/// A table that is there.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) columns: Vec<TargetColumn>,
}

/// How the copy to a table begins.
#[derive(Clone, Copy)]
pub(super) enum Start<'s> {
    /// This statement makes it.
    Make(&'s str),
    /// It must have no row, because those that are written twice are there twice.
    Empty,
    /// What rows it has are written over.
    Any,
}

/// A connection for everything that is not writing rows.
pub(super) struct Target {
    runtime: Runtime,
    server: Server,
    /// Made again when the server has ended it: a copy takes longer than most servers keep their promises.
    client: RefCell<Arc<Client>>,
    stop: Stop,
}

impl Target {
    /// Connects.
    pub(super) fn connect(server: &Server, stop: &Stop) -> Result<Self> {
        let runtime = server::runtime()?;
        let client = runtime.block_on(server.client())?;
        let (server, client) = (server.clone(), RefCell::new(Arc::new(client)));
        Ok(Self { runtime, server, client, stop: stop.clone() })
    }

    /// Waits for an answer, until told to stop.
    fn ask<T>(
        &self,
        what: &str,
        question: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T> {
        let stopped = async {
            while !self.stop.is_stopped() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let answered = async {
            let client = self.connected().await?;
            question(&client).await.map_err(|error| self.failed(what, &error))
        };
        self.runtime.block_on(async {
            tokio::select! {
                answer = answered => answer,
                () = stopped => Err(Failure::new(format!("{}: stopped", self.server.name))),
            }
        })
    }

    async fn connected(&self) -> Result<Arc<Client>> {
        // The connection's task sees what has come since the last answer.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        let client = Arc::clone(&self.client.borrow());
        if !client.is_closed() {
            return Ok(client);
        }
        let client = Arc::new(self.server.client().await?);
        self.client.replace(Arc::clone(&client));
        Ok(client)
    }

    fn failed(&self, what: &str, error: &tokio_postgres::Error) -> Failure {
        let name = &self.server.name;
        // The text of the database may hold a value only with its detail, which is left out.
        let why = match error.as_db_error() {
            Some(error) => error.message().to_owned(),
            None => std::error::Error::source(error)
                .map_or_else(|| error.to_string(), ToString::to_string),
        };
        let failure = Failure::new(format!("cannot {what} in {name}: {why}"));
        match error.code() {
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                failure.hint("have the owner GRANT that to this user, or copy as the owner")
            }
            _ => failure,
        }
    }

    /// Makes the table of how far copies have come, if it is not there.
    pub(super) fn prepare(&self) -> Result<()> {
        let is_there = self.ask("look at the tables", async |client| {
            client.query_one(progress::IS_THERE, &[]).await
        })?;
        if is_there.get(0) {
            return self.check_rights(progress::TABLE, rights(progress::TABLE));
        }
        let what = format!("make the table {}", progress::TABLE);
        self.ask(&what, async |client| match client.batch_execute(progress::CREATE).await {
            // The type of its rows is there first.
            Err(error) if was_made(&error) || error.code() == Some(&SqlState::DUPLICATE_OBJECT) => {
                Ok(())
            }
            made => made,
        })
    }

    /// How far the copy to a table has come, if one was begun.
    pub(super) fn progress(&self, table: &str) -> Result<Option<Progress>> {
        let row = self.ask("read how far the copy has come", async |client| {
            client.query_opt(progress::READ, &[&table]).await
        })?;
        let progress = |row: Row| {
            let count = |at| row.get::<_, i64>(at).unsigned_abs();
            let refused = Sum::of(count(4), row.get(5)).ok_or_else(|| {
                let books = progress::TABLE;
                Failure::new(format!("{books} has no sum for {table}: somebody has changed it"))
            })?;
            let (source, last) = (row.get(0), row.get(1));
            Ok(Progress { source, last, passed: count(2), rejected: count(3), refused })
        };
        row.map(progress).transpose()
    }

    /// The table of this name, or of the same in lower case, with its columns; nothing when there is none.
    pub(super) fn find(&self, name: &str) -> Result<Option<Found>> {
        for name in [name.to_owned(), name.to_ascii_lowercase()] {
            let what = format!("look at the table {name}");
            let quoted = quoted(&name);
            let rows = self.ask(&what, async |client| client.query(COLUMNS, &[&quoted]).await)?;
            if !rows.is_empty() {
                let column = |row: &Row| {
                    let (name, kind) = (row.get(0), Kind::of(row.get(1)));
                    TargetColumn { name, kind, is_not_null: row.get(2) }
                };
                return Ok(Some(Found { name, columns: rows.iter().map(column).collect() }));
            }
        }
        Ok(None)
    }

    /// Fails unless the user has these rights on a table: without them the rows would wait for whoever grants them.
    pub(super) fn check_rights(&self, table: &str, rights: &[&str]) -> Result<()> {
        let name = quoted(table);
        let row = self.ask(&format!("look at the table {table}"), async |client| {
            client.query_one(LACKING, &[&name, &rights]).await
        })?;
        let (lacking, user): (Vec<String>, String) = (row.get(0), row.get(1));
        if lacking.is_empty() {
            return Ok(());
        }
        let (lacking, server) = (lacking.join(", "), &self.server.name);
        let message = format!("{user} has no right to {lacking} in the table {table} in {server}");
        let grant = format!("GRANT {lacking} ON {name} TO {}", quoted(&user));
        Err(Failure::new(message).hint(format!("have the owner {grant}, or copy as the owner")))
    }

    /// Whether a table has no row.
    pub(super) fn is_empty(&self, table: &str) -> Result<bool> {
        self.ask(&format!("read the table {table}"), async |client| {
            client.query_one(&is_empty(table), &[]).await
        })
        .map(|row| row.get(0))
    }

    /// How many rows it has.
    pub(super) fn count(&self, table: &str) -> Result<u64> {
        let sql = format!("SELECT count(*) FROM {}", quoted(table));
        let row = self.ask(&format!("count the rows of {table}"), async |client| {
            client.query_one(&sql, &[]).await
        })?;
        Ok(row.get::<_, i64>(0).unsigned_abs())
    }

    /// Notes that the copy to a table begins, and makes the table if it is to be: both or none.
    pub(super) fn begin(&self, table: &str, source: &str, start: Start<'_>) -> Result<()> {
        let what = match start {
            Start::Make(_) => format!("make the table {table}"),
            _ => format!("note in {} that the copy of {table} begins", progress::TABLE),
        };
        let begun = self.ask(&what, async |client| {
            client.batch_execute("BEGIN").await?;
            if let Start::Make(create) = start
                && let Err(error) = client.batch_execute(create).await
            {
                return if was_made(&error) { Ok(false) } else { Err(error) };
            }
            client.execute(progress::BEGIN, &[&table, &source]).await?;
            // Whoever else copies to it moves the progress on with each group, which waits now, or is there to be seen.
            if matches!(start, Start::Empty)
                && !client.query_one(&is_empty(table), &[]).await?.get::<_, bool>(0)
            {
                client.batch_execute("ROLLBACK").await?;
                return Ok(false);
            }
            client.batch_execute("COMMIT").await.map(|()| true)
        })?;
        if begun { Ok(()) } else { Err(overtaken(table)) }
    }

    /// What the columns that can be compared come to.
    pub(super) fn sum(&self, to: &Destination) -> Result<Sum> {
        let columns: Vec<_> = to.compared().into_iter().map(|at| &to.columns[at]).collect();
        let names: Vec<_> = columns.iter().map(|column| &column.name).collect();
        let sql = format!("SELECT {} FROM {}", named(&names), quoted(&to.name));
        self.ask(&format!("read the table {}", to.name), async |client| {
            let mut sum = Sum::default();
            let none: [&str; 0] = [];
            let rows = client.query_raw(&sql, none).await?;
            let mut rows = std::pin::pin!(rows);
            while let Some(row) = rows.try_next().await? {
                let mut hash = RowHash::default();
                for (at, column) in columns.iter().enumerate() {
                    hash.add(&value(&row, at, column.kind)?);
                }
                sum.add(&hash);
            }
            Ok(sum)
        })
    }
}

fn is_empty(table: &str) -> String {
    format!("SELECT NOT EXISTS (SELECT 1 FROM {})", quoted(table))
}

/// Whether a table could not be made because somebody else has, in this moment even.
fn was_made(error: &tokio_postgres::Error) -> bool {
    matches!(error.code(), Some(&SqlState::DUPLICATE_TABLE | &SqlState::UNIQUE_VIOLATION))
}

fn value<'r>(row: &'r Row, at: usize, kind: Kind) -> Result<Value<'r>, tokio_postgres::Error> {
    fn of<'r, T: FromSql<'r>>(row: &'r Row, at: usize) -> Result<Option<T>, tokio_postgres::Error> {
        row.try_get(at)
    }
    let value = match kind {
        Kind::Boolean => of(row, at)?.map(Value::Boolean),
        Kind::Int2 => of::<i16>(row, at)?.map(|number| Value::Integer(number.into())),
        Kind::Int4 => of::<i32>(row, at)?.map(|number| Value::Integer(number.into())),
        Kind::Int8 => of(row, at)?.map(Value::Integer),
        Kind::Float8 => of(row, at)?.map(Value::Real),
        Kind::Text => of::<&str>(row, at)?.map(|text| Value::Text(text.into())),
        Kind::Bytea => of(row, at)?.map(Value::Bytes),
        // Such columns are not compared.
        Kind::Other => None,
    };
    Ok(value.unwrap_or(Value::Null))
}
