//! What a caller says of one read, and over what it reads.

use std::time::Duration;

use sea_orm::{ActiveValue::Set, QueryOrder, QuerySelect, TransactionTrait, entity::prelude::*};
use sea_orm_cache::prelude::*;

use crate::{
    entity::{book, review, shelf},
    support::{Backend, eventually},
    world::{World, new_book, retitled},
};

use super::{SOON, books, new_review};

#[tokio::test]
async fn a_time_to_live_of_a_read_is_its_own() {
    for world in World::on_each_store().await {
        let read =
            |ttl: Duration| books().filter(book::Column::ShelfId.eq(1)).cached().ttl(ttl).all(&world.db);
        read(Duration::from_millis(300)).await.unwrap();
        eventually("the entry has expired", SOON, async || {
            // Written behind the cache's back: only expiry can show it.
            retitled(3, "later").update(world.plain()).await.unwrap();
            read(Duration::from_millis(300)).await.unwrap()[0].title == "later"
        })
        .await;
        // Zero: nothing is stored, and nothing is looked for.
        let before = world.cache().stats().total;
        for _ in 0..2 {
            shelf::Entity::find().cached().ttl(Duration::ZERO).all(&world.db).await.unwrap();
        }
        let after = world.cache().stats().total;
        assert_eq!((after.bypasses - before.bypasses, after.hits - before.hits), (2, 0), "{world}");
        // A class, as the cache is configured.
        let class = || shelf::Entity::find().cached().ttl(TtlClass::Static).all(&world.db);
        class().await.unwrap();
        eventually("stored", SOON, async || world.is_hit(class()).await.1).await;
    }
}

#[tokio::test]
async fn a_tag_of_a_read_purges_it_and_no_other() {
    for world in World::on_each_store().await {
        let tagged = |tag: &str| books().filter(book::Column::Stock.eq(tag.len() as i32)).cached().tag(tag);
        let hit = async |tag: &str| world.is_hit(tagged(tag).all(&world.db)).await.1;
        for tag in ["front", "window"] {
            hit(tag).await;
            eventually("stored", SOON, async || hit(tag).await).await;
        }
        world.cache().invalidate_tag("front").await;
        assert!(!hit("front").await, "{world}");
        assert!(hit("window").await, "{world}");
        // The same read with a tag that its entry does not have: not what was asked for.
        let untagged = || shelf::Entity::find().cached();
        untagged().all(&world.db).await.unwrap();
        eventually("stored", SOON, async || world.is_hit(untagged().all(&world.db)).await.1).await;
        let (_, hit) = world.is_hit(untagged().tag("late").all(&world.db)).await;
        assert!(!hit, "{world}: an invalidation of the tag would not have reached the entry");
        let tagged = async || world.is_hit(untagged().tag("late").all(&world.db)).await.1;
        eventually("stored with its tag", SOON, tagged).await;
        world.cache().invalidate_tag("late").await;
        assert!(!world.is_hit(untagged().all(&world.db)).await.1, "{world}");
    }
}

#[tokio::test]
async fn a_fresh_read_looks_at_the_database_and_stores_what_it_says() {
    for world in World::on_each_store().await {
        world.title(1).await;
        // Behind the cache's back, so that only a fresh read can see it.
        retitled(1, "other").update(world.plain()).await.unwrap();
        assert_eq!(world.title(1).await.as_deref(), Some("Title 1"), "{world}");
        let fresh = || book::Entity::find_by_id(1).cached().fresh().one(&world.db);
        let (book, hit) = world.is_hit(fresh()).await;
        assert_eq!((book.unwrap().unwrap().title.as_str(), hit), ("other", false), "{world}");
        eventually("the new value is served", SOON, async || {
            world.title(1).await.as_deref() == Some("other")
        })
        .await;
    }
}

/// The bookshop's code that reads through whatever it is given.
async fn shelf_of<C: ReadThrough>(db: &C, id: i64) -> Result<Vec<book::Model>, DbErr> {
    let Some(shelf) = shelf::Entity::find_by_id(id).cached().one(db).await? else { return Ok(Vec::new()) };
    book::Entity::find().filter(book::Column::ShelfId.eq(shelf.id)).cached().all(db).await
}

