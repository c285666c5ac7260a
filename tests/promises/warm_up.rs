//! The warm-up loads what the entities declare and what the application registers, within its
//! bounds, and stores nothing old.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sea_orm::{QueryOrder, TransactionTrait, entity::prelude::*};
use sea_orm_cache::{WarmUpReport, prelude::*};
use tokio::sync::Semaphore;

use crate::{
    entity::{author, book, publisher, shelf},
    gate::gated_caches,
    support::{Backend, eventually, unique_namespace},
    world::{StoreKind, World, builder, new_book, retitled},
};

const SOON: Duration = Duration::from_secs(20);

/// Entries that each loader handed over.
fn entries(report: &WarmUpReport) -> BTreeMap<&str, u64> {
    report.loaders.iter().map(|loader| (loader.loader.as_str(), loader.entries)).collect()
}

/// Waits until the row is there, by a read that stores nothing: of an entry that the warm-up has
/// handed over, but that may be on its way.
async fn arrives(world: &World, row: &str) {
    let key = format!("{}:{row}@", world.namespace);
    eventually("what was loaded is stored", SOON, async || {
        world.cache().keys(100_000).await.is_ok_and(|keys| keys.iter().any(|there| there.starts_with(&key)))
    })
    .await;
}

#[tokio::test]
async fn rows_that_were_loaded_are_hits() {
    for world in World::all().await {
        let report = world.db.warm_up().await;
        assert_eq!(report.skipped, None, "{world}");
        assert_eq!(report.failures().count(), 0, "{world}: {report:?}");
        let loaded = entries(&report);
        assert_eq!((loaded["book"], loaded["publisher"], loaded["shelf"]), (12, 2, 3), "{world}");
        assert!(!loaded.contains_key("customer") && !loaded.contains_key("author"), "{world}: {loaded:?}");
        assert!(report.entries() >= 17 && report.bytes() > report.entries(), "{world}");
        assert!(report.loaders.iter().all(|loader| loader.took <= report.took), "{world}");
        arrives(&world, "row:book:12").await;
        arrives(&world, "row:publisher:2").await;
        arrives(&world, "@catalog:row:shelf:3").await;
        for id in 1..=12 {
            let (title, hit) = world.is_hit(world.title(id)).await;
            assert_eq!((title, hit), (Some(format!("Title {id}")), true), "{world}, book {id}");
        }
        for id in 1..=2 {
            let read = publisher::Entity::find_by_id(id).cached().one(&world.db);
            let (publisher, hit) = world.is_hit(read).await;
            assert_eq!((publisher.unwrap().unwrap().id, hit), (id, true), "{world}, publisher {id}");
        }
        let read = shelf::Entity::find_by_id(3).cached().one(&world.db);
        assert!(world.is_hit(read).await.1, "{world}");
        // A warm-up is not a read, and writes purge what it loaded like anything else.
        retitled(3, "new").update(&world.db).await.unwrap();
        assert_eq!(world.is_hit(world.title(3)).await, (Some("new".into()), false), "{world}");
        assert!(world.is_hit(world.title(4)).await.1, "{world}");
    }
}

// case G6
#[tokio::test]
async fn limits_batches_and_order_are_respected() {
    for world in World::on_each_store().await {
        // Later keys have earlier titles, and the order is by title.
        let title = |id: i64| format!("Before {:05}", 10_000 - id);
        let many: Vec<_> = (100..1300)
            .map(|id| book::ActiveModel { title: sea_orm::Set(title(id)), ..new_book(id) })
            .collect();
        for chunk in many.chunks(400) {
            book::Entity::insert_many(chunk.to_vec()).exec_without_returning(world.plain()).await.unwrap();
        }
        let steps = Arc::new(Mutex::new(Vec::new()));
        let seen = steps.clone();
        let warm_up = world.db.warm_up().only(["book"]).on_progress(move |step| {
            assert_eq!(step.loader, "book");
            seen.lock().unwrap().push((step.entries, step.bytes));
        });
        let report = warm_up.await;
        assert_eq!(entries(&report), [("book", 1000)].into(), "{world}");
        let steps = steps.lock().unwrap().clone();
        let counts: Vec<_> = steps.iter().map(|(entries, _)| *entries).collect();
        assert_eq!(counts, [200, 400, 600, 800, 1000], "{world}");
        assert!(steps.is_sorted(), "{world}");
        assert_eq!(steps[4].1, report.bytes(), "{world}");
        arrives(&world, "row:book:300").await;
        let before = world.cache().stats().total;
        let first: Vec<i64> = (300..1300).collect();
        assert_eq!(book::Entity::cached_by_ids(first, &world.db).await.unwrap().len(), 1000);
        let after = world.cache().stats().total;
        assert_eq!(after.hits - before.hits, 1000, "{world}: the first thousand by title");
        for id in [1, 12, 100, 299] {
            assert!(!world.is_hit(world.title(id)).await.1, "{world}, book {id}: beyond the limit");
        }
    }
}

