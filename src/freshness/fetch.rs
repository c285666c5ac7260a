//! A cached read: look, and if that is a miss, load and fill.
//!
//! Round trips: a hit is one. A miss is two and the load: the look, which already puts down the
//! stamps that are missing, and the store of the entry, which the caller does not wait for. One
//! more when another process purged a tag since this one last saw it.

use std::{
    future::Future,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::{
    Bypass, Detached, Fetched, Grace, Loaded, Look, Outcome, Packing, Payload, PayloadKind, Question, Stamps,
    Writing,
    early::Refreshes,
    fill::backing,
    flight::{Boarding, Flights, Landing, Leader, landed},
    hints::Hints,
    lease::Lease,
    look::Late,
    purge::PurgeQueue,
};
use crate::{
    near::{Backing, Near},
    observe::Traffic,
    store::{EntryKey, Store},
};

/// How reads are answered.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// One hit in so many is held against the database; zero: none.
    pub(crate) verify_one_in: u32,
    /// How long other processes wait for the one that loads; zero: not at all.
    pub(crate) lease: Duration,
    pub(crate) packing: Packing,
}

/// What came of holding hits against the database.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(super) turn: AtomicU64,
    pub(crate) verified: AtomicU64,
    /// They differed, because a write came in between.
    pub(crate) overtaken: AtomicU64,
    /// They differed, and the entry was valid.
    pub(crate) stale: AtomicU64,
}

/// The driver of the protocol.
#[derive(Debug)]
pub(crate) struct Freshness {
    pub(super) store: Arc<dyn Store>,
    pub(super) hints: Hints,
    pub(super) queue: Arc<PurgeQueue>,
    pub(super) runtime: Handle,
    pub(super) writing: Writing,
    pub(super) reading: Reading,
    pub(super) checks: Checks,
    /// Answers in memory, if any are kept.
    pub(super) near: Option<Near>,
    pub(crate) traffic: Traffic,
    pub(super) flights: Arc<Flights>,
    pub(super) refreshes: Refreshes,
}

