//! Purges follow the database's transactions: after COMMIT, once, and never after ROLLBACK.

use std::time::Duration;

use sea_orm::{
    AccessMode, ActiveValue::Set, IsolationLevel, QueryOrder, SqliteTransactionMode, TransactionError,
    TransactionOptions, TransactionTrait, entity::prelude::*,
};
use sea_orm_cache::prelude::*;

use crate::{
    entity::{book, publisher},
    support::{Backend, eventually},
    world::{World, new_book, retitled, title},
};

const SOON: Duration = Duration::from_secs(10);

// case A1
#[tokio::test]
async fn a_rolled_back_transaction_purges_nothing_and_fills_nothing() {
    for world in World::all().await {
        assert_eq!(world.title(1).await.as_deref(), Some("Title 1"));
        let tx = world.db.begin().await.unwrap();
        retitled(1, "dirty").update(&tx).await.unwrap();
        // case A11, A13: a read inside sees the write, and stores nothing.
        let inside = book::Entity::find_by_id(1).cached().one(&tx).await.unwrap().unwrap();
        assert_eq!(inside.title, "dirty", "{world}");
        tx.rollback().await.unwrap();
        let (read, hit) = world.is_hit(world.title(1)).await;
        assert_eq!((read.as_deref(), hit), (Some("Title 1"), true), "{world}");
    }
}

// case A1, A19
#[tokio::test]
async fn a_commit_has_purged_before_it_returns() {
    for world in World::all().await {
        for round in 0..20 {
            world.title(1).await;
            let tx = world.db.begin().await.unwrap();
            let expected = format!("round {round}");
            retitled(1, &expected).update(&tx).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(world.title(1).await, Some(expected), "{world}");
        }
    }
}

// case A2
#[tokio::test]
async fn a_read_between_the_write_and_its_commit_does_not_outlive_the_commit() {
    // SQLite in WAL mode and the others let readers read while a writer has not committed.
    for world in World::all().await {
        let tx = world.db.begin().await.unwrap();
        retitled(2, "new").update(&tx).await.unwrap();
        assert_eq!(world.title(2).await.as_deref(), Some("Title 2"), "{world}: not committed yet");
        tx.commit().await.unwrap();
        assert_eq!(world.title(2).await.as_deref(), Some("new"), "{world}");
    }
}

// case A3
#[tokio::test]
async fn a_released_savepoint_inside_a_rolled_back_transaction_purges_nothing() {
    for world in World::all().await {
        world.title(3).await;
        let outer = world.db.begin().await.unwrap();
        let inner = outer.begin().await.unwrap();
        retitled(3, "dirty").update(&inner).await.unwrap();
        inner.commit().await.unwrap();
        outer.rollback().await.unwrap();
        let (read, hit) = world.is_hit(world.title(3)).await;
        assert_eq!((read.as_deref(), hit), (Some("Title 3"), true), "{world}");
    }
}

// case A4
#[tokio::test]
async fn a_rolled_back_savepoint_inside_a_committed_transaction_purges_only_what_was_written() {
    for world in World::all().await {
        for id in [4, 5] {
            world.title(id).await;
        }
        let outer = world.db.begin().await.unwrap();
        retitled(4, "outer").update(&outer).await.unwrap();
        let inner = outer.begin().await.unwrap();
        retitled(5, "dirty").update(&inner).await.unwrap();
        inner.rollback().await.unwrap();
        outer.commit().await.unwrap();
        let (read, hit) = world.is_hit(world.title(4)).await;
        assert_eq!((read.as_deref(), hit), (Some("outer"), false), "{world}");
        let (read, hit) = world.is_hit(world.title(5)).await;
        assert_eq!((read.as_deref(), hit), (Some("Title 5"), true), "{world}");
    }
}

