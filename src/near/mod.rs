//! The near cache: answers in this process's memory, decoded, for what is asked for most.
//!
//! What is held here is what an entry in the store is: an answer, and the stamps that it depends on. It
//! is served in one of two ways.
//!
//! - *On trust*, without asking anybody: nothing that it depends on has changed as far as the feed of
//!   changes has told, and what the feed has told is complete up to no longer ago than `max_staleness`.
//! - *On proof*: the store is asked for the stamps, and for nothing else.
//!
//! The feed never makes an answer right. It only says who need not be asked.

mod generations;
mod held;
mod key;
mod listener;

use std::{fmt, sync::Arc, time::Duration};

use quick_cache::{Weighter, sync::Cache};
use smallvec::SmallVec;
use tokio::{runtime::Handle, task::AbortHandle};

use self::{generations::Generations, listener::Listener};
pub(crate) use self::{
    held::{Backing, Held, Kept},
    key::{NearKey, Spot, Values},
};
use crate::{
    clock,
    store::{Stamp, Store, TagKey, Watch},
};

/// What an answer in memory weighs besides its payload: the map's share, and the tags.
const OVERHEAD: u64 = 320;
/// A stamp that is remembered takes about so many bytes.
const STAMP_BYTES: usize = 160;
/// However little room there is for answers: it is for those that find none that stamps are kept.
const FEWEST_STAMPS: usize = 8192;
/// Beats of the feed within `max_staleness`. More than two, so that one that is late is no reason to
/// ask the store.
const BEATS: u32 = 4;
const FASTEST_BEAT: Duration = Duration::from_millis(5);

/// May what is in memory be served?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Without asking.
    Full,
    /// If its stamps stand: nothing is known against it.
    Unproven,
    /// Something has changed that it depends on, or shares a place with it.
    Doubt,
}

/// How much is kept, and how far behind it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    pub(crate) bytes: usize,
    pub(crate) max_staleness: Duration,
}

/// The answers in memory.
pub(crate) struct Near {
    answers: Cache<NearKey, Arc<Held>, ByWeight>,
    /// Stamps as they were seen last, each with the moment on the feed's clock before it was asked for.
    stamps: Cache<TagKey, (Stamp, u64, u64)>,
    generations: Arc<Generations>,
    /// Nanoseconds.
    max_staleness: u64,
    feed: Option<AbortHandle>,
}

#[derive(Clone, Debug)]
struct ByWeight;

impl Weighter<NearKey, Arc<Held>> for ByWeight {
    fn weight(&self, key: &NearKey, held: &Arc<Held>) -> u64 {
        OVERHEAD + key.bytes() + held.weight
    }
}

impl Near {
    /// Starts to listen for changes, if answers may be served on trust.
    pub(crate) fn start(reach: Reach, store: &Arc<dyn Store>, runtime: &Handle, watch: Watch) -> Self {
        let generations = Arc::new(Generations::new());
        let feed = (!reach.max_staleness.is_zero()).then(|| {
            let pace = (reach.max_staleness / BEATS).max(FASTEST_BEAT);
            let listener = Arc::new(Listener::new(generations.clone()));
            let (store, watch) = (store.clone(), Watch { pace, ..watch });
            let feed = async move {
                let error = store.watch(&watch, listener.clone()).await;
                listener.ended();
                tracing::warn!(
                    %error,
                    "the cache store tells of no changes: what is in memory is served only after asking it \
                     for the stamps"
                );
            };
            runtime.spawn(feed).abort_handle()
        });
        let items = (reach.bytes / 512).clamp(64, 1 << 20);
        Self {
            answers: Cache::with_weighter(items, reach.bytes as u64, ByWeight),
            stamps: Cache::new((reach.bytes / (4 * STAMP_BYTES)).clamp(FEWEST_STAMPS, 1 << 20)),
            generations,
            max_staleness: u64::try_from(reach.max_staleness.as_nanos()).unwrap_or(u64::MAX),
            feed,
        }
    }

    /// The moment on the feed's clock. Taken before the store is asked; what changes after it is told
    /// to be newer than it.
    pub(crate) fn moment(&self) -> u64 {
        self.generations.moment()
    }

