//! One answer in memory.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use smallvec::SmallVec;

use super::Near;
use crate::{
    clock,
    freshness::{PayloadKind, Reach},
    observe::TableCounters,
    store::{Stamp, TagKey},
};

/// What makes an answer right: the stamps that it depends on, as the store had them.
#[derive(Debug)]
pub(crate) struct Backing {
    pub(crate) depends: Vec<(TagKey, Stamp)>,
    /// The life of the store that they are from.
    pub(crate) incarnation: u64,
    /// On the feed's clock, from before the store was asked for them.
    pub(crate) moment: u64,
    /// How long the answer may be kept.
    pub(crate) life: Duration,
    /// How far from the end of that it is loaded anew.
    pub(crate) reach: Reach,
    pub(crate) kind: PayloadKind,
    pub(crate) payload: Bytes,
}

/// What is kept of an answer; nothing of one that says that there is nothing.
pub(crate) type Kept = Option<Arc<dyn Any + Send + Sync>>;

/// The store has been asked, and the stamps do not stand. They never will again.
const REFUTED: u64 = 0;

/// An answer in memory, and what it takes to serve it. What every hit reads comes first, so that it is
/// in as few cache lines as can be.
#[repr(C)]
pub(crate) struct Held {
    moment: AtomicU64,
    /// As [`clock::now`] counts.
    pub(super) until: u64,
    /// From then on each hit draws whether it is to be loaded anew.
    draws_from: u64,
    /// How often the schema may have changed before the question was put.
    pub(crate) schema: u64,
    pub(super) slots: SmallVec<[u32; 4]>,
    value: Kept,
    pub(crate) counters: Arc<TableCounters>,
    pub(super) weight: u64,
    pub(crate) incarnation: u64,
    pub(crate) depends: Box<[(TagKey, Stamp)]>,
    reach: Reach,
}

impl Held {
    pub(crate) fn new(
        near: &Near,
        value: Kept,
        backing: Backing,
        schema: u64,
        counters: Arc<TableCounters>,
    ) -> Self {
        let Backing { depends, incarnation, moment, life, reach, payload, .. } = backing;
        let tags: u64 = depends.iter().map(|(tag, _)| tag.as_str().len() as u64).sum();
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let until = clock::now().saturating_add(nanos(life));
        Self {
            moment: AtomicU64::new(moment),
            until,
            draws_from: reach.most().map_or(u64::MAX, |most| until.saturating_sub(nanos(most))),
            schema,
            slots: near.slots(depends.iter().map(|(tag, _)| tag)),
            value,
            counters,
            // Decoded it is larger than packed: the columns have their full width.
            weight: 2 * payload.len() as u64 + tags,
            incarnation,
            depends: depends.into(),
            reach,
        }
    }

    /// Is it to be loaded anew? The lot that says so.
    pub(crate) fn draw(&self, now: u64) -> Option<f64> {
        if now < self.draws_from {
            return None;
        }
        self.reach.draw(Duration::from_nanos(self.until.saturating_sub(now)))
    }

    pub(crate) fn value(&self) -> &Kept {
        &self.value
    }

    pub(super) fn moment(&self) -> u64 {
        self.moment.load(Ordering::Acquire)
    }

    /// Its stamps stood when the store was asked, which was after `moment`.
    pub(crate) fn proven(&self, moment: u64) {
        let later = |known: u64| (known != REFUTED && known < moment).then_some(moment);
        let _ = self.moment.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
    }

    /// Its stamps do not stand.
    pub(crate) fn refute(&self) {
        self.moment.store(REFUTED, Ordering::Release);
    }
}
