//! Each rule at its threshold.

use super::*;
use crate::observe::LatencyStats;

/// A cache about which there is nothing to say.
fn well() -> (CacheStats, ServerFacts) {
    let stats = CacheStats {
        total: counts(10_000, 9_000, 1_000),
        tables: [("book".to_owned(), counts(10_000, 9_000, 1_000))].into(),
        store_reads: took(10_000, Duration::from_micros(300)),
        stored_entries: 1_000,
        stored_bytes: 1_000_000,
        ..CacheStats::default()
    };
    let server = ServerFacts {
        memory_bytes: Some(50 << 20),
        memory_limit: Some(100 << 20),
        eviction_policy: Some("allkeys-lfu".into()),
        is_replica: Some(false),
        ..ServerFacts::default()
    };
    (stats, server)
}

fn counts(reads: u64, hits: u64, misses: u64) -> TableStats {
    TableStats { reads, hits, misses, bypasses: reads - hits - misses, ..TableStats::default() }
}

fn took(count: u64, mean: Duration) -> LatencyStats {
    LatencyStats { count, total: mean * u32::try_from(count).unwrap(), ..LatencyStats::default() }
}

fn said(change: impl FnOnce(&mut CacheStats, &mut ServerFacts)) -> Vec<Advice> {
    let (mut stats, mut server) = well();
    change(&mut stats, &mut server);
    advise(&Snapshot {
        stats: &stats,
        server: &server,
        reachable: true,
        enabled: true,
        unsettled_replica: false,
    })
}

fn codes(change: impl FnOnce(&mut CacheStats, &mut ServerFacts)) -> Vec<&'static str> {
    said(change).into_iter().map(|advice| advice.code).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn a_cache_that_is_well_is_left_in_peace_and_so_is_one_that_has_just_begun() {
    assert_eq!(said(|_, _| {}), []);
    let (stats, server) = (CacheStats::default(), ServerFacts::default());
    assert_eq!(
        advise(&Snapshot {
            stats: &stats,
            server: &server,
            reachable: true,
            enabled: true,
            unsettled_replica: false
        }),
        []
    );
}

#[test]
fn a_store_that_is_away_comes_before_all_else() {
    let (mut stats, server) = well();
    stats.total = counts(10_000, 100, 9_900);
    let advice = advise(&Snapshot {
        stats: &stats,
        server: &server,
        reachable: false,
        enabled: true,
        unsettled_replica: false,
    });
    assert_eq!((advice[0].code, advice[0].severity), ("store-unreachable", Severity::Critical));
    assert_eq!(advice[1].code, "low-hit-rate");
}

#[test]
fn a_hit_rate_below_four_fifths_is_low() {
    assert_eq!(codes(|stats, _| stats.total = counts(1000, 800, 200)), NONE);
    assert_eq!(codes(|stats, _| stats.total = counts(1000, 799, 201)), ["low-hit-rate"]);
    // Too few to tell.
    assert_eq!(codes(|stats, _| stats.total = counts(999, 0, 999)), NONE);
    // What did not look is no miss.
    assert_eq!(codes(|stats, _| stats.total = counts(2000, 800, 200)), NONE);
}

#[test]
fn more_than_half_of_the_reads_that_do_not_look_are_many() {
    assert_eq!(codes(|stats, _| stats.total = counts(2000, 900, 100)), NONE);
    assert_eq!(codes(|stats, _| stats.total = counts(2000, 899, 100)), ["many-bypasses"]);
    assert_eq!(codes(|stats, _| stats.total = counts(999, 0, 0)), NONE);
    // While the store is away, nobody can look.
    let away = TableStats { store_away: 1001, ..counts(2000, 899, 100) };
    assert_eq!(codes(|stats, _| stats.total = away), NONE);
}

#[test]
fn a_store_that_takes_longer_than_a_tenth_of_a_second_is_slow() {
    assert_eq!(codes(|stats, _| stats.store_reads = took(100, SLOW)), NONE);
    let slower = SLOW + Duration::from_nanos(1);
    assert_eq!(codes(|stats, _| stats.store_reads = took(100, slower)), ["slow-store"]);
    assert_eq!(codes(|stats, _| stats.store_reads = took(99, SLOW * 2)), NONE);
}

