//! While a COMMIT is in flight nobody serves or stores what it may make wrong.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait, entity::prelude::*};
use sea_orm_cache::{Cache, CacheBuilder, Consistency, OnOutage, prelude::*, stores::TagState};

use crate::{
    entity::book,
    gate::{Gate, gated_caches_with},
    support::{Backend, PrivateRedis, Proxy, eventually},
    world::{StoreKind, World, builder, new_book, patient, retitled, title},
};

const SOON: Duration = Duration::from_secs(20);

/// A connection with a gate in front of its store, on every database and store that is there.
async fn gated(set: impl Fn(CacheBuilder) -> CacheBuilder) -> Vec<(Arc<Gate>, CachedConnection, World)> {
    let mut all = Vec::new();
    for backend in Backend::all() {
        for (gate, cache) in gated_caches_with(&set).await {
            let Some(world) = World::new(backend, StoreKind::Memory).await else { continue };
            all.push((gate, world.plain().clone().cached_by(cache), world));
        }
    }
    all
}

async fn rename(db: &CachedConnection, title: &str, in_transaction: bool) -> Result<(), DbErr> {
    if !in_transaction {
        return retitled(1, title).update(db).await.map(drop);
    }
    let tx = db.begin().await?;
    retitled(1, title).update(&tx).await?;
    tx.commit().await
}

/// What the database says, asked past the cache.
async fn truth(db: &DatabaseConnection, id: i64) -> Option<String> {
    book::Entity::find_by_id(id).one(db).await.unwrap().map(|book| book.title)
}

async fn until_cached(db: &CachedConnection) {
    eventually("book 1 is cached", SOON, async || {
        let before = db.cache().stats().total.hits;
        title(db, 1).await;
        db.cache().stats().total.hits > before
    })
    .await;
}

#[tokio::test]
async fn between_commit_and_purge_no_cached_read_says_what_was_there_before() {
    for in_transaction in [false, true] {
        for (gate, db, world) in gated(|builder| builder).await {
            until_cached(&db).await;
            gate.hold_purges();
            let writer = tokio::spawn({
                let db = db.clone();
                async move { rename(&db, "new", in_transaction).await }
            });
            gate.holds_purges(1).await;
            assert_eq!(truth(world.plain(), 1).await.as_deref(), Some("new"), "{world}: it is committed");
            let before = db.cache().stats().total;
            for _ in 0..3 {
                assert_eq!(title(&db, 1).await.as_deref(), Some("new"), "{world}");
            }
            let after = db.cache().stats().total;
            assert_eq!(after.bypasses - before.bypasses, 3, "{world}: read past the cache, and not stored");
            gate.let_purges_through();
            writer.await.unwrap().unwrap();
            until_cached(&db).await;
            assert_eq!(title(&db, 1).await.as_deref(), Some("new"), "{world}");
        }
    }
}

// What `AfterCommit` gives up, and what it keeps.
#[tokio::test]
async fn without_barriers_the_old_row_is_served_until_the_purge_and_no_longer() {
    for (gate, db, world) in gated(|builder| builder.consistency(Consistency::AfterCommit)).await {
        until_cached(&db).await;
        gate.hold_purges();
        let writer = tokio::spawn({
            let db = db.clone();
            async move { rename(&db, "new", true).await }
        });
        gate.holds_purges(1).await;
        assert_eq!(truth(world.plain(), 1).await.as_deref(), Some("new"), "{world}");
        assert_eq!(title(&db, 1).await.as_deref(), Some("Title 1"), "{world}: still the old one");
        gate.let_purges_through();
        writer.await.unwrap().unwrap();
        assert_eq!(title(&db, 1).await.as_deref(), Some("new"), "{world}");
        assert_eq!(gate.arms.load(Ordering::SeqCst), 0);
    }
}

// case A16
#[tokio::test]
async fn a_long_transaction_holds_no_barrier_before_its_commit() {
    let life = Duration::from_millis(200);
    for (gate, db, world) in gated(|builder| builder.barrier_life(life)).await {
        if world.database.backend() == Backend::Sqlite {
            // An open write keeps others from nothing but writing, and the pool has one connection for it.
            continue;
        }
        let tx = db.begin().await.unwrap();
        retitled(1, "new").update(&tx).await.unwrap();
        until_cached(&db).await;
        // Longer than any barrier would live.
        tokio::time::sleep(life * 2).await;
        assert_eq!(gate.arms.load(Ordering::SeqCst), 0);
        assert_eq!(title(&db, 1).await.as_deref(), Some("Title 1"), "{world}");
        tx.commit().await.unwrap();
        assert_eq!(title(&db, 1).await.as_deref(), Some("new"), "{world}");
    }
}

