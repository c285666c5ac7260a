//! [`Cache`], the handle people hold: entries of the application's `own`, how they are `invalidate`d by hand,
//! statistics. All clones share what is `inner`; `names` says what names mean.

mod inner;
mod invalidate;
mod names;
mod own;

use std::{
    collections::HashSet,
    sync::{Arc, RwLock},
    time::Duration,
};

use tokio::runtime::Handle;

#[cfg(feature = "cli")]
pub(crate) use self::names::{matches_pattern, stem};
pub(crate) use self::{
    inner::{Inner, Rows},
    names::{bare_name, is_pattern_that_works},
    own::{comes_back, encode_own},
};
pub use own::EntryOptions;

use crate::{
    CacheBuilder, CacheConfig, CacheError,
    entity::{EntityDescriptor, KeyClass, Registry, TableRule},
    freshness::{Freshness, Packing, PurgeQueue, Reading, Writing},
    keys::Keyspace,
    near::{Near, Reach},
    observe::{CacheStats, Counters, Observer},
    statement::Memo,
    store::{Stamp, Store, Watch},
};

/// Bytes of statement texts and their analysis that are remembered.
const MEMO_BYTES: u64 = 8 << 20;

/// A cache: a namespace in a store, the policies of the declared entities, and statistics.
///
/// Cheap to clone; clones are the same cache. Wrap a database connection with
/// [`CachedConnection::new`](crate::CachedConnection::new) to cache what it reads; use the methods
/// here for entries of the application's own.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sea_orm_cache::{Cache, EntryOptions};
///
/// let cache = Cache::builder().namespace("docs").build().await?;
/// let mut loads = 0;
/// for _ in 0..3 {
///     let answer: u32 = cache
///         .get_or_load("answer", EntryOptions::new().tag("deep thought"), || async {
///             loads += 1;
///             Ok::<_, std::io::Error>(42)
///         })
///         .await?;
///     assert_eq!(answer, 42);
/// }
/// assert_eq!(loads, 1);
/// cache.invalidate_tag("deep thought").await;
/// assert_eq!(cache.get::<u32>("answer").await?, None);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Cache {
    pub(crate) inner: Arc<Inner>,
}

impl Cache {
    /// Starts building a cache.
    pub fn builder() -> CacheBuilder {
        CacheBuilder::default()
    }

    /// A cache as the environment says; see [`CacheBuilder::from_env`] for the variables.
    ///
    /// # Errors
    /// A variable whose value cannot work; the error names it.
    pub async fn from_env() -> Result<Self, CacheError> {
        Self::builder().from_env()?.build().await
    }

