//! SeaORM's loaders, and look-ups of one row that find several.

use sea_orm::{ActiveValue::Set, LoaderTrait, QueryOrder, entity::prelude::*};
use sea_orm_cache::prelude::*;

use super::stock_more;
use crate::{
    entity::{book, review, shelf},
    question::{Asked, question},
    world::{World, retitled},
};

// case E14
#[tokio::test]
async fn loaders_ask_the_database_and_what_is_cached_says_the_same() {
    for world in World::all().await {
        stock_more(&world).await;
        let books =
            book::Entity::find().order_by_asc(book::Column::Id).cached().all(&world.db).await.unwrap();
        for label in ["one", "two"] {
            // Behind the cache's back: a loader is not answered from it.
            let shelf = shelf::ActiveModel { id: Set(2), label: Set(label.into()) };
            shelf.update(world.plain()).await.unwrap();
            let before = world.cache().stats().total.reads;
            let shelves = books.load_one(shelf::Entity, &world.db).await.unwrap();
            assert_eq!(shelves[0].as_ref().unwrap().label, label, "{world}");
            let reviews = books.load_many(review::Entity, &world.db).await.unwrap();
            assert_eq!((reviews[0].len(), reviews[1].len(), reviews[2].len()), (2, 1, 0), "{world}");
            assert_eq!(world.cache().stats().total.reads, before, "{world}: these are no cached reads");
        }
        // What takes their place: the parents by their keys, and parents with children by a join.
        let shelves = async || {
            let ids = books.iter().map(|book| book.shelf_id);
            let shelves = shelf::Entity::cached_by_ids(ids, &world.db).await.unwrap();
            shelves.into_iter().map(|shelf| shelf.unwrap().label).collect::<Vec<_>>()
        };
        let loaded = async || {
            let shelves = books.load_one(shelf::Entity, &world.db).await.unwrap();
            shelves.into_iter().map(|shelf| shelf.unwrap().label).collect::<Vec<_>>()
        };
        assert_eq!(shelves().await, loaded().await, "{world}");
        let shelf = shelf::ActiveModel { id: Set(2), label: Set("three".into()) };
        shelf.update(&world.db).await.unwrap();
        assert_eq!(shelves().await[0], "three", "{world}");
        assert_eq!(shelves().await, loaded().await, "{world}");
    }
}

// case E14
#[tokio::test]
async fn parents_with_children_follow_every_child_that_comes_goes_or_moves() {
    for world in World::all().await {
        stock_more(&world).await;
        let questions = vec![
            question!(
                "books with reviews",
                book::Entity::find()
                    .find_with_related(review::Entity)
                    .order_by_asc(book::Column::Id)
                    .order_by_asc(review::Column::Id),
                all
            ),
            question!(
                "book 7 with reviews",
                book::Entity::find_by_id(7)
                    .find_with_related(review::Entity)
                    .order_by_asc(review::Column::Id),
                all
            ),
            question!(
                "book 7 and a review",
                book::Entity::find_by_id(7).find_also_related(review::Entity),
                one
            ),
            question!(
                "reviews and their books",
                review::Entity::find().order_by_asc(review::Column::Id).find_also_related(book::Entity),
                all
            ),
        ];
        let asked = Asked::new(&world, questions).await;
        let all =
            ["books with reviews", "book 7 with reviews", "book 7 and a review", "reviews and their books"];
        let first = review::ActiveModel {
            id: Set(9),
            book_id: Set(7),
            customer_id: Set(1),
            stars: Set(1),
            body: Set(None),
        };
        asked.after("a first child", &all, first.insert(&world.db)).await;
        let lists = ["books with reviews", "reviews and their books"];
        let changed = review::ActiveModel { id: Set(1), stars: Set(1), ..Default::default() };
        asked.after("a child changed", &lists, changed.update(&world.db)).await;
        let moved = review::ActiveModel { id: Set(9), book_id: Set(1), ..Default::default() };
        asked.after("a child moved", &all, moved.update(&world.db)).await;
        asked.after("a parent changed", &lists, retitled(1, "new").update(&world.db)).await;
        let gone = review::Entity::delete_many().filter(review::Column::BookId.eq(1));
        asked.after("children gone", &lists, gone.exec(&world.db)).await;
    }
}

// case E21
#[tokio::test]
async fn a_look_up_that_turns_out_to_find_several_says_what_the_database_says() {
    for world in World::all().await {
        let questions = vec![
            question!(
                "the book of that title",
                book::Entity::find()
                    .filter(book::Column::Title.eq("Title 7"))
                    .order_by_desc(book::Column::Id),
                one
            ),
            question!("how many", book::Entity::find().filter(book::Column::Title.eq("Title 7")), count),
            question!("book 7", book::Entity::find_by_id(7), one),
        ];
        let asked = Asked::new(&world, questions).await;
        let namesake = retitled(9, "Title 7").update(&world.db);
        asked.after("a namesake", &["the book of that title", "how many"], namesake).await;
        let another = retitled(2, "Title 7").update(&world.db);
        asked.after("another, which comes later in the order", &["how many"], another).await;
        let gone = book::Entity::delete_by_id(9).exec(&world.db);
        asked.after("the namesake gone", &["the book of that title", "how many"], gone).await;
        let gone = book::Entity::delete_many().filter(book::Column::Id.gt(6)).exec(&world.db);
        asked.after("all but the last gone", &["the book of that title", "how many", "book 7"], gone).await;
    }
}
