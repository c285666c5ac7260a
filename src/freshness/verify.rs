//! Verification in production: now and then a hit is held against the database. What they differ in
//! is either explained by a write that came in between, or is a stale answer, of which there must be
//! none.

use std::{
    future::Future,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Checks, Fetched, Freshness, Loaded, Look, Outcome, PayloadKind, Question};
use crate::config::Consistency;

/// Without barriers a purge comes a moment after its COMMIT; so long it may take.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// What was found by looking twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    /// A write came in between: the entry is no longer valid.
    Overtaken,
    /// The entry is valid, and wrong.
    Stale,
}

impl Freshness {
    /// Is it the turn of this hit?
    pub(crate) fn is_sampled(&self) -> bool {
        let one_in = self.reading.verify_one_in;
        one_in != 0 && self.checks.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(u64::from(one_in))
    }

    /// Hits that were verified, and those of them that were stale.
    pub(crate) fn verified(&self) -> (u64, u64) {
        let Checks { verified, stale, .. } = &self.checks;
        (verified.load(Ordering::Relaxed), stale.load(Ordering::Relaxed))
    }

    /// Loads what was a hit, and compares. The caller gets what the database says; if that cannot be
    /// asked, what the cache said.
    pub(super) async fn verify<T, E, L, F>(
        &self,
        question: &Question,
        (kind, payload): (PayloadKind, &Bytes),
        value: T,
        load: L,
    ) -> Fetched<T>
    where
        L: FnOnce() -> F,
        F: Future<Output = Result<Loaded<T>, E>>,
    {
        let hit = |value| Fetched::passing(value, Outcome::Hit);
        let Ok(loaded) = load().await else { return hit(value) };
        // An application's own type may be written down in another order each time.
        let Some(now) = loaded.payload.filter(|_| kind != PayloadKind::Custom) else {
            return hit(loaded.value);
        };
        let same = now.kind == kind && same_content(&now.bytes, payload, question.is_one_row());
        let verdict = if same { Verdict::Same } else { self.look_after(question, payload).await };
        self.checks.verified.fetch_add(1, Ordering::Relaxed);
        match verdict {
            Verdict::Same => {}
            Verdict::Overtaken => {
                self.checks.overtaken.fetch_add(1, Ordering::Relaxed);
            }
            Verdict::Stale => {
                self.checks.stale.fetch_add(1, Ordering::Relaxed);
                // Without keys, which hold data.
                let tags = self.history(question).await;
                tracing::error!(
                    ?tags,
                    "a cached answer was stale: it differs from the database, and is valid"
                );
            }
        }
        hit(loaded.value)
    }

    /// Is the same entry still valid, now that the database has said something else?
    async fn look_after(&self, question: &Question, payload: &Bytes) -> Verdict {
        // With barriers, whoever has committed has left one before.
        let patience = match self.writing.consistency {
            Consistency::Strict => Duration::ZERO,
            Consistency::AfterCommit => PATIENCE,
        };
        let since = Instant::now();
        loop {
            match self.look(question).await {
                Look::Hit { payload: there, .. } if there == *payload => {}
                _ => return Verdict::Overtaken,
            }
            if since.elapsed() >= patience {
                return Verdict::Stale;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What the question's tags carry, in their order.
    async fn history(&self, question: &Question) -> Vec<crate::store::TagState> {
        let probes: Vec<_> = question.tags.iter().map(super::glance::only_look).collect();
        self.store.read(&[], &probes).await.map(|found| found.tags).unwrap_or_default()
    }
}

/// The same bytes; or, of several rows that nobody has put in order, the same ones in another.
fn same_content(one: &[u8], other: &[u8], in_order: bool) -> bool {
    if one == other || in_order || one.len() != other.len() {
        return one == other;
    }
    let count = |bytes: &[u8]| {
        let mut counts = [0_u32; 256];
        bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        counts
    };
    count(one) == count(other)
}
