//! One answer in memory.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::Near;
use crate::{
    freshness::PayloadKind,
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
    pub(crate) kind: PayloadKind,
    pub(crate) payload: Bytes,
}

/// An answer in memory, and what it takes to serve it.
pub(crate) struct Held {
    value: Box<dyn Any + Send + Sync>,
    pub(super) weight: u64,
    pub(crate) depends: Box<[(TagKey, Stamp)]>,
    pub(crate) incarnation: u64,
    pub(super) slots: Box<[u32]>,
    moment: AtomicU64,
    /// The store has been asked, and the stamps do not stand.
    refuted: AtomicBool,
    pub(super) until: Instant,
    /// How often the schema may have changed before the question was put.
    pub(crate) schema: u64,
    pub(crate) counters: Arc<TableCounters>,
}

impl Held {
    pub(crate) fn new(
        near: &Near,
        value: Box<dyn Any + Send + Sync>,
        backing: Backing,
        schema: u64,
        counters: Arc<TableCounters>,
    ) -> Self {
        let payload_bytes = backing.payload.len();
        let Backing { depends, incarnation, moment, life, .. } = backing;
        Self {
            value,
            // Decoded it is larger than packed: the columns have their full width.
            weight: 2 * payload_bytes as u64
                + depends.iter().map(|(tag, _)| tag.as_str().len() as u64).sum::<u64>(),
            slots: near.slots(depends.iter().map(|(tag, _)| tag)),
            depends: depends.into(),
            incarnation,
            moment: AtomicU64::new(moment),
            refuted: AtomicBool::new(false),
            until: Instant::now() + life,
            schema,
            counters,
        }
    }

    /// The answer, if it is one of this kind.
    pub(crate) fn value<T: 'static>(&self) -> Option<&T> {
        self.value.downcast_ref()
    }

    pub(super) fn moment(&self) -> u64 {
        self.moment.load(Ordering::Acquire)
    }

    /// Its stamps stood when the store was asked, which was after `moment`.
    pub(crate) fn proven(&self, moment: u64) {
        self.moment.fetch_max(moment, Ordering::AcqRel);
    }

    /// Its stamps do not stand. They never will again.
    pub(crate) fn refute(&self) {
        self.refuted.store(true, Ordering::Release);
    }

    pub(super) fn is_refuted(&self) -> bool {
        self.refuted.load(Ordering::Acquire)
    }
}
