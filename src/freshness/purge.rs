//! What a write made wrong, and the queue of purges that the store has not taken yet: a background
//! task delivers them and does not give up.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::Notify};

use super::Freshness;
use crate::store::{EntryKey, Release, Store, TagKey};

/// First and longest pause between attempts to deliver.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a statement or a transaction made wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PurgeSet {
    /// Tags to make absent. This is the purge.
    pub(crate) tags: BTreeSet<TagKey>,
    /// Entries that can be named: dropped to give the memory back.
    pub(crate) entries: BTreeSet<EntryKey>,
    /// Tags to make absent too, unless their stamp carries this label. Then the entries that depend
    /// on them also depend on tags that the writer can name, and has named where it had to.
    ///
    /// Whether it does is decided by the store *after* the commit. A stamp of another label that is
    /// put down later is put down before a load that sees what was committed.
    pub(crate) unless: BTreeMap<TagKey, u64>,
}

impl PurgeSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.entries.is_empty() && self.unless.is_empty()
    }

    pub(crate) fn merge(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
        } else {
            self.tags.extend(other.tags);
            self.entries.extend(other.entries);
            for (tag, label) in other.unless {
                if *self.unless.entry(tag.clone()).or_insert(label) != label {
                    self.tags.insert(tag);
                }
            }
        }
        let Self { tags, unless, .. } = self;
        unless.retain(|tag, _| !tags.contains(tag));
    }

    /// Makes all tags absent, whatever they carry: for a purge that comes late, when what the
    /// labels say may have changed more than once.
    fn unconditionally(mut self) -> Self {
        self.tags.extend(std::mem::take(&mut self.unless).into_keys());
        self
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Purges that have not been delivered. While one is in here, this process treats its tags as if a
/// writer's barrier stood on them.
#[derive(Debug)]
pub(crate) struct PurgeQueue {
    // A std lock: held for set operations, never across an await.
    state: Mutex<Undelivered>,
    /// Is anything in there? Lets every read pass at the cost of one load.
    any: AtomicBool,
    /// Tickets that are neither delivered nor queued: writes under way.
    pub(super) tickets: AtomicUsize,
    /// Wakes whoever waits for the queue to be empty and for writes to be over.
    pub(super) empty: Notify,
    /// More tags than this become one: everything in the namespace.
    bound: usize,
    everything: TagKey,
    /// How many purges were not delivered at the first attempt.
    pub(crate) delayed: AtomicU64,
    /// Writes that went on without a barrier, because the store did not take it.
    pub(crate) unguarded: AtomicU64,
    /// Barriers that were gone while their write was under way.
    pub(crate) lapsed: AtomicU64,
}

#[derive(Debug, Default)]
struct Undelivered {
    waiting: PurgeSet,
    /// What the background task is delivering now.
    under_way: PurgeSet,
    running: bool,
}

impl PurgeQueue {
    pub(crate) fn new(bound: usize, everything: TagKey) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            any: AtomicBool::new(false),
            tickets: AtomicUsize::new(0),
            empty: Notify::new(),
            bound,
            everything,
            delayed: AtomicU64::new(0),
            unguarded: AtomicU64::new(0),
            lapsed: AtomicU64::new(0),
        })
    }

    /// Must a read of these tags go to the database?
    pub(crate) fn holds_back<'a>(&self, mut tags: impl Iterator<Item = &'a TagKey>) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let state = self.lock();
        tags.any(|tag| state.waiting.tags.contains(tag) || state.under_way.tags.contains(tag))
    }

    /// How many tags wait.
    pub(crate) fn depth(&self) -> usize {
        let state = self.lock();
        state.waiting.tags.len() + state.under_way.tags.len()
    }

    fn lock(&self) -> MutexGuard<'_, Undelivered> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes a purge over and makes sure that somebody delivers it.
    pub(super) fn push(self: &Arc<Self>, set: PurgeSet, freshness: &Freshness) {
        self.delayed.fetch_add(1, Ordering::Relaxed);
        let start = {
            let mut state = self.lock();
            state.waiting.merge(set.unconditionally());
            self.bound(&mut state.waiting);
            self.any.store(true, Ordering::Release);
            !std::mem::replace(&mut state.running, true)
        };
        if start {
            // The runtime that the cache was built on may have ended; whoever writes runs on one.
            let runtime = Handle::try_current().unwrap_or_else(|_| freshness.runtime.clone());
            let delivery = Delivery { queue: self.clone(), settle: freshness.writing.settle };
            runtime.spawn(delivery.run(freshness.store.clone()));
        }
    }

    /// case C12: memory is bounded; the namespace's tag stands for everything.
    fn bound(&self, set: &mut PurgeSet) {
        if set.tags.len() > self.bound || set.entries.len() > self.bound {
            tracing::warn!(bound = self.bound, "too many undelivered purges: purging the whole namespace");
            set.clear();
            set.tags.insert(self.everything.clone());
        }
    }

    /// The next set to deliver: what is under way still, and what has come since.
    fn next(&self) -> Option<PurgeSet> {
        let mut state = self.lock();
        let waiting = std::mem::take(&mut state.waiting);
        state.under_way.merge(waiting);
        self.bound(&mut state.under_way);
        if state.under_way.is_empty() {
            state.running = false;
            self.any.store(false, Ordering::Release);
            return None;
        }
        Some(state.under_way.clone())
    }

    /// Waits until no write is under way and everything was delivered, at most for `patience`. True
    /// if that came about.
    pub(crate) async fn drained(&self, patience: Duration) -> bool {
        let wait = async {
            loop {
                let mut notified = std::pin::pin!(self.empty.notified());
                // From here on a notification is not missed.
                notified.as_mut().enable();
                if !self.any.load(Ordering::Acquire) && self.tickets.load(Ordering::Acquire) == 0 {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout(patience, wait).await.is_ok()
    }
}

/// The background task that delivers. However it ends, another can be started.
struct Delivery {
    queue: Arc<PurgeQueue>,
    settle: Duration,
}

impl Delivery {
    async fn run(self, store: Arc<dyn Store>) {
        let mut pause = FIRST_PAUSE;
        while let Some(set) = self.queue.next() {
            let tags: Vec<_> = set.tags.into_iter().collect();
            let entries: Vec<_> = set.entries.into_iter().collect();
            match store.release(&Release { settle: self.settle, ..Release::purging(&tags, &entries) }).await {
                Ok(_) => {
                    tracing::info!(tags = tags.len(), "a delayed purge was delivered");
                    pause = FIRST_PAUSE;
                    self.queue.lock().under_way.clear();
                }
                Err(error) => {
                    tracing::warn!(%error, tags = tags.len(), "a purge could not be delivered; trying again");
                    // Never at once, also if the store says that it is there: it may be there and
                    // refuse. Then whichever comes first, that it is back or that it is time.
                    tokio::time::sleep(pause / 2).await;
                    let _ = tokio::time::timeout(pause / 2, store.recovered()).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        self.queue.empty.notify_waiters();
    }
}

impl Drop for Delivery {
    /// Only matters if the task ended before its work did: its runtime was shut down, or the store
    /// panicked. The next purge starts another.
    fn drop(&mut self) {
        self.queue.lock().running = false;
    }
}