// case A5, A6
#[tokio::test]
async fn nesting_of_any_depth_purges_what_survived() {
    for world in World::all().await {
        for id in 1..=6 {
            world.title(id).await;
        }
        let one = world.db.begin().await.unwrap();
        retitled(1, "one").update(&one).await.unwrap();
        let two = one.begin().await.unwrap();
        retitled(2, "two").update(&two).await.unwrap();
        let three = two.begin().await.unwrap();
        retitled(3, "three").update(&three).await.unwrap();
        // The same row in the outermost level and in one that is rolled back.
        retitled(1, "three").update(&three).await.unwrap();
        three.rollback().await.unwrap();
        let three = two.begin().await.unwrap();
        retitled(4, "three again").update(&three).await.unwrap();
        three.commit().await.unwrap();
        two.commit().await.unwrap();
        let dropped = one.begin().await.unwrap();
        retitled(5, "dropped").update(&dropped).await.unwrap();
        drop(dropped);
        one.commit().await.unwrap();
        let expected = ["one", "two", "Title 3", "three again", "Title 5", "Title 6"];
        for (id, expected) in (1..).zip(expected) {
            let (read, hit) = world.is_hit(world.title(id)).await;
            assert_eq!(read.as_deref(), Some(expected), "{world}, book {id}");
            assert_eq!(hit, [3, 5, 6].contains(&id), "{world}, book {id}: hit or not");
        }
    }
}

// case A9
#[tokio::test]
async fn a_dropped_transaction_purges_nothing() {
    for world in World::all().await {
        world.title(1).await;
        {
            let tx = world.db.begin().await.unwrap();
            retitled(1, "dropped").update(&tx).await.unwrap();
        }
        let (read, hit) = world.is_hit(world.title(1)).await;
        assert_eq!((read.as_deref(), hit), (Some("Title 1"), true), "{world}");
        let failed: Result<(), TransactionError<DbErr>> = world
            .db
            .transaction(|tx| {
                Box::pin(async move {
                    retitled(1, "failed").update(tx).await?;
                    Err(DbErr::Custom("no".into()))
                })
            })
            .await;
        assert!(failed.is_err());
        let (read, hit) = world.is_hit(world.title(1)).await;
        assert_eq!((read.as_deref(), hit), (Some("Title 1"), true), "{world}");
    }
}

