//! Redis goes away and comes back: no request fails, nothing stale is read, caching resumes.

use std::time::{Duration, Instant};

use sea_orm::entity::prelude::*;
use sea_orm_cache::{Cache, OutageReads, prelude::*};

use crate::{
    gate::gated_caches,
    support::{Backend, PrivateRedis, Proxy, Restart, eventually},
    world::{StoreKind, World, is_cached, patient, retitled, title},
};

const SOON: Duration = Duration::from_secs(20);
/// No request may take longer, whatever Redis does. The configured times are far below.
const BOUND: Duration = Duration::from_secs(5);

async fn in_front_of(url: String) -> (World, CachedConnection) {
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let cache = Cache::builder().namespace("outage").redis(url).build().await.unwrap();
    let db = world.plain().clone().cached_by(cache);
    (world, db)
}

/// One write and a few reads, all of which must succeed, in time, with the truth.
async fn round(db: &CachedConnection, number: u32, longest: &mut Duration) {
    let expected = format!("round {number}");
    let start = Instant::now();
    let work = async {
        retitled(1, &expected).update(db).await.unwrap();
        for _ in 0..3 {
            assert_eq!(title(db, 1).await.as_deref(), Some(expected.as_str()));
            assert!(title(db, 2).await.is_some());
        }
    };
    tokio::time::timeout(BOUND, work).await.expect("requests are bounded in time");
    *longest = start.elapsed().max(*longest);
}

// case C3
// feature D3
#[tokio::test]
async fn redis_stopped_in_the_middle_of_a_loop_fails_no_request_and_caching_resumes() {
    let Some(mut server) = PrivateRedis::start().await else { return };
    let (_world, db) = in_front_of(server.url()).await;
    let (mut up, mut down) = (Duration::ZERO, Duration::ZERO);
    for number in 0..50 {
        round(&db, number, &mut up).await;
    }
    server.stop().await;
    for number in 50..150 {
        round(&db, number, &mut down).await;
    }
    let away = db.cache().stats();
    server.restart(Restart::Forget).await;
    is_cached(&db, 3).await;
    assert!(db.cache().drain(SOON).await, "the queued purges were delivered");
    for number in 150..200 {
        round(&db, number, &mut up).await;
    }
    println!("longest round: {up:?} with Redis, {down:?} without; {away:?}");
    assert!(away.total.bypasses > 0 && away.delayed_purges > 0);
}

// case C3, C4
// feature D3
#[tokio::test]
async fn a_frozen_redis_bounds_every_request_and_caching_resumes() {
    let Some(server) = PrivateRedis::start().await else { return };
    let (_world, db) = in_front_of(server.url()).await;
    let mut longest = Duration::ZERO;
    for number in 0..10 {
        round(&db, number, &mut longest).await;
    }
    server.pause();
    for number in 10..40 {
        round(&db, number, &mut longest).await;
    }
    server.resume();
    is_cached(&db, 3).await;
    assert!(db.cache().drain(SOON).await);
    for number in 40..60 {
        round(&db, number, &mut longest).await;
    }
    println!("longest round with a frozen Redis: {longest:?}");
}

// case C5, C11: what this process wrote while Redis was away is purged before it trusts Redis again.
#[tokio::test]
async fn redis_back_with_old_data_is_purged_before_it_is_trusted() {
    let Some(mut server) = PrivateRedis::start().await else { return };
    let (_world, db) = in_front_of(server.url()).await;
    assert_eq!(title(&db, 1).await.as_deref(), Some("Title 1"));
    title(&db, 1).await;
    assert_eq!(db.cache().stats().total.hits, 1);
    server.save().await;
    server.stop().await;
    retitled(1, "written meanwhile").update(&db).await.unwrap();
    server.restart(Restart::Keep).await;
    // The old entry is there again. Not one read may be answered from it.
    let deadline = Instant::now() + SOON;
    while db.cache().stats().undelivered_tags > 0 || db.cache().stats().total.hits == 1 {
        assert_eq!(title(&db, 1).await.as_deref(), Some("written meanwhile"));
        assert!(Instant::now() < deadline, "the purge was not delivered: {:?}", db.cache().stats());
        tokio::task::yield_now().await;
    }
    assert_eq!(title(&db, 1).await.as_deref(), Some("written meanwhile"));
}

