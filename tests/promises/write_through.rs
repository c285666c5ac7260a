//! Rows that a write returns are stored with its purge: hits at once, and never old.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use sea_orm::{
    ConnectionTrait, FromQueryResult, IntoActiveModel, Statement, TransactionTrait, entity::prelude::*,
};
use sea_orm_cache::{CachedBy, CachedConnection, CachedEntity, Consistency, TableRule};
use tokio::task::JoinSet;

use crate::{
    entity::book,
    support::Backend,
    world::{StoreKind, World, builder, retitled},
};

/// The books as a release knows them that writes them through.
pub mod through {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::{CacheEntity, EntityPolicy};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "book")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub shelf_id: i64,
        pub publisher_id: i64,
        pub title: String,
        pub price_cents: i64,
        pub stock: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    // By hand, so that only the caches that are told of it know it.
    impl CacheEntity for Entity {
        fn cache_policy() -> EntityPolicy {
            EntityPolicy::new().write_through()
        }
    }
}

/// The same bookshop, by caches that write through; `None` if its servers are not there.
async fn shop(backend: Backend, store: StoreKind) -> Option<(World, CachedConnection)> {
    let world = World::new(backend, store).await?;
    let db = another(&world).await;
    Some((world, db))
}

/// Where writes return rows.
async fn shops() -> Vec<(World, CachedConnection)> {
    let mut shops = Vec::new();
    for backend in [Backend::Sqlite, Backend::Postgres] {
        for store in [StoreKind::Memory, StoreKind::Redis] {
            shops.extend(shop(backend, store).await);
        }
    }
    shops
}

async fn another(world: &World) -> CachedConnection {
    let cache = builder(world.store, &world.namespace).unwrap().entity::<through::Entity>();
    world.database.another_connection().await.cached_by(cache.build().await.unwrap())
}

async fn read(db: &CachedConnection, id: i64) -> Option<through::Model> {
    through::Entity::cached_by_id(id, db).await.unwrap()
}

/// Reads it until it is a hit, and says what it is.
async fn warm(db: &CachedConnection, id: i64) -> Option<through::Model> {
    crate::support::eventually("a row is cached", Duration::from_secs(10), async || is_hit(db, id).await.1)
        .await;
    read(db, id).await
}

async fn is_hit(db: &CachedConnection, id: i64) -> (Option<through::Model>, bool) {
    let before = db.cache().stats().total.hits;
    let row = read(db, id).await;
    (row, db.cache().stats().total.hits > before)
}

// feature B5
#[tokio::test]
async fn a_row_that_an_update_returned_is_a_hit_at_once() {
    for (world, db) in shops().await {
        warm(&db, 3).await;
        for step in 0..3 {
            let title = format!("by write {step}");
            retitled(3, &title).update(&db).await.unwrap();
            let (row, hit) = is_hit(&db, 3).await;
            assert_eq!(row.unwrap().title, title, "{world}");
            assert!(hit, "{world}, write {step}");
        }
        // What the database says, and what another process is told.
        let truth = through::Entity::find_by_id(3).one(world.plain()).await.unwrap();
        assert_eq!(read(&db, 3).await, truth, "{world}");
        if world.store == StoreKind::Redis {
            assert_eq!(is_hit(&another(&world).await, 3).await, (truth, true), "{world}");
        }
    }
}

#[tokio::test]
async fn a_row_that_an_insert_returned_is_a_hit_at_once_also_where_there_was_said_to_be_none() {
    for (world, db) in shops().await {
        assert_eq!(warm(&db, 77).await, None, "{world}");
        let row = through::Model {
            id: 77,
            shelf_id: 1,
            publisher_id: 1,
            title: "New".into(),
            price_cents: 5,
            stock: 1,
        };
        row.clone().into_active_model().reset_all().insert(&db).await.unwrap();
        assert_eq!(is_hit(&db, 77).await, (Some(row), true), "{world}");
    }
}

// A row that nobody has read for long is not kept by being written.
#[tokio::test]
async fn an_update_of_a_row_that_nobody_has_read_stores_nothing() {
    for (world, db) in shops().await {
        retitled(4, "unread").update(&db).await.unwrap();
        assert!(!is_hit(&db, 4).await.1, "{world}");
        assert_eq!(read(&db, 4).await.unwrap().title, "unread", "{world}");
    }
}

