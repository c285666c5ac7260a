//! A store with a gate in front of its writes: entries can be held back and let through later, as
//! a slow reader's would be.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sea_orm_cache::{
    Cache, CacheBuilder,
    stores::{
        Arm, EntryKey, EntryWrite, Found, MemoryStore, RedisStore, Release, Store, StoreError, TagKey,
        TagProbe,
    },
};
use tokio::sync::watch;

#[derive(Debug)]
pub struct Gate {
    inner: Arc<dyn Store>,
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
    refuses_purges: AtomicBool,
    refuses_barriers: AtomicBool,
    releases: watch::Sender<bool>,
    held: watch::Sender<usize>,
    /// Barriers asked for.
    pub arms: AtomicUsize,
}

impl Gate {
    pub fn before(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            open: watch::Sender::new(true),
            waiting: watch::Sender::new(0),
            refuses_purges: AtomicBool::new(false),
            refuses_barriers: AtomicBool::new(false),
            releases: watch::Sender::new(true),
            held: watch::Sender::new(0),
            arms: AtomicUsize::new(0),
        })
    }

    /// From now on entries wait.
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    /// Whether purges fail, as with a store that is away.
    pub fn refuse_purges(&self, refuse: bool) {
        self.refuses_purges.store(refuse, Ordering::SeqCst);
    }

    /// Whether barriers fail, as with a store that is away.
    pub fn refuse_barriers(&self, refuse: bool) {
        self.refuses_barriers.store(refuse, Ordering::SeqCst);
    }

    /// From now on purges wait: whoever has committed is held up before its purge.
    pub fn hold_purges(&self) {
        self.releases.send_replace(false);
    }

    /// Lets the purges that wait through.
    pub fn let_purges_through(&self) {
        self.releases.send_replace(true);
    }

    /// Resolves when so many purges wait.
    pub async fn holds_purges(&self, purges: usize) {
        self.held.subscribe().wait_for(|held| *held >= purges).await.unwrap();
    }

    /// Lets all that wait through.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Resolves when so many writes wait.
    pub async fn holds(&self, writes: usize) {
        self.waiting.subscribe().wait_for(|waiting| *waiting >= writes).await.unwrap();
    }

    /// Resolves when none waits any more.
    pub async fn is_empty(&self) {
        self.waiting.subscribe().wait_for(|waiting| *waiting == 0).await.unwrap();
    }
}

#[async_trait::async_trait]
impl Store for Gate {
    async fn read(&self, entries: &[EntryKey], tags: &[TagProbe]) -> Result<Found, StoreError> {
        self.inner.read(entries, tags).await
    }

    async fn write(&self, entries: &[EntryWrite], keep: &[(TagKey, Duration)]) -> Result<(), StoreError> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        let result = self.inner.write(entries, keep).await;
        self.waiting.send_modify(|waiting| *waiting -= 1);
        result
    }

    async fn arm(&self, arm: &Arm) -> Result<usize, StoreError> {
        self.arms.fetch_add(1, Ordering::SeqCst);
        if self.refuses_barriers.load(Ordering::SeqCst) {
            return Err(StoreError::Unreachable { reason: "the test says so".into() });
        }
        self.inner.arm(arm).await
    }

    async fn release(&self, release: &Release) -> Result<usize, StoreError> {
        if self.refuses_purges.load(Ordering::SeqCst) {
            return Err(StoreError::Unreachable { reason: "the test says so".into() });
        }
        self.held.send_modify(|held| *held += 1);
        self.releases.subscribe().wait_for(|open| *open).await.unwrap();
        self.held.send_modify(|held| *held -= 1);
        self.inner.release(release).await
    }

    async fn delete(&self, entries: &[EntryKey]) -> Result<u64, StoreError> {
        self.inner.delete(entries).await
    }

    async fn scan(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.inner.scan(prefix, limit).await
    }

    async fn lease(&self, key: &EntryKey, ttl: Duration) -> Result<bool, StoreError> {
        self.inner.lease(key, ttl).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        if self.refuses_barriers.load(Ordering::SeqCst) {
            return Err(StoreError::Unreachable { reason: "the test says so".into() });
        }
        self.inner.ping().await
    }

    fn outlives_the_process(&self) -> bool {
        self.inner.outlives_the_process()
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}

/// A cache on each store that is there, with a gate in front of its writes.
pub async fn gated_caches() -> Vec<(Arc<Gate>, Cache)> {
    gated_caches_with(|builder| builder).await
}

pub async fn gated_caches_with(set: impl Fn(CacheBuilder) -> CacheBuilder) -> Vec<(Arc<Gate>, Cache)> {
    let mut stores: Vec<Arc<dyn Store>> = vec![Arc::new(MemoryStore::with_capacity(1 << 20))];
    if let Some(url) = crate::support::shared_redis_url() {
        stores.push(Arc::new(RedisStore::connect(crate::world::patient(url)).await.unwrap()));
    }
    let mut caches = Vec::new();
    for store in stores {
        let gate = Gate::before(store);
        let namespace = crate::support::unique_namespace();
        let builder = set(Cache::builder().namespace(namespace).store(gate.clone()));
        let cache = builder.build().await.unwrap();
        caches.push((gate, cache));
    }
    caches
}
