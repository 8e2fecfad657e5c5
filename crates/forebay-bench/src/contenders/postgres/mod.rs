//! The contenders that write to a PostgreSQL server.

mod direct;
mod limit;
mod on_threads;
mod pipelined;

use std::collections::BTreeMap;

use forebay_trial::{
    Outcome, Request, Result, Server, Start, TaskContender, Topics, WorkerKind, run_tasks,
    run_threads,
};
use tokio::runtime::Builder;
use tokio_postgres::Client;

use super::buffered::Buffered;
use super::kept;
use crate::contender::{DIRECT, PIPELINED};
use crate::postgres::session;
use on_threads::OnThreads;

/// Runs one trial on the request's server.
pub(super) fn run(request: &Request, start: Start, server: &Server) -> Result<Outcome> {
    let topics = kept(request.topics()?);
    let outcome = match request.contender.as_str() {
        DIRECT => run_on(request, start, direct::Direct::new(request, server, topics)),
        PIPELINED => run_on(request, start, pipelined::Pipelined::open(request, server, topics)),
        "limit" => {
            run_on(&limit::paced(request)?, start, limit::Limit::new(request, server, topics))
        }
        "forebay" if request.workers.kind == WorkerKind::Tasks => {
            run_tasks(request, start, async { Buffered::connect(request, server, topics) })
        }
        "forebay" => run_threads(request, start, &Buffered::connect(request, server, topics)?),
        name => {
            Err(format!("there is no contender {name:?} for PostgreSQL in this program").into())
        }
    };
    // What goes to a socket is not among the bytes that the system counts.
    Ok(Outcome { written_bytes: None, ..outcome? })
}

/// Runs a contender whose calls are awaited, also where the workers are threads.
fn run_on<C: TaskContender>(
    request: &Request,
    start: Start,
    make: impl Future<Output = Result<C>>,
) -> Result<Outcome> {
    if request.workers.kind == WorkerKind::Tasks {
        return run_tasks(request, start, make);
    }
    // For what all workers share.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let contender = runtime.block_on(make)?;
    run_threads(request, start, &OnThreads(contender))
}

/// Connects, for as long as the runtime that this is called on works.
async fn connect(server: &Server) -> Result<Client> {
    Ok(session::connect(&server.url).await?)
}

/// What the server or the way to it says is wrong, for the person who runs the bench.
fn failed(error: tokio_postgres::Error) -> forebay_trial::Error {
    session::told(&error).into()
}

/// The server's version, for an outcome.
pub(super) fn versions(server: &Server) -> BTreeMap<String, String> {
    BTreeMap::from([("postgresql".to_owned(), server.version.clone())])
}

/// Writes one row of the bench's own by its statement.
async fn write(
    client: &Client,
    statement: &tokio_postgres::Statement,
    row: &forebay_trial::Row<'static>,
) -> Result<()> {
    let forebay_trial::Row { topic_id, status, progress, updated_at } = row;
    client.execute(statement, &[topic_id, status, progress, updated_at]).await.map_err(failed)?;
    Ok(())
}

/// The rows of a trial.
type Source = &'static Topics;