// A statement on its own that has to wait for a lock.
#[tokio::test]
async fn a_barrier_is_renewed_as_long_as_its_write_is_under_way() {
    let life = Duration::from_millis(300);
    for (gate, cache) in gated_caches_with(|builder| builder.barrier_life(life)).await {
        let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
        let db = world.plain().clone().cached_by(cache);
        until_cached(&db).await;
        let other = world.database.another_connection().await;
        let lock = other.begin().await.unwrap();
        lock.execute_unprepared("UPDATE shelf SET label = label").await.unwrap();
        let writer = tokio::spawn({
            let db = db.clone();
            async move { rename(&db, "new", false).await }
        });
        eventually("the barrier has been renewed beyond its first life", SOON, async || {
            gate.arms.load(Ordering::SeqCst) >= 5
        })
        .await;
        let before = db.cache().stats().total.bypasses;
        assert_eq!(title(&db, 1).await.as_deref(), Some("Title 1"));
        assert_eq!(db.cache().stats().total.bypasses, before + 1, "the barrier stands");
        lock.rollback().await.unwrap();
        writer.await.unwrap().unwrap();
        assert_eq!(title(&db, 1).await.as_deref(), Some("new"));
        assert_eq!(db.cache().stats().lapsed_barriers, 0);
    }
}

