//! Somebody else writes into the store: readers get what the database says, and it is counted.

use std::{sync::Arc, time::Duration};

use sea_orm::entity::prelude::*;
use sea_orm_cache::{
    Cache,
    prelude::*,
    stores::{EntryKey, EntryWrite, MemoryStore, RedisStore, Store},
};

use crate::{
    entity::book,
    support::{Backend, eventually, shared_redis_url},
    world::{StoreKind, World, patient, retitled, title},
};

/// What stands before the header: two letters, the format, the checksum.
const PREFIX: usize = 7;

fn signed(key: &str, mut bytes: Vec<u8>) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(&bytes[PREFIX..]);
    bytes[3..PREFIX].copy_from_slice(&hasher.finalize().to_le_bytes());
    bytes
}

/// SQLite behind each store that is there, which the test can reach.
async fn opened() -> Vec<(Arc<dyn Store>, CachedConnection, World)> {
    let mut stores: Vec<Arc<dyn Store>> = vec![Arc::new(MemoryStore::with_capacity(1 << 26))];
    if let Some(url) = shared_redis_url() {
        stores.push(Arc::new(RedisStore::connect(patient(url)).await.unwrap()));
    }
    let mut opened = Vec::new();
    for store in stores {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let db = world.plain().clone().cached_by(cache(&store, &world, 64 << 10).await);
        opened.push((store, db, world));
    }
    opened
}

async fn cache(store: &Arc<dyn Store>, world: &World, limit: usize) -> Cache {
    let builder = Cache::builder().namespace(&world.namespace).store(store.clone());
    builder.max_entry_bytes(limit).build().await.unwrap()
}

async fn row_key(cache: &Cache) -> String {
    let keys = cache.keys(1000).await.unwrap();
    keys.into_iter().find(|key| key.contains(":row:book:3@") && !key.contains('~')).unwrap()
}

async fn put(store: &dyn Store, key: &str, bytes: Vec<u8>) {
    let write =
        EntryWrite { key: EntryKey::from_full(key), bytes: bytes.into(), ttl: Duration::from_secs(60) };
    store.write(&[write], &[]).await.unwrap();
}

// case F7
#[tokio::test]
async fn a_tampered_store_is_answered_by_the_database_and_counted() {
    type Tamper = fn(&str, Vec<u8>) -> Vec<u8>;
    let ways: [(&str, Tamper); 7] = [
        ("cut off", |_, bytes| bytes[..bytes.len() - 1].to_vec()),
        ("a bit flipped", |_, mut bytes| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            bytes
        }),
        ("foreign", |_, _| b"{\"title\": \"forged\"}".to_vec()),
        ("empty", |_, _| Vec::new()),
        ("a forged header, signed", |key, mut bytes| {
            bytes[PREFIX] = 0xff;
            signed(key, bytes)
        }),
        ("oversized, signed", |key, mut bytes| {
            bytes.extend(std::iter::repeat_n(b'x', 1 << 20));
            signed(key, bytes)
        }),
        ("content cut off, signed", |key, mut bytes| {
            bytes.truncate(bytes.len() - 4);
            signed(key, bytes)
        }),
    ];
    for (store, db, world) in opened().await {
        assert_eq!(title(&db, 3).await.as_deref(), Some("Title 3"));
        db.cache().ping().await.unwrap();
        let key = row_key(db.cache()).await;
        for (what, tamper) in &ways {
            let name = || format!("{what}, {}", store.name());
            let there = store.read(&[EntryKey::from_full(key.as_str())], &[]).await.unwrap();
            let entry = there.entries[0].as_ref().unwrap().to_vec();
            put(&*store, &key, tamper(&key, entry)).await;
            let before = db.cache().stats();
            assert_eq!(title(&db, 3).await.as_deref(), Some("Title 3"), "{}", name());
            let stats = db.cache().stats();
            assert_eq!(stats.unreadable, before.unreadable + 1, "{}", name());
            assert_eq!(stats.total.misses, before.total.misses + 1, "{}", name());
            // What is loaded takes its place, once the load that brought it first can no longer be joined.
            eventually("a hit", Duration::from_secs(20), async || {
                assert_eq!(title(&db, 3).await.as_deref(), Some("Title 3"), "{}", name());
                db.cache().stats().total.hits > before.total.hits
            })
            .await;
            let books = book::Entity::cached_by_ids([3_i64, 4], &db).await.unwrap();
            assert_eq!(books[0].as_ref().unwrap().title, "Title 3", "{}", name());
        }
        assert!(db.cache().stats().unreadable >= ways.len() as u64, "{world}");
        assert!(db.cache().advice().await.iter().any(|advice| advice.code == "unreadable-entries"));
        db.cache().reset_stats();
        assert_eq!(db.cache().stats().unreadable, 0);
    }
}

// case F12
#[cfg(feature = "compression")]
#[tokio::test]
async fn a_payload_that_would_grow_beyond_the_limit_is_a_miss() {
    for (store, db, world) in opened().await {
        let long = "x".repeat(8 << 20);
        retitled(3, &long).update(world.plain()).await.unwrap();
        // Valid in every way, made by a process with other limits.
        let wide = world.plain().clone().cached_by(cache(&store, &world, 64 << 20).await);
        assert_eq!(title(&wide, 3).await.as_deref(), Some(&*long));
        wide.cache().ping().await.unwrap();
        assert_eq!(title(&wide, 3).await.as_deref(), Some(&*long));
        assert_eq!(wide.cache().stats().total.hits, 1);
        let bytes = store.read(&[EntryKey::from_full(row_key(wide.cache()).await)], &[]).await.unwrap();
        assert!(bytes.entries[0].as_ref().unwrap().len() < 64 << 10, "small enough in the store");
        assert_eq!(title(&db, 3).await.as_deref(), Some(&*long), "{}", store.name());
        let stats = db.cache().stats();
        assert_eq!((stats.unreadable, stats.total.misses), (1, 1), "{}", store.name());
    }
}

#[tokio::test]
async fn an_entry_of_another_release_is_a_miss_and_no_reason_to_worry() {
    for (store, db, _) in opened().await {
        assert_eq!(title(&db, 3).await.as_deref(), Some("Title 3"));
        db.cache().ping().await.unwrap();
        let key = row_key(db.cache()).await;
        let there = store.read(&[EntryKey::from_full(key.as_str())], &[]).await.unwrap();
        let mut entry = there.entries[0].as_ref().unwrap().to_vec();
        entry[2] = entry[2].wrapping_add(1);
        put(&*store, &key, entry).await;
        assert_eq!(title(&db, 3).await.as_deref(), Some("Title 3"));
        let stats = db.cache().stats();
        assert_eq!((stats.unreadable, stats.total.misses), (0, 2));
    }
}

#[tokio::test]
async fn a_value_of_another_type_is_a_miss_and_counted() {
    for (_, db, _) in opened().await {
        let cache = db.cache();
        cache.set("key", &"text", EntryOptions::new()).await.unwrap();
        assert_eq!(cache.get::<u32>("key").await.unwrap(), None);
        assert_eq!(cache.stats().unreadable, 1);
        assert_eq!(cache.get::<String>("key").await.unwrap().as_deref(), Some("text"));
    }
}
