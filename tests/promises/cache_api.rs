//! The handle: entries of the application's own, invalidation by hand, statistics, and what is left
//! in the store.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sea_orm::{QueryOrder, TransactionTrait, entity::prelude::*};
use sea_orm_cache::{
    Cache, CacheBuilder, CacheError, TableStats, TtlSpec,
    prelude::*,
    stores::{MemoryStore, StoreError},
};
use serde::{Deserialize, Serialize};

use crate::{
    entity::{book, publisher, shelf},
    support::{Proxy, eventually, redis_command, shared_redis_url, unique_namespace},
    world::{StoreKind, World, builder, caches, new_book, retitled},
};

const SOON: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Dashboard {
    orders: u32,
    best: Option<String>,
    rows: Vec<(i64, f64)>,
}

fn dashboard() -> Dashboard {
    Dashboard { orders: 7, best: None, rows: vec![(1, 0.5), (2, -0.0)] }
}

fn options() -> EntryOptions {
    EntryOptions::new()
}

/// Stores an entry and waits until it can be read.
async fn store(cache: &Cache, key: &str, options: EntryOptions) {
    cache.set(key, &key.to_owned(), options).await.unwrap();
    eventually("the entry is there", SOON, async || cache.exists(key).await.unwrap()).await;
}

/// Which of the keys have an entry.
async fn there<const N: usize>(cache: &Cache, keys: [&str; N]) -> [bool; N] {
    let found = cache.get_many::<String>(&keys).await.unwrap();
    assert_eq!(found.len(), N);
    std::array::from_fn(|at| match &found[at] {
        Some(value) => {
            assert_eq!(value, keys[at]);
            true
        }
        None => false,
    })
}

// ---------------------------------------------------------------------------------- own entries

// feature B3
#[tokio::test]
async fn an_entry_comes_back_as_it_was_until_it_is_replaced_or_dropped() {
    for (kind, cache) in caches().await {
        assert_eq!(cache.get::<Dashboard>("dashboard").await.unwrap(), None, "{kind:?}");
        assert!(!cache.exists("dashboard").await.unwrap(), "{kind:?}");
        assert!(!cache.delete("dashboard").await.unwrap(), "{kind:?}");
        cache.set("dashboard", &dashboard(), options()).await.unwrap();
        assert_eq!(cache.get("dashboard").await.unwrap(), Some(dashboard()), "{kind:?}");
        assert!(cache.exists("dashboard").await.unwrap(), "{kind:?}");
        let other = Dashboard { best: Some("book".into()), ..dashboard() };
        cache.set("dashboard", &other, options()).await.unwrap();
        assert_eq!(cache.get("dashboard").await.unwrap(), Some(other), "{kind:?}");
        assert!(cache.delete("dashboard").await.unwrap(), "{kind:?}");
        assert_eq!(cache.get::<Dashboard>("dashboard").await.unwrap(), None, "{kind:?}");
    }
}

// feature B3
#[tokio::test]
async fn many_entries_are_read_in_the_order_of_their_keys() {
    for (kind, cache) in caches().await {
        let values: Vec<(String, u32)> = (0..200).map(|n| (format!("key {n}"), n)).collect();
        let entries: Vec<(&str, &u32)> = values.iter().map(|(key, value)| (key.as_str(), value)).collect();
        cache.set_many(&entries, options().tag("all")).await.unwrap();
        let keys = ["key 7", "nothing", "key 199", "key 7", "key 0"];
        let found = cache.get_many::<u32>(&keys).await.unwrap();
        assert_eq!(found, [Some(7), None, Some(199), Some(7), Some(0)], "{kind:?}");
        assert_eq!(cache.get_many::<u32>(&[]).await.unwrap(), [], "{kind:?}");
        cache.set_many::<u32>(&[], options()).await.unwrap();
        assert_eq!(cache.delete_many(&["key 7", "nothing", "key 0"]).await.unwrap(), 2, "{kind:?}");
        let found = cache.get_many::<u32>(&keys).await.unwrap();
        assert_eq!(found, [None, None, Some(199), None, None], "{kind:?}");
        cache.invalidate_tag("all").await;
        let keys: Vec<&str> = values.iter().map(|(key, _)| key.as_str()).collect();
        assert!(cache.get_many::<u32>(&keys).await.unwrap().iter().all(Option::is_none), "{kind:?}");
    }
}

