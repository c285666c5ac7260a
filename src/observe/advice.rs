//! Advice: what the numbers say that an operator should do. A pure function of a snapshot, so that each
//! rule has a test at its threshold.

use std::time::Duration;

use serde::Serialize;

use super::{CacheStats, TableStats};
use crate::store::ServerFacts;

/// Fewer reads than this say nothing about rates.
const FEWEST_READS: u64 = 1000;
/// Fewer questions to the store say nothing about its speed.
const FEWEST_QUESTIONS: u64 = 100;
const HIT_RATE: f64 = 0.8;
const SLOW: Duration = Duration::from_millis(100);
const FULL: f64 = 0.8;
/// Of all reads, those that went to the database without looking.
const BYPASSED: f64 = 0.5;
/// Writes per read.
const WRITE_HOT: f64 = 0.5;
/// Bytes of an entry, in the mean.
const LARGE: u64 = 100 << 10;
/// Answers that were not stored, of all misses.
const NOT_STORED: f64 = 0.1;
/// Statements that purged the namespace.
const NOT_UNDERSTOOD: u64 = 10;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Something is wrong now.
    Critical,
    /// Something will be, or the cache is of little use.
    Warning,
    /// Something could be better.
    Info,
}

/// One piece of advice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Advice {
    /// Which rule it is, for alerts: `low-hit-rate`. The list is in `docs/operations.md`.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The table that it is about, if it is about one.
    pub table: Option<String>,
    /// What was seen, with its numbers.
    pub what: String,
    /// Why that matters.
    pub why: &'static str,
    /// What to do.
    pub do_this: String,
}

/// What advice is made of.
pub(crate) struct Snapshot<'a> {
    pub(crate) stats: &'a CacheStats,
    pub(crate) server: &'a ServerFacts,
    pub(crate) reachable: bool,
    pub(crate) enabled: bool,
    /// Cached reads load from a copy of the database, and nothing is done about its being behind.
    pub(crate) unsettled_replica: bool,
}

/// What could be better, the worst first.
pub(crate) fn advise(snapshot: &Snapshot<'_>) -> Vec<Advice> {
    let rules = [
        unreachable,
        stale,
        replica,
        behind,
        memory,
        eviction,
        guards,
        waiting,
        slow,
        not_understood,
        switched_off,
        bypassed,
        hit_rate,
        not_stored,
        unreadable,
        large,
    ];
    let mut advice: Vec<_> = rules.iter().filter_map(|rule| rule(snapshot)).collect();
    advice.extend(snapshot.stats.tables.iter().filter_map(|(name, table)| write_hot(name, table)));
    advice.sort_by_key(|advice| advice.severity);
    advice
}

type Found = Option<Advice>;

fn say(severity: Severity, code: &'static str, what: String, why: &'static str, do_this: &str) -> Found {
    Some(Advice { code, severity, table: None, what, why, do_this: do_this.to_owned() })
}

fn unreachable(snapshot: &Snapshot<'_>) -> Found {
    if snapshot.reachable {
        return None;
    }
    say(
        Severity::Critical,
        "store-unreachable",
        "The store cannot be reached.".to_owned(),
        "Every read goes to the database, and purges wait in the processes that owe them.",
        "Look whether the server runs and whether this machine reaches it. Nothing has to be restarted here: \
         the connection comes back by itself.",
    )
}

fn stale(snapshot: &Snapshot<'_>) -> Found {
    let stale = snapshot.stats.stale_hits;
    if stale == 0 {
        return None;
    }
    say(
        Severity::Critical,
        "stale-hits",
        format!("Answers that differed from the database although no write explains it: {stale}."),
        "Somebody was shown what is no longer true.",
        "Look for writes that do not go through the wrapper, and for tables with triggers that are not declared. \
         If reads go to replicas that lag, name the primary with loading_from, or set settle.",
    )
}

fn replica(snapshot: &Snapshot<'_>) -> Found {
    if snapshot.server.is_replica != Some(true) {
        return None;
    }
    say(
        Severity::Critical,
        "server-is-replica",
        "The store is a copy of another server.".to_owned(),
        "What was purged on the other may still be here.",
        "Connect to the primary.",
    )
}

fn behind(snapshot: &Snapshot<'_>) -> Found {
    if !snapshot.unsettled_replica {
        return None;
    }
    say(
        Severity::Warning,
        "replica-without-settle",
        "Cached reads load from a replica of the database.".to_owned(),
        "A read just after a purge may load what the replica has not yet heard of, and store it as new.",
        "Name the primary with loading_from, or set settle to longer than the replica is ever behind.",
    )
}

