//! Lists: pages, relations that were empty, rows that move from one to the other.

use sea_orm::{ActiveValue::Set, QueryOrder, entity::prelude::*};
use sea_orm_cache::prelude::*;

use crate::{
    entity::{book, publisher, review},
    world::{World, new_book, retitled},
};

use super::{books, new_review};

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