// case F1, F11
#[tokio::test]
async fn any_text_is_a_key_and_no_two_are_alike() {
    for (kind, cache) in caches().await {
        let long = "k".repeat(100_000);
        let keys =
            ["", " ", "a", "A", "a:b", "a%3Ab", "*", "a*", "é", "e\u{301}", "\0\r\n", "row:book:1", &long];
        let values: Vec<usize> = (0..keys.len()).collect();
        let entries: Vec<_> = keys.iter().copied().zip(&values).collect();
        cache.set_many(&entries, options()).await.unwrap();
        let found = cache.get_many::<usize>(&keys).await.unwrap();
        assert_eq!(found, values.into_iter().map(Some).collect::<Vec<_>>(), "{kind:?}");
        assert_eq!(cache.delete_many(&["*"]).await.unwrap(), 1, "{kind:?}");
        assert!(cache.exists("a*").await.unwrap(), "{kind:?}");
    }
}

// case F7
#[tokio::test]
async fn a_value_of_another_type_is_a_miss_and_is_loaded_anew() {
    for (kind, cache) in caches().await {
        cache.set("n", &"text".to_owned(), options()).await.unwrap();
        assert_eq!(cache.get::<u32>("n").await.unwrap(), None, "{kind:?}");
        assert_eq!(cache.get::<Dashboard>("n").await.unwrap(), None, "{kind:?}");
        assert_eq!(cache.get::<String>("n").await.unwrap().as_deref(), Some("text"), "{kind:?}");
        let before = cache.stats().total;
        let loaded = cache.get_or_load("n", options(), async || Ok::<_, Infallible>(7_u32)).await.unwrap();
        let after = cache.stats().total;
        assert_eq!((loaded, after.misses - before.misses), (7, 1), "{kind:?}");
        eventually("what was loaded is there", SOON, async || {
            cache.get::<u32>("n").await.unwrap() == Some(7)
        })
        .await;
    }
}

// feature B5
#[tokio::test]
async fn what_was_loaded_is_remembered_and_an_error_is_not() {
    for (kind, cache) in caches().await {
        let loads = AtomicU32::new(0);
        let read = async |fail: bool| {
            let load = async || {
                loads.fetch_add(1, Ordering::SeqCst);
                if fail { Err("away") } else { Ok(dashboard()) }
            };
            cache.get_or_load("dashboard", options().tag("orders"), load).await
        };
        assert_eq!(read(true).await, Err("away"), "{kind:?}");
        assert_eq!(read(true).await, Err("away"), "{kind:?}");
        assert_eq!(loads.load(Ordering::SeqCst), 2, "{kind:?}");
        assert_eq!(read(false).await, Ok(dashboard()), "{kind:?}");
        eventually("stored", SOON, async || cache.exists("dashboard").await.unwrap()).await;
        // An error would come only of a load, and there is none.
        assert_eq!(read(true).await, Ok(dashboard()), "{kind:?}");
        assert_eq!(loads.load(Ordering::SeqCst), 3, "{kind:?}");
        // What `get` and `set` see is the same entry.
        assert_eq!(cache.get("dashboard").await.unwrap(), Some(dashboard()), "{kind:?}");
        let fresh = || {
            cache.get_or_load("dashboard", options().tag("orders").fresh(), async || {
                Err::<Dashboard, _>("loaded")
            })
        };
        assert_eq!(fresh().await, Err("loaded"), "{kind:?}");
        cache.invalidate_tag("orders").await;
        assert_eq!(read(true).await, Err("away"), "{kind:?}");
    }
}

