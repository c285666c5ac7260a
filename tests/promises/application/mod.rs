//! The application's other caches: rate limits, sessions, expensive answers, functions.

#[cfg(feature = "answers")]
mod answers;
mod cached_fn;
mod rate_limit;
#[cfg(feature = "tower")]
mod rate_limit_layer;
#[cfg(feature = "tower")]
mod response_cache;
mod sessions;
