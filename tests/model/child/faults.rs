//! What is around the sink of the child: the faults that are injected into some batches.

use std::collections::VecDeque;
use std::sync::Arc;

use forebay::{Applied, Batch, Error, ErrorKind, Sink, SinkError, SqliteSink};
use parking_lot::Mutex;
use support::Around;

use crate::protocol::Fault;

/// Those of the next batches.
pub(crate) struct Faulty(pub(crate) Arc<Mutex<VecDeque<Fault>>>);

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "injected")
}

/// Past the panic hook: the report of a panic that is meant would only be in the way.
fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("injected"))
}

impl Around for Faulty {
    fn apply(&mut self, sink: &mut SqliteSink, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        let fault = self.0.lock().pop_front();
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
        let applied = sink.apply(batch)?;
        match fault {
            Some(Fault::UnknownAfter) => Err(SinkError::unknown(error(ErrorKind::Unavailable))),
            Some(Fault::PanicAfter) => panic_quietly(),
            Some(Fault::AbortAfter) => std::process::abort(),
            _ => Ok(applied),
        }
    }
}
