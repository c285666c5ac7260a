//! [`Cache`], the handle people hold: entries of the application's own, invalidation by hand,
//! statistics.

use std::{
    any::TypeId,
    collections::{HashMap, HashSet},
    future::Future,
    sync::{Arc, RwLock},
    time::Duration,
};

use bytes::Bytes;
use sea_orm::EntityTrait;
use serde::{Serialize, de::DeserializeOwned};
use tokio::runtime::Handle;

use crate::{
    CacheBuilder, CacheConfig, CacheError,
    entity::{
        CodecError, EntityDescriptor, Registry, RowReader, RowWriter, TableRule, TtlSpec, same_optionals,
    },
    freshness::{
        Bypass, Detached, Early, Freshness, Grace, Loaded, Look, Outcome, Packing, Payload, PayloadKind,
        PurgeQueue, PurgeSet, Question, Reading, Shape, Wrap, Writing,
    },
    keys::{Keyspace, RowKeys},
    near::{Near, Reach},
    observe::{CacheStats, Counters, Observer},
    schema::Schema,
    statement::Memo,
    store::{Stamp, Store, TagKey, Watch},
    watched::{self, Refusal},
};

/// Under which name the application's own entries are counted.
const OWN: &str = "(own)";
/// Keys that [`Cache::invalidate_pattern`] looks at, at most.
const PATTERN_LIMIT: usize = 100_000;
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

pub(crate) struct Inner {
    pub(crate) config: CacheConfig,
    pub(crate) keys: Keyspace,
    pub(crate) freshness: Arc<Freshness>,
    pub(crate) registry: Registry,
    pub(crate) counters: Counters,
    pub(crate) memo: Memo,
    pub(crate) observer: Observer,
    pub(crate) loaders: crate::warmup::Loaders,
    /// As a connection learned it last; for explanations only.
    // A std lock: held for a clone of an Arc, never across an await.
    pub(crate) schema: RwLock<Arc<Schema>>,
    // A std lock: held for a map look-up, never across an await.
    rows: RwLock<HashMap<TypeId, Arc<Rows>>>,
}

/// What the questions for an entity's rows have in common.
pub(crate) struct Rows {
    pub(crate) keys: RowKeys,
    /// Of a row with a tag of its own, and of no view.
    pub(crate) shape: Shape,
}

impl std::fmt::Debug for Inner {
    /// Without keys and payloads: a handler that records its arguments must not log rows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("namespace", &self.config.namespace)
            .field("store", &self.freshness.store().name())
            .field("enabled", &self.config.enabled)
            .finish_non_exhaustive()
    }
}

/// How one entry of the application's own is kept.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct EntryOptions {
    ttl: Option<TtlSpec>,
    tags: Vec<String>,
    tables: Vec<String>,
    fresh: bool,
    stale_while_revalidate: Option<TtlSpec>,
    stale_if_error: Option<TtlSpec>,
    refresh_early: f64,
}

impl EntryOptions {
    /// The defaults: the cache's default time to live, no tags.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the entry lives; at most the cache's `max_ttl`.
    pub fn ttl(mut self, ttl: impl Into<TtlSpec>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// A tag of the application's own; [`Cache::invalidate_tag`] makes the entry a miss.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// The entry is made of this entity's rows: any write to its table purges it.
    pub fn entity<E: EntityTrait>(self, entity: E) -> Self {
        self.table(entity.table_name())
    }

    /// The entry is made of this table's rows: any write to it purges it. Of a view, the tables behind it
    /// count too, as far as a connection with this cache has learned the schema by then.
    pub fn table(mut self, table: impl AsRef<str>) -> Self {
        self.tables.push(bare_name(table.as_ref()));
        self
    }

    /// For so long after its time, an entry that no write has purged is still served, while one
    /// caller loads it anew. So nobody but that one waits. What a write has purged is never served.
    pub fn stale_while_revalidate(mut self, grace: impl Into<TtlSpec>) -> Self {
        self.stale_while_revalidate = Some(grace.into());
        self
    }

    /// For so long after its time, an entry that no write has purged is served if the load fails.
    /// What a write has purged is never served.
    pub fn stale_if_error(mut self, grace: impl Into<TtlSpec>) -> Self {
        self.stale_if_error = Some(grace.into());
        self
    }

    /// Load the entry anew before its time is over, the sooner the longer its load takes: when, each
    /// reader decides by lot, so that an entry that is read often does not expire under its readers.
    /// `beta` is the distance from the end, on average, in times that the load takes: 1.0 is a good
    /// choice, more is earlier; zero is not at all.
    ///
    /// With [`Cache::get_or_load_detached`] nobody waits for that load. With [`Cache::get_or_load`] the
    /// one reader who has drawn it does, and is served what is there if it fails.
    pub fn refresh_early(mut self, beta: f64) -> Self {
        self.refresh_early = beta;
        self
    }

    /// Do not look in the cache; load, and store what was loaded.
    pub fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }
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

