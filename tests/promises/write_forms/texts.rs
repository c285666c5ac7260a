//! Statements as texts: bound and written out, with what comes back, in each database's own words.

use futures_util::StreamExt;
use sea_orm::{ConnectionTrait, StreamTrait, entity::prelude::*, sea_query::Query};

use crate::{entity::book, support::Backend};

use super::{bookshop::*, form::*};

pub(super) fn forms() -> Vec<Form> {
    [raw_texts(), returning_texts(), dialects()].into_iter().flatten().collect()
}

fn raw_texts() -> Vec<Form> {
    vec![
        form("`execute_raw`, values bound, by key", |w| {
            Box::pin(async {
                let sql = "UPDATE book SET title = ?, stock = stock + ? WHERE id = ?";
                let statement = bound(w, sql, ["new".into(), 1.into(), 3i64.into()]);
                w.db.execute_raw(statement).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`execute_raw`, values bound, by keys", |w| {
            Box::pin(async {
                let sql = "DELETE FROM book WHERE stock < ? AND (id IN (?, ?))";
                let statement = bound(w, sql, [1000.into(), 5i64.into(), 6i64.into()]);
                w.db.execute_raw(statement).await.map(drop)
            })
        })
        .rows("book", [5, 6]),
        form("`execute`, a query built by hand", |w| {
            Box::pin(async {
                let mut update = Query::update();
                update
                    .table(book::Entity)
                    .value(book::Column::Stock, 0)
                    .and_where(book::Column::Id.eq(3_i64));
                w.db.execute(&update).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`execute_unprepared`, by key", |w| {
            Box::pin(unprepared(w, "UPDATE book SET stock = stock - 1 WHERE id = 3"))
        })
        .rows("book", [3]),
        form("`execute_unprepared`, by key, in comments and capitals", |w| {
            Box::pin(unprepared(
                w,
                "/* publisher */ update -- shelf\n book set stock = 0 where Id = 3; -- author",
            ))
        })
        .rows("book", [3]),
        form("`execute_unprepared`, a name and a keyword in a text value", |w| {
            Box::pin(unprepared(w, "UPDATE book SET title = 'DELETE FROM publisher; --' WHERE id = 3"))
        })
        .rows("book", [3]),
        form("`execute_unprepared`, the table under another name", |w| {
            Box::pin(async {
                let sql = match w.database.backend() {
                    Backend::MariaDb => "UPDATE `book` AS `b` SET `b`.`stock` = 0 WHERE `b`.`id` = 3",
                    _ => "UPDATE \"book\" AS \"b\" SET \"stock\" = 0 WHERE \"b\".\"id\" = 3",
                };
                unprepared(w, sql).await
            })
        })
        .rows("book", [3])
        .all_lists(),
        form("`execute_unprepared`, the table with its schema", |w| {
            Box::pin(async {
                let schema = match w.database.backend() {
                    Backend::Postgres => "public".to_owned(),
                    Backend::Sqlite => "main".to_owned(),
                    Backend::MariaDb => {
                        let row =
                            w.plain().query_one_raw(raw(w, "SELECT DATABASE() AS name")).await?.unwrap();
                        row.try_get("", "name")?
                    }
                };
                unprepared(w, &format!("UPDATE {schema}.book SET stock = 0 WHERE id = 3")).await
            })
        })
        .rows("book", [3])
        .all_lists(),
        form("`execute_unprepared`, the key as text", |w| {
            Box::pin(unprepared(w, "UPDATE book SET stock = 0 WHERE id = '3'"))
        })
        .rows("book", [3])
        .all_lists()
        .wide("book"),
        form("`execute_unprepared`, the key computed", |w| {
            Box::pin(unprepared(w, "UPDATE book SET stock = 0 WHERE id = 1 + 2"))
        })
        .rows("book", [3])
        .all_lists()
        .wide("book"),
        form("`execute_unprepared`, rows unknown", |w| {
            Box::pin(unprepared(w, "UPDATE book SET stock = 0 WHERE price_cents > 600"))
        })
        .rows("book", [7, 8])
        .all_lists()
        .wide("book"),
        form("`execute_unprepared`, two statements", |w| {
            Box::pin(unprepared(
                w,
                "UPDATE book SET stock = 0 WHERE id = 3; UPDATE publisher SET name = 'Renamed' WHERE id = 2",
            ))
        })
        .rows("book", [3])
        .all_lists()
        .rows("publisher", [2]),
        form("`execute_unprepared`, all rows of a table", |w| Box::pin(unprepared(w, "DELETE FROM review")))
            .rows("review", [1, 2, 3, 4])
            .wide("review"),
        form("`execute_unprepared`, `INSERT ... VALUES`", |w| {
            Box::pin(unprepared(w, "INSERT INTO author (id, name) VALUES (50, 'Author 50')"))
        })
        .adds("author"),
        form("`execute_unprepared`, `INSERT ... SELECT`", |w| {
            Box::pin(unprepared(
                w,
                "INSERT INTO book (id, shelf_id, publisher_id, title, price_cents, stock) \
                 SELECT id + 47, shelf_id, publisher_id, title, price_cents, stock FROM book WHERE id = 3",
            ))
        })
        .adds("book")
        .all_lists(),
        form("DDL: another table made and dropped", |w| {
            Box::pin(async {
                unprepared(w, "CREATE TABLE pamphlet (id INT PRIMARY KEY)").await?;
                unprepared(w, "DROP TABLE pamphlet").await
            })
        }),
        form("DDL: a table renamed, and back", |w| {
            Box::pin(unprepared(
                w,
                "ALTER TABLE author RENAME TO writer; ALTER TABLE writer RENAME TO author",
            ))
        })
        .rows("author", [])
        .wide("author"),
        form("DDL: a column added", |w| {
            Box::pin(async {
                unprepared(w, "ALTER TABLE review ADD COLUMN votes INT").await?;
                // The read first: another connection of SQLite's may not have noticed the column.
                let undo = "SELECT COUNT(votes) FROM review; ALTER TABLE review DROP COLUMN votes";
                w.database.execute(undo).await;
                Ok(())
            })
        })
        .rows("review", [])
        .wide("review"),
    ]
}

fn returning_texts() -> Vec<Form> {
    vec![
        form("`query_one_raw`, `UPDATE ... RETURNING`", |w| {
            Box::pin(async {
                let sql = "UPDATE book SET stock = 0 WHERE id = ? RETURNING title";
                w.db.query_one_raw(bound(w, sql, [3i64.into()])).await.map(drop)
            })
        })
        .rows("book", [3])
        .all_lists()
        .lacks(no_update_returning),
        form("`query_all_raw`, `UPDATE ... RETURNING`", |w| {
            Box::pin(async {
                let sql = "UPDATE book SET stock = 0 WHERE id IN (?, ?) RETURNING *";
                w.db.query_all_raw(bound(w, sql, [3i64.into(), 4i64.into()])).await.map(drop)
            })
        })
        .rows("book", [3, 4])
        .lacks(no_update_returning),
        form("`query_one_raw`, `INSERT ... RETURNING`", |w| {
            Box::pin(async {
                let sql = "INSERT INTO author (id, name) VALUES (?, ?) RETURNING id";
                w.db.query_one_raw(bound(w, sql, [50i64.into(), "new".into()])).await.map(drop)
            })
        })
        .adds("author"),
        form("`query_all_raw`, `DELETE ... RETURNING`", |w| {
            Box::pin(async {
                let sql = "DELETE FROM book WHERE id IN (?, ?) RETURNING id";
                w.db.query_all_raw(bound(w, sql, [5i64.into(), 6i64.into()])).await.map(drop)
            })
        })
        .rows("book", [5, 6])
        .all_lists(),
        form("`stream_raw`, `UPDATE ... RETURNING`, read to the end", |w| {
            Box::pin(async {
                let sql = "UPDATE book SET stock = 0 WHERE id IN (3, 4) RETURNING id";
                let mut rows = w.db.stream_raw(raw(w, sql)).await?;
                while let Some(row) = rows.next().await {
                    row?;
                }
                Ok(())
            })
        })
        .rows("book", [3, 4])
        .lacks(no_update_returning),
        form("`stream_raw`, `UPDATE ... RETURNING`, dropped half-way", |w| {
            Box::pin(async {
                let sql = "UPDATE book SET stock = 0 WHERE id IN (3, 4) RETURNING id";
                let mut rows = w.db.stream_raw(raw(w, sql)).await?;
                rows.next().await.unwrap()?;
                drop(rows);
                purged(w, "book").await;
                Ok(())
            })
        })
        .rows("book", [3, 4])
        .lacks(no_update_returning),
        form("`stream_raw`, `DELETE ... RETURNING`, dropped half-way", |w| {
            Box::pin(async {
                let sql = "DELETE FROM book WHERE id IN (5, 6) RETURNING id";
                let mut rows = w.db.stream_raw(raw(w, sql)).await?;
                rows.next().await.unwrap()?;
                drop(rows);
                purged(w, "book").await;
                Ok(())
            })
        })
        .rows("book", [5, 6])
        .all_lists(),
    ]
}

fn dialects() -> Vec<Form> {
    vec![
        form("`WITH ... UPDATE`", |w| {
            Box::pin(unprepared(
                w,
                "WITH best AS (SELECT book_id FROM review WHERE stars = 5) \
                 UPDATE book SET stock = 0 WHERE id IN (SELECT book_id FROM best)",
            ))
        })
        .rows("book", [1, 2, 4])
        .all_lists()
        .wide("book")
        .lacks(not_mariadb),
        form("`WITH x AS (UPDATE ... RETURNING ...) DELETE`", |w| {
            Box::pin(async {
                let sql = "WITH moved AS (UPDATE book SET stock = 0 WHERE id = 3 RETURNING id) \
                           DELETE FROM review WHERE id = 3";
                w.db.query_all_raw(raw(w, sql)).await.map(drop)
            })
        })
        .rows("book", [3])
        .all_lists()
        .rows("review", [3])
        .lacks(postgres_only),
        form("`UPDATE ... FROM`", |w| {
            Box::pin(unprepared(
                w,
                "UPDATE book SET stock = 0 FROM publisher AS p WHERE p.id = book.publisher_id AND p.id = 1",
            ))
        })
        .rows("book", [2, 4, 6, 8])
        .wide("book")
        .lacks(not_mariadb),
        form("`UPDATE` of a join", |w| {
            Box::pin(unprepared(
                w,
                "UPDATE book JOIN publisher AS p ON p.id = book.publisher_id SET book.stock = 0 WHERE p.id = 1",
            ))
        })
        .rows("book", [2, 4, 6, 8])
        .wide("book")
        .lacks(mariadb_only),
        form("`DELETE ... USING`", |w| {
            Box::pin(unprepared(w, "DELETE FROM review USING book WHERE book.id = review.book_id AND book.id = 1"))
        })
        .rows("review", [1, 2])
        .wide("review")
        .lacks(postgres_only),
        form("`DELETE` from a join", |w| {
            Box::pin(unprepared(w, "DELETE r FROM review AS r JOIN book ON book.id = r.book_id WHERE book.id = 1"))
        })
        .rows("review", [1, 2])
        .wide("review")
        .lacks(mariadb_only),
        form("`MERGE`", |w| {
            Box::pin(unprepared(
                w,
                "MERGE INTO book USING (VALUES (3), (4)) AS v (id) ON book.id = v.id \
                 WHEN MATCHED THEN UPDATE SET stock = 0",
            ))
        })
        .rows("book", [3, 4])
        .wide("book")
        .lacks(postgres_only),
        form("`TRUNCATE`", |w| Box::pin(unprepared(w, "TRUNCATE TABLE review")))
            .rows("review", [1, 2, 3, 4])
            .wide("review")
            .lacks(not_sqlite),
        form("`EXPLAIN ANALYZE UPDATE`", |w| {
            Box::pin(async {
                let sql = "EXPLAIN ANALYZE UPDATE book SET stock = 0 WHERE id = 3";
                w.db.query_all_raw(raw(w, sql)).await.map(drop)
            })
        })
        .rows("book", [3])
        .all_lists()
        .wide("book")
        .lacks(postgres_only),
        form("`ANALYZE UPDATE`", |w| {
            Box::pin(async {
                let sql = "ANALYZE UPDATE book SET stock = 0 WHERE id = 3";
                w.db.query_all_raw(raw(w, sql)).await.map(drop)
            })
        })
        .rows("book", [3])
        .all_lists()
        .wide("book")
        .lacks(mariadb_only),
        form("a `DO` block", |w| {
            Box::pin(unprepared(w, "DO $$ BEGIN UPDATE book SET stock = 0 WHERE id = 3; END $$"))
        })
        .rows("book", [3])
        .everything_on(|_| true)
        .lacks(postgres_only),
        form("`EXECUTE IMMEDIATE`", |w| {
            Box::pin(unprepared(w, "EXECUTE IMMEDIATE 'UPDATE book SET stock = 0 WHERE id = 3'"))
        })
        .rows("book", [3])
        .everything_on(|_| true)
        .lacks(mariadb_only),
        form("`INSERT ... ON DUPLICATE KEY UPDATE`", |w| {
            Box::pin(unprepared(
                w,
                "INSERT INTO author (id, name) VALUES (2, 'new') ON DUPLICATE KEY UPDATE name = VALUES(name)",
            ))
        })
        .rows("author", [2])
        .wide("author")
        .lacks(mariadb_only),
        form("`INSERT ... SET`", |w| {
            Box::pin(unprepared(w, "INSERT INTO author SET id = 50, name = 'new'"))
        })
        .adds("author")
        .lacks(mariadb_only),
        form("`INSERT IGNORE`", |w| {
            Box::pin(unprepared(w, "INSERT IGNORE INTO author (id, name) VALUES (1, 'old'), (50, 'new')"))
        })
        .adds("author")
        .lacks(mariadb_only),
        form("`INSERT OR IGNORE`", |w| {
            Box::pin(unprepared(w, "INSERT OR IGNORE INTO author (id, name) VALUES (1, 'old'), (50, 'new')"))
        })
        .adds("author")
        .lacks(sqlite_only),
        form("`REPLACE INTO`", |w| {
            Box::pin(unprepared(w, "REPLACE INTO review (id, book_id, customer_id, stars) VALUES (3, 2, 1, 1)"))
        })
        .rows("review", [3])
        .wide("review")
        .lacks(|backend| (backend == Backend::Postgres).then_some("not in PostgreSQL's SQL")),
        form("`INSERT OR REPLACE`", |w| {
            Box::pin(unprepared(
                w,
                "INSERT OR REPLACE INTO review (id, book_id, customer_id, stars) VALUES (3, 2, 1, 1)",
            ))
        })
        .rows("review", [3])
        .wide("review")
        .lacks(sqlite_only),
        form("`UPDATE OR REPLACE`", |w| {
            Box::pin(unprepared(w, "UPDATE OR REPLACE review SET id = 4 WHERE id = 3"))
        })
        .rows("review", [3, 4])
        .wide("review")
        .lacks(sqlite_only),
        form("by `rowid`", |w| Box::pin(unprepared(w, "UPDATE book SET stock = 0 WHERE rowid = 3")))
            .rows("book", [3])
            .all_lists()
            .wide("book")
            .lacks(sqlite_only),
        form("`ON CONFLICT DO UPDATE` of the key", |w| {
            Box::pin(unprepared(
                w,
                "INSERT INTO author (id, name) VALUES (3, 'new') ON CONFLICT (id) DO UPDATE SET id = 50",
            ))
        })
        .rows("author", [3])
        .adds("author")
        .wide("author")
        .lacks(not_mariadb),
        form("a table's name in capitals", |w| {
            Box::pin(unprepared(w, "UPDATE BOOK SET stock = 0 WHERE ID = 3"))
        })
        .rows("book", [3])
        .all_lists()
        .lacks(|backend| on_mariadb(backend).then_some("MariaDB tells capitals in names apart")),
    ]
}
