//! What every store promises, as tests that run against each of them.

use std::{
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;

use super::{
    EntryKey, EntryWrite, Found, MemoryStore, RateAnswer, RateAsk, Release, Stamp, Store, StoreState, TagKey,
    TagProbe, TagState,
};

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(60);

/// In braces, so that a cluster has it in one slot.
const SHOP: &str = "{shop}:";

type AnyStore = Arc<dyn Store>;

fn entry(name: &str) -> EntryKey {
    EntryKey::from_full(format!("{SHOP}{name}"))
}

fn tag(name: &str) -> TagKey {
    TagKey::from_full(format!("{SHOP}t:{name}"))
}

fn look(name: &str) -> TagProbe {
    TagProbe { key: tag(name), propose: None }
}

fn propose(name: &str, stamp: Stamp, life: Duration) -> TagProbe {
    TagProbe { key: tag(name), propose: Some((stamp, life)) }
}

fn written(name: &str, bytes: &'static [u8], ttl: Duration) -> EntryWrite {
    EntryWrite { key: entry(name), bytes: Bytes::from_static(bytes), ttl }
}

async fn read(store: &AnyStore, entries: &[&str], tags: &[TagProbe]) -> Found {
    let entries: Vec<_> = entries.iter().map(|name| entry(name)).collect();
    store.read(&entries, tags).await.unwrap()
}

async fn state(store: &AnyStore, name: &str) -> TagState {
    read(store, &[], &[look(name)]).await.tags[0]
}

/// Puts a stamp on a tag and says which one stands.
async fn stamp(store: &AnyStore, name: &str, life: Duration) -> Stamp {
    match read(store, &[], &[propose(name, Stamp::fresh(), life)]).await.tags[0] {
        TagState::Stamp(stamp) => stamp,
        other => panic!("no stamp on {name} but {other:?}"),
    }
}

/// Waits until what was given the life [`SOON`] before is over.
async fn until_absent(store: &AnyStore, name: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    while state(store, name).await != TagState::Absent {
        assert!(Instant::now() < end, "{name} does not end");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn nothing_asked_is_nothing_found(store: AnyStore) {
    let found = read(&store, &[], &[]).await;
    assert!(found.entries.is_empty() && found.tags.is_empty());
    store.write(&[], &[]).await.unwrap();
    store.release(&Release::purging(&[], &[])).await.unwrap();
    assert_eq!(store.delete(&[]).await.unwrap(), 0);
}

async fn an_entry_comes_back_as_it_went_in(store: AnyStore) {
    let large = Bytes::from((0..300_000).map(|number| (number % 251) as u8).collect::<Vec<_>>());
    let writes = [
        written("empty", b"", HOUR),
        written("binary", b"\0\r\n$-1\r\n\xff", HOUR),
        EntryWrite { key: entry("large"), bytes: large.clone(), ttl: HOUR },
    ];
    store.write(&writes, &[]).await.unwrap();
    let found = read(&store, &["empty", "large", "none", "binary"], &[]).await.entries;
    assert_eq!(found[0].as_deref(), Some(&b""[..]));
    assert_eq!(found[1].as_deref(), Some(&large[..]));
    assert_eq!(found[2], None);
    assert_eq!(found[3].as_deref(), Some(&b"\0\r\n$-1\r\n\xff"[..]));
}

async fn a_later_write_replaces_an_earlier_one(store: AnyStore) {
    store.write(&[written("e", b"1", HOUR)], &[]).await.unwrap();
    store.write(&[written("e", b"2", HOUR)], &[]).await.unwrap();
    assert_eq!(read(&store, &["e"], &[]).await.entries[0].as_deref(), Some(&b"2"[..]));
}

async fn answers_come_in_the_order_of_the_questions(store: AnyStore) {
    store.write(&[written("a", b"A", HOUR), written("b", b"B", HOUR)], &[]).await.unwrap();
    let x = stamp(&store, "x", HOUR).await;
    let tags = [look("none"), look("x"), propose("y", Stamp::fresh(), HOUR), look("x")];
    let found = read(&store, &["b", "none", "a", "b"], &tags).await;
    let entries: Vec<_> = found.entries.iter().map(|bytes| bytes.as_deref()).collect();
    assert_eq!(entries, [Some(&b"B"[..]), None, Some(b"A"), Some(b"B")]);
    assert_eq!(found.tags[0], TagState::Absent);
    assert_eq!(found.tags[1], TagState::Stamp(x));
    assert!(matches!(found.tags[2], TagState::Stamp(y) if y != x));
    assert_eq!(found.tags[3], TagState::Stamp(x));
}

// case F15
async fn a_tag_that_nobody_stamped_is_absent(store: AnyStore) {
    store.write(&[written("e", b"1", HOUR)], &[(tag("none"), HOUR)]).await.unwrap();
    let found = read(&store, &["e"], &[look("none")]).await;
    assert!(found.entries[0].is_some());
    assert_eq!(found.tags, [TagState::Absent], "neither a look nor a keep makes a stamp");
}

async fn a_proposal_stands_where_nothing_stood(store: AnyStore) {
    let mine = Stamp::fresh();
    assert_eq!(read(&store, &[], &[propose("t", mine, HOUR)]).await.tags, [TagState::Stamp(mine)]);
    assert_eq!(state(&store, "t").await, TagState::Stamp(mine));
}

async fn a_proposal_never_replaces_a_standing_stamp(store: AnyStore) {
    let first = stamp(&store, "t", HOUR).await;
    for _ in 0..3 {
        assert_eq!(stamp(&store, "t", HOUR).await, first);
    }
}

async fn a_proposal_does_not_change_the_life_of_a_standing_stamp(store: AnyStore) {
    stamp(&store, "t", SOON).await;
    stamp(&store, "t", HOUR).await;
    until_absent(&store, "t").await;
}

async fn of_two_proposals_for_one_tag_in_one_read_the_first_stands(store: AnyStore) {
    let (one, two) = (Stamp::fresh(), Stamp::fresh());
    let found = read(&store, &[], &[propose("t", one, HOUR), propose("t", two, HOUR)]).await;
    assert_eq!(found.tags, [TagState::Stamp(one), TagState::Stamp(one)]);
}

// case B21
async fn of_many_proposals_at_a_time_one_stands_and_all_see_it(store: AnyStore) {
    for round in 0..30 {
        let name = format!("t{round}");
        let proposals = (0..8).map(|_| {
            let (store, name) = (Arc::clone(&store), name.clone());
            tokio::spawn(async move { stamp(&store, &name, HOUR).await })
        });
        let seen: Vec<_> = join_all(proposals).await.into_iter().map(Result::unwrap).collect();
        assert!(seen.iter().all(|stamp| *stamp == seen[0]), "{seen:?}");
    }
}

async fn a_purge_makes_tags_absent_and_drops_entries(store: AnyStore) {
    stamp(&store, "t", HOUR).await;
    let other = stamp(&store, "other", HOUR).await;
    store.write(&[written("e", b"1", HOUR), written("f", b"2", HOUR)], &[]).await.unwrap();
    store.release(&Release::purging(&[tag("t")], &[entry("e")])).await.unwrap();
    let found = read(&store, &["e", "f"], &[look("t"), look("other")]).await;
    assert_eq!(found.entries[0], None);
    assert!(found.entries[1].is_some(), "what was not named stays");
    assert_eq!(found.tags, [TagState::Absent, TagState::Stamp(other)]);
}

// case C10
async fn a_purge_can_be_repeated(store: AnyStore) {
    stamp(&store, "t", HOUR).await;
    for _ in 0..3 {
        store
            .release(&Release::purging(&[tag("t"), tag("never"), tag("t")], &[entry("never")]))
            .await
            .unwrap();
    }
    assert_eq!(state(&store, "t").await, TagState::Absent);
}

// case B6
async fn after_a_purge_the_old_stamp_never_comes_back(store: AnyStore) {
    let old = stamp(&store, "t", HOUR).await;
    store.release(&Release::purging(&[tag("t")], &[])).await.unwrap();
    assert_ne!(stamp(&store, "t", HOUR).await, old);
}

async fn a_kept_tag_lives_on_with_its_stamp(store: AnyStore) {
    let kept = stamp(&store, "kept", SOON).await;
    stamp(&store, "left", SOON).await;
    store.write(&[], &[(tag("kept"), HOUR)]).await.unwrap();
    until_absent(&store, "left").await;
    assert_eq!(state(&store, "kept").await, TagState::Stamp(kept));
}

// case F14
async fn keeping_never_shortens_a_life(store: AnyStore) {
    let long = stamp(&store, "long", HOUR).await;
    stamp(&store, "short", SOON).await;
    store.write(&[written("e", b"1", HOUR)], &[(tag("long"), SOON), (tag("short"), SOON)]).await.unwrap();
    until_absent(&store, "short").await;
    tokio::time::sleep(SOON).await;
    assert_eq!(state(&store, "long").await, TagState::Stamp(long));
}

async fn a_kept_tag_that_was_purged_stays_absent(store: AnyStore) {
    stamp(&store, "t", HOUR).await;
    store.release(&Release::purging(&[tag("t")], &[])).await.unwrap();
    store.write(&[written("e", b"1", HOUR)], &[(tag("t"), HOUR)]).await.unwrap();
    assert_eq!(state(&store, "t").await, TagState::Absent);
}

async fn a_kept_tag_that_ended_stays_absent(store: AnyStore) {
    stamp(&store, "t", SOON).await;
    until_absent(&store, "t").await;
    store.write(&[], &[(tag("t"), HOUR)]).await.unwrap();
    assert_eq!(state(&store, "t").await, TagState::Absent);
}

// case B1
async fn a_purge_wins_over_all_keeps_that_race_with_it(store: AnyStore) {
    for round in 0..60 {
        let name = format!("t{round}");
        stamp(&store, &name, HOUR).await;
        let purged = Arc::new(AtomicBool::new(false));
        let keeps = (0..4).map(|_| {
            let (store, name, purged) = (Arc::clone(&store), name.clone(), Arc::clone(&purged));
            tokio::spawn(async move {
                while !purged.load(Ordering::SeqCst) {
                    store.write(&[], &[(tag(&name), 2 * HOUR)]).await.unwrap();
                }
                store.write(&[], &[(tag(&name), 3 * HOUR)]).await.unwrap();
            })
        });
        let keeps: Vec<_> = keeps.collect();
        tokio::task::yield_now().await;
        store.release(&Release::purging(&[tag(&name)], &[])).await.unwrap();
        assert_eq!(state(&store, &name).await, TagState::Absent, "at once");
        purged.store(true, Ordering::SeqCst);
        join_all(keeps).await.into_iter().for_each(Result::unwrap);
        assert_eq!(state(&store, &name).await, TagState::Absent, "and for good");
    }
}

// case F13
async fn entries_and_tags_end_with_their_lives(store: AnyStore) {
    stamp(&store, "t", SOON).await;
    store.write(&[written("e", b"1", SOON), written("long", b"2", HOUR)], &[]).await.unwrap();
    until_absent(&store, "t").await;
    tokio::time::sleep(SOON).await;
    let found = read(&store, &["e", "long"], &[]).await.entries;
    assert!(found[0].is_none() && found[1].is_some());
    assert_eq!(store.delete(&[entry("e")]).await.unwrap(), 0, "what has ended does not count");
    assert_eq!(store.scan(SHOP, 10).await.unwrap(), [format!("{SHOP}long")]);
}

// case F13
async fn lives_of_any_length_are_accepted(store: AnyStore) {
    for (number, life) in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX].into_iter().enumerate() {
        let name = format!("n{number}");
        let write = EntryWrite { key: entry(&name), bytes: Bytes::from_static(b"1"), ttl: life };
        store.write(&[write], &[]).await.unwrap();
        read(&store, &[], &[propose(&name, Stamp::fresh(), life)]).await;
        store.write(&[], &[(tag(&name), life)]).await.unwrap();
        store.lease(&entry(&format!("l{number}")), life).await.unwrap();
    }
    assert!(read(&store, &["n2"], &[]).await.entries[0].is_some());
    assert!(matches!(state(&store, "n2").await, TagState::Stamp(_)));
}

// case B18
async fn a_lease_has_one_holder_and_ends_by_itself(store: AnyStore) {
    let key = entry("lease");
    assert!(store.lease(&key, SOON).await.unwrap());
    let end = Instant::now() + Duration::from_secs(20);
    while !store.lease(&key, HOUR).await.unwrap() {
        assert!(Instant::now() < end, "the lease does not end");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(!store.lease(&key, HOUR).await.unwrap());
}

async fn of_many_who_want_a_lease_one_gets_it(store: AnyStore) {
    for round in 0..30 {
        let takers = (0..8).map(|_| {
            let (store, key) = (Arc::clone(&store), entry(&format!("lease{round}")));
            tokio::spawn(async move { store.lease(&key, HOUR).await.unwrap() })
        });
        let got = join_all(takers).await.into_iter().filter(|taken| *taken.as_ref().unwrap()).count();
        assert_eq!(got, 1);
    }
}

async fn a_lease_can_be_given_back(store: AnyStore) {
    let key = entry("lease");
    assert!(store.lease(&key, HOUR).await.unwrap());
    assert_eq!(store.delete(std::slice::from_ref(&key)).await.unwrap(), 1);
    assert!(store.lease(&key, HOUR).await.unwrap());
}

async fn a_delete_counts_what_was_there(store: AnyStore) {
    store.write(&[written("a", b"1", HOUR), written("b", b"2", HOUR)], &[]).await.unwrap();
    assert_eq!(store.delete(&[entry("a"), entry("none"), entry("b")]).await.unwrap(), 2);
    assert_eq!(store.delete(&[entry("a")]).await.unwrap(), 0);
    assert_eq!(read(&store, &["a", "b"], &[]).await.entries, [None, None]);
}

// case F20 case F22
async fn a_scan_lists_what_begins_with_the_prefix_and_nothing_else(store: AnyStore) {
    let all = ["s*op:a", "shop:a", "s[h]op:a", "s?op:a", r"s\*op:a", "s^-op:a", "sh", "other:shop:a"];
    let writes: Vec<_> = all
        .iter()
        .map(|&key| EntryWrite { key: EntryKey::from_full(key), bytes: Bytes::from_static(b"1"), ttl: HOUR })
        .collect();
    store.write(&writes, &[]).await.unwrap();
    for prefix in ["s*op:", "shop:", "s[h]op:", "s?op:", r"s\*op:", "s^-op:"] {
        assert_eq!(store.scan(prefix, 100).await.unwrap(), [format!("{prefix}a")]);
    }
    assert!(store.scan("*", 100).await.unwrap().is_empty());
    assert_eq!(store.scan("", 100).await.unwrap().len(), all.len());
}

async fn a_scan_lists_entries_and_tags_up_to_its_limit(store: AnyStore) {
    for number in 0..30 {
        stamp(&store, &number.to_string(), HOUR).await;
    }
    let writes: Vec<_> = (0..3000)
        .map(|number| EntryWrite {
            key: entry(&number.to_string()),
            bytes: Bytes::from_static(b"1"),
            ttl: HOUR,
        })
        .collect();
    store.write(&writes, &[]).await.unwrap();
    let mut all = store.scan(SHOP, usize::MAX).await.unwrap();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 3030);
    assert_eq!(store.scan(&format!("{SHOP}t:"), usize::MAX).await.unwrap().len(), 30);
    for limit in [0, 1, 7, 2999] {
        assert_eq!(store.scan(SHOP, limit).await.unwrap().len(), limit);
    }
}

// case F18
async fn a_purge_of_very_many_keys_is_one_call(store: AnyStore) {
    let writes: Vec<_> = (0..6000)
        .map(|number| EntryWrite {
            key: entry(&number.to_string()),
            bytes: Bytes::from_static(b"1"),
            ttl: HOUR,
        })
        .collect();
    store.write(&writes, &[]).await.unwrap();
    let names: Vec<_> = (0..6000).map(|number| number.to_string()).collect();
    let proposals: Vec<_> = names.iter().map(|name| propose(name, Stamp::fresh(), HOUR)).collect();
    let found = read(&store, &[], &proposals).await;
    assert!(found.tags.iter().all(|state| matches!(state, TagState::Stamp(_))));
    let tags: Vec<_> = names.iter().map(|name| tag(name)).collect();
    let entries: Vec<_> = names.iter().map(|name| entry(name)).collect();
    store.release(&Release::purging(&tags, &entries)).await.unwrap();
    let looks: Vec<_> = names.iter().map(|name| look(name)).collect();
    let found = store.read(&entries, &looks).await.unwrap();
    assert!(found.entries.iter().all(Option::is_none));
    assert!(found.tags.iter().all(|state| *state == TagState::Absent));
}

// case F11
async fn keys_may_hold_anything(store: AnyStore) {
    let long = "x".repeat(4000);
    for name in ["", " ", "a b", "\r\n", "é/ü:日本", "{}", "\0", &long] {
        let write = EntryWrite { key: entry(name), bytes: Bytes::from(name.to_owned()), ttl: HOUR };
        store.write(&[write], &[]).await.unwrap();
        let standing = stamp(&store, name, HOUR).await;
        let found = read(&store, &[name], &[look(name)]).await;
        assert_eq!(found.entries[0].as_deref(), Some(name.as_bytes()));
        assert_eq!(found.tags, [TagState::Stamp(standing)]);
    }
}

// case G12
async fn answers_of_concurrent_calls_are_not_mixed_up(store: AnyStore) {
    let tasks = (0..32).map(|task| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for round in 0..40 {
                let name = format!("{task}-{round}");
                let write = EntryWrite { key: entry(&name), bytes: Bytes::from(name.clone()), ttl: HOUR };
                store.write(&[write], &[]).await.unwrap();
                let standing = stamp(&store, &name, HOUR).await;
                // Abandoned half-way: its answer must not become the next call's.
                let entries = [entry("none")];
                let abandoned = store.read(&entries, &[]);
                let _ = tokio::time::timeout(Duration::ZERO, abandoned).await;
                let found = read(&store, &[&name], &[look(&name)]).await;
                assert_eq!(found.entries[0].as_deref(), Some(name.as_bytes()));
                assert_eq!(found.tags, [TagState::Stamp(standing)]);
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(Result::unwrap);
}

async fn of_many_who_ask_a_slow_limit_exactly_the_burst_gets_through(store: AnyStore) {
    let ask = RateAsk { key: entry("r:slow"), interval: 3_600_000_000, burst: 100, cells: 1 };
    let tasks = (0..20).map(|_| {
        let (store, ask) = (Arc::clone(&store), ask.clone());
        tokio::spawn(async move {
            let mut allowed = 0;
            for _ in 0..20 {
                allowed += u32::from(store.rate(&ask).await.unwrap().allowed);
            }
            allowed
        })
    });
    let allowed: u32 = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(allowed, 100);
    assert_eq!(store.scan(&format!("{SHOP}r:"), 10).await.unwrap(), [format!("{SHOP}r:slow")]);
    assert_eq!(store.delete(&[entry("r:slow"), entry("r:none")]).await.unwrap(), 1);
    assert!(store.rate(&ask).await.unwrap().allowed, "it begins anew");
}

async fn a_limit_frees_one_at_every_interval_and_is_gone_when_all_are_free(store: AnyStore) {
    let ask = |cells| RateAsk { key: entry("r:quick"), interval: 20_000, burst: 5, cells };
    let full = store.rate(&ask(5)).await.unwrap();
    assert_eq!(full, RateAnswer { allowed: true, ahead: 100_000 });
    let end = Instant::now() + Duration::from_secs(20);
    let mut ahead = full.ahead;
    while ahead > 0 {
        assert!(Instant::now() < end, "{ahead} microseconds do not pass");
        let looked = store.rate(&ask(0)).await.unwrap();
        assert!(looked.allowed && looked.ahead <= ahead, "a look takes nothing");
        ahead = looked.ahead;
        tokio::task::yield_now().await;
    }
    while !store.scan("shop:r:", 10).await.unwrap().is_empty() {
        assert!(Instant::now() < end, "it stays in the store");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn a_limit_that_finds_another_value_begins_anew(store: AnyStore) {
    let ask = RateAsk { key: entry("r:odd"), interval: 3_600_000_000, burst: 2, cells: 2 };
    store.write(&[written("r:odd", b"not a number", HOUR)], &[]).await.unwrap();
    assert!(store.rate(&ask).await.unwrap().allowed);
    assert!(!store.rate(&ask).await.unwrap().allowed);
    // Two hours are no longer possible for a burst of one.
    let smaller = RateAsk { burst: 1, cells: 0, ..ask };
    assert_eq!(store.rate(&smaller).await.unwrap().ahead, 3_600_000_000);
}

async fn a_store_that_is_there_says_so(store: AnyStore) {
    store.ping().await.unwrap();
    assert_eq!(store.state(), StoreState::Ready);
    tokio::time::timeout(Duration::from_secs(20), store.recovered()).await.unwrap();
    let both =
        [read(&store, &["e"], &[]).await.incarnation, read(&store, &[], &[look("t")]).await.incarnation];
    assert_eq!(both[0], both[1], "the same life of the same store");
}

macro_rules! promises {
    ($($promise:ident,)*) => {
        mod in_memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise(Arc::new(MemoryStore::with_capacity(64 << 20))).await;
            })*
        }

        #[cfg(all(unix, feature = "redis"))]
        mod in_redis {
            use super::*;
            use crate::store::{
                redis::{RedisConfig, RedisStore},
                testbed::Server,
            };

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let Some(server) = Server::start(&[]) else { return };
                // These tests are about answers, not about time, on a machine that may be busy.
                let config = RedisConfig::new(server.url())
                    .read_timeout(Duration::from_secs(10))
                    .write_timeout(Duration::from_secs(10))
                    .connect_timeout(Duration::from_secs(10));
                super::$promise(Arc::new(RedisStore::connect(config).await.unwrap())).await;
            })*
        }

        // case F10
        #[cfg(all(unix, feature = "redis"))]
        mod in_a_cluster {
            use super::*;
            use crate::store::{
                redis::{RedisConfig, RedisStore},
                testbed::{Server, eventually, free_port},
            };

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let bus = free_port().to_string();
                let arguments = ["--cluster-enabled", "yes", "--cluster-port", &bus];
                let Some(server) = Server::start_on_tcp(&arguments) else { return };
                let _: String = server.tell(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
                eventually("the cluster serves", || async {
                    server.tell::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
                })
                .await;
                let config = RedisConfig::cluster([server.address().to_string()])
                    .namespace("shop")
                    .read_timeout(Duration::from_secs(10))
                    .write_timeout(Duration::from_secs(10))
                    .connect_timeout(Duration::from_secs(10));
                super::$promise(Arc::new(RedisStore::connect(config).await.unwrap())).await;
            })*
        }
    };
}

