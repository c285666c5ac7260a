//! Is the cache of use now? For probes and for people.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::observer::PATIENCE;
use crate::{Cache, store::StoreState};

/// One word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum HealthStatus {
    /// The store answers, and nothing waits.
    Healthy,
    /// The store answers, but purges wait to be delivered; or the cache is switched off.
    Degraded,
    /// The store does not answer: reads go to the database.
    Unhealthy,
}

/// How the cache is, made by [`Cache::health`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// One word for it.
    pub status: HealthStatus,
    /// A word for the store: `memory`, `redis`.
    pub store: &'static str,
    /// It has just answered.
    pub reachable: bool,
    /// Reads go to the database, because the store is away or the cache is switched off.
    pub fallback: bool,
    /// The cache is switched on.
    pub enabled: bool,
    /// How long the answer took, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Tags whose purge waits to be delivered.
    pub queued_purges: u64,
}

impl Health {
    /// Is it anything but unhealthy?
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.status != HealthStatus::Unhealthy
    }
}

impl Cache {
    /// Asks the store for a sign of life: one round trip, a second at most. Reads and writes of the
    /// application work all the same while the cache is unhealthy, so think before you take a process
    /// out of service for it.
    pub async fn health(&self) -> Health {
        let freshness = &self.inner.freshness;
        let store = freshness.store();
        let start = Instant::now();
        let pong = tokio::time::timeout(PATIENCE, store.ping()).await;
        let took = start.elapsed();
        let reachable = matches!(pong, Ok(Ok(())));
        let enabled = self.config().enabled;
        let queued_purges = freshness.undelivered() as u64;
        Health {
            status: match reachable {
                false => HealthStatus::Unhealthy,
                true if queued_purges > 0 || !enabled => HealthStatus::Degraded,
                true => HealthStatus::Healthy,
            },
            store: store.name(),
            reachable,
            fallback: !enabled || !reachable || store.state() == StoreState::Unreachable,
            enabled,
            latency_ms: reachable.then(|| millis(took)),
            queued_purges,
        }
    }
}

/// Milliseconds, with three digits behind the point.
pub(crate) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
