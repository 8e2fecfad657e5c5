//! A contender whose calls block, where the workers are tasks.

use std::collections::BTreeMap;

use forebay_trial::{Contender, Report, Result, TaskContender, TaskWorker, Worker, Written};
use tokio::task::block_in_place;

/// Each call tells the runtime that it blocks, which then runs the other tasks elsewhere.
pub(super) struct OnTasks<C: 'static>(pub(super) &'static C);

impl<C: Contender + Send + 'static> TaskContender for OnTasks<C> {
    type Worker = TaskOf<C>;

    fn versions(&self) -> BTreeMap<String, String> {
        self.0.versions()
    }

    async fn worker(&self, index: u32) -> Result<TaskOf<C>> {
        Ok(TaskOf(Some(self.0.worker(index)?)))
    }

    fn committed(&self) -> Option<u64> {
        self.0.committed()
    }

    async fn finish(&self) -> Result<Report> {
        self.0.finish()
    }
}

/// A worker of it; none once it has finished.
pub(super) struct TaskOf<C: Contender + 'static>(Option<C::Worker<'static>>);

impl<C: Contender + 'static> TaskWorker for TaskOf<C> {
    async fn write(&mut self, number: u64) -> Result<Written> {
        let worker = self.0.as_mut().ok_or("the worker has finished")?;
        block_in_place(|| worker.write(number))
    }

    async fn finish(mut self) -> Result<()> {
        self.0.take().map_or(Ok(()), |worker| block_in_place(|| worker.finish()))
    }
}