#[tokio::test]
async fn what_cannot_be_written_through_is_purged() {
    for (world, db) in shops().await {
        // In a transaction of the caller's: what it says is not yet what it will be.
        warm(&db, 5).await;
        let transaction = db.begin().await.unwrap();
        retitled(5, "one").update(&transaction).await.unwrap();
        retitled(5, "two").update(&transaction).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(is_hit(&db, 5).await.0.unwrap().title, "two", "{world}");
        // Some of the columns.
        warm(&db, 5).await;
        let some = "UPDATE book SET title = 'three' WHERE id = 5 RETURNING id, title";
        db.query_one_raw(Statement::from_string(db.get_database_backend(), some)).await.unwrap();
        let (row, hit) = is_hit(&db, 5).await;
        assert_eq!((row.unwrap().title.as_str(), hit), ("three", false), "{world}");
        // Rows by a filter: which of them others have touched meanwhile is not known.
        warm(&db, 5).await;
        let many = "UPDATE book SET title = 'four' WHERE price_cents = 500 RETURNING *";
        db.query_all_raw(Statement::from_string(db.get_database_backend(), many)).await.unwrap();
        assert_eq!(is_hit(&db, 5).await.0.unwrap().title, "four", "{world}");
        // A row that goes.
        warm(&db, 5).await;
        let gone = "DELETE FROM book WHERE id = 5 RETURNING *";
        db.query_one_raw(Statement::from_string(db.get_database_backend(), gone)).await.unwrap();
        assert_eq!(is_hit(&db, 5).await, (None, false), "{world}");
    }
}

#[tokio::test]
async fn a_write_that_fails_stores_nothing_and_leaves_what_was_there() {
    for (world, db) in shops().await {
        let before = warm(&db, 6).await;
        let twice = "INSERT INTO book (id, shelf_id, publisher_id, title, price_cents, stock) \
                     VALUES (6, 1, 1, 'twice', 1, 1) RETURNING *";
        let twice = Statement::from_string(db.get_database_backend(), twice);
        db.query_one_raw(twice).await.unwrap_err();
        assert_eq!(read(&db, 6).await, before, "{world}");
    }
}

#[tokio::test]
async fn without_barriers_nothing_is_written_through() {
    let Some(world) = World::new(Backend::Postgres, StoreKind::Redis).await else { return };
    let cache = builder(world.store, &world.namespace).unwrap().entity::<through::Entity>();
    let cache = cache.consistency(Consistency::AfterCommit).build().await.unwrap();
    let db = world.plain().clone().cached_by(cache);
    warm(&db, 3).await;
    retitled(3, "purged").update(&db).await.unwrap();
    let (row, hit) = is_hit(&db, 3).await;
    assert_eq!((row.unwrap().title.as_str(), hit), ("purged", false));
}

#[tokio::test]
async fn what_a_session_of_its_own_writes_is_not_stored_for_others() {
    for (world, db) in shops().await {
        warm(&db, 3).await;
        retitled(3, "by one").update(&db.with_session_key("one")).await.unwrap();
        let (row, hit) = is_hit(&db, 3).await;
        assert_eq!((row.unwrap().title.as_str(), hit), ("by one", false), "{world}");
    }
}

/// Writers and readers of one row, over two processes where the store is shared. A read never says less
/// than was acknowledged before it began; and many are hits of what a writer has left.
// case B1, B10
// feature B5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_write_through_one_row_by_turns_leave_nothing_old_behind() {
    const WRITES: usize = 150;
    for (world, db) in shops().await {
        let mut processes = vec![db];
        if world.store == StoreKind::Redis {
            processes.push(another(&world).await);
        }
        let acknowledged = Arc::new(AtomicI64::new(0));
        let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
        let hits = Arc::new(AtomicU64::new(0));
        let add = "UPDATE book SET price_cents = price_cents + 1 WHERE id = 7 RETURNING *";
        // SQLite has one writer at a time, and no patience with those who wait.
        let each = if world.database.backend() == Backend::Sqlite { 1 } else { 2 };
        for (number, db) in processes.iter().cloned().enumerate() {
            for _ in 0..if each == 1 && number > 0 { 0 } else { each } {
                let (db, acknowledged) = (db.clone(), acknowledged.clone());
                writers.spawn(async move {
                    for _ in 0..WRITES {
                        let add = Statement::from_string(db.get_database_backend(), add);
                        let row = db.query_one_raw(add).await.unwrap().unwrap();
                        let row = through::Model::from_query_result(&row, "").unwrap();
                        acknowledged.fetch_max(row.price_cents, Ordering::AcqRel);
                        tokio::task::yield_now().await;
                    }
                });
            }
            for _ in 0..2 {
                let (db, acknowledged, hits) = (db.clone(), acknowledged.clone(), hits.clone());
                readers.spawn(async move {
                    loop {
                        let floor = acknowledged.load(Ordering::Acquire);
                        let (row, hit) = is_hit(&db, 7).await;
                        let price = row.unwrap().price_cents;
                        assert!(price >= floor, "{price} was read after {floor} had been acknowledged");
                        hits.fetch_add(u64::from(hit), Ordering::Relaxed);
                        tokio::task::yield_now().await;
                    }
                });
            }
        }
        while let Some(writer) = writers.join_next().await {
            writer.unwrap();
        }
        readers.abort_all();
        while let Some(reader) = readers.join_next().await {
            assert!(reader.is_err_and(|ended| ended.is_cancelled()), "{world}: a reader found something old");
        }
        let truth = book::Entity::find_by_id(7).one(world.plain()).await.unwrap().unwrap().price_cents;
        for db in &processes {
            assert_eq!(read(db, 7).await.unwrap().price_cents, truth, "{world}");
        }
        assert!(hits.load(Ordering::Relaxed) > 0, "{world}: nothing was ever a hit");
    }
}

