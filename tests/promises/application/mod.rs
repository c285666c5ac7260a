//! The application's other caches: rate limits, sessions.

mod rate_limit;
#[cfg(feature = "tower")]
mod rate_limit_layer;
mod sessions;