    /// How this cache behaves.
    #[must_use]
    pub fn config(&self) -> &CacheConfig {
        &self.inner.config
    }

    /// Reads an entry. One round trip; two the first time this process sees an entry with tags.
    ///
    /// A value that cannot be read as `T` is `None`, as is any trouble with the store: a cache
    /// that is away is an empty cache.
    ///
    /// # Errors
    /// None today; the signature leaves room.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, CacheError> {
        Ok(self.get_many(&[key]).await?.pop().flatten())
    }

    /// Reads many entries in one round trip; answers in the order of the keys.
    ///
    /// # Errors
    /// None today; the signature leaves room.
    pub async fn get_many<T: DeserializeOwned>(&self, keys: &[&str]) -> Result<Vec<Option<T>>, CacheError> {
        let counters = self.inner.counters.table(OWN);
        if !self.inner.config.enabled {
            keys.iter().for_each(|_| counters.count(Outcome::Bypass(Bypass::Disabled)));
            return Ok(keys.iter().map(|_| None).collect());
        }
        // What the entries depend on is not known here.
        watched::refuse(Refusal::Unknown);
        let options = EntryOptions::default();
        let questions: Vec<_> = keys.iter().map(|key| self.question(key, &options)).collect();
        let looks = self.inner.freshness.look_many(&questions).await;
        let values = looks.into_iter().map(|look| match look {
            Look::Hit { kind, payload, .. } => {
                let value = self.decode_own(kind, &payload);
                counters.count(if value.is_some() { Outcome::Hit } else { Outcome::Miss });
                value
            }
            Look::Miss(_) | Look::Late { .. } => {
                counters.count(Outcome::Miss);
                None
            }
            Look::Bypass(reason) => {
                counters.count(Outcome::Bypass(reason));
                None
            }
        });
        Ok(values.collect())
    }

    /// Stores an entry, whatever was there. Two round trips.
    ///
    /// A [`get_or_load`](Self::get_or_load) of the same key that is loading meanwhile may store its
    /// own answer afterwards.
    ///
    /// The value counts as made *now*: if it was computed from data that has changed since, prefer
    /// [`get_or_load`](Self::get_or_load), which takes its stamps before it computes.
    ///
    /// # Errors
    /// The value cannot be written, or the store did not take it.
    pub async fn set<T: Serialize>(
        &self,
        key: &str,
        value: &T,
        options: EntryOptions,
    ) -> Result<(), CacheError> {
        self.set_many(&[(key, value)], options).await
    }

    /// Stores many entries with the same options. Two round trips, however many.
    ///
    /// # Errors
    /// A value cannot be written (nothing is stored then), or the store did not take them.
    pub async fn set_many<T: Serialize>(
        &self,
        entries: &[(&str, &T)],
        options: EntryOptions,
    ) -> Result<(), CacheError> {
        if !self.inner.config.enabled || entries.is_empty() {
            return Ok(());
        }
        let options = options.fresh();
        let mut questions = Vec::with_capacity(entries.len());
        let mut payloads = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let bytes = encode_own(*value).map_err(|error| CacheError::Unwritable {
                key: (*key).to_owned(),
                reason: match error {
                    CodecError::Unwritable(reason) => reason,
                    other => other.to_string(),
                },
            })?;
            let limit = self.inner.config.max_entry_bytes;
            if bytes.len() > limit {
                return Err(CacheError::Unwritable {
                    key: (*key).to_owned(),
                    reason: format!("{} bytes, more than max_entry_bytes = {limit}", bytes.len()),
                });
            }
            questions.push(self.question(key, &options));
            payloads.push(own_payload(bytes));
        }
        self.inner.freshness.put(&questions, payloads).await?;
        Ok(())
    }

    /// Reads an entry or computes and stores it ("remember"). Not for what `load` reads inside a
    /// transaction: that may never be committed, and would be stored all the same.
    ///
    /// One round trip on a hit; two and the
    /// load on a miss. One load per key in this process, however many tasks ask at a time.
    ///
    /// The tags are stamped before `load` begins: an invalidation during the load makes what it
    /// brings a miss. Do not ask for the same key inside `load`; it would wait for itself.
    ///
    /// Cancel safe: if the loading caller goes away, another waiting one takes over.
    ///
    /// # Errors
    /// Those of `load`. Trouble with the store means that `load` runs.
    pub async fn get_or_load<T, E, L, F>(&self, key: &str, options: EntryOptions, load: L) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        L: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        self.own(key, options, load, || None).await
    }

    /// [`get_or_load`](Self::get_or_load) with a load that borrows nothing: under
    /// [`refresh_early`](EntryOptions::refresh_early) it runs in the background, and whoever has found
    /// that it is time is served what is there. So is who comes within
    /// [`stale_while_revalidate`](EntryOptions::stale_while_revalidate) then.
    ///
    /// # Errors
    /// Those of `load`, for which somebody waited. One in the background is counted
    /// ([`CacheStats::refreshes_failed`]), and the entry stays as it is.
    pub async fn get_or_load_detached<T, E, L, F>(
        &self,
        key: &str,
        options: EntryOptions,
        load: L,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        L: FnOnce() -> F + Clone + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (cache, again) = (self.clone(), load.clone());
        let detached = move || -> Option<Detached> {
            Some(Box::pin(async move {
                let loaded = again().await.map(|value| cache.own_loaded(&value));
                if loaded.is_err() {
                    tracing::debug!("a load in the background failed");
                }
                loaded.ok()
            }))
        };
        self.own(key, options, load, detached).await
    }

    async fn own<T, E, L, F>(
        &self,
        key: &str,
        options: EntryOptions,
        load: L,
        detached: impl FnOnce() -> Option<Detached>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        L: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        let counters = self.inner.counters.table(OWN);
        if !self.inner.config.enabled {
            counters.count(Outcome::Bypass(Bypass::Disabled));
            return load().await;
        }
        let question = self.question(key, &options);
        watched::depends(&self.inner.freshness, question.tags.iter().chain(&question.also));
        let decode = |kind, payload: &Bytes| self.decode_own(kind, payload);
        let load = || async {
            let value = load().await?;
            let payload = self.own_loaded(&value);
            Ok(Loaded { value, payload })
        };
        match self.inner.freshness.fetch_or_detach(&question, decode, load, detached).await {
            Ok(fetched) => {
                counters.count(fetched.outcome);
                Ok(fetched.value)
            }
            // It was asked for, and the cache had nothing.
            Err(error) => {
                counters.count(Outcome::Miss);
                Err(error)
            }
        }
    }

    /// The value, counted if it cannot be read.
    fn decode_own<T: DeserializeOwned>(&self, kind: PayloadKind, payload: &Bytes) -> Option<T> {
        let value = decode_own(kind, payload);
        if value.is_none() {
            self.inner.freshness.traffic.unreadable();
        }
        value
    }

    /// What is stored of a loaded value, if it may be.
    fn own_loaded<T: Serialize + DeserializeOwned>(&self, value: &T) -> Option<Payload> {
        match encode_own(value).and_then(|bytes| comes_back(value, bytes)) {
            Ok(bytes) => self.storable(own_payload(bytes)),
            Err(error) => {
                tracing::warn!(%error, "a loaded value cannot be stored");
                None
            }
        }
    }

    /// Is there a valid entry? One round trip.
    ///
    /// # Errors
    /// None today; the signature leaves room.
    pub async fn exists(&self, key: &str) -> Result<bool, CacheError> {
        let question = self.question(key, &EntryOptions::default());
        watched::refuse(Refusal::Unknown);
        Ok(self.inner.config.enabled
            && matches!(self.inner.freshness.look(&question).await, Look::Hit { .. }))
    }

    /// Drops an entry; true if one was there. One round trip.
    ///
    /// # Errors
    /// The store did not answer; the entry may still be there.
    pub async fn delete(&self, key: &str) -> Result<bool, CacheError> {
        Ok(self.delete_many(&[key]).await? > 0)
    }

    /// Drops entries; says how many were there. One round trip.
    ///
    /// # Errors
    /// The store did not answer; the entries may still be there.
    pub async fn delete_many(&self, keys: &[&str]) -> Result<u64, CacheError> {
        let keys: Vec<_> = keys.iter().map(|key| self.inner.keys.user_entry(key)).collect();
        // Before and after: a load that landed a moment ago must not answer who asks from now on.
        self.inner.freshness.forget(&keys);
        let deleted = self.inner.freshness.store().delete(&keys).await;
        self.inner.freshness.forget(&keys);
        Ok(deleted?)
    }

    /// Makes every entry with this tag a miss, however many there are. One round trip.
    ///
    /// `report:*` stands for every tag, and every entry of [`set`](Self::set) and
    /// [`get_or_load`](Self::get_or_load), whose name begins with `report:`. Only the part before the
    /// first colon counts: `report:2024:*` is the same as `report:*`.
    ///
    /// If the store is away the invalidation is queued and delivered before this process trusts
    /// the store again; so are all the `invalidate` methods. Cancel safe.
    pub async fn invalidate_tag(&self, tag: &str) {
        self.invalidate_tags(&[tag]).await;
    }

    /// Makes every entry with any of these tags a miss. One round trip.
    pub async fn invalidate_tags(&self, tags: &[&str]) {
        let mut set = PurgeSet::default();
        for tag in tags {
            self.inner.purge_user_tag(&mut set, tag);
        }
        self.inner.freshness.invalidate(set).await;
    }

    /// Makes everything that was read from this entity's table a miss. One round trip.
    pub async fn invalidate_entity<E: EntityTrait>(&self) {
        self.invalidate_table(E::default().table_name()).await;
    }

    /// Makes everything that was read from this table a miss. One round trip.
    pub async fn invalidate_table(&self, table: &str) {
        let mut set = PurgeSet::default();
        self.inner.purge_table(&mut set, &bare_name(table));
        self.inner.freshness.invalidate(set).await;
    }

    /// Makes one row a miss, and the lists that may hold it. One round trip.
    pub async fn invalidate_row<E: EntityTrait>(&self, key: impl sea_orm::sea_query::IntoValueTuple) {
        let descriptor = self.inner.registry.entity::<E>();
        let values: Vec<_> = key.into_value_tuple().into_iter().collect();
        let mut set = PurgeSet::default();
        self.inner.purge_row(&mut set, &descriptor, &values);
        self.inner.freshness.invalidate(set).await;
    }

    /// Makes the entries of all entities with `#[cache(namespace = "...")]` a miss. One round trip.
    pub async fn invalidate_group(&self, group: &str) {
        let mut set = PurgeSet::default();
        set.tags.insert(self.inner.keys.group(group));
        self.inner.freshness.invalidate(set).await;
    }

    /// Makes everything in the namespace a miss. One round trip, however much there is; the memory
    /// comes back as entries expire.
    pub async fn clear(&self) {
        let mut set = PurgeSet::default();
        set.tags.insert(self.inner.keys.everything());
        self.inner.freshness.invalidate(set).await;
    }

    /// Drops entries whose key, without the namespace, matches `pattern` (`*` stands for any text:
    /// `row:book:*`, `e:dashboard*`). Says how many were dropped.
    ///
    /// An operator's tool: it scans the namespace in bounded steps, many round trips, and looks at
    /// no more than 100,000 keys. It drops entries, not tags: a load that is under way may still
    /// store what it brings, and what other processes have in memory stays there. For anything that
    /// runs more than now and then, use tags.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn invalidate_pattern(&self, pattern: &str) -> Result<u64, CacheError> {
        let prefix = self.inner.keys.prefix();
        let store = self.inner.freshness.store();
        let keys: Vec<_> = store
            .scan(&prefix, PATTERN_LIMIT)
            .await?
            .into_iter()
            .filter(|key| {
                key.strip_prefix(&prefix)
                    .is_some_and(|rest| !is_no_entry(rest) && matches_pattern(pattern, rest))
            })
            .map(crate::store::EntryKey::from_full)
            .collect();
        let mut dropped = 0;
        for chunk in keys.chunks(1000) {
            dropped += store.delete(chunk).await?;
            self.inner.freshness.forget(chunk);
        }
        // Which of them are in memory cannot be told by their keys.
        if let Some(near) = self.inner.freshness.near() {
            near.clear();
        }
        Ok(dropped)
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

    pub(crate) fn question(&self, key: &str, options: &EntryOptions) -> Question {
        let keys = &self.inner.keys;
        let config = &self.inner.config;
        let ttl = config.ttl(options.ttl.unwrap_or(TtlSpec::For(config.default_ttl)));
        let mut also: Vec<_> = Vec::new();
        for tag in options.tags.iter().flat_map(|tag| self.inner.user_tags(tag)) {
            if !also.contains(&tag) {
                also.push(tag);
            }
        }
        let schema = self.inner.schema();
        for table in &options.tables {
            also.push(keys.table(table));
            let behind = schema.behind(table).into_iter().flat_map(|view| view.reads);
            also.extend(behind.map(|table| keys.table(&table)));
        }
        let stem = stem(key).map(|stem| keys.stem(stem));
        also.retain(|tag| Some(tag) != stem.as_ref());
        let tags: Vec<_> = std::iter::once(keys.everything()).chain(stem).collect();
        Question {
            key: keys.user_entry(key),
            shape: Shape::of(&tags),
            tags,
            only_if_missing: Vec::new(),
            family: None,
            also,
            expected: None,
            ttl: ttl.max(Duration::from_millis(1)),
            negative_ttl: config.negative_ttl,
            grace: Grace {
                revalidate: options.stale_while_revalidate.map_or(Duration::ZERO, |spec| config.ttl(spec)),
                on_error: options.stale_if_error.map_or(Duration::ZERO, |spec| config.ttl(spec)),
            },
            early: Early::drawn(options.refresh_early),
            fresh: options.fresh,
            wrap: Wrap {
                compress_above: config.compress_above,
                encrypt: options.tables.iter().any(|table| self.inner.registry.encrypts(table)),
            },
            terms: None,
        }
    }

    /// The payload if it may be stored, by its size.
    pub(crate) fn storable(&self, payload: Payload) -> Option<Payload> {
        if payload.bytes.len() <= self.inner.config.max_entry_bytes {
            return Some(payload);
        }
        self.inner.counters.not_stored.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        tracing::debug!(bytes = payload.bytes.len(), "larger than max_entry_bytes: not stored");
        None
    }
}

