//! The program on Sentinel and Redis Cluster.

use std::process::Command;

use sea_orm_cache::stores::RedisConfig;
use serde_json::Value;

use super::{SOON, program, ran};
use crate::{
    entity::book,
    support::{Backend, PrivateCluster, Watched, eventually, unique_namespace},
    world::{StoreKind, World, patient},
};
use sea_orm_cache::prelude::*;

/// A row in the cache, and the program that looks at it and purges it; the program has the variables of the
/// application alone.
async fn is_looked_at_and_purged(
    redis: RedisConfig,
    variables: &[(&str, &str)],
    prefix: &str,
    namespace: &str,
) {
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let cache = Cache::builder().namespace(namespace).redis_with(redis).build().await.unwrap();
    let db = world.plain().clone().cached_by(cache);
    let is_hit = async || {
        let before = db.cache().stats().total.hits;
        book::Entity::cached_by_id(1, &db).await.unwrap();
        db.cache().stats().total.hits > before
    };
    eventually("the row is a hit", SOON, is_hit).await;
    let run = |arguments: &[&str]| -> Value {
        let mut command: Command = program("", namespace);
        let ran = ran(command.envs(variables.iter().copied()).arg("--json").args(arguments));
        assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let status = run(&["status"]);
    assert_eq!(status["keys"]["kinds"]["row"], 1, "{status}");
    assert_eq!(status["server"]["role"], "master", "{status}");
    assert!(status["server"]["incarnation"].is_string(), "{status}");
    let keys = run(&["keys", "row:book:1@*"]);
    let key = keys["keys"][0]["key"].as_str().unwrap_or_else(|| panic!("{keys}"));
    assert!(key.starts_with(prefix), "{key}");
    assert_eq!(run(&["show", key])["valid"], true, "{}", run(&["show", key]));
    assert_eq!(run(&["verify"])["valid"], 1, "{}", run(&["verify"]));
    run(&["purge", "--row", "book", "1", "--yes"]);
    assert!(!is_hit().await, "the application reads anew");
}

// feature D9
#[tokio::test]
async fn the_program_finds_the_node_of_a_cluster_that_has_the_namespace() {
    let Some(cluster) = PrivateCluster::start().await else { return };
    let nodes = cluster.addresses().join(",");
    // Several, so that not all of them are on the node that is asked first.
    for _ in 0..4 {
        let namespace = unique_namespace();
        let prefix = format!("{{{namespace}}}:");
        let redis = RedisConfig::cluster(cluster.addresses());
        is_looked_at_and_purged(redis, &[("REDIS_CLUSTER_NODES", &nodes)], &prefix, &namespace).await;
    }
    let namespace = unique_namespace();
    let prefix = format!("{{{namespace}}}:");
    is_looked_at_and_purged(patient(cluster.url()), &[("REDIS_URL", &cluster.url())], &prefix, &namespace)
        .await;
}

// feature D9
#[tokio::test]
async fn the_program_finds_the_primary_that_sentinel_names() {
    let Some(watched) = Watched::start().await else { return };
    let nodes = watched.sentinel_addresses();
    let redis = RedisConfig::sentinel("mymaster", nodes.clone())
        .username("cache")
        .password("p@ss")
        .sentinel_username("watcher")
        .sentinel_password("w@tch");
    let variables = [
        ("REDIS_SENTINEL_NODES", &*nodes.join(",")),
        ("REDIS_SENTINEL_SERVICE", "mymaster"),
        ("REDIS_SENTINEL_USERNAME", "watcher"),
        ("REDIS_SENTINEL_PASSWORD", "w@tch"),
        ("REDIS_USERNAME", "cache"),
        ("REDIS_PASSWORD", "p@ss"),
    ];
    let namespace = unique_namespace();
    is_looked_at_and_purged(redis, &variables, &format!("{namespace}:"), &namespace).await;
}
