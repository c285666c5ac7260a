//! Where entries and tags are kept: the [`Store`] trait and its two implementations.
//!
//! A store knows keys, bytes, stamps and lifetimes. It knows nothing of SQL, entities or
//! what an entry means; the rules that make an entry valid live in `freshness`.

mod cell;
#[cfg(test)]
mod conformance;
mod facts;
mod fallback;
#[cfg(all(test, unix, feature = "redis"))]
mod faults;
mod feed;
mod key;
#[cfg(test)]
mod likeness;
mod memory;
mod rate;
#[cfg(feature = "redis")]
pub(crate) mod redis;
mod tag;
#[cfg(all(test, unix, feature = "redis"))]
mod testbed;

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

pub(crate) use cell::Cell;
pub use cell::Fate;
pub use facts::ServerFacts;
pub(crate) use fallback::Fallback;
pub use feed::{TagListener, Watch};
pub use key::{EntryKey, TagKey};
pub use memory::MemoryStore;
pub(crate) use rate::Meters;
pub use rate::{RateAnswer, RateAsk};
pub use tag::{Stamp, TagState, WriterId};

/// One tag that a [`Store::read`] asks for.
#[derive(Clone, Debug)]
pub struct TagProbe {
    /// Which tag.
    pub key: TagKey,
    /// The stamp to put there first, if the tag is absent, and how long it lives.
    ///
    /// `None` only looks. A proposal never replaces a stamp or a barrier that stands.
    pub propose: Option<(Stamp, Duration)>,
}

/// What [`Store::read`] found: answers in the order of the questions.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// One answer per entry key; `None` is "not there".
    pub entries: Vec<Option<Bytes>>,
    /// One answer per probe, read after the proposals were applied.
    pub tags: Vec<TagState>,
    /// Which life of the store this came from: another number after a restart or a failover, when
    /// the store may have gone back to older data (a snapshot, a replica that was behind). The
    /// same for all processes. Zero if the store cannot tell, or always keeps nothing.
    pub incarnation: u64,
}

/// Can the store be used now?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// Yes, as far as is known.
    Ready,
    /// No: calls fail at once, until it has recovered.
    Unreachable,
}

/// One entry to keep.
#[derive(Clone, Debug)]
pub struct EntryWrite {
    /// Where.
    pub key: EntryKey,
    /// The encoded entry, header included.
    pub bytes: Bytes,
    /// Time to live; at least one millisecond.
    pub ttl: Duration,
}

/// What a writer does before its COMMIT: it leaves its mark on tags, or renews it.
#[derive(Clone, Debug)]
pub struct Arm {
    /// Whose mark.
    pub writer: WriterId,
    /// The tags; a stamp that carries the label beside its tag is left alone (zero is none).
    pub tags: Vec<(TagKey, u64)>,
    /// How long the mark stands if nobody takes it away.
    pub life: Duration,
}

/// What a writer does after its COMMIT: it takes its mark away and purges.
#[derive(Clone, Debug)]
pub struct Release {
    /// Whose mark. It need not have left one.
    pub writer: WriterId,
    /// The tags, and what becomes of each.
    pub tags: Vec<(TagKey, Fate)>,
    /// Entries to drop, to give the memory back.
    pub entries: Vec<EntryKey>,
    /// Entries to keep, which depend on tags that are renewed ([`Fate::Renew`]). Whether they can be
    /// kept, or a tag was renewed, makes no difference to the purge.
    pub store: Vec<EntryWrite>,
    /// A purged tag stays a barrier for so long. Zero: not at all.
    pub settle: Duration,
}

impl Release {
    /// A purge by somebody who left no mark.
    pub fn purging(tags: &[TagKey], entries: &[EntryKey]) -> Self {
        Self {
            writer: WriterId::fresh(),
            tags: tags.iter().map(|tag| (tag.clone(), Fate::Purge)).collect(),
            entries: entries.to_vec(),
            store: Vec::new(),
            settle: Duration::ZERO,
        }
    }
}

