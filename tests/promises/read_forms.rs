//! Every way to read through the cache says what the database says: the first time from the
//! database, then from the cache, and from the database again once any table that it reads was
//! written.

mod lists;
mod many_keys;
mod options;
mod questions;
mod tables;

use std::{fmt::Debug, time::Duration};

use futures_util::future::LocalBoxFuture;
use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, DerivePartialModel, ExprTrait, FromQueryResult, JoinType, PaginatorTrait, QueryOrder,
    QuerySelect, QueryTrait,
    entity::prelude::*,
    sea_query::{Query, UnionType},
};
use sea_orm_cache::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    entity::{book, book_author, publisher, review, shelf},
    support::eventually,
    world::World,
};

const SOON: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Cached,
    Plain,
}

type Read = for<'w> fn(&'w World, How) -> LocalBoxFuture<'w, String>;

/// A way to read, and the tables whose writes purge it.
struct Form {
    name: &'static str,
    tables: &'static [&'static str],
    read: Read,
}

fn show<T: Debug>(read: Result<T, DbErr>) -> String {
    format!("{:?}", read.unwrap())
}

/// A form whose cached and plain readings differ by `.cached()` alone.
macro_rules! form {
    ($name:literal, [$($table:literal),+], $select:expr, $end:ident) => {
        Form {
            name: $name,
            tables: &[$($table),+],
            read: |w, how| Box::pin(async move {
                match how {
                    How::Cached => show($select.cached().$end(&w.db).await),
                    How::Plain => show($select.$end(w.plain()).await),
                }
            }),
        }
    };
}

/// Part of a book.
#[derive(Debug, Serialize, Deserialize, DerivePartialModel)]
#[sea_orm(entity = "book::Entity")]
struct Label {
    id: i64,
    title: String,
}

/// What `into_values` asks for.
#[derive(Clone, Copy, Debug, EnumIter, DeriveColumn)]
enum OnlyTitle {
    Title,
}

/// A book as a catalogue prints it.
#[derive(Debug, Serialize, Deserialize, FromQueryResult)]
struct Entry {
    title: String,
    price_cents: i64,
    publisher: Option<String>,
}

fn books() -> sea_orm::Select<book::Entity> {
    book::Entity::find().order_by_asc(book::Column::Id)
}

fn titles() -> sea_orm::Select<book::Entity> {
    books().select_only().column(book::Column::Title)
}

fn catalogue() -> sea_orm::Select<book::Entity> {
    let join = book::Entity::belongs_to(publisher::Entity)
        .from(book::Column::PublisherId)
        .to(publisher::Column::Id)
        .into();
    let select = books().select_only().column(book::Column::Title).column(book::Column::PriceCents);
    select.column_as(publisher::Column::Name, "publisher").join(JoinType::LeftJoin, join)
}

fn reviewed() -> sea_orm::sea_query::SelectStatement {
    Query::select().column(review::Column::BookId).from(review::Entity).to_owned()
}

fn single_reads() -> Vec<Form> {
    vec![
        form!("one, by key", ["book"], book::Entity::find_by_id(3), one),
        form!("one, by key, no such row", ["book"], book::Entity::find_by_id(4711), one),
        form!("one, by a key of two columns", ["book_author"], book_author::Entity::find_by_id((1, 1)), one),
        form!("one, by another column", ["book"], books().filter(book::Column::Title.eq("Title 3")), one),
        form!("one, none", ["book"], books().filter(book::Column::Title.eq("nobody's")), one),
        Form {
            name: "require_one",
            tables: &["book"],
            read: |w, how| {
                Box::pin(async move {
                    let select = books().filter(book::Column::ShelfId.eq(2));
                    match how {
                        How::Cached => show(select.cached().require_one(&w.db).await),
                        How::Plain => show(select.one(w.plain()).await.map(Option::unwrap)),
                    }
                })
            },
        },
        Form {
            name: "cached_by_id",
            tables: &["book"],
            read: |w, how| {
                Box::pin(async move {
                    match how {
                        How::Cached => show(book::Entity::cached_by_id(5, &w.db).await),
                        How::Plain => show(book::Entity::find_by_id(5).one(w.plain()).await),
                    }
                })
            },
        },
        Form {
            name: "cached_by_ids, one",
            tables: &["shelf"],
            read: |w, how| {
                Box::pin(async move {
                    match how {
                        How::Cached => show(shelf::Entity::cached_by_ids([2], &w.db).await),
                        How::Plain => {
                            let shelf = shelf::Entity::find_by_id(2).one(w.plain()).await;
                            show(shelf.map(|shelf| vec![shelf]))
                        }
                    }
                })
            },
        },
    ]
}

