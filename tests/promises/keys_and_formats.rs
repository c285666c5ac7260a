//! What the crate writes into Redis: keys, lifetimes, bytes; and what it makes of what others write.

use std::{collections::HashSet, time::Duration};

use redis::Value;
use sea_orm::{ActiveValue::Set, entity::prelude::*};
use sea_orm_cache::{
    Cache,
    prelude::*,
    stores::{EntryKey, EntryWrite, Release, Store, TagKey, TagProbe, TagState},
};

use crate::{
    entity::{book, book_author},
    support::{Backend, PrivateRedis, redis_command, shared_redis_url, unique_namespace},
    world::{StoreKind, World, caches, patient, retitled, stores},
};

async fn redis(url: &str, arguments: &[&str]) -> Value {
    redis_command(url, arguments).await
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        other => panic!("a number was expected: {other:?}"),
    }
}

/// SQLite with a store that the test can reach, and the same store in a cache.
async fn opened() -> Vec<(std::sync::Arc<dyn Store>, CachedConnection, World)> {
    let mut opened = Vec::new();
    for store in stores().await {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let cache = Cache::builder().namespace(&world.namespace).store(store.clone()).build().await.unwrap();
        opened.push((store, world.plain().clone().cached_by(cache), world));
    }
    opened
}

/// Keys of the namespace, split into entries and tags.
async fn keys(db: &CachedConnection) -> (Vec<String>, Vec<String>) {
    let keys = db.cache().keys(10_000).await.unwrap();
    keys.into_iter().partition(|key| key.contains(":row:") || key.contains(":q:") || key.contains(":e:"))
}

// case F1
#[tokio::test]
async fn composite_keys_that_read_alike_are_different_rows() {
    for world in World::on_each_store().await {
        for (book_id, author_id) in [(1, 23), (12, 3)] {
            let row = book_author::ActiveModel { book_id: Set(book_id), author_id: Set(author_id) };
            // Foreign keys are of no interest here.
            world.database.execute("PRAGMA foreign_keys = OFF").await;
            let _ = book_author::Entity::insert(row).exec_without_returning(world.plain()).await;
        }
        let read = |key: (i64, i64)| book_author::Entity::cached_by_id(key, &world.db);
        read((1, 23)).await.unwrap();
        let (_, hit) = world.is_hit(read((12, 3))).await;
        assert!(!hit, "{world}");
        let keys = world.cache().keys(1000).await.unwrap();
        assert!(keys.iter().any(|key| key.contains("row:book_author:1,23@")), "{keys:?}");
        assert!(keys.iter().any(|key| key.contains("row:book_author:12,3@")), "{keys:?}");
    }
}

// case F2
// feature B1
#[tokio::test]
async fn two_processes_find_each_others_entries() {
    for world in World::on_each_store().await.into_iter().filter(|w| w.store == StoreKind::Redis) {
        let other = world.another_process().await;
        let list = || book::Entity::find().filter(book::Column::Title.contains("Title")).cached();
        world.title(1).await;
        list().all(&world.db).await.unwrap();
        crate::world::title(&other, 1).await;
        list().all(&other).await.unwrap();
        let stats = other.cache().stats().total;
        assert_eq!((stats.hits, stats.misses), (2, 0), "{world}");
    }
}

// case F3
// feature B1
#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    let Some(url) = shared_redis_url() else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let name = unique_namespace();
    let mut dbs = Vec::new();
    for namespace in [name.clone(), format!("{name}2"), format!("{name}:t"), format!("{name}:")] {
        let cache =
            Cache::builder().namespace(namespace).redis_with(patient(url.clone())).build().await.unwrap();
        dbs.push(world.plain().clone().cached_by(cache));
    }
    for db in &dbs {
        crate::world::title(db, 1).await;
        assert_eq!(db.cache().stats().total.misses, 1, "nobody else's entry was found");
    }
    dbs[0].cache().clear().await;
    dbs[0].cache().invalidate_pattern("*").await.unwrap();
    for db in &dbs[1..] {
        crate::world::title(db, 1).await;
        assert_eq!(db.cache().stats().total.hits, 1, "{}", db.cache().config().namespace);
    }
}

// case F4
#[tokio::test]
async fn a_missing_namespace_is_refused_instead_of_shared() {
    for namespace in [""] {
        assert!(Cache::builder().namespace(namespace).build().await.is_err());
    }
}

