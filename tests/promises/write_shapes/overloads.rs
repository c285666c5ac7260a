//! Functions of the user's own that have the name of a built-in one: of other arguments in PostgreSQL,
//! of a function that only MySQL has in MariaDB.

use sea_orm::{ConnectionTrait, QueryOrder, QuerySelect, Statement, TransactionTrait, entity::prelude::*};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    entity::{book, shelf},
    question::{Asked, question},
    support::Backend,
    world::{StoreKind, World, builder},
};

fn select(world: &World, sql: &str) -> Statement {
    Statement::from_string(world.plain().get_database_backend(), sql)
}

/// What takes one from the stock of book 3, and what shows it for a book of shelf 1.
async fn functions(world: &World) -> Option<(&'static str, &'static str)> {
    let all = match world.database.backend() {
        Backend::Sqlite => return None,
        Backend::Postgres => vec![
            "CREATE FUNCTION abs(which TEXT) RETURNS INT LANGUAGE sql AS \
             $$ UPDATE book SET stock = stock - 1 WHERE title = which RETURNING stock $$",
            "CREATE FUNCTION area(one shelf) RETURNS BIGINT STABLE LANGUAGE sql AS \
             $$ SELECT sum(stock) FROM book WHERE shelf_id = one.id $$",
        ],
        Backend::MariaDb => vec![
            "CREATE FUNCTION any_value(which VARCHAR(50)) RETURNS INT MODIFIES SQL DATA \
             BEGIN UPDATE book SET stock = stock - 1 WHERE title = which; RETURN 1; END",
            "CREATE FUNCTION is_uuid(which BIGINT) RETURNS BIGINT READS SQL DATA \
             RETURN (SELECT MAX(stock) + MIN(stock) FROM book WHERE shelf_id = which)",
        ],
    };
    for function in all {
        world.database.execute(function).await;
    }
    Some(match world.database.backend() {
        Backend::MariaDb => ("SELECT any_value('Title 3')", "is_uuid(shelf.id)"),
        _ => ("SELECT abs('Title 3'::text)", "area(shelf)"),
    })
}

#[tokio::test]
async fn a_function_of_ones_own_with_the_name_of_a_built_in_one_may_write() {
    for world in World::all().await {
        let Some((writes, _)) = functions(&world).await else { continue };
        let questions = vec![
            question!("book 3", book::Entity::find_by_id(3), one),
            question!("book 4", book::Entity::find_by_id(4), one),
            question!("books", book::Entity::find().order_by_asc(book::Column::Id), all),
        ];
        let asked = Asked::new(&world, questions).await;
        let changed = ["book 3", "books"];
        asked.after("a select", &changed, world.db.query_one_raw(select(&world, writes))).await;
        asked.after("a text", &changed, send(&world, writes)).await;
        let in_transaction = async {
            let tx = world.db.begin().await?;
            tx.query_one_raw(select(&world, writes)).await?;
            tx.commit().await
        };
        asked.after("a transaction", &changed, in_transaction).await;
        assert!(world.cache().explain(&select(&world, writes)).purges_everything.is_some(), "{world}");
    }
}

#[tokio::test]
async fn a_function_of_ones_own_with_the_name_of_a_built_in_one_may_read_other_tables() {
    for world in World::all().await {
        let Some((_, shows)) = functions(&world).await else { continue };
        let read = || shelf::Entity::find_by_id(1).select_only().column_as(Expr::cust(shows), "shown");
        let mut before = None;
        for stock in [1000, 2000] {
            world.db.execute_unprepared(&format!("UPDATE book SET stock = {stock}")).await.unwrap();
            let shown = read().into_tuple::<i64>().cached().one(&world.db).await.unwrap();
            assert_eq!(shown, read().into_tuple::<i64>().one(world.plain()).await.unwrap(), "{world}");
            assert_ne!(shown, before, "{world}");
            before = shown;
        }
    }
}

#[tokio::test]
async fn a_function_of_ones_own_that_is_declared_pure_is_cached_whatever_its_name() {
    for (backend, name) in [(Backend::Postgres, "area"), (Backend::MariaDb, "is_uuid")] {
        let Some(world) = World::new(backend, StoreKind::Memory).await else { continue };
        let Some((_, shows)) = functions(&world).await else { continue };
        let cache = builder(StoreKind::Memory, &world.namespace).unwrap().pure_function(name);
        let db = CachedConnection::new(world.plain().clone(), cache.build().await.unwrap());
        for hits in [0, 1] {
            let read = shelf::Entity::find_by_id(1).select_only().column_as(Expr::cust(shows), "shown");
            read.into_tuple::<i64>().cached().one(&db).await.unwrap();
            assert_eq!(db.cache().stats().total.hits, hits, "{world}");
        }
    }
}
