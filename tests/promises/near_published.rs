//! The near cache where the server does not say which keys change: whoever purges publishes it.

use std::time::Duration;

use sea_orm::ActiveModelTrait;
use sea_orm_cache::{
    Cache, Consistency,
    prelude::*,
    stores::{RedisConfig, RedisFeed},
};

use crate::{
    entity::book,
    near::{BYTES, FEEDS, IN_TIME, LONG, behind_within, is_near, until_near, write_past_the_cache},
    support::{Backend, PrivateCluster, PrivateRedis, eventually},
    world::{StoreKind, World, patient, retitled, title},
};

const NAMESPACE: &str = "told";
const FEED: &str = "told:~feed";
const BOUND: Duration = Duration::from_millis(400);

async fn world() -> World {
    World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap()
}

async fn reader(world: &World, redis: RedisConfig, max_staleness: Duration) -> CachedConnection {
    let cache = Cache::builder().namespace(NAMESPACE).redis_with(redis);
    let cache = cache.near(BYTES).max_staleness(max_staleness).build().await.unwrap();
    world.plain().clone().cached_by(cache)
}

async fn writer(world: &World, redis: RedisConfig, consistency: Consistency) -> CachedConnection {
    let cache = Cache::builder().namespace(NAMESPACE).redis_with(redis).consistency(consistency);
    world.plain().clone().cached_by(cache.build().await.unwrap())
}

fn published(server: &PrivateRedis) -> RedisConfig {
    patient(server.url()).feed(RedisFeed::Publish)
}

async fn calls(server: &PrivateRedis, command: &str) -> u64 {
    server.commandstats().await.get(command).copied().unwrap_or(0)
}

async fn until_seen(db: &CachedConnection, new: &str) {
    eventually(new, IN_TIME, || async { title(db, 7).await.as_deref() == Some(new) }).await;
}

/// Nobody has to ask for it: a server that refuses to track keys, and a writer of any kind.
#[tokio::test]
async fn a_server_that_does_not_track_keys_has_the_changes_published() {
    let Some(server) = PrivateRedis::start().await else { return };
    let rules = ["on", "nopass", "~*", "&*", "+@all", "-client|tracking"];
    server.command(&[&["ACL", "SETUSER", "plain"][..], &rules].concat()).await;
    let world = world().await;
    let plain = || patient(server.url()).username("plain").password("any");
    let told = reader(&world, plain(), LONG).await;
    let tracked = reader(&world, patient(server.url()), LONG).await;
    for (kind, redis) in [plain(), patient(server.url()), published(&server)].into_iter().enumerate() {
        for consistency in [Consistency::Strict, Consistency::AfterCommit] {
            let writer = writer(&world, redis.clone(), consistency).await;
            for round in 0..5 {
                until_near(&told, 7).await;
                until_near(&tracked, 7).await;
                let new = &*format!("{kind} {consistency:?} {round}");
                retitled(7, new).update(&writer).await.unwrap();
                until_seen(&told, new).await;
                until_seen(&tracked, new).await;
            }
        }
    }
    assert!(calls(&server, "publish").await > 0 && calls(&server, "client|tracking").await > 0);
}

#[tokio::test]
async fn while_nobody_listens_to_it_nothing_is_published() {
    let Some(server) = PrivateRedis::start().await else { return };
    let world = world().await;
    let tracked = reader(&world, patient(server.url()), LONG).await;
    let writer = writer(&world, published(&server), Consistency::Strict).await;
    until_near(&tracked, 7).await;
    retitled(7, "quietly").update(&writer).await.unwrap();
    until_seen(&tracked, "quietly").await;
    assert_eq!(calls(&server, "publish").await, 0);
    let told = reader(&world, published(&server), LONG).await;
    until_near(&told, 7).await;
    server.reset_stats().await;
    retitled(7, "aloud").update(&writer).await.unwrap();
    assert!(calls(&server, "publish").await >= 2, "with the marks and with the purge");
}