promises! {
    nothing_asked_is_nothing_found,
    an_entry_comes_back_as_it_went_in,
    a_later_write_replaces_an_earlier_one,
    answers_come_in_the_order_of_the_questions,
    a_tag_that_nobody_stamped_is_absent,
    a_proposal_stands_where_nothing_stood,
    a_proposal_never_replaces_a_standing_stamp,
    a_proposal_does_not_change_the_life_of_a_standing_stamp,
    of_two_proposals_for_one_tag_in_one_read_the_first_stands,
    of_many_proposals_at_a_time_one_stands_and_all_see_it,
    a_purge_makes_tags_absent_and_drops_entries,
    a_purge_can_be_repeated,
    after_a_purge_the_old_stamp_never_comes_back,
    a_kept_tag_lives_on_with_its_stamp,
    keeping_never_shortens_a_life,
    a_kept_tag_that_was_purged_stays_absent,
    a_kept_tag_that_ended_stays_absent,
    a_purge_wins_over_all_keeps_that_race_with_it,
    entries_and_tags_end_with_their_lives,
    lives_of_any_length_are_accepted,
    a_lease_has_one_holder_and_ends_by_itself,
    of_many_who_want_a_lease_one_gets_it,
    a_lease_can_be_given_back,
    a_delete_counts_what_was_there,
    a_scan_lists_what_begins_with_the_prefix_and_nothing_else,
    a_scan_lists_entries_and_tags_up_to_its_limit,
    a_purge_of_very_many_keys_is_one_call,
    keys_may_hold_anything,
    answers_of_concurrent_calls_are_not_mixed_up,
    of_many_who_ask_a_slow_limit_exactly_the_burst_gets_through,
    a_limit_frees_one_at_every_interval_and_is_gone_when_all_are_free,
    a_limit_that_finds_another_value_begins_anew,
    a_store_that_is_there_says_so,
}
