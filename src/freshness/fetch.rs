//! A cached read: look, and if that is a miss, load and fill.
//!
//! Round trips: a hit is one. A miss is two and the load: the look, which already puts down the
//! stamps that are missing, and the store of the entry, which the caller does not wait for. One
//! more when another process purged a tag since this one last saw it.

use std::{
    collections::HashMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::{
    Decoded, Entry, PayloadKind,
    flight::{Boarding, Flights, Landing, Leader, landed},
    hints::Hints,
    purge::PurgeQueue,
};
use crate::store::{EntryKey, EntryWrite, Found, Stamp, Store, StoreError, TagKey, TagProbe, TagState};

/// A stamp outlives every entry that refers to it by at least this much.
const STAMP_MARGIN: Duration = Duration::from_secs(60);

/// How long a landed flight can still be joined. A reader may have asked the store just before
/// the entry was there and be scheduled just after; it saw the same stamps, so what the flight
/// brought is as good for it as the entry.
const LINGER: Duration = Duration::from_millis(250);

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) key: EntryKey,
    /// The tags that any entry under this key may depend on. Every reader and filler of the key
    /// names the same ones in the same order.
    pub(crate) tags: Vec<TagKey>,
    /// Those of the tags, by position, that an entry does not depend on once it holds something:
    /// the table's tag, of a row that exists.
    pub(crate) only_if_missing: Vec<usize>,
    /// That of the tags, by position, which every invalidation of a tag by hand purges. Asked for
    /// when the content may name tags that were not stamped before the load.
    pub(crate) family: Option<usize>,
    /// Further tags that the caller knows. Readers of the same key need not agree on them: the
    /// entry names them itself.
    pub(crate) also: Vec<TagKey>,
    pub(crate) ttl: Duration,
    pub(crate) negative_ttl: Duration,
    /// Do not look, load and refill.
    pub(crate) fresh: bool,
}

/// What a load brought: the value for the caller, and the payload for the store.
pub(crate) struct Loaded<T> {
    pub(crate) value: T,
    /// `None`: not to be stored (too big, or it would not come back as it was).
    pub(crate) payload: Option<Payload>,
}

#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) kind: PayloadKind,
    pub(crate) bytes: Vec<u8>,
    /// Tags that only the content names.
    pub(crate) more: Vec<TagKey>,
    /// The content names too many tags: depend on all of them at once.
    pub(crate) depends_on_family: bool,
}

/// Why a read did not use the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bypass {
    /// The cache is switched off.
    Disabled,
    /// The read is inside a transaction.
    InTransaction,
    /// The statement cannot be cached.
    Uncacheable,
    /// The entity is declared `skip`.
    Skipped,
    /// The store is away or answered with an error.
    StoreAway,
    /// A writer's COMMIT is in flight on one of the tags.
    Barrier,
    /// A purge of one of the tags has not been delivered yet.
    PurgePending,
    /// The store took no stamp for one of the tags.
    NoStamp,
}

impl std::fmt::Display for Bypass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Disabled => "the cache is switched off",
            Self::InTransaction => "inside a transaction",
            Self::Uncacheable => "the statement cannot be cached",
            Self::Skipped => "the entity is declared skip",
            Self::StoreAway => "the cache store is away",
            Self::Barrier => "a write to it is being committed",
            Self::PurgePending => "a purge of it has not been delivered yet",
            Self::NoStamp => "the cache store took no stamp",
        })
    }
}

/// How a read was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// From the store.
    Hit,
    /// Loaded, and handed to the store.
    Miss,
    /// By the load of another task that asked for the same at the same time.
    Joined,
    /// From the database alone.
    Bypass(Bypass),
}

/// An answered read.
#[derive(Debug)]
pub(crate) struct Fetched<T> {
    pub(crate) value: T,
    pub(crate) outcome: Outcome,
}

/// What looking found for one question.
pub(crate) enum Look {
    Hit { kind: PayloadKind, payload: Bytes },
    Miss(Stamps),
    Bypass(Bypass),
}

/// Stamps taken before a load.
#[derive(Clone, Debug)]
pub(crate) struct Stamps {
    /// No later than when the stamps were read.
    taken_at: Instant,
    /// It took two round trips to get them.
    looked_twice: bool,
    /// The life of the store that they are from.
    incarnation: u64,
    asked: Vec<Stamp>,
    /// Of the further tags that the caller named, in that order; behind them, of those that the
    /// entry's content named when it was last seen.
    more: Vec<(TagKey, Stamp)>,
}

