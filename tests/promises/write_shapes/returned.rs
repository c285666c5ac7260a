//! Writes that return rows: what comes back is believed where it is the table's own columns, and only there.

use sea_orm::{ConnectionTrait, DbErr, QueryOrder, Statement, TransactionTrait, entity::prelude::*};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    question::{Asked, Question, question},
    support::Backend,
    world::World,
};

entities! {
    stem = "stem", i64;
    leaf = "leaf", i64;
}

macro_rules! leaves {
    ($name:literal, $stem:literal) => {
        question!(
            $name,
            leaf::Entity::find().filter(leaf::Column::Up.eq($stem)).order_by_asc(leaf::Column::Id),
            all
        )
    };
}

fn questions() -> Vec<Question> {
    vec![
        question!("leaf 1", leaf::Entity::find_by_id(1), one),
        question!("leaf 3", leaf::Entity::find_by_id(3), one),
        question!("leaf 7", leaf::Entity::find_by_id(7), one),
        leaves!("on 1", 1_i64),
        leaves!("on 3", 3_i64),
        leaves!("on 4", 4_i64),
        leaves!("on 5", 5_i64),
    ]
}

/// Leaf 7 is on stem 3, which has another key than its leaves, and hangs on none of theirs.
async fn plant(world: &World) {
    for sql in [
        "CREATE TABLE stem (id BIGINT PRIMARY KEY, up BIGINT)",
        "CREATE TABLE leaf (id BIGINT PRIMARY KEY, up BIGINT)",
        "INSERT INTO stem (id, up) VALUES (1, 50), (3, 50), (4, 50)",
        "INSERT INTO leaf (id, up) VALUES (1, 1), (2, 1), (3, 4), (7, 3)",
    ] {
        world.database.execute(sql).await;
    }
}

async fn ask(world: &World, sql: &str) -> Result<(), DbErr> {
    let statement = Statement::from_string(world.plain().get_database_backend(), sql);
    world.db.query_all_raw(statement).await.map(drop)
}

#[tokio::test]
async fn what_comes_back_under_the_name_of_a_column_that_it_is_not_is_not_believed() {
    let by_all = [("INSERT INTO leaf (id, up) VALUES (9, 4 + 1) RETURNING id, 1 AS up", &["on 5"][..])];
    let by_two = [
        ("UPDATE leaf SET up = up + 1 WHERE id = 7 RETURNING id, 1 AS up", &["leaf 7", "on 3", "on 4"][..]),
        (
            "UPDATE leaf SET up = up - 1 WHERE up = 4 AND id > 5 RETURNING id + 100 AS id",
            &["leaf 7", "on 3", "on 4"],
        ),
        ("INSERT INTO leaf (id, up) VALUES (10, 5) RETURNING id AS up, up AS id", &["on 5"]),
    ];
    let by_postgres = [
        (
            "UPDATE leaf SET up = 4 FROM stem WHERE stem.id = leaf.up AND stem.id = 3 RETURNING stem.id, stem.up",
            &["leaf 7", "on 3", "on 4"][..],
        ),
        (
            "UPDATE leaf AS l SET up = 3 FROM stem WHERE stem.id = l.up AND l.id = 7 RETURNING *",
            &["leaf 7", "on 3", "on 4"],
        ),
        (
            "UPDATE leaf SET up = 4 FROM stem WHERE stem.id = leaf.up AND stem.id = 3 RETURNING leaf.id, stem.id AS up",
            &["leaf 7", "on 3", "on 4"],
        ),
        (
            "DELETE FROM leaf USING stem WHERE stem.id = leaf.up AND leaf.id > 5 RETURNING stem.*",
            &["leaf 7", "on 4", "on 5"],
        ),
    ];
    let last = [("DELETE FROM leaf WHERE up < 2 RETURNING 99 AS id", &["leaf 1", "on 1"][..])];
    for world in World::all().await {
        plant(&world).await;
        let asked = Asked::new(&world, questions()).await;
        let backend = world.database.backend();
        let mut writes = Vec::from(by_all);
        if backend != Backend::MariaDb {
            writes.extend(by_two);
        }
        if backend == Backend::Postgres {
            // The joined deletion takes the rows of the one before, too.
            world.database.execute("DELETE FROM leaf WHERE id > 7").await;
            writes.extend(by_postgres.into_iter().take(3));
        }
        writes.extend(last);
        for (sql, changed) in writes {
            asked.after(sql, changed, ask(&world, sql)).await;
        }
        if backend == Backend::Postgres {
            let (sql, _) = by_postgres[3];
            world.database.execute("DELETE FROM leaf WHERE id > 7").await;
            let asked = Asked::new(&world, questions()).await;
            asked.after(sql, &["leaf 7", "on 4"], ask(&world, sql)).await;
        }
    }
}

