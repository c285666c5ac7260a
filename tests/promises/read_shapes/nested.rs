//! Queries within queries, and joins of which no column is read.

use sea_orm::{
    ActiveValue::Set,
    Condition, ExprTrait, JoinType, QueryOrder, QuerySelect, QueryTrait,
    entity::prelude::*,
    sea_query::{Alias, Query},
};
use sea_orm_cache::prelude::*;

use super::{send, stock_more};
use crate::{
    entity::{author, book, book_author, publisher, review},
    question::{Asked, question},
    support::Backend,
    world::World,
};

fn books() -> sea_orm::Select<book::Entity> {
    book::Entity::find().order_by_asc(book::Column::Id)
}

fn where_sql(condition: &'static str) -> sea_orm::Select<book::Entity> {
    books().filter(Expr::cust(condition))
}

fn column_sql(
    expression: &'static str,
) -> sea_orm::Selector<sea_orm::SelectGetableTuple<(i64, Option<i64>)>> {
    books().select_only().column(book::Column::Id).column_as(Expr::cust(expression), "n").into_tuple()
}

// case E6
#[tokio::test]
async fn a_query_depends_on_the_tables_of_the_queries_in_it() {
    for world in World::all().await {
        stock_more(&world).await;
        let questions = vec![
            question!(
                "in WHERE, three deep",
                where_sql(
                    "id IN (SELECT book_id FROM book_author WHERE author_id IN \
                     (SELECT id FROM author WHERE name IN (SELECT name FROM author WHERE name LIKE 'A%')))"
                ),
                all
            ),
            question!(
                "in EXISTS",
                where_sql("EXISTS (SELECT 1 FROM review WHERE review.book_id = book.id AND stars > 3)"),
                all
            ),
            question!(
                "in NOT EXISTS",
                where_sql("NOT EXISTS (SELECT 1 FROM review WHERE review.book_id = book.id)"),
                count
            ),
            question!(
                "in the SELECT list",
                column_sql("(SELECT COUNT(*) FROM review r WHERE r.book_id = book.id AND stars > 9)"),
                all
            ),
            question!(
                "in CASE",
                column_sql(
                    "CASE WHEN id IN (SELECT book_id FROM review) THEN (SELECT COUNT(*) FROM author) END"
                ),
                all
            ),
            question!(
                "in ORDER BY",
                book::Entity::find()
                    .order_by_desc(Expr::cust("(SELECT COUNT(*) FROM review r WHERE r.book_id = book.id)"))
                    .order_by_asc(book::Column::Id),
                all
            ),
            question!(
                "in WITH",
                where_sql(
                    "id IN (WITH w AS (SELECT book_id FROM review WHERE stars > 3) SELECT book_id FROM w)"
                ),
                all
            ),
            question!(
                "in WITH RECURSIVE",
                where_sql(
                    "id IN (WITH RECURSIVE n (id) AS (SELECT MIN(book_id) FROM review UNION ALL \
                     SELECT id + 1 FROM n WHERE id < (SELECT COUNT(*) FROM author) + 2) SELECT id FROM n)"
                ),
                all
            ),
            question!(
                "in a WITH that hides a table",
                where_sql("id IN (WITH author AS (SELECT book_id FROM review) SELECT book_id FROM author)"),
                all
            ),
        ];
        let asked = Asked::new(&world, questions).await;
        let stars = "UPDATE review SET stars = 6 - stars WHERE id = 1";
        asked.after("stars", &["in EXISTS", "in WITH"], send(&world, stars)).await;
        let moved = "UPDATE review SET book_id = 7, stars = 10 WHERE id = 3";
        let changed = [
            "in EXISTS",
            "in the SELECT list",
            "in CASE",
            "in ORDER BY",
            "in WITH",
            "in a WITH that hides a table",
        ];
        asked.after("a review of another book", &changed, send(&world, moved)).await;
        let renamed = "UPDATE author SET name = 'Nobody' WHERE id = 1";
        asked.after("an author's name", &["in WHERE, three deep"], send(&world, renamed)).await;
        let new = author::ActiveModel { id: Set(50), name: Set("new".into()) };
        let changed = ["in CASE", "in WITH RECURSIVE"];
        asked.after("an author", &changed, new.insert(&world.db)).await;
        asked.after("no links", &[], send(&world, "DELETE FROM book_author")).await;
        asked
            .after("a link", &[], send(&world, "INSERT INTO book_author (book_id, author_id) VALUES (9, 1)"))
            .await;
        let back = "UPDATE author SET name = 'Author 1' WHERE id = 1";
        asked.after("the author's name again", &["in WHERE, three deep"], send(&world, back)).await;
        let gone = [
            "in EXISTS",
            "in NOT EXISTS",
            "in the SELECT list",
            "in CASE",
            "in ORDER BY",
            "in WITH",
            "in WITH RECURSIVE",
            "in a WITH that hides a table",
        ];
        asked.after("no reviews", &gone, send(&world, "DELETE FROM review")).await;
    }
}

