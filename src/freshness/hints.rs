//! What this process remembers to save round trips. Never a reason to trust anything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use crate::store::{EntryKey, Stamp, TagKey};

/// Bits for tags that were seen with a stamp, by hash; one mebibyte. Of a hundred thousand tags one in a
/// hundred is taken for another.
const BITS: usize = 1 << 23;
/// With so many bits set they say little: they begin anew, at the cost of a proposal for each tag.
const FULL: usize = BITS / 8;
/// Keys whose further tags are remembered.
const REMEMBERED: usize = 8192;

/// Four memories: which tags were last seen carrying a stamp, which further tags an entry named, the
/// stamps of those, and how long stamps live.
///
/// A read proposes stamps for tags that are not known to carry one, in the same round trip as its
/// MGET; so a miss costs two round trips, and a hit does not pay for proposals. A wrong guess costs
/// a proposal that changes nothing, or one more round trip.
#[derive(Debug)]
pub(crate) struct Hints {
    stamped: Box<[AtomicU64]>,
    set: AtomicUsize,
    hasher: quick_cache::DefaultHashBuilder,
    more: quick_cache::sync::Cache<EntryKey, Arc<[TagKey]>>,
    /// Stamps of tags that contents name, and when each had been read.
    content: quick_cache::sync::Cache<TagKey, (Stamp, Instant)>,
    /// Until when a stamp lives at least, by what this process asked for.
    lives: quick_cache::sync::Cache<TagKey, (Stamp, Instant)>,
}

impl Hints {
    pub(crate) fn new() -> Self {
        Self {
            stamped: (0..BITS / 64).map(|_| AtomicU64::new(0)).collect(),
            set: AtomicUsize::new(0),
            hasher: quick_cache::DefaultHashBuilder::default(),
            more: quick_cache::sync::Cache::new(REMEMBERED),
            content: quick_cache::sync::Cache::new(REMEMBERED),
            lives: quick_cache::sync::Cache::new(REMEMBERED),
        }
    }

    pub(crate) fn is_stamped(&self, tag: &TagKey) -> bool {
        let (word, bit) = self.place(tag);
        self.stamped[word].load(Ordering::Relaxed) & bit != 0
    }

    pub(crate) fn saw_stamp(&self, tag: &TagKey) {
        let (word, bit) = self.place(tag);
        if self.stamped[word].fetch_or(bit, Ordering::Relaxed) & bit == 0
            && self.set.fetch_add(1, Ordering::Relaxed) + 1 == FULL
        {
            self.stamped.iter().for_each(|word| word.store(0, Ordering::Relaxed));
            self.set.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn saw_no_stamp(&self, tag: &TagKey) {
        let (word, bit) = self.place(tag);
        if self.stamped[word].fetch_and(!bit, Ordering::Relaxed) & bit != 0 {
            // Never below zero, though a beginning anew may have come in between.
            let one_less = |set: usize| set.checked_sub(1);
            let _ = self.set.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        }
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

    /// To be called once the stamp was read: the time that counts is no earlier than that. One that is
    /// seen again has stood all the time: whoever began to load in between still knows it.
    pub(crate) fn saw_content_stamp(&self, tag: &TagKey, stamp: Stamp) {
        if self.content.get(tag).is_some_and(|(known, _)| known == stamp) {
            return;
        }
        self.content.insert(tag.clone(), (stamp, Instant::now()));
    }

    /// Is the stamp not known to live until `needed`? Then it is taken to live until `extended` from now
    /// on.
    pub(crate) fn must_extend(&self, tag: &TagKey, stamp: Stamp, needed: Instant, extended: Instant) -> bool {
        let lives = |(known, until): (Stamp, Instant)| known == stamp && until >= needed;
        if self.lives.get(tag).is_some_and(lives) {
            return false;
        }
        self.lives.insert(tag.clone(), (stamp, extended));
        true
    }

    fn place(&self, tag: &TagKey) -> (usize, u64) {
        let bit = (self.hasher.hash_one(tag) % BITS as u64) as usize;
        (bit / 64, 1 << (bit % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_that_another_reader_sees_too_is_still_known_to_a_load_that_began_before() {
        let (hints, tag, stamp) = (Hints::new(), TagKey::from_full("ns:u:x"), Stamp::fresh());
        hints.saw_content_stamp(&tag, stamp);
        let began = Instant::now();
        while Instant::now() == began {}
        hints.saw_content_stamp(&tag, stamp);
        assert_eq!(hints.content_stamp(&tag, began), Some(stamp));
        hints.saw_content_stamp(&tag, Stamp::fresh());
        assert_eq!(hints.content_stamp(&tag, began), None, "what the load read may be older");
    }
}
