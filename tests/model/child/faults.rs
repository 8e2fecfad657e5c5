//! The real sink, but for the batches that a fault is injected into.

use std::collections::VecDeque;
use std::sync::Arc;

use forebay::{
    Applied, Batch, Error, ErrorKind, Result, Signals, Sink, SinkError, SqliteSink, StatementInfo,
    TableInfo,
};
use parking_lot::Mutex;

use crate::protocol::Fault;

pub(crate) struct FaultySink {
    inner: SqliteSink,
    /// Those of the next batches.
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

impl FaultySink {
    pub(crate) fn new(inner: SqliteSink, faults: Arc<Mutex<VecDeque<Fault>>>) -> Self {
        Self { inner, faults }
    }
}

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "injected")
}

/// Past the panic hook: the report of a panic that is meant would only be in the way.
fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("injected"))
}

impl Sink for FaultySink {
    fn describe(&mut self, table: &str) -> Result<TableInfo> {
        self.inner.describe(table)
    }

    fn prepare(&mut self, sql: &str) -> Result<StatementInfo> {
        self.inner.prepare(sql)
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        let fault = self.faults.lock().pop_front();
        match fault {
            Some(Fault::Busy) => return Err(SinkError::busy(error(ErrorKind::Busy))),
            Some(Fault::Down) => return Err(SinkError::down(error(ErrorKind::Unavailable))),
            Some(Fault::UnknownBefore) => {
                return Err(SinkError::unknown(error(ErrorKind::Unavailable)));
            }
            Some(Fault::Fatal) => return Err(SinkError::fatal(error(ErrorKind::Corrupt))),
            Some(Fault::PanicBefore) => panic_quietly(),
            Some(Fault::AbortBefore) => std::process::abort(),
            _ => {}
        }
        let applied = self.inner.apply(batch)?;
        match fault {
            Some(Fault::UnknownAfter) => Err(SinkError::unknown(error(ErrorKind::Unavailable))),
            Some(Fault::PanicAfter) => panic_quietly(),
            Some(Fault::AbortAfter) => std::process::abort(),
            _ => Ok(applied),
        }
    }

    fn is_untidy(&self) -> bool {
        self.inner.is_untidy()
    }

    fn tidy(&mut self) {
        self.inner.tidy();
    }

    fn attach(&mut self, signals: Arc<Signals>) {
        self.inner.attach(signals);
    }

    fn commits_on_caller(&self) -> bool {
        self.inner.commits_on_caller()
    }

    fn name(&self) -> String {
        self.inner.name()
    }
}
