//! What the cache says of a statement is what it does.

use sea_orm::{DbBackend, QueryOrder, Statement, entity::prelude::*};
use sea_orm_cache::{CachedEntity, CachedQuery, Explanation};

use crate::{
    entity::{book, publisher},
    world::World,
};

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
        crate::support::eventually("the entry is there", std::time::Duration::from_secs(10), async || {
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
        crate::support::eventually("the entry is there", std::time::Duration::from_secs(10), async || {
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