impl Inner {
    /// The schema, as a connection learned it last.
    pub(crate) fn schema(&self) -> Arc<Schema> {
        self.schema.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// What the questions for an entity's rows have in common.
    pub(crate) fn rows(&self, entity: &EntityDescriptor) -> Arc<Rows> {
        let known = self.rows.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(rows) = known.get(&entity.type_id) {
            return rows.clone();
        }
        drop(known);
        let EntityDescriptor { policy, schema, table, folded, fingerprint, .. } = entity;
        let names = (*table, &**folded);
        let has_tags = !policy.tags.is_empty();
        let keys = self.keys.rows(policy.namespace, schema.as_deref(), names, *fingerprint, has_tags);
        let rows = Rows { shape: Shape::of(&keys.asked()), keys };
        let mut known = self.rows.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.entry(entity.type_id).or_insert_with(|| Arc::new(rows)).clone()
    }

    /// Everything that depends on a table.
    pub(crate) fn purge_table(&self, set: &mut PurgeSet, folded: &str) {
        set.tags.insert(self.keys.table(folded));
        set.tags.insert(self.keys.any_row(folded));
        set.tags.insert(self.keys.index(folded));
    }

    /// A tag of the application's own, or all of a stem (`report:*`); and the tag that stands for
    /// "some tag was invalidated".
    pub(crate) fn purge_user_tag(&self, set: &mut PurgeSet, tag: &str) {
        set.tags.insert(match stem_of_pattern(tag) {
            Some(stem) => self.keys.stem(stem),
            None => self.keys.user_tag(tag),
        });
        set.tags.insert(self.keys.any_user_tag());
    }

    /// The tags that an entry with a tag of the application's own depends on.
    pub(crate) fn user_tags<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = TagKey> + 'a {
        std::iter::once(self.keys.user_tag(tag)).chain(stem(tag).map(|stem| self.keys.stem(stem)))
    }
}

