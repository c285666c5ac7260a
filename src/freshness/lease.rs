//! Leases: of all processes that miss the same entry, one loads it.
//!
//! A lease is a tag of its own beside the entry, named after the stamps that the load depends on, and
//! taken by proposing a stamp: whoever finds its own proposal there has it. So a lease from before a
//! purge means nothing after it. Its holder gives it back when the entry is on its way; nobody ever
//! takes away the lease of another, which ends with its life at the latest.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Freshness, Look, PayloadKind, Question, Stamps};
use crate::store::{Fate, Release, Stamp, TagKey, TagProbe, TagState, WriterId};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Who is to load.
pub(super) enum Lease {
    /// This process; nobody else loads as long as this is kept.
    Ours(Option<Held>),
    /// Nobody: another has done it.
    Landed { kind: PayloadKind, payload: Bytes },
    /// The entry's tags were purged meanwhile: look anew.
    Overtaken,
    /// Another that takes too long. Load, and leave the storing to it.
    Overdue,
}

/// A lease that is held. Given back when it is dropped.
pub(super) struct Held {
    freshness: Arc<Freshness>,
    key: TagKey,
    stamp: Stamp,
}

impl Drop for Held {
    fn drop(&mut self) {
        let (store, key) = (self.freshness.store.clone(), self.key.clone());
        let tags = vec![(key, Fate::End(self.stamp))];
        let release = Release {
            writer: WriterId::fresh(),
            tags,
            entries: Vec::new(),
            store: Vec::new(),
            settle: Duration::ZERO,
        };
        self.freshness.runtime.spawn(async move {
            // If it fails, the lease ends with its life.
            let _ = store.release(&release).await;
        });
    }
}

impl Freshness {
    /// The lease, if nobody has it. One round trip.
    pub(super) async fn lease_at_once(
        self: &Arc<Self>,
        question: &Question,
        flight: &[u64],
        life: Duration,
    ) -> Option<Held> {
        let (key, mine) = (lease_key(question, flight), Stamp::fresh());
        let probe = [TagProbe { key, propose: Some((mine, life)) }];
        let found = self.store.read(&[], &probe).await.ok()?;
        let [TagProbe { key, .. }] = probe;
        let ours = matches!(found.tags.first(), Some(TagState::Stamp(holder)) if *holder == mine);
        ours.then(|| Held { freshness: self.clone(), key, stamp: mine })
    }

    /// Waits until the entry is there, or until it is for this process to load it. One round trip if
    /// nobody has the lease; then one for each look, ever more rarely.
    pub(super) async fn take_lease(self: &Arc<Self>, question: &Question, stamps: &Stamps) -> Lease {
        let patience = self.reading.lease;
        if patience.is_zero() {
            return Lease::Ours(None);
        }
        let flight = stamps.flight(question);
        let key = lease_key(question, &flight);
        let mine = Stamp::fresh();
        let probe = [TagProbe { key, propose: Some((mine, patience)) }];
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let found = match self.store.read(std::slice::from_ref(&question.key), &probe).await {
                Ok(found) => found,
                // The store is away: nobody else will bring it.
                Err(_) => return Lease::Ours(None),
            };
            if found.entries.iter().any(Option::is_some) {
                match self.look(question).await {
                    Look::Hit { kind, payload, .. } => return Lease::Landed { kind, payload },
                    Look::Miss(now) if now.flight(question) == flight => {}
                    _ => return Lease::Overtaken,
                }
            }
            match found.tags.first() {
                Some(TagState::Stamp(holder)) if *holder != mine => {}
                Some(TagState::Stamp(_)) => {
                    let [TagProbe { key, .. }] = probe;
                    return Lease::Ours(Some(Held { freshness: self.clone(), key, stamp: mine }));
                }
                _ => return Lease::Ours(None),
            }
            if since.elapsed() >= patience {
                return Lease::Overdue;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn lease_key(question: &Question, flight: &[u64]) -> TagKey {
    TagKey::from_full(format!("{}~lease.{:016x}", question.key.as_str(), folded(flight)))
}

/// One number for all stamps, the same in every process.
fn folded(stamps: &[u64]) -> u64 {
    stamps.iter().fold(0, |all, stamp| (all.rotate_left(5) ^ stamp).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
