//! The crate's error type.

use crate::store::StoreError;

/// What can go wrong outside a cached read. A cached read itself has only the database's errors:
/// what the cache could not do is counted and logged, and the database answers.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A setting that cannot work; names the setting and says what is allowed.
    #[error("cache configuration: {0}")]
    Config(String),
    /// The store did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no random bytes; without them there is no session id.
    #[error("no random bytes: {0}")]
    NoRandomness(String),
    /// A value cannot be written in the cache's format. Holds the caller's key and what the type's
    /// `Serialize` said: mind where it is logged.
    #[error("the value for cache key {key:?} cannot be stored: {reason}")]
    Unwritable {
        /// The key as the caller gave it.
        key: String,
        /// What the codec said.
        reason: String,
    },
}
