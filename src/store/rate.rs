//! What a rate limit keeps, and the rules of one step: GCRA, the generic cell rate algorithm, as
//! virtual scheduling (ITU-T I.371, annex A). `redis/rate.lua` has the same rules in the server.
//!
//! One number per limit: the moment at which everything that was let through would have been due at
//! the steady rate. It may lie so far ahead of now as the burst takes to come back.

use std::time::{Duration, Instant};

use moka::{
    Expiry,
    ops::compute::{CompResult, Op},
    policy::EvictionPolicy,
    sync::Cache,
};

use super::EntryKey;

/// Limits that are held in a process at most. The one that was asked about the longest time ago makes
/// room, and then begins anew: a flood of other keys gives a little away, and takes no more memory.
const LIMITS: u64 = 1_000_000;

/// What [`Store::rate`](super::Store::rate) is asked.
#[derive(Clone, Debug)]
pub struct RateAsk {
    /// Which limit.
    pub key: EntryKey,
    /// Microseconds from one to the next, at the steady rate; at least one.
    pub interval: u64,
    /// So many may come at once. Interval times burst is ten years at most.
    pub burst: u32,
    /// So many come now, all or none. Zero only looks.
    pub cells: u32,
}

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateAnswer {
    /// They were let through, and counted.
    pub allowed: bool,
    /// How long from now until the limit is as if nothing had come: microseconds.
    pub ahead: u64,
}

impl RateAsk {
    /// The burst, in microseconds.
    pub(crate) fn capacity(&self) -> u64 {
        self.interval.saturating_mul(u64::from(self.burst))
    }

    /// What they take, in microseconds.
    pub(crate) fn cost(&self) -> u64 {
        self.interval.saturating_mul(u64::from(self.cells))
    }

    /// The answer, and what is to be kept from now on, if it is another.
    fn step(&self, due: Option<u64>, now: u64) -> (RateAnswer, Option<u64>) {
        let told = due.unwrap_or(now).saturating_sub(now);
        // No further ahead than the burst allows: the clock may have been set back, or the burst made
        // smaller. That is put right for good, or it would lock out until the old moment has come.
        let ahead = told.min(self.capacity());
        let after = ahead.saturating_add(self.cost());
        let allowed = after <= self.capacity();
        let ahead = if allowed { after } else { ahead };
        let kept = (ahead != told).then(|| now.saturating_add(ahead));
        (RateAnswer { allowed, ahead }, kept)
    }
}

/// Limits in this process, by its own clock.
pub(crate) struct Meters {
    due: Cache<String, u64>,
    since: Instant,
}

impl Meters {
    pub(crate) fn new() -> Self {
        let since = Instant::now();
        let due = Cache::builder()
            .max_capacity(LIMITS)
            // Not by how often: a key that is new must always get in, or it would never be limited.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(WhenDue { since })
            .build();
        Self { due, since }
    }

    pub(crate) fn step(&self, ask: &RateAsk) -> RateAnswer {
        let mut answer = RateAnswer { allowed: false, ahead: 0 };
        self.due.entry_by_ref(ask.key.as_str()).and_compute_with(|there| {
            let (answered, kept) = ask.step(there.map(moka::Entry::into_value), micros_since(self.since));
            answer = answered;
            kept.map_or(Op::Nop, Op::Put)
        });
        answer
    }

    /// Begins anew; says whether there was anything.
    pub(crate) fn forget(&self, key: &str) -> bool {
        // Not `invalidate`: that does not wait for a step of the same key that is under way.
        let gone = self.due.entry_by_ref(key).and_compute_with(|there| match there {
            Some(_) => Op::Remove,
            None => Op::Nop,
        });
        matches!(gone, CompResult::Removed(_))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = String> + '_ {
        let now = micros_since(self.since);
        self.due.iter().filter(move |(_, due)| *due > now).map(|(key, _)| key.as_ref().clone())
    }
}

/// Tells moka to give the memory back when a limit is as if nothing had come.
struct WhenDue {
    since: Instant,
}

