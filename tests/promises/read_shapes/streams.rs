//! Streams, cursors and existence: what is not `.cached()` is asked of the database and stores nothing.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use sea_orm::{ConnectionTrait, QueryOrder, SelectExt, StreamTrait, TransactionTrait, entity::prelude::*};
use sea_orm_cache::prelude::*;

use crate::{
    entity::book,
    question::{Asked, Question, question},
    support::Backend,
    world::{World, new_book, retitled},
};

fn books() -> sea_orm::Select<book::Entity> {
    book::Entity::find().order_by_asc(book::Column::Id)
}

async fn stored(world: &World) -> Vec<String> {
    world.cache().keys(1000).await.unwrap()
}

// case E2
#[tokio::test]
async fn a_stream_that_is_dropped_half_way_leaves_nothing_behind() {
    for world in World::all().await {
        for taken in [0, 1, 5, 12] {
            let mut rows = books().stream(&world.db).await.unwrap();
            for id in 1..=taken {
                assert_eq!(rows.next().await.unwrap().unwrap().id, id, "{world}");
            }
            drop(rows);
            assert_eq!(stored(&world).await, [""; 0], "{world}: after {taken} rows");
        }
        // The whole list and its count are what the database says, not what was streamed of it.
        for _ in 0..2 {
            assert_eq!(books().cached().all(&world.db).await.unwrap().len(), 12, "{world}");
            assert_eq!(books().cached().count(&world.db).await.unwrap(), 12, "{world}");
        }
        // What was cached is not what a stream reads.
        retitled(1, "behind the cache's back").update(world.plain()).await.unwrap();
        let streamed: Vec<_> = books().stream(&world.db).await.unwrap().try_collect().await.unwrap();
        assert_eq!(streamed[0].title, "behind the cache's back", "{world}");
    }
}

// case E2
#[tokio::test]
async fn a_stream_in_a_transaction_reads_what_it_wrote_and_leaves_nothing_behind() {
    for world in World::all().await {
        let tx = world.db.begin().await.unwrap();
        retitled(1, "in a transaction").update(&tx).await.unwrap();
        let mut rows = books().stream(&tx).await.unwrap();
        assert_eq!(rows.next().await.unwrap().unwrap().title, "in a transaction", "{world}");
        drop(rows);
        tx.rollback().await.unwrap();
        assert_eq!(stored(&world).await, [""; 0], "{world}");
        assert_eq!(world.title(1).await.as_deref(), Some("Title 1"), "{world}");
    }
}

// case E2
#[tokio::test]
async fn a_raw_stream_of_a_select_is_no_write() {
    for world in World::all().await {
        let asked = Asked::new(&world, vec![question!("book 1", book::Entity::find_by_id(1), one)]).await;
        let backend = world.plain().get_database_backend();
        let statement = sea_orm::Statement::from_string(backend, "SELECT id FROM book ORDER BY id");
        let read = async {
            let mut rows = world.db.stream_raw(statement).await?;
            rows.next().await.unwrap()?;
            Ok(())
        };
        assert_eq!(asked.after("half of a stream", &[], read).await, [""; 0], "{world}");
    }
}

// case E2
#[tokio::test]
async fn cursors_and_existence_ask_the_database_through_the_wrapper() {
    for world in World::all().await {
        assert!(books().filter(book::Column::Id.eq(12_i64)).exists(&world.db).await.unwrap(), "{world}");
        assert!(!books().filter(book::Column::Id.eq(13_i64)).exists(&world.db).await.unwrap(), "{world}");
        let page = async |after: i64| -> Vec<i64> {
            let mut cursor = book::Entity::find().cursor_by(book::Column::Id);
            let rows = cursor.after(after).first(5).all(&world.db).await.unwrap();
            rows.iter().map(|book| book.id).collect()
        };
        assert_eq!(page(10).await, [11, 12], "{world}");
        assert_eq!(stored(&world).await, [""; 0], "{world}");
        // The same questions as cached reads.
        let questions = vec![
            question!("is there a 13", book::Entity::find().filter(book::Column::Id.eq(13_i64)), count),
            question!("first behind 10", books().filter(book::Column::Id.gt(10_i64)), one),
            question!("behind 12", books().filter(book::Column::Id.gt(12_i64)), all),
        ];
        let asked = Asked::new(&world, questions).await;
        let insert = book::Entity::insert(new_book(13)).exec_without_returning(&world.db);
        asked.after("an insert", &["is there a 13", "behind 12"], insert).await;
        assert!(books().filter(book::Column::Id.eq(13_i64)).exists(&world.db).await.unwrap(), "{world}");
        assert_eq!(page(10).await, [11, 12, 13], "{world}");
        let delete = book::Entity::delete_many().filter(book::Column::Id.is_in([11_i64, 13]));
        let changed = ["is there a 13", "first behind 10", "behind 12"];
        asked.after("a delete", &changed, delete.exec(&world.db)).await;
    }
}