#[tokio::test]
async fn what_an_expression_returned_under_a_columns_name_is_not_stored() {
    for (world, db) in shops().await {
        warm(&db, 3).await;
        let sql = "UPDATE book SET stock = stock + 1 WHERE id = 3 \
                   RETURNING id, shelf_id, publisher_id, upper(title) AS title, price_cents, stock";
        let statement = Statement::from_string(world.plain().get_database_backend(), sql);
        db.query_all_raw(statement).await.unwrap();
        let truth = through::Entity::find_by_id(3).one(world.plain()).await.unwrap();
        assert_eq!(read(&db, 3).await, truth, "{world}");
        assert_eq!(warm(&db, 3).await, truth, "{world}");
    }
}

#[tokio::test]
async fn a_row_that_a_trigger_changes_after_it_was_returned_is_not_stored() {
    for (world, _) in shops().await {
        let change = "UPDATE book SET stock = 77 WHERE id = NEW.id";
        let trigger = match world.database.backend() {
            Backend::Postgres => {
                let function = format!(
                    "CREATE FUNCTION restock() RETURNS trigger LANGUAGE plpgsql AS \
                     $$ BEGIN {change}; RETURN NULL; END $$"
                );
                world.database.execute(&function).await;
                "CREATE TRIGGER restocks AFTER UPDATE OF title ON book FOR EACH ROW EXECUTE FUNCTION restock()"
                    .to_owned()
            }
            _ => format!("CREATE TRIGGER restocks AFTER UPDATE OF title ON book BEGIN {change}; END"),
        };
        world.database.execute(&trigger).await;
        // Of the row that is written it sets another column, which is no harm but to who stores what came back.
        for (id, rule) in
            [(1, TableRule::new().harmless_triggers()), (2, TableRule::new().also_writes("book"))]
        {
            let cache = builder(world.store, &world.namespace).unwrap();
            let cache = cache.entity::<through::Entity>().table("book", rule).build().await.unwrap();
            let db = world.database.another_connection().await.cached_by(cache);
            assert_eq!(warm(&db, id).await.unwrap().stock, 5, "{world}");
            retitled(id, "new").update(&db).await.unwrap();
            assert_eq!(read(&db, id).await.unwrap().stock, 77, "{world}: {id}");
        }
    }
}

/// Rows that may hang on themselves.
mod knot {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "knot")]
    #[cache(write_through)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub up: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[tokio::test]
async fn a_row_that_a_foreign_key_changes_after_it_was_returned_is_not_stored() {
    for (world, _) in shops().await {
        let table =
            "CREATE TABLE knot (id BIGINT PRIMARY KEY, up BIGINT REFERENCES knot (id) ON UPDATE CASCADE)";
        world.database.execute(table).await;
        world.database.execute("INSERT INTO knot (id, up) VALUES (1, 1)").await;
        // Somebody looks for the new key, so that its row would be worth keeping.
        assert_eq!(knot::Entity::cached_by_id(9, &world.db).await.unwrap(), None);
        let sql = "UPDATE knot SET id = 9 WHERE id = 1 RETURNING id, up";
        let statement = Statement::from_string(world.plain().get_database_backend(), sql);
        world.db.query_all_raw(statement).await.unwrap();
        let truth = knot::Entity::find_by_id(9).one(world.plain()).await.unwrap();
        assert_eq!(truth, Some(knot::Model { id: 9, up: Some(9) }), "{world}");
        assert_eq!(knot::Entity::cached_by_id(9, &world.db).await.unwrap(), truth, "{world}");
    }
}