// case C5, B15: and what another process wrote, which this one knows nothing of.
#[tokio::test]
async fn redis_restarted_from_an_old_snapshot_serves_nothing_from_before() {
    let Some(mut server) = PrivateRedis::start().await else { return };
    let (world, db) = in_front_of(server.url()).await;
    let writer = Cache::builder().namespace("outage").redis(server.url()).build().await.unwrap();
    let writer = world.plain().clone().cached_by(writer);
    title(&db, 1).await;
    title(&db, 1).await;
    assert_eq!(db.cache().stats().total.hits, 1);
    server.save().await;
    retitled(1, "after the snapshot").update(&writer).await.unwrap();
    server.kill().await;
    server.restart(Restart::Keep).await;
    // The old entry and the stamps that it recorded are there again. Neither a process that was
    // there before nor a new one reads it.
    let fresh = Cache::builder().namespace("outage").redis(server.url()).build().await.unwrap();
    let fresh = world.plain().clone().cached_by(fresh);
    for db in [&db, &writer, &fresh] {
        is_cached(db, 3).await;
        assert_eq!(title(db, 1).await.as_deref(), Some("after the snapshot"));
    }
}

// case A22
#[tokio::test]
async fn a_purge_that_a_store_refuses_is_delivered_when_it_no_longer_does() {
    for (gate, cache) in gated_caches().await {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let db = world.plain().clone().cached_by(cache);
        title(&db, 1).await;
        gate.refuse_purges(true);
        retitled(1, "durable").update(&db).await.unwrap();
        let stats = db.cache().stats();
        assert_eq!(stats.delayed_purges, 1, "{}: {stats:?}", db.cache().store_name());
        // Until it is delivered, this process reads what it concerns from the database.
        for _ in 0..3 {
            assert_eq!(title(&db, 1).await.as_deref(), Some("durable"));
        }
        assert_eq!(db.cache().stats().total.bypasses, 3);
        assert!(title(&db, 2).await.is_some());
        assert!(!db.cache().drain(Duration::from_millis(1)).await, "it is not delivered yet");
        gate.refuse_purges(false);
        assert!(db.cache().drain(SOON).await);
        is_cached(&db, 3).await;
        assert_eq!(title(&db, 1).await.as_deref(), Some("durable"));
    }
}

// case C3: the entry names a tag that its reader does not.
#[tokio::test]
async fn an_entry_is_not_served_while_the_purge_of_any_of_its_tags_is_queued() {
    for (gate, cache) in gated_caches().await {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let db = world.plain().clone().cached_by(cache.clone());
        cache.set("dashboard", &1, EntryOptions::new().entity(crate::entity::book::Entity)).await.unwrap();
        assert_eq!(cache.get::<i32>("dashboard").await.unwrap(), Some(1));
        gate.refuse_purges(true);
        retitled(1, "new").update(&db).await.unwrap();
        assert_eq!(cache.get::<i32>("dashboard").await.unwrap(), None, "{}", cache.store_name());
        gate.refuse_purges(false);
        assert!(cache.drain(SOON).await);
        assert_eq!(cache.get::<i32>("dashboard").await.unwrap(), None);
    }
}

// case C12
#[tokio::test]
async fn a_queue_that_cannot_be_delivered_stays_small() {
    for (gate, _) in gated_caches().await {
        let cache = Cache::builder().namespace("small").store(gate.clone()).max_undelivered(10);
        let cache = cache.build().await.unwrap();
        gate.refuse_purges(true);
        for round in 0..200 {
            cache.invalidate_tag(&format!("tag {round}")).await;
            tokio::task::yield_now().await;
            let waiting = cache.stats().undelivered_tags;
            assert!(waiting <= 2 * 11, "{waiting} tags wait");
        }
        gate.refuse_purges(false);
        assert!(cache.drain(SOON).await);
    }
}

// case A22, C16
#[tokio::test]
async fn a_purge_that_fails_never_fails_the_write_and_is_not_silent() {
    let Some(mut server) = PrivateRedis::start().await else { return };
    let (_world, db) = in_front_of(server.url()).await;
    title(&db, 1).await;
    server.kill().await;
    retitled(1, "durable").update(&db).await.unwrap();
    let stats = db.cache().stats();
    assert!(stats.delayed_purges >= 1 && stats.undelivered_tags >= 1, "{stats:?}");
    assert_eq!(title(&db, 1).await.as_deref(), Some("durable"));
}

