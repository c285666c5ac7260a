//! Rows whose keys change, and columns whose new value no text tells.

use std::sync::atomic::{AtomicI32, Ordering};

use futures_util::future::try_join_all;
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DbBackend, ExprTrait, QueryOrder, Statement, TransactionTrait,
    entity::prelude::*,
};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    entity::{author, book, book_author},
    question::{Asked, How, Question, question, show},
    support::Backend,
    world::{World, retitled},
};

fn books_by_id() -> sea_orm::Select<book::Entity> {
    book::Entity::find().order_by_asc(book::Column::Id)
}

fn with_stock(stock: Expr) -> sea_orm::UpdateMany<book::Entity> {
    book::Entity::update_many().col_expr(book::Column::Stock, stock)
}

fn some_books() -> Question {
    Question {
        name: "books 6, 60 and 7",
        ask: |world, how| {
            Box::pin(async move {
                match how {
                    How::Cached => show(book::Entity::cached_by_ids([6_i64, 60, 7], &world.db).await),
                    How::Plain => {
                        let mut rows = Vec::new();
                        for id in [6_i64, 60, 7] {
                            rows.push(book::Entity::find_by_id(id).one(world.plain()).await.unwrap());
                        }
                        show(Ok(rows))
                    }
                }
            })
        },
    }
}

// case D4
#[tokio::test]
async fn a_row_with_a_new_key_is_gone_under_the_old_one_and_there_under_the_new_one() {
    for world in World::all().await {
        let questions = vec![
            question!("book 6", book::Entity::find_by_id(6), one),
            question!("book 60", book::Entity::find_by_id(60), one),
            question!("book 7", book::Entity::find_by_id(7), one),
            some_books(),
            question!("shelf 1", books_by_id().filter(book::Column::ShelfId.eq(1)), all),
            question!("shelf 2", books_by_id().filter(book::Column::ShelfId.eq(2)), all),
            question!("how many", book::Entity::find(), count),
        ];
        let asked = Asked::new(&world, questions).await;
        let rename = book::Entity::update_many()
            .col_expr(book::Column::Id, Expr::value(60_i64))
            .filter(book::Column::Id.eq(6_i64));
        let changed = ["book 6", "book 60", "books 6, 60 and 7", "shelf 1"];
        asked.after("a new key for one row", &changed, rename.exec(&world.db)).await;

        // Two rows change places: every key that was there still is, with another row.
        let swap = async {
            let tx = world.db.begin().await?;
            for (from, to) in [(60_i64, 61_i64), (7, 60), (61, 7)] {
                book::Entity::update_many()
                    .col_expr(book::Column::Id, Expr::value(to))
                    .filter(book::Column::Id.eq(from))
                    .exec(&tx)
                    .await?;
            }
            tx.commit().await
        };
        let changed = ["book 60", "book 7", "books 6, 60 and 7", "shelf 1", "shelf 2"];
        asked.after("two rows that change places", &changed, swap).await;

        let all = "UPDATE book SET id = id + 1000 WHERE id > 5";
        let changed = ["book 60", "book 7", "books 6, 60 and 7", "shelf 1", "shelf 2"];
        asked.after("computed keys", &changed, send(&world, all)).await;
    }
}

