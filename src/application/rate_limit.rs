//! How often somebody may do something, counted once for all processes.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    Cache, CacheError,
    store::{Meters, RateAnswer, RateAsk, StoreError},
};

/// No burst takes longer to come back.
const LONGEST: u64 = 10 * 365 * 24 * 3600 * 1_000_000;

/// So many in so much time, and how many of them at once.
///
/// One becomes free every `period / count`, counted in whole microseconds and rounded up, so never
/// more than what was said; up to ten thousand a second that is less than a hundredth less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Quota {
    /// Microseconds from one to the next.
    interval: u64,
    burst: u32,
}

impl Quota {
    /// So many in every `period`, all of them at once if they like. Zero allows nothing.
    pub fn new(count: u32, period: Duration) -> Self {
        let micros = u64::try_from(period.as_micros()).unwrap_or(LONGEST).min(LONGEST);
        let interval = micros.div_ceil(u64::from(count.max(1))).max(1);
        Self { interval, burst: 0 }.with_burst(count)
    }

    /// So many in every second.
    pub fn per_second(count: u32) -> Self {
        Self::new(count, Duration::from_secs(1))
    }

    /// So many in every minute.
    pub fn per_minute(count: u32) -> Self {
        Self::new(count, Duration::from_secs(60))
    }

    /// So many in every hour.
    pub fn per_hour(count: u32) -> Self {
        Self::new(count, Duration::from_secs(3600))
    }

    /// So many in every day.
    pub fn per_day(count: u32) -> Self {
        Self::new(count, Duration::from_secs(24 * 3600))
    }

    /// So many may come at once, instead of the whole count; the rate stays what it is. No more than
    /// what takes ten years to come back. Zero allows nothing, and what is zero stays zero.
    pub fn burst(self, burst: u32) -> Self {
        if self.burst == 0 { self } else { self.with_burst(burst) }
    }

    fn with_burst(self, burst: u32) -> Self {
        let most = u32::try_from(LONGEST / self.interval).unwrap_or(u32::MAX);
        Self { burst: burst.min(most), ..self }
    }

    /// How many may come at once.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.burst
    }

    /// How long a whole burst takes to come back.
    #[must_use]
    pub fn window(&self) -> Duration {
        Duration::from_micros(self.interval) * self.burst
    }
}

/// What a [`RateLimiter`] does while the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitOutage {
    /// This process counts by itself. Each process then lets the whole quota through, so of `n`
    /// processes `n` times as much gets through at most: an outage neither opens the door nor shuts
    /// it.
    #[default]
    CountHere,
    /// Everything gets through: for limits that are there for fairness.
    Allow,
    /// Nothing gets through: for limits that guard something, such as guesses at a password.
    Deny,
}

/// Who counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// The store, for all processes.
    InStore,
    /// This process for itself, because the store did not answer ([`LimitOutage::CountHere`]).
    Here,
    /// Nobody, because the store did not answer ([`LimitOutage::Allow`], [`LimitOutage::Deny`]).
    Nobody,
}

/// What [`RateLimiter::check`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Decision {
    /// It may go ahead, and was counted.
    pub allowed: bool,
    /// How many may come at once.
    pub limit: u32,
    /// How many more may come now.
    pub remaining: u32,
    /// When to ask again, for what was not allowed. `None` for what was, and for what never will be:
    /// more than the limit.
    pub retry_after: Option<Duration>,
    /// How long until everything is free again, if nobody asks.
    pub reset_after: Duration,
    /// Who counted.
    pub counted: Counted,
}

/// A rate limit that all processes share: GCRA, the generic cell rate algorithm as virtual scheduling
/// (ITU-T I.371, annex A).
///
/// It does not count in windows, at whose edges twice as much gets through: a burst is free at once,
/// and one more becomes free at every tick of the rate. What is refused is not counted. One key in the
/// store for each of those who are limited, which is gone when they are free again; its name holds
/// theirs. The store's clock counts, so the clocks of the processes do not matter.
///
/// It goes on when the cache is switched off (`CACHE_ENABLED=false`), and no purge resets it. Cheap to
/// clone; clones are the same limit, and so are all with the same name in a namespace. They should say
/// the same quota. A new one takes what was counted under the old.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sea_orm_cache::{Cache, Quota, RateLimiter};
///
/// let cache = Cache::builder().namespace("docs").build().await?;
/// let logins = RateLimiter::new(&cache, "login", Quota::per_hour(3));
/// for _ in 0..3 {
///     assert!(logins.check("user:7").await.allowed);
/// }
/// let decision = logins.check("user:7").await;
/// assert!(!decision.allowed);
/// assert!(decision.retry_after.is_some_and(|pause| pause.as_secs() <= 20 * 60));
/// assert!(logins.check("user:8").await.allowed);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RateLimiter {
    cache: Cache,
    name: Arc<str>,
    quota: Quota,
    outage: LimitOutage,
    /// For as long as the store does not answer.
    here: Arc<Meters>,
    /// The store did not answer the last time.
    away: Arc<AtomicBool>,
}

impl RateLimiter {
    /// A limit of this name in the cache's namespace.
    pub fn new(cache: &Cache, name: impl Into<Arc<str>>, quota: Quota) -> Self {
        Self {
            cache: cache.clone(),
            name: name.into(),
            quota,
            outage: LimitOutage::default(),
            here: Arc::new(Meters::new()),
            away: Arc::default(),
        }
    }