#[tokio::test]
async fn many_tasks_that_ask_at_a_time_share_one_load() {
    for (kind, cache) in caches().await {
        let loads = Arc::new(AtomicU32::new(0));
        let release = Arc::new(tokio::sync::Semaphore::new(0));
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (cache, loads, release) = (cache.clone(), loads.clone(), release.clone());
                tokio::spawn(async move {
                    let load = async || {
                        loads.fetch_add(1, Ordering::SeqCst);
                        drop(release.acquire().await.unwrap());
                        Ok::<_, Infallible>(7_u32)
                    };
                    cache.get_or_load("shared", EntryOptions::new(), load).await
                })
            })
            .collect();
        eventually("a load is under way", SOON, async || loads.load(Ordering::SeqCst) > 0).await;
        release.add_permits(1);
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ok(7), "{kind:?}");
        }
        assert_eq!(loads.load(Ordering::SeqCst), 1, "{kind:?}");
    }
}

// case F12
#[tokio::test]
async fn what_is_too_large_is_refused_by_set_and_only_returned_by_load() {
    for kind in [StoreKind::Memory, StoreKind::Redis] {
        let Some(builder) = builder(kind, &unique_namespace()) else { continue };
        let cache = builder.max_entry_bytes(1000).build().await.unwrap();
        let large = "x".repeat(2000);
        let small = "x".repeat(100);
        let refused = cache.set_many(&[("small", &small), ("large", &large)], options()).await;
        assert!(matches!(refused, Err(CacheError::Unwritable { key, .. }) if key == "large"), "{kind:?}");
        assert!(!cache.exists("small").await.unwrap(), "{kind:?}: nothing of it is stored");
        for _ in 0..2 {
            let load = async || Ok::<_, Infallible>(large.clone());
            assert_eq!(cache.get_or_load("large", options(), load).await.as_ref(), Ok(&large), "{kind:?}");
        }
        assert!(!cache.exists("large").await.unwrap(), "{kind:?}");
        assert_eq!(cache.stats().not_stored, 2, "{kind:?}");
        // A row that is too large is served all the same.
        let Some(world) = World::new(crate::support::Backend::Sqlite, kind).await else { continue };
        let db = world.plain().clone().cached_by(cache);
        let long = "y".repeat(180);
        retitled(1, &long).update(&db).await.unwrap();
        let all = || book::Entity::find().order_by_asc(book::Column::Id).cached();
        let more = (60..70).map(|id| book::ActiveModel { title: sea_orm::Set(long.clone()), ..new_book(id) });
        book::Entity::insert_many(more).exec_without_returning(&db).await.unwrap();
        for _ in 0..2 {
            assert_eq!(all().all(&db).await.unwrap().len(), 22, "{kind:?}");
        }
        assert_eq!(db.cache().stats().tables["book"].hits, 0, "{kind:?}: more than 1000 bytes of rows");
    }
}

// case F13
// feature B2
#[tokio::test]
async fn a_time_to_live_is_honoured_and_never_exceeds_the_bound() {
    for kind in [StoreKind::Memory, StoreKind::Redis] {
        let namespace = unique_namespace();
        let Some(builder) = builder(kind, &namespace) else { continue };
        let cache = builder.max_ttl(Duration::from_millis(400)).build().await.unwrap();
        let asked: [TtlSpec; 4] = [
            Duration::from_millis(150).into(),
            Duration::MAX.into(),
            TtlClass::Static.into(),
            Duration::ZERO.into(),
        ];
        for ttl in asked {
            cache.set("brief", &1, options().ttl(ttl)).await.unwrap();
            eventually("it expires", SOON, async || !cache.exists("brief").await.unwrap()).await;
        }
        cache.set("by default", &1, options()).await.unwrap();
        if let (StoreKind::Redis, Some(url)) = (kind, shared_redis_url()) {
            let left = pttl(&url, &format!("{namespace}:e:by%20default")).await;
            assert!(left <= 400, "{left}");
        }
        eventually("what nobody gave a life expires", SOON, async || {
            !cache.exists("by default").await.unwrap()
        })
        .await;
    }
}

// --------------------------------------------------------------------------------- invalidation