// case C12
#[tokio::test]
async fn more_undelivered_purges_than_the_queue_holds_purge_the_namespace() {
    let Some(mut server) = PrivateRedis::start().await else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let cache = Cache::builder().namespace("outage").redis(server.url()).max_undelivered(5);
    let db = world.plain().clone().cached_by(cache.build().await.unwrap());
    for id in 1..=12 {
        title(&db, id).await;
    }
    server.save().await;
    server.stop().await;
    for id in 1..=8 {
        retitled(id, "away").update(&db).await.unwrap();
    }
    assert!(db.cache().stats().undelivered_tags <= 12);
    server.restart(Restart::Keep).await;
    assert!(db.cache().drain(SOON).await);
    for id in 1..=12 {
        let expected = if id <= 8 { "away".to_owned() } else { format!("Title {id}") };
        assert_eq!(title(&db, id).await, Some(expected));
    }
}

// case C7: the connection is cut under a purge.
#[tokio::test]
async fn a_connection_cut_while_a_purge_is_in_flight_delivers_it_later() {
    let Some(server) = PrivateRedis::start().await else { return };
    let proxy = Proxy::for_redis(&server.url()).await;
    let (_world, db) = in_front_of(proxy.redis_url()).await;
    for attempt in 0..10 {
        title(&db, 1).await;
        db.cache().ping().await.ok();
        proxy.hold_replies(0);
        let expected = format!("cut {attempt}");
        let write = {
            let db = db.clone();
            let expected = expected.clone();
            tokio::spawn(async move { retitled(1, &expected).update(&db).await })
        };
        proxy.cut().await;
        proxy.release();
        write.await.unwrap().unwrap();
        assert_eq!(title(&db, 1).await, Some(expected));
        assert!(db.cache().drain(SOON).await);
        is_cached(&db, 3).await;
    }
}

// case C13
#[tokio::test]
async fn closing_delivers_what_is_queued() {
    let Some(mut server) = PrivateRedis::start().await else { return };
    let (world, db) = in_front_of(server.url()).await;
    title(&db, 1).await;
    server.save().await;
    server.stop().await;
    retitled(1, "last words").update(&db).await.unwrap();
    assert!(db.cache().stats().undelivered_tags > 0);
    let cache = db.cache().clone();
    let closing = tokio::spawn(async move { cache.drain(SOON).await });
    server.restart(Restart::Keep).await;
    assert!(closing.await.unwrap());
    let other = Cache::builder().namespace("outage").redis(server.url()).build().await.unwrap();
    let other = world.plain().clone().cached_by(other);
    assert_eq!(title(&other, 1).await.as_deref(), Some("last words"));
}

// feature B9
#[tokio::test]
async fn while_redis_is_away_this_process_can_answer_for_itself_and_never_hides_its_own_writes() {
    let Some(mut server) = PrivateRedis::start().await else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let bound = Duration::from_millis(700);
    let cache = async || {
        let cache = Cache::builder().namespace("outage").redis_with(patient(server.url()));
        cache.outage_reads(OutageReads::Memory(bound)).build().await.unwrap()
    };
    let db = world.plain().clone().cached_by(cache().await);
    let other = world.plain().clone().cached_by(cache().await);
    is_cached(&db, 3).await;
    server.stop().await;
    // From memory, without Redis.
    let hits = async |id: i64| {
        let before = db.cache().stats().total.hits;
        title(&db, id).await;
        db.cache().stats().total.hits > before
    };
    eventually("it answers for itself", SOON, async || hits(2).await).await;
    // What another process writes is seen when the bound is over, at the latest.
    eventually("it is in memory", SOON, async || hits(5).await).await;
    let written = Instant::now();
    retitled(5, "by another").update(&other).await.unwrap();
    let written = (written, Instant::now());
    loop {
        let began = Instant::now();
        if title(&db, 5).await.as_deref() == Some("by another") {
            break;
        }
        assert!(began < written.1 + bound, "behind by {:?}", began - written.0);
        tokio::task::yield_now().await;
    }
    // What it writes itself is seen at once.
    for number in 0..20 {
        let expected = format!("own {number}");
        retitled(2, &expected).update(&db).await.unwrap();
        assert_eq!(title(&db, 2).await, Some(expected));
    }
    // Back: what was written meanwhile is purged before Redis is believed.
    server.restart(Restart::Forget).await;
    is_cached(&db, 3).await;
    assert!(db.cache().drain(SOON).await && other.cache().drain(SOON).await);
    assert_eq!(title(&db, 2).await.as_deref(), Some("own 19"));
    assert_eq!(title(&db, 5).await.as_deref(), Some("by another"));
}
