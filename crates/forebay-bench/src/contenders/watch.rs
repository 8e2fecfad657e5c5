//! A look at a buffer's counters twice in a millisecond: how old its rows get, and how fast they are committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use forebay::Stats;
use forebay_trial::{Latencies, Request};
use serde::{Deserialize, Serialize};

/// The time between two looks.
const STEP: Duration = Duration::from_micros(500);

/// What was seen, in a contender's `details`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Watched {
    /// Rows committed in each second, from the end of one transaction to the end of another: no part of one is
    /// counted. None where there were not two.
    pub(crate) rows_per_second: Option<f64>,
    /// From the look at which a row was accepted first to the one at which it was committed.
    pub(crate) delays: Latencies,
}

/// What one look has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    at: Duration,
    accepted: u64,
    committed: u64,
}

/// Looks from when it is begun until it is finished.
pub(crate) struct Watch {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Look>>,
    warm_up: Duration,
    time: Duration,
}

impl Watch {
    /// Begins to look.
    pub(crate) fn begin(
        request: &Request,
        stats: impl Fn() -> Stats + Send + 'static,
    ) -> std::io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        let thread = thread::Builder::new().name("watch".to_owned()).spawn(move || {
            let (begun, mut looks) = (Instant::now(), Vec::new());
            while !over.load(Ordering::Relaxed) {
                let stats = stats();
                let (accepted, committed) = (stats.accepted, stats.committed + stats.superseded);
                let changed =
                    |last: &Look| (last.accepted, last.committed) != (accepted, committed);
                if accepted > 0 && looks.last().is_none_or(changed) {
                    looks.push(Look { at: begun.elapsed(), accepted, committed });
                }
                thread::park_timeout(STEP);
            }
            looks
        })?;
        Ok(Self { ended, thread, warm_up: request.warm_up, time: request.time })
    }

    /// Ends, and says what was seen in the time that is measured.
    pub(crate) fn finish(self) -> Watched {
        self.ended.store(true, Ordering::Relaxed);
        let looks = self.thread.join().unwrap_or_default();
        let Some(begun) = looks.first().map(|look| look.at) else { return Watched::default() };
        let from = begun + self.warm_up;
        Watched {
            rows_per_second: rate(&looks, from, from + self.time),
            delays: delays(&looks, from),
        }
    }
}

/// Between the first and the last of the looks at which more was committed than before.
fn rate(looks: &[Look], from: Duration, to: Duration) -> Option<f64> {
    let mut ends = looks
        .windows(2)
        .filter(|pair| pair[1].committed > pair[0].committed && (from..=to).contains(&pair[1].at))
        .map(|pair| pair[1]);
    let (first, last) = (ends.next()?, ends.next_back()?);
    Some((last.committed - first.committed) as f64 / (last.at - first.at).as_secs_f64())
}

/// Of the rows that were committed by the last look; what was not by then is the last batch as a whole.
fn delays(looks: &[Look], from: Duration) -> Latencies {
    let mut delays = Latencies::new();
    let (mut before, mut place) = (0, 0);
    for look in looks {
        while place < looks.len() && looks[place].committed < look.accepted {
            place += 1;
        }
        let Some(end) = looks.get(place) else { break };
        if look.at >= from && look.accepted > before {
            let rows = u32::try_from(look.accepted - before).unwrap_or(u32::MAX);
            delays.record_many(end.at.saturating_sub(look.at), rows);
        }
        before = look.accepted;
    }
    delays
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(seen: &[(u64, u64, u64)]) -> Vec<Look> {
        let look = |&(millis, accepted, committed): &(u64, u64, u64)| Look {
            at: Duration::from_millis(millis),
            accepted,
            committed,
        };
        seen.iter().map(look).collect()
    }

    #[test]
    fn a_row_is_as_old_as_from_its_look_to_the_one_that_has_it_committed() {
        let seen = looks(&[(0, 5, 0), (10, 9, 0), (20, 9, 5), (30, 12, 9), (40, 20, 9)]);
        let delays = delays(&seen, Duration::ZERO);
        // 5 rows for 20 ms, 4 for 20 ms; 3 and 8 are not committed yet.
        assert_eq!(delays.count(), 9);
        let close = |part: f64, millis: f64| {
            let found = delays.quantile(part).unwrap().as_secs_f64() * 1e3;
            assert!((found / millis - 1.0).abs() < 0.02, "{part}: {found} for {millis}");
        };
        close(0.01, 20.0);
        close(1.0, 20.0);
        assert_eq!(super::delays(&seen, Duration::from_millis(5)).count(), 4);
    }

    #[test]
    fn the_rate_is_between_the_ends_of_transactions() {
        let seen = looks(&[
            (0, 9, 0),
            (10, 99, 40),
            (15, 120, 40),
            (30, 130, 80),
            (50, 200, 120),
            (90, 200, 121),
        ]);
        let rate = rate(&seen, Duration::from_millis(5), Duration::from_millis(60)).unwrap();
        assert!((rate - 80.0 / 0.040).abs() < 1e-6, "{rate}");
        assert_eq!(super::rate(&seen, Duration::from_millis(20), Duration::from_millis(40)), None);
    }
}
