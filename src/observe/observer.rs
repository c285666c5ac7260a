//! What is kept for those who watch the cache: what the server said last, and what was counted when
//! they looked.

use std::{
    sync::{
        PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use super::{Advice, RecentPurge, advice, recent::Recent};
use crate::{
    Cache,
    store::{ServerFacts, StoreState},
};

/// What the server said is good for so long.
const FRESH: Duration = Duration::from_secs(5);
/// It is waited for no longer than this.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    /// Held while the server is asked, so that many who watch ask once.
    server: Mutex<Option<(Instant, ServerFacts)>>,
    // A std lock: held for some copies of counters, never across an await.
    recent: std::sync::Mutex<Recent>,
    /// The database that cached reads load from says that it is a copy of another.
    from_replica: AtomicBool,
    #[cfg(feature = "metrics")]
    pub(super) published: std::sync::Mutex<super::metrics::Published>,
}

impl Observer {
    /// The counters begin anew.
    pub(crate) fn forget(&self) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).forget();
    }

    pub(crate) fn loads_from_replica(&self, is_so: bool) {
        self.from_replica.store(is_so, Ordering::Relaxed);
    }

    /// What the server said last, if it was ever asked and is not being asked now.
    #[cfg(feature = "metrics")]
    pub(super) fn known_server(&self) -> Option<ServerFacts> {
        self.server.try_lock().ok()?.as_ref().map(|(_, facts)| facts.clone())
    }
}

impl Cache {
    /// What the store says of itself: memory, its limit, what it evicts. Asked at most every five
    /// seconds, and for a second at most; what cannot be had is left open.
    ///
    /// Cancel safe. A few round trips at most.
    pub async fn server(&self) -> ServerFacts {
        let store = self.inner.freshness.store();
        let ask = async {
            let mut known = self.inner.observer.server.lock().await;
            if let Some((at, facts)) = &*known
                && at.elapsed() < FRESH
            {
                return facts.clone();
            }
            // Also nothing is remembered: a server that is away is not asked by everybody.
            let facts = tokio::time::timeout(PATIENCE, store.server()).await;
            let facts = facts.map(|answer| answer.unwrap_or_default()).unwrap_or_default();
            *known = Some((Instant::now(), facts.clone()));
            facts
        };
        // For those who wait for one who asks.
        tokio::time::timeout(PATIENCE * 2, ask).await.unwrap_or_default()
    }

    /// What could be better, the worst first: from the statistics of the last quarter of an hour, and from
    /// what the store says of itself. Empty if there is nothing to say.
    ///
    /// What is asked for less often is about the time since it was asked for last; the first time, since
    /// the start or the last [`reset_stats`](Self::reset_stats).
    ///
    /// ```
    /// # async fn look(cache: sea_orm_cache::Cache) {
    /// for advice in cache.advice().await {
    ///     println!("{}: {} {}", advice.code, advice.what, advice.do_this);
    /// }
    /// # }
    /// ```
    pub async fn advice(&self) -> Vec<Advice> {
        let server = self.server().await;
        let recent = &self.inner.observer.recent;
        let stats =
            recent.lock().unwrap_or_else(PoisonError::into_inner).since(Instant::now(), &self.stats());
        let store = self.inner.freshness.store();
        advice::advise(&advice::Snapshot {
            stats: &stats,
            server: &server,
            reachable: store.state() == StoreState::Ready,
            enabled: self.config().enabled,
            unsettled_replica: self.inner.observer.from_replica.load(Ordering::Relaxed)
                && self.config().settle.is_zero(),
        })
    }

    /// The last purges of this process, the newest first, two hundred at most: tables and numbers,
    /// neither keys nor values.
    #[must_use]
    pub fn recent_purges(&self) -> Vec<RecentPurge> {
        self.inner.freshness.traffic.recent_purges()
    }
}