fn list_reads() -> Vec<Form> {
    vec![
        form!("all", ["book"], books(), all),
        form!("all, filtered", ["book"], books().filter(book::Column::ShelfId.eq(2)), all),
        form!("all, none", ["book"], books().filter(book::Column::ShelfId.eq(4711)), all),
        form!("all, limit and offset", ["book"], books().limit(3).offset(2), all),
        form!("count", ["book"], books().filter(book::Column::ShelfId.eq(1)), count),
        Form {
            name: "paginate, a page",
            tables: &["book"],
            read: |w, how| {
                Box::pin(async move {
                    match how {
                        How::Cached => show(books().cached().paginate(&w.db, 5).fetch_page(1).await),
                        How::Plain => show(books().paginate(w.plain(), 5).fetch_page(1).await),
                    }
                })
            },
        },
        Form {
            name: "paginate, num_items_and_pages",
            tables: &["book"],
            read: |w, how| {
                Box::pin(async move {
                    match how {
                        How::Cached => show(books().cached().paginate(&w.db, 5).num_items_and_pages().await),
                        How::Plain => show(books().paginate(w.plain(), 5).num_items_and_pages().await),
                    }
                })
            },
        },
        form!(
            "all, in a subquery",
            ["book", "review"],
            books().filter(book::Column::Id.in_subquery(reviewed())),
            all
        ),
        form!(
            "all, exists",
            ["book", "review"],
            books().filter(Expr::exists(
                Query::select()
                    .expr(Expr::val(1))
                    .from(review::Entity)
                    .and_where(
                        Expr::col((review::Entity, review::Column::BookId))
                            .equals((book::Entity, book::Column::Id))
                    )
                    .to_owned()
            )),
            all
        ),
        form!("all, a union", ["book", "review"], union_of_titles_and_bodies(), all),
        form!(
            "all, ordered by a joined column",
            ["book", "publisher"],
            book::Entity::find()
                .left_join(publisher::Entity)
                .order_by_desc(publisher::Column::Name)
                .order_by_asc(book::Column::Id),
            all
        ),
    ]
}

fn union_of_titles_and_bodies() -> sea_orm::Selector<sea_orm::SelectGetableTuple<Option<String>>> {
    let mut select = book::Entity::find().select_only().column(book::Column::Title);
    let bodies = Query::select().column(review::Column::Body).from(review::Entity).to_owned();
    QueryTrait::query(&mut select).union(UnionType::All, bodies);
    // The databases need not agree on an order, and a union without one keeps none.
    QueryTrait::query(&mut select).order_by_expr(Expr::cust("1"), sea_orm::Order::Asc);
    select.into_tuple()
}

fn joined_reads() -> Vec<Form> {
    vec![
        form!(
            "find_also_related, one",
            ["book", "publisher"],
            book::Entity::find_by_id(3).find_also_related(publisher::Entity),
            one
        ),
        form!(
            "find_also_related, all",
            ["book", "publisher"],
            books().find_also_related(publisher::Entity),
            all
        ),
        form!(
            "find_also_related, nothing on the other side",
            ["book", "publisher"],
            publisher::Entity::find_by_id(3).find_also_related(book::Entity),
            one
        ),
        form!(
            "find_with_related",
            ["book", "publisher"],
            publisher::Entity::find()
                .find_with_related(book::Entity)
                .order_by_asc(publisher::Column::Id)
                .order_by_asc(book::Column::Id),
            all
        ),
        form!(
            "find_with_related, no children",
            ["book", "review"],
            book::Entity::find_by_id(7).find_with_related(review::Entity),
            all
        ),
    ]
}

