//! Every way to read through the cache says what the database says: the first time from the
//! database, then from the cache, and from the database again once any table that it reads was
//! written.

use std::{fmt::Debug, time::Duration};

use futures_util::future::LocalBoxFuture;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    Condition, ConnectionTrait, DerivePartialModel, ExprTrait, FromQueryResult, JoinType, PaginatorTrait,
    QueryOrder, QuerySelect, QueryTrait, TransactionTrait,
    entity::prelude::*,
    sea_query::{Query, UnionType},
};
use sea_orm_cache::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    entity::{book, book_author, publisher, review, shelf},
    support::{Backend, eventually},
    world::{World, new_book, retitled},
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

// case E4
#[tokio::test]
async fn an_insert_shifts_the_pages_and_their_number() {
    for world in World::all().await {
        let pages = || books_by_title().cached().paginate(&world.db, 5);
        let page = async |number| -> Vec<i64> {
            pages().fetch_page(number).await.unwrap().iter().map(|book| book.id).collect()
        };
        assert_eq!(pages().num_pages().await.unwrap(), 3);
        let before = [page(0).await, page(1).await, page(2).await];
        assert_eq!(before.concat().len(), 12);
        let first = book::ActiveModel { title: Set("A title before all".into()), ..new_book(90) };
        first.insert(&world.db).await.unwrap();
        for _ in 0..2 {
            let after = [page(0).await, page(1).await, page(2).await].concat();
            assert_eq!(after, [vec![90], before.concat()].concat(), "{world}");
            assert_eq!(pages().num_items().await.unwrap(), 13, "{world}");
        }
        book::Entity::delete_many().filter(book::Column::Id.gt(10_i64)).exec(&world.db).await.unwrap();
        assert_eq!(pages().num_pages().await.unwrap(), 2, "{world}");
        assert_eq!(page(2).await, [0; 0], "{world}");
    }
}

fn books_by_title() -> sea_orm::Select<book::Entity> {
    book::Entity::find().order_by_asc(book::Column::Title)
}

// case E14
#[tokio::test]
async fn an_empty_relation_is_purged_by_its_first_child() {
    for world in World::all().await {
        let family = || book::Entity::find_by_id(7).find_with_related(review::Entity).cached();
        let also = || book::Entity::find_by_id(7).find_also_related(review::Entity).cached();
        for _ in 0..2 {
            assert!(family().all(&world.db).await.unwrap()[0].1.is_empty(), "{world}");
            assert_eq!(also().one(&world.db).await.unwrap().unwrap().1, None, "{world}");
        }
        new_review(1, 7, None).insert(&world.db).await.unwrap();
        for _ in 0..2 {
            assert_eq!(family().all(&world.db).await.unwrap()[0].1.len(), 1, "{world}");
            assert_eq!(also().one(&world.db).await.unwrap().unwrap().1.unwrap().id, 1, "{world}");
        }
        review::Entity::delete_by_id(1).exec(&world.db).await.unwrap();
        assert!(family().all(&world.db).await.unwrap()[0].1.is_empty(), "{world}");
        assert_eq!(also().one(&world.db).await.unwrap().unwrap().1, None, "{world}");
    }
}

// case D5, D6
#[tokio::test]
async fn a_row_that_moves_leaves_its_old_list_and_joins_its_new_one() {
    for world in World::all().await {
        let on = async |shelf: i64| -> Vec<i64> {
            let books = books().filter(book::Column::ShelfId.eq(shelf)).cached();
            books.all(&world.db).await.unwrap().iter().map(|book| book.id).collect()
        };
        let from = async |publisher: i64| -> Vec<i64> {
            let publisher = publisher::Entity::find_by_id(publisher).find_with_related(book::Entity);
            let family = publisher.order_by_asc(book::Column::Id).cached().all(&world.db).await.unwrap();
            family[0].1.iter().map(|book| book.id).collect()
        };
        assert_eq!((on(1).await, on(2).await), (vec![3, 6, 9, 12], vec![1, 4, 7, 10]), "{world}");
        assert_eq!((from(1).await.len(), from(2).await.len()), (6, 6), "{world}");
        let moved = book::ActiveModel { shelf_id: Set(2), publisher_id: Set(1), ..retitled(3, "moved") };
        moved.update(&world.db).await.unwrap();
        assert_eq!((on(1).await, on(2).await), (vec![6, 9, 12], vec![1, 3, 4, 7, 10]), "{world}");
        assert_eq!((from(1).await.len(), from(2).await.len()), (7, 5), "{world}");
    }
}

