//! Streams, cursors and existence: what is not `.cached()` is asked of the database and stores nothing.

use futures_util::{StreamExt, TryStreamExt};
use sea_orm::{QueryOrder, SelectExt, StreamTrait, TransactionTrait, entity::prelude::*};
use sea_orm_cache::prelude::*;

use crate::{
    entity::book,
    question::{Asked, question},
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
