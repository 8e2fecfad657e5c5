//! The bench's own rows: which keys, in which order.

use serde::Serialize;

/// The time in milliseconds that the first row bears.
const EPOCH: i64 = 1_700_000_000_000;

/// Keys from the first of one worker to the first of the next, where every row has a new one.
const RANGE: u64 = 1 << 32;

/// What a worker did to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Row<'a> {
    /// The key.
    pub topic_id: i64,
    /// A word, or a long text.
    pub status: &'a str,
    /// The row's number, by which it is known again in the table.
    pub progress: i64,
    /// A number that changes with every row.
    pub updated_at: i64,
}

/// The rows of all workers of a trial.
#[derive(Debug)]
pub struct Topics {
    workers: u64,
    keys: Option<u64>,
    statuses: [String; 3],
}

impl Topics {
    /// The table's columns, in a row's order.
    pub const COLUMNS: [&'static str; 4] = ["topic_id", "status", "progress", "updated_at"];

    /// The rows of this many workers: see [`Rows::Topics`](crate::Rows::Topics).
    pub fn new(workers: u32, keys: Option<u64>, status_bytes: usize) -> Self {
        let statuses = ["queued", "running", "done"].map(|word| format!("{word:.<status_bytes$}"));
        Self { workers: workers.max(1).into(), keys, statuses }
    }

    /// The rows of one worker.
    pub fn cursor(&self, worker: u32) -> Cursor<'_> {
        let worker = u64::from(worker);
        let share = self.keys.map(|keys| keys.saturating_sub(worker).div_ceil(self.workers).max(1));
        let start = share.map_or(0, |share| {
            (u128::from(share) * u128::from(worker) / u128::from(self.workers)) as u64 % share
        });
        Cursor {
            topics: self,
            worker,
            share: share.unwrap_or(u64::MAX),
            stride: share.map_or(1, stride),
            start,
            number: 0,
            position: start,
        }
    }

    /// The key at a place of a worker's own.
    fn key(&self, worker: u64, position: u64) -> u64 {
        match self.keys {
            Some(_) => worker + self.workers * position,
            None => worker * RANGE + position,
        }
    }
}

/// The rows of one worker, one after the other.
///
/// Of the `S` keys that worker `w` of `W` owns, row `n` has the one at `⌊w · S / W⌋ + n · stride mod S`, where the stride is the
/// whole number nearest to 0.618 S, or the next above it, that has no divisor in common with S. So neighbours in time are
/// far apart in the table, also where the workers keep step with each other, and each key comes once in every S rows.
///
/// Where every row has a new key, a worker's keys follow one another in a range of its own, and so do its times, which have an
/// index: rows cost the same in whatever order the workers have their turns.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    topics: &'a Topics,
    worker: u64,
    share: u64,
    stride: u64,
    start: u64,
    number: u64,
    position: u64,
}

impl<'a> Cursor<'a> {
    /// The row with this number: the one after the last that was asked for, or that one again.
    #[inline]
    pub fn row(&mut self, number: u64) -> Row<'a> {
        if number != self.number {
            debug_assert_eq!(number, self.number + 1, "rows come one after the other");
            self.number = number;
            self.position += self.stride;
            if self.position >= self.share {
                self.position -= self.share;
            }
        }
        let topic_id = self.topics.key(self.worker, self.position) as i64;
        let progress = number as i64;
        let tick = if self.topics.keys.is_some() { progress } else { topic_id };
        Row {
            topic_id,
            status: &self.topics.statuses[(number % 3) as usize],
            progress,
            updated_at: EPOCH + tick,
        }
    }

    /// The keys that must be in the table when this many rows were acknowledged, each with its newest number.
    pub fn newest(&self, acknowledged: u64) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let Self { topics, worker, share, stride, start, .. } = *self;
        (acknowledged.saturating_sub(share)..acknowledged).map(move |number| {
            let along = u128::from(number) * u128::from(stride) + u128::from(start);
            (topics.key(worker, (along % u128::from(share)) as u64), number)
        })
    }
}

/// How far apart in a cycle of `share` places two neighbours in time are: about 0.618 of it, with no divisor in common.
pub fn stride(share: u64) -> u64 {
    let nearest = (share as f64 * 0.618).round() as u64;
    (nearest.max(1)..).find(|&stride| coprime(stride, share)).unwrap_or(1) % share.max(2)
}

fn coprime(mut a: u64, mut b: u64) -> bool {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn each_key_belongs_to_one_worker_and_comes_once_in_a_cycle() {
        for (workers, keys) in
            [(1, 400), (80, 400), (7, 400), (400, 400), (8, 1_000), (3, 4), (2, 3)]
        {
            let topics = Topics::new(workers, Some(keys), 0);
            let mut owners = HashMap::new();
            for worker in 0..workers {
                let mut cursor = topics.cursor(worker);
                let share = (0..keys)
                    .filter(|key| key % u64::from(workers) == u64::from(worker))
                    .count() as u64;
                for number in 0..share {
                    let key = cursor.row(number).topic_id;
                    assert_eq!(
                        owners.insert(key, worker),
                        None,
                        "key {key} of {keys}, {workers} workers"
                    );
                }
            }
            assert_eq!(owners.len() as u64, keys);
        }
    }

    #[test]
    fn workers_that_keep_step_write_far_from_each_other() {
        let topics = Topics::new(80, Some(1_000_000), 0);
        let mut keys: Vec<_> = (0..80)
            .map(|worker| {
                let mut cursor = topics.cursor(worker);
                (0..3).map(|number| cursor.row(number).topic_id).last().unwrap()
            })
            .collect();
        keys.sort_unstable();
        assert!(keys.windows(2).all(|two| two[1] - two[0] > 12_000), "{keys:?}");
    }

    #[test]
    fn rows_that_are_added_follow_one_another_in_a_range_of_each_worker() {
        let topics = Topics::new(2, None, 0);
        let mut cursor = topics.cursor(1);
        assert_eq!([0, 1, 2].map(|number| cursor.row(number).topic_id - RANGE as i64), [0, 1, 2]);
    }

    #[test]
    fn what_must_be_in_the_table_is_what_the_rows_said_last() {
        for (keys, acknowledged) in [(Some(50), 0), (Some(50), 3), (Some(50), 1_234), (None, 77)] {
            let topics = Topics::new(3, keys, 0);
            let mut cursor = topics.cursor(1);
            let mut table = HashMap::new();
            for number in 0..acknowledged {
                let row = cursor.row(number);
                table.insert(row.topic_id as u64, row.progress as u64);
            }
            assert_eq!(topics.cursor(1).newest(acknowledged).collect::<HashMap<_, _>>(), table);
        }
    }

    #[test]
    fn the_same_number_is_the_same_row_again() {
        let topics = Topics::new(80, Some(400), 1_024);
        let mut cursor = topics.cursor(3);
        let (first, again) = (cursor.row(0), cursor.row(0));
        assert_eq!(first, again);
        assert_eq!(first.status.len(), 1_024);
        assert_ne!(cursor.row(1).topic_id, first.topic_id);
    }
}
