//! What happened: statistics, per entity and in all.

mod stats;

pub(crate) use stats::Counters;
pub use stats::{CacheStats, TableStats};
