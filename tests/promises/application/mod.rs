//! The application's other caches: rate limits.

mod rate_limit;
#[cfg(feature = "tower")]
mod rate_limit_layer;
