//! The in-process store: the embedded default, for a single process.

use std::{
    fmt,
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use moka::{
    Expiry,
    ops::compute::{CompResult, Op},
    sync::Cache,
};

use super::{
    Arm, Cell, EntryKey, EntryWrite, Found, Meters, RateAnswer, RateAsk, Release, ServerFacts, Store,
    StoreError, TagKey, TagListener, TagProbe, TagState, Watch, whole_millis,
};

/// Tags held at most. They are small, and kept apart from the entries, so that a flood of entries
/// does not evict the stamps that other entries need. An evicted stamp costs misses, never a
/// stale read.
const TAGS: u64 = 1_000_000;

/// Entries and tags in this process's memory, bounded.
///
/// The same protocol as with Redis: entries carry stamps, a purge makes tags absent. Other
/// processes see neither its entries nor its purges.
pub struct MemoryStore {
    entries: Cache<String, Kept<Bytes>>,
    tags: Cache<String, Cell>,
    limits: Meters,
    /// Who is told of purges, and of marks that writers leave.
    // A std lock: held for a list operation, never across an await.
    listeners: RwLock<Vec<Arc<dyn TagListener>>>,
    /// Where the clock of the cells begins.
    since: Instant,
}

/// A listener that is told of changes until this is dropped.
struct Listening<'a> {
    store: &'a MemoryStore,
    listener: Arc<dyn TagListener>,
}

impl<'a> Listening<'a> {
    fn new(store: &'a MemoryStore, listener: Arc<dyn TagListener>) -> Self {
        store.listeners.write().unwrap_or_else(|poisoned| poisoned.into_inner()).push(listener.clone());
        // What changed before was not told.
        listener.lost();
        Self { store, listener }
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        let mut listeners = self.store.listeners.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        listeners.retain(|there| !Arc::ptr_eq(there, &self.listener));
        drop(listeners);
        self.listener.lost();
    }
}

/// A value and when its life ends.
#[derive(Clone, Debug)]
struct Kept<T> {
    value: T,
    until: Instant,
}

impl<T> Kept<T> {
    fn new(value: T, ttl: Duration) -> Self {
        // A life beyond what the clock can count is as good as a year.
        const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
        Self { value, until: Instant::now() + ttl.min(YEAR) }
    }

    /// moka removes what has expired a little later; nobody may see it meanwhile.
    fn is_alive(&self) -> bool {
        self.until > Instant::now()
    }
}

/// Tells moka to give the memory back when a life ends.
struct AtEndOfLife;

/// The same for tags, whose cells count in milliseconds of a clock of their own.
struct WhenNothingIsLeft {
    since: Instant,
}

impl WhenNothingIsLeft {
    fn of(&self, cell: &Cell) -> Option<Duration> {
        let left = cell.until()?.saturating_sub(millis_since(self.since));
        Some(Duration::from_millis(left.saturating_add(1)))
    }
}

impl Expiry<String, Cell> for WhenNothingIsLeft {
    fn expire_after_create(&self, _: &String, cell: &Cell, _: Instant) -> Option<Duration> {
        self.of(cell)
    }

    fn expire_after_update(
        &self,
        _: &String,
        cell: &Cell,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.of(cell)
    }
}

fn millis_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl<T> Expiry<String, Kept<T>> for AtEndOfLife {
    fn expire_after_create(&self, _: &String, kept: &Kept<T>, now: Instant) -> Option<Duration> {
        Some(kept.until.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        _: &String,
        kept: &Kept<T>,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.until.saturating_duration_since(now))
    }
}

impl MemoryStore {
    /// A store that holds at most about this many bytes of entries, keys included.
    #[must_use]
    pub fn with_capacity(bytes: u64) -> Self {
        let weigh = |key: &String, kept: &Kept<Bytes>| {
            u32::try_from(key.len() + kept.value.len()).unwrap_or(u32::MAX)
        };
        let since = Instant::now();
        Self {
            entries: Cache::builder().max_capacity(bytes).weigher(weigh).expire_after(AtEndOfLife).build(),
            tags: Cache::builder().max_capacity(TAGS).expire_after(WhenNothingIsLeft { since }).build(),
            limits: Meters::new(),
            listeners: RwLock::default(),
            since,
        }
    }

    fn now(&self) -> u64 {
        millis_since(self.since)
    }

    fn tag(&self, probe: &TagProbe) -> TagState {
        let mut state =
            self.tags.get(probe.key.as_str()).map_or(TagState::Absent, |cell| cell.look(self.now()));
        if state == TagState::Absent
            && let Some((stamp, life)) = probe.propose
        {
            self.change(&probe.key, |cell, now| {
                cell.propose(stamp, whole_millis(life), now);
                state = cell.look(now);
            });
        }
        state
    }

    fn tell(&self, tag: &TagKey) {
        let listeners = self.listeners.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        listeners.iter().for_each(|listener| listener.changed(tag.as_str().as_bytes()));
    }

    /// A tag that makes room for others.
    #[cfg(test)]
    pub(super) fn evict(&self, tag: &TagKey) {
        self.tags.invalidate(tag.as_str());
    }

