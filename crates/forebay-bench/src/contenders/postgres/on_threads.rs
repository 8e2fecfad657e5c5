//! A contender whose calls are awaited, where the workers are threads.

use std::collections::BTreeMap;

use forebay_trial::{Contender, Report, Result, TaskContender, TaskWorker, Worker, Written};
use tokio::runtime::{Builder, Runtime};

/// Each worker has a runtime of its own, which works while one of its calls blocks.
pub(super) struct OnThreads<C>(pub(super) C);

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

impl<C: TaskContender> Contender for OnThreads<C> {
    type Worker<'a> = ThreadOf<C::Worker>;

    fn versions(&self) -> BTreeMap<String, String> {
        self.0.versions()
    }

    fn worker(&self, index: u32) -> Result<ThreadOf<C::Worker>> {
        let runtime = runtime()?;
        let worker = runtime.block_on(self.0.worker(index))?;
        Ok(ThreadOf { worker, runtime })
    }

    fn committed(&self) -> Option<u64> {
        self.0.committed()
    }

    fn finish(&self) -> Result<Report> {
        runtime()?.block_on(self.0.finish())
    }
}

/// A worker with its runtime.
pub(super) struct ThreadOf<W> {
    worker: W,
    runtime: Runtime,
}

impl<W: TaskWorker> Worker for ThreadOf<W> {
    fn write(&mut self, number: u64) -> Result<Written> {
        self.runtime.block_on(self.worker.write(number))
    }

    fn finish(self) -> Result<()> {
        self.runtime.block_on(self.worker.finish())
    }
}
