//! What else an application keeps in the same store: rate limits, sessions, expensive answers.

#[cfg(feature = "answers")]
mod answers;
#[cfg(feature = "answers")]
mod fingerprint;
mod rate_limit;
#[cfg(feature = "tower")]
mod rate_limit_layer;
mod session_id;
mod sessions;

#[cfg(feature = "answers")]
pub use answers::{AnswerStats, Answers, Asked};
pub use rate_limit::{Counted, Decision, LimitOutage, Quota, RateLimiter};
#[cfg(feature = "tower")]
pub use rate_limit_layer::{RateLimitLayer, RateLimitService};
pub use session_id::SessionId;
pub use sessions::{Session, Sessions};
