//! Entries that are loaded anew before their time is over, while their readers are served.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryOrder, TransactionTrait, entity::prelude::*};
use sea_orm_cache::{Cache, prelude::*};
use tokio::sync::Semaphore;

use crate::{
    entity::{book, shelf},
    gate::gated_caches,
    support::{Backend, eventually, unique_namespace},
    world::{StoreKind, World, builder, caches, retitled, title},
};

/// So eager that every hit finds that it is time.
const ALWAYS: f64 = f64::INFINITY;
const IN_TIME: Duration = Duration::from_secs(20);

/// A load whose answers are numbered, and which waits to be let through.
#[derive(Clone)]
struct Loads {
    began: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    fails: bool,
}

impl Loads {
    fn new() -> Self {
        Self { began: Arc::default(), gate: Arc::new(Semaphore::new(1)), fails: false }
    }

    fn begun(&self) -> usize {
        self.began.load(Ordering::SeqCst)
    }

    fn let_one_through(&self) {
        self.gate.add_permits(1);
    }

    async fn until_begun(&self, loads: usize) {
        eventually("a load has begun", IN_TIME, async || self.begun() >= loads).await;
    }

    async fn load(self) -> Result<usize, String> {
        let number = 1 + self.began.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        if self.fails { Err("down".to_owned()) } else { Ok(number) }
    }
}

fn options() -> EntryOptions {
    EntryOptions::new().tag("tag").refresh_early(ALWAYS)
}

/// Asks, and never waits for a load but the first.
async fn ask(cache: &Cache, loads: &Loads) -> usize {
    let loads = loads.clone();
    cache.get_or_load_detached("key", options(), || loads.load()).await.unwrap()
}

/// What is there; nothing is loaded.
async fn there(cache: &Cache) -> Option<usize> {
    cache.get("key").await.unwrap()
}

async fn until_refreshed(cache: &Cache, times: u64) {
    eventually("it was loaded anew", IN_TIME, async || cache.stats().refreshed_early >= times).await;
}

// feature B5
#[tokio::test]
async fn an_entry_that_is_read_often_never_expires_under_its_readers() {
    const TTL: Duration = Duration::from_secs(1);
    for (store, cache) in caches().await {
        // A pause of the machine that is longer than the entry lives says nothing.
        eventually("a run without a pause", Duration::from_secs(120), async || {
            cache.clear().await;
            cache.reset_stats();
            let loads = Loads::new();
            let (since, mut last, mut pause) = (Instant::now(), Instant::now(), Duration::ZERO);
            loads.gate.add_permits(1_000_000);
            while since.elapsed() < 2 * TTL {
                let load = loads.clone();
                let options = options().ttl(TTL);
                cache.get_or_load_detached("key", options, || load.load()).await.unwrap();
                pause = pause.max(last.elapsed());
                last = Instant::now();
                tokio::task::yield_now().await;
            }
            let stats = cache.stats();
            if pause > TTL / 4 {
                return false;
            }
            assert_eq!(stats.total.misses, 1, "{store:?}: only the first waits: {stats:?}");
            assert!(stats.refreshed_early >= 1, "{store:?}: {stats:?}");
            true
        })
        .await;
    }
}

#[tokio::test]
async fn a_hundred_readers_are_served_at_once_while_one_load_runs() {
    for (store, cache) in caches().await {
        let loads = Loads::new();
        assert_eq!(ask(&cache, &loads).await, 1);
        let readers = (0..100).map(|_| {
            let (cache, loads) = (cache.clone(), loads.clone());
            tokio::spawn(async move { ask(&cache, &loads).await })
        });
        // Nobody lets the load through: whoever waited for it would wait for ever.
        for answer in join_all(readers).await {
            assert_eq!(answer.unwrap(), 1, "{store:?}");
        }
        loads.until_begun(2).await;
        assert_eq!(ask(&cache, &loads).await, 1, "{store:?}");
        loads.let_one_through();
        until_refreshed(&cache, 1).await;
        eventually("the new one is there", IN_TIME, async || there(&cache).await == Some(2)).await;
        let stats = cache.stats();
        assert_eq!((loads.begun(), stats.total.misses, stats.refreshed_early), (2, 1, 1), "{store:?}");
    }
}