// feature B4
#[tokio::test]
async fn a_tag_makes_its_entries_misses_and_no_others() {
    for (kind, cache) in caches().await {
        store(&cache, "one", options().tag("red")).await;
        store(&cache, "two", options().tag("red").tag("blue")).await;
        store(&cache, "three", options().tag("blue")).await;
        store(&cache, "four", options()).await;
        let keys = ["one", "two", "three", "four"];
        assert_eq!(there(&cache, keys).await, [true; 4], "{kind:?}");
        cache.invalidate_tag("green").await;
        cache.invalidate_tag("re").await;
        cache.invalidate_tag("*").await;
        assert_eq!(there(&cache, keys).await, [true; 4], "{kind:?}");
        cache.invalidate_tag("red").await;
        assert_eq!(there(&cache, keys).await, [false, false, true, true], "{kind:?}");
        // Stored again under the same tag, it is valid again.
        store(&cache, "one", options().tag("red")).await;
        assert_eq!(there(&cache, keys).await, [true, false, true, true], "{kind:?}");
        cache.invalidate_tags(&["red", "blue"]).await;
        assert_eq!(there(&cache, keys).await, [false, false, false, true], "{kind:?}");
        cache.invalidate_tags(&[]).await;
        assert_eq!(there(&cache, keys).await, [false, false, false, true], "{kind:?}");
    }
}

#[tokio::test]
async fn another_process_sees_an_invalidation_at_once() {
    for world in World::on_each_store().await {
        if world.store == StoreKind::Memory {
            continue;
        }
        let other = world.another_process().await;
        let (here, there) = (world.cache(), other.cache());
        store(here, "shared", options().tag("t")).await;
        for _ in 0..20 {
            assert_eq!(there.get::<String>("shared").await.unwrap().as_deref(), Some("shared"));
            here.invalidate_tag("t").await;
            assert_eq!(there.get::<String>("shared").await.unwrap(), None);
            store(there, "shared", options().tag("t")).await;
            assert!(here.exists("shared").await.unwrap());
            there.invalidate_tag("t").await;
            assert!(!here.exists("shared").await.unwrap());
            store(here, "shared", options().tag("t")).await;
        }
    }
}

/// A cached read of the bookshop.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cached {
    Book(i64),
    NoBook,
    Books,
    Publisher,
    Shelf,
    OfBooks,
    OfNothing,
}

impl Cached {
    const ALL: [Self; 8] = [
        Self::Book(3),
        Self::Book(4),
        Self::NoBook,
        Self::Books,
        Self::Publisher,
        Self::Shelf,
        Self::OfBooks,
        Self::OfNothing,
    ];

    async fn hit(self, world: &World) -> bool {
        let db = &world.db;
        let read = async {
            match self {
                Self::Book(id) => assert!(world.title(id).await.is_some()),
                Self::NoBook => assert!(world.title(4711).await.is_none()),
                Self::Books => assert_eq!(book::Entity::find().cached().all(db).await.unwrap().len(), 12),
                Self::Publisher => {
                    assert!(publisher::Entity::find_by_id(1).cached().one(db).await.unwrap().is_some());
                }
                Self::Shelf => {
                    assert!(shelf::Entity::find_by_id(1).cached().one(db).await.unwrap().is_some())
                }
                Self::OfBooks => own(world, "of books", options().entity(book::Entity)).await,
                Self::OfNothing => own(world, "of nothing", options()).await,
            }
        };
        world.is_hit(read).await.1
    }

    /// Stores all of them.
    async fn warm(world: &World) {
        for read in Self::ALL {
            read.hit(world).await;
            eventually("stored", SOON, async || read.hit(world).await).await;
        }
    }

    /// Those that miss, and are stored again.
    async fn gone(world: &World) -> Vec<Self> {
        let mut gone = Vec::new();
        for read in Self::ALL {
            if !read.hit(world).await {
                gone.push(read);
                eventually("stored", SOON, async || read.hit(world).await).await;
            }
        }
        gone
    }
}

async fn own(world: &World, key: &str, options: EntryOptions) {
    world.cache().get_or_load(key, options, async || Ok::<_, Infallible>(1_u8)).await.unwrap();
}

