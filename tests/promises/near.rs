//! The near cache: answers in this process's memory, never behind by more than was allowed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait, entity::prelude::*, sea_query::Expr};
use sea_orm_cache::{Cache, Consistency, prelude::*, stores::RedisFeed};

use crate::{
    entity::book,
    support::{Backend, PrivateRedis, Proxy, eventually, shared_redis_url, unique_namespace},
    world::{StoreKind, World, builder, patient, retitled, title},
};

pub const BYTES: usize = 8 << 20;
/// For tests in which the feed has to do it: far beyond what a test may take.
pub const LONG: Duration = Duration::from_secs(600);
pub const IN_TIME: Duration = Duration::from_secs(20);
/// By tracking, and by publish/subscribe.
pub const FEEDS: [RedisFeed; 2] = [RedisFeed::Automatic, RedisFeed::Publish];

/// A cache with answers in memory, over the same database.
async fn near(world: &World, max_staleness: Duration) -> CachedConnection {
    let builder = builder(world.store, &world.namespace).unwrap();
    let cache = builder.near(BYTES).max_staleness(max_staleness).build().await.unwrap();
    world.plain().clone().cached_by(cache)
}

fn near_hits(db: &CachedConnection) -> u64 {
    db.cache().stats().total.near
}

/// The same, in front of a Redis that tells of changes in this way.
async fn near_by(world: &World, url: String, feed: RedisFeed, max_staleness: Duration) -> CachedConnection {
    let cache = Cache::builder().namespace(&world.namespace).redis_with(patient(url).feed(feed));
    let cache = cache.near(BYTES).max_staleness(max_staleness).build().await.unwrap();
    world.plain().clone().cached_by(cache)
}

/// Was this read answered from memory?
pub async fn is_near<T>(db: &CachedConnection, read: impl Future<Output = T>) -> (T, bool) {
    let before = db.cache().stats().total;
    let value = read.await;
    let after = db.cache().stats().total;
    assert_eq!(after.reads, before.reads + 1, "one cached read was to be made");
    (value, after.near > before.near)
}

/// Reads until it is answered from memory.
pub async fn until_near(db: &CachedConnection, id: i64) {
    eventually("an answer from memory", IN_TIME, || async { is_near(db, title(db, id)).await.1 }).await;
}

pub async fn write_past_the_cache(plain: &DatabaseConnection, id: i64, title: &str) {
    let update = format!("UPDATE book SET title = '{title}' WHERE id = {id}");
    plain.execute_unprepared(&update).await.unwrap();
}

#[tokio::test]
async fn every_kind_of_answer_is_kept_and_comes_back_as_it_was() {
    for world in World::on_each_store().await {
        for bound in [Duration::ZERO, LONG] {
            let db = near(&world, bound).await;
            let shelf = || book::Entity::find().filter(book::Column::ShelfId.eq(2)).cached();
            let truth =
                book::Entity::find().filter(book::Column::ShelfId.eq(2)).all(world.plain()).await.unwrap();
            let one = book::Entity::find_by_id(7).one(world.plain()).await.unwrap();
            for round in 0..4 {
                assert_eq!(shelf().all(&db).await.unwrap(), truth, "{world} {bound:?} {round}");
                assert_eq!(*shelf().all_arc(&db).await.unwrap(), truth);
                assert_eq!(shelf().count(&db).await.unwrap(), truth.len() as u64);
                assert_eq!(shelf().one(&db).await.unwrap().as_ref(), truth.first());
                assert_eq!(title(&db, 7).await, one.as_ref().map(|book| book.title.clone()));
                assert_eq!(book::Entity::cached_by_id(7, &db).await.unwrap(), one);
                assert_eq!(book::Entity::cached_arc_by_id(7, &db).await.unwrap().as_deref(), one.as_ref());
                let many = book::Entity::cached_by_ids([7, 8, 9999, 7], &db).await.unwrap();
                assert_eq!(many[0], one, "{world} {bound:?} {round}");
                assert_eq!((many[2].as_ref(), &many[3]), (None, &one));
                assert_eq!(book::Entity::cached_by_id(9999, &db).await.unwrap(), None);
            }
            let stats = db.cache().stats();
            assert!(stats.total.near >= 10, "{world} {bound:?}: {stats:?}");
            assert_eq!(stats.total.reads, stats.total.hits + stats.total.misses + stats.total.bypasses);
        }
    }
}

#[tokio::test]
async fn what_is_in_memory_is_handed_out_and_not_copied() {
    for world in World::on_each_store().await {
        let db = near(&world, LONG).await;
        // Until nothing more is heard of what its filling changed.
        eventually("the same row twice", IN_TIME, || async {
            let one = book::Entity::cached_arc_by_id(7, &db).await.unwrap().unwrap();
            let again = book::Entity::find_by_id(7).cached().one_arc(&db).await.unwrap().unwrap();
            Arc::ptr_eq(&one, &again)
        })
        .await;
    }
}

