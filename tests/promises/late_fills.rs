//! A reader that is slow between loading and storing never brings an old value back, and one load
//! serves all who ask at the same time.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sea_orm::{ActiveValue::Set, entity::prelude::*};
use sea_orm_cache::{Cache, prelude::*};
use tokio::sync::oneshot;

use crate::{
    entity::{book, publisher},
    gate::gated_caches,
    support::{Backend, PrivateRedis, Proxy, eventually},
    world::{StoreKind, World, caches, new_book, patient, retitled},
};

/// A load that says that it began and then waits to be told what to answer.
struct SlowLoad {
    began: oneshot::Receiver<()>,
    answer: oneshot::Sender<&'static str>,
    read: tokio::task::JoinHandle<String>,
}

fn slow_load(cache: &Cache, options: EntryOptions) -> SlowLoad {
    let (began_tx, began) = oneshot::channel();
    let (answer, answer_rx) = oneshot::channel::<&'static str>();
    let cache = cache.clone();
    let read = tokio::spawn(async move {
        let load = || async {
            began_tx.send(()).unwrap();
            Ok::<_, Infallible>(answer_rx.await.unwrap().to_owned())
        };
        cache.get_or_load("key", options, load).await.unwrap()
    });
    SlowLoad { began, answer, read }
}

async fn load_now(cache: &Cache, options: EntryOptions, value: &'static str) -> String {
    cache.get_or_load("key", options, || async { Ok::<_, Infallible>(value.to_owned()) }).await.unwrap()
}

fn options() -> EntryOptions {
    EntryOptions::new().tag("tag")
}

// case B1
#[tokio::test]
async fn a_fill_of_an_absent_key_that_began_before_a_purge_is_never_served() {
    for (store, cache) in caches().await {
        let slow = slow_load(&cache, options());
        slow.began.await.unwrap();
        cache.invalidate_tag("tag").await;
        slow.answer.send("old").unwrap();
        assert_eq!(slow.read.await.unwrap(), "old", "whoever asked before the purge may see it");
        assert_eq!(cache.get::<String>("key").await.unwrap(), None, "{store:?}");
        assert_eq!(load_now(&cache, options(), "new").await, "new", "{store:?}");
        assert_eq!(load_now(&cache, options(), "newer").await, "new", "{store:?}: and that is kept");
    }
}

// case B2
#[tokio::test]
async fn a_refill_of_a_present_key_that_began_before_a_purge_is_never_served() {
    for (store, cache) in caches().await {
        assert_eq!(load_now(&cache, options(), "first").await, "first");
        let slow = slow_load(&cache, options().fresh());
        slow.began.await.unwrap();
        cache.invalidate_tag("tag").await;
        slow.answer.send("old").unwrap();
        slow.read.await.unwrap();
        assert_eq!(load_now(&cache, options(), "new").await, "new", "{store:?}");
    }
}

// case B5
#[tokio::test]
async fn a_reader_that_comes_after_a_purge_never_joins_a_flight_that_began_before_it() {
    for (store, cache) in caches().await {
        let slow = slow_load(&cache, options());
        slow.began.await.unwrap();
        cache.invalidate_tag("tag").await;
        // The old flight is still in the air; this one must not wait for it.
        assert_eq!(load_now(&cache, options(), "new").await, "new", "{store:?}");
        slow.answer.send("old").unwrap();
        slow.read.await.unwrap();
        assert_eq!(load_now(&cache, options(), "newer").await, "new", "{store:?}: the late fill is dead");
    }
}

// case B16
#[tokio::test]
async fn a_waiter_takes_over_when_the_leader_goes_away() {
    for (store, cache) in caches().await {
        let slow = slow_load(&cache, options());
        slow.began.await.unwrap();
        let waiter = {
            let cache = cache.clone();
            tokio::spawn(async move { load_now(&cache, options(), "taken over").await })
        };
        // Let the waiter look and board.
        eventually("the waiter has looked", Duration::from_secs(5), async || {
            tokio::task::yield_now().await;
            !waiter.is_finished()
        })
        .await;
        slow.read.abort();
        assert_eq!(waiter.await.unwrap(), "taken over", "{store:?}");
    }
}