// case A10
#[tokio::test]
async fn a_write_whose_caller_goes_away_at_any_point_still_purges() {
    for world in World::all().await {
        // A row for each attempt, since a write that was left to the background may come late.
        let rows = 1000..1060;
        book::Entity::insert_many(rows.clone().map(new_book))
            .exec_without_returning(world.plain())
            .await
            .unwrap();
        let mut finished = Vec::new();
        for id in rows.clone() {
            world.title(id).await;
            let mut write = Box::pin(retitled(id, "new").update(&world.db));
            for _ in 1000..id {
                if futures_util::poll!(&mut write).is_ready() {
                    finished.push(id);
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        for id in rows.clone() {
            // Whether or not the write was sent, the cache and the database come to agree.
            eventually("the cache says what the database says", SOON, async || {
                let truth = book::Entity::find_by_id(id).one(world.plain()).await.unwrap().map(|b| b.title);
                truth == world.title(id).await && (!finished.contains(&id) || truth.as_deref() == Some("new"))
            })
            .await;
        }
        println!("{world}: {} of 60 writes had finished before they were dropped", finished.len());
    }
}

// case A10
#[tokio::test]
async fn a_commit_whose_caller_goes_away_at_any_point_still_purges() {
    for world in World::all().await {
        for polls in 1..30 {
            let expected = format!("after {polls} polls");
            world.title(8).await;
            let tx = world.db.begin().await.unwrap();
            retitled(8, &expected).update(&tx).await.unwrap();
            let mut commit = Box::pin(tx.commit());
            for _ in 0..polls {
                if futures_util::poll!(&mut commit).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(commit);
            eventually("the commit is finished and purged", SOON, async || {
                world.title(8).await.as_deref() == Some(&expected)
            })
            .await;
        }
    }
}

// case A11, A12, A13
#[tokio::test]
async fn reads_inside_a_transaction_see_it_and_store_nothing() {
    for world in World::all().await {
        let count = || book::Entity::find().cached();
        assert_eq!(count().count(&world.db).await.unwrap(), 12);
        let tx = world.db.begin().await.unwrap();
        new_book(50).insert(&tx).await.unwrap();
        retitled(1, "dirty").update(&tx).await.unwrap();
        assert_eq!(count().count(&tx).await.unwrap(), 13, "{world}");
        let many = book::Entity::cached_by_ids([1, 50], &tx).await.unwrap();
        let titles: Vec<_> = many.into_iter().flatten().map(|b| b.title).collect();
        assert_eq!(titles, ["dirty", "Title 50"], "{world}");
        let list = book::Entity::find().order_by_asc(book::Column::Id).cached().all(&tx).await.unwrap();
        assert_eq!(list.len(), 13, "{world}");
        let stats = world.cache().stats().total;
        tx.rollback().await.unwrap();
        assert_eq!(stats.bypasses, 4, "{world}: one for each read (two keys) inside");
        assert_eq!(count().count(&world.db).await.unwrap(), 12, "{world}");
        assert_eq!(world.title(50).await, None, "{world}");
    }
}

// case A20, A21
#[tokio::test]
async fn a_write_that_changes_nothing_does_no_harm() {
    for world in World::all().await {
        world.title(1).await;
        let tx = world.db.begin().await.unwrap();
        retitled(1, "Title 1").update(&tx).await.unwrap();
        retitled(1, "real").update(&tx).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(world.title(1).await.as_deref(), Some("real"), "{world}");

        let none = book::Entity::update_many()
            .col_expr(book::Column::Stock, Expr::value(0))
            .filter(book::Column::Id.eq(4711))
            .exec(&world.db)
            .await
            .unwrap();
        assert_eq!(none.rows_affected, 0);
        let none = book::Entity::delete_by_id(4711).exec(&world.db).await.unwrap();
        assert_eq!(none.rows_affected, 0);
        assert_eq!(world.title(1).await.as_deref(), Some("real"), "{world}");
    }
}

// case A23
#[tokio::test]
async fn an_autocommit_write_purges_after_it_is_visible() {
    // Readers hammer the row while it is written: whatever they store must not survive the write.
    for world in World::all().await {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let db = world.db.clone();
                tokio::spawn(async move {
                    loop {
                        title(&db, 1).await;
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for round in 0..100 {
            let expected = format!("round {round}");
            retitled(1, &expected).update(&world.db).await.unwrap();
            assert_eq!(world.title(1).await, Some(expected), "{world}");
        }
        readers.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

// case A24
#[tokio::test]
async fn a_later_commit_on_the_same_row_purges_again() {
    for world in World::all().await {
        // SQLite has one writer at a time; the others lock the row, so B writes after A commits.
        let tx = world.db.begin().await.unwrap();
        retitled(1, "A").update(&tx).await.unwrap();
        let db = world.db.clone();
        let second = tokio::spawn(async move {
            let tx = db.begin_with_options(immediate()).await.unwrap();
            retitled(1, "B").update(&tx).await.unwrap();
            tx.commit().await.unwrap();
        });
        tx.commit().await.unwrap();
        second.await.unwrap();
        assert_eq!(world.title(1).await.as_deref(), Some("B"), "{world}");
    }
}

/// On SQLite a transaction that reads first and writes later fails when another wrote meanwhile.
fn immediate() -> TransactionOptions {
    let mode = Some(SqliteTransactionMode::Immediate);
    TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() }
}

// case A25
#[tokio::test]
async fn a_test_that_runs_in_a_transaction_which_is_rolled_back_leaves_no_trace() {
    for world in World::all().await {
        world.title(1).await;
        let keys = world.cache().keys(1000).await.unwrap();
        let harness = world.db.begin().await.unwrap();
        harness
            .transaction::<_, (), DbErr>(|tx| {
                Box::pin(async move {
                    new_book(60).insert(tx).await?;
                    book::Entity::delete_by_id(2).exec(tx).await?;
                    assert_eq!(book::Entity::find_by_id(60).cached().one(tx).await?.map(|b| b.id), Some(60));
                    Ok(())
                })
            })
            .await
            .unwrap();
        harness.rollback().await.unwrap();
        assert_eq!(world.cache().keys(1000).await.unwrap(), keys, "{world}");
        assert!(world.book_is_cached(1).await, "{world}");
    }
}

// case A26
#[tokio::test]
async fn a_retried_transaction_purges_for_the_attempt_that_committed() {
    for world in World::all().await {
        for id in [1, 2] {
            world.title(id).await;
        }
        for attempt in 0..2i64 {
            let tx = world.db.begin().await.unwrap();
            retitled(1 + attempt, "attempt").update(&tx).await.unwrap();
            if attempt == 0 {
                tx.rollback().await.unwrap();
            } else {
                tx.commit().await.unwrap();
            }
        }
        assert!(world.book_is_cached(1).await, "{world}: the first attempt was rolled back");
        let (read, hit) = world.is_hit(world.title(2)).await;
        assert_eq!((read.as_deref(), hit), (Some("attempt"), false), "{world}");
    }
}

// case A27
#[tokio::test]
async fn a_transaction_written_by_several_tasks_purges_for_all_of_them() {
    for world in World::all().await {
        for id in 1..=8 {
            world.title(id).await;
        }
        let tx = world.db.begin().await.unwrap();
        let writes = (1..=8).map(|id| retitled(id, "together").update(&tx));
        futures_util::future::try_join_all(writes).await.unwrap();
        tx.commit().await.unwrap();
        for id in 1..=8 {
            assert_eq!(world.title(id).await.as_deref(), Some("together"), "{world}, book {id}");
        }
    }
}

// case A28
#[tokio::test]
async fn a_commit_written_as_text_purges_the_namespace() {
    for world in World::all().await {
        let one = publisher::Entity::cached_by_id(1, &world.db).await.unwrap();
        assert!(one.is_some());
        let before = world.cache().stats().namespace_purges;
        // On a pool nobody knows which connection this reaches, or what it commits.
        let _ = world.db.execute_unprepared("COMMIT").await;
        assert_eq!(world.cache().stats().namespace_purges, before + 1, "{world}");
        let (_, hit) = world.is_hit(publisher::Entity::cached_by_id(1, &world.db)).await;
        assert!(!hit, "{world}");
    }
}

// case A30
#[tokio::test]
async fn every_way_to_begin_is_wrapped() {
    for world in World::all().await {
        let db = &world.db;
        let serializable = Some(IsolationLevel::Serializable);
        let read_write = Some(AccessMode::ReadWrite);
        // SQLite has neither isolation levels nor access modes to choose.
        let (isolation, access) = match world.database.backend() {
            Backend::Sqlite => (None, None),
            _ => (serializable, read_write),
        };
        let begun = [db.begin().await.unwrap()];
        for tx in begun {
            write_and_commit(&world, tx).await;
        }
        write_and_commit(&world, db.begin_with_config(isolation, access).await.unwrap()).await;
        let options = TransactionOptions { isolation_level: isolation, access_mode: access, ..immediate() };
        write_and_commit(&world, db.begin_with_options(options).await.unwrap()).await;

        world.title(9).await;
        db.transaction::<_, (), DbErr>(|tx| {
            Box::pin(async move { retitled(9, "closure").update(tx).await.map(drop) })
        })
        .await
        .unwrap();
        assert_eq!(world.title(9).await.as_deref(), Some("closure"), "{world}");
        db.transaction_with_config::<_, (), DbErr>(
            |tx| Box::pin(async move { retitled(9, "config").update(tx).await.map(drop) }),
            isolation,
            access,
        )
        .await
        .unwrap();
        assert_eq!(world.title(9).await.as_deref(), Some("config"), "{world}");
        db.transaction_async(async |tx| retitled(9, "async").update(tx).await.map(drop)).await.unwrap();
        assert_eq!(world.title(9).await.as_deref(), Some("async"), "{world}");
    }
}

async fn write_and_commit(world: &World, tx: CachedTransaction) {
    world.title(9).await;
    let expected = format!("{:x}", std::ptr::from_ref(&tx).addr());
    let nested = tx.begin_with_config(None, None).await.unwrap();
    retitled(9, &expected).update(&nested).await.unwrap();
    nested.commit().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.title(9).await, Some(expected), "{world}");
}

// A hook-like case: two rows and two tables in one transaction are purged together.
#[tokio::test]
async fn all_tables_of_a_transaction_are_purged_together() {
    for world in World::all().await {
        let joined = || book::Entity::find_by_id(3).find_also_related(publisher::Entity).cached();
        joined().one(&world.db).await.unwrap();
        world
            .db
            .transaction::<_, (), DbErr>(|tx| {
                Box::pin(async move {
                    publisher::ActiveModel { id: Set(2), name: Set("Renamed".into()) }.update(tx).await?;
                    retitled(3, "Renamed too").update(tx).await?;
                    Ok(())
                })
            })
            .await
            .unwrap();
        let (book, publisher) = joined().one(&world.db).await.unwrap().unwrap();
        assert_eq!(book.title, "Renamed too", "{world}");
        assert_eq!(publisher.unwrap().name, "Renamed", "{world}");
    }
}

// MySQL commits by itself around DDL; what comes after it in the same "transaction" is on its own.
#[tokio::test]
async fn what_a_database_commits_by_itself_is_purged_whatever_becomes_of_the_transaction() {
    let Some(world) = World::new(Backend::MariaDb, crate::world::StoreKind::Redis).await else { return };
    for (id, rolled_back) in [(1, true), (2, false)] {
        for id in [id, id + 2] {
            world.title(id).await;
        }
        let tx = world.db.begin().await.unwrap();
        retitled(id, "before").update(&tx).await.unwrap();
        tx.execute_unprepared("CREATE TABLE IF NOT EXISTS by_itself (id INT)").await.unwrap();
        assert_eq!(world.title(id).await.as_deref(), Some("before"), "committed by the database");
        retitled(id + 2, "after").update(&tx).await.unwrap();
        assert_eq!(world.title(id + 2).await.as_deref(), Some("after"), "visible at once");
        if rolled_back {
            let _ = tx.rollback().await;
        } else {
            drop(tx);
        }
        for (id, expected) in [(id, "before"), (id + 2, "after")] {
            let truth = book::Entity::find_by_id(id).one(world.plain()).await.unwrap().unwrap();
            assert_eq!(truth.title, expected, "what the database says");
            assert_eq!(world.title(id).await.as_deref(), Some(expected));
        }
    }
}

// case A28, inside a transaction
#[tokio::test]
async fn a_transaction_ended_by_text_purges_what_is_written_after_it() {
    for world in World::all().await {
        for (id, text) in [(1, "COMMIT"), (2, "ROLLBACK")] {
            world.title(id).await;
            let tx = world.db.begin().await.unwrap();
            tx.execute_unprepared(text).await.unwrap();
            retitled(id, text).update(&tx).await.unwrap();
            assert_eq!(world.title(id).await.as_deref(), Some(text), "{world}: visible at once");
            let _ = tx.rollback().await;
            assert_eq!(world.title(id).await.as_deref(), Some(text), "{world}");
        }
    }
}

// A database that rolls back by itself leaves what comes after it on its own, whatever becomes of the
// "transaction": an insert with OR ROLLBACK that is refused.
#[tokio::test]
async fn a_transaction_that_sqlite_has_rolled_back_purges_what_is_written_after_it() {
    let Some(world) = World::new(Backend::Sqlite, crate::world::StoreKind::Memory).await else { return };
    for (id, rolled_back) in [(1, true), (2, false)] {
        let tx = world.db.begin().await.unwrap();
        retitled(id, "rolled back").update(&tx).await.unwrap();
        let refused =
            "INSERT OR ROLLBACK INTO book (id, title, publisher_id) SELECT id, title, publisher_id FROM book";
        tx.execute_unprepared(refused).await.unwrap_err();
        world.title(id).await;
        retitled(id, "on its own").update(&tx).await.unwrap();
        assert_eq!(world.title(id).await.as_deref(), Some("on its own"), "visible at once");
        if rolled_back {
            let _ = tx.rollback().await;
        } else {
            drop(tx);
        }
        let truth = book::Entity::find_by_id(id).one(world.plain()).await.unwrap().unwrap();
        assert_eq!(truth.title, "on its own", "what the database says");
        assert_eq!(world.title(id).await.as_deref(), Some("on its own"));
    }
}

// The same, after a deadlock.
#[tokio::test]
async fn a_transaction_that_mariadb_has_rolled_back_purges_what_is_written_after_it() {
    let Some(world) = World::new(Backend::MariaDb, crate::world::StoreKind::Memory).await else { return };
    let set = async |tx: &CachedTransaction, id: i64, title: &str| {
        let title = sea_orm::sea_query::Expr::value(title);
        let update = book::Entity::update_many().col_expr(book::Column::Title, title);
        update.filter(book::Column::Id.eq(id)).exec(tx).await
    };
    let (first, second) = (world.db.begin().await.unwrap(), world.db.begin().await.unwrap());
    set(&first, 1, "first").await.unwrap();
    set(&second, 2, "second").await.unwrap();
    let (of_first, of_second) = tokio::join!(set(&first, 2, "first"), set(&second, 1, "second"));
    assert_ne!(of_first.is_err(), of_second.is_err(), "one of them had to give way");
    let (victim, other) = if of_first.is_err() { (first, second) } else { (second, first) };
    other.rollback().await.unwrap();
    world.title(3).await;
    set(&victim, 3, "on its own").await.unwrap();
    assert_eq!(world.title(3).await.as_deref(), Some("on its own"), "visible at once");
    drop(victim);
    for (id, expected) in [(1, "Title 1"), (2, "Title 2"), (3, "on its own")] {
        let truth = book::Entity::find_by_id(id).one(world.plain()).await.unwrap().unwrap();
        assert_eq!(truth.title, expected, "what the database says");
        assert_eq!(world.title(id).await.as_deref(), Some(expected));
    }
}

// The wrapper's own question before a write must not take the error that is the statement's, and must not
// hide that the transaction is over.
#[tokio::test]
async fn the_question_before_a_write_does_not_hide_a_deadlock() {
    let Some(world) = World::new(Backend::MariaDb, crate::world::StoreKind::Memory).await else { return };
    let moved = async |tx: &CachedTransaction, id: i64, shelf: i64| {
        let shelf = sea_orm::sea_query::Expr::value(shelf);
        let update = book::Entity::update_many().col_expr(book::Column::ShelfId, shelf);
        update.filter(book::Column::Id.eq(id)).exec(tx).await
    };
    let (first, second) = (world.db.begin().await.unwrap(), world.db.begin().await.unwrap());
    moved(&first, 1, 2).await.unwrap();
    moved(&second, 2, 2).await.unwrap();
    let go_on = async |tx: CachedTransaction, id: i64| {
        let result = moved(&tx, id, 3).await;
        tx.commit().await.unwrap();
        result
    };
    let (of_first, of_second) = tokio::join!(go_on(first, 2), go_on(second, 1));
    assert_ne!(
        of_first.is_err(),
        of_second.is_err(),
        "one of them had to give way, and its caller to be told"
    );
}

#[tokio::test]
async fn a_nested_transaction_that_outlives_the_one_around_it_purges_when_it_commits() {
    for world in World::all().await {
        for id in [1, 2] {
            world.title(id).await;
        }
        let outer = world.db.begin().await.unwrap();
        let inner = outer.begin().await.unwrap();
        retitled(1, "inner").update(&inner).await.unwrap();
        // This releases the savepoint only; the database's transaction goes on.
        outer.commit().await.unwrap();
        world.title(1).await;
        retitled(2, "later").update(&inner).await.unwrap();
        world.title(2).await;
        inner.commit().await.unwrap();
        for (id, expected) in [(1, "inner"), (2, "later")] {
            let truth = book::Entity::find_by_id(id).one(world.plain()).await.unwrap().unwrap();
            assert_eq!(truth.title, expected, "{world}: what the database says");
            assert_eq!(world.title(id).await.as_deref(), Some(expected), "{world}");
        }
    }
}

/// SQLite may end a transaction together with a statement that fails, or may not: nobody says.
#[tokio::test]
async fn what_a_nested_transaction_wrote_before_a_failure_is_purged_after_the_outermost_commit() {
    for world in World::all().await {
        if world.database.backend() == Backend::Postgres {
            // There the failure is the end of everything.
            continue;
        }
        world.title(7).await;
        let outer = world.db.begin().await.unwrap();
        let nested = outer.begin().await.unwrap();
        retitled(7, "nested").update(&nested).await.unwrap();
        nested.execute_unprepared("UPDATE book SET no_such_column = 1").await.unwrap_err();
        nested.commit().await.unwrap();
        // Another reads what is committed so far, and it is stored.
        for _ in 0..2 {
            assert_eq!(world.title(7).await.as_deref(), Some("Title 7"), "{world}");
        }
        outer.commit().await.unwrap();
        assert_eq!(world.title(7).await.as_deref(), Some("nested"), "{world}");
    }
}
