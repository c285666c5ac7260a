//! What has changed, and when, on a clock that counts changes.
//!
//! The clock moves with every change that is told. A tag has a place, by its hash, which holds the
//! moment of the last change of any tag that shares it. Whoever asks the store notes the moment
//! *before* asking: what he is told is as new as that, and if none of his tags' places carries a later
//! one, nothing of it has changed since. A change that is told while he waits for the answer is later
//! than his moment, whether the answer saw it or not: that costs a question, never a stale answer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use crate::clock;

/// Places; half a mebibyte. Tags that share one put each other in doubt.
const SLOTS: usize = 1 << 16;

/// What has happened since a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Some,
    /// The feed was lost since then, and may have missed something.
    Unknown,
}

pub(super) struct Generations {
    clock: AtomicU64,
    /// Before this moment the feed may have missed something.
    floor: AtomicU64,
    slots: Box<[AtomicU64]>,
    hasher: quick_cache::DefaultHashBuilder,
    /// Up to when the feed has told everything, as [`clock::now`] counts; zero: it never has.
    complete: AtomicU64,
}

impl Generations {
    pub(super) fn new() -> Self {
        Self {
            clock: AtomicU64::new(1),
            floor: AtomicU64::new(0),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: quick_cache::DefaultHashBuilder::default(),
            complete: AtomicU64::new(0),
        }
    }

    pub(super) fn moment(&self) -> u64 {
        self.clock.load(Ordering::Acquire)
    }

    pub(super) fn slot(&self, tag: &[u8]) -> u32 {
        // SLOTS is far below what fits.
        (self.hasher.hash_one(tag) % SLOTS as u64) as u32
    }

    /// A tag has changed.
    pub(super) fn changed(&self, tag: &[u8]) {
        let now = self.clock.fetch_add(1, Ordering::AcqRel) + 1;
        self.slots[self.slot(tag) as usize].fetch_max(now, Ordering::AcqRel);
    }

    /// Anything may have changed.
    pub(super) fn lost(&self) {
        self.complete.store(0, Ordering::Release);
        let now = self.clock.fetch_add(1, Ordering::AcqRel) + 1;
        self.floor.fetch_max(now, Ordering::AcqRel);
    }

    /// What had changed by then has been told.
    pub(super) fn complete_until(&self, then: Instant) {
        self.complete.store(clock::since_beginning(then).max(1), Ordering::Release);
    }

    /// For how long changes may have gone untold, in nanoseconds.
    pub(super) fn behind(&self, now: u64) -> u64 {
        match self.complete.load(Ordering::Acquire) {
            0 => u64::MAX,
            complete => now.saturating_sub(complete),
        }
    }

    /// What has happened to any of these places since `moment`; something has, since before the first.
    pub(super) fn since(&self, moment: u64, slots: &[u32]) -> Change {
        let later = |slot: &u32| self.slots[*slot as usize].load(Ordering::Acquire) > moment;
        if moment == 0 || slots.iter().any(later) {
            Change::Some
        } else if self.floor.load(Ordering::Acquire) > moment {
            Change::Unknown
        } else {
            Change::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_later_than_every_moment_before_it_and_no_later_than_those_after() {
        let generations = Generations::new();
        let slots = [generations.slot(b"ns:t:book:7")];
        let before = generations.moment();
        assert_eq!(generations.since(before, &slots), Change::None);
        generations.changed(b"ns:t:book:7");
        assert_eq!(generations.since(before, &slots), Change::Some);
        assert_eq!(generations.since(generations.moment(), &slots), Change::None);
    }

    #[test]
    fn a_feed_that_was_lost_leaves_everything_before_it_unknown() {
        let generations = Generations::new();
        let slots = [generations.slot(b"ns:t")];
        generations.complete_until(Instant::now());
        assert!(generations.behind(clock::now()) < 60_000_000_000);
        let before = generations.moment();
        generations.lost();
        assert_eq!(generations.since(before, &slots), Change::Unknown);
        assert_eq!(generations.since(generations.moment(), &slots), Change::None);
        assert_eq!(generations.behind(clock::now()), u64::MAX);
    }

    #[test]
    fn how_far_behind_it_is_counts_from_what_was_proven() {
        let generations = Generations::new();
        clock::now();
        let then = Instant::now();
        generations.complete_until(then);
        let later = clock::since_beginning(then) + 5;
        assert_eq!(generations.behind(later), 5);
        assert_eq!(Generations::new().behind(later), u64::MAX);
    }
}
