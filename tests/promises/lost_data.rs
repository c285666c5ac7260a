//! Redis loses data, with barriers on: what was there before a write does not come back, whichever
//! way the data went.

use std::time::Duration;

use sea_orm::{TransactionTrait, entity::prelude::*};
use sea_orm_cache::{Cache, prelude::*};

use crate::{
    differential::random::Random,
    support::{Backend, PrivateRedis, Proxy, Restart, eventually},
    world::{StoreKind, World, is_cached, patient, retitled, title},
};

const SOON: Duration = Duration::from_secs(20);

/// A process of its own in front of this Redis.
async fn process(world: &World, redis: &str) -> CachedConnection {
    let cache = Cache::builder().namespace("lost").redis_with(patient(redis.to_owned()));
    world.plain().clone().cached_by(cache.build().await.unwrap())
}

/// What the next read says in each of these processes, and the reads after it.
async fn all_read(processes: &[&CachedConnection], id: i64, expected: &str) {
    for db in processes {
        assert_eq!(title(db, id).await.as_deref(), Some(expected), "the next read");
        is_cached(db, id).await;
        assert_eq!(title(db, id).await.as_deref(), Some(expected), "once it is cached again");
    }
}

// case C5
#[tokio::test]
async fn the_next_read_after_a_restart_from_a_snapshot_before_the_write_is_fresh() {
    let Some(mut server) = PrivateRedis::start().await else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let (reader, writer) = (process(&world, &server.url()).await, process(&world, &server.url()).await);
    for round in 0..3 {
        is_cached(&reader, 1).await;
        server.save().await;
        let expected = format!("after snapshot {round}");
        retitled(1, &expected).update(&writer).await.unwrap();
        server.kill().await;
        server.restart(Restart::Keep).await;
        let newcomer = process(&world, &server.url()).await;
        all_read(&[&newcomer, &reader, &writer], 1, &expected).await;
    }
}

// case C2, C5: the snapshot holds the barrier of a write that has long been committed.
#[tokio::test]
async fn a_barrier_that_comes_back_with_a_snapshot_ends_with_its_life() {
    let Some(mut server) = PrivateRedis::start().await else { return };
    let Some(world) = World::new(Backend::Postgres, StoreKind::Memory).await else { return };
    let database = Proxy::start(world.database.server_address().unwrap()).await;
    let mut options = sea_orm::ConnectOptions::new(world.database.url_through(&database.address()));
    options.max_connections(2).sqlx_logging(false);
    let cache = Cache::builder().namespace("lost").redis_with(patient(server.url()));
    let cache = cache.barrier_life(Duration::from_secs(2)).build().await.unwrap();
    let writer = sea_orm::Database::connect(options).await.unwrap().cached_by(cache);
    writer.learn_schema().await.unwrap();
    let reader = process(&world, &server.url()).await;
    is_cached(&reader, 1).await;
    database.hold_requests(b"COMMIT");
    let write = tokio::spawn(async move { retitled(1, "committed").update(&writer).await });
    database.until_holding_request().await;
    server.save().await;
    database.release_requests();
    write.await.unwrap().unwrap();
    all_read(&[&reader], 1, "committed").await;
    server.kill().await;
    server.restart(Restart::Keep).await;
    all_read(&[&reader, &process(&world, &server.url()).await], 1, "committed").await;
}

// case B15
#[tokio::test]
async fn the_next_read_after_a_failover_to_a_replica_that_lost_the_purge_is_fresh() {
    let Some(mut primary) = PrivateRedis::start().await else { return };
    let link = Proxy::for_redis(&primary.url()).await;
    let (host, port) = link.address().split_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).unwrap();
    let of = format!("{host} {port}");
    let Some(replica) = PrivateRedis::start_with(&["--replicaof", &of]).await else { return };
    let address = Proxy::for_redis(&primary.url()).await;
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let reader = process(&world, &address.redis_url()).await;
    let writer = process(&world, &address.redis_url()).await;
    is_cached(&reader, 1).await;
    let size = async |server: &PrivateRedis| server.command(&["DBSIZE"]).await;
    eventually("the replica has the entry", SOON, async || size(&replica).await == size(&primary).await)
        .await;
    link.black_hole();
    retitled(1, "after the replica was cut off").update(&writer).await.unwrap();
    primary.kill().await;
    replica.command(&["REPLICAOF", "NO", "ONE"]).await;
    address.redirect(replica.address());
    address.cut().await;
    let newcomer = process(&world, &address.redis_url()).await;
    all_read(&[&newcomer, &reader, &writer], 1, "after the replica was cut off").await;
}