/// A statement by text whose rows come back.
fn returning(world: &World, sql: &str) -> sea_orm::Statement {
    sea_orm::Statement::from_string(world.plain().get_database_backend(), sql)
}

/// Lists of books of each shelf, and books by key.
fn lists_and_rows() -> Vec<Question> {
    vec![
        question!("shelf 1", books().filter(book::Column::ShelfId.eq(1_i64)), all),
        question!("shelf 2", books().filter(book::Column::ShelfId.eq(2_i64)), all),
        question!("shelf 3", books().filter(book::Column::ShelfId.eq(3_i64)), all),
        question!("book 3", book::Entity::find_by_id(3), one),
        question!("book 4", book::Entity::find_by_id(4), one),
    ]
}

async fn read_out<S>(rows: Result<S, DbErr>) -> Result<usize, DbErr>
where
    S: futures_util::Stream<Item = Result<sea_orm::QueryResult, DbErr>>,
{
    let rows: Vec<_> = rows?.try_collect().await?;
    Ok(rows.len())
}

/// Ends a stream after its first row, and waits for what is purged in the background.
async fn read_half<S>(world: &World, rows: Result<S, DbErr>) -> Result<(), DbErr>
where
    S: futures_util::Stream<Item = Result<sea_orm::QueryResult, DbErr>> + Send,
{
    let mut rows = Box::pin(rows?);
    rows.next().await.unwrap()?;
    drop(rows);
    assert!(world.cache().drain(Duration::from_secs(20)).await, "a purge was not delivered");
    Ok(())
}

/// A delete by key, and one by another column: book 3 is on shelf 1, book 4 on shelf 2.
const DELETES: [(&str, &[&str]); 2] = [
    ("DELETE FROM book WHERE id = 3 RETURNING *", &["shelf 1", "book 3"]),
    ("DELETE FROM book WHERE title = 'Title 4' RETURNING *", &["shelf 2", "book 4"]),
];

// case E2
#[tokio::test]
async fn a_stream_of_returned_rows_purges_these_alone() {
    for world in World::all().await {
        let asked = Asked::new(&world, lists_and_rows()).await;
        for (sql, changed) in DELETES {
            let write = async { read_out(world.db.stream_raw(returning(&world, sql)).await).await };
            let purged = asked.after(sql, changed, write).await;
            // Without a key, any row may have been the one; the lists are known all the same.
            let lists: Vec<_> = purged.iter().filter(|name| name.starts_with("shelf")).collect();
            let expected: Vec<_> = changed.iter().filter(|name| name.starts_with("shelf")).collect();
            assert_eq!(lists, expected, "{world}: {sql}");
        }
    }
}

// case E2
#[tokio::test]
async fn a_stream_of_returned_rows_that_is_dropped_half_way_purges_those_that_nobody_read() {
    for world in World::all().await {
        let asked = Asked::new(&world, lists_and_rows()).await;
        let sql = "DELETE FROM book WHERE title IN ('Title 3', 'Title 6', 'Title 4') RETURNING *";
        let write = async { read_half(&world, world.db.stream_raw(returning(&world, sql)).await).await };
        let purged = asked.after(sql, &["shelf 1", "shelf 2", "book 3", "book 4"], write).await;
        assert!(!purged.contains(&"shelf 3"), "{world}: {purged:?}");
    }
}