#[tokio::test]
async fn loaders_registered_in_code_run_and_store_what_they_read() {
    for world in World::on_each_store().await {
        let list = |db: &CachedConnection| {
            let db = db.clone();
            async move { book::Entity::find().order_by_asc(book::Column::Id).cached().all(&db).await }
        };
        world.db.register_warm_up("first page", move |db, progress| async move {
            let books = list(&db).await?;
            progress.add(books.len() as u64, 10);
            progress.add(1, 5);
            Ok(())
        });
        let steps = Arc::new(Mutex::new(Vec::new()));
        let seen = steps.clone();
        let report = world.db.warm_up().only(["first page"]).on_progress(move |step| {
            seen.lock().unwrap().push((step.loader.clone(), step.entries, step.bytes));
        });
        let report = report.await;
        assert_eq!(entries(&report), [("first page", 13)].into(), "{world}");
        assert_eq!((report.entries(), report.bytes()), (13, 15), "{world}");
        let expected = [("first page".to_owned(), 12, 10), ("first page".to_owned(), 13, 15)];
        assert_eq!(*steps.lock().unwrap(), expected, "{world}");
        eventually("the list is a hit", SOON, async || world.is_hit(list(&world.db)).await.1).await;
        // Clones of the connection know of it too.
        let report = world.db.clone().warm_up().only(["first page", "nothing of this name"]).await;
        assert_eq!(report.loaders.len(), 1, "{world}");
    }
}

// case G6
#[tokio::test]
async fn a_loader_that_fails_does_not_stop_the_others() {
    for world in World::on_each_store().await {
        world.db.register_warm_up("broken", async |_, progress| {
            progress.add(2, 20);
            Err(DbErr::Custom("no such luck".into()))
        });
        world.db.register_warm_up("sound", async |_, progress| {
            progress.add(3, 30);
            Ok(())
        });
        world.db.register_warm_up("panics", async |_, _| panic!("a loader that panics"));
        // A declared one whose table is away fails too.
        world.database.execute("ALTER TABLE book RENAME TO hidden").await;
        let report =
            world.db.warm_up().concurrency(1).only(["book", "broken", "panics", "publisher", "sound"]).await;
        world.database.execute("ALTER TABLE hidden RENAME TO book").await;
        assert_eq!(report.skipped, None, "{world}");
        let expected = [("book", 0), ("broken", 2), ("panics", 0), ("publisher", 2), ("sound", 3)];
        assert_eq!(entries(&report), expected.into(), "{world}");
        let mut failed: Vec<_> = report.failures().collect();
        failed.sort_by_key(|loader| loader.loader.clone());
        let names: Vec<_> = failed.iter().map(|loader| loader.loader.as_str()).collect();
        assert_eq!(names, ["book", "broken", "panics"], "{world}");
        assert!(failed[1].error.as_ref().unwrap().contains("no such luck"), "{world}: {failed:?}");
        arrives(&world, "row:publisher:2").await;
        let read = publisher::Entity::find_by_id(2).cached().one(&world.db);
        assert!(world.is_hit(read).await.1, "{world}");
    }
}