    /// What is in memory there, unless its time is over.
    pub(crate) fn get(&self, spot: &Spot<'_>, now: u64) -> Option<Arc<Held>> {
        self.answers.get(spot).filter(|held| now < held.until)
    }

    /// May it be served?
    pub(crate) fn trust(&self, held: &Held, now: u64) -> Trust {
        // How far the feed is complete comes first: what it told up to then is seen by what follows.
        let complete = self.is_complete(now);
        // A moment before all others, of one that is refuted, is before every change there was.
        match self.generations.since(held.moment(), &held.slots) {
            generations::Change::None if complete => Trust::Full,
            generations::Change::None | generations::Change::Unknown => Trust::Unproven,
            generations::Change::Some => Trust::Doubt,
        }
    }

    fn is_complete(&self, now: u64) -> bool {
        self.max_staleness != 0 && self.generations.behind(now) <= self.max_staleness
    }

    /// Keeps an answer, for as long as it may be served.
    pub(crate) fn insert(&self, key: NearKey, held: Held) {
        self.answers.insert(key, Arc::new(held));
    }

    pub(crate) fn remove(&self, spot: &Spot<'_>) {
        self.answers.remove(spot);
    }

    /// The places of tags among those whose changes are counted.
    fn slots<'a>(&self, tags: impl Iterator<Item = &'a TagKey>) -> SmallVec<[u32; 4]> {
        tags.map(|tag| self.generations.slot(tag.as_str().as_bytes())).collect()
    }

    /// A writer of this process is about to change what depends on these tags, or has done so.
    pub(crate) fn changed<'a>(&self, tags: impl Iterator<Item = &'a TagKey>) {
        tags.for_each(|tag| self.generations.changed(tag.as_str().as_bytes()));
    }

    /// Nothing of what is here is served from now on.
    pub(crate) fn clear(&self) {
        self.answers.clear();
    }

    /// A stamp was read; `moment` is from before it was asked for.
    pub(crate) fn saw_stamp(&self, tag: &TagKey, stamp: Stamp, incarnation: u64, moment: u64) {
        // Nothing has changed since it was seen the first time, which is then as good.
        let known = |(there, life, since): (Stamp, u64, u64)| {
            let slot = self.generations.slot(tag.as_str().as_bytes());
            there == stamp
                && life == incarnation
                && self.generations.since(since, &[slot]) == generations::Change::None
        };
        if self.max_staleness != 0 && !self.stamps.get(tag).is_some_and(known) {
            self.stamps.insert(tag.clone(), (stamp, incarnation, moment));
        }
    }

    /// The stamps of these tags, if all are known well enough to be served by; with the life of the
    /// store that they are from, and a moment at which all of them stood as far as had been told.
    pub(crate) fn stamps<'a>(&self, tags: impl Iterator<Item = &'a TagKey>) -> Option<Known> {
        if !self.is_complete(clock::now()) {
            return None;
        }
        let stamps = Vec::with_capacity(tags.size_hint().0);
        let mut known = Known { stamps, incarnation: 0, moment: self.moment() };
        for tag in tags {
            let (stamp, incarnation, seen) = self.stamps.get(tag)?;
            let slot = self.generations.slot(tag.as_str().as_bytes());
            let stands = self.generations.since(seen, &[slot]) == generations::Change::None;
            if !stands || !known.stamps.is_empty() && known.incarnation != incarnation {
                return None;
            }
            known.incarnation = incarnation;
            known.stamps.push(stamp);
        }
        Some(known)
    }

    /// How many answers are here, and about how many bytes they take.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.answers.len() as u64, self.answers.weight())
    }
}

/// Stamps that are known without asking.
pub(crate) struct Known {
    pub(crate) stamps: Vec<Stamp>,
    pub(crate) incarnation: u64,
    pub(crate) moment: u64,
}

impl Drop for Near {
    fn drop(&mut self) {
        if let Some(feed) = &self.feed {
            feed.abort();
        }
    }
}

impl fmt::Debug for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answers, bytes) = self.size();
        f.debug_struct("Near").field("answers", &answers).field("bytes", &bytes).finish_non_exhaustive()
    }
}
