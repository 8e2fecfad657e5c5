//! Turns on the processor that are given away, while that is cheap.
//!
//! To park a thread and to wake it costs microseconds, most of them those of whoever wakes; a commit takes hardly longer. So
//! whoever waits for a receipt gives a few turns away before it parks. And threads and tasks that write one row after
//! the other, and wait for each, come back at once: whoever takes the first of their new rows alone commits in tens of
//! transactions what fits one. So the writer, before he sleeps and before he takes rows that are due for no other reason
//! than that somebody waits, gives turns away too, for as long as they come back. Neither waits for anybody.
//!
//! Among threads that do the same a turn is over in microseconds. A thread that computes keeps it for milliseconds: then it
//! is better to park. Whoever finds out stops all of them, for many times as long as was lost.

use std::time::{Duration, Instant};

use crate::sync::{self, AtomicU64, Ordering};

/// Turns that a thread gives away before it parks.
const BEFORE_PARKING: u32 = 8;
/// Turns that the writer gives away in vain before he no longer counts on those he has told.
const IN_VAIN: u32 = if cfg!(forebay_loom) { 1 } else { 4 };
/// A turn that takes longer was taken by a thread that computes, as a rule.
const LONG: Duration = Duration::from_millis(1);
/// Time in long turns, of all threads together and less that in short ones, after which none is given away for `REST`
/// times as long. So they go on while long ones take less than half of the time: with 8 processes of 10 threads that wait for
/// their rows they take a seventh as a rule, beside two threads that compute nine tenths. One long commit has all who wait
/// for it lose time, and is no reason.
const LOSS: Duration = Duration::from_secs(1);
const REST: u32 = 10;

/// Whether turns are given away at the moment; shared by all threads of a buffer.
pub(crate) struct Turns {
    begun: Instant,
    /// Nanoseconds of long turns that short ones have not made up for.
    lost: AtomicU64,
    /// Nanoseconds after `begun` before which none is given away.
    rest_until: AtomicU64,
}

impl Turns {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self { begun: sync::now(), lost: zero(), rest_until: zero() }
    }

    /// Gives a turn away, unless that is dear. In a model, where there is no time, always.
    pub(crate) fn give(&self) -> bool {
        if cfg!(forebay_loom) {
            sync::yield_now();
            return true;
        }
        let before = sync::now() - self.begun;
        if nanos(before) < self.rest_until.load(Ordering::Relaxed) {
            return false;
        }
        sync::yield_now();
        let after = sync::now() - self.begun;
        self.note(after - before, after);
        true
    }

    fn note(&self, took: Duration, now: Duration) {
        if took > LONG {
            // However long the whole process stood still.
            let took = took.min(LOSS);
            let lost = self.lost.fetch_add(nanos(took), Ordering::Relaxed) + nanos(took);
            if lost > nanos(LOSS) {
                self.lost.store(0, Ordering::Relaxed);
                let rest = u64::from(REST) * lost;
                self.rest_until.store(nanos(now).saturating_add(rest), Ordering::Relaxed);
            }
        } else if self.lost.load(Ordering::Relaxed) > 0 {
            let less = |lost: u64| Some(lost.saturating_sub(nanos(took)));
            let _ = self.lost.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// Gives turns away until `is_over`, a few at the most. In a model none: they change nothing that others could see.
    pub(crate) fn give_until(&self, is_over: impl Fn() -> bool) {
        if cfg!(forebay_loom) {
            return;
        }
        for _ in 0..BEFORE_PARKING {
            if is_over() || !self.give() {
                break;
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// For how long the writer gives way to those he has told.
#[derive(Default)]
pub(crate) struct Gathering {
    absent: usize,
    in_vain: u32,
}

impl Gathering {
    /// Whether to give way once more to the `absent`, who have been told and have not come back. Their number is a
    /// guess, for some never do: after a few turns in which it does not fall they are not counted on.
    pub(crate) fn goes_on(&mut self, absent: &mut usize) -> bool {
        if *absent < self.absent {
            self.in_vain = 0;
        }
        if self.in_vain == IN_VAIN {
            *absent = 0;
        }
        self.absent = *absent;
        self.in_vain = if *absent > 0 { self.in_vain + 1 } else { 0 };
        *absent > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_come_back_keep_it_going_and_a_few_turns_in_vain_end_it() {
        let mut gathering = Gathering::default();
        for mut absent in (4..10).rev() {
            for _ in 0..IN_VAIN {
                assert!(gathering.goes_on(&mut absent));
            }
        }
        // The writer was woken for something else, and others were told by whoever commits on his own thread.
        for mut absent in [4, 1, 7] {
            for _ in 0..IN_VAIN {
                gathering.goes_on(&mut absent);
            }
            assert!(!gathering.goes_on(&mut absent));
            assert_eq!(absent, 0, "they are not counted on until they are told again");
            for _ in 0..10 {
                assert!(!gathering.goes_on(&mut absent));
            }
        }
    }

    #[test]
    fn turns_that_are_long_as_a_rule_stop_all_of_them_for_a_while() {
        let turns = Turns::new();
        turns.note(LOSS, Duration::ZERO);
        assert!(turns.give(), "one may be chance");

        let turns = Turns::new();
        turns.note(LOSS, Duration::ZERO);
        turns.note(LOSS, Duration::from_secs(1));
        let until = Duration::from_secs(1) + 2 * LOSS * REST;
        assert_eq!(turns.rest_until.load(Ordering::Relaxed), nanos(until));
        assert!(!turns.give());
    }

    #[test]
    fn one_turn_that_takes_an_hour_stops_them_for_seconds_at_the_most() {
        let turns = Turns::new();
        let hour = Duration::from_secs(3_600);
        turns.note(hour, hour);
        turns.note(hour, 2 * hour);
        let until = 2 * hour + 2 * LOSS * REST;
        assert_eq!(turns.rest_until.load(Ordering::Relaxed), nanos(until));
    }

    #[test]
    fn long_turns_among_many_short_ones_do_not() {
        let turns = Turns::new();
        for _ in 0..1_000 {
            turns.note(Duration::from_millis(2), Duration::ZERO);
            for _ in 0..21 {
                turns.note(Duration::from_micros(100), Duration::ZERO);
            }
        }
        assert!(turns.give());
    }
}
