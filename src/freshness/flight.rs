//! Single-flight: one load per key and stamps, which others wait for.
//!
//! A flight is known by its key *and the stamps it took before loading* (and the life of the store
//! that they are from). Whoever arrives later has looked at the tags itself: if a purge came in
//! between, it saw other stamps, and so it never joins a flight that began before the purge.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tokio::sync::watch;

use super::PayloadKind;
use crate::store::EntryKey;

/// Enough to keep unrelated keys from waiting for each other's map operations.
const SHARDS: usize = 16;

/// How a flight ended, as its followers see it.
#[derive(Clone, Debug)]
pub(super) enum Landing {
    /// Here is what the leader loaded.
    Loaded { kind: PayloadKind, payload: Bytes },
    /// The load failed, or what it brought cannot be shared.
    Failed,
    /// The leader went away (its future was dropped, or it panicked).
    Abandoned,
}

#[derive(Debug)]
struct Flight {
    stamps: Box<[u64]>,
    landing: watch::Receiver<Option<Landing>>,
}

type Shard = Mutex<HashMap<EntryKey, Arc<Flight>>>;

/// The flights in the air.
#[derive(Debug)]
pub(super) struct Flights {
    // A std lock: held for a map operation, never across an await.
    shards: [Shard; SHARDS],
    hasher: RandomState,
}

/// What a caller is to do.
pub(super) enum Boarding {
    /// Load, then land.
    Lead(Leader),
    /// Wait for the leader.
    Follow(watch::Receiver<Option<Landing>>),
}

/// The duty to land. Dropped without landing, it tells the followers that it was abandoned.
pub(super) struct Leader {
    flights: Arc<Flights>,
    key: EntryKey,
    flight: Arc<Flight>,
    landing: watch::Sender<Option<Landing>>,
}

impl Flights {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            shards: std::array::from_fn(|_| Mutex::new(HashMap::new())),
            hasher: RandomState::new(),
        })
    }

    pub(super) fn board(self: &Arc<Self>, key: &EntryKey, stamps: &[u64]) -> Boarding {
        let mut shard = self.shard(key).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(flight) = shard.get(key)
            && *flight.stamps == *stamps
        {
            return Boarding::Follow(flight.landing.clone());
        }
        let (sender, receiver) = watch::channel(None);
        let flight = Arc::new(Flight { stamps: stamps.into(), landing: receiver });
        // A flight with older stamps stays in the air for those who wait for it; it only can no
        // longer be joined.
        shard.insert(key.clone(), flight.clone());
        Boarding::Lead(Leader { flights: self.clone(), key: key.clone(), flight, landing: sender })
    }

    /// Nobody joins the key's flight from now on; those who wait still get what it brings.
    pub(super) fn forget(&self, key: &EntryKey) {
        self.shard(key).lock().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(key);
    }

    fn shard(&self, key: &EntryKey) -> &Shard {
        &self.shards[(self.hasher.hash_one(key) as usize) % SHARDS]
    }
}

impl Leader {
    /// Lands, and from now on nobody joins.
    pub(super) fn land(self, landing: Landing) {
        drop(self.announce(landing));
    }

    /// Lands, but can still be joined until what is returned is dropped.
    pub(super) fn announce(self, landing: Landing) -> Leader {
        let _ = self.landing.send(Some(landing));
        self
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut shard = self.flights.shard(&self.key).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if shard.get(&self.key).is_some_and(|there| Arc::ptr_eq(there, &self.flight)) {
            shard.remove(&self.key);
        }
        drop(shard);
        self.landing.send_if_modified(|landing| match landing {
            Some(_) => false,
            None => {
                *landing = Some(Landing::Abandoned);
                true
            }
        });
    }
}

/// Waits for a landing.
pub(super) async fn landed(mut flight: watch::Receiver<Option<Landing>>) -> Landing {
    match flight.wait_for(Option::is_some).await {
        Ok(landing) => landing.clone().unwrap_or(Landing::Abandoned),
        Err(_) => Landing::Abandoned,
    }
}