pub(crate) fn encode_own<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut writer = RowWriter::default();
    writer.custom(value)?;
    Ok(writer.finish())
}

/// The bytes, if the value that they are read back as is the same.
pub(crate) fn comes_back<T: Serialize + DeserializeOwned>(
    value: &T,
    bytes: Vec<u8>,
) -> Result<Vec<u8>, CodecError> {
    let mut reader = RowReader::new(&bytes);
    let back: T = reader.custom()?;
    if same_optionals(value, &back) { Ok(bytes) } else { Err(CodecError::NotFaithful) }
}

fn own_payload(bytes: Vec<u8>) -> Payload {
    Payload {
        kind: PayloadKind::Custom,
        bytes,
        more: Vec::new(),
        depends_on_family: false,
        at_most: None,
        took: Duration::ZERO,
    }
}

fn decode_own<T: DeserializeOwned>(kind: PayloadKind, payload: &Bytes) -> Option<T> {
    if kind != PayloadKind::Custom {
        return None;
    }
    let mut reader = RowReader::new(payload);
    let value = reader.custom().ok()?;
    reader.finish().ok()?;
    Some(value)
}

/// `report` of `report:7`: what stands before the first colon.
pub(crate) fn stem(name: &str) -> Option<&str> {
    name.split_once(':').map(|(stem, _)| stem)
}

