//! Users who may do little, and servers that can do little.

use std::time::Duration;

use redis::Value;
use sea_orm::entity::prelude::*;
use sea_orm_cache::{
    Cache, CachedBy, CachedQuery,
    stores::{RedisConfig, RedisStore, Store, StoreState},
};

use super::{NAMESPACE, SOON, process, world};
use crate::{
    entity::book,
    support::{PrivateCluster, PrivateRedis, eventually},
    world::{World, is_cached, retitled, title},
};

/// What the documentation tells an operator to run, for this kind of server.
fn documented(kind: &str) -> Vec<String> {
    let text = include_str!("../../../docs/redis.md");
    let line = text.lines().find(|line| {
        line.starts_with("ACL SETUSER cache ") && line.contains("+cluster|") == (kind == "cluster")
    });
    let line = line.expect("the line in the documentation");
    line.replace("bookshop", NAMESPACE).split_whitespace().map(str::to_owned).collect()
}

async fn grant(server: &PrivateRedis, words: &[String]) {
    server.command(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

fn as_user(config: RedisConfig) -> RedisConfig {
    config.username("cache").password("secret")
}

/// Everything that the crate does with Redis.
async fn everything(world: &World, redis: impl Fn() -> RedisConfig) {
    let builder =
        || Cache::builder().namespace(NAMESPACE).lease(Duration::from_secs(1)).redis_with(as_user(redis()));
    let near = builder().near(1 << 20).max_staleness(Duration::from_secs(3600)).build().await.unwrap();
    let near = world.plain().clone().cached_by(near);
    let far = world.plain().clone().cached_by(builder().build().await.unwrap());
    eventually("the feed of changes is heard", SOON, async || {
        title(&near, 1).await;
        let before = near.cache().stats().total.near;
        title(&near, 1).await;
        near.cache().stats().total.near > before
    })
    .await;
    retitled(1, "by another process").update(&far).await.unwrap();
    eventually("the change is heard of", SOON, async || {
        title(&near, 1).await.as_deref() == Some("by another process")
    })
    .await;
    book::Entity::find().cached().all(&far).await.unwrap();
    far.cache().invalidate_tag("tag").await;
    far.cache().invalidate_pattern("*").await.unwrap();
    assert!(!far.cache().keys(100).await.unwrap().is_empty());
    far.cache().clear().await;
    let stats = far.cache().stats();
    assert_eq!((stats.delayed_purges, stats.unguarded_writes), (0, 0), "{stats:?}");
}

// case F21
// feature D2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_user_may_do_all_that_is_needed() {
    let Some(server) = PrivateRedis::start().await else { return };
    grant(&server, &documented("server")).await;
    everything(&world().await, || RedisConfig::new(server.url())).await;
    assert_eq!(server.command(&["ACL", "LOG"]).await, Value::Array(vec![]), "nothing was denied");
}

// case F21 case F10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_user_of_a_cluster_may_do_all_that_is_needed() {
    let Some(cluster) = PrivateCluster::start().await else { return };
    for node in &cluster.nodes {
        grant(node, &documented("cluster")).await;
    }
    everything(&world().await, || RedisConfig::new(cluster.url())).await;
    for node in &cluster.nodes {
        assert_eq!(node.command(&["ACL", "LOG"]).await, Value::Array(vec![]), "nothing was denied");
    }
}

// case F21 case G8
// feature D2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing_is_named_at_the_start_or_not_needed() {
    let Some(server) = PrivateRedis::start().await else { return };
    let world = world().await;
    let documented = documented("server");
    let rights = documented.iter().filter(|word| word.starts_with('+'));
    for right in rights {
        let fewer: Vec<_> = documented.iter().filter(|word| *word != right).cloned().collect();
        server.command(&["ACL", "DELUSER", "cache"]).await;
        grant(&server, &fewer).await;
        let store = as_user(RedisConfig::new(server.url())).namespace(NAMESPACE);
        let store = RedisStore::connect(store).await.unwrap();
        let name = right.trim_start_matches('+').to_uppercase();
        if ["MGET", "SET", "UNLINK", "EVAL", "EVALSHA", "GET", "DEL", "PTTL", "TIME"].contains(&&*name) {
            let error = store.ping().await.unwrap_err().to_string();
            assert!(error.contains(&name) && error.contains("needed"), "{right}: {error}");
            assert!(!error.contains(NAMESPACE), "{error}");
            // The application does not notice, and once the right is there the cache does.
            let db = process(&world, as_user(RedisConfig::new(server.url()))).await;
            retitled(1, right).update(&db).await.unwrap();
            assert_eq!(title(&db, 1).await.as_deref(), Some(&**right));
            grant(&server, &documented).await;
            is_cached(&db, 2).await;
            assert!(db.cache().drain(SOON).await);
        } else {
            assert_eq!(store.state(), StoreState::Ready, "{right}");
            let db = process(&world, as_user(RedisConfig::new(server.url()))).await;
            is_cached(&db, 1).await;
            retitled(1, right).update(&db).await.unwrap();
            assert_eq!(title(&db, 1).await.as_deref(), Some(&**right));
        }
    }
}

// case C9: as managed services do that lack commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_command_is_refused_for_it_or_does_without() {
    let world = world().await;
    for (command, needed) in [
        ("EVAL", true),
        ("UNLINK", true),
        ("PEXPIRE", false),
        ("SCAN", false),
        ("CLIENT", false),
        ("HELLO", false),
    ] {
        let Some(server) = PrivateRedis::start_with(&["--rename-command", command, ""]).await else { return };
        let config = RedisConfig::new(server.url());
        let connected = RedisStore::connect(config.clone().namespace(NAMESPACE)).await.unwrap();
        if needed {
            let error = connected.ping().await.unwrap_err().to_string();
            assert!(error.contains(command) && error.contains("needed"), "{command}: {error}");
        } else {
            let db = process(&world, config).await;
            is_cached(&db, 1).await;
            retitled(1, command).update(&db).await.unwrap();
            assert_eq!(title(&db, 1).await.as_deref(), Some(command));
        }
    }
}
