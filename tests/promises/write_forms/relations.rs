//! Through relations, hooks and several tables; and in transactions.

use sea_orm::{
    ActiveValue::{Set, Unchanged},
    TransactionError, TransactionTrait,
    entity::prelude::*,
};

use crate::{
    entity::{book, publisher, review},
    linked,
    world::retitled,
};

use super::{bookshop::*, form::*};

pub(super) fn forms() -> Vec<Form> {
    [relations(), transactions()].into_iter().flatten().collect()
}

fn relations() -> Vec<Form> {
    vec![
        form("`ActiveModelEx::save`, a new book with two reviews", |w| {
            Box::pin(async {
                let review = || review::ActiveModel::builder().set_customer_id(1).set_stars(4).set_body(None);
                let book = book::ActiveModel::builder().set_title("nested").set_price_cents(1).set_stock(1);
                let book = book.set_shelf_id(1).set_publisher_id(1).add_review(review()).add_review(review());
                book.save(&w.db).await.map(drop)
            })
        })
        .adds("book")
        .adds("review"),
        form("`ActiveModelEx::save`, a book that is there and a new review of it", |w| {
            Box::pin(async {
                let review = review::ActiveModel::builder().set_customer_id(1).set_stars(4).set_body(None);
                let book = book::ActiveModel::builder().set_id(3).set_title("nested");
                book.add_review(review).save(&w.db).await.map(drop)
            })
        })
        .rows("book", [3])
        .adds("review"),
        form("`ActiveModelEx::save`, a book with a new publisher", |w| {
            Box::pin(async {
                let book = book::ActiveModel::builder().set_title("nested").set_price_cents(1).set_stock(1);
                let publisher = publisher::ActiveModel::builder().set_name("nested");
                book.set_shelf_id(1).set_publisher(publisher).save(&w.db).await.map(drop)
            })
        })
        .adds("book")
        .adds("publisher"),
        form("`Model::cascade_delete`, a book and its reviews", |w| {
            Box::pin(async {
                let model = book::Entity::find_by_id(4).one(&w.db).await?.unwrap();
                model.cascade_delete(&w.db).await.map(drop)
            })
        })
        .rows("book", [4])
        .rows("review", [4]),
        form("`ActiveModelEx::save`, many to many: link", |w| {
            Box::pin(async {
                let author =
                    linked::author::ActiveModel { id: Unchanged(1), name: Unchanged("Author 1".into()) };
                let book = linked::book::ActiveModel { id: Unchanged(3), title: Unchanged("Title 3".into()) };
                let mut author = author.into_ex();
                author.books.append(book);
                author.save(&w.db).await.map(drop)
            })
        })
        .adds("book_author"),
        form("`ActiveModelEx::save`, many to many: replace all", |w| {
            Box::pin(async {
                let author =
                    linked::author::ActiveModel { id: Unchanged(1), name: Unchanged("Author 1".into()) };
                let book = linked::book::ActiveModel { id: Unchanged(3), title: Unchanged("Title 3".into()) };
                let mut author = author.into_ex();
                author.books.replace_all([book.into_ex()]);
                author.save(&w.db).await.map(drop)
            })
        })
        .pairs("book_author", ["1,1", "2,1"])
        .adds("book_author"),
    ]
}

fn transactions() -> Vec<Form> {
    vec![
        form("transaction: save, commit", |w| {
            Box::pin(async {
                let tx = w.db.begin().await?;
                retitled(3, "new").save(&tx).await?;
                without_key().save(&tx).await?;
                tx.commit().await
            })
        })
        .rows("book", [3])
        .adds("book"),
        form("transaction: two tables in a closure", |w| {
            Box::pin(async {
                let done = w.db.transaction::<_, (), DbErr>(|tx| {
                    Box::pin(async move {
                        publisher::ActiveModel { id: Set(2), name: Set("Renamed".into()) }.update(tx).await?;
                        restock_book(tx, 3).await
                    })
                });
                done.await.map_err(|error| match error {
                    TransactionError::Connection(error) | TransactionError::Transaction(error) => error,
                })
            })
        })
        .rows("book", [3])
        .rows("publisher", [2]),
        form("transaction: savepoint rolled back, commit", |w| {
            Box::pin(async {
                let tx = w.db.begin().await?;
                retitled(3, "new").update(&tx).await?;
                let inner = tx.begin().await?;
                publisher::ActiveModel { id: Set(2), name: Set("Renamed".into()) }.update(&inner).await?;
                inner.rollback().await?;
                tx.commit().await
            })
        })
        .rows("book", [3]),
        form("transaction: rolled back", |w| {
            Box::pin(async {
                let tx = w.db.begin().await?;
                retitled(3, "new").update(&tx).await?;
                book::Entity::delete_by_id(5).exec(&tx).await?;
                tx.rollback().await
            })
        }),
    ]
}