/// At its limit a server either refuses what is new or evicts what is old.
fn memory(snapshot: &Snapshot<'_>) -> Found {
    let ServerFacts { memory_bytes, memory_limit, eviction_policy, .. } = snapshot.server;
    // A store that says no policy evicts by itself what is asked for least, and is meant to be full.
    let (used, limit, policy) = (memory_bytes.as_ref()?, memory_limit.as_ref()?, eviction_policy.as_ref()?);
    let share = ratio(*used, *limit)?;
    if share <= FULL {
        return None;
    }
    let what = format!("{} of {} are in use ({}).", size(*used), size(*limit), percent(share));
    if policy == "noeviction" {
        return say(
            Severity::Critical,
            "memory-nearly-full",
            what,
            "At its limit the server refuses new entries, stamps and barriers: reads go to the database, and \
             writes go on without a barrier.",
            "Raise maxmemory, or set maxmemory-policy to allkeys-lfu.",
        );
    }
    say(
        Severity::Warning,
        "memory-nearly-full",
        what,
        "At its limit the server evicts: entries that would have been hits, and stamps that others need.",
        "Raise maxmemory, shorten times to live, or cache less.",
    )
}

fn eviction(snapshot: &Snapshot<'_>) -> Found {
    let server = snapshot.server;
    let policy = server.eviction_policy.as_deref()?;
    // Without a limit nothing is ever evicted.
    server.memory_limit?;
    let why = match policy {
        "volatile-ttl" => {
            "It evicts first what ends first, and barriers end first: a write may lose its guard."
        }
        "allkeys-random" | "volatile-random" => {
            "It evicts stamps that every read needs as readily as entries that nobody asks for. Each stamp \
             makes all that depends on it a miss."
        }
        _ => return None,
    };
    let what = format!("The server evicts by {policy}.");
    say(
        Severity::Warning,
        "eviction-policy",
        what,
        why,
        "Set maxmemory-policy to allkeys-lfu or allkeys-lru.",
    )
}

fn guards(snapshot: &Snapshot<'_>) -> Found {
    let CacheStats { unguarded_writes: unguarded, lapsed_barriers: lapsed, .. } = *snapshot.stats;
    if unguarded + lapsed == 0 {
        return None;
    }
    say(
        Severity::Warning,
        "weak-guards",
        format!("Writes without a barrier: {unguarded}. Barriers that were gone too early: {lapsed}."),
        "For a moment other processes may have served what these writes changed.",
        "Look why the store was away or evicted them. To refuse such writes: on_outage(OnOutage::RefuseWrites).",
    )
}

fn waiting(snapshot: &Snapshot<'_>) -> Found {
    let waiting = snapshot.stats.undelivered_tags;
    if waiting == 0 {
        return None;
    }
    say(
        Severity::Warning,
        "purges-waiting",
        format!("Tags that wait to be purged: {waiting}."),
        "Until they are, this process reads what they concern from the database, and other processes that \
         reach the store serve what is there.",
        "They are delivered by themselves once the store takes them. Do not stop this process before.",
    )
}

fn slow(snapshot: &Snapshot<'_>) -> Found {
    let reads = snapshot.stats.store_reads;
    let mean = reads.mean().filter(|mean| reads.count >= FEWEST_QUESTIONS && *mean > SLOW)?;
    say(
        Severity::Warning,
        "slow-store",
        format!("The store takes {} ms to answer a read, in the mean.", mean.as_millis()),
        "A hit that takes so long is hardly better than the database.",
        "Look for a slow network between the two, for slow commands of others (SLOWLOG GET), and for a server \
         that swaps.",
    )
}

fn not_understood(snapshot: &Snapshot<'_>) -> Found {
    let purges = snapshot.stats.namespace_purges;
    if purges < NOT_UNDERSTOOD {
        return None;
    }
    say(
        Severity::Warning,
        "namespace-purges",
        format!("{purges} statements were not understood, and purged everything."),
        "After each of them every read is a miss.",
        "The log names their kind and why. Ask Cache::explain what it makes of them, and write them otherwise; \
         declare functions that only compute with pure_function.",
    )
}

fn switched_off(snapshot: &Snapshot<'_>) -> Found {
    if snapshot.enabled {
        return None;
    }
    say(
        Severity::Info,
        "switched-off",
        "The cache is switched off.".to_owned(),
        "Every read goes to the database. Writes still purge, so switching it on again is safe.",
        "Set CACHE_ENABLED=true when the reason is gone.",
    )
}

