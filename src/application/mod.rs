//! What else an application keeps in the same store: rate limits and sessions.

mod rate_limit;
#[cfg(feature = "tower")]
mod rate_limit_layer;
mod session_id;
mod sessions;

pub use rate_limit::{Counted, Decision, LimitOutage, Quota, RateLimiter};
#[cfg(feature = "tower")]
pub use rate_limit_layer::{RateLimitLayer, RateLimitService};
pub use session_id::SessionId;
pub use sessions::{Session, Sessions};