#[tokio::test]
async fn a_process_sees_its_own_writes_at_once_whatever_bound_it_allows() {
    for world in World::on_each_store().await {
        for consistency in [Consistency::Strict, Consistency::AfterCommit] {
            let builder = builder(world.store, &unique_namespace()).unwrap().consistency(consistency);
            let cache = builder.near(BYTES).max_staleness(LONG).build().await.unwrap();
            let db = world.plain().clone().cached_by(cache);
            let all = || book::Entity::find().cached();
            for round in 0..50 {
                let new = format!("{consistency:?} {round}");
                if round % 2 == 0 {
                    retitled(7, &new).update(&db).await.unwrap();
                } else {
                    let tx = db.begin().await.unwrap();
                    retitled(7, &new).update(&tx).await.unwrap();
                    tx.commit().await.unwrap();
                }
                for _ in 0..3 {
                    assert_eq!(title(&db, 7).await.as_deref(), Some(&*new), "{world}");
                    let all = all().all(&db).await.unwrap();
                    assert_eq!(all.iter().find(|book| book.id == 7).unwrap().title, new, "{world}");
                }
            }
            assert!(near_hits(&db) > 5, "{world} {consistency:?}: {:?}", db.cache().stats());
        }
    }
}

#[tokio::test]
async fn without_a_bound_the_stamps_are_asked_for_and_nothing_is_ever_behind() {
    let Some(world) = World::new(Backend::Sqlite, StoreKind::Redis).await else { return };
    let reader = near(&world, Duration::ZERO).await;
    let writer = world.another_process().await;
    for round in 0..50 {
        let new = format!("round {round}");
        retitled(7, &new).update(&writer).await.unwrap();
        for _ in 0..3 {
            assert_eq!(title(&reader, 7).await.as_deref(), Some(&*new));
        }
    }
    assert!(near_hits(&reader) >= 25, "{:?}", reader.cache().stats());
}

#[tokio::test]
async fn a_write_of_another_process_arrives_by_the_feed() {
    let Some(world) = World::new(Backend::Sqlite, StoreKind::Redis).await else { return };
    for (feed, consistency) in FEEDS.into_iter().flat_map(|feed| {
        [Consistency::Strict, Consistency::AfterCommit].map(|consistency| (feed, consistency))
    }) {
        let reader = near_by(&world, shared_redis_url().unwrap(), feed, LONG).await;
        let builder = builder(world.store, &world.namespace).unwrap().consistency(consistency);
        let writer = world.plain().clone().cached_by(builder.build().await.unwrap());
        for round in 0..20 {
            until_near(&reader, 7).await;
            let new = format!("{feed:?} {consistency:?} {round}");
            retitled(7, &new).update(&writer).await.unwrap();
            eventually("the new title", IN_TIME, || async {
                title(&reader, 7).await.as_deref() == Some(&*new)
            })
            .await;
        }
        until_near(&reader, 7).await;
        writer.cache().invalidate_row::<book::Entity>(7_i64).await;
        eventually("a read beyond memory", IN_TIME, || async {
            !is_near(&reader, title(&reader, 7)).await.1
        })
        .await;
    }
}

#[tokio::test]
async fn on_trust_nothing_at_all_is_asked() {
    let Some(server) = PrivateRedis::start().await else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    for feed in FEEDS {
        let db = near_by(&world, server.url(), feed, LONG).await;
        let shelf = || book::Entity::find().filter(book::Column::ShelfId.eq(2)).cached().all(&db);
        until_near(&db, 7).await;
        eventually("a list from memory", IN_TIME, || async { is_near(&db, shelf()).await.1 }).await;
        // Until nothing more is heard of what the filling changed.
        eventually("two hundred reads that ask nothing", IN_TIME, || async {
            server.reset_stats().await;
            for _ in 0..100 {
                title(&db, 7).await;
                shelf().await.unwrap();
            }
            let stats = server.commandstats().await;
            !stats.contains_key("mget") && !stats.contains_key("get")
        })
        .await;
    }
}

