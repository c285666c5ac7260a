//! What happened: statistics, per entity and in all.

mod stats;

pub use stats::{CacheStats, TableStats};
pub(crate) use stats::Counters;
