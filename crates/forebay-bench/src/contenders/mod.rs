//! The contenders that need no other libraries: one program that is each of them, asked by name.

mod buffered;
mod channel;
mod connection;
mod direct;
mod limit;
mod mutex;
mod on_tasks;
mod readers;
pub(crate) mod watch;

use std::process::ExitCode;

use forebay_trial::{
    Contender, Outcome, Request, Result, Rows, Start, WorkerKind, run_tasks, run_threads, serve,
};

use crate::rows::{Sample, Source};

/// The contender that reads beside the others, in the workload `mixed`.
pub(crate) const READERS: &str = "readers";

/// Runs one trial as a program of its own: reads a [`Request`] from standard input, and answers on standard
/// output.
pub fn main() -> ExitCode {
    serve(run)
}

fn run(request: &Request, start: Start) -> Result<Outcome> {
    match &request.rows {
        Rows::Topics { .. } => run_with(request, start, kept(request.topics()?)),
        Rows::Sample { .. } => run_with(request, start, kept(Sample::read(request)?)),
    }
}

/// Keeps something for as long as the program runs, which is one trial.
fn kept<T>(source: T) -> &'static T {
    Box::leak(Box::new(source))
}

fn run_with(request: &Request, start: Start, source: &'static impl Source) -> Result<Outcome> {
    match request.contender.as_str() {
        "rollback" | "direct" => blocking(request, start, direct::Direct::new(request, source)),
        "retry" => blocking(request, start, direct::Direct::with_retries(request, source)),
        "mutex" => blocking(request, start, mutex::Shared::new(request, source)?),
        "channel" => blocking(request, start, channel::Channel::new(request, source)?),
        "limit" => run_threads(request, start, &limit::Limit::new(request, source)?),
        "forebay" if request.workers.kind == WorkerKind::Tasks => {
            run_tasks(request, start, async { buffered::Buffered::open(request, source) })
        }
        "forebay" => run_threads(request, start, &buffered::Buffered::open(request, source)?),
        READERS => run_threads(request, start, &readers::Reading::new(request)),
        name => Err(format!("there is no contender {name:?} in this program").into()),
    }
}

/// Runs a contender whose calls block, also where the workers are tasks.
fn blocking<C: Contender + Send + 'static>(
    request: &Request,
    start: Start,
    contender: C,
) -> Result<Outcome> {
    if request.workers.kind == WorkerKind::Tasks {
        run_tasks(request, start, async { Ok(on_tasks::OnTasks(kept(contender))) })
    } else {
        run_threads(request, start, &contender)
    }
}
