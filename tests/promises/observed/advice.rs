//! Advice and health, from real stores.

use std::time::Duration;

use sea_orm::entity::prelude::*;
use sea_orm_cache::{Advice, Cache, HealthStatus, Severity, prelude::*};

use crate::{
    entity::book,
    support::{Backend, PrivateRedis, eventually, unique_namespace},
    world::{StoreKind, World, caches, patient},
};

const SOON: Duration = Duration::from_secs(20);

fn codes(advice: &[Advice]) -> Vec<&str> {
    advice.iter().map(|advice| advice.code).collect()
}

async fn on(redis: &PrivateRedis) -> Cache {
    let builder = Cache::builder().namespace(unique_namespace());
    builder.redis_with(patient(redis.url())).build().await.unwrap()
}

// feature D5, D8
#[tokio::test]
async fn a_cache_that_is_well_is_healthy_and_needs_no_advice() {
    for (kind, cache) in caches().await {
        let health = cache.health().await;
        assert_eq!(
            (health.status, health.reachable, health.fallback),
            (HealthStatus::Healthy, true, false),
            "{kind:?}"
        );
        assert!(health.is_usable() && health.latency_ms.is_some(), "{kind:?}");
        assert_eq!(cache.advice().await, [], "{kind:?}");
        let server = cache.server().await;
        assert!(server.memory_bytes.is_some(), "{kind:?}: {server:?}");
    }
}

// feature D8
#[tokio::test]
async fn what_the_server_says_of_its_memory_becomes_advice() {
    let limits = ["--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"];
    let Some(redis) = PrivateRedis::start_with(&limits).await else { return };
    let cache = on(&redis).await;
    let server = cache.server().await;
    assert_eq!(server.memory_limit, Some(100 << 20));
    assert_eq!(server.eviction_policy.as_deref(), Some("volatile-ttl"));
    assert_eq!((server.is_replica, server.evicted_keys), (Some(false), Some(0)));
    assert!(server.version.is_some() && server.uptime_seconds.is_some());
    assert_eq!(codes(&cache.advice().await), ["eviction-policy"]);
}

// feature D8
#[tokio::test]
async fn a_server_that_is_full_and_evicts_nothing_is_critical() {
    let limits = ["--maxmemory", "1", "--maxmemory-policy", "noeviction"];
    let Some(redis) = PrivateRedis::start_with(&limits).await else { return };
    let advice = on(&redis).await.advice().await;
    let full = advice.iter().find(|advice| advice.code == "memory-nearly-full").expect("no word of it");
    assert_eq!(full.severity, Severity::Critical);
}

#[tokio::test]
async fn a_server_that_may_not_be_asked_is_no_trouble() {
    let Some(redis) = PrivateRedis::start().await else { return };
    redis.command(&["ACL", "SETUSER", "shop", "on", ">secret", "~*", "&*", "+@all", "-info"]).await;
    let url = redis.url().replace("redis://", "redis://shop:secret@");
    let cache = Cache::builder().namespace("shop").redis_with(patient(url)).build().await.unwrap();
    assert_eq!(cache.server().await, Default::default());
    assert_eq!(cache.advice().await, []);
    assert_eq!(cache.health().await.status, HealthStatus::Healthy);
}

// case G5
// feature D5, D8
#[tokio::test]
async fn a_server_that_is_away_or_frozen_is_said_to_be_so_and_said_to_be_back() {
    let Some(mut redis) = PrivateRedis::start().await else { return };
    let cache = on(&redis).await;
    assert_eq!(cache.health().await.status, HealthStatus::Healthy);
    redis.pause();
    // Ends by itself: nothing here waits for the server.
    let health = cache.health().await;
    assert_eq!((health.status, health.reachable, health.latency_ms), (HealthStatus::Unhealthy, false, None));
    redis.resume();
    eventually("healthy again", SOON, async || cache.health().await.status == HealthStatus::Healthy).await;
    redis.kill().await;
    cache.invalidate_table("book").await;
    let health = cache.health().await;
    assert!(!health.is_usable() && health.fallback && health.queued_purges > 0, "{health:?}");
    let advice = cache.advice().await;
    assert_eq!(codes(&advice)[..2], ["store-unreachable", "purges-waiting"]);
    assert!(cache.stats().store_errors > 0);
    redis.restart(crate::support::Restart::Forget).await;
    eventually("healthy again", SOON, async || cache.health().await.status == HealthStatus::Healthy).await;
    assert_eq!(cache.advice().await, []);
}