// feature B4
#[tokio::test]
async fn every_invalidation_by_hand_reaches_what_it_names_and_nothing_else() {
    use Cached::{Book, Books, NoBook, OfBooks, Publisher, Shelf};
    for world in World::on_each_store().await {
        let cache = world.cache();
        Cached::warm(&world).await;
        assert_eq!(Cached::gone(&world).await, [], "{world}");
        cache.invalidate_row::<book::Entity>(3_i64).await;
        assert_eq!(Cached::gone(&world).await, [Book(3), NoBook, Books, OfBooks], "{world}: a row");
        // Of another width than the column, or a text: the row is named, or all of them are.
        cache.invalidate_row::<book::Entity>(3_i32).await;
        assert_eq!(Cached::gone(&world).await, [Book(3), NoBook, Books, OfBooks], "{world}: a row");
        cache.invalidate_row::<book::Entity>("3").await;
        assert_eq!(Cached::gone(&world).await, [Book(3), Book(4), NoBook, Books, OfBooks], "{world}");
        cache.invalidate_entity::<book::Entity>().await;
        let books = [Book(3), Book(4), NoBook, Books, OfBooks];
        assert_eq!(Cached::gone(&world).await, books, "{world}: an entity");
        cache.invalidate_table("BOOK").await;
        assert_eq!(Cached::gone(&world).await, books, "{world}: a table");
        cache.invalidate_table("boo").await;
        assert_eq!(Cached::gone(&world).await, [], "{world}: a table that is not");
        cache.invalidate_group("catalog").await;
        assert_eq!(Cached::gone(&world).await, [Shelf], "{world}: a group");
        // A tag that the books declare, filled in from the row.
        cache.invalidate_tag("publisher:2").await;
        let of_two = Cached::gone(&world).await;
        assert_eq!(of_two, [Book(3), Books], "{world}: a declared tag");
        assert_eq!(cache.invalidate_pattern("row:book:3@*").await.unwrap(), 1, "{world}");
        assert_eq!(Cached::gone(&world).await, [Book(3)], "{world}: a pattern");
        assert_eq!(cache.invalidate_pattern("*:row:shelf:*").await.unwrap(), 1, "{world}");
        assert_eq!(Cached::gone(&world).await, [Shelf], "{world}: a pattern");
        assert_eq!(cache.invalidate_pattern("e:of%20*").await.unwrap(), 2, "{world}");
        assert_eq!(Cached::gone(&world).await, [OfBooks, Cached::OfNothing], "{world}: a pattern");
        assert_eq!(cache.invalidate_pattern("nothing*").await.unwrap(), 0, "{world}");
        assert_eq!(Cached::gone(&world).await, [], "{world}: a pattern of nothing");
        cache.clear().await;
        assert_eq!(Cached::gone(&world).await, Cached::ALL, "{world}: everything");
        assert!(Publisher.hit(&world).await, "{world}");
    }
}

// ----------------------------------------------------------------------------------- switched off

/// Two caches in one namespace of one store, of which the second is switched off.
async fn on_and_off() -> Vec<(StoreKind, Cache, Cache)> {
    let mut both = Vec::new();
    for kind in [StoreKind::Memory, StoreKind::Redis] {
        let namespace = unique_namespace();
        let shared = Arc::new(MemoryStore::with_capacity(1 << 20));
        let build = || -> Option<CacheBuilder> {
            let builder = builder(kind, &namespace)?;
            Some(if kind == StoreKind::Memory { builder.store(shared.clone()) } else { builder })
        };
        let (Some(on), Some(off)) = (build(), build()) else { continue };
        both.push((kind, on.build().await.unwrap(), off.enabled(false).build().await.unwrap()));
    }
    both
}

