//! Aggregates, groups, windows and set operations.

use sea_orm::{
    ActiveValue::Set,
    ExprTrait, QueryOrder, QuerySelect, QueryTrait,
    entity::prelude::*,
    sea_query::{Query, UnionType},
};
use sea_orm_cache::prelude::*;

use super::{send, stock_more};
use crate::{
    entity::{author, book, publisher, review, shelf},
    question::{Asked, question},
    support::Backend,
    world::{World, new_book},
};

fn of_books() -> sea_orm::Select<book::Entity> {
    book::Entity::find().select_only()
}

// case E3
#[tokio::test]
async fn aggregates_are_of_the_rows_that_are_there() {
    for world in World::all().await {
        stock_more(&world).await;
        let questions = vec![
            question!(
                "minimum",
                of_books().column_as(book::Column::PriceCents.min(), "n").into_tuple::<Option<i64>>(),
                one
            ),
            question!(
                "maximum",
                of_books().column_as(book::Column::PriceCents.max(), "n").into_tuple::<Option<i64>>(),
                one
            ),
            question!(
                "maximum of none",
                of_books()
                    .filter(book::Column::ShelfId.eq(99))
                    .column_as(book::Column::PriceCents.max(), "n")
                    .into_tuple::<Option<i64>>(),
                all
            ),
            question!(
                "sum",
                of_books()
                    .column_as(Expr::cust("TRIM(CAST(SUM(stock) AS CHAR(30)))"), "n")
                    .into_tuple::<String>(),
                one
            ),
            question!(
                "average",
                of_books()
                    .column_as(Expr::cust("TRIM(CAST(AVG(price_cents) AS CHAR(30)))"), "n")
                    .into_tuple::<String>(),
                one
            ),
            question!(
                "publishers",
                of_books().column_as(Expr::cust("COUNT(DISTINCT publisher_id)"), "n").into_tuple::<i64>(),
                one
            ),
            question!(
                "bodies, which may be NULL",
                review::Entity::find()
                    .select_only()
                    .column_as(review::Column::Body.count(), "n")
                    .into_tuple::<i64>(),
                one
            ),
            question!(
                "by stars",
                review::Entity::find()
                    .select_only()
                    .column(review::Column::Stars)
                    .column_as(review::Column::Id.count(), "n")
                    .group_by(review::Column::Stars)
                    .having(review::Column::Id.count().gte(1))
                    .order_by_asc(review::Column::Stars)
                    .into_tuple::<(i32, i64)>(),
                all
            ),
            question!(
                "shelves with four",
                of_books()
                    .column(book::Column::ShelfId)
                    .group_by(book::Column::ShelfId)
                    .having(Expr::cust("COUNT(*) = 4"))
                    .order_by_asc(book::Column::ShelfId)
                    .into_tuple::<i64>(),
                all
            ),
            question!(
                "shelves",
                of_books()
                    .column(book::Column::ShelfId)
                    .distinct()
                    .order_by_asc(book::Column::ShelfId)
                    .into_tuple::<i64>(),
                all
            ),
            question!(
                "distinct publishers, counted",
                of_books().column(book::Column::PublisherId).distinct(),
                count
            ),
        ];
        let asked = Asked::new(&world, questions).await;
        let dearest = book::ActiveModel { shelf_id: Set(2), price_cents: Set(9999), ..new_book(13) };
        let changed = ["maximum", "sum", "average", "shelves with four"];
        asked.after("a dear book", &changed, dearest.insert(&world.db)).await;
        let starless = "UPDATE review SET stars = 4, body = NULL";
        asked.after("other stars", &["bodies, which may be NULL", "by stars"], send(&world, starless)).await;
        let gone =
            book::Entity::delete_many().filter(book::Column::ShelfId.eq(2)).filter(book::Column::Id.gt(2));
        let changed = ["maximum", "sum", "average"];
        asked.after("books gone", &changed, gone.exec(&world.db)).await;
        let other = "UPDATE book SET publisher_id = 1, shelf_id = 1";
        let changed = ["publishers", "shelves with four", "shelves", "distinct publishers, counted"];
        asked.after("one publisher, one shelf", &changed, send(&world, other)).await;
        let first = book::ActiveModel { shelf_id: Set(99), ..new_book(14) };
        shelf::Entity::insert(shelf::ActiveModel { id: Set(99), label: Set("99".into()) })
            .exec_without_returning(world.plain())
            .await
            .unwrap();
        let changed = ["maximum", "maximum of none", "sum", "average", "shelves"];
        asked.after("a first book on a shelf", &changed, first.insert(&world.db)).await;
    }
}