// case F6
#[tokio::test]
async fn entries_of_another_format_are_misses() {
    for (store, db, world) in opened().await {
        crate::world::title(&db, 1).await;
        let (entries, _) = keys(&db).await;
        let key = EntryKey::from_full(entries[0].as_str());
        let ours = store.read(std::slice::from_ref(&key), &[]).await.unwrap().entries[0].clone().unwrap();
        // The third byte is the version of the format.
        for version in [0, 1, 255] {
            let mut other = ours.to_vec();
            other[2] = version;
            let write = EntryWrite { key: key.clone(), bytes: other.into(), ttl: Duration::from_secs(60) };
            store.write(&[write], &[]).await.unwrap();
            let before = db.cache().stats().total.misses;
            assert_eq!(crate::world::title(&db, 1).await, world.title(1).await);
            assert_eq!(db.cache().stats().total.misses, before + 1, "{}", store.name());
        }
    }
}

// case F7
#[tokio::test]
async fn damaged_and_foreign_payloads_are_misses() {
    for (store, db, world) in opened().await {
        let truth = world.title(1).await;
        crate::world::title(&db, 1).await;
        let (entries, _) = keys(&db).await;
        let key = EntryKey::from_full(entries[0].as_str());
        let ours = store.read(std::slice::from_ref(&key), &[]).await.unwrap().entries[0].clone().unwrap();
        let mut bad: Vec<Vec<u8>> = (0..ours.len()).map(|cut| ours[..cut].to_vec()).collect();
        bad.extend((0..ours.len()).map(|at| {
            let mut flipped = ours.to_vec();
            flipped[at] ^= 0x10;
            flipped
        }));
        bad.push(b"{\"id\":1,\"title\":\"from another application\"}".to_vec());
        bad.push(vec![0xff; 100_000]);
        for payload in bad {
            let write = EntryWrite { key: key.clone(), bytes: payload.into(), ttl: Duration::from_secs(60) };
            store.write(&[write], &[]).await.unwrap();
            assert_eq!(crate::world::title(&db, 1).await, truth, "{}", store.name());
        }
        assert_eq!(db.cache().stats().total.hits, 0, "{}: none of them was served", store.name());
    }
}

// case F11
#[tokio::test]
async fn keys_of_any_length_and_content_work_and_stay_short() {
    for (store, cache) in caches().await {
        let long = "x".repeat(100_000);
        let odd = "\0\r\n{}*[]? \u{202e}ключ";
        for key in [long.as_str(), odd, "", ":", "*"] {
            let options = || EntryOptions::new().tag(key);
            cache.set(key, &key.len(), options()).await.unwrap();
            assert_eq!(cache.get::<usize>(key).await.unwrap(), Some(key.len()), "{store:?}");
            cache.invalidate_tag(key).await;
            assert_eq!(cache.get::<usize>(key).await.unwrap(), None, "{store:?}");
            cache.set(key, &1, options()).await.unwrap();
        }
        let keys = cache.keys(1000).await.unwrap();
        assert!(keys.iter().all(|key| key.len() < 400), "{keys:?}");
    }
}

// case F13
// feature B2
#[tokio::test]
async fn nothing_lives_longer_than_it_was_given_and_nothing_lives_for_ever() {
    let Some(url) = shared_redis_url() else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Redis).await.unwrap();
    for ttl in [1, 10, 3600, u64::MAX / 1000] {
        let ttl = Duration::from_secs(ttl);
        book::Entity::find()
            .filter(book::Column::Id.gt(0))
            .cached()
            .ttl(ttl)
            .fresh()
            .all(&world.db)
            .await
            .unwrap();
        let keys = world.cache().keys(1000).await.unwrap();
        let entry = keys.iter().find(|key| key.contains(":q:")).unwrap();
        let left = number(&redis(&url, &["PTTL", entry]).await);
        let longest = ttl.min(world.cache().config().max_ttl).as_millis() as i64;
        assert!(left > 0 && left <= longest, "{ttl:?}: {left} ms left of {longest}");
    }
    // Zero: not stored at all.
    let before = world.cache().stats().total.bypasses;
    book::Entity::find().cached().ttl(Duration::ZERO).all(&world.db).await.unwrap();
    assert_eq!(world.cache().stats().total.bypasses, before + 1);
    for key in world.cache().keys(1000).await.unwrap() {
        assert!(number(&redis(&url, &["PTTL", &key]).await) > 0, "{key} lives for ever");
    }
}