// case D4
#[tokio::test]
async fn half_of_a_key_can_change() {
    for world in World::all().await {
        let authors =
            (2..=3).map(|id| author::ActiveModel { id: Set(id), name: Set(format!("Author {id}")) });
        author::Entity::insert_many(authors).exec_without_returning(world.plain()).await.unwrap();
        let links = [(1, 1), (1, 3), (2, 1)]
            .map(|(book, author)| book_author::ActiveModel { book_id: Set(book), author_id: Set(author) });
        book_author::Entity::insert_many(links).exec_without_returning(world.plain()).await.unwrap();
        let questions = vec![
            question!("link 1, 1", book_author::Entity::find_by_id((1, 1)), one),
            question!("link 1, 2", book_author::Entity::find_by_id((1, 2)), one),
            question!("link 1, 3", book_author::Entity::find_by_id((1, 3)), one),
            question!("link 2, 1", book_author::Entity::find_by_id((2, 1)), one),
            question!(
                "links of author 1",
                book_author::Entity::find()
                    .filter(book_author::Column::AuthorId.eq(1))
                    .order_by_asc(book_author::Column::BookId),
                all
            ),
        ];
        let asked = Asked::new(&world, questions).await;
        let other_author = book_author::Entity::update_many()
            .col_expr(book_author::Column::AuthorId, Expr::value(2_i64))
            .filter(book_author::Column::BookId.eq(1_i64))
            .filter(book_author::Column::AuthorId.eq(1_i64));
        let changed = ["link 1, 1", "link 1, 2", "links of author 1"];
        asked.after("another author", &changed, other_author.exec(&world.db)).await;
        let other_book = "UPDATE book_author SET book_id = 3 - book_id WHERE author_id IN (1, 2)";
        let changed = ["link 1, 1", "link 1, 2", "link 2, 1", "links of author 1"];
        asked.after("the other book", &changed, send(&world, other_book)).await;
    }
}

// case D7
#[tokio::test]
async fn a_value_that_the_database_computes_moves_rows_between_lists() {
    for world in World::all().await {
        let questions = vec![
            question!("book 3", book::Entity::find_by_id(3), one),
            question!("book 4", book::Entity::find_by_id(4), one),
            question!("shelf 1", books_by_id().filter(book::Column::ShelfId.eq(1)), all),
            question!("shelf 2", books_by_id().filter(book::Column::ShelfId.eq(2)), all),
            question!("shelf 3", books_by_id().filter(book::Column::ShelfId.eq(3)), all),
            question!("out of stock", book::Entity::find().filter(book::Column::Stock.eq(0)), count),
        ];
        let asked = Asked::new(&world, questions).await;
        let next_shelf = Expr::col(book::Column::ShelfId).modulo(3).add(1);
        let moved = book::Entity::update_many()
            .col_expr(book::Column::ShelfId, next_shelf)
            .filter(book::Column::Id.eq(3_i64));
        let changed = ["book 3", "shelf 1", "shelf 2"];
        asked.after("a computed shelf", &changed, moved.exec(&world.db)).await;
        let sold = with_stock(Expr::col(book::Column::Stock).sub(5)).filter(book::Column::Id.eq(4_i64));
        let changed = ["book 4", "shelf 2", "out of stock"];
        asked.after("a computed stock", &changed, sold.exec(&world.db)).await;
        let by_case = "UPDATE book SET shelf_id = CASE id WHEN 3 THEN 1 WHEN 4 THEN 3 ELSE shelf_id END \
                       WHERE id IN (3, 4)";
        let changed = ["book 3", "book 4", "shelf 1", "shelf 2", "shelf 3"];
        asked.after("a CASE", &changed, send(&world, by_case)).await;
        let by_query = "UPDATE book SET stock = (SELECT COUNT(*) FROM shelf) WHERE id = 3";
        asked.after("a subquery", &["book 3", "shelf 1"], send(&world, by_query)).await;
    }
}

// case D21
#[tokio::test]
async fn a_counter_never_shows_less_than_what_has_been_counted() {
    const TASKS: i32 = 6;
    const EACH: i32 = 5;
    for world in World::all().await {
        let counted = AtomicI32::new(0);
        let count = async || {
            for round in 0..EACH {
                let more = Expr::col(book::Column::Stock).add(1);
                let more = with_stock(more).filter(book::Column::Id.eq(3_i64));
                // Every other one in a transaction.
                if round % 2 == 0 {
                    more.exec(&world.db).await?;
                } else {
                    let tx = world.db.begin().await?;
                    more.exec(&tx).await?;
                    tx.commit().await?;
                }
                let at_least = 5 + counted.fetch_add(1, Ordering::SeqCst) + 1;
                let row = book::Entity::find_by_id(3).cached().one(&world.db).await?.unwrap();
                let list = book::Entity::find().filter(book::Column::Id.lt(4_i64));
                let list = list.order_by_desc(book::Column::Id).cached().all(&world.db).await?;
                assert!(row.stock >= at_least, "{world}: {} in the row, {at_least} counted", row.stock);
                assert!(list[0].stock >= at_least, "{world}: {} in the list", list[0].stock);
            }
            Ok::<_, DbErr>(())
        };
        try_join_all((0..TASKS).map(|_| count())).await.unwrap();
        let row = book::Entity::find_by_id(3).cached().one(&world.db).await.unwrap().unwrap();
        assert_eq!(row.stock, 5 + TASKS * EACH, "{world}");
    }
}