// case E13
#[tokio::test]
async fn rows_by_many_keys_come_in_the_order_asked_and_from_where_they_are() {
    for world in World::all().await {
        let ids = async |ids: Vec<i64>| -> Vec<Option<i64>> {
            let rows = book::Entity::cached_by_ids(ids, &world.db).await.unwrap();
            rows.into_iter().map(|row| row.map(|book| book.id)).collect()
        };
        let counted = async |ask: Vec<i64>| {
            let before = world.cache().stats().total;
            let rows = ids(ask).await;
            let after = world.cache().stats().total;
            (rows, after.hits - before.hits, after.misses - before.misses)
        };
        assert_eq!(ids(vec![]).await, [], "{world}");
        assert_eq!(counted(vec![3, 1]).await, (vec![Some(3), Some(1)], 0, 2), "{world}");
        eventually("stored", SOON, async || counted(vec![1, 3]).await.1 == 2).await;
        // Two are there, one is not, one does not exist; one is asked for twice.
        let asked = vec![5, 3, 4711, 1, 3];
        let expected = vec![Some(5), Some(3), None, Some(1), Some(3)];
        assert_eq!(counted(asked.clone()).await, (expected.clone(), 2, 2), "{world}");
        eventually("stored", SOON, async || counted(asked.clone()).await == (expected.clone(), 4, 0)).await;
        // The same entries as those of `find_by_id`, "no such row" included.
        for (id, there) in [(5, true), (3, true), (4711, false)] {
            let (row, hit) = world.is_hit(world.title(id)).await;
            assert_eq!((row.is_some(), hit), (there, true), "{world}, {id}");
        }
        // A write purges one of them; an insert all that say "no such row", and no other.
        retitled(3, "new").update(&world.db).await.unwrap();
        let rows = book::Entity::cached_by_ids([1_i64, 3, 5], &world.db).await.unwrap();
        let titles: Vec<_> = rows.into_iter().flatten().map(|book| book.title).collect();
        assert_eq!(titles, ["Title 1", "new", "Title 5"], "{world}");
        new_book(4711).insert(&world.db).await.unwrap();
        let (rows, hits, misses) = counted(asked).await;
        assert_eq!(rows, [Some(5), Some(3), Some(4711), Some(1), Some(3)], "{world}");
        assert_eq!((hits, misses), (3, 1), "{world}");
    }
}

// case E12, E13
#[tokio::test]
async fn more_keys_than_one_query_takes_are_read_in_several() {
    for world in World::all().await {
        let many = (100..2600).map(new_book).collect::<Vec<_>>();
        for chunk in many.chunks(500) {
            book::Entity::insert_many(chunk.to_vec()).exec_without_returning(world.plain()).await.unwrap();
        }
        let asked: Vec<i64> = (100..2600).rev().chain([1, 4711]).collect();
        let read = async || {
            let before = world.cache().stats().total;
            let rows = book::Entity::cached_by_ids(asked.clone(), &world.db).await.unwrap();
            let ids: Vec<_> = rows.iter().map(|row| row.as_ref().map(|book| book.id)).collect();
            (ids, world.cache().stats().total.hits - before.hits)
        };
        let expected: Vec<_> = asked.iter().map(|id| (*id != 4711).then_some(*id)).collect();
        assert_eq!(read().await, (expected.clone(), 0), "{world}");
        eventually("stored", SOON, async || read().await == (expected.clone(), 2502)).await;
    }
}