// case F14
#[tokio::test]
async fn a_stamp_outlives_every_entry_that_refers_to_it() {
    let Some(url) = shared_redis_url() else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Redis).await.unwrap();
    let read =
        |ttl: u64| book::Entity::find_by_id(1).cached().ttl(Duration::from_secs(ttl)).fresh().one(&world.db);
    for ttl in [5, 50_000, 20] {
        read(ttl).await.unwrap();
        // The store of the entry is on the same connection, ahead of this.
        world.cache().ping().await.unwrap();
        let keys = world.cache().keys(1000).await.unwrap();
        let entry = keys.iter().find(|key| key.contains(":row:")).unwrap();
        let entry_left = number(&redis(&url, &["PTTL", entry]).await);
        // The table's tag is not one that a row which is there depends on.
        let table = format!("{}:t:book", world.namespace);
        for tag in keys.iter().filter(|key| key.contains(":t") && !key.contains(":row:") && **key != table) {
            let tag_left = number(&redis(&url, &["PTTL", tag]).await);
            assert!(tag_left > entry_left, "{tag}: {tag_left} ms, the entry {entry_left} ms");
        }
    }
}

// case F15
#[tokio::test]
async fn an_entry_whose_stamp_is_gone_is_a_miss() {
    for (store, db, _world) in opened().await {
        crate::world::title(&db, 1).await;
        let (_, tags) = keys(&db).await;
        let table = tags.iter().find(|tag| tag.ends_with(":t:book")).unwrap().clone();
        for tag in tags {
            crate::world::title(&db, 1).await;
            store.release(&Release::purging(&[TagKey::from_full(tag.as_str())], &[])).await.unwrap();
            let before = db.cache().stats().total;
            crate::world::title(&db, 1).await;
            let after = db.cache().stats().total;
            let hit = after.hits > before.hits;
            // A row that is there depends neither on the table's tag nor on that of all user tags.
            assert_eq!(hit, tag == table || tag.ends_with(":u"), "{}: {tag}", store.name());
        }
    }
}

// case F17
#[tokio::test]
async fn purges_never_scan() {
    let Some(server) = PrivateRedis::start().await else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let cache = Cache::builder().namespace("f17").redis_with(patient(server.url())).build().await.unwrap();
    let db = world.plain().clone().cached_by(cache);
    for id in 1..=12 {
        crate::world::title(&db, id).await;
    }
    db.cache().ping().await.unwrap();
    server.reset_stats().await;
    retitled(1, "one").update(&db).await.unwrap();
    db.execute_unprepared("UPDATE book SET stock = 1").await.unwrap();
    db.cache().invalidate_entity::<book::Entity>().await;
    db.cache().invalidate_tag("x").await;
    db.cache().clear().await;
    let stats = server.commandstats().await;
    println!("{stats:?}");
    let scripts = (stats.get("evalsha"), stats.get("eval"));
    assert_eq!(
        scripts,
        (Some(&7), None),
        "one call per barrier and per purge; the server has the script from the start: {stats:?}"
    );
    for forbidden in ["keys", "scan", "flushdb", "flushall", "smembers"] {
        assert!(!stats.contains_key(forbidden), "{forbidden}: {stats:?}");
    }
}

// case F20, F22
#[tokio::test]
async fn a_namespace_of_glob_characters_touches_nothing_outside_itself() {
    let Some(url) = shared_redis_url() else { return };
    let foreign = unique_namespace();
    for key in [format!("{foreign}:row:book:1"), format!("{foreign}x"), foreign.clone()] {
        redis(&url, &["SET", &key, "theirs", "PX", "600000"]).await;
    }
    for namespace in ["*", "?", "[a-z]*", "\\", &format!("{}*", &foreign[..foreign.len() - 1])] {
        let cache =
            Cache::builder().namespace(namespace).redis_with(patient(url.clone())).build().await.unwrap();
        cache.set("own", &1, EntryOptions::new()).await.unwrap();
        assert!(cache.keys(1000).await.unwrap().iter().all(|key| !key.contains(&foreign)), "{namespace}");
        cache.invalidate_pattern("*").await.unwrap();
        cache.clear().await;
        assert_eq!(cache.get::<i32>("own").await.unwrap(), None, "{namespace}");
    }
    for key in [format!("{foreign}:row:book:1"), format!("{foreign}x"), foreign.clone()] {
        assert_eq!(redis(&url, &["GET", &key]).await, Value::BulkString(b"theirs".to_vec()), "{key}");
    }
}