/// A tag that was evicted leaves what is in memory right; what is wrong later is told of, although
/// nothing is there that could be purged.
#[tokio::test]
async fn a_purge_of_what_is_no_longer_there_is_told() {
    let Some(server) = PrivateRedis::start().await else { return };
    let world = world().await;
    for feed in FEEDS {
        let reader = reader(&world, patient(server.url()).feed(feed), LONG).await;
        for consistency in [Consistency::Strict, Consistency::AfterCommit] {
            let writer = writer(&world, patient(server.url()), consistency).await;
            until_near(&reader, 7).await;
            let keys = server.command(&["KEYS", "told:t*"]).await;
            let keys: Vec<String> = redis::from_redis_value(keys).unwrap();
            let keys: Vec<_> = keys.iter().map(String::as_str).collect();
            server.command(&[&["DEL"][..], &keys].concat()).await;
            let new = format!("{feed:?} {consistency:?}");
            retitled(7, &new).update(&writer).await.unwrap();
            until_seen(&reader, &new).await;
        }
    }
    let reader = reader(&world, published(&server), LONG).await;
    let writer = writer(&world, patient(server.url()), Consistency::Strict).await;
    until_near(&reader, 7).await;
    server.command(&["DEL", "told:t", "told:t:book:*", "told:t:book:7", "told:t:book"]).await;
    write_past_the_cache(world.plain(), 7, "by hand").await;
    assert!(is_near(&reader, title(&reader, 7)).await.1, "an eviction alone is nobody's concern");
    writer.cache().invalidate_row::<book::Entity>(7_i64).await;
    until_seen(&reader, "by hand").await;
}

/// The key by which writers know that somebody listens is lost: evicted, flushed.
#[tokio::test]
async fn a_feed_whose_key_is_lost_is_not_trusted_beyond_the_bound() {
    let Some(server) = PrivateRedis::start().await else { return };
    let world = world().await;
    let reader = reader(&world, published(&server), BOUND).await;
    let writer = writer(&world, patient(server.url()), Consistency::Strict).await;
    for round in 0..10 {
        until_near(&reader, 7).await;
        match round % 3 {
            0 => server.command(&["DEL", FEED]).await,
            1 => server.command(&["SET", FEED, "something else"]).await,
            _ => server.command(&["FLUSHALL"]).await,
        };
        let new = format!("lost {round}");
        retitled(7, &new).update(&writer).await.unwrap();
        behind_within(&reader, &new, BOUND).await;
    }
}

/// A message that gets lost on its way, as a cluster's bus may lose one: the connection is there all the
/// time, and beats are heard.
#[tokio::test]
async fn a_message_that_gets_lost_is_noticed_within_the_bound() {
    let Some(server) = PrivateRedis::start().await else { return };
    let world = world().await;
    let reader = reader(&world, published(&server), BOUND).await;
    let writer = writer(&world, patient(server.url()), Consistency::Strict).await;
    for round in 0..10 {
        until_near(&reader, 7).await;
        let new = format!("missed {round}");
        // As if it had been told, and had not arrived.
        let purge = "local f = redis.call('GET', KEYS[1]) \
             local root, n, who = string.match(f, '^(%S+) (%d+) (%S+)$') \
             redis.call('SET', KEYS[1], root .. ' ' .. string.format('%.0f', n + 1) .. ' x' .. ARGV[1], 'KEEPTTL') \
             return redis.call('DEL', 'told:t:book:7', 'told:t:book')";
        write_past_the_cache(world.plain(), 7, &new).await;
        server.command(&["EVAL", purge, "1", FEED, &round.to_string()]).await;
        behind_within(&reader, &new, BOUND).await;
        retitled(7, "told").update(&writer).await.unwrap();
        behind_within(&reader, "told", BOUND).await;
    }
}