/// The stamps that the feed keeps known spare asking for them: a hit is the entry alone.
#[tokio::test]
async fn a_hit_asks_for_the_entry_alone_while_the_stamps_are_known() {
    let Some(server) = PrivateRedis::start().await else { return };
    for feed in FEEDS {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        // No answer is small enough to be kept.
        let cache = Cache::builder().namespace(&world.namespace).redis_with(patient(server.url()).feed(feed));
        let cache = cache.near(1).max_staleness(LONG).build().await.unwrap();
        let db = world.plain().clone().cached_by(cache);
        title(&db, 7).await;
        let keys_asked = || async {
            server.reset_stats().await;
            assert_eq!(title(&db, 7).await.as_deref(), Some("Title 7"));
            let info = server.command(&["INFO", "stats"]).await;
            let text = format!("{info:?}");
            text.split("keyspace_hits:")
                .nth(1)
                .unwrap()
                .split(|c: char| !c.is_ascii_digit())
                .next()
                .unwrap()
                .to_owned()
        };
        eventually("one key for a hit", IN_TIME, || async { keys_asked().await == "1" }).await;
        assert_eq!(near_hits(&db), 0);
        let before = db.cache().stats().total;
        retitled(7, "new").update(&db).await.unwrap();
        assert_eq!(title(&db, 7).await.as_deref(), Some("new"));
        assert_eq!(db.cache().stats().total.misses, before.misses + 1);
    }
}

