//! What this process remembers to save round trips. Never a reason to trust anything.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use crate::store::{EntryKey, Stamp, TagKey};

/// Slots of the table of tags seen with a stamp; 64 KiB.
const SLOTS: usize = 1 << 14;
/// Keys whose further tags are remembered.
const REMEMBERED: usize = 8192;

/// Three memories: which tags were last seen carrying a stamp, which further tags an entry named,
/// and the stamps of those.
///
/// A read proposes stamps for tags that are not known to carry one, in the same round trip as its
/// MGET; so a miss costs two round trips, and a hit does not pay for proposals. A wrong guess costs
/// a proposal that changes nothing, or one more round trip.
#[derive(Debug)]
pub(crate) struct Hints {
    /// Direct-mapped: the slot of a tag's hash holds the hash's other half. Collisions forget.
    stamped: Box<[AtomicU32]>,
    hasher: RandomState,
    more: quick_cache::sync::Cache<EntryKey, Arc<[TagKey]>>,
    /// Stamps of tags that contents name, and when each had been read.
    content: quick_cache::sync::Cache<TagKey, (Stamp, Instant)>,
}

impl Hints {
    pub(crate) fn new() -> Self {
        Self {
            stamped: (0..SLOTS).map(|_| AtomicU32::new(0)).collect(),
            hasher: RandomState::new(),
            more: quick_cache::sync::Cache::new(REMEMBERED),
            content: quick_cache::sync::Cache::new(REMEMBERED),
        }
    }

    pub(crate) fn is_stamped(&self, tag: &TagKey) -> bool {
        let (slot, mark) = self.place(tag);
        self.stamped[slot].load(Ordering::Relaxed) == mark
    }

    pub(crate) fn saw_stamp(&self, tag: &TagKey) {
        let (slot, mark) = self.place(tag);
        self.stamped[slot].store(mark, Ordering::Relaxed);
    }

    pub(crate) fn saw_no_stamp(&self, tag: &TagKey) {
        let (slot, mark) = self.place(tag);
        let _ = self.stamped[slot].compare_exchange(mark, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Further tags that the entry named when it was last seen.
    pub(crate) fn more(&self, key: &EntryKey) -> Option<Arc<[TagKey]>> {
        if self.more.is_empty() { None } else { self.more.get(key) }
    }

    pub(crate) fn saw_more(&self, key: &EntryKey, tags: Arc<[TagKey]>) {
        if tags.is_empty() {
            if !self.more.is_empty() {
                self.more.remove(key);
            }
        } else {
            self.more.insert(key.clone(), tags);
        }
    }

    /// The stamp of a tag as it was seen before `load_began`. A stamp seen earlier is as good as
    /// one taken just before the load: if the tag was purged since, it is dead. One seen later is
    /// not, since what the load read may be older.
    pub(crate) fn content_stamp(&self, tag: &TagKey, load_began: Instant) -> Option<Stamp> {
        self.content.get(tag).filter(|(_, seen)| *seen <= load_began).map(|(stamp, _)| stamp)
    }

    /// To be called once the stamp was read: the time that counts is no earlier than that.
    pub(crate) fn saw_content_stamp(&self, tag: &TagKey, stamp: Stamp) {
        self.content.insert(tag.clone(), (stamp, Instant::now()));
    }

    fn place(&self, tag: &TagKey) -> (usize, u32) {
        let hash = self.hasher.hash_one(tag);
        // Never zero: zero is the empty slot.
        ((hash as usize) % SLOTS, ((hash >> 32) as u32) | 1)
    }
}