#[tokio::test]
async fn of_two_processes_one_loads_anew() {
    let namespace = unique_namespace();
    let mut processes = Vec::new();
    for _ in 0..2 {
        let Some(builder) = builder(StoreKind::Redis, &namespace) else { return };
        processes.push(builder.build().await.unwrap());
    }
    let loads = Loads::new();
    assert_eq!(ask(&processes[0], &loads).await, 1);
    for _ in 0..20 {
        for process in &processes {
            assert_eq!(ask(process, &loads).await, 1);
        }
    }
    loads.until_begun(2).await;
    for _ in 0..20 {
        for process in &processes {
            assert_eq!(ask(process, &loads).await, 1);
        }
    }
    assert_eq!(loads.begun(), 2);
    loads.let_one_through();
    eventually("the new one is there", IN_TIME, async || there(&processes[1]).await == Some(2)).await;
    assert_eq!(processes.iter().map(|process| process.stats().refreshed_early).sum::<u64>(), 1);
}

// case B1
#[tokio::test]
async fn a_refresh_that_a_purge_overtakes_stores_nothing() {
    for (store, cache) in caches().await {
        let loads = Loads::new();
        assert_eq!(ask(&cache, &loads).await, 1);
        assert_eq!(ask(&cache, &loads).await, 1);
        loads.until_begun(2).await;
        cache.invalidate_tag("tag").await;
        let stored = cache.stats().stored_entries;
        // The load began before the purge: what it brings is from before, as far as anybody knows.
        loads.let_one_through();
        loads.let_one_through();
        assert_eq!(ask(&cache, &loads).await, 3, "{store:?}");
        eventually("that is there", IN_TIME, async || there(&cache).await == Some(3)).await;
        assert_eq!(ask(&cache, &loads).await, 3, "{store:?}");
        // One more load begins, and none of them has stored the second answer.
        loads.until_begun(4).await;
        let stats = cache.stats();
        assert_eq!((stats.stored_entries, stats.refreshed_early), (stored + 1, 0), "{store:?}");
        assert_eq!(there(&cache).await, Some(3), "{store:?}");
    }
}

#[tokio::test]
async fn a_refresh_of_what_was_deleted_does_not_bring_it_back() {
    for (store, cache) in caches().await {
        let loads = Loads::new();
        assert_eq!(ask(&cache, &loads).await, 1);
        assert_eq!(ask(&cache, &loads).await, 1);
        loads.until_begun(2).await;
        let stored = cache.stats().stored_entries;
        assert!(cache.delete("key").await.unwrap());
        loads.let_one_through();
        eventually("it is over", IN_TIME, async || loads.gate.available_permits() == 0).await;
        loads.let_one_through();
        assert_eq!(ask(&cache, &loads).await, 3, "{store:?}");
        eventually("that is there", IN_TIME, async || there(&cache).await == Some(3)).await;
        assert_eq!(cache.stats().stored_entries, stored + 1, "{store:?}");
    }
}

#[tokio::test]
async fn a_refresh_that_fails_changes_nothing() {
    for (store, cache) in caches().await {
        let loads = Loads::new();
        assert_eq!(ask(&cache, &loads).await, 1);
        let down = Loads { fails: true, ..loads.clone() };
        loads.let_one_through();
        assert_eq!(ask(&cache, &down).await, 1, "{store:?}");
        eventually("it failed", IN_TIME, async || cache.stats().refreshes_failed == 1).await;
        assert_eq!(there(&cache).await, Some(1), "{store:?}");
        assert_eq!(cache.stats().refreshed_early, 0, "{store:?}");
        loads.let_one_through();
        eventually("it is tried again", IN_TIME, async || {
            ask(&cache, &loads).await;
            there(&cache).await.is_some_and(|number| number > 1)
        })
        .await;
    }
}

#[tokio::test]
async fn a_load_that_borrows_has_the_one_who_found_that_it_is_time_wait_and_no_other() {
    for (store, cache) in caches().await {
        let loads = Loads::new();
        let waits = async || cache.get_or_load("key", options(), || loads.clone().load()).await;
        assert_eq!(waits().await, Ok(1));
        let one = tokio::spawn({
            let (cache, loads) = (cache.clone(), loads.clone());
            async move { cache.get_or_load("key", options(), || loads.load()).await }
        });
        loads.until_begun(2).await;
        for _ in 0..5 {
            assert_eq!(waits().await, Ok(1), "{store:?}");
        }
        loads.let_one_through();
        assert_eq!(one.await.unwrap(), Ok(2), "{store:?}");
        assert_eq!(loads.begun(), 2, "{store:?}");
        eventually("the new one is there", IN_TIME, async || there(&cache).await == Some(2)).await;
        // One that fails is answered by what is there.
        let down = Loads { fails: true, ..loads.clone() };
        loads.let_one_through();
        eventually("it is tried", IN_TIME, async || {
            assert_eq!(cache.get_or_load("key", options(), || down.clone().load()).await, Ok(2), "{store:?}");
            loads.begun() == 3
        })
        .await;
    }
}