/// Reads until what was written just now is there; how many reads were behind, none by more than the bound.
pub async fn behind_within(reader: &CachedConnection, new: &str, bound: Duration) -> u32 {
    let done = Instant::now();
    let mut behind = 0;
    loop {
        let began = Instant::now();
        let there = tokio::time::timeout(IN_TIME, title(reader, 7)).await.unwrap();
        if there.as_deref() == Some(new) {
            return behind;
        }
        behind += 1;
        assert!(began < done + bound, "behind by more than the bound, {:?} after the write", done.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

// case C6
#[tokio::test]
async fn a_feed_that_is_cut_without_a_sign_is_not_trusted_beyond_the_bound() {
    let Some(world) = World::new(Backend::Sqlite, StoreKind::Redis).await else { return };
    let proxy = Proxy::for_redis(&shared_redis_url().unwrap()).await;
    let bound = Duration::from_millis(200);
    for (round, feed) in [FEEDS, FEEDS, FEEDS].concat().into_iter().enumerate() {
        let reader = near_by(&world, proxy.redis_url(), feed, bound).await;
        until_near(&reader, 7).await;
        proxy.black_hole();
        let new = format!("cut {round}");
        retitled(7, &new).update(&world.db).await.unwrap();
        let behind = behind_within(&reader, &new, bound).await;
        println!("round {round}: {behind} reads within the bound were behind");
        proxy.accept().await;
    }
}

#[tokio::test]
async fn a_feed_that_was_lost_and_found_is_told_nothing_of_what_it_missed() {
    let Some(world) = World::new(Backend::Sqlite, StoreKind::Redis).await else { return };
    let proxy = Proxy::for_redis(&shared_redis_url().unwrap()).await;
    for (round, feed) in [FEEDS, FEEDS].concat().into_iter().enumerate() {
        let reader = near_by(&world, proxy.redis_url(), feed, LONG).await;
        until_near(&reader, 7).await;
        let new = format!("missed {round}");
        proxy.refuse().await;
        proxy.cut().await;
        // Heard of by this process: the end of its connection. Not: the write.
        retitled(7, &new).update(&world.db).await.unwrap();
        proxy.accept().await;
        eventually("the new title", IN_TIME, || async { title(&reader, 7).await.as_deref() == Some(&*new) })
            .await;
        until_near(&reader, 7).await;
        assert_eq!(title(&reader, 7).await.as_deref(), Some(&*new));
    }
}

#[tokio::test]
async fn a_store_that_lost_everything_leaves_what_is_in_memory_right() {
    let Some(mut server) = PrivateRedis::start().await else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    for feed in FEEDS {
        let open = || near_by(&world, server.url(), feed, LONG);
        let (reader, writer) = (open().await, open().await);
        until_near(&reader, 7).await;
        server.command(&["FLUSHALL"]).await;
        retitled(7, "flushed").update(&writer).await.unwrap();
        eventually("the new title", IN_TIME, || async {
            title(&reader, 7).await.as_deref() == Some("flushed")
        })
        .await;
        until_near(&reader, 7).await;
        server.kill().await;
        server.restart(crate::support::Restart::Forget).await;
        writer.cache().drain(IN_TIME).await;
        retitled(7, "restarted").update(&writer).await.unwrap();
        eventually("the new title", IN_TIME, || async {
            title(&reader, 7).await.as_deref() == Some("restarted")
        })
        .await;
        until_near(&reader, 7).await;
    }
}

#[tokio::test]
async fn a_server_that_may_not_tell_is_asked_each_time() {
    let Some(server) = PrivateRedis::start().await else { return };
    let rules = ["on", "nopass", "~*", "&*", "+@all", "-client|tracking", "-subscribe"];
    server.command(&[&["ACL", "SETUSER", "mute"][..], &rules].concat()).await;
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let open = |user: &str| {
        let redis = patient(server.url()).username(user).password("any");
        Cache::builder().namespace("mute").redis_with(redis)
    };
    let cache = open("mute").near(BYTES).max_staleness(LONG).build().await.unwrap();
    let reader = world.plain().clone().cached_by(cache);
    let writer = world.plain().clone().cached_by(open("mute").build().await.unwrap());
    for round in 0..20 {
        let new = format!("round {round}");
        retitled(7, &new).update(&writer).await.unwrap();
        for _ in 0..3 {
            assert_eq!(title(&reader, 7).await.as_deref(), Some(&*new));
        }
    }
    assert!(near_hits(&reader) >= 5, "still without the payload: {:?}", reader.cache().stats());
}

#[tokio::test]
async fn nothing_outlives_its_time_in_memory() {
    for world in World::on_each_store().await {
        let db = near(&world, LONG).await;
        let read = || book::Entity::find_by_id(7).cached().ttl(Duration::from_millis(300)).one(&db);
        read().await.unwrap();
        write_past_the_cache(world.plain(), 7, "past the cache").await;
        eventually("the end of its time", IN_TIME, || async {
            read().await.unwrap().unwrap().title == "past the cache"
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_caller_asks_to_be_fresh_is_loaded_and_replaces_what_is_in_memory() {
    for world in World::on_each_store().await {
        let db = near(&world, LONG).await;
        until_near(&db, 7).await;
        write_past_the_cache(world.plain(), 7, "past the cache").await;
        assert_eq!(title(&db, 7).await.as_deref(), Some("Title 7"), "nobody was told");
        let fresh = book::Entity::find_by_id(7).cached().fresh().one(&db).await.unwrap().unwrap();
        assert_eq!(fresh.title, "past the cache");
        for _ in 0..3 {
            assert_eq!(title(&db, 7).await.as_deref(), Some("past the cache"));
        }
    }
}

#[tokio::test]
async fn a_tag_of_the_callers_own_is_never_passed_over() {
    for world in World::on_each_store().await {
        let db = near(&world, LONG).await;
        let plain = || book::Entity::find().cached();
        let tagged = || book::Entity::find().cached().tag("report");
        for _ in 0..3 {
            plain().all(&db).await.unwrap();
            tagged().all(&db).await.unwrap();
        }
        write_past_the_cache(world.plain(), 7, "past the cache").await;
        db.cache().invalidate_tag("report").await;
        let books = tagged().all(&db).await.unwrap();
        assert!(books.iter().any(|book| book.title == "past the cache"), "{world}");
    }
}

#[tokio::test]
async fn a_transaction_reads_the_database_and_not_the_memory() {
    for world in World::on_each_store().await {
        let db = near(&world, LONG).await;
        until_near(&db, 7).await;
        let tx = db.begin().await.unwrap();
        retitled(7, "uncommitted").update(&tx).await.unwrap();
        let inside = book::Entity::cached_by_id(7, &tx).await.unwrap().unwrap();
        assert_eq!(inside.title, "uncommitted");
        tx.rollback().await.unwrap();
        assert_eq!(title(&db, 7).await.as_deref(), Some("Title 7"), "{world}");
    }
}

#[tokio::test]
async fn a_change_of_the_schema_empties_the_memory() {
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let db = near(&world, LONG).await;
    until_near(&db, 7).await;
    db.execute_unprepared("ALTER TABLE book ADD COLUMN more INTEGER").await.unwrap();
    assert!(!is_near(&db, title(&db, 7)).await.1);
    until_near(&db, 7).await;
}

#[tokio::test]
async fn a_bulk_write_by_a_filter_reaches_every_answer_in_memory() {
    for world in World::on_each_store().await {
        let db = near(&world, LONG).await;
        for id in 1..=12 {
            until_near(&db, id).await;
        }
        let update = book::Entity::update_many().col_expr(book::Column::Title, Expr::value("all"));
        update.filter(book::Column::Id.gt(0)).exec(&db).await.unwrap();
        for id in 1..=12 {
            assert_eq!(title(&db, id).await.as_deref(), Some("all"), "{world}");
        }
    }
}

#[tokio::test]
async fn what_is_kept_in_memory_is_bounded() {
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let cache = builder(world.store, &world.namespace).unwrap().near(16 << 10).max_staleness(LONG);
    let db = world.plain().clone().cached_by(cache.build().await.unwrap());
    for number in 0..2000 {
        let select = book::Entity::find().filter(book::Column::Stock.gt(number)).cached();
        select.all(&db).await.unwrap();
    }
    let stats = db.cache().stats();
    assert!(stats.near_bytes <= 16 << 10 && stats.near_answers > 0, "{stats:?}");
}
