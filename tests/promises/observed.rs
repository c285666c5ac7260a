//! What the cache says of itself: numbers, advice, health, metrics. All of it is true, and none of it
//! holds data.

mod advice;
mod compose;
mod decisions;
mod log;
#[cfg(feature = "metrics")]
mod metrics;
mod purges;
mod spans;
