//! Redis Cluster.

use std::collections::BTreeSet;

use sea_orm::entity::prelude::*;
use sea_orm_cache::{
    Cache, CachedBy, OutageReads,
    stores::{RedisConfig, RedisStore, Store, StoreError},
};

use super::{Load, NAMESPACE, SOON, all_agree, cut_off, process, world};
use crate::{
    support::{PrivateCluster, Restart, eventually},
    world::{is_cached, retitled, title},
};

async fn slot(cluster: &PrivateCluster) -> u16 {
    cluster.slot(&format!("{{{NAMESPACE}}}:t")).await
}

// case F10 case C9
// feature D2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_killed_under_load_fails_no_request_and_its_replica_caches_on() {
    let Some(mut cluster) = PrivateCluster::start().await else { return };
    let slot = slot(&cluster).await;
    let world = world().await;
    let db = process(&world, RedisConfig::cluster(cluster.addresses())).await;
    let other = process(&world, RedisConfig::new(cluster.url())).await;
    is_cached(&db, 7).await;
    is_cached(&other, 7).await;
    let load = Load::start(&db).await;
    let owner = cluster.owner(slot).await;
    cluster.nodes[owner].kill().await;
    load.goes_on().await;
    is_cached(&db, 7).await;
    assert_ne!(cluster.owner(slot).await, owner);
    load.goes_on().await;
    load.end("the primary of the namespace's slot was killed").await;
    assert!(db.cache().drain(SOON).await, "the queued purges were delivered");
    // The node is back as a replica, and leads to the primary like any other.
    cluster.nodes[owner].restart(Restart::Keep).await;
    let newcomer = process(&world, RedisConfig::cluster([cluster.nodes[owner].address()])).await;
    all_agree(&world, &[&db, &other, &newcomer]).await;
}

// case F10
// feature D2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_under_load_to_another_primary_and_back_fails_no_request() {
    let Some(cluster) = PrivateCluster::start().await else { return };
    let slot = slot(&cluster).await;
    let world = world().await;
    let db = process(&world, RedisConfig::new(cluster.url())).await;
    is_cached(&db, 7).await;
    let load = Load::start(&db).await;
    let first = cluster.owner(slot).await;
    let second = (first + 1) % 3;
    for (from, to) in [(first, second), (second, first)] {
        cluster.open_slot(slot, from, to).await;
        load.goes_on().await;
        while cluster.move_keys(slot, from, to, 3).await > 0 {
            tokio::task::yield_now().await;
        }
        load.goes_on().await;
        cluster.close_slot(slot, from, to).await;
        is_cached(&db, 7).await;
        load.goes_on().await;
    }
    load.end("the namespace's slot was moved twice").await;
    assert!(db.cache().drain(SOON).await, "the queued purges were delivered");
    all_agree(&world, &[&db, &process(&world, RedisConfig::new(cluster.url())).await]).await;
}

// case F10: a purge has to reach keys of which one node has some and another the rest, or will.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_still_served_while_a_slot_moves_is_purged() {
    let Some(cluster) = PrivateCluster::start().await else { return };
    let slot = slot(&cluster).await;
    let world = world().await;
    let url = cluster.url();
    let config = || RedisConfig::new(&url).write_timeout(SOON).read_timeout(SOON);
    let (reader, writer) = (process(&world, config()).await, process(&world, config()).await);
    for id in 1..=6 {
        is_cached(&reader, id).await;
    }
    let from = cluster.owner(slot).await;
    let to = (from + 1) % 3;
    cluster.open_slot(slot, from, to).await;
    let mut served = 0;
    for id in 1..=6 {
        let before = reader.cache().stats().total.hits;
        title(&reader, id).await;
        served += reader.cache().stats().total.hits - before;
        let expected = format!("moved {id}");
        retitled(id, &expected).update(&writer).await.unwrap();
        assert_eq!(title(&reader, id).await, Some(expected));
        cluster.move_keys(slot, from, to, 2).await;
    }
    assert!(served > 0, "nothing was served from the old node");
    let stats = writer.cache().stats();
    assert_eq!((stats.delayed_purges, stats.unguarded_writes), (0, 0), "{stats:?}");
    while cluster.move_keys(slot, from, to, 100).await > 0 {}
    cluster.close_slot(slot, from, to).await;
    all_agree(&world, &[&reader, &writer]).await;
}