// case E1, E13
#[tokio::test]
async fn rows_by_many_keys_of_two_columns_are_read_and_purged_one_by_one() {
    for world in World::all().await {
        stock_more(&world).await;
        let read = async || {
            let before = world.cache().stats().total;
            let keys = [(2, 1), (1, 1), (1, 2)];
            let rows = book_author::Entity::cached_by_ids(keys, &world.db).await.unwrap();
            let there: Vec<_> =
                rows.into_iter().map(|row| row.map(|row| (row.book_id, row.author_id))).collect();
            (there, world.cache().stats().total.hits - before.hits)
        };
        let expected = vec![Some((2, 1)), Some((1, 1)), None];
        assert_eq!(read().await, (expected.clone(), 0), "{world}");
        eventually("stored", SOON, async || read().await == (expected.clone(), 3)).await;
        book_author::Entity::delete_by_id((1, 1)).exec(&world.db).await.unwrap();
        // The negative entry went with the table, the other row stayed.
        assert_eq!(read().await, (vec![Some((2, 1)), None, None], 1), "{world}");
    }
}

/// Coupons by code: keys of text, which databases compare in their own ways.
mod coupon {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "coupon")]
    #[cache(ttl = "10m")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub code: String,
        pub percent: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

async fn coupons(world: &World) {
    // SQLite too is told to compare as MariaDB does by itself.
    let collate = match world.database.backend() {
        Backend::Sqlite => "COLLATE NOCASE",
        _ => "",
    };
    let sql = format!("CREATE TABLE coupon (code VARCHAR(100) {collate} PRIMARY KEY, percent INT NOT NULL)");
    world.database.execute(&sql).await;
    world.database.execute("INSERT INTO coupon (code, percent) VALUES ('spring', 10), ('fête', 20)").await;
}

// case E23
#[tokio::test]
async fn text_keys_are_found_and_purged_as_the_database_compares_them() {
    for world in World::all().await {
        coupons(&world).await;
        let spellings = ["spring", "SPRING", "Spring", "spring ", "fête", "FÊTE", "fete", "sprung"];
        let plain = async |code: &str| {
            coupon::Entity::find_by_id(code).one(world.plain()).await.unwrap().map(|coupon| coupon.percent)
        };
        let cached = async |code: &str| {
            let coupon = coupon::Entity::find_by_id(code).cached().one(&world.db).await.unwrap();
            coupon.map(|coupon| coupon.percent)
        };
        for (round, written) in spellings.into_iter().enumerate() {
            for code in spellings {
                assert_eq!(cached(code).await, plain(code).await, "{world}, {code:?}");
            }
            let percent = 30 + i32::try_from(round).unwrap();
            coupon::Entity::update_many()
                .col_expr(coupon::Column::Percent, Expr::value(percent))
                .filter(coupon::Column::Code.eq(written))
                .exec(&world.db)
                .await
                .unwrap();
            for code in spellings {
                assert_eq!(cached(code).await, plain(code).await, "{world}, {code:?} after {written:?}");
            }
        }
    }
}

