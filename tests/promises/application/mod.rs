//! The application's other caches: rate limits, sessions, expensive answers.

#[cfg(feature = "answers")]
mod answers;
mod rate_limit;
#[cfg(feature = "tower")]
mod rate_limit_layer;
mod sessions;
