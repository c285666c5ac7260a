//! Configuration: by builder, or from the `environment`. Every bad value is one clear error, before
//! anything runs.

mod environment;

use std::{collections::HashSet, sync::Arc, time::Duration};

#[cfg(feature = "redis")]
pub(crate) use environment::variable;

use crate::{
    Cache, CacheError, EncryptionKeys,
    entity::{CacheEntity, EntityDescriptor, TableRule, TtlClass, TtlSpec},
    store::{Fallback, MemoryStore, Store},
};

/// Longest time to live that can be asked for: a year. What is longer is a typing error.
const LONGEST_TTL: Duration = Duration::from_secs(366 * 24 * 3600);

/// What other readers may see while a write is being committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Once any reader could have seen a commit in the database, no cached read that begins later
    /// returns what was there before; also if the writer is killed at any moment. Just before its
    /// COMMIT a writer leaves a barrier on what it touched, past which nobody serves or stores; it
    /// takes it away with the purge. Two round trips to the store per write.
    #[default]
    Strict,
    /// Once `commit()` has returned, no cached read that begins later returns what was there before.
    /// Between COMMIT and purge, a round trip, a cached read can be behind an uncached one; and if
    /// the writer is killed just there, what it made wrong stays until its time to live ends. One
    /// round trip to the store per write.
    AfterCommit,
}

/// What becomes of a write while the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOutage {
    /// It goes through. Its purge waits in this process until the store takes it, and until then this
    /// process reads what it concerns from the database. Other processes that reach the store serve
    /// what is there.
    #[default]
    AllowWrites,
    /// It is refused with an error before anything is written: a transaction is rolled back at its
    /// `commit()`, a statement on its own is not sent. Under [`Consistency::AfterCommit`] that takes
    /// one round trip more per write.
    RefuseWrites,
}

/// What answers reads while the store is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutageReads {
    /// The database.
    #[default]
    Database,
    /// This process's memory, as far as it can, for entries that live no longer than the bound. It sees
    /// its own writes at once. **It does not see those of other processes**: what it answers may be
    /// behind them by as much as the bound, for as long as the store is away. What this process itself
    /// has written, and the store has not yet heard of, is read from the database: for tables that it
    /// writes while the store is away this is of little use.
    Memory(Duration),
}