fn bypassed(snapshot: &Snapshot<'_>) -> Found {
    let TableStats { reads, bypasses, store_away, .. } = snapshot.stats.total;
    let share = ratio(bypasses - store_away.min(bypasses), reads)?;
    if !snapshot.enabled || reads < FEWEST_READS || share <= BYPASSED {
        return None;
    }
    say(
        Severity::Warning,
        "many-bypasses",
        format!("{} of {reads} reads went to the database without looking.", percent(share)),
        "They carry .cached() and gain nothing by it.",
        "Ask .explain() of such reads why. Common reasons: they run inside a transaction, they call functions \
         whose answer changes, or their tables are being written all the time.",
    )
}

fn hit_rate(snapshot: &Snapshot<'_>) -> Found {
    let TableStats { hits, misses, .. } = snapshot.stats.total;
    let looked = hits + misses;
    let rate = ratio(hits, looked).filter(|rate| looked >= FEWEST_READS && *rate < HIT_RATE)?;
    say(
        Severity::Warning,
        "low-hit-rate",
        format!("{} of {looked} reads that looked were hits.", percent(rate)),
        "A miss costs two round trips more than no cache at all.",
        "The table of entities says where the misses are. Longer times to live, index columns for lists, precise \
         for bulk writes, and warm-up make fewer of them; where none helps, leave .cached() away.",
    )
}

fn not_stored(snapshot: &Snapshot<'_>) -> Found {
    let CacheStats { not_stored, .. } = *snapshot.stats;
    let misses = snapshot.stats.total.misses;
    let share = ratio(not_stored, misses)?;
    if misses < FEWEST_QUESTIONS || share < NOT_STORED {
        return None;
    }
    say(
        Severity::Warning,
        "not-stored",
        format!("{not_stored} answers were not stored."),
        "They are larger than max_entry_bytes, or would not come back as they were: they are asked for again \
         and again.",
        "Read less at a time (pages, fewer columns), or raise max_entry_bytes. The log says which of the two it is.",
    )
}

fn unreadable(snapshot: &Snapshot<'_>) -> Found {
    let CacheStats { unreadable, .. } = *snapshot.stats;
    if unreadable == 0 {
        return None;
    }
    say(
        Severity::Warning,
        "unreadable-entries",
        format!("{unreadable} times an entry could not be read."),
        "It was a miss each time. Entries are cut off, changed, encrypted with a key that this process does not \
         have, or are values of another type under the same key; this crate does not write such.",
        "See who else writes to the namespace, give all keys of encryption that are in use, and change the key of \
         an entry of your own with its type. sea-orm-cache show <key> says what is wrong with one.",
    )
}

fn large(snapshot: &Snapshot<'_>) -> Found {
    let CacheStats { stored_entries, stored_bytes, .. } = *snapshot.stats;
    let mean = stored_bytes.checked_div(stored_entries)?;
    if stored_entries < FEWEST_QUESTIONS || mean <= LARGE {
        return None;
    }
    say(
        Severity::Info,
        "large-entries",
        format!("An entry has {} in the mean.", size(mean)),
        "Large entries take time on the network and on the server, which does one thing at a time.",
        "Read less at a time: pages, or fewer columns.",
    )
}

/// What is written as often as it is read is seldom there when it is asked for.
fn write_hot(name: &str, table: &TableStats) -> Found {
    let TableStats { reads, hits, misses, writes, .. } = *table;
    let share = ratio(writes, reads)?;
    let helps = ratio(hits, hits + misses).is_some_and(|rate| rate >= HIT_RATE);
    if reads < FEWEST_READS || share < WRITE_HOT || helps {
        return None;
    }
    Some(Advice {
        code: "write-hot",
        severity: Severity::Info,
        table: Some(name.to_owned()),
        what: format!("{name} was written {writes} times and read {reads} times."),
        why: "Each write makes misses of what it touched, and costs round trips of its own: caching does not pay.",
        do_this: format!(
            "Leave .cached() away where {name} is read, declare #[cache(skip)], or read it by primary key, where \
             a write touches one row alone."
        ),
    })
}

#[allow(clippy::cast_precision_loss, reason = "a rate, not a count")]
fn ratio(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn size(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= f64::from(1 << 30) => format!("{:.1} GiB", bytes / f64::from(1 << 30)),
        bytes if bytes >= f64::from(1 << 20) => format!("{:.1} MiB", bytes / f64::from(1 << 20)),
        bytes => format!("{:.1} KiB", bytes / 1024.0),
    }
}

#[cfg(test)]
mod tests;
