//! Reads that must reach the database every time: they lock rows, or their answer is not the tables' alone.

use sea_orm::{
    QueryOrder, QuerySelect, TransactionTrait,
    entity::prelude::*,
    sea_query::{LockBehavior, LockType},
};
use sea_orm_cache::prelude::*;

use crate::{
    entity::book,
    support::Backend,
    world::{StoreKind, World, retitled},
};

fn books() -> sea_orm::Select<book::Entity> {
    book::Entity::find().filter(book::Column::Id.eq(3)).order_by_asc(book::Column::Id)
}

fn where_sql(condition: &'static str) -> sea_orm::Select<book::Entity> {
    books().filter(Expr::cust(condition))
}

/// Each select, asked twice, sees what was written behind the cache's back, and stores nothing.
async fn ask_the_database(world: &World, selects: Vec<(&str, sea_orm::Select<book::Entity>)>) {
    for (name, select) in selects {
        for (round, title) in ["one", "two"].into_iter().enumerate() {
            retitled(3, title).update(world.plain()).await.unwrap();
            let before = world.cache().stats().total;
            let rows = select.clone().cached().all(&world.db).await;
            let rows = rows.unwrap_or_else(|error| panic!("{world}: {name}: {error}"));
            assert_eq!(rows[0].title, title, "{world}: {name}, round {round}");
            let count = select.clone().select_only().column(book::Column::Title).into_tuple::<String>();
            let count = count.cached().all(&world.db).await.unwrap();
            assert_eq!(count, [title], "{world}: {name}, round {round}");
            let after = world.cache().stats().total;
            assert_eq!(after.bypasses, before.bypasses + 2, "{world}: {name}");
        }
        let keys = world.cache().keys(1000).await.unwrap();
        assert!(
            !keys.iter().any(|key| key.contains(":q:") || key.contains(":row:")),
            "{world}: {name}: {keys:?}"
        );
    }
}

// case E8
#[tokio::test]
async fn a_read_that_locks_rows_is_never_cached() {
    let lock = |how: LockType| books().lock(how);
    let behave = |how: LockType, behavior: LockBehavior| books().lock_with_behavior(how, behavior);
    for world in World::all().await {
        let selects = match world.database.backend() {
            // It has no row locks.
            Backend::Sqlite => continue,
            Backend::Postgres => vec![
                ("FOR UPDATE", lock(LockType::Update)),
                ("FOR NO KEY UPDATE", lock(LockType::NoKeyUpdate)),
                ("FOR SHARE", lock(LockType::Share)),
                ("FOR KEY SHARE", lock(LockType::KeyShare)),
                ("FOR UPDATE NOWAIT", behave(LockType::Update, LockBehavior::Nowait)),
                ("FOR SHARE SKIP LOCKED", behave(LockType::Share, LockBehavior::SkipLocked)),
                ("FOR UPDATE in a subquery", where_sql("id IN (SELECT id FROM book FOR UPDATE)")),
                (
                    "FOR UPDATE in a WITH",
                    where_sql("id IN (WITH b AS (SELECT id FROM book FOR UPDATE) SELECT id FROM b)"),
                ),
            ],
            Backend::MariaDb => vec![
                ("FOR UPDATE", lock(LockType::Update)),
                ("FOR UPDATE NOWAIT", behave(LockType::Update, LockBehavior::Nowait)),
                ("FOR UPDATE SKIP LOCKED", behave(LockType::Update, LockBehavior::SkipLocked)),
                ("LOCK IN SHARE MODE", where_sql("id IN (SELECT id FROM book LOCK IN SHARE MODE)")),
                ("FOR UPDATE WAIT", where_sql("id IN (SELECT id FROM book FOR UPDATE WAIT 1)")),
            ],
        };
        ask_the_database(&world, selects).await;
        // By key as well, and it does lock.
        let tx = world.db.begin().await.unwrap();
        let mine = book::Entity::find_by_id(3).lock_exclusive().cached().one(&tx).await.unwrap().unwrap();
        let theirs = books().lock_with_behavior(LockType::Update, LockBehavior::SkipLocked).cached();
        assert_eq!(theirs.all(&world.db).await.unwrap().len(), 0, "{world}: {mine:?} is locked");
        tx.rollback().await.unwrap();
    }
}