#[tokio::test]
async fn past_its_time_an_entry_is_served_at_once_too_while_it_is_loaded_anew() {
    for (store, cache) in caches().await {
        let late = || {
            let options = EntryOptions::new().ttl(Duration::from_millis(40));
            options.stale_while_revalidate(Duration::from_secs(60)).refresh_early(1e-9)
        };
        let loads = Loads::new();
        let ask = async || {
            let loads = loads.clone();
            cache.get_or_load_detached("key", late(), || loads.load()).await.unwrap()
        };
        assert_eq!(ask().await, 1);
        eventually("its time is over", IN_TIME, async || there(&cache).await.is_none()).await;
        let misses = cache.stats().total.misses;
        assert_eq!(ask().await, 1, "{store:?}");
        loads.until_begun(2).await;
        assert_eq!(ask().await, 1, "{store:?}");
        loads.let_one_through();
        until_refreshed(&cache, 1).await;
        loads.gate.add_permits(1_000);
        eventually("the new one is served", IN_TIME, async || ask().await >= 2).await;
        assert_eq!(cache.stats().total.misses, misses, "{store:?}: nobody has waited");
    }
}

async fn past_the_cache(plain: &DatabaseConnection, sql: &str) {
    plain.execute_unprepared(sql).await.unwrap();
}

/// Reads, changes the database behind the cache's back, and reads until the change is seen: which only a
/// load of what was valid all the time can bring.
async fn sees<T: PartialEq + std::fmt::Debug>(
    db: &CachedConnection,
    change: impl AsyncFn(),
    read: impl AsyncFn() -> T,
) {
    let before = read().await;
    // Stored.
    db.cache().ping().await.unwrap();
    let misses = db.cache().stats().total.misses;
    change().await;
    eventually("it was loaded anew", IN_TIME, async || read().await != before).await;
    assert_eq!(db.cache().stats().total.misses, misses, "nobody has waited");
}

// feature B5
#[tokio::test]
async fn every_kind_of_read_is_loaded_anew_while_it_is_served() {
    for world in World::all().await {
        let (db, plain) = (&world.db, world.plain());
        let change = |sql: &'static str| async move || past_the_cache(plain, sql).await;
        let retitle = "UPDATE book SET title = title || '!'";
        let retitle = match world.database.backend() {
            Backend::Sqlite | Backend::Postgres => retitle,
            _ => "UPDATE book SET title = CONCAT(title, '!')",
        };
        let books = || book::Entity::find().order_by_asc(book::Column::Id);
        let early = |select: sea_orm::Select<book::Entity>| select.cached().refresh_early(ALWAYS);
        let by_id = || book::Entity::find_by_id(3);
        sees(db, change(retitle), async || early(by_id()).one(db).await.unwrap()).await;
        sees(db, change(retitle), async || early(books()).all(db).await.unwrap()).await;
        let in_two = books().filter(book::Column::ShelfId.eq(2));
        sees(db, change(retitle), async || early(in_two.clone()).all(db).await.unwrap()).await;
        let pages = || early(books()).paginate(db, 5);
        sees(db, change(retitle), async || pages().fetch_page(1).await.unwrap()).await;
        let with_shelf = || books().find_also_related(shelf::Entity).cached().refresh_early(ALWAYS);
        sees(db, change(retitle), async || with_shelf().all(db).await.unwrap()).await;
        sees(db, change(retitle), async || with_shelf().one(db).await.unwrap()).await;
        let shelves = || shelf::Entity::find().order_by_asc(shelf::Column::Id);
        let with_books = || shelves().find_with_related(book::Entity).cached().refresh_early(ALWAYS);
        sees(db, change(retitle), async || with_books().all(db).await.unwrap()).await;
        let json = || by_id().into_json().cached().refresh_early(ALWAYS);
        sees(db, change(retitle), async || json().one(db).await.unwrap()).await;
        sees(db, change(retitle), async || json().all(db).await.unwrap()).await;
        let count = || early(books().filter(book::Column::Id.eq(12)));
        let delete = change("DELETE FROM book WHERE id = 12");
        sees(db, delete, async || count().count(db).await.unwrap()).await;
        assert_eq!(world.cache().stats().stale_hits, 0, "{world}");
    }
}

