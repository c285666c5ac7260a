//! Early refresh: an entry that is read often is loaded anew before its time is over, so that nobody
//! waits for that.
//!
//! When that is, each reader decides for itself, by lot (XFetch: Vattani, Chierichetti, Lowenstein,
//! "Optimal Probabilistic Cache Stampede Prevention", 2015): the closer the end, and the longer the
//! load takes, the more likely. Whoever draws it is served what is there, and the load runs without it.
//!
//! It is a fill like any other. The stamps are those of the look that found the entry valid, taken
//! before the load begins; a write that comes in between makes what is stored a miss.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Freshness, Look, Payload, Question, Stamps,
    fill::LINGER,
    flight::{Boarding, Landing, Leader},
    lease::Held,
    look::Late,
};
use crate::store::Stamp;

/// Loads that nobody waits for, at a time: they must not take the database from those who wait.
const MOST: usize = 32;

/// How long no other process does the same. If this one dies, the entry ends with its time.
const LEASE: Duration = Duration::from_secs(10);

/// More than any luck.
const MOST_LUCK: f64 = 23.0;

/// A load that goes on by itself, and brings what is to be stored. `None` if it failed.
pub(crate) type Detached = Pin<Box<dyn Future<Output = Option<Option<Payload>>> + Send>>;

/// That a reader wants its entry loaded anew before its time, and the lot that it has drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Early {
    /// How eager: the mean distance from the end, in times that the load takes.
    beta: f64,
    luck: f64,
}

impl Early {
    /// Whoever looks with this takes stamps of a valid entry, whenever its time is over.
    const CERTAIN: Self = Self { beta: f64::INFINITY, luck: f64::INFINITY };

    /// Draws. `None` if the entry is to end with its time.
    pub(crate) fn drawn(beta: f64) -> Option<Self> {
        (beta > 0.0).then(|| Self { beta, luck: luck() })
    }

    /// With a lot that was drawn before.
    pub(crate) fn with(self, luck: f64) -> Self {
        Self { luck, ..self }
    }

    /// Is it time, for an entry whose load took so long and that has so much of its time left?
    pub(super) fn is_due(self, took: Duration, left: Duration) -> bool {
        let due = || took.as_secs_f64() * self.beta * self.luck >= left.as_secs_f64();
        self.luck.is_infinite() || !took.is_zero() && due()
    }

    /// How far from the end an entry is loaded anew, for a luck of one.
    pub(super) fn reach(self, took: Duration) -> Reach {
        Reach(if took.is_zero() { 0.0 } else { took.as_secs_f64() * self.beta })
    }
}

/// How far from its end an answer in memory is loaded anew, for a luck of one; zero if it is not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reach(f64);

impl Reach {
    /// No lot is drawn with more than this left.
    pub(crate) fn most(self) -> Option<Duration> {
        (self.0 > 0.0).then(|| Duration::try_from_secs_f64(self.0 * MOST_LUCK).unwrap_or(Duration::MAX))
    }

    /// Draws; the lot, if it is time.
    pub(crate) fn draw(self, left: Duration) -> Option<f64> {
        let luck = luck();
        (self.0 * luck >= left.as_secs_f64()).then_some(luck)
    }
}

/// `-ln` of a number between zero and one: one on average, seldom much more.
fn luck() -> f64 {
    let [a, b, c, d, ..] = Stamp::fresh().get().to_le_bytes();
    let part = (f64::from(u32::from_le_bytes([a, b, c, d])) + 0.5) / 4_294_967_296.0;
    -part.ln()
}

/// Loads that nobody waits for.
#[derive(Debug)]
pub(super) struct Refreshes {
    room: Arc<Semaphore>,
    stored: AtomicU64,
    failed: AtomicU64,
}

impl Default for Refreshes {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(MOST)), stored: AtomicU64::new(0), failed: AtomicU64::new(0) }
    }
}

impl Refreshes {
    /// Entries that were loaded anew while their readers were served, and loads for that which failed.
    pub(super) fn counts(&self) -> [&AtomicU64; 2] {
        [&self.stored, &self.failed]
    }
}

impl Freshness {
    /// Entries that were loaded anew while their readers were served, and loads for that which failed.
    pub(crate) fn refreshes(&self) -> (u64, u64) {
        let [stored, failed] = self.refreshes.counts().map(|counter| counter.load(Ordering::Relaxed));
        (stored, failed)
    }

