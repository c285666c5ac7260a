//! Purges: tags made absent and row entries unlinked, at once or, if the store does not answer,
//! by a background task that does not give up.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{runtime::Handle, sync::Notify};

use super::Freshness;
use crate::store::{EntryKey, Store, StoreError, TagKey, TagState};

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
    /// Whether it does is asked *after* the commit. A stamp of another label that is put down later
    /// is put down before a load that sees what was committed.
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
    tickets: AtomicUsize,
    /// Wakes whoever waits for the queue to be empty and for writes to be over.
    empty: Notify,
    /// More tags than this become one: everything in the namespace.
    bound: usize,
    everything: TagKey,
    /// How many purges were not delivered at the first attempt.
    pub(crate) delayed: AtomicU64,
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
    fn push(self: &Arc<Self>, set: PurgeSet, store: &Arc<dyn Store>, runtime: &Handle) {
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
            let runtime = Handle::try_current().unwrap_or_else(|_| runtime.clone());
            runtime.spawn(Delivery { queue: self.clone() }.run(store.clone()));
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
}

impl Delivery {
    async fn run(self, store: Arc<dyn Store>) {
        let mut pause = FIRST_PAUSE;
        while let Some(set) = self.queue.next() {
            let tags: Vec<_> = set.tags.into_iter().collect();
            let entries: Vec<_> = set.entries.into_iter().collect();
            match store.purge(&tags, &entries, &[]).await {
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

impl Freshness {
    /// The duty to purge: taken before a write is sent, so that the purge happens even if whoever
    /// writes goes away.
    pub(crate) fn ticket(self: &Arc<Self>, set: PurgeSet) -> PurgeTicket {
        self.queue.tickets.fetch_add(1, Ordering::AcqRel);
        PurgeTicket { freshness: self.clone(), set: Some(set) }
    }

    /// Purges now: a ticket taken and delivered.
    pub(crate) async fn purge(self: &Arc<Self>, set: PurgeSet) {
        self.ticket(set).deliver().await;
    }

    /// Waits until no purge is queued. True if that came about in time.
    pub(crate) async fn drained(&self, patience: Duration) -> bool {
        self.queue.drained(patience).await
    }

    /// Tags that wait to be purged.
    pub(crate) fn undelivered(&self) -> usize {
        self.queue.depth()
    }

    /// Purges that were not delivered at the first attempt.
    pub(crate) fn delayed_purges(&self) -> u64 {
        self.queue.delayed.load(Ordering::Relaxed)
    }
}

/// A purge that has not been confirmed: dropped, it goes to the queue.
#[must_use = "a ticket that is dropped purges in the background"]
pub(crate) struct PurgeTicket {
    freshness: Arc<Freshness>,
    set: Option<PurgeSet>,
}

impl PurgeTicket {
    /// Makes the tags absent. Returns once the store has confirmed it or, if it does not answer in
    /// its time, once the purge is queued and its tags are bypassed here. Never an error: the
    /// write that it follows is durable.
    ///
    /// Cancel safe: a dropped future leaves the purge to the background task. One round trip; two
    /// if a tag was to be spared and cannot be.
    pub(crate) async fn deliver(mut self) {
        let Some(set) = &self.set else { return };
        if set.is_empty() {
            self.set = None;
            return;
        }
        for tag in &set.tags {
            self.freshness.hints.saw_no_stamp(tag);
        }
        let tags: Vec<_> = set.tags.iter().cloned().collect();
        let entries: Vec<_> = set.entries.iter().cloned().collect();
        let watched: Vec<_> = set.unless.keys().cloned().collect();
        let result = match self.freshness.store.purge(&tags, &entries, &watched).await {
            Ok(found) => self.purge_unspared(&found).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => {
                tracing::debug!(tags = tags.len(), entries = entries.len(), "purged");
                self.set = None;
            }
            Err(error) => {
                tracing::warn!(%error, tags = tags.len(), "a purge could not be delivered at once; queued");
            }
        }
    }

    /// The second half: tags that were to be spared, and that do not carry the label for it.
    async fn purge_unspared(&mut self, found: &[TagState]) -> Result<(), StoreError> {
        let Some(set) = &self.set else { return Ok(()) };
        let spared = |label: u64, state: Option<&TagState>| match state {
            Some(TagState::Absent) => true,
            Some(TagState::Stamp(stamp)) => stamp.label() == label,
            Some(TagState::Barrier) | None => false,
        };
        let unspared = set.unless.iter().enumerate();
        let unspared = unspared.filter(|(position, (_, label))| !spared(**label, found.get(*position)));
        let tags: BTreeSet<_> = unspared.map(|(_, (tag, _))| tag.clone()).collect();
        if tags.is_empty() {
            return Ok(());
        }
        let list: Vec<_> = tags.iter().cloned().collect();
        // Should this future be dropped now, these are what is left to do.
        self.set = Some(PurgeSet { tags, ..PurgeSet::default() });
        self.freshness.store.purge(&list, &[], &[]).await.map(drop)
    }

    /// Puts a narrower set in the place of what was owed, once it is known.
    pub(crate) fn narrow(&mut self, set: PurgeSet) {
        self.set = Some(set);
    }
}

impl Drop for PurgeTicket {
    fn drop(&mut self) {
        if let Some(set) = self.set.take().filter(|set| !set.is_empty()) {
            let Freshness { queue, store, runtime, .. } = &*self.freshness;
            queue.push(set, store, runtime);
        }
        if self.freshness.queue.tickets.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.freshness.queue.empty.notify_waiters();
        }
    }
}

/// A future that is finished whatever happens to whoever waits for it: if it is dropped half-way,
/// a background task takes it over. A write that was sent and its purge belong together.
pub(crate) struct Finishing<T: Send + 'static> {
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    runtime: Handle,
}

impl<T: Send + 'static> Finishing<T> {
    pub(crate) fn new(runtime: &Handle, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { work: Some(Box::pin(work)), runtime: runtime.clone() }
    }
}

impl<T: Send + 'static> Future for Finishing<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out while it is polled: a future that panics must not be polled again by `drop`.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let done = work.as_mut().poll(cx);
        if done.is_pending() {
            self.work = Some(work);
        }
        done
    }
}

impl<T: Send + 'static> Drop for Finishing<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.runtime.spawn(async move {
                let _ = work.await;
            });
        }
    }
}