/// How a [`Cache`] behaves. Read it with [`Cache::config`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheConfig {
    /// What every key in the store begins with.
    pub namespace: String,
    /// Time to live where neither the entity nor the call says. Ten minutes.
    pub default_ttl: Duration,
    /// Time to live of "there is no such row" where nobody says. Thirty seconds.
    pub negative_ttl: Duration,
    /// The four classes: short (1 min), medium (10 min), long (1 h), static (1 day).
    pub ttl_classes: [Duration; 4],
    /// No entry lives longer, whoever asks. One week.
    pub max_ttl: Duration,
    /// Off: reads go to the database, writes still purge. The roll-back switch.
    pub enabled: bool,
    /// Larger payloads are not stored. One mebibyte.
    pub max_entry_bytes: usize,
    /// Payloads of more bytes are compressed, if that makes them smaller. One kibibyte.
    pub compress_above: usize,
    /// For entities that are declared `encrypted`.
    pub encryption_keys: Option<EncryptionKeys>,
    /// A statement or transaction that touches more rows than this purges the table's rows as a
    /// whole. One thousand. A row with a text key counts twice, since it has two tags.
    pub max_row_tags: usize,
    /// More undelivered tags than this become a purge of the namespace. Ten thousand.
    pub max_undelivered: usize,
    /// What readers may see while a write is being committed. Strict.
    pub consistency: Consistency,
    /// What becomes of a write while the store does not answer. It is allowed.
    pub on_outage: OnOutage,
    /// What answers reads while the store is away. The database.
    pub outage_reads: OutageReads,
    /// How long a barrier stands whose writer is not heard of any more; a writer that lives renews
    /// it. Ten seconds.
    pub barrier_life: Duration,
    /// What was purged is read from the database for so long, for loads from replicas that lag
    /// behind. Zero: not at all.
    pub settle: Duration,
    /// One hit in so many is held against the database, see
    /// [`CacheBuilder::verify_one_in`]. Zero: none.
    pub verify_one_in: u32,
    /// How long a process waits for another that is loading the same, see [`CacheBuilder::lease`].
    /// Zero: not at all.
    pub lease: Duration,
    /// Bytes of answers that are kept in this process's memory, see [`CacheBuilder::near`]. Zero: none.
    pub near_bytes: usize,
    /// How far behind what is served from this process's memory may be, see
    /// [`CacheBuilder::max_staleness`]. Zero: not at all.
    pub max_staleness: Duration,
    /// Does [`warm_up`](crate::CachedConnection::warm_up) load anything?
    pub warm_up: bool,
    /// Loaders that run at a time during warm-up. Four.
    pub warm_up_concurrency: usize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self {
            namespace: "app".to_owned(),
            default_ttl: minutes(10),
            negative_ttl: Duration::from_secs(30),
            ttl_classes: [minutes(1), minutes(10), minutes(60), minutes(24 * 60)],
            max_ttl: minutes(7 * 24 * 60),
            enabled: true,
            max_entry_bytes: 1 << 20,
            compress_above: 1 << 10,
            encryption_keys: None,
            max_row_tags: 1000,
            max_undelivered: 10_000,
            consistency: Consistency::Strict,
            on_outage: OnOutage::AllowWrites,
            outage_reads: OutageReads::Database,
            barrier_life: Duration::from_secs(10),
            settle: Duration::ZERO,
            verify_one_in: 0,
            lease: Duration::ZERO,
            near_bytes: 0,
            max_staleness: Duration::ZERO,
            warm_up: true,
            warm_up_concurrency: 4,
        }
    }
}

impl CacheConfig {
    /// The duration that a specification stands for here, no longer than [`Self::max_ttl`].
    #[must_use]
    pub fn ttl(&self, spec: TtlSpec) -> Duration {
        let ttl = match spec {
            TtlSpec::For(ttl) => ttl,
            TtlSpec::Class(class) => self.ttl_classes[class as usize],
        };
        ttl.min(self.max_ttl)
    }