impl WhenDue {
    fn of(&self, due: u64) -> Option<Duration> {
        // A little later, so that it never ends early by how clocks are rounded.
        Some(Duration::from_micros(due.saturating_sub(micros_since(self.since))) + Duration::from_millis(1))
    }
}

impl Expiry<String, u64> for WhenDue {
    fn expire_after_create(&self, _: &String, due: &u64, _: Instant) -> Option<Duration> {
        self.of(*due)
    }

    fn expire_after_update(
        &self,
        _: &String,
        due: &u64,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.of(*due)
    }
}

fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(interval: u64, burst: u32, cells: u32) -> RateAsk {
        RateAsk { key: EntryKey::from_full("shop:r:login:7"), interval, burst, cells }
    }

    /// The other form in which I.371 gives the algorithm, which keeps other numbers: a bucket that
    /// leaks one in every microsecond, how full it was, and when that was.
    struct Bucket {
        level: u64,
        at: u64,
    }

    impl Bucket {
        fn pour(&mut self, ask: &RateAsk, now: u64) -> RateAnswer {
            let level = self.level.saturating_sub(now - self.at);
            let cost = ask.interval * u64::from(ask.cells);
            if level + cost > ask.interval * u64::from(ask.burst) {
                return RateAnswer { allowed: false, ahead: level };
            }
            *self = Self { level: level + cost, at: now };
            RateAnswer { allowed: true, ahead: self.level }
        }
    }

    proptest! {
        #[test]
        fn virtual_scheduling_answers_as_the_leaky_bucket_does(
            interval in 1..2_000_000_u64,
            burst in 0..50_u32,
            arrivals in prop::collection::vec((0..3_000_000_u64, 0..60_u32), 1..200),
        ) {
            let (mut due, mut bucket, mut now) = (None, Bucket { level: 0, at: 0 }, 0);
            for (pause, cells) in arrivals {
                now += pause;
                let ask = ask(interval, burst, cells);
                let (answer, kept) = ask.step(due, now);
                due = kept.or(due);
                prop_assert_eq!(answer, bucket.pour(&ask, now));
            }
        }

        #[test]
        fn no_stretch_of_time_lets_more_through_than_the_burst_and_the_rate(
            interval in 1..1000_u64,
            burst in 1..20_u32,
            arrivals in prop::collection::vec((0..1500_u64, 1..4_u32), 1..100),
        ) {
            let (mut due, mut now, mut passed) = (None, 0, Vec::new());
            for (pause, cells) in arrivals {
                now += pause;
                let (answer, kept) = ask(interval, burst, cells).step(due, now);
                due = kept.or(due);
                if answer.allowed {
                    passed.push((now, u64::from(cells)));
                }
            }
            for (first, (start, _)) in passed.iter().enumerate() {
                let mut sum = 0;
                for (end, cells) in &passed[first..] {
                    sum += cells;
                    prop_assert!(sum <= u64::from(burst) + (end - start) / interval);
                }
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out_for_longer_than_a_full_burst_takes() {
        let ask = ask(1000, 5, 1);
        let an_hour_ahead = Some(1_000_000 + 3_600_000_000);
        let (answer, due) = ask.step(an_hour_ahead, 1_000_000);
        assert_eq!(answer, RateAnswer { allowed: false, ahead: 5000 });
        assert!(!ask.step(due, 1_000_999).0.allowed);
        assert!(ask.step(due, 1_001_000).0.allowed);
    }

    #[test]
    fn numbers_at_the_edge_are_answered_and_not_wrapped_around() {
        assert!(!ask(u64::MAX / 5 - 1, 5, u32::MAX).step(Some(u64::MAX), 0).0.allowed);
        assert!(!ask(3600, 5, u32::MAX).step(None, u64::MAX).0.allowed);
        assert!(ask(1, u32::MAX, u32::MAX).step(None, u64::MAX - 1).0.allowed);
        assert!(!ask(1, 0, 1).step(None, 0).0.allowed);
    }
}