// case E9, E17
#[tokio::test]
async fn an_answer_that_is_not_the_tables_alone_is_never_cached() {
    for world in World::all().await {
        let conditions = match world.database.backend() {
            Backend::Sqlite => vec![
                "RANDOM() IS NOT NULL",
                "LENGTH(RANDOMBLOB(4)) = 4",
                "CURRENT_DATE > '2000'",
                "DATETIME('now', '+1 day') > '2000'",
                "STRFTIME('%s') > '0'",
                "JULIANDAY() > 0",
                "LAST_INSERT_ROWID() >= 0",
                "TOTAL_CHANGES() >= 0",
                "(SELECT COUNT(*) FROM sqlite_master) > 0",
            ],
            Backend::Postgres => vec![
                "RANDOM() < 2",
                "now() > '2000-01-01'",
                "CURRENT_DATE > '2000-01-01'",
                "LOCALTIMESTAMP > '2000-01-01'",
                "clock_timestamp() > '2000-01-01'",
                "CURRENT_USER = current_user",
                "SESSION_USER <> ''",
                "current_setting('TimeZone') <> ''",
                "nextval('ticket') > 0",
                "gen_random_uuid() IS NOT NULL",
                "txid_current() > 0",
                "pg_backend_pid() > 0",
                "own_clock() > 0",
                "current_schema() <> ''",
                "'now'::timestamp > '2000-01-01'",
                "id IN (SELECT id FROM book TABLESAMPLE SYSTEM (100))",
                "EXISTS (SELECT 1 FROM pg_class)",
                "EXISTS (SELECT 1 FROM information_schema.tables)",
            ],
            Backend::MariaDb => vec![
                "RAND() < 2",
                "NOW() > '2000-01-01'",
                "CURRENT_DATE > '2000-01-01'",
                "SYSDATE() > '2000-01-01'",
                "UNIX_TIMESTAMP() > 0",
                "UUID() IS NOT NULL",
                "CURRENT_USER() <> ''",
                "CONNECTION_ID() > 0",
                "DATABASE() <> ''",
                "@@session.time_zone <> ''",
                "COALESCE(@own, 1) = 1",
                "LAST_INSERT_ID() >= 0",
                "NEXTVAL(ticket) > 0",
                "(NEXT VALUE FOR ticket) > 0",
                "own_clock() > 0",
                "EXISTS (SELECT 1 FROM information_schema.tables)",
            ],
        };
        match world.database.backend() {
            Backend::Sqlite => {}
            Backend::Postgres => {
                let clock = "CREATE FUNCTION own_clock() RETURNS INT LANGUAGE sql VOLATILE AS 'SELECT 1'";
                world.database.execute(clock).await;
                world.database.execute("CREATE SEQUENCE ticket").await;
            }
            Backend::MariaDb => {
                world.database.execute("CREATE FUNCTION own_clock() RETURNS INT RETURN 1").await;
                world.database.execute("CREATE SEQUENCE ticket").await;
            }
        }
        let selects = conditions.into_iter().map(|condition| (condition, where_sql(condition))).collect();
        ask_the_database(&world, selects).await;
        let random = match world.database.backend() {
            Backend::MariaDb => "RAND()",
            _ => "RANDOM()",
        };
        let shuffled = vec![(
            "ORDER BY",
            book::Entity::find().filter(book::Column::Id.eq(3)).order_by_asc(Expr::cust(random)),
        )];
        ask_the_database(&world, shuffled).await;
    }
}

#[tokio::test]
async fn a_bound_word_that_postgresql_takes_for_the_time_is_never_cached() {
    let Some(world) = World::new(Backend::Postgres, StoreKind::Memory).await else { return };
    let bound =
        |sql: &str, word: &str| books().filter(Expr::cust_with_values(sql.to_owned(), [word.to_owned()]));
    let selects = vec![
        ("two casts", bound("title <> $1::text::timestamptz::text", "now")),
        ("a cast", bound("title <> CAST(CAST($1 AS text) AS date)::text", " Today ")),
        ("a longer text", bound("$1::text::tstzrange IS NOT NULL", "[yesterday,infinity)")),
    ];
    ask_the_database(&world, selects).await;
    // Any other text is cached, and such a word where nothing is made of it.
    for (sql, word) in [("title <> $1::text", "nowhere"), ("title <> $1", "now")] {
        for hit in [false, true] {
            let read = bound(sql, word).cached().all(&world.db);
            assert_eq!(world.is_hit(read).await.1, hit, "{sql} {word}");
        }
    }
}

#[tokio::test]
async fn a_column_that_mariadb_computes_by_the_clock_is_never_cached() {
    let Some(world) = World::new(Backend::MariaDb, StoreKind::Memory).await else { return };
    for (column, cached) in [("stock + 1", true), ("MICROSECOND(NOW(6))", false)] {
        let alter = format!("ALTER TABLE book ADD COLUMN computed BIGINT AS ({column}) VIRTUAL");
        world.db.execute_unprepared(&alter).await.unwrap();
        world.db.learn_schema().await.unwrap();
        assert!(world.cache().drain(std::time::Duration::from_secs(10)).await);
        for hit in [false, cached] {
            let read = books().select_only().expr_as(Expr::cust("computed"), "computed");
            let read = read.into_tuple::<i64>().cached().all(&world.db);
            assert_eq!(world.is_hit(read).await.1, hit, "{column}");
        }
        world.db.execute_unprepared("ALTER TABLE book DROP COLUMN computed").await.unwrap();
    }
}