// case G6
#[tokio::test]
async fn no_more_loaders_run_at_a_time_than_are_allowed() {
    const LOADERS: usize = 7;
    for (asked, allowed) in [(0, 1), (1, 1), (3, 3), (50, LOADERS)] {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let running = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let permits = Arc::new(Semaphore::new(0));
        let names: Vec<_> = (0..LOADERS).map(|number| format!("loader {number}")).collect();
        for name in &names {
            let (running, most, permits) = (running.clone(), most.clone(), permits.clone());
            world.db.register_warm_up(name, move |_, _| {
                let (running, most, permits) = (running.clone(), most.clone(), permits.clone());
                async move {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    permits.acquire().await.unwrap().forget();
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                }
            });
        }
        let warm_up = world.db.warm_up().concurrency(asked).only(names);
        let run = tokio::spawn(async move { warm_up.await });
        for ended in 0..LOADERS {
            let now = allowed.min(LOADERS - ended);
            eventually("as many as may run do", SOON, async || running.load(Ordering::SeqCst) == now).await;
            permits.add_permits(1);
        }
        assert_eq!(run.await.unwrap().loaders.len(), LOADERS);
        assert_eq!(most.load(Ordering::SeqCst), allowed, "asked for {asked}");
    }
}

/// A second process; with the in-process store, a second handle of the same cache.
async fn second(world: &World) -> CachedConnection {
    match world.store {
        StoreKind::Memory => world.db.clone(),
        StoreKind::Redis => world.another_process().await,
    }
}

#[tokio::test]
async fn of_several_processes_one_warms_up() {
    for world in World::on_each_store().await {
        let second = second(&world).await;
        let alone =
            |db: &CachedConnection| db.warm_up().only(["publisher"]).alone_for(Duration::from_secs(60));
        let (one, other) = tokio::join!(alone(&world.db), alone(&second));
        let loaded = [one.loaders.len(), other.loaders.len()];
        assert_eq!(loaded.iter().sum::<usize>(), 1, "{world}: {one:?}, {other:?}");
        let skipped = if loaded[0] == 0 { one } else { other };
        assert_eq!(skipped.skipped, Some("another process is at it"), "{world}");
        // Who does not ask to be alone is not stopped.
        assert_eq!(world.db.warm_up().only(["publisher"]).await.skipped, None, "{world}");
    }
}

#[tokio::test]
async fn the_time_to_be_alone_ends_by_itself() {
    for world in World::on_each_store().await {
        let second = second(&world).await;
        let alone = |db: &CachedConnection, time| db.warm_up().only(["publisher"]).alone_for(time);
        assert_eq!(alone(&world.db, Duration::from_millis(100)).await.skipped, None, "{world}");
        let long = Duration::from_secs(60);
        eventually("another may", SOON, async || alone(&second, long).await.skipped.is_none()).await;
        assert!(alone(&world.db, long).await.skipped.is_some(), "{world}");
        assert!(alone(&second, long).await.skipped.is_some(), "{world}: nor may it again itself");
    }
}

#[tokio::test]
async fn a_periodic_warm_up_repeats_until_it_is_dropped() {
    for world in World::on_each_store().await {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        // Held by the warm-up for as long as it lives.
        let alive = Arc::new(());
        let held = alive.clone();
        world.db.register_warm_up("counted", async |_, progress| {
            progress.add(1, 1);
            Ok(())
        });
        let periodic = world
            .db
            .warm_up()
            .only(["counted", "publisher"])
            .on_progress(move |_| {
                let _ = &held;
                counted.fetch_add(1, Ordering::SeqCst);
            })
            .every(Duration::from_millis(5));
        eventually("it repeats", SOON, async || runs.load(Ordering::SeqCst) >= 10).await;
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(periodic);
        eventually("it is gone", SOON, async || Arc::strong_count(&alive) == 1).await;
        arrives(&world, "row:publisher:1").await;
    }
}