/// Books from a subquery instead of the table.
fn from_subquery() -> sea_orm::Select<book::Entity> {
    let mut select = book::Entity::find();
    let reviewed = Query::select()
        .column((Alias::new("b"), Alias::new("id")))
        .from_as(book::Entity, "b")
        .inner_join(
            review::Entity,
            Expr::col((review::Entity, review::Column::BookId)).equals((Alias::new("b"), Alias::new("id"))),
        )
        .distinct()
        .to_owned();
    let on = Expr::col((book::Entity, book::Column::Id)).equals((Alias::new("reviewed"), Alias::new("id")));
    QueryTrait::query(&mut select).join_subquery(
        JoinType::InnerJoin,
        reviewed,
        "reviewed",
        Condition::all().add(on),
    );
    select.order_by_asc(book::Column::Id)
}

/// The best stars of each book, by a lateral join.
fn lateral() -> sea_orm::Selector<sea_orm::SelectGetableTuple<(i64, Option<i32>)>> {
    let mut select =
        books().select_only().column(book::Column::Id).column_as(Expr::cust("best.stars"), "stars");
    let best = Query::select()
        .column(review::Column::Stars)
        .from(review::Entity)
        .and_where(
            Expr::col((review::Entity, review::Column::BookId)).equals((book::Entity, book::Column::Id)),
        )
        .order_by(review::Column::Stars, sea_orm::Order::Desc)
        .limit(1)
        .to_owned();
    QueryTrait::query(&mut select).join_lateral(JoinType::LeftJoin, best, "best", Expr::val(true));
    select.into_tuple()
}

fn written_by_somebody() -> sea_orm::Select<book::Entity> {
    let link = book::Entity::belongs_to(book_author::Entity)
        .from(book::Column::Id)
        .to(book_author::Column::BookId)
        .into();
    books().join(JoinType::InnerJoin, link)
}

fn twins() -> sea_orm::Selector<sea_orm::SelectGetableTuple<(i64, i64)>> {
    let on = Condition::all()
        .add(Expr::col(("twin", book::Column::ShelfId)).equals((book::Entity, book::Column::ShelfId)))
        .add(Expr::col(("twin", book::Column::Id)).gt(Expr::col((book::Entity, book::Column::Id))));
    let mut select = books()
        .select_only()
        .column(book::Column::Id)
        .column_as(Expr::col(("twin", book::Column::Id)), "other");
    QueryTrait::query(&mut select).join_as(JoinType::InnerJoin, book::Entity, "twin", on);
    select.order_by_asc(Expr::col(("twin", book::Column::Id))).into_tuple()
}

// case E6, E7
#[tokio::test]
async fn a_query_depends_on_tables_that_are_only_joined() {
    for world in World::all().await {
        stock_more(&world).await;
        let mut questions = vec![
            question!("a joined subquery", from_subquery(), all),
            question!("joined for its filter", written_by_somebody(), all),
            question!("joined for its filter, counted", written_by_somebody(), count),
            question!(
                "joined for its order",
                book::Entity::find()
                    .inner_join(publisher::Entity)
                    .order_by_asc(publisher::Column::Name)
                    .order_by_asc(book::Column::Id)
                    .limit(3),
                all
            ),
            question!("joined with itself", twins(), all),
        ];
        if world.database.backend() == Backend::Postgres {
            questions.push(question!("joined laterally", lateral(), all));
        }
        let has_lateral = world.database.backend() == Backend::Postgres;
        let with_lateral = |names: &[&'static str]| {
            let mut names = names.to_vec();
            names.extend(has_lateral.then_some("joined laterally"));
            names
        };
        let asked = Asked::new(&world, questions).await;
        let stars = "UPDATE review SET stars = 1 WHERE id = 1";
        asked.after("stars", &with_lateral(&[]), send(&world, stars)).await;
        let moved = "UPDATE review SET book_id = 8 WHERE book_id = 2";
        asked.after("a review moved", &with_lateral(&["a joined subquery"]), send(&world, moved)).await;
        let link = "DELETE FROM book_author WHERE book_id = 2";
        let changed = ["joined for its filter", "joined for its filter, counted"];
        asked.after("a link removed", &changed, send(&world, link)).await;
        let renamed = "UPDATE publisher SET name = 'A' WHERE id = 2";
        asked.after("a publisher's name", &["joined for its order"], send(&world, renamed)).await;
        let moved = "UPDATE book SET shelf_id = 3 WHERE id = 12";
        asked.after("a book on another shelf", &["joined with itself"], send(&world, moved)).await;
    }
}