// case F21
#[tokio::test]
async fn a_user_with_the_few_commands_that_are_needed_and_another_database_will_do() {
    let Some(server) = PrivateRedis::start().await else { return };
    let rules = [
        "ACL", "SETUSER", "cache", "on", ">secret", "~f21:*", "-@all", "+hello", "+select", "+ping",
        "+client", "+mget", "+set", "+pexpire", "+unlink", "+scan", "+info", "+eval", "+evalsha", "+get",
        "+del", "+pttl", "+time",
    ];
    server.command(&rules).await;
    let url = format!("redis://cache:secret@{}/3", server.address());
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let cache = Cache::builder().namespace("f21").redis_with(patient(url)).build().await.unwrap();
    let db = world.plain().clone().cached_by(cache);
    crate::world::title(&db, 1).await;
    crate::world::title(&db, 1).await;
    retitled(1, "new").update(&db).await.unwrap();
    assert_eq!(crate::world::title(&db, 1).await.as_deref(), Some("new"));
    db.cache().invalidate_pattern("*").await.unwrap();
    let stats = db.cache().stats();
    assert_eq!((stats.total.hits, stats.total.misses, stats.total.bypasses), (1, 2, 0), "{stats:?}");
    assert_eq!(server.command(&["DBSIZE"]).await, Value::Int(0), "nothing in database 0");
}

// case F22
// feature B1
#[tokio::test]
async fn every_key_that_is_touched_begins_with_the_namespace() {
    let Some(server) = PrivateRedis::start().await else { return };
    let proxy = crate::support::Proxy::for_redis(&server.url()).await;
    proxy.record();
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let cache =
        Cache::builder().namespace("f22").redis_with(patient(proxy.redis_url())).build().await.unwrap();
    let db = world.plain().clone().cached_by(cache);
    crate::world::title(&db, 1).await;
    book::Entity::find().cached().all(&db).await.unwrap();
    book::Entity::cached_by_ids([1, 2, 3], &db).await.unwrap();
    retitled(1, "new").update(&db).await.unwrap();
    db.cache().set("own", &1, EntryOptions::new().tag("t")).await.unwrap();
    db.cache().invalidate_tag("t").await;
    db.cache().clear().await;
    let mut seen = HashSet::new();
    for command in proxy.recorded_commands() {
        let name = command[0].to_uppercase();
        let keys: &[String] = match name.as_str() {
            "MGET" | "UNLINK" => &command[1..],
            "EVAL" | "EVALSHA" => &command[3..3 + command[2].parse::<usize>().unwrap()],
            "SET" | "PEXPIRE" | "GET" => &command[1..2],
            "HELLO" | "PING" | "CLIENT" | "INFO" | "SELECT" | "AUTH" => &[],
            other => panic!("a command that the documentation does not name: {other}"),
        };
        assert!(keys.iter().all(|key| key.starts_with("f22:")), "{command:?}");
        seen.insert(name);
    }
    assert!(["MGET", "SET", "UNLINK", "EVALSHA"].iter().all(|name| seen.contains(*name)), "{seen:?}");
}

// case C8
#[tokio::test]
async fn a_full_redis_still_serves_reads_and_purges() {
    let Some(server) = PrivateRedis::start().await else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let cache = Cache::builder().namespace("full").redis_with(patient(server.url())).build().await.unwrap();
    let db = world.plain().clone().cached_by(cache);
    crate::world::title(&db, 1).await;
    crate::world::title(&db, 1).await;
    assert_eq!(db.cache().stats().total.hits, 1);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    retitled(1, "new").update(&db).await.unwrap();
    for _ in 0..3 {
        assert_eq!(crate::world::title(&db, 1).await.as_deref(), Some("new"));
        assert!(crate::world::title(&db, 2).await.is_some());
    }
    let stats = db.cache().stats();
    assert_eq!(stats.undelivered_tags, 0, "the purge was delivered: {stats:?}");
    assert!(stats.total.store_away > 0, "reads that could not be stored are counted: {stats:?}");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    crate::world::title(&db, 1).await;
    crate::world::title(&db, 1).await;
    assert!(db.cache().stats().total.hits > stats.total.hits, "and it caches again");
}

#[tokio::test]
async fn the_store_says_what_a_tag_holds() {
    for (store, db, _world) in opened().await {
        crate::world::title(&db, 1).await;
        let (_, tags) = keys(&db).await;
        for tag in tags {
            let probe = TagProbe { key: TagKey::from_full(tag.as_str()), propose: None };
            let found = store.read(&[], &[probe]).await.unwrap();
            assert!(matches!(found.tags[..], [TagState::Stamp(_)]), "{}: {tag}", store.name());
        }
    }
}