#[tokio::test]
async fn a_cache_that_is_switched_off_says_so() {
    let cache = Cache::builder().namespace("off").enabled(false).build().await.unwrap();
    let health = cache.health().await;
    assert_eq!((health.status, health.fallback, health.enabled), (HealthStatus::Degraded, true, false));
    assert_eq!(codes(&cache.advice().await), ["switched-off"]);
}

// feature D4
#[tokio::test]
async fn each_question_to_the_store_is_timed_and_an_answer_from_memory_asks_none() {
    for world in World::on_each_store().await {
        let cache = crate::world::builder(world.store, &world.namespace).unwrap();
        let cache = cache.near(1 << 20).max_staleness(Duration::from_secs(600)).build().await.unwrap();
        let db = world.plain().clone().cached_by(cache);
        let near = async || {
            book::Entity::cached_by_id(3, &db).await.unwrap();
            db.cache().stats().total.near > 0
        };
        eventually("an answer from memory", SOON, near).await;
        let before = db.cache().stats();
        assert!(before.store_reads.count > 0 && before.store_reads.mean().is_some(), "{world}");
        let mut memory_alone = false;
        // Unless the feed is late just then.
        for _ in 0..1000 {
            let (asked, held) = (db.cache().stats().store_reads.count, db.cache().stats().total.near);
            book::Entity::cached_by_id(3, &db).await.unwrap();
            let after = db.cache().stats();
            memory_alone |= after.total.near == held + 1 && after.store_reads.count == asked;
        }
        assert!(memory_alone, "{world}");
        crate::world::retitled(3, "new").update(&db).await.unwrap();
        let after = db.cache().stats();
        assert_eq!((after.purges, after.invalidations, after.store_purges.count), (1, 0, 1), "{world}");
        assert!(after.stored_entries > 0 && after.stored_bytes > after.stored_entries, "{world}");
        db.cache().reset_stats();
        let none = db.cache().stats();
        assert_eq!((none.purges, none.stored_bytes, none.store_purges.count), (0, 0, 0), "{world}");
    }
}

// feature D8
#[tokio::test]
async fn who_loads_from_a_replica_and_does_not_say_so_is_told() {
    for backend in Backend::all() {
        let Some(world) = World::new(backend, StoreKind::Memory).await else { continue };
        world.title(1).await.unwrap();
        assert_eq!(world.cache().advice().await, [], "{world}");
    }
    let Some(world) = World::new(Backend::Postgres, StoreKind::Memory).await else { return };
    // A server in recovery, for who asks it in this database.
    for sql in [
        "CREATE SCHEMA standby".to_owned(),
        "CREATE FUNCTION standby.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'"
            .to_owned(),
        format!("ALTER DATABASE {} SET search_path = standby, public, pg_catalog", name(&world)),
    ] {
        world.database.execute(&sql).await;
    }
    let read = async |db: CachedConnection| {
        book::Entity::cached_by_id(1, &db).await.unwrap().unwrap();
        db.cache().advice().await
    };
    let replica = async |settle| {
        let cache = Cache::builder().namespace(unique_namespace()).settle(settle).build().await.unwrap();
        world.database.another_connection().await.cached_by(cache)
    };
    assert_eq!(codes(&read(replica(Duration::ZERO).await).await), ["replica-without-settle"]);
    assert_eq!(read(replica(Duration::from_secs(1)).await).await, []);
    let primary = world.plain().clone();
    assert_eq!(read(replica(Duration::ZERO).await.loading_from(primary)).await, []);
}

fn name(world: &World) -> &str {
    let path = world.database.url().rsplit('/').next().unwrap();
    path.split('?').next().unwrap()
}
