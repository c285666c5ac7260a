//! Looking: is there an entry, and do its tags still carry the stamps that it recorded?
//!
//! One round trip, which also puts down stamps where they may be missing; two when tags turned out
//! to be absent that were thought to be stamped, or when an entry names tags of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use smallvec::SmallVec;

use super::{
    Bypass, Decoded, Freshness, PayloadKind, Question, Stamps, Unfit,
    glance::{Glance, only_look, proposal},
    rules,
};
use crate::{
    near::{Backing, Held, Near},
    store::{StoreError, TagKey, TagProbe, TagState},
    watched,
};

/// When and how the store was asked.
#[derive(Clone, Copy)]
struct How {
    /// No later than that.
    taken_at: Instant,
    /// The same on the clock of the feed of changes, if there is one.
    moment: Option<u64>,
    looked_twice: bool,
}

/// An entry whose time is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Late {
    /// For how long.
    pub(super) by: Duration,
    /// Since when, as the entry says.
    pub(super) since: u64,
    /// It is not over yet: the entry is to be loaded anew before.
    pub(super) early: bool,
}

impl Late {
    /// What the load of it anew is known by; not the one that brought it, which may still be joined.
    pub(super) fn flight(self, question: &Question, stamps: &Stamps) -> Vec<u64> {
        let mut flight = stamps.flight(question);
        flight.push(self.since);
        flight
    }
}

/// What looking found for one question.
pub(crate) enum Look {
    Hit {
        kind: PayloadKind,
        payload: Bytes,
        /// What keeps it right, if answers are kept in memory.
        backing: Option<Backing>,
        /// It is to be loaded anew before its time is over, under these stamps.
        early: Option<Box<(Stamps, Late)>>,
    },
    Miss(Stamps),
    /// An entry whose time is over, and which no write has purged.
    Late {
        kind: PayloadKind,
        payload: Bytes,
        stamps: Stamps,
        late: Late,
    },
    Bypass(Bypass),
}

