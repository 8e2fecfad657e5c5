//! Notes on how calls were timed, and on who did not keep the rate.

use super::units::grouped;
use super::{is_limit, notes};
use crate::results::{Entry, Results};

/// The part of the rate that is as good as all of it.
const KEPT: f64 = 0.95;

/// Who wrote less than all workers meant to.
pub(super) fn missed_rate(results: &Results) -> Vec<String> {
    let Some(rate) = results.rate else { return Vec::new() };
    let missed = |entry: &Entry| {
        let median = entry.figures.as_ref()?.rows_per_second.median;
        let is_late = median < KEPT * rate && !is_limit(entry);
        let name = if is_late { notes::name(results, entry) } else { None };
        name.map(|name| {
            format!(
                "{name}: {} of {} rows/s; what comes too late waits, so its latencies grow with the length of a trial.",
                grouped(median),
                grouped(rate)
            )
        })
    };
    results.entries.iter().filter_map(missed).collect()
}

/// Whose calls were not all timed.
pub(super) fn sampled(results: &Results) -> Option<String> {
    let timed_every = |entry: &Entry| {
        let figures = entry.figures.as_ref()?;
        (figures.timed_every > 1 && figures.latency.samples > 0).then_some(figures.timed_every)
    };
    let every = results.entries.iter().filter_map(timed_every).max()?;
    Some(format!(
        "Where a call returns before its commit one of {every} was timed, for two looks at the clock take as long as such a \
         call; the longest is not known."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::results;

    #[test]
    fn who_does_not_keep_the_rate_is_named() {
        let mut results = results();
        assert!(missed_rate(&results).is_empty());
        results.rate = Some(520.0);
        let notes = missed_rate(&results);
        assert_eq!(notes.len(), 1, "one trial of it stands for both modes");
        assert!(notes[0].starts_with("rollback: 489 of 520 rows/s; "), "{notes:?}");
    }

    #[test]
    fn whose_calls_were_not_all_timed_is_said() {
        let mut results = results();
        assert_eq!(sampled(&results), None);
        for entry in results.entries.iter_mut().filter(|entry| entry.contender == "forebay@400") {
            entry.figures.as_mut().unwrap().timed_every = 17;
        }
        let note = sampled(&results).unwrap();
        assert!(note.contains("one of 17 was timed"), "{note}");
    }
}
