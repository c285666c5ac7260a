//! What makes two reads two questions.

use sea_orm::{Condition, ExprTrait, QueryOrder, QuerySelect, entity::prelude::*};
use sea_orm_cache::prelude::*;

use crate::{
    entity::{book, review},
    support::{Backend, eventually},
    world::{World, retitled},
};

use super::{Label, SOON, books, stock_more};

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