/// A place that keeps entries and tags.
///
/// All methods are cancel safe: a dropped future leaves the operation done or not done, never
/// half done in a way that could make a stale entry valid. Each is one round trip.
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// Reads entries and tags together, after putting down the proposed stamps where a tag is
    /// absent. One round trip.
    ///
    /// The answer for the tags must be read after the proposals took effect and, for any entry
    /// in the same call, no later than one atomic step with it (a single MGET).
    async fn read(&self, entries: &[EntryKey], tags: &[TagProbe]) -> Result<Found, StoreError>;

    /// Stores entries and makes sure that each named tag lives at least as long as given from
    /// now. A tag that is absent stays absent. One round trip.
    async fn write(&self, entries: &[EntryWrite], keep: &[(TagKey, Duration)]) -> Result<(), StoreError>;

    /// Leaves a writer's mark on tags, so that nobody serves or stores what depends on them until it
    /// is taken away or its life is over. Says on how many of them its mark stood already. One round
    /// trip.
    async fn arm(&self, arm: &Arm) -> Result<usize, StoreError>;

    /// Takes a writer's marks away, purges what it touched, and drops the entries. The marks of other
    /// writers stay. Says how many of its marks still stood. One round trip, however many entries
    /// depend on the tags. Idempotent, but for that number. Works when the store refuses writes for
    /// lack of memory.
    async fn release(&self, release: &Release) -> Result<usize, StoreError>;

    /// Drops entries; says how many were there. One round trip.
    async fn delete(&self, entries: &[EntryKey]) -> Result<u64, StoreError>;

    /// Lists up to `limit` entry and tag keys that begin with `prefix` (taken literally).
    /// An operator's tool: many round trips, each bounded; never on a hot path.
    async fn scan(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StoreError>;

    /// Takes a lease: true if nobody held `key`; it ends by itself after `ttl`. One round trip.
    async fn lease(&self, key: &EntryKey, ttl: Duration) -> Result<bool, StoreError>;

    /// Asks a rate limit, and counts what it lets through, in one atomic step and by one clock for all
    /// who ask. One round trip. A limit is forgotten when it is as if nothing had come.
    async fn rate(&self, ask: &RateAsk) -> Result<RateAnswer, StoreError> {
        let _ = ask;
        Err(StoreError::Refused { operation: "a rate limit", reason: "not offered by this store".to_owned() })
    }

    /// Is the store there? One round trip.
    async fn ping(&self) -> Result<(), StoreError>;

    /// What is known of the server, for operators. A few round trips at most, and asked now and then.
    async fn server(&self) -> Result<ServerFacts, StoreError> {
        Ok(ServerFacts::default())
    }

    /// Resolves when the store is usable (again), so that delayed purges are delivered at once
    /// instead of at the next attempt. A store that is never away need not implement it.
    async fn recovered(&self) {}

    /// Tells the listener of every change of a tag, from now on and for as long as this future is
    /// polled; connects again by itself. Ready only if that cannot be had, with the reason.
    ///
    /// A tag that is made absent is a change even if it is absent by then. Which changes come together
    /// does not matter, only that none is left out of what
    /// [`complete_until`](TagListener::complete_until) says.
    async fn watch(&self, watch: &Watch, listener: Arc<dyn TagListener>) -> StoreError {
        let _ = (watch, listener);
        StoreError::Refused { operation: "a feed of changes", reason: "not offered by this store".to_owned() }
    }

    /// Does what it keeps outlive this process? Then a writer that is killed leaves its marks behind.
    fn outlives_the_process(&self) -> bool {
        true
    }

    /// Has a namespace to stand in braces, so that all its keys are in one slot (Redis Cluster)? Who
    /// wraps a store says what that one says.
    fn uses_hash_tags(&self) -> bool {
        false
    }

    /// The store that this one answers for while that is away: for who must have the truth, or an error.
    fn stands_in_for(&self) -> Option<&dyn Store> {
        None
    }

    /// Whether calls have a chance. Costs next to nothing; no round trip.
    fn state(&self) -> StoreState {
        StoreState::Ready
    }

    /// A word for logs and [`Cache::store_name`](crate::Cache::store_name): `memory`, `redis`.
    fn name(&self) -> &'static str;
}

/// Why a store could not do what it was asked. On a read it is a miss; on a purge it is retried.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No answer within the configured time.
    #[error("the cache store gave no answer to {operation} within {after:?}")]
    Timeout {
        /// What was asked.
        operation: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// No connection, or the circuit breaker is open after repeated failures.
    #[error("the cache store is unreachable: {reason}")]
    Unreachable {
        /// What the connection said; holds no credentials.
        reason: String,
    },
    /// The server answered with an error.
    #[error("the cache store refused {operation}: {reason}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// The server's error code and text; holds no keys or values.
        reason: String,
    },
    /// The configuration cannot work; says which part and what to do.
    #[error("cache store configuration: {0}")]
    Config(String),
}

/// A lifetime as the stores count it: whole milliseconds, at least one (rounded up: a life must not
/// end early), at most ten years (what every store can count).
fn whole_millis(life: Duration) -> u64 {
    const TEN_YEARS: u64 = 10 * 366 * 24 * 3600 * 1000;
    let more = u128::from(!life.subsec_nanos().is_multiple_of(1_000_000));
    let millis = life.as_millis() + more;
    u64::try_from(millis).unwrap_or(TEN_YEARS).clamp(1, TEN_YEARS)
}