impl Freshness {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        queue: Arc<PurgeQueue>,
        runtime: Handle,
        writing: Writing,
        reading: Reading,
        near: Option<Near>,
    ) -> Self {
        let (hints, flights) = (Hints::new(), Flights::new());
        let (checks, traffic) = (Checks::default(), Traffic::default());
        let refreshes = Refreshes::default();
        Self { store, hints, queue, runtime, writing, reading, checks, near, traffic, flights, refreshes }
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) fn near(&self) -> Option<&Near> {
        self.near.as_ref()
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Answers a question from the store or by `load`.
    ///
    /// `decode` turns a payload into a value; `None` makes it a miss. `load` runs at most once.
    /// Cancel safe: dropping the future abandons the flight it leads, and a waiter takes over.
    ///
    /// What is to be loaded before its time is over, or is served past it, is loaded in the background, as
    /// `detached` says; if that is nothing, by `load`, for which this caller waits.
    pub(crate) async fn fetch<T, E, L, F>(
        self: &Arc<Self>,
        question: &Question,
        decode: impl Fn(PayloadKind, &Bytes) -> Option<T>,
        load: L,
        detached: impl FnOnce() -> Option<Detached>,
    ) -> Result<Fetched<T>, E>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Loaded<T>, E>>,
    {
        let mut failed_flights = 0;
        let mut question = question;
        loop {
            let stamps = match self.look(question).await {
                Look::Hit { kind, payload, backing, early } => match decode(kind, &payload) {
                    Some(value) if self.is_sampled() => {
                        return Ok(self.verify(question, (kind, &payload), value, load).await);
                    }
                    Some(value) => match early {
                        None => return Ok(Fetched { value, outcome: Outcome::Hit, backing }),
                        Some(early) => match detached() {
                            Some(work) => {
                                self.refresh(question, *early, work);
                                return Ok(Fetched { value, outcome: Outcome::Hit, backing });
                            }
                            None => {
                                let (stamps, late) = *early;
                                return self.fetch_late(question, stamps, (value, late), decode, load).await;
                            }
                        },
                    },
                    // Not readable: load it anew under a flight of its own.
                    None => return self.refill(question, load).await,
                },
                Look::Bypass(reason) => match &question.terms {
                    Some(terms) if reason == Bypass::OtherTerms => {
                        question = &terms.otherwise;
                        continue;
                    }
                    _ => return bypass(reason, load).await,
                },
                Look::Late { kind, payload, stamps, late } => match decode(kind, &payload) {
                    Some(value) => {
                        let nobody_waits = question.early.is_some() && late.by < question.grace.revalidate;
                        if let Some(work) = nobody_waits.then(detached).flatten() {
                            self.refresh(question, (stamps, late), work);
                            return Ok(Fetched::passing(value, Outcome::Hit));
                        }
                        return self.fetch_late(question, stamps, (value, late), decode, load).await;
                    }
                    None => return self.refill(question, load).await,
                },
                Look::Miss(stamps) => stamps,
            };
            if question.fresh {
                return self.lead(question, stamps, None, load).await;
            }
            match self.flights.board(&question.key, &stamps.flight(question)) {
                Boarding::Lead(leader) => match self.take_lease(question, &stamps).await {
                    // Kept until the entry is on its way.
                    Lease::Ours(_held) => return self.lead(question, stamps, Some(leader), load).await,
                    Lease::Landed { kind, payload } => {
                        let value = decode(kind, &payload);
                        leader.land(Landing::Loaded { kind, payload });
                        if let Some(value) = value {
                            return Ok(Fetched::passing(value, Outcome::Joined));
                        }
                        failed_flights = 2;
                    }
                    Lease::Overtaken => {}
                    Lease::Overdue => {
                        leader.land(Landing::Failed);
                        failed_flights = 2;
                    }
                },
                Boarding::Follow(flight) => match landed(flight).await {
                    // It may have begun before an insert whose purge is over: its stamps do not say.
                    Landing::Loaded { kind: PayloadKind::Missing, .. } if !stamps.cover_missing() => {
                        failed_flights = 2;
                    }
                    Landing::Loaded { kind, payload } => {
                        if let Some(value) = decode(kind, &payload) {
                            return Ok(Fetched::passing(value, Outcome::Joined));
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
                return Ok(Fetched::passing(loaded.value, Outcome::Miss));
            }
        }
    }

    /// There is an entry whose time is over, or soon will be, and which no write has purged. One caller loads it anew;
    /// the others are served what is there, if they may be. It is also served if the load fails.
    async fn fetch_late<T, E, L, F>(
        self: &Arc<Self>,
        question: &Question,
        stamps: Stamps,
        (value, late): (T, Late),
        decode: impl Fn(PayloadKind, &Bytes) -> Option<T>,
        load: L,
    ) -> Result<Fetched<T>, E>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Loaded<T>, E>>,
    {
        let Grace { revalidate, on_error } = match late.early {
            true => Grace { revalidate: Duration::MAX, on_error: Duration::MAX },
            false => question.grace,
        };
        let boarding = self.flights.board(&question.key, &late.flight(question, &stamps));
        let leader = match boarding {
            Boarding::Follow(_) if late.by < revalidate => {
                return Ok(Fetched::passing(value, Outcome::Hit));
            }
            Boarding::Follow(flight) => match landed(flight).await {
                Landing::Loaded { kind: PayloadKind::Missing, .. } if !stamps.cover_missing() => None,
                Landing::Loaded { kind, payload } => match decode(kind, &payload) {
                    Some(value) => return Ok(Fetched::passing(value, Outcome::Joined)),
                    None => None,
                },
                // It would fare no better.
                Landing::Failed if late.by < on_error => {
                    return Ok(Fetched::passing(value, Outcome::Hit));
                }
                Landing::Failed | Landing::Abandoned => None,
            },
            Boarding::Lead(leader) => Some(leader),
        };
        // Of what is still in its time, all processes are served while one of them does it.
        let claimed = match late.early {
            true => match self.claim(question, &stamps, late).await {
                Some(held) => Some(held),
                None => return Ok(Fetched::passing(value, Outcome::Hit)),
            },
            false => None,
        };
        let result = self.lead(question, stamps, leader, load).await;
        drop(claimed);
        match result {
            Err(_) if late.by < on_error => Ok(Fetched::passing(value, Outcome::Hit)),
            result => result,
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
            Look::Miss(stamps) | Look::Late { stamps, .. } => self.lead(&again, stamps, None, load).await,
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
        let began = Instant::now();
        let Loaded { value, payload } = match load().await {
            Ok(loaded) => loaded,
            Err(error) => {
                if let Some(leader) = leader {
                    leader.land(Landing::Failed);
                }
                return Err(error);
            }
        };
        let took = began.elapsed();
        let payload = payload.map(|payload| Payload { took, ..payload });
        let backing = self.keep(question, stamps, payload, leader).await;
        Ok(Fetched { value, outcome: Outcome::Miss, backing })
    }

    /// Hands what was loaded to those who wait, and to the store. What keeps it right, if it may be kept
    /// in memory.
    pub(super) async fn keep(
        self: &Arc<Self>,
        question: &Question,
        stamps: Stamps,
        payload: Option<Payload>,
        leader: Option<Leader>,
    ) -> Option<Backing> {
        let payload = payload.filter(|payload| {
            let learned = question.expected.is_some() && !stamps.cover(&payload.more);
            if learned {
                // Neither stored nor handed to who came later, who may have come after a write to what
                // it depends on. Whoever asks next takes the stamps first.
                self.hints.saw_more(&question.key, payload.more.clone().into());
            }
            !learned
        });
        let keep = payload.as_ref().filter(|_| self.near.is_some());
        let backing = keep.and_then(|payload| backing(question, &stamps, payload));
        match payload {
            Some(payload) => self.fill(question, stamps, payload, leader).await,
            None => {
                if let Some(leader) = leader {
                    leader.land(Landing::Failed);
                }
            }
        }
        backing
    }

    /// Flights to these entries can no longer be joined: the entries are to go.
    pub(crate) fn forget(&self, entries: &[EntryKey]) {
        entries.iter().for_each(|entry| self.flights.forget(entry));
    }
}

async fn bypass<T, E, L, F>(reason: Bypass, load: L) -> Result<Fetched<T>, E>
where
    L: FnOnce() -> F,
    F: Future<Output = Result<Loaded<T>, E>>,
{
    let loaded = load().await?;
    Ok(Fetched::passing(loaded.value, Outcome::Bypass(reason)))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::sync::oneshot;

    use super::*;
    use crate::{
        config::{Consistency, OnOutage},
        freshness::{Payload, Wrap},
        store::{Arm, MemoryStore, TagKey, WriterId},
    };

    fn freshness(store: Arc<dyn Store>) -> Arc<Freshness> {
        let queue = PurgeQueue::new(100, TagKey::from_full("ns:t"));
        let writing = Writing {
            consistency: Consistency::Strict,
            on_outage: OnOutage::AllowWrites,
            barrier_life: Duration::from_secs(10),
            settle: Duration::ZERO,
        };
        let packing = Packing { limit: 1 << 20, keys: None };
        let reading = Reading { verify_one_in: 0, lease: Duration::ZERO, packing };
        Arc::new(Freshness::new(store, queue, Handle::current(), writing, reading, None))
    }

    fn loaded(row: Option<&'static str>) -> Loaded<Option<&'static str>> {
        let kind = if row.is_some() { PayloadKind::Rows } else { PayloadKind::Missing };
        let payload = Payload {
            kind,
            bytes: Vec::new(),
            more: Vec::new(),
            depends_on_family: false,
            at_most: None,
            took: Duration::ZERO,
        };
        Loaded { value: row, payload: Some(payload) }
    }

    /// With a write to the table under way, the stamps do not tell a flight from before an insert from
    /// one after it.
    #[tokio::test]
    async fn who_comes_after_an_insert_never_takes_over_that_there_is_no_row() {
        let store = Arc::new(MemoryStore::with_capacity(1 << 20));
        let freshness = freshness(store.clone());
        let tags: Vec<_> = ["ns:t", "ns:t:book:7", "ns:t:book"].map(TagKey::from_full).into();
        let wrap = Wrap { compress_above: usize::MAX, encrypt: false };
        let key = EntryKey::from_full("ns:row:book:7@0");
        let question = Question::for_tests(key, tags.clone(), wrap);
        let question = Arc::new(Question { only_if_missing: vec![2], ..question });
        let life = Duration::from_secs(60);
        let arm = Arm { writer: WriterId::fresh(), tags: vec![(tags[2].clone(), 0)], life };
        store.arm(&arm).await.unwrap();

        let ((began, has_began), (go, may_go)) = (oneshot::channel(), oneshot::channel::<()>());
        let early = tokio::spawn({
            let (freshness, question) = (freshness.clone(), question.clone());
            async move {
                let load = || async {
                    began.send(()).unwrap();
                    may_go.await.unwrap();
                    Ok::<_, Infallible>(loaded(None))
                };
                freshness.fetch(&question, |_, _| Some(None), load, || None).await.unwrap().value
            }
        });
        has_began.await.unwrap();
        // The insert has returned by now; another writer's barrier is still there.
        let mut late = std::pin::pin!(freshness.fetch(
            &question,
            |_, _| Some(None),
            || async { Ok::<_, Infallible>(loaded(Some("row"))) },
            || None
        ));
        assert!(futures_util::poll!(late.as_mut()).is_pending(), "it waits for the flight");
        go.send(()).unwrap();
        assert_eq!(late.await.unwrap().value, Some("row"));
        assert_eq!(early.await.unwrap(), None);
    }
}