// case B17
#[tokio::test]
async fn a_leader_that_fails_does_not_fail_the_others() {
    for (store, cache) in caches().await {
        let failing = cache.get_or_load("key", options(), || async { Err::<String, _>("no") });
        let (failed, ok) = tokio::join!(failing, load_now(&cache, options(), "fine"));
        assert!(failed.is_err() || failed.as_deref() == Ok("fine"), "{store:?}");
        assert_eq!(ok, "fine", "{store:?}");
        // case E24
        assert_eq!(load_now(&cache, options(), "other").await, "fine", "{store:?}: the error was not cached");
    }
}

// case B8
#[tokio::test]
async fn a_late_fill_never_resurrects_a_deleted_row() {
    for (gate, cache) in gated_caches().await {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let db = world.plain().clone().cached_by(cache);
        gate.close();
        // The read is answered; its entry waits at the gate.
        assert!(book::Entity::cached_by_id(1, &db).await.unwrap().is_some());
        gate.holds(1).await;
        book::Entity::delete_by_id(1).exec(&db).await.unwrap();
        gate.open();
        gate.is_empty().await;
        assert_eq!(book::Entity::cached_by_id(1, &db).await.unwrap(), None, "{}", db.cache().store_name());
    }
}

// case B2, B12 of the features: the old row
// feature B12
#[tokio::test]
async fn a_late_fill_never_resurrects_the_old_row() {
    for (gate, cache) in gated_caches().await {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let db = world.plain().clone().cached_by(cache);
        gate.close();
        book::Entity::cached_by_id(1, &db).await.unwrap();
        book::Entity::find().cached().all(&db).await.unwrap();
        gate.holds(2).await;
        retitled(1, "new").update(&db).await.unwrap();
        gate.open();
        gate.is_empty().await;
        let row = book::Entity::cached_by_id(1, &db).await.unwrap().unwrap();
        assert_eq!(row.title, "new", "{}", db.cache().store_name());
        let list = book::Entity::find().cached().all(&db).await.unwrap();
        assert!(list.iter().any(|book| book.title == "new"), "{}", db.cache().store_name());
    }
}

// case B9
// feature B10
#[tokio::test]
async fn a_late_negative_entry_never_hides_an_inserted_row() {
    for (gate, cache) in gated_caches().await {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let db = world.plain().clone().cached_by(cache);
        gate.close();
        assert_eq!(book::Entity::cached_by_id(77, &db).await.unwrap(), None);
        gate.holds(1).await;
        new_book(77).insert(&db).await.unwrap();
        gate.open();
        gate.is_empty().await;
        assert!(book::Entity::cached_by_id(77, &db).await.unwrap().is_some(), "{}", db.cache().store_name());
        // And without a given id, where nobody knows the key beforehand.
        assert_eq!(publisher::Entity::cached_by_id(3, &db).await.unwrap(), None);
        let new = publisher::ActiveModel { name: Set("Third".into()), ..Default::default() };
        let id = new.insert(&db).await.unwrap().id;
        assert_eq!(id, 3);
        assert!(publisher::Entity::cached_by_id(3, &db).await.unwrap().is_some());
    }
}

