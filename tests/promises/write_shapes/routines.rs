//! Procedures that write, and functions that write when they are selected.

use sea_orm::{
    ConnectionTrait, DbErr, ExecResult, QueryOrder, QuerySelect, Statement, TransactionTrait,
    entity::prelude::*,
};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    entity::{book, shelf},
    question::{Asked, question},
    support::Backend,
    world::World,
};

/// `sell(id)` takes one from the stock of a book, `restock()` fills up all.
async fn routines(world: &World) -> bool {
    let (sell, restock) = match world.database.backend() {
        Backend::Sqlite => return false,
        Backend::Postgres => (
            "CREATE FUNCTION sell(which BIGINT) RETURNS INT LANGUAGE sql AS \
             $$ UPDATE book SET stock = stock - 1 WHERE id = which RETURNING stock $$",
            "CREATE PROCEDURE restock() LANGUAGE sql AS $$ UPDATE book SET stock = 99 $$",
        ),
        Backend::MariaDb => (
            "CREATE FUNCTION sell(which BIGINT) RETURNS INT MODIFIES SQL DATA \
             BEGIN UPDATE book SET stock = stock - 1 WHERE id = which; RETURN 1; END",
            "CREATE PROCEDURE restock() UPDATE book SET stock = 99",
        ),
    };
    world.database.execute(sell).await;
    world.database.execute(restock).await;
    true
}

// case D15
#[tokio::test]
async fn what_a_procedure_or_a_function_wrote_is_seen() {
    for world in World::all().await {
        if !routines(&world).await {
            continue;
        }
        let questions = vec![
            question!("book 3", book::Entity::find_by_id(3), one),
            question!("book 4", book::Entity::find_by_id(4), one),
            question!("books", book::Entity::find().order_by_asc(book::Column::Id), all),
            question!("shelf 1", shelf::Entity::find_by_id(1), one),
        ];
        let asked = Asked::new(&world, questions).await;
        let all = ["book 3", "book 4", "books"];
        asked.after("CALL", &all, send(&world, "CALL restock()")).await;
        let one = ["book 3", "books"];
        let select = Statement::from_string(world.plain().get_database_backend(), "SELECT sell(3) AS sold");
        asked.after("SELECT of a function", &one, world.db.query_one_raw(select.clone())).await;
        let sold = || shelf::Entity::find_by_id(1).select_only().column_as(Expr::cust("sell(3)"), "sold");
        let sold = async || sold().into_tuple::<i32>().cached().one(&world.db).await;
        asked.after("a cached read that calls a function", &one, sold()).await;
        // Nothing of it was kept: it sells again.
        asked.after("the same read again", &one, sold()).await;
        let committed = async {
            let tx = world.db.begin().await?;
            tx.query_one_raw(select.clone()).await?;
            tx.commit().await
        };
        asked.after("a function in a transaction", &one, committed).await;
        let rolled_back = async {
            let tx = world.db.begin().await?;
            tx.query_one_raw(select.clone()).await?;
            tx.rollback().await
        };
        let purged = asked.after("a function, rolled back", &[], rolled_back).await;
        // What is not known may commit by itself, in MariaDB.
        assert!(purged.is_empty() || world.database.backend() == Backend::MariaDb, "{world}: {purged:?}");
    }
}

// case D15
#[tokio::test]
async fn a_function_that_fails_after_it_wrote_outside_the_transaction_is_not_trusted() {
    for world in World::all().await.into_iter().filter(|world| world.database.backend() == Backend::Postgres)
    {
        // A procedure may commit in the middle, and fail afterwards.
        let sql = "CREATE PROCEDURE half() LANGUAGE plpgsql AS $$ BEGIN \
                   UPDATE book SET stock = 0 WHERE id = 3; COMMIT; RAISE EXCEPTION 'too late'; END $$";
        world.database.execute(sql).await;
        let questions = vec![question!("book 3", book::Entity::find_by_id(3), one)];
        let asked = Asked::new(&world, questions).await;
        let failed = async {
            let called: Result<ExecResult, DbErr> = world.db.execute_unprepared("CALL half()").await;
            assert!(called.is_err());
            Ok(())
        };
        asked.after("a procedure that committed and failed", &["book 3"], failed).await;
    }
}

entities! {
    root = "root", i64;
    twig = "twig", i64;
}

// case D32
#[tokio::test]
async fn a_foreign_key_that_a_block_of_code_adds_is_known_at_once() {
    for world in World::all().await {
        let adds = "ALTER TABLE twig ADD FOREIGN KEY (up) REFERENCES root (id) ON DELETE CASCADE";
        let block = match world.database.backend() {
            Backend::Postgres => format!("DO $$ BEGIN {adds}; END $$"),
            Backend::MariaDb => format!("EXECUTE IMMEDIATE '{adds}'"),
            // Has neither.
            Backend::Sqlite => continue,
        };
        for sql in [
            "CREATE TABLE root (id BIGINT PRIMARY KEY, up BIGINT)",
            "CREATE TABLE twig (id BIGINT PRIMARY KEY, up BIGINT)",
            "INSERT INTO root (id) VALUES (1), (2)",
            "INSERT INTO twig (id, up) VALUES (1, 1), (2, 2)",
        ] {
            world.database.execute(sql).await;
        }
        let questions = vec![
            question!("twig 1", twig::Entity::find_by_id(1), one),
            question!("twigs on 1", twig::Entity::find().filter(twig::Column::Up.eq(1_i64)), count),
        ];
        let asked = Asked::new(&world, questions).await;
        asked.after("a block", &[], send(&world, &block)).await;
        let deleted = root::Entity::delete_by_id(1).exec(&world.db);
        asked.after("a delete above", &["twig 1", "twigs on 1"], deleted).await;
    }
}