    fn check(&self) -> Result<(), CacheError> {
        let bad = |what: &str, why: &str| Err(CacheError::Config(format!("{what} {why}")));
        if self.namespace.is_empty() {
            return bad("namespace", "is empty; give the application's name, such as \"bookshop\"");
        }
        let ttls = [
            ("default_ttl", self.default_ttl),
            ("negative_ttl", self.negative_ttl),
            ("max_ttl", self.max_ttl),
        ];
        let classes = ["short", "medium", "long", "static"].into_iter().zip(self.ttl_classes);
        for (what, ttl) in ttls.into_iter().chain(classes) {
            if ttl < Duration::from_millis(1) {
                return bad(
                    what,
                    "is zero; nothing can live for no time. To switch the cache off: enabled(false)",
                );
            }
            if ttl > LONGEST_TTL {
                return bad(what, "is longer than a year");
            }
        }
        let lives = Duration::from_millis(100)..=Duration::from_secs(600);
        let staleness = Duration::from_millis(20)..=Duration::from_secs(3600);
        if !self.max_staleness.is_zero() && !staleness.contains(&self.max_staleness) {
            return bad("max_staleness", "is neither zero nor between 20 milliseconds and an hour");
        }
        if !self.max_staleness.is_zero() && self.near_bytes == 0 {
            return bad("max_staleness", "is set, but nothing is kept in memory: set `near` too");
        }
        if !lives.contains(&self.barrier_life) {
            return bad("barrier_life", "is not between 100 milliseconds and ten minutes");
        }
        if let OutageReads::Memory(bound) = self.outage_reads
            && !(Duration::from_millis(10)..=Duration::from_secs(3600)).contains(&bound)
        {
            return bad("outage_reads", "has a bound that is not between 10 milliseconds and an hour");
        }
        if self.lease > Duration::from_secs(60) {
            return bad("lease", "is longer than a minute");
        }
        if self.settle > Duration::from_secs(600) {
            return bad("settle", "is longer than ten minutes");
        }
        for (what, number) in [
            ("max_entry_bytes", self.max_entry_bytes),
            ("max_row_tags", self.max_row_tags),
            ("max_undelivered", self.max_undelivered),
            ("warm_up_concurrency", self.warm_up_concurrency),
        ] {
            if number == 0 {
                return bad(what, "is zero; it must be at least 1");
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
enum StoreChoice {
    Memory {
        bytes: u64,
    },
    #[cfg(feature = "redis")]
    Redis(Box<crate::store::redis::RedisConfig>),
    Custom(Arc<dyn Store>),
}

/// Bytes that the in-process store holds at most, unless configured: 64 MiB.
const MEMORY_BYTES: u64 = 64 << 20;

/// Builds a [`Cache`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sea_orm_cache::CacheError> {
/// use std::time::Duration;
/// use sea_orm_cache::Cache;
///
/// let cache = Cache::builder().namespace("bookshop").default_ttl(Duration::from_secs(300)).build().await?;
/// assert_eq!(cache.config().namespace, "bookshop");
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct CacheBuilder {
    config: CacheConfig,
    store: StoreChoice,
    entities: Vec<EntityDescriptor>,
    rules: Vec<(String, TableRule)>,
    pure_functions: HashSet<Box<str>>,
}

impl Default for CacheBuilder {
    fn default() -> Self {
        Self {
            config: CacheConfig::default(),
            store: StoreChoice::Memory { bytes: MEMORY_BYTES },
            entities: Vec::new(),
            rules: Vec::new(),
            pure_functions: HashSet::new(),
        }
    }
}

impl CacheBuilder {
    /// What every key in the store begins with. Processes that share a database share a namespace;
    /// two databases never do. Characters other than letters, digits, `_`, `-` and `.` are escaped
    /// in keys. Default: `app`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.config.namespace = namespace.into();
        self
    }

    /// Keeps entries in Redis: `redis://[[user]:password@]host[:port][/db]`, `unix://...`.
    /// Nothing is connected until [`build`](Self::build); a server that is away then is not an
    /// error, reads go to the database until it is back.
    #[cfg(feature = "redis")]
    pub fn redis(self, url: impl Into<String>) -> Self {
        self.redis_with(crate::store::redis::RedisConfig::new(url))
    }

    /// Keeps entries in Redis, with timeouts, credentials and number of connections of your own.
    #[cfg(feature = "redis")]
    pub fn redis_with(mut self, config: crate::store::redis::RedisConfig) -> Self {
        self.store = StoreChoice::Redis(Box::new(config));
        self
    }

    /// Keeps entries in this process, at most this many bytes of them. The default, with 64 MiB.
    /// For a single process: others would not see its purges.
    pub fn in_process(mut self, bytes: u64) -> Self {
        self.store = StoreChoice::Memory { bytes };
        self
    }

    /// Keeps entries in a store of your own.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = StoreChoice::Custom(store);
        self
    }

    /// Time to live where neither the entity nor the call says.
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.config.default_ttl = ttl;
        self
    }

    /// Time to live of "there is no such row".
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.config.negative_ttl = ttl;
        self
    }

    /// What a class of lifetimes means.
    pub fn ttl_class(mut self, class: TtlClass, ttl: Duration) -> Self {
        self.config.ttl_classes[class as usize] = ttl;
        self
    }