// A statement that waits for a lock may be executed when its process is long gone: where the store and
// the database outlive the process, the barrier stands around a COMMIT of its own.
#[tokio::test]
async fn a_statement_that_waits_for_a_lock_holds_no_barrier_where_it_could_outlive_it() {
    for backend in [Backend::Postgres, Backend::MariaDb] {
        let Some(world) = World::new(backend, StoreKind::Redis).await else { continue };
        until_cached(&world.db).await;
        let other = world.database.another_connection().await;
        let lock = other.begin().await.unwrap();
        lock.execute_unprepared("UPDATE book SET stock = 1 WHERE id = 1").await.unwrap();
        let writer = tokio::spawn({
            let db = world.db.clone();
            async move { rename(&db, "new", false).await }
        });
        for _ in 0..20 {
            assert!(world.book_is_cached(1).await, "{world}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        lock.rollback().await.unwrap();
        writer.await.unwrap().unwrap();
        assert_eq!(world.title(1).await.as_deref(), Some("new"), "{world}");
    }
}

#[tokio::test]
async fn a_statement_that_the_database_refuses_purges_nothing_where_it_ran_in_a_transaction() {
    let Some(world) = World::new(Backend::Postgres, StoreKind::Redis).await else { return };
    until_cached(&world.db).await;
    book::Entity::insert(new_book(1)).exec(&world.db).await.unwrap_err();
    assert!(world.book_is_cached(1).await);
}

#[tokio::test]
async fn while_the_store_is_away_writes_are_refused_if_that_was_chosen_and_nothing_is_written() {
    for consistency in [Consistency::Strict, Consistency::AfterCommit] {
        let set = |builder: CacheBuilder| builder.consistency(consistency).on_outage(OnOutage::RefuseWrites);
        for (gate, db, world) in gated(set).await {
            until_cached(&db).await;
            gate.refuse_barriers(true);
            for in_transaction in [false, true] {
                let error = rename(&db, "new", in_transaction).await.unwrap_err().to_string();
                assert!(error.contains("refused this write") && error.contains("AllowWrites"), "{error}");
                assert_eq!(truth(world.plain(), 1).await.as_deref(), Some("Title 1"), "{world}");
            }
            assert_eq!(db.cache().stats().undelivered_tags, 0, "{world}: nothing was written");
            gate.refuse_barriers(false);
            rename(&db, "new", true).await.unwrap();
            rename(&db, "newer", false).await.unwrap();
            assert_eq!(title(&db, 1).await.as_deref(), Some("newer"), "{world}");
        }
    }
}

#[tokio::test]
async fn a_write_that_goes_on_without_a_barrier_is_counted_and_purges() {
    for (gate, db, world) in gated(|builder| builder).await {
        until_cached(&db).await;
        gate.refuse_barriers(true);
        for (title_now, in_transaction) in [("new", false), ("newer", true)] {
            rename(&db, title_now, in_transaction).await.unwrap();
            assert_eq!(title(&db, 1).await.as_deref(), Some(title_now), "{world}");
        }
        assert_eq!(db.cache().stats().unguarded_writes, 2, "{world}");
    }
}

// case A7
#[tokio::test]
async fn a_commit_that_is_refused_purges_and_changes_nothing() {
    let Some(world) = World::new(Backend::Postgres, StoreKind::Redis).await else { return };
    world
        .database
        .execute("ALTER TABLE book ADD CONSTRAINT one_title UNIQUE (title) DEFERRABLE INITIALLY DEFERRED")
        .await;
    until_cached(&world.db).await;
    let tx = world.db.begin().await.unwrap();
    retitled(1, "Title 2").update(&tx).await.unwrap();
    tx.commit().await.unwrap_err();
    assert_eq!(world.title(1).await.as_deref(), Some("Title 1"));
    until_cached(&world.db).await;
    assert_eq!(world.cache().stats().undelivered_tags, 0);
}

// case A8
#[tokio::test]
async fn a_commit_whose_answer_is_lost_purges() {
    for backend in [Backend::Postgres, Backend::MariaDb] {
        let Some(world) = World::new(backend, StoreKind::Redis).await else { continue };
        let Some(address) = world.database.server_address() else { continue };
        let proxy = Proxy::start(address).await;
        let through = sea_orm::Database::connect(world.database.url_through(&proxy.address())).await.unwrap();
        let cache = builder(StoreKind::Redis, &world.namespace).unwrap().build().await.unwrap();
        let writer = through.cached_by(cache);
        until_cached(&world.db).await;
        let tx = writer.begin().await.unwrap();
        retitled(1, "new").update(&tx).await.unwrap();
        // From now on the database hears what it is told, and its answers do not arrive.
        let asks = if backend == Backend::Postgres { 1 } else { 0 };
        proxy.hold_replies(asks);
        let commit = tokio::spawn(tx.commit());
        eventually("the database has committed", SOON, async || {
            truth(world.plain(), 1).await.as_deref() == Some("new")
        })
        .await;
        assert_eq!(world.title(1).await.as_deref(), Some("new"), "{world}: the barrier stands");
        proxy.cut().await;
        commit.await.unwrap().unwrap_err();
        eventually("what is cached is what was committed", SOON, async || {
            let (title, hit) = world.is_hit(world.title(1)).await;
            assert_eq!(title.as_deref(), Some("new"), "{world}");
            hit
        })
        .await;
    }
}

// case C2
#[tokio::test]
async fn a_barrier_whose_writer_is_gone_ends_with_its_life_and_what_it_guarded_is_gone() {
    let life = Duration::from_millis(500);
    for (gate, db, world) in gated(|builder| builder.barrier_life(life)).await {
        until_cached(&db).await;
        gate.hold_purges();
        let writer = tokio::spawn({
            let db = db.clone();
            async move { rename(&db, "new", true).await }
        });
        gate.holds_purges(1).await;
        // The purge never comes. (That of a task that is dropped is queued, and held as well.)
        writer.abort();
        assert_eq!(title(&db, 1).await.as_deref(), Some("new"), "{world}");
        let another = Cache::builder().namespace(db.cache().config().namespace.clone());
        let Some(another) = (match db.cache().store_name() {
            "redis" => crate::support::shared_redis_url().map(|url| another.redis_with(patient(url))),
            _ => None,
        }) else {
            gate.let_purges_through();
            continue;
        };
        let another = world.plain().clone().cached_by(another.build().await.unwrap());
        until_cached(&another).await;
        assert_eq!(title(&another, 1).await.as_deref(), Some("new"), "{world}");
        gate.let_purges_through();
    }
}

// case C15
#[tokio::test]
async fn a_redis_that_forgot_its_scripts_is_sent_them_again() {
    let Some(server) = PrivateRedis::start().await else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let cache = Cache::builder().namespace("c15").redis_with(patient(server.url())).build().await.unwrap();
    let db = world.plain().clone().cached_by(cache);
    for new in ["one", "two", "three"] {
        title(&db, 1).await;
        rename(&db, new, false).await.unwrap();
        assert_eq!(title(&db, 1).await.as_deref(), Some(new));
        server.command(&["SCRIPT", "FLUSH"]).await;
    }
    let stats = db.cache().stats();
    assert_eq!((stats.delayed_purges, stats.unguarded_writes), (0, 0), "{stats:?}");
}

#[tokio::test]
async fn what_was_purged_settles_if_loads_come_from_replicas() {
    let settle = Duration::from_millis(700);
    for (_, db, world) in gated(|builder| builder.settle(settle)).await {
        until_cached(&db).await;
        rename(&db, "new", true).await.unwrap();
        let since = std::time::Instant::now();
        let before = db.cache().stats().total;
        title(&db, 1).await;
        title(&db, 1).await;
        let after = db.cache().stats().total;
        if since.elapsed() < settle {
            assert_eq!(after.bypasses - before.bypasses, 2, "{world}");
        }
        until_cached(&db).await;
        assert!(since.elapsed() >= settle, "{world}");
        assert_eq!(title(&db, 1).await.as_deref(), Some("new"), "{world}");
    }
}

#[tokio::test]
async fn the_barrier_that_stands_can_be_seen_in_redis() {
    let Some(server) = PrivateRedis::start().await else { return };
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let store = sea_orm_cache::stores::RedisStore::connect(patient(server.url())).await.unwrap();
    let gate = Gate::before(Arc::new(store));
    let cache = Cache::builder().namespace("seen").store(gate.clone()).build().await.unwrap();
    let db = world.plain().clone().cached_by(cache);
    gate.hold_purges();
    let writer = tokio::spawn({
        let db = db.clone();
        async move { rename(&db, "new", true).await }
    });
    gate.holds_purges(1).await;
    let redis::Value::BulkString(raw) = server.command(&["GET", "seen:t:book"]).await else {
        panic!("nothing stands there")
    };
    let text = String::from_utf8(raw.clone()).unwrap();
    assert!(text.starts_with("b w") && text.contains('@'), "{text}");
    assert_eq!(TagState::parse(Some(&raw)), TagState::Barrier);
    let redis::Value::Int(left) = server.command(&["PTTL", "seen:t:book"]).await else { panic!() };
    assert!((1..=10_000).contains(&left), "{left} ms");
    gate.let_purges_through();
    writer.await.unwrap().unwrap();
    assert_eq!(server.command(&["EXISTS", "seen:t:book"]).await, redis::Value::Int(0));
}

// case E18
#[tokio::test]
async fn cached_reads_of_a_replica_load_from_the_primary_that_was_named() {
    let (primary, replica) = (
        World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap(),
        World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap(),
    );
    let db = replica.plain().clone().cached_by(primary.cache().clone()).loading_from(primary.plain().clone());
    retitled(1, "new").update(&primary.db).await.unwrap();
    let uncached = book::Entity::find_by_id(1).one(&db).await.unwrap().unwrap();
    assert_eq!(uncached.title, "Title 1", "the replica lags");
    for _ in 0..2 {
        assert_eq!(title(&db, 1).await.as_deref(), Some("new"));
        let rows = book::Entity::cached_by_ids([1, 2], &db).await.unwrap();
        assert_eq!(rows[0].as_ref().map(|book| &*book.title), Some("new"));
        let all = book::Entity::find().cached().all(&db).await.unwrap();
        assert!(all.iter().any(|book| book.title == "new"));
        assert_eq!(book::Entity::find().cached().count(&db).await.unwrap(), 12);
    }
}

// case C4
#[tokio::test]
async fn a_store_that_is_too_slow_for_a_barrier_holds_no_write_up_for_ever() {
    let Some(server) = PrivateRedis::start().await else { return };
    let proxy = Proxy::for_redis(&server.url()).await;
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let builder = Cache::builder().namespace("slow").barrier_life(Duration::from_millis(200));
    let cache = builder.redis_with(patient(proxy.redis_url())).build().await.unwrap();
    let db = world.plain().clone().cached_by(cache);
    until_cached(&db).await;
    // Longer than half of a barrier's life: none would be of use when the answer is here.
    proxy.delay(Duration::from_millis(150));
    for (new, in_transaction) in [("one", false), ("two", true)] {
        tokio::time::timeout(SOON, rename(&db, new, in_transaction)).await.expect("it ends").unwrap();
        assert_eq!(title(&db, 1).await.as_deref(), Some(new));
    }
    assert_eq!(db.cache().stats().unguarded_writes, 2);
}