    /// What to do while the store does not answer.
    #[must_use]
    pub fn on_outage(mut self, outage: LimitOutage) -> Self {
        self.outage = outage;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its quota.
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// May `key` (a user, an address) go ahead once? Counts it if so. One round trip, and never longer
    /// than the store's time limit for reads.
    ///
    /// Not an error when the store does not answer: then it is as [`on_outage`](Self::on_outage) says.
    /// A call that was given up may have been counted.
    pub async fn check(&self, key: &str) -> Decision {
        self.check_n(key, 1).await
    }

    /// The same for `n` at once: all or none. With zero it only looks, and counts nothing.
    pub async fn check_n(&self, key: &str, n: u32) -> Decision {
        let Quota { interval, burst } = self.quota;
        let key = self.cache.inner.keys.rate(&self.name, key);
        let ask = RateAsk { key, interval, burst, cells: n };
        match self.cache.inner.freshness.store().rate(&ask).await {
            Ok(answer) => {
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!(limit = &*self.name, "the store counts again");
                }
                decide(&ask, answer, Counted::InStore)
            }
            Err(error) => {
                self.note(&error);
                self.without_store(&ask)
            }
        }
    }

    /// Begins anew for `key`. One round trip.
    ///
    /// # Errors
    /// The store did not answer; what was counted may still be.
    pub async fn reset(&self, key: &str) -> Result<(), CacheError> {
        let key = self.cache.inner.keys.rate(&self.name, key);
        self.here.forget(key.as_str());
        self.cache.inner.freshness.store().delete(&[key]).await?;
        Ok(())
    }

    fn without_store(&self, ask: &RateAsk) -> Decision {
        match self.outage {
            LimitOutage::CountHere => decide(ask, self.here.step(ask), Counted::Here),
            LimitOutage::Allow => decide(ask, RateAnswer { allowed: true, ahead: 0 }, Counted::Nobody),
            LimitOutage::Deny => Decision {
                remaining: 0,
                // As good a time as any; at once would be a flood when it comes back.
                retry_after: Some(Duration::from_micros(ask.interval).max(Duration::from_secs(1))),
                ..decide(ask, RateAnswer { allowed: false, ahead: 0 }, Counted::Nobody)
            },
        }
    }

    /// Says it once, not for each of a thousand requests a second.
    fn note(&self, error: &StoreError) {
        if !self.away.swap(true, Ordering::Relaxed) {
            let policy = self.outage;
            tracing::warn!(limit = &*self.name, %error, ?policy, "the store does not count");
        }
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("name", &self.name)
            .field("quota", &self.quota)
            .field("outage", &self.outage)
            .finish_non_exhaustive()
    }
}

fn decide(ask: &RateAsk, answer: RateAnswer, counted: Counted) -> Decision {
    let RateAnswer { allowed, ahead } = answer;
    let free = ask.capacity().saturating_sub(ahead) / ask.interval;
    let wait = (ahead.saturating_add(ask.cost())).saturating_sub(ask.capacity());
    let possible = !allowed && ask.cells <= ask.burst;
    Decision {
        allowed,
        limit: ask.burst,
        remaining: u32::try_from(free).unwrap_or(u32::MAX).min(ask.burst),
        retry_after: possible.then(|| Duration::from_micros(wait)),
        reset_after: Duration::from_micros(ahead),
        counted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_never_allows_more_than_it_says() {
        for (quota, interval, burst) in [
            (Quota::per_minute(60), 1_000_000, 60),
            (Quota::per_minute(60).burst(10), 1_000_000, 10),
            (Quota::per_second(3), 333_334, 3),
            (Quota::per_second(2_000_000), 1, 2_000_000),
            (Quota::new(5, Duration::ZERO), 1, 5),
            (Quota::per_day(1).burst(1_000_000), 86_400_000_000, 3650),
            (Quota::new(1, Duration::MAX), LONGEST, 1),
            (Quota::per_minute(0), 60_000_000, 0),
            (Quota::per_minute(0).burst(9), 60_000_000, 0),
            (Quota::per_minute(9).burst(0), 6_666_667, 0),
        ] {
            assert_eq!((quota.interval, quota.burst), (interval, burst), "{quota:?}");
        }
    }

    #[test]
    fn what_is_left_and_when_to_come_back_follow_from_how_far_ahead_it_is() {
        let ask = |cells| RateAsk {
            key: crate::store::EntryKey::from_full("shop:r:x:y"),
            interval: 1000,
            burst: 5,
            cells,
        };
        let told = |cells, allowed, ahead| {
            let decision = decide(&ask(cells), RateAnswer { allowed, ahead }, Counted::InStore);
            (decision.remaining, decision.retry_after.map(|pause| pause.as_micros()))
        };
        assert_eq!(told(1, true, 1000), (4, None));
        assert_eq!(told(1, true, 1001), (3, None));
        assert_eq!(told(1, false, 4001), (0, Some(1)));
        assert_eq!(told(3, false, 2500), (2, Some(500)));
        assert_eq!(told(6, false, 0), (5, None));
    }
}