// case F21
#[tokio::test]
async fn the_documented_user_may_tell_and_hear() {
    let Some(server) = PrivateRedis::start().await else { return };
    let documented = include_str!("../../docs/redis.md");
    for line in documented.lines().filter(|line| line.starts_with("ACL SETUSER cache ")) {
        if !line.contains("+cluster|") {
            let line = line.replace("bookshop", NAMESPACE).replace(" +client|tracking", "");
            server.command(&line.split_whitespace().collect::<Vec<_>>()).await;
        }
    }
    let world = world().await;
    let user = || published(&server).username("cache").password("secret");
    let (reader, writer) =
        (reader(&world, user(), LONG).await, writer(&world, user(), Consistency::Strict).await);
    for round in 0..5 {
        until_near(&reader, 7).await;
        let new = format!("round {round}");
        retitled(7, &new).update(&writer).await.unwrap();
        until_seen(&reader, &new).await;
    }
    assert_eq!(server.command(&["ACL", "LOG"]).await, redis::Value::Array(vec![]), "nothing was denied");
}

/// A writer who may purge and may not publish.
#[tokio::test]
async fn a_writer_who_may_not_tell_leaves_nobody_behind_for_longer_than_the_bound() {
    let Some(server) = PrivateRedis::start().await else { return };
    for rule in ["-publish", "resetchannels"] {
        let rules = ["reset", "on", "nopass", "~*", "&*", "+@all", rule];
        server.command(&[&["ACL", "SETUSER", "mute"][..], &rules].concat()).await;
        let world = world().await;
        let reader = reader(&world, published(&server), BOUND).await;
        let mute = patient(server.url()).username("mute").password("any");
        let writer = writer(&world, mute, Consistency::Strict).await;
        for round in 0..5 {
            until_near(&reader, 7).await;
            let new = format!("{rule} {round}");
            retitled(7, &new).update(&writer).await.unwrap();
            behind_within(&reader, &new, BOUND).await;
        }
        let stats = writer.cache().stats();
        assert_eq!((stats.delayed_purges, stats.unguarded_writes), (0, 0), "{stats:?}");
    }
}

/// A server that is full and evicts nothing takes purges, and tells of them or is not trusted.
#[tokio::test]
async fn a_server_without_memory_leaves_nobody_behind_for_longer_than_the_bound() {
    let Some(server) = PrivateRedis::start().await else { return };
    let world = world().await;
    let reader = reader(&world, published(&server), BOUND).await;
    let writer = writer(&world, patient(server.url()), Consistency::AfterCommit).await;
    for round in 0..5 {
        until_near(&reader, 7).await;
        server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
        let new = format!("full {round}");
        retitled(7, &new).update(&writer).await.unwrap();
        behind_within(&reader, &new, BOUND).await;
        server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    }
}

// case F10: purges have to reach keys of which one node has some and another the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_leaves_nobody_behind_for_longer_than_the_bound() {
    let Some(cluster) = PrivateCluster::start().await else { return };
    let world = world().await;
    let url = cluster.url();
    let redis = || patient(url.clone());
    let reader = reader(&world, redis().feed(RedisFeed::Publish), BOUND).await;
    let writer = writer(&world, redis(), Consistency::Strict).await;
    let slot = cluster.slot(&format!("{{{NAMESPACE}}}:t")).await;
    let from = cluster.owner(slot).await;
    let to = (from + 1) % 3;
    until_near(&reader, 7).await;
    cluster.open_slot(slot, from, to).await;
    for round in 0..8 {
        let new = format!("moving {round}");
        retitled(7, &new).update(&writer).await.unwrap();
        behind_within(&reader, &new, BOUND).await;
        cluster.move_keys(slot, from, to, 1).await;
    }
    let stats = writer.cache().stats();
    assert_eq!((stats.delayed_purges, stats.unguarded_writes), (0, 0), "{stats:?}");
    while cluster.move_keys(slot, from, to, 100).await > 0 {}
    cluster.close_slot(slot, from, to).await;
    for round in 0..5 {
        until_near(&reader, 7).await;
        let new = format!("moved {round}");
        retitled(7, &new).update(&writer).await.unwrap();
        behind_within(&reader, &new, BOUND).await;
    }
}
