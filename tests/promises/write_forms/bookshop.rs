//! The bookshop that is stocked anew for each form, and words to write with.

use std::{fmt::Write as _, time::Duration};

use sea_orm::{
    ActiveValue::{NotSet, Set},
    ConnectionTrait, Statement,
    entity::prelude::*,
};

use crate::{
    entity::{author, book, book_author, customer, publisher, review, shelf},
    support::{Backend, eventually},
    world::{World, new_book},
};

pub(super) const SOON: Duration = Duration::from_secs(20);

/// Books on the shelves while a form runs: 1 to this.
pub(super) const BOOKS: i64 = 8;

/// Keys that the database will give to the next rows, or one further.
pub(super) struct NextKeys {
    pub(super) books: [i64; 2],
    pub(super) reviews: [i64; 2],
}

/// Puts the stock back, behind the cache's back, and empties the cache.
pub(super) async fn restock(world: &World) -> NextKeys {
    let db = world.plain();
    for table in ["review", "book_author", "book", "customer", "author", "publisher", "shelf"] {
        world.database.execute(&format!("DELETE FROM {table}")).await;
    }
    let shelves = (1..=3).map(|id| shelf::ActiveModel { id: Set(id), label: Set(format!("Shelf {id}")) });
    shelf::Entity::insert_many(shelves).exec_without_returning(db).await.unwrap();
    let name = |what: &str, id: i64| Set(format!("{what} {id}"));
    let publishers = (1..=3).map(|id| publisher::ActiveModel { id: Set(id), name: name("Publisher", id) });
    publisher::Entity::insert_many(publishers).exec_without_returning(db).await.unwrap();
    let authors = (1..=3).map(|id| author::ActiveModel { id: Set(id), name: name("Author", id) });
    author::Entity::insert_many(authors).exec_without_returning(db).await.unwrap();
    let customer =
        customer::ActiveModel { id: Set(1), name: name("Customer", 1), password_hash: name("hash", 1) };
    customer::Entity::insert(customer).exec_without_returning(db).await.unwrap();
    book::Entity::insert_many((1..=BOOKS).map(new_book)).exec_without_returning(db).await.unwrap();
    let links = [(1, 1), (2, 1), (2, 2)].map(|(book, author)| link(book, author));
    book_author::Entity::insert_many(links).exec_without_returning(db).await.unwrap();
    let reviews = [(1, 1), (2, 1), (3, 2), (4, 4)].map(|(id, book)| review_of(book, Set(id)));
    review::Entity::insert_many(reviews).exec_without_returning(db).await.unwrap();

    let last = book::Entity::insert(book::ActiveModel { id: NotSet, ..new_book(1) }).exec(db).await.unwrap();
    book::Entity::delete_by_id(last.last_insert_id).exec(db).await.unwrap();
    let books = [last.last_insert_id, last.last_insert_id + 1];
    let last = review::Entity::insert(review_of(1, NotSet)).exec(db).await.unwrap();
    review::Entity::delete_by_id(last.last_insert_id).exec(db).await.unwrap();
    let reviews = [last.last_insert_id, last.last_insert_id + 1];

    world.cache().clear().await;
    NextKeys { books, reviews }
}

/// From now on the database gives keys beyond those that the forms give.
pub(super) async fn advance_keys(world: &World) {
    let db = world.plain();
    book::Entity::insert(new_book(1000)).exec_without_returning(db).await.unwrap();
    review::Entity::insert(review_of(1000, Set(1000))).exec_without_returning(db).await.unwrap();
    if world.database.backend() == Backend::Postgres {
        for table in ["review", "book"] {
            let sql = format!("SELECT setval(pg_get_serial_sequence('{table}', 'id'), 1000)");
            world.database.execute(&sql).await;
        }
    }
}

pub(super) fn link(book: i64, author: i64) -> book_author::ActiveModel {
    book_author::ActiveModel { book_id: Set(book), author_id: Set(author) }
}

pub(super) fn review_of(book: i64, id: sea_orm::ActiveValue<i64>) -> review::ActiveModel {
    review::ActiveModel { id, book_id: Set(book), customer_id: Set(1), stars: Set(5), body: Set(None) }
}

/// A statement with `?` for its values, in the words of the database.
pub(super) fn bound<const N: usize>(world: &World, sql: &str, values: [Value; N]) -> Statement {
    let backend = world.plain().get_database_backend();
    let mut text = String::new();
    for (number, piece) in sql.split('?').enumerate() {
        if number > 0 {
            match world.database.backend() {
                Backend::Postgres => write!(text, "${number}").unwrap(),
                _ => text.push('?'),
            }
        }
        text.push_str(piece);
    }
    Statement::from_sql_and_values(backend, text, values)
}

pub(super) fn raw(world: &World, sql: &str) -> Statement {
    Statement::from_string(world.plain().get_database_backend(), sql)
}

pub(super) async fn unprepared(world: &World, sql: &str) -> Result<(), DbErr> {
    world.db.execute_unprepared(sql).await.map(drop)
}

/// Waits until the purge of this table has happened, without reading anything through the cache.
pub(super) async fn purged(world: &World, table: &str) {
    let tag = format!("{}:t:{table}", world.namespace);
    eventually("the purge in the background happens", SOON, async || {
        world.cache().keys(100_000).await.is_ok_and(|keys| !keys.contains(&tag))
    })
    .await;
}

/// The bookshop's code that does not know of the cache.
pub(super) async fn restock_book<C: ConnectionTrait>(db: &C, id: i64) -> Result<(), DbErr> {
    let book = book::ActiveModel { id: Set(id), stock: Set(99), ..Default::default() };
    book.update(db).await.map(drop)
}

/// Shelves whose hook writes to another table.
pub(super) mod hooked {
    use sea_orm::{ActiveValue::Set, entity::prelude::*};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "shelf")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub label: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    #[async_trait::async_trait]
    impl ActiveModelBehavior for ActiveModel {
        async fn after_save<C: ConnectionTrait>(model: Model, db: &C, _: bool) -> Result<Model, DbErr> {
            let name = Set(format!("of {}", model.label));
            crate::entity::publisher::ActiveModel { id: Set(2), name }.update(db).await?;
            Ok(model)
        }
    }
}
