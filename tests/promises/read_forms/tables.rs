//! Several entities on a table, tables without one, and databases with the same tables.

use sea_orm::{
    ActiveValue::{NotSet, Set},
    ConnectionTrait,
    entity::prelude::*,
    sea_query::Query,
};
use sea_orm_cache::prelude::*;

use crate::{
    entity::book,
    support::eventually,
    world::{World, new_book, retitled},
};

use super::{SOON, books};

/// A second entity on the books' table, with some of its columns.
mod spine {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "book")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub title: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

// case E20
#[tokio::test]
async fn two_entities_on_one_table_have_their_own_entries_and_purge_each_other() {
    for world in World::all().await {
        let spine = async |id: i64| {
            let spine = spine::Entity::find_by_id(id).cached().one(&world.db).await.unwrap();
            spine.map(|spine| spine.title)
        };
        for _ in 0..2 {
            assert_eq!(world.title(1).await.as_deref(), Some("Title 1"), "{world}");
            assert_eq!(spine(1).await.as_deref(), Some("Title 1"), "{world}");
            assert_eq!(spine(2).await.as_deref(), Some("Title 2"), "{world}");
        }
        retitled(1, "by the book").update(&world.db).await.unwrap();
        assert_eq!(spine(1).await.as_deref(), Some("by the book"), "{world}");
        spine::ActiveModel { id: Set(1), title: Set("by the spine".into()) }.update(&world.db).await.unwrap();
        assert_eq!(world.title(1).await.as_deref(), Some("by the spine"), "{world}");
        assert_eq!(spine(1).await.as_deref(), Some("by the spine"), "{world}");
        let (two, hit) = world.is_hit(spine(2)).await;
        assert_eq!((two.as_deref(), hit), (Some("Title 2"), true), "{world}: was not touched");
    }
}

/// An entity whose rows are never stored.
mod ledger {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "ledger")]
    #[cache(skip)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub book_id: i64,
        pub cents: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

// case D33, D34
#[tokio::test]
async fn a_table_that_is_skipped_or_unknown_still_purges_what_was_joined_with_it() {
    for world in World::all().await {
        world
            .database
            .execute("CREATE TABLE ledger (book_id BIGINT PRIMARY KEY, cents BIGINT NOT NULL)")
            .await;
        world.database.execute("CREATE TABLE unknown (book_id BIGINT PRIMARY KEY)").await;
        let entry = |id| ledger::ActiveModel { book_id: Set(id), cents: Set(5) };
        let before = world.cache().stats().total;
        for _ in 0..2 {
            assert_eq!(ledger::Entity::find_by_id(1).cached().one(&world.db).await.unwrap(), None, "{world}");
            assert_eq!(ledger::Entity::cached_by_ids([1], &world.db).await.unwrap(), [None], "{world}");
        }
        assert_eq!(world.cache().stats().total.bypasses - before.bypasses, 4, "{world}");

        let listed = |table: &'static str| {
            let ids = Query::select().column("book_id").from(table).to_owned();
            books().filter(book::Column::Id.in_subquery(ids)).cached()
        };
        for table in ["ledger", "unknown"] {
            assert_eq!(listed(table).all(&world.db).await.unwrap().len(), 0, "{world}, {table}");
            eventually("stored", SOON, async || world.is_hit(listed(table).all(&world.db)).await.1).await;
        }
        entry(1).insert(&world.db).await.unwrap();
        assert_eq!(listed("ledger").all(&world.db).await.unwrap().len(), 1, "{world}");
        assert!(world.is_hit(listed("unknown").all(&world.db)).await.1, "{world}");
        world.db.execute_unprepared("INSERT INTO unknown (book_id) VALUES (1), (2)").await.unwrap();
        assert_eq!(listed("unknown").all(&world.db).await.unwrap().len(), 2, "{world}");
    }
}

// case E19, F3
#[tokio::test]
async fn two_databases_with_the_same_tables_share_nothing() {
    let worlds = World::all().await;
    for world in &worlds {
        let title = format!("{world}");
        retitled(1, &title).update(&world.db).await.unwrap();
        world.title(1).await;
    }
    for world in &worlds {
        assert_eq!(world.title(1).await, Some(format!("{world}")));
        retitled(1, "purged").update(&world.db).await.unwrap();
        for other in worlds.iter().filter(|other| other.namespace != world.namespace) {
            assert_ne!(other.title(2).await, None);
        }
        assert_eq!(world.title(1).await.as_deref(), Some("purged"));
    }
    let first = &worlds[0];
    new_book(70).insert(&first.db).await.unwrap();
    first.title(70).await;
    for other in &worlds[1..] {
        assert_eq!(other.title(70).await, None, "{other}");
    }
    let unset = book::ActiveModel { id: NotSet, ..new_book(71) };
    unset.insert(&first.db).await.unwrap();
}
