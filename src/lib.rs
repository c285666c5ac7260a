//! Redis in front of a SeaORM application.
//!
//! 1. Wrap the connection: [`CachedConnection`] stands wherever a `DatabaseConnection` stood.
//! 2. Declare policy on the entity: `#[derive(CacheEntity)] #[cache(ttl = "10m")]`.
//! 3. Write `.cached()` on the reads that should be served from the cache.
//! 4. Call [`warm_up`](CachedConnection::warm_up) once in `main`.
//!
//! Every INSERT, UPDATE and DELETE that goes through the connection purges what it made wrong:
//! after COMMIT, never before, never on ROLLBACK.
//!
//! | what you need | where it is |
//! |---|---|
//! | wrap a connection, transactions, streams | [`CachedConnection`], [`CachedTransaction`], [`CachedBy`] |
//! | `.cached()` reads, reads by primary key | [`CachedQuery`], [`CachedSelect`], [`CachedEntity`] |
//! | policy on an entity | [`macro@CacheEntity`], [`EntityPolicy`] |
//! | entries of your own, invalidation, statistics | [`Cache`], [`EntryOptions`], [`CacheStats`] |
//! | configuration | [`CacheBuilder`], [`CacheConfig`] |
//! | loading at start-up | [`WarmUp`] |
//! | rate limits, sessions | [`RateLimiter`], [`Sessions`] |
//! | HTTP responses | `ResponseCache` (feature `tower`) |
//! | expensive answers, functions | `Answers` (feature `answers`), [`macro@cached_fn`] |
//! | Redis, in process, or your own | [`stores`] |
//! | what stands in the store, for operators | `inspect`, and the program `sea-orm-cache` (feature `cli`) |
//!
//! What is promised, and what is not, is in `docs/contract.md` of the repository.

mod application;
mod cache;
mod clock;
mod config;
mod connection;
mod entity;
mod error;
mod freshness;
#[cfg(feature = "cli")]
pub mod inspect;
mod keys;
mod near;
mod observe;
mod read;
mod schema;
mod statement;
#[cfg(feature = "axum")]
mod status;
mod store;
mod warmup;
mod watched;

#[cfg(feature = "answers")]
pub use application::{AnswerStats, Answers, Asked};
#[cfg(feature = "tower")]
pub use application::{
    CacheTags, RateLimitLayer, RateLimitService, ResponseBody, ResponseCache, ResponseCacheService,
};
pub use application::{Counted, Decision, LimitOutage, Quota, RateLimiter, Session, SessionId, Sessions};
pub use cache::{Cache, EntryOptions};
pub use config::{CacheBuilder, CacheConfig, Consistency, OnOutage, OutageReads};
pub use connection::{CachedBy, CachedConnection, CachedTransaction, ReadThrough};
#[cfg(feature = "stream")]
pub use connection::{CachedStream, CachedTransactionStream};
pub use entity::{
    CacheEntity, EntityDescriptor, EntityPolicy, EntityRegistration, Rebuild, TableRule, TagPart, TtlClass,
    TtlSpec, WarmUpPolicy, WriteKind,
};
pub use error::CacheError;
pub use freshness::EncryptionKeys;
#[cfg(feature = "metrics")]
pub use observe::MetricsPublisher;
pub use observe::{
    Advice, CacheStats, ExplainedRead, ExplainedWrite, Explanation, Health, HealthStatus, LatencyStats,
    PurgedScope, PurgedTable, RecentPurge, Severity, TableStats,
};
pub use read::{CachedEntity, CachedPaginator, CachedQuery, CachedSelect};
pub use schema::SchemaReport;
#[cfg(feature = "macros")]
pub use sea_orm_cache_macros::{CacheEntity, cached_fn};
#[cfg(feature = "axum")]
pub use status::{StatusRouter, status_router};
pub use warmup::{LoaderReport, PeriodicWarmUp, WarmUp, WarmUpProgress, WarmUpReport, WarmUpStep};

/// Stores, for those who bring their own.
pub mod stores {
    #[cfg(feature = "redis")]
    pub use crate::store::redis::{RedisConfig, RedisFeed, RedisStore};
    pub use crate::store::{
        Arm, EntryKey, EntryWrite, Fate, Found, MemoryStore, RateAnswer, RateAsk, Release, ServerFacts,
        Stamp, Store, StoreError, StoreState, TagKey, TagListener, TagProbe, TagState, Watch, WriterId,
    };
}

/// What a module that reads through the cache needs.
pub mod prelude {
    pub use crate::{
        Cache, CacheEntity as _, CachedBy, CachedConnection, CachedEntity, CachedQuery, CachedTransaction,
        EntryOptions, ReadThrough, TtlClass,
    };
}

// The README's code must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// What the derive's output refers to.
#[doc(hidden)]
pub mod __private {
    pub use inventory;

    pub use crate::{
        application::{ArgumentKey, HasCache, Returned, ReturnsPlain, ReturnsResult, TemplateKey, cache_of},
        read::{NoFields, SerdeFields, TypeProbe},
    };
}