// case A11, G12
#[tokio::test]
async fn code_over_any_connection_reads_through_and_bypasses_in_a_transaction() {
    for world in World::all().await {
        assert_eq!(shelf_of(&world.db, 1).await.unwrap().len(), 4, "{world}");
        let clone = world.db.clone();
        let before = world.cache().stats().total.hits;
        eventually("served from the cache", SOON, async || {
            shelf_of(&clone, 1).await.unwrap();
            world.cache().stats().total.hits >= before + 2
        })
        .await;
        let tx = world.db.begin().await.unwrap();
        let bypasses = world.cache().stats().total.bypasses;
        new_book(60).insert(&tx).await.unwrap();
        book::ActiveModel { shelf_id: Set(1), ..retitled(60, "in a transaction") }.update(&tx).await.unwrap();
        assert_eq!(shelf_of(&tx, 1).await.unwrap().len(), 5, "{world}");
        assert_eq!(world.cache().stats().total.bypasses, bypasses + 2, "{world}");
        assert_eq!(shelf_of(&world.db, 1).await.unwrap().len(), 4, "{world}");
        tx.commit().await.unwrap();
        assert_eq!(shelf_of(&world.db, 1).await.unwrap().len(), 5, "{world}");
    }
}

// case E8, E9
#[tokio::test]
async fn reads_that_lock_or_answer_differently_each_time_go_to_the_database() {
    for world in World::all().await {
        let random = match world.database.backend() {
            Backend::MariaDb => "RAND() < 2",
            _ => "RANDOM() IS NOT NULL",
        };
        let mut selects = vec![
            ("random", books().filter(Expr::cust(random))),
            ("now", books().filter(Expr::cust("CURRENT_TIMESTAMP IS NOT NULL"))),
        ];
        // SQLite has no row locks, and SeaORM leaves them out there.
        match world.database.backend() {
            Backend::Sqlite => selects.push(("date", books().filter(Expr::cust("date('now') IS NOT NULL")))),
            Backend::Postgres => {
                selects.push(("for update", books().lock_exclusive()));
                selects.push(("for share", books().lock_shared()));
                selects.push(("user", books().filter(Expr::cust("current_user IS NOT NULL"))));
                selects.push(("setting", books().filter(Expr::cust("current_setting('timezone') <> ''"))));
            }
            Backend::MariaDb => {
                selects.push(("for update", books().lock_exclusive()));
                selects.push(("user", books().filter(Expr::cust("CURRENT_USER() IS NOT NULL"))));
                selects.push(("variable", books().filter(Expr::cust("COALESCE(@page, 1) = 1"))));
            }
        }
        for (name, select) in selects {
            let before = world.cache().stats().total;
            for _ in 0..2 {
                assert_eq!(
                    select.clone().cached().all(&world.db).await.unwrap().len(),
                    12,
                    "{world}, {name}"
                );
            }
            let after = world.cache().stats().total;
            assert_eq!(after.bypasses - before.bypasses, 2, "{world}, {name}");
        }
        let entries = world.cache().keys(1000).await.unwrap().into_iter().filter(|key| key.contains(":q:"));
        assert_eq!(entries.count(), 0, "{world}: nothing was stored");
    }
}

// case E24
#[tokio::test]
async fn an_error_is_not_cached() {
    for world in World::all().await {
        let read = || review::Entity::find().order_by_asc(review::Column::Id).cached();
        world.database.execute("ALTER TABLE review RENAME TO hidden").await;
        let before = world.cache().stats().total;
        for _ in 0..2 {
            assert!(read().all(&world.db).await.is_err(), "{world}");
            assert!(read().count(&world.db).await.is_err(), "{world}");
            assert!(review::Entity::find_by_id(1).cached().one(&world.db).await.is_err(), "{world}");
            assert!(review::Entity::cached_by_ids([1_i64], &world.db).await.is_err(), "{world}");
        }
        let after = world.cache().stats().total;
        assert_eq!(after.hits, before.hits, "{world}");
        assert_eq!(after.reads, after.hits + after.misses + after.bypasses, "{world}");
        world.database.execute("ALTER TABLE hidden RENAME TO review").await;
        // Written behind the cache's back: had anything been stored, it would be seen.
        new_review(1, 7, None).insert(world.plain()).await.unwrap();
        assert_eq!(read().all(&world.db).await.unwrap().len(), 1, "{world}");
        assert_eq!(read().count(&world.db).await.unwrap(), 1, "{world}");
        assert!(review::Entity::find_by_id(1).cached().one(&world.db).await.unwrap().is_some(), "{world}");
    }
}

// case E10
// feature B10
#[tokio::test]
async fn a_row_that_is_required_and_not_there_is_found_once_it_is() {
    for world in World::all().await {
        let required = || book::Entity::find_by_id(80).cached().require_one(&world.db);
        for _ in 0..2 {
            assert!(matches!(required().await, Err(DbErr::RecordNotFound(_))), "{world}");
        }
        let missing = async || world.is_hit(world.title(80)).await == (None, true);
        eventually("\"no such row\" is cached", SOON, missing).await;
        new_book(80).insert(&world.db).await.unwrap();
        assert_eq!(required().await.unwrap().id, 80, "{world}");
    }
}
