//! What happened: statistics, per entity and in all.

mod explanation;
mod stats;

pub use explanation::{ExplainedRead, ExplainedWrite, Explanation};

pub use stats::{CacheStats, TableStats};
pub(crate) use stats::{Counters, TableCounters};
