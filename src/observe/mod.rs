//! What happened, and what to make of it: statistics per entity and in all, advice, health, metrics.

mod advice;
mod explanation;
mod health;
mod latency;
#[cfg(feature = "metrics")]
mod metrics;
mod observer;
mod purges;
mod recent;
mod stats;
mod traffic;

pub use advice::{Advice, Severity};
pub use explanation::{ExplainedRead, ExplainedWrite, Explanation};
pub use health::{Health, HealthStatus};
pub use latency::LatencyStats;
#[cfg(feature = "metrics")]
pub use metrics::MetricsPublisher;
pub use purges::{PurgedScope, PurgedTable, RecentPurge};
pub use stats::{CacheStats, TableStats};

#[cfg(feature = "axum")]
pub(crate) use health::millis;
pub(crate) use observer::Observer;
pub(crate) use stats::{Counters, TableCounters};
pub(crate) use traffic::Traffic;
