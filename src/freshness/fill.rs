//! Filling: storing what was loaded, under the stamps that were taken before the load.

use std::{
    collections::HashMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;

use super::{
    Entry, Freshness, Look, Payload, PayloadKind, Question, Stamps,
    entry::since_1970,
    flight::{Landing, Leader},
    glance::{Glance, STAMP_MARGIN, only_look, proposal},
    rules,
};
use crate::{
    near::Backing,
    store::{EntryWrite, Stamp, StoreError, TagKey, TagState},
};

/// How long a landed flight can still be joined. A reader may have asked the store just before
/// the entry was there and be scheduled just after; it saw the same stamps, so what the flight
/// brought is as good for it as the entry.
pub(super) const LINGER: Duration = Duration::from_millis(250);

/// The shortest load that an entry remembers.
const SHORTEST: Duration = Duration::from_micros(1);

/// A stamp that an entry depends on, and how long it has to live for that.
pub(super) type Needed = (TagKey, Stamp, Duration);

/// Stamps taken after a load.
#[derive(Default)]
pub(super) struct LateStamps {
    tags: HashMap<TagKey, Stamp>,
    /// That of the tag which every invalidation by hand purges, read together with them.
    family: Option<Stamp>,
    incarnation: u64,
}

/// Stamps from before a load of rows whose keys were not known then.
#[derive(Debug)]
pub(crate) struct Guard {
    tags: Vec<(TagKey, Stamp)>,
    incarnation: u64,
    taken_at: Instant,
}

impl Guard {
    /// May what was loaded since be stored under `now`, which was taken after the load? Yes if no
    /// purge came in between: every write purges its table's tag, every invalidation by hand one of
    /// the others.
    pub(crate) fn admits(&self, question: &Question, now: &mut Stamps) -> bool {
        let stands = |(tag, stamp): &(TagKey, Stamp)| {
            let position = question.tags.iter().position(|there| there == tag);
            let after = position.and_then(|position| *now.asked.get(position)?);
            rules::untouched((self.incarnation, *stamp), (now.incarnation, after))
        };
        let admits = self.incarnation == now.incarnation && self.tags.iter().all(stands);
        // Stamps that are remembered count only if they are older than the load.
        now.taken_at = self.taken_at;
        admits
    }
}

impl Freshness {
    /// Lands the flight and hands the entry to the store. Starts the store's work at once, so that
    /// it is ahead of whatever this caller asks next, but does not wait for it.
    pub(super) async fn fill(
        self: &Arc<Self>,
        question: &Question,
        stamps: Stamps,
        payload: Payload,
        leader: Option<Leader>,
    ) {
        let bytes: Bytes = payload.bytes.clone().into();
        let leader =
            leader.map(|leader| leader.announce(Landing::Loaded { kind: payload.kind, payload: bytes }));
        let linger = question.ttl.min(LINGER);
        let unfinished = self.begin_fills(vec![(question.clone(), stamps, payload)]).await;
        if unfinished.is_some() || leader.is_some() {
            self.runtime.spawn(async move {
                if let Some(unfinished) = unfinished {
                    unfinished.await;
                }
                if let Some(leader) = leader {
                    tokio::time::sleep(linger).await;
                    drop(leader);
                }
            });
        }
    }

    /// Stores what was loaded for several questions at once; started at once, not waited for.
    pub(crate) async fn fill_many(self: &Arc<Self>, fills: Vec<(Question, Stamps, Payload)>) {
        if let Some(unfinished) = self.begin_fills(fills).await {
            self.runtime.spawn(unfinished);
        }
    }

    /// Starts storing entries, and returns what is left to wait for. What is asked next on the same
    /// connection comes after them.
    ///
    /// Contents may name tags that were not stamped before: that takes a round trip of its own,
    /// which the reader waits for only if it has not yet waited for two.
    async fn begin_fills(
        self: &Arc<Self>,
        fills: Vec<(Question, Stamps, Payload)>,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let looked_twice = fills.iter().any(|(_, stamps, _)| stamps.looked_twice);
        let late = if looked_twice { None } else { Some(self.late_stamps(&fills).await) };
        let this = self.clone();
        let mut work = Box::pin(async move {
            let late = match late {
                Some(late) => late,
                None => this.late_stamps(&fills).await,
            };
            this.write_fills(fills, &late).await;
        });
        futures_util::poll!(work.as_mut()).is_pending().then_some(work)
    }

    async fn write_fills(&self, fills: Vec<(Question, Stamps, Payload)>, late: &LateStamps) {
        let mut writes = Vec::with_capacity(fills.len());
        let mut keeps: HashMap<(TagKey, Stamp), Duration> = HashMap::new();
        for (question, stamps, payload) in fills {
            if let Some((write, keep)) = self.prepare(&question, stamps, &payload, late) {
                writes.push(write);
                for (tag, stamp, life) in keep {
                    let longest = keeps.entry((tag, stamp)).or_default();
                    *longest = life.max(*longest);
                }
            }
        }
        if writes.is_empty() {
            return;
        }
        let keep = self.longer_lives(keeps.into_iter().map(|((tag, stamp), life)| (tag, stamp, life)));
        self.traffic.stored(&writes);
        if let Err(error) = self.store.write(&writes, &keep).await {
            tracing::debug!(%error, entries = writes.len(), "entries were not stored");
        }
    }

    /// The tags that do not live as long as is needed, as far as is known; and for how long from now on
    /// they shall: longer than needed, so that it is seldom. Each time is a change of the tag to those
    /// who listen for changes.
    pub(super) fn longer_lives(&self, needed: impl Iterator<Item = Needed>) -> Vec<(TagKey, Duration)> {
        let now = Instant::now();
        needed
            .filter(|(tag, stamp, life)| self.hints.must_extend(tag, *stamp, now + *life, now + *life * 2))
            .map(|(tag, _, life)| (tag, life * 2))
            .collect()
    }

    /// The entry to write and the tags whose life it needs; `None` if it must not be stored.
    pub(super) fn prepare(
        &self,
        question: &Question,
        stamps: Stamps,
        payload: &Payload,
        late: &LateStamps,
    ) -> Option<(EntryWrite, Vec<Needed>)> {
        let missing = payload.kind == PayloadKind::Missing;
        if missing && !stamps.cover_missing() {
            return None;
        }
        let ttl = if missing { question.negative_ttl } else { question.ttl };
        let ttl = jittered(payload.at_most.map_or(ttl, |most| most.min(ttl)));
        let more = self.stamps_of_content(question, &stamps, payload, late)?;
        let depends = depends(question, &stamps, payload);
        // Past its time, for as long as somebody may still be served it.
        let grace = question.grace.longest();
        let until = since_1970(SystemTime::now() + ttl);
        let ttl = ttl + grace;
        let entry = Entry {
            kind: payload.kind,
            until,
            outlives: !grace.is_zero(),
            took: remembered(question, payload.took),
            incarnation: stamps.incarnation,
            shape: question.shape,
            stamps: &depends,
            more: &more,
            payload: &payload.bytes,
            wrap: question.wrap,
        };
        let bytes = entry.encode(&question.key, &self.reading.packing)?;
        let life = ttl + STAMP_MARGIN;
        let keep = question
            .tags
            .iter()
            .zip(&depends)
            .filter_map(|(tag, stamp)| Some((tag, (*stamp)?)))
            .chain(more.iter().map(|(tag, stamp)| (tag, *stamp)))
            .map(|(tag, stamp)| (tag.clone(), stamp, life))
            .collect();
        self.hints.saw_more(&question.key, more.into_iter().map(|(tag, _)| tag).collect());
        Some((EntryWrite { key: question.key.clone(), bytes, ttl }, keep))
    }

    /// Stamps of the tags that the loaded content names: those taken before the load, or those
    /// taken late, which is sound only if nobody invalidated any tag by hand meanwhile.
    fn stamps_of_content(
        &self,
        question: &Question,
        before: &Stamps,
        payload: &Payload,
        late: &LateStamps,
    ) -> Option<Vec<(TagKey, Stamp)>> {
        let named = question.also.iter().chain(&payload.more);
        named
            .map(|tag| {
                if let Some(stamp) = self.known_before(before, tag) {
                    return Some((tag.clone(), stamp));
                }
                let family = before.asked[question.family?]?;
                let untouched =
                    rules::untouched((before.incarnation, family), (late.incarnation, late.family));
                Some((tag.clone(), *late.tags.get(tag).filter(|_| untouched)?))
            })
            .collect()
    }

    /// The stamp of a tag as it was seen before the load began.
    fn known_before(&self, before: &Stamps, tag: &TagKey) -> Option<Stamp> {
        let taken = before.more.iter().find(|(there, _)| there == tag).map(|(_, stamp)| *stamp);
        taken.or_else(|| self.hints.content_stamp(tag, before.taken_at))
    }

    /// Takes, after the loads, the stamps that were not taken before: of tags that nobody knew
    /// before the content was there. One round trip, or none.
    async fn late_stamps(&self, fills: &[(Question, Stamps, Payload)]) -> LateStamps {
        let mut glance = Glance::default();
        let mut family = None;
        for (question, before, payload) in fills {
            for tag in payload.more.iter().filter(|tag| self.known_before(before, tag).is_none()) {
                glance.ask(tag, || proposal(tag, question.ttl, 0));
                family = question.family.map(|position| question.tags[position].clone()).or(family);
            }
        }
        let Some(family) = family else { return LateStamps::default() };
        glance.ask(&family, || only_look(&family));
        match self.store.read(&[], &glance.probes).await {
            Ok(found) if glance.take(&found) => {}
            _ => return LateStamps::default(),
        }
        let stamp_of = |state: &TagState| match state {
            TagState::Stamp(stamp) => Some(*stamp),
            _ => None,
        };
        let tags: HashMap<_, _> =
            glance.answers().filter_map(|(tag, state)| Some((tag.clone(), stamp_of(state)?))).collect();
        for (tag, stamp) in &tags {
            self.hints.saw_content_stamp(tag, *stamp);
        }
        LateStamps { family: tags.get(&family).copied(), tags, incarnation: glance.incarnation }
    }

    /// Stores one value under stamps taken now. Two round trips, both waited for.
    pub(crate) async fn put(&self, questions: &[Question], payloads: Vec<Payload>) -> Result<(), StoreError> {
        let mut writes = Vec::new();
        let mut keeps = Vec::new();
        for ((question, look), payload) in questions.iter().zip(self.look_many(questions).await).zip(payloads)
        {
            let stamps = match look {
                Look::Miss(stamps) | Look::Late { stamps, .. } => stamps,
                Look::Hit { .. } => continue,
                Look::Bypass(reason) => {
                    return Err(StoreError::Unreachable { reason: reason.to_string() });
                }
            };
            if let Some((write, keep)) = self.prepare(question, stamps, &payload, &LateStamps::default()) {
                writes.push(write);
                keeps.extend(keep);
            }
        }
        self.traffic.stored(&writes);
        self.store.write(&writes, &self.longer_lives(keeps.into_iter())).await
    }

    /// Stamps of the tags that all rows of a table share, taken before rows are read whose keys are
    /// not known yet. `None` if nothing may be stored.
    pub(crate) async fn guard(&self, tags: Vec<TagKey>) -> Option<Guard> {
        if self.queue.holds_back(tags.iter()) {
            return None;
        }
        let taken_at = Instant::now();
        let probes: Vec<_> = tags.iter().map(|tag| proposal(tag, STAMP_MARGIN, 0)).collect();
        let found = self.store.read(&[], &probes).await.ok()?;
        let stamps: Option<Vec<_>> = found
            .tags
            .iter()
            .map(|state| match state {
                TagState::Stamp(stamp) => Some(*stamp),
                _ => None,
            })
            .collect();
        let stamps = stamps.filter(|stamps| stamps.len() == tags.len())?;
        Some(Guard { tags: tags.into_iter().zip(stamps).collect(), incarnation: found.incarnation, taken_at })
    }
}

/// The stamps that an entry depends on, in the order of the tags that are asked for.
fn depends(question: &Question, stamps: &Stamps, payload: &Payload) -> Vec<Option<Stamp>> {
    let missing = payload.kind == PayloadKind::Missing;
    let depends = |(position, stamp): (usize, &Option<Stamp>)| {
        let family = question.family == Some(position);
        let spared =
            !missing && question.only_if_missing.contains(&position) || family && !payload.depends_on_family;
        stamp.filter(|_| !spared)
    };
    stamps.asked.iter().enumerate().map(depends).collect()
}

/// How long a load took, if somebody will ask and it is known.
fn remembered(question: &Question, took: Duration) -> Duration {
    match question.early {
        Some(_) if !took.is_zero() => took.max(SHORTEST),
        _ => Duration::ZERO,
    }
}

/// What keeps an answer right that was loaded under these stamps. `None` for one whose content names
/// tags: their stamps may only be known later.
pub(super) fn backing(question: &Question, stamps: &Stamps, payload: &Payload) -> Option<Backing> {
    let missing = payload.kind == PayloadKind::Missing;
    if !payload.more.is_empty() || !question.also.is_empty() || missing && !stamps.cover_missing() {
        return None;
    }
    let depends = question.tags.iter().zip(depends(question, stamps, payload));
    let life = if missing { question.negative_ttl } else { question.ttl };
    let early = question.early;
    Some(Backing {
        depends: depends.filter_map(|(tag, stamp)| Some((tag.clone(), stamp?))).collect(),
        incarnation: stamps.incarnation,
        moment: stamps.moment,
        // No longer than the entry, if who reads it here is to have it loaded anew before it ends.
        life: if early.is_some() { life - life / 10 } else { life },
        reach: early.map(|early| early.reach(remembered(question, payload.took))).unwrap_or_default(),
        kind: payload.kind,
        payload: payload.bytes.clone().into(),
    })
}

/// Up to a tenth less than asked for, so that what was filled together does not expire together;
/// never more, and never zero.
fn jittered(ttl: Duration) -> Duration {
    let tenth = u64::try_from(ttl.as_millis() / 10).unwrap_or(u64::MAX).min(u64::MAX - 1);
    let less = Stamp::fresh().get() % (tenth + 1);
    ttl.saturating_sub(Duration::from_millis(less)).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    // case F13
    #[test]
    fn jitter_takes_at_most_a_tenth_and_never_all() {
        for _ in 0..10_000 {
            let ttl = jittered(Duration::from_secs(100));
            assert!(ttl <= Duration::from_secs(100) && ttl >= Duration::from_secs(90), "{ttl:?}");
        }
        assert_eq!(jittered(Duration::ZERO), Duration::from_millis(1));
        assert_eq!(jittered(Duration::from_millis(9)), Duration::from_millis(9));
        let _ = jittered(Duration::MAX);
    }
}