#[tokio::test]
async fn without_asking_for_it_nothing_is_loaded_anew() {
    for world in World::on_each_store().await {
        let before = world.title(3).await;
        world.cache().ping().await.unwrap();
        past_the_cache(world.plain(), "UPDATE book SET title = 'changed'").await;
        for _ in 0..200 {
            assert_eq!(world.title(3).await, before, "{world}");
        }
        assert_eq!(world.cache().stats().refreshed_early, 0, "{world}");
    }
}

#[tokio::test]
async fn what_was_filled_without_asking_says_nothing_of_its_load_and_ends_with_its_time() {
    for world in World::on_each_store().await {
        let before = world.title(3).await;
        world.cache().ping().await.unwrap();
        past_the_cache(world.plain(), "UPDATE book SET title = 'changed'").await;
        for _ in 0..20 {
            let read = book::Entity::find_by_id(3).cached().refresh_early(1e-3);
            assert_eq!(read.one(&world.db).await.unwrap().map(|book| book.title), before, "{world}");
        }
    }
}

#[tokio::test]
async fn what_is_in_memory_is_loaded_anew_too() {
    for world in World::on_each_store().await {
        for bound in [Duration::ZERO, Duration::from_secs(600)] {
            let near = builder(world.store, &world.namespace).unwrap().near(8 << 20).max_staleness(bound);
            let db = &world.plain().clone().cached_by(near.build().await.unwrap());
            db.cache().clear().await;
            let change = async || past_the_cache(world.plain(), "UPDATE book SET stock = stock + 1").await;
            let by_id = || book::Entity::find_by_id(3).cached().refresh_early(ALWAYS);
            sees(db, change, async || by_id().one(db).await.unwrap()).await;
            let list = || book::Entity::find().cached().refresh_early(ALWAYS);
            sees(db, change, async || list().all(db).await.unwrap()).await;
        }
    }
}

#[tokio::test]
async fn in_a_transaction_nothing_is_loaded_anew() {
    for world in World::on_each_store().await {
        let read = || book::Entity::find_by_id(3).cached().refresh_early(ALWAYS);
        let before = read().one(&world.db).await.unwrap();
        world.cache().ping().await.unwrap();
        let loads = world.cache().stats().stored_entries;
        let transaction = world.db.begin().await.unwrap();
        for _ in 0..20 {
            assert_eq!(read().one(&transaction).await.unwrap(), before, "{world}");
        }
        transaction.commit().await.unwrap();
        let stats = world.cache().stats();
        assert_eq!((stats.refreshed_early, stats.stored_entries), (0, loads), "{world}");
    }
}

// case B2
#[tokio::test]
async fn a_write_that_comes_between_the_load_and_the_store_leaves_nothing_stale_behind() {
    for (gate, cache) in gated_caches().await {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let db = world.plain().clone().cached_by(cache);
        let early = || book::Entity::find_by_id(3).cached().refresh_early(ALWAYS);
        assert_eq!(title(&db, 3).await.as_deref(), Some("Title 3"));
        early().fresh().one(&db).await.unwrap();
        gate.is_empty().await;
        gate.close();
        // Loaded in the background, and held up on its way to the store.
        assert_eq!(early().one(&db).await.unwrap().unwrap().title, "Title 3");
        gate.holds(1).await;
        retitled(3, "written meanwhile").update(&db).await.unwrap();
        gate.open();
        gate.is_empty().await;
        assert_eq!(title(&db, 3).await.as_deref(), Some("written meanwhile"));
        assert_eq!(early().one(&db).await.unwrap().unwrap().title, "written meanwhile");
    }
}

#[tokio::test]
async fn a_connection_closes_while_something_is_loaded_anew() {
    for world in World::on_each_store().await {
        let db = world.another_process().await;
        let read = || book::Entity::find().cached().refresh_early(ALWAYS);
        for _ in 0..20 {
            assert_eq!(read().count(&db).await.unwrap(), 12, "{world}");
        }
        tokio::time::timeout(IN_TIME, db.close()).await.expect("it closes").unwrap();
    }
}

#[cfg(feature = "compression")]
#[tokio::test]
async fn what_is_compressed_is_loaded_anew_too() {
    for world in World::on_each_store().await {
        let made = builder(world.store, &unique_namespace()).unwrap().compress_above(64);
        let db = &world.plain().clone().cached_by(made.build().await.unwrap());
        let longer = async || {
            let sql = "UPDATE book SET title = title || title || title || title || title";
            past_the_cache(world.plain(), sql).await;
        };
        let list = || book::Entity::find().cached().refresh_early(ALWAYS);
        sees(db, longer, async || list().all(db).await.unwrap()).await;
    }
}
