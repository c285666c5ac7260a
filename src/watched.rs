//! What a piece of work reads through the cache and its connections, while somebody wants to know.
//!
//! Whoever keeps what was made of many reads (a response) sets a scope for the task that makes it. Reads
//! report in it what their answers depend on, and whatever cannot be said in tags refuses: then the
//! result must not be kept. Without a scope all this is a look at a thread-local.
//!
//! A scope is that of a task: what is spawned from it is not seen.

use std::sync::Arc;

use crate::{freshness::Freshness, store::TagKey};

/// Why what is being made must not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "tower"), allow(dead_code))]
pub(crate) enum Refusal {
    /// It wrote, or invalidated.
    Wrote,
    /// It used a transaction, whose reads may be of any time, and of what is never committed.
    Transaction,
    /// It read something of which nobody can say when it changes.
    Unknown,
    /// It read what sessions of one kind alone see.
    Session,
    /// It read from a replica, which may be behind.
    Replica,
    /// It read through another cache, whose tags are elsewhere.
    OtherCache,
    /// Somebody within keeps it.
    Within,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wrote => "the handler wrote",
            Self::Transaction => "the handler used a transaction",
            Self::Unknown => "the handler read what no tag stands for",
            Self::Session => "the handler read what one kind of session sees",
            Self::Replica => "the handler read from a replica",
            Self::OtherCache => "the handler read through another cache",
            Self::Within => "kept by a cache within",
        })
    }
}

#[cfg(feature = "tower")]
mod scope {
    use std::{
        collections::BTreeSet,
        future::Future,
        sync::{Arc, Mutex, MutexGuard, PoisonError},
    };

    use super::Refusal;
    use crate::{freshness::Freshness, store::TagKey};

    tokio::task_local! {
        pub(super) static WATCH: Watch;
    }

    /// What is seen of one piece of work. Clones see the same.
    #[derive(Clone, Debug)]
    pub(crate) struct Watch {
        pub(super) of: Arc<Freshness>,
        /// Is what is made for one user, or one kind of users, alone?
        pub(super) personal: bool,
        // A std lock: held for a set operation, never across an await.
        seen: Arc<Mutex<Seen>>,
    }

    #[derive(Debug, Default)]
    pub(super) struct Seen {
        pub(super) tags: BTreeSet<TagKey>,
        pub(super) refusal: Option<Refusal>,
    }

    impl Watch {
        pub(crate) fn new(of: &Arc<Freshness>, personal: bool) -> Self {
            Self { of: of.clone(), personal, seen: Arc::default() }
        }

        /// Does something within the scope.
        pub(crate) async fn over<F: Future>(&self, work: F) -> F::Output {
            WATCH.scope(self.clone(), work).await
        }

        /// What it depends on, so far; or why that cannot be said.
        pub(crate) fn tags(&self) -> Result<BTreeSet<TagKey>, Refusal> {
            let seen = self.seen();
            match seen.refusal {
                Some(refusal) => Err(refusal),
                None => Ok(seen.tags.clone()),
            }
        }

        pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

#[cfg(feature = "tower")]
pub(crate) use scope::Watch;

/// Does anybody want to know?
#[inline]
pub(crate) fn is_watched() -> bool {
    #[cfg(feature = "tower")]
    return scope::WATCH.try_with(|_| ()).is_ok();
    #[cfg(not(feature = "tower"))]
    return false;
}

/// What is being made must not be kept.
#[inline]
pub(crate) fn refuse(refusal: Refusal) {
    #[cfg(feature = "tower")]
    let _ = scope::WATCH.try_with(|watch| {
        watch.seen().refusal.get_or_insert(refusal);
    });
    #[cfg(not(feature = "tower"))]
    let _ = refusal;
}

/// What is being made depends on these tags of this cache. A purge of whatever was read must purge one
/// of them too.
#[inline]
pub(crate) fn depends<'a>(of: &Arc<Freshness>, tags: impl IntoIterator<Item = &'a TagKey>) {
    #[cfg(feature = "tower")]
    let _ = scope::WATCH.try_with(|watch| {
        if Arc::ptr_eq(&watch.of, of) {
            watch.seen().tags.extend(tags.into_iter().cloned());
        } else {
            watch.seen().refusal.get_or_insert(Refusal::OtherCache);
        }
    });
    #[cfg(not(feature = "tower"))]
    let _ = (of, tags);
}

/// Somebody reads what sessions of this key alone see.
#[inline]
pub(crate) fn reads_as(session: Option<&str>) {
    #[cfg(feature = "tower")]
    if session.is_some() {
        let _ = scope::WATCH.try_with(|watch| {
            if !watch.personal {
                watch.seen().refusal.get_or_insert(Refusal::Session);
            }
        });
    }
    #[cfg(not(feature = "tower"))]
    let _ = session;
}
