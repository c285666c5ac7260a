//! How long the store takes: a histogram without a lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Buckets per doubling: what a bucket stands for is at most an eighth off.
const STEPS: u32 = 4;
/// What is shorter is one bucket: 2^10 nanoseconds, about a microsecond.
const SHORTEST: u32 = 10;
/// What is longer is one bucket: 2^36 nanoseconds, about 69 seconds.
const LONGEST: u32 = 36;
const BUCKETS: usize = 2 + ((LONGEST - SHORTEST) * STEPS) as usize;

/// How long something took, over all times that it was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LatencyStats {
    /// How many times.
    pub count: u64,
    /// All of it together.
    pub total: Duration,
    /// Half of them took no longer. This and the two below are right to an eighth.
    pub p50: Duration,
    /// Nineteen of twenty took no longer.
    pub p95: Duration,
    /// All but one of a hundred took no longer.
    pub p99: Duration,
}

impl LatencyStats {
    /// The mean; `None` before the first.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let nanos = self.total.as_nanos().checked_div(u128::from(self.count))?;
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// Counts durations by their size. Two additions for each.
#[derive(Debug)]
pub(crate) struct Latency {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], nanos: AtomicU64::new(0) }
    }
}

/// The buckets at one moment.
pub(crate) struct Tally {
    counts: [u64; BUCKETS],
    nanos: u64,
}

impl Latency {
    pub(crate) fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn tally(&self) -> Tally {
        Tally {
            counts: std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed)),
            nanos: self.nanos.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn stats(&self) -> LatencyStats {
        self.tally().stats()
    }

    pub(crate) fn reset(&self) {
        self.buckets.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
        self.nanos.store(0, Ordering::Relaxed);
    }
}

impl Tally {
    fn stats(&self) -> LatencyStats {
        let count = self.counts.iter().sum();
        LatencyStats {
            count,
            total: Duration::from_nanos(self.nanos),
            p50: self.within(count.div_ceil(2)),
            p95: self.within((count * 19).div_ceil(20)),
            p99: self.within((count * 99).div_ceil(100)),
        }
    }

    /// What so many of them did not exceed.
    fn within(&self, rank: u64) -> Duration {
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if rank > 0 && seen >= rank {
                return middle(at);
            }
        }
        Duration::ZERO
    }

    /// What has come since an earlier moment: durations, and how often each. After a reset, all there is.
    #[cfg(feature = "metrics")]
    pub(crate) fn since(&self, earlier: Option<&Self>) -> impl Iterator<Item = (Duration, u64)> {
        let before = earlier.map(|tally| tally.counts);
        let new = move |at: usize, now: u64| match before.map(|counts| counts[at]) {
            Some(before) if before <= now => now - before,
            _ => now,
        };
        let counts = self.counts;
        (0..BUCKETS).map(move |at| (middle(at), new(at, counts[at]))).filter(|(_, count)| *count > 0)
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < 1 << SHORTEST {
        return 0;
    }
    let doubling = nanos.ilog2();
    if doubling >= LONGEST {
        return BUCKETS - 1;
    }
    let step = (nanos >> (doubling - STEPS.ilog2())) - u64::from(STEPS);
    1 + ((doubling - SHORTEST) * STEPS) as usize + usize::try_from(step).unwrap_or(0)
}

/// What a bucket stands for.
fn middle(bucket: usize) -> Duration {
    let lower = |bucket: usize| {
        let at = bucket as u64 - 1;
        let (doubling, step) = (at / u64::from(STEPS), at % u64::from(STEPS));
        ((u64::from(STEPS) + step) << (u64::from(SHORTEST) + doubling)) / u64::from(STEPS)
    };
    Duration::from_nanos(match bucket {
        0 => 1 << (SHORTEST - 1),
        _ if bucket == BUCKETS - 1 => 1 << LONGEST,
        _ => u64::midpoint(lower(bucket), lower(bucket + 1)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_bucket_stands_for_is_at_most_an_eighth_off() {
        let mut last = 0;
        for nanos in (0..36).flat_map(|at| [1_u64 << at, (1 << at) + (1 << at) / 3, (2 << at) - 1]) {
            let at = bucket(nanos);
            assert!(at >= last || nanos < 1024, "{nanos}: {at} after {last}");
            last = at;
            let off = middle(at).as_nanos().abs_diff(u128::from(nanos));
            assert!(nanos < 1024 || off <= u128::from(nanos) / 8 + 1, "{nanos}: {off}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket(0), 0);
    }

    #[test]
    fn the_mean_is_exact_and_the_quantiles_are_near() {
        let latency = Latency::default();
        assert_eq!(latency.stats(), LatencyStats::default());
        assert_eq!(latency.stats().mean(), None);
        for millis in 1..=100 {
            latency.record(Duration::from_millis(millis));
        }
        let stats = latency.stats();
        assert_eq!((stats.count, stats.mean()), (100, Some(Duration::from_micros(50_500))));
        let near = |quantile: Duration, millis: f64| {
            assert!((quantile.as_secs_f64() * 1000.0 / millis - 1.0).abs() < 0.13, "{quantile:?} {millis}");
        };
        near(stats.p50, 50.0);
        near(stats.p95, 95.0);
        near(stats.p99, 99.0);
        latency.reset();
        assert_eq!(latency.stats(), LatencyStats::default());
    }

    #[cfg(feature = "metrics")]
    #[test]
    fn what_is_new_since_the_last_time_is_counted_once_and_a_reset_begins_anew() {
        let latency = Latency::default();
        let new = |earlier: Option<&Tally>| latency.tally().since(earlier).map(|(_, n)| n).sum::<u64>();
        latency.record(Duration::from_millis(3));
        latency.record(Duration::from_millis(3));
        assert_eq!(new(None), 2);
        let first = latency.tally();
        assert_eq!(new(Some(&first)), 0);
        latency.record(Duration::from_secs(3));
        assert_eq!(new(Some(&first)), 1);
        latency.reset();
        latency.record(Duration::from_millis(3));
        assert_eq!(new(Some(&first)), 1);
    }
}
