//! Foreign keys by which the database writes rows of other tables.

use sea_orm::{ConnectionTrait, QueryOrder, TransactionTrait, entity::prelude::*};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    question::{Asked, Question, question},
    support::Backend,
    world::World,
};

entities! {
    area = "area", i64;
    rack = "rack", i64;
    crate_ = "crate", i64;
    item = "item", i64;
    node = "node", i64;
    hen = "hen", i64;
    egg = "egg", i64;
}

/// The row 1 of a table, the rows below 1 and 2 of the one above, and how many there are.
macro_rules! level {
    ($module:ident, $row:literal, $below_1:literal, $below_2:literal, $all:literal) => {
        [
            question!($row, $module::Entity::find_by_id(1), one),
            question!(
                $below_1,
                $module::Entity::find()
                    .filter($module::Column::Up.eq(1_i64))
                    .order_by_asc($module::Column::Id),
                all
            ),
            question!(
                $below_2,
                $module::Entity::find()
                    .filter($module::Column::Up.eq(2_i64))
                    .order_by_asc($module::Column::Id),
                all
            ),
            question!($all, $module::Entity::find(), count),
        ]
    };
}

async fn create(world: &World, statements: &[&str]) {
    for sql in statements {
        world.database.execute(sql).await;
    }
}

/// Racks in areas, crates on racks, items in crates: rows 1 and 2 of each stand in 1, row 3 in 2.
async fn warehouse(world: &World) {
    let table = |name: &str, above: &str, actions: &str| {
        format!(
            "CREATE TABLE {name} (id BIGINT PRIMARY KEY, up BIGINT, \
             FOREIGN KEY (up) REFERENCES {above} (id) {actions})"
        )
    };
    create(
        world,
        &[
            "CREATE TABLE area (id BIGINT PRIMARY KEY, up BIGINT)",
            &table("rack", "area", "ON DELETE CASCADE ON UPDATE CASCADE"),
            &table("crate", "rack", "ON DELETE CASCADE"),
            &table("item", "crate", "ON DELETE SET NULL"),
            "INSERT INTO area (id, up) VALUES (1, NULL), (2, NULL)",
        ],
    )
    .await;
    for name in ["rack", "crate", "item"] {
        world.database.execute(&format!("INSERT INTO {name} (id, up) VALUES (1, 1), (2, 1), (3, 2)")).await;
    }
}

fn warehouse_questions() -> Vec<Question> {
    let mut questions = vec![question!("area 1", area::Entity::find_by_id(1), one)];
    questions.extend(level!(rack, "rack 1", "racks in 1", "racks in 2", "racks"));
    questions.extend(level!(crate_, "crate 1", "crates on 1", "crates on 2", "crates"));
    questions.extend(level!(item, "item 1", "items in 1", "items in 2", "items"));
    questions
}

// case D17
#[tokio::test]
async fn what_foreign_keys_delete_empty_and_change_is_seen_three_tables_down() {
    for world in World::all().await {
        warehouse(&world).await;
        let asked = Asked::new(&world, warehouse_questions()).await;
        let renumbered = "UPDATE area SET id = 9 WHERE id = 1";
        let changed = ["area 1", "rack 1", "racks in 1"];
        asked.after("a key that racks refer to", &changed, send(&world, renumbered)).await;
        let undone = async {
            let tx = world.db.begin().await?;
            area::Entity::delete_by_id(9).exec(&tx).await?;
            tx.rollback().await
        };
        assert_eq!(asked.after("a delete, rolled back", &[], undone).await, [""; 0], "{world}");
        let gone = [
            "rack 1",
            "racks",
            "crate 1",
            "crates on 1",
            "crates on 2",
            "crates",
            "item 1",
            "items in 1",
            "items in 2",
        ];
        let committed = async {
            let tx = world.db.begin().await?;
            area::Entity::delete_by_id(9).exec(&tx).await?;
            tx.commit().await
        };
        asked.after("a delete", &gone, committed).await;
        asked
            .after(
                "a delete of a rack",
                &["racks in 2", "racks"],
                rack::Entity::delete_many().exec(&world.db),
            )
            .await;
    }
}

// case D17
#[tokio::test]
async fn a_table_that_refers_to_itself_is_purged_as_deep_as_it_goes() {
    for world in World::all().await {
        create(
            &world,
            &[
                "CREATE TABLE node (id BIGINT PRIMARY KEY, up BIGINT, \
                 FOREIGN KEY (up) REFERENCES node (id) ON DELETE CASCADE)",
                "INSERT INTO node (id, up) VALUES (8, NULL), (1, 8), (2, 1), (3, 2), (4, 3), (5, NULL)",
            ],
        )
        .await;
        let mut questions = Vec::from(level!(node, "node 1", "below 1", "below 2", "nodes"));
        questions.push(question!("node 4", node::Entity::find_by_id(4), one));
        questions.push(question!("node 5", node::Entity::find_by_id(5), one));
        let asked = Asked::new(&world, questions).await;
        let gone = ["node 1", "below 1", "below 2", "nodes", "node 4"];
        asked.after("the root gone", &gone, node::Entity::delete_by_id(8).exec(&world.db)).await;
    }
}