// case E3, E10
#[tokio::test]
async fn a_null_that_was_selected_is_not_no_row() {
    for world in World::all().await {
        let dearest = async || {
            let price = of_books()
                .filter(book::Column::ShelfId.eq(99))
                .column_as(book::Column::PriceCents.max(), "n");
            price.into_tuple::<Option<i64>>().cached().one(&world.db).await.unwrap()
        };
        for _ in 0..3 {
            assert_eq!(dearest().await, Some(None), "{world}: one row, and NULL in it");
        }
    }
}

// case E3
#[tokio::test]
async fn windows_filters_and_what_only_one_database_has() {
    for world in World::all().await {
        let mut questions = vec![question!(
            "rank on the shelf",
            of_books()
                .column(book::Column::Id)
                .column_as(
                    Expr::cust("RANK() OVER (PARTITION BY shelf_id ORDER BY price_cents DESC)"),
                    "place"
                )
                .order_by_asc(book::Column::Id)
                .into_tuple::<(i64, i64)>(),
            all
        )];
        questions.push(match world.database.backend() {
            Backend::MariaDb => question!(
                "titles in one",
                of_books()
                    .column_as(Expr::cust("GROUP_CONCAT(title ORDER BY id DESC SEPARATOR '|')"), "titles")
                    .group_by(book::Column::ShelfId)
                    .order_by_asc(book::Column::ShelfId)
                    .into_tuple::<String>(),
                all
            ),
            Backend::Postgres => question!(
                "titles in one",
                of_books()
                    .column_as(
                        Expr::cust("STRING_AGG(title, '|' ORDER BY id DESC) FILTER (WHERE id > 2)"),
                        "titles"
                    )
                    .group_by(book::Column::ShelfId)
                    .order_by_asc(book::Column::ShelfId)
                    .into_tuple::<String>(),
                all
            ),
            Backend::Sqlite => question!(
                "titles in one",
                of_books()
                    .column_as(Expr::cust("GROUP_CONCAT(title, '|') FILTER (WHERE id > 2)"), "titles")
                    .group_by(book::Column::ShelfId)
                    .order_by_asc(book::Column::ShelfId)
                    .into_tuple::<String>(),
                all
            ),
        });
        if world.database.backend() == Backend::Postgres {
            questions.push(question!(
                "dearest of each shelf",
                book::Entity::find()
                    .distinct_on([book::Column::ShelfId])
                    .order_by_asc(book::Column::ShelfId)
                    .order_by_desc(book::Column::PriceCents),
                all
            ));
        }
        let names: Vec<_> = questions.iter().map(|question| question.name).collect();
        let asked = Asked::new(&world, questions).await;
        let write = "UPDATE book SET price_cents = 5000, title = UPPER(title) WHERE id = 3";
        asked.after("another price", &names, send(&world, write)).await;
    }
}

/// The titles of books, put together with the names of others by a set operation.
fn titles_and(
    operation: UnionType,
    others: sea_orm::sea_query::SelectStatement,
) -> sea_orm::Selector<sea_orm::SelectGetableTuple<String>> {
    let mut select = of_books().column(book::Column::Title);
    QueryTrait::query(&mut select).union(operation, others);
    QueryTrait::query(&mut select).order_by_expr(Expr::cust("1"), sea_orm::Order::Asc);
    select.into_tuple()
}

fn author_names() -> sea_orm::sea_query::SelectStatement {
    Query::select().column(author::Column::Name).from(author::Entity).to_owned()
}

fn publisher_names() -> sea_orm::sea_query::SelectStatement {
    Query::select().column(publisher::Column::Name).from(publisher::Entity).to_owned()
}

// case E5
#[tokio::test]
async fn set_operations_depend_on_all_their_sides() {
    for world in World::all().await {
        let questions = vec![
            question!("either", titles_and(UnionType::Distinct, author_names()), all),
            question!("both lists", titles_and(UnionType::All, author_names()), all),
            question!("in both", titles_and(UnionType::Intersect, author_names()), all),
            question!("only titles", titles_and(UnionType::Except, author_names()), all),
            question!(
                "three",
                titles_and(
                    UnionType::All,
                    author_names().union(UnionType::All, publisher_names()).to_owned()
                ),
                all
            ),
        ];
        let asked = Asked::new(&world, questions).await;
        let namesake = "UPDATE author SET name = 'Title 3' WHERE id = 1";
        let all = ["either", "both lists", "in both", "only titles", "three"];
        asked.after("an author called like a book", &all, send(&world, namesake)).await;
        let purged =
            asked.after("a publisher", &["three"], send(&world, "UPDATE publisher SET name = 'P'")).await;
        assert_eq!(purged, ["three"], "{world}");
        let title = "UPDATE book SET title = 'Other' WHERE id = 3";
        asked.after("the book called otherwise", &all, send(&world, title)).await;
    }
}
