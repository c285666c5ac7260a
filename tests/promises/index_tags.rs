//! Lists by an index column: what they depend on, and what happens when processes disagree on it.

use sea_orm::{
    ActiveValue::Set, ConnectionTrait, IntoActiveModel, QueryOrder, Statement, entity::prelude::*,
};
use sea_orm_cache::{CacheEntity, CachedBy, CachedConnection, CachedQuery, EntityPolicy};

use crate::{
    entity::book,
    support::{Backend, eventually},
    world::{StoreKind, World, builder, new_book, retitled},
};

/// The books as another release knows them: by publisher.
mod by_publisher {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "book")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub publisher_id: i64,
        pub title: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    // By hand, so that only the caches that are told of it know it.
    impl CacheEntity for Entity {
        fn cache_policy() -> EntityPolicy {
            EntityPolicy::new().index("publisher_id")
        }
    }
}

async fn on_shelf(db: &CachedConnection, shelf: i64) -> Vec<i64> {
    let books = book::Entity::find().filter(book::Column::ShelfId.eq(shelf)).order_by_asc(book::Column::Id);
    books.cached().all(db).await.unwrap().into_iter().map(|book| book.id).collect()
}

async fn of_publisher(db: &CachedConnection, publisher: i64) -> Vec<(i64, String)> {
    let books = by_publisher::Entity::find().filter(by_publisher::Column::PublisherId.eq(publisher));
    books
        .order_by_asc(by_publisher::Column::Id)
        .cached()
        .all(db)
        .await
        .unwrap()
        .into_iter()
        .map(|book| (book.id, book.title))
        .collect()
}

/// Reads a shelf until it is a hit.
async fn warm(world: &World, shelf: i64) {
    eventually("a shelf is cached", std::time::Duration::from_secs(10), async || {
        world.is_hit(on_shelf(&world.db, shelf)).await.1
    })
    .await;
}

// case D5, D6
#[tokio::test]
async fn a_book_that_moves_purges_the_shelf_it_leaves_and_the_one_it_comes_to_and_no_other() {
    for world in World::all().await {
        for shelf in 1..=3 {
            warm(&world, shelf).await;
        }
        // Book 1 stands on shelf 2.
        let book = book::ActiveModel { id: Set(1), shelf_id: Set(3), ..Default::default() };
        book.update(&world.db).await.unwrap();
        assert!(world.is_hit(on_shelf(&world.db, 1)).await.1, "{world}");
        assert_eq!(world.is_hit(on_shelf(&world.db, 2)).await, (vec![4, 7, 10], false), "{world}");
        assert_eq!(world.is_hit(on_shelf(&world.db, 3)).await, (vec![1, 2, 5, 8, 11], false), "{world}");
    }
}

// case D5
#[tokio::test]
async fn an_update_by_key_that_is_sent_as_a_query_purges_the_shelves_of_its_book_alone() {
    for world in World::all().await {
        let send = async |sql: &str| {
            let backend = world.db.get_database_backend();
            world.db.query_all_raw(Statement::from_string(backend, sql)).await.unwrap();
        };
        for (sql, purged) in [
            ("UPDATE book SET title = 'Other' WHERE id = 1", &[2][..]),
            ("UPDATE book SET shelf_id = 3 WHERE id = 1", &[2, 3]),
            ("UPDATE book SET title = 'Both' WHERE id IN (1, 4)", &[2, 3]),
            ("DELETE FROM book WHERE id = 1", &[3]),
            // One of them is not there, and might have come in between.
            ("UPDATE book SET title = 'Others' WHERE id IN (4, 99)", &[1, 2, 3]),
        ] {
            for shelf in 1..=3 {
                warm(&world, shelf).await;
            }
            send(sql).await;
            for shelf in 1..=3 {
                let hit = world.is_hit(on_shelf(&world.db, shelf)).await.1;
                assert_eq!(hit, !purged.contains(&shelf), "{world}: {sql}, shelf {shelf}");
            }
        }
    }
}

// case D5, D29
#[tokio::test]
async fn a_write_that_says_nothing_of_the_shelf_purges_the_one_on_which_the_book_stands() {
    for world in World::all().await {
        for step in 0..4 {
            for shelf in 1..=3 {
                warm(&world, shelf).await;
            }
            match step {
                0 => drop(retitled(1, "new").update(&world.db).await.unwrap()),
                1 => drop(retitled(4, "new").update_without_returning(&world.db).await.unwrap()),
                2 => drop(book::Entity::delete_by_id(7).exec(&world.db).await.unwrap()),
                _ => {
                    let ten = book::Entity::find_by_id(10).one(world.plain()).await.unwrap().unwrap();
                    ten.into_active_model().delete(&world.db).await.unwrap();
                }
            }
            for (shelf, hit) in [(1, true), (2, false), (3, true)] {
                let (ids, was_hit) = world.is_hit(on_shelf(&world.db, shelf)).await;
                assert_eq!(was_hit, hit, "{world}, step {step}, shelf {shelf}");
                let truth = book::Entity::find().filter(book::Column::ShelfId.eq(shelf));
                let truth = truth.order_by_asc(book::Column::Id).all(world.plain()).await.unwrap();
                assert_eq!(ids, truth.iter().map(|book| book.id).collect::<Vec<_>>(), "{world}");
            }
        }
    }
}