// case E13, E23
#[tokio::test]
async fn many_text_keys_are_found_as_the_database_compares_them() {
    for world in World::all().await {
        coupons(&world).await;
        for asked in [
            vec!["spring", "SPRING"],
            vec!["SPRING", "spring"],
            vec!["Spring", "fête", "sprung"],
            vec!["spring", "SPRING", "FÊTE", "fete", "fête", "sprung", "spring "],
        ] {
            world.cache().clear().await;
            let mut expected = Vec::new();
            for code in &asked {
                let row = coupon::Entity::find_by_id(*code).one(world.plain()).await.unwrap();
                expected.push(row.map(|coupon| coupon.percent));
            }
            for round in 0..2 {
                let rows = coupon::Entity::cached_by_ids(asked.clone(), &world.db).await.unwrap();
                let read: Vec<_> = rows.into_iter().map(|row| row.map(|coupon| coupon.percent)).collect();
                assert_eq!(read, expected, "{world}, {asked:?}, round {round}");
            }
            for (code, expected) in asked.iter().zip(expected) {
                let row = coupon::Entity::find_by_id(*code).cached().one(&world.db).await.unwrap();
                assert_eq!(row.map(|coupon| coupon.percent), expected, "{world}, {code:?} of {asked:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_time_to_live_of_a_read_is_its_own() {
    for world in World::on_each_store().await {
        let read =
            |ttl: Duration| books().filter(book::Column::ShelfId.eq(1)).cached().ttl(ttl).all(&world.db);
        read(Duration::from_millis(300)).await.unwrap();
        eventually("the entry has expired", SOON, async || {
            // Written behind the cache's back: only expiry can show it.
            retitled(3, "later").update(world.plain()).await.unwrap();
            read(Duration::from_millis(300)).await.unwrap()[0].title == "later"
        })
        .await;
        // Zero: nothing is stored, and nothing is looked for.
        let before = world.cache().stats().total;
        for _ in 0..2 {
            shelf::Entity::find().cached().ttl(Duration::ZERO).all(&world.db).await.unwrap();
        }
        let after = world.cache().stats().total;
        assert_eq!((after.bypasses - before.bypasses, after.hits - before.hits), (2, 0), "{world}");
        // A class, as the cache is configured.
        let class = || shelf::Entity::find().cached().ttl(TtlClass::Static).all(&world.db);
        class().await.unwrap();
        eventually("stored", SOON, async || world.is_hit(class()).await.1).await;
    }
}

#[tokio::test]
async fn a_tag_of_a_read_purges_it_and_no_other() {
    for world in World::on_each_store().await {
        let tagged = |tag: &str| books().filter(book::Column::Stock.eq(tag.len() as i32)).cached().tag(tag);
        let hit = async |tag: &str| world.is_hit(tagged(tag).all(&world.db)).await.1;
        for tag in ["front", "window"] {
            hit(tag).await;
            eventually("stored", SOON, async || hit(tag).await).await;
        }
        world.cache().invalidate_tag("front").await;
        assert!(!hit("front").await, "{world}");
        assert!(hit("window").await, "{world}");
        // The same read with a tag that its entry does not have: not what was asked for.
        let untagged = || shelf::Entity::find().cached();
        untagged().all(&world.db).await.unwrap();
        eventually("stored", SOON, async || world.is_hit(untagged().all(&world.db)).await.1).await;
        let (_, hit) = world.is_hit(untagged().tag("late").all(&world.db)).await;
        assert!(!hit, "{world}: an invalidation of the tag would not have reached the entry");
        let tagged = async || world.is_hit(untagged().tag("late").all(&world.db)).await.1;
        eventually("stored with its tag", SOON, tagged).await;
        world.cache().invalidate_tag("late").await;
        assert!(!world.is_hit(untagged().all(&world.db)).await.1, "{world}");
    }
}

#[tokio::test]
async fn a_fresh_read_looks_at_the_database_and_stores_what_it_says() {
    for world in World::on_each_store().await {
        world.title(1).await;
        // Behind the cache's back, so that only a fresh read can see it.
        retitled(1, "other").update(world.plain()).await.unwrap();
        assert_eq!(world.title(1).await.as_deref(), Some("Title 1"), "{world}");
        let fresh = || book::Entity::find_by_id(1).cached().fresh().one(&world.db);
        let (book, hit) = world.is_hit(fresh()).await;
        assert_eq!((book.unwrap().unwrap().title.as_str(), hit), ("other", false), "{world}");
        eventually("the new value is served", SOON, async || {
            world.title(1).await.as_deref() == Some("other")
        })
        .await;
    }
}

/// The bookshop's code that reads through whatever it is given.
async fn shelf_of<C: ReadThrough>(db: &C, id: i64) -> Result<Vec<book::Model>, DbErr> {
    let Some(shelf) = shelf::Entity::find_by_id(id).cached().one(db).await? else { return Ok(Vec::new()) };
    book::Entity::find().filter(book::Column::ShelfId.eq(shelf.id)).cached().all(db).await
}

// case A11, G12
#[tokio::test]
async fn code_over_any_connection_reads_through_and_bypasses_in_a_transaction() {
    for world in World::all().await {
        assert_eq!(shelf_of(&world.db, 1).await.unwrap().len(), 4, "{world}");
        let clone = world.db.clone();
        let before = world.cache().stats().total.hits;
        eventually("served from the cache", SOON, async || {
            shelf_of(&clone, 1).await.unwrap();
            world.cache().stats().total.hits >= before + 2
        })
        .await;
        let tx = world.db.begin().await.unwrap();
        let bypasses = world.cache().stats().total.bypasses;
        new_book(60).insert(&tx).await.unwrap();
        book::ActiveModel { shelf_id: Set(1), ..retitled(60, "in a transaction") }.update(&tx).await.unwrap();
        assert_eq!(shelf_of(&tx, 1).await.unwrap().len(), 5, "{world}");
        assert_eq!(world.cache().stats().total.bypasses, bypasses + 2, "{world}");
        assert_eq!(shelf_of(&world.db, 1).await.unwrap().len(), 4, "{world}");
        tx.commit().await.unwrap();
        assert_eq!(shelf_of(&world.db, 1).await.unwrap().len(), 5, "{world}");
    }
}

// case E8, E9
#[tokio::test]
async fn reads_that_lock_or_answer_differently_each_time_go_to_the_database() {
    for world in World::all().await {
        let random = match world.database.backend() {
            Backend::MariaDb => "RAND() < 2",
            _ => "RANDOM() IS NOT NULL",
        };
        let mut selects = vec![
            ("random", books().filter(Expr::cust(random))),
            ("now", books().filter(Expr::cust("CURRENT_TIMESTAMP IS NOT NULL"))),
        ];
        // SQLite has no row locks, and SeaORM leaves them out there.
        match world.database.backend() {
            Backend::Sqlite => selects.push(("date", books().filter(Expr::cust("date('now') IS NOT NULL")))),
            Backend::Postgres => {
                selects.push(("for update", books().lock_exclusive()));
                selects.push(("for share", books().lock_shared()));
                selects.push(("user", books().filter(Expr::cust("current_user IS NOT NULL"))));
                selects.push(("setting", books().filter(Expr::cust("current_setting('timezone') <> ''"))));
            }
            Backend::MariaDb => {
                selects.push(("for update", books().lock_exclusive()));
                selects.push(("user", books().filter(Expr::cust("CURRENT_USER() IS NOT NULL"))));
                selects.push(("variable", books().filter(Expr::cust("COALESCE(@page, 1) = 1"))));
            }
        }
        for (name, select) in selects {
            let before = world.cache().stats().total;
            for _ in 0..2 {
                assert_eq!(
                    select.clone().cached().all(&world.db).await.unwrap().len(),
                    12,
                    "{world}, {name}"
                );
            }
            let after = world.cache().stats().total;
            assert_eq!(after.bypasses - before.bypasses, 2, "{world}, {name}");
        }
        let entries = world.cache().keys(1000).await.unwrap().into_iter().filter(|key| key.contains(":q:"));
        assert_eq!(entries.count(), 0, "{world}: nothing was stored");
    }
}

// case E24
#[tokio::test]
async fn an_error_is_not_cached() {
    for world in World::all().await {
        let read = || review::Entity::find().order_by_asc(review::Column::Id).cached();
        world.database.execute("ALTER TABLE review RENAME TO hidden").await;
        let before = world.cache().stats().total;
        for _ in 0..2 {
            assert!(read().all(&world.db).await.is_err(), "{world}");
            assert!(read().count(&world.db).await.is_err(), "{world}");
            assert!(review::Entity::find_by_id(1).cached().one(&world.db).await.is_err(), "{world}");
            assert!(review::Entity::cached_by_ids([1_i64], &world.db).await.is_err(), "{world}");
        }
        let after = world.cache().stats().total;
        assert_eq!(after.hits, before.hits, "{world}");
        assert_eq!(after.reads, after.hits + after.misses + after.bypasses, "{world}");
        world.database.execute("ALTER TABLE hidden RENAME TO review").await;
        // Written behind the cache's back: had anything been stored, it would be seen.
        new_review(1, 7, None).insert(world.plain()).await.unwrap();
        assert_eq!(read().all(&world.db).await.unwrap().len(), 1, "{world}");
        assert_eq!(read().count(&world.db).await.unwrap(), 1, "{world}");
        assert!(review::Entity::find_by_id(1).cached().one(&world.db).await.unwrap().is_some(), "{world}");
    }
}

// case E10
// feature B10
#[tokio::test]
async fn a_row_that_is_required_and_not_there_is_found_once_it_is() {
    for world in World::all().await {
        let required = || book::Entity::find_by_id(80).cached().require_one(&world.db);
        for _ in 0..2 {
            assert!(matches!(required().await, Err(DbErr::RecordNotFound(_))), "{world}");
        }
        let missing = async || world.is_hit(world.title(80)).await == (None, true);
        eventually("\"no such row\" is cached", SOON, missing).await;
        new_book(80).insert(&world.db).await.unwrap();
        assert_eq!(required().await.unwrap().id, 80, "{world}");
    }
}

// case E15
#[tokio::test]
async fn one_statement_read_in_many_shapes_is_an_entry_for_each() {
    for world in World::all().await {
        // The same text with the same values, whatever it is read into.
        let select = || {
            book::Entity::find().filter(book::Column::ShelfId.eq(1)).order_by_asc(book::Column::Id).limit(1)
        };
        let row = || select().select_only().column(book::Column::Id).column(book::Column::Title);
        let read_all = async || {
            let before = world.cache().stats().total.hits;
            let all = select().cached().all(&world.db).await.unwrap();
            let one = book::Entity::find().filter(book::Column::ShelfId.eq(1)).order_by_asc(book::Column::Id);
            let one = one.cached().one(&world.db).await.unwrap().unwrap();
            let json = select().into_json().cached().one(&world.db).await.unwrap().unwrap();
            let jsons = select().into_json().cached().all(&world.db).await.unwrap();
            let tuple = row().into_tuple::<(i64, String)>().cached().one(&world.db).await.unwrap().unwrap();
            let tuples = row().into_tuple::<(i64, String)>().cached().all(&world.db).await.unwrap();
            let wide =
                row().into_tuple::<(i64, Option<String>)>().cached().one(&world.db).await.unwrap().unwrap();
            let label = row().into_model::<Label>().cached().one(&world.db).await.unwrap().unwrap();
            let labels = row().into_model::<Label>().cached().all(&world.db).await.unwrap();
            let row_json = row().into_json().cached().one(&world.db).await.unwrap().unwrap();
            assert_eq!((all.len(), all[0].id, one.id), (1, 3, 3), "{world}");
            assert_eq!(all[0], one, "{world}");
            assert_eq!((json["id"].as_i64(), &jsons[0]), (Some(3), &json), "{world}");
            assert_eq!((&tuple, &tuples[..]), (&(3, "Title 3".to_owned()), &[tuple.clone()][..]), "{world}");
            assert_eq!(wide, (3, Some("Title 3".to_owned())), "{world}");
            assert_eq!((label.id, label.title.as_str(), labels.len()), (3, "Title 3", 1), "{world}");
            assert_eq!(row_json.as_object().unwrap().len(), 2, "{world}");
            world.cache().stats().total.hits - before
        };
        assert_eq!(read_all().await, 0, "{world}: each is an entry of its own");
        eventually("each is stored", SOON, async || read_all().await == 10).await;
    }
}

// case E11
#[tokio::test]
async fn values_that_differ_only_in_type_or_in_being_null_are_different_questions() {
    for world in World::all().await {
        stock_more(&world).await;
        let body = |body: Option<&str>| {
            let bound = Expr::val(body.map(str::to_owned));
            let select = review::Entity::find().order_by_asc(review::Column::Id);
            select.filter(ExprTrait::eq(Expr::col(review::Column::Body), bound))
        };
        // `= NULL` is true of no row, `= ''` of one.
        for _ in 0..2 {
            assert_eq!(body(None).cached().all(&world.db).await.unwrap().len(), 0, "{world}");
            assert_eq!(body(Some("")).cached().all(&world.db).await.unwrap().len(), 1, "{world}");
        }
        // SQLite tells '3' from 3 where no column's type decides; the others do so or refuse.
        if world.database.backend() == Backend::Sqlite {
            let same = |value: Value| {
                let left = ExprTrait::add(Expr::col(book::Column::Id), 0);
                books().filter(ExprTrait::eq(left, Expr::val(value)))
            };
            let values: [Value; 7] = [
                3_i32.into(),
                "3".into(),
                3.0_f64.into(),
                f64::NAN.into(),
                0.0_f64.into(),
                (-0.0_f64).into(),
                Value::String(None),
            ];
            for value in values {
                let (cached, hit) = world.is_hit(same(value.clone()).cached().all(&world.db)).await;
                let plain = same(value.clone()).all(world.plain()).await.unwrap();
                assert_eq!((cached.unwrap(), hit), (plain, false), "{world}, {value:?}");
            }
        }
    }
}

// case E12
#[tokio::test]
async fn lists_of_values_are_questions_by_their_order_and_number() {
    for world in World::all().await {
        let among = async |ids: Vec<i64>| {
            let books = books().filter(book::Column::Id.is_in(ids)).cached().all(&world.db).await.unwrap();
            books.into_iter().map(|book| book.id).collect::<Vec<_>>()
        };
        for _ in 0..2 {
            assert_eq!(among(vec![1, 2]).await, [1, 2], "{world}");
            assert_eq!(among(vec![2, 1]).await, [1, 2], "{world}");
            assert_eq!(among(vec![2, 2]).await, [2], "{world}");
            assert_eq!(among(vec![12]).await, [12], "{world}");
            assert_eq!(among(vec![]).await, [0; 0], "{world}");
            assert_eq!(among((1..10_000).collect()).await.len(), 12, "{world}");
        }
    }
}

// case E26
#[tokio::test]
async fn long_texts_and_values_are_questions_like_others() {
    for world in World::all().await {
        let long = "x".repeat(1 << 20);
        let read = |tail: &str| books().filter(book::Column::Title.ne(format!("{long}{tail}"))).cached();
        assert_eq!(read("a").all(&world.db).await.unwrap().len(), 12, "{world}");
        eventually("stored", SOON, async || world.is_hit(read("a").all(&world.db)).await.1).await;
        assert!(!world.is_hit(read("b").all(&world.db)).await.1, "{world}");
        let mut any = Condition::any();
        for number in 0..300 {
            any = any.add(book::Column::Title.eq(format!("Title {number}")));
        }
        let deep = || books().filter(any.clone()).cached();
        assert_eq!(deep().all(&world.db).await.unwrap().len(), 12, "{world}");
        retitled(1, "renamed").update(&world.db).await.unwrap();
        assert_eq!(deep().all(&world.db).await.unwrap().len(), 11, "{world}");
    }
}

/// A second entity on the books' table, with some of its columns.
mod spine {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "book")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub title: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

// case E20
#[tokio::test]
async fn two_entities_on_one_table_have_their_own_entries_and_purge_each_other() {
    for world in World::all().await {
        let spine = async |id: i64| {
            let spine = spine::Entity::find_by_id(id).cached().one(&world.db).await.unwrap();
            spine.map(|spine| spine.title)
        };
        for _ in 0..2 {
            assert_eq!(world.title(1).await.as_deref(), Some("Title 1"), "{world}");
            assert_eq!(spine(1).await.as_deref(), Some("Title 1"), "{world}");
            assert_eq!(spine(2).await.as_deref(), Some("Title 2"), "{world}");
        }
        retitled(1, "by the book").update(&world.db).await.unwrap();
        assert_eq!(spine(1).await.as_deref(), Some("by the book"), "{world}");
        spine::ActiveModel { id: Set(1), title: Set("by the spine".into()) }.update(&world.db).await.unwrap();
        assert_eq!(world.title(1).await.as_deref(), Some("by the spine"), "{world}");
        assert_eq!(spine(1).await.as_deref(), Some("by the spine"), "{world}");
        let (two, hit) = world.is_hit(spine(2)).await;
        assert_eq!((two.as_deref(), hit), (Some("Title 2"), true), "{world}: was not touched");
    }
}

/// An entity whose rows are never stored.
mod ledger {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "ledger")]
    #[cache(skip)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub book_id: i64,
        pub cents: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

// case D33, D34
#[tokio::test]
async fn a_table_that_is_skipped_or_unknown_still_purges_what_was_joined_with_it() {
    for world in World::all().await {
        world
            .database
            .execute("CREATE TABLE ledger (book_id BIGINT PRIMARY KEY, cents BIGINT NOT NULL)")
            .await;
        world.database.execute("CREATE TABLE unknown (book_id BIGINT PRIMARY KEY)").await;
        let entry = |id| ledger::ActiveModel { book_id: Set(id), cents: Set(5) };
        let before = world.cache().stats().total;
        for _ in 0..2 {
            assert_eq!(ledger::Entity::find_by_id(1).cached().one(&world.db).await.unwrap(), None, "{world}");
            assert_eq!(ledger::Entity::cached_by_ids([1], &world.db).await.unwrap(), [None], "{world}");
        }
        assert_eq!(world.cache().stats().total.bypasses - before.bypasses, 4, "{world}");

        let listed = |table: &'static str| {
            let ids = Query::select().column("book_id").from(table).to_owned();
            books().filter(book::Column::Id.in_subquery(ids)).cached()
        };
        for table in ["ledger", "unknown"] {
            assert_eq!(listed(table).all(&world.db).await.unwrap().len(), 0, "{world}, {table}");
            eventually("stored", SOON, async || world.is_hit(listed(table).all(&world.db)).await.1).await;
        }
        entry(1).insert(&world.db).await.unwrap();
        assert_eq!(listed("ledger").all(&world.db).await.unwrap().len(), 1, "{world}");
        assert!(world.is_hit(listed("unknown").all(&world.db)).await.1, "{world}");
        world.db.execute_unprepared("INSERT INTO unknown (book_id) VALUES (1), (2)").await.unwrap();
        assert_eq!(listed("unknown").all(&world.db).await.unwrap().len(), 2, "{world}");
    }
}

// case E19, F3
#[tokio::test]
async fn two_databases_with_the_same_tables_share_nothing() {
    let worlds = World::all().await;
    for world in &worlds {
        let title = format!("{world}");
        retitled(1, &title).update(&world.db).await.unwrap();
        world.title(1).await;
    }
    for world in &worlds {
        assert_eq!(world.title(1).await, Some(format!("{world}")));
        retitled(1, "purged").update(&world.db).await.unwrap();
        for other in worlds.iter().filter(|other| other.namespace != world.namespace) {
            assert_ne!(other.title(2).await, None);
        }
        assert_eq!(world.title(1).await.as_deref(), Some("purged"));
    }
    let first = &worlds[0];
    new_book(70).insert(&first.db).await.unwrap();
    first.title(70).await;
    for other in &worlds[1..] {
        assert_eq!(other.title(70).await, None, "{other}");
    }
    let unset = book::ActiveModel { id: NotSet, ..new_book(71) };
    unset.insert(&first.db).await.unwrap();
}