#[test]
fn memory_that_is_more_than_four_fifths_full_is_nearly_full() {
    let full = |bytes: u64, policy: Option<&str>| {
        said(|_, server| {
            server.memory_bytes = Some(bytes);
            server.memory_limit = Some(1000);
            server.eviction_policy = policy.map(str::to_owned);
        })
    };
    assert_eq!(full(800, Some("allkeys-lru")), []);
    let advice = full(801, Some("allkeys-lru"));
    assert_eq!((advice[0].code, advice[0].severity), ("memory-nearly-full", Severity::Warning));
    // It refuses instead of evicting.
    assert_eq!(full(801, Some("noeviction"))[0].severity, Severity::Critical);
    assert_eq!(full(800, Some("noeviction")), []);
    // Made to be full.
    assert_eq!(full(1000, None), []);
    assert_eq!(codes(|_, server| server.memory_limit = None), NONE);
}

#[test]
fn what_evicts_barriers_or_stamps_without_need_is_named() {
    let policy = |policy: &str, limit| {
        codes(|_, server| {
            server.eviction_policy = Some(policy.to_owned());
            server.memory_limit = limit;
        })
    };
    for bad in ["volatile-ttl", "allkeys-random", "volatile-random"] {
        assert_eq!(policy(bad, Some(100 << 20)), ["eviction-policy"]);
        // It never comes to that.
        assert_eq!(policy(bad, None), NONE);
    }
    for good in ["allkeys-lfu", "allkeys-lru", "volatile-lru", "volatile-lfu", "noeviction"] {
        assert_eq!(policy(good, Some(100 << 20)), NONE);
    }
}

#[test]
fn what_is_written_half_as_often_as_it_is_read_is_not_worth_it_unless_it_hits_all_the_same() {
    let table = |reads, hits, writes| TableStats { writes, ..counts(reads, hits, reads - hits) };
    let of = |table: TableStats| {
        said(|stats, _| {
            stats.tables.insert("stock".into(), table.clone());
        })
    };
    assert_eq!(of(table(1000, 500, 499)), []);
    let advice = of(table(1000, 500, 500));
    assert_eq!((advice[0].code, advice[0].table.as_deref()), ("write-hot", Some("stock")));
    assert_eq!(of(table(1000, 800, 500)), []);
    assert_eq!(of(table(999, 0, 999)), []);
}

#[test]
fn entries_above_a_hundred_kibibytes_are_large() {
    let of = |entries, bytes| codes(|stats, _| (stats.stored_entries, stats.stored_bytes) = (entries, bytes));
    assert_eq!(of(100, 100 * LARGE), NONE);
    assert_eq!(of(100, 100 * (LARGE + 1)), ["large-entries"]);
    assert_eq!(of(99, 99 * LARGE * 2), NONE);
}

#[test]
fn an_entry_that_cannot_be_read_is_said() {
    assert_eq!(codes(|stats, _| stats.unreadable = 1), ["unreadable-entries"]);
}

#[test]
fn a_tenth_of_the_misses_that_is_not_stored_is_much() {
    assert_eq!(codes(|stats, _| stats.not_stored = 99), NONE);
    assert_eq!(codes(|stats, _| stats.not_stored = 100), ["not-stored"]);
    let few = |stats: &mut CacheStats| {
        stats.total = counts(99, 0, 99);
        stats.not_stored = 99;
    };
    assert_eq!(codes(|stats, _| few(stats)), NONE);
}

#[test]
fn ten_statements_that_are_not_understood_are_too_many() {
    assert_eq!(codes(|stats, _| stats.namespace_purges = 9), NONE);
    assert_eq!(codes(|stats, _| stats.namespace_purges = 10), ["namespace-purges"]);
}

#[test]
fn what_should_never_be_is_named_the_first_time() {
    assert_eq!(codes(|stats, _| stats.stale_hits = 1), ["stale-hits"]);
    assert_eq!(codes(|stats, _| stats.undelivered_tags = 1), ["purges-waiting"]);
    assert_eq!(codes(|stats, _| stats.unguarded_writes = 1), ["weak-guards"]);
    assert_eq!(codes(|stats, _| stats.lapsed_barriers = 1), ["weak-guards"]);
    assert_eq!(codes(|_, server| server.is_replica = Some(true)), ["server-is-replica"]);
    let (stats, server) = well();
    let off = advise(&Snapshot {
        stats: &stats,
        server: &server,
        reachable: true,
        enabled: false,
        unsettled_replica: false,
    });
    assert_eq!(off[0].code, "switched-off");
    let behind =
        Snapshot { stats: &stats, server: &server, reachable: true, enabled: true, unsettled_replica: true };
    assert_eq!(advise(&behind)[0].code, "replica-without-settle");
}