// case B21
// feature B6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_concurrent_reads_of_one_missing_key_make_one_query() {
    for (store, cache) in caches().await {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let queries = Arc::new(AtomicUsize::new(0));
        let mut connection = world.database.another_connection().await;
        let counted = queries.clone();
        connection.set_metric_callback(move |info| {
            if info.statement.sql.starts_with("SELECT") && info.statement.sql.contains("book") {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let db = connection.cached_by(cache);
        let reads: Vec<_> = (0..1000)
            .map(|_| {
                let db = db.clone();
                tokio::spawn(async move { book::Entity::find_by_id(1).cached().one(&db).await.unwrap() })
            })
            .collect();
        for read in reads {
            assert_eq!(read.await.unwrap().map(|book| book.id), Some(1));
        }
        let stats = db.cache().stats().total;
        println!("{store:?}: 1000 reads, {} queries, {stats:?}", queries.load(Ordering::Relaxed));
        assert_eq!(queries.load(Ordering::Relaxed), 1, "{store:?}");
        assert_eq!(stats.reads, 1000);
    }
}

// case B5
#[tokio::test]
async fn who_asks_after_a_delete_is_not_answered_by_a_load_from_before_it() {
    for (store, cache) in caches().await {
        assert_eq!(load_now(&cache, EntryOptions::new(), "first").await, "first");
        cache.delete("key").await.unwrap();
        assert_eq!(load_now(&cache, EntryOptions::new(), "second").await, "second", "{store:?}");
    }
}

/// A slow load over a Redis of its own, to whose keys something happens meanwhile.
async fn after_a_loss(lose: impl AsyncFn(&PrivateRedis, &Cache)) {
    let Some(server) = PrivateRedis::start().await else { return };
    let cache = Cache::builder().namespace("lost").redis_with(patient(server.url())).build().await.unwrap();
    let slow = slow_load(&cache, options());
    slow.began.await.unwrap();
    lose(&server, &cache).await;
    // Another reader, who stamps the tag anew, and a write of which only that one knows.
    assert_eq!(load_now(&cache, options(), "new").await, "new");
    slow.answer.send("old").unwrap();
    assert_eq!(slow.read.await.unwrap(), "old");
    let after = load_now(&cache, options(), "newer").await;
    assert!(["new", "newer"].contains(&after.as_str()), "{after}");
}

// case B13
#[tokio::test]
async fn what_was_loaded_while_the_store_was_emptied_is_never_served() {
    after_a_loss(async |server, _| drop(server.command(&["FLUSHALL"]).await)).await;
}

// case B14
#[tokio::test]
async fn what_was_loaded_while_its_stamp_was_evicted_is_never_served() {
    after_a_loss(async |server, cache| {
        for key in cache.keys(100).await.unwrap() {
            server.command(&["DEL", &key]).await;
        }
    })
    .await;
}

// case B3
#[tokio::test]
async fn what_was_loaded_for_longer_than_its_stamps_lived_is_never_served() {
    after_a_loss(async |server, cache| {
        for key in cache.keys(100).await.unwrap() {
            server.command(&["PEXPIRE", &key, "1"]).await;
        }
        eventually("they are gone", Duration::from_secs(5), async || {
            cache.keys(100).await.unwrap().is_empty()
        })
        .await;
    })
    .await;
}

// case B26
#[tokio::test]
async fn what_was_loaded_while_everything_was_invalidated_is_never_served() {
    for (store, cache) in caches().await {
        let slow = slow_load(&cache, options());
        slow.began.await.unwrap();
        cache.clear().await;
        slow.answer.send("old").unwrap();
        slow.read.await.unwrap();
        assert_eq!(load_now(&cache, options(), "new").await, "new", "{store:?}");
    }
}

// case B6
#[tokio::test]
async fn a_first_load_that_comes_in_last_takes_nobodys_place() {
    for (store, cache) in caches().await {
        let first = slow_load(&cache, options());
        first.began.await.unwrap();
        cache.invalidate_tag("tag").await;
        let second = slow_load(&cache, options());
        second.began.await.unwrap();
        second.answer.send("second").unwrap();
        assert_eq!(second.read.await.unwrap(), "second");
        first.answer.send("first").unwrap();
        first.read.await.unwrap();
        let after = load_now(&cache, options(), "third").await;
        assert!(["second", "third"].contains(&after.as_str()), "{store:?}: {after}");
    }
}

// case B19
#[tokio::test]
async fn readers_are_answered_although_purges_never_stop() {
    for (store, cache) in caches().await {
        let purging = tokio::spawn({
            let cache = cache.clone();
            async move {
                loop {
                    cache.invalidate_tag("tag").await;
                    tokio::task::yield_now().await;
                }
            }
        });
        let reads = (0..50).map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move {
                let load = || async {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    Ok::<_, Infallible>("value".to_owned())
                };
                cache.get_or_load("key", options(), load).await.unwrap()
            })
        });
        for read in reads.collect::<Vec<_>>() {
            let answer = tokio::time::timeout(Duration::from_secs(30), read).await;
            assert_eq!(answer.expect("every reader gets its turn").unwrap(), "value", "{store:?}");
        }
        purging.abort();
    }
}

// case B23
#[tokio::test]
async fn a_caller_that_changes_what_it_was_given_changes_nothing_for_others() {
    for world in World::on_each_store().await {
        for _ in 0..3 {
            let mut row = book::Entity::cached_by_id(1, &world.db).await.unwrap().unwrap();
            assert_eq!(row.title, "Title 1", "{world}");
            row.title = "scribbled over".to_owned();
            let mut all = book::Entity::find().cached().all(&world.db).await.unwrap();
            assert_eq!(all.len(), 12, "{world}");
            all.clear();
        }
    }
}