#[tokio::test]
async fn columns_of_the_table_that_come_back_are_believed_by_whatever_name_it_is_called() {
    for world in World::all().await.into_iter().filter(|world| world.database.backend() == Backend::Postgres)
    {
        plant(&world).await;
        let asked = Asked::new(&world, questions()).await;
        for (sql, changed) in [
            (
                "UPDATE leaf AS l SET up = l.up + 1 FROM stem WHERE stem.id = l.up AND stem.id = 3 RETURNING l.id, l.up",
                &["leaf 7", "on 3", "on 4"][..],
            ),
            (
                "UPDATE leaf SET up = leaf.up FROM stem WHERE stem.id = 0 AND leaf.id = 7 RETURNING leaf.*",
                &[],
            ),
            (
                "DELETE FROM leaf AS l USING stem WHERE stem.id = l.up AND l.id = 7 RETURNING l.*",
                &["leaf 7", "on 4"],
            ),
        ] {
            let purged = asked.after(sql, changed, ask(&world, sql)).await;
            assert!(!purged.contains(&"leaf 1"), "{world}, {sql}: {purged:?}");
        }
    }
}

// MariaDB counts no row where rows come back that nobody reads.
#[tokio::test]
async fn a_delete_whose_rows_nobody_reads_purges_them() {
    for world in World::all().await {
        plant(&world).await;
        let asked = Asked::new(&world, questions()).await;
        let sql = "DELETE FROM leaf WHERE id = 7 RETURNING id";
        asked.after(sql, &["leaf 7", "on 3"], send(&world, sql)).await;
        let sql = "DELETE FROM leaf WHERE up = 4 RETURNING id";
        let committed = async {
            let tx = world.db.begin().await?;
            tx.execute_unprepared(sql).await?;
            tx.commit().await
        };
        asked.after(sql, &["leaf 3", "on 4"], committed).await;
    }
}

// case D6
#[tokio::test]
async fn a_row_that_gets_another_number_in_sqlite_is_gone_under_its_old_key() {
    for world in World::all().await.into_iter().filter(|world| world.database.backend() == Backend::Sqlite) {
        for sql in [
            "CREATE TABLE stem (id INTEGER PRIMARY KEY, up BIGINT)",
            "CREATE TABLE leaf (id INTEGER PRIMARY KEY, up BIGINT REFERENCES stem (id) ON UPDATE CASCADE)",
            "INSERT INTO stem (id, up) VALUES (1, 50), (3, 50)",
            "INSERT INTO leaf (id, up) VALUES (1, 1), (7, 3)",
        ] {
            world.database.execute(sql).await;
        }
        let asked = Asked::new(&world, questions()).await;
        for (sql, changed) in [
            ("UPDATE leaf SET rowid = 3 WHERE id = 7 RETURNING *", &["leaf 3", "leaf 7", "on 3"][..]),
            (
                "INSERT INTO leaf (id, up) VALUES (3, 1) ON CONFLICT (id) DO UPDATE SET oid = 7 RETURNING *",
                &["leaf 3", "leaf 7", "on 3"],
            ),
            ("UPDATE stem SET _rowid_ = 4 WHERE id = 3", &["leaf 7", "on 3", "on 4"]),
        ] {
            asked.after(sql, changed, ask(&world, sql)).await;
        }
    }
}