// case B15: the node that takes over has the entry and its stamps, and not the purge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lacks_the_purge_takes_over_and_serves_nothing_from_before() {
    let Some(mut cluster) = PrivateCluster::start().await else { return };
    let world = world().await;
    let config = || RedisConfig::new(cluster.url());
    let (reader, writer) = (process(&world, config()).await, process(&world, config()).await);
    is_cached(&reader, 1).await;
    let owner = cluster.owner(slot(&cluster).await).await;
    cut_off(&cluster.nodes[owner], &cluster.nodes[owner + 3]).await;
    retitled(1, "after the replica was cut off").update(&writer).await.unwrap();
    let newcomer = config();
    cluster.nodes[owner].kill().await;
    is_cached(&writer, 2).await;
    all_agree(&world, &[&process(&world, newcomer).await, &reader, &writer]).await;
}

// case B15 case B30: the slot goes to another node, which loses a purge in a failover, and comes back with
// the old stamps to the process in whose life the entry was made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_comes_back_without_a_purge_brings_nothing_back() {
    let Some(mut cluster) = PrivateCluster::start().await else { return };
    let slot = slot(&cluster).await;
    let world = world().await;
    let url = cluster.url();
    let config = || RedisConfig::new(&url);
    let (reader, writer) = (process(&world, config()).await, process(&world, config()).await);
    is_cached(&reader, 1).await;
    let first = cluster.owner(slot).await;
    let (second, replica) = ((first + 1) % 3, (first + 1) % 3 + 3);
    cluster.move_slot(slot, first, second).await;
    cut_off(&cluster.nodes[second], &cluster.nodes[replica]).await;
    // The writer has to have found the slot, so that its purge gets there.
    eventually("the writer is there", SOON, async || writer.cache().ping().await.is_ok()).await;
    eventually("it is purged", SOON, async || {
        let before = writer.cache().stats();
        retitled(1, "purged where it was").update(&writer).await.unwrap();
        let after = writer.cache().stats();
        (after.delayed_purges, after.unguarded_writes) == (before.delayed_purges, before.unguarded_writes)
    })
    .await;
    cluster.nodes[second].kill().await;
    eventually("the failover", SOON, async || cluster.owner(slot).await == replica).await;
    cluster.move_slot(slot, replica, first).await;
    all_agree(&world, &[&process(&world, config()).await, &reader, &writer]).await;
}

// case F10 case F22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_keys_of_a_namespace_are_in_its_slot() {
    let Some(cluster) = PrivateCluster::start().await else { return };
    let world = world().await;
    let db = process(&world, RedisConfig::new(cluster.url())).await;
    is_cached(&db, 1).await;
    retitled(2, "new").update(&db).await.unwrap();
    assert_eq!(title(&db, 2).await.as_deref(), Some("new"));
    // The same through what stands in for a store that is away.
    let reads = OutageReads::Memory(std::time::Duration::from_secs(1));
    let cache = Cache::builder().namespace(NAMESPACE).redis(cluster.url()).outage_reads(reads);
    let standing_in = world.plain().clone().cached_by(cache.build().await.unwrap());
    is_cached(&standing_in, 3).await;
    let keys: BTreeSet<_> = db.cache().keys(1000).await.unwrap().into_iter().collect();
    assert!(keys.len() > 5, "{keys:?}");
    let slot = slot(&cluster).await;
    for key in &keys {
        assert!(key.starts_with("{forms}:"), "{key}");
        assert_eq!(cluster.slot(key).await, slot, "{key}");
    }
    db.cache().invalidate_pattern("*").await.unwrap();
    db.cache().clear().await;
    assert!(db.cache().keys(1000).await.unwrap().len() < keys.len());
    assert_eq!(db.cache().stats().delayed_purges, 0);
}

// case C9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrong_form_of_address_is_named() {
    let Some(cluster) = PrivateCluster::start().await else { return };
    let Some(server) = crate::support::PrivateRedis::start().await else { return };
    for (config, word) in [
        (RedisConfig::new(cluster.nodes[0].url()), "redis-cluster://"),
        (RedisConfig::cluster([server.address()]), "ERR"),
    ] {
        let store = RedisStore::connect(config).await.unwrap();
        let error = store.ping().await.unwrap_err();
        assert!(matches!(&error, StoreError::Unreachable { reason } if reason.contains(word)), "{error}");
    }
    let cache = Cache::builder().namespace(NAMESPACE).redis(format!("{}/1", cluster.url())).build().await;
    assert!(cache.unwrap_err().to_string().contains("database 0"));
}