// case B13, C5: everything goes, and with it the barrier of a COMMIT that is in flight.
#[tokio::test]
async fn a_write_whose_barrier_was_flushed_is_seen_by_the_next_read_after_it() {
    let Some(server) = PrivateRedis::start().await else { return };
    let Some(world) = World::new(Backend::MariaDb, StoreKind::Memory).await else { return };
    let database = Proxy::start(world.database.server_address().unwrap()).await;
    let mut options = sea_orm::ConnectOptions::new(world.database.url_through(&database.address()));
    options.max_connections(2).sqlx_logging(false);
    let cache = Cache::builder().namespace("lost").redis_with(patient(server.url()));
    let cache = cache.barrier_life(Duration::from_secs(3)).build().await.unwrap();
    let writer = sea_orm::Database::connect(options).await.unwrap().cached_by(cache.clone());
    writer.learn_schema().await.unwrap();
    let reader = process(&world, &server.url()).await;
    is_cached(&reader, 1).await;
    database.hold_requests(b"COMMIT");
    let write = tokio::spawn(async move {
        let transaction = writer.begin().await.unwrap();
        retitled(1, "committed").update(&transaction).await.unwrap();
        transaction.commit().await
    });
    database.until_holding_request().await;
    let before = reader.cache().stats().total.hits;
    assert_eq!(title(&reader, 1).await.as_deref(), Some("Title 1"));
    assert_eq!(reader.cache().stats().total.hits, before, "nobody serves past a barrier");
    server.command(&["FLUSHALL"]).await;
    // The old row is true until the COMMIT arrives, and may be cached again.
    eventually("the writer notices", SOON, async || {
        assert_eq!(title(&reader, 1).await.as_deref(), Some("Title 1"));
        cache.stats().lapsed_barriers > 0
    })
    .await;
    // It has put the barrier back, and what was cached meanwhile is not served.
    let before = reader.cache().stats().total.hits;
    assert_eq!(title(&reader, 1).await.as_deref(), Some("Title 1"));
    assert_eq!(reader.cache().stats().total.hits, before, "the barrier stands again");
    database.release_requests();
    write.await.unwrap().unwrap();
    all_read(&[&reader], 1, "committed").await;
}

// case B14
#[tokio::test]
async fn a_redis_that_evicts_all_the_time_serves_nothing_stale() {
    let limits = ["--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru"];
    let Some(server) = PrivateRedis::start_with(&limits).await else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let (reader, writer) = (process(&world, &server.url()).await, process(&world, &server.url()).await);
    // Not to be compressed away.
    let mut random = Random::new(1);
    let filler: String = (0..2000).map(|_| format!("{:016x}", random.next())).collect();
    for round in 0..300 {
        let (id, expected) = (1 + round % 12, format!("round {round}"));
        title(&reader, id).await;
        retitled(id, &expected).update(&writer).await.unwrap();
        assert_eq!(title(&reader, id).await.as_deref(), Some(expected.as_str()));
        assert_eq!(title(&writer, id).await.as_deref(), Some(expected.as_str()));
        let load = async || Ok::<_, std::convert::Infallible>(filler.clone());
        let _ = reader.cache().get_or_load(&format!("filler {round}"), EntryOptions::new(), load).await;
    }
    let info = server.command(&["INFO", "stats"]).await;
    let info: String = redis::from_redis_value(info).unwrap();
    let evicted = info.lines().find_map(|line| line.strip_prefix("evicted_keys:")).unwrap().trim();
    let hits = reader.cache().stats().tables["book"].hits;
    println!("{evicted} keys evicted; {hits} hits on books");
    assert!(evicted.parse::<u64>().unwrap() > 0 && hits > 0);
}