// case D17
#[tokio::test]
async fn tables_that_refer_to_each_other_are_purged_in_a_circle() {
    for world in World::all().await {
        create(&world, &["CREATE TABLE hen (id BIGINT PRIMARY KEY, up BIGINT)"]).await;
        let egg = "CREATE TABLE egg (id BIGINT PRIMARY KEY, up BIGINT, \
                   FOREIGN KEY (up) REFERENCES hen (id) ON DELETE CASCADE)";
        match world.database.backend() {
            // It takes no new foreign keys, but those to tables that are not there yet.
            Backend::Sqlite => {
                let hen = "CREATE TABLE hen (id BIGINT PRIMARY KEY, \
                           up BIGINT REFERENCES egg (id) ON DELETE SET NULL)";
                create(&world, &["DROP TABLE hen", hen, egg]).await;
            }
            _ => {
                let circle = "ALTER TABLE hen ADD FOREIGN KEY (up) REFERENCES egg (id) ON DELETE SET NULL";
                create(&world, &[egg, circle]).await;
            }
        }
        let stock = [
            "INSERT INTO hen (id, up) VALUES (1, NULL), (2, NULL)",
            "INSERT INTO egg (id, up) VALUES (1, 1), (2, 2)",
            "UPDATE hen SET up = 1 WHERE id = 2",
        ];
        create(&world, &stock).await;
        let mut questions = Vec::from(level!(hen, "hen 1", "hens of egg 1", "hens of egg 2", "hens"));
        questions.push(question!("hen 2", hen::Entity::find_by_id(2), one));
        questions.extend(level!(egg, "egg 1", "eggs of hen 1", "eggs of hen 2", "eggs"));
        let asked = Asked::new(&world, questions).await;
        let changed = ["hen 1", "hens of egg 1", "hens", "hen 2", "egg 1", "eggs of hen 1", "eggs"];
        asked.after("a hen gone", &changed, hen::Entity::delete_by_id(1).exec(&world.db)).await;
    }
}

// case D17
#[tokio::test]
async fn a_cascade_that_comes_back_to_its_table_takes_other_rows_of_it() {
    for world in World::all().await {
        // It takes foreign keys to tables that are not there yet, and no new ones later.
        let is_sqlite = world.database.backend() == Backend::Sqlite;
        let inline = if is_sqlite { "REFERENCES egg (id) ON DELETE CASCADE" } else { "" };
        let hen = format!("CREATE TABLE hen (id BIGINT PRIMARY KEY, up BIGINT {inline})");
        let egg = "CREATE TABLE egg (id BIGINT PRIMARY KEY, up BIGINT, \
                   FOREIGN KEY (up) REFERENCES hen (id) ON DELETE CASCADE)";
        create(&world, &[&hen, egg]).await;
        if !is_sqlite {
            let circle = "ALTER TABLE hen ADD FOREIGN KEY (up) REFERENCES egg (id) ON DELETE CASCADE";
            create(&world, &[circle]).await;
        }
        let stock = [
            "INSERT INTO hen (id, up) VALUES (1, NULL)",
            "INSERT INTO egg (id, up) VALUES (1, 1)",
            "INSERT INTO hen (id, up) VALUES (2, 1)",
        ];
        create(&world, &stock).await;
        let questions = vec![
            question!("hen 1", hen::Entity::find_by_id(1), one),
            question!("hen 2", hen::Entity::find_by_id(2), one),
            question!("egg 1", egg::Entity::find_by_id(1), one),
        ];
        let asked = Asked::new(&world, questions).await;
        let gone = hen::Entity::delete_by_id(1).exec(&world.db);
        asked.after("the first hen gone", &["hen 1", "hen 2", "egg 1"], gone).await;
    }
}

// case D17, D13
#[tokio::test]
async fn a_foreign_key_that_is_new_is_known_to_the_next_write() {
    for world in World::all().await.into_iter().filter(|world| world.database.backend() != Backend::Sqlite) {
        let tables = [
            "CREATE TABLE area (id BIGINT PRIMARY KEY, up BIGINT)",
            "CREATE TABLE rack (id BIGINT PRIMARY KEY, up BIGINT)",
            "INSERT INTO area (id, up) VALUES (1, NULL), (2, NULL)",
            "INSERT INTO rack (id, up) VALUES (1, 1), (2, 2)",
        ];
        create(&world, &tables).await;
        let questions = Vec::from(level!(rack, "rack 1", "racks in 1", "racks in 2", "racks"));
        let asked = Asked::new(&world, questions).await;
        asked.after("nothing", &[], area::Entity::delete_by_id(4711).exec(&world.db)).await;
        let key = "ALTER TABLE rack ADD FOREIGN KEY (up) REFERENCES area (id) ON DELETE CASCADE";
        world.db.execute_unprepared(key).await.unwrap();
        let gone = area::Entity::delete_by_id(1).exec(&world.db);
        asked.after("a delete", &["rack 1", "racks in 1", "racks"], gone).await;
    }
}

// case D17
#[tokio::test]
async fn a_key_that_the_database_computes_is_followed_to_the_rows_that_refer_to_it() {
    for world in World::all().await {
        create(
            &world,
            &[
                "CREATE TABLE area (id BIGINT PRIMARY KEY, up BIGINT, \
                 code BIGINT GENERATED ALWAYS AS (up * 1) STORED UNIQUE)",
                "CREATE TABLE rack (id BIGINT PRIMARY KEY, up BIGINT, \
                 FOREIGN KEY (up) REFERENCES area (code) ON DELETE CASCADE ON UPDATE CASCADE)",
                "INSERT INTO area (id, up) VALUES (5, 1)",
                "INSERT INTO rack (id, up) VALUES (1, 1)",
            ],
        )
        .await;
        let asked =
            Asked::new(&world, Vec::from(level!(rack, "rack 1", "racks in 1", "racks in 2", "racks"))).await;
        let sql = "UPDATE area SET up = 2 WHERE id = 5";
        asked.after(sql, &["rack 1", "racks in 1", "racks in 2"], send(&world, sql)).await;
    }
}
