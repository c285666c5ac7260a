//! The duty to purge: taken before a write is sent, armed before it can be seen, delivered after.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::future::{Either, join, select};
use tokio::runtime::Handle;

use super::{
    Checks, Freshness, PurgeQueue, PurgeSet,
    write_through::{NewRow, Offer},
};
use crate::{
    config::{Consistency, OnOutage},
    store::{Arm, EntryKey, Fate, Release, StoreError, TagKey, WriterId},
    watched::{self, Refusal},
};

/// A store that is too slow for a barrier so many times in a row is as good as away.
const TRIES: usize = 3;

/// How writes are guarded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing {
    pub(crate) consistency: Consistency,
    pub(crate) on_outage: OnOutage,
    /// How long a barrier stands whose writer is not heard of any more.
    pub(crate) barrier_life: Duration,
    /// How long a purged tag stays a barrier.
    pub(crate) settle: Duration,
}

impl Freshness {
    /// The duty to purge: taken before a write is sent, so that the purge happens even if whoever
    /// writes goes away.
    pub(crate) fn ticket(self: &Arc<Self>, set: PurgeSet) -> PurgeTicket {
        watched::refuse(Refusal::Wrote);
        self.queue.tickets.fetch_add(1, Ordering::AcqRel);
        PurgeTicket {
            freshness: self.clone(),
            writer: WriterId::fresh(),
            set: Some(set),
            marks: None,
            unguarded: false,
            in_doubt: false,
            sent: 0,
            offers: Vec::new(),
            committed: false,
            by_hand: false,
        }
    }

    /// Do writers leave barriers?
    pub(crate) fn leaves_barriers(&self) -> bool {
        self.writing.consistency == Consistency::Strict
    }