    /// Starts to load anew what is there and valid, unless somebody is at it. Nobody waits for it.
    pub(crate) fn refresh(
        self: &Arc<Self>,
        question: &Question,
        (stamps, late): (Stamps, Late),
        load: Detached,
    ) {
        let Ok(room) = self.refreshes.room.clone().try_acquire_owned() else { return };
        let flight = late.flight(question, &stamps);
        let Boarding::Lead(leader) = self.flights.board(&question.key, &flight) else { return };
        let work = self.clone().load_anew(question.clone(), (stamps, late), (leader, room), load);
        self.runtime.spawn(work);
    }

    async fn load_anew(
        self: Arc<Self>,
        question: Question,
        (stamps, late): (Stamps, Late),
        (leader, room): (Leader, OwnedSemaphorePermit),
        load: Detached,
    ) {
        let Some(held) = self.claim(&question, &stamps, late).await else {
            return linger(leader, room).await;
        };
        let began = Instant::now();
        let Some(payload) = load.await else {
            self.refreshes.failed.fetch_add(1, Ordering::Relaxed);
            drop(held);
            return linger(leader, room).await;
        };
        let took = began.elapsed();
        // It would be a miss, and may take the place of what is none.
        if !self.is_still_there(&question, &stamps, late).await {
            return;
        }
        let payload = payload.map(|payload| Payload { took, ..payload });
        let stored = payload.is_some();
        self.keep(&question, stamps, payload, Some(leader)).await;
        if stored {
            self.refreshes.stored.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Is it for this process to load the entry anew, and is it still the same? Two round trips.
    pub(super) async fn claim(
        self: &Arc<Self>,
        question: &Question,
        stamps: &Stamps,
        late: Late,
    ) -> Option<Held> {
        let life = self.reading.lease.max(LEASE);
        let held = self.lease_at_once(question, &late.flight(question, stamps), life).await?;
        self.is_still_there(question, stamps, late).await.then_some(held)
    }

    /// Is the entry there that was to be loaded anew, and valid under the same stamps?
    async fn is_still_there(&self, question: &Question, stamps: &Stamps, late: Late) -> bool {
        let again = Question { early: Some(Early::CERTAIN), ..question.clone() };
        let (now, then) = match self.look(&again).await {
            Look::Hit { early: Some(found), .. } => *found,
            Look::Late { stamps, late, .. } => (stamps, late),
            _ => return false,
        };
        then.flight(question, &now) == late.flight(question, stamps)
    }
}

/// For a moment nobody else tries: not one reader after the other.
async fn linger(leader: Leader, room: OwnedSemaphorePermit) {
    drop(room);
    let leader = leader.announce(Landing::Failed);
    tokio::time::sleep(LINGER).await;
    drop(leader);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closer_the_end_and_the_longer_the_load_the_more_readers_draw_it() {
        let drawn = |took: u64, left: u64| {
            let early = || Early::drawn(1.0).unwrap();
            let due = |_: &usize| early().is_due(Duration::from_millis(took), Duration::from_millis(left));
            (0..20_000).filter(due).count()
        };
        // One in e, one in e^3, nearly all, none.
        assert!((6_600..8_200).contains(&drawn(100, 100)), "{}", drawn(100, 100));
        assert!((700..1_300).contains(&drawn(100, 300)), "{}", drawn(100, 300));
        assert!(drawn(100, 1) > 19_500);
        assert_eq!(drawn(100, 2_400), 0);
        assert_eq!(drawn(100, 0), 20_000, "its time is over");
        assert_eq!(drawn(0, 1), 0, "nobody knows how long the load takes");
    }

    #[test]
    fn who_is_not_eager_never_draws_it() {
        for beta in [0.0, -1.0, f64::NAN] {
            assert_eq!(Early::drawn(beta), None);
        }
        assert!(Early::drawn(f64::INFINITY).unwrap().is_due(Duration::from_micros(1), Duration::MAX));
    }

    #[test]
    fn an_answer_in_memory_draws_as_the_entry_does() {
        let early = Early::drawn(2.0).unwrap();
        let reach = early.reach(Duration::from_millis(100));
        assert_eq!(reach.most(), Some(Duration::from_millis(4_600)));
        assert_eq!(reach.draw(Duration::from_secs(5)), None);
        for _ in 0..1_000 {
            if let Some(luck) = reach.draw(Duration::from_millis(200)) {
                assert!(early.with(luck).is_due(Duration::from_millis(100), Duration::from_millis(200)));
            }
        }
        assert_eq!(early.reach(Duration::ZERO).most(), None);
        let certain = Early::drawn(f64::INFINITY).unwrap().reach(Duration::from_micros(1));
        assert_eq!(certain.most(), Some(Duration::MAX));
        assert!(certain.draw(Duration::MAX).is_some());
    }
}