// case G1
#[tokio::test]
async fn a_cache_that_is_switched_off_stores_nothing_and_still_purges() {
    for (kind, on, off) in on_and_off().await {
        let world = World::new(crate::support::Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let on = world.plain().clone().cached_by(on);
        let off = world.plain().clone().cached_by(off);
        let title = async |db: &CachedConnection| crate::world::title(db, 3).await;
        // Off: nothing is stored, nothing is looked for.
        for _ in 0..2 {
            assert_eq!(title(&off).await.as_deref(), Some("Title 3"), "{kind:?}");
            off.cache().set("own", &1, options()).await.unwrap();
            assert_eq!(off.cache().get::<i32>("own").await.unwrap(), None, "{kind:?}");
            let loaded = off.cache().get_or_load("own", options(), async || Ok::<_, Infallible>(2)).await;
            assert_eq!(loaded, Ok(2), "{kind:?}");
            assert_eq!(book::Entity::cached_by_ids([3_i64], &off).await.unwrap().len(), 1, "{kind:?}");
        }
        let stats = off.cache().stats().total;
        assert_eq!((stats.reads, stats.bypasses, stats.hits), (8, 8, 0), "{kind:?}");
        assert_eq!(off.cache().keys(100).await.unwrap(), [""; 0], "{kind:?}");
        // Its writes are seen by who is on.
        for round in 0..5 {
            assert!(title(&on).await.is_some());
            let hit = async || {
                let before = on.cache().stats().total.hits;
                title(&on).await;
                on.cache().stats().total.hits > before
            };
            eventually("stored", SOON, hit).await;
            let new = format!("round {round}");
            retitled(3, &new).update(&off).await.unwrap();
            assert_eq!(title(&on).await, Some(new), "{kind:?}");
        }
        // And so are its invalidations.
        store(on.cache(), "tagged", options().tag("t")).await;
        store(on.cache(), "other", options()).await;
        off.cache().invalidate_tag("t").await;
        assert_eq!(there(on.cache(), ["tagged", "other"]).await, [false, true], "{kind:?}");
        off.cache().clear().await;
        assert_eq!(there(on.cache(), ["tagged", "other"]).await, [false, false], "{kind:?}");
    }
}

// ----------------------------------------------------------------------------------- statistics

// case G2
#[tokio::test]
async fn statistics_add_up_in_every_table_and_in_all() {
    for world in World::on_each_store().await {
        let cache = world.cache().clone();
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (db, cache) = (world.db.clone(), cache.clone());
                tokio::spawn(async move {
                    for round in 0..30_i64 {
                        let id = 1 + (round + task) % 14;
                        crate::world::title(&db, id).await;
                        let ids = [id, id + 1, 4711];
                        book::Entity::cached_by_ids(ids, &db).await.unwrap();
                        publisher::Entity::find()
                            .find_with_related(book::Entity)
                            .cached()
                            .all(&db)
                            .await
                            .unwrap();
                        book::Entity::find().cached().ttl(Duration::ZERO).count(&db).await.unwrap();
                        cache.get_many::<u8>(&["a", "b"]).await.unwrap();
                        let load = async || if id % 5 == 0 { Err("no") } else { Ok(1_u8) };
                        let _ = cache.get_or_load("a", options().tag("t"), load).await;
                        if round % 7 == 0 {
                            cache.invalidate_tag("t").await;
                            retitled(1 + id % 12, &format!("{task} {round}")).update(&db).await.unwrap();
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let stats = cache.stats();
        let adds_up = |stats: &TableStats| {
            stats.reads == stats.hits + stats.misses + stats.bypasses
                && stats.joined <= stats.misses
                && stats.store_away <= stats.bypasses
        };
        assert!(adds_up(&stats.total), "{world}: {stats:#?}");
        assert!(stats.tables.values().all(adds_up), "{world}: {stats:#?}");
        let sum = |part: fn(&TableStats) -> u64| stats.tables.values().map(part).sum::<u64>();
        assert_eq!(sum(|table| table.reads), stats.total.reads, "{world}");
        assert_eq!(sum(|table| table.hits), stats.total.hits, "{world}");
        assert_eq!(sum(|table| table.writes), stats.total.writes, "{world}");
        // Eight tasks with thirty rounds; a row, three rows, a count; families; two own and a load.
        let reads = |table: &str| stats.tables[table].reads;
        assert_eq!((reads("book"), reads("publisher"), reads("(own)")), (240 * 5, 240, 240 * 3), "{world}");
        assert_eq!(stats.tables["book"].writes, 8 * 5, "{world}");
        assert!(stats.tables["book"].bypasses >= 240, "{world}");
        assert_eq!((stats.namespace_purges, stats.undelivered_tags), (0, 0), "{world}");
        assert!(stats.total.hit_rate().unwrap() <= 1.0);
        cache.reset_stats();
        assert_eq!(cache.stats().total, TableStats::default(), "{world}");
        assert_eq!(cache.stats().total.hit_rate(), None);
    }
}

// ------------------------------------------------------------------------------ what is in Redis

async fn pttl(url: &str, key: &str) -> i64 {
    match redis_command(url, &["PTTL", key]).await {
        redis::Value::Int(left) => left,
        other => panic!("{other:?}"),
    }
}

/// A world on Redis, and where that is.
async fn on_redis() -> Option<(World, String)> {
    let url = shared_redis_url()?;
    let world = World::new(crate::support::Backend::Sqlite, StoreKind::Redis).await?;
    Some((world, url))
}

/// Asks again while a busy machine lets the step of a scan time out.
async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T, CacheError>) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(CacheError::Store(StoreError::Timeout { .. })) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

// case F14, F16
#[tokio::test]
async fn nothing_lives_in_redis_without_an_end() {
    let Some((world, url)) = on_redis().await else { return };
    let db = &world.db;
    Cached::warm(&world).await;
    book::Entity::cached_by_ids(1..=20_i64, db).await.unwrap();
    world.cache().set("long", &1, options().ttl(Duration::from_secs(86_400)).tag("t")).await.unwrap();
    db.warm_up().alone_for(Duration::from_secs(60)).await;
    world.cache().invalidate_tag("t").await;
    retitled(3, "new").update(db).await.unwrap();
    world.cache().set("again", &1, options().tag("t").entity(book::Entity)).await.unwrap();
    world.title(3).await;
    let keys = world.cache().keys(10_000).await.unwrap();
    let prefix = format!("{}:", world.namespace);
    assert!(keys.iter().all(|key| key.starts_with(&prefix)));
    let kinds: BTreeSet<_> = keys.iter().filter_map(|key| key[prefix.len()..].split(':').next()).collect();
    assert!(kinds.is_superset(&["row", "q", "e", "t", "u", "g", "l"].into()), "{kinds:?}");
    for key in keys {
        // -2: it is gone since; -1 would be without an end.
        let left = pttl(&url, &key).await;
        assert!(left > 0 || left == -2, "{key}: {left}");
    }
}

// case F3, F20, F22
#[tokio::test]
async fn nothing_outside_the_namespace_is_ever_touched() {
    for kind in [StoreKind::Memory, StoreKind::Redis] {
        let unique = unique_namespace();
        let shared = Arc::new(MemoryStore::with_capacity(1 << 20));
        // What is a pattern to Redis is a text here; and each could be the beginning of another.
        let namespaces =
            ["", "*", "?", "[a-z]", "\\", "{x}", ":t", "2", "%2A"].map(|tail| format!("{unique}{tail}"));
        let mut caches = Vec::new();
        for namespace in &namespaces {
            let Some(builder) = builder(kind, namespace) else { continue };
            let builder = if kind == StoreKind::Memory { builder.store(shared.clone()) } else { builder };
            caches.push(builder.build().await.unwrap());
        }
        let foreign = [unique.clone(), format!("{unique}*:e:key"), format!("x{unique}:e:key")];
        let url = (kind == StoreKind::Redis && !caches.is_empty()).then(|| shared_redis_url().unwrap());
        if let Some(url) = &url {
            for key in &foreign {
                redis_command(url, &["SET", key, "another application's", "PX", "600000"]).await;
            }
        }
        for (at, cache) in caches.iter().enumerate() {
            for cache in &caches {
                store(cache, "key", options().tag("t")).await;
                store(cache, "plain", options()).await;
            }
            let others = async |what: &str| {
                for (other, cache) in caches.iter().enumerate().filter(|(other, _)| *other != at) {
                    let left = there(cache, ["key", "plain"]).await;
                    assert_eq!(
                        left,
                        [true, true],
                        "{kind:?}: {what} {}: {}",
                        namespaces[at],
                        namespaces[other]
                    );
                }
            };
            let escaped = patiently(async || cache.keys(100).await).await;
            assert!(escaped.iter().all(|key| !key.contains(['?', '[', '\\', '{'])), "{escaped:?}");
            let dropped = patiently(async || cache.invalidate_pattern("*").await).await;
            assert_eq!(dropped, 2, "{kind:?}, {}", namespaces[at]);
            assert_eq!(there(cache, ["key", "plain"]).await, [false, false], "{kind:?}");
            others("pattern").await;
            store(cache, "key", options().tag("t")).await;
            cache.invalidate_tag("t").await;
            assert!(!cache.exists("key").await.unwrap(), "{kind:?}");
            others("tag").await;
            store(cache, "plain", options()).await;
            cache.clear().await;
            assert!(!cache.exists("plain").await.unwrap(), "{kind:?}");
            others("clear").await;
        }
        if let Some(url) = &url {
            for key in &foreign {
                let value = redis_command(url, &["GETDEL", key]).await;
                assert_eq!(value, redis::Value::BulkString(b"another application's".to_vec()), "{key}");
            }
        }
    }
}

// feature B3
#[tokio::test]
async fn each_call_costs_the_round_trips_that_it_says() {
    let Some(url) = shared_redis_url() else { return };
    let proxy = Proxy::for_redis(&url).await;
    let cache =
        Cache::builder().namespace(unique_namespace()).redis(proxy.redis_url()).build().await.unwrap();
    cache.ping().await.unwrap();
    macro_rules! costs {
        ($round_trips:literal, $call:expr) => {{
            let before = proxy.round_trips();
            let value = $call.await;
            assert_eq!(proxy.round_trips() - before, $round_trips, stringify!($call));
            value
        }};
    }
    let tagged = || options().tag("t").entity(book::Entity);
    assert_eq!(costs!(1, cache.get::<u8>("a")).unwrap(), None);
    costs!(2, cache.set("a", &1_u8, options())).unwrap();
    assert_eq!(costs!(1, cache.get::<u8>("a")).unwrap(), Some(1));
    costs!(2, cache.set("a", &2_u8, options())).unwrap();
    assert_eq!(costs!(1, cache.get::<u8>("a")).unwrap(), Some(2));
    costs!(2, cache.set("b", &1_u8, tagged())).unwrap();
    assert_eq!(costs!(1, cache.get::<u8>("b")).unwrap(), Some(1));
    assert!(costs!(1, cache.exists("b")).unwrap());
    let keys: Vec<String> = (0..100).map(|n| format!("key {n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let entries: Vec<_> = keys.iter().map(|key| (*key, &7_u8)).collect();
    costs!(2, cache.set_many(&entries, tagged())).unwrap();
    assert_eq!(costs!(1, cache.get_many::<u8>(&keys)).unwrap(), vec![Some(7); 100]);
    assert_eq!(costs!(1, cache.delete_many(&keys)).unwrap(), 100);
    assert!(costs!(1, cache.delete("a")).unwrap());
    costs!(1, cache.invalidate_tag("t"));
    costs!(1, cache.invalidate_tags(&["t", "u", "v"]));
    costs!(1, cache.invalidate_entity::<book::Entity>());
    costs!(1, cache.invalidate_row::<book::Entity>(3_i64));
    costs!(1, cache.invalidate_group("catalog"));
    costs!(1, cache.clear());
    costs!(1, cache.ping()).unwrap();
    // Another process has not seen the entry yet, and learns of its tags from the entry itself.
    let namespace = cache.config().namespace.clone();
    let other = Cache::builder().namespace(namespace).redis(proxy.redis_url()).build().await.unwrap();
    other.ping().await.unwrap();
    cache.set("c", &1_u8, tagged()).await.unwrap();
    assert_eq!(costs!(2, other.get::<u8>("c")).unwrap(), Some(1));
    assert_eq!(costs!(1, other.get::<u8>("c")).unwrap(), Some(1));
}

// case G8
#[tokio::test]
async fn what_is_printed_for_debugging_holds_no_keys_and_no_rows() {
    for world in World::on_each_store().await {
        let secret = "ada@example.org";
        retitled(1, secret).update(&world.db).await.unwrap();
        world.title(1).await;
        let load = async || Ok::<_, Infallible>(secret.to_owned());
        world.cache().get_or_load(secret, options().tag(secret), load).await.unwrap();
        let tx = world.db.begin().await.unwrap();
        retitled(1, "x").update(&tx).await.unwrap();
        let printed = format!("{:?} {:?} {tx:?}", world.cache(), world.db);
        tx.rollback().await.unwrap();
        assert!(!printed.contains("ada") && !printed.contains(":book:"), "{printed}");
        assert!(printed.len() < 1000, "{printed}");
    }
}