    /// What depends on these tags and is in this process's memory is not served on trust any more.
    fn put_in_doubt<'a>(&self, tags: impl Iterator<Item = &'a TagKey>) {
        if let Some(near) = &self.near {
            near.changed(tags);
        }
    }

    /// Purges now, because somebody asked for it: a ticket taken and delivered.
    pub(crate) async fn invalidate(self: &Arc<Self>, set: PurgeSet) {
        let mut ticket = self.ticket(set);
        ticket.by_hand = true;
        ticket.deliver().await;
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

    /// Writes that went on without a barrier, and barriers that were gone too early.
    pub(crate) fn weak_guards(&self) -> (u64, u64) {
        let PurgeQueue { unguarded, lapsed, .. } = &*self.queue;
        (unguarded.load(Ordering::Relaxed), lapsed.load(Ordering::Relaxed))
    }

    /// Sets to zero what is counted here.
    pub(crate) fn reset_counts(&self) {
        self.traffic.reset();
        let PurgeQueue { delayed, unguarded, lapsed, .. } = &*self.queue;
        let Checks { turn: _, verified, overtaken, stale } = &self.checks;
        let counters = [delayed, unguarded, lapsed, verified, overtaken, stale];
        for counter in counters.into_iter().chain(self.refreshes.counts()) {
            counter.store(0, Ordering::Relaxed);
        }
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
    writer: WriterId,
    set: Option<PurgeSet>,
    /// What was armed, if anything was.
    marks: Option<Marks>,
    /// The write goes on without a barrier.
    unguarded: bool,
    /// The write may take effect later than its purge.
    in_doubt: bool,
    /// How often marks were sent.
    sent: u32,
    /// What is stored with the purge, if the write was committed.
    offers: Vec<Offer>,
    committed: bool,
    /// Somebody asked for it; no write made it due.
    by_hand: bool,
}

/// The marks that a writer left.
struct Marks {
    /// As they were sent; tags in order, each once.
    arm: Arm,
    /// Their life began no earlier.
    since: Instant,
}

impl PurgeTicket {
    /// Leaves the writer's mark on everything that it may make wrong: from now on, until the purge or
    /// the end of the marks' life, nobody serves or stores any of it. One round trip; none without
    /// [`Consistency::Strict`].
    ///
    /// Returns with at least half of the marks' life ahead, however long the store took.
    ///
    /// # Errors
    /// The store did not take them, and [`OnOutage::RefuseWrites`] was chosen: the write must not go
    /// on. Nothing is purged then. Otherwise the write goes on without a barrier, which is counted.
    pub(crate) async fn arm(&mut self) -> Result<(), StoreError> {
        let Some(set) = self.set.as_ref().filter(|set| !set.is_empty()) else { return Ok(()) };
        let writing = self.freshness.writing;
        let result = match writing.consistency {
            Consistency::Strict => {
                let before = self.marks.take().map(|marks| marks.arm.tags).unwrap_or_default();
                let tags = all_marked(before, set);
                self.leave_marks(tags).await
            }
            Consistency::AfterCommit if writing.on_outage == OnOutage::RefuseWrites => {
                self.freshness.store.ping().await
            }
            Consistency::AfterCommit => Ok(()),
        };
        let Err(error) = result else { return Ok(()) };
        match writing.on_outage {
            OnOutage::AllowWrites => {
                self.freshness.queue.unguarded.fetch_add(1, Ordering::Relaxed);
                self.unguarded = true;
                tracing::warn!(%error, "a write goes on without a barrier: the cache store did not take it");
                Ok(())
            }
            OnOutage::RefuseWrites => {
                // A mark that was left all the same ends with its life.
                self.set = None;
                Err(error)
            }
        }
    }

    async fn leave_marks(&mut self, tags: Vec<(TagKey, u64)>) -> Result<(), StoreError> {
        let freshness = self.freshness.clone();
        for (tag, _) in &tags {
            freshness.hints.saw_no_stamp(tag);
        }
        // Before it is sent, and again once it stands: who asked in between may keep what was there.
        let armed = |arm: &Arm| {
            freshness.put_in_doubt(arm.tags.iter().filter(|(_, label)| *label == 0).map(|(tag, _)| tag));
        };
        let life = freshness.writing.barrier_life;
        let arm = Arm { writer: self.writer, tags, life };
        armed(&arm);
        // Before it is sent: should this future be dropped or fail, the marks may be there.
        let marks = self.marks.insert(Marks { arm, since: Instant::now() });
        for _ in 0..TRIES {
            self.sent += 1;
            marks.since = Instant::now();
            freshness.store.arm(&marks.arm).await?;
            if marks.since.elapsed() < life / 2 {
                armed(&marks.arm);
                return Ok(());
            }
            // Frozen, or kept waiting: the life that is left would not do for a COMMIT.
        }
        Err(StoreError::Timeout { operation: "a barrier", after: life / 2 })
    }

    /// Like [`arm`](Self::arm); and these rows are stored with the purge, if that can be done. To be
    /// called once they are locked and before they are committed. No further round trip.
    ///
    /// # Errors
    /// As of [`arm`](Self::arm).
    pub(crate) async fn arm_with(&mut self, rows: Vec<NewRow>) -> Result<(), StoreError> {
        let set = self.set.as_ref().filter(|_| !rows.is_empty() && self.freshness.leaves_barriers());
        let Some(set) = set else { return self.arm().await };
        let offers = self.freshness.offers(rows, set);
        let (armed, offers) = join(self.arm(), offers).await;
        self.offers = offers;
        armed
    }

    /// The database has said that the write is durable.
    pub(crate) fn committed(&mut self) {
        self.committed = true;
    }

    pub(crate) fn barrier_life(&self) -> Duration {
        self.freshness.writing.barrier_life
    }

    /// Will there be a barrier?
    pub(crate) fn leaves_barriers(&self) -> bool {
        self.freshness.leaves_barriers() && self.set.as_ref().is_some_and(|set| !set.is_empty())
    }

    /// Has so much of the marks' life gone by that they have to be renewed before a COMMIT is sent?
    pub(crate) fn is_worn(&self) -> bool {
        let life = self.freshness.writing.barrier_life;
        !self.unguarded && self.marks.as_ref().is_some_and(|marks| marks.since.elapsed() >= life / 2)
    }

    /// Does something, and renews the marks as long as it takes.
    pub(crate) async fn while_armed<T>(&mut self, work: impl Future<Output = T>) -> T {
        let Some(marks) = &self.marks else { return work.await };
        let freshness = &self.freshness;
        let life = freshness.writing.barrier_life;
        let sent = &mut self.sent;
        let renew = async {
            loop {
                tokio::time::sleep(life / 3).await;
                *sent += 1;
                // A label may have kept the mark off the others.
                let armed = marks.arm.tags.iter().filter(|(_, label)| *label == 0).count();
                match freshness.store.arm(&marks.arm).await {
                    Ok(stood) if stood < armed => {
                        freshness.queue.lapsed.fetch_add(1, Ordering::Relaxed);
                        tracing::warn!("a barrier was gone while its write was under way");
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "a barrier could not be renewed"),
                }
            }
        };
        match select(pin!(work), pin!(renew)).await {
            Either::Left((done, _)) => done,
            Either::Right((never, _)) => never,
        }
    }

    /// Takes the marks away and makes the tags absent. Returns once the store has confirmed it or,
    /// if it does not answer in its time, once the purge is queued and its tags are bypassed here.
    /// Never an error: the write that it follows is durable.
    ///
    /// Cancel safe: a dropped future leaves the purge to the background task. One round trip.
    pub(crate) async fn deliver(mut self) {
        let Some(set) = &self.set else { return };
        let marked = self.marks.as_ref().map_or(&[][..], |marks| &marks.arm.tags);
        let mut fates = fates(marked, set);
        if fates.is_empty() && set.entries.is_empty() {
            self.set = None;
            return;
        }
        for tag in &set.tags {
            self.freshness.hints.saw_no_stamp(tag);
        }
        // Marks that were sent once, before the COMMIT, have stood ever since if they stand now.
        let alone = self.sent == 1 && !self.unguarded && self.freshness.writing.settle.is_zero();
        let known = self.committed && !self.in_doubt && alone;
        let offers = if known { std::mem::take(&mut self.offers) } else { Vec::new() };
        for (tag, fate) in offers.iter().filter_map(Offer::fate) {
            match fates.binary_search_by(|(there, _)| there.cmp(tag)) {
                Ok(at) => fates[at].1 = fate,
                Err(at) => fates.insert(at, (tag.clone(), fate)),
            }
        }
        let stored = |entry: &&EntryKey| offers.iter().any(|offer| offer.write.key == **entry);
        let release = Release {
            writer: self.writer,
            tags: fates,
            entries: set.entries.iter().filter(|entry| !stored(entry)).cloned().collect(),
            store: offers.iter().map(|offer| offer.write.clone()).collect(),
            settle: match self.freshness.writing {
                Writing { settle, barrier_life, .. } if self.in_doubt => settle.max(barrier_life),
                Writing { settle, .. } => settle,
            },
        };
        let traffic = &self.freshness.traffic;
        match traffic.purges.timed(self.freshness.store.release(&release)).await {
            Ok(_) => {
                tracing::debug!(tags = release.tags.len(), entries = release.entries.len(), "purged");
                traffic.purged(set, self.by_hand, false);
                traffic.stored(&release.store);
                self.freshness.put_in_doubt(set.tags.iter());
                self.set = None;
                self.freshness.outlive(offers);
            }
            Err(error) => {
                let tags = release.tags.len();
                tracing::warn!(%error, tags, "a purge could not be delivered at once; queued");
            }
        }
    }

    /// The database has not said what became of the write, and may yet execute it: what is purged stays
    /// behind a barrier for as long as one lives.
    pub(crate) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// Takes what is owed out, for who owes it only later.
    pub(crate) fn put_off(&mut self) -> PurgeSet {
        self.set.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// One tag more is owed.
    pub(crate) fn widen(&mut self, tag: TagKey) {
        self.set.get_or_insert_default().tags.insert(tag);
    }

    /// Puts a narrower set in the place of what was owed, once it is known.
    pub(crate) fn narrow(&mut self, set: PurgeSet) {
        self.set = Some(set);
    }
}

/// The tags of a set with the labels that keep a mark off, and those that were marked before: what is not
/// touched any more is released with the rest.
fn all_marked(before: Vec<(TagKey, u64)>, set: &PurgeSet) -> Vec<(TagKey, u64)> {
    let mut tags = before;
    tags.reserve_exact(set.tags.len() + set.unless.len());
    tags.extend(set.tags.iter().map(|tag| (tag.clone(), 0)));
    tags.extend(set.unless.iter().map(|(tag, label)| (tag.clone(), *label)));
    // Stable, so that of a tag's two labels the first is kept: the one that it was marked with.
    tags.sort_by(|(one, _), (other, _)| one.cmp(other));
    tags.dedup_by(|(later, _), (first, _)| later == first);
    tags
}

/// What becomes of each tag, in their order.
fn fates(marked: &[(TagKey, u64)], set: &PurgeSet) -> Vec<(TagKey, Fate)> {
    let mut fates = Vec::with_capacity(marked.len().max(set.tags.len() + set.unless.len()));
    fates.extend(set.tags.iter().map(|tag| (tag.clone(), Fate::Purge)));
    fates.extend(set.unless.iter().map(|(tag, label)| (tag.clone(), Fate::PurgeUnless(*label))));
    // Marks on what was not touched in the end.
    let touched = |tag: &TagKey| set.tags.contains(tag) || set.unless.contains_key(tag);
    let spared = marked.iter().filter(|(tag, _)| !touched(tag));
    fates.extend(spared.map(|(tag, _)| (tag.clone(), Fate::Spare)));
    fates.sort_by(|(one, _), (other, _)| one.cmp(other));
    fates.dedup_by(|(later, _), (first, _)| later == first);
    fates
}

impl Drop for PurgeTicket {
    fn drop(&mut self) {
        if let Some(set) = self.set.take().filter(|set| !set.is_empty()) {
            self.freshness.traffic.purged(&set, self.by_hand, true);
            let here: Vec<_> = self.freshness.near.iter().flat_map(|_| set.tags.iter().cloned()).collect();
            self.freshness.queue.push(set, &self.freshness);
            // After the purge is queued: what is read from now on is held back.
            self.freshness.put_in_doubt(here.iter());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(name: &str) -> TagKey {
        TagKey::from_full(name)
    }

    fn set(tags: &[&str], unless: &[(&str, u64)]) -> PurgeSet {
        PurgeSet {
            tags: tags.iter().copied().map(tag).collect(),
            unless: unless.iter().map(|(name, label)| (tag(name), *label)).collect(),
            ..PurgeSet::default()
        }
    }

    #[test]
    fn what_was_marked_and_not_touched_is_spared_and_each_tag_has_one_fate() {
        let marked = all_marked(Vec::new(), &set(&["a", "c", "d"], &[("b", 7)]));
        assert_eq!(marked, [(tag("a"), 0), (tag("b"), 7), (tag("c"), 0), (tag("d"), 0)]);
        let fates = fates(&marked, &set(&["a", "e"], &[("b", 7), ("e", 9)]));
        let expected = [
            (tag("a"), Fate::Purge),
            (tag("b"), Fate::PurgeUnless(7)),
            (tag("c"), Fate::Spare),
            (tag("d"), Fate::Spare),
            (tag("e"), Fate::Purge),
        ];
        assert_eq!(fates, expected);
    }

    #[test]
    fn what_was_marked_before_is_marked_again() {
        let marked = all_marked(vec![(tag("a"), 0), (tag("c"), 0)], &set(&["b", "c"], &[]));
        assert_eq!(marked, [(tag("a"), 0), (tag("b"), 0), (tag("c"), 0)]);
    }
}
