//! Is a batch due: now, at a time, or not until something happens. Pure.

use std::time::{Duration, Instant};

use crate::config::Config;

/// What made a batch due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// `batch_size` rows were there.
    Count,
    /// `max_batch_bytes` bytes were there, or a producer found no room.
    Bytes,
    /// The first row was `linger` old.
    Linger,
    /// Somebody waited for a receipt.
    Receipt,
    /// Somebody called `flush`.
    Flush,
    /// The buffer was closing.
    Close,
}

/// What the decision depends on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gathered {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) oldest: Option<Instant>,
    /// A producer found no room.
    pub(crate) pressed: bool,
    /// Somebody waits for a receipt of a row in here.
    pub(crate) awaited: bool,
    pub(crate) flushing: bool,
    pub(crate) closing: bool,
}

/// When the gathered rows are to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Now(Trigger),
    At(Instant),
    Never,
}

/// The settings that the decision depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    batch_size: usize,
    max_batch_bytes: usize,
    linger: Duration,
}

impl Policy {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            batch_size: config.batch_size,
            max_batch_bytes: config.max_batch_bytes,
            linger: config.linger,
        }
    }

    /// Whether the rows are due by their number or size alone: all that a push can change but the first.
    pub(crate) fn is_full(&self, rows: usize, bytes: usize) -> bool {
        rows >= self.batch_size || bytes >= self.max_batch_bytes
    }

    /// When the gathered rows are due. `now` is only asked for when nothing but time can make them so.
    pub(crate) fn due(&self, gathered: &Gathered, now: impl FnOnce() -> Instant) -> Due {
        let Some(oldest) = gathered.oldest.filter(|_| gathered.rows > 0) else {
            return Due::Never;
        };
        if gathered.rows >= self.batch_size {
            return Due::Now(Trigger::Count);
        }
        if gathered.bytes >= self.max_batch_bytes || gathered.pressed {
            return Due::Now(Trigger::Bytes);
        }
        if gathered.closing {
            return Due::Now(Trigger::Close);
        }
        if gathered.flushing {
            return Due::Now(Trigger::Flush);
        }
        if gathered.awaited {
            return Due::Now(Trigger::Receipt);
        }
        let at = oldest + self.linger;
        if self.linger.is_zero() || now() >= at { Due::Now(Trigger::Linger) } else { Due::At(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_that_holds_is_the_trigger() {
        let policy = Policy::new(&Config { batch_size: 10, ..Config::default() });
        let start = Instant::now();
        let few = Gathered { rows: 1, bytes: 10, oldest: Some(start), ..Gathered::default() };
        let linger = Config::default().linger;
        let due = |gathered: Gathered| policy.due(&gathered, || start);

        assert_eq!(due(Gathered::default()), Due::Never);
        assert_eq!(
            due(Gathered { closing: true, flushing: true, ..Gathered::default() }),
            Due::Never
        );
        assert_eq!(due(few), Due::At(start + linger));
        assert_eq!(policy.due(&few, || start + linger), Due::Now(Trigger::Linger));
        assert_eq!(due(Gathered { rows: 9, ..few }), Due::At(start + linger));
        assert_eq!(due(Gathered { rows: 10, awaited: true, ..few }), Due::Now(Trigger::Count));
        assert_eq!(due(Gathered { bytes: 4 << 20, ..few }), Due::Now(Trigger::Bytes));
        assert_eq!(due(Gathered { pressed: true, ..few }), Due::Now(Trigger::Bytes));
        assert_eq!(due(Gathered { awaited: true, ..few }), Due::Now(Trigger::Receipt));
        assert_eq!(
            due(Gathered { flushing: true, awaited: true, ..few }),
            Due::Now(Trigger::Flush)
        );
        assert_eq!(
            due(Gathered { closing: true, flushing: true, ..few }),
            Due::Now(Trigger::Close)
        );
    }

    #[test]
    fn no_linger_means_at_once() {
        let policy = Policy::new(&Config { linger: Duration::ZERO, ..Config::default() });
        let one =
            Gathered { rows: 1, bytes: 1, oldest: Some(Instant::now()), ..Gathered::default() };
        assert_eq!(policy.due(&one, || unreachable!()), Due::Now(Trigger::Linger));
    }
}
