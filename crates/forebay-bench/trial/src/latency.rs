//! How long calls took.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Latencies of calls, kept to a hundredth of their value.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u32>);

/// Two digits: one part in a hundred.
const DIGITS: u8 = 2;

impl Latencies {
    /// None yet.
    pub fn new() -> Self {
        // Two digits are within what the library takes.
        Self(Histogram::new(DIGITS).unwrap_or_else(|_| unreachable!("the precision is valid")))
    }

    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        self.record_many(latency, 1);
    }

    /// Adds so many that took this long.
    pub fn record_many(&mut self, latency: Duration, count: u32) {
        self.add(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX), count);
    }

    fn add(&mut self, nanoseconds: u64, count: u32) {
        // Grows by itself, so nothing is refused.
        let _ = self.0.record_n(nanoseconds.max(1), count);
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        let _ = self.0.add(&other.0);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that this part of all calls (0 to 1) did not exceed; `None` without a call.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_nanos(self.0.value_at_quantile(part)))
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())),
        )
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut latencies = Self::new();
        for (nanoseconds, count) in Vec::<(u64, u32)>::deserialize(deserializer)? {
            latencies.add(nanoseconds, count);
        }
        Ok(latencies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_survive_the_way_to_another_process() {
        let mut latencies = Latencies::new();
        for micros in 1..=1_000 {
            latencies.record(Duration::from_micros(micros));
        }
        let text = serde_json::to_string(&latencies).unwrap();
        let read: Latencies = serde_json::from_str(&text).unwrap();
        assert_eq!(read.count(), 1_000);
        for part in [0.5, 0.99, 0.999, 1.0] {
            assert_eq!(read.quantile(part), latencies.quantile(part));
            let exact = Duration::from_secs_f64(part / 1e3).as_nanos() as f64;
            let found = read.quantile(part).unwrap().as_nanos() as f64;
            assert!((found / exact - 1.0).abs() < 0.02, "{part}: {found} for {exact}");
        }
        assert_eq!(Latencies::new().quantile(0.5), None);
    }
}
