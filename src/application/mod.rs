//! What else an application keeps in the same store: rate limits, sessions, expensive answers, and what
//! functions return.

#[cfg(feature = "answers")]
mod answers;
mod cached_fn;
#[cfg(feature = "answers")]
mod fingerprint;
mod rate_limit;
#[cfg(feature = "tower")]
mod rate_limit_layer;
#[cfg(feature = "tower")]
mod response_cache;
mod session_id;
mod sessions;

#[cfg(feature = "answers")]
pub use answers::{AnswerStats, Answers, Asked};
pub use cached_fn::{ArgumentKey, HasCache, Returned, ReturnsPlain, ReturnsResult, TemplateKey, cache_of};
pub use rate_limit::{Counted, Decision, LimitOutage, Quota, RateLimiter};
#[cfg(feature = "tower")]
pub use rate_limit_layer::{RateLimitLayer, RateLimitService};
#[cfg(feature = "tower")]
pub use response_cache::{CacheTags, ResponseBody, ResponseCache, ResponseCacheService};
pub use session_id::SessionId;
pub use sessions::{Session, Sessions};