// case D27
#[tokio::test]
async fn a_write_of_no_row_says_so_and_changes_no_answer() {
    for world in World::all().await {
        let questions = vec![
            question!("book 3", book::Entity::find_by_id(3), one),
            question!("no book", book::Entity::find_by_id(4711), one),
            question!("books", books_by_id(), all),
            question!("how many", book::Entity::find(), count),
        ];
        let asked = Asked::new(&world, questions).await;
        let none = async {
            let by_key = with_stock(Expr::value(0)).filter(book::Column::Id.eq(4711_i64));
            assert_eq!(by_key.exec(&world.db).await?.rows_affected, 0);
            let by_title = with_stock(Expr::value(0)).filter(book::Column::Title.eq("nobody's"));
            assert_eq!(by_title.exec(&world.db).await?.rows_affected, 0);
            assert_eq!(book::Entity::delete_by_id(4711).exec(&world.db).await?.rows_affected, 0);
            assert!(matches!(retitled(4711, "x").update(&world.db).await, Err(DbErr::RecordNotUpdated)));
            let tx = world.db.begin().await?;
            assert_eq!(book::Entity::delete_by_id(4711).exec(&tx).await?.rows_affected, 0);
            tx.commit().await
        };
        let purged = asked.after("writes of no row", &[], none).await;
        assert!(!purged.contains(&"book 3") || purged.len() == 4, "{world}: {purged:?}");
        new_row_after_all(&world).await;
    }
}

/// "No such row" that a write of no row left behind is found out by an insert.
async fn new_row_after_all(world: &World) {
    let book = crate::world::new_book(4711);
    book::Entity::insert(book).exec_without_returning(&world.db).await.unwrap();
    assert_eq!(world.title(4711).await.as_deref(), Some("Title 4711"), "{world}");
}

/// Sums, whose key the database computes.
mod sum {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "sum_of")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tens: i64,
        pub ones: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

// case D4
#[tokio::test]
async fn a_row_whose_key_the_database_computes_is_gone_under_the_old_one() {
    // Others compute no keys.
    for world in World::all().await.into_iter().filter(|world| world.database.backend() == Backend::Postgres)
    {
        let table = "CREATE TABLE sum_of (ones BIGINT NOT NULL, \
                     tens BIGINT GENERATED ALWAYS AS (ones * 10) STORED PRIMARY KEY)";
        world.database.execute(table).await;
        world.database.execute("INSERT INTO sum_of (ones) VALUES (1), (2)").await;
        let questions = vec![
            question!("sum 10", sum::Entity::find_by_id(10), one),
            question!("sum 30", sum::Entity::find_by_id(30), one),
        ];
        let asked = Asked::new(&world, questions).await;
        let changed = ["sum 10", "sum 30"];
        let statement = |sql: &str| Statement::from_string(DbBackend::Postgres, sql);
        let forth = statement("UPDATE sum_of SET ones = 3 WHERE ones = 1 RETURNING *");
        asked.after("an update that returns it", &changed, world.db.query_all_raw(forth)).await;
        let back = "UPDATE sum_of SET ones = 1 WHERE tens = 30";
        asked.after("an update by its key", &changed, world.db.execute_unprepared(back)).await;
    }
}