// case E2
#[tokio::test]
async fn a_stream_in_a_transaction_purges_the_rows_that_it_returned() {
    for world in World::all().await {
        let asked = Asked::new(&world, lists_and_rows()).await;
        for (sql, changed) in DELETES {
            let write = async {
                let tx = world.db.begin().await?;
                read_out(tx.stream_raw(returning(&world, sql)).await).await?;
                tx.commit().await
            };
            let purged = asked.after(sql, changed, write).await;
            let lists: Vec<_> = purged.iter().filter(|name| name.starts_with("shelf")).collect();
            let expected: Vec<_> = changed.iter().filter(|name| name.starts_with("shelf")).collect();
            assert_eq!(lists, expected, "{world}: {sql}");
        }
    }
}

// case E2
#[tokio::test]
async fn a_stream_in_a_transaction_that_is_dropped_half_way_purges_all_that_it_may_have_written() {
    for world in World::all().await {
        let asked = Asked::new(&world, lists_and_rows()).await;
        let sql = "DELETE FROM book WHERE title IN ('Title 3', 'Title 6', 'Title 4') RETURNING *";
        let write = async {
            let tx = world.db.begin().await?;
            read_half(&world, tx.stream_raw(returning(&world, sql)).await).await?;
            tx.commit().await
        };
        asked.after(sql, &["shelf 1", "shelf 2", "book 3", "book 4"], write).await;
    }
}

// case D5, E2: neither the text nor RETURNING says where the row was before.
#[tokio::test]
async fn a_streamed_update_by_key_purges_the_list_that_the_row_left() {
    for world in World::all().await {
        // MariaDB has no UPDATE ... RETURNING.
        if world.database.backend() == Backend::MariaDb {
            continue;
        }
        let asked = Asked::new(&world, lists_and_rows()).await;
        for (shelf, changed) in [(3, ["shelf 1", "shelf 3", "book 3"]), (2, ["shelf 2", "shelf 3", "book 3"])]
        {
            let sql = format!("UPDATE book SET shelf_id = {shelf} WHERE id = 3 RETURNING *");
            let write = async {
                let statement = returning(&world, &sql);
                if shelf == 3 {
                    return read_out(world.db.stream_raw(statement).await).await.map(drop);
                }
                let tx = world.db.begin().await?;
                read_out(tx.stream_raw(statement).await).await?;
                tx.commit().await
            };
            assert_eq!(asked.after(&sql, &changed, write).await, changed, "{world}");
        }
    }
}

// case E2
#[tokio::test]
async fn the_error_of_a_streamed_write_is_the_streams_first_item() {
    for world in World::all().await {
        let sql = match world.database.backend() {
            Backend::MariaDb => "UPDATE book SET shelf_id = 2, title = NULL WHERE id = 3",
            _ => "UPDATE book SET shelf_id = 2, title = NULL WHERE id = 3 RETURNING *",
        };
        let mut rows = world.db.stream_raw(returning(&world, sql)).await.unwrap();
        let error = rows.next().await.unwrap().unwrap_err().to_string();
        assert!(rows.next().await.is_none(), "{world}");
        let mut rows = world.plain().stream_raw(returning(&world, sql)).await.unwrap();
        assert_eq!(rows.next().await.unwrap().unwrap_err().to_string(), error, "{world}");
        drop(rows);
        let tx = world.db.begin().await.unwrap();
        let mut rows = tx.stream_raw(returning(&world, sql)).await.unwrap();
        assert_eq!(rows.next().await.unwrap().unwrap_err().to_string(), error, "{world}");
        drop(rows);
        tx.rollback().await.unwrap();
    }
}

// case E2: the statement stands alone, and is visible at once.
#[tokio::test]
async fn a_stream_after_the_end_of_its_transaction_purges_before_its_first_row() {
    for world in World::all().await {
        let asked = Asked::new(&world, lists_and_rows()).await;
        let sql = "DELETE FROM book WHERE title = 'Title 3' RETURNING *";
        let write = async {
            let tx = world.db.begin().await?;
            tx.execute_unprepared("ROLLBACK").await?;
            read_half(&world, tx.stream_raw(returning(&world, sql)).await).await?;
            drop(tx);
            Ok(())
        };
        asked.after(sql, &["shelf 1", "book 3"], write).await;
    }
}