// case G1
#[tokio::test]
async fn a_cache_or_a_warm_up_that_is_switched_off_loads_nothing() {
    for kind in [StoreKind::Memory, StoreKind::Redis] {
        for (enabled, warm_up) in [(false, true), (true, false), (false, false)] {
            let Some(builder) = builder(kind, &unique_namespace()) else { continue };
            let cache = builder.enabled(enabled).warm_up(warm_up).build().await.unwrap();
            let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
            let db = world.plain().clone().cached_by(cache);
            let ran = Arc::new(AtomicUsize::new(0));
            let counted = ran.clone();
            db.register_warm_up("own", move |_, _| {
                counted.fetch_add(1, Ordering::SeqCst);
                async { Ok(()) }
            });
            let report = db.warm_up().alone_for(Duration::from_secs(60)).await;
            assert_eq!(report.skipped, Some("switched off"), "{kind:?}");
            assert!(report.loaders.is_empty(), "{kind:?}");
            assert_eq!((report.entries(), report.bytes()), (0, 0), "{kind:?}");
            assert_eq!(ran.load(Ordering::SeqCst), 0, "{kind:?}");
            assert_eq!(db.cache().keys(100).await.unwrap(), [""; 0], "{kind:?}: nor a lease");
        }
    }
}

// case B8, B28
#[tokio::test]
async fn rows_on_their_way_to_the_store_while_they_are_written_are_not_served() {
    for (gate, cache) in gated_caches().await {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let db = world.plain().clone().cached_by(cache);
        gate.close();
        let report = db.warm_up().only(["book"]).await;
        assert_eq!(report.entries(), 12, "{:?}", gate);
        gate.holds(1).await;
        // Read and not yet stored; now they change.
        retitled(3, "new").update(&db).await.unwrap();
        book::Entity::delete_by_id(4).exec(&db).await.unwrap();
        gate.open();
        gate.is_empty().await;
        assert_eq!(crate::world::title(&db, 3).await.as_deref(), Some("new"));
        assert_eq!(crate::world::title(&db, 4).await, None);
        let hits = db.cache().stats().total.hits;
        assert_eq!(crate::world::title(&db, 5).await.as_deref(), Some("Title 5"));
        assert_eq!(db.cache().stats().total.hits, hits + 1, "what was not written is served");
    }
}

// case B28
#[tokio::test]
async fn a_warm_up_that_races_writes_stores_nothing_old() {
    for world in World::all().await {
        let writer = {
            let db = world.db.clone();
            tokio::spawn(async move {
                for round in 0..60 {
                    for id in [1, 5, 9] {
                        retitled(id, &format!("round {round}")).update(&db).await.unwrap();
                    }
                    let tx = db.begin().await.unwrap();
                    retitled(7, &format!("round {round}")).update(&tx).await.unwrap();
                    book::Entity::delete_by_id(8).exec(&tx).await.unwrap();
                    new_book(8).insert(&tx).await.unwrap();
                    tx.commit().await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        };
        let mut warm_ups = 0;
        let agree = async || {
            for id in 1..=12 {
                let cached = world.title(id).await;
                let truth = book::Entity::find_by_id(id).one(world.plain()).await.unwrap();
                assert_eq!(cached, truth.map(|book| book.title), "{world}, book {id}");
            }
        };
        while !writer.is_finished() {
            world.db.warm_up().only(["book"]).await;
            warm_ups += 1;
            tokio::task::yield_now().await;
        }
        writer.await.unwrap();
        agree().await;
        world.db.warm_up().only(["book"]).await;
        agree().await;
        println!("{world}: {warm_ups} warm-ups beside the writes");
    }
}

#[tokio::test]
async fn a_table_without_a_policy_is_not_loaded_and_can_be_by_hand() {
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    assert!(world.db.warm_up().only(["author"]).await.loaders.is_empty());
    world.db.register_warm_up("author", async |db: CachedConnection, progress| {
        let authors = author::Entity::find().cached().all(&db).await?;
        progress.add(authors.len() as u64, 0);
        Ok(())
    });
    let report = world.db.warm_up().only(["author"]).await;
    assert_eq!(entries(&report), [("author", 1)].into());
    assert!(world.is_hit(author::Entity::find().cached().all(&world.db)).await.1);
}