    pub(crate) fn assemble(
        config: CacheConfig,
        store: Arc<dyn Store>,
        runtime: Handle,
        entities: Vec<EntityDescriptor>,
        rules: &[(String, TableRule)],
        pure_functions: HashSet<Box<str>>,
    ) -> Self {
        let keys = if store.uses_hash_tags() {
            Keyspace::in_one_slot(&config.namespace)
        } else {
            Keyspace::new(&config.namespace)
        };
        let registry = Registry::linked();
        for entity in entities {
            registry.add(entity);
        }
        for (table, rule) in rules {
            registry.add_rule(&bare_name(table), rule);
        }
        let queue = PurgeQueue::new(config.max_undelivered, keys.everything());
        let writing = Writing {
            consistency: config.consistency,
            on_outage: config.on_outage,
            barrier_life: config.barrier_life,
            settle: config.settle,
        };
        let packing = Packing { limit: config.max_entry_bytes, keys: config.encryption_keys.clone() };
        let reading = Reading { verify_one_in: config.verify_one_in, lease: config.lease, packing };
        let near = (config.near_bytes > 0).then(|| {
            let reach = Reach { bytes: config.near_bytes, max_staleness: config.max_staleness };
            let (prefixes, own) = keys.watched(Stamp::fresh().get());
            Near::start(reach, &store, &runtime, Watch { prefixes, own, pace: config.max_staleness })
        });
        let inner = Inner {
            keys,
            freshness: Arc::new(Freshness::new(store, queue, runtime, writing, reading, near)),
            registry,
            counters: Counters::default(),
            observer: Observer::default(),
            memo: Memo::new(MEMO_BYTES, Arc::new(pure_functions)),
            loaders: crate::warmup::Loaders::default(),
            schema: RwLock::default(),
            schema_changes: Arc::default(),
            rows: RwLock::default(),
            config,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Rows that are to be encrypted are never stored otherwise.
    pub(crate) fn refuse_what_cannot_be_encrypted(&self) -> Result<(), CacheError> {
        let mut entities = self.inner.registry.entities().into_iter();
        match entities.find(|entity| entity.policy.encrypted) {
            Some(entity) if self.inner.config.encryption_keys.is_none() => Err(CacheError::Config(format!(
                "the entity of table {:?} is declared `encrypted`, but there is no key: give                  `encryption_keys(...)` or CACHE_ENCRYPTION_KEYS, with the feature `encryption`",
                entity.table
            ))),
            _ => Ok(()),
        }
    }

    /// A `*` that stands for nothing would purge nothing, and nobody would notice.
    pub(crate) fn refuse_patterns_that_purge_nothing(
        &self,
        rules: &[(String, TableRule)],
    ) -> Result<(), CacheError> {
        let entities = self.inner.registry.entities();
        let declared = entities.iter().map(|entity| (entity.table, &entity.policy.rule));
        let rules = rules.iter().map(|(table, rule)| (&**table, rule));
        let bad =
            |(table, rule): (&str, &TableRule)| Some((table.to_owned(), rule.bad_pattern()?.to_owned()));
        match declared.chain(rules).find_map(bad) {
            None => Ok(()),
            Some((table, tag)) => Err(CacheError::Config(format!(
                "what writes to the table {table:?} purge: {tag:?}: `*` can only stand for all names behind a \
                 colon, at the end: `purges(\"analytics:*\")`"
            ))),
        }
    }

    /// Says once which declared index columns narrow nothing.
    pub(crate) fn warn_of_useless_index_columns(&self) {
        for entity in self.inner.registry.entities() {
            for column in entity.index.iter().filter(|column| column.class == KeyClass::Opaque) {
                tracing::warn!(
                    table = entity.table,
                    column = column.name,
                    "an index column of this type narrows nothing: lists by it depend on the whole table \
                     (integers, text, UUIDs and booleans can be used)"
                );
            }
        }
    }

    /// How this cache behaves.
    #[must_use]
    pub fn config(&self) -> &CacheConfig {
        &self.inner.config
    }

    /// Up to `limit` keys of the namespace, in order: entries and tags. An operator's tool, like
    /// [`invalidate_pattern`](Self::invalidate_pattern).
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn keys(&self, limit: usize) -> Result<Vec<String>, CacheError> {
        let mut keys = self.inner.freshness.store().scan(&self.inner.keys.prefix(), limit).await?;
        keys.sort_unstable();
        Ok(keys)
    }

    /// A word for the store: `memory`, `redis`.
    #[must_use]
    pub fn store_name(&self) -> &'static str {
        self.inner.freshness.store().name()
    }

    /// The counters since the cache was built, or since [`reset_stats`](Self::reset_stats).
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let mut stats = self.inner.counters.snapshot();
        stats.delayed_purges = self.inner.freshness.delayed_purges();
        (stats.unguarded_writes, stats.lapsed_barriers) = self.inner.freshness.weak_guards();
        (stats.verified_hits, stats.stale_hits) = self.inner.freshness.verified();
        (stats.refreshed_early, stats.refreshes_failed) = self.inner.freshness.refreshes();
        (stats.near_answers, stats.near_bytes) =
            self.inner.freshness.near().map(Near::size).unwrap_or_default();
        stats.undelivered_tags = self.inner.freshness.undelivered() as u64;
        stats.add(self.inner.freshness.traffic.stats());
        stats
    }

    /// Sets the counters to zero.
    pub fn reset_stats(&self) {
        let reset = || {
            self.inner.counters.reset();
            self.inner.freshness.reset_counts();
            self.inner.observer.forget();
        };
        #[cfg(feature = "metrics")]
        self.reset_published(reset);
        #[cfg(not(feature = "metrics"))]
        reset();
    }

    /// Is the store there? One round trip.
    ///
    /// # Errors
    /// What the store says.
    pub async fn ping(&self) -> Result<(), CacheError> {
        Ok(self.inner.freshness.store().ping().await?)
    }

    /// Waits until every queued purge was delivered, at most for `patience`. True if it came about.
    /// Call it before the process ends.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.inner.freshness.drained(patience).await
    }
}