impl Stamps {
    /// What a flight is known by: the life of the store, and the stamps of all tags that the caller
    /// named. Those that only a hint named are left out, since two callers may have different hints.
    fn flight(&self, question: &Question) -> Vec<u64> {
        let named = self.more.iter().take(question.also.len()).map(|(_, stamp)| stamp);
        let stamps = self.asked.iter().chain(named).map(|stamp| stamp.get());
        std::iter::once(self.incarnation).chain(stamps).collect()
    }
}

/// Stamps taken after a load.
#[derive(Default)]
struct LateStamps {
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
            position.and_then(|position| now.asked.get(position)) == Some(stamp)
        };
        let admits = self.incarnation == now.incarnation && self.tags.iter().all(stands);
        // Stamps that are remembered count only if they are older than the load.
        now.taken_at = self.taken_at;
        admits
    }
}

/// The driver of the protocol.
#[derive(Debug)]
pub(crate) struct Freshness {
    pub(super) store: Arc<dyn Store>,
    pub(super) hints: Hints,
    pub(super) queue: Arc<PurgeQueue>,
    pub(super) runtime: Handle,
    flights: Arc<Flights>,
}

impl Freshness {
    pub(crate) fn new(store: Arc<dyn Store>, queue: Arc<PurgeQueue>, runtime: Handle) -> Self {
        Self { store, hints: Hints::new(), queue, runtime, flights: Flights::new() }
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Answers a question from the store or by `load`.
    ///
    /// `decode` turns a payload into a value; `None` makes it a miss. `load` runs at most once.
    /// Cancel safe: dropping the future abandons the flight it leads, and a waiter takes over.
    pub(crate) async fn fetch<T, E, L, F>(
        self: &Arc<Self>,
        question: &Question,
        decode: impl Fn(PayloadKind, &Bytes) -> Option<T>,
        load: L,
    ) -> Result<Fetched<T>, E>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Loaded<T>, E>>,
    {
        let mut failed_flights = 0;
        loop {
            let stamps = match self.look(question).await {
                Look::Hit { kind, payload } => match decode(kind, &payload) {
                    Some(value) => return Ok(Fetched { value, outcome: Outcome::Hit }),
                    // Not readable: load it anew under a flight of its own.
                    None => return self.refill(question, load).await,
                },
                Look::Bypass(reason) => return bypass(reason, load).await,
                Look::Miss(stamps) => stamps,
            };
            if question.fresh {
                return self.lead(question, stamps, None, load).await;
            }
            match self.flights.board(&question.key, &stamps.flight(question)) {
                Boarding::Lead(leader) => return self.lead(question, stamps, Some(leader), load).await,
                Boarding::Follow(flight) => match landed(flight).await {
                    Landing::Loaded { kind, payload } => {
                        if let Some(value) = decode(kind, &payload) {
                            return Ok(Fetched { value, outcome: Outcome::Joined });
                        }
                        failed_flights = 2;
                    }
                    Landing::Failed => failed_flights += 1,
                    // The leader's caller went away; one of us becomes the next leader.
                    Landing::Abandoned => {}
                },
            }
            // A failing database must not be asked by one waiter after the other.
            if failed_flights >= 2 {
                let loaded = load().await?;
                return Ok(Fetched { value: loaded.value, outcome: Outcome::Miss });
            }
        }
    }

    /// An entry was there and its stamps hold, but it cannot be decoded.
    async fn refill<T, E, L, F>(self: &Arc<Self>, question: &Question, load: L) -> Result<Fetched<T>, E>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Loaded<T>, E>>,
    {
        let again = Question { fresh: true, ..question.clone() };
        match self.look(&again).await {
            Look::Miss(stamps) => self.lead(&again, stamps, None, load).await,
            Look::Bypass(reason) => bypass(reason, load).await,
            Look::Hit { .. } => bypass(Bypass::Uncacheable, load).await,
        }
    }

    async fn lead<T, E, L, F>(
        self: &Arc<Self>,
        question: &Question,
        stamps: Stamps,
        leader: Option<Leader>,
        load: L,
    ) -> Result<Fetched<T>, E>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Loaded<T>, E>>,
    {
        let Loaded { value, payload } = match load().await {
            Ok(loaded) => loaded,
            Err(error) => {
                if let Some(leader) = leader {
                    leader.land(Landing::Failed);
                }
                return Err(error);
            }
        };
        match payload {
            Some(payload) => self.fill(question, stamps, payload, leader).await,
            None => {
                if let Some(leader) = leader {
                    leader.land(Landing::Failed);
                }
            }
        }
        Ok(Fetched { value, outcome: Outcome::Miss })
    }

    /// Lands the flight and hands the entry to the store. Starts the store's work at once, so that
    /// it is ahead of whatever this caller asks next, but does not wait for it.
    async fn fill(
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
        let mut keeps: HashMap<TagKey, Duration> = HashMap::new();
        for (question, stamps, payload) in fills {
            if let Some((write, keep)) = self.prepare(&question, stamps, &payload, late) {
                writes.push(write);
                for (tag, life) in keep {
                    let longest = keeps.entry(tag).or_default();
                    *longest = life.max(*longest);
                }
            }
        }
        if writes.is_empty() {
            return;
        }
        let keep: Vec<_> = keeps.into_iter().collect();
        if let Err(error) = self.store.write(&writes, &keep).await {
            tracing::debug!(%error, entries = writes.len(), "entries were not stored");
        }
    }

    /// The entry to write and the tags whose life it needs; `None` if it must not be stored.
    fn prepare(
        &self,
        question: &Question,
        stamps: Stamps,
        payload: &Payload,
        late: &LateStamps,
    ) -> Option<(EntryWrite, Vec<(TagKey, Duration)>)> {
        let missing = payload.kind == PayloadKind::Missing;
        let ttl = jittered(if missing { question.negative_ttl } else { question.ttl });
        let more = self.stamps_of_content(question, &stamps, payload, late)?;
        let depends: Vec<Option<Stamp>> = stamps
            .asked
            .iter()
            .enumerate()
            .map(|(position, stamp)| {
                let family = question.family == Some(position);
                let spared = !missing && question.only_if_missing.contains(&position)
                    || family && !payload.depends_on_family;
                (!spared).then_some(*stamp)
            })
            .collect();
        let entry = Entry {
            kind: payload.kind,
            incarnation: stamps.incarnation,
            asked: &question.tags,
            stamps: &depends,
            more: &more,
            payload: &payload.bytes,
        };
        let bytes = entry.encode(&question.key)?;
        let life = ttl + STAMP_MARGIN;
        let keep = question
            .tags
            .iter()
            .zip(&depends)
            .filter(|(_, stamp)| stamp.is_some())
            .map(|(tag, _)| tag)
            .chain(more.iter().map(|(tag, _)| tag))
            .map(|tag| (tag.clone(), life))
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
                let untouched = late.family == Some(before.asked[question.family?])
                    && late.incarnation == before.incarnation;
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
                glance.ask(tag, || proposal(tag, question.ttl));
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

    /// Looks at one question.
    pub(crate) async fn look(&self, question: &Question) -> Look {
        match self.look_many(std::slice::from_ref(question)).await.pop() {
            Some(look) => look,
            None => Look::Bypass(Bypass::StoreAway),
        }
    }

    /// Looks at many questions in one round trip, or two when tags turned out to be absent.
    pub(crate) async fn look_many(&self, questions: &[Question]) -> Vec<Look> {
        let all = |reason| questions.iter().map(|_| Look::Bypass(reason)).collect();
        if self
            .queue
            .holds_back(questions.iter().flat_map(|question| question.tags.iter().chain(&question.also)))
        {
            return all(Bypass::PurgePending);
        }
        let taken_at = Instant::now();
        let mut glance = Glance::default();
        let mut keys = Vec::with_capacity(questions.len());
        for question in questions {
            keys.push(question.key.clone());
            for tag in question.tags.iter().chain(&question.also) {
                glance.ask(tag, || self.probe(tag, question.ttl));
            }
            for tag in self.hints.more(&question.key).iter().flat_map(|more| more.iter()) {
                glance.ask(tag, || self.probe(tag, question.ttl));
            }
        }
        let entries = match self.store.read(&keys, &glance.probes).await {
            Ok(found) if found.entries.len() == keys.len() && glance.take(&found) => found.entries,
            Ok(_) => return all(Bypass::StoreAway),
            Err(error) => return self.unanswered(error, questions),
        };
        let sights: Vec<_> = questions
            .iter()
            .zip(entries)
            .map(|(question, bytes)| Sight::of(question, bytes, &glance))
            .collect();
        let looked_twice = match self.look_again(questions, &sights, &mut glance).await {
            Ok(looked_twice) => looked_twice,
            Err(error) => return self.unanswered(error, questions),
        };
        for (tag, state) in glance.answers() {
            match state {
                TagState::Stamp(_) => self.hints.saw_stamp(tag),
                _ => self.hints.saw_no_stamp(tag),
            }
        }
        let looks = questions
            .iter()
            .zip(sights)
            .map(|(question, sight)| self.judge(question, sight, &glance, (taken_at, looked_twice)))
            .collect();
        // A purge that failed while we were asking has left its tags in the queue.
        if self
            .queue
            .holds_back(questions.iter().flat_map(|question| question.tags.iter().chain(&question.also)))
        {
            return all(Bypass::PurgePending);
        }
        looks
    }

    /// The second round trip, if one is needed (then the answer is true): tags that only an entry's content names, and
    /// stamps for tags that were thought to carry one.
    async fn look_again(
        &self,
        questions: &[Question],
        sights: &[Sight],
        glance: &mut Glance,
    ) -> Result<bool, StoreError> {
        let mut again = Glance::default();
        for (question, sight) in questions.iter().zip(sights) {
            match sight {
                Sight::Entry(entry) => {
                    for tag in entry.more().filter(|tag| glance.state(tag).is_none()) {
                        again.ask(tag, || only_look(tag));
                    }
                }
                Sight::Nothing => {
                    for tag in question.tags.iter().chain(&question.also) {
                        if glance.state(tag) == Some(TagState::Absent) {
                            again.ask(tag, || proposal(tag, question.ttl));
                        }
                    }
                }
            }
        }
        if again.probes.is_empty() {
            return Ok(false);
        }
        let found = self.store.read(&[], &again.probes).await?;
        if !again.take(&found) || again.incarnation != glance.incarnation {
            let reason = "the store was replaced by another between two questions".to_owned();
            return Err(StoreError::Unreachable { reason });
        }
        glance.absorb(again);
        Ok(true)
    }

    fn judge(&self, question: &Question, sight: Sight, glance: &Glance, how: (Instant, bool)) -> Look {
        if let Sight::Entry(entry) = sight {
            let names_all = question.also.iter().all(|tag| entry.more().any(|there| there == tag));
            // case C3: a purge of one of them may be queued.
            if self.queue.holds_back(entry.more()) {
                return Look::Bypass(Bypass::PurgePending);
            }
            if names_all && entry.more_holds(|tag| glance.state_ref(tag)) {
                if entry.more().len() > 0 {
                    self.hints.saw_more(&question.key, entry.more().cloned().collect());
                }
                return Look::Hit { kind: entry.kind, payload: entry.payload };
            }
            self.hints.saw_more(&question.key, entry.more().cloned().collect());
        }
        let (taken_at, looked_twice) = how;
        let mut stamps = Stamps {
            taken_at,
            looked_twice,
            incarnation: glance.incarnation,
            asked: Vec::with_capacity(question.tags.len()),
            more: Vec::new(),
        };
        for tag in &question.tags {
            match glance.state(tag) {
                Some(TagState::Stamp(stamp)) => stamps.asked.push(stamp),
                Some(TagState::Barrier) => return Look::Bypass(Bypass::Barrier),
                _ => return Look::Bypass(Bypass::NoStamp),
            }
        }
        for tag in &question.also {
            match glance.state(tag) {
                Some(TagState::Stamp(stamp)) => stamps.more.push((tag.clone(), stamp)),
                Some(TagState::Barrier) => return Look::Bypass(Bypass::Barrier),
                _ => return Look::Bypass(Bypass::NoStamp),
            }
        }
        for tag in self.hints.more(&question.key).iter().flat_map(|more| more.iter()) {
            if let Some(TagState::Stamp(stamp)) = glance.state(tag) {
                self.hints.saw_content_stamp(tag, stamp);
                stamps.more.push((tag.clone(), stamp));
            }
        }
        Look::Miss(stamps)
    }

    /// Stores one value under stamps taken now. Two round trips, both waited for.
    pub(crate) async fn put(&self, questions: &[Question], payloads: Vec<Payload>) -> Result<(), StoreError> {
        let mut writes = Vec::new();
        let mut keeps = Vec::new();
        for ((question, look), payload) in questions.iter().zip(self.look_many(questions).await).zip(payloads)
        {
            let stamps = match look {
                Look::Miss(stamps) => stamps,
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
        self.store.write(&writes, &keeps).await
    }

    /// Stamps of the tags that all rows of a table share, taken before rows are read whose keys are
    /// not known yet. `None` if nothing may be stored.
    pub(crate) async fn guard(&self, tags: Vec<TagKey>) -> Option<Guard> {
        if self.queue.holds_back(tags.iter()) {
            return None;
        }
        let taken_at = Instant::now();
        let probes: Vec<_> = tags.iter().map(|tag| proposal(tag, STAMP_MARGIN)).collect();
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

    /// Flights to these entries can no longer be joined: the entries are to go.
    pub(crate) fn forget(&self, entries: &[EntryKey]) {
        entries.iter().for_each(|entry| self.flights.forget(entry));
    }

    fn probe(&self, tag: &TagKey, ttl: Duration) -> TagProbe {
        if self.hints.is_stamped(tag) { only_look(tag) } else { proposal(tag, ttl) }
    }

    fn unanswered(&self, error: StoreError, questions: &[Question]) -> Vec<Look> {
        tracing::debug!(%error, "the cache store did not answer a read");
        questions.iter().map(|_| Look::Bypass(Bypass::StoreAway)).collect()
    }
}

async fn bypass<T, E, L, F>(reason: Bypass, load: L) -> Result<Fetched<T>, E>
where
    L: FnOnce() -> F,
    F: Future<Output = Result<Loaded<T>, E>>,
{
    let loaded = load().await?;
    Ok(Fetched { value: loaded.value, outcome: Outcome::Bypass(reason) })
}

fn only_look(tag: &TagKey) -> TagProbe {
    TagProbe { key: tag.clone(), propose: None }
}

/// A fresh stamp that outlives the load and the entry; the fill extends it where it has to.
fn proposal(tag: &TagKey, ttl: Duration) -> TagProbe {
    TagProbe { key: tag.clone(), propose: Some((Stamp::fresh(), ttl.saturating_mul(2) + STAMP_MARGIN)) }
}

/// Up to a tenth less than asked for, so that what was filled together does not expire together;
/// never more, and never zero.
fn jittered(ttl: Duration) -> Duration {
    let tenth = u64::try_from(ttl.as_millis() / 10).unwrap_or(u64::MAX).min(u64::MAX - 1);
    let less = Stamp::fresh().get() % (tenth + 1);
    ttl.saturating_sub(Duration::from_millis(less)).max(Duration::from_millis(1))
}

/// An entry that may yet be valid, or nothing of use.
enum Sight {
    Entry(Decoded),
    Nothing,
}

impl Sight {
    fn of(question: &Question, bytes: Option<Bytes>, glance: &Glance) -> Self {
        if question.fresh {
            return Self::Nothing;
        }
        let Some(bytes) = bytes else { return Self::Nothing };
        let Some(entry) = Decoded::read(&question.key, &question.tags, &bytes) else {
            tracing::debug!("an entry could not be read: a miss");
            return Self::Nothing;
        };
        let found: Vec<_> =
            question.tags.iter().map(|tag| glance.state(tag).unwrap_or(TagState::Absent)).collect();
        if entry.holds(glance.incarnation, &found) { Self::Entry(entry) } else { Self::Nothing }
    }
}

/// The tags asked for in one round trip, each once, and their answers.
#[derive(Default)]
struct Glance {
    probes: Vec<TagProbe>,
    states: Vec<TagState>,
    /// The life of the store that answered.
    incarnation: u64,
    /// Position by key; only built once there are many, a scan is faster for a few.
    index: HashMap<TagKey, usize>,
}

/// From here on a map beats a scan.
const FEW: usize = 12;

impl Glance {
    fn ask(&mut self, tag: &TagKey, probe: impl FnOnce() -> TagProbe) {
        if self.position(tag).is_some() {
            return;
        }
        self.push(probe());
    }

    fn push(&mut self, probe: TagProbe) {
        let position = self.probes.len();
        if position == FEW {
            self.index = self.probes.iter().enumerate().map(|(i, p)| (p.key.clone(), i)).collect();
        }
        if position >= FEW {
            self.index.insert(probe.key.clone(), position);
        }
        self.probes.push(probe);
    }

    fn position(&self, tag: &TagKey) -> Option<usize> {
        if self.probes.len() < FEW || self.index.is_empty() {
            self.probes.iter().position(|probe| probe.key == *tag)
        } else {
            self.index.get(tag).copied()
        }
    }

    /// Takes the answers; false if the store answered another number of questions.
    fn take(&mut self, found: &Found) -> bool {
        self.states.clone_from(&found.tags);
        self.incarnation = found.incarnation;
        self.states.len() == self.probes.len()
    }

    fn state(&self, tag: &TagKey) -> Option<TagState> {
        self.state_ref(tag).copied()
    }

    fn state_ref(&self, tag: &TagKey) -> Option<&TagState> {
        self.states.get(self.position(tag)?)
    }

    /// Adds later answers; they replace earlier ones.
    fn absorb(&mut self, later: Self) {
        for (probe, state) in later.probes.into_iter().zip(later.states) {
            match self.position(&probe.key) {
                Some(position) => self.states[position] = state,
                None => {
                    self.push(probe);
                    self.states.push(state);
                }
            }
        }
    }

    fn answers(&self) -> impl Iterator<Item = (&TagKey, &TagState)> {
        self.probes.iter().map(|probe| &probe.key).zip(&self.states)
    }
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