// case B27
#[tokio::test]
async fn an_entry_and_its_stamps_are_read_in_one_step() {
    let Some(server) = PrivateRedis::start().await else { return };
    let proxy = Proxy::for_redis(&server.url()).await;
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let cache =
        Cache::builder().namespace("b27").redis_with(patient(proxy.redis_url())).build().await.unwrap();
    let db = world.plain().clone().cached_by(cache);
    // The second look already knows which tags the entry names.
    for _ in 0..3 {
        book::Entity::cached_by_id(1, &db).await.unwrap();
        db.cache().ping().await.unwrap();
    }
    proxy.record();
    let hits = db.cache().stats().total.hits;
    book::Entity::cached_by_id(1, &db).await.unwrap();
    assert_eq!(db.cache().stats().total.hits, hits + 1);
    let commands = proxy.recorded_commands();
    let [mget] = &commands[..] else { panic!("a hit is one command: {commands:?}") };
    assert_eq!(mget[0], "MGET");
    for key in ["b27:t", "b27:t:book:*"] {
        assert!(mget.iter().any(|word| word == key), "{key} is asked for with the entry: {mget:?}");
    }
}

// case B7
#[tokio::test]
async fn purges_that_arrive_in_the_other_order_leave_nothing_old() {
    for (gate, cache) in gated_caches().await {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let first = world.plain().clone().cached_by(cache);
        first.cache().ping().await.unwrap();
        book::Entity::cached_by_id(1, &first).await.unwrap();
        gate.hold_purges();
        let writer = tokio::spawn({
            let db = first.clone();
            async move { retitled(1, "first").update(&db).await.unwrap() }
        });
        gate.holds_purges(1).await;
        let late = tokio::spawn({
            let db = first.clone();
            async move { retitled(1, "second").update(&db).await.unwrap() }
        });
        gate.holds_purges(2).await;
        // The second is given up and goes to the queue; whichever comes first now.
        late.abort();
        gate.let_purges_through();
        writer.await.unwrap();
        assert!(first.cache().drain(Duration::from_secs(20)).await);
        for _ in 0..2 {
            let row = book::Entity::cached_by_id(1, &first).await.unwrap().unwrap();
            assert_eq!(row.title, "second", "{}", first.cache().store_name());
        }
    }
}

// case C17
#[tokio::test]
async fn what_cannot_be_stored_is_not_loaded_twice() {
    let Some(server) = PrivateRedis::start().await else { return };
    let cache = Cache::builder().namespace("c17").redis_with(patient(server.url())).build().await.unwrap();
    assert_eq!(load_now(&cache, options(), "first").await, "first");
    cache.delete("key").await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    for calls in 1..=3 {
        let loads = AtomicUsize::new(0);
        let load = || async {
            loads.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>("value".to_owned())
        };
        let key = format!("key {calls}");
        assert_eq!(cache.get_or_load(&key, options(), load).await.unwrap(), "value");
        assert_eq!(loads.load(Ordering::SeqCst), 1, "{key}");
    }
    assert_eq!(cache.stats().total.hits, 0);
}

/// A write to any row of the table has a barrier on the table while it is under way. What it has no part
/// in is stored all the same.
#[tokio::test]
async fn rows_are_filled_while_other_rows_are_being_written_and_missing_ones_are_not() {
    use sea_orm_cache::stores::{Arm, Release, Store, TagKey, WriterId};
    let Some(url) = crate::support::shared_redis_url() else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Redis).await.unwrap();
    let store = sea_orm_cache::stores::RedisStore::connect(crate::world::patient(url)).await.unwrap();
    let writer = WriterId::fresh();
    let table = TagKey::from_full(format!("{}:t:book", world.namespace));
    let arm = Arm { writer, tags: vec![(table.clone(), 0)], life: Duration::from_secs(60) };
    store.arm(&arm).await.unwrap();
    assert!(!world.book_is_cached(7).await);
    let lands = || async { world.book_is_cached(7).await };
    crate::support::eventually("the row's entry", Duration::from_secs(20), lands).await;
    for _ in 0..3 {
        assert!(!world.book_is_cached(4711).await, "who knows what is being inserted");
    }
    store.release(&Release { writer, ..Release::purging(&[table], &[]) }).await.unwrap();
    assert!(!world.book_is_cached(4711).await);
    let lands = || async { world.book_is_cached(4711).await };
    crate::support::eventually("the missing row's entry", Duration::from_secs(20), lands).await;
}
