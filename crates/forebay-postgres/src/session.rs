//! One connection, and what is known of the database through it: tables, and statements that are prepared.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use forebay::{Operation, Shape};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::describe::{self, Table};
use crate::driver::GivenUp;
use crate::fault::Trouble;
use crate::parameters;
use crate::sql;
use crate::wire::Wire;

/// How long a connection that is given up may take to say good-bye.
pub(crate) const GOOD_BYE: Duration = Duration::from_millis(500);

/// A connection. Everything here goes with it.
pub(crate) struct Session {
    client: Client,
    task: JoinHandle<()>,
    tls: MakeRustlsConnect,
    tables: HashMap<String, Arc<Table>>,
    prepared: HashMap<u16, Arc<Prepared>>,
    books: HashMap<&'static str, Statement>,
}

/// A shape's statement.
pub(crate) struct Prepared {
    pub(crate) statement: Statement,
    /// How the value at each of the row's positions is sent.
    pub(crate) wires: Vec<Wire>,
    /// For a statement of the application's: which parameter the value at each position is for, from 0.
    pub(crate) parameters: Option<Vec<usize>>,
    pub(crate) has_triggers: bool,
}

impl Session {
    pub(crate) fn new(client: Client, task: JoinHandle<()>, tls: MakeRustlsConnect) -> Self {
        Self {
            client,
            task,
            tls,
            tables: HashMap::new(),
            prepared: HashMap::new(),
            books: HashMap::new(),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the server has ended it, as far as is known now.
    pub(crate) async fn is_over(&self) -> bool {
        // The connection's task sees what has come since the last call.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        self.client.is_closed()
    }

    /// Forgets what is known of tables, which somebody may have changed.
    pub(crate) fn forget(&mut self) {
        self.tables.clear();
        self.prepared.clear();
    }

    /// A table as it is now. `None` when there is none.
    pub(crate) async fn look(&mut self, name: &str) -> Result<Option<Arc<Table>>, Trouble> {
        let Some(table) = describe::table(&self.client, name).await? else {
            self.tables.remove(name);
            return Ok(None);
        };
        let table = Arc::new(table);
        self.tables.insert(name.to_owned(), Arc::clone(&table));
        Ok(Some(table))
    }

    /// The statement of a shape. `None` when its table is gone, or has no such column any more.
    pub(crate) async fn prepared(
        &mut self,
        shape: &Shape,
    ) -> Result<Option<Arc<Prepared>>, Trouble> {
        if let Some(prepared) = self.prepared.get(&shape.id()) {
            return Ok(Some(Arc::clone(prepared)));
        }
        let prepared = match shape.target().operation() {
            Operation::Statement { sql } => {
                let statement = self.client.prepare(&parameters::numbered(sql).sql).await?;
                let places: Vec<usize> =
                    shape.parameters().iter().map(|number| number - 1).collect();
                let wire =
                    |place: &usize| statement.params().get(*place).map_or(Wire::Literal, Wire::of);
                let wires = places.iter().map(wire).collect();
                Prepared { statement, wires, parameters: Some(places), has_triggers: true }
            }
            _ => {
                let name = shape.target().table();
                let table = match self.tables.get(name) {
                    Some(table) => Arc::clone(table),
                    None => match self.look(name).await? {
                        Some(table) => table,
                        None => return Ok(None),
                    },
                };
                let Some(columns) = table.columns(shape.columns()) else { return Ok(None) };
                let statement =
                    self.client.prepare(&sql::text(shape, &table.sql_name, &columns)).await?;
                let wires = columns.iter().map(|column| column.wire).collect();
                Prepared { statement, wires, parameters: None, has_triggers: table.has_triggers }
            }
        };
        let prepared = Arc::new(prepared);
        self.prepared.insert(shape.id(), Arc::clone(&prepared));
        Ok(Some(prepared))
    }

    /// A statement of the books, prepared once.
    pub(crate) async fn books(&mut self, sql: &'static str) -> Result<Statement, Trouble> {
        if let Some(statement) = self.books.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.books.insert(sql, statement.clone());
        Ok(statement)
    }

    /// Ends the connection. Where an answer was given up the statement is cancelled first, so that it holds no lock for long.
    pub(crate) async fn end(self, given_up: bool) {
        let Self { client, task, tls, prepared, books, .. } = self;
        if given_up {
            let _ = tokio::time::timeout(GOOD_BYE, client.cancel_token().cancel_query(tls)).await;
        }
        // They say good-bye too, and need the connection for it.
        drop((prepared, books, client));
        let abort = task.abort_handle();
        if tokio::time::timeout(GOOD_BYE, task).await.is_err() {
            abort.abort();
            tokio::task::yield_now().await;
        }
    }
}

impl Trouble {
    /// Whether an answer is still to come.
    pub(crate) fn is_given_up(&self) -> bool {
        matches!(self, Self::GivenUp(GivenUp::After(_) | GivenUp::Closing))
    }
}
