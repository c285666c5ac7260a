//! What the cache says of a statement is what it does.

use std::time::Duration;

use sea_orm::{DbBackend, QueryOrder, QuerySelect, QueryTrait, Statement, entity::prelude::*};
use sea_orm_cache::{CachedBy, CachedEntity, CachedQuery, Explanation};

use crate::{
    entity::{book, publisher},
    world::{World, builder},
};

/// An entity that is never stored, on a table that nobody declared otherwise.
mod secret {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "explained_secret")]
    #[cache(skip)]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn statement(world: &World, sql: &str) -> Statement {
    Statement::from_string(world.plain().get_database_backend(), sql)
}

fn local(world: &World, keys: &[String]) -> Vec<String> {
    let prefix = format!("{}:", world.namespace);
    keys.iter().map(|key| key.strip_prefix(&prefix).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_list_by_an_index_column_says_what_it_depends_on() {
    for world in World::all().await {
        let list = || book::Entity::find().filter(book::Column::ShelfId.eq(3)).cached();
        let explained = list().explain(&world.db).await;
        assert_eq!(explained.kind, "read", "{world}");
        assert_eq!((explained.bypass.as_deref(), explained.writes.len()), (None, 0), "{world}");
        assert_eq!(explained.reads[0].scope, "shelf_id = 3", "{world}");
        assert_eq!(local(&world, &explained.tags), ["t", "u", "i:book", "i:book:shelf_id=3"], "{world}");
        // It is the key under which the entry is found.
        list().all(&world.db).await.unwrap();
        let key = explained.key.unwrap();
        crate::support::eventually("the entry is there", Duration::from_secs(10), async || {
            world.cache().keys(1000).await.unwrap().contains(&key)
        })
        .await;
        let wide = book::Entity::find().filter(book::Column::Stock.gt(3)).cached().explain(&world.db).await;
        assert_eq!(local(&world, &wide.tags), ["t", "u", "t:book"], "{world}");
        let ordered = publisher::Entity::find().order_by_asc(publisher::Column::Id);
        let volatile =
            ordered.filter(Expr::cust("CURRENT_TIMESTAMP IS NOT NULL")).cached().explain(&world.db).await;
        assert_eq!((volatile.key, volatile.tags.len()), (None, 0), "{world}");
        let why = volatile.bypass.unwrap();
        assert!(why.contains("CURRENT_TIMESTAMP"), "{world}: {why}");
    }
}

#[tokio::test]
async fn a_row_by_its_key_says_what_it_depends_on() {
    for world in World::all().await {
        let explained = book::Entity::find_by_id(7).cached().explain_one(&world.db).await;
        let tags = local(&world, &explained.tags);
        assert_eq!(tags, ["t", "u", "t:book:*", "t:book:7", "t:book"], "{world}");
        assert!(local(&world, explained.key.as_slice())[0].starts_with("row:book:7@"), "{world}");
        book::Entity::cached_by_id(7, &world.db).await.unwrap();
        crate::support::eventually("the entry is there", Duration::from_secs(10), async || {
            world.cache().keys(1000).await.unwrap().contains(explained.key.as_ref().unwrap())
        })
        .await;
    }
}

/// The same of every database, but for what it is preceded by.
fn of(world: &World, sql: &str) -> Explanation {
    world.cache().explain(&statement(world, sql))
}

#[tokio::test]
async fn a_write_says_what_it_purges() {
    for world in World::all().await {
        world.db.learn_schema().await.unwrap();
        let update = of(&world, "UPDATE publisher SET name = 'x' WHERE id = 1");
        assert_eq!(update.kind, "write", "{world}");
        let purges = local(&world, &update.purges);
        assert_eq!(purges[..3], ["i:publisher", "t:publisher", "t:publisher:1"], "{world}");
        assert!(purges[3].starts_with("row:publisher:1@"), "{world}: {purges:?}");
        assert_eq!(update.writes[0].what, "updates name", "{world}");
        assert_eq!(update.writes[0].scope, "id = 1", "{world}");
        // Which shelf the book stands on has to be asked for.
        let delete = match world.plain().get_database_backend() {
            DbBackend::MySql => "DELETE FROM `book` WHERE `id` = 7",
            _ => "DELETE FROM \"book\" WHERE \"id\" = 7",
        };
        let delete = of(&world, delete);
        assert!(delete.preceded_by.as_ref().unwrap().starts_with("SELECT "), "{world}: {delete}");
        let insert = of(
            &world,
            "INSERT INTO book (shelf_id, publisher_id, title, price_cents, stock) VALUES (3, 1, 't', 1, 1)",
        );
        assert!(local(&world, &insert.purges).contains(&"i:book:shelf_id=3".to_owned()), "{world}: {insert}");
        assert_eq!(local(&world, &insert.purges_unless_labelled), ["i:book"], "{world}");
        let anything = of(&world, "FROBNICATE THE BOOKS");
        assert!(anything.purges_everything.is_some(), "{world}: {anything}");
        let nothing = of(&world, "SELECT 1");
        assert!(nothing.purges.is_empty() && nothing.bypass.is_some(), "{world}: {nothing}");
        println!("{delete}\n{insert}");
    }
}

// feature D9
#[tokio::test]
async fn a_select_as_text_says_what_it_depends_on_and_how_long_it_lives() {
    for world in World::all().await {
        let backend = world.plain().get_database_backend();
        world.db.learn_schema().await.unwrap();
        for list in [
            book::Entity::find().filter(book::Column::ShelfId.eq(3)),
            book::Entity::find().filter(book::Column::Stock.gt(3)),
        ] {
            let by_text = world.cache().explain(&list.build(backend));
            let read = list.into_json().cached().explain(&world.db).await;
            assert_eq!(
                (by_text.bypass.as_deref(), by_text.key.as_deref()),
                (None, None),
                "{world}: {by_text}"
            );
            assert_eq!(by_text.tags, read.tags, "{world}");
            assert!(by_text.tags.len() >= 3, "{world}: {by_text}");
            assert_eq!((by_text.ttl, read.ttl), (Some(Duration::from_secs(600)), by_text.ttl), "{world}");
            assert!(by_text.to_string().contains("depends on"), "{world}: {by_text}");
        }
    }
}

// feature D9
#[tokio::test]
async fn what_is_never_stored_says_why_also_as_text() {
    for world in World::on_each_store().await {
        let text = secret::Entity::find().build(DbBackend::Sqlite);
        let skipped = world.cache().explain(&text);
        assert_eq!(skipped.bypass.as_deref(), Some("the entity is declared skip"), "{skipped}");
        assert!(skipped.tags.is_empty() && skipped.ttl.is_none(), "{skipped}");
        assert!(skipped.to_string().contains("cached: no"), "{skipped}");
        let off = builder(world.store, &world.namespace).unwrap().enabled(false).build().await.unwrap();
        let read = off.explain(&statement(&world, "SELECT id FROM book"));
        assert_eq!(read.bypass.as_deref(), Some("the cache is switched off"), "{read}");
        let db = world.plain().clone().cached_by(off);
        let same = book::Entity::find().into_tuple::<(i64,)>().cached().explain(&db).await;
        assert_eq!(same.bypass, read.bypass, "{same}");
        let write = world.cache().explain(&statement(&world, "DELETE FROM book"));
        assert_eq!(write.bypass.as_deref(), Some("it is not a select"), "{write}");
    }
}

// feature D9
#[tokio::test]
async fn joins_and_selectors_say_what_they_depend_on_and_under_which_key() {
    for world in World::all().await {
        let db = &world.db;
        let pairs = || book::Entity::find().find_also_related(publisher::Entity).cached();
        let families = || publisher::Entity::find().find_with_related(book::Entity).cached();
        let titles = || {
            let columns = book::Entity::find().select_only().column(book::Column::Title);
            columns
                .filter(book::Column::ShelfId.eq(3))
                .into_tuple::<(String,)>()
                .cached()
                .ttl(Duration::from_secs(9))
        };
        let explained = [pairs().explain(db).await, families().explain(db).await, titles().explain(db).await];
        pairs().all(db).await.unwrap();
        families().all(db).await.unwrap();
        titles().all(db).await.unwrap();
        for explained in &explained[..2] {
            let tags = local(&world, &explained.tags);
            for tag in ["t:book", "t:publisher"] {
                assert!(tags.contains(&tag.to_owned()), "{world}: {explained}");
            }
        }
        assert!(local(&world, &explained[2].tags).contains(&"i:book:shelf_id=3".to_owned()), "{world}");
        assert_eq!(explained[2].ttl, Some(Duration::from_secs(9)), "{world}");
        for explained in explained {
            assert_eq!(explained.bypass, None, "{world}");
            let key = explained.key.unwrap();
            crate::support::eventually("the entry is there", Duration::from_secs(10), async || {
                world.cache().keys(1000).await.unwrap().contains(&key)
            })
            .await;
        }
    }
}
