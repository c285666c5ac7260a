//! Statements that look like something else: words in texts and comments, and writes in disguise.

use sea_orm::{ConnectionTrait, QueryOrder, Statement, entity::prelude::*};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    entity::{author, book},
    question::{Asked, Question, question},
    support::Backend,
    world::World,
};

fn questions() -> Vec<Question> {
    vec![
        question!("book 3", book::Entity::find_by_id(3), one),
        question!("book 4", book::Entity::find_by_id(4), one),
        question!("books", book::Entity::find().order_by_asc(book::Column::Id), all),
        question!("author 1", author::Entity::find_by_id(1), one),
        question!("authors", author::Entity::find().order_by_asc(author::Column::Id), all),
    ]
}

const BOOK: &[&str] = &["book 3", "books"];
const BOTH_BOOKS: &[&str] = &["book 3", "book 4", "books"];
const BOTH: &[&str] = &["book 3", "books", "author 1", "authors"];
const NOTHING: &[&str] = &[];

/// Every text sets a stock or a title that was not there before.
fn everywhere() -> Vec<(&'static str, &'static [&'static str])> {
    vec![
        ("-- author\nUPDATE book SET stock = 101 WHERE id = 3 -- AND id = 4", BOOK),
        (
            "/* DELETE FROM author; */ UPDATE /* author */ book /**/ SET stock = 102 WHERE id /* = 4 */ = 3",
            BOOK,
        ),
        ("UPDATE book SET title = 'it''s; UPDATE author SET name = ''x''; --' WHERE id = 3", BOOK),
        ("UPDATE book SET title = '/*', stock = 103 WHERE id = 3 /* '*/", BOOK),
        ("UPDATE book SET title = '--' WHERE id = 3; UPDATE author SET name = '--' WHERE id = 1", BOTH),
        ("UPDATE book SET title = 'a' WHERE id = 3; UPDATE author SET name = '/*' WHERE id = 1;", BOTH),
        ("UPDATE book SET stock = 104 WHERE title = 'WHERE id = 4' OR id = 3", BOOK),
        ("UPDATE book SET stock = 105 WHERE id IN (3, 4) AND title <> 'AND id = 3'", BOTH_BOOKS),
        ("SELECT 'UPDATE book SET stock = 1 WHERE id = 3'", NOTHING),
        ("-- UPDATE book SET stock = 1 WHERE id = 3", NOTHING),
        ("EXPLAIN UPDATE book SET stock = 0 WHERE id = 3", NOTHING),
    ]
}

fn only(backend: Backend) -> Vec<(&'static str, &'static [&'static str])> {
    match backend {
        Backend::Sqlite => vec![
            ("UPDATE [book] SET `stock` = 201 WHERE \"id\" = 3", BOOK),
            ("UPDATE book SET title = 'a\\' WHERE id = 3; UPDATE author SET name = '\\' WHERE id = 1", BOTH),
            ("WITH b AS (SELECT 3 AS id) UPDATE book SET stock = 202 WHERE id IN (SELECT id FROM b)", BOOK),
            ("EXPLAIN QUERY PLAN DELETE FROM book", NOTHING),
            ("UPDATE book SET stock = 203 WHERE id = 3 /* never closed", BOOK),
        ],
        Backend::Postgres => vec![
            ("UPDATE book SET title = $$it's; DELETE FROM author; $$ WHERE id = 3", BOOK),
            (
                "UPDATE book SET title = $a$ $$ $a$ WHERE id=3; UPDATE author SET name = $$a$$ WHERE id=1",
                BOTH,
            ),
            (
                "UPDATE book SET title = E'\\'' WHERE id = 3; UPDATE author SET name = E'\\\\e' WHERE id = 1",
                BOTH,
            ),
            ("UPDATE book SET title = '\\' WHERE id = 3; UPDATE author SET name = '\\' WHERE id = 1", BOTH),
            (
                "/* /* nested */ UPDATE author SET name = 'x'; */ UPDATE book SET stock = 201 WHERE id = 3",
                BOOK,
            ),
            (
                "UPDATE book SET title = 'a' 
              ' WHERE id = 4' WHERE id = 3",
                BOOK,
            ),
            ("EXPLAIN ANALYZE UPDATE book SET stock = 202 WHERE id = 3", BOOK),
            ("EXPLAIN (COSTS off, ANALYZE true) DELETE FROM book WHERE id = 99 OR id = 3", BOOK),
            ("EXPLAIN (ANALYZE, ANALYZE false) UPDATE book SET stock = 0 WHERE id = 4", NOTHING),
            (
                "WITH w AS (UPDATE book SET stock = 203 WHERE id = 4 RETURNING id) SELECT * FROM w",
                &["book 4", "books"],
            ),
            (
                "PREPARE w AS UPDATE book SET stock = 204 WHERE id = 4; EXECUTE w; DEALLOCATE w",
                &["book 4", "books"],
            ),
        ],
        Backend::MariaDb => vec![
            ("# author\nUPDATE book SET stock = 201 WHERE id = 3 # AND id = 4", BOOK),
            ("UPDATE book SET title = 'it\\'s; DELETE FROM author; --' WHERE id = 3", BOOK),
            ("UPDATE book SET title = \"it's\", stock = 202 WHERE id = 3 AND 'a' = \"a\"", BOOK),
            ("UPDATE book SET stock = 100 --1 + 102\n WHERE id = 3", BOOK),
            ("/*! UPDATE book SET stock = 204 WHERE id = 3 */", BOOK),
            ("UPDATE book SET stock = 205 WHERE id = 3 /*!50000 OR id = 4 */", BOTH_BOOKS),
            ("UPDATE book SET stock = 206 WHERE id = 3 /*M!100000 OR id = 4 */", BOTH_BOOKS),
            ("UPDATE book SET stock = 207 WHERE id = 3 /*!999999 OR id = 4 */", BOOK),
            ("UPDATE book SET title = 'a' ' WHERE id = 4' WHERE id = 3", BOOK),
            // The driver makes `||` put texts together.
            ("UPDATE book SET stock = 208 WHERE id = '' || 3", BOOK),
            ("UPDATE book SET stock = 209 WHERE id = 4 XOR id = 3", BOTH_BOOKS),
            ("ANALYZE FORMAT=JSON UPDATE book SET stock = 219 WHERE id = 3", BOOK),
            ("SET STATEMENT max_statement_time = 60 FOR UPDATE book SET stock = 210 WHERE id = 3", BOOK),
            (
                "PREPARE w FROM 'UPDATE book SET stock = 211 WHERE id = 3'; EXECUTE w; DEALLOCATE PREPARE w",
                BOOK,
            ),
            ("BEGIN NOT ATOMIC UPDATE book SET stock = 212 WHERE id = 3; END", BOOK),
        ],
    }
}

// case D25, D8
#[tokio::test]
async fn words_in_texts_and_comments_do_nothing_and_writes_in_disguise_do() {
    for world in World::all().await {
        let asked = Asked::new(&world, questions()).await;
        for (sql, changed) in everywhere().into_iter().chain(only(world.database.backend())) {
            asked.after(sql, changed, send(&world, sql)).await;
        }
    }
}

// case D25, D8
#[tokio::test]
async fn values_that_read_like_statements_are_values() {
    for world in World::all().await {
        let asked = Asked::new(&world, questions()).await;
        let backend = world.plain().get_database_backend();
        let sql = match world.database.backend() {
            Backend::Postgres => "UPDATE book SET title = $1 WHERE id = $2 AND title <> $3",
            _ => "UPDATE book SET title = ? WHERE id = ? AND title <> ?",
        };
        for title in ["'; DELETE FROM author; --", "$1", "?", "/*", "\\", "", "$$"] {
            let values = [title.into(), 3_i64.into(), "WHERE id = 4".into()];
            let write = world.db.execute_raw(Statement::from_sql_and_values(backend, sql, values));
            let purged = asked.after(&format!("a title of {title:?}"), BOOK, write).await;
            assert_eq!(purged, BOOK, "{world}: {title:?}");
        }
    }
}