    /// No entry lives longer than this.
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.config.max_ttl = ttl;
        self
    }

    /// `false`: reads go to the database; writes still purge, so that switching on again is safe.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.config.enabled = enabled;
        self
    }

    /// Larger payloads are not stored.
    pub fn max_entry_bytes(mut self, bytes: usize) -> Self {
        self.config.max_entry_bytes = bytes;
        self
    }

    /// Payloads of more bytes are compressed (LZ4), if that makes them smaller; `usize::MAX`: none.
    /// Entities can say otherwise. Needs the feature `compression`, a default one; without it, entries
    /// that others have compressed are misses.
    pub fn compress_above(mut self, bytes: usize) -> Self {
        self.config.compress_above = bytes;
        self
    }

    /// The keys for entities that are declared `encrypted`. Needs the feature `encryption`.
    pub fn encryption_keys(mut self, keys: EncryptionKeys) -> Self {
        self.config.encryption_keys = Some(keys);
        self
    }

    /// A statement or transaction that touches more rows purges the table's rows as a whole. A row with a
    /// text key counts twice, since it has two tags.
    pub fn max_row_tags(mut self, rows: usize) -> Self {
        self.config.max_row_tags = rows;
        self
    }

    /// More undelivered tags than this become a purge of the namespace.
    pub fn max_undelivered(mut self, tags: usize) -> Self {
        self.config.max_undelivered = tags;
        self
    }

    /// What readers may see while a write is being committed. Every process of the namespace should
    /// say the same.
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.config.consistency = consistency;
        self
    }

    /// What becomes of a write while the store does not answer.
    pub fn on_outage(mut self, on_outage: OnOutage) -> Self {
        self.config.on_outage = on_outage;
        self
    }

    /// What answers reads while the store is away.
    pub fn outage_reads(mut self, reads: OutageReads) -> Self {
        self.config.outage_reads = reads;
        self
    }

    /// How long a barrier stands whose writer is not heard of any more: 100 ms to ten minutes. It
    /// bounds how long what a killed writer left is read from the database, and how long a process
    /// may stand still just before a COMMIT. Half of it is the `idle_in_transaction_session_timeout`
    /// of PostgreSQL while a COMMIT is on its way.
    pub fn barrier_life(mut self, life: Duration) -> Self {
        self.config.barrier_life = life;
        self
    }

    /// For cached reads that load from replicas: what was purged is read from the database for so
    /// long, and nothing of it stored. As long as a replica may lag.
    pub fn settle(mut self, settle: Duration) -> Self {
        self.config.settle = settle;
        self
    }

    /// Holds one hit in so many against the database, which costs that load: 1 is all of them, 1000 a
    /// thousandth. Differences that no write explains are counted
    /// ([`CacheStats::stale_hits`](crate::CacheStats::stale_hits), which should stay zero for ever) and
    /// logged as errors; the caller gets what the database says. Rows of entities are compared, not
    /// values of your own types. A query without an order that has a LIMIT may answer differently each
    /// time, and be counted for that.
    pub fn verify_one_in(mut self, hits: u32) -> Self {
        self.config.verify_one_in = hits;
        self
    }

    /// Of all processes that miss the same entry at a time, one loads it; the others wait for it so
    /// long at most, and then load by themselves without storing. Costs a miss one round trip more.
    /// Worth it where a load is expensive and processes are many. In one process only one loads
    /// anyway.
    pub fn lease(mut self, patience: Duration) -> Self {
        self.config.lease = patience;
        self
    }

    /// Keeps answers of entities and queries in this process's memory too, decoded, up to about so many
    /// bytes; what is asked for rarely makes room for what is asked for often.
    ///
    /// By itself that spares the transfer and the decoding: each read still asks the store whether the
    /// answer is right, in one round trip. With [`max_staleness`](Self::max_staleness) it spares that
    /// too. Entries of the application's own are not kept.
    pub fn near(mut self, bytes: usize) -> Self {
        self.config.near_bytes = bytes;
        self
    }

    /// For so long a cached read of this process may miss a write that *another* process has
    /// committed: then most reads of what is in memory ask nobody. Its own writes it sees at once.
    /// 20 ms to an hour, or zero; only with [`near`](Self::near).
    ///
    /// The store tells this process of every purge (Redis: `CLIENT TRACKING`, RESP3), and four times
    /// within this time it is checked that what it tells arrives. If it does not, or the store cannot
    /// do that, each read asks for the stamps, as without this setting. So the bound also holds when
    /// the network is cut without a sign, and for a process that was stopped and goes on.
    pub fn max_staleness(mut self, bound: Duration) -> Self {
        self.config.max_staleness = bound;
        self
    }

    /// Whether a warm-up loads anything.
    pub fn warm_up(mut self, on: bool) -> Self {
        self.config.warm_up = on;
        self
    }

    /// Loaders that run at a time during warm-up.
    pub fn warm_up_concurrency(mut self, loaders: usize) -> Self {
        self.config.warm_up_concurrency = loaders;
        self
    }

    /// Declares an entity by hand. Derived entities register themselves; this is for platforms
    /// whose linker drops them, and for policies written without the derive.
    pub fn entity<E>(mut self) -> Self
    where
        E: CacheEntity,
        E::ActiveModel: sea_orm::TryIntoModel<E::Model>,
        E::Model: Send + Sync,
    {
        self.entities.push(EntityDescriptor::of::<E>());
        self
    }

    /// What a write to a table sets off: for tables without an entity, and from outside of those with
    /// one. Every process that writes the table must say the same.
    pub fn table(mut self, table: impl Into<String>, rule: TableRule) -> Self {
        self.rules.push((table.into(), rule));
        self
    }

    /// A function of the database's that somebody has added, by its name without a schema: it always
    /// gives the same answer for the same arguments and the same rows, and writes nothing. A select
    /// that calls it may be cached, and no longer purges the namespace for what it might write.
    pub fn pure_function(mut self, name: impl AsRef<str>) -> Self {
        self.pure_functions.insert(name.as_ref().to_lowercase().into());
        self
    }

    /// Builds the cache. Must be called on a Tokio runtime, which the background work (delayed
    /// purges, reconnecting) then uses.
    ///
    /// # Errors
    /// A setting that cannot work. A Redis server that is away is not an error.
    pub async fn build(self) -> Result<Cache, CacheError> {
        self.config.check()?;
        let store: Arc<dyn Store> = match self.store {
            StoreChoice::Memory { bytes } => Arc::new(MemoryStore::with_capacity(bytes)),
            #[cfg(feature = "redis")]
            StoreChoice::Redis(config) => {
                let config = config.namespace(&self.config.namespace);
                Arc::new(crate::store::redis::RedisStore::connect(config).await?)
            }
            StoreChoice::Custom(store) => store,
        };
        let store = match self.config.outage_reads {
            OutageReads::Database => store,
            OutageReads::Memory(bound) => Arc::new(Fallback::new(store, MEMORY_BYTES, bound)),
        };
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            CacheError::Config("Cache::builder().build() must be awaited on a Tokio runtime".to_owned())
        })?;
        let cache =
            Cache::assemble(self.config, store, runtime, self.entities, &self.rules, self.pure_functions);
        cache.refuse_what_cannot_be_encrypted()?;
        cache.refuse_patterns_that_purge_nothing(&self.rules)?;
        cache.warn_of_useless_index_columns();
        Ok(cache)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_setting_that_cannot_work_is_refused_before_anything_runs() {
        let bad = [
            CacheBuilder::default().namespace(""),
            CacheBuilder::default().default_ttl(Duration::ZERO),
            CacheBuilder::default().negative_ttl(Duration::MAX),
            CacheBuilder::default().ttl_class(TtlClass::Static, Duration::ZERO),
            CacheBuilder::default().max_ttl(Duration::ZERO),
            CacheBuilder::default().max_entry_bytes(0),
            CacheBuilder::default().max_row_tags(0),
            CacheBuilder::default().warm_up_concurrency(0),
        ];
        for builder in bad {
            assert!(matches!(builder.build().await, Err(CacheError::Config(_))));
        }
    }
}
