//! What else an application keeps in the same store: rate limits.

mod rate_limit;
#[cfg(feature = "tower")]
mod rate_limit_layer;

pub use rate_limit::{Counted, Decision, LimitOutage, Quota, RateLimiter};
#[cfg(feature = "tower")]
pub use rate_limit_layer::{RateLimitLayer, RateLimitService};
