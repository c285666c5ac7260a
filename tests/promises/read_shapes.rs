//! Shapes of reads: the cached answer is the database's, it is kept where it may be and nowhere else, and a
//! write to any table that it was made of, however deep, purges it.

mod computed;
mod fresh_each_time;
mod keys;
mod loaders;
mod nested;
mod sessions;
mod streams;
mod versions;

use futures_util::TryFutureExt;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, entity::prelude::*};

use crate::{
    entity::{book_author, review},
    world::World,
};

/// Sends statements of one text through the wrapper.
fn send<'w>(world: &'w World, sql: &'w str) -> impl Future<Output = Result<(), DbErr>> + 'w {
    world.db.execute_unprepared(sql).map_ok(drop)
}

/// Reviews 1 and 2 of book 1 and 3 of book 2; who wrote books 1 and 2.
async fn stock_more(world: &World) {
    let review = |(id, book_id, stars, body): (i64, i64, i32, Option<&str>)| review::ActiveModel {
        id: Set(id),
        book_id: Set(book_id),
        customer_id: Set(1),
        stars: Set(stars),
        body: Set(body.map(str::to_owned)),
    };
    let reviews = [(1, 1, 5, Some("good")), (2, 1, 2, None), (3, 2, 4, Some(""))].map(review);
    review::Entity::insert_many(reviews).exec_without_returning(world.plain()).await.unwrap();
    let links = [1, 2].map(|book| book_author::ActiveModel { book_id: Set(book), author_id: Set(1) });
    book_author::Entity::insert_many(links).exec_without_returning(world.plain()).await.unwrap();
}
