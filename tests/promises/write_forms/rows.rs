//! Rows inserted, changed and deleted by SeaORM's own builders.

use sea_orm::{
    ActiveValue::{Set, Unchanged},
    ExprTrait, IntoActiveModel, TryInsertResult,
    entity::prelude::*,
    sea_query::{OnConflict, Query},
};

use crate::{
    entity::{author, book, book_author, publisher, review},
    support::Backend,
    world::{new_book, retitled},
};

use super::{bookshop::*, form::*};

pub(super) fn forms() -> Vec<Form> {
    [active_models(), inserts(), upserts(), updates(), deletes()].into_iter().flatten().collect()
}

fn active_models() -> Vec<Form> {
    vec![
        form("`ActiveModel::insert`, the key from the database", |w| {
            Box::pin(async { without_key().insert(&w.db).await.map(drop) })
        })
        .adds("book"),
        form("`ActiveModel::insert`, the key given", |w| {
            Box::pin(async { new_book(50).insert(&w.db).await.map(drop) })
        })
        .adds("book"),
        form("`ActiveModel::update`", |w| {
            Box::pin(async { retitled(3, "new").update(&w.db).await.map(drop) })
        })
        .rows("book", [3]),
        form("`ActiveModel::update`, to another shelf and publisher", |w| {
            Box::pin(async {
                let moved =
                    book::ActiveModel { shelf_id: Set(2), publisher_id: Set(3), ..retitled(3, "moved") };
                moved.update(&w.db).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`ActiveModel::update`, nothing set", |w| {
            Box::pin(async {
                let nothing = book::ActiveModel { id: Unchanged(3), ..Default::default() };
                nothing.update(&w.db).await.map(drop)
            })
        }),
        form("`ActiveModel::update_without_returning`", |w| {
            Box::pin(async { retitled(3, "new").update_without_returning(&w.db).await.map(drop) })
        })
        .rows("book", [3]),
        form("`ActiveModel::update`, of no row", |w| {
            Box::pin(async {
                assert!(matches!(retitled(4711, "new").update(&w.db).await, Err(DbErr::RecordNotUpdated)));
                Ok(())
            })
        })
        .rows("book", [])
        .of_no_row(),
        form("`ActiveModel::save`, new", |w| Box::pin(async { without_key().save(&w.db).await.map(drop) }))
            .adds("book"),
        form("`ActiveModel::save`, there", |w| {
            Box::pin(async {
                let model = book::Entity::find_by_id(3).one(&w.db).await?.unwrap();
                let mut book = model.into_active_model();
                book.stock = Set(77);
                book.save(&w.db).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`ActiveModel::delete`", |w| Box::pin(async { new_book(5).delete(&w.db).await.map(drop) }))
            .rows("book", [5]),
        form("`Model::delete`", |w| {
            Box::pin(async {
                let model = book::Entity::find_by_id(5).one(&w.db).await?.unwrap();
                model.delete(&w.db).await.map(drop)
            })
        })
        .rows("book", [5]),
        form("`ActiveModel::update`, another table", |w| {
            Box::pin(async {
                let renamed = publisher::ActiveModel { id: Set(2), name: Set("Renamed".into()) };
                renamed.update(&w.db).await.map(drop)
            })
        })
        .rows("publisher", [2]),
        form("`ActiveModel::update`, a table without a policy", |w| {
            Box::pin(async {
                let renamed = author::ActiveModel { id: Set(2), name: Set("Renamed".into()) };
                renamed.update(&w.db).await.map(drop)
            })
        })
        .rows("author", [2]),
        form("`ActiveModel::update`, with a hook that writes another table", |w| {
            Box::pin(async {
                let shelf = hooked::ActiveModel { id: Set(1), label: Set("Hooked".into()) };
                shelf.update(&w.db).await.map(drop)
            })
        })
        .rows("shelf", [1])
        .rows("publisher", [2]),
        form("any of them through a function of `&impl ConnectionTrait`", |w| {
            Box::pin(restock_book(&w.db, 3))
        })
        .rows("book", [3]),
    ]
}

fn inserts() -> Vec<Form> {
    vec![
        form("`Entity::insert`, `exec`", |w| {
            Box::pin(async { book::Entity::insert(new_book(50)).exec(&w.db).await.map(drop) })
        })
        .adds("book"),
        form("`Entity::insert`, `exec_without_returning`", |w| {
            Box::pin(async {
                book::Entity::insert(new_book(50)).exec_without_returning(&w.db).await.map(drop)
            })
        })
        .adds("book"),
        form("`Entity::insert`, `exec_with_returning`", |w| {
            Box::pin(async { book::Entity::insert(new_book(50)).exec_with_returning(&w.db).await.map(drop) })
        })
        .adds("book"),
        form("`Entity::insert`, `exec_with_returning_keys`", |w| {
            Box::pin(async {
                book::Entity::insert(without_key()).exec_with_returning_keys(&w.db).await.map(drop)
            })
        })
        .adds("book")
        .lacks(no_typed_returning),
        form("`Entity::insert`, `exec_with_returning_many`", |w| {
            Box::pin(async {
                book::Entity::insert(new_book(50)).exec_with_returning_many(&w.db).await.map(drop)
            })
        })
        .adds("book")
        .lacks(no_typed_returning),
        form("`Entity::insert`, refused: the key is there", |w| {
            Box::pin(async {
                assert!(book::Entity::insert(new_book(3)).exec(&w.db).await.is_err());
                Ok(())
            })
        })
        .refused(),
        form("`Entity::insert_many`, `exec`", |w| {
            Box::pin(async { book::Entity::insert_many([50, 51].map(new_book)).exec(&w.db).await.map(drop) })
        })
        .adds("book"),
        form("`Entity::insert_many`, `exec_without_returning`", |w| {
            Box::pin(async {
                let books = book::Entity::insert_many([50, 51].map(new_book));
                books.exec_without_returning(&w.db).await.map(drop)
            })
        })
        .adds("book"),
        form("`Entity::insert_many`, `exec_with_returning`", |w| {
            Box::pin(async {
                let books = book::Entity::insert_many([50, 51].map(new_book));
                books.exec_with_returning(&w.db).await.map(drop)
            })
        })
        .adds("book")
        .lacks(no_typed_returning),
        form("`Entity::insert_many`, `exec_with_returning_keys`", |w| {
            Box::pin(async {
                let books = book::Entity::insert_many([without_key(), without_key()]);
                books.exec_with_returning_keys(&w.db).await.map(drop)
            })
        })
        .adds("book")
        .lacks(no_typed_returning),
        form("`Entity::insert_many`, empty", |w| {
            Box::pin(async {
                let none: [book::ActiveModel; 0] = [];
                book::Entity::insert_many(none).exec(&w.db).await.map(drop)
            })
        }),
        form("`Entity::insert`, a key of two columns", |w| {
            Box::pin(async { book_author::Entity::insert(link(3, 1)).exec(&w.db).await.map(drop) })
        })
        .adds("book_author"),
    ]
}

fn upserts() -> Vec<Form> {
    vec![
        form("`on_conflict` on the key, `update_column`, there", |w| {
            Box::pin(async {
                let title =
                    OnConflict::column(book::Column::Id).update_column(book::Column::Title).to_owned();
                let book = book::ActiveModel { title: Set("upserted".into()), ..new_book(3) };
                book::Entity::insert(book).on_conflict(title).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3])
        .all_lists()
        .wide_on("book", on_mariadb),
        form("`on_conflict` on the key, `update_columns`, one new and one there", |w| {
            Box::pin(async {
                let columns = [book::Column::Title, book::Column::Stock];
                let update = OnConflict::column(book::Column::Id).update_columns(columns).to_owned();
                let book = |id| book::ActiveModel { title: Set("upserted".into()), ..new_book(id) };
                let both = book::Entity::insert_many([3, 50].map(book)).on_conflict(update);
                both.exec_without_returning(&w.db).await.map(drop)
            })
        })
        .rows("book", [3])
        .all_lists()
        .adds("book")
        .wide_on("book", on_mariadb),
        form("`on_conflict` on the key, `value` computed", |w| {
            Box::pin(async {
                let more = OnConflict::column(book::Column::Id)
                    .value(book::Column::Stock, Expr::col((book::Entity, book::Column::Stock)).add(1))
                    .to_owned();
                let insert = book::Entity::insert(new_book(3)).on_conflict(more);
                insert.exec_without_returning(&w.db).await.map(drop)
            })
        })
        .rows("book", [3])
        .all_lists()
        .wide_on("book", on_mariadb),
        form("`on_conflict_do_nothing`, there", |w| {
            Box::pin(async {
                let done = book::Entity::insert(new_book(3)).on_conflict_do_nothing().exec(&w.db).await?;
                // MySQL is told to set the key to itself, and SeaORM cannot tell.
                assert!(
                    matches!(done, TryInsertResult::Conflicted) || w.database.backend() == Backend::MariaDb
                );
                Ok(())
            })
        })
        .rows("book", [])
        .list_on(1, on_mariadb),
        form("`on_conflict_do_nothing`, one new and one there", |w| {
            Box::pin(async {
                let both = book::Entity::insert_many([3, 50].map(new_book)).on_conflict_do_nothing();
                both.exec_without_returning(&w.db).await.map(drop)
            })
        })
        .adds("book")
        .list_on(1, |_| true),
    ]
}

fn updates() -> Vec<Form> {
    vec![
        form("`Entity::update`, `exec`", |w| {
            Box::pin(async { book::Entity::update(retitled(3, "new")).exec(&w.db).await.map(drop) })
        })
        .rows("book", [3]),
        form("`Entity::update` with a further filter", |w| {
            Box::pin(async {
                let update = book::Entity::update(retitled(3, "new")).validate()?;
                update.filter(book::Column::Stock.gt(0)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`update_many` by key", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Title, Expr::value("new"));
                update.filter(book::Column::Id.eq(3_i64)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`update_many` by keys", |w| {
            Box::pin(async {
                let update = book::Entity::update_many()
                    .set(book::ActiveModel { title: Set("new".into()), ..Default::default() });
                update.filter(book::Column::Id.is_in([3_i64, 4])).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3, 4]),
        form("`update_many` by key, `stock = stock + 1`", |w| {
            Box::pin(async {
                let more = Expr::col(book::Column::Stock).add(1);
                let update = book::Entity::update_many().col_expr(book::Column::Stock, more);
                update.filter(book::Column::Id.eq(3_i64)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`update_many` by key and another column", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                let update =
                    update.filter(book::Column::ShelfId.eq(1_i64)).filter(book::Column::Id.eq(3_i64));
                update.exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`update_many` by key or another column", |w| {
            Box::pin(async {
                let either = book::Column::Id.eq(3_i64).or(book::Column::Title.eq("Title 4"));
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                update.filter(either).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3, 4])
        .wide("book"),
        form("`update_many` by a range of keys", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                update.filter(book::Column::Id.between(3_i64, 4_i64)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3, 4])
        .wide("book"),
        form("`update_many` by another column", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                update.filter(book::Column::ShelfId.eq(1_i64)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3, 6])
        .wide("book"),
        form("`update_many` by a subquery", |w| {
            Box::pin(async {
                let reviewed = Query::select().column(review::Column::BookId).from(review::Entity).to_owned();
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                update.filter(book::Column::Id.in_subquery(reviewed)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [1, 2, 4])
        .all_lists()
        .wide("book"),
        form("`update_many` without a filter", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                update.exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [1, 2, 3, 4, 5, 6, 7, 8])
        .wide("book"),
        form("`update_many` of the key itself", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Id, Expr::value(60_i64));
                update.filter(book::Column::Id.eq(6_i64)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [6])
        .adds("book"),
        form("`update_many` of no row", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                update.filter(book::Column::Id.eq(4711_i64)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [])
        .of_no_row(),
        form("`update_many` by more keys than are named one by one", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                let keys = (3_i64..5).chain(100_000..101_500);
                update.filter(book::Column::Id.is_in(keys)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3, 4])
        .wide("book"),
        form("`update_many`, `exec_with_returning`", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                let update = update.filter(book::Column::Id.eq(3_i64));
                update.exec_with_returning(&w.db).await.map(drop)
            })
        })
        .rows("book", [3])
        .lacks(no_typed_returning),
        form("`update_many` by a key of two columns", |w| {
            Box::pin(async {
                let update = book_author::Entity::update_many();
                let update = update.col_expr(book_author::Column::AuthorId, Expr::value(2_i64));
                let update = update.filter(book_author::Column::BookId.eq(1_i64));
                update.filter(book_author::Column::AuthorId.eq(1_i64)).exec(&w.db).await.map(drop)
            })
        })
        .pairs("book_author", ["1,1"])
        .wide("book_author"),
    ]
}

fn deletes() -> Vec<Form> {
    vec![
        form("`Entity::delete`, `exec`", |w| {
            Box::pin(async { book::Entity::delete(new_book(5)).exec(&w.db).await.map(drop) })
        })
        .rows("book", [5]),
        form("`Entity::delete`, `exec_with_returning`", |w| {
            Box::pin(async {
                let delete = book::Entity::delete(new_book(5));
                delete.exec_with_returning(&w.db).await.map(drop)
            })
        })
        .rows("book", [5])
        .lacks(no_typed_returning),
        form("`Entity::delete_by_id`", |w| {
            Box::pin(async { book::Entity::delete_by_id(5).exec(&w.db).await.map(drop) })
        })
        .rows("book", [5]),
        form("`Entity::delete_by_id`, of no row", |w| {
            Box::pin(async { book::Entity::delete_by_id(4711).exec(&w.db).await.map(drop) })
        })
        .rows("book", [])
        .of_no_row(),
        form("`Entity::delete_by_id`, a key of two columns", |w| {
            Box::pin(async { book_author::Entity::delete_by_id((2, 1)).exec(&w.db).await.map(drop) })
        })
        .pairs("book_author", ["2,1"]),
        form("`delete_many` by keys", |w| {
            Box::pin(async {
                let delete = book::Entity::delete_many().filter(book::Column::Id.is_in([5_i64, 6]));
                delete.exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [5, 6]),
        form("`delete_many` by another column", |w| {
            Box::pin(async {
                let delete = review::Entity::delete_many().filter(review::Column::BookId.eq(1_i64));
                delete.exec(&w.db).await.map(drop)
            })
        })
        .rows("review", [1, 2])
        .wide("review"),
        form("`delete_many` by half of a key of two columns", |w| {
            Box::pin(async {
                let delete = book_author::Entity::delete_many().filter(book_author::Column::BookId.eq(2_i64));
                delete.exec(&w.db).await.map(drop)
            })
        })
        .pairs("book_author", ["2,1", "2,2"])
        .wide("book_author"),
        form("`delete_many` without a filter", |w| {
            Box::pin(async { review::Entity::delete_many().exec(&w.db).await.map(drop) })
        })
        .rows("review", [1, 2, 3, 4])
        .wide("review"),
        form("`delete_many`, `exec_with_returning`", |w| {
            Box::pin(async {
                let delete = book::Entity::delete_many().filter(book::Column::Id.is_in([5_i64, 6]));
                delete.exec_with_returning(&w.db).await.map(drop)
            })
        })
        .rows("book", [5, 6])
        .lacks(no_typed_returning),
    ]
}
