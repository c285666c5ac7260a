//! Names behind which other tables stand: views, partitions, inherited tables.

use sea_orm::{ActiveValue::Set, QueryOrder, entity::prelude::*};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    entity::book,
    question::{Asked, question},
    support::Backend,
    world::{World, new_book},
};

macro_rules! entities {
    ($($module:ident = $table:literal,)*) => {
        $(mod $module {
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
            #[sea_orm(table_name = $table)]
            pub struct Model {
                #[sea_orm(primary_key, auto_increment = false)]
                pub id: i64,
                pub stock: i32,
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        })*
    };
}

entities! {
    cheap = "cheap",
    cheapest = "cheapest",
    frozen = "frozen",
    log = "log",
    log_low = "log_low",
    log_high = "log_high",
}

// case D26
#[tokio::test]
async fn what_one_connection_of_a_cache_changes_in_the_schema_the_others_learn() {
    for mut world in World::all().await {
        let other = world.database.another_connection().await.cached_by(world.cache().clone());
        world.db.learn_schema().await.unwrap();
        other.learn_schema().await.unwrap();
        let view = "CREATE VIEW cheap AS SELECT id, stock FROM book WHERE price_cents <= 300";
        world.db.execute_unprepared(view).await.unwrap();
        // From here on through the one that did not see it.
        world.db = other;
        let questions =
            vec![question!("cheap ones", cheap::Entity::find().order_by_asc(cheap::Column::Id), all)];
        let asked = Asked::new(&world, questions).await;
        let sold = book::ActiveModel { id: Set(1), stock: Set(0), ..Default::default() };
        asked.after("a write to the table", &["cheap ones"], sold.update(&world.db)).await;
    }
}

// case D26
#[tokio::test]
async fn a_view_says_what_the_tables_behind_it_say() {
    for world in World::all().await {
        world
            .database
            .execute("CREATE VIEW cheap AS SELECT id, stock, price_cents FROM book WHERE price_cents <= 300")
            .await;
        world
            .database
            .execute("CREATE VIEW cheapest AS SELECT id, stock FROM cheap WHERE price_cents <= 100")
            .await;
        let questions = vec![
            question!("book 1", book::Entity::find_by_id(1), one),
            question!("cheap 1", cheap::Entity::find_by_id(1), one),
            question!("cheap 9", cheap::Entity::find_by_id(9), one),
            question!("cheap ones", cheap::Entity::find().order_by_asc(cheap::Column::Id), all),
            question!("cheapest", cheapest::Entity::find().order_by_asc(cheapest::Column::Id), all),
            question!("how many cheapest", cheapest::Entity::find(), count),
        ];
        let asked = Asked::new(&world, questions).await;
        let sold = book::ActiveModel { id: Set(1), stock: Set(0), ..Default::default() };
        let changed = ["book 1", "cheap 1", "cheap ones", "cheapest"];
        asked.after("a write to the table", &changed, sold.update(&world.db)).await;
        let cheaper = book::ActiveModel { id: Set(9), price_cents: Set(1), ..Default::default() };
        let changed = ["cheap 9", "cheap ones", "cheapest", "how many cheapest"];
        asked.after("a row that enters", &changed, cheaper.update(&world.db)).await;
        if world.database.backend() == Backend::Sqlite {
            let trigger = "CREATE TRIGGER through INSTEAD OF UPDATE ON cheap BEGIN \
                           UPDATE book SET stock = NEW.stock WHERE id = OLD.id; END";
            send(&world, trigger).await.unwrap();
        }
        let through = cheap::ActiveModel { id: Set(1), stock: Set(77) };
        let through = cheap::Entity::update_many().set(through).filter(cheap::Column::Id.eq(1_i64));
        let changed = ["book 1", "cheap 1", "cheap ones", "cheapest"];
        asked.after("a write to the view", &changed, through.exec(&world.db)).await;
        let gone = book::Entity::delete_by_id(9).exec(&world.db);
        let changed = ["cheap 9", "cheap ones", "cheapest", "how many cheapest"];
        asked.after("a row gone", &changed, gone).await;
        if world.database.backend() == Backend::Postgres {
            let other = "CREATE OR REPLACE VIEW cheapest AS SELECT id, stock FROM cheap";
            asked.after("another view", &["cheapest", "how many cheapest"], send(&world, other)).await;
        }
    }
}

// case D26, E9
#[tokio::test]
async fn a_view_that_answers_differently_each_time_is_not_cached() {
    for world in World::all().await {
        let random = match world.database.backend() {
            Backend::MariaDb => "CAST(RAND() * 1000000 AS SIGNED)",
            Backend::Postgres => "CAST(RANDOM() * 1000000 AS INT)",
            Backend::Sqlite => "ABS(RANDOM() % 1000000)",
        };
        world.database.execute(&format!("CREATE VIEW cheap AS SELECT id, {random} AS stock FROM book")).await;
        let before = world.cache().stats().total;
        let mut answers = Vec::new();
        for _ in 0..3 {
            let rows = cheap::Entity::find().order_by_asc(cheap::Column::Id).cached().all(&world.db).await;
            answers.push(rows.unwrap());
        }
        assert!(answers[0] != answers[1] && answers[1] != answers[2], "{world}");
        assert_eq!(world.cache().stats().total.hits, before.hits, "{world}");
    }
}

// case D26
#[tokio::test]
async fn a_materialised_view_changes_when_it_is_refreshed() {
    for world in World::all().await.into_iter().filter(|world| world.database.backend() == Backend::Postgres)
    {
        world.database.execute("CREATE MATERIALIZED VIEW frozen AS SELECT id, stock FROM book").await;
        let questions = vec![
            question!("book 1", book::Entity::find_by_id(1), one),
            question!("frozen 1", frozen::Entity::find_by_id(1), one),
            question!("frozen", frozen::Entity::find().order_by_asc(frozen::Column::Id), all),
        ];
        let asked = Asked::new(&world, questions).await;
        let sold = "UPDATE book SET stock = 0 WHERE id = 1";
        asked.after("a write to the table", &["book 1"], send(&world, sold)).await;
        let refresh = "REFRESH MATERIALIZED VIEW frozen";
        asked.after("a refresh", &["frozen 1", "frozen"], send(&world, refresh)).await;
    }
}

// case D26
#[tokio::test]
async fn partitions_and_what_they_are_of_say_the_same() {
    for world in World::all().await.into_iter().filter(|world| world.database.backend() == Backend::Postgres)
    {
        for sql in [
            "CREATE TABLE log (id BIGINT, stock INT NOT NULL) PARTITION BY RANGE (id)",
            "CREATE TABLE log_low PARTITION OF log FOR VALUES FROM (0) TO (100)",
            "CREATE TABLE log_high PARTITION OF log FOR VALUES FROM (100) TO (200)",
            "INSERT INTO log (id, stock) VALUES (1, 1), (101, 1)",
        ] {
            world.database.execute(sql).await;
        }
        let questions = vec![
            question!("log 1", log::Entity::find_by_id(1), one),
            question!("log 2", log::Entity::find_by_id(2), one),
            question!("log 150", log::Entity::find_by_id(150), one),
            question!("log", log::Entity::find().order_by_asc(log::Column::Id), all),
            question!("low", log_low::Entity::find().order_by_asc(log_low::Column::Id), all),
            question!("low 1", log_low::Entity::find_by_id(1), one),
            question!("high", log_high::Entity::find(), count),
        ];
        let asked = Asked::new(&world, questions).await;
        let whole = "UPDATE log SET stock = 2 WHERE id = 1";
        asked.after("a write to the whole", &["log 1", "log", "low", "low 1"], send(&world, whole)).await;
        let part = log_low::ActiveModel { id: Set(1), stock: Set(3) };
        let changed = ["log 1", "log", "low", "low 1"];
        asked.after("a write to a part", &changed, part.update(&world.db)).await;
        let insert = "INSERT INTO log_low (id, stock) VALUES (2, 2)";
        asked.after("a row for a part", &["log 2", "log", "low"], send(&world, insert)).await;
        let moved = "UPDATE log SET id = 150 WHERE id = 1";
        let changed = ["log 1", "log 150", "log", "low", "low 1", "high"];
        asked.after("a row that moves", &changed, send(&world, moved)).await;
        let detach = "ALTER TABLE log DETACH PARTITION log_low";
        asked.after("a part that is taken out", &["log 2", "log"], send(&world, detach)).await;
    }
}

// case D26
#[tokio::test]
async fn a_table_shows_the_rows_of_those_that_inherit_from_it() {
    for world in World::all().await.into_iter().filter(|world| world.database.backend() == Backend::Postgres)
    {
        world.database.execute("CREATE TABLE log (id BIGINT, stock INT NOT NULL)").await;
        world.database.execute("CREATE TABLE log_low () INHERITS (log)").await;
        let questions = vec![
            question!("log 1", log::Entity::find_by_id(1), one),
            question!("log", log::Entity::find().order_by_asc(log::Column::Id), all),
            question!("low", log_low::Entity::find().order_by_asc(log_low::Column::Id), all),
        ];
        let all = ["log 1", "log", "low"];
        let asked = Asked::new(&world, questions).await;
        let new = log_low::ActiveModel { id: Set(1), stock: Set(1) };
        asked.after("a row of the child", &all, new.insert(&world.db)).await;
        asked.after("a write to all", &all, send(&world, "UPDATE log SET stock = 5")).await;
        asked.after("the child emptied", &all, send(&world, "TRUNCATE log_low")).await;
        new_row_elsewhere(&world, &asked).await;
    }
}

/// What has nothing to do with them purges nothing of them.
async fn new_row_elsewhere(world: &World, asked: &Asked<'_>) {
    let insert = book::Entity::insert(new_book(90)).exec_without_returning(&world.db);
    assert_eq!(asked.after("another table", &[], insert).await, [""; 0], "{world}");
}
