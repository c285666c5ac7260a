//! A store of this process that answers while the other one is away.
//!
//! Everything is asked of the other one first. What it does not answer is asked here, for entries and
//! stamps that live no longer than a bound: while the other one is away, no process hears of another's
//! writes. What this process writes itself is marked and purged here always, also while the other one
//! answers, since a load that began without it may be stored here later. A purge that the other one does
//! not take still counts as not delivered: it waits, and what it concerns is bypassed until then.
//!
//! An entry of one store means nothing to the other, for it carries the stamps of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use super::{
    Arm, EntryKey, EntryWrite, Found, MemoryStore, RateAnswer, RateAsk, Release, ServerFacts, Store,
    StoreError, StoreState, TagKey, TagListener, TagProbe, Watch,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Fallback {
    store: Arc<dyn Store>,
    memory: MemoryStore,
    bound: Duration,
    /// The store did not answer when it was asked last.
    in_use: AtomicBool,
}

impl Fallback {
    /// Keeps at most so many bytes while `store` is away, none of them longer than `bound`.
    pub(crate) fn new(store: Arc<dyn Store>, bytes: u64, bound: Duration) -> Self {
        Self { store, memory: MemoryStore::with_capacity(bytes), bound, in_use: AtomicBool::new(false) }
    }

    /// Is it for this process to answer?
    fn is_away<T>(&self, answer: &Result<T, StoreError>) -> bool {
        let away = matches!(answer, Err(StoreError::Timeout { .. } | StoreError::Unreachable { .. }));
        if self.in_use.load(Ordering::Relaxed) != away && self.in_use.swap(away, Ordering::Relaxed) != away {
            match answer {
                Err(error) => {
                    tracing::warn!(%error, "the cache store is away: this process answers for itself")
                }
                Ok(_) => tracing::info!("the cache store answers again"),
            }
        }
        away
    }
}

#[async_trait]
impl Store for Fallback {
    async fn read(&self, entries: &[EntryKey], tags: &[TagProbe]) -> Result<Found, StoreError> {
        let answer = self.store.read(entries, tags).await;
        if !self.is_away(&answer) {
            return answer;
        }
        let bounded = |probe: &TagProbe| TagProbe {
            key: probe.key.clone(),
            propose: probe.propose.map(|(stamp, life)| (stamp, life.min(self.bound))),
        };
        let tags: Vec<_> = tags.iter().map(bounded).collect();
        self.memory.read(entries, &tags).await
    }

    async fn write(&self, entries: &[EntryWrite], keep: &[(TagKey, Duration)]) -> Result<(), StoreError> {
        let answer = self.store.write(entries, keep).await;
        if !self.is_away(&answer) {
            return answer;
        }
        let bounded = |entry: &EntryWrite| EntryWrite { ttl: entry.ttl.min(self.bound), ..entry.clone() };
        let entries: Vec<_> = entries.iter().map(bounded).collect();
        // No stamp lives longer for it.
        self.memory.write(&entries, &[]).await
    }

    async fn arm(&self, arm: &Arm) -> Result<usize, StoreError> {
        self.memory.arm(arm).await?;
        let answer = self.store.arm(arm).await;
        self.is_away(&answer);
        answer
    }

    async fn release(&self, release: &Release) -> Result<usize, StoreError> {
        self.memory.release(&Release { store: Vec::new(), ..release.clone() }).await?;
        let answer = self.store.release(release).await;
        self.is_away(&answer);
        answer
    }

    async fn delete(&self, entries: &[EntryKey]) -> Result<u64, StoreError> {
        self.memory.delete(entries).await?;
        self.store.delete(entries).await
    }

    async fn scan(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        self.store.scan(prefix, limit).await
    }

    async fn lease(&self, key: &EntryKey, ttl: Duration) -> Result<bool, StoreError> {
        let answer = self.store.lease(key, ttl).await;
        if self.is_away(&answer) { self.memory.lease(key, ttl.min(self.bound)).await } else { answer }
    }

    async fn rate(&self, ask: &RateAsk) -> Result<RateAnswer, StoreError> {
        // Whoever limits says what is to happen then.
        self.store.rate(ask).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    async fn server(&self) -> Result<ServerFacts, StoreError> {
        self.store.server().await
    }

    async fn recovered(&self) {
        self.store.recovered().await;
    }

    async fn watch(&self, watch: &Watch, listener: Arc<dyn TagListener>) -> StoreError {
        self.store.watch(watch, listener).await
    }

    fn stands_in_for(&self) -> Option<&dyn Store> {
        Some(&*self.store)
    }

    fn outlives_the_process(&self) -> bool {
        self.store.outlives_the_process()
    }

    fn uses_hash_tags(&self) -> bool {
        self.store.uses_hash_tags()
    }

    fn state(&self) -> StoreState {
        self.store.state()
    }

    fn name(&self) -> &'static str {
        self.store.name()
    }
}
