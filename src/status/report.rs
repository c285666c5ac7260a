//! What is told: the documents of `GET /status` and `GET /purges`. Their fields are part of the public
//! interface and stand in `docs/operations.md`.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{Json, extract::State};
use serde::Serialize;

use super::Shared;
use crate::{Advice, Health, LatencyStats, PurgedScope, TableStats, observe::millis, stores::ServerFacts};

#[derive(Serialize)]
pub(super) struct Report {
    namespace: String,
    health: Health,
    total: Counts,
    tables: Vec<Table>,
    store_time: StoreTime,
    purges: Purges,
    unguarded_writes: u64,
    lapsed_barriers: u64,
    verified_hits: u64,
    stale_hits: u64,
    refreshed_early: u64,
    refreshes_failed: u64,
    not_stored: u64,
    stored_entries: u64,
    stored_bytes: u64,
    unreadable: u64,
    store_errors: u64,
    near: Near,
    server: Server,
    advice: Vec<Advice>,
    /// `POST /warm-up` has something to do.
    can_warm_up: bool,
}

#[derive(Serialize)]
struct Counts {
    reads: u64,
    hits: u64,
    near: u64,
    misses: u64,
    joined: u64,
    bypasses: u64,
    store_away: u64,
    writes: u64,
    hit_rate: Option<f64>,
}

#[derive(Serialize)]
struct Table {
    table: String,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Serialize)]
struct StoreTime {
    read: Times,
    purge: Times,
}

#[derive(Serialize)]
struct Times {
    count: u64,
    total_ms: f64,
    mean_ms: Option<f64>,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
}

#[derive(Serialize)]
struct Purges {
    by_writes: u64,
    by_hand: u64,
    of_namespace: u64,
    delayed: u64,
    waiting_tags: u64,
}

#[derive(Serialize)]
struct Near {
    answers: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Server {
    version: Option<String>,
    uptime_seconds: Option<u64>,
    memory_bytes: Option<u64>,
    memory_limit: Option<u64>,
    eviction_policy: Option<String>,
    evicted_keys: Option<u64>,
}

/// A second or two at most, whatever becomes of the store.
pub(super) async fn status(State(shared): State<Arc<Shared>>) -> Json<Report> {
    let cache = &shared.cache;
    let (health, advice) = futures_util::future::join(cache.health(), cache.advice()).await;
    // Known by now, from the advice.
    let server = cache.server().await;
    let stats = cache.stats();
    Json(Report {
        namespace: cache.config().namespace.clone(),
        health,
        total: (&stats.total).into(),
        tables: stats
            .tables
            .iter()
            .map(|(table, counts)| Table { table: table.clone(), counts: counts.into() })
            .collect(),
        store_time: StoreTime { read: stats.store_reads.into(), purge: stats.store_purges.into() },
        purges: Purges {
            by_writes: stats.purges,
            by_hand: stats.invalidations,
            of_namespace: stats.namespace_purges,
            delayed: stats.delayed_purges,
            waiting_tags: stats.undelivered_tags,
        },
        unguarded_writes: stats.unguarded_writes,
        lapsed_barriers: stats.lapsed_barriers,
        verified_hits: stats.verified_hits,
        stale_hits: stats.stale_hits,
        refreshed_early: stats.refreshed_early,
        refreshes_failed: stats.refreshes_failed,
        not_stored: stats.not_stored,
        stored_entries: stats.stored_entries,
        stored_bytes: stats.stored_bytes,
        unreadable: stats.unreadable,
        store_errors: stats.store_errors,
        near: Near { answers: stats.near_answers, bytes: stats.near_bytes },
        server: server.into(),
        advice,
        can_warm_up: shared.warm_ups.are_possible(),
    })
}

#[derive(Serialize)]
pub(super) struct PurgeFeed {
    purges: Vec<Purge>,
}

#[derive(Serialize)]
struct Purge {
    /// Milliseconds since 1970.
    at: u64,
    reason: &'static str,
    queued: bool,
    everything: bool,
    tables: Vec<PurgedTable>,
    more_tables: usize,
    tags: usize,
}

#[derive(Serialize)]
struct PurgedTable {
    table: String,
    scope: &'static str,
    rows: Option<usize>,
}

pub(super) async fn purges(State(shared): State<Arc<Shared>>) -> Json<PurgeFeed> {
    let purges = shared.cache.recent_purges().into_iter().map(|purge| Purge {
        at: since_1970(purge.at),
        reason: if purge.by_hand { "invalidation" } else { "write" },
        queued: purge.queued,
        everything: purge.everything,
        tables: purge
            .tables
            .into_iter()
            .map(|there| {
                let (scope, rows) = match there.scope {
                    PurgedScope::Lists => ("lists", None),
                    PurgedScope::Rows(rows) => ("rows", Some(rows)),
                    PurgedScope::Table => ("table", None),
                };
                PurgedTable { table: there.table, scope, rows }
            })
            .collect(),
        more_tables: purge.more_tables,
        tags: purge.tags,
    });
    Json(PurgeFeed { purges: purges.collect() })
}

pub(super) fn since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl From<&TableStats> for Counts {
    fn from(stats: &TableStats) -> Self {
        let TableStats { reads, hits, near, misses, joined, bypasses, store_away, writes } = *stats;
        Self { reads, hits, near, misses, joined, bypasses, store_away, writes, hit_rate: stats.hit_rate() }
    }
}

impl From<LatencyStats> for Times {
    fn from(stats: LatencyStats) -> Self {
        Self {
            count: stats.count,
            total_ms: millis(stats.total),
            mean_ms: stats.mean().map(millis),
            p50_ms: millis(stats.p50),
            p95_ms: millis(stats.p95),
            p99_ms: millis(stats.p99),
        }
    }
}

impl From<ServerFacts> for Server {
    fn from(facts: ServerFacts) -> Self {
        let ServerFacts {
            version,
            uptime_seconds,
            memory_bytes,
            memory_limit,
            eviction_policy,
            evicted_keys,
            ..
        } = facts;
        Self { version, uptime_seconds, memory_bytes, memory_limit, eviction_policy, evicted_keys }
    }
}
