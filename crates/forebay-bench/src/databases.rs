//! Where the trials of a run have their databases: files in a folder, or a schema on a PostgreSQL server.

use forebay_trial::{Mode, Outcome, Request, Rows, Topics};

use crate::contender::Contender;
use crate::error::Result;
use crate::host;
use crate::plan::Plan;
use crate::postgres;
use crate::program::Stop;
use crate::results::{Disk, ServerFacts};
use crate::scratch::Scratch;
use crate::sink::Sink;
use crate::verify::{verify, verify_count};
use crate::workload::Workload;

/// What is removed when it is dropped.
pub(crate) enum Databases {
    /// SQLite's files.
    Files(Scratch),
    /// A schema.
    Server(Box<postgres::Database>),
}

impl Databases {
    /// Makes room for those of a plan. Blocks until a server answers.
    pub(crate) fn open(plan: &Plan, stop: &Stop) -> Result<Self> {
        let space = plan.workload.space(plan.row, plan.warm_up + plan.time);
        Ok(match plan.sink {
            Sink::Sqlite => Self::Files(Scratch::new(&plan.folder, space)?),
            Sink::Postgres => Self::Server(Box::new(postgres::Database::open(plan, space, stop)?)),
        })
    }

    /// The disk that they lie on; nothing is known of that of a server which is not the run's own.
    pub(crate) fn disk(&self) -> Disk {
        let folder = match self {
            Self::Files(scratch) => Some(scratch.path()),
            Self::Server(server) => server.folder(),
        };
        folder.map_or_else(Disk::unknown, host::disk)
    }

    /// What the server is, if there is one.
    pub(crate) fn server(&self) -> Option<ServerFacts> {
        match self {
            Self::Files(_) => None,
            Self::Server(server) => Some(server.facts().clone()),
        }
    }

    /// Makes a fresh one for a trial, and gives what its contender is asked for.
    pub(crate) fn fresh(
        &mut self,
        plan: &Plan,
        contender: &Contender,
        mode: Mode,
    ) -> Result<Request> {
        match self {
            Self::Files(scratch) => {
                let journal_mode = contender.journal_mode();
                let make = |path: &_| plan.workload.make(plan.row, path, journal_mode);
                Ok(plan.request(contender, mode, scratch.database(journal_mode, make)?))
            }
            Self::Server(server) => {
                let server = Some(server.fresh(plan)?);
                Ok(Request { server, ..plan.request(contender, mode, "".into()) })
            }
        }
    }

    /// Looks into a trial's, and says why the trial is void, if it is.
    pub(crate) fn check(
        &self,
        plan: &Plan,
        request: &Request,
        outcome: &Outcome,
    ) -> Result<Option<String>> {
        let workers = plan.workers;
        let acknowledged = &outcome.acknowledged;
        if acknowledged.len() != workers as usize {
            let answered = acknowledged.len();
            return Ok(Some(format!(
                "{workers} workers were asked for, and {answered} have answered"
            )));
        }
        if let Workload::Table(copy) = &plan.workload {
            let rows = copy.rows_after(acknowledged.iter().sum());
            return verify_count(&request.database, copy.table(), rows);
        }
        let Rows::Topics { keys, status_bytes } = request.rows else { return Ok(None) };
        let topics = Topics::new(workers, keys, status_bytes);
        let filling = plan.workload.filling(plan.row);
        match self {
            Self::Files(_) => verify(&request.database, &topics, &filling, acknowledged),
            Self::Server(server) => server.verify(&topics, &filling, acknowledged),
        }
    }

    /// Removes what the last trial has left, so that it takes no room.
    pub(crate) fn clear(&mut self) -> Result<()> {
        match self {
            Self::Files(scratch) => scratch.clear(),
            Self::Server(server) => server.clear(),
        }
    }
}