/// `report` of `report:*`, and of `report:2024:*`, which purges a little more than it says.
fn stem_of_pattern(tag: &str) -> Option<&str> {
    tag.strip_suffix(":*").map(|rest| stem(rest).unwrap_or(rest))
}

/// A table's name as tags know it: lower case, without the schema.
pub(crate) fn bare_name(table: &str) -> String {
    table.rsplit('.').next().unwrap_or(table).trim_matches(['"', '`', '[', ']']).to_lowercase()
}

/// Is this the key of something else than an entry, namespace taken off: a tag, a lease, a rate limit, a
/// session?
pub(crate) fn is_no_entry(key: &str) -> bool {
    key.starts_with('~') || matches!(key.split(':').next(), Some("t" | "i" | "u" | "g" | "l" | "r" | "s"))
}

/// `*` matches any text; everything else matches itself. Linear in the text for each `*`.
pub(crate) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    let mut rest = rest;
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_keys() {
        for (pattern, text, expected) in [
            ("row:book:*", "row:book:7@1", true),
            ("row:book:*", "row:bookmark:7@1", false),
            ("*book*", "row:book:7@1", true),
            ("e:a*b*c", "e:a1b2c", true),
            ("e:a*b*c", "e:acb", false),
            ("e:x", "e:x", true),
            ("e:x", "e:xy", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), expected, "{pattern} {text}");
        }
    }
}