fn shaped_reads() -> Vec<Form> {
    vec![
        form!("into_model, one", ["book", "publisher"], catalogue().into_model::<Entry>(), one),
        form!("into_model, all", ["book", "publisher"], catalogue().into_model::<Entry>(), all),
        form!("into_partial_model", ["book"], books().into_partial_model::<Label>(), all),
        form!("into_tuple, one", ["book"], titles().into_tuple::<String>(), one),
        form!("into_tuple, all", ["book"], titles().into_tuple::<String>(), all),
        form!(
            "into_tuple, two columns",
            ["book"],
            titles().column(book::Column::Stock).into_tuple::<(String, i32)>(),
            all
        ),
        form!("into_json, one", ["book"], books().into_json(), one),
        form!("into_json, all", ["book"], books().into_json(), all),
        form!("into_values", ["book"], titles().into_values::<String, OnlyTitle>(), all),
        // case E3
        form!(
            "group by, having, an aggregate",
            ["book"],
            book::Entity::find()
                .select_only()
                .column(book::Column::ShelfId)
                .column_as(book::Column::Id.count(), "books")
                .group_by(book::Column::ShelfId)
                .having(book::Column::Id.count().gt(1))
                .order_by_asc(book::Column::ShelfId)
                .into_tuple::<(i64, i64)>(),
            all
        ),
        form!(
            "distinct",
            ["book"],
            book::Entity::find()
                .select_only()
                .column(book::Column::ShelfId)
                .distinct()
                .order_by_asc(book::Column::ShelfId)
                .into_tuple::<i64>(),
            all
        ),
        // case E7
        form!(
            "a join of a table with itself",
            ["book"],
            {
                let same_shelf =
                    Expr::col(("twin", book::Column::ShelfId)).equals((book::Entity, book::Column::ShelfId));
                let mut select = titles();
                QueryTrait::query(&mut select).join_as(JoinType::InnerJoin, book::Entity, "twin", same_shelf);
                select.into_tuple::<String>()
            },
            all
        ),
    ]
}

/// Two reviews of book 1, one of book 2, and who wrote books 1 and 2.
async fn stock_more(world: &World) {
    let db = world.plain();
    publisher::Entity::insert(publisher::ActiveModel { id: Set(3), name: Set("Publisher 3".into()) })
        .exec_without_returning(db)
        .await
        .unwrap();
    let reviews = [(1, 1, Some("good")), (2, 1, None), (3, 2, Some(""))];
    review::Entity::insert_many(reviews.map(|(id, book, body)| new_review(id, book, body)))
        .exec_without_returning(db)
        .await
        .unwrap();
    let links = [1, 2].map(|book| book_author::ActiveModel { book_id: Set(book), author_id: Set(1) });
    book_author::Entity::insert_many(links).exec_without_returning(db).await.unwrap();
}

fn new_review(id: i64, book: i64, body: Option<&str>) -> review::ActiveModel {
    review::ActiveModel {
        id: Set(id),
        book_id: Set(book),
        customer_id: Set(1),
        stars: Set(4),
        body: Set(body.map(str::to_owned)),
    }
}

/// Writes something to a table that every read of its rows sees.
async fn write(world: &World, table: &str) {
    let sql = match table {
        "book" => "UPDATE book SET stock = stock + 1, price_cents = price_cents + 1, title = UPPER(title)",
        "publisher" => "UPDATE publisher SET name = UPPER(name)",
        "shelf" => "UPDATE shelf SET label = UPPER(label)",
        "review" => "UPDATE review SET stars = stars + 1, body = UPPER(body)",
        "book_author" => "UPDATE book_author SET author_id = author_id",
        "author" => "UPDATE author SET name = UPPER(name)",
        _ => panic!("{table}"),
    };
    world.db.execute_unprepared(sql).await.unwrap();
}

// case E1, E2, E3, E4, E5, E6, E7, E10, E14, E15
// feature B11
#[tokio::test]
async fn every_read_form_says_what_the_database_says_and_is_purged_by_every_table_it_reads() {
    for world in World::all().await {
        stock_more(&world).await;
        let mut forms = single_reads();
        forms.extend(list_reads());
        forms.extend(joined_reads());
        forms.extend(shaped_reads());
        let mut wrong = Vec::new();
        for Form { name, tables, read } in forms {
            let mut check = async |when: &str, expect_hit: bool| {
                let (cached, hit) = world.is_hit(read(&world, How::Cached)).await;
                let truth = read(&world, How::Plain).await;
                if cached != truth {
                    wrong.push(format!("{world}: {name}, {when}: {cached}, not {truth}"));
                }
                if hit != expect_hit {
                    wrong.push(format!("{world}: {name}, {when}: hit is {hit}"));
                }
            };
            let cached_now = async || {
                eventually(name, SOON, async || world.is_hit(read(&world, How::Cached)).await.1).await;
            };
            check("first", false).await;
            cached_now().await;
            check("again", true).await;
            for table in ["book", "publisher", "review", "shelf", "book_author", "author"] {
                write(&world, table).await;
                let purged = tables.contains(&table);
                check(&format!("after a write to {table}"), !purged).await;
                if purged {
                    cached_now().await;
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
