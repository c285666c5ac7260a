//! What a store says of itself, for operators: how much memory it has, and what it does when that is
//! full.

/// What is known of the server behind a store. A store says what it can; the rest is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerFacts {
    /// Its version.
    pub version: Option<String>,
    /// Seconds since it was started.
    pub uptime_seconds: Option<u64>,
    /// Bytes in use, by everybody who uses it.
    pub memory_bytes: Option<u64>,
    /// Bytes that it may use. `None` if there is no limit, or none is known.
    pub memory_limit: Option<u64>,
    /// What it evicts at its limit, in Redis' words (`allkeys-lru`, `noeviction`).
    pub eviction_policy: Option<String>,
    /// Keys that it has evicted since it was started.
    pub evicted_keys: Option<u64>,
    /// It is a copy of another, which may be ahead of it.
    pub is_replica: Option<bool>,
}