#[tokio::test]
async fn a_new_book_purges_its_shelf_alone() {
    for world in World::all().await {
        for shelf in 1..=3 {
            warm(&world, shelf).await;
        }
        // On shelf 3.
        new_book(50).insert(&world.db).await.unwrap();
        book::Entity::insert_many([51, 54].map(|id| book::ActiveModel { shelf_id: Set(3), ..new_book(id) }))
            .exec(&world.db)
            .await
            .unwrap();
        for (shelf, hit) in [(1, true), (2, true), (3, false)] {
            assert_eq!(world.is_hit(on_shelf(&world.db, shelf)).await.1, hit, "{world}, shelf {shelf}");
        }
        assert_eq!(on_shelf(&world.db, 3).await, [2, 5, 8, 11, 50, 51, 54], "{world}");
    }
}

#[tokio::test]
async fn in_a_transaction_that_moves_a_book_twice_all_its_shelves_are_purged() {
    use sea_orm::TransactionTrait;
    for world in World::all().await {
        for shelf in 1..=3 {
            warm(&world, shelf).await;
        }
        let transaction = world.db.begin().await.unwrap();
        for shelf in [3, 1] {
            let book = book::ActiveModel { id: Set(1), shelf_id: Set(shelf), ..Default::default() };
            book.update(&transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
        for (shelf, books) in [(1, vec![1, 3, 6, 9, 12]), (2, vec![4, 7, 10]), (3, vec![2, 5, 8, 11])] {
            assert_eq!(world.is_hit(on_shelf(&world.db, shelf)).await, (books, false), "{world}");
        }
    }
}

// case F2: while a new release is rolled out, both write and read.
#[tokio::test]
async fn releases_that_declare_other_index_columns_see_each_others_writes() {
    for backend in Backend::all() {
        let Some(world) = World::new(backend, StoreKind::Redis).await else { continue };
        let newer = builder(StoreKind::Redis, &world.namespace).unwrap().entity::<by_publisher::Entity>();
        let newer = world.database.another_connection().await.cached_by(newer.build().await.unwrap());
        let truth = async |publisher| {
            let books = by_publisher::Entity::find().filter(by_publisher::Column::PublisherId.eq(publisher));
            let books = books.order_by_asc(by_publisher::Column::Id).all(world.plain()).await.unwrap();
            books.into_iter().map(|book| (book.id, book.title)).collect::<Vec<_>>()
        };
        for round in 0..6 {
            // Whoever comes first after a purge sets the terms: the older one, then the newer one.
            if round % 2 == 0 {
                on_shelf(&world.db, 1).await;
                of_publisher(&newer, 1).await;
            } else {
                of_publisher(&newer, 1).await;
                on_shelf(&world.db, 1).await;
            }
            // The older release does not know that anybody reads by publisher.
            retitled(2, &format!("older {round}")).update(&world.db).await.unwrap();
            assert_eq!(of_publisher(&newer, 1).await, truth(1).await, "{world}, round {round}");
            assert_eq!(of_publisher(&newer, 2).await, truth(2).await, "{world}, round {round}");
            let moved = book::ActiveModel { id: Set(3), shelf_id: Set(1 + round % 3), ..Default::default() };
            moved.update(&newer).await.unwrap();
            for shelf in 1..=3 {
                let books = book::Entity::find().filter(book::Column::ShelfId.eq(shelf));
                let books = books.order_by_asc(book::Column::Id).all(world.plain()).await.unwrap();
                let ids: Vec<_> = books.iter().map(|book| book.id).collect();
                assert_eq!(on_shelf(&world.db, shelf).await, ids, "{world}, round {round}");
            }
            if round == 3 {
                world.cache().clear().await;
            }
        }
    }
}

#[tokio::test]
async fn code_that_knows_of_no_index_purges_all_lists() {
    for backend in Backend::all() {
        let Some(world) = World::new(backend, StoreKind::Redis).await else { continue };
        warm(&world, 2).await;
        let tags = || async { world.cache().keys(1000).await.unwrap() };
        assert!(tags().await.contains(&format!("{}:i:book", world.namespace)), "{world}");
        // By hand, which knows neither the row's shelf nor whether it has changed.
        world.cache().invalidate_row::<book::Entity>(3_i64).await;
        assert!(!tags().await.contains(&format!("{}:i:book", world.namespace)), "{world}");
        assert!(!world.is_hit(on_shelf(&world.db, 2)).await.1, "{world}");
    }
}

// A select that the cache sends must never be the end of a transaction of the user's.
#[tokio::test]
async fn a_write_goes_through_where_the_rows_cannot_be_read_before_it() {
    let Some(world) = World::new(Backend::Postgres, StoreKind::Memory).await else { return };
    // May delete by key, which takes SELECT on the key alone, and nothing else.
    let role = format!("writer_{}", world.namespace.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    let execute = async |sql: String| world.database.execute(&sql).await;
    execute(format!("CREATE ROLE {role}")).await;
    execute(format!("GRANT DELETE ON book TO {role}")).await;
    execute(format!("GRANT SELECT (id) ON book TO {role}")).await;
    warm(&world, 2).await;
    let db = world.db.clone();
    let result = db
        .transaction_async(async |transaction| {
            transaction.execute_unprepared(&format!("SET LOCAL ROLE {role}")).await?;
            book::Entity::delete_by_id(1).exec(transaction).await?;
            book::Entity::delete_by_id(4).exec(transaction).await.map(|done| done.rows_affected)
        })
        .await;
    assert_eq!(result.unwrap(), 1);
    assert_eq!(world.is_hit(on_shelf(&world.db, 2)).await, (vec![7, 10], false));
    execute(format!("DROP OWNED BY {role}")).await;
    execute(format!("DROP ROLE {role}")).await;
}