impl Freshness {
    /// Looks at one question.
    pub(crate) async fn look(&self, question: &Question) -> Look {
        if let Some(look) = self.look_by_known_stamps(question).await {
            return look;
        }
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
        let how = How {
            taken_at: Instant::now(),
            moment: self.near.as_ref().map(Near::moment),
            looked_twice: false,
        };
        let mut glance = Glance::default();
        let mut keys = Vec::with_capacity(questions.len());
        for question in questions {
            keys.push(question.key.clone());
            for tag in question.tags.iter().chain(&question.also) {
                glance.ask(tag, || self.probe(question, tag));
            }
            for tag in self.further(question).iter().flat_map(|more| more.iter()) {
                glance.ask(tag, || self.probe(question, tag));
            }
        }
        let entries = match self.traffic.reads.timed(self.store.read(&keys, &glance.probes)).await {
            Ok(found) if found.entries.len() == keys.len() && glance.take(&found) => found.entries,
            Ok(_) => return all(Bypass::StoreAway),
            Err(error) => return self.unanswered(error, questions),
        };
        let sights: Vec<_> = questions
            .iter()
            .zip(entries)
            .map(|(question, bytes)| self.sight(question, bytes, &glance))
            .collect();
        let how = match self.look_again(questions, &sights, &mut glance).await {
            Ok(looked_twice) => How { looked_twice, ..how },
            Err(error) => return self.unanswered(error, questions),
        };
        for (tag, proposed, state) in glance.answers_to() {
            match state {
                TagState::Stamp(stamp) => {
                    if proposed {
                        self.hints.saw_stamp(tag);
                    }
                    if let (Some(near), Some(moment)) = (&self.near, how.moment) {
                        near.saw_stamp(tag, *stamp, glance.incarnation, moment);
                    }
                }
                _ => self.hints.saw_no_stamp(tag),
            }
        }
        let looks = questions
            .iter()
            .zip(sights)
            .map(|(question, sight)| self.judge(question, sight, &glance, how))
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

    /// Asks for the entry alone, if the stamps of its tags are known well enough. `None` if they are
    /// not, and for everything but a hit.
    async fn look_by_known_stamps(&self, question: &Question) -> Option<Look> {
        let on_trust = !question.fresh && question.also.is_empty() && !watched::is_watched();
        let near = self.near.as_ref().filter(|_| on_trust)?;
        if self.queue.holds_back(question.tags.iter()) {
            return None;
        }
        let known = near.stamps(question.tags.iter())?;
        let read = self.store.read(std::slice::from_ref(&question.key), &[]);
        let found = self.traffic.reads.timed(read).await.ok()?;
        let bytes = found.entries.into_iter().next()??;
        let entry = Decoded::read(question, &bytes, &self.reading.packing).ok()?;
        let stamps: Vec<_> = known.stamps.into_iter().map(TagState::Stamp).collect();
        if found.incarnation != known.incarnation || !entry.holds(known.incarnation, &stamps) {
            return None;
        }
        let mut moment = known.moment;
        if entry.more().len() > 0 {
            let known = near.stamps(entry.more()).filter(|known| known.incarnation == found.incarnation)?;
            let mut stamps = known.stamps.iter().copied().map(TagState::Stamp);
            // Both are in the order of the entry.
            let holds = entry.more_hold(|_| stamps.next());
            moment = moment.min(known.moment);
            if !holds {
                return None;
            }
        }
        let now = SystemTime::now();
        // A purge that failed while we were asking has left its tags in the queue.
        let over = entry.late_by(now).is_some() || entry.is_due(question.early, now).is_some();
        if over || self.queue.holds_back(question.tags.iter().chain(entry.more())) {
            return None;
        }
        let backing = entry.backing(question, now, known.incarnation, moment);
        Some(Look::Hit { kind: entry.kind, payload: entry.payload, backing, early: None })
    }

    /// Do the stamps still stand that an answer in memory depends on? One round trip, for those alone.
    /// `None` if that cannot be said.
    pub(crate) async fn prove(&self, held: &Held) -> Option<bool> {
        let near = self.near.as_ref()?;
        let tags = || held.depends.iter().map(|(tag, _)| tag);
        if self.queue.holds_back(tags()) {
            return None;
        }
        let moment = near.moment();
        let probes: Vec<_> = tags().map(only_look).collect();
        let found = self.traffic.reads.timed(self.store.read(&[], &probes)).await.ok()?;
        let stand = found.tags.len() == held.depends.len()
            && held.depends.iter().zip(&found.tags).all(|((_, stamp), now)| rules::stands(stamp.get(), *now));
        // A purge that failed while we were asking has left its tags in the queue.
        if self.queue.holds_back(tags()) {
            return None;
        }
        if stand && found.incarnation == held.incarnation {
            held.proven(moment);
            Some(true)
        } else {
            held.refute();
            Some(false)
        }
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
                    // It is dead, and what comes in its place can only be stored under a stamp.
                    let gone = |tag: &&TagKey| glance.state(tag) == Some(TagState::Absent);
                    for tag in entry.more().filter(|_| question.expected.is_some()).filter(gone) {
                        again.ask(tag, || proposal(tag, question.ttl, 0));
                    }
                }
                Sight::Nothing => {
                    let expected = question.expected.as_ref().and_then(|_| self.further(question));
                    let expected = expected.iter().flat_map(|tags| tags.iter());
                    for tag in question.tags.iter().chain(&question.also).chain(expected) {
                        if glance.state(tag) == Some(TagState::Absent) {
                            again.ask(tag, || proposal(tag, question.ttl, question.label(tag)));
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

    fn judge(&self, question: &Question, sight: Sight, glance: &Glance, how: How) -> Look {
        if let Sight::Entry(entry) = sight {
            let names_all = question.also.iter().all(|tag| entry.more().any(|there| there == tag));
            // case C3: a purge of one of them may be queued.
            if self.queue.holds_back(entry.more()) {
                return Look::Bypass(Bypass::PurgePending);
            }
            if names_all && entry.more_hold(|tag| glance.state(tag)) {
                if entry.more().len() > 0 {
                    self.hints.saw_more(&question.key, entry.more().cloned().collect());
                }
                return self.in_its_time(question, entry, glance, how);
            }
            self.hints.saw_more(&question.key, entry.more().cloned().collect());
        }
        match self.stamps(question, glance, how) {
            Ok(stamps) => Look::Miss(stamps),
            Err(reason) => Look::Bypass(reason),
        }
    }

    /// A valid entry: a hit, unless its time is over.
    fn in_its_time(&self, question: &Question, entry: Decoded, glance: &Glance, how: How) -> Look {
        let now = SystemTime::now();
        let Some((by, since)) = entry.late_by(now) else {
            let backing =
                how.moment.and_then(|moment| entry.backing(question, now, glance.incarnation, moment));
            let early = entry.is_due(question.early, now).and_then(|since| {
                let stamps = self.stamps(question, glance, how).ok()?;
                Some(Box::new((stamps, Late { by: Duration::ZERO, since, early: true })))
            });
            return Look::Hit { kind: entry.kind, payload: entry.payload, backing, early };
        };
        let Decoded { kind, payload, .. } = entry;
        match self.stamps(question, glance, how) {
            Ok(stamps) if by < question.grace.longest() => {
                Look::Late { kind, payload, stamps, late: Late { by, since, early: false } }
            }
            Ok(stamps) => Look::Miss(stamps),
            Err(reason) => Look::Bypass(reason),
        }
    }

    /// The stamps that a load depends on, or why it must not be stored.
    fn stamps(
        &self,
        question: &Question,
        glance: &Glance,
        How { taken_at, moment, looked_twice }: How,
    ) -> Result<Stamps, Bypass> {
        let mut stamps = Stamps {
            taken_at,
            moment: moment.unwrap_or(0),
            looked_twice,
            incarnation: glance.incarnation,
            asked: Vec::with_capacity(question.tags.len()),
            more: Vec::new(),
        };
        for (position, tag) in question.tags.iter().enumerate() {
            // A write to any row leaves a barrier on the table. A row that is there has no part in it.
            let dispensable = question.only_if_missing.contains(&position);
            match rules::takes(glance.state(tag), Some(question.label(tag))) {
                Ok(stamp) => stamps.asked.push(Some(stamp)),
                Err(_) if dispensable => stamps.asked.push(None),
                Err(reason) => return Err(reason),
            }
        }
        for tag in &question.also {
            stamps.more.push((tag.clone(), rules::takes(glance.state(tag), None)?));
        }
        for tag in self.further(question).iter().flat_map(|more| more.iter()) {
            // Of an entry of which only the load says what it depends on, each once: they name flights.
            let named = question.expected.is_some() && question.also.contains(tag);
            if let Some(TagState::Stamp(stamp)) = glance.state(tag).filter(|_| !named) {
                self.hints.saw_content_stamp(tag, stamp);
                stamps.more.push((tag.clone(), stamp));
            }
        }
        Ok(stamps)
    }

    /// Tags that the entry may name besides: those that it named when it was last seen, or those that are
    /// expected of its kind.
    fn further(&self, question: &Question) -> Option<Arc<[TagKey]>> {
        self.hints.more(&question.key).or_else(|| question.expected.clone())
    }

    fn probe(&self, question: &Question, tag: &TagKey) -> TagProbe {
        if self.hints.is_stamped(tag) {
            only_look(tag)
        } else {
            proposal(tag, question.ttl, question.label(tag))
        }
    }

    /// What there is to see under an entry's key, as far as its tags have been asked for.
    fn sight(&self, question: &Question, bytes: Option<Bytes>, glance: &Glance) -> Sight {
        let Some(bytes) = bytes.filter(|_| !question.fresh) else { return Sight::Nothing };
        let entry = match Decoded::read(question, &bytes, &self.reading.packing) {
            Ok(entry) => entry,
            Err(unfit) => {
                if unfit == Unfit::Unreadable {
                    self.traffic.unreadable();
                }
                tracing::debug!(?unfit, "an entry could not be read: a miss");
                return Sight::Nothing;
            }
        };
        let found: SmallVec<[TagState; 8]> =
            question.tags.iter().map(|tag| glance.state(tag).unwrap_or(TagState::Absent)).collect();
        if entry.holds(glance.incarnation, &found) { Sight::Entry(entry) } else { Sight::Nothing }
    }

    fn unanswered(&self, error: StoreError, questions: &[Question]) -> Vec<Look> {
        tracing::debug!(%error, "the cache store did not answer a read");
        questions.iter().map(|_| Look::Bypass(Bypass::StoreAway)).collect()
    }
}

/// An entry that may yet be valid, or nothing of use.
enum Sight {
    Entry(Decoded),
    Nothing,
}

impl Decoded {
    /// What keeps it right in memory, for what is left of its time.
    fn backing(
        &self,
        question: &Question,
        now: SystemTime,
        incarnation: u64,
        moment: u64,
    ) -> Option<Backing> {
        // Whoever filled it may have another clock.
        let life = self.left(now).min(question.ttl);
        (!life.is_zero()).then(|| Backing {
            depends: self.depends(&question.tags),
            incarnation,
            moment,
            life,
            reach: self.reach(question.early),
            kind: self.kind,
            payload: self.payload.clone(),
        })
    }
}
