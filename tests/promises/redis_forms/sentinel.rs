//! Sentinel.

use sea_orm::entity::prelude::*;
use sea_orm_cache::stores::{RedisConfig, RedisStore, Store, StoreError, StoreState};

use super::{Load, SOON, all_agree, cut_off, process, world};
use crate::{
    support::{Watched, eventually},
    world::{is_cached, retitled, title},
};

fn through(watched: &Watched) -> RedisConfig {
    RedisConfig::sentinel("mymaster", watched.sentinel_addresses())
        .username("cache")
        .password("p@ss")
        .sentinel_username("watcher")
        .sentinel_password("w@tch")
}

// case B15 case C3 case C9
// feature D2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_killed_under_load_fails_no_request_and_its_replica_caches_on() {
    let Some(mut watched) = Watched::start().await else { return };
    let world = world().await;
    let db = process(&world, through(&watched)).await;
    let other = process(&world, RedisConfig::new(watched.url())).await;
    is_cached(&db, 7).await;
    is_cached(&other, 7).await;
    let load = Load::start(&db).await;
    watched.servers[0].kill().await;
    load.goes_on().await;
    watched.until_primary(1).await;
    is_cached(&db, 7).await;
    load.goes_on().await;
    load.end("a primary that Sentinel watches was killed").await;
    assert!(db.cache().drain(SOON).await, "the queued purges were delivered");
    all_agree(&world, &[&db, &other, &process(&world, through(&watched)).await]).await;
}

// case B15: the replica has the entry and its stamps, and not the purge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lacks_the_purge_takes_over_and_serves_nothing_from_before() {
    let Some(mut watched) = Watched::start().await else { return };
    let world = world().await;
    let (reader, writer) =
        (process(&world, through(&watched)).await, process(&world, through(&watched)).await);
    is_cached(&reader, 1).await;
    cut_off(&watched.servers[0], &watched.servers[1]).await;
    retitled(1, "after the replica was cut off").update(&writer).await.unwrap();
    watched.servers[0].kill().await;
    watched.until_primary(1).await;
    all_agree(&world, &[&process(&world, through(&watched)).await, &reader, &writer]).await;
}

// case B15 case B31: Sentinel has another primary, and the old one goes on: it was not reached when it was
// to be told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_primary_that_goes_on_is_left_when_the_sentinels_name_another() {
    let Some(watched) = Watched::start().await else { return };
    let world = world().await;
    let db = process(&world, through(&watched)).await;
    is_cached(&db, 1).await;
    watched.servers[0].pause();
    watched.until_primary(1).await;
    retitled(1, "after the failover").update(&db).await.unwrap();
    assert!(db.cache().drain(SOON).await, "delivered to the new primary");
    watched.servers[0].resume();
    for _ in 0..50 {
        assert_eq!(title(&db, 1).await.as_deref(), Some("after the failover"));
    }
    is_cached(&db, 1).await;
    assert_eq!(title(&db, 1).await.as_deref(), Some("after the failover"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_are_away_do_not_matter_while_half_of_them_are_there() {
    let Some(mut watched) = Watched::start().await else { return };
    watched.sentinels[0].kill().await;
    let world = world().await;
    let db = process(&world, through(&watched)).await;
    is_cached(&db, 1).await;
    // Of one of three nobody knows whether it is cut off together with an old primary.
    watched.sentinels[1].kill().await;
    let store = RedisStore::connect(through(&watched)).await.unwrap();
    let error = store.ping().await.unwrap_err();
    assert!(matches!(&error, StoreError::Unreachable { reason } if reason.contains("sentinels")), "{error}");
    let held = RedisStore::connect(RedisConfig::new(watched.servers[0].url())).await.unwrap();
    assert_eq!(held.state(), StoreState::Ready, "the server itself is there");
    eventually("no longer trusted", SOON, async || {
        let before = db.cache().stats().total.bypasses;
        title(&db, 1).await;
        db.cache().stats().total.bypasses > before
    })
    .await;
    watched.sentinels[1].restart(crate::support::Restart::Keep).await;
    is_cached(&db, 1).await;
}

// case C14 case G8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_sentinels_refuse_is_said_without_secrets() {
    let Some(watched) = Watched::start().await else { return };
    let sentinels = watched.sentinel_addresses();
    for (config, word) in [
        (through(&watched).sentinel_password("hunter2"), "password"),
        (through(&watched).password("hunter2"), "password"),
        (RedisConfig::sentinel("hunter2", sentinels), "does not know a service"),
        (RedisConfig::sentinel("mymaster", [watched.servers[0].address()]), "is it a sentinel"),
        (RedisConfig::new(watched.sentinels[0].url()), "redis-sentinel://"),
    ] {
        let store = RedisStore::connect(config.clone()).await.unwrap();
        let text = format!("{} {store:?} {config:?}", store.ping().await.unwrap_err());
        println!("{text}");
        assert!(text.contains(word), "{text}");
        for secret in ["p@ss", "w@tch", "watcher"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
