//! What is around the sink of the child that is killed: every step of it is in the ledger before it is taken.

use std::sync::Arc;

use forebay::{Applied, Batch, Sink, SinkError, SqliteSink, ValueRef};
use support::{Around, Entry, Ledger, Step};

/// A witness.
pub(crate) struct Recorded(pub(crate) Arc<Ledger>);

impl Recorded {
    fn note(&self, step: &Step) {
        self.0.step(step).unwrap();
    }
}

impl Around for Recorded {
    fn apply(&mut self, sink: &mut SqliteSink, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        let landed = batch.rows().filter(|row| row.shape().target().table() == "landed");
        let entries = landed.filter_map(|row| match row.values().next() {
            Some(ValueRef::Integer(id)) => Some(Entry(id)),
            _ => None,
        });
        self.note(&Step::Applying(entries.collect()));
        let applied = sink.apply(batch);
        self.note(if applied.is_ok() { &Step::Applied } else { &Step::Failed });
        applied
    }

    fn tidy(&mut self, sink: &mut SqliteSink) {
        if sink.is_untidy() {
            self.note(&Step::Tidying);
            sink.tidy();
            self.note(&Step::Tidied);
        }
    }
}