    /// Changes a tag in one atomic step.
    fn change(&self, tag: &TagKey, change: impl FnOnce(&mut Cell, u64)) {
        // Not `invalidate`, also to remove one: that does not wait for a change of the same tag that
        // is under way.
        self.tags.entry_by_ref(tag.as_str()).and_compute_with(|there| {
            let before = there.map(moka::Entry::into_value).unwrap_or_default();
            let mut cell = before.clone();
            change(&mut cell, self.now());
            match cell.until() {
                None => Op::Remove,
                Some(_) if cell == before => Op::Nop,
                Some(_) => Op::Put(cell),
            }
        });
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("entries", &self.entries.entry_count())
            .field("bytes", &self.entries.weighted_size())
            .field("tags", &self.tags.entry_count())
            .finish()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn read(&self, entries: &[EntryKey], tags: &[TagProbe]) -> Result<Found, StoreError> {
        // The entries first: a purge in between makes a tag absent, and so the entry invalid. The
        // other way round, an entry stored in between carries other stamps, and is invalid too.
        let entries = entries
            .iter()
            .map(|key| self.entries.get(key.as_str()).filter(Kept::is_alive).map(|kept| kept.value))
            .collect();
        let tags = tags.iter().map(|probe| self.tag(probe)).collect();
        Ok(Found { entries, tags, incarnation: 0 })
    }

    async fn write(&self, entries: &[EntryWrite], keep: &[(TagKey, Duration)]) -> Result<(), StoreError> {
        for EntryWrite { key, bytes, ttl } in entries {
            self.entries.insert(key.as_str().to_owned(), Kept::new(bytes.clone(), *ttl));
        }
        for (tag, life) in keep {
            // A tag that is gone stays gone, and its stamp never changes.
            self.change(tag, |cell, now| cell.extend(whole_millis(*life), now));
        }
        Ok(())
    }

    async fn arm(&self, arm: &Arm) -> Result<usize, StoreError> {
        let (life, mut stood) = (whole_millis(arm.life), 0);
        for (tag, unless) in &arm.tags {
            self.change(tag, |cell, now| stood += usize::from(cell.arm(arm.writer, *unless, life, now)));
            self.tell(tag);
        }
        Ok(stood)
    }

    async fn release(&self, release: &Release) -> Result<usize, StoreError> {
        let settle = if release.settle.is_zero() { 0 } else { whole_millis(release.settle) };
        let mut stood = 0;
        for (tag, fate) in &release.tags {
            self.change(tag, |cell, now| {
                stood += usize::from(cell.release(release.writer, *fate, settle, now));
            });
            self.tell(tag);
        }
        for entry in &release.entries {
            self.entries.invalidate(entry.as_str());
        }
        for EntryWrite { key, bytes, ttl } in &release.store {
            self.entries.insert(key.as_str().to_owned(), Kept::new(bytes.clone(), *ttl));
        }
        Ok(stood)
    }

    async fn delete(&self, entries: &[EntryKey]) -> Result<u64, StoreError> {
        let gone = |key: &&EntryKey| {
            let entry = self.entries.remove(key.as_str()).is_some_and(|kept| kept.is_alive());
            entry | self.limits.forget(key.as_str())
        };
        Ok(entries.iter().filter(gone).count() as u64)
    }

    async fn scan(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let alive =
            |key: Arc<String>, alive: bool| (alive && key.starts_with(prefix)).then(|| key.as_ref().clone());
        let entries = self.entries.iter().filter_map(|(key, kept)| alive(key, kept.is_alive()));
        let now = self.now();
        let tags = self.tags.iter().filter_map(|(key, cell)| alive(key, cell.look(now) != TagState::Absent));
        let limits = self.limits.keys().filter(|key| key.starts_with(prefix));
        Ok(entries.chain(tags).chain(limits).take(limit).collect())
    }

    async fn lease(&self, key: &EntryKey, ttl: Duration) -> Result<bool, StoreError> {
        let taken = self.entries.entry_by_ref(key.as_str()).and_compute_with(|there| match there {
            Some(there) if there.value().is_alive() => Op::Nop,
            _ => Op::Put(Kept::new(Bytes::new(), ttl)),
        });
        Ok(!matches!(taken, CompResult::Unchanged(_)))
    }

    async fn rate(&self, ask: &RateAsk) -> Result<RateAnswer, StoreError> {
        Ok(self.limits.step(ask))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn server(&self) -> Result<ServerFacts, StoreError> {
        Ok(ServerFacts {
            memory_bytes: Some(self.entries.weighted_size()),
            memory_limit: self.entries.policy().max_capacity(),
            ..ServerFacts::default()
        })
    }

    async fn watch(&self, watch: &Watch, listener: Arc<dyn TagListener>) -> StoreError {
        let _listening = Listening::new(self, listener.clone());
        loop {
            // Whoever changes a tag has told of it before his call returns.
            listener.complete_until(Instant::now());
            tokio::time::sleep(watch.pace).await;
        }
    }

    fn outlives_the_process(&self) -> bool {
        false
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}
