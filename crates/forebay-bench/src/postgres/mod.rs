//! Runs on a PostgreSQL server: a throw-away one, or one that is there, where all happens in a schema of its own.

mod cluster;
mod programs;
pub(crate) mod session;
pub(crate) mod url;

pub use cluster::Cluster;
pub use programs::Programs;

use std::collections::BTreeMap;
use std::path::Path;

use forebay::rusqlite::types::ValueRef;
use forebay_postgres::PostgresSink;
use forebay_trial::{Server, Topics};

use crate::contender::DIRECT;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::program::Stop;
use crate::results::ServerFacts;
use crate::verify::Comparison;
use crate::workload::{Filling, TABLE, UNTOUCHED, Workload};
use session::Session;
use url::Url;

/// What is told of a server's settings: what a commit survives, and how much memory and log it has.
const SETTINGS: [&str; 6] = [
    "synchronous_commit",
    "fsync",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "wal_level",
];
/// How long a statement of the run's own waits for whom a contender has left behind.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '30s'";

/// The server of a run. Dropping it removes the schema, or the server where that is the run's own.
pub(crate) struct Database {
    /// Closed before the server ends.
    session: Session,
    schema: String,
    /// Of the schema.
    server: Server,
    facts: ServerFacts,
    cluster: Option<Cluster>,
    /// Whether there is a schema to be removed.
    is_made: bool,
}

impl Database {
    /// Connects to the server that the plan names, or starts one. Blocks until it answers.
    pub(crate) fn open(plan: &Plan, space: u64, stop: &Stop) -> Result<Self> {
        let cluster = match &plan.url {
            Some(_) => None,
            None => Some(Cluster::start(&plan.folder, space, plan.workers, stop)?),
        };
        let text = cluster.as_ref().map(Cluster::url).or(plan.url.as_deref()).unwrap_or_default();
        let url = Url::parse(text)?;
        let schema = format!("forebay_bench_{:016x}", fastrand::u64(..));
        let in_schema = url.with_schema(&schema);
        let session = Session::open(&in_schema).map_err(|error| match &plan.url {
            Some(_) => error.with_hint(format!("--url leads to {}", url.place())),
            None => error,
        })?;
        session.run("set the lock timeout", LOCK_TIMEOUT)?;
        let facts = facts(&session, &url, cluster.is_some())?;
        let server = Server { url: in_schema, version: facts.version.clone() };
        let database = Self { session, schema, server, facts, cluster, is_made: false };
        database.has_connections(plan)?;
        Ok(database)
    }

    /// Refuses a run that the server has too few connections for.
    fn has_connections(&self, plan: &Plan) -> Result<()> {
        let most = self.session.setting("max_connections")?;
        let needed = plan.workers.saturating_add(1);
        let has_direct = plan.contenders.iter().any(|contender| contender.name() == DIRECT);
        if !has_direct || most.parse().is_ok_and(|most: u32| needed < most) {
            return Ok(());
        }
        Err(Error::new(format!(
            "{DIRECT} has a connection for each of {} workers, and the server takes {most} (max_connections)",
            plan.workers
        ))
        .with_hint(format!("lower --workers, leave {DIRECT} out of --contender, or raise it on the server")))
    }

    /// What the server is, and how it is set.
    pub(crate) fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    /// Where a server of the run's own lies.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.cluster.as_ref().map(Cluster::folder)
    }

    /// Makes the schema anew, with the table as it is before a trial, and nothing left for the server to write that is not
    /// the trial's.
    pub(crate) fn fresh(&mut self, plan: &Plan) -> Result<Server> {
        let schema = &self.schema;
        self.is_made = true;
        let Filling { topics, status } = plan.workload.filling(plan.row);
        let index = match plan.workload {
            Workload::Append => format!("CREATE INDEX ON {TABLE}(updated_at);"),
            _ => String::new(),
        };
        let make = format!(
            "DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema};
             CREATE TABLE {TABLE}(topic_id bigint PRIMARY KEY, status text NOT NULL, progress bigint NOT NULL,
                updated_at bigint NOT NULL); {index}
             INSERT INTO {TABLE} SELECT id, '{status}', {UNTOUCHED}, 0 FROM generate_series(0, {topics} - 1) id"
        );
        self.session.run("make the table of a trial", &make)?;
        self.session.run("make the table of a trial", &format!("VACUUM (ANALYZE) {TABLE}"))?;
        PostgresSink::create_books(&self.server.url)
            .map_err(|error| Error::new(error.to_string()))?;
        // Who may not ask for one has the checkpoints as they come.
        let _ = self.session.run("write what is left", "CHECKPOINT");
        Ok(self.server.clone())
    }

    /// Looks whether the table holds what it was filled with and what the workers had acknowledged.
    pub(crate) fn verify(
        &self,
        topics: &Topics,
        filling: &Filling,
        acknowledged: &[u64],
    ) -> Result<Option<String>> {
        let mut comparison = Comparison::new(topics, filling, acknowledged);
        let sql = format!("SELECT {} FROM {TABLE} ORDER BY topic_id", Topics::COLUMNS.join(","));
        self.session.rows(&sql, |found| {
            let (status, progress, updated_at): (&str, i64, i64) =
                (found.try_get(1)?, found.try_get(2)?, found.try_get(3)?);
            let values = [
                ValueRef::Text(status.as_bytes()),
                ValueRef::Integer(progress),
                ValueRef::Integer(updated_at),
            ];
            comparison.see(found.try_get(0)?, values);
            Ok(())
        })?;
        Ok(comparison.verdict())
    }

    /// Removes what the last trial has left.
    pub(crate) fn clear(&mut self) -> Result<()> {
        let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema);
        self.session.run("remove the schema of the run", &drop)?;
        self.is_made = false;
        Ok(())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.is_made && self.cluster.is_none() {
            // Whoever hears of it has failed of something else already.
            let _ = self.clear();
        }
    }
}

fn facts(session: &Session, url: &Url, is_own: bool) -> Result<ServerFacts> {
    let settings = SETTINGS.into_iter().map(|name| Ok((name.to_owned(), session.setting(name)?)));
    let version = session.setting("server_version")?;
    Ok(ServerFacts {
        // Packages add theirs.
        version: version.split(' ').next().unwrap_or_default().to_owned(),
        place: if is_own { "a throw-away server".to_owned() } else { url.place() },
        is_own,
        transport: url.transport().to_owned(),
        settings: settings.collect::<Result<BTreeMap<_, _>>>()?,
    })
}
